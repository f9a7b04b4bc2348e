"""Functions that change the shape: reshape, transpose, joining, splitting, padding."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..errors import MissingRuleError, user_line
from ..face.array import Array
from ..face.atoms import join, join_arrays, pile
from ..face.dispatch import dispatch
from .indexing import rearranged
from .registry import composite, define, linear, no_derivative
from .rule import unbroadcast

_BACK = lambda g, y, x, *args, **kwargs: np.reshape(g, np.shape(x))


def _reshape_vjp(g: Any, y: Any, x: Any, *args: Any, order: Any = "C", **kwargs: Any) -> Any:
    return np.reshape(g, np.shape(x), order=order)


linear(np.reshape, _reshape_vjp, keeps_zeros=True)
linear(np.squeeze, _BACK, keeps_zeros=True)
linear(np.expand_dims, _BACK, keeps_zeros=True)
linear(
    np.copy,
    lambda g, y, x, *a, **k: g,
    call=lambda x, *a, order="K", **k: np.copy(x, order),  # type: ignore[call-overload]
    lazy=True,
    keeps_zeros=True,
)
linear(
    np.broadcast_to,
    lambda g, y, x, shape, subok=False: unbroadcast(g, np.shape(y), np.shape(x)),
    lazy=True,
    keeps_zeros=True,
)


def _transpose_vjp(g: Any, y: Any, x: Any, axes: Any = None) -> Any:
    return np.transpose(g, None if axes is None else tuple(int(i) for i in np.argsort([a % np.ndim(x) for a in axes])))


linear(np.transpose, _transpose_vjp, keeps_zeros=True)


@composite(np.matrix_transpose)
def _matrix_transpose(x: Any, /) -> Any:
    return np.swapaxes(x, -1, -2)


@composite(np.ravel)
def _ravel(a: Any, order: str = "C") -> Any:
    return np.reshape(a, -1, order="F" if order == "F" else "C")


@composite(np.swapaxes)
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(np.ndim(a)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return np.transpose(a, order)


@composite(np.moveaxis)
def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    n = np.ndim(a)
    sources = normalize_axis_tuple(source, n, "source")
    targets = normalize_axis_tuple(destination, n, "destination")
    order = [i for i in range(n) if i not in sources]
    for target, source_ in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source_)
    return np.transpose(a, order)


def _join_vjp(i: int, g: Any, y: Any, *arrays: Any, axis: int) -> Any:
    start = sum(np.shape(a)[axis] for a in arrays[:i])
    window = (slice(None),) * (axis % np.ndim(g)) + (slice(start, start + np.shape(arrays[i])[axis]),)
    return g[window]


def _join_jvp(i: int, d: Any, y: Any, *arrays: Any, axis: int) -> Any:
    return join_arrays([d if j == i else np.zeros(np.shape(a)) for j, a in enumerate(arrays)], axis)


define(join, _join_vjp, _join_jvp, variadic=True, by_shape=True, keeps_zeros=True)


@composite(np.concatenate)
def _concatenate(arrays: Any, axis: Any = 0, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
    if axis is None:
        arrays, axis = [np.reshape(a, -1) for a in arrays], 0
    joined = join_arrays([np.asarray(a) if type(a) in (list, tuple) else a for a in arrays], axis)
    return joined if dtype is None else joined.astype(dtype)


def _pile_vjp(i: int, g: Any, y: Any, *arrays: Any, axis: int) -> Any:
    return g[(slice(None),) * (axis % np.ndim(g)) + (i,)]


def _pile_jvp(i: int, d: Any, y: Any, *arrays: Any, axis: int) -> Any:
    return dispatch(pile, tuple([d if j == i else np.zeros(np.shape(a)) for j, a in enumerate(arrays)]), {"axis": axis})


define(pile, _pile_vjp, _pile_jvp, variadic=True, by_shape=True, keeps_zeros=True)


@composite(np.stack)
def _stack(arrays: Any, axis: int = 0, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
    items = [np.asarray(a) if type(a) in (list, tuple) else a for a in arrays]
    shapes = {np.shape(a) for a in items}
    if len(shapes) > 1:
        raise ValueError(f"all input arrays must have the same shape, not {sorted(shapes)}")
    piled = dispatch(pile, tuple(items), {"axis": axis})
    return piled if dtype is None else piled.astype(dtype)


@composite(np.unstack)
def _unstack(x: Any, /, *, axis: int = 0) -> Any:
    return tuple([x[(slice(None),) * (axis % np.ndim(x)) + (i,)] for i in range(np.shape(x)[axis])])


@composite(np.vstack)
def _vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return np.concatenate([np.atleast_2d(a) for a in tup], axis=0, dtype=dtype)


@composite(np.hstack)
def _hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = [np.atleast_1d(a) for a in tup]
    return np.concatenate(arrays, axis=0 if np.ndim(arrays[0]) == 1 else 1, dtype=dtype)


@composite(np.dstack)
def _dstack(tup: Any) -> Any:
    return np.concatenate([np.atleast_3d(a) for a in tup], axis=2)


@composite(np.column_stack)
def _column_stack(tup: Any) -> Any:
    return np.concatenate([a if np.ndim(a) > 1 else np.reshape(a, (-1, 1)) for a in tup], axis=1)


@composite(np.append)
def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    if axis is None:
        return np.concatenate([np.reshape(arr, -1), np.reshape(values, -1)])
    return np.concatenate([arr, values], axis=axis)


@composite(np.block)
def _block(arrays: Any) -> Any:
    def depth(a: Any) -> int:
        return 1 + max(depth(b) for b in a) if isinstance(a, list) else 0

    def merge(a: Any, axis: int) -> Any:
        if not isinstance(a, list):
            while np.ndim(a) < ndim:
                a = np.expand_dims(a, 0)
            return a
        return np.concatenate([merge(b, axis + 1) for b in a], axis=axis)

    def widest(a: Any) -> int:
        return max(widest(b) for b in a) if isinstance(a, list) else np.ndim(a)

    levels = depth(arrays)
    ndim = max(levels, widest(arrays))
    return merge(arrays, -levels) if levels else np.copy(merge(arrays, 0))


# -- raising the number of axes ----------------------------------------------------------------------------------------


def _at_least(make: Any) -> Any:
    def convert(*arrays: Any) -> Any:
        results = [make(a) for a in arrays]
        return results[0] if len(results) == 1 else tuple(results)

    return convert


composite(np.atleast_1d)(_at_least(lambda a: a if np.ndim(a) else np.reshape(a, 1)))
composite(np.atleast_2d)(_at_least(lambda a: a if np.ndim(a) >= 2 else np.reshape(a, (1, -1))))


def _three(a: Any) -> Any:
    shape = np.shape(a)
    if len(shape) >= 3:
        return a
    return np.reshape(a, {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}[len(shape)])


composite(np.atleast_3d)(_at_least(_three))


@composite(np.broadcast_arrays)
def _broadcast_arrays(*arrays: Any, subok: bool = False) -> Any:
    shape = np.broadcast_shapes(*[np.shape(a) for a in arrays])
    return tuple([a if np.shape(a) == shape else np.broadcast_to(a, shape) for a in arrays])


@composite(np.meshgrid)
def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    n = len(xi)
    grids = []
    for i, x in enumerate(xi):
        place = i if indexing == "ij" or n < 2 or i > 1 else 1 - i
        grids.append(np.reshape(x, [-1 if k == place else 1 for k in range(n)]))
    grids = grids if sparse else np.broadcast_arrays(*grids)
    return tuple([np.copy(grid, "C") for grid in grids] if copy else grids)


# -- splitting ---------------------------------------------------------------------------------------------------------


@composite(np.array_split)
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    n, axis = np.shape(ary)[axis], axis % np.ndim(ary)
    if np.ndim(indices_or_sections):
        bounds = [0, *[min(max(int(i) + (n if i < 0 else 0), 0), n) for i in indices_or_sections], n]
    else:
        sections = indices_or_sections
        sections = operator.index(sections) if isinstance(sections, Array) else sections
        bounds = [0, *np.cumsum([len(p) for p in np.array_split(np.arange(n), sections)]).tolist()]
    return [ary[(slice(None),) * axis + (slice(a, b),)] for a, b in itertools.pairwise(bounds)]


@composite(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    if not np.ndim(indices_or_sections) and np.shape(ary)[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return np.array_split(ary, indices_or_sections, axis)


composite(np.vsplit)(lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 0))
composite(np.hsplit)(lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0))
composite(np.dsplit)(lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 2))


# -- padding and masking -----------------------------------------------------------------------------------------------


_STATISTICS = {"mean": np.mean, "maximum": np.max, "minimum": np.min, "median": np.median}


def _pairs(value: Any, ndim: int) -> list:
    """An option of pad as a (before, after) pair per axis."""
    return [[pair[0], pair[1]] for pair in np.broadcast_to(value, (ndim, 2))]


@composite(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    odd = options.get("reflect_type", "even") == "odd"
    if mode in ("edge", "wrap") or (mode in ("reflect", "symmetric") and not odd):
        return rearranged(np.pad, array, pad_width, mode, **options)
    ndim = np.ndim(array)
    if isinstance(pad_width, dict):
        given, pad_width = pad_width, [(0, 0)] * ndim
        for k, width in given.items():
            pad_width[k] = width if np.ndim(width) else (width, width)
    widths = [(int(before), int(after)) for before, after in _pairs(pad_width, ndim)]
    if mode in ("constant", "empty"):
        for axis, ends in enumerate(_pairs(options.get("constant_values", 0), ndim)):
            array = _between(array, ends, widths[axis], axis)
    elif mode in _STATISTICS:
        lengths = options.get("stat_length")
        lengths = [(None, None)] * ndim if lengths is None else _pairs(lengths, ndim)
        for axis, (before, after) in enumerate(lengths):
            n, lead = np.shape(array)[axis], (slice(None),) * axis
            if not n and widths[axis] != (0, 0):
                raise ValueError(f"can't extend empty axis {axis} using modes other than 'constant' or 'empty'")
            first = array if before is None else array[(*lead, slice(None, int(before)))]
            last = array if after is None else array[(*lead, slice(max(n - int(after), 0), None))]
            # Of an array without entries, but for what is padded, there is nothing to take a statistic of.
            statistic = _STATISTICS[mode] if np.size(array) else np.sum
            ends = [statistic(part, axis=axis, keepdims=True) for part in (first, last)]
            array = _between(array, ends, widths[axis], axis)
    elif mode == "linear_ramp" or odd:
        for axis, ends in enumerate(_pairs(options.pop("end_values", 0), ndim)):
            array = _affine_pad(array, widths[axis], axis, mode, ends if mode == "linear_ramp" else [0, 0], options)
    elif isinstance(mode, str):
        raise ValueError(f"mode '{mode}' is not supported")
    else:
        raise MissingRuleError(
            f"np.pad with mode={mode!r} has no derivative rule ({user_line()}); all modes that are named by a string do"
        )
    return array


def _between(array: Any, ends: Any, widths: tuple, axis: int) -> Any:
    """array with ends[0] repeated before it and ends[1] behind it."""
    shape = list(np.shape(array))
    parts = [array]
    for end, width, place in ((ends[0], widths[0], 0), (ends[1], widths[1], len(parts))):
        shape[axis] = width
        part = np.broadcast_to(end, tuple(shape))
        parts.insert(
            place if place == 0 else len(parts), part.astype(array.dtype) if part.dtype != array.dtype else part
        )
    return np.concatenate(parts, axis=axis)


def _affine_pad(array: Any, widths: tuple, axis: int, mode: Any, ends: Any, options: dict) -> Any:
    """A mode whose result is a fixed matrix times the array plus multiples of the two end values."""
    n = np.shape(array)[axis]
    ramp = mode == "linear_ramp"

    def padded(x: Any, **values: Any) -> Any:
        return np.pad(x, (widths, (0, 0))[: np.ndim(x)] if np.ndim(x) > 1 else widths, mode, **options, **values)

    matrix = padded(np.eye(n, dtype=array.dtype))
    result = np.moveaxis(np.tensordot(matrix, array, axes=((1,), (axis,))), 0, axis)
    if ramp:
        shape = [-1 if i == axis else 1 for i in range(np.ndim(array))]
        zero = np.zeros(n, array.dtype)
        for k in (0, 1):
            unit = [0, 0]
            unit[k] = 1
            end = ends[k] if isinstance(ends[k], Array) else array.dtype.type(ends[k])
            result = result + np.reshape(padded(zero, end_values=tuple(unit)), shape) * end
    return result if result.dtype == array.dtype else result.astype(array.dtype)


@composite(np.tril)
def _tril(m: Any, k: int = 0) -> Any:
    return np.where(np.tri(*np.shape(m)[-2:], k=k, dtype=bool), m, 0.0)


@composite(np.triu)
def _triu(m: Any, k: int = 0) -> Any:
    return np.where(np.tri(*np.shape(m)[-2:], k=k - 1, dtype=bool), 0.0, m)


no_derivative(np.broadcast_shapes)
