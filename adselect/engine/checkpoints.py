"""Checkpoints on the tape: of a stretch of the program only the inputs are kept, and it is run again on the way back.

While the stretch runs its records go into a dictionary of their own, which is forgotten. What its results depend on is
read off it first: places written down before, arguments and values that the function closes over alike. One record
stands for all of it. On the way back the stretch is run once more on the same trace, its records are gone through in
reverse, and forgotten again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import active_count, get_ident
from typing import Any

import numpy as np

from ..errors import ADSelectValueError, TracedValueError, user_line
from ..face.array import Array
from ..face.dispatch import plain
from ..rules.registry import Rule
from ..values.kinds import isa
from . import reverse
from .entering import written_down
from .trace import ITEM, TapeArray, Trace

__all__ = ["CheckpointRule", "Records"]


class Records(dict):
    """The records of a trace on which stretches are not kept: those go, per thread, into dictionaries of their own."""

    def __init__(self, records: dict):
        super().__init__(records)
        self.before, self.count = records, len(records)  # another thread may just have been writing into them
        self.aside: dict[int, list[dict]] = {}
        self.lines: list[
            tuple[int, int, str]
        ] = []  # stretches that were not kept: first place, last place, user's line

    def __setitem__(self, place: int, record: Any) -> None:
        aside = self.aside.get(get_ident())
        if aside:
            aside[-1][place] = record
        else:
            super().__setitem__(place, record)

    def get(self, place: int, default: Any = None) -> Any:
        for records in reversed(self.aside.get(get_ident(), ())):
            if place in records:
                return records[place]
        return super().get(place, default)

    def settle(self, n_leaves: int, outputs: list) -> None:
        """Raise where a value of a stretch that was not kept was used outside of it."""
        if len(self.before) != self.count:
            found = sorted({**self.before, **self}.items())
            self.clear()
            self.update(found)
            self.count = len(self.before)
        used = [p for record in self.values() for p in record[1]]
        for p in (*used, *outputs):
            if p >= n_leaves and p not in self:
                line = next((line for first, last, line in self.lines if first < p < last), "")
                raise TracedValueError(
                    f"a value computed inside the function given to checkpointed at {line} was used outside of it, by "
                    "another way than its result: its derivative is not known there. Return it from the function."
                )


@contextmanager
def _aside(trace: Trace) -> Iterator[dict]:
    """Within, what this thread does on the trace is written into the dictionary given."""
    if type(trace.records) is not Records:
        trace.records = Records(trace.records)
    records: Any = trace.records
    stack, own = records.aside.setdefault(get_ident(), []), {}
    watched, copies = set(trace.watched), set(trace.copies)
    stack.append(own)
    try:
        yield own
    finally:
        stack.pop()
        if not stack:
            del records.aside[get_ident()]
        if active_count() == 1:  # plain arrays that only the stretch has read are free, too
            for held, before in ((trace.watched, watched), (trace.copies, copies)):
                for key in [k for k in held if k not in before]:
                    del held[key]


class CheckpointRule(Rule):
    """The derivative of a stretch of the program, which is run again for it; asked once for all of its inputs."""

    __slots__ = ("_call", "_inputs", "_latest", "_line", "_parents", "_trace")

    def __init__(self, trace: Trace, call: Callable, inputs: list, parents: tuple, line: str):
        super().__init__(call, (), ())
        self._trace, self._call, self._inputs, self._parents, self._line = trace, call, inputs, parents, line
        self._latest: Any = None

    def pull(self, i: int, g: Any, y: Any, args: Any, kwargs: dict) -> Any:
        latest = self._latest
        if latest is None or latest[0] is not g:
            latest = (g, self._pulled(g, y))
        self._latest = None if i == len(self._parents) - 1 else latest
        return latest[1][i]

    def pull_strong(self, i: int, g: Any, y: Any, args: Any, kwargs: dict) -> None:
        """The stretch has been gone through with strong zeros already."""

    def _pulled(self, g: Any, y: tuple) -> list:
        records, outputs = self._run_again(y)
        mapping = {p: k for k, p in enumerate(self._parents)}
        inner: dict[int, Any] = {}
        for place, (rule, parents, *rest) in records.items():
            mapping[place] = len(mapping)
            inner[mapping[place]] = (rule, tuple([mapping[p] if p >= 0 else -1 for p in parents]), *rest)
        seeds: dict[int, Any] = {}
        values: dict[int, Any] = {}
        for place, y_bar, item in zip(outputs, *((g, y) if type(y) is tuple else ([g], [y])), strict=True):
            k = mapping[place]
            seeds[k] = y_bar if k not in seeds else seeds[k] + y_bar
            values[k] = item
        n, n_leaves = len(mapping), len(self._parents)
        bars = reverse.walk(inner, n, n_leaves, seeds)
        if all(bar is None or reverse.is_finite(bar) for bar in bars):
            return bars
        if not reverse.is_defined(values, seeds):
            return bars
        from .careful import pull_carefully

        return pull_carefully(inner, n, n_leaves, seeds, self._trace.nested)

    def _run_again(self, y: tuple) -> tuple[dict, list]:
        """``(the records that the results depend on, the places of the results)`` of the stretch."""
        trace, is_open = self._trace, self._trace.open
        start = trace.next_place()
        trace.open = True
        try:
            with _aside(trace) as records:
                results = self._call(_handles(self._inputs))[0]
        finally:
            trace.open = is_open
        found = _results(results, trace, start, trace.next_place())
        trace.selecting = {p for p in trace.selecting if p < start}
        needed, parents = _needed(records, [r._place for r in found], start)
        now = [r._primal for r in found]
        if set(parents) != set(self._parents) or not _are_equal(now, y if type(y) is tuple else (y,)):
            raise ADSelectValueError(
                f"the function given to checkpointed at {self._line} computed something else when it was run again in "
                "the reverse pass: it draws random numbers from a generator that is out of sight, or reads something "
                "that has changed. Pass generators and values as arguments, or call the function without checkpointed."
            )
        return needed, [r._place for r in found]


def _checkpointed(self: TapeArray, call: Callable, leaves: list) -> tuple[list, Any]:
    trace = self._trace
    if trace.by_reference and written_down([v._primal for v in leaves if type(v) is TapeArray]) is not None:
        return call(leaves)  # a program has no memory to save: it is rolled out as it is
    start, line = trace.next_place(), user_line()
    inputs = [
        (v._primal, v._place, v, trace) if type(v) is TapeArray and v._trace is trace else (None, -1, v, trace)
        for v in leaves
    ]
    with _aside(trace) as records:
        results, structure = call(None)
    end = trace.next_place()
    trace.records.lines.append((start, end, line))  # type: ignore[attr-defined]
    found = _results(results, trace, start, end)
    _, parents = _needed(records, [r._place for r in found], start)
    if any(p >= start for p in trace.selecting):
        inside = {p for record in records.values() for p in record[1] if 0 <= p < start}
        trace.selecting = {p for p in trace.selecting if p < start} | inside
    if not found:
        return results, structure
    inputs = [(primal, place, None if place >= 0 else leaf, trace) for primal, place, leaf, trace in inputs]
    known = {place: primal for primal, place, _, _ in inputs if place >= 0}
    rule = CheckpointRule(trace, call, inputs, parents, line)
    args = tuple([known.get(p) for p in parents])
    y = tuple([r._primal for r in found])
    if len(found) == 1:
        recorded = [trace.record(rule, parents, y[0], args, {})]
    else:
        place = trace.next_place()
        trace.records[place] = (rule, parents, y, args, {})
        recorded = [trace.record(ITEM, (place,), item, (y, i), {}) for i, item in enumerate(y)]
    new = dict(zip(map(id, found), recorded, strict=True))
    return [new.get(id(r), r) for r in results], structure


def _handles(inputs: list) -> list:
    """The arguments as traced values of their own: others may be bound to new values in the meantime."""
    found = []
    for primal, place, leaf, trace in inputs:
        if place >= 0:
            leaf = TapeArray.__new__(TapeArray)
            leaf._primal, leaf._trace, leaf._place = primal, trace, place
        found.append(leaf)
    return found


def _results(results: list, trace: Trace, start: int, end: int) -> list:
    """The results that were computed on the trace between two places."""
    return [r for r in results if type(r) is TapeArray and r._trace is trace and start < r._place < end]


def _needed(records: dict, outputs: list, start: int) -> tuple[dict, tuple]:
    """The records that outputs depend on, and the places before start that those do."""
    wanted, parents = set(outputs), {}
    needed = []
    for place, record in reversed(records.items()):
        if place in wanted:
            needed.append((place, record))
            for p in record[1]:
                if p >= start:
                    wanted.add(p)
                elif p >= 0:
                    parents[p] = None
    return dict(reversed(needed)), tuple(sorted(parents))


def _are_equal(now: list, before: tuple) -> bool:
    """Whether results are what they were, as far as there are numbers to look at."""
    if len(now) != len(before):
        return False
    for a, b in zip(now, before, strict=True):
        a, b = plain(a), plain(b)
        if isa(a, (np.ndarray, np.generic)) and not isinstance(a, Array):
            same = np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
            if not same:
                return False
    return True


TapeArray._checkpointed = _checkpointed  # type: ignore[method-assign]
