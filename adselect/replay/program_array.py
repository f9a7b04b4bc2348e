"""A value under tracing for replay: what is done with it is written down in its program."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..face.array import Array
from ..face.dispatch import dispatch
from ..face.operators import BINARY_OPERATORS, COMPARISONS, UNARY_OPERATORS
from ..rules.registration import load_all
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES, positional
from ..values.kinds import isa
from .facts import STATIC, WHOLE
from .instructions import Contents

if TYPE_CHECKING:
    from .program import Program

__all__ = ["ProgramArray"]

load_all()  # what a program writes down does not depend on what has been met before


class ProgramArray(Array):
    """A value under tracing for replay; never seen by f itself, only inside the arrays it is given."""

    __slots__ = ("concrete", "number", "program")

    _by_reference = True
    _finds_integers = True

    concrete: Any
    number: int
    program: Program

    @property
    def value(self) -> Any:  # type: ignore[override]
        if not self.program.open:
            return self.concrete
        raise self.program.refuse("the traced code needed a value outside of what can be recorded")

    @property
    def _inside(self) -> Any:
        return self._look_exactly("text or a number of its own")

    @property
    def _behind(self) -> Any:
        return self.concrete

    def _shown(self) -> Any:
        raise TypeError("a value of a program being written is not to be looked at")

    def _in_memory(self) -> Any:
        if self.program.open:
            self.program.guard_order()
        return self.concrete

    @property
    def _level(self) -> int:
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
        if function in STATIC:
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
            and function not in WHOLE
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


def wrap(program: Program, number: int, value: Any) -> ProgramArray:
    array = ProgramArray.__new__(ProgramArray)
    array.program, array.number, array.concrete = program, number, value
    return array


def _power_of(array: ProgramArray, other: Any) -> Callable:
    """The function of ``**``: NumPy's numbers have a power of their own, which rounds otherwise than that of arrays."""
    other = other.concrete if type(other) is ProgramArray else other
    return np.power if isa(array.concrete, np.ndarray) or isa(other, np.ndarray) else operator.pow


def _install() -> None:
    def binary(function: Any) -> tuple[Callable, Callable]:
        def forward(self: ProgramArray, other: Any) -> Any:
            if isinstance(other, Array) and other._level > self._level:
                return NotImplemented
            if isinstance(other, (list, tuple)):
                other = np.asarray(other)
            f = _power_of(self, other) if function is np.power else function
            return self.program.call(f, (self, other), {}) if self.program.open else f(self.concrete, other)

        def backward(self: ProgramArray, other: Any) -> Any:
            if isinstance(other, (list, tuple)):
                other = np.asarray(other)
            f = _power_of(self, other) if function is np.power else function
            return self.program.call(f, (other, self), {}) if self.program.open else f(other, self.concrete)

        return forward, backward

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
