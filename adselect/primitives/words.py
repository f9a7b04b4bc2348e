"""Which rule is used for a function, in words; and the library's rule of a NumPy function."""

from __future__ import annotations

from typing import Any

from ..adtypes import ADType
from ..rules.registration import load_for
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES
from ..rules.rule import Rule
from .config import capabilities_of
from .define import describe_types
from .primitive import Primitive

__all__ = ["rule_in_words"]


def library_rule(f: Any) -> Rule | None:
    try:
        if f not in RULES:
            load_for(f)
        return RULES.get(f)
    except TypeError:  # not hashable
        return None


def is_library_constant(f: Any) -> bool:
    try:
        if f not in NO_DERIVATIVE:
            load_for(f)
        return f in NO_DERIVATIVE
    except TypeError:
        return False


def rule_in_words(f: Any, adtype: ADType, forward_first: bool) -> str:
    """Which of adselect's rules of f a choice uses, in words that begin with "none" where it uses none.

    forward_first: whether an frule is what it asks for first.
    """
    if not isinstance(f, Primitive):
        shown = getattr(f, "__name__", str(f))
        if library_rule(f) is not None:
            return f"rule of {shown}"
        if is_library_constant(f):
            return f"constant {shown}"
        return f"composition for {shown}" if f in COMPOSITES else "none: what it does is differentiated"
    if f.no_derivative:
        return "none: non_differentiable"
    first, second = (f.frule, f.rrule) if forward_first else (f.rrule, f.frule)
    chosen, derived = (first, "") if first is not None else (second, ", transposed")
    if chosen is None:
        return "none: a host primitive without a rule" if f.host else "none: what it does is differentiated"
    missing = chosen.needs - capabilities_of(adtype)
    if missing:
        return f"none: {chosen} needs {', '.join(sorted(n.__name__ for n in missing))}"
    opted = "".join(f"; not for {describe_types(t)}" for t in f.opted_out)
    return f"{'frule' if chosen is f.frule else 'rrule'} {chosen}{derived}{opted}"
