"""Black boxes people have, an ODE solver with its adjoint and a root finder, and what each framework asks of them."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import adselect as ad
from adselect import NoTangent, UnsupportedError

warnings.filterwarnings("ignore", message="A NumPy version")
TRACING = [ad.AutoTape(), ad.AutoForward(), ad.AutoJax(), ad.AutoTorch(), ad.AutoAutograd()]
every = pytest.mark.parametrize("adtype", TRACING, ids=lambda a: type(a).__name__)

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, about torch.jit


@pytest.fixture(autouse=True)
def _needs(request):
    adtype = getattr(getattr(request.node, "callspec", None), "params", {}).get("adtype")
    if adtype is not None and adtype.requires:
        pytest.importorskip(adtype.requires)


# -- an initial value problem and its adjoint --------------------------------------------------------------------------

SPAN, TIGHT = (0.0, 1.5), {"rtol": 1e-11, "atol": 1e-12, "method": "DOP853"}


def speed(t, u, p):
    """Prey and predators."""
    return np.array([p[0] * u[0] - p[1] * u[0] * u[1], -p[2] * u[1] + p[3] * u[0] * u[1]])


def make_flow():
    """u(T) of u' = speed(t, u, p), with the adjoint equation as its rule."""
    solves = []

    @ad.primitive(host=True, result=lambda u0, p: u0)
    def flow(u0, p):
        solves.append("forward")
        return solve_ivp(speed, SPAN, u0, args=(p,), **TIGHT).y[:, -1]

    @ad.define_rrule(flow)
    def flow_rrule(u0, p):
        solves.append("forward")
        solution = solve_ivp(speed, SPAN, u0, args=(p,), dense_output=True, **TIGHT)

        def adjoint_speed(t, state):
            u, adjoint = solution.sol(t), state[:2]
            du = np.array([[p[0] - p[1] * u[1], -p[1] * u[0]], [p[3] * u[1], -p[2] + p[3] * u[0]]])
            dp = np.array([[u[0], -u[0] * u[1], 0, 0], [0, 0, -u[1], u[0] * u[1]]])
            return -np.concatenate([adjoint @ du, adjoint @ dp])

        def pullback(u_bar):
            solves.append("backward")
            start = np.concatenate([u_bar, np.zeros(4)])
            end = solve_ivp(adjoint_speed, SPAN[::-1], start, **TIGHT).y[:, -1]
            return NoTangent(), end[:2], end[2:]

        return solution.y[:, -1], pullback

    return flow, solves


U0, P = np.array([1.0, 0.6]), np.array([1.1, 0.4, 0.8, 0.3])


def differences(f, x, h=1e-4):
    units = np.eye(len(x)) * h
    return np.array([(8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h) for e in units])


@every
def test_an_ode_solver_with_its_adjoint(adtype):
    flow, solves = make_flow()
    f = lambda u0, p: np.sum(flow(u0, p) ** 2)
    gu, gp = ad.gradient(f, adtype, U0, P)
    np.testing.assert_allclose(gu, differences(lambda u: f(u, P), U0), rtol=1e-7)
    solves.clear()
    ad.gradient(f, adtype, U0, P)
    # One solve each way; forward mode by a reverse rule takes one adjoint for each entry of the result.
    assert solves == ["forward"] + ["backward"] * (2 if isinstance(adtype, ad.AutoForward) else 1)
    np.testing.assert_allclose(gp, differences(lambda p: f(U0, p), P), rtol=1e-7)
    y, y_dot = ad.pushforward(lambda p: flow(U0, p), adtype, (P,), (np.ones(4),))
    np.testing.assert_allclose(y, flow(U0, P), rtol=1e-9)
    np.testing.assert_allclose(y_dot, differences(lambda p: flow(U0, p), P).sum(0), rtol=1e-7)
    prepared = ad.prepare(ad.gradient, f, adtype, U0, P)
    np.testing.assert_allclose(prepared(2 * U0, P)[0], ad.gradient(f, 2 * U0, P)[0], rtol=1e-8)


