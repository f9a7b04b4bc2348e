"""Blocks: long elementwise runs on large arrays, a piece that fits the cache at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...values.kinds import isa
from ..instructions import CONSTANT, Instruction, Ref
from .calls import is_elementwise, out_of, write_call
from .liveness import FLOAT, Plan, is_view
from .page import Page

__all__ = ["groups", "write_blocked"]

# Blocking pays from about eight operations on arrays that do not fit the second-level cache.
_OPERATIONS = 8
_ENTRIES = 32_768
_BLOCK = 16_384


# -- which -----------------------------------------------------------------------------------------------------------


def groups(plan: Plan, guards: dict) -> dict[int, int]:
    """Start → end of the runs worth blocking: same shape throughout, enough operations, larger than the cache."""
    found: dict[int, int] = {}
    start, shape, members = 0, None, set()
    for position in range(len(plan.order) + 1):
        n = plan.order[position] if position < len(plan.order) else -1
        usable = n >= 0 and n not in guards
        if usable and _fits(plan, n, shape, members):
            if shape is None:
                start, shape = position, _run_shape(plan, n)
            members.add(n)
        elif not (usable and shape is not None and _goes_before(plan, n, members)):
            if len(members) >= _OPERATIONS:
                found[start] = position
            shape, members = None, set()
            if usable and _fits(plan, n, None, members):
                start, shape = position, _run_shape(plan, n)
                members.add(n)
    return found


def _goes_before(plan: Plan, n: int, members: set[int]) -> bool:
    """Whether an instruction in the middle of a run can be written before it: cheap, and independent of it."""
    i = plan.instructions[n]
    cheap = i.function is CONSTANT or is_view(i) or i.scalar
    return cheap and n not in plan.folded and not members & set(plan.operands(n))


def _run_shape(plan: Plan, n: int) -> tuple:
    """The shape that an instruction of a run goes over."""
    fold, i = plan.folded.get(n), plan.instructions[n]
    return i.shape or plan.shape(fold[1] if fold else i.args[0])


def _fits(plan: Plan, n: int, shape: tuple | None, members: set[int]) -> bool:
    """Whether an instruction can be one of a run over this shape."""
    i, fold = plan.instructions[n], plan.folded.get(n)
    if fold is not None:
        if fold[0] != "dot":
            return False
        operands, own = fold[1:], plan.shape(fold[1])
    elif n in plan.program.strict and (not i.shape or n in plan.program.unordered):
        return False  # its order of additions counts
    elif i.function is np.sum and i.scalar and not i.kwargs.get("keepdims") and len(i.args) == 1:
        operands, own = i.args, plan.shape(i.args[0])
    elif is_elementwise(i) and i.dtype == FLOAT and not i.scalar:
        operands, own = i.args, i.shape
    else:
        return False
    if not own or math.prod(own) < _ENTRIES or (shape is not None and own != shape):
        return False
    for spec in operands:
        their = plan.shape(spec)
        if their and (their != own or (type(spec) is not Ref and not isa(spec, np.ndarray))):
            return False
        if not their and type(spec) is Ref and spec.number in members:
            return False  # a sum of this run: not known before its end
        if type(spec) is Ref and plan.instructions[spec.number].dtype != FLOAT:
            return False
    return True


# -- how -------------------------------------------------------------------------------------------------------------


def write_blocked(page: Page, start: int, end: int) -> None:
    """The instructions from one position to another as one loop over blocks."""
    plan = page.plan
    shape = _run_shape(plan, plan.order[start])
    page.position = start
    members: list[int] = []
    for n in plan.order[start:end]:
        if _goes_before(plan, n, set(members)) and not _fits(plan, n, shape, set(members)):
            page.place[n] = f"v{n}"
            write_call(page, plan.instructions[n])
        else:
            members.append(n)
    _Loop(page, shape, members, end).write()
    for position in range(start, end):
        page.buffers.release(position, plan.operands(plan.order[position]))
    for n in members:
        if n in page.buffers.holds and plan.last.get(n, -1) < end:
            page.buffers.release(plan.last[n], [n])


class _Loop:
    """The lines of one loop: pieces of the arrays it reads and writes, a few blocks for what lives inside it."""

    def __init__(self, page: Page, shape: tuple, members: list[int], end: int):
        self.page, self.plan, self.shape, self.members = page, page.plan, shape, members
        self.rows = max(1, _BLOCK // math.prod(shape[1:]))
        later = {m for n in self.plan.order[end:] for m in self.plan.operands(n)}
        self.later = later | self.plan.kept  # what is read after the loop
        self.last = {m: k for k, n in enumerate(members) for m in self.plan.operands(n)}
        self.head: list[str] = []
        self.body: list[str] = []
        self.pieces: dict[Any, str] = {}  # array -> the piece of it
        self.blocks: list[str] = []
        self.free: list[str] = []
        self.held: dict[int, str] = {}  # instruction -> block or piece

    def write(self) -> None:
        page, rows, n = self.page, self.rows, self.shape[0]
        for k, member in enumerate(self.members):
            i = self.plan.instructions[member]
            self._add_up(i) if not i.shape else self._compute(i, k)
            for m in set(self.plan.operands(member)):
                if self.last.get(m) == k and m in self.held and self.held[m] in self.blocks and m != member:
                    self.free.append(self.held.pop(m))
        for block in self.blocks:
            self.head.append(f"{block} = {page.buffers.add((rows, *self.shape[1:]), FLOAT)}")
        page.lines.extend(self.head)
        page.lines.append(f"for i in range(0, {n}, {rows}):  # a block that fits the cache at a time")
        page.lines.append(f"    j = min(i + {rows}, {n})")
        if n % rows and self.blocks:
            tails = ", ".join(f"{b}[:j - i]" for b in self.blocks)
            page.lines.append(f"    if j - i < {rows}: {', '.join(self.blocks)} = {tails}")
        page.lines.extend("    " + line for line in self.body)

    def _piece(self, spec: Any) -> str:
        """An operand inside the loop."""
        page = self.page
        if type(spec) is Ref and spec.number in self.held:
            return self.held[spec.number]
        if not self.plan.shape(spec):
            return page.zero_d(float(spec)) if isa(spec, (int, float)) else page.value(spec)
        text = page.value(spec)
        if text not in self.pieces:
            self.pieces[text] = f"p{len(self.pieces)}"
            self.body.append(f"{self.pieces[text]} = {text}[i:j]")
        return self.pieces[text]

    def _add_up(self, i: Instruction) -> None:
        """A sum over the whole array, block by block."""
        page, v, fold = self.page, f"v{i.number}", self.plan.folded.get(i.number)
        page.place[i.number] = v
        self.head.append(f"{v} = 0.0")
        if fold is not None:
            a, b = self._piece(fold[1]), self._piece(fold[2])
            page.use("dot", np.dot)
            flat = "" if len(self.shape) == 1 else ".reshape(-1)"
            self.body.append(f"{v} += dot({a}{flat}, {b}{flat})")
        else:
            page.use("add_reduce", np.add.reduce)
            self.body.append(f"{v} += add_reduce({self._piece(i.args[0])}, None)")

    def _compute(self, i: Instruction, k: int) -> None:
        """An elementwise call on pieces."""
        operands = [self._piece(a) for a in i.args]
        target = self.held[i.number] = self._target(i, k)
        self.body.append(f"{self.page.function(i.function)}({', '.join(operands)}{out_of(i)}{target})")

    def _target(self, i: Instruction, k: int) -> str:
        """Where the result of a call goes: a piece of what is read later, a block that is free, a new one."""
        page, n = self.page, i.number
        if n in self.later:
            before = len(page.lines)
            page.place[n] = page.fresh(i)
            self.head.extend(page.lines[before:])
            del page.lines[before:]
            target = self.pieces[f"v{n}"] = f"p{len(self.pieces)}"
            self.body.append(f"{target} = v{n}[i:j]")
            return target
        for m in set(self.plan.operands(n)):
            if self.last.get(m) == k and self.held.get(m) in self.blocks and m not in self.later:
                return self.held.pop(m)
        if self.free:
            return self.free.pop()
        self.blocks.append(f"q{len(self.blocks)}")
        return self.blocks[-1]
