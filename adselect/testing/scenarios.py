"""Scenarios: functions with exactly known derivatives, one per operator and trap.

The core list follows DifferentiationInterfaceTest.jl (in row-major form); the rest adds what it leaves out:
broadcasting, reductions along axes, linear algebra, indexing, control flow, structured arguments, other dtypes and
ranks, lopsided Jacobians, complex numbers and kinks. Every expected result is a formula, computed by no backend.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..operators.gradient import gradient, pullback
from ..operators.hessian import diaghessian, hessian, hessian_reverse, hvp
from ..operators.jacobian import jacobian
from ..operators.prepare import prepare
from ..operators.pushforward import derivative, pushforward, second_derivative
from ..structure.flattening import map_leaves
from ..structure.leaves import Const
from ..values.kinds import isa
from ..values.tangents import Tangent

__all__ = ["Scenario", "closurify", "constantify", "default_scenarios"]

_PLAIN_CALL = {
    o.__name__: o for o in (gradient, derivative, second_derivative, jacobian, hessian, hessian_reverse, diaghessian)
}
SECOND_ORDER = frozenset({"second_derivative", "hessian", "hessian_reverse", "diaghessian", "hvp"})


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
        return 2 if self.operator in SECOND_ORDER else 1

    def run(self, adtype: ADType) -> Any:
        """The operator's result with this adtype, to be compared with ``expected``."""
        if self.operator == "pullback":
            return pullback(self.f, adtype, *self.args, **self.kwargs)[1](self.seed)
        if self.operator == "pushforward":
            return pushforward(self.f, adtype, self.args, self.tangents, **self.kwargs)[1]
        if self.operator == "hvp":
            return hvp(self.f, adtype, self.args[0], (self.tangents or (None,))[0], **self.kwargs)
        return _PLAIN_CALL[self.operator](self.f, adtype, *self.args, **self.kwargs)

    def prepare(self, adtype: ADType) -> Callable[[], Any]:
        """The operator prepared at another point: a function whose calls give the result at ``args``.

        >>> import adselect as ad
        >>> Scenario("cube", "gradient", lambda t: t**3, (2.0,), (12.0,)).prepare(ad.AutoTape())()
        (12.0,)
        """
        args, tangents, kwargs = self.args, self.tangents, self.kwargs
        elsewhere = tuple([a if isinstance(a, Const) else map_leaves(_beside, a) for a in args])
        if self.operator == "pullback":
            ready = prepare(pullback, self.f, adtype, *elsewhere, **kwargs)
            return lambda: ready(*args)[1](self.seed)
        if self.operator == "pushforward":
            ready = prepare(pushforward, self.f, adtype, elsewhere, tangents, **kwargs)
            return lambda: ready(args, tangents)[1]
        if self.operator == "hvp":
            direction = (tangents or (None,))[0]
            ready = prepare(hvp, self.f, adtype, elsewhere[0], direction, **kwargs)
            return lambda: ready(args[0], direction)
        ready = prepare(_PLAIN_CALL[self.operator], self.f, adtype, *elsewhere, **kwargs)
        return lambda: ready(*args)

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


def _map(name: str, f: Callable, x: Any, matrix: Any, **more: Any) -> list[Scenario]:
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


def _loss(name: str, f: Callable, x: Any, slope: Any, curvature: Any = None, **more: Any) -> list[Scenario]:
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


def _curve(name: str, f: Callable, t: float, first: Any, second: Any, **more: Any) -> list[Scenario]:
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


def _tag(*tags: str) -> frozenset[str]:
    return frozenset(tags)


# -- the core list ---------------------------------------------------------------------------------------------------

X6 = np.arange(1.0, 7.0)
X23 = X6.reshape(2, 3)
T = 0.42


def _two_sines(t: Any) -> Any:
    return np.stack([np.sin(t), np.sin(2 * t)])


def _two_columns(t: Any) -> Any:
    return np.stack([_two_sines(t), _two_sines(3 * t)], axis=1)


def _power_products(x: Any) -> Any:
    """Σᵢⱼ xᵢ⁴ xⱼ⁶ as an outer product."""
    return np.sum(np.outer(x.reshape(-1) ** 4, x.reshape(-1) ** 6)) * 1e-6


def _power_products_by_loop(x: Any) -> Any:
    flat = x.reshape(-1)
    total = 0.0
    for i in range(flat.size):
        for j in range(flat.size):
            total = total + flat[i] ** 4 * flat[j] ** 6
    return total * 1e-6


def _power_slope(x: np.ndarray) -> np.ndarray:
    return (4 * x**3 * np.sum(x**6) + 6 * x**5 * np.sum(x**4)) * 1e-6


