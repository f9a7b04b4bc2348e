"""What f captures, watched: a prepared call does not ask f itself, so somebody has to look whether f is still the same.

A :class:`Watch` walks from f through closure variables, the globals its code names, attributes, containers and the
functions they hold, and remembers what it found there. Its test ``holds`` is one generated expression: a comparison of
identities for each name, and the bytes of each array up to 1 MiB. Of larger ones it compares a sample, and
:meth:`Watch.changes` a fingerprint.
"""

from __future__ import annotations

import copy
import functools
import operator
import os
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from ..face.watching import fingerprint
from ..structure.leaves import Const
from ..structure.opening import CLOSED_PACKAGES, opens
from ..values.kinds import isa
from ..values.natives import is_native
from ..values.tangents import field_names
from .fixed import code_names, frozen, global_names, imported_names, is_setting
from .implicit import ImplicitFunction

__all__ = ["FAILURES", "Change", "Watch", "classes_of"]

FAILURES = "(LookupError, AttributeError, ValueError)"
_MOST = 256  # places that are watched
_LONGEST = 4096  # entries of a container that is
_FEW = 64  # entries up to which a container is compared by identities
_COPIED = 4096  # bytes of an array up to which a copy is as fast to compare as the memory itself
_WHOLE = 2**20  # bytes of an array up to which all of it is compared in every call
_SAMPLE = 16  # entries of a larger array


class Change(NamedTuple):
    """Something that is not what it was: its name, "rebound" or "modified", and a sentence for people."""

    name: str
    how: str
    text: str


class _Slot:
    """A place that holds a value: ``text`` is the test that it still does, with the names that the test needs."""

    name: str

    def text(self, names: dict[str, Any]) -> str:
        raise NotImplementedError

    def change(self, whole: bool) -> Change | None:
        raise NotImplementedError

    def changed(self) -> set[str]:
        """The names of what is not as it was."""
        return set() if self.change(True) is None else {self.name}

    def without(self, names: set[str]) -> list[_Slot]:
        """What to watch when f itself changes what has these names."""
        return [] if self.name in names else [self]

    def is_filled(self) -> bool:
        """Whether something is here now where nothing was, as in a cache."""
        return False


def _named(names: dict[str, Any], value: Any) -> str:
    name = f"n{len(names)}"
    names[name] = value
    return name


class _Entry(_Slot):
    """One name: a closure variable, a global, an attribute, an entry of a dict."""

    def __init__(self, name: str, read: Callable[[], Any], write: Callable[[dict], str], place: tuple):
        self.name, self.read, self.write, self.place = name, read, write, place
        self.value = read()

    def text(self, names: dict[str, Any]) -> str:
        return f"{self.write(names)} is {_named(names, self.value)}"

    def change(self, whole: bool) -> Change | None:
        try:
            now = self.read()
        except (LookupError, AttributeError, ValueError):
            return Change(self.name, "rebound", f"{self.name} was deleted")
        if now is self.value:
            return None
        if is_setting(now) and is_setting(self.value) and frozen(now) == frozen(self.value):
            self.value = now  # the same number again
            return None
        shown = f" (from {self.value!r} to {now!r})" if is_setting(now) and is_setting(self.value) else ""
        return Change(self.name, "rebound", f"{self.name} was rebound{shown}")

    def is_filled(self) -> bool:
        return self.value is None and self.change(True) is not None


def _of_cell(name: str, cell: Any) -> _Entry:
    return _Entry(name, lambda: cell.cell_contents, lambda names: f"{_named(names, cell)}.cell_contents", (id(cell),))


def _of_mapping(name: str, mapping: Any, key: Any) -> _Entry:
    write = lambda names: f"{_named(names, mapping)}.get({_named(names, key)})"
    return _Entry(name, lambda: mapping[key], write, (id(mapping), key))


def _of_slot(name: str, value: Any, field: str) -> _Entry:
    return _Entry(
        name, lambda: getattr(value, field), lambda names: f"{_named(names, value)}.{field}", (id(value), field)
    )


