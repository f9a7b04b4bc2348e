"""What a scenario is: an operator, a function, its arguments and the exact result; and families of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..calls.operator_facts import OPERATORS, OperatorFacts
from ..operators.prepare import prepare
from ..structure.flattening import map_leaves
from ..structure.leaves import Const
from ..values.kinds import isa

__all__ = ["Scenario", "closurify", "constantify"]


@dataclass(frozen=True)
class Scenario:
    """A function, a point, an operator, and the exact result of the operator there.

    name: unique within its list; operator: name of one of adselect's operators; f: the function, in plain NumPy; args:
    its arguments; expected: the operator's exact result (for ``pullback`` what ``back(seed)`` returns, for
    ``pushforward`` the tangent of the result); tangents: directions for ``pushforward`` and ``hvp``, one per argument;
    seed: cotangent for ``pullback``; kwargs: keyword arguments of f; tags: what is special about it (``"complex"``,
    ``"kink"``, ``"float32"``, …); rtol: its own tolerance, None for the usual one.

    >>> cube = Scenario("cube", "derivative", lambda t: t**3, (2.0,), 12.0)
    >>> import adselect as ad
    >>> cube.run(ad.AutoForward())
    12.0
    """

    name: str
    operator: str
    f: Callable
    args: tuple
    expected: Any
    tangents: tuple | None = None
    seed: Any = None
    kwargs: dict = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    rtol: float | None = None

    @property
    def order(self) -> int:
        """The order of the derivative: 1 or 2."""
        return self._facts.order

    @property
    def _facts(self) -> OperatorFacts:
        return OPERATORS[self.operator].facts  # type: ignore[attr-defined]

    def run(self, adtype: ADType) -> Any:
        """The operator's result with this adtype, to be compared with ``expected``."""
        call = OPERATORS[self.operator]
        return self._derivative(call(self.f, adtype, *self._operands(self.args), **self.kwargs))

    def _operands(self, args: tuple) -> tuple:
        """What follows f in a call of the operator at args."""
        if self._facts.takes == "points, directions":
            return args, self.tangents
        if self._facts.takes == "point, direction":
            return args[0], (self.tangents or (None,))[0]
        return args

    def _derivative(self, result: Any) -> Any:
        """What is compared with ``expected`` of the operator's result."""
        derivative = result[-1] if self._facts.with_value else result
        return derivative(self.seed) if self._facts.returns_function else derivative

    def prepare(self, adtype: ADType) -> Callable[[], Any]:
        """The operator prepared at another point: a function whose calls give the result at ``args``.

        >>> import adselect as ad
        >>> Scenario("cube", "gradient", lambda t: t**3, (2.0,), (12.0,)).prepare(ad.AutoTape())()
        (12.0,)
        """
        elsewhere = tuple([a if isinstance(a, Const) else map_leaves(_beside, a) for a in self.args])
        ready = prepare(OPERATORS[self.operator], self.f, adtype, *self._operands(elsewhere), **self.kwargs)
        return lambda: self._derivative(ready(*self._operands(self.args)))

    def __repr__(self) -> str:
        return f"<Scenario {self.name}: {self.operator}>"


def _beside(x: Any) -> Any:
    """A point a little beside x, of the same kind; integers stay, they may be sizes and powers."""
    if isa(x, (int, np.integer)) or getattr(x, "dtype", np.dtype(float)).kind in "iu":
        return x
    beside = 1.01 * x + 0.003
    return np.asarray(beside, dtype=x.dtype) if isa(x, np.ndarray) else type(x)(beside)


# -- variants: the same mathematics reached another way --------------------------------------------------------------


