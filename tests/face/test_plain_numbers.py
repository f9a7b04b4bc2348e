"""Numbers that carry no derivative are plain numbers: comparisons, positions, counts and what follows from them."""

from __future__ import annotations

import contextlib
import math
import operator

import numpy as np
import pytest

import adselect as ad

A = np.array([1.5, 0.3, 2.5])
B = np.array([-0.4, 1.2, 0.7])
W = np.array([1.0, 2.0, 3.0])


def written(x):
    y = np.zeros(3)
    y[0] = x[0] > 0
    y[1:] = x[1:] > 1
    return np.sum(y * x)


def cleared(x):
    v = W.copy()
    v[x > 1] = 0.0
    return np.sum(v * x)


def masked_in_place(x):
    v = W.copy()
    v *= x > 1
    np.add(v, np.argmax(x), out=v)
    return np.sum(v * x)


def copied(x):
    v = np.zeros(3)
    np.copyto(v, x > 1)
    np.put(v, [0], np.argmax(x))
    np.add.at(v, [1, 1], np.sum(x > 1))
    np.place(v, x > 2, [7.0])
    np.putmask(v, x < 0.5, np.argmin(x))
    return np.sum(v * x)


PROGRAMS = {
    "float of a comparison": lambda x: x[0] * float(x[0] > 0),
    "int of a comparison": lambda x: x[int(x[0] < 0)] * 3,
    "complex of a comparison": lambda x: np.real(x[0] * complex(x[1] > 1)),
    "float of a position": lambda x: x[1] * float(np.argmax(x)),
    "int of a position": lambda x: x[int(np.argmax(x))] * 2,
    "operator.index": lambda x: x[operator.index(np.argmin(x))],
    "a list by position": lambda x: x[0] * [5, 6, 7][np.argmax(x)],
    "a dictionary by position": lambda x: x[0] * {0: 1.0, 1: 2.0, 2: 3.0}[int(np.argmax(x))],
    "a count": lambda x: x[0] * float(np.sum(x > 1)),
    "a share": lambda x: x[0] * float(np.mean(x > 1)),
    "count_nonzero": lambda x: x[0] * float(np.count_nonzero(x > 1)),
    "any": lambda x: x[0] * float(np.any(x > 1)),
    "math of a count": lambda x: x[0] * math.sqrt(np.sum(x > 0)),
    "np.float64": lambda x: x[0] * np.float64(x[1] > 1),
    "np.asarray": lambda x: x[0] * np.asarray(x > 1).sum(),
    "np.array with a dtype": lambda x: np.sum(x * np.array([x[0] > 0, x[1] > 1, True], float)),
    "range": lambda x: sum(x[i] for i in range(int(np.sum(x > 1)))),
    "round": lambda x: x[0] * round(np.sum(x > 1) / 3),
    "rounded": lambda x: x[0] * float(x[1].astype(int)),
    "isfinite": lambda x: x[0] * float(np.isfinite(x[1])),
    "a mask on a plain array": lambda x: x[0] * np.sum(W[np.abs(x) > 0.5]),
    "ignore_derivatives": lambda x: x[0] * float(ad.ignore_derivatives(x[1]) > 1),
    "written": written,
    "cleared": cleared,
    "masked in place": masked_in_place,
    "copied": copied,
}


def slopes(f, x):
    """Of a function that is piecewise linear, by differences."""
    step = 1e-6
    return [(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(len(x))]


@pytest.mark.parametrize("name", PROGRAMS)
def test_eagerly(exact_backend, name):
    f = PROGRAMS[name]
    for x in (A, B):
        value, (g,) = ad.withgradient(f, exact_backend.adtype, x)
        assert np.isclose(value, f(x))
        np.testing.assert_allclose(0 if g is None else g, slopes(f, x), rtol=1e-6, atol=1e-8)


# Plain arrays are made of masks or written to with them: calls that cannot be written down.
NOT_REPLAYED = {"masked in place", "copied"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_prepared_tape_is_right_at_another_point(name):
    f = PROGRAMS[name]
    with pytest.warns(ad.NotReplayedWarning) if name in NOT_REPLAYED else contextlib.nullcontext():
        prepared = ad.prepare(ad.gradient, f, ad.AutoTape(), A)
    for x in (A, B, A):
        np.testing.assert_allclose(prepared(x)[0], slopes(f, x), rtol=1e-6, atol=1e-8)


def test_inside_a_second_derivative(exact_backend):
    h = ad.hessian(lambda x: np.sum(x**3) * float(np.sum(x > 1)), exact_backend.adtype, A)
    np.testing.assert_allclose(h, np.diag(12 * A), rtol=1e-6)


@pytest.mark.parametrize("name", ["float of a comparison", "int of a position", "np.asarray", "written"])
def test_compiled_by_jax_there_is_no_value(name):
    pytest.importorskip("jax")
    with pytest.raises(ad.UnsupportedError, match=r"test_plain_numbers\.py:\d+.*np\.where"):
        ad.prepare(ad.gradient, PROGRAMS[name], ad.AutoJax(), A)


def test_batched_by_torch_there_is_no_value():
    torch = pytest.importorskip("torch")
    batch = torch.tensor(np.stack([A, B]))
    f = PROGRAMS["float of a comparison"]
    with pytest.raises(ad.TracedValueError, match=r"test_plain_numbers\.py:\d+.*np\.where"):
        torch.func.vmap(lambda x: ad.gradient(f, ad.AutoTorch(face="numpy"), x)[0])(batch)


def test_numbers_with_a_derivative_are_refused_all_the_same(exact_backend):
    for f in (
        lambda x: float(x[0] * (x[1] > 0)),
        lambda x: float(np.where(x > 0, x, 0.0)[0]),
        lambda x: float(np.maximum(x[0], 0.0)),
        lambda x: float(np.abs(x[0])),
        lambda x: np.sum(np.asarray(x * (x > 0))),
    ):
        with pytest.raises(ad.TracedValueError):
            ad.gradient(f, exact_backend.adtype, A)


def test_a_comparison_is_no_index(exact_backend):
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        ad.gradient(lambda x: [1.0, 2.0][operator.index(x[0] > 0)] * x[0], exact_backend.adtype, A)


def test_an_integer_argument_counts_as_a_float(exact_backend):
    with pytest.raises(ad.TracedValueError):
        ad.gradient(lambda n: float(n) * 2.0, exact_backend.adtype, 3)


def test_a_value_that_outlived_the_inner_derivative_still_belongs_to_the_outer_one():
    def f(x):
        kept = []

        def inner(y):
            kept.append(x * y)
            return x * y

        ad.gradient(inner, ad.AutoTape(), 2.0)
        return float(kept[0])

    with pytest.raises(ad.TracedValueError):
        ad.gradient(f, ad.AutoTape(), 3.0)
