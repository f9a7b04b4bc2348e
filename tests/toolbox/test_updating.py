"""setup, update and into_grad: optimisers of optax, of torch and plain functions, on gradients from any backend."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import pytest

import adselect as ad
from adselect import Duplicated, into_grad, setup, update
from adselect.errors import ADSelectTypeError, ADSelectValueError


def model():
    return {
        "W": np.array([[1.0, 2.0], [0.5, -1.0]]),
        "b": [np.array([0.1, 0.2]), 2.0],
        "single": np.ones(2, np.float32),
    }


def loss(m, x):
    return np.sum((m["W"] @ x + m["b"][0]) ** 2) * m["b"][1] + np.sum(m["single"] ** 2)


X = np.array([0.5, -1.0])


def adam(lr=0.1, b1=0.9, b2=0.999, eps=1e-8):
    """Adam by hand, one state for each parameter: what the libraries' steps are held against."""

    class Adam:
        def __init__(self):
            self.count, self.m, self.v = 0, {}, {}

        def __call__(self, key, p, g):
            m = self.m[key] = b1 * self.m.get(key, 0.0) + (1 - b1) * g
            v = self.v[key] = b2 * self.v.get(key, 0.0) + (1 - b2) * g**2
            m, v = m / (1 - b1**self.count), v / (1 - b2**self.count)
            return p - lr * m / (np.sqrt(v) + eps)

        def step(self, model, grads):
            self.count += 1
            return {
                "W": self("W", model["W"], grads["W"]),
                "b": [self("b", model["b"][0], grads["b"][0]), self("s", model["b"][1], grads["b"][1])],
                "single": self("single", model["single"], grads["single"]),
            }

    return Adam()


def optimisers():
    """Adam from the libraries that are there."""
    optax, torch = pytest.importorskip("optax"), pytest.importorskip("torch")
    return {"optax": optax.adam(0.1), "torch": functools.partial(torch.optim.Adam, lr=0.1)}


@pytest.mark.parametrize("library", ["optax", "torch"])
def test_the_same_steps_as_by_hand(library, exact_backend):
    m, by_hand, reference = model(), model(), adam()
    state = setup(optimisers()[library], m)
    held = m["W"], m["b"][0], m["single"]
    for _ in range(20):
        (g, _) = ad.gradient(loss, exact_backend.adtype, m, ad.Const(X))
        by_hand = reference.step(by_hand, ad.gradient(loss, by_hand, ad.Const(X))[0])
        m = update(state, m, g)
        np.testing.assert_allclose(m["W"], by_hand["W"], rtol=1e-10)
        np.testing.assert_allclose(m["b"][0], by_hand["b"][0], rtol=1e-10)
        np.testing.assert_allclose(m["b"][1], by_hand["b"][1], rtol=1e-10)
        np.testing.assert_allclose(m["single"], by_hand["single"], rtol=1e-4, atol=1e-5)
    assert m["W"] is held[0]  # written in place
    assert m["b"][0] is held[1]
    assert m["single"] is held[2]
    assert m["single"].dtype == np.float32
    assert type(m["b"][1]) is float


def test_a_function_needs_no_setup():
    m = model()
    (g, _) = ad.gradient(loss, m, ad.Const(X))
    wanted = m["W"] - 0.1 * g["W"], m["b"][1] - 0.1 * g["b"][1]
    new = update(lambda p, g: p - 0.1 * g, m, g)
    np.testing.assert_array_equal(new["W"], wanted[0])
    assert new["b"][1] == wanted[1]
    assert new["W"] is m["W"]
    arrays = {"a": np.ones(2)}
    assert update(lambda p, g: p - g, arrays, {"a": np.ones(2)}) is arrays
    np.testing.assert_array_equal(arrays["a"], 0.0)
    assert update(lambda p, g: p - g, 3.0, 1.0) == 2.0


def test_objects_and_what_is_reached_twice():
    layer = SimpleNamespace(W=np.array([1.0, 2.0]), name="layer")
    m = SimpleNamespace(first=layer, second=layer)
    (g,) = ad.gradient(lambda m: np.sum(m.first.W**2) + np.sum(m.second.W), m)
    assert update(lambda p, g: p - g, m, g) is m
    np.testing.assert_array_equal(layer.W, [1 - 3.0, 2 - 5.0])  # one step, not two


@pytest.mark.parametrize("library", ["optax", "torch", "function"])
def test_what_has_no_gradient_stays(library):
    m = {"used": np.ones(2), "unused": np.full(2, 7.0), "text": "t"}
    optimiser = (lambda p, g: p - g) if library == "function" else optimisers()[library]
    state = setup(optimiser, m)
    (g,) = ad.gradient(lambda m: np.sum(m["used"] ** 2), m)
    assert g["unused"] is None
    for _ in range(2):
        m = update(state, m, g)
    np.testing.assert_array_equal(m["unused"], 7.0)
    assert np.all(m["used"] < 1)
    assert m["text"] == "t"


@pytest.mark.parametrize("library", ["optax", "torch"])
def test_duplicated(library):
    m, other = model(), model()
    d = Duplicated(m)
    state, plain = setup(optimisers()[library], d), setup(optimisers()[library], other)
    for _ in range(5):
        ad.gradient(loss, d, X)
        assert update(state, d) is d
        other = update(plain, other, ad.gradient(loss, other, ad.Const(X))[0])
    np.testing.assert_array_equal(d.value["W"], other["W"])
    np.testing.assert_array_equal(d.value["b"][1], other["b"][1])
    assert d.value["W"] is m["W"]
    g = ad.gradient(loss, d, X)[0]
    update(state, d, g)  # the same gradient, given


