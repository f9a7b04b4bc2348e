"""What a backend is, how an adtype finds its backend, and the NumPy face that the framework backends share.

A backend sees only flat functions from arrays to arrays. It implements :meth:`Backend.pullback` or
:meth:`Backend.pushforwards`; everything else has a default built on either.
"""

from __future__ import annotations

import importlib
import operator
import threading
from collections.abc import Callable, Set
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..errors import ADSelectTypeError, BackendNotInstalledError, MissingRuleError, user_line
from ..face.array import Array
from ..face.atoms import scatter_parts, set_item
from ..face.dispatch import is_traced
from ..face.functions import ARRAYS_ALWAYS
from ..face.indices import occurrences, plain_index
from ..primitives.by_numpy import hosted
from ..primitives.define import rule_in_words
from ..primitives.own_rules import by_own_rule, check_own_rules
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES, load_for, positional, without_zero_times_infinity
from ..structure.leaves import leaf_dtype
from ..values.kinds import isa
from ..values.natives import to_numpy

__all__ = [
    "Backend",
    "FrameworkArray",
    "Selections",
    "backend_of",
    "installed",
    "pullback_by_directions",
    "register_backend",
    "unregister_backend",
]

# A flat function: lifted leaves -> (outputs to differentiate, auxiliary outputs), both lists of leaves.
Call = Callable[[list], tuple[list, list]]


class Backend:
    """The object that implements a choice.

    A *leaf* is a number, a NumPy array, the framework's own array, or an Array of an outer
    derivative. ``call`` takes one lifted value per leaf (what the user's f shall see) and returns two lists: the
    outputs to differentiate and the auxiliary outputs; entries may be Arrays, native arrays or plain values that do
    not depend on any leaf. ``call`` must run exactly once per pullback or pushforward.
    """

    reverse: bool = True  # implements pullback natively
    forward: bool = False  # implements pushforwards natively
    detects_independence: bool = True  # can tell "does not depend on" (None) from "zero slope" (0)
    # What finds second derivatives otherwise than by differentiating a gradient (SecondDifferences shows the methods).
    second_order: Any = None

    def __init__(self, adtype: ADType):
        self.adtype = adtype

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        """``(outputs, aux, back)``; ``back(y_bars)`` gives one cotangent per leaf, None where independent.

        A seed may be None (zero). Outputs and aux come back as plain values (NumPy for NumPy, native for native).
        The default works for any backend with pushforwards: one along every coordinate of the leaves.
        """
        return pullback_by_directions(self.pushforwards, call, leaves)

    def pull_once(self, back: Callable[[list], list], y_bars: list) -> list:
        """``back(y_bars)`` where back will not be called again: what it holds may be freed on the way."""
        return back(y_bars)

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """Several tangents at one point: ``(outputs, [output_tangents per direction], aux)``, f evaluated once.

        The default works for any backend with a pullback: the rows of the Jacobian, one pullback per output entry.
        """
        outputs, aux, back = self.pullback(call, leaves)
        dots: list[list] = [[] for _ in directions]
        for k, output in enumerate(outputs):
            rows = _jacobian_rows(back, outputs, k)
            for d, tangents in enumerate(directions):
                dots[d].append(_contract(rows, tangents, output))
        return outputs, dots, aux

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        """The operator made ready for many calls: a callable ``(leaves, args, fixed) -> result``, None for none.

        leaves are those of all arguments, also of Const; fixed is what stands at the other places. Its attributes
        ``quick`` (a shorter way, made once) and ``reason`` (why it is the plain call after all) are optional.
        """
        return None

    def why_plain(self, operator: Callable) -> str:
        """Why a prepared operator is the plain call here, "" where there is nothing to say."""
        return ""

    def rule_for(self, f: Any) -> str:
        """Which rule the backend uses for f, in words. The default is that of a framework that translates rules."""
        words = rule_in_words(f, self.adtype, forward_first=False)
        if words.startswith(("rule of", "constant", "composition")):
            return f"its translation of {getattr(f, '__name__', f)}, adselect's conventions at kinks"
        return words

    def explain(self, error: Exception) -> str | None:
        """What the backend knows about an error that came out of f, as a note for it; None for nothing."""
        return None

    def linearized_matrix(self, call: Call, leaves: list) -> tuple[list, list]:
        """``(outputs, [matrix ∂y[k]/∂x[i] per leaf])`` of a single output y, rows and columns flattened.

        The default takes reverse mode row by row; for more rows than columns, or a complex result of real arguments, a
        backend with forward mode of its own evaluates f again and goes column by column.
        """
        outputs, _, back = self.pullback(call, leaves)
        y = outputs[0]
        m = _size(y)
        n = sum(_size(leaf) for leaf in leaves)
        if self.forward and (m > n or (_complex(y) and not any(_complex(leaf) for leaf in leaves))):
            return self.matrix_by_columns(call, leaves)
        return outputs, matrix_by_rows(back, y, leaves)

    def matrix_by_columns(self, call: Call, leaves: list) -> tuple[list, list]:
        """Like :meth:`linearized_matrix`, by one pushforward per column."""
        directions = []
        for i, leaf in enumerate(leaves):
            for unit in units(leaf):
                direction: list = [None] * len(leaves)
                direction[i] = unit
                directions.append(direction)
        outputs, dots, _ = self.pushforwards(call, leaves, directions)
        m, columns, blocks = _size(outputs[0]), iter(dots), []
        for leaf in leaves:
            block = [_flat_row(next(columns)[0], m) for _ in range(_size(leaf))]
            blocks.append(np.stack(block, axis=1) if block else np.zeros((m, 0)))
        return outputs, blocks


