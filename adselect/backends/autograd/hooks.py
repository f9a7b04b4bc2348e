"""Hooks in HIPS autograd: the identity with a vjp of its own.

autograd carries a primitive out on every trace that its arguments belong to. The hook acts in the innermost one; in
those around it, which differentiate what the innermost computes, it is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from autograd.core import defjvp_argnums, defvjp_argnums
from autograd.tracer import getval, primitive

from .face import AutogradArray, bare, behind_face, conj

__all__ = ["hooked", "hooked_behind_face"]


class _Placed:
    """A hook, and the values of the innermost trace that it is put on."""

    def __init__(self, hook: Any, values: list):
        self.hook = hook
        top = max(v._trace for v in values)
        self.inside = [v._value if v._trace == top else v for v in values]


def hooked_behind_face(hook: Any, values: list) -> list:
    """The values behind the face."""
    found = hooked(hook, [bare(value) for value in values])
    faces = [AutogradArray(x) for x in found]
    for face, value in zip(faces, values, strict=True):
        face._integer = value._integer
    return faces


def hooked(hook: Any, values: list) -> list:
    """Boxes whose cotangents go through the hook."""
    found: Any = _identity(_Placed(hook, values), *values)
    return [found] if len(values) == 1 else [found[i] for i in range(len(values))]


@primitive
def _identity(placed: _Placed, *values: Any) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _make_vjp(argnums: tuple, y: Any, args: tuple, kwargs: dict) -> Callable:
    placed, values = args[0], args[1:]
    own = all(a is b for a, b in zip(placed.inside, values, strict=True))

    def vjp(g: Any) -> tuple:
        bars = [g] if len(values) == 1 else [g[i] for i in range(len(values))]
        if own:
            hook = placed.hook
            given = [v if native else behind_face(conj(v)) for v, native in zip(bars, hook.native, strict=True)]
            found = [_fitted(v, before) for v, before in zip(hook.pull(given), bars, strict=True)]
            bars = [v if native else conj(v) for v, native in zip(found, hook.native, strict=True)]
        return tuple([bars[i - 1] for i in argnums])

    return vjp


def _fitted(x_bar: Any, before: Any) -> Any:
    return np.zeros(np.shape(getval(before)), np.result_type(getval(before))) if x_bar is None else bare(x_bar)


def _push(argnums: Any, x_dots: Any, y: Any, args: tuple, kwargs: dict) -> Any:
    if not args[0].hook.observes:
        raise args[0].hook.unseen("autograd's forward mode pushes tangents")
    dots = dict(zip(argnums, x_dots, strict=True))
    values = args[1:]
    full = [dots.get(i + 1, np.zeros(np.shape(getval(v)))) for i, v in enumerate(values)]
    return full[0] if len(values) == 1 else tuple(full)


defvjp_argnums(_identity, _make_vjp)
defjvp_argnums(_identity, _push)
