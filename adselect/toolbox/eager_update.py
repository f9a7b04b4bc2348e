"""eager_update: parameters are updated in the middle of the reverse pass, as soon as their gradient is there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..calls.hook import Hook
from ..calls.in_progress import IN_PROGRESS, UserCall
from ..errors import ADSelectTypeError, ADSelectValueError, UnsupportedError, user_line
from ..face.array import Array
from ..structure.flattening import Skeleton, flatten
from ..structure.leaves import Const
from ..structure.projection import project
from ..values.natives import is_native
from .hooks import groups_of
from .values import stacked

__all__ = ["eager_update"]


def eager_update(state: Any, model: Any, update: Callable[[Any, Any, Any], Any]) -> Any:
    """model, to be used in its place; when its gradient is complete, ``update(state, model, grad)`` is called and the
    gradient is let go of.

    model: an argument of f, or a part of one: a layer of a list, a dict of arrays, one array. update gets the caller's
    own object (not the copy that f sees) with the gradient mirroring it as that of ``gradient`` does, and changes what
    is in it: ``model["w"] -= state * grad["w"]``; what it returns is ignored. state is passed on likewise. In the
    result of gradient, withgradient and pullback there is None at the model's numbers: with one eager_update a layer,
    the gradients of all layers are never in memory at the same time (on the tape and autograd; JAX and torch hand on
    zeros in their place).

    What f uses of the model has to come from what eager_update returns, and each parameter through one eager_update:
    any other use would be missing from the gradient, and raises ADSelectValueError (for a use beside it when the
    reverse pass is over: the update has been made by then). Where there is no derivative, or nothing depends on the
    model, nothing is called.

    Raises ADSelectValueError for a model that is not part of an argument, for a second reverse pass over parameters
    that have changed since, and for a gradient that is not finite; UnsupportedError under a second derivative, while a
    call is prepared or compiled, in other operators, and where derivatives are put together without cotangents. Cost:
    that of update.

    >>> import numpy as np, adselect as ad
    >>> layers = [{"w": np.array([3.0])}, {"w": np.array([5.0])}]
    >>> def descend(rate, layer, grad):
    ...     layer["w"] -= rate * grad["w"]
    >>> def loss(layers, x):
    ...     for layer in layers:
    ...         x = eager_update(0.1, layer, descend)["w"] * x
    ...     return np.sum(x)
    >>> grads = ad.gradient(loss, layers, ad.Const(2.0))
    >>> grads, [layer["w"].round(10).tolist() for layer in layers]
    (([{'w': None}, {'w': None}], None), [[2.0], [4.4]])

    Source: Zygote.jl's ``eager_update!``.
    """
    if not callable(update):
        raise ADSelectTypeError(
            f"eager_update takes a function last: eager_update(state, model, update), not {type(update).__name__} "
            f"({user_line()})"
        )
    model = stacked(model)
    leaves, skeleton = flatten((model,), root="model")
    calls = IN_PROGRESS.calls
    groups = list(groups_of(leaves))
    if not groups and not any(call.blind for call in calls):
        return model
    line = user_line()
    if IN_PROGRESS.provisional:
        raise _unsupported(line, "this is inside of a checkpointed function, which takes what eager_update returns")
    if not calls:
        raise _unsupported(line, "only gradient, withgradient and pullback update, in the thread that f is called in")
    if IN_PROGRESS.preparing:
        raise _unsupported(
            line, "it would update the model while a call is being prepared, and again in each check of it"
        )
    if calls[-1].blind or not groups:
        raise _unsupported(line, "derivatives are put together without cotangents here")
    if len(groups) > 1:
        raise _unsupported(line, "the numbers of the model belong to derivatives one around the other")
    places, natives = groups[0]
    waiting = _Waiting(state, update, line, (model, leaves, skeleton, places))
    values = [leaves[i] for i in places]
    found = values[0]._hooked(waiting, values) if natives is None else natives.hooked(waiting, values)
    for i, value in zip(places, found, strict=True):
        leaves[i] = value
    return skeleton.rebuild(leaves)[0]


class _Waiting(Hook):
    """An update that waits for its gradient."""

    has_effects = True  # type: ignore[assignment]

    def __init__(self, state: Any, update: Callable, line: str, taken: tuple[Any, list, Skeleton, list[int]]):
        model, leaves, skeleton, places = taken
        super().__init__("eager_update", update, skeleton, leaves, places)
        self.line, self.done = line, False
        call, own_of, counterpart = _origin(leaves, places, line)
        self.numbers = [own_of[id(leaves[i])][0] for i in places]  # among the leaves of f's arguments
        self.own = [own_of[id(leaves[i])][1] for i in places]
        if any(isinstance(leaf, Array) for leaf in self.own):
            raise _unsupported(line, "the model is part of another derivative, or of code that is being compiled")
        for notice in call.flat.notices:
            if set(getattr(notice, "numbers", ())) & set(self.numbers):
                raise ADSelectValueError(
                    f"eager_update at {line} was given a parameter that another eager_update of this call has been "
                    "given: each would see a part of its gradient. Call it once and use what it returns at both places"
                )
        self.model = counterpart(model)
        traced = [leaf for leaf in flatten((state,))[0] if isinstance(leaf, Array)]
        if traced and not all(id(leaf) in own_of for leaf in traced):
            raise ADSelectValueError(
                f"eager_update at {line} was given a state that f has computed; it takes a constant, or (a part of) an "
                "argument of f, which can be updated"
            )
        self.state = counterpart(state) if traced else state
        call.flat.notices.append(_Notice(self))

    def pull(self, bars: list) -> list:
        """Update the model; no cotangent goes on."""
        if any(isinstance(bar, Array) for bar in bars):
            raise _unsupported(self.line, "a second derivative is taken, or the code is being compiled")
        if self.done:
            raise ADSelectValueError(
                f"the parameters given to eager_update at {self.line} have been updated in a reverse pass already, and "
                "a second one began: back was called again, or the first gradient was not finite"
            )
        if not all(is_native(bar) or np.all(np.isfinite(bar)) for bar in bars):
            raise ADSelectValueError(f"the gradient for eager_update at {self.line} is not finite; nothing was updated")
        self.done = True
        full: list = [None] * self.n
        for i, bar, own in zip(self.places, bars, self.own, strict=True):
            bar = project(bar, own)
            full[i] = bar.copy() if type(bar) is np.ndarray else bar  # update may write into it
        self.function(self.state, self.model, self.skeleton.result(full)[0])
        return [None] * len(bars)


class _Notice:
    """What is to be done about the gradients of f's arguments when the reverse pass is over."""

    def __init__(self, waiting: _Waiting):
        self.waiting, self.numbers = waiting, waiting.numbers

    def __call__(self, grads: list) -> list:
        grads = list(grads)
        for k in self.numbers:
            left, grads[k] = grads[k], None
            if left is not None and bool((left != 0).any() if hasattr(left, "any") else left != 0):
                raise ADSelectValueError(
                    f"a parameter given to eager_update at {self.waiting.line} was used in another way than through "
                    "what it returned: the update lacked that part of its gradient"
                )
        return grads