def _size(x: Any) -> int:
    return int(np.prod(tuple(x.shape))) if hasattr(x, "shape") else 1


def _complex(x: Any) -> bool:
    return "complex" in str(getattr(x, "dtype", type(x).__name__))


def _flat_row(row: Any, n: int) -> Any:
    """A row or column of a Jacobian as a vector; None (independent) is zeros."""
    if row is None:
        return np.zeros(n)
    return row if isinstance(row, Array) and row.ndim == 1 else np.reshape(to_numpy(row), -1)


def units(x: Any) -> list:
    """The unit vectors of the space x lives in, shaped like x."""
    shape = tuple(x.shape) if hasattr(x, "shape") else ()
    name = str(getattr(x, "dtype", type(x).__name__))
    dtype: Any = complex if "complex" in name else np.float32 if "float32" in name else float
    if not shape:
        return [np.dtype(dtype).type(1)]
    eye = np.eye(_size(x), dtype=dtype)
    return [eye[i].reshape(shape) for i in range(len(eye))]


def matrix_by_rows(back: Callable, y: Any, leaves: list) -> list:
    """The Jacobian of y per leaf, one pullback per row (two where a real argument gives a complex result)."""
    rows: list[list] = [[] for _ in leaves]
    for unit in units(y):
        first = back([unit])
        turned = back([1j * unit]) if _complex(y) and not all(_complex(leaf) for leaf in leaves) else None
        for i, leaf in enumerate(leaves):
            row = _flat_row(first[i], _size(leaf))
            if _complex(leaf):
                row = np.conj(row)
            elif turned is not None:
                row = row + 1j * _flat_row(turned[i], _size(leaf))
            rows[i].append(row)
    return [np.stack(r) if r else np.zeros((0, _size(leaf))) for r, leaf in zip(rows, leaves, strict=True)]


def _jacobian_rows(back: Callable, outputs: list, k: int) -> list[list]:
    """Cotangents of all leaves for each unit seed of output k (and for i times it where the output is complex)."""
    shape = np.shape(outputs[k])
    size = int(np.prod(shape))
    complex_output = np.result_type(outputs[k]).kind == "c"
    rows = []
    for unit in (1.0, 1j) if complex_output else (1.0,):
        for i in range(size):
            seed = np.zeros(size, dtype=type(unit))
            seed[i] = unit
            seeds: list = [None] * len(outputs)
            seeds[k] = seed.reshape(shape) if shape else seed[0]
            rows.append(back(seeds))
    return rows


def _contract(rows: list[list], tangents: list, output: Any) -> Any:
    """Σ over leaves of Re⟨row, tangent⟩, shaped like the output; None where the output depends on no leaf."""
    entries, dependent = [], False
    for row in rows:
        total = 0.0
        for x_bar, x_dot in zip(row, tangents, strict=True):
            if x_bar is None or x_dot is None:
                continue
            dependent = True
            product = np.conj(x_bar) * x_dot if np.result_type(x_bar, x_dot).kind == "c" else x_bar * x_dot
            total = total + np.real(np.sum(product))
        entries.append(total)
    if not dependent:
        return None
    size, shape = int(np.prod(np.shape(output))), np.shape(output)
    flat = np.stack(entries) if any(is_traced(e) for e in entries) else np.array(entries, dtype=float)
    if np.result_type(output).kind == "c":
        flat = flat[:size] + 1j * flat[size:]
    if np.result_type(output).kind in "fc":
        flat = flat.astype(np.result_type(output))
    return np.reshape(flat, shape) if shape else flat[0]


