"""prepare: an operator made ready for many calls with arguments of one structure, shape and dtype."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..array import Array, is_traced
from ..backends.base import backend_of
from ..errors import ADSelectError, ADSelectTypeError, ADSelectValueError, PreparationMismatchError, user_line
from ..fixed import parts
from ..kinds import isa
from ..rules.primitives import REGISTRATIONS
from ..structure import Const, flatten, framework_of, is_native, is_tracer
from .calling import take_adtype

__all__ = ["Prepared", "prepare", "source"]


def prepare(
    operator: Callable,
    f: Callable,
    /,
    *args: Any,
    strict: str = "error",
    check: str = "sometimes",
    **kwargs: Any,
) -> Prepared:
    """``prepare(operator, f, [adtype,] *args)``: a callable with the operator's result for other arguments like these.

    operator is any operator of adselect (``gradient``, ``withgradient``, ``jacobian``, ``hessian``, …); args are
    typical arguments: their structure, shapes and dtypes count, not their values. What can be done once is done here:
    AutoTape traces the operator's whole computation and replays it as straight-line NumPy with reused buffers, AutoJax
    compiles it, finite differences keep their stencils. Options of the operator (``missing=``, ``out=``) and keyword
    arguments of f are fixed here.

    The contract is that of ``jax.jit``: f is pure, and what it captures is frozen here. That is watched: another
    branch, another slice, mask, flag or function among the arguments, and new contents of a captured array are traced
    when they first come up; a captured name that was rebound is an error that names it.

    strict: what to do with arguments of another structure, shape or dtype: ``"error"``, ``"convert"`` (to the dtype and
    kind prepared for) or ``"retrace"``. check: ``"sometimes"`` (the first replay and then at doubling intervals),
    ``"always"`` or ``"never"`` compares a replay with the eager result and raises ADSelectValueError on a difference.

    Raises PreparationMismatchError for arguments that do not fit. The callable may be used from several threads.

    >>> import numpy as np, adselect as ad
    >>> g = prepare(ad.gradient, lambda x: np.sum(x**3), ad.AutoTape(), np.zeros(2))
    >>> g(np.array([1.0, 2.0]))
    (array([ 3., 12.]),)
    """
    if not callable(operator) or not callable(f):
        raise ADSelectTypeError("prepare takes an operator and a function: write prepare(gradient, f, adtype, *args)")
    if strict not in ("error", "convert", "retrace"):
        raise ADSelectValueError(f"strict must be 'error', 'convert' or 'retrace', not {strict!r}")
    if check not in ("sometimes", "always", "never"):
        raise ADSelectValueError(f"check must be 'sometimes', 'always' or 'never', not {check!r}")
    adtype, args = take_adtype("prepare", args)
    return Prepared(operator, f, adtype, args, kwargs, strict, check)


def bare(args: tuple) -> tuple:
    """The arguments without Const around them."""
    return tuple([a.value if isinstance(a, Const) else a for a in args])


class _Signature:
    """Structure, shapes and dtypes that were prepared for."""

    __slots__ = ("checks", "description", "fixed", "leaves", "simple", "skeleton", "structure")

    def __init__(self, args: tuple):
        self.leaves, self.skeleton = flatten(args)
        self.simple = self.skeleton.simple
        self.structure, self.fixed = parts(self.skeleton)
        self.checks = [_check_of(leaf) for leaf in self.leaves]
        self.description = _describe(args)

    def fits(self, leaves: list, structure: tuple) -> bool:
        """Whether leaves have the kinds, shapes and dtypes prepared for, and stand where they stood."""
        if len(leaves) != len(self.checks) or structure != self.structure:
            return False
        for leaf, (kind, shape, dtype) in zip(leaves, self.checks):  # noqa: B905 - looked at above; strict= takes time
            if type(leaf) is not kind:
                return False
            if kind is np.ndarray:
                if leaf.shape != shape or (leaf.dtype is not dtype and leaf.dtype != dtype):
                    return False
            elif shape is not None and (tuple(leaf.shape) != shape or str(leaf.dtype) != dtype):
                return False
        return True

    def mismatch(self, leaves: list, args: tuple) -> str:
        """What differs, in words."""
        _, skeleton = flatten(args)
        for i, (leaf, prepared) in enumerate(zip(leaves, self.leaves, strict=False)):
            now, then = _show(leaf), _show(prepared)
            if now != then:
                return f"{skeleton.paths[i]} is {now}, prepared for {then}"
        return f"the structure is {_describe(args)}, prepared for {self.description}"


def _check_of(leaf: Any) -> tuple:
    if type(leaf) is np.ndarray:
        return np.ndarray, leaf.shape, leaf.dtype
    if hasattr(leaf, "shape"):
        return type(leaf), tuple(leaf.shape), str(leaf.dtype)
    return type(leaf), None, None


def _show(leaf: Any) -> str:
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        kind = framework_of(leaf) or "numpy"
        return f"{leaf.dtype} of shape {tuple(leaf.shape)}" + ("" if kind == "numpy" else f" ({kind})")
    return type(leaf).__name__


def _describe(args: tuple) -> Any:
    """A comparable picture of the structure; leaves show as a dot, other values by themselves where they compare."""

    def picture(value: Any, seen: tuple) -> Any:
        if isinstance(value, Const):
            value = value.value
            return ("const", _show(value)) if isa(value, np.ndarray) else ("const", type(value).__name__)
        if isa(value, (np.ndarray, Array)) or is_native(value):
            return "·"
        if isa(value, (int, float, complex)) and not isa(value, bool):
            return "·"
        if isa(value, (str, bytes, bool, type(None))):
            return value
        if id(value) in seen:
            return "↺"
        seen = (*seen, id(value))
        if isinstance(value, (tuple, list)):
            return (type(value).__name__, tuple(picture(v, seen) for v in value))
        if isinstance(value, dict):
            return ("dict", tuple((k, picture(v, seen)) for k, v in value.items()))
        if hasattr(value, "__dict__") and not callable(value):
            return (type(value).__name__, tuple((k, picture(v, seen)) for k, v in vars(value).items()))
        return type(value).__name__

    return tuple(picture(a, ()) for a in args)


class Prepared:
    """What :func:`prepare` returns: call it with new arguments. ``source(prepared)`` shows what is replayed."""

    def __init__(
        self, operator: Callable, f: Callable, adtype: ADType, args: tuple, options: dict, strict: str, check: str
    ):
        self.operator, self.f, self.adtype, self.options = operator, f, adtype, options
        self.strict, self.check = strict, check
        self._lock = threading.Lock()
        self._prepare(args)

    def _prepare(self, args: tuple) -> None:
        self._registrations = REGISTRATIONS[0]
        backend = backend_of(self.adtype)
        # backend.prepare returns a callable (leaves, args, fixed) -> result; leaves are those of all arguments, also
        # Const, and fixed is what stands at the other places.
        maker = getattr(backend, "prepare", None)
        run = maker(self.operator, self.f, args, self.options, self.check) if maker is not None else None
        self._signature = _Signature(bare(args))
        self._run = run if run is not None else self._plainly
        self._constant = [isinstance(a, Const) for a in args]
        self._any_constant = any(self._constant)
        quick = getattr(run, "quick", None)
        self._quick = quick() if quick is not None else None

    def _plainly(self, leaves: list, args: tuple, fixed: tuple = ()) -> Any:
        return self.operator(self.f, self.adtype, *args, **self.options)

    def __call__(self, *args: Any) -> Any:
        """The operator's result at args."""
        if self._quick is not None:
            result = self._quick(args)
            if result is not NotImplemented:
                return result
        plain_args = args
        if self._any_constant:
            plain_args = bare(args)
            args = self._wrapped(plain_args)
        if self._registrations != REGISTRATIONS[0]:  # a derivative rule was added: what was compiled may be out of date
            with self._lock:
                self._prepare(args)
        signature = self._signature
        # Arguments that are leaves themselves need no flattening.
        if signature.simple:
            leaves, structure, fixed = list(plain_args), (), ()
        else:
            leaves, skeleton = flatten(plain_args)
            structure, fixed = parts(skeleton)
        if not signature.fits(leaves, structure):
            leaves, skeleton = flatten(plain_args)
            fixed = parts(skeleton)[1]
            # Inside another derivative the eager way is always right.
            if any(is_traced(leaf) or is_tracer(leaf) for leaf in leaves):
                return self._plainly(leaves, args)
            args, leaves = self._mismatch(args, plain_args, leaves)
        result = self._run(leaves, args, fixed)
        if getattr(self._run, "quick_is_old", False):  # traced anew: the short way is another one
            self._quick = self._run.quick()
        return result

    def _wrapped(self, args: tuple) -> tuple:
        """The arguments with Const where preparation had it."""
        return tuple([Const(a) if c else a for a, c in zip(args, self._constant, strict=False)])

    def _mismatch(self, args: tuple, plain_args: tuple, leaves: list) -> tuple[tuple, list]:
        what = self._signature.mismatch(leaves, plain_args)
        if self.strict == "retrace":
            with self._lock:
                self._prepare(args)
            return args, leaves
        if self.strict == "convert":
            converted = self._converted(leaves)
            if converted is not None:
                rebuilt = tuple(flatten(plain_args)[1].rebuild(converted))
                return self._wrapped(rebuilt), converted
        raise PreparationMismatchError(
            f"{getattr(self.operator, '__name__', 'operator')} was prepared for other arguments ({user_line()}): "
            f"{what}. Prepare again, or pass strict='convert' (dtype and kind) or strict='retrace' to prepare."
        )

    def _converted(self, leaves: list) -> list | None:
        if len(leaves) != len(self._signature.leaves):
            return None
        out = []
        for leaf, prepared in zip(leaves, self._signature.leaves, strict=True):
            shape = tuple(prepared.shape) if hasattr(prepared, "shape") else ()
            if tuple(getattr(leaf, "shape", ())) != shape:
                return None
            from ..structure import project

            out.append(project(leaf, prepared) if not isa(prepared, (int, np.integer)) else type(prepared)(leaf))
        return out

    def __repr__(self) -> str:
        name = getattr(self.operator, "__name__", self.operator)
        f = getattr(self.f, "__qualname__", self.f)
        return f"prepare({name}, {f}, {self.adtype!r}, …)"


def source(prepared: Prepared) -> str:
    """The generated adjoint of a prepared operator as readable Python: what is replayed, constants folded.

    Comments name the user's line each part comes from. Raises ADSelectError when nothing is replayed (another backend,
    or a computation that has to stay eager; the message says why).

    >>> import adselect as ad
    >>> print(source(ad.prepare(ad.gradient, lambda x: 5 * x + 3, 1.0)))
    def gradient(x):
        return 5.0
    """
    run = getattr(prepared._run, "source", None)
    if run is None:
        raise ADSelectError(f"{prepared!r} replays nothing: only AutoTape(replay=True) writes source")
    return run()
