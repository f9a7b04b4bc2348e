"""Hooks in JAX: the identity with a backward pass of its own.

While values are there the function gets NumPy arrays. Where JAX is compiling it is written into the program if it has
no effects; else it is called back, each time the program runs. A second derivative is taken of what it does.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..framework_array import UNKNOWN
from .callbacks import call_back
from .face import JaxArray
from .operands import concrete
from .primitives import called

__all__ = ["hooked", "hooked_behind_face"]


def hooked_behind_face(hook: Any, values: list) -> list:
    """The values behind the face, each depending on all arguments that one of them depends on."""
    deps = 0
    for value in values:
        deps |= value._deps
    found = hooked(hook, [value._primal for value in values])
    return [JaxArray(x, deps, value._integer) for x, value in zip(found, values, strict=True)]


def hooked(hook: Any, values: list) -> list:
    """Native values whose cotangents go through the hook."""

    @jax.custom_vjp
    def identity(*xs: Any) -> tuple:
        return xs

    identity.defvjp(lambda *xs: (xs, None), lambda _, x_bars: tuple(_pulled(hook, list(x_bars))))
    return list(identity(*values))


def _pulled(hook: Any, x_bars: list) -> list:
    """What goes on in the place of native cotangents."""
    if not any(isinstance(x_bar, Tracer) for x_bar in x_bars):
        return _on_numbers(hook, x_bars)
    if all(concrete(x_bar) is not None for x_bar in x_bars) or not (hook.has_effects or hook.observes):
        return _traced(hook, x_bars)
    hook.note()
    kinds = [jax.ShapeDtypeStruct(x_bar.shape, x_bar.dtype) for x_bar in x_bars]

    def value(*arrays: Any) -> list:
        if not any(isinstance(v, Tracer) for v in arrays):
            return _on_numbers(hook, list(arrays))
        return call_back(lambda *numbers: [np.asarray(v) for v in _on_numbers(hook, list(numbers))], kinds, *arrays)

    def push(primals: list, tangents: list) -> tuple[list, list]:
        ys = called(value, push, primals)
        return ys, list(jax.jvp(lambda *xs: tuple(_traced(hook, list(xs))), primals, tangents)[1])

    return called(value, push, x_bars)


def _on_numbers(hook: Any, x_bars: list) -> list:
    given = [
        x_bar if native else np.conj(np.array(x_bar))[()] for x_bar, native in zip(x_bars, hook.native, strict=True)
    ]
    return _taken(hook, given, x_bars)


def _traced(hook: Any, x_bars: list) -> list:
    given = [
        x_bar if native else JaxArray(_conj(x_bar), UNKNOWN) for x_bar, native in zip(x_bars, hook.native, strict=True)
    ]
    return _taken(hook, given, x_bars)


def _taken(hook: Any, given: list, x_bars: list) -> list:
    found = []
    for x_bar, before, native in zip(hook.pull(given), x_bars, hook.native, strict=True):
        if x_bar is None:
            found.append(jnp.zeros(before.shape, before.dtype))
            continue
        x_bar = x_bar._primal if isinstance(x_bar, JaxArray) else x_bar
        x_bar = jnp.asarray(x_bar) if native else _conj(jnp.asarray(x_bar))
        found.append(jnp.broadcast_to(x_bar, before.shape).astype(before.dtype))
    return found


def _conj(value: Any) -> Any:
    return jnp.conj(value) if jnp.iscomplexobj(value) else value
