"""NumPy's own signature binds a call: options leave their positions, defaults spelled out vanish, out is taken away."""

from __future__ import annotations

import inspect

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

OPTIONS = frozenset(
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
        "interpolation",
        "weights_",
        "copy",
        "ddof",
    ]
)
_BINDERS = {}
_SIMPLE = (bool, int, str, type(None), tuple, float)
_NV = np._NoValue


class Binder:
    __slots__ = ("axis", "defaults", "has_out", "names", "plain")

    def __init__(self, function):
        ps = [p for p in inspect.signature(function).parameters.values()]
        self.names = [p.name for p in ps if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.defaults = {p.name: p.default for p in ps if p.default is not p.empty}
        self.plain = next((i for i, n in enumerate(self.names) if n in OPTIONS), 99)
        if any(p.kind == p.VAR_POSITIONAL for p in ps):
            self.plain = 10**9
        self.has_out = any(p.name == "out" for p in ps)

    def __call__(self, args, kwargs):
        out = None
        if len(args) > self.plain:
            kwargs = dict(kwargs)
            for name, value in zip(self.names[self.plain :], args[self.plain :]):
                if name in kwargs:
                    raise TypeError(f"got multiple values for argument {name!r}")
                kwargs[name] = value
            if len(args) > len(self.names):
                raise TypeError(f"takes from 1 to {len(self.names)} positional arguments but {len(args)} were given")
            args = args[: self.plain]
        if kwargs:
            defaults = self.defaults
            kept = {}
            for name, value in kwargs.items():
                if name == "out":
                    out = value
                elif name in defaults:
                    d = defaults[name]
                    if value is d or value is _NV or (type(value) in _SIMPLE and type(value) is type(d) and value == d):
                        continue
                    kept[name] = value
                elif name in self.names:
                    kept[name] = value
                else:
                    kept[name] = value
            kwargs = kept
        return args, kwargs, out


def binder(function):
    b = _BINDERS.get(function)
    if b is None:
        try:
            b = Binder(function)
        except (TypeError, ValueError):
            b = False
        _BINDERS[function] = b
    return b


def check_axis(function, args, kwargs):
    axis = kwargs.get("axis")
    if axis is None or not args or not hasattr(args[0], "ndim"):
        return
    if function in _NEW_AXES:
        return
    (normalize_axis_tuple if type(axis) is tuple else normalize_axis_index)(axis, args[0].ndim)


_NEW_AXES = {np.stack, np.expand_dims, np.linalg.norm}
