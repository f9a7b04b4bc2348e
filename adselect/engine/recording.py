"""One call of f under the engine, backwards and forwards: leaves go in, outputs and the linear map come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..face.array import Array
from ..face.dispatch import absorb, plain
from ..primitives.borrowed import BORROWED
from ..rules.rule import choose
from ..rules.undetermined import CHOICE, refusal
from ..values.natives import is_native
from .buffered import pull_into
from .entering import as_floats, constant_of, enter, is_uncovered, uncover
from .forward import DualArray, Pass, chunks, enclose
from .reverse import pull_back
from .trace import TapeArray, Trace

__all__ = ["behind_faces", "push_behind_faces", "push_forward", "record"]

_FLOAT64 = np.dtype(np.float64)
_LARGE = 100_000  # entries of a leaf from which freeing the records on the way back pays


# -- backwards ---------------------------------------------------------------------------------------------------------


class Recorded:
    """The pullback of a call that was written down: it takes one seed per output, None for zero.

    Gives one cotangent per leaf, None where nothing depends on it.
    """

    __slots__ = ("_by_place", "_constants", "_large", "_n", "_native", "_places", "_trace", "_values")

    def __init__(self, trace: Trace, values: list, places: list, by_place: dict, native: bool, constants: bool):
        self._trace, self._values, self._places, self._by_place = trace, values, places, by_place
        self._native, self._constants = native, constants
        self._n = trace.next_place()
        self._large = any([type(v) is np.ndarray and v.size >= _LARGE for v in values])

    def __call__(self, y_bars: list) -> list:
        return self._pulled(y_bars, False)

    def once(self, y_bars: list) -> list:
        """The same where it will not be called again: what it holds is freed on the way."""
        return self._pulled(y_bars, self._large)

    def into(self, y_bars: list, buffers: list) -> list:
        """The same, once, with cotangents that add up in buffers of zeros where leaves have one."""
        return self._pulled(y_bars, self._large, buffers)

    def _pulled(self, y_bars: list, consume: bool, into: list | None = None) -> list:
        trace, values = self._trace, self._values
        if trace.watched:
            trace.check_watched()
        if type(trace.records) is not dict:  # with stretches that were not kept
            trace.records.settle(len(values), self._places)
        seeds: dict[int, Any] = dict.fromkeys(trace.selecting, 0.0)
        for place, y_bar in zip(self._places, y_bars):  # noqa: B905 -- as many seeds as outputs, from the operators
            if place >= 0 and y_bar is not None:
                if self._constants and not isinstance(y_bar, Array):
                    y_bar = constant_of(values, y_bar)
                seeds[place] = y_bar if place not in seeds else seeds[place] + y_bar
        if self._native:
            seeds = {k: enter(s) if is_native(s) else s for k, s in seeds.items()}
        if into is None or self._constants:
            grads = pull_back(
                trace.records, self._n, len(values), seeds, values, self._by_place, trace.nested, consume=consume
            )
        else:
            grads = pull_into(trace.records, self._n, seeds, values, self._by_place, trace.nested, consume, into)
        return uncover(grads) if self._native else grads


def record(call: Callable, leaves: list) -> tuple[list, list, Recorded]:
    """``(outputs, aux, back)`` of one call: what it does is written down, and ``back(y_bars)`` goes through it.

    Native arrays given: native arrays come back, also where a framework traces them with its face in between.
    """
    values: list = []
    integers: dict[int, Any] = {}
    native = covered = by_reference = False
    for i, leaf in enumerate(leaves):
        kind = type(leaf)
        if kind is float:
            leaf = np.float64(leaf)
        elif kind is not np.ndarray or leaf.dtype is not _FLOAT64:
            if isinstance(leaf, Array):
                covered = True
                by_reference = by_reference or leaf._by_reference
            else:
                native = native or is_native(leaf)
                leaf = enter(leaf)
            leaf, integers[i] = as_floats(leaf)
        values.append(leaf)
    native = native and not covered
    trace = Trace(by_reference)
    if covered:
        enclose(values)
    for i, value in enumerate(values):
        if type(value) is np.ndarray:
            values[i] = trace.keep(value)
    try:
        outputs, aux = call([trace.leaf(v, integers.get(i)) for i, v in enumerate(values)])
        places, plain_outputs, extras = [], [], []
        for output in outputs:
            if type(output) is np.ndarray:
                output = _absorbed(output)
            places.append(output._place if type(output) is TapeArray and output._trace is trace else -1)
            plain_outputs.append(_own_memory(_without(output, trace)))
    finally:
        trace.open = False
    if not covered:  # f may have captured values of an outer derivative
        enclose(plain_outputs)
    by_place = {place: y for place, y in zip(places, plain_outputs, strict=True) if place >= 0}
    back = Recorded(trace, values, places, by_place, native, by_reference)
    for value in aux:
        extras.append(_own_memory(_without(value, trace)))
    return (uncover(plain_outputs), uncover(extras), back) if native else (plain_outputs, extras, back)


def _absorbed(output: Any) -> Any:
    return absorb(output) if type(output) is np.ndarray and output.dtype == object else output


def _own_memory(value: Any) -> Any:
    """A copy of an array: results share no memory with arguments, tangents or what was written down."""
    return value.copy("K") if type(value) is np.ndarray else value


def _without(value: Any, trace: Any) -> Any:
    """A result as it is without this trace, or this forward pass."""
    if type(value) in (TapeArray, DualArray) and value._trace is trace:
        return value._primal
    if type(value) is np.ndarray and value.dtype == object:
        return _without(absorb(value), trace)
    return value


# -- forwards ----------------------------------------------------------------------------------------------------------


def push_forward(
    call: Callable, leaves: list, directions: list[list], chunk_size: int | None
) -> tuple[list, list[list], list]:
    """``(outputs, [output tangents per direction], aux)``: one evaluation of f per chunk of directions.

    Native arrays given: native arrays come back, also where a framework traces them with its face in between.
    """
    outputs, dots, aux = push_behind_faces(call, leaves, directions, chunk_size)
    if is_uncovered(leaves):
        return uncover(outputs), [uncover(row) for row in dots], uncover(aux)
    return outputs, dots, aux


def push_behind_faces(
    call: Callable, leaves: list, directions: list[list], chunk_size: int | None
) -> tuple[list, list[list], list]:
    # A Python int as well: what is carried out here are NumPy's functions, in which it would wrap.
    taken = [(np.float64(v), v) if type(v) is int else as_floats(v) for v in [enter(leaf) for leaf in leaves]]
    values = [value for value, _ in taken]
    enclose(values)
    if any([isinstance(v, Array) and v._by_reference for v in values]):
        directions = [
            [d if d is None or isinstance(d, Array) else constant_of(values, d) for d in direction]
            for direction in directions
        ]
    outputs: list = []
    aux: list = []
    dots: list[list] = []
    CHOICE.met = ""
    for group in chunks(directions, chunk_size):
        one_pass = Pass(len(group), any([isinstance(v, Array) and v._by_reference for v in values]))
        try:
            lifted = [one_pass.leaf(v, [d[i] for d in group], whole) for i, (v, whole) in enumerate(taken)]
            results, extras = call(lifted)
            results = [absorb(r) if type(r) is np.ndarray and r.dtype == object else r for r in results]
        finally:
            one_pass.close()
        for k in range(len(group)):
            dots.append([_own_memory(_tangent(r, one_pass, k)) for r in results])
        if CHOICE.met and any([_is_given_up(d, r) for row in dots for d, r in zip(row, results, strict=True)]):
            where, CHOICE.met = CHOICE.met, ""
            raise refusal("vectors of a repeated value", where)
        outputs = [_own_memory(_without(r, one_pass)) for r in results]
        enclose(outputs)  # f may have captured values of an outer derivative
        aux = [_own_memory(_without(a, one_pass)) for a in extras]
    return outputs, dots, aux


def _is_given_up(tangent: Any, result: Any) -> bool:
    """Whether a tangent is NaN although the result is finite: that of vectors that are not determined."""
    return tangent is not None and bool(np.any(np.isnan(plain(tangent)) & np.isfinite(plain(result))))


def _tangent(result: Any, one_pass: Pass, k: int) -> Any:
    if type(result) is DualArray and result._trace is one_pass:
        tangent = result._tangents[k]
        if tangent is None and k in one_pass.selecting:
            tangent = np.zeros(result.shape) if result.shape else 0.0
        if tangent is not None and np.shape(tangent) != result.shape:
            tangent = np.broadcast_to(tangent, result.shape).copy()
        if k in one_pass.repaired and not isinstance(tangent, Array):
            # The derivative of a value that is not finite is not repaired into numbers.
            tangent = choose(np.isfinite(plain(result._primal)), tangent, np.nan)
        return tangent
    return None


def behind_faces(linearized_matrix: Callable, call: Callable, leaves: list) -> tuple[list, list]:
    """A Jacobian put together behind the faces of tracers, of which NumPy cannot put anything together."""
    if not is_uncovered(leaves):
        return linearized_matrix(call, leaves)
    outputs, blocks = linearized_matrix(call, [enter(leaf) if is_native(leaf) else leaf for leaf in leaves])
    return uncover(outputs), uncover(blocks)


BORROWED["record"] = record
