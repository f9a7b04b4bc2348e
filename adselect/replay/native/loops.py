"""A program as loops: elementwise operations of one shape share one, views are index arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...values.kinds import isa
from ..facts import LOOP
from ..instructions import CONSTANT, Instruction, NotReplayable, Ref, Simplified, uses_of
from .places import Place, steps_of

LONGEST = 4096  # entries of an array up to which a program is compiled
_FLOAT = np.dtype(np.float64)
_BOOL = np.dtype(bool)

_ACCUMULATED = {
    np.sum: ("0.0", "{0} + {1}"),
    np.max: ("-math.inf", LOOP[np.maximum]),
    np.min: ("math.inf", LOOP[np.minimum]),
}


class Loops:
    """Writes a program as loops."""

    def __init__(self, program: Simplified):
        self.program, self.instructions = program, program.instructions
        self.places: dict[int, Place] = {}  # arrays in memory
        self.numbers: dict[int, str] = {}  # scalars: the local variable
        self.constants: dict[int, tuple[str, np.ndarray]] = {}
        self.lines: list[list[str]] = []  # statements, each of one or more lines
        self.size = 0
        self.free: dict[int, list[int]] = {}
        self.group: list[Instruction] = []
        self.extent: tuple[int, ...] = ()  # the shape that the open group runs over
        self.inside: dict[int, str] = {}  # members of the open group: expression in the loop
        self.pending: set[int] = set()  # what is known when the open group is closed
        self.outputs: dict[int, str] = {}

    def write(self) -> None:
        live = {r.number for r in self.program.outputs if type(r) is Ref} | {n for n, _ in self.program.guards}
        self.users: dict[int, list[int]] = {}
        for i in reversed(self.instructions):
            if i.number in live:
                for n in uses_of(i):
                    live.add(n)
                    self.users.setdefault(n, []).append(i.number)
        guards: dict[int, list] = {}
        for n, value in self.program.guards:
            guards.setdefault(n, []).append(value)
        for k, r in enumerate(self.program.outputs):
            if type(r) is Ref and self.instructions[r.number].shape and r.number not in self.outputs:
                if self.instructions[r.number].function is not None:
                    self.outputs[r.number] = f"out{k}"
        for k, n in enumerate(self.program.inputs):
            i = self.instructions[n]
            if i.dtype != _FLOAT:
                raise NotReplayable("an argument of another kind than float64")
            if i.scalar:
                self.numbers[n] = f"x{k}"
            else:
                self.places[n] = Place(f"x{k}", 0, steps_of(i.shape), i.shape)
        for i in self.instructions:
            if i.function is None or i.number not in live:
                continue
            if math.prod(i.shape) > LONGEST or i.dtype not in (_FLOAT, _BOOL):
                raise NotReplayable("a long array, or one of another kind than float64")
            self._write_one(i)
            if i.number in guards:
                self.close()
                for value in guards[i.number]:
                    self._guard(self.numbers[i.number], value)
        self.close()
        for n, value in self.program.guards:
            if self.instructions[n].function is None:
                self._guard(self.numbers[n], value)
        for k, r in enumerate(self.program.outputs):
            self._return(k, r)

    def _guard(self, name: str, value: Any) -> None:
        if not isa(value, (bool, float, int)):
            raise NotReplayable("a guard that is no number")
        # A bool was asked whether the number is zero.
        test = f"{name} == 0.0" if value is True else f"{name} != {float(value)!r}"
        self.lines.append([f"if {test}: return False"])

    def _return(self, k: int, r: Any) -> None:
        """Array results are written into an array of the caller, numbers into the last entries of the workspace."""
        if type(r) is Ref and not self.instructions[r.number].scalar:
            shape = self.instructions[r.number].shape
            if r.number not in self.places or self.instructions[r.number].dtype != _FLOAT:
                raise NotReplayable("a result of another kind")
            if self.outputs.get(r.number) == f"out{k}" and self.places[r.number].base == f"out{k}":
                return
            self.copy(self.places[r.number], Place(f"out{k}", 0, steps_of(shape), shape))
        elif type(r) is Ref:
            self.lines.append([f"results[{k}] = {self.numbers[r.number]}"])
        elif isa(r, (float, int)):
            self.lines.append([f"results[{k}] = {float(r)!r}"])
        else:
            raise NotReplayable("a result that is a constant array")

    # -- one instruction -----------------------------------------------------------------------------------------

    def _write_one(self, i: Instruction) -> None:
        f = i.function
        if f is CONSTANT:
            raise NotReplayable("a constant of another kind")
        if any(isa(n, int) and n in self.pending for n in uses_of(i)):
            self.close()
        if f in LOOP and not i.kwargs:
            if i.scalar or not i.shape:
                self._number(i)
            else:
                self._elementwise(i)
        elif f in _ACCUMULATED:
            self._reduction(i)
        else:
            if any(n in self.inside for n in uses_of(i)):
                self.close()
            if f not in HANDLERS:
                raise NotReplayable(f"{getattr(f, '__name__', f)} is not compiled")
            HANDLERS[f](self, i)

    def _number(self, i: Instruction) -> None:
        operands = [self.scalar(a) for a in i.args]
        self.numbers[i.number] = f"v{i.number}"
        self.lines.append([f"v{i.number} = {LOOP[i.function].format(*operands)}"])

    def scalar(self, spec: Any) -> str:
        if type(spec) is Ref:
            name = self.numbers.get(spec.number)
            if name is None:  # an array of one entry, where NumPy takes it for a number
                place = self.place(spec)
                if math.prod(place.shape) != 1:
                    raise NotReplayable("an array where a number is needed")
                return place.at(["0"] * len(place.shape))
            return name
        if isa(spec, (float, int)):
            return repr(float(spec)) if math.isfinite(spec) else f"math.{'nan' if spec != spec else 'inf'}"
        raise NotReplayable("an operand of another kind")

    def shape(self, spec: Any) -> tuple:
        return self.instructions[spec.number].shape if type(spec) is Ref else np.shape(spec)

    def place(self, spec: Any) -> Place:
        """An array in memory."""
        if type(spec) is Ref:
            if spec.number in self.inside:
                self.close()
            return self.places[spec.number]
        return self._constant(spec)

    def _constant(self, array: Any) -> Place:
        """A captured array is an argument of the compiled function: it is read anew in every call."""
        if type(array) is not np.ndarray or array.dtype not in (_FLOAT, _BOOL) or array.size > LONGEST:
            raise NotReplayable("an operand of another kind")
        name, _ = self.constants.setdefault(id(array), (f"c{len(self.constants)}", array))
        if array.flags.c_contiguous:
            return Place(name, 0, steps_of(array.shape), array.shape)
        if array.size and not any(array.strides):
            return Place(name, 0, (0,) * array.ndim, array.shape)
        raise NotReplayable("a captured array that is a view")

    def _elementwise(self, i: Instruction) -> None:
        self._join(i, i.shape)
        self.inside[i.number] = f"t{i.number}"

    def _join(self, i: Instruction, shape: tuple) -> None:
        """Put an instruction into the open group, if that has its shape, or into a new one."""
        if self.group and self.extent != shape:
            self.close()
        self.extent = shape
        self.group.append(i)

    def _place_of_member(self, spec: Any) -> Place:
        return self.places[spec.number] if type(spec) is Ref else self._constant(spec)

    def _reduction(self, i: Instruction) -> None:
        axis = i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else None)
        if len(i.args) > 2 or not set(i.kwargs) <= {"axis", "keepdims"}:
            raise NotReplayable("a reduction with options")
        shape = self.shape(i.args[0])
        if not shape:
            raise NotReplayable("a reduction of a number")
        if i.scalar:
            self._join(i, shape)
            self.pending.add(i.number)
            self.numbers[i.number] = f"v{i.number}"
            return
        self.close()
        axes = {
            k % len(shape) for k in (range(len(shape)) if axis is None else axis if type(axis) is tuple else (axis,))
        }
        kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
        place = self.new(i)
        target = Place(
            place.base, place.offset, tuple(0 if k in axes else s for k, s in enumerate(steps_of(kept))), shape
        )
        start, step = _ACCUMULATED[i.function]
        self.loop(i.shape, lambda names: [f"{place.at(names)} = {start}"])
        source = self.place(i.args[0])
        self.loop(shape, lambda names: [f"{target.at(names)} = {step.format(target.at(names), source.at(names))}"])

    # -- loops ---------------------------------------------------------------------------------------------------

    def new(self, i: Instruction) -> Place:
        """Memory for a result."""
        if i.number in self.outputs:
            place = Place(self.outputs[i.number], 0, steps_of(i.shape), i.shape)
        else:
            place = Place("w", self.size, steps_of(i.shape), i.shape)
            self.size += math.prod(i.shape)
        self.places[i.number] = place
        return place

    def loop(self, shape: tuple, body: Callable[[list[str]], list[str]], before: Iterable[str] = ()) -> None:
        """Nested loops over shape."""
        names = [f"i{k}" for k in range(len(shape))]
        lines = list(before)
        for depth, (name, n) in enumerate(zip(names, shape, strict=True)):
            lines.append("    " * depth + f"for {name} in range({n}):")
        lines.extend("    " * len(shape) + line for line in body(names))
        self.lines.append(lines)

    def close(self) -> None:
        """Write the open group as one loop."""
        group, self.group = self.group, []
        if not group:
            return
        shape = self.extent
        members = {i.number for i in group}
        stored = [
            i
            for i in group
            if i.shape and (i.number in self.outputs or any(u not in members for u in self.users.get(i.number, ())))
        ]
        places = {i.number: self.new(i) for i in stored}
        flat = all(p.contiguous and p.shape == shape for i in group for p in self._places_read(i))
        loop = (math.prod(shape),) if flat else shape

        def entry(place: Place, names: list[str]) -> str:
            return Place(place.base, place.offset, (1,), loop).at(names) if flat else place.at(names)

        def operand(spec: Any, names: list[str]) -> str:
            if type(spec) is Ref and spec.number in self.inside:
                return self.inside[spec.number]
            if self.shape(spec):
                return entry(self._place_of_member(spec), names)
            return self.scalar(spec)

        def body(names: list[str]) -> list[str]:
            lines = []
            for i in group:
                if not i.shape:
                    step = _ACCUMULATED[i.function][1]
                    lines.append(f"v{i.number} = {step.format(f'v{i.number}', operand(i.args[0], names))}")
                    continue
                text = LOOP[i.function].format(*[operand(a, names) for a in i.args])
                lines.append(f"t{i.number} = {text}")
                if i.number in places:
                    lines.append(f"{entry(places[i.number], names)} = t{i.number}")
            return lines

        starts = [f"v{i.number} = {_ACCUMULATED[i.function][0]}" for i in group if not i.shape]
        self.loop(loop, body, starts)
        for i in group:
            self.inside.pop(i.number, None)
        self.pending.clear()

    def _places_read(self, i: Instruction) -> list[Place]:
        specs = i.args if i.shape else i.args[:1]
        return [
            self._place_of_member(a)
            for a in specs
            if self.shape(a) and not (type(a) is Ref and a.number in self.inside)
        ]

    def copy(self, source: Place, target: Place, sign: str = "=") -> None:
        self.loop(target.shape, lambda names: [f"{target.at(names)} {sign} {source.at(names)}"])


# What is neither elementwise nor a reduction, by function; filled by views.py.
HANDLERS: dict[Any, Callable[[Loops, Instruction], None]] = {}
