"""Exponential, sine, cosine and Fresnel integrals, the dilogarithm."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from ...face.atoms import dispatched
from ..registry import composite, define
from ..rule import somewhere
from .rows import PI, polynomial, row, series_near


def _spence_slope(z: Any) -> Any:
    """log(z)/(1-z)."""
    series = [(-1) ** (k + 1) / (k + 1) for k in range(24)]
    return series_near(z - 1.0, 0.2, lambda w: polynomial(w, series), lambda w: -np.log(1 + w) / w)


def _sinhc(x: Any) -> Any:
    """sinh(x)/x."""
    series = [1 / math.factorial(2 * k + 1) for k in range(12)]
    return series_near(x, 1.0, lambda x: polynomial(x * x, series), lambda x: np.sinh(x) / x)


def _expn(g: Any, y: Any, n: Any, x: Any) -> Any:
    zero = np.equal(n, 0)
    if not somewhere(zero):
        return -g * sc.expn(n - 1, x)
    slope = np.where(zero, np.exp(-x) * (1 / x + 1 / (x * x)), sc.expn(np.where(zero, 0, n - 1), x))
    return -g * slope


row("exp1", lambda g, y, x: -g * np.exp(-x) / x, singular=True)
row("expi", lambda g, y, x: g * np.exp(x) / x, singular=True)
row("expn", "n", _expn)
row("spence", lambda g, y, z: g * _spence_slope(z))
row("itstruve0", lambda g, y, x: g * sc.struve(0, x))
row("itmodstruve0", lambda g, y, x: g * sc.modstruve(0, x))


def _several(name: str, slopes: Callable) -> None:
    """A ufunc of one argument and several results; ``slopes(y, x)`` are their derivatives."""
    ufunc = getattr(sc, name, None)
    if ufunc is None:
        return

    def values(x: Any) -> Any:
        return tuple(ufunc(x))

    values.__name__ = name
    function = dispatched(values)

    def vjp(g: Any, y: Any, x: Any) -> Any:
        x_bar = sum(k * np.conj(slope) for k, slope in zip(g, slopes(y, x), strict=True))
        return x_bar if np.iscomplexobj(x) else np.real(x_bar)

    define(function, (vjp,), (lambda d, y, x: tuple([d * slope for slope in slopes(y, x)]),), pointwise=True)
    composite(ufunc)(function)


_several("sici", lambda y, x: (np.sinc(x / PI), np.cos(x) / x))
_several("shichi", lambda y, x: (_sinhc(x), np.cosh(x) / x))
_several("fresnel", lambda y, x: (np.sin(PI / 2 * x * x), np.cos(PI / 2 * x * x)))
_several("airy", lambda y, z: (y[1], z * y[0], y[3], z * y[2]))
_several("itj0y0", lambda y, x: (sc.j0(x), sc.y0(x)))
_several("iti0k0", lambda y, x: (sc.i0(x), sc.k0(x)))
