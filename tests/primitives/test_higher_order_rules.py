"""Rules of functions that take functions: they call back into the differentiation that runs them."""

import warnings

import numpy as np
import pytest

import adselect as ad
from adselect import HasForwardMode, HasReverseMode, NoTangent

warnings.filterwarnings("ignore", message="A NumPy version")
TRACING = [ad.AutoTape(), ad.AutoForward(), ad.AutoJax(), ad.AutoTorch(), ad.AutoAutograd()]
every = pytest.mark.parametrize("adtype", TRACING, ids=lambda a: type(a).__name__)
X = np.array([0.4, 0.9])


@pytest.fixture(autouse=True)
def _needs(request):
    adtype = getattr(getattr(request.node, "callspec", None), "params", {}).get("adtype")
    if adtype is not None and adtype.requires:
        pytest.importorskip(adtype.requires)


@ad.primitive
def mapped(f, xs):
    return np.stack([f(xs[i]) for i in range(len(xs))])


@ad.define_rrule(mapped, needs=HasReverseMode)
def mapped_rrule(config, f, xs):
    pairs = [config.rrule_via_ad(f, xs[i]) for i in range(len(xs))]

    def pullback(y_bar):
        return NoTangent(), NoTangent(), 10 * np.stack([back(y_bar[i])[1] for i, (_, back) in enumerate(pairs)])

    return np.stack([y for y, _ in pairs]), pullback


@every
def test_map(adtype):
    f = lambda x: np.sum(mapped(lambda t: t * np.sin(t), x) ** 2)
    y = X * np.sin(X)
    np.testing.assert_allclose(ad.gradient(f, adtype, X)[0], 20 * y * (np.sin(X) + X * np.cos(X)))


@ad.primitive
def accumulated(step, start, xs):
    for i in range(len(xs)):
        start = step(start, xs[i])
    return start


@ad.define_rrule(accumulated, needs=HasReverseMode)
def accumulated_rrule(config, step, start, xs):
    backs = []
    for i in range(len(xs)):
        start, back = config.rrule_via_ad(step, start, xs[i])
        backs.append(back)

    def pullback(carry_bar):
        x_bars = []
        for back in reversed(backs):
            _, carry_bar, x_bar = back(carry_bar)
            x_bars.append(x_bar)
        return NoTangent(), NoTangent(), carry_bar, np.stack(x_bars[::-1])

    return start, pullback


def step(carry, x):
    return np.tanh(carry * x + 0.5)


def unrolled(start, xs):
    for i in range(len(xs)):
        start = step(start, xs[i])
    return start


@every
def test_scan(adtype):
    got = ad.gradient(lambda s, x: accumulated(step, s, x), adtype, 0.3, X)
    expected = ad.gradient(unrolled, 0.3, X)
    np.testing.assert_allclose(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1])
    h = ad.hessian(lambda x: accumulated(step, 0.3, x), adtype, X)
    np.testing.assert_allclose(h, ad.hessian(lambda x: unrolled(0.3, x), X), rtol=1e-9)


@ad.primitive
def fixed_point(f, a, x):
    """x with x = f(a, x), by iteration from x."""
    for _ in range(60):
        x = f(a, x)
    return x


@ad.define_rrule(fixed_point, needs={HasReverseMode})
def fixed_point_rrule(config, f, a, x):
    x = fixed_point(f, a, x)
    _, back = config.rrule_via_ad(f, a, x)

    def pullback(x_bar):
        w = x_bar
        for _ in range(60):  # w = x̄ + (∂f/∂x)ᵀ w, a fixed point itself
            w = x_bar + back(w)[2]
        return NoTangent(), NoTangent(), back(w)[1], np.zeros_like(x_bar)

    return x, pullback


@every
def test_a_fixed_point(adtype):
    # x = a/2 + cos(x)/4: 1 = 1/2 a' … so dx/da = (1/2) / (1 + sin(x)/4)
    f = lambda a, x: 0.5 * a + 0.25 * np.cos(x)
    g = lambda a: np.sum(fixed_point(f, a, np.zeros(2)))
    x = fixed_point(f, X, np.zeros(2))
    slope = 0.5 / (1 + 0.25 * np.sin(x))
    np.testing.assert_allclose(ad.gradient(g, adtype, X)[0], slope, rtol=1e-12)
    curvature = -0.5 * 0.25 * np.cos(x) * slope / (1 + 0.25 * np.sin(x)) ** 2
    np.testing.assert_allclose(ad.hessian(g, adtype, X), np.diag(curvature), rtol=1e-9, atol=1e-14)


