"""What a value really is: a traced value answers ``isinstance`` as the NumPy value it stands for, to us as well."""

from __future__ import annotations

from typing import Any

__all__ = ["isa"]


def isa(value: Any, classes: Any) -> bool:
    """isinstance by the real type: ``__class__``, which a traced value answers as NumPy would, is not asked."""
    return issubclass(type(value), classes)
