"""Strong zeros on JAX: a zero cotangent contributes 0 through a singular derivative, and 0 · ∞ is not NaN there.

``np.where(x > 0, np.sqrt(x), 0)`` at 0 sends a zero cotangent into the branch that was not taken, where the slope is
infinite. JAX multiplies the two. Here a linear program (the pullback or pushforward JAX has made) is run once more
with products that know which factor is the cotangent. Costs nothing until a derivative comes out non-finite.

The decisions are those of the tape's careful pass (``engine/careful.py``). Beside a cotangent goes a mask of the
entries that are *alive*. What is not alive is 0 to every order; any other zero whose product was made 0 hides a
derivative that nobody knows, and the derivative of such a product is NaN.
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

from ...values.kinds import isa
from .axes import alike

__all__ = ["batch_size", "dependencies", "evaluate_strongly", "in_front", "strong_product", "zero_tangent"]


def strong_product(slope: Any, linear: Any, alive: Any = None, repair: Any = None) -> Any:
    """``slope · linear`` with 0 where one of them is 0 and the product is not finite, as far as ``repair`` says.

    alive: where a 0 of linear is more than a 0 that nothing depends on. Masks of bools, None for everywhere.
    """
    slope, linear = alike([slope, linear])
    masks = [jnp.broadcast_to(True if m is None else m, linear.shape) for m in (alive, repair)]
    return strong_product_p.bind(slope, linear, *masks)


def _lost(slope: Any, linear: Any) -> Any:
    still = (linear == 0) | ((slope == 0) & ~jnp.isnan(linear))
    return still & ~jnp.isfinite(slope * linear)


def _product(slope: Any, linear: Any, alive: Any, repair: Any) -> Any:
    return jnp.where(_lost(slope, linear) & repair, 0, slope * linear)


def zero_tangent(primal: Any) -> ad.Zero:
    """JAX's symbolic zero for the tangent of a value."""
    return ad.Zero(jax.typeof(primal).to_tangent_aval())


def nan_where(mask: Any, moving: Any) -> Any:
    """NaN times moving where mask, else 0: linear in moving, and to be transposed without a 0 · ∞."""
    return jnp.where(mask, moving, 0) * jnp.where(mask, jnp.nan, 0)


def _product_jvp(primals: Any, tangents: Any) -> Any:
    slope, linear, alive, repair = primals
    slope_dot, linear_dot = tangents[:2]
    product = strong_product_p.bind(*primals)
    moving = [t for t in (slope_dot, linear_dot) if type(t) is not ad.Zero]
    if not moving:
        return product, zero_tangent(product)
    lost = _lost(slope, linear)
    # A constant zero stays one. Of any other, made 0 here, the derivative is not known.
    fixed = ~alive
    if type(linear_dot) is ad.Zero:
        fixed |= linear == 0
    if type(slope_dot) is ad.Zero:
        fixed |= slope == 0
    gone, unknown = fixed & (lost | ~alive), lost & repair & ~fixed
    terms = []
    if type(slope_dot) is not ad.Zero:
        terms.append(slope_dot * linear)
    if type(linear_dot) is not ad.Zero:
        terms.append(slope * linear_dot)
    total = jnp.where(gone, 0, terms[0] if len(terms) == 1 else terms[0] + terms[1])
    hidden = moving[0] if len(moving) == 1 else moving[0] + moving[1]
    return product, total + nan_where(unknown, hidden)


def _product_transpose(product_bar: Any, slope: Any, linear: Any, alive: Any, repair: Any) -> Any:
    if type(product_bar) is ad.Zero:
        return None, ad.Zero(linear.aval), None, None
    return None, strong_product_p.bind(slope, product_bar, alive, repair), None, None


def batch_size(operands: Any, axes: Any) -> int:
    """How many examples there are in a batched operation."""
    return next(v.shape[axis] for v, axis in zip(operands, axes, strict=True) if axis is not None)


def in_front(operands: Any, axes: Any, size: int) -> list:
    """Operands of a batched operation with the batch axis in front, all of them."""
    return [
        jnp.broadcast_to(v, (size, *v.shape)) if axis is None else jnp.moveaxis(v, axis, 0)
        for v, axis in zip(operands, axes, strict=True)
    ]


