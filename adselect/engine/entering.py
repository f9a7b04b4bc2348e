"""The values that the engine computes with, for the arguments and seeds that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..face.array import Array
from ..values.kinds import isa
from ..values.natives import is_native, natives_of
from .applying import EngineArray

__all__ = ["as_floats", "constant_of", "enter", "is_uncovered", "uncover", "written_down"]


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
        if leaf.dtype.kind in "iu" and not (leaf._by_reference and isa(leaf._behind, int)):
            return np.astype(leaf, np.float64), leaf  # type: ignore[call-overload]
        return leaf, leaf if leaf._integers() is not None else None
    if isa(leaf, (np.ndarray, np.integer)) and leaf.dtype.kind in "iu":
        return leaf.astype(np.float64), leaf.astype(np.int64)
    return leaf, None


def written_down(values: Sequence) -> Any:
    """Under tracing for replay: one of the values of the program that is being written, behind those given; or None."""
    for value in values:
        while isinstance(value, EngineArray):
            value = value._primal
        if isinstance(value, Array) and value._by_reference:
            return value
    return None


def constant_of(values: list, seed: Any) -> Any:
    """Under tracing for replay: the seed as a constant of the traced program."""
    value = written_down(values)
    return seed if value is None else value.program.constant(seed)


def is_uncovered(leaves: list) -> bool:
    """Whether leaves are a framework's own arrays and none is behind a face, so that results are to be the same."""
    return any(map(is_native, leaves)) and not any([isinstance(leaf, Array) for leaf in leaves])


def uncover(values: list) -> list:
    """The framework's own arrays behind their faces."""
    return [v._primal if isinstance(v, Array) and v._framework else v for v in values]
