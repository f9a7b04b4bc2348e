"""The user's rules in torch: each call of a primitive goes through one of the ``torch.autograd.Function`` classes here.

In plain autograd the pullback that the rule returned is kept for the backward pass: one primal evaluation. It is used
only while nothing is recorded. A backward pass that is itself differentiated runs the rule again, on the saved inputs,
so that everything it does is on the graph; inside ``torch.func`` transforms, which allow no closures, always.

A host primitive has a pair of Functions, one for the value and one for the cotangents, that turn tensors into NumPy
arrays and back and say how they are batched; the second derivative of the pair is refused.
"""

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
from ...face.array import Array
from ...primitives.invocation import Invocation
from ...primitives.leaves import is_inexact
from ...values.kinds import isa
from .compiled import is_staged, staged_pullback, staged_pushforward, staged_value
from .face import TorchArray
from .operands import from_numpy, numpy_dtype
from .progress import close_block, open_block
from .recording import is_in_transform

__all__ = ["apply", "apply_native"]

_ADTYPE = AutoTorch()


class _Evaluating(threading.local):
    """Primitives whose value is being computed on this thread: a rule's call of its own function runs the function."""

    primitives: tuple = ()


_evaluating = _Evaluating()


def apply(invocation: Invocation, array: Any, leaves: tuple) -> Any:
    """Carry a primitive out on values behind the NumPy face."""
    deps = 0
    for leaf in leaves:
        if isinstance(leaf, TorchArray):
            deps |= leaf.deps
        elif isinstance(leaf, Array):
            raise UnsupportedError(
                f"{invocation.__name__} was called at {user_line()} with a {type(leaf).__name__} of another backend "
                "and a torch value; derivatives of different frameworks do not nest this way"
            )
    call, natives = _taken(invocation, leaves, deps)
    if call.treatment == "constant":
        deps = 0
    return invocation.result([_faced(y, deps) for y in call.run(natives)])


def apply_native(invocation: Invocation, leaves: list) -> Any:
    """Carry a primitive out on torch's own tensors, also in the user's own autograd and torch.func code."""
    invocation.check_keywords([isinstance(v, Tensor) and (v.requires_grad or is_in_transform()) for v in leaves])
    with _block() as deps:
        call, natives = _taken(invocation, leaves, deps)
        return invocation.result(call.body(natives) if call.treatment == "body" else call.run(natives))


def _faced(y: Any, deps: int) -> Any:
    return TorchArray(y, deps if is_inexact(y) else 0) if isinstance(y, Tensor) else y


@contextlib.contextmanager
def _block() -> Any:
    """A mark for face values of a rule: they belong to a derivative in progress while the rule runs."""
    block = open_block(1)
    try:
        yield 1 << block[0]
    finally:
        close_block(block)


def _taken(invocation: Invocation, leaves: Any, deps: int) -> tuple[_Call, list]:
    """The call and its variables."""
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (TorchArray, Tensor))]
    natives = [leaves[i]._primal if isinstance(leaves[i], TorchArray) else leaves[i] for i in places]
    return _Call(invocation, leaves, places, natives[0].device, deps), natives


class _Call:
    """One call: the tensors among its leaves are its variables, everything else stays as it is.

    It is kept for the backward pass, and for good in a compiled graph, so that it holds no variable.
    """

    def __init__(self, invocation: Invocation, leaves: Any, places: list, device: Any, deps: int):
        self.invocation, self.places, self.device, self.deps = invocation, places, device, deps
        self.treatment = invocation.treatment
        self.integers = [getattr(leaves[i], "integer", None) for i in places]
        self.leaves = list(leaves)
        for i in places:
            self.leaves[i] = None
        invocation.skeleton.release()
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
        if self.host:
            kind: Any = _HostFunction if transformed or is_staged(natives) else _HostRule
        else:
            kind = _Function if transformed else _Rule
        return list(kind.apply(self, *natives))

    # -- values --------------------------------------------------------------------------------------------------

    def faces(self, natives: Any, deps: int) -> list:
        """The leaves with these tensors in place of the variables, behind the NumPy face."""
        full = list(self.leaves)
        for i, v, integer in zip(self.places, natives, self.integers, strict=True):
            full[i] = TorchArray(v, deps, integer)
        return full

    def host_leaves(self, natives: Any) -> list:
        """The leaves with these tensors as real NumPy values."""
        full = list(self.leaves)
        for i, v, integer in zip(self.places, natives, self.integers, strict=True):
            full[i] = _to_numpy(v) if not isa(integer, int) else integer
        return full

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
                return list(_HostFunction.apply(self, *natives))
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
        outputs, rows = self.invocation.push(leaves, [given], _ADTYPE)
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
            outputs, back = self.invocation.pull(values, _ADTYPE)
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
        if not _any_nan(found):
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


def _any_nan(tensors: list) -> bool:
    if is_staged(tensors):
        return False
    try:
        return any(t is not None and bool(torch.isnan(t).any()) for t in tensors)
    except RuntimeError:  # several cotangents at a time (is_grads_batched): there is no value to look at
        return False


