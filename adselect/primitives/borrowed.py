"""What rules borrow from rooms above, which fill it in when they are loaded.

``"record"``, of the engine: a linear map is transposed by recording it. ``"config"``, of the operators: the
configuration of a rule that differentiates functions it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["BORROWED", "transpose"]

BORROWED: dict[str, Callable[..., Any]] = {}


def transpose(linear: Callable, at: list) -> tuple[list, list, Callable]:
    """The transpose of a linear map of lists, from running it once at zero: ``(outputs, aux, transposed)``.

    The engine records it on top of whatever its constants are traced by.
    """
    return BORROWED["record"](linear, at)
