"""Operators with Params on every backend: every way in which a function can reach an array, against three witnesses."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import adselect as ad
from tests.samples.implicit import SAMPLES, Linear, X, a_layer

SLACK = {"rtol": 1e-6, "atol": 1e-8}


def numeric(f, array, step=1e-6):
    """Central differences, by writing into the array itself."""
    grad = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        kept, values = array[index], []
        for moved in (kept + step, kept - step):
            array[index] = moved
            values.append(float(f()))
        array[index] = kept
        grad[index] = (values[0] - values[1]) / (2 * step)
    return grad


# What is kept is not asked again, and views of one memory move together: differences of the plain f cannot tell.
NOT_NUMERIC = {"a_cache_is_looked_through", "a_cached_property"}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_way_to_an_array(name, backend):
    f, arrays, wanted = SAMPLES[name]()
    before = [a.copy() for a in arrays]
    ps = ad.Params(arrays)
    g = ad.gradient(f, backend.adtype, ps)
    assert [p is a for p, a in zip(g.keys(), arrays, strict=True)] == [True] * len(arrays)
    for array, grad in zip(arrays, wanted, strict=True):
        assert type(g[array]) is np.ndarray
        np.testing.assert_allclose(g[array], grad, **SLACK)
    again = ad.withgradient(f, backend.adtype, ps)  # the first call has left nothing behind
    np.testing.assert_allclose(again.grad[arrays[0]], wanted[0], **SLACK)
    for array, then in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, then)


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - NOT_NUMERIC))
def test_the_gradients_of_the_samples_are_right(name):
    f, arrays, wanted = SAMPLES[name]()
    for array, grad in zip(arrays, wanted, strict=True):
        np.testing.assert_allclose(numeric(f, array), grad, rtol=1e-5, atol=1e-7)


def test_results_and_options(backend):
    adtype = backend.adtype
    W, b, unused = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 7.0, 9.0]), np.ones(3)
    ps = ad.Params([W, b])
    jac = ad.withjacobian(lambda: b[:2] + np.sum(W**2), adtype, ps)
    np.testing.assert_allclose(jac.val, [35.0, 37.0])
    np.testing.assert_allclose(jac.grad[b], [[1, 0, 0], [0, 1, 0]], **SLACK)
    np.testing.assert_allclose(ad.jacobian(lambda: b[:2] + np.sum(W**2), adtype, ps)[W], [[2, 4, 6, 8]] * 2, **SLACK)
    y, back = ad.pullback(lambda: {"y": b[:2] * np.sum(W), "z": W[0, 0]}, adtype, ps)
    assert y["y"].tolist() == [50.0, 70.0]
    for seed in (1.0, 2.0):
        np.testing.assert_allclose(back({"y": np.array([seed, 0.0]), "z": None})[b], [10 * seed, 0, 0], **SLACK)

    def f(k=1.0):
        return np.sum(W) * k if len(unused) else 0.0

    more = ad.Params([W, unused])
    val, g = ad.withgradient(lambda: {"loss": f(), "note": "aux"}, adtype, more)
    assert val == {"loss": 10.0, "note": "aux"}
    if adtype != ad.AutoFiniteDifferences():  # differences cannot see it
        assert g[unused] is None
        with pytest.raises(ValueError, match=r"does not depend on Params\[1\] \(float64 array of shape \(3,\)\)"):
            ad.gradient(f, adtype, more, missing="error")
    zeros = ad.gradient(f, adtype, more, missing="zeros", k=3.0)
    assert zeros[unused].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(zeros[W], 3 * np.ones((2, 2)), **SLACK)
    place = zeros[W]
    assert ad.gradient(f, adtype, more, missing="zeros", out=zeros) is zeros
    assert zeros[W] is place
    np.testing.assert_allclose(place, np.ones((2, 2)), **SLACK)
    np.testing.assert_allclose(ad.gradient(lambda: f(), ad.Params([W]), adtype=adtype, check=True)[W], 1.0, **SLACK)


def test_each_gradient_is_an_array_of_its_own(backend):
    a, b = np.ones(2), np.ones(2)
    g = ad.gradient(lambda: np.sum(a + b), backend.adtype, ad.Params([a, b]))
    for grad in g:
        grad *= 0.5
    np.testing.assert_allclose([g[a], g[b]], 0.5, **SLACK)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex128])
def test_dtypes(dtype, backend):
    W = np.array([1, 2], dtype)
    grad = ad.gradient(lambda: np.sum(np.abs(W * 2) ** 2), backend.adtype, ad.Params([W]))[W]
    assert grad.dtype == (np.float64 if dtype is np.int64 else dtype)
    np.testing.assert_allclose(grad, 8 * W, rtol=1e-3 if dtype is np.float32 else 1e-6)


def test_derivatives_of_derivatives(exact_backend):
    adtype = exact_backend.adtype
    W, V = np.array([1.0, 2.0]), np.array([3.0, 4.0])

    def inner():
        return np.sum(ad.gradient(lambda: np.sum(W**3 * V), adtype, ad.Params([W]))[W] ** 2)

    # the inner gradient is 3 W² V
    np.testing.assert_allclose(ad.gradient(inner, adtype, ad.Params([V]))[V], 18 * W**4 * V)
    np.testing.assert_allclose(ad.gradient(inner, adtype, ad.Params([W]))[W], 36 * W**3 * V**2)
    explicit = ad.gradient(lambda v: np.sum(ad.gradient(lambda: np.sum(v**3), ad.Params([v]))[v]), adtype, V)
    np.testing.assert_allclose(explicit[0], 6 * V)


# -- prepared ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", [ad.gradient, ad.withgradient, ad.jacobian])
def test_a_training_loop(operator, backend):
    layer = a_layer()
    ps = ad.Params([layer.W, layer.b])
    f = lambda: np.sum((layer(X) - 1.0) ** 2)
    prepared, first = ad.prepare(operator, f, backend.adtype, ps), f()
    for step in range(5):
        now, eager = prepared(ps) if step % 2 else prepared(), operator(f, backend.adtype, ps)
        if operator is ad.withgradient:
            np.testing.assert_allclose(now.val, eager.val)
            now, eager = now.grad, eager.grad
        for p in ps:
            np.testing.assert_allclose(now[p], eager[p], **SLACK)
            p -= 0.02 * now[p].reshape(p.shape)
    assert f() < 0.1 * first
    with pytest.raises(ad.PreparationMismatchError, match="was prepared for the parameters"):
        prepared(ad.Params([layer.W]))
    with pytest.raises(ad.PreparationMismatchError):
        prepared(layer.W, layer.b)


def test_a_prepared_call_sees_a_parameter_that_was_bound_anew(backend):
    layer = a_layer()
    prepared = ad.prepare(ad.gradient, lambda: np.sum(layer(X) ** 2), backend.adtype, ad.Params([layer.W, layer.b]))
    prepared()
    layer.W = layer.W - 0.1
    with pytest.raises(ValueError, match=r"no way|rebound"):
        prepared()


def test_prepared_options_and_copies(backend):
    layer, unused = a_layer(), np.ones(1)
    ps = ad.Params([layer.b, unused])
    f = lambda: np.sum(layer(X) ** 2) + 0.0 * len(unused)
    prepared = ad.prepare(ad.gradient, f, backend.adtype, ps, missing="zeros")
    g = prepared()
    assert g[unused].tolist() == [0.0]
    assert prepared(out=g) is g
    for twin in (prepared, copy.copy(prepared)):
        np.testing.assert_allclose(twin(ps)[layer.b], 2 * layer(X), **SLACK)
    if backend.adtype != ad.AutoFiniteDifferences():
        assert prepared(missing="none")[unused] is None
        with pytest.raises(ValueError, match=r"Params\[1\]"):
            prepared(missing="error")


class Counting(Linear):
    def loss(self):
        self.calls = getattr(self, "calls", 0) + 1
        return np.sum(self(X) ** 2)


def test_a_prepared_operator_travels_with_its_model():
    model = Counting(np.ones((2, 3)), np.ones(2))
    prepared = pickle.loads(pickle.dumps(ad.prepare(ad.gradient, model.loss, ad.AutoTape(), ad.Params([model.b]))))
    np.testing.assert_allclose(next(iter(prepared())), 2 * model(X))


def test_a_replay_keeps_up_with_values_and_counts():
    model = Counting(np.ones((2, 3)), np.ones(2))
    transposed = model.W.T
    ps = ad.Params([model.W, model.b])
    prepared = ad.prepare(ad.gradient, lambda: model.loss() + np.sum(transposed**2), ad.AutoTape(), ps, check="never")
    for _ in range(4):
        model.W += 1.0
        np.testing.assert_allclose(prepared()[model.W], 2 * np.outer(model(X), X) + 2 * model.W)
    assert prepared.reason == ""
    before = model.calls
    prepared()
    assert model.calls == before  # replayed, f was not called
    assert "def gradient(x0, x1):" in ad.source(prepared)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_calls_that_make_no_sense(backend):
    adtype, W = backend.adtype, np.ones(2)
    ps, f = ad.Params([W]), lambda: np.sum(W)

    def needs(x, y):
        return np.sum(W) * x

    with pytest.raises(TypeError, match=r"write gradient\(lambda: needs\(x, y\), Params"):
        ad.gradient(needs, adtype, ps)
    with pytest.raises(TypeError, match="given Params and float: with Params f takes no arguments"):
        ad.gradient(lambda x: np.sum(W) * x, adtype, ps, 2.0)
    with pytest.raises(TypeError, match=r"ps\.union"):
        ad.gradient(f, adtype, ps, ps)
    with pytest.raises(TypeError, match="the Params are empty"):
        ad.gradient(f, adtype, ad.Params())
    for operator in (ad.hessian, ad.hessian_reverse, ad.withhessian, ad.diaghessian):
        with pytest.raises(TypeError, match="takes no Params"):
            operator(f, adtype, ps)
    with pytest.raises(TypeError, match="takes no Params"):
        ad.hvp(f, adtype, ps, W)
    with pytest.raises(TypeError, match="takes no Params"):
        ad.prepare(ad.hessian, f, adtype, ps)
    with pytest.raises(TypeError, match="stand alone"):
        ad.pushforward(f, adtype, (ps,), (W,))
    with pytest.raises(TypeError, match=r"args\[0\]\[0\] is Params .* stand alone"):
        ad.gradient(lambda a: 1.0, adtype, [ps])
    with pytest.raises(TypeError, match="takes no out="):
        ad.pullback(f, adtype, ps, out=ad.Grads())
    with pytest.raises(TypeError, match="a Grads or an IdDict"):
        ad.gradient(f, adtype, ps, out=[W])
    with pytest.raises(ValueError, match="no entry for"):
        ad.gradient(f, adtype, ps, out=ad.Grads())
    with pytest.raises(ValueError, match="missing must be"):
        ad.gradient(f, adtype, ps, missing="nothing")


def test_what_f_cannot_reach_is_an_error(backend):
    W, V, q = np.ones(2), np.full(2, 2.0), np.ones(5)
    with pytest.raises(ValueError, match=r"reaches Params\[0\] \(float64 array of shape \(2,\)\) by no way.*f → V"):
        ad.gradient(lambda: np.sum(V), backend.adtype, ad.Params([W]))
    with pytest.raises(ValueError, match=r"reaches Params\[1\] \(float64 array of shape \(5,\)\) by no way"):
        ad.gradient(lambda: np.sum(V), backend.adtype, ad.Params([V, q]))


def test_a_global_that_f_does_not_name_has_no_gradient(exact_backend):
    names = {"np": np, "W": np.ones(2), "b": np.ones(3)}
    f = eval("lambda: np.sum(W * 2)", names)
    g = ad.gradient(f, exact_backend.adtype, ad.Params([names["W"], names["b"]]))
    assert g[names["b"]] is None
    # but where a name of it stands in the code, nobody knows what is done with it
    f = eval("lambda: np.sum(W * 2) + np.sum(__import__('sys').modules[_name].b)", names)
    with pytest.raises(ValueError, match="by no way"):
        ad.gradient(f, exact_backend.adtype, ad.Params([names["b"]]))


# -- threads -----------------------------------------------------------------------------------------------------------


def test_several_threads(backend):
    model = Counting(np.ones((2, 3)), np.ones(2))
    found, wanted = [], 2 * model(X)

    def run():
        for _ in range(3):
            found.append(ad.gradient(model.loss, backend.adtype, ad.Params([model.b]))[model.b])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    for grad in found:
        np.testing.assert_allclose(grad, wanted, **SLACK)
    assert type(model.b) is np.ndarray
