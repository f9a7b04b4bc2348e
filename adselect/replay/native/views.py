"""Views, joins and products in a compiled loop: where the entries lie, not what they are."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...rules.indexing import scatter_parts
from ...rules.shaping import join, pile
from ...values.kinds import isa
from ..instructions import Instruction, NotReplayable, Ref, refs_of
from .loops import HANDLERS, LONGEST, Loops
from .places import Place, steps_of


def handles(*functions: Any) -> Callable:
    """Register how calls of these functions are compiled."""

    def register(handler: Callable[[Loops, Instruction], None]) -> Callable[[Loops, Instruction], None]:
        HANDLERS.update(dict.fromkeys(functions, handler))
        return handler

    return register


@handles(np.reshape)
def _reshape(loops: Loops, i: Instruction) -> None:
    """Another shape of the same memory; a copy where the entries do not follow each other."""
    if type(i.args[0]) is Ref and i.args[0].number in loops.numbers:
        place = loops.new(i)
        name = loops.scalar(i.args[0])
        loops.loop(i.shape, lambda names: [f"{place.at(names)} = {name}"])
        return
    source = loops.place(i.args[0])
    if not source.contiguous:
        copied = Place("w", loops.size, steps_of(source.shape), source.shape)
        loops.size += math.prod(source.shape)
        loops.copy(source, copied)
        source = copied
    loops.places[i.number] = Place(source.base, source.offset, steps_of(i.shape), i.shape)


@handles(np.transpose)
def _transpose(loops: Loops, i: Instruction) -> None:
    source = loops.place(i.args[0])
    order = i.args[1] if len(i.args) > 1 and i.args[1] is not None else tuple(range(len(source.shape)))[::-1]
    loops.places[i.number] = Place(
        source.base, source.offset, tuple(source.strides[k] for k in order), tuple(source.shape[k] for k in order)
    )


@handles(np.broadcast_to)
def _broadcast(loops: Loops, i: Instruction) -> None:
    if not loops.shape(i.args[0]):
        _reshape(loops, i)
        return
    source = loops.place(i.args[0])
    lead = len(i.shape) - len(source.shape)
    strides = tuple(0 if n == 1 else s for s, n in zip(source.strides, source.shape, strict=True))
    loops.places[i.number] = Place(source.base, source.offset, (0,) * lead + strides, i.shape)


@handles(operator.getitem)
def _getitem(loops: Loops, i: Instruction) -> None:
    place = _part(loops.place(i.args[0]), i.args[1])
    if i.scalar:
        loops.numbers[i.number] = f"v{i.number}"
        loops.lines.append([f"v{i.number} = {place.at([])}"])
    else:
        loops.places[i.number] = place


def _part(source: Place, index: Any) -> Place:
    """The part of an array that a basic index selects."""
    if any(True for _ in refs_of(index)):
        raise NotReplayable("an index that is computed")
    parts = list(index) if type(index) is tuple else [index]
    if any(k is Ellipsis for k in parts):
        where = next(n for n, k in enumerate(parts) if k is Ellipsis)
        missing = len(source.shape) - sum(k is not None for k in parts) + 1
        parts[where : where + 1] = [slice(None)] * missing
    parts += [slice(None)] * (len(source.shape) - sum(k is not None for k in parts))
    offset, strides, shape, axis = source.offset, [], [], 0
    for k in parts:
        if k is None:
            strides.append(0)
            shape.append(1)
            continue
        n, stride = source.shape[axis], source.strides[axis]
        axis += 1
        if isinstance(k, slice):
            start, stop, step = k.indices(n)
            offset += start * stride
            strides.append(step * stride)
            shape.append(len(range(start, stop, step)))
        elif isa(k, (int, np.integer)) and not isa(k, bool):
            offset += (int(k) % n) * stride
        else:
            raise NotReplayable("an index array")
    return Place(source.base, offset, tuple(strides), tuple(shape))


@handles(scatter_parts)
def _scatter(loops: Loops, i: Instruction) -> None:
    place = loops.new(i)
    loops.loop(i.shape, lambda names: [f"{place.at(names)} = 0.0"])
    for part, index in zip(i.args, i.kwargs["indices"], strict=True):
        target = _part(place, index)
        if loops.shape(part):
            loops.copy(loops.place(part), target, "+=")
        else:
            name = loops.scalar(part)
            loops.loop(target.shape, lambda names, t=target, s=name: [f"{t.at(names)} += {s}"])


@handles(join, pile)
def _joined(loops: Loops, i: Instruction) -> None:
    """Arrays one after the other along an axis, or stacked along a new one."""
    place, start = loops.new(i), 0
    axis = i.kwargs["axis"] % len(i.shape)
    for part in i.args:
        n = 1 if i.function is pile else loops.shape(part)[axis]
        index: Any = (slice(None),) * axis + ((start,) if i.function is pile else (slice(start, start + n),))
        target = _part(place, index)
        if loops.shape(part):
            loops.copy(loops.place(part), target)
        else:
            loops.lines.append([f"{target.at([])} = {loops.scalar(part)}"])
        start += n


@handles(np.matmul)
def _matmul(loops: Loops, i: Instruction) -> None:
    a, b = (loops.place(s) for s in i.args)
    if len(a.shape) > 2 or len(b.shape) > 2 or math.prod(a.shape + b.shape[1:]) > 4 * LONGEST:
        raise NotReplayable("a large product of matrices")
    total = f"v{i.number}"

    def product(names: list[str]) -> list[str]:
        rows = names[:1] if len(a.shape) == 2 else []
        columns = names[-1:] if len(b.shape) == 2 else []
        return [
            f"{total} = 0.0",
            f"for j in range({a.shape[-1]}):",
            f"    {total} += {a.at([*rows, 'j'])} * {b.at(['j', *columns])}",
        ]

    if i.scalar:
        loops.numbers[i.number] = total
        loops.lines.append(product([]))
        return
    place = loops.new(i)
    loops.loop(i.shape, lambda names: [*product(names), f"{place.at(names)} = {total}"])