@every
def test_what_the_function_captured_has_a_tangent(adtype):
    class Scaled:
        def __init__(self, weight):
            self.weight = weight

        def __call__(self, x):
            return self.weight * x**2

    @ad.primitive
    def applied(f, x):
        return f(x)

    @ad.define_rrule(applied, needs=HasReverseMode)
    def applied_rrule(config, f, x):
        y, back = config.rrule_via_ad(f, x)

        def pullback(y_bar):
            f_bar, x_bar = back(y_bar)
            return NoTangent(), f_bar, x_bar

        return y, pullback

    g, gx = ad.gradient(lambda f, x: np.sum(applied(f, x)), adtype, Scaled(3.0), X)
    np.testing.assert_allclose(g.weight, np.sum(X**2))
    np.testing.assert_allclose(gx, 6 * X)


@every
def test_forward_rules_call_back_too(adtype):
    @ad.primitive
    def applied(f, x):
        return f(x)

    @ad.define_frule(applied, needs=HasForwardMode)
    def applied_frule(config, tangents, f, x):
        return config.frule_via_ad((NoTangent(), 10 * tangents[2]), f, x)

    y, y_dot = ad.pushforward(lambda x: applied(np.sin, x), adtype, (X,), (np.ones(2),))
    np.testing.assert_allclose((y, y_dot), (np.sin(X), 10 * np.cos(X)))
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(applied(np.sin, x)), adtype, X)[0], 10 * np.cos(X))


@every
def test_forward_rules_push_what_the_function_captured(adtype):
    @ad.primitive
    def thrice(f, x):
        return f(f(f(x)))

    @ad.define_frule(thrice, needs=HasForwardMode)
    def thrice_frule(config, tangents, f, x):
        _, f_dot, x_dot = tangents
        for _ in range(3):
            x, x_dot = config.frule_via_ad((f_dot, x_dot), f, x)
        return x, x_dot

    def by_hand(a, x):
        for _ in range(3):
            x = np.sin(a * x)
        return np.sum(x)

    g = ad.gradient(lambda a, x: np.sum(thrice(lambda x: np.sin(a * x), x)), adtype, 1.5, X)
    for mine, theirs in zip(g, ad.gradient(by_hand, 1.5, X), strict=True):
        np.testing.assert_allclose(mine, theirs)


def test_in_frameworks_own_code():
    jax = pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    jnp = jax.numpy

    @ad.primitive
    def twice(f, x):
        return f(f(x))

    @ad.define_rrule(twice, needs=HasReverseMode)
    def twice_rrule(config, f, x):
        y, first = config.rrule_via_ad(f, x)
        z, second = config.rrule_via_ad(f, y)

        def pullback(z_bar):
            f_bar, y_bar = second(z_bar)
            f_bar_too, x_bar = first(y_bar)
            return NoTangent(), f_bar + f_bar_too, x_bar

        return z, pullback

    with jax.enable_x64(True):
        loss = lambda a, x: jnp.sum(twice(lambda x: jnp.sin(a * x), x) ** 2)
        plain = lambda a, x: jnp.sum(jnp.sin(a * jnp.sin(a * x)) ** 2)
        a, rows = jnp.array(1.5), jnp.stack([jnp.array(X), 2 * jnp.array(X)])
        for make in (
            lambda f: jax.grad(f)(a, rows[0]),
            lambda f: jax.jit(jax.vmap(jax.grad(f, (0, 1)), (None, 0)))(a, rows),
            lambda f: jax.hessian(f)(a, rows[0]),
        ):
            for mine, theirs in zip(jax.tree.leaves(make(loss)), jax.tree.leaves(make(plain)), strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-10)
    layer = torch.nn.Linear(2, 2, dtype=torch.float64)
    x = torch.tensor(X)
    twice(layer, x).sum().backward()
    mine = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer(layer(x)).sum().backward()
    for g, p in zip(mine, layer.parameters(), strict=True):
        np.testing.assert_allclose(g, p.grad)


def test_a_forward_rule_cannot_be_transposed_through_torchs_own_code():
    torch = pytest.importorskip("torch")

    @ad.primitive
    def applied(f, x):
        return f(x)

    @ad.define_frule(applied, needs=HasForwardMode)
    def applied_frule(config, tangents, f, x):
        return config.frule_via_ad(tangents[1:], f, x)

    x = torch.tensor(X, requires_grad=True)
    applied(np.sin, x).sum().backward()
    np.testing.assert_allclose(x.grad, np.cos(X))
    with pytest.raises(ad.UnsupportedError, match=r"applied_frule .*torch's own code.*Give applied an rrule too"):
        applied(torch.sin, x).sum().backward()
