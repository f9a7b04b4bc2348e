"""What lifted code calls: for each function, class, method or property that it asks for, the one rebuilt.

A ``Scope`` says which modules are entered. Everything is resolved at the call: names are looked up in the real globals
by the code itself, and what they hold is what is rebuilt.
"""

from __future__ import annotations

import abc
import functools
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np

from ..face.array import Array
from ..frameworks import PACKAGES
from .active import adopted, innermost
from .named_calls import of_named
from .plain_calls import unless_plain
from .rewriting import ATTRIBUTE, CALL, METHOD, READING, code_with, source_of
from .sourceless import with_answering_globals
from .standins import READING as OF_READERS
from .standins import TABLE

__all__ = ["Scope", "scope_of"]

# Python's own modules that speak of code, files and processes and not of numbers.
_CLOSED = frozenset(
    {
        *("adselect", "numpy", "pandas", "xarray", "matplotlib", "numba", "joblib", "sympy", "pytest", "_pytest"),
        *("pluggy", "hypothesis", "abc", "ast", "asyncio", "builtins", "collections", "concurrent", "contextvars"),
        *("copy", "copyreg", "dataclasses", "decimal", "dis", "enum", "gc", "importlib", "inspect", "io", "json"),
        *("linecache", "logging", "multiprocessing", "os", "pathlib", "pickle", "re", "shutil", "subprocess", "sys"),
        *("threading", "time", "tokenize", "traceback", "types", "typing", "typing_extensions", "unittest", "uuid"),
        *("warnings", "weakref", "_weakrefset", "operator", "numbers", "fractions", "random", "string", "textwrap"),
    }
)
_OPEN_PARTS = ("numpy.polynomial",)
_MOST_KEPT = 20_000
_CACHED = (types.BuiltinFunctionType, type, np.ufunc, type(np.sum), functools._lru_cache_wrapper)
_NATIVE_MODULES = frozenset({"builtins", "numpy", "functools", "itertools", "_functools", "operator", "math"})


