"""The user's rules in torch: each call of a primitive goes through one of the ``torch.autograd.Function`` classes here.

In plain autograd the pullback that the rule returned is kept for the backward pass: one primal evaluation. It is used
only while nothing is recorded. A backward pass that is itself differentiated runs the rule again, on the saved inputs,
so that everything it does is on the graph; inside ``torch.func`` transforms, which allow no closures, always.

A host primitive has a pair of Functions, one for the value and one for the cotangents, that turn tensors into NumPy
arrays and back and say how they are batched; the second derivative of the pair is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...errors import UnsupportedError, user_line
from ...primitives.invocation import Invocation
from ...primitives.leaves import is_inexact
from ..framework_call import dependencies
from . import host_rules as _host_rules  # noqa: F401  (fills FUNCTIONS in)
from .face import TorchArray
from .recording import is_in_transform
from .rule_calls import ADTYPE, FUNCTIONS, Call, any_nan, faced, mark_integers, rule_block, taken_up, without_tangents

__all__ = ["apply", "apply_native"]


def apply(invocation: Invocation, array: Any, leaves: tuple) -> Any:
    """Carry a primitive out on values behind the NumPy face."""
    deps = dependencies(invocation, leaves, TorchArray)
    call, natives = taken_up(invocation, leaves, deps)
    if call.treatment == "constant":
        deps = 0
    return invocation.result([faced(y, deps) for y in call.run(natives)])


def apply_native(invocation: Invocation, leaves: list) -> Any:
    """Carry a primitive out on torch's own tensors, also in the user's own autograd and torch.func code."""
    invocation.check_keywords([isinstance(v, Tensor) and (v.requires_grad or is_in_transform()) for v in leaves])
    with rule_block() as deps:
        call, natives = taken_up(invocation, leaves, deps)
        return invocation.result(call.body(natives) if call.treatment == "body" else call.run(natives))


class Rule(torch.autograd.Function):
    """A traceable rule in plain autograd: the closure serves the first backward pass, the rule itself all others."""

    @staticmethod
    def forward(ctx: Any, call: Call, *natives: Tensor) -> tuple:
        with rule_block() as deps:
            outputs, back = call.value(natives, deps)
        ctx.call, ctx.back = call, back
        ctx.save_for_backward(*natives)
        outputs = _unaliased(outputs, natives)
        ctx.versions = [(y.detach(), y._version) for y in outputs]
        mark_integers(ctx, outputs)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> tuple:
        natives, back = ctx.saved_tensors, ctx.back
        with rule_block() as deps:
            if torch.is_grad_enabled():
                return None, *_recomputed(ctx.call, natives, y_bars, deps)
            # The closure may rely on results (y = exp(x) does), and they have been written to since: y.mul_(2).
            if any(y._version != version for y, version in ctx.versions):
                back = ctx.call.value(natives, deps)[1]
            return None, *ctx.call.strong_bars(back, natives, y_bars, deps)


def _recomputed(call: Call, natives: Any, y_bars: Any, deps: int) -> list:
    """The cotangents by running the rule again, everything on the graph; where one came out as NaN, by strong zeros."""
    found = call.bars(call.pull(natives, deps)[1], natives, y_bars, deps)
    if not any_nan(found):
        return found
    seeds = [None if g is None else TorchArray(g, deps) for g in y_bars]
    again = call.invocation.pull_strongly(call.faces(natives, deps), seeds)
    return [call.fitted(again[i], v) for i, v in zip(call.places, natives, strict=True)]


def _unaliased(outputs: list, natives: Any) -> list:
    """Results in tensors of their own: torch takes an argument for an unchanged input, and it writes the place in the
    graph into the tensor it is given, which may be one that the rule's pullback relies on.
    """
    return [y.clone() if any(y is v for v in natives) else y.detach() for y in outputs]


class Function(torch.autograd.Function):
    """A traceable rule inside torch.func transforms."""

    generate_vmap_rule = True

    @staticmethod
    def forward(call: Call, *natives: Tensor) -> tuple:
        with rule_block() as deps:
            return tuple(_unaliased(call.value(natives, deps)[0], natives))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])
        mark_integers(ctx, output)

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> tuple:
        with rule_block() as deps:
            return None, *_recomputed(ctx.call, ctx.saved_tensors, y_bars, deps)

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Any) -> tuple:
        call = ctx.call
        if all(t is None for t in tangents):
            return (None,) * len(call.invocation.results.paths)
        natives = without_tangents(ctx.saved_tensors)
        _refuse_forward_over_forward(call, natives)
        with rule_block() as deps:
            frule = call.invocation.primitive.frule
            if frule is None or frule.host:
                return tuple(_transposed(call, natives, tangents, deps))
            x_dots: list = [None] * len(call.leaves)
            for i, t in zip(call.places, tangents, strict=True):
                x_dots[i] = None if t is None else TorchArray(t, deps)
            outputs, rows = call.invocation.push(call.faces(natives, deps), [x_dots], ADTYPE)
            ys = call.tensors(outputs)
            return tuple(
                [
                    (torch.zeros_like(y) if d is None else call.fitted(d, y)) if is_inexact(y) else None
                    for d, y in zip(rows[0], ys, strict=True)
                ]
            )


def _transposed(call: Call, natives: Any, tangents: Any, deps: int) -> list:
    """The pushforward as the transpose of the rule's pullback."""
    ys, back = call.pull(natives, deps)
    live = [k for k, y in enumerate(ys) if is_inexact(y)]

    def pullback(*y_bars: Tensor) -> tuple:
        seeds: list = [None] * len(ys)
        for k, g in zip(live, y_bars, strict=True):
            seeds[k] = g
        bars = call.bars(back, natives, seeds, deps)
        return tuple([torch.zeros_like(v) if b is None else b for b, v in zip(bars, natives, strict=True)])

    with torch.enable_grad():
        taken: Any = torch.func.vjp(pullback, *[torch.zeros_like(ys[k]) for k in live])
        _, transposed = taken
        moved = transposed(
            tuple([torch.zeros_like(v) if t is None else t for t, v in zip(tangents, natives, strict=True)])
        )
    y_dots: list = [None] * len(ys)
    for k, y_dot in zip(live, moved, strict=True):
        y_dots[k] = y_dot
    return y_dots


def _refuse_forward_over_forward(call: Call, natives: Any) -> None:
    levels = [
        interpreter.key()
        for interpreter in torch._C._functorch.get_interpreter_stack() or ()
        if interpreter.key() == torch._C._functorch.TransformType.Jvp
    ]
    if len(levels) > 1:
        raise UnsupportedError(
            f"torch computes forward-mode derivatives of forward-mode derivatives of a custom rule wrongly "
            f"({call.invocation.__name__}, {user_line()}). Put reverse mode on one of the two sides: "
            "torch.func.jacfwd(torch.func.jacrev(f)), or adselect.hessian."
        )


FUNCTIONS[False, False], FUNCTIONS[False, True] = Rule, Function
