"""Steps of torch's optimisers on parameters of any kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Steps"]


class Steps:
    """``steps(leaves, gradients)``: one step of an optimiser, which works on tensors of its own.

    A tensor shares the memory of a parameter where it can; all take over the parameters' values before each step.
    """

    def __init__(self, optimiser: Callable[[list], torch.optim.Optimizer], leaves: list):
        self.tensors = [_tensor(leaf) for leaf in leaves]
        self.optimiser = optimiser(self.tensors)

    def __call__(self, leaves: list, grads: list) -> list:
        with torch.no_grad():
            for tensor, leaf, grad in zip(self.tensors, leaves, grads, strict=True):
                value = _tensor(leaf)
                if value.data_ptr() != tensor.data_ptr():
                    tensor.copy_(value)
                tensor.grad = None if grad is None else _tensor(grad).to(tensor)
        self.optimiser.step()
        return [t if isinstance(leaf, Tensor) else t.numpy() for t, leaf in zip(self.tensors, leaves, strict=True)]


def _tensor(value: Any) -> Tensor:
    """A tensor of a parameter's values, in its memory where that can be written to."""
    if isinstance(value, Tensor):
        return value.detach()
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        array = array.astype(float)
    if not array.flags.writeable or not array.dtype.isnative or min(array.strides, default=0) < 0:
        array = np.array(array, dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(array)
