"""Asking for the rule of a function that has none of its own: what rrule and frule say about compositions.

``np.dot``, ``np.concatenate`` or ``np.add.reduce`` are differentiated as what they are made of. Their pullback is that
of the built-in tape over one call; their pushforward one pass of forward mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import MissingRuleError, TracedValueError, UnsupportedError
from ..face.dispatch import absorb
from ..primitives.leaves import is_inexact
from ..primitives.structured import fitted, spread
from ..primitives.thunks import unthunk
from ..rules.registry import COMPOSITES
from ..structure.flattening import flatten
from ..structure.leaves import is_value
from ..values.tangents import NoTangent, ZeroTangent

__all__ = ["composed_frule", "composed_rrule", "is_composed"]


def is_composed(f: Any) -> bool:
    """Whether f is a function of NumPy, SciPy or Python's operators that the tape may know as a composition."""
    if isinstance(f, np.ufunc) or isinstance(getattr(f, "__self__", None), np.ufunc):
        return True
    package = (getattr(f, "__module__", None) or "").partition(".")[0]
    return callable(f) and not isinstance(f, type) and package in ("numpy", "scipy", "_operator")


class _Traced:
    """One call of f as the engine sees it: leaves in, leaves out; ``structure`` is what f returned.

    Integers stay what they are: they are indices, axes and sizes.
    """

    def __init__(self, f: Callable, args: tuple, kwargs: dict):
        self.f, self.kwargs = f, kwargs
        self.all, self.skeleton = flatten(args)
        self.places = [i for i, leaf in enumerate(self.all) if is_inexact(leaf)]
        self.leaves = [self.all[i] for i in self.places]
        self.structure: Any = None

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = self.f(*self.skeleton.rebuild(self.spread_out(lifted, self.all)), **self.kwargs)
        leaves, self.structure = flatten((absorb(y) if type(y) is np.ndarray else y,), root="f(…)", also=is_value)
        return leaves, []

    def spread_out(self, values: list, others: list) -> list:
        """Values for the leaves that are differentiated, among others for the rest."""
        found = list(others)
        for i, value in zip(self.places, values, strict=True):
            found[i] = value
        return found

    def known(self, run: Callable) -> Any:
        """``run(self)``; None where the tape cannot differentiate f."""
        try:
            return run(self)
        except MissingRuleError:
            return None
        except (TracedValueError, UnsupportedError):
            if self.f in COMPOSITES:
                raise
            return None


def composed_rrule(f: Callable, args: tuple, kwargs: dict) -> tuple | None:
    """``(y, pullback)`` of a composition, None where the tape does not know it either."""
    from ..engine.recording import record

    call = _Traced(f, args, kwargs)
    found = call.known(lambda call: record(call, call.leaves))
    if found is None:
        return None
    outputs, _, back = found
    moving = [any(map(is_inexact, flatten((a,))[0])) for a in args]

    def pullback(y_bar: Any) -> tuple:
        y_bar = unthunk(y_bar)
        if y_bar is None or isinstance(y_bar, (NoTangent, ZeroTangent)):
            return (NoTangent(), *[NoTangent() if y_bar is None else y_bar for _ in args])
        bars = back(_spread(call.structure, y_bar, outputs, f"the result of {_name(f)}"))
        tangents = call.skeleton.result(call.spread_out(bars, [None] * len(call.all)))
        return (
            NoTangent(),
            *[t if t is not None and m else NoTangent() for t, m in zip(tangents, moving, strict=True)],
        )

    return call.structure.rebuild(list(outputs))[0], pullback


def composed_frule(tangents: tuple, f: Callable, args: tuple, kwargs: dict) -> tuple | None:
    """``(y, y_dot)`` of a composition, None where the tape does not know it either."""
    from ..engine.recording import push_forward

    call = _Traced(f, args, kwargs)
    direction: list = [None] * len(call.all)
    if call.skeleton.simple:
        direction = [unthunk(t) for t in tangents[1:]]
    else:
        for i, (node, tangent) in enumerate(zip(call.skeleton.nodes, tangents[1:], strict=True)):
            spread(node, tangent, direction, f"argument {i} of {_name(f)}")
    direction = [
        None
        if isinstance(direction[i], ZeroTangent)
        else fitted(direction[i], np.shape(leaf), leaf, f"{call.skeleton.paths[i]} of {_name(f)}")
        for i, leaf in zip(call.places, call.leaves, strict=True)
    ]
    found = call.known(lambda call: push_forward(call, call.leaves, [direction], None))
    if found is None:
        return None
    outputs, (dots,), _ = found
    y_dot = call.structure.result([ZeroTangent() if d is None else d for d in dots])[0]
    return call.structure.rebuild(list(outputs))[0], NoTangent() if y_dot is None else y_dot


def _spread(structure: Any, y_bar: Any, outputs: list, where: str) -> list:
    """One cotangent per leaf of the result."""
    found: list = [None] * len(outputs)
    if structure.simple:
        found = [y_bar]
    else:
        spread(structure.nodes[0], y_bar, found, where)
    seeds: list = []
    for bar, y in zip(found, outputs, strict=True):
        bar = unthunk(bar)
        if isinstance(bar, ZeroTangent):
            bar = None
        elif np.shape(y) and bar is not None and np.shape(bar) == ():
            bar = np.broadcast_to(bar, np.shape(y))
        seeds.append(fitted(bar, np.shape(y), y, where))
    return seeds


def _name(f: Any) -> str:
    return getattr(f, "__name__", str(f))
