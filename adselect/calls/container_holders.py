"""Containers that may hold an array: Python's own and what is derived from them, instances, our tables of arrays."""

from __future__ import annotations

import types
from collections import OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any

import numpy as np

from ..structure.grads import Grads
from ..structure.params import Params
from ..values.identity import IdDict
from .holders import PLAIN, Held, Holder, fill_fields, held_fields, returned_entries, returned_fields, values_of

if TYPE_CHECKING:
    from .rebuilding import Building

__all__ = [
    "DictHolder",
    "IdTableHolder",
    "InstanceHolder",
    "ListHolder",
    "ObjectArrayHolder",
    "ParamsHolder",
    "ProxyHolder",
    "SetHolder",
    "TupleHolder",
]


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
        kind: Any = type(self.value)
        cls = building.new(kind)
        try:
            return object.__new__(cls)
        except TypeError:  # SimpleNamespace and its like make their instances themselves
            return kind.__new__(cls)

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
