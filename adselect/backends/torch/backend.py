"""The PyTorch backend: f runs on torch tensors, torch's autograd graph is the tape.

NumPy leaves reach f as :class:`TorchArray`, torch's own tensors as tensors. Three decisions shape this file:

* The graph is kept (``retain_graph``), so a pullback can be called any number of times, and it is itself recorded
  (``create_graph``) only where an outer derivative is watching: a leaf, a seed or a captured value that belongs to it.
* The pushforward is the transpose of the pullback (reverse over reverse). torch's forward mode neither nests nor takes
  user-written ``autograd.Function`` classes safely; the transposed pullback does both and needs f only once.
* A zero must contribute 0 through a singular derivative. That is bought only when a NaN shows up: the graph is walked
  again, node by node (``zeros.py``).

Inside ``torch.func`` transforms the same steps are taken with ``torch.func.vjp``, as torch demands.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from ...errors import ADSelectValueError, TracedValueError, UnsupportedError, user_line
from ...face.array import Array
from ...face.creating import CREATORS, created
from ...face.dispatch import absorb, is_traced
from ...face.functions import function_call
from ...face.likeness import AbsentAttributeError
from ...face.ufuncs import ufunc_call
from ...places import package_of
from ...primitives.own_rules import ENFORCED, stand_in
from ...rules.decompositions import phase_refusal
from ...rules.registry import COMPOSITES, NO_DERIVATIVE, positional
from ...values.kinds import isa
from ..backend import Backend
from ..faces import NUMPY_CURE, NumPyMetError, call_again, check_face, is_numpy_code, wants_numpy
from ..framework_array import FrameworkArray, Selections
from .operands import SHARED, from_numpy, numpy_dtype
from .table import REAL_ONLY, TABLE, target
from .table_elementwise import BINARY, UNARY
from .table_indexing import get_item, set_item
from .zeros import pull_carefully

__all__ = ["SELECTIONS", "TorchArray", "TorchBackend"]

SELECTIONS = Selections()
_NUMBERS = frozenset({float, int})
_REAL = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
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
_INEXACT = _REAL | {torch.complex64, torch.complex128}
_VDOT = frozenset({torch.float64, torch.float32})
_REFUSED = (RuntimeError, TypeError)  # what torch raises for operands that do not fit
_SAME = {np.dtype(np.float64): torch.float64, np.dtype(np.float32): torch.float32}


# -- the face ----------------------------------------------------------------------------------------------------------


class TorchArray(FrameworkArray):
    """A torch tensor behind NumPy's protocols. torch functions take it too, and give TorchArrays back.

    >>> import adselect as ad, numpy as np
    >>> ad.gradient(lambda x: np.sum(np.sin(x) * x), ad.AutoTorch(), np.zeros(2))
    (array([0., 0.]),)
    """

    __slots__ = ()

    framework = "torch"
    real_only = REAL_ONLY

    def _enclose(self) -> None:
        _enclose()

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
        if _in_progress(self.deps):
            return False
        if self._primal.requires_grad:  # the graph is over: let go of it
            self._primal = self._primal.detach()
        return True

    @property
    def _inside(self) -> Any:
        """The plain value, once the derivative is over."""
        return _to_numpy(self._primal)

    def _numbers(self) -> Any:
        if self._primal.requires_grad:  # of a graph of the user's own
            return NotImplemented
        try:
            return _to_numpy(self._primal)
        except RuntimeError as error:
            raise TracedValueError(
                f"float(), int() or np.asarray of a value without a derivative needs that value at {user_line()}, "
                f"which torch.func.vmap does not give ({error}). Write np.where(condition, a, b) instead."
            ) from error

    def _shown(self) -> Any:
        try:
            return _to_numpy(self._primal)
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
        if method == "__call__" and not kwargs and not ENFORCED and self.integer is None:
            if len(inputs) == 1:
                operate = UNARY.get(ufunc)
                if operate is not None and inputs[0] is self:
                    try:
                        value = operate(self._primal)
                    except _REFUSED:
                        return ufunc_call(ufunc, method, inputs, kwargs)
                    if type(value) is not tuple:
                        return TorchArray(value, 0 if ufunc in NO_DERIVATIVE else self.deps)
            elif len(inputs) == 2:
                a, b = inputs
                operate = BINARY.get(ufunc)
                if operate is not None and ufunc is not np.divmod:
                    deps = 0
                    if type(a) is TorchArray:
                        deps, a = a.deps, a._primal
                    elif type(a) is np.float64 or (type(a) is np.ndarray and a.dtype.kind in "biufc"):
                        a = from_numpy(a, self._primal.device)
                    elif type(a) not in _NUMBERS:
                        return ufunc_call(ufunc, method, inputs, kwargs)
                    if type(b) is TorchArray:
                        deps, b = deps | b.deps, b._primal
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
            and self.integer is None
            and len(args) == 1
            and args[0] is self
            and kwargs.keys() <= _PLAIN_OPTIONS
        ):
            deps = 0 if function in NO_DERIVATIVE else self.deps
            try:
                return TorchArray(_REDUCTIONS[function](self._primal, **kwargs), deps)
            except (*_REFUSED, IndexError):
                return function_call(function, args, kwargs)
        if function in _CONSTRUCTORS:
            return self._apply(function, args, kwargs)  # called with like=self
        if function in CREATORS:
            return created(self, function, args, kwargs)
        return function_call(function, args, kwargs)

    def _getitem(self, index: Any) -> Any:
        integer = self.integer
        return TorchArray(get_item(self._primal, index), self.deps, None if integer is None else integer[index])

    def _setitem(self, index: Any, value: Any) -> Any:
        seen = _Seen(self._primal.device)
        value = seen.unwrap(value)
        if seen.deps and self._primal.dtype not in _INEXACT:
            raise TracedValueError(
                f"a traced value was written into an array of dtype {self.dtype} at {user_line()}, which would round "
                "it and cut the derivative. Make the array floating: np.zeros_like(x, dtype=float)."
            )
        new, whole = set_item(self._primal, index, value)
        return TorchArray(new, seen.deps if whole else self.deps | seen.deps)

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
        if self.integer is not None:
            return self.integer
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
            self.deps |= value.deps
            return value._primal
        if type(value) in (list, tuple):
            return type(value)([self.unwrap(v) for v in value])
        if type(value) is np.ndarray and value.dtype == object and is_traced(value):
            return self.unwrap(absorb(value))
        return _operand(value, self.device)

    def tree(self, value: Any) -> Any:
        """The arguments of a torch function: only what torch cannot take is changed."""
        if isinstance(value, TorchArray):
            self.deps |= value.deps
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
            _notice_captured()
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
        return _to_numpy(value._primal)
    if isinstance(value, Tensor):
        return _to_numpy(value)
    return type(value)([_plain(v) for v in value]) if type(value) in (list, tuple) else value


def _to_numpy(value: Tensor) -> Any:
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
            if ENFORCED or self.integer is not None:
                return slow(self, other)
            try:
                if kind is TorchArray:
                    if value.dtype is other._primal.dtype and value.dtype in _INEXACT:
                        return TorchArray(operate(value, other._primal), self.deps | other.deps)
                elif (kind is float or kind is int) and value.dtype in _INEXACT:
                    other = float(other) if kind is int and operate is not torch.pow else other
                    return TorchArray(operate(other, value) if reflected else operate(value, other), self.deps)
                elif kind is np.float64 and value.dtype is torch.float64:
                    other = float(other)
                    return TorchArray(operate(other, value) if reflected else operate(value, other), self.deps)
                elif kind is np.ndarray and value.is_cpu and _SAME.get(other.dtype) is value.dtype:
                    other = from_numpy(other)
                    return TorchArray(operate(other, value) if reflected else operate(value, other), self.deps)
            except _REFUSED:  # the long way says of wrong shapes what NumPy says
                pass
            return slow(self, other)

        return call

    def product(slow: Callable) -> Callable:
        def call(self: TorchArray, other: Any) -> Any:
            if type(other) is TorchArray:
                a, b = self._primal, other._primal
                if a.dtype is b.dtype and a.dtype in _INEXACT and 0 < a.ndim < 3 and 0 < b.ndim < 3:
                    if a.shape[-1] == b.shape[0]:
                        return TorchArray(torch.matmul(a, b), self.deps | other.deps)
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
            if kind is float and self._primal.dtype in _REAL:
                return TorchArray(operate(self._primal, other), 0)
            return slow(self, other)

        return call

    def negative(self: TorchArray) -> Any:
        if self._primal.dtype in _INEXACT and not ENFORCED and self.integer is None:
            return TorchArray(-self._primal, self.deps)
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


# -- derivatives in progress -------------------------------------------------------------------------------------------

# Every derivative in progress owns a block of bits that no other one in progress uses: a value's deps then say which of
# the derivatives it belongs to, through any nesting.
_BLOCKS: list[tuple[int, int]] = []
_LOCK = threading.Lock()
_LOCAL = threading.local()


def _open_block(n: int) -> tuple[int, int]:
    """n bits that no derivative in progress uses: the first one, and the one after the last."""
    with _LOCK:
        start = max([end for _, end in _BLOCKS]) if _BLOCKS else 0
        block = (start, start + n)
        _BLOCKS.append(block)
    return block


def _close_block(block: tuple[int, int]) -> None:
    with _LOCK:
        _BLOCKS.remove(block)


def _in_progress(deps: int) -> bool:
    """Whether a value with these deps belongs to a derivative in progress."""
    if not _BLOCKS or not deps:
        return bool(_BLOCKS)
    return any(deps >> start & ((1 << end - start) - 1) for start, end in list(_BLOCKS))


def _notice_captured() -> None:
    """A tensor of the user's own graph met a face array: the innermost derivative may belong to that graph."""
    calls = getattr(_LOCAL, "calls", None)
    if calls:
        calls[-1].captured = True


