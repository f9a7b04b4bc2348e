"""Where a NaN or an infinity is born: the first operation that makes one of finite numbers, and the user's line of it.

The operator is carried out once more with everything written down, as for a replay, and what is not finite in its
result is followed back to the operation whose operands are.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..adtypes import AutoTape
from ..engine.entering import enter
from ..face.array import Array
from ..rules.registry import RULES
from ..structure.flattening import flatten
from ..structure.leaves import Const
from ..values.kinds import isa
from ..values.natives import is_native
from .instructions import Instruction, Ref, uses_of
from .program import Program
from .program_array import ProgramArray

__all__ = ["Birth", "birth_of"]

_LIMIT = 20_000  # operations of the program that is searched


class Birth(NamedTuple):
    """An operation that makes a number that is not finite of finite ones.

    phase: ``"value"``, or ``"cotangent"`` where it is the operation's derivative that is not finite.
    """

    operation: str
    file: str
    line: int
    source: str
    phase: str


def birth_of(operator: Callable, f: Callable, args: tuple, options: dict, lost: np.ndarray) -> Birth | None:
    """Where the first number that is not finite in an operator's result, or in f's value, is born.

    lost: which entries of that are not finite. The program that is searched has plain zeros, and may have others. None
    where the built-in engine cannot tell: f is a framework's code, cannot be written down, or the number is in the
    arguments already.
    """
    leaves, skeleton = flatten(tuple([a.value if isinstance(a, Const) else a for a in args]))
    if any([is_native(leaf) or isinstance(leaf, Array) for leaf in leaves]):
        return None
    program, ends, values = Program(_LIMIT), [], []

    def watched(*given: Any, **kwargs: Any) -> Any:
        y = f(*given, **kwargs)
        ends.append(len(program.instructions))
        values.append(y)
        return y

    try:
        inputs = skeleton.rebuild([program.input(enter(leaf)) for leaf in leaves])
        traced = [type(old)(new) if isinstance(old, Const) else new for old, new in zip(args, inputs, strict=True)]
        with np.errstate(all="ignore"):
            result = operator(watched, AutoTape(replay=False), *traced, **options)
            return _Search(program, ends[0] if ends else 0).found((values[:1], result), lost)
    except Exception:  # an explanation of another error, which stands without it
        return None
    finally:
        program.open = False


class _Search:
    """A program, and where in it f ends and its derivative begins."""

    def __init__(self, program: Program, end: int):
        self.program, self.end = program, end

    def found(self, results: tuple, lost: np.ndarray) -> Birth | None:
        for number in self._lost(results, lost):
            born = self._followed(number, lost)
            i = self.program.instructions[born]
            if i.function is None or not all(map(_is_finite, self._operands(i))):
                return None  # in an argument or in what f captured
            if born < self.end:
                return _birth(i, "value")
            singular = self._singular(i)
            return None if singular is None else _birth(singular, "cotangent")
        return None

    def _lost(self, results: tuple, lost: np.ndarray) -> list[int]:
        """The values among the results that are not finite where one of them is known not to be, that of f first."""
        numbers = []
        for leaf in flatten(results)[0]:
            while isinstance(leaf, Array) and type(leaf) is not ProgramArray:
                leaf = leaf._primal  # type: ignore[attr-defined]
            if type(leaf) is ProgramArray and _shares(leaf.concrete, lost) is not None and leaf.shape == lost.shape:
                numbers.append(leaf.number)
        return numbers

    def _followed(self, number: int, lost: np.ndarray | None) -> int:
        """From a value to the first operation before it that makes a number that is not finite.

        lost: the entries of it that are meant; they stay the same in operands of the same shape.
        """
        while True:
            for n in uses_of(self.program.instructions[number]):
                value = self.program.concrete[n]
                shared = _shares(value, lost)
                if shared is not None:
                    number, lost = n, shared
                    break
            else:
                return number

    def _operands(self, i: Instruction) -> list:
        return [self.program.concrete[a.number] if type(a) is Ref else a for a in i.args]

    def _singular(self, born: Instruction) -> Instruction | None:
        """The operation of f whose derivative is not finite, of those that a step of the way back has to do with."""
        near = {n for n in self._all_uses(born) if n < self.end}
        for i in reversed(self.program.instructions[: self.end]):
            rule = RULES.get(i.function)
            if rule is None or not near & {i.number, *uses_of(i)}:
                continue
            args, y = tuple(self._operands(i)), self.program.concrete[i.number]
            for k, a in enumerate(i.args):
                if type(a) is Ref and k < len(rule.vjps) and isa(y, (np.ndarray, np.generic, float)):
                    try:
                        slope = rule.pull(k, np.ones(np.shape(y))[()], y, args, dict(i.kwargs))
                    except Exception:  # a rule that wants more than ones
                        continue
                    if not _is_finite(slope):
                        return i
        return None

    def _all_uses(self, i: Instruction) -> set[int]:
        """What a step of the way back reads, through other such steps."""
        found: set[int] = set()
        pending = [i.number]
        while pending:
            for n in uses_of(self.program.instructions[pending.pop()]):
                if n not in found:
                    found.add(n)
                    if n >= self.end:
                        pending.append(n)
        return found


def _shares(value: Any, lost: np.ndarray | None) -> np.ndarray | None:
    """Which entries of a value are not finite, of those that are meant where it has their shape; None for none."""
    if _is_finite(value):
        return None
    bad = ~np.isfinite(np.asarray(value)) if not isinstance(value, (tuple, list)) else np.ones((), bool)
    if lost is not None and bad.shape == lost.shape:
        bad = bad & lost
    return bad if bad.any() else None


def _is_finite(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_finite, value))
    if not isa(value, (np.ndarray, np.generic, float, complex)):
        return True
    array = np.asarray(value)
    return array.dtype.kind not in "fc" or bool(np.all(np.isfinite(array)))


def _birth(i: Instruction, phase: str) -> Birth | None:
    file, _, line = i.line.rpartition(":")
    if not file:
        return None
    name = getattr(i.function, "__name__", str(i.function))
    return Birth(name, file, int(line), linecache.getline(file, int(line)).strip(), phase)
