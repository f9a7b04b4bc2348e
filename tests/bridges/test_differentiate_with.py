"""A function with its own backend inside every other: to third order, under the frameworks' own transforms too."""

import copy
import gc
import pickle
import tracemalloc

import numpy as np
import pytest

import adselect as ad
from tests.conftest import BACKENDS, EXACT, present

X = np.array([0.3, 1.2, -0.5])


def f(x):
    return np.sin(x) * np.sum(x**2)


def total(x):
    return np.sum(f(x))


JACOBIAN = np.diag(np.cos(X) * np.sum(X**2)) + 2 * np.sin(X)[:, None] * X
every = pytest.mark.parametrize("outer", EXACT, ids=lambda b: b.name)
inner = pytest.mark.parametrize("inner", BACKENDS, ids=lambda b: b.name)


@every
@inner
def test_every_backend_inside_every_other(inner, outer):
    g = ad.differentiate_with(f, present(inner).adtype)
    adtype = present(outer).adtype
    tolerance = 1e-6 if inner.name == "finitedifferences" else 1e-12
    y, back = ad.pullback(g, adtype, X)
    np.testing.assert_allclose(y, f(X), rtol=1e-14)
    for seed in np.eye(3):
        np.testing.assert_allclose(back(seed)[0], seed @ JACOBIAN, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(ad.pushforward(g, adtype, (X,), (X,))[1], JACOBIAN @ X, rtol=tolerance)
    np.testing.assert_allclose(g(X), f(X), rtol=1e-14)


@every
@pytest.mark.parametrize("inner", EXACT, ids=lambda b: b.name)
def test_second_order(inner, outer):
    g = ad.differentiate_with(total, present(inner).adtype)
    H = ad.hessian(total, ad.AutoTape(), X)
    np.testing.assert_allclose(ad.hessian(g, present(outer).adtype, X), H, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        ad.hvp(lambda x: g(x) ** 2, present(outer).adtype, X, X), ad.hvp(lambda x: total(x) ** 2, X, X)
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("AutoTape", "AutoTorch"),
        ("AutoTape", "AutoAutograd"),
        pytest.param("AutoTorch", "AutoJax", marks=pytest.mark.sweep),
        pytest.param("AutoJax", "AutoTorch", marks=pytest.mark.sweep),
    ],
)
def test_third_order(a, b):
    for package in ("jax", "torch", "autograd"):
        pytest.importorskip(package)
    g = ad.differentiate_with(lambda t: np.exp(t) * t**3, getattr(ad, a)())
    outer = getattr(ad, b)()
    third = ad.derivative(lambda t: ad.derivative(lambda t: ad.derivative(g, outer, t), outer, t), outer, 0.7)
    t = 0.7
    np.testing.assert_allclose(third, np.exp(t) * (t**3 + 9 * t**2 + 18 * t + 6), rtol=1e-12)


@every
def test_structures_numbers_and_options(outer):
    adtype = present(outer).adtype

    def model(parameters, x, power=2):
        layers, scale = parameters
        return {"y": np.tanh(layers["W"] @ x) * scale, "penalty": np.sum(layers["W"] ** power), "name": "model"}

    g = ad.differentiate_with(model, ad.AutoForward())
    loss = lambda m: lambda p, x: np.sum(m(p, x, power=4)["y"]) + m(p, x)["penalty"]
    args = (({"W": np.array([[1.0, 2.0], [3.0, 4.0]]), "label": "first"}, 2.0), np.array([0.1, -0.2]))
    wanted, found = ad.gradient(loss(model), *args), ad.gradient(loss(g), adtype, *args)
    np.testing.assert_allclose(found[0][0]["W"], wanted[0][0]["W"], rtol=1e-12)
    assert found[0][0]["label"] is None
    np.testing.assert_allclose([found[0][1]], [wanted[0][1]], rtol=1e-12)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12)
    z = ad.gradient(lambda z: np.abs(ad.differentiate_with(lambda z: z * z, ad.AutoTape())(z)) ** 2, adtype, 1 + 2j)
    np.testing.assert_allclose(z[0], 4 * abs(1 + 2j) ** 2 * (1 + 2j))
    assert (
        ad.gradient(lambda x: np.sum(ad.differentiate_with(np.sin, ad.AutoForward())(x)), adtype, X.astype(np.float32))[
            0
        ].dtype
        == np.float32
    )