class _Entries(_Slot):
    """All entries of a list or dict, or all attributes of an object."""

    def __init__(self, name: str, container: Any, pattern: str):
        self.name, self.container, self.pattern = name, container, pattern
        self.keys, self.values = self._now()

    def _now(self) -> tuple[tuple, tuple]:
        c = self.container
        if isinstance(c, (set, frozenset)):
            return tuple(c), tuple(c)
        return (tuple(c), tuple(c.values())) if isinstance(c, dict) else (tuple(range(len(c))), tuple(c))

    def text(self, names: dict[str, Any]) -> str:
        c = _named(names, self.container)
        if not self.keys:
            return f"not {c}"
        names["all_"], names["is_"] = all, operator.is_
        if isinstance(self.container, (set, bytearray)) or len(self.keys) > _FEW:
            # Identity comes first here, too, and what is no number and not the same is different or cannot be told.
            return f"{c} == {_named(names, copy.copy(self.container))}"
        if isinstance(self.container, dict):
            same_keys = f"tuple({c}) == {_named(names, self.keys)}"
            return f"{same_keys} and all_(map(is_, {c}.values(), {_named(names, self.values)}))"
        return f"len({c}) == {len(self.keys)} and all_(map(is_, {c}, {_named(names, self.values)}))"

    def _changed(self) -> list:
        keys, values = self._now()
        then, now = dict(zip(self.keys, self.values, strict=True)), dict(zip(keys, values, strict=True))
        found = [k for k in then if k not in now] + [k for k in now if k not in then]
        for key in then.keys() & now.keys():
            a, b = then[key], now[key]
            if a is not b and not (is_setting(a) and is_setting(b) and frozen(a) == frozen(b)):
                found.append(key)
        if not found and keys == self.keys:
            self.keys, self.values = keys, values
        return found or ([self.keys[0]] if keys != self.keys else [])

    def change(self, whole: bool) -> Change | None:
        found = self._changed()
        if not found:
            return None
        names = ", ".join(map(self._of, found[:3]))
        return Change(names, "rebound", f"{names} was rebound")

    def changed(self) -> set[str]:
        found = self._changed()
        if not isinstance(self.container, dict):
            return {self.name} if found else set()
        # Keys that are new may be others after each call.
        return {self._of(k) if k in self.keys else self.name for k in found}

    def _of(self, key: Any) -> str:
        return self.pattern.format(self.name, key)

    def without(self, names: set[str]) -> list[_Slot]:
        if self.name not in names and names.isdisjoint(map(self._of, self.keys)):
            return [self]
        if not isinstance(self.container, dict):
            return []  # a list that f appends to
        kept = [k for k in self.keys if k in self.container and self._of(k) not in names]
        return [_of_mapping(self._of(k), self.container, k) for k in kept]

    def is_filled(self) -> bool:
        return isinstance(self.container, dict) and any(key not in self.keys for key in self.container)


class _Contents(_Slot):
    """What an array holds."""

    def __init__(self, name: str, array: np.ndarray):
        self.name, self.array = name, array
        self.large = array.nbytes > _WHOLE
        self.looked_at = _sampled(array) if self.large else array
        self.bytes = self.looked_at.tobytes()
        self.held = list(array.flat) if array.dtype == object else None  # their addresses are compared
        self.sum = self.checksum() if self.large else None
        self.memory = None
        if _COPIED < array.nbytes <= _WHOLE and array.flags.c_contiguous and not self.held:
            self.memory = array.reshape(-1).view(np.uint8)

    def checksum(self) -> Any:
        return hash(self.array.tobytes()) if self.held else fingerprint(self.array)

    def text(self, names: dict[str, Any]) -> str:
        if self.memory is None:
            return f"{_named(names, self.looked_at)}.tobytes() == {_named(names, self.bytes)}"
        # The only comparison of two memories in Python that copies neither.
        return f"{_named(names, bytearray(self.bytes).__eq__)}({_named(names, self.memory)})"

    def change(self, whole: bool) -> Change | None:
        if self.looked_at.tobytes() == self.bytes and not (whole and self.large and self.checksum() != self.sum):
            return None
        return Change(self.name, "modified", f"the array {self.name} was modified")


