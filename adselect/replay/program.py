"""Tracing a computation for replay: every NumPy call is written down, whatever it computes.

A :class:`ProgramArray` carries a concrete value and stands for one instruction of a :class:`Program`. Unlike the
tape it records comparisons, masks and index arrays too, since a replay must compute them anew; where the traced code
turns a value into a Python bool or int, the program remembers it as a *guard*, checked on every replay. What cannot be
replayed raises :class:`NotReplayable`, and the caller stays with the eager tape.

What was computed before is not written twice; :mod:`adselect.replay.simplify` simplifies the rest afterwards.
"""

from __future__ import annotations

import operator
import sys
from collections import Counter
from typing import Any

import numpy as np

from ..engine.trace import _LEVELS
from ..face.array import Array
from ..face.dispatch import absorb
from ..places import PACKAGE
from ..rules.registry import RULES
from ..values.kinds import isa
from .facts import SETTLED, WHOLE
from .instructions import CONSTANT, Instruction, NotReplayable, Outline, Ref, Strides, key_of, refs_of
from .program_array import ProgramArray, wrap

__all__ = ["Program"]

_KEPT = 2048  # entries up to which a plain array is copied into the program


class Program:
    """The instructions of one traced computation: inputs first, then calls, in order; and the guards."""

    def __init__(self, limit: int):
        self.level = next(_LEVELS)
        self.instructions: list[Instruction] = []
        self.concrete: list[Any] = []
        self.inputs: list[int] = []
        self.guards: list[tuple[int, int, Any]] = []  # (position, instruction, expected value)
        self.known: dict[Any, int] = {}
        self.kept: dict[Any, np.ndarray] = {}  # copies of small plain arrays, by what they hold
        self.limit = limit
        self.open = True
        self.line = ""
        self.ordered = False  # whether the arguments' orders in memory are guards
        self.refusal = ""  # why this cannot be replayed, also where f has caught the exception that said so

    def refuse(self, why: str) -> NotReplayable:
        """The exception to raise for what no replay can repeat."""
        self.refusal = self.refusal or why
        return NotReplayable(why)

    def input(self, value: Any) -> ProgramArray:
        """A new argument of the program."""
        self.inputs.append(len(self.instructions))
        return self._emit(None, (), {}, value)

    def _emit(self, function: Any, args: tuple, kwargs: dict, value: Any) -> ProgramArray:
        number = len(self.instructions)
        if number >= self.limit:
            place, count = Counter(i.line or "rules" for i in self.instructions).most_common(1)[0]
            raise self.refuse(
                f"the traced computation has more than {self.limit:,} operations, {count:,} of them from {place}; "
                "calls on whole arrays in place of Python loops make it shorter"
            )
        self.instructions.append(Instruction(number, function, args, kwargs, value, _line()))
        self.concrete.append(value)
        return wrap(self, number, value)

    def constant(self, value: Any) -> ProgramArray:
        """A seed of the derivative as a value of the program: what it multiplies is then read anew by every replay."""
        key = ("constant", type(value), repr(value)) if not isa(value, np.ndarray) else None
        number = self.known.get(key) if key is not None else None
        if number is None:
            array = self._emit(CONSTANT, (value,), {}, value)
            if key is not None:
                self.known[key] = array.number
            return array
        return wrap(self, number, self.concrete[number])

    def guard(self, number: int, value: Any) -> None:
        """Remember that the traced code looked at this value."""
        self.guards.append((len(self.instructions), number, value))

    def guard_order(self) -> None:
        """Remember that the traced code looked at an order in memory, which follows from those of the arguments."""
        for n in () if self.ordered else self.inputs:
            array = self.concrete[n]
            if isa(array, np.ndarray) and array.ndim > 1:
                self.guard(n, Strides(None if array.flags.c_contiguous else array.strides))
        self.ordered = True

    def call(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Carry a call out on the concrete values and write it down, unless it is known."""
        refs = tuple([self._spec(a) for a in args])
        options = {k: self._spec(v) for k, v in kwargs.items()} if kwargs else {}
        key = key_of(function, refs, options)
        if key is not None:
            number = self.known.get(key)
            if number is not None:
                return self._unpack(number)
        value = function(*[self._concrete(r) for r in refs], **{k: self._concrete(r) for k, r in options.items()})
        if not isa(value, (np.ndarray, np.generic, float, int, complex, bool, tuple, list)):
            name = getattr(function, "__name__", function)
            raise self.refuse(f"{name} made a {type(value).__name__} out of a traced value, which no replay can follow")
        settled = self._is_settled(function, refs, options)
        if isinstance(value, (tuple, list)):
            return self._several(function, refs, options, value, key, settled)
        array = self._emit(function, refs, options, value)
        if not settled:
            self._guard_outline(array.number)
        if key is not None:
            self.known[key] = array.number
        return array

    def _is_settled(self, function: Any, refs: tuple, options: dict) -> bool:
        """Whether shape and dtype of a result follow from those of the arguments, whatever these hold."""
        if isinstance(function, np.ufunc) or function in SETTLED or getattr(function, "checks_kinds", False):
            return True
        if function is operator.getitem:
            return not any(self.instructions[n].dtype == np.bool_ for n in refs_of(refs[1]))
        if function is np.where:
            return len(refs) == 3
        if any(True for value in options.values() for _ in refs_of(value)):
            return False  # a traced option
        rule = RULES.get(function)
        if rule is not None:
            return all(rule.differentiable(i) or not any(True for _ in refs_of(r)) for i, r in enumerate(refs))
        # These rearrange their first argument as the others say.
        return function in WHOLE and not any(True for r in refs[1:] for _ in refs_of(r))

    def _guard_outline(self, number: int) -> None:
        made = self.instructions[number]
        self.guard(number, Outline(made.shape, made.dtype))

    def _several(self, function: Any, refs: tuple, options: dict, value: Any, key: Any, settled: bool) -> Any:
        whole = self._emit(function, refs, options, np.empty(0))
        self.concrete[whole.number] = value
        if not settled:
            self.guard(whole.number, Outline((len(value),), None))
        items: list = []
        for i, item in enumerate(value):
            array = None if item is None else self._emit(operator.getitem, (Ref(whole.number), i), {}, item)
            items.append(array)
            if array is not None and not settled:
                self._guard_outline(array.number)
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)

    def _unpack(self, number: int) -> Any:
        return wrap(self, number, self.concrete[number])

    def _spec(self, value: Any) -> Any:
        """An argument with Refs in place of this program's arrays."""
        if type(value) is ProgramArray:
            if value.program is not self:
                return value.concrete if not value.program.open else value
            return Ref(value.number)
        if type(value) is np.ndarray:
            if value.dtype != object:
                return self._kept(value)
            absorbed = absorb(value)
            return absorbed if absorbed is value else self._spec(absorbed)
        if isinstance(value, Array):
            raise self.refuse("a value of another derivative entered the traced computation")
        kind = type(value)
        if kind is tuple or kind is list:
            return kind([self._spec(v) for v in value])
        if kind is slice:  # what is cut out depends on the ends, the size of it does too
            return slice(*[_looked_at(s) for s in (value.start, value.stop, value.step)])
        return value

    def _kept(self, array: np.ndarray) -> np.ndarray:
        """A plain array as the program holds it: what it captures is frozen, a copy where that is small."""
        if array.size > _KEPT:
            return array
        base = array.base
        if type(base) is np.ndarray and base.flags.c_contiguous and base.size <= _KEPT and base.dtype.kind in "fciub":
            return self._kept_view(array, base)
        key = (array.dtype, array.shape, array.strides, array.flags.writeable, array.tobytes())
        known = self.kept.get(key)
        if known is None:
            known = array.copy(order="K")
            known.flags.writeable = array.flags.writeable
            self.kept[key] = self.kept[(*key[:2], known.strides, *key[3:])] = known
        return known

    def _kept_view(self, array: np.ndarray, base: np.ndarray) -> np.ndarray:
        """A view (a matrix transposed) as one of the copy that is kept of its base."""
        whole = self._kept(base)
        offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        key = ("view", id(whole), offset, array.shape, array.strides, array.dtype, array.flags.writeable)
        view = self.kept.get(key)
        if view is None:
            view = np.ndarray(array.shape, array.dtype, whole, offset, array.strides)
            view.flags.writeable = array.flags.writeable and whole.flags.writeable
            self.kept[key] = view
        return view

    def _concrete(self, spec: Any) -> Any:
        kind = type(spec)
        if kind is Ref:
            return self.concrete[spec.number]
        if kind is tuple or kind is list:
            return kind([self._concrete(s) for s in spec])
        if kind is slice:
            return slice(self._concrete(spec.start), self._concrete(spec.stop), self._concrete(spec.step))
        return spec


def _looked_at(end: Any) -> Any:
    """One end of a slice; a traced one as the number it is, which is a guard from now on."""
    return operator.index(end) if isinstance(end, Array) else end


def _line() -> str:
    """``file:line`` of the user's frame, or "" when there is none in between."""
    frame: Any = sys._getframe(3)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) and "numpy" not in name:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
