"""Strong zeros on JAX: a zero cotangent contributes 0 through a singular derivative, and 0 · ∞ is not NaN there.

``np.where(x > 0, np.sqrt(x), 0)`` at 0 sends a zero cotangent into the branch that was not taken, where the slope is
infinite. JAX multiplies the two. Here a linear program (the pullback or pushforward JAX has made) is run once more
with products that know which factor is the cotangent. Costs nothing until a derivative comes out non-finite.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal, Primitive
from jax.interpreters import ad, batching, mlir
from jax.interpreters import partial_eval as pe

from ..kinds import isa
from .jax_axes import alike

__all__ = ["batch_size", "dependencies", "evaluate_strongly", "in_front", "strong_product", "zero_tangent"]


def strong_product(slope: Any, linear: Any, both: bool = False) -> Any:
    """``slope · linear``, and 0 where linear is 0 whatever slope is; with ``both``, also where slope is 0."""
    slope, linear = alike([slope, linear])
    return strong_product_p.bind(slope, linear, both=both)


def _product(slope: Any, linear: Any, *, both: bool) -> Any:
    zero = lax.eq(linear, lax.full_like(linear, 0))
    if both:
        zero = lax.bitwise_or(zero, lax.eq(slope, lax.full_like(slope, 0)))
    product = lax.mul(slope, linear)
    return lax.select(zero, lax.full_like(product, 0), product)


def zero_tangent(primal: Any) -> ad.Zero:
    """JAX's symbolic zero for the tangent of a value."""
    return ad.Zero(jax.typeof(primal).to_tangent_aval())


def _product_jvp(primals: Any, tangents: Any, *, both: bool) -> Any:
    # The linear factor stands last in every product, so that the transpose below is the only one needed. A slope may
    # be singular to the next order too: a factor that was a cotangent keeps its strong zero (both=True).
    (slope, linear), (slope_dot, linear_dot) = primals, tangents
    terms = []
    if type(slope_dot) is not ad.Zero:
        terms.append(strong_product(linear, slope_dot, both=True))
    if type(linear_dot) is not ad.Zero:
        terms.append(strong_product(slope, linear_dot, both=both))
    product = strong_product(slope, linear, both)
    if not terms:
        return product, zero_tangent(product)
    return product, terms[0] if len(terms) == 1 else ad.add_tangents(*terms)


def _product_transpose(product_bar: Any, slope: Any, linear: Any, *, both: bool) -> Any:
    if type(product_bar) is ad.Zero:
        return None, ad.Zero(linear.aval)
    return None, strong_product(slope, product_bar, both)


def batch_size(operands: Any, axes: Any) -> int:
    """How many examples there are in a batched operation."""
    return next(v.shape[axis] for v, axis in zip(operands, axes, strict=True) if axis is not None)


def in_front(operands: Any, axes: Any, size: int) -> list:
    """Operands of a batched operation with the batch axis in front, all of them."""
    return [
        jnp.broadcast_to(v, (size, *v.shape)) if axis is None else jnp.moveaxis(v, axis, 0)
        for v, axis in zip(operands, axes, strict=True)
    ]


def _product_batch(factors: Any, axes: Any, *, both: bool) -> tuple[Any, int]:
    slope, linear = in_front(factors, axes, batch_size(factors, axes))
    return strong_product(slope, linear, both), 0


_eager_product = jax.jit(_product, static_argnames="both")

strong_product_p = Primitive("strong_product")
strong_product_p.def_impl(lambda slope, linear, *, both: _eager_product(slope, linear, both=both))
strong_product_p.def_abstract_eval(lambda slope, linear, *, both: linear)
ad.primitive_jvps[strong_product_p] = _product_jvp
ad.primitive_transposes[strong_product_p] = _product_transpose
batching.primitive_batchers[strong_product_p] = _product_batch
mlir.register_lowering(strong_product_p, mlir.lower_fun(_product, multiple_results=False))


def evaluate_strongly(program: ClosedJaxpr, args: list) -> list:
    """Run a program that is linear in its arguments with strong zeros in its products and quotients.

    Loops and matrix products run as JAX runs them.
    """
    return _evaluate(program.jaxpr, program.consts, args, [True] * len(args))[0]


def _evaluate(jaxpr: Any, consts: Any, args: Any, is_linear: list) -> tuple[list, list]:
    values = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))
    linear = {v for v, flag in zip(jaxpr.invars, is_linear, strict=True) if flag}

    def read(v: Any) -> Any:
        return v.val if isinstance(v, Literal) else values[v]

    def depends(v: Any) -> bool:
        return not isinstance(v, Literal) and v in linear

    for equation in jaxpr.eqns:
        name, inputs = equation.primitive.name, [read(v) for v in equation.invars]
        flags = [depends(v) for v in equation.invars]
        if name in ("jit", "pjit"):
            inner = equation.params["jaxpr"]
            outputs, out_flags = _evaluate(inner.jaxpr, inner.consts, inputs, flags)
        elif name == "linear_map" and equation.params["refuse"] is None:  # of a traced rule: what is in it counts, too
            inner = jax.make_jaxpr(equation.params["forward"])(*inputs)
            outputs, out_flags = _evaluate(inner.jaxpr, inner.consts, inputs, flags)
        else:
            outputs = _strong_equation(name, inputs, flags, equation.outvars[0].aval.shape)
            if outputs is None:
                params = equation.primitive.get_bind_params(equation.params)
                outputs = equation.primitive.bind(*inputs, **params)
                outputs = outputs if equation.primitive.multiple_results else [outputs]
            out_flags = [any(flags)] * len(outputs)
        for v, output, flag in zip(equation.outvars, outputs, out_flags, strict=True):
            values[v] = output
            if flag:
                linear.add(v)
    return [read(v) for v in jaxpr.outvars], [depends(v) for v in jaxpr.outvars]


def _is_known(value: Any) -> bool:
    """Whether the numbers are there already, in NumPy's or Python's hands."""
    return isa(value, (np.ndarray, np.generic, int, float, complex))


def _strong_equation(name: str, inputs: list, flags: list, shape: tuple) -> list | None:
    """The product or quotient of a slope and a linear value; None for any other equation."""
    if name not in ("mul", "div") or flags[0] == flags[1]:
        return None
    slope, linear = (inputs[1], inputs[0]) if flags[0] else inputs
    if _is_known(slope) and np.isfinite(slope).all() and np.all(slope):
        return None
    linear = jnp.broadcast_to(linear, shape)
    slope = jnp.broadcast_to(lax.convert_element_type(slope, linear.dtype), shape)
    return [strong_product(lax.div(lax.full_like(slope, 1), slope) if name == "div" else slope, linear)]


def dependencies(program: ClosedJaxpr) -> list[int]:
    """For each output of a linear program the bit mask of the arguments it depends on."""
    count = len(program.jaxpr.outvars)
    masks = []
    for k in range(count):
        _, used = pe.dce_jaxpr(program.jaxpr, [j == k for j in range(count)])
        masks.append(sum(1 << i for i, flag in enumerate(used) if flag))
    return masks
