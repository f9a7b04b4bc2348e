"""Who is timed: each a function from a problem to a call without arguments that returns the value and the gradients.

NumPy arrays go in and come out everywhere: conversions are part of what is timed. ``DeclinedError`` says that a
contestant does not take part in a problem, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from problems import Problem

import adselect as ad
from adselect.testing.benchmark import why_not_replayed

__all__ = ["CONTESTANTS", "DeclinedError"]


class DeclinedError(Exception):
    """A contestant does not take part in a problem; the message says why."""


def primal(problem: Problem) -> Callable:
    """f alone, on NumPy."""
    f, args = problem.make(np), problem.args
    return lambda: (f(*args), None)


def hand(problem: Problem) -> Callable:
    """An adjoint written by hand."""
    if problem.hand is None:
        raise DeclinedError("no adjoint was written by hand")
    adjoint, args = problem.hand, problem.args
    return lambda: adjoint(*args)


def operator(adtype: ad.ADType) -> Callable[[Problem], Callable]:
    """adselect's operator, called as it is."""

    def contestant(problem: Problem) -> Callable:
        f, args = problem.make(np), problem.args
        return lambda: ad.withgradient(f, adtype, *args)

    return contestant


def forward(problem: Problem) -> Callable:
    """Forward mode: its cost grows with the number of arguments."""
    if problem.numbers > 200:
        raise DeclinedError("forward mode is for few arguments")
    return operator(ad.AutoForward())(problem)


def replay(problem: Problem) -> Callable:
    """The tape's replay; a computation that stays eager is told, not timed twice.

    Without the checks against the eager result, which come at doubling intervals: over many calls they cost nothing,
    over the few that are timed here they would.
    """
    f, args = problem.make(np), problem.args
    prepared = ad.prepare(ad.withgradient, f, ad.AutoTape(), *args, check="never")
    reason = why_not_replayed(prepared)
    if reason:
        raise DeclinedError(reason)
    return lambda: prepared(*args)


def native(problem: Problem) -> Callable:
    """The replay compiled by numba, for long programs on few numbers."""
    if problem.kind != "long":
        raise DeclinedError("compiled are long programs on few numbers")
    return prepared(ad.AutoTape(native=True))(problem)


def prepared(adtype: ad.ADType) -> Callable[[Problem], Callable]:
    """adselect's operator, prepared for a framework."""

    def contestant(problem: Problem) -> Callable:
        f, args = problem.make(np), problem.args
        ready = ad.prepare(ad.withgradient, f, adtype, *args, check="never")
        return lambda: ready(*args)

    return contestant


def autograd(problem: Problem) -> Callable:
    """HIPS autograd as its users write it."""
    import autograd
    import autograd.numpy

    f, args = problem.make(autograd.numpy), problem.args
    gradient = autograd.value_and_grad(f, tuple(range(len(args))))
    return lambda: gradient(*args)


def jax(problem: Problem) -> Callable:
    """JAX, jitted, in double precision."""
    return _jitted(problem, lambda jax: problem.make(jax.numpy))


def scan(problem: Problem) -> Callable:
    """JAX with the problem's loop rewritten for it, which keeps the compiled program short."""
    if problem.rolled is None:
        raise DeclinedError("there is no loop to rewrite")
    return _jitted(problem, lambda jax: problem.rolled(jax, jax.numpy))


def _jitted(problem: Problem, make: Callable) -> Callable:
    import jax
    import jax.numpy

    args = problem.args
    with jax.enable_x64(True):
        gradient = jax.jit(jax.value_and_grad(make(jax), tuple(range(len(args)))))

    def call() -> tuple:
        with jax.enable_x64(True):
            value, found = gradient(*args)
            return float(value), tuple([np.asarray(g) for g in found])

    return call


def torch(problem: Problem) -> Callable:
    """PyTorch, eager, as its users write it."""
    import torch

    f, args = problem.make(TorchFace(torch)), problem.args

    def leaf(x: Any) -> Any:
        tensor = torch.from_numpy(x) if isinstance(x, np.ndarray) else torch.tensor(x, dtype=torch.float64)
        return tensor.requires_grad_()

    def call() -> tuple:
        leaves = [leaf(x) for x in args]
        value = f(*leaves)
        found = torch.autograd.grad(value, leaves)
        return value.item(), tuple([g.numpy() for g in found])

    return call


class TorchFace:
    """torch under NumPy's names, as far as the problems need it: only what torch calls or treats differently."""

    def __init__(self, torch: Any):
        self._torch = torch
        self.max, self.min = self._extreme(torch.amax), self._extreme(torch.amin)

    @staticmethod
    def _extreme(reduction: Callable) -> Callable:
        return lambda x, axis=(), keepdims=False: reduction(x, dim=axis, keepdim=keepdims)

    def sum(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """torch.sum, whose axis cannot be None together with keepdim."""
        return self._torch.sum(x) if axis is None else self._torch.sum(x, dim=axis, keepdim=keepdims)

    def asarray(self, x: Any) -> Any:
        """A tensor of a NumPy array's memory."""
        return self._torch.from_numpy(np.ascontiguousarray(x))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._torch, name)  # exp, log, tanh, stack(axis=…), … have NumPy's names and arguments
        self.__dict__[name] = value  # asked for once: the face must not cost time
        return value


# Key: (what the table calls it, how it is made). The order is the order of the columns.
CONTESTANTS: dict[str, tuple[str, Callable[[Problem], Callable]]] = {
    "primal": ("f alone", primal),
    "hand": ("by hand", hand),
    "tape": ("AutoTape", operator(ad.AutoTape())),
    "replay": ("AutoTape, prepared", replay),
    "native": ("AutoTape(native=True), prepared", native),
    "forward": ("AutoForward", forward),
    "autograd": ("autograd", autograd),
    "torch": ("torch", torch),
    "jax": ("jax.jit", jax),
    "scan": ("jax.jit, lax.scan", scan),
    "autojax": ("AutoJax, prepared", prepared(ad.AutoJax())),
    "autotorch": ("AutoTorch, prepared", prepared(ad.AutoTorch())),
}
