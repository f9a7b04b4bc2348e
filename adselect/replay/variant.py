"""One traced branch of a prepared operator: compiled, and compared with the eager result."""

from __future__ import annotations

import functools
import inspect
import logging
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.entering import enter
from ..engine.reverse import is_finite
from ..errors import ADSelectError, ADSelectValueError, BackendNotInstalledError
from ..face.dispatch import plain
from ..places import place_text
from ..structure.flattening import flatten
from ..structure.leaves import is_leaf
from ..values.kinds import isa
from .differences import difference_in_words
from .instructions import GuardFailed, NotReplayable, Ref
from .native.compiling import compile_natively
from .program import Program
from .program_array import ProgramArray
from .rounding import rounding_noise
from .writing.function import Replay, compile_program, readable

LOGGER = logging.getLogger("adselect")


def reason_of(error: Exception) -> str:
    """Why a computation is not replayed, with the user's line where one is to blame."""
    if isinstance(error, GuardFailed):
        return "f took another branch when it was run again with the same arguments"
    text = str(error).strip() or type(error).__name__
    if not isinstance(error, ADSelectError):
        text = f"{type(error).__name__}: {text.splitlines()[0]}"
    place = place_text(error)
    return f"{text} (at {place})" if place and place.partition(", `")[0] not in text else text


def _builder(reference: Any, shape: Any, n: int) -> Callable[[list], Any]:
    """What makes the operator's result from its leaves; the common forms without walking a skeleton."""
    if type(reference) is tuple and len(reference) == n and all(is_leaf(r) for r in reference):
        return tuple
    if hasattr(reference, "_fields") and len(reference) == 2 and type(reference[1]) is tuple:
        value, grads = reference
        if len(grads) == n - 1 and all(is_leaf(r) for r in (value, *grads)):
            cls: Any = type(reference)
            return lambda results: cls(results[0], tuple(results[1:]))
    return lambda results: shape.rebuild(results)[0]


# Names that the generated source uses itself.
_RESERVED = re.compile(
    r"[vbcxkpq]\d.*|[ij]|inputs|buffers|float|(math|ones|add)_.*|.*_reduce|GuardFailed|share|spread|contract|select|clipped|join"
    r"|pile|set_item|scatter_parts"
)


def argument_names(f: Callable, args: tuple, skeleton: Any) -> list[str]:
    """Names for the inputs of the source: f's own parameter names where each argument is one leaf."""
    names = [f"x{k}" for k in range(len(skeleton.paths))]
    try:
        parameters = list(inspect.signature(f).parameters.values())[: len(args)]
    except (TypeError, ValueError):
        return names
    if skeleton.paths == [f"args[{k}]" for k in range(len(parameters))] and all(
        p.kind == p.POSITIONAL_OR_KEYWORD for p in parameters
    ):
        for k, p in enumerate(parameters):
            if not _RESERVED.fullmatch(p.name) and not hasattr(np, p.name):
                names[k] = p.name
    return names


