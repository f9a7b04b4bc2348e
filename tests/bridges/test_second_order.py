"""SecondOrder: any backend differentiates what any other has differentiated."""

import pickle

import numpy as np
import pytest

import adselect as ad
from tests.conftest import BACKENDS, present

X = np.array([0.3, 1.2])


def f(x):
    return np.sum(np.sin(x) * np.sum(x**2)) ** 2


H = ad.hessian(f, X)
outer = pytest.mark.parametrize("outer", BACKENDS, ids=lambda b: b.name)
inner = pytest.mark.parametrize("inner", BACKENDS, ids=lambda b: b.name)


def choice(outer, inner):
    return ad.SecondOrder(present(outer).adtype, present(inner).adtype)


def tolerance(*backends):
    return 1e-5 if "finitedifferences" in [b.name for b in backends] else 1e-10


@outer
@inner
def test_every_pair(outer, inner):
    adtype, close = choice(outer, inner), tolerance(outer, inner)
    np.testing.assert_allclose(ad.hessian(f, adtype, X), H, rtol=close)
    np.testing.assert_allclose(ad.hvp(f, adtype, X, X), H @ X, rtol=close)
    second = ad.second_derivative(lambda t: np.stack([np.exp(t) * t**2, t]), adtype, 0.7)
    np.testing.assert_allclose(second, [np.exp(0.7) * (0.49 + 2.8 + 2), 0], rtol=close, atol=close)


@pytest.mark.parametrize("names", ["tape jax", "jax torch", "torch tape", "autograd forward", "forward autograd"])
def test_every_operator(names):
    by_name = {b.name: b for b in BACKENDS}
    adtype = choice(*[by_name[name] for name in names.split()])
    np.testing.assert_allclose(ad.hessian_reverse(f, adtype, X), H, rtol=1e-10)
    np.testing.assert_allclose(ad.diaghessian(f, adtype, X)[0], np.diag(H), rtol=1e-10)
    value, grad, hess = ad.withhessian(f, adtype, X)
    np.testing.assert_allclose([value, *grad], [f(X), *ad.gradient(f, X)[0]], rtol=1e-12)
    np.testing.assert_allclose(hess, H, rtol=1e-10)
    prepared = ad.prepare(ad.hessian, f, adtype, X)
    np.testing.assert_allclose(prepared(2 * X), ad.hessian(f, 2 * X), rtol=1e-10)
    assert "two backends is not prepared" in repr(prepared)
    model = {"W": np.array([[1.0, 2.0], [0.5, -1.0]]), "name": "linear", "b": 0.3}
    loss = lambda m, x: np.sum(np.tanh(m["W"] @ x + m["b"]) ** 2)
    found, wanted = (ad.hvp(loss, a, model, model, ad.Const(X)) for a in (adtype, ad.AutoTape()))
    np.testing.assert_allclose(found["W"], wanted["W"], rtol=1e-10)
    np.testing.assert_allclose(found["b"], wanted["b"], rtol=1e-10)
    assert ad.hvp(lambda x: np.sum(x), adtype, X, X).tolist() == [0, 0]
    assert ad.hessian(lambda x: np.sum(x), adtype, X).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("names", ["tape jax", "jax torch", "torch tape"])
def test_first_order_operators_use_the_inner_choice(names):
    by_name = {b.name: b for b in BACKENDS}
    adtype = choice(*[by_name[name] for name in names.split()])
    wanted = ad.gradient(f, X)[0]
    np.testing.assert_allclose(ad.gradient(f, adtype, X)[0], wanted, rtol=1e-12)
    np.testing.assert_allclose(ad.prepare(ad.gradient, f, adtype, X)(X)[0], wanted, rtol=1e-12)
    np.testing.assert_allclose(ad.jacobian(np.sin, adtype, X)[0], np.diag(np.cos(X)), rtol=1e-12)
    np.testing.assert_allclose(ad.pushforward(np.sin, adtype, (X,), (X,))[1], X * np.cos(X), rtol=1e-12)


def test_values_and_code_of_frameworks():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    jnp = jax.numpy
    native = lambda x: torch.sum(torch.sin(x) * torch.sum(x**2)) ** 2
    adtype = ad.SecondOrder(ad.AutoJax(), ad.AutoTorch(face="native"))
    np.testing.assert_allclose(ad.hessian(native, adtype, X), H, rtol=1e-10)
    with jax.enable_x64(True):
        x = jnp.array(X)
        found = ad.hessian(f, ad.SecondOrder(ad.AutoJax(), ad.AutoTape()), x)
        assert isinstance(found, jax.Array)
        np.testing.assert_allclose(found, H, rtol=1e-10)
    found = ad.hessian(f, ad.SecondOrder(ad.AutoTorch(), ad.AutoTape()), torch.tensor(X))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), H, rtol=1e-10)


def test_gradient_penalty():
    """A derivative inside f, by another backend than the one outside."""
    for package in ("jax", "torch"):
        pytest.importorskip(package)

    def penalised(x, adtype):
        return f(x) + np.sum(ad.gradient(f, adtype, x)[0] ** 2)

    wanted = ad.gradient(f, X)[0] + 2 * H @ ad.gradient(f, X)[0]
    for a in (ad.AutoTape(), ad.AutoJax(), ad.AutoTorch(), ad.AutoAutograd()):
        found = ad.gradient(lambda x: penalised(x, ad.AutoTape()), a, X)[0]
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
        inside = ad.differentiate_with(lambda x: ad.gradient(f, a, x)[0], a)  # noqa: B023
        found = ad.gradient(lambda x: f(x) + np.sum(inside(x) ** 2), ad.AutoTape(), X)[0]  # noqa: B023
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_it_is_data():
    adtype = ad.SecondOrder(ad.AutoForward(), ad.AutoTape())
    assert repr(adtype) == "SecondOrder(outer=AutoForward(), inner=AutoTape())"
    assert adtype == ad.SecondOrder(ad.AutoForward(), ad.AutoTape()) == pickle.loads(pickle.dumps(adtype))
    assert len({adtype, ad.SecondOrder(ad.AutoForward(), ad.AutoTape())}) == 1
    assert "SecondOrder" not in [type(b.adtype).__name__ for b in ad.available_backends()]
    with pytest.raises(TypeError, match=r"write AutoTape\(\)"):
        ad.SecondOrder(ad.AutoForward(), ad.AutoTape)
    with pytest.raises(TypeError, match="inner= takes an adtype such as"):
        ad.SecondOrder(ad.AutoForward(), "tape")
    with pytest.raises(TypeError, match="not SecondOrder"):
        ad.SecondOrder(adtype, ad.AutoTape())
