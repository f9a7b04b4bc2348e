"""Rules that users write: defined once, used by every backend and under every transformation."""

import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import adselect as ad
from adselect import NoTangent, RuleError, Tangent, UnsupportedError, ZeroTangent

warnings.filterwarnings("ignore", message="A NumPy version")
TRACING = [ad.AutoTape(), ad.AutoForward(), ad.AutoJax(), ad.AutoTorch(), ad.AutoAutograd()]
FRAMEWORKS = TRACING[2:]
every = pytest.mark.parametrize("adtype", TRACING, ids=lambda a: type(a).__name__)


@pytest.fixture(autouse=True)
def _needs(request):
    params = getattr(getattr(request.node, "callspec", None), "params", {})
    adtype = params.get("adtype")
    if adtype is not None and adtype.requires:
        pytest.importorskip(adtype.requires)


def counted_cube(factor=1.0):
    """x³ with a reverse rule, and counters of its evaluations; factor makes the rule recognisable."""
    counts = {"body": 0, "rule": 0}

    @ad.primitive
    def cube(x):
        counts["body"] += 1
        return x**3

    @ad.define_rrule(cube)
    def cube_rrule(x):
        counts["rule"] += 1
        return cube(x), lambda y_bar: (NoTangent(), factor * 3 * x**2 * y_bar)

    return cube, counts


X = np.array([1.0, 2.0])


# -- one rule, every backend -------------------------------------------------------------------------------------------


@every
def test_the_rule_is_used_not_the_body(adtype):
    cube, _ = counted_cube(10.0)
    (g,) = ad.gradient(lambda x: np.sum(cube(x)), adtype, X)
    np.testing.assert_allclose(g, 30 * X**2)
    assert type(g) is np.ndarray


@every
def test_one_primal_evaluation_per_first_order_gradient(adtype):
    cube, counts = counted_cube()
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(cube(x) * x), adtype, X)[0], 4 * X**3)
    assert counts == {"body": 1, "rule": 1}


@every
@pytest.mark.parametrize("operator", [ad.hessian, ad.hessian_reverse], ids=["hessian", "hessian_reverse"])
def test_second_order(adtype, operator):
    cube, _ = counted_cube()
    np.testing.assert_allclose(operator(lambda x: np.sum(cube(x) * x), adtype, X), np.diag(12 * X**2))


@every
def test_jacobian_and_pushforward(adtype):
    cube, _ = counted_cube(10.0)
    np.testing.assert_allclose(ad.jacobian(cube, adtype, X)[0], np.diag(30 * X**2))
    y, y_dot = ad.pushforward(cube, adtype, (X,), (np.array([1.0, 0.5]),))
    np.testing.assert_allclose(y, X**3)
    np.testing.assert_allclose(y_dot, 30 * X**2 * [1.0, 0.5])


@every
def test_a_rule_registered_after_preparation_takes_effect(adtype):
    p = ad.primitive(lambda x: np.sum(x**2))
    prepared = ad.prepare(ad.gradient, lambda x: p(x), adtype, X)
    np.testing.assert_allclose(prepared(X)[0], 2 * X)
    ad.define_rrule(p)(lambda x: (p(x), lambda y_bar: (NoTangent(), 20 * x * y_bar)))
    np.testing.assert_allclose(prepared(X)[0], 20 * X)


@every
def test_a_primitive_without_a_rule_is_what_it_does(adtype):
    p = ad.primitive(lambda x: np.sum(np.sin(x)))
    np.testing.assert_allclose(ad.gradient(p, adtype, X)[0], np.cos(X))


@every
def test_only_a_forward_rule(adtype):
    @ad.primitive
    def scaled(x, y):
        return x * np.exp(y)

    @ad.define_frule(scaled)
    def scaled_frule(tangents, x, y):
        own, x_dot, y_dot = tangents
        assert own is NoTangent()
        return scaled(x, y), 10 * (x_dot * np.exp(y) + x * np.exp(y) * y_dot)

    gx, gy = ad.gradient(lambda x, y: np.sum(scaled(x, y)), adtype, X, X)
    np.testing.assert_allclose(gx, 10 * np.exp(X))
    np.testing.assert_allclose(gy, 10 * X * np.exp(X))
    np.testing.assert_allclose(ad.jacobian(lambda x: scaled(x, 1.0), adtype, X)[0], 10 * np.e * np.eye(2))


