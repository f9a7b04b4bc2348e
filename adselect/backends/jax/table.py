"""NumPy's functions in terms of ``jax.numpy``: the translation table of the JAX face.

Most names mean the same in both libraries and are rows of a list. The rest is written out below: where ``jnp`` lacks
an option, promotes integers differently, or has another slope at a kink. Kinks are placed with ``where`` on the
argument as well as on the result, which holds in forward and reverse mode and at every order.
"""

from __future__ import annotations

import inspect
import math
import operator
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.extend.core import concrete_or_error

from ...errors import user_line
from ...rules.rule import vanishing
from ...values.kinds import isa
from ..framework_array import UntranslatedError
from .zeros import bend, hidden

__all__ = [
    "REAL_ONLY",
    "TABLE",
    "absolute",
    "concrete",
    "is_complex",
    "power_of_number",
    "root",
    "safe",
    "special_function",
    "translation",
]

TABLE: dict[Any, Callable] = {}
# Functions that JAX has for real numbers only.
REAL_ONLY: set[Any] = set()


# -- functions of the same name and meaning ---------------------------------------------------------------------------

ELEMENTWISE = """
    negative positive exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal sin cos tan arcsin arccos arctan
    sinh cosh tanh arcsinh arccosh arctanh deg2rad rad2deg degrees radians floor ceil trunc rint sign signbit isnan
    isinf isfinite logical_not invert conjugate modf frexp
"""
# Operands promote among each other: JAX keeps float32 beside an int64 array, NumPy goes to float64.
PROMOTING = """
    add subtract multiply divide floor_divide remainder fmod divmod maximum minimum logaddexp logaddexp2 copysign
    heaviside logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor left_shift right_shift equal
    not_equal less less_equal greater greater_equal gcd lcm matmul vecdot matvec vecmat dot inner outer vdot kron
    cross convolve correlate interp isclose allclose array_equal array_equiv append polyval
    polyder polyint isin compress extract trapezoid ediff1d
    linalg.solve linalg.outer linalg.cross linalg.matmul linalg.vecdot
"""
SAME = """
    argmax argmin nanargmax nanargmin nancumsum nancumprod cumsum cumprod cumulative_sum cumulative_prod
    count_nonzero ptp corrcoef round around real imag nan_to_num unwrap
    reshape ravel transpose swapaxes moveaxis rollaxis matrix_transpose expand_dims squeeze broadcast_to
    tile repeat flip fliplr flipud roll rot90 diag diagflat diagonal trace diff resize ix_
    split array_split hsplit vsplit dsplit unstack linspace logspace geomspace nonzero argwhere
    flatnonzero take_along_axis unravel_index lexsort
    shape ndim size iscomplexobj isrealobj isreal iscomplex isneginf isposinf
    linalg.inv linalg.det linalg.slogdet
    linalg.svd linalg.svdvals linalg.qr linalg.pinv linalg.matrix_power linalg.matrix_rank linalg.lstsq
    linalg.trace linalg.diagonal linalg.matrix_transpose linalg.multi_dot
    fft.fft fft.ifft fft.rfft fft.irfft fft.fftn fft.ifftn fft.rfftn
    fft.irfftn fft.hfft fft.ihfft fft.fftshift fft.ifftshift
"""
# Reductions: NumPy lets axis 0 and -1 name what a 0-d array has not.
REDUCING = "sum prod max min amax amin mean var any all nansum nanprod nanmax nanmin nanmean nanvar"
# The first argument is a list of arrays, which promote among each other.
OF_LISTS = "concatenate stack vstack hstack dstack column_stack block"

# scipy.special ufuncs, found by name once scipy is loaded. Not here: those whose derivative is wrong somewhere in JAX
# (i0 and i1 at 0, spence at 1, boxcox at lambda = 0), inexact (log_ndtr far out), does not compile (exp1, expn) or is
# refused in words of JAX's (betainc). They run on the host.
SPECIAL = """
    beta betaln dawsn digamma entr erf erfc erfcx erfinv expi expit fresnel gamma gammainc gammaincc gammaln
    gammasgn hyp1f1 hyp2f1 i0e i1e kl_div loggamma logit ndtr ndtri owens_t poch psi rel_entr sici wofz xlog1py xlogy
"""

