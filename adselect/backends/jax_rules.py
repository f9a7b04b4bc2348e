"""The user's rules in JAX: each call of a primitive becomes a ``jax.custom_jvp`` or ``jax.custom_vjp`` function.

A traceable rule becomes a ``custom_jvp``, whichever mode it was written for: forward by the frule, or by the
transpose of the rrule's pullback, which JAX transposes back in reverse mode. That one form works under ``grad``,
``jvp``, ``jit``, ``vmap``, ``scan`` and ``checkpoint``, to any order, and the rule runs once per trace.

A host primitive runs behind ``jax.pure_callback`` and is a ``custom_vjp``. While values are concrete its pullback is
the closure that the rule returned; under ``jit`` the closure waits for the backward pass under a number that travels
with the residuals. JAX's complex convention is the conjugate of ours.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import take_current_trace
from jax.tree_util import Partial

from ..adtypes import AutoJax
from ..array import Array
from ..errors import RuleError, UnsupportedError, user_line
from ..rules.invocation import Invocation, is_inexact
from .base import UNKNOWN
from .jax_array import JaxArray

__all__ = ["apply", "apply_native"]

_ADTYPE = AutoJax()


def apply(invocation: Invocation, array: Any, leaves: tuple) -> Any:
    """Carry a primitive out on values behind the NumPy face."""
    deps = 0
    for leaf in leaves:
        if isinstance(leaf, JaxArray):
            deps |= leaf.deps
        elif isinstance(leaf, Array):
            raise UnsupportedError(
                f"{invocation.__name__} was called at {user_line()} with a {type(leaf).__name__} of another backend "
                "and a JAX value; derivatives of different frameworks do not nest this way"
            )
        elif isinstance(leaf, jax.Array):
            deps = UNKNOWN
    call = _Call(invocation, list(leaves))
    if call.constant:
        deps = 0
    return invocation.result([JaxArray(y, deps if is_inexact(y) else 0) for y in call.run()])


def apply_native(invocation: Invocation, leaves: list) -> Any:
    """Carry a primitive out on jax arrays, also inside the user's own jax.jit, jax.grad and jax.vmap."""
    invocation.check_keywords([isinstance(leaf, Tracer) for leaf in leaves])
    call = _Call(invocation, leaves)
    if call.treatment == "body":
        args, kwargs = invocation.arguments(call.faces(call.natives))
        leaves = call.converted(invocation.take_result(invocation.primitive.function(*args, **kwargs)))
        return invocation.result(leaves)
    return invocation.result(call.run())


