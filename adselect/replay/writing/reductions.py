"""Reductions: by a ufunc's own method, as a product with ones or of vectors; and the share of an extremum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...rules.reductions import spread
from ..facts import REDUCTIONS
from ..instructions import Instruction
from .liveness import FLOAT
from .page import Page, writes

__all__ = ["share", "write_dot"]

_SHORT = 32  # entries of a last axis up to which NumPy's reductions along it are slow


@writes(*REDUCTIONS)
def _reduction(page: Page, i: Instruction) -> bool:
    """A reduction by the ufunc's own method: NumPy's functions of that name are detours to it."""
    if not set(i.kwargs) <= {"axis", "keepdims"} or len(i.args) > 2:
        return False
    ufunc = REDUCTIONS[i.function]
    axis = i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else None)
    keepdims = i.kwargs.get("keepdims") is True
    name = page.use(f"{ufunc.__name__}_reduce", ufunc.reduce)
    a, shape = page.value(i.args[0]), page.plan.shape(i.args[0])
    # Whether the order counts, in which it adds or multiplies.
    strict = i.number in page.program.strict and ufunc in (np.add, np.multiply)
    if not strict and not i.scalar and type(axis) is int and page.plan.is_float_array(i.args[0], shape):
        if ufunc is np.add and _write_product_with_ones(page, i, axis % len(shape), keepdims):
            return True
        if len(shape) == 2 and axis % 2 == 1 and 1 < shape[1] <= _SHORT and shape[0] >= 8 * _SHORT:
            # NumPy reduces a short last axis row by row; the columns of a copy are long.
            text = f"{name}({a}.T.copy(), 0)"
            return page.line(i, f"{text}.reshape({page.constant(i.shape)})" if keepdims else text)
    out = None if i.scalar or (strict and len(shape) > 2) else page.buffers.out(i.number)
    tail = f", None, {out}" + (", True" if keepdims else "") if out or keepdims else ""
    return page.line(i, f"{name}({a}, {page.value(axis)}{tail})")


def _write_product_with_ones(page: Page, i: Instruction, axis: int, keepdims: bool) -> bool:
    """A sum along one of the last two axes as a product with ones, which is several times faster; whether it is."""
    shape = page.plan.shape(i.args[0])
    m, from_end = shape[axis], len(shape) - axis
    if len(shape) < 2 or from_end > 2 or math.prod(shape[-2:]) < 64:
        return False
    a = page.value(i.args[0])
    rows = from_end == 2  # the rows are added: ones from the left
    ones = ((1, m) if rows else (m, 1)) if keepdims else (m,)
    name = page.use("ones_" + "_".join(map(str, ones)), np.ones(ones))
    function = "dot" if len(shape) == 2 else "matmul"
    page.use(function, getattr(np, function))
    out = page.buffers.out(i.number)
    operands = f"{name}, {a}" if rows else f"{a}, {name}"
    return page.line(i, f"{function}({operands}{', ' + out if out else ''})")


def write_dot(page: Page, i: Instruction, factors: tuple) -> None:
    """The sum of a product of two arrays as the product of two vectors."""
    page.use("dot", np.dot)
    texts = [page.value(a) + ("" if len(page.plan.shape(a)) == 1 else ".reshape(-1)") for a in factors]
    page.line(i, f"dot({', '.join(texts)})")


def share(g: Any, y: Any, a: Any, axis: Any, mask: Any, out: Any) -> Any:
    """:func:`~adselect.rules.reductions.spread` into buffers; y and g with 1 in place of the reduced axes."""
    np.equal(a, y, mask)
    if np.count_nonzero(mask) != y.size or np.isnan(np.add.reduce(y, None)):
        out[...] = spread(g, y, a, axis, True)
        return out
    return np.multiply(mask, g, out)


@writes(spread)
def _spread(page: Page, i: Instruction) -> bool:
    """The cotangent of an extremum along axes: a mask in a buffer, times the cotangent."""
    g, y, a, axis, keepdims = i.args
    if axis is None or i.dtype != FLOAT or not page.plan.is_float_array(a, i.shape):
        return False
    shape = i.shape
    axes = {k % len(shape) for k in (axis if type(axis) is tuple else (axis,))}
    kept = page.constant(tuple(1 if k in axes else m for k, m in enumerate(shape)))
    y_text, g_text = page.value(y), page.value(g)
    if not keepdims:
        y_text = f"{y_text}.reshape({kept})"
        if page.plan.shape(g):
            g_text = f"{g_text}.reshape({kept})"
    mask = page.buffers.scratch(shape, np.dtype(bool))
    out = page.buffers.out(i.number) or f"empty({page.constant(shape)})"
    page.use("empty", np.empty)
    page.use("share", share)
    return page.line(i, f"share({g_text}, {y_text}, {page.value(a)}, {page.value(axis)}, {mask}, {out})")
