"""Scenarios of arguments: structures, single precision, complex numbers."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..structure.leaves import Const
from ..values.tangents import Tangent
from .scenario import Scenario, loss, map_scenarios, tag

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


def arguments() -> list[Scenario]:
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


def single_precision() -> list[Scenario]:
    x = np.array([0.5, 1.5, -2.0], dtype=np.float32)
    wide = x.astype(float)
    tags = tag("float32")
    return [
        *loss(
            "float32 vector",
            lambda x: np.sum(np.sin(x) * x),
            x,
            np.cos(wide) * wide + np.sin(wide),
            np.diag(2 * np.cos(wide) - wide * np.sin(wide)),
            tags=tags,
        ),
        *map_scenarios("float32 map", np.exp, x, np.diag(np.exp(wide)), tags=tags),
        Scenario("float32 beside float64", "gradient", lambda p, q: np.sum(p * q), (x, wide), (x, wide), tags=tags),
        Scenario("float32 number", "gradient", lambda t: t * t, (np.float32(1.5),), (np.float32(3.0),), tags=tags),
    ]


def complex_numbers() -> list[Scenario]:
    z = np.array([1.0 + 2.0j, -0.5 + 0.25j])
    w = np.array([[1.0 - 1.0j, 2.0], [0.5j, -1.0 + 0.25j]])
    x = np.array([0.3, -0.7])
    tags = tag("complex")
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
