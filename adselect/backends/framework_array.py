"""The NumPy face over a framework's own array: what a framework's face adds is its table and its values."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Set
from typing import Any

import numpy as np

from ..errors import MissingRuleError, user_line
from ..face.array import Array
from ..face.atoms import scatter_parts, set_item
from ..face.dispatch import is_traced
from ..face.foreign import FAMILIAR
from ..face.functions import ARRAYS_ALWAYS
from ..face.indices import occurrences, plain_index
from ..face.traced import UNKNOWN
from ..primitives.by_numpy import hosted
from ..primitives.own_rules import by_own_rule
from ..rules.registration import load_all, load_for
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES, positional
from ..values.kinds import isa
from ..values.natives import natives_named

__all__ = ["FrameworkArray", "OwnRuleError", "Selections", "UntranslatedError", "memory_of"]


class Selections(threading.local):
    """The dependency mask of the scalars compared with one another in the call under way on this thread.

    They decide a selection (Python's min and max), on which the result depends with slope zero.
    """

    deps = 0
    start = 0  # the first bit of the innermost call

    def note(self, a: FrameworkArray, b: FrameworkArray) -> None:
        """Two scalars are compared; not noted where they belong to different derivatives, or to who knows which."""
        deps = a._deps | b._deps
        if deps > 0 and bool(a._deps >> self.start) == bool(b._deps >> self.start):
            self.deps |= deps >> self.start << self.start or deps

    def enter(self, start: int) -> tuple[int, int]:
        """A call begins whose leaves have the bits from start on; the state to leave it with."""
        before = self.deps, self.start
        self.deps, self.start = 0, start
        return before

    def leave(self, before: tuple[int, int]) -> int:
        """The call is over: which of its leaves, from bit 0 on, were compared with one another."""
        selecting, start = self.deps, self.start
        self.deps, self.start = before[0] | selecting & ((1 << start) - 1), before[1]
        return selecting >> start


class UntranslatedError(Exception):
    """Raised by a framework's implementation of a function for an option it lacks; the library's rule takes over."""


class OwnRuleError(UntranslatedError):
    """Raised by a translation at a point where our own rule is right and the framework's derivative is not."""


def memory_of(leaf: Any) -> np.ndarray | None:
    """What a framework does not see of an argument: an array without dimensions, or in another order than C.

    An array with the same layout in memory; None for all others.
    """
    if issubclass(type(leaf), np.ndarray):
        return None if leaf.shape and leaf.flags.c_contiguous else np.empty_like(leaf, dtype=bool, subok=False)
    if isinstance(leaf, Array):
        if isa(order := getattr(leaf, "_order", None), np.ndarray):
            return order
        return np.empty((), bool) if not leaf.shape and not leaf._is_scalar() else None
    return None


_KNOWN_INDICES = (int, slice, list, np.ndarray, np.generic)
_NOTHING = np.zeros(())


def _missing(function: Any, framework: str, option: str) -> str:
    """The sentence for an atom that the framework's table lacks, or for a function that no one has a rule of."""
    name = getattr(function, "__name__", str(function))
    if function in RULES and getattr(function, "__module__", "").startswith("adselect."):
        return (
            f"{name}, one of the functions that others are written with ({function.__module__}), has no {framework} "
            f"translation ({user_line()}): the table of {framework} lacks one of adselect.rules.atoms.atoms()"
        )
    return (
        f"np.{name}{f' with {option}' if option else ''} has no {framework} translation ({user_line()}). "
        f"Write it with functions that have one, or wrap it: f = adselect.primitive(np.{name}) and give f a rule "
        "with adselect.define_rrule(f)."
    )


class FrameworkArray(Array):
    """The NumPy face over a framework's own array; ``deps`` is the bit mask of the leaves it depends on.

    A subclass per framework gives ``_target`` (NumPy function → the framework's implementation over native values),
    ``_native`` and ``_wrap``. The mask makes "does not depend on" mean the same on every framework.
    """

    __slots__ = ("_array", "_deps", "_integer", "_order")

    _real_only: Set[Any] = frozenset()  # functions that the framework has for real numbers only
    _by_numpy: Set[Any] = frozenset()  # atoms with a derivative that its table leaves to NumPy

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        FAMILIAR.add(cls)  # wherever it comes from, it is no foreign container
        load_all()  # its table is held against ours

    def __init__(self, value: Any, deps: int = UNKNOWN, integer: Any = None):
        self._primal, self._deps, self._integer = value, deps, integer

    def _is_scalar(self) -> bool:
        # The framework has no scalars; whether NumPy would give one is remembered for the rarer case. By ndim:
        # torch.jit.trace asks every local variable whether it is a tensor, and would record a look at the shape.
        return not self.ndim and not getattr(self, "_array", False)

    def _check_write(self, index: Any, shape: tuple) -> None:
        parts = index if type(index) is tuple else (index,)
        if all([i is None or i is Ellipsis or isa(i, _KNOWN_INDICES) for i in parts]):
            np.empty(self.shape)[index] = np.broadcast_to(_NOTHING, shape)

    def _picked(self, base: Array, index: Any) -> None:
        parts = index if type(index) is tuple else (index,)
        known = all([i is None or i is Ellipsis or isa(i, _KNOWN_INDICES) for i in parts])
        self._order = (base.shape, index) if known else False

    def _own_layout(self) -> Any:
        # An array laid out like this one, the shape and the index that picked it out of an array, or False: not known.
        how = getattr(self, "_order", None)
        if how is None:
            return np.empty(self.shape, bool)
        if type(how) is tuple:
            return np.empty(how[0], bool)[how[1]]
        return how if how is not False else None

    def _as_array(self) -> Any:
        if self._is_scalar():
            self = type(self)(self._primal, self._deps, self._integer)
            self._array = True
        return self

    def _as_scalar(self) -> Any:
        return self if self._is_scalar() else type(self)(self._primal, self._deps, self._integer)

    def _given_as(self, leaf: Any) -> Any:
        """This, the value of an argument of f, as the 0-d array or in the memory order that the argument has."""
        memory = memory_of(leaf)
        return self if memory is None else self._laid_out(memory)

    def _laid_out(self, memory: np.ndarray) -> Any:
        """This, with the layout in memory of a plain array."""
        if not memory.shape:
            return self._as_array()
        self._order = memory
        return self

    @classmethod
    def _target(cls, function: Any) -> Callable | None:
        """The implementation of a NumPy function over native values, or None."""
        raise NotImplementedError

    @classmethod
    def _native(cls, value: Any) -> Any:
        """A plain operand (number, ndarray, list) in the form the framework's functions take."""
        return value

    @classmethod
    def _is_native(cls, value: Any) -> bool:
        """Whether a result is the framework's array and is to be wrapped."""
        raise NotImplementedError

    def _apply(self, function: Any, args: tuple, kwargs: dict) -> Any:
        cls = type(self)
        target = cls._target(function)
        if function in cls._real_only and any([np.iscomplexobj(a) for a in args]):
            target = None
        if target is None and function in (scatter_parts, set_item):
            return cls._write_primitive(function, args, kwargs)
        if target is None:
            return self._by_rules(function, args, kwargs)
        given, mask = (args, kwargs), [0]
        if kwargs:
            args, kwargs = positional(function, args, kwargs)
        args = tuple([cls._unwrap(a, mask) for a in args])
        if kwargs:
            kwargs = {k: cls._unwrap_option(v, mask) for k, v in kwargs.items()}
        return self._carry_out(function, target, args, kwargs, mask[0], given)

    def _carry_out(
        self, function: Any, target: Callable, values: Any, options: dict, deps: int, given: tuple[tuple, dict]
    ) -> Any:
        """``target(*values, **options)`` behind the face; by the library's rule where the framework lacks an option."""
        try:
            result = self._wrap(target(*values, **options), 0 if function in NO_DERIVATIVE else deps)
            if function in ARRAYS_ALWAYS and isinstance(result, FrameworkArray) and not result.shape:
                return result._as_array()
            return result
        except OwnRuleError:
            return by_own_rule(function, *given)
        except UntranslatedError as untranslated:
            return self._by_rules(function, *given, str(untranslated))
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            return self._by_rules(function, *given, str(error).rpartition(" ")[2])

    def _call_primitive(self, invocation: Any, leaves: tuple) -> Any:
        """A user's primitive, by its rule in the framework."""
        invocation.check_traced(leaves)
        return natives_named(self._framework).carry_out_behind_face(invocation, self, leaves)

    def _hooked(self, hook: Any, leaves: list) -> list:
        return natives_named(self._framework).hooked_behind_face(hook, leaves)

    def _checkpointed(self, call: Callable, leaves: list) -> tuple[list, Any]:
        return natives_named(self._framework).checkpointed(call, leaves)

    def _by_rules(self, function: Any, args: tuple, kwargs: dict, option: str = "") -> Any:
        """What the framework has no translation of: by the library's rule, on functions that the framework has."""
        if function not in COMPOSITES:
            load_for(function)
        implementation = COMPOSITES.get(function)
        if implementation is not None:
            return implementation(*args, **kwargs)
        apply_on = getattr(function, "apply_on", None)
        if apply_on is not None:  # a primitive of the user's
            return apply_on(self, args)
        if getattr(function, "written_out", False):  # one of the rules' own: what it does with NumPy
            return function.__wrapped__(*args, **kwargs)
        on_host = hosted(function)
        if on_host is not None:
            return on_host(*args, **kwargs)
        raise MissingRuleError(_missing(function, self._framework, option))

    @classmethod
    def _write_primitive(cls, function: Any, args: tuple, kwargs: dict) -> Any:
        """The library's two writing primitives, on the face's own indexing."""
        if function is set_item:
            base, value, index = args
            return cls._face(base)._setitem(index, value)
        total = cls._face(np.zeros(kwargs["shape"], kwargs["dtype"]))
        for part, index in zip(args, kwargs["indices"], strict=True):
            total = total._add_at(index, part)
        return total

    def _constant(self, value: Any) -> Any:
        return self._face(value)

    @classmethod
    def _face(cls, value: Any) -> FrameworkArray:
        return value if isinstance(value, cls) else cls(cls._native(value), 0)

    def _add_at(self, index: Any, value: Any) -> FrameworkArray:
        """A new Array with value added at index, repeated indices adding up.

        One write per occurrence of the most repeated index; a framework with a scatter-add of its own overrides this.
        """
        positions = np.arange(self.size).reshape(self.shape)[plain_index(index)]
        amounts = np.reshape(np.broadcast_to(value, positions.shape), -1)
        positions = positions.ravel()
        occurrence = occurrences(positions)
        total = self.reshape(-1)
        for k in range(int(occurrence.max(initial=-1)) + 1):
            chosen = np.flatnonzero(occurrence == k)
            total = total._setitem(positions[chosen], total._getitem(positions[chosen]) + amounts[chosen])
        return total.reshape(self.shape)

    @classmethod
    def _unwrap(cls, value: Any, mask: list) -> Any:
        if isinstance(value, cls):
            mask[0] |= value._deps
            return value._primal
        if type(value) in (list, tuple):
            items = [cls._unwrap(v, mask) for v in value]
            return items if type(value) is list else tuple(items)
        if type(value) is range:
            return list(value)
        if type(value) is np.ndarray and value.dtype == object and is_traced(value):
            return cls._unwrap(np.stack([cls._stackable(v) for v in value.flat]).reshape(value.shape), mask)
        return cls._native(value)

    @staticmethod
    def _stackable(value: Any) -> Any:
        return value if isinstance(value, Array) else np.asarray(value)

    @classmethod
    def _unwrap_option(cls, value: Any, mask: list) -> Any:
        """A keyword argument: axes and the like stay as they are."""
        if isinstance(value, FrameworkArray) and value._integer is not None:
            return value._integer
        return cls._unwrap(value, mask) if isa(value, (Array, np.ndarray, range)) else value

    @classmethod
    def _wrap(cls, value: Any, deps: int) -> Any:
        if cls._is_native(value):
            return cls(value, deps)
        if isinstance(value, (tuple, list)):
            items = [cls._wrap(v, deps) for v in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return value

    def _known(self) -> Any:
        if self._closed:
            return super()._known()
        # What depends on nothing, and what no derivative goes through: comparisons, positions, counts.
        if self._deps == 0 or (self._integer is None and self.dtype.kind in "iub"):
            return self._numbers()
        return NotImplemented

    def _numbers(self) -> Any:
        """The NumPy value; where there is none at this time, an error that says why, or NotImplemented."""
        return self._inside

    def __index__(self) -> int:
        if self._integer is not None:
            return operator.index(self._integer)
        if self.dtype.kind == "b":
            raise TypeError("'numpy.bool' object cannot be interpreted as an integer")
        return super().__index__()

    def _rebind(self, other: Any) -> None:
        self._primal, self._deps, self._integer = other._primal, other._deps, other._integer
