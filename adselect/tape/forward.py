"""Forward mode: values that carry their tangents along.

A :class:`DualArray` is a value with one tangent per direction. Every operation computes its result once and pushes all
directions through the rule; nothing is written down, so memory does not grow with the program.
"""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np

from ..array import COMPARISONS, Array, as_integers
from ..kinds import isa
from ..rules.registry import Rule
from .trace import _LEVELS, WHOLE, EngineArray

__all__ = ["DualArray", "Pass"]


class Pass:
    """One forward pass: its level among nested derivatives and whether f is still running."""

    __slots__ = ("by_reference", "directions", "integers", "level", "open", "selecting")

    def __init__(self, directions: int, by_reference: bool = False):
        self.by_reference = by_reference
        self.level = next(_LEVELS)
        self.directions = directions
        # Directions along which scalars were compared with one another: a selection, a dependence of slope zero.
        self.selecting: set[int] = set()
        self.open = True
        self.integers = False  # whether an argument is made of integers

    def leaf(self, value: Any, tangents: list, integers: Any = None) -> DualArray:
        """An argument of f with its tangents (None: zero); integers: what it is where value is a float."""
        array = _dual(value, self, tuple(tangents))
        if integers is not None:
            self.integers, array.whole = True, integers
        return array

    def keep(self, array: Any) -> Any:
        """Tangents are pushed at once: a plain array may change afterwards."""
        return array

    keep_index = keep

    def close(self) -> None:
        """f has returned: values that escaped behave as plain values from now on."""
        self.open = False


class DualArray(EngineArray):
    """A value and its tangents, one per direction; a tangent None is zero.

    ``whole`` is there where the value was computed from integers alone: the integers, or True.
    """

    __slots__ = ("tangents", "whole")

    tangents: tuple

    def _integers(self) -> Any:
        whole = getattr(self, "whole", None)
        return self._rounded() if whole is True else None if whole is None else as_integers(whole)

    def _record(self, rule: Rule, y: Any, args: list, own: list, kwargs: dict) -> Any:
        several = isinstance(y, (tuple, list))
        sums: list[Any] = [None] * self._trace.directions
        for i, a in enumerate(own):
            if a is None:
                continue
            for d, x_dot in enumerate(a.tangents):
                if x_dot is None:
                    continue
                y_dot = rule.push(i, x_dot, y, args, kwargs)
                if y_dot is None:
                    continue
                if sums[d] is None:
                    sums[d] = y_dot
                elif several:
                    sums[d] = [s + t for s, t in zip(sums[d], y_dot, strict=True)]
                else:
                    sums[d] = sums[d] + y_dot
        if several:
            items = []
            for k, item in enumerate(y):
                if np.asarray(item).dtype.kind in "fc" if not isinstance(item, Array) else item.dtype.kind in "fc":
                    items.append(_dual(item, self._trace, tuple([None if s is None else s[k] for s in sums])))
                else:
                    items.append(item)
            return type(y)(*items) if hasattr(y, "_fields") else type(y)(items)
        result = _dual(y, self._trace, tuple(sums))
        if self._trace.integers and rule.function in WHOLE:
            if all([_whole(a, o) for a, o in zip(args, own, strict=True)]) or (
                rule.function is operator.getitem and hasattr(own[0], "whole")
            ):
                result.whole = True
        return result

    def _constant(self, value: Any) -> DualArray:
        return _dual(value, self._trace, (None,) * self._trace.directions)

    def _rebind(self, other: Any) -> None:
        if hasattr(self, "whole"):
            del self.whole
        if type(other) is DualArray and other._trace is self._trace:
            self.value, self.tangents = other.value, other.tangents
            if hasattr(other, "whole"):
                self.whole = other.whole
        else:
            self.value, self.tangents = other, (None,) * self._trace.directions


def _whole(value: Any, own: Any) -> bool:
    """Whether an operand is made of integers: own is the dual array behind it, if it is one of this pass."""
    if own is not None:
        return hasattr(own, "whole")
    if isa(value, np.ndarray):
        return value.dtype.kind in "iub"
    return not isa(value, (float, complex, np.inexact, Array))


def _comparison(name: str) -> Any:
    operate, general = getattr(operator, name), getattr(Array, f"__{name}__")

    def compare(self: DualArray, other: Any) -> Any:
        if type(other) is not DualArray or other._trace is not self._trace:
            return general(self, other)
        result = operate(self.value, other.value)
        if type(result) is not np.ndarray:
            for array in (self, other):
                self._trace.selecting.update(d for d, x_dot in enumerate(array.tangents) if x_dot is not None)
        return result

    return compare


for _name in COMPARISONS:
    setattr(DualArray, f"__{_name}__", _comparison(_name))
DualArray.__hash__ = Array.__hash__  # type: ignore[method-assign]


def _dual(value: Any, trace: Pass, tangents: tuple) -> DualArray:
    array = DualArray.__new__(DualArray)
    array.value, array._trace, array.tangents = value, trace, tangents
    return array


def chunks(directions: list, size: int | None) -> Any:
    """The directions in groups of at most size."""
    if size is None or size >= len(directions):
        return [directions]
    groups = iter(directions)
    return list(iter(lambda: list(itertools.islice(groups, size)), []))
