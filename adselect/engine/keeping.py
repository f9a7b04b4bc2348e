"""What the records rely on: plain arrays as they were when an operation read them.

The reverse pass needs values from the way forward, and f, or its caller, may have overwritten an array in the meantime.
A small array is copied, one of middling size once for all uses with the same contents. A large one is recorded as it
is, with a fingerprint that is compared when the reverse pass begins: an error is better than a copy of all data, and
much better than a wrong number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..face.watching import fingerprint, overwritten

__all__ = ["FIXED", "Keeping", "outline"]

_SMALL = 2048  # entries up to which a plain array is copied when it is recorded
_COPIED = 65536  # and up to which it is copied unless that has been done
_HOLDERS = frozenset({np.ndarray, list, tuple})
FIXED = frozenset({int, bool, str, type(None), type})  # what nothing can be written to, and is no traced value


class Keeping:
    """The plain arrays of one trace."""

    __slots__ = ("copies", "watched")

    # Large plain arrays that were recorded, with a fingerprint, and copies of smaller ones, each by its memory: made,
    # empty, by the trace.
    watched: dict[tuple, tuple[np.ndarray, Any]]
    copies: dict[tuple, tuple[bytearray, np.ndarray]]

    def keep(self, array: np.ndarray) -> np.ndarray:
        """A plain array as the reverse pass may rely on it."""
        size = array.size
        if size <= _SMALL:
            return array.copy(order="K")
        memory = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        if size <= _COPIED:
            return self._copy(array, memory)
        known = self.watched.get(memory)
        if known is None:
            self.watched[memory] = (array, fingerprint(array))
        elif known[1] != fingerprint(array):
            raise overwritten(array)
        return array

    def _copy(self, array: np.ndarray, memory: tuple) -> np.ndarray:
        turned = array.flags.f_contiguous and not array.flags.c_contiguous
        seen = array.T if turned else array
        if not seen.flags.c_contiguous:
            return array.copy(order="K")
        seen = seen.reshape(-1).view(np.uint8)
        known = self.copies.get(memory)
        if known is None or known[0] != seen.data:  # as one comparison of memory
            held = bytearray(seen)
            copied = np.frombuffer(held, array.dtype).reshape(array.shape, order="F" if turned else "C")
            known = self.copies[memory] = (held, copied)
        return known[1]

    def keep_index(self, index: Any) -> Any:
        """The same for an index, or another argument: arrays and lists in it are kept."""
        kind = type(index)
        if kind is np.ndarray:
            return self.keep(index)
        if kind is list and FIXED.issuperset(map(type, index)):
            return index.copy()
        if kind is list or (kind is tuple and not _HOLDERS.isdisjoint(map(type, index))):
            return kind([self.keep_index(i) if type(i) in _HOLDERS else i for i in index])
        return index

    def check_watched(self) -> None:
        """Raise when a large recorded array is not what it was."""
        for array, mark in self.watched.values():
            if fingerprint(array) != mark:
                raise overwritten(array)


class _Outline:
    """Stands for a large array whose derivative rule asks for its shape and dtype only, so that its memory is free."""

    __slots__ = ("dtype", "ndim", "shape", "size")

    def __init__(self, array: np.ndarray):
        self.shape, self.dtype, self.ndim, self.size = array.shape, array.dtype, array.ndim, array.size


def outline(value: Any) -> Any:
    """A value as a rule that looks at shapes and dtypes only may see it."""
    return _Outline(value) if type(value) is np.ndarray and value.size > _SMALL else value
