"""Tracing a computation for replay: every NumPy call is written down, whatever it computes.

A :class:`ProgramArray` carries a concrete value and stands for one instruction of a :class:`Program`. Unlike the
tape it records comparisons, masks and index arrays too, since a replay must compute them anew; where the traced code
turns a value into a Python bool or int, the program remembers it as a *guard*, checked on every replay. What cannot be
replayed raises :class:`NotReplayable`, and the caller stays with the eager tape.

What was computed before is not written twice; :mod:`adselect.replay.algebra` simplifies the rest afterwards.
"""

from __future__ import annotations

import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..engine.trace import _LEVELS
from ..errors import ADSelectError
from ..face.array import Array
from ..face.atoms import scatter_parts, set_item
from ..face.dispatch import absorb, dispatch
from ..face.operators import COMPARISONS
from ..places import PACKAGE
from ..rules.reductions import spread
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES, positional
from ..values.kinds import isa

__all__ = [
    "CONSTANT",
    "Contents",
    "Instruction",
    "NotReplayable",
    "Program",
    "ProgramArray",
    "Ref",
    "key_of",
    "refs_of",
    "uses_of",
]


class NotReplayable(ADSelectError):  # noqa: N818 - a verdict on the traced code, not a mistake in it
    """The traced code did something that straight-line code cannot repeat; the message says what."""


class GuardFailed(Exception):  # noqa: N818 - a signal, not an error
    """Something the traced code relied on, a value it branched on, is different now."""


class Outline(NamedTuple):
    """What a guard expects where values decide over the size of a result: its shape and dtype, and not its entries."""

    shape: tuple
    dtype: Any


class Contents(NamedTuple):
    """What a guard expects of an array of integers or booleans that was looked at in whole."""

    bytes: bytes
    shape: tuple


class Strides(NamedTuple):
    """What a guard expects of an argument whose order in memory was looked at; None stands for C order."""

    strides: tuple | None


class Instruction:
    """One call of the program: ``function(*args, **kwargs)``; args name earlier instructions by :class:`Ref`."""

    __slots__ = ("args", "dtype", "function", "kwargs", "line", "number", "scalar", "shape")

    def __init__(self, number: int, function: Any, args: tuple, kwargs: dict, value: Any, line: str):
        self.number, self.function, self.kwargs, self.line = number, function, kwargs, line
        self.args: Sequence[Any] = args
        self.shape = np.shape(value)
        self.dtype = getattr(value, "dtype", None) or np.result_type(value)
        self.scalar = not isa(value, np.ndarray)

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", self.function)
        return f"v{self.number} = {name}{self.args} {self.kwargs or ''} : {self.dtype}{list(self.shape)}"


def CONSTANT(value: Any) -> Any:
    """The function of an instruction that is a constant."""
    return value


class Ref:
    """The result of an instruction, used as an argument."""

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number

    def __repr__(self) -> str:
        return f"v{self.number}"

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Ref) and other.number == self.number

    def __hash__(self) -> int:
        return hash(("v", self.number))


# Answered from shape and dtype alone, which preparation fixes: constants of the program.
_STATIC = frozenset(
    {
        *(np.shape, np.ndim, np.size, np.result_type, np.iscomplexobj, np.isrealobj, np.can_cast, np.common_type),
        *(np.zeros_like, np.ones_like, np.empty_like, np.broadcast_shapes, np.isdtype),
    }
)
# What has the same shape and dtype whatever its array arguments hold; of the other functions every replay looks at it.
_SETTLED = frozenset(
    {
        *(np.clip, np.concatenate, np.stack, np.take, np.take_along_axis, np.sort, np.outer, np.isclose),
        *(np.argmax, np.argmin, np.argsort, np.argpartition, np.searchsorted, np.digitize, np.lexsort, np.any, np.all),
        *(np.nanargmax, np.nanargmin, np.count_nonzero, np.array_equal, np.array_equiv, np.allclose, np.isin),
        *(set_item, scatter_parts, spread),
    }
)
_KEPT = 2048  # entries up to which a plain array is copied into the program


