"""f as a flat function: leaves in, leaves out, whatever f takes and returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import REFUSALS, ADSelectTypeError, NotScalarError
from ..face.array import Array
from ..face.dispatch import absorb, plain
from ..face.foreign import FAMILIAR, foreign_of
from ..primitives.own_rules import call_enforced
from ..structure.flattening import Skeleton, flatten
from ..structure.leaves import is_leaf
from ..values.kinds import isa
from .escaped_errors import explained
from .in_progress import IN_PROGRESS, UserCall

if TYPE_CHECKING:
    from ..backends.backend import Backend


_new = object.__new__


def call_user(f: Callable, args: list, kwargs: dict, backend: Backend | None, flat: FlatCall | None = None) -> Any:
    """``f(*args, **kwargs)``; an error that hides ours is replaced by it, one we can explain gets a note."""
    before, calls = REFUSALS.count, IN_PROGRESS.calls
    call = _new(UserCall)
    call.args, call.flat, call.adtype = args, flat, None if backend is None else backend.adtype
    call.blind = (flat is not None and flat.blind) or (backend is not None and not backend.cotangents)
    calls.append(call)
    try:
        own_rules = () if backend is None else getattr(backend.adtype, "own_rules", ())
        return call_enforced(own_rules, f, args, kwargs) if own_rules else f(*args, **kwargs)
    except Exception as error:
        refused = None if backend is None else backend.refusal(error)
        if refused is not None:
            raise refused from error
        shown = explained(error, before, backend)
        if shown is error:
            raise
        raise shown from shown.__cause__
    finally:
        calls.pop()


class FlatCall:
    """f as a backend sees it: lifted leaves in, ``(outputs, aux)`` out.

    A class and not a closure, so that it can be sent to other processes together with f. ``structure`` is what f
    returned last, as a skeleton, where that is asked for. ``given``: the arguments as the caller gave them, where the
    operator may be used to update them; ``notices``: what is to be told when a reverse pass is over; ``blind``: whether
    there will be none.
    """

    __slots__ = ("backend", "blind", "f", "given", "kwargs", "notices", "skeleton", "structure")

    def __init__(self, f: Callable, skeleton: Skeleton, kwargs: dict, backend: Backend | None):
        self.f, self.skeleton, self.kwargs, self.backend = f, skeleton, kwargs, backend
        self.structure: Any = None
        self.given: tuple | None = None
        self.notices: list = []
        self.blind = False

    def passed(self, grads: list) -> list:
        """The cotangents of the leaves when a reverse pass is over, after who waited for that has seen them."""
        for notice in self.notices:
            grads = notice(grads)
        return grads

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend, self)
        if type(y) is np.ndarray:
            return [absorb(y)], []
        return [y if type(y) in FAMILIAR or foreign_of(y) is None else number_of(y)], []

    def __reduce__(self) -> tuple:
        return type(self), (self.f, self.skeleton, self.kwargs, None)  # a backend's executor cannot travel


class LossCall(FlatCall):
    """f with auxiliary output: the first entry of a tuple or dict is the loss, the whole of it is auxiliary."""

    __slots__ = ()

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend, self)
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
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend, self)
        if type(y) not in FAMILIAR and foreign_of(y) is not None:
            y = number_of(y)
        if isa(y, np.ndarray):
            y = absorb(y)
        if not is_leaf(y) and not isinstance(y, Array):
            raise ADSelectTypeError(
                f"jacobian needs a number or an array from f, got {type(y).__name__}; {_as_array(y)}use pullback for "
                "structured results"
            )
        return [y], []


def _as_array(y: Any) -> str:
    return "write np.stack([…]) or np.array([…]) around a list of numbers, " if isinstance(y, (list, tuple)) else ""


class StructuredCall(FlatCall):
    """f with all leaves of what it returns."""

    __slots__ = ()

    def __call__(self, lifted: list) -> tuple[list, list]:
        y = call_user(self.f, self.skeleton.rebuild(lifted), self.kwargs, self.backend, self)
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
        if not y._framework:
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
