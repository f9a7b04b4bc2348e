"""Functions of SciPy met in lifted code, and what is called instead; SciPy is not imported for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["RULES", "of_scipy"]

# By the public name of the function: a function of the original and its arguments.
RULES: dict[str, Callable] = {}
_PUBLIC = ("scipy.linalg", "scipy.special", "scipy.spatial.distance")


def of_scipy(function: Any) -> Any:
    """What is called instead of a function of SciPy's; None where there is nothing."""
    module = getattr(function, "__module__", None)
    if not isinstance(module, str) or not module.startswith("scipy."):
        return None
    name = getattr(function, "__name__", "")
    for public in _PUBLIC:
        rule = RULES.get(f"{public}.{name}")
        if rule is not None and getattr(sys.modules.get(public), name, None) is function:
            return rule(function)
    return None
