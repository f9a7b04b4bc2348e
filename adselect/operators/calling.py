"""What every operator does around a backend: read its arguments, call f, check what f returned, shape the result."""

from __future__ import annotations

import types
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..adtypes import ADType, AutoTape
from ..array import Array, absorb, is_traced, plain
from ..backends.base import Backend, backend_of
from ..errors import (
    REFUSALS,
    ADSelectTypeError,
    ADSelectValueError,
    NotScalarError,
    TracedValueError,
)
from ..kinds import isa
from ..rules.enforcement import call_enforced
from ..structure import Skeleton, flatten, is_leaf, is_native, project
from .escaped_errors import explained

DEFAULT = AutoTape()

_BACKEND_NAMES = {
    "tape": "AutoTape()",
    "forward": "AutoForward()",
    "jax": "AutoJax()",
    "torch": "AutoTorch()",
    "pytorch": "AutoTorch()",
    "autograd": "AutoAutograd()",
    "hips": "AutoAutograd()",
    "finitedifferences": "AutoFiniteDifferences()",
    "finitedifference": "AutoFiniteDifferences()",
    "findiff": "AutoFiniteDifferences()",
}


def take_adtype(operator: str, args: tuple) -> tuple[ADType, tuple]:
    """``(adtype, the other arguments)``; refuses an adtype class, and a string that names a backend."""
    if args:
        first = args[0]
        if isinstance(first, ADType):
            if len(args) > 1 and (
                isinstance(args[1], ADType) or (isinstance(args[1], type) and issubclass(args[1], ADType))
            ):
                second = args[1] if isinstance(args[1], ADType) else f"{args[1].__name__}()"
                raise ADSelectTypeError(
                    f"{operator} was given two adtypes, {first} and {second}. Write {operator}(f, {first}, …) or "
                    f"{operator}(f, {second}, …)"
                )
            return first, args[1:]
        if isinstance(first, type) and issubclass(first, ADType):
            raise ADSelectTypeError(
                f"{operator} was given the class {first.__name__}; an adtype is an object. Write {operator}(f, "
                f"{first.__name__}(), …)"
            )
        if isinstance(first, str):
            name = first.lower().replace("_", "").replace("-", "").replace(" ", "")
            name = name.removeprefix("auto") if name not in _BACKEND_NAMES else name
            if name in _BACKEND_NAMES or name == "grad":
                choice = _BACKEND_NAMES.get(name, "AutoAutograd()")
                raise ADSelectTypeError(
                    f"{operator} was given the string {first!r} where an adtype goes. Write {operator}(f, "
                    f"adselect.{choice}, …)"
                )
    return DEFAULT, args


def resolve(operator: str, f: Any, args: tuple) -> tuple[Backend, tuple]:
    """The backend an operator call asks for, and the arguments of f."""
    if not callable(f):
        raise ADSelectTypeError(
            f"{operator}'s first argument is the function to differentiate, not {type(f).__name__}: write "
            f"{operator}(f, {'adtype, ' if isinstance(f, ADType) else ''}*args)"
        )
    adtype, args = take_adtype(operator, args)
    return backend_of(adtype), args


def call_user(f: Callable, args: list, kwargs: dict, backend: Backend | None) -> Any:
    """``f(*args, **kwargs)``; an error that hides ours is replaced by it, one we can explain gets a note."""
    before = REFUSALS.count
    try:
        own_rules = () if backend is None else getattr(backend.adtype, "own_rules", ())
        return call_enforced(own_rules, f, args, kwargs) if own_rules else f(*args, **kwargs)
    except Exception as error:
        shown = explained(error, before, backend)
        if shown is error:
            raise
        raise shown from shown.__cause__


class FlatCall:
    """f as a backend sees it: lifted leaves in, ``(outputs, aux)`` out.

    A class and not a closure, so that it can be sent to other processes together with f. ``structure`` is what f
    returned last, as a skeleton, where that is asked for.
    """

    __slots__ = ("backend", "f", "kwargs", "skeleton", "structure")

    def __init__(self, f: Callable, skeleton: Skeleton, kwargs: dict, backend: Backend | None):
        self.f, self.skeleton, self.kwargs, self.backend = f, skeleton, kwargs, backend
        self.structure: Any = None

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend)
        return [absorb(y) if type(y) is np.ndarray else y], []

    def __reduce__(self) -> tuple:
        return type(self), (self.f, self.skeleton, self.kwargs, None)  # a backend's executor cannot travel


class LossCall(FlatCall):
    """f with auxiliary output: the first entry of a tuple or dict is the loss, the whole of it is auxiliary."""

    __slots__ = ()

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend)
        if isinstance(y, (tuple, dict)) and len(y):
            whole, self.structure = flatten_output(y)
            return [absorb(next(iter(y.values())) if isinstance(y, dict) else y[0])], whole
        return [y], []


