"""NumPy's makers of arrays in lifted code: what they make takes traced values, and is made of traced numbers."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..face.creating import created
from ..face.dispatch import is_traced
from ..values.kinds import isa
from .active import adopted, innermost, stacked
from .standins import READING, stand_in, stand_in_for

__all__: list[str] = []


Keep = Callable[[Any], Any]


def _as_it_is(array: Any) -> Any:
    return array


def _table_of(*functions: Any) -> Callable:
    """Register makers of tables, which stay plain in functions that write into nothing."""

    def register(make: Callable[[Any, Keep], Callable]) -> Callable:
        for function in functions:
            stand_in(function, make(function, adopted))
            READING[id(function)] = (function, make(function, _as_it_is))
        return make

    return register


@_table_of(np.eye, np.identity, np.tri, np.arange)
def _maker(original: Callable, keep: Keep) -> Callable:
    @functools.wraps(original)
    def make(*args: Any, **kwargs: Any) -> Any:
        return keep(original(*args, **kwargs))

    return make


@stand_in_for(np.zeros, np.ones, np.empty, np.ndarray)
def _buffer(original: Callable) -> Callable:
    return _maker(original, adopted)


@_table_of(np.linspace, np.logspace, np.geomspace)
def _range(original: Callable, keep: Keep) -> Callable:
    @functools.wraps(original)
    def make(*args: Any, **kwargs: Any) -> Any:
        made = original(*[stacked(a) for a in args], **{k: stacked(v) for k, v in kwargs.items()})
        return (keep(made[0]), *made[1:]) if isinstance(made, tuple) else keep(made)

    return make


@stand_in_for(np.full)
def _full(original: Callable) -> Callable:
    def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", **kwargs: Any) -> Any:
        if not is_traced(fill_value):
            return adopted(original(shape, fill_value, dtype, order, **kwargs))
        filled = np.broadcast_to(stacked(fill_value), shape)
        return filled.copy() if dtype is None else filled.astype(dtype)

    return full


@stand_in_for(np.zeros_like, np.ones_like, np.empty_like, np.full_like)
def _like(original: Callable) -> Callable:
    @functools.wraps(original)
    def make(a: Any, *args: Any, **kwargs: Any) -> Any:
        if original is np.full_like and is_traced([*args[:1], kwargs.get("fill_value")]):
            return _full_like(a, *args, **kwargs)
        return adopted(original(stacked(a), *args, **kwargs))

    return make


def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, *, shape: Any = None
) -> Any:
    wanted = np.result_type(stacked(a)) if dtype is None else np.dtype(dtype)
    return np.broadcast_to(stacked(fill_value), np.shape(a) if shape is None else shape).astype(wanted)


# -- arrays of what is there already -----------------------------------------------------------------------------------


def _is_plain_copy(copy: Any) -> bool:
    return copy is True or (copy is not None and copy is not False and "ALWAYS" in str(copy))


def _converted(original: Callable, a: Any, dtype: Any, copies: bool) -> Any:
    """Traced numbers and arrays, in lists or as they are, as one array."""
    made = stacked(a)
    wanted = None if dtype is None or np.dtype(dtype).kind == "O" else np.dtype(dtype)
    if made.ndim == 0:
        made = created(made, np.asarray, (made,), {}) if wanted is None else made
    if wanted is not None and wanted != made.dtype:
        return made.astype(wanted)
    return made.copy() if copies and made is a else made


@_table_of(np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray)
def _array(original: Callable, keep: Keep) -> Callable:
    copies = original is np.array

    @functools.wraps(original)
    def make(a: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not is_traced(a):
            made = original(a, dtype, *args, **kwargs)
            new = type(a) in (list, tuple) or (copies and _is_plain_copy(kwargs.get("copy", True)))
            return keep(made) if new and made is not a else made
        made = _converted(original, a, dtype, copies and _is_plain_copy(kwargs.get("copy", True)))
        least = kwargs.get("ndmin", 0)
        least = max(least, 1) if original in (np.ascontiguousarray, np.asfortranarray) else least
        return made if made.ndim >= least else np.reshape(made, (1,) * (least - made.ndim) + made.shape)

    return make


@stand_in_for(np.asarray_chkfinite)
def _finite(original: Callable) -> Callable:
    def asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
        if not is_traced(a):
            return original(a, dtype, order)
        made = _converted(original, a, dtype, False)
        if not np.all(np.isfinite(made)):
            raise ValueError("array must not contain infs or NaNs")
        return made

    return asarray_chkfinite


@stand_in_for(np.require)
def _require(original: Callable) -> Callable:
    def require(a: Any, dtype: Any = None, requirements: Any = None, **kwargs: Any) -> Any:
        if not is_traced(a):
            return original(a, dtype, requirements, **kwargs)
        return _converted(original, a, dtype, False)

    return require


@_table_of(np.fromiter)
def _fromiter(original: Callable, keep: Keep) -> Callable:
    def fromiter(iter: Any, dtype: Any, count: int = -1, **kwargs: Any) -> Any:
        entries = list(iter) if count < 0 else [v for _, v in zip(range(count), iter, strict=False)]
        if not is_traced(entries):
            return keep(original(entries, dtype, count, **kwargs))
        if len(entries) < count:
            raise ValueError(f"iterator too short: Expected {count} but iterator had only {len(entries)} items.")
        return _converted(original, entries, dtype, False)

    return fromiter


@stand_in_for(np.atleast_1d, np.atleast_2d, np.atleast_3d, np.block)
def _of_lists(original: Callable) -> Callable:
    @functools.wraps(original)
    def make(*arrays: Any) -> Any:
        if original is np.block:
            return original(*arrays)
        return original(*[stacked(a) for a in arrays])

    return make


@stand_in_for(np.bmat)
def _bmat(original: Callable) -> Callable:
    def bmat(obj: Any, *args: Any, **kwargs: Any) -> Any:
        return np.block(obj) if _holds_traced(obj) else original(obj, *args, **kwargs)

    return bmat


def _holds_traced(value: Any) -> bool:
    return is_traced(value) or (isinstance(value, (list, tuple)) and any(map(_holds_traced, value)))


@_table_of(np.copy)
def _copy(original: Callable, keep: Keep) -> Callable:
    def copied(a: Any, *args: Any, **kwargs: Any) -> Any:
        return keep(original(stacked(a), *args, **kwargs))

    return copied


@_table_of(copy.copy, copy.deepcopy)
def _copied(original: Callable, keep: Keep) -> Callable:
    @functools.wraps(original)
    def copied(x: Any, *args: Any) -> Any:
        made = original(x, *args)
        return keep(made) if isa(x, np.ndarray) else made

    return copied


# -- whole calls with a traced value in a keyword ----------------------------------------------------------------------


@stand_in_for(np.vectorize)
def _vectorize(original: Any) -> Any:
    def vectorize(scope: Any, pyfunc: Any, *args: Any, **kwargs: Any) -> Any:
        new = scope.call(pyfunc)
        plain = original(new, *args, **kwargs)
        if args or kwargs.get("signature") or kwargs.get("excluded"):
            return plain

        def entries(*arrays: Any) -> Any:
            if not is_traced(list(arrays)) and innermost() is None:
                return plain(*arrays)
            given = np.broadcast_arrays(*[stacked(a) for a in arrays])
            shape = given[0].shape
            flat = [[g.reshape(-1)[i] for i in range(g.size)] for g in given]
            results = [new(*row) for row in zip(*flat, strict=True)]
            if not is_traced(results):
                return plain(*arrays)
            made = stacked(results)
            return made.reshape(shape) if shape else made[0]

        return entries

    vectorize.needs_scope = True  # type: ignore[attr-defined]
    return vectorize