class Program:
    """The instructions of one traced computation: inputs first, then calls, in order; and the guards."""

    def __init__(self, limit: int):
        self.level = next(_LEVELS)
        self.instructions: list[Instruction] = []
        self.concrete: list[Any] = []
        self.inputs: list[int] = []
        self.guards: list[tuple[int, int, Any]] = []  # (position, instruction, expected value)
        self.known: dict[Any, int] = {}
        self.kept: dict[Any, np.ndarray] = {}  # copies of small plain arrays, by what they hold
        self.limit = limit
        self.open = True
        self.line = ""
        self.ordered = False  # whether the arguments' orders in memory are guards
        self.refusal = ""  # why this cannot be replayed, also where f has caught the exception that said so

    def refuse(self, why: str) -> NotReplayable:
        """The exception to raise for what no replay can repeat."""
        self.refusal = self.refusal or why
        return NotReplayable(why)

    def input(self, value: Any) -> ProgramArray:
        """A new argument of the program."""
        self.inputs.append(len(self.instructions))
        return self._emit(None, (), {}, value)

    def _emit(self, function: Any, args: tuple, kwargs: dict, value: Any) -> ProgramArray:
        number = len(self.instructions)
        if number >= self.limit:
            place, count = Counter(i.line or "rules" for i in self.instructions).most_common(1)[0]
            raise self.refuse(
                f"the traced computation has more than {self.limit:,} operations, {count:,} of them from {place}; "
                "calls on whole arrays in place of Python loops make it shorter"
            )
        self.instructions.append(Instruction(number, function, args, kwargs, value, _line()))
        self.concrete.append(value)
        return _wrap(self, number, value)

    def constant(self, value: Any) -> ProgramArray:
        """A seed of the derivative as a value of the program: what it multiplies is then read anew by every replay."""
        key = ("constant", type(value), repr(value)) if not isa(value, np.ndarray) else None
        number = self.known.get(key) if key is not None else None
        if number is None:
            array = self._emit(CONSTANT, (value,), {}, value)
            if key is not None:
                self.known[key] = array.number
            return array
        return _wrap(self, number, self.concrete[number])

    def guard(self, number: int, value: Any) -> None:
        """Remember that the traced code looked at this value."""
        self.guards.append((len(self.instructions), number, value))

    def guard_order(self) -> None:
        """Remember that the traced code looked at an order in memory, which follows from those of the arguments."""
        for n in () if self.ordered else self.inputs:
            array = self.concrete[n]
            if isa(array, np.ndarray) and array.ndim > 1:
                self.guard(n, Strides(None if array.flags.c_contiguous else array.strides))
        self.ordered = True

    def call(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Carry a call out on the concrete values and write it down, unless it is known."""
        refs = tuple([self._spec(a) for a in args])
        options = {k: self._spec(v) for k, v in kwargs.items()} if kwargs else {}
        key = key_of(function, refs, options)
        if key is not None:
            number = self.known.get(key)
            if number is not None:
                return self._unpack(number)
        value = function(*[self._concrete(r) for r in refs], **{k: self._concrete(r) for k, r in options.items()})
        if not isa(value, (np.ndarray, np.generic, float, int, complex, bool, tuple, list)):
            name = getattr(function, "__name__", function)
            raise self.refuse(f"{name} made a {type(value).__name__} out of a traced value, which no replay can follow")
        settled = self._is_settled(function, refs, options)
        if isinstance(value, (tuple, list)):
            return self._several(function, refs, options, value, key, settled)
        array = self._emit(function, refs, options, value)
        if not settled:
            self._guard_outline(array.number)
        if key is not None:
            self.known[key] = array.number
        return array

    def _is_settled(self, function: Any, refs: tuple, options: dict) -> bool:
        """Whether shape and dtype of a result follow from those of the arguments, whatever these hold."""
        if isinstance(function, np.ufunc) or function in _SETTLED or getattr(function, "checks_kinds", False):
            return True
        if function is operator.getitem:
            return not any(self.instructions[n].dtype == np.bool_ for n in refs_of(refs[1]))
        if function is np.where:
            return len(refs) == 3
        if any(True for value in options.values() for _ in refs_of(value)):
            return False  # a traced option
        rule = RULES.get(function)
        if rule is not None:
            return all(rule.differentiable(i) or not any(True for _ in refs_of(r)) for i, r in enumerate(refs))
        # These rearrange their first argument as the others say.
        return function in _ATOMS and not any(True for r in refs[1:] for _ in refs_of(r))

    def _guard_outline(self, number: int) -> None:
        made = self.instructions[number]
        self.guard(number, Outline(made.shape, made.dtype))

    def _several(self, function: Any, refs: tuple, options: dict, value: Any, key: Any, settled: bool) -> Any:
        whole = self._emit(function, refs, options, np.empty(0))
        self.concrete[whole.number] = value
        if not settled:
            self.guard(whole.number, Outline((len(value),), None))
        items: list = []
        for i, item in enumerate(value):
            array = None if item is None else self._emit(operator.getitem, (Ref(whole.number), i), {}, item)
            items.append(array)
            if array is not None and not settled:
                self._guard_outline(array.number)
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)

    def _unpack(self, number: int) -> Any:
        return _wrap(self, number, self.concrete[number])

    def _spec(self, value: Any) -> Any:
        """An argument with Refs in place of this program's arrays."""
        if type(value) is ProgramArray:
            if value.program is not self:
                return value.concrete if not value.program.open else value
            return Ref(value.number)
        if type(value) is np.ndarray:
            if value.dtype != object:
                return self._kept(value)
            absorbed = absorb(value)
            return absorbed if absorbed is value else self._spec(absorbed)
        if isinstance(value, Array):
            raise self.refuse("a value of another derivative entered the traced computation")
        kind = type(value)
        if kind is tuple or kind is list:
            return kind([self._spec(v) for v in value])
        if kind is slice:  # what is cut out depends on the ends, the size of it does too
            return slice(*[_looked_at(s) for s in (value.start, value.stop, value.step)])
        return value

    def _kept(self, array: np.ndarray) -> np.ndarray:
        """A plain array as the program holds it: what it captures is frozen, a copy where that is small."""
        if array.size > _KEPT:
            return array
        base = array.base
        if type(base) is np.ndarray and base.flags.c_contiguous and base.size <= _KEPT and base.dtype.kind in "fciub":
            return self._kept_view(array, base)
        key = (array.dtype, array.shape, array.strides, array.flags.writeable, array.tobytes())
        known = self.kept.get(key)
        if known is None:
            known = array.copy(order="K")
            known.flags.writeable = array.flags.writeable
            self.kept[key] = self.kept[(*key[:2], known.strides, *key[3:])] = known
        return known

    def _kept_view(self, array: np.ndarray, base: np.ndarray) -> np.ndarray:
        """A view (a matrix transposed) as one of the copy that is kept of its base."""
        whole = self._kept(base)
        offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        key = ("view", id(whole), offset, array.shape, array.strides, array.dtype, array.flags.writeable)
        view = self.kept.get(key)
        if view is None:
            view = np.ndarray(array.shape, array.dtype, whole, offset, array.strides)
            view.flags.writeable = array.flags.writeable and whole.flags.writeable
            self.kept[key] = view
        return view

    def _concrete(self, spec: Any) -> Any:
        kind = type(spec)
        if kind is Ref:
            return self.concrete[spec.number]
        if kind is tuple or kind is list:
            return kind([self._concrete(s) for s in spec])
        if kind is slice:
            return slice(self._concrete(spec.start), self._concrete(spec.stop), self._concrete(spec.step))
        return spec


def key_of(function: Any, args: Any, kwargs: dict) -> Any:
    """What two calls with the same result have in common; None where that cannot be told. Arrays count by identity."""
    try:
        key = (function, tuple([_part(a) for a in args]), tuple([(k, _part(v)) for k, v in kwargs.items()]))
        hash(key)
    except TypeError:
        return None
    return key


def _part(spec: Any) -> Any:
    kind = type(spec)
    if kind is Ref:
        return spec
    if kind is np.ndarray:
        return ("array", id(spec))  # whoever wrote the call down keeps the array
    if kind is tuple or kind is list:
        return (kind, tuple([_part(s) for s in spec]))
    if kind is slice:
        return ("slice", _part(spec.start), _part(spec.stop), _part(spec.step))
    return (kind, repr(spec) if kind is float else spec)


def _looked_at(end: Any) -> Any:
    """One end of a slice; a traced one as the number it is, which is a guard from now on."""
    return operator.index(end) if isinstance(end, Array) else end


def refs_of(spec: Any) -> Iterator[int]:
    """The instructions that an argument names."""
    kind = type(spec)
    if kind is Ref:
        yield spec.number
    elif kind is tuple or kind is list:
        for s in spec:
            yield from refs_of(s)
    elif kind is slice:
        yield from refs_of((spec.start, spec.stop, spec.step))


def uses_of(instruction: Instruction) -> list[int]:
    """The instructions that an instruction reads."""
    found = list(refs_of(instruction.args))
    for value in instruction.kwargs.values():
        found.extend(refs_of(value))
    return found


def _line() -> str:
    """``file:line`` of the user's frame, or "" when there is none in between."""
    frame: Any = sys._getframe(3)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) and "numpy" not in name:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class ProgramArray(Array):
    """A value under tracing for replay; never seen by f itself, only inside the arrays it is given."""

    __slots__ = ("concrete", "number", "program")

    _by_reference = True

    concrete: Any
    number: int
    program: Program

    @property
    def value(self) -> Any:  # type: ignore[override]
        if not self.program.open:
            return self.concrete
        raise self.program.refuse("the traced code needed a value outside of what can be recorded")

    def _shown(self) -> Any:
        raise TypeError("a value of a program being written is not to be looked at")

    def _in_memory(self) -> Any:
        if self.program.open:
            self.program.guard_order()
        return self.concrete

    @property
    def level(self) -> int:
        return self.program.level

    @property
    def _closed(self) -> bool:
        return not self.program.open

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.concrete)

    @property
    def dtype(self) -> Any:
        value = self.concrete
        return value.dtype if hasattr(value, "dtype") else np.result_type(value)

    def _is_scalar(self) -> bool:
        return not isa(self.concrete, np.ndarray)

    def _apply(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        if function in _STATIC:
            strip = lambda v: v.concrete if type(v) is ProgramArray else v
            sizes = [v for v in (*args[1:], *kwargs.values()) if type(v) is ProgramArray and v.dtype.kind in "iu"]
            for size in sizes:  # np.zeros_like(x, shape=n)
                size._look(size.concrete)
            return function(*[strip(a) for a in args], **{k: strip(v) for k, v in kwargs.items()})
        if not self.program.open:
            strip = lambda v: v.concrete if type(v) is ProgramArray and not v.program.open else v
            return dispatch(function, tuple([strip(a) for a in args]), {k: strip(v) for k, v in kwargs.items()})
        if (
            function not in RULES
            and function not in NO_DERIVATIVE
            and function in COMPOSITES
            and function not in _ATOMS
            and not (function is np.bincount and _given(args, kwargs, 1, "weights") is None)
        ):
            return COMPOSITES[function](*args, **kwargs)
        if kwargs:
            args, kwargs = positional(function, args, kwargs)
        return self.program.call(function, args, kwargs)

    def _getitem(self, index: Any) -> Any:
        return self.program.call(operator.getitem, (self, index), {})

    def __getitem__(self, index: Any) -> Any:
        return self.program.call(operator.getitem, (self, index), {})

    def _array__setitem__(self, index: Any, value: Any) -> None:
        raise self.program.refuse(
            "an array that has no derivative (a mask, an index, a Const argument, what is computed from these) is "
            "written to in place; make a new one, for instance with np.where"
        )

    def _as_index(self) -> Any:
        return self

    def _update(self, function: Callable, other: Any) -> Any:
        return dispatch(function, (self, other), {})

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        if len(shape) == 1:
            shape = shape[0]
        return self._apply(np.reshape, (self, shape), {} if order in "CA" else {"order": order})

    def transpose(self, *axes: Any) -> Any:
        if len(axes) == 1:
            axes = axes[0]
        return self._apply(np.transpose, (self, axes or None), {})

    # -- looks at the value: a guard, or the end of replay -------------------------------------------------------------

    def _look(self, value: Any) -> Any:
        if self.program.open:
            self.program.guard(self.number, value)
        return value

    def _look_exactly(self, how: str) -> Any:
        """The value for code that reads all of it: integers are guards, other numbers hardly come up again."""
        if self.program.open and (self.ndim or self.dtype.kind not in "iub"):
            raise self.program.refuse(f"the traced code turned a value into {how}")
        return self._look(self.concrete)

    def __bool__(self) -> bool:
        return self._look(bool(self.concrete))

    def __index__(self) -> int:
        return self._look(operator.index(self.concrete))

    def __int__(self) -> int:
        if self.dtype.kind == "f" and not self.ndim and np.isfinite(self.concrete):
            return int(np.trunc(self)._look(np.trunc(self.concrete)))
        return int(self._look(self.concrete)) if self.dtype.kind in "iub" and not self.ndim else super().__int__()

    def __float__(self) -> float:
        return float(self._look(self.concrete)) if self.dtype.kind in "iubf" and not self.ndim else super().__float__()

    def __complex__(self) -> complex:
        return complex(self._look(self.concrete)) if not self.ndim else super().__complex__()

    def __hash__(self) -> int:
        if self.ndim:
            raise TypeError("unhashable type: traced array")
        return hash(self._look(self.concrete))

    def __repr__(self) -> str:
        return repr(self._look_exactly("text"))

    def __str__(self) -> str:
        return str(self._look_exactly("text"))

    def __format__(self, spec: str) -> str:
        return format(self._look_exactly("text"), spec)

    def _refuse_conversion(self, dtype: Any = None, copy: Any = None) -> Any:
        if dtype is not None and np.dtype(dtype) == object:
            return super()._refuse_conversion(dtype, copy)
        if self.dtype.kind not in "iub":
            raise self.program.refuse(
                f"an array of {self.dtype} that has no derivative (a Const argument, what is computed from one) was "
                "made a plain array, by np.asarray or by writing it into one; every replay computes it anew. NumPy's "
                "functions take it as it is"
            )
        self._look(Contents(self.concrete.tobytes(), self.shape))
        return np.array(self.concrete, dtype)


def _given(args: tuple, kwargs: dict, place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


# Composites that are one fast NumPy call on plain values, and whose parts need not be visible for a derivative: the
# derivative has been taken already when the program is written.
_ATOMS = frozenset(
    {
        *(np.where, np.clip, np.concatenate, np.stack, np.take, np.take_along_axis, np.sort, np.flip, np.roll, np.tile),
        *(
            spread,
            np.repeat,
            np.diagonal,
            np.tril,
            np.triu,
            np.outer,
            np.swapaxes,
            np.moveaxis,
            np.ravel,
            np.diag,
            np.trace,
        ),
    }
)


def _wrap(program: Program, number: int, value: Any) -> ProgramArray:
    array = ProgramArray.__new__(ProgramArray)
    array.program, array.number, array.concrete = program, number, value
    return array


def _install() -> None:
    def binary(function: Any) -> tuple[Callable, Callable]:
        def forward(self: ProgramArray, other: Any) -> Any:
            if isinstance(other, Array) and other.level > self.level:
                return NotImplemented
            if isinstance(other, (list, tuple)):
                other = np.asarray(other)
            return (
                self.program.call(function, (self, other), {}) if self.program.open else function(self.concrete, other)
            )

        def backward(self: ProgramArray, other: Any) -> Any:
            if isinstance(other, (list, tuple)):
                other = np.asarray(other)
            return (
                self.program.call(function, (other, self), {}) if self.program.open else function(other, self.concrete)
            )

        return forward, backward

    from ..face.operators import BINARY_OPERATORS, UNARY_OPERATORS

    for name, function in BINARY_OPERATORS.items():
        forward, backward = binary(function)
        setattr(ProgramArray, f"__{name}__", forward)
        setattr(ProgramArray, f"__r{name}__", backward)
    for name, function in COMPARISONS.items():
        forward, _ = binary(function)
        setattr(ProgramArray, f"__{name}__", forward)
    for name, function in UNARY_OPERATORS.items():
        setattr(ProgramArray, f"__{name}__", lambda self, _f=function: self._apply(_f, (self,), {}))
    ProgramArray.__hash__ = ProgramArray.__dict__["__hash__"]  # type: ignore[method-assign]


_hash = ProgramArray.__hash__
_install()
ProgramArray.__hash__ = _hash  # type: ignore[method-assign]
