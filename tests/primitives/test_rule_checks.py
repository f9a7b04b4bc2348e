"""The frameworks' own checkers of derivatives, on every kind of rule a user can write."""

import warnings

import numpy as np
import pytest

import adselect as ad
from adselect import NoTangent

warnings.filterwarnings("ignore", message="A NumPy version")
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")
X, W = np.array([0.4, 0.9, -0.6]), np.array([0.7, -0.3, 1.2])


def wave(x, w):
    return np.sin(x) * w


def wave_rrule(p):
    ad.define_rrule(p)(lambda x, w: (p(x, w), lambda g: (NoTangent(), g * np.cos(x) * w, g * np.sin(x))))


def wave_frule(p):
    ad.define_frule(p)(lambda t, x, w: (p(x, w), t[1] * np.cos(x) * w + t[2] * np.sin(x)))


def reverse_only():
    p = ad.primitive(wave)
    wave_rrule(p)
    return p


def forward_only():
    p = ad.primitive(wave)
    wave_frule(p)
    return p


def both():
    p = ad.primitive(wave)
    wave_rrule(p)
    wave_frule(p)
    return p


def scalar():
    p = ad.primitive(wave)
    ad.scalar_rule(p, lambda y, x, w: (np.cos(x) * w, np.sin(x)))
    return p


def several():
    p = ad.primitive(lambda x, w: (np.sin(x), x * w))
    ad.define_rrule(p)(lambda x, w: (p(x, w), lambda g: (NoTangent(), g[0] * np.cos(x) + g[1] * w, g[1] * x)))
    return lambda x, w: p(x, w)[0] * p(x, w)[1]


def structured():
    p = ad.primitive(lambda d: {"y": np.sin(d["x"]) * d["more"][0]})

    @ad.define_rrule(p)
    def p_rrule(d):
        x, w = d["x"], d["more"][0]
        return p(d), lambda g: (NoTangent(), {"x": g["y"] * np.cos(x) * w, "more": [g["y"] * np.sin(x)]})

    return lambda x, w: p({"x": x, "more": [w]})["y"]


def beside():
    """Arguments that are no variables, by position and by keyword."""
    p = ad.primitive(lambda x, n, flag, nothing, name, w, power=1: np.sin(n * x) * w**power)

    @ad.define_rrule(p)
    def p_rrule(x, n, flag, nothing, name, w, power=1):
        assert (n, flag, nothing, name) == (2, True, None, "name")

        def pullback(g):
            none = NoTangent()
            x_bar, w_bar = g * n * np.cos(n * x) * w**power, g * np.sin(n * x) * power * w ** (power - 1)
            return none, x_bar, none, none, none, none, w_bar, none

        return p(x, n, flag, nothing, name, w, power), pullback

    return lambda x, w: p(x, 2, True, None, "name", w, power=2)


def black_box():
    p = ad.primitive(wave, host=True, result=lambda x, w: x)
    cosine = ad.primitive(np.cos, host=True, result=lambda x: x)
    sine = ad.primitive(np.sin, host=True, result=lambda x: x)
    ad.define_rrule(p, host=False)(
        lambda x, w: (p(x, w), lambda g: (NoTangent(), g * cosine(x) * w, g * sine(x))),
    )
    ad.define_rrule(sine, host=False)(lambda x: (sine(x), lambda g: (NoTangent(), g * cosine(x))))
    ad.define_rrule(cosine, host=False)(lambda x: (cosine(x), lambda g: (NoTangent(), -g * sine(x))))
    return p


def black_box_first_order():
    p = ad.primitive(wave, host=True, result=lambda x, w: x)
    wave_rrule(p)
    return p


KINDS = [reverse_only, forward_only, both, scalar, several, structured, beside, black_box]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)


@every_kind
def test_by_jax(kind):
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp
    from jax.test_util import check_grads

    f = kind()
    with jax.enable_x64(True):
        x, w = jnp.array(X), jnp.array(W)
        check_grads(f, (x, w), order=2)
        if kind is not black_box:  # forward mode around jax.jit is where JAX hides which form a black box should take
            check_grads(jax.jit(f), (x, w), order=2)
        check_grads(jax.jit(f), (x, w), order=2, modes=["rev"])
        loss = lambda x, w: jnp.sum(f(x, w) ** 2)
        first = jax.grad(loss)(x, w)
        second = jax.hessian(loss)(x, w)
        for again in (jax.jit(jax.grad(loss)), jax.grad(jax.checkpoint(loss)), jax.jacfwd(loss), jax.jacrev(loss)):
            np.testing.assert_allclose(again(x, w), first, rtol=1e-12)
        for again in (jax.jit(jax.hessian(loss)), jax.jacrev(jax.jacrev(loss)), jax.jacfwd(jax.jacfwd(loss))):
            np.testing.assert_allclose(again(x, w), second, rtol=1e-12, atol=1e-14)
        two = jnp.stack([x, w])
        rows = jax.jit(jax.vmap(jax.grad(loss), (0, None)))(two, w)
        np.testing.assert_allclose(rows, [first, jax.grad(loss)(w, w)], rtol=1e-12)
        total = lambda w: jax.lax.scan(lambda c, x: (c + loss(x, w), None), 0.0, two)[0]
        expected = jax.grad(loss, 1)(x, w) + jax.grad(loss, 1)(w, w)
        np.testing.assert_allclose(jax.grad(total)(w), expected, rtol=1e-12)
        np.testing.assert_allclose(jax.jit(jax.grad(total))(w), expected, rtol=1e-12)