def _mark_integers(ctx: Any, outputs: Any) -> None:
    integers = [y for y in outputs if isinstance(y, Tensor) and not is_inexact(y)]
    if integers:
        ctx.mark_non_differentiable(*integers)


class _Rule(torch.autograd.Function):
    """A traceable rule in plain autograd: the closure serves the first backward pass, the rule itself all others."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *natives: Tensor) -> tuple:
        with _block() as deps:
            outputs, back = call.value(natives, deps)
        ctx.call, ctx.back = call, back
        ctx.save_for_backward(*natives)
        outputs = _unaliased(outputs, natives)
        ctx.versions = [(y.detach(), y._version) for y in outputs]
        _mark_integers(ctx, outputs)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> tuple:
        natives, back = ctx.saved_tensors, ctx.back
        with _block() as deps:
            if torch.is_grad_enabled():
                return None, *_recomputed(ctx.call, natives, y_bars, deps)
            # The closure may rely on results (y = exp(x) does), and they have been written to since: y.mul_(2).
            if any(y._version != version for y, version in ctx.versions):
                back = ctx.call.value(natives, deps)[1]
            return None, *ctx.call.strong_bars(back, natives, y_bars, deps)


def _recomputed(call: _Call, natives: Any, y_bars: Any, deps: int) -> list:
    """The cotangents by running the rule again, everything on the graph; where one came out as NaN, by strong zeros."""
    found = call.bars(call.pull(natives, deps)[1], natives, y_bars, deps)
    if not _any_nan(found):
        return found
    seeds = [None if g is None else TorchArray(g, deps) for g in y_bars]
    again = call.invocation.pull_strongly(call.faces(natives, deps), seeds)
    return [call.fitted(again[i], v) for i, v in zip(call.places, natives, strict=True)]


def _unaliased(outputs: list, natives: Any) -> list:
    """Results in tensors of their own: torch takes an argument for an unchanged input, and it writes the place in the
    graph into the tensor it is given, which may be one that the rule's pullback relies on.
    """
    return [y.clone() if any(y is v for v in natives) else y.detach() for y in outputs]


class _Function(torch.autograd.Function):
    """A traceable rule inside torch.func transforms."""

    generate_vmap_rule = True

    @staticmethod
    def forward(call: _Call, *natives: Tensor) -> tuple:
        with _block() as deps:
            return tuple(_unaliased(call.value(natives, deps)[0], natives))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])
        _mark_integers(ctx, output)

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> tuple:
        with _block() as deps:
            return None, *_recomputed(ctx.call, ctx.saved_tensors, y_bars, deps)

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Any) -> tuple:
        call = ctx.call
        if all(t is None for t in tangents):
            return (None,) * len(call.invocation.results.paths)
        # Saved tensors still have their tangents: rules that call one another would go round in circles.
        with forward_ad._set_fwd_grad_enabled(True):
            natives = [forward_ad.unpack_dual(v).primal for v in ctx.saved_tensors]
        _refuse_forward_over_forward(call, natives)
        with _block() as deps:
            frule = call.invocation.primitive.frule
            if frule is None or frule.host:
                return tuple(_transposed(call, natives, tangents, deps))
            x_dots: list = [None] * len(call.leaves)
            for i, t in zip(call.places, tangents, strict=True):
                x_dots[i] = None if t is None else TorchArray(t, deps)
            outputs, rows = call.invocation.push(call.faces(natives, deps), [x_dots], _ADTYPE)
            ys = call.tensors(outputs)
            return tuple(
                [
                    (torch.zeros_like(y) if d is None else call.fitted(d, y)) if is_inexact(y) else None
                    for d, y in zip(rows[0], ys, strict=True)
                ]
            )


def _transposed(call: _Call, natives: Any, tangents: Any, deps: int) -> list:
    """The pushforward as the transpose of the rule's pullback."""
    ys, back = call.pull(natives, deps)
    live = [k for k, y in enumerate(ys) if is_inexact(y)]

    def pullback(*y_bars: Tensor) -> tuple:
        seeds: list = [None] * len(ys)
        for k, g in zip(live, y_bars, strict=True):
            seeds[k] = g
        bars = call.bars(back, natives, seeds, deps)
        return tuple([torch.zeros_like(v) if b is None else b for b, v in zip(bars, natives, strict=True)])

    with torch.enable_grad():
        taken: Any = torch.func.vjp(pullback, *[torch.zeros_like(ys[k]) for k in live])
        _, transposed = taken
        moved = transposed(
            tuple([torch.zeros_like(v) if t is None else t for t, v in zip(tangents, natives, strict=True)])
        )
    y_dots: list = [None] * len(ys)
    for k, y_dot in zip(live, moved, strict=True):
        y_dots[k] = y_dot
    return y_dots


