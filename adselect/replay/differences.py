"""How two results differ, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..structure.flattening import flatten


def difference_in_words(result: Any, reference: Any, noise: Callable[[], list | None] = lambda: None) -> str:
    """The largest difference in words, "" where there is none beyond rounding, entry by entry.

    noise gives, for each value of the result, how far rounding alone can move its entries; it is asked only where an
    entry is off by more than a rounding or two of its own size.
    """
    a, structure = flatten((result,))
    b, _ = flatten((reference,))
    if len(a) != len(b):
        return f"{len(a)} values instead of {len(b)}"
    moved: list | None = None
    for k, (x, y, path) in enumerate(zip(a, b, structure.paths, strict=True)):
        x, y = np.asarray(x), np.asarray(y)
        if x.shape != y.shape:
            return f"shape {x.shape} instead of {y.shape}"
        if not x.size or x.dtype.kind not in "fciu":
            continue
        single = x.dtype in (np.float32, np.complex64)
        with np.errstate(all="ignore"):
            tolerance = (1e-4 if single else 1e-8) * np.abs(y) + (1e-30 if single else 1e-200)
            off = np.where(np.isfinite(y) | np.isfinite(x), np.abs(x - y), 0.0)
            wrong = ~(off <= tolerance)
            if np.any(wrong):
                moved = noise() if moved is None else moved
                if moved is not None and len(moved) == len(a) and np.shape(moved[k]) == x.shape:
                    wrong &= ~(off <= tolerance + moved[k])
        if np.any(wrong):
            worst = np.unravel_index(np.argmax(np.where(wrong, off, -1.0)), x.shape)
            where = f"[{', '.join(map(str, worst))}]" if x.shape else ""
            return f"{path.replace('args', 'result', 1)}{where} is {x[worst]:.6g} instead of {y[worst]:.6g}"
    return ""
