"""Order statistics: median, quantile, percentile and their NaN-ignoring forms, with all methods.

A quantile lies between two elements of the sorted array. Where in between does not depend on the elements: it is what
NumPy computes as the quantile of 0, 1, …, n - 1. Elements equal to one that is chosen share its derivative equally.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import Array, plain, plain_index
from ..kinds import isa
from .reductions import _merged
from .registry import composite, define, dispatched, elementwise, no_derivative

# How fast the rank of a quantile moves with q, as (n times, plus); the methods not listed jump.
_PACE = {
    "linear": (1, -1.0),
    "interpolated_inverted_cdf": (1, 0.0),
    "hazen": (1, 0.0),
    "weibull": (1, 1.0),
    "median_unbiased": (1, 1 / 3),
    "normal_unbiased": (1, 1 / 4),
}


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


def _at_rank(a: Any, rank: Any) -> Any:
    """The elements at a rank with a fraction, along the last axis."""
    low = int(np.floor(rank).astype(int))  # traced or not: a position carries no derivative
    below = ranked(a, low)
    part = rank - low if isinstance(rank, Array) else float(rank) - low
    if low + 1 == np.shape(a)[-1] or (not isinstance(part, Array) and part == 0):
        return below
    step = ranked(a, low + 1) - below
    # The end nearer to the quantile is the one to start from.
    return below + step * part if part < 0.5 else (below + step) - step * (1 - part)


@dispatched
def weighted_rank(weights: Any, q: Any, method: Any) -> Any:
    """The rank of the quantile q of elements with weights, which are given in the order of the elements."""
    return np.quantile(np.arange(len(weights)), q, weights=weights, method=method)


no_derivative(weighted_rank)


def _quantile_of_rows(a: Any, q: Any, method: str, weights: Any) -> Any:
    """Quantiles along the last axis, for one number q."""
    n = np.shape(a)[-1]
    if weights is None:
        result = _at_rank(a, rank_of(q if isinstance(q, Array) else float(q), n, method))
    else:
        rows, rows_of_weights = np.reshape(a, (-1, n)), np.reshape(weights, (-1, n))
        picked = []
        for row, w in zip(rows, rows_of_weights, strict=True):
            order = np.argsort(row)
            picked.append(ranked(row, int(weighted_rank(w[plain_index(order)], q, method))))
        result = np.reshape(np.stack(picked), np.shape(a)[:-1])
    undefined = np.isnan(a).any(axis=-1)
    return np.where(undefined, np.nan, result) if np.any(undefined) else result


def _without_nan(a: Any, q: Any, method: str, weights: Any) -> Any:
    """The same, ignoring NaN: row by row, as every row has a length of its own."""
    if not np.any(np.isnan(a)):
        return _quantile_of_rows(a, q, method, weights)
    n = np.shape(a)[-1]
    rows = np.reshape(a, (-1, n))
    rows_of_weights = [None] * len(rows) if weights is None else np.reshape(weights, (-1, n))
    results = []
    for row, w in zip(rows, rows_of_weights, strict=True):
        there = np.flatnonzero(~np.isnan(row))
        results.append(
            _quantile_of_rows(row[there], q, method, None if w is None else w[there])
            if len(there)
            else a.dtype.type(np.nan)
        )
    return np.reshape(np.stack(results), np.shape(a)[:-1])


def _quantiles(kernel: Any, a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any) -> Any:
    rows, order, _ = _merged(a, axis)
    if weights is not None:
        if method != "inverted_cdf":
            raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
        if np.shape(weights) != np.shape(a):
            weights = np.reshape(weights, [n if i == axis % np.ndim(a) else 1 for i, n in enumerate(np.shape(a))])
        weights = _merged(np.broadcast_to(weights, np.shape(a)), axis)[0]
    single = np.ndim(q) == 0
    results = [kernel(rows, one, method, weights) for one in (q if not single else [q])]
    if keepdims is True:
        reduced = order[np.ndim(rows) - 1 :]
        shape = [1 if i in reduced else n for i, n in enumerate(np.shape(a))]
        results = [np.reshape(r, shape) for r in results]
    result = results[0] if single else np.stack(results)
    wide = np.result_type(a.dtype, q.dtype) if not single and hasattr(q, "dtype") and hasattr(a, "dtype") else None
    return result if wide is None or wide.kind not in "fc" or wide == result.dtype else result.astype(wide)


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
        return _flattened(q, lambda q: _quantiles(kernel, a, q / scale, axis, method, keepdims, weights))

    composite(function)(quantile)


_register(np.quantile, _quantile_of_rows, 1)
_register(np.percentile, _quantile_of_rows, 100)
_register(np.nanquantile, _without_nan, 1)
_register(np.nanpercentile, _without_nan, 100)


def _middle(rows: Any) -> Any:
    n = np.shape(rows)[-1]
    low = ranked(rows, (n - 1) // 2)
    return low if n % 2 else (low + ranked(rows, n // 2)) / 2


def _median_of_rows(rows: Any, q: Any, method: str, weights: Any) -> Any:
    undefined = np.isnan(rows).any(axis=-1)
    return np.where(undefined, np.nan, _middle(rows)) if np.any(undefined) else _middle(rows)


@composite(np.median)
def _median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    if not np.size(a):
        return np.median(np.empty(np.shape(a), np.result_type(a)), axis, keepdims=keepdims)
    return _quantiles(_median_of_rows, a, 0.5, axis, "", keepdims, None)


@composite(np.nanmedian)
def _nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    return np.nanquantile(a, 0.5, axis=axis, keepdims=keepdims is True)