def _product_batch(operands: Any, axes: Any) -> tuple[Any, int]:
    return strong_product_p.bind(*in_front(operands, axes, batch_size(operands, axes))), 0


_eager_product = jax.jit(_product)

strong_product_p = Primitive("strong_product")
strong_product_p.def_impl(lambda *operands: _eager_product(*operands))
strong_product_p.def_abstract_eval(lambda slope, linear, alive, repair: linear)
ad.primitive_jvps[strong_product_p] = _product_jvp
ad.primitive_transposes[strong_product_p] = _product_transpose
batching.primitive_batchers[strong_product_p] = _product_batch
mlir.register_lowering(strong_product_p, mlir.lower_fun(_product, multiple_results=False))


@jax.custom_jvp
def bend(x: Any, at: Any) -> Any:
    """Zeros with slope 0, whose second derivative with respect to x is NaN where ``at``.

    They are negative: what they are added to keeps its sign.
    """
    return jnp.full_like(x, -0.0)


@jax.custom_jvp
def hidden(x: Any, at: Any) -> Any:
    return jnp.zeros_like(x)


@bend.defjvp
def _bend_jvp(primals: Any, tangents: Any) -> Any:
    x, at = primals
    return bend(x, at), tangents[0] * hidden(x, at)


@hidden.defjvp
def hidden_jvp(primals: Any, tangents: Any) -> Any:
    x, at = primals
    return hidden(x, at), nan_where(at, tangents[0])


# -- running a linear program ------------------------------------------------------------------------------------------

# What only moves, repeats and adds up entries: a mask goes where the entries go.
_MOVES = frozenset(
    {
        *("reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim", "reduce_sum", "slice"),
        *("dynamic_slice", "gather", "scatter-add", "concatenate", "pad", "rev", "cumsum", "neg"),
        *(
            "convert_element_type",
            "copy",
            "copy_p",
            "add",
            "add_any",
            "sub",
            "reduce_precision",
            "real",
            "imag",
            "complex",
            "conj",
        ),
    }
)
_MOST = 1 << 16  # products of entries up to which a product of matrices is taken apart while JAX traces


class _Way:
    """How a program is run: where 0 · ∞ may not be made 0 unless nothing depends on it, and whether masks are kept."""

    def __init__(self, forbidden: Any, masked: bool, exempt: bool):
        self.forbidden, self.masked, self.exempt = forbidden, masked, exempt

    def repair(self, alive: Any) -> Any:
        if self.forbidden is False:
            return None
        allowed = jnp.logical_not(self.forbidden)
        return allowed if alive is None or not self.exempt else allowed | ~alive


def evaluate_strongly(program: ClosedJaxpr, args: list, forbidden: Any = False, exempt: bool = True) -> list:
    """Run a program that is linear in its arguments with strong zeros in its products and quotients.

    forbidden: whether a zero that something depends on is no reason for a 0 (a truth value, perhaps traced): the
    program belongs to a second derivative, or the value of f is not finite. exempt: whether then any other zero is.
    Loops run as JAX runs them.
    """
    traced = any(isinstance(v, jax.core.Tracer) for v in (*program.consts, *args))
    way = _Way(forbidden, traced or forbidden is not False, exempt)
    alive = [None if isinstance(a, jax.core.Tracer) or not way.masked else jnp.not_equal(a, 0) for a in args]
    return _evaluate(program.jaxpr, program.consts, args, [True] * len(args), alive, way)[0]


