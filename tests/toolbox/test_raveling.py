"""ravel: a structure's numbers as one vector and back, both differentiable on every backend."""

from __future__ import annotations

import collections
import dataclasses
import pickle

import numpy as np
import pytest
from conftest import numeric_jacobian

import adselect as ad

Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass
class Layer:
    w: object
    size: int
    name: str = "layer"


def test_every_structure_comes_back():
    shared = Layer(np.arange(2.0), 7)
    value = {
        "layer": Layer(np.arange(4.0).reshape(2, 2).astype(np.float32), 3),
        "pair": (1.5, Pair(np.float32(2.0), None)),
        "list": [np.array([True]), np.array(3.0), shared, shared],
        "integers": np.arange(2),
    }
    vector, unravel = ad.ravel(value)
    np.testing.assert_array_equal(vector, [0, 1, 2, 3, 1.5, 2, 3, 0, 1])
    assert vector.dtype == np.float64
    for back in (unravel, pickle.loads(pickle.dumps(unravel))):
        new = back(2 * vector)
        np.testing.assert_array_equal(new["layer"].w, 2 * value["layer"].w)
        assert new["layer"].w.dtype == np.float32
        assert (new["layer"].size, new["layer"].name) == (3, "layer")
        assert new["pair"] == (3.0, Pair(np.float32(4.0), None))
        assert type(new["pair"][0]) is float
        assert type(new["pair"][1].a) is np.float32
        assert new["list"][1].shape == ()
        assert new["list"][2] is new["list"][3]
        np.testing.assert_array_equal(new["integers"], [0, 1])
    np.testing.assert_array_equal(value["layer"].w, [[0, 1], [2, 3]])


def test_dtypes():
    vector, unravel = ad.ravel({"a": np.ones(2, np.float32)})
    assert vector.dtype == np.float32
    assert unravel(np.ones(2))["a"].dtype == np.float32
    vector, unravel = ad.ravel((1.0, 2 + 1j))
    assert vector.dtype == np.complex128
    assert unravel([1 + 5j, 2j]) == (1.0, 2j)
    assert ad.ravel({"a": "text"})[0].shape == (0,)
    new = unravel(vector)
    vector[:] = 0  # shares no memory
    assert new == (1.0, 2 + 1j)


def test_mistakes():
    _, unravel = ad.ravel({"w": np.ones((2, 2)), "b": 1.0})
    assert repr(unravel) == "<unravel 5 numbers into ['w'], ['b']>"
    for wrong in (np.ones(4), np.ones((5, 1)), 1.0):
        with pytest.raises(ad.ADSelectError, match=r"a vector of 5 numbers, not an array of shape .*test_raveling.py"):
            unravel(wrong)
    with pytest.raises(TypeError, match="integers only"):
        ad.ravel([1, 2, np.arange(3)])


def test_into_a_vector(backend):
    f = lambda p: np.sum(np.sin(ad.ravel(p)[0]) * np.arange(1.0, 4.0))
    got = ad.gradient(f, backend.adtype, {"w": np.array([[1.0, 2.0]]), "b": 3.0, "name": "text"})[0]
    wanted = np.cos([1.0, 2.0, 3.0]) * [1, 2, 3]
    np.testing.assert_allclose([*got["w"][0], got["b"]], wanted, rtol=1e-9)


def test_out_of_a_vector(backend):
    vector, unravel = ad.ravel({"w": np.array([[1.0, 2.0]]), "b": 3.0, "n": 2})

    def f(vector):
        p = unravel(vector)
        assert type(p["n"]) is int
        return np.sum(p["w"] ** 2) * p["b"] ** p["n"]

    np.testing.assert_allclose(ad.gradient(f, backend.adtype, vector)[0], [18.0, 36.0, 30.0], rtol=1e-9)
    wanted = numeric_jacobian(lambda v: ad.gradient(f, v)[0], vector)
    np.testing.assert_allclose(ad.hessian(f, backend.adtype, vector), wanted, rtol=1e-4, atol=1e-5)
    prepared = ad.prepare(ad.gradient, f, backend.adtype, vector)
    np.testing.assert_allclose(prepared(2 * vector)[0], ad.gradient(f, 2 * vector)[0], rtol=1e-9)


def test_float32_leaves_of_a_float64_vector(exact_backend):
    vector, unravel = ad.ravel({"w": np.array([[1.0, 2.0]], np.float32), "b": 3.0})
    got = ad.gradient(lambda v: np.sum(unravel(v)["w"]) * unravel(v)["b"], exact_backend.adtype, vector)[0]
    np.testing.assert_allclose(got, [3.0, 3.0, 3.0])
    assert got.dtype == np.float64


def test_integer_arguments_stay_what_they_are(exact_backend):
    value, grad = ad.withgradient(
        lambda p: np.sum(ad.ravel(p)[0] ** 2), exact_backend.adtype, {"w": np.array([1.0, 2.0]), "i": np.arange(3)}
    )
    assert value == 5.0
    assert grad[0]["i"] is None


def test_a_gradient_is_raveled_like_its_argument():
    model = Layer(np.array([1.0, 2.0]), 3)
    (grad,) = ad.gradient(lambda m: np.sum(m.w**2), model)
    np.testing.assert_allclose(ad.ravel(grad)[0], [2.0, 4.0])


def test_frameworks_own_arrays():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    vector, unravel = ad.ravel(net)
    assert vector.shape == (13,)
    x = torch.ones(2)
    torch.testing.assert_close(unravel(vector)(x), net(x))
    got = ad.gradient(lambda v: unravel(v)(x).sum(), ad.AutoTorch(), vector.detach())[0]
    wanted = torch.autograd.grad(net(x).sum(), list(net.parameters()))
    torch.testing.assert_close(got, torch.cat([g.reshape(-1) for g in wanted]))
    assert unravel(np.ones(13))(x).dtype == torch.float32
    vector, unravel = ad.ravel({"a": jax.numpy.ones((2, 2)), "b": np.ones(1)})
    assert isinstance(vector, jax.Array)
    got = jax.grad(lambda v: jax.numpy.sum(unravel(v)["a"] ** 2))(vector)
    np.testing.assert_allclose(got, [2, 2, 2, 2, 0])
