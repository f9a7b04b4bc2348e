"""The walk over a program: each instruction that is needed is looked up in the tables and written anew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..instructions import CONSTANT, Contents, Instruction, Ref, Simplified, uses_of
from ..program import Program
from . import products, scatters, sums, totals, views  # noqa: F401 - they fill the table
from .draft import Draft, Term
from .factors import argument, as_it_is, settled
from .table import REWRITES

__all__ = ["as_written", "simplify"]

_REAL = (np.dtype(np.float64), np.dtype(np.float32))


def as_written(program: Program, outputs: list) -> Simplified:
    """The program as it is."""
    guards = [(number, value) for _, number, value in program.guards]
    return Simplified(program.instructions, program.inputs, guards, outputs)


def simplify(program: Program, outputs: list) -> Simplified:
    """The program that computes outputs (Refs and constants) with fewer instructions; guards are kept."""
    needed, users = _needed(program, outputs)
    draft = Draft(program.instructions, users)
    inputs = []
    for i in program.instructions:
        draft.line, draft.number = i.line, i.number
        if i.function is None:
            ref = draft.emit(None, (), {}, i.shape, i.dtype, i.scalar, shared=False)
            inputs.append(ref.number)
            _remember(draft, i, ref)
        elif i.number in needed:
            _remember(draft, i, _rewritten(draft, i))
    outputs = [argument(draft, r) for r in outputs]
    guards: list[tuple[int, Any]] = []
    # Every look counts; the same look twice is one.
    for number, value in {(n, type(v), _key(v)): (n, v) for _, n, v in program.guards}.values():
        place = argument(draft, Ref(number))
        if type(place) is Ref:
            guards.append((place.number, value))
    return Simplified(draft.new, inputs, guards, outputs)


def _needed(program: Program, outputs: list) -> tuple[set[int], dict[int, list[int]]]:
    """The instructions that an output or a guard needs, and who reads each of them; -1 where it leaves the program."""
    needed = {r.number for r in outputs if type(r) is Ref}
    needed.update(number for _, number, _ in program.guards)
    kept = set(needed)
    users: dict[int, list[int]] = {}
    for i in reversed(program.instructions):
        if i.number in needed:
            for n in uses_of(i):
                needed.add(n)
                users.setdefault(n, []).append(i.number)
    for n in kept:
        users.setdefault(n, []).append(-1)
    return needed, users


def _key(value: Any) -> Any:
    """What tells a guard's value from others; a number by its digits."""
    return value if type(value) is Contents else repr(value)


def _rewritten(draft: Draft, i: Instruction) -> Any:
    """What an instruction becomes: a Term, a Ref, or a constant of another kind."""
    if i.function is CONSTANT:
        value = i.args[0]
        if type(value) in (float, int, np.float64, np.float32) and math.isfinite(value):
            return Term(float(value), None)
        return Term(1.0, value) if type(value) is np.ndarray and value.dtype in _REAL else value
    if i.dtype in _REAL:
        value = REWRITES.apply(draft, i)
        if value is not None:
            return value
    return as_it_is(draft, i)


def _remember(draft: Draft, i: Instruction, value: Any) -> None:
    if type(value) is Term:
        draft.terms[i.number] = settled(draft, i, value)
    elif type(value) is Ref and i.dtype in _REAL and draft.new[value.number].dtype == i.dtype:
        draft.terms[i.number] = Term(1.0, value)
    else:
        draft.places[i.number] = value
