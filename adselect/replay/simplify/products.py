"""Products, quotients, squares: their numbers are multiplied with each other and go on as one factor."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ...rules.linalg import contract
from ...rules.reductions import spread
from ..instructions import Instruction, Ref
from .draft import Draft, Term, same
from .factors import argument, fits, ordered, room
from .table import ANY, ARRAY, CONSTANT_TERM, NUMBER, REWRITES, ZERO


@REWRITES.row((np.multiply,), CONSTANT_TERM, ANY)
@REWRITES.row((np.multiply,), ARRAY, CONSTANT_TERM)
def number_times(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """c · (d x) = (c d) x"""
    return fits(draft, Term(a.factor * b.factor, b.base if a.base is None else a.base), i)


@REWRITES.row((np.multiply,), ARRAY, ARRAY, exact=True)
def by_itself(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """x x = x²"""
    if a.factor == b.factor == 1.0 and type(a.base) is Ref and same(a.base, b.base):
        return Term(1.0, draft.like(i, np.square, a.base))
    return None


@REWRITES.row((np.multiply,), ARRAY, ARRAY)
def product(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """(c x) (d y) = (c d) (x y), and x x = x²"""
    c = a.factor * b.factor
    if not room(c):
        return None
    if type(a.base) is Ref and same(a.base, b.base):
        return Term(c, draft.like(i, np.square, a.base))
    return Term(c, draft.like(i, np.multiply, *ordered(a.base, b.base)))


@REWRITES.row((np.square,), ARRAY, exact=True)
def square(draft: Draft, i: Instruction, a: Term) -> Any:
    """(c x)² = c² x², where a last digit decides for c = 1"""
    c = a.factor**2
    return Term(c, draft.like(i, np.square, a.base)) if room(c) else None


@REWRITES.row((operator.pow,), ANY)
def power_of_numbers(draft: Draft, i: Instruction, a: Term) -> Any:
    """The powers of numbers and of arrays differ in their last digit only."""
    value = power(draft, i, a)
    return value if value is not None else draft.like(i, np.power, *argument(draft, tuple(i.args)))


@REWRITES.row((np.power,), ANY, exact=True)
def power(draft: Draft, i: Instruction, a: Term) -> Any:
    """x ** 1 = x, and x ** 2 = x², which is what NumPy computes for arrays"""
    p = i.args[1]
    if type(p) not in (int, float) or p not in (1, 2):
        return None
    return a if p == 1 else REWRITES.consult(np.square, draft, i, a)


@REWRITES.row((np.negative,), ANY)
def negative(draft: Draft, i: Instruction, a: Term) -> Any:
    """-(c x) = (-c) x"""
    return Term(-a.factor, a.base)


@REWRITES.row((np.divide,), (NUMBER, ARRAY), NUMBER)
def over_number(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """(c x) / d = (c / d) x"""
    return fits(draft, Term(a.factor / b.factor, a.base), i)


@REWRITES.row((np.divide,), NUMBER, ARRAY)
def number_over(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """c / (d y) = (c / d) (1 / y)"""
    c = a.factor / b.factor
    if not room(c):
        return None
    kind = (draft.shape(b.base), i.dtype, draft.scalar(b.base) or not draft.shape(b.base))
    return fits(draft, Term(c, draft.emit(np.divide, (1.0, b.base), {}, *kind)), i)


@REWRITES.row((np.divide,), ARRAY, ARRAY)
def quotient(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """(c x) / (d y) = (c / d) (x / y)"""
    c = a.factor / b.factor
    return Term(c, draft.like(i, np.divide, a.base, b.base)) if room(c) else None


@REWRITES.row((np.matmul,), ARRAY, ARRAY)
def matmul(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """(c A) (d B) = (c d) (A B)"""
    c = a.factor * b.factor
    return Term(c, draft.like(i, np.matmul, a.base, b.base)) if not i.kwargs and room(c) else None


@REWRITES.row((contract,))
def contraction(draft: Draft, i: Instruction) -> Any:
    """A contraction is linear in each operand: their factors are multiplied with each other."""
    terms = [draft.term(a, i.dtype) for a in i.args]
    if any(t is None or t.base is None for t in terms):
        return None
    c = math.prod([t.factor for t in terms if t is not None])
    if not room(c):
        return None
    bases = tuple([t.base for t in terms if t is not None])
    return Term(c, draft.emit(contract, bases, i.kwargs, i.shape, i.dtype, i.scalar))


@REWRITES.row((spread,), ZERO)
def share_of_nothing(draft: Draft, i: Instruction, g: Term) -> Any:
    """A cotangent that is zero is zero wherever the extremum stands."""
    return g
