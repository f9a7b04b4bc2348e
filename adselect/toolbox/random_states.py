"""The states of random generators in reach of a function, so that a second run draws what the first one did."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..values.kinds import isa
from .in_reach import in_reach

__all__ = ["RandomStates"]

Source = tuple[Callable[[], Any], Callable[[Any], Any]]  # how a state is read, and how it is set


class RandomStates:
    """The generators that function and values hold, and those of NumPy and Python that everybody shares.

    What was drawn from while :meth:`noting` was in force is set back within :meth:`repeated`.
    """

    def __init__(self, function: Callable, values: Any):
        self.sources = list(_shared()) + list(_held((function, values)))
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


def _held(values: Any) -> Iterator[Source]:
    """The generators in reach of values."""
    for value in in_reach(values):
        if "numpy.random" in sys.modules and isinstance(value, np.random.Generator):
            yield functools.partial(getattr, value.bit_generator, "state"), _setter(value.bit_generator)
        elif "numpy.random" in sys.modules and isinstance(value, np.random.RandomState):
            yield functools.partial(value.get_state, legacy=False), value.set_state
        elif "random" in sys.modules and isinstance(value, sys.modules["random"].Random):
            yield value.getstate, value.setstate


def _setter(bits: Any) -> Callable[[Any], None]:
    return lambda state: setattr(bits, "state", state)
