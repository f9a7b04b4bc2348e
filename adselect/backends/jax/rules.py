"""The user's rules in JAX: each call of a primitive is a JAX primitive whose derivative is the rule.

A traceable rule says what happens to tangents, whichever mode it was written for: by the frule, or by the transpose of
the rrule's pullback, which JAX transposes back in reverse mode. That one form works under ``grad``, ``jvp``, ``jit``,
``vmap``, ``scan`` and ``checkpoint``, to any order, and the rule runs once per trace.

A host primitive runs behind a callback, which JAX cannot transpose. Its tangents are a linear map that knows
its own transpose (:func:`linear_map`): pushforward and pullback of the rule. While values are concrete the pullback is
the closure that the rule returned; under ``jit`` the closure waits for the backward pass under a number that travels
with the residuals. JAX's complex convention is the conjugate of ours.
"""

from __future__ import annotations

import collections
import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ...adtypes import AutoJax
from ...face.traced import UNKNOWN
from ...primitives.invocation import Invocation
from ...primitives.leaves import is_inexact
from ...primitives.result_shapes import announced, kept_promise, remember
from ...values.kinds import isa
from ..framework_call import FrameworkCall, dependencies
from .axes import axes_of, result_avals, varying_over
from .callbacks import call_back
from .face import JaxArray
from .primitives import arrays, called, linear_map

__all__ = ["apply", "apply_native"]

_ADTYPE = AutoJax()


def apply(invocation: Invocation, array: Any, leaves: tuple) -> Any:
    """Carry a primitive out on values behind the NumPy face."""
    deps = dependencies(invocation, leaves, JaxArray)
    if any([isinstance(leaf, jax.Array) for leaf in leaves]):
        deps = UNKNOWN
    call, natives = _taken(invocation, list(leaves))
    if call.constant:
        deps = 0
    return invocation.result([JaxArray(y, deps if is_inexact(y) else 0) for y in call.run(natives)])


def apply_native(invocation: Invocation, leaves: list) -> Any:
    """Carry a primitive out on jax arrays, also inside the user's own jax.jit, jax.grad and jax.vmap."""
    invocation.check_keywords([isinstance(leaf, Tracer) for leaf in leaves])
    call, natives = _taken(invocation, leaves)
    if call.treatment == "body":
        return invocation.result(call.body(*natives))
    return invocation.result(call.run(natives))


def _taken(invocation: Invocation, leaves: list) -> tuple[_Call, list]:
    """The call and its variables."""
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (JaxArray, jax.Array))]
    natives = [leaves[i]._primal if isinstance(leaves[i], JaxArray) else leaves[i] for i in places]
    return _Call(invocation, leaves, places, natives), natives


