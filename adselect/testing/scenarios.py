"""Scenarios: functions with exactly known derivatives, one per operator and trap.

The core list follows DifferentiationInterfaceTest.jl (in row-major form); the rest adds what it leaves out:
broadcasting, reductions along axes, linear algebra, indexing, control flow, structured arguments, other dtypes and
ranks, lopsided Jacobians, complex numbers and kinks. Every expected result is a formula, computed by no backend.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .argument_scenarios import arguments, complex_numbers, single_precision
from .array_scenarios import broadcasting, indexing, linear_algebra, reductions
from .scenario import X6, X23, Scenario, T, closurify, constantify, curve, loss, map_scenarios, tag

__all__ = ["default_scenarios"]


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
        *curve("num_to_num", np.sin, T, np.cos(T), -np.sin(T)),
        *map_scenarios("onevec_to_onevec", np.sin, x1, [[np.cos(T)]]),
        *curve("num_to_vec", _two_sines, T, *sines),
        *curve(
            "num_to_mat",
            _two_columns,
            T,
            np.stack([sines[0], 3 * tripled[0]], axis=1),
            np.stack([sines[1], 9 * tripled[1]], axis=1),
        ),
        *loss("vec_to_num", _power_products, X6, _power_slope(X6), _power_curvature(X6)),
        *loss("mat_to_num", _power_products, X23, _power_slope(X23), _power_curvature(X23)),
        *loss("vec_to_num by loop", _power_products_by_loop, X6, _power_slope(X6), _power_curvature(X6)),
        *map_scenarios("vec_to_vec", lambda x: np.concatenate([np.sin(x), np.cos(x)]), X6, np.vstack([cos, sin])),
        *map_scenarios("vec_to_mat", lambda x: np.stack([np.sin(x), np.cos(x)], axis=1), X6, _interleaved(cos, sin)),
        *map_scenarios(
            "mat_to_vec",
            lambda x: np.concatenate([np.sin(x).ravel(), np.cos(x).ravel()]),
            X23,
            np.vstack([cos, sin]),
        ),
        *map_scenarios(
            "mat_to_mat",
            lambda x: np.column_stack([np.sin(x).ravel(), np.cos(x).ravel()]),
            X23,
            _interleaved(cos, sin),
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
    return [Scenario(f"kink: {name}", "gradient", f, args, result, tags=tag("kink")) for name, f, args, result in rows]


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
        *broadcasting(),
        *reductions(),
        *linear_algebra(),
        *indexing(),
        *arguments(),
        *single_precision(),
        *complex_numbers(),
        *_kinks(),
    ]
    if variants:
        found += [closurify(s) for s in core] + [constantify(s) for s in core]
    return found
