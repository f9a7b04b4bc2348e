"""What every operator does around a backend: read its arguments, call f, check what f returned, shape the result."""

from __future__ import annotations

import sys
import types
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from .. import guests as _guests  # noqa: F401  (makes the containers of other libraries known)
from ..adtypes import ADType, AutoTape
from ..backends.base import Backend, backend_of
from ..backends.registry import class_named, classes
from ..errors import (
    REFUSALS,
    ADSelectError,
    ADSelectTypeError,
    ADSelectValueError,
    NotScalarError,
    TracedValueError,
    line_of,
    user_line,
)
from ..face.array import Array
from ..face.dispatch import absorb, is_traced, plain
from ..face.foreign import FAMILIAR, foreign_of
from ..places import place_of
from ..primitives.own_rules import call_enforced
from ..structure.flattening import Skeleton, flatten
from ..structure.leaves import is_leaf
from ..structure.projection import project
from ..values.kinds import isa
from ..values.natives import is_native, natives_of, to_numpy
from ..values.tangents import Tangent
from .escaped_errors import explained

DEFAULT = AutoTape()


def take_adtype(operator: str, args: tuple, adtype: Any = None) -> tuple[ADType, tuple]:
    """``(adtype, the other arguments)`` from what came second and what came as ``adtype=``.

    None in either place means the default. Refuses both at once, an adtype class, and a text that names a backend.
    """
    if args:
        first = args[0]
        if issubclass(type(first), ADType):
            if adtype is not None:
                raise _two_adtypes(operator, first, adtype)
            if len(args) > 1 and issubclass(type(args[1]), (ADType, type)) and _is_choice(args[1]):
                raise _two_adtypes(operator, first, args[1])
            return first, args[1:]
        if first is None:
            if adtype is not None or (len(args) > 1 and _is_choice(args[1])):
                raise _two_adtypes(operator, None, args[1] if adtype is None else adtype)
            return DEFAULT, args[1:]
        if issubclass(type(first), (type, str)):
            refuse_adtype(operator, first)
    if adtype is None:
        return DEFAULT, args
    if not isa(adtype, ADType):
        refuse_adtype(operator, adtype, f"{operator}(f, …, adtype=adselect.{{}}())")
        raise ADSelectTypeError(
            f"{operator} was given adtype={adtype!r}; an adtype is an object such as adselect.AutoTape(), and adtype= "
            "is no argument of f"
        )
    return adtype, args


def _is_choice(value: Any) -> bool:
    return isinstance(value, ADType) or (isinstance(value, type) and issubclass(value, ADType))


def _two_adtypes(operator: str, first: Any, second: Any) -> ADSelectTypeError:
    written = [f"{a.__name__}()" if isinstance(a, type) else repr(a) for a in (first, second)]
    default = " (None stands for the default, AutoTape())" if first is None else ""
    return ADSelectTypeError(
        f"{operator} was given two adtypes, {written[0]} and {written[1]}{default}. Write {operator}(f, {written[0]}, "
        f"…) or {operator}(f, {written[1]}, …)"
    )


def refuse_adtype(operator: str, value: Any, line: str = "") -> None:
    """Raise for what was meant as an adtype and is none: a class without brackets, a text that names a backend.

    line: what to write, with {} for the name of the class.
    """
    if isinstance(value, type) and issubclass(value, ADType):
        written = line.format(value.__name__) or f"{operator}(f, {value.__name__}(), …)"
        raise ADSelectTypeError(
            f"{operator} was given the class {value.__name__}; an adtype is an object. Write {written}"
        )
    cls = class_named(value) if isinstance(value, str) else None
    if cls is not None:
        written = line.format(cls.__name__) or (
            f"{operator}(f, adselect.{cls.__name__}(), …); a text that f is to have as its first argument stands "
            f"behind the adtype: {operator}(f, AutoTape(), {value!r}, …)"
        )
        raise ADSelectTypeError(f"{operator} was given the string {value!r} where an adtype goes. Write {written}")


