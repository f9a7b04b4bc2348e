"""Integer arguments, which count as floats in derivatives and can still be used as indices and sizes.

What was computed from integers alone, by functions that make integers of integers, is a whole number: an index.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.integers import TO_INTEGERS
from ..rules.elementwise import clipped, select
from ..rules.indexing import rolled, set_item
from ..rules.shaping import join, pile
from ..values.kinds import isa

__all__ = ["WHOLE", "are_integers", "rounded"]

# What makes integers of integers, the rules' own functions included.
WHOLE = TO_INTEGERS | {clipped, join, pile, rolled, select, set_item}


def are_integers(place: int, records: dict, integers: dict) -> bool:
    """Whether the value at a place was computed from integers alone; ``integers`` holds the leaves that are some."""
    pending, seen = [place], set()
    while pending:
        k = pending.pop()
        if k in integers or k in seen:
            continue
        seen.add(k)
        record = records.get(k)
        if record is None:
            return False
        rule, parents, _, args, _ = record
        if rule.function not in WHOLE:
            return False
        for p, a in zip_longest(parents, args):
            if p is not None and p >= 0:
                pending.append(p)
            elif isa(a, (float, complex, np.inexact)) or (isa(a, np.ndarray) and a.dtype.kind in "fc"):
                return False
    return True


def rounded(value: Any) -> Any:
    """The numbers as integers, None where they are none."""
    numbers = value
    while isinstance(numbers, Array):
        numbers = numbers._behind
    if np.any(np.floor(numbers) != numbers) or np.any(np.abs(numbers) > 2**53):
        return None
    return np.astype(value, np.int64) if isa(value, (Array, np.ndarray)) else np.int64(value)  # type: ignore[call-overload]
