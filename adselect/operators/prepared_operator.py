"""What a prepared operator is: the arguments it was made for, held against those of each call; what it travels as."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..backends.choice import backend_of
from ..backends.matrices import is_complex
from ..calls.fixed import parts
from ..calls.in_progress import IN_PROGRESS
from ..calls.operator_facts import OPERATORS, facts_of
from ..calls.results import check_missing_option, write_out
from ..errors import ADSelectTypeError, PreparationMismatchError, user_line
from ..face.array import Array
from ..face.dispatch import is_traced
from ..primitives.primitive import REGISTRATIONS
from ..structure.flattening import Skeleton, flatten
from ..structure.leaves import Const, is_leaf, is_tracer
from ..structure.opening import settings_of
from ..structure.params import Params
from ..values.kinds import isa
from ..values.natives import framework_of, is_native
from .choosing import IMPLICIT, check_missing, refuse_out
from .finiteness import by_argument, require_finite
from .implicit import finished, implicit_function
from .travelling import lossless, require_picklable

__all__ = ["Prepared", "PreparedAtParams", "bare"]


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

    def converted(self, leaves: list, args: tuple) -> tuple[list, str]:
        """The leaves in the kinds and dtypes prepared for, and in words what cannot be had without changing a value."""
        others, skeleton = flatten(args)
        if len(leaves) != len(self.leaves) or _places(skeleton) != _places(self.skeleton):
            return [], self.mismatch(leaves, args)
        found = []
        for leaf, prepared, path in zip(others, self.leaves, skeleton.paths, strict=True):
            value, refused = lossless(leaf, prepared)
            if refused:
                return [], f"{path} is {_show(leaf)}, prepared for {_show(prepared)}: {refused}"
            found.append(value)
        return found, ""

    def mismatch(self, leaves: list, args: tuple) -> str:
        """What differs, in words."""
        _, skeleton = flatten(args)
        for i, (leaf, prepared) in enumerate(zip(leaves, self.leaves, strict=False)):
            now, then = _show(leaf), _show(prepared)
            if now != then:
                return f"{skeleton.paths[i]} is {now}, prepared for {then}"
        return f"the structure is {_describe(args)}, prepared for {self.description}"


def _places(skeleton: Skeleton) -> tuple:
    """Where the leaves of arguments stand, () where each argument is one."""
    structure = parts(skeleton)[0]
    return () if all(place == "leaf" for place in structure) else structure


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

    seen: dict[int, int] = {}  # what was looked into, by identity: each object once, also where many refer to it

    def picture(value: Any) -> Any:
        if isinstance(value, Const):
            value = value.value
            return ("const", _show(value)) if isa(value, np.ndarray) else ("const", type(value).__name__)
        if is_leaf(value) or isa(value, (np.ndarray, Array)) or is_native(value):
            return "·"
        if isa(value, (str, bytes, bool, type(None))):
            return value
        if isinstance(value, tuple):
            return (type(value).__name__, tuple([picture(v) for v in value]))
        if id(value) in seen:
            return ("↺", seen[id(value)])
        seen[id(value)] = len(seen)
        if isinstance(value, list):
            return (type(value).__name__, tuple([picture(v) for v in value]))
        if isinstance(value, dict):
            return ("dict", tuple([(k, picture(v)) for k, v in value.items()]))
        settings = None if callable(value) else settings_of(value)
        if settings is not None:
            return (type(value).__name__, tuple([(k, picture(v)) for k, v in settings.items()]))
        return type(value).__name__

    return tuple([picture(a) for a in args])


class _State:
    """What was prepared, replaced as a whole: a call that is running goes on with the one it began with."""

    __slots__ = ("any_constant", "constant", "is_complex", "registrations", "run", "signature")

    def __init__(self, args: tuple, run: Callable[..., Any], registrations: int):
        self.signature, self.run, self.registrations = _Signature(bare(args)), run, registrations
        self.constant = [type(a) if isinstance(a, Const) else None for a in args]
        self.any_constant = any(self.constant)
        self.is_complex = any(map(is_complex, self.signature.leaves))


class Prepared:
    """What :func:`prepare` returns: call it with new arguments. ``source(prepared)`` shows what is replayed.

    ``prepared(*args, out=arrays)`` writes the result into arrays, ``missing=``, ``check=`` and ``check_finite=`` are
    those of the operator. It can be copied, pickled and sent to other processes, where it is prepared anew in its first
    call.
    """

    def __init__(
        self, operator: Callable, f: Callable, adtype: ADType, args: tuple, options: dict, strict: str, check: str
    ):
        options = dict(options)
        self.operator, self.f, self.adtype = operator, f, adtype
        self._out = options.pop("out", None)
        self._looks = {name: options.pop(name) for name in ("check", "check_finite") if name in options}
        self.options = options
        self.strict, self.check = strict, check
        self._refuse(self._out)
        self._begin(args)
        self._prepare(args)

    def _refuse(self, out: Any) -> None:
        refuse_out(self.operator, out)

    def _begin(self, args: tuple) -> None:
        self._args = args  # the arguments that were prepared for, for copies
        self._lock = threading.RLock()
        self._state: _State | None = None
        self._quick: Callable[[tuple], Any] | None = None
        self._others: dict[Any, Prepared] = {}  # the same with another missing=, or with the value of f

    def _prepare(self, args: tuple) -> _State:
        registrations = REGISTRATIONS[0]
        backend = backend_of(self.adtype)
        IN_PROGRESS.preparing += 1
        try:
            run = backend.prepare(self.operator, self.f, args, self.options, self.check)
        finally:
            IN_PROGRESS.preparing -= 1
        state = _State(args, run if run is not None else self._plainly, registrations)
        quick = getattr(run, "quick", None)
        self._state, self._args = state, args
        # The short way writes into no out=.
        self._quick = quick() if quick is not None and self._out is None and not self._looks else None
        return state

    def _prepared(self) -> _State:
        """The state, made now for a copy that has not been called yet."""
        with self._lock:
            return self._state or self._prepare(self._args)

    @property
    def _run(self) -> Callable[..., Any]:
        return (self._state or self._prepared()).run

    def _plainly(self, leaves: list, args: tuple, fixed: tuple = ()) -> Any:
        return self.operator(self.f, self.adtype, *args, **self.options)

    def __call__(self, /, *args: Any, **options: Any) -> Any:
        """The operator's result at args; ``out=`` receives it, ``missing=`` is that of the operator."""
        if self._quick is not None and not options:
            result = self._quick(args)
            if result is not NotImplemented:
                return result
        if options or self._out is not None or self._looks:
            return self._received(args, options)
        return self._result(args)

    def lend(self, args: tuple, take: Callable[[Any], Any]) -> Any:
        """``take(result)`` for a receiver that keeps nothing of the result: its memory may be that of the next one."""
        return take(self._received(args, {})) if self._looks else self._result(args, take)

    def _result(self, args: tuple, take: Callable[[Any], Any] | None = None) -> Any:
        state = self._state or self._prepared()
        plain_args = args
        if state.any_constant:
            plain_args = bare(args)
            args = self._wrapped(state, plain_args)
        if state.registrations != REGISTRATIONS[0]:  # a derivative rule was added: what was made may be out of date
            with self._lock:
                state = self._prepare(args)
        signature = state.signature
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
                result = self._plainly(leaves, args)
                return result if take is None else take(result)
            state, args, leaves = self._mismatch(state, args, plain_args, leaves)
        run = state.run
        if take is not None:
            lend = getattr(run, "lend", None)
            return take(run(leaves, args, fixed)) if lend is None else lend(leaves, args, fixed, take)
        result = run(leaves, args, fixed)
        # A compiled program has NaN where f is not holomorphic; the eager call says so.
        if state.is_complex and _has_nan(result):
            return self._plainly(leaves, args)
        is_old = getattr(run, "is_old", None)
        if is_old is not None and self._out is None and not self._looks and is_old(self._quick):  # traced anew
            self._quick = run.quick()  # type: ignore[attr-defined]
        return result

    def _received(self, args: tuple, options: dict) -> Any:
        """A call with options of its own."""
        name = getattr(self.operator, "__name__", "operator")
        out, missing = options.pop("out", self._out), options.pop("missing", None)
        looks = {k: options.pop(k) for k in ("check", "check_finite") if k in options and not isa(options[k], str)}
        looks = {k: v for k, v in {**self._looks, **looks}.items() if v is not False}
        if options:
            given = ", ".join(f"{k}=" for k in options)
            raise ADSelectTypeError(
                f"the prepared {name} was called with {given} ({user_line()}); keyword arguments of f, the adtype and "
                f"the like are fixed in prepare(…, {given}…). Prepare with them, or make what changes a positional "
                "argument of f, Const(value) where it is not differentiated."
            )
        self._refuse(out)
        missing = self.options.get("missing", "none") if missing is None else missing
        facts = facts_of(self.operator)
        if looks and facts is not None and facts.returns_function:
            options = {**self.options, "missing": missing, **looks}
            return self.operator(self.f, self.adtype, *self._given(args), **options)
        if "check" in looks:
            self.operator(self.f, self.adtype, *self._given(args), **self.options, check=looks["check"])
        # The value of f is looked at as well, where an operator gives it besides.
        operator = OPERATORS.get(f"with{name}", self.operator) if "check_finite" in looks else self.operator
        same = operator is self.operator and missing == self.options.get("missing", "none")
        result = (self if same else self._like(operator, missing, args))._result(args)
        if "check_finite" in looks:
            whole = facts_of(operator)
            value = _loss(result[0]) if whole is not None and whole.with_value else None
            found = by_argument(result if value is None else result[-1])
            require_finite(looks["check_finite"], name, self.f, self._given(args), self.options, value, found)
            result = result if operator is self.operator else result[-1]
        if out is None:
            return result
        if getattr(type(result), "_fields", ()) == ("val", "grad"):
            return result._replace(grad=write_out(name, out, result.grad))
        return write_out(name, out, result)

    def _like(self, operator: Callable, missing: str, args: tuple) -> Prepared:
        """The same prepared with another ``missing=``, or with the operator that gives the value of f too; once."""
        with self._lock:
            key = (operator, missing)
            if key not in self._others:
                options = {**self.options, "missing": missing}
                args = self._given(args)
                self._others[key] = Prepared(operator, self.f, self.adtype, args, options, self.strict, self.check)
            return self._others[key]

    def _given(self, args: tuple) -> tuple:
        return self._wrapped(self._state or self._prepared(), bare(args))

    def _wrapped(self, state: _State, args: tuple) -> tuple:
        """The arguments with Const where preparation had it."""
        return tuple([a if kind is None else kind(a) for a, kind in zip(args, state.constant, strict=False)])

    def _mismatch(self, state: _State, args: tuple, plain_args: tuple, leaves: list) -> tuple[_State, tuple, list]:
        what = state.signature.mismatch(leaves, plain_args)
        if self.strict == "retrace":
            with self._lock:
                return self._prepare(args), args, leaves
        if self.strict == "convert":
            converted, refused = state.signature.converted(leaves, plain_args)
            if not refused:
                rebuilt = tuple(flatten(plain_args)[1].rebuild(converted))
                return state, self._wrapped(state, rebuilt), converted
            what = refused
        raise PreparationMismatchError(
            f"{getattr(self.operator, '__name__', 'operator')} was prepared for other arguments ({user_line()}): "
            f"{what}. Prepare again, or pass strict='convert' (dtype and kind, where no value changes) or "
            "strict='retrace' to prepare."
        )

    @property
    def reason(self) -> str:
        """Why calls are not replayed, "" where they are or where another backend has its own way."""
        reason = getattr(self._run, "reason", None)
        if reason is None:
            return backend_of(self.adtype).why_plain(self.operator)
        return reason

    def __repr__(self) -> str:
        name = getattr(self.operator, "__name__", self.operator)
        f = getattr(self.f, "__qualname__", self.f)
        text = f"prepare({name}, {f}, {self.adtype!r}, …)"
        if self._state is None:  # a copy that has not been called yet
            return text
        compiled = getattr(self._run, "native_reason", "")
        if self.reason:
            return f"{text} [not replayed: {self.reason}]"
        return f"{text} [replayed with NumPy, not compiled: {compiled}]" if compiled else text

    # -- copies ----------------------------------------------------------------------------------------------------

    def _recipe(self) -> dict[str, Any]:
        """What a copy is made from."""
        return {
            "operator": self.operator,
            "f": self.f,
            "adtype": self.adtype,
            "options": self.options,
            "_looks": self._looks,
            "strict": self.strict,
            "check": self.check,
            "_out": self._out,
            "_args": self._args,
        }

    def __getstate__(self) -> dict[str, Any]:
        recipe = self._recipe()
        require_picklable(self, getattr(self.operator, "__name__", "operator"), self.f, recipe)
        return recipe

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin(self._args)

    def __copy__(self) -> Prepared:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._lock, new._others = threading.RLock(), {}
        return new

    def __deepcopy__(self, memo: dict) -> Prepared:
        new = memo[id(self)] = object.__new__(type(self))
        try:
            recipe = {name: copy.deepcopy(value, memo) for name, value in self._recipe().items()}
        except TypeError as error:
            raise ADSelectTypeError(
                f"{self!r} cannot be copied deeply ({user_line()}), since its function or an argument cannot: {error}. "
                "copy.copy shares them"
            ) from error
        new.__setstate__(recipe)
        return new


