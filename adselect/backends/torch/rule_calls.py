"""One call of a primitive in torch: its places, its tensors, what of it is traced."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from ...adtypes import AutoTorch
from ...errors import UnsupportedError, user_line
from ...primitives.invocation import Invocation
from ...primitives.leaves import is_inexact
from ...values.kinds import isa
from ..framework_call import FrameworkCall
from .compiled import is_staged, staged_value
from .face import TorchArray
from .operands import from_numpy, numpy_dtype
from .progress import close_block, open_block
from .recording import is_in_transform

ADTYPE = AutoTorch()

# The torch.autograd.Function that a call goes through, by whether it is a black box and whether torch transforms it (or
# writes it down); the files that define them fill this in.
FUNCTIONS: dict[tuple[bool, bool], Any] = {}


class _Evaluating(threading.local):
    """Primitives whose value is being computed on this thread: a rule's call of its own function runs the function."""

    primitives: tuple = ()


_evaluating = _Evaluating()


def faced(y: Any, deps: int) -> Any:
    return TorchArray(y, deps if is_inexact(y) else 0) if isinstance(y, Tensor) else y


@contextlib.contextmanager
def rule_block() -> Any:
    """A mark for face values of a rule: they belong to a derivative in progress while the rule runs."""
    block = open_block(1)
    try:
        yield 1 << block[0]
    finally:
        close_block(block)


def taken_up(invocation: Invocation, leaves: Any, deps: int) -> tuple[Call, list]:
    """The call and its variables."""
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (TorchArray, Tensor))]
    natives = [leaves[i]._primal if isinstance(leaves[i], TorchArray) else leaves[i] for i in places]
    return Call(invocation, leaves, places, natives[0].device, deps), natives


class Call(FrameworkCall):
    """One call, on tensors."""

    def __init__(self, invocation: Invocation, leaves: Any, places: list, device: Any, deps: int):
        super().__init__(invocation, leaves, places)
        self.device, self.deps = device, deps
        primitive = invocation.primitive
        definition = primitive.rrule or primitive.frule
        self.host = (primitive.host and (definition is None or definition.host)) or bool(definition and definition.host)

    def run(self, natives: list) -> list:
        """The results, as tensors on the graph."""
        if self.treatment == "constant":
            return [y.detach() if isinstance(y, Tensor) else y for y in self.body([v.detach() for v in natives])]
        followed = is_in_transform() or (torch.is_grad_enabled() and any(v.requires_grad for v in natives))
        evaluating = any(p is self.invocation.primitive for p in _evaluating.primitives)
        if not followed or (evaluating and not torch.is_grad_enabled()):
            return self.body(natives)
        transformed = is_in_transform() or self.treatment == "missing"
        general = transformed or (self.host and is_staged(natives))
        return list(FUNCTIONS[self.host, general].apply(self, *natives))

    # -- values --------------------------------------------------------------------------------------------------

    def faces(self, natives: Any, deps: int) -> list:
        """The leaves with these tensors in place of the variables, behind the NumPy face."""
        return self.with_variables(natives, lambda v, integers: TorchArray(v, deps, integers))

    def host_leaves(self, natives: Any) -> list:
        """The leaves with these tensors as real NumPy values."""
        return self.with_variables(natives, lambda v, whole: whole if isa(whole, int) else _to_numpy(v))

    def tensors(self, outputs: list) -> list:
        """Results as tensors."""
        found = []
        for y in outputs:
            y = y._primal if isinstance(y, TorchArray) else y
            if not isinstance(y, Tensor):
                y = from_numpy(np.array(y), self.device if self.device.type != "cpu" else None)
            found.append(y)
        return found

    def body(self, natives: Any) -> list:
        """What the function itself does with these tensors."""
        primitive = self.invocation.primitive
        if primitive.host:
            if any(torch._C._functorch.is_functorch_wrapped_tensor(v) for v in natives):
                return list(FUNCTIONS[True, True].apply(self, *natives))
            if is_staged(natives):
                return staged_value(self, natives)
            return self.host_value(natives)
        args, kwargs = self.invocation.arguments(self.faces(natives, self.deps))
        return self.tensors(self.invocation.take_result(primitive.function(*args, **kwargs)))

    # -- on the host ---------------------------------------------------------------------------------------------

    def host_value(self, natives: Any) -> list:
        """The results of the function on real arrays."""
        args, kwargs = self.invocation.arguments(self.host_leaves(natives))
        return self.tensors(self.invocation.take_result(self.invocation.primitive.function(*args, **kwargs)))

    def host_pullback(self, back: Any, natives: Any, y_bars: Any) -> list:
        """The cotangents by the rule on real arrays, zeros included; ``back`` is its closure if it has been run."""
        if back is None:
            back = self.value(natives, 0)[1]
        bars = self.strong_bars(back, natives, y_bars, 0)
        return [torch.zeros_like(v) if b is None else b.contiguous() for b, v in zip(bars, natives, strict=True)]

    def host_pushforward(self, natives: Any, x_dots: Any) -> list:
        """The tangents by the rule on real arrays, zeros included."""
        leaves = self.host_leaves(natives)
        given: list = [None] * len(leaves)
        for i, t in zip(self.places, x_dots, strict=True):
            given[i] = _to_numpy(t) if is_inexact(t) else None
        outputs, rows = self.invocation.push(leaves, [given], ADTYPE)
        ys = self.tensors(outputs)
        return [torch.zeros_like(y) if d is None else self.fitted(d, y) for d, y in zip(rows[0], ys, strict=True)]

    # -- the rule ------------------------------------------------------------------------------------------------

    def value(self, natives: Any, deps: int) -> tuple[list, Any]:
        """``(results, back)`` by the rule, for a value only: the function's own call in it runs the function."""
        before = _evaluating.primitives
        _evaluating.primitives = (*before, self.invocation.primitive)
        try:
            return self.pull(natives, deps)
        finally:
            _evaluating.primitives = before

    def pull(self, natives: Any, deps: int) -> tuple[list, Any]:
        """``(results, back)`` by the rule."""
        values = self.host_leaves(natives) if self.host else self.faces(natives, deps)
        try:
            outputs, back = self.invocation.pull(values, ADTYPE)
        except TypeError as error:
            primitive = self.invocation.primitive
            if primitive.rrule is not None or not primitive.frule.needs or "must be Tensor" not in str(error):
                raise
            raise UnsupportedError(
                f"the rule {primitive.frule} has to be transposed ({user_line()}), and it pushes tangents through a "
                f"function that is torch's own code ({error}). Give {primitive.__name__} an rrule too "
                "(needs=HasReverseMode), or let that function call NumPy."
            ) from error
        return self.tensors(outputs), back

    def bars(self, back: Any, natives: Any, y_bars: Any, deps: int) -> list:
        """One cotangent per variable."""
        if self.host:
            seeds = [None if g is None else _to_numpy(g) for g in y_bars]
        else:
            seeds = [None if g is None else TorchArray(g, deps) for g in y_bars]
        found = back(seeds)
        return [self.fitted(found[i], v) for i, v in zip(self.places, natives, strict=True)]

    def strong_bars(self, back: Any, natives: Any, y_bars: Any, deps: int) -> list:
        """The same for plain values; with strong zeros where a cotangent came out as NaN."""
        found = self.bars(back, natives, y_bars, deps)
        if not any_nan(found):
            return found
        seeds = [None if g is None else _to_numpy(g) for g in y_bars]
        again = self.invocation.pull_strongly(self.host_leaves(natives), seeds)
        return [self.fitted(again[i], v) for i, v in zip(self.places, natives, strict=True)]

    def fitted(self, bar: Any, like: Tensor) -> Tensor | None:
        """A tangent as a tensor of the dtype and device of the value it belongs to."""
        if bar is None or not is_inexact(like):
            return None
        bar = bar._primal if isinstance(bar, TorchArray) else bar
        bar = bar if isinstance(bar, Tensor) else from_numpy(np.array(bar))
        if bar.is_complex() and not like.is_complex():
            bar = bar.real
        return bar.to(device=like.device, dtype=like.dtype).expand(like.shape)


