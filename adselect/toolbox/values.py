"""What the toolbox does to a value of f before it is taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import guests as _guests  # noqa: F401  (containers of other libraries can be taken apart)
from ..face.array import Array
from ..face.dispatch import absorb
from ..structure.flattening import flatten
from ..values.kinds import isa
from ..values.natives import natives_of

__all__ = ["Parts", "is_numeric", "is_variable", "is_watched", "stacked"]


def stacked(value: Any) -> Any:
    """An object array of traced numbers as one array, anything else as it is.

    >>> stacked([1.0, "a"])
    [1.0, 'a']
    """
    return absorb(value) if isa(value, np.ndarray) else value


def is_variable(leaf: Any) -> bool:
    """Whether a derivative is being taken with respect to a leaf, or to what it was computed from."""
    return not leaf._closed if isinstance(leaf, Array) else is_watched(leaf)


def is_watched(value: Any) -> bool:
    """Whether value is a framework's own array whose derivative is being taken."""
    natives = natives_of(value)
    return natives is not None and natives.is_numeric(value) and natives.is_watched(value)


def is_numeric(leaf: Any) -> bool:
    """Whether a traced value stands for numbers, and not for a mask.

    >>> is_numeric(np.ones(2)), is_numeric(np.ones(2) > 0)
    (True, False)
    """
    try:
        return leaf.dtype.kind in "fciu"
    except TypeError:  # a Fraction, whose type is no dtype
        return True


class Parts:
    """Values, and the leaves of those of them that hold a variable: the others stay the objects that they are."""

    def __init__(self, values: list):
        self.values = values
        self.live = [i for i, value in enumerate(values) if any(map(is_variable, flatten((value,))[0]))]
        self.leaves, self.skeleton = flatten(tuple([values[i] for i in self.live]), root="")

    def around(self, leaves: list) -> list:
        """The values around other leaves."""
        found = list(self.values)
        for i, value in zip(self.live, self.skeleton.rebuild(list(leaves)), strict=True):
            found[i] = value
        return found
