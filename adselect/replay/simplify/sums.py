"""Sums of two: what is there twice is added up, and a common factor is multiplied once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..instructions import Instruction, Ref
from .draft import Draft, Term, same
from .factors import as_it_is, fits, ordered, passes_on, room, scaled, unscaled, whole
from .table import ANY, ARRAY, CONSTANT_TERM, NUMBER, REWRITES, ZERO


@REWRITES.row((np.subtract,), ANY, ANY)
def difference(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """x - y = x + (-y)"""
    return REWRITES.consult(np.add, draft, i, a, Term(-b.factor, b.base))


@REWRITES.row((np.add,), CONSTANT_TERM, CONSTANT_TERM)
def numbers(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """The sum of two numbers is a number."""
    return Term(a.factor + b.factor, None)


@REWRITES.row((np.add,), ZERO, ARRAY)
def nothing_plus(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """0 + x = x"""
    return fits(draft, b, i)


@REWRITES.row((np.add,), ARRAY, ZERO)
def plus_nothing(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """x + 0 = x"""
    return fits(draft, a, i)


@REWRITES.row((np.add,), NUMBER, ARRAY)
def number_plus(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """n + c x = c x + n"""
    return plus_number(draft, i, b, a)


@REWRITES.row((np.add,), ARRAY, NUMBER)
def plus_number(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """c x + n = c (x + n / c), where the factor goes on to somewhere else"""
    (c, base), number = a, b.factor
    if not room(c, number) or draft.shape(base) != i.shape:
        return None
    if abs(c) != 1.0 and passes_on(draft):
        return Term(c, _offset(draft, i, base, number / c))
    if c < 0:
        return draft.like(i, np.subtract, number, scaled(draft, i, base, -c))
    return _offset(draft, i, scaled(draft, i, base, c), number)


def _offset(draft: Draft, i: Instruction, base: Any, number: float) -> Ref:
    if number > 0:
        return draft.like(i, np.add, base, number)
    return draft.like(i, np.subtract, base, -number)


@REWRITES.row((np.add,), ARRAY, ARRAY)
def twice(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """c x + d x = (c + d) x"""
    if type(a.base) is Ref and same(a.base, b.base) and a.factor + b.factor != 0:
        # Where it does not fit no other row may take it either.
        return fits(draft, Term(a.factor + b.factor, a.base), i) or as_it_is(draft, i)
    return None


@REWRITES.row((np.add,), ARRAY, ARRAY)
def collected(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """(p ± q) ± q = p ± 2 q, where the inner sum is needed for this only"""
    for x, y in ((a, b), (b, a)):
        inner = draft.maker(x.base, np.add, np.subtract)
        if inner is None or inner.shape != i.shape or not draft.alone(x.base):
            continue
        p, q = inner.args
        sign = 1.0 if inner.function is np.add else -1.0
        for kept, again, first, second in ((p, q, 1.0, sign), (q, p, sign, 1.0)):
            if type(again) is not Ref or not same(again, y.base):
                continue
            more = Term(x.factor * second + y.factor, again)
            if not more.factor:
                return None
            if type(kept) is float:
                return plus_number(draft, i, more, Term(x.factor * first * kept, None))
            both = {i.number, draft.origin[x.base.number]}
            rest = unscaled(draft, Term(x.factor * first, kept))
            lone = both.issuperset(draft.users_of(again))
            return factored(draft, i, rest, more, lone) or plus(draft, i, rest, more)
    return None


@REWRITES.row((np.add,), ARRAY, ARRAY)
def factored(draft: Draft, i: Instruction, a: Term, b: Term, lone: bool = False) -> Any:
    """c g + d g h = g (c + d h), where g h is needed for this only: one multiplication of arrays less"""
    for x, y in ((a, b), (b, a)):
        if abs(x.factor) == 1.0 or not room(x.factor, y.factor) or not i.shape:
            continue
        if not (lone or draft.alone(y.base)) or _comes_again(draft, y.base):
            continue
        rest = _without(draft, y.base, x.base, i)
        if rest is not None:
            kind = draft.kind(rest)
            d = whole(draft, Term(abs(y.factor), rest), *kind)
            c = math.copysign(x.factor, x.factor * y.factor)
            function, args = (np.add, (d, c)) if c > 0 else (np.subtract, (d, -c))
            inner = draft.emit(function, args, {}, *kind)
            product = draft.like(i, np.multiply, *ordered(x.base, inner))
            return Term(math.copysign(1.0, y.factor), product)
    return None


def _comes_again(draft: Draft, base: Any) -> bool:
    """Whether the sum being rewritten goes into another sum with base, which then collects it."""
    for user in draft.users.get(draft.number, ()):
        if user != -1 and draft.old[user].function in (np.add, np.subtract):
            for spec in draft.old[user].args:
                if type(spec) is Ref and draft.old[spec.number].function is np.negative:
                    spec = draft.old[spec.number].args[0]
                term = draft.terms.get(spec.number) if type(spec) is Ref else None
                if term is not None and type(base) is Ref and same(term.base, base):
                    return True
    return False


def _without(draft: Draft, base: Any, g: Any, i: Instruction) -> Any:
    """The other factors of a product of arrays of one shape; None where g is not a factor."""
    product = draft.maker(base, np.multiply)
    if product is None or type(g) is not Ref or any(draft.shape(s) != i.shape for s in (g, *product.args)):
        return None
    x, y = product.args
    if same(g, y):
        return x
    if same(g, x):
        return y
    for one, other in ((x, y), (y, x)):
        rest = _without(draft, one, g, i) if draft.alone(one) else None
        if rest is not None:
            return draft.like(i, np.multiply, *ordered(rest, other))
    return None


@REWRITES.row((np.add,), ARRAY, ARRAY)
def plus(draft: Draft, i: Instruction, a: Term, b: Term) -> Any:
    """c x + d y = c (x + (d / c) y): a common factor goes on, and a sign makes the sum a difference"""
    if not room(a.factor, b.factor):
        return None
    if abs(a.factor) == abs(b.factor) or (abs(a.factor) != 1.0 != abs(b.factor) and passes_on(draft)):
        if a.factor < 0 < b.factor:
            a, b = b, a
        c = a.factor
        a, b = Term(1.0, a.base), Term(b.factor / c, b.base)
    else:
        c = 1.0
        if a.factor < 0 < b.factor:
            a, b = b, a
        elif a.factor < 0:
            c, a, b = -1.0, Term(-a.factor, a.base), Term(-b.factor, b.base)
    left, right = scaled(draft, i, a.base, a.factor), scaled(draft, i, b.base, abs(b.factor))
    if b.factor < 0:
        return Term(c, draft.like(i, np.subtract, left, right))
    return Term(c, draft.like(i, np.add, *ordered(left, right)))
