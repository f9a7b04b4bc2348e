"""autograd's traces under our numbering, and whether one is being written down for the careful pass."""

from __future__ import annotations

import threading
from typing import Any

from autograd.tracer import isbox, trace_stack


class _Traces:
    """Which of autograd's trace numbers are ours and open.

    autograd numbers its traces by depth and keeps the deepest in one global. Ours are multiples of ``STRIDE``, counted
    upwards without reuse, so that a value that outlives its trace is recognised and the user's own traces fit between.
    The global is put back also after an exception, and stays the deepest open trace while several threads work.
    """

    STRIDE = 1 << 20

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.latest = 0
        # Per open trace the nodes of scalars compared with one another: they decide a selection (Python's min and
        # max), which depends on them with slope zero.
        self.open: dict[int, list] = {}
        self.before: dict[int, int] = {}  # closed out of order -> what was the deepest before

    def start(self) -> tuple[int, int]:
        """``(number, the deepest trace before)``."""
        with self.lock:
            before = trace_stack.top
            trace = self.latest = (max(self.latest, before) // self.STRIDE + 1) * self.STRIDE
            self.open[trace] = []
            trace_stack.top = trace
        return trace, before

    def end(self, trace: int, before: int) -> list:
        """Close a trace; the nodes that decided selections on it."""
        with self.lock:
            selecting = self.open.pop(trace)
            if any(t > trace for t in self.open):  # another thread's, still running
                self.before[trace] = before
            else:
                while before in self.before:
                    before = self.before.pop(before)
                trace_stack.top = before
        return selecting

    def is_open(self, box: Any) -> bool:
        """Whether a Box belongs to a derivative still being computed, ours or the user's own."""
        trace = box._trace
        return trace in self.open if trace and trace % self.STRIDE == 0 else trace <= trace_stack.top


TRACES = _Traces()


def settle(value: Any) -> Any:
    """value without the Boxes of derivatives that are over."""
    while isbox(value) and not TRACES.is_open(value):
        value = value._value
    return value


class _Mode(threading.local):
    """How the vjps run on this thread: with strong zeros, a cotangent of 0 contributes 0 whatever the derivative."""

    strong = False
    shared = False  # by the shared rules only: what they record can be pulled back with strong zeros again
    depth = 0  # derivatives under way
    encloses = False  # whether the innermost one of them has had another inside


MODE = _Mode()
