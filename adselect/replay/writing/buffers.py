"""A few buffers for all array results: each goes back to the pool with the last use of what it holds."""

from __future__ import annotations

from typing import Any

from ..instructions import Ref
from .liveness import Plan

__all__ = ["Buffers"]


class Buffers:
    """Who has which buffer while the lines are written one after the other.

    lent: whether results are in buffers, too, which the caller reads before the next call fills them again.
    """

    def __init__(self, plan: Plan, lent: bool = False):
        self.lent = lent
        self.plan, self.instructions = plan, plan.instructions
        self.shapes: list[tuple] = []  # shape and dtype of each buffer
        self.free: dict[tuple, list[str]] = {}
        self.holds: dict[int, str] = {}  # owner -> buffer

    def add(self, shape: tuple, dtype: Any) -> str:
        """One more buffer; its name."""
        self.shapes.append((shape, dtype))
        return f"b{len(self.shapes) - 1}"

    def out(self, n: int) -> str | None:
        """The buffer for the result of n; None when the caller keeps it (it is allocated then)."""
        i = self.instructions[n]
        if n in self.plan.program.unordered:
            return None
        if not self.plan.dies(n):
            return self.add(i.shape, i.dtype) if self.lent else None
        pool = self.free.get((i.shape, i.dtype))
        name = pool.pop() if pool else self.add(i.shape, i.dtype)
        self.holds[n] = name
        return name

    def inplace(self, n: int, position: int, operands: list) -> str | None:
        """The buffer of an operand that dies here and can take the result of an elementwise call."""
        i, plan = self.instructions[n], self.plan
        if not plan.dies(n) or n in plan.program.unordered:
            return None
        for spec in operands:
            if type(spec) is not Ref:
                continue
            m = spec.number
            owner = plan.root.get(m)
            if owner == m and owner in self.holds and plan.last[owner] == position:
                j = self.instructions[m]
                if j.shape == i.shape and j.dtype == i.dtype and not self._is_shared(owner, m, operands):
                    return self.hand_on(owner, n)
        return None

    def _is_shared(self, owner: int, m: int, operands: list) -> bool:
        """Whether another operand is a view of the same memory (then writing in place would change it on the way)."""
        return any(type(s) is Ref and s.number != m and self.plan.root.get(s.number) == owner for s in operands)

    def hand_on(self, owner: int, n: int) -> str:
        """Give the buffer of an owner to n."""
        name = self.holds[n] = self.holds.pop(owner)
        return name

    def release(self, position: int, operands: list[int]) -> None:
        """Put back what is not used after this position."""
        for m in set(operands):
            owner = self.plan.root.get(m)
            if owner is not None and owner in self.holds and self.plan.last[owner] == position:
                j = self.instructions[owner]
                self.free.setdefault((j.shape, j.dtype), []).append(self.holds.pop(owner))

    def scratch(self, shape: tuple, dtype: Any) -> str:
        """A buffer for the time of one line."""
        pool = self.free.setdefault((shape, dtype), [])
        if not pool:
            pool.append(self.add(shape, dtype))
        return pool[-1]
