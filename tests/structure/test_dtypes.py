"""Precision, promotion and memory layout: results have NumPy's dtype, cotangents that of their argument.

The witness is the plain NumPy function for values, and the built-in tape in double precision at the same numbers for
cotangents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import adselect as ad

DTYPES = [np.float16, np.float32, np.float64, np.complex64, np.complex128]
REAL = DTYPES[:3]
POINT = np.array([[0.5, -1.25, 2.0, 0.75], [1.5, 0.25, -0.625, 1.125], [-0.375, 1.75, 0.875, -1.5]])
OTHER = np.array([[1.0, 0.5, -0.75, 1.25], [0.25, 2.0, 1.5, -1.0], [0.625, -0.5, 1.75, 0.375]])
WIDE = np.array([0.5, 1.5, -2.0, 1.0])
INTEGERS = np.array([[1, 2, 0, 3], [2, 1, 1, 0], [3, 0, 2, 1]])

ELEMENTWISE: dict[str, Callable] = {
    "sin": np.sin,
    "exp": lambda x: np.exp(0.5 * x),
    "tanh": np.tanh,
    "sqrt": lambda x: np.sqrt(x * x + 1.5),
    "log": lambda x: np.log(x * x + 2.0),
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "power of a number": lambda x: 2.0**x,
    "a number first": lambda x: 1.0 - 2 * x,
    "quotient": lambda x: x / (x * x + 3.0),
    "absolute": np.abs,
    "zeros_like": lambda x: x + np.zeros_like(x),
    "full_like": lambda x: x * np.full_like(x, 2),
    "copy": lambda x: x.copy(),
    "astype": lambda x: x.astype(np.complex128) * 2.0,
    "a strong scalar": lambda x: x * np.float64(2.0),
    "a narrow scalar": lambda x: x * np.float32(2.0),
    "integers": lambda x: x * INTEGERS,
    "small integers": lambda x: x + INTEGERS.astype(np.int8),
    "booleans": lambda x: x * (INTEGERS > 1),
    "a wide array": lambda x: x * WIDE,
    "a complex number": lambda x: x * (1.0 + 0.5j),
    "in place": lambda x: _doubled_in_place(x),
}
SHAPES: dict[str, Callable] = {
    "sum": np.sum,
    "sum of rows": lambda x: np.sum(x, axis=0),
    "sum as double": lambda x: np.sum(x, axis=1, dtype=np.complex128),
    "mean": np.mean,
    "mean of columns": lambda x: np.mean(x, axis=1, keepdims=True),
    "var": lambda x: np.var(x, axis=1),
    "std": lambda x: np.std(x, axis=0),
    "prod": lambda x: np.prod(x, axis=1),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "slice": lambda x: x[1:, ::2],
    "reversed": lambda x: x[::-1, ::-1],
    "picked": lambda x: x[[0, 2, 2], [1, 1, 3]],
    "an entry": lambda x: x[1, 2],
    "transpose": lambda x: x.T @ x,
    "matmul": lambda x: x @ np.conj(x).T,
    "dot": lambda x: np.dot(x[0], x[1]),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "concatenate": lambda x: np.concatenate([x, 2 * x], axis=1),
    "concatenate with wide": lambda x: np.concatenate([x, OTHER]),
    "stack": lambda x: np.stack([x, np.ones(x.shape, x.dtype)]),
    "where": lambda x: np.where(INTEGERS > 1, x, 0.5),
    "where with wide": lambda x: np.where(INTEGERS > 1, x, OTHER),
    "reshape": lambda x: x.reshape(2, 6) * 1.5,
    "tile": lambda x: np.tile(x, (2, 1)),
    "pad": lambda x: np.pad(x, 1),
    "diff": lambda x: np.diff(x, axis=1),
    "real": np.real,
    "imag": np.imag,
}
ORDERED: dict[str, Callable] = {
    "max": lambda x: np.max(x, axis=1),
    "min": np.min,
    "sort": lambda x: np.sort(x, axis=1),
    "clip": lambda x: np.clip(x, -1.0, 1.0),
    "maximum": lambda x: np.maximum(x, 0.5),
    "floor": lambda x: x - np.floor(x),
    "median": lambda x: np.median(x, axis=1),
    "arctan2": lambda x: np.arctan2(x, 2.0),
    "cumprod": lambda x: np.cumprod(x, axis=1),
}
# NumPy has these in single and double precision only.
FACTORED: dict[str, Callable] = {
    "solve": lambda x: np.linalg.solve(_regular(x), x[:, 0]),
    "inv": lambda x: np.linalg.inv(_regular(x)),
    "det": lambda x: np.linalg.det(_regular(x)),
    "norm": np.linalg.norm,
    "cholesky": lambda x: np.linalg.cholesky(x @ np.conj(x).T + 2.0 * np.eye(3, dtype=x.dtype)),
    "fft": lambda x: np.fft.fft(x, axis=1),
    "ifft2": np.fft.ifft2,
}
CASES = {
    **{(name, dtype): f for name, f in (ELEMENTWISE | SHAPES).items() for dtype in DTYPES},
    **{(name, dtype): f for name, f in ORDERED.items() for dtype in REAL},
    **{(name, dtype): f for name, f in FACTORED.items() for dtype in DTYPES[1:]},
}


def _doubled_in_place(x: Any) -> Any:
    y = x.copy()
    y *= 2.0
    y[0] += 1.0
    return y


def _regular(x: Any) -> Any:
    return x[:, :3] + 4.0 * np.eye(3, dtype=x.dtype)


def point(dtype: Any) -> np.ndarray:
    return (POINT + 0.25j * OTHER).astype(dtype) if np.dtype(dtype).kind == "c" else POINT.astype(dtype)


def double(dtype: Any) -> np.dtype:
    return np.dtype(complex if np.dtype(dtype).kind == "c" else float)


def seed_like(y: Any) -> Any:
    """A cotangent for y, of y's dtype."""
    rng = np.random.default_rng(1)
    bar = rng.integers(-4, 5, np.shape(y)) / 4 + (1j * rng.integers(-4, 5, np.shape(y)) / 4 if _complex(y) else 0)
    return np.asarray(bar, np.result_type(y))[()]


