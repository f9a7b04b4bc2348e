"""Exponentials, logarithms, powers and trigonometry in degrees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from ..registry import composite
from ..rule import kink, somewhere
from .rows import DEGREE, LOG10, PI, polynomial, row, series_near


def _exprel_slope(x: Any) -> Any:
    """Derivative of (exp(x) - 1)/x."""
    series = [(k + 1) / math.factorial(k + 2) for k in range(18)]
    return series_near(x, 1.0, lambda x: polynomial(x, series), lambda x: (np.exp(x) - sc.exprel(x)) / x)


def _log_ratio_slope(v: Any) -> Any:
    """(v/(1+v) - log(1+v))/v², the derivative of log(1+v)/v."""
    series = [(-1) ** (k + 1) * (k + 1) / (k + 2) for k in range(24)]
    return series_near(v, 0.2, lambda v: polynomial(v, series), lambda v: (v / (1 + v) - np.log1p(v)) / (v * v))


def _xlogy_first(g: Any, log: Callable, x: Any, y: Any, zero: Any) -> Any:
    none = np.equal(x, 0) & zero
    if not somewhere(none):
        return g * log(y)
    return g * kink(log(np.where(none, 1.0, y)), none, y)


def _xlogy_second(g: Any, x: Any, below: Any) -> Any:
    none = np.equal(x, 0) & np.equal(below, 0)
    return g * kink(x / np.where(none, 1.0, below), none, x) if somewhere(none) else g * (x / below)


row("expit", lambda g, y, x: g * (y * sc.expit(-x)))
row("log_expit", lambda g, y, x: g * sc.expit(-x))
row("logit", lambda g, y, x: g / (x * (1 - x)), singular=True)
row("expm1", lambda g, y, x: g * (y + 1))
row("log1p", lambda g, y, x: g / (1 + x), singular=True)
row("exp2", lambda g, y, x: g * (y * math.log(2)))
row("exp10", lambda g, y, x: g * (y * LOG10))
row("exprel", lambda g, y, x: g * _exprel_slope(x))
row("cosm1", lambda g, y, x: -g * np.sin(x))
row("cbrt", lambda g, y, x: g / (3 * y * y), singular=True)
row(
    "powm1",
    lambda g, y, x, p: g * (p * np.power(x, p - 1.0)),
    lambda g, y, x, p: g * ((y + 1) * np.log(x)),
    singular=True,
)
# 0·log(0) is 0 by definition of these functions: the slope of 0 there is the one that keeps entropies finite.
row(
    "xlogy",
    lambda g, z, x, y: _xlogy_first(g, np.log, x, y, np.less_equal(np.real(y), 0)),
    lambda g, z, x, y: _xlogy_second(g, x, y),
)
row(
    "xlog1py",
    lambda g, z, x, y: _xlogy_first(g, np.log1p, x, y, np.less_equal(np.real(y), -1)),
    lambda g, z, x, y: _xlogy_second(g, x, 1 + y),
)
row("entr", lambda g, y, x: g * (-np.log(x) - 1), singular=True)
row("rel_entr", lambda g, z, x, y: g * (np.log(x / y) + 1), lambda g, z, x, y: -g * (x / y), singular=True)
row("kl_div", lambda g, z, x, y: g * np.log(x / y), lambda g, z, x, y: g * (1 - x / y), singular=True)
row(
    "huber",
    lambda g, y, delta, r: g * np.where(np.abs(r) <= delta, 0.0, np.abs(r) - delta),
    lambda g, y, delta, r: g * np.where(np.abs(r) <= delta, r, delta * np.sign(r)),
)
row(
    "pseudo_huber",
    lambda g, y, delta, r: g * (2 * y / delta - r * r / delta / np.sqrt(1 + np.square(r / delta))),
    lambda g, y, delta, r: g * (r / np.sqrt(1 + np.square(r / delta))),
)
row(
    "boxcox",
    lambda g, y, x, p: g * np.power(x, p - 1.0),
    lambda g, y, x, p: g * (np.square(np.log(x)) * _exprel_slope(p * np.log(x))),
    singular=True,
)
row(
    "boxcox1p",
    lambda g, y, x, p: g * np.power(1 + x, p - 1.0),
    lambda g, y, x, p: g * (np.square(np.log1p(x)) * _exprel_slope(p * np.log1p(x))),
    singular=True,
)
row(
    "inv_boxcox",
    lambda g, x, y, p: g * np.power(x, 1.0 - p),
    lambda g, x, y, p: g * (x * y * y * _log_ratio_slope(p * y)),
)
row(
    "inv_boxcox1p",
    lambda g, x, y, p: g * np.power(1 + x, 1.0 - p),
    lambda g, x, y, p: g * ((1 + x) * y * y * _log_ratio_slope(p * y)),
)
row("sindg", lambda g, y, x: g * (DEGREE * sc.cosdg(x)))
row("cosdg", lambda g, y, x: g * (-DEGREE * sc.sindg(x)))
row("tandg", lambda g, y, x: g * (DEGREE * (1 + y * y)))
row("cotdg", lambda g, y, x: g * (-DEGREE * (1 + y * y)))
row(
    "radian",
    lambda g, y, d, m, s: g * DEGREE,
    lambda g, y, d, m, s: g * (DEGREE / 60),
    lambda g, y, d, m, s: g * (DEGREE / 3600),
)
row("round", lambda g, y, x: 0.0)
row("_lambertw", lambda g, y, z, k, tol: g / (z + np.exp(y)), "k", "tol", singular=True)
row("wrightomega", lambda g, y, z: g * (y / (1 + y)))


@composite(sc.agm)
def _agm(a: Any, b: Any) -> Any:
    return PI / 4 * (a + b) / sc.ellipkm1(4 * a * b / np.square(a + b))
