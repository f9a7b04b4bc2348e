"""Functions whose source is not there (``exec``, ``python -c``): the same code, whose globals answer in place of it.

What the code calls by a name, or as an attribute of a module, is found rebuilt; methods and what stands in local
variables are not. Names are looked up in the real globals when they are met.
"""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Callable
from opcode import opname
from typing import Any

from ..calls.code_holders import stored_names

__all__ = ["with_answering_globals"]


def with_answering_globals(function: types.FunctionType, call: Callable[[Any], Any]) -> types.FunctionType:
    """The function around globals that answer; itself where it sets globals, which only the real ones can keep."""
    if stored_names(function.__code__) or isinstance(function.__globals__, _Answering):
        return function
    names = _Answering(function.__globals__, call)
    new = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    new.__kwdefaults__ = function.__kwdefaults__
    new.__dict__ = function.__dict__
    new.__module__, new.__qualname__, new.__doc__ = function.__module__, function.__qualname__, function.__doc__
    return new


class _Answering(dict):
    """Globals, as code finds them that calls them: functions rebuilt, modules that hand out rebuilt functions."""

    def __init__(self, real: dict, call: Callable):
        super().__init__({"__builtins__": real.get("__builtins__", builtins), "__name__": real.get("__name__")})
        self._real, self._call = real, call

    def __getitem__(self, name: str) -> Any:
        value = self._real[name] if name in self._real else getattr(builtins, name, self)
        if value is self:
            raise KeyError(name)
        return self._call(value) if _is_called(sys._getframe(1)) else _handed(value, self._call)


def _is_called(frame: types.FrameType) -> bool:
    """Whether the code at frame looks a name up to call it: room is made for the call, and no attribute follows."""
    place, code = frame.f_lasti, frame.f_code.co_code
    if opname[code[place]] != "LOAD_GLOBAL" or not code[place + 1] & 1:
        return False
    place += 2
    while opname[code[place]] in ("CACHE", "EXTENDED_ARG"):
        place += 2
    return not opname[code[place]].startswith("LOAD_ATTR")


class _Module(types.ModuleType):
    """A module whose functions are found rebuilt."""

    def __init__(self, module: types.ModuleType, call: Callable):
        super().__init__(module.__name__)
        self.__dict__["_found"] = module, call

    def __getattr__(self, name: str) -> Any:
        module, call = self.__dict__["_found"]
        return _handed(getattr(module, name), call)


def _handed(value: Any, call: Callable) -> Any:
    if isinstance(value, types.ModuleType):
        return value if value.__name__.partition(".")[0] in ("adselect", "sys") else _Module(value, call)
    if isinstance(value, type) or not callable(value) or not hasattr(value, "__name__"):
        return value  # classes are named as dtypes and in isinstance, too
    return call(value)