_INTEGERS = frozenset("iu")


def _like_numpy(operands: Any) -> Any:
    """Operands with integer arrays cast to the float type NumPy would compute in."""
    dtypes = {a.dtype for a in operands if hasattr(a, "dtype") and not getattr(a, "weak_type", False)}
    if len(dtypes) < 2 or not any(d.kind in _INTEGERS for d in dtypes):
        return operands
    target = np.result_type(*dtypes)
    if target.kind not in "fc":
        return operands
    real = np.empty(0, target).real.dtype
    return [a.astype(real) if _is_strong_integer(a) else a for a in operands]


def _is_strong_integer(a: Any) -> bool:
    return hasattr(a, "dtype") and a.dtype.kind in _INTEGERS and not getattr(a, "weak_type", False)


def _promoting(function: Callable) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs = {k: jnp.asarray(v) if type(v) is list else v for k, v in kwargs.items()}
        return function(*_like_numpy([_listed(a) for a in args]), **kwargs)

    return call


def _listed(a: Any) -> Any:
    """JAX takes no lists for arrays."""
    return jnp.asarray(a) if type(a) in (list, tuple) else a


def _of_list(function: Callable) -> Callable:
    nested = function is jnp.block  # its lists are rows, not arrays

    def call(arrays: Any, *args: Any, casting: Any = None, **kwargs: Any) -> Any:
        if isinstance(arrays, (list, tuple)):
            items = [a if hasattr(a, "dtype") or (nested and isinstance(a, list)) else jnp.asarray(a) for a in arrays]
            arrays = list(_like_numpy(items))
        return function(arrays, *args, **kwargs)

    return call


def _reducing(function: Callable) -> Callable:
    def call(a: Any, axis: Any = None, *args: Any, **kwargs: Any) -> Any:
        if axis is not None and jnp.ndim(a) == 0 and axis in (0, -1):
            axis = None
        return function(a, axis, *args, **kwargs)

    return call