def test_a_parameter_is_fitted_through_the_solver_from_jax():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    flow, solves = make_flow()
    goal = flow(U0, P)
    with jax.enable_x64(True):
        loss = lambda q: jnp.sum((flow(jnp.asarray(U0), jnp.asarray(P).at[0].set(q)) - goal) ** 2)
        step = jax.jit(lambda q: q - 0.01 * jax.grad(loss)(q))
        q = jnp.asarray(0.8)
        solves.clear()
        for _ in range(25):
            q = step(q)
        assert solves.count("forward") == solves.count("backward") == 25
        np.testing.assert_allclose(q, P[0], rtol=1e-4)
        rows = jax.vmap(jax.grad(loss))(jnp.array([0.9, 1.0]))
        np.testing.assert_allclose(rows, [jax.grad(loss)(0.9), jax.grad(loss)(1.0)], rtol=1e-9)


@quiet
def test_parameters_are_fitted_through_the_solver_from_torch():
    torch = pytest.importorskip("torch")
    flow, _ = make_flow()
    goal = torch.tensor(flow(U0, P))
    q = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    rest = torch.tensor(P[1:])
    optimiser = torch.optim.SGD([q], lr=0.01)
    for _ in range(25):
        optimiser.zero_grad()
        torch.sum((flow(torch.tensor(U0), torch.cat([q[None], rest])) - goal) ** 2).backward()
        optimiser.step()
    np.testing.assert_allclose(q.item(), P[0], rtol=1e-4)
    assert torch.autograd.gradcheck(lambda p: flow(torch.tensor(U0), p), torch.tensor(P, requires_grad=True))


# -- a root, by the implicit function theorem --------------------------------------------------------------------------


def make_kepler(rules):
    """E with E - e sin(E) = M, by bisection; its derivatives follow from the equation, to any order."""
    kepler = ad.primitive(
        lambda m, e: brentq(lambda x: x - e * np.sin(x) - m, -9.0, 9.0, xtol=1e-15), host=True, result=lambda m, e: m
    )

    if "rrule" in rules:

        @ad.define_rrule(kepler, host=False)
        def kepler_rrule(m, e):
            x = kepler(m, e)

            def pullback(x_bar):
                residual_bar = x_bar / (1 - e * np.cos(x))
                return NoTangent(), residual_bar, np.sin(x) * residual_bar

            return x, pullback

    if "frule" in rules:

        @ad.define_frule(kepler, host=False)
        def kepler_frule(tangents, m, e):
            _, m_dot, e_dot = tangents
            x = kepler(m, e)
            return x, (m_dot + np.sin(x) * e_dot) / (1 - e * np.cos(x))

    return kepler


M, ECC = 0.7, 0.3


def kepler_derivatives():
    x = brentq(lambda x: x - ECC * np.sin(x) - M, -9.0, 9.0, xtol=1e-15)
    s, c, d = np.sin(x), np.cos(x), 1 - ECC * np.cos(x)
    mm, me = -ECC * s / d**3, (c - ECC) / d**3
    ee = s * (2 * c - ECC * c**2 - ECC) / d**3
    return x, np.array([1 / d, s / d]), np.array([[mm, me], [me, ee]])


BOTH = ("rrule", "frule")
kinds = pytest.mark.parametrize("rules", [("rrule",), ("frule",), BOTH], ids="+".join)


@every
@kinds
def test_a_root_by_the_implicit_function_rule(adtype, rules):
    kepler = make_kepler(rules)
    _, slope, curvature = kepler_derivatives()
    f = lambda z: kepler(z[0], z[1])
    z = np.array([M, ECC])
    np.testing.assert_allclose(ad.gradient(f, adtype, z)[0], slope, rtol=1e-10)
    np.testing.assert_allclose(ad.pushforward(f, adtype, (z,), (np.ones(2),))[1], slope.sum(), rtol=1e-10)
    for operator in (ad.hessian, ad.hessian_reverse):
        np.testing.assert_allclose(operator(f, adtype, z), curvature, rtol=1e-9)
    by_e = lambda e: kepler(M, e)
    np.testing.assert_allclose(ad.second_derivative(by_e, adtype, ECC), curvature[1, 1], rtol=1e-9)


