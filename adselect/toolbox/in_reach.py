"""What a function may use besides its arguments: its defaults, its closure, its object, the globals it names."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..face.array import Array
from ..values.kinds import isa

__all__ = ["in_reach", "traced_out_of_reach"]

_DEPTH = 4  # containers and functions that are looked into
_ENDS = (np.ndarray, np.generic, str, bytes, int, float, complex, type(None), type, type(sys))


def in_reach(value: Any, depth: int = _DEPTH, seen: set[int] | None = None) -> Iterator[Any]:
    """Everything that is found in a value: in containers, fields of objects, closures and globals of functions."""
    seen = set() if seen is None else seen
    if id(value) in seen or depth < 0:
        return
    seen.add(id(value))
    yield value
    if not isinstance(value, Array) and not isa(value, _ENDS):
        for part in _parts(value):
            yield from in_reach(part, depth - 1, seen)


def traced_out_of_reach(f: Any, leaves: list) -> str | None:
    """The description of a traced value that f may use and that is none of the leaves; None where there is none."""
    known = {id(leaf) for leaf in leaves}
    for value in in_reach(f):
        if isinstance(value, Array) and not value._closed and id(value) not in known and value.dtype.kind in "fc":
            return f"of shape {value.shape}"
    return None


def _parts(value: Any) -> list:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set)):
        return list(value)
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    found: list = [getattr(value, n, None) for n in ("__self__", "__defaults__", "__kwdefaults__")]
    code = getattr(value, "__code__", None)
    if code is not None:
        names = getattr(value, "__globals__", {})
        found += [names[n] for n in code.co_names if n in names]
        for cell in getattr(value, "__closure__", None) or ():
            try:
                found.append(cell.cell_contents)
            except ValueError:  # not filled yet
                continue
    else:
        found.append(getattr(value, "__dict__", None))
    return found