def _find(module: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        module = getattr(module, part, None)
    return module


def _install_names() -> None:
    for names, prepare in (
        (ELEMENTWISE, None),
        (PROMOTING, _promoting),
        (SAME, None),
        (REDUCING, _reducing),
        (OF_LISTS, _of_list),
    ):
        for name in names.split():
            function, target = _find(np, name), _find(jnp, name)
            # A name that this NumPy does not have yet is not a row.
            if function is not None and target is not None:
                TABLE[function] = prepare(target) if prepare else target


_install_names()


def _counting(function: Any) -> None:
    """Ties share the slope: how many there are, float16 may not hold."""
    target = TABLE[function]

    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        a = jnp.asarray(a)
        if a.dtype != jnp.float16:
            return target(a, *args, **kwargs)
        return target(a.astype(jnp.float32), *args, **kwargs).astype(jnp.float16)

    TABLE[function] = call


for _function in {np.max, np.min, np.amax, np.amin, np.nanmax, np.nanmin, np.ptp}:
    _counting(_function)


def special_function(function: Any) -> Callable | None:
    """``jax.scipy.special``'s function for a ufunc of ``scipy.special``; None for anything else."""
    scipy = sys.modules.get("scipy.special")
    name = getattr(function, "__name__", "")  # digamma calls itself psi
    if scipy is None or getattr(scipy, name, None) is not function:
        return None
    if name in ("exp2", "expm1", "log1p", "cbrt"):
        return TABLE[getattr(np, name)]
    if name not in SPECIAL.split():
        return None
    REAL_ONLY.add(function)
    return _of_floats(_SPECIAL.get(name) or getattr(jax.scipy.special, name))


def _of_floats(function: Callable) -> Callable:
    """function of floats only: JAX's derivatives of several parameters fail for integers."""

    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple([jnp.asarray(a, float) if type(a) is int or _is_strong_integer(a) else a for a in args])
        return function(*args, **kwargs)

    return _promoting(call)


def _digamma(x: Any) -> Any:
    """By reflection below 1/2, where the derivatives of JAX's own are wrong."""
    low = x < 0.5
    mirrored = jnp.where(low, 1 - x, x)
    angle = jnp.pi * jnp.where(low, x, 0.25)
    # Not by the tangent: it has a pole where its reciprocal is 0.
    return jax.scipy.special.digamma(mirrored) - jnp.where(low, jnp.pi * jnp.cos(angle) / jnp.sin(angle), 0.0)


def _times_log(function: Callable, bottom: float) -> Callable:
    """xlogy or xlog1py with slope 0 where 0 meets the logarithm of 0."""

    def call(x: Any, y: Any) -> Any:
        none, both = (x == 0) & (jnp.real(y) <= bottom), isinstance(x, Tracer) and isinstance(y, Tracer)
        x, y = jnp.broadcast_arrays(x, y)
        z = jnp.where(none, 0, function(jnp.where(none, 1, x), jnp.where(none, 1, y)))
        return bent(z, none, x.astype(z.dtype), y.astype(z.dtype)) if both else z

    return call


def _relative_entropy(x: Any, y: Any) -> Any:
    # At 0 JAX's own has slope 0, where that of x log(x) is infinite.
    start = (x == 0) & (y > 0)
    x, y = jnp.broadcast_arrays(x, y)
    edge, inside = jnp.where(start, x, 1), jnp.where(start, y, 1)
    at_start = -jax.scipy.special.entr(edge) - edge * jnp.log(inside)
    return jnp.where(start, at_start, jax.scipy.special.rel_entr(jnp.where(start, 1, x), y))


_SPECIAL: dict[str, Callable] = {
    "psi": _digamma,
    "digamma": _digamma,
    "xlogy": _times_log(jax.scipy.special.xlogy, 0),
    "xlog1py": _times_log(jax.scipy.special.xlog1py, -1),
    "rel_entr": _relative_entropy,
    "kl_div": lambda x, y: _relative_entropy(x, y) - x + y,
}


def concrete(value: Any) -> np.ndarray | None:
    """The NumPy value behind a native array, also one being differentiated; None while JAX compiles or batches."""
    try:
        return concrete_or_error(np.asarray, value)
    except jax.errors.JAXTypeError:
        return None


# -- the rest ---------------------------------------------------------------------------------------------------------


def translation(*functions: Any) -> Callable:
    """Decorator: the implementation of NumPy functions (those this NumPy has) over native arrays."""

    def register(implementation: Callable) -> Callable:
        for function in functions:
            if function is not None:
                TABLE[function] = implementation
        return implementation

    return register


def is_complex(x: Any) -> bool:
    return jnp.iscomplexobj(x)


def safe(function: Callable, bad: Any, x: Any, there: Any = 0) -> Any:
    """function(x) with the constant ``there``, and slope 0, where bad."""
    y = function(jnp.where(bad, 1, x))
    return jnp.where(bad, jnp.asarray(there, y.dtype), y)


@jax.custom_jvp
def _slope_of_absolute(x: Any) -> Any:
    return jnp.sign(x)


@_slope_of_absolute.defjvp
def _slope_of_absolute_jvp(primals: Any, tangents: Any) -> Any:
    # A zero that belongs to x all the same: at 0 the slope is no constant.
    return _slope_of_absolute(*primals), 0 * tangents[0]


@translation(np.absolute)
def absolute(x: Any) -> Any:
    x = jnp.asarray(x)
    if x.dtype.kind == "f":
        return x * _slope_of_absolute(x)  # sign(x), which is 0 at 0
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

    return _promoting(call)


TABLE[np.logaddexp] = _between_infinities(jnp.logaddexp)
TABLE[np.logaddexp2] = _between_infinities(jnp.logaddexp2)


@translation(np.sign)
def _sign(x: Any) -> Any:
    x = jnp.asarray(x)
    return safe(lambda z: z / jnp.abs(z), x == 0, x) if x.dtype.kind == "c" else jnp.sign(x)


def _two_axes(name: str) -> None:
    """JAX insists on two axes, NumPy takes any number of them."""
    function = getattr(jnp.fft, name.replace("2", "n"))

    @translation(getattr(np.fft, name))
    def transform(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
        return function(a, s, axes, norm)


for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    _two_axes(_name)


def root(x: Any) -> Any:
    """The square root of a sum of squares: slope 0 at 0, and no second derivative there."""
    return bent(safe(jnp.sqrt, x == 0, x), x == 0, x)


def bent(y: Any, at: Any, *of: Any) -> Any:
    """y, with a second derivative with respect to ``of`` that is NaN where ``at``: there y has a kink."""
    known = concrete(at)
    if known is not None and not known.any():
        return y
    return y + bend(sum(of[1:], of[0]), at)


@translation(vanishing)
def _vanishing(value: Any, lost: Any, unknown: Any) -> Any:
    return jnp.where(lost, 0, value) + hidden(value, jnp.broadcast_to(unknown, jnp.shape(value)))


@translation(np.power)
def _power(x: Any, y: Any) -> Any:
    if isa(y, (int, float)) and not isa(y, (bool, np.generic)):
        return power_of_number(x, y)
    constant = isa(y, np.ndarray)
    x, y = _like_numpy((x, y))
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


@translation(np.float_power)
def _float_power(x: Any, y: Any) -> Any:
    wide = np.result_type(np.float64, *[a.dtype for a in (x, y) if hasattr(a, "dtype")])
    if isa(y, (int, float, np.ndarray, np.generic)):
        return _power(jnp.asarray(x).astype(wide), np.asarray(y, np.result_type(wide, np.asarray(y))))
    return _power(jnp.asarray(x).astype(wide), jnp.asarray(y).astype(wide))


@translation(np.sinc)
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


TABLE[np.arcsin] = _promoting(_inverse(jnp.arcsin, lambda y: 1 / jnp.cos(y)))
TABLE[np.arccos] = _promoting(_inverse(jnp.arccos, lambda y: -1 / jnp.sin(y)))
TABLE[np.arcsinh] = _promoting(_inverse(jnp.arcsinh, lambda y: 1 / jnp.cosh(y)))
TABLE[np.arccosh] = _promoting(_inverse(jnp.arccosh, lambda y: 1 / jnp.sinh(y)))


@translation(np.nextafter)
def _nextafter(x: Any, y: Any) -> Any:
    x, y = jnp.broadcast_arrays(*_like_numpy((x, y)))
    return x + lax.stop_gradient(jnp.nextafter(lax.stop_gradient(x), lax.stop_gradient(y)) - x)


TABLE[np.spacing] = lambda x: jnp.spacing(lax.stop_gradient(x))
TABLE[np.fix] = jnp.trunc


@translation(np.fmax)
def _fmax(x: Any, y: Any) -> Any:
    x, y = _like_numpy((x, y))
    return jnp.where(jnp.isnan(x), y, jnp.where(jnp.isnan(y), x, jnp.maximum(x, y)))


@translation(np.fmin)
def _fmin(x: Any, y: Any) -> Any:
    x, y = _like_numpy((x, y))
    return jnp.where(jnp.isnan(x), y, jnp.where(jnp.isnan(y), x, jnp.minimum(x, y)))


@translation(np.hypot)
def _hypot(x: Any, y: Any) -> Any:
    x, y = _like_numpy((x, y))
    origin = (x == 0) & (y == 0)
    # jnp.hypot scales by the larger argument and differentiates that too: at a tie its second derivative is another's.
    scale = lax.stop_gradient(jnp.maximum(jnp.abs(x), jnp.abs(y)))
    scale = jnp.where(jnp.isfinite(scale) & ~origin, scale, 1.0).astype(scale.dtype)
    x, y = jnp.broadcast_arrays(x, y)
    h = safe(lambda x: scale * jnp.sqrt((x / scale) ** 2 + (y / scale) ** 2), origin, x)
    return bent(h, origin, x, y)


@translation(np.ldexp)
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


@translation(np.arctan2)
def _arctan2(y: Any, x: Any) -> Any:
    y, x = _like_numpy((y, x))
    origin = (x == 0) & (y == 0)
    y, x = jnp.broadcast_arrays(y, x)
    angle = safe(lambda x: jnp.arctan2(y, x), origin, x, jnp.arctan2(lax.stop_gradient(y), lax.stop_gradient(x)))
    return bent(angle, origin, x, y)


@translation(np.angle)
def _angle(z: Any, deg: bool = False) -> Any:
    z = jnp.asarray(z)
    angle = _arctan2(z.imag, z.real) if is_complex(z) else jnp.where(z < 0, np.pi, 0 * z)
    return jnp.rad2deg(angle) if deg else angle


_MISSING = object()


@translation(np.clip)
def _clip(a: Any, a_min: Any = _MISSING, a_max: Any = _MISSING, *, min: Any = None, max: Any = None) -> Any:
    low = min if a_min is _MISSING else a_min
    high = max if a_max is _MISSING else a_max
    a, *bounds = _like_numpy([a] + [b for b in (low, high) if b is not None])
    low = bounds.pop(0) if low is not None else None
    high = bounds.pop(0) if high is not None else None
    # Slope 1 at a bound: only beyond it does the bound take over. A bound that is NaN wins, as in NumPy.
    if low is not None:
        a = jnp.where((a < low) | (low != low), low, a)
    if high is not None:
        a = jnp.where((a > high) | (high != high), high, a)
    return a


@translation(np.where)
def _where(condition: Any, *choices: Any) -> Any:
    if not choices:
        return jnp.nonzero(condition)
    return jnp.where(jnp.asarray(condition), *_like_numpy([_listed(c) for c in choices]))


@translation(np.choose)
def _choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    choices = _like_numpy([jnp.asarray(c) for c in choices])
    return jnp.choose(jnp.asarray(a), choices, mode="clip" if mode == "raise" and concrete(a) is None else mode)


@translation(np.select)
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    return jnp.select([jnp.asarray(c) for c in condlist], [jnp.asarray(c) for c in choicelist], default)


@jax.custom_jvp
def _product_of_last(a: Any) -> Any:
    return jnp.prod(a, axis=-1)


@_product_of_last.defjvp
def _product_of_last_jvp(primals: Any, tangents: Any) -> Any:
    # The product of all others, from those before and those after: exact with zeros, also beside one that overflows.
    (a,), (t,) = primals, tangents
    one = jnp.ones_like(a[..., :1])
    before = jnp.cumprod(jnp.concatenate([one, a[..., :-1]], -1), -1)
    after = jnp.flip(jnp.cumprod(jnp.concatenate([one, jnp.flip(a, -1)[..., :-1]], -1), -1), -1)
    others = before * after
    others = jnp.where(jnp.isnan(others) & ((before == 0) | (after == 0)), 0, others)
    return _product_of_last(a), jnp.sum(t * others, -1)


@translation(np.prod)
def _prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    a = jnp.asarray(a)
    a = a if dtype is None else a.astype(dtype)
    if not jnp.issubdtype(a.dtype, jnp.inexact) or (isa(axis, tuple) and not axis):
        return jnp.prod(a, axis, keepdims=keepdims, initial=initial, where=where)
    a = a if where is None or where is True else jnp.where(where, a, 1)
    axes: Any = range(a.ndim) if axis is None else (axis,) if np.ndim(axis) == 0 else axis
    axes = sorted({operator.index(k) % max(a.ndim, 1) for k in axes}) if a.ndim else []
    rest = [k for k in range(a.ndim) if k not in axes]
    together = math.prod([a.shape[k] for k in axes])
    y = _product_of_last(jnp.transpose(a, (*rest, *axes)).reshape(*[a.shape[k] for k in rest], together))
    y = jnp.expand_dims(y, tuple(axes)) if keepdims is True else y
    return y if initial is None or initial is np._NoValue else y * initial


@translation(np.std, np.nanstd)
def _std(a: Any, *args: Any, **kwargs: Any) -> Any:
    return root(jnp.var(a, *args, **kwargs))


TABLE[np.nanstd] = lambda a, *args, **kwargs: root(jnp.nanvar(a, *args, **kwargs))


# -- signatures -------------------------------------------------------------------------------------------------------


def _shaped_like(target: Callable) -> Callable:
    def call(a: Any, *args: Any, order: Any = "K", subok: bool = True, **kwargs: Any) -> Any:
        return target(a, *args, **kwargs)

    return call


for _name in ("zeros_like", "ones_like", "empty_like", "full_like"):
    TABLE[getattr(np, _name)] = _shaped_like(getattr(jnp, _name))


@translation(np.copy)
def _copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    return a  # jax arrays do not change


@translation(getattr(np, "astype", None))
def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    dtype = np.dtype(dtype)
    return x.real.astype(dtype) if is_complex(x) and dtype.kind not in "cb" else x.astype(dtype)


@translation(np.sort, np.partition)
def _sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    return jnp.sort(a, axis)


TABLE[np.partition] = lambda a, kth, axis=-1, kind=None, order=None: jnp.sort(a, axis)
TABLE[np.argpartition] = lambda a, kth, axis=-1, kind=None, order=None: jnp.argsort(a, axis)
TABLE[np.argsort] = lambda a, axis=-1, kind=None, order=None, *, stable=None: jnp.argsort(a, axis)
TABLE[np.broadcast_arrays] = lambda *args, subok=False: tuple(jnp.broadcast_arrays(*args))
TABLE[np.broadcast_to] = lambda array, shape, subok=False: jnp.broadcast_to(array, shape)
TABLE[np.repeat] = lambda a, repeats, axis=None: jnp.repeat(
    a, repeats if np.ndim(repeats) == 0 else np.asarray(repeats), axis
)
TABLE[np.tensordot] = lambda a, b, axes=2: jnp.tensordot(*_like_numpy((_listed(a), _listed(b))), axes=axes)
TABLE[np.searchsorted] = lambda a, v, side="left", sorter=None: jnp.searchsorted(
    *_like_numpy((_listed(a), _listed(v))), side=side, sorter=sorter
).astype(int)
TABLE[np.digitize] = lambda x, bins, right=False: jnp.digitize(_listed(x), _listed(bins), right).astype(int)
TABLE[np.result_type] = lambda *args: np.result_type(*[_weak_or_dtype(a) for a in args])
TABLE[np.tril_indices_from] = lambda arr, k=0: np.tril_indices(*_rectangle(arr, k))
TABLE[np.triu_indices_from] = lambda arr, k=0: np.triu_indices(*_rectangle(arr, k))
TABLE[np.einsum] = lambda *operands, optimize="auto", **kwargs: jnp.einsum(
    *operands[: isinstance(operands[0], str)], *_like_numpy(operands[isinstance(operands[0], str) :]), **kwargs
)


def _rectangle(a: Any, k: int) -> tuple:
    rows, columns = jnp.shape(a)
    return rows, k, columns


def _weak_or_dtype(a: Any) -> Any:
    if getattr(a, "weak_type", False):
        return {"i": 0, "f": 0.0, "c": 0j, "b": False}[a.dtype.kind]
    return a.dtype if isa(a, (jax.Array, np.ndarray, np.generic)) else a


def _at_least(n: int) -> Callable:
    target = getattr(jnp, f"atleast_{n}d")

    def call(*arrays: Any) -> Any:
        results = tuple(target(a) for a in arrays)
        return results[0] if len(results) == 1 else results

    return call


for _n, _function in ((1, np.atleast_1d), (2, np.atleast_2d), (3, np.atleast_3d)):
    TABLE[_function] = _at_least(_n)


_EigResult: Any = type(np.linalg.eig(np.eye(1)))
# JAX differentiates eigenvectors on demand only: of multiplicity 1 and unit length they are what NumPy returns.
_EIGENVECTORS: dict[str, Any] = {
    name: value
    for name, value in {"compute_left_eigenvectors": False, "enable_eigvec_derivs": True}.items()
    if name in inspect.signature(lax.linalg.eig).parameters
}


@translation(np.linalg.eig)
def _eig(a: Any) -> Any:
    a = jnp.asarray(a)
    if not a.size and a.shape[-1] == a.shape[-2]:
        return _EigResult(jnp.zeros(a.shape[:-1], a.dtype), a)
    values, vectors = lax.linalg.eig(a if a.dtype.kind in "fc" else a.astype(float), **_EIGENVECTORS)
    known = concrete(values.imag)
    if a.dtype.kind != "c" and known is not None and not known.any():
        values, vectors = values.real, vectors.real
    return _EigResult(values, vectors)


def _from_triangle(a: Any, upper: bool) -> Any:
    """The Hermitian matrix that NumPy reads from one triangle, with the slope of the Hermitian part."""
    a = jnp.asarray(a)
    a = a if a.dtype.kind in "fc" else a.astype(float)
    adjoint = jnp.conj(jnp.swapaxes(a, -1, -2))
    one, other = (jnp.triu(a), jnp.tril(adjoint, -1)) if upper else (jnp.tril(a), jnp.triu(adjoint, 1))
    half = (a + adjoint) / 2
    read = one + other
    if a.dtype.kind == "c":  # the diagonal is real, whatever is stored
        read = read - 1j * jnp.imag(read) * jnp.eye(a.shape[-1], dtype=bool)
    return half + lax.stop_gradient(read - half)


def _of_entries(function: Any) -> None:
    """JAX stumbles over arrays without entries: the library's rule takes over."""
    target = TABLE[function]

    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(a, (list, tuple)) and not jnp.size(a):
            raise UntranslatedError("no entries")
        return target(a, *args, **kwargs)

    TABLE[function] = call


_of_entries(np.trapezoid)
_det_of_entries = TABLE[np.linalg.det]


@translation(np.linalg.det)
def _det(a: Any) -> Any:
    a = jnp.asarray(a)
    return _det_of_entries(a) if a.ndim < 2 or a.shape[-1] or a.shape[-2] else jnp.ones(a.shape[:-2], a.dtype)


@translation(np.linalg.cholesky)
def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return jnp.linalg.cholesky(_from_triangle(a, upper), upper=upper)


@translation(np.linalg.eigh)
def _eigh(a: Any, UPLO: str = "L") -> Any:
    return jnp.linalg.eigh(_from_triangle(a, UPLO.upper() == "U"))


@translation(np.linalg.eigvalsh)
def _eigvalsh(a: Any, UPLO: str = "L") -> Any:
    return _eigh(a, UPLO)[0]


@translation(np.linalg.eigvals)
def _eigvals(a: Any) -> Any:
    return _eig(a)[0]  # JAX's own function has a first derivative only


_interp_of_finite = TABLE[np.interp]


@translation(np.interp)
def _interp(x: Any, xp: Any, fp: Any, *args: Any, **kwargs: Any) -> Any:
    y = _interp_of_finite(x, xp, fp, *args, **kwargs)
    known, at, knots = concrete(y), concrete(x), concrete(xp)
    if known is None or at is None or knots is None or np.isnan(known).any() or np.isnan(at).any():
        raise UntranslatedError("values that are not finite")
    if y.dtype not in (np.float64, np.complex128) or knots[-1] == knots[-2:][0]:
        raise UntranslatedError("single precision, or a jump at the end")
    return y


@translation(np.cov)
def _cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None, **rest: Any
) -> Any:
    if (
        ddof is not None
        and fweights is None
        and rest.get("aweights") is None
        and ddof >= jnp.shape(m)[-1 if rowvar else 0]
    ):
        raise UntranslatedError("no degrees of freedom")
    rest = {k: _listed(v) for k, v in rest.items()}
    return jnp.cov(m, y, rowvar, bias, ddof, _listed(fweights), **rest)


@translation(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    if (not array.size and mode not in ("constant", "empty")) or 0 in np.ravel(options.get("stat_length", 1)):
        raise UntranslatedError("no entries")
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * array.ndim
        for axis, width in pad_width.items():
            widths[axis] = width if np.ndim(width) else (width, width)
        pad_width = widths
    return jnp.pad(array, pad_width, mode, **options)


@translation(np.delete)
def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    return jnp.delete(_listed(arr), np.asarray(obj) if type(obj) is list else obj, axis)


@translation(np.insert)
def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    obj = np.asarray(obj) if type(obj) is list else obj
    obj = np.flatnonzero(obj) if isa(obj, np.ndarray) and obj.dtype.kind == "b" and obj.ndim else obj
    return jnp.insert(_listed(arr), obj, _listed(values), axis)


def _of_vectors(function: Any) -> None:
    """NumPy takes numbers for vectors of one entry."""
    target = TABLE[function]

    def call(a: Any, v: Any, *args: Any, **options: Any) -> Any:
        return target(jnp.atleast_1d(jnp.asarray(a)), jnp.atleast_1d(jnp.asarray(v)), *args, **options)

    TABLE[function] = call


_of_vectors(np.convolve)
_of_vectors(np.correlate)


@translation(np.polymul)
def _polymul(a1: Any, a2: Any) -> Any:
    a1, a2 = _like_numpy([jnp.asarray(a) for a in (a1, a2)])
    if concrete(a1) is None or concrete(a2) is None:  # JAX compiles: leading zeros stay
        return jnp.polymul(a1, a2)
    raise UntranslatedError("leading zeros")


@translation(np.linalg.matrix_power)
def _matrix_power(a: Any, n: int) -> Any:
    if n < 0:
        a, n = TABLE[np.linalg.inv](a), -n  # which knows a singular matrix
    return jnp.linalg.matrix_power(a, n)


@translation(np.linalg.matrix_rank)
def _matrix_rank(a: Any, *args: Any, **kwargs: Any) -> Any:
    return jnp.linalg.matrix_rank(a, *args, **kwargs) if jnp.size(a) else jnp.zeros(jnp.shape(a)[:-2], int)


def _nan_position(function: Any) -> None:
    target = TABLE[function]

    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        position = target(a, *args, **kwargs)
        known = concrete(position)
        if known is not None and (known < 0).any():
            raise ValueError("All-NaN slice encountered")
        return position

    TABLE[function] = call


_nan_position(np.nanargmax)
_nan_position(np.nanargmin)


@translation(np.tril)
def _tril(m: Any, k: Any = 0) -> Any:
    return jnp.tril(_square(m), k)


@translation(np.triu)
def _triu(m: Any, k: Any = 0) -> Any:
    return jnp.triu(_square(m), k)


def _square(m: Any) -> Any:
    """A vector as the rows of a square matrix, as NumPy has it."""
    return jnp.broadcast_to(m, (m.shape[0],) * 2) if m.ndim == 1 else m


@translation(np.take)
def _take(a: Any, indices: Any, axis: Any = None, mode: str = "raise") -> Any:
    if mode != "raise":
        return jnp.take(a, jnp.asarray(indices), axis, mode=mode)
    n = jnp.size(a) if axis is None else jnp.shape(a)[axis]
    known = concrete(indices)
    if known is None:  # while JAX compiles: an index out of bounds becomes NaN
        return jnp.take(a, indices, axis, mode="fill")
    known = known.astype(np.intp, casting="same_kind") if known.size else known.astype(np.intp)
    if known.size and (known.min() < -n or known.max() >= n):
        bad = known[(known < -n) | (known >= n)].flat[0]
        raise IndexError(f"index {bad} is out of bounds for axis {0 if axis is None else axis} with size {n}")
    return jnp.take(a, known % n if known.size else known, axis)


@translation(np.bincount)
def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    x = np.asarray(x, np.intp) if type(x) in (list, tuple) else x
    known = concrete(x)
    if known is not None and not known.size:
        return jnp.zeros(minlength, int)
    if known is None:
        return jnp.bincount(x, weights, minlength)
    length = max(minlength, int(known.max()) + 1 if known.size else 0)
    if weights is not None:
        weights = jnp.asarray(weights)
        if weights.dtype != np.float64:
            weights = weights.astype(np.float64)
    return jnp.bincount(known, weights, length=length)