@kinds
def test_a_root_in_jax_to_second_order(rules):
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    kepler = make_kepler(rules)
    _, slope, curvature = kepler_derivatives()
    with jax.enable_x64(True):
        f, z = lambda z: kepler(z[0], z[1]), jnp.array([M, ECC])
        np.testing.assert_allclose(jax.grad(f)(z), slope, rtol=1e-10)
        np.testing.assert_allclose(jax.jacfwd(f)(z), slope, rtol=1e-10)
        for second in (
            jax.hessian(f),
            jax.jit(jax.hessian(f)),
            jax.jacrev(jax.jacrev(f)),
            jax.jit(jax.jacrev(jax.jacrev(f))),
            jax.jacfwd(jax.jacfwd(f)),
            jax.jacrev(jax.jacfwd(f)),
        ):
            np.testing.assert_allclose(second(z), curvature, rtol=1e-9)
        many = jax.vmap(jax.hessian(f))(jnp.stack([z, z]))
        np.testing.assert_allclose(many, [curvature, curvature], rtol=1e-9)


@quiet
@kinds
def test_a_root_in_torch_to_second_order(rules):
    torch = pytest.importorskip("torch")
    kepler = make_kepler(rules)
    _, slope, curvature = kepler_derivatives()
    f, z = lambda z: kepler(z[0], z[1]), torch.tensor([M, ECC], dtype=torch.float64)
    func = torch.func
    np.testing.assert_allclose(func.grad(f)(z), slope, rtol=1e-10)
    np.testing.assert_allclose(func.jacfwd(f)(z), slope, rtol=1e-10)
    for second in (func.hessian(f), func.jacrev(func.jacrev(f)), func.jacrev(func.jacfwd(f))):
        np.testing.assert_allclose(second(z), curvature, rtol=1e-9)
    np.testing.assert_allclose(torch.autograd.functional.hessian(f, z), curvature, rtol=1e-9)
    z = z.requires_grad_()
    assert torch.autograd.gradcheck(f, z)
    assert torch.autograd.gradgradcheck(f, z)


@kinds
def test_a_root_in_autograd_to_second_order(rules):
    autograd = pytest.importorskip("autograd")
    kepler = make_kepler(rules)
    _, slope, curvature = kepler_derivatives()
    f, z = lambda z: kepler(z[0], z[1]), np.array([M, ECC])
    np.testing.assert_allclose(autograd.grad(f)(z), slope, rtol=1e-10)
    np.testing.assert_allclose(autograd.hessian(f)(z), curvature, rtol=1e-9)


# -- rules on real arrays: forward mode, and no second derivative ------------------------------------------------------


def make_square(rules, result=True):
    square = ad.primitive(lambda x: np.asarray(x) ** 2, host=True, result=(lambda x: x) if result else None)
    if "rrule" in rules:
        ad.define_rrule(square)(lambda x: (np.asarray(x) ** 2, lambda g: (NoTangent(), 2 * x * g)))
    if "frule" in rules:
        ad.define_frule(square)(lambda tangents, x: (np.asarray(x) ** 2, 2 * x * tangents[1]))
    return square


X = np.array([1.0, 3.0])


@kinds
def test_forward_mode_through_a_host_rule_in_jax(rules):
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    square = make_square(rules)
    with jax.enable_x64(True):
        x = jnp.array(X)
        y, y_dot = jax.jvp(square, (x,), (jnp.ones(2),))
        np.testing.assert_allclose((y, y_dot), (X**2, 2 * X))
        y, y_dot = jax.jit(lambda x: jax.jvp(square, (x,), (x,)))(x)
        np.testing.assert_allclose((y, y_dot), (X**2, 2 * X**2))
        np.testing.assert_allclose(jax.jacfwd(square)(x), np.diag(2 * X))
        np.testing.assert_allclose(jax.jit(jax.jacrev(square))(x), np.diag(2 * X))
        scanned = jax.lax.scan(lambda c, t: (c + jnp.sum(jax.jvp(square, (t,), (t,))[1]), t), 0.0, x)[0]
        np.testing.assert_allclose(scanned, 2 * np.sum(X**2))
        f = lambda x: jnp.sum(square(x))
        for second in (jax.hessian(f), jax.jacrev(jax.jacrev(f)), jax.jacfwd(jax.jacfwd(f)), jax.jit(jax.hessian(f))):
            with pytest.raises(UnsupportedError, match=r"second derivative.*host=False"):
                second(x)


