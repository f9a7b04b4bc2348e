"""An array that shows the memory of another one, written as indices and transposition of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..values.kinds import isa

__all__ = ["Memory", "bounds_of", "view_of"]

_MOST_WORK: Any = 10_000  # steps in which NumPy decides whether two arrays share an entry


class Memory:
    """Where an array lies: its first and last byte, for a quick look whether another one can share memory with it."""

    __slots__ = ("array", "high", "low")

    def __init__(self, array: np.ndarray):
        self.array = array
        self.low, self.high = bounds_of(array)

    def meets(self, other: np.ndarray, low: int, high: int) -> bool:
        """Whether other, which lies between the bytes low and high, has an entry that is also one of this array."""
        if high <= self.low or self.high <= low:
            return False
        try:
            return np.shares_memory(self.array, other, max_work=_MOST_WORK)
        except Exception:  # too hard to tell
            return True


def bounds_of(array: np.ndarray) -> tuple[int, int]:
    """The first byte of an array and the one behind its last."""
    if array.flags.c_contiguous:
        low = array.__array_interface__["data"][0]
        return low, low + array.nbytes
    return np.lib.array_utils.byte_bounds(array)


def view_of(base: np.ndarray, view: np.ndarray) -> Callable[[Any], Any] | None:
    """How to take view out of base, as a function that takes the same view of any array like base; None for no way.

    >>> W = np.arange(6.0).reshape(2, 3)
    >>> view_of(W, W.T[1:])(np.arange(10.0, 16.0).reshape(2, 3))
    array([[11., 14.],
           [12., 15.]])
    """
    if view.dtype != base.dtype or not view.size:
        return None
    for way in (_by_index(base, view), _by_shape(base, view)):
        if way is not None and _is_same(way(base), view):
            return way
    return None


def _is_same(found: Any, view: np.ndarray) -> bool:
    """Whether two arrays are the same entries of memory in the same places."""
    if found.shape != view.shape or found.__array_interface__["data"][0] != view.__array_interface__["data"][0]:
        return False
    return all(n < 2 or s == t for n, s, t in zip(view.shape, found.strides, view.strides, strict=True))


def _by_shape(base: np.ndarray, view: np.ndarray) -> Callable[[Any], Any] | None:
    if base.size != view.size:
        return None
    shape = view.shape
    return lambda array: array.reshape(shape)


def _by_index(base: np.ndarray, view: np.ndarray) -> Callable[[Any], Any] | None:
    """Slices of base, its axes in another order, and axes of length 1."""
    backward = [k for k in range(base.ndim) if base.strides[k] < 0]
    offset = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    offset -= sum([(base.shape[k] - 1) * base.strides[k] for k in backward])  # from the lowest entry of base
    axes = sorted(range(base.ndim), key=lambda k: -abs(base.strides[k]))
    index: list[Any] = [0] * base.ndim
    for k in axes:  # where the first entry of the view stands in base
        if base.shape[k] > 1 and base.strides[k]:
            index[k], offset = divmod(offset, abs(base.strides[k]))
            if not 0 <= index[k] < base.shape[k]:
                return None
            if k in backward:
                index[k] = base.shape[k] - 1 - index[k]
    if offset:
        return None
    order: list[int] = []  # the axis of base behind each axis of the view that is longer than 1
    for n, stride in zip(view.shape, view.strides, strict=True):
        if n < 2:
            continue
        for k in axes:
            step, rest = divmod(stride, base.strides[k]) if base.strides[k] else (0, 1)
            last = index[k] + (n - 1) * step if isa(index[k], int) else -1
            if not rest and step and 0 <= last < base.shape[k]:
                stop = last + (1 if step > 0 else -1)
                index[k] = slice(index[k], None if stop < 0 else stop, step)
                order.append(k)
                break
        else:
            return None
    sliced = tuple([k if isinstance(k, slice) else slice(k, k + 1) for k in index])
    picked = tuple(slice(None) if isinstance(k, slice) else 0 for k in index)
    kept = sorted(order)
    places = tuple([kept.index(k) for k in order])
    shape, long = view.shape, tuple([slice(None) if n > 1 else None for n in view.shape])

    def take(array: Any) -> Any:
        if not order:
            return array[sliced].reshape(shape)
        part = array[sliced][picked] if 0 in picked else array[sliced]
        if places != tuple(sorted(places)):
            part = part.transpose(places)
        return part[long] if len(shape) != len(places) else part

    return take
