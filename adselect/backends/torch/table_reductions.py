"""torch for NumPy's reductions and scans."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .kinks import root_of
from .operands import (
    INEXACT,
    NOT_GIVEN,
    TABLE,
    axes_last,
    axes_of,
    axis_of,
    flat_axis,
    implements,
    is_given,
    masked,
    positional_tail,
    tensor_of,
    torch_dtype,
    truth,
)


@implements(np.sum)
def sum_of(
    a: Any, axis: Any = None, dtype: Any = None, *rest: Any, keepdims: Any = False, initial: Any = 0, where: Any = True
) -> Tensor:
    a, keepdims, initial = positional_tail(a, rest, keepdims, initial)
    a = masked(a, where, 0)
    if dtype is not None and dtype is not NOT_GIVEN:
        a = a.to(torch_dtype(dtype))
    if axis is None and not keepdims:
        y = torch.sum(a)
    else:
        axes = axes_of(axis, a.ndim)
        y = torch.sum(a, axes, keepdim=keepdims) if axes else a.clone() if a.dtype in INEXACT else a.to(torch.int64)
    return y if (type(initial) is int and initial == 0) or initial is NOT_GIVEN else TABLE[np.add](y, initial)


@implements(np.mean)
def mean_of(
    a: Any, axis: Any = None, dtype: Any = None, *rest: Any, keepdims: Any = False, where: Any = True
) -> Tensor:
    a, keepdims, _ = positional_tail(a, rest, keepdims)
    a = a.to(torch_dtype(dtype)) if is_given(dtype) else a if a.dtype in INEXACT else a.to(torch.float64)
    if where is not True and is_given(where):
        mask = tensor_of(where, a).to(torch.bool)
        total, count = (
            sum_of(a, axis, keepdims=keepdims, where=mask),
            sum_of(mask.expand(a.shape), axis, keepdims=keepdims),
        )
        return total / count.to(total.dtype)
    if axis is None and not keepdims:
        return torch.mean(a)
    axes = axes_of(axis, a.ndim)
    return torch.mean(a, axes, keepdim=keepdims) if axes else a.clone()


def _moments(operate: Callable) -> Callable:
    def call(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: Any = 0,
        keepdims: Any = False,
        *,
        where: Any = True,
        mean: Any = None,
        correction: Any = NOT_GIVEN,
    ) -> Tensor:
        a = tensor_of(a)
        a = a.to(torch_dtype(dtype)) if is_given(dtype) else a if a.dtype in INEXACT else a.to(torch.float64)
        ddof = ddof if correction is NOT_GIVEN else correction
        keepdims, axes = truth(keepdims), axes_of(axis, a.ndim)
        if where is not True or not axes or is_given(mean):
            mask = torch.ones_like(a, dtype=torch.bool)
            if where is not True:
                mask = tensor_of(where, a).to(torch.bool).expand(a.shape)
            count = sum_of(mask, axis, keepdims=True)
            centre = tensor_of(mean, a) if is_given(mean) else sum_of(a, axis, keepdims=True, where=mask) / count
            centred = a - centre
            total = sum_of(torch.abs(centred) ** 2, axis, keepdims=keepdims, where=mask)
            variance = total / (count.reshape(total.shape) - ddof).clamp(min=0).to(total.dtype)
            return variance if operate is torch.var else root_of(variance)
        return operate(a, axes, correction=ddof, keepdim=keepdims)

    return call


def _std(a: Tensor, axes: tuple, correction: Any, keepdim: bool) -> Tensor:
    return root_of(torch.var(a, axes, correction=correction, keepdim=keepdim))


TABLE[np.var] = _moments(torch.var)
TABLE[np.std] = _moments(_std)


def _extremes(reduce: Callable, pick: Callable) -> Callable:
    def call(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
    ) -> Tensor:
        a, keepdims, axes = tensor_of(a), truth(keepdims), axes_of(axis, tensor_of(a).ndim)
        if is_given(initial):
            a = masked(a, where, initial)
        elif where is not True and is_given(where):
            raise ValueError("reduction with where= needs initial=")
        if a.numel() == 0:  # torch refuses to reduce an empty axis
            if not is_given(initial) and 0 in [a.shape[k] for k in axes]:
                raise ValueError("zero-size array to reduction operation which has no identity")
            initial = initial if is_given(initial) else 0
            shape = [1 if k in axes else n for k, n in enumerate(a.shape) if keepdims or k not in axes]
            return tensor_of(initial, a).expand(shape).to(a.dtype)
        y = reduce(a, axes, keepdim=keepdims) if axes else a.clone()
        return pick(y, initial) if is_given(initial) else y

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
    a: Any, axis: Any = None, dtype: Any = None, *rest: Any, keepdims: Any = False, initial: Any = 1, where: Any = True
) -> Tensor:
    a, keepdims, initial = positional_tail(a, rest, keepdims, initial)
    a = masked(a, where, 1)
    a = a.to(torch_dtype(dtype)) if is_given(dtype) else a
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
        y = torch.prod(a, axis_of(axis, a.ndim), keepdim=keepdims)
    return y if (type(initial) is int and initial == 1) or initial is NOT_GIVEN else TABLE[np.multiply](y, initial)


def _truths(operate: Callable, neutral: bool) -> Callable:
    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Tensor:
        a = masked(tensor_of(a) != 0, where, neutral)
        axes = axes_of(axis, a.ndim)
        return operate(a, axes, keepdim=truth(keepdims)) if axes else a

    return call


TABLE[np.any] = _truths(torch.any, False)
TABLE[np.all] = _truths(torch.all, True)


@implements(np.count_nonzero)
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Tensor:
    return sum_of((tensor_of(a) != 0).to(torch.int64), axis, keepdims=keepdims)


def _arg(operate: Callable) -> Callable:
    def call(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Tensor:
        a = tensor_of(a)
        a = a.to(torch.uint8) if a.dtype is torch.bool else a
        if a.numel() == 0 and (axis is None or not a.shape[axis_of(axis, a.ndim)]):
            raise ValueError("attempt to get the position of an extremum of an empty sequence")
        if a.numel() == 0:
            return torch.zeros_like(torch.sum(a, axis_of(axis, a.ndim), keepdim=truth(keepdims)), dtype=torch.int64)
        return operate(a, None if axis is None else axis_of(axis, a.ndim), keepdim=truth(keepdims))

    return call


TABLE[np.argmax] = _arg(torch.argmax)
TABLE[np.argmin] = _arg(torch.argmin)


def _scan(operate: Callable) -> Callable:
    def call(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Tensor:
        a, axis = flat_axis(a, axis)
        return operate(a.to(torch_dtype(dtype)) if is_given(dtype) else a, axis)

    return call


TABLE[np.cumsum] = _scan(torch.cumsum)


def _cumulative_product(a: Tensor, axis: int) -> Tensor:
    if not a.ndim or not _overflows(a):
        return torch.cumprod(a, axis)
    return torch.stack(list(itertools.accumulate(a.unbind(axis), operator.mul)), axis)


TABLE[np.cumprod] = _scan(_cumulative_product)
