"""``differentiate_with(f, adtype)``: f as a function that every backend differentiates, by adtype inside.

Seen from outside f is a black box with a rule: its pullback is the one that adtype finds, and this pullback is again
such a black box, so that derivatives of any order come out. Where the surrounding derivative is adtype's own, f is
simply a part of it.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..adtypes import ADType, AutoForward, AutoTape
from ..engine.trace import TapeArray
from ..errors import ADSelectTypeError, UnsupportedError, user_line
from ..face.array import Array
from ..face.traced import level_of
from ..frameworks import FRAMEWORKS
from ..operators.choosing import check_function, refuse_adtype
from ..operators.gradient import pullback
from ..primitives.define import define_rrule
from ..primitives.leaves import is_number, zeros_of
from ..primitives.primitive import Primitive, primitive
from ..primitives.structured import spread
from ..primitives.thunks import unthunk
from ..structure.flattening import Skeleton, flatten
from ..structure.leaves import is_value
from ..values.kinds import isa
from ..values.natives import framework_of, is_native
from ..values.tangents import NoTangent, ZeroTangent

__all__ = ["differentiate_with", "pulled_back"]

_KEPT = 64  # pullbacks of recent calls: a backward pass follows its forward pass, if not at once
_KEPT_AFTER_USE = 8  # few of them are asked for again, and each holds what f has computed
_NO_NUMBER = 0.0
_NUMBERS = 2**22  # of calls, exact in single precision


def differentiate_with(f: Callable, adtype: ADType) -> Callable:
    """f as a function that any backend can differentiate, using ``adtype`` inside, to any order.

    A torch model in a JAX loss (also under ``jax.jit``, ``vmap`` and ``scan``), a JAX function in a torch training
    loop, a SciPy-based function with AutoTape() in both. Positional arguments are differentiated: arrays, numbers and
    structures of them; keyword arguments are constants. The result has f's structure; its arrays are the surrounding
    code's own: NumPy arrays for NumPy arguments, jax arrays and tensors for theirs.

    What f captures is not an argument: parameters that are to have a gradient are passed. Raises UnsupportedError where
    f captures a value that the surrounding derivative traces.

    Cost: a derivative costs what adtype needs for it, plus one conversion of arguments and results each way, which
    copies where the two frameworks do not share memory; memory for what f computes, of the last 64 calls until their
    backward pass, of 8 after it. Where the surrounding code keeps many calls for a later
    backward pass (``vmap``, ``scan``), f is evaluated once more for each of them. A second derivative is adtype's
    derivative of its own pullback; with AutoFiniteDifferences() these are differences of differences, thousands of
    evaluations of f.

    >>> import numpy as np, adselect as ad
    >>> norm = ad.differentiate_with(lambda x: np.sqrt(x @ x), ad.AutoForward())
    >>> ad.gradient(lambda x: 2 * norm(x), ad.AutoTape(), np.array([3.0, 4.0]))
    (array([1.2, 1.6]),)

    Source: DifferentiationInterface.jl's ``DifferentiateWith``.
    """
    check_function("differentiate_with", f)
    if not isa(adtype, ADType):
        refuse_adtype("differentiate_with", adtype, "differentiate_with(f, {}())")
        raise ADSelectTypeError(
            f"differentiate_with(f, adtype) was given {adtype!r}; an adtype is an object such as adselect.AutoTape()"
        )
    return _Bridge(f, adtype)


def pulled_back(f: Callable, adtype: ADType, leaves: list) -> tuple[Any, Callable[[list], list]]:
    """``(y, back)`` by adtype at leaves that another backend traces: back takes a cotangent for each leaf of y."""
    (y, _), back = _Bridge(f, adtype)._numbered_rule(*leaves)
    structure = flatten((y,), also=is_value)[1]
    return y, lambda y_bars: list(back((structure.result(y_bars)[0], NoTangent()))[1:])


def _highest_level(value: Any) -> int:
    """The level of the innermost derivative that a value is traced by, -1 for none."""
    return max([leaf._level for leaf in flatten((value,), also=is_value)[0] if isinstance(leaf, Array)], default=-1)


class _Bridge:
    """f with its own backend.

    Two black boxes stand for it: the value alone, and, where a derivative is to come, the value with a number, under
    which its pullback is kept. The number is a float, which every framework carries along.
    """

    def __init__(self, f: Callable, adtype: ADType, evaluate: Callable | None = None, result: Callable | None = None):
        functools.update_wrapper(self, f, updated=())
        self.f, self.adtype = f, adtype
        self._evaluate = evaluate or (lambda *args, **kwargs: self._recorded(args, kwargs)[0])
        self._kept: dict[int, tuple[Any, Callable]] = {}
        self._used: dict[int, None] = {}  # those that have been asked for, the latest last
        self._lock = threading.Lock()
        self._count = itertools.count(1)
        self._pulled: _Bridge | None = None
        self._value = self._black_box(self._evaluate, result)
        numbered_result = None if result is None else lambda *args, **kwargs: (result(*args, **kwargs), _NO_NUMBER)
        self._numbered = self._black_box(self._keep, numbered_result)
        define_rrule(self._value, host=False)(self._rule)
        define_rrule(self._numbered, host=False)(self._numbered_rule)

    def _black_box(self, function: Callable, result: Callable | None) -> Primitive:
        @functools.wraps(self.f, updated=())
        def value(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return primitive(value, host=True, result=result)

    def __repr__(self) -> str:
        return f"differentiate_with({getattr(self.f, '__name__', self.f)}, {self.adtype!r})"

    def __reduce__(self) -> tuple:
        return differentiate_with, (self.f, self.adtype)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        here = self._direct(args)
        return self._value(*args, **kwargs) if here is None else here(*args, **kwargs)

    def _direct(self, args: tuple) -> Callable | None:
        """How f is called where it needs no black box: on adtype's own values, or where nothing is differentiated."""
        leaves, _ = flatten(args, also=is_value)
        top = max([leaf for leaf in leaves if isinstance(leaf, Array)], key=level_of, default=None)
        if top is not None:
            if not self._is_own(top):
                return None
            return self._value_by_adtype if getattr(self.adtype, "face", "") == "native" else self.f
        frameworks = {framework_of(leaf) for leaf in leaves} - {""}
        if self.adtype.requires in frameworks:
            return self._value_by_adtype
        if frameworks or any([self.adtype.requires == row.name for row in FRAMEWORKS]):
            return None
        return self.f  # on NumPy's arrays it needs nobody's help

    def _is_own(self, value: Array) -> bool:
        """Whether a traced value belongs to a derivative by adtype, of which f can be a part."""
        if value._framework:
            return value._framework.lower() == self.adtype.requires
        return isinstance(self.adtype, AutoTape if isinstance(value, TapeArray) else AutoForward)

    def _value_by_adtype(self, *args: Any, **kwargs: Any) -> Any:
        return pullback(self.f, self.adtype, *args, **kwargs)[0]

    # -- on real arrays ------------------------------------------------------------------------------------------

    def _recorded(self, args: tuple, kwargs: dict) -> tuple[Any, Callable]:
        """``(y, pullback)`` by adtype."""
        y, back = pullback(self.f, self.adtype, *args, missing="zeros", **kwargs)
        self._refuse_captured(y, args)
        return y, back

    def _keep(self, *args: Any, **kwargs: Any) -> tuple[Any, float]:
        """``(y, number)``: the pullback is kept under the number for a while."""
        found, number = self._recorded(args, kwargs), next(self._count) % _NUMBERS + 1
        with self._lock:
            self._kept[number] = found
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return found[0], float(number)

    def _kept_or_recorded(self, args: tuple, kwargs: dict, number: Any) -> tuple[Any, Callable]:
        """``(y, pullback)`` of the call with this number; of a new one if it is kept no more or args are traced."""
        if not any([isinstance(v, Array) or is_native(v) for v in (number, *flatten(args)[0])]):
            with self._lock:
                found = self._kept.get(int(number))
                if found is not None:
                    self._used.pop(int(number), None)
                    self._used[int(number)] = None
                    while len(self._used) > _KEPT_AFTER_USE:
                        self._kept.pop(oldest := next(iter(self._used)), None)
                        del self._used[oldest]
                    return found
        return self._recorded(args, kwargs)

    def _refuse_captured(self, y: Any, args: tuple) -> None:
        """Refuse a result that depends on a derivative in progress by another way than the arguments."""
        if _highest_level(y) > _highest_level(args):
            raise UnsupportedError(
                f"{self!r}, called at {user_line()}, uses a value that a surrounding derivative traces and that is "
                "none of its arguments: its derivative would be lost. Make it an argument."
            )

    # -- the rules -----------------------------------------------------------------------------------------------

    def _rule(self, *args: Any, **kwargs: Any) -> tuple:
        (y, _), back = self._numbered_rule(*args, **kwargs)
        return y, lambda y_bar: back((y_bar, NoTangent()))

    def _numbered_rule(self, *args: Any, **kwargs: Any) -> tuple:
        # Plain arguments have their pullback kept, whoever would do for the value alone.
        plain = not any([isinstance(v, Array) or is_native(v) for v in flatten(args, also=is_value)[0]])
        here = None if plain else self._direct(args)
        y, number = self._numbered(*args, **kwargs) if here is None else (here(*args, **kwargs), _NO_NUMBER)
        self._refuse_captured(y, args)

        def back(bars: tuple) -> tuple:
            ys, structure = flatten((y,), also=is_value)
            seeds = _dense(ys, _at_leaves(structure, [bars[0]], len(ys), "the result"))
            found = iter(self._pullback_bridge()(args, seeds, number, **kwargs))
            leaves, skeleton = flatten(args, also=is_value)
            x_bars = skeleton.result([next(found) if is_number(leaf) else None for leaf in leaves])
            return NoTangent(), *x_bars

        return (y, number), back

    def _pullback_bridge(self) -> _Bridge:
        """The pullback, ``(args, seeds, number) -> cotangents``, as a function with a rule itself."""
        if self._pulled is None:
            self._pulled = _Bridge(self._pull, self.adtype, self._pull, _like_the_arguments)
        return self._pulled

    def _pull(self, args: tuple, seeds: list, number: Any, **kwargs: Any) -> tuple:
        """One cotangent per number among the arguments' leaves; zeros for what f does not depend on."""
        leaves, skeleton = flatten(args, also=is_value)
        y, back = self._kept_or_recorded(args, kwargs, number)
        ys, structure = flatten((y,), also=is_value)
        given = iter(seeds)
        bars = back(structure.result([next(given) if is_number(v) else None for v in ys])[0])
        return tuple(_dense(leaves, _at_leaves(skeleton, bars, len(leaves), "argument")))


def _at_leaves(structure: Skeleton, tangents: Sequence, count: int, where: str) -> list:
    """One tangent per leaf, None for none, from the tangents of the values."""
    if structure.simple:
        return [None if t is None or isinstance(t, NoTangent) else t for t in map(unthunk, tangents)]
    found: list = [None] * count
    for node, tangent in zip(structure.nodes, tangents, strict=True):
        spread(node, tangent, found, where)
    return found


def _dense(leaves: list, tangents: list) -> list:
    """The tangents of the numbers among the leaves, zeros where there is none."""
    return [
        zeros_of(v) if t is None or isinstance(t, ZeroTangent) else t
        for v, t in zip(leaves, tangents, strict=True)
        if is_number(v)
    ]


def _like_the_arguments(args: tuple, seeds: list, number: Any, **kwargs: Any) -> tuple:
    leaves, _ = flatten(args, also=is_value)
    return tuple(_dense(leaves, [None] * len(leaves)))
