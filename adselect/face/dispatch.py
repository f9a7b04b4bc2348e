"""Which engine carries a call out: that of the traced value of the highest level; lists of numbers are stacked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..values.kinds import isa
from .foreign import FAMILIAR, HOLDER, LABELLED, REFUSED, SEQUENCE, as_array, first_refused, foreign_of, refused_foreign
from .mistakes import numpys_error
from .traced import Traced

__all__ = ["absorb", "dispatch", "is_traced"]


def plain(value: Any) -> Any:
    """The NumPy (or framework) value under any number of levels; for printing and for indices only."""
    while isinstance(value, Traced):
        value = value._inside
    return value


def is_traced(value: Any) -> bool:
    """Whether value is, or an object array or list that holds, a traced value.

    >>> is_traced(1.0)
    False
    """
    if isinstance(value, Traced):
        return True
    if isa(value, np.ndarray):
        return value.dtype == object and any(isinstance(v, Traced) for v in value.flat)
    if isinstance(value, (list, tuple)):
        return any(is_traced(v) for v in value)
    return False


def absorb(value: Any) -> Any:
    """Object arrays and lists of traced scalars become one Array (a stack); anything else is returned as it is."""
    if isa(value, np.ndarray):
        if value.dtype == object and any(isinstance(v, Traced) for v in value.flat):
            items = list(value.flat)
            stacked = np.stack(
                [
                    v if isinstance(v, Traced) else np.asarray(v, dtype=float if not isa(v, complex) else complex)
                    for v in items
                ]
            )
            return stacked.reshape(value.shape) if value.shape != stacked.shape else stacked
        return value
    if type(value) in (list, tuple) and is_traced(value):
        return np.stack([absorb(v) for v in value])
    return value


def _top(args: Any, best: Traced | None = None) -> Traced | None:
    """The Array of the highest level among args, looking into lists and tuples."""
    for a in args:
        kind = type(a)
        if kind is tuple or kind is list:
            if not _PLAIN_ONLY(map(type, a)):
                best = _top(a, best)
        elif kind is np.ndarray:
            if a.dtype.char == "O":
                best = _top(list(a.flat), best)
        elif kind not in _PLAIN and isinstance(a, Traced) and (best is None or a._level > best._level):
            best = a
    return best


# Classes of values in which no traced value is.
_PLAIN = frozenset({int, float, bool, str, type(None), slice, np.float64, np.int64, np.bool_})
_PLAIN_ONLY = _PLAIN.issuperset


def dispatch(function: Callable, args: tuple, kwargs: dict) -> Any:
    """Hand the call to the engine of the highest-level Array among the arguments."""
    top = _top(args)
    if kwargs:
        top = _top(kwargs.values(), top)
    if top is None:
        return function(*args, **kwargs)
    try:
        return top._apply(function, args, kwargs)
    except Exception as error:
        instead = numpys_error(error, function, args, kwargs)
        if instead is None:
            raise
        raise instead from None


def is_familiar(value: Any) -> bool:
    """Whether nothing foreign is in a value, by types alone."""
    kind = type(value)
    return kind in FAMILIAR or ((kind is list or kind is tuple) and FAMILIAR_OPERANDS(map(type, value)))


FAMILIAR_OPERANDS = FAMILIAR.issuperset
NEVER_OPERANDS = (REFUSED, SEQUENCE, LABELLED, HOLDER)


def carried_out(function: Any, args: tuple, kwargs: dict) -> Any:
    """The call handed to the engine; an option that its rule does not know is refused by name."""
    try:
        return dispatch(function, args, kwargs)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error) or not kwargs:
            raise
        option = str(error).rpartition(" ")[2].strip("'")
        if option not in kwargs:
            raise
        raise UnsupportedError(
            f"np.{function.__name__} with {option}= has no derivative rule ({user_line()})"
        ) from None


def listed(operand: Any) -> Any:
    if type(operand) in FAMILIAR or isinstance(operand, Traced):
        return operand
    if isinstance(operand, (list, tuple)):
        if first_refused(operand) is not None:
            raise refused_foreign(first_refused(operand))
        operand = absorb(operand)
        return operand if isinstance(operand, Traced) else np.asarray(operand)
    found = foreign_of(operand)
    if found is not None and found.way == REFUSED:
        raise refused_foreign(operand)
    return operand if found is None else as_array(operand, absorb)


def dispatched(function: Callable, *args: Any, **kwargs: Any) -> Any:
    return dispatch(function, args, kwargs)


def applied(function: Callable, args: tuple, kwargs: dict, at: int, operand: Any) -> Any:
    return dispatch(function, (*args[:at], operand, *args[at + 1 :]), kwargs)