class ArrayCall(FlatCall):
    """f for which only a number or an array will do."""

    __slots__ = ()

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend)
        if isa(y, np.ndarray):
            y = absorb(y)
        if not is_leaf(y) and not isinstance(y, Array):
            raise ADSelectTypeError(
                f"jacobian needs a number or an array from f, got {type(y).__name__}; use pullback for structured "
                "results"
            )
        return [y], []


class StructuredCall(FlatCall):
    """f with all leaves of what it returns."""

    __slots__ = ()

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend)
        leaves, self.structure = flatten_output(y)
        return leaves, []


# -- outputs -----------------------------------------------------------------------------------------------------------


def flatten_output(y: Any) -> tuple[list, Skeleton]:
    """Leaves and skeleton of what f returned; arrays of traced scalars become one leaf each."""
    return flatten((_absorb_nested(y),), root="f(…)")


def _absorb_nested(y: Any) -> Any:
    if isa(y, np.ndarray):
        return absorb(y)
    if type(y) in (list, tuple):
        return type(y)([_absorb_nested(v) for v in y])
    if type(y) is dict:
        return {k: _absorb_nested(v) for k, v in y.items()}
    return y


def check_scalar(y: Any, operator: str, what: str = "f") -> None:
    """Raise unless y is a real number: what a gradient is defined for."""
    if type(y) is np.float64 or type(y) is float:
        return
    shape = getattr(y, "shape", None)
    if shape is None and not isa(y, (int, float, complex)) and not is_leaf(y):
        hint = " Did f forget its return statement?" if y is None else ""
        if isinstance(y, (tuple, list, dict)) and operator == "gradient":
            hint = " For a loss with auxiliary output use withgradient; for several outputs pullback."
        raise NotScalarError(f"{operator} needs a real number from {what}, got {type(y).__name__}.{hint}")
    if shape is not None and len(shape) != 0:
        raise NotScalarError(
            f"{operator} needs a real number from {what}, got an array of shape {tuple(shape)}. Reduce it, e.g. with "
            "np.sum, or use jacobian (all derivatives of all entries) or pullback (a weighted sum of them)."
        )
    dtype = str(getattr(y, "dtype", type(y).__name__))
    if "complex" in dtype:
        raise NotScalarError(
            f"{operator} needs a real number from {what}, got a complex one. Return np.real(y) or np.abs(y)**2, or use "
            "pullback with the seeds 1 and 1j."
        )
    if dtype in ("object",) or dtype.startswith("<U") or isinstance(y, str):
        raise NotScalarError(f"{operator} needs a real number from {what}, got {y!r}.")


def plain_number(y: Any, leaves: list) -> Any:
    """A value as a Python number where f was given nothing but Python numbers; otherwise as it is."""
    if type(y) in (np.float64, np.complex128) and all([type(leaf) in (float, int, complex) for leaf in leaves]):
        return y.item()
    return y


def seed_for(y: Any) -> Any:
    """The cotangent 1 in y's precision."""
    if type(y) is np.float64 or type(y) is float:
        return 1.0
    if isa(y, Fraction):
        return Fraction(1)
    dtype = getattr(y, "dtype", None)
    if dtype is not None and str(dtype) in ("float32", "torch.float32", "float16", "torch.float16"):
        return np.dtype(str(dtype).replace("torch.", "")).type(1)
    return 1.0


def plain_seed(seed: Any, y: Any, where: str) -> Any:
    """A user's cotangent for the output y as an array of y's shape; None stands for zeros, also inside lists."""
    if seed is None:
        return None
    if isinstance(seed, (list, tuple)):
        seed = _with_zeros(seed, np.shape(y) if not is_native(y) else tuple(y.shape))
        seed = absorb(seed)
        seed = np.asarray(seed) if isinstance(seed, list) else seed
    if not isinstance(seed, Array) and not is_native(seed):
        if not isa(seed, (int, float, complex, np.generic, np.ndarray)):
            raise ADSelectTypeError(f"the seed for {where} must be numeric or None, got {type(seed).__name__}")
        array = np.asarray(seed)
        if array.dtype.kind in "iub":
            array = array.astype(float)
        seed = array if array.shape else array[()]
    y_shape = tuple(y.shape) if hasattr(y, "shape") else ()
    shape = tuple(seed.shape)
    if shape != y_shape:
        if shape != ():
            raise ADSelectValueError(
                f"the seed for {where} has shape {shape}, the output has shape {y_shape}; they must be equal"
            )
        if y_shape and not is_native(seed):
            seed = np.broadcast_to(seed, y_shape)
    if _is_complex(seed) and not _is_complex(y):
        raise ADSelectValueError(
            f"the seed for {where} is complex but the output is real; a real output takes real seeds"
        )
    return seed


