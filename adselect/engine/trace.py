"""The trace: what the built-in engine writes down while f runs.

A :class:`TapeArray` is a value, the trace it belongs to and its place on it. Every operation computes its result with
NumPy and appends one record ``(rule, parents, y, args, kwargs)``: enough to pull a cotangent back (``reverse.py``), to
push a tangent forward, or to carry the operation out again. The values may themselves be TapeArrays of an outer, older
trace: rules are NumPy code, so they are recorded there, and derivatives nest to any depth. Levels are handed out by one
counter, newest highest, which is all that is needed to keep nested derivatives apart.

This is all there is to it. ``quick.py`` adds shorter ways to the same records for what is common.
"""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.integers import as_integers
from ..face.operators import BINARY_OPERATORS, UNARY_OPERATORS
from ..rules.registry import RULES, Rule
from ..values.kinds import isa
from .applying import OPERATOR_RULES, EngineArray
from .integers import are_integers, rounded
from .keeping import Keeping, outline

__all__ = ["CONSTANT", "ITEM", "PLAIN", "TapeArray", "Trace"]

_LEVELS = itertools.count(1)


class Trace(Keeping):
    """The records of one differentiated call, by place; places are handed out by an atomic counter (threads)."""

    __slots__ = ("by_reference", "integers", "level", "nested", "next_place", "open", "records", "selecting")

    def __init__(self, by_reference: bool = False) -> None:
        self.watched, self.copies = {}, {}
        self.by_reference = by_reference
        self.level = next(_LEVELS)
        self.records: dict[int, Any] = {}
        self.next_place: Callable[[], int] = itertools.count().__next__
        self.open = True
        self.nested = False  # whether an inner derivative runs on values of this trace
        # Places of scalars compared with one another: they decide a selection (Python's min and max), which depends on
        # them with slope zero.
        self.selecting: set[int] = set()
        # Leaves that are integers, by place: they count as floats and can still be used as indices and sizes.
        self.integers: dict[int, Any] = {}

    def leaf(self, value: Any, integers: Any = None) -> TapeArray:
        """A new traced value that depends on nothing: an argument of f; integers: what it is where value is a float."""
        array = TapeArray.__new__(TapeArray)
        array._primal, array._trace, array._place = value, self, self.next_place()
        if integers is not None:
            self.integers[array._place] = integers
        return array

    def record(self, rule: Rule, parents: tuple, y: Any, args: Any, kwargs: dict) -> Any:
        """Write an operation down; parents holds a place per argument, -1 for those that are not traced here."""
        place = self.next_place()
        if rule.by_shape:
            self.records[place] = (rule, parents, outline(y), tuple([outline(a) for a in args]), kwargs)
        else:
            self.records[place] = (rule, parents, y, args, kwargs)
        if type(y) is not np.ndarray and isinstance(y, (tuple, list)):
            items = [
                self.record(ITEM, (place,), item, (y, i), {}) if _differentiable(item) else item
                for i, item in enumerate(y)
            ]
            return type(y)(*items) if hasattr(y, "_fields") else type(y)(items)
        array = TapeArray.__new__(TapeArray)
        array._primal, array._trace, array._place = y, self, place
        return array

    def close(self) -> None:
        """f has returned: values that escaped behave as plain values from now on."""
        self.open = False


def _differentiable(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype.kind in "fc" if dtype is not None else isa(value, (float, complex))


class TapeArray(EngineArray):
    """A value on a trace. What happens to it is carried out by ``EngineArray`` and ends in :meth:`_record`."""

    __slots__ = ("_place",)

    place: int

    def _record(self, rule: Rule, y: Any, args: list, own: list, kwargs: dict) -> Any:
        return self._trace.record(rule, tuple([-1 if a is None else a._place for a in own]), y, tuple(args), kwargs)

    def _constant(self, value: Any) -> TapeArray:
        return self._trace.record(CONSTANT, (), value, (), {})

    def _rebind(self, other: Any) -> None:
        if not (type(other) is TapeArray and other._trace is self._trace):
            other = self._constant(other)
        self._primal, self._place = other._primal, other._place

    def _selects(self) -> None:
        self._trace.selecting.add(self._place)

    def _integers(self) -> Any:
        trace = self._trace
        if not trace.integers:
            return None
        if self._place in trace.integers:
            return as_integers(trace.integers[self._place])
        return rounded(self._primal) if are_integers(self._place, trace.records, trace.integers) else None


# -- records that are no call of a function ----------------------------------------------------------------------------


class _Item(Rule):
    """One entry of a result that is a tuple; the reverse pass collects their cotangents."""

    def __init__(self) -> None:
        super().__init__(operator.getitem, (), ())

    def push(self, i: int, x_dot: Any, y: Any, args: Any, kwargs: dict) -> Any:
        return x_dot[args[1]]


class _Constant(Rule):
    """A value written over a traced array: the record ends the dependence on what was there."""

    def __init__(self) -> None:
        super().__init__(None, (), ())


ITEM = _Item()
CONSTANT = _Constant()


# -- Python's operators ------------------------------------------------------------------------------------------------

# Operands that need no look before Python's own operator is used on them.
PLAIN = frozenset({float, int, complex, np.float64, np.ndarray, np.int64, np.float32, np.complex128, np.bool_})


def _carrying_out(operate: Callable, ufunc: Any) -> Callable:
    """Python's operator, with the rule of a ufunc: Python's ints do not wrap, and ``x**2`` is NumPy's square."""

    def call(*values: Any) -> Any:
        try:
            return operate(*values)
        except ZeroDivisionError:  # of Python's numbers; what it means here says NumPy
            return ufunc(*values)

    OPERATOR_RULES[call] = copy.copy(RULES[ufunc])
    OPERATOR_RULES[call].call = call
    return call


def _operator(call: Callable, by_ufunc: Callable, reflected: bool) -> Callable:
    def operate(self: TapeArray, *other: Any) -> Any:
        for o in other:
            if type(o) not in PLAIN and not (type(o) is TapeArray and o._trace is self._trace):
                return by_ufunc(self, o)
        operands = (*other, self) if reflected else (self, *other)
        if not self._trace.open:
            return call(*[o._primal if type(o) is TapeArray else o for o in operands])
        return self._apply(call, operands, {})

    return operate


for _name, _ufunc in (BINARY_OPERATORS | UNARY_OPERATORS).items():
    if _ufunc in RULES:
        _call = _carrying_out(getattr(operator, _name), _ufunc)
        setattr(TapeArray, f"__{_name}__", _operator(_call, getattr(Array, f"__{_name}__"), False))
        if _name in BINARY_OPERATORS:
            setattr(TapeArray, f"__r{_name}__", _operator(_call, getattr(Array, f"__r{_name}__"), True))
