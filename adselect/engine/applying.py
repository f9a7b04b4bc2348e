"""A function meets a traced value: its rule is found, the function is called on plain values, the rule is attached.

This is what the tape's arrays (``trace.py``) and the forward mode's dual arrays (``forward.py``) share. What it means
to attach a rule, to write a record or to push tangents, is all that they add: one method, :meth:`EngineArray._record`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import MissingRuleError, user_line
from ..face.array import Array
from ..face.dispatch import absorb, dispatch
from ..face.indices import covers_all, without_leading_ones
from ..face.layout import axes_in_memory
from ..face.operators import COMPARISONS
from ..rules.indexing import set_item
from ..rules.registration import load_for
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES, Rule, positional
from ..values.kinds import isa
from .keeping import FIXED

__all__ = ["OPERATOR_RULES", "EngineArray"]

# Of Python's operators, where they are carried out as such: the rules of the ufuncs of the same name.
OPERATOR_RULES: dict[Any, Rule] = {}
_SEVERAL = frozenset({list, tuple, np.ndarray})  # what may hold traced numbers
_INDEXED = ("getitem", "set_item")  # whose last argument is an index


class EngineArray(Array):
    """A value, ``_primal``, and the trace or forward pass that it belongs to, ``_trace``."""

    __slots__ = ("_trace",)

    _trace: Any  # not "trace": that is a method of arrays

    _finds_integers = True

    def _record(self, rule: Rule, y: Any, args: list, own: list, kwargs: dict) -> Any:
        """Attach the derivative of ``y = rule.call(*args)``; own[i] is the Array of this trace behind args[i]."""
        raise NotImplementedError

    def _selects(self) -> None:
        """Note that this scalar was compared with another one, which decides what f computes."""
        raise NotImplementedError

    # -- one operation -------------------------------------------------------------------------------------------------

    def _apply(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        trace = self._trace
        if not trace.open:
            return dispatch(function, _strip(args, trace), _strip_options(kwargs, trace))
        rule = RULES.get(function) or OPERATOR_RULES.get(function)
        if rule is None:
            return self._apply_without_rule(function, args, kwargs)
        if kwargs:
            args, kwargs = positional(function, args, kwargs)
            if kwargs:
                kwargs = {k: v if type(v) in FIXED else trace.keep_index(_value(v, trace)) for k, v in kwargs.items()}
        cls = type(self)
        values: list[Any] = []
        own: list[Any] = []  # the arguments traced here, None for others
        for a in args:
            if type(a) is cls and a._trace is trace:
                values.append(a._primal)
                own.append(a)
            elif (isinstance(a, Array) and not a._closed) or (type(a) is tuple and FIXED.issuperset(map(type, a))):
                values.append(a)  # of another trace; a shape, axes
                own.append(None)
            elif type(a) is np.ndarray and a.dtype.char != "O":
                values.append(trace.keep(a))
                own.append(None)
            elif type(a) in _SEVERAL or isinstance(a, Array):
                value, mine = self._gathered(rule, a, len(values), a is args[-1])
                values.append(value)
                own.append(mine)
            else:
                values.append(a)
                own.append(None)
        # The function on the values of the arguments, then its rule for those that are traced here.
        y = rule.call(*values, **kwargs)
        traced = False
        for i, a in enumerate(own):
            if a is not None:
                if rule.differentiable(i):
                    traced = True
                else:  # a parameter without a derivative (an axis, a number of repeats): its value is all that counts
                    own[i] = None
        return self._record(rule, y, values, own, kwargs) if traced else y

    def _gathered(self, rule: Rule, a: Any, i: int, last: bool) -> tuple[Any, Any]:
        """``(value, Array of this trace or None)`` of argument i, in which several numbers may be traced."""
        if isinstance(a, Array):
            stacked = a._primal  # of a derivative that is over
        elif last and type(a) is not np.ndarray and getattr(rule.function, "__name__", "") in _INDEXED:
            stacked = a  # an index of several parts is no list of numbers
        else:
            stacked = absorb(a)
        if type(stacked) is type(self) and stacked._trace is self._trace:
            return stacked._primal, stacked
        if type(a) is np.ndarray:
            return stacked, None
        if type(stacked) in (list, tuple) and rule.differentiable(i):
            return np.asarray(stacked), None
        return self._trace.keep_index(stacked), None

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

    # -- what the value answers ----------------------------------------------------------------------------------------

    @property
    def _level(self) -> int:
        return self._trace.level

    @property
    def _closed(self) -> bool:
        return not self._trace.open

    @property
    def _by_reference(self) -> bool:
        return self._trace.by_reference

    def _known(self) -> Any:
        return NotImplemented if self._trace.open else super()._known()

    @property
    def shape(self) -> tuple[int, ...]:
        try:
            return self._primal.shape
        except AttributeError:
            return np.shape(self._primal)

    def _is_scalar(self) -> bool:
        value = self._primal
        if isinstance(value, Array):
            return value._is_scalar()
        return not isa(value, np.ndarray)

    def _as_array(self) -> Any:
        return dispatch(np.copy, (self,), {}) if self._is_scalar() else self

    def _as_scalar(self) -> Any:
        return self if self._is_scalar() else self._getitem(())

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().astype(dtype, *args, **kwargs)
        if isinstance(result, EngineArray) and result.dtype.kind in "iub" and self.dtype.kind in "fc":
            return result._primal  # rounded: no derivative goes through it
        return result


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


def _comparison(operate: Callable, general: Callable) -> Callable:
    def compare(self: EngineArray, other: Any) -> Any:
        if type(other) is not type(self) or other._trace is not self._trace:
            return general(self, other)
        result = operate(self._primal, other._primal)
        if type(result) is not np.ndarray:
            self._selects()
            other._selects()
        return result

    return compare


for _name in COMPARISONS:
    setattr(EngineArray, f"__{_name}__", _comparison(getattr(operator, _name), getattr(Array, f"__{_name}__")))
EngineArray.__hash__ = Array.__hash__  # type: ignore[method-assign]
