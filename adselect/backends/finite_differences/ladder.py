"""The ladder: differences at shrinking steps, and the best derivative, with its error, that can be made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .points import RATIO

__all__ = ["Ladder"]

COLUMNS = 5  # extrapolations at most
COARSE = 5e4  # times the rounding unit: more is not rounding; noise, or a feature of f that is smaller than the steps
SMOOTH = 1e-9  # of |x|: differences that settle only below this are taken for f's rounding


class Ladder:
    """The differences along one line at many steps, and the best derivative that can be made of them.

    A rung is ``level -> (divisor, difference, size)``: the power of the step the difference was divided by, the
    difference of each output, and how large the values were that it is made of.
    """

    __slots__ = (
        "bar",
        "coarsest",
        "eps",
        "extrapolate",
        "finest",
        "flat",
        "noise",
        "order",
        "power",
        "reach",
        "rungs",
        "scale",
        "size",
        "stair",
    )

    def __init__(self, scale: float, eps: np.ndarray, order: int, extrapolate: bool, power: int = 1):
        """power: 1 for first differences, 2 for second ones."""
        self.scale, self.eps, self.order, self.extrapolate, self.power = scale, eps, order, extrapolate, power
        self.rungs: dict[int, tuple[float, np.ndarray, np.ndarray]] = {}
        self.flat: Any = False  # the outputs that do not move even far away
        self.reach = 0.0  # the largest divisor at which f may show that it does not bend
        self.stair = np.zeros(len(eps))  # the height of the steps f is known to have
        # Of the answer: its coarsest and finest level, the size of the values there, what noise contributes to the
        # error; and how noisy f seems to be.
        self.coarsest, self.finest = np.zeros((2, len(eps)), int)
        self.size, self.bar, self.noise = np.zeros((3, len(eps)))

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Per output the derivative and its error estimate (inf where there is nothing to go by)."""
        levels = sorted(self.rungs)
        divisors = np.array([self.rungs[level][0] for level in levels])[:, None]
        differences = np.array([self.rungs[level][1] for level in levels])
        sizes = np.array([self.rungs[level][2] for level in levels])
        with np.errstate(all="ignore"):
            return self._best(levels, divisors, differences, sizes)

    def quiet(self) -> np.ndarray:
        """The outputs whose noise, as it seems, is no more than rounding makes."""
        return self.noise <= COARSE * self.eps * self.size

    def bends(self) -> np.ndarray:
        """The outputs whose second differences grow as 1/h: f has a kink."""
        found = np.zeros(len(self.eps), bool)
        levels = sorted(self.rungs)
        with np.errstate(all="ignore"):
            for k in range(len(levels)):
                d = np.abs([self.rungs[level][1] for level in levels[max(k - 3, 0) : k + 1]])
                divisor, _, size = self.rungs[levels[k]]
                clear = d[-1] * divisor > 1e3 * self.eps * size
                grows = np.all(np.abs(d[1:] / d[:-1] - RATIO) < 0.1 * RATIO, axis=0) & (len(d) == 4)
                found = np.where(clear, grows, found)  # of the smallest steps that show more than rounding
        return found

    def _best(self, levels: list, divisors: Any, differences: Any, sizes: Any) -> tuple[np.ndarray, np.ndarray]:
        count = len(levels)
        rounding = 2 * self.power * self.eps * sizes
        # Larger steps than the first one are there to be checked against the noise, not to define it.
        near = levels.index(0) if 0 in levels else 0
        smallest = (SMOOTH * self.scale) ** self.power
        noise = _noise(divisors[near:], differences[near:], rounding[near:], smallest, self.power)
        noise = self.noise = np.fmax(noise, self.stair)
        bars = np.maximum(rounding, noise) / divisors
        # The interval in which the derivative lies according to each single step, and what all smaller ones leave.
        moved = np.abs(np.diff(differences, axis=0))
        edge = np.zeros((1, differences.shape[1]))
        slack = 4 * bars + 2 * np.fmax(np.concatenate([moved, edge]), np.concatenate([edge, moved]))
        below, above = _remaining(differences - slack, differences + slack)

        values, errors = [], []
        table = differences
        for column in range(1, count):
            coarse, fine = table[:-1], table[1:]
            if column == 1:
                self._judge(values, errors, fine, np.abs(fine - coarse), bars, below, above, 1)
                if not self.extrapolate:
                    break
            if column > COLUMNS:
                break
            table = fine + (fine - coarse) / (RATIO ** (self.order + 2 * column - 2) - 1)
            error = np.fmax(np.abs(table - fine), np.abs(table - coarse))
            self._judge(values, errors, table, error, bars, below, above, column)
        if not values:
            return np.full(differences.shape[1], np.nan), np.full(differences.shape[1], np.inf)
        all_values, all_errors = np.concatenate(values), np.concatenate(errors)
        if self.power == 2 and near:
            straight = np.abs(differences) * divisors <= 2 * rounding
            straight &= divisors <= self.reach
            last = np.concatenate([np.arange(count - len(v), count) for v in values])
            # Far away, second differences of any bounded f fade: only those that stay are curvature.
            fading = (all_errors > 0.03 * np.abs(all_values)) & ~straight[last]
            all_errors = np.where(fading & (last < near)[:, None], np.inf, all_errors)
        winner = np.argmin(all_errors, axis=0)[None]
        value, error = np.take_along_axis(all_values, winner, 0)[0], np.take_along_axis(all_errors, winner, 0)[0]
        first = np.concatenate([np.arange(len(v)) for v in values])[winner]
        last = np.concatenate([np.arange(count - len(v), count) for v in values])[winner]
        self.coarsest, self.finest = np.array(levels)[first[0]], np.array(levels)[last[0]]
        self.size = np.take_along_axis(sizes, first, 0)[0]
        self.bar = np.take_along_axis(bars, last, 0)[0]
        zero = self.flat & np.all(differences[near:] == 0, axis=0)
        return np.where(zero, 0.0, value), np.where(zero, 0.0, error)

    @staticmethod
    def _judge(
        values: list, errors: list, value: Any, error: Any, bars: Any, below: Any, above: Any, used: int
    ) -> None:
        """Add candidates whose smallest step is ``used`` rungs below their first."""
        error = error + 1.2 * bars[used:]
        agrees = (value + error >= below[used:]) & (value - error <= above[used:])
        # A candidate that smaller steps contradict is worth no more than its distance from them.
        distance = np.fmax(below[used:] - value, value - above[used:])
        error = np.where(agrees, error, np.fmax(error, 2 * np.abs(distance)))
        values.append(value)
        errors.append(np.where(np.isfinite(value) & np.isfinite(error), error, np.inf))


