"""Short paths of the tape: what is common is recorded without a look at everything that could have been there.

``trace.py`` is complete and right without this file. Each function here does for some operands what ``EngineArray``
does for all of them, leaving to it whatever it does not expect, and writes a record that means the same and holds
less: the reverse pass of a sum needs neither the sum nor the array. :func:`install` puts them on ``TapeArray``, and the
walk of ``quick_reverse.py`` in the place of the plain one; :func:`without_short_paths` takes them away, which tests use
to hold both against each other.

What all of them end with, making the array and giving it its three attributes, is written out in each: a call for it
would cost a tenth of an operation on small arrays.
"""

from __future__ import annotations

import contextlib
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..face.array import Array, ufunc_call
from ..face.indices import is_basic, plain_index
from ..face.likeness import entry_of_scalar
from ..face.operators import BINARY_OPERATORS, COMPARISONS, UNARY_OPERATORS
from ..face.views import link_view
from ..rules.registry import RULES, Elementwise, Rule
from . import quick_reverse, reverse
from .quick_reverse import ENTRY, PART_OF_TOTAL, TOTAL
from .trace import PLAIN, TapeArray

__all__ = ["install", "uninstall", "without_short_paths"]

_FLOAT64 = np.dtype(np.float64)
_EMPTY: dict = {}
_NOTHING, _NOTHING_TWICE = (None,), (None, None)
_ADD: Callable = np.add.reduce
_new: Callable[[type], Any] = TapeArray.__new__  # type: ignore[assignment]
# Functions of one array with a single result and options only: recorded without looking for other traced arguments.
_SIMPLE = frozenset({np.sum, np.mean, np.max, np.min, np.prod, np.cumsum})
_OPTIONS = frozenset({int, bool, type(None), type})
_SHAPED = frozenset({"axis", "keepdims"})
_NAMED = frozenset({"axis", "keepdims", "dtype"})


# -- NumPy's protocols -------------------------------------------------------------------------------------------------


