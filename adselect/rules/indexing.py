"""Reading and writing at an index: getitem, writing in place, take, sorting, and everything that only rearranges.

A function that moves elements around without changing them is applied to the numbers of the elements instead; the
result is an index, and reading at it is the one rule all of them share.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..errors import UnsupportedError
from ..face.array import Array
from ..face.atoms import dispatched, is_one_mask, rolled, scatter, scatter_parts, set_item
from ..face.dispatch import absorb, dispatch
from ..face.functions import partitioned
from ..face.indices import is_basic, looked_at, plain_index
from ..face.refusals import refused_number
from ..values.kinds import isa
from .registry import RULES, composite, define, no_derivative
from .rule import Rule, unbroadcast

__all__ = ["SET_ITEM", "pull_set_item"]


define(
    scatter_parts,
    lambda i, g, y, *parts, indices, shape, dtype: unbroadcast(
        g[indices[i]], np.shape(g[indices[i]]), np.shape(parts[i])
    ),
    lambda i, d, y, *parts, indices, shape, dtype: scatter([d], [indices[i]], shape, dtype),
    variadic=True,
    keeps_zeros=True,
)

define(
    operator.getitem,
    (lambda g, y, x, index: scatter([g], [index], np.shape(x), getattr(g, "dtype", float)),),
    (lambda d, y, x, index: d[index],),
    call=lambda x, index: x[index],
    keeps_zeros=True,
)


def _is_computed(index: Any) -> bool:
    """Whether an index holds values of a program being written, where a replay has others."""
    return isinstance(index, Array) or (type(index) in (tuple, list) and any(isinstance(k, Array) for k in index))


def _written(g: Any, index: Any) -> Any:
    """Cotangent of the written values; with repeated indices only the last write counts."""
    part = dispatch(operator.getitem, (g, index), {}) if _is_computed(index) else g[index]
    if is_basic(index) or is_one_mask(index):
        return part
    if _is_computed(index):
        return np.where(_is_last(np.shape(g), index), part, 0.0)
    positions = np.arange(int(np.prod(np.shape(g)))).reshape(np.shape(g))[index]
    last = np.zeros(np.shape(g), dtype=np.intp).ravel()
    order = np.arange(positions.size).reshape(positions.shape)
    last[positions.ravel()] = order.ravel()
    return np.where(last[positions] == order, part, 0.0)


def _is_last(shape: tuple, index: Any) -> Any:
    """Where no later write falls on the same entry, for an index that is computed anew by every replay."""
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    positions = dispatch(operator.getitem, (numbers, index), {})
    flat = np.ravel(positions)
    order = np.cumsum(flat * 0 + 1)  # as many as there are this time
    last = dispatch(set_item, (np.zeros(numbers.size, np.intp), order, flat), {})
    return np.reshape(dispatch(operator.getitem, (last, flat), {}) == order, np.shape(positions))


def _rest(g: Any, index: Any) -> Any:
    """g with 0 at the index."""
    keep: Any = np.ones(np.shape(g), bool)
    if _is_computed(index):
        keep = dispatch(set_item, (keep, False, index), {})
    else:
        keep[index] = False
    return np.where(keep, g, 0.0)


def _base_tangent(d: Any, y: Any, base: Any, value: Any, index: Any) -> Any:
    return _rest(d, index)


def _value_tangent(d: Any, y: Any, base: Any, value: Any, index: Any) -> Any:
    return dispatch(set_item, (np.zeros(np.shape(base), np.result_type(d)), d, index), {})


define(
    set_item,
    (
        lambda g, y, base, value, index: _rest(g, index),
        lambda g, y, base, value, index: _to_shape(_written(g, index), value),
    ),
    (_base_tangent, _value_tangent),
    keeps_zeros=True,
)
SET_ITEM: Rule = RULES[set_item]


def _to_shape(g: Any, value: Any) -> Any:
    shape = np.shape(value)
    if len(shape) > np.ndim(g):  # NumPy drops leading 1s when it writes
        return np.reshape(unbroadcast(g, np.shape(g), shape[len(shape) - np.ndim(g) :]), shape)
    return unbroadcast(g, np.shape(g), shape)


def pull_set_item(g: Any, args: tuple, parents: tuple, owned: bool) -> tuple[Any, Any, bool]:
    """Cotangents of base and value, and whether the base's is a buffer the caller owns.

    An owned buffer is zeroed at the index and passed on, so that a loop of writes costs no copies.
    """
    _, value, index = args
    g = g if isinstance(g, Array) else np.asarray(g)
    value_bar = _to_shape(_written(g, index), value) if parents[1] >= 0 else None
    if parents[0] < 0:
        return None, value_bar, False
    if isinstance(g, Array):
        return _rest(g, index), value_bar, False
    if isa(value_bar, np.ndarray) and value_bar.base is not None:
        value_bar = value_bar.copy()
    base_bar = g if owned and g.flags.writeable else np.array(g)
    base_bar[index] = 0
    return base_bar, value_bar, True


# -- what only moves elements ------------------------------------------------------------------------------------------


def rearranged(function: Callable, x: Any, *args: Any, **kwargs: Any) -> Any:
    """``function(x, …)`` for a function that only moves elements: read x at the moved element numbers."""
    shape = np.shape(x)
    for a in (*args, *kwargs.values()):
        if isinstance(a, Array) and a.dtype.kind in "fc":
            raise refused_number("int", a.shape)
    if function in (np.take_along_axis, np.repeat, np.tile):  # which are one step of a program
        numbers: Any = dispatch(function, (np.arange(int(np.prod(shape))).reshape(shape), *args), kwargs)
    else:
        args, kwargs = looked_at(args), {name: looked_at(value) for name, value in kwargs.items()}
        numbers = function(np.arange(int(np.prod(shape))).reshape(shape), *args, **kwargs)
    flat = np.reshape(x, -1)
    if isinstance(numbers, (list, tuple)):
        return type(numbers)([flat[n] for n in numbers])
    if isa(numbers, np.ndarray):
        numbers.flags.writeable = False  # a replay may rely on it: runs of numbers become slices
    return flat[numbers]


def _register_rearrangements(functions: list) -> None:
    for function in functions:

        def moved(x: Any, *args: Any, _function: Callable = function, **kwargs: Any) -> Any:
            return rearranged(_function, x, *args, **kwargs)

        composite(function)(moved)


_register_rearrangements(
    [
        *(np.take_along_axis, np.diagonal, np.rot90, np.repeat, np.tile, np.resize, np.delete, np.rollaxis),
        np.lib.stride_tricks.sliding_window_view,
    ]
)


@composite(np.flip)
def _flip(m: Any, axis: Any = None) -> Any:
    n = np.ndim(m)
    axes = range(n) if axis is None else normalize_axis_tuple(axis, n)
    return m[tuple([slice(None, None, -1 if k in axes else None) for k in range(n)])]


composite(np.flipud)(lambda m: np.flip(m, 0))
composite(np.fliplr)(lambda m: np.flip(m, 1))


define(
    rolled,
    (lambda g, y, x, shift, axis: rolled(g, np.shape(x)[axis] - shift, axis),),
    (lambda d, y, x, shift, axis: rolled(d, shift, axis),),
    by_shape=True,
    keeps_zeros=True,
)


@composite(np.roll)
def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    shape = np.shape(a)
    if axis is None:
        if len(shape) != 1:
            return np.reshape(np.roll(np.reshape(a, -1), shift), shape)
        shift, axis = shift if type(shift) is int else int(np.sum(shift)), 0
    if type(shift) is int and type(axis) is int and 0 <= axis < len(shape):
        shifts = {axis: shift}
    else:
        shifts = {}
        for by, k in np.broadcast(shift, normalize_axis_tuple(axis, len(shape), allow_duplicate=True)):
            shifts[int(k)] = shifts.get(int(k), 0) + int(by)
    y = a
    for k, by in shifts.items():
        by %= shape[k] or 1
        if by:
            y = rolled(y, by, k)
    return np.copy(y) if y is a else y


@composite(np.take)
def _take(a: Any, indices: Any, axis: Any = None, mode: str = "raise") -> Any:
    n = int(np.prod(np.shape(a))) if axis is None else np.shape(a)[axis]
    if mode == "wrap":
        indices = np.asarray(indices) % n
    elif mode == "clip":
        indices = np.clip(indices, 0, n - 1)
    if isinstance(indices, Array) and indices.dtype.kind in "fc":
        raise refused_number("int", indices.shape)
    if axis is None:
        return np.reshape(a, -1)[indices]
    return a[(slice(None),) * (axis % np.ndim(a)) + (indices,)]


@composite(np.compress)
def _compress(condition: Any, a: Any, axis: Any = None) -> Any:
    return np.take(np.atleast_1d(a), np.flatnonzero(condition), axis=axis)


@composite(np.extract)
def _extract(condition: Any, arr: Any) -> Any:
    return np.reshape(arr, -1)[np.flatnonzero(condition)]


@composite(np.sort)
def _sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, stable: Any = None) -> Any:
    if axis is None:
        a, axis = np.reshape(a, -1), -1
    return np.take_along_axis(a, np.argsort(a, axis=axis, kind="stable"), axis)


@composite(np.partition)
def _partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    if axis is None:
        a, axis = np.reshape(a, -1), -1
    return np.take_along_axis(a, np.argpartition(a, kth, axis=axis), axis)


@composite(partitioned)
def _partitioned(a: Any, kth: Any, axis: int) -> Any:
    try:
        order = partition_places(a, kth, axis)
    except UnsupportedError:  # a framework that compiles has no values to look at
        return np.partition(a, kth, axis)
    return np.take_along_axis(a, order, axis)


@dispatched
def partition_places(a: Any, kth: Any, axis: int) -> Any:
    """Where np.partition takes its elements from."""
    order = np.empty(np.shape(a), np.intp)
    ends = [np.argsort(x, axis, kind="stable") for x in (np.partition(a, kth, axis), a)]
    np.put_along_axis(order, ends[0], ends[1], axis)
    return order


no_derivative(partition_places)


@composite(np.diag)
def _diag(v: Any, k: int = 0) -> Any:
    if np.ndim(v) == 2:
        return np.diagonal(v, k)
    n = np.shape(v)[0] + abs(k)
    rows = np.arange(np.shape(v)[0])
    return scatter([v], [(rows + max(-k, 0), rows + max(k, 0))], (n, n), v.dtype if v.dtype.kind in "fc" else float)


@composite(np.trim_zeros)
def _trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    filt = filt if isa(filt, (Array, np.ndarray)) else np.asarray(filt)
    ndim = np.ndim(filt)
    if not ndim:
        return filt
    places = np.nonzero(filt)
    axes = range(ndim) if axis is None else [k % ndim for k in (axis if isinstance(axis, tuple) else (axis,))]
    window = [slice(None)] * ndim
    for k in axes:
        if not len(places[k]):
            window[k] = slice(0, 0)
            continue
        first, last = int(places[k].min()), int(places[k].max())
        window[k] = slice(first if "f" in trim.lower() else 0, last + 1 if "b" in trim.lower() else None)
    return filt[tuple(window)]


@composite(np.diagflat)
def _diagflat(v: Any, k: int = 0) -> Any:
    return np.diag(np.reshape(v, -1), k)


@composite(np.sort_complex)
def _sort_complex(a: Any) -> Any:
    a = np.sort(a)
    return a if np.iscomplexobj(a) else a.astype(np.result_type(a.dtype, np.complex64))


@composite(np.insert)
def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    arr = arr if isa(arr, (Array, np.ndarray)) else np.asarray(arr)
    values = absorb(values)
    values = values if isa(values, (Array, np.ndarray)) else np.asarray(values)
    if isinstance(obj, Array) and obj.dtype.kind in "fc":
        raise refused_number("int", obj.shape)
    n, m = int(np.prod(np.shape(arr))), int(np.prod(np.shape(values)))
    # Numbers of the elements of both arrays, moved as the elements are.
    numbers = np.insert(
        np.arange(n).reshape(np.shape(arr)), looked_at(obj), n + np.arange(m).reshape(np.shape(values)), axis
    )
    both = np.concatenate([np.reshape(arr, -1), np.reshape(values, -1).astype(arr.dtype)])
    return both[numbers]


@composite(np.ix_)
def _ix(*args: Any) -> Any:
    if any(a.dtype.kind in "fc" for a in args if isinstance(a, Array)):
        return tuple([np.reshape(a, [-1 if i == k else 1 for i in range(len(args))]) for k, a in enumerate(args)])
    return np.ix_(*[plain_index(a) for a in args])


@composite(np.choose)
def _choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    stacked: Any = choices if isa(choices, (Array, np.ndarray)) else np.stack(np.broadcast_arrays(*choices))
    selector = np.asarray(a)
    if mode != "raise":
        n = np.shape(stacked)[0]
        selector = selector % n if mode == "wrap" else np.clip(selector, 0, n - 1)
    shape = np.broadcast_shapes(selector.shape, np.shape(stacked)[1:])
    n, *rest = np.shape(stacked)
    stacked = np.reshape(stacked, (n, *[1] * (len(shape) - len(rest)), *rest))
    stacked = np.broadcast_to(stacked, (n, *shape))
    return np.take_along_axis(stacked, np.broadcast_to(selector, shape)[None], 0)[0]


no_derivative(
    *(np.argmax, np.argmin, np.argsort, np.argpartition, np.argwhere, np.nonzero, np.flatnonzero, np.searchsorted),
    *(np.count_nonzero, np.digitize, np.lexsort, np.nanargmax, np.nanargmin, np.any, np.all),
    *(np.shape, np.ndim, np.size, np.result_type, np.min_scalar_type),
    *(np.common_type, np.array2string, np.array_repr, np.array_str, np.may_share_memory, np.shares_memory),
    *(np.ravel_multi_index, np.unravel_index, np.packbits, np.unpackbits, np.isnat),
    *(np.save, np.savez, np.savez_compressed, np.savetxt),
    *(np.tril_indices_from, np.triu_indices_from, np.diag_indices_from),
)
