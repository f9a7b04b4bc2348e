"""f made anew around other arrays: the same program with values in the place of arrays that it reaches.

:class:`Building` makes what leads to the arrays, and nothing else, anew for one call: function objects of the same
code, containers, instances. Nothing of the user's is changed by it; what f itself writes to something that was made
anew is carried over to the user's own when the call is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .code_holders import CellHolder, ClassHolder, FunctionHolder, ModuleHolder, globals_of, names_of, stored_names
from .fixed import global_names
from .holders import Holder, Sealed
from .reach import Reach

__all__ = ["Building"]


class Building:
    """f made anew for one call, with values in the place of the arrays; ``call`` is the new f."""

    def __init__(self, reach: Reach, values: list, refusal: Callable[[Reach, Sealed], str]):
        self.reach, self._refusal = reach, refusal
        self.holders = list(reach.leading.values())
        self.written: list[tuple[Any, Any]] = []  # containers of the user's and keys, that were written to
        self.whole: set[int] = set()  # globals all of whose entries are looked at
        self.patches: dict[int, Any] = {}
        self._failed: set[int] = set()  # what turned out to be sealed
        self._memo: dict[int, Any] = {id(a): v for a, v in zip(reach.arrays, values, strict=True)}
        self._old: dict[int, Any] = {id(v): a for a, v in zip(reach.arrays, values, strict=True)}
        self._views: dict[int, tuple[dict, dict]] = {}  # by id of a module's globals: these, and the copy
        self._filled: list[tuple[Holder, Any, Any]] = []
        for array, place, way in reach.views.values():
            self._put(array, way(values[place]))
        self._build()
        self.call = self.new(reach.root)

    def _put(self, old: Any, new: Any) -> None:
        self._memo[id(old)] = new
        self._old[id(new)] = old

    def _build(self) -> None:
        mutable = sorted([h for h in self.holders if h.mutable], key=_order)
        for holder in mutable:
            self._blank(holder)
        for holder in mutable:
            if not holder.sealed and id(holder.value) not in self._failed:
                new = self._memo[id(holder.value)]
                self._filled.append((holder, new, holder.fill(new, self)))
        stored: dict[int, set[str]] = {}
        for holder in self.holders:
            if isinstance(holder, FunctionHolder):
                f = holder.value
                view = self._views[id(f.__globals__)][1]
                for name in global_names(f):
                    view[name] = self.new(f.__globals__[name])
                names, by_text = names_of(f.__code__)
                stored.setdefault(id(f.__globals__), set()).update(stored_names(f.__code__))
                if by_text and not names.isdisjoint(("globals", "exec", "eval", "vars")):
                    self.whole.add(id(f.__globals__))
        self._globals = []
        for key, (real, view) in self._views.items():
            kept = view.keys() if key in self.whole else stored.get(key, set())
            self._globals.append(
                (real, view, None if key in self.whole else kept, {n: view[n] for n in kept if n in view})
            )

    def _blank(self, holder: Holder) -> Any:
        if id(holder.value) not in self._memo:
            try:
                new = holder.blank(self)
            except TypeError as error:
                self._failed.add(id(holder.value))
                why = f"a value of the type {type(holder.value).__name__}, which cannot be made anew: {error}"
                new = Sealed(holder.value, why).blank(self)
            self._put(holder.value, new)
        return self._memo[id(holder.value)]

    # -- what holders ask ----------------------------------------------------------------------------------------------

    def new(self, value: Any) -> Any:
        """What stands in the place of value."""
        key = id(value)
        if key in self._memo:
            return self._memo[key]
        holder = self.reach.leading.get(key)
        if holder is None or holder.value is not value:
            return value
        if holder.mutable:
            return self._blank(holder)
        new = holder.made(self)
        if key not in self._memo:
            self._put(value, new)
        return self._memo[key]

    def is_new(self, value: Any) -> bool:
        """Whether something else stands in the place of value."""
        return id(value) in self._memo or id(value) in self.reach.leading

    def old(self, value: Any) -> Any:
        """The user's own, of what was made anew; anything else as it is."""
        found = self._old.get(id(value), value)
        return found if self._memo.get(id(found)) is value else value

    def note(self, container: Any, key: Any) -> None:
        """Note that f has written there: a traced value is to become plain when the derivative is over."""
        self.written.append((container, key))

    def remember(self, holder: Holder, new: Any, before: Any) -> None:
        """Note that what was made in one step can be written to."""
        self._filled.append((holder, new, before))

    def refusal(self, sealed: Sealed) -> Callable[[], str]:
        """What to say where f uses what could not be made anew."""
        return lambda: self._refusal(self.reach, sealed)

    def globals_of(self, f: Any) -> dict:
        """The globals of a function made anew."""
        return self.view_of(f.__globals__)

    def view_of(self, real: dict) -> dict:
        """The copy of a module's globals, one for all its functions."""
        if id(real) not in self._views:
            self._views[id(real)] = (real, globals_of(real, self))
        return self._views[id(real)][1]

    # -- afterwards ----------------------------------------------------------------------------------------------------

    def give_back(self) -> None:
        """Carry over to the user's own what f has written to what was made anew."""
        for holder, new, before in self._filled:
            holder.returned(new, before, self)
        for real, view, names, before in self._globals:
            for name in view.keys() - {"__builtins__"} if names is None else names:
                if name in view and (name not in before or view[name] is not before[name]):
                    real[name] = self.old(view[name])
                    self.note(real, name)
            for name in before.keys() - view.keys():
                real.pop(name, None)


def _order(holder: Holder) -> int:
    """Cells before the functions that have them, functions before classes, classes before their instances."""
    for i, kind in enumerate((CellHolder, FunctionHolder, ModuleHolder, ClassHolder)):
        if isinstance(holder, kind):
            return i
    return 9
