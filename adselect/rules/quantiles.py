"""Order statistics: median, quantile, percentile and their NaN-ignoring forms, with all methods.

A quantile lies between two elements of the sorted array. Where in between does not depend on the elements: it is what
NumPy computes as the quantile of 0, 1, …, n - 1. Elements equal to one that is chosen share its derivative equally.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.atoms import dispatched
from ..face.dispatch import absorb, is_traced, plain
from ..face.indices import plain_index
from ..values.kinds import isa
from .reductions import merged_axes
from .registry import composite, define, elementwise, no_derivative
from .rule import somewhere

# How fast the rank of a quantile moves with q, as (n times, plus); the methods not listed jump.
_PACE = {
    "linear": (1, -1.0),
    "interpolated_inverted_cdf": (1, 0.0),
    "hazen": (1, 0.0),
    "weibull": (1, 1.0),
    "median_unbiased": (1, 1 / 3),
    "normal_unbiased": (1, 1 / 4),
}
# The methods that pick an element and never lie between two.
WHOLE = frozenset({"lower", "higher", "nearest", "inverted_cdf", "closest_observation"})


@dispatched
def ranked(a: Any, k: int) -> Any:
    """The element of rank k along the last axis (the primitive)."""
    return np.take(np.partition(a, k, axis=-1), k, axis=-1)


def _share(y: Any, a: Any) -> Any:
    chosen = np.equal(a, np.expand_dims(y, -1))
    return chosen / np.maximum(np.sum(chosen, axis=-1, keepdims=True), 1)


define(
    ranked,
    (lambda g, y, a, k: np.expand_dims(g, -1) * _share(y, a),),
    (lambda d, y, a, k: np.sum(d * _share(y, a), axis=-1),),
)


@dispatched
def rank_of(q: Any, n: int, method: Any) -> Any:
    """The rank, from 0 to n - 1 and with a fraction, of the quantile q of n elements."""
    return np.quantile(np.arange(float(n)), q, method=method)


def _rank_slope(g: Any, y: Any, q: Any, n: int, method: str) -> Any:
    if method not in _PACE:
        return g * 0.0
    times, plus = _PACE[method]
    return g * ((times * n + plus) * (((y > 0) & (y < n - 1)) | (method == "linear")))


elementwise(rank_of, _rank_slope, None, None)


def _at_rank(a: Any, rank: Any, q: Any, method: str) -> Any:
    """The elements at a rank with a fraction, along the last axis."""
    low = int(np.floor(rank).astype(int))  # traced or not: a position carries no derivative
    below = ranked(a, low)
    part = rank - low if isinstance(rank, Array) else float(rank) - low
    last = np.shape(a)[-1] - 1
    if low == last or (not isinstance(part, Array) and part == 0):
        if method in WHOLE or not somewhere(np.isinf(a)):
            return below
        under, over = (low, low) if low == last else _beside(low, last + 1, q, method)
        return below + (ranked(a, over) - ranked(a, under)) * 0.0
    above = ranked(a, low + 1)
    step = above - below
    # The end nearer to the quantile is the one to start from.
    return below + step * part if part < 0.5 else above - step * (1 - part)


def _beside(k: int, n: int, q: Any, method: str) -> tuple[int, int]:
    """The ranks between which NumPy computes the quantile q, which is the element of rank k exactly.

    An infinite neighbour of weight zero makes a NaN, which tells them.
    """
    places = np.arange(n)
    reaching = [np.where(places < k, -np.inf, 0.0), np.where(places > k, np.inf, 0.0)]
    below, above = [bool(np.isnan(np.quantile(a, q, method=method))) for a in reaching]  # type: ignore[call-overload]
    return k - below, k + above


@dispatched
def weighted_rank(weights: Any, q: Any, method: Any) -> Any:
    """The rank of the quantile q of elements with weights, which are given in the order of the elements."""
    return np.quantile(np.arange(len(weights)), q, weights=weights, method=method)


no_derivative(weighted_rank)


def _quantile_of_rows(a: Any, q: Any, method: str, weights: Any) -> Any:
    """Quantiles along the last axis, for one number q."""
    n = np.shape(a)[-1]
    if weights is None:
        result = _at_rank(a, rank_of(q if isinstance(q, Array) else float(q), n, method), q, method)
    else:
        rows, rows_of_weights = np.reshape(a, (-1, n)), np.reshape(weights, (-1, n))
        picked = []
        for row, w in zip(rows, rows_of_weights, strict=True):
            order = np.argsort(row)
            picked.append(ranked(row, int(weighted_rank(w[plain_index(order)], q, method))))
        result = np.reshape(np.stack(picked), np.shape(a)[:-1])
    undefined = np.isnan(a).any(axis=-1)
    return np.where(undefined, np.nan, result) if somewhere(undefined) else result


def _without_nan(of_rows: Any) -> Any:
    """The same, ignoring NaN: row by row, as every row has a length of its own."""

    def kernel(a: Any, q: Any, method: str, weights: Any) -> Any:
        if not np.any(np.isnan(a)):
            return of_rows(a, q, method, weights)
        n = np.shape(a)[-1]
        rows = np.reshape(a, (-1, n))
        rows_of_weights = [None] * len(rows) if weights is None else np.reshape(weights, (-1, n))
        results = []
        for row, w in zip(rows, rows_of_weights, strict=True):
            there = np.flatnonzero(~np.isnan(row))
            w = None if w is None else w[there]
            results.append(of_rows(row[there], q, method, w) if len(there) else a.dtype.type(np.nan))
        return np.reshape(np.stack(results), np.shape(a)[:-1])

    return kernel


@functools.cache
def quantile_dtype(function: Any, a: Any, q: Any, method: str, weighted: bool = False) -> Any:
    """NumPy's dtype of a quantile, of the dtypes of the array and of q, which may be a Python number's class."""
    options = {"weights": np.ones(1)} if weighted else {}
    q = np.ones((), q)[()] if isinstance(q, np.dtype) else q(1)
    return function(np.ones(1, a), q, method=method, **options).dtype


def _quantiles(kernel: Any, a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any, dtype: Any) -> Any:
    rows, order, _ = merged_axes(a, axis)
    if weights is not None:
        if method != "inverted_cdf":
            raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
        if np.shape(weights) != np.shape(a):
            weights = np.reshape(weights, [n if i == axis % np.ndim(a) else 1 for i, n in enumerate(np.shape(a))])
        weights = merged_axes(np.broadcast_to(weights, np.shape(a)), axis)[0]
    single = np.ndim(q) == 0
    results = [kernel(rows, one, method, weights) for one in (q if not single else [q])]
    if keepdims is True:
        reduced = order[np.ndim(rows) - 1 :]
        shape = [1 if i in reduced else n for i, n in enumerate(np.shape(a))]
        results = [np.reshape(r, shape) for r in results]
    result = results[0] if single else np.stack(results)
    return result if dtype is None or dtype.kind != "f" or dtype == result.dtype else result.astype(dtype)


def _flattened(q: Any, function: Any) -> Any:
    """``function(q)`` for a q of any shape, by way of one axis."""
    if np.ndim(q) < 2:
        return function(q if isa(q, (Array, np.ndarray)) or np.ndim(q) == 0 else np.asarray(q))
    result = function(np.reshape(q, -1))
    return np.reshape(result, np.shape(q) + np.shape(result)[1:])


def _register(function: Any, kernel: Any, scale: float) -> None:
    def quantile(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = False,
        *,
        weights: Any = None,
    ) -> Any:
        a = a if isinstance(a, Array) else np.asarray(a)
        if not np.size(a):
            return function(np.empty(a.shape, a.dtype), plain(q), axis, method=method, keepdims=keepdims)
        q = np.asarray(q) if type(q) in (list, tuple) and not is_traced(q) else absorb(q)
        dtype = quantile_dtype(function, a.dtype, getattr(q, "dtype", type(q)), method, weights is not None)
        if dtype.kind == a.dtype.kind == "f" and dtype != a.dtype:
            a = a.astype(dtype)
        return _flattened(q, lambda q: _quantiles(kernel, a, q / scale, axis, method, keepdims, weights, dtype))

    composite(function)(quantile)


_register(np.quantile, _quantile_of_rows, 1)
_register(np.percentile, _quantile_of_rows, 100)
_register(np.nanquantile, _without_nan(_quantile_of_rows), 1)
_register(np.nanpercentile, _without_nan(_quantile_of_rows), 100)


def _middle(rows: Any) -> Any:
    n = np.shape(rows)[-1]
    low = ranked(rows, (n - 1) // 2)
    return low if n % 2 else (low + ranked(rows, n // 2)) / 2


def _median_of_rows(rows: Any, q: Any, method: str, weights: Any) -> Any:
    undefined = np.isnan(rows).any(axis=-1)
    return np.where(undefined, np.nan, _middle(rows)) if np.any(undefined) else _middle(rows)


_median_without_nan = _without_nan(_median_of_rows)


@composite(np.median)
def _median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    if not np.size(a):
        return np.median(np.empty(np.shape(a), np.result_type(a)), axis, keepdims=keepdims)
    return _quantiles(_median_of_rows, a, 0.5, axis, "", keepdims, None, None)


@composite(np.nanmedian)
def _nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    if not np.size(a):
        return np.nanmedian(np.empty(np.shape(a), np.result_type(a)), axis, keepdims=keepdims)
    return _quantiles(_median_without_nan, a, 0.5, axis, "", keepdims, None, None)
