"""Buffer: written and read while f runs, growing, frozen by copy, on every backend and to second order."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import numeric_jacobian

import adselect as ad

X = np.array([0.5, 1.5])


def slices(x):
    b = ad.Buffer(np.zeros(4))
    b[0:2] += x
    b[0:2] *= x
    b[[1, 3]] += x
    b[[0, 0]] = x
    b[2] += x[0] * x[1]
    return np.sum(b.copy() ** 2)


def rows(x):
    b = ad.Buffer(np.zeros((3, 2)))
    b[0] += x
    b[1] += b[0] * x
    b[2, 1] = x[0]
    b[2] *= 3
    b[1:, 0] -= x
    return np.sum(b.copy() ** 3)


def rows_of_its_kind(x):
    b = ad.Buffer(x, 3, 2)
    b[0] += x
    b[1] += b[0] * x
    return np.sum(b.copy() ** 3)


def growing(x):
    b = ad.Buffer([])
    for k in range(3):
        b.append(x * k)
        x = np.sin(x) + b[-1]
    b.extend([x, x**2])
    b.extend(np.outer(x, x))
    assert len(b) == 7
    assert b.shape == (7, 2)
    return np.sum(b.copy() ** 2)


def growing_by_numbers(x):
    b = ad.Buffer(x)
    for _ in range(3):
        b.append(b[-1] * b[0])
        b[0] = b[1]
    return np.sum(b.copy() ** 2)


def out_of_integers(x):
    b = ad.Buffer(np.arange(3))
    b[1] = x[0]
    b.append(x[1])
    return np.sum(b.copy() ** 2)


def reading(x):
    b = ad.Buffer(np.zeros(3))
    b[0] = x[0]
    part, number = b[0:2], b[0]
    b[0] = 5.0
    return np.sum(part) * number + b[0] * x[1]


def kept_apart(x):
    y = x * 1.0
    b = ad.Buffer(y, 2, 2)
    b[:] = y
    b.append(y)
    y[0] = 7.0
    return np.sum(b.copy() ** 2) + np.sum(y)


PROGRAMS = (slices, rows, rows_of_its_kind, growing, growing_by_numbers, out_of_integers, reading, kept_apart)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_value_gradient_and_hessian(backend, f):
    value, grad = ad.withgradient(f, backend.adtype, X)
    assert value == pytest.approx(f(X), rel=1e-12)
    np.testing.assert_allclose(grad[0], numeric_jacobian(f, X)[0], rtol=1e-7, atol=1e-8)
    wanted = numeric_jacobian(lambda x: ad.gradient(f, ad.AutoTape(), x)[0], X)
    np.testing.assert_allclose(ad.hessian(f, backend.adtype, X), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_prepared(exact_backend, f):
    prepared = ad.prepare(ad.gradient, f, exact_backend.adtype, X)
    for x in (X, X + 0.1):
        np.testing.assert_allclose(prepared(x)[0], ad.gradient(f, x)[0], rtol=1e-9)


def test_what_is_written_over_counts_no_more(exact_backend):
    def f(x):
        b = ad.Buffer(x)
        b[:] = x
        b[:] = 2.0
        return np.sum(b.copy())

    assert ad.gradient(f, exact_backend.adtype, X) == (None,)


def test_frozen_after_copy():
    b = ad.Buffer(np.zeros(3))
    b[0] = 1
    found = b.copy()
    for write in (lambda: b.__setitem__(0, 2.0), lambda: b.append(1.0), lambda: b.extend([1.0])):
        with pytest.raises(RuntimeError, match="frozen by copy"):
            write()
    np.testing.assert_array_equal(b[0:2], [1.0, 0.0])  # reading goes on
    assert (len(b.data), b.shape, b.ndim, b.size, len(found)) == (3, (3,), 1, 3, 3)


def test_dtypes():
    b = ad.Buffer(np.zeros(2, np.float32))
    b[0] = 2.5
    b.append(1.0)
    assert b.dtype == np.float32
    b = ad.Buffer([1, 2])
    b.append(3)
    assert b.dtype.kind == "i"
    b[0] = 2.5  # not cut off, as it is not under a derivative
    np.testing.assert_array_equal(b.copy(), [2.5, 2.0, 3.0])
    b = ad.Buffer([])
    b.extend([1.0, 2, 1j])
    np.testing.assert_array_equal(b.copy(), [1, 2, 1j])


def test_entries_that_do_not_fit():
    b = ad.Buffer(np.zeros((0, 2)))
    b.append(X)
    with pytest.raises(ad.ADSelectError, match=r"an entry of shape \(3,\), the others have shape \(2,\)"):
        b.append(np.zeros(3))
    with pytest.raises(ad.ADSelectError, match="without axes cannot grow"):
        ad.Buffer(1.0).append(2.0)
    b = ad.Buffer([])
    b.append(X)
    with pytest.raises(ad.ADSelectError, match="the others have shape"):
        b.append(1.0)
