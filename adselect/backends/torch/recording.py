"""The two ways to record f: torch's graph, and the transformations of ``torch.func``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .gradients import any_nan, gradient_by_torch, strong_zeros
from .graph import FirstOrder, once_only, places_reached, reachable
from .operands import SHARED


class Graph:
    """f recorded in torch's ordinary autograd graph, from ``inputs`` to ``outputs``."""

    enclosing = False  # whether f took a derivative at values of this graph

    def __init__(self, inputs: list, native: bool = False):
        self.inputs = inputs
        self.outputs: list[Tensor] = []
        self.native = native
        self.read: dict = {}  # plain arrays whose memory the graph reads
        self._reached: dict[int, set] = {}

    def run(self, function: Callable) -> list:
        self.outputs, others = function(self.inputs)
        return others

    @functools.cached_property
    def first_order(self) -> bool:
        """Whether torch has no second derivative of this call."""
        return once_only(self.outputs, self.inputs)

    def reached(self, k: int) -> set:
        """The inputs that output k depends on."""
        if k not in self._reached:
            self._reached[k] = places_reached(self.outputs[k], self.inputs)
        return self._reached[k]

    def pull(self, seeds: list, record: bool, transposing: bool = False) -> list:
        """A cotangent per input, None where torch met no path."""
        SHARED.check(self.read)
        chosen = [(y, s) for y, s in zip(self.outputs, seeds, strict=True) if s is not None and y.requires_grad]
        if not chosen or not self.inputs:
            return [None] * len(self.inputs)
        outputs, seeds = [list(column) for column in zip(*chosen, strict=True)]
        if record and self.native and self.first_order:
            x_bars = gradient_by_torch(outputs, self.inputs, seeds, False, None)
            return [None if x_bar is None else FirstOrder.apply(x_bar, *self.inputs) for x_bar in x_bars]
        return gradient_by_torch(
            outputs, self.inputs, seeds, record, self._nested(outputs, None if transposing else seeds)
        )

    def _nested(self, outputs: list, seeds: list | None) -> bool | None:
        """How a derivative that came out as NaN is repaired; see :func:`_grad`. Native code keeps torch's answer."""
        if self.native:
            return None
        for k, y in enumerate(outputs):
            wanted = y.detach() if seeds is None else y.detach()[seeds[k].detach() != 0]
            if not bool(torch.isfinite(wanted).all()):
                return True if seeds is None else None
        return self.enclosing

    def transpose(self) -> Callable[[list, bool], list]:
        """The pushforward: the pullback is linear in its seeds, so it is recorded once and pulled back itself."""
        if self.first_order:
            raise NotImplementedError
        dummies = [_generic(y, k).requires_grad_() for k, y in enumerate(self.outputs)]
        x_bars = self.pull(dummies, True, transposing=True)

        def push(x_dots: list, record: bool) -> list:
            chosen = [
                (x_bar, x_dot)
                for x_bar, x_dot in zip(x_bars, x_dots, strict=True)
                if x_dot is not None and x_bar is not None and x_bar.requires_grad
            ]
            if not chosen:
                return [None] * len(self.outputs)
            outputs, seeds = [list(column) for column in zip(*chosen, strict=True)]
            return gradient_by_torch(outputs, dummies, seeds, record, self._nested(self.outputs, None))

        return push


class Transform:
    """f recorded with ``torch.func.vjp``, the only way inside a torch.func transform."""

    enclosing = False

    def __init__(self, values: list):
        self.inputs = values
        self.outputs: list[Tensor] = []
        self._reached: list[set] = []
        self._nodes: set = set()

    def run(self, function: Callable) -> list:
        def flat(*variables: Tensor) -> tuple:
            outputs, others = function(list(variables))
            self._reached = [places_reached(y, list(variables)) for y in outputs]
            self._nodes = reachable(outputs)
            return tuple(outputs), others

        taken: Any = torch.func.vjp(flat, *self.inputs, has_aux=True)
        outputs, self._vjp, others = taken
        self.outputs = list(outputs)
        return others

    def reached(self, k: int) -> set:
        return self._reached[k]

    def pull(self, seeds: list, record: bool) -> list:
        y_bars = tuple([torch.zeros_like(y) if s is None else s for y, s in zip(self.outputs, seeds, strict=True)])
        with torch.enable_grad():
            x_bars = self._vjp(y_bars)
            if any_nan(x_bars):
                with strong_zeros(self._nodes):
                    x_bars = self._vjp(y_bars)
        found = set().union(*self._reached)
        return [x_bar if i in found else None for i, x_bar in enumerate(x_bars)]

    def transpose(self) -> Callable[[list, bool], list]:
        with torch.enable_grad():
            dummies = [_generic(y, k) for k, y in enumerate(self.outputs)]
            taken: Any = torch.func.vjp(lambda *seeds: self._vjp(seeds), *dummies)
            vjp = taken[1]

        def push(x_dots: list, record: bool) -> list:
            given = {i for i, x_dot in enumerate(x_dots) if x_dot is not None}
            full = [torch.zeros_like(x) if d is None else d for x, d in zip(self.inputs, x_dots, strict=True)]
            with torch.enable_grad():
                y_dots = vjp(tuple(full))
            return [y_dot if given & self._reached[k] else None for k, y_dot in enumerate(y_dots)]

        return push


def _generic(y: Tensor, k: int) -> Tensor:
    """A cotangent without coincidences: no sum of its entries cancels, so that a zero in its pullback means "none"."""
    real = torch.sin(torch.arange(y.numel(), dtype=torch.float64, device=y.device) * 1.618 + k + 0.3) + 1.5
    return (real * (1 + 0.7j) if y.is_complex() else real).to(y.dtype).reshape(y.shape)


def is_in_transform() -> bool:
    """Whether a torch.func transform (grad, vmap, jvp, …) or torch's forward mode is running.

    There a tensor may be followed without requiring grad, and torch's plain autograd is closed to us.
    """
    return torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0