def check_function(operator: str, f: Any) -> None:
    """Raise unless f, the function to differentiate, can be called."""
    if not callable(f):
        raise ADSelectTypeError(
            f"{operator}'s first argument is the function to differentiate, not {type(f).__name__}: write "
            f"{operator}(f, {'adtype, ' if isinstance(f, ADType) else ''}*args)"
        )


def resolve(operator: str, f: Any, args: tuple, adtype: Any = None) -> tuple[Backend, tuple]:
    """The backend an operator call asks for, and the arguments of f, of which there is at least one."""
    if not callable(f):
        check_function(operator, f)
    adtype, rest = take_adtype(operator, args, adtype)
    if not rest:
        none = ", None standing for the default adtype" if args and args[0] is None else ""
        raise ADSelectTypeError(
            f"{operator} was called without a positional argument ({user_line()}{none}), so there is nothing to "
            f"differentiate with respect to: write {operator}(f, {'adtype, ' if args else ''}x). Keyword arguments go "
            "to f and are not differentiated"
        )
    return backend_of(adtype), rest


def check_missing(operator: str, missing: Any) -> None:
    """Hold the option ``missing`` of an operator whose results have zeros where f does not depend on an argument."""
    if missing not in ("none", "zeros"):
        check_missing_option(missing)
        raise ADSelectValueError(
            f"{operator} gives zeros where f does not depend on an argument and cannot tell the two apart: "
            "missing='error' is for gradient, withgradient and pullback"
        )


def check_missing_option(missing: Any) -> None:
    """Raise unless ``missing`` is one of the three ways to treat an argument without a derivative."""
    if missing not in ("none", "zeros", "error"):
        raise ADSelectValueError(f"missing must be 'none', 'zeros' or 'error', not {missing!r}")


def refuse_out(operator: str, out: Any, instead: str) -> None:
    """Raise where ``out=`` was given to an operator whose result has parts of several kinds."""
    if out is not None:
        raise ADSelectTypeError(f"{operator} takes no out=; {instead}")


def call_user(f: Callable, args: list, kwargs: dict, backend: Backend | None) -> Any:
    """``f(*args, **kwargs)``; an error that hides ours is replaced by it, one we can explain gets a note."""
    before = REFUSALS.count
    try:
        own_rules = () if backend is None else getattr(backend.adtype, "own_rules", ())
        return call_enforced(own_rules, f, args, kwargs) if own_rules else f(*args, **kwargs)
    except Exception as error:
        refused = _refused_by_framework(error, backend)
        if refused is not None:
            raise refused from error
        shown = explained(error, before, backend)
        if shown is error:
            raise
        raise shown from shown.__cause__


def _refused_by_framework(error: Exception, backend: Backend | None) -> TracedValueError | None:
    """The error for a framework's own function that was called on a value which the built-in engine traces."""
    said = str(error)
    if not isinstance(error, (TypeError, ValueError)) or backend is None or backend.adtype.requires:
        return None
    if isinstance(error, ADSelectError):  # our own words, which may name the engine's array
        return None
    if not any(cls.__name__ in said for cls in _engines(Array)):
        return None
    if "rgument" not in said and not (
        "unsupported operand" in said and any(map(_is_frameworks, said.split("'")[1::2]))
    ):
        return None
    place = place_of(error)
    if place is not None and place.library.partition(".")[0] in ("pandas", "xarray"):
        return None  # whose own refusal says more
    others = " or ".join(f"{cls.__name__}()" for cls in classes() if "face" in getattr(cls, "__dataclass_fields__", ()))
    return TracedValueError(
        f"a function that is not NumPy's was called at {line_of(error)} on a value that {backend.adtype!r} traces "
        f"({said}). Write NumPy's function there, or choose the backend of the framework it belongs to: {others}"
    )


def _is_frameworks(name: str) -> bool:
    """Whether a framework that has been loaded has a type of this name."""
    return any(hasattr(sys.modules.get(cls.requires), name) for cls in classes() if cls.requires)


