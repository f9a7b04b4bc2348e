"""Rules of black boxes in torch: they run on real arrays, outside of what torch traces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .compiled import is_staged, staged_pullback, staged_pushforward
from .rule_calls import FUNCTIONS, Call, mark_integers, without_tangents


class HostRule(torch.autograd.Function):
    """A host primitive in plain autograd; the closure of its rule serves the backward pass."""

    @staticmethod
    def forward(ctx: Any, call: Call, *natives: Tensor) -> tuple:
        outputs, back = call.value(natives, 0)
        ctx.call, ctx.back = call, back
        ctx.save_for_backward(*natives)
        mark_integers(ctx, outputs)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> tuple:
        natives = ctx.saved_tensors  # to be asked for once: torch.utils.checkpoint computes them
        return None, *_HostPullback.apply(ctx.call, ctx.back, len(natives), *natives, *y_bars)


class HostFunction(torch.autograd.Function):
    """A host primitive inside torch.func transforms: called once per example, or once if it is batched."""

    @staticmethod
    def forward(call: Call, *natives: Tensor) -> tuple:
        return tuple(call.body(natives))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])
        mark_integers(ctx, output)

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Any) -> tuple:
        natives = without_tangents(ctx.saved_tensors)
        given = [torch.zeros_like(v) if t is None else t for v, t in zip(natives, tangents, strict=True)]
        return _HostPushforward.apply(ctx.call, len(natives), *natives, *given)

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> tuple:
        natives = ctx.saved_tensors
        return None, *_HostPullback.apply(ctx.call, None, len(natives), *natives, *y_bars)

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: Call, *natives: Tensor) -> tuple:
        rows = _rows(info, in_dims[1:], natives)
        if call.invocation.primitive.batched:
            stacked = [torch.stack(column) for column in zip(*rows, strict=True)]
            return HostFunction.apply(call, *stacked), _leading(call)
        results = [HostFunction.apply(call, *row) for row in rows]
        return tuple([torch.stack(column) for column in zip(*results, strict=True)]), (0,) * len(results[0])


def _leading(call: Call) -> tuple:
    return (0,) * len(call.invocation.results.paths)


def _rows(info: Any, in_dims: Any, tensors: Any) -> list:
    """The tensors of each example of a batch."""
    return [
        tuple([t if d is None or t is None else t.select(d, n) for t, d in zip(tensors, in_dims, strict=True)])
        for n in range(info.batch_size)
    ]


class _HostPullback(torch.autograd.Function):
    """The cotangents of a host primitive."""

    @staticmethod
    def forward(call: Call, back: Any, n: int, *tensors: Any) -> tuple:
        natives, y_bars = tensors[:n], tensors[n:]
        if is_staged(tensors):
            return tuple(staged_pullback(call, natives, y_bars))
        return tuple(call.host_pullback(back, natives, y_bars))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]

    @staticmethod
    def backward(ctx: Any, *x_dots: Any) -> Any:
        raise ctx.call.invocation.first_order_only()

    @staticmethod
    def jvp(ctx: Any, *x_dots: Any) -> Any:
        raise ctx.call.invocation.first_order_only()

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: Call, back: Any, n: int, *tensors: Any) -> tuple:
        batched_natives = any(d is not None for d in in_dims[3 : 3 + n])
        rows = _rows(info, in_dims[3:], tensors)
        results = [_HostPullback.apply(call, back if not batched_natives else None, n, *row) for row in rows]
        return tuple([torch.stack(column) for column in zip(*results, strict=True)]), (0,) * n


class _HostPushforward(torch.autograd.Function):
    """The tangents of a host primitive: by its frule, or from one pullback per entry of the result."""

    @staticmethod
    def forward(call: Call, n: int, *tensors: Any) -> tuple:
        natives, x_dots = tensors[:n], tensors[n:]
        if is_staged(tensors):
            return tuple(staged_pushforward(call, natives, x_dots))
        return tuple(call.host_pushforward(natives, x_dots))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> Any:
        raise ctx.call.invocation.first_order_only()

    @staticmethod
    def jvp(ctx: Any, *x_dots: Any) -> Any:
        raise ctx.call.invocation.first_order_only()

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: Call, n: int, *tensors: Any) -> tuple:
        results = [_HostPushforward.apply(call, n, *row) for row in _rows(info, in_dims[2:], tensors)]
        return tuple([torch.stack(column) for column in zip(*results, strict=True)]), (0,) * len(results[0])


FUNCTIONS[True, False], FUNCTIONS[True, True] = HostRule, HostFunction
