"""The trace: what the built-in engine writes down while f runs.

A :class:`TapeArray` is a value, the trace it belongs to and its place on it. Every operation computes its result with
NumPy and appends one record ``(rule, parents, y, args, kwargs)``: enough to pull a cotangent back (``reverse.py``), to
push a tangent forward, or to carry the operation out again (``replay.py``). The values may themselves be TapeArrays of
an outer, older trace: rules are NumPy code, so they are recorded there, and derivatives nest to any depth. Levels are
handed out by one counter, newest highest, which is all that is needed to keep nested derivatives apart.
"""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import MissingRuleError, user_line
from ..face.array import Array
from ..face.atoms import clipped, join, pile, rolled, select, set_item
from ..face.dispatch import absorb, dispatch
from ..face.indices import covers_all, is_basic, plain_index, without_leading_ones
from ..face.integers import TO_INTEGERS, as_integers
from ..face.layout import axes_in_memory
from ..face.likeness import entry_of_scalar
from ..face.operators import BINARY_OPERATORS, COMPARISONS, UNARY_OPERATORS
from ..face.ufuncs import ufunc_call
from ..face.views import link_view
from ..face.watching import fingerprint, overwritten
from ..rules.reductions import expand
from ..rules.registration import load_for
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES, positional
from ..rules.rule import Elementwise, Rule, Uniform
from ..values.kinds import isa

__all__ = ["EngineArray", "TapeArray", "Trace"]

# What makes integers of integers, the rules' own functions included.
WHOLE = TO_INTEGERS | {clipped, join, pile, rolled, select, set_item}

_LEVELS = itertools.count(1)
_EMPTY: dict = {}
_FLOAT64 = np.dtype(np.float64)
# Operand types that need no look before Python's own operator is used on them.
_PLAIN = frozenset({float, int, complex, np.float64, np.ndarray, np.int64, np.float32, np.complex128, np.bool_})