class _Call:
    """One call: the native arrays among its leaves are its variables, everything else stays as it is."""

    def __init__(self, invocation: Invocation, leaves: list):
        self.invocation, self.leaves = invocation, leaves
        self.treatment = invocation.treatment
        self.constant = self.treatment == "constant"
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (JaxArray, jax.Array))]
        self.natives = [leaves[i].value if isinstance(leaves[i], JaxArray) else leaves[i] for i in self.places]
        self.active = [k for k, v in enumerate(self.natives) if is_inexact(v)]

    def run(self) -> list:
        """The native results."""
        primitive = self.invocation.primitive
        natives = self.natives
        if self.constant:
            natives = [jax.lax.stop_gradient(v) for v in natives]
            return [jax.lax.stop_gradient(y) for y in self.value(*natives)]
        if self.treatment == "missing":
            return list(_undifferentiated(self)(*natives))
        definition = primitive.rrule or primitive.frule
        if definition.host:
            function = _host_function(self)
        elif not self.is_pushed and (_form.pulls or (primitive.host and not primitive.pointwise)):
            function = _pulled_function(self)  # for a black box in the pullback, which JAX could not transpose
        else:
            function = _traced_function(self)
        return list(function(*natives))

    @property
    def is_pushed(self) -> bool:
        """Whether the innermost derivative of this call is forward mode, which a custom_vjp refuses."""
        if _form.pushes:
            return True
        around = [trace for v in self.natives for trace in _derivatives(v)]
        with take_current_trace() as trace:
            while trace is not None and not any(trace is t for t in around):
                trace = getattr(trace, "parent_trace", None)
        return type(trace).__name__ == "JVPTrace"

    def value(self, *natives: Any) -> list:
        """The results of the plain function."""
        return (self._on_host if self.invocation.primitive.host else self._body)(*natives)

    def faces(self, natives: Any) -> list:
        """The leaves with these native arrays in place of the variables, behind the NumPy face."""
        full = list(self.leaves)
        for i, v in zip(self.places, natives, strict=True):
            full[i] = JaxArray(v, UNKNOWN, getattr(self.leaves[i], "integer", None))
        return full

    @staticmethod
    def converted(outputs: list) -> list:
        """Results as native arrays."""
        found = []
        for y in outputs:
            y = y.value if isinstance(y, JaxArray) else y
            y = jnp.asarray(y)
            found.append(y.astype(jax.dtypes.canonicalize_dtype(y.dtype)))
        return found

    def _body(self, *natives: Any) -> list:
        args, kwargs = self.invocation.arguments(self.faces(natives))
        return self.converted(self.invocation.take_result(self.invocation.primitive.function(*args, **kwargs)))

    # -- host ----------------------------------------------------------------------------------------------------

    def numpy_values(self, arrays: Any) -> list:
        """The leaves with these concrete arrays as real NumPy values."""
        full = list(self.leaves)
        for i, v in zip(self.places, arrays, strict=True):
            integer = getattr(self.leaves[i], "integer", None)
            full[i] = np.array(v)[()] if integer is None or not isinstance(integer, int) else integer
        return full

    def _on_host(self, *natives: Any) -> list:
        if not any(isinstance(v, Tracer) for v in natives):
            return self.converted(self.remembered(self.evaluate(natives)))
        shapes = self.result_shapes(natives)

        def host(*arrays: Any) -> list:
            return _shaped(self.evaluate(arrays), shapes, self)

        return jax.pure_callback(host, shapes, *natives, vmap_method=self.vmap_method)

    @property
    def vmap_method(self) -> str:
        return "expand_dims" if self.invocation.primitive.batched else "sequential"

    def evaluate(self, arrays: Any) -> list:
        """The results of the plain function on concrete arrays."""
        args, kwargs = self.invocation.arguments(self.numpy_values(arrays))
        return self.invocation.take_result(self.invocation.primitive.function(*args, **kwargs))

    @property
    def signature(self) -> tuple:
        """Shapes and dtypes of the arguments."""
        return tuple([(np.shape(v), str(getattr(v, "dtype", type(v)))) for v in (*self.natives, *self.leaves)])

    def remembered(self, outputs: list) -> list:
        """Results of a call on values: their shapes are known from now on."""
        shapes = [(np.shape(y), _dtype(y)) for y in outputs]
        self.invocation.primitive.known_shapes[self.signature] = shapes, self.invocation.results
        return outputs

    def result_shapes(self, natives: Any) -> list:
        """Shapes and dtypes of the results, from ``result=`` or from one call on ones."""
        primitive = self.invocation.primitive
        if primitive.result is None:
            known = primitive.known_shapes.get(self.signature)
            if known is not None:
                shapes, self.invocation.results = known
                return [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
            # Values that are known are better than ones: a matrix of ones is singular.
            ones = [np.ones(v.shape, v.dtype)[()] if isinstance(v, Tracer) else np.array(v) for v in natives]
            try:
                outputs = self.evaluate(ones)
            except Exception as error:
                name = primitive.__name__
                raise UnsupportedError(
                    f"JAX has to know the shapes that {name} returns before it has values ({user_line()}), and {name} "
                    f"called on ones raised {type(error).__name__}: {error}. Say them: primitive({name}, host=True, "
                    "result=lambda *args: …) returns something of the result's shapes and dtypes."
                ) from error
            self.remembered(outputs)
        else:
            full = list(self.leaves)
            for i, v in zip(self.places, natives, strict=True):
                full[i] = np.broadcast_to(np.zeros((), v.dtype), v.shape)
            args, kwargs = self.invocation.arguments(full)
            outputs = self.invocation.take_result(_as_arrays(primitive.result(*args, **kwargs)))
        return [jax.ShapeDtypeStruct(np.shape(y), _dtype(y)) for y in outputs]


def _dtype(y: Any) -> Any:
    """The dtype JAX gives a result."""
    return jax.dtypes.canonicalize_dtype(y.dtype if hasattr(y, "dtype") else np.result_type(y))


def _as_arrays(described: Any) -> Any:
    """What ``result=`` returned, with empty-valued arrays where it described shapes."""
    if hasattr(described, "shape") and hasattr(described, "dtype"):
        return np.broadcast_to(np.zeros((), described.dtype), tuple(described.shape))
    if isinstance(described, dict):
        return {k: _as_arrays(v) for k, v in described.items()}
    if isinstance(described, (tuple, list)):
        items = [_as_arrays(v) for v in described]
        return type(described)(*items) if hasattr(described, "_fields") else type(described)(items)
    return described


def _shaped(outputs: list, shapes: list, call: _Call) -> list:
    """Host results in the shapes and dtypes that were promised to JAX."""
    batched = call.invocation.primitive.batched  # then there may be batch axes in front
    trailing = [
        np.shape(y)[np.ndim(y) - len(s.shape) if batched else 0 :] for y, s in zip(outputs, shapes, strict=False)
    ]
    if len(outputs) != len(shapes) or any(t != s.shape for t, s in zip(trailing, shapes, strict=True)):
        raise RuleError(
            f"the host primitive {call.invocation.__name__} returned shapes {[np.shape(y) for y in outputs]}, "
            f"{[s.shape for s in shapes]} were announced (by result=, or by a call on ones)"
        )
    return [np.asarray(y, s.dtype) for y, s in zip(outputs, shapes, strict=True)]


def _conj(value: Any) -> Any:
    return jnp.conj(value) if jnp.iscomplexobj(value) else value


def _native(value: Any, like: Any) -> Any:
    """A tangent as a native array of like's shape and dtype; None is zero."""
    if value is None:
        return jnp.zeros(like.shape, like.dtype)
    value = value.value if isinstance(value, JaxArray) else value
    value = jnp.asarray(value)
    if value.dtype.kind == "c" and like.dtype.kind != "c":
        value = value.real
    return jnp.broadcast_to(value, like.shape).astype(like.dtype)


def _pulled(call: _Call, back: Callable, outputs: list, y_bars: Any) -> list:
    """Native cotangents of the active variables (JAX's convention) from native ones of the inexact results."""
    remaining = iter(y_bars)
    seeds = [JaxArray(_conj(next(remaining)), UNKNOWN) if is_inexact(y) else None for y in outputs]
    bars = back(seeds)
    return [_conj(_native(bars[call.places[k]], call.natives[k])) for k in call.active]


# -- traceable rules ---------------------------------------------------------------------------------------------------


class _Form(threading.local):
    """Which form calls take while the pullback of a rule is traced, whatever JAX's tracers look like there."""

    pulls = False  # as custom_vjp: the pullback is being transposed, and nothing but reverse mode is asked of it
    pushes = False  # as custom_jvp: the pullback is noted down, to be run by forward mode later


_form = _Form()


@contextlib.contextmanager
def _within(pulls: bool = False, pushes: bool = False) -> Iterator[None]:
    before = _form.pulls, _form.pushes
    _form.pulls, _form.pushes = pulls, pushes
    try:
        yield
    finally:
        _form.pulls, _form.pushes = before


def _derivatives(value: Any) -> list:
    """The traces around a value that differentiate, the innermost first, as far as JAX shows them."""
    found = []
    while isinstance(value, Tracer):
        if type(value._trace).__name__ in ("JVPTrace", "LinearizeTrace"):
            found.append(value._trace)
        value = getattr(value, "primal", getattr(value, "val", None))
    return found


def _traced_function(call: _Call) -> Callable:
    function = jax.custom_jvp(call.value)

    @function.defjvp
    def push(primals: Any, tangents: Any) -> tuple[list, list]:
        values = call.faces(primals)
        if call.invocation.primitive.frule is not None:
            x_dots: list = [None] * len(values)
            for k in call.active:
                x_dots[call.places[k]] = JaxArray(tangents[k], UNKNOWN)
            outputs, rows = call.invocation.push(values, [x_dots], _ADTYPE)
            natives = call.converted(outputs)
            dots = [_native(d, y) if is_inexact(y) else _float0(y) for d, y in zip(rows[0], natives, strict=True)]
            return natives, dots
        outputs, back = call.invocation.pull(values, _ADTYPE)
        natives = call.converted(outputs)
        # The pullback is linear: its own vjp, anywhere, is its transpose, which is the pushforward. Not at 0, where a
        # rule may keep 0 · ∞ from becoming NaN.
        ones = [jnp.ones(y.shape, y.dtype) for y in natives if is_inexact(y)]
        with _within(pulls=True):
            _, transposed = jax.vjp(lambda *y_bars: _pulled(call, back, natives, y_bars), *ones)
        moved = iter(transposed([tangents[k] for k in call.active]))
        return natives, [next(moved) if is_inexact(y) else _float0(y) for y in natives]

    return function


def _float0(y: Any) -> Any:
    return np.zeros(y.shape, jax.dtypes.float0)


# -- host rules --------------------------------------------------------------------------------------------------------


def _undifferentiated(call: _Call) -> Callable:
    """A black box without a rule: it works until it is differentiated."""
    function = jax.custom_jvp(call._on_host)

    @function.defjvp
    def refuse(primals: Any, tangents: Any) -> Any:
        raise call.invocation.missing()

    return function


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


def _host_function(call: _Call) -> Callable:
    primitive = call.invocation.primitive
    definition = primitive.rrule or primitive.frule
    if max([len(_derivatives(v)) for v in call.natives], default=0) > 1:
        raise call.invocation.first_order_only(definition)
    if call.is_pushed:
        return _pushed_on_host(call)
    function = jax.custom_vjp(call.value)

    def run_rule(arrays: Any) -> tuple[list, Callable]:
        return call.invocation.pull(call.numpy_values(arrays), _ADTYPE)

    def forward(*natives: Any) -> tuple[list, Any]:
        if not any(isinstance(v, Tracer) for v in natives):
            outputs, back = run_rule(natives)
            call.remembered(outputs)
            return call.converted(outputs), (_Held(back), natives, None)
        shapes = call.result_shapes(natives)

        def host(*arrays: Any) -> tuple[list, Any]:
            outputs, back = run_rule(arrays)
            return _shaped(outputs, shapes, call), _waiting.put(back)

        number_shape = jax.ShapeDtypeStruct((), np.int32)
        outputs, number = jax.pure_callback(host, (shapes, number_shape), *natives, vmap_method="sequential")
        return outputs, (_Held(None), natives, number)

    def backward(residuals: Any, y_bars: Any) -> tuple:
        held, natives, number = residuals
        seeds = [_conj(g) for g in y_bars if g.dtype != jax.dtypes.float0]
        kept = [g.dtype != jax.dtypes.float0 for g in y_bars]
        shapes = [jax.ShapeDtypeStruct(natives[k].shape, natives[k].dtype) for k in call.active]

        def pull(back: Any, arrays: Any, seeds: Any) -> list:
            if back is None:
                back = run_rule(arrays)[1]
            given = iter(seeds)
            y_bars = [np.array(next(given))[()] if live else None for live in kept]
            bars = back(y_bars)
            if any(b is not None and np.isnan(b).any() for b in bars):
                bars = call.invocation.pull_strongly(call.numpy_values(arrays), y_bars)
            found = []
            for k, s in zip(call.active, shapes, strict=True):
                bar = bars[call.places[k]]
                found.append(np.zeros(s.shape, s.dtype) if bar is None else np.asarray(np.asarray(bar), s.dtype))
            return found

        concrete = not any(isinstance(v, Tracer) for v in (*seeds, *natives, number))
        if concrete:
            back = held.closure if number is None else _waiting.get(number)
            bars = [jnp.asarray(b) for b in pull(back, natives, seeds)]
        elif number is None:
            host = functools.partial(_pull_held, pull, held.closure, len(natives))
            bars = jax.pure_callback(host, shapes, *natives, *seeds, vmap_method="sequential")
        else:

            def host_numbered(number: Any, *arrays: Any) -> list:
                return pull(_waiting.get(number), arrays[: len(natives)], arrays[len(natives) :])

            bars = jax.pure_callback(host_numbered, shapes, number, *natives, *seeds, vmap_method="sequential")
        return _all_bars(call, natives, [_conj(b) for b in bars])

    function.defvjp(forward, backward)
    return function


def _pushed_on_host(call: _Call) -> Callable:
    """A host primitive in forward mode: by its frule, or from one pullback per entry of the result."""
    function = jax.custom_jvp(call.value)
    n = len(call.natives)

    def run_rule(arrays: Any) -> tuple[list, list]:
        values = call.numpy_values(arrays[:n])
        x_dots: list = [None] * len(values)
        for k, x_dot in zip(call.active, arrays[n:], strict=True):
            x_dots[call.places[k]] = np.array(x_dot)[()]
        outputs, rows = call.invocation.push(values, [x_dots], _ADTYPE)
        return outputs, [_or_zeros(d, y) for d, y in zip(rows[0], outputs, strict=True) if is_inexact(y)]

    @function.defjvp
    def push(primals: Any, tangents: Any) -> tuple[list, list]:
        given = [*primals, *[tangents[k] for k in call.active]]
        if any(_derivatives(v) for v in given):
            raise call.invocation.first_order_only()
        if not any(isinstance(v, Tracer) for v in given):
            outputs, y_dots = run_rule(given)
            natives = call.converted(call.remembered(outputs))
        else:
            # Two calls: over several tangents at one point, as in jax.jacfwd, the value must not become several.
            natives = call.value(*primals)
            dots = [jax.ShapeDtypeStruct(y.shape, y.dtype) for y in natives if is_inexact(y)]

            def host(*arrays: Any) -> list:
                return [np.asarray(d, s.dtype) for d, s in zip(run_rule(arrays)[1], dots, strict=True)]

            y_dots = jax.pure_callback(host, dots, *given, vmap_method="sequential")
        moved = iter(y_dots)
        return natives, [_native(next(moved), y) if is_inexact(y) else _float0(y) for y in natives]

    return function


def _or_zeros(tangent: Any, y: Any) -> Any:
    return np.zeros(np.shape(y), np.result_type(y)) if tangent is None else np.asarray(tangent)


def _pull_held(pull: Callable, back: Callable, n: int, *arrays: Any) -> list:
    return pull(back, arrays[:n], arrays[n:])


def _all_bars(call: _Call, natives: Any, bars: list) -> tuple:
    """One cotangent per variable: integers have none."""
    found: list = [_float0(v) for v in natives]
    for k, bar in zip(call.active, bars, strict=True):
        found[k] = bar
    return tuple(found)


class _Held:
    """A pullback on its way through JAX's residuals."""

    __slots__ = ("closure",)

    def __init__(self, closure: Any):
        self.closure = closure


jax.tree_util.register_pytree_node(_Held, lambda held: ((), held.closure), lambda closure, _: _Held(closure))


def _pulled_function(call: _Call) -> Callable:
    """A traceable rule in reverse mode only: its pullback is run as it is, not transposed."""
    function = jax.custom_vjp(call.value)
    function.defvjp(functools.partial(_forward_traced, call), _backward_traced(call))
    return function


def _forward_traced(call: _Call, *natives: Any) -> tuple[list, Any]:
    """The value, and the pullback's program as residuals."""
    outputs, back = call.invocation.pull(call.faces(natives), _ADTYPE)
    converted = call.converted(outputs)
    call.remembered(converted)
    zeros = [jnp.zeros(y.shape, y.dtype) for y in converted if is_inexact(y)]
    # Around a forward derivative the program will be run by jax.jvp.
    forward = any(type(trace).__name__ == "JVPTrace" for v in natives for trace in _derivatives(v))
    with _within(pushes=forward):
        program = jax.make_jaxpr(lambda *y_bars: _pulled(call, back, converted, y_bars))(*zeros)
    return converted, (Partial(functools.partial(_evaluate, program.jaxpr), *program.consts), natives)


def _evaluate(jaxpr: Any, *arguments: Any) -> list:
    n = len(jaxpr.constvars)
    return jax.core.eval_jaxpr(jaxpr, arguments[:n], *arguments[n:])


def _backward_traced(call: _Call) -> Callable:
    def backward(residuals: Any, y_bars: Any) -> tuple:
        program, natives = residuals
        return _all_bars(call, natives, program(*[g for g in y_bars if g.dtype != jax.dtypes.float0]))

    return backward
