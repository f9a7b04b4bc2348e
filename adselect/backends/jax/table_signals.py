"""jax.numpy for the convolution that all others are windows of."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ...rules.signals import full_convolution
from .operands import implements, like_numpy


@implements(full_convolution)
def _full_convolution(a: Any, v: Any) -> Any:
    x, kernel = like_numpy([jnp.asarray(a), jnp.asarray(v)])
    return jnp.convolve(x, kernel, "full")
