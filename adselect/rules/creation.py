"""Arrays made of numbers: linspace, geomspace, logspace with traced ends, and copies of another array's shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..face.array import Array
from ..face.dispatch import absorb
from ..values.kinds import isa
from .registry import composite, no_derivative


def _array(x: Any) -> Any:
    x = absorb(x)
    return x if isa(x, (Array, np.ndarray)) else np.asarray(x)


@composite(np.linspace)
def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    num = int(num)
    start, stop = _array(start) * 1.0, _array(stop) * 1.0
    pieces = num - 1 if endpoint else num
    shape = np.broadcast_shapes(np.shape(start), np.shape(stop))
    real = np.empty(0, np.result_type(start.dtype, stop.dtype)).real.dtype
    steps = np.reshape(np.arange(num, dtype=real), (-1,) + (1,) * len(shape))
    if pieces > 0:
        step = (stop - start) / pieces
        result = start + steps * step
        if endpoint and num > 1:
            result = np.concatenate([result[:-1], np.expand_dims(np.broadcast_to(stop, shape), 0)])
    else:
        step = (stop - start) * np.nan
        result = start + steps * (stop - start)
    result = np.moveaxis(result, 0, axis) if axis else result
    result = result if dtype is None else result.astype(dtype)
    return (result, step) if retstep else result


@composite(np.logspace)
def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    if np.ndim(base):
        ndim = np.broadcast(np.zeros(np.shape(start)), np.zeros(np.shape(stop)), np.zeros(np.shape(base))).ndim
        start, stop, base = [
            np.reshape(_array(x), (1,) * (ndim - np.ndim(x)) + np.shape(x)) for x in (start, stop, base)
        ]
        base = np.expand_dims(base, axis)
    result = np.power(base, np.linspace(start, stop, num, endpoint, axis=axis))
    return result if dtype is None else result.astype(dtype)


@composite(np.geomspace)
def _geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    start, stop = _array(start) * 1.0, _array(stop) * 1.0
    parts = np.linspace(np.zeros(np.broadcast_shapes(np.shape(start), np.shape(stop))), 1.0, num, endpoint, axis=axis)
    first = np.expand_dims(start, axis) if np.ndim(parts) > 1 and np.ndim(start) else start
    ratio = np.expand_dims(stop / start, axis) if np.ndim(parts) > 1 else stop / start
    result = first * np.power(ratio, parts)
    return result if dtype is None else result.astype(dtype)


# -- traced arrays to write into --------------------------------------------------------------------------------------


def _filled(make: Any) -> Any:
    def like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **k: Any) -> Any:
        value = make(np.shape(a) if shape is None else shape, dtype or a.dtype)
        return value if a._closed else a._constant(value)

    return like


# No derivative flows through them, and yet what they return can be written to.
no_derivative(np.zeros_like, np.ones_like, np.empty_like)
composite(np.zeros_like)(_filled(np.zeros))
composite(np.ones_like)(_filled(np.ones))
composite(np.empty_like)(_filled(np.zeros))