class PreparedAtParams(Prepared):
    """What :func:`prepare` returns for Params: called with the same Params, or with nothing, it gives Grads.

    The values of the parameters are read in each call; they may have been written to in place since the last one.
    """

    def __init__(
        self, operator: Callable, f: Callable, adtype: ADType, args: tuple, options: dict, strict: str, check: str
    ):
        name, out = getattr(operator, "__name__", "operator"), options.pop("out", None)
        if name not in IMPLICIT:
            raise ADSelectTypeError(
                f"{name} takes no Params ({user_line()}); {', '.join(IMPLICIT)} do. Make the arrays arguments of f"
            )
        self._missing = options.pop("missing", "none")
        _check_missing(operator, self._missing)
        function = implicit_function(name, f, args, options)
        self._given_out = out
        try:
            options = {"missing": _inner(self._missing)}
            super().__init__(operator, function, adtype, tuple(function.params), options, strict, check)
        finally:
            function.settle()
        self._refuse(out)

    def __call__(self, /, *args: Any, **options: Any) -> Any:
        """The operator's result as Grads; ``out=`` and ``missing=`` as in :class:`Prepared`."""
        function: Any = self.f
        params = function.params
        if args != () and not (len(args) == 1 and type(args[0]) is Params and args[0] == params):
            raise PreparationMismatchError(
                f"{self.operator.__name__} was prepared for the parameters {params!r} and called with others "
                f"({user_line()}): f computes with the arrays it was prepared with. Write into these (W -= …) and call "
                "it with the same Params, or with nothing; prepare again for other arrays"
            )
        out = options.pop("out", self._given_out)
        self._refuse(out)
        missing = options.pop("missing", self._missing)
        _check_missing(self.operator, missing)
        if _inner(missing) != _inner(self._missing):
            options["missing"] = _inner(missing)
        function.find_anew()
        try:
            result = super().__call__(*params, **options)
        finally:
            function.settle()
        return finished(self.operator, params, result, missing, out)

    def _recipe(self) -> dict[str, Any]:
        return {**super()._recipe(), "_missing": self._missing, "_given_out": self._given_out}


def _inner(missing: str) -> str:
    """What the operator on arrays is asked for: which parameter is missing is said here, by its place in the Params."""
    return "none" if missing == "error" else missing


def _check_missing(operator: Callable, missing: Any) -> None:
    facts = facts_of(operator)
    if facts is None or facts.projected:
        check_missing_option(missing)
    else:
        check_missing(operator.__name__, missing)


def _has_nan(result: Any) -> bool:
    leaves = [leaf for leaf in flatten((result,))[0] if isa(leaf, (np.ndarray, np.generic, complex))]
    return any([np.any(np.isnan(leaf)) for leaf in leaves])


def _loss(value: Any) -> Any:
    """The first entry of a value that comes with auxiliary output."""
    if isinstance(value, (tuple, dict)) and value:
        return next(iter(value.values())) if isinstance(value, dict) else value[0]
    return value
