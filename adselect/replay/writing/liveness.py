"""What is needed, in which order, whose memory it is, and how long that lives."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...rules.indexing import scatter_parts
from ..facts import VIEWS
from ..indices import is_basic
from ..instructions import Instruction, Ref, Simplified, refs_of, uses_of

__all__ = ["FLOAT", "Plan", "is_view"]

FLOAT = np.dtype(np.float64)


class Plan:
    """The order in which a program is written; plainly: a line for each instruction, nothing joined."""

    def __init__(self, program: Simplified, plainly: bool):
        self.program, self.instructions = program, program.instructions
        self.kept = {r.number for r in program.outputs if type(r) is Ref}  # what the caller keeps
        self.folded: dict[int, tuple] = {}  # instruction -> what one call does in its place
        self.order = self._live(plainly)
        self.reads: dict[int, list[int]] = {}  # what has been found by operands
        self.root: dict[int, int] = {}  # instruction -> the one that owns its memory
        self.last: dict[int, int] = {}  # owner -> position of the last use of its memory
        self._follow_memory()

    def _live(self, plainly: bool) -> list[int]:
        """The instructions that an output or a guard needs, in order."""
        guards = {number for number, _ in self.program.guards}
        needed = self.kept | guards
        counts: dict[int, int] = {}
        for i in reversed(self.instructions):
            if i.number in needed:
                for n in uses_of(i):
                    needed.add(n)
                    counts[n] = counts.get(n, 0) + 1
        for n in (*[r.number for r in self.program.outputs if type(r) is Ref], *guards):
            counts[n] = counts.get(n, 0) + 1
        live = [i.number for i in self.instructions if i.number in needed and i.function is not None]
        return live if plainly else self._joined(live, counts)

    def _joined(self, live: list[int], counts: dict[int, int]) -> list[int]:
        """Join pairs that one NumPy call does: sums of products, additions onto a scatter."""
        absorbed: set[int] = set()

        def inner(spec: Any) -> Instruction | None:
            """The instruction behind an operand that nothing else needs."""
            return self.instructions[spec.number] if type(spec) is Ref and counts.get(spec.number) == 1 else None

        for n in live:
            i = self.instructions[n]
            if n in self.program.strict:
                continue
            if _adds_everything(i):
                source = inner(i.args[0])
                if source is None or source.dtype != FLOAT:
                    continue
                factors = tuple(source.args) * 2 if source.function is np.square else source.args
                if source.function in (np.square, np.multiply) and all(
                    self.is_float_array(a, source.shape) for a in factors
                ):
                    self.folded[n] = ("dot", *factors)
                    absorbed.add(source.number)
            elif i.function is np.add and i.shape:
                for dense, sparse in ((i.args[0], i.args[1]), (i.args[1], i.args[0])):
                    source = inner(sparse)
                    if source is not None and source.function is scatter_parts and i.dtype == source.dtype:
                        if self.is_float_array(dense, i.shape):
                            self.folded[n] = ("onto", dense, source)
                            absorbed.add(source.number)
                            break
        # A fold moves the use of the inner operands to the outer instruction; nothing in between depends on the inner.
        return [n for n in live if n not in absorbed]

    def _follow_memory(self) -> None:
        for i in self.instructions:
            if i.function is None:
                self.root[i.number] = i.number
        for n in self.order:
            i = self.instructions[n]
            self.root[n] = self.root[i.args[0].number] if is_view(i) else n
        for position, n in enumerate(self.order):
            self.last[self.root[n]] = position
            for m in self.operands(n):
                self.last[self.root[m]] = position
        for n in self.kept:
            if n in self.root:
                self.last[self.root[n]] = len(self.order)

    def operands(self, n: int) -> list[int]:
        """The instructions whose values the line of an instruction reads."""
        read = self.reads.get(n)
        if read is None:
            fold = self.folded.get(n)
            if fold is None:
                read = uses_of(self.instructions[n])
            elif fold[0] == "dot":
                read = list(refs_of(fold[1:]))
            else:
                read = [*refs_of(fold[1]), *uses_of(fold[2])]
            self.reads[n] = read
        return read

    def shape(self, spec: Any) -> tuple:
        return self.instructions[spec.number].shape if type(spec) is Ref else np.shape(spec)

    def is_float_array(self, spec: Any, shape: tuple) -> bool:
        """Whether an operand is a float64 array of exactly this shape."""
        if type(spec) is Ref:
            i = self.instructions[spec.number]
            return i.shape == shape and i.dtype == FLOAT and not i.scalar
        return type(spec) is np.ndarray and spec.shape == shape and spec.dtype == FLOAT

    def dies(self, n: int) -> bool:
        """Whether the memory of an instruction is free again before the end: the caller does not keep it."""
        return self.last.get(n, -1) < len(self.order)


def _adds_everything(i: Instruction) -> bool:
    """Whether an instruction is the sum of all entries."""
    return (
        i.function is np.sum
        and len(i.args) <= 2
        and set(i.kwargs) <= {"axis", "keepdims"}
        and not i.kwargs.get("keepdims")
        and i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else None) is None
    )


def is_view(i: Instruction) -> bool:
    """Whether a result lies in the memory of the first argument."""
    if not i.args or type(i.args[0]) is not Ref:
        return False
    if i.function in VIEWS:
        return True
    return i.function is operator.getitem and not i.scalar and is_basic(i.args[1])