class Scope:
    """Which code is entered, and what was rebuilt of it."""

    def __init__(self, only: frozenset[str] | None = None, skip: frozenset[str] = frozenset()):
        self.only, self.skip = only, skip
        self._lock = threading.RLock()
        self._functions: dict[types.FunctionType, tuple] = {}  # rebuilt, with what it was made from
        self._codes: dict[int, tuple] = {}  # by id, since hashing one is slow: the code object, and the new one
        self._made: set[int] = set()  # ids of the code objects in self._codes
        self._known: dict[Any, Any] = {}
        self._ways: dict[type, str] = {}
        self.opens = functools.lru_cache(maxsize=4096)(self._opens)
        self._answers = {CALL: self.call, METHOD: self.method, ATTRIBUTE: self.attribute}
        self._answers |= {CALL + READING: self.call_reading, METHOD + READING: self.method_reading}

    def _opens(self, module: str | None) -> bool:
        """Whether functions of a module are rebuilt."""
        if module is None:
            return self.only is None
        if any(_within(module, name) for name in self.skip):
            return False
        if self.only is not None:
            return any(_within(module, name) for name in self.only)
        root = module.partition(".")[0]
        return (root not in _CLOSED and root not in PACKAGES) or any(_within(module, part) for part in _OPEN_PARTS)

    # -- the three questions that rewritten code asks ----------------------------------------------------------------

    def call(self, function: Any) -> Any:
        """What to call in the place of function."""
        kind = type(function)
        if kind is types.FunctionType:
            return self.function(function)
        if kind in _CACHED:
            try:
                return self._known[function]
            except KeyError:
                return self._keep(function, self._found(function))
        return self._found(function)

    def method(self, owner: Any, name: str) -> Any:
        """What to call in the place of ``owner.name``."""
        kind = type(owner)
        if kind is np.ndarray:
            return _copying(getattr(owner, name)) if name in _COPIES else getattr(owner, name)
        way = self._ways.get(kind) or self._way(kind)
        if way is _DIRECT:
            return getattr(owner, name)
        if way is _STATIC:
            return self.call(getattr(owner, name))
        found = _of_class(kind, name)
        if type(found) is types.FunctionType and kind.__getattribute__ is _GETATTRIBUTE:
            if name not in getattr(owner, "__dict__", ()):
                return types.MethodType(self.function(found), owner)
        return self.call(self.attribute(owner, name))

    def call_reading(self, function: Any) -> Any:
        """The same for code that writes into no array: tables that it makes stay plain, for compiled code to read."""
        found = OF_READERS.get(id(function))
        return self.call(function) if found is None else found[1]

    def method_reading(self, owner: Any, name: str) -> Any:
        """The same for methods."""
        if type(owner) is np.ndarray:
            return getattr(owner, name)
        if type(owner) is types.ModuleType:
            return self.call_reading(getattr(owner, name))
        return self.method(owner, name)

    def attribute(self, owner: Any, name: str) -> Any:
        """``owner.name``, by a rebuilt property where it is one."""
        kind = type(owner)
        if (self._ways.get(kind) or self._way(kind)) is not _ENTERED:
            return getattr(owner, name)
        found = _of_class(kind, name)
        if found is not None:
            if type(found) is property and type(found.fget) is types.FunctionType:
                return self.function(found.fget)(owner)
            if type(found) is functools.cached_property and innermost() is not None:
                return self._cached(owner, name, found)
            return getattr(owner, name)
        missing = _of_class(kind, "__getattr__")
        if type(missing) is types.FunctionType and kind.__getattribute__ is _GETATTRIBUTE:
            if name not in getattr(owner, "__dict__", ()):
                return self.function(missing)(owner, name)
        return getattr(owner, name)

    # -- what is rebuilt ---------------------------------------------------------------------------------------------

    def function(self, function: types.FunctionType, given: bool = False) -> Any:
        """A function of Python rebuilt, itself where it is not entered. given: by the user, who wants it entered."""
        kept = self._functions.get(function)
        if kept is not None and kept[0] is function.__code__ and kept[1] is function.__defaults__:
            if kept[2] is function.__kwdefaults__ and not (given and kept[3] is function):
                return kept[3]
        code = function.__code__
        if id(code) in self._made:
            return function
        found = TABLE.get(id(function))
        replaced = found[1] if found is not None else of_named(function)
        if replaced is not None:
            new = self._of(replaced)
        elif not given and not self.opens(function.__globals__.get("__name__")):
            new = function
        else:
            new = self._rebuilt(function)
            new = new if given else unless_plain(function, new)
        if function.__closure__ is None and not given:  # a closure would keep alive what it closes over
            with self._lock:
                if len(self._functions) >= _MOST_KEPT:
                    self._functions.clear()
                self._functions[function] = (code, function.__defaults__, function.__kwdefaults__, new)
        return new

    def _rebuilt(self, function: types.FunctionType) -> types.FunctionType:
        code = self._code(function)
        if code is None:
            return with_answering_globals(function, self.call)
        new = types.FunctionType(
            code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        new.__kwdefaults__ = function.__kwdefaults__
        new.__dict__ = function.__dict__  # shared: what f keeps on a function it keeps there
        new.__module__, new.__qualname__, new.__doc__ = function.__module__, function.__qualname__, function.__doc__
        new.__annotations__ = function.__annotations__
        return new

    def _code(self, function: types.FunctionType) -> types.CodeType | None:
        """The rewritten code of a function for this scope; None where there is no source."""
        with self._lock:
            code = function.__code__
            kept = self._codes.get(id(code))
            if kept is None:
                source = source_of(function)
                new = None if source is None else code_with(source.code, self._answers, self._made)
                kept = self._codes[id(code)] = (code, new)
            return kept[1]

    def _found(self, function: Any) -> Any:
        """What to call in the place of what is no plain function."""
        found = TABLE.get(id(function))
        if found is not None:
            return self._of(found[1])
        kind = type(function)
        if kind is types.MethodType:
            new = self.call(function.__func__)
            return function if new is function.__func__ else types.MethodType(new, function.__self__)
        if kind is functools.partial:
            return functools.partial(self.call(function.func), *function.args, **function.keywords)
        if kind is functools._lru_cache_wrapper:
            return self._through_cache(function)
        if issubclass(kind, type):
            return self._constructor(function)
        replaced = of_named(function)
        if replaced is not None:
            return self._of(replaced)
        if kind is types.BuiltinFunctionType or self._way(kind) is _DIRECT:
            return function
        called = _of_class(kind, "__call__")
        if type(called) is types.FunctionType and not kind.__module__.startswith("adselect."):
            new = self.function(called)
            return function if new is called else types.MethodType(new, function)
        return function

    def _of(self, replacement: Any) -> Any:
        """A stand-in for this scope: some call functions that they are given, and have these rebuilt."""
        return functools.partial(replacement, self) if getattr(replacement, "needs_scope", False) else replacement

    def _through_cache(self, cache: Any) -> Callable:
        """The function that a cache stands before, wherever a derivative is being computed."""
        inner = cache.__wrapped__

        def through(*args: Any, **kwargs: Any) -> Any:
            return cache(*args, **kwargs) if innermost() is None else self.call(inner)(*args, **kwargs)

        return through

    def _constructor(self, cls: type) -> Any:
        """What makes an instance as ``cls(…)`` does, with ``__new__`` and ``__init__`` rebuilt."""
        if type(cls) not in (type, abc.ABCMeta) or not self.opens(cls.__module__):
            return cls
        given_new, given_init = cast(Any, cls.__new__), cast(Any, cls.__init__)
        if type(given_init) is not types.FunctionType and type(given_new) is not types.FunctionType:
            return cls
        new = self.function(given_new) if type(given_new) is types.FunctionType else given_new
        init = self.function(given_init) if type(given_init) is types.FunctionType else given_init
        if new is given_new and init is given_init:
            return cls

        def construct(*args: Any, **kwargs: Any) -> Any:
            if cls.__init__ is not given_init or cls.__new__ is not given_new:  # changed since
                self._known.pop(cls, None)
                return self.call(cls)(*args, **kwargs)
            made = new(cls) if new is object.__new__ else new(cls, *args, **kwargs)
            if isinstance(made, cls):
                init(made, *args, **kwargs)
            return made

        return construct

    def _cached(self, owner: Any, name: str, found: functools.cached_property) -> Any:
        """A cached_property's value, computed by its function rebuilt."""
        kept = owner.__dict__
        if name not in kept:
            kept[name] = self.call(found.func)(owner)
        return kept[name]

    # -- bookkeeping -------------------------------------------------------------------------------------------------

    def _keep(self, function: Any, new: Any) -> Any:
        with self._lock:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            # Of bound methods of compiled code, values.append, there is a new object each time.
            if not (type(function) is types.BuiltinFunctionType and _is_bound(function)):
                self._known[function] = new
        return new

    def _way(self, kind: type) -> str:
        """How attributes of instances are found: compiled and ours are left alone, of others functions are rebuilt."""
        if issubclass(kind, (type, types.ModuleType, super)):
            way = _STATIC
        elif issubclass(kind, Array) or (kind.__module__ in _NATIVE_MODULES and kind not in _OF_FUNCTIONS):
            way = _DIRECT
        else:
            way = _ENTERED
        self._ways[kind] = way
        return way


_DIRECT, _STATIC, _ENTERED = "direct", "static", "entered"
_OF_FUNCTIONS = (types.MethodType, types.FunctionType, functools.partial)
_GETATTRIBUTE = object.__getattribute__


def _of_class(kind: type, name: str) -> Any:
    """What the class, or the first of its bases that has it, holds under a name; None where there is nothing."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


_COPIES = frozenset({"copy", "astype", "flatten"})


def _copying(method: Callable) -> Callable:
    def copied(*args: Any, **kwargs: Any) -> Any:
        return adopted(method(*args, **kwargs))

    return copied


def _is_bound(function: Any) -> bool:
    owner = function.__self__
    return owner is not None and not isinstance(owner, types.ModuleType)


def _within(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


@functools.lru_cache(maxsize=256)
def _scope(only: frozenset[str] | None, skip: frozenset[str]) -> Scope:
    return Scope(only, skip)


def scope_of(only: Iterable[Any] | Any | None, skip: Iterable[Any] | Any) -> Scope:
    """The scope of ``lift``'s options: modules, or their names, one or several."""
    return _scope(None if only is None else frozenset(_names(only)), frozenset(_names(skip)))


def _names(given: Any) -> list[str]:
    entries = [given] if isinstance(given, (str, types.ModuleType)) else list(given)
    names = [m.__name__ if isinstance(m, types.ModuleType) else m for m in entries]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a module or the name of one was expected, got {name!r}")
    return names
