"""torch for the functions that change a shape."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...face.atoms import join, pile
from .operands import TABLE, axes_of, axis_of, implements, joined, shape_of, tensor_of, torch_dtype

TABLE[np.shape] = lambda a: tuple(tensor_of(a).shape)
TABLE[np.ndim] = lambda a: tensor_of(a).ndim


@implements(np.size)
def _size(a: Any, axis: Any = None) -> int:
    shape = tensor_of(a).shape
    return math.prod(shape) if axis is None else math.prod([shape[k] for k in axes_of(axis, len(shape))])


@implements(np.reshape)
def reshape_to(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Tensor:
    a = tensor_of(a)
    shape = newshape if shape is None else shape
    shape = tuple([operator.index(n) for n in shape]) if isinstance(shape, (tuple, list)) else (operator.index(shape),)
    if math.prod(shape) != a.numel() and -1 not in shape:
        raise ValueError(f"cannot reshape array of size {a.numel()} into shape {shape}")
    if order == "F":
        return _reversed_axes(_reversed_axes(a).reshape(shape[::-1]))
    return a.reshape(shape)


def _reversed_axes(a: Tensor) -> Tensor:
    return a.permute(tuple(range(a.ndim - 1, -1, -1)))


@implements(np.transpose)
def _transpose(a: Any, axes: Any = None) -> Tensor:
    a = tensor_of(a)
    if axes is None:
        return _reversed_axes(a)
    if len(axes) != a.ndim:
        raise ValueError("axes don't match array")
    return a.permute(tuple([operator.index(k) for k in axes]))


@implements(np.expand_dims)
def _expand_dims(a: Any, axis: Any) -> Tensor:
    a = tensor_of(a)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = axes_of(axes, a.ndim + len(axes))
    shape = list(a.shape)
    for k in sorted(axes):
        shape.insert(k, 1)
    return a.reshape(shape)


@implements(np.squeeze)
def _squeeze(a: Any, axis: Any = None) -> Tensor:
    a = tensor_of(a)
    axes = [k for k, n in enumerate(a.shape) if n == 1] if axis is None else axes_of(axis, a.ndim)
    if any(a.shape[k] != 1 for k in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return a.reshape([n for k, n in enumerate(a.shape) if k not in axes])


@implements(np.broadcast_to)
def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Tensor:
    return torch.broadcast_to(tensor_of(array), shape_of(shape))


@implements(np.copy)
def _copy(x: Any, order: str = "K", **options: Any) -> Tensor:
    return tensor_of(x).clone(memory_format=torch.contiguous_format if order == "C" else torch.preserve_format)


@implements(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    x, dtype = tensor_of(x), torch_dtype(dtype)
    if x.is_complex() and not dtype.is_complex:
        x = x != 0 if dtype is torch.bool else torch.real(x)
    return x.clone() if x.dtype is dtype else x.to(dtype)


@implements(join)
def _join(*arrays: Any, axis: int) -> Tensor:
    tensors = joined(arrays)
    if any(t.ndim != tensors[0].ndim for t in tensors) or not tensors[0].ndim:
        raise ValueError("all the input array dimensions must match, and be at least one, to concatenate")
    return torch.cat(tensors, axis_of(axis, tensors[0].ndim))


@implements(pile)
def _pile(*arrays: Any, axis: int) -> Tensor:
    return torch.stack(joined(arrays), axis)