def calls_in_progress(create: bool = False) -> list:
    """The calls of f under way on this thread, the innermost last."""
    return _LOCAL.__dict__.setdefault("calls", []) if create else getattr(_LOCAL, "calls", [])


def _enclose() -> None:
    """Note, for the calls under way, that f has taken a derivative itself."""
    for call in calls_in_progress():
        call.record.enclosing = True


class _Guard(TorchFunctionMode):
    """While f works on torch tensors: refuse what reads one as a Python number, which would cut the derivative.

    torch only warns, once per process. ``x.item()``, asked for by name, stays allowed. Also, where f may be NumPy code:
    stop at NumPy functions that would call a method of a tensor, which has the name but not the meaning (``max``).
    """

    def __init__(self, numpy: bool):
        super().__init__()
        self.numpy = numpy

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if self.numpy and package_of(sys._getframe(1)) == "numpy":
            raise NumPyMetError(f"NumPy called {getattr(function, '__name__', function)} of a torch tensor")
        if function in _CONVERSIONS and args[0].requires_grad and torch.is_grad_enabled():
            kind = function.__name__.strip("_")
            raise TracedValueError(
                f"{kind}() of a traced torch tensor at {user_line()} would cut the derivative silently. It is called "
                f"by {kind}(x), by math.* functions, and when a tensor is written into a NumPy array (A[i] = x). Write "
                "torch.sin(x) instead of math.sin(x), torch.stack([…]) instead of filling an array, and x.item() or "
                "x.detach() where the number is wanted without its derivative."
            )
        return function(*args, **(kwargs or {}))


_CONVERSIONS = frozenset({Tensor.__float__, Tensor.__complex__, Tensor.__int__})


# -- the autograd graph ------------------------------------------------------------------------------------------------


