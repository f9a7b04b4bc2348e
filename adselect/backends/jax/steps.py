"""Steps of optax's transformations of gradients on parameters of any kind."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...values.natives import to_numpy

__all__ = ["Steps"]


class Steps:
    """``steps(leaves, gradients)``: one step of a transformation, compiled; the state is kept here.

    Double precision stays double where parameters are NumPy's or numbers, without a change of JAX's settings. A
    parameter without a gradient gets zeros, and stays as it is.
    """

    def __init__(self, transformation: Any, leaves: list):
        self.wide = not any([isinstance(leaf, jax.Array) for leaf in leaves])
        self.transformation = transformation
        with self._precision():
            self.state = transformation.init([_array(leaf) for leaf in leaves])
            self.step = jax.jit(self._step)

    def _precision(self) -> Any:
        return jax.enable_x64(True) if self.wide else contextlib.nullcontext()

    def _step(self, parameters: list, state: Any, grads: list) -> tuple[list, Any]:
        updates, state = self.transformation.update(grads, state, parameters)
        return [p + u.astype(p.dtype) for p, u in zip(parameters, updates, strict=True)], state

    def __call__(self, leaves: list, grads: list) -> list:
        with self._precision():
            parameters = [_array(leaf) for leaf in leaves]
            bars = [jnp.zeros_like(p) if g is None else _array(g) for p, g in zip(parameters, grads, strict=True)]
            stepped, self.state = self.step(parameters, self.state, bars)
            return [
                s if isinstance(leaf, jax.Array) else np.asarray(s) for s, leaf in zip(stepped, leaves, strict=True)
            ]


def _array(value: Any) -> jax.Array:
    if isinstance(value, jax.Array):
        return value
    array = np.asarray(to_numpy(value))
    return jnp.array(array.astype(float) if array.dtype.kind in "iu" else array)
