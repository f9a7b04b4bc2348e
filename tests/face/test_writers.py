"""Functions of NumPy that write, and methods of ufuncs: the same entries in the same order, and the same errors."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import numeric_jacobian

import adselect as ad

X = np.arange(1.1, 16).reshape(5, 3) / 3


def _put(y, *args, **options):
    y.put(*args, **options)


WRITES = {
    "diagonal of a tall array": lambda y: np.fill_diagonal(y, 7.0),
    "wrapped diagonal": lambda y: np.fill_diagonal(y, 7.0, wrap=True),
    "wrapped diagonal by position": lambda y: np.fill_diagonal(y, [1.0, 2.0], True),
    "diagonal of too few values": lambda y: np.fill_diagonal(y, [1.0, 2.0]),
    "diagonal of too many values": lambda y: np.fill_diagonal(y, [1.0, 2.0, 3.0, 4.0, 5.0]),
    "diagonal of traced values": lambda y: np.fill_diagonal(y, y[4, :2] * 2),
    "diagonal of a view": lambda y: np.fill_diagonal(y[:, ::-1], y[4] * 1.0),
    "diagonal of a vector": lambda y: np.fill_diagonal(y[0], 7.0),
    "diagonal of a box": lambda y: np.fill_diagonal(y[None], 7.0),
    "put counts from the end": lambda y: np.put(y, [0, -1], y[1, 1] * 2),
    "put out of bounds": lambda y: np.put(y, [0, 20], 5.0),
    "put by method": lambda y: _put(y, [-2, 3], [5.0, 6.0]),
    "put wrapped": lambda y: _put(y, [0, 20], 5.0, "wrap"),
    "put clipped": lambda y: _put(y, [0, 20], 5.0, mode="clip"),
    "place of nothing": lambda y: np.place(y, y > 2, []),
    "place of nothing nowhere": lambda y: np.place(y, y > 200, []),
    "place again and again": lambda y: np.place(y, y > 2, [1.0, y[0, 0]]),
    "fill with an array": lambda y: y.fill(y[0]),
    "copyto of complex": lambda y: np.copyto(y, 1j),
    "copyto of complex, same kind": lambda y: np.copyto(y, y * 1j, "same_kind"),
    "out of complex": lambda y: np.add(y, 1j, out=y),
    "out of complex in a view": lambda y: np.exp(1j * y[0], out=y[1]),
    "out of outer": lambda y: np.multiply.outer(y[0, 0], y[0], out=y[2]),
    "out of outer where": lambda y: np.multiply.outer(y[0, 0], y[0], out=y[2], where=[True, False, True]),
}
METHODS = {
    "subtract.reduce axis": lambda x: np.subtract.reduce(x, axis=5),
    "subtract.reduce of two axes": lambda x: np.subtract.reduce(x, axis=(0, 1)),
    "hypot.reduce of all": lambda x: np.hypot.reduce(x, axis=None),
    "fmax.reduce of two axes": lambda x: np.fmax.reduce(x, axis=(0, 1)),
    "subtract.accumulate axis": lambda x: np.subtract.accumulate(x, axis=3),
    "subtract.accumulate from the end": lambda x: np.subtract.accumulate(x, axis=-1),
    "reduceat out of bounds": lambda x: np.add.reduceat(x, [0, 5]),
    "reduceat from the end": lambda x: np.add.reduceat(x, [0, -1]),
    "reduceat of nothing": lambda x: np.add.reduceat(x, np.array([], int)),
    "reduceat of differences": lambda x: np.subtract.reduceat(x, [0, 2, 1], axis=1),
    "reduceat of logaddexp": lambda x: np.logaddexp.reduceat(x, np.array([0, 3]), -2),
    "reduceat in float32": lambda x: np.add.reduceat(x, [0, 2], dtype=np.float32),
    "outer in complex": lambda x: np.multiply.outer(x[0], x[1], dtype=complex).real,
}


def _outcome(f, x):
    try:
        return f(x), None
    except Exception as error:
        return None, type(error)


def _holds(f, adtype, x):
    wanted, error = _outcome(f, x)
    if error is not None:
        with pytest.raises(next(c for c in error.__mro__ if c.__module__ == "builtins")):
            ad.gradient(f, adtype, x)
        return
    value, (gradient,) = ad.withgradient(f, adtype, x)
    np.testing.assert_allclose(value, wanted, rtol=1e-6)
    if "float32" not in f.__name__:  # whose steps differences cannot see
        np.testing.assert_allclose(gradient, numeric_jacobian(f, x)[0].reshape(x.shape), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", WRITES)
def test_writers(exact_backend, name):
    def f(x):
        y = x.copy()
        WRITES[name](y)
        return np.sum(y * x * np.cos(np.arange(15.0)).reshape(5, 3))

    _holds(f, exact_backend.adtype, X)


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_ufuncs(exact_backend, name):
    def f(x):
        y = METHODS[name](x)
        assert "float32" not in name or y.dtype == np.float32
        return np.sum(y.astype(float) * np.cos(np.arange(np.size(y))).reshape(np.shape(y)))

    f.__name__ = name
    _holds(f, exact_backend.adtype, X)
