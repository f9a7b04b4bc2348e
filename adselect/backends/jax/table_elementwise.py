"""jax.numpy for NumPy's elementwise functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from ...errors import user_line
from ...face.atoms import clipped, select
from ...rules.reductions import root as rooted
from ...rules.rule import vanishing
from ...values.kinds import isa
from .kinks import bent, root, safe, slope_of_absolute
from .operands import TABLE, concrete, implements, is_complex, like_numpy, listed, promoting, same_name
from .zeros import hidden

same_name("""
    negative positive exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal sin cos tan arctan
    sinh cosh tanh arctanh deg2rad rad2deg degrees radians floor ceil trunc rint signbit isnan
    isinf isfinite logical_not invert conjugate round real imag nan_to_num
    iscomplexobj isrealobj isreal iscomplex isneginf isposinf
""")
# Operands promote among each other: JAX keeps float32 beside an int64 array, NumPy goes to float64.
same_name(
    """
    add subtract multiply divide floor_divide remainder fmod maximum minimum copysign heaviside
    logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor left_shift right_shift equal
    not_equal less less_equal greater greater_equal gcd lcm isclose
""",
    promoting,
)


@implements(vanishing)
def _vanishing(value: Any, lost: Any, unknown: Any) -> Any:
    return jnp.where(lost, 0, value) + hidden(value, jnp.broadcast_to(unknown, jnp.shape(value)))


@implements(np.absolute)
def absolute(x: Any) -> Any:
    x = jnp.asarray(x)
    if x.dtype.kind == "f":
        return x * slope_of_absolute(x)  # sign(x), which is 0 at 0
    if x.dtype.kind != "c":
        return jnp.abs(x)
    return bent(safe(jnp.abs, x == 0, x), x == 0, x.real, x.imag)


TABLE[np.fabs] = absolute


def _between_infinities(function: Callable) -> Callable:
    """logaddexp, whose arguments have equal weights also where both are the same infinity."""

    def call(a: Any, b: Any) -> Any:
        a, b = jnp.broadcast_arrays(a, b)
        if a.dtype.kind != "f" or b.dtype.kind != "f":
            return function(a, b)
        stuck = (jnp.isinf(a) | jnp.isinf(b)) & ((a <= b) | (a > b))
        y = function(jnp.where(stuck, 0.0, a), jnp.where(stuck, 0.0, b))
        half = (jnp.where(stuck, a, 0.0) + jnp.where(stuck, b, 0.0)) / 2
        # Where only one is, or they are opposite, the larger counts: JAX's slopes are both 1 there.
        return jnp.where(stuck, jnp.where(a == b, half, jnp.where(a > b, a, b)), y)

    return promoting(call)


TABLE[np.logaddexp] = _between_infinities(jnp.logaddexp)
TABLE[np.logaddexp2] = _between_infinities(jnp.logaddexp2)


@implements(np.sign)
def _sign(x: Any) -> Any:
    x = jnp.asarray(x)
    return safe(lambda z: z / jnp.abs(z), x == 0, x) if x.dtype.kind == "c" else jnp.sign(x)


@implements(np.power)
def _power(x: Any, y: Any) -> Any:
    if isa(y, (int, float)) and not isa(y, (bool, np.generic)):
        return power_of_number(x, y)
    constant = isa(y, np.ndarray)
    x, y = like_numpy((x, y))
    x, y = jnp.asarray(x), jnp.asarray(y)
    if constant and x.dtype.kind in "fc" and y.dtype.kind != "c":
        # 1, x and x² as such: by the general rule the second derivative at 0 is a product of 0 and infinity.
        low = (y == 0) | (y == 1) | (y == 2)
        z = jnp.power(jnp.where(low, 1, x), jnp.where(low, 1, y))
        return jnp.where(y == 0, 1, jnp.where(y == 1, x, jnp.where(y == 2, x * x, z))).astype(z.dtype)
    if y.dtype.kind not in "fc":
        return jnp.power(x, y)
    # 0**0 is 1 with slope 0 in both arguments.
    z = jnp.power(jnp.where((x == 0) & (y == 0), 1, x), y)  # a bare 1: a number does not widen the other
    if z.dtype.kind != "f" or not (isinstance(x, Tracer) and isinstance(y, Tracer)):
        return z
    bottom = (x == 0) & (y <= 1)
    return bent(z, bottom, x.astype(z.dtype), y.astype(z.dtype))


def power_of_number(x: Any, y: Any) -> Any:
    if not jnp.issubdtype(jnp.result_type(x), jnp.inexact):
        return jnp.power(x, y)
    if y == 0:
        return jnp.ones_like(x)  # slope 0, also at 0
    if y == 0.5:
        return jnp.sqrt(x)
    return jnp.power(x, int(y)) if y in (-1, 1, 2, 3) or isa(y, int) else jnp.power(x, y)


@implements(np.float_power)
def _float_power(x: Any, y: Any) -> Any:
    wide = np.result_type(np.float64, *[a.dtype for a in (x, y) if hasattr(a, "dtype")])
    if isa(y, (int, float, np.ndarray, np.generic)):
        return _power(jnp.asarray(x).astype(wide), np.asarray(y, np.result_type(wide, np.asarray(y))))
    return _power(jnp.asarray(x).astype(wide), jnp.asarray(y).astype(wide))


@implements(np.sinc)
def _sinc(x: Any) -> Any:
    # Close to 0 the quotient of JAX's derivatives cancels: a series there, good to all digits.
    u = np.pi * jnp.asarray(x)
    near = jnp.abs(u) < 0.5
    s, far = jnp.where(near, u, 0) ** 2, jnp.where(near, 1, u)
    series: Any = 1
    for k in range(9, 0, -1):
        series = 1 - s / ((2 * k) * (2 * k + 1)) * series
    return jnp.where(near, series, jnp.sin(far) / far)


def _inverse(function: Callable, slope: Callable) -> Callable:
    """An inverse function whose complex derivative is read off the result, which knows its side of a branch cut."""

    @jax.custom_jvp
    def of_complex(z: Any) -> Any:
        return function(z)

    @of_complex.defjvp
    def of_complex_jvp(primals: tuple, tangents: tuple) -> tuple:
        y = of_complex(*primals)
        return y, tangents[0] * slope(y)

    return lambda x: of_complex(jnp.asarray(x)) if is_complex(x) else function(x)


TABLE[np.arcsin] = promoting(_inverse(jnp.arcsin, lambda y: 1 / jnp.cos(y)))
TABLE[np.arccos] = promoting(_inverse(jnp.arccos, lambda y: -1 / jnp.sin(y)))
TABLE[np.arcsinh] = promoting(_inverse(jnp.arcsinh, lambda y: 1 / jnp.cosh(y)))
TABLE[np.arccosh] = promoting(_inverse(jnp.arccosh, lambda y: 1 / jnp.sinh(y)))


@implements(np.nextafter)
def _nextafter(x: Any, y: Any) -> Any:
    x, y = jnp.broadcast_arrays(*like_numpy((x, y)))
    return x + lax.stop_gradient(jnp.nextafter(lax.stop_gradient(x), lax.stop_gradient(y)) - x)


TABLE[np.spacing] = lambda x: jnp.spacing(lax.stop_gradient(x))
TABLE[np.fix] = jnp.trunc


@implements(np.fmax)
def _fmax(x: Any, y: Any) -> Any:
    x, y = like_numpy((x, y))
    return jnp.where(jnp.isnan(x), y, jnp.where(jnp.isnan(y), x, jnp.maximum(x, y)))


@implements(np.fmin)
def _fmin(x: Any, y: Any) -> Any:
    x, y = like_numpy((x, y))
    return jnp.where(jnp.isnan(x), y, jnp.where(jnp.isnan(y), x, jnp.minimum(x, y)))


@implements(np.hypot)
def _hypot(x: Any, y: Any) -> Any:
    x, y = like_numpy((x, y))
    origin = (x == 0) & (y == 0)
    # jnp.hypot scales by the larger argument and differentiates that too: at a tie its second derivative is another's.
    scale = lax.stop_gradient(jnp.maximum(jnp.abs(x), jnp.abs(y)))
    scale = jnp.where(jnp.isfinite(scale) & ~origin, scale, 1.0).astype(scale.dtype)
    x, y = jnp.broadcast_arrays(x, y)
    h = safe(lambda x: scale * jnp.sqrt((x / scale) ** 2 + (y / scale) ** 2), origin, x)
    return bent(h, origin, x, y)


@implements(np.ldexp)
def _ldexp(x: Any, exponent: Any) -> Any:
    x, exponent = jnp.asarray(x), jnp.asarray(exponent)
    if exponent.dtype.kind == "f":  # an integer argument of f counts as its float64 values
        known = concrete(exponent)
        if known is not None and (known % 1).any():
            raise TypeError(f"ufunc 'ldexp' not supported for an exponent that is no integer ({user_line()})")
        exponent = exponent.astype(jnp.int32)
    # As a product: the derivative is 2**exponent, also where x is 0. The power alone may be out of range.
    half, one = exponent // 2, jnp.ones((), x.dtype)
    return x * jnp.ldexp(one, half) * jnp.ldexp(one, exponent - half)


@implements(np.arctan2)
def arctan2(y: Any, x: Any) -> Any:
    y, x = like_numpy((y, x))
    origin = (x == 0) & (y == 0)
    y, x = jnp.broadcast_arrays(y, x)
    angle = safe(lambda x: jnp.arctan2(y, x), origin, x, jnp.arctan2(lax.stop_gradient(y), lax.stop_gradient(x)))
    return bent(angle, origin, x, y)


# -- choices, and the rules' own ---------------------------------------------------------------------------------------


@implements(select)
def _select(condition: Any, x: Any, y: Any) -> Any:
    return jnp.where(jnp.asarray(condition), *like_numpy([listed(x), listed(y)]))


@implements(clipped)
def _clipped(x: Any, low: Any, high: Any) -> Any:
    bounds = [b for b in (low, high) if not _is_endless(b)]
    x, *bounds = like_numpy([x, *bounds])
    # Slope 1 at a bound: only beyond it does the bound take over. A bound that is NaN wins, as in NumPy.
    if not _is_endless(low):
        x = jnp.where((x < bounds[0]) | (bounds[0] != bounds[0]), bounds[0], x)
    if not _is_endless(high):
        x = jnp.where((x > bounds[-1]) | (bounds[-1] != bounds[-1]), bounds[-1], x)
    return x


def _is_endless(bound: Any) -> bool:
    return type(bound) is float and math.isinf(bound)


@implements(rooted)
def _root(v: Any, degree: Any = 2) -> Any:
    if degree == 2:
        return root(v)
    if degree < 0:
        return power_of_number(v, 1 / degree)
    return bent(safe(lambda t: power_of_number(t, 1 / degree), v == 0, v), v == 0, v)