def _evaluate(jaxpr: Any, consts: Any, args: Any, is_linear: list, masks: list, way: _Way) -> tuple[list, list, list]:
    values = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))
    linear = {v for v, flag in zip(jaxpr.invars, is_linear, strict=True) if flag}
    alive = dict(zip(jaxpr.invars, masks, strict=True))

    def read(v: Any) -> Any:
        return v.val if isinstance(v, Literal) else values[v]

    def depends(v: Any) -> bool:
        return not isinstance(v, Literal) and v in linear

    def mask(v: Any) -> Any:
        return None if isinstance(v, Literal) else alive.get(v)

    for equation in jaxpr.eqns:
        name, inputs = equation.primitive.name, [read(v) for v in equation.invars]
        flags, own = [depends(v) for v in equation.invars], [mask(v) for v in equation.invars]
        if name in ("jit", "pjit", "checkpoint", "remat2"):
            inner = equation.params["jaxpr"]
            body, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
            outputs, out_flags, out_masks = _evaluate(body, consts, inputs, flags, own, way)
        elif name == "linear_map" and equation.params["refuse"] is None:  # of a traced rule: what is in it counts, too
            inner = jax.make_jaxpr(equation.params["forward"])(*inputs)
            outputs, out_flags, out_masks = _evaluate(inner.jaxpr, inner.consts, inputs, flags, own, way)
        else:
            outputs, out_masks = _carried_out(equation, inputs, flags, own, way)
            out_flags = [any(flags)] * len(outputs)
        for v, output, flag, m in zip(equation.outvars, outputs, out_flags, out_masks, strict=True):
            values[v], alive[v] = output, m
            if flag:
                linear.add(v)
    return (
        [read(v) for v in jaxpr.outvars],
        [depends(v) for v in jaxpr.outvars],
        [mask(v) for v in jaxpr.outvars],
    )


def _carried_out(equation: Any, inputs: list, flags: list, masks: list, way: _Way) -> tuple[list, list]:
    """The results of one equation, and their masks."""
    name = equation.primitive.name
    if name in ("mul", "div") and flags[0] != flags[1]:
        found = _strong_equation(name, inputs, flags, masks, equation.outvars[0].aval.shape, way)
        if found is not None:
            return found
    params = equation.primitive.get_bind_params(equation.params)
    if name == "dot_general" and flags[0] != flags[1] and way.forbidden is not True:
        strong = _strong_dot(equation, inputs, flags, way)
        if strong is not None:
            return [strong], [None]
    outputs = equation.primitive.bind(*inputs, **params)
    outputs = outputs if equation.primitive.multiple_results else [outputs]
    if not way.masked or not any(flags):
        return outputs, [None] * len(outputs)
    return outputs, _masks(equation, params, inputs, flags, masks, len(outputs))


def _masks(equation: Any, params: dict, inputs: list, flags: list, masks: list, count: int) -> list:
    name, nothing = equation.primitive.name, [None] * count
    if name == "select_n":
        cases = [
            (jnp.ones(v.shape, bool) if m is None else jnp.broadcast_to(m, v.shape)) if flag else v != 0
            for v, flag, m in zip(inputs[1:], flags[1:], masks[1:], strict=True)
        ]
        return [lax.select_n(inputs[0], *cases)]
    if name in ("mul", "div") and flags[0] != flags[1]:
        m = masks[0 if flags[0] else 1]
        return nothing if m is None else [jnp.broadcast_to(m, equation.outvars[0].aval.shape)]
    if name not in _MOVES or all(m is None for m in masks):
        return nothing
    if name in ("add", "add_any", "sub", "complex"):
        a, b = masks
        return nothing if a is None or b is None else [a | b]
    if name in ("neg", "convert_element_type", "copy", "copy_p", "reduce_precision", "real", "imag", "conj"):
        return [masks[0]]
    marks = [
        v if not flag else jnp.ones(v.shape) if m is None else jnp.broadcast_to(m, v.shape).astype(float)
        for v, flag, m in zip(inputs, flags, masks, strict=True)
    ]
    marks = [lax.convert_element_type(v, float) if name == "pad" and k == 1 else v for k, v in enumerate(marks)]
    found = equation.primitive.bind(*marks, **params)
    return [m != 0 for m in (found if equation.primitive.multiple_results else [found])]


def _is_known(value: Any) -> bool:
    """Whether the numbers are there already, in NumPy's or Python's hands."""
    return isa(value, (np.ndarray, np.generic, int, float, complex))