class _Remembering:
    """f as a callable object that keeps what it saw last and scales its result by 7."""

    def __init__(self, f: Callable):
        self.f, self.seen = f, {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        y = self.f(*args, **kwargs)
        self.seen["args"], self.seen["y"] = args, y
        return 7.0 * y


def closurify(scenario: Scenario) -> Scenario:
    """The scenario with f as an object that stores its traced arguments and multiplies by 7.

    >>> import adselect as ad
    >>> closurify(Scenario("square", "derivative", lambda t: t**2, (3.0,), 6.0)).run(ad.AutoTape())
    42.0
    """
    return replace(
        scenario,
        name=f"{scenario.name}, closure",
        f=_Remembering(scenario.f),
        expected=_scaled(scenario.expected, 7.0),
        tags=scenario.tags | {"closure"},
    )


def constantify(scenario: Scenario) -> Scenario:
    """The scenario as ``f(x, scale=3)``, the factor being a keyword argument that is not differentiated.

    >>> import adselect as ad
    >>> constantify(Scenario("square", "derivative", lambda t: t**2, (3.0,), 6.0)).run(ad.AutoTape())
    18.0
    """
    f = scenario.f
    return replace(
        scenario,
        name=f"{scenario.name}, constant",
        f=lambda *args, scale, **kwargs: scale * f(*args, **kwargs),
        kwargs={**scenario.kwargs, "scale": 3.0},
        expected=_scaled(scenario.expected, 3.0),
        tags=scenario.tags | {"constant"},
    )


def _scaled(result: Any, factor: float) -> Any:
    if isinstance(result, tuple):
        return tuple([_scaled(r, factor) for r in result])
    return None if result is None else factor * result


# -- families: one function, every operator that applies -------------------------------------------------------------


def _direction(x: Any) -> Any:
    """A tangent without symmetry, in x's shape, dtype and kind."""
    if isa(x, float):
        return 3.14
    steps = np.arange(1, x.size + 1) * np.where(np.arange(x.size) % 3 == 1, -0.5, 0.75)
    if x.dtype.kind == "c":
        steps = steps * (1 - 0.5j)
    return steps.reshape(x.shape).astype(x.dtype)


def _cotangent(y: Any) -> Any:
    if isa(y, float) or np.ndim(y) == 0:
        return np.asarray(y).dtype.type(-1 / 12).item()
    steps = np.arange(-y.size + 1, y.size, 2) + 0.25
    return steps.reshape(y.shape).astype(y.dtype)


def map_scenarios(name: str, f: Callable, x: Any, matrix: Any, **more: Any) -> list[Scenario]:
    """An array-valued f of one argument with Jacobian ``matrix`` (one row per output entry)."""
    matrix = np.asarray(matrix)
    y = f(x)
    x_dot, y_bar = _direction(x), _cotangent(y)
    flat_dot, flat_bar = np.reshape(x_dot, -1), np.reshape(y_bar, -1)
    y_dot = np.reshape(matrix @ flat_dot, np.shape(y))
    x_bar = np.reshape(np.conj(matrix).T @ flat_bar, np.shape(x))
    return [
        Scenario(f"{name} pushforward", "pushforward", f, (x,), _as(y_dot, y), tangents=(x_dot,), **more),
        Scenario(f"{name} pullback", "pullback", f, (x,), (_as(x_bar, x),), seed=y_bar, **more),
        Scenario(
            f"{name} jacobian",
            "jacobian",
            f,
            (x,),
            (_as(matrix[:, 0] if isa(x, float) else matrix, x, False),),
            **more,
        ),
    ]


def loss(name: str, f: Callable, x: Any, slope: Any, curvature: Any = None, **more: Any) -> list[Scenario]:
    """A scalar f of one argument with gradient ``slope`` and Hessian matrix ``curvature``."""
    slope, x_dot, y_bar = np.asarray(slope), _direction(x), -1 / 12
    y_dot = np.sum(slope * x_dot)
    found = [
        Scenario(f"{name} gradient", "gradient", f, (x,), (_as(slope, x),), **more),
        Scenario(f"{name} pullback", "pullback", f, (x,), (_as(slope * y_bar, x),), seed=y_bar, **more),
        Scenario(f"{name} pushforward", "pushforward", f, (x,), _as(y_dot, f(x)), tangents=(x_dot,), **more),
    ]
    if curvature is not None:
        matrix = np.asarray(curvature)
        n = np.size(x)
        square = _as(matrix, x, False) if np.ndim(x) else float(matrix)
        product = np.reshape(np.reshape(matrix, (n, n)) @ np.reshape(x_dot, -1), np.shape(x))
        diagonal = np.reshape(np.diagonal(np.reshape(matrix, (n, n))), np.shape(x))
        found += [
            Scenario(f"{name} hessian", "hessian", f, (x,), square, **more),
            Scenario(f"{name} hessian_reverse", "hessian_reverse", f, (x,), square, **more),
            Scenario(f"{name} hvp", "hvp", f, (x,), _as(product, x), tangents=(x_dot,), **more),
            Scenario(f"{name} diaghessian", "diaghessian", f, (x,), (_as(diagonal, x),), **more),
        ]
    return found


def curve(name: str, f: Callable, t: float, first: Any, second: Any, **more: Any) -> list[Scenario]:
    """A number- or array-valued f of a number with its first two derivatives."""
    first, second = np.asarray(first), np.asarray(second)
    y = f(t)
    y_bar = _cotangent(y)
    like = 1.0 if np.ndim(y) == 0 else y
    return [
        Scenario(f"{name} derivative", "derivative", f, (t,), _as(first, like), **more),
        Scenario(f"{name} second_derivative", "second_derivative", f, (t,), _as(second, like), **more),
        Scenario(f"{name} pushforward", "pushforward", f, (t,), _as(3.14 * first, y), tangents=(3.14,), **more),
        Scenario(f"{name} pullback", "pullback", f, (t,), (float(np.sum(y_bar * first)),), seed=y_bar, **more),
        Scenario(f"{name} jacobian", "jacobian", f, (t,), (first.reshape(-1),), **more),
    ]


def _as(value: Any, like: Any, reshape: bool = True) -> Any:
    """value in the dtype and kind of ``like``: a Python number for a Python number."""
    if isa(like, (float, complex)) and not isa(like, np.generic) and np.ndim(value) == 0:
        return type(like)(value)
    dtype = np.asarray(like).dtype
    array = np.asarray(value).astype(dtype if dtype.kind in "fc" else float)
    return array if array.shape or isa(like, np.ndarray) else array[()]


def tag(*tags: str) -> frozenset[str]:
    return frozenset(tags)


# -- the core list ---------------------------------------------------------------------------------------------------

X6 = np.arange(1.0, 7.0)
X23 = X6.reshape(2, 3)
T = 0.42