def _origin(leaves: list, places: list[int], line: str) -> tuple[UserCall, dict, Callable[[Any], Any]]:
    """The call of f whose arguments the leaves are part of; for each of its traced leaves the number and the caller's
    own; and from what f has been given to the caller's own object.
    """
    known = True
    for call in reversed(IN_PROGRESS.calls):
        if call.flat is None or call.flat.given is None:
            known = False
            continue
        pairs = [(g, a) for g, a in zip(call.flat.given, call.args, strict=True) if not isinstance(g, Const)]
        own_leaves, own = flatten(tuple([g for g, _ in pairs]))
        now_leaves, now = flatten(tuple([a for _, a in pairs]))
        own_of = {id(leaf): (k, mine) for k, (leaf, mine) in enumerate(zip(now_leaves, own_leaves, strict=True))}
        if all(id(leaves[i]) in own_of for i in places):
            return call, own_of, functools.partial(_counterpart, now=now, own=own, own_of=own_of)
    if not known:
        raise _unsupported(line, "only gradient, withgradient and pullback update, called as they are")
    raise ADSelectValueError(
        f"eager_update at {line} was given a value that f has computed; it takes an argument of f, or a part of one, "
        "which can be updated"
    )


def _counterpart(model: Any, now: Skeleton, own: Skeleton, own_of: dict) -> Any:
    """The caller's own object in the place of f's copy of it."""
    if id(model) in own_of:
        return own_of[id(model)][1]
    pending = list(zip(now.nodes, own.nodes, strict=True))
    seen: set[int] = set()
    while pending:
        a, b = pending.pop()
        if a is None or id(a) in seen:
            continue
        seen.add(id(a))
        if getattr(a, "value", None) is model:
            return b.value
        pending += zip(getattr(a, "children", ()), getattr(b, "children", ()), strict=True)
    rebuilt, skeleton = flatten((model,))  # put together by f, of arrays that are the caller's
    return skeleton.rebuild([own_of[id(leaf)][1] if id(leaf) in own_of else leaf for leaf in rebuilt])[0]


def _unsupported(line: str, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"eager_update at {line} cannot update anything: {why}. Take the gradient, and update the model afterwards."
    )
