"""Bessel, Hankel, Struve, Kelvin and spherical Bessel functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc
from scipy.special import _ufuncs

from .rows import SQRT_PI, real_only, row


def _half_difference(name: str) -> Callable:
    function = getattr(sc, name)
    return lambda g, y, v, x: g * (0.5 * (function(v - 1, x) - function(v + 1, x)))


def _half_sum(name: str, sign: float) -> Callable:
    function = getattr(sc, name)
    return lambda g, y, v, x: g * (0.5 * sign * (function(v - 1, x) + function(v + 1, x)))


def _scaled(name: str, sign: float, decay: Callable) -> Callable:
    """Order derivative of a function scaled by an exponential whose logarithmic slope is decay(x)."""
    function = getattr(sc, name)
    return lambda g, y, v, x: g * (0.5 * (function(v - 1, x) + sign * function(v + 1, x)) + decay(x) * y)


def _by_modulus(name: str, x: Any) -> Any:
    real_only(name, x)
    return -np.sign(x)


def _unscaled_if_real(name: str, x: Any) -> float:
    real_only(name, x)
    return 0.0


row("j0", lambda g, y, x: -g * sc.j1(x))
row("j1", lambda g, y, x: g * (0.5 * (sc.j0(x) - sc.jv(2, x))))
row("y0", lambda g, y, x: -g * sc.y1(x))
row("y1", lambda g, y, x: g * (0.5 * (sc.y0(x) - sc.yv(2, x))))
row("i0", lambda g, y, x: g * sc.i1(x))
row("i1", lambda g, y, x: g * (0.5 * (sc.i0(x) + sc.iv(2, x))))
row("i0e", lambda g, y, x: g * (sc.i1e(x) - np.sign(x) * y))
row("i1e", lambda g, y, x: g * (0.5 * (sc.i0e(x) + sc.ive(2, x)) - np.sign(x) * y))
row("k0", lambda g, y, x: -g * sc.k1(x))
row("k1", lambda g, y, x: g * (-0.5 * (sc.k0(x) + sc.kv(2, x))))
row("k0e", lambda g, y, x: g * (y - sc.k1e(x)))
row("k1e", lambda g, y, x: g * (y - 0.5 * (sc.k0e(x) + sc.kve(2, x))))
for _name in ("jv", "jn", "yv", "yn", "hankel1", "hankel2"):
    row(_name, "the order", _half_difference(_name))
row("iv", "the order", _half_sum("iv", 1))
row("kv", "the order", _half_sum("kv", -1))
row("kn", "the order", _half_sum("kn", -1))
row("ive", "the order", _scaled("ive", 1, lambda x: _by_modulus("ive", x)))
row("jve", "the order", _scaled("jve", -1, lambda x: _unscaled_if_real("jve", x)))
row("yve", "the order", _scaled("yve", -1, lambda x: _unscaled_if_real("yve", x)))
row("kve", "the order", lambda g, y, v, x: g * (y - 0.5 * (sc.kve(v - 1, x) + sc.kve(v + 1, x))))
row("hankel1e", "the order", _scaled("hankel1e", -1, lambda x: -1j))
row("hankel2e", "the order", _scaled("hankel2e", -1, lambda x: 1j))
row("_spherical_jn", "n", lambda g, y, n, z: g * _ufuncs._spherical_jn_d(n, z))
row("_spherical_yn", "n", lambda g, y, n, z: g * _ufuncs._spherical_yn_d(n, z))
row("_spherical_in", "n", lambda g, y, n, z: g * _ufuncs._spherical_in_d(n, z))
row("_spherical_kn", "n", lambda g, y, n, z: g * _ufuncs._spherical_kn_d(n, z))


def _spherical_curvature(function: Any, sign: float) -> Callable:
    """The derivative of the derivative, from the differential equation z²w″ + 2zw′ + (±z² - n(n+1))w = 0."""
    return lambda g, y, n, z: g * (-2 * y / z - (sign - n * (n + 1.0) / (z * z)) * function(n, z))


row("_spherical_jn_d", "n", _spherical_curvature(_ufuncs._spherical_jn, 1))
row("_spherical_yn_d", "n", _spherical_curvature(_ufuncs._spherical_yn, 1))
row("_spherical_in_d", "n", _spherical_curvature(_ufuncs._spherical_in, -1))
row("_spherical_kn_d", "n", _spherical_curvature(_ufuncs._spherical_kn, -1))


def _struve(sign: float) -> Callable:
    function = sc.struve if sign < 0 else sc.modstruve

    def form(g: Any, y: Any, v: Any, x: Any) -> Any:
        extra = np.power(x / 2, v) / (SQRT_PI * sc.gamma(v + 1.5))
        return g * (0.5 * (function(v - 1, x) + sign * function(v + 1, x) + extra))

    return form


row("struve", "the order", _struve(-1))
row("modstruve", "the order", _struve(1))
row("ber", lambda g, y, x: g * sc.berp(x))
row("bei", lambda g, y, x: g * sc.beip(x))
row("ker", lambda g, y, x: g * sc.kerp(x))
row("kei", lambda g, y, x: g * sc.keip(x))
row("berp", lambda g, y, x: g * (-sc.bei(x) - y / x))
row("beip", lambda g, y, x: g * (sc.ber(x) - y / x))
row("kerp", lambda g, y, x: g * (-sc.kei(x) - y / x))
row("keip", lambda g, y, x: g * (sc.ker(x) - y / x))
