"""What the replay's algebra finds, and that the numbers stay those of the eager tape."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect import AutoTape

RNG = np.random.default_rng(0)
X = RNG.normal(size=12)
M = RNG.normal(size=(40, 5))
T = RNG.normal(size=(5, 30, 8))
DATA = RNG.normal(size=(40, 3))


def log_sum_exp(x):
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def softmax_rows(m):
    m = m - np.max(m, axis=1, keepdims=True)
    return -np.sum((m - np.log(np.sum(np.exp(m), axis=1, keepdims=True)))[:, 0]) / 40


def softmax_columns(m):
    top = np.max(m, axis=0, keepdims=True)
    return np.sum(top[0] + np.log(np.sum(np.exp(m - top), axis=0)))


def factors(x):
    return np.sum(3.0 * (2.0 * x - 0.5) * (-x) / 4.0) - 2.0 * np.sum(-((0.25 * x) ** 2))


def bells(x):
    for _ in range(3):
        x = np.exp(-x * x) + 0.5 * x
    return np.sum(x)


def squares(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def differences(x):
    return np.sum((x * x - 2.0 * x) - (x * x + 2.0 * x)) + np.sum(x * x - 3.0 * (x + 1.0) ** 2)


def rolled(x):
    return np.sum(x * np.roll(x, 2) + np.roll(x, -1) ** 3 * np.tile(x[:4], 3)) + np.sum(np.flip(x) * x**2)


def rows_of_products(t):
    w = np.arange(16.0).reshape(8, 2) / 10
    return np.sum(np.sum(t @ w, axis=1) ** 2) + np.sum(np.sum(t * np.exp(w[:, 0]), axis=1) ** 3)


def sums_along(t):
    return sum(np.sum(np.sum(t * t, axis=k) ** 2) + np.sum(np.sin(np.sum(t, axis=k, keepdims=True))) for k in range(3))


def nearest(m):
    distances = np.sum((m[:, None, :] - DATA.T[None, :, :5]) ** 2, axis=2)
    return np.sum(np.min(distances, axis=1)) + np.sum(np.max(m, axis=1) ** 2)


def rows_into_rows(m):
    w = m[:6, :4].reshape(2, 3, 4)
    total = 0.0
    for k in range(2):
        for j in range(3):
            total = total + np.sum(w[k][j] * np.sin(w[k][(j + 1) % 3]))
    return total


def shapes(m):
    return np.sum(m[:, None, :][:, 0] * m.T.T + m.reshape(5, 40).T[..., None][:, :, 0]) * 0.5


FUNCTIONS = {
    **dict.fromkeys((log_sum_exp, factors, bells, squares, differences, rolled), X),
    **dict.fromkeys((softmax_rows, softmax_columns, nearest, rows_into_rows, shapes), M),
    **dict.fromkeys((rows_of_products, sums_along), T),
}


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("operator", [ad.withgradient, ad.hvp], ids=lambda o: o.__name__)
def test_the_numbers_stay(f, dtype, operator):
    x = FUNCTIONS[f].astype(dtype)
    v = (x,) if operator is ad.withgradient else (x, np.cos(x))
    prepared = ad.prepare(operator, f, AutoTape(), *v, check="never")
    ad.source(prepared)  # replayed, not quietly eager
    for scale in (1.0, -0.7):
        args = tuple(a * dtype(scale) for a in v)
        got, want = prepared(*args), operator(f, AutoTape(replay=False), *args)
        if operator is ad.withgradient:
            got, want = (got.val, *got.grad), (want.val, *want.grad)
        for a, b in zip(got, want, strict=True):
            assert type(a) is type(b)
            assert np.asarray(a).dtype == np.asarray(b).dtype
            tolerance = 1e-11 if dtype is np.float64 else 1e-3
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.max(np.abs(b)))


def source(f, *args):
    return ad.source(ad.prepare(ad.withgradient, f, AutoTape(), *args))


def test_a_shift_that_cancels_has_no_derivative():
    for f, x in ((log_sum_exp, X), (softmax_rows, M), (softmax_columns, M)):
        text = source(f, x)
        assert "share" not in text
        assert "spread" not in text
    assert "share" in source(lambda m: np.sum(np.max(m, axis=1) ** 2), M)  # where it does not cancel it stays


def test_ties_of_a_shift_that_cancels():
    x = np.array([1.0, 3.0, 3.0, 0.0])
    prepared = ad.prepare(ad.gradient, log_sum_exp, AutoTape(), x)
    np.testing.assert_allclose(prepared(x)[0], np.exp(x) / np.sum(np.exp(x)), rtol=1e-14)


@pytest.mark.parametrize("axis", [0, 1])
def test_ties_and_nan_of_an_extremum_that_stays(axis):
    def f(m):
        return np.sum(np.max(m, axis=axis) ** 2)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), M, check="never")
    tied = np.round(M)
    np.testing.assert_allclose(prepared(tied)[0], ad.gradient(f, tied)[0], rtol=1e-14)
    broken = tied.copy()
    broken[3, 2] = np.nan
    np.testing.assert_array_equal(prepared(broken)[0], ad.gradient(f, broken)[0])


def test_squares_are_added_up_without_being_stored():
    text = source(squares, X)
    assert text.count("dot(") == 2
    assert "add_reduce" not in text


def test_factors_meet():
    text = source(lambda x: np.sum(3.0 * (2.0 * (-x)) ** 2 / 6.0), X)
    assert "dot(x, x)" in text
    assert "multiply(x, k4_0)" in text


def test_runs_of_elements_are_slices():
    text = source(lambda x: np.sum(np.roll(x, 1) * x), X)
    assert "x[11:]" in text
    index = np.roll(np.arange(12), 1)  # the user's own array may change: it is read in every replay
    f = lambda x: np.sum(x[index] * np.arange(12.0))
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    index[:] = np.arange(12)
    np.testing.assert_array_equal(prepared(X)[0], np.arange(12.0))


def test_extreme_factors_do_not_vanish():
    def f(x):
        return np.sum((x * 1e-200) * (x * 1e-100) * 1e250)

    x = np.full(3, 1e150)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), x, check="never")
    np.testing.assert_allclose(prepared(x)[0], ad.gradient(f, x)[0], rtol=1e-12)


def test_arguments_named_like_what_the_source_uses():
    def f(i, j, share, dot, v1, ones_3):
        y = i
        for _ in range(4):
            y = np.sin(y * share) + dot * np.exp(j) - v1 * ones_3
        return np.sum(y * y)

    args = [np.linspace(0, 1, 40_000) + k for k in range(6)]
    prepared = ad.prepare(ad.gradient, f, AutoTape(), *args, check="never")
    for got, want in zip(prepared(*args), ad.gradient(f, *args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