def _complex(y: Any) -> bool:
    return np.result_type(y).kind == "c"


def check(f: Callable, adtype: Any, x: np.ndarray, wide: np.ndarray | None = None) -> None:
    """Value and cotangent of f at x; wide: x in double precision, native and contiguous."""
    wide = x.astype(double(x.dtype)) if wide is None else wide
    eps = float(np.finfo(x.dtype).eps)
    with np.errstate(all="ignore"):
        expected = f(x)
        y, back = ad.pullback(f, adtype, x)
        y_bar = seed_like(expected)
        (x_bar,) = back(y_bar)
        reference, back = ad.pullback(f, ad.AutoTape(), wide)
        (want,) = back(np.asarray(y_bar, np.result_type(reference))[()])
    assert np.result_type(y) == np.result_type(expected).newbyteorder("="), "dtype of the value"
    assert np.shape(y) == np.shape(expected)
    np.testing.assert_allclose(y, expected, rtol=0, atol=30 * eps * np.max(np.abs(expected), initial=1.0))
    assert x_bar is not None
    assert x_bar.dtype == x.dtype.newbyteorder("="), "dtype of the cotangent"
    assert x_bar.shape == x.shape
    np.testing.assert_allclose(x_bar, want, rtol=0, atol=60 * eps * np.max(np.abs(want), initial=1.0))


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=[f"{name}-{np.dtype(d)}" for name, d in CASES])
def test_dtypes(name, dtype, exact_backend):
    check(CASES[name, dtype], exact_backend.adtype, point(dtype))


