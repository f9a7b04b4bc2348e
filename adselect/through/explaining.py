"""explain_lift: what ``lift`` would rebuild of a function, what it leaves, and which calls it replaces."""

from __future__ import annotations

from typing import Any

__all__ = ["explain_lift"]


def explain_lift(f: Any) -> str:
    """To be written."""
    raise NotImplementedError
