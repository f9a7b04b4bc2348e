"""Order statistics in JAX: equal elements share the slope."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...rules.quantiles import ranked
from .operands import implements


def axes_last(a: Any, axis: Any) -> tuple[Any, tuple]:
    """a with the axes to be reduced joined into the last one, and the shape of the result under keepdims."""
    a = jnp.asarray(a)
    if not jnp.issubdtype(a.dtype, jnp.inexact):
        a = a.astype(float)
    axes = range(a.ndim) if axis is None else (axis,) if np.ndim(axis) == 0 else axis
    axes = tuple(k % a.ndim for k in axes)
    rest = [k for k in range(a.ndim) if k not in axes]
    kept = tuple(1 if k in axes else n for k, n in enumerate(a.shape))
    return jnp.transpose(a, (*rest, *axes)).reshape(*[a.shape[k] for k in rest], -1), kept


def ranked_by_places(a: Any, ranks: Any) -> Any:
    """The elements of the given ranks along the last axis: the mean of all elements equal to each."""
    ordered = jnp.sort(lax.stop_gradient(a), axis=-1)
    chosen = jnp.take_along_axis(ordered, jnp.broadcast_to(ranks, (*a.shape[:-1], ranks.shape[-1])), axis=-1)
    equal = a[..., None, :] == chosen[..., None]
    wide = jnp.promote_types(a.dtype, jnp.float32)  # float16 may not hold how many there are
    mean = jnp.sum(jnp.where(equal, a[..., None, :], 0).astype(wide), -1) / jnp.sum(equal, -1).astype(wide)
    return mean.astype(a.dtype)


@implements(ranked)
def _rank(a: Any, k: int) -> Any:
    return ranked_by_places(a, jnp.array([k]))[..., 0]
