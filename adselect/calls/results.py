"""Results in the structure of the arguments; out= and what may be written there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import ADSelectTypeError, ADSelectValueError, TracedValueError
from ..face.dispatch import is_traced, plain
from ..structure.flattening import Skeleton
from ..structure.projection import project
from ..values.kinds import isa
from ..values.natives import to_numpy
from ..values.tangents import Tangent


def shape_result(
    operator: str, grads: list, leaves: list, skeleton: Skeleton, args: tuple, missing: str, out: Any
) -> tuple:
    """The user's result tree from one cotangent per leaf: projected, missing ones treated, written into ``out``."""
    projected = []
    for i, (grad, leaf) in enumerate(zip(grads, leaves, strict=True)):
        if grad is None:
            if missing == "none":
                projected.append(None)
                continue
            if missing == "error":
                raise ADSelectValueError(
                    f"{operator}: the result of f does not depend on {skeleton.paths[i]}; pass missing='none' or "
                    "missing='zeros' to allow that"
                )
            grad = np.zeros(tuple(leaf.shape) if hasattr(leaf, "shape") else ())
        projected.append(project(grad, leaf))
    if missing not in ("none", "zeros", "error"):
        check_missing_option(missing)
    result = skeleton.result(projected)
    return result if out is None else write_out(operator, out, result)


def write_out(operator: str, out: Any, result: Any) -> Any:
    """Copy the result into the arrays of out (same structure; a bare array will do for a tuple of one entry).

    A ``(val, grad)`` keeps its value. Everything is looked at before anything is written, so that an error leaves out
    as it was.
    """
    if getattr(type(result), "_fields", ()) == ("val", "grad"):
        return result._replace(grad=write_out(operator, out, result.grad))
    single = isa(out, np.ndarray) and type(result) is tuple and len(result) == 1
    writes: list[tuple[Any, Any, Any]] = []
    _plan(operator, out, result[0] if single else result, "out", writes)
    seen: set[int] = set()
    for target, _, _ in writes:
        if isa(target, np.ndarray) and id(target) in seen:
            raise ADSelectValueError(
                f"{operator}: out holds the same array twice; one result would overwrite the other"
            )
        seen.add(id(target))
    for target, key, value in writes:
        target[key] = value
    return out


def _plan(operator: str, out: Any, result: Any, path: str, writes: list[tuple[Any, Any, Any]]) -> None:
    """Note what is to be written where, ``target[key] = value``; raise where a result does not fit."""
    if isa(out, np.ndarray):
        writes.append((out, ..., _fitting(operator, out, result, path)))
    elif isinstance(out, dict) and isinstance(result, dict) and out.keys() == result.keys():
        for key in result:
            if isa(out[key], (np.ndarray, dict, list, tuple)):
                _plan(operator, out[key], result[key], f"{path}[{key!r}]", writes)
            else:
                writes.append((out, key, result[key]))
    elif isinstance(out, (list, tuple)) and isinstance(result, (list, tuple)) and len(out) == len(result):
        for i, (o, r) in enumerate(zip(out, result, strict=True)):
            if isinstance(out, list) and not isa(o, (np.ndarray, dict, list, tuple)):
                writes.append((out, i, r))
            elif o is not None or r is not None:
                _plan(operator, o, r, f"{path}[{i}]", writes)
    elif isinstance(result, Tangent):
        for name, value in result.items():
            if not hasattr(out, name):
                raise ADSelectTypeError(
                    f"{operator}: {path} ({type(out).__name__}) has no field {name!r} to write into"
                )
            if getattr(out, name) is not None or value is not None:
                _plan(operator, getattr(out, name), value, f"{path}.{name}", writes)
    else:
        raise ADSelectTypeError(
            f"{operator}: {path} is {_what(out)}, the result there is {_what(result)}; out must have the structure of "
            "the result, with arrays to write into (np.empty(()) for a number)"
        )


def _what(value: Any) -> str:
    if isa(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, dict):
        return f"a {type(value).__name__} with the keys {list(value)}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)} entries"
    return type(value).__name__


def _fitting(operator: str, out: np.ndarray, result: Any, path: str) -> Any:
    """A result that may be copied into out: its shape, and a dtype that NumPy's own ``out=`` would cast."""
    if is_traced(result):
        raise TracedValueError(f"{operator}: out= cannot receive a result that an outer derivative traces")
    value = np.float64(0.0) if result is None else np.asarray(to_numpy(plain(result)))
    if value.dtype.kind not in "fiucb":
        raise ADSelectTypeError(f"{operator}: {path} is {_what(out)}, the result there is {_what(result)}")
    if result is not None and value.shape != out.shape:
        raise ADSelectValueError(f"{operator}: {path} has shape {out.shape}, the result has shape {value.shape}")
    if not np.can_cast(value.dtype, out.dtype, "same_kind"):
        raise ADSelectTypeError(
            f"{operator}: the result for {path} is {value.dtype} and cannot be written into an array of dtype "
            f"{out.dtype} without losing part of it; make it np.empty({out.shape}, np.{value.dtype})"
        )
    if not out.flags.writeable:
        raise ADSelectValueError(f"{operator}: {path} is read-only")
    return value


def check_missing_option(missing: Any) -> None:
    """Raise unless ``missing`` is one of the three ways to treat an argument without a derivative."""
    if missing not in ("none", "zeros", "error"):
        raise ADSelectValueError(f"missing must be 'none', 'zeros' or 'error', not {missing!r}")


__all__ = ["WithGradient"]


class WithGradient(NamedTuple):
    """``(val, grad)``: the value of f and its gradient."""

    val: Any
    grad: Any
