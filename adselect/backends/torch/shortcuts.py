"""Functions that torch has and that are written with others in any case: rows for speed, and for kinks."""

from __future__ import annotations

import contextlib
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...rules.quantiles import quantile_dtype
from ...rules.undetermined import noise
from ...values.kinds import isa
from ..framework_array import UntranslatedError
from .kinks import bent, root_of
from .operands import (
    INEXACT,
    NOT_GIVEN,
    NUMPY_DTYPES,
    TABLE,
    axes_last,
    axes_of,
    axis_of,
    cast,
    first_tensor,
    flat_axis,
    implements,
    inexact,
    ints,
    is_given,
    joined,
    places_of,
    promoted,
    shape_of,
    tensor_of,
    torch_dtype,
    truth,
)
from .table_decompositions import QR_RESULT, SVD_RESULT, complement, determined, real_if_real, undetermined
from .table_elementwise import chosen, degrees
from .table_indexing import get_item
from .table_linalg import conjugate_transpose, implements_linalg, matrix_product, native_tensordot, square_matrix
from .table_quantiles import has_infinities, order_statistic
from .table_reductions import mean_of, sum_of
from .table_shaping import astype, reshape_to


@implements(np.where)
def _where(condition: Any, x: Any = NOT_GIVEN, y: Any = NOT_GIVEN, /) -> Any:
    if x is NOT_GIVEN:
        return torch.nonzero(torch.atleast_1d(tensor_of(condition)), as_tuple=True)
    like = first_tensor((condition, x, y))
    condition = tensor_of(condition, like)
    if condition.dtype is not torch.bool:
        condition = condition != 0
    x, y = chosen(x, y, like)
    return torch.where(condition, x, y)


@implements(np.clip)
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    low, high = a_min if is_given(a_min) else min, a_max if is_given(a_max) else max
    low, high = low if is_given(low) else None, high if is_given(high) else None
    if low is None and high is None:
        return tensor_of(a).clone()
    if isinstance(a, Tensor) and a.dtype in INEXACT and all(v is None or type(v) in (float, int) for v in (low, high)):
        return torch.clamp(a, low, high)
    bounds = [v for v in (low, high) if v is not None]
    a, *bounds = promoted(a, *bounds)
    if low is None:
        return torch.where(a > bounds[0], bounds[0], a)
    a = torch.where(a < bounds[0], bounds[0], a)
    return a if high is None else torch.where(a > bounds[1], bounds[1], a)


@implements(np.angle)
def _angle(z: Any, deg: bool = False) -> Tensor:
    z = inexact(z)
    angle = torch.angle(z)
    if z.is_complex() and z.requires_grad:
        angle = bent(angle, z == 0, z.real, z.imag)
    return degrees(angle) if deg else angle


TABLE[np.iscomplexobj] = lambda x: tensor_of(x).is_complex()
TABLE[np.isrealobj] = lambda x: not tensor_of(x).is_complex()


@implements(np.ptp)
def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Tensor:
    return TABLE[np.max](a, axis, None, keepdims) - TABLE[np.min](a, axis, None, keepdims)


