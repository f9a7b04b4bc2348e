"""Hooks on the built-in engine: one record whose pullback is a function of the user's."""

from __future__ import annotations

from typing import Any

from ..calls.hook import Hook
from ..rules.registry import Rule
from .entering import written_down
from .forward import DualArray
from .trace import ITEM, TapeArray, Trace

__all__ = ["HookRule"]


class HookRule(Rule):
    """The identity; what becomes of its cotangents is asked once for all arguments."""

    __slots__ = ("_hook", "_latest", "_several", "_trace")

    def __init__(self, hook: Hook, trace: Trace, several: bool):
        super().__init__(hook, (), ())
        self._hook, self._trace, self._several = hook, trace, several
        self._latest: Any = None

    def pull(self, i: int, g: Any, y: Any, args: Any, kwargs: dict) -> Any:
        latest = self._latest
        if latest is None or latest[0] is not g:
            latest = (g, self._pulled(list(g) if self._several else [g]))
        # Forgotten after the last argument: the array g may hold other numbers in the next pass.
        self._latest = None if i == len(args) - 1 else latest
        return latest[1][i]

    def _pulled(self, bars: list) -> list:
        # What the function does with values of this trace is not to be written into the records that are walked over.
        records, self._trace.records = self._trace.records, {}
        try:
            return self._hook.pull(bars)
        finally:
            self._trace.records = records

    def pull_strong(self, i: int, g: Any, y: Any, args: Any, kwargs: dict) -> None:
        """What the function returned stands, NaN included."""


def _hooked(self: TapeArray, hook: Hook, leaves: list) -> list:
    trace = self._trace
    values = [leaf._primal for leaf in leaves]
    program_value = written_down(values) if trace.by_reference else None
    if program_value is not None and (hook.observes or hook.has_effects):
        raise program_value._not_replayable(f"{hook.name} calls a function that may have effects ({hook.line})")
    y, parents = tuple(values), tuple([leaf._place for leaf in leaves])
    if len(values) == 1:
        return [trace.record(HookRule(hook, trace, False), parents, y[0], y, {})]
    place = trace.next_place()
    trace.records[place] = (HookRule(hook, trace, True), parents, y, y, {})
    return [trace.record(ITEM, (place,), item, (y, i), {}) for i, item in enumerate(y)]


def _without_cotangents(self: DualArray, hook: Hook, leaves: list) -> list:
    if not hook.observes:
        raise hook.unseen("forward mode pushes tangents")
    return leaves


TapeArray._hooked = _hooked  # type: ignore[method-assign]
DualArray._hooked = _without_cotangents  # type: ignore[method-assign]