class _Call(FrameworkCall):
    """One call. What was compiled keeps it for as long as it lives: of its variables it holds the shapes only."""

    def __init__(self, invocation: Invocation, leaves: list, places: list, natives: list):
        super().__init__(invocation, leaves, places)
        self.constant = self.treatment == "constant"
        self.specs = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in natives]
        self.active = [k for k, v in enumerate(natives) if is_inexact(v)]
        # Values that are known are better than ones to find shapes with: a matrix of ones is singular.
        guesses = invocation.primitive.host and invocation.primitive.result is None
        self.known = [None if isinstance(v, Tracer) or not guesses else v for v in natives]

    @property
    def has_traceable_frule(self) -> bool:
        """Whether tangents are pushed by a rule that JAX can trace."""
        frule = self.invocation.primitive.frule
        return frule is not None and not frule.host

    def run(self, natives: list) -> list:
        """The native results."""
        primitive = self.invocation.primitive
        if self.constant:
            natives = [jax.lax.stop_gradient(v) for v in natives]
            return [jax.lax.stop_gradient(y) for y in self.value(*natives)]
        if self.treatment == "missing":
            push = _undifferentiated(self)
        elif (primitive.rrule or primitive.frule).host:
            push = _host_function(self)
        elif _form.linear or (primitive.host and not primitive.pointwise):
            push = _linear_function(self)
        else:
            push = _traced_function(self)
        return called(self.value, push, natives)

    def value(self, *natives: Any) -> list:
        """The results of the plain function."""
        return (self._on_host if self.invocation.primitive.host else self.body)(*natives)

    def faces(self, natives: Any) -> list:
        """The leaves with these native arrays in place of the variables, behind the NumPy face."""
        return self.with_variables(natives, lambda v, integers: JaxArray(v, UNKNOWN, integers))

    @staticmethod
    def converted(outputs: list) -> list:
        """Results as native arrays."""
        found = []
        for y in outputs:
            y = y._primal if isinstance(y, JaxArray) else y
            y = jnp.asarray(y)
            found.append(y.astype(jax.dtypes.canonicalize_dtype(y.dtype)))
        return found

    def body(self, *natives: Any) -> list:
        """What the function does, as JAX code."""
        args, kwargs = self.invocation.arguments(self.faces(natives))
        return self.converted(self.invocation.take_result(self.invocation.primitive.function(*args, **kwargs)))

    # -- host ----------------------------------------------------------------------------------------------------

    def numpy_values(self, arrays: Any) -> list:
        """The leaves with these concrete arrays as real NumPy values."""
        return self.with_variables(arrays, lambda v, whole: whole if isa(whole, int) else np.array(v)[()])

    def _on_host(self, *natives: Any) -> list:
        if not any(isinstance(v, Tracer) for v in natives):
            return self.converted(self.remembered(self.evaluate(natives)))
        shapes = self.result_shapes(natives)

        def host(*arrays: Any) -> list:
            return _shaped(self.evaluate(arrays), shapes, self)

        return call_back(host, shapes, *natives, batched=self.invocation.primitive.batched)

    def evaluate(self, arrays: Any) -> list:
        """The results of the plain function on concrete arrays."""
        args, kwargs = self.invocation.arguments(self.numpy_values(arrays))
        return self.invocation.take_result(self.invocation.primitive.function(*args, **kwargs))

    def remembered(self, outputs: list) -> list:
        """Results of a call on values: their shapes are known from now on."""
        return remember(self.invocation, self.leaves, self.places, self.specs, outputs)

    def result_shapes(self, natives: Any) -> list:
        """Shapes and dtypes of the results."""
        kinds = announced(self.invocation, self.leaves, self.places, natives, self.known, "JAX")
        return [jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype)) for shape, dtype in kinds]


def _shaped(outputs: list, shapes: list, call: _Call) -> list:
    """Host results in the shapes and dtypes that were promised to JAX."""
    kinds = [(s.shape, s.dtype) for s in shapes]
    return kept_promise(call.invocation, outputs, kinds, call.invocation.primitive.batched)


def _conj(value: Any) -> Any:
    return jnp.conj(value) if jnp.iscomplexobj(value) else value


def _native(value: Any, like: Any) -> Any:
    """A tangent as a native array of like's shape and dtype; None is zero."""
    if value is None:
        return jnp.zeros(like.shape, like.dtype)
    value = value._primal if isinstance(value, JaxArray) else value
    value = jnp.asarray(value)
    if value.dtype.kind == "c" and like.dtype.kind != "c":
        value = value.real
    return jnp.broadcast_to(value, like.shape).astype(like.dtype)


def _pulled(call: _Call, back: Callable, outputs: list, y_bars: Any) -> list:
    """Native cotangents of the active variables (JAX's convention) from native ones of the inexact results."""
    remaining = iter(y_bars)
    seeds = [JaxArray(_conj(next(remaining)), UNKNOWN) if is_inexact(y) else None for y in outputs]
    bars = back(seeds)
    found = [_conj(_native(bars[call.places[k]], call.specs[k])) for k in call.active]
    return varying_over(axes_of([*outputs, *y_bars]), found)


# -- traceable rules ---------------------------------------------------------------------------------------------------


class _Form(threading.local):
    """How calls are differentiated while the pullback of a rule is being transposed."""

    linear = False  # as a linear map with its transpose: a rule may call its own function, and so on without end


_form = _Form()


def _transposed(pullback: Callable, ones: list) -> Callable:
    """The transpose of a linear map of native arrays.

    Its own vjp, anywhere, is its transpose. Not at 0, where a rule may keep 0 · ∞ from becoming NaN.
    """
    before, _form.linear = _form.linear, True
    try:
        return jax.vjp(pullback, *ones)[1]
    finally:
        _form.linear = before