def _to_numpy(tensor: Tensor) -> Any:
    """The numbers of a tensor, in memory of their own."""
    numpy_dtype(tensor.dtype)  # an error where NumPy has none
    if torch._C._functorch.is_legacy_batchedtensor(tensor):
        raise UnsupportedError(
            "a black box needs the numbers of a cotangent, and is_grads_batched=True or vectorize=True hands over many "
            f"in one tensor that has none ({user_line()}). Use torch.func.jacrev or torch.func.vmap instead."
        )
    return tensor.detach().cpu().resolve_conj().numpy().copy()[()]


def without_tangents(saved: Any) -> list:
    """Saved tensors, which still have their tangents: rules that call one another would go round in circles."""
    with forward_ad._set_fwd_grad_enabled(True):
        return [_primal(v) for v in saved]


def _primal(tensor: Tensor) -> Tensor:
    functorch = torch._C._functorch
    if not functorch.is_batchedtensor(tensor):
        return forward_ad.unpack_dual(tensor).primal
    # unpack_dual has no batching rule: it is applied below the batch.
    primal = _primal(functorch.get_unwrapped(tensor))
    return functorch._add_batch_dim(primal, functorch.maybe_get_bdim(tensor), functorch.maybe_get_level(tensor))


def any_nan(tensors: list) -> bool:
    if is_staged(tensors):
        return False
    try:
        return any(t is not None and bool(torch.isnan(t).any()) for t in tensors)
    except RuntimeError:  # several cotangents at a time (is_grads_batched): there is no value to look at
        return False


def mark_integers(ctx: Any, outputs: Any) -> None:
    integers = [y for y in outputs if isinstance(y, Tensor) and not is_inexact(y)]
    if integers:
        ctx.mark_non_differentiable(*integers)