def _reachable(tensors: Any, inputs: Any = ()) -> set:
    """Every node of the autograd graph that leads to the tensors, as far back as the inputs."""
    found: set = {_node(x) for x in inputs}
    pending = [t.grad_fn for t in tensors if t.grad_fn is not None]
    while pending:
        node = pending.pop()
        if node is not None and node not in found:
            found.add(node)
            pending.extend([below for below, _ in node.next_functions])
    return found


def _node(tensor: Tensor) -> Any:
    """The graph node at which the gradient of a tensor arrives."""
    return torch.autograd.graph.get_gradient_edge(tensor).node


def _places_reached(y: Tensor, inputs: list) -> set:
    """Which of the inputs y was computed from."""
    if not y.requires_grad:
        return set()
    nodes = _reachable([y]) | {_node(y)}
    return {i for i, x in enumerate(inputs) if _node(x) in nodes}


def _belongs_outside(tensors: list, inputs: list) -> bool:
    """Whether the graph of the tensors starts anywhere but at the inputs and at modules' parameters."""
    own = {id(x) for x in inputs}
    for node in _reachable(tensors):
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) not in own and not isinstance(variable, torch.nn.Parameter):
            return True
    return False


def _recording() -> Any:
    """A context with grad mode on, whatever mode the caller is in."""
    if not torch.is_inference_mode_enabled():
        return _AS_IT_IS if torch.is_grad_enabled() else torch.enable_grad()
    stack = contextlib.ExitStack()
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    return stack


_AS_IT_IS = contextlib.nullcontext()

# All functions that torch's decorator makes share this code.
_ONCE = torch.autograd.function.once_differentiable(lambda ctx: None).__code__


def _once_only(tensors: Any, inputs: Any) -> bool:
    """Whether something between inputs and tensors is differentiated by torch once but not twice.

    Asked for a second derivative, torch finds no path and says "independent".
    """
    for node in _reachable(tensors, inputs):
        function = getattr(type(node), "_forward_cls", None)
        code = getattr(getattr(function, "backward", None), "__code__", None)
        if code is _ONCE or node.name() == "torch::autograd::Error":
            return True
    return False


class _FirstOrder(torch.autograd.Function):
    """A gradient that cannot be differentiated again and says so when it is tried."""

    @staticmethod
    def forward(ctx: Any, x_bar: Tensor, *inputs: Tensor) -> Tensor:
        return x_bar.clone()

    @staticmethod
    def backward(ctx: Any, *x_dots: Any) -> Any:
        raise UnsupportedError(
            "a second derivative was asked of a torch.autograd.Function whose backward is marked once_differentiable. "
            "Write its backward with differentiable torch operations and drop the mark."
        )


# -- strong zeros ------------------------------------------------------------------------------------------------------

# Nodes whose gradient is, entry by entry, the incoming one times a factor: there 0 · inf may be read as 0.
_NODES = """
    Mul Div Pow Sqrt Rsqrt Reciprocal Exp Exp2 Expm1 Log Log2 Log10 Log1P Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh
    Asinh Acosh Atanh Sinc Sigmoid LogSigmoid Lgamma Digamma Polygamma Erf Erfc Erfinv Logit Atan2 Hypot Logaddexp
    Logaddexp2 Xlogy SpecialXlogy SpecialXlog1Py SpecialEntr SpecialErfcx SpecialNdtri SpecialLogNdtr I0 SpecialI0E
    SpecialI1 SpecialI1E Abs Sgn Remainder Fmod Copysign LogSigmoidBackward SigmoidBackward TanhBackward Angle
    NanToNum _CubeRoot
"""
_ELEMENTWISE = frozenset(_NODES.split())


def _elementwise(node: Any) -> bool:
    return node.name().rpartition("::")[2].rstrip("0123456789").removesuffix("Backward") in _ELEMENTWISE


def _strong(node: Any) -> Callable:
    def hook(grad_inputs: Any, grad_outputs: Any) -> Any:
        g = grad_outputs[0]
        if g is None:
            return None
        zero = g == 0
        kept = []
        for k, x_bar in enumerate(grad_inputs):
            if x_bar is None:
                kept.append(None)
            elif x_bar.shape == g.shape:
                kept.append(torch.where(zero, torch.zeros_like(x_bar), x_bar))
            else:
                kept.append(_strong_broadcast(node, k, g, zero, x_bar))
        return tuple(kept)

    return hook


def _strong_broadcast(node: Any, k: int, g: Tensor, zero: Tensor, x_bar: Tensor) -> Tensor:
    """The same where an operand was broadcast: torch has summed already, so product and quotient are done again."""
    name = node.name()
    if name.startswith("Mul"):
        factor = node._saved_other if k == 0 else node._saved_self
    elif name.startswith("Div"):
        factor = 1 / node._saved_other if k == 0 else -(node._saved_self / node._saved_other) / node._saved_other
    else:
        return x_bar
    full = torch.where(zero, torch.zeros_like(g), g * factor.conj())
    full = full.real if full.is_complex() and not x_bar.is_complex() else full
    return full.sum_to_size(x_bar.shape)


def _grad(outputs: list, inputs: list, seeds: list, record: bool, nested: bool | None) -> list:
    """``torch.autograd.grad``; when a NaN comes out, once more with strong zeros, unless nested is None.

    nested: whether the graph holds a derivative itself, or the value of f is not finite.
    """
    options = {"allow_unused": True, "retain_graph": True, "create_graph": record}
    try:
        x_bars = torch.autograd.grad(outputs, inputs, seeds, **options)
    except RuntimeError as error:
        _tell(error)
        raise
    if nested is None or not _any_nan(x_bars):
        return list(x_bars)
    return pull_carefully(outputs, inputs, seeds, record, nested)


