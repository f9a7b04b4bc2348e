"""torch's autograd graph: what a result depends on, what belongs outside, what can be differentiated once."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from ...errors import UnsupportedError


def reachable(tensors: Any, inputs: Any = ()) -> set:
    """Every node of the autograd graph that leads to the tensors, as far back as the inputs."""
    found: set = {_node(x) for x in inputs}
    pending = [t.grad_fn for t in tensors if t.grad_fn is not None]
    while pending:
        node = pending.pop()
        if node is not None and node not in found:
            found.add(node)
            pending.extend([below for below, _ in node.next_functions])
    return found


def _node(tensor: Tensor) -> Any:
    """The graph node at which the gradient of a tensor arrives."""
    return torch.autograd.graph.get_gradient_edge(tensor).node


def places_reached(y: Tensor, inputs: list) -> set:
    """Which of the inputs y was computed from."""
    if not y.requires_grad:
        return set()
    nodes = reachable([y]) | {_node(y)}
    return {i for i, x in enumerate(inputs) if _node(x) in nodes}


def belongs_outside(tensors: list, inputs: list) -> bool:
    """Whether the graph of the tensors starts anywhere but at the inputs and at modules' parameters."""
    own = {id(x) for x in inputs}
    for node in reachable(tensors):
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) not in own and not isinstance(variable, torch.nn.Parameter):
            return True
    return False


def recording() -> Any:
    """A context with grad mode on, whatever mode the caller is in."""
    if not torch.is_inference_mode_enabled():
        return AS_IT_IS if torch.is_grad_enabled() else torch.enable_grad()
    stack = contextlib.ExitStack()
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    return stack


AS_IT_IS = contextlib.nullcontext()

# All functions that torch's decorator makes share this code.
_ONCE = torch.autograd.function.once_differentiable(lambda ctx: None).__code__


def once_only(tensors: Any, inputs: Any) -> bool:
    """Whether something between inputs and tensors is differentiated by torch once but not twice.

    Asked for a second derivative, torch finds no path and says "independent".
    """
    for node in reachable(tensors, inputs):
        function = getattr(type(node), "_forward_cls", None)
        code = getattr(getattr(function, "backward", None), "__code__", None)
        if code is _ONCE or node.name() == "torch::autograd::Error":
            return True
    return False


class FirstOrder(torch.autograd.Function):
    """A gradient that cannot be differentiated again and says so when it is tried."""

    @staticmethod
    def forward(ctx: Any, x_bar: Tensor, *inputs: Tensor) -> Tensor:
        return x_bar.clone()

    @staticmethod
    def backward(ctx: Any, *x_dots: Any) -> Any:
        raise UnsupportedError(
            "a second derivative was asked of a torch.autograd.Function whose backward is marked once_differentiable. "
            "Write its backward with differentiable torch operations and drop the mark."
        )
