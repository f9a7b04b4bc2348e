"""Calls of installed packages with nothing traced in them: the function as it is, whose compiled parts can run."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ..calls.installed import is_installed

__all__ = ["unless_plain"]

_NUMBERS = frozenset({int, float, complex, bool, str, bytes, type(None), type(Ellipsis), slice, range, np.dtype})
_DEPTH = 3


def unless_plain(function: types.FunctionType, rebuilt: Callable) -> Callable:
    """rebuilt, of an installed package's function; the function itself in calls that cannot lead to a traced value."""
    if not is_installed((function.__globals__.get("__name__") or "").partition(".")[0]):
        return rebuilt

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        plain = _is_plain(args, _DEPTH) and (not kwargs or _is_plain(list(kwargs.values()), _DEPTH))
        return (function if plain and (args or kwargs) else rebuilt)(*args, **kwargs)

    return call


def _is_plain(value: Any, depth: int) -> bool:
    """Whether there are plain numbers, arrays and texts in a value, and nothing that may hold anything else."""
    kind = type(value)
    if kind in _NUMBERS or issubclass(kind, np.generic):
        return True
    if kind is np.ndarray:
        return value.dtype != object
    if not depth:
        return False
    if kind is list or kind is tuple:
        return all([_is_plain(v, depth - 1) for v in value])
    if kind is dict:
        return all([_is_plain(v, depth - 1) for v in value.values()])
    fields = getattr(value, "__dict__", None)
    if type(fields) is dict and is_installed(kind.__module__.partition(".")[0]):
        return all([_is_plain(v, depth - 1) for v in fields.values()])
    return False