def _refuse_forward_over_forward(call: _Call, natives: Any) -> None:
    levels = [
        interpreter.key()
        for interpreter in torch._C._functorch.get_interpreter_stack() or ()
        if interpreter.key() == torch._C._functorch.TransformType.Jvp
    ]
    if len(levels) > 1:
        raise UnsupportedError(
            f"torch computes forward-mode derivatives of forward-mode derivatives of a custom rule wrongly "
            f"({call.invocation.__name__}, {user_line()}). Put reverse mode on one of the two sides: "
            "torch.func.jacfwd(torch.func.jacrev(f)), or adselect.hessian."
        )


# -- host --------------------------------------------------------------------------------------------------------------


class _HostRule(torch.autograd.Function):
    """A host primitive in plain autograd; the closure of its rule serves the backward pass."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *natives: Tensor) -> tuple:
        outputs, back = call.value(natives, 0)
        ctx.call, ctx.back = call, back
        ctx.save_for_backward(*natives)
        _mark_integers(ctx, outputs)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> tuple:
        natives = ctx.saved_tensors  # to be asked for once: torch.utils.checkpoint computes them
        return None, *_HostPullback.apply(ctx.call, ctx.back, len(natives), *natives, *y_bars)


class _HostFunction(torch.autograd.Function):
    """A host primitive inside torch.func transforms: called once per example, or once if it is batched."""

    @staticmethod
    def forward(call: _Call, *natives: Tensor) -> tuple:
        return tuple(call.body(natives))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])
        _mark_integers(ctx, output)

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Any) -> tuple:
        with forward_ad._set_fwd_grad_enabled(True):
            natives = [forward_ad.unpack_dual(v).primal for v in ctx.saved_tensors]
        given = [torch.zeros_like(v) if t is None else t for v, t in zip(natives, tangents, strict=True)]
        return _HostPushforward.apply(ctx.call, len(natives), *natives, *given)

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> tuple:
        natives = ctx.saved_tensors
        return None, *_HostPullback.apply(ctx.call, None, len(natives), *natives, *y_bars)

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: _Call, *natives: Tensor) -> tuple:
        rows = _rows(info, in_dims[1:], natives)
        if call.invocation.primitive.batched:
            stacked = [torch.stack(column) for column in zip(*rows, strict=True)]
            return _HostFunction.apply(call, *stacked), _leading(call)
        results = [_HostFunction.apply(call, *row) for row in rows]
        return tuple([torch.stack(column) for column in zip(*results, strict=True)]), (0,) * len(results[0])


def _leading(call: _Call) -> tuple:
    return (0,) * len(call.invocation.results.paths)


def _rows(info: Any, in_dims: Any, tensors: Any) -> list:
    """The tensors of each example of a batch."""
    return [
        tuple([t if d is None or t is None else t.select(d, n) for t, d in zip(tensors, in_dims, strict=True)])
        for n in range(info.batch_size)
    ]


class _HostPullback(torch.autograd.Function):
    """The cotangents of a host primitive."""

    @staticmethod
    def forward(call: _Call, back: Any, n: int, *tensors: Any) -> tuple:
        natives, y_bars = tensors[:n], tensors[n:]
        if is_staged(tensors):
            return tuple(staged_pullback(call, natives, y_bars))
        return tuple(call.host_pullback(back, natives, y_bars))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]

    @staticmethod
    def backward(ctx: Any, *x_dots: Any) -> Any:
        raise ctx.call.invocation.first_order_only()

    @staticmethod
    def jvp(ctx: Any, *x_dots: Any) -> Any:
        raise ctx.call.invocation.first_order_only()

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: _Call, back: Any, n: int, *tensors: Any) -> tuple:
        batched_natives = any(d is not None for d in in_dims[3 : 3 + n])
        rows = _rows(info, in_dims[3:], tensors)
        results = [_HostPullback.apply(call, back if not batched_natives else None, n, *row) for row in rows]
        return tuple([torch.stack(column) for column in zip(*results, strict=True)]), (0,) * n


class _HostPushforward(torch.autograd.Function):
    """The tangents of a host primitive: by its frule, or from one pullback per entry of the result."""

    @staticmethod
    def forward(call: _Call, n: int, *tensors: Any) -> tuple:
        natives, x_dots = tensors[:n], tensors[n:]
        if is_staged(tensors):
            return tuple(staged_pushforward(call, natives, x_dots))
        return tuple(call.host_pushforward(natives, x_dots))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]

    @staticmethod
    def backward(ctx: Any, *y_bars: Any) -> Any:
        raise ctx.call.invocation.first_order_only()

    @staticmethod
    def jvp(ctx: Any, *x_dots: Any) -> Any:
        raise ctx.call.invocation.first_order_only()

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: _Call, n: int, *tensors: Any) -> tuple:
        results = [_HostPushforward.apply(call, n, *row) for row in _rows(info, in_dims[2:], tensors)]
        return tuple([torch.stack(column) for column in zip(*results, strict=True)]), (0,) * len(results[0])
