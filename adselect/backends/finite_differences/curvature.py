"""Second derivatives of f at a point, along lines and between them, from second differences, with error estimates.

Along a line, (f(x + hv) − 2 f(x) + f(x − hv)) / h² at shrinking steps goes up a ladder as first differences do. Between
two lines the second difference along their sum is polarised: ``(Q[hv + kw] − Q[hv] − Q[kw]) / 2hk`` is vᵀHw, with Q
the second difference that is not yet divided. The steps h and k keep to the scale that each line by itself showed.
No gradient is differenced: the noise of f is divided by h², and never by a small step once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .evaluation import Problem
from .ladder import Ladder
from .points import RATIO, Line

__all__ = ["Curvature", "Entries", "Settled", "settled"]

LINES = (range(4), range(4, 6), range(6, 10), range(10, 16), range(16, 23))  # levels tried one after the other
PAIRS = (range(4), range(4, 6), range(6, 8))
LARGEST_LINES, LARGEST_PAIRS = 180, 4  # how many levels up
TOLERANCE = 1e-7  # the relative error at which an entry counts as found
NEGLIGIBLE = 1e-3  # entries this much smaller than the largest need not be found to that tolerance
VANISHING = 1e-12  # of |f|: what may be 0 and is known to this much of f(x) is not looked for further
WORTH = 1e-3  # of the entry and of the largest entry: an error larger than that is told


class Entries(NamedTuple):
    """Second derivatives, their errors, and what tells how large those are.

    sizes: of the values of f they were made of; spans: how far f moves over a step.
    """

    values: np.ndarray
    errors: np.ndarray
    sizes: np.ndarray
    spans: np.ndarray

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Entries:
        """The same of each of the four."""
        return Entries(*[function(part) for part in self])


class Curvature:
    """The second derivatives of one problem along its lines, and between pairs of them.

    own: those along the lines, one row for each output and one column for each line.
    """

    def __init__(
        self,
        problem: Problem,
        lines: list[Line],
        order: int,
        extrapolate: bool,
        given: Callable[[Line], float] | None = None,
    ):
        """given: the step along a line, where steps are not to be chosen."""
        self.problem, self.lines, self.order, self.extrapolate, self.given = problem, lines, order, extrapolate, given
        self.scales = np.array([line.scale for line in lines])
        self.reaches = np.array([max(line.scale, line.unit) for line in lines])
        self.raw: dict[tuple[int, int], tuple] = {}  # by line and level: step, second difference, size, span
        self.shifts = np.zeros(len(lines), int)  # the level at which a pair with this line is begun with
        self.stairs = np.zeros((problem.value.size, len(lines)))
        self.own = self._along()

    def _along(self) -> Entries:
        every = range(len(self.lines))
        if self.given is not None:
            self._fetch([(i, 0) for i in every])
            return self._plain([(self.raw[i, 0][0] ** 2, *self.raw[i, 0][1:3]) for i in every])

        self._fetch([(i, level) for i in every for level in LINES[0]])
        spans = np.zeros((self.problem.value.size, len(self.lines)))
        for i in every:
            spans[:, i], self.stairs[:, i] = self._moves(i)
        ladders = self._ladders(self.scales, self.reaches**2, self.stairs)

        def add(chosen: Sequence[int], levels: Iterable[int]) -> None:
            self._fetch([(i, level) for i in chosen for level in levels])
            for i in chosen:
                for level in levels:
                    if (i, level) in self.raw:
                        h, difference, size, _ = self.raw[i, level]
                        ladders[i].rungs[level] = (h**2, difference / h**2, size)

        climb = Climb(self.problem, ladders, self.scales**2, spans)
        found = climb.run(LINES, LARGEST_LINES, add, self._from_one_side)
        for i, ladder in enumerate(ladders):
            shifts = np.maximum(ladder.coarsest, np.minimum(ladder.finest, 0))
            self.shifts[i] = int(np.max(shifts, initial=-LARGEST_LINES))
        return found

    def _moves(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """How far f moves over a step along line i, and the height of its steps if it is a staircase.

        Nothing but a staircase moves over a step and not at all over a quarter of it.
        """
        rungs = [self.raw[i, level] for level in LINES[0] if (i, level) in self.raw]
        span, stair = np.zeros((2, self.problem.value.size))
        with np.errstate(all="ignore"):
            for k, (_, _, size, moved) in enumerate(rungs):
                span = np.where(span == 0, np.nan_to_num(moved, posinf=0.0), span)
                if k and np.any(moved == 0):
                    before = rungs[k - 1][3] / RATIO
                    stair = np.where(
                        (moved == 0) & (before > 4 * self.problem.eps * size), np.fmax(stair, before), stair
                    )
        return span, stair

    def between(self, pairs: list[tuple[int, int]]) -> Entries:
        """vᵀHw for pairs of lines by number, one column each."""
        if self.given is not None:
            return self._plain([rung for _, _, rung in self._mixed(pairs, range(len(pairs)), [0])])
        weights = np.array([self.scales[a] * self.scales[b] for a, b in pairs])
        reaches = np.array([self.reaches[a] * self.reaches[b] for a, b in pairs])
        spans, stairs = np.zeros((2, self.problem.value.size, len(pairs)))
        for p, (a, b) in enumerate(pairs):
            spans[:, p] = np.fmax(self.own.spans[:, a], self.own.spans[:, b])
            stairs[:, p] = np.fmax(self.stairs[:, a], self.stairs[:, b])
        ladders = self._ladders(np.sqrt(weights), reaches, stairs)

        def add(chosen: Sequence[int], levels: Iterable[int]) -> None:
            for p, level, (divisor, difference, size) in self._mixed(pairs, chosen, levels):
                ladders[p].rungs[level] = (divisor, difference / divisor, size)

        def one_sided(p: int, bends: bool) -> tuple[np.ndarray, np.ndarray]:
            a, b = pairs[p]
            return self._bent(a, b) if bends else self.problem.across(self.lines[a], self.lines[b])

        climb = Climb(self.problem, ladders, weights, spans)
        # What is along the lines is part of the same matrix, and tells what is large in it.
        climb.compare(self.own, self.scales**2)
        return climb.run(PAIRS, LARGEST_PAIRS, add, one_sided)

    def _ladders(self, scales: np.ndarray, reaches: np.ndarray, stairs: np.ndarray) -> list[Ladder]:
        ladders = [Ladder(scale, self.problem.eps, self.order, self.extrapolate, power=2) for scale in scales]
        for i, ladder in enumerate(ladders):
            ladder.reach, ladder.stair = reaches[i], stairs[:, i]
        return ladders

    def _plain(self, rungs: list[tuple]) -> Entries:
        """With a step that was given there is one difference and nothing to judge it by."""
        values, sizes, spans = np.zeros((3, self.problem.value.size, len(rungs)))
        for i, (divisor, difference, size) in enumerate(rungs):
            values[:, i], sizes[:, i] = difference / divisor, size
        return Entries(values, np.full(values.shape, np.nan), sizes, spans)

    # -- differences ----------------------------------------------------------------------------------------------

    def _step(self, i: int, level: int) -> float:
        """The step along line i at a level; 0 if there is none."""
        if self.given is not None:
            return self.given(self.lines[i])
        return self.lines[i].steps([level]).get(level, 0.0)

    def _fetch(self, wanted: list[tuple[int, int]]) -> None:
        """Second differences along lines at levels, evaluated where they are not known."""
        new = dict.fromkeys([place for place in wanted if place not in self.raw])
        steps = [(i, level, h) for i, level in new if (h := self._step(i, level)) > 0.0]
        found = self.problem.second_differences(self.order, [(self.lines[i], h) for i, _, h in steps])
        for (i, level, h), rung in zip(steps, found, strict=True):
            self.raw[i, level] = h, *rung

    def _mixed(self, pairs: list, chosen: Iterable[int], levels: Iterable[int]) -> list[tuple[int, int, tuple]]:
        """``(number of the pair, level, (divisor, polarised difference, size))``."""
        rungs = [(p, m, *[(i, int(self.shifts[i]) + m) for i in pairs[p]]) for p in chosen for m in levels]
        self._fetch([place for _, _, *places in rungs for place in places])
        rungs = [rung for rung in rungs if rung[2] in self.raw and rung[3] in self.raw]
        sums = [(self.lines[a[0]].plus(self.lines[b[0]], self.raw[a][0], self.raw[b][0]), 1.0) for _, _, a, b in rungs]
        results = []
        found = self.problem.second_differences(self.order, sums)
        for (p, m, a, b), (both, size, _) in zip(rungs, found, strict=True):
            (h, one, size_a, _), (k, other, size_b, _) = self.raw[a], self.raw[b]
            with np.errstate(all="ignore"):
                results.append((p, m, (h * k, 0.5 * (both - one - other), np.max([size, size_a, size_b], axis=0))))
        return results

    # -- where f is defined on one side only, or bends ------------------------------------------------------------

    def _from_one_side(self, i: int, bends: bool) -> tuple[np.ndarray, np.ndarray]:
        """The better of the two sides; their mean where f bends at the point."""
        (value, error), (other, other_error) = self.problem.one_sided(self.lines[i], 2)
        with np.errstate(all="ignore"):
            if bends:
                return 0.5 * (value + other), error + other_error
            better = other_error < error
            return np.where(better, other, value), np.where(better, other_error, error)

    def _bent(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        """The mean of the polarised one-sided second derivatives along v + w and v − w."""
        s, t = self.scales[a], self.scales[b]
        total, slack = np.zeros((2, self.problem.value.size))
        with np.errstate(all="ignore"):
            own = s**2 * self.own.values[:, a] + t**2 * self.own.values[:, b]
            for sign in (1.0, -1.0):
                for value, error in self.problem.one_sided(self.lines[a].plus(self.lines[b], s, sign * t), 2):
                    total += sign * (value - own) / (8 * s * t)
                    slack += error / (8 * s * t)
            slack += (s**2 * self.own.errors[:, a] + t**2 * self.own.errors[:, b]) / (2 * s * t)
        return total, slack


# -- going up the ladders --------------------------------------------------------------------------------------------


class Climb:
    """Second derivatives from ladders, one column each: which of them need more rungs, and where to stop."""

    def __init__(self, problem: Problem, ladders: list[Ladder], weights: np.ndarray, spans: np.ndarray):
        """weights: the product of the scales of an entry's lines, which makes entries comparable."""
        self.problem, self.ladders, self.weights, self.spans = problem, ladders, weights, spans
        self.values, self.errors, self.sizes, self.bars = np.zeros((4, problem.value.size, len(ladders)))
        self.aside, self.aside_errors = np.zeros(self.values.shape), np.full(self.values.shape, np.inf)
        self.others: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def compare(self, entries: Entries, weights: np.ndarray) -> None:
        """Entries of the same matrix, which have been found."""
        self.others.append((entries.values, entries.errors, np.broadcast_to(weights, entries.values.shape)))

    def run(
        self,
        stages: tuple[range, ...],
        largest_level: int,
        add: Callable[[Sequence[int], Iterable[int]], None],
        from_one_side: Callable[[int, bool], tuple[np.ndarray, np.ndarray]],
    ) -> Entries:
        """add: puts rungs at these levels on the chosen ladders; from_one_side: ``(value, error)`` of an entry from one
        side of the point, or from both where f bends."""
        chosen: Sequence[int] = range(len(self.ladders))
        for levels in stages:
            add(chosen, levels)
            self._judge(chosen)
            # Smaller steps do not help against noise; but much of it may be a feature of f that is smaller yet.
            chosen = [i for i in self._poor() if not self._noisy(i)]
            if not chosen:
                break
        for i in self._poor():
            bent = self.ladders[i].bends()
            lost = np.isinf(self.errors[:, i]) & np.isfinite(self.problem.value)
            for which, bends in ((bent, True), (lost & ~bent, False)):
                if np.any(which):
                    value, error = from_one_side(i, bends)
                    self.aside[which, i] = value[which]
                    self.aside_errors[which, i] = np.where(np.isnan(value) | np.isnan(error), np.inf, error)[which]
                    self._judge([i])
        chosen = self._poor()
        for level in range(-1, -largest_level, -3):
            if not chosen:
                break
            before = self.errors[:, chosen].copy()
            add(chosen, range(level, level - 3, -1))
            self._judge(chosen)
            helped = np.any(self.errors[:, chosen] < 0.5 * before, axis=0)
            chosen = sorted({i for i, better in zip(chosen, helped, strict=True) if better} & set(self._poor()))
        return Entries(self.values, self.errors, self.sizes, self.spans)

    def _judge(self, chosen: Iterable[int]) -> None:
        for i in chosen:
            value, error = self.ladders[i].best()
            better = self.aside_errors[:, i] < error
            self.values[:, i] = np.where(better, self.aside[:, i], value)
            self.errors[:, i] = np.where(better, self.aside_errors[:, i], error)
            self.sizes[:, i], self.bars[:, i] = self.ladders[i].size, self.ladders[i].bar

    def _noisy(self, i: int) -> bool:
        return bool(np.all((self.errors[:, i] <= 3 * self.bars[:, i]) & self.ladders[i].quiet()))

    def _poor(self) -> list[int]:
        """The columns with an entry that is not known to the tolerance and may be worth it."""
        eps = self.problem.eps[:, None]
        with np.errstate(all="ignore"):
            zero = np.abs(self.values) <= 4 * self.errors
            floor = _floor(self.values, self.errors, self.weights, self.others)
            good = self.errors <= np.maximum(TOLERANCE, 50 * eps) * np.maximum(np.abs(self.values), NEGLIGIBLE * floor)
            scaled = self.errors * self.weights
            little = np.where(floor > 0, self.errors <= 0.1 * WORTH * floor, scaled <= 0.1 * WORTH * self.spans)
            vanishing = scaled <= np.maximum(VANISHING, 5e3 * eps) * self.sizes
            good |= zero & (little & vanishing | (self.spans == 0) & (self.values == 0))
            good |= ~np.isfinite(self.problem.value)[:, None]
        return [int(i) for i in np.flatnonzero(~np.all(good, axis=0))]