def _strong_equation(
    name: str, inputs: list, flags: list, masks: list, shape: tuple, way: _Way
) -> tuple[list, list] | None:
    """The product or quotient of a slope and a linear value; None where it is safe as it is."""
    k = 0 if flags[0] else 1
    linear, slope, alive = inputs[k], inputs[1 - k], masks[k]
    if _is_known(slope) and np.isfinite(slope).all() and np.all(slope):
        return None
    linear = jnp.broadcast_to(linear, shape)
    slope = jnp.broadcast_to(lax.convert_element_type(slope, linear.dtype), shape)
    slope = lax.div(lax.full_like(slope, 1), slope) if name == "div" else slope
    alive = None if alive is None else jnp.broadcast_to(alive, shape)
    product = strong_product(slope, linear, alive, way.repair(alive))
    if way.masked and way.forbidden is not True and not isinstance(slope, jax.core.Tracer):
        through = slope != 0  # a constant factor: what it takes away nothing depends on
        alive = through if alive is None else alive & through
    return [product], [alive if way.masked else None]


def _strong_dot(equation: Any, inputs: list, flags: list, way: _Way) -> Any:
    """A product of matrices in which 0 · ∞ is 0; None where it is safe, or too large to be taken apart."""
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    a, b = inputs
    traced = any(isinstance(v, jax.core.Tracer) for v in (a, b, way.forbidden))
    if not traced and (bool(jnp.isfinite(a).all() & jnp.isfinite(b).all())):
        return None
    free_a = [k for k in range(a.ndim) if k not in left and k not in left_batch]
    free_b = [k for k in range(b.ndim) if k not in right and k not in right_batch]
    shape = [a.shape[k] for k in left_batch] + [a.shape[k] for k in free_a] + [b.shape[k] for k in free_b]
    inner = [a.shape[k] for k in left]
    if traced and int(np.prod(shape + inner)) > _MOST:
        return None
    batch, m, n = (len(left_batch), len(free_a), len(free_b))
    if traced:
        a = jnp.transpose(a, (*left_batch, *free_a, *left))
        b = jnp.transpose(b, (*right_batch, *free_b, *right))
        a = a.reshape(*a.shape[: batch + m], *[1] * n, *a.shape[batch + m :])
        b = b.reshape(*b.shape[:batch], *[1] * m, *b.shape[batch:])
        whole = (*shape, *inner)
        a, b = jnp.broadcast_to(a, whole), jnp.broadcast_to(b, whole)
        slope, linear = (b, a) if flags[0] else (a, b)
        product = strong_product(slope, linear, None, way.repair(None))
        return jnp.sum(product, axis=tuple(range(len(shape), len(whole))))
    return _counted(
        lambda *ab: lax.dot_general(*ab, dimension_numbers=((left, right), (left_batch, right_batch))), a, b
    )


def _counted(dot: Any, a: Any, b: Any) -> Any:
    """A product from its finite terms, and from counts of the terms that are infinite and of either sign."""
    if jnp.iscomplexobj(a) or jnp.iscomplexobj(b):
        return dot(*alike([a, b]))
    a, b = alike([a, b])

    def there(v: Any) -> Any:
        return ((v != 0) & ~jnp.isnan(v)).astype(v.dtype)

    def sign(v: Any) -> Any:
        return jnp.where(jnp.isnan(v), 0, jnp.sign(v))

    def limited(v: Any) -> Any:
        return jnp.isfinite(v).astype(v.dtype)

    infinite = dot(there(a), there(b)) - dot(there(a) * limited(a), there(b) * limited(b))
    balance = dot(sign(a), sign(b)) - dot(sign(a) * limited(a), sign(b) * limited(b))
    undefined = dot((a != 0).astype(a.dtype), (b != 0).astype(a.dtype)) - dot(there(a), there(b))
    total = dot(jnp.where(jnp.isfinite(a), a, 0), jnp.where(jnp.isfinite(b), b, 0))
    total = jnp.where(infinite + balance > 0.5, total + jnp.inf, total)
    total = jnp.where(infinite - balance > 0.5, total - jnp.inf, total)
    return jnp.where(undefined > 0.5, jnp.nan, total)


def dependencies(program: ClosedJaxpr) -> list[int]:
    """For each output of a linear program the bit mask of the arguments it depends on."""
    count = len(program.jaxpr.outvars)
    masks = []
    for k in range(count):
        _, used = pe.dce_jaxpr(program.jaxpr, [j == k for j in range(count)])
        masks.append(sum(1 << i for i, flag in enumerate(used) if flag))
    return masks
