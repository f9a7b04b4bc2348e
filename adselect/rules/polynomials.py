"""Polynomials as coefficient arrays, highest power first: polyval, polyfit, roots and their arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..face.array import Array
from ..face.dispatch import absorb
from ..values.kinds import isa
from .registry import composite


def _array(x: Any) -> Any:
    x = absorb(x)
    return x if isa(x, (Array, np.ndarray)) else np.asarray(x)


def _coefficients(p: Any) -> Any:
    """p as a vector without leading zeros, one coefficient at least."""
    p = np.reshape(_array(p), -1)
    there = np.flatnonzero(p)
    return p[there[0] :] if len(there) else p[-1:] * 0.0


@composite(np.polyval)
def _polyval(p: Any, x: Any) -> Any:
    if isinstance(x, np.poly1d):
        raise UnsupportedError(f"np.polyval of a traced polynomial at a polynomial is not available ({user_line()})")
    p, x = _array(p), _array(x)
    total: Any = np.zeros(np.shape(x), np.result_type(p.dtype, x.dtype))
    for k in range(np.shape(p)[0]):
        total = total * x + p[k]
    return total


def _with_leading_zeros(p: Any, n: int) -> Any:
    m = np.shape(p)[0]
    return p if m == n else np.concatenate([np.zeros(n - m, p.dtype), p])


@composite(np.polyadd)
def _polyadd(a1: Any, a2: Any) -> Any:
    a1, a2 = np.atleast_1d(_array(a1)), np.atleast_1d(_array(a2))
    n = max(np.shape(a1)[0], np.shape(a2)[0])
    return _with_leading_zeros(a1, n) + _with_leading_zeros(a2, n)


@composite(np.polysub)
def _polysub(a1: Any, a2: Any) -> Any:
    a1, a2 = np.atleast_1d(_array(a1)), np.atleast_1d(_array(a2))
    n = max(np.shape(a1)[0], np.shape(a2)[0])
    return _with_leading_zeros(a1, n) - _with_leading_zeros(a2, n)


@composite(np.polymul)
def _polymul(a1: Any, a2: Any) -> Any:
    return np.convolve(_coefficients(a1), _coefficients(a2))


@composite(np.polydiv)
def _polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    u, v = np.atleast_1d(_array(u)) + 0.0, np.atleast_1d(_array(v)) + 0.0
    n, m = np.shape(u)[0] - 1, np.shape(v)[0] - 1
    if n < m:
        return np.zeros(1, np.result_type(u, v)), u
    quotient, rest = [], [u[i] for i in range(n + 1)]
    for k in range(n - m + 1):
        q = rest[k] / v[0]
        quotient.append(q)
        for j in range(m + 1):
            rest[k + j] = rest[k + j] - q * v[j]
    remainder = np.stack(rest)
    # NumPy drops leading coefficients of the remainder that are 0 up to rounding.
    first = 0
    while first < n and np.allclose(remainder[first], 0, rtol=1e-14):
        first += 1
    return np.stack(quotient), remainder[first:]


@composite(np.polyder)
def _polyder(p: Any, m: int = 1) -> Any:
    p = _array(p)
    for _ in range(int(m)):
        n = np.shape(p)[0] - 1
        p = p[:-1] * np.arange(n, 0, -1)
    return p


@composite(np.polyint)
def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    p = _array(p)
    constants = np.zeros(int(m)) if k is None else np.atleast_1d(_array(k))
    if np.shape(constants)[0] == 1 and m > 1:
        constants = np.broadcast_to(constants, int(m))
    for i in range(int(m)):
        p = np.concatenate([p / np.arange(np.shape(p)[0], 0, -1), np.reshape(constants[i], 1)])
    return p


@composite(np.poly)
def _poly(seq_of_zeros: Any) -> Any:
    zeros = np.atleast_1d(_array(seq_of_zeros))
    if np.ndim(zeros) == 2:
        zeros = np.linalg.eigvals(zeros)
    p = np.ones(1, zeros.dtype)
    for k in range(np.shape(zeros)[0]):
        p = np.convolve(p, np.stack([np.ones((), zeros.dtype), -zeros[k]]))
    if np.iscomplexobj(p) and np.all(np.sort(zeros) == np.sort(np.conj(zeros))):
        p = np.real(p)
    return p


@composite(np.roots)
def _roots(p: Any) -> Any:
    p = np.atleast_1d(_array(p))
    there = np.flatnonzero(p)
    if not len(there):
        return np.zeros(0)
    trailing = np.shape(p)[0] - there[-1] - 1
    p = p[int(there[0]) : int(there[-1]) + 1]
    n = np.shape(p)[0]
    if n == 1:
        return np.zeros(trailing)
    companion = np.concatenate([np.reshape(-p[1:] / p[0], (1, -1)), np.eye(n - 2, n - 1)], axis=0)
    roots = np.linalg.eigvals(companion)
    return np.concatenate([roots, np.zeros(trailing, roots.dtype)]) if trailing else roots


@composite(np.vander)
def _vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    x = _array(x)
    n = np.shape(x)[0] if N is None else N
    powers = [np.ones(np.shape(x), x.dtype)]
    for _ in range(n - 1):
        powers.append(powers[-1] * x)
    columns = powers[:n]
    return np.stack(columns if increasing else columns[::-1], axis=-1) if n else np.zeros((np.shape(x)[0], 0))


@composite(np.polyfit)
def _polyfit(x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Any:
    x, y = _array(x) + 0.0, _array(y) + 0.0
    order = int(deg) + 1
    rcond = np.shape(x)[0] * np.finfo(x.dtype).eps if rcond is None else rcond
    left, right = np.vander(x, order), y
    if w is not None:
        w = _array(w) + 0.0
        left = left * np.expand_dims(w, 1)
        right = right * (np.expand_dims(w, 1) if np.ndim(y) == 2 else w)
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    c, residuals, rank, s = np.linalg.lstsq(left, right, rcond)
    c = (c.T / scale).T
    if full:
        return c, residuals, rank, s, rcond
    if not cov:
        return c
    base = np.linalg.inv(left.T @ left) / (np.expand_dims(scale, 1) * scale)
    if cov == "unscaled":
        factor: Any = 1.0
    else:
        if np.shape(x)[0] <= order:
            raise ValueError("the number of data points must exceed order to scale the covariance matrix")
        factor = residuals / (np.shape(x)[0] - order)
    return c, base * factor if np.ndim(y) == 1 else np.expand_dims(base, -1) * factor
