"""Which objects are entered, attribute by attribute, and which stay closed."""

from __future__ import annotations

import sys
import types
from typing import Any

from ..frameworks import FRAMEWORKS, PACKAGES
from ..values.natives import is_native, module_of_layers
from ..values.tangents import field_names
from .leaves import is_enum

__all__ = ["CLOSED_PACKAGES", "opens", "settings_of"]


# Instances of these packages' classes are values to pass on, not structures to open.
CLOSED_PACKAGES = (frozenset(sys.stdlib_module_names) - {"builtins", "__main__"}) | {
    *("numpy", "scipy", "pandas", "sympy", "matplotlib"),
    *(package for framework in FRAMEWORKS if not framework.layers for package in framework.packages),
}
_HEAP_TYPE = 1 << 9  # CPython's flag of classes made by a class statement
_OPEN_ANYWAY = (types.SimpleNamespace,)


def opens(value: Any) -> bool:
    """Whether the fields of an instance are looked into."""
    if isinstance(value, (type, types.ModuleType, BaseException)) or is_enum(value):
        return False
    if getattr(type(value), "_opaque", False):  # a primitive: a function, whatever it wraps
        return False
    if isinstance(value, _OPEN_ANYWAY):
        return True
    package = type(value).__module__.partition(".")[0]
    if package in CLOSED_PACKAGES or not type(value).__flags__ & _HEAP_TYPE:
        return False
    if package in PACKAGES and module_of_layers(value) is None:
        return False
    return hasattr(value, "__dict__") or any("__slots__" in c.__dict__ for c in type(value).__mro__[:-1])


def settings_of(value: Any) -> dict[str, Any] | None:
    """All attributes of an object that is looked into; None for one that is passed on as it is.

    >>> import math, types
    >>> settings_of(types.SimpleNamespace(a=1.0)), settings_of(math)
    ({'a': 1.0}, None)
    """
    if is_native(value) or not opens(value):
        return None
    return {name: getattr(value, name) for name in field_names(value)}
