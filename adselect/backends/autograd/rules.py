"""The user's rules in HIPS autograd: one autograd primitive carries every call of the user's primitives out.

The pullback that the rule returned while the value was computed is used as it is when autograd asks for the vjp of that
call. When an argument is traced by an outer derivative the rule is run again, on the boxes, so that its pullback is
recorded there. autograd's complex convention is the conjugate of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.core import defjvp_argnums, defvjp_argnums
from autograd.tracer import getval, isbox, primitive

from ...adtypes import AutoAutograd
from ...errors import UnsupportedError
from ...face.array import Array
from ...primitives.invocation import Invocation
from ...primitives.leaves import is_inexact
from ..framework_call import FrameworkCall
from . import table as _table  # noqa: F401  (the face looks functions up there)
from .face import AutogradArray, bare, behind_face, conj, foreign
from .modes import MODE

__all__ = ["apply", "apply_native"]

_ADTYPE = AutoAutograd()


def apply(invocation: Invocation, array: Any, leaves: tuple) -> Any:
    """Carry a primitive out on values behind the NumPy face."""
    for leaf in leaves:
        if isinstance(leaf, Array) and not isinstance(leaf, AutogradArray):
            raise UnsupportedError(foreign(leaf))
    call = _Call(invocation, list(leaves))
    return invocation.result([AutogradArray(y) if isbox(y) else y for y in call.run()])


def apply_native(invocation: Invocation, leaves: list) -> Any:
    """Carry a primitive out on autograd's own boxes."""
    invocation.check_keywords([isbox(leaf) for leaf in leaves])
    call = _Call(invocation, leaves)
    if call.treatment == "missing":
        raise invocation.missing()
    if call.treatment == "body":
        args, kwargs = invocation.arguments(call.faces(call.natives))
        outputs = invocation.take_result(invocation.primitive.function(*args, **kwargs))
        return invocation.result([bare(y) for y in outputs])
    return invocation.result(call.run())


class _Call(FrameworkCall):
    """One call, on boxes."""

    def __init__(self, invocation: Invocation, leaves: list):
        places = [i for i, leaf in enumerate(leaves) if isbox(bare(leaf)) or isinstance(leaf, AutogradArray)]
        self.natives = [bare(leaves[i]) for i in places]
        super().__init__(invocation, leaves, places)
        self.kept: Any = None  # (arguments, back, results) of the newest evaluation
        self.outputs: list = []  # of the innermost evaluation, integers and booleans included

    def run(self) -> list:
        """The results, boxed where they depend on a box."""
        if self.treatment == "constant":
            values = [getval(v) for v in self.natives]
            while any(isbox(v) for v in values):
                values = [getval(v) for v in values]
            return self._outputs(self.invocation(*self._filled(values)))
        y = _carry_out(self, *self.natives)
        outputs = list(self.outputs)
        live = [k for k, out in enumerate(outputs) if is_inexact(out)]
        for n, k in enumerate(live):
            outputs[k] = y if len(live) == 1 else y[n]
        return outputs

    def _outputs(self, result: Any) -> list:
        return self.invocation.take_result(result)

    def _filled(self, values: Any) -> list:
        return self.with_variables(values, lambda v, whole: v if whole is None or isbox(v) else whole)

    def faces(self, natives: Any) -> list:
        """The leaves with these values in place of the variables; boxes behind the NumPy face."""
        return self.with_variables(natives, _face_of)

    def pull(self, natives: Any) -> tuple[list, Callable]:
        """``(results, back)`` by the rule, over values that may be boxes."""
        return self.invocation.pull(self.faces(natives), _ADTYPE)


def _face_of(value: Any, integers: Any) -> Any:
    face = behind_face(value)
    if isinstance(face, AutogradArray):
        face._integer = integers
    return face


