"""Totals: the sum of an array along axes, where it is known, cheaper than adding up, or one call of NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...rules.linalg import contract
from ...values.kinds import isa
from ..instructions import Instruction, Ref
from .draft import Draft, Term, same
from .factors import as_it_is, ordered, whole
from .table import ARRAY, CONSTANT_TERM, REWRITES, Table
from .views import reshaped

_EINSUM = 2048  # entries from which one call of einsum is faster than a product and its sum
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


# Of the new instruction that is added up: a row is given it, the axes, and whether nothing else needs it; it gives a
# Term with the shape that is left, or with 1 in place of the axes.
TOTALS = Table()


@REWRITES.row((np.sum,), CONSTANT_TERM)
def sum_of_number(draft: Draft, i: Instruction, a: Term) -> Any:
    """The sum of n times c is n c."""
    axes = _axes_of(draft, i)
    return None if axes is None else Term(a.factor * math.prod(_old_shape(draft, i.args[0])[k] for k in axes), None)


@REWRITES.row((np.sum,), ARRAY, exact=True)
def sum_of_array(draft: Draft, i: Instruction, a: Term) -> Any:
    """Σ c x = c Σ x"""
    axes = _axes_of(draft, i)
    if axes is None or draft.shape(a.base) != _old_shape(draft, i.args[0]):
        return None
    if draft.strict:  # other sums may use this one
        ref = as_it_is(draft, i)
        draft.totals.setdefault(
            (a.base if type(a.base) is Ref else id(a.base), axes), (ref, _left(draft.shape(a.base), axes))
        )
        return ref
    lone = type(i.args[0]) is Ref and len(draft.users.get(i.args[0].number, ())) == 1
    total = total_of(draft, a.base, axes, lone)
    if total is None:
        ref = added_up(draft, a.base, axes, bool(i.kwargs.get("keepdims", False)))
        return Term(a.factor, ref if draft.shape(ref) == i.shape else reshaped(draft, ref, i.shape))
    total = Term(a.factor * total.factor, total.base)
    if total.base is None:
        return total
    if draft.shape(total.base) != i.shape:
        total = Term(total.factor, reshaped(draft, total.base, i.shape))
    return total if draft.scalar(total.base) == i.scalar else None


def _axes_of(draft: Draft, i: Instruction) -> tuple | None:
    """The axes along which an old sum adds up; None where it has other options, or nothing to add."""
    if len(i.args) > 2 or not set(i.kwargs) <= {"axis", "keepdims"}:
        return None
    axis = i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else None)
    if type(axis) not in (type(None), int, tuple):
        return None
    n = len(_old_shape(draft, i.args[0]))
    axes = tuple(range(n)) if axis is None else axis if type(axis) is tuple else (axis,)
    return tuple(sorted(k % n for k in axes)) or None if n else None


def _old_shape(draft: Draft, spec: Any) -> tuple:
    return draft.old[spec.number].shape if type(spec) is Ref else np.shape(spec)


def added_up(draft: Draft, base: Any, axes: tuple[int, ...], keepdims: bool) -> Ref:
    """The sum by NumPy; the same sum is taken once, whatever shape it is wanted in."""
    shape = draft.shape(base)
    rest = _left(shape, axes)
    key = (base if type(base) is Ref else id(base), axes)
    known = draft.totals.get(key)
    if known is not None:
        return known[0]
    every = len(axes) == len(shape)
    options: dict[str, Any] = {} if every and not keepdims else {"axis": axes[0] if len(axes) == 1 else axes}
    if keepdims:
        options["keepdims"] = True
    if every and keepdims:
        options["axis"] = None
    result = tuple(1 if k in axes else n for k, n in enumerate(shape)) if keepdims else rest
    ref = draft.emit(np.sum, (base,), options, result, draft.dtype(base), not result)
    draft.totals[key] = (ref, rest)
    return ref


def total_of(draft: Draft, base: Any, axes: tuple, lone: bool) -> Term | None:
    """The sum of base over axes where it is known or cheaper than adding up; lone: base is needed for it only."""
    known = draft.totals.get((base if type(base) is Ref else id(base), axes))
    if known is not None:
        return Term(1.0, known[0])
    i = draft.maker(base, *TOTALS.rows)
    return None if i is None else TOTALS.first(i.function, draft, i, axes, lone)


def _scaled_total(draft: Draft, base: Any, axes: tuple, lone: bool) -> Term | None:
    """The total of a summand: known, or cheap, also where it was multiplied out."""
    known = total_of(draft, base, axes, lone)
    if known is not None:
        return known
    negated = draft.maker(base, np.negative)
    if negated is not None:
        inner = _scaled_total(draft, negated.args[0], axes, False)
        return None if inner is None else Term(-inner.factor, inner.base)
    scaled = draft.maker(base, np.multiply)
    if scaled is not None and type(scaled.args[1]) is float:
        inner = _scaled_total(draft, scaled.args[0], axes, False)
        return None if inner is None else Term(inner.factor * scaled.args[1], inner.base)
    return None


def _left(shape: tuple, axes: tuple) -> tuple:
    """The shape without the axes."""
    return tuple(n for k, n in enumerate(shape) if k not in axes)


def _flat(draft: Draft, base: Any, shape: tuple) -> Any:
    return base if draft.shape(base) == shape else reshaped(draft, base, shape)


# -- of products -----------------------------------------------------------------------------------------------------


@TOTALS.row((np.multiply,))
def of_product(draft: Draft, i: Instruction, axes: tuple, lone: bool) -> Term | None:
    """Σ r x = r Σ x where r does not vary along the axes, and Σ x n / Σ x = n"""
    for r, x in (i.args, tuple(i.args)[::-1]):
        if type(x) is float or draft.shape(x) != i.shape or not _is_constant_along(draft, r, i.shape, axes):
            continue
        inner = _scaled_total(draft, x, axes, lone and draft.alone(x))
        shape = _left(i.shape, axes)
        if inner is None:
            if not lone or math.prod(i.shape) < 8:
                continue
            inner = Term(1.0, added_up(draft, x, axes, False))
        if inner.base is None:
            continue
        t = _flat(draft, inner.base, shape)
        if type(r) is float:
            return Term(inner.factor * r, t)
        cancelled = _cancelled(draft, r, t, inner.factor, shape)
        if cancelled is not None:
            return cancelled
        if not lone:
            continue
        lead = len(i.shape) - len(draft.shape(r))
        own = tuple(n for k, n in enumerate(draft.shape(r), lead) if k not in axes)
        r = r if draft.scalar(r) else _flat(draft, r, own)
        return Term(inner.factor, draft.emit(np.multiply, ordered(r, t), {}, shape, i.dtype, not shape))
    return None


def _cancelled(draft: Draft, r: Any, t: Any, factor: float, shape: tuple) -> Term | None:
    """(n / t) t = n"""
    quotient = draft.maker(_bare(draft, r), np.divide)
    if quotient is None or not same(_bare(draft, quotient.args[1]), _bare(draft, t)):
        return None
    n = quotient.args[0]
    if type(n) is float:
        return Term(factor * n, None)
    return Term(factor, n) if math.prod(draft.shape(n)) == math.prod(shape) else None


def _bare(draft: Draft, base: Any) -> Any:
    """base before it was reshaped."""
    inner = draft.maker(base, np.reshape)
    return base if inner is None else _bare(draft, inner.args[0])


def _is_constant_along(draft: Draft, r: Any, shape: tuple, axes: tuple) -> bool:
    if isa(r, float):
        return True
    own = draft.shape(r)
    lead = len(shape) - len(own)
    return all(k < lead or own[k - lead] == 1 for k in axes) and (
        not own or tuple(1 if k in axes else n for k, n in enumerate(shape))[lead:] == own
    )


@TOTALS.row((np.multiply, np.square))
def in_one_pass(draft: Draft, i: Instruction, axes: tuple, lone: bool) -> Term | None:
    """Σ a b along some axes is one call of einsum: nothing is stored in between."""
    a, b = i.args if i.function is np.multiply else (i.args[0], i.args[0])
    if not lone or (type(a) is not Ref and a is not b) or len(axes) == len(i.shape) or math.prod(i.shape) < _EINSUM:
        return None
    if any(isa(s, float) or draft.shape(s) != i.shape or draft.dtype(s) != i.dtype for s in (a, b)):
        return None
    letters = _LETTERS[: len(i.shape)]
    output = "".join(c for k, c in enumerate(letters) if k not in axes)
    options = {"terms": (letters, letters), "output": output}
    return Term(1.0, draft.emit(contract, (a, b), options, _left(i.shape, axes), i.dtype, False))


@TOTALS.row((np.matmul,))
def of_matmul(draft: Draft, i: Instruction, axes: tuple, lone: bool) -> Term | None:
    """The rows of a product add up to the product of the added rows."""
    a, b = i.args
    if not lone or len(draft.shape(a)) < 2 or len(draft.shape(b)) < 2 or axes != (len(i.shape) - 2,):
        return None
    row_axis = len(draft.shape(a)) - 2
    rows = total_of(draft, a, (row_axis,), False) or Term(1.0, added_up(draft, a, (row_axis,), True))
    if rows.base is None:
        return None
    kept = tuple(1 if k == row_axis else n for k, n in enumerate(draft.shape(a)))
    shape = tuple(1 if k in axes else n for k, n in enumerate(i.shape))
    row = reshaped(draft, rows.base, kept)
    return Term(rows.factor, draft.emit(np.matmul, (row, b), {}, shape, i.dtype, False))


# -- of sums ---------------------------------------------------------------------------------------------------------


@TOTALS.row((np.add, np.subtract))
def of_squares(draft: Draft, i: Instruction, axes: tuple, lone: bool) -> Term | None:
    """Σ (c a² + d b² + …) with positive factors is c a·a + d b·b + …: nothing cancels, nothing is stored"""
    if not lone or len(axes) != len(i.shape) or i.function is not np.add or not _are_summands(draft, i):
        return None
    found = _squares(draft, Ref(i.number), 1.0)
    if found is None or len(found) > 4:
        return None
    total: Any = None
    for c, x in found:
        dtype = draft.dtype(x)
        n = draft.emit(np.sum, (draft.emit(np.square, (x,), {}, *draft.kind(x)),), {}, (), dtype, True)
        part = whole(draft, Term(c, n), (), dtype, True)
        total = part if total is None else draft.emit(np.add, (total, part), {}, (), dtype, True)
    return Term(1.0, total)


@TOTALS.row((np.add, np.subtract))
def of_sum(draft: Draft, i: Instruction, axes: tuple, lone: bool) -> Term | None:
    """Σ (c x + d y) = (c + d) Σ x where Σ x = Σ y

    Two different totals are not added: where the summands cancel entry by entry, their totals have lost the rest.
    """
    if not _are_summands(draft, i):
        return None
    p, q = i.args
    lone_p, lone_q = lone and draft.alone(p), lone and draft.alone(q)
    a = _scaled_total(draft, p, axes, lone_p)
    b = _scaled_total(draft, q, axes, lone_q) if a is not None else None
    if a is None or b is None:
        return None
    if i.function is np.subtract:
        b = Term(-b.factor, b.base)
    if a.base is None and b.base is None:
        return Term(a.factor + b.factor, None)
    if a.base is None or b.base is None:
        return None
    shape = _left(i.shape, axes)
    left, right = (_flat(draft, t.base, shape) for t in (a, b))
    return Term(a.factor + b.factor, left if a.factor + b.factor else None) if same(left, right) else None


def _are_summands(draft: Draft, i: Instruction) -> bool:
    """Whether both operands have the shape of the sum."""
    return not any(isa(s, float) or draft.shape(s) != i.shape for s in i.args)


def _squares(draft: Draft, base: Any, c: float) -> list[tuple[float, Any]] | None:
    """A sum as (factor, what is squared), the factors being positive; None where it is something else."""
    i = draft.maker(base, np.square, np.multiply, np.add)
    if i is None:
        return None
    if i.function is np.square:
        return [(c, i.args[0])]
    if i.function is np.multiply and type(i.args[1]) is float and i.args[1] > 0:
        return _squares(draft, i.args[0], c * i.args[1])
    if i.function is np.add and all(type(s) is Ref and draft.shape(s) == i.shape for s in i.args):
        p, q = (_squares(draft, s, c) for s in i.args)
        return None if p is None or q is None else p + q
    return None
