"""torch for NumPy's reductions and scans.

A call arrives as NumPy's signature binds it: ``axis`` in its place, options by name, and only those that were given.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .operands import (
    INEXACT,
    TABLE,
    axes_last,
    axes_of,
    axis_of,
    flat_axis,
    implements,
    masked,
    tensor_of,
    torch_dtype,
)


@implements(np.sum)
def sum_of(
    a: Any, axis: Any = None, *, dtype: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
) -> Tensor:
    a = masked(_cast(a, dtype), where, 0)
    if axis is None and not keepdims:
        y = torch.sum(a)
    else:
        axes = axes_of(axis, a.ndim)
        total = functools.partial(torch.sum, a, axes, keepdim=bool(keepdims))
        y = total() if axes else a.clone() if a.dtype in INEXACT else a.to(torch.int64)
    return y if initial is None else TABLE[np.add](y, initial)


def _cast(a: Any, dtype: Any) -> Tensor:
    a = tensor_of(a)
    return a if dtype is None else a.to(torch_dtype(dtype))


@implements(np.mean)
def mean_of(a: Any, axis: Any = None, *, dtype: Any = None, keepdims: Any = False, where: Any = True) -> Tensor:
    a = _cast(a, dtype)
    a = a if a.dtype in INEXACT or dtype is not None else a.to(torch.float64)
    if where is not True:
        mask = tensor_of(where, a).to(torch.bool)
        total = sum_of(a, axis, keepdims=keepdims, where=mask)
        return total / sum_of(mask.expand(a.shape), axis, keepdims=keepdims).to(total.dtype)
    if axis is None and not keepdims:
        return torch.mean(a)
    axes = axes_of(axis, a.ndim)
    return torch.mean(a, axes, keepdim=bool(keepdims)) if axes else a.clone()


def _extremes(reduce: Callable, pick: Callable) -> Callable:
    def call(a: Any, axis: Any = None, *, keepdims: Any = False, initial: Any = None, where: Any = True) -> Tensor:
        a, keepdims = tensor_of(a), bool(keepdims)
        axes = axes_of(axis, a.ndim)
        if initial is not None:
            a = masked(a, where, initial)
        elif where is not True:
            raise ValueError("reduction with where= needs initial=")
        if a.numel() == 0:  # torch refuses to reduce an empty axis
            if initial is None and 0 in [a.shape[k] for k in axes]:
                raise ValueError("zero-size array to reduction operation which has no identity")
            shape = [1 if k in axes else n for k, n in enumerate(a.shape) if keepdims or k not in axes]
            return tensor_of(0 if initial is None else initial, a).expand(shape).to(a.dtype)
        y = reduce(a, axes, keepdim=keepdims) if axes else a.clone()
        return y if initial is None else pick(y, initial)

    return call


TABLE[np.max] = TABLE[np.amax] = _extremes(torch.amax, TABLE[np.maximum])
TABLE[np.min] = TABLE[np.amin] = _extremes(torch.amin, TABLE[np.minimum])


def _overflows(a: Tensor) -> bool:
    """Whether factors beside a 0 may overflow: torch's derivative of a product multiplies the two."""
    if torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(a) or not a.requires_grad:
        return False
    zero = a.detach() == 0
    return bool(zero.any()) and bool(torch.isinf(torch.where(zero, torch.ones_like(a), a.detach()).abs().prod()))


@implements(np.prod)
def _prod(
    a: Any, axis: Any = None, *, dtype: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
) -> Tensor:
    a = masked(_cast(a, dtype), where, 1)
    if _overflows(a):
        flat, shape = axes_last(a, axis)
        y = functools.reduce(operator.mul, flat.unbind(-1))
        y = y.reshape(shape) if keepdims else y
    elif axis is None and not keepdims:
        y = torch.prod(a)
    elif axis is None or isinstance(axis, (tuple, list)):
        if isinstance(axis, (tuple, list)) and not axis:
            return a.clone()
        flat, shape = axes_last(a, axis)
        y = torch.prod(flat, -1)
        y = y.reshape(shape) if keepdims else y
    else:
        y = torch.prod(a, axis_of(axis, a.ndim), keepdim=bool(keepdims))
    return y if initial is None else TABLE[np.multiply](y, initial)


def _truths(operate: Callable, neutral: bool) -> Callable:
    def call(a: Any, axis: Any = None, *, keepdims: Any = False, where: Any = True) -> Tensor:
        a = masked(tensor_of(a) != 0, where, neutral)
        axes = axes_of(axis, a.ndim)
        return operate(a, axes, keepdim=bool(keepdims)) if axes else a

    return call


TABLE[np.any] = _truths(torch.any, False)
TABLE[np.all] = _truths(torch.all, True)


@implements(np.count_nonzero)
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Tensor:
    return sum_of((tensor_of(a) != 0).to(torch.int64), axis, keepdims=keepdims)


def _arg(operate: Callable) -> Callable:
    def call(a: Any, axis: Any = None, *, keepdims: Any = False) -> Tensor:
        a, keepdims = tensor_of(a), bool(keepdims)
        a = a.to(torch.uint8) if a.dtype is torch.bool else a
        axis = None if axis is None else axis_of(axis, a.ndim)
        if a.numel() == 0:
            if axis is None or not a.shape[axis]:
                raise ValueError("attempt to get the position of an extremum of an empty sequence")
            return torch.zeros_like(torch.sum(a, axis, keepdim=keepdims), dtype=torch.int64)
        return operate(a, axis, keepdim=keepdims)

    return call


TABLE[np.argmax] = _arg(torch.argmax)
TABLE[np.argmin] = _arg(torch.argmin)


def _scan(operate: Callable) -> Callable:
    def call(a: Any, axis: Any = None, *, dtype: Any = None) -> Tensor:
        a, axis = flat_axis(a, axis)
        return operate(_cast(a, dtype), axis)

    return call


def _cumulative_product(a: Tensor, axis: int) -> Tensor:
    if not a.ndim or not _overflows(a):
        return torch.cumprod(a, axis)
    return torch.stack(list(itertools.accumulate(a.unbind(axis), operator.mul)), axis)


TABLE[np.cumsum] = _scan(torch.cumsum)
TABLE[np.cumprod] = _scan(_cumulative_product)