@every
def test_f_is_evaluated_once_for_a_gradient(outer):
    calls = []

    def counted(x):
        calls.append(1)
        return np.sum(x**2)

    own = ad.AutoTape() if outer.name != "tape" else ad.AutoForward()
    g = ad.differentiate_with(counted, own)
    present(outer)
    ad.gradient(g, outer.adtype, X)
    calls.clear()
    _, back = ad.pullback(g, outer.adtype, X)
    back(1.0), back(2.0)
    assert len(calls) <= (2 if outer.name == "forward" else 1)


def test_the_framework_s_own_derivative_takes_f_in():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    y = ad.differentiate_with(lambda x: torch.sin(x).sum(), ad.AutoTorch())(x)
    assert "Rule" not in type(y.grad_fn).__name__
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos(X))


@pytest.mark.parametrize("face", ["auto", "native"])
def test_inside_jax(face):
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    jnp = jax.numpy
    sine = (lambda x: torch.sin(x) * torch.sum(x**2)) if face == "native" else f
    g = ad.differentiate_with(sine, ad.AutoTorch(face=face))
    with jax.enable_x64(True):
        x = jnp.array(X)
        scalar = lambda x: jnp.sum(g(x))
        for transformed in (jax.grad(scalar), jax.jit(jax.grad(scalar))):
            np.testing.assert_allclose(transformed(x), np.sum(JACOBIAN, 0), rtol=1e-12)
        np.testing.assert_allclose(jax.jacfwd(g)(x), JACOBIAN, rtol=1e-12)
        np.testing.assert_allclose(jax.jit(jax.jacrev(g))(x), JACOBIAN, rtol=1e-12)
        many = jnp.stack([x, 2 * x])
        np.testing.assert_allclose(jax.vmap(jax.grad(scalar))(many)[0], np.sum(JACOBIAN, 0), rtol=1e-12)
        H = ad.hessian(total, X)
        np.testing.assert_allclose(jax.hessian(scalar)(x), H, rtol=1e-10)
        np.testing.assert_allclose(jax.jit(jax.hessian(scalar))(x), H, rtol=1e-10)

        def steps(h, x):
            return jnp.sum(jax.lax.scan(lambda c, _: (0.5 * h(c), None), x, None, length=3)[0])

        np.testing.assert_allclose(
            jax.jit(jax.grad(lambda x: steps(g, x)))(x),
            jax.grad(lambda x: steps(lambda c: jnp.sin(c) * jnp.sum(c**2), x))(x),
            rtol=1e-10,
        )


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_inside_torch():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    jnp, func = jax.numpy, torch.func
    g = ad.differentiate_with(lambda d: {"y": jnp.sin(d["a"]) * d["b"]}, ad.AutoJax(face="native"))
    scalar = lambda a, b: (g({"a": a, "b": b})["y"] ** 2).sum()
    reference = lambda a, b: ((torch.sin(a) * b) ** 2).sum()
    a, b = torch.tensor(X), torch.tensor(2.0, dtype=torch.float64)
    close = lambda x, y: np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-10, atol=1e-12)
    for transform in (
        func.grad,
        func.hessian,
        lambda h: func.jacrev(func.grad(h)),
        lambda h: func.jacfwd(func.grad(h)),
    ):
        close(transform(scalar)(a, b), transform(reference)(a, b))
    close(
        func.vmap(func.grad(scalar), (0, None))(torch.stack([a, 2 * a]), b),
        func.vmap(func.grad(reference), (0, None))(torch.stack([a, 2 * a]), b),
    )
    a.requires_grad_(), b.requires_grad_()
    first = torch.autograd.grad(scalar(a, b), (a, b), create_graph=True)
    wanted = torch.autograd.grad(reference(a, b), (a, b), create_graph=True)
    for x, y in zip(first, wanted, strict=True):
        close(x, y)
    close(*(torch.autograd.grad(gs[0].sum() + gs[1], a)[0] for gs in (first, wanted)))
    parameter = torch.nn.Parameter(torch.tensor(X))
    optimiser = torch.optim.SGD([parameter], 0.1)
    scalar(parameter, b.detach()).backward()
    optimiser.step()
    close(parameter, a - 0.1 * func.grad(reference)(a.detach(), b.detach()))