def _engines(base: type) -> list[type]:
    """The classes of traced values."""
    return [cls for sub in type.__subclasses__(base) for cls in (sub, *_engines(sub))]


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
        if type(y) is np.ndarray:
            return [absorb(y)], []
        return [y if type(y) in FAMILIAR or foreign_of(y) is None else number_of(y)], []

    def __reduce__(self) -> tuple:
        return type(self), (self.f, self.skeleton, self.kwargs, None)  # a backend's executor cannot travel


class LossCall(FlatCall):
    """f with auxiliary output: the first entry of a tuple or dict is the loss, the whole of it is auxiliary."""

    __slots__ = ()

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend)
        if isinstance(y, (tuple, dict)) and len(y):
            whole, self.structure = flatten_output(y)
            return [absorb(number_of(next(iter(y.values())) if isinstance(y, dict) else y[0]))], whole
        if type(y) not in FAMILIAR and foreign_of(y) is not None:
            whole, self.structure = flatten_output(y)
            return [number_of(y)], whole
        return [y], []


class ArrayCall(FlatCall):
    """f for which only a number or an array will do."""

    __slots__ = ()

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend)
        if type(y) not in FAMILIAR and foreign_of(y) is not None:
            y = number_of(y)
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


def number_of(y: Any) -> Any:
    """What f returned: the array in a container of one array, anything else as it is."""
    if type(y) in FAMILIAR or foreign_of(y) is None:
        return y
    leaves, structure = flatten_output(y)
    return leaves[0] if len(leaves) == 1 and len(getattr(structure.nodes[0], "children", ())) == 1 else y


def _absorb_nested(y: Any) -> Any:
    if isa(y, np.ndarray) and type(y) is not np.ndarray and foreign_of(y) is not None:
        return y
    if isa(y, np.ndarray):
        return absorb(y)
    if type(y) in (list, tuple):
        return type(y)([_absorb_nested(v) for v in y])
    if type(y) is dict:
        return {k: _absorb_nested(v) for k, v in y.items()}
    if isinstance(y, Array) and y.dtype.kind == "b":  # a mask is no leaf: nothing to lift out
        if y._by_reference and not y.ndim:
            return np.bool_(bool(y))
        if not hasattr(y, "framework"):
            return y
        mask = plain(y)
        return mask if isa(mask, (np.ndarray, np.bool_)) else y
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
    natives = natives_of(y)
    dtype = getattr(y, "dtype", None) if natives is None else natives.dtype(y)
    if dtype in (np.float32, np.float16):
        return dtype.type(1)  # type: ignore[union-attr]
    return 1.0


def plain_seed(seed: Any, y: Any, where: str) -> Any:
    """A user's cotangent for the output y as an array of y's shape; None stands for zeros, also inside lists."""
    if seed is None:
        return None
    if type(seed) is np.ndarray and seed.dtype == object and is_traced(seed):
        seed = absorb(seed)
    if isa(seed, (list, tuple)):
        try:
            seed = absorb(_with_zeros(seed, tuple(y.shape) if hasattr(y, "shape") else ()))
            seed = np.asarray(seed) if isinstance(seed, list) else seed
        except ValueError as error:
            raise ADSelectValueError(f"the seed for {where} is no array of numbers: {error}") from None
    if not isinstance(seed, Array) and not is_native(seed):
        if not isa(seed, (int, float, complex, np.generic, np.ndarray)):
            raise ADSelectTypeError(f"the seed for {where} must be numeric or None, got {type(seed).__name__}")
        array = np.asarray(seed)
        if array.dtype.kind not in "fiucb":
            raise ADSelectTypeError(
                f"the seed for {where} must be numeric or None, got an array of dtype {array.dtype} and shape "
                f"{array.shape}; None in place of the whole seed, or within a list, stands for zeros"
            )
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
    """Nested lists of cotangents with zeros of the output's shape in place of None."""
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
    if kind is deque:
        kind = list
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