@every
def test_structured_results_and_cotangents(adtype):
    @ad.primitive
    def two(x):
        return {"a": np.sin(x), "b": (x * 2, 3)}

    @ad.define_rrule(two)
    def two_rrule(x):
        def pullback(y_bar):
            assert set(y_bar) == {"a", "b"}
            return NoTangent(), y_bar["a"] * np.cos(x) + 2 * y_bar["b"][0]

        return two(x), pullback

    def f(x):
        y = two(x)
        assert y["b"][1] == 3
        return np.sum(y["a"] * y["b"][0])

    np.testing.assert_allclose(ad.gradient(f, adtype, X)[0], 2 * (np.sin(X) + X * np.cos(X)))
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(two(x)["a"]), adtype, X)[0], np.cos(X))


@every
def test_structured_arguments(adtype):
    class Layer:
        def __init__(self, w, note):
            self.w, self.note = w, note

    @ad.primitive
    def affine(layer, data):
        return layer.w * data["x"] + data["c"][0]

    @ad.define_rrule(affine)
    def affine_rrule(layer, data):
        def pullback(y_bar):
            return (
                NoTangent(),
                Tangent[Layer](w=y_bar * data["x"], note=NoTangent()),
                {"x": y_bar * layer.w, "c": [np.sum(10 * y_bar)]},
            )

        return affine(layer, data), pullback

    layer, data = Layer(np.array([2.0, 3.0]), "text"), {"x": X, "c": [1.0]}
    g_layer, g_data = ad.gradient(lambda m, d: np.sum(affine(m, d)), adtype, layer, data)
    np.testing.assert_allclose(g_layer.w, X)
    assert g_layer.note is None
    np.testing.assert_allclose(g_data["x"], [2.0, 3.0])
    assert g_data["c"] == [20.0]


@every
def test_complex_convention(adtype):
    @ad.primitive
    def cube(z):
        return z**3

    @ad.define_rrule(cube)
    def cube_rrule(z):
        return cube(z), lambda y_bar: (NoTangent(), y_bar * np.conj(3 * z**2))

    z = np.array([0.6 + 0.8j, 0.2 - 0.3j])
    expected = ad.gradient(lambda z: np.sum(np.real(z**3 * z)), z)[0]
    np.testing.assert_allclose(ad.gradient(lambda z: np.sum(np.real(cube(z) * z)), adtype, z)[0], expected)


@every
def test_single_precision_stays(adtype):
    cube, _ = counted_cube()
    (g,) = ad.gradient(lambda x: np.sum(cube(x)), adtype, X.astype(np.float32))
    assert g.dtype == np.float32


@every
def test_scalar_rule_of_arrays_and_several_results(adtype):
    @ad.primitive
    def sincos(x, a):
        return np.sin(a * x), np.cos(a * x)

    ad.scalar_rule(
        sincos,
        lambda out, x, a, s, c: ((a * c, x * c), (-a * s, -x * s)),
        setup=lambda out, x, a: out,
    )
    g, ga = ad.gradient(lambda x, a: np.sum(sincos(x, a)[0] * sincos(x, a)[1]), adtype, X, 2.0)
    np.testing.assert_allclose(g, 2 * np.cos(4 * X))
    np.testing.assert_allclose(ga, np.sum(X * np.cos(4 * X)))
    if not isinstance(adtype, ad.AutoForward):
        np.testing.assert_allclose(
            ad.hessian(lambda x: np.sum(sincos(x, 2.0)[0]), adtype, X), np.diag(-4 * np.sin(2 * X)), rtol=1e-10
        )


@every
def test_non_differentiable(adtype):
    rounded = ad.primitive(lambda x: np.round(x))
    ad.non_differentiable(rounded)
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(x * rounded(x)), adtype, X + 0.2)[0], X)


@every
def test_opt_out_by_the_types_the_user_passed(adtype):
    ident = ad.primitive(lambda x: 1 * x)
    ad.define_rrule(ident)(lambda x: (ident(x), lambda y_bar: (NoTangent(), 7 * y_bar)))
    ad.opt_out(ident, float)
    assert ad.gradient(ident, adtype, 2.0) == (1.0,)
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(ident(x)), adtype, X)[0], [7, 7])
    ad.opt_out(ident)
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(ident(x)), adtype, X)[0], [1, 1])


@every
def test_rules_of_functions_of_functions(adtype):
    @ad.primitive
    def twice(f, x):
        return f(f(x))

    @ad.define_rrule(twice, needs={ad.HasReverseMode})
    def twice_rrule(config, f, x):
        assert isinstance(config, ad.RuleConfig)
        assert ad.HasReverseMode in config.capabilities
        a, back1 = config.rrule_via_ad(f, x)
        b, back2 = config.rrule_via_ad(f, a)
        return b, lambda y_bar: (NoTangent(), NoTangent(), 10 * back1(back2(y_bar)[1])[1])

    (g,) = ad.gradient(lambda x: np.sum(twice(np.sin, x)), adtype, X)
    np.testing.assert_allclose(g, 10 * np.cos(np.sin(X)) * np.cos(X))


