"""What may hold an array that f reaches, one class a kind: what it holds, how it is made anew, what was written to it.

A holder is made anew in two steps, ``blank`` and ``fill``, so that it may hold itself; what cannot be changed once it
is there (a tuple, a bound method) in one, ``made``. ``returned`` carries what f has written to the new one over to the
user's own. Functions, modules and classes have a file of their own, ``code_holders.py``.
"""

from __future__ import annotations

import functools
import gc
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..frameworks import PACKAGES
from ..structure.grads import Grads
from ..structure.opening import CLOSED_PACKAGES
from ..structure.params import Params
from ..values.identity import IdDict
from ..values.kinds import isa
from ..values.tangents import field_names

if TYPE_CHECKING:
    from .rebuilding import Building

__all__ = ["HEAP_TYPE", "PLAIN", "Holder", "Sealed", "Unusable", "is_closed", "returned_entries", "values_of"]

Held = Iterable[tuple[str, Any]]
_GONE = object()
HEAP_TYPE = 1 << 9  # CPython's flag of classes made by a class statement


class Holder:
    """A value that f reaches and that may hold others."""

    mutable = True  # made in two steps
    sealed = False  # cannot be made anew

    def __init__(self, value: Any):
        self.value = value

    def held(self, walk: Any) -> Held:
        """What it holds, with the text that leads there in a path."""
        raise NotImplementedError

    def blank(self, building: Building) -> Any:
        """A new one, to be filled."""
        raise NotImplementedError

    def fill(self, new: Any, building: Building) -> Any:
        """Put everything into the new one that the user's own holds; gives what ``returned`` is to compare with."""
        raise NotImplementedError

    def returned(self, new: Any, before: Any, building: Building) -> None:
        """Write to the user's own what f has written to the new one since it was filled."""

    def made(self, building: Building) -> Any:
        """A new one in one step, for what is not mutable."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.value).__name__})"


def is_closed(module: str) -> bool:
    """Whether a module belongs to Python, NumPy and the like, or to this library: what is in there is not entered."""
    package = module.partition(".")[0]
    return package in CLOSED_PACKAGES or package in PACKAGES or package == "adselect"


# -- fields ------------------------------------------------------------------------------------------------------------


def held_fields(value: Any) -> Held:
    """The fields of an instance and its class."""
    state = getattr(value, "__dict__", None) or {}
    for name in field_names(value):
        yield f".{name}", state[name] if name in state else getattr(value, name)
    yield "", type(value)


def fill_fields(value: Any, new: Any, building: Building) -> tuple[dict, dict]:
    """Copy slots and ``__dict__``; what a cached_property has kept is left out and computed anew."""
    state = dict(getattr(value, "__dict__", None) or {})
    slots = {n: getattr(value, n) for n in field_names(value) if n not in state} if _has_slots(type(value)) else {}
    if state:
        kept = cached_names(type(value))
        state = {n: building.new(v) for n, v in state.items() if n not in kept}
        new.__dict__.update(state)
    slots = {n: building.new(v) for n, v in slots.items()}
    for name, field in slots.items():
        object.__setattr__(new, name, field)
    return state, slots


def returned_fields(value: Any, new: Any, before: tuple[dict, dict], building: Building) -> None:
    """Carry written fields over, past any ``__setattr__``, which has run on the new instance already."""
    state, slots = before
    if hasattr(new, "__dict__"):
        kept = cached_names(type(value))
        now = {n: v for n, v in new.__dict__.items() if n not in kept}
        returned_entries(state, now, value.__dict__, building)
    for name in field_names(new) if _has_slots(type(value)) else ():
        if name not in getattr(new, "__dict__", ()) and getattr(new, name) is not slots.get(name, _GONE):
            object.__setattr__(value, name, building.old(getattr(new, name)))
            building.note(value, name)


def returned_entries(before: dict, now: dict, target: dict, building: Building) -> None:
    """Set in target what is new or another in now, delete what is gone."""
    for key in before.keys() - now.keys():
        target.pop(building.old(key), None)
    for key, held in now.items():
        if held is not before.get(key, _GONE):
            key = building.old(key)
            target[key] = building.old(held)
            building.note(target, key)


@functools.lru_cache(maxsize=512)
def _has_slots(cls: type) -> bool:
    return any(vars(c).get("__slots__") for c in cls.__mro__)


@functools.lru_cache(maxsize=512)
def cached_names(cls: type) -> frozenset[str]:
    """The names under which the class keeps what a cached_property has computed."""
    held = {name: attr for c in reversed(cls.__mro__) for name, attr in vars(c).items()}
    return frozenset(n for n, attr in held.items() if isinstance(attr, functools.cached_property))


def values_of(items: Any) -> list[tuple[str, Any]]:
    """Entries of a container with their index, without those that hold nothing."""
    kinds = set(map(type, items))
    if kinds <= PLAIN:
        return []
    return [(f"[{i}]", v) for i, v in enumerate(items) if type(v) not in PLAIN]


PLAIN = {int, float, str, bool, complex, bytes, type(None), np.float64, np.int64, np.bool_, np.float32, np.int32}


# -- containers --------------------------------------------------------------------------------------------------------


class ListHolder(Holder):
    """A list or deque, or an instance of a class derived from them."""

    def held(self, walk: Any) -> Held:
        yield from values_of(self.value)
        if type(self.value) not in (list, deque):
            yield from held_fields(self.value)

    def blank(self, building: Building) -> Any:
        new = self._base.__new__(building.new(type(self.value)))
        if isinstance(self.value, deque):
            deque.__init__(new, (), self.value.maxlen)
        return new

    @property
    def _base(self) -> Any:
        return deque if isinstance(self.value, deque) else list

    def fill(self, new: Any, building: Building) -> Any:
        self._base.extend(new, [building.new(v) for v in self._base.__iter__(self.value)])
        fields = fill_fields(self.value, new, building) if hasattr(self.value, "__dict__") else None
        return list(self._base.__iter__(new)), fields

    def returned(self, new: Any, before: Any, building: Building) -> None:
        then, fields = before
        now, base, value = list(self._base.__iter__(new)), self._base, self.value
        kept = len(then) if len(now) >= len(then) and not any(map(_differ, now, then)) else 0
        if len(now) > kept or len(then) > kept:
            if not kept:
                base.clear(value)
            start = len(value)
            base.extend(value, [building.old(v) for v in now[kept:]])
            for i in range(start, len(value)):
                building.note(value, i)
        if fields is not None:
            returned_fields(value, new, fields, building)


def _differ(a: Any, b: Any) -> bool:
    return a is not b


class DictHolder(Holder):
    """A dict, or an instance of a class derived from it; keys are made anew, too."""

    def held(self, walk: Any) -> Held:
        items = list(dict.items(self.value))
        for key, value in items if not set(map(type, dict.values(self.value))) <= PLAIN else ():
            yield f"[{key!r:.40}]" if type(key) in PLAIN else "[…]", value
        yield from [("'s key", key) for key, _ in items if type(key) not in PLAIN]
        if type(self.value) is not dict:
            yield from held_fields(self.value)

    def blank(self, building: Building) -> Any:
        kind = building.new(type(self.value))
        new = dict.__new__(kind)
        if isinstance(self.value, defaultdict):
            new.default_factory = building.new(self.value.default_factory)
        return new

    def fill(self, new: Any, building: Building) -> Any:
        base = OrderedDict if isinstance(new, OrderedDict) else dict
        for key, value in list(dict.items(self.value)):
            base.__setitem__(new, building.new(key), building.new(value))
        fields = fill_fields(self.value, new, building) if hasattr(self.value, "__dict__") else None
        return dict(dict.items(new)), fields

    def returned(self, new: Any, before: Any, building: Building) -> None:
        then, fields = before
        returned_entries(then, dict(dict.items(new)), self.value, building)
        if fields is not None:
            returned_fields(self.value, new, fields, building)


class TupleHolder(Holder):
    """A tuple, named tuples too."""

    mutable = False

    def held(self, walk: Any) -> Held:
        names = getattr(type(self.value), "_fields", None)
        for i, (label, v) in enumerate(values_of(self.value)):
            yield f".{names[i]}" if names and len(names) == len(self.value) and label == f"[{i}]" else label, v
        if type(self.value) is not tuple:
            yield from held_fields(self.value)

    def made(self, building: Building) -> Any:
        new = tuple.__new__(building.new(type(self.value)), [building.new(v) for v in tuple.__iter__(self.value)])
        if getattr(self.value, "__dict__", None):
            fill_fields(self.value, new, building)
        return new


class SetHolder(Holder):
    """A set or frozenset of objects."""

    mutable = False

    def held(self, walk: Any) -> Held:
        return [("'s element", v) for _, v in values_of(list(self.value))]

    def made(self, building: Building) -> Any:
        new = type(self.value)([building.new(v) for v in self.value])
        building.remember(self, new, set(new))
        return new

    def returned(self, new: Any, before: Any, building: Building) -> None:
        if isinstance(new, set):
            self.value.difference_update([building.old(v) for v in before - new])
            self.value.update([building.old(v) for v in new - before])


class ObjectArrayHolder(Holder):
    """An object array."""

    def held(self, walk: Any) -> Held:
        return values_of(self.value.reshape(-1).tolist())

    def blank(self, building: Building) -> Any:
        return np.empty(self.value.shape, object)

    def fill(self, new: Any, building: Building) -> Any:
        for i, v in enumerate(self.value.flat):
            new[np.unravel_index(i, new.shape)] = building.new(v)
        return list(new.flat)

    def returned(self, new: Any, before: Any, building: Building) -> None:
        for i, (now, then) in enumerate(zip(new.flat, before, strict=True)):
            if now is not then:
                self.value[np.unravel_index(i, new.shape)] = building.old(now)


class InstanceHolder(Holder):
    """An instance of a class written in Python."""

    def held(self, walk: Any) -> Held:
        return held_fields(self.value)

    def blank(self, building: Building) -> Any:
        cls = building.new(type(self.value))
        try:
            return object.__new__(cls)
        except TypeError:  # SimpleNamespace and its like make their instances themselves
            return type(self.value).__new__(cls)

    def fill(self, new: Any, building: Building) -> Any:
        return fill_fields(self.value, new, building)

    def returned(self, new: Any, before: Any, building: Building) -> None:
        returned_fields(self.value, new, before, building)


class ProxyHolder(Holder):
    """A read-only view of a dict."""

    mutable = False

    def held(self, walk: Any) -> Held:
        return DictHolder(dict(self.value)).held(walk)

    def made(self, building: Building) -> Any:
        return types.MappingProxyType({building.new(k): building.new(v) for k, v in self.value.items()})


# -- our own tables of arrays ------------------------------------------------------------------------------------------


class ParamsHolder(Holder):
    """The Params themselves, over which f may loop."""

    mutable = False

    def held(self, walk: Any) -> Held:
        return [(f"[{i}]", array) for i, array in enumerate(self.value)]

    def made(self, building: Building) -> Any:
        return Params._around([building.new(array) for array in self.value])


class IdTableHolder(Holder):
    """An IdDict or Grads, or a dict that holds its keys or values weakly: its keys are made anew."""

    def held(self, walk: Any) -> Held:
        for i, (key, value) in enumerate(self.value.items()):
            yield f"'s key {i}", key
            yield f"'s value {i}", value

    def blank(self, building: Building) -> Any:
        return type(self.value)()

    def fill(self, new: Any, building: Building) -> Any:
        table = new._grads if isinstance(new, Grads) else new
        table.update([(building.new(k), building.new(v)) for k, v in self.value.items()])
        return IdDict(table)  # keys are held, also those of a WeakKeyDictionary

    def returned(self, new: Any, before: Any, building: Building) -> None:
        mine = self.value._grads if isinstance(new, Grads) else self.value
        for key in before:
            if key not in new:
                del mine[building.old(key)]
        for key, value in new.items():
            if key not in before or before[key] is not value:
                mine[building.old(key)] = building.old(value)
                building.note(mine, building.old(key))


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


# -- what cannot be made anew ------------------------------------------------------------------------------------------


class Sealed(Holder):
    """What keeps its contents to itself: a generator, an object of compiled code, an array over some of the memory."""

    sealed = True

    def __init__(self, value: Any, why: str = ""):
        super().__init__(value)
        self.why = why or f"{_named(value)}, which cannot be made anew around a traced array"

    def held(self, walk: Any) -> Held:
        value = self.value
        if isa(value, (weakref.ref, ContextVar)):
            try:
                yield "'s value", value() if isa(value, weakref.ref) else value.get()
            except LookupError:
                return
        if isa(value, weakref.ProxyTypes):
            yield "'s value", value.__str__.__self__
            return
        if isa(value, memoryview):
            yield ".obj", value.obj
        if not isa(value, np.ndarray):
            for part in gc.get_referents(value):
                if not isa(part, (types.ModuleType, types.FrameType, types.TracebackType, types.CodeType)):
                    yield "'s inside", part
            for name in ("__wrapped__", "__self__", "base"):
                try:
                    held = getattr(value, name, None)
                except Exception:  # what a compiled object says when it is asked for something that it has not
                    continue
                if held is not None and not isa(held, types.ModuleType):
                    yield f".{name}", held

    def blank(self, building: Building) -> Any:
        return Unusable(building.refusal(self))


def _named(value: Any) -> str:
    kind = type(value)
    if isinstance(value, types.GeneratorType):
        return f"the generator {value.__name__}"
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"a value of the type {module}{kind.__qualname__}"


class Unusable:
    """Stands in f for what cannot be made anew: an error at the line that uses it."""

    __slots__ = ("_refusal",)

    def __init__(self, refusal: Callable[[], str]):
        object.__setattr__(self, "_refusal", refusal)

    def __getattribute__(self, name: str) -> Any:
        _refuse(self)


def _refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise UnsupportedError(f"{object.__getattribute__(self, '_refusal')()} ({user_line()})")


for _name in (
    *("call", "iter", "next", "len", "getitem", "setitem", "contains", "bool", "float", "int", "index", "array"),
    *("array_ufunc", "array_function", "enter", "exit", "await", "eq", "ne", "lt", "le", "gt", "ge", "neg", "abs"),
    *("hash", "repr", "str", "setattr", "delattr", "format", "dir", "reduce_ex", "instancecheck"),
    *[side + op for op in ("add", "sub", "mul", "truediv", "matmul", "pow", "mod", "floordiv") for side in ("", "r")],
    *("iadd", "isub", "imul", "itruediv", "and", "or", "rand", "ror"),
):
    setattr(Unusable, f"__{_name}__", _refuse)
