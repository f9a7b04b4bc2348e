"""NumPy's functions in autograd: its own where they are right, the library's rules as autograd primitives elsewhere."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from autograd.core import defjvp_argnums, defvjp_argnums, primitive_vjps, vspace
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.numpy.numpy_vjps import untake
from autograd.tracer import getval, isbox, primitive, trace_primitives_map

from ...rules.registry import COMPOSITES, RULES
from ...rules.rule import AtIndex, Rule
from .face import AutogradArray, bare, behind_face, conj, faced
from .modes import MODE

# NumPy functions whose derivative is autograd's own, kinks included. Not arcsin and its like, which are wrong there for
# complex numbers.
OWN = {
    *(np.add, np.subtract, np.multiply, np.divide, np.negative, np.square, np.reciprocal, np.sqrt, np.matmul),
    *(np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.maximum, np.minimum),
    *(np.sin, np.cos, np.tan, np.arctan, np.deg2rad, np.rad2deg, np.radians, np.degrees),
    *(np.sinh, np.cosh, np.tanh, np.arctanh, np.real, np.imag, np.conjugate),
}


def translate(function: Callable, rule: Rule) -> Callable:
    """The autograd primitive of a NumPy function with a shared rule."""
    own = trace_primitives_map.get(function) if function in OWN else None

    @primitive
    def translated(*args: Any, **kwargs: Any) -> Any:
        return rule.call(*args, **kwargs)

    def make_vjp(argnums: tuple, y: Any, args: tuple, kwargs: dict) -> Callable:
        own_vjp = primitive_vjps[own](argnums, y, args, kwargs) if own is not None and not kwargs else None

        def vjp(g: Any) -> tuple:
            if own_vjp is not None and not MODE.strong and not MODE.shared:
                return tuple(own_vjp(g))
            return tuple([_pull(rule, i, g, y, args, kwargs) for i in argnums])

        return vjp

    def jvp(argnums: Any, x_dots: Any, y: Any, args: tuple, kwargs: dict) -> Any:
        return _push(rule, argnums, x_dots, y, args, kwargs)

    defvjp_argnums(translated, make_vjp)
    defjvp_argnums(translated, jvp)
    translated.rule = rule  # type: ignore[attr-defined]
    translated.__name__ = getattr(function, "__name__", "translated")
    return translated


def _pull(rule: Rule, i: int, g: Any, y: Any, args: tuple, kwargs: dict) -> Any:
    """The cotangent of argument i by the shared rule, in autograd's convention and in the argument's full shape."""
    x = args[i]
    plain_x = getval(x)
    shape = np.shape(plain_x)
    items = isinstance(getval(y), tuple)
    parts = [g[k] for k in range(len(getval(y)))] if items else [g]
    if MODE.strong and not any(np.any(getval(p)) for p in parts):
        return np.zeros(shape, np.result_type(plain_x))
    faces, y_face = faced(args, y)
    g_face: Any = [behind_face(conj(p)) for p in parts] if items else behind_face(conj(g))
    if MODE.strong and hasattr(rule, "pull_strong"):
        x_bar = rule.pull_strong(i, g_face, y_face, faces, kwargs)
    else:
        x_bar = rule.pull(i, g_face, y_face, faces, kwargs)
    if x_bar is None:
        return np.zeros(shape, np.result_type(plain_x))
    if type(x_bar) is AtIndex:
        return untake(conj(bare(x_bar.value)), x_bar.index, vspace(x))
    if np.shape(x_bar) != shape:
        x_bar = np.broadcast_to(x_bar, shape)
    if np.iscomplexobj(x_bar) and not np.iscomplexobj(plain_x):
        x_bar = np.real(x_bar)
    return conj(bare(x_bar))


def _push(rule: Rule, argnums: Any, x_dots: Any, y: Any, args: tuple, kwargs: dict) -> Any:
    """The tangent of a function's result by the shared rule."""
    faces, y_face = faced(args, y)
    results = y_face if isinstance(y_face, tuple) else (y_face,)
    dots: list = [None] * len(results)
    for i, x_dot in zip(argnums, x_dots, strict=True):
        found = rule.push(i, behind_face(x_dot), y_face, faces, kwargs)
        for k, y_dot in enumerate(found if isinstance(y_face, tuple) and found is not None else [found]):
            if y_dot is not None:
                dots[k] = y_dot if dots[k] is None else dots[k] + y_dot
    moved = [
        np.zeros(np.shape(r), np.result_type(_numbers(r))) if d is None else bare(d)
        for d, r in zip(dots, results, strict=True)
    ]
    return tuple(moved) if isinstance(y_face, tuple) else moved[0]


def _numbers(face: Any) -> Any:
    """The numbers behind a face."""
    value = bare(face)
    while isbox(value):
        value = getval(value)
    return value


def _getitem(x: Any, index: Any) -> Any:
    """Indexing by autograd's primitive: its cotangents of single elements add up sparsely."""
    return ArrayBox.__getitem__(x, index)


TARGETS = AutogradArray._targets
TARGETS[operator.getitem] = _getitem


def autograd_function(function: Any) -> Callable | None:
    """autograd's own primitive of a function that has no rule here."""
    special = sys.modules.get("scipy.special")
    if special is not None and getattr(special, getattr(function, "__name__", ""), None) is function:
        import autograd.scipy.special  # noqa: F401 - registers its primitives
    found = trace_primitives_map.get(function)
    return found if found in primitive_vjps else None


def target(function: Any) -> Callable | None:
    """autograd's primitive for a function: by the library's rule where it has one; None for a composite."""
    found = TARGETS.get(function)
    if found is None:
        rule = RULES.get(function)
        if rule is not None:
            found = translate(function, rule)
        elif function not in COMPOSITES:
            found = autograd_function(function)
        if found is not None:
            TARGETS[function] = found
    return found


AutogradArray._target = staticmethod(target)