def test_needs_that_are_not_met_are_an_error_not_the_bodys_derivative():
    p = ad.primitive(lambda x: x * 1.0)
    ad.define_rrule(p, needs=ad.SupportsMutation)(lambda config, x: (p(x), lambda g: (NoTangent(), 5 * g)))
    assert ad.gradient(p, 2.0) == (5.0,)
    with pytest.raises(UnsupportedError, match="SupportsMutation"):
        ad.gradient(p, ad.AutoJax(), 2.0)
    with pytest.raises(TypeError, match="needs="):
        ad.define_rrule(p, needs="HasReverseMode")(lambda x: None)


def test_frule_via_ad():
    @ad.primitive
    def outer(f, x):
        return f(x)

    @ad.define_frule(outer, needs=ad.HasForwardMode)
    def outer_frule(config, tangents, f, x):
        return config.frule_via_ad((NoTangent(), 3 * tangents[2]), f, x)

    y, y_dot = ad.pushforward(lambda x: outer(np.sin, x), ad.AutoForward(), (0.5,), (1.0,))
    np.testing.assert_allclose((y, y_dot), (np.sin(0.5), 3 * np.cos(0.5)))


@every
def test_integer_arguments_and_keywords(adtype):
    @ad.primitive
    def power(x, n=2):
        return x**n

    @ad.define_rrule(power)
    def power_rrule(x, n=2):
        return power(x, n), lambda y_bar: (NoTangent(), 10 * n * x ** (n - 1) * y_bar, NoTangent())

    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(power(x, n=3)), adtype, X)[0], 30 * X**2)
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(power(x)), adtype, X)[0], 20 * X)


@every
def test_tangents_of_every_kind(adtype):
    p = ad.primitive(lambda a, b, c, d: a * b * c * d)
    ran = []

    @ad.define_rrule(p)
    def p_rrule(a, b, c, d):
        thunk = ad.Thunk(lambda: ran.append(1) or 7.0)
        return p(a, b, c, d), lambda y_bar: (NoTangent(), y_bar * thunk, ZeroTangent(), None, NoTangent())

    g = ad.gradient(p, adtype, 1.0, 2.0, 3.0, 4.0, missing="zeros")
    assert g == (7.0, 0.0, 0.0, 0.0)
    assert ran


@every
def test_no_tangent_is_none_where_the_engine_can_know(adtype):
    p = ad.primitive(lambda a, b: a * b)
    ad.define_rrule(p)(lambda a, b: (p(a, b), lambda y_bar: (NoTangent(), ZeroTangent(), NoTangent())))
    assert ad.gradient(p, adtype, 1.0, 2.0) == (0.0, None if adtype in TRACING[:2] else 0.0)
    ignored = lambda a, b: p(a, ad.ignore_derivatives(b))
    assert ad.gradient(ignored, adtype, 1.0, 2.0) == (0.0, None)


# -- host primitives ---------------------------------------------------------------------------------------------------

A, B = np.array([[3.0, 1.0], [0.5, 2.0]]), np.array([1.0, 2.0])


def host_solve(**options):
    counts = {"rule": 0, "vectors": True}

    def solve(a, b):
        assert type(a) is np.ndarray
        assert type(b) is np.ndarray
        return np.linalg.solve(a, b)

    solve = ad.primitive(solve, host=True, **options)

    @ad.define_rrule(solve)
    def solve_rrule(a, b):
        assert type(a) is np.ndarray
        assert type(b) is np.ndarray
        counts["rule"] += 1
        y = solve(a, b)

        def pullback(y_bar):
            assert type(y_bar) is np.ndarray
            b_bar = np.linalg.solve(a.T, y_bar)
            return NoTangent(), -np.outer(b_bar, y), b_bar

        return y, pullback

    return solve, counts


@every
def test_a_black_box(adtype):
    solve, counts = host_solve(result=lambda a, b: b)
    g = ad.gradient(lambda a, b: np.sum(solve(a, b) ** 2), adtype, A, B)
    expected = ad.gradient(lambda a, b: np.sum(np.linalg.solve(a, b) ** 2), A, B)
    for mine, theirs in zip(g, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-14)
    assert counts["rule"] == 1
    np.testing.assert_allclose(ad.jacobian(lambda b: solve(A, b), adtype, B)[0], np.linalg.inv(A), atol=1e-14)


@every
def test_a_black_box_has_first_derivatives_only(adtype):
    solve, _ = host_solve(result=lambda a, b: b)
    with pytest.raises(UnsupportedError, match="second derivative"):
        ad.hessian(lambda b: np.sum(solve(A, b) ** 2), adtype, B)


