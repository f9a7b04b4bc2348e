"""The page that a program is written on: its lines so far, and what values, constants and functions are called."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...values.kinds import isa
from ..instructions import Instruction, Ref, Simplified
from .buffers import Buffers
from .liveness import FLOAT, Plan

__all__ = ["WRITERS", "Page", "writes"]


class Page:
    """Lines of source, and the names in them."""

    def __init__(self, program: Simplified, plan: Plan, lent: bool = False):
        self.program, self.instructions, self.plan = program, program.instructions, plan
        self.buffers = Buffers(plan, lent)
        self.lines: list[str] = []
        self.position = 0  # of the instruction that is being written
        self.place: dict[int, str] = {}  # instruction -> expression that names its value
        self.constants: dict[str, Any] = {}
        self.names: dict[Any, str] = {}  # of constants
        self.float32 = any(i.dtype in (np.float32, np.complex64, np.float16) for i in self.instructions)

    # -- values ------------------------------------------------------------------------------------------------------

    def value(self, spec: Any) -> str:
        """An argument as an expression."""
        return self.place[spec.number] if type(spec) is Ref else self.constant(spec)

    def values(self, i: Instruction) -> str:
        """The arguments of a call."""
        parts = [self.value(a) for a in i.args]
        parts += [f"{k}={self.value(v)}" for k, v in i.kwargs.items()]
        return ", ".join(parts)

    def operand(self, spec: Any, i: Instruction) -> str:
        """An operand of a ufunc; scalar constants as 0-d arrays of the right dtype, which NumPy reads fastest."""
        if i.shape and type(spec) in (float, int) and i.dtype == FLOAT and not isa(spec, bool):
            return self.zero_d(float(spec))
        return self.value(spec)

    def constant(self, value: Any) -> str:
        kind = type(value)
        if kind in (int, bool, str) or value is None or value is Ellipsis:
            return repr(value)
        if kind is float or (kind is np.float64 and not self.float32):
            return repr(float(value)) if math.isfinite(value) else self.named(float(value))
        if kind is tuple:
            return "(" + "".join(self.value(v) + ", " for v in value) + ")"
        if kind is list:
            return "[" + ", ".join(self.value(v) for v in value) + "]"
        if kind is slice:
            parts = ["" if s is None else self.value(s) for s in (value.start, value.stop, value.step)]
            return f"slice({', '.join(p or 'None' for p in parts)})"
        return self.named(value)

    def named(self, value: Any) -> str:
        """A constant that has no literal."""
        name = self.names.get(id(value))
        if name is None:
            name = f"c{len(self.constants)}"
            self.constants[name] = value
            self.names[id(value)] = name
        return name

    def zero_d(self, value: float) -> str:
        """A number as a 0-d array."""
        key = ("0-d", repr(value))
        name = self.names.get(key)
        if name is None:
            name = "k" + repr(value).replace(".", "_").replace("-", "m").replace("+", "")
            if not name.isidentifier():
                name = f"c{len(self.constants)}"
            self.constants[name] = np.array(value)
            self.names[key] = name
        return name

    def index(self, index: Any) -> str:
        """An index in brackets."""
        if type(index) is tuple:
            if not index:
                return "()"
            return ", ".join(self._index_part(i) for i in index) + ("," if len(index) == 1 else "")
        return self._index_part(index)

    def _index_part(self, i: Any) -> str:
        if type(i) is slice:
            text = ":".join("" if s is None else self.value(s) for s in (i.start, i.stop))
            return text + ("" if i.step is None else f":{self.value(i.step)}")
        return "..." if i is Ellipsis else self.value(i)

    # -- functions ---------------------------------------------------------------------------------------------------

    def function(self, function: Any) -> str:
        """A function by its own name where that says which it is."""
        name = getattr(function, "__name__", "f").replace("<lambda>", "f").replace(".", "_")
        if isinstance(function, np.ufunc) or getattr(np, name, None) is function:
            return self.use(name, function)
        for prefix in ("linalg", "fft"):
            if getattr(getattr(np, prefix), name, None) is function:
                return self.use(f"{prefix}_{name}", function)
        if name not in self.constants or self.constants[name] is function:
            return self.use(name, function)
        return self.named(function)

    def use(self, name: str, value: Any) -> str:
        """A name of the library's own in the source."""
        self.constants[name] = value
        return name

    # -- lines -------------------------------------------------------------------------------------------------------

    def line(self, i: Instruction, expression: str) -> bool:
        """``v12 = expression``"""
        self.lines.append(f"v{i.number} = {expression}")
        return True

    def fresh(self, i: Instruction) -> str:
        """An array to write into: a buffer, or a new array when the caller keeps it. The name of it."""
        out = self.buffers.out(i.number)
        if out is None:
            self.use("empty", np.empty)
            out = f"empty({self.constant(i.shape)}, {self.named(i.dtype)})"
        self.line(i, out)
        return f"v{i.number}"


# How a call of a function is written: the first that does not decline (by False). A table filled by the other files.
WRITERS: dict[Any, list[Callable[[Page, Instruction], bool]]] = {}


def writes(*functions: Any) -> Callable:
    """Register how calls of these functions are written."""

    def register(writer: Callable[[Page, Instruction], bool]) -> Callable[[Page, Instruction], bool]:
        for function in functions:
            WRITERS.setdefault(function, []).append(writer)
        return writer

    return register