class Trace:
    """The records of one differentiated call, by place; places are handed out by an atomic counter (threads)."""

    __slots__ = (
        *("by_reference", "copies", "integers", "level", "nested", "next_place"),
        *("open", "records", "selecting", "watched"),
    )

    def __init__(self, by_reference: bool = False) -> None:
        self.by_reference = by_reference
        # Large plain arrays that were recorded, with a fingerprint, and copies of smaller ones, each by its memory.
        self.watched: dict[tuple, tuple[np.ndarray, Any]] = {}
        self.copies: dict[tuple, tuple[bytearray, np.ndarray]] = {}
        self.level = next(_LEVELS)
        self.records: dict[int, Any] = {}
        self.next_place: Callable[[], int] = itertools.count().__next__
        self.open = True
        self.nested = False  # whether an inner derivative runs on values of this trace
        # Places of scalars compared with one another: they decide a selection (Python's min and max), which depends on
        # them with slope zero.
        self.selecting: set[int] = set()
        # Leaves that are integers, by place: they count as floats and can still be used as indices and sizes.
        self.integers: dict[int, Any] = {}

    def leaf(self, value: Any, integers: Any = None) -> TapeArray:
        """A new traced value that depends on nothing: an argument of f; integers: what it is where value is a float."""
        array = _new(TapeArray)
        array._primal, array._trace, array.place = value, self, self.next_place()
        if integers is not None:
            self.integers[array.place] = integers
        return array

    def are_integers(self, place: int) -> bool:
        """Whether the value at a place was computed from integers alone, by functions that make integers of them."""
        pending, seen = [place], set()
        while pending:
            k = pending.pop()
            if k in self.integers or k in seen:
                continue
            seen.add(k)
            record = self.records.get(k)
            if record is None:
                return False
            rule, parents, _, args, _ = record
            if rule.function not in WHOLE:
                return False
            for p, a in itertools.zip_longest(parents, args):
                if p is not None and p >= 0:
                    pending.append(p)
                elif rule is not GETITEM and (
                    isa(a, (float, complex, np.inexact)) or (isa(a, np.ndarray) and a.dtype.kind in "fc")
                ):
                    return False
        return True

    def record(self, rule: Rule, parents: tuple, y: Any, args: Any, kwargs: dict) -> Any:
        """Write an operation down; parents holds a place per argument, -1 for those that are not traced here."""
        place = self.next_place()
        if rule.by_shape:
            self.records[place] = (rule, parents, _outline(y), tuple([_outline(a) for a in args]), kwargs)
        else:
            self.records[place] = (rule, parents, y, args, kwargs)
        array = _new(TapeArray)
        array._primal, array._trace, array.place = y, self, place
        if type(y) in (tuple, list) or isinstance(y, tuple):
            items = [
                self.record(ITEM, (place,), item, (y, i), _EMPTY) if _differentiable(item) else item
                for i, item in enumerate(y)
            ]
            return type(y)(*items) if hasattr(y, "_fields") else type(y)(items)
        return array

    def keep(self, array: np.ndarray) -> np.ndarray:
        """A plain array as the reverse pass may rely on it: f, or its caller, may overwrite it in the meantime.

        A small array is copied, one of middling size once for all uses with the same contents. A large one is recorded
        as it is, with a fingerprint that :meth:`check_watched` compares: an error is better than a copy of all data,
        and much better than a wrong number.
        """
        size = array.size
        if size <= _SMALL:
            return array.copy(order="K")
        memory = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        if size <= _COPIED:
            return self._copy(array, memory)
        known = self.watched.get(memory)
        if known is None:
            self.watched[memory] = (array, fingerprint(array))
        elif known[1] != fingerprint(array):
            raise overwritten(array)
        return array

    def _copy(self, array: np.ndarray, memory: tuple) -> np.ndarray:
        turned = array.flags.f_contiguous and not array.flags.c_contiguous
        seen = array.T if turned else array
        if not seen.flags.c_contiguous:
            return array.copy(order="K")
        seen = seen.reshape(-1).view(np.uint8)
        known = self.copies.get(memory)
        if known is None or known[0] != seen.data:  # as one comparison of memory
            held = bytearray(seen)
            copied = np.frombuffer(held, array.dtype).reshape(array.shape, order="F" if turned else "C")
            known = self.copies[memory] = (held, copied)
        return known[1]

    def keep_index(self, index: Any) -> Any:
        """The same for an index, or another argument: arrays and lists in it are kept."""
        kind = type(index)
        if kind is np.ndarray:
            return self.keep(index)
        if kind is list and _FIXED.issuperset(map(type, index)):
            return index.copy()
        if kind is list or (kind is tuple and not _HOLDERS.isdisjoint(map(type, index))):
            return kind([self.keep_index(i) if type(i) in _HOLDERS else i for i in index])
        return index

    def check_watched(self) -> None:
        """Raise when a large recorded array is not what it was."""
        for array, mark in self.watched.values():
            if fingerprint(array) != mark:
                raise overwritten(array)

    def close(self) -> None:
        """f has returned: values that escaped behave as plain values from now on."""
        self.open = False


class _Outline:
    """Stands for a large array whose derivative rule asks for its shape and dtype only, so that its memory is free."""

    __slots__ = ("dtype", "ndim", "shape", "size")

    def __init__(self, array: np.ndarray):
        self.shape, self.dtype, self.ndim, self.size = array.shape, array.dtype, array.ndim, array.size


def _outline(value: Any) -> Any:
    return _Outline(value) if type(value) is np.ndarray and value.size > _SMALL else value


_SMALL = 2048  # entries up to which a plain array is copied when it is recorded
_COPIED = 65536  # and up to which it is copied unless that has been done
_HOLDERS = frozenset({np.ndarray, list, tuple})
_FIXED = frozenset({int, bool, str, type(None), type})  # what nothing can be written to, and is no traced value