@every
def test_a_black_box_with_a_traceable_rule_has_all(adtype):
    solve = ad.primitive(np.linalg.solve, host=True, result=lambda a, b: b)

    @ad.define_rrule(solve, host=False)
    def solve_rrule(a, b):
        y = solve(a, b)

        def pullback(y_bar):
            b_bar = solve(a.T, y_bar)
            return NoTangent(), -b_bar[:, None] * y[None, :], b_bar

        return y, pullback

    expected = ad.hessian(lambda b: np.sum(np.linalg.solve(A, b) ** 4), B)
    np.testing.assert_allclose(ad.hessian(lambda b: np.sum(solve(A, b) ** 4), adtype, B), expected, rtol=1e-10)
    third = ad.gradient(lambda a: np.sum(ad.hessian_reverse(lambda b: np.sum(solve(a, b) ** 4), adtype, B)), adtype, A)
    expected = ad.gradient(lambda a: np.sum(ad.hessian_reverse(lambda b: np.sum(np.linalg.solve(a, b) ** 4), B)), A)
    np.testing.assert_allclose(third[0], expected[0], rtol=1e-8, atol=1e-12)


@every
def test_a_sparse_solver_with_its_adjoint(adtype):
    sparse = pytest.importorskip("scipy.sparse")
    from scipy.sparse.linalg import spsolve

    n = 5
    rows, cols = np.diag_indices(n)

    def matrix(d):
        return sparse.csc_matrix((d, (rows, cols)), (n, n)) + sparse.diags([np.full(n - 1, -1.0)], [1], format="csc")

    solve = ad.primitive(lambda d, b: spsolve(matrix(d), b), host=True)

    @ad.define_rrule(solve)
    def solve_rrule(d, b):
        y = solve(d, b)

        def pullback(y_bar):
            b_bar = spsolve(matrix(d).T.tocsc(), y_bar)
            return NoTangent(), -b_bar * y, b_bar

        return y, pullback

    d, b = np.linspace(3, 4, n), np.arange(1.0, n + 1)
    got = ad.gradient(lambda d, b: np.sum(solve(d, b) ** 2), adtype, d, b)
    expected = ad.gradient(lambda d, b: np.sum(np.linalg.solve(np.diag(d) - np.eye(n, k=1), b) ** 2), d, b)
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10)


@every
def test_a_host_primitive_without_a_rule_says_so(adtype):
    p = ad.primitive(lambda x: float(x) ** 2, host=True)
    with pytest.raises(ad.MissingRuleError, match="define_rrule"):
        ad.gradient(p, adtype, 2.0)


@every
def test_a_host_forward_rule(adtype):
    p = ad.primitive(lambda x: np.asarray(x) ** 2, host=True)
    ad.define_frule(p)(lambda tangents, x: (p(x), 20 * x * tangents[1]))
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(p(x)), adtype, X)[0], 20 * X)


# -- the user's own framework code -------------------------------------------------------------------------------------


def test_jax_transformations():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp
    from jax.test_util import check_grads

    cube, counts = counted_cube()
    g = lambda x: jnp.sum(cube(x) * x)
    with jax.enable_x64(True):
        x = jnp.array(X)
        assert isinstance(cube(x), jax.Array)
        check_grads(g, (x,), order=2)
        check_grads(jax.jit(g), (x,), order=2)
        counts.update(body=0, rule=0)
        np.testing.assert_allclose(jax.jit(jax.grad(g))(x), 4 * X**3)
        assert counts == {"body": 1, "rule": 1}
        np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(lambda t: cube(t) * t)))(x), 4 * X**3)
        np.testing.assert_allclose(jax.hessian(g)(x), np.diag(12 * X**2))
        np.testing.assert_allclose(jax.jacrev(jax.jacrev(g))(x), np.diag(12 * X**2))
        np.testing.assert_allclose(jax.jacfwd(jax.jacfwd(g))(x), np.diag(12 * X**2))
        np.testing.assert_allclose(jax.grad(jax.checkpoint(g))(x), 4 * X**3)
        scanned = jax.grad(lambda x: jax.lax.scan(lambda c, t: (c * cube(t), c), 1.0, x)[0])(x)
        np.testing.assert_allclose(scanned, [3 * 8.0, 3 * 4.0])
    single = jax.grad(g)(jnp.asarray(X, jnp.float32))
    assert single.dtype == jnp.float32


