"""NumPy functions whose signature hides their arguments (where, clip, full_like, select, piecewise) or takes others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..face.array import Array
from ..face.atoms import clipped, select
from ..face.dispatch import absorb, dispatch
from ..values.kinds import isa
from .registry import composite


@composite(np.where)
def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    if x is None and y is None:
        return dispatch(np.nonzero, (condition,), {})
    if isinstance(condition, Array) and condition.dtype.kind != "b":
        condition = condition != 0
    return dispatch(select, (condition, x, y), {})


@composite(np.clip)
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None, **options: Any) -> Any:
    low = a_min if a_min is not None and a_min is not np._NoValue else min
    high = a_max if a_max is not None and a_max is not np._NoValue else max
    low = -np.inf if low is None or low is np._NoValue else low
    high = np.inf if high is None or high is np._NoValue else high
    return dispatch(clipped, (a, low, high), {})


@composite(np.full_like)
def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **k: Any
) -> Any:
    target = np.shape(a) if shape is None else shape
    if not isinstance(fill_value, Array):
        value = np.full(target, fill_value, dtype or a.dtype)
        return value if a._closed else a._constant(value)
    return np.broadcast_to(fill_value, target).astype(dtype or a.dtype)


@composite(np.select)
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = np.where(condition, choice, result)
    return result


@composite(np.piecewise)
def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    single = isa(condlist, (bool, np.bool_, np.ndarray, Array)) and np.ndim(condlist) <= np.ndim(x)
    conditions: Any = [condlist] if single else condlist
    funclist = list(funclist)
    default = funclist.pop() if len(funclist) == len(conditions) + 1 else 0.0
    result: Any = default(x, *args, **kw) if callable(default) else default
    for condition, function in zip(conditions, funclist, strict=True):
        value: Any = function(x, *args, **kw) if callable(function) else function
        result = np.where(condition, value, result)
    return result if result.dtype == x.dtype else result.astype(x.dtype)  # NumPy fills an array like x


# -- functions of functions --------------------------------------------------------------------------------------------


@composite(np.apply_along_axis)
def _apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    axis = axis % np.ndim(arr)
    moved = np.moveaxis(arr, axis, -1)
    lead = np.shape(moved)[:-1]
    rows = np.reshape(moved, (math.prod(lead), np.shape(arr)[axis]))
    results = [absorb(func1d(row, *args, **kwargs)) for row in rows]
    stacked = np.stack([r if isinstance(r, Array) else np.asarray(r) for r in results])
    inner = np.shape(stacked)[1:]
    result = np.reshape(stacked, lead + inner)
    places = list(range(len(lead), len(lead) + len(inner)))
    return np.moveaxis(result, places, list(range(axis, axis + len(inner)))) if inner else result


@composite(np.apply_over_axes)
def _apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    ndim = np.ndim(a)
    for axis in [axes] if np.ndim(axes) == 0 else axes:
        axis = normalize_axis_index(axis, ndim)
        result = func(a, axis)
        a = result if np.ndim(result) == ndim else np.expand_dims(result, axis)
        if np.ndim(a) != ndim:
            raise ValueError("function is not returning an array of the correct shape")
    return a
