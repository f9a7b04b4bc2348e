"""Prepared gradients on PyTorch: one run of f, one backward pass, and nothing that preparation can settle beforehand.

``AutoTorch(compile=True)`` traces f and its backward pass once, as ``jax.jit`` does, and gives the graph to
torch.compile: without Python, and so without branches that depend on values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...calls.captured import Watch, classes_of
from ...calls.fixed import parts
from ...calls.operator_facts import OperatorFacts, facts_of
from ...errors import ADSelectError, UnsupportedError, user_line
from ...face.dispatch import absorb
from ...structure.flattening import flatten
from ...values.kinds import isa
from .face import SELECTIONS, TorchArray
from .gradients import gradient_of
from .operands import SHARED
from .progress import calls_in_progress, close_block, open_block
from .recording import is_in_transform

__all__ = ["CompiledGradient", "LeanGradient", "prepare_gradient"]

_REAL = (np.dtype(np.float64), np.dtype(np.float32))


def prepare_gradient(backend: Any, operator: Callable, f: Callable, args: tuple, options: dict) -> Callable | None:
    """A short way to ``operator(f, adtype, *args, **options)``, or None where the plain call is the way.

    Short ways exist for gradient and withgradient of real NumPy arguments.
    """
    facts = facts_of(operator) or OperatorFacts()
    if backend.adtype.compile and not facts.gradient:
        name = getattr(operator, "__name__", operator)
        raise UnsupportedError(
            f"AutoTorch(compile=True) compiles prepared gradient and withgradient, not {name} ({user_line()}). Use "
            "AutoTorch() for it, or AutoJax(), which compiles every operator"
        )
    leaves, _ = flatten(args)
    plain = (
        not facts.gradient
        or not leaves
        or options.get("missing", "none") != "none"
        or not all(_is_real(leaf) for leaf in leaves)
        or any(isa(leaf, np.ndarray) and not leaf.ndim for leaf in leaves)  # whose results are 0-d arrays, too
    )
    if backend.adtype.compile:
        if plain:
            raise UnsupportedError(
                f"AutoTorch(compile=True) takes real NumPy arrays and floats, and no missing= ({user_line()}). "
                "Use AutoTorch() for other arguments"
            )
        return CompiledGradient(backend, operator, f, args, options)
    if plain or backend.adtype.face == "native" or backend.adtype.device is not None:
        return None
    return LeanGradient(backend, operator, f, args, options)


def _is_real(leaf: Any) -> bool:
    if isa(leaf, (np.ndarray, np.generic)):
        return leaf.dtype in _REAL and leaf.dtype.isnative
    return type(leaf) is float


class _Captured:
    """What torch's face is told when f meets a tensor of the user's own graph, or takes a derivative itself."""

    captured = False
    enclosing = False

    @property
    def record(self) -> _Captured:
        return self


class LeanGradient:
    """The gradient by one run of f and one backward pass; whatever is out of the ordinary takes the plain way."""

    def __init__(self, backend: Any, operator: Callable, f: Callable, args: tuple, options: dict):
        from ...calls.flat import call_user
        from ...calls.settling import settle_captured

        self.backend, self.operator, self.f, self.options = backend, operator, f, options
        self.kwargs = {k: v for k, v in options.items() if k != "missing"}
        self.call, self.settle = call_user, settle_captured
        self.with_value = (facts_of(operator) or OperatorFacts()).with_value
        leaves, self.skeleton = flatten(args)
        self.floats = [i for i, leaf in enumerate(leaves) if type(leaf) is float]
        self.python = len(self.floats) == len(leaves)
        self.arrays = [i for i, leaf in enumerate(leaves) if isa(leaf, np.ndarray) and leaf.ndim > 1]
        self.result = type(operator(f, backend.adtype, *args, **options))

    def plainly(self, args: tuple) -> Any:
        """The operator's own way."""
        return self.operator(self.f, self.backend.adtype, *args, **self.options)

    def __call__(self, leaves: list, args: tuple, fixed: tuple = ()) -> Any:
        if is_in_transform() or not torch.is_grad_enabled() or calls_in_progress():
            return self.plainly(args)
        skeleton = self.skeleton
        if not skeleton.simple:  # values without derivatives may have changed, constants among them
            leaves, skeleton = flatten(args)
        variables = [_variable(leaf) for leaf in leaves]
        block = open_block(len(leaves))
        noticed = _Captured()
        stack = calls_in_progress(True)
        stack.append(noticed)
        start = block[0]
        before, shared = SELECTIONS.enter(start), SHARED.enter(True)
        try:
            lifted: list = [TorchArray(v, 1 << (start + i)) for i, v in enumerate(variables)]
            for i in self.arrays:
                if not leaves[i].flags.c_contiguous:
                    lifted[i] = lifted[i]._given_as(leaves[i])
            y = self.call(self.f, skeleton.rebuild(lifted), self.kwargs, self.backend)
            y = y if type(y) in (tuple, list) else absorb(y)  # a result with auxiliary output is the plain way's
        finally:
            stack.pop()
            close_block(block)
            selecting = SELECTIONS.leave(before)
            read = SHARED.leave(shared)
        SHARED.check(read)
        value = y._primal if type(y) is TorchArray else None
        unusual = noticed.captured or noticed.enclosing
        if value is None or unusual or value.ndim or not value.requires_grad or value.is_complex():
            self.settle(self.f)
            return self.plainly(args)
        grads = gradient_of(value, variables, False, {i for i in range(len(leaves)) if selecting >> i & 1})
        self.settle(self.f)
        if grads is None:  # a NaN: the plain way goes over the graph again with strong zeros
            return self.plainly(args)
        for i in self.floats:
            if grads[i] is not None:
                grads[i] = grads[i].item()
        result = skeleton.result(grads)
        if not self.with_value:
            return result
        number = value.item() if self.python else value.detach().numpy()[()]
        return self.result(number, result)


