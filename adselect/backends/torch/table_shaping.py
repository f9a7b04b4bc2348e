"""torch for the functions that change a shape."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .operands import TABLE, _axes, _shape, _tensor, implements, torch_dtype

# -- shape -------------------------------------------------------------------------------------------------------------

TABLE[np.shape] = lambda a: tuple(_tensor(a).shape)
TABLE[np.ndim] = lambda a: _tensor(a).ndim


@implements(np.size)
def _size(a: Any, axis: Any = None) -> int:
    shape = _tensor(a).shape
    return math.prod(shape) if axis is None else math.prod([shape[k] for k in _axes(axis, len(shape))])


@implements(np.reshape)
def _reshape(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Tensor:
    a = _tensor(a)
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
    a = _tensor(a)
    if axes is None:
        return _reversed_axes(a)
    if len(axes) != a.ndim:
        raise ValueError("axes don't match array")
    return a.permute(tuple([operator.index(k) for k in axes]))


@implements(np.expand_dims)
def _expand_dims(a: Any, axis: Any) -> Tensor:
    a = _tensor(a)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = _axes(axes, a.ndim + len(axes))
    shape = list(a.shape)
    for k in sorted(axes):
        shape.insert(k, 1)
    return a.reshape(shape)


@implements(np.squeeze)
def _squeeze(a: Any, axis: Any = None) -> Tensor:
    a = _tensor(a)
    axes = [k for k, n in enumerate(a.shape) if n == 1] if axis is None else _axes(axis, a.ndim)
    if any(a.shape[k] != 1 for k in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return a.reshape([n for k, n in enumerate(a.shape) if k not in axes])


@implements(np.broadcast_to)
def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Tensor:
    return torch.broadcast_to(_tensor(array), _shape(shape))


@implements(np.copy)
def _copy(x: Any, order: str = "K", **options: Any) -> Tensor:
    return _tensor(x).clone(memory_format=torch.contiguous_format if order == "C" else torch.preserve_format)


@implements(np.astype)
def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    x, dtype = _tensor(x), torch_dtype(dtype)
    if x.is_complex() and not dtype.is_complex:
        x = x != 0 if dtype is torch.bool else torch.real(x)
    return x.clone() if x.dtype is dtype else x.to(dtype)
