"""Primitives: functions that derivative rules attach to, and the doors for writing and asking rules.

A rule is written once, in plain NumPy, and holds in every backend. It returns the value and the map of tangents, as
ChainRules' rules do: closures and all. Which rule a call uses is looked up when the call is made.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType, AutoTape
from ..errors import RuleError
from ..face.array import Array
from ..face.dispatch import dispatch, plain
from ..rules.registry import (
    COMPOSITES,
    NO_DERIVATIVE,
    RULES,
    AtIndex,
    Rule,
    load_for,
    unbroadcast,
    without_zero_times_infinity,
)
from ..structure.flattening import flatten
from ..structure.leaves import is_value
from ..values.kinds import isa
from ..values.natives import framework_of
from ..values.tangents import NoTangent, ZeroTangent
from .compositions import composed_frule, composed_rrule, is_composed
from .config import RuleConfig, needs_of
from .invocation import Invocation, zeros_of
from .thunks import unthunk

__all__ = [
    "NUMBERED",
    "REGISTRATIONS",
    "Primitive",
    "define_frule",
    "define_rrule",
    "frule",
    "non_differentiable",
    "opt_out",
    "primitive",
    "rrule",
    "rule_in_words",
    "scalar_rule",
]

_LOCK = threading.RLock()
# Primitives by their numbers, which stand for them in torch's graphs.
NUMBERED: weakref.WeakValueDictionary[str, Primitive] = weakref.WeakValueDictionary()
_numbers = itertools.count()
# How many registrations there were: what was compiled before the last one is compiled again.
REGISTRATIONS = [0]
_PLAIN = frozenset({float, int, complex, bool, str, type(None), np.float64, np.float32, np.int64, np.complex128})


class Definition:
    """A registered rule: the user's function, what it needs, and whether it runs on real arrays only."""

    __slots__ = ("function", "host", "inputs", "needs", "pair", "primitive")

    def __init__(self, function: Callable, needs: frozenset, host: bool, pair: str):
        self.function, self.needs, self.host, self.pair = function, needs, host, pair
        self.primitive = ""  # the name of the function that this is a rule of
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        several = any(p.kind == p.VAR_POSITIONAL for p in parameters)
        # How many positional arguments it can take: its pullback may return a tangent for each, also when defaulted.
        self.inputs = (
            1000 if several else sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        )

    def __str__(self) -> str:
        code = getattr(self.function, "__code__", None)
        place = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
        name = str(getattr(self.function, "__name__", self.function))
        of = f" of {self.primitive}" if self.primitive and not name.endswith(f" of {self.primitive}") else ""
        return f"{name}{of}{place}"


class Primitive:
    """A function that rules attach to; call it like the function. Made by :func:`primitive`."""

    _opaque = True  # as an argument it is a value, not a structure to look into

    def __init__(self, function: Callable, host: bool = False, result: Callable | None = None, batched: bool = False):
        functools.update_wrapper(self, function)
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.function, self.host, self.result, self.batched = function, host, result, batched
        self.rrule: Definition | None = None
        self.frule: Definition | None = None
        self.no_derivative = False
        self.opted_out: list[tuple] = []
        self.pointwise = False  # its rules only multiply tangents by functions of the arguments
        self.stubborn = False  # a NaN of its rules is meant, also for a cotangent of 0
        self.known_shapes: dict = {}  # what JAX asks for: shapes of results, by those of arguments
        self.number = str(next(_numbers))
        NUMBERED[self.number] = self
        try:
            self.signature: Any = inspect.signature(function)
        except (TypeError, ValueError):
            self.signature = None

    def __repr__(self) -> str:
        return f"<primitive {self.__name__}{', host' if self.host else ''}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self) -> Any:
        return self.__qualname__  # a module-level name, as for functions

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is not None:
            if torch.compiler.is_dynamo_compiling():
                from ..backends.torch import compiled as torch_compiled

                if torch_compiled.fits(args) and torch_compiled.fits(kwargs):
                    return torch_compiled.call_in_graph(self.number, *args, **kwargs)
                return torch_compiled.call_outside(self, args, kwargs)
            compiled = sys.modules.get("adselect.backends.torch.compiled")
            if compiled is not None and compiled.is_watched():
                return compiled.call_outside(self, args, kwargs)
        return self.carry_out(args, kwargs)

    def carry_out(self, args: tuple, kwargs: dict) -> Any:
        """The call itself: by a rule where there is something to differentiate."""
        if not kwargs and all([type(a) in _PLAIN or (type(a) is np.ndarray and a.dtype != object) for a in args]):
            return self.function(*args)
        if kwargs and self.signature is not None:
            bound = self.signature.bind(*args, **kwargs)
            args, kwargs = bound.args, bound.kwargs
        leaves, skeleton = flatten((args, kwargs), also=is_value)
        framework = ""
        traced = False
        for leaf in leaves:
            if isinstance(leaf, Array):
                traced = True
            elif type(leaf) not in _PLAIN and type(leaf) is not np.ndarray:
                framework = framework_of(leaf) or framework
        if not traced and not framework:
            return self.function(*args, **kwargs)
        invocation = Invocation(self, skeleton, tuple([_kind_of(a) for a in args]))
        if traced:
            return dispatch(invocation, tuple(leaves), {})
        return invocation.apply_native(framework, leaves)

    def is_opted_out(self, kinds: tuple) -> bool:
        """Whether a call with arguments of these types does not use the rules."""
        return any(
            not types or (len(types) == len(kinds) and all(issubclass(k, t) for k, t in zip(kinds, types, strict=True)))
            for types in self.opted_out
        )


