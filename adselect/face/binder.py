"""NumPy's own signatures bind a call on traced values, so that an option counts the same however it is spelled.

Of ``np.mean(A, 0, None, None, True)`` a rule receives ``(A, 0)`` and ``keepdims=True``: options leave their positions
for their names, defaults that are spelled out vanish, ``out`` is set apart. Axes are checked as NumPy checks them. No
rule and no translation has to know the order of NumPy's parameters, and none can misread it.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

__all__ = ["Binder", "binder_of", "check_casting"]

# Parameters that say how to compute, wherever they stand in a signature: from the first of them on, arguments go by
# name.
_OPTIONS = frozenset(
    [
        "out",
        "where",
        "casting",
        "dtype",
        "order",
        "keepdims",
        "initial",
        "subok",
        "mean",
        "correction",
        "overwrite_input",
        "like",
        "device",
        "ddof",
        "copy",
    ]
)
_AXES = ("axis", "axis1", "axis2")
# Functions whose axis is not one of their first argument's: it counts the dimensions of the result, or of another one.
_OTHER_AXES: frozenset[Any] = frozenset(
    {np.stack, np.expand_dims, np.linspace, np.logspace, np.geomspace, np.compress, np.lexsort, np.apply_along_axis}
)
_SIMPLE = frozenset({bool, int, str, type(None), tuple, float})
_MISSING = np._NoValue  # type: ignore[attr-defined]
_BINDERS: dict[Any, Binder | None] = {}


class Binder:
    """How the calls of one NumPy function are bound."""

    __slots__ = ("as_written", "axes", "by_name_from", "defaults", "first_axis", "name", "names", "open_ended")

    def __init__(self, function: Callable):
        parameters = list(inspect.signature(function).parameters.values())
        self.name = function.__name__
        self.names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.open_ended = any([p.kind == p.VAR_KEYWORD for p in parameters])
        fixed = len([p for p in parameters if p.kind == p.POSITIONAL_ONLY])
        optional = [i for i, name in enumerate(self.names) if i >= fixed and name in _OPTIONS]
        self.by_name_from = optional[0] if optional else len(self.names)
        if any([p.kind == p.VAR_POSITIONAL for p in parameters]):
            self.by_name_from = 1 << 30
        known = () if function in _OTHER_AXES else {*self.names, *self.defaults}
        named = [name for name in _AXES if name in known]
        self.axes = tuple([(name, self.names.index(name) if name in self.names else 1 << 30) for name in named])
        self.first_axis = min([place for _, place in self.axes], default=1 << 30)
        # Up to so many arguments by position, and none by name, there is nothing to bind.
        self.as_written = max(1, min(self.by_name_from, self.first_axis))

    def __call__(self, args: tuple, kwargs: dict) -> tuple[tuple, dict, Any]:
        """The arguments as a rule takes them, and what was given as ``out``."""
        out = None
        if len(args) > self.by_name_from:
            kwargs = self._named(args, kwargs)
            args = args[: self.by_name_from]
        while args and args[-1] is _MISSING:  # NumPy's own word for what is not given
            args = args[:-1]
        if kwargs:
            defaults, kept = self.defaults, {}
            for name, value in kwargs.items():
                if value is _MISSING:
                    continue
                if name in defaults:
                    default = defaults[name]
                    if value is default:
                        continue
                    if type(value) is type(default) and type(value) in _SIMPLE and value == default:
                        continue
                elif name not in self.names and not self.open_ended:
                    raise TypeError(f"{self.name}() got an unexpected keyword argument {name!r}")
                if name == "out":
                    out = value
                else:
                    kept[name] = value
            kwargs = kept
        if self.axes and (kwargs or len(args) > self.first_axis):
            self._check_axes(args, kwargs)
        return args, kwargs, out

    def _named(self, args: tuple, kwargs: dict) -> dict:
        """kwargs with the options that were given by position."""
        if len(args) > len(self.names):
            raise TypeError(
                f"{self.name}() takes at most {len(self.names)} positional arguments but {len(args)} were given"
            )
        kwargs = dict(kwargs)
        for name, value in zip(self.names[self.by_name_from :], args[self.by_name_from :], strict=False):
            if name in kwargs:
                raise TypeError(f"{self.name}() got multiple values for argument {name!r}")
            kwargs[name] = value
        return kwargs

    def _check_axes(self, args: tuple, kwargs: dict) -> None:
        """NumPy's AxisError for an axis that the array does not have."""
        for name, place in self.axes:
            axis = kwargs.get(name) if len(args) <= place else args[place]
            if axis is None or not args:
                continue
            operand = args[0]
            if type(operand) in (list, tuple) and operand:
                operand = operand[0]
            shape = getattr(operand, "shape", None)
            if shape is None:
                continue
            ndim = len(shape)
            if type(axis) is int:
                if not -ndim <= axis < ndim:
                    normalize_axis_index(axis, ndim or 1)  # several reductions of a number accept axis 0
            elif type(axis) is tuple:
                normalize_axis_tuple(axis, ndim)
            elif hasattr(axis, "__index__"):
                normalize_axis_index(operator.index(axis), ndim or 1)


def binder_of(function: Any) -> Binder | None:
    """The binder of a NumPy function; None where there is no signature to read."""
    try:
        return _BINDERS[function]
    except KeyError:
        pass
    try:
        bind = Binder(function)
    except (TypeError, ValueError):
        bind = None
    _BINDERS[function] = bind
    return bind


def check_casting(operands: Any, target: Any, casting: str) -> None:
    """NumPy's TypeError where ``casting`` does not let the operands become target (by default their common type)."""
    dtypes = [d for d in (getattr(a, "dtype", None) for a in operands) if d is not None]
    if target is None:
        target = np.result_type(*dtypes)
    for dtype in dtypes:
        if not np.can_cast(dtype, target, casting):  # type: ignore[call-overload]
            raise TypeError(
                f"Cannot cast array data from {dtype!r} to {np.dtype(target)!r} according to the rule {casting!r}"
            )
