"""Prepared calls on JAX with integer arguments: indices and sizes work; what cannot names the way out."""

import collections
import itertools
import math
import operator

import numpy as np
import pytest

import adselect as ad
from adselect import AutoJax, UnsupportedError

pytest.importorskip("jax")
X = np.array([1.0, 2.0, 3.0])

USES = {
    "range": lambda x, n: sum(x[0] for _ in range(n)),
    "x.shape[d]": lambda x, n: np.sum(x) * x.shape[n - 2],
    "list": lambda x, n: [x[0], x[1], x[2]][n],
    "text": lambda x, n: np.sum(x) if "abc"[n] == "c" else x[0],
    "deque": lambda x, n: collections.deque([x[0], x[1], x[2]])[n],
    "slice": lambda x, n: np.sum(x[n - 1 : n + 1] ** 2) + np.sum(np.array([1.0, 2.0, 3.0])[:n]),
    "index": lambda x, n: x[n] * n + np.sum(x[[0, n]]) + np.array([1.0, 2.0, 3.0])[n],
    "shape": lambda x, n: np.sum((np.zeros(n) + x[0]) * np.full(n, x[1])) + np.sum(np.ones((n, 2)) * x[2]),
    "axis": lambda x, n: np.sum(np.sum(np.outer(x, x), axis=n - 1) * x),
    "reshape": lambda x, n: np.sum(np.reshape(np.concatenate([x, x]), (n, -1))[0]),
    "int": lambda x, n: np.sum(x) * int(n) * operator.index(n) * math.factorial(n),
    "branch": lambda x, n: np.sum(x) if n > 1 and n != 3 and n % 2 == 0 and n else x[0],
    "str": lambda x, n: np.sum(x) * len(f"{n:03d}") * len(str(n)),
    "itertools": lambda x, n: sum(a * b for a, b in itertools.combinations([x[0], x[1], x[2]], n)),
}


@pytest.mark.parametrize("use", USES)
def test_an_integer_works_as_one(use):
    f = USES[use]
    prepared = ad.prepare(ad.gradient, f, AutoJax(), X, 2)
    for x, n in ((X, 2), (2 * X, 2)):
        want = ad.gradient(f, AutoJax(), x, n)
        for got, expected in zip(prepared(x, n), want, strict=True):
            assert (got is None) == (expected is None)
            if got is not None:
                np.testing.assert_allclose(got, expected)


def test_other_integers_are_compiled_when_they_come():
    prepared = ad.prepare(ad.gradient, lambda x, n: x[n] * n**2, AutoJax(), X, 2)
    for n in (2, 0, 1, 2, -1):
        np.testing.assert_array_equal(prepared(X, n)[0], np.eye(3)[n] * n**2)
        np.testing.assert_allclose(prepared(X, n)[1], 2 * n * X[n])
    arrays = ad.prepare(ad.gradient, lambda x, k: np.sum(x[k] ** 2), AutoJax(), X, np.array([0, 2]))
    for k in ([0, 2], [1, 1]):
        np.testing.assert_array_equal(arrays(X, np.array(k))[0], 2 * np.sum(np.eye(3)[k], axis=0) * X)


def test_arithmetic_with_an_integer_compiles_once():
    runs = []

    def f(x, n):
        runs.append(n)
        return np.sum(x**n) * n

    prepared = ad.prepare(ad.gradient, f, AutoJax(), X, 2)
    count = len(runs)
    for n in (2, 3, 7):
        np.testing.assert_allclose(prepared(X, n)[0], n * n * X ** (n - 1))
    assert len(runs) == count


@pytest.mark.parametrize(
    "f",
    [
        lambda x, n: np.sum(np.pad(x, n)),
        lambda x, n: np.sum(x) * n.bit_length(),
        lambda x, n: np.sum(x) * {2: 3.0}[n],
        lambda x, n: x[n] if x[0] > 0 else x[1],
    ],
)
def test_what_cannot_be_compiled_names_const(f):
    with pytest.raises(ad.ADSelectError) as caught:
        ad.prepare(ad.gradient, f, AutoJax(), X, 2)
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert "Const(n)" in text
    assert __file__ in text


@pytest.mark.parametrize("f", [lambda x, n: np.sum(np.diag(x, n) ** 2), lambda x, n: np.sum(x**2) * (n >> 1)])
def test_counts_and_shifts_take_the_integer_of_the_call(f):
    prepared = ad.prepare(ad.gradient, f, AutoJax(), X, 2)
    for n in (2, 3, 5):
        np.testing.assert_allclose(prepared(X, n)[0], 2 * X * (f(np.ones(1), n)))


def test_truth_values_need_a_number():
    with pytest.raises(UnsupportedError, match="while JAX compiles"):
        ad.prepare(ad.gradient, lambda x: np.sum(x) * int(x[0] < 0), AutoJax(), X)


def test_truth_values_are_no_indices_of_lists():
    f = lambda x: [x[0], x[1]][x[0] > 0]
    for call in (lambda: f(X), lambda: ad.gradient(f, AutoJax(), X), lambda: ad.prepare(ad.gradient, f, AutoJax(), X)):
        with pytest.raises(TypeError):
            call()


def test_an_eager_truth_value_is_an_integer():
    f = lambda x: np.sum(x) * int(x[0] > 0)
    np.testing.assert_array_equal(ad.gradient(f, AutoJax(), X)[0], np.ones(3))
