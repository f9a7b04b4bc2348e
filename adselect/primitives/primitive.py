"""Primitives: functions that derivative rules attach to."""

from __future__ import annotations

import functools
import inspect
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import RuleError
from ..face.array import Array
from ..face.dispatch import dispatch, plain
from ..structure.flattening import flatten
from ..structure.leaves import is_value
from ..values.natives import graph_writers, natives_of
from .invocation import Invocation

__all__ = ["NUMBERED", "REGISTRATIONS", "Primitive", "primitive"]


LOCK = threading.RLock()
# Primitives by their numbers, which stand for them in torch's graphs.
NUMBERED: weakref.WeakValueDictionary[str, Primitive] = weakref.WeakValueDictionary()
_numbers = itertools.count()
# How many registrations there were: what was compiled before the last one is compiled again.
REGISTRATIONS = [0]
_PLAIN = frozenset({float, int, complex, bool, str, type(None), np.float64, np.float32, np.int64, np.complex128})


class Definition:
    """A registered rule: the user's function, what it needs, and whether it runs on real arrays only."""

    __slots__ = ("function", "host", "inputs", "needs", "pair", "primitive")

    def __init__(self, function: Callable, needs: frozenset, host: bool, pair: str):
        self.function, self.needs, self.host, self.pair = function, needs, host, pair
        self.primitive = ""  # the name of the function that this is a rule of
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        several = any(p.kind == p.VAR_POSITIONAL for p in parameters)
        # How many positional arguments it can take: its pullback may return a tangent for each, also when defaulted.
        self.inputs = (
            1000 if several else sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        )

    def __str__(self) -> str:
        code = getattr(self.function, "__code__", None)
        place = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
        name = str(getattr(self.function, "__name__", self.function))
        of = f" of {self.primitive}" if self.primitive and not name.endswith(f" of {self.primitive}") else ""
        return f"{name}{of}{place}"


class Primitive:
    """A function that rules attach to; call it like the function. Made by :func:`primitive`."""

    _opaque = True  # as an argument it is a value, not a structure to look into

    def __init__(self, function: Callable, host: bool = False, result: Callable | None = None, batched: bool = False):
        functools.update_wrapper(self, function)
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.function, self.host, self.result, self.batched = function, host, result, batched
        self.rrule: Definition | None = None
        self.frule: Definition | None = None
        self.no_derivative = False
        self.opted_out: list[tuple] = []
        self.pointwise = False  # its rules only multiply tangents by functions of the arguments
        self.stubborn = False  # a NaN of its rules is meant, also for a cotangent of 0
        self.known_shapes: dict = {}  # what JAX asks for: shapes of results, by those of arguments
        self.number = str(next(_numbers))
        NUMBERED[self.number] = self
        graph_writers()  # loads them: the first call may be inside a graph, where nothing can be imported
        try:
            self.signature: Any = inspect.signature(function)
        except (TypeError, ValueError):
            self.signature = None

    def __repr__(self) -> str:
        return f"<primitive {self.__name__}{', host' if self.host else ''}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self) -> Any:
        return self.__qualname__  # a module-level name, as for functions

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for writer in graph_writers():
            answer = writer.call_while_writing(self, args, kwargs)
            if answer is not NotImplemented:
                return answer
        return self.carry_out(args, kwargs)

    def carry_out(self, args: tuple, kwargs: dict) -> Any:
        """The call itself: by a rule where there is something to differentiate."""
        if not kwargs and all([type(a) in _PLAIN or (type(a) is np.ndarray and a.dtype != object) for a in args]):
            return self.function(*args)
        if kwargs and self.signature is not None:
            bound = self.signature.bind(*args, **kwargs)
            args, kwargs = bound.args, bound.kwargs
        leaves, skeleton = flatten((args, kwargs), also=is_value)
        natives = None
        traced = False
        for leaf in leaves:
            if isinstance(leaf, Array):
                traced = True
            elif type(leaf) not in _PLAIN and type(leaf) is not np.ndarray:
                natives = natives_of(leaf) or natives
        if not traced and natives is None:
            return self.function(*args, **kwargs)
        invocation = Invocation(self, skeleton, tuple([kind_of(a) for a in args]))
        if traced:
            return dispatch(invocation, tuple(leaves), {})
        return natives.carry_out(invocation, leaves)  # type: ignore[union-attr]

    def is_opted_out(self, kinds: tuple) -> bool:
        """Whether a call with arguments of these types does not use the rules."""
        return any(
            not types or (len(types) == len(kinds) and all(issubclass(k, t) for k, t in zip(kinds, types, strict=True)))
            for types in self.opted_out
        )


def kind_of(value: Any) -> type:
    """The type of an argument as the user passed it, behind any tracing."""
    if not isinstance(value, Array):
        return type(value)
    if value._integer is not None:
        return int if not value.shape else np.ndarray
    if value.shape:
        return np.ndarray
    inside = value
    while isinstance(inside, Array) and not inside._framework:
        inside = inside._behind
    return value.dtype.type if isinstance(inside, Array) else type(plain(inside))


def primitive(
    function: Callable | None = None,
    /,
    *,
    host: bool = False,
    result: Callable | None = None,
    batched: bool = False,
) -> Any:
    """``@primitive``, ``primitive(lib.f)``: make a function something that derivative rules attach to.

    Without a rule it is differentiated as what it does. With one, every backend uses the rule, and never looks inside.

    host: the function is a black box that needs real NumPy arrays (a compiled solver, a simulator). Its rules receive
    real arrays too, and it works in every backend, under ``jax.jit``, ``jax.vmap``, ``torch.func`` and
    ``torch.compile``. Where shapes of a result have to be known before there is one, ``result`` is asked: a function of
    the arguments, with ``.shape`` and ``.dtype`` in place of arrays, that returns something of the result's structure,
    shapes and dtypes (``result=lambda A, b: b``); without it the function is called on made-up
    numbers (ones, then ascending numbers and positive definite matrices). batched: the function accepts leading batch
    axes, so that ``vmap`` calls it once instead of once per example.

    >>> import numpy as np, adselect as ad
    >>> @ad.primitive
    ... def cube(x):
    ...     return x**3
    >>> @ad.define_rrule(cube)
    ... def cube_rrule(x):
    ...     return cube(x), lambda y_bar: (ad.NoTangent(), 3 * x**2 * y_bar)
    >>> ad.gradient(cube, 2.0)
    (12.0,)
    """
    if function is None:
        return functools.partial(primitive, host=host, result=result, batched=batched)
    if not callable(function):
        raise TypeError(f"primitive takes a function, not {type(function).__name__}")
    if isinstance(function, Primitive):
        raise RuleError(f"{function.__name__} is a primitive already")
    return Primitive(function, host, result, batched)