def pullback_by_directions(
    pushforwards: Callable, call: Call, leaves: list
) -> tuple[list, list, Callable[[list], list]]:
    """A pullback from pushforwards along every coordinate (and i times it for complex leaves)."""
    directions, place = [], []
    for i, leaf in enumerate(leaves):
        dtype = leaf_dtype(leaf)
        shape = tuple(np.shape(leaf)) if not hasattr(leaf, "shape") else tuple(leaf.shape)
        size = int(np.prod(shape))
        for unit in (1.0, 1j) if dtype is not None and dtype.kind == "c" else (1.0,):
            for j in range(size):
                basis = np.zeros(
                    size, dtype=np.result_type(unit, dtype if dtype is not None and dtype.kind in "fc" else float)
                )
                basis[j] = unit
                direction: list = [None] * len(leaves)
                direction[i] = basis.reshape(shape) if shape else basis[0]
                directions.append(direction)
                place.append((i, j, unit))
    outputs, dots, aux = pushforwards(call, leaves, directions)

    def back(y_bars: list) -> list:
        entries: list[list] = [[] for _ in leaves]
        # What has no entries has a cotangent without entries.
        dependent = [isa(leaf, np.ndarray) and leaf.size == 0 and leaf.dtype.kind in "fc" for leaf in leaves]
        for (i, _, unit), tangents in zip(place, dots, strict=True):
            total: Any = 0.0
            for y_bar, y_dot in zip(y_bars, tangents, strict=True):
                if y_bar is None or y_dot is None:
                    continue
                dependent[i] = True
                product = np.conj(y_bar) * y_dot if _any_complex(y_bar, y_dot) else y_bar * y_dot
                if not (isinstance(product, Array) and product._by_reference):
                    product = without_zero_times_infinity(product, y_bar)
                total = total + np.real(np.sum(product))
            entries[i].append(total * unit)
        return [_assemble(e, leaf) if seen else None for e, leaf, seen in zip(entries, leaves, dependent, strict=True)]

    return outputs, aux, back


def _any_complex(*values: Any) -> bool:
    return any(np.iscomplexobj(v) for v in values)


def _assemble(entries: list, leaf: Any) -> Any:
    """The cotangent of a leaf from its entries (real parts first, then imaginary ones)."""
    shape = tuple(leaf.shape) if hasattr(leaf, "shape") else np.shape(leaf)
    size = int(np.prod(shape))
    if len(entries) == 2 * size and size:
        entries = [a + b for a, b in zip(entries[:size], entries[size:], strict=True)]
    if not shape:
        return entries[0]
    flat = np.stack(entries) if any(isinstance(e, Array) for e in entries) else np.array(entries)
    return np.reshape(flat, shape)


# -- from choice to backend ------------------------------------------------------------------------------------------

_CLASSES: dict[type, type[Backend]] = {}


def register_backend(adtype: type[ADType], backend: type[Backend]) -> None:
    """Say which Backend class implements an adtype class: how a third-party package plugs in its own.

    >>> from adselect.backends.tape.backend import TapeBackend
    >>> from adselect import AutoTape
    >>> register_backend(AutoTape, TapeBackend)

    An instance that has been used already keeps the backend it was used with. Raises ADSelectTypeError for a class
    that defines neither ``pullback`` nor ``pushforwards``: each has its default in terms of the other.
    """
    if backend.pullback is Backend.pullback and backend.pushforwards is Backend.pushforwards:
        raise ADSelectTypeError(
            f"{backend.__name__} defines neither pullback nor pushforwards; write one of them, the other is derived"
        )
    _CLASSES[adtype] = backend


def unregister_backend(adtype: type[ADType]) -> None:
    """Forget what :func:`register_backend` said about an adtype class. Raises KeyError where it said nothing."""
    del _CLASSES[adtype]


def installed(adtype: type[ADType] | ADType) -> bool:
    """Whether the package behind an adtype can be imported; imports nothing."""
    from importlib.util import find_spec

    return not adtype.requires or find_spec(adtype.requires) is not None


