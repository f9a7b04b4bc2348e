"""Forward mode: values that carry their tangents along.

A :class:`DualArray` is a value with one tangent per direction. Every operation computes its result once and pushes all
directions through the rule; nothing is written down, so memory does not grow with the program.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.integers import as_integers
from ..rules.registry import Elementwise, Multilinear, Rule, choose
from ..rules.rule import by_entries
from ..values.kinds import isa
from .applying import EngineArray
from .integers import WHOLE, rounded
from .trace import _LEVELS

__all__ = ["DualArray", "Pass", "enclose"]

_NUMBERS = (np.ndarray, np.float64, np.float32, np.complex128)
_BILINEAR = (np.multiply, np.divide)
_ADD: Any = np.add.reduce
_nonzero = np._core.multiarray.count_nonzero  # NumPy's own function, without its dispatch


def enclose(values: list) -> None:
    """Tell the derivatives that values belong to that an inner one runs on them."""
    for value in values:
        while isinstance(value, EngineArray):
            value._trace.nested = True
            value = value._primal
        if isinstance(value, Array):
            value._enclose()


class Pass:
    """One forward pass: its level among nested derivatives and whether f is still running."""

    __slots__ = (
        *("by_reference", "directions", "integers", "level", "lossy", "nested"),
        *("open", "repaired", "selecting"),
    )

    def __init__(self, directions: int, by_reference: bool = False):
        self.by_reference = by_reference
        self.level = next(_LEVELS)
        self.directions = directions
        # Directions along which scalars were compared with one another: a selection, a dependence of slope zero.
        self.selecting: set[int] = set()
        self.open = True
        # Whether an inner derivative runs on these values; whether an operation made 0 of a tangent that was not (until
        # then every zero stands for "does not depend"); the directions along which 0 · ∞ of such a zero was made 0.
        self.nested = False
        self.lossy = False
        self.repaired: set[int] = set()
        self.integers = False  # whether an argument is made of integers

    def leaf(self, value: Any, tangents: list, integers: Any = None) -> DualArray:
        """An argument of f with its tangents (None: zero); integers: what it is where value is a float."""
        array = _dual(value, self, tuple(tangents))
        if integers is not None:
            self.integers, array._whole = True, integers
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

    __slots__ = ("_tangents", "_whole")

    tangents: tuple

    def _integers(self) -> Any:
        whole = getattr(self, "_whole", None)
        return rounded(self._primal) if whole is True else None if whole is None else as_integers(whole)

    def _record(self, rule: Rule, y: Any, args: list, own: list, kwargs: dict) -> Any:
        several = isinstance(y, (tuple, list))
        sums: list[Any] = [None] * self._trace.directions
        for i, a in enumerate(own):
            if a is None:
                continue
            for d, x_dot in enumerate(a._tangents):
                if x_dot is None:
                    continue
                y_dot = self._pushed(rule, i, d, x_dot, y, args, own, kwargs)
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
                rule.function is operator.getitem and hasattr(own[0], "_whole")
            ):
                result._whole = True
        return result

    def _pushed(self, rule: Rule, i: int, d: int, x_dot: Any, y: Any, args: list, own: list, kwargs: dict) -> Any:
        """The tangent of y due to argument i along direction d."""
        one_pass = self._trace
        if type(rule) is not Elementwise or type(x_dot) not in _NUMBERS or isinstance(y, Array):
            y_dot = rule.push(i, x_dot, y, args, kwargs)
            if type(x_dot) in _NUMBERS and not one_pass.nested and not np.all(np.isfinite(x_dot)):
                y_dot = self._strong(rule, i, d, x_dot, y_dot, y, args, kwargs)
            if not one_pass.lossy and not rule.keeps_zeros:
                one_pass.lossy = type(y_dot) not in _NUMBERS or bool(_nonzero(y_dot) < y_dot.size)
            return y_dot
        y_dot = rule.jvps[i](x_dot, y, *args, **kwargs)
        if type(y_dot) in _NUMBERS:
            if not math.isfinite(abs(_ADD(y_dot, None))):
                y_dot = self._settled(rule, i, d, x_dot, y_dot, y, args, own)
            if (
                not one_pass.lossy
                and not rule.keeps_zeros
                and _nonzero(y_dot) < (_nonzero(x_dot) if np.shape(x_dot) == y_dot.shape else 1)
            ):
                one_pass.lossy = True
        return y_dot if np.shape(y_dot) == np.shape(y) else np.broadcast_to(y_dot, np.shape(y))

    def _strong(self, rule: Rule, i: int, d: int, x_dot: Any, y_dot: Any, y: Any, args: list, kwargs: dict) -> Any:
        """The image of a tangent that is not finite under a linear map, in which 0 · ∞ is 0."""
        if y_dot is None or isinstance(y, (tuple, list)) or not np.any(np.isnan(y_dot)):
            return y_dot
        if isinstance(rule, Multilinear):
            found = rule.push_strong(i, x_dot, y, args, kwargs)
        else:
            found = by_entries(lambda t: rule.push(i, t, y, args, kwargs), x_dot, np.size(y_dot))
        self._trace.repaired.add(d)
        return y_dot if found is None else found

    def _settled(self, rule: Any, i: int, d: int, x_dot: Any, y_dot: Any, y: Any, args: list, own: list) -> Any:
        """A product of tangent and slope with 0 where one of them is 0 and the other is not finite.

        Inside a second derivative only where that zero is one all around, too: else the curvature is unknown there.
        """
        one_pass = self._trace
        still = np.equal(x_dot, 0) & ~np.isfinite(y_dot)
        infinite = np.isinf(x_dot) & np.isnan(y_dot)
        flat = infinite & np.equal(rule.jvps[i](1.0, y, *args), 0) if np.any(infinite) else infinite
        if one_pass.nested:
            lost = still & (not one_pass.lossy)
            if rule.function in _BILINEAR and own[1 - i] is None:  # a constant factor
                lost = lost | (np.isnan(y_dot) & np.equal(rule.jvps[i](1.0, y, *args), 0))
        else:
            lost = still | flat
            if np.any(flat) or (one_pass.lossy and np.any(still)):
                one_pass.repaired.add(d)
        return choose(lost, 0.0, y_dot) if np.any(lost) else y_dot

    def _selects(self) -> None:
        self._trace.selecting.update(d for d, x_dot in enumerate(self._tangents) if x_dot is not None)

    def _constant(self, value: Any) -> DualArray:
        return _dual(value, self._trace, (None,) * self._trace.directions)

    def _rebind(self, other: Any) -> None:
        if hasattr(self, "_whole"):
            del self._whole
        if type(other) is DualArray and other._trace is self._trace:
            self._primal, self._tangents = other._primal, other._tangents
            if hasattr(other, "_whole"):
                self._whole = other._whole
        else:
            self._primal, self._tangents = other, (None,) * self._trace.directions


def _whole(value: Any, own: Any) -> bool:
    """Whether an operand is made of integers: own is the dual array behind it, if it is one of this pass."""
    if own is not None:
        return hasattr(own, "_whole")
    if isa(value, np.ndarray):
        return value.dtype.kind in "iub"
    return not isa(value, (float, complex, np.inexact, Array))


def _dual(value: Any, trace: Pass, tangents: tuple) -> DualArray:
    array = DualArray.__new__(DualArray)
    array._primal, array._trace, array._tangents = value, trace, tangents
    return array


def chunks(directions: list, size: int | None) -> Any:
    """The directions in groups of at most size."""
    if size is None or size >= len(directions):
        return [directions]
    groups = iter(directions)
    return list(iter(lambda: list(itertools.islice(groups, size)), []))
