"""Plain arrays that a derivative relies on: fingerprints that tell whether they were written to."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from ..errors import TracedValueError, user_line

__all__ = ["fingerprint", "overwritten"]


_ROW = 1024


def _scattered(n: int) -> np.ndarray:
    """n numbers in [0, 1) without a pattern, by splitmix64: importing NumPy's own generators costs 14 ms."""
    x = np.arange(1, n + 1, dtype=np.uint64) * 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return ((x ^ (x >> 31)) >> 11) * 2.0**-53


# Weights near 1: what two entries that change places do to a sum of products with them shows.
_WEIGHTS = {k: _scattered(_ROW).astype(k) + k(1) for k in (np.float64, np.float32)}


def fingerprint(array: np.ndarray) -> Any:
    """A mark of an array's contents, from all of its entries, at the speed of the memory.

    Floats: the exclusive or of all words, which any one change turns, and weighted sums of the rows, which entries turn
    that change places. Anything else: a checksum of the bytes.
    """
    flat = array.ravel(order="K")
    if flat.dtype.kind == "c":
        flat = flat.view(flat.real.dtype)
    weights = _WEIGHTS.get(flat.dtype.type) if flat.dtype.isnative else None
    rows = flat.size // _ROW
    if weights is not None and rows:
        with np.errstate(all="ignore"):
            sums = flat[: rows * _ROW].reshape(rows, _ROW) @ weights
        if np.isfinite(sums).all():
            words = flat.view(f"u{flat.itemsize}")
            rest = zlib.crc32(words[rows * _ROW :].data)
            return int(np.bitwise_xor.reduce(words)), rest, hash(sums.tobytes())
    return zlib.crc32(flat.view(np.uint8).data)


def overwritten(array: np.ndarray) -> TracedValueError:
    """The error for a plain array that is no longer what a traced operation has read."""
    return TracedValueError(
        f"a plain array of shape {array.shape} was written to after a traced operation had used it ({user_line()}); "
        "the derivative needs the values it had. Use a new array for each step (y = a * b instead of "
        "np.multiply(a, b, out=y)), or pass np.copy(array) to the operation."
    )
