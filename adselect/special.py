"""Functions of scipy.special that are no ufuncs, in plain NumPy, for traced values.

scipy.special's ufuncs (``gamma``, ``erf``, ``jv``, …) take traced values as they are. Its Python functions convert
their arguments to ndarrays first, which would cut the derivative and is refused. These are the ones programs use, with
SciPy's signatures; they take plain arrays too.

>>> import numpy as np, adselect as ad, adselect.special
>>> ad.gradient(ad.special.logsumexp, np.array([0.0, 0.0]))
(array([0.5, 0.5]),)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = [
    "log_softmax",
    "logsumexp",
    "multigammaln",
    "polygamma",
    "softmax",
    "spherical_in",
    "spherical_jn",
    "spherical_kn",
    "spherical_yn",
]


def _peak(a: Any, axis: Any) -> Any:
    """The largest entry to subtract before exponentials are taken; 0 where it is infinite."""
    peak = np.max(np.real(a) if np.iscomplexobj(a) else a, axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(peak), peak, 0.0)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """``log(sum(b * exp(a)))`` without overflow, as ``scipy.special.logsumexp``.

    axis: the axes summed over (None: all); b: weights, which may be negative with ``return_sign``; returns the
    logarithm, or ``(logarithm of the modulus, sign)``.

    >>> float(logsumexp([1000.0, 1000.0]))
    1000.6931471805599
    """
    a = a if hasattr(a, "dtype") else np.asarray(a)
    if b is not None:
        a = np.where(np.equal(b, 0), -np.inf, a)
    peak = _peak(a, axis)
    terms = np.exp(a - peak)
    total = np.sum(terms if b is None else b * terms, axis=axis, keepdims=True)
    size = np.abs(total) if return_sign else total
    with np.errstate(divide="ignore"):
        result = np.log(size) + peak
    if not keepdims:
        result = np.squeeze(result, axis=axis)[()]
    if not return_sign:
        return result
    sign = np.sign(total)
    return result, sign if keepdims else np.squeeze(sign, axis=axis)[()]


def softmax(x: Any, axis: Any = None) -> Any:
    """``exp(x) / sum(exp(x))`` along the axes, as ``scipy.special.softmax``.

    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    x = x if hasattr(x, "dtype") else np.asarray(x)
    terms = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return terms / np.sum(terms, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """``log(softmax(x))`` without underflow, as ``scipy.special.log_softmax``.

    >>> log_softmax([0.0, -2000.0])
    array([    0., -2000.])
    """
    x = x if hasattr(x, "dtype") else np.asarray(x)
    shifted = x - _peak(x, axis)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma, as ``scipy.special.polygamma`` for one order n.

    >>> round(float(polygamma(1, 1.0)), 6)
    1.644934
    """
    import scipy.special as sc

    if n == 0:
        return sc.psi(x)
    return (-1) ** (n + 1) * math.factorial(n) * sc.zeta(n + 1.0, x)


def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension d, as ``scipy.special.multigammaln``.

    >>> round(float(multigammaln(2.0, 1)), 6)
    0.0
    """
    import scipy.special as sc

    if np.any(np.less_equal(a, 0.5 * (d - 1))):
        raise ValueError(f"condition a > 0.5 * (d-1) is not met for d = {d}")
    return d * (d - 1) * 0.25 * math.log(math.pi) + sum(sc.gammaln(a - 0.5 * j) for j in range(d))


# f(-z) = ±(-1)ⁿ f(z)
_PARITY = {"jn": 1, "in": 1, "yn": -1}


def _spherical(name: str, n: int, z: Any, derivative: bool) -> Any:
    from scipy.special import _ufuncs

    function = getattr(_ufuncs, f"_spherical_{name}_d" if derivative else f"_spherical_{name}")
    if name not in _PARITY or np.iscomplexobj(z) or not np.any(np.less(z, 0)):
        return function(n, z)
    sign = _PARITY[name] * (-1) ** (n + derivative)
    return np.where(np.less(z, 0), sign, 1) * function(n, np.where(np.less(z, 0), -z, z))


def spherical_jn(n: int, z: Any, derivative: bool = False) -> Any:
    """The spherical Bessel function jₙ(z) or its derivative.

    >>> round(float(spherical_jn(0, 1.0)), 6)
    0.841471
    """
    return _spherical("jn", n, z, derivative)


def spherical_yn(n: int, z: Any, derivative: bool = False) -> Any:
    """The spherical Bessel function yₙ(z) or its derivative.

    >>> round(float(spherical_yn(0, 1.0)), 6)
    -0.540302
    """
    return _spherical("yn", n, z, derivative)


def spherical_in(n: int, z: Any, derivative: bool = False) -> Any:
    """The modified spherical Bessel function iₙ(z) or its derivative.

    >>> round(float(spherical_in(0, 1.0)), 6)
    1.175201
    """
    return _spherical("in", n, z, derivative)


def spherical_kn(n: int, z: Any, derivative: bool = False) -> Any:
    """The modified spherical Bessel function kₙ(z) or its derivative, for z with a non-negative real part.

    >>> round(float(spherical_kn(0, 1.0)), 6)
    0.577864
    """
    return _spherical("kn", n, z, derivative)
