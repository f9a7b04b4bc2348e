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

A number or array as step switches all that off: one plain central stencil. What finite differences cannot see is
whether an output depends on an argument at all: they report 0 and never None.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from typing import Any, Self

import numpy as np

from ..adtypes import AutoFiniteDifferences
from ..array import Array, is_traced, plain
from ..errors import ADSelectTypeError, ADSelectValueError, UnsupportedError
from ..kinds import isa
from ..structure import is_native
from .base import Backend, Call, FrameworkArray
from .tape import enter

__all__ = ["FiniteDifferencesBackend", "gradient_with_error", "one_sided_stencil", "stencil"]

FIRST_STEP = np.sqrt(2) / 6  # of the scale of x; irrational, so that no period of f can be a multiple of all steps
RATIO = 4.0
COLUMNS = 5  # extrapolations at most
LADDER = (range(4), range(4, 6), range(6, 10), range(10, 23))  # levels tried one after the other
FAR = (-3, -7, -12)  # levels that tell a derivative of 0 from one that rounding hides
SMOOTH = 1e-9  # of |x|: differences that settle only below this are taken for f's rounding
LARGEST_LEVELS = 45  # how far up: steps of 4**45 times |x|
TOLERANCE = 1e-8  # the relative error at which an entry counts as found
NEGLIGIBLE = 1e-10  # entries this much smaller than the largest of their row need not be found to that tolerance
NESTED_ORDER = 6  # the stencil of a finite difference that another derivative differentiates
WINDOW = 256  # evaluations handed to an executor at once

# What f may raise outside its domain: such a point counts as NaN.
OUTSIDE = (ArithmeticError, ValueError)


# -- stencils --------------------------------------------------------------------------------------------------------


@functools.cache
def stencil(order: int) -> tuple[tuple[int, float], ...]:
    """Offsets o > 0 and coefficients c of the central first derivative: f′ ≈ Σ c · (f(x + oh) − f(x − oh)) / h.

    The coefficients are exact: findiff computes them as rationals (its floating-point ones carry noise of 1e-16).

    >>> stencil(2)
    ((1, 0.5),)
    """
    from findiff import coefficients

    try:
        rows = coefficients(deriv=1, acc=order, symbolic=True)["center"]
    except Exception as error:
        raise ADSelectValueError(f"order={order!r}: a central stencil has an even order, as 2, 4 or 6") from error
    return tuple((int(o), float(c)) for o, c in zip(rows["offsets"], rows["coefficients"], strict=True) if o > 0)


@functools.cache
def one_sided_stencil(order: int) -> tuple[tuple[int, float], ...]:
    """Offsets o ≥ 0 and coefficients c of the forward first derivative: f′ ≈ Σ c · f(x + oh) / h.

    >>> one_sided_stencil(2)
    ((0, -1.5), (1, 2.0), (2, -0.5))
    """
    from findiff import coefficients

    rows = coefficients(deriv=1, acc=order, symbolic=True)["forward"]
    return tuple((int(o), float(c)) for o, c in zip(rows["offsets"], rows["coefficients"], strict=True) if c)


# -- leaves: what f receives -----------------------------------------------------------------------------------------


class PerturbedInt(float):
    """An integer argument moved off its value: a float in arithmetic, the original integer as an index or a size."""

    __slots__ = ("original",)

    original: int

    def __new__(cls, value: Any, original: int) -> Self:
        self = super().__new__(cls, value)
        self.original = original
        return self

    def __reduce__(self) -> tuple:
        return PerturbedInt, (float(self), self.original)

    def __index__(self) -> int:
        return self.original

    __int__ = __index__
    __trunc__ = __index__


