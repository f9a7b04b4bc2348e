"""Calls that have a shorter line than that of NumPy's function: products, shapes, entries, arrays put together."""

from __future__ import annotations

import operator

import numpy as np

from ...rules.elementwise import select
from ...rules.indexing import set_item
from ...rules.shaping import join, pile
from ..instructions import CONSTANT, Instruction, Ref
from .page import WRITERS, Page, writes
from .scalars import write_scalar

__all__ = ["is_elementwise", "out_of", "write_call"]


def write_call(page: Page, i: Instruction) -> None:
    """The line of one instruction: as an expression, as a row of the table says, or as a call of itself."""
    if i.function is CONSTANT:
        page.place[i.number] = page.constant(i.args[0])
        return
    if i.scalar and write_scalar(page, i):
        return
    if i.number not in page.program.unordered:
        for writer in WRITERS.get(i.function, ()):
            if writer(page, i):
                return
    if is_elementwise(i):
        _write_elementwise(page, i)
    else:
        page.line(i, f"{page.function(i.function)}({page.values(i)})")


def is_elementwise(i: Instruction) -> bool:
    """Whether an instruction is a ufunc of one result, without options."""
    return isinstance(i.function, np.ufunc) and i.function.nout == 1 and i.function.signature is None and not i.kwargs


def out_of(i: Instruction) -> str:
    """What stands between the operands of a ufunc and its buffer."""
    # NumPy reads a third positional argument of these two as another operand some day.
    return ", out=" if i.function in (np.maximum, np.minimum) else ", "


def _write_elementwise(page: Page, i: Instruction) -> None:
    text = ", ".join(page.operand(a, i) for a in i.args)
    if not i.scalar:
        out = page.buffers.inplace(i.number, page.position, list(i.args)) or page.buffers.out(i.number)
        text += out_of(i) + out if out else ""
    page.line(i, f"{page.function(i.function)}({text})")


@writes(operator.getitem)
def _getitem(page: Page, i: Instruction) -> bool:
    return page.line(i, f"{page.value(i.args[0])}[{page.index(i.args[1])}]")


@writes(np.matmul)
def _matmul(page: Page, i: Instruction) -> bool:
    """For vectors and matrices dot is the same product with less ado, but for the last digit."""
    if i.kwargs:
        return False
    out = None if i.scalar else page.buffers.out(i.number)
    shapes = [page.plan.shape(a) for a in i.args]
    plain = i.number not in page.program.strict and all(
        len(s) <= 2 and page.plan.is_float_array(a, s) for a, s in zip(i.args, shapes, strict=True)
    )
    name = "dot" if plain else "matmul"
    operands = ", ".join(map(page.value, i.args))
    return page.line(i, f"{page.use(name, getattr(np, name))}({operands}{', ' + out if out else ''})")


@writes(np.reshape)
def _reshape(page: Page, i: Instruction) -> bool:
    if type(i.args[0]) is not Ref or i.kwargs:
        return False
    shape, a = page.constant(i.shape), page.value(i.args[0])
    if page.instructions[i.args[0].number].scalar:
        return page.line(i, f"{page.function(np.full)}({shape}, {a})")
    return page.line(i, f"{a}.reshape({shape})")


@writes(np.transpose)
def _transpose(page: Page, i: Instruction) -> bool:
    if i.kwargs:
        return False
    axes = i.args[1] if len(i.args) > 1 else None
    base = page.value(i.args[0])
    return page.line(i, f"{base}.T" if axes is None else f"{base}.transpose({page.value(axes)})")


@writes(select, np.where)
def _where(page: Page, i: Instruction) -> bool:
    if len(i.args) != 3:
        return False
    page.use("where", np.where)
    return page.line(i, f"where({', '.join(map(page.value, i.args))})")


@writes(set_item)
def _set_item(page: Page, i: Instruction) -> bool:
    base, value, index = i.args
    v = page.fresh(i)
    page.lines.append(f"{v}[...] = {page.value(base)}")
    page.lines.append(f"{v}[{page.index(index)}] = {page.value(value)}")
    return True


@writes(join, pile)
def _join(page: Page, i: Instruction) -> bool:
    axis = i.kwargs["axis"]
    arrays = "(" + "".join(page.value(a) + ", " for a in i.args) + ")"
    name = "concatenate" if i.function is join else "stack"
    page.use(name, getattr(np, name))
    out = page.buffers.out(i.number)
    return page.line(i, f"{name}({arrays}, {axis}{', ' + out if out else ''})")