@pytest.mark.parametrize("library", ["optax", "torch"])
def test_arrays_that_were_replaced_meanwhile(library):
    m, other = {"a": np.ones(2)}, {"a": np.ones(2)}
    state, plain = setup(optimisers()[library], m), setup(optimisers()[library], other)
    for _ in range(3):
        m = update(state, {"a": m["a"].copy()}, {"a": np.ones(2)})
        other = update(plain, other, {"a": np.ones(2)})
    np.testing.assert_allclose(m["a"], other["a"])
    frozen = np.broadcast_to(1.0, (2,))  # cannot be written to
    state = setup(optimisers()[library], {"a": frozen})
    new = update(state, {"a": frozen}, {"a": np.ones(2)})
    np.testing.assert_allclose(new["a"], 0.9)
    np.testing.assert_array_equal(frozen, 1.0)
    assert new["a"].flags.writeable


def test_frameworks_own_models():
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    kinds = optimisers()
    for library in kinds:
        module = torch.nn.Linear(2, 1)
        weight = module.weight
        before = weight.detach().clone()
        g = ad.gradient(lambda m: m(torch.ones(3, 2)).sum(), ad.AutoTorch(), module)[0]
        assert update(setup(kinds[library], module), module, g) is module
        assert module.weight is weight
        assert torch.allclose(weight.detach(), before - 0.1)
        m = {"a": jnp.ones(2)}
        g = ad.gradient(lambda m: jnp.sum(m["a"]), ad.AutoJax(), m)[0]
        new = update(setup(kinds[library], m), m, g)
        np.testing.assert_allclose(np.asarray(new["a"]), 0.9, rtol=1e-6)
        assert type(new["a"]) is type(m["a"])
        assert new["a"].dtype == m["a"].dtype


def test_mistakes():
    optax, torch = pytest.importorskip("optax"), pytest.importorskip("torch")
    m = model()
    grads = ad.gradient(loss, m, ad.Const(X))
    for stateful in (optax.adam(0.1), torch.optim.Adam, functools.partial(torch.optim.Adam, lr=0.1)):
        with pytest.raises(ADSelectTypeError, match=r"state = setup\(optimiser, model\)"):
            update(stateful, m, grads[0])
    for wrong in ("adam", 0.1, dict):
        with pytest.raises(ADSelectTypeError, match="transformation of optax"):
            setup(wrong, m)
    with pytest.raises(ADSelectTypeError, match="without numbers"):
        setup(optax.adam(0.1), {"a": "text"})
    state = setup(optax.adam(0.1), m)
    assert "4 arrays" in repr(state)
    with pytest.raises(ADSelectTypeError, match="no gradient"):
        update(state, m)
    with pytest.raises(ADSelectTypeError, match="other arrays than setup"):
        update(state, {"a": np.ones(2)}, {"a": np.ones(2)})
    with pytest.raises(ADSelectValueError, match=r"pass grads\[0\]"):
        update(state, m, ad.gradient(lambda m: loss(m, X), m))
    with pytest.raises(ADSelectValueError, match="the key 'Q'"):
        update(state, m, {"Q": 1.0})
    with pytest.raises(ADSelectValueError, match=r"the gradient of the model\['W'\] is \(3,\).*shape \(2, 2\)"):
        update(state, m, {**grads[0], "W": np.ones(3)})
    with pytest.raises(ADSelectValueError, match=r"pass grads\[0\]"):
        update(lambda p, g: p - g, np.ones(2), (np.ones(2),))
    np.testing.assert_array_equal(m["W"], model()["W"])  # nothing was written


# -- into_grad -------------------------------------------------------------------------------------------------------


def test_into_grad():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    x = torch.randn(5, 3)
    f = lambda m, x: (m(x) ** 2).mean()
    f(module, x).backward()
    wanted = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    grads = ad.gradient(f, ad.AutoTorch(), module, ad.Const(x))
    assert into_grad(module, grads[0]) is module
    for p, w in zip(module.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, w)
    into_grad(module, grads[0], zero=False)
    for p, w in zip(module.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, 2 * w)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    before = [p.detach().clone() for p in module.parameters()]
    into_grad(module, grads[0])
    optimiser.step()
    for p, b, w in zip(module.parameters(), before, wanted, strict=True):
        torch.testing.assert_close(p.detach(), b - 0.1 * w)


def test_into_grad_of_what_has_none():
    torch = pytest.importorskip("torch")
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 1), "b": torch.nn.Linear(2, 1)})
    g = ad.gradient(lambda m: m["a"](torch.ones(1, 2)).sum(), ad.AutoTorch(), module)[0]
    module["b"].weight.grad = torch.ones(1, 2)
    into_grad(module, g, zero=False)
    assert torch.equal(module["b"].weight.grad, torch.ones(1, 2))
    into_grad(module, g)
    assert module["b"].weight.grad is None
    assert module["a"].weight.grad is not None
    tensors = {"w": torch.ones(2, requires_grad=True)}
    into_grad(tensors, {"w": np.array([1.0, 2.0])})  # a gradient of another kind
    assert torch.equal(tensors["w"].grad, torch.tensor([1.0, 2.0]))
    assert tensors["w"].grad.dtype == tensors["w"].dtype


def test_into_grad_refuses():
    torch = pytest.importorskip("torch")
    with pytest.raises(ADSelectTypeError, match=r"the model\['a'\] is no parameter with a \.grad"):
        into_grad({"a": np.ones(2)}, {"a": np.ones(2)})
    with pytest.raises(ADSelectTypeError, match="no parameters"):
        into_grad({}, {})
    module = torch.nn.Linear(2, 1)
    grads = ad.gradient(lambda m: m(torch.ones(3, 2)).sum(), ad.AutoTorch(), module)
    with pytest.raises(ADSelectValueError, match=r"pass grads\[0\]"):
        into_grad(module, grads)
    assert module.weight.grad is None
