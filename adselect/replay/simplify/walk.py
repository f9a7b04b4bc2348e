"""The walk over a program: each instruction that is needed is looked up in the tables and written anew."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..facts import MATH, VIEWS
from ..instructions import CONSTANT, Contents, Instruction, Ref, Simplified, uses_of
from ..program import Program
from . import products, scatters, sums, totals, views  # noqa: F401 - they fill the table
from .draft import Draft, Term
from .factors import argument, as_it_is, settled
from .jumps import Jump, decisive, jumps_among
from .table import REWRITES

__all__ = ["as_written", "simplify"]

_REAL = (np.dtype(np.float64), np.dtype(np.float32))


def as_written(program: Program, outputs: list) -> Simplified:
    """The program as it is."""
    guards = [(number, value) for _, number, value in program.guards]
    strict = decisive(program, jumps_among(program, *_needed(program, outputs)))
    unordered = {n for n in strict if _is_unordered(program, n)}
    return Simplified(program.instructions, program.inputs, guards, outputs, strict, unordered)


def simplify(program: Program, outputs: list) -> Simplified:
    """The program that computes outputs (Refs and constants) with fewer instructions; guards are kept.

    Where an extremum is subtracted (in a softmax), the derivative of that shift most often turns out to be zero: the
    place of the extremum then decides over nothing. Where the jumps that are left are others than was expected, all is
    written once more.
    """
    needed, users = _needed(program, outputs)
    jumps = jumps_among(program, needed, users)
    counted = [jump for jump in jumps if not jump.shift]
    strict = decisive(program, counted)
    for _ in range(3):
        draft = Draft(program.instructions, users, strict)
        simplified = _written_anew(draft, program, outputs, needed)
        left = _left(jumps, simplified, draft) if jumps else []
        if left == counted:
            break
        counted, expected = left, strict
        strict = decisive(program, counted)
        if not any(_may_change(program.instructions[n]) for n in expected ^ strict):
            break
    return simplified


def _written_anew(draft: Draft, program: Program, outputs: list, needed: set[int]) -> Simplified:
    inputs = []
    for i in program.instructions:
        draft.turn_to(i)
        if i.function is None:
            ref = draft.emit(None, (), {}, i.shape, i.dtype, i.scalar, shared=False)
            inputs.append(ref.number)
            _remember(draft, i, ref)
        elif i.number in needed:
            _remember(draft, i, _rewritten(draft, i))
    unordered = {ref.number for n in draft.decisive if (ref := draft.written_as(n)) and _is_unordered(program, n)}
    draft.strict = False
    outputs = [argument(draft, r) for r in outputs]
    guards: list[tuple[int, Any]] = []
    # Every look counts; the same look twice is one.
    for number, value in {(n, type(v), _key(v)): (n, v) for _, n, v in program.guards}.values():
        place = argument(draft, Ref(number))
        if type(place) is Ref:
            guards.append((place.number, value))
    return Simplified(draft.new, inputs, guards, outputs, draft.digits, unordered)


def _is_unordered(program: Program, number: int) -> bool:
    """Whether a new array is not in C order: sums over it add up in another."""
    value, function = program.concrete[number], program.instructions[number].function
    return (
        type(value) is np.ndarray
        and value.ndim > 1
        and not value.flags.c_contiguous
        and function not in VIEWS
        and function not in (None, operator.getitem)
    )


def _may_change(i: Instruction) -> bool:
    """Whether an instruction may be written otherwise where its last digit does not count."""
    rows = REWRITES.rows.get(i.function)
    return i.function in MATH or i.function is np.power or (rows is not None and rows.by_kinds != rows.exact)


def _left(jumps: list[Jump], simplified: Simplified, draft: Draft) -> list[Jump]:
    """The jumps that the new program still makes."""
    live = {r.number for r in simplified.outputs if type(r) is Ref} | {n for n, _ in simplified.guards}
    for i in reversed(simplified.instructions):
        if i.number in live:
            live.update(uses_of(i))
    return [jump for jump in jumps if (ref := draft.written_as(jump.number)) and ref.number in live]


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
