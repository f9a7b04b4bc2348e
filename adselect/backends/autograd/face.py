"""AutogradArray: the NumPy face over autograd's Box."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

import autograd.numpy as anp
import numpy as np
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import getval, isbox

from ...errors import MissingRuleError, UnsupportedError, user_line
from ...face.array import Array
from ...face.dispatch import absorb
from ...face.integers import whole_behind
from ...primitives.own_rules import ENFORCED, stand_in
from ...rules.registry import NO_DERIVATIVE, RULES, positional
from ...values.kinds import isa
from ..framework_array import FrameworkArray
from .modes import MODE, TRACES, settle

__all__ = ["AutogradArray"]


# -- the face ----------------------------------------------------------------------------------------------------------


class AutogradArray(FrameworkArray):
    """A traced value of the autograd backend. Behaves like the ``numpy.ndarray`` (or scalar) it stands for.

    ``value`` is a Box, or a plain array that traced values may be written into. ``integer`` keeps the ints of an
    integer argument, which counts as a float in arithmetic and still works as an index or a size.
    """

    __slots__ = ()

    _framework = "autograd"

    def _enclose(self) -> None:
        MODE.encloses = True

    # -- translation ---------------------------------------------------------------------------------------------

    # autograd's primitive for a function, None for a composite: the table, which stands above, sets it.
    _target: Any
    _targets: ClassVar[dict[Any, Callable]] = {}  # those that have been met

    def _apply(self, function: Any, args: tuple, kwargs: dict) -> Any:
        if ENFORCED and (by_rule := stand_in(function)) is not None:
            return by_rule(*args, **kwargs)
        if function in NO_DERIVATIVE:
            if function is np.result_type or function is np.can_cast:  # of integers too the dtype that they show
                return function(*[a.dtype if isinstance(a, AutogradArray) else a for a in args], **kwargs)
            result = function(*[_known(a) for a in args], **{k: _known(v) for k, v in kwargs.items()})
            return AutogradArray(result) if function in BLANK else result
        target = self._target(function)
        if target is None:
            return super()._apply(function, args, kwargs)  # a composite, or the error that there is none
        rule = RULES.get(function)
        if kwargs:
            args, kwargs = positional(function, args, kwargs)
            for name, option in kwargs.items():
                if isinstance(option, Array) and option.dtype.kind in "fc" and option._integer is None:
                    raise MissingRuleError(
                        f"np.{function.__name__}(…, {name}=…) was given a traced value at {user_line()}; no derivative "
                        f"with respect to {name} is defined"
                    )
            kwargs = {k: _known(v) if whole_behind(v) is None else v._integer for k, v in kwargs.items()}
        if function is np.astype and np.dtype(args[1]).kind not in "fc":
            return _known(self).astype(args[1])
        values = [self._operand(a) if rule is None or rule.differentiable(i) else _known(a) for i, a in enumerate(args)]
        return _wrap(target(*values, **kwargs))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        target = self._targets.get(ufunc)
        if target is not None and not ENFORCED and method == "__call__" and not kwargs and ufunc.nout == 1:
            if len(inputs) == 1:
                return AutogradArray(target(self._primal))
            if len(inputs) == 2:
                a, b = inputs
                if type(a) is AutogradArray:
                    if type(b) is AutogradArray:
                        return AutogradArray(target(a._primal, b._primal))
                    if type(b) in PLAIN:
                        return AutogradArray(target(a._primal, self._operand(b)))
                elif type(a) in PLAIN:
                    return AutogradArray(target(self._operand(a), b._primal))
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    @classmethod
    def _operand(cls, value: Any) -> Any:
        """An argument as autograd's primitives take it."""
        kind = type(value)
        if kind is AutogradArray:
            return value._primal
        if kind is list or kind is tuple or (kind is np.ndarray and value.dtype == object):
            stacked = absorb(value)
            if isinstance(stacked, AutogradArray):
                return stacked._primal
            return np.asarray(stacked) if kind is list else stacked
        if isinstance(value, Array):
            raise UnsupportedError(foreign(value))
        if isa(value, (Fraction, Decimal)):
            return float(value)  # NumPy would make an object array
        # autograd keeps what it is given until the reverse pass; f may write to its own arrays before.
        return value.copy("K") if kind is np.ndarray else value

    # -- values --------------------------------------------------------------------------------------------------

    @property
    def _inside(self) -> Any:
        value = settle(self._primal)  # what is left of it when its derivative is over belongs to an outer one
        return AutogradArray(value) if isbox(value) and value is not self._primal else getval(value)

    def _known(self) -> Any:
        value = settle(self._primal)
        return NotImplemented if isbox(value) else value

    @property
    def _closed(self) -> bool:
        return isbox(self._primal) and not TRACES.is_open(self._primal)

    def _in_memory(self) -> Any:
        value = self._primal
        while isbox(value):
            value = getval(value)
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(getval(self._primal))

    @property
    def dtype(self) -> Any:
        value = getval(self._primal)
        return value.dtype if hasattr(value, "dtype") else np.result_type(value)

    def __bool__(self) -> bool:
        return bool(getval(self._primal))

    def __index__(self) -> int:
        return operator.index(getval(self._primal) if self._integer is None else self._integer)

    def __int__(self) -> int:
        return int(self._integer) if self._integer is not None else super().__int__()

    def _as_index(self) -> Any:
        return getval(self._primal) if self._integer is None else self._integer

    # -- indexing ------------------------------------------------------------------------------------------------

    def _getitem(self, index: Any) -> Any:
        integer = self._integer
        result = AutogradArray(ArrayBox.__getitem__(self._primal, _kept(index)))
        if integer is not None:
            result._integer = integer[index]
        return result

    def _setitem(self, index: Any, value: Any) -> Any:
        from ...face.atoms import set_item

        new = self._operand(value)
        if _covers_all(index) and np.shape(getval(new)) == self.shape:
            # Nothing is left of what was there: the result depends on the new value alone.
            if np.iscomplexobj(getval(new)) and self.dtype.kind != "c":
                raise TypeError(
                    f"cannot write a complex value into a {self.dtype} array ({user_line()}); make it complex first"
                )
            result = AutogradArray(new)
            return AutogradArray._face(result.astype(self.dtype)) if result.dtype != self.dtype else result
        return AutogradArray(self._target(set_item)(self._primal, new, _kept(index)))


