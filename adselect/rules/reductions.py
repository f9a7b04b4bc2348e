"""Reductions and scans: sum, mean, products, extrema, variance, cumulative sums and products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.atoms import dispatched
from ..face.dispatch import dispatch
from ..values.kinds import isa
from .registry import composite, define, elementwise
from .rule import AtIndex, choose, kink

NOT_GIVEN: Any = np._NoValue
_ADD: Any = np.add.reduce


def expand(g: Any, axis: Any, keepdims: bool, shape: tuple) -> Any:
    """g, broadcastable to a reduction's result, with the reduced axes back as 1: broadcastable to the input's shape."""
    g_shape = np.shape(g)
    if axis is None or not shape:  # NumPy lets axis 0 and -1 name what a 0-d array has not
        return np.reshape(g, (1,) * len(shape)) if keepdims or g_shape else g
    if keepdims or not g_shape:
        return g
    axes = sorted([a % len(shape) for a in axis]) if isinstance(axis, (tuple, list)) else (axis % len(shape),)
    new = [1] * (len(shape) - len(g_shape) - len(axes)) + list(g_shape)
    for a in axes:
        new.insert(a, 1)
    return g.reshape(new) if type(g) is np.ndarray else np.reshape(g, tuple(new))


def count(shape: tuple, axis: Any) -> int:
    """How many elements are reduced into one."""
    n = 1
    for a in range(len(shape)) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,):
        n *= shape[a]
    return n


def _fast_sum(
    a: Any, axis: Any = None, dtype: Any = None, keepdims: Any = False, initial: Any = NOT_GIVEN, where: Any = True
) -> Any:
    if initial is NOT_GIVEN and where is True:
        return _ADD(a, axis, dtype, None, bool(keepdims) if keepdims is not NOT_GIVEN else False)
    return np.sum(
        a, axis=axis, dtype=dtype, keepdims=keepdims, initial=0 if initial is NOT_GIVEN else initial, where=where
    )


def _sum_vjp(
    g: Any,
    y: Any,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    initial: Any = 0,
    where: Any = True,
) -> Any:
    if axis is None and not keepdims and where is True:
        return g  # lazy: equal entries everywhere
    g = expand(g, axis, keepdims is True, np.shape(a))
    return g if where is True else g * where


def _sum_jvp(
    d: Any,
    y: Any,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    initial: Any = 0,
    where: Any = True,
) -> Any:
    return (
        np.sum(d, axis=axis, keepdims=keepdims)
        if where is True
        else np.sum(d, axis=axis, keepdims=keepdims, where=where)
    )


define(np.sum, (_sum_vjp,), (_sum_jvp,), call=_fast_sum, lazy=True, keeps_zeros=True)


def _number(a: Any, axis: Any, keepdims: Any, where: Any) -> Any:
    """How many elements enter each mean."""
    if where is True:
        return count(np.shape(a), axis)
    return np.sum(np.broadcast_to(where, np.shape(a)), axis=axis, keepdims=keepdims is True)


def _fast_mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: Any = False, where: Any = True) -> Any:
    if (
        where is True
        and dtype is None
        and isa(a, (np.ndarray, Array))
        and a.dtype.kind in "fc"
        and a.dtype.itemsize > 2
    ):
        return _ADD(a, axis, None, None, keepdims is True) / count(a.shape, axis)
    return np.mean(a, axis=axis, dtype=dtype, keepdims=keepdims is True, where=where)


def _mean_vjp(
    g: Any, y: Any, a: Any, axis: Any = None, dtype: Any = None, keepdims: Any = False, where: Any = True
) -> Any:
    return _sum_vjp(g / _number(a, axis, keepdims, where), y, a, axis, None, keepdims, 0, where)


def _mean_jvp(
    d: Any, y: Any, a: Any, axis: Any = None, dtype: Any = None, keepdims: Any = False, where: Any = True
) -> Any:
    return _sum_jvp(d, y, a, axis, None, keepdims, 0, where) / _number(a, axis, keepdims, where)


define(np.mean, (_mean_vjp,), (_mean_jvp,), call=_fast_mean, lazy=True)


def _others(a: Any, axis: int) -> Any:
    """Along one axis, the product of all elements but the one at each place: exact with zeros, to any order."""
    n = np.shape(a)[axis]
    lead = (slice(None),) * axis
    before, after = [], []
    left = right = None
    for i in range(n):
        before.append(left)
        after.append(right)
        x, z = a[(*lead, i)], a[(*lead, n - 1 - i)]
        left = x if left is None else exactly(left, x)
        right = z if right is None else exactly(right, z)
    after.reverse()
    one = np.ones(np.shape(a)[:axis] + np.shape(a)[axis + 1 :])
    parts = [_product(b, c, one) for b, c in zip(before, after, strict=True)]
    return np.stack(parts, axis=axis)


def _product(b: Any, c: Any, one: Any) -> Any:
    if b is None:
        return one if c is None else c
    return b if c is None else exactly(b, c)


@dispatched
def exactly(a: Any, b: Any) -> Any:
    """``a * b`` of factors that may have overflowed (a primitive): 0 where one of them is 0, whatever the other is."""
    product = np.multiply(a, b)
    if np.isfinite(np.add.reduce(product, None)):
        return product
    return choose(np.equal(a, 0) | np.equal(b, 0), 0.0, product)


elementwise(exactly, lambda g, y, a, b: exactly(g, b), lambda g, y, a, b: exactly(g, a))


def merged_axes(a: Any, axis: Any) -> tuple[Any, tuple, tuple]:
    """a with the reduced axes moved to the end and merged; the order used and the shape before merging."""
    ndim = np.ndim(a)
    axes = range(ndim) if axis is None or not ndim else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple([x % ndim for x in axes])
    order = tuple(i for i in range(ndim) if i not in axes) + axes
    moved = np.transpose(a, order)
    shape = np.shape(moved)
    return np.reshape(moved, (*shape[: ndim - len(axes)], -1)), order, shape


def _is_quotient(y: Any) -> bool:
    """Whether a product without one of its factors is the quotient of the two: none is 0, none has overflowed."""
    if type(y) is np.float64:
        return y != 0 and math.isfinite(y)
    return bool(np.all(np.isfinite(y) & np.not_equal(y, 0)))


def _prod_partials(y: Any, a: Any, axis: Any, keepdims: bool) -> Any:
    if np.ndim(a) == 0:
        return np.ones(())
    if _is_quotient(y):
        return expand(y, axis, keepdims, np.shape(a)) / a
    merged, order, shape = merged_axes(a, axis)
    partials = np.reshape(_others(merged, np.ndim(merged) - 1), shape)
    return np.transpose(partials, tuple(int(i) for i in np.argsort(order)))


def _times(p: Any) -> Any:
    """How cotangents and tangents are multiplied with these partial derivatives, which may have overflowed."""
    return np.multiply if np.all(np.isfinite(p)) else exactly


def _prod_vjp(
    g: Any,
    y: Any,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    initial: Any = 1,
    where: Any = True,
) -> Any:
    if where is not True:
        a = np.where(where, a, 1.0)
    p = _prod_partials(y if initial is NOT_GIVEN or initial == 1 else y / initial, a, axis, keepdims is True)
    p = p if initial is NOT_GIVEN or initial == 1 else p * initial
    times = np.multiply if _is_quotient(y) else _times(p)
    x_bar = times(expand(g, axis, keepdims is True, np.shape(a)), np.conj(p))
    return x_bar if where is True else x_bar * where


def _prod_jvp(
    d: Any,
    y: Any,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    initial: Any = 1,
    where: Any = True,
) -> Any:
    if where is not True:
        a, d = np.where(where, a, 1.0), np.where(where, d, 0.0)
    p = _prod_partials(y, a, axis, keepdims is True)
    if initial is not NOT_GIVEN and np.any(np.equal(a, 0)):
        p = p * initial
    return np.sum(_times(p)(d, p), axis=axis, keepdims=keepdims)


define(np.prod, (_prod_vjp,), (_prod_jvp,))


def _extremum_weights(y: Any, a: Any, axis: Any, keepdims: bool, where: Any, initial: Any) -> Any:
    chosen = np.equal(a, expand(y, axis, keepdims, np.shape(a)))
    if where is not True:
        chosen = chosen & where
    n = np.sum(chosen, axis=None if axis is None else tuple(axis) if isinstance(axis, list) else axis, keepdims=True)
    if initial is not None and initial is not NOT_GIVEN:  # one more candidate
        n = n + np.equal(expand(y, axis, keepdims, np.shape(a)), initial)
    return chosen / np.maximum(n, 1).astype(y.dtype if y.dtype.kind == "f" else float)


def _extremum_vjp(
    g: Any, y: Any, a: Any, axis: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
) -> Any:
    if axis is None and where is True and initial is None and type(a) is np.ndarray and np.ndim(g) == 0 and a.ndim:
        chosen = a.reshape(-1) == y
        if np.count_nonzero(chosen) == 1:  # no ties: the cotangent goes to one place
            place = int(chosen.argmax())
            return AtIndex(place if a.ndim == 1 else np.unravel_index(place, a.shape), g)
    if where is True and (initial is None or initial is NOT_GIVEN):
        if isinstance(g, Array) or isinstance(y, Array) or isinstance(a, Array):
            return dispatch(spread, (g, y, a, axis, keepdims is True), {})
        return spread(g, y, a, axis, keepdims is True)
    return _shared(g, y, a, axis, keepdims is True, where, initial)


def spread(g: Any, y: Any, a: Any, axis: Any, keepdims: bool) -> Any:
    """The cotangent g of an extremum y of a, handed to the entries that attain it in equal shares (a primitive)."""
    chosen = np.equal(a, expand(y, axis, keepdims, np.shape(a)))
    if axis is None:
        n: Any = np.count_nonzero(chosen)
        if n == 1:
            out = np.zeros(chosen.shape, np.result_type(g, a))
            out[np.unravel_index(chosen.argmax(), chosen.shape)] = np.reshape(g, ())
            return out
    elif np.count_nonzero(chosen) == np.size(y) and not np.isnan(y).any():
        return np.where(chosen, expand(g, axis, keepdims, np.shape(a)), 0.0)  # one of them everywhere
    else:
        n = np.count_nonzero(chosen, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=True)
    g = expand(g, axis, keepdims, np.shape(a))
    return np.where(chosen, g if np.all(n <= 1) else g / np.maximum(n, 1), 0.0)


@composite(spread)
def _spread(g: Any, y: Any, a: Any, axis: Any, keepdims: bool) -> Any:
    return _shared(g, y, a, axis, keepdims, True, None)


def _shared(g: Any, y: Any, a: Any, axis: Any, keepdims: bool, where: Any, initial: Any) -> Any:
    weights = _extremum_weights(y, a, axis, keepdims, where, initial)
    return np.where(np.equal(weights, 0), 0.0, expand(g, axis, keepdims, np.shape(a)) * weights)


def _extremum_jvp(
    d: Any, y: Any, a: Any, axis: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
) -> Any:
    weights = _extremum_weights(y, a, axis, keepdims is True, where, initial)
    return np.sum(np.where(np.equal(weights, 0), 0.0, d * weights), axis=axis, keepdims=keepdims)


for _function in (np.max, np.min):
    define(_function, (_extremum_vjp,), (_extremum_jvp,), keeps_zeros=True)
if np.amax is not np.max:
    for _function in (np.amax, np.amin):
        define(_function, (_extremum_vjp,), (_extremum_jvp,), keeps_zeros=True)


def _degrees_of_freedom(shape: tuple, axis: Any, ddof: Any, correction: Any) -> Any:
    if correction is not NOT_GIVEN:
        ddof = correction
    return max(count(shape, axis) - ddof, 0)


def _deviation(a: Any, axis: Any, where: Any, mean: Any) -> Any:
    if mean is not NOT_GIVEN:
        return a - mean
    return (
        a - np.mean(a, axis=axis, keepdims=True, where=where)
        if where is not True
        else a - np.mean(a, axis=axis, keepdims=True)
    )


@composite(np.var)
def _var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    where: Any = True,
    mean: Any = NOT_GIVEN,
    correction: Any = NOT_GIVEN,
) -> Any:
    deviation = _deviation(a, axis, where, mean)
    squares = squared_modulus(deviation)
    if where is True:
        freedom = _degrees_of_freedom(np.shape(a), axis, ddof, correction)
        # A zero of NumPy's, which can be divided by.
        return np.sum(squares, axis=axis, keepdims=keepdims) / (freedom or squares.dtype.type(0))
    n = np.sum(np.broadcast_to(where, np.shape(a)), axis=axis, keepdims=keepdims)
    return np.sum(squares, axis=axis, keepdims=keepdims, where=where) / (
        n - (ddof if correction is NOT_GIVEN else correction)
    )


def squared_modulus(z: Any) -> Any:
    """|z|², smooth also where z is 0 (the square of np.abs is not: its slope there hides the second derivative)."""
    return np.square(np.real(z)) + np.square(np.imag(z)) if np.iscomplexobj(z) else np.square(z)


@dispatched
def root(v: Any, degree: Any = 2) -> Any:
    """``v**(1 / degree)`` with slope 0 at 0 (a primitive): the convention for lengths and standard deviations."""
    return np.sqrt(v) if degree == 2 else v ** (1.0 / degree)


def _root_form(g: Any, y: Any, v: Any, degree: Any = 2) -> Any:
    flat = np.equal(v, 0)
    slope = 0.5 / np.where(flat, 1.0, y) if degree == 2 else y / np.where(flat, 1.0, v) / degree
    return g * kink(slope, flat, v)


elementwise(root, _root_form, None)


@composite(np.std)
def _std(a: Any, axis: Any = None, dtype: Any = None, ddof: Any = 0, keepdims: Any = False, **options: Any) -> Any:
    return root(np.var(a, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims, **options))


@composite(np.ptp)
def _ptp(a: Any, axis: Any = None, keepdims: Any = False) -> Any:
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


@composite(np.average)
def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    if weights is None:
        mean = np.mean(a, axis=axis, keepdims=keepdims)
        return (mean, np.full(np.shape(mean), float(count(np.shape(a), axis)))) if returned else mean
    if np.shape(weights) != np.shape(a):
        axes = [k % np.ndim(a) for k in (axis if isinstance(axis, (tuple, list)) else (axis,))]
        if len(axes) > 1:  # their order is that of axis
            weights = np.transpose(weights, [int(i) for i in np.argsort(axes)])
        weights = np.reshape(weights, [n if i in axes else 1 for i, n in enumerate(np.shape(a))])
        weights = np.broadcast_to(weights, np.shape(a))
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    mean = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (mean, total) if returned else mean


def _without_nan(a: Any, fill: float) -> Any:
    return np.where(np.isnan(a), fill, a)


@composite(np.nansum)
def _nansum(a: Any, axis: Any = None, **options: Any) -> Any:
    return np.sum(_without_nan(a, 0.0), axis=axis, **options)


@composite(np.nanprod)
def _nanprod(a: Any, axis: Any = None, **options: Any) -> Any:
    return np.prod(_without_nan(a, 1.0), axis=axis, **options)


@composite(np.nanmean)
def _nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    n = np.sum(~np.isnan(a), axis=axis, keepdims=keepdims, where=where, dtype=np.empty(0, a.dtype).real.dtype)
    return np.nansum(a, axis=axis, keepdims=keepdims, where=where, dtype=dtype) / n


@composite(np.nanmax)
def _nanmax(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **options: Any) -> Any:
    return _nan_extremum(np.max, a, -np.inf, axis, keepdims, options)


@composite(np.nanmin)
def _nanmin(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **options: Any) -> Any:
    return _nan_extremum(np.min, a, np.inf, axis, keepdims, options)


def _nan_extremum(function: Any, a: Any, fill: float, axis: Any, keepdims: Any, options: dict) -> Any:
    nothing = np.isnan(a)
    if "where" in options:
        options.setdefault("initial", fill)
    result = function(np.where(nothing, fill, a), axis=axis, keepdims=keepdims, **options)
    empty = np.all(nothing, axis=axis, keepdims=keepdims)
    return np.where(empty, np.nan, result) if np.any(empty) and "initial" not in options else result
