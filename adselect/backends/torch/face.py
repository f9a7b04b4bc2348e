"""TorchArray: the NumPy face over a torch tensor."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import TracedValueError, UnsupportedError, user_line
from ...face.array import Array
from ...face.creating import CREATORS, created
from ...face.dispatch import absorb, is_traced
from ...face.functions import function_call
from ...face.ufuncs import ufunc_call
from ...primitives.own_rules import ENFORCED, stand_in
from ...rules.registry import COMPOSITES, NO_DERIVATIVE, positional
from ...values.kinds import isa
from ..framework_array import FrameworkArray, Selections, UntranslatedError
from .operands import from_numpy, numpy_dtype
from .progress import enclose, in_progress, notice_captured
from .table import BY_NUMPY, REAL_ONLY, TABLE, target
from .table_elementwise import BINARY, UNARY
from .table_indexing import get_item, set_item

__all__ = ["SELECTIONS", "TorchArray"]


SELECTIONS = Selections()
_NUMBERS = frozenset({float, int})
REAL = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
# Reductions with a short path, and the options they may then have: those that are never arrays.
_REDUCTIONS = {
    f: TABLE[f]
    for f in (np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std, np.any, np.all, np.argmax, np.argmin, np.cumsum)
}
_PLAIN_OPTIONS = frozenset({"axis", "keepdims", "ddof"})
_CONSTRUCTORS = {
    *(np.zeros, np.ones, np.empty, np.full, np.eye, np.identity, np.arange),
    *(np.array, np.asarray, np.asanyarray),
}
INEXACT = REAL | {torch.complex64, torch.complex128}
VDOT = frozenset({torch.float64, torch.float32})
_REFUSED = (RuntimeError, TypeError)  # what torch raises for operands that do not fit
SAME = {np.dtype(np.float64): torch.float64, np.dtype(np.float32): torch.float32}


class TorchArray(FrameworkArray):
    """A torch tensor behind NumPy's protocols. torch functions take it too, and give TorchArrays back.

    >>> import adselect as ad, numpy as np
    >>> ad.gradient(lambda x: np.sum(np.sin(x) * x), ad.AutoTorch(), np.zeros(2))
    (array([0., 0.]),)
    """

    __slots__ = ()

    _framework = "torch"
    _real_only = REAL_ONLY
    _by_numpy = BY_NUMPY

    def _enclose(self) -> None:
        enclose()

    def _is_scalar(self) -> bool:  # as its base says; a call less, in every index
        return not self._primal.ndim and not getattr(self, "_array", False)

    @classmethod
    def _target(cls, function: Any) -> Callable | None:
        return target(function)

    @classmethod
    def _is_native(cls, value: Any) -> bool:
        return isinstance(value, Tensor)

    @classmethod
    def _native(cls, value: Any) -> Any:
        return _operand(value, None)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._primal.shape)

    @property
    def ndim(self) -> int:
        return self._primal.ndim

    @property
    def size(self) -> int:
        return self._primal.numel()

    @property
    def dtype(self) -> Any:
        return numpy_dtype(self._primal.dtype)

    def _own_layout(self) -> Any:
        # torch lays elementwise results out as NumPy does; of what its own routines return in another order (a
        # decomposition, a solution) NumPy's order is not known.
        known = getattr(self, "_order", None) is not None or self._primal.is_contiguous()
        return super()._own_layout() if known else None

    # -- after f has returned ------------------------------------------------------------------------------------

    @property
    def _closed(self) -> bool:
        if in_progress(self._deps):
            return False
        if self._primal.requires_grad:  # the graph is over: let go of it
            self._primal = self._primal.detach()
        return True

    @property
    def _inside(self) -> Any:
        """The plain value, once the derivative is over."""
        return to_numpy(self._primal)

    def _numbers(self) -> Any:
        if self._primal.requires_grad:  # of a graph of the user's own
            return NotImplemented
        try:
            return to_numpy(self._primal)
        except RuntimeError as error:
            raise TracedValueError(
                f"float(), int() or np.asarray of a value without a derivative needs that value at {user_line()}, "
                f"which torch.func.vmap does not give ({error}). Write np.where(condition, a, b) instead."
            ) from error

    def _shown(self) -> Any:
        try:
            return to_numpy(self._primal)
        except RuntimeError:  # inside a torch.func transform there is no plain value to show
            return self._primal

    def __repr__(self) -> str:
        return f"TorchArray({self._shown()!r})"

    def __str__(self) -> str:
        return str(self._shown())

    def __format__(self, spec: str) -> str:
        return format(self._shown(), spec)

    # -- operations --------------------------------------------------------------------------------------------

    def _apply(self, function: Any, args: tuple, kwargs: dict) -> Any:
        if ENFORCED and (by_rule := stand_in(function)) is not None:
            return by_rule(*args, **kwargs)
        implementation = target(function)
        if function in REAL_ONLY and any([np.iscomplexobj(a) for a in args]):
            implementation = None
        if implementation is None:
            if function in NO_DERIVATIVE and function not in COMPOSITES:
                return function(*[_plain(a) for a in args], **{k: _plain(v) for k, v in kwargs.items()})
            return super()._apply(function, args, kwargs)  # a composite, or the error that says what is missing
        given, seen = (args, kwargs), _Seen(self._primal.device)
        if kwargs:
            args, kwargs = positional(function, args, kwargs)
        values = [seen.unwrap(a) for a in args]
        options = {k: seen.unwrap(v) if isa(v, (Array, np.ndarray, Tensor)) else v for k, v in kwargs.items()}
        return self._carry_out(function, implementation, values, options, seen.deps, given)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs and not ENFORCED and self._integer is None:
            if len(inputs) == 1:
                operate = UNARY.get(ufunc)
                if operate is not None and inputs[0] is self:
                    try:
                        value = operate(self._primal)
                    except _REFUSED:
                        return ufunc_call(ufunc, method, inputs, kwargs)
                    if type(value) is not tuple:
                        return TorchArray(value, 0 if ufunc in NO_DERIVATIVE else self._deps)
            elif len(inputs) == 2:
                a, b = inputs
                operate = BINARY.get(ufunc)
                if operate is not None and ufunc is not np.divmod:
                    deps = 0
                    if type(a) is TorchArray:
                        deps, a = a._deps, a._primal
                    elif type(a) is np.float64 or (type(a) is np.ndarray and a.dtype.kind in "biufc"):
                        a = from_numpy(a, self._primal.device)
                    elif type(a) not in _NUMBERS:
                        return ufunc_call(ufunc, method, inputs, kwargs)
                    if type(b) is TorchArray:
                        deps, b = deps | b._deps, b._primal
                    elif type(b) is np.float64 or (type(b) is np.ndarray and b.dtype.kind in "biufc"):
                        b = from_numpy(b, self._primal.device)
                    elif type(b) not in _NUMBERS:
                        return ufunc_call(ufunc, method, inputs, kwargs)
                    try:
                        return TorchArray(operate(a, b), 0 if ufunc in NO_DERIVATIVE else deps)
                    except _REFUSED:
                        return ufunc_call(ufunc, method, inputs, kwargs)
        return ufunc_call(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if (
            function in _REDUCTIONS
            and not ENFORCED
            and self._integer is None
            and len(args) == 1
            and args[0] is self
            and kwargs.keys() <= _PLAIN_OPTIONS
        ):
            deps = 0 if function in NO_DERIVATIVE else self._deps
            try:
                return TorchArray(_REDUCTIONS[function](self._primal, **kwargs), deps)
            except (*_REFUSED, IndexError, UntranslatedError):
                return function_call(function, args, kwargs)
        if function in _CONSTRUCTORS:
            return self._apply(function, args, kwargs)  # called with like=self
        if function in CREATORS:
            return created(self, function, args, kwargs)
        return function_call(function, args, kwargs)

    def _getitem(self, index: Any) -> Any:
        integer = self._integer
        return TorchArray(get_item(self._primal, index), self._deps, None if integer is None else integer[index])

    def _setitem(self, index: Any, value: Any) -> Any:
        seen = _Seen(self._primal.device)
        value = seen.unwrap(value)
        if seen.deps and self._primal.dtype not in INEXACT:
            raise TracedValueError(
                f"a traced value was written into an array of dtype {self.dtype} at {user_line()}, which would round "
                "it and cut the derivative. Make the array floating: np.zeros_like(x, dtype=float)."
            )
        new, whole = set_item(self._primal, index, value)
        return TorchArray(new, seen.deps if whole else self._deps | seen.deps)

    # -- Python's conversions ------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        value = self._primal
        if value.numel() != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        try:
            return bool(value)
        except RuntimeError as error:
            raise TracedValueError(
                f"a branch depends on a traced value at {user_line()}, which torch.func.vmap does not allow ({error}). "
                "Write np.where(condition, a, b)."
            ) from error

    def __hash__(self) -> int:
        if self.ndim:
            raise TypeError("unhashable type: traced array")
        self._check_hash(sys._getframe(1))
        return hash(self._primal.item())

    def _as_index(self) -> Any:
        if self._integer is not None:
            return self._integer
        return self._primal.detach().cpu().numpy() if self.ndim else self._primal.item()

    # -- torch's protocol ----------------------------------------------------------------------------------------

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """torch's own functions on a TorchArray: carried out on its tensor."""
        name = getattr(function, "__name__", "")
        if _writes(name) or (kwargs and kwargs.get("out") is not None):
            raise TracedValueError(
                f"torch's {name} at {user_line()} would write a traced value in place, which torch does not follow "
                "through this face. Write y = y + x instead of y += x, torch.stack([…]) instead of filling a tensor, "
                "or y = np.zeros_like(x); y[i] = …."
            )
        seen = _Seen(None)
        values = seen.tree(args)
        options = seen.tree(kwargs or {})
        return cls._wrap(function(*values, **options), seen.deps)


