"""Scatters: parts that are added into zeros at their places, as the cotangents of slices are."""

from __future__ import annotations

import math
import operator
from typing import Any

from ...rules.indexing import scatter_parts
from ...values.kinds import isa
from ..indices import is_basic, only_reshapes, runs
from ..instructions import Instruction, refs_of
from .draft import Draft, Term
from .factors import scaled
from .table import REWRITES
from .views import reshaped


@REWRITES.row((scatter_parts,))
def scatter(draft: Draft, i: Instruction) -> Any:
    """Parts that are zero fall away, one that is everywhere is the sum itself, a common factor goes on."""
    indices, shape = i.kwargs["indices"], i.kwargs["shape"]
    if i.shape != tuple(shape) or not shape or any(True for _ in refs_of(indices)):
        return None
    parts: list[tuple[Term, Any]] = []
    for spec, index in zip(i.args, indices, strict=True):
        term = draft.term(spec, i.dtype)
        if term is None:
            return None
        if term.base is None and term.factor == 0:
            continue
        parts.extend(_in_runs(draft, term, index, shape) or _unnested(draft, term, index))
    if not parts:
        return Term(0.0, None)
    if len(parts) == 1 and only_reshapes(parts[0][1], shape):
        (c, base), _ = parts[0]
        if base is None:
            return Term(c, None)
        if math.prod(draft.shape(base)) == math.prod(shape):
            return Term(c, reshaped(draft, base, i.shape))
    factors = {term.factor for term, _ in parts if term.base is not None}
    c = factors.pop() if len(factors) == 1 and all(term.base is not None for term, _ in parts) else 1.0
    specs = tuple(
        [
            term.factor if term.base is None else scaled(draft, i, term.base, 1.0 if c != 1.0 else term.factor)
            for term, _ in parts
        ]
    )
    kwargs = {**i.kwargs, "indices": tuple(index for _, index in parts)}
    return Term(c, draft.emit(scatter_parts, specs, kwargs, i.shape, i.dtype, False))


def _in_runs(draft: Draft, term: Term, index: Any, shape: tuple) -> list[tuple[Term, Any]] | None:
    """A part that goes to a few runs of elements: a slice for each."""
    slices = runs(index, shape)
    if slices is None or term.base is None or draft.shape(term.base) != index.shape:
        return None
    found, start, dtype = [], 0, draft.dtype(term.base)
    for run in slices:
        stop = start + run.stop - run.start
        piece = draft.emit(operator.getitem, (term.base, slice(start, stop)), {}, (stop - start,), dtype, False)
        found.append((Term(term.factor, piece), run))
        start = stop
    return found


def _unnested(draft: Draft, term: Term, index: Any) -> list[tuple[Term, Any]]:
    """A part that was scattered itself, into one row: its parts straight into that row."""
    inner = draft.maker(term.base, scatter_parts)
    row = index if type(index) is tuple else (index,)
    if inner is None or not draft.alone(term.base) or not all(type(k) is int for k in row):
        return [(term, index)]
    found = []
    for spec, k in zip(inner.args, inner.kwargs["indices"], strict=True):
        if not is_basic(k):
            return [(term, index)]
        part = Term(term.factor * spec, None) if isa(spec, float) else Term(term.factor, spec)
        found.append((part, (*row, *(k if type(k) is tuple else (k,)))))
    return found