def _is_complex(value: Any) -> bool:
    return "complex" in str(getattr(value, "dtype", type(value).__name__))


def _with_zeros(seed: Any, shape: tuple) -> Any:
    if seed is None:
        return np.zeros(shape)
    if isinstance(seed, (list, tuple)):
        return [_with_zeros(s, shape[1:]) for s in seed]
    return seed


# -- results -----------------------------------------------------------------------------------------------------------


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
        raise ADSelectValueError(f"missing must be 'none', 'zeros' or 'error', not {missing!r}")
    result = skeleton.result(projected)
    return result if out is None else write_out(operator, out, result)


def write_out(operator: str, out: Any, result: tuple) -> Any:
    """Copy the result into the arrays of out (same structure; a bare array will do for one argument)."""
    if isa(out, np.ndarray) and len(result) == 1:
        _copy_into(operator, out, result[0], "out")
        return out
    _copy_into(operator, out, result, "out")
    return out


def _copy_into(operator: str, out: Any, result: Any, path: str) -> None:
    if isa(out, np.ndarray):
        value = 0.0 if result is None else plain(result)
        if result is not None and np.shape(value) != out.shape:
            raise ADSelectValueError(
                f"{operator}: {path} has shape {out.shape}, the result has shape {np.shape(value)}"
            )
        if is_traced(result):
            raise TracedValueError(f"{operator}: out= cannot receive a result that an outer derivative traces")
        out[...] = value
    elif isinstance(out, dict) and isinstance(result, dict) and out.keys() == result.keys():
        for key in result:
            if isa(out[key], (np.ndarray, dict, list, tuple)):
                _copy_into(operator, out[key], result[key], f"{path}[{key!r}]")
            else:
                out[key] = result[key]
    elif isinstance(out, (list, tuple)) and isinstance(result, (list, tuple)) and len(out) == len(result):
        for i, (o, r) in enumerate(zip(out, result, strict=True)):
            if isinstance(out, list) and not isa(o, (np.ndarray, dict, list, tuple)):
                out[i] = r
            elif o is not None or r is not None:
                _copy_into(operator, o, r, f"{path}[{i}]")
    elif hasattr(result, "_fields") and not isinstance(result, tuple):
        for name in result:
            _copy_into(operator, getattr(out, name), result[name], f"{path}.{name}")
    else:
        raise ADSelectTypeError(
            f"{operator}: {path} is {type(out).__name__}, the result there is {type(result).__name__}; out must have "
            "the structure of the result, with arrays to write into"
        )


# -- what f captured ---------------------------------------------------------------------------------------------------

_LOOKED_THROUGH = 256  # entries per container: a traced value that escaped into more behaves as a plain value anyway


def settle_captured(f: Any) -> None:
    """Replace traced values that f stored in captured containers by their plain values.

    Looks into the dicts, lists and objects f reaches through its closure and the globals it names. Values it does not
    find keep behaving as plain values, since their trace is closed.
    """
    code = getattr(f, "__code__", None)
    if code is None:
        return
    if f.__closure__:
        for cell in f.__closure__:
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            if isinstance(content, Array):
                if content._closed:
                    cell.cell_contents = _settled(content)
            else:
                _settle(content, 2)
    if code.co_names:
        names = f.__globals__
        for name in code.co_names:
            content = names.get(name)
            kind = type(content)
            if kind is dict or kind is list:
                _settle(content, 2)
            elif isinstance(content, Array) and content._closed:
                names[name] = _settled(content)


def _settled(value: Array) -> Any:
    inner: Any = value
    while isinstance(inner, Array) and inner._closed:
        inner = inner._inside
    return inner


def _settle(container: Any, depth: int) -> None:
    kind = type(container)
    if kind is dict:
        if len(container) > _LOOKED_THROUGH:
            return
        items: Any = list(container.items())
    elif kind is list:
        n = len(container)
        items = [(i, container[i]) for i in range(max(0, n - _LOOKED_THROUGH), n)]
    elif isinstance(container, (types.ModuleType, type, types.FunctionType)) or not hasattr(container, "__dict__"):
        return
    else:
        container = container.__dict__
        return _settle(dict(container) and container, depth)
    for key, value in items:
        if isinstance(value, Array):
            if value._closed:
                container[key] = _settled(value)
        elif depth and (type(value) is dict or type(value) is list):
            _settle(value, depth - 1)
