"""Scans: cumulative sums and products, differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from .reductions import NOT_GIVEN, exactly
from .registry import composite, define, linear


def _cumsum_vjp(g: Any, y: Any, a: Any, axis: Any = None, dtype: Any = None) -> Any:
    k = 0 if axis is None else axis
    return np.reshape(np.flip(np.cumsum(np.flip(g, k), k), k), np.shape(a))


linear(np.cumsum, _cumsum_vjp, keeps_zeros=True)


def _cumprod_partials(a: Any, weights: Any, axis: int) -> Any:
    """Σ_k≥i weights_k ∏_{j≤k, j≠i} a_j for every i, without a division."""
    n = np.shape(a)[axis]
    lead = (slice(None),) * axis
    x = [a[(*lead, i)] for i in range(n)]
    w = [weights[(*lead, i)] for i in range(n)]
    tail = [w[n - 1]]  # tail_i = Σ_k≥i w_k ∏_{i<j≤k} a_j
    for i in range(n - 2, -1, -1):
        tail.append(w[i] + exactly(x[i + 1], tail[-1]))
    tail.reverse()
    head = None
    out = []
    for i in range(n):
        out.append(tail[i] if head is None else exactly(head, tail[i]))
        head = x[i] if head is None else exactly(head, x[i])
    return np.stack(out, axis=axis)


def _cumprod_vjp(g: Any, y: Any, a: Any, axis: Any = None, dtype: Any = None) -> Any:
    flat = np.reshape(a, -1) if axis is None or not np.ndim(a) else a
    k = 0 if axis is None else axis % np.ndim(flat)
    if np.shape(flat)[k] == 0:
        return np.zeros(np.shape(a))
    x_bar = np.conj(_cumprod_partials(flat, np.conj(g), k))
    return np.reshape(x_bar, np.shape(a))


def _cumprod_jvp(d: Any, y: Any, a: Any, axis: Any = None, dtype: Any = None) -> Any:
    flat, tangent = (np.reshape(a, -1), np.reshape(d, -1)) if axis is None or not np.ndim(a) else (a, d)
    k = 0 if axis is None else axis % np.ndim(flat)
    lead = (slice(None),) * k
    out: list = []
    product = slope = None
    for i in range(np.shape(flat)[k]):
        x, t = flat[(*lead, i)], tangent[(*lead, i)]
        slope = t if slope is None else exactly(slope, x) + exactly(product, t)
        product = x if product is None else exactly(product, x)
        out.append(slope)
    return np.stack(out, axis=k)


define(np.cumprod, (_cumprod_vjp,), (_cumprod_jvp,))


@composite(np.cumulative_sum)
def _cumulative_sum(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
    return _cumulative(np.cumsum, x, axis, include_initial, 0.0)


@composite(np.cumulative_prod)
def _cumulative_prod(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
    return _cumulative(np.cumprod, x, axis, include_initial, 1.0)


def _cumulative(function: Any, x: Any, axis: Any, include_initial: bool, first: float) -> Any:
    x = np.atleast_1d(x)
    if axis is None:
        if np.ndim(x) > 1:
            raise ValueError("axis must be given for arrays that are not one-dimensional")
        axis = 0
    result = function(x, axis=axis)
    if not include_initial:
        return result
    shape = [1 if i == axis % np.ndim(x) else n for i, n in enumerate(np.shape(x))]
    return np.concatenate([np.full(shape, first), result], axis=axis)


@composite(np.diff)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NOT_GIVEN, append: Any = NOT_GIVEN) -> Any:
    if n == 0:  # NumPy joins nothing then
        return a
    axis = axis % np.ndim(a)
    parts = [p for p in (prepend, a, append) if p is not NOT_GIVEN]
    if len(parts) > 1:
        shape = [1 if i == axis else m for i, m in enumerate(np.shape(a))]
        a = np.concatenate([np.broadcast_to(p, shape) if np.ndim(p) == 0 else p for p in parts], axis=axis)
    lead = (slice(None),) * axis
    for _ in range(n):
        a = a[(*lead, slice(1, None))] - a[(*lead, slice(None, -1))]
    return a
