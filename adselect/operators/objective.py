"""Objective: a function with its derivatives as an optimiser or a solver asks for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..backends.choice import backend_of
from ..calls.fixed import parts
from ..calls.flat import StructuredCall
from ..calls.operator_facts import OperatorFacts
from ..calls.seeds import plain_number
from ..calls.settling import settle_captured
from ..errors import ADSelectTypeError, ADSelectValueError, user_line
from ..face.dispatch import is_traced
from ..structure.flattening import flatten
from ..structure.leaves import Const, is_leaf, is_tracer
from ..structure.projection import project
from .choosing import check_function, take_adtype
from .gradient import gradient, withgradient
from .hessian import hessian, hvp
from .jacobian import jacobian, withjacobian
from .prepare import Prepared, prepare

__all__ = ["Objective"]

_MOST = 32  # structures of arguments that stay prepared for one derivative


class Objective:
    """``Objective(f, [adtype,] **options)``: f and its derivatives with respect to one argument, for optimisers.

    ``value(x)``, ``gradient(x)``, ``value_and_gradient(x)``, ``jacobian(x)``, ``value_and_jacobian(x)``,
    ``hessian(x)``, ``hvp(x, v)``: the results of these operators without the tuple around them, shaped like x. Further
    arguments of f are given in the call, ``gradient(x, a)``, and are not differentiated. ``weighted_hessian(x, w)`` is
    the Hessian of ``w·f(x)``, what SciPy asks of a constraint. So it can be handed to scipy.optimize as it is:
    ``minimize(o.value_and_gradient, x0, jac=True, hessp=o.hvp)``, ``least_squares(o.value, x0, jac=o.jacobian)``.

    wrt: the place of the argument that is differentiated, 0 by default; with ``wrt=1`` the methods take f's arguments
    in f's order, ``jacobian(t, y)``, and v stands right behind the one that is differentiated. prepared: whether a
    derivative is prepared at its first call for each structure, shape and dtype of the arguments; then f has to be
    pure, as :func:`prepare` says, and False calls the operators as they are. check_finite: raise NonFiniteError where a
    result has a NaN or Inf. Other keyword arguments go to f. Where f does not depend on x the derivative is zeros.

    A copy and a pickle have f, the choice and the options, and prepare anew; several threads may call one object.
    Raises what the operators raise: NotScalarError from ``gradient`` where f returns an array, whose derivative is
    ``jacobian``. Cost: that of the prepared operator, and a microsecond or two to find it.

    >>> import numpy as np
    >>> o = Objective(lambda x, a: np.sum((x - a) ** 2))
    >>> o.value_and_gradient(np.array([1.0, 3.0]), 1.0)
    (np.float64(4.0), array([0., 4.]))
    >>> o.hvp(np.array([1.0, 3.0]), np.array([1.0, 0.0]), 1.0)
    array([2., 0.])

    Source: the arguments fun, jac, hess and hessp of scipy.optimize.minimize.
    """

    def __init__(
        self,
        f: Callable,
        /,
        *args: Any,
        adtype: ADType | None = None,
        wrt: int = 0,
        prepared: bool = True,
        check_finite: bool = False,
        **kwargs: Any,
    ):
        check_function("Objective", f)
        adtype, rest = take_adtype("Objective", args, adtype)
        if rest:
            raise ADSelectTypeError(
                f"Objective takes a function and an adtype ({user_line()}), got {len(rest)} arguments more: arguments "
                "of f are given in the call, o.gradient(x, a), or by keyword, Objective(f, adtype, a=a)"
            )
        if type(wrt) is not int or wrt < 0:
            raise ADSelectValueError(f"wrt is the place of one argument of f, 0 for the first, not {wrt!r}")
        for name in {"out", "check", "missing"} & kwargs.keys():
            raise ADSelectTypeError(
                f"Objective takes no {name}= ({user_line()}); give it to the operators, gradient(f, x, {name}=…)"
            )
        self.f, self.adtype, self.wrt, self.prepared = f, adtype, wrt, prepared
        self.check_finite, self.kwargs = check_finite, kwargs
        self._begin()

    def _begin(self) -> None:
        self._ready: dict[tuple, Prepared] = {}
        self._lock = threading.Lock()
        self._moved = self.f if self.wrt == 0 else _Moved(self.f, self.wrt)
        self._weighted = _Weighted(self._moved)
        # A framework's own code computes in the framework, where plain arrays may be refused or lose digits.
        self._plain = not hasattr(self.adtype, "face")

    # -- what is asked for ---------------------------------------------------------------------------------------------

    def __call__(self, *args: Any) -> Any:
        """f at args: the same as :meth:`value`."""
        return self.value(*args)

    def value(self, *args: Any) -> Any:
        """f at args, as f returns it."""
        if not self._plain and not _inside(args):
            return _scalar(self._run(_value, self.f, self._given("value", args)))
        return self.f(*[a.value if isinstance(a, Const) else a for a in args], **self.kwargs)

    def gradient(self, *args: Any) -> Any:
        """``∂f/∂x`` of a real number f(x), shaped like x. NotScalarError where f(x) is an array: use jacobian."""
        args = self._given("gradient", args)
        return self._filled(self._run(gradient, self.f, args), args)

    def value_and_gradient(self, *args: Any) -> tuple[Any, Any]:
        """``(f(x), ∂f/∂x)`` from one evaluation of f."""
        args = self._given("value_and_gradient", args)
        value, grads = self._run(withgradient, self.f, args)
        return _scalar(value), self._filled(grads, args)

    def jacobian(self, *args: Any) -> Any:
        """The matrix ``J[k, i] = ∂f(x)[k]/∂x[i]``."""
        return self._run(jacobian, self.f, self._given("jacobian", args))[self.wrt]

    def value_and_jacobian(self, *args: Any) -> tuple[Any, Any]:
        """``(f(x), J)`` from the same evaluations of f."""
        value, matrices = self._run(withjacobian, self.f, self._given("value_and_jacobian", args))
        return _scalar(value), matrices[self.wrt]

    def hessian(self, *args: Any) -> Any:
        """The matrix ``H[i, j] = ∂²f/∂x[i]∂x[j]`` of a real number f(x)."""
        return self._run(hessian, self.f, self._given("hessian", args))

    def hvp(self, *args: Any) -> Any:
        """``hvp(x, v, *more)``: the product ``H v``, shaped like x. v stands behind the argument that x is."""
        x, v, more = self._pair("hvp", args)
        return self._run(hvp, self._moved, (x, v, *more))

    def weighted_hessian(self, *args: Any) -> Any:
        """``weighted_hessian(x, w, *more)``: the matrix ``Σ_k w[k] ∂²f(x)[k]/∂x[i]∂x[j]``, the Hessian of ``w·f``.

        What ``scipy.optimize.NonlinearConstraint`` calls ``hess(x, v)``. w has one entry for each of f(x).
        """
        x, w, more = self._pair("weighted_hessian", args)
        return self._run(hessian, self._weighted, (x, Const(w), *more))

    # -- how it is found -----------------------------------------------------------------------------------------------

    def _given(self, name: str, args: tuple) -> tuple:
        """The arguments of f, all but one as constants."""
        if len(args) <= self.wrt:
            raise ADSelectTypeError(
                f"Objective.{name} was called with {len(args)} arguments ({user_line()}); it differentiates the one at "
                f"place {self.wrt} (wrt={self.wrt}) and takes f's arguments in f's order"
            )
        return tuple([a if k == self.wrt else Const(_bare(a)) for k, a in enumerate(args)])

    def _pair(self, name: str, args: tuple) -> tuple[Any, Any, tuple]:
        """x, what stands behind it, and the other arguments as constants."""
        if len(args) < self.wrt + 2:
            raise ADSelectTypeError(
                f"Objective.{name} was called with {len(args)} arguments ({user_line()}); it takes f's arguments in "
                f"f's order and a vector right behind the one at place {self.wrt}"
            )
        more = (*args[: self.wrt], *args[self.wrt + 2 :])
        return args[self.wrt], args[self.wrt + 1], tuple([Const(_bare(a)) for a in more])

    def _run(self, operator: Callable, f: Callable, args: tuple) -> Any:
        """The operator's result, from what was prepared for such arguments."""
        options = dict(self.kwargs)
        if operator is not _value:
            options.update({"check_finite": True} if self.check_finite else {})
        if operator in (gradient, withgradient) and not is_leaf(args[self.wrt]):
            options["missing"] = "zeros"
        if not self.prepared or _inside(args):
            return operator(f, self.adtype, *args, **options)
        key = (operator, *[_kind(a) for a in args])
        ready = self._ready.get(key)
        if ready is None:
            ready = prepare(operator, f, self.adtype, *args, **options)
            with self._lock:
                while len(self._ready) >= _MOST:
                    self._ready.pop(next(iter(self._ready)))
                ready = self._ready.setdefault(key, ready)
        return ready(*args)

    def _filled(self, grads: tuple, args: tuple) -> Any:
        """The gradient of x, zeros where f does not depend on it."""
        grad = grads[self.wrt]
        if grad is not None:
            return grad
        x = args[self.wrt]
        return project(np.zeros(np.shape(x)), x) if is_leaf(x) else None

    def __repr__(self) -> str:
        name = getattr(self.f, "__qualname__", None) or repr(self.f)
        return f"Objective({name}, {self.adtype!r}{f', wrt={self.wrt}' if self.wrt else ''})"

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()


