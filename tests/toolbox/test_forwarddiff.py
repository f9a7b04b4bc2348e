"""forwarddiff: the same gradients, by forward mode inside a reverse pass, on every backend."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from conftest import numeric_jacobian
from samples.functions import Counted, rosenbrock

import adselect as ad

X = np.array([0.1, 0.7, 1.3])


def table(x):
    return np.outer(x, np.sin(x))


def test_derivatives_are_those_without_it(backend):
    adtype = backend.adtype
    assert ad.gradient(lambda x: ad.forwarddiff(lambda z: z**2, x), adtype, 5)[0] == pytest.approx(10.0, rel=1e-9)
    J = ad.jacobian(lambda x: np.ravel(ad.forwarddiff(table, x)), adtype, X)[0]
    np.testing.assert_allclose(J, numeric_jacobian(table, X), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(J, ad.jacobian(lambda x: np.ravel(table(x)), X)[0], rtol=1e-7, atol=1e-9)


def test_second_derivatives(exact_backend):
    f = lambda x: ad.forwarddiff(rosenbrock, x)
    wanted = ad.hessian(rosenbrock, X)
    np.testing.assert_allclose(ad.hessian(f, exact_backend.adtype, X), wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ad.hessian_reverse(f, exact_backend.adtype, X), wanted, rtol=1e-9, atol=1e-9)
    cube = ad.gradient(lambda x: ad.forwarddiff(lambda x: ad.forwarddiff(lambda y: y * x, x * x), x), 3.0)
    assert cube == (27.0,)


def test_what_f_closes_over_is_differentiated(exact_backend):
    adtype = exact_backend.adtype
    assert ad.gradient(lambda a, b: ad.forwarddiff(lambda v: v * b, a), adtype, 2.0, 3.0) == (3.0, 2.0)
    assert ad.gradient(lambda a, b: ad.forwarddiff(lambda v: v[0] * v[1], np.array([a, b])), adtype, 2.0, 3.0) == (3, 2)
    weights = {"w": X}
    got = ad.gradient(lambda p, x: ad.forwarddiff(lambda x: np.sum(p["w"] * x**2), x), adtype, weights, 2 * X)
    np.testing.assert_allclose(got[0]["w"], 4 * X**2)
    np.testing.assert_allclose(got[1], 4 * X**2)


def test_structures(exact_backend):
    def f(x):
        r = ad.forwarddiff(lambda d: {"a": d["u"] ** 2, "b": (d["v"] * 2, "text")}, {"u": x[0], "v": x})
        return r["a"] * np.sum(r["b"][0])

    wanted = numeric_jacobian(lambda x: x[0] ** 2 * 2 * np.sum(x), X)[0]
    np.testing.assert_allclose(ad.gradient(f, exact_backend.adtype, X)[0], wanted, rtol=1e-8)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda z: np.abs(z * z) ** 2, 1 + 2j),
        (lambda z: np.abs(ad.forwarddiff(lambda z: z * z * (1 + 1j), z)) ** 2, 1 + 2j),
        (lambda x: np.sum(np.sin(x)), np.ones(2, np.float32)),
        (lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)), np.array([0.0, 4.0])),
    ],
    ids=["complex", "complex result", "float32", "strong zeros"],
)
def test_kinds_of_numbers(exact_backend, f, x):
    with np.errstate(all="ignore"):
        got = ad.gradient(lambda x: ad.forwarddiff(f, x), exact_backend.adtype, x)[0]
        wanted = ad.gradient(f, ad.AutoTape(), x)[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert np.result_type(got) == np.result_type(wanted)


def test_chunks_bound_the_calls(exact_backend):
    x = np.arange(1.0, 101)
    for chunk_size, calls in (
        (11, 1 + 10),
        (100, 1 + 1),
        (None, 1 + 2),
    ):
        f = Counted(lambda v: v @ v)
        got = ad.gradient(lambda x, f=f, c=chunk_size: ad.forwarddiff(f, x, chunk_size=c), exact_backend.adtype, x)[0]
        np.testing.assert_allclose(got, 2 * x)
        if exact_backend.name == "tape":
            assert f.calls == calls  # the value, then a chunk of directions at a time
    for wrong in (0, -1, True):
        with pytest.raises(ad.ADSelectError, match="no number of directions"):
            ad.forwarddiff(np.sin, x, chunk_size=wrong)
    with pytest.raises(TypeError, match="function first"):
        ad.forwarddiff(x, np.sin)


def test_prepared(exact_backend):
    prepared = ad.prepare(ad.gradient, lambda x: ad.forwarddiff(rosenbrock, x), exact_backend.adtype, X)
    for x in (X, X + 1, X - 0.3):
        np.testing.assert_allclose(prepared(x)[0], ad.gradient(rosenbrock, x)[0])


HIDDEN: list = []


def hidden(v):
    return v * HIDDEN[0]


def test_a_traced_value_out_of_reach_is_an_error(exact_backend):
    if exact_backend.name == "forward":
        pytest.skip("f itself is called, and everything is differentiated")

    def by_a_global(a, b):
        HIDDEN[:] = [b]
        return ad.forwarddiff(hidden, a)

    def by_a_default(a, b):
        return ad.forwarddiff(lambda v, b=b: v * b, a)

    try:
        for f in (by_a_global, by_a_default):
            with pytest.raises(
                ad.TracedValueError, match=r"forwarddiff at .*test_forwarddiff.py:\d+ uses the traced value"
            ):
                ad.gradient(f, exact_backend.adtype, 2.0, 3.0)
    finally:
        HIDDEN.clear()


def test_memory_does_not_grow_with_the_program():
    def long(x):
        big = np.ones(20_000) * x
        for _ in range(100):
            big = np.sin(big) + x
        return np.sum(big)

    peaks = []
    for f in (long, lambda x: ad.forwarddiff(long, x)):
        tracemalloc.start()
        try:
            grad = ad.gradient(f, 0.5)[0]
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert grad == pytest.approx(ad.derivative(long, ad.AutoForward(), 0.5), rel=1e-12)
    assert peaks[1] < peaks[0] / 5
