"""Values and prepared objects under way: conversion that keeps every value, and what can be sent elsewhere."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError
from ..structure.leaves import leaf_dtype
from ..structure.projection import project
from ..values.kinds import isa
from ..values.natives import is_native, to_numpy

__all__ = ["lossless", "require_picklable"]


def lossless(leaf: Any, like: Any) -> tuple[Any, str]:
    """``(leaf in the kind and dtype of like, "")``, or ``(None, reason)`` where a value or the shape would change.

    >>> lossless(3, 1.0), lossless(3.7, 1)[1]
    ((3.0, ''), 'float64 is not converted to int64')
    """
    shape = tuple(leaf.shape) if hasattr(leaf, "shape") else ()
    if shape != (tuple(like.shape) if hasattr(like, "shape") else ()):
        return None, "shapes are not converted"
    there, here = leaf_dtype(like), leaf_dtype(leaf)
    if isa(like, Fraction):
        return (Fraction(leaf), "") if isa(leaf, (int, float, Fraction)) else (None, "only real numbers are converted")
    if there is None or (here is None and not isa(leaf, Fraction)):
        return None, "this dtype is not converted"
    if here is not None and not np.can_cast(here, there, "same_kind"):
        return None, f"{here} is not converted to {there}"
    if isa(leaf, Fraction):
        number = float(leaf)
        if number != leaf:
            return None, f"{there} cannot hold the value {leaf}"
        leaf = number
    with np.errstate(all="ignore"):
        value = _as_kind(leaf, like, there)
        before, after = np.asarray(to_numpy(leaf)), np.asarray(to_numpy(value))
        again = (after.real if before.dtype.kind != "c" else after).astype(before.dtype)
        same = (again == before) | ((again != again) & (before != before))
        if not np.all(same):
            return None, f"{there} cannot hold the value {before[~same].flat[0]!s}"
    return value, ""


def _as_kind(leaf: Any, like: Any, dtype: np.dtype) -> Any:
    if is_native(like) or dtype.kind not in "iu":
        return project(leaf, like)
    if isa(like, np.ndarray):
        return np.asarray(to_numpy(leaf)).astype(dtype)  # a gradient of integers is one of floats, an argument is not
    return type(like)(to_numpy(leaf))


# -- pickling ----------------------------------------------------------------------------------------------------------

_PACKING = threading.local()


def require_picklable(owner: Any, operator: str, f: Callable, recipe: dict[str, Any]) -> None:
    """Raise an error that names f, or the other part, that cannot be pickled.

    A pickler that takes any function by value is left alone.
    """
    under_way = _PACKING.__dict__.setdefault("owners", set())
    if id(owner) in under_way or _by_value():
        return
    under_way.add(id(owner))
    code = getattr(f, "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    parts = {
        f"its function {getattr(f, '__qualname__', f)}{where}": f,
        "its example arguments": recipe["_args"],
        "its keyword arguments": recipe["options"],
        f"its choice {recipe['adtype']!r}": recipe["adtype"],
    }
    try:
        for name, part in parts.items():
            _try_to_pickle(operator, name, part)
    finally:
        under_way.discard(id(owner))


def _try_to_pickle(operator: str, name: str, part: Any) -> None:
    try:
        pickle.dumps(part)
    except Exception as error:
        way_out = ""
        if name.startswith("its function"):
            way_out = (
                " Define it with def at the top level of a module, or as an object of a class that is defined there."
            )
        raise ADSelectTypeError(
            f"the prepared {operator} cannot be pickled, since {name} cannot: {error}.{way_out}"
        ) from error


def _by_value() -> bool:
    """Whether the pickler at work is one of those that write functions down by value."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if "cloudpickle" in name or name.partition(".")[0] == "dill":
            return True
        frame = frame.f_back
    return False