@quiet
@kinds
def test_forward_mode_through_a_host_rule_in_torch(rules):
    torch = pytest.importorskip("torch")
    square = make_square(rules)
    x = torch.tensor(X)
    func = torch.func
    y, y_dot = func.jvp(square, (x,), (torch.ones_like(x),))
    np.testing.assert_allclose(y, X**2)
    np.testing.assert_allclose(y_dot, 2 * X)
    np.testing.assert_allclose(func.jacfwd(square)(x), np.diag(2 * X))
    np.testing.assert_allclose(func.jacrev(square)(x), np.diag(2 * X))
    f = lambda x: torch.sum(square(x))
    for second in (func.hessian(f), func.jacrev(func.jacrev(f)), func.jacrev(func.jacfwd(f))):
        with pytest.raises(UnsupportedError, match=r"second derivative.*host=False"):
            second(x)


# -- zeros -------------------------------------------------------------------------------------------------------------

ROOTS = {
    "rrule": lambda p: ad.define_rrule(p)(lambda x: (p(x), lambda g: (NoTangent(), g * 0.5 / p(x)))),
    "scalar_rule": lambda p: ad.scalar_rule(p, lambda y, x: (0.5 / y,)),
    "frule": lambda p: ad.define_frule(p)(lambda tangents, x: (p(x), tangents[1] * 0.5 / p(x))),
}


@every
@pytest.mark.parametrize("kind", ROOTS)
def test_a_zero_cotangent_counts_nothing_through_an_infinite_derivative(adtype, kind):
    root = ad.primitive(np.sqrt)
    ROOTS[kind](root)
    with np.errstate(all="ignore"):
        assert ad.gradient(lambda x: np.where(x > 0, root(x), 0.0), adtype, 0.0) == (0.0,)
        (g,) = ad.gradient(lambda x: np.sum(np.where(x > 0, root(x), 0.0)), adtype, np.array([0.0, 4.0]))
        np.testing.assert_allclose(g, [0.0, 0.25])
        assert ad.gradient(root, adtype, 0.0) == (np.inf,)


@every
def test_a_zero_cotangent_of_a_black_box(adtype):
    root, elementwise = ad.primitive(np.sqrt, host=True), ad.primitive(np.sqrt, host=True)
    ad.define_rrule(root)(lambda x: (np.sqrt(x), lambda g: (NoTangent(), g * 0.5 / np.sqrt(x))))
    ROOTS["scalar_rule"](elementwise)
    with np.errstate(all="ignore"):
        assert ad.gradient(lambda x: np.where(x > 0, root(x), 0.0), adtype, 0.0) == (0.0,)
        x = np.array([0.0, 4.0])
        (g,) = ad.gradient(lambda x: np.sum(np.where(x > 0, root(x), 0.0)), adtype, np.zeros(2))
        np.testing.assert_allclose(g, [0.0, 0.0])
        (g,) = ad.gradient(lambda x: np.sum(np.where(x > 0, elementwise(x), 0.0)), adtype, x)
        np.testing.assert_allclose(g, [0.0, 0.25])


