"""Functions, their cells and globals, modules and classes: how code that reaches an array is made anew around another.

A function is the same code with other cells, defaults and a dict of globals of its own, a copy of the module's in which
the names that lead to the array lead to the new one. A class gets a subclass, before whose bases stand the methods made
anew, so that ``super()`` and ``isinstance`` answer as before.
"""

from __future__ import annotations

import builtins
import contextlib
import dis
import functools
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .fixed import code_names, global_names, imported_names, is_closed_function
from .holders import HEAP_TYPE, Held, Holder, is_closed, returned_entries, values_of

if TYPE_CHECKING:
    from .rebuilding import Building

__all__ = [
    "CacheHolder",
    "CellHolder",
    "ClassHolder",
    "DescriptorHolder",
    "FunctionHolder",
    "MethodHolder",
    "ModuleHolder",
    "PartialHolder",
    "globals_of",
    "names_of",
    "stored_names",
]

# With one of these a name need not stand in the code.
_BY_TEXT = frozenset(
    {"getattr", "__getattribute__", "vars", "__dict__", "attrgetter", "methodcaller", "eval", "exec", "globals", "dir"}
)


@functools.lru_cache(maxsize=1024)
def stored_names(code: types.CodeType) -> frozenset[str]:
    """The globals that a code object, and those inside of it, set or delete."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= stored_names(constant)
    return frozenset(names)


# -- functions ---------------------------------------------------------------------------------------------------------


class CellHolder(Holder):
    """A variable of a closure."""

    def held(self, walk: Any) -> Held:
        try:
            return [("", self.value.cell_contents)]
        except ValueError:  # not bound yet
            return []

    def blank(self, building: Building) -> Any:
        return types.CellType()

    def fill(self, new: Any, building: Building) -> Any:
        try:
            new.cell_contents = building.new(self.value.cell_contents)
        except ValueError:
            return None
        return new.cell_contents

    def returned(self, new: Any, before: Any, building: Building) -> None:
        try:
            now = new.cell_contents
        except ValueError:  # f has deleted it
            if before is not None:
                del self.value.cell_contents
            return
        if now is not before:
            self.value.cell_contents = building.old(now)
            building.note(self.value, None)


class FunctionHolder(Holder):
    """A function of Python."""

    def held(self, walk: Any) -> Held:
        f = self.value
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            if not _is_of_super(f.__code__, name):
                yield f" → {name}", cell
        names = f.__code__.co_varnames
        for i, value in enumerate(f.__defaults__ or ()):
            at = f.__code__.co_argcount - len(f.__defaults__) + i
            yield f" → {names[at] if 0 <= at < len(names) else i}, a default,", value
        yield from [(f" → {name}, a default,", value) for name, value in (f.__kwdefaults__ or {}).items()]
        yield from [(f".{name}", value) for name, value in f.__dict__.items()]
        module = f.__module__ or ""
        if is_closed_function(f) or (is_closed(module) and module.partition(".")[0] != "adselect"):
            return
        if not walk.enters(module):
            return
        walk.read(f.__code__)
        for name in global_names(f):
            yield f" → {name}", f.__globals__[name]
        for name in imported_names(f):
            if name in sys.modules:
                yield f" → {name}", sys.modules[name]

    def blank(self, building: Building) -> Any:
        f = self.value
        named = zip(f.__code__.co_freevars, f.__closure__ or (), strict=True)
        cells = tuple([c if _is_of_super(f.__code__, name) else building.new(c) for name, c in named])
        new = types.FunctionType(f.__code__, building.globals_of(f), f.__name__, None, cells)
        new.__qualname__, new.__module__, new.__doc__ = f.__qualname__, f.__module__, f.__doc__
        return new

    def fill(self, new: Any, building: Building) -> Any:
        f = self.value
        if f.__defaults__ is not None:
            new.__defaults__ = tuple([building.new(v) for v in f.__defaults__])
        if f.__kwdefaults__ is not None:
            new.__kwdefaults__ = {k: building.new(v) for k, v in f.__kwdefaults__.items()}
        if f.__annotations__:
            new.__annotations__ = f.__annotations__
        new.__dict__.update({k: building.new(v) for k, v in f.__dict__.items()})
        return dict(new.__dict__)

    def returned(self, new: Any, before: Any, building: Building) -> None:
        returned_entries(before, new.__dict__, self.value.__dict__, building)


def _is_of_super(code: types.CodeType, name: str) -> bool:
    """Whether a variable is the class that super() starts from, which has to stay what it is."""
    return name == "__class__" and "super" in code_names(code)


def globals_of(real: dict, building: Building) -> dict:
    """A copy of a module's globals, to be filled; what f imports when it runs is found as it was made anew."""
    view = dict(real)
    imports = real.get("__builtins__", builtins)
    imports = imports if isinstance(imports, dict) else vars(imports)
    if any(isinstance(h, ModuleHolder) for h in building.holders):
        plain_import = imports["__import__"]

        def import_(*args: Any, **kwargs: Any) -> Any:
            return building.new(plain_import(*args, **kwargs))

        view["__builtins__"] = {**imports, "__import__": import_}
    return view