class Variant:
    """One traced branch: inputs, compiled program, and how its outputs become the operator's result."""

    def __init__(
        self,
        program: Program,
        result: Any,
        reference: Any,
        leaves: list,
        name: str,
        arguments: list[str],
        plainly: bool = False,
    ):
        traced, _ = flatten((result,))
        expected, self.shape = flatten((reference,))
        if len(traced) != len(expected):
            raise NotReplayable("the traced result has another structure than the eager one")
        outputs = [Ref(t.number) if type(t) is ProgramArray else plain(t) for t in traced]
        self.arguments, self.outputs = arguments, outputs
        self.write = functools.partial(compile_program, program, outputs, name, arguments, plainly)
        self.replay: Replay = self.write()
        self.lending: Replay | None = None  # the same with results in buffers, where that has been asked for
        self.branches = [program.instructions[number].line for _, number, _ in program.guards]
        self.leaves, self.expected, self.reference = leaves, expected, reference
        self.run: Callable[..., tuple] = self.replay
        self.finish = [_finisher(e) for e in expected]
        self.enter = [_entry(leaf) for leaf in leaves]
        self.plain = all(e is None for e in self.enter)
        self.build = _builder(reference, self.shape, len(expected))
        self.fixed: tuple = ()
        self.written, self.inputs = program.instructions, program.inputs
        self.is_pair = (
            hasattr(reference, "_fields")
            and len(reference) == 2
            and type(reference[1]) is tuple
            and len(reference[1]) == len(expected) - 1
            and all(is_leaf(r) for r in (reference[0], *reference[1]))
        )

    def compile(self, leaves: list, reference: Any) -> tuple[str, bool]:
        """Machine code instead of NumPy's calls, where the program is one for that.

        Otherwise the replay stays as it is: the reason, and whether it is a failure of the compiler's or of ours.
        """
        try:
            self.run = compile_natively(self.replay.program)
            try:
                difference = self.difference(self(leaves), reference, leaves)  # numba compiles in the first call
            except (_NotFinite, ArithmeticError):
                difference = ""
            if not difference:
                return "", False
            reason, failed = f"the compiled result differs from the eager one: {difference}", True
        except BackendNotInstalledError:
            raise
        except Exception as error:
            reason, failed = reason_of(error), not isinstance(error, NotReplayable)
            if failed:
                LOGGER.warning("compiling a program natively failed", exc_info=error)
        self.run = self.replay
        return reason, failed

    @property
    def function(self) -> Callable[[Any, tuple], tuple]:
        """The program itself: ``function(inputs, buffers)``."""
        return self.replay.function if self.run is self.replay else self.run

    def __call__(self, leaves: list) -> Any:
        return self._built(self.run(self._entered(leaves)))

    def lend(self, leaves: list, take: Callable[[Any], Any]) -> Any:
        """``take(result)`` with a result in memory that the next call fills again."""
        if self.run is not self.replay:
            return take(self(leaves))
        if self.lending is None:
            self.lending = self.write(lent=True)
        return self.lending.lend(self._entered(leaves), lambda values: take(self._built(values)))

    def _entered(self, leaves: list) -> list:
        if self.plain:
            return leaves
        return [leaf if e is None else e(leaf) for leaf, e in zip(leaves, self.enter, strict=True)]

    def _built(self, values: tuple) -> Any:
        return self.build([finish(v) for finish, v in zip(self.finish, values, strict=True)])

    def is_beyond(self, error: Exception) -> bool:
        """Whether an error of the replay says that the result is not finite, as math's functions do by theirs."""
        return isinstance(error, (_NotFinite, ArithmeticError)) or (
            type(error) is ValueError and "math_" in self.replay.source
        )

    def confirm(self, leaves: list, reference: Any, eager: Callable) -> None:
        try:
            difference = self.difference(self(leaves), reference, leaves)
        except (ArithmeticError, ValueError) as error:
            if self.is_beyond(error):
                return  # a point where the eager way decides; the first call that can be replayed is compared
            raise
        if difference:
            if difference_in_words(eager(), reference):
                raise ADSelectValueError(
                    "f gives different results for the same arguments: does it draw random numbers or change state? "
                    "Pass random numbers in as an argument, or call the operator unprepared."
                )
            raise NotReplayable(f"a replay at the prepared point differs from the eager result: {difference}")

    def difference(self, result: Any, reference: Any, leaves: list) -> str:
        """How the result of a replay differs from the eager one, "" where rounding explains it."""
        return difference_in_words(
            result, reference, lambda: rounding_noise(self.written, self.inputs, self.outputs, leaves)
        )

    def readable(self) -> str:
        return readable(self.replay, self.arguments)


def _entry(leaf: Any) -> Callable | None:
    kind = type(leaf)
    if kind is np.ndarray:
        return None if leaf.dtype.isnative else enter
    return None if kind is float else enter


class _NotFinite(ValueError):  # noqa: N818 - a signal, not an error
    """A result that is not finite: the eager pass with strong zeros decides."""


def _finisher(expected: Any) -> Callable:
    """Brings an output into the kind the eager result has; gives the call up where it is not finite."""
    kind = type(expected)
    if kind is np.ndarray:
        dtype, shape = expected.dtype, expected.shape
        exact = dtype.kind not in "fc"

        def finish_array(value: Any) -> Any:
            if type(value) is not np.ndarray or value.dtype != dtype or value.shape != shape:
                value = np.broadcast_to(np.asarray(value, dtype), shape).copy()
            if not exact and not is_finite(value):
                raise _NotFinite
            return value

        return finish_array
    if isa(expected, np.ndarray):
        raise NotReplayable(f"the result is a {kind.__name__}, a class of its own")
    if kind is float:
        isfinite_ = math.isfinite

        def finish_float(value: Any) -> float:
            value = float(value)
            if not isfinite_(value):
                raise _NotFinite
            return value

        return finish_float

    def finish_scalar(value: Any) -> Any:
        value = kind(value)
        if not np.isfinite(value):
            raise _NotFinite
        return value

    return finish_scalar