def test_jax_integer_arguments_are_no_variables():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    p = ad.primitive(lambda x, n: x * n)
    ad.define_rrule(p)(lambda x, n: (p(x, n), lambda g: (NoTangent(), 10 * n * g, NoTangent())))
    np.testing.assert_allclose(jax.jit(jax.grad(p))(jnp.float32(2.0), jnp.int32(3)), 30.0)


def test_a_black_box_in_jax():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    expected = ad.gradient(lambda a, b: np.sum(np.linalg.solve(a, b) ** 2), A, B)
    with jax.enable_x64(True):
        a, b = jnp.array(A), jnp.array(B)
        two = jnp.stack([b, 2 * b])
        for options in ({"result": lambda a, b: b}, {}):
            solve, counts = host_solve(**options)
            g = lambda a, b: jnp.sum(solve(a, b) ** 2)  # noqa: B023
            np.testing.assert_allclose(jax.grad(g, 1)(a, b), expected[1], atol=1e-14)
            assert counts["rule"] == 1
            for mine, theirs in zip(jax.jit(jax.grad(g, (0, 1)))(a, b), expected, strict=True):
                np.testing.assert_allclose(mine, theirs, atol=1e-14)
            assert counts["rule"] == 2
            batch = jax.jit(jax.vmap(jax.grad(g, 1), (None, 0)))(a, two)
            np.testing.assert_allclose(batch, [expected[1], 2 * expected[1]], atol=1e-14)
            np.testing.assert_allclose(jax.jacrev(lambda b: solve(a, b))(b), np.linalg.inv(A), atol=1e-14)  # noqa: B023
        unknown, _ = host_solve()
        np.testing.assert_allclose(jax.jit(unknown)(a, b), np.linalg.solve(A, B), atol=1e-14)


