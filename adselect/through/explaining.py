"""explain_lift: what ``lift`` would rebuild of a function, what it leaves, and which calls it replaces."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import types
from typing import Any, NamedTuple

from ..errors import ADSelectTypeError, user_line
from .calling import Scope, scope_of
from .lifting import Lifted
from .named_calls import of_named
from .rewriting import source_of
from .standins import TABLE

__all__ = ["explain_lift"]

_UNKNOWN = object()
_MOST = 2000  # functions that are looked at


class _Call(NamedTuple):
    """A call in the source: what it says, and where."""

    text: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class _Walk:
    """All that can be known of f without calling it."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.rebuilt: dict[str, str] = {}
        self.replaced: dict[str, list[_Call]] = {}
        self.left: dict[str, list[_Call]] = {}
        self.open: list[_Call] = []
        self._seen: set[int] = set()
        self._pending: list[tuple[types.FunctionType, Any]] = []

    def walk(self, f: Any) -> None:
        self.enter(f, None, given=True)
        while self._pending and len(self._seen) < _MOST:
            self._read(*self._pending.pop(0))

    def enter(self, f: Any, call: _Call | None, given: bool = False) -> None:
        """Sort what is called into what is rebuilt, replaced and left."""
        if isinstance(f, Lifted):
            return self.enter(f.__wrapped__, call, given)
        if id(f) in TABLE or of_named(f) is not None:
            return self._note(self.replaced, f, call)
        if isinstance(f, types.MethodType):
            return self._function(f.__func__, call, given, f.__self__)
        if isinstance(f, functools.partial):
            return self.enter(f.func, call, given)
        if isinstance(f, functools._lru_cache_wrapper):
            return self.enter(f.__wrapped__, call, given)
        if isinstance(f, type):
            return self._class(f, call)
        if isinstance(f, types.FunctionType):
            return self._function(f, call, given, _UNKNOWN)
        called = inspect.getattr_static(type(f), "__call__", None)
        if isinstance(called, types.FunctionType) and not isinstance(f, (types.BuiltinFunctionType, type)):
            return self._function(called, call, given, f)
        return self._note(self.left, f, call, "compiled")

    def _class(self, cls: type, call: _Call | None) -> None:
        if not self.scope.opens(cls.__module__):
            return self._note(self.left, cls, call) if cls.__module__ != "builtins" else None
        for name in ("__new__", "__init__"):
            function = getattr(cls, name)
            if isinstance(function, types.FunctionType):
                self._function(function, call, False, _UNKNOWN)
        return None

    def _function(self, f: Any, call: _Call | None, given: bool, owner: Any) -> None:
        if not isinstance(f, types.FunctionType):
            return self._note(self.left, f, call, "compiled")
        if id(f) in self._seen:
            return None
        if not given and not self.scope.opens(f.__globals__.get("__name__")):
            return self._note(self.left, f, call, "not entered")
        if source_of(f) is None:
            return self._note(self.left, f, call, "no source, or another than what runs: only what it calls by name")
        self._seen.add(id(f))
        self.rebuilt[_name(f)] = f"{f.__code__.co_filename}:{f.__code__.co_firstlineno}"
        self._pending.append((f, owner))
        return None

    def _note(self, kind: dict, f: Any, call: _Call | None, why: str = "") -> None:
        if kind is self.replaced or call is None or getattr(f, "__module__", "") != "builtins":
            kind.setdefault(f"{_name(f)}{f' ({why})' if why else ''}", []).append(call or _Call("", "", 0))

    def _read(self, f: types.FunctionType, owner: Any) -> None:
        source = source_of(f)
        names = _names_of(f, owner)
        for callee in source.calls if source is not None else ():
            call = _Call(_text(callee, f), f.__code__.co_filename, callee.lineno)
            found = _value(callee, names)
            if found is _UNKNOWN:
                self.open.append(call)
            elif callable(found):
                self.enter(found, call)


def _text(expression: ast.expr, f: types.FunctionType) -> str:
    """The source of an expression, the first line of it."""
    line = linecache.getline(f.__code__.co_filename, expression.lineno, f.__globals__).encode()
    end = expression.end_col_offset if expression.end_lineno == expression.lineno else None
    return line[expression.col_offset : end].decode().strip()


def _names_of(f: types.FunctionType, owner: Any) -> dict[str, Any]:
    """What the names in a function stand for, as far as is known before it runs."""
    names = {**vars(builtins), **f.__globals__}
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not bound yet
            names[name] = _UNKNOWN
    code = f.__code__
    names.update(dict.fromkeys((*code.co_varnames, *code.co_cellvars), _UNKNOWN))
    if owner is not _UNKNOWN and owner is not None and code.co_argcount:
        names[code.co_varnames[0]] = owner
    return names


def _value(expression: ast.expr, names: dict[str, Any]) -> Any:
    """What an expression stands for, without running any code of the user's."""
    if isinstance(expression, ast.Name):
        return names.get(expression.id, _UNKNOWN)
    if isinstance(expression, ast.Attribute):
        owner = _value(expression.value, names)
        if isinstance(owner, types.ModuleType):
            return getattr(owner, expression.attr, _UNKNOWN)
        if owner is _UNKNOWN:
            return _UNKNOWN
        found = inspect.getattr_static(owner, expression.attr, _UNKNOWN)
        if isinstance(found, (staticmethod, classmethod)):
            return found.__func__
        return types.MethodType(found, owner) if isinstance(found, types.FunctionType) else found
    return _UNKNOWN


def _name(f: Any) -> str:
    module = getattr(f, "__module__", None) or ""
    name = getattr(f, "__qualname__", None) or getattr(f, "__name__", None) or repr(f)
    return name if module in ("", "builtins") else f"{module}.{name}"


def explain_lift(f: Any, *, only: Any = None, skip: Any = ()) -> str:
    """What ``lift(f, only=…, skip=…)`` would do, as text: which functions are rebuilt, which calls are replaced.

    Nothing is called. What is found by name is sorted into rebuilt, replaced and left; what only shows when f runs (a
    method of an argument, a function in a local variable) is listed as decided at the call. Raises ADSelectTypeError
    where f cannot be called. Cost: the files of f's code are parsed.

    >>> import colorsys, adselect as ad
    >>> [line.partition(":")[0] for line in ad.explain_lift(colorsys.rgb_to_hsv).splitlines()]
    ['rebuilt', '  colorsys.rgb_to_hsv', 'replaced', '  max', '  min']
    """
    if not callable(f):
        raise ADSelectTypeError(f"explain_lift at {user_line()}: a function was expected, got {type(f).__name__}")
    walk = _Walk(f._scope if isinstance(f, Lifted) and only is None and not skip else scope_of(only, skip))
    walk.walk(f)
    lines = ["rebuilt:"]
    lines += [f"  {name}: {place}" for name, place in walk.rebuilt.items()] or ["  nothing"]
    for title, kind in (("replaced:", walk.replaced), ("left as they are:", walk.left)):
        if kind:
            lines += [title, *[f"  {name}: {_places(calls)}" for name, calls in sorted(kind.items())]]
    if walk.open:
        lines += ["decided at the call:", *[f"  {call.text}(…): {call}" for call in dict.fromkeys(walk.open)]]
    return "\n".join(lines)


def _places(calls: list[_Call]) -> str:
    places = list(dict.fromkeys(str(c) for c in calls if c.file))
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
