"""jax.scipy.special for the functions of scipy.special, by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import jax.scipy.special
import numpy as np
from jax.core import Tracer

from .kinks import bent
from .operands import REAL_ONLY, TABLE, is_strong_integer, promoting

# scipy.special ufuncs, found by name once scipy is loaded. Not here: those whose derivative is wrong somewhere in JAX
# (i0 and i1 at 0, spence at 1, boxcox at lambda = 0), inexact (log_ndtr far out), does not compile (exp1, expn) or is
# refused in words of JAX's (betainc). They run on the host.
SPECIAL = """
    beta betaln dawsn digamma entr erf erfc erfcx erfinv expi expit fresnel gamma gammainc gammaincc gammaln
    gammasgn hyp1f1 hyp2f1 i0e i1e kl_div loggamma logit ndtr ndtri owens_t poch psi rel_entr sici wofz xlog1py xlogy
"""


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
        args = tuple([jnp.asarray(a, float) if type(a) is int or is_strong_integer(a) else a for a in args])
        return function(*args, **kwargs)

    return promoting(call)
