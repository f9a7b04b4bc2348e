"""A dict by identity: arrays are keys, which cannot be hashed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, MutableMapping
from typing import Any

from ..errors import ADSelectError

__all__ = ["IdDict", "NoEntryError"]


class NoEntryError(ADSelectError, KeyError):
    """A key that is not there, by identity; says what is."""

    def __str__(self) -> str:  # KeyError shows the repr of its text
        return str(self.args[0]) if self.args else ""


class IdDict(MutableMapping):
    """``IdDict(pairs)``: a dict whose keys are compared by ``is``, so that arrays can be keys.

    pairs: another IdDict or Grads, or an iterable of ``(key, value)``; the order is that of insertion. A key is kept
    alive, and is found whatever has been written into it. ``==`` compares keys and values by identity.

    Raises KeyError for an object that is not a key, an equal one included. Cost: that of a dict.

    >>> import numpy as np
    >>> W, same_numbers = np.ones(2), np.ones(2)
    >>> d = IdDict([(W, "weights")])
    >>> d[W], same_numbers in d, len(d)
    ('weights', False, 1)

    Source: Julia's ``IdDict``.
    """

    __slots__ = ("_entries",)

    def __init__(self, pairs: Any = ()):
        self._entries: dict[int, tuple[Any, Any]] = {}
        self.update(pairs)

    def update(self, pairs: Any = (), /) -> None:  # type: ignore[override]
        """Take over the entries of another IdDict or Grads, or of an iterable of pairs."""
        items: Iterable = pairs.items() if hasattr(pairs, "items") else pairs
        for key, value in items:
            self[key] = value

    def __getitem__(self, key: Any) -> Any:
        if id(key) not in self._entries:
            raise NoEntryError(f"{_shown(key)} is not a key of this IdDict of {len(self)} (keys are compared by `is`)")
        return self._entries[id(key)][1]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._entries[id(key)] = (key, value)

    def __delitem__(self, key: Any) -> None:
        if id(key) not in self._entries:
            raise NoEntryError(f"{_shown(key)} is not a key of this IdDict of {len(self)} (keys are compared by `is`)")
        del self._entries[id(key)]

    def __contains__(self, key: Any) -> bool:
        return id(key) in self._entries

    def __iter__(self) -> Iterator[Any]:
        return iter([key for key, _ in self._entries.values()])

    def __len__(self) -> int:
        return len(self._entries)

    def keys(self) -> KeysView:
        """The keys, in the order of insertion."""
        return _Keys(self)

    def values(self) -> list:  # type: ignore[override]
        """The values, in the order of the keys."""
        return [value for _, value in self._entries.values()]

    def items(self) -> list:  # type: ignore[override]
        """Pairs of key and value."""
        return list(self._entries.values())

    def copy(self) -> IdDict:
        """The same keys and values in another IdDict."""
        return IdDict(self)

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, IdDict):
            return NotImplemented
        mine, theirs = self._entries, other._entries
        return mine.keys() == theirs.keys() and all(value is theirs[i][1] for i, (_, value) in mine.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join([f"({_shown(key)}, {value!r})" for key, value in self.items()])
        return f"IdDict([{shown}])"


class _Keys(KeysView):
    """Keys by identity: ``in`` asks for the object itself."""

    def __repr__(self) -> str:
        return f"<{len(self)} keys by identity>"


def _shown(key: Any) -> str:
    shape = getattr(key, "shape", None)
    if shape is None:
        return f"this {type(key).__name__}"
    return f"this {getattr(key, 'dtype', '')} array of shape {tuple(shape)}"
