"""A call that NumPy would refuse, refused as NumPy does, whichever engine carried it out.

A framework says of a wrong shape or axis what it says of its own functions, in errors of other types. Where an
operation has failed, the same call is made with NumPy on the plain values (on ones of the same shapes where there are
no values, while a framework compiles): if NumPy raises, that is the error f raises when called plainly. Nothing of this
runs before something has failed.
"""

from __future__ import annotations

import dis
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ADSelectError, TracedValueError, user_line
from ..places import NUMERIC, PACKAGE
from ..values.kinds import TracedValue, isa

__all__ = ["Seen", "UnknownError", "assign", "numpys_error"]

_MISTAKES = (
    *(TypeError, ValueError, IndexError, KeyError, RuntimeError),
    *(AttributeError, AssertionError, ZeroDivisionError),
)
_RAISE = dis.opmap["RAISE_VARARGS"]
# Not about the arguments: the same again would not help, or must not happen.
_OTHERS = (ADSelectError, RecursionError)
_FOUND_BY_VALUES = ("ingular", "positive definite", "converge")


class UnknownError(Exception):
    """An argument that the call cannot be made again with."""


def assign(array: Any, index: Any, value: Any) -> None:
    """``array[index] = value`` on a copy: the call that stands for writing in place."""
    copied = np.array(array)
    copied[index] = value


def numpys_error(error: Exception, function: Any, args: tuple, kwargs: dict) -> Exception | None:
    """The error that ``function(*args, **kwargs)`` raises in NumPy, where ``error`` was raised instead of it.

    None where NumPy raises nothing, or something of error's own kind that the library has worded: error is then the one
    to go on with, with a note if a framework raised it.
    """
    foreign = type(error).__module__.partition(".")[0] in NUMERIC
    refused = isinstance(error, TracedValueError)  # perhaps of something that NumPy refuses as well
    if not (foreign or isinstance(error, _MISTAKES)) or not _is_numpys(function):
        return None
    if isinstance(error, _OTHERS) and not refused:
        return None
    seen = Seen()
    try:
        values = [seen.plain(a) for a in args]
        options = {k: seen.plain(v) for k, v in kwargs.items()}
        with np.errstate(all="ignore"):
            function(*values, **options)
    except UnknownError:
        return None
    except _MISTAKES as own:
        own.of_plain_values = True  # type: ignore[attr-defined]
        if seen.made_up and any(text in str(own) for text in _FOUND_BY_VALUES):
            return None
        if isinstance(error, TracedValueError):
            error.withdraw()
            return own
        if isinstance(error, type(own)) and (_worded_here(error) or not seen.framework):
            error.of_plain_values = True  # type: ignore[attr-defined]
            return None
        return own
    if refused:
        return None
    if seen.framework and not getattr(error, "__notes__", None):
        name = getattr(function, "__name__", function)
        error.add_note(
            f"adselect: raised by np.{name} on {seen.framework} values of shapes {seen.shapes} at {user_line()}; NumPy "
            "carries this call out, so that the translation is at fault. Another adtype may do."
        )
    return None


def _is_numpys(function: Any) -> bool:
    """Whether this is a function to ask NumPy about, not one of the library's own or the user's."""
    if isinstance(function, np.ufunc) or function is operator.getitem or function is assign:
        return True
    return (getattr(function, "__module__", None) or "").partition(".")[0] in ("numpy", "scipy")


def _worded_here(error: Exception) -> bool:
    """Whether the error comes from a raise statement of the library, and not from what is called there."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None or not tb.tb_frame.f_code.co_filename.startswith(PACKAGE):
        return False
    return tb.tb_frame.f_code.co_code[tb.tb_lasti] == _RAISE


class Seen:
    """Takes traced arguments to plain ones, and remembers what they were."""

    def __init__(self) -> None:
        self.framework, self.made_up = "", False
        self.shapes: list[tuple] = []

    def plain(self, value: Any) -> Any:
        """An argument for NumPy."""
        if isinstance(value, TracedValue):
            self.framework = value._framework or self.framework
            self.shapes.append(tuple(value.shape))
            return self._number(value)
        if type(value) in (list, tuple):
            return type(value)([self.plain(v) for v in value])
        if type(value) is np.ndarray and value.dtype == object:
            return np.array([self.plain(v) for v in value.flat], dtype=object).reshape(value.shape)
        if isa(value, (np.ndarray, np.generic)) or not hasattr(value, "shape"):
            if isinstance(value, Callable) and not isinstance(value, type):
                raise UnknownError  # a function of the user's would be called once more
            return value
        return self._made_up(value)  # a framework's own array

    def _number(self, value: Any) -> Any:
        try:
            known = value._shown()
            if isa(known, (np.ndarray, np.generic, int, float, complex)) or not hasattr(known, "shape"):
                return known
        except (TypeError, RuntimeError):
            pass
        return self._made_up(value)

    def _made_up(self, value: Any) -> Any:
        """Ones of the same shape and dtype, for what has no value yet."""
        self.made_up = True
        try:
            dtype = np.dtype(str(value.dtype).rpartition(".")[2])
        except TypeError:
            dtype = np.dtype(float)
        return np.ones(tuple(value.shape), dtype)[()]
