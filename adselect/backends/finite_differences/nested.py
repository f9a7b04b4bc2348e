"""Finite differences under another derivative: the stencil as arithmetic that the outer derivative sees through."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.entering import enter
from ...errors import ADSelectError, ADSelectValueError, UnsupportedError
from ...face.dispatch import is_traced, plain
from ...values.natives import is_native
from ..backend import Call
from ..framework_array import FrameworkArray
from .points import numbers
from .probing import SILENCE
from .stencils import stencil

__all__ = ["Nested", "face", "unface"]

ORDER = 6  # of the stencil, where none is given


class Nested:
    """One plain stencil with a step from the plain numbers under the traced ones.

    order, step: as in the choice; step may be ``"auto"``, order None.
    """

    def __init__(self, order: int | None, step: Any):
        self.order, self.step = ORDER if order is None else order, step

    def pullback(self, call: Call, leaves: list, first: Any = None) -> tuple[list, list, Any]:
        """As of a backend; first: the outputs and aux of f, where it has been evaluated."""
        outputs, aux = first or call(list(leaves))

        def back(y_bars: list) -> list:
            cotangents = [self._cotangent(call, leaves, k, y_bars) for k in range(len(leaves))]
            _probe(call, leaves)  # f keeps what it saw last
            return cotangents

        return list(outputs), list(aux), back

    def _cotangent(self, call: Call, leaves: list, k: int, y_bars: list) -> Any:
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
                dots = self._dots(call, leaves, tangents)
                for y_bar, y_dot in zip(y_bars, dots, strict=True):
                    if y_bar is not None:
                        total = total + unit * np.real(np.sum(np.conj(y_bar) * y_dot))
            entries.append(total)
        flat = np.stack(entries) if is_traced(entries) else np.array(entries)
        return np.reshape(flat, shape) if shape else flat[0]

    def pushforwards(self, call: Call, leaves: list, directions: list, first: Any = None) -> tuple[list, list, list]:
        """As of a backend; first: the outputs and aux of f, where it has been evaluated."""
        outputs, aux = first or call(list(leaves))
        dots = [self._dots(call, leaves, tangents) for tangents in directions]
        _probe(call, leaves)  # f keeps what it saw last
        return list(outputs), dots, list(aux)

    def _dots(self, call: Call, leaves: list, tangents: list) -> list:
        h = self._step(leaves, tangents)
        total: list = []
        for offset, c in stencil(self.order):
            sides = []
            for side in (1, -1):
                moved = [
                    x if x_dot is None else x + (side * offset * h) * x_dot
                    for x, x_dot in zip(leaves, tangents, strict=True)
                ]
                sides.append(_probe(call, moved))
            part = [(c / h) * (plus - minus) for plus, minus in zip(*sides, strict=True)]
            total = [a + b for a, b in zip(total, part, strict=True)] if total else part
        return total

    def _step(self, leaves: list, tangents: list) -> float:
        """The outer derivative takes it as a constant."""
        size = speed = 0.0
        for x, x_dot in zip(leaves, tangents, strict=True):
            if x_dot is not None:
                x, x_dot = numbers(plain(x)), numbers(plain(x_dot))
                if x is not None and x_dot is not None:
                    moving = np.abs(np.broadcast_to(x, x_dot.shape))[np.abs(x_dot) > 0]
                    size = max(size, float(np.max(moving, initial=0.0)))
                    speed = max(speed, float(np.max(np.abs(x_dot), initial=0.0)))
        if not isinstance(self.step, str):
            step = np.asarray(self.step, dtype=float)
            if step.ndim:
                raise UnsupportedError("an array of steps under another derivative: give one number as step, or 'auto'")
            return float(step) / (speed or 1.0)
        return 2.0**-8 * (size or 1.0) / (speed or 1.0)


def _probe(call: Call, leaves: list) -> list:
    """The outputs of f, without its warnings."""
    with SILENCE, np.errstate(all="ignore"):
        try:
            return call(list(leaves))[0]
        except ADSelectError:
            raise
        except Exception as error:
            raise ADSelectValueError(
                "finite differences under another derivative take one plain stencil, and f, which can be evaluated at "
                f"its arguments, raised at a point of it: {type(error).__name__}: {error}. Give a smaller step, "
                "AutoFiniteDifferences(step=…), or let another backend differentiate f"
            ) from error


def face(leaves: list) -> tuple[list, bool]:
    """The leaves with a framework's traced values behind their NumPy face, and whether there were any."""
    faced = [enter(x) if is_native(x) and numbers(x) is None else x for x in leaves]
    return faced, any(a is not b for a, b in zip(faced, leaves, strict=True))


def unface(values: list) -> list:
    """The framework's own arrays again."""
    return [v._primal if isinstance(v, FrameworkArray) else v for v in values]
