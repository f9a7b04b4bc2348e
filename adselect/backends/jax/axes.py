"""The axes of a mesh that values vary over inside ``jax.shard_map``.

JAX adds up a cotangent over the axes that its variable does not vary over, and has to be told of them: what goes into
one of our primitives is made to vary over the same axes, and so does what comes out. Elsewhere nothing varies.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray, Tracer

__all__ = ["alike", "axes_of", "result_avals", "varying_over"]


def axes_of(values: Any) -> frozenset:
    """The axes that any of these arrays, or of their types, varies over."""
    found: frozenset = frozenset()
    for value in values:
        if isinstance(value, (Tracer, ShapedArray)):
            found |= _axes(value)
    return found


def _axes(value: Any) -> frozenset:
    aval = value if isinstance(value, ShapedArray) else jax.typeof(value)
    kind = getattr(aval, "manual_axis_type", None)
    return frozenset() if kind is None else kind.varying


def varying_over(axes: frozenset, values: Any) -> list:
    """The same values, varying over these axes at least."""
    if not axes:
        return list(values)
    # Their order does not matter; sorted, a program is the same every time.
    return [jax.lax.pcast(v, tuple(sorted(axes - _axes(v), key=str)), to="varying") for v in values]


def alike(values: Any) -> list:
    """The same values, each varying over the axes that any of them varies over."""
    return varying_over(axes_of(values), values)


def result_avals(kinds: Any, operands: Any) -> list:
    """JAX's types of results that vary over the axes of the operands, from ``(shape, dtype)`` of each."""
    axes = axes_of(operands)
    if not axes:
        return [ShapedArray(shape, dtype) for shape, dtype in kinds]
    made = jax.make_jaxpr(lambda: varying_over(axes, [jnp.zeros(shape, dtype) for shape, dtype in kinds]))()
    return made.out_avals
