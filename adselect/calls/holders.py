"""What may hold an array that f reaches, one class a kind: what it holds, how it is made anew, what was written to it.

A holder is made anew in two steps, ``blank`` and ``fill``, so that it may hold itself; what cannot be changed once it
is there (a tuple, a bound method) in one, ``made``. ``returned`` carries what f has written to the new one over to the
user's own. The kinds themselves stand in ``container_holders.py`` and ``code_holders.py``.
"""

from __future__ import annotations

import functools
import gc
import types
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..frameworks import PACKAGES
from ..structure.opening import CLOSED_PACKAGES
from ..values.kinds import isa
from ..values.natives import is_native
from ..values.tangents import field_names

if TYPE_CHECKING:
    from .rebuilding import Building

__all__ = [
    "HEAP_TYPE",
    "PLAIN",
    "Held",
    "Holder",
    "Sealed",
    "Unusable",
    "cached_names",
    "fill_fields",
    "held_fields",
    "is_closed",
    "returned_entries",
    "returned_fields",
    "values_of",
]

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


# This library, and what pytest writes into every function that asserts.
_TOOLS = frozenset({"adselect", "pytest", "_pytest", "pluggy", "hypothesis"})


def is_closed(module: Any) -> bool:
    """Whether a module belongs to Python, NumPy and the like, or to this library: what is in there is not entered."""
    if not isinstance(module, str):  # a descriptor, in classes that say something of their own
        return False
    package = module.partition(".")[0]
    return package in CLOSED_PACKAGES or package in PACKAGES or package in _TOOLS


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
        if not isa(value, np.ndarray) and not is_native(value):
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