def _covers_all(index: Any) -> bool:
    if type(index) is tuple:
        return all(i is Ellipsis or (type(i) is slice and i == slice(None)) for i in index)
    return index is Ellipsis or (type(index) is slice and index == slice(None))


def _kept(index: Any) -> Any:
    """An index of which f's own arrays and lists are no part: f may write to them before the reverse pass."""
    kind = type(index)
    if kind is np.ndarray:
        return index.copy("K")
    if kind is tuple:
        return tuple([_kept(i) for i in index])
    return np.array(index, None if index else int) if kind is list else index


def _wrap(value: Any) -> Any:
    """A result behind the face; tuples entry by entry."""
    if isinstance(value, ArrayBox) or type(value) is np.ndarray or isa(value, (np.inexact, float, complex)):
        return AutogradArray(value)
    inner = getval(value)
    if isinstance(inner, (tuple, list)):
        items = [_wrap(value[i]) for i in range(len(inner))]
        return type(inner)(*items) if hasattr(inner, "_fields") else type(inner)(items)
    return value


def _known(value: Any) -> Any:
    """The NumPy value behind a face array, also inside lists and tuples."""
    if isinstance(value, Array):
        if not isinstance(value, AutogradArray):
            raise UnsupportedError(foreign(value))
        return value._as_index() if value._integer is not None else getval(value._primal)
    if type(value) in (list, tuple):
        return type(value)([_known(v) for v in value])
    if type(value) is np.ndarray:  # a copy: f may write to its own arrays before the reverse pass
        return _known(absorb(value)) if value.dtype == object else value.copy("K")
    return value


