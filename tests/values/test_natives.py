"""Arrays that nobody here has heard of: one class that says what they are makes them leaves on every operator."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect.values.natives import Natives, framework_of, is_native, register_natives, to_numpy, unregister_natives


class Column:
    """An array type without any of NumPy's protocols."""

    def __init__(self, numbers):
        self.numbers = np.asarray(numbers)
        self.shape, self.dtype = self.numbers.shape, self.numbers.dtype


class Columns(Natives):
    framework = "columns"
    module = __name__

    def classes(self):
        return (Column,)

    def to_numpy(self, value):
        return value.numbers

    def like(self, array, value):
        return Column(np.asarray(array).astype(value.dtype if value.dtype.kind in "fc" else float))

    def project(self, grad, leaf):
        return self.like(np.broadcast_to(grad, leaf.shape), leaf)

    def stack(self, columns):
        return Column(np.stack([c.numbers for c in columns], axis=1))


@pytest.fixture
def columns():
    register_natives(Columns)
    yield
    unregister_natives("columns")


def cubes(x):
    return np.sum(x**3)


X = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward(), ad.AutoFiniteDifferences()], ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_gradients_are_of_the_same_kind(columns, adtype, dtype):
    (g,) = ad.gradient(
        cubes if adtype != ad.AutoFiniteDifferences() else lambda c: cubes(to_numpy(c)), adtype, Column(X.astype(dtype))
    )
    assert type(g) is Column
    assert g.dtype == (np.float64 if dtype is np.int64 else dtype)
    np.testing.assert_allclose(g.numbers, 3 * X**2, rtol=1e-5)


def test_structures_and_matrices(columns):
    model = {"w": Column(X), "b": 2.0}
    (g,) = ad.gradient(lambda m: m["b"] * cubes(m["w"]), model)
    np.testing.assert_allclose(g["w"].numbers, 6 * X**2)
    assert g["b"] == 36.0
    (matrix,) = ad.jacobian(lambda x: x**2, Column(X))
    assert type(matrix) is Column
    np.testing.assert_allclose(matrix.numbers, np.diag(2 * X))
    np.testing.assert_allclose(to_numpy(ad.hessian(cubes, Column(X))), np.diag(6 * X))


def test_what_is_not_registered_is_no_array():
    assert framework_of(Column(X)) == ""
    register_natives(Columns)
    try:
        assert framework_of(Column(X)) == "columns"
        assert is_native(Column(X))
    finally:
        unregister_natives("columns")
    assert not is_native(Column(X))
    with pytest.raises(KeyError):
        unregister_natives("columns")
    with pytest.raises(TypeError, match="has to name its framework"):
        register_natives(Natives)
