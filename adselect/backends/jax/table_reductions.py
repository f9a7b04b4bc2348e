"""jax.numpy for NumPy's reductions and scans."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...values.kinds import isa
from .operands import implements, same_name

same_name("argmax argmin cumsum cumprod count_nonzero")


def reducing(function: Callable) -> Callable:
    """NumPy lets axis 0 and -1 name what a 0-d array has not."""

    def call(a: Any, axis: Any = None, *args: Any, **kwargs: Any) -> Any:
        if axis is not None and jnp.ndim(a) == 0 and axis in (0, -1):
            axis = None
        return function(a, axis, *args, **kwargs)

    return call


def counting(function: Callable) -> Callable:
    """Ties share the slope: how many there are, float16 may not hold."""

    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        a = jnp.asarray(a)
        if a.dtype != jnp.float16:
            return function(a, *args, **kwargs)
        return function(a.astype(jnp.float32), *args, **kwargs).astype(jnp.float16)

    return call


same_name("sum mean any all", reducing)
same_name("max min amax amin", lambda function: counting(reducing(function)))


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


@implements(np.prod)
def _prod(
    a: Any, axis: Any = None, *, dtype: Any = None, keepdims: Any = False, initial: Any = None, where: Any = None
) -> Any:
    a = jnp.asarray(a)
    a = a if dtype is None else a.astype(dtype)
    if not jnp.issubdtype(a.dtype, jnp.inexact) or (isa(axis, tuple) and not axis):
        return jnp.prod(a, axis, keepdims=keepdims, initial=initial, where=where)
    a = a if where is None else jnp.where(where, a, 1)
    axes: Any = range(a.ndim) if axis is None else (axis,) if np.ndim(axis) == 0 else axis
    axes = sorted({operator.index(k) % max(a.ndim, 1) for k in axes}) if a.ndim else []
    rest = [k for k in range(a.ndim) if k not in axes]
    together = math.prod([a.shape[k] for k in axes])
    y = _product_of_last(jnp.transpose(a, (*rest, *axes)).reshape(*[a.shape[k] for k in rest], together))
    y = jnp.expand_dims(y, tuple(axes)) if keepdims else y
    return y if initial is None else y * initial
