"""Two primitives of JAX that carry our rules: a call with a derivative of its own, and a linear map with its transpose.

They take the place of ``jax.custom_jvp`` and ``jax.custom_vjp``, of which neither does both modes for a black box, and
which a loop that is differentiated twice strips of their rules. Both hold what they do as Python functions of arrays;
batching maps those with ``jax.vmap``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ...primitives.leaves import is_inexact
from .axes import alike, axes_of, result_avals, varying_over
from .zeros import batch_size, in_front, zero_tangent

__all__ = ["arrays", "called", "linear_map"]


def called(value: Callable, push: Callable, natives: list) -> list:
    """``value(*natives)``, whose derivative is what ``push(natives, x_dots)`` says: ``(results, tangents)``.

    Tangents are those of the inexact arrays on both sides. In contrast to a ``jax.custom_jvp`` it stays what it is in
    a loop that is differentiated twice.
    """
    return called_p.bind(*alike(natives), value=_Programmed(value), push=push)


class _Programmed:
    """A function that is traced once for arguments of the same kind, however often JAX looks at it."""

    def __init__(self, function: Callable):
        self.function = function
        self.programs: dict = {}

    def __call__(self, *natives: Any) -> list:
        if not any(isinstance(v, Tracer) for v in natives):
            return self.function(*natives)
        axes = axes_of(natives)
        kinds = tuple([(v.shape, v.dtype) for v in natives]), axes
        program = self.programs.get(kinds)
        if program is None:
            program = jax.make_jaxpr(self.function)(*result_avals(kinds[0], natives))
            if any(isinstance(v, Tracer) for v in program.consts):
                return varying_over(axes, self.function(*natives))
            self.programs[kinds] = program
        return varying_over(axes, jax.core.eval_jaxpr(program.jaxpr, program.consts, *natives))


def arrays(values: Any) -> list:
    """Values as arrays: JAX hands numbers around as they are."""
    return [v if isinstance(v, jax.Array) else jnp.asarray(v) for v in values]


def _called_jvp(primals: Any, tangents: Any, *, value: Callable, push: Callable) -> tuple[list, list]:
    primals = arrays(primals)
    if all(type(t) is ad.Zero for t in tangents):
        ys = called_p.bind(*primals, value=value, push=push)
        return ys, [zero_tangent(y) for y in ys]
    axes = axes_of(primals)
    moving = [ad.instantiate_zeros(t) for v, t in zip(primals, tangents, strict=True) if is_inexact(v)]
    ys, dots = (varying_over(axes, part) for part in push(primals, varying_over(axes, moving)))
    remaining = iter(dots)
    return ys, [next(remaining) if is_inexact(y) else zero_tangent(y) for y in ys]


def _called_batch(natives: Any, axes: Any, *, value: Callable, push: Callable) -> tuple[list, list]:
    moving = [axis for v, axis in zip(natives, axes, strict=True) if is_inexact(v)]
    ys = called_p.bind(
        *natives, value=jax.vmap(value, in_axes=tuple(axes)), push=jax.vmap(push, in_axes=(list(axes), moving))
    )
    return ys, [0] * len(ys)


called_p = Primitive("called")
called_p.multiple_results = True
called_p.def_impl(lambda *natives, value, push: list(value(*natives)))
called_p.def_abstract_eval(
    lambda *avals, value, push: result_avals([(y.shape, y.dtype) for y in jax.eval_shape(value, *avals)], avals)
)
ad.primitive_jvps[called_p] = _called_jvp
batching.primitive_batchers[called_p] = _called_batch
mlir.register_lowering(
    called_p, mlir.lower_fun(lambda *natives, value, push: list(value(*natives)), multiple_results=True)
)


def linear_map(
    forward: Callable, backward: Callable, residuals: list, linear: list, shapes: list, refuse: Callable | None = None
) -> list:
    """``forward(*residuals, *linear)``, linear in ``linear``, with ``backward(*residuals, *y_bars)`` as its transpose.

    shapes: those of the results. refuse: makes the error for a derivative by the residuals, where there is none.
    It batches, and may be differentiated any number of times in either mode.
    """
    params = {"count": len(residuals), "forward": forward, "backward": backward, "shapes": tuple(shapes)}
    return linear_map_p.bind(*alike([*residuals, *linear]), refuse=refuse, **params)


def _carry_out(*operands: Any, forward: Callable, **_: Any) -> list:
    return varying_over(axes_of(operands), forward(*operands))


def _linear_map_jvp(primals: Any, tangents: Any, *, count: int, forward: Callable, refuse: Any, **params: Any) -> tuple:
    bind = functools.partial(linear_map_p.bind, count=count, forward=forward, refuse=refuse, **params)
    ys, terms = bind(*primals), []
    if any(type(t) is not ad.Zero for t in tangents[count:]):
        terms.append(bind(*primals[:count], *[ad.instantiate_zeros(t) for t in tangents[count:]]))
    moving = [i for i, t in enumerate(tangents[:count]) if type(t) is not ad.Zero]
    if moving:
        if refuse is not None:
            raise refuse()

        def by_residuals(*moved: Any) -> list:
            operands = list(primals)
            for i, v in zip(moving, moved, strict=True):
                operands[i] = v
            return _carry_out(*operands, forward=forward)

        terms.append(jax.jvp(by_residuals, [primals[i] for i in moving], [tangents[i] for i in moving])[1])
    if not terms:
        return ys, [zero_tangent(y) for y in ys]
    return ys, terms[0] if len(terms) == 1 else [a + b for a, b in zip(*terms, strict=True)]


def _linear_map_transpose(
    y_bars: Any, *operands: Any, count: int, forward: Callable, backward: Callable, shapes: tuple, refuse: Any
) -> list:
    linear = operands[count:]
    nothing: list = [None] * len(operands)
    if all(type(g) is ad.Zero for g in y_bars):
        return nothing
    ins = [v.aval if ad.is_undefined_primal(v) else v for v in linear]
    bars = linear_map(
        backward,
        forward,
        list(operands[:count]),
        [ad.instantiate_zeros(g) for g in y_bars],
        [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in ins],
        refuse,
    )
    return nothing[:count] + [b if ad.is_undefined_primal(v) else None for b, v in zip(bars, linear, strict=True)]


def _linear_map_batch(
    operands: Any, axes: Any, *, count: int, forward: Callable, backward: Callable, shapes: tuple, refuse: Any
) -> tuple[list, list]:
    # A cotangent must be one per example before it is summed: what is linear has the batch axis in any case.
    size = batch_size(operands, axes)
    linear = in_front(operands[count:], axes[count:], size)
    residual_axes = tuple(axes[:count])
    ys = linear_map(
        jax.vmap(forward, in_axes=(*residual_axes, *(0,) * len(linear))),
        jax.vmap(backward, in_axes=(*residual_axes, *(0,) * len(shapes))),
        list(operands[:count]),
        linear,
        [jax.ShapeDtypeStruct((size, *s.shape), s.dtype) for s in shapes],
        refuse,
    )
    return ys, [0] * len(ys)


linear_map_p = Primitive("linear_map")
linear_map_p.multiple_results = True
linear_map_p.def_impl(_carry_out)
linear_map_p.def_abstract_eval(lambda *avals, shapes, **_: result_avals([(s.shape, s.dtype) for s in shapes], avals))
ad.primitive_jvps[linear_map_p] = _linear_map_jvp
ad.primitive_transposes[linear_map_p] = _linear_map_transpose
batching.primitive_batchers[linear_map_p] = _linear_map_batch
mlir.register_lowering(linear_map_p, mlir.lower_fun(_carry_out, multiple_results=True))
