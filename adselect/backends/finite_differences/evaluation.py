"""Evaluating f near the point: silently, over an executor if there is one, NaN where f is not defined.

A probe leaves no trace. Warnings of f at a moved point are dropped, its exceptions make a NaN, NumPy's error state is
put back, and after the last probe f is evaluated once more at the point itself: what f keeps elsewhere (in a container
it captured, on an object) is then what a plain call would have left there last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from ...errors import ADSelectValueError
from ...face.array import Array
from ...values.kinds import isa
from ..backend import Call
from .points import FIRST_STEP, RATIO, Leaf, Line, numbers
from .probing import Failure, evaluate, this_process
from .spreading import Spread
from .stencils import one_sided_stencil, second_stencil, stencil

__all__ = ["Problem"]

# -- f at the point and near it --------------------------------------------------------------------------------------


class Problem:
    """f at a point: the leaves, the unperturbed outputs, and f at other points as one real vector.

    A context manager: leaving it evaluates f at the point itself, if it was evaluated in this process elsewhere.
    """

    def __init__(self, call: Call, leaves: list[Leaf], outputs: list, executor: Any, seconds: float):
        """seconds: how long f took at the point."""
        self.call, self.leaves = call, leaves
        self.spread = None if executor is None else Spread(executor, call, leaves, seconds)
        self.outputs: list[Any] = [numbers(y) for y in outputs]
        self.value: np.ndarray = self._vector(self.outputs)
        self.eps = np.concatenate([np.zeros(0), *[_eps(y) for y in self.outputs if y is not None]])
        self.moved = False  # whether f last saw another point than x, in this process
        # The first exception that does not merely say: outside the domain; and where.
        self.failure: tuple[Failure, Line, complex] | None = None
        self.kept: dict[int, tuple[Line, dict[float, np.ndarray]]] = {}  # values on lines that are asked for again

    def __enter__(self) -> Self:
        if any(leaf.narrow for leaf in self.leaves):
            try:
                self._widen()
            except BaseException as error:
                self.__exit__(type(error), error)
                raise
        return self

    def __exit__(self, kind: Any, error: Any = None, traceback: Any = None) -> None:
        if self.moved and (kind is None or issubclass(kind, Exception)):
            outputs = evaluate(self.call, [leaf.plain() for leaf in self.leaves])
            if isa(outputs, Failure):  # 1 / 0.0 is an error in Python and none in NumPy
                evaluate(self.call, [leaf.unperturbed() for leaf in self.leaves])
            self.moved = False

    def _widen(self) -> None:
        """Evaluate in double precision where the arguments have single, if f takes it."""
        self.moved = True
        outputs = evaluate(self.call, [leaf.build(leaf.base) for leaf in self.leaves])
        try:
            vector: Any = self._vector(outputs) if isa(outputs, list) else None
        except ADSelectValueError:
            vector = None
        if vector is not None:
            known: Any = outputs
            self.eps = np.concatenate([np.zeros(0), *[_eps(y) for y in known if y is not None]])
            self.value = vector
        else:
            for leaf in self.leaves:
                if leaf.narrow:
                    leaf.keep_precision()

    def _vector(self, outputs: Any) -> np.ndarray:
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
        new = [(line, t) for line, t in points if id(line) not in self.kept or t not in self.kept[id(line)][1]]
        fresh = iter(self._at(new))
        found = []
        for line, t in points:
            if id(line) not in self.kept:
                found.append(next(fresh))
                continue
            values = self.kept[id(line)][1]
            if t not in values:
                values[t] = next(fresh)
            found.append(values[t])
        return found

    def keep(self, lines: list[Line]) -> None:
        """Remember the values on these lines: first and second differences have points in common."""
        self.kept |= {id(line): (line, {}) for line in lines}

    def _at(self, points: list[tuple[Line, float]]) -> list[np.ndarray]:
        nowhere = np.full(self.value.size, np.nan)
        found: list[np.ndarray] = []
        for (line, t), result in zip(points, self._run(points), strict=True):
            if isa(result, Failure):
                if not result.outside and self.failure is None:
                    self.failure = result, line, t
                found.append(nowhere)
            else:
                found.append(self._vector(result))
        return found

    def _run(self, points: list[tuple[Line, Any]]) -> Iterator[list | Failure]:
        """The outputs of f at the points, or what it raised there."""
        if self.spread is None:
            self.moved = self.moved or bool(points)
            for line, t in points:
                yield evaluate(self.call, line.point(self.leaves, t))
            return
        for process, result in self.spread.results(points):
            self.moved = self.moved or process == this_process()
            yield result

    def explain_nothing(self, values: np.ndarray) -> None:
        """Raise where f failed near the point, in another way than outside its domain, and no derivative came out."""
        lost = np.isnan(values) & np.isfinite(self.value)[:, None]
        if self.failure is not None and np.any(np.all(lost, axis=0)) and lost.size:
            failure, line, t = self.failure
            place = line.moved_by(self.leaves, t, getattr(getattr(self.call, "skeleton", None), "paths", ()))
            raise ADSelectValueError(
                "finite differences need f at points near its arguments, and f, which can be evaluated at the "
                f"arguments themselves, raised there: {failure.said}. First where {place}. Opt that argument out "
                "with Const(x), or use a backend that follows the operations of f instead of its values"
            ) from failure.error

    # -- its outputs as one vector, and back ---------------------------------------------------------------------

    def split(self, vector: np.ndarray) -> list:
        """A real vector as tangents of the outputs."""
        dots, start = [], 0
        for y in self.outputs:
            if y is None:
                dots.append(None)
                continue
            width = y.size * (2 if y.dtype.kind == "c" else 1)
            part = vector[start : start + width]
            start += width
            if y.dtype.kind == "c":
                part = np.ascontiguousarray(part).view(complex)
            dtype = y.dtype if y.dtype.kind in "fc" else np.dtype(float)
            dots.append(part.astype(dtype).reshape(y.shape)[()])
        return dots

    def pull(self, block: np.ndarray, leaf: Leaf, y_bars: list) -> Any:
        """Σ over outputs of Re⟨ȳ, ∂y/∂x⟩, flat over the leaf; complex leaves get ∂/∂x + i ∂/∂y."""
        if leaf.frozen:
            return np.zeros(leaf.base.size)
        total: Any = np.zeros(block.shape[1])
        start = 0
        for y, y_bar in zip(self.outputs, y_bars, strict=True):
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

    # -- differences ----------------------------------------------------------------------------------------------

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

    def second_differences(self, order: int, wanted: list[tuple[Line, float]]) -> list[tuple]:
        """``(h² f″, size, span)`` by the central difference for every (line, step).

        size: of the values that it is made of; span: how far the next ones are from that at the point.
        """
        _, rows = second_stencil(order)
        points = [(line, side * o * h) for line, h in wanted for o, _ in rows for side in (1, -1)]
        values = iter(self.at(points))
        results = []
        with np.errstate(all="ignore"):
            for _ in wanted:
                total, size, span = 0.0, np.abs(self.value), None
                for _, c in rows:
                    plus, minus = next(values), next(values)
                    size = np.fmax(size, np.fmax(np.abs(plus), np.abs(minus)))
                    # Differences from f(x) first: what they have in common goes without rounding.
                    plus, minus = plus - self.value, minus - self.value
                    total = total + c * (plus + minus)
                    span = np.fmax(np.abs(plus), np.abs(minus)) if span is None else span
                results.append((total, size, span))
        return results

    def one_sided(self, line: Line, derivative: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
        """The derivative, first or second, on each side of the point alone, with its error."""
        rows = one_sided_stencil(4, derivative)
        levels = range(2, 20) if derivative == 1 else range(1, 14)
        steps = [h for k in levels if (h := line.step(line.scale * FIRST_STEP * RATIO**-k)) > 0.0]
        found = []
        for side in (1.0, -1.0):
            values = self.at([(line, side * o * h) for h in steps for o, _ in rows if o])
            table, noise = [], []
            with np.errstate(all="ignore"):
                for k, h in enumerate(steps):
                    some = [self.value, *values[k * (len(rows) - 1) : (k + 1) * (len(rows) - 1)]]
                    table.append(sum(c * y for (_, c), y in zip(rows, some, strict=True)) / (side * h) ** derivative)
                    noise.append((8, 40)[derivative - 1] * self.eps * np.max(np.abs(some), axis=0) / h**derivative)
                found.append(_settling(np.array(table), np.array(noise)))
        return found

    def across(self, one: Line, other: Line) -> tuple[np.ndarray, np.ndarray]:
        """∂²f along two lines, with its error, from a corner that f is defined in: the best of the four."""
        best, best_error = np.full(self.value.size, np.nan), np.full(self.value.size, np.inf)
        steps = [FIRST_STEP * RATIO**-k for k in range(1, 12)]
        for s in (one.scale, -one.scale):
            for t in (other.scale, -other.scale):
                corner = one.plus(other, s, t)
                values = self.at([p for h in steps for p in ((corner, h), (one, s * h), (other, t * h))])
                with np.errstate(all="ignore"):
                    table, noise = [], []
                    for k, h in enumerate(steps):
                        some = values[3 * k : 3 * k + 3]
                        both, first, second = [y - self.value for y in some]
                        table.append((both - first - second) / (s * t * h * h))
                        sizes = np.max(np.abs([self.value, *some]), axis=0)
                        noise.append(16 * self.eps * sizes / (abs(s * t) * h * h))
                    d = np.array(table)
                    d = d[1:] + (d[1:] - d[:-1]) / (RATIO - 1)  # the error of a corner is of first order
                    value, error = _settling(d, np.array(noise[1:]))
                    better = error < best_error
                    best, best_error = np.where(better, value, best), np.where(better, error, best_error)
        return best, best_error

    def imaginary(self, lines: list[Line]) -> list[np.ndarray | None]:
        """Im f(x + ih·v)/h along each line, or None where f does not take complex numbers."""
        steps = [self._imaginary_step(line) for line in lines]
        results = self._run([(line, h * 1j) for line, h in zip(lines, steps, strict=True) if h])
        return [self._imaginary_part(next(results), h) if h else None for h in steps]

    def _imaginary_step(self, line: Line) -> float:
        """The step along the imaginary axis; 0 where there is no such axis to go along."""
        h = line.scale * 2.0**-66
        leaves = [self.leaves[k] for k, _, _ in line.moves]
        if not 0.0 < h < np.inf or any(y is not None and y.dtype.kind == "c" for y in self.outputs):
            return 0.0
        if any(leaf.base.dtype.kind == "c" or isa(leaf.original, (int, np.integer)) for leaf in leaves):
            return 0.0
        return h

    def _imaginary_part(self, outputs: list | Failure, h: float) -> np.ndarray | None:
        if isa(outputs, Failure):
            return None
        try:
            z = np.concatenate([p.reshape(-1).astype(complex) for p in outputs if isa(p, np.ndarray)])
        except ValueError:
            return None
        if z.shape != self.value.shape:
            return None
        same = np.abs(z.real - self.value) <= 1e-6 * np.abs(self.value) + 1e-300
        return np.where(same, z.imag / h, np.nan)


def _settling(table: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The entry of a table of shrinking steps that moved least, and its error; infinite where it keeps growing."""
    moved = np.abs(np.diff(table, axis=0)) + noise[1:]
    moved = np.where(np.isfinite(moved), moved, np.inf)
    winner = np.argmin(moved, axis=0)[None]
    value, error = np.take_along_axis(table[1:], winner, 0)[0], np.take_along_axis(moved, winner, 0)[0]
    # A slope that keeps growing while the step shrinks, as that of sqrt at 0, is infinite.
    grows = np.all(np.abs(table[-6:-1]) * 1.3 < np.abs(table[-5:]), axis=0) & np.isfinite(table[-1])
    grows &= np.abs(table[-1]) > 1e3 * noise[-1]  # what rounding leaves grows, too
    return np.where(grows, np.sign(table[-1]) * np.inf, value), np.where(grows, 0.0, error)


def _eps(y: np.ndarray) -> np.ndarray:
    eps = np.finfo(y.dtype).eps if y.dtype.kind in "fc" else np.finfo(float).eps
    return np.full(y.size * (2 if y.dtype.kind == "c" else 1), float(eps))
