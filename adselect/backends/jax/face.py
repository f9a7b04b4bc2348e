"""JaxArray: the NumPy face over a jax array or tracer.

Operators on numbers and on other JaxArrays go straight to the native operator; everything else goes through NumPy's
protocols to the translation table. 64-bit values need JAX's x64 mode, which is a setting of the thread: the backend
enters it around f, and an operation that runs elsewhere (a thread that f started) enters it itself.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ...errors import ADSelectError, UnsupportedError, user_line
from ...face.array import Array
from ...face.dispatch import dispatch
from ...face.indices import covers_all, without_leading_ones
from ...face.operators import BINARY_OPERATORS, COMPARISONS
from ...face.traced import UNKNOWN
from ...primitives.own_rules import ENFORCED, stand_in
from ...rules.registry import COMPOSITES, NO_DERIVATIVE
from ...values.kinds import isa
from ..framework_array import FrameworkArray
from .nesting import CONFIG, COVERING, NESTING, NO_VALUE, SELECTIONS, TEXTS, anywhere, is_over, under_jit
from .operands import concrete
from .table import BY_NUMPY, REAL_ONLY, TABLE, target

__all__ = ["JaxArray", "to_numpy"]


def to_numpy(value: Any) -> Any:
    """A concrete jax array as NumPy: writable, and a scalar where NumPy has scalars."""
    array = np.array(value)
    return array if array.ndim else array[()]


class JaxArray(FrameworkArray):
    """A traced value of the JAX backend. Behaves like the ``numpy.ndarray`` (or scalar) it stands for.

    A pytree with one leaf, so ``jax.jit``, ``jax.vmap`` and ``lax`` control flow inside f take it; ``jax.numpy``
    functions take it as the jax array it holds. ``integer`` keeps the ints of an integer argument, which counts as a
    float in arithmetic and still works as an index or a size.
    """

    __slots__ = ()

    _framework = "JAX"
    _real_only = REAL_ONLY
    _by_numpy = BY_NUMPY

    def _enclose(self) -> None:
        NESTING.enclose()

    # -- translation ---------------------------------------------------------------------------------------------

    @classmethod
    def _target(cls, function: Any) -> Callable | None:
        return target(function)

    def _translated(self, function: Any, args: tuple, kwargs: dict) -> Any:
        if ENFORCED and (by_rule := stand_in(function)) is not None:
            return by_rule(*args, **kwargs)
        try:
            if function in NO_DERIVATIVE and function not in COMPOSITES and self._target(function) is None:
                return function(*[_known(a) for a in args], **{k: _known(v) for k, v in kwargs.items()})
            result = FrameworkArray._apply(self, function, args, kwargs)
            if (
                (type(function) is np.ufunc or function in _ELEMENTWISE)
                and isinstance(result, JaxArray)
                and len(result._primal.shape) > 1
            ):
                result._laid_out_like(*args)
            return result
        except NO_VALUE as error:
            raise UnsupportedError(under_jit(f"np.{getattr(function, '__name__', function)}")) from error

    def _untraced(self, function: Any, args: tuple, kwargs: dict) -> Any:
        return dispatch(function, _settled(args), _settled(kwargs))

    def _carry_out(
        self, function: Any, target: Callable, values: Any, options: dict, deps: int, given: tuple[tuple, dict]
    ) -> Any:
        try:
            return super()._carry_out(function, target, values, options, deps, given)
        except (TypeError, ValueError) as error:
            # JAX takes no lists of numbers for arrays, nor lists for axes and sizes.
            fixed = "hashable static" in str(error)
            arrays = tuple([_not_a_list(v, fixed) for v in values])
            named = {k: _not_a_list(v, fixed) for k, v in options.items()}
            if isinstance(error, ADSelectError) or not _has_changed(
                (*values, *options.values()), (*arrays, *named.values())
            ):
                raise
        return super()._carry_out(function, target, arrays, named, deps, given)

    _apply = anywhere(_translated, _untraced)

    @classmethod
    def _native(cls, value: Any) -> Any:
        if type(value) is np.ndarray:
            if value.dtype.char in "gG":  # JAX has no extended precision
                return value.astype(np.float64 if value.dtype.char == "g" else np.complex128)
            return value.copy("K")  # JAX may read the buffer later, and f may have written into it by then
        if isa(value, (Fraction, Decimal, np.longdouble)) or (type(value) is int and not -(2**63) <= value < 2**63):
            return float(value)
        if isinstance(value, Array):
            raise UnsupportedError(
                f"a {type(value).__name__} of another backend met a JAX value at {user_line()}; derivatives of "
                "different frameworks do not nest by capturing: pass the value to the inner function as an argument"
            )
        return value

    @classmethod
    def _unwrap(cls, value: Any, mask: list) -> Any:
        if isinstance(value, Tracer):
            mask[0] = UNKNOWN
            return value
        return super()._unwrap(value, mask)

    @classmethod
    def _is_native(cls, value: Any) -> bool:
        return isinstance(value, jax.Array)

    @classmethod
    def _wrap(cls, value: Any, deps: int) -> Any:
        if isinstance(value, jax.Array):
            return cls(value, deps if value.dtype.kind in "fcV" else 0)  # V: bfloat16 and its like
        return super()._wrap(value, deps)

    def _laid_out_like(self, *operands: Any) -> None:
        """Note where elementwise results follow operands that are in another order than C: JAX does not show it."""
        for operand in operands:
            if isinstance(operand, JaxArray):
                if getattr(operand, "_link", None) is None and getattr(operand, "_order", None) is None:
                    continue
                layout = operand._layout_in_numpy()
            else:
                layout = operand if type(operand) is np.ndarray else None
                if layout is None:
                    continue
            if layout is None or not layout.flags.c_contiguous:
                self._order = False

    @property
    def __jax_array__(self) -> Any:
        # An operator of a jax array's would take the value and drop the face. Where f is NumPy code it gets something
        # that it leaves to the other operand, which is ours.
        if COVERING.on and sys._getframe(1).f_code.co_name.startswith(("_operator_", "deferring_binary_op")):
            return object
        return lambda: self._primal

    # -- values --------------------------------------------------------------------------------------------------

    @property
    def _closed(self) -> bool:
        return is_over(self._primal)

    @property
    def _inside(self) -> Any:
        """The NumPy value, or the face of an outer derivative's value, once this derivative is over."""
        value = self._primal
        while is_over(value) and hasattr(value, "primal"):
            value = value.primal
        if isinstance(value, Tracer):
            return JaxArray(value, UNKNOWN) if value is not self._primal else value
        return to_numpy(value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._primal.shape

    def _numbers(self) -> Any:
        known = concrete(self._primal)
        if known is None:
            raise UnsupportedError(under_jit("float(), int() or np.asarray of a value without a derivative"))
        return known if known.ndim else known[()]

    def __bool__(self) -> bool:
        try:
            return bool(self._primal)
        except NO_VALUE as error:
            if self._integer is not None:
                return bool(self._integer)
            raise UnsupportedError(under_jit("if, while, and, or, not, min() or sorted()")) from error

    def __index__(self) -> int:
        if self._integer is not None:
            return operator.index(self._integer)
        if self._primal.dtype.kind == "b":
            raise TypeError("'numpy.bool' object cannot be interpreted as an integer")
        try:
            return operator.index(self._primal)
        except (*NO_VALUE, TypeError) as error:
            known = concrete(self._primal)
            if known is None and self._primal.dtype.kind in "iu":
                raise UnsupportedError(under_jit("An integer used as a size, a range or a Python index")) from error
            return operator.index(self._primal if known is None else known[()])

    def __int__(self) -> int:
        if self._integer is not None:
            return int(self._integer)
        return int(bool(self)) if self._primal.dtype.kind == "b" and not self._closed else super().__int__()

    def __hash__(self) -> int:
        if self._primal.shape:
            raise TypeError("unhashable type: traced array")
        self._check_hash(sys._getframe(1))
        return hash(_known(self).item())

    def _as_index(self) -> Any:
        if self._integer is not None:
            return self._integer
        known = concrete(self._primal)
        if known is None:
            if self._primal.dtype.kind == "b":
                raise UnsupportedError(under_jit("A boolean mask used as an index"))
            return self._primal
        return known if known.ndim else known[()]

    def __repr__(self) -> str:
        return f"JaxArray({self._shown()!r})"

    def __str__(self) -> str:
        return str(self._shown())

    def __format__(self, spec: str) -> str:
        return format(self._shown(), spec)

    def _shown(self) -> Any:
        if self._integer is not None:
            return self._integer
        known = concrete(self._primal)
        if known is None and not TEXTS.known:
            raise UnsupportedError(under_jit("str() or format()"))
        return self._primal if known is None else known if known.ndim else known[()]

    # -- indexing ------------------------------------------------------------------------------------------------

    def _constant(self, value: Any) -> Any:
        return JaxArray(jnp.asarray(value), 0)

    def _add_at(self, index: Any, value: Any) -> Any:
        mask = [self._deps]
        added = self._primal.at[_array_index(index)].add(self._unwrap(value, mask))
        return JaxArray(added, mask[0])

    @classmethod
    def _face(cls, value: Any) -> Any:
        return value if isinstance(value, cls) else cls(jnp.asarray(value), 0)

    def _entries(self, index: Any) -> Any:
        value = self._primal
        index = _array_index(index)
        if _holds_native(index):
            # JAX would clamp an index out of bounds; a NaN cannot be mistaken for an element.
            fill = np.nan if value.dtype.kind in "fc" else None
            return JaxArray(value.at[index].get(mode="fill", fill_value=fill), self._deps)
        _check_bounds(value.shape, index)
        if _holds_truth(index):
            return JaxArray(value.reshape(-1)[_places(value.shape, index)], self._deps)
        integer = self._integer
        return JaxArray(value[index], self._deps, None if integer is None else integer[index])

    _getitem = anywhere(_entries, lambda self, index: self._inside[index])

    @anywhere
    def _setitem(self, index: Any, value: Any) -> Any:
        old = self._primal
        mask = [0]
        new = jnp.asarray(self._unwrap(value, mask))
        if new.dtype.kind == "c" and old.dtype.kind != "c":
            raise TypeError(
                f"a complex value does not fit into a {old.dtype} array ({user_line()}); "
                "write y = y.astype(complex) first"
            )
        new = new.astype(old.dtype)
        if covers_all(index):
            return JaxArray(jnp.broadcast_to(without_leading_ones(new, old.ndim), old.shape), mask[0])
        index = _array_index(index)
        if not _holds_native(index):
            shape = _check_bounds(old.shape, index)
            new = without_leading_ones(new, len(shape))
            if _holds_truth(index):
                places = _places(old.shape, index)
                written = old.reshape(-1).at[places].set(jnp.broadcast_to(new, places.shape)).reshape(old.shape)
                return JaxArray(written, self._deps | mask[0])
        return JaxArray(old.at[index].set(new), self._deps | mask[0])


jax.tree_util.register_pytree_node(
    JaxArray,
    lambda array: ((array._primal,), None),
    # The mask is not part of the structure: it would make equal types differ and go stale in jax.jit's cache.
    lambda _, children: JaxArray(children[0], UNKNOWN),
)


# Functions whose results NumPy lays out like their operands, as it does those of ufuncs.
_ELEMENTWISE = frozenset(
    {np.where, np.clip, np.round, np.nan_to_num, np.astype, np.zeros_like, np.ones_like, np.full_like}
)


def _settled(value: Any) -> Any:
    """Operands with values whose derivative is over replaced by the plain values they stand for."""
    if isinstance(value, JaxArray):
        return value._inside if value._closed else value
    if type(value) in (list, tuple):
        return type(value)([_settled(v) for v in value])
    if type(value) is dict:
        return {k: _settled(v) for k, v in value.items()}
    return value


def _known(value: Any) -> Any:
    """The NumPy value behind a face array; other values as they are."""
    if isinstance(value, JaxArray):
        known = concrete(value._primal)
        if known is None:
            raise UnsupportedError(under_jit("This call"))
        return known if known.ndim else known[()]
    if type(value) in (list, tuple):
        return type(value)(_known(v) for v in value)
    return value


def _array_index(index: Any) -> Any:
    """Lists become integer or boolean arrays: JAX does not take lists."""
    if type(index) is list:
        if any(isinstance(i, jax.Array) for i in index):
            return jnp.stack([jnp.asarray(i) for i in index])
        array = np.asarray(index)
        return array if array.size else array.astype(np.intp)
    if type(index) is np.ndarray:
        return index.copy("K")  # JAX may read the buffer later
    if type(index) is tuple:
        return tuple([_array_index(i) for i in index])
    return index


def _not_a_list(value: Any, fixed: bool) -> Any:
    """A list of numbers as an array; with fixed, a list as a tuple."""
    if type(value) is not list or not value:
        return value
    if fixed:
        return tuple(value)
    return jnp.asarray(value) if all([np.ndim(v) == 0 or type(v) is list for v in value]) else value


def _has_changed(before: tuple, after: tuple) -> bool:
    return any([a is not b for a, b in zip(before, after, strict=True)])


def _holds_native(index: Any) -> bool:
    return any(isinstance(i, jax.Array) for i in index) if type(index) is tuple else isinstance(index, jax.Array)


def _holds_truth(index: Any) -> bool:
    """Whether a single truth value is among the indices, which JAX does not know."""
    if type(index) is int or type(index) is slice:
        return False
    parts = index if type(index) is tuple else (index,)
    return any([isa(i, (bool, np.bool_)) or (isa(i, np.ndarray) and i.dtype == bool and not i.ndim) for i in parts])


def _places(shape: tuple, index: Any) -> np.ndarray:
    """The numbers, in C order, of the elements that index picks."""
    return np.asarray(np.arange(math.prod(shape)).reshape(shape)[index])


def _check_bounds(shape: tuple, index: Any) -> tuple:
    """NumPy's own verdict on the index (JAX clamps what is out of bounds); the shape of the result."""
    return np.broadcast_to(_NOTHING, shape)[index].shape


_NOTHING = np.empty((), bool)


# -- operators --------------------------------------------------------------------------------------------------------

_NUMBERS = (float, int, complex)
_UFUNCS = {**BINARY_OPERATORS, **COMPARISONS}


def _install() -> None:
    def binary(name: str, operate: Callable, reflected: bool, keeps_integers: bool, derivative: bool) -> Callable:
        through_numpy = getattr(Array, name)
        ufunc = _UFUNCS[name.strip("_").removeprefix("r") if reflected else name.strip("_")]

        def call(self: JaxArray, other: Any) -> Any:
            kind, value, deps = type(other), self._primal, self._deps
            if kind is JaxArray:
                right, deps = other._primal, deps | other._deps
                if right.dtype != value.dtype:
                    return through_numpy(self, other)
            elif kind in _NUMBERS or (kind is np.float64 and value.dtype == kind):
                right = other
            elif kind is np.ndarray and other.dtype == value.dtype:
                right = other.copy("K")  # JAX may read the buffer later
            elif COVERING.on and isinstance(other, jax.Array):
                return dispatch(ufunc, (other, self) if reflected else (self, other), {})
            else:
                return through_numpy(self, other)
            if not CONFIG.jax_enable_x64 or ENFORCED or (self._integer is not None and not keeps_integers):
                return through_numpy(self, other)
            try:
                native = operate(right, value) if reflected else operate(value, right)
            except (jax.errors.UnexpectedTracerError, TypeError, ValueError, OverflowError):
                return through_numpy(self, other)
            result = JaxArray(native, deps if derivative else 0)
            if len(getattr(native, "shape", ())) > 1:  # a Python float has none
                result._laid_out_like(self, other)
            if keeps_integers and self._integer is not None:
                integer = other._integer if kind is JaxArray else other if kind is int else None
                if integer is not None:
                    result._integer = operate(integer, self._integer) if reflected else operate(self._integer, integer)
            return result

        return call

    def comparison(compare: Callable, named: Callable) -> Callable:
        def call(self: JaxArray, other: Any) -> Any:
            if type(other) is JaxArray and not self._primal.shape and not other._primal.shape:
                SELECTIONS.note(self, other)
            result = compare(self, other)
            if self._integer is not None and isinstance(result, JaxArray) and isinstance(result._primal, Tracer):
                # While JAX compiles, the integers that it compiles for are known, and so is what compares them.
                integer = other._integer if type(other) is JaxArray else other if type(other) in (int, float) else None
                if integer is not None:
                    return named(self._integer, integer)
            return result

        return call

    power = TABLE[np.power]
    for name, operate in {
        "add": operator.add,
        "sub": operator.sub,
        "mul": operator.mul,
        "truediv": operator.truediv,
        "floordiv": operator.floordiv,
        "mod": operator.mod,
        "pow": lambda x, y: power(x, y) if isinstance(x, jax.Array) or isinstance(y, jax.Array) else x**y,
        "matmul": operator.matmul,
    }.items():
        for reflected in (False, True):
            full = f"__{'r' if reflected else ''}{name}__"
            keeps = name in ("add", "sub", "mul", "floordiv", "mod")
            setattr(JaxArray, full, binary(full, operate, reflected, keeps, True))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        full = f"__{name}__"
        compare = getattr(operator, name)
        setattr(JaxArray, full, comparison(binary(full, compare, False, False, False), compare))

    def negative(self: JaxArray) -> Any:
        result = self._apply(np.negative, (self,), {})
        if self._integer is not None:
            result._integer = -self._integer
        return result

    JaxArray.__neg__ = negative  # type: ignore[attr-defined]


_install()
