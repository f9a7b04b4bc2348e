"""What a row of the torch table is given: tensors, Python numbers and lists, and what they become in NumPy's eyes."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UnsupportedError, user_line
from ...face.refusals import LISTS
from ...face.watching import fingerprint, overwritten
from ..framework_call import rows_into

__all__ = ["SHARED", "SHORTCUTS", "TABLE", "from_numpy", "numpy_dtype", "torch_dtype"]


TABLE: dict[Any, Callable] = {}  # the atoms that torch has
SHORTCUTS: dict[Any, Callable] = {}  # and what would do without a row


implements, shortcut = rows_into(TABLE), rows_into(SHORTCUTS)


# -- dtypes and promotion ----------------------------------------------------------------------------------------------

_NAMES = "bool uint8 int8 int16 int32 int64 float16 float32 float64 complex64 complex128"
TORCH_DTYPES = {np.dtype(name): getattr(torch, name) for name in _NAMES.split()}
NUMPY_DTYPES = {t: n for n, t in TORCH_DTYPES.items()}
# torch has hardly any operation on these: the nearest type that holds every (or, for uint64, nearly every) value.
_NEAREST = {
    "uint16": np.int32,
    "uint32": np.int64,
    "uint64": np.int64,
    "longdouble": np.float64,
    "clongdouble": np.complex128,
}


def torch_dtype(dtype: Any) -> torch.dtype:
    """torch's dtype for anything NumPy takes as one."""
    if isinstance(dtype, torch.dtype):
        return dtype
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.name in _NEAREST or dtype.type.__name__ in _NEAREST:
        dtype = np.dtype(_NEAREST.get(dtype.name) or _NEAREST[dtype.type.__name__])
    try:
        return TORCH_DTYPES[dtype]
    except KeyError:
        hint = f"; build an array of traced numbers with {LISTS}" if dtype.kind == "O" else ""
        raise UnsupportedError(f"torch has no arrays of dtype {dtype} ({user_line()}){hint}") from None


def numpy_dtype(dtype: torch.dtype) -> np.dtype:
    """NumPy's dtype for torch's."""
    try:
        return NUMPY_DTYPES[dtype]
    except KeyError:
        raise UnsupportedError(
            f"NumPy has no dtype like {dtype} ({user_line()}): convert with .to(torch.float32), or work on torch "
            'tensors with AutoTorch(face="native")'
        ) from None


class Shared(threading.local):
    """The large plain arrays whose memory the derivative in progress on this thread reads, by identity.

    A small array is copied: f may write into it before the pass backward. A large one is shared, with a fingerprint
    that :meth:`check` compares, as the built-in tape does it: an error is better than a copy of all data in every call.
    """

    arrays: dict[int, tuple[np.ndarray, int, Tensor]] | None = None  # None: all are copied

    def enter(self, sharing: bool) -> Any:
        """f is called; the state to leave with."""
        before, self.arrays = self.arrays, {} if sharing else None
        return before

    def leave(self, before: Any) -> dict:
        """f has returned: the arrays whose memory is read."""
        mine, self.arrays = self.arrays or {}, before
        if before is not None:
            before.update(mine)
        return mine

    def tensor(self, array: np.ndarray) -> Tensor:
        """The array as a tensor on its memory."""
        arrays: Any = self.arrays
        known = arrays.get(id(array))
        if known is None:
            known = arrays[id(array)] = (array, fingerprint(array), torch.from_numpy(array))
        elif known[1] != fingerprint(array):
            raise overwritten(array)
        return known[2]

    @staticmethod
    def check(arrays: dict) -> None:
        """Raise where an array is not what it was."""
        for array, mark, _ in arrays.values():
            if fingerprint(array) != mark:
                raise overwritten(array)


SHARED = Shared()
_LARGE = 32_768  # entries from which an array is shared


def from_numpy(array: Any, device: Any = None) -> Tensor:
    """A tensor of what the array holds now: of its own memory, or watched."""
    array = np.asarray(array)
    if array.dtype in TORCH_DTYPES:  # not so for a foreign byte order, and for what torch has no dtype for
        if array.size >= _LARGE and SHARED.arrays is not None and array.flags.writeable and min(array.strides) >= 0:
            tensor = SHARED.tensor(array)
        else:
            tensor = torch.from_numpy(array.copy(order="K"))
    else:
        tensor = torch.from_numpy(array.astype(NUMPY_DTYPES[torch_dtype(array.dtype)], order="C"))
    return tensor if device is None else tensor.to(device)


_COMMON: dict[tuple, torch.dtype] = {}