class _Moved:
    """f with the argument at place wrt moved to the front."""

    def __init__(self, f: Callable, wrt: int):
        self.f, self.wrt = f, wrt

    def __call__(self, x: Any, *more: Any, **kwargs: Any) -> Any:
        return self.f(*more[: self.wrt], x, *more[self.wrt :], **kwargs)


class _Weighted:
    """``w·f(x)``: a sum of the entries of f(x) with weights that are given behind x."""

    def __init__(self, f: Callable):
        self.f = f

    def __call__(self, x: Any, w: Any, *more: Any, **kwargs: Any) -> Any:
        y = self.f(x, *more, **kwargs)
        return ((y.reshape(-1) if hasattr(y, "reshape") else y) * w).sum()


def _value(f: Callable, adtype: ADType, *args: Any, **kwargs: Any) -> Any:
    """f at args as the backend computes it, whatever f returns."""
    backend = backend_of(adtype)
    leaves, skeleton = flatten(args)
    call = StructuredCall(f, skeleton, kwargs, backend)
    outputs = backend.pullback(call, leaves)[0]
    settle_captured(f)
    return call.structure.rebuild([plain_number(y, leaves) for y in outputs])[0]


_value.facts = OperatorFacts()  # type: ignore[attr-defined]


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, Const) else value


def _scalar(value: Any) -> Any:
    """A number for an array of no dimension."""
    return value[()] if type(value) is np.ndarray and not value.shape else value


def _kind(value: Any) -> Any:
    """What another value has to have in common with this one to be given to the same prepared operator."""
    if isinstance(value, Const):
        return (Const, _kind(value.value))
    kind = type(value)
    if kind is np.ndarray:
        return (value.shape, value.dtype)
    if kind is float:
        return kind
    leaves, skeleton = flatten((value,))
    places = () if skeleton.simple else parts(skeleton)[0]
    return (places, *[(type(v), tuple(getattr(v, "shape", ())), str(getattr(v, "dtype", ""))) for v in leaves])


def _inside(args: tuple) -> bool:
    """Whether a derivative is being taken around this call."""
    for value in args:
        value = _bare(value)
        if type(value) is not float and not (type(value) is np.ndarray and value.dtype != object):
            if any([is_traced(leaf) or is_tracer(leaf) for leaf in flatten((value,))[0]]):
                return True
    return False
