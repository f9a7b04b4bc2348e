"""Sampled functions: interpolation, integration and differentiation on a grid, convolution, unwrapping, windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..face.array import Array
from ..face.atoms import dispatched
from ..face.indices import picked
from ..values.kinds import isa
from .linalg import like_argument
from .registry import composite, define, elementwise
from .rule import somewhere, vanishing

_NOT_GIVEN: Any = np._NoValue


def _array(x: Any) -> Any:
    return x if isa(x, (Array, np.ndarray)) else np.asarray(x)


def _double(x: Any) -> Any:
    wide = {np.float16: float, np.float32: float, np.complex64: complex}.get(x.dtype.type)
    return x if wide is None else x.astype(wide)


def _along(axis: int, ndim: int, part: Any) -> tuple:
    """The index that takes part of an axis."""
    return (slice(None),) * (axis % ndim) + (part,)


# -- interpolation -----------------------------------------------------------------------------------------------------


@composite(np.interp)
def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    x, xp, fp = [_double(_array(v)) for v in (x, xp, fp)]
    if period is not None:
        period = np.abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    n = np.shape(xp)[0]
    if n == 1:
        inside = fp[0] + np.zeros(np.shape(x))
    else:
        # At a knot the piece on its right counts, at the last knot the last piece.
        k = np.clip(np.searchsorted(xp, x, "right") - 1, 0, n - 2)
        x0, y0 = picked(xp, k), picked(fp, k)
        x1, y1 = picked(xp, k + 1), picked(fp, k + 1)
        step = x1 - x0
        even = np.equal(step, 0)
        slope = (y1 - y0) / np.where(even, 1.0, step)
        inside = np.where(even, y1, slope * (x - x0) + y0)
        if somewhere(np.isnan(inside) | np.isnan(x)):
            inside = _inside(x, x0, x1, y0, y1)
    inside = np.where(np.less(x, xp[0]), fp[0] if left is None else left, inside)
    return np.where(np.greater(x, xp[n - 1]), fp[n - 1] if right is None else right, inside)


def _inside(x: Any, x0: Any, x1: Any, y0: Any, y1: Any) -> Any:
    """Between two knots where not all is finite, as NumPy has it: the height of a knot, from the other end, of both."""
    if np.iscomplexobj(y0):
        real = _inside(x, x0, x1, np.real(y0), np.real(y1))
        return real + 1j * _inside(x, x0, x1, np.imag(y0), np.imag(y1))
    step, rise = x1 - x0, y1 - y0
    even = np.equal(step, 0)
    step = np.where(even, 1.0, step)
    first, second = rise / step * (x - x0) + y0, rise / step * (x - x1) + y1
    at_end = np.equal(x, x1)
    lost = np.isnan(first) & ~np.isnan(x)
    knot = lost & (np.equal(x, x0) | at_end)
    turned = lost & ~np.isnan(second)
    level = knot | (lost & ~turned & np.equal(y0, y1))
    from_end = even | np.where(knot, at_end, turned)
    slope = np.where(level, np.where(knot, 1.0, 0.0), rise) / np.where(level, 1.0, step)
    # At a knot with an infinite slope only the height has a derivative.
    return slope * vanishing(np.where(from_end, x - x1, x - x0), level, knot) + np.where(from_end, y1, y0)


@composite(np.trapezoid)
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = _array(y)
    if x is None:
        step = dx
    else:
        x = _array(x)
        if np.ndim(x) == 1:
            step = np.reshape(np.diff(x), [-1 if i == axis % np.ndim(y) else 1 for i in range(np.ndim(y))])
        else:
            step = np.diff(x, axis=axis)
    upper, lower = y[_along(axis, np.ndim(y), slice(1, None))], y[_along(axis, np.ndim(y), slice(None, -1))]
    return np.sum(step * (upper + lower) / 2.0, axis=axis)


# -- differences -------------------------------------------------------------------------------------------------------


@composite(np.gradient)
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = _array(f)
    ndim = np.ndim(f)
    axes = (
        tuple(range(ndim)) if axis is None else tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    )
    spacings: list = list(varargs) or [1.0] * len(axes)
    if len(spacings) == 1 and len(axes) > 1 and np.ndim(spacings[0]) == 0:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    results = tuple([_gradient_along(f, h, k, edge_order) for h, k in zip(spacings, axes, strict=True)])
    return results[0] if len(axes) == 1 else results


def _gradient_along(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    n, ndim = np.shape(f)[axis], np.ndim(f)
    if n < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) needed."
        )

    def at(start: Any, stop: Any) -> Any:
        return f[_along(axis, ndim, slice(start, stop))]

    if np.ndim(h) == 0:
        inner = (at(2, None) - at(None, -2)) / (2.0 * h)
        if edge_order == 1:
            first, last = (at(1, 2) - at(0, 1)) / h, (at(-1, None) - at(-2, -1)) / h
        else:
            first = (-1.5 * at(0, 1) + 2.0 * at(1, 2) - 0.5 * at(2, 3)) / h
            last = (0.5 * at(-3, -2) - 2.0 * at(-2, -1) + 1.5 * at(-1, None)) / h
        return np.concatenate([first, inner, last], axis=axis)
    h = np.diff(_array(h))
    if np.shape(h)[0] != n - 1:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")

    def weight(w: Any) -> Any:
        return np.reshape(w, [-1 if i == axis else 1 for i in range(ndim)])

    before, after = h[:-1], h[1:]
    inner = (
        weight(-after / (before * (before + after))) * at(None, -2)
        + weight((after - before) / (before * after)) * at(1, -1)
        + weight(before / (after * (before + after))) * at(2, None)
    )
    if edge_order == 1:
        first, last = (at(1, 2) - at(0, 1)) / h[0], (at(-1, None) - at(-2, -1)) / h[n - 2]
    else:
        a, b = h[0], h[1]
        first = -(2 * a + b) / (a * (a + b)) * at(0, 1) + (a + b) / (a * b) * at(1, 2) - a / (b * (a + b)) * at(2, 3)
        a, b = h[n - 3], h[n - 2]
        last = (
            b / (a * (a + b)) * at(-3, -2) - (a + b) / (a * b) * at(-2, -1) + (2 * b + a) / (b * (a + b)) * at(-1, None)
        )
    return np.concatenate([first, inner, last], axis=axis)


@composite(np.ediff1d)
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    flat = np.reshape(_array(ary), -1)
    middle = flat[1:] - flat[:-1]
    parts = [p if p is middle else np.reshape(_array(p), -1) for p in (to_begin, middle, to_end) if p is not None]
    return np.concatenate(parts) if len(parts) > 1 else middle


@composite(np.unwrap)
def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    p = _array(p)
    difference = np.diff(p, axis=axis)
    half = period / 2
    discont = half if discont is None else discont
    wrapped = (difference + half) % period - half
    wrapped = np.where(np.equal(wrapped, -half) & (difference > 0), half, wrapped)
    correction = np.where(np.abs(difference) < discont, 0.0, wrapped - difference)
    ndim = np.ndim(p)
    rest = p[_along(axis, ndim, slice(1, None))] + np.cumsum(correction, axis=axis)
    return np.concatenate([p[_along(axis, ndim, slice(0, 1))], rest], axis=axis)


# -- convolution -------------------------------------------------------------------------------------------------------


@dispatched
def full_convolution(a: Any, v: Any) -> Any:
    """``np.convolve(a, v, "full")`` (the primitive)."""
    return np.convolve(a, v, "full")


def _valid_correlation(g: Any, v: Any) -> Any:
    """``Σ_j g[i + j] conj(v[j])``."""
    m = np.shape(v)[0]
    return full_convolution(g, np.conj(v)[::-1])[m - 1 : np.shape(g)[0]]


define(
    full_convolution,
    (
        lambda g, y, a, v: like_argument(_valid_correlation(g, v), a),
        lambda g, y, a, v: like_argument(_valid_correlation(g, a), v),
    ),
    (lambda d, y, a, v: full_convolution(d, v), lambda d, y, a, v: full_convolution(a, d)),
)

_MODES: dict[Any, Any] = {0: "valid", 1: "same", 2: "full"}


def _window(n: int, m: int, mode: str, first: int) -> slice:
    """The part of a full convolution of lengths n and m; first: where the centred part of length max(n, m) begins."""
    if mode == "full":
        return slice(None)
    if mode == "valid":
        return slice(min(n, m) - 1, max(n, m))
    if mode == "same":
        return slice(first, first + max(n, m))
    raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")


@composite(np.convolve)
def _convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    a, v = np.reshape(_array(a), -1), np.reshape(_array(v), -1)
    n, m = np.shape(a)[0], np.shape(v)[0]
    return full_convolution(a, v)[_window(n, m, _MODES.get(mode, mode), (min(n, m) - 1) // 2)]


@composite(np.correlate)
def _correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    a, v = np.reshape(_array(a), -1), np.reshape(_array(v), -1)
    n, m = np.shape(a)[0], np.shape(v)[0]
    # For a second argument longer than the first NumPy swaps them and turns the result round.
    first = (min(n, m) - 1) // 2 if n >= m else min(n, m) // 2
    v = np.conj(v) if np.iscomplexobj(v) else v
    return full_convolution(a, v[::-1])[_window(n, m, _MODES.get(mode, mode), first)]


# -- windows -----------------------------------------------------------------------------------------------------------


def bessel_i1(x: Any) -> Any:
    """The modified Bessel function I₁, the derivative of ``np.i0``, by its integral ∫ cos θ sinh(x cos θ) dθ/π.

    The trapezoidal rule converges exponentially for a periodic integrand, and all its terms have one sign.
    """
    n = 32 + int((8 * np.sqrt(np.max(np.abs(x), initial=0.0))).astype(int))
    cosine = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    return np.mean(cosine * np.sinh(np.expand_dims(x, -1) * cosine), axis=-1)


elementwise(np.i0, lambda g, y, x: g * bessel_i1(x))
