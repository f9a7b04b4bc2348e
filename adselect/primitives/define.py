"""Primitives: functions that derivative rules attach to, and the doors for writing and asking rules.

A rule is written once, in plain NumPy, and holds in every backend. It returns the value and the map of tangents, as
ChainRules' rules do: closures and all. Which rule a call uses is looked up when the call is made.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import RuleError
from ..face.array import Array
from ..rules.registration import load_for
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES
from ..rules.rule import unbroadcast, without_zero_times_infinity
from ..values.kinds import isa
from ..values.tangents import NoTangent, ZeroTangent
from .config import needs_of
from .primitive import LOCK, REGISTRATIONS, Definition, Primitive
from .thunks import unthunk

__all__ = ["define_frule", "define_rrule", "non_differentiable", "opt_out", "scalar_rule"]


def _target(f: Any, what: str) -> Primitive:
    if isinstance(f, Primitive):
        return f
    name = getattr(f, "__name__", type(f).__name__)
    if f in RULES or f in COMPOSITES or f in NO_DERIVATIVE or load_for(f):
        raise RuleError(
            f"{what}: np.{name} has a derivative rule already; wrap it to give it another: f = primitive({name})"
        )
    raise RuleError(
        f"{what}: {name} is not a primitive. Put @adselect.primitive above it, or wrap it: f = primitive({name})"
    )


def _register(f: Any, what: str, **definitions: Definition) -> None:
    p = _target(f, what)
    with LOCK:
        if p.no_derivative:
            raise RuleError(f"{what}: {p.__name__} was declared non_differentiable")
        for name in definitions:
            known = getattr(p, name)
            if known is not None:
                raise RuleError(f"{what}: {p.__name__} has an {name} already: {known}")
        for name, definition in definitions.items():
            definition.primitive = p.__name__
            setattr(p, name, definition)
        REGISTRATIONS[0] += 1


def define_rrule(f: Any, /, *, needs: Any = (), host: bool | None = None) -> Callable:
    """``@define_rrule(f)``: the decorated function is f's reverse rule.

    It is called with f's arguments and returns ``(y, pullback)``; ``pullback(y_bar)`` returns one tangent per input,
    that of f itself first (``NoTangent()`` for a plain function). y_bar has the structure of y (dicts for dicts, tuples
    for tuples). Tangents may be numbers and arrays of the input's shape, ``NoTangent()`` or None, ``ZeroTangent()``, a
    ``Thunk``, and containers or ``Tangent[type](field=…)`` of those. Complex: the gradient is ∂f/∂x + i ∂f/∂y.

    needs: capabilities (HasReverseMode, …): the rule's first argument is then a :class:`RuleConfig`. host: whether the
    rule gets real ndarrays (first order only); by default it does if f is a host primitive. With ``host=False`` the
    rule of a host primitive is traceable NumPy code that calls other primitives: any order of derivative.

    A rule may call f. Raises RuleError when f is no primitive or has a rule.

    >>> import numpy as np, adselect as ad
    >>> scaled = ad.primitive(lambda a, x: a * x)
    >>> @ad.define_rrule(scaled)
    ... def scaled_rrule(a, x):
    ...     return scaled(a, x), lambda y_bar: (ad.NoTangent(), np.sum(y_bar * x), a * y_bar)
    >>> ad.gradient(lambda a, x: np.sum(scaled(a, x)), 2.0, np.ones(3))
    (3.0, array([2., 2., 2.]))

    Source: the rules of Julia's ChainRules.
    """

    def register(rule: Callable) -> Callable:
        p = _target(f, "define_rrule")
        on_host = p.host if host is None else host
        _register(f, "define_rrule", rrule=Definition(rule, needs_of(needs), on_host, "(y, pullback)"))
        return rule

    return register


def define_frule(f: Any, /, *, needs: Any = (), host: bool | None = None) -> Callable:
    """``@define_frule(f)``: the decorated function is f's forward rule.

    It is called as ``rule(tangents, *args)``, tangents being those of f itself (``NoTangent()``) and of each argument,
    and returns ``(y, y_dot)``. Options and errors as for :func:`define_rrule`.

    >>> import numpy as np, adselect as ad
    >>> square = ad.primitive(lambda x: x * x)
    >>> @ad.define_frule(square)
    ... def square_frule(tangents, x):
    ...     _, x_dot = tangents
    ...     return square(x), 2 * x * x_dot
    >>> ad.derivative(square, ad.AutoForward(), 3.0), ad.gradient(square, 3.0)
    (6.0, (6.0,))
    """

    def register(rule: Callable) -> Callable:
        p = _target(f, "define_frule")
        on_host = p.host if host is None else host
        _register(f, "define_frule", frule=Definition(rule, needs_of(needs), on_host, "(y, y_dot)"))
        return rule

    return register


def scalar_rule(f: Any, partials: Callable, setup: Callable | None = None) -> None:
    """Both rules of a function of numbers (or of arrays, elementwise) from its partial derivatives.

    ``partials(y, *args)`` returns a tuple with ∂y/∂x for each argument; for a function with several results a tuple of
    such tuples, one per result. ``setup(y, *args)`` computes what the partials share: its result (the entries, if it is
    a tuple) is passed to partials after the arguments.

    >>> import numpy as np, adselect as ad
    >>> ratio = ad.primitive(lambda a, b: a / b)
    >>> ad.scalar_rule(ratio, lambda y, a, b: (1 / b, -y / b))
    >>> ad.gradient(ratio, 1.0, 2.0)
    (0.5, -0.25)
    """
    p = _target(f, "scalar_rule")
    # The engines see to zero tangents of infinite derivatives where they can trace the rule, and here they cannot.
    product = _strong_product if p.host else operator.mul

    def evaluate(args: tuple, kwargs: dict) -> tuple[Any, tuple]:
        y = p(*args, **kwargs)
        shared = () if setup is None else setup(y, *args)
        rows = partials(y, *args, *(shared if isinstance(shared, tuple) else (shared,)))
        if not isinstance(y, (tuple, list)):
            rows = (rows,)
        rows = tuple([row if isinstance(row, tuple) else (row,) for row in rows])
        count = len(y) if isinstance(y, (tuple, list)) else 1
        if len(rows) != count or any(len(row) != len(args) for row in rows):
            raise RuleError(
                f"scalar_rule of {p.__name__}: {Definition(partials, frozenset(), False, '')} returned "
                f"{[len(row) for row in rows]} partial derivatives for {count} results of {len(args)} arguments"
            )
        return y, rows

    def scalar_rrule(*args: Any, **kwargs: Any) -> tuple:
        y, rows = evaluate(args, kwargs)

        def scalar_pullback(y_bar: Any) -> tuple:
            y_bars = y_bar if isinstance(y, (tuple, list)) else (y_bar,)
            columns = zip(*rows, strict=True)
            return (NoTangent(), *[_scaled_back(y_bars, col, x, product) for col, x in zip(columns, args, strict=True)])

        return y, scalar_pullback

    def scalar_frule(tangents: tuple, *args: Any, **kwargs: Any) -> tuple:
        y, rows = evaluate(args, kwargs)
        outputs = y if isinstance(y, (tuple, list)) else (y,)
        dots = []
        for row, out in zip(rows, outputs, strict=True):
            total: Any = ZeroTangent()
            for partial, x_dot in zip(row, tangents[1:], strict=True):
                total = total + product(unthunk(partial), unthunk(x_dot))
            if not isinstance(total, (NoTangent, ZeroTangent)) and np.shape(total) != np.shape(out):
                total = np.broadcast_to(total, np.shape(out))
            dots.append(total)
        if not isinstance(y, (tuple, list)):
            return y, dots[0]
        return y, type(y)(*dots) if hasattr(y, "_fields") else type(y)(dots)

    for rule in (scalar_rrule, scalar_frule):
        rule.__name__ = f"scalar_rule of {p.__name__}"
    _register(
        f,
        "scalar_rule",
        rrule=Definition(scalar_rrule, frozenset(), p.host, "(y, pullback)"),
        frule=Definition(scalar_frule, frozenset(), p.host, "(y, y_dot)"),
    )


def _strong_product(partial: Any, tangent: Any) -> Any:
    """partial times tangent, with 0 where the tangent is 0 and the partial derivative infinite."""
    if isinstance(partial, (NoTangent, ZeroTangent)) or isinstance(tangent, (NoTangent, ZeroTangent)):
        return partial * tangent
    with np.errstate(invalid="ignore"):
        return without_zero_times_infinity(partial * tangent, tangent)


def _scaled_back(y_bars: Any, column: tuple, x: Any, product: Callable) -> Any:
    """Σ ȳ_k · conj(∂y_k/∂x), summed down to x's shape."""
    if not isa(x, (int, float, complex, np.ndarray, np.generic, Array)):
        return NoTangent()
    total: Any = ZeroTangent()
    for y_bar, partial in zip(y_bars, column, strict=True):
        partial = unthunk(partial)
        total = total + product(partial if isinstance(partial, (NoTangent, ZeroTangent)) else np.conj(partial), y_bar)
    if isinstance(total, (NoTangent, ZeroTangent)):
        return total
    if np.shape(total) != np.shape(x):
        total = np.reshape(unbroadcast(total, np.shape(total), np.shape(x)), np.shape(x))
    return np.real(total) if np.iscomplexobj(total) and not np.iscomplexobj(x) else total


