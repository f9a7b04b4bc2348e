"""AutoTape: the built-in engine in reverse mode."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..array import Array, absorb
from ..kinds import isa
from ..natives import is_native, natives_of
from ..tape.forward import enclose
from ..tape.reverse import pull_back
from ..tape.trace import TapeArray, Trace
from .base import Backend, Call, FrameworkArray
from .forward import behind_faces, push_forward

__all__ = ["TapeBackend", "enter"]

_FLOAT64 = np.dtype(np.float64)
_LARGE = 100_000  # entries of a leaf from which freeing the records on the way back pays


def enter(leaf: Any) -> Any:
    """The value the engine computes with for a leaf.

    Python floats become NumPy scalars, so that 1/0 and (-1)**0.5 mean what they mean in NumPy. A tracer of another
    framework is put behind its NumPy face: the engine then runs on top of it.
    """
    kind = type(leaf)
    if kind is float:
        return np.float64(leaf)
    if kind is np.ndarray or kind is int or isa(leaf, (Array, np.generic, Fraction)):
        return leaf if kind is not np.ndarray or leaf.dtype.isnative else leaf.astype(leaf.dtype.newbyteorder("="))
    if kind is complex:
        return np.complex128(leaf)
    natives = natives_of(leaf)
    return leaf if natives is None else natives.face(leaf)


def as_floats(leaf: Any) -> tuple[Any, Any]:
    """``(value, integers)``: an array of integers as its float64 values, so that nothing wraps, and what it is.

    integers is None for anything else. A Python int stays what it is, as Python's arithmetic does not wrap.
    """
    if isinstance(leaf, Array):
        if leaf.dtype.kind in "iu" and not isa(getattr(leaf, "concrete", None), int):
            return np.astype(leaf, np.float64), leaf  # type: ignore[call-overload]
        return leaf, leaf if leaf._integers() is not None else None
    if isa(leaf, (np.ndarray, np.integer)) and leaf.dtype.kind in "iu":
        return leaf.astype(np.float64), leaf.astype(np.int64)
    return leaf, None


class TapeBackend(Backend):
    """Reverse mode by an eager tape; forward mode and Hessian columns by dual arrays over it."""

    reverse = True
    forward = True

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        values: list = []
        integers: dict[int, Any] = {}
        native = covered = by_reference = large = False
        for i, leaf in enumerate(leaves):
            kind = type(leaf)
            if kind is np.ndarray and leaf.dtype is _FLOAT64:
                large = large or leaf.size >= _LARGE
            elif kind is float:
                leaf = np.float64(leaf)
            else:
                if isinstance(leaf, Array):
                    covered = True
                    by_reference = by_reference or leaf._by_reference
                else:
                    native = native or is_native(leaf)
                    leaf = enter(leaf)
                leaf, integers[i] = as_floats(leaf)
                large = large or (type(leaf) is np.ndarray and leaf.size >= _LARGE)
            values.append(leaf)
        # Native arrays given: native arrays come back, also where a framework traces them with its face in between.
        native = native and not covered
        trace = Trace(by_reference)
        if covered:
            enclose(values)
        for i, value in enumerate(values):
            if type(value) is np.ndarray:
                values[i] = trace.keep(value)
        try:
            outputs, aux = call([trace.leaf(v, integers.get(i)) for i, v in enumerate(values)])
            places, plain_outputs, extras = [], [], []
            for output in outputs:
                if type(output) is np.ndarray:
                    output = _absorbed(output)
                places.append(output.place if type(output) is TapeArray and output._trace is trace else -1)
                plain_outputs.append(_handed_out(output, trace))
        finally:
            trace.open = False
        n = trace.next_place()
        for value in aux:
            extras.append(_handed_out(value, trace))
        if native:
            plain_outputs, extras = [_uncovered(o) for o in plain_outputs], [_uncovered(a) for a in extras]

        by_place = {place: y for place, y in zip(places, plain_outputs, strict=True) if place >= 0}

        def back(y_bars: list, *, last: bool = False) -> list:
            if trace.watched:
                trace.check_watched()
            seeds: dict[int, Any] = dict.fromkeys(trace.selecting, 0.0)
            for place, y_bar in zip(places, y_bars):  # noqa: B905 -- as many seeds as outputs, from the operators
                if place >= 0 and y_bar is not None:
                    if by_reference and not isinstance(y_bar, Array):
                        y_bar = constant_of(values, y_bar)
                    seeds[place] = y_bar if place not in seeds else seeds[place] + y_bar
            if native:
                seeds = {k: enter(s) if is_native(s) else s for k, s in seeds.items()}
            grads = pull_back(
                trace.records, n, len(values), seeds, values, by_place, trace.nested, consume=last and large
            )
            return [_uncovered(g) for g in grads] if native else grads

        return plain_outputs, extras, back

    def pull_once(self, back: Callable, y_bars: list) -> list:
        # A subclass may have put a function of its own around back.
        return back(y_bars, last=True) if getattr(back, "__kwdefaults__", None) else back(y_bars)

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        """A replayed version of the operator, or None where replay was declined.

        A pullback returns a function of seeds that are not known yet: it stays eager.
        """
        if not self.adtype.replay or getattr(operator, "__name__", "") == "pullback":  # type: ignore[attr-defined]
            return None
        from ..tape.prepared import ReplayedOperator

        return ReplayedOperator(operator, f, self.adtype, args, options, check)  # type: ignore[arg-type]

    def why_plain(self, operator: Callable) -> str:
        """Why a prepared operator is the plain call here."""
        if not self.adtype.replay:  # type: ignore[attr-defined]
            return "AutoTape(replay=False) asks for eager calls"
        return "pullback returns a function of seeds that are not known yet; prepare gradient, jacobian or hvp"

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        return push_forward(call, leaves, directions, None)

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        return behind_faces(super().linearized_matrix, call, leaves)


def constant_of(values: list, seed: Any) -> Any:
    """Under tracing for replay: the seed as a constant of the traced program."""
    for value in values:
        while isinstance(value, Array) and not hasattr(value, "program"):
            value = value.value
        if isinstance(value, Array):
            return value.program.constant(seed)  # type: ignore[attr-defined]
    return seed


def _absorbed(output: Any) -> Any:
    return absorb(output) if type(output) is np.ndarray and output.dtype == object else output


def _uncovered(value: Any) -> Any:
    """The framework's own array behind its face."""
    return value.value if isinstance(value, FrameworkArray) else value


def _handed_out(value: Any, trace: Trace) -> Any:
    """An output in memory of its own: the records and the caller's arrays are out of reach of whoever writes to it."""
    value = _leave(value, trace)
    return value.copy("K") if type(value) is np.ndarray else value


def _leave(value: Any, trace: Trace) -> Any:
    """An output without this trace."""
    if type(value) is TapeArray and value._trace is trace:
        return value.value
    if type(value) is np.ndarray and value.dtype == object:
        return _leave(absorb(value), trace)
    return value