def _kind_of(value: Any) -> type:
    """The type of an argument as the user passed it, behind any tracing."""
    if not isinstance(value, Array):
        return type(value)
    if getattr(value, "integer", None) is not None:
        return int if not value.shape else np.ndarray
    if value.shape:
        return np.ndarray
    inside = value
    while isinstance(inside, Array) and not hasattr(inside, "framework"):
        inside = inside.concrete if hasattr(inside, "concrete") else inside._primal
    return value.dtype.type if isinstance(inside, Array) else type(plain(inside))


def primitive(
    function: Callable | None = None,
    /,
    *,
    host: bool = False,
    result: Callable | None = None,
    batched: bool = False,
) -> Any:
    """``@primitive``, ``primitive(lib.f)``: make a function something that derivative rules attach to.

    Without a rule it is differentiated as what it does. With one, every backend uses the rule, and never looks inside.

    host: the function is a black box that needs real NumPy arrays (a compiled solver, a simulator). Its rules receive
    real arrays too, and it works in every backend, under ``jax.jit``, ``jax.vmap``, ``torch.func`` and
    ``torch.compile``. Where shapes of a result have to be known before there is one, ``result`` is asked: a function of
    the arguments, with ``.shape`` and ``.dtype`` in place of arrays, that returns something of the result's structure,
    shapes and dtypes (``result=lambda A, b: b``); without it the function is called on made-up
    numbers (ones, then ascending numbers and positive definite matrices). batched: the function accepts leading batch
    axes, so that ``vmap`` calls it once instead of once per example.

    >>> import numpy as np, adselect as ad
    >>> @ad.primitive
    ... def cube(x):
    ...     return x**3
    >>> @ad.define_rrule(cube)
    ... def cube_rrule(x):
    ...     return cube(x), lambda y_bar: (ad.NoTangent(), 3 * x**2 * y_bar)
    >>> ad.gradient(cube, 2.0)
    (12.0,)
    """
    if function is None:
        return functools.partial(primitive, host=host, result=result, batched=batched)
    if not callable(function):
        raise TypeError(f"primitive takes a function, not {type(function).__name__}")
    if isinstance(function, Primitive):
        raise RuleError(f"{function.__name__} is a primitive already")
    return Primitive(function, host, result, batched)


# -- registration ------------------------------------------------------------------------------------------------------


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
    with _LOCK:
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
    with _LOCK:
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
    with _LOCK:
        if types in p.opted_out:
            raise RuleError(f"opt_out: {p.__name__} is opted out for {describe_types(types)} already")
        p.opted_out = [*p.opted_out, types]
        REGISTRATIONS[0] += 1


def describe_types(types: tuple) -> str:
    """The names of types, for messages."""
    return f"({', '.join(t.__name__ for t in types)})" if types else "all arguments"


# -- asking ------------------------------------------------------------------------------------------------------------


def rrule(f: Any, /, *args: Any, **kwargs: Any) -> tuple | None:
    """``(y, pullback)`` by f's registered or built-in reverse rule, None when there is none.

    ``pullback(y_bar)`` returns one tangent per input, that of f first. A :class:`RuleConfig` may come before f. NumPy's
    and SciPy's functions that are differentiated as compositions of others answer as well.

    >>> import numpy as np
    >>> y, pullback = rrule(np.hypot, 3.0, 4.0)
    >>> float(y), [float(t) for t in pullback(1.0)[1:]]
    (5.0, [0.6, 0.8])
    """
    config, f, args = _configured(f, args)
    if not isinstance(f, Primitive):
        return _built_in_rrule(f, args, kwargs)
    if f.no_derivative:
        return f(*args, **kwargs), lambda y_bar: (NoTangent(),) * (len(args) + 1)
    definition = f.rrule
    if (
        definition is None
        or f.is_opted_out(tuple([_kind_of(a) for a in args]))
        or definition.needs - config.capabilities
    ):
        return None
    return definition.function(*((config,) if definition.needs else ()), *args, **kwargs)