def _array_ufunc(self: TapeArray, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method == "__call__" and not kwargs:
        rule = RULES.get(ufunc)
        trace = self._trace
        if rule is not None and trace.open:
            if len(inputs) == 1:
                x = self._primal
                y = rule.call(x)
                place = trace.next_place()
                if type(y) is np.ndarray and y.dtype is _FLOAT64 and x.dtype is _FLOAT64 and type(rule) is Elementwise:
                    trace.records[place] = (
                        rule.uniform,
                        (self._place,),
                        y if rule.needs_y else None,
                        (x,) if rule.needs_args else _NOTHING,
                        _EMPTY,
                    )
                else:
                    trace.records[place] = (rule, (self._place,), y, (x,), _EMPTY)
                array = _new(TapeArray)
                array._primal, array._trace, array._place = y, trace, place
                return array
            if len(inputs) == 2:
                a, b = inputs
                p = q = -1
                kind = type(a)
                if kind is TapeArray and a._trace is trace:
                    p, a = a._place, a._primal
                elif kind not in PLAIN or (kind is np.ndarray and a.dtype == object):
                    return ufunc_call(ufunc, method, inputs, kwargs)
                elif kind is np.ndarray and getattr(rule, "needs_args", True):
                    a = trace.keep(a)
                kind = type(b)
                if kind is TapeArray and b._trace is trace:
                    q, b = b._place, b._primal
                elif kind not in PLAIN or (kind is np.ndarray and b.dtype == object):
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
                array._primal, array._trace, array._place = y, trace, place
                return array
    return ufunc_call(ufunc, method, inputs, kwargs)


def _array_function(self: TapeArray, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    if args and args[0] is self and function in _SIMPLE and len(args) < 3 and (not kwargs or _NAMED.issuperset(kwargs)):
        trace = self._trace
        x = self._primal
        if trace.open:
            if len(args) == 1 and not kwargs and function is np.sum and type(x) is np.ndarray:
                y = _ADD(x, None)
                record = (TOTAL, (self._place,), None, _NOTHING, _EMPTY)
            elif _OPTIONS.issuperset(map(type, kwargs.values())) and (
                len(args) == 1 or _OPTIONS.issuperset(map(type, args[1:]))
            ):
                rule = RULES[function]
                y = rule.call(x, *args[1:], **kwargs)
                if function is np.sum and len(args) == 1 and type(y) is np.ndarray and _SHAPED.issuperset(kwargs):
                    # The shape is all that the way back needs of x.
                    how = (x.shape, kwargs.get("axis"), kwargs.get("keepdims") is True)
                    record = (PART_OF_TOTAL, (self._place,), None, how, _EMPTY)
                else:
                    record = (rule, (self._place,), y, (x, *args[1:]), kwargs)
            else:
                return Array.__array_function__(self, function, types, args, kwargs)
            place = trace.next_place()
            trace.records[place] = record
            array = _new(TapeArray)
            array._primal, array._trace, array._place = y, trace, place
            return array
    return Array.__array_function__(self, function, types, args, kwargs)


def _getitem(self: TapeArray, index: Any) -> Any:
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
    trace.records[place] = (ENTRY, (self._place,), None, (x.shape, index), _EMPTY)
    array = _new(TapeArray)
    array._primal, array._trace, array._place = y, trace, place
    if type(y) is np.ndarray:
        if kind is slice or is_basic(index):
            link_view(self, array, index)
    elif not array._is_scalar() and is_basic(index):
        link_view(self, array, index)
    return array


# -- operators and methods ---------------------------------------------------------------------------------------------


def _forward(function: Any, operate: Callable, general: Callable) -> Callable:
    def forward(self: TapeArray, other: Any) -> Any:
        kind = type(other)
        trace = self._trace
        a = self._primal
        if other is self and square is not None:
            return square(self)
        if kind is TapeArray:
            if other._trace is not trace:
                return general(self, other)
            b = other._primal
            parents = (self._place, other._place)
        elif kind is float or kind is int:
            try:
                y = operate(a, other)
            except ZeroDivisionError:
                y = function(a, other)
            place = trace.next_place()
            if forgets and type(y) is np.ndarray and y.dtype is _FLOAT64:
                # Linear in a: neither a nor y is needed again, and both may be freed.
                trace.records[place] = (uniform, (self._place, -1), None, (None, other), _EMPTY)
            else:
                trace.records[place] = (unstretched, (self._place, -1), y, (a, other), _EMPTY)
            array = _new(TapeArray)
            array._primal, array._trace, array._place = y, trace, place
            return array
        elif kind in PLAIN:
            b = other
            if kind is np.ndarray:
                if b.dtype == object:
                    return general(self, other)
                if needs_values:
                    b = trace.keep(b)
            parents = (self._place, -1)
        else:
            return general(self, other)
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
        array._primal, array._trace, array._place = y, trace, place
        return array

    rule, unstretched, uniform, needs_values = _forms_of(function)
    forgets_right = function in _BY_ARGUMENTS
    forgets = forgets_right or function is np.divide
    # x * x is recorded as a square: one contribution to the cotangent instead of two.
    square = _unary(np.square, lambda x: x * x) if function is np.multiply else None
    return forward


def _backward(function: Any, operate: Callable, general: Callable) -> Callable:
    def backward(self: TapeArray, other: Any) -> Any:
        kind = type(other)
        if kind is not float and kind is not int:
            if kind not in PLAIN or kind is np.ndarray:
                return general(self, other)
        trace = self._trace
        b = self._primal
        try:
            y = operate(other, b)
        except ZeroDivisionError:
            y = function(other, b)
        place = trace.next_place()
        if forgets_right and (kind is float or kind is int) and type(y) is np.ndarray and y.dtype is _FLOAT64:
            trace.records[place] = (uniform, (-1, self._place), None, (other, None), _EMPTY)
        else:
            trace.records[place] = (unstretched, (-1, self._place), y, (other, b), _EMPTY)
        array = _new(TapeArray)
        array._primal, array._trace, array._place = y, trace, place
        return array

    _, unstretched, uniform, _ = _forms_of(function)
    forgets_right = function in _BY_ARGUMENTS
    return backward


_BY_ARGUMENTS = (np.add, np.subtract, np.multiply)  # whose derivatives do not read the result


def _forms_of(function: Any) -> tuple[Rule, Rule, Any, bool]:
    """``(rule, unstretched, uniform, whether the values of its operands are read)``: see ``Elementwise``."""
    rule = RULES[function]
    if not isinstance(rule, Elementwise):
        return rule, rule, rule, True
    return rule, rule.unstretched, rule.uniform, rule.signs is None


def _unary(function: Any, operate: Callable) -> Callable:
    def apply(self: TapeArray) -> Any:
        trace = self._trace
        x = self._primal
        y = operate(x)
        place = trace.next_place()
        if uniform is not None and type(x) is np.ndarray and x.dtype is _FLOAT64:
            trace.records[place] = (uniform, (self._place,), None, (x,) if rule.needs_args else _NOTHING, _EMPTY)
        else:
            trace.records[place] = (rule, (self._place,), y, (x,), _EMPTY)
        array = _new(TapeArray)
        array._primal, array._trace, array._place = y, trace, place
        return array

    rule: Any = RULES[function]
    # negative and square: what they give is not needed on the way back
    uniform = None if getattr(rule, "needs_y", True) else rule.uniform
    return apply


def _power(general: Callable) -> Callable:
    def power(self: TapeArray, other: Any) -> Any:
        if type(other) is not int or other != 2:
            return general(self, other)
        trace = self._trace
        x = self._primal
        y = x**2
        place = trace.next_place()
        if type(x) is np.ndarray and x.dtype is _FLOAT64:
            trace.records[place] = (uniform, (self._place,), None, (x,), _EMPTY)
        else:
            trace.records[place] = (square, (self._place,), y, (x,), _EMPTY)
        array = _new(TapeArray)
        array._primal, array._trace, array._place = y, trace, place
        return array

    square: Any = RULES[np.square]
    uniform = square.uniform
    return power


def _comparison(operate: Callable, general: Callable) -> Callable:
    def compare(self: TapeArray, other: Any) -> Any:
        kind = type(other)
        if kind is TapeArray and other._trace is self._trace:
            result = operate(self._primal, other._primal)
            if type(result) is not np.ndarray:
                self._trace.selecting.update((self._place, other._place))
            return result
        if kind is float or kind is int:
            return operate(self._primal, other)
        return general(self, other)

    return compare


def _method(function: Any) -> Callable:
    def method(self: TapeArray, *args: Any, **kwargs: Any) -> Any:
        return self.__array_function__(function, (), (self, *args), kwargs)

    return method


# -- the switch --------------------------------------------------------------------------------------------------------


def _short_paths() -> dict[str, Callable]:
    """The attributes of TapeArray that have a shorter way, by name."""
    paths: dict[str, Callable] = {
        "__array_ufunc__": _array_ufunc,
        "__array_function__": _array_function,
        "__getitem__": _getitem,
        **{function.__name__: _method(function) for function in _SIMPLE},
    }
    for name, function in BINARY_OPERATORS.items():
        if function in RULES:
            for method, path in ((f"__{name}__", _forward), (f"__r{name}__", _backward)):
                paths[method] = path(function, getattr(operator, name), getattr(TapeArray, method))
    paths["__pow__"] = _power(paths["__pow__"])
    for name, function in UNARY_OPERATORS.items():
        if function in RULES:
            paths[f"__{name}__"] = _unary(function, getattr(operator, name))
    for name in COMPARISONS:
        paths[f"__{name}__"] = _comparison(getattr(operator, name), getattr(TapeArray, f"__{name}__"))
    return paths


_PATHS = _short_paths()
_GENERAL = {name: vars(TapeArray).get(name) for name in _PATHS}  # what TapeArray has of its own without them
_WALK = reverse.walk


def install() -> None:
    """Give TapeArray its short paths, and the reverse pass its faster walk."""
    for name, path in _PATHS.items():
        setattr(TapeArray, name, path)
    reverse.walk = quick_reverse.walk


def uninstall() -> None:
    """Take the short paths away: from now on everything goes the general way."""
    for name, general in _GENERAL.items():
        if general is not None:
            setattr(TapeArray, name, general)
        elif name in vars(TapeArray):
            delattr(TapeArray, name)
    reverse.walk = _WALK


@contextlib.contextmanager
def without_short_paths() -> Iterator[None]:
    """Within it, in every thread, the general paths alone carry everything out."""
    uninstall()
    try:
        yield
    finally:
        install()