def _differentiable(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype.kind in "fc" if dtype is not None else isa(value, (float, complex))


class _Item(Rule):
    """One entry of a result that is a tuple; the reverse pass collects their cotangents."""

    def __init__(self) -> None:
        super().__init__(operator.getitem, (), ())

    def push(self, i: int, x_dot: Any, y: Any, args: Any, kwargs: dict) -> Any:
        return x_dot[args[1]]


ITEM = _Item()
# The sum of all entries of a real array: the cotangent goes to every entry, and neither result nor array is needed.
TOTAL = Uniform(np.sum, (lambda g, y, x: g,))
# The same along axes; the shape of the array takes its place.
PART_OF_TOTAL = Uniform(np.sum, (lambda g, y, shape, axis, keepdims: expand(g, axis, keepdims, shape),))
_ADD: Callable = np.add.reduce
_NOTHING, _NOTHING_TWICE = (None,), (None, None)
_INDEXED = ("getitem", "set_item")  # whose last argument is an index


class EngineArray(Array):
    """What the tape's arrays and the forward mode's dual arrays share: finding the rule and running it."""

    __slots__ = ("_trace",)

    _trace: Any  # not "trace": that is a method of arrays

    _finds_integers = True

    @property
    def level(self) -> int:
        return self._trace.level

    @property
    def _closed(self) -> bool:
        return not self._trace.open

    def _known(self) -> Any:
        return NotImplemented if self._trace.open else super()._known()

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().astype(dtype, *args, **kwargs)
        if isinstance(result, EngineArray) and result.dtype.kind in "iub" and self.dtype.kind in "fc":
            return result._primal  # rounded: no derivative goes through it
        return result

    @property
    def shape(self) -> tuple[int, ...]:
        try:
            return self._primal.shape
        except AttributeError:
            return np.shape(self._primal)

    @property
    def _by_reference(self) -> bool:
        return self._trace.by_reference

    def _is_scalar(self) -> bool:
        value = self._primal
        if isinstance(value, Array):
            return value._is_scalar()
        return not isa(value, np.ndarray)

    def _as_array(self) -> Any:
        return dispatch(np.copy, (self,), {}) if self._is_scalar() else self

    def _as_scalar(self) -> Any:
        return self if self._is_scalar() else self._getitem(())

    def _rounded(self) -> Any:
        """The values as integers, None where they are none."""
        value = self._primal
        numbers = value
        while isinstance(numbers, Array):
            numbers = numbers.concrete if hasattr(numbers, "program") else numbers._inside  # type: ignore[attr-defined]
        if np.any(np.floor(numbers) != numbers) or np.any(np.abs(numbers) > 2**53):
            return None
        return np.astype(value, np.int64) if isa(value, (Array, np.ndarray)) else np.int64(value)  # type: ignore[call-overload]

    def _record(self, rule: Rule, y: Any, args: list, own: list, kwargs: dict) -> Any:
        """Attach the derivative of ``y = rule.call(*args)``; own[i] is the Array of this trace behind args[i]."""
        raise NotImplementedError

    def _apply(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        trace = self._trace
        if not trace.open:
            return dispatch(function, _strip(args, trace), _strip_options(kwargs, trace))
        rule = RULES.get(function)
        if rule is None:
            return self._apply_without_rule(function, args, kwargs)
        if kwargs:
            args, kwargs = positional(function, args, kwargs)
            if kwargs:
                kwargs = {k: v if type(v) in _FIXED else trace.keep_index(_value(v, trace)) for k, v in kwargs.items()}
        values, own = [], []
        cls = type(self)
        for a in args:
            if type(a) is cls and a._trace is trace:
                values.append(a._primal)
                own.append(a)
            elif (isinstance(a, Array) and not a._closed) or (type(a) is tuple and _FIXED.issuperset(map(type, a))):
                values.append(a)  # of another trace; a shape, axes
                own.append(None)
            elif type(a) in (list, tuple) or isinstance(a, Array):
                if a is args[-1] and getattr(function, "__name__", "") in _INDEXED:
                    stacked: Any = a  # an index of several parts is no list of numbers
                else:
                    stacked = a._primal if isinstance(a, Array) else absorb(a)
                if type(stacked) is cls and stacked._trace is trace:
                    values.append(stacked._primal)
                    own.append(stacked)
                else:
                    is_array = type(stacked) in (list, tuple) and rule.differentiable(len(values))
                    values.append(np.asarray(stacked) if is_array else trace.keep_index(stacked))
                    own.append(None)
            elif type(a) is np.ndarray and a.dtype.char == "O":
                stacked = absorb(a)
                traced_here = type(stacked) is cls and stacked._trace is trace
                values.append(stacked._primal if traced_here else stacked)
                own.append(stacked if traced_here else None)
            else:
                values.append(trace.keep(a) if type(a) is np.ndarray else a)
                own.append(None)
        y = rule.call(*values, **kwargs)
        traced = False
        for i, a in enumerate(own):
            if a is not None:
                if rule.differentiable(i):
                    traced = True
                else:  # a parameter without a derivative (an axis, a number of repeats): its value is all that counts
                    own[i] = None
        if not traced:
            return y
        return self._record(rule, y, values, own, kwargs)

    def _apply_without_rule(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        trace = self._trace
        implementation = COMPOSITES.get(function)
        if implementation is not None:
            return implementation(*args, **kwargs)
        if function in NO_DERIVATIVE:
            return dispatch(function, _strip(args, trace), _strip_options(kwargs, trace))
        if load_for(function):
            return self._apply(function, args, kwargs)
        apply_on = getattr(function, "apply_on", None)
        if apply_on is not None:  # a primitive of the user's
            return apply_on(self, args)
        name = getattr(function, "__name__", str(function))
        raise MissingRuleError(
            f"{name} was called on a traced value at {user_line()} and has no derivative rule. Write it with functions "
            f"that have one, mark its argument with adselect.ignore_derivatives if it carries no derivative, or wrap "
            f"it: f = adselect.primitive({name}) and give f a rule with adselect.define_rrule(f)."
        )

    def _rebind(self, other: Any) -> None:
        raise NotImplementedError

    def _getitem(self, index: Any) -> Any:
        return self._apply(operator.getitem, (self, index), {})

    def _setitem(self, index: Any, value: Any) -> Any:
        if covers_all(index):
            value = np.broadcast_to(without_leading_ones(value, self.ndim), self.shape)
            value = value.astype(self.dtype) if value.dtype != self.dtype else value
            axes = axes_in_memory(self)  # written into the memory that is there: its layout stays
            if axes == tuple(range(len(axes))):
                return np.copy(value, order="C")
            return np.transpose(np.copy(np.transpose(value, axes), order="C"), np.argsort(axes))
        return dispatch(set_item, (self, value, index), {})


def _strip(args: Any, trace: Any) -> tuple:
    return tuple([_value(a, trace) for a in args])


def _strip_options(kwargs: dict, trace: Any) -> dict:
    return {k: _value(v, trace) for k, v in kwargs.items()} if kwargs else kwargs


def _value(a: Any, trace: Any) -> Any:
    """a without this trace; lists are looked into."""
    if isinstance(a, EngineArray) and a._trace is trace:
        return a._primal
    if type(a) is list:
        return [_value(v, trace) for v in a]
    if type(a) is tuple:
        return tuple([_value(v, trace) for v in a])
    if type(a) is np.ndarray and a.dtype == object:
        return _value(absorb(a), trace)
    return a


class TapeArray(EngineArray):
    """A value on a trace. Operators, ufuncs and indexing have short paths here; everything else goes through
    ``EngineArray._apply``.
    """

    __slots__ = ("place",)

    place: int

    def _record(self, rule: Rule, y: Any, args: list, own: list, kwargs: dict) -> Any:
        return self._trace.record(rule, tuple([-1 if a is None else a.place for a in own]), y, tuple(args), kwargs)

    def _constant(self, value: Any) -> TapeArray:
        return self._trace.record(CONSTANT, (), value, (), _EMPTY)

    def _integers(self) -> Any:
        trace = self._trace
        if not trace.integers:
            return None
        if self.place in trace.integers:
            return as_integers(trace.integers[self.place])
        return self._rounded() if trace.are_integers(self.place) else None

    def _rebind(self, other: Any) -> None:
        if not (type(other) is TapeArray and other._trace is self._trace):
            other = self._constant(other)
        self._primal, self.place = other._primal, other.place

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            rule = RULES.get(ufunc)
            trace = self._trace
            if rule is not None and trace.open:
                if len(inputs) == 1:
                    x = self._primal
                    y = rule.call(x)
                    place = trace.next_place()
                    if (
                        type(y) is np.ndarray
                        and y.dtype is _FLOAT64
                        and x.dtype is _FLOAT64
                        and type(rule) is Elementwise
                    ):
                        trace.records[place] = (
                            rule.uniform,
                            (self.place,),
                            y if rule.needs_y else None,
                            (x,) if rule.needs_args else _NOTHING,
                            _EMPTY,
                        )
                    else:
                        trace.records[place] = (rule, (self.place,), y, (x,), _EMPTY)
                    array = _new(TapeArray)
                    array._primal, array._trace, array.place = y, trace, place
                    return array
                if len(inputs) == 2:
                    a, b = inputs
                    p = q = -1
                    kind = type(a)
                    if kind is TapeArray and a._trace is trace:
                        p, a = a.place, a._primal
                    elif kind not in _PLAIN or (kind is np.ndarray and a.dtype == object):
                        return ufunc_call(ufunc, method, inputs, kwargs)
                    elif kind is np.ndarray and getattr(rule, "needs_args", True):
                        a = trace.keep(a)
                    kind = type(b)
                    if kind is TapeArray and b._trace is trace:
                        q, b = b.place, b._primal
                    elif kind not in _PLAIN or (kind is np.ndarray and b.dtype == object):
                        return ufunc_call(ufunc, method, inputs, kwargs)
                    elif kind is np.ndarray and getattr(rule, "needs_args", True):
                        b = trace.keep(b)
                    y = rule.call(a, b)
                    place = trace.next_place()
                    if (
                        type(rule) is Elementwise
                        and type(a) is np.ndarray
                        and type(b) is np.ndarray
                        and y.dtype is _FLOAT64
                        and a.shape == b.shape
                    ):
                        y_kept = y if rule.needs_y else None
                        trace.records[place] = (
                            rule.uniform,
                            (p, q),
                            y_kept,
                            (a, b) if rule.needs_args else _NOTHING_TWICE,
                            _EMPTY,
                        )
                    else:
                        trace.records[place] = (rule, (p, q), y, (a, b), _EMPTY)
                    array = _new(TapeArray)
                    array._primal, array._trace, array.place = y, trace, place
                    return array
        return ufunc_call(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if (
            args
            and args[0] is self
            and function in _SIMPLE
            and len(args) < 3
            and (not kwargs or _NAMED.issuperset(kwargs))
        ):
            trace = self._trace
            x = self._primal
            if trace.open:
                if len(args) == 1 and not kwargs and function is np.sum and type(x) is np.ndarray:
                    y = _ADD(x, None)
                    record = (TOTAL, (self.place,), None, _NOTHING, _EMPTY)
                elif _OPTIONS.issuperset(map(type, kwargs.values())) and (
                    len(args) == 1 or _OPTIONS.issuperset(map(type, args[1:]))
                ):
                    rule = RULES[function]
                    y = rule.call(x, *args[1:], **kwargs)
                    if function is np.sum and len(args) == 1 and type(y) is np.ndarray and _SHAPED.issuperset(kwargs):
                        # The shape is all that the way back needs of x.
                        how = (x.shape, kwargs.get("axis"), kwargs.get("keepdims") is True)
                        record = (PART_OF_TOTAL, (self.place,), None, how, _EMPTY)
                    else:
                        record = (rule, (self.place,), y, (x, *args[1:]), kwargs)
                else:
                    return Array.__array_function__(self, function, types, args, kwargs)
                place = trace.next_place()
                trace.records[place] = record
                array = _new(TapeArray)
                array._primal, array._trace, array.place = y, trace, place
                return array
        return Array.__array_function__(self, function, types, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        trace = self._trace
        kind = type(index)
        if kind is not int and kind is not slice:
            index = trace.keep_index(plain_index(index))
        if not trace.open:
            return self._primal[index]
        x = self._primal
        try:
            y = x[index]
        except (IndexError, TypeError):
            if kind is int and self._is_scalar():
                raise entry_of_scalar(self, sys._getframe(1)) from None
            raise
        place = trace.next_place()
        # The shape is all that the way back needs of x.
        trace.records[place] = (GETITEM, (self.place,), None, (x.shape, index), _EMPTY)
        array = _new(TapeArray)
        array._primal, array._trace, array.place = y, trace, place
        if type(y) is np.ndarray:
            if kind is slice or is_basic(index):
                link_view(self, array, index)
        elif not array._is_scalar() and is_basic(index):
            link_view(self, array, index)
        return array

    def __bool__(self) -> bool:
        return bool(self._primal)


_new: Callable[[type], Any] = TapeArray.__new__  # type: ignore[assignment]
# Functions of one array with a single result and options only: recorded without looking for other traced arguments.
_SIMPLE = frozenset({np.sum, np.mean, np.max, np.min, np.prod, np.cumsum})
_OPTIONS = frozenset({int, bool, type(None), type})
_SHAPED = frozenset({"axis", "keepdims"})
_NAMED = frozenset({"axis", "keepdims", "dtype"})


class _Constant(Rule):
    """A value written over a traced array: the record ends the dependence on what was there."""

    def __init__(self) -> None:
        super().__init__(None, (), ())


CONSTANT = _Constant()
GETITEM: Rule = None  # type: ignore[assignment]  # set by rules.indexing's registration, below


def _binary(function: Any, operate: Callable, rule: Rule | None) -> tuple[Callable, Callable]:
    def forward(self: TapeArray, other: Any) -> Any:
        kind = type(other)
        trace = self._trace
        a = self._primal
        if other is self and square is not None:
            return square(self)
        if kind is TapeArray:
            if other._trace is not trace:
                return ufunc_call(function, "__call__", (self, other), {})
            b = other._primal
            parents = (self.place, other.place)
        elif kind is float or kind is int:
            try:
                y = operate(a, other)
            except ZeroDivisionError:
                y = function(a, other)
            place = trace.next_place()
            if forgets and type(y) is np.ndarray and y.dtype is _FLOAT64:
                # Linear in a: neither a nor y is needed again, and both may be freed.
                trace.records[place] = (uniform, (self.place, -1), None, (None, other), _EMPTY)
            else:
                trace.records[place] = (unstretched, (self.place, -1), y, (a, other), _EMPTY)
            array = _new(TapeArray)
            array._primal, array._trace, array.place = y, trace, place
            return array
        elif kind in _PLAIN:
            b = other
            if kind is np.ndarray:
                if b.dtype == object:
                    return ufunc_call(function, "__call__", (self, other), {})
                if needs_values:
                    b = trace.keep(b)
            parents = (self.place, -1)
        else:
            return _slow_forward(self, other)
        try:
            y = operate(a, b)
        except ZeroDivisionError:
            y = function(a, b)
        place = trace.next_place()
        if type(a) is np.ndarray and type(b) is np.ndarray and y.dtype is _FLOAT64 and a.shape == b.shape:
            if forgets_right:
                trace.records[place] = (uniform, parents, None, (a, b) if needs_values else _NOTHING_TWICE, _EMPTY)
            else:
                trace.records[place] = (uniform, parents, y, (a, b), _EMPTY)
        else:
            trace.records[place] = (rule, parents, y, (a, b), _EMPTY)
        array = _new(TapeArray)
        array._primal, array._trace, array.place = y, trace, place
        return array

    def backward(self: TapeArray, other: Any) -> Any:
        kind = type(other)
        if kind is not float and kind is not int:
            if kind not in _PLAIN or kind is np.ndarray:
                return _slow_backward(self, other)
        trace = self._trace
        b = self._primal
        try:
            y = operate(other, b)
        except ZeroDivisionError:
            y = function(other, b)
        place = trace.next_place()
        if forgets_right and (kind is float or kind is int) and type(y) is np.ndarray and y.dtype is _FLOAT64:
            trace.records[place] = (uniform, (-1, self.place), None, (other, None), _EMPTY)
        else:
            trace.records[place] = (unstretched, (-1, self.place), y, (other, b), _EMPTY)
        array = _new(TapeArray)
        array._primal, array._trace, array.place = y, trace, place
        return array

    unstretched = getattr(rule, "unstretched", rule)
    uniform = getattr(rule, "uniform", rule)
    needs_values = getattr(rule, "signs", None) is None
    forgets_right = function in (np.add, np.subtract, np.multiply)
    forgets = forgets_right or function is np.divide
    # x * x is recorded as a square: one contribution to the cotangent instead of two.
    square = _unary(np.square, lambda x: x * x, RULES[np.square]) if function is np.multiply else None
    name = function_names[function]
    _slow_forward = getattr(Array, f"__{name}__")
    _slow_backward = getattr(Array, f"__r{name}__")
    return forward, backward


def _method(function: Any) -> Callable:
    def method(self: TapeArray, *args: Any, **kwargs: Any) -> Any:
        return self.__array_function__(function, (), (self, *args), kwargs)

    return method


def _power(general: Callable, square: Elementwise) -> Callable:
    def power(self: TapeArray, other: Any) -> Any:
        if type(other) is not int or other != 2:
            return general(self, other)
        trace = self._trace
        x = self._primal
        y = x**2
        place = trace.next_place()
        if type(x) is np.ndarray and x.dtype is _FLOAT64:
            trace.records[place] = (uniform_square, (self.place,), None, (x,), _EMPTY)
        else:
            trace.records[place] = (square, (self.place,), y, (x,), _EMPTY)
        array = _new(TapeArray)
        array._primal, array._trace, array.place = y, trace, place
        return array

    uniform_square = square.uniform
    return power


def _unary(function: Any, operate: Callable, rule: Any) -> Callable:
    def apply(self: TapeArray) -> Any:
        trace = self._trace
        x = self._primal
        y = operate(x)
        place = trace.next_place()
        if uniform is not None and type(x) is np.ndarray and x.dtype is _FLOAT64:
            trace.records[place] = (uniform, (self.place,), None, (x,) if rule.needs_args else _NOTHING, _EMPTY)
        else:
            trace.records[place] = (rule, (self.place,), y, (x,), _EMPTY)
        array = _new(TapeArray)
        array._primal, array._trace, array.place = y, trace, place
        return array

    # negative and square: what they give is not needed on the way back
    uniform = None if getattr(rule, "needs_y", True) else rule.uniform
    return apply


def _comparison(operate: Callable, slow: Callable) -> Callable:
    def compare(self: TapeArray, other: Any) -> Any:
        kind = type(other)
        if kind is TapeArray and other._trace is self._trace:
            result = operate(self._primal, other._primal)
            if type(result) is not np.ndarray:
                self._trace.selecting.update((self.place, other.place))
            return result
        if kind is float or kind is int:
            return operate(self._primal, other)
        return slow(self, other)

    return compare


function_names = {function: name for name, function in BINARY_OPERATORS.items()}


def install() -> None:
    """Give TapeArray its short operator paths; called once the rules are registered."""
    global GETITEM
    GETITEM = RULES[operator.getitem]
    for name, function in BINARY_OPERATORS.items():
        rule = RULES.get(function)
        if rule is not None:
            forward, backward = _binary(function, getattr(operator, name), rule)
            setattr(TapeArray, f"__{name}__", forward)
            setattr(TapeArray, f"__r{name}__", backward)
    for function in _SIMPLE:
        setattr(TapeArray, function.__name__, _method(function))
    TapeArray.__pow__ = _power(TapeArray.__pow__, RULES[np.square])  # type: ignore[method-assign]
    for name, function in UNARY_OPERATORS.items():
        rule = RULES.get(function)
        if rule is not None:
            setattr(TapeArray, f"__{name}__", _unary(function, getattr(operator, name), rule))
    for name in COMPARISONS:
        setattr(TapeArray, f"__{name}__", _comparison(getattr(operator, name), getattr(Array, f"__{name}__")))
    TapeArray.__hash__ = Array.__hash__  # type: ignore[method-assign]
