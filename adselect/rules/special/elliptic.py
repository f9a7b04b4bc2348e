"""Elliptic integrals and Jacobi's elliptic functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from ...face.atoms import dispatched
from ..registry import composite, define
from ..rule import somewhere
from .rows import PI, parameter, polynomial, row, series_near

# K(m) = π/2 Σ c_k² m^k and E(m) = π/2 Σ c_k² m^k/(1 - 2k) with c_k = (2k-1)!!/(2k)!!
_C2 = [(math.comb(2 * k, k) / 4**k) ** 2 for k in range(26)]
_K_SLOPE = [PI / 2 * k * c for k, c in enumerate(_C2)][1:]
_E_SLOPE = [PI / 2 * k * c / (1 - 2 * k) for k, c in enumerate(_C2)][1:]


def _k_slope(m: Any) -> Any:
    return series_near(
        m,
        0.2,
        lambda m: polynomial(m, _K_SLOPE),
        lambda m: (sc.ellipe(m) / (1 - m) - sc.ellipk(m)) / (2 * m),
        away=0.5,
    )


def _k_slope_of_complement(p: Any) -> Any:
    return series_near(
        1.0 - p,
        0.2,
        lambda m: -polynomial(m, _K_SLOPE),
        lambda m: -(sc.ellipe(m) / (1 - m) - sc.ellipkm1(1 - m)) / (2 * m),
        away=0.5,
    )


def _km1_slope(p: Any) -> Any:
    """Derivative of K(1-p), where p may be far below the rounding of 1 - p."""
    near_one = np.less(p, 0.5)
    if not somewhere(near_one):
        return _k_slope_of_complement(p)
    q = np.where(near_one, p, 0.25)
    small = -(sc.ellipe(1 - q) / q - sc.ellipkm1(q)) / (2 * (1 - q))
    return np.where(near_one, small, _k_slope_of_complement(np.where(near_one, 0.75, p)))


def _e_slope(m: Any) -> Any:
    return series_near(
        m, 0.2, lambda m: polynomial(m, _E_SLOPE), lambda m: (sc.ellipe(m) - sc.ellipk(m)) / (2 * m), away=0.5
    )


def _incomplete_series(phi: Any, m: Any, weights: list) -> Any:
    """Σ k·weights[k] m^(k-1) ∫₀^φ sin^2k, for small m."""
    sine, cosine = np.sin(phi), np.cos(phi)
    integral, total = phi, 0.0
    for k in range(1, len(weights)):
        integral = ((2 * k - 1) * integral - sine ** (2 * k - 1) * cosine) / (2 * k)
        total = total + (k * weights[k]) * m ** (k - 1) * integral
    return total


_C = [math.comb(2 * k, k) / 4**k for k in range(16)]


def _incomplete(phi: Any, m: Any, weights: list, formula: Callable) -> Any:
    close = np.broadcast_to(np.less(np.abs(m), 0.05), np.broadcast_shapes(np.shape(phi), np.shape(m)))
    if not somewhere(close):
        return formula(phi, m)
    near = _incomplete_series(phi, np.where(close, m, 0.0), weights)
    return np.where(close, near, formula(phi, np.where(close, 0.5, m)))


def _f_slope(phi: Any, m: Any) -> Any:
    root = np.sqrt(1 - m * np.square(np.sin(phi)))
    first = sc.ellipeinc(phi, m) / (1 - m) - sc.ellipkinc(phi, m)
    return first / (2 * m) - np.sin(2 * phi) / (4 * (1 - m) * root)


row("ellipk", lambda g, y, m: g * _k_slope(m))
row("ellipkm1", lambda g, y, p: g * _km1_slope(p))
row("ellipe", lambda g, y, m: g * _e_slope(m))
row(
    "ellipkinc",
    lambda g, y, phi, m: g / np.sqrt(1 - m * np.square(np.sin(phi))),
    lambda g, y, phi, m: g * _incomplete(phi, m, _C, _f_slope),
)
row(
    "ellipeinc",
    lambda g, y, phi, m: g * np.sqrt(1 - m * np.square(np.sin(phi))),
    lambda g, y, phi, m: (
        g
        * _incomplete(
            phi,
            m,
            [c / (1 - 2 * k) for k, c in enumerate(_C)],
            lambda phi, m: (sc.ellipeinc(phi, m) - sc.ellipkinc(phi, m)) / (2 * m),
        )
    ),
)
row(
    "elliprf",
    lambda g, y, a, b, c: g * (-sc.elliprd(b, c, a) / 6),
    lambda g, y, a, b, c: g * (-sc.elliprd(a, c, b) / 6),
    lambda g, y, a, b, c: g * (-sc.elliprd(a, b, c) / 6),
)
row(
    "elliprc",
    lambda g, y, a, b: g * (-sc.elliprd(b, b, a) / 6),
    lambda g, y, a, b: g * (-sc.elliprd(a, b, b) / 3),
)


row("elliprd", "x", "y", "z")


@dispatched
def jacobi_elliptic(u: Any, m: Any) -> Any:
    """``scipy.special.ellipj`` (the primitive)."""
    return tuple(sc.ellipj(u, m))


def _ellipj_slopes(y: Any, m: Any) -> tuple:
    sn, cn, dn, _ = y
    return cn * dn, -sn * dn, -m * sn * cn, dn


def _ellipj_vjp(g: Any, y: Any, u: Any, m: Any) -> Any:
    from ..linalg import like_argument

    return like_argument(sum(k * slope for k, slope in zip(g, _ellipj_slopes(y, m), strict=True)), u)


def _ellipj_parameter(*args: Any) -> Any:
    parameter("ellipj", "m")(None, None)


define(
    jacobi_elliptic,
    (_ellipj_vjp, _ellipj_parameter),
    (lambda d, y, u, m: tuple([d * slope for slope in _ellipj_slopes(y, m)]), _ellipj_parameter),
    pointwise=True,
)
composite(sc.ellipj)(jacobi_elliptic)
