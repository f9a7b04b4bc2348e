"""The library's own rules in place of a framework's derivatives: what ``own_rules=`` on a choice asks for.

A framework computes the values; the derivative is that of our rule, handed to the framework the way a user's rule is.
So a rule of ours and the framework's own derivative can be held against each other, function by function.

Within a rule nothing is enforced: what the rule itself calls, and its derivative where a second one is asked for, is
the framework's. That keeps a rule that calls its own function from ending up in itself.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import ADSelectValueError, UnsupportedError
from ..face.array import Array
from ..face.atoms import scatter, scatter_parts, set_item
from ..face.dispatch import absorb
from ..rules.registration import load_for
from ..rules.registry import COMPOSITES, RULES, positional
from ..rules.rule import AtIndex, Elementwise, Linear
from ..structure.flattening import flatten
from ..values.natives import is_native
from ..values.tangents import NoTangent, ZeroTangent
from .primitive import Definition, Primitive

__all__ = [
    "ENFORCED",
    "by_own_rule",
    "call_enforced",
    "check_own_rules",
    "enforcing",
    "pushing",
    "stand_in",
    "within_a_rule",
]

# One entry per call under way, on any thread, that enforces rules: all that the faces' short paths look at.
ENFORCED: list = []
_WRITES = frozenset({set_item, scatter_parts})


class _State(threading.local):
    functions: Any = ()  # whose rules are enforced: True for all
    composing: tuple = ()  # functions that are being carried out in terms of others
    within = False  # whether a rule is at work: what it calls is the framework's
    forward = False  # whether tangents are pushed, so that the forward half of a rule is the one to take


_state = _State()


@contextmanager
def enforcing(functions: Any) -> Iterator[None]:
    """Within, on this thread, calls of these functions are differentiated by our rules; True means all of them."""
    before, _state.functions = _state.functions, functions
    ENFORCED.append(None)
    try:
        yield
    finally:
        ENFORCED.pop()
        _state.functions = before


@contextmanager
def pushing(forward: bool) -> Iterator[None]:
    """Within, enforced rules push tangents, or pull cotangents."""
    before, _state.forward = _state.forward, forward
    try:
        yield
    finally:
        _state.forward = before


@contextmanager
def _within_a_rule() -> Iterator[None]:
    before = _state.functions, _state.within
    _state.functions, _state.within = (), True
    try:
        yield
    finally:
        _state.functions, _state.within = before


def call_enforced(functions: Any, f: Callable, args: list, kwargs: dict) -> Any:
    """``f(*args, **kwargs)`` with the rules of these functions enforced.

    Raises UnsupportedError for a framework's own arrays: f would call the framework, not NumPy.
    """
    if any(is_native(leaf) for leaf in flatten((args, kwargs))[0]):
        raise UnsupportedError(
            "own_rules= was given together with an argument that is the framework's own array: f's calls on it go to "
            "the framework, and no rule could take their place. Pass NumPy arrays."
        )
    with enforcing(functions):
        return f(*args, **kwargs)


def check_own_rules(adtype: Any) -> None:
    """Raise ADSelectValueError when the choice asks for a rule that does not exist, or where it could not be used."""
    wanted = getattr(adtype, "own_rules", ())
    if not wanted:
        return
    if getattr(adtype, "face", "auto") == "native":
        raise ADSelectValueError(f"{adtype!r}: own_rules= acts on NumPy calls and needs face='auto' or face='numpy'")
    if getattr(adtype, "compile", False):
        raise ADSelectValueError(f"{adtype!r}: a compiled call cannot follow own_rules=; leave compile=True out")
    for function in () if wanted is True else wanted:
        if not _has_rule(function):
            name = getattr(function, "__name__", function)
            hint = "a primitive's rule is used in any case" if isinstance(function, Primitive) else "see rules_for"
            raise ADSelectValueError(f"own_rules=: adselect has no rule of its own for {name} ({hint})")


def _has_rule(function: Any) -> bool:
    load_for(function)
    return function in RULES or function in COMPOSITES


def stand_in(function: Any) -> Callable | None:
    """What to call in place of a NumPy function whose rule is enforced; None where it is not."""
    wanted = _state.functions
    if not wanted or function in _WRITES or not (wanted is True or function in wanted) or not _has_rule(function):
        return None
    if function in RULES:
        return functools.partial(_call_by_rule, function)
    # A composition may apply its function to the numbers of its elements, to learn where each goes.
    return None if function in _state.composing else functools.partial(_composed, function)


def within_a_rule() -> bool:
    """Whether a rule of ours is at work on this thread in a framework's place."""
    return _state.within


