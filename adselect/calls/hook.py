"""What is done to a cotangent where a reverse pass reaches a value: a user's function as a flat map."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType, AutoTape
from ..errors import RuleError, UnsupportedError, user_line
from ..face.array import Array
from ..primitives.structured import fitted, spread
from ..structure.flattening import Skeleton
from ..structure.leaves import leaf_dtype
from ..values.natives import is_native
from .effects import has_effects

__all__ = ["Hook", "UnseenCotangentError"]


class UnseenCotangentError(UnsupportedError):
    """Something is to be done to cotangents in a derivative that is put together without them."""


class Hook:
    """``function``, from the cotangent of a value to what goes on in its place; some leaves of the value are traced.

    name: what the user called, for messages; observes: whether function only looks; once: whether it may be called
    again for the same numbers, or has to be called in each pass exactly once.
    """

    def __init__(
        self, name: str, function: Callable, skeleton: Skeleton, leaves: list, places: list, observes: bool = False
    ):
        self.name, self.function, self.skeleton, self.observes = name, function, skeleton, observes
        self.places, self.n, self.line = places, len(leaves), user_line()
        self.native = [is_native(leaves[i]) for i in places]
        self.shapes = [tuple(np.shape(leaves[i]) if not is_native(leaves[i]) else leaves[i].shape) for i in places]
        self.kinds = [_kind_of(leaves[i]) for i in places]

    @functools.cached_property
    def has_effects(self) -> bool:
        """Whether the function has to be called each time, on the numbers."""
        return has_effects(self.function)

    def pull(self, bars: list) -> list:
        """One cotangent per traced leaf, from the ones that arrived; all there, plain or still traced.

        Raises RuleError for a result that does not fit the value.
        """
        full: list = [None] * self.n
        for i, bar in zip(self.places, bars, strict=True):
            full[i] = bar.copy() if type(bar) is np.ndarray else bar  # function may write into it
        returned = self.function(self.skeleton.result(full)[0])
        if self.observes:
            return bars
        if returned is None:
            raise RuleError(
                f"the function given to {self.name} ({self.line}) returned None (is a return statement missing?); it "
                "returns the cotangent that goes on, NoTangent() for none"
            )
        found: list = [None] * self.n
        where = f"the value of {self.name} ({self.line})"
        spread(None if self.skeleton.simple else self.skeleton.nodes[0], returned, found, where)
        return [
            found[i] if native or kind is None else _alive(fitted(found[i], shape, kind, where))
            for i, shape, kind, native in zip(self.places, self.shapes, self.kinds, self.native, strict=True)
        ]

    def note(self) -> None:
        """A program is being compiled in which the cotangent arrives: the function is called when it runs."""

    def unseen(self, what: str) -> UnseenCotangentError:
        """The error where no cotangent will arrive."""
        return UnseenCotangentError(
            f"{self.name} was called at {self.line} where derivatives are put together without cotangents ({what}), "
            f"so that what it does to them would be left out. Use gradient or pullback of {_with_reverse_mode()} there."
        )


def _alive(bar: Any) -> Any:
    """A cotangent without the derivatives that are over: what f computed is a constant for the function."""
    while isinstance(bar, Array) and bar._closed:
        bar = bar._inside
    return bar


def _with_reverse_mode() -> str:
    """The built-in choice with a reverse pass, and those of the frameworks that put a face in front of theirs."""
    pending, names = list(ADType.__subclasses__()), []
    for cls in pending:
        pending += cls.__subclasses__()
        if cls is AutoTape or "face" in getattr(cls, "__dataclass_fields__", ()):
            names.append(f"{cls.__name__}()")
    return " or ".join([", ".join(names[:-1]), names[-1]])


class _Kind:
    """A dtype as something that has it."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(float) if dtype is None else dtype


def _kind_of(leaf: Any) -> _Kind | None:
    """What is known of a leaf's numbers; None for exact ones."""
    try:
        return _Kind(leaf_dtype(leaf))
    except TypeError:  # a traced Fraction
        return None
