"""Hooks in torch: the identity with a backward pass of its own.

A second derivative of torch's goes through the graph of the first one, these nodes among it. There they are the
identity: a hook belongs to the derivative whose values it is put on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UnsupportedError
from .compiled import is_staged
from .face import TorchArray
from .operands import from_numpy
from .progress import calls_in_progress, passing
from .rule_calls import rule_block

__all__ = ["hooked", "hooked_behind_face"]


def hooked_behind_face(hook: Any, values: list) -> list:
    """The values behind the face, each depending on all arguments that one of them depends on."""
    deps = 0
    for value in values:
        deps |= value._deps
    found = _Hooked.apply(hook, _owner(deps), *[value._primal for value in values])
    return [TorchArray(x, deps, value._integer) for x, value in zip(found, values, strict=True)]


def hooked(hook: Any, values: list) -> list:
    """Tensors whose cotangents go through the hook."""
    return list(_Hooked.apply(hook, _owner(-1), *values))


def _owner(deps: int) -> Any:
    """The call of f whose leaves values with these deps depend on, the innermost one; None where it is not ours."""
    for call in reversed(calls_in_progress()):
        leaves = getattr(call, "leaves", None)
        if leaves is not None and (deps < 0 or deps >> call.start & ((1 << len(leaves)) - 1)):
            return call
    return None


class _Hooked(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(hook: Any, owner: Any, *values: Tensor) -> tuple:
        return tuple([v.detach() for v in values])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.hook, ctx.owner = inputs[:2]

    @staticmethod
    def backward(ctx: Any, *x_bars: Tensor) -> tuple:
        hook, owner, now = ctx.hook, ctx.owner, passing()
        if owner is not None and now is not None and now is not owner:
            return None, None, *x_bars
        if is_staged(x_bars):
            if hook.has_effects or hook.observes:
                raise UnsupportedError(
                    f"{hook.name} at {hook.line} calls a function that may have effects, and a compiled graph would "
                    "not call it again. Use AutoTorch() without compile=True."
                )
        elif not any(_is_followed(x_bar) for x_bar in x_bars):
            given = [v if native else _numbers(v) for v, native in zip(x_bars, hook.native, strict=True)]
            with torch.no_grad():
                return None, None, *_fitted(hook.pull(given), x_bars)
        with rule_block() as deps:
            given = [v if native else TorchArray(v, deps) for v, native in zip(x_bars, hook.native, strict=True)]
            return None, None, *_fitted(hook.pull(given), x_bars)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        if ctx.hook.observes:
            return tangents[2:]
        raise ctx.hook.unseen("torch's forward mode pushes tangents")


def _is_followed(x_bar: Tensor) -> bool:
    """Whether what is done with a cotangent is part of another derivative, or its numbers are not there."""
    return x_bar.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(x_bar)


def _numbers(x_bar: Tensor) -> Any:
    return x_bar.detach().cpu().resolve_conj().numpy().copy()[()]


def _fitted(found: list, x_bars: Any) -> list:
    """What the hook returned as tensors of the dtype and device of what it was given."""
    tensors = []
    for x_bar, like in zip(found, x_bars, strict=True):
        if x_bar is not None:
            x_bar = x_bar._primal if isinstance(x_bar, TorchArray) else x_bar
            x_bar = x_bar if isinstance(x_bar, Tensor) else from_numpy(np.array(x_bar))
            x_bar = x_bar.to(device=like.device, dtype=like.dtype).expand(like.shape)
        tensors.append(x_bar)
    return tensors
