"""What of a value is a leaf: a number or an array of numbers that a derivative is taken with respect to."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

import numpy as np

from ..face.array import Array
from ..values.kinds import isa
from ..values.natives import natives_of

__all__ = ["Cache", "Const", "is_enum", "is_extension_float", "is_leaf", "is_mask", "is_value"]


class Const:
    """An argument that is not differentiated: ``gradient(f, Const(data), x)`` has None at its place.

    >>> import adselect as ad
    >>> ad.gradient(lambda a, b: a * b, ad.Const(2.0), 3.0)
    (None, 2.0)
    """

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        return f"Const({self.value!r})"


class Cache(Const):
    """Memory for f to write in, not differentiated: ``gradient(f, x, Cache(np.empty(3)))`` has None at its place.

    buffer is an array, or a structure of them. Under a derivative f receives arrays with its contents that take traced
    values, as ``np.zeros_like(x)`` is one; in a plain call and under finite differences it receives the buffer itself.
    What is in the buffer afterwards is not said. Cost: a copy of the buffer, where a derivative is traced.

    >>> import numpy as np, adselect as ad
    >>> def f(x, scratch):
    ...     scratch[:] = x**2
    ...     return np.sum(scratch)
    >>> ad.gradient(f, np.array([1.0, 2.0]), ad.Cache(np.empty(2)))
    (array([2., 4.]), None)

    Source: ``Cache`` of Julia's DifferentiationInterface.
    """

    __slots__ = ()

    _opaque = _whole = True  # an argument as a whole, not an object to look into

    def __repr__(self) -> str:
        return f"Cache({self.value!r})"


# -- leaves ------------------------------------------------------------------------------------------------------------

_NUMBERS = (float, int, complex, Fraction, np.integer, np.floating, np.complexfloating)


def is_leaf(value: Any) -> bool:
    """Whether one can differentiate with respect to value itself: a number or numeric array, not a bool.

    >>> is_leaf(2), is_leaf(True), is_leaf(np.ones(2)), is_leaf("x")
    (True, False, True, False)
    """
    kind = type(value)
    if kind is float:
        return True
    if kind is np.ndarray:
        return value.dtype.kind in "fiuc"
    if isa(value, (bool, np.bool_)):
        return False
    if isa(value, _NUMBERS):
        return not is_enum(value)
    if isa(value, np.ndarray):
        return value.dtype.kind in "fiuc"
    if isinstance(value, Array):
        return value.dtype.kind in "fiuc"
    natives = natives_of(value)
    return natives is not None and natives.is_numeric(value)


def is_value(value: Any) -> bool:
    """Whether value is something that a function computes with though it is no leaf: a mask, or JAX's bfloat16."""
    return is_mask(value) or is_extension_float(getattr(value, "dtype", None))


def is_extension_float(dtype: Any) -> bool:
    """Whether this is a NumPy dtype of floating-point numbers that NumPy itself does not have, such as bfloat16."""
    return getattr(dtype, "kind", "") == "V" and "float" in str(dtype) and getattr(dtype, "names", None) is None


def is_mask(value: Any) -> bool:
    """Whether value is boolean and not a Python bool: no leaf, but not a setting that stays what it is, either."""
    dtype = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", "")
    return kind == "b" if kind else dtype is not None and "bool" in str(dtype)


def is_enum(value: Any) -> bool:
    """Whether value is a member of an enumeration."""
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(value, enum.Enum)


# -- projection --------------------------------------------------------------------------------------------------------


class ExactFraction(Fraction):
    """A Fraction that NumPy reads as a float64 instead of as an object."""

    __slots__ = ()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(float(self), dtype=dtype)

    def __repr__(self) -> str:
        return f"Fraction({self.numerator}, {self.denominator})"


def is_tracer(value: Any) -> bool:
    """Whether value is being traced by a framework of its own: its numbers are not there to look at.

    >>> is_tracer(1.0)
    False
    """
    natives = natives_of(value)
    return natives is not None and natives.is_tracer(value)


def leaf_dtype(leaf: Any) -> Any:
    """NumPy dtype of a leaf (None for exact numbers such as Fraction)."""
    if isa(leaf, Fraction):
        return None
    if isa(leaf, (np.ndarray, np.generic, Array)):
        return leaf.dtype
    natives = natives_of(leaf)
    return np.result_type(type(leaf)) if natives is None else natives.dtype(leaf)
