"""How a traced value looks to code that asks what it is: like the NumPy array or scalar it stands for.

Code branches on ``isinstance(x, np.ndarray)``, ``np.isscalar(s)``, ``hasattr(s, "__len__")``; a traced value that
answered otherwise would send it down another branch than the plain value. ``__class__`` answers the first two. What
arrays have and scalars lack is kept in :class:`OfArrays`, whose attributes are absent from scalars.
"""

from __future__ import annotations

import sys
from opcode import opmap
from typing import Any

import numpy as np

from .foreign import is_pandas, refused_by_pandas
from .refusals import refused_memory

__all__ = [
    "HOLDING",
    "OF_MEMORY",
    "OF_NUMBERS",
    "SCALAR_CLASSES",
    "AbsentAttributeError",
    "ArrayType",
    "OfArrays",
    "entry_of_scalar",
    "held_as",
    "refused_attribute",
]

SCALAR_CLASSES: dict[str, type] = {np.dtype(t).char: np.dtype(t).type for t in "?bhilqBHILQefdgFDG"}


# Functions of pandas and xarray that look at what they are about to keep or to compute with. Arrays are what they can
# hold, whoever made them; of numbers xarray makes arrays of objects, and pandas Python's floats.
_ARRAYS = frozenset(["as_compatible_data", "from_array", "_isna", "_isna_array"])
_OBJECTS = frozenset(["maybe_prepare_scalar_for_op"])
_BUILDING = frozenset(["sanitize_array", "convert", "map_array", "_cast_pointwise_result"])
HOLDING = _ARRAYS | _OBJECTS | _BUILDING | {"take_nd"}


def held_as(traced: Any, scalar: bool, frame: Any) -> type:
    """The class of a traced number or array as the code at frame is to see it.

    As an element of an object array, pandas is not given one: every question about dtypes and missing values would be
    answered otherwise than for plain numbers.
    """
    name = frame.f_code.co_name
    if not scalar:  # pandas takes from NumPy's arrays with compiled code, from others with a method of their own
        return object if name == "take_nd" and is_pandas(frame) else np.ndarray
    if name in _ARRAYS:
        return np.ndarray
    if is_pandas(frame):
        if name in _OBJECTS:
            return object
        if name == "take_nd":
            return SCALAR_CLASSES.get(traced.dtype.char, np.float64)
        raise refused_by_pandas()
    return SCALAR_CLASSES.get(traced.dtype.char, np.float64)


class AbsentAttributeError(AttributeError, TypeError):
    """An attribute that NumPy's scalars do not have: for hasattr it is absent, for len() and iter() a TypeError."""


def _of_arrays(name: str, text: str) -> Any:
    """A special method that only arrays have: ``_array<name>`` carries it out."""
    own = f"_array{name}"

    def get(self: Any) -> Any:
        if not self._is_scalar():
            return getattr(self, own)
        # iter() swallows an AttributeError and goes on with __getitem__; None makes it a TypeError, as it is for
        # NumPy's scalars. hasattr and getattr are to find nothing.
        if name == "__iter__" and not _by_name(sys._getframe(1)):
            return None
        raise AbsentAttributeError(text.format(self.__class__.__name__))

    return property(get)


def _by_name(frame: Any) -> bool:
    """Whether the code at frame may be asking for an attribute by its name, with hasattr or getattr."""
    names = frame.f_code.co_names
    return _instruction(frame) in _CALLS and ("hasattr" in names or "getattr" in names)


def _instruction(frame: Any) -> int:
    return frame.f_code.co_code[frame.f_lasti]


_CALLS = frozenset([code for name, code in opmap.items() if "CALL" in name])
_SUBSCRIPTS = frozenset([code for name, code in opmap.items() if name in ("BINARY_SUBSCR", "BINARY_OP")])


def entry_of_scalar(scalar: Any, frame: Any) -> Exception:
    """The error for ``scalar[0]``, asked for at frame.

    An IndexError, as NumPy's is, would end a loop over the scalar without a word: iteration gets a TypeError.
    """
    if _instruction(frame) in _SUBSCRIPTS:
        return IndexError("invalid index to scalar variable.")
    return TypeError(f"'numpy.{scalar.__class__.__name__}' object is not iterable")


OF_MEMORY = ("tobytes", "tofile", "dump", "dumps", "data", "ctypes", "byteswap", "getfield", "setfield", "setflags")
OF_NUMBERS = ("as_integer_ratio", "hex")


def refused_attribute(name: str) -> Any:
    """A property for what would hand out the plain numbers behind a traced value."""

    def get(self: Any) -> Any:
        if name in OF_NUMBERS and not self._is_scalar():
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        known = self._known()
        if known is not NotImplemented:
            return getattr(known, name)
        raise refused_memory(name, self.shape)

    return property(get)


class OfArrays:
    """What arrays have and scalars do not."""

    __slots__ = ()
    __len__ = _of_arrays("__len__", "object of type 'numpy.{}' has no len()")
    __iter__ = _of_arrays("__iter__", "'numpy.{}' object is not iterable")
    __contains__ = _of_arrays("__contains__", "argument of type 'numpy.{}' is not iterable")
    __setitem__ = _of_arrays("__setitem__", "'numpy.{}' object does not support item assignment")


class ArrayType(type):
    """The type of traced values, as abstract base classes and ``np.issubdtype(type(x), np.floating)`` see it."""

    @property
    def __mro__(cls) -> tuple[type, ...]:
        # collections.abc.Sized and the like look for their method here, in classes: OfArrays is left out, and what
        # __class__ answers (ndarray for arrays, a NumPy scalar's type for scalars) decides.
        return tuple([c for c in type.__dict__["__mro__"].__get__(cls) if c is not OfArrays])

    @property
    def dtype(cls) -> np.dtype:
        return np.dtype(np.float64)
