"""Steps of optimisers: ``setup``, ``update`` and ``into_grad`` take gradients to what changes a model by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError, ADSelectValueError, RuleError, user_line
from ..primitives.structured import spread
from ..primitives.thunks import unthunk
from ..structure.duplicated import Duplicated
from ..structure.flattening import Skeleton, flatten
from ..structure.projection import project
from ..values.natives import loaded, natives_of, to_numpy
from ..values.tangents import NoTangent, ZeroTangent

__all__ = ["OptimiserState", "into_grad", "setup", "update"]


class OptimiserState:
    """What :func:`setup` returns: an optimiser and its state for one model. :func:`update` takes a step with it."""

    def __init__(self, optimiser: Any, steps: Callable[[list, list], list], paths: list[str]):
        self.optimiser, self._steps, self._paths = optimiser, steps, paths

    def __repr__(self) -> str:
        return f"OptimiserState({self.optimiser!r}, {len(self._paths)} arrays)"


def setup(optimiser: Any, model: Any) -> OptimiserState:
    """``setup(optimiser, model)``: the state of an optimiser for a model, which ``update`` takes steps with.

    optimiser: a transformation of optax (``optax.adam(1e-3)``), an optimiser class of torch (``torch.optim.Adam``, or
    ``functools.partial(torch.optim.Adam, lr=1e-3)``), or a function ``(parameter, gradient) -> new parameter``. The
    model is one that ``gradient`` differentiates, or a Duplicated around one; the backend that finds the gradient
    is not asked for.

    Raises ADSelectTypeError for anything else. Cost: the state that the optimiser keeps, a few times the model.

    >>> import numpy as np, adselect as ad
    >>> model = {"w": np.array([1.0, 2.0])}
    >>> state = setup(lambda p, g: p - 0.1 * g, model)
    >>> grads = ad.gradient(lambda m: np.sum(m["w"] ** 2), model)
    >>> update(state, model, grads[0])
    {'w': array([0.8, 1.6])}

    Source: Flux.jl's and Optimisers.jl's ``setup`` and ``update!``.
    """
    leaves, skeleton = flatten((_bare(model),))
    if not leaves:
        raise ADSelectTypeError(f"setup was given a model without numbers, {type(model).__name__} ({user_line()})")
    for natives in loaded():
        steps = natives.steps_of(optimiser, leaves)
        if steps is not None:
            return OptimiserState(optimiser, steps, skeleton.paths)
    if not callable(optimiser) or isinstance(optimiser, type):
        kinds = "".join([f"{natives.optimisers}, " for natives in loaded() if natives.optimisers])
        raise ADSelectTypeError(
            f"setup was given {optimiser!r} as optimiser ({user_line()}): it takes {kinds}or a function of a parameter "
            "and its gradient"
        )
    return OptimiserState(optimiser, _Plainly(optimiser), skeleton.paths)


def update(state: Any, model: Any, grads: Any = None) -> Any:
    """``model = update(state, model, grads)``: the model after one step of the optimiser.

    state is what :func:`setup` returned, or a function ``(parameter, gradient) -> new parameter`` that needs none.
    grads is the gradient with respect to the model, one entry of what ``gradient`` returns: ``update(state, model,
    grads[0])``. Given a Duplicated, ``update(state, duplicated)`` takes the gradient from it, and gives it back.
    Parameters whose gradient is None stay as they are.

    Arrays of NumPy and torch are written to in place, and the model itself comes back where it has no others. Numbers
    and arrays that cannot be written are new in a model that is built around them, so use what comes back.

    Raises ADSelectValueError where the gradient has another structure than the model, ADSelectTypeError where the model
    is another one than that of ``setup``. Cost: that of the optimiser.

    >>> import numpy as np, adselect as ad
    >>> model = ad.Duplicated({"w": np.array([1.0, 2.0])})
    >>> _ = ad.gradient(lambda m: np.sum(m["w"] ** 2), model)
    >>> update(lambda p, g: p - 0.1 * g, model).value
    {'w': array([0.8, 1.6])}

    Source: Flux.jl's ``update!``.
    """
    if not isinstance(state, OptimiserState):
        state = setup(_stateless(state), model)
    if isinstance(model, Duplicated):
        model.value = update(state, model.value, model.grad if grads is None else grads)
        return model
    if grads is None:
        raise ADSelectTypeError(
            f"update was given no gradient ({user_line()}): write update(state, model, grads), or update(state, "
            "duplicated) with the gradient in a Duplicated"
        )
    leaves, skeleton = flatten((model,))
    if skeleton.paths != state._paths:
        raise ADSelectTypeError(
            f"update was given a model with other arrays than setup was ({user_line()}): it has {len(leaves)}, the "
            f"optimiser was set up for {len(state._paths)}. Call setup(optimiser, model) again"
        )
    bars = _gradient_leaves("update", grads, leaves, skeleton)
    moving = [i for i, bar in enumerate(bars) if bar is not None]
    stepped = state._steps(leaves, bars)
    new, same = list(leaves), True
    for i in moving:
        new[i] = _replaced(leaves[i], stepped[i])
        same = same and new[i] is leaves[i]
    return model if same else skeleton.rebuild(new)[0]


def into_grad(model: Any, grads: Any, zero: bool = True) -> Any:
    """``into_grad(module, grads)``: put a gradient into the ``.grad`` of a torch module's parameters; gives the module.

    grads is the gradient with respect to the module, from any backend. Any structure of tensors is a module here, too.
    With ``zero=False`` it is added to what ``.grad`` holds, as torch's own backward passes do. Where the gradient is
    None so is ``.grad``. An optimiser of torch then takes its step.

    Raises ADSelectTypeError for parameters that have no ``.grad``, ADSelectValueError where the gradient has another
    structure. Cost: none where the gradient is of tensors, which are taken as they are; else one copy.

    >>> import torch, adselect as ad
    >>> module = torch.nn.Linear(2, 1)
    >>> optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    >>> grads = ad.gradient(lambda m: m(torch.ones(3, 2)).sum(), ad.AutoTorch(), module)
    >>> _ = into_grad(module, grads[0])
    >>> optimiser.step()
    >>> module.weight.grad
    tensor([[3., 3.]])
    """
    leaves, skeleton = flatten((model,))
    holders = [natives_of(leaf) for leaf in leaves]
    for natives, path in zip(holders, skeleton.paths, strict=True):
        if natives is None or not natives.has_gradients:
            raise ADSelectTypeError(
                f"into_grad: {path.replace('args[0]', 'the model', 1)} is no parameter with a .grad ({user_line()}); "
                "update(optimiser, model, grads) takes a step with any model"
            )
    if not leaves:
        raise ADSelectTypeError(f"into_grad was given {type(model).__name__}, which has no parameters ({user_line()})")
    bars = _gradient_leaves("into_grad", grads, leaves, skeleton)
    for natives, leaf, bar in zip(holders, leaves, bars, strict=True):
        if natives is not None:
            natives.put_gradient(leaf, bar, zero)
    return model


class _Plainly:
    """Steps of a function from a parameter and its gradient to the new parameter."""

    def __init__(self, function: Callable[[Any, Any], Any]):
        self.function = function

    def __call__(self, leaves: list, bars: list) -> list:
        return [leaf if bar is None else self.function(leaf, bar) for leaf, bar in zip(leaves, bars, strict=True)]


def _stateless(optimiser: Any) -> Any:
    """A function of a parameter and its gradient; an error for an optimiser that needs a state."""
    if not callable(optimiser) or isinstance(optimiser, type) or hasattr(optimiser, "func"):
        raise ADSelectTypeError(
            f"update was given {optimiser!r} ({user_line()}), which keeps a state from step to step: write "
            "state = setup(optimiser, model) once, and update(state, model, grads) for each step"
        )
    return optimiser


def _bare(model: Any) -> Any:
    return model.value if isinstance(model, Duplicated) else model


def _gradient_leaves(name: str, grads: Any, leaves: list, skeleton: Skeleton) -> list:
    """One gradient per leaf of the model, of its kind, None where there is none."""
    found: list = [None] * len(leaves)
    hint = ""
    if isinstance(grads, tuple) and len(grads) == 1:
        hint = "; what gradient returns is a tuple with one entry per argument: pass grads[0]"
    try:
        if skeleton.simple:
            found = [grads]
        else:
            spread(skeleton.nodes[0], grads, found, "the model")
    except RuleError as error:
        raise ADSelectValueError(f"{name}: {error} ({user_line()}){hint}") from None
    bars = []
    for bar, leaf, path in zip(found, leaves, skeleton.paths, strict=True):
        bar = unthunk(bar)
        if bar is None or isinstance(bar, (NoTangent, ZeroTangent)):
            bars.append(None)
            continue
        path = path.replace("args[0]", "the model", 1)
        shape = tuple(getattr(leaf, "shape", ()))
        if isinstance(bar, (tuple, list, dict)) or tuple(np.shape(to_numpy(bar))) != shape:
            got = type(bar).__name__ if isinstance(bar, (tuple, list, dict)) else np.shape(to_numpy(bar))
            raise ADSelectValueError(
                f"{name}: the gradient of {path} is {got}, the parameter has shape {shape} ({user_line()}){hint}"
            )
        bars.append(project(bar, leaf))
    return bars


def _replaced(leaf: Any, value: Any) -> Any:
    """The parameter with a new value: itself, where it can be written to."""
    if value is leaf:
        return leaf
    natives = natives_of(leaf)
    if natives is not None:
        value = natives.project(value, leaf)
        return natives.overwrite(leaf, value) if natives.is_writable(leaf) else value
    if type(leaf) is np.ndarray and leaf.flags.writeable:
        leaf[...] = to_numpy(value)
        return leaf
    return project(np.array(to_numpy(value)), leaf)  # the optimiser may go on writing into its own
