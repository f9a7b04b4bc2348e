"""What is called instead of a function, by the function itself: one table, filled by the files of the subjects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["READING", "TABLE", "stand_in", "stand_in_for"]

# By id, since not everything that is called can be hashed: the function, and what is called in its place.
TABLE: dict[int, tuple[Any, Any]] = {}
# The same for functions that write into no array: what they make may stay plain, for compiled code to read.
READING: dict[int, tuple[Any, Any]] = {}


def stand_in(function: Any, replacement: Any) -> None:
    """Have replacement called in lifted code where function would be."""
    TABLE[id(function)] = (function, replacement)


def stand_in_for(*functions: Any) -> Callable[[Callable], Callable]:
    """The same as a decorator, of a function that takes the one it stands for first."""

    def register(make: Callable) -> Callable:
        for function in functions:
            stand_in(function, make(function))
        return make

    return register