def _traced_function(call: _Call) -> Callable:
    """A traceable rule: what it does with tangents is JAX's to transpose."""

    def push(primals: list, x_dots: list) -> tuple[list, list]:
        if call.has_traceable_frule:
            return _pushed(call, primals, x_dots)
        outputs, back = call.invocation.pull(call.faces(primals), _ADTYPE)
        natives = call.converted(outputs)
        ones = varying_over(axes_of(primals), [jnp.ones(y.shape, y.dtype) for y in natives if is_inexact(y)])
        return natives, list(_transposed(lambda *y_bars: _pulled(call, back, natives, y_bars), ones)(x_dots))

    return push


def _pushed(call: _Call, primals: Any, x_dots: Any) -> tuple[list, list]:
    """The results, and the tangents of the inexact ones, by the frule."""
    values = call.faces(primals)
    given: list = [None] * len(values)
    for k, x_dot in zip(call.active, x_dots, strict=True):
        given[call.places[k]] = JaxArray(x_dot, UNKNOWN)
    outputs, rows = call.invocation.push(values, [given], _ADTYPE)
    natives = call.converted(outputs)
    return natives, [_native(d, y) for d, y in zip(rows[0], natives, strict=True) if is_inexact(y)]


def _linear_function(call: _Call) -> Callable:
    """A traceable rule whose pushforward JAX could not transpose, because there is a black box in it, or need not."""

    def push(primals: list, x_dots: list) -> tuple[list, list]:
        outputs, back = call.invocation.pull(call.faces(primals), _ADTYPE)
        natives = call.converted(outputs)
        if not any(isinstance(v, Tracer) for v in primals):
            call.remembered(natives)
        live = [jax.ShapeDtypeStruct(y.shape, y.dtype) for y in natives if is_inexact(y)]
        # The pullback as a program over its residuals: a closure over tracers would not outlive a scan.
        kinds = [(s.shape, s.dtype) for s in live]
        program = jax.make_jaxpr(lambda *y_bars: _pulled(call, back, natives, y_bars))(*result_avals(kinds, primals))
        jaxpr, consts, n = program.jaxpr, program.consts, len(primals)
        m = len(consts)

        def pullback(*operands: Any) -> list:
            return jax.core.eval_jaxpr(jaxpr, operands[n : n + m], *operands[n + m :])

        def pushforward(*operands: Any) -> list:
            x_dots = operands[n + m :]
            if call.has_traceable_frule:
                return _pushed(call, operands[:n], x_dots)[1]
            ones = varying_over(axes_of(operands), [jnp.ones(s.shape, s.dtype) for s in live])
            return list(_transposed(functools.partial(pullback, *operands[: n + m]), ones)(list(x_dots)))

        return natives, linear_map(pushforward, pullback, [*primals, *consts], x_dots, live)

    return push


# -- host rules --------------------------------------------------------------------------------------------------------


def _undifferentiated(call: _Call) -> Callable:
    """A black box without a rule: it works until it is differentiated."""

    def push(primals: list, x_dots: list) -> Any:
        raise call.invocation.missing()

    return push


class _Waiting:
    """Pullbacks between the forward and the backward callback of a compiled call, the newest few."""

    MOST = 64

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.number = itertools.count(1)
        self.closures: collections.OrderedDict = collections.OrderedDict()

    def put(self, closure: Any) -> np.int32:
        with self.lock:
            number = next(self.number) % 2**31
            self.closures[number] = closure
            while len(self.closures) > self.MOST:
                self.closures.popitem(last=False)
        return np.int32(number)

    def get(self, number: Any) -> Any:
        with self.lock:
            return self.closures.get(int(number))


_waiting = _Waiting()


