"""What f has stored elsewhere: objects made anew, in containers that were not, are replaced by the user's own.

A registry, a cache, a log: f finds the user's own there and stores what it has at hand, which under a derivative may be
a layer that was made anew around traced arrays. After the call the layer itself stands there, as after a plain one.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..face.array import Array
from ..values.kinds import isa
from ..values.tangents import field_names
from .code_holders import CellHolder, FunctionHolder, stored_names
from .container_holders import DictHolder, IdTableHolder, InstanceHolder, ListHolder, ObjectArrayHolder, SetHolder
from .holders import PLAIN, Holder
from .reach import holder_of
from .rebuilding import Building

__all__ = ["take_out"]


def take_out(building: Building) -> bool:
    """Put the user's own in the place of what was made anew, wherever f can have stored it; whether there was any.

    Traced values are noted, to become plain when the derivative is over.
    """
    reach = building.reach
    pending = [h for key, h in reach.holders.items() if key not in reach.leading]
    seen = {id(h.value) for h in pending}
    found = False

    def meet(value: Any) -> Any:
        nonlocal found
        if type(value) in PLAIN:
            return value
        old = building.old(value)
        if old is not value:
            found = True
            return old
        if isinstance(value, Array) or id(value) in seen or id(value) in reach.above or isa(value, np.ndarray):
            return value
        seen.add(id(value))
        if isinstance(value, tuple):
            items = [meet(v) for v in tuple.__iter__(value)]
            if any(a is not b for a, b in zip(items, value, strict=True)):
                return tuple.__new__(type(value), items)
            return value
        holder = holder_of(value)  # something that f has made
        if holder is not None:
            pending.append(holder)
        return value

    for container, key in list(building.written):
        if not isinstance(container, types.CellType) and key is not None:
            value = _entry(container, key)
            own = meet(value)
            if own is not value:
                _set(container, key, own)
    while pending:
        holder = pending.pop()
        for key, value, put in _entries(holder):
            own = meet(value)
            if own is not value:
                put(key, own)
            elif isinstance(value, Array):
                building.note(*_place(holder, key))
    return found


def _entry(container: Any, key: Any) -> Any:
    try:
        return getattr(container, key) if isinstance(key, str) and not hasattr(container, "keys") else container[key]
    except (LookupError, AttributeError, TypeError):
        return None


def _set(container: Any, key: Any, value: Any) -> None:
    if isinstance(key, str) and not hasattr(container, "keys"):
        (setattr if isinstance(container, type) else object.__setattr__)(container, key, value)
    else:
        container[key] = value


def _place(holder: Holder, key: Any) -> tuple[Any, Any]:
    """A container and a key in it, for the notes."""
    value = holder.value
    if isinstance(holder, FunctionHolder):
        return value.__globals__ if key in stored_names(value.__code__) else value.__dict__, key
    if isinstance(holder, InstanceHolder) and key in getattr(value, "__dict__", ()):
        return value.__dict__, key
    return value, key


def _entries(holder: Holder) -> Iterator[tuple[Any, Any, Callable[[Any, Any], None]]]:
    """Key, value and how to set it, of what a holder holds and f can write to."""
    value = holder.value
    if isinstance(holder, ListHolder):
        if not set(map(type, value)) <= PLAIN:
            for i, v in enumerate(list(value)):
                yield i, v, value.__setitem__
    elif isinstance(holder, DictHolder):
        yield from _of_dict(value)
    elif isinstance(holder, CellHolder):
        try:
            yield None, value.cell_contents, lambda _, own: setattr(value, "cell_contents", own)
        except ValueError:
            return
    elif isinstance(holder, FunctionHolder):
        yield from _of_dict(value.__dict__)
        for name in stored_names(value.__code__) & value.__globals__.keys():
            yield name, value.__globals__[name], value.__globals__.__setitem__
    elif isinstance(holder, (InstanceHolder, IdTableHolder)):
        if isinstance(holder, IdTableHolder):
            for key, v in list(value.items()):
                yield key, v, value.__setitem__
            return
        yield from _of_dict(getattr(value, "__dict__", {}))
        for name in field_names(value):
            if name not in getattr(value, "__dict__", ()):
                yield name, getattr(value, name), lambda n, own: object.__setattr__(value, n, own)
    elif isinstance(holder, SetHolder) and isinstance(value, set):
        for v in list(value):
            yield v, v, lambda then, own: (value.discard(then), value.add(own))[0]
    elif isinstance(holder, ObjectArrayHolder):
        for i, v in enumerate(value.flat):
            yield np.unravel_index(i, value.shape), v, value.__setitem__


def _of_dict(value: dict) -> Iterator[tuple[Any, Any, Callable[[Any, Any], None]]]:
    if not set(map(type, value)) <= PLAIN:
        for key in list(value):
            yield key, key, lambda then, own: value.update([(own, value.pop(then))])
    if not set(map(type, value.values())) <= PLAIN:
        for key, v in list(value.items()):
            yield key, v, value.__setitem__
