"""Covariance, counts with weights, histograms, and the NaN-ignoring variance, deviation and scans."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import MissingRuleError, user_line
from ..face.array import Array
from ..face.atoms import scatter
from ..face.dispatch import absorb, dispatch, is_traced
from ..face.indices import plain_index
from ..values.kinds import isa
from .reductions import root, squared_modulus
from .registry import composite, no_derivative

_NOT_GIVEN: Any = np._NoValue


@composite(np.nanvar)
def _nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = _NOT_GIVEN,
    correction: Any = _NOT_GIVEN,
) -> Any:
    there = ~np.isnan(a) if where is True else ~np.isnan(a) & where
    filled = np.where(there, a, 0.0)
    real = np.empty(0, a.dtype).real.dtype
    n = np.sum(there, axis=axis, keepdims=True, dtype=real)
    if mean is _NOT_GIVEN:
        mean = np.sum(filled, axis=axis, keepdims=True) / n
    squares = np.where(there, squared_modulus(filled - mean), 0.0)
    freedom = np.sum(there, axis=axis, keepdims=keepdims is True, dtype=real) - (
        ddof if correction is _NOT_GIVEN else correction
    )
    result = np.sum(squares, axis=axis, keepdims=keepdims is True) / np.where(freedom > 0, freedom, 1)
    return np.where(freedom > 0, result, np.nan) if np.any(freedom <= 0) else result


@composite(np.nanstd)
def _nanstd(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, **k: Any
) -> Any:
    return root(_nanvar(a, axis, dtype, None, ddof, keepdims, **k))


@composite(np.nancumsum)
def _nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return np.cumsum(np.where(np.isnan(a), 0.0, a), axis=axis)


@composite(np.nancumprod)
def _nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return np.cumprod(np.where(np.isnan(a), 1.0, a), axis=axis)


# -- covariance --------------------------------------------------------------------------------------------------------


def _as_rows(m: Any, rowvar: bool) -> Any:
    m = m if isinstance(m, Array) else np.asarray(m)
    if np.ndim(m) > 2:
        raise ValueError("m has more than 2 dimensions")
    if np.ndim(m) < 2:
        return np.reshape(m, (1, -1))
    return m if rowvar else np.transpose(m)


@composite(np.cov)
def _cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    m = _as_rows(m, rowvar)
    if y is not None:
        m = np.concatenate([m, _as_rows(y, rowvar)], axis=0)
    if not np.size(m):
        return np.full((len(m), len(m)) if np.shape(m)[0] else (0, 0), np.nan, np.result_type(m, float)).squeeze()
    ddof = (0 if bias else 1) if ddof is None else ddof
    n = np.shape(m)[1]
    weights = None
    if fweights is not None:
        weights = np.asarray(fweights, float)
    if aweights is not None:
        aweights = absorb(aweights)
        aweights = aweights if isinstance(aweights, Array) else np.asarray(aweights, float)
        weights = aweights if weights is None else weights * aweights
    if weights is None:
        centred = m - np.mean(m, axis=1, keepdims=True)
        freedom, weighted = n - ddof, centred
    else:
        total = np.sum(weights)
        centred = m - np.reshape(m @ weights / total, (-1, 1))
        if ddof == 0:
            freedom = total
        elif aweights is None:
            freedom = total - ddof
        else:
            freedom = total - ddof * np.sum(weights * aweights) / total
        weighted = centred * weights
    if freedom <= 0:  # NumPy warns, and divides by 0
        freedom = np.abs(0.0 * freedom)
    result = weighted @ (np.conj(centred.T) if np.iscomplexobj(centred) else centred.T) / freedom
    return np.squeeze(result)[()]


@composite(np.corrcoef)
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = np.cov(x, y, rowvar)
    if np.ndim(c) == 0:
        return c / c
    deviation = np.sqrt(np.real(np.diagonal(c)))
    c = c / np.expand_dims(deviation, 1) / deviation
    if np.iscomplexobj(c):
        return np.clip(np.real(c), -1, 1) + 1j * np.clip(np.imag(c), -1, 1)
    return np.clip(c, -1, 1)


# -- counting ----------------------------------------------------------------------------------------------------------


@composite(np.bincount)
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    x = x if isinstance(x, Array) else np.asarray(x, np.intp if type(x) in (list, tuple) else None)
    if not x.size:
        return np.bincount(np.empty(0, np.intp), None, minlength)
    if isinstance(x, Array):
        counts = np.bincount(x, minlength=int(minlength))  # its length is looked at, and not the numbers in x
        if weights is None:
            return counts
        n = counts.shape[0]
    else:
        n = max(int(minlength), int(x.max()) + 1)
    return scatter([weights], [x], (n,), np.result_type(weights, float))


@composite(np.histogram)
def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    if is_traced(bins):
        raise MissingRuleError(
            f"the counts of np.histogram have no derivative with respect to the bin edges ({user_line()}); "
            "adselect.ignore_derivatives(bins) makes them constant"
        )
    edges = _edges(a, bins, range, weights)
    fixed = dispatch(_fixed_edges, (a, bins, range, weights), {})
    places = np.searchsorted(fixed, np.reshape(a, -1), "right") - 1
    places = np.where(np.reshape(np.equal(a, fixed[-1]), -1), len(fixed) - 2, places)
    inside = plain_index(np.flatnonzero((places >= 0) & (places < len(fixed) - 1)))
    places = plain_index(places)
    if is_traced(weights):
        counts = scatter([np.reshape(weights, -1)[inside]], [places[inside]], (len(fixed) - 1,), weights.dtype)
    else:
        counts = np.bincount(
            places[inside], None if weights is None else np.reshape(weights, -1)[inside], len(fixed) - 1
        )
    if density:
        return counts / np.diff(edges) / np.sum(counts), edges
    return counts, edges


def _edges(a: Any, bins: Any, range: Any, weights: Any) -> Any:
    """The edges of a histogram, which follow the extremes of a where nothing fixes them."""
    if isa(bins, (int, np.integer)) and range is None and isinstance(a, Array) and np.size(a):
        low, high = np.min(a), np.max(a)
        return (
            np.linspace(low, high, int(bins) + 1) if low != high else np.linspace(low - 0.5, high + 0.5, int(bins) + 1)
        )
    return dispatch(_fixed_edges, (a, bins, range, weights), {})


def _fixed_edges(a: Any, bins: Any, range: Any, weights: Any) -> Any:
    return np.histogram_bin_edges(a, bins, range, weights)


no_derivative(_fixed_edges)


@composite(np.histogram_bin_edges)
def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    return _edges(a, bins, range, weights)


def _no_histogram(name: str) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise MissingRuleError(
            f"np.{name} of traced values has no derivative rule ({user_line()}): counts do not change under small "
            f"changes. Pass adselect.ignore_derivatives(x), or np.histogram for weights that are to be differentiated"
        )

    return refuse


composite(np.histogram2d)(_no_histogram("histogram2d"))
composite(np.histogramdd)(_no_histogram("histogramdd"))