def by_own_rule(function: Any, args: tuple, kwargs: dict) -> Any:
    """The function, for this once differentiated by our rule."""
    with enforcing(True):
        return (stand_in(function) or function)(*args, **kwargs)


def _composed(function: Any, *args: Any, **kwargs: Any) -> Any:
    """A function without a rule, in terms of those that have one, whose rules are enforced then."""
    before, _state.composing = _state.composing, (*_state.composing, function)
    try:
        with enforcing(True):
            return COMPOSITES[function](*args, **kwargs)
    finally:
        _state.composing = before


def _call_by_rule(function: Any, *args: Any, **kwargs: Any) -> Any:
    if kwargs:
        args, kwargs = positional(function, args, kwargs)
    rule, taken = RULES[function], []
    for i, a in enumerate(args):
        if type(a) in (list, tuple) or (type(a) is np.ndarray and a.dtype == object):
            a = absorb(a)
        if not rule.differentiable(i) and isinstance(a, Array) and a._integer is not None:
            a = a._integer
        taken.append(a)
    variables = tuple([isinstance(a, Array) and a._deps != 0 and rule.differentiable(i) for i, a in enumerate(taken)])
    if not any(variables):
        with _within_a_rule():
            return function(*taken, **kwargs)
    return _primitive_of(function, _state.forward, variables)(*taken, **kwargs)


@functools.cache
def _primitive_of(function: Any, forward: bool, variables: tuple) -> Primitive:
    """A NumPy function of these variables as a primitive with our rule: the reverse rule, and the forward rule where it
    is wanted.
    """

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        with _within_a_rule():
            return function(*args, **kwargs)

    def own_rrule(*args: Any, **kwargs: Any) -> tuple:
        rule, y = RULES[function], evaluate(*args, **kwargs)

        def own_pullback(y_bar: Any) -> tuple:
            g = list(y_bar) if isinstance(y, (tuple, list)) else y_bar
            with _within_a_rule():
                bars = [_pulled(rule, i, g, y, args, kwargs) if v else NoTangent() for i, v in enumerate(variables)]
            return NoTangent(), *bars

        return y, own_pullback

    def own_frule(tangents: tuple, *args: Any, **kwargs: Any) -> tuple:
        rule, y = RULES[function], evaluate(*args, **kwargs)
        total: Any = ZeroTangent()
        with _within_a_rule():
            for i, x_dot in enumerate(tangents[1:]):
                if variables[i]:
                    y_dot = rule.push(i, x_dot, y, args, kwargs)
                    total = y_dot if isinstance(total, ZeroTangent) else _sum(total, y_dot)
        return y, total

    p = Primitive(evaluate)
    p.__name__ = getattr(function, "__name__", str(function))
    p.signature = None  # arguments stay as they are given: they have been put in their places
    p.rrule = Definition(own_rrule, frozenset(), False, "(y, pullback)")
    rule = RULES[function]
    if forward and (isinstance(rule, (Elementwise, Linear)) or rule.jvps):
        p.frule = Definition(own_frule, frozenset(), False, "(y, y_dot)")
    return p


def _pulled(rule: Any, i: int, g: Any, y: Any, args: tuple, kwargs: dict) -> Any:
    """The cotangent of one argument, in full size."""
    x = args[i]
    pull = getattr(rule, "pull_strong", rule.pull) if rule.singular else rule.pull
    x_bar = pull(i, g, y, args, kwargs)
    if x_bar is None:
        return NoTangent()
    if type(x_bar) is AtIndex:
        return scatter([x_bar.value], [x_bar.index], np.shape(x), x.dtype)
    if np.iscomplexobj(x_bar) and not np.iscomplexobj(x):
        x_bar = np.real(x_bar)
    return x_bar if np.shape(x_bar) == np.shape(x) else np.broadcast_to(x_bar, np.shape(x))


def _sum(a: Any, b: Any) -> Any:
    return type(a)(_sum(x, y) for x, y in zip(a, b, strict=True)) if isinstance(a, (tuple, list)) else a + b
