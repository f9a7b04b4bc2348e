"""torch's backward pass, with strong zeros where a derivative is not finite."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...rules.undetermined import phase_refusal
from .face import REAL, VDOT, to_numpy
from .graph import places_reached
from .zeros import pull_carefully

# Nodes whose gradient is, entry by entry, the incoming one times a factor: there 0 · inf may be read as 0.
_NODES = """
    Mul Div Pow Sqrt Rsqrt Reciprocal Exp Exp2 Expm1 Log Log2 Log10 Log1P Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh
    Asinh Acosh Atanh Sinc Sigmoid LogSigmoid Lgamma Digamma Polygamma Erf Erfc Erfinv Logit Atan2 Hypot Logaddexp
    Logaddexp2 Xlogy SpecialXlogy SpecialXlog1Py SpecialEntr SpecialErfcx SpecialNdtri SpecialLogNdtr I0 SpecialI0E
    SpecialI1 SpecialI1E Abs Sgn Remainder Fmod Copysign LogSigmoidBackward SigmoidBackward TanhBackward Angle
    NanToNum _CubeRoot
"""
_ELEMENTWISE = frozenset(_NODES.split())


def _elementwise(node: Any) -> bool:
    return node.name().rpartition("::")[2].rstrip("0123456789").removesuffix("Backward") in _ELEMENTWISE


def _strong(node: Any) -> Callable:
    def hook(grad_inputs: Any, grad_outputs: Any) -> Any:
        g = grad_outputs[0]
        if g is None:
            return None
        zero = g == 0
        kept = []
        for k, x_bar in enumerate(grad_inputs):
            if x_bar is None:
                kept.append(None)
            elif x_bar.shape == g.shape:
                kept.append(torch.where(zero, torch.zeros_like(x_bar), x_bar))
            else:
                kept.append(_strong_broadcast(node, k, g, zero, x_bar))
        return tuple(kept)

    return hook


def _strong_broadcast(node: Any, k: int, g: Tensor, zero: Tensor, x_bar: Tensor) -> Tensor:
    """The same where an operand was broadcast: torch has summed already, so product and quotient are done again."""
    name = node.name()
    if name.startswith("Mul"):
        factor = node._saved_other if k == 0 else node._saved_self
    elif name.startswith("Div"):
        factor = 1 / node._saved_other if k == 0 else -(node._saved_self / node._saved_other) / node._saved_other
    else:
        return x_bar
    full = torch.where(zero, torch.zeros_like(g), g * factor.conj())
    full = full.real if full.is_complex() and not x_bar.is_complex() else full
    return full.sum_to_size(x_bar.shape)


def gradient_by_torch(outputs: list, inputs: list, seeds: list, record: bool, nested: bool | None) -> list:
    """``torch.autograd.grad``; when a NaN comes out, once more with strong zeros, unless nested is None.

    nested: whether the graph holds a derivative itself, or the value of f is not finite.
    """
    options = {"allow_unused": True, "retain_graph": True, "create_graph": record}
    try:
        x_bars = torch.autograd.grad(outputs, inputs, seeds, **options)
    except RuntimeError as error:
        _tell(error)
        raise
    if nested is None or not any_nan(x_bars):
        return list(x_bars)
    return pull_carefully(outputs, inputs, seeds, record, nested)


@contextlib.contextmanager
def strong_zeros(nodes: Any) -> Any:
    handles = [node.register_hook(_strong(node)) for node in nodes if _elementwise(node)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def gradient_of(y: Tensor, variables: list, again: bool, selecting: set) -> list | None:
    """The gradient of a real number as NumPy, None for a variable that y does not depend on.

    For variables that began as plain numbers and NumPy arrays. None altogether where this short way ends: y is no real
    number, or a NaN came out, for which the graph is gone over again with strong zeros. The graph is kept for
    ``again``; the variables at the places ``selecting`` were compared with one another, and have slope zero at least.
    """
    if y.ndim or not y.requires_grad or y.dtype not in REAL:
        return None
    try:
        x_bars = torch.autograd.grad(y, variables, allow_unused=True, retain_graph=again)
    except RuntimeError as error:
        _tell(error)
        raise
    kept = [x_bar is not None and x_bar.numel() >= _WORTH_KEEPING for x_bar in x_bars]
    if any(kept):
        kept = [k and x_bars[i].is_contiguous() and _holders(x_bars, i) == _one_holder() for i, k in enumerate(kept)]
    grads: list = []
    reached = None
    for i, x_bar in enumerate(x_bars):
        if x_bar is None:
            reached = places_reached(y, variables) | selecting if reached is None else reached
            grads.append(to_numpy(torch.zeros_like(variables[i])) if i in reached else None)
            continue
        grad = to_numpy(x_bar) if x_bar._is_zerotensor() else x_bar.detach().numpy()
        # NaN is the sum of squares where a NaN is among the numbers, and only then.
        total = np.vdot(grad, grad)
        if total != total:
            return None
        grads.append(grad[()] if not grad.ndim else grad if kept[i] else grad.copy())
    return grads


def _holders(tensors: Any, i: int) -> tuple:
    """How often tensor i and its memory are referred to; equal to ``_one_holder()`` where only ``tensors`` does."""
    storage = tensors[i].untyped_storage()
    return sys.getrefcount(tensors[i]), _count_of_uses(storage._cdata)


@functools.cache
def _one_holder() -> tuple | None:
    # When it is asked for, not when this is imported: that may be inside a transform, where tensors have no memory.
    return _holders((torch.zeros(2),), 0) if _count_of_uses(torch.zeros(2).untyped_storage()._cdata) else None


# What torch has no name for in another release is no reason to fail: then every result is copied.
_count_of_uses = getattr(torch._C, "_storage_Use_Count", None) or (lambda address: None)
_WORTH_KEEPING = 4096  # entries from which looking for other holders takes less than a copy


def own_variable(leaf: Any) -> Tensor:
    """A plain number or array as a tensor of its own memory at which a graph begins."""
    if type(leaf) is np.ndarray:
        return torch.from_numpy(leaf.copy(order="K")).requires_grad_()
    return torch.full((), leaf, dtype=torch.float64, requires_grad=True)


def _tell(error: RuntimeError) -> None:
    """Raise what torch's engine has raised in the words of the other backends, where they have some."""
    if "multiplication by e^{i phi}" in str(error):
        raise phase_refusal() from error


def any_nan(tensors: Any) -> bool:
    try:
        for x in tensors:
            if x is None:
                continue
            # NaN is the sum of squares where a NaN is among the numbers, and only then.
            x = x.detach().reshape(-1)
            total = torch.vdot(x, x).item() if x.dtype in VDOT and x.is_cpu else x.sum().item()
            if total != total:
                return True
    except RuntimeError:  # under torch.func.vmap values cannot be looked at
        return False
    return False
