"""Loops as machine code: the statements in functions of some hundred lines each, compiled by numba."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import BackendNotInstalledError
from ..instructions import GuardFailed, Ref, Simplified
from . import views  # noqa: F401 - fills the table of the loops
from .loops import Loops

__all__ = ["compile_natively"]


_NUMBER = re.compile(r"\bv\d+\b")
_PIECE = 250  # lines of one function


def compile_natively(program: Simplified) -> Callable[..., tuple]:
    """The program as machine code: takes the flat inputs, returns the flat outputs.

    Raises NotReplayable when something in it is left to NumPy, and BackendNotInstalledError with the line to type when
    numba is missing. Compiles now: some seconds for a thousand operations.
    """
    if importlib.util.find_spec("numba") is None:
        raise BackendNotInstalledError(
            "AutoTape(native=True) needs the package numba, which is not installed. Type: "
            'pip install "adselect[numba]", or use AutoTape() for the replay without it.'
        )
    loops = Loops(program)
    loops.write()
    compiled = _compiled(loops)
    # What is no plain memory is one number everywhere, made by the algebra.
    held = [a.reshape(-1) if a.flags.c_contiguous else a.reshape(-1)[:1] for _, a in loops.constants.values()]
    shapes = [
        program.instructions[r.number].shape if type(r) is Ref and not program.instructions[r.number].scalar else None
        for r in program.outputs
    ]
    size, count = loops.size, len(program.outputs)
    spare: list[np.ndarray] = []  # workspaces: each call that is running has one for itself

    def run(inputs: Sequence, buffers: Any = None) -> tuple:
        outputs = [None if shape is None else np.empty(shape) for shape in shapes]
        results = np.empty(count)
        flat = [x.reshape(-1) if type(x) is np.ndarray else x for x in inputs]
        targets = [o.reshape(-1) for o in outputs if o is not None]
        try:
            workspace = spare.pop()
        except IndexError:
            workspace = np.empty(size)
        fits = compiled(workspace, results, *flat, *held, *targets)
        spare.append(workspace)
        if not fits:
            raise GuardFailed
        return tuple([results[k] if o is None else o for k, o in enumerate(outputs)])

    return run


def _compiled(loops: Loops) -> Any:
    """The statements as functions of at most some hundred lines, called one after the other."""
    import numba

    program = loops.program
    arguments = [
        *("w", "results"),
        *[f"x{k}" for k in range(len(program.inputs))],
        *[name for name, _ in loops.constants.values()],
        *[f"out{k}" for k, r in enumerate(program.outputs) if _is_array(program, r)],
    ]
    pieces: list[list[list[str]]] = [[]]
    length = 0
    for statement in loops.lines:
        if length + len(statement) > _PIECE and pieces[-1]:
            pieces.append([])
            length = 0
        pieces[-1].append(statement)
        length += len(statement)
    scope: dict[str, Any] = {"math": math}
    carried = _carried(pieces)
    slots = {name: loops.size + k for k, name in enumerate(sorted(set().union(*carried.values(), set())))}
    loops.size += len(slots)
    for k, piece in enumerate(pieces):
        reads, writes = _names(piece)
        body = [f"{name} = w[{slots[name]}]" for name in sorted(reads & slots.keys())]
        body += [line for statement in piece for line in statement]
        body += [f"w[{slots[name]}] = {name}" for name in sorted(writes & slots.keys())]
        text = "\n    ".join([f"def piece{k}({', '.join(arguments)}):", *body, "return True"])
        exec(compile(text, "<adselect native>", "exec"), scope)
        scope[f"piece{k}"] = numba.njit(scope[f"piece{k}"], error_model="numpy")
    calls = " and ".join(f"piece{k}({', '.join(arguments)})" for k in range(len(pieces)))
    exec(compile(f"def native({', '.join(arguments)}):\n    return {calls}", "<adselect native>", "exec"), scope)
    return numba.njit(scope["native"], error_model="numpy")


def _is_array(program: Simplified, r: Any) -> bool:
    return type(r) is Ref and not program.instructions[r.number].scalar


def _names(piece: list[list[str]]) -> tuple[set[str], set[str]]:
    """The numbers (``v12``) that a piece reads before it writes them, and those it writes."""
    reads: set[str] = set()
    writes: set[str] = set()
    for statement in piece:
        for line in statement:
            target, equals, value = line.partition(" = ")
            target = target.strip()
            is_number = bool(equals) and _NUMBER.fullmatch(target) is not None
            reads |= set(_NUMBER.findall(value if is_number else line)) - writes
            if is_number:
                writes.add(target)
    return reads, writes


def _carried(pieces: list[list[list[str]]]) -> dict[int, set[str]]:
    """What each piece needs of earlier ones."""
    return {k: _names(piece)[0] for k, piece in enumerate(pieces)}
