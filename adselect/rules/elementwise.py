"""Rules of broadcasting functions: one product form ``g · ∂y/∂x`` per argument, serving both modes.

At a kink the form gives a valid subgradient, finite where a finite one exists: ties share equally, ``abs`` has slope
0 at 0, a clipped value keeps slope 1 at its bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..face.array import Array
from ..face.atoms import clipped, select
from ..face.dispatch import dispatch
from ..values.kinds import isa
from .registry import composite, define, elementwise, no_derivative
from .rule import choose, kink, masked

LOG2, LOG10, RADIAN, DEGREE = np.log(2.0), np.log(10.0), np.pi / 180, 180 / np.pi


def _safe(d: Any) -> Any:
    """d with 1 in place of 0, for a quotient whose zero case is decided elsewhere."""
    return np.where(np.equal(d, 0), 1.0, d)


def _power_base(g: Any, y: Any, a: Any, p: Any) -> Any:
    # Whole factors are ints: an exact argument (a Fraction) keeps an exact derivative.
    if isa(p, (int, float)):
        if p == 2:
            return g * 2 * a
        if p == 1:
            return g
        if p == 0:
            return g * 0
        if p == 0.5:
            return g * 0.5 / y
        if p == 3:
            return g * 3 * a * a
        return g * p * a ** (p - 1.0 if p < 1 else p - 1)
    flat = np.equal(p, 0)
    slope = np.where(flat, 0.0, p * np.power(a, np.where(flat, 1.0, p - 1.0)))
    if isinstance(p, Array):  # traced once more: see below
        slope = slope + kink(0.0, np.equal(a, 0) & np.less_equal(np.real(p), 1), p)
    return np.where(flat, 0.0, g) * slope


def _power_exponent(g: Any, y: Any, a: Any, p: Any) -> Any:
    # Slope 0 at 0. Where p is 1 or less it grows beyond all bounds beside it: there is no second derivative with
    # respect to both.
    zero = np.equal(a, 0)
    if not isinstance(a, Array):
        return np.where(zero, 0.0, g * y * np.log(np.where(zero, 1.0, a)))
    slope = kink(y * np.log(np.where(zero, 1.0, a)), zero & np.less_equal(np.real(p), 1), a)
    return np.where(zero & np.isinf(y), 0.0, g * slope)


def _chosen(g: Any, mine: Any, other: Any, greater: Any) -> Any:
    """g where mine is chosen, half of it where both are equal; 0 elsewhere, whatever g is."""
    tie = np.equal(mine, other)
    if type(tie) in _PLAIN_MASKS and not np.count_nonzero(tie):
        return masked(g, greater(mine, other))
    return choose(tie, g * 0.5, choose(greater(mine, other), g, 0.0))


_PLAIN_MASKS = (np.ndarray, np.bool_)


def _flat(g: Any, y: Any, *args: Any, **options: Any) -> Any:
    """Slope zero: a dependence without a derivative."""
    return 0.0


def _of_two(g: Any, mine: Any, other: Any, greater: Any) -> Any:
    """The cotangent of an argument of fmax or fmin: all of it where the other is NaN."""
    alone = choose(np.isnan(mine), g * 0.5, g)
    return choose(np.isnan(other), alone, _chosen(g, mine, other, greater))


def _hypot(g: Any, y: Any, mine: Any) -> Any:
    return g * kink(mine / _safe(y), np.equal(y, 0), y)


def _arctan2(g: Any, a: Any, b: Any, numerator: Any) -> Any:
    r = np.hypot(a, b)
    return g * kink(numerator / _safe(r) / _safe(r), np.equal(r, 0), r)


def _logaddexp(g: Any, y: Any, mine: Any, other: Any, base: Any) -> Any:
    # Where both are the same infinity the weights are the limit of equal arguments.
    stuck = np.isinf(y) & np.equal(mine, y)
    weight = np.where(np.equal(other, y), 0.5, 1.0)
    return g * np.where(stuck, weight, base(np.where(stuck, 0.0, mine - np.where(stuck, 0.0, y))))


def _signs(a: Any, b: Any) -> Any:
    return np.where(np.equal(np.signbit(a), np.signbit(b)), 1.0, -1.0)


def _scaled(g: Any, factor: Any) -> Any:
    return np.multiply(g, factor, g)


def _sech(g: Any, y: Any) -> Any:
    t = np.multiply(y, y)
    return np.multiply(g, np.subtract(1.0, t, t), g)


def _quotient(g: Any, y: Any, b: Any) -> Any:
    t = np.divide(y, b)
    return np.negative(np.multiply(g, t, g), g)


# The function, a form for each argument, and its facts. ``into`` has the forms once more for plain float arrays,
# writing into the cotangent's memory (the reverse pass says when it may); ``keeps_zeros``: where the slope is 0 there
# is no dependence.
elementwise(np.add, lambda g, y, a, b: g, lambda g, y, a, b: g, signs=(1, 1))
elementwise(np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g, signs=(1, -1))
elementwise(
    np.multiply,
    lambda g, y, a, b: g * b,
    lambda g, y, a, b: g * a,
    into=(lambda g, y, a, b: _scaled(g, b), lambda g, y, a, b: _scaled(g, a)),
)
elementwise(
    np.divide,
    lambda g, y, a, b: g / b,
    lambda g, y, a, b: -g * (y / b),
    singular=True,
    into=(lambda g, y, a, b: np.divide(g, b, g), lambda g, y, a, b: _quotient(g, y, b)),
)
elementwise(np.power, _power_base, _power_exponent, singular=True)
elementwise(np.float_power, _power_base, _power_exponent, singular=True)
elementwise(np.remainder, lambda g, y, a, b: g, lambda g, y, a, b: -g * np.floor(a / b))
elementwise(np.fmod, lambda g, y, a, b: g, lambda g, y, a, b: -g * np.trunc(a / b))
elementwise(np.negative, lambda g, y, x: -g, into=(lambda g, y, x: np.negative(g, g),))
elementwise(np.positive, lambda g, y, x: g)
elementwise(np.square, lambda g, y, x: g * 2 * x, into=(lambda g, y, x: _scaled(_scaled(g, 2.0), x),))
elementwise(
    np.sqrt, lambda g, y, x: g * 0.5 / y, singular=True, into=(lambda g, y, x: np.divide(_scaled(g, 0.5), y, g),)
)
elementwise(np.cbrt, lambda g, y, x: g / (3 * y * y), singular=True)
elementwise(np.reciprocal, lambda g, y, x: -g * y * y, singular=True)
elementwise(np.exp, lambda g, y, x: g * y, into=(lambda g, y, x: _scaled(g, y),))
elementwise(np.exp2, lambda g, y, x: g * LOG2 * y)
elementwise(np.expm1, lambda g, y, x: g * (y + 1))
elementwise(np.log, lambda g, y, x: g / x, singular=True, into=(lambda g, y, x: np.divide(g, x, g),))
elementwise(np.log2, lambda g, y, x: g / LOG2 / x, singular=True)
elementwise(np.log10, lambda g, y, x: g / LOG10 / x, singular=True)
elementwise(np.log1p, lambda g, y, x: g / (1.0 + x), singular=True)
elementwise(np.sin, lambda g, y, x: g * np.cos(x), into=(lambda g, y, x: _scaled(g, np.cos(x)),))
elementwise(np.cos, lambda g, y, x: -g * np.sin(x), into=(lambda g, y, x: _scaled(g, np.negative(t := np.sin(x), t)),))
elementwise(np.tan, lambda g, y, x: g * (1 + y * y))
# On a branch cut the root of a complex argument may be the wrong one of two; the result knows on which side it is.
elementwise(
    np.arcsin,
    lambda g, y, x: g / np.cos(y) if _complex(x) else g / np.sqrt((1.0 - x) * (1.0 + x)),
    uniform=(lambda g, y, x: g / np.sqrt((1.0 - x) * (1.0 + x)),),
    singular=True,
)
elementwise(
    np.arccos,
    lambda g, y, x: -g / np.sin(y) if _complex(x) else -g / np.sqrt((1.0 - x) * (1.0 + x)),
    uniform=(lambda g, y, x: -g / np.sqrt((1.0 - x) * (1.0 + x)),),
    singular=True,
)
elementwise(np.arctan, lambda g, y, x: g / (1.0 + x * x))
elementwise(np.sinh, lambda g, y, x: g * np.cosh(x))
elementwise(np.cosh, lambda g, y, x: g * np.sinh(x))
elementwise(np.tanh, lambda g, y, x: g * (1 - y * y), into=(lambda g, y, x: _sech(g, y),))
elementwise(
    np.arcsinh,
    lambda g, y, x: g / np.cosh(y) if _complex(x) else g / np.sqrt(x * x + 1.0),
    uniform=(lambda g, y, x: g / np.sqrt(x * x + 1.0),),
)
elementwise(
    np.arccosh,
    lambda g, y, x: g / np.sinh(y) if _complex(x) else g / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)),
    uniform=(lambda g, y, x: g / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)),),
    singular=True,
)
elementwise(np.arctanh, lambda g, y, x: g / ((1.0 - x) * (1.0 + x)), singular=True)
elementwise(np.deg2rad, lambda g, y, x: g * RADIAN)
elementwise(np.radians, lambda g, y, x: g * RADIAN)
elementwise(np.rad2deg, lambda g, y, x: g * DEGREE)
elementwise(np.degrees, lambda g, y, x: g * DEGREE)
elementwise(np.hypot, lambda g, y, a, b: _hypot(g, y, a), lambda g, y, a, b: _hypot(g, y, b))
elementwise(np.arctan2, lambda g, y, a, b: _arctan2(g, a, b, b), lambda g, y, a, b: _arctan2(g, a, b, -a))
elementwise(
    np.logaddexp, lambda g, y, a, b: _logaddexp(g, y, a, b, np.exp), lambda g, y, a, b: _logaddexp(g, y, b, a, np.exp)
)
elementwise(
    np.logaddexp2,
    lambda g, y, a, b: _logaddexp(g, y, a, b, np.exp2),
    lambda g, y, a, b: _logaddexp(g, y, b, a, np.exp2),
)
elementwise(
    np.maximum,
    lambda g, y, a, b: _chosen(g, a, b, np.greater),
    lambda g, y, a, b: _chosen(g, b, a, np.greater),
    keeps_zeros=True,
)
elementwise(
    np.minimum,
    lambda g, y, a, b: _chosen(g, a, b, np.less),
    lambda g, y, a, b: _chosen(g, b, a, np.less),
    keeps_zeros=True,
)
elementwise(
    np.fmax,
    lambda g, y, a, b: _of_two(g, a, b, np.greater),
    lambda g, y, a, b: _of_two(g, b, a, np.greater),
    keeps_zeros=True,
)
elementwise(
    np.fmin,
    lambda g, y, a, b: _of_two(g, a, b, np.less),
    lambda g, y, a, b: _of_two(g, b, a, np.less),
    keeps_zeros=True,
)
elementwise(np.copysign, lambda g, y, a, b: g * _signs(a, b), _flat)
elementwise(np.floor, _flat, keeps_zeros=True)
elementwise(np.ceil, _flat, keeps_zeros=True)
elementwise(np.trunc, _flat, keeps_zeros=True)
elementwise(np.rint, _flat, keeps_zeros=True)
elementwise(np.floor_divide, _flat, _flat, keeps_zeros=True)
elementwise(np.heaviside, _flat, _flat, keeps_zeros=True)
elementwise(np.round, _flat, None, keeps_zeros=True)
elementwise(np.fix, _flat, keeps_zeros=True)


def _abs_form(g: Any, y: Any, x: Any) -> Any:
    """d|x| for a tangent g: Re(conj(x) g)/|x|, 0 at 0."""
    if _complex(x):
        return np.real(np.conj(x) * g) * kink(1 / _safe(y), np.equal(y, 0), y)
    return g * np.sign(x)


def _abs_vjp(g: Any, y: Any, x: Any) -> Any:
    if _complex(x):
        return (np.real(g) * kink(1 / _safe(y), np.equal(y, 0), y)) * x
    return g * np.sign(x)


def _complex(x: Any) -> bool:
    return np.iscomplexobj(x)


define(np.absolute, (_abs_vjp,), (_abs_form,), lazy=True, pointwise=True)


def _sign_form(g: Any, y: Any, x: Any) -> Any:
    """d(z/|z|) for a tangent g: its part at right angles to z, over |z|; 0 for real arguments and at 0."""
    if not _complex(x):
        return np.zeros(np.shape(x))
    size = np.abs(x)
    return (g - y * np.real(np.conj(y) * g)) * kink(1 / _safe(size), np.equal(size, 0), size)


# The map of tangents is its own transpose.
define(np.sign, (_sign_form,), (_sign_form,), lazy=True)
define(np.fabs, (lambda g, y, x: g * np.sign(x),), (lambda d, y, x: d * np.sign(x),), lazy=True)
define(np.real, (lambda g, y, x: np.real(g),), (lambda d, y, x: np.real(d),), lazy=True, keeps_zeros=True)
define(
    np.imag,
    (lambda g, y, x: 1j * np.real(g) if _complex(x) else 0.0,),
    (lambda d, y, x: np.imag(d) if _complex(x) else np.zeros(np.shape(x)),),
    lazy=True,
)
define(
    np.conjugate, (lambda g, y, x: np.conjugate(g),), (lambda d, y, x: np.conjugate(d),), lazy=True, keeps_zeros=True
)


@composite(np.angle)
def _angle(z: Any, deg: bool = False) -> Any:
    angle = np.arctan2(np.imag(z), np.real(z)) if _complex(z) else np.arctan2(0.0, z)
    return np.degrees(angle) if deg else angle


elementwise(
    select,
    None,
    lambda g, y, c, a, b: np.where(c, g, 0.0),
    lambda g, y, c, a, b: np.where(c, 0.0, g),
    call=np.where,
    keeps_zeros=True,
)


elementwise(
    clipped,
    lambda g, y, x, low, high: masked(g, (x >= low) & (x <= high)),
    lambda g, y, x, low, high: masked(g, (x < low) & (low <= high)),
    lambda g, y, x, low, high: masked(g, (x > high) | (low > high)),
    call=np.clip,
    keeps_zeros=True,
)


def sinc_value(x: Any) -> Any:
    """``np.sinc``."""
    return np.sinc(x)


def _sinc_slope(g: Any, y: Any, x: Any) -> Any:
    # Near 0 the quotient cancels; the series is exact to rounding there and differentiable to any order used.
    u = np.pi * x
    small = np.less(np.abs(u), 1e-2)
    u2 = u * u
    series = np.pi * u * (-1 / 3 + u2 * (1 / 30 + u2 * (-1 / 840 + u2 * (1 / 45360))))
    w = np.where(small, 1.0, x)
    return g * np.where(small, series, (np.cos(np.pi * w) - np.sinc(w)) / w)


elementwise(np.sinc, _sinc_slope)
define(
    np.nan_to_num,
    (lambda g, y, x, *a, **k: np.where(np.isfinite(x), g, 0.0),),
    (lambda d, y, x, *a, **k: np.where(np.isfinite(x), d, 0.0),),
)
define(
    np.astype,
    (lambda g, y, x, dtype=None, **k: g if np.dtype(dtype).kind in "fc" else None,),
    (lambda d, y, x, dtype=None, **k: d.astype(dtype) if np.dtype(dtype).kind in "fc" else None,),
    call=lambda x, dtype: x.astype(dtype) if hasattr(x, "astype") else np.dtype(dtype).type(x),
    lazy=True,
    keeps_zeros=True,
)


@composite(np.divmod)
def _divmod(a: Any, b: Any) -> Any:
    return np.floor_divide(a, b), np.remainder(a, b)


@composite(np.modf)
def _modf(x: Any) -> Any:
    whole = np.trunc(x)
    return x - whole, whole


# -- parts of numbers --------------------------------------------------------------------------------------------------


def scaled(x: Any, i: Any) -> Any:
    """``np.ldexp`` with an exponent that may be an integer argument of f, which counts as its float64 values."""
    if np.result_type(i).kind == "f" and not np.any(np.not_equal(i, np.floor(i))):
        i = np.astype(np.asarray(i) if not isinstance(i, Array) else i, np.int64)  # type: ignore[call-overload]
    return np.ldexp(x, i)


elementwise(np.ldexp, lambda g, y, x, i: scaled(g, i), _flat, call=scaled)
elementwise(np.nextafter, lambda g, y, a, b: g, _flat)


def exponent(x: Any) -> Any:
    """The second result of ``np.frexp``."""
    return dispatch(exponent, (x,), {}) if isinstance(x, Array) else np.frexp(x)[1]


@composite(np.frexp)
def _frexp(x: Any) -> Any:
    power = exponent(x)
    return np.ldexp(x, -power), power


@composite(np.around)
def _around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    return np.round(a, decimals)


# ndarray.clip calls a ufunc of its own.
composite(np._core.umath.clip)(lambda a, low, high: dispatch(clipped, (a, low, high), {}))


@composite(np.real_if_close)
def _real_if_close(a: Any, tol: float = 100) -> Any:
    if not _complex(a):
        return a
    tol = tol * np.finfo(a.dtype).eps if tol > 1 else tol
    return np.real(a) if np.all(np.absolute(np.imag(a)) < tol) else a


def _leaving_the_reals(function: Any, outside: Any) -> Any:
    """numpy.emath: the complex function where the real one is not defined."""

    def extended(x: Any, *args: Any) -> Any:
        x = x if isa(x, (Array, np.ndarray, np.generic)) else np.asarray(x)
        if not _complex(x) and np.any(outside(x)):
            x = x.astype(np.result_type(x.dtype, np.complex64))
        return function(x, *args)

    return extended


for _name in ("sqrt", "log", "log2", "log10"):
    composite(getattr(np.emath, _name))(_leaving_the_reals(getattr(np, _name), lambda x: x < 0))
for _name in ("arccos", "arcsin", "arctanh"):
    composite(getattr(np.emath, _name))(_leaving_the_reals(getattr(np, _name), lambda x: np.abs(x) > 1))
composite(np.emath.power)(lambda x, p: _leaving_the_reals(np.power, lambda x: x < 0)(x, p))
composite(np.emath.logn)(lambda n, x: np.emath.log(x) / np.emath.log(n))

no_derivative(
    exponent,
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.logical_and, np.logical_or, np.logical_xor, np.logical_not),
    *(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift, np.bitwise_count),
    *(np.isnan, np.isinf, np.isfinite, np.isneginf, np.isposinf, np.signbit, np.isreal, np.iscomplex),
    *(np.gcd, np.lcm, np.spacing, np.isclose, np.allclose, np.array_equal, np.array_equiv, np.isrealobj),
    *(np.iscomplexobj, np.can_cast, np.isin),
)