# -- callables that hold others ----------------------------------------------------------------------------------------


class MethodHolder(Holder):
    """A bound method, also one of compiled code (``W.sum``, ``layers.append``)."""

    mutable = False

    def held(self, walk: Any) -> Held:
        if isinstance(self.value, types.MethodType):
            walk.name(getattr(self.value.__func__, "__name__", ""))
            yield "", self.value.__func__
        yield ".__self__", self.value.__self__

    def made(self, building: Building) -> Any:
        held = building.new(self.value.__self__)
        if isinstance(self.value, types.MethodType):
            return types.MethodType(building.new(self.value.__func__), held)
        return getattr(held, self.value.__name__)


class PartialHolder(Holder):
    """A functools.partial or partialmethod."""

    mutable = False

    def held(self, walk: Any) -> Held:
        yield "", self.value.func
        yield from [(f".args{label}", v) for label, v in values_of(self.value.args)]
        yield from [(f".keywords[{k!r}]", v) for k, v in self.value.keywords.items()]
        if getattr(self.value, "__dict__", None):
            yield ".__dict__", self.value.__dict__

    def made(self, building: Building) -> Any:
        v = self.value
        keywords = {k: building.new(a) for k, a in v.keywords.items()}
        return type(v)(building.new(v.func), *[building.new(a) for a in v.args], **keywords)


class CacheHolder(Holder):
    """A functools.lru_cache around a function: the new one begins empty, since what is kept is plain."""

    mutable = False

    def held(self, walk: Any) -> Held:
        yield "", self.value.__wrapped__

    def made(self, building: Building) -> Any:
        return functools.lru_cache(**self.value.cache_parameters())(building.new(self.value.__wrapped__))


class DescriptorHolder(Holder):
    """A property, a static or class method, a cached property: what a class makes of functions."""

    mutable = False

    def held(self, walk: Any) -> Held:
        return [("", f) for f in self._functions() if f is not None]

    def _functions(self) -> tuple:
        v = self.value
        if isinstance(v, property):
            return v.fget, v.fset, v.fdel
        return (v.func,) if isinstance(v, functools.cached_property) else (v.__func__,)

    def made(self, building: Building) -> Any:
        functions = [building.new(f) for f in self._functions()]
        new = type(self.value)(*functions)
        if isinstance(new, functools.cached_property):
            new.__set_name__(None, self.value.attrname)  # type: ignore[arg-type]
        return new


# -- modules -----------------------------------------------------------------------------------------------------------


class ModuleHolder(Holder):
    """A module, of which f's code names attributes."""

    by_name = True  # what it holds depends on the names met so far

    def held(self, walk: Any) -> Held:
        if is_closed(self.value.__name__):
            return
        held, entered = vars(self.value), walk.enters(self.value.__name__)
        for name in sorted(held) if walk.any_name and entered else sorted(walk.names & held.keys()):
            code = isinstance(held[name], (types.FunctionType, types.ModuleType, type))
            if not name.startswith("__") and (entered or not code):
                yield f".{name}", held[name]

    def blank(self, building: Building) -> Any:
        new = _ModuleView(self.value.__name__, self.value.__doc__)
        object.__setattr__(new, "_view", building.view_of(vars(self.value)))
        object.__setattr__(new, "_real", self.value)
        return new

    def fill(self, new: Any, building: Building) -> Any:
        view = building.view_of(vars(self.value))
        for name, value in vars(self.value).items():
            if not name.startswith("__"):
                view[name] = building.new(value)
        building.whole.add(id(vars(self.value)))
        return None