def layouts(dtype: Any) -> dict[str, np.ndarray]:
    """The same numbers, differently in memory."""
    x = point(dtype)
    frozen = x.copy()
    frozen.flags.writeable = False
    every_other = np.zeros((6, 8), dtype)
    every_other[::2, ::2] = x
    return {
        "contiguous": x,
        "fortran": np.asfortranarray(x),
        "transposed": x.T.copy().T,
        "reversed": x[::-1, ::-1].copy()[::-1, ::-1],
        "every other": every_other[::2, ::2],
        "read-only": frozen,
        "byte-swapped": x.astype(x.dtype.newbyteorder(">")),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("layout", layouts(float))
def test_memory_layouts(layout, dtype, exact_backend):
    x = layouts(dtype)[layout]
    before = x.copy()
    for f in (
        lambda x: np.sum(np.sin(x) * x),
        lambda x: np.sin(x[1:]) @ x[0],
        lambda x: x.reshape(4, 3) * 1.5,
        lambda x: x.ravel()[::2] ** 2,
        lambda x: np.cumsum(x.T, axis=0),
        _doubled_in_place,
    ):
        check(f, exact_backend.adtype, x, point(double(dtype)))
    np.testing.assert_array_equal(x, before)
    assert x.dtype == before.dtype


@pytest.mark.parametrize("layout", layouts(float))
def test_memory_layouts_prepared(layout, exact_backend):
    """A prepared operator takes every layout of the shape and dtype it was prepared with."""
    x = layouts(float)[layout]
    f = lambda x: np.sum(np.sin(x[1:]) * x[:-1] ** 2)
    prepared = ad.prepare(ad.gradient, f, exact_backend.adtype, x)
    want = ad.gradient(f, POINT)[0]
    np.testing.assert_allclose(prepared(x)[0], want, rtol=1e-13, atol=1e-13)
    for native in (np.asfortranarray(POINT), POINT[::-1, ::-1].copy()[::-1, ::-1]):
        if x.dtype.isnative:
            np.testing.assert_allclose(prepared(native)[0], want, rtol=1e-13, atol=1e-13)


NOTHING: dict[str, Callable] = {
    "sum": lambda x: np.sum(x) + 1.0,
    "elementwise": lambda x: np.exp(x) * 2.0,
    "product": lambda x: np.prod(x, axis=0),
    "matmul": lambda x: x @ x.T,
    "concatenate": lambda x: np.concatenate([x, x]),
    "reshape": lambda x: x.reshape(-1) * 3.0,
    "slice": lambda x: x[..., 1:] * 1.0,
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "where": lambda x: np.where(x > 0, x, 0.0),
}


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 0)], ids=str)
@pytest.mark.parametrize("name", NOTHING)
def test_empty_arrays(name, shape, exact_backend):
    x = np.empty(shape)
    f = NOTHING[name]
    y, back = ad.pullback(f, exact_backend.adtype, x)
    np.testing.assert_array_equal(y, f(x))
    assert np.result_type(y) == np.result_type(f(x))
    (x_bar,) = back(np.ones(np.shape(y))[()])
    assert x_bar is None or (x_bar.shape == shape and x_bar.dtype == x.dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("kind", ["0-d array", "NumPy scalar", "one entry"])
def test_single_numbers(kind, dtype, exact_backend):
    number = np.asarray(0.75 + (0.5j if np.dtype(dtype).kind == "c" else 0), dtype)
    x = {"0-d array": number, "NumPy scalar": number[()], "one entry": number.reshape(1, 1)}[kind]
    for f in (np.sin, lambda x: x * x + 2.0, lambda x: np.sum(x) * np.exp(x), lambda x: np.reshape(x, (1,)) * 2):
        y, back = ad.pullback(f, exact_backend.adtype, x)
        expected = f(x)
        assert np.result_type(y) == np.result_type(expected)
        assert np.shape(y) == np.shape(expected)
        (x_bar,) = back(np.ones_like(expected)[()])
        assert type(x_bar) is type(x)
        assert x_bar.dtype == x.dtype
        assert x_bar.shape == x.shape
        h = 1e-6
        wide = np.asarray(x, double(dtype))
        slope = np.sum((f(wide + h) - f(wide - h)) / (2 * h))
        np.testing.assert_allclose(x_bar, np.conj(slope), rtol=0, atol=max(1e-8, 20 * float(np.finfo(dtype).eps)))


@pytest.mark.parametrize("second", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("first", DTYPES, ids=lambda d: np.dtype(d).name)
def test_two_dtypes(first, second, exact_backend):
    """Each argument's cotangent keeps the argument's dtype; that of a real argument is real."""
    x, w = point(first), point(second)[::-1].copy()
    for f in (lambda x, w: x * w + x, lambda x, w: np.sum(x / (w * w + 4.0)), lambda x, w: x @ w.T):
        expected = f(x, w)
        y, back = ad.pullback(f, exact_backend.adtype, x, w)
        assert np.result_type(y) == np.result_type(expected)
        y_bar = seed_like(expected)
        bars = back(y_bar)
        reference, back = ad.pullback(f, ad.AutoTape(), x.astype(double(first)), w.astype(double(second)))
        wants = back(np.asarray(y_bar, np.result_type(reference))[()])
        eps = max(float(np.finfo(first).eps), float(np.finfo(second).eps))
        for bar, want, arg in zip(bars, wants, (x, w), strict=True):
            assert bar.dtype == arg.dtype
            np.testing.assert_allclose(bar, want, rtol=0, atol=60 * eps * np.max(np.abs(want)))