def test_a_batched_black_box_is_called_once():
    jax = pytest.importorskip("jax")
    calls = []
    p = ad.primitive(lambda x: calls.append(x.shape) or x**2, host=True, batched=True, result=lambda x: x)
    jax.vmap(p)(np.ones((4, 3), np.float32))
    assert calls == [(4, 3)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, about torch.jit
def test_torch_transformations():
    torch = pytest.importorskip("torch")
    cube, counts = counted_cube()
    g = lambda x: torch.sum(cube(x) * x)
    x = torch.tensor(X, requires_grad=True)
    g(x).backward()
    np.testing.assert_allclose(x.grad, 4 * X**3)
    assert counts == {"body": 1, "rule": 1}
    assert torch.autograd.gradcheck(cube, x)
    assert torch.autograd.gradgradcheck(cube, x)
    np.testing.assert_allclose(torch.autograd.functional.hessian(g, x), np.diag(12 * X**2))
    x = x.detach()
    func = torch.func
    np.testing.assert_allclose(func.grad(g)(x), 4 * X**3)
    np.testing.assert_allclose(func.vmap(func.grad(lambda t: cube(t) * t))(x), 4 * X**3)
    np.testing.assert_allclose(func.jacrev(cube)(x), np.diag(3 * X**2))
    np.testing.assert_allclose(func.jacfwd(cube)(x), np.diag(3 * X**2))
    np.testing.assert_allclose(func.hessian(g)(x), np.diag(12 * X**2))
    np.testing.assert_allclose(func.jacrev(func.jacrev(g))(x), np.diag(12 * X**2))
    with pytest.raises(UnsupportedError, match="forward-mode"):
        func.jacfwd(func.jacfwd(cube))(x)


def test_a_black_box_in_torch():
    torch = pytest.importorskip("torch")
    expected = ad.gradient(lambda a, b: np.sum(np.linalg.solve(a, b) ** 2), A, B)
    solve, counts = host_solve()
    g = lambda a, b: torch.sum(solve(a, b) ** 2)
    a, b = torch.tensor(A), torch.tensor(B)
    leaf = b.clone().requires_grad_()
    g(a, leaf).backward()
    np.testing.assert_allclose(leaf.grad, expected[1], atol=1e-14)
    assert counts["rule"] == 1
    for mine, theirs in zip(torch.func.grad(g, (0, 1))(a, b), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-14)
    batch = torch.func.vmap(torch.func.grad(g, 1), (None, 0))(a, torch.stack([b, 2 * b]))
    np.testing.assert_allclose(batch, [expected[1], 2 * expected[1]], atol=1e-14)
    np.testing.assert_allclose(torch.func.jacrev(lambda b: solve(a, b))(b), np.linalg.inv(A), atol=1e-14)
    with pytest.raises(UnsupportedError, match="second derivative"):
        torch.autograd.functional.hessian(lambda b: g(a, b), b)


def test_autograd_transformations():
    autograd = pytest.importorskip("autograd")
    import autograd.numpy as anp
    from autograd.test_util import check_grads

    cube, counts = counted_cube()
    g = lambda x: anp.sum(cube(x) * x)
    np.testing.assert_allclose(autograd.grad(g)(X), 4 * X**3)
    assert counts == {"body": 1, "rule": 1}
    np.testing.assert_allclose(autograd.hessian(g)(X), np.diag(12 * X**2))
    check_grads(g, order=2)(X)


# -- rules that are wrong ----------------------------------------------------------------------------------------------


def with_pullback(pullback):
    p = ad.primitive(lambda x, y: np.sum(x) * y)

    @ad.define_rrule(p)
    def wrong_rrule(x, y):
        return p(x, y), pullback

    return p


class Wrong:
    def __init__(self, x):
        self.x = x


WRONG = {
    "2 tangents for 3 inputs": lambda g: (NoTangent(), g * np.ones(2)),
    "4 tangents": lambda g: (NoTangent(), g * np.ones(2), g, g),
    "shape": lambda g: (NoTangent(), g * np.ones(3), g),
    "complex": lambda g: (NoTangent(), g * np.ones(2) * 1j, g),
    "None": lambda g: None,
    "no number": lambda g: (NoTangent(), "text", g),
    "a dict|dict": lambda g: (NoTangent(), {"x": g}, g),
    r"Tangent\[Wrong\]": lambda g: (NoTangent(), ad.Tangent[Wrong](x=g), g),
}


@pytest.mark.parametrize("match", WRONG, ids=list(WRONG))
@pytest.mark.parametrize("adtype", TRACING, ids=lambda a: type(a).__name__)
def test_wrong_tangents_are_refused(match, adtype):
    with pytest.raises(RuleError, match=match) as caught:
        ad.gradient(with_pullback(WRONG[match]), adtype, X, 2.0)
    assert "wrong_rrule" in str(caught.value)
    assert "test_primitives.py" in str(caught.value)


def test_what_is_no_pair_is_refused():
    p = ad.primitive(lambda x: x * 1.0)
    ad.define_rrule(p)(lambda x: p(x))
    with pytest.raises(RuleError, match="returns a pair"):
        ad.gradient(p, 1.0)
    p = ad.primitive(lambda x: x * 1.0)
    ad.define_rrule(p)(lambda x: (p(x), 3.0))
    with pytest.raises(RuleError, match="callable"):
        ad.gradient(p, 1.0)


def test_registration_errors():
    cube, _ = counted_cube()
    with pytest.raises(RuleError, match="cube has an rrule already: cube_rrule"):
        ad.define_rrule(cube)(lambda x: None)
    with pytest.raises(RuleError, match="already"):
        ad.scalar_rule(cube, lambda y, x: (1.0,))
    assert cube.frule is None  # nothing was half registered
    with pytest.raises(RuleError, match="already"):
        ad.non_differentiable(cube)
    with pytest.raises(RuleError, match="primitive"):
        ad.define_rrule(lambda x: x)(lambda x: None)
    with pytest.raises(RuleError, match=r"np\.sin has a derivative rule already"):
        ad.define_rrule(np.sin)(lambda x: None)
    with pytest.raises(RuleError, match="primitive already"):
        ad.primitive(cube)
    ad.opt_out(cube, float)
    with pytest.raises(RuleError, match="already"):
        ad.opt_out(cube, float)
    constant = ad.primitive(lambda x: x)
    ad.non_differentiable(constant)
    with pytest.raises(RuleError, match="non_differentiable"):
        ad.define_rrule(constant)(lambda x: None)
    partial = ad.primitive(lambda x, y: x * y)
    ad.scalar_rule(partial, lambda out, x, y: (y,))
    with pytest.raises(RuleError, match="partial derivatives"):
        ad.gradient(partial, 1.0, 2.0)


def test_registration_errors_say_where_the_first_rule_is():
    cube, _ = counted_cube()
    for again in (
        lambda: ad.define_rrule(cube)(lambda x: None),
        lambda: ad.scalar_rule(cube, lambda y, x: (1.0,)),
        lambda: ad.non_differentiable(cube),
    ):
        with pytest.raises(RuleError, match=r"cube_rrule of cube \(.*test_primitives\.py:\d+\)"):
            again()


@every
def test_wrong_forward_tangents_are_refused(adtype):
    for wrong, match in (
        (lambda t, x: (x * 1.0, np.ones(3)), "shape"),
        (lambda t, x: (x * 1.0, "text"), "no number"),
        (lambda t, x: x * 1.0, "pair"),
        (lambda t, x: (x * 1.0, 1j * t[1]), "complex"),
    ):
        p = ad.primitive(lambda x: x * 1.0)
        ad.define_frule(p)(wrong)
        with pytest.raises(RuleError, match=rf"(?s)(?=.*{match}).*test_primitives\.py:\d+"):
            ad.gradient(lambda x: np.sum(p(x)), adtype, X)  # noqa: B023


def test_rules_registered_while_others_differentiate():
    """Registration on one thread, derivatives on others: each sees the body or the rule, nothing between."""
    seen, stop = [], threading.Event()
    p = ad.primitive(lambda x: 1.0 * x)

    def differentiate():
        while not stop.is_set():
            seen.append(ad.gradient(p, 2.0)[0])

    threads = [threading.Thread(target=differentiate) for _ in range(3)]
    for t in threads:
        t.start()
    ad.define_rrule(p)(lambda x: (p(x), lambda g: (NoTangent(), 7 * g)))
    registered = [ad.gradient(p, 2.0)[0] for _ in range(20)]
    stop.set()
    for t in threads:
        t.join()
    assert set(registered) == {7.0}
    assert set(seen) <= {1.0, 7.0}


def test_of_many_threads_one_registers():
    p = ad.primitive(lambda x: x * 1.0)
    won = []

    def register():
        try:
            ad.define_rrule(p)(lambda x: (p(x), lambda g: (NoTangent(), g)))
            won.append(1)
        except RuleError:
            pass

    threads = [threading.Thread(target=register) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert won == [1]


# -- asking ------------------------------------------------------------------------------------------------------------


def test_asking_for_rules():
    assert ad.rrule(lambda x: x, 1.0) is None
    assert ad.frule((NoTangent(), 1.0), lambda x: x, 1.0) is None
    y, pullback = ad.rrule(np.matmul, A, B)
    np.testing.assert_allclose(y, A @ B)
    bars = pullback(np.ones(2))
    assert bars[0] is NoTangent()
    np.testing.assert_allclose(bars[1], np.outer(np.ones(2), B))
    y, pullback = ad.rrule(np.add, X, 1.0)
    np.testing.assert_allclose(pullback(np.ones(2))[2], 2.0)
    assert ad.rrule(np.argmax, X)[1](1.0) == (NoTangent(), NoTangent())
    y, y_dot = ad.frule((NoTangent(), 1.0, NoTangent()), np.multiply, 2.0, 3.0)
    assert y == 6.0
    assert y_dot == 3.0
    cube, _ = counted_cube()
    assert ad.rrule(cube, 2.0)[1](1.0)[1] == 12.0
    assert ad.frule((NoTangent(), 1.0), cube, 2.0) is None


def test_rules_for_says_what_every_backend_uses():
    cube, _ = counted_cube()
    words = ad.rules_for(cube)
    assert "cube_rrule" in words["AutoTape"]
    assert "transposed" in words["AutoForward"]
    assert set(words) == {type(info.adtype).__name__ for info in ad.available_backends()}
    assert ad.rules_for(np.sin)["AutoTape"] == "adselect's rule of sin"
    assert ad.rules_for(lambda x: x)["AutoTape"].startswith("none")


def test_a_primitive_is_a_function_to_the_rest_of_the_library():
    captured = np.ones(2)
    p = ad.primitive(lambda x: np.sum(captured * x))
    assert ad.gradient(lambda f, x: f(x), p, X)[0] is None
    assert ad.gradient(lambda h: h.f(h.x), SimpleNamespace(f=p, x=X))[0].f is None

    class Model:
        @ad.primitive
        def method(self, x):
            return np.sum(self.w * x)

    m = Model()
    m.w = X
    np.testing.assert_allclose(ad.gradient(lambda m: m.method(X), m)[0].w, X)


def test_thunk_runs_once():
    n = []
    t = ad.Thunk(lambda: n.append(1) or np.ones(2))
    np.testing.assert_allclose(t + 1, [2, 2])
    np.testing.assert_allclose(2 * t, [2, 2])
    np.testing.assert_allclose(np.ones(2) - t, [0, 0])
    np.testing.assert_allclose(np.sin(t), np.sin(np.ones(2)))
    assert n == [1]


# -- derivatives around derivatives ------------------------------------------------------------------------------------


@every
def test_integers_count_as_floats(adtype):
    add = ad.primitive(lambda a, b: a + b)
    ad.define_rrule(add)(lambda a, b: (add(a, b), lambda y_bar: (NoTangent(), 10 * y_bar, y_bar)))
    assert ad.gradient(add, adtype, 2, 3) == (10.0, 1.0)


@every
def test_third_order_and_a_gradient_inside_a_rule(adtype):
    cube, _ = counted_cube()
    third = ad.derivative(lambda t: ad.second_derivative(lambda s: cube(s) * s, adtype, t), adtype, 1.5)
    np.testing.assert_allclose(third, 24 * 1.5)
    p = ad.primitive(lambda x: np.sin(x))

    @ad.define_rrule(p)
    def p_rrule(x):
        six = ad.derivative(lambda t: t**2, 3.0)
        return p(x), lambda y_bar: (NoTangent(), six * np.cos(x) * y_bar)

    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(p(x)), adtype, X)[0], 6 * np.cos(X))


