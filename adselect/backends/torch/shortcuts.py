"""Rows of functions that run on the atoms as well: what the row gains is said over each group.

"1.4 times" is how much longer the gradient of a call takes without the row, on AutoTorch and small arrays. A row that
gains less than 1.3 times, and nothing else, is no shortcut.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...face.atoms import rolled
from ...rules.quantiles import quantile_dtype
from ..framework_array import UntranslatedError
from .kinks import bent, root_of
from .operands import (
    INEXACT,
    NUMPY_DTYPES,
    SHORTCUTS,
    axes_last,
    axes_of,
    flat_axis,
    inexact,
    joined,
    places_of,
    promoted,
    shape_of,
    shortcut,
    tensor_of,
    torch_dtype,
)
from .table_decompositions import real_if_real
from .table_elementwise import degrees, ldexp
from .table_indexing import complex_order
from .table_linalg import implements_linalg, square_matrix
from .table_quantiles import has_infinities, order_statistic
from .table_reductions import sum_of

# -- on the device, in the operand's dtype: NumPy makes none of torch's own dtypes, and knows no device ----------------


def _like(fill: Callable) -> Callable:
    def call(a: Any, *, dtype: Any = None, shape: Any = None, **other: Any) -> Tensor:
        a = tensor_of(a)
        shape = a.shape if shape is None else shape_of(shape)
        return fill(shape, dtype=a.dtype if dtype is None else torch_dtype(dtype), device=a.device)

    return call


SHORTCUTS[np.zeros_like] = SHORTCUTS[np.empty_like] = _like(torch.zeros)
SHORTCUTS[np.ones_like] = _like(torch.ones)


@shortcut(np.full_like)
def _full_like(a: Any, fill_value: Any, *, dtype: Any = None, shape: Any = None, **other: Any) -> Tensor:
    a = tensor_of(a)
    dtype = a.dtype if dtype is None else torch_dtype(dtype)
    return tensor_of(fill_value, a).to(dtype).expand(a.shape if shape is None else shape_of(shape)).clone()


# -- no look at the values, which torch.func.vmap does not give --------------------------------------------------------


@shortcut(np.frexp)
def _frexp(x: Any) -> tuple:
    x = inexact(x)
    _, exponent = torch.frexp(x.detach())
    return ldexp(x, -exponent), exponent


@shortcut(np.sort)  # 1.7 times as well
def _sort(a: Any, axis: Any = -1, kind: Any = None, **other: Any) -> Tensor:
    a, axis = flat_axis(a, axis)
    if a.is_complex():
        return torch.gather(a, axis, complex_order(a, axis))
    return torch.sort(a, dim=axis, stable=True).values


# -- one function of torch's for several: 1.4 to 2 times ---------------------------------------------------------------


def _joins(join: Callable) -> Callable:
    def call(tup: Any, *, dtype: Any = None) -> Tensor:
        tensors = joined(tup)
        return join(tensors if dtype is None else [t.to(torch_dtype(dtype)) for t in tensors])

    return call


SHORTCUTS[np.vstack] = _joins(torch.vstack)
SHORTCUTS[np.hstack] = _joins(torch.hstack)
SHORTCUTS[np.dstack] = _joins(torch.dstack)
SHORTCUTS[np.column_stack] = _joins(torch.column_stack)
SHORTCUTS[np.tile] = lambda A, reps: torch.tile(tensor_of(A), shape_of(reps))
SHORTCUTS[np.rot90] = lambda m, k=1, axes=(0, 1): torch.rot90(tensor_of(m), k, axes)
SHORTCUTS[np.diagflat] = lambda v, k=0: torch.diag_embed(tensor_of(v).reshape(-1), k)
SHORTCUTS[np.diagonal] = lambda a, offset=0, axis1=0, axis2=1: torch.diagonal(tensor_of(a), offset, axis1, axis2)
SHORTCUTS[np.kron] = lambda a, b: torch.kron(*promoted(a, b))


@shortcut(np.diag)
def _diag(v: Any, k: int = 0) -> Tensor:
    v = tensor_of(v)
    return torch.diag_embed(v, k) if v.ndim == 1 else torch.diagonal(v, k)


def _triangle(operate: Callable) -> Callable:
    def call(m: Any, k: int = 0) -> Tensor:
        m = tensor_of(m)
        return operate(m.expand(m.shape[0], m.shape[0]) if m.ndim == 1 else m, k)

    return call


SHORTCUTS[np.triu] = _triangle(torch.triu)
SHORTCUTS[np.tril] = _triangle(torch.tril)


@shortcut(np.repeat)
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Tensor:
    a, axis = flat_axis(a, axis)
    if isinstance(repeats, (list, tuple)):
        repeats = torch.tensor([operator.index(r) for r in repeats], device=a.device)
    if isinstance(repeats, Tensor):
        return torch.repeat_interleave(a, repeats.to(torch.int64).expand(a.shape[axis]), dim=axis)
    return torch.repeat_interleave(a, operator.index(repeats), dim=axis)


@shortcut(rolled)  # np.roll 2.3 times, np.fft.fftshift 1.7 times
def _rolled(a: Any, shift: int, axis: int) -> Tensor:
    return torch.roll(a, shift, axis)


@shortcut(np.angle)
def _angle(z: Any, deg: bool = False) -> Tensor:
    z = inexact(z)
    angle = torch.angle(z)
    if z.is_complex() and z.requires_grad:
        angle = bent(angle, z == 0, z.real, z.imag)
    return degrees(angle) if deg else angle


@shortcut(np.bincount)  # 3 times
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Tensor:
    x = tensor_of(x, weights).to(torch.int64)
    if not x.numel():
        return torch.zeros(minlength, dtype=torch.int64, device=x.device)
    n = max(int(minlength), int(x.max()) + 1)
    weights = torch.ones_like(x) if weights is None else tensor_of(weights, x).to(torch.float64)
    return torch.zeros(n, dtype=weights.dtype, device=x.device).index_add(0, x, weights)


# -- products: 1.4 to 2 times ------------------------------------------------------------------------------------------

# Its annotation knows a number of axes only.
_native_tensordot: Any = torch.tensordot


@shortcut(np.vdot)
def _vdot(a: Any, b: Any, /) -> Tensor:
    a, b = promoted(a, b)
    return torch.vdot(a.reshape(-1), b.reshape(-1))


@shortcut(np.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    a, b = promoted(a, b)
    if not isinstance(axes, (tuple, list)):
        return torch.tensordot(a, b, dims=operator.index(axes))
    left, right = axes
    return _native_tensordot(a, b, dims=(list(axes_of(left, a.ndim)), list(axes_of(right, b.ndim))))


@shortcut(np.cross)
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Tensor:
    a, b = promoted(a, b)
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = torch.movedim(a, axisa, -1), torch.movedim(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise UntranslatedError("vectors of two entries")
    a, b = torch.broadcast_tensors(a, b)
    return torch.movedim(torch.linalg.cross(a, b, dim=-1), -1, axisc)


# -- values without their vectors: 1.5 times, and nothing undetermined among them --------------------------------------


@implements_linalg(np.linalg.eigvalsh, into=SHORTCUTS)
def _eigvalsh(a: Any, UPLO: str = "L") -> Tensor:
    return torch.linalg.eigvalsh(square_matrix(a), UPLO=UPLO.upper())


@implements_linalg(np.linalg.eigvals, into=SHORTCUTS)
def _eigvals(a: Any) -> Tensor:
    a = square_matrix(a)
    return real_if_real(a, torch.linalg.eigvals(a))[0]


SHORTCUTS[np.linalg.svdvals] = lambda x, /: torch.linalg.svdvals(inexact(x))


# -- a kink: below order 2 every entry that is 0 has one, which torch's graph does not carry through the power ---------


@shortcut(np.linalg.vector_norm)
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    x = inexact(x)
    if ord >= 2 or ord in (0, 1, -math.inf) or not x.numel():
        raise UntranslatedError(f"ord={ord!r}")
    axes = axes_of(axis, x.ndim)
    y = torch.linalg.vector_norm(x, ord, axes, keepdim=keepdims)
    x = torch.abs(x) if x.is_complex() else x
    bend = bent(torch.zeros_like(x), x == 0, x)
    return y + torch.sum(bend, axes, keepdim=keepdims) if bend.requires_grad else y


# -- Fourier transforms of several axes at once: up to 1.4 times, on large arrays too ----------------------------------


def _fft_nd(operate: Callable, default: Any) -> Callable:
    def call(a: Any, s: Any = None, axes: Any = default, norm: Any = None) -> Tensor:
        a = inexact(a)
        axes = axes_of(axes, a.ndim) if axes is not None or s is None else tuple(range(a.ndim - len(s), a.ndim))
        s = None if s is None else [a.shape[k] if n == -1 else n for n, k in zip(s, axes, strict=True)]
        return operate(a, s, axes, norm)

    return call


for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    SHORTCUTS[getattr(np.fft, _name)] = _fft_nd(getattr(torch.fft, _name.replace("2", "n")), (-2, -1))
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    SHORTCUTS[getattr(np.fft, _name)] = _fft_nd(getattr(torch.fft, _name), None)


# -- variances: 1.6 to 1.9 times ---------------------------------------------------------------------------------------


def _moments(function: Any) -> Callable:
    def call(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False, **options: Any) -> Tensor:
        a = tensor_of(a)
        axes = axes_of(axis, a.ndim)
        if options or not axes or a.dtype not in INEXACT:
            raise UntranslatedError("options")
        variance = torch.var(a, axes, correction=ddof, keepdim=bool(keepdims))
        return variance if function is np.var else root_of(variance)

    return call


SHORTCUTS[np.var] = _moments(np.var)
SHORTCUTS[np.std] = _moments(np.std)


def _nan_moments(function: Any) -> Callable:
    def call(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Tensor:
        a = inexact(a)
        kept = ~torch.isnan(a)
        a = torch.where(kept, a, torch.zeros_like(a))
        count = sum_of(kept, axis, keepdims=True)
        centred = torch.where(kept, a - sum_of(a, axis, keepdims=True) / count, torch.zeros_like(a))
        total = sum_of(torch.abs(centred) ** 2, axis, keepdims=keepdims)
        variance = total / (count.reshape(total.shape) - ddof).to(total.dtype)
        return variance if function is np.nanvar else root_of(variance)

    return call


SHORTCUTS[np.nanvar] = _nan_moments(np.nanvar)
SHORTCUTS[np.nanstd] = _nan_moments(np.nanstd)


# -- order statistics: 1.5 to 1.8 times --------------------------------------------------------------------------------


@shortcut(np.median)
def _median(a: Any, axis: Any = None, *, keepdims: Any = False, **other: Any) -> Tensor:
    a = inexact(a)
    if not a.numel() or a.is_complex():
        raise UntranslatedError("no entries, or complex ones")
    flat, shape = axes_last(a, axis)
    n, ordered = flat.shape[-1], torch.sort(flat.detach(), dim=-1).values
    high = order_statistic(flat, ordered, n // 2)
    y = high if n % 2 else (order_statistic(flat, ordered, n // 2 - 1) + high) / 2
    return y.reshape(shape) if keepdims else y


# How far from the lower to the higher neighbour, from the fraction of the way.
_BETWEEN: dict[str, Callable] = {
    "linear": lambda t: t,
    "lower": lambda t: 0,
    "higher": lambda t: 1,
    "midpoint": lambda t: 0.5 if t else 0,
}


def _quantiles(
    function: Any,
    a: Any,
    q: Any,
    axis: Any = None,
    *,
    method: str = "linear",
    keepdims: Any = False,
    weights: Any = None,
    **other: Any,
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
        found.append(y.reshape(shape) if keepdims else y)
    y = torch.stack(found).reshape(q.shape + found[0].shape)
    return y if dtype is None else y.to(dtype)


SHORTCUTS[np.quantile] = functools.partial(_quantiles, np.quantile)
SHORTCUTS[np.percentile] = functools.partial(_quantiles, np.percentile)
