"""What an index is made of: traced integers have numbers, masks and slices are told apart."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..errors import user_line
from ..values.kinds import isa
from .dispatch import absorb, dispatch, is_traced
from .foreign import FAMILIAR, as_index
from .traced import Traced

__all__ = ["looked_at", "picked"]


def is_mask(index: Any) -> bool:
    return any([isa(i, np.ndarray) and i.dtype == bool for i in (index if type(index) is tuple else (index,))])


def _as_tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def is_basic(index: Any) -> bool:
    """Whether NumPy would return a view for this index."""
    kind = type(index)
    if kind is int or kind is slice:
        return True
    if kind is tuple:
        return all(i is None or i is Ellipsis or (isa(i, (int, slice, np.integer)) and not isa(i, bool)) for i in index)
    return index is None or index is Ellipsis or (isa(index, (int, slice, np.integer)) and not isa(index, bool))


def keeps_array(index: Any) -> bool:
    """Whether ``y[index]`` is an array in NumPy even without dimensions: an index with an ellipsis."""
    return index is Ellipsis or (type(index) is tuple and any([i is Ellipsis for i in index]))


def covers_all(index: Any) -> bool:
    """Whether ``y[index] = value`` replaces every element."""
    if type(index) is tuple:
        return all(i is Ellipsis or (type(i) is slice and i == slice(None)) for i in index)
    return index is Ellipsis or (type(index) is slice and index == slice(None))


def without_leading_ones(value: Any, ndim: int) -> Any:
    """value without the leading axes of length 1 that it has beyond ndim: what may be written into ndim dimensions."""
    extra = getattr(value, "ndim", 0) - ndim
    return value.reshape(value.shape[extra:]) if extra > 0 and set(value.shape[:extra]) == {1} else value


_INTEGERS = frozenset({int}).issuperset


def plain_index(index: Any) -> Any:
    """The index with traced integers and booleans replaced by their values (an index carries no derivative)."""
    kind = type(index)
    if kind is int:
        return index
    if kind is slice:
        parts = (index.start, index.stop, index.step)
        for part in parts:
            if part is not None and isinstance(part, Traced):
                return slice(*[plain_index(s) for s in parts])
        return index
    if kind is tuple:
        return index if _INTEGERS(map(type, index)) else tuple([plain_index(i) for i in index])
    if isinstance(index, Traced):
        if index.dtype.kind in "iub":
            return index._as_index()
        integers = index._integers()
        if integers is None:
            raise IndexError(
                f"a traced {index.dtype} value was used as an index at {user_line()}; indices must be integers or "
                "booleans"
            )
        return plain_index(integers)
    if kind is list and any(isinstance(i, (Traced, list)) for i in index):
        return [plain_index(i) for i in index]
    return index if kind in FAMILIAR or kind is list else as_index(index, absorb)


def looked_at(index: Any) -> Any:
    """A traced index, size or number of times as the numbers it is, for NumPy's own call; anything else as it is."""
    if isinstance(index, Traced):
        index = plain_index(index)
        return index if not isinstance(index, Traced) else np.asarray(index) if index.ndim else operator.index(index)
    if type(index) in (list, tuple):
        return type(index)([looked_at(i) for i in index])
    return index


def picked(array: Any, index: Any) -> Any:
    """``array[index]``, also of a plain array at a traced index."""
    if isinstance(array, Traced) or not is_traced(index):
        return array[index]
    if isinstance(index, Traced) and index._framework:
        return dispatch(np.take, (array, index), {"axis": 0})
    return dispatch(operator.getitem, (array, index), {})


def occurrences(positions: np.ndarray) -> np.ndarray:
    """For each entry of an index array, how often its value has come up before."""
    order = np.argsort(positions, kind="stable")
    starts = np.searchsorted(positions[order], positions[order], side="left")
    seen = np.empty(len(positions), dtype=np.intp)
    seen[order] = np.arange(len(positions)) - starts
    return seen
