"""Primitives on the built-in engine: the pullback a rule returned becomes one record on the tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import AutoForward, AutoTape
from ..face.dispatch import absorb
from ..primitives.invocation import Invocation, is_inexact
from ..rules.registry import Rule
from ..structure.leaves import is_mask
from .applying import EngineArray
from .entering import written_down
from .forward import DualArray
from .trace import TapeArray

__all__ = ["ClosureRule", "apply"]


class ClosureRule(Rule):
    """The derivative of one call: the closure that its rule returned, asked once for all arguments."""

    __slots__ = ("_back", "_invocation", "_last", "_latest", "_several")

    def __init__(self, invocation: Invocation, back: Callable[[list], list], several: bool, last: int):
        super().__init__(invocation.primitive.function, (), ())
        self._invocation, self._back, self._several, self._last = invocation, back, several, last
        self._latest: Any = None

    def pull(self, i: int, g: Any, y: Any, args: Any, kwargs: dict) -> Any:
        return self._pulled(self._back, i, g)

    def pull_strong(self, i: int, g: Any, y: Any, args: Any, kwargs: dict) -> Any:
        """Like pull, with 0 where the cotangent is 0 even if the derivative is infinite there."""

        return self._pulled(lambda y_bars: self._invocation.pull_strongly(list(args), y_bars), i, g)

    def _pulled(self, back: Callable[[list], list], i: int, g: Any) -> Any:
        latest = self._latest
        if latest is None or latest[0] is not g:
            latest = (g, back(list(g) if self._several else [g]))
        # Forgotten after the last argument: a caller may change the array g before the next pass.
        self._latest = None if i == self._last else latest
        return latest[1][i]


def apply(invocation: Invocation, array: Any, leaves: tuple) -> Any:
    """Carry a primitive out on the trace of ``array``, by its rule."""
    trace, cls = array._trace, type(array)
    own: list[Any] = []
    values: list[Any] = []
    for leaf in leaves:
        if type(leaf) is np.ndarray and leaf.dtype == object:
            leaf = absorb(leaf)
        if type(leaf) is cls and leaf._trace is trace:
            own.append(leaf)
            values.append(leaf._primal)
            continue
        while isinstance(leaf, EngineArray) and leaf._closed:
            leaf = leaf._inside
        own.append(None)
        values.append(trace.keep(leaf) if type(leaf) is np.ndarray else leaf)
    if invocation.treatment == "constant":
        return invocation(*values)
    return _record(invocation, trace, own, values) if cls is TapeArray else _push(invocation, trace, own, values)


def _call_primitive(self: EngineArray, invocation: Invocation, leaves: tuple) -> Any:
    """Carry the call of a primitive out, whose leaves are given: this array has the highest level among them."""
    invocation.check_traced(leaves)
    return apply(invocation, self, leaves)


EngineArray._call_primitive = _call_primitive  # type: ignore[attr-defined]


def _counts(outputs: list, values: list, own: list) -> list[bool]:
    """Which outputs carry a derivative: floating-point ones, and integers of differentiated integers."""
    integers = any(o is not None and not is_inexact(v) for v, o in zip(values, own, strict=True))
    return [is_inexact(y) or (integers and not is_mask(y)) for y in outputs]


def _record(invocation: Invocation, trace: Any, own: list, values: list) -> Any:
    # Under tracing for replay the rule is run by the program, in every replay.
    program_value = written_down(values) if trace.by_reference else None
    if program_value is None:
        outputs, back = invocation.pull(values, AutoTape())
    else:
        outputs, back = program_value._pull_call(invocation, values)
    counts = _counts(outputs, values, own)
    if not any(counts):
        return invocation.result(outputs)
    parents = tuple([-1 if o is None else o._place for o in own])
    last = max(i for i, p in enumerate(parents) if p >= 0)
    several = len(outputs) > 1
    rule = ClosureRule(invocation, back, several, last)
    recorded = trace.record(rule, parents, tuple(outputs) if several else outputs[0], tuple(values), {})
    return invocation.result(list(recorded) if several else [recorded])


def _push(invocation: Invocation, trace: Any, own: list, values: list) -> Any:
    if trace.by_reference:
        tangents = [t for o in own if o is not None for t in o._tangents]
        program_value = written_down([*values, *tangents])
        if program_value is not None:
            raise program_value._refused_push(invocation)
    directions = [[None if o is None else o._tangents[d] for o in own] for d in range(trace.directions)]
    moving = [d for d, x_dots in enumerate(directions) if any(t is not None for t in x_dots)]
    if not moving:
        return invocation(*values)
    outputs, rows = invocation.push(values, [directions[d] for d in moving], AutoForward())
    counts = _counts(outputs, values, own)
    by_direction = dict(zip(moving, rows, strict=True))
    results = []
    for k, y in enumerate(outputs):
        if not counts[k]:
            results.append(y)
            continue
        dual = DualArray.__new__(DualArray)
        dual._primal, dual._trace = y, trace
        dual._tangents = tuple([by_direction[d][k] if d in by_direction else None for d in range(trace.directions)])
        results.append(dual)
    return invocation.result(results)