def backend_of(adtype: ADType) -> Backend:
    """The backend that implements a choice; loads its framework on first use.

    Raises BackendNotInstalledError with the line to type when the package is missing.
    """
    try:
        return adtype.__dict__["_backend"]  # remembered on the choice: hashing a dataclass costs a microsecond
    except KeyError:
        backend = adtype.__dict__["_backend"] = _load(adtype)
        return backend


def _load(adtype: ADType) -> Backend:
    cls = _CLASSES.get(type(adtype))
    if cls is None:
        if not adtype.backend:
            raise ADSelectTypeError(
                f"{type(adtype).__name__} names no backend: set its class attribute backend = 'module:Class' or call "
                "adselect.backends.base.register_backend"
            )
        if not installed(adtype):
            raise BackendNotInstalledError(
                f"{adtype!r} needs the package {adtype.requires!r}, which is not installed. "
                f'Type: pip install "adselect[{adtype.extra}]"'
            )
        module, _, name = adtype.backend.partition(":")
        cls = _CLASSES[type(adtype)] = getattr(importlib.import_module(module), name)
    check_own_rules(adtype)
    return cls(adtype)


# -- the NumPy face over a framework's array ---------------------------------------------------------------------------


class Selections(threading.local):
    """The dependency mask of the scalars compared with one another in the call under way on this thread.

    They decide a selection (Python's min and max), on which the result depends with slope zero.
    """

    deps = 0
    start = 0  # the first bit of the innermost call

    def note(self, a: FrameworkArray, b: FrameworkArray) -> None:
        """Two scalars are compared; not noted where they belong to different derivatives, or to who knows which."""
        deps = a.deps | b.deps
        if deps > 0 and bool(a.deps >> self.start) == bool(b.deps >> self.start):
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


UNKNOWN = -1  # a dependency mask that includes every leaf: a value whose history we did not see


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


class FrameworkArray(Array):
    """The NumPy face over a framework's own array; ``deps`` is the bit mask of the leaves it depends on.

    A subclass per framework gives ``_target`` (NumPy function → the framework's implementation over native values),
    ``_native`` and ``_wrap``. The mask makes "does not depend on" mean the same on every framework.
    """

    __slots__ = ("_array", "_order", "deps", "integer")

    real_only: Set[Any] = frozenset()  # functions that the framework has for real numbers only

    def __init__(self, value: Any, deps: int = UNKNOWN, integer: Any = None):
        self._primal, self.deps, self.integer = value, deps, integer

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
            self = type(self)(self._primal, self.deps, self.integer)
            self._array = True
        return self

    def _as_scalar(self) -> Any:
        return self if self._is_scalar() else type(self)(self._primal, self.deps, self.integer)

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
        if function in cls.real_only and any([np.iscomplexobj(a) for a in args]):
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
            if function in ARRAYS_ALWAYS and isinstance(result, FrameworkArray) and not result._primal.shape:
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
        on_host = hosted(function)
        if on_host is not None:
            return on_host(*args, **kwargs)
        if function in RULES and getattr(function, "__module__", "").startswith("adselect."):
            # One of the rules' own functions, met in a rule: what it does with NumPy.
            return getattr(function, "__wrapped__", function)(*args, **kwargs)
        name = getattr(function, "__name__", str(function))
        raise MissingRuleError(
            f"np.{name}{f' with {option}' if option else ''} has no {self.framework} translation ({user_line()}). "
            f"Write it with functions that have one, or wrap it: f = adselect.primitive(np.{name}) and give f a rule "
            "with adselect.define_rrule(f)."
        )

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
            mask[0] |= value.deps
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
        if isinstance(value, FrameworkArray) and value.integer is not None:
            return value.integer
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
        if self.deps == 0 or (self.integer is None and self.dtype.kind in "iub"):
            return self._numbers()
        return NotImplemented

    def _numbers(self) -> Any:
        """The NumPy value; where there is none at this time, an error that says why, or NotImplemented."""
        return self._inside

    def __index__(self) -> int:
        if self.integer is not None:
            return operator.index(self.integer)
        if self.dtype.kind == "b":
            raise TypeError("'numpy.bool' object cannot be interpreted as an integer")
        return super().__index__()

    def _rebind(self, other: Any) -> None:
        self._primal, self.deps, self.integer = other._primal, other.deps, other.integer
