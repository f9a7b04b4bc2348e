"""A traced value, as the rest of the library sees it: what an engine implements."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..values.kinds import TracedValue
from .likeness import HOLDING, SCALAR_CLASSES, ArrayType, OfArrays, held_as

_LOADED = sys.modules
UNKNOWN = -1  # a dependency mask that includes every leaf: a value whose history we did not see


def level_of(value: Traced) -> int:
    """The level of the derivative that a traced value belongs to: of several, the innermost has the highest."""
    return value._level


class Traced(OfArrays, TracedValue, metaclass=ArrayType):
    """A value whose derivative is computed, and what an engine implements for it; Array adds what NumPy's have."""

    __slots__ = ("__weakref__", "_astray", "_link", "_primal", "_views")
    __array_priority__ = 1000.0

    _primal: Any

    if TYPE_CHECKING:  # what type checkers cannot see: NumPy's stubs know __array__ as a method; install uses setattr

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray: ...
        def __lt__(self, other: Any) -> Any: ...

        __le__ = __gt__ = __ge__ = __lt__
        __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = __lt__
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __rmatmul__ = __lt__
        __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = __lt__

        def __neg__(self) -> Any: ...

        __pos__ = __abs__ = __invert__ = __neg__

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any: ...
        def __getitem__(self, index: Any) -> Any: ...
        def __int__(self) -> int: ...
        def __index__(self) -> int: ...

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride]
        # What isinstance, np.isscalar and abstract base classes see: the NumPy type that stands here in plain code.
        scalar = self._is_scalar()
        if "pandas" in _LOADED:  # xarray loads it, too
            asking = sys._getframe(1)
            if asking.f_code.co_name in HOLDING:
                return held_as(self, scalar, asking)
        return SCALAR_CLASSES.get(self.dtype.char, np.float64) if scalar else np.ndarray

    @property
    def _level(self) -> int:
        """Nesting level: among several Arrays the one with the highest level carries the operation out."""
        return 0

    def _apply(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Carry ``function(*args, **kwargs)`` out; args may hold Arrays, also inside lists and tuples."""
        raise NotImplementedError

    def _call_primitive(self, invocation: Any, leaves: tuple) -> Any:
        """Carry a call of a user's primitive out, whose leaves are given, by its rule."""
        raise NotImplementedError

    def _hooked(self, hook: Any, leaves: list) -> list:
        """The leaves, all of this value's derivative, whose cotangents go through ``hook.pull`` on their way back."""
        raise hook.unseen(f"{type(self).__name__} has no hooks")

    def _checkpointed(self, call: Callable, leaves: list) -> tuple[list, Any]:
        """``call(leaves)``, ``(results, structure)``, whose intermediate values need not be kept for the reverse pass.

        self is the traced value of the highest level among the leaves.
        """
        return call(leaves)

    def _getitem(self, index: Any) -> Any:
        """``self[index]`` without view bookkeeping; index holds no Arrays."""
        raise NotImplementedError

    def _setitem(self, index: Any, value: Any) -> Traced:
        """A new Array equal to self with ``[index]`` replaced by value; self stays as it is."""
        raise NotImplementedError

    def _rebind(self, other: Any) -> None:
        """Become ``other`` (the handle keeps its identity): how writing in place is done."""
        raise NotImplementedError

    @property
    def _inside(self) -> Any:
        """The value one level further in."""
        return self._primal

    @property
    def _behind(self) -> Any:
        """The same for the library's own eyes, which is no look that a replay would have to guard."""
        return self._inside

    def _shown(self) -> Any:
        """What is printed of this: a value that is none of ours. Raises TypeError where there are no numbers to see."""
        value = self._inside
        return value._shown() if isinstance(value, Traced) else value

    def _constant(self, value: np.ndarray) -> Any:
        """value as an Array of this engine that depends on nothing yet: what ``np.zeros_like(x)``, ``like=x`` give."""
        raise NotImplementedError

    def _enclose(self) -> None:
        """Note, for the derivatives that this value belongs to, that an inner one is taken at it."""

    @property
    def _closed(self) -> bool:
        """Whether the derivative this value belonged to is over: from then on it behaves as its plain value."""
        return False

    # Whether plain arrays met on the way are recorded as they are, for a replay that shall see their later contents.
    _by_reference = False

    # The framework that carries operations out; empty on the built-in engine.
    _framework: str = ""

    # Bit mask of the leaves that this depends on; the built-in engine reads it off what it recorded.
    _deps: int = UNKNOWN

    # The whole numbers that this stands for. The built-in engine finds out itself what has been computed from integers
    # alone; elsewhere results are told.
    _integer: Any = None
    _finds_integers: bool = False

    def _is_scalar(self) -> bool:
        """Whether this stands for an immutable scalar rather than a 0-d array."""
        return self.ndim == 0

    def _as_array(self) -> Any:
        """This, without dimensions, as a 0-d array that can be written to: for results that NumPy gives as arrays."""
        return self

    def _as_scalar(self) -> Any:
        """This, without dimensions, as a scalar: for results that NumPy gives as scalars."""
        return self

    def _in_memory(self) -> Any:
        """One level further in, to the NumPy array that shows the layout in memory, if there is one."""
        return self._primal

    def _laid_out(self, memory: np.ndarray) -> Any:
        """This, with the layout in memory of a plain array: for engines whose values do not show NumPy's."""
        return self

    def _picked(self, base: Traced, index: Any) -> None:
        """Note that this was picked out of base by an index of arrays, whose results NumPy lays out in its own way."""

    def _own_layout(self) -> Any:
        """An array with the layout in memory that plain NumPy would have given this one; None where it is not known."""
        return np.empty(self.shape, bool)