class Leaf:
    """One argument: its numbers as an array to perturb, and how such an array is turned back into what f expects."""

    __slots__ = ("base", "frozen", "original")

    def __init__(self, original: Any):
        self.original = original.copy() if isa(original, np.ndarray) else original
        self.frozen = False  # handed to f as it is, in every call
        numbers = _numbers(float(original) if _is_fraction(original) else original)
        if numbers is None:
            raise ADSelectTypeError(f"finite differences cannot perturb a {type(original).__name__}")
        if self._is_native():
            self.base = numbers if numbers.dtype.kind in "fc" else numbers.astype(float)
        else:  # float32 is perturbed in double precision: its own leaves no digits for a difference
            self.base = numbers.astype(np.result_type(numbers, np.float64))

    def _is_native(self) -> bool:
        return not isa(self.original, (np.ndarray, np.generic, int, float, complex)) and not _is_fraction(self.original)

    @property
    def narrow(self) -> bool:
        """Whether f sees more digits than the argument has."""
        dtype = getattr(self.original, "dtype", None)
        return not self._is_native() and dtype is not None and dtype.kind in "fc" and dtype != self.base.dtype

    def keep_precision(self) -> None:
        """Perturb in the argument's own precision (f does not take the wider one)."""
        self.base = self.base.astype(self.original.dtype)

    def unperturbed(self) -> Any:
        if self.narrow and self.base.ndim:
            return self.original.copy()
        return self.original if self.narrow else self.build(self.base)

    def build(self, values: np.ndarray) -> Any:
        """What f receives for these numbers: the argument's own kind."""
        original = self.original
        if self.frozen:
            return original.copy() if isa(original, np.ndarray) else original
        if isa(original, np.ndarray):
            return values.copy()
        if values.dtype.kind != "c" and isa(original, (int, np.integer)):
            return PerturbedInt(values[()], int(original))
        if isa(original, np.generic):
            return values[()]
        if isa(original, (int, float, complex)) or _is_fraction(original):
            return values[()]  # a NumPy scalar: 1/x and x**0.5 mean what they mean in NumPy, and math.* takes it
        if hasattr(original, "new_tensor"):
            return original.new_tensor(values, dtype=original.dtype if original.dtype.is_floating_point else None)
        if hasattr(original, "__array_namespace__"):
            return original.__array_namespace__().asarray(values)
        return values.copy()

    def cotangent(self, flat: Any) -> Any:
        """Flat derivatives as a cotangent of this leaf."""
        shape = self.base.shape
        if isinstance(flat, Array):
            return np.reshape(flat, shape) if shape else flat[0]
        dtype = getattr(self.original, "dtype", None)
        if isinstance(dtype, np.dtype) and dtype.kind in "fc":
            flat = flat.astype(dtype)
        return flat.reshape(shape) if shape else flat[0]


def _is_fraction(value: Any) -> bool:
    return hasattr(value, "numerator") and hasattr(value, "limit_denominator")


def _numbers(value: Any) -> np.ndarray | None:
    """The numbers in a value as an array, None if it holds none."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().resolve_conj().numpy()
    try:
        array = np.asarray(value)
    except Exception:
        return None
    return array if array.dtype.kind in "fciub" else None


# -- lines through the point -----------------------------------------------------------------------------------------


class Line:
    """The points x + t·v: along one coordinate, or along one direction through all leaves."""

    __slots__ = ("moves", "reference", "scale")

    def __init__(self, leaves: list[Leaf], moves: list[tuple[int, Any, Any]]):
        """moves: (number of the leaf, flat index, or ``...`` for all of it, velocity)."""
        self.moves = moves
        size = speed = 0.0
        for k, i, velocity in moves:
            x = leaves[k].base.reshape(-1)[i]
            part = np.imag(x) if np.iscomplexobj(velocity) and i is not ... else np.real(x) if i is not ... else x
            size = max(size, float(np.max(np.abs(part), initial=0.0)))
            speed = max(speed, float(np.max(np.abs(velocity), initial=0.0)))
        self.reference = leaves[moves[0][0]].base.real.dtype.type(size / speed if speed else 0.0)
        if not np.isfinite(self.reference):
            self.reference = type(self.reference)(0)
        self.scale = float(self.reference)
        if self.scale == 0.0:  # nothing to go by but the neighbours
            largest = max(float(np.max(np.abs(leaves[k].base), initial=0.0)) for k, _, _ in moves)
            self.scale = largest if 0.0 < largest < 1.0 else 1.0

    def step(self, h: float) -> float:
        """The step nearest to h that x + h and x − h realise exactly; 0 if x is too coarse for it."""
        kind = type(self.reference)
        return float((self.reference + kind(h)) - self.reference)

    def point(self, leaves: list[Leaf], t: complex) -> list:
        """What f receives at x + t·v."""
        values = [leaf.base for leaf in leaves]
        for k, i, velocity in self.moves:
            amount = t * velocity
            if np.iscomplexobj(amount) and values[k].dtype.kind != "c":
                moved = values[k].astype(complex)
            else:
                moved = values[k].copy() if values[k] is leaves[k].base else values[k]
            if i is ...:
                moved = (moved + np.reshape(amount, moved.shape)).astype(moved.dtype)
            else:
                flat = moved.reshape(-1)
                flat[i] = flat[i] + amount
            values[k] = moved
        return [leaf.build(v) for leaf, v in zip(leaves, values, strict=True)]


# -- one column of the Jacobian from its differences -----------------------------------------------------------------


class Ladder:
    """The differences along one line at many steps, and the best derivative that can be made of them."""

    __slots__ = ("eps", "extrapolate", "flat", "line", "order", "rungs")

    def __init__(self, line: Line, eps: np.ndarray, order: int, extrapolate: bool):
        self.line, self.eps, self.order, self.extrapolate = line, eps, order, extrapolate
        self.rungs: dict[int, tuple[float, np.ndarray, np.ndarray]] = {}  # level -> step, difference, size of f
        self.flat: Any = False  # the outputs that do not move even far away

    def steps(self, levels: Iterable[int]) -> dict[int, float]:
        """The steps of these levels that x can realise."""
        found = {}
        for level in levels:
            h = self.line.step(self.line.scale * FIRST_STEP * RATIO**-level)
            if h > 0.0 and np.isfinite(h):
                found[level] = h
        return found

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Per output the derivative and its error estimate (inf where there is nothing to go by)."""
        levels = sorted(self.rungs)
        steps = np.array([self.rungs[level][0] for level in levels])[:, None]
        differences = np.array([self.rungs[level][1] for level in levels])
        sizes = np.array([self.rungs[level][2] for level in levels])
        with np.errstate(all="ignore"):
            return self._best(levels, steps, differences, sizes)

    def _best(self, levels: list, steps: Any, differences: Any, sizes: Any) -> tuple[np.ndarray, np.ndarray]:
        count = len(levels)
        rounding = 2 * self.eps * sizes
        # Larger steps than the first one are there to be checked against the noise, not to define it.
        near = levels.index(0) if 0 in levels else 0
        smallest = SMOOTH * self.line.scale
        bars = np.maximum(rounding, _noise(steps[near:], differences[near:], rounding[near:], smallest)) / steps
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
        winner = np.argmin(all_errors, axis=0)[None]
        value, error = np.take_along_axis(all_values, winner, 0)[0], np.take_along_axis(all_errors, winner, 0)[0]
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


