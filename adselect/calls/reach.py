"""What f reaches: closures, globals that its code names, attributes, containers; and what of it leads to arrays."""

from __future__ import annotations

import functools
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..face.array import Array
from ..structure.grads import Grads
from ..structure.opening import opens
from ..structure.params import Params
from ..values.identity import IdDict
from ..values.kinds import isa
from ..values.natives import is_native, natives_of
from .array_views import Memory, bounds_of, view_of
from .code_holders import (
    CacheHolder,
    CellHolder,
    ClassHolder,
    DescriptorHolder,
    FunctionHolder,
    MethodHolder,
    ModuleHolder,
    PartialHolder,
    names_of,
    stored_names,
)
from .container_holders import (
    DictHolder,
    IdTableHolder,
    InstanceHolder,
    ListHolder,
    ObjectArrayHolder,
    ParamsHolder,
    ProxyHolder,
    SetHolder,
    TupleHolder,
)
from .fixed import global_names, is_closed_function
from .holders import HEAP_TYPE, PLAIN, Holder, Sealed, is_closed
from .installed import holds, is_installed

__all__ = ["Reach", "holder_of"]

_CACHE = type(functools.lru_cache(int))
_KINDS: dict[type, type[Holder]] = {
    list: ListHolder,
    deque: ListHolder,
    dict: DictHolder,
    tuple: TupleHolder,
    set: SetHolder,
    frozenset: SetHolder,
    types.FunctionType: FunctionHolder,
    types.CellType: CellHolder,
    types.ModuleType: ModuleHolder,
    types.MethodType: MethodHolder,
    types.MethodWrapperType: MethodHolder,
    types.MappingProxyType: ProxyHolder,
    functools.partial: PartialHolder,
    functools.partialmethod: PartialHolder,
    functools.cached_property: DescriptorHolder,
    property: DescriptorHolder,
    staticmethod: DescriptorHolder,
    classmethod: DescriptorHolder,
    _CACHE: CacheHolder,
    Params: ParamsHolder,
    IdDict: IdTableHolder,
    Grads: IdTableHolder,
    weakref.WeakKeyDictionary: IdTableHolder,
    weakref.WeakValueDictionary: IdTableHolder,
}
# What holds nothing that a value could be computed from.
_EMPTY = (str, bytes, bytearray, int, float, complex, type(None), np.generic, np.dtype, types.CodeType, Array)
_NOT_ENTERED = frozenset(
    {"logging", "threading", "_thread", "io", "_io", "socket", "concurrent", "multiprocessing", "asyncio", "_asyncio"}
    | {"unittest", "warnings", "numpy.random", "random", "queue", "_queue", "re", "subprocess"}
)
_MOST_ALIKE = 1000
_MAIN_MEMORY = 1  # as DLPack counts devices
_OPEN_ANYWAY = frozenset({"collections", "argparse", "contextlib"})  # classes of Python's written in Python


def holder_of(value: Any) -> Holder | None:
    """What value may hold others as; None for what holds none."""
    cls = type(value)
    kind = _KINDS.get(cls)
    if kind is not None:
        return None if cls is tuple and PLAIN.issuperset(map(type, value)) else kind(value)
    if issubclass(cls, _EMPTY) or is_native(value):
        return None
    if issubclass(cls, np.ndarray):
        return ObjectArrayHolder(value) if value.dtype == object else None
    if issubclass(cls, types.BuiltinFunctionType):
        held = value.__self__
        return None if held is None or isa(held, (types.ModuleType, type)) else MethodHolder(value)
    if issubclass(cls, types.ModuleType):
        return ModuleHolder(value)
    if issubclass(cls, type):
        if is_closed(value.__module__) or not value.__flags__ & HEAP_TYPE:
            return None
        return Sealed(value, f"the enumeration {value.__name__}") if _is_enumeration(value) else ClassHolder(value)
    if cls.__module__.partition(".")[0] in _NOT_ENTERED or cls.__module__.startswith("numpy.random"):
        return None if cls.__name__ != "_local" else Sealed(value)
    return _of_instance(value)


def _of_instance(value: Any) -> Holder:
    cls = type(value)
    own = cls.__module__.partition(".")[0] in _OPEN_ANYWAY
    if own or opens(value):
        for base in (list, deque, dict, tuple, functools.partial, property, staticmethod, classmethod):
            if issubclass(cls, base):
                return _KINDS[base](value)
        if issubclass(cls, (set, frozenset, functools.cached_property)) or (
            own and not isinstance(getattr(value, "__dict__", None), dict)
        ):
            return Sealed(value)
        return InstanceHolder(value)
    return Sealed(value)


def _is_enumeration(cls: type) -> bool:
    return any(c.__module__ == "enum" for c in cls.__mro__)


