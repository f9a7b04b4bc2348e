"""Installed packages: which there are, and whether one of them holds an array of the user's in its modules."""

from __future__ import annotations

import functools
import sys
import sysconfig
import types
import weakref
from typing import Any

from ..values.kinds import isa

__all__ = ["holds", "is_installed"]

_CODE = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type, str, int, float, bytes, type(None))
_DEPTH = 3  # module.models["a"].W
_MOST = 4096  # answers that are remembered
_ANSWERS: dict[tuple, tuple[list, int, bool]] = {}


@functools.lru_cache(maxsize=4096)
def is_installed(package: str) -> bool:
    """Whether a package lies where pip puts them."""
    module = sys.modules.get(package)
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
    return any(file.startswith(sysconfig.get_path(place)) for place in ("purelib", "platlib"))


def holds(package: str, arrays: list) -> bool:
    """Whether a module of a package holds one of the arrays: as a global of its own, or in an object that is one.

    Remembered for the same arrays, until another module is loaded.
    """
    key = (package, *map(id, arrays))
    known, loaded = _ANSWERS.get(key), len(sys.modules)
    if known is not None and known[1] == loaded and all(r() is a for r, a in zip(known[0], arrays, strict=True)):
        return known[2]
    wanted = set(map(id, arrays))
    modules = [m for name, m in list(sys.modules.items()) if name == package or name.startswith(f"{package}.")]
    found = any(_leads(list(vars(m).values()), wanted, _DEPTH) for m in modules if isinstance(m, types.ModuleType))
    try:
        references = [weakref.ref(a) for a in arrays]
    except TypeError:
        return found
    if len(_ANSWERS) > _MOST:
        _ANSWERS.clear()
    _ANSWERS[key] = references, loaded, found
    return found


def _fields(value: Any) -> list:
    """What stands in an instance's dict, without asking the instance."""
    try:
        state = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return []
    return list(state.values()) if isinstance(state, dict) else []


def _leads(values: list, wanted: set[int], depth: int) -> bool:
    for value in values:
        if id(value) in wanted:
            return True
        if isa(value, _CODE) or not depth:
            continue
        if isa(value, (list, tuple)):
            inner = list(value[:_MOST])
        elif isa(value, dict):
            inner = list(value.values())[:_MOST]
        else:
            inner = _fields(value)
        if inner and _leads(inner, wanted, depth - 1):
            return True
    return False
