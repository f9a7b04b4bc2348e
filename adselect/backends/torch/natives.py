"""torch's tensors, as the rest of the library asks about them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..framework_natives import FrameworkNatives

__all__ = ["TorchNatives", "call_while_writing"]


class TorchNatives(FrameworkNatives):
    """``torch.Tensor``, parameters and the wrapped tensors of ``torch.func`` among them."""

    framework = "torch"
    module = "torch"
    refusals = (
        *("Can't call numpy() on Tensor", "data pointer of Tensor that doesn't", "Cannot interpret 'torch."),
        *(
            "requires grad is being used in an in-place operation",
            "'numpy.ndarray' and 'Tensor'",
            "'Tensor' and 'numpy",
        ),
    )
    words = ("'Tensor' object",)

    def classes(self) -> tuple[type, ...]:
        import torch

        return (torch.Tensor,)

    def is_watched(self, value: Any) -> bool:
        return bool(value.requires_grad)

    def to_numpy(self, value: Any) -> Any:
        return value.detach().cpu().resolve_conj().numpy()

    def dtype(self, value: Any) -> np.dtype | None:
        name = str(value.dtype).removeprefix("torch.")
        return None if "bfloat16" in name else np.dtype(name)

    def like(self, array: Any, value: Any) -> Any:
        import torch

        new = torch.from_numpy(np.array(array))
        dtype = value.dtype if value.is_floating_point() or value.is_complex() else torch.float64
        return new.to(device=value.device, dtype=dtype.to_complex() if new.is_complex() else dtype)

    def project(self, grad: Any, leaf: Any) -> Any:
        import torch

        dtype = leaf.dtype if leaf.is_floating_point() or leaf.is_complex() else torch.float64
        if not isinstance(grad, torch.Tensor):
            grad = torch.from_numpy(np.array(grad))
        if grad.is_complex() and not leaf.is_complex():
            grad = grad.real
        if grad.dtype is dtype and grad.shape == leaf.shape and grad.device == leaf.device:
            return grad
        return grad.to(device=leaf.device, dtype=dtype).expand(leaf.shape)

    def stack(self, columns: list) -> Any:
        import torch

        return torch.stack([c if isinstance(c, torch.Tensor) else torch.as_tensor(c) for c in columns], dim=1)

    def is_writable(self, value: Any) -> bool:
        return True

    def overwrite(self, value: Any, other: Any) -> Any:
        import torch

        with torch.no_grad():
            return value.copy_(other)

    def steps_of(self, optimiser: Any, leaves: list) -> Any:
        import functools

        made = optimiser.func if isinstance(optimiser, functools.partial) else optimiser
        optim = sys.modules.get("torch.optim")
        if optim is None or not isinstance(made, type) or not issubclass(made, optim.Optimizer):
            return None
        from .steps import Steps

        return Steps(optimiser, leaves)

    optimisers = "an optimiser class of torch"
    has_gradients = True

    def put_gradient(self, value: Any, grad: Any, zero: bool) -> None:
        if grad is None:
            value.grad = None if zero else value.grad
            return
        grad = grad.detach()
        value.grad = grad if zero or value.grad is None else value.grad + grad

    def joined(self, parts: list) -> Any:
        import torch

        dtype = parts[0].dtype
        for part in parts[1:]:
            dtype = torch.promote_types(dtype, part.dtype)
        return torch.cat([part.reshape(-1).to(device=parts[0].device, dtype=dtype) for part in parts])

    def of_shape(self, value: Any, like: Any) -> Any:
        value = value.real if value.is_complex() and not like.is_complex() else value
        return value.to(device=like.device, dtype=like.dtype)

    def without_history(self, value: Any) -> Any:
        return value.detach()

    def is_module(self, value: Any) -> bool:
        nn = sys.modules.get("torch.nn")
        return nn is not None and isinstance(value, nn.Module)

    def children(self, value: Any) -> dict[str, Any]:
        return {n: p for n, p in value._parameters.items() if p is not None} | dict(value._modules)

    def other_names(self, value: Any) -> tuple[str, ...]:
        return *value.__dict__, *value._parameters, *value._buffers

    def with_children(self, value: Any, new: Any, children: dict[str, Any]) -> None:
        new.__dict__.update(value.__dict__)
        new.__dict__["_parameters"] = dict(value._parameters)
        new.__dict__["_modules"] = dict(value._modules)
        for name, child in children.items():
            new.__dict__["_parameters" if name in value._parameters else "_modules"][name] = child

    def checkpointed(self, call: Any, leaves: list) -> tuple[list, Any]:
        from .checkpoints import checkpointed

        return checkpointed(call, leaves)

    def face(self, value: Any) -> Any:
        import torch

        if (value.requires_grad and torch.is_grad_enabled()) or torch._C._functorch.is_functorch_wrapped_tensor(value):
            from .face import TorchArray

            return TorchArray(value)
        return self.to_numpy(value)


def call_while_writing(primitive: Any, args: tuple, kwargs: dict) -> Any:
    """A primitive's call while Dynamo looks at what is run; NotImplemented where it does not."""
    import torch

    if torch.compiler.is_dynamo_compiling():
        from . import compiled

        if compiled.fits(args) and compiled.fits(kwargs):
            return compiled.call_in_graph(primitive.number, *args, **kwargs)
        return compiled.call_outside(primitive, args, kwargs)
    from torch._C._dynamo.eval_frame import get_eval_frame_callback

    if get_eval_frame_callback() is not None:  # what Dynamo could not take as a node it would take apart
        from . import compiled

        return compiled.call_outside(primitive, args, kwargs)
    return NotImplemented