# -- rules that call one another ---------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("host", [False, True], ids=["traceable", "host"])
def test_rules_that_call_one_another(adtype, host):
    options = {"host": True, "result": lambda x: x} if host else {}
    sine, cosine = ad.primitive(lambda x: np.sin(x), **options), ad.primitive(lambda x: np.cos(x), **options)
    ad.define_rrule(sine, host=False)(lambda x: (sine(x), lambda g: (NoTangent(), g * cosine(x))))
    ad.define_rrule(cosine, host=False)(lambda x: (cosine(x), lambda g: (NoTangent(), -g * sine(x))))
    f = lambda x: np.sum(sine(x) ** 2)
    np.testing.assert_allclose(ad.gradient(f, adtype, X)[0], np.sin(2 * X))
    for operator in (ad.hessian, ad.hessian_reverse):
        np.testing.assert_allclose(operator(f, adtype, X), np.diag(2 * np.cos(2 * X)), atol=1e-12)


@every
def test_a_linear_function_whose_pullback_is_itself(adtype):
    mirrored = ad.primitive(lambda x: 2.0 * x[::-1])
    ad.define_rrule(mirrored)(lambda x: (mirrored(x), lambda g: (NoTangent(), mirrored(g))))
    f = lambda x: np.sum(mirrored(x) ** 2)
    np.testing.assert_allclose(ad.gradient(f, adtype, X)[0], 8 * X)
    np.testing.assert_allclose(ad.hessian(f, adtype, X), 8 * np.eye(2))
    np.testing.assert_allclose(ad.jacobian(mirrored, adtype, X)[0], [[0, 2], [2, 0]])


def test_a_linear_function_whose_pullback_is_itself_in_jax():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    mirrored = ad.primitive(lambda x: 2.0 * x[::-1])
    ad.define_rrule(mirrored)(lambda x: (mirrored(x), lambda g: (NoTangent(), mirrored(g))))
    f, x = lambda x: jnp.sum(mirrored(x) ** 2), jnp.array(X, jnp.float32)
    for first in (jax.grad(f), jax.jit(jax.grad(f)), jax.jacfwd(f), jax.grad(jax.jit(f)), jax.grad(jax.checkpoint(f))):
        np.testing.assert_allclose(first(x), 8 * X)
    for second in (jax.hessian(f), jax.jacrev(jax.jacrev(f)), jax.jacfwd(jax.jacfwd(f)), jax.hessian(jax.jit(f))):
        np.testing.assert_allclose(second(x), 8 * np.eye(2))


# -- what goes wrong inside --------------------------------------------------------------------------------------------


class MeshError(ValueError):
    pass


def failing(where):
    """A black box that doubles, and fails in the function or in the pullback."""

    @ad.primitive(host=True, result=lambda x: x)
    def box(x):
        if where == "function" and x[0] > 0:
            raise MeshError("bad mesh at node 7")
        return 2 * x

    @ad.define_rrule(box)
    def box_rrule(x):
        def pullback(y_bar):
            if where == "pullback" and x[0] > 0:
                raise MeshError("bad mesh at node 7")
            return NoTangent(), 2 * y_bar

        return box(x), pullback

    return box


@pytest.mark.parametrize("where", ["function", "pullback"])
@every
def test_an_exception_inside_comes_out_as_it_is(adtype, where):
    box, x = failing(where), np.array([1.0, 2.0])
    prepared = ad.prepare(ad.gradient, lambda x: np.sum(box(x)), adtype, -x)
    for call in (
        lambda: ad.gradient(lambda x: np.sum(box(x)), adtype, x),
        lambda: ad.jacobian(box, adtype, x),
        lambda: prepared(x),
    ):
        with pytest.raises(MeshError, match=r"^bad mesh at node 7"):
            call()
    np.testing.assert_allclose(prepared(-x)[0], [2.0, 2.0])