def non_differentiable(f: Any) -> None:
    """Say that f has no derivative: its result counts as a constant, in every backend.

    >>> import numpy as np, adselect as ad
    >>> rounded = ad.primitive(lambda x: np.round(x))
    >>> ad.non_differentiable(rounded)
    >>> ad.gradient(lambda x: x * rounded(x), 1.6)
    (2.0,)
    """
    p = _target(f, "non_differentiable")
    with LOCK:
        known = p.rrule or p.frule
        if known is not None:
            raise RuleError(f"non_differentiable: {p.__name__} has a rule already: {known}")
        if p.no_derivative:
            raise RuleError(f"non_differentiable: {p.__name__} was declared so already")
        p.no_derivative = True
        REGISTRATIONS[0] += 1


def opt_out(f: Any, *types: type) -> None:
    """Calls of f with arguments of these types ignore its rules: what f does is differentiated instead.

    The types are those of the arguments as the caller passed them, subclasses included; without any, f's rules are
    never used.

    >>> import adselect as ad
    >>> tenfold = ad.primitive(lambda x: 1 * x)
    >>> _ = ad.define_rrule(tenfold)(lambda x: (tenfold(x), lambda y_bar: (ad.NoTangent(), 10 * y_bar)))
    >>> ad.opt_out(tenfold, float)
    >>> ad.gradient(tenfold, 2.0), ad.gradient(tenfold, 2)
    ((1.0,), (10.0,))
    """
    p = _target(f, "opt_out")
    if not all(isinstance(t, type) for t in types):
        raise RuleError("opt_out takes types: write opt_out(f, float, np.ndarray)")
    with LOCK:
        if types in p.opted_out:
            raise RuleError(f"opt_out: {p.__name__} is opted out for {describe_types(types)} already")
        p.opted_out = [*p.opted_out, types]
        REGISTRATIONS[0] += 1


def describe_types(types: tuple) -> str:
    """The names of types, for messages."""
    return f"({', '.join(t.__name__ for t in types)})" if types else "all arguments"
