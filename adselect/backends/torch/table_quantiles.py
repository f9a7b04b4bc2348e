"""torch for the order statistics of NumPy's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...rules.quantiles import ranked
from .operands import implements
from .table_indexing import complex_order


def order_statistic(a: Tensor, ordered: Tensor, k: int) -> Tensor:
    """The k-th smallest along the last axis; entries equal to it share the derivative."""
    value = ordered[..., k : k + 1]
    shared = torch.amax(torch.where(a == value, a, torch.full_like(a, -math.inf)), -1)
    return torch.where(torch.isnan(ordered[..., -1]), ordered[..., -1], shared)  # NaN sorts last


@implements(ranked)
def _ranked(a: Tensor, k: int) -> Tensor:
    if a.is_complex():
        return torch.gather(a, -1, complex_order(a, -1))[..., k]
    return order_statistic(a, torch.sort(a.detach(), dim=-1).values, k)


def has_infinities(ordered: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(ordered):
        return False
    return bool(torch.isinf(ordered).any())
