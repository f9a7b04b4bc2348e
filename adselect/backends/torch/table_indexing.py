"""NumPy's indices in torch: reading, writing, and where elements go."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import user_line
from ...values.kinds import isa
from .operands import flat_axis, implements, tensor_of

__all__ = ["get_item", "set_item"]


def complex_order(a: Tensor, axis: int) -> Tensor:
    """The places of sorted complex numbers: by real part, then by imaginary part."""
    order = torch.argsort(a.imag, dim=axis, stable=True)
    return torch.gather(order, axis, torch.argsort(torch.gather(a.real, axis, order), dim=axis, stable=True))


@implements(np.argsort)
def _argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Tensor:
    a, axis = flat_axis(a, axis)
    return complex_order(a, axis) if a.is_complex() else torch.sort(a, dim=axis, stable=True).indices


# -- indexing ----------------------------------------------------------------------------------------------------------


def get_item(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` with NumPy's meaning of every index."""
    kind = type(index)
    if kind is int or index is Ellipsis or index is None:
        return _checked(x, index)
    if kind is slice:
        if index.step is None or operator.index(index.step) > 0:
            return _checked(x, index)
        return _reversed_slices(x, (index,))
    if kind is not tuple:
        if not _advanced(index):
            return _checked(x, index)
        return x[_native_index(index, x)] if _is_plain(index) or isinstance(index, Tensor) else _by_number(x, index)
    advanced = [i for i in index if _advanced(i)]
    if not advanced:
        if any(type(i) is slice and not _forward(i) for i in index):
            return _reversed_slices(x, index)
        return _checked(x, index)
    # Single integers and booleans among arrays, empty arrays, and negative steps, mean something else to torch.
    if all(_is_plain(i) if _advanced(i) else _forward(i) for i in index):
        return x[tuple([_native_index(i, x) if _advanced(i) else i for i in index])]
    return _by_number(x, index)


def _is_plain(index: Any) -> bool:
    """Whether an array among indices means to torch what it means to NumPy: it has dimensions and entries."""
    if isinstance(index, Tensor):
        return index.ndim > 0 and index.numel() > 0
    return not isa(index, (bool, np.bool_)) and np.ndim(index) > 0 and np.size(index) > 0


def _by_number(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` by the numbers of the elements, which NumPy's own indexing tells."""
    places = _numbered(x)[index]
    return x.reshape(-1)[torch.from_numpy(np.array(places, order="C")).to(x.device)]  # also without dimensions


def _checked(x: Tensor, index: Any) -> Tensor:
    if index is Ellipsis:
        return x.view_as(x)
    return x[index]


def _advanced(index: Any) -> bool:
    return isa(index, (np.ndarray, list, Tensor, bool, np.bool_))


def _native_index(index: Any, x: Tensor) -> Tensor:
    if isinstance(index, Tensor):
        return index
    array = np.asarray(index)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    # A copy: f may write into its own index before the pass backward.
    array = array.astype(np.int64) if array.dtype.kind != "b" else array.copy()
    if not array.flags.writeable or any(s < 0 for s in array.strides):
        array = np.ascontiguousarray(array)
    return torch.from_numpy(array).to(x.device) if x.device.type != "cpu" else torch.from_numpy(array)


def _numbered(x: Tensor) -> np.ndarray:
    """The element numbers of x in its shape: NumPy's own indexing on them says which elements an index means."""
    return np.arange(x.numel()).reshape(tuple(x.shape))


def _reversed_slices(x: Tensor, index: tuple) -> Tensor:
    """Basic indexing with negative steps, which torch lacks: the same elements forwards, then flipped."""
    forward, flips, axis, out = [], [], 0, 0
    consumed = sum(1 for i in index if i is not None and i is not Ellipsis)
    for i in index:
        if i is None:
            out += 1
        elif i is Ellipsis:
            axis, out = axis + x.ndim - consumed, out + x.ndim - consumed
        elif type(i) is slice:
            places = range(*i.indices(x.shape[axis]))
            if places.step < 0:
                flips.append(out)
                i = slice(places[-1], places[0] + 1, -places.step) if len(places) else slice(0, 0)
            axis, out = axis + 1, out + 1
        else:
            axis += 1
        forward.append(i)
    return torch.flip(x[tuple(forward)], flips)


def set_item(x: Tensor, index: Any, value: Any) -> tuple[Tensor, bool]:
    """A copy of x with ``[index]`` replaced, and whether that was all of it: then nothing of x is left."""
    value = tensor_of(value, x)
    if value.is_complex() and not x.is_complex():
        raise TypeError(f"a complex value was written into a real array ({user_line()}): make the array complex first")
    if value.dtype is not x.dtype:
        value = value.to(x.dtype)
    if _covers(x, index):
        kept = torch.contiguous_format if x.is_contiguous() else torch.preserve_format  # x stays in its memory order
        return _shrunk(value, x.shape).expand(x.shape).clone(memory_format=kept), True
    if _simple(index):
        new = x.clone()
        new[index] = value
        return new, False
    places = np.array(_numbered(x)[index], order="C")
    value = _shrunk(value, places.shape).expand(places.shape).reshape(-1)
    flat = places.reshape(-1)
    # Where an element is written twice the last one counts, for the derivative too.
    _, last = np.unique(flat[::-1], return_index=True)
    if len(last) < len(flat):
        keep = np.sort(len(flat) - 1 - last)
        flat, value = flat[keep], value[torch.from_numpy(keep).to(x.device)]
    at = torch.from_numpy(np.ascontiguousarray(flat)).to(x.device)
    return x.reshape(-1).index_put((at,), value).reshape(x.shape), False


def _covers(x: Tensor, index: Any) -> bool:
    """Whether an index stands for all of x, in order."""
    items = index if type(index) is tuple else (index,)
    axis = 0
    for i in items:
        if i is Ellipsis:
            axis = x.ndim - (len(items) - items.index(Ellipsis) - 1) if len(items) > 1 else x.ndim
        elif type(i) is slice and axis < x.ndim and i.indices(x.shape[axis]) == (0, x.shape[axis], 1):
            axis += 1
        else:
            return False
    return True


def _forward(index: Any) -> bool:
    """A part of an index that is basic, no integer, and no step backwards."""
    return index is Ellipsis or index is None or (type(index) is slice and (index.step is None or index.step > 0))


def _simple(index: Any) -> bool:
    """Whether torch writes to this basic index as NumPy does."""
    return all(type(i) is int or _forward(i) for i in (index if type(index) is tuple else (index,)))


def _shrunk(value: Tensor, shape: tuple) -> Tensor:
    """value without the surplus leading 1s that NumPy allows in an assignment."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value[0]
    return value