@primitive
def _carry_out(call: _Call, *natives: Any) -> Any:
    outputs, back = call.pull(natives)
    call.kept, call.outputs = (natives, back, outputs), outputs
    live = [np.asarray(y)[()] for y in outputs if is_inexact(y)]
    return live[0] if len(live) == 1 else tuple(live)


def _make_vjp(argnums: tuple, y: Any, args: tuple, kwargs: dict) -> Callable:
    call, natives = args[0], args[1:]
    kept, call.kept = call.kept, None
    if kept is not None and all(a is b for a, b in zip(kept[0], natives, strict=True)):
        _, back, outputs = kept
    else:
        outputs, back = call.pull(natives)
    live = [k for k, out in enumerate(outputs) if is_inexact(out)]
    definition = call.invocation.primitive.rrule or call.invocation.primitive.frule
    on_host = definition is not None and definition.host and not any(isbox(v) for v in natives)

    def vjp(g: Any) -> tuple:
        if on_host and isbox(g) and not any(np.iscomplexobj(v) for v in (*outputs, *natives)):
            bars = _pull_on_host(call, natives, len(outputs), live, back, g)
            return tuple([bars[i - 1] for i in argnums])
        seeds: list = [None] * len(outputs)
        for n, k in enumerate(live):
            seeds[k] = behind_face(conj(g if len(live) == 1 else g[n]))
        if MODE.strong:
            bars = call.invocation.pull_strongly(call.faces(natives), seeds)
        else:
            bars = back(seeds)
        return tuple([_fitted(bars[call.places[i - 1]], natives[i - 1]) for i in argnums])

    return vjp


def _fitted(bar: Any, x: Any) -> Any:
    """A cotangent in autograd's convention, of x's dtype; None is zero."""
    dtype, shape = np.result_type(getval(x)), np.shape(getval(x))
    if bar is None or dtype.kind not in "fc":
        return np.zeros(shape, dtype if dtype.kind in "fc" else float)
    bar = conj(bare(bar))
    if dtype.kind != "c" and np.iscomplexobj(getval(bar)):
        bar = anp.real(bar)
    return bar


defvjp_argnums(_carry_out, _make_vjp)


def _push(argnums: Any, x_dots: Any, y: Any, args: tuple, kwargs: dict) -> Any:
    call, natives = args[0], args[1:]
    given: list = [None] * len(call.leaves)
    for i, x_dot in zip(argnums, x_dots, strict=True):
        if is_inexact(getval(natives[i - 1])):
            given[call.places[i - 1]] = behind_face(x_dot)
    return _moved(call, natives, given)


def _moved(call: _Call, natives: Any, given: list) -> Any:
    """The tangent of what was carried out, from those of the leaves."""
    outputs, rows = call.invocation.push(call.faces(natives), [given], _ADTYPE)
    dots = [
        anp.zeros_like(bare(y)) if y_dot is None else bare(y_dot)
        for y_dot, y in zip(rows[0], outputs, strict=True)
        if is_inexact(y)
    ]
    return dots[0] if len(dots) == 1 else tuple(dots)


defjvp_argnums(_carry_out, _push)


@primitive
def _pull_on_host(call: _Call, natives: tuple, count: int, live: list, back: Callable, g: Any) -> tuple:
    """The cotangents by a pullback on real arrays: linear in g, which autograd may transpose."""
    seeds: list = [None] * count
    for n, k in enumerate(live):
        seeds[k] = g if len(live) == 1 else g[n]
    bars = back(seeds)
    return tuple([_fitted(bars[i], v) for i, v in zip(call.places, natives, strict=True)])


def _make_transpose(argnums: tuple, bars: tuple, args: tuple, kwargs: dict) -> Callable:
    call, natives = args[:2]

    def push_on_host(x_dots: Any) -> tuple:
        given: list = [None] * len(call.leaves)
        for n, i in enumerate(call.places):
            given[i] = behind_face(x_dots[n])
        return (_moved(call, natives, given),)

    return push_on_host


defvjp_argnums(_pull_on_host, _make_transpose)
