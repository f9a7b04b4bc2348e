"""The calls of f under way on this thread: what stands in their arguments, and whether a reverse pass will follow.

What f uses to speak to the derivative around it (a hook, a buffer, an update of parameters) asks here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..face.array import Array
from ..face.traced import level_of
from ..structure.flattening import flatten

__all__ = ["IN_PROGRESS", "UserCall", "blind"]


class UserCall:
    """One call of f: what it was given, the flat call it is part of (None for a prepared one), and its adtype.

    Made without a call of its own, since every derivative makes one. blind: the derivative will be put together without
    cotangents of what f computes.
    """

    __slots__ = ("_traced", "adtype", "args", "blind", "converted", "flat")

    args: list
    flat: Any
    adtype: Any
    blind: bool
    converted: bool  # set where f has converted traced numbers to what plainly are numbers of Python's

    @property
    def traced(self) -> Array | None:
        """A traced array or number among the arguments, of the innermost derivative; None where there is none."""
        try:
            return self._traced
        except AttributeError:
            leaves = flatten(tuple(self.args))[0]
            found = (leaf for leaf in leaves if isinstance(leaf, Array) and leaf.dtype.kind in "fc")
            self._traced = max(found, key=level_of, default=None)
            return self._traced


class _InProgress(threading.local):
    """The calls of f on this thread, the innermost last."""

    def __init__(self) -> None:
        self.calls: list[UserCall] = []
        self.provisional = 0  # whether what runs now will be run again for the reverse pass, and counts then
        self.preparing = 0  # whether calls are made to learn from them, and not for their results


IN_PROGRESS = _InProgress()


@contextmanager
def blind(call: Any) -> Iterator[None]:
    """Within, a call of the user's f is followed by no reverse pass of its own: tangents are all that is wanted.

    What is no such call, but takes a derivative of its own inside, is left alone.
    """
    before = getattr(call, "blind", None)
    if before is None:
        yield
        return
    call.blind = True
    try:
        yield
    finally:
        call.blind = before
