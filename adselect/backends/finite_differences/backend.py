"""Finite differences: derivatives from nothing but values of f, with a step and an error estimate for every entry.

How one column of the Jacobian is found (``step="auto"``):

1. *Ladder.* Central differences at steps shrinking by 4, from a quarter of |x| down; neighbouring steps are combined
   (Richardson's extrapolation, Ridders' table). Every entry of the table has an error estimate: how far it moved from
   the two entries it was made of, plus what rounding of f contributes at that step. Each output takes its best entry.
   A smooth f needs 8 evaluations per coordinate.
   Where f does not move at all, three much larger steps decide whether the derivative is 0 or hidden by rounding.
2. *Poor entries* get smaller steps (down to 1e-14 of |x|), then larger ones as long as that helps. An entry of large
   steps must agree with all smaller steps within their error bars: a function that saturates far away cannot fool it.
3. *The imaginary step.* Where f's rounding still hides the digits, one more difference is taken along the imaginary
   axis, Im f(x + ih)/h, which has no cancellation. It is believed only if f takes complex numbers and the result lies
   within the error bars of the real differences; so it can sharpen an answer and never replace one.
4. *Edges of the domain*, where one side gives NaN, get one-sided differences.

Second derivatives (``second.py``) are second differences of f that go up the same ladders.

A number or array as step switches all that off: one plain central stencil. What finite differences cannot see is
whether an output depends on an argument at all: they report 0 and never None.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...adtypes import AutoFiniteDifferences
from ...errors import ADSelectTypeError, ADSelectValueError
from ...face.dispatch import is_traced
from ...values.kinds import isa
from ..backend import Backend, Call
from .evaluation import Problem
from .ladder import Ladder
from .nested import Nested, face, unface
from .points import Leaf, Line, coordinates, direction, numbers
from .second import SecondDifferences
from .stencils import one_sided_stencil, stencil

__all__ = [
    "FiniteDifferencesBackend",
    "gradient_with_error",
    "hessian_with_error",
    "one_sided_stencil",
    "stencil",
]

LADDER = (range(4), range(4, 6), range(6, 10), range(10, 23))  # levels tried one after the other
FAR = (-3, -7, -12)  # levels that tell a derivative of 0 from one that rounding hides
LARGEST_LEVELS = 45  # how far up: steps of 4**45 times |x|
TOLERANCE = 1e-8  # the relative error at which an entry counts as found
NEGLIGIBLE = 1e-10  # entries this much smaller than the largest of their row need not be found to that tolerance

# -- the backend -----------------------------------------------------------------------------------------------------


class FiniteDifferencesBackend(Backend):
    """Central differences with automatic steps; see the module's docstring for how a step is chosen.

    Cost: one evaluation of f for its value and one at the end, at the point itself; per coordinate (pullback) or
    direction (pushforward) 8 for a smooth function, 14 where f does not move, up to about 80 for a badly scaled or
    noisy one, ``order`` with a given ``step``.
    """

    reverse = False
    forward = True
    detects_independence = False

    def rule_for(self, f: Any) -> str:
        """None: f is called."""
        return "none: differences of its values"

    def __init__(self, adtype: AutoFiniteDifferences):
        super().__init__(adtype)
        self.order = 2 if adtype.order is None else adtype.order
        self.extrapolate = adtype.order is None
        self.executor = adtype.executor
        self.automatic = isinstance(adtype.step, str)
        if self.automatic and adtype.step != "auto":
            raise ADSelectValueError(f"step={adtype.step!r}: give 'auto', a number, or an array shaped like x")
        stencil(self.order)
        self._nested = Nested(adtype.order, adtype.step)
        self.second_order = SecondDifferences(self)

    # -- the two maps ---------------------------------------------------------------------------------------------

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Any]:
        """Perturbs every coordinate of every leaf, once, when ``back`` is called first."""
        leaves, faced = face(leaves)
        if is_traced(leaves):
            outputs, aux, back = self._nested.pullback(call, leaves)
            if faced:  # a framework's own derivative goes on outside: give it its own arrays
                return unface(outputs), unface(aux), lambda y_bars: unface(back(y_bars))
            return outputs, aux, back
        inner, outputs, aux, seconds = self.start(call, leaves)
        if is_traced(outputs):  # f itself holds values of an outer derivative
            return self._nested.pullback(call, leaves, (outputs, aux))

        @functools.cache
        def jacobian() -> tuple[Problem, list]:
            with Problem(call, inner, outputs, self.executor, seconds) as problem:
                return problem, self._blocks(problem)

        def back(y_bars: list) -> list:
            problem, blocks = jacobian()
            return [leaf.cotangent(problem.pull(b, leaf, y_bars)) for leaf, b in zip(inner, blocks, strict=True)]

        return outputs, aux, back

    def _blocks(self, problem: Problem) -> list[np.ndarray]:
        """The Jacobian's columns per leaf."""
        groups = [list(coordinates(problem.leaves, k)) for k in range(len(problem.leaves))]
        columns, _ = self.columns(problem, [line for group in groups for line in group])
        ends = np.cumsum([len(group) for group in groups])
        return [columns[:, end - len(group) : end] for group, end in zip(groups, ends, strict=True)]

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        """The columns as they are where everything is real; f is evaluated once more where there are complex values."""
        if is_traced(face(leaves)[0]):
            return super().linearized_matrix(call, leaves)
        inner, outputs, _, seconds = self.start(call, leaves)
        y = numbers(outputs[0]) if not is_traced(outputs) else None
        if y is None or any(a.dtype.kind == "c" for a in (y, *[leaf.base for leaf in inner])):
            return super().linearized_matrix(call, leaves)
        with Problem(call, inner, outputs, self.executor, seconds) as problem:
            blocks = self._blocks(problem)
        return outputs, [
            np.zeros((y.size, leaf.base.size)) if leaf.frozen else block
            for leaf, block in zip(inner, blocks, strict=True)
        ]

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """One line through the point for every direction."""
        leaves, faced = face(leaves)
        if is_traced(leaves) or is_traced(directions):
            outputs, dots, aux = self._nested.pushforwards(call, leaves, directions)
            return (unface(outputs), [unface(d) for d in dots], unface(aux)) if faced else (outputs, dots, aux)
        inner, outputs, aux, seconds = self.start(call, leaves)
        if is_traced(outputs):
            return self._nested.pushforwards(call, leaves, directions, (outputs, aux))
        lines = [direction(inner, tangents) for tangents in directions]
        real = [line for line in lines if line is not None]
        with Problem(call, inner, outputs, self.executor, seconds) as problem:
            columns, errors = self.columns(problem, real)
            dots, column = [], iter(range(len(real)))
            for line, tangents in zip(lines, directions, strict=True):
                if line is None:
                    y_dot = np.zeros(problem.value.size)
                else:
                    i = next(column)
                    y_dot = self._refined(problem, line, tangents, columns[:, i], errors[:, i])
                dots.append(problem.split(y_dot))
        return outputs, dots, aux

    def _refined(self, problem: Problem, line: Line, tangents: list, y_dot: Any, error: Any) -> Any:
        """One step cannot suit coordinates of very different scales: then their derivatives are added up."""
        if not self.automatic or np.all(error <= 1e-6 * np.abs(y_dot)) or line.moves[0][1] is not ...:
            return y_dot
        lines, weights = [], []
        for k, x_dot in enumerate(tangents):
            if x_dot is None or problem.leaves[k].frozen:
                continue
            flat = np.reshape(np.asarray(numbers(x_dot)), -1)
            for moving in coordinates(problem.leaves, k):
                _, i, unit = moving.moves[0]
                weight = float(np.imag(flat[i]) if isa(unit, complex) else np.real(flat[i]))
                if weight:
                    lines.append(moving)
                    weights.append(weight)
        if not 1 < len(lines) <= 1000:
            return y_dot
        columns, errors = self.columns(problem, lines)
        total, total_error = columns @ np.array(weights), errors @ np.abs(weights)
        return np.where(total_error < error, total, y_dot)

    def start(self, call: Call, leaves: list) -> tuple[list[Leaf], list, list, float]:
        """The leaves, f evaluated once where it stands, and the seconds that took."""
        inner = [Leaf(x) for x in leaves]
        arrays = [leaf for leaf in inner if isa(leaf.original, np.ndarray)]
        integers = [leaf for leaf in arrays if leaf.original.dtype.kind in "iub"]
        began = time.perf_counter()
        try:
            outputs, aux = call([leaf.unperturbed() for leaf in inner])
        except (IndexError, TypeError) as error:
            if not integers:
                raise
            for leaf in integers:  # f uses them as an index: there is nothing to perturb
                leaf.frozen = True
            try:
                outputs, aux = call([leaf.unperturbed() for leaf in inner])
            except Exception:
                raise error from None
        return inner, list(outputs), list(aux), time.perf_counter() - began

    # -- columns of the Jacobian ----------------------------------------------------------------------------------

    def columns(self, problem: Problem, lines: list[Line]) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives along the lines, one column each (outputs as one real vector), and their error estimates."""
        if not lines:
            return np.zeros((problem.value.size, 0)), np.zeros((problem.value.size, 0))
        values, errors = self._columns(problem, lines) if self.automatic else self._fixed_columns(problem, lines)
        undefined = ~np.isfinite(problem.value)
        if undefined.any():  # no difference from an infinity says anything
            values[undefined] = np.nan
        problem.explain_nothing(values)
        return values, errors

    def _columns(self, problem: Problem, lines: list[Line]) -> tuple[np.ndarray, np.ndarray]:
        ladders = [Ladder(line.scale, problem.eps, self.order, self.extrapolate) for line in lines]
        values, errors = np.zeros((2, problem.value.size, len(lines)))
        poor = np.arange(len(lines))
        for levels in LADDER:
            self._climb(problem, lines, ladders, poor, levels, values, errors)
            if levels is LADDER[0]:
                self._settle_zeros(problem, lines, ladders, values, errors)
            poor = _poor(values, errors, problem)
            if not poor.size:
                return values, errors
        for i in poor:
            lost = np.isinf(errors[:, i]) & np.isfinite(problem.value)
            if np.any(lost):
                (value, error), (other, other_error) = problem.one_sided(lines[i])
                better = other_error < error
                value, error = np.where(better, other, value), np.where(better, other_error, error)
                values[lost, i], errors[lost, i] = value[lost], error[lost]
        active = poor = _poor(values, errors, problem)
        for level in range(-1, -LARGEST_LEVELS, -3):
            before = errors[:, active].copy()
            self._climb(problem, lines, ladders, active, range(level, level - 3, -1), values, errors)
            helped = np.any(errors[:, active] < 0.5 * before, axis=0)
            active = np.intersect1d(active[helped], _poor(values, errors, problem))
            if not active.size:
                break
        poor = _poor(values, errors, problem)
        for i, z in zip(poor, problem.imaginary([lines[i] for i in poor]), strict=True):
            if z is not None:
                within = np.abs(z - values[:, i]) <= 4 * errors[:, i]
                values[:, i] = np.where(within & np.isfinite(errors[:, i]), z, values[:, i])
        return values, errors

    def _climb(
        self, problem: Problem, lines: list, ladders: list, chosen: Any, levels: Iterable[int], values: Any, errors: Any
    ) -> None:
        """Evaluate more rungs of the chosen ladders and judge them anew."""
        wanted = [(i, level, h) for i in chosen for level, h in lines[i].steps(levels).items()]
        found = problem.differences(self.order, [(lines[i], h) for i, _, h in wanted])
        for (i, level, h), (difference, size) in zip(wanted, found, strict=True):
            ladders[i].rungs[level] = (h, difference, size)
        for i in chosen:
            value, error = ladders[i].best()
            known = np.isinf(error) & np.isfinite(errors[:, i]) & (errors[:, i] > 0)  # a one-sided answer stays
            values[:, i], errors[:, i] = np.where(known, values[:, i], value), np.where(known, errors[:, i], error)

    def _settle_zeros(self, problem: Problem, lines: list, ladders: list, values: Any, errors: Any) -> None:
        """Find the outputs that do not move with a coordinate: their 0 is exact.

        Where f does move far away, the slope there tells why it does not move nearby: too small to show in f's
        digits (a derivative to be found), or large enough to show (f is a staircase: 0 is right).
        """
        still = [
            i
            for i, ladder in enumerate(ladders)
            if np.any(np.all([d == 0 for _, d, _ in ladder.rungs.values()], axis=0))
        ]
        wanted = [(i, h) for i in still for h in lines[i].steps(FAR).values()]
        for i in still:
            ladders[i].flat = True
        found = problem.differences(self.order, [(lines[i], h) for i, h in wanted])
        for (i, _), (difference, _) in zip(wanted, found, strict=True):
            ladder = ladders[i]
            h, _, size = ladder.rungs[0]
            hidden = np.isfinite(difference) & (difference != 0) & (np.abs(difference) * h < 8 * ladder.eps * size)
            ladder.flat = ladder.flat & ~hidden
        for i, ladder in enumerate(ladders):
            if ladder.flat is not False:
                values[:, i], errors[:, i] = ladder.best()

    def _fixed_columns(self, problem: Problem, lines: list[Line]) -> tuple[np.ndarray, np.ndarray]:
        wanted = [(line, self.given_step(problem.leaves, line)) for line in lines]
        columns = np.stack([d for d, _ in problem.differences(self.order, wanted)], axis=1)
        return columns, np.full(columns.shape, np.nan)

    def given_step(self, leaves: list[Leaf], line: Line) -> float:
        step = np.asarray(self.adtype.step, dtype=float)
        k, i, velocity = line.moves[0]
        if step.ndim and i is ...:
            raise ADSelectValueError(
                "an array of steps has one step per coordinate, and this derivative is taken along a direction; "
                "give one number as step, or 'auto'"
            )
        if step.ndim:
            try:
                step = np.broadcast_to(step, leaves[k].base.shape).reshape(-1)[i]
            except ValueError:
                raise ADSelectValueError(
                    f"step has shape {step.shape} and args[{k}] has shape {leaves[k].base.shape}; they must agree"
                ) from None
        if not step > 0:
            raise ADSelectValueError(f"step={self.adtype.step!r}: a step is positive")
        # Along a direction the step is the largest change of a coordinate.
        return float(step) / float(np.max(np.abs(velocity), initial=0.0))


def _poor(values: np.ndarray, errors: np.ndarray, problem: Problem) -> np.ndarray:
    """The columns with an entry that is not known to the tolerance."""
    with np.errstate(all="ignore"):
        sizes = np.where(np.isfinite(values), np.abs(values), 0.0)
        floor = NEGLIGIBLE * np.max(sizes, axis=1, keepdims=True)
        tolerance = np.maximum(TOLERANCE, 50 * problem.eps)[:, None]
        good = (errors <= tolerance * np.maximum(sizes, floor)) | ~np.isfinite(problem.value)[:, None]
    return np.flatnonzero(~np.all(good, axis=0))


# -- errors, asked for -----------------------------------------------------------------------------------------------


class FlatCall:
    """f of one output as a flat call; picklable if f is."""

    def __init__(self, f: Any):
        self.f = f

    def __call__(self, leaves: list) -> tuple[list, list]:
        return [self.f(*leaves)], []


def _stated(name: str, f: Any, args: tuple) -> tuple[FiniteDifferencesBackend, Problem]:
    """The backend of the adtype that may stand second, and f at the other arguments."""
    adtype = AutoFiniteDifferences()
    if args and isinstance(args[0], AutoFiniteDifferences):
        adtype, *args = args  # type: ignore[assignment]
    backend = FiniteDifferencesBackend(adtype)
    call = FlatCall(f)
    leaves, outputs, _, seconds = backend.start(call, list(args))
    problem = Problem(call, leaves, outputs, adtype.executor, seconds)
    if problem.value.size != 1 or problem.outputs[0].shape != ():
        raise ADSelectTypeError(f"{name} needs f to return one real number")
    return backend, problem


def gradient_with_error(f: Any, *args: Any) -> tuple[tuple, tuple]:
    """``(gradient, error)`` of a real scalar f of numbers and arrays: finite differences and what they are worth.

    An adtype may stand second, as in the operators. ``error`` mirrors the gradient: the estimated absolute error of
    each entry, NaN where a given ``step`` leaves nothing to judge by, inf where no difference could be taken. The
    estimate counts both the step (truncation) and the rounding of f. It is that of the real differences: an entry
    that the imaginary step sharpened is better than it says.

    >>> import numpy as np
    >>> (g,), (e,) = gradient_with_error(lambda x: np.sin(x), 1.0)
    >>> bool(abs(g - np.cos(1.0)) <= e + 1e-15 and e < 1e-8)
    True
    """
    backend, problem = _stated("gradient_with_error", f, args)
    gradient, error = [], []
    with problem:
        for k, leaf in enumerate(problem.leaves):
            columns, errors = backend.columns(problem, list(coordinates(problem.leaves, k)))
            gradient.append(leaf.cotangent(problem.pull(columns, leaf, [1.0])))
            size = leaf.base.size
            flat = np.zeros(size) if leaf.frozen else errors[0, :size]
            if leaf.base.dtype.kind == "c":
                flat = np.hypot(flat, errors[0, size:])
            error.append(flat.reshape(leaf.base.shape)[()])
    return tuple(gradient), tuple(error)


def hessian_with_error(f: Any, *args: Any) -> tuple[np.ndarray, np.ndarray]:
    """``(hessian, error)`` of a real scalar f of one real number or array: second differences and what they are worth.

    Both are matrices over the entries of x, row by row. An adtype may stand second. ``error`` is the estimated absolute
    error of each entry, NaN with a given ``step``, inf where no difference could be taken. An entry that its error does
    not tell from 0 is 0. Nothing is warned of: this is where to look when ``hessian`` has warned.

    >>> import numpy as np
    >>> h, e = hessian_with_error(lambda x: x[0] ** 3 * x[1], np.array([1.0, 2.0]))
    >>> bool(np.all(np.abs(h - [[12.0, 3.0], [3.0, 0.0]]) <= e) and np.all(e < 1e-10))
    True
    """
    backend, problem = _stated("hessian_with_error", f, args)
    if len(problem.leaves) != 1 or problem.leaves[0].base.dtype.kind == "c":
        raise ADSelectTypeError("hessian_with_error takes one real number or array; join several into one vector")
    with problem:
        found = backend.second_order.hessian(problem, list(coordinates(problem.leaves, 0)))
    return found.values, found.errors
