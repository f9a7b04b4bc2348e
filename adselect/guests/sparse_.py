"""sparse."""

from __future__ import annotations

from typing import Any

from ..foreign import foreign_of
from . import refused_argument

__all__ = ["sparse_node"]


def sparse_node(value: Any, path: str, flattener: Any) -> Any:
    """The node of a sparse object."""
    raise refused_argument(foreign_of(value), path, value)