def _power_curvature(x: np.ndarray) -> np.ndarray:
    x = x.reshape(-1)
    cross = np.outer(x**3, x**5)
    diagonal = 12 * x**2 * np.sum(x**6) + 30 * x**4 * np.sum(x**4)
    return (24 * (cross + cross.T) + np.diag(diagonal)) * 1e-6


def _interleaved(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Rows of two matrices in turn: the Jacobian of two columns, flattened row by row."""
    return np.stack([top, bottom], axis=1).reshape(-1, top.shape[1])


def _core() -> list[Scenario]:
    x1 = np.array([T])
    sines = np.array([np.cos(T), 2 * np.cos(2 * T)]), np.array([-np.sin(T), -4 * np.sin(2 * T)])
    tripled = np.array([np.cos(3 * T), 2 * np.cos(6 * T)]), np.array([-np.sin(3 * T), -4 * np.sin(6 * T)])
    cos, sin = np.diag(np.cos(X6)), np.diag(-np.sin(X6))
    return [
        *_curve("num_to_num", np.sin, T, np.cos(T), -np.sin(T)),
        *_map("onevec_to_onevec", np.sin, x1, [[np.cos(T)]]),
        *_curve("num_to_vec", _two_sines, T, *sines),
        *_curve(
            "num_to_mat",
            _two_columns,
            T,
            np.stack([sines[0], 3 * tripled[0]], axis=1),
            np.stack([sines[1], 9 * tripled[1]], axis=1),
        ),
        *_loss("vec_to_num", _power_products, X6, _power_slope(X6), _power_curvature(X6)),
        *_loss("mat_to_num", _power_products, X23, _power_slope(X23), _power_curvature(X23)),
        *_loss("vec_to_num by loop", _power_products_by_loop, X6, _power_slope(X6), _power_curvature(X6)),
        *_map("vec_to_vec", lambda x: np.concatenate([np.sin(x), np.cos(x)]), X6, np.vstack([cos, sin])),
        *_map("vec_to_mat", lambda x: np.stack([np.sin(x), np.cos(x)], axis=1), X6, _interleaved(cos, sin)),
        *_map(
            "mat_to_vec",
            lambda x: np.concatenate([np.sin(x).ravel(), np.cos(x).ravel()]),
            X23,
            np.vstack([cos, sin]),
        ),
        *_map(
            "mat_to_mat",
            lambda x: np.column_stack([np.sin(x).ravel(), np.cos(x).ravel()]),
            X23,
            _interleaved(cos, sin),
        ),
    ]


# -- shapes ----------------------------------------------------------------------------------------------------------


def _broadcasting() -> list[Scenario]:
    column, row = np.array([[1.0], [2.0], [3.0]]), np.array([0.5, -1.0, 2.0, 4.0])
    cube, pair = np.arange(1.0, 7.0).reshape(2, 1, 3), np.array([[1.0], [-2.0]])
    grid = np.arange(1.0, 13.0).reshape(3, 4)
    return [
        Scenario(
            "column against row",
            "gradient",
            lambda a, b: np.sum(grid * a * b + a / b),
            (column, row),
            (
                np.sum(grid * row + 1 / row, axis=1, keepdims=True),
                np.sum(grid * column - column / row**2, axis=0),
            ),
        ),
        Scenario(
            "number against matrix",
            "gradient",
            lambda s, x: np.sum(np.exp(s) * x + s * s),
            (0.5, grid),
            (float(np.exp(0.5) * grid.sum() + 12.0), np.full((3, 4), np.exp(0.5))),
        ),
        Scenario(
            "rank three against rank two",
            "gradient",
            lambda a, b: np.sum(a * b * b),
            (cube, pair),
            (np.full((2, 1, 3), 5.0), 2 * pair * cube.sum()),
        ),
        Scenario(
            "row against column, jacobians",
            "jacobian",
            lambda a, b: a * b,
            (np.array([[2.0], [3.0]]), np.array([5.0, 7.0])),
            (np.array([[5.0, 0], [7, 0], [0, 5], [0, 7]]), np.array([[2.0, 0], [0, 2], [3, 0], [0, 3]])),
        ),
        *_map("identity", lambda x: x, X6, np.eye(6)),
        *_map("broadcast_to", lambda x: np.broadcast_to(x, (3, 2)), np.array([1.0, 2.0]), np.tile(np.eye(2), (3, 1))),
        *_loss(
            "rank three reduced over two axes",
            lambda x: np.sum(np.sum(x, axis=(0, 2)) ** 2),
            np.arange(24.0).reshape(2, 3, 4) / 10,
            np.broadcast_to((2 * np.arange(24.0).reshape(2, 3, 4).sum(axis=(0, 2)) / 10)[None, :, None], (2, 3, 4)),
        ),
        *_map(
            "transpose",
            lambda x: np.transpose(x, (2, 0, 1)),
            np.arange(12.0).reshape(2, 2, 3),
            _moved((2, 0, 1), (2, 2, 3)),
        ),
        *_map(
            "wide: 40 to 2",
            lambda x: np.array([[1.0] * 40, list(range(40))]) @ (x * x),
            np.linspace(1, 2, 40),
            np.stack([2 * np.linspace(1, 2, 40), 2 * np.arange(40) * np.linspace(1, 2, 40)]),
        ),
        *_map(
            "tall: 2 to 40",
            lambda x: np.linspace(1, 2, 40) * x[0] * x[1],
            np.array([2.0, 3.0]),
            np.outer(np.linspace(1, 2, 40), [3.0, 2.0]),
        ),
        *_map("one to one, rank three", lambda x: x**3, np.full((1, 1, 1), 2.0), [[12.0]]),
        Scenario("zero-dimensional array", "gradient", lambda x: x * x, (np.array(3.0),), (np.array(6.0),)),
        Scenario(
            "zero-dimensional beside a vector",
            "gradient",
            lambda s, x: np.sum(s * x),
            (np.array(2.0), X6),
            (np.array(21.0), np.full(6, 2.0)),
        ),
        Scenario("empty gradient", "gradient", lambda x: np.sum(x**2), (np.zeros(0),), (np.zeros(0),)),
        Scenario("empty jacobian", "jacobian", lambda x: x**2, (np.zeros(0),), (np.zeros((0, 0)),)),
        Scenario(
            "empty matrix beside a number",
            "gradient",
            lambda x, s: np.sum(x * s) + s,
            (np.zeros((0, 3)), 2.0),
            (np.zeros((0, 3)), 1.0),
        ),
    ]


def _moved(axes: tuple, shape: tuple) -> np.ndarray:
    """The permutation matrix of a transpose."""
    n = int(np.prod(shape))
    return np.eye(n)[np.arange(n).reshape(shape).transpose(axes).ravel()]


def _reductions() -> list[Scenario]:
    x = np.array([[1.0, 2.5, -0.5], [4.0, 0.25, 3.0]])
    centred = x - x.mean(axis=1, keepdims=True)
    soft = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    weights = np.array([2.0, -3.0])
    others = x.prod(axis=1, keepdims=True) / x
    largest = np.array([[0, 1.0, 0], [1.0, 0, 0]])
    return [
        *_loss(
            "mean along an axis, squared",
            lambda x: np.sum(np.mean(x, axis=0, keepdims=True) ** 2),
            x,
            np.broadcast_to(x.mean(axis=0), (2, 3)),
            np.kron(np.ones((2, 2)), np.eye(3)) / 2,
        ),
        *_loss(
            "variance along an axis",
            lambda x: np.sum(weights * np.var(x, axis=1)),
            x,
            weights[:, None] * 2 * centred / 3,
        ),
        *_loss("standard deviation", np.std, x, (x - x.mean()) / 6 / x.std()),
        *_loss("log-sum-exp", lambda x: weights @ np.log(np.sum(np.exp(x), axis=1)), x, weights[:, None] * soft),
        *_loss("product along an axis", lambda x: np.sum(weights * np.prod(x, axis=1)), x, weights[:, None] * others),
        *_loss("maximum along an axis", lambda x: np.max(x, axis=1) @ weights, x, weights[:, None] * largest),
        *_loss("minimum and maximum", lambda x: np.max(x) - np.min(x), x, [[0, 0, -1.0], [1.0, 0, 0]]),
        *_map("cumulative sum", lambda x: np.cumsum(x, axis=1), x, np.kron(np.eye(2), np.tril(np.ones((3, 3))))),
        *_map("differences", lambda x: np.diff(x) ** 2, np.array([1.0, 3.0, 2.0]), [[-4.0, 4, 0], [0, 2, -2]]),
    ]


def _linear_algebra() -> list[Scenario]:
    a, b = np.array([[4.0, 1.0], [-2.0, 3.0]]), np.array([1.0, -2.0])
    solution, inverse = np.linalg.solve(a, b), np.linalg.inv(a)
    left = np.arange(1.0, 7.0).reshape(2, 3)
    right = np.array([[1.0, -1.0], [0.5, 2.0], [3.0, 0.0]])
    ones = np.ones((2, 2))
    weights = np.array([2.0, -1.0])
    adjoint = inverse.T @ weights
    stack = np.arange(12.0).reshape(2, 2, 3) / 5
    spd = np.array([[4.0, 1.0], [1.0, 3.0]])
    return [
        *_map("matrix times vector", lambda x: a @ x, b, a),
        *_loss("quadratic form", lambda x: x @ (a @ x) / 2, b, (a + a.T) @ b / 2, (a + a.T) / 2),
        Scenario(
            "matrix product", "gradient", lambda p, q: np.sum(p @ q), (left, right), (ones @ right.T, left.T @ ones)
        ),
        Scenario(
            "vector times matrix",
            "gradient",
            lambda v, m: np.sum((v @ m) ** 2),
            (b, left),
            (2 * left @ (b @ left), 2 * np.outer(b, b @ left)),
        ),
        Scenario(
            "stacked matrix product",
            "gradient",
            lambda p, q: np.sum(p @ q),
            (stack, right),
            (np.broadcast_to(right.sum(1), (2, 2, 3)), np.broadcast_to(stack.sum((0, 1))[:, None], (3, 2))),
        ),
        Scenario(
            "solve",
            "gradient",
            lambda m, v: weights @ np.linalg.solve(m, v),
            (a, b),
            (-np.outer(adjoint, solution), adjoint),
        ),
        *_loss("inverse", lambda m: np.sum(np.linalg.inv(m)), a, -inverse.T @ ones @ inverse.T),
        *_loss("determinant", np.linalg.det, a, np.linalg.det(a) * inverse.T, _det_curvature()),
        *_loss("log-determinant", lambda m: np.linalg.slogdet(m)[1], a, inverse.T),
        *_loss("trace of a product", lambda m: np.trace(m @ m), a, 2 * a.T),
        *_loss("norm", np.linalg.norm, b, b / np.sqrt(5.0), (np.eye(2) - np.outer(b, b) / 5) / np.sqrt(5.0)),
        *_loss(
            "log-determinant by cholesky",
            lambda m: 2 * np.sum(np.log(np.diagonal(np.linalg.cholesky((m + m.T) / 2)))),
            spd,
            np.linalg.inv(spd),
        ),
        Scenario(
            "einsum of three",
            "gradient",
            lambda p, q, v: np.sum(np.einsum("ij,jk,k->i", p, q, v)),
            (left, right, b),
            (np.broadcast_to(right @ b, (2, 3)), np.outer(left.sum(0), b), right.T @ left.sum(0)),
        ),
        Scenario(
            "einsum over a batch",
            "gradient",
            lambda p, q: np.sum(np.einsum("bij,bj->b", p, q)),
            (stack, left),
            (np.broadcast_to(left[:, None, :], (2, 2, 3)), stack.sum(1)),
        ),
        *_loss("einsum of a diagonal", lambda m: np.einsum("ii->", m) ** 2, a, 14 * np.eye(2)),
        *_loss("tensordot", lambda m: np.tensordot(m, m, axes=2), a, 2 * a, 2 * np.eye(4)),
        *_map("outer and kron", lambda v: np.kron(v, np.array([1.0, 2.0])), b, np.kron(np.eye(2), [[1.0], [2.0]])),
    ]


def _det_curvature() -> np.ndarray:
    return np.array([[0, 0, 0, 1.0], [0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0]])


# -- indexing, writing, control flow ---------------------------------------------------------------------------------


def _written(x: Any) -> Any:
    y = x * 1.0
    y[0] = x[1] * x[2]
    y[2:4] += x[0]
    y[[5, 4]] *= 2.0
    return y


def _written_jacobian(x: np.ndarray) -> np.ndarray:
    j = np.eye(6)
    j[0] = [0, x[2], x[1], 0, 0, 0]
    j[2, 0] = j[3, 0] = 1.0
    j[4, 4] = j[5, 5] = 2.0
    return j


def _written_through_a_view(x: Any) -> Any:
    y = x * 1.0
    y.reshape(2, 3)[1] = y[:3] * 10.0
    row = y[1:3]
    row *= x[0]
    return y


def _collected(x: Any) -> Any:
    y = np.zeros_like(x)
    for i in range(x.shape[0]):
        y[i] = x[i] ** 2 if i % 2 else x[i]
    return y


def _branch(x: Any) -> Any:
    return np.sum(x**2) if x[0] > 0 else np.sum(x**3)


def _newton_root(a: Any) -> Any:
    x = a
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
    return x


def _power_by_recursion(x: Any, n: int) -> Any:
    if n == 0:
        return 1.0
    half = _power_by_recursion(x, n // 2)
    return half * half * (x if n % 2 else 1.0)


def _indexing() -> list[Scenario]:
    mask = np.array([True, False, True, True, False, False])
    eye = np.eye(6)
    x = np.array([3.0, -1.0, 2.0, 5.0, 0.5, 4.0])
    through = eye.copy()
    through[3:6] = 10 * eye[:3]
    through[1] = x[0] * eye[1] + x[1] * eye[0]
    through[2] = x[0] * eye[2] + x[2] * eye[0]
    matrix = x.reshape(2, 3)
    write = _tag("write")
    branch = _tag("branch")
    return [
        *_map("slice", lambda x: x[1:5:2], x, eye[1:5:2]),
        *_map("reversed", lambda x: x[::-1], x, eye[::-1]),
        *_map("one entry", lambda x: x[2], x, eye[2:3]),
        *_map("repeated places", lambda x: x[[0, 0, 2, 0]], x, eye[[0, 0, 2, 0]]),
        *_map("mask", lambda x: x[mask] ** 2, x, 2 * (eye * x)[mask]),
        *_map("column", lambda x: x[:, 1], matrix, eye[[1, 4]]),
        *_map("pairs of places", lambda x: x[[0, 1, 1], [2, 0, 0]], matrix, eye[[2, 3, 3]]),
        *_map("new axes and ellipsis", lambda x: x[None, ..., 0], matrix, eye[[0, 3]]),
        *_map("take along an axis", lambda x: np.take(x, [2, 0, 2], axis=1), matrix, eye[[2, 0, 2, 5, 3, 5]]),
        *_map("sorted", np.sort, x, eye[np.argsort(x)]),
        *_map("rolled and flipped", lambda x: np.flip(np.roll(x, 2)), x, eye[[3, 2, 1, 0, 5, 4]]),
        *_map("padded", lambda x: np.pad(x, (1, 2)), x[:2], np.pad(np.eye(2), ((1, 2), (0, 0)))),
        *_map(
            "tiled and repeated",
            lambda x: np.concatenate([np.tile(x, 2), np.repeat(x, 2)]),
            x[:2],
            np.eye(2)[[0, 1, 0, 1, 0, 0, 1, 1]],
        ),
        *_map("where", lambda x: np.where(x > 1, x**2, -x), x, np.diag(np.where(x > 1, 2 * x, -1.0))),
        *_map("joined and split", lambda x: np.concatenate(np.split(x, 3)[::-1]), x, eye[[4, 5, 2, 3, 0, 1]]),
        *_map("written in place", _written, x, _written_jacobian(x), tags=write),
        *_map("written through views", _written_through_a_view, x, through, tags=write),
        *_map("collected in a loop", _collected, x, np.diag(np.where(np.arange(6) % 2, 2 * x, 1.0)), tags=write),
        *_loss("branch taken", _branch, x, 2 * x, 2 * eye, tags=branch),
        *_loss("branch not taken", _branch, -x, 3 * x**2, 6 * np.diag(-x), tags=branch),
        *_curve("loop until converged", _newton_root, 2.0, 0.5 / np.sqrt(2.0), -0.25 / 2**1.5, tags=branch, rtol=1e-9),
        Scenario("recursion", "gradient", _power_by_recursion, (1.5, Const(10)), (10 * 1.5**9, None)),
        *_loss("loop over entries", lambda x: sum(v * v for v in x), x, 2 * x, 2 * eye),
        *_loss(
            "list of numbers stacked",
            lambda x: np.sum(np.stack([x[i] * x[i - 1] for i in range(6)])),
            x,
            np.roll(x, 1) + np.roll(x, -1),
        ),
    ]


# -- arguments -------------------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "a b")


@dataclass
class Layer:
    """A model of one layer: what a structured argument looks like."""

    w: np.ndarray
    b: Any
    activation: str = "tanh"


def _forward(layer: Any, x: Any) -> Any:
    return np.tanh(layer.w @ x + layer.b)


def _arguments() -> list[Scenario]:
    w, b, x = np.array([[1.0, -0.5], [0.25, 0.75]]), np.array([0.1, -0.2]), np.array([0.3, 0.6])
    slope = 1 - np.tanh(w @ x + b) ** 2
    grad_layer = Tangent[Layer](w=np.outer(slope, x), b=slope, activation=None)
    shared = Layer(w, 0.0)
    return [
        Scenario(
            "dict",
            "gradient",
            lambda p: np.sum(p["w"] * p["x"]) + p["b"],
            ({"w": b, "x": x, "b": 1.0, "note": "n"},),
            ({"w": x, "x": b, "b": 1.0, "note": None},),
        ),
        Scenario(
            "tuple and list",
            "gradient",
            lambda p, q: p[0] * q[1] * p[1][0],
            ((2.0, [3.0, True]), [5.0, 7.0]),
            ((21.0, [14.0, None]), [None, 6.0]),
        ),
        Scenario(
            "named tuple",
            "gradient",
            lambda p: np.sum(p.a) * p.b,
            (Pair(x, 2.0),),
            (Pair(np.full(2, 2.0), float(x.sum())),),
        ),
        Scenario(
            "dataclass", "gradient", lambda m, x: np.sum(_forward(m, x)), (Layer(w, b), x), (grad_layer, w.T @ slope)
        ),
        Scenario(
            "nested",
            "gradient",
            lambda m: np.sum(m["layers"][0].w) * m["scale"],
            ({"layers": [Layer(w, 1.0)], "scale": 3.0},),
            ({"layers": [Tangent[Layer](w=np.full((2, 2), 3.0), b=None, activation=None)], "scale": float(w.sum())},),
        ),
        Scenario(
            "one object at two places",
            "gradient",
            lambda p: np.sum(p[0].w * p[1].w),
            ((shared, shared),),
            ((Tangent[Layer](w=2 * w, b=None, activation=None),) * 2,),
        ),
        Scenario(
            "structured hvp",
            "hvp",
            lambda p: p["a"] ** 2 * np.sum(p["v"] ** 2),
            ({"a": 3.0, "v": x},),
            {"a": float(2 * np.sum(x**2) + 12 * x @ b), "v": 12.0 * x + 18.0 * b},
            tangents=({"a": 1.0, "v": b},),
        ),
        Scenario(
            "structured result",
            "pullback",
            lambda x: {"s": np.sum(x), "p": (x * x, 1.0)},
            (x,),
            (2.0 + 2 * x * b,),
            seed={"s": 2.0, "p": (b, None)},
        ),
        Scenario(
            "structured tangents",
            "pushforward",
            lambda p: {"y": p["a"] * p["v"]},
            ({"a": 3.0, "v": x},),
            {"y": 2.0 * x + 3.0 * b},
            tangents=({"a": 2.0, "v": b},),
        ),
        Scenario("one array given twice", "gradient", lambda p, q: np.sum(p * p * q), (x, x), (2 * x * x, x * x)),
        Scenario(
            "one input used often",
            "gradient",
            lambda x: np.sum(x * x + np.sin(x) * x - x),
            (x,),
            (2 * x + np.cos(x) * x + np.sin(x) - 1,),
        ),
        Scenario("constant argument", "gradient", lambda p, q: np.sum(p * q), (Const(x), b), (None, x)),
        Scenario(
            "keyword argument", "gradient", lambda x, *, power: np.sum(x**power), (x,), (3 * x**2,), kwargs={"power": 3}
        ),
        Scenario("argument not used", "gradient", lambda p, q: np.sum(p), (x, b), (np.ones(2), None)),
        Scenario("constant result", "gradient", lambda x: 3.0, (x,), (None,)),
        Scenario(
            "constant result, jacobian", "jacobian", lambda x: np.array([1.0, 2.0, 3.0]), (x,), (np.zeros((3, 2)),)
        ),
        Scenario("slope zero", "gradient", lambda x: np.sum(np.floor(x)), (x,), (np.zeros(2),)),
        Scenario(
            "integers",
            "gradient",
            lambda n, v: n**2 * np.sum(v * v),
            (3, np.array([1, 2])),
            (30.0, np.array([18.0, 36.0])),
        ),
        Scenario(
            "not numeric",
            "gradient",
            lambda x, mode, flag: x**2 if mode == "square" and flag else x,
            (3.0, "square", True),
            (6.0, None, None),
        ),
        Scenario(
            "several arguments, jacobians",
            "jacobian",
            lambda x, s, name: s * x**2,
            (x, 2.0, "n"),
            (np.diag(4 * x), x**2, None),
        ),
        Scenario(
            "several arguments, diaghessian",
            "diaghessian",
            lambda x, s: s**3 * np.sum(x**2),
            (x, 2.0),
            (np.full(2, 16.0), float(12 * np.sum(x**2))),
        ),
    ]


# -- dtypes ----------------------------------------------------------------------------------------------------------


def _single_precision() -> list[Scenario]:
    x = np.array([0.5, 1.5, -2.0], dtype=np.float32)
    wide = x.astype(float)
    tags = _tag("float32")
    return [
        *_loss(
            "float32 vector",
            lambda x: np.sum(np.sin(x) * x),
            x,
            np.cos(wide) * wide + np.sin(wide),
            np.diag(2 * np.cos(wide) - wide * np.sin(wide)),
            tags=tags,
        ),
        *_map("float32 map", np.exp, x, np.diag(np.exp(wide)), tags=tags),
        Scenario("float32 beside float64", "gradient", lambda p, q: np.sum(p * q), (x, wide), (x, wide), tags=tags),
        Scenario("float32 number", "gradient", lambda t: t * t, (np.float32(1.5),), (np.float32(3.0),), tags=tags),
    ]


def _complex_numbers() -> list[Scenario]:
    z = np.array([1.0 + 2.0j, -0.5 + 0.25j])
    w = np.array([[1.0 - 1.0j, 2.0], [0.5j, -1.0 + 0.25j]])
    x = np.array([0.3, -0.7])
    tags = _tag("complex")
    return [
        Scenario("complex: squared modulus", "gradient", lambda z: np.sum(np.abs(z) ** 2), (z,), (2 * z,), tags=tags),
        Scenario("complex: modulus", "gradient", lambda z: np.sum(np.abs(z)), (z,), (z / np.abs(z),), tags=tags),
        Scenario(
            "complex: real part of a square",
            "gradient",
            lambda z: np.real(np.sum(z**2)),
            (z,),
            (2 * np.conj(z),),
            tags=tags,
        ),
        Scenario(
            "complex: imaginary part", "gradient", lambda z: np.imag(np.sum(z * z)), (z,), (2j * np.conj(z),), tags=tags
        ),
        Scenario("complex: number", "gradient", lambda z: abs(z) ** 2, (3.0 + 4.0j,), (6.0 + 8.0j,), tags=tags),
        Scenario(
            "complex: conjugate",
            "gradient",
            lambda z: np.real(np.sum(np.conj(z) * z * z)),
            (z,),
            (z * 0 + 2 * np.real(z) * z + np.abs(z) ** 2,),
            tags=tags,
        ),
        Scenario(
            "complex: real argument",
            "gradient",
            lambda x: np.sum(np.abs(np.exp(1j * x) + x) ** 2),
            (x,),
            (2 * np.cos(x) - 2 * x * np.sin(x) + 2 * x,),
            tags=tags,
        ),
        Scenario(
            "complex: matrix product",
            "gradient",
            lambda m, v: np.sum(np.abs(m @ v) ** 2),
            (w, z),
            (2 * np.outer(w @ z, np.conj(z)), 2 * np.conj(w).T @ (w @ z)),
            tags=tags,
        ),
        Scenario(
            "complex: real and complex together",
            "gradient",
            lambda x, z: np.sum(x * np.abs(z) ** 2),
            (x, z),
            (np.abs(z) ** 2, 2 * x * z),
            tags=tags,
        ),
        Scenario(
            "complex: pullback of a holomorphic function",
            "pullback",
            np.exp,
            (z,),
            (np.conj(np.exp(z)) * (1.0 - 2.0j),),
            seed=np.full(2, 1.0 - 2.0j),
            tags=tags,
        ),
        Scenario(
            "complex: pushforward",
            "pushforward",
            lambda z: z * z,
            (z,),
            2 * z * (1.0 - 1.0j),
            tangents=(np.full(2, 1.0 - 1.0j),),
            tags=tags,
        ),
        Scenario(
            "complex: pushforward of the modulus",
            "pushforward",
            lambda z: np.abs(z) ** 2,
            (z,),
            np.real(2 * np.conj(z) * (1.0 - 1.0j)),
            tangents=(np.full(2, 1.0 - 1.0j),),
            tags=tags,
        ),
        Scenario(
            "complex: jacobian of a holomorphic function",
            "jacobian",
            lambda z: w @ (z * z),
            (z,),
            (w * 2 * z,),
            tags=tags,
        ),
        Scenario(
            "complex: derivative of a holomorphic function",
            "derivative",
            lambda z: z**3,
            (1.0 + 2.0j,),
            3 * (1.0 + 2.0j) ** 2,
            tags=tags,
        ),
        Scenario(
            "complex: derivative of a complex curve",
            "derivative",
            lambda t: np.exp(2j * t),
            (0.5,),
            2j * np.exp(1j),
            tags=tags,
        ),
    ]


# -- kinks -----------------------------------------------------------------------------------------------------------


def _kinks() -> list[Scenario]:
    """At a kink one valid subgradient, finite where a finite one exists; the same on every backend."""
    zeros, v = np.zeros(2), np.array
    root = lambda x: np.sum(np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0.0))
    rows = [
        ("abs at 0", lambda x: np.sum(np.abs(x)), (v([0.0, -2.0]),), (v([0.0, -1.0]),)),
        ("abs of a number at 0", lambda x: abs(x), (0.0,), (0.0,)),
        ("sign at 0", lambda x: np.sum(np.sign(x)), (zeros,), (zeros,)),
        ("max of ties", np.max, (v([1.0, 3.0, 3.0]),), (v([0.0, 0.5, 0.5]),)),
        ("min of ties", np.min, (v([1.0, 1.0, 3.0]),), (v([0.5, 0.5, 0.0]),)),
        ("max of ties along an axis", lambda x: np.sum(np.max(x, axis=0)), (np.ones((2, 2)),), (np.full((2, 2), 0.5),)),
        (
            "maximum of a tie",
            lambda p, q: np.sum(np.maximum(p, q)),
            (v([1.0, 2.0]), v([1.0, 3.0])),
            (v([0.5, 0.0]), v([0.5, 1.0])),
        ),
        (
            "minimum of a tie",
            lambda p, q: np.sum(np.minimum(p, q)),
            (v([1.0, 2.0]), v([1.0, 3.0])),
            (v([0.5, 1.0]), v([0.5, 0.0])),
        ),
        (
            "fmax of a tie",
            lambda p, q: np.sum(np.fmax(p, q)),
            (v([1.0, 2.0]), v([1.0, 3.0])),
            (v([0.5, 0.0]), v([0.5, 1.0])),
        ),
        (
            "clip at its bounds",
            lambda x: np.sum(np.clip(x, 0.0, 1.0)),
            (v([0.0, 0.5, 1.0, 2.0]),),
            (v([1.0, 1.0, 1.0, 0.0]),),
        ),
        ("norm of 0", np.linalg.norm, (zeros,), (zeros,)),
        ("std of a constant", np.std, (np.full(3, 2.0),), (np.zeros(3),)),
        ("hypot at 0", lambda p, q: np.hypot(p, q), (0.0, 0.0), (0.0, 0.0)),
        ("arctan2 at 0", lambda p, q: np.arctan2(p, q), (0.0, 0.0), (0.0, 0.0)),
        ("sinc at 0", lambda x: np.sum(np.sinc(x)), (zeros,), (zeros,)),
        ("product with one 0", np.prod, (v([2.0, 0.0, 3.0]),), (v([0.0, 6.0, 0.0]),)),
        ("product with two 0", np.prod, (v([0.0, 0.0, 3.0]),), (np.zeros(3),)),
        ("cumulative product with a 0", lambda x: np.sum(np.cumprod(x)), (v([2.0, 0.0, 3.0]),), (v([1.0, 8.0, 0.0]),)),
        ("determinant of a singular matrix", np.linalg.det, (np.ones((2, 2)),), (v([[1.0, -1.0], [-1.0, 1.0]]),)),
        ("power 0 at 0", lambda x: np.sum(x**0.0), (zeros,), (zeros,)),
        ("0 to a power", lambda p: 0.0**p, (2.0,), (0.0,)),
        ("guarded square root", root, (v([-1.0, 0.0, 4.0]),), (v([0.0, 0.0, 0.25]),)),
        (
            "square root in the other branch",
            lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0)),
            (v([0.0, 4.0]),),
            (v([0.0, 0.25]),),
        ),
        ("square root at 0", lambda x: np.sqrt(x), (0.0,), (np.inf,)),
        ("logarithm at 0", lambda x: np.log(x), (0.0,), (np.inf,)),
        ("remainder", lambda p, q: p % q, (4.0, 2.0), (1.0, -2.0)),
    ]
    return [Scenario(f"kink: {name}", "gradient", f, args, result, tags=_tag("kink")) for name, f, args, result in rows]


def default_scenarios(variants: bool = False) -> list[Scenario]:
    """All scenarios that adselect holds every backend to.

    variants: also every core scenario as a stateful callable object and with a constant keyword argument.

    >>> len(default_scenarios()) > 250
    True
    >>> sorted({s.operator for s in default_scenarios()})[:3]
    ['derivative', 'diaghessian', 'gradient']
    """
    core = _core()
    found = [
        *core,
        *_broadcasting(),
        *_reductions(),
        *_linear_algebra(),
        *_indexing(),
        *_arguments(),
        *_single_precision(),
        *_complex_numbers(),
        *_kinks(),
    ]
    if variants:
        found += [closurify(s) for s in core] + [constantify(s) for s in core]
    return found
