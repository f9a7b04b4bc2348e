"""hook and showgrad: what happens to a cotangent where the reverse pass reaches a value, or what it is there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..calls.hook import Hook
from ..calls.in_progress import IN_PROGRESS
from ..errors import ADSelectTypeError, user_line
from ..face.array import Array
from ..face.dispatch import plain
from ..places import user_place
from ..structure.flattening import Skeleton, flatten
from ..values.kinds import isa
from ..values.natives import natives_of, to_numpy
from .values import is_numeric, is_variable, stacked

__all__ = ["hook", "showgrad"]


def hook(fn: Callable[[Any], Any], x: Any) -> Any:
    """x itself; where a reverse pass reaches it, the cotangent x̄ goes on as ``fn(x̄)``.

    x: a number, an array or any structure of them; x̄ has its structure, as a gradient has: dicts for dicts,
    ``Tangent[type]`` for objects, zeros for entries that nothing depends on, None for those that are no variables. fn
    gets NumPy values (the framework's own arrays where x holds those) in memory of their own, and returns a cotangent
    of the same shapes, ``NoTangent()`` for none. It is called once in each reverse pass that reaches x, in that of the
    innermost derivative that x takes part in; once more where a gradient that is not finite is gone through again with
    strong zeros. Under a second derivative it gets traced values and is differentiated: NumPy functions, no plain
    arrays to fill.

    Prepared on the tape, or compiled by JAX: an fn that is seen to have no effects (NumPy functions, arithmetic,
    branches) becomes part of the program; any other one is called each time, on the tape by an eager call (with a
    NotReplayedWarning), on JAX by a callback.

    Where there is no derivative, x is returned and fn is not called. Raises UnsupportedError where a derivative is put
    together without cotangents (AutoForward, AutoFiniteDifferences, pushforward, the columns of a jacobian): what fn
    does would be left out. RuleError when fn returns None or another shape. Cost: that of fn and of one copy.

    >>> import numpy as np, adselect as ad
    >>> ad.gradient(lambda a, b: hook(lambda a_bar: -a_bar, a) * b, 2.0, 3.0)
    (-3.0, 2.0)
    >>> ad.gradient(lambda x: hook(lambda x_bar: np.clip(x_bar, -1, 1), x) ** 2, 10.0)
    (1.0,)

    Source: Zygote.jl's ``hook``.
    """
    if not callable(fn):
        raise ADSelectTypeError(f"hook takes the function first: hook(fn, x), not {type(fn).__name__} ({user_line()})")
    x = stacked(x)
    leaves, skeleton = flatten((x,), root="x")
    return _attached(lambda places: Hook("hook", fn, skeleton, leaves, places), x, leaves, skeleton)


def showgrad(x: Any, label: str = "x") -> Any:
    """x itself; where a reverse pass reaches it, its cotangent is printed: ``d(label) = value  (file:line)``.

    What is returned has to be used: the cotangent is that of the value returned, not of other uses of x. Each number
    and array of a structure has its line, ``d(label['w']) = …``. ``d(label) = None`` is printed after a reverse pass of
    gradient, withgradient or pullback that has not reached the value. Values are those of one pass: more than one
    line under a second derivative, or where a pass is repeated with strong zeros.

    Forward mode and finite differences have no cotangents, and nothing is printed there; nor where there is no
    derivative. A prepared call on the tape is not replayed; compiled code (JAX) prints what is reached, at each call.
    Raises nothing. Cost: that of printing.

    >>> import adselect as ad
    >>> grads = ad.gradient(lambda a, b: showgrad(a, "a") * b, 2.0, 3.0)  # doctest: +ELLIPSIS
    d(a) = 3.0  (<doctest ...>:1)
    >>> grads
    (3.0, 2.0)

    Source: Zygote.jl's ``@showgrad``.
    """
    x = stacked(x)
    leaves, skeleton = flatten((x,), root="")
    names = [f"{label}{path.removeprefix('[0]')}" for path in skeleton.paths]
    place = user_place()
    line = "" if place is None else f"  ({place})"
    calls = IN_PROGRESS.calls
    call = calls[-1] if calls else None
    for i, name in enumerate(names):
        shown = _Shown(name, line)
        if call is not None and call.flat is not None and not call.blind and not IN_PROGRESS.provisional:
            call.flat.notices.append(shown.settle)
        one, alone = flatten((leaves[i],))
        make = functools.partial(shown.hook, alone, one)
        leaves[i] = _attached(make, one[0], one, alone)
    return skeleton.rebuild(leaves)[0] if any(map(is_variable, leaves)) else x


class _Shown:
    """One value of which the cotangent is printed, and whether the pass under way has reached it."""

    def __init__(self, name: str, line: str):
        self.name, self.line, self.reached = name, line, False

    def hook(self, skeleton: Skeleton, leaves: list, places: list) -> Hook:
        made = Hook("showgrad", self.show, skeleton, leaves, places, observes=True)
        made.note = self.note  # type: ignore[method-assign]
        return made

    def note(self) -> None:
        self.reached = True

    def show(self, x_bar: Any) -> None:
        self.reached = True
        value = to_numpy(plain(x_bar))
        value = value.item() if getattr(value, "shape", None) == () and isa(value, (np.ndarray, np.generic)) else value
        print(f"d({self.name}) = {value}{self.line}")

    def settle(self, grads: list) -> list:
        if not self.reached:
            print(f"d({self.name}) = None{self.line}")
        self.reached = False
        return grads


def _attached(make: Callable[[list], Hook], x: Any, leaves: list, skeleton: Skeleton) -> Any:
    """The value whose traced leaves are hooked, derivative by derivative."""
    calls = IN_PROGRESS.calls
    groups = list(groups_of(leaves))
    unseen = bool(calls) and (calls[-1].blind or (not groups and any(call.blind for call in calls)))
    if unseen:
        made = make([])
        if not made.observes:
            blind = next(call for call in reversed(calls) if call.blind)
            raise made.unseen(repr(blind.adtype) if blind.adtype is not None else "tangents are pushed")
        return x
    if not groups:
        return x
    leaves = list(leaves)
    for places, natives in groups:
        made, values = make(places), [leaves[i] for i in places]
        found = values[0]._hooked(made, values) if natives is None else natives.hooked(made, values)
        for i, value in zip(places, found, strict=True):
            leaves[i] = value
    return skeleton.rebuild(leaves)[0]


def groups_of(leaves: list) -> Iterator[tuple[list[int], Any]]:
    """``(places, natives)`` of the leaves that take part in the same derivative; natives is None behind the face."""
    groups: dict[Any, tuple[list[int], Any]] = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Array):
            if not leaf._closed and is_numeric(leaf):
                groups.setdefault((type(leaf), id(getattr(leaf, "_trace", None))), ([], None))[0].append(i)
        elif is_variable(leaf):
            natives: Any = natives_of(leaf)
            groups.setdefault(natives.framework, ([], natives))[0].append(i)
    return iter(groups.values())
