"""ignore_derivatives on every backend."""

from __future__ import annotations

import numpy as np

import adselect as ad


def test_values_and_code(exact_backend):
    adtype = exact_backend.adtype
    grads = ad.gradient(lambda x, w: ad.ignore_derivatives(x) * w, adtype, 1.5, 2.5)
    assert grads[0] is None
    assert grads[1] == 1.5
    assert ad.gradient(lambda x: x * ad.ignore_derivatives(lambda: x * x), adtype, 3.0) == (9.0,)
    x = np.array([1.0, 2.0])
    got = ad.gradient(lambda x: np.sum(x * ad.ignore_derivatives({"a": (x, "text")})["a"][0]), adtype, x)[0]
    np.testing.assert_allclose(got, x)


def test_second_order(exact_backend):
    h = ad.hessian(lambda x: np.sum(x**2 * ad.ignore_derivatives(x)), exact_backend.adtype, np.array([1.0, 2.0]))
    np.testing.assert_allclose(h, np.diag([2.0, 4.0]))


def test_in_a_replay():
    prepared = ad.prepare(ad.gradient, lambda x: np.sum(x * ad.ignore_derivatives(x)), ad.AutoTape(), np.ones(2))
    np.testing.assert_allclose(prepared(np.array([3.0, 4.0]))[0], [3.0, 4.0])
