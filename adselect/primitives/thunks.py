"""Thunk: a tangent that is computed when somebody needs it, and once."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Thunk", "unthunk"]

_PENDING = object()


class Thunk:
    """``Thunk(compute)``: a tangent computed on first use. A pullback returns one for each costly cotangent.

    The computation runs at most once. Arithmetic computes the value and goes on with it.

    >>> t = Thunk(lambda: 3.0)
    >>> unthunk(t), t - 1
    (3.0, 2.0)
    """

    __slots__ = ("_compute", "_lock", "_value")
    __array_priority__ = 2000.0

    def __init__(self, compute: Callable[[], Any]):
        if not callable(compute):
            raise TypeError(f"Thunk takes a function without arguments, not {type(compute).__name__}")
        self._compute: Any = compute
        self._value: Any = _PENDING
        self._lock = threading.RLock()

    def __call__(self) -> Any:
        """The value, computed now if it was not before."""
        if self._value is _PENDING:
            with self._lock:
                if self._value is _PENDING:
                    self._value = unthunk(self._compute())
                    self._compute = None
        return self._value

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*[unthunk(x) for x in inputs], **kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self(), dtype=dtype)

    def __float__(self) -> float:
        return float(self())

    def __getitem__(self, index: Any) -> Any:
        return self()[index]

    def __neg__(self) -> Any:
        return -self()

    def __abs__(self) -> Any:
        return abs(self())

    def __repr__(self) -> str:
        return "Thunk(…)" if self._value is _PENDING else f"Thunk({self._value!r})"


def unthunk(tangent: Any) -> Any:
    """The tangent itself: what a Thunk computes, anything else as it is.

    >>> unthunk(5)
    5
    """
    return tangent() if isinstance(tangent, Thunk) else tangent


def _install() -> None:
    def pair(operate: Callable) -> tuple[Callable, Callable]:
        return (
            lambda self, other: operate(self(), unthunk(other)),
            lambda self, other: operate(unthunk(other), self()),
        )

    for name in ("add", "sub", "mul", "truediv", "matmul", "pow"):
        forward, backward = pair(getattr(operator, name))
        setattr(Thunk, f"__{name}__", forward)
        setattr(Thunk, f"__r{name}__", backward)


_install()
