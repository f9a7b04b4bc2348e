"""Which JAX transformation a tracer belongs to, and whether it is over."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
from jax.core import Tracer
from jax.extend.core import set_current_trace

from ...errors import user_line
from ...face.traced import Traced
from ..framework_array import Selections

__all__ = ["COVERING", "NESTING", "NO_VALUE", "SELECTIONS", "close", "opened", "texts_known", "under_jit"]


CONFIG = jax.config
SELECTIONS = Selections()


class Covering(threading.local):
    """Whether f, of the innermost call on this thread, is NumPy code that may meet native arrays it has captured."""

    on = False


COVERING = Covering()


class Nesting(threading.local):
    """Bits of a dependency mask taken by the calls under way on this thread: an inner call must not reuse them."""

    bits = 0

    def __init__(self) -> None:
        self.calls: list[Any] = []  # those of f under way

    def enclose(self) -> None:
        """Note that f has taken a derivative itself."""
        for call in self.calls:
            call.enclosing = True


NESTING = Nesting()

# What JAX raises when it is asked for a value that is not there yet.
NO_VALUE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def under_jit(what: str, place: str = "") -> str:
    """The sentence for something that needs a value while JAX compiles."""
    return (
        f"{what} needs the value of a traced array at {place or user_line()}, and there is none while JAX compiles or "
        "batches (a prepared call, jax.jit, jax.vmap, lax control flow). Write np.where(condition, a, b) instead of a "
        "Python branch and keep shapes fixed; or call the operator unprepared and outside jax.jit (for a prepared "
        "call: AutoJax(jit=False)), where f runs eagerly."
    )


class _Texts(threading.local):
    """Whether the text of a value that JAX compiles for may be its name, on this thread."""

    known = True


TEXTS = _Texts()


@contextlib.contextmanager
def texts_known(known: bool) -> Iterator[None]:
    """Where not, ``str(x)`` of a value without numbers is an error."""
    before, TEXTS.known = TEXTS.known, known
    try:
        yield
    finally:
        TEXTS.known = before


# JAX does not say of a tracer that escaped that its derivative is over, and knows the traces of its own thread only.
_over: weakref.WeakSet = weakref.WeakSet()
_depths: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def opened(tracers: Iterable, depth: int) -> set:
    """The JAX traces behind the leaves f is about to be run on, ``depth`` derivatives deep."""
    traces = {v._trace for v in tracers if isinstance(v, Tracer)}
    _depths.update(dict.fromkeys(traces, depth))
    return traces


def close(traces: set) -> None:
    """Say that these traces have ended: values that f stored somewhere are plain values from now on."""
    _over.update(traces)


def is_over(value: Any) -> bool:
    """Whether value is a tracer of a derivative that is over."""
    return isinstance(value, Tracer) and value._trace in _over


def anywhere(method: Callable, afterwards: Callable | None = None) -> Callable:
    """An operation that also works in a thread that f started: in 64-bit mode and in the trace of its operands.

    ``afterwards`` carries it out once the derivative is over.
    """

    def call(self: Any, *args: Any) -> Any:
        if not CONFIG.jax_enable_x64:
            with jax.enable_x64(True):
                return call(self, *args)
        try:
            return method(self, *args)
        except jax.errors.UnexpectedTracerError:
            traces = {v._trace for v in _tracers((self, args))}
            if not traces.isdisjoint(_over):
                if afterwards is None:
                    raise
                return afterwards(self, *args)
            with set_current_trace(max(traces, key=lambda trace: _depths.get(trace, -1))):
                return method(self, *args)

    return call


def _tracers(value: Any) -> Iterator[Any]:
    """The JAX tracers among operands."""
    if isinstance(value, Traced):
        value = value._primal
    if isinstance(value, Tracer):
        yield value
    elif type(value) in (list, tuple):
        for v in value:
            yield from _tracers(v)
    elif type(value) is dict:
        yield from _tracers(list(value.values()))
