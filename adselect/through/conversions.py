"""Conversions of numbers in lifted code: a traced number stays traced, and keeps the kind that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.faces import NumPyMetError
from ..errors import TracedValueError, user_line
from ..face.array import Array
from ..face.dispatch import absorb
from ..toolbox.ignoring import ignore_derivatives
from ..toolbox.values import is_watched
from ..values.kinds import isa
from .active import given_kind, may_be_pythons, note_python_number
from .standins import stand_in, stand_in_for

__all__ = ["check_native", "number", "selected"]


def check_native(function: Any, *values: Any) -> None:
    """Have the call made again behind the NumPy face where a framework's own array is met."""
    if any(map(is_watched, values)):
        raise NumPyMetError(
            f"{getattr(function, '__name__', function)} met a framework's own array at {user_line()}, which it would "
            "turn into a plain number"
        )


def number(value: Any) -> Any:
    """The traced number in an array of one entry; a number as it is. TypeError for more, as Python has it."""
    if value.ndim == 0:
        return value[()]
    if value.size != 1:
        raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
    return np.reshape(value, ())[()]


def _held(x: Any) -> Any:
    """The traced value in x, which may be an object array around one; None where there is none."""
    if isinstance(x, Array):
        return None if x._closed else x
    if isa(x, np.ndarray) and x.dtype == object:
        return _held(absorb(x))
    return None


@stand_in_for(float)
def _float(original: type) -> Callable:
    def float_(x: Any = 0.0, /) -> Any:
        traced = _held(x)
        if traced is None:
            check_native(original, x)
            return original(x)
        x = number(traced)
        note_python_number()
        if x.dtype.kind == "c":
            raise TypeError(f"float() argument must be a string or a real number, not '{x.__class__.__name__}'")
        return x if x.dtype == np.float64 else x.astype(np.float64)

    return float_


@stand_in_for(complex)
def _complex(original: type) -> Callable:
    def complex_(real: Any = 0.0, imag: Any = 0.0) -> Any:
        if _held(real) is None and _held(imag) is None:
            check_native(original, real, imag)
            return original(real) if isinstance(real, str) else original(real, imag)
        note_python_number()
        real, imag = (number(v) if isinstance(v, Array) else v for v in (real, imag))
        return real + 1j * imag

    return complex_


@stand_in_for(int)
def _int(original: type) -> Callable:
    def int_(*args: Any, **kwargs: Any) -> Any:
        traced = _held(args[0]) if len(args) == 1 and not kwargs else None
        if traced is None:
            check_native(original, *args)
            return original(*args, **kwargs)
        # A step function: its slope is 0 wherever it has one.
        return selected(number(traced))

    return int_


def selected(x: Any) -> int:
    """The whole number that a traced one is cut off to, for sizes, indices and branches."""
    known = ignore_derivatives(np.trunc(x))
    try:
        return int(known)
    except TracedValueError:
        raise
    except Exception as error:
        raise TracedValueError(
            f"int(x) at {user_line()} needs the number behind a traced value, and there is none while a program is "
            f"being compiled ({type(error).__name__}); use np.trunc(x), or a backend that runs f eagerly"
        ) from error


@stand_in_for(bool)
def _bool(original: type) -> Callable:
    return original


@stand_in_for(np.float64, np.float32, np.float16, np.longdouble, np.complex128, np.complex64)
def _numpy_number(original: type) -> Callable:
    def convert(*args: Any, **kwargs: Any) -> Any:
        if len(args) != 1 or not isinstance(args[0], Array) or args[0]._closed:
            check_native(original, *args)
            return original(*args, **kwargs)
        dtype = np.dtype(original)
        if args[0].dtype.kind == "c" and dtype.kind != "c":
            raise TypeError(f"float() argument must be a string or a real number, not '{args[0].__class__.__name__}'")
        return args[0] if args[0].dtype == dtype else args[0].astype(dtype)

    return convert


@stand_in_for(np.int64, np.int32, np.intp)
def _numpy_integer(original: type) -> Callable:
    def convert(*args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], Array) and not args[0]._closed and not args[0].ndim:
            return original(selected(number(args[0])))
        return original(*args, **kwargs)

    return convert


def _type(*args: Any, **kwargs: Any) -> Any:
    x = args[0] if len(args) == 1 else None
    if not isinstance(x, Array):
        return type(*args, **kwargs)
    if x.ndim or x.__class__ is np.ndarray:
        return np.ndarray
    kind = given_kind(x)
    if kind is not None:
        return kind
    if may_be_pythons():
        raise TracedValueError(
            f"type(x) of a traced number at {user_line()}: whether it plainly is Python's number or NumPy's is not "
            "known under a derivative. Write isinstance(x, float), which holds for both."
        )
    return x.__class__


stand_in(type, _type)
