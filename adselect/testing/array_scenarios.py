"""Scenarios of arrays: broadcasting, reductions, linear algebra, indexing, writing in place, control flow."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..structure.leaves import Const
from .scenario import X6, Scenario, curve, loss, map_scenarios, tag

# -- shapes ----------------------------------------------------------------------------------------------------------


def broadcasting() -> list[Scenario]:
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
        *map_scenarios("identity", lambda x: x, X6, np.eye(6)),
        *map_scenarios(
            "broadcast_to", lambda x: np.broadcast_to(x, (3, 2)), np.array([1.0, 2.0]), np.tile(np.eye(2), (3, 1))
        ),
        *loss(
            "rank three reduced over two axes",
            lambda x: np.sum(np.sum(x, axis=(0, 2)) ** 2),
            np.arange(24.0).reshape(2, 3, 4) / 10,
            np.broadcast_to((2 * np.arange(24.0).reshape(2, 3, 4).sum(axis=(0, 2)) / 10)[None, :, None], (2, 3, 4)),
        ),
        *map_scenarios(
            "transpose",
            lambda x: np.transpose(x, (2, 0, 1)),
            np.arange(12.0).reshape(2, 2, 3),
            _moved((2, 0, 1), (2, 2, 3)),
        ),
        *map_scenarios(
            "wide: 40 to 2",
            lambda x: np.array([[1.0] * 40, list(range(40))]) @ (x * x),
            np.linspace(1, 2, 40),
            np.stack([2 * np.linspace(1, 2, 40), 2 * np.arange(40) * np.linspace(1, 2, 40)]),
        ),
        *map_scenarios(
            "tall: 2 to 40",
            lambda x: np.linspace(1, 2, 40) * x[0] * x[1],
            np.array([2.0, 3.0]),
            np.outer(np.linspace(1, 2, 40), [3.0, 2.0]),
        ),
        *map_scenarios("one to one, rank three", lambda x: x**3, np.full((1, 1, 1), 2.0), [[12.0]]),
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


def reductions() -> list[Scenario]:
    x = np.array([[1.0, 2.5, -0.5], [4.0, 0.25, 3.0]])
    centred = x - x.mean(axis=1, keepdims=True)
    soft = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    weights = np.array([2.0, -3.0])
    others = x.prod(axis=1, keepdims=True) / x
    largest = np.array([[0, 1.0, 0], [1.0, 0, 0]])
    return [
        *loss(
            "mean along an axis, squared",
            lambda x: np.sum(np.mean(x, axis=0, keepdims=True) ** 2),
            x,
            np.broadcast_to(x.mean(axis=0), (2, 3)),
            np.kron(np.ones((2, 2)), np.eye(3)) / 2,
        ),
        *loss(
            "variance along an axis",
            lambda x: np.sum(weights * np.var(x, axis=1)),
            x,
            weights[:, None] * 2 * centred / 3,
        ),
        *loss("standard deviation", np.std, x, (x - x.mean()) / 6 / x.std()),
        *loss("log-sum-exp", lambda x: weights @ np.log(np.sum(np.exp(x), axis=1)), x, weights[:, None] * soft),
        *loss("product along an axis", lambda x: np.sum(weights * np.prod(x, axis=1)), x, weights[:, None] * others),
        *loss("maximum along an axis", lambda x: np.max(x, axis=1) @ weights, x, weights[:, None] * largest),
        *loss("minimum and maximum", lambda x: np.max(x) - np.min(x), x, [[0, 0, -1.0], [1.0, 0, 0]]),
        *map_scenarios(
            "cumulative sum", lambda x: np.cumsum(x, axis=1), x, np.kron(np.eye(2), np.tril(np.ones((3, 3))))
        ),
        *map_scenarios("differences", lambda x: np.diff(x) ** 2, np.array([1.0, 3.0, 2.0]), [[-4.0, 4, 0], [0, 2, -2]]),
    ]


def linear_algebra() -> list[Scenario]:
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
        *map_scenarios("matrix times vector", lambda x: a @ x, b, a),
        *loss("quadratic form", lambda x: x @ (a @ x) / 2, b, (a + a.T) @ b / 2, (a + a.T) / 2),
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
        *loss("inverse", lambda m: np.sum(np.linalg.inv(m)), a, -inverse.T @ ones @ inverse.T),
        *loss("determinant", np.linalg.det, a, np.linalg.det(a) * inverse.T, _det_curvature()),
        *loss("log-determinant", lambda m: np.linalg.slogdet(m)[1], a, inverse.T),
        *loss("trace of a product", lambda m: np.trace(m @ m), a, 2 * a.T),
        *loss("norm", np.linalg.norm, b, b / np.sqrt(5.0), (np.eye(2) - np.outer(b, b) / 5) / np.sqrt(5.0)),
        *loss(
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
        *loss("einsum of a diagonal", lambda m: np.einsum("ii->", m) ** 2, a, 14 * np.eye(2)),
        *loss("tensordot", lambda m: np.tensordot(m, m, axes=2), a, 2 * a, 2 * np.eye(4)),
        *map_scenarios(
            "outer and kron", lambda v: np.kron(v, np.array([1.0, 2.0])), b, np.kron(np.eye(2), [[1.0], [2.0]])
        ),
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


def indexing() -> list[Scenario]:
    mask = np.array([True, False, True, True, False, False])
    eye = np.eye(6)
    x = np.array([3.0, -1.0, 2.0, 5.0, 0.5, 4.0])
    through = eye.copy()
    through[3:6] = 10 * eye[:3]
    through[1] = x[0] * eye[1] + x[1] * eye[0]
    through[2] = x[0] * eye[2] + x[2] * eye[0]
    matrix = x.reshape(2, 3)
    write = tag("write")
    branch = tag("branch")
    return [
        *map_scenarios("slice", lambda x: x[1:5:2], x, eye[1:5:2]),
        *map_scenarios("reversed", lambda x: x[::-1], x, eye[::-1]),
        *map_scenarios("one entry", lambda x: x[2], x, eye[2:3]),
        *map_scenarios("repeated places", lambda x: x[[0, 0, 2, 0]], x, eye[[0, 0, 2, 0]]),
        *map_scenarios("mask", lambda x: x[mask] ** 2, x, 2 * (eye * x)[mask]),
        *map_scenarios("column", lambda x: x[:, 1], matrix, eye[[1, 4]]),
        *map_scenarios("pairs of places", lambda x: x[[0, 1, 1], [2, 0, 0]], matrix, eye[[2, 3, 3]]),
        *map_scenarios("new axes and ellipsis", lambda x: x[None, ..., 0], matrix, eye[[0, 3]]),
        *map_scenarios("take along an axis", lambda x: np.take(x, [2, 0, 2], axis=1), matrix, eye[[2, 0, 2, 5, 3, 5]]),
        *map_scenarios("sorted", np.sort, x, eye[np.argsort(x)]),
        *map_scenarios("rolled and flipped", lambda x: np.flip(np.roll(x, 2)), x, eye[[3, 2, 1, 0, 5, 4]]),
        *map_scenarios("padded", lambda x: np.pad(x, (1, 2)), x[:2], np.pad(np.eye(2), ((1, 2), (0, 0)))),
        *map_scenarios(
            "tiled and repeated",
            lambda x: np.concatenate([np.tile(x, 2), np.repeat(x, 2)]),
            x[:2],
            np.eye(2)[[0, 1, 0, 1, 0, 0, 1, 1]],
        ),
        *map_scenarios("where", lambda x: np.where(x > 1, x**2, -x), x, np.diag(np.where(x > 1, 2 * x, -1.0))),
        *map_scenarios("joined and split", lambda x: np.concatenate(np.split(x, 3)[::-1]), x, eye[[4, 5, 2, 3, 0, 1]]),
        *map_scenarios("written in place", _written, x, _written_jacobian(x), tags=write),
        *map_scenarios("written through views", _written_through_a_view, x, through, tags=write),
        *map_scenarios(
            "collected in a loop", _collected, x, np.diag(np.where(np.arange(6) % 2, 2 * x, 1.0)), tags=write
        ),
        *loss("branch taken", _branch, x, 2 * x, 2 * eye, tags=branch),
        *loss("branch not taken", _branch, -x, 3 * x**2, 6 * np.diag(-x), tags=branch),
        *curve("loop until converged", _newton_root, 2.0, 0.5 / np.sqrt(2.0), -0.25 / 2**1.5, tags=branch, rtol=1e-9),
        Scenario("recursion", "gradient", _power_by_recursion, (1.5, Const(10)), (10 * 1.5**9, None)),
        *loss("loop over entries", lambda x: sum(v * v for v in x), x, 2 * x, 2 * eye),
        *loss(
            "list of numbers stacked",
            lambda x: np.sum(np.stack([x[i] * x[i - 1] for i in range(6)])),
            x,
            np.roll(x, 1) + np.roll(x, -1),
        ),
    ]
