"""The order in memory that plain NumPy would give an array: what order="A" and "K" ask for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..values.kinds import isa
from .traced import Traced


def real_layout(value: Any) -> Any:
    """The NumPy array behind value, whose strides are those that plain NumPy would have; None on a framework."""
    inner = value
    while isinstance(inner, Traced):
        inner = inner._in_memory()
    return inner if isa(inner, (np.ndarray, np.generic)) else None


def layout_of(value: Any) -> Any:
    """An array with the strides that value would have in plain NumPy; None where that is not known."""
    link = getattr(value, "_link", None)
    if link is not None:
        base = layout_of(link[0])
        return base if base is None else base[link[1]] if len(link) == 2 else link[1](base)
    found = real_layout(value)
    if found is not None:
        return found
    return value._own_layout()


def order_not_known() -> UnsupportedError:
    return UnsupportedError(
        f"the order in memory of an array was asked for at {user_line()} that is not known on this backend (it depends "
        'on the order of other arrays). Write order="C" or order="F" instead of "A" or "K", or take np.copy(x, "C").'
    )


def axes_in_memory(value: Traced) -> tuple[int, ...]:
    """The axes from the slowest to the fastest in memory, the order of NumPy's "K"."""
    layout = layout_of(value)
    if layout is None and value.ndim > 1:
        raise order_not_known()
    strides = [0] * value.ndim if layout is None else [abs(k) for k in layout.strides]
    return tuple(sorted(range(value.ndim), key=lambda i: -strides[i]))


def order_of(value: Traced, order: str) -> str:
    """What "A" means for value."""
    if order != "A":
        return order
    layout = layout_of(value)
    if layout is None and value.ndim > 1:
        raise order_not_known()
    return "F" if layout is not None and layout.flags.f_contiguous and not layout.flags.c_contiguous else "C"
