"""The reverse pass into memory that the caller owns: cotangents of the leaves add up in buffers of zeros.

The walk is that of ``quick_reverse.py``, begun with the buffers in the places of the leaves. Nothing of the size of a
leaf is allocated for its cotangent but what a rule makes on the way; the factors of a matrix product have theirs added
some rows at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .quick_reverse import walk
from .reverse import dense, is_finite, pull_back

__all__ = ["pull_into"]


@np.errstate(all="ignore")
def pull_into(
    records: dict,
    n: int,
    seeds: dict[int, Any],
    values: list,
    outputs: dict[int, Any],
    nested: bool,
    consume: bool,
    into: list,
) -> list:
    """Cotangents of the leaves, one for each of values; that of a leaf with a buffer is the buffer where it could be.

    A result that is not finite is looked at again with strong zeros, as by ``pull_back``, and is no buffer then.
    """
    grads = walk(records, n, len(values), seeds, consume, into)
    if records and not all([g is None or is_finite(g) for g in grads]):
        return pull_back(records, n, len(values), seeds, values, outputs, nested)
    return [None if g is None else dense(g, v) for g, v in zip(grads, values, strict=True)]
