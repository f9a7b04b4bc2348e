"""Primitives in a traced program: the call of a rule is one step, the call of the pullback it returned another.

A replay runs the user's rule again, once and on real arrays, as the eager tape does; what the rule does inside is not
looked into. The steps work on copies, so that neither a rule nor its pullback can hold on to a buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..adtypes import AutoTape
from ..face.array import Array
from ..primitives.invocation import Invocation
from ..values.kinds import isa
from .instructions import GuardFailed, NotReplayable
from .program import Program
from .program_array import ProgramArray

__all__ = ["call", "pull"]


def call(invocation: Invocation, leaves: Sequence) -> Any:
    """The primitive's value, where no derivative of it is asked for."""
    program = _program_of(invocation, leaves)
    step = _Step(invocation, lambda own, values: own.take_result(own(*values)))
    return invocation.result(step.write(program, leaves))


def pull(invocation: Invocation, values: list) -> tuple[list, Callable[[list], list]]:
    """What :meth:`Invocation.pull` returns, the rule and its pullback being steps of the program behind the values."""
    program = _program_of(invocation, values)

    def run_rule(own: Invocation, values: list) -> list:
        outputs, back = own.pull(values, AutoTape())
        return [_Pullback(back), *outputs]

    rule = _Step(invocation, run_rule, "_rrule")
    pullback, *outputs = rule.write(program, values)

    def back(y_bars: list) -> list:
        given = [k for k, g in enumerate(y_bars) if g is not None]

        def run_pullback(_: Invocation, values: list) -> list:
            bars: list = [None] * len(outputs)
            for k, g in zip(given, values[1:], strict=True):
                bars[k] = g
            return values[0].back(bars)

        step = _Step(invocation, run_pullback, "_pullback")
        step.may_jump = False  # it is linear
        return step.write(program, [pullback, *[y_bars[k] for k in given]])

    return outputs, back


def _call_primitive(self: ProgramArray, invocation: Invocation, leaves: tuple) -> Any:
    return call(invocation, leaves)


def _pull_call(self: ProgramArray, invocation: Invocation, values: list) -> tuple[list, Callable[[list], list]]:
    return pull(invocation, values)


def _refused_push(self: ProgramArray, invocation: Invocation) -> NotReplayable:
    return NotReplayable(f"the primitive {invocation.__name__} in forward mode")


def _not_replayable(self: ProgramArray, reason: str) -> NotReplayable:
    return NotReplayable(reason)


# What the engine asks of a value of a program, which it does not know by name.
ProgramArray._call_primitive = _call_primitive  # type: ignore[attr-defined]
ProgramArray._pull_call = _pull_call  # type: ignore[attr-defined]
ProgramArray._not_replayable = _not_replayable  # type: ignore[attr-defined]
ProgramArray._refused_push = _refused_push  # type: ignore[attr-defined]


class _Pullback:
    """A pullback as a value of the program."""

    shape, dtype = (), np.dtype(object)

    def __init__(self, back: Callable[[list], list]):
        self.back = back


class _Step:
    """A function of a program that runs the user's code: ``run(invocation, values) → results``."""

    checks_kinds = True  # of its results, in every call
    may_jump = True  # as far as is known

    def __init__(self, invocation: Invocation, run: Callable[[Invocation, list], list], suffix: str = ""):
        self.invocation, self.run = invocation, run
        self.__name__ = invocation.__name__ + suffix
        self.kinds: list | None = None

    def __call__(self, *values: Any) -> tuple:
        called = self.invocation
        own = Invocation(called.primitive, called.skeleton, called.kinds)  # each call has its results for itself
        results = self.run(own, [_own(v) for v in values])
        if self.kinds is None:
            called.results = getattr(own, "results", None)  # type: ignore[assignment]
            self.kinds = [_kind(r) for r in results]
        elif self.kinds != [_kind(r) for r in results]:
            raise GuardFailed  # a rule that returns something of another kind this time
        return tuple(results)

    def write(self, program: Program, values: Sequence) -> list:
        """Run the step and write it down; its results as values of the program."""
        results = program.call(self, tuple(values), {})
        for value in results:
            if not (value is None or isa(value, (ProgramArray, np.ndarray, np.generic, int, float, complex))):
                raise NotReplayable(f"{self.__name__} returned {type(value).__name__}")
        return list(results)


def _kind(value: Any) -> tuple:
    return type(value), np.shape(value), getattr(value, "dtype", None)


def _own(value: Any) -> Any:
    """A value as the eager tape would hand it to a rule, in memory of its own."""
    if type(value) is np.ndarray:
        return value.copy("K")
    return np.float64(value) if type(value) is float else value


def _program_of(invocation: Invocation, values: Sequence) -> Program:
    traced = [v for v in values if isinstance(v, Array)]
    if not all(type(v) is ProgramArray and v.program.open for v in traced):
        raise NotReplayable(f"the rule of the primitive {invocation.__name__} is differentiated itself")
    return traced[0].program