def common_dtype(kinds: tuple) -> torch.dtype:
    """NumPy's result type; kinds holds torch dtypes and, for the weak operands, Python's number types."""
    try:
        return _COMMON[kinds]
    except KeyError:
        pass
    strong = [k for k in kinds if isinstance(k, torch.dtype)]
    if all(k in NUMPY_DTYPES for k in strong):
        result = torch_dtype(np.result_type(*[NUMPY_DTYPES[k] if isinstance(k, torch.dtype) else k(0) for k in kinds]))
    else:  # bfloat16 and the like are unknown to NumPy
        result = strong[0]
        for k in strong[1:]:
            result = torch.promote_types(result, k)
    _COMMON[kinds] = result
    return result


def tensor_of(x: Any, like: Any = None) -> Tensor:
    """x as a tensor; a Python number, a nested list or a list of tensors becomes one."""
    if isinstance(x, Tensor):
        return x
    device = like.device if isinstance(like, Tensor) else None
    if isinstance(x, (list, tuple)) and first_tensor(x) is not None:
        first = first_tensor(x)
        return torch.stack(promoted(*[tensor_of(v, first) for v in x]))
    if type(x) in (float, int, complex, bool) and isinstance(like, Tensor):
        return torch.tensor(x, dtype=common_dtype((like.dtype, type(x))), device=device)
    return from_numpy(x, device)


def first_tensor(items: Any) -> Tensor | None:
    for item in items:
        if isinstance(item, Tensor):
            return item
        if isinstance(item, (list, tuple)):
            found = first_tensor(item)
            if found is not None:
                return found
    return None


def promoted(*operands: Any) -> list:
    """The operands as tensors of NumPy's common dtype (Python numbers are weak, 0-d tensors are not)."""
    first = next((x for x in operands if isinstance(x, Tensor)), None)
    device = None if first is None else first.device
    arrays = (list, tuple, np.ndarray, np.generic)
    operands = tuple([from_numpy(x, device) if isinstance(x, arrays) else x for x in operands])
    dtype = common_dtype(tuple([x.dtype if isinstance(x, Tensor) else _number_kind(x) for x in operands]))
    result = []
    for x in operands:
        if not isinstance(x, Tensor):
            x = torch.tensor(x, dtype=dtype, device=device)
        result.append(x if x.dtype is dtype else x.to(dtype))
    return result


def _number_kind(x: Any) -> type:
    for kind in (bool, int, float, complex):
        if isinstance(x, kind):
            return kind
    raise TypeError(f"cannot use {type(x).__name__} as an operand of a NumPy function ({user_line()})")


INEXACT = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128})
_FLOATS: dict[torch.dtype, torch.dtype] = {}


def inexact(x: Any) -> Tensor:
    """x in a floating dtype, the one NumPy's float ufuncs choose for integers."""
    x = tensor_of(x)
    if x.dtype in INEXACT:
        return x
    dtype = _FLOATS.get(x.dtype)
    if dtype is None:
        dtype = _FLOATS[x.dtype] = torch_dtype(np.sqrt(np.ones(1, NUMPY_DTYPES[x.dtype])).dtype)
    return x.to(dtype)


# -- reductions --------------------------------------------------------------------------------------------------------


def axes_of(axis: Any, ndim: int) -> tuple:
    """axis as a tuple of non-negative ints; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    return tuple([axis_of(a, ndim) for a in axes])


def axis_of(axis: Any, ndim: int) -> int:
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        if ndim == 0 and axis in (0, -1):
            return 0
        raise np.exceptions.AxisError(axis, ndim)
    return axis + ndim if axis < 0 else axis


def masked(a: Tensor, where: Any, neutral: Any) -> Tensor:
    """a with the neutral element where the mask excludes it."""
    if where is True:
        return a
    return torch.where(tensor_of(where, a).to(torch.bool), a, torch.tensor(neutral, dtype=a.dtype, device=a.device))


def axes_last(a: Tensor, axis: Any) -> tuple[Tensor, tuple]:
    """a with the reduced axes joined into one at the end, and its shape with those axes as 1."""
    axes = axes_of(axis, a.ndim)
    kept = [k for k in range(a.ndim) if k not in axes]
    shape = tuple([1 if k in axes else n for k, n in enumerate(a.shape)])
    return a.permute(kept + list(axes)).reshape([a.shape[k] for k in kept] + [-1]), shape


def flat_axis(a: Any, axis: Any) -> tuple[Tensor, int]:
    a = tensor_of(a)
    return (a.reshape(-1), 0) if axis is None else (a, axis_of(axis, a.ndim))


def ints(value: Any) -> Any:
    return tuple([operator.index(v) for v in value]) if isinstance(value, (tuple, list)) else operator.index(value)


def joined(arrays: Any) -> list:
    items = list(arrays)
    first = first_tensor(items)
    return promoted(*[tensor_of(a, first) for a in items])


def places_of(indices: Any) -> np.ndarray:
    return indices.detach().cpu().numpy() if isinstance(indices, Tensor) else np.asarray(indices)


def shape_of(shape: Any) -> tuple:
    return ints(shape) if isinstance(shape, (tuple, list)) else (operator.index(shape),)