def test_the_tape_inside_other_frameworks():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    cube, _ = counted_cube()
    inner = lambda x: ad.gradient(lambda x: np.sum(cube(x) * x), ad.AutoTape(), x)[0]
    with jax.enable_x64(True):
        x = jax.numpy.asarray(X)
        np.testing.assert_allclose(jax.grad(lambda x: jax.numpy.sum(inner(x)))(x), 12 * X**2)
        np.testing.assert_allclose(jax.jit(inner)(x), 4 * X**3)
    x = torch.tensor(X, requires_grad=True)
    np.testing.assert_allclose(torch.autograd.grad(inner(x).sum(), x)[0], 12 * X**2)


def test_a_value_that_outlives_its_derivative_is_plain():
    cube, _ = counted_cube()
    kept = []
    ad.gradient(lambda x: (kept.append(x), np.sum(cube(x)))[1], X)
    np.testing.assert_allclose(cube(kept[0]), X**3)


def test_a_pullback_may_be_called_again_with_a_changed_seed():
    cube, _ = counted_cube()
    _, back = ad.pullback(lambda x: cube(x) * 1.0, X)
    seed = np.ones(2)
    np.testing.assert_allclose(back(seed)[0], 3 * X**2)
    seed *= 2
    np.testing.assert_allclose(back(seed)[0], 6 * X**2)


