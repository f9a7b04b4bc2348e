"""The leaves of a primitive's call: what is traced, what is a number, zeros and unit tangents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TracedValueError
from ..face.array import Array
from ..structure.leaves import is_value
from ..values.kinds import isa

if TYPE_CHECKING:
    from .invocation import Invocation

__all__ = ["is_cut_off", "is_inexact"]


def is_cut_off(error: Exception) -> bool:
    """Whether an error says that a traced value was to become a plain number."""
    return isinstance(error, TracedValueError) or isinstance(error.__cause__, TracedValueError)


def is_inexact(value: Any) -> bool:
    """Whether a leaf is a floating-point or complex one."""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return isa(value, (float, complex))
    kind = getattr(dtype, "kind", "V")
    if kind != "V":  # V: JAX's bfloat16 and the like
        return kind in "fc"
    return "float" in str(dtype) or "complex" in str(dtype)


def is_number(value: Any) -> bool:
    """Whether a leaf can carry a derivative: floating-point, or an integer, which counts as a float64."""
    dtype = getattr(value, "dtype", None)
    return is_inexact(value) or (type(value) is not bool and isa(value, int) if dtype is None else "int" in str(dtype))


def is_result(value: Any) -> bool:
    return type(value) is bool or is_value(value)


def host_value(value: Any, invocation: Invocation, definition: Any) -> Any:
    """A leaf as the real NumPy value that a host rule is promised."""
    if isinstance(value, Array):
        raise invocation.first_order_only(definition)
    return value if isa(value, (np.ndarray, np.generic, int)) else np.asarray(value)[()]


def zeros_of(value: Any) -> Any:
    """The zero tangent of a leaf."""
    dtype = value.dtype if hasattr(value, "dtype") else np.result_type(type(value))
    if dtype.kind not in "fc":
        dtype = np.dtype(float)
    zeros = np.zeros(np.shape(value), dtype)
    return zeros if zeros.ndim else zeros[()]


def units(value: Any) -> list:
    """The unit tangents of a leaf; i times them as well where it is complex."""
    zeros = zeros_of(value)
    found = []
    for unit in (1.0, 1j) if zeros.dtype.kind == "c" else (1.0,):
        for i in range(zeros.size):
            tangent = np.zeros(zeros.size, zeros.dtype)
            tangent[i] = unit
            found.append(tangent.reshape(zeros.shape) if zeros.ndim else tangent[0])
    return found


def inner(a: list, b: list) -> Any:
    """Re Σ ā·b over the leaves both have; where b is 0 nothing comes through."""
    total: Any = 0.0
    for x, y in zip(a, b, strict=True):
        if x is not None and y is not None:
            total = total + np.real(np.sum(np.where(np.equal(y, 0), 0.0, np.conj(x) * y)))
    return total


def assembled(entries: list, value: Any) -> Any:
    """A tangent shaped like value from its entries along :func:`units`."""
    zeros = zeros_of(value)
    if zeros.dtype.kind == "c":
        entries = [a + 1j * b for a, b in zip(entries[: zeros.size], entries[zeros.size :], strict=True)]
    flat = np.stack(entries) if entries else np.zeros(0)
    return np.reshape(flat, zeros.shape) if zeros.ndim else flat[0]
