"""What a black box will return, before there are values: shapes and dtypes, from ``result=`` or from a trial.

Frameworks that compile (``jax.jit``, ``torch.compile``) have to know them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import RuleError, UnsupportedError, user_line
from ..values.kinds import isa
from .invocation import Invocation

__all__ = ["announced", "kept_promise", "remember", "signature_of"]


def signature_of(invocation: Invocation, leaves: list, places: list, specs: list) -> tuple | None:
    """All that the shapes of results may depend on, the values of large arrays aside; None if it cannot be a key."""
    kinds = list(leaves)
    for i, spec in zip(places, specs, strict=True):
        kinds[i] = (tuple(spec.shape), str(spec.dtype))
    kinds = [_kind(v) if isa(v, np.ndarray) else (type(v), v) for v in kinds]
    signature = (*kinds, *invocation.skeleton.settings())
    try:
        hash(signature)
    except TypeError:
        return None
    return signature


def _kind(array: np.ndarray) -> tuple:
    # Counts and indices are short, and a shape may depend on them.
    return array.shape, str(array.dtype), array.tobytes() if array.size <= 256 else None


def remember(invocation: Invocation, leaves: list, places: list, specs: list, outputs: list) -> list:
    """Results of a call on values: for arguments like these their shapes are known from now on."""
    signature = signature_of(invocation, leaves, places, specs)
    if signature is not None:
        invocation.primitive.known_shapes[signature] = _kinds(outputs), invocation.results
    return outputs


def _kinds(outputs: list) -> list[tuple[tuple, Any]]:
    return [(np.shape(y), y.dtype if hasattr(y, "dtype") else np.result_type(y)) for y in outputs]


def announced(
    invocation: Invocation, leaves: list, places: list, specs: list, known: list, framework: str
) -> list[tuple[tuple, Any]]:
    """``(shape, dtype)`` of each result leaf of a call.

    specs: shape and dtype of the arguments at these places among the leaves; known: their values, None where there is
    none yet. framework: who wants to know, for the error.
    """
    primitive = invocation.primitive
    full = list(leaves)
    if primitive.result is not None:
        for i, spec in zip(places, specs, strict=True):
            full[i] = np.broadcast_to(np.zeros((), spec.dtype), spec.shape)
        args, kwargs = invocation.arguments(full)
        return _kinds(invocation.take_result(_described(primitive.result(*args, **kwargs))))
    found = primitive.known_shapes.get(signature_of(invocation, leaves, places, specs))
    if found is not None:
        kinds, invocation.results = found
        return kinds
    first = None
    for made_up in (np.ones, _regular):
        for i, spec, value in zip(places, specs, known, strict=True):
            full[i] = made_up(spec.shape, spec.dtype)[()] if value is None else np.array(value)[()]
        args, kwargs = invocation.arguments(full)
        try:
            outputs = invocation.take_result(primitive.function(*args, **kwargs))
        except Exception as error:
            first = first or error
        else:
            return _kinds(remember(invocation, leaves, places, specs, outputs))
    name = primitive.__name__
    raise UnsupportedError(
        f"{framework} has to know the shapes that {name} returns before it has values ({user_line()}), and "
        f"{name} called on ones raised {type(first).__name__}: {first}. Say them: primitive({name}, host=True, "
        "result=lambda *args: …) returns something of the result's shapes and dtypes."
    ) from first


def _regular(shape: tuple, dtype: Any) -> np.ndarray:
    """Numbers that a solver accepts: ascending ones, and symmetric positive definite matrices."""
    numbers = np.ones(shape, dtype)
    if numbers.dtype.kind == "b":
        return numbers
    if len(shape) < 2:
        return numbers + np.arange(numbers.size).reshape(shape).astype(dtype)
    return numbers + (max(shape) * np.eye(*shape[-2:])).astype(dtype)


def kept_promise(invocation: Invocation, outputs: list, kinds: list, batched: bool = False) -> list:
    """Results as arrays of the dtypes that were announced.

    batched: there may be batch axes in front. Raises RuleError where shapes or kinds of numbers are others.
    """
    found = [np.asarray(y) for y in outputs]
    if len(found) == len(kinds) and all(
        y.shape[y.ndim - len(shape) if batched else 0 :] == tuple(shape) and np.can_cast(y.dtype, dtype, "same_kind")
        for y, (shape, dtype) in zip(found, kinds, strict=True)
    ):
        return [y.astype(dtype, copy=False) for y, (_, dtype) in zip(found, kinds, strict=True)]
    returned, promised = (
        ", ".join(f"{shape} {np.dtype(dtype)}" for shape, dtype in described)
        for described in ([(y.shape, y.dtype) for y in found], kinds)
    )
    raise RuleError(
        f"the host primitive {invocation.__name__} returned {returned}; {promised} was announced (by result=, or by a "
        "trial call)"
    )


def _described(result: Any) -> Any:
    """What ``result=`` returned, with arrays without values of their own where it described shapes."""
    if hasattr(result, "shape") and hasattr(result, "dtype"):
        return np.broadcast_to(np.zeros((), result.dtype), tuple(result.shape))
    if isinstance(result, dict):
        return {k: _described(v) for k, v in result.items()}
    if isinstance(result, (tuple, list)):
        items = [_described(v) for v in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result