def foreign(value: Any) -> str:
    return (
        f"a {type(value).__name__} of another backend met an autograd value at {user_line()}; AutoAutograd can run "
        "inside another AutoAutograd derivative or inside autograd.grad. For another framework outside, use "
        "adselect.differentiate_with(f, AutoAutograd()), or the built-in AutoTape() inside"
    )


def _note_selection(a: Any, b: Any) -> None:
    if isbox(a) and isbox(b) and a._trace == b._trace and a._trace in TRACES.open:
        TRACES.open[a._trace] += [a._node, b._node]


def _install() -> None:
    """Short paths for operators between two face arrays, or one and a number."""
    numbers = (float, int, complex)

    def binary(name: str, function: Any, reflected: bool, operate: Callable | None) -> Callable:
        through_numpy = getattr(Array, name)

        def call(self: AutogradArray, other: Any) -> Any:
            kind = type(other)
            if kind is AutogradArray:
                value = other._primal
            elif kind in numbers:
                value = other
            else:
                return through_numpy(self, other)
            if ENFORCED or (self._integer is not None and operate is None):
                return through_numpy(self, other)
            target = AutogradArray._target(function)
            result = AutogradArray(target(value, self._primal) if reflected else target(self._primal, value))
            if operate is not None and self._integer is not None:
                integer = other._integer if kind is AutogradArray else other if kind is int else None
                if integer is not None:
                    result._integer = operate(integer, self._integer) if reflected else operate(self._integer, integer)
            return result

        return call

    keeps_integers = {"add", "sub", "mul", "floordiv", "mod"}
    for name, function in {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "truediv": np.divide,
        "floordiv": np.floor_divide,
        "mod": np.remainder,
        "pow": np.power,
        "matmul": np.matmul,
    }.items():
        operate = getattr(operator, name) if name in keeps_integers else None
        for reflected in (False, True):
            full = f"__{'r' if reflected else ''}{name}__"
            setattr(AutogradArray, full, binary(full, function, reflected, operate))

    def comparison(name: str, operate: Callable) -> Callable:
        through_numpy = getattr(Array, name)

        def call(self: AutogradArray, other: Any) -> Any:
            if type(other) is AutogradArray:
                result = operate(getval(self._primal), getval(other._primal))
                if type(result) is not np.ndarray:
                    _note_selection(self._primal, other._primal)
                return result
            return operate(getval(self._primal), other) if type(other) in numbers else through_numpy(self, other)

        return call

    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(AutogradArray, f"__{name}__", comparison(f"__{name}__", getattr(operator, name)))
    AutogradArray.__hash__ = Array.__hash__  # type: ignore[method-assign]

    def negative(self: AutogradArray) -> Any:
        result = (
            self._apply(np.negative, (self,), {})
            if ENFORCED
            else AutogradArray(AutogradArray._target(np.negative)(self._primal))
        )
        if self._integer is not None:
            result._integer = -self._integer
        return result

    AutogradArray.__neg__ = negative  # type: ignore[attr-defined]


_install()


PLAIN = frozenset({float, int, complex, np.float64, np.float32, np.complex128})
# Results without a derivative that are arrays to write into: they stay behind the face.
BLANK = {np.zeros_like, np.ones_like, np.empty_like}


# -- primitives --------------------------------------------------------------------------------------------------------


def behind_face(value: Any) -> Any:
    """A Box behind the face; anything else as it is."""
    if isbox(value):
        if isinstance(value, ArrayBox):
            return AutogradArray(value)
        inner = getval(value)
        return type(inner)(behind_face(value[i]) for i in range(len(inner)))
    return value


def bare(value: Any) -> Any:
    return value._primal if isinstance(value, AutogradArray) else value


def is_complex(value: Any) -> bool:
    return np.iscomplexobj(getval(value))


def conj(value: Any) -> Any:
    return anp.conj(value) if is_complex(value) else value


def faced(args: tuple, y: Any) -> tuple[tuple, Any]:
    """The arguments and the result of a function behind the NumPy face."""
    several = isinstance(getval(y), tuple)
    y_face = tuple(behind_face(y[k]) for k in range(len(getval(y)))) if several else behind_face(y)
    return tuple([behind_face(a) for a in args]), y_face
