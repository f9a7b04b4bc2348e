"""What a traced program is made of: instructions, what they name each other by, and what its guards expect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ADSelectError
from ..values.kinds import isa

__all__ = ["CONSTANT", "Contents", "Instruction", "NotReplayable", "Ref", "Simplified", "key_of", "refs_of", "uses_of"]


class NotReplayable(ADSelectError):  # noqa: N818 - a verdict on the traced code, not a mistake in it
    """The traced code did something that straight-line code cannot repeat; the message says what."""


class GuardFailed(Exception):  # noqa: N818 - a signal, not an error
    """Something the traced code relied on, a value it branched on, is different now."""


class Outline(NamedTuple):
    """What a guard expects where values decide over the size of a result: its shape and dtype, and not its entries."""

    shape: tuple
    dtype: Any


class Contents(NamedTuple):
    """What a guard expects of an array of integers or booleans that was looked at in whole."""

    bytes: bytes
    shape: tuple


class Strides(NamedTuple):
    """What a guard expects of an argument whose order in memory was looked at; None stands for C order."""

    strides: tuple | None


class Instruction:
    """One call of the program: ``function(*args, **kwargs)``; args name earlier instructions by :class:`Ref`."""

    __slots__ = ("args", "dtype", "function", "kwargs", "line", "number", "scalar", "shape")

    def __init__(self, number: int, function: Any, args: tuple, kwargs: dict, value: Any, line: str):
        self.number, self.function, self.kwargs, self.line = number, function, kwargs, line
        self.args: Sequence[Any] = args
        self.shape = np.shape(value)
        self.dtype = getattr(value, "dtype", None) or np.result_type(value)
        self.scalar = not isa(value, np.ndarray)

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", self.function)
        return f"v{self.number} = {name}{self.args} {self.kwargs or ''} : {self.dtype}{list(self.shape)}"


def CONSTANT(value: Any) -> Any:
    """The function of an instruction that is a constant."""
    return value


class Ref:
    """The result of an instruction, used as an argument."""

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number

    def __repr__(self) -> str:
        return f"v{self.number}"

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Ref) and other.number == self.number

    def __hash__(self) -> int:
        return hash(("v", self.number))


def key_of(function: Any, args: Any, kwargs: dict) -> Any:
    """What two calls with the same result have in common; None where that cannot be told. Arrays count by identity."""
    try:
        key = (function, tuple([_part(a) for a in args]), tuple([(k, _part(v)) for k, v in kwargs.items()]))
        hash(key)
    except TypeError:
        return None
    return key


def _part(spec: Any) -> Any:
    kind = type(spec)
    if kind is Ref:
        return spec
    if kind is np.ndarray:
        return ("array", id(spec))  # whoever wrote the call down keeps the array
    if kind is tuple or kind is list:
        return (kind, tuple([_part(s) for s in spec]))
    if kind is slice:
        return ("slice", _part(spec.start), _part(spec.stop), _part(spec.step))
    return (kind, repr(spec) if kind is float else spec)


def refs_of(spec: Any) -> Iterator[int]:
    """The instructions that an argument names."""
    kind = type(spec)
    if kind is Ref:
        yield spec.number
    elif kind is tuple or kind is list:
        for s in spec:
            yield from refs_of(s)
    elif kind is slice:
        yield from refs_of((spec.start, spec.stop, spec.step))


def uses_of(instruction: Instruction) -> list[int]:
    """The instructions that an instruction reads."""
    found: list[int] = []
    for spec in (*instruction.args, *instruction.kwargs.values()):
        if type(spec) is Ref:
            found.append(spec.number)
        elif type(spec) in _NESTED:
            found.extend(refs_of(spec))
    return found


_NESTED = (tuple, list, slice)


class Simplified(NamedTuple):
    """A program to be written: instructions, which of them are inputs, guards as (instruction, value), outputs."""

    instructions: list[Instruction]
    inputs: list[int]
    guards: list[tuple[int, Any]]
    outputs: list[Any]
    # What decides over a jump, and is to have the last digit of the eager value; and what of it is not in C order.
    strict: set[int]
    unordered: set[int]
