"""Asking for a rule by hand: rrule and frule, also of NumPy's functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..adtypes import AutoTape
from ..primitives.leaves import zeros_of
from ..primitives.primitive import Primitive, kind_of
from ..primitives.thunks import unthunk
from ..primitives.words import is_library_constant, library_rule
from ..rules.rule import AtIndex
from ..values.kinds import isa
from ..values.tangents import NoTangent, ZeroTangent
from .compositions import composed_frule, composed_rrule, is_composed
from .rule_config import RuleConfig

__all__ = ["frule", "rrule"]


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
        or f.is_opted_out(tuple([kind_of(a) for a in args]))
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
        or f.is_opted_out(tuple([kind_of(a) for a in args]))
        or definition.needs - config.capabilities
    ):
        return None
    return definition.function(*((config,) if definition.needs else ()), tangents, *args, **kwargs)


def _configured(f: Any, args: tuple) -> tuple[RuleConfig, Any, tuple]:
    if isinstance(f, RuleConfig):
        return f, args[0], args[1:]
    return RuleConfig(AutoTape()), f, args


def _built_in_rrule(f: Any, args: tuple, kwargs: dict) -> tuple | None:
    rule = library_rule(f)
    if rule is None:
        if is_library_constant(f):
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
    rule = library_rule(f)
    if rule is None:
        if is_library_constant(f):
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
