"""The second-order operators on finite differences: from second differences of f itself, not of its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InaccurateDerivativeWarning, warn_user
from ...face.dispatch import is_traced
from ...values.kinds import isa
from ..backend import Call
from .curvature import Curvature, Entries, Settled, settled
from .evaluation import Problem
from .nested import face
from .points import Line, coordinates, direction, numbers

if TYPE_CHECKING:
    from .backend import FiniteDifferencesBackend

__all__ = ["SecondDifferences"]

REFINED = 2000  # entries of the matrix at most that are added up where one direction is too coarse
ROUGH = 1e-6  # of the largest entry: products with a larger error are added up from the matrix

Check = Callable[[Any], None]


class SecondDifferences:
    """Hessians, their diagonals and products, and second derivatives along a scalar.

    Every method gives None where f or its arguments belong to an outer derivative. check: raises if f does not return
    a real number. Cost beside f at the point itself, before and after, for real arguments and a smooth f: 8 evaluations
    per coordinate and 8 per pair of coordinates for the matrix, 8 per coordinate for the diagonal, 8 and 16 per
    coordinate for a product; with a given step the stencil's order instead of 8.
    """

    def __init__(self, backend: FiniteDifferencesBackend):
        self.backend = backend

    # -- what operators ask for -----------------------------------------------------------------------------------

    def matrix(self, call: Call, check: Check, leaf: Any, gradient: bool) -> tuple[Any, Any, Any] | None:
        """``(value, gradient if asked for, matrix)``; of a complex leaf x + iy ∂/∂x of its complex gradient."""
        stated = self._stated(call, [leaf], check)
        if stated is None:
            return None
        problem, outputs = stated
        inner, n = problem.leaves[0], problem.leaves[0].base.size
        with problem:
            lines = list(coordinates(problem.leaves, 0))
            problem.keep(lines)
            found = self.hessian(problem, lines, n)
            slopes = None
            if gradient:
                columns, _ = self.backend.columns(problem, lines)
                slopes = inner.cotangent(problem.pull(columns, inner, [1.0]))
        if inner.frozen:
            return outputs[0], slopes, np.zeros((n, n))
        self._tell(problem, "the Hessian", found)
        values = found.values
        return outputs[0], slopes, values if len(lines) == n else values[:n, :n] + 1j * values[n:, :n]

    def hessian(self, problem: Problem, lines: list[Line], rows: int | None = None) -> Settled:
        """The matrix over these lines of an f with one output; rows: how many rows are wanted (the first ones)."""
        curvature = self._curvature(problem, lines)
        n = len(lines)
        entries = curvature.own.map(lambda part: np.diag(part[0]))
        above, beside = np.triu_indices(n, 1)
        wanted = above < (n if rows is None else rows)
        above, beside = above[wanted], beside[wanted]
        pairs = list(zip(above.tolist(), beside.tolist(), strict=True))
        for matrix, row in zip(entries, curvature.between(pairs), strict=True):
            matrix[above, beside] = matrix[beside, above] = row[0]
        problem.explain_nothing(np.diagonal(entries.values)[None])
        weights = np.outer(curvature.scales, curvature.scales)
        found = settled(entries.map(lambda part: part.reshape(1, -1)), weights.reshape(-1), problem.eps)
        return Settled(*[part.reshape(n, n) for part in found])

    def diagonal(self, call: Call, check: Check, leaf: Any) -> Any:
        """∂²f/∂x² of each entry of a leaf, shaped like it; of a complex one as in :meth:`matrix`."""
        stated = self._stated(call, [leaf], check)
        if stated is None:
            return None
        problem, _ = stated
        inner = problem.leaves[0]
        if inner.frozen:
            return np.zeros(inner.base.shape)
        n = inner.base.size
        with problem:
            lines = list(coordinates(problem.leaves, 0))
            curvature = self._curvature(problem, lines)
            entries, weights = curvature.own.map(lambda part: part[:, :n]), curvature.scales[:n] ** 2
            if len(lines) > n:
                across = curvature.between([(i, n + i) for i in range(n)])
                entries = Entries(*[np.hstack(parts) for parts in zip(entries, across, strict=True)])
                weights = np.append(weights, curvature.scales[:n] * curvature.scales[n:])
            problem.explain_nothing(entries.values)
        found = _first_row(settled(entries, weights, problem.eps))
        self._tell(problem, "the diagonal of the Hessian", found)
        values = found.values if len(lines) == n else found.values[:n] + 1j * found.values[n:]
        return values.reshape(inner.base.shape)[()]

    def product(self, call: Call, check: Check, leaves: list, tangents: list) -> list | None:
        """The Hessian times the tangents, one cotangent per leaf."""
        if is_traced(tangents):
            return None
        stated = self._stated(call, leaves, check)
        if stated is None:
            return None
        problem, _ = stated
        groups = [list(coordinates(problem.leaves, k)) for k in range(len(problem.leaves))]
        lines = [line for group in groups for line in group]
        along = direction(problem.leaves, tangents)
        if along is None or not lines:
            flat = np.zeros(len(lines))
        else:
            with problem:
                found = self._product(problem, lines, along, _weights(problem, lines, tangents))
            self._tell(problem, "the Hessian-vector product", found)
            flat = found.values
        products, start = [], 0
        for leaf, group in zip(problem.leaves, groups, strict=True):
            products.append(leaf.cotangent(problem.pull(flat[None, start : start + len(group)], leaf, [1.0])))
            start += len(group)
        return products

    def _product(self, problem: Problem, lines: list[Line], along: Line, weights: np.ndarray) -> Settled:
        """The product over these lines; weights: of each line in the direction."""
        places = np.flatnonzero(weights)
        if len(places) == 1:
            return self._column(problem, lines, int(places[0]), float(weights[places[0]]))
        n = len(lines)
        if np.ndim(self.backend.adtype.step) and not self.backend.automatic:  # a step per coordinate, none for this one
            return self._added(problem, lines, weights)
        curvature = self._curvature(problem, [*lines, along])
        entries = curvature.between([(i, n) for i in range(n)])
        problem.explain_nothing(entries.values)
        found = _first_row(settled(entries, curvature.scales[:n] * along.scale, problem.eps))
        largest = np.max(np.abs(found.values[np.isfinite(found.values)]), initial=0.0)
        rough = (found.errors > ROUGH * largest) & (found.values != 0) | found.doubtful
        if not np.any(rough) or n * len(places) > REFINED:
            return found
        # One step cannot suit coordinates of very different scales.
        other = self._added(problem, lines, weights)
        better = other.errors < found.errors
        return Settled(*[np.where(better, b, a) for a, b in zip(found, other, strict=True)])

    def _column(self, problem: Problem, lines: list[Line], k: int, weight: float) -> Settled:
        """One column of the matrix, times a weight."""
        curvature = self._curvature(problem, lines)
        others = [i for i in range(len(lines)) if i != k]
        across = curvature.between([(k, i) for i in others])
        own = curvature.own
        entries = Entries(*[np.insert(a, k, b[:, k], axis=1) for a, b in zip(across, own, strict=True)])
        problem.explain_nothing(entries.values)
        found = _first_row(settled(entries, curvature.scales * curvature.scales[k], problem.eps))
        return Settled(weight * found.values, abs(weight) * found.errors, found.doubtful)

    def _added(self, problem: Problem, lines: list[Line], weights: np.ndarray) -> Settled:
        """The product as a sum over the matrix."""
        matrix = self.hessian(problem, lines)
        moving = weights != 0
        total = matrix.values[:, moving] @ weights[moving]
        errors = matrix.errors[:, moving] @ np.abs(weights[moving])
        return Settled(total, errors, np.any(matrix.doubtful[:, moving], axis=1) & (errors > 1e-3 * np.abs(total)))

    def along(self, call: Call, x: Any, tangent: Any) -> tuple[list, list] | None:
        """``(outputs, second derivatives of all of them)`` along a scalar."""
        stated = self._stated(call, [x], None)
        if stated is None:
            return None
        problem, outputs = stated
        line = direction(problem.leaves, [tangent])
        if line is None or not problem.value.size:
            return outputs, problem.split(np.zeros(problem.value.size))
        with problem:
            curvature = self._curvature(problem, [line])
            problem.explain_nothing(curvature.own.values)
        found = settled(curvature.own, curvature.scales**2, problem.eps)
        self._tell(problem, "the second derivative", found)
        return outputs, problem.split(found.values[:, 0])

    # -- the parts ------------------------------------------------------------------------------------------------

    def _stated(self, call: Call, leaves: list, check: Check | None) -> tuple[Problem, list] | None:
        """f at the leaves, and what it returned there."""
        if is_traced(face(leaves)[0]):
            return None
        inner, outputs, _, seconds = self.backend.start(call, leaves)
        if is_traced(outputs):
            return None
        if check is not None:
            check(outputs[0])
        return Problem(call, inner, outputs, self.backend.executor, seconds), outputs

    def _curvature(self, problem: Problem, lines: list[Line]) -> Curvature:
        backend = self.backend
        given = None if backend.automatic else lambda line: backend.given_step(problem.leaves, line)
        return Curvature(problem, lines, backend.order, backend.extrapolate, given)

    def _tell(self, problem: Problem, what: str, found: Settled) -> None:
        """Warn where noise decides, of what f is finite."""
        if not np.any(found.doubtful) or not np.all(np.isfinite(problem.value)):
            return
        shown = np.where(found.doubtful, np.where(np.isnan(found.values), np.inf, found.errors), -1.0)
        worst = np.unravel_index(int(np.argmax(shown)), shown.shape)
        place = f"[{', '.join(str(int(i)) for i in worst)}]: " if found.values.size > 1 else ""
        largest = np.max(np.abs(found.values[np.isfinite(found.values)]), initial=0.0)
        warn_user(
            f"finite differences: {int(np.sum(found.doubtful))} of {found.values.size} entries of {what} are not known "
            f"to three digits; the worst is {place}{found.values[worst]:.3g} ± {found.errors[worst]:.1g}, the largest "
            f"{largest:.3g}. Near the point f is noisy, or it bends, jumps or is not defined on both sides. "
            "Differentiate with a backend that follows the operations of f, such as AutoTape(), or compute f to more "
            "digits, or give a step at which its noise is small: AutoFiniteDifferences(step=…). The errors of all "
            "entries: adselect.backends.finite_differences.backend.hessian_with_error",
            InaccurateDerivativeWarning,
        )


def _first_row(found: Settled) -> Settled:
    return Settled(*[part[0] for part in found])


def _weights(problem: Problem, lines: list[Line], tangents: list) -> np.ndarray:
    """How much of each coordinate line there is in the tangents."""
    flat: list[Any] = [
        None if x_dot is None else np.broadcast_to(np.asarray(numbers(x_dot)), leaf.base.shape).reshape(-1)
        for x_dot, leaf in zip(tangents, problem.leaves, strict=True)
    ]
    found = []
    for line in lines:
        k, i, unit = line.moves[0]
        part = 0.0 if flat[k] is None else flat[k][i]
        found.append(float(np.imag(part) if isa(unit, complex) else np.real(part)))
    return np.array(found)
