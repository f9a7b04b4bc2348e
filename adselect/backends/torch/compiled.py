"""Primitives where torch writes a graph down: ``torch.compile``, ``make_fx``, ``torch.func.linearize``.

Dynamo takes a call of a primitive as one node (:func:`call_in_graph`) instead of looking through our Python. What a
traceable rule does is then traced by AOTAutograd, tensor by tensor. A black box would be run once and its numbers
frozen into the graph; it is one of the operators here, which are called each time the graph runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C._dynamo.eval_frame import get_eval_frame_callback
from torch._subclasses.fake_tensor import is_fake, unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from ...primitives.primitive import NUMBERED
from ...primitives.result_shapes import announced, kept_promise, signature_of
from ...values.kinds import isa
from .operands import TORCH_DTYPES, numpy_dtype

__all__ = [
    "call_in_graph",
    "call_outside",
    "fits",
    "is_staged",
    "is_watched",
    "staged_pullback",
    "staged_pushforward",
    "staged_value",
]

_torch: Any = torch
_disable: Any = torch.compiler.disable
_numbers = itertools.count()
# The calls in graphs, by name, and the names of calls that are alike. Nobody says when a graph ends, so that they stay.
_CALLS: dict[str, Any] = {}
_NAMES: dict[Any, str] = {}


@torch.compiler.allow_in_graph
def call_in_graph(number: str, *args: Any, **kwargs: Any) -> Any:
    """The primitive of this number, called: one node of the graph."""
    return _call(number, args, kwargs)


@_disable
def _call(number: str, args: Any, kwargs: Any) -> Any:
    return NUMBERED[number].carry_out(_thawed(args), _thawed(kwargs))


def fits(value: Any) -> bool:
    """Whether a graph can hold this argument of a node."""
    if isinstance(value, (tuple, list)):
        return all([fits(v) for v in value])
    if isinstance(value, dict):
        return all([fits(v) for v in value.values()])
    return isa(value, (Tensor, np.ndarray, bool, int, float, complex, str, type(None)))


def is_watched() -> bool:
    """Whether Dynamo looks at the Python that is run now: what it could not take as a node it would take apart."""
    return get_eval_frame_callback() is not None


@_disable
def call_outside(primitive: Any, args: tuple, kwargs: dict) -> Any:
    """The primitive, called where Dynamo does not look."""
    return primitive.carry_out(args, kwargs)


def _thawed(value: Any) -> Any:
    """An argument of a node: containers that may be written to, numbers that are numbers."""
    if isinstance(value, dict):
        return {k: _thawed(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_thawed(v) for v in value]
        if isinstance(value, list):
            return items
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, torch.SymInt):
        return int(value)  # the graph holds for this number
    if isinstance(value, torch.SymFloat):
        return float(value)
    return value


def is_staged(tensors: Any) -> bool:
    """Whether what is done with these tensors is being written down."""
    if get_proxy_mode() is not None or torch._C._get_tracing_state() is not None:
        return True
    return any([isinstance(t, Tensor) and not _is_ordinary(t) and is_fake(t) for t in tensors])


def _is_ordinary(tensor: Tensor) -> bool:
    """Whether a look at the surface tells that the tensor holds numbers."""
    if type(tensor) is not Tensor:
        return False
    return not (_torch._is_functional_tensor(tensor) or torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def _name_of(call: Any, natives: Sequence[Tensor]) -> str:
    kind = _kind_of(call, natives)
    name = None if kind is None else _NAMES.get(kind)
    if name is None:
        name = str(next(_numbers))
        _CALLS[name] = call
        if kind is not None:
            _NAMES[kind] = name
    return name


def _kind_of(call: Any, natives: Sequence[Tensor]) -> Any:
    """What calls that do the same have in common; None for a call with arrays of its own, which is like no other."""
    if any(isa(v, np.ndarray) for v in call.leaves):
        return None
    signature = signature_of(call.invocation, call.leaves, call.places, _specs(natives))
    # 0.0 and -0.0 are equal, and not the same.
    return None if signature is None else (call.invocation.primitive, signature, repr(call.leaves))


def _specs(natives: Sequence[Tensor]) -> list:
    """Arrays of the shapes and dtypes of tensors."""
    return [np.broadcast_to(np.zeros((), numpy_dtype(v.dtype)), [int(n) for n in v.shape]) for v in natives]


def _announced(call: Any, natives: Sequence[Tensor]) -> list[tuple[tuple, Any]]:
    specs = _specs(natives)
    with unset_fake_temporarily():  # a trial evaluation may use torch itself
        return announced(call.invocation, call.leaves, call.places, specs, [None] * len(specs), "torch")


def _like_results(call: Any, natives: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of the shapes and dtypes of the results."""
    kinds = _announced(call, natives)
    return [torch.empty(shape, dtype=TORCH_DTYPES[np.dtype(d)], device=call.device) for shape, d in kinds]


@torch.library.custom_op("adselect::host_value", mutates_args=())
def _host_value(name: str, natives: Sequence[Tensor]) -> list[Tensor]:
    call = _CALLS[name]
    values = [y.cpu().numpy() for y in call.host_value(natives)]
    return call.tensors(kept_promise(call.invocation, values, _announced(call, natives)))


@torch.library.custom_op("adselect::host_pullback", mutates_args=())
def _host_pullback(name: str, natives: Sequence[Tensor], y_bars: Sequence[Tensor]) -> list[Tensor]:
    return _CALLS[name].host_pullback(None, natives, y_bars)


@torch.library.custom_op("adselect::host_pushforward", mutates_args=())
def _host_pushforward(name: str, natives: Sequence[Tensor], x_dots: Sequence[Tensor]) -> list[Tensor]:
    return _CALLS[name].host_pushforward(natives, x_dots)


@_host_value.register_fake
def _(name: str, natives: Sequence[Tensor]) -> list[Tensor]:
    return _like_results(_CALLS[name], natives)


@_host_pullback.register_fake
def _(name: str, natives: Sequence[Tensor], y_bars: Sequence[Tensor]) -> list[Tensor]:
    return [torch.empty_like(v, memory_format=torch.contiguous_format) for v in natives]


@_host_pushforward.register_fake
def _(name: str, natives: Sequence[Tensor], x_dots: Sequence[Tensor]) -> list[Tensor]:
    return _like_results(_CALLS[name], natives)


def staged_value(call: Any, natives: Sequence[Tensor]) -> list[Tensor]:
    """The results of a black box, as an operator of the graph."""
    name = _name_of(call, natives)
    results = _host_value(name, list(natives))
    call.invocation.results = _CALLS[name].invocation.results
    return results


def staged_pullback(call: Any, natives: Sequence[Tensor], y_bars: Sequence[Tensor]) -> list[Tensor]:
    """The cotangents of a black box, as an operator of the graph."""
    return _host_pullback(_name_of(call, natives), list(natives), list(y_bars))


def staged_pushforward(call: Any, natives: Sequence[Tensor], x_dots: Sequence[Tensor]) -> list[Tensor]:
    """The tangents of a black box, as an operator of the graph."""
    return _host_pushforward(_name_of(call, natives), list(natives), list(x_dots))