def frule(tangents: tuple, f: Any, /, *args: Any, **kwargs: Any) -> tuple | None:
    """``(y, y_dot)`` by f's registered or built-in forward rule, None when there is none.

    tangents are those of f itself and of each argument; compositions answer as for :func:`rrule`.

    >>> import numpy as np
    >>> y, y_dot = frule((NoTangent(), 1.0), np.exp, 0.0)
    >>> float(y), float(y_dot)
    (1.0, 1.0)
    """
    config, f, args = _configured(f, args)
    if not isinstance(f, Primitive):
        return _built_in_frule(tangents, f, args, kwargs)
    if f.no_derivative:
        return f(*args, **kwargs), NoTangent()
    definition = f.frule
    if (
        definition is None
        or f.is_opted_out(tuple([_kind_of(a) for a in args]))
        or definition.needs - config.capabilities
    ):
        return None
    return definition.function(*((config,) if definition.needs else ()), tangents, *args, **kwargs)


def _configured(f: Any, args: tuple) -> tuple[RuleConfig, Any, tuple]:
    if isinstance(f, RuleConfig):
        return f, args[0], args[1:]
    return RuleConfig(AutoTape()), f, args


def _built_in(f: Any) -> Rule | None:
    try:
        if f not in RULES:
            load_for(f)
        return RULES.get(f)
    except TypeError:  # not hashable
        return None


def _built_in_rrule(f: Any, args: tuple, kwargs: dict) -> tuple | None:
    rule = _built_in(f)
    if rule is None:
        if _built_in_constant(f):
            return f(*args, **kwargs), lambda y_bar: (NoTangent(),) * (len(args) + 1)
        return composed_rrule(f, args, kwargs) if is_composed(f) else None
    args = tuple([np.float64(a) if type(a) is float else a for a in args])
    y = rule.call(*args, **kwargs)

    def pullback(y_bar: Any) -> tuple:
        y_bar = unthunk(y_bar)
        if isinstance(y_bar, (NoTangent, ZeroTangent)):
            return (NoTangent(), *[y_bar for _ in args])
        g = list(y_bar) if isinstance(y, (tuple, list)) else np.broadcast_to(y_bar, np.shape(y))
        g = g[()] if isa(g, np.ndarray) and not g.shape else g
        bars = [rule.pull(i, g, y, args, kwargs) if rule.differentiable(i) else NoTangent() for i in range(len(args))]
        return (NoTangent(), *[_dense(bar, x) for bar, x in zip(bars, args, strict=True)])

    return y, pullback


def _dense(bar: Any, x: Any) -> Any:
    """A cotangent of the registry's rules in full size."""
    if bar is None or isinstance(bar, NoTangent):
        return NoTangent()
    if type(bar) is AtIndex:
        full = zeros_of(x)
        np.add.at(full, bar.index, bar.value)
        return full
    return bar if np.shape(bar) == np.shape(x) else np.broadcast_to(bar, np.shape(x)).copy()


def _built_in_frule(tangents: tuple, f: Any, args: tuple, kwargs: dict) -> tuple | None:
    rule = _built_in(f)
    if rule is None:
        if _built_in_constant(f):
            return f(*args, **kwargs), NoTangent()
        return composed_frule(tangents, f, args, kwargs) if is_composed(f) else None
    args = tuple([np.float64(a) if type(a) is float else a for a in args])
    y = rule.call(*args, **kwargs)
    total: Any = ZeroTangent()
    for i, x_dot in enumerate(tangents[1:]):
        x_dot = unthunk(x_dot)
        if rule.differentiable(i) and not isinstance(x_dot, (NoTangent, ZeroTangent)) and x_dot is not None:
            y_dot = rule.push(i, x_dot, y, args, kwargs)
            total = y_dot if isinstance(total, ZeroTangent) else total + y_dot
    return y, total


def _built_in_constant(f: Any) -> bool:
    try:
        return f in NO_DERIVATIVE
    except TypeError:
        return False


def rule_in_words(f: Any, adtype: ADType, forward_first: bool) -> str:
    """Which of adselect's rules of f a choice uses, in words that begin with "none" where it uses none.

    forward_first: whether an frule is what it asks for first.
    """
    if not isinstance(f, Primitive):
        shown = getattr(f, "__name__", str(f))
        if _built_in(f) is not None:
            return f"rule of {shown}"
        if _built_in_constant(f):
            return f"constant {shown}"
        return f"composition for {shown}" if f in COMPOSITES else "none: what it does is differentiated"
    if f.no_derivative:
        return "none: non_differentiable"
    first, second = (f.frule, f.rrule) if forward_first else (f.rrule, f.frule)
    chosen, derived = (first, "") if first is not None else (second, ", transposed")
    if chosen is None:
        return "none: a host primitive without a rule" if f.host else "none: what it does is differentiated"
    missing = chosen.needs - RuleConfig(adtype).capabilities
    if missing:
        return f"none: {chosen} needs {', '.join(sorted(n.__name__ for n in missing))}"
    opted = "".join(f"; not for {describe_types(t)}" for t in f.opted_out)
    return f"{'frule' if chosen is f.frule else 'rrule'} {chosen}{derived}{opted}"
