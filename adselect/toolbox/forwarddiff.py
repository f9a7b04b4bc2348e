"""forwarddiff: a function that is differentiated by forward mode inside a reverse pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..adtypes import AutoForward
from ..backends.choice import backend_of
from ..calls.flat import flatten_output
from ..engine.forward import DualArray
from ..errors import ADSelectTypeError, ADSelectValueError, TracedValueError, user_line
from ..face.array import Array
from ..primitives.leaves import assembled, inner, zeros_of
from ..primitives.primitive import Definition, Primitive
from ..structure.flattening import Skeleton
from ..values.natives import natives_of
from ..values.tangents import NoTangent
from .in_reach import traced_out_of_reach
from .values import Parts, stacked

__all__ = ["forwarddiff"]

_CHUNK = 64


def forwarddiff(f: Callable[[Any], Any], x: Any, chunk_size: int | None = None) -> Any:
    """``f(x)``, which a reverse pass differentiates by forward mode: no intermediate value of f is kept.

    x: a number or an array (any structure of them will do), the result likewise of any shape. What f closes over is
    differentiated as x is. Gradients are those of ``f(x)``, to any order. chunk_size: how many directions are pushed at
    a time, 64 unless given; memory is that many times what f needs at once.

    In forward mode, with finite differences and for a framework's own arrays, it is f that is called and differentiated
    as ever. Raises TracedValueError when f uses a traced value that is neither its argument nor in its closure, since
    its derivative would be lost; ADSelectValueError for a chunk_size below 1. Cost: one call of f on the way forward;
    on the way back one for each chunk of the entries of x and of what f closes over. Worth it for few entries and long
    loops.

    >>> import numpy as np, adselect as ad
    >>> def power(x, n):
    ...     r = 1.0
    ...     for _ in range(n):
    ...         r = r * x
    ...     return r
    >>> ad.gradient(lambda x: forwarddiff(lambda x: power(x, 3), x), 2.0)
    (12.0,)
    >>> ad.gradient(lambda a, b: forwarddiff(lambda a: a * b, a), 2.0, 3.0)
    (3.0, 2.0)

    Source: Zygote.jl's ``forwarddiff``, which drops what f closes over.
    """
    if not callable(f):
        raise ADSelectTypeError(
            f"forwarddiff takes the function first: forwarddiff(f, x), not {type(f).__name__} ({user_line()})"
        )
    if chunk_size is not None and (chunk_size is True or chunk_size < 1):
        raise ADSelectValueError(f"forwarddiff: chunk_size={chunk_size!r} is no number of directions ({user_line()})")
    x = stacked(x)
    parts = Parts([f, x])
    leaves = parts.leaves
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Array) and not leaf._closed]
    if any(isinstance(leaves[i], DualArray) for i in places) or any(natives_of(leaf) is not None for leaf in leaves):
        return f(x)
    missed = traced_out_of_reach(f, leaves)
    if missed is not None:
        raise TracedValueError(
            f"the function given to forwarddiff at {user_line()} uses the traced value {missed}, which is neither its "
            "argument nor in its closure: its derivative would be lost. Pass it as part of the argument."
        )
    if not places:
        return f(x)
    call = _Pushed(parts, places, chunk_size or _CHUNK)
    results = _pushed(call, *[leaves[i] for i in places])
    return call.structure.rebuild(list(results))[0]


class _Pushed:
    """``f(x)`` as a flat function of the traced leaves, those in f's closure among them."""

    _opaque = True

    structure: Skeleton

    def __init__(self, parts: Parts, places: list[int], chunk_size: int):
        self.parts, self.places, self.chunk_size = parts, places, chunk_size
        self.leaves = list(parts.leaves)
        for i in places:
            self.leaves[i] = None

    def __call__(self, values: Any) -> tuple:
        full = list(self.leaves)
        for i, value in zip(self.places, values, strict=True):
            full[i] = value
        f, x = self.parts.around(full)
        results, self.structure = flatten_output(f(x))
        return tuple(results)

    def lifted(self, values: list) -> tuple[list, list]:
        return list(self(values)), []

    def pull(self, values: Any, y_bars: Any) -> list:
        """The cotangents of the values: ⟨ȳ, ẏ⟩ for one direction after the other, a chunk at a time."""
        push = backend_of(AutoForward(chunk_size=self.chunk_size)).pushforwards
        entries: list[list] = [[] for _ in values]
        reached: set[int] = set()
        directions = _directions(values)
        while chunk := list(itertools.islice(directions, self.chunk_size)):
            _, dots, _ = push(self.lifted, list(values), [direction for _, direction in chunk])
            for (i, _), row in zip(chunk, dots, strict=True):
                if any(y_dot is not None for y_dot in row):
                    reached.add(i)
                entries[i].append(inner(list(y_bars), row))
        return [
            assembled(found, value) if i in reached else NoTangent()
            for i, (found, value) in enumerate(zip(entries, values, strict=True))
        ]


def _directions(values: Any) -> Iterator[tuple[int, list]]:
    """``(number of the leaf, tangents)`` for each entry of each leaf, twice for complex ones."""
    for i, value in enumerate(values):
        zeros = zeros_of(value)
        for unit in (1.0, 1j) if zeros.dtype.kind == "c" else (1.0,):
            for k in range(zeros.size):
                tangent = np.zeros(zeros.size, zeros.dtype)
                tangent[k] = unit
                direction: list = [None] * len(values)
                direction[i] = tangent.reshape(zeros.shape) if zeros.ndim else tangent[0]
                yield i, direction


def _call(call: _Pushed, *values: Any) -> tuple:
    return call(values)


def _rrule(call: _Pushed, *values: Any) -> tuple:
    y = call(values)

    def pullback(y_bars: Any) -> tuple:
        y_bars = [None if isinstance(y_bar, NoTangent) else y_bar for y_bar in y_bars]
        with np.errstate(all="ignore"):  # a singular branch that is not taken divides by zero
            return (NoTangent(), NoTangent(), *call.pull(values, y_bars))

    return y, pullback


_pushed = Primitive(_call)
_pushed.__name__ = "forwarddiff"
_pushed.rrule = Definition(_rrule, frozenset(), False, "(y, pullback)")
