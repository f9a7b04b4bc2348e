"""eager_update: parameters are updated in the middle of the reverse pass, on every backend that has one."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest
from conftest import BACKENDS, present

import adselect as ad

SEEING = [b for b in BACKENDS if b.name not in ("forward", "finitedifferences")]


@pytest.fixture(params=SEEING, ids=lambda b: b.name)
def seeing(request):
    """Every backend on which f's values meet their cotangents."""
    return present(request.param).adtype


def descend(rate, layer, grad):
    for name, g in grad.items():
        if name in ("w", "b"):
            layer[name] -= rate * g


def subtract(rate, array, grad):
    array -= rate * grad


def test_the_callers_own_model_is_updated(seeing):
    model = {"w": np.array([3.0])}
    grads = ad.gradient(lambda m: np.sum(ad.eager_update(0.1, m, descend)["w"] * 2.0), seeing, model)
    np.testing.assert_allclose(model["w"], [2.8])
    assert grads == ({"w": None},)


def loss(layers, x, rate):
    for layer in layers:
        layer = layer if rate is None else ad.eager_update(rate, layer, descend)
        x = np.tanh(layer["w"] @ x) + layer["b"]
    return np.sum(x**2)


def made(n=3, size=2):
    rng = np.random.default_rng(0)
    return [{"w": rng.standard_normal((size, size)), "b": 0.5, "n": 2, "name": "layer"} for _ in range(n)]


def test_a_step_is_that_of_the_whole_gradient(seeing):
    layers, wanted, x = made(), made(), np.array([0.3, -0.2])
    grads, x_bar = ad.gradient(loss, wanted, x, None)[:2]
    for layer, grad in zip(wanted, grads, strict=True):
        descend(0.1, layer, grad)
    for operator in (ad.gradient, ad.withgradient):
        layers = made()
        found = operator(loss, seeing, layers, x, 0.1)
        found = found.grad if operator is ad.withgradient else found
        for layer, other in zip(layers, wanted, strict=True):
            np.testing.assert_allclose(layer["w"], other["w"])
            assert layer["b"] == pytest.approx(other["b"])
        assert all(v is None for layer in found[0] for v in layer.values())
        np.testing.assert_allclose(found[1], x_bar)


def test_the_state_is_the_callers_own(seeing):
    state, array = {"rate": 0.5, "steps": []}, np.ones(2)

    def count(state, array, grad):
        state["steps"].append(float(np.sum(grad)))
        array -= state["rate"] * grad

    f = lambda a, s: np.sum(ad.eager_update(s, a, count) ** 2)
    ad.gradient(f, seeing, array, state)
    assert state["steps"] == [4.0]
    ad.gradient(f, seeing, array, ad.Const(state))
    assert state["steps"] == [4.0, 0.0]
    with pytest.raises(ad.ADSelectError, match="a state that f has computed"):
        ad.gradient(lambda a, s: np.sum(ad.eager_update(2 * s, a, subtract) ** 2), seeing, array, 0.1)


def test_objects_arrays_and_parts_of_tuples(seeing):
    @dataclasses.dataclass
    class Layer:
        w: np.ndarray

    def replace(rate, layer, grad):
        layer.w = layer.w - rate * grad.w

    layer, array = Layer(np.ones(2)), np.ones(3)
    assert ad.gradient(lambda o: np.sum(ad.eager_update(0.5, o, replace).w ** 2), seeing, layer)[0].w is None
    np.testing.assert_allclose(layer.w, 0.0)
    assert ad.gradient(lambda a: np.sum(ad.eager_update(0.5, a, subtract) ** 2), seeing, array) == (None,)
    np.testing.assert_allclose(array, 0.0)
    pair = (1.0, (np.ones(2),))
    ad.gradient(lambda p: np.sum(ad.eager_update(0.5, p[1][0], subtract) ** 2) * p[0], seeing, pair)
    np.testing.assert_allclose(pair[1][0], 0.0)


