"""The states of random generators in reach of a function, so that a second run draws what the first one did."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..values.kinds import isa

__all__ = ["RandomStates"]

_DEPTH = 3  # containers that are looked into
Source = tuple[Callable[[], Any], Callable[[Any], Any]]  # how a state is read, and how it is set


class RandomStates:
    """The generators that function and values hold, and those of NumPy and Python that everybody shares.

    What was drawn from while :meth:`noting` was in force is set back within :meth:`repeated`.
    """

    def __init__(self, function: Callable, values: Any):
        self.sources = list(_shared()) + list(_held((function, values), _DEPTH, set()))
        self.drawn: list[tuple[Source, Any]] = []

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Within, the function runs for the first time."""
        before = [(source, source[0]()) for source in self.sources]
        try:
            yield
        except BaseException:  # what is done instead begins where this did
            for (_, restore), state in before:
                restore(state)
            raise
        self.drawn = [(source, state) for source, state in before if not _same(source[0](), state)]

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Within, the function runs again; afterwards the generators go on from where they are."""
        now = [(source, source[0]()) for source, _ in self.drawn]
        for (_, restore), state in self.drawn:
            restore(state)
        try:
            yield
        finally:
            for (_, restore), state in now:
                restore(state)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(_same(a[k], b[k]) for k in a)
    return bool(np.array_equal(a, b)) if isa(a, np.ndarray) else a == b


def _shared() -> Iterator[Source]:
    if "numpy.random" in sys.modules:
        yield functools.partial(np.random.get_state, legacy=False), np.random.set_state
    if "random" in sys.modules:
        module = sys.modules["random"]
        yield module.getstate, module.setstate


def _held(value: Any, depth: int, seen: set[int]) -> Iterator[Source]:
    """The generators in a value: in containers, fields of objects, closures and the globals that a function names."""
    if id(value) in seen or depth < 0 or isa(value, (np.ndarray, str, bytes, int, float, complex, type(None))):
        return
    seen.add(id(value))
    if "numpy.random" in sys.modules and isinstance(value, np.random.Generator):
        bits = value.bit_generator
        yield lambda: bits.state, lambda state: setattr(bits, "state", state)
    elif "numpy.random" in sys.modules and isinstance(value, np.random.RandomState):
        yield functools.partial(value.get_state, legacy=False), value.set_state
    elif "random" in sys.modules and isinstance(value, sys.modules["random"].Random):
        yield value.getstate, value.setstate
    else:
        for part in _parts(value):
            yield from _held(part, depth - 1, seen)


def _parts(value: Any) -> list:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set)):
        return list(value)
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    found: list = [getattr(value, "__self__", None), getattr(value, "__defaults__", None)]
    code = getattr(value, "__code__", None)
    if code is not None:
        names = getattr(value, "__globals__", {})
        found += [names[n] for n in code.co_names if n in names and not isinstance(names[n], type(sys))]
        for cell in getattr(value, "__closure__", None) or ():
            try:
                found.append(cell.cell_contents)
            except ValueError:  # not filled yet
                continue
    elif not isinstance(value, type):
        found.append(getattr(value, "__dict__", None))
    return found