@contextlib.contextmanager
def _strong_zeros(nodes: Any) -> Any:
    handles = [node.register_hook(_strong(node)) for node in nodes if _elementwise(node)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def gradient_of(y: Tensor, variables: list, again: bool, selecting: set) -> list | None:
    """The gradient of a real number as NumPy, None for a variable that y does not depend on.

    For variables that began as plain numbers and NumPy arrays. None altogether where this short way ends: y is no real
    number, or a NaN came out, for which the graph is gone over again with strong zeros. The graph is kept for
    ``again``; the variables at the places ``selecting`` were compared with one another, and have slope zero at least.
    """
    if y.ndim or not y.requires_grad or y.dtype not in _REAL:
        return None
    try:
        x_bars = torch.autograd.grad(y, variables, allow_unused=True, retain_graph=again)
    except RuntimeError as error:
        _tell(error)
        raise
    kept = [x_bar is not None and x_bar.numel() >= _WORTH_KEEPING for x_bar in x_bars]
    if any(kept):
        kept = [k and x_bars[i].is_contiguous() and _holders(x_bars, i) == _one_holder() for i, k in enumerate(kept)]
    grads: list = []
    reached = None
    for i, x_bar in enumerate(x_bars):
        if x_bar is None:
            reached = _places_reached(y, variables) | selecting if reached is None else reached
            grads.append(_to_numpy(torch.zeros_like(variables[i])) if i in reached else None)
            continue
        grad = _to_numpy(x_bar) if x_bar._is_zerotensor() else x_bar.detach().numpy()
        # NaN is the sum of squares where a NaN is among the numbers, and only then.
        total = np.vdot(grad, grad)
        if total != total:
            return None
        grads.append(grad[()] if not grad.ndim else grad if kept[i] else grad.copy())
    return grads


def _holders(tensors: Any, i: int) -> tuple:
    """How often tensor i and its memory are referred to; equal to ``_one_holder()`` where only ``tensors`` does."""
    storage = tensors[i].untyped_storage()
    return sys.getrefcount(tensors[i]), _count_of_uses(storage._cdata)


@functools.cache
def _one_holder() -> tuple | None:
    # When it is asked for, not when this is imported: that may be inside a transform, where tensors have no memory.
    return _holders((torch.zeros(2),), 0) if _count_of_uses(torch.zeros(2).untyped_storage()._cdata) else None


# What torch has no name for in another release is no reason to fail: then every result is copied.
_count_of_uses = getattr(torch._C, "_storage_Use_Count", None) or (lambda address: None)
_WORTH_KEEPING = 4096  # entries from which looking for other holders takes less than a copy


def own_variable(leaf: Any) -> Tensor:
    """A plain number or array as a tensor of its own memory at which a graph begins."""
    if type(leaf) is np.ndarray:
        return torch.from_numpy(leaf.copy(order="K")).requires_grad_()
    return torch.full((), leaf, dtype=torch.float64, requires_grad=True)


def _tell(error: RuntimeError) -> None:
    """Raise what torch's engine has raised in the words of the other backends, where they have some."""
    if "multiplication by e^{i phi}" in str(error):
        raise phase_refusal() from error


def _any_nan(tensors: Any) -> bool:
    try:
        for x in tensors:
            if x is None:
                continue
            # NaN is the sum of squares where a NaN is among the numbers, and only then.
            x = x.detach().reshape(-1)
            total = torch.vdot(x, x).item() if x.dtype in _VDOT and x.is_cpu else x.sum().item()
            if total != total:
                return True
    except RuntimeError:  # under torch.func.vmap values cannot be looked at
        return False
    return False


# -- two ways to record ------------------------------------------------------------------------------------------------


class _Graph:
    """f recorded in torch's ordinary autograd graph, from ``inputs`` to ``outputs``."""

    enclosing = False  # whether f took a derivative at values of this graph

    def __init__(self, inputs: list, native: bool = False):
        self.inputs = inputs
        self.outputs: list[Tensor] = []
        self.native = native
        self.read: dict = {}  # plain arrays whose memory the graph reads
        self._reached: dict[int, set] = {}

    def run(self, function: Callable) -> list:
        self.outputs, others = function(self.inputs)
        return others

    @functools.cached_property
    def first_order(self) -> bool:
        """Whether torch has no second derivative of this call."""
        return _once_only(self.outputs, self.inputs)

    def reached(self, k: int) -> set:
        """The inputs that output k depends on."""
        if k not in self._reached:
            self._reached[k] = _places_reached(self.outputs[k], self.inputs)
        return self._reached[k]

    def pull(self, seeds: list, record: bool, transposing: bool = False) -> list:
        """A cotangent per input, None where torch met no path."""
        SHARED.check(self.read)
        chosen = [(y, s) for y, s in zip(self.outputs, seeds, strict=True) if s is not None and y.requires_grad]
        if not chosen or not self.inputs:
            return [None] * len(self.inputs)
        outputs, seeds = [list(column) for column in zip(*chosen, strict=True)]
        if record and self.native and self.first_order:
            x_bars = _grad(outputs, self.inputs, seeds, False, None)
            return [None if x_bar is None else _FirstOrder.apply(x_bar, *self.inputs) for x_bar in x_bars]
        return _grad(outputs, self.inputs, seeds, record, self._nested(outputs, None if transposing else seeds))

    def _nested(self, outputs: list, seeds: list | None) -> bool | None:
        """How a derivative that came out as NaN is repaired; see :func:`_grad`. Native code keeps torch's answer."""
        if self.native:
            return None
        for k, y in enumerate(outputs):
            wanted = y.detach() if seeds is None else y.detach()[seeds[k].detach() != 0]
            if not bool(torch.isfinite(wanted).all()):
                return True if seeds is None else None
        return self.enclosing

    def transpose(self) -> Callable[[list, bool], list]:
        """The pushforward: the pullback is linear in its seeds, so it is recorded once and pulled back itself."""
        if self.first_order:
            raise NotImplementedError
        dummies = [_generic(y, k).requires_grad_() for k, y in enumerate(self.outputs)]
        x_bars = self.pull(dummies, True, transposing=True)

        def push(x_dots: list, record: bool) -> list:
            chosen = [
                (x_bar, x_dot)
                for x_bar, x_dot in zip(x_bars, x_dots, strict=True)
                if x_dot is not None and x_bar is not None and x_bar.requires_grad
            ]
            if not chosen:
                return [None] * len(self.outputs)
            outputs, seeds = [list(column) for column in zip(*chosen, strict=True)]
            return _grad(outputs, dummies, seeds, record, self._nested(self.outputs, None))

        return push


class _Transform:
    """f recorded with ``torch.func.vjp``, the only way inside a torch.func transform."""

    enclosing = False

    def __init__(self, values: list):
        self.inputs = values
        self.outputs: list[Tensor] = []
        self._reached: list[set] = []
        self._nodes: set = set()

    def run(self, function: Callable) -> list:
        def flat(*variables: Tensor) -> tuple:
            outputs, others = function(list(variables))
            self._reached = [_places_reached(y, list(variables)) for y in outputs]
            self._nodes = _reachable(outputs)
            return tuple(outputs), others

        taken: Any = torch.func.vjp(flat, *self.inputs, has_aux=True)
        outputs, self._vjp, others = taken
        self.outputs = list(outputs)
        return others

    def reached(self, k: int) -> set:
        return self._reached[k]

    def pull(self, seeds: list, record: bool) -> list:
        y_bars = tuple([torch.zeros_like(y) if s is None else s for y, s in zip(self.outputs, seeds, strict=True)])
        with torch.enable_grad():
            x_bars = self._vjp(y_bars)
            if _any_nan(x_bars):
                with _strong_zeros(self._nodes):
                    x_bars = self._vjp(y_bars)
        found = set().union(*self._reached)
        return [x_bar if i in found else None for i, x_bar in enumerate(x_bars)]

    def transpose(self) -> Callable[[list, bool], list]:
        with torch.enable_grad():
            dummies = [_generic(y, k) for k, y in enumerate(self.outputs)]
            taken: Any = torch.func.vjp(lambda *seeds: self._vjp(seeds), *dummies)
            vjp = taken[1]

        def push(x_dots: list, record: bool) -> list:
            given = {i for i, x_dot in enumerate(x_dots) if x_dot is not None}
            full = [torch.zeros_like(x) if d is None else d for x, d in zip(self.inputs, x_dots, strict=True)]
            with torch.enable_grad():
                y_dots = vjp(tuple(full))
            return [y_dot if given & self._reached[k] else None for k, y_dot in enumerate(y_dots)]

        return push


def _generic(y: Tensor, k: int) -> Tensor:
    """A cotangent without coincidences: no sum of its entries cancels, so that a zero in its pullback means "none"."""
    real = torch.sin(torch.arange(y.numel(), dtype=torch.float64, device=y.device) * 1.618 + k + 0.3) + 1.5
    return (real * (1 + 0.7j) if y.is_complex() else real).to(y.dtype).reshape(y.shape)


def _in_transform() -> bool:
    """Whether a torch.func transform (grad, vmap, jvp, …) or torch's forward mode is running.

    There a tensor may be followed without requiring grad, and torch's plain autograd is closed to us.
    """
    return torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0


# -- one call of f -----------------------------------------------------------------------------------------------------


class _Call:
    """One call of f: lifts the leaves, records, and gives results back in the form of what was put in.

    places[i] is the number among the recorded inputs of leaf i, slots[k] that of output k among the recorded outputs;
    None where there is no derivative. ``keep``: results belong to a graph outside and have to stay in it.
    """

    def __init__(self, backend: TorchBackend, call: Callable, leaves: list):
        self.backend, self.leaves = backend, leaves
        self.face = backend.adtype.face != "native"
        self.covers = False  # covers: native leaves are put behind the face, too
        self.captured = False  # f met a tensor of a graph that is not ours
        n = len(leaves)
        self.integers: list = [None] * n
        in_transform, watched = _in_transform(), torch.is_grad_enabled()
        connected: list = []
        self.ordinary = self.face and watched and not in_transform and backend.is_ordinary(leaves)
        block = _open_block(n)
        self.start = start = block[0]
        before, shared = SELECTIONS.enter(start), SHARED.enter(self.ordinary)
        try:
            if self.ordinary:
                self.native = self.arrays = [False] * n
                self.places: list = list(range(n))
                variables = [own_variable(leaf) for leaf in leaves]
                self.record: Any = _Graph(variables)
                lifted = [TorchArray(v, 1 << (start + i))._given_as(leaves[i]) for i, v in enumerate(variables)]
                self.record.outputs, others = self._called(call, lifted)
            else:
                self.native = [isinstance(leaf, Tensor) for leaf in leaves]
                self.covers = any(self.native) and wants_numpy(backend.adtype.face, call)
                self.arrays = [isinstance(leaf, Array) for leaf in leaves]
                self.places = []
                with _recording():
                    values, connected = self._entering(in_transform, watched)
                    if in_transform and values:
                        self.record = _Transform(values)
                    else:  # a leaf of an outer graph goes on in it, any other one starts a graph of its own
                        values = [
                            v.view_as(v) if outer else v.requires_grad_()
                            for v, outer in zip(values, connected, strict=True)
                        ]
                        self.record = _Graph(values, any(self.native) or not self.face)
                    others = self.record.run(lambda variables: self._run(call, variables))
        finally:
            _close_block(block)
            selecting = SELECTIONS.leave(before)
            read = SHARED.leave(shared)
        self.record.read = read
        if others or not self.ordinary:
            self._settle(others)
        # The recorded inputs that were compared with one another.
        self.selecting = {place for i, place in enumerate(self.places) if selecting >> i & 1} if selecting else set()
        self.outer = 0
        for y in self.outputs:
            self.outer |= self._outer(y)
        beginning_elsewhere = watched and (self.captured or any(self.native) or not self.face)
        self.keep = (
            in_transform
            or any(connected)
            or bool(self.outer)
            or (beginning_elsewhere and _belongs_outside(self.record.outputs, self.record.inputs))
        )
        if self.keep:
            _enclose()

    # -- in ------------------------------------------------------------------------------------------------------

    def _entering(self, in_transform: bool, watched: bool) -> tuple[list, list]:
        """The tensors behind the leaves, and which of them go on in a graph outside of this call."""
        values, connected = [], []
        for i, leaf in enumerate(self.leaves):
            value = self._value(leaf, i)
            self.places.append(None if value is None else len(values))
            if value is not None:
                outer = in_transform or (watched and self._outside(leaf))
                foreign = isinstance(leaf, (Array, Tensor))
                values.append(value.detach().clone() if foreign and not outer else value)
                connected.append(outer)
        return values, connected

    def _value(self, leaf: Any, i: int) -> Tensor | None:
        """The tensor behind a leaf, in a floating dtype, where it is to live."""
        if isinstance(leaf, Array):
            if not isinstance(leaf, TorchArray):
                raise UnsupportedError(
                    f"argument {i} belongs to an outer derivative of another backend ({type(leaf).__name__}): use the "
                    "same adtype inside and outside, or adselect.differentiate_with(f, AutoTorch())"
                )
            value, self.integers[i] = leaf._primal, leaf.integer
            if value.dtype not in _INEXACT:
                self.integers[i] = leaf._as_index()
        elif isinstance(leaf, Tensor):
            value = leaf
            if value.dtype is torch.bool:
                return None
        else:
            array = np.asarray(float(leaf) if isa(leaf, Fraction) else leaf)
            if array.dtype.kind in "iu":
                self.integers[i] = array.astype(np.int64) if array.ndim else int(array)
            value = from_numpy(array)
        value = value if value.dtype in _INEXACT else value.to(torch.float64)
        return value if self.backend.adtype.device is None else value.to(self.backend.adtype.device)

    @staticmethod
    def _outside(leaf: Any) -> bool:
        """Whether a leaf belongs to a graph that goes on outside of this call.

        A module's parameter does not: it is what one differentiates with respect to, where graphs begin.
        """
        tensor = leaf._primal if isinstance(leaf, TorchArray) else leaf
        return isinstance(tensor, Tensor) and tensor.requires_grad and not isinstance(tensor, torch.nn.Parameter)

    def _lift(self, variables: list, i: int) -> Any:
        """What f sees of leaf i."""
        place, leaf = self.places[i], self.leaves[i]
        if place is None:
            return _to_numpy(leaf) if self.covers and isinstance(leaf, Tensor) else leaf
        if (self.native[i] and not self.covers) or (not self.face and not self.arrays[i]):
            return variables[place]
        if self.native[i] and leaf.dtype not in _INEXACT and not _in_transform():
            self.integers[i] = _to_numpy(leaf)
        deps = 1 << (self.start + i)
        deps = deps | leaf.deps if self.arrays[i] else deps
        return TorchArray(variables[place], deps, self.integers[i])._given_as(leaf)

    def _run(self, call: Callable, variables: list) -> tuple[list, list]:
        """Call f; gives the tensors to differentiate, and all others that came out."""
        try:
            return self._guarded(call, variables)
        except Exception as error:
            auto = self.backend.adtype.face == "auto" and any(self.native) and not self.covers
            if not auto or not is_numpy_code(error):
                raise
            first = error

        def behind() -> tuple[list, list]:
            self.covers = True
            return self._guarded(call, variables)

        return call_again(call, first, behind, ("TorchArray", "torch.as_tensor"))

    def _guarded(self, call: Callable, variables: list) -> tuple[list, list]:
        lifted = [self._lift(variables, i) for i in range(len(self.leaves))]
        with _Guard(self.face) if any(isinstance(x, Tensor) for x in lifted) else _AS_IT_IS:
            return self._called(call, lifted)

    def _called(self, call: Callable, lifted: list) -> tuple[list, list]:
        calls = _LOCAL.__dict__.setdefault("calls", [])
        calls.append(self)
        try:
            outputs, aux = call(lifted)
        finally:
            calls.pop()
        self.slots: list = [0]
        if len(outputs) == 1 and not aux and type(outputs[0]) is TorchArray and outputs[0]._primal.dtype in _INEXACT:
            self.outputs, self.aux = outputs, aux
            return [outputs[0]._primal], []
        self.outputs, self.aux = [absorb(y) for y in outputs], [absorb(y) for y in aux]
        _refuse_foreign([*self.outputs, *self.aux])
        tensors, others = [], []
        self.slots = []
        for y in self.outputs:
            value = _tensor_of(y)
            live = value is not None and value.dtype in _INEXACT
            self.slots.append(len(tensors) if live else None)
            if live:
                tensors.append(value)
            elif value is not None:
                others.append(value)
        others.extend([_tensor_of(y) for y in self.aux if _tensor_of(y) is not None])
        return tensors, others

    def _settle(self, others: list) -> None:
        """Put the tensors as they are after recording (outside a transform's own level) in their places."""
        rest = iter(others)
        for k, y in enumerate(self.outputs):
            if _tensor_of(y) is not None:
                slot = self.slots[k]
                self.outputs[k] = _with_tensor(y, next(rest) if slot is None else self.record.outputs[slot])
        self.aux = [y if _tensor_of(y) is None else _with_tensor(y, next(rest)) for y in self.aux]

    # -- out -----------------------------------------------------------------------------------------------------

    def _outer(self, y: Any) -> int:
        """The bits of derivatives around this one that a result may depend on."""
        if isinstance(y, TorchArray):
            return y.deps & ~(((1 << len(self.leaves)) - 1) << self.start)
        deps = 0
        if isinstance(y, Tensor):  # what a native tensor depends on was not followed
            for leaf in self.leaves:
                deps |= leaf.deps if isinstance(leaf, TorchArray) else 0
        return deps

    def _numpy_results(self) -> bool:
        """Whether f was given torch's own tensors for NumPy arguments (``face="native"``)."""
        return not self.face and not any(self.native)

    def results(self) -> tuple[list, list]:
        """Outputs and auxiliary outputs, out of the graph unless they have to stay."""
        aux = [y.integer if isinstance(y, TorchArray) and y.integer is not None else self._result(y) for y in self.aux]
        return [self._result(y) for y in self.outputs], aux

    def _result(self, y: Any) -> Any:
        value = _tensor_of(y)
        if value is None:
            return y
        if (self.keep or (isinstance(y, TorchArray) and self._outer(y))) and _watched(value):
            deps = self._outer(y)
            return TorchArray(value, deps) if deps or (any(self.arrays) and not isinstance(y, Tensor)) else value
        if not self.covers and (isinstance(y, TorchArray) or self._numpy_results()):
            return _to_numpy(value)
        return value.detach() if value.requires_grad and not isinstance(value, torch.nn.Parameter) else value

    def _linear(self, value: Any, deps: int, native: bool, keep: bool, device: Any = None) -> Any:
        """A cotangent or tangent in the form of the value it belongs to."""
        if value is None:
            return None
        if device is not None and value.device != device:
            value = value.to(device)
        if value._is_zerotensor():  # torch's stand-in for zeros, which few operations accept
            value = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
        if keep and _watched(value):
            return value if native or not (deps or any(self.arrays)) else TorchArray(value, deps)
        return value.detach() if native else _to_numpy(value)

    # -- the two linear maps -------------------------------------------------------------------------------------

    def back(self, y_bars: list) -> list:
        """One cotangent per leaf; see Backend.pullback."""
        if self.ordinary and not self.keep and self.slots == [0] and type(y_bars[0]) is float and y_bars[0] == 1.0:
            SHARED.check(self.record.read)
            grads = gradient_of(self.record.outputs[0], self.record.inputs, True, self.selecting)
            if grads is not None:
                return grads
        seeds, deps, record = self._entered(y_bars, self.slots, self.record.outputs)
        x_bars = self.record.pull(seeds, record)
        found: list = []
        for i, place in enumerate(self.places):
            x_bar = None if place is None else x_bars[place]
            if x_bar is None and place is not None and self._dependent(place):
                x_bar = torch.zeros_like(self.record.inputs[place])
            device = self.leaves[i].device if self.native[i] else None
            found.append(self._linear(x_bar, deps, self.native[i], record, device))
        return found

    def pushforwards(self, directions: list[list]) -> list[list]:
        """The tangents of the outputs, a list per direction; see Backend.pushforwards."""
        if not any(s is not None for s in self.slots):
            return [[None] * len(self.slots) for _ in directions]
        try:
            with _recording():
                push = self.record.transpose()
            return [self._push(push, x_dots) for x_dots in directions]
        except (RuntimeError, NotImplementedError):
            if self.keep:
                raise
            # Something in f has a first derivative only: the rows of the Jacobian ask for no more than that.
            return [self._push(self._push_rows, x_dots) for x_dots in directions]

    def _push(self, push: Callable, x_dots: list) -> list:
        tangents, deps, record = self._entered(x_dots, self.places, self.record.inputs)
        y_dots = push(tangents, record)
        given = {place for place, tangent in enumerate(tangents) if tangent is not None}
        found: list = []
        for y, slot in zip(self.outputs, self.slots, strict=True):
            y_dot = None if slot is None else y_dots[slot]
            if y_dot is None and slot is not None and given & (self.record.reached(slot) | self.selecting):
                y_dot = torch.zeros_like(self.record.outputs[slot])
            native = self.covers or (isinstance(y, Tensor) and not self._numpy_results())
            found.append(self._linear(y_dot, deps, native, record))
        return found

    def _push_rows(self, tangents: list, record: bool) -> list:
        """The pushforward from one pullback per entry of each output."""
        given = {place for place, tangent in enumerate(tangents) if tangent is not None}
        found: list = []
        for slot, y in enumerate(self.record.outputs):
            if not given & self.record.reached(slot):
                found.append(None)
                continue
            parts = []
            for unit in (1, 1j) if y.is_complex() else (1,):
                entries = [self._row(slot, n, unit, tangents, record) for n in range(y.numel())]
                parts.append(torch.stack(entries).reshape(y.shape) if entries else torch.zeros_like(y.real))
            found.append(torch.complex(*parts) if len(parts) == 2 else parts[0])
        return found

    def _row(self, slot: int, n: int, unit: Any, tangents: list, record: bool) -> Tensor:
        """Entry n of output slot along the tangents: ⟨its gradient, tangents⟩."""
        y = self.record.outputs[slot]
        seed = torch.zeros(y.numel(), dtype=y.dtype, device=y.device)
        seed[n] = unit
        seeds: list = [None] * len(self.record.outputs)
        seeds[slot] = seed.reshape(y.shape)
        total = torch.zeros((), dtype=y.real.dtype, device=y.device)
        for x_bar, x_dot in zip(self.record.pull(seeds, record), tangents, strict=True):
            if x_bar is not None and x_dot is not None:
                total = total + torch.sum(x_bar.conj() * x_dot).real
        return total

    def _entered(self, values: list, slots: list, tensors: list) -> tuple[list, int, bool]:
        """Seeds or tangents on their tensors, the outer derivatives they belong to, and whether anyone is watching."""
        entered: list = [None] * len(tensors)
        deps, watched = self.outer, self.keep
        for value, slot in zip(values, slots, strict=True):
            if value is None or slot is None:
                continue
            value = absorb(value)
            if isinstance(value, TorchArray):
                deps |= value.deps
            entered[slot] = _fitted(value, tensors[slot])
            watched = watched or (torch.is_grad_enabled() and entered[slot].requires_grad)
        return entered, deps, watched

    def _dependent(self, place: int) -> bool:
        return place in self.selecting or any(
            place in self.record.reached(slot) for slot in range(len(self.record.outputs))
        )


def _refuse_foreign(results: list) -> None:
    """Refuse results of another backend's outer derivative in which values of this one are hidden."""
    for y in results:
        inner = y
        while isinstance(inner, Array) and not isinstance(inner, TorchArray) and not hasattr(inner, "program"):
            inner = inner._primal
        if inner is not y and isinstance(inner, TorchArray) and not inner._closed:
            raise UnsupportedError(
                f"f, differentiated by AutoTorch at {user_line()}, mixes its argument with a {type(y).__name__} it has "
                "captured from an outer derivative of another backend, which torch cannot follow. Use the same adtype "
                "inside and outside, AutoTape() inside, or adselect.differentiate_with"
            )


def _tensor_of(y: Any) -> Tensor | None:
    value = y._primal if isinstance(y, TorchArray) else y
    return value if isinstance(value, Tensor) else None


def _with_tensor(y: Any, value: Tensor) -> Any:
    """y around another tensor: the same object for a TorchArray, so that what captured it sees the change."""
    if isinstance(y, TorchArray):
        y._primal = value
        return y
    return value


def _watched(tensor: Tensor) -> bool:
    """Whether a tensor is still being followed by something outside."""
    if tensor.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return True
    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None


def _fitted(value: Any, like: Tensor) -> Tensor:
    """A seed as a tensor of the shape, dtype and device of the value it belongs to."""
    value = value._primal if isinstance(value, TorchArray) else value
    if type(value) is float and not like.ndim:
        return torch.full((), value, dtype=like.dtype, device=like.device)
    tensor = value if isinstance(value, Tensor) else from_numpy(value)
    tensor = tensor if tensor.device == like.device else tensor.to(like.device)
    if tensor.is_complex() and not like.is_complex():
        tensor = torch.real(tensor)
    tensor = tensor if tensor.dtype is like.dtype else tensor.to(like.dtype)
    if tensor.shape == like.shape:
        return tensor
    return tensor.reshape(like.shape) if tensor.numel() == like.numel() else tensor.expand(like.shape)


# -- the backend -------------------------------------------------------------------------------------------------------


class TorchBackend(Backend):
    """Reverse mode by torch's autograd, forward mode as the transpose of it.

    Whether a result depends on a leaf is read off the autograd graph, for native torch code too. Results of native
    leaves that require grad stay differentiable in the caller's own torch code; a module's parameters are leaves
    whose results do not.
    """

    reverse = True
    forward = True
    detects_independence = True

    def __init__(self, adtype: Any):
        super().__init__(adtype)
        check_face(adtype.face)
        if adtype.device is not None:
            try:
                torch.empty(0, device=adtype.device)
            except (RuntimeError, AssertionError, NotImplementedError) as error:
                said = str(error).strip().partition("\n")[0]
                raise ADSelectValueError(
                    f"{adtype!r}: torch cannot compute on device={str(adtype.device)!r} here ({said}). Leave device= "
                    "out for the processor, or take a device that torch finds on this machine"
                ) from error

    def pullback(self, call: Callable, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        recorded = _Call(self, call, leaves)
        outputs, aux = recorded.results()
        return outputs, aux, recorded.back

    def pushforwards(self, call: Callable, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        recorded = _Call(self, call, leaves)
        outputs, aux = recorded.results()
        return outputs, recorded.pushforwards(directions), aux

    def is_ordinary(self, leaves: list) -> bool:
        """Whether leaves are floats and arrays of floats, to be computed with in main memory."""
        return (
            self.adtype.device is None
            and all([type(x) is float or (type(x) is np.ndarray and x.dtype in _SAME) for x in leaves])
            and not torch.is_inference_mode_enabled()
        )

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        """A shorter way for many calls, or None where there is none."""
        from .prepared import prepare_gradient

        return prepare_gradient(self, operator, f, args, options)

    def explain(self, exception: BaseException) -> str | None:
        """The sentence to add to an error that another face would cure, else None.

        >>> from adselect import AutoTorch
        >>> error = AttributeError("'TorchArray' object has no attribute 'unsqueeze'")
        >>> TorchBackend(AutoTorch()).explain(error)[:51]
        'f uses torch itself: AutoTorch(face="native") hands'
        """
        if self.adtype.face == "native":
            return NUMPY_CURE.format("AutoTorch") if is_numpy_code(exception) else None
        if not isinstance(exception, (AttributeError, TypeError, RuntimeError)):
            return None
        text = str(exception)
        if isinstance(exception, AbsentAttributeError):
            cured = True  # torch.tensor([x[0]]) asks for the length of a traced number
        elif isinstance(exception, AttributeError):
            name = exception.name or text.rpartition("attribute '")[2].rstrip("'")
            cured = "TorchArray" in text and hasattr(Tensor, name)
        elif isinstance(exception, TracedValueError):
            cured = _passed_through_torch(exception) or text.startswith("__dlpack__")
        else:
            cured = "TorchArray" in text
        return _CURE if cured else None


_CURE = 'f uses torch itself: AutoTorch(face="native") hands it torch tensors, and results still come back as NumPy.'


def _passed_through_torch(exception: BaseException) -> bool:
    """Whether a refused conversion was asked for by torch's own Python code."""
    traceback = exception.__traceback__ if isinstance(exception, TracedValueError) else None
    while traceback is not None:
        if (traceback.tb_frame.f_globals.get("__name__") or "").partition(".")[0] == "torch":
            return True
        traceback = traceback.tb_next
    return False
