"""A program as a Python function: its source, compiled, with its buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..facts import QUIET
from ..instructions import Ref, Simplified
from ..program import Program
from ..simplify.walk import as_written, simplify
from . import reductions, scatters
from .blocks import groups, write_blocked
from .calls import write_call
from .guards import write_guards
from .liveness import Plan
from .page import Page

__all__ = ["Replay", "compile_program", "readable"]


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
        return self.lend(inputs, _as_they_are)

    def lend(self, inputs: list, take: Callable[[tuple], Any]) -> Any:
        """``take(outputs)``; where the program was compiled for that, they are in buffers until take returns."""
        # One set of buffers per call that is running: popped here, put back afterwards.
        try:
            buffers = self.buffers.pop()
        except IndexError:
            buffers = _allocate(self.shapes)
        try:
            return take(self.function(inputs, buffers))
        finally:
            self.buffers.append(buffers)


def _as_they_are(outputs: tuple) -> tuple:
    return outputs


def _allocate(shapes: list[tuple]) -> tuple:
    return tuple([np.empty(shape, dtype) for shape, dtype in shapes])


def compile_program(
    program: Program, outputs: list, name: str, arguments: list[str], plainly: bool = False, lent: bool = False
) -> Replay:
    """The program as a callable; outputs are Refs and constants, in order; arguments names the inputs.

    plainly: as it was written down, not simplified. lent: with results in buffers, to be read by ``Replay.lend``.
    """
    simplified = as_written(program, outputs) if plainly else simplify(program, outputs)
    page = Page(simplified, Plan(simplified, plainly), lent)
    source = _write(page, name, arguments, plainly)
    scope: dict[str, Any] = {**page.constants}
    exec(compile(source, f"<adselect {name}>", "exec"), scope)
    function = scope[name]
    if any(i.function not in QUIET for i in simplified.instructions):
        # The backward part divides where f does not, and takes no warnings from there. What f itself meets shows in a
        # result that is not finite, and then the eager pass tells the user.
        function = np.errstate(all="ignore")(function)
    return Replay(function, source, page.buffers.shapes, simplified)


def _write(page: Page, name: str, arguments: list[str], plainly: bool) -> str:
    """The source; a line for each instruction, where plainly, and nothing in blocks."""
    plan, lines = page.plan, page.lines
    guards: dict[int, list] = {}
    for number, value in page.program.guards:
        guards.setdefault(number, []).append(value)
    names = [arguments[k] for k in range(len(page.program.inputs))]
    page.place.update(zip(page.program.inputs, names, strict=True))
    if names:
        lines.append(f"{_unpacked(names)} = inputs")
    for n in page.program.inputs:
        write_guards(page, n, guards.get(n, []))
    blocked = {} if plainly else groups(plan, guards)
    comment, done = "", 0
    for position, n in enumerate(plan.order):
        if position < done:
            continue
        if position in blocked:
            done = blocked[position]
            write_blocked(page, position, done)
            continue
        i, before = page.instructions[n], len(lines)
        page.position, page.place[n] = position, f"v{n}"
        _write_one(page, n)
        if i.line != comment and len(lines) > before and i.line:
            lines[before] += f"  # {i.line}"
            comment = i.line
        page.buffers.release(position, plan.operands(n))
        if plan.last.get(n) == position and n in page.buffers.holds:  # computed for a guard or for nothing
            page.buffers.release(position, [n])
        write_guards(page, n, guards.get(n, []))
    lines.append(f"return {_returned(page)}")
    buffers = [f"b{k}" for k in range(len(page.buffers.shapes))]
    head = [f"{_unpacked(buffers)} = buffers"] if buffers else []
    body = "\n".join("    " + line for line in head + lines)
    return f"def {name}(inputs, buffers):\n{body}\n"


def _write_one(page: Page, n: int) -> None:
    i, fold = page.instructions[n], page.plan.folded.get(n)
    if fold is None:
        write_call(page, i)
    elif fold[0] == "dot":
        reductions.write_dot(page, i, fold[1:])
    else:
        scatters.write_onto(page, i, *fold[1:])


def _unpacked(names: list[str]) -> str:
    return f"{', '.join(names)}{',' if len(names) == 1 else ''}"


def _returned(page: Page) -> str:
    """What is returned: nothing that lies in an argument, a constant or another result."""
    parts, seen = [], set()
    for r in page.program.outputs:
        text = page.value(r)
        if type(r) is Ref:
            i = page.instructions[r.number]
            owner = page.plan.root[r.number]
            shared = owner in seen or page.instructions[owner].function is None or owner != r.number
            seen.add(owner)
            if not i.scalar and shared and not page.buffers.lent:
                text += ".copy()"
        elif type(r) is np.ndarray and not page.buffers.lent:
            text += ".copy()"
        parts.append(text)
    return _unpacked(parts) if parts else "()"


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