class Reach:
    """What f reaches, and which of it leads to the given arrays.

    ``reached`` says of each array whether f can be made anew around another one in its place.
    """

    def __init__(self, f: Any, arrays: list):
        self.root, self.arrays = f, arrays
        self.places = {id(a): i for i, a in enumerate(arrays)}
        self.memories = [Memory(a) for a in arrays if isa(a, np.ndarray) and a.size and not isinstance(a, Array)]
        self.holders: dict[int, Holder] = {}
        self.above: dict[int, list[int]] = {}  # who holds a value
        self.first: dict[int, tuple[int, str]] = {}  # who was found to hold it first, and the text that leads there
        self.views: dict[int, tuple[Any, int, Callable[[Any], Any]]] = {}  # arrays that show the memory of a given one
        self.alike: list[tuple[np.ndarray, int, str]] = []  # other arrays, and who holds them
        self.overlaps: dict[int, Sealed] = {}  # of arrays, by place: others over their memory that are no such views
        self.names: set[str] = {"__call__"}  # in the code met so far
        self.any_name = False
        self.codes: set[types.CodeType] = set()
        self._alive: list = []
        self._entered: dict[str, bool] = {}  # by package
        self._walk()
        seen = self._open_ways()
        self.leading = {key: holder for key, holder in self._leading().items() if key in seen}
        shown = {place for key, (_, place, _) in self.views.items() if key in seen}
        self.reached = [id(a) in seen or i in shown for i, a in enumerate(arrays)]

    # -- the walk ----------------------------------------------------------------------------------------------------

    def read(self, code: types.CodeType) -> None:
        """Note the names in the code of a function that f reaches."""
        if code not in self.codes:
            self.codes.add(code)
            names, by_text = names_of(code)
            self.names |= names
            self.any_name = self.any_name or by_text

    def enters(self, module: Any) -> bool:
        """Whether the code of a module is read: an installed package's only where f, or one of the arrays, lives in it.

        Its functions reach thousands of others, and none of them an array that the package does not hold.
        """
        package = module.partition(".")[0] if isinstance(module, str) else ""
        found = self._entered.get(package)
        if found is None:
            if is_closed(module) and package != "adselect":
                self._entered[package] = False
                return False
            home = (getattr(self.root, "__module__", None) or type(self.root).__module__).partition(".")[0]
            found = package == home or not is_installed(package) or holds(package, self.arrays)
            self._entered[package] = found
        return found

    def name(self, name: str) -> None:
        """Note the name of a method that f reaches."""
        self.names.add(name)

    def _walk(self) -> None:
        pending: deque = deque()
        self._meet(self.root, None, "f", pending)
        self.above[id(self.root)] = []
        by_name: list[Holder] = []
        known = -1
        while True:
            while pending:
                holder = pending.popleft()
                if hasattr(holder, "by_name"):
                    by_name.append(holder)
                self._expand(holder, pending)
            if known == len(self.names) + self.any_name:
                return
            known = len(self.names) + self.any_name
            for holder in by_name:
                self._expand(holder, pending)

    def _expand(self, holder: Holder, pending: deque) -> None:
        try:
            held = list(holder.held(self))
        except Exception:  # an object whose attributes are not what they seem
            holder = self.holders[id(holder.value)] = Sealed(holder.value)
            held = list(holder.held(self))
        for text, value in held:
            self._meet(value, holder, text, pending)

    def _meet(self, value: Any, holder: Holder | None, text: str, pending: deque) -> None:
        key = id(value)
        if holder is not None:
            above = self.above.get(key)
            if above is not None:
                above.append(id(holder.value))
                return
        if key in self.places:
            found = None
        elif isa(value, np.ndarray) and not isinstance(value, Array) and value.dtype != object:
            found = self._array(value, holder, text)
            if found is None and key not in self.views:
                return
        else:
            found = self._native(value) if is_native(value) else holder_of(value)
            if found is None:
                return
        if holder is not None:
            self.above[key] = [id(holder.value)]
            self.first[key] = (id(holder.value), text)
        self._alive.append(value)
        if found is not None:
            self.holders[key] = found
            pending.append(found)

    def _array(self, array: np.ndarray, holder: Holder | None, text: str) -> Holder | None:
        """A plain array that f reaches: a view of a given one is noted, what shares its memory otherwise is sealed."""
        if not array.size or not self.memories:
            return None
        low, high = bounds_of(array)
        for memory in self.memories:
            if memory.meets(array, low, high):
                way, place = view_of(memory.array, array), self.places[id(memory.array)]
                if way is not None:
                    self.views[id(array)] = (array, place, way)
                    return None
                said = "which is no view of it that can be written as slices and a transposition"
                sealed = Sealed(array, f"an array of shape {array.shape} over the same memory, {said}")
                self.overlaps.setdefault(place, sealed)
                return sealed
        if len(self.alike) < _MOST_ALIKE and holder is not None:
            self.alike.append((array, id(holder.value), text))
        return None

    def _native(self, value: Any) -> Holder | None:
        """A framework's own array, where it can be written to and lies over the memory of a given one."""
        natives: Any = natives_of(value)
        if not self.memories or natives.is_tracer(value):
            return None
        try:
            here = value.__dlpack_device__()[0] == _MAIN_MEMORY
            array = natives.to_numpy(value) if here else None
        except Exception:  # what frameworks say of arrays that they do not show
            return None
        if not isa(array, np.ndarray) or not array.flags.writeable or not array.size:
            return None
        low, high = bounds_of(array)
        for memory in self.memories:
            if memory.meets(array, low, high):
                sealed = Sealed(value, f"a {type(value).__name__} over the same memory")
                self.overlaps.setdefault(self.places[id(memory.array)], sealed)
                return sealed
        return None

    # -- what leads to the arrays ------------------------------------------------------------------------------------

    def _upwards(self, keys: set[int]) -> set[int]:
        """All that hold one of these, or one that does."""
        found, pending = set(keys), list(keys)
        while pending:
            for key in self.above.get(pending.pop(), ()):
                if key not in found:
                    found.add(key)
                    pending.append(key)
        return found

    def _leading(self) -> dict[int, Holder]:
        """Everything that has to be made anew.

        Beyond what leads to an array: functions that share a global variable with one of these, where one of them sets
        it, and modules whose functions are made anew, since these have a copy of the globals.
        """
        sealed = {
            id(h.value) for h in self.holders.values() if h.sealed and (isa(h.value, np.ndarray) or is_native(h.value))
        }
        found = self._upwards({*self.places, *self.views, *sealed})
        functions = [h for h in self.holders.values() if isinstance(h, FunctionHolder)]
        modules = [h for h in self.holders.values() if isinstance(h, ModuleHolder)]
        writers = [h for h in functions if stored_names(h.value.__code__)]
        while True:
            made = [h.value for h in functions if id(h.value) in found]
            copied = {id(f.__globals__) for f in made}
            more = {id(m.value) for m in modules if id(vars(m.value)) in copied} - found
            copied |= {id(vars(m.value)) for m in modules if id(m.value) in found}
            for writer in writers:
                if id(writer.value.__globals__) in copied:
                    more |= self._sharing(writer.value, functions)
            more -= found
            if not more:
                return {key: self.holders[key] for key in found if key in self.holders}
            found = self._upwards(found | more)

    def _sharing(self, writer: Any, functions: list) -> set[int]:
        """The writer of a global variable, and the functions that read or write it."""
        stored, found = stored_names(writer.__code__), {id(writer)}
        for holder in functions:
            f = holder.value
            if f.__globals__ is writer.__globals__ and not stored.isdisjoint(
                {*global_names(f), *stored_names(f.__code__)}
            ):
                found.add(id(f))
        return found

    def _open_ways(self) -> set[int]:
        """All that f reaches by ways that can be made anew."""
        below: dict[int, list[int]] = {}
        for key, above in self.above.items():
            for holder in above:
                below.setdefault(holder, []).append(key)
        found, pending = {id(self.root)}, [id(self.root)]
        while pending:
            key = pending.pop()
            if key in self.holders and not self.holders[key].sealed:
                more = set(below.get(key, ())) - found
                found |= more
                pending.extend(more)
        return found

    # -- in words ----------------------------------------------------------------------------------------------------

    def path(self, key: int) -> str:
        """How f reaches a value, as text."""
        texts: list[str] = []
        while key in self.first and len(texts) < 12:
            key, text = self.first[key]
            texts.append(text)
        return "".join(["f", *reversed(texts)])

    def alike_to(self, array: Any) -> list[str]:
        """Where f reaches other arrays of the same shape and dtype, three of them at most."""
        found = [row for row in self.alike if row[0].shape == array.shape and row[0].dtype == array.dtype]
        return [self.path(key) + text for _, key, text in found[:3]]

    def is_unnamed(self, place: int) -> bool:
        """Whether an array is a global of a module that f comes from, or calls, and no code there names it."""
        array, modules = self.arrays[place], {}
        for holder in self.holders.values():
            if isinstance(holder, FunctionHolder) and not is_closed_function(holder.value):
                modules[id(holder.value.__globals__)] = holder.value.__globals__
        names = [n for held in modules.values() for n, value in list(held.items()) if value is array]
        return bool(names) and self.names.isdisjoint(names)

    def barrier(self, place: int) -> Sealed | None:
        """What stands between f and an array, where it is reached at all."""
        found = self._upwards({id(self.arrays[place])})
        behind = [h for key, h in self.holders.items() if key in found and isinstance(h, Sealed)]
        return behind[0] if behind else self.overlaps.get(place)

    def inputs(self) -> Iterator[np.ndarray]:
        """The arrays that are not fixed: the given ones and those that show their memory."""
        yield from self.arrays
        yield from [array for array, _, _ in self.views.values()]