def _floor(values: np.ndarray, errors: np.ndarray, weights: np.ndarray, others: Iterable[tuple] = ()) -> np.ndarray:
    """For each entry what counts as large in its matrix, in its own unit: the largest entry as it stands, or as it is
    where every coordinate is measured by its own scale, whichever is smaller. Entries that may be 0 do not count."""
    largest, weighed = np.zeros((2, len(values), 1))
    for v, e, w in ((values, errors, np.broadcast_to(weights, values.shape)), *others):
        known = np.where((np.abs(v) > 4 * e) & np.isfinite(v), np.abs(v), 0.0)
        largest = np.maximum(largest, np.max(known, axis=1, initial=0.0)[:, None])
        weighed = np.maximum(weighed, np.max(known * w, axis=1, initial=0.0)[:, None])
    return np.minimum(largest, weighed / weights)


# -- what the results are worth --------------------------------------------------------------------------------------


class Settled(NamedTuple):
    """Second derivatives, the estimates of their errors, and which of them are in doubt."""

    values: np.ndarray
    errors: np.ndarray
    doubtful: np.ndarray


def settled(found: Entries, weights: np.ndarray, eps: np.ndarray) -> Settled:
    """An entry that its error does not tell from 0 is 0: no sign is ever made of noise. Larger errors are doubtful.

    The rows are matrices, flattened: what is large in one is large for all of its entries. weights: the product of the
    scales of an entry's lines. Where the errors are NaN (a given step) nothing is known and nothing changed.
    """
    values, errors, sizes, spans = found
    with np.errstate(all="ignore"):
        rounding = errors * weights <= np.sqrt(eps)[:, None] * sizes  # no more than digits lost to cancellation
        lost = (np.abs(values) <= np.where(rounding, 4.0, 1.0) * errors) & np.isfinite(errors)
        errors = np.where(lost, np.fmax(errors, np.abs(values)), errors)
        values = np.where(lost, 0.0, values)
        floor = _floor(values, errors / 8, weights)
        doubtful = errors > WORTH * np.maximum(np.abs(values), floor)
        # Where nothing differs from 0, an error that is small against how far f moves is no news.
        doubtful &= ~((floor == 0) & (values == 0) & ((errors * weights <= WORTH * spans) | (spans == 0) & rounding))
        doubtful |= np.isnan(values) & np.isinf(errors)
    return Settled(values, errors, doubtful)