def _sampled(array: np.ndarray) -> np.ndarray:
    """A view of a few entries, spread over the array."""
    flat = array.view()
    if array.flags.c_contiguous:
        flat.shape = (array.size,)
    most = max(1, int(_SAMPLE ** (1 / flat.ndim)))
    return flat[tuple([slice(n % most, None, max(1, n // most)) for n in flat.shape])]


class Watch:
    """What ``roots`` (values by name) reach, as it is now, and what the methods of ``classes`` do."""

    def __init__(self, roots: dict[str, Any], classes: frozenset[type] = frozenset()):
        self.roots, self.classes = roots, classes
        self.slots: list[_Slot] = _Walk(roots, classes).slots
        self.scratch = ""  # the name of a large array that f itself writes to
        self.version = 0  # of the test
        self._compile()

    holds: Callable[[], bool]  # whether nothing has changed, as far as a short look tells
    test: str  # the same as an expression, which may raise one of FAILURES where a name is gone
    names: dict[str, Any]  # what stands in the expression

    def _compile(self) -> None:
        self.version += 1
        names: dict[str, Any] = {}
        self.test = " and ".join([slot.text(names) for slot in self.slots])
        self.names = dict(names)
        lines = ["def holds():", f"    try: return {self.test or True}", f"    except {FAILURES}: return False"]
        exec(compile("\n".join(lines), "<what f captures>", "exec"), names)
        self.holds = names["holds"]

    def changes(self, whole: bool = False) -> list[Change]:
        """What is not as it was; whole: all entries of large arrays, too."""
        found = [change for slot in self.slots if (change := slot.change(whole)) is not None]
        if not found and not self.holds():
            self._compile()  # the same numbers in other objects
        return found

    def changed(self) -> set[str]:
        """The names of the places that are not as they were."""
        return {name for slot in self.slots for name in slot.changed()}

    def forget(self, names: set[str]) -> None:
        """f itself writes to these: watch them no longer, but of a dict or an object only what has not changed."""
        kept: list[_Slot] = []
        for slot in self.slots:
            if slot.name in names and isinstance(slot, _Contents) and slot.array.nbytes > _COPIED:
                self.scratch = slot.name
            kept.extend(slot.without(names))
        if names or not self.holds():
            self.slots = kept
            self._compile()

    def renewed(self) -> Watch:
        """The same places, as they are now."""
        return Watch(self.roots, self.classes)

    def settled(self, call: Callable[[], Any]) -> Watch:
        """The watch to go on with when f has just been called; call calls it once more.

        What f set up then (a cache) is watched from now on, what it changes each time (a counter, a history) is not.
        """
        if not any(slot.is_filled() for slot in self.slots):
            self.forget(self.changed() - {slot.name for slot in self.slots if isinstance(slot, _Contents)})
            return self
        watch = self.renewed()
        try:
            call()
        except Exception:  # f does not take its arguments any more
            watch.forget(self.changed())
        watch.forget(watch.changed())
        return watch


def classes_of(values: Any) -> frozenset[type]:
    """The users' classes of objects among values, in their containers and fields and in what functions captured."""
    found: set[type] = set()
    pending, seen = [values], set()
    while pending and len(seen) < _LONGEST:
        value = pending.pop()
        if id(value) in seen or is_setting(value) or isa(value, np.ndarray):
            continue
        seen.add(id(value))
        if isinstance(value, Const):
            pending.append(value.value)
        elif isinstance(value, (tuple, list, set, deque)):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, types.MethodType):
            pending.append(value.__self__)
        elif isinstance(value, functools.partial):
            pending.extend((value.func, value.args, value.keywords))
        elif opens(value) and not is_native(value):
            found.add(type(value))
            pending.extend([getattr(value, name, None) for name in field_names(value)])
    return frozenset(found)


class _Walk:
    """Breadth first from the roots; each value once."""

    def __init__(self, roots: dict[str, Any], classes: frozenset[type]):
        self.slots: list[_Slot] = []
        self.seen: set[int] = set()
        self.named: set[str] = {"__call__"}  # in the code of the functions met so far
        self.waiting: list[tuple[str, type, Any]] = []  # methods whose name has not come up yet
        self.modules: set[tuple[int, int]] = set()
        self.places: set[tuple] = set()
        self.alive: list = []
        pending: list[tuple[str, Any]] = []
        for cls in classes:
            pending.extend(self._class(cls.__name__, cls, attributes=False))
        pending = [*roots.items(), *pending]
        for root in roots.values():
            if isinstance(root, ImplicitFunction):  # parameters are new with each call, and arguments
                self.seen.update(map(id, root.inputs))
        while pending and len(self.slots) < _MOST:
            name, value = pending.pop(0)
            if id(value) in self.seen or is_setting(value) or isinstance(value, types.ModuleType):
                continue
            self.seen.add(id(value))
            self.alive.append(value)
            pending.extend(self._entered(name, value))

    def _watch(self, slot: _Entry) -> Iterator[tuple[str, Any]]:
        if not isinstance(slot.value, types.ModuleType) and slot.place not in self.places:
            self.places.add(slot.place)
            self.slots.append(slot)
            yield slot.name, slot.value

    def _entered(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isa(value, np.ndarray):
            if value.size:
                self.slots.append(_Contents(name, value))
        elif isinstance(value, types.FunctionType):
            yield from self._function(name, value)
        elif isinstance(value, types.MethodType):
            yield name, value.__func__
            yield "self", value.__self__
        elif isinstance(value, functools.partial):
            yield name, value.func
            yield from [(f"{name}.args[{i}]", v) for i, v in enumerate(value.args)]
            yield from self._all(f"{name}.keywords", value.keywords, "{}[{!r}]")
        elif isinstance(value, tuple):
            yield from [(f"{name}[{i}]", v) for i, v in enumerate(value)]
        elif isinstance(value, (list, dict, set, deque, bytearray)):
            yield from self._all(name, value, "{}[{!r}]")
        elif isinstance(value, memoryview):
            yield name, np.frombuffer(value, np.uint8) if value.contiguous else value.obj
        elif isinstance(value, ContextVar):
            write = lambda names: f"{_named(names, value)}.get()"
            yield from self._watch(_Entry(name, value.get, write, (id(value),)))
        elif isinstance(value, type):
            yield from self._class(name, value)
        elif hasattr(value, "__wrapped__"):
            yield name, value.__wrapped__
        elif opens(value):
            yield from self._object(name, value)

    def _all(self, name: str, container: Any, pattern: str) -> Iterator[tuple[str, Any]]:
        if len(container) > _LONGEST:
            return
        slot = _Entries(name, container, pattern)
        self.slots.append(slot)
        for key, value in zip(slot.keys, slot.values, strict=True):
            yield pattern.format(name, key), value

    def _function(self, name: str, f: types.FunctionType) -> Iterator[tuple[str, Any]]:
        self.named |= code_names(f.__code__)
        waiting, self.waiting = self.waiting, []
        for method in waiting:
            yield from self._method(*method)
        for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            try:
                yield from self._watch(_of_cell(variable, cell))
            except ValueError:  # not bound yet
                continue
        if f.__defaults__:
            yield from self._watch(_of_slot(f"{name}.__defaults__", f, "__defaults__"))
        for mapping in (f.__kwdefaults__, f.__dict__):
            if mapping:
                yield from self._all(name, mapping, "{}.{}")
        for variable in global_names(f):
            value = f.__globals__[variable]
            if isinstance(value, types.ModuleType):
                yield from self._module(variable, value, f)
            else:
                yield from self._watch(_of_mapping(variable, f.__globals__, variable))
        if not self.named.isdisjoint(("environ", "getenv")):
            yield "os.environ", getattr(os.environ, "_data", None)
        for module in imported_names(f):
            if module in sys.modules:
                yield from self._module(module, sys.modules[module], f)

    def _module(self, name: str, module: types.ModuleType, f: types.FunctionType) -> Iterator[tuple[str, Any]]:
        """The attributes of a user's module that the code of f names."""
        key = (id(module), id(f.__code__))
        if _is_closed(module.__name__) or key in self.modules:
            return
        self.modules.add(key)
        held = vars(module)
        for attribute in sorted(code_names(f.__code__) & held.keys()):
            value = held[attribute]
            if isinstance(value, types.ModuleType):
                yield from self._module(f"{name}.{attribute}", value, f)
            else:
                yield from self._watch(_of_mapping(f"{name}.{attribute}", held, attribute))

    def _object(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        state = getattr(value, "__dict__", None)
        if state is not None:
            yield from self._all(name, state, "{}.{}")
        for field in field_names(value):
            if state is None or field not in state:
                yield from self._watch(_of_slot(f"{name}.{field}", value, field))
        yield type(value).__name__, type(value)

    def _class(self, name: str, cls: type, attributes: bool = True) -> Iterator[tuple[str, Any]]:
        """What the users' classes among the bases hold, and the functions of theirs that some code names."""
        if type(cls) is not type:
            yield type(cls).__name__, type(cls)
        for base in cls.__mro__:
            if _is_closed(base.__module__) or base is object or (base is not cls and id(base) in self.seen):
                continue
            self.seen.add(id(base))
            self.alive.append(base)
            for attribute, held in list(vars(base).items()):
                function = getattr(held, "fget", None) or getattr(held, "__func__", held)
                if isinstance(function, types.FunctionType):
                    yield from self._method(attribute, base, function)
                elif attributes and not attribute.startswith(("__", "_abc_")) and not isinstance(held, _DESCRIPTORS):
                    yield from self._watch(_of_mapping(f"{base.__name__}.{attribute}", vars(base), attribute))

    def _method(self, attribute: str, base: type, function: Any) -> Iterator[tuple[str, Any]]:
        name = f"{base.__name__}.{attribute}"
        if attribute in self.named:
            yield from self._watch(_of_mapping(name, vars(base), attribute))
            yield name, function
        elif attribute.startswith("__"):
            yield name, function
        else:
            self.waiting.append((attribute, base, function))


# What a class statement makes of __slots__, and what C code gives.
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.MethodDescriptorType)


def _is_closed(module: str) -> bool:
    package = module.partition(".")[0]
    return package in CLOSED_PACKAGES or package == "adselect"
