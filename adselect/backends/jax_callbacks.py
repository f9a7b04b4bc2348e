"""Calls from compiled JAX code back into Python, and what they raise.

JAX turns an exception of a callback into one of its own, with the original as text. Where the call is ours the
original is raised in its place.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax

__all__ = ["call_back", "original_error", "original_errors"]

# The newest exceptions of callbacks, on any thread: JAX runs them on its own.
_raised: collections.deque = collections.deque(maxlen=4)


def call_back(host: Callable, shapes: list, *operands: Any, vmap_method: str = "sequential") -> list:
    """``jax.pure_callback`` that remembers what host raised."""

    def remembering(*arrays: Any) -> Any:
        try:
            return host(*arrays)
        except Exception as error:
            _raised.append(error)
            raise

    return jax.pure_callback(remembering, shapes, *operands, vmap_method=vmap_method)


def original_error(error: Exception) -> Exception | None:
    """The exception of a callback that this one of JAX's stands for."""
    text = str(error)
    for k, candidate in enumerate(_raised):
        if candidate is error:  # it came through as it was
            del _raised[k]
            return None
        if text.rstrip().endswith(f"{type(candidate).__name__}: {candidate}".rstrip()):
            del _raised[k]
            return candidate
    return None


@contextmanager
def original_errors() -> Iterator[None]:
    """Within, exceptions of callbacks are what they were when they were raised."""
    try:
        yield
    except Exception as error:
        original = original_error(error) if _raised else None
        if original is None:
            raise
        raise original from None
