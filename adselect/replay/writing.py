"""Replay: a traced program as straight-line NumPy source with reused buffers.

``compile_program`` takes the instructions of a ``Program`` and writes one Python function:
dead code is dropped, views and scalars become plain expressions, every array result gets a buffer from a pool by
liveness, ``out`` is passed by position, results that the caller keeps are always fresh. Guards sit where the traced
code looked at a value; a failed one raises :class:`GuardFailed`, and the caller traces again.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..rules.elementwise import select
from ..rules.indexing import scatter_parts, set_item
from ..rules.reductions import spread
from ..rules.shaping import join, pile
from ..values.kinds import isa
from .facts import INFIX, MATH, QUIET, REDUCTIONS, VIEWS
from .indices import is_basic
from .instructions import (
    CONSTANT,
    Contents,
    GuardFailed,
    Instruction,
    Outline,
    Ref,
    Simplified,
    Strides,
    refs_of,
    uses_of,
)
from .program import Program
from .simplify.walk import as_written, simplify

__all__ = ["GuardFailed", "Replay", "compile_program"]


_FLOAT = np.dtype(np.float64)
_SHORT = 32  # entries of a last axis up to which NumPy's reductions along it are slow
# Blocking pays from about eight operations on arrays that do not fit the second-level cache.
_BLOCK_OPERATIONS = 8
_BLOCK_ENTRIES = 32_768
_BLOCK = 16_384


class Replay:
    """A compiled program: call it with the flat inputs, get the flat outputs. Safe to call from several threads."""

    __slots__ = ("buffers", "function", "program", "results", "shapes", "source")

    def __init__(self, function: Callable, source: str, shapes: list[tuple], program: Simplified):
        self.function, self.source, self.program, self.shapes = function, source, program, shapes
        # Shape and dtype of the outputs that are arrays whatever the values are; None for the others.
        made = [program.instructions[r.number] if type(r) is Ref else None for r in program.outputs]
        self.results = [(i.shape, i.dtype) if i is not None and not i.scalar else None for i in made]
        self.buffers = [_allocate(shapes)]

    def __call__(self, inputs: list) -> tuple:
        # One set of buffers per call that is running: popped here, put back afterwards.
        try:
            buffers = self.buffers.pop()
        except IndexError:
            buffers = _allocate(self.shapes)
        try:
            return self.function(inputs, buffers)
        finally:
            self.buffers.append(buffers)


def _allocate(shapes: list[tuple]) -> tuple:
    return tuple([np.empty(shape, dtype) for shape, dtype in shapes])


def share(g: Any, y: Any, a: Any, axis: Any, mask: Any, out: Any) -> Any:
    """:func:`~adselect.rules.reductions.spread` into buffers; y and g with 1 in place of the reduced axes."""
    np.equal(a, y, mask)
    if np.count_nonzero(mask) != y.size or np.isnan(np.add.reduce(y, None)):
        out[...] = spread(g, y, a, axis, True)
        return out
    return np.multiply(mask, g, out)


class _Writer:
    """Writes the source of one program; plainly: a line for each instruction, nothing joined."""

    def __init__(self, program: Simplified, name: str, arguments: list[str], plainly: bool = False):
        self.arguments, self.plainly = arguments, plainly
        self.program = program
        self.instructions = program.instructions
        self.outputs = program.outputs
        self.name = name
        self.constants: dict[str, Any] = {}
        self.constant_names: dict[int, str] = {}
        self.lines: list[str] = []
        self.shapes: list[tuple] = []
        self.free: dict[tuple, list[str]] = {}
        self.place: dict[int, str] = {}  # instruction -> expression that names its value
        self.root: dict[int, int] = {}  # instruction -> the one that owns its memory
        self.buffer: dict[int, str] = {}  # owner -> buffer
        self.last: dict[int, int] = {}  # owner -> position of the last use of its memory
        self.counts: dict[int, int] = {}
        self.kept: set[int] = set()
        self.folded: dict[int, tuple] = {}
        self.float32 = any(i.dtype in (np.float32, np.complex64, np.float16) for i in self.instructions)

    # -- analysis ----------------------------------------------------------------------------------------------------

    def live(self) -> list[int]:
        """The instructions that an output or a guard needs, in order."""
        needed = {r.number for r in self.outputs if type(r) is Ref}
        guards = {number for number, _ in self.program.guards}
        needed |= guards
        for instruction in reversed(self.instructions):
            if instruction.number in needed:
                for n in uses_of(instruction):
                    needed.add(n)
                    self.counts[n] = self.counts.get(n, 0) + 1
        for r in self.outputs:
            if type(r) is Ref:
                self.counts[r.number] = self.counts.get(r.number, 0) + 1
                self.kept.add(r.number)
        for n in guards:
            self.counts[n] = self.counts.get(n, 0) + 1
        return [i.number for i in self.instructions if i.number in needed and i.function is not None]

    def fold(self, live: list[int]) -> list[int]:
        """Join pairs that one NumPy call does: sums of products, additions onto a scatter."""
        absorbed: set[int] = set()
        for n in live:
            i = self.instructions[n]
            if (
                i.function is np.sum
                and not i.kwargs.get("keepdims")
                and i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else None) is None
                and len(i.args) <= 2
                and set(i.kwargs) <= {"axis", "keepdims"}
            ):
                inner = i.args[0]
                if type(inner) is Ref and self.counts.get(inner.number) == 1:
                    source = self.instructions[inner.number]
                    if (
                        source.function is np.square
                        and source.dtype == _FLOAT
                        and self._array(source.args[0], source.shape)
                    ):
                        self.folded[n] = ("dot", source.args[0], source.args[0])
                        absorbed.add(inner.number)
                    elif (
                        source.function is np.multiply
                        and source.dtype == _FLOAT
                        and all(self._array(a, source.shape) for a in source.args)
                    ):
                        self.folded[n] = ("dot", *source.args)
                        absorbed.add(inner.number)
            elif i.function is np.add and i.shape:
                for dense, sparse in ((i.args[0], i.args[1]), (i.args[1], i.args[0])):
                    if type(sparse) is Ref and self.counts.get(sparse.number) == 1:
                        source = self.instructions[sparse.number]
                        if source.function is scatter_parts and self._array(dense, i.shape) and i.dtype == source.dtype:
                            self.folded[n] = ("onto", dense, source)
                            absorbed.add(sparse.number)
                            break
        # A fold moves the use of the inner operands to the outer instruction; nothing in between depends on the inner.
        return [n for n in live if n not in absorbed]

    def _array(self, spec: Any, shape: tuple) -> bool:
        """Whether spec is a float64 array of exactly this shape."""
        if type(spec) is Ref:
            i = self.instructions[spec.number]
            return i.shape == shape and i.dtype == _FLOAT and not i.scalar
        return type(spec) is np.ndarray and spec.shape == shape and spec.dtype == _FLOAT

    def operands(self, n: int) -> list[int]:
        fold = self.folded.get(n)
        if fold is None:
            return uses_of(self.instructions[n])
        if fold[0] == "dot":
            return list(refs_of(fold[1:]))
        return [*refs_of(fold[1]), *uses_of(fold[2])]

    def analyse(self, live: list[int]) -> None:
        for i in self.instructions:
            if i.function is None:
                self.root[i.number] = i.number
        for n in live:
            i = self.instructions[n]
            owner = n
            if self._is_view(i):
                owner = self.root[i.args[0].number]
            self.root[n] = owner
        for position, n in enumerate(live):
            self.last[self.root[n]] = position
            for m in self.operands(n):
                self.last[self.root[m]] = position
        end = len(live)
        for n in self.kept:
            if n in self.root:
                self.last[self.root[n]] = end

    def _is_view(self, i: Instruction) -> bool:
        if not i.args or type(i.args[0]) is not Ref:
            return False
        if i.function in VIEWS:
            return True
        return i.function is operator.getitem and not i.scalar and is_basic(i.args[1])

    # -- writing -----------------------------------------------------------------------------------------------------

    def constant(self, value: Any) -> str:
        kind = type(value)
        if kind in (int, bool, str) or value is None or value is Ellipsis:
            return repr(value)
        if kind is float or (kind is np.float64 and not self.float32):
            return repr(float(value)) if math.isfinite(value) else self._named(float(value))
        if kind is tuple:
            return "(" + "".join(self.spec(v) + ", " for v in value) + ")"
        if kind is list:
            return "[" + ", ".join(self.spec(v) for v in value) + "]"
        if kind is slice:
            parts = ["" if s is None else self.spec(s) for s in (value.start, value.stop, value.step)]
            return f"slice({', '.join(p or 'None' for p in parts)})"
        return self._named(value)

    def _named(self, value: Any) -> str:
        name = self.constant_names.get(id(value))
        if name is None:
            name = f"c{len(self.constants)}"
            self.constants[name] = value
            self.constant_names[id(value)] = name
        return name

    def function(self, function: Any) -> str:
        name = getattr(function, "__name__", "f").replace("<lambda>", "f").replace(".", "_")
        if isinstance(function, np.ufunc) or getattr(np, name, None) is function:
            self.constants[name] = function
            return name
        for prefix in ("linalg", "fft"):
            if getattr(getattr(np, prefix), name, None) is function:
                self.constants[f"{prefix}_{name}"] = function
                return f"{prefix}_{name}"
        if name not in self.constants or self.constants[name] is function:
            self.constants[name] = function
            return name
        return self._named(function)

    def spec(self, spec: Any) -> str:
        return self.place[spec.number] if type(spec) is Ref else self.constant(spec)

    def index(self, index: Any) -> str:
        """An index in brackets."""
        if type(index) is tuple:
            if not index:
                return "()"
            return ", ".join(self._index_part(i) for i in index) + ("," if len(index) == 1 else "")
        return self._index_part(index)

    def _index_part(self, i: Any) -> str:
        if type(i) is slice:
            text = ":".join("" if s is None else self.spec(s) for s in (i.start, i.stop))
            return text + ("" if i.step is None else f":{self.spec(i.step)}")
        return "..." if i is Ellipsis else self.spec(i)

    def out(self, n: int, position: int) -> str | None:
        """The buffer for the result of n; None when the caller keeps it (it is allocated then)."""
        i = self.instructions[n]
        if self.last.get(n, -1) >= len(self.order):
            return None
        key = (i.shape, i.dtype)
        pool = self.free.get(key)
        if pool:
            name = pool.pop()
        else:
            name = f"b{len(self.shapes)}"
            self.shapes.append(key)
        self.buffer[n] = name
        return name

    def inplace(self, n: int, position: int, operands: list) -> str | None:
        """The buffer of an operand that dies here and can take the result of an elementwise call."""
        i = self.instructions[n]
        if self.last.get(n, -1) >= len(self.order):
            return None
        for spec in operands:
            if type(spec) is not Ref:
                continue
            m = spec.number
            owner = self.root.get(m)
            if owner == m and owner in self.buffer and self.last[owner] == position:
                j = self.instructions[m]
                if j.shape == i.shape and j.dtype == i.dtype and not self._shared(owner, m, operands):
                    name = self.buffer.pop(owner)
                    self.buffer[n] = name
                    return name
        return None

    def _shared(self, owner: int, m: int, operands: list) -> bool:
        """Whether another operand is a view of the same memory (then writing in place would change it on the way)."""
        return any(type(s) is Ref and s.number != m and self.root.get(s.number) == owner for s in operands)

    def release(self, position: int, operands: list[int]) -> None:
        for m in set(operands):
            owner = self.root.get(m)
            if owner is not None and owner in self.buffer and self.last[owner] == position:
                j = self.instructions[owner]
                self.free.setdefault((j.shape, j.dtype), []).append(self.buffer.pop(owner))

    def write(self) -> str:
        live = self.live()
        if not self.plainly:
            live = self.fold(live)
        self.order = live
        self.analyse(live)
        guards: dict[int, list] = {}
        for number, value in self.program.guards:
            guards.setdefault(number, []).append(value)
        names = []
        for k, n in enumerate(self.program.inputs):
            self.place[n] = self.arguments[k]
            names.append(self.arguments[k])
        if names:
            self.lines.append(f"{', '.join(names)}{',' if len(names) == 1 else ''} = inputs")
        for n in self.program.inputs:
            self._guard(n, guards)
        comment = ""
        groups = {} if self.plainly else self.groups(live, guards)
        done = 0
        for position, n in enumerate(live):
            if position < done:
                continue
            if position in groups:
                done = groups[position]
                self._write_blocked(live, position, done)
                continue
            i = self.instructions[n]
            before = len(self.lines)
            self.place[n] = f"v{n}"
            self._write_one(n, i, position)
            if i.line != comment and len(self.lines) > before and i.line:
                self.lines[before] += f"  # {i.line}"
                comment = i.line
            self.release(position, self.operands(n))
            if self.last.get(n) == position and n in self.buffer:  # computed for a guard or for nothing
                self.release(position, [n])
            self._guard(n, guards)
        self.lines.append(f"return {self._returned()}")
        used = [f"b{k}" for k in range(len(self.shapes))]
        head = [f"{', '.join(used)}{',' if len(used) == 1 else ''} = buffers"] if used else []
        body = "\n".join("    " + line for line in head + self.lines)
        return f"def {self.name}(inputs, buffers):\n{body}\n"

    # -- blocks: long elementwise runs on large arrays, a piece that fits the cache at a time --------------------------

    def groups(self, live: list[int], guards: dict) -> dict[int, int]:
        """Start → end of the runs worth blocking: same shape throughout, enough operations, larger than the cache."""
        found: dict[int, int] = {}
        start, shape, members = 0, None, set()
        for position in range(len(live) + 1):
            n = live[position] if position < len(live) else -1
            usable = n >= 0 and n not in guards
            if usable and self._fits_block(n, shape, members):
                if shape is None:
                    start, shape = position, self._summed_shape(n)
                members.add(n)
            elif not (usable and shape is not None and self._goes_before(n, members)):
                if len(members) >= _BLOCK_OPERATIONS:
                    found[start] = position
                shape, members = None, set()
                if usable and self._fits_block(n, None, members):
                    start, shape = position, self._summed_shape(n)
                    members.add(n)
        return found

    def _goes_before(self, n: int, members: set[int]) -> bool:
        """Whether an instruction in the middle of a run can be written before it: cheap, and independent of it."""
        i = self.instructions[n]
        cheap = i.function is CONSTANT or self._is_view(i) or i.scalar
        return cheap and n not in self.folded and not members & set(self.operands(n))

    def _summed_shape(self, n: int) -> tuple:
        fold = self.folded.get(n)
        i = self.instructions[n]
        return i.shape or self._shape(fold[1] if fold else i.args[0])

    def _fits_block(self, n: int, shape: tuple | None, members: set[int]) -> bool:
        i, fold = self.instructions[n], self.folded.get(n)
        if fold is not None:
            if fold[0] != "dot":
                return False
            operands, own = fold[1:], self._shape(fold[1])
        elif i.function is np.sum and i.scalar and not i.kwargs.get("keepdims") and len(i.args) == 1:
            operands, own = i.args, self._shape(i.args[0])
        elif (
            isinstance(i.function, np.ufunc)
            and i.function.nout == 1
            and i.function.signature is None
            and not i.kwargs
            and i.dtype == _FLOAT
            and not i.scalar
        ):
            operands, own = i.args, i.shape
        else:
            return False
        if not own or math.prod(own) < _BLOCK_ENTRIES or (shape is not None and own != shape):
            return False
        for spec in operands:
            their = self._shape(spec)
            if their and (their != own or (type(spec) is not Ref and not isa(spec, np.ndarray))):
                return False
            if not their and type(spec) is Ref and spec.number in members:
                return False  # a sum of this run: not known before its end
            if type(spec) is Ref and self.instructions[spec.number].dtype != _FLOAT:
                return False
        return True

    def _write_blocked(self, live: list[int], start: int, end: int) -> None:
        shape = self._summed_shape(live[start])
        members: list[int] = []
        for n in live[start:end]:
            if self._goes_before(n, set(members)) and not self._fits_block(n, shape, set(members)):
                self.place[n] = f"v{n}"
                self._write_one(n, self.instructions[n], start)
            else:
                members.append(n)
        inside = set(members)
        rows = max(1, _BLOCK // math.prod(shape[1:]))
        later = {m for n in live[end:] for m in self.operands(n)} | self.kept
        last: dict[int, int] = {}
        for k, n in enumerate(members):
            for m in self.operands(n):
                last[m] = k
        head: list[str] = []
        body: list[str] = []
        pieces: dict[Any, str] = {}
        free: list[str] = []
        held: dict[int, str] = {}
        blocks: list[str] = []

        def piece(spec: Any) -> str:
            if type(spec) is Ref and spec.number in held:
                return held[spec.number]
            if not self._shape(spec):
                return self._zero_d(float(spec)) if isa(spec, (int, float)) else self.spec(spec)
            text = self.spec(spec)
            if text not in pieces:
                pieces[text] = f"p{len(pieces)}"
                body.append(f"{pieces[text]} = {text}[i:j]")
            return pieces[text]

        for k, n in enumerate(members):
            i, fold = self.instructions[n], self.folded.get(n)
            if not i.shape:
                self.place[n] = f"v{n}"
                head.append(f"v{n} = 0.0")
                if fold is not None:
                    a, b = piece(fold[1]), piece(fold[2])
                    self.constants["dot"] = np.dot
                    flat = "" if len(shape) == 1 else ".reshape(-1)"
                    body.append(f"v{n} += dot({a}{flat}, {b}{flat})")
                else:
                    self.constants["add_reduce"] = np.add.reduce
                    body.append(f"v{n} += add_reduce({piece(i.args[0])}, None)")
            else:
                operands = [piece(a) for a in i.args]
                reusable = [
                    m for m in set(self.operands(n)) if last.get(m) == k and held.get(m) in blocks and m not in later
                ]
                if n in later:
                    before = len(self.lines)
                    self.place[n] = self._fresh(n, i, start)
                    head.extend(self.lines[before:])
                    del self.lines[before:]
                    target = f"p{len(pieces)}"
                    pieces[f"v{n}"] = target
                    body.append(f"{target} = v{n}[i:j]")
                elif reusable:
                    target = held.pop(reusable[0])
                elif free:
                    target = free.pop()
                else:
                    target = f"q{len(blocks)}"
                    blocks.append(target)
                given = ", out=" if i.function in (np.maximum, np.minimum) else ", "
                body.append(f"{self.function(i.function)}({', '.join(operands)}{given}{target})")
                held[n] = target
                if n in later:
                    held[n] = target
            for m in set(self.operands(n)):
                if last.get(m) == k and m in held and held[m] in blocks and m != n:
                    free.append(held.pop(m))
        for block in blocks:
            name = f"b{len(self.shapes)}"
            self.shapes.append(((rows, *shape[1:]), _FLOAT))
            head.append(f"{block} = {name}")
        self.lines.extend(head)
        self.lines.append(f"for i in range(0, {shape[0]}, {rows}):  # a block that fits the cache at a time")
        self.lines.append(f"    j = min(i + {rows}, {shape[0]})")
        if shape[0] % rows and blocks:
            tails = ", ".join(f"{b}[:j - i]" for b in blocks)
            self.lines.append(f"    if j - i < {rows}: {', '.join(blocks)} = {tails}")
        self.lines.extend("    " + line for line in body)
        for position in range(start, end):
            self.release(position, self.operands(live[position]))
        for n in members:
            if n in inside and n in self.buffer and self.last.get(n, -1) < end:
                self.release(self.last[n], [n])

    def _guard(self, n: int, guards: dict[int, list]) -> None:
        for value in guards.get(n, ()):
            self.constants["GuardFailed"] = GuardFailed
            expression = self.place[n]
            if type(value) is Outline:
                self.lines.append(f"if {self._other_outline(n, expression, value)}: raise GuardFailed")
                continue
            if type(value) is Contents:
                other = f"{expression}.tobytes() != {self._named(value.bytes)}"
                self.lines.append(
                    f"if {expression}.shape != {self.constant(value.shape)} or {other}: raise GuardFailed"
                )
                continue
            if type(value) is Strides:
                wrong = f".strides != {value.strides}" if value.strides else ".flags.c_contiguous is False"
                self.lines.append(f"if {expression}{wrong}: raise GuardFailed")
                continue
            test = (
                f"not {expression}"
                if value is True
                else expression
                if value is False
                else f"{expression} != {self.constant(value)}"
            )
            self.lines.append(f"if {test}: raise GuardFailed")

    def _other_outline(self, n: int, expression: str, outline: Outline) -> str:
        """The test whether a result has another shape or dtype than when it was traced."""
        shape = self.constant(outline.shape)
        if outline.dtype is None:  # several results
            return f"len({expression}) != {outline.shape[0]}"
        if self.instructions[n].scalar:
            self.constants["shape"], self.constants["iscomplexobj"] = np.shape, np.iscomplexobj
            return f"shape({expression}) or iscomplexobj({expression}) is not {outline.dtype.kind == 'c'}"
        return f"{expression}.shape != {shape} or {expression}.dtype != {self._named(outline.dtype)}"

    def _returned(self) -> str:
        parts, seen = [], set()
        for r in self.outputs:
            text = self.spec(r)
            if type(r) is Ref:
                i = self.instructions[r.number]
                owner = self.root[r.number]
                shared = owner in seen or self.instructions[owner].function is None or owner != r.number
                seen.add(owner)
                if not i.scalar and shared:
                    text += ".copy()"
            elif type(r) is np.ndarray:
                text += ".copy()"
            parts.append(text)
        return f"{', '.join(parts)}{',' if len(parts) == 1 else ''}" if parts else "()"

    def _write_one(self, n: int, i: Instruction, position: int) -> None:
        fold = self.folded.get(n)
        v = f"v{n}"
        if fold is not None:
            self._write_fold(n, i, position, fold)
        elif i.function is CONSTANT:
            self.place[n] = self.constant(i.args[0])
        elif i.scalar and self._write_scalar(n, i):
            pass
        elif i.function is operator.getitem:
            self.lines.append(f"{v} = {self.spec(i.args[0])}[{self.index(i.args[1])}]")
        elif (
            isinstance(i.function, np.ufunc) and i.function.nout == 1 and i.function.signature is None and not i.kwargs
        ):
            text = ", ".join(self.operand(a, i) for a in i.args)
            if i.scalar:
                self.lines.append(f"{v} = {self.function(i.function)}({text})")
            else:
                out = self.inplace(n, position, list(i.args)) or self.out(n, position)
                # NumPy reads a third positional argument of these two as another operand some day.
                given = ", out=" if i.function in (np.maximum, np.minimum) else ", "
                self.lines.append(f"{v} = {self.function(i.function)}({text}{given + out if out else ''})")
        elif i.function is np.matmul and not i.kwargs:
            out = None if i.scalar else self.out(n, position)
            # For vectors and matrices dot is the same product with less ado.
            plain = all(len(self._shape(a)) <= 2 and self._array(a, self._shape(a)) for a in i.args)
            name = "dot" if plain else "matmul"
            self.lines.append(f"{v} = {name}({', '.join(map(self.spec, i.args))}{', ' + out if out else ''})")
            self.constants[name] = getattr(np, name)
        elif i.function is spread and i.args[3] is not None and i.dtype == _FLOAT and self._array(i.args[2], i.shape):
            self._write_share(n, i, position)
        elif i.function is np.reshape and type(i.args[0]) is Ref and not i.kwargs:
            if self.instructions[i.args[0].number].scalar:
                self.lines.append(f"{v} = {self.function(np.full)}({self.constant(i.shape)}, {self.spec(i.args[0])})")
            else:
                self.lines.append(f"{v} = {self.spec(i.args[0])}.reshape({self.constant(i.shape)})")
        elif i.function is np.transpose and not i.kwargs:
            axes = i.args[1] if len(i.args) > 1 else None
            base = self.spec(i.args[0])
            self.lines.append(f"{v} = {base}.T" if axes is None else f"{v} = {base}.transpose({self.spec(axes)})")
        elif i.function is scatter_parts:
            self._write_scatter(n, i, position, None)
        elif i.function is set_item:
            self._write_set_item(n, i, position)
        elif i.function in (join, pile):
            self._write_join(n, i, position)
        elif i.function in (select, np.where) and len(i.args) == 3:
            self.constants["where"] = np.where
            self.lines.append(f"{v} = where({', '.join(map(self.spec, i.args))})")
        elif i.function in REDUCTIONS and set(i.kwargs) <= {"axis", "keepdims"} and len(i.args) <= 2:
            self._write_reduction(n, i, position, REDUCTIONS[i.function])
        else:
            self.lines.append(f"{v} = {self.function(i.function)}({self._arguments(i)})")

    def operand(self, spec: Any, i: Instruction) -> str:
        """An operand of a ufunc; scalar constants as 0-d arrays of the right dtype, which NumPy reads fastest."""
        if i.shape and type(spec) in (float, int) and i.dtype == _FLOAT and not isa(spec, bool):
            return self._zero_d(float(spec))
        return self.spec(spec)

    def _zero_d(self, value: float) -> str:
        key = ("0-d", repr(value))
        name = self.constant_names.get(key)  # type: ignore[call-overload]
        if name is None:
            name = "k" + repr(value).replace(".", "_").replace("-", "m").replace("+", "")
            if not name.isidentifier():
                name = f"c{len(self.constants)}"
            self.constants[name] = np.array(value)
            self.constant_names[key] = name  # type: ignore[index]
        return name

    def _arguments(self, i: Instruction) -> str:
        parts = [self.spec(a) for a in i.args]
        parts += [f"{k}={self.spec(v)}" for k, v in i.kwargs.items()]
        return ", ".join(parts)

    def _write_scalar(self, n: int, i: Instruction) -> bool:
        """A call on scalars as a plain expression; False when it has to stay a NumPy call."""
        if self.float32 or not all(self._plain_scalar(a) for a in i.args) or i.kwargs:
            return False
        v = f"v{n}"
        infix = INFIX.get(i.function)
        args = [self.spec(a) for a in i.args]
        if infix is not None:
            self.lines.append(f"{v} = {args[0]} {infix} {args[1]}")
        elif i.function is np.negative:
            self.lines.append(f"{v} = -{args[0]}")
        elif i.function is np.positive:
            self.lines.append(f"{v} = {args[0]}")
        elif i.function is np.square:
            self.lines.append(f"{v} = {args[0]} * {args[0]}")
        elif i.function is np.reciprocal:
            self.lines.append(f"{v} = 1.0 / {args[0]}")
        elif i.function is np.power and type(i.args[1]) in (int, float) and i.args[1] in (3, 4):
            self.lines.append(f"{v} = " + " * ".join([args[0]] * int(i.args[1])))
        elif i.function is np.logical_not:
            self.lines.append(f"{v} = not {args[0]}")
        elif i.function in (select, np.where) and len(args) == 3:
            self.lines.append(f"{v} = {args[1]} if {args[0]} else {args[2]}")
        elif i.function in MATH and i.dtype == _FLOAT:
            name = f"math_{MATH[i.function]}"
            self.constants[name] = getattr(math, MATH[i.function])
            self.lines.append(f"{v} = {name}({', '.join(args)})")
        else:
            return False
        return True

    def _plain_scalar(self, spec: Any) -> bool:
        if type(spec) is Ref:
            i = self.instructions[spec.number]
            return i.scalar and (i.dtype == _FLOAT or i.dtype == np.bool_)
        return type(spec) in (float, np.float64) or type(spec) is int

    def _write_reduction(self, n: int, i: Instruction, position: int, ufunc: np.ufunc) -> None:
        """A reduction by the ufunc's own method: NumPy's functions of that name are detours to it."""
        axis = i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else None)
        keepdims = i.kwargs.get("keepdims") is True
        name = f"{ufunc.__name__}_reduce"
        self.constants[name] = ufunc.reduce
        a, v = self.spec(i.args[0]), f"v{n}"
        shape = self._shape(i.args[0])
        if not i.scalar and type(axis) is int and self._array(i.args[0], shape):
            if ufunc is np.add and self._write_sum_by_product(n, i, position, axis % len(shape), keepdims):
                return
            if len(shape) == 2 and axis % 2 == 1 and 1 < shape[1] <= _SHORT and shape[0] >= 8 * _SHORT:
                # NumPy reduces a short last axis row by row; the columns of a copy are long.
                text = f"{name}({a}.T.copy(), 0)"
                self.lines.append(f"{v} = {text}.reshape({self.constant(i.shape)})" if keepdims else f"{v} = {text}")
                return
        out = None if i.scalar else self.out(n, position)
        tail = f", None, {out}" + (", True" if keepdims else "") if out or keepdims else ""
        self.lines.append(f"{v} = {name}({a}, {self.spec(axis)}{tail})")

    def _write_sum_by_product(self, n: int, i: Instruction, position: int, axis: int, keepdims: bool) -> bool:
        """A sum along one of the last two axes as a product with ones, which is several times faster; whether it is."""
        shape = self._shape(i.args[0])
        m, from_end = shape[axis], len(shape) - axis
        if len(shape) < 2 or from_end > 2 or math.prod(shape[-2:]) < 64:
            return False
        a, v = self.spec(i.args[0]), f"v{n}"
        rows = from_end == 2  # the rows are added: ones from the left
        ones = ((1, m) if rows else (m, 1)) if keepdims else (m,)
        name = "ones_" + "_".join(map(str, ones))
        self.constants[name] = np.ones(ones)
        function = "dot" if len(shape) == 2 else "matmul"
        self.constants[function] = getattr(np, function)
        out = self.out(n, position)
        self.lines.append(f"{v} = {function}({f'{name}, {a}' if rows else f'{a}, {name}'}{', ' + out if out else ''})")
        return True

    def _write_share(self, n: int, i: Instruction, position: int) -> None:
        """The cotangent of an extremum along axes: a mask in a buffer, times the cotangent."""
        g, y, a, axis, keepdims = i.args
        shape = i.shape
        axes = {k % len(shape) for k in (axis if type(axis) is tuple else (axis,))}
        kept = self.constant(tuple(1 if k in axes else m for k, m in enumerate(shape)))
        y_text, g_text = self.spec(y), self.spec(g)
        if not keepdims:
            y_text = f"{y_text}.reshape({kept})"
            if self._shape(g):
                g_text = f"{g_text}.reshape({kept})"
        mask = self._scratch((shape, np.dtype(bool)))
        out = self.out(n, position) or f"empty({self.constant(shape)})"
        self.constants["empty"], self.constants["share"] = np.empty, share
        self.lines.append(f"v{n} = share({g_text}, {y_text}, {self.spec(a)}, {self.spec(axis)}, {mask}, {out})")

    def _scratch(self, key: tuple) -> str:
        """A buffer for the time of one line."""
        pool = self.free.setdefault(key, [])
        if not pool:
            pool.append(f"b{len(self.shapes)}")
            self.shapes.append(key)
        return pool[-1]

    def _write_fold(self, n: int, i: Instruction, position: int, fold: tuple) -> None:
        if fold[0] == "dot":
            self.constants["dot"] = np.dot
            flat = []
            for spec in fold[1:]:
                text = self.spec(spec)
                flat.append(text if len(self._shape(spec)) == 1 else f"{text}.reshape(-1)")
            self.lines.append(f"v{n} = dot({flat[0]}, {flat[1]})")
            return
        self._write_scatter(n, i, position, fold[1], fold[2])

    def _shape(self, spec: Any) -> tuple:
        return self.instructions[spec.number].shape if type(spec) is Ref else np.shape(spec)

    def _fresh(self, n: int, i: Instruction, position: int) -> str:
        """An array to write into: a buffer, or a new array when the caller keeps it. The name of it."""
        out = self.out(n, position)
        v = f"v{n}"
        if out is None:
            self.constants["empty"] = np.empty
            self.lines.append(f"{v} = empty({self.constant(i.shape)}, {self._named(i.dtype)})")
        else:
            self.lines.append(f"{v} = {out}")
        return v

    def _write_scatter(
        self, n: int, i: Instruction, position: int, dense: Any, source: Instruction | None = None
    ) -> None:
        source = source or i
        parts, indices = list(source.args), source.kwargs["indices"]
        if not i.shape:
            text = " + ".join(self.spec(part) for part in parts)
            self.lines.append(f"v{n} = {text}")
            return
        taken = None
        if dense is not None and type(dense) is Ref:
            owner = dense.number
            if (
                self.root.get(owner) == owner
                and owner in self.buffer
                and self.last[owner] == position
                and self.last.get(n, -1) < len(self.order)
            ):
                if not any(self.root.get(m) == owner for m in uses_of(source)):
                    taken = self.buffer.pop(owner)
                    self.buffer[n] = taken
        v = f"v{n}"
        if taken is not None:
            self.lines.append(f"{v} = {taken}")
        else:
            self._fresh(n, i, position)
        covered = np.full(i.shape, dense is not None)
        if dense is not None and taken is None:
            self.lines.append(f"{v}[...] = {self.spec(dense)}")
        zero = np.zeros(i.shape, bool)
        steps = self._scatter_steps(parts, indices, covered, zero)
        if dense is None:
            self.lines.extend(self._zeros(v, covered & ~zero) if all(map(is_basic, indices)) else [f"{v}.fill(0.0)"])
        views: dict[str, str] = {}
        self.constants["add"] = np.add
        for k, (where, how, values) in enumerate(steps):
            text = f"{v}[{where}]"
            if how == "at":
                self.constants["add_at"] = np.add.at
                self.lines.append(f"add_at({v}, {where}, {values[0]})")
                continue
            if how == "one by one":
                self.lines.append(f"{text} += {values[0]}")
                continue
            if where in views or sum(w == where for w, _, _ in steps[k:]) > 1 or len(values) > 1:
                if where not in views:
                    views[where] = f"{v}_{len(views)}"
                    self.lines.append(f"{views[where]} = {text}")
                text = views[where]
            if how == "assign" and len(values) == 1:
                self.lines.append(f"{v}[{where}] = {values[0]}")
            elif how == "assign":
                self.lines.append(f"add({values[0]}, {values[1]}, {text})")
            elif where in views:
                self.lines.append(f"add({text}, {values[0]}, {text})")
            else:
                self.lines.append(f"{text} += {values[0]}")

    def _scatter_steps(self, parts: list, indices: list, covered: np.ndarray, zero: np.ndarray) -> list[tuple]:
        """(index, how, parts) in order: what falls where nothing is yet is assigned, two parts of one index at once.

        covered: where something is; zero is set where a part is added to what no earlier part has written.
        """
        steps: list[tuple[str, str, list[str]]] = []
        for part, index in zip(parts, indices, strict=True):
            where, value = self.index(index), self.spec(part)
            if not is_basic(index):
                mask = type(index) is np.ndarray and index.dtype == bool
                steps.append((where, "one by one", [value]) if mask else (self.spec(index), "at", [value]))
                covered[...] = True  # the array is filled with zeros first
                continue
            whole = self._shape(part) == covered[index].shape
            bare = ~covered[index]
            covered[index] = True
            if bare.all() and bare.size:
                steps.append((where, "assign", [value]))
                continue
            zero[index] |= bare
            if not whole or not covered[index].ndim:
                steps.append((where, "one by one", [value]))
            else:
                first = [s for s in steps if s[0] == where and s[1] == "assign" and len(s[2]) == 1]
                if first and steps.index(first[0]) == len(steps) - 1:
                    first[0][2].append(value)
                else:
                    steps.append((where, "add", [value]))
        return steps

    @staticmethod
    def _zeros(v: str, covered: np.ndarray) -> list[str]:
        """Lines that write zeros where no part falls."""
        if covered.all():
            return []
        rows = covered.reshape(len(covered), -1)
        if np.array_equal(rows.all(axis=1), rows.any(axis=1)):
            empty = np.flatnonzero(~rows.all(axis=1))
            runs = np.split(empty, np.flatnonzero(np.diff(empty) != 1) + 1)
            if len(runs) <= 2 and 2 * len(empty) <= len(covered):
                return [f"{v}[{run[0]}:{run[-1] + 1}] = 0.0" for run in runs]
        return [f"{v}.fill(0.0)"]

    def _write_set_item(self, n: int, i: Instruction, position: int) -> None:
        base, value, index = i.args
        v = self._fresh(n, i, position)
        self.lines.append(f"{v}[...] = {self.spec(base)}")
        self.lines.append(f"{v}[{self.index(index)}] = {self.spec(value)}")

    def _write_join(self, n: int, i: Instruction, position: int) -> None:
        axis = i.kwargs["axis"]
        arrays = "(" + "".join(self.spec(a) + ", " for a in i.args) + ")"
        name = "concatenate" if i.function is join else "stack"
        self.constants[name] = getattr(np, name)
        out = self.out(n, position)
        self.lines.append(f"v{n} = {name}({arrays}, {axis}{', ' + out if out else ''})")


def readable(replay: Replay, arguments: list[str]) -> str:
    """The source for people: named arguments instead of the packed ones the machine passes."""
    head, *lines = replay.source.splitlines()
    name = head[4 : head.index("(")]
    lines = [line for line in lines if not line.endswith("= inputs")]
    if lines and lines[0].endswith("= buffers"):
        lines[0] = "    # b0, b1, …: buffers reused from call to call, passed as out"
    if lines[-1].endswith(",") and lines[-1].count(",") == 1:
        lines[-1] = lines[-1][:-1]
    return "\n".join([f"def {name}({', '.join(arguments)}):", *lines])


def compile_program(program: Program, outputs: list, name: str, arguments: list[str], plainly: bool = False) -> Replay:
    """The program as a callable; outputs are Refs and constants, in order; arguments names the inputs.

    plainly: as it was written down, not simplified.
    """
    simplified = as_written(program, outputs) if plainly else simplify(program, outputs)
    writer = _Writer(simplified, name, arguments, plainly)
    source = writer.write()
    scope: dict[str, Any] = {**writer.constants}
    exec(compile(source, f"<adselect {name}>", "exec"), scope)
    function = scope[name]
    if any(i.function not in QUIET for i in writer.program.instructions):
        # The backward part divides where f does not, and takes no warnings from there. What f itself meets shows in a
        # result that is not finite, and then the eager pass tells the user.
        function = np.errstate(all="ignore")(function)
    return Replay(function, source, writer.shapes, writer.program)