def _host_function(call: _Call, numbered: bool = False) -> Callable:
    """A rule on real arrays: its pullback and its pushforward are callbacks.

    numbered: the last result is the number under which the pullback waits.
    """

    def push(primals: list, x_dots: list) -> tuple[list, list]:
        back = None
        if numbered or any(isinstance(v, Tracer) for v in primals):
            natives = called(functools.partial(_evaluated, call), _host_function(call, True), primals)
            number = natives.pop()
            residuals = [*primals, number]
        else:
            outputs, back = call.invocation.pull(call.numpy_values(primals), _ADTYPE)
            natives, residuals, number = call.converted(call.remembered(outputs)), primals, None
        live = [jax.ShapeDtypeStruct(y.shape, y.dtype) for y in natives if is_inexact(y)]
        pullback = functools.partial(_pulled_on_host, call, back, [is_inexact(y) for y in natives])
        pushforward = functools.partial(_pushed_on_host, call, live)
        dots = linear_map(pushforward, pullback, residuals, x_dots, live, call.invocation.first_order_only)
        return [*natives, number] if numbered else natives, dots

    return push


def _evaluated(call: _Call, *natives: Any) -> list:
    """The results by the rule, and last the number under which its pullback waits."""

    def run_rule(*arrays: Any) -> tuple[list, Any]:
        outputs, back = call.invocation.pull(call.numpy_values(arrays), _ADTYPE)
        return outputs, _waiting.put(back)

    if not any(isinstance(v, Tracer) for v in natives):
        outputs, number = run_rule(*natives)
        return [*call.converted(call.remembered(outputs)), jnp.asarray(number)]
    shapes = call.result_shapes(natives)

    def host(*arrays: Any) -> list:
        outputs, number = run_rule(*arrays)
        return [*_shaped(outputs, shapes, call), number]

    return call_back(host, [*shapes, jax.ShapeDtypeStruct((), np.int32)], *natives)


def _on_host(host: Callable, shapes: list, operands: Any) -> list:
    """``host(*operands)``: at once on values, behind a callback otherwise."""
    if any(isinstance(v, Tracer) for v in operands):
        return call_back(host, shapes, *operands)
    return [jnp.asarray(y) for y in host(*operands)]


def _pulled_on_host(call: _Call, back: Any, kept: list, *operands: Any) -> list:
    """Cotangents of the active variables.

    The operands are the variables, the number under which the pullback waits where it is not at hand, and the
    cotangents of the results that are ``kept``.
    """
    arguments = arrays(operands)
    n, first = len(call.places), len(operands) - sum(kept)
    shapes = [jax.ShapeDtypeStruct(arguments[k].shape, arguments[k].dtype) for k in call.active]

    def host(*arrays: Any) -> list:
        values = call.numpy_values(arrays[:n])
        pullback = back if first == n else _waiting.get(arrays[n])
        if pullback is None:
            pullback = call.invocation.pull(values, _ADTYPE)[1]
        given = iter(arrays[first:])
        y_bars = [np.conj(np.array(next(given)))[()] if live else None for live in kept]
        bars = pullback(y_bars)
        if any(b is not None and np.isnan(b).any() for b in bars):
            bars = call.invocation.pull_strongly(values, y_bars)
        found = []
        for k, s in zip(call.active, shapes, strict=True):
            bar = bars[call.places[k]]
            found.append(np.zeros(s.shape, s.dtype) if bar is None else np.asarray(np.conj(bar), s.dtype))
        return found

    return _on_host(host, shapes, arguments)


def _pushed_on_host(call: _Call, shapes: list, *operands: Any) -> list:
    """Tangents of the results: by the frule, or from one pullback per entry of the results.

    The operands are the variables, perhaps the number of a pullback, and the tangents of the active variables.
    """

    def host(*arrays: Any) -> list:
        values = call.numpy_values(arrays[: len(call.places)])
        x_dots: list = [None] * len(values)
        for k, x_dot in zip(call.active, arrays[len(arrays) - len(call.active) :], strict=True):
            x_dots[call.places[k]] = np.array(x_dot)[()]
        outputs, rows = call.invocation.push(values, [x_dots], _ADTYPE)
        dots = [d for d, y in zip(rows[0], outputs, strict=True) if is_inexact(y)]
        return [
            np.zeros(s.shape, s.dtype) if d is None else np.asarray(d, s.dtype)
            for d, s in zip(dots, shapes, strict=True)
        ]

    return _on_host(host, shapes, operands)