def test_a_black_box_of_first_order_by_jax():
    jax = pytest.importorskip("jax")
    from jax.test_util import check_grads

    with jax.enable_x64(True):
        check_grads(black_box_first_order(), (jax.numpy.array(X), jax.numpy.array(W)), order=1)


@quiet
@every_kind
def test_by_torch(kind):
    torch = pytest.importorskip("torch")
    f, func = kind(), torch.func
    x, w = (torch.tensor(v, requires_grad=True) for v in (X, W))
    assert torch.autograd.gradcheck(f, (x, w), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, (x, w))
    x, w = x.detach(), w.detach()
    loss = lambda x, w: torch.sum(f(x, w) ** 2)
    first, second = func.grad(loss)(x, w), func.hessian(loss)(x, w)
    y, back = func.vjp(loss, x, w)
    np.testing.assert_allclose(back(torch.ones_like(y))[0], first, rtol=1e-12)
    np.testing.assert_allclose(func.jvp(lambda x: loss(x, w), (x,), (x,))[1], first @ x, rtol=1e-12)
    np.testing.assert_allclose(func.jacrev(loss)(x, w), first, rtol=1e-12)
    np.testing.assert_allclose(func.jacfwd(loss)(x, w), first, rtol=1e-12)
    np.testing.assert_allclose(func.jacrev(func.jacrev(loss))(x, w), second, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(torch.autograd.functional.hessian(loss, (x, w))[0][0], second, rtol=1e-12, atol=1e-14)
    rows = func.vmap(func.grad(loss), (0, None))(torch.stack([x, w]), w)
    np.testing.assert_allclose(rows, torch.stack([first, func.grad(loss)(w, w)]), rtol=1e-12)


@quiet
def test_a_black_box_of_first_order_by_torch():
    torch = pytest.importorskip("torch")
    x, w = (torch.tensor(v, requires_grad=True) for v in (X, W))
    assert torch.autograd.gradcheck(black_box_first_order(), (x, w))


@every_kind
def test_by_autograd(kind):
    autograd = pytest.importorskip("autograd")
    import autograd.numpy as anp
    from autograd.test_util import check_grads

    f = kind()
    check_grads(f, order=2)(X, W)
    loss = lambda x, w: anp.sum(f(x, w) ** 2)
    first = autograd.grad(loss)(X, W)
    expected = ad.hessian(lambda x: np.sum(f(x, W) ** 2), X)
    np.testing.assert_allclose(autograd.jacobian(loss)(X, W), first)
    np.testing.assert_allclose(autograd.hessian(loss)(X, W), expected, rtol=1e-10, atol=1e-14)


def test_the_checkers_can_fail():
    jax = pytest.importorskip("jax")
    from jax.test_util import check_grads

    p = ad.primitive(wave)
    ad.define_rrule(p)(lambda x, w: (p(x, w), lambda g: (NoTangent(), 1.1 * g * np.cos(x) * w, g * np.sin(x))))
    with jax.enable_x64(True), pytest.raises(AssertionError):
        check_grads(p, (jax.numpy.array(X), jax.numpy.array(W)), order=1)


@pytest.mark.filterwarnings("ignore")  # torch's own, about what it cannot compile
@pytest.mark.parametrize("kind", [both, black_box_first_order], ids=lambda k: k.__name__)
def test_under_torch_compile(kind):
    torch = pytest.importorskip("torch")
    f, x, w = kind(), torch.tensor(X, requires_grad=True), torch.tensor(W)
    loss = lambda x: torch.sum(f(x, w) ** 2)
    expected = torch.autograd.grad(loss(x), x)[0]
    compiled = torch.compile(loss, backend="eager")
    np.testing.assert_allclose(torch.autograd.grad(compiled(x), x)[0], expected)