@implements(np.median)
def _median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Tensor:
    a = inexact(a)
    if not a.numel() or a.is_complex():
        raise UntranslatedError("no entries, or complex ones")
    flat, shape = axes_last(a, axis)
    n, ordered = flat.shape[-1], torch.sort(flat.detach(), dim=-1).values
    high = order_statistic(flat, ordered, n // 2)
    y = high if n % 2 else (order_statistic(flat, ordered, n // 2 - 1) + high) / 2
    return y.reshape(shape) if truth(keepdims) else y


@implements(np.quantile)
def _quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
    function: Any = np.quantile,
) -> Tensor:
    if weights is not None or method not in _BETWEEN:
        raise UntranslatedError(f"method={method!r}")
    if not tensor_of(a).numel():
        raise UntranslatedError("no entries")
    a, dtype = inexact(a), None
    if a.dtype in NUMPY_DTYPES and (isinstance(q, Tensor) or type(q) is not float):
        strong = NUMPY_DTYPES.get(q.dtype) if isinstance(q, Tensor) else np.asarray(q).dtype
        given = type(q) if type(q) is int else strong
        dtype = torch_dtype(quantile_dtype(function, NUMPY_DTYPES[a.dtype], given, method))
        a = a.to(torch.promote_types(a.dtype, dtype))
    if function is np.percentile:
        q = q / 100 if isinstance(q, Tensor) and q.dtype in INEXACT else places_of(q) / 100
    watched = q.ravel() if isinstance(q, Tensor) and q.requires_grad else None
    q = places_of(q)
    flat, shape = axes_last(a, axis)
    steps, ordered = flat.shape[-1] - 1, torch.sort(flat.detach(), dim=-1).values
    if method in ("linear", "midpoint") and has_infinities(ordered):
        raise UntranslatedError("infinities")
    found = []
    for i, place in enumerate(np.ravel(q) * steps):
        low, high = math.floor(place), math.ceil(place)
        share = _BETWEEN[method](place - low)
        y = order_statistic(flat, ordered, low if share < 1 else high)
        if 0 < share < 1:
            y = y + (order_statistic(flat, ordered, high) - y) * share
        if watched is not None:  # by how much a larger q takes the rank, and the value with it, upwards
            gap = order_statistic(flat, ordered, min(low + 1, steps)) - order_statistic(flat, ordered, low)
            y = y + gap * ((watched[i] - watched[i].detach()) * (steps if method == "linear" else 0))
        found.append(y.reshape(shape) if truth(keepdims) else y)
    y = torch.stack(found).reshape(q.shape + found[0].shape)
    return y if dtype is None else y.to(dtype)


# How far from the lower to the higher neighbour, from the fraction of the way.
_BETWEEN: dict[str, Callable] = {
    "linear": lambda t: t,
    "lower": lambda t: 0,
    "higher": lambda t: 1,
    "midpoint": lambda t: 0.5 if t else 0,
}


@implements(np.percentile)
def _percentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Tensor:
    return _quantile(a, q, *args, **kwargs, function=np.percentile)


def _without_nan(reduce: Any, neutral: float) -> Callable:
    def call(a: Any, *args: Any, **kwargs: Any) -> Tensor:
        a = tensor_of(a)
        if a.dtype in INEXACT:
            a = torch.where(torch.isnan(a), torch.full_like(a, neutral), a)
        return TABLE[reduce](a, *args, **kwargs)

    return call


TABLE[np.nansum] = _without_nan(np.sum, 0.0)
TABLE[np.nanprod] = _without_nan(np.prod, 1.0)
TABLE[np.nancumsum] = _without_nan(np.cumsum, 0.0)
TABLE[np.nancumprod] = _without_nan(np.cumprod, 1.0)


def _nan_extremes(reduce: Any, neutral: float) -> Callable:
    without = _without_nan(reduce, neutral)

    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Tensor:
        a = inexact(a)
        y = without(a, axis, None, keepdims)
        missing = TABLE[np.all](torch.isnan(a), axis, None, keepdims)
        return torch.where(missing, torch.full_like(y, math.nan), y)

    return call


TABLE[np.nanmax] = _nan_extremes(np.max, -math.inf)
TABLE[np.nanmin] = _nan_extremes(np.min, math.inf)


@implements(np.nanmean)
def _nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> Tensor:
    a = inexact(a)
    return mean_of(a, axis, dtype, keepdims=keepdims, where=~torch.isnan(a))


def _nan_moments(function: Any) -> Callable:
    def call(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False
    ) -> Tensor:
        a = inexact(a)
        kept = ~torch.isnan(a)
        a = torch.where(kept, a, torch.zeros_like(a))
        count = sum_of(kept, axis, keepdims=True)
        centred = torch.where(kept, a - sum_of(a, axis, keepdims=True) / count, torch.zeros_like(a))
        total = sum_of(torch.abs(centred) ** 2, axis, keepdims=truth(keepdims))
        variance = total / (count.reshape(total.shape) - ddof).to(total.dtype)
        return variance if function is np.nanvar else root_of(variance)

    return call


TABLE[np.nanvar] = _nan_moments(np.nanvar)
TABLE[np.nanstd] = _nan_moments(np.nanstd)


@implements(np.diff)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NOT_GIVEN, append: Any = NOT_GIVEN) -> Tensor:
    a = tensor_of(a)
    axis = axis_of(axis, a.ndim)
    ends = []
    for end in (prepend, append):
        if end is not NOT_GIVEN:
            a, end = promoted(a, tensor_of(end, a))
            if end.ndim == 0:
                end = end.expand([1 if k == axis else m for k, m in enumerate(a.shape)])
        ends.append(None if end is NOT_GIVEN else end)
    return torch.diff(a, n, axis, *ends)


@implements(np.ravel)
def _ravel(a: Any, order: str = "C") -> Tensor:
    return reshape_to(a, -1, "F" if order == "F" else "C")


@implements(np.swapaxes)
def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    return torch.swapaxes(tensor_of(a), axis1, axis2)


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def _matrix_transpose(x: Any, /) -> Tensor:
    return torch.swapaxes(tensor_of(x), -1, -2)


@implements(np.moveaxis)
def _moveaxis(a: Any, source: Any, destination: Any) -> Tensor:
    return torch.movedim(tensor_of(a), ints(source), ints(destination))


@implements(np.concatenate)
def _concatenate(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Tensor:
    tensors = cast(joined(arrays), dtype)
    if axis is None:
        return torch.cat([t.reshape(-1) for t in tensors])
    if any(t.ndim != tensors[0].ndim for t in tensors) or not tensors[0].ndim:
        raise ValueError("all the input array dimensions must match, and be at least one, to concatenate")
    return torch.cat(tensors, axis_of(axis, tensors[0].ndim))


@implements(np.stack)
def _stack(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Tensor:
    if any(tensor_of(a).shape != tensor_of(arrays[0]).shape for a in arrays):
        raise ValueError("all input arrays must have the same shape")
    return torch.stack(cast(joined(arrays), dtype), axis)


def _joins(join: Callable) -> Callable:
    return lambda tup, *, dtype=None, casting=None: join(cast(joined(tup), dtype))


TABLE[np.vstack] = _joins(torch.vstack)
TABLE[np.hstack] = _joins(torch.hstack)
TABLE[np.dstack] = _joins(torch.dstack)
TABLE[np.column_stack] = lambda tup: torch.column_stack(joined(tup))


@implements(np.append)
def _append(arr: Any, values: Any, axis: Any = None) -> Tensor:
    return _concatenate((arr, values), axis)


@implements(np.array_split)
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    ary = tensor_of(ary)
    axis = axis_of(axis, ary.ndim)
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    n = ary.shape[axis]
    if isinstance(indices_or_sections, (list, tuple)):
        points = [slice(0, n).indices(n)[0], *[operator.index(i) for i in indices_or_sections], n]
    else:
        sections = operator.index(indices_or_sections)
        size, extra = divmod(n, sections)
        points = [k * size + min(k, extra) for k in range(sections + 1)]
    lead = (slice(None),) * axis
    return [get_item(ary, (*lead, slice(i, j))) for i, j in itertools.pairwise(points)]


@implements(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    if isinstance(indices_or_sections, range):
        indices_or_sections = list(indices_or_sections)
    if not isinstance(indices_or_sections, (list, tuple, Tensor)) and tensor_of(ary).shape[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return _array_split(ary, indices_or_sections, axis)


TABLE[np.vsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 0)
TABLE[np.hsplit] = lambda ary, indices_or_sections: _split(
    ary, indices_or_sections, 1 if tensor_of(ary).ndim > 1 else 0
)
TABLE[np.dsplit] = lambda ary, indices_or_sections: _split(ary, indices_or_sections, 2)


@implements(np.broadcast_arrays)
def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple:
    first = first_tensor(args)
    return tuple(torch.broadcast_tensors(*[tensor_of(a, first) for a in args]))


@implements(np.tile)
def _tile(A: Any, reps: Any) -> Tensor:
    return torch.tile(tensor_of(A), shape_of(reps))


@implements(np.repeat)
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Tensor:
    a, axis = flat_axis(a, axis)
    if isinstance(repeats, (list, tuple)):
        repeats = torch.tensor([operator.index(r) for r in repeats], device=a.device)
    if isinstance(repeats, Tensor):
        return torch.repeat_interleave(a, repeats.to(torch.int64).expand(a.shape[axis]), dim=axis)
    return torch.repeat_interleave(a, operator.index(repeats), dim=axis)


@implements(np.flip)
def _flip(m: Any, axis: Any = None) -> Tensor:
    m = tensor_of(m)
    return torch.flip(m, axes_of(axis, m.ndim))


TABLE[np.flipud] = lambda m: _flip(m, 0)
TABLE[np.fliplr] = lambda m: _flip(m, 1)
TABLE[np.rot90] = lambda m, k=1, axes=(0, 1): torch.rot90(tensor_of(m), k, axes)


@implements(np.roll)
def _roll(a: Any, shift: Any, axis: Any = None) -> Tensor:
    a, shift = tensor_of(a), ints(shift)
    if axis is None:
        return torch.roll(a, sum(shift) if isinstance(shift, tuple) else shift)
    axes = axes_of(axis, a.ndim)
    shifts = shift if isinstance(shift, tuple) else (shift,) * len(axes)
    return torch.roll(a, shifts, axes * len(shifts) if len(axes) < len(shifts) else axes)


def _at_least(ndim: int) -> Callable:
    reshape = {1: torch.atleast_1d, 2: torch.atleast_2d, 3: torch.atleast_3d}[ndim]

    def call(*arys: Any) -> Any:
        results = tuple([reshape(tensor_of(a)) for a in arys])
        return results[0] if len(results) == 1 else results

    return call


TABLE[np.atleast_1d], TABLE[np.atleast_2d], TABLE[np.atleast_3d] = _at_least(1), _at_least(2), _at_least(3)


def _triangle(operate: Callable) -> Callable:
    def call(m: Any, k: int = 0) -> Tensor:
        m = tensor_of(m)
        return operate(m.expand(m.shape[0], m.shape[0]) if m.ndim == 1 else m, k)

    return call


TABLE[np.triu] = _triangle(torch.triu)
TABLE[np.tril] = _triangle(torch.tril)


@implements(np.diag)
def _diag(v: Any, k: int = 0) -> Tensor:
    v = tensor_of(v)
    return torch.diag_embed(v, k) if v.ndim == 1 else torch.diagonal(v, k)


TABLE[np.diagflat] = lambda v, k=0: torch.diag_embed(tensor_of(v).reshape(-1), k)
TABLE[np.diagonal] = lambda a, offset=0, axis1=0, axis2=1: torch.diagonal(tensor_of(a), offset, axis1, axis2)
TABLE[np.linalg.diagonal] = lambda x, /, *, offset=0: torch.diagonal(tensor_of(x), offset, -2, -1)


@implements(np.trace)
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Tensor:
    return sum_of(torch.diagonal(tensor_of(a), offset, axis1, axis2), -1, dtype)


TABLE[np.linalg.trace] = lambda x, /, *, offset=0, dtype=None: _trace(x, offset, -2, -1, dtype)


@implements(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Tensor:
    array = tensor_of(array)
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * array.ndim
        for k, width in pad_width.items():
            widths[axis_of(k, array.ndim)] = width if isinstance(width, (tuple, list)) else (width, width)
    else:
        pad_width = pad_width.tolist() if isinstance(pad_width, Tensor) else pad_width
        widths = np.broadcast_to(np.asarray(pad_width), (array.ndim, 2)).tolist()
    if mode in ("constant", "empty"):
        values = options.get("constant_values", 0)
        for k, (before, after) in enumerate(widths):
            blocks = []
            for side, n in enumerate((before, after)):
                value = _pad_value(values, k, side)
                shape = [n if j == k else m for j, m in enumerate(array.shape)]
                blocks.append(tensor_of(value, array).to(array.dtype).expand(shape))
            array = torch.cat([blocks[0], array, blocks[1]], k)
        return array
    if mode not in ("edge", "reflect", "symmetric", "wrap") or options.get("reflect_type", "even") != "even":
        raise UntranslatedError(f"mode={mode!r}")
    for k, width in enumerate(widths):
        places = np.pad(np.arange(array.shape[k]), width, mode=mode)
        array = torch.index_select(array, k, torch.from_numpy(places).to(array.device))
    return array


def _pad_value(values: Any, axis: int, side: int) -> Any:
    """The constant before (side 0) or after (side 1) the given axis: NumPy broadcasts them to (axes, 2)."""
    if isinstance(values, Tensor):
        return torch.broadcast_to(values, (max(axis + 1, len(values) if values.ndim == 2 else 1), 2))[axis, side]
    if not isinstance(values, (tuple, list)):
        return values
    if isinstance(values[0], (tuple, list)):
        values = values[axis if len(values) > 1 else 0]
    return values[side if len(values) > 1 else 0]


@implements(np.take)
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Tensor:
    a = tensor_of(a)
    a, axis = (a.reshape(-1), 0) if axis is None else (a, axis_of(axis, a.ndim))
    places = places_of(indices)
    places = places if places.size or type(indices) is not list else places.astype(np.intp)
    n = a.shape[axis]
    places = places % n if mode == "wrap" else np.clip(places, 0, n - 1) if mode == "clip" else places
    return get_item(a, (slice(None),) * axis + (places,))


@implements(np.take_along_axis)
def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Tensor:
    arr = tensor_of(arr)
    indices = tensor_of(indices, arr)
    if indices.dtype in INEXACT:
        raise IndexError("`indices` must be an integer array")
    indices = indices.to(torch.int64)
    arr, axis = (arr.reshape(-1), 0) if axis is None else (arr, axis_of(axis, arr.ndim))
    return torch.take_along_dim(arr, torch.where(indices < 0, indices + arr.shape[axis], indices), axis)


@implements(np.bincount)
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Tensor:
    x = tensor_of(x, weights).to(torch.int64)
    if not x.numel():
        return torch.zeros(minlength, dtype=torch.int64, device=x.device)
    n = max(int(minlength), int(x.max()) + 1 if x.numel() else 0)
    weights = torch.ones_like(x) if weights is None else tensor_of(weights, x).to(torch.float64)
    return torch.zeros(n, dtype=weights.dtype, device=x.device).index_add(0, x, weights)


def _like(fill: Callable) -> Callable:
    def call(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **other: Any
    ) -> Tensor:
        a = tensor_of(a)
        shape = a.shape if not is_given(shape) else shape_of(shape)
        return fill(shape, dtype=a.dtype if dtype is None else torch_dtype(dtype), device=a.device)

    return call


TABLE[np.zeros_like] = TABLE[np.empty_like] = _like(torch.zeros)
TABLE[np.ones_like] = _like(torch.ones)


@implements(np.full_like)
def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **other: Any
) -> Tensor:
    a = tensor_of(a)
    dtype = a.dtype if dtype is None else torch_dtype(dtype)
    return tensor_of(fill_value, a).to(dtype).expand(a.shape if not is_given(shape) else shape_of(shape)).clone()


@implements(np.linspace)
def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    **other: Any,
) -> Any:
    first = first_tensor((start, stop))
    start, stop = [inexact(x) for x in promoted(tensor_of(start, first), tensor_of(stop, first))]
    divisions = num - 1 if endpoint else num
    step = (stop - start) / divisions if divisions > 0 else torch.full_like(stop - start, math.nan)
    start, stop = torch.broadcast_tensors(start, stop)
    ramp = torch.arange(num, dtype=start.dtype, device=start.device).reshape([-1] + [1] * start.ndim)
    y = start + ramp * step if divisions > 0 else start + ramp * 0
    if endpoint and num > 1:
        y = torch.cat([y[:-1], stop.unsqueeze(0)])
    y = torch.movedim(y, 0, axis)
    y = y if dtype is None else astype(y, dtype)
    return (y, step) if retstep else y


TABLE[np.linalg.matmul] = lambda x1, x2, /: matrix_product(x1, x2)


@implements(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Tensor:
    a, b = promoted(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if a.ndim <= 2 and b.ndim <= 2:
        return matrix_product(a, b)
    return native_tensordot(a, b, dims=([a.ndim - 1], [max(b.ndim - 2, 0)]))


@implements(np.inner)
def _inner(a: Any, b: Any, /) -> Tensor:
    a, b = promoted(a, b)
    return a * b if a.ndim == 0 or b.ndim == 0 else native_tensordot(a, b, dims=([a.ndim - 1], [b.ndim - 1]))


@implements(np.vdot)
def _vdot(a: Any, b: Any, /) -> Tensor:
    a, b = promoted(a, b)
    return torch.vdot(a.reshape(-1), b.reshape(-1))


@implements(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Tensor:
    a, b = promoted(a, b)
    return torch.outer(a.reshape(-1), b.reshape(-1))


TABLE[np.linalg.outer] = lambda x1, x2, /: _outer(x1, x2)


@implements(np.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    a, b = promoted(a, b)
    if not isinstance(axes, (tuple, list)):
        return torch.tensordot(a, b, dims=operator.index(axes))
    left, right = axes
    return native_tensordot(a, b, dims=(list(axes_of(left, a.ndim)), list(axes_of(right, b.ndim))))


TABLE[np.linalg.tensordot] = lambda x1, x2, /, *, axes=2: _tensordot(x1, x2, axes)


@implements(np.einsum)
def _einsum(*operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Tensor:
    if isinstance(operands[0], str):
        return torch.einsum(operands[0].replace(" ", ""), *promoted(*[tensor_of(o) for o in operands[1:]]))
    arrays = promoted(*[tensor_of(o) for o in operands[0:-1:2] if not _is_sublist(o)])
    sublists = [list(s) for s in operands[1 : 2 * len(arrays) : 2]]
    mixed = [x for pair in zip(arrays, sublists, strict=True) for x in pair]
    return torch.einsum(*mixed, *[list(o) for o in operands[2 * len(arrays) :]])


def _is_sublist(o: Any) -> bool:
    return isinstance(o, (list, tuple)) and all(isa(i, int) or i is Ellipsis for i in o)


@implements(np.kron)
def _kron(a: Any, b: Any) -> Tensor:
    return torch.kron(*promoted(a, b))


@implements(np.vecdot)
def _vecdot(x1: Any, x2: Any, axis: int = -1) -> Tensor:
    return torch.linalg.vecdot(*torch.broadcast_tensors(*promoted(x1, x2)), dim=axis)


TABLE[np.linalg.vecdot] = lambda x1, x2, /, *, axis=-1: _vecdot(x1, x2, axis)


@implements(np.cross)
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Tensor:
    a, b = promoted(a, b)
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = torch.movedim(a, axisa, -1), torch.movedim(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError("both input arrays must be (arrays of) 3-dimensional vectors")
    a, b = torch.broadcast_tensors(a, b)
    return torch.movedim(torch.linalg.cross(a, b, dim=-1), -1, axisc)


TABLE[np.linalg.cross] = lambda x1, x2, /, *, axis=-1: _cross(x1, x2, axis=axis)


def _windows(a: Tensor, v: Tensor, mode: str) -> Tensor:
    """Sums of products of v with every window of a (no reversal), NumPy's correlate for real v."""
    n, m = a.shape[0], v.shape[0]
    if not n or not m:
        raise ValueError("an operand of np.convolve or np.correlate is empty")
    margin = {"valid": 0, "same": m // 2, "full": m - 1}[mode]
    padded = torch.cat([a.new_zeros(margin), a, a.new_zeros(margin)])
    y = padded.unfold(0, m, 1) @ v
    return y[: max(n, m)] if mode == "same" else y


def _mode(mode: Any) -> str:
    modes: dict[Any, Any] = {0: "valid", 1: "same", 2: "full", "v": "valid", "s": "same", "f": "full"}
    return modes.get(mode, mode)


@implements(np.convolve)
def _convolve(a: Any, v: Any, mode: Any = "full") -> Tensor:
    a, v = [torch.atleast_1d(x) for x in promoted(a, v)]
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    m, mode = v.shape[0], _mode(mode)
    full = _windows(a, v.flip(0), "full")
    if mode == "full":
        return full
    start, count = ((m - 1) // 2, a.shape[0]) if mode == "same" else (m - 1, a.shape[0] - m + 1)
    return full[start : start + count]


@implements(np.correlate)
def _correlate(a: Any, v: Any, mode: Any = "valid") -> Tensor:
    a, v = [torch.atleast_1d(x) for x in promoted(a, v)]
    v = torch.conj(v)
    n, m, mode = a.shape[0], v.shape[0], _mode(mode)
    full = _windows(a, v, "full") if n >= m else _windows(v, a, "full").flip(0)
    if mode == "full":
        return full
    short, long = min(n, m), max(n, m)
    # NumPy centres with the odd sample on the left, on the right when the operands had to be swapped.
    start = short // 2 if n >= m else (short - 1) // 2
    start = short - 1 - (short - 1 - start if n >= m else start) if mode == "same" else short - 1
    if mode == "same":
        start = (short - 1) // 2 if n >= m else short // 2
    return full[start : start + (long if mode == "same" else long - short + 1)]


@implements_linalg(np.linalg.eigvalsh)
def _eigvalsh(a: Any, UPLO: str = "L") -> Tensor:
    return torch.linalg.eigvalsh(square_matrix(a), UPLO=UPLO.upper())


@implements_linalg(np.linalg.eigvals)
def _eigvals(a: Any) -> Tensor:
    a = square_matrix(a)
    return real_if_real(a, torch.linalg.eigvals(a))[0]


@implements_linalg(np.linalg.svd)
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    a = inexact(a)
    if not compute_uv:
        return torch.linalg.svdvals(a)
    k = min(a.shape[-2:])
    # torch differentiates the thin factors only. The rest is fixed up to a rotation by being orthonormal to them.
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    u, v = determined(s, u, conjugate_transpose(vh))
    if full_matrices and a.shape[-1] != a.shape[-2]:
        full_u, _, full_vh = torch.linalg.svd(a.detach(), full_matrices=True)
        if a.shape[-2] > k:
            u = torch.cat([u, complement(u, full_u[..., :, k:])], -1)
        else:
            v = torch.cat([v, complement(v, conjugate_transpose(full_vh)[..., :, k:])], -1)
    return SVD_RESULT(u, s, conjugate_transpose(v))


TABLE[np.linalg.svdvals] = lambda x, /: torch.linalg.svdvals(inexact(x))


@implements_linalg(np.linalg.qr)
def _qr(a: Any, mode: str = "reduced") -> Any:
    a = inexact(a)
    if mode not in ("reduced", "complete", "r"):
        raise UntranslatedError(f"mode={mode!r}")
    q, r = torch.linalg.qr(a, mode="reduced")  # torch's other modes have no derivative
    if r.requires_grad:
        with contextlib.suppress(RuntimeError):  # under torch.func.vmap values cannot be looked at
            sizes = torch.diagonal(r.detach(), 0, -2, -1).abs().cpu().numpy()
            lost = (sizes <= noise(sizes)).any(-1, keepdims=True)
            if lost.any():
                columns = torch.from_numpy(lost).to(q.device)
                q, r = [undetermined(x, columns.expand(x[..., 0, :].shape)) for x in (q, r)]
    m, n = a.shape[-2:]
    if mode == "complete" and m > n:
        q = torch.cat([q, complement(q, torch.linalg.qr(a.detach(), mode="complete").Q[..., n:])], -1)
        r = torch.cat([r, r.new_zeros(*r.shape[:-2], m - n, n)], -2)
    return r if mode == "r" else QR_RESULT(q, r)  # type: ignore[arg-type]


@implements_linalg(np.linalg.matrix_power)
def _matrix_power(a: Any, n: int) -> Tensor:
    return torch.linalg.matrix_power(square_matrix(a), operator.index(n))


@implements_linalg(np.linalg.multi_dot)
def _multi_dot(arrays: Any, *, out: Any = None) -> Tensor:
    return torch.linalg.multi_dot(joined(arrays))


@implements_linalg(np.linalg.lstsq)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> tuple:
    a, b = promoted(inexact(a), inexact(b))
    rtol = torch.finfo(a.dtype).eps * (max(a.shape) if rcond is None else 0.5) if rcond is None or rcond < 0 else rcond
    s = torch.linalg.svdvals(a)
    if not bool(torch.isfinite(s).all()):
        raise np.linalg.LinAlgError("SVD did not converge in Linear Least Squares")
    rank = np.int32((s > rtol * s[:1]).sum().item())  # they are sorted
    x = torch.linalg.pinv(a, rtol=rtol) @ b
    residuals = b - a @ x
    squares = torch.sum(torch.abs(residuals) ** 2, 0, keepdim=b.ndim == 1)
    if rank < a.shape[1] or a.shape[0] <= a.shape[1]:
        squares = s.new_zeros(0)
    return x, squares, rank, s


def _flat_norm(x: Tensor, order: Any, axes: Any, keepdims: bool) -> Tensor:
    """A vector norm: at 0 its slope is 0 and it has no second derivative."""
    if order == 2:
        squares = torch.sum(torch.abs(x) ** 2 if x.is_complex() else x * x, axes, keepdim=keepdims)
        scale = torch.linalg.vector_norm(x.detach(), 2, axes, keepdims)
        tame = (scale == 0) | (squares.detach() > 1e-280) & (squares.detach() < 1e280)
        if x.dtype in (torch.float64, torch.complex128) and bool(tame.all()):
            return root_of(squares)
    if not x.numel():
        raise UntranslatedError("no entries")
    y = torch.linalg.vector_norm(x, order, axes, keepdim=keepdims)
    if order in (0, 1, math.inf, -math.inf):
        return y
    x = torch.abs(x) if x.is_complex() else x
    at = x == 0 if order < 2 else (torch.linalg.vector_norm(x.detach(), 2, axes, True) == 0).expand(x.shape)
    bend = bent(torch.zeros_like(x), at, x)
    return y + torch.sum(bend, axes, keepdim=keepdims) if bend.requires_grad else y


@implements_linalg(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = inexact(x)
    if axis is None and ord is None:
        y = _flat_norm(x.reshape(-1), 2, (0,), False)
        return y.reshape([1] * x.ndim) if keepdims else y
    axes = axes_of(axis, x.ndim)
    if len(axes) == 1:
        if ord in ("fro", "nuc"):
            raise ValueError(f"Invalid norm order {ord!r} for vectors")
        return _flat_norm(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    if ord in (None, "fro"):
        return _flat_norm(x, 2, axes, keepdims)
    return torch.linalg.matrix_norm(x, ord, axes, keepdim=keepdims)


@implements_linalg(np.linalg.vector_norm)
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    x = inexact(x)
    return _flat_norm(x, ord, axes_of(axis, x.ndim), keepdims)


@implements_linalg(np.linalg.matrix_norm)
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    return _norm(x, ord, (-2, -1), keepdims)


@implements_linalg(np.linalg.cond)
def _cond(x: Any, p: Any = None) -> Tensor:
    if p not in (None, 2, -2):
        raise UntranslatedError(f"p={p!r}")  # torch overwrites what its own derivative needs
    r = torch.linalg.cond(inexact(x), p)
    plain = not (torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(r))
    if plain and bool(torch.isnan(r.detach()).any()):
        raise UntranslatedError("a singular matrix")
    return r


TABLE[np.fft.fftshift] = lambda x, axes=None: torch.fft.fftshift(tensor_of(x), axes)
TABLE[np.fft.ifftshift] = lambda x, axes=None: torch.fft.ifftshift(tensor_of(x), axes)
