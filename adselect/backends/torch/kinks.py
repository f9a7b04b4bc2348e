"""Where torch's own derivative at a kink is not the one that adselect promises."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .zeros import Unknown


class _Bend(torch.autograd.Function):
    """Zeros with slope 0, and a second derivative of NaN where marked."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, marked: Tensor) -> Tensor:
        return torch.zeros_like(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *bars: Any) -> Any:
        x, marked = ctx.saved_tensors
        return bars[0] * Unknown.apply(x, marked), None


def bent(y: Tensor, at: Tensor, *of: Tensor) -> Tensor:
    """y, with a second derivative with respect to ``of`` that is NaN where ``at``: there y has a kink."""
    if torch.compiler.is_compiling():
        return y
    plain = not torch._C._functorch.is_functorch_wrapped_tensor(at)
    if (plain and not bool(at.any())) or not any(x.requires_grad or not plain for x in of):
        return y
    return y + _Bend.apply(sum(of[1:], of[0]), at)


def root_of(variance: Tensor, degree: Any = 2) -> Tensor:
    """``variance**(1 / degree)`` with slope 0 at 0, and no second derivative there."""
    flat = variance == 0
    safe = torch.where(flat, torch.ones_like(variance), variance)
    root = torch.sqrt(safe) if degree == 2 else safe ** (1.0 / degree)
    bottom = torch.full_like(root, 0.0 if degree > 0 else math.inf)
    return bent(torch.where(flat, bottom, root), flat, variance)
