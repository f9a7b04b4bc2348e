"""The program that is being written anew: what has been written so far, and what the old values have become."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...values.kinds import isa
from ..instructions import Instruction, Ref, key_of

__all__ = ["Draft", "Term", "same"]


class Term(NamedTuple):
    """``factor * base``; base is a :class:`Ref`, an array, or None for the number itself, everywhere."""

    factor: float
    base: Any


def same(a: Any, b: Any) -> bool:
    """Whether two operands are one: the same instruction, the same array, or equal numbers.

    Kinds are looked at first: an operand may be an array, and ``==`` on arrays is a question to every entry.
    """
    if a is b:
        return True
    return type(a) is type(b) and type(a) in (Ref, float, int) and a == b


class Draft:
    """Old instructions on one side, new ones on the other; an old argument is asked for by :meth:`term`."""

    __slots__ = (
        *("decisive", "digits", "known", "line", "new", "number", "old", "origin", "places", "strict"),
        *("terms", "totals", "users"),
    )

    def __init__(self, old: list[Instruction], users: dict[int, list[int]], decisive: set[int]):
        self.old, self.users = old, users  # users: old instruction -> those that read it; -1: it leaves the program
        self.new: list[Instruction] = []
        self.known: dict[Any, Ref] = {}  # what is written already, by its key
        self.terms: dict[int, Term] = {}  # of old instructions
        self.places: dict[int, Any] = {}  # old instruction -> its value as an argument, where it is not a Term
        self.origin: dict[int, int] = {}  # new instruction -> the old one it was written for
        self.totals: dict[tuple, tuple[Ref, tuple]] = {}  # (base, axes) -> the sum, and its shape without the axes
        self.decisive = decisive  # old instructions whose last digit counts
        self.digits: set[int] = set()  # new ones
        self.line = ""  # of the user's code, and
        self.number = -1  # the old instruction that is being rewritten;
        self.strict = False  # whether its last digit counts

    def turn_to(self, i: Instruction) -> None:
        """What is written from now on is written for this old instruction."""
        self.line, self.number, self.strict = i.line, i.number, i.number in self.decisive

    # -- reading ---------------------------------------------------------------------------------------------------

    def term(self, spec: Any, dtype: Any) -> Term | None:
        """An old argument as a Term of this dtype; None where it is something else (an int array, a mask)."""
        kind = type(spec)
        if kind is Ref:
            term = self.terms.get(spec.number)
            if term is None or (term.base is not None and self.dtype(term.base) != dtype):
                return None
            return term
        if kind is float or kind is int or (kind is np.float64 and dtype == np.float64):
            return Term(float(spec), None) if math.isfinite(spec) else None
        if kind is np.ndarray and spec.dtype == dtype:
            return Term(1.0, spec)
        return None

    def dtype(self, base: Any) -> Any:
        return self.new[base.number].dtype if type(base) is Ref else base.dtype

    def shape(self, base: Any) -> tuple:
        return self.new[base.number].shape if type(base) is Ref else np.shape(base)

    def scalar(self, base: Any) -> bool:
        return self.new[base.number].scalar if type(base) is Ref else not isa(base, np.ndarray)

    def kind(self, base: Any) -> tuple:
        """Shape, dtype, and whether it is a number: what :meth:`emit` is told of a result."""
        return self.shape(base), self.dtype(base), self.scalar(base)

    def maker(self, base: Any, *functions: Any) -> Instruction | None:
        """The new instruction behind base if it is a call of one of the functions on values of base's own dtype."""
        if type(base) is Ref:
            i = self.new[base.number]
            if i.function in functions and all(
                self.dtype(a) == i.dtype for a in i.args if type(a) is Ref or isa(a, np.ndarray)
            ):
                return i
        return None

    def alone(self, base: Any) -> bool:
        """Whether nobody but the instruction being written needs base (which was written for one user)."""
        if type(base) is not Ref:
            return False
        users = self.users_of(base)
        return len({self._result(u) for u in users}) == 1 and -1 not in users

    def users_of(self, base: Ref) -> Any:
        """The old instructions that read what base was written for."""
        return self.users.get(self.origin.get(base.number, -1), ())

    def written_as(self, number: int) -> Ref | None:
        """The new instruction that an old one has become; None where it is a constant."""
        term = self.terms.get(number)
        ref = self.places.get(number) if term is None else term.base
        return ref if type(ref) is Ref else None

    def _result(self, user: int) -> Any:
        """What an old instruction has become; two that have become one count once."""
        term = self.terms.get(user)
        return user if term is None or type(term.base) is not Ref else term.base

    # -- writing ---------------------------------------------------------------------------------------------------

    def emit(
        self, function: Any, args: tuple, kwargs: dict, shape: tuple, dtype: Any, scalar: bool, shared: bool = True
    ) -> Ref:
        """A new instruction, or the one that is the same call."""
        key = key_of(function, args, kwargs) if shared else None
        if key is not None:
            ref = self.known.get(key)
            if ref is not None:
                if self.strict:
                    self.digits.add(ref.number)
                return ref
        number = len(self.new)
        i = Instruction.__new__(Instruction)
        i.number, i.function, i.args, i.kwargs, i.line = number, function, args, kwargs, self.line
        i.shape, i.dtype, i.scalar = shape, dtype, scalar
        self.new.append(i)
        self.origin[number] = self.number
        if self.strict:
            self.digits.add(number)
        ref = Ref(number)
        if key is not None:
            self.known[key] = ref
        return ref

    def like(self, i: Instruction, function: Any, *args: Any) -> Ref:
        """A call with a result like that of i."""
        return self.emit(function, args, {}, i.shape, i.dtype, i.scalar)
