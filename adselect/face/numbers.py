"""Python's own questions to a traced value: the number behind it, its length, its text."""

from __future__ import annotations

import operator
import sys
from typing import Any

import numpy as np

from ..errors import TracedValueError, user_line
from .dispatch import plain
from .integers import among_constants, is_formatting
from .refusals import refused_number
from .traced import Traced


class Numbers(Traced):
    """Python's own questions: the number behind a value, its length, its text, whether it is in a set."""

    __slots__ = ()

    def _known(self) -> Any:
        """The plain value behind, where no derivative is lost with it; NotImplemented for all others."""
        if not self._closed:
            return NotImplemented
        inner = self._inside  # of an outer derivative, perhaps, which may still be open
        return inner._known() if isinstance(inner, Traced) else inner

    def _integers(self) -> Any:
        """The integers of an integer argument, which counts as its float64 values but in an index or a size; else None.

        Also of what has been computed from integers alone, where NumPy's result would be integers.
        """
        return self._integer

    def is_integer(self):
        if not self._is_scalar():
            raise AttributeError(f"'{self.__class__.__name__}' object has no attribute 'is_integer'")
        return bool(self == np.floor(self))

    def __float__(self) -> float:
        known = self._known()
        if known is NotImplemented and (known := self._in_window(sys._getframe(1))) is None:
            if is_formatting(sys._getframe(1)):
                return float(format(self, ".17g"))
            raise refused_number("float", self.shape)
        return float(known)

    def __complex__(self) -> complex:
        known = self._known()
        if known is NotImplemented:
            raise refused_number("complex", self.shape)
        return complex(known)

    def __int__(self) -> int:
        known = self._known()
        if known is not NotImplemented:
            return int(known)
        if self.dtype.kind in "iub":
            return int(self.__index__())
        integers = self._integers()
        if integers is not None:
            return int(integers)
        if is_formatting(sys._getframe(1)):
            return int(float(format(self, ".17g")))
        raise refused_number("int", self.shape)

    def __index__(self) -> int:
        integers = self._integers()
        return operator.index(self._primal if integers is None else integers)

    def __bool__(self) -> bool:
        return bool(self._primal)

    def __hash__(self) -> int:
        if self.ndim:
            raise TypeError("unhashable type: traced array")
        self._check_hash(sys._getframe(1))
        return hash(plain(self))

    def _check_hash(self, frame: Any) -> None:
        """Refuse that a frame looks a traced float up by its value."""
        if self.dtype.kind in "fc" and not self._closed and not among_constants(frame):
            raise TracedValueError(
                f"a traced number was hashed at {user_line()} (functools.lru_cache, a dict's key, a member of a set): "
                "equal numbers may be different variables, and a look-up by value would mix up their derivatives. Use "
                "an index or a name as the key, call the cached function's __wrapped__, compute without the cache, or "
                "differentiate adselect.lift(f), which looks through caches of functools."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({plain(self)!r})"

    def __str__(self) -> str:
        return str(plain(self))

    def __format__(self, spec: str) -> str:
        return format(plain(self), spec)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __reduce__(self) -> Any:
        raise TracedValueError(
            f"a traced value cannot be pickled ({user_line()}): it belongs to the derivative being computed in this "
            "process. Differentiate inside the worker instead."
        )

    def _array__len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of unsized object")
        return shape[0]

    def _array__iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def _array__contains__(self, item: Any) -> bool:
        return bool(np.any(self == item))

    def _as_index(self) -> Any:
        """The integers or booleans behind a traced index; those of a program that is written down belong to it."""
        inside = self._inside
        return inside._as_index() if isinstance(inside, Traced) else inside
