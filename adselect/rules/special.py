"""scipy.special: loaded when the first of its functions meets a traced value (``registry.load_for``).

The rows below are the derivatives of the Digital Library of Mathematical Functions (dlmf.nist.gov). Formulas that
cancel near a point have a series there, so that derivatives of derivatives hold too. Orders and shape parameters that
have no closed derivative say so when one is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc
from scipy.special import _ufuncs

from ..errors import UnsupportedError, user_line
from ..face.atoms import dispatched
from .registry import RULES, composite, define, elementwise
from .rule import kink, somewhere

PI, SQRT_PI, SQRT_2 = np.pi, math.sqrt(np.pi), math.sqrt(2)
DEGREE, LOG10 = np.pi / 180, math.log(10)


def _row(name: str, *forms: Any, singular: bool = False) -> None:
    """One ufunc and the forms of its arguments; a string names an argument without a derivative."""
    function = getattr(_ufuncs if name.startswith("_") else sc, name, None)
    if function is None or function in RULES:  # another SciPy version, or two names of one function
        return
    elementwise(function, *[_parameter(name, f) if isinstance(f, str) else f for f in forms], singular=singular)


def _parameter(name: str, argument: str) -> Callable:
    def refuse(g: Any, y: Any, *args: Any) -> Any:
        raise UnsupportedError(
            f"scipy.special.{name} has no derivative in its argument {argument} ({user_line()}); if it is not to be "
            "differentiated, pass it as adselect.Const or use a plain number inside f"
        )

    return refuse


def _near(x: Any, radius: float, series: Callable, formula: Callable, away: float = 1.0) -> Any:
    """``series(x)`` where |x| < radius and ``formula(x)`` elsewhere; formula holds at ``away``."""
    close = np.less(np.abs(x), radius)
    if not somewhere(close):
        return formula(x)
    return np.where(close, series(np.where(close, x, 0.0)), formula(np.where(close, away, x)))


def _polynomial(x: Any, coefficients: Any) -> Any:
    """Σ coefficients[k] x**k."""
    total: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total


def _real_only(name: str, x: Any) -> None:
    if np.iscomplexobj(x):
        raise UnsupportedError(
            f"scipy.special.{name} of complex numbers has no derivative rule ({user_line()}): it is not holomorphic or "
            "its derivative is not available for complex numbers"
        )


# -- gamma -------------------------------------------------------------------------------------------------------------


def _trigamma(g: Any, y: Any, x: Any) -> Any:
    _real_only("digamma", x)
    return g * sc.zeta(2.0, x)


def _rgamma(g: Any, y: Any, x: Any) -> Any:
    pole = np.less_equal(np.real(x), 0) & np.equal(x, np.floor(np.real(x)))
    if not somewhere(pole):
        return -g * y * sc.digamma(x)
    n = -np.where(pole, np.real(x), 0.0)
    there = np.where(n % 2 == 0, 1.0, -1.0) * sc.gamma(n + 1)
    return g * np.where(pole, there, -y * sc.digamma(np.where(pole, 1.0, x)))


def _beta(g: Any, mine: Any, other: Any) -> Any:
    return g * (sc.digamma(mine) - sc.digamma(mine + other))


def _gamma_density(a: Any, x: Any) -> Any:
    return np.exp(sc.xlogy(a - 1, x) - x - sc.gammaln(a))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return np.exp(sc.xlogy(a - 1, x) + sc.xlog1py(b - 1, -x) - sc.betaln(a, b))


_row("gamma", lambda g, y, x: g * y * sc.digamma(x))
_row("gammaln", lambda g, y, x: g * sc.digamma(x))
_row("loggamma", lambda g, y, x: g * sc.digamma(x))
_row("rgamma", _rgamma)
_row("gammasgn", lambda g, y, x: 0.0)
_row("digamma", _trigamma)
_row("psi", _trigamma)
_row("_zeta", "x", lambda g, y, s, q: g * (-s * sc.zeta(s + 1, q)))
_row("_riemann_zeta", "x")
_row("zetac", "x")
_row("beta", lambda g, y, a, b: _beta(g, a, b) * y, lambda g, y, a, b: _beta(g, b, a) * y)
_row("betaln", lambda g, y, a, b: _beta(g, a, b), lambda g, y, a, b: _beta(g, b, a))
_row(
    "binom",
    lambda g, y, n, k: g * y * (sc.digamma(n + 1.0) - sc.digamma(n - k + 1.0)),
    lambda g, y, n, k: g * y * (sc.digamma(n - k + 1.0) - sc.digamma(k + 1.0)),
)
_row(
    "poch",
    lambda g, y, z, m: g * y * (sc.digamma(z + m) - sc.digamma(z)),
    lambda g, y, z, m: g * y * sc.digamma(z + m),
)
_row("gammainc", "a", lambda g, y, a, x: g * _gamma_density(a, x))
_row("gammaincc", "a", lambda g, y, a, x: -g * _gamma_density(a, x))
_row("gammaincinv", "a", lambda g, y, a, p: g / _gamma_density(a, y))
_row("gammainccinv", "a", lambda g, y, a, p: -g / _gamma_density(a, y))
_row("betainc", "a", "b", lambda g, y, a, b, x: g * _beta_density(a, b, x))
_row("betaincc", "a", "b", lambda g, y, a, b, x: -g * _beta_density(a, b, x))
_row("betaincinv", "a", "b", lambda g, y, a, b, p: g / _beta_density(a, b, y))
_row("betainccinv", "a", "b", lambda g, y, a, b, p: -g / _beta_density(a, b, y))

# -- error function ----------------------------------------------------------------------------------------------------

_row("erf", lambda g, y, x: g * (2 / SQRT_PI * np.exp(-x * x)))
_row("erfc", lambda g, y, x: g * (-2 / SQRT_PI * np.exp(-x * x)))
_row("erfi", lambda g, y, x: g * (2 / SQRT_PI * np.exp(x * x)))
_row("erfcx", lambda g, y, x: g * (2 * x * y - 2 / SQRT_PI))
_row("erfinv", lambda g, y, x: g * (SQRT_PI / 2 * np.exp(y * y)))
_row("erfcinv", lambda g, y, x: g * (-SQRT_PI / 2 * np.exp(y * y)))
_row("dawsn", lambda g, y, x: g * (1 - 2 * x * y))
_row("wofz", lambda g, y, x: g * (2j / SQRT_PI - 2 * x * y))
_row("ndtr", lambda g, y, x: g * (np.exp(-x * x / 2) / math.sqrt(2 * PI)))
_row("log_ndtr", lambda g, y, x: g * (math.sqrt(2 / PI) / sc.erfcx(-x / SQRT_2)))
_row("ndtri", lambda g, y, p: g * (math.sqrt(2 * PI) * np.exp(y * y / 2)))
_row("ndtri_exp", lambda g, y, x: g * (math.sqrt(2 * PI) * np.exp(x + y * y / 2)))
_row(
    "owens_t",
    lambda g, y, h, a: g * (-np.exp(-h * h / 2) * sc.erf(a * h / SQRT_2) / (2 * math.sqrt(2 * PI))),
    lambda g, y, h, a: g * (np.exp(-h * h * (1 + a * a) / 2) / (2 * PI * (1 + a * a))),
)


@composite(sc.voigt_profile)
def _voigt_profile(x: Any, sigma: Any, gamma: Any) -> Any:
    return np.real(sc.wofz((x + 1j * gamma) / (sigma * SQRT_2))) / (sigma * math.sqrt(2 * PI))


# -- exponentials, logarithms, powers ----------------------------------------------------------------------------------


def _exprel_slope(x: Any) -> Any:
    """Derivative of (exp(x) - 1)/x."""
    series = [(k + 1) / math.factorial(k + 2) for k in range(18)]
    return _near(x, 1.0, lambda x: _polynomial(x, series), lambda x: (np.exp(x) - sc.exprel(x)) / x)


def _log_ratio_slope(v: Any) -> Any:
    """(v/(1+v) - log(1+v))/v², the derivative of log(1+v)/v."""
    series = [(-1) ** (k + 1) * (k + 1) / (k + 2) for k in range(24)]
    return _near(v, 0.2, lambda v: _polynomial(v, series), lambda v: (v / (1 + v) - np.log1p(v)) / (v * v))


def _xlogy_first(g: Any, log: Callable, x: Any, y: Any, zero: Any) -> Any:
    none = np.equal(x, 0) & zero
    if not somewhere(none):
        return g * log(y)
    return g * kink(log(np.where(none, 1.0, y)), none, y)


def _xlogy_second(g: Any, x: Any, below: Any) -> Any:
    none = np.equal(x, 0) & np.equal(below, 0)
    return g * kink(x / np.where(none, 1.0, below), none, x) if somewhere(none) else g * (x / below)


_row("expit", lambda g, y, x: g * (y * sc.expit(-x)))
_row("log_expit", lambda g, y, x: g * sc.expit(-x))
_row("logit", lambda g, y, x: g / (x * (1 - x)), singular=True)
_row("expm1", lambda g, y, x: g * (y + 1))
_row("log1p", lambda g, y, x: g / (1 + x), singular=True)
_row("exp2", lambda g, y, x: g * (y * math.log(2)))
_row("exp10", lambda g, y, x: g * (y * LOG10))
_row("exprel", lambda g, y, x: g * _exprel_slope(x))
_row("cosm1", lambda g, y, x: -g * np.sin(x))
_row("cbrt", lambda g, y, x: g / (3 * y * y), singular=True)
_row(
    "powm1",
    lambda g, y, x, p: g * (p * np.power(x, p - 1.0)),
    lambda g, y, x, p: g * ((y + 1) * np.log(x)),
    singular=True,
)
# 0·log(0) is 0 by definition of these functions: the slope of 0 there is the one that keeps entropies finite.
_row(
    "xlogy",
    lambda g, z, x, y: _xlogy_first(g, np.log, x, y, np.less_equal(np.real(y), 0)),
    lambda g, z, x, y: _xlogy_second(g, x, y),
)
_row(
    "xlog1py",
    lambda g, z, x, y: _xlogy_first(g, np.log1p, x, y, np.less_equal(np.real(y), -1)),
    lambda g, z, x, y: _xlogy_second(g, x, 1 + y),
)
_row("entr", lambda g, y, x: g * (-np.log(x) - 1), singular=True)
_row("rel_entr", lambda g, z, x, y: g * (np.log(x / y) + 1), lambda g, z, x, y: -g * (x / y), singular=True)
_row("kl_div", lambda g, z, x, y: g * np.log(x / y), lambda g, z, x, y: g * (1 - x / y), singular=True)
_row(
    "huber",
    lambda g, y, delta, r: g * np.where(np.abs(r) <= delta, 0.0, np.abs(r) - delta),
    lambda g, y, delta, r: g * np.where(np.abs(r) <= delta, r, delta * np.sign(r)),
)
_row(
    "pseudo_huber",
    lambda g, y, delta, r: g * (2 * y / delta - r * r / delta / np.sqrt(1 + np.square(r / delta))),
    lambda g, y, delta, r: g * (r / np.sqrt(1 + np.square(r / delta))),
)
_row(
    "boxcox",
    lambda g, y, x, p: g * np.power(x, p - 1.0),
    lambda g, y, x, p: g * (np.square(np.log(x)) * _exprel_slope(p * np.log(x))),
    singular=True,
)
_row(
    "boxcox1p",
    lambda g, y, x, p: g * np.power(1 + x, p - 1.0),
    lambda g, y, x, p: g * (np.square(np.log1p(x)) * _exprel_slope(p * np.log1p(x))),
    singular=True,
)
_row(
    "inv_boxcox",
    lambda g, x, y, p: g * np.power(x, 1.0 - p),
    lambda g, x, y, p: g * (x * y * y * _log_ratio_slope(p * y)),
)
_row(
    "inv_boxcox1p",
    lambda g, x, y, p: g * np.power(1 + x, 1.0 - p),
    lambda g, x, y, p: g * ((1 + x) * y * y * _log_ratio_slope(p * y)),
)
_row("sindg", lambda g, y, x: g * (DEGREE * sc.cosdg(x)))
_row("cosdg", lambda g, y, x: g * (-DEGREE * sc.sindg(x)))
_row("tandg", lambda g, y, x: g * (DEGREE * (1 + y * y)))
_row("cotdg", lambda g, y, x: g * (-DEGREE * (1 + y * y)))
_row(
    "radian",
    lambda g, y, d, m, s: g * DEGREE,
    lambda g, y, d, m, s: g * (DEGREE / 60),
    lambda g, y, d, m, s: g * (DEGREE / 3600),
)
_row("round", lambda g, y, x: 0.0)
_row("_lambertw", lambda g, y, z, k, tol: g / (z + np.exp(y)), "k", "tol", singular=True)
_row("wrightomega", lambda g, y, z: g * (y / (1 + y)))


@composite(sc.agm)
def _agm(a: Any, b: Any) -> Any:
    return PI / 4 * (a + b) / sc.ellipkm1(4 * a * b / np.square(a + b))


# -- integrals ---------------------------------------------------------------------------------------------------------


def _spence_slope(z: Any) -> Any:
    """log(z)/(1-z)."""
    series = [(-1) ** (k + 1) / (k + 1) for k in range(24)]
    return _near(z - 1.0, 0.2, lambda w: _polynomial(w, series), lambda w: -np.log(1 + w) / w)


def _sinhc(x: Any) -> Any:
    """sinh(x)/x."""
    series = [1 / math.factorial(2 * k + 1) for k in range(12)]
    return _near(x, 1.0, lambda x: _polynomial(x * x, series), lambda x: np.sinh(x) / x)


def _expn(g: Any, y: Any, n: Any, x: Any) -> Any:
    zero = np.equal(n, 0)
    if not somewhere(zero):
        return -g * sc.expn(n - 1, x)
    slope = np.where(zero, np.exp(-x) * (1 / x + 1 / (x * x)), sc.expn(np.where(zero, 0, n - 1), x))
    return -g * slope


_row("exp1", lambda g, y, x: -g * np.exp(-x) / x, singular=True)
_row("expi", lambda g, y, x: g * np.exp(x) / x, singular=True)
_row("expn", "n", _expn)
_row("spence", lambda g, y, z: g * _spence_slope(z))
_row("itstruve0", lambda g, y, x: g * sc.struve(0, x))
_row("itmodstruve0", lambda g, y, x: g * sc.modstruve(0, x))


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

# -- Bessel functions --------------------------------------------------------------------------------------------------


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
    _real_only(name, x)
    return -np.sign(x)


def _unscaled_if_real(name: str, x: Any) -> float:
    _real_only(name, x)
    return 0.0


_row("j0", lambda g, y, x: -g * sc.j1(x))
_row("j1", lambda g, y, x: g * (0.5 * (sc.j0(x) - sc.jv(2, x))))
_row("y0", lambda g, y, x: -g * sc.y1(x))
_row("y1", lambda g, y, x: g * (0.5 * (sc.y0(x) - sc.yv(2, x))))
_row("i0", lambda g, y, x: g * sc.i1(x))
_row("i1", lambda g, y, x: g * (0.5 * (sc.i0(x) + sc.iv(2, x))))
_row("i0e", lambda g, y, x: g * (sc.i1e(x) - np.sign(x) * y))
_row("i1e", lambda g, y, x: g * (0.5 * (sc.i0e(x) + sc.ive(2, x)) - np.sign(x) * y))
_row("k0", lambda g, y, x: -g * sc.k1(x))
_row("k1", lambda g, y, x: g * (-0.5 * (sc.k0(x) + sc.kv(2, x))))
_row("k0e", lambda g, y, x: g * (y - sc.k1e(x)))
_row("k1e", lambda g, y, x: g * (y - 0.5 * (sc.k0e(x) + sc.kve(2, x))))
for _name in ("jv", "jn", "yv", "yn", "hankel1", "hankel2"):
    _row(_name, "the order", _half_difference(_name))
_row("iv", "the order", _half_sum("iv", 1))
_row("kv", "the order", _half_sum("kv", -1))
_row("kn", "the order", _half_sum("kn", -1))
_row("ive", "the order", _scaled("ive", 1, lambda x: _by_modulus("ive", x)))
_row("jve", "the order", _scaled("jve", -1, lambda x: _unscaled_if_real("jve", x)))
_row("yve", "the order", _scaled("yve", -1, lambda x: _unscaled_if_real("yve", x)))
_row("kve", "the order", lambda g, y, v, x: g * (y - 0.5 * (sc.kve(v - 1, x) + sc.kve(v + 1, x))))
_row("hankel1e", "the order", _scaled("hankel1e", -1, lambda x: -1j))
_row("hankel2e", "the order", _scaled("hankel2e", -1, lambda x: 1j))
_row("_spherical_jn", "n", lambda g, y, n, z: g * _ufuncs._spherical_jn_d(n, z))
_row("_spherical_yn", "n", lambda g, y, n, z: g * _ufuncs._spherical_yn_d(n, z))
_row("_spherical_in", "n", lambda g, y, n, z: g * _ufuncs._spherical_in_d(n, z))
_row("_spherical_kn", "n", lambda g, y, n, z: g * _ufuncs._spherical_kn_d(n, z))


def _spherical_curvature(function: Any, sign: float) -> Callable:
    """The derivative of the derivative, from the differential equation z²w″ + 2zw′ + (±z² - n(n+1))w = 0."""
    return lambda g, y, n, z: g * (-2 * y / z - (sign - n * (n + 1.0) / (z * z)) * function(n, z))


_row("_spherical_jn_d", "n", _spherical_curvature(_ufuncs._spherical_jn, 1))
_row("_spherical_yn_d", "n", _spherical_curvature(_ufuncs._spherical_yn, 1))
_row("_spherical_in_d", "n", _spherical_curvature(_ufuncs._spherical_in, -1))
_row("_spherical_kn_d", "n", _spherical_curvature(_ufuncs._spherical_kn, -1))


def _struve(sign: float) -> Callable:
    function = sc.struve if sign < 0 else sc.modstruve

    def form(g: Any, y: Any, v: Any, x: Any) -> Any:
        extra = np.power(x / 2, v) / (SQRT_PI * sc.gamma(v + 1.5))
        return g * (0.5 * (function(v - 1, x) + sign * function(v + 1, x) + extra))

    return form


_row("struve", "the order", _struve(-1))
_row("modstruve", "the order", _struve(1))
_row("ber", lambda g, y, x: g * sc.berp(x))
_row("bei", lambda g, y, x: g * sc.beip(x))
_row("ker", lambda g, y, x: g * sc.kerp(x))
_row("kei", lambda g, y, x: g * sc.keip(x))
_row("berp", lambda g, y, x: g * (-sc.bei(x) - y / x))
_row("beip", lambda g, y, x: g * (sc.ber(x) - y / x))
_row("kerp", lambda g, y, x: g * (-sc.kei(x) - y / x))
_row("keip", lambda g, y, x: g * (sc.ker(x) - y / x))

# -- elliptic integrals ------------------------------------------------------------------------------------------------

# K(m) = π/2 Σ c_k² m^k and E(m) = π/2 Σ c_k² m^k/(1 - 2k) with c_k = (2k-1)!!/(2k)!!
_C2 = [(math.comb(2 * k, k) / 4**k) ** 2 for k in range(26)]
_K_SLOPE = [PI / 2 * k * c for k, c in enumerate(_C2)][1:]
_E_SLOPE = [PI / 2 * k * c / (1 - 2 * k) for k, c in enumerate(_C2)][1:]


def _k_slope(m: Any) -> Any:
    return _near(
        m,
        0.2,
        lambda m: _polynomial(m, _K_SLOPE),
        lambda m: (sc.ellipe(m) / (1 - m) - sc.ellipk(m)) / (2 * m),
        away=0.5,
    )


def _k_slope_of_complement(p: Any) -> Any:
    return _near(
        1.0 - p,
        0.2,
        lambda m: -_polynomial(m, _K_SLOPE),
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
    return _near(
        m, 0.2, lambda m: _polynomial(m, _E_SLOPE), lambda m: (sc.ellipe(m) - sc.ellipk(m)) / (2 * m), away=0.5
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


_row("ellipk", lambda g, y, m: g * _k_slope(m))
_row("ellipkm1", lambda g, y, p: g * _km1_slope(p))
_row("ellipe", lambda g, y, m: g * _e_slope(m))
_row(
    "ellipkinc",
    lambda g, y, phi, m: g / np.sqrt(1 - m * np.square(np.sin(phi))),
    lambda g, y, phi, m: g * _incomplete(phi, m, _C, _f_slope),
)
_row(
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
_row(
    "elliprf",
    lambda g, y, a, b, c: g * (-sc.elliprd(b, c, a) / 6),
    lambda g, y, a, b, c: g * (-sc.elliprd(a, c, b) / 6),
    lambda g, y, a, b, c: g * (-sc.elliprd(a, b, c) / 6),
)
_row(
    "elliprc",
    lambda g, y, a, b: g * (-sc.elliprd(b, b, a) / 6),
    lambda g, y, a, b: g * (-sc.elliprd(a, b, b) / 3),
)


_row("elliprd", "x", "y", "z")


@dispatched
def jacobi_elliptic(u: Any, m: Any) -> Any:
    """``scipy.special.ellipj`` (the primitive)."""
    return tuple(sc.ellipj(u, m))


def _ellipj_slopes(y: Any, m: Any) -> tuple:
    sn, cn, dn, _ = y
    return cn * dn, -sn * dn, -m * sn * cn, dn


def _ellipj_vjp(g: Any, y: Any, u: Any, m: Any) -> Any:
    from .linalg import like

    return like(sum(k * slope for k, slope in zip(g, _ellipj_slopes(y, m), strict=True)), u)


def _ellipj_parameter(*args: Any) -> Any:
    _parameter("ellipj", "m")(None, None)


define(
    jacobi_elliptic,
    (_ellipj_vjp, _ellipj_parameter),
    (lambda d, y, u, m: tuple([d * slope for slope in _ellipj_slopes(y, m)]), _ellipj_parameter),
    pointwise=True,
)
composite(sc.ellipj)(jacobi_elliptic)

# -- hypergeometric functions and orthogonal polynomials --------------------------------------------------------------

_row("hyp0f1", "v", lambda g, y, v, z: g * (sc.hyp0f1(v + 1, z) / v))
_row("hyp1f1", "a", "b", lambda g, y, a, b, x: g * (a / b * sc.hyp1f1(a + 1, b + 1, x)))
_row("hyperu", "a", "b", lambda g, y, a, b, x: g * (-a * sc.hyperu(a + 1, b + 1, x)))
_row("hyp2f1", "a", "b", "c", lambda g, y, a, b, c, z: g * (a * b / c * sc.hyp2f1(a + 1, b + 1, c + 1, z)))


def _lowered(n: Any, slope: Callable) -> Any:
    """``slope(n - 1)``, 0 for n = 0: the polynomial of degree 0 is constant."""
    zero = np.equal(n, 0)
    return np.where(zero, 0.0, slope(np.where(zero, n, n - 1)))


def _polynomials(name: str, *parameters: str, slope: Callable) -> None:
    """An orthogonal polynomial of degree n; ``slope(n - 1, n, *parameters, x)`` is its derivative."""
    _row(
        name,
        "n",
        *parameters,
        lambda g, y, n, *rest: g * _lowered(n, lambda k: slope(k, n, *rest)),
    )


_polynomials("eval_legendre", slope=lambda k, n, x: 0.5 * (n + 1) * sc.eval_jacobi(k, 1, 1, x))
_polynomials("eval_sh_legendre", slope=lambda k, n, x: (n + 1) * sc.eval_jacobi(k, 1, 1, 2 * x - 1))
_polynomials("eval_chebyt", slope=lambda k, n, x: n * sc.eval_chebyu(k, x))
_polynomials("eval_sh_chebyt", slope=lambda k, n, x: 2 * n * sc.eval_chebyu(k, 2 * x - 1))
_polynomials("eval_chebyu", slope=lambda k, n, x: 2 * sc.eval_gegenbauer(k, 2, x))
_polynomials("eval_sh_chebyu", slope=lambda k, n, x: 4 * sc.eval_gegenbauer(k, 2, 2 * x - 1))
_polynomials("eval_chebyc", slope=lambda k, n, x: n * sc.eval_chebys(k, x))
_polynomials("eval_chebys", slope=lambda k, n, x: sc.eval_gegenbauer(k, 2, x / 2))
_polynomials("eval_hermite", slope=lambda k, n, x: 2 * n * sc.eval_hermite(k, x))
_polynomials("eval_hermitenorm", slope=lambda k, n, x: n * sc.eval_hermitenorm(k, x))
_polynomials("eval_laguerre", slope=lambda k, n, x: -sc.eval_genlaguerre(k, 1, x))
_polynomials("eval_genlaguerre", "alpha", slope=lambda k, n, a, x: -sc.eval_genlaguerre(k, a + 1, x))
_polynomials("eval_gegenbauer", "alpha", slope=lambda k, n, a, x: 2 * a * sc.eval_gegenbauer(k, a + 1, x))
_polynomials(
    "eval_jacobi",
    "alpha",
    "beta",
    slope=lambda k, n, a, b, x: 0.5 * (n + a + b + 1) * sc.eval_jacobi(k, a + 1, b + 1, x),
)

# -- distribution functions --------------------------------------------------------------------------------------------


def _t_density(v: Any, t: Any) -> Any:
    return np.exp(-sc.betaln(v / 2, 0.5) - 0.5 * np.log(v) - (v + 1) / 2 * np.log1p(t * t / v))


def _f_density(a: Any, b: Any, x: Any) -> Any:
    a, b = a / 2, b / 2
    return np.exp(sc.xlogy(a, a / b) + sc.xlogy(a - 1, x) - (a + b) * np.log1p(a / b * x) - sc.betaln(a, b))


def _chi2_density(v: Any, x: Any) -> Any:
    return 0.5 * _gamma_density(v / 2, x / 2)


_row("chdtr", "v", lambda g, y, v, x: g * _chi2_density(v, x))
_row("chdtrc", "v", lambda g, y, v, x: -g * _chi2_density(v, x))
_row("chdtri", "v", lambda g, y, v, p: -g / _chi2_density(v, y))
_row("stdtr", "df", lambda g, y, v, t: g * _t_density(v, t))
_row("stdtrit", "df", lambda g, y, v, p: g / _t_density(v, y))
_row("fdtr", "dfn", "dfd", lambda g, y, a, b, x: g * _f_density(a, b, x))
_row("fdtrc", "dfn", "dfd", lambda g, y, a, b, x: -g * _f_density(a, b, x))
_row("fdtri", "dfn", "dfd", lambda g, y, a, b, p: g / _f_density(a, b, y))
_row(
    "gdtr",
    lambda g, y, a, b, x: g * (x * _gamma_density(b, a * x)),
    "b",
    lambda g, y, a, b, x: g * (a * _gamma_density(b, a * x)),
)
_row(
    "gdtrc",
    lambda g, y, a, b, x: -g * (x * _gamma_density(b, a * x)),
    "b",
    lambda g, y, a, b, x: -g * (a * _gamma_density(b, a * x)),
)
_row("pdtr", "k", lambda g, y, k, m: -g * _gamma_density(np.floor(k) + 1.0, m))
_row("pdtrc", "k", lambda g, y, k, m: g * _gamma_density(np.floor(k) + 1.0, m))
_row("bdtr", "k", "n", lambda g, y, k, n, p: -g * _beta_density(n - np.floor(k), np.floor(k) + 1.0, 1 - p))
_row("bdtrc", "k", "n", lambda g, y, k, n, p: g * _beta_density(np.floor(k) + 1.0, n - np.floor(k), p))
_row("nbdtr", "k", "n", lambda g, y, k, n, p: g * _beta_density(1.0 * n, k + 1.0, p))
_row("nbdtrc", "k", "n", lambda g, y, k, n, p: -g * _beta_density(1.0 * n, k + 1.0, p))