def _writes(name: str) -> bool:
    """Whether a torch method of this name changes its first argument."""
    if name.startswith("__"):
        return name in _IN_PLACE
    return name.endswith("_")


_OPERATORS = "add sub mul div truediv floordiv mod pow matmul and or xor lshift rshift"
_IN_PLACE = frozenset({"__setitem__", *(f"__i{name}__" for name in _OPERATORS.split())})


class _Seen:
    """Takes operands apart and collects the leaves they depend on."""

    __slots__ = ("deps", "device")

    def __init__(self, device: Any):
        self.deps, self.device = 0, None if device is None or device.type == "cpu" else device

    def unwrap(self, value: Any) -> Any:
        """A NumPy operand as a tensor, a number, or a list of those."""
        if type(value) is TorchArray:
            self.deps |= value._deps
            return value._primal
        if type(value) in (list, tuple):
            return type(value)([self.unwrap(v) for v in value])
        if type(value) is np.ndarray and value.dtype == object and is_traced(value):
            return self.unwrap(absorb(value))
        return _operand(value, self.device)

    def tree(self, value: Any) -> Any:
        """The arguments of a torch function: only what torch cannot take is changed."""
        if isinstance(value, TorchArray):
            self.deps |= value._deps
            return value._primal
        if isinstance(value, Tensor):
            return _operand(value, None)
        if isinstance(value, dict):
            return {k: self.tree(v) for k, v in value.items()}
        if type(value) in (list, tuple):
            return type(value)([self.tree(v) for v in value])
        return value


