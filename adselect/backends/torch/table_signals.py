"""torch for the convolution that all others are windows of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...rules.signals import full_convolution
from .operands import implements, promoted


@implements(full_convolution)
def _full_convolution(a: Any, v: Any) -> Tensor:
    a, v = promoted(a, v)
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    if not v.shape[0]:
        raise ValueError("an operand of np.convolve or np.correlate is empty")
    margin = a.new_zeros(v.shape[0] - 1)
    return torch.cat([margin, a, margin]).unfold(0, v.shape[0], 1) @ v.flip(0)