def test_with_checkpoints(seeing):
    array = np.ones(3)
    f = lambda a, x: np.sum(ad.checkpointed(lambda a, x: a * x, ad.eager_update(0.5, a, subtract), x))
    grads = ad.gradient(f, seeing, array, 2.0)
    assert grads[0] is None
    assert grads[1] == 3.0
    np.testing.assert_allclose(array, 0.0)


def test_inside_a_checkpoint_it_is_refused(seeing):
    array = np.ones(3)
    f = lambda a: np.sum(ad.checkpointed(lambda a: ad.eager_update(0.5, a, subtract) ** 2, a))
    with pytest.raises(ad.UnsupportedError, match="takes what eager_update returns"):
        ad.gradient(f, seeing, array)
    np.testing.assert_allclose(array, 1.0)


def test_where_nothing_depends_on_the_model(backend):
    array = np.ones(3)
    assert ad.eager_update(0.5, array, subtract) is array
    if backend.name in ("forward", "finitedifferences"):
        return
    assert ad.gradient(lambda a, x: (ad.eager_update(0.5, a, subtract), x)[1], backend.adtype, array, 2.0) == (
        None,
        1.0,
    )
    np.testing.assert_allclose(array, 1.0)


def updated(a):
    return np.sum(ad.eager_update(0.5, a, subtract) ** 2)


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda a: updated(a) + updated(a), "another eager_update of this call"),
        (lambda a: updated(a) + np.sum(a), "used in another way than through what it returned"),
        (lambda a: updated(2 * a), "a value that f has computed"),
        (lambda a: updated(a) * np.inf, "is not finite; nothing was updated"),
    ],
    ids=["twice", "beside", "computed", "not finite"],
)
def test_incomplete_gradients_are_errors(seeing, f, said):
    with pytest.raises(ad.ADSelectError, match=rf"eager_update.*test_eager_update.py:\d+.*{said}|{said}"):
        ad.gradient(f, seeing, np.ones(2))


def test_a_second_pass_over_changed_parameters_is_an_error(seeing):
    _, back = ad.pullback(lambda a: ad.eager_update(0.5, a, subtract) ** 2, seeing, np.ones(2))
    assert back(np.ones(2)) == (None,)
    with pytest.raises(ad.ADSelectError, match=r"updated in a reverse pass already|written to after"):
        back(np.ones(2))


def test_what_cannot_update_is_refused(seeing):
    array = np.ones(2)
    for operator in (ad.hessian, ad.hessian_reverse, ad.jacobian):
        with pytest.raises(ad.UnsupportedError, match="cannot update anything"):
            operator(updated, seeing, array)
    with pytest.raises(ad.UnsupportedError, match="cannot update anything"):
        ad.gradient(lambda x: np.sum(ad.gradient(updated, seeing, x)[0]), seeing, array)
    with pytest.raises(TypeError, match="function last"):
        ad.eager_update(0.1, array, 3.0)
    np.testing.assert_allclose(array, 1.0)


@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoJax(), ad.AutoTorch()], ids=str)
def test_preparing_updates_nothing(adtype):
    pytest.importorskip(adtype.requires or "numpy")
    array = np.ones(2)
    with pytest.raises(ad.UnsupportedError, match="while a call is being prepared"):
        ad.prepare(ad.gradient, updated, adtype, array)
    np.testing.assert_allclose(array, 1.0)


@pytest.mark.parametrize("adtype", [ad.AutoForward(), ad.AutoFiniteDifferences()], ids=str)
def test_backends_without_cotangents_refuse(adtype):
    pytest.importorskip(adtype.requires or "numpy")
    with pytest.raises(ad.UnsupportedError, match="without cotangents"):
        ad.gradient(updated, adtype, np.ones(2))


def test_the_gradients_of_all_layers_are_never_there_at_once():
    def peak(rate):
        layers, x = made(20, 300), np.ones(300)
        tracemalloc.start()
        try:
            ad.gradient(loss, layers, x, rate)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    one = 300 * 300 * 8
    assert peak(None) > 20 * one
    assert peak(0.01) < 5 * one