def _noise(steps: Any, differences: Any, rounding: Any, smallest: float) -> Any:
    """How noisy f is, read from how the differences settle while the step h shrinks by 4 from rung to rung.

    A jump is the change from one difference to the next, times h. For smooth f it falls by 64 a rung (or 1024, …);
    noise keeps it level. A jump that falls much faster is an accident, as two differences of a rounded f may be equal,
    unless the next ones agree with it.
    The verdict is revised where what looked like noise was a pole, a kink or a bend far away: the jumps start to
    fall as they should, are all equal, or stay far below over steps above ``smallest`` (under it f's own rounding
    makes steps that are smooth in between).
    """
    jumps = np.abs(np.diff(differences, axis=0)) * steps[1:]
    noise = np.zeros(jumps.shape[1])
    accident = np.zeros(jumps.shape[1])
    falling, equal, quiet, calm = np.zeros((4, jumps.shape[1]), int)
    for k in range(1, len(jumps)):
        before, now = jumps[k - 1], jumps[k]
        known = np.isfinite(before) & np.isfinite(now)
        same = known & (now > 0) & (np.abs(now - before) < 0.01 * now) & (now > rounding[k])
        level = known & (now > before / 16) & ~same & (equal < 3)
        sudden = known & (now < before * RATIO**-9) & (before * RATIO**-9 > rounding[k + 1])
        falling = np.where(known & ~level & ~same & ~sudden & (now > 0), falling + 1, 0)
        equal = np.where(same, equal + 1, 0)
        silent = known & (now < noise / 64) & (differences[k + 1] != 0) & (steps[k + 1] > smallest)
        quiet = np.where(silent, quiet + 1, 0)
        noise = np.where(((falling >= 2) & (now < noise / 16)) | (equal >= 3), 0.0, noise)
        noise = np.where(quiet >= 3, np.max(jumps[max(0, k - 2) : k + 1], axis=0), noise)
        noise = np.where(level, np.fmax(noise, now), noise)
        calm = np.where(known & (now < accident / 64) & (differences[k + 1] != 0), calm + 1, 0)
        accident = np.where(calm >= 2, 0.0, accident)
        accident = np.where(sudden, np.fmax(accident, before), accident)
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


# -- evaluating f ----------------------------------------------------------------------------------------------------


def _evaluate(call: Call, leaves: list) -> list | Exception:
    """The outputs of f as arrays of numbers; runs in a worker, so only plain values go in and out."""
    with np.errstate(all="ignore"):
        try:
            outputs, _ = call(leaves)
        except OUTSIDE as error:
            return error
    return [_numbers(y) for y in outputs]


