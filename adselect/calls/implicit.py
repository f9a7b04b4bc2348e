"""A function without arguments as one of the arrays that it reaches."""

from __future__ import annotations

import functools
import inspect
import types
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError, ADSelectValueError, UnsupportedError, user_line
from ..face.array import Array
from ..structure.params import Params, array_in_words
from ..values.kinds import isa
from .holders import Sealed
from .left_behind import take_out
from .reach import Reach
from .rebuilding import Building
from .settling import settle_captured, settled

__all__ = ["ImplicitFunction"]

_MOST_WRITTEN = 10_000  # places with values of a derivative that is not over


class ImplicitFunction:
    """f, which takes no arguments, as a function of the parameters: called with arrays it is made anew around these.

    Where f reaches the parameters is found once, here; raises where it does not, or where their derivative would be
    lost. It may be called from several threads at once.
    """

    def __init__(self, operator: str, f: Callable, params: Params, kwargs: dict):
        self.operator, self.given, self.params, self.kwargs = operator, f, params, kwargs
        _check_call(operator, f, kwargs)
        self.__wrapped__ = functools.partial(f, **kwargs) if kwargs else f  # what a prepared call watches
        self.__name__ = self.__qualname__ = getattr(f, "__qualname__", type(f).__name__)
        self.written: deque[tuple[Any, Any]] = deque(maxlen=_MOST_WRITTEN)
        self._asked, self._walked = 0, 0  # times that the way to the parameters was to be found anew, and was
        self._reach = self._find()

    def _find(self) -> Reach:
        """The ways from f to the parameters, as they are now."""
        reach = Reach(self.__wrapped__, list(self.params))
        for place, reached in enumerate(reach.reached):
            if not reached and (reach.barrier(place) or not reach.is_unnamed(place)):
                raise self._unreached(reach, place)
        return reach

    def find_anew(self) -> None:
        """Have the ways found anew when f is called next: containers that f reaches may be others by then."""
        self._asked += 1

    @property
    def inputs(self) -> list:
        """The arrays that are not captured, though f reaches them: their values come with each call."""
        return list(self._reach.inputs())

    def __call__(self, *arrays: Any) -> Any:
        asked = self._asked
        if self._walked < asked:
            self._reach, self._walked = self._find(), asked
        building = Building(self._reach, list(arrays), self._behind)
        before = [_state(a) for a in arrays]
        try:
            y = building.call()
        finally:
            building.give_back()
            if take_out(building):
                self.find_anew()
            self.written.extend(building.written)
        for place, (array, then) in enumerate(zip(arrays, before, strict=True)):
            if _is_written(array, then):
                raise self._written(place)
        return y

    def settle(self) -> None:
        """Make what f has stored plain, now that the derivative is over."""
        settle_captured(self.given)
        for _ in range(len(self.written)):
            try:
                place = self.written.popleft()
            except IndexError:  # another thread was quicker
                return
            if not _settle(*place):
                self.written.append(place)

    def __reduce__(self) -> tuple:
        return type(self), (self.operator, self.given, self.params, self.kwargs)

    # -- errors ------------------------------------------------------------------------------------------------------

    def _named(self, place: int) -> str:
        return f"Params[{place}] ({array_in_words(self.params[place])})"

    def _unreached(self, reach: Reach, place: int) -> Exception:
        barrier = reach.barrier(place)
        if barrier is not None:
            return UnsupportedError(f"{self.operator} at {user_line()}: {self._behind(reach, barrier, place)}")
        array = self.params[place]
        again = reach.alike_to(array)
        said = "it is in no closure, global, default, attribute or container that f, or a function that it calls, names"
        if again:
            said += (
                f". There is another array of its shape and dtype at {', '.join(again)}: was the name bound "
                "anew, as by W = W - 0.1 * g[W]? Write W -= 0.1 * g[W], which stays the same "
                "array, or make the Params after it"
            )
        return ADSelectValueError(
            f"{self.operator} at {user_line()}: f reaches {self._named(place)} by no way: {said}. Parameters go by "
            "identity: put the very array into Params that f computes with, or pass it as an argument, "
            f"{self.operator}(lambda x: …, x)"
        )

    def _behind(self, reach: Reach, sealed: Sealed, place: int | None = None) -> str:
        path, named = reach.path(id(sealed.value)), "a parameter" if place is None else self._named(place)
        return (
            f"f reaches {named} through {path}, {sealed.why}; the derivative would be lost there. Let f hold the array "
            f"in a closure, a list or an attribute instead, or pass it as an argument, {self.operator}(lambda x: …, x)"
        )

    def _written(self, place: int) -> Exception:
        return UnsupportedError(
            f"{self.operator} at {user_line()}: f writes into {self._named(place)}, a parameter, and under a "
            "derivative that would not reach the array itself. Copy it first in f, W = W.copy(), or update it "
            "outside of f"
        )


def _check_call(operator: str, f: Callable, kwargs: dict) -> None:
    """Raise for an f that needs arguments: with Params it has none."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        name = getattr(f, "__name__", "f")
        names = ", ".join(
            [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        )
        raise ADSelectTypeError(
            f"{operator} at {user_line()}: with Params f is called without positional arguments, and {name} cannot be "
            f"({error}): write {operator}(lambda: {name}({names}), Params([…]))"
        ) from None


def _state(array: Any) -> Any:
    """What shows afterwards whether f has written into an array it was given."""
    if isinstance(array, Array):
        return array._primal, getattr(array, "_place", None), getattr(array, "number", None)
    return array.copy() if isa(array, np.ndarray) else None


def _is_written(array: Any, before: Any) -> bool:
    if isinstance(array, Array):
        return any(a is not b for a, b in zip(_state(array), before, strict=True))
    return before is not None and array.tobytes() != before.tobytes()


def _settle(container: Any, key: Any) -> bool:
    """Replace a traced value at a place that f has written to by its plain value; False where it is still traced."""
    cell, attribute = isinstance(container, types.CellType), isinstance(key, str) and not hasattr(container, "keys")
    try:
        value = container.cell_contents if cell else getattr(container, key) if attribute else container[key]
    except (LookupError, AttributeError, ValueError):
        return True
    if not isinstance(value, Array):
        return True
    if not value._closed:
        return False
    if cell:
        container.cell_contents = settled(value)
    elif attribute:
        (setattr if isinstance(container, type) else object.__setattr__)(container, key, settled(value))
    else:
        container[key] = settled(value)
    return True
