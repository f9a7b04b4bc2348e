"""Where NumPy builds a plain array around traced values, without asking: object arrays, and ``np.r_``.

``np.array([x0, 1.0])`` of a traced number makes an object array, in which NumPy's loops call methods of the elements.
That goes on working for arithmetic; for anything else NumPy's error speaks of the element's type, and ours says what to
write. ``np.r_`` and ``np.c_`` turn what they join into arrays and then call ``np.concatenate``, which does ask.
"""

from __future__ import annotations

import re
import sys
from types import FrameType
from typing import Any

import numpy as np

from ..errors import ADSelectError, TracedValueError
from ..places import place_of
from .refusals import LISTS

__all__ = ["carried", "is_joining", "refused_objects"]

_JOINING = type(np.r_).__getitem__.__code__  # type: ignore[attr-defined]


def is_joining(frame: FrameType | None) -> bool:
    """Whether a frame is that of ``np.r_[…]`` or ``np.c_[…]``."""
    if frame is not None and frame.f_code.co_name == "<listcomp>":  # a frame of its own before Python 3.12
        frame = frame.f_back
    return frame is not None and frame.f_code is _JOINING


class _Carrier(np.ndarray):
    """A plain array of the right shape and dtype that stands for a traced one until ``np.concatenate`` is called."""

    traced: Any

    def __array_finalize__(self, origin: Any) -> None:
        self.traced = getattr(origin, "traced", None)

    def transpose(self, *axes: Any) -> Any:
        order = axes[0] if len(axes) == 1 else axes
        result = super().transpose(order)
        result.traced = np.transpose(np.reshape(self.traced, self.shape), order)
        return result

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is not np.concatenate:
            raise TypeError(f"np.{function.__name__} of a part of np.r_")
        parts = [a.unpacked() if isinstance(a, _Carrier) else _numbers(a) for a in args[0]]
        return np.concatenate(parts, *args[1:], **kwargs)

    def unpacked(self) -> Any:
        """The traced array in this one's shape and dtype."""
        value = np.reshape(self.traced, self.shape)
        return value if self.dtype in (object, value.dtype) else value.astype(self.dtype)


def _numbers(part: Any) -> Any:
    """A part of ``np.r_[…]`` that is no array of its own: numbers, of which some may be traced."""
    from .dispatch import absorb

    if part.dtype != object:
        return part
    stacked = absorb(part)
    return np.array(part.tolist()) if stacked is part else stacked


def carried(array: Any, dtype: Any = None) -> np.ndarray:
    """What ``np.r_`` may take for the plain array behind a traced one."""
    carrier = np.zeros(array.shape, array.dtype if dtype is None else dtype).view(_Carrier)
    carrier.traced = array
    return carrier


# -- errors ------------------------------------------------------------------------------------------------------------

# What NumPy and SciPy say when a loop meets an object array; the ufunc's name where it is told. Compiled when used.
_SAYS = (
    r"loop of ufunc does not support argument \d+ of type \S+ which has no callable (?P<name>\w+) method",
    r"ufunc '(?P<name>\w+)' (not supported for the input types|did not contain a loop)",
    r"Cannot cast ufunc '(?P<name>\w+)' input .*from dtype\('O'\)",
    r"'(float|int|bool|complex)' object has no attribute '(?P<name>\w+)'",
    r"Cannot cast array data from dtype\('O'\)|dtype object cannot be cast|dtype object in astype|dtype\('O'\)",
)


def refused_objects(error: Exception) -> TracedValueError | None:
    """The error to raise instead of NumPy's or SciPy's about an object array; None for any other error."""
    if isinstance(error, ADSelectError) or not isinstance(error, (TypeError, AttributeError, ValueError)):
        return None
    text = str(error)
    found = next((m for m in (re.search(pattern, text) for pattern in _SAYS) if m is not None), None)
    place = place_of(error)
    if place is None:
        return None
    in_numpy = place.library.startswith("numpy.")
    if found is None and not (in_numpy and "'numpy.float64' object" in text):
        return None
    name = found.groupdict().get("name") if found is not None else None
    if (
        isinstance(error, AttributeError)
        and not (name and isinstance(getattr(np, name, None), np.ufunc))
        and not in_numpy
    ):
        return None
    who = place.library or _function_named(name)
    shown = f" ({place.expression})" if place.expression else ""
    refusal = TracedValueError(
        f"{who.replace('numpy.', 'np.', 1)} at {place}{shown} met an object array, which is what np.array([…]) and "
        f"lists of traced numbers become, and cannot compute with it. Build the array with {LISTS}. ({text})"
    )
    refusal.__cause__ = error
    return refusal


def _function_named(name: str | None) -> str:
    if not name:
        return "NumPy"
    if hasattr(np, name):
        return f"np.{name}"
    return f"scipy.special.{name}" if hasattr(sys.modules.get("scipy.special"), name) else name