class Problem:
    """f at a point: the leaves, the unperturbed outputs, and f at other points as one real vector."""

    def __init__(self, call: Call, leaves: list[Leaf], outputs: list, executor: Any):
        self.call, self.leaves, self.executor = call, leaves, executor
        self.outputs: list[Any] = [_numbers(y) for y in outputs]
        self.value: np.ndarray = self._vector(self.outputs)
        self.eps = np.concatenate([np.zeros(0), *[_eps(y) for y in self.outputs if y is not None]])
        if any(leaf.narrow for leaf in leaves):
            self._widen()

    def _widen(self) -> None:
        """Evaluate in double precision where the arguments have single, if f takes it."""
        try:
            outputs: Any = _evaluate(self.call, [leaf.build(leaf.base) for leaf in self.leaves])
            wide = isinstance(outputs, list)
            vector: Any = self._vector(outputs) if wide else None
        except Exception:
            wide = False
        if wide:
            self.eps = np.concatenate([np.zeros(0), *[_eps(y) for y in outputs if y is not None]])
            self.value = vector
        else:
            for leaf in self.leaves:
                if leaf.narrow:
                    leaf.keep_precision()

    def _vector(self, outputs: list) -> np.ndarray:
        """All outputs as one real vector, complex ones as pairs."""
        parts = [np.zeros(0)]
        for k, (y, reference) in enumerate(zip(outputs, self.outputs, strict=True)):
            if reference is None:
                continue
            if y is None or y.shape != reference.shape:
                raise ADSelectValueError(
                    f"finite differences: output {k} of f has shape {reference.shape} at x and "
                    f"{None if y is None else y.shape} near it; a derivative needs one shape"
                )
            if reference.dtype.kind == "c":
                parts.append(np.ascontiguousarray(y, dtype=complex).reshape(-1).view(float))
            elif y.dtype.kind == "c":
                parts.append(np.full(y.size, np.nan))
            else:
                parts.append(y.reshape(-1).astype(float))
        return np.concatenate(parts)

    def at(self, points: list[tuple[Line, float]]) -> list[np.ndarray]:
        """f at x + t·v for every (line, t); NaN where f is not defined."""
        nowhere = np.full(self.value.size, np.nan)
        found: list[np.ndarray] = []
        for result in self._run(line.point(self.leaves, t) for line, t in points):
            found.append(nowhere if isinstance(result, Exception) else self._vector(result))
        return found

    def _run(self, arguments: Iterator[list]) -> Iterator[Any]:
        if self.executor is None:
            yield from map(_evaluate, repeat(self.call), arguments)
            return
        while window := list(islice(arguments, WINDOW)):
            futures = [self.executor.submit(_evaluate, self.call, a) for a in window]
            for future in futures:
                try:
                    yield future.result()
                except (pickle.PicklingError, AttributeError, TypeError) as error:
                    if "pickle" not in str(error).lower():
                        raise
                    raise UnsupportedError(
                        f"the executor {type(self.executor).__name__} sends f to other processes and f cannot be "
                        f"pickled ({error}). Define f at the top level of a module (no lambda, no nested function), "
                        "or use concurrent.futures.ThreadPoolExecutor"
                    ) from error

    def differences(self, order: int, wanted: list[tuple[Line, float]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The central difference, and the size of the values it is made of, for every (line, step)."""
        rows = stencil(order)
        points = [(line, side * o * h) for line, h in wanted for o, _ in rows for side in (1, -1)]
        values = iter(self.at(points))
        results = []
        with np.errstate(all="ignore"):
            for _, h in wanted:
                total, size = 0.0, 0.0
                for _, c in rows:
                    plus, minus = next(values), next(values)
                    total = total + c * (plus - minus)
                    size = np.fmax(size, np.fmax(np.abs(plus), np.abs(minus)))
                results.append((total / h, size))
        return results

    def one_sided(self, line: Line) -> tuple[np.ndarray, np.ndarray]:
        """Where f is defined on one side only: the better of the two one-sided derivatives and its error."""
        best, best_error = np.full(self.value.size, np.nan), np.full(self.value.size, np.inf)
        rows = one_sided_stencil(4)
        steps = [h for k in range(2, 20) if (h := line.step(line.scale * FIRST_STEP * RATIO**-k)) > 0.0]
        for side in (1.0, -1.0):
            values = self.at([(line, side * o * h) for h in steps for o, _ in rows if o])
            table = []
            with np.errstate(all="ignore"):
                for k, h in enumerate(steps):
                    some = [self.value, *values[k * (len(rows) - 1) : (k + 1) * (len(rows) - 1)]]
                    table.append(side * sum(c * y for (_, c), y in zip(rows, some, strict=True)) / h)
                d = np.array(table)
                moved = np.abs(np.diff(d, axis=0)) + 8 * self.eps * np.abs(self.value) / np.array(steps)[1:, None]
                moved = np.where(np.isfinite(moved), moved, np.inf)
                winner = np.argmin(moved, axis=0)[None]
                value, error = np.take_along_axis(d[1:], winner, 0)[0], np.take_along_axis(moved, winner, 0)[0]
                # A slope that keeps growing while the step shrinks, as that of sqrt at 0, is infinite.
                grows = np.all(np.abs(d[-6:-1]) * 1.3 < np.abs(d[-5:]), axis=0) & np.isfinite(d[-1])
                value, error = np.where(grows, np.sign(d[-1]) * np.inf, value), np.where(grows, 0.0, error)
            better = error < best_error
            best, best_error = np.where(better, value, best), np.where(better, error, best_error)
        return best, best_error

    def imaginary(self, line: Line) -> np.ndarray | None:
        """Im f(x + ih·v)/h, or None if f does not take complex numbers."""
        h = line.scale * 2.0**-66
        leaves = [self.leaves[k] for k, _, _ in line.moves]
        if not 0.0 < h < np.inf or any(y is not None and y.dtype.kind == "c" for y in self.outputs):
            return None
        if any(leaf.base.dtype.kind == "c" or isa(leaf.original, (int, np.integer)) for leaf in leaves):
            return None
        try:
            with np.errstate(all="ignore"):
                outputs, _ = self.call(line.point(self.leaves, h * 1j))
                parts = [_numbers(y) for y in outputs]
                z = np.concatenate([p.reshape(-1).astype(complex) for p in parts if p is not None])
        except Exception:
            return None
        if z.shape != self.value.shape:
            return None
        same = np.abs(z.real - self.value) <= 1e-6 * np.abs(self.value) + 1e-300
        return np.where(same, z.imag / h, np.nan)


def _eps(y: np.ndarray) -> np.ndarray:
    eps = np.finfo(y.dtype).eps if y.dtype.kind in "fc" else np.finfo(float).eps
    return np.full(y.size * (2 if y.dtype.kind == "c" else 1), float(eps))


# -- the backend -----------------------------------------------------------------------------------------------------


class FiniteDifferencesBackend(Backend):
    """Central differences with automatic steps; see the module's docstring for how a step is chosen.

    Cost: one evaluation of f for its value; per coordinate (pullback) or direction (pushforward) 8 for a smooth
    function, 14 where f does not move, up to about 80 for a badly scaled or noisy one, ``order`` with a given ``step``.
    """

    reverse = False
    forward = True
    detects_independence = False

    def __init__(self, adtype: AutoFiniteDifferences):
        super().__init__(adtype)
        self.order = 2 if adtype.order is None else adtype.order
        self.extrapolate = adtype.order is None
        self.executor = adtype.executor
        self.automatic = isinstance(adtype.step, str)
        if self.automatic and adtype.step != "auto":
            raise ADSelectValueError(f"step={adtype.step!r}: give 'auto', a number, or an array shaped like x")
        stencil(self.order)

    # -- the two maps ---------------------------------------------------------------------------------------------

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Any]:
        """Perturbs every coordinate of every leaf, once, when ``back`` is called first."""
        leaves, faced = _face(leaves)
        if is_traced(leaves):
            outputs, aux, back = self._nested_pullback(call, leaves)
            if faced:  # a framework's own derivative goes on outside: give it its own arrays
                return _unface(outputs), _unface(aux), lambda y_bars: _unface(back(y_bars))
            return outputs, aux, back
        inner, outputs, aux = self._start(call, leaves)
        if is_traced(outputs):  # f itself holds values of an outer derivative
            return self._nested_pullback(call, leaves, (outputs, aux))

        @functools.cache
        def jacobian() -> tuple[Problem, list]:
            problem = Problem(call, inner, outputs, self.executor)
            lines = [list(_coordinates(inner, k)) for k in range(len(inner))]
            columns, _ = self.columns(problem, [line for group in lines for line in group])
            start, blocks = 0, []
            for group in lines:
                blocks.append(columns[:, start : start + len(group)])
                start += len(group)
            return problem, blocks

        def back(y_bars: list) -> list:
            problem, blocks = jacobian()
            pairs = zip(inner, blocks, strict=True)
            return [leaf.cotangent(_pull(problem, block, leaf, y_bars)) for leaf, block in pairs]

        return outputs, aux, back

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """One line through the point for every direction."""
        leaves, faced = _face(leaves)
        if is_traced(leaves) or is_traced(directions):
            outputs, dots, aux = self._nested_pushforwards(call, leaves, directions)
            return (_unface(outputs), [_unface(d) for d in dots], _unface(aux)) if faced else (outputs, dots, aux)
        inner, outputs, aux = self._start(call, leaves)
        if is_traced(outputs):
            return self._nested_pushforwards(call, leaves, directions, (outputs, aux))
        problem = Problem(call, inner, outputs, self.executor)
        lines = [_direction(inner, tangents) for tangents in directions]
        real = [line for line in lines if line is not None]
        columns, errors = self.columns(problem, real)
        dots, column = [], iter(range(len(real)))
        for line, tangents in zip(lines, directions, strict=True):
            if line is None:
                y_dot = np.zeros(problem.value.size)
            else:
                i = next(column)
                y_dot = self._refined(problem, line, tangents, columns[:, i], errors[:, i])
            dots.append(_split(problem, y_dot))
        return outputs, dots, aux

    def _refined(self, problem: Problem, line: Line, tangents: list, y_dot: Any, error: Any) -> Any:
        """One step cannot suit coordinates of very different scales: then their derivatives are added up."""
        if not self.automatic or np.all(error <= 1e-6 * np.abs(y_dot)) or line.moves[0][1] is not ...:
            return y_dot
        lines, weights = [], []
        for k, x_dot in enumerate(tangents):
            if x_dot is None or problem.leaves[k].frozen:
                continue
            flat = np.reshape(np.asarray(_numbers(x_dot)), -1)
            for moving in _coordinates(problem.leaves, k):
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

    def _start(self, call: Call, leaves: list) -> tuple[list[Leaf], list, list]:
        """The leaves, and f evaluated once where it stands."""
        inner = [Leaf(x) for x in leaves]
        arrays = [leaf for leaf in inner if isa(leaf.original, np.ndarray)]
        integers = [leaf for leaf in arrays if leaf.original.dtype.kind in "iub"]
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
        return inner, list(outputs), list(aux)

    # -- columns of the Jacobian ----------------------------------------------------------------------------------

    def columns(self, problem: Problem, lines: list[Line]) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives along the lines, one column each (outputs as one real vector), and their error estimates."""
        if not lines:
            return np.zeros((problem.value.size, 0)), np.zeros((problem.value.size, 0))
        if not self.automatic:
            return self._fixed_columns(problem, lines)
        ladders = [Ladder(line, problem.eps, self.order, self.extrapolate) for line in lines]
        values, errors = np.zeros((2, problem.value.size, len(lines)))
        poor = np.arange(len(lines))
        for levels in LADDER:
            self._climb(problem, ladders, poor, levels, values, errors)
            if levels is LADDER[0]:
                self._settle_zeros(problem, ladders, values, errors)
            poor = _poor(values, errors, problem)
            if not poor.size:
                return values, errors
        for i in poor:
            lost = np.isinf(errors[:, i]) & np.isfinite(problem.value)
            if np.any(lost):
                value, error = problem.one_sided(lines[i])
                values[lost, i], errors[lost, i] = value[lost], error[lost]
        active = poor = _poor(values, errors, problem)
        for level in range(-1, -LARGEST_LEVELS, -3):
            before = errors[:, active].copy()
            self._climb(problem, ladders, active, range(level, level - 3, -1), values, errors)
            helped = np.any(errors[:, active] < 0.5 * before, axis=0)
            active = np.intersect1d(active[helped], _poor(values, errors, problem))
            if not active.size:
                break
        for i in _poor(values, errors, problem):
            z = problem.imaginary(lines[i])
            if z is not None:
                within = np.abs(z - values[:, i]) <= 4 * errors[:, i]
                values[:, i] = np.where(within & np.isfinite(errors[:, i]), z, values[:, i])
        return values, errors

    def _climb(
        self, problem: Problem, ladders: list, chosen: Any, levels: Iterable[int], values: Any, errors: Any
    ) -> None:
        """Evaluate more rungs of the chosen ladders and judge them anew."""
        wanted = [(i, level, h) for i in chosen for level, h in ladders[i].steps(levels).items()]
        found = problem.differences(self.order, [(ladders[i].line, h) for i, _, h in wanted])
        for (i, level, h), (difference, size) in zip(wanted, found, strict=True):
            ladders[i].rungs[level] = (h, difference, size)
        for i in chosen:
            value, error = ladders[i].best()
            known = np.isinf(error) & np.isfinite(errors[:, i]) & (errors[:, i] > 0)  # a one-sided answer stays
            values[:, i], errors[:, i] = np.where(known, values[:, i], value), np.where(known, errors[:, i], error)

    def _settle_zeros(self, problem: Problem, ladders: list, values: Any, errors: Any) -> None:
        """Find the outputs that do not move with a coordinate: their 0 is exact.

        Where f does move far away, the slope there tells why it does not move nearby: too small to show in f's
        digits (a derivative to be found), or large enough to show (f is a staircase: 0 is right).
        """
        still = [ladder for ladder in ladders if np.any(np.all([d == 0 for _, d, _ in ladder.rungs.values()], axis=0))]
        wanted = [(ladder, h) for ladder in still for h in ladder.steps(FAR).values()]
        for ladder in still:
            ladder.flat = True
        found = problem.differences(self.order, [(ladder.line, h) for ladder, h in wanted])
        for (ladder, _), (difference, _) in zip(wanted, found, strict=True):
            h, _, size = ladder.rungs[0]
            hidden = np.isfinite(difference) & (difference != 0) & (np.abs(difference) * h < 8 * ladder.eps * size)
            ladder.flat = ladder.flat & ~hidden
        for i, ladder in enumerate(ladders):
            if ladder.flat is not False:
                values[:, i], errors[:, i] = ladder.best()

    def _fixed_columns(self, problem: Problem, lines: list[Line]) -> tuple[np.ndarray, np.ndarray]:
        wanted = [(line, self._given_step(problem.leaves, line)) for line in lines]
        columns = np.stack([d for d, _ in problem.differences(self.order, wanted)], axis=1)
        return columns, np.full(columns.shape, np.nan)

    def _given_step(self, leaves: list[Leaf], line: Line) -> float:
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

    # -- under another derivative ---------------------------------------------------------------------------------

    def _nested_pullback(self, call: Call, leaves: list, first: Any = None) -> tuple[list, list, Any]:
        """The stencil as arithmetic on the outer derivative's own values, which that derivative then sees through."""
        outputs, aux = first or call(list(leaves))

        def back(y_bars: list) -> list:
            return [self._nested_cotangent(call, leaves, k, y_bars) for k in range(len(leaves))]

        return list(outputs), list(aux), back

    def _nested_cotangent(self, call: Call, leaves: list, k: int, y_bars: list) -> Any:
        x = leaves[k]
        shape, size = np.shape(x), int(np.prod(np.shape(x)))
        units = (1.0, 1j) if np.result_type(x).kind == "c" else (1.0,)
        entries = []
        for i in range(size):
            total: Any = 0.0
            for unit in units:
                direction = np.zeros(size, dtype=type(unit))
                direction[i] = unit
                tangents: list = [None] * len(leaves)
                tangents[k] = direction.reshape(shape)[()]
                dots = self._nested_dots(call, leaves, tangents)
                for y_bar, y_dot in zip(y_bars, dots, strict=True):
                    if y_bar is not None:
                        total = total + unit * np.real(np.sum(np.conj(y_bar) * y_dot))
            entries.append(total)
        flat = np.stack(entries) if is_traced(entries) else np.array(entries)
        return np.reshape(flat, shape) if shape else flat[0]

    def _nested_pushforwards(
        self, call: Call, leaves: list, directions: list, first: Any = None
    ) -> tuple[list, list, list]:
        outputs, aux = first or call(list(leaves))
        return list(outputs), [self._nested_dots(call, leaves, tangents) for tangents in directions], list(aux)

    def _nested_dots(self, call: Call, leaves: list, tangents: list) -> list:
        order = NESTED_ORDER if self.adtype.order is None else self.order
        h = self._nested_step(leaves, tangents)
        total: list = []
        for offset, c in stencil(order):
            sides = []
            for side in (1, -1):
                moved = [
                    x if x_dot is None else x + (side * offset * h) * x_dot
                    for x, x_dot in zip(leaves, tangents, strict=True)
                ]
                sides.append(call(moved)[0])
            part = [(c / h) * (plus - minus) for plus, minus in zip(*sides, strict=True)]
            total = [a + b for a, b in zip(total, part, strict=True)] if total else part
        return total

    def _nested_step(self, leaves: list, tangents: list) -> float:
        """A step from the plain numbers under the traced ones; the outer derivative takes it as a constant."""
        size = speed = 0.0
        for x, x_dot in zip(leaves, tangents, strict=True):
            if x_dot is not None:
                x, x_dot = _numbers(plain(x)), _numbers(plain(x_dot))
                if x is not None and x_dot is not None:
                    moving = np.abs(np.broadcast_to(x, x_dot.shape))[np.abs(x_dot) > 0]
                    size = max(size, float(np.max(moving, initial=0.0)))
                    speed = max(speed, float(np.max(np.abs(x_dot), initial=0.0)))
        if not self.automatic:
            step = np.asarray(self.adtype.step, dtype=float)
            if step.ndim:
                raise UnsupportedError("an array of steps under another derivative: give one number as step, or 'auto'")
            return float(step) / (speed or 1.0)
        return 2.0**-8 * (size or 1.0) / (speed or 1.0)


def _face(leaves: list) -> tuple[list, bool]:
    """The leaves with a framework's traced values behind their NumPy face, and whether there were any."""
    faced = [enter(x) if is_native(x) and _numbers(x) is None else x for x in leaves]
    return faced, any(a is not b for a, b in zip(faced, leaves, strict=True))


def _unface(values: list) -> list:
    return [v.value if isinstance(v, FrameworkArray) else v for v in values]


def _poor(values: np.ndarray, errors: np.ndarray, problem: Problem) -> np.ndarray:
    """The columns with an entry that is not known to the tolerance."""
    with np.errstate(all="ignore"):
        sizes = np.where(np.isfinite(values), np.abs(values), 0.0)
        floor = NEGLIGIBLE * np.max(sizes, axis=1, keepdims=True)
        tolerance = np.maximum(TOLERANCE, 50 * problem.eps)[:, None]
        good = (errors <= tolerance * np.maximum(sizes, floor)) | ~np.isfinite(problem.value)[:, None]
    return np.flatnonzero(~np.all(good, axis=0))


def _coordinates(leaves: list[Leaf], k: int) -> Iterator[Line]:
    """The lines along the coordinates of leaf k: real ones first, then imaginary ones."""
    leaf = leaves[k]
    if leaf.frozen:
        return
    for unit in (1.0, 1j) if leaf.base.dtype.kind == "c" else (1.0,):
        for i in range(leaf.base.size):
            yield Line(leaves, [(k, i, unit)])


def _direction(leaves: list[Leaf], tangents: list) -> Line | None:
    """The line along the tangents; a unit direction is the line along its coordinate."""
    moves: list[tuple[int, Any, Any]] = []
    for k, x_dot in enumerate(tangents):
        velocity = None if x_dot is None or leaves[k].frozen else _numbers(x_dot)
        if velocity is not None and np.any(velocity):
            moves.append((k, ..., np.broadcast_to(velocity, leaves[k].base.shape)))
    if not moves:
        return None
    if len(moves) == 1:
        k, _, velocity = moves[0]
        places = np.flatnonzero(velocity)
        if places.size == 1 and (np.isrealobj(velocity) or not np.real(velocity).any()):
            i = int(places[0])
            return Line(leaves, [(k, i, velocity.reshape(-1)[i].item())])
    return Line(leaves, moves)


def _split(problem: Problem, vector: np.ndarray) -> list:
    """A real vector as tangents of the outputs."""
    dots, start = [], 0
    for y in problem.outputs:
        if y is None:
            dots.append(None)
            continue
        width = y.size * (2 if y.dtype.kind == "c" else 1)
        part = vector[start : start + width]
        start += width
        if y.dtype.kind == "c":
            part = part.view(complex)
        dtype = y.dtype if y.dtype.kind in "fc" else np.dtype(float)
        dots.append(part.astype(dtype).reshape(y.shape)[()])
    return dots


def _pull(problem: Problem, block: np.ndarray, leaf: Leaf, y_bars: list) -> Any:
    """Σ over outputs of Re⟨ȳ, ∂y/∂x⟩, flat over the leaf; complex leaves get ∂/∂x + i ∂/∂y."""
    if leaf.frozen:
        return np.zeros(leaf.base.size)
    total: Any = np.zeros(block.shape[1])
    start = 0
    for y, y_bar in zip(problem.outputs, y_bars, strict=True):
        if y is None:
            continue
        width = y.size * (2 if y.dtype.kind == "c" else 1)
        rows = block[start : start + width]
        start += width
        if y_bar is None:
            continue
        bar = np.reshape(np.broadcast_to(y_bar, y.shape) if np.shape(y_bar) != y.shape else y_bar, -1)
        if y.dtype.kind == "c":
            bar = np.reshape(np.stack([np.real(bar), np.imag(bar)], axis=-1), -1)
        elif not isinstance(bar, Array) and np.iscomplexobj(bar):
            bar = bar.real
        if not isinstance(bar, Array):  # a zero seed gives zero, whatever the derivative
            used = bar != 0
            bar, rows = bar[used], rows[used]
        total = total + bar @ rows
    if leaf.base.dtype.kind == "c":
        half = leaf.base.size
        total = total[:half] + 1j * total[half:]
    return total


# -- errors, asked for -----------------------------------------------------------------------------------------------


class FlatCall:
    """f of one output as a flat call; picklable if f is."""

    def __init__(self, f: Any):
        self.f = f

    def __call__(self, leaves: list) -> tuple[list, list]:
        return [self.f(*leaves)], []


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
    adtype = AutoFiniteDifferences()
    if args and isinstance(args[0], AutoFiniteDifferences):
        adtype, *args = args  # type: ignore[assignment]
    backend = FiniteDifferencesBackend(adtype)
    call = FlatCall(f)
    leaves, outputs, _ = backend._start(call, list(args))
    problem = Problem(call, leaves, outputs, adtype.executor)
    if problem.value.size != 1 or problem.outputs[0].shape != ():
        raise ADSelectTypeError("gradient_with_error needs f to return one real number")
    gradient, error = [], []
    for k, leaf in enumerate(leaves):
        columns, errors = backend.columns(problem, list(_coordinates(leaves, k)))
        gradient.append(leaf.cotangent(_pull(problem, columns, leaf, [1.0])))
        size = leaf.base.size
        flat = np.zeros(size) if leaf.frozen else errors[0, :size]
        if leaf.base.dtype.kind == "c":
            flat = np.hypot(flat, errors[0, size:])
        error.append(flat.reshape(leaf.base.shape)[()])
    return tuple(gradient), tuple(error)
