"""A program as loops: elementwise operations of one shape share one, views are index arithmetic."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...rules.indexing import scatter_parts
from ...rules.shaping import join, pile
from ...values.kinds import isa
from ..facts import LOOP
from ..instructions import CONSTANT, Instruction, NotReplayable, Ref, Simplified, refs_of, uses_of
from .places import Place, steps_of

_LONGEST = 4096  # entries of an array up to which a program is compiled
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
            if math.prod(i.shape) > _LONGEST or i.dtype not in (_FLOAT, _BOOL):
                raise NotReplayable("a long array, or one of another kind than float64")
            self._write_one(i)
            if i.number in guards:
                self._close()
                for value in guards[i.number]:
                    self._guard(self.numbers[i.number], value)
        self._close()
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
            self._copy(self.places[r.number], Place(f"out{k}", 0, steps_of(shape), shape))
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
            self._close()
        if f in LOOP and not i.kwargs:
            if i.scalar or not i.shape:
                self._number(i)
            else:
                self._elementwise(i)
        elif f in _ACCUMULATED:
            self._reduction(i)
        else:
            if any(n in self.inside for n in uses_of(i)):
                self._close()
            handler = _HANDLERS.get(f)
            if handler is None:
                raise NotReplayable(f"{getattr(f, '__name__', f)} is not compiled")
            handler(self, i)

    def _number(self, i: Instruction) -> None:
        operands = [self._scalar(a) for a in i.args]
        self.numbers[i.number] = f"v{i.number}"
        self.lines.append([f"v{i.number} = {LOOP[i.function].format(*operands)}"])

    def _scalar(self, spec: Any) -> str:
        if type(spec) is Ref:
            name = self.numbers.get(spec.number)
            if name is None:  # an array of one entry, where NumPy takes it for a number
                place = self._place(spec)
                if math.prod(place.shape) != 1:
                    raise NotReplayable("an array where a number is needed")
                return place.at(["0"] * len(place.shape))
            return name
        if isa(spec, (float, int)):
            return repr(float(spec)) if math.isfinite(spec) else f"math.{'nan' if spec != spec else 'inf'}"
        raise NotReplayable("an operand of another kind")

    def _shape(self, spec: Any) -> tuple:
        return self.instructions[spec.number].shape if type(spec) is Ref else np.shape(spec)

    def _place(self, spec: Any) -> Place:
        """An array in memory."""
        if type(spec) is Ref:
            if spec.number in self.inside:
                self._close()
            return self.places[spec.number]
        return self._constant(spec)

    def _constant(self, array: Any) -> Place:
        """A captured array is an argument of the compiled function: it is read anew in every call."""
        if type(array) is not np.ndarray or array.dtype not in (_FLOAT, _BOOL) or array.size > _LONGEST:
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
            self._close()
        self.extent = shape
        self.group.append(i)

    def _place_of_member(self, spec: Any) -> Place:
        return self.places[spec.number] if type(spec) is Ref else self._constant(spec)

    def _reduction(self, i: Instruction) -> None:
        axis = i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else None)
        if len(i.args) > 2 or not set(i.kwargs) <= {"axis", "keepdims"}:
            raise NotReplayable("a reduction with options")
        shape = self._shape(i.args[0])
        if not shape:
            raise NotReplayable("a reduction of a number")
        if i.scalar:
            self._join(i, shape)
            self.pending.add(i.number)
            self.numbers[i.number] = f"v{i.number}"
            return
        self._close()
        axes = {
            k % len(shape) for k in (range(len(shape)) if axis is None else axis if type(axis) is tuple else (axis,))
        }
        kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
        place = self._new(i)
        target = Place(
            place.base, place.offset, tuple(0 if k in axes else s for k, s in enumerate(steps_of(kept))), shape
        )
        start, step = _ACCUMULATED[i.function]
        self._loop(i.shape, lambda names: [f"{place.at(names)} = {start}"])
        source = self._place(i.args[0])
        self._loop(shape, lambda names: [f"{target.at(names)} = {step.format(target.at(names), source.at(names))}"])

    # -- loops ---------------------------------------------------------------------------------------------------

    def _new(self, i: Instruction) -> Place:
        """Memory for a result."""
        if i.number in self.outputs:
            place = Place(self.outputs[i.number], 0, steps_of(i.shape), i.shape)
        else:
            place = Place("w", self.size, steps_of(i.shape), i.shape)
            self.size += math.prod(i.shape)
        self.places[i.number] = place
        return place

    def _loop(self, shape: tuple, body: Callable[[list[str]], list[str]], before: Iterable[str] = ()) -> None:
        """Nested loops over shape."""
        names = [f"i{k}" for k in range(len(shape))]
        lines = list(before)
        for depth, (name, n) in enumerate(zip(names, shape, strict=True)):
            lines.append("    " * depth + f"for {name} in range({n}):")
        lines.extend("    " * len(shape) + line for line in body(names))
        self.lines.append(lines)

    def _close(self) -> None:
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
        places = {i.number: self._new(i) for i in stored}
        flat = all(p.contiguous and p.shape == shape for i in group for p in self._places_read(i))
        loop = (math.prod(shape),) if flat else shape

        def entry(place: Place, names: list[str]) -> str:
            return Place(place.base, place.offset, (1,), loop).at(names) if flat else place.at(names)

        def operand(spec: Any, names: list[str]) -> str:
            if type(spec) is Ref and spec.number in self.inside:
                return self.inside[spec.number]
            if self._shape(spec):
                return entry(self._place_of_member(spec), names)
            return self._scalar(spec)

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
        self._loop(loop, body, starts)
        for i in group:
            self.inside.pop(i.number, None)
        self.pending.clear()

    def _places_read(self, i: Instruction) -> list[Place]:
        specs = i.args if i.shape else i.args[:1]
        return [
            self._place_of_member(a)
            for a in specs
            if self._shape(a) and not (type(a) is Ref and a.number in self.inside)
        ]

    def _copy(self, source: Place, target: Place, sign: str = "=") -> None:
        self._loop(target.shape, lambda names: [f"{target.at(names)} {sign} {source.at(names)}"])

    # -- views and the like --------------------------------------------------------------------------------------

    def reshape(self, i: Instruction) -> None:
        """Another shape of the same memory; a copy where the entries do not follow each other."""
        if type(i.args[0]) is Ref and i.args[0].number in self.numbers:
            place = self._new(i)
            name = self._scalar(i.args[0])
            self._loop(i.shape, lambda names: [f"{place.at(names)} = {name}"])
            return
        source = self._place(i.args[0])
        if not source.contiguous:
            copied = Place("w", self.size, steps_of(source.shape), source.shape)
            self.size += math.prod(source.shape)
            self._copy(source, copied)
            source = copied
        self.places[i.number] = Place(source.base, source.offset, steps_of(i.shape), i.shape)

    def transpose(self, i: Instruction) -> None:
        source = self._place(i.args[0])
        order = i.args[1] if len(i.args) > 1 and i.args[1] is not None else tuple(range(len(source.shape)))[::-1]
        self.places[i.number] = Place(
            source.base, source.offset, tuple(source.strides[k] for k in order), tuple(source.shape[k] for k in order)
        )

    def broadcast(self, i: Instruction) -> None:
        if not self._shape(i.args[0]):
            self.reshape(i)
            return
        source = self._place(i.args[0])
        lead = len(i.shape) - len(source.shape)
        strides = tuple(0 if n == 1 else s for s, n in zip(source.strides, source.shape, strict=True))
        self.places[i.number] = Place(source.base, source.offset, (0,) * lead + strides, i.shape)

    def getitem(self, i: Instruction) -> None:
        place = self._part(self._place(i.args[0]), i.args[1])
        if i.scalar:
            self.numbers[i.number] = f"v{i.number}"
            self.lines.append([f"v{i.number} = {place.at([])}"])
        else:
            self.places[i.number] = place

    def _part(self, source: Place, index: Any) -> Place:
        """The part of an array that a basic index selects."""
        if any(True for _ in refs_of(index)):
            raise NotReplayable("an index that is computed")
        parts = list(index) if type(index) is tuple else [index]
        if any(k is Ellipsis for k in parts):
            where = next(n for n, k in enumerate(parts) if k is Ellipsis)
            missing = len(source.shape) - sum(k is not None for k in parts) + 1
            parts[where : where + 1] = [slice(None)] * missing
        parts += [slice(None)] * (len(source.shape) - sum(k is not None for k in parts))
        offset, strides, shape, axis = source.offset, [], [], 0
        for k in parts:
            if k is None:
                strides.append(0)
                shape.append(1)
                continue
            n, stride = source.shape[axis], source.strides[axis]
            axis += 1
            if isinstance(k, slice):
                start, stop, step = k.indices(n)
                offset += start * stride
                strides.append(step * stride)
                shape.append(len(range(start, stop, step)))
            elif isa(k, (int, np.integer)) and not isa(k, bool):
                offset += (int(k) % n) * stride
            else:
                raise NotReplayable("an index array")
        return Place(source.base, offset, tuple(strides), tuple(shape))

    def scatter(self, i: Instruction) -> None:
        place = self._new(i)
        self._loop(i.shape, lambda names: [f"{place.at(names)} = 0.0"])
        for part, index in zip(i.args, i.kwargs["indices"], strict=True):
            target = self._part(place, index)
            if self._shape(part):
                self._copy(self._place(part), target, "+=")
            else:
                name = self._scalar(part)
                self._loop(target.shape, lambda names, t=target, s=name: [f"{t.at(names)} += {s}"])

    def joined(self, i: Instruction) -> None:
        """Arrays one after the other along an axis, or stacked along a new one."""
        place, start = self._new(i), 0
        axis = i.kwargs["axis"] % len(i.shape)
        for part in i.args:
            n = 1 if i.function is pile else self._shape(part)[axis]
            index: Any = (slice(None),) * axis + ((start,) if i.function is pile else (slice(start, start + n),))
            target = self._part(place, index)
            if self._shape(part):
                self._copy(self._place(part), target)
            else:
                self.lines.append([f"{target.at([])} = {self._scalar(part)}"])
            start += n

    def matmul(self, i: Instruction) -> None:
        a, b = (self._place(s) for s in i.args)
        if len(a.shape) > 2 or len(b.shape) > 2 or math.prod(a.shape + b.shape[1:]) > 4 * _LONGEST:
            raise NotReplayable("a large product of matrices")
        total = f"v{i.number}"

        def product(names: list[str]) -> list[str]:
            rows = names[:1] if len(a.shape) == 2 else []
            columns = names[-1:] if len(b.shape) == 2 else []
            return [
                f"{total} = 0.0",
                f"for j in range({a.shape[-1]}):",
                f"    {total} += {a.at([*rows, 'j'])} * {b.at(['j', *columns])}",
            ]

        if i.scalar:
            self.numbers[i.number] = total
            self.lines.append(product([]))
            return
        place = self._new(i)
        self._loop(i.shape, lambda names: [*product(names), f"{place.at(names)} = {total}"])


_HANDLERS: dict[Any, Callable[[Loops, Instruction], None]] = {
    np.reshape: Loops.reshape,
    np.transpose: Loops.transpose,
    np.broadcast_to: Loops.broadcast,
    operator.getitem: Loops.getitem,
    scatter_parts: Loops.scatter,
    join: Loops.joined,
    pile: Loops.joined,
    np.matmul: Loops.matmul,
}