def _variable(leaf: Any) -> Tensor:
    if type(leaf) is np.ndarray and leaf.flags.writeable and min(leaf.strides, default=0) >= 0:
        return torch.from_numpy(leaf).requires_grad_()
    if type(leaf) is float:
        return torch.tensor(leaf, dtype=torch.float64, requires_grad=True)
    return torch.from_numpy(np.array(leaf)).requires_grad_()


def _converter(leaf: Any) -> Callable[[Tensor], Any]:
    """From a cotangent to what the eager gradient of such a leaf is; NumPy arrays of their own memory."""
    if isa(leaf, np.ndarray):
        return lambda x_bar: x_bar.numpy().copy()
    if isa(leaf, np.generic):
        return lambda x_bar: x_bar.numpy()[()]
    return Tensor.item


def _has_nan(grads: list) -> bool:
    """Whether a NaN is among the entries: the sum of their squares is one then, and only then."""
    for grad in grads:
        total = grad if grad is None or type(grad) is float else np.vdot(grad, grad)
        if total is not None and total != total:
            return True
    return False


# -- torch.compile -----------------------------------------------------------------------------------------------------


class CompiledGradient:
    """The gradient as one graph, forward and backward, that torch.compile has turned into native code."""

    def __init__(self, backend: Any, operator: Callable, f: Callable, args: tuple, options: dict):
        self.backend, self.operator, self.f, self.options = backend, operator, f, options
        self.kwargs = {k: v for k, v in options.items() if k != "missing"}
        leaves, self.skeleton = flatten(args)
        if _freezes(self.skeleton):
            raise UnsupportedError(
                f"AutoTorch(compile=True) would freeze a part of an argument that is no real array ({user_line()}): a "
                "Const, a mask, a function. Give it as a keyword argument where it may be frozen, or use AutoTorch()"
            )
        self.fixed, self.watch = parts(self.skeleton)[1], Watch({"f": f, **self.kwargs}, classes_of(args))
        self.converters = [_converter(leaf) for leaf in leaves]
        self.python = all(type(leaf) is float for leaf in leaves)
        eager = operator(f, backend.adtype, *args, **options)
        self.with_value = (facts_of(operator) or OperatorFacts()).with_value
        if self.with_value and isinstance(eager.val, (tuple, list, dict)):
            raise UnsupportedError("AutoTorch(compile=True) takes no auxiliary output; prepare with AutoTorch()")
        self.result = type(eager)
        grads = eager.grad if self.with_value else eager
        self.present = _present(self.skeleton, grads, len(leaves))
        self.program = self._compiled([_variable(leaf) for leaf in leaves])
        try:
            self(leaves, args, self.fixed)
        except ADSelectError:
            raise
        except Exception as error:
            raise UnsupportedError(
                f"torch.compile failed on {getattr(f, '__qualname__', f)} ({_first_line(error)}). It needs a "
                "C++ compiler; AutoTorch() does without"
            ) from error
        self.watch = self.watch.settled(lambda: operator(f, backend.adtype, *args, **options))

    def _compiled(self, variables: list) -> Callable:
        from torch.fx.experimental.proxy_tensor import make_fx

        def flat(*values: Tensor) -> list:
            with torch.enable_grad():
                inputs = [v.detach().requires_grad_() for v in values]
                block = open_block(len(inputs))
                try:
                    native = self.backend.adtype.face == "native"
                    lifted: list = [v if native else TorchArray(v, 1 << (block[0] + i)) for i, v in enumerate(inputs)]
                    y = absorb(self.f(*self.skeleton.rebuild(lifted), **self.kwargs))
                finally:
                    close_block(block)
                value = y._primal if type(y) is TorchArray else y
                chosen = [x for x, here in zip(inputs, self.present, strict=True) if here]
                x_bars = torch.autograd.grad(value, chosen, allow_unused=True) if chosen else []
            filled = [torch.zeros_like(x) if g is None else g for g, x in zip(x_bars, chosen, strict=True)]
            return [value.detach(), *filled]

        try:
            graph = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*[v.detach() for v in variables])
        except Exception as error:
            raise UnsupportedError(
                f"f cannot be traced for AutoTorch(compile=True) at {user_line()} ({_first_line(error)}). "
                "While it is traced values have shapes and no numbers: write np.where(condition, a, b) instead of a "
                "Python branch, or use AutoTorch(), where f runs eagerly"
            ) from error
        return torch.compile(graph)

    def __call__(self, leaves: list, args: tuple, fixed: tuple = ()) -> Any:
        if fixed != self.fixed or not self.watch.holds():  # another flag, or another value of what f captures
            return self.operator(self.f, self.backend.adtype, *args, **self.options)
        with torch.no_grad():
            value, *found = self.program(*[_variable(leaf).detach() for leaf in leaves])
        remaining = iter(found)
        grads = [
            convert(next(remaining)) if here else None
            for convert, here in zip(self.converters, self.present, strict=True)
        ]
        if _has_nan(grads):  # strong zeros are the eager way's
            return self.operator(self.f, self.backend.adtype, *args, **self.options)
        result = self.skeleton.result(grads)
        if not self.with_value:
            return result
        return self.result(value.item() if self.python else value.numpy()[()], result)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _freezes(skeleton: Any) -> bool:
    """Whether compiling would fix a value that a later call may change without anybody noticing."""
    pending, seen = list(skeleton.nodes), set()
    while pending:
        node = pending.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        value = getattr(node, "value", None)
        if not (isa(value, (str, bytes, bool)) or value is None or hasattr(node, "children")) or callable(value):
            return True
        pending.extend(getattr(node, "children", ()))
    return False


def _present(skeleton: Any, grads: tuple, count: int) -> list[bool]:
    """Which leaves have a gradient."""
    places = skeleton.result([_Place(i) for i in range(count)])
    found = [False] * count

    def walk(place: Any, grad: Any) -> None:
        if isinstance(place, _Place):
            found[place.number] = grad is not None
        elif isinstance(place, dict):
            for key in place:
                walk(place[key], grad[key])
        elif isinstance(place, (tuple, list)):
            for p, g in zip(place, grad, strict=True):
                walk(p, g)
        elif place is not None:
            for key in place:
                walk(place[key], grad[key])

    walk(places, grads)
    return found


class _Place:
    def __init__(self, number: int):
        self.number = number
