"""Random programs: what the replay's algebra, its buffers and the compiled loops make of them equals the eager tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import adselect as ad
from adselect import AutoTape

# Steps on values of shape (n, m), (n,), (m,), (n, 1) and (); the second operand is used where it broadcasts.
UNARY: list[Callable] = [
    lambda x: 2.5 * x,
    lambda x: x / -4.0,
    lambda x: -x,
    lambda x: x + 3.0,
    lambda x: 1.5 - x,
    lambda x: x**2,
    lambda x: x * x,
    np.sin,
    np.tanh,
    lambda x: np.exp(-0.1 * x * x),
    lambda x: np.sqrt(x * x + 1.0),
    lambda x: 1.0 / (1.0 + x * x),
    lambda x: np.where(x > 0.2, x, 0.5 * x),
    lambda x: np.maximum(x, -0.3),
    lambda x: x - np.max(x),
    lambda x: np.abs(x) / np.sum(np.abs(x) + 0.1),
    np.sum,
    np.mean,
]
SHAPED: list[Callable] = [
    lambda x: np.sum(x, axis=0),
    lambda x: np.sum(x, axis=-1),
    lambda x: np.sum(x, axis=-1, keepdims=True),
    lambda x: np.max(x, axis=0),
    lambda x: x - np.max(x, axis=-1, keepdims=True),
    lambda x: x / np.sum(np.abs(x) + 0.1, axis=-1, keepdims=True),
    lambda x: x.T,
    lambda x: x.T.T * 2.0,
    lambda x: x.reshape(-1),
    lambda x: x[::-1],
    lambda x: x[1:],
    lambda x: x[:-1] - x[1:],
    lambda x: np.roll(x, 1),
    lambda x: np.roll(x, -1, axis=-1),
    lambda x: np.flip(x, 0),
    lambda x: x[0],
    lambda x: x[..., -1],
    lambda x: x[[0, 0, 1]],
    lambda x: np.concatenate([x, -x]),
    lambda x: np.stack([x, 2.0 * x]),
    lambda x: x @ x.T,
    lambda x: np.cumsum(x, axis=0),
    lambda x: np.squeeze(x[None]),
]
BINARY: list[Callable] = [
    lambda x, z: x + z,
    lambda x, z: x - z,
    lambda x, z: x * z,
    lambda x, z: x / (z * z + 1.0),
    lambda x, z: x + z - z,
    lambda x, z: 2.0 * x - 3.0 * x * z,
    lambda x, z: np.logaddexp(x, z),
    lambda x, z: np.dot(np.ravel(x), np.ravel(x)) * z,
]


def random_program(rng: np.random.Generator, length: int, limit: int = 400) -> Callable:
    """A function of three arrays made of random steps; values larger than limit entries are not built on."""
    steps = [(rng.integers(3), *rng.integers(1 << 30, size=3)) for _ in range(length)]

    def f(a: Any, b: Any, c: Any) -> Any:
        values = [a, b, c]
        for kind, which, first, second in steps:
            x, z = values[first % len(values)], values[second % len(values)]
            if kind == 0:
                y = UNARY[which % len(UNARY)](x)
            elif kind == 1:
                y = SHAPED[which % len(SHAPED)](x) if np.ndim(x) and min(np.shape(x)) >= 2 else 0.5 * x
            else:
                fits = np.shape(z) in (np.shape(x), ()) or (np.ndim(x) == 2 and np.shape(z) == np.shape(x)[1:])
                y = BINARY[which % len(BINARY)](x, z) if fits else x * 3.0
            if np.size(y) <= limit and np.size(y):
                values.append(np.tanh(y) if which % 4 == 0 else y)
        return sum(
            [
                np.mean(v) if which % 2 else np.sum(np.sin(v))
                for v, (_, which, *_) in zip(values[3:], steps, strict=False)
            ]
        )

    return f


def arguments(rng: np.random.Generator, n: int = 4, m: int = 3) -> tuple:
    return rng.normal(size=(n, m)), rng.normal(size=n), float(rng.normal())


def same(got: Any, want: Any) -> None:
    """Equal up to rounding, which depends on the order of operations: relative to the largest entry."""
    for g, w in zip((got.val, *got.grad), (want.val, *want.grad), strict=True):
        assert np.shape(g) == np.shape(w)
        np.testing.assert_allclose(g, w, rtol=0, atol=1e-9 * (1.0 + np.max(np.abs(w))))


@pytest.mark.parametrize("seed", range(300))
def test_replayed_random_programs(seed):
    rng = np.random.default_rng(seed)
    f = random_program(rng, int(rng.integers(3, 40)))
    prepared = ad.prepare(ad.withgradient, f, AutoTape(), *arguments(rng), missing="zeros", check="never")
    assert not prepared.reason
    for _ in range(3):
        args = arguments(rng)
        same(prepared(*args), ad.withgradient(f, *args, missing="zeros"))


@pytest.mark.parametrize("seed", range(10))
def test_natively_compiled_random_programs(seed):
    pytest.importorskip("numba")
    rng = np.random.default_rng(500 + seed)
    f = random_program(rng, 12)
    prepared = ad.prepare(ad.withgradient, f, AutoTape(native=True), *arguments(rng), missing="zeros", check="never")
    assert ad.source(prepared)  # refused where nothing is replayed
    for _ in range(3):
        args = arguments(rng)
        same(prepared(*args), ad.withgradient(f, *args, missing="zeros"))
