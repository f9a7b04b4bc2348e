"""Factors: where one travels to, and where it is multiplied out."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..facts import LINEAR
from ..instructions import Instruction, Ref
from .draft import Draft, Term, same

__all__ = ["argument", "as_it_is", "fits", "ordered", "passes_on", "room", "scaled", "settled", "unscaled", "whole"]

# Beyond these a product of factors stays where the user wrote it: moved, it might overflow or vanish.
_SMALLEST, _LARGEST = 1e-20, 1e20


def room(*factors: float) -> bool:
    """Whether factors may be moved."""
    return all(_SMALLEST <= abs(c) <= _LARGEST for c in factors)


def ordered(a: Any, b: Any) -> tuple:
    """Two factors in one order, so that a·b and b·a are the same instruction."""
    return (b, a) if type(a) is Ref and type(b) is Ref and b.number < a.number else (a, b)


# -- multiplied out --------------------------------------------------------------------------------------------------


def argument(draft: Draft, spec: Any) -> Any:
    """An old argument as a new one, factors multiplied out."""
    kind = type(spec)
    if kind is Ref:
        term = draft.terms.get(spec.number)
        if term is None:
            return draft.places[spec.number]
        i = draft.old[spec.number]
        return whole(draft, term, i.shape, i.dtype, i.scalar)
    if kind is tuple or kind is list:
        return kind([argument(draft, s) for s in spec])
    if kind is slice:
        return slice(argument(draft, spec.start), argument(draft, spec.stop), argument(draft, spec.step))
    return spec


def as_it_is(draft: Draft, i: Instruction) -> Ref:
    """The instruction itself, on the new arguments."""
    kwargs = {k: argument(draft, v) for k, v in i.kwargs.items()} if i.kwargs else i.kwargs
    return draft.emit(i.function, argument(draft, tuple(i.args)), kwargs, i.shape, i.dtype, i.scalar)


def whole(draft: Draft, term: Term, shape: tuple, dtype: Any, scalar: bool) -> Any:
    """A Term as an argument: a number, or an instruction that multiplies it out."""
    c, base = term
    if base is None:
        return c if scalar or not shape else np.broadcast_to(np.array(c, dtype), shape)
    if draft.shape(base) != shape:
        base = draft.emit(np.broadcast_to, (base, shape), {}, shape, dtype, False)
    if c == 1.0:
        return base
    like = (draft.shape(base), dtype, draft.scalar(base))
    made = draft.maker(base, np.multiply, np.divide, np.subtract)
    if made is not None:
        a, b = made.args
        if made.function is np.multiply and type(b) is float and abs(c * b) == 1.0:  # c (d x) = ±x
            return whole(draft, Term(c * b, a), shape, dtype, scalar)
        if made.function is np.divide and type(a) is float and a == 1.0:  # c (1 / x) = c / x
            return draft.emit(np.divide, (c, b), {}, *like)
        if made.function is np.subtract and c == -1.0:  # -(x - y) = y - x
            return draft.emit(np.subtract, (b, a), {}, *like)
    if c == -1.0:
        return draft.emit(np.negative, (base,), {}, *like)
    return draft.emit(np.multiply, (base, c), {}, *like)


def scaled(draft: Draft, i: Instruction, base: Any, c: float) -> Any:
    """``c · base`` as an argument."""
    return whole(draft, Term(c, base), draft.shape(base), i.dtype, draft.scalar(base))


def unscaled(draft: Draft, term: Term) -> Term:
    """A term with a factor that was multiplied out taken out again."""
    product = draft.maker(term.base, np.multiply)
    if product is None or type(product.args[1]) is not float:
        return term
    return Term(term.factor * product.args[1], product.args[0])


def fits(draft: Draft, term: Term, i: Instruction) -> Term | None:
    """A term as the result of i: of its shape, and a number where i gives one."""
    if not room(term.factor):
        return None
    base = term.base
    if base is None or (draft.shape(base) == i.shape and draft.scalar(base) == i.scalar):
        return term
    if draft.shape(base) == i.shape or not i.shape:
        return None  # a 0-d array where NumPy gives a number
    return Term(term.factor, draft.emit(np.broadcast_to, (base, i.shape), {}, i.shape, i.dtype, False))


# -- carried on ------------------------------------------------------------------------------------------------------


def settled(draft: Draft, i: Instruction, term: Term) -> Term:
    """The term with its factor multiplied out where that costs less now than at every user."""
    c, base = term
    if base is None or abs(c) == 1.0:
        return term
    cost, additions = 0.0, 0
    users = draft.users.get(i.number, ())
    for user in users:
        if user == -1:
            return Term(1.0, whole(draft, term, i.shape, i.dtype, i.scalar))
        if draft.old[user].function in (np.add, np.subtract):
            additions += 1
        else:
            cost += _carrying(draft, user, i.number)
    if cost == math.inf:
        return Term(1.0, whole(draft, term, i.shape, i.dtype, i.scalar))
    if cost > math.prod(i.shape) or (additions and len(users) > 1):
        return Term(math.copysign(1.0, c), whole(draft, Term(abs(c), base), i.shape, i.dtype, i.scalar))
    return term


def _carrying(draft: Draft, user: int, number: int, depth: int = 4) -> float:
    """How many multiplications it takes to carry a factor of instruction number through one of its users."""
    u = draft.old[user]
    if not _is_linear(u, number):
        return math.inf
    if u.function is np.multiply and any(type(a) in (float, int, np.float64) for a in u.args):
        return 0.0  # two numbers become one
    here = math.prod(u.shape)
    users = draft.users.get(user, ())
    if depth == 0 or -1 in users or here <= 1:
        return here
    return min(here, sum([_carrying(draft, v, user, depth - 1) for v in users]))


def passes_on(draft: Draft) -> bool:
    """Whether a factor of the instruction being rewritten goes on to somewhere else."""
    return all(user != -1 and _is_linear(draft.old[user], draft.number) for user in draft.users.get(draft.number, ()))


def _is_linear(user: Instruction, number: int) -> bool:
    """Whether a factor of an instruction passes through one of its users."""
    if user.function is np.divide:
        return same(user.args[0], Ref(number))
    return user.function in LINEAR or (
        user.function in (np.power, operator.pow) and type(user.args[1]) in (int, float) and user.args[1] in (1, 2)
    )
