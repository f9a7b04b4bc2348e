"""torch for the functions that make arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from .operands import TABLE, from_numpy, implements, shape_of, tensor_of, torch_dtype
from .table_shaping import astype


def _made(make: Callable) -> Callable:
    """A constructor called with ``like=``: NumPy makes the array, the face makes it one that can be written to."""
    return lambda *args, **kwargs: from_numpy(make(*args, **kwargs))


for _constructor in (np.zeros, np.ones, np.empty, np.arange, np.eye, np.identity):
    TABLE[_constructor] = _made(_constructor)


@implements(np.full)
def _full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Tensor:
    filled = tensor_of(fill_value).expand(shape_of(shape)).clone()
    return filled if dtype is None else filled.to(torch_dtype(dtype))


@implements(np.array, np.asarray, np.asanyarray, np.ascontiguousarray)
def _asarray(a: Any, dtype: Any = None, **options: Any) -> Tensor:
    a = tensor_of(a).clone()
    return a if dtype is None else astype(a, dtype)
