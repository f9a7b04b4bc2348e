"""Which derivative is being computed around lifted code, and plain arrays made part of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..calls.in_progress import IN_PROGRESS
from ..face.array import Array
from ..face.dispatch import absorb, is_traced
from ..structure.flattening import flatten
from ..values.kinds import isa

__all__ = [
    "adopted",
    "given_kind",
    "innermost",
    "may_be_pythons",
    "note_python_number",
    "stacked",
]


def note_python_number() -> None:
    """Note that lifted code has made a number that plainly is one of Python's."""
    if IN_PROGRESS.calls:
        IN_PROGRESS.calls[0].converted = True


def given_kind(value: Array) -> type | None:
    """The class of the number that a traced argument of f was given as; None where it is none, or not known."""
    call = IN_PROGRESS.calls[-1] if IN_PROGRESS.calls else None
    given = None if call is None or call.flat is None else call.flat.given
    if call is None or given is None:
        return None
    kinds = [type(g) for g, a in zip(given, call.args, strict=False) if a is value]
    return kinds[0] if len(kinds) == 1 and issubclass(kinds[0], (int, float, complex, np.generic)) else None


def may_be_pythons() -> bool:
    """Whether a traced number may plainly be one of Python's: f was given such, or has converted to such."""
    calls = IN_PROGRESS.calls
    if not calls or getattr(calls[0], "converted", False):
        return True
    numbers = [a for a in flatten(tuple(calls[-1].args))[0] if isinstance(a, Array) and not a.ndim]
    return not all([issubclass(given_kind(a) or float, np.generic) for a in numbers])


def innermost() -> Array | None:
    """A traced argument of the innermost call of f under way on this thread; None outside of derivatives."""
    calls = IN_PROGRESS.calls
    return calls[-1].traced if calls else None


def adopted(array: Any, like: Array | None = None) -> Any:
    """A plain array of real or complex numbers, so that traced values can be written into it; else as it is."""
    if type(array) is not np.ndarray or not array.ndim or array.dtype.kind not in "fc":
        return array
    like = innermost() if like is None else like
    return array if like is None or like._closed else like._constant(array)


def stacked(value: Any) -> Any:
    """Lists and object arrays of traced numbers and of arrays as one array; anything else as it is."""
    if type(value) in (list, tuple) and is_traced(value):
        return np.stack([_part(v) for v in value])
    return absorb(value) if isa(value, np.ndarray) else value


def _part(value: Any) -> Any:
    value = stacked(value)
    return value if isinstance(value, Array) else np.asarray(value)
