"""NumPy's functions that write in place: copyto, put, place, putmask and the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .creating import into_plain
from .dispatch import listed
from .indices import plain_index
from .refusals import refused_number
from .traced import Traced
from .views import put_flat


def check_where(where: Any) -> None:
    """NumPy's error for a mask that is not of truth values."""
    dtype = np.result_type(where) if not isinstance(where, (list, tuple)) else np.asarray(where).dtype
    if dtype.kind != "b":
        raise TypeError(f"Cannot cast array data from {dtype!r} to dtype('bool') according to the rule 'safe'")


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if where is not True:
        check_where(where)
    if not isinstance(dst, Traced):
        return into_plain(np.copyto, dst, src, casting=casting, where=plain_index(where))
    given = getattr(src, "dtype", None)
    if given != dst.dtype:
        like = np.empty((), dst.dtype)
        np.copyto(like, np.zeros((), given) if given is not None else np.ravel(src)[0], casting=casting)  # type: ignore[arg-type]
    dst[...] = src if where is True else np.where(where, src, dst)


def whole(ind: Any) -> Any:
    """The plain places behind ``ind``, with NumPy's error for an array of floats."""
    if isinstance(ind, Traced) and ind.dtype.kind in "fc" and ind._integers() is None:
        if not ind.ndim:
            raise refused_number("int", ())
        raise TypeError(f"Cannot cast array data from {ind.dtype!r} to {np.dtype(int)!r} according to the rule 'safe'")
    return plain_index(ind)


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    if not isinstance(a, Traced):
        return into_plain(np.put, a, whole(ind), v, mode=mode)
    a.put(ind, v, mode)


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    if not isinstance(a, Traced):
        return into_plain(np.fill_diagonal, a, val, wrap=wrap)
    places = np.zeros(a.shape, bool)
    np.fill_diagonal(places, True, wrap=wrap)  # or NumPy's error about the shape
    places = np.flatnonzero(places)
    put_flat(a, places, _repeated(val, len(places)))


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any = -1) -> None:
    if not isinstance(arr, Traced):
        return into_plain(np.put_along_axis, arr, plain_index(indices), values, axis=axis)
    positions = np.take_along_axis(np.arange(arr.size).reshape(arr.shape), plain_index(indices), axis)
    put_flat(arr, positions.ravel(), np.reshape(np.broadcast_to(values, positions.shape), -1))


def _repeated(values: Any, n: int) -> Any:
    """The first n of values, which are used again and again."""
    values = np.ravel(listed(values))
    return values[np.arange(n) % values.size]


def truth(mask: Any) -> Any:
    """The truth values of a mask, which may be of any numbers."""
    mask = listed(mask)
    return plain_index(mask if mask.dtype.kind == "b" else mask != 0) if isinstance(mask, Traced) else mask


def _place(arr: Any, mask: Any, vals: Any) -> None:
    if not isinstance(arr, Traced):
        return into_plain(np.place, arr, truth(mask), vals)
    mask = np.asarray(truth(mask), bool)
    n = int(mask.sum())
    if mask.size != arr.size:
        raise ValueError("place: mask and data must be the same size")
    if n and not np.size(vals):
        raise ValueError("Cannot insert from an empty array!")
    arr[mask.reshape(arr.shape)] = np.resize(vals, n)


def _putmask(a: Any, mask: Any, values: Any) -> None:
    if not isinstance(a, Traced):
        return into_plain(np.putmask, a, truth(mask), values)
    mask = truth(mask)
    if np.size(mask) != a.size:
        raise ValueError("putmask: mask and data must be the same size")
    if isinstance(mask, Traced):  # of a program being written, which computes it anew in every replay
        a[...] = np.where(mask, np.resize(values, a.shape), a)
        return
    mask = np.asarray(mask, bool).reshape(a.shape)
    a[mask] = np.resize(values, a.shape)[mask]


WRITERS: dict[Any, Callable] = {
    np.copyto: _copyto,
    np.put: _put,
    np.fill_diagonal: _fill_diagonal,
    np.put_along_axis: _put_along_axis,
    np.place: _place,
    np.putmask: _putmask,
}
