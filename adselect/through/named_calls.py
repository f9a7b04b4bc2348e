"""Functions known by their public names, met in lifted code, and what is called instead; nothing is imported for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["RULES", "named", "of_named"]

# By public name: what makes the replacement of the original.
RULES: dict[str, Callable[[Any], Any]] = {}
_PUBLIC: dict[str, tuple[str, ...]] = {
    "statistics": ("statistics",),
    "scipy": ("scipy.linalg", "scipy.special"),
}


def named(*names: str) -> Callable:
    """Register what is called instead of functions with these public names, by what makes it of the original."""

    def register(make: Callable) -> Callable:
        RULES.update(dict.fromkeys(names, make))
        return make

    return register


def of_named(function: Any) -> Any:
    """What is called instead of a function of one of these libraries; None where there is nothing."""
    module = getattr(function, "__module__", None)
    if not isinstance(module, str) or (root := module.partition(".")[0]) not in _PUBLIC:
        return None
    name = getattr(function, "__name__", "")
    for public in _PUBLIC[root]:
        rule = RULES.get(f"{public}.{name}")
        if rule is not None and getattr(sys.modules.get(public), name, None) is function:
            return rule(function)
    return None