def _noise(divisors: Any, differences: Any, rounding: Any, smallest: float, power: int) -> Any:
    """How noisy f is, read from how the differences settle while the step h shrinks by 4 from rung to rung.

    A jump is the change from one difference to the next, times h (second differences: h²). For smooth f it falls by 64
    a rung (or 256, 1024, …); noise keeps it level. A jump that falls much faster is an accident, as two differences of
    a rounded f may be equal, unless the next ones agree with it.
    The verdict is revised where what looked like noise was a pole, a kink or a bend far away: the jumps start to
    fall as they should, are all equal, or stay far below over divisors above ``smallest`` (under it f's own rounding
    makes steps that are smooth in between).
    """
    jumps = np.abs(np.diff(differences, axis=0)) * divisors[1:]
    sudden_fall = RATIO ** -(8 + power)
    noise = np.zeros(jumps.shape[1])
    accident = np.zeros(jumps.shape[1])
    falling, equal, quiet, calm = np.zeros((4, jumps.shape[1]), int)
    # A difference of 0 shows nothing; nor does a second difference that rounding made.
    shows = np.abs(differences) * divisors > (2 * rounding if power == 2 else 0.0)
    for k in range(1, len(jumps)):
        before, now = jumps[k - 1], jumps[k]
        known = np.isfinite(before) & np.isfinite(now)
        same = known & (now > 0) & (np.abs(now - before) < 0.01 * now) & (now > rounding[k])
        level = known & (now > before / 16) & ~same & (equal < 3)
        sudden = known & (now < before * sudden_fall) & (before * sudden_fall > rounding[k + 1])
        falling = np.where(known & ~level & ~same & ~sudden & (now > 0), falling + 1, 0)
        equal = np.where(same, equal + 1, 0)
        silent = known & (now < noise / 64) & shows[k + 1] & (divisors[k + 1] > smallest)
        quiet = np.where(silent, quiet + 1, 0)
        noise = np.where(((falling >= 2) & (now < noise / 16)) | (equal >= 3), 0.0, noise)
        noise = np.where(quiet >= 3, np.max(jumps[max(0, k - 2) : k + 1], axis=0), noise)
        noise = np.where(level, np.fmax(noise, now), noise)
        calm = np.where(known & (now < accident / 64) & shows[k + 1], calm + 1, 0)
        accident = np.where(calm >= 2, 0.0, accident)
        accident = np.where(sudden, np.fmax(accident, before), accident)
    if power == 2:  # where curvature shows and then suddenly does not, f has steps at least that high
        expected = np.abs(differences[:-1]) * divisors[1:]
        lost = shows[:-1] & ~shows[1:] & np.isfinite(differences[1:]) & (expected > 4 * rounding[1:])
        noise = np.fmax(noise, np.max(np.where(lost, expected, 0.0), axis=0, initial=0.0))
    return np.fmax(noise, accident)


def _remaining(low: Any, high: Any) -> tuple[Any, Any]:
    """For each rung the intersection of the intervals of all smaller steps."""
    low = np.where(np.isfinite(low), low, -np.inf)
    high = np.where(np.isfinite(high), high, np.inf)
    below = np.full_like(low, -np.inf)
    above = np.full_like(high, np.inf)
    below[:-1] = np.maximum.accumulate(low[:0:-1], axis=0)[::-1]
    above[:-1] = np.minimum.accumulate(high[:0:-1], axis=0)[::-1]
    return below, above