@pytest.mark.parametrize("own", ["AutoForward", "AutoFiniteDifferences", "AutoTorch", "AutoJax", "AutoAutograd"])
def test_a_captured_value_of_the_surrounding_derivative_is_refused(own):
    adtype = getattr(ad, own)()
    pytest.importorskip(adtype.requires or "numpy")

    def outer(a):
        g = ad.differentiate_with(lambda x: np.sum(x * a), adtype)
        return g(a * np.ones(2))

    with pytest.raises(
        ad.UnsupportedError, match=r"none of its arguments|that it captured|it has captured|of another backend met"
    ):
        ad.gradient(outer, ad.AutoTape(), 2.0)


def test_what_differs_between_two_calls_is_told_apart():
    """The pullback that is kept belongs to the call it was made in."""
    weights = [1.0]
    g = ad.differentiate_with(
        lambda x, how="plain": weights[0] * np.sum(x**2 if how == "plain" else x), ad.AutoForward()
    )

    def loss(x):
        first = g(x)
        weights[0] = 10.0
        return first + g(x + 0.0) + g(x, how="linear")

    x = np.array([1.0, 0.0])
    np.testing.assert_array_equal(
        ad.gradient(loss, x)[0], ad.gradient(lambda x: 11 * np.sum(x**2) + 10 * np.sum(x), x)[0]
    )
    weights[0] = 3.0
    np.testing.assert_array_equal(ad.gradient(g, x)[0], 6 * x)


def doubled(x):
    return 2 * x


def test_it_is_a_function_like_f():
    g = ad.differentiate_with(doubled, ad.AutoForward())
    assert g.__name__ == "doubled"
    assert repr(g) == "differentiate_with(doubled, AutoForward())"
    for h in (pickle.loads(pickle.dumps(g)), copy.deepcopy(g)):
        np.testing.assert_array_equal(ad.gradient(lambda x, h=h: np.sum(h(x)), X)[0], [2, 2, 2])

    class Model:
        scale = 3.0

        @lambda f: ad.differentiate_with(f, ad.AutoForward())
        def energy(self, x):
            return self.scale * np.sum(x**2)

    np.testing.assert_allclose(ad.gradient(Model().energy, X)[0], 6 * X)


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"differentiate_with\(f, AutoTorch\(\)\)"):
        ad.differentiate_with(f, ad.AutoTorch)
    with pytest.raises(TypeError, match="jax"):
        ad.differentiate_with(f, "jax")
    with pytest.raises(TypeError, match="an adtype is an object"):
        ad.differentiate_with(f, None)
    with pytest.raises(TypeError, match="first argument is the function"):
        ad.differentiate_with(ad.AutoTape(), f)


def test_a_training_loop_keeps_few_pullbacks():
    """What f has computed is let go of when the backward pass is over, but for that of the latest calls."""
    g = ad.differentiate_with(lambda x: np.sum(np.sin(x) ** 2), ad.AutoTape())
    jax = pytest.importorskip("jax")
    x = np.linspace(0, 1, 100_000)
    gradient = jax.grad(g)
    with jax.enable_x64(True):
        tracemalloc.start()
        try:
            for n in range(40):
                gradient(jax.numpy.asarray(x + n))
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    # One call holds at least its argument, its sine and its square; forty would hold a hundred megabytes.
    assert held < 12 * 4 * x.nbytes
