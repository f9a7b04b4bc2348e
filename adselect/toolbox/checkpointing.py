"""checkpointed: a function whose intermediate values are computed again for the reverse pass instead of being kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..calls.flat import flatten_output
from ..calls.in_progress import IN_PROGRESS, UserCall
from ..errors import ADSelectTypeError, ADSelectValueError, TracedValueError, user_line
from ..face.array import Array
from ..structure.flattening import Skeleton
from ..values.natives import natives_of
from .random_states import RandomStates
from .values import Parts, is_variable, stacked

__all__ = ["checkpointed", "checkpointed_chain"]


def checkpointed(f: Callable, *xs: Any, **kwargs: Any) -> Any:
    """``f(*xs, **kwargs)``, with nothing kept for the reverse pass but the inputs: f is run again there.

    xs, kwargs and what f returns may be any structures; what f closes over is differentiated as without checkpointed,
    exactly and to any order. f runs once on the way forward and once more in each reverse pass that reaches its result.
    The random numbers that it draws are the same in both: from NumPy's and Python's shared generators, and from
    generators among xs and kwargs, in f's closure, its object and the globals it names.

    On the tape, and where the framework can (torch; JAX, where f can be traced without values; elsewhere, as in forward
    mode and with finite differences, it is f that is called and everything is kept that otherwise would be). Prepared
    on the tape f becomes part of the program.

    On the tape: ADSelectValueError when f computes something else in its second run; TracedValueError when it writes
    into its arguments, or when something else that it has computed than its result is used outside. torch raises an
    error of its own for what it notices. Cost: f twice; memory for f's inputs and result, and for what happens inside
    of f while it runs. One call saves nothing yet: divide a long computation into stretches
    (:func:`checkpointed_chain`).

    >>> import numpy as np, adselect as ad
    >>> calls = []
    >>> def f(x):
    ...     calls.append("f")
    ...     return np.sum(np.sin(x) ** 2)
    >>> y, back = ad.pullback(lambda x: checkpointed(f, x), np.array([0.5]))
    >>> len(calls), back(1.0)[0].round(4), len(calls)
    (1, array([0.8415]), 2)

    Source: Zygote.jl's ``checkpointed``; Griewank & Walther, Evaluating Derivatives (2008), chapter 12.
    """
    if not callable(f):
        raise ADSelectTypeError(
            f"checkpointed takes the function first: checkpointed(f, x), not {type(f).__name__} ({user_line()})"
        )
    call = _Stretch(f, [stacked(x) for x in xs], kwargs)
    top: Any = None
    natives = None
    for leaf in call.leaves:
        if isinstance(leaf, Array):
            if not leaf._closed and (top is None or leaf._level > top._level):
                top = leaf
        elif is_variable(leaf):
            natives = natives_of(leaf)
    if top is None and natives is None:
        return f(*xs, **kwargs)
    carry_out: Any = natives.checkpointed if top is None else top._checkpointed  # type: ignore[union-attr]
    results, structure = carry_out(call, call.leaves)
    return structure.rebuild(list(results))[0]


class _Stretch:
    """``f(*xs, **kwargs)`` as a function of leaves, those in f's closure among them: ``(results, structure)``.

    With None for the leaves f is called as it is.
    """

    def __init__(self, f: Callable, xs: list, kwargs: dict):
        self.line, self.names = user_line(), list(kwargs)
        self.random = RandomStates(f, (xs, kwargs))
        self.parts = Parts([f, *xs, *kwargs.values()])
        self.leaves = self.parts.leaves
        self.again = False  # whether the next run is a second one

    def __call__(self, leaves: list | None) -> tuple[list, Skeleton]:
        if self.again:
            # The call of f that this is part of is over.
            call = UserCall()
            call.args, call.flat, call.adtype, call.blind = list(leaves or ()), None, None, False
            IN_PROGRESS.calls.append(call)
            try:
                with self.random.repeated():
                    return self._run(leaves)
            finally:
                IN_PROGRESS.calls.pop()
        IN_PROGRESS.provisional += 1
        try:
            with self.random.noting():
                found = self._run(leaves)
            self.again = True
            return found
        finally:
            IN_PROGRESS.provisional -= 1

    def _run(self, leaves: list | None) -> tuple[list, Skeleton]:
        given = [leaf for leaf in (self.leaves if leaves is None else leaves) if isinstance(leaf, Array)]
        before = [leaf._primal for leaf in given]
        f, *rest = self.parts.values if leaves is None else self.parts.around(leaves)
        n = len(rest) - len(self.names)
        found = flatten_output(f(*rest[:n], **dict(zip(self.names, rest[n:], strict=True))))
        for primal, leaf in zip(before, given, strict=True):
            if leaf._primal is not primal:
                raise TracedValueError(
                    f"the function given to checkpointed at {self.line} writes into an array of shape {leaf.shape} "
                    "that it was given, or that it closes over: a second run would find it written to. Let it write "
                    "into a copy."
                )
        return found


def checkpointed_chain(steps: Sequence[Callable[[Any], Any]], x: Any, segments: int | None = None) -> Any:
    """``steps[-1](… steps[1](steps[0](x)))``, divided into segments, each of which is :func:`checkpointed`.

    segments: how many, √n for n steps unless given: with n equal steps memory for about 2√n of them is needed in place
    of n, and each step is computed twice. A simulation of 10,000 steps keeps 100 states, and at one time what happens
    inside of 100 steps.

    Raises ADSelectValueError when segments is not positive, and what checkpointed raises. Cost: see there.

    >>> import numpy as np, adselect as ad
    >>> steps = [lambda x: x + 0.1 * np.sin(x)] * 100
    >>> kept = ad.gradient(lambda x: np.sum(checkpointed_chain(steps, x)), np.array([0.3]))
    >>> plain = ad.gradient(lambda x: np.sum(checkpointed_chain(steps, x, segments=1)), np.array([0.3]))
    >>> np.allclose(kept, plain)
    True

    Source: Chen, Xu, Zhang, Guestrin, Training deep nets with sublinear memory cost (2016).
    """
    steps = list(steps)
    count = max(1, math.isqrt(len(steps))) if segments is None else segments
    if count < 1:
        raise ADSelectValueError(f"checkpointed_chain needs at least one segment, not {segments} ({user_line()})")
    length = math.ceil(len(steps) / count) or 1

    def run(part: list, x: Any) -> Any:
        for step in part:
            x = step(x)
        return x

    for first in range(0, len(steps), length):
        x = checkpointed(run, steps[first : first + length], x)
    return x
