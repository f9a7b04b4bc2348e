"""The registry: which derivative rule belongs to which function.

A rule is mathematics written once, in plain NumPy, over values that may themselves be traced: that is what makes
higher order, replay and translation into other frameworks come free. Most rules are one row of a table:

* :func:`elementwise` — ``form_i(g, y, *args)`` is ``g · ∂y/∂x_i``; the one form serves forward and reverse mode.
* :func:`linear` — linear in the first argument: the function itself pushes tangents, ``vjp`` pulls cotangents.
* :func:`define` — one ``vjp_i(g, y, *args, **kwargs)`` and one ``jvp_i(x_dot, y, *args, **kwargs)`` per argument.
* :func:`composite` — no rule of its own: written in terms of functions that have one.
* :func:`no_derivative` — integer, boolean and shape results: traced arguments are replaced by their values.

``g`` is the cotangent of the result (or the tangent of the argument), ``y`` the result.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.binder import binder_of
from ..face.integers import whole_behind
from ..values.kinds import isa
from .rule import Elementwise, Linear, Multilinear, Rule, Stubborn, choose, kink, vanishing, vanishing_form

__all__ = [
    "COMPOSITES",
    "NO_DERIVATIVE",
    "RULES",
    "composite",
    "define",
    "elementwise",
    "linear",
    "no_derivative",
    "positional",
]


RULES: dict[Any, Rule] = {}
COMPOSITES: dict[Any, Callable] = {}
NO_DERIVATIVE: set[Any] = set()


def _add(function: Any, rule: Rule) -> None:
    if function in RULES:
        raise ValueError(f"{function} has a rule already")
    RULES[function] = rule


def elementwise(
    function: Any,
    *forms: Callable | None,
    call: Any = None,
    singular: bool = False,
    signs: tuple | None = None,
    into: tuple | None = None,
    uniform: tuple | None = None,
    keeps_zeros: bool = False,
) -> None:
    """Rule of a broadcasting function: ``form_i(g, y, *args) = g · ∂y/∂x_i``.

    Its facts are those of :class:`Elementwise`. uniform: the forms for real arrays of one shape, where they are simpler
    than the general ones.
    """
    _add(function, Elementwise(function, forms, call, singular, signs, into, uniform, keeps_zeros))


_add(vanishing, Stubborn(vanishing, (vanishing_form, None, None)))
_add(
    kink,
    Stubborn(
        kink,
        (
            lambda g, y, slope, at, x: choose(at, 0.0, g),
            None,
            lambda g, y, slope, at, x: choose(at, g, 0.0) * choose(at, np.nan, 0.0),
        ),
    ),
)


def linear(function: Any, vjp: Callable, call: Any = None, lazy: bool = False, keeps_zeros: bool = False) -> None:
    """Rule of a function linear in its first argument: ``vjp(g, y, x, *args, **kwargs)`` is its transpose."""
    _add(function, Linear(function, vjp, call, lazy, keeps_zeros))


def define(
    function: Any,
    vjps: Any,
    jvps: Any,
    call: Any = None,
    lazy: bool = False,
    variadic: bool = False,
    pointwise: bool = False,
    by_shape: bool = False,
    multilinear: bool = False,
    keeps_zeros: bool = False,
    partial: bool = False,
) -> None:
    """Rule with one vjp and one jvp for each differentiable positional argument (see :class:`Rule`).

    multilinear: see :class:`Multilinear`.
    """
    kind = Multilinear if multilinear else Rule
    facts = {"variadic": variadic, "pointwise": pointwise, "by_shape": by_shape}
    _add(function, kind(function, vjps, jvps, call, lazy, keeps_zeros=keeps_zeros, partial=partial, **facts))


def composite(*functions: Any) -> Callable:
    """Decorator: how functions without a rule are written with functions that have one."""

    def register(implementation: Callable) -> Callable:
        for function in functions:
            COMPOSITES[function] = implementation
        return implementation

    return register


def no_derivative(*functions: Any) -> None:
    """Functions whose result carries no derivative (integers, booleans, shapes, index arrays)."""
    NO_DERIVATIVE.update(functions)


_SIGNATURES: dict[Any, inspect.Signature] = {}


def positional(function: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The same call with array arguments given by keyword moved to their positions; options stay by name."""
    if not any(isa(v, (Array, np.ndarray, list, tuple)) and whole_behind(v) is None for v in kwargs.values()):
        return args, kwargs
    signature = _SIGNATURES.get(function)
    if signature is None:
        try:
            signature = _SIGNATURES[function] = inspect.signature(function)
        except (TypeError, ValueError):
            return args, kwargs
    moved, rest, bind = list(args), dict(kwargs), binder_of(function)
    for parameter in list(signature.parameters.values())[len(args) : None if bind is None else bind.by_name_from]:
        if parameter.name in rest and parameter.kind == parameter.POSITIONAL_OR_KEYWORD:
            moved.append(rest.pop(parameter.name))
        else:
            break
    return tuple(moved), rest
