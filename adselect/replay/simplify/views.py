"""Views: a factor passes through them, and a view of a view is one."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...rules.indexing import rolled
from ...rules.shaping import join
from ..facts import LINEAR, VIEWS
from ..indices import is_basic, only_reshapes, runs
from ..instructions import Instruction, refs_of
from .draft import Draft, Term
from .table import ARRAY, CONSTANT_TERM, REWRITES

__all__ = ["reshaped"]

_SHAPES = VIEWS & LINEAR


def reshaped(draft: Draft, base: Any, shape: tuple) -> Any:
    """A base in another shape."""
    if draft.shape(base) == shape and not draft.scalar(base):
        return base
    inner = draft.maker(base, np.reshape)
    if inner is not None:
        return reshaped(draft, inner.args[0], shape)
    return draft.emit(np.reshape, (base, shape), {}, shape, draft.dtype(base), False)


def _is_plain(i: Instruction) -> bool:
    """Whether a view has no options and is the same in every call."""
    if i.kwargs and not (i.function is np.reshape and set(i.kwargs) <= {"copy"}):
        return False
    return not any(True for _ in refs_of(tuple(i.args[1:])))


@REWRITES.row(_SHAPES, CONSTANT_TERM, exact=True)
def view_of_number(draft: Draft, i: Instruction, a: Term) -> Any:
    """A number everywhere is that in every shape."""
    return a if not i.kwargs or (i.function is np.reshape and set(i.kwargs) <= {"copy"}) else None


@REWRITES.row((np.reshape,), ARRAY, exact=True)
def reshape(draft: Draft, i: Instruction, a: Term) -> Any:
    """The shape of a shape is the last one."""
    return Term(a.factor, reshaped(draft, a.base, i.shape)) if _is_plain(i) else None


@REWRITES.row((np.broadcast_to,), ARRAY, exact=True)
def broadcast(draft: Draft, i: Instruction, a: Term) -> Any:
    """An array in its own shape is itself."""
    return a if draft.shape(a.base) == i.shape and _is_plain(i) else None


@REWRITES.row((np.transpose,), ARRAY, exact=True)
def transpose(draft: Draft, i: Instruction, a: Term) -> Any:
    """Two orders of the axes are one, and an order that changes nothing is none."""
    if not _is_plain(i):
        return None
    base, n = a.base, len(i.shape)
    axes = i.args[1] if len(i.args) > 1 else None
    order = tuple(range(n))[::-1] if axes is None else tuple(int(k) % n for k in axes)
    inner = draft.maker(base, np.transpose)
    if inner is not None:
        base, first = inner.args
        order = tuple(first[k] for k in order)
    if order != tuple(range(n)):
        base = draft.emit(np.transpose, (base, order), {}, i.shape, i.dtype, False)
    return Term(a.factor, base)


@REWRITES.row(_SHAPES, ARRAY, exact=True)
def view(draft: Draft, i: Instruction, a: Term) -> Any:
    """A view of c x is c times the view of x."""
    if not _is_plain(i):
        return None
    return Term(a.factor, draft.emit(i.function, (a.base, *i.args[1:]), {}, i.shape, i.dtype, False))


@REWRITES.row((operator.getitem,), CONSTANT_TERM, exact=True)
def part_of_number(draft: Draft, i: Instruction, a: Term) -> Any:
    """A part of a number everywhere is that number."""
    return a if is_basic(i.args[1]) and not any(True for _ in refs_of(i.args[1])) else None


@REWRITES.row((operator.getitem,), ARRAY, exact=True)
def part(draft: Draft, i: Instruction, a: Term) -> Any:
    """(c x)[k] = c x[k], which is a reshape where k takes everything"""
    index = i.args[1]
    if not is_basic(index) or any(True for _ in refs_of(index)):
        return None
    if i.shape and only_reshapes(index, draft.shape(a.base)):
        return Term(a.factor, reshaped(draft, a.base, i.shape))
    return Term(a.factor, draft.emit(operator.getitem, (a.base, index), {}, i.shape, i.dtype, i.scalar))


@REWRITES.row((operator.getitem,), ARRAY, exact=True)
def taken(draft: Draft, i: Instruction, a: Term) -> Any:
    """Elements by their numbers, where those are a few runs, are slices put together."""
    if any(True for _ in refs_of(i.args[1])):
        return None
    slices = runs(i.args[1], draft.shape(a.base))
    if slices is None:
        return None
    pieces = tuple(
        draft.emit(operator.getitem, (a.base, run), {}, (run.stop - run.start,), i.dtype, False) for run in slices
    )
    if len(pieces) == 1:
        return Term(a.factor, pieces[0])
    return Term(a.factor, draft.emit(join, pieces, {"axis": 0}, i.shape, i.dtype, False))


@REWRITES.row((rolled,), CONSTANT_TERM, exact=True)
def rolled_number(draft: Draft, i: Instruction, a: Term) -> Any:
    """A number everywhere stays where it is."""
    return a


@REWRITES.row((rolled,), ARRAY, exact=True)
def rolled_array(draft: Draft, i: Instruction, a: Term) -> Any:
    """An array rolled along an axis is two slices put together."""
    shift, axis = i.args[1:]
    n, pieces = i.shape[axis], []
    for cut, m in ((slice(n - shift, None), shift), (slice(None, n - shift), n - shift)):
        index = (*(slice(None),) * axis, cut) if axis else cut
        shape = (*i.shape[:axis], m, *i.shape[axis + 1 :])
        pieces.append(draft.emit(operator.getitem, (a.base, index), {}, shape, i.dtype, False))
    return Term(a.factor, draft.emit(join, tuple(pieces), {"axis": axis}, i.shape, i.dtype, False))
