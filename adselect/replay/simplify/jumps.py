"""Where a last digit decides: comparisons, floor, argmax, a value that the traced code looked at.

A sum in another order rounds differently. Nobody minds, except where a result jumps: on the border, another last digit
of an operand is another mask, another index, another branch. What such an operand is computed from therefore stays as
it was written, operation by operation, and gives the eager digits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from ...rules.reductions import spread
from ..facts import FACTS, JUMPS, VIEWS
from ..instructions import Instruction, Outline, Strides, refs_of, uses_of
from ..program import Program

__all__ = ["Jump", "decisive", "jumps_among"]


class Jump(NamedTuple):
    """An instruction that jumps at some operands; shift: it is the derivative of an extremum that is subtracted."""

    number: int
    operands: list[int]
    shift: bool


def jumps_among(program: Program, needed: Collection[int], users: dict[int, list[int]]) -> list[Jump]:
    """The instructions that jump; users: who reads each instruction."""
    return [
        Jump(i.number, operands, i.function is spread and _is_shift(program, users, operands[0]))
        for i in program.instructions
        if i.number in needed and (operands := _operands(i))
    ]


def _is_shift(program: Program, users: dict[int, list[int]], number: int) -> bool:
    """Whether an extremum is subtracted, as it is or in another shape."""
    read = [program.instructions[u] for u in users.get(number, ()) if u != -1]
    return any(i.function is np.subtract or (i.function in VIEWS and _is_shift(program, users, i.number)) for i in read)


def _operands(i: Instruction) -> list[int]:
    places = JUMPS.get(i.function)
    if places is not None:
        return list(refs_of(tuple(i.args[k] for k in places if k < len(i.args))))
    # A mask, integers, or what the user's own code makes of it.
    if i.dtype.kind in "biu" or (i.function not in FACTS and getattr(i.function, "may_jump", False)):
        return uses_of(i)
    return []


def decisive(program: Program, jumps: Iterable[Jump]) -> set[int]:
    """What decides over these jumps or over a guard, and all that is computed from."""
    found = {n for _, n, value in program.guards if type(value) not in (Outline, Strides)}
    for jump in jumps:
        found.update(jump.operands)
    if found:
        for i in reversed(program.instructions[: max(found) + 1]):
            if i.number in found:
                found.update(uses_of(i))
    return found
