"""What f's own torch code may not do while its derivative is taken: cut the graph, convert to plain numbers."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...errors import TracedValueError, user_line
from ...places import package_of
from ..faces import NumPyMetError


class Guard(TorchFunctionMode):
    """While f works on torch tensors: refuse what reads one as a Python number, which would cut the derivative.

    torch only warns, once per process. ``x.item()``, asked for by name, stays allowed. Also, where f may be NumPy code:
    stop at NumPy functions that would call a method of a tensor, which has the name but not the meaning (``max``).
    """

    def __init__(self, numpy: bool):
        super().__init__()
        self.numpy = numpy

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if self.numpy and package_of(sys._getframe(1)) == "numpy":
            raise NumPyMetError(f"NumPy called {getattr(function, '__name__', function)} of a torch tensor")
        if function in _CONVERSIONS and args[0].requires_grad and torch.is_grad_enabled():
            kind = function.__name__.strip("_")
            raise TracedValueError(
                f"{kind}() of a traced torch tensor at {user_line()} would cut the derivative silently. It is called "
                f"by {kind}(x), by math.* functions, and when a tensor is written into a NumPy array (A[i] = x). Write "
                "torch.sin(x) instead of math.sin(x), torch.stack([…]) instead of filling an array, and x.item() or "
                "x.detach() where the number is wanted without its derivative."
            )
        return function(*args, **(kwargs or {}))


_CONVERSIONS = frozenset({Tensor.__float__, Tensor.__complex__, Tensor.__int__})
