"""What NumPy's functions are made of and NumPy has no name for: the functions alone, their rules are in ``rules/``.

Rules, the writers of the array face and the frameworks' tables call these: a scatter is what pulls indexing back,
``set_item`` is what writing in place means, ``join`` and ``pile`` take their arrays one by one, ``select`` and
``clipped`` take all their operands, ``contract`` is an einsum with everything written out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .dispatch import dispatch
from .indices import is_basic
from .traced import Traced

__all__ = ["accumulate_at", "scatter", "set_item"]


def dispatched(function: Callable) -> Callable:
    """Decorator: a function of the rules' own that takes traced arguments as NumPy's functions do, to have a rule."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, Traced) for a in args):
            return dispatch(call, args, kwargs)
        return function(*args, **kwargs)

    return call


def written_out(function: Callable) -> Callable:
    """Like dispatched, where what the function does with NumPy does on any engine: no framework need have it."""
    call: Any = dispatched(function)
    call.written_out = True
    return call


def is_one_mask(index: Any) -> bool:
    """Whether index is a mask by itself: no entry is met twice."""
    return getattr(getattr(index, "dtype", None), "kind", None) == "b"


def accumulate_at(buffer: np.ndarray, index: Any, g: Any) -> None:
    """``buffer[index] += g`` where repeated indices add up."""
    if is_basic(index) or is_one_mask(index):
        buffer[index] += g
    else:
        np.add.at(buffer, index, g)


def scatter(parts: list, indices: list, shape: tuple, dtype: Any) -> Any:
    """Zeros of shape with every part added at its index."""
    return dispatch(scatter_parts, tuple(parts), {"indices": tuple(indices), "shape": shape, "dtype": dtype})


def scatter_parts(*parts: Any, indices: tuple, shape: tuple, dtype: Any) -> Any:
    """The primitive behind :func:`scatter`."""
    if any(isinstance(p, Traced) for p in parts):
        return dispatch(scatter_parts, parts, {"indices": indices, "shape": shape, "dtype": dtype})
    buffer = np.zeros(shape, np.result_type(dtype, *parts))
    for part, index in zip(parts, indices, strict=True):
        accumulate_at(buffer, index, part)
    return buffer if shape else buffer[()]


def set_item(base: Any, value: Any, index: Any) -> Any:
    """A copy of base with ``[index]`` replaced by value (the primitive behind writing in place)."""
    if isinstance(base, Traced) or isinstance(value, Traced):
        return dispatch(set_item, (base, value, index), {})
    kind = np.result_type(base, value).kind
    if kind == "c" and np.result_type(base).kind != "c":
        raise TypeError("cannot write a complex value into a real array in place; use z = z.astype(complex) first")
    new = np.array(base)
    new[index] = value
    return new


@written_out
def rolled(a: Any, shift: int, axis: int) -> Any:
    """np.roll along one axis by 0 < shift < its length."""
    y = np.empty_like(a)
    before = (slice(None),) * axis
    y[(*before, slice(shift, None))] = a[(*before, slice(None, -shift))]
    y[(*before, slice(None, shift))] = a[(*before, slice(-shift, None))]
    return y


# -- joining -----------------------------------------------------------------------------------------------------------


def join(*arrays: Any, axis: int) -> Any:
    """``np.concatenate`` of its arguments (the primitive)."""
    return np.concatenate(arrays, axis)


def join_arrays(arrays: Any, axis: int) -> Any:
    """The primitive call for a sequence of arrays, traced or not."""
    return dispatch(join, tuple(arrays), {"axis": axis})


def pile(*arrays: Any, axis: int) -> Any:
    """``np.stack`` of its arguments (the primitive)."""
    return np.stack(arrays, axis)


def select(condition: Any, a: Any, b: Any) -> Any:
    """``np.where`` with three arguments."""
    return np.where(condition, a, b)


def clipped(x: Any, low: Any, high: Any) -> Any:
    """``np.clip`` between two given bounds."""
    return np.clip(x, low, high)


def contract(*arrays: Any, terms: tuple, output: str, optimize: Any = False) -> Any:
    """An explicit einsum without repeated letters in one operand (the primitive)."""
    return np.einsum(",".join(terms) + "->" + output, *arrays, optimize=optimize)


__all__ = ["dispatched"]