class _ModuleView(types.ModuleType):
    """A module whose attributes are the entries of a dict that its functions, made anew, have for globals."""

    def __getattribute__(self, name: str) -> Any:
        fields = object.__getattribute__(self, "__dict__")
        view = fields.get("_view")
        if view is None or name == "__dict__":
            return fields if view is None else view
        return view[name] if name in view else getattr(fields["_real"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__getattribute__(self, "__dict__")["_view"][name] = value

    def __delattr__(self, name: str) -> None:
        del object.__getattribute__(self, "__dict__")["_view"][name]


# -- classes -----------------------------------------------------------------------------------------------------------


class ClassHolder(Holder):
    """A class written in Python, of which f's code names attributes."""

    by_name = True

    def held(self, walk: Any) -> Held:
        for base in self.value.__mro__:
            for name, value in _attributes(base) if walk.enters(base.__module__) else ():
                function = isinstance(value, (types.FunctionType, property, staticmethod, classmethod))
                if not function or walk.any_name or name in walk.names or name.startswith("__"):
                    yield f" → {base.__name__}.{name}", value
        meta: Any = type(self.value)
        for name, value in _of_metaclass(meta) if walk.enters(meta.__module__) else ():
            if name.startswith("__") or name in walk.names:
                yield f" → {type(self.value).__name__}.{name}", value

    def blank(self, building: Building) -> Any:
        cls, order, patches = self.value, [], {}
        for name, value in _of_metaclass(type(cls)):
            if building.is_new(value):
                raise TypeError(f"its metaclass reaches an array in {name}")
        for base in cls.__mro__:
            if any(building.is_new(v) for _, v in _attributes(base)):
                patches[base] = type(base.__name__, (), {"__slots__": (), "__module__": base.__module__})
                order.append(patches[base])
            order.append(base)

        def mro(new: type) -> list[type]:
            return [new, _Quiet, *order]

        def instancecheck(new: type, value: Any) -> bool:
            return isinstance(value, cls)

        def subclasscheck(new: type, other: type) -> bool:
            return issubclass(other, cls)

        own = {"mro": mro, "__instancecheck__": instancecheck, "__subclasscheck__": subclasscheck}
        meta = type(type(cls).__name__, (type(cls),), own)
        names = {
            "__slots__": (),
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
        }
        new = type.__new__(meta, cls.__name__, (cls,), names)
        building.patches[id(new)] = patches
        return new

    def fill(self, new: Any, building: Building) -> Any:
        for base, patch in building.patches[id(new)].items():
            for name, value in _attributes(base):
                if building.is_new(value):
                    type.__setattr__(patch, name, building.new(value))
        return dict(vars(new))

    def returned(self, new: Any, before: Any, building: Building) -> None:
        now = vars(new)
        for name in now.keys() - {"__abstractmethods__", "_abc_impl"}:
            if name not in before or now[name] is not before[name]:
                setattr(self.value, name, building.old(now[name]))
                building.note(self.value, name)
        _retire(new)


def _of_metaclass(meta: type) -> Iterator[tuple[str, Any]]:
    """What a metaclass holds beyond what makes classes."""
    for base in meta.__mro__ if meta is not type else ():
        for name, value in _attributes(base):
            if name not in ("__init__", "__new__", "__prepare__"):
                yield name, value


def _retire(new: type) -> None:
    """Take a subclass out of the user's class's ``__subclasses__()``; what it inherits is as it was, by its mro."""
    base = next(b for b in new.__mro__ if not b.__flags__ & HEAP_TYPE)
    with contextlib.suppress(TypeError):  # slots: it stays there until the collector has run
        new.__bases__ = (type(new.__name__, (base,), {}),)


class _Quiet:
    """Stands before the user's bases: making a subclass of theirs is not to be told to them."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        pass


_OF_CLASSES = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "_abc_impl", "__init_subclass__"}
)


def _attributes(cls: type) -> Iterator[tuple[str, Any]]:
    """What a user's class holds itself: data, functions and what is made of functions."""
    if is_closed(cls.__module__) or not cls.__flags__ & HEAP_TYPE:
        return
    for name, value in list(vars(cls).items()):
        if name not in _OF_CLASSES and not isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            yield name, value


def names_of(code: types.CodeType) -> tuple[frozenset[str], bool]:
    """The names in a code object, and whether it may ask for others that it makes up."""
    names = code_names(code)
    return names, not names.isdisjoint(_BY_TEXT)