def _operand(value: Any, device: Any) -> Any:
    """A plain operand in the form the table takes."""
    if isinstance(value, Tensor):
        if value.requires_grad and not isinstance(value, torch.nn.Parameter):
            notice_captured()
        return value
    if isa(value, (np.ndarray, np.generic)):
        return from_numpy(value, device) if value.dtype.kind in "biufc" else value
    if isa(value, Fraction):
        return float(value)
    if isinstance(value, Array):
        raise UnsupportedError(
            f"a value traced by another backend ({type(value).__name__}) met one traced by torch at {user_line()}: an "
            "AutoTorch derivative can be nested in AutoTorch and in AutoTape, not in another framework's. Use the same "
            "adtype inside and outside, or adselect.differentiate_with."
        )
    return value


def _plain(value: Any) -> Any:
    """The NumPy value behind an operand, for functions whose result carries no derivative."""
    if isinstance(value, TorchArray):
        return to_numpy(value._primal)
    if isinstance(value, Tensor):
        return to_numpy(value)
    return type(value)([_plain(v) for v in value]) if type(value) in (list, tuple) else value


def to_numpy(value: Tensor) -> Any:
    """A NumPy array of its own memory, or a NumPy scalar: what a caller writes into must not be a recorded value."""
    if value._is_zerotensor():  # torch's stand-in for zeros, which few operations accept
        value = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
    array = value.numpy(force=True)
    return array.copy() if array.ndim else array[()]