@pytest.mark.parametrize("where", ["function", "pullback"])
def test_an_exception_inside_a_compiled_call_of_ones_own_is_readable(where):
    jax = pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    box = failing(where)
    with pytest.raises(Exception, match="MeshError: bad mesh at node 7"):
        jax.block_until_ready(jax.jit(jax.grad(lambda x: box(x).sum()))(np.array([1.0, 2.0])))
    t = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(MeshError, match="bad mesh at node 7"):
        torch.compile(lambda t: box(t).sum(), backend="aot_eager", fullgraph=True)(t).backward()


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (lambda x: x[:1], r"\(2,\) float\d+; \(1,\) float\d+ was announced"),
        (lambda x: np.zeros(2, int), r"\(2,\) float\d+; \(2,\) int\d+ was announced"),
        (lambda x: (x, x), r"\(2,\) float\d+; \(2,\) float\d+, \(2,\) float\d+ was announced"),
    ],
)
def test_an_announcement_that_is_not_kept_is_an_error(result, told):
    jax = pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    box = ad.primitive(lambda x: 2 * x, host=True, result=result)
    ad.define_rrule(box)(lambda x: (box(x), lambda y_bar: (NoTangent(), 2 * y_bar)))
    loss = lambda x: box(x)[0] if isinstance(box(x), tuple) else box(x)
    with pytest.raises(Exception, match=told):
        jax.block_until_ready(jax.jit(loss)(np.array([1.0, 2.0])))
    with pytest.raises(ad.RuleError, match=told):
        torch.compile(loss, backend="aot_eager", fullgraph=True)(torch.tensor([1.0, 2.0]))


@quiet
@pytest.mark.parametrize("rrule_on_host", [False, True])
@pytest.mark.parametrize("host", [False, True])
@every
def test_one_rule_on_the_host_and_one_that_is_traced(adtype, host, rrule_on_host):
    slope = lambda x: np.cos(x) * x + np.sin(x)
    wave = ad.primitive(lambda x: np.sin(x) * x, host=host, result=lambda x: x)
    ad.define_rrule(wave, host=rrule_on_host)(lambda x: (wave(x), lambda y_bar: (NoTangent(), y_bar * slope(x))))
    ad.define_frule(wave, host=not rrule_on_host)(lambda tangents, x: (wave(x), tangents[1] * slope(x)))
    x = np.array([0.3, 0.5])
    loss = lambda x: np.sum(wave(x))
    np.testing.assert_allclose(ad.gradient(loss, adtype, x)[0], slope(x))
    np.testing.assert_allclose(ad.prepare(ad.gradient, loss, adtype, x)(x)[0], slope(x))
    np.testing.assert_allclose(ad.pushforward(wave, adtype, (x,), (np.ones(2),))[1], slope(x))
    if isinstance(adtype, ad.AutoTorch):
        import torch

        t = torch.tensor(x)
        np.testing.assert_allclose(torch.func.jvp(wave, (t,), (torch.ones_like(t),))[1], slope(x))
        np.testing.assert_allclose(torch.func.vmap(torch.func.grad(wave))(t), slope(x))


def test_a_solver_says_its_shapes_itself_where_it_accepts_made_up_numbers():
    """A matrix of ones is singular; a trial on another matrix follows."""
    jax = pytest.importorskip("jax")
    jnp = pytest.importorskip("jax.numpy")

    @ad.primitive(host=True)
    def solved(a, b):
        return np.linalg.solve(a, b)

    @ad.define_rrule(solved)
    def solved_rrule(a, b):
        x = np.linalg.solve(a, b)

        def pullback(x_bar):
            b_bar = np.linalg.solve(a.T, x_bar)
            return NoTangent(), -np.outer(b_bar, x), b_bar

        return x, pullback

    a, b = jnp.array([[3.0, 1.0], [0.5, 2.0]]), jnp.array([1.0, -1.0])
    found = jax.jit(jax.grad(lambda a, b: jnp.sum(solved(a, b) ** 2), (0, 1)))(a, b)
    expected = jax.grad(lambda a, b: jnp.sum(jnp.linalg.solve(a, b) ** 2), (0, 1))(a, b)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)

    @ad.primitive(host=True)
    def never(a):
        raise MeshError("no mesh")

    with pytest.raises(UnsupportedError, match=r"never called on ones raised MeshError: no mesh.*result=lambda"):
        jax.jit(never)(a)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot take cores from a process")
