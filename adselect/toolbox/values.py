"""What the toolbox does to a value of f before it is taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import guests as _guests  # noqa: F401  (containers of other libraries can be taken apart)
from ..face.dispatch import absorb
from ..values.kinds import isa

__all__ = ["stacked"]


def stacked(value: Any) -> Any:
    """An object array of traced numbers as one array, anything else as it is.

    >>> stacked([1.0, "a"])
    [1.0, 'a']
    """
    return absorb(value) if isa(value, np.ndarray) else value