def _install_operators() -> None:
    """Short paths for Python's operators: a TorchArray with a TorchArray of its dtype, or with a Python number."""

    def binary(operate: Callable, slow: Callable, reflected: bool) -> Callable:
        def call(self: TorchArray, other: Any) -> Any:
            kind, value = type(other), self._primal
            if ENFORCED or self._integer is not None:
                return slow(self, other)
            try:
                if kind is TorchArray:
                    if value.dtype is other._primal.dtype and value.dtype in INEXACT:
                        return TorchArray(operate(value, other._primal), self._deps | other._deps)
                elif (kind is float or kind is int) and value.dtype in INEXACT:
                    other = float(other) if kind is int and operate is not torch.pow else other
                    return TorchArray(operate(other, value) if reflected else operate(value, other), self._deps)
                elif kind is np.float64 and value.dtype is torch.float64:
                    other = float(other)
                    return TorchArray(operate(other, value) if reflected else operate(value, other), self._deps)
                elif kind is np.ndarray and value.is_cpu and SAME.get(other.dtype) is value.dtype:
                    other = from_numpy(other)
                    return TorchArray(operate(other, value) if reflected else operate(value, other), self._deps)
            except _REFUSED:  # the long way says of wrong shapes what NumPy says
                pass
            return slow(self, other)

        return call

    def product(slow: Callable) -> Callable:
        def call(self: TorchArray, other: Any) -> Any:
            if type(other) is TorchArray:
                a, b = self._primal, other._primal
                if a.dtype is b.dtype and a.dtype in INEXACT and 0 < a.ndim < 3 and 0 < b.ndim < 3:
                    if a.shape[-1] == b.shape[0]:
                        return TorchArray(torch.matmul(a, b), self._deps | other._deps)
            return slow(self, other)

        return call

    def comparison(operate: Callable, slow: Callable) -> Callable:
        def call(self: TorchArray, other: Any) -> Any:
            kind = type(other)
            if kind is TorchArray:
                if not self._primal.ndim and not other._primal.ndim:
                    SELECTIONS.note(self, other)
                if self._primal.dtype is other._primal.dtype:
                    try:
                        return TorchArray(operate(self._primal, other._primal), 0)
                    except _REFUSED:
                        return slow(self, other)
            if kind is float and self._primal.dtype in REAL:
                return TorchArray(operate(self._primal, other), 0)
            return slow(self, other)

        return call

    def negative(self: TorchArray) -> Any:
        if self._primal.dtype in INEXACT and not ENFORCED and self._integer is None:
            return TorchArray(-self._primal, self._deps)
        return slow_negative(self)

    operators = {
        "add": operator.add,
        "sub": operator.sub,
        "mul": operator.mul,
        "truediv": operator.truediv,
        "pow": torch.pow,
    }
    for name, operate in operators.items():
        for reflected in (False, True):
            full = f"__{'r' if reflected else ''}{name}__"
            setattr(TorchArray, full, binary(operate, getattr(Array, full), reflected))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        full = f"__{name}__"
        setattr(TorchArray, full, comparison(getattr(torch, name), getattr(Array, full)))
    TorchArray.__matmul__ = product(Array.__matmul__)  # type: ignore[attr-defined]
    slow_negative = Array.__neg__  # type: ignore[attr-defined]
    TorchArray.__neg__ = negative  # type: ignore[attr-defined]


_install_operators()
