"""reduce, accumulate, reduceat, outer and at of ufuncs: NumPy's values, and derivatives by differences."""

import numpy as np
import pytest

import adselect as ad

X = np.array([[0.3, -1.2, 0.8], [1.7, 0.4, -0.6]])
Z = X + 1j * np.array([[0.5, 0.1, -0.9], [0.2, -1.1, 0.7]])
V = np.array([0.7, -1.3, 2.1, 0.9])
AGAIN = np.array([0, 0, 2, 0])  # an index that comes up three times


def added(x, v):
    y = np.copy(x)
    np.add.at(y, AGAIN, v)
    np.subtract.at(y, (AGAIN[:2],), 2 * v[:2])
    return y


def multiplied(x, v):
    y = np.copy(x)
    np.multiply.at(y, AGAIN, v)
    return y


def negated(x, v):
    y = x * v[:3]
    np.negative.at(y, [2, 2, 1])
    return y


def largest(x, v):
    y = np.copy(x)
    np.maximum.at(y, AGAIN, v)
    return y


PROGRAMS = {
    "maximum.accumulate": (lambda x: np.maximum.accumulate(x, axis=1), (X,)),
    "minimum.accumulate": (lambda x: np.minimum.accumulate(x), (X,)),
    "logaddexp.accumulate": (lambda x: np.logaddexp.accumulate(x, axis=-1), (X,)),
    "logaddexp.reduce": (lambda x: np.logaddexp.reduce(x, axis=0), (X,)),
    "logaddexp.reduce of all, keepdims": (lambda x: np.logaddexp.reduce(x, axis=None, keepdims=True), (X,)),
    "hypot.reduce": (lambda x: np.hypot.reduce(x, axis=(0, 1)), (X,)),
    "subtract.reduce": (lambda x: np.subtract.reduce(x, axis=1), (X,)),
    "divide.reduce, initial": (lambda x: np.divide.reduce(x, axis=0, initial=2.0), (X,)),
    "multiply.outer": (lambda x, v: np.multiply.outer(x, v), (X, V)),
    "add.reduceat": (lambda v: np.add.reduceat(v, [0, 2]), (V,)),
    "add.at": (added, (X[0], V)),
    "add.at, complex": (added, (Z[0], V * 1j)),
    "multiply.at": (multiplied, (X[0], V)),
    "maximum.at": (largest, (X[0], V)),
    "negative.at": (negated, (X[0], V)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_derivatives(exact_backend, name):
    f, args = PROGRAMS[name]
    rng = np.random.default_rng(7)
    y, back = ad.pullback(f, exact_backend.adtype, *args)
    expected = f(*args)
    np.testing.assert_allclose(y, expected, rtol=1e-12)

    def random(like):
        part = rng.normal(size=np.shape(like))
        return part + 1j * rng.normal(size=np.shape(like)) if np.iscomplexobj(like) else part

    y_bar, x_dots = random(expected), tuple(random(a) for a in args)
    h = 1e-6
    ahead = f(*[a + h * d for a, d in zip(args, x_dots, strict=True)])
    behind = f(*[a - h * d for a, d in zip(args, x_dots, strict=True)])
    along = (ahead - behind) / (2 * h)
    _, y_dot = ad.pushforward(f, exact_backend.adtype, args, x_dots)
    np.testing.assert_allclose(y_dot, along, rtol=1e-7, atol=1e-8)
    pulled = sum(np.vdot(b, d).real for b, d in zip(back(y_bar), x_dots, strict=True))
    np.testing.assert_allclose(pulled, np.vdot(y_bar, along).real, rtol=1e-7, atol=1e-8)


def test_sign_of_a_complex_number(exact_backend):
    """d(z/|z|) has no part along z."""
    _, y_dot = ad.pushforward(np.sign, exact_backend.adtype, (Z,), (Z,))
    np.testing.assert_allclose(y_dot, np.zeros_like(Z), atol=1e-14)
    _, y_dot = ad.pushforward(np.sign, exact_backend.adtype, (Z,), (1j * Z,))
    np.testing.assert_allclose(y_dot, 1j * np.sign(Z), rtol=1e-12)
