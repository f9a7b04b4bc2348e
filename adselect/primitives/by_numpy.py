"""Functions that a framework lacks: NumPy computes the value, the shared rule is its derivative.

A pointwise rule multiplies each tangent by something that depends on the arguments only, which is all a framework needs
to know: ``hosted(function)`` is a host primitive whose rules are the registry's, written in functions that are hosted
in their turn. That makes it differentiable to any order, under ``jax.jit``, ``jax.vmap`` and ``torch.func`` too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..face.array import Array
from ..rules.registry import RULES
from ..rules.rule import Stubborn
from ..values.kinds import isa
from ..values.tangents import NoTangent, ZeroTangent
from .define import define_frule, define_rrule
from .primitive import Primitive
from .thunks import unthunk

__all__ = ["hosted"]


def hosted(function: Any) -> Callable | None:
    """The function for traced arguments, carried out on the host; None if it has no pointwise rule."""
    rule = RULES.get(function)
    if rule is None or not rule.pointwise:
        return None

    def call(*args: Any, **kwargs: Any) -> Any:
        live = tuple([isinstance(a, Array) and a._deps != 0 for a in args])
        rank = max([np.ndim(a) for a in args])
        # Equal ranks, so that a batch axis in front is the same axis in every argument.
        aligned = [
            np.reshape(a, (1,) * (rank - a.ndim) + a.shape) if isinstance(a, Array) and a.ndim < rank else a
            for a in args
        ]
        return _primitive(function, live)(*aligned, **kwargs)

    return call


@functools.cache
def _primitive(function: Any, live: tuple) -> Primitive:
    """The host primitive for calls whose arguments at the ``live`` places carry a derivative."""
    rule = RULES[function]
    p = Primitive(function, host=True, result=functools.partial(_result, function), batched=True)
    p.pointwise, p.stubborn = True, type(rule) is Stubborn

    def hosted_rrule(*args: Any, **kwargs: Any) -> tuple:
        y = rule.call(*args, **kwargs)

        def pullback(y_bar: Any) -> tuple:
            g = list(y_bar) if isinstance(y, tuple) else y_bar
            bars = [_full(rule.pull(i, g, y, args, kwargs), args[i]) if live[i] else NoTangent() for i in places]
            return (NoTangent(), *bars)

        return y, pullback

    def hosted_frule(tangents: tuple, *args: Any, **kwargs: Any) -> tuple:
        y = rule.call(*args, **kwargs)
        total: Any = ZeroTangent()
        for i in places:
            x_dot = unthunk(tangents[i + 1])
            if live[i] and not isinstance(x_dot, (NoTangent, ZeroTangent)):
                y_dot = rule.push_linearly(i, x_dot, y, args, kwargs)
                total = y_dot if isinstance(total, ZeroTangent) else _sum(total, y_dot)
        return y, total

    places = range(len(live))
    define_rrule(p, host=False)(hosted_rrule)
    define_frule(p, host=False)(hosted_frule)
    return p


def _result(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Something of the result's shapes and dtypes: the dtype is asked of a call on nothing."""
    shape = np.broadcast_shapes(*[np.shape(a) for a in args])
    nothing = [np.empty(0, a.dtype) if isa(a, np.ndarray) and a.ndim else a for a in args]
    y = function(*nothing, **kwargs)
    described = [np.broadcast_to(np.zeros((), part.dtype), shape) for part in (y if isinstance(y, tuple) else (y,))]
    return tuple(described) if isinstance(y, tuple) else described[0]


def _full(x_bar: Any, x: Any) -> Any:
    """A cotangent in the argument's full shape."""
    return x_bar if np.shape(x_bar) == np.shape(x) else np.broadcast_to(x_bar, np.shape(x))


def _sum(a: Any, b: Any) -> Any:
    return tuple([x + y for x, y in zip(a, b, strict=True)]) if isinstance(a, tuple) else a + b
