"""AutoForward: the built-in engine in forward mode, several tangents at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..array import Array, absorb, plain
from ..kinds import isa
from ..natives import is_native
from ..rules.decompositions import CHOICE, refusal
from ..rules.registry import choose, without_zero_times_infinity
from ..structure import leaf_dtype
from ..tape.forward import DualArray, Pass, chunks, enclose
from .base import Backend, Call, FrameworkArray

__all__ = ["ForwardBackend", "behind_faces", "push_forward"]


def push_forward(
    call: Call, leaves: list, directions: list[list], chunk_size: int | None
) -> tuple[list, list[list], list]:
    """``(outputs, [output tangents per direction], aux)``: one evaluation of f per chunk of directions.

    Native arrays given: native arrays come back, also where a framework traces them with its face in between.
    """
    outputs, dots, aux = _push_behind_faces(call, leaves, directions, chunk_size)
    if is_uncovered(leaves):
        return uncover(outputs), [uncover(row) for row in dots], uncover(aux)
    return outputs, dots, aux


def is_uncovered(leaves: list) -> bool:
    """Whether leaves are a framework's own arrays and none is behind a face, so that results are to be the same."""
    return any(map(is_native, leaves)) and not any([isinstance(leaf, Array) for leaf in leaves])


def uncover(values: list) -> list:
    """The framework's own arrays behind their faces."""
    return [v.value if isinstance(v, FrameworkArray) else v for v in values]


def _push_behind_faces(
    call: Call, leaves: list, directions: list[list], chunk_size: int | None
) -> tuple[list, list[list], list]:
    from .tape import as_floats, enter

    # A Python int as well: what is carried out here are NumPy's functions, in which it would wrap.
    taken = [(np.float64(v), v) if type(v) is int else as_floats(v) for v in [enter(leaf) for leaf in leaves]]
    values = [value for value, _ in taken]
    enclose(values)
    if any([isinstance(v, Array) and v._by_reference for v in values]):
        from .tape import constant_of

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
        outputs = [_own_memory(_leave(r, one_pass)) for r in results]
        aux = [_own_memory(_leave(a, one_pass)) for a in extras]
    return outputs, dots, aux


def _is_given_up(tangent: Any, result: Any) -> bool:
    """Whether a tangent is NaN although the result is finite: that of vectors that are not determined."""
    return tangent is not None and bool(np.any(np.isnan(plain(tangent)) & np.isfinite(plain(result))))


def _tangent(result: Any, one_pass: Pass, k: int) -> Any:
    if type(result) is DualArray and result._trace is one_pass:
        tangent = result.tangents[k]
        if tangent is None and k in one_pass.selecting:
            tangent = np.zeros(result.shape) if result.shape else 0.0
        if tangent is not None and np.shape(tangent) != result.shape:
            tangent = np.broadcast_to(tangent, result.shape).copy()
        if k in one_pass.repaired and not isinstance(tangent, Array):
            # The derivative of a value that is not finite is not repaired into numbers.
            tangent = choose(np.isfinite(plain(result.value)), tangent, np.nan)
        return tangent
    return None


def _own_memory(value: Any) -> Any:
    """A copy of an array: results never share memory with arguments or tangents."""
    return value.copy("K") if type(value) is np.ndarray else value


def _leave(value: Any, one_pass: Pass) -> Any:
    if type(value) is DualArray and value._trace is one_pass:
        return value.value
    if type(value) is np.ndarray and value.dtype == object:
        return _leave(absorb(value), one_pass)
    return value


class ForwardBackend(Backend):
    """Forward mode; a pullback is assembled from one pushforward per entry of the leaves."""

    reverse = False
    forward = True

    def __init__(self, adtype: ADType):
        super().__init__(adtype)
        self.chunk_size = getattr(adtype, "chunk_size", None) or 64

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        return push_forward(call, leaves, directions, self.chunk_size)

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        def push(call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
            return _push_behind_faces(call, leaves, directions, self.chunk_size)

        outputs, aux, back = pullback_by_directions(push, call, leaves)
        if not is_uncovered(leaves):
            return outputs, aux, back
        from .tape import enter

        def pull(y_bars: list) -> list:
            return uncover(back([enter(g) for g in y_bars]))

        return uncover(outputs), uncover(aux), pull

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        return behind_faces(super().linearized_matrix, call, leaves)


def behind_faces(linearized_matrix: Callable, call: Call, leaves: list) -> tuple[list, list]:
    """A Jacobian put together behind the faces of tracers, of which NumPy cannot put anything together."""
    if not is_uncovered(leaves):
        return linearized_matrix(call, leaves)
    from .tape import enter

    outputs, blocks = linearized_matrix(call, [enter(leaf) if is_native(leaf) else leaf for leaf in leaves])
    return uncover(outputs), uncover(blocks)


def pullback_by_directions(
    pushforwards: Callable, call: Call, leaves: list
) -> tuple[list, list, Callable[[list], list]]:
    """A pullback from pushforwards along every coordinate (and i times it for complex leaves)."""
    directions, place = [], []
    for i, leaf in enumerate(leaves):
        dtype = leaf_dtype(leaf)
        shape = tuple(np.shape(leaf)) if not hasattr(leaf, "shape") else tuple(leaf.shape)
        size = int(np.prod(shape))
        for unit in (1.0, 1j) if dtype is not None and dtype.kind == "c" else (1.0,):
            for j in range(size):
                basis = np.zeros(
                    size, dtype=np.result_type(unit, dtype if dtype is not None and dtype.kind in "fc" else float)
                )
                basis[j] = unit
                direction: list = [None] * len(leaves)
                direction[i] = basis.reshape(shape) if shape else basis[0]
                directions.append(direction)
                place.append((i, j, unit))
    outputs, dots, aux = pushforwards(call, leaves, directions)

    def back(y_bars: list) -> list:
        entries: list[list] = [[] for _ in leaves]
        # What has no entries has a cotangent without entries.
        dependent = [isa(leaf, np.ndarray) and leaf.size == 0 and leaf.dtype.kind in "fc" for leaf in leaves]
        for (i, _, unit), tangents in zip(place, dots, strict=True):
            total: Any = 0.0
            for y_bar, y_dot in zip(y_bars, tangents, strict=True):
                if y_bar is None or y_dot is None:
                    continue
                dependent[i] = True
                product = np.conj(y_bar) * y_dot if _any_complex(y_bar, y_dot) else y_bar * y_dot
                if not (isinstance(product, Array) and product._by_reference):
                    product = without_zero_times_infinity(product, y_bar)
                total = total + np.real(np.sum(product))
            entries[i].append(total * unit)
        return [_assemble(e, leaf) if seen else None for e, leaf, seen in zip(entries, leaves, dependent, strict=True)]

    return outputs, aux, back


def _any_complex(*values: Any) -> bool:
    return any(np.iscomplexobj(v) for v in values)


def _assemble(entries: list, leaf: Any) -> Any:
    """The cotangent of a leaf from its entries (real parts first, then imaginary ones)."""
    shape = tuple(leaf.shape) if hasattr(leaf, "shape") else np.shape(leaf)
    size = int(np.prod(shape))
    if len(entries) == 2 * size and size:
        entries = [a + b for a, b in zip(entries[:size], entries[size:], strict=True)]
    if not shape:
        return entries[0]
    flat = np.stack(entries) if any(isinstance(e, Array) for e in entries) else np.array(entries)
    return np.reshape(flat, shape)
