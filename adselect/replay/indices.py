"""What an index selects, told from the index alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..values.kinds import isa

__all__ = ["is_basic", "only_reshapes", "runs"]


def is_basic(index: Any) -> bool:
    """Whether an index selects a view: slices, ints, None and Ellipsis."""
    if type(index) is tuple:
        return all(_is_basic_part(k) for k in index)
    return _is_basic_part(index)


def _is_basic_part(k: Any) -> bool:
    return k is None or k is Ellipsis or (isa(k, (slice, int, np.integer)) and not isa(k, bool))


def runs(index: Any, shape: tuple) -> list[slice] | None:
    """Element numbers that nobody can change any more as up to four slices of neighbours; None where they are not."""
    if type(index) is not np.ndarray or index.flags.writeable or index.dtype.kind not in "iu":
        return None
    if index.ndim != 1 or len(shape) != 1 or not index.size or index.min() < 0:
        return None
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    if len(breaks) > 3:
        return None
    return [slice(int(part[0]), int(part[-1]) + 1) for part in np.split(index, breaks)]


def only_reshapes(index: Any, shape: tuple) -> bool:
    """Whether an index takes everything, in another shape: new axes, axes of length 1 dropped."""
    if not is_basic(index):
        return False
    parts = index if type(index) is tuple else (index,)
    used = len([k for k in parts if k is not None and k is not Ellipsis])
    axis = 0
    for k in parts:
        if k is Ellipsis:
            axis += len(shape) - used
        elif k is not None:
            n = shape[axis]
            if isinstance(k, slice):
                if k != slice(None):
                    return False
            elif n != 1:
                return False
            axis += 1
    return True