def test_rules_are_found_under_their_module_too():
    from adselect import rules

    for name in [
        "primitive",
        "define_rrule",
        "define_frule",
        "scalar_rule",
        "non_differentiable",
        "opt_out",
        "rrule",
        "frule",
    ]:
        assert getattr(rules, name) is getattr(ad, name)


@every
def test_a_traced_keyword_without_a_position_is_refused(adtype):
    p = ad.primitive(lambda x, *, scale: x * scale)
    ad.define_rrule(p)(lambda x, *, scale: (p(x, scale=scale), lambda y_bar: (NoTangent(), 10 * y_bar * scale)))
    assert ad.gradient(lambda x: p(x, scale=3.0), adtype, 2.0) == (30.0,)
    with pytest.raises(UnsupportedError, match="keyword"):
        ad.gradient(lambda x, s: p(x, scale=s), adtype, 2.0, 3.0)


@every
def test_any_number_of_arguments(adtype):
    total = ad.primitive(lambda *xs: sum(xs))
    ad.define_rrule(total)(
        lambda *xs: (total(*xs), lambda y_bar: (NoTangent(), *[y_bar * (i + 1) for i in range(len(xs))]))
    )
    assert ad.gradient(lambda x, y: total(x, y, x), adtype, 2.0, 3.0) == (4.0, 2.0)


@every
def test_many_calls_of_a_black_box(adtype):
    runs = []
    step = ad.primitive(np.sin, host=True)

    @ad.define_rrule(step)
    def step_rrule(x):
        runs.append(1)
        return np.sin(x), lambda y_bar: (NoTangent(), y_bar * np.cos(x))

    def f(x, step=step):
        for _ in range(30):
            x = step(x)
        return np.sum(x)

    expected = ad.gradient(lambda x: f(x, np.sin), X)[0]
    np.testing.assert_allclose(ad.gradient(lambda x: f(x), adtype, X)[0], expected)
    assert len(runs) == 30
    prepared = ad.prepare(ad.gradient, lambda x: f(x), adtype, X)
    np.testing.assert_allclose(prepared(X)[0], expected)


@every
def test_a_pullback_may_fill_arrays(adtype):
    @ad.primitive
    def picked(x, i):
        return x[i] ** 2

    @ad.define_rrule(picked)
    def picked_rrule(x, i):
        def pullback(y_bar):
            x_bar = np.zeros_like(x)
            x_bar[i] = 2 * x[i] * y_bar
            return NoTangent(), x_bar, NoTangent()

        return picked(x, i), pullback

    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(ad.gradient(lambda x: picked(x, 1) + picked(x, 2), adtype, x)[0], [0.0, 4.0, 6.0])
    y, y_dot = ad.pushforward(lambda x: picked(x, 1) + x[0], adtype, (x,), (np.ones(3),))
    np.testing.assert_allclose((y, y_dot), (5.0, 5.0))