def test_large_arrays_do_not_stop_a_machine_with_one_core():
    """The arguments of a callback are at hand: nothing waits for a thread that waits for the callback."""
    pytest.importorskip("jax")
    code = """
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
import jax, jax.numpy as jnp, numpy as np, adselect as ad
@ad.primitive(host=True, result=lambda x: x)
def wave(x):
    return np.sin(x)
@ad.define_rrule(wave)
def wave_rrule(x):
    return np.sin(x), lambda y_bar: (ad.NoTangent(), y_bar * np.cos(x))
gradient = jax.jit(jax.grad(lambda x: jnp.sum(wave(x @ x))))
x = jnp.full((400, 400), 0.01)
for _ in range(8):
    x = x - 1e-3 * gradient(x)
    work = jnp.sin(x @ x) @ x
print(np.asarray(x).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "(400, 400)", done.stderr


@pytest.mark.parametrize("kind", ["host", "traceable"])
@pytest.mark.parametrize("rule", ["rrule", "frule"])
def test_half_precision_of_jax(kind, rule):
    """bfloat16, which is no dtype of NumPy's own, goes into a function and comes out of it."""
    jax = pytest.importorskip("jax")
    jnp = pytest.importorskip("jax.numpy")

    f = ad.primitive(lambda x: np.sin(x) * x, host=kind == "host", result=(lambda x: x) if kind == "host" else None)
    if rule == "rrule":
        ad.define_rrule(f)(lambda x: (np.sin(x) * x, lambda b: (NoTangent(), b * (np.cos(x) * x + np.sin(x)))))
    else:
        ad.define_frule(f)(lambda dots, x: (np.sin(x) * x, dots[1] * (np.cos(x) * x + np.sin(x))))
    x = jnp.array([0.5, 1.0], jnp.bfloat16)

    def loss(x):
        return f(x).sum()

    expected = np.sin([0.5, 1.0]) + np.cos([0.5, 1.0]) * [0.5, 1.0]
    for gradient in (jax.grad(loss), jax.jit(jax.grad(loss)), jax.jit(lambda x: jax.vmap(jax.grad(loss))(x[None])[0])):
        found = gradient(x)
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(found, float), expected, rtol=0.02)
    np.testing.assert_allclose(np.asarray(jax.jit(f)(x), float), np.sin([0.5, 1.0]) * [0.5, 1.0], rtol=0.02)


def test_half_precision_of_torch_needs_a_dtype_of_numpy():
    torch = pytest.importorskip("torch")

    f = ad.primitive(lambda x: np.sin(x), host=True)
    ad.define_rrule(f)(lambda x: (np.sin(x), lambda b: (NoTangent(), b * np.cos(x))))
    x = torch.ones(2, dtype=torch.bfloat16)
    for call in (f, torch.func.grad(lambda x: f(x).sum())):
        with pytest.raises(UnsupportedError, match=r"no dtype like torch.bfloat16 .*convert with .to\(torch.float32\)"):
            call(x)


def test_a_black_box_without_jit_and_over_two_axes():
    jax = pytest.importorskip("jax")
    jnp = pytest.importorskip("jax.numpy")

    f = ad.primitive(lambda x, y: np.cumsum(x) * y, host=True)
    ad.define_rrule(f)(
        lambda x, y: (
            np.cumsum(x) * y,
            lambda b: (NoTangent(), np.cumsum((b * y)[::-1])[::-1], np.sum(b * np.cumsum(x))),
        )
    )
    x, y = jnp.arange(24.0).reshape(2, 3, 4), jnp.array([2.0, 3.0])
    twice = jax.vmap(jax.vmap(f, in_axes=(0, None)), in_axes=(1, None), out_axes=1)
    np.testing.assert_allclose(jax.jit(twice)(x, y[0]), np.cumsum(x, -1) * 2.0)
    other = jax.jit(jax.vmap(jax.vmap(f, in_axes=(1, None), out_axes=1), in_axes=(0, 0)))
    np.testing.assert_allclose(other(jnp.swapaxes(x, 1, 2), y), np.cumsum(np.swapaxes(x, 1, 2), 1) * y[:, None, None])
    with jax.disable_jit():
        found = jax.jit(jax.grad(lambda x: jnp.sum(f(x, 2.0))))(x[0, 0])
    np.testing.assert_allclose(found, 2.0 * np.arange(4, 0, -1))
