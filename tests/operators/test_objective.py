"""Objective: what optimisers and solvers of SciPy's ask for, on every backend that differentiates exactly."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from conftest import guest
from samples.functions import Counted

import adselect as ad
from adselect import Const, Objective
from adselect.errors import ADSelectTypeError, ADSelectValueError

X = np.array([-1.2, 1.0])


def rosenbrock(x, b=100.0):
    return np.sum(b * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def residuals(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def circle_and_product(x):
    return np.array([x[0] ** 2 + x[1] ** 2, x[0] * x[1]])


def van_der_pol(t, y, stiffness):
    return np.array([y[1], stiffness * (1 - y[0] ** 2) * y[1] - y[0] + 0 * t])


def slope(x, b=100.0):
    """The gradient of rosenbrock in two dimensions, by hand."""
    return np.array([-4 * b * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 2 * b * (x[1] - x[0] ** 2)])


def curvature(x, b=100.0):
    return np.array([[12 * b * x[0] ** 2 - 4 * b * x[1] + 2, -4 * b * x[0]], [-4 * b * x[0], 2 * b]])


@pytest.mark.parametrize("prepared", [True, False])
def test_all_of_it_against_formulas(exact_backend, prepared):
    o = Objective(rosenbrock, exact_backend.adtype, prepared=prepared)
    v = np.array([0.3, -2.0])
    for args in ((), (7.0,)):
        for _ in range(2):  # the second time from what was prepared
            value, gradient = o.value_and_gradient(X, *args)
            np.testing.assert_allclose(value, rosenbrock(X, *args))
            np.testing.assert_allclose(o(X, *args), value)
            np.testing.assert_allclose(o.value(X, *args), value)
            np.testing.assert_allclose(gradient, slope(X, *args))
            np.testing.assert_allclose(o.gradient(X, *args), slope(X, *args))
            np.testing.assert_allclose(o.hessian(X, *args), curvature(X, *args))
            np.testing.assert_allclose(o.hvp(X, v, *args), curvature(X, *args) @ v)
            np.testing.assert_allclose(o.jacobian(X, *args), slope(X, *args)[None])
            value, matrix = o.value_and_jacobian(X, *args)
            np.testing.assert_allclose(matrix, slope(X, *args)[None])
            np.testing.assert_allclose(value, rosenbrock(X, *args))


def test_finite_differences_agree():
    o, f = Objective(rosenbrock, ad.AutoFiniteDifferences()), Objective(rosenbrock)
    np.testing.assert_allclose(o.gradient(X), f.gradient(X), rtol=1e-7)
    np.testing.assert_allclose(o.hessian(X), f.hessian(X), rtol=1e-5)
    assert o.value(X) == f.value(X)


def test_values_and_gradients_are_what_scipy_wants(exact_backend):
    o = Objective(rosenbrock, exact_backend.adtype)
    before = X.copy()
    (value, first), (_, second) = o.value_and_gradient(X), o.value_and_gradient(X)
    assert isinstance(value, float)
    assert isinstance(o.value(X), float)
    assert type(first) is np.ndarray
    assert first.dtype == np.float64
    assert first.flags.writeable
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, X)
    first[:] = 0.0
    np.testing.assert_allclose(second, slope(X))
    np.testing.assert_allclose(o.gradient(X), slope(X))
    np.testing.assert_array_equal(X, before)


def test_scipys_optimisers(exact_backend):
    guest("scipy")
    from scipy.optimize import NonlinearConstraint, least_squares, minimize, root, root_scalar

    adtype = exact_backend.adtype
    o, r, c = (Objective(f, adtype) for f in (rosenbrock, residuals, circle_and_product))
    for options in (
        {"fun": o.value_and_gradient, "jac": True, "method": "L-BFGS-B"},
        {"fun": o.value_and_gradient, "jac": True, "hessp": o.hvp, "method": "trust-ncg"},
        {"fun": o.value_and_gradient, "jac": True, "hessp": o.hvp, "method": "Newton-CG", "args": (10.0,)},
        {"fun": o, "jac": o.gradient, "hess": o.hessian, "method": "trust-exact"},
    ):
        np.testing.assert_allclose(minimize(x0=X, **options).x, 1.0, atol=1e-4)
    np.testing.assert_allclose(least_squares(r.value, X, jac=r.jacobian).x, 1.0)
    np.testing.assert_allclose(root(r.value, X, jac=r.jacobian).x, 1.0)
    np.testing.assert_allclose(root(r.value_and_jacobian, X, jac=True).x, 1.0)
    cube = Objective(lambda t: t**3 - 2.0, adtype)
    found = root_scalar(cube.value, x0=1.0, fprime=cube.gradient, fprime2=cube.hessian, method="halley")
    np.testing.assert_allclose(found.root, 2 ** (1 / 3))
    below = NonlinearConstraint(c.value, -np.inf, [1.0, 0.3], jac=c.jacobian, hess=c.weighted_hessian)
    found = minimize(
        o.value_and_gradient, np.array([0.5, 0.5]), jac=True, hess=o.hessian, method="trust-constr", constraints=below
    )
    np.testing.assert_allclose(found.x, [0.670248, 0.447591], atol=1e-4)
    assert found.x[0] * found.x[1] <= 0.3 + 1e-6


def test_weighted_hessian_is_that_of_the_weighted_sum(exact_backend):
    c, w = Objective(circle_and_product, exact_backend.adtype), np.array([2.0, 3.0])
    np.testing.assert_allclose(c.weighted_hessian(np.array([0.4, 0.7]), w), [[4.0, 3.0], [3.0, 4.0]])
    # A constraint that is one number has an array of one weight.
    one = Objective(lambda x: x[0] ** 2 * x[1], exact_backend.adtype)
    np.testing.assert_allclose(one.weighted_hessian(np.array([0.5, 2.0]), np.array([3.0])), [[12.0, 3.0], [3.0, 0.0]])


def test_the_second_argument_for_ode_solvers(exact_backend):
    guest("scipy")
    from scipy.integrate import solve_ivp

    f = Objective(van_der_pol, exact_backend.adtype, wrt=1)
    y = np.array([2.0, 0.5])
    np.testing.assert_allclose(f.jacobian(0.3, y, 5.0), [[0.0, 1.0], [-11.0, -15.0]])
    calls = []
    found = solve_ivp(
        f.value, (0, 2), y, "BDF", jac=lambda *a: calls.append(1) or f.jacobian(*a), args=(5.0,), rtol=1e-8, atol=1e-8
    )
    with_differences = solve_ivp(van_der_pol, (0, 2), y, "LSODA", args=(5.0,), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.y[:, -1], with_differences.y[:, -1], rtol=1e-5)
    assert calls


def test_wrt_in_second_derivatives(exact_backend):
    o = Objective(lambda t, x, c: c * t * np.sum(x**3), exact_backend.adtype, wrt=1)
    x, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])
    np.testing.assert_allclose(o.hvp(2.0, x, v, 5.0), 60 * x * v)
    np.testing.assert_allclose(o.hessian(2.0, x, 5.0), np.diag(60 * x))
    np.testing.assert_allclose(o.gradient(2.0, x, 5.0), 30 * x**2)


def test_other_structures_are_prepared_when_they_come(exact_backend):
    o = Objective(lambda x: np.sum(x**2), exact_backend.adtype)
    for x in (np.ones(2), np.ones(3), np.ones((2, 2), np.float32), np.array([1, 2]), np.ones(2)):
        found = o.gradient(x)
        np.testing.assert_allclose(found, 2 * x)
        assert found.dtype == (np.float32 if x.dtype == np.float32 else np.float64)
    assert type(o.gradient(2.0)) is float
    d = Objective(lambda p: np.sum(p["w"] ** 2) + 3 * p["b"][0], exact_backend.adtype)
    for _ in range(2):
        found = d.gradient({"w": np.ones(2), "b": (2.0, np.ones(3))})
        np.testing.assert_allclose(found["w"], 2.0)
        assert found["b"][0] == 3.0
        np.testing.assert_array_equal(found["b"][1], np.zeros(3))  # f does not depend on it


def test_prepared_once_for_each_structure():
    f = Counted(rosenbrock)
    o = Objective(f)
    for k in range(40):
        np.testing.assert_allclose(o.gradient(X + k, float(k)), slope(X + k, float(k)))
    assert len(o._ready) == 1
    assert f.calls < 20  # the others were replayed
    for n in range(2, 60):
        o.gradient(np.ones(n))
    assert len(o._ready) <= 32


def test_zeros_where_nothing_depends_on_x(exact_backend):
    o = Objective(lambda x, a: a**2, exact_backend.adtype)
    for _ in range(2):
        np.testing.assert_array_equal(o.gradient(X, 3.0), np.zeros(2))
        np.testing.assert_array_equal(o.value_and_gradient(X, 3.0)[1], np.zeros(2))
        np.testing.assert_array_equal(o.hvp(X, X, 3.0), np.zeros(2))


def test_an_array_has_no_gradient_but_a_jacobian(exact_backend):
    o = Objective(residuals, exact_backend.adtype)
    for call in (o.gradient, o.value_and_gradient, o.hessian):
        with pytest.raises(ad.NotScalarError, match="jacobian"):
            call(X)
    with pytest.raises(ADSelectTypeError, match=r"np\.array"):
        Objective(lambda x: [x[0], x[1]], exact_backend.adtype).jacobian(X)


def test_a_branch_is_followed(exact_backend):
    def f(x):
        return np.sum(x**2) if x[0] > 0 else np.sum(3 * x)

    compiled = exact_backend.name == "jax"  # which sees both branches only where f runs eagerly
    o = Objective(f, exact_backend.adtype, prepared=not compiled)
    for x in (np.array([1.0, 2.0]), np.array([-1.0, 2.0]), np.array([1.0, 2.0])):
        np.testing.assert_allclose(o.gradient(x), 2 * x if x[0] > 0 else 3.0)
    if compiled:
        with pytest.raises(ad.UnsupportedError, match="branch"):
            Objective(f, exact_backend.adtype).gradient(X)


def test_inside_another_derivative(exact_backend):
    o = Objective(rosenbrock, exact_backend.adtype)
    v = np.array([0.3, -2.0])
    (found,) = ad.gradient(lambda x: o.gradient(x) @ v, exact_backend.adtype, X)
    np.testing.assert_allclose(found, curvature(X) @ v)
    (found,) = ad.gradient(o.value, exact_backend.adtype, X)
    np.testing.assert_allclose(found, slope(X))


def test_copies_and_pickles(exact_backend):
    o = Objective(rosenbrock, exact_backend.adtype, b=3.0)
    o.gradient(X)
    for other in (copy.copy(o), copy.deepcopy(o), pickle.loads(pickle.dumps(o))):
        assert repr(other) == repr(o)
        np.testing.assert_allclose(other.gradient(X), slope(X, 3.0))
        np.testing.assert_allclose(other.value(X), rosenbrock(X, 3.0))


def test_several_threads(exact_backend):
    o, found, errors = Objective(rosenbrock, exact_backend.adtype), {}, []

    def work(k):
        try:
            for n in (2, 3):
                x = np.linspace(0.1, 1.0, n) + k
                found[k, n] = (x, o.gradient(x))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(found) == 8
    for x, gradient in found.values():
        np.testing.assert_allclose(gradient, ad.gradient(rosenbrock, x)[0])


def test_a_frameworks_own_code():
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    # Plain arrays reach the framework's functions in the framework, in double precision.
    x = np.array([1.0, 2.0 + 1e-12])
    for o in (
        Objective(lambda x: torch.sum(x**2), ad.AutoTorch()),
        Objective(lambda x: jnp.sum(x**2), ad.AutoJax()),
    ):
        assert o.value(x) == np.sum(x**2)
        np.testing.assert_allclose(o.gradient(x), 2 * x, rtol=1e-15)
    tensor = torch.tensor([1.0, 2.0])
    assert torch.equal(Objective(lambda x: torch.sum(x**2), ad.AutoTorch()).gradient(tensor), 2 * tensor)


def test_mistakes():
    with pytest.raises(ADSelectTypeError, match=r"AutoJax\(\)"):
        Objective(rosenbrock, "jax")
    with pytest.raises(ADSelectTypeError, match="in the call"):
        Objective(rosenbrock, ad.AutoTape(), X)
    with pytest.raises(ADSelectTypeError, match="first argument is the function"):
        Objective(X)
    for wrt in (-1, True, "y"):
        with pytest.raises(ADSelectValueError, match="wrt"):
            Objective(rosenbrock, wrt=wrt)
    for name in ("out", "check", "missing"):
        with pytest.raises(ADSelectTypeError, match=f"takes no {name}="):
            Objective(rosenbrock, **{name: None})
    with pytest.raises(ADSelectTypeError, match=r"Objective.gradient was called with 1 arguments .*wrt=1"):
        Objective(van_der_pol, wrt=1).gradient(X)
    with pytest.raises(ADSelectTypeError, match="a vector right behind"):
        Objective(rosenbrock).hvp(X)
    assert repr(Objective(van_der_pol, wrt=1)) == "Objective(van_der_pol, AutoTape(), wrt=1)"


# -- the operators that it is made of ----------------------------------------------------------------------------------


def test_second_derivatives_take_constants(backend):
    adtype, v = backend.adtype, np.array([0.3, -2.0])
    near = {"rtol": 1e-4} if backend.name == "finitedifferences" else {"rtol": 1e-12}
    for operator in (ad.hessian, ad.hessian_reverse):
        np.testing.assert_allclose(operator(rosenbrock, adtype, X, Const(7.0)), curvature(X, 7.0), **near)
    np.testing.assert_allclose(ad.withhessian(rosenbrock, adtype, X, Const(7.0)).hess, curvature(X, 7.0), **near)
    np.testing.assert_allclose(ad.hvp(rosenbrock, adtype, X, v, Const(7.0)), curvature(X, 7.0) @ v, **near)
    swapped = lambda b, x: rosenbrock(x, b)
    np.testing.assert_allclose(ad.hessian(swapped, adtype, Const(7.0), X), curvature(X, 7.0), **near)
    with pytest.raises(ADSelectTypeError, match="Const"):
        ad.hessian(rosenbrock, adtype, X, 7.0)
    with pytest.raises(ADSelectTypeError, match="Const"):
        ad.hvp(rosenbrock, adtype, X, v, 7.0)


@pytest.mark.parametrize("name", ["gradient", "jacobian", "hessian", "withgradient", "pullback"])
def test_a_call_without_arguments_says_how_to_have_a_function(name):
    operator = getattr(ad, name)
    with pytest.raises(ADSelectTypeError, match=rf"lambda x: {name}\(f, x\)") as error:
        operator(rosenbrock)
    assert ("Objective(f)" in str(error.value)) == (name in ("gradient", "jacobian", "hessian"))
    with pytest.raises(ADSelectTypeError, match=rf"prepare\({name}, f, adtype, x\)"):
        operator(rosenbrock, ad.AutoTape())


def test_derivatives_without_arguments_are_functions(exact_backend):
    adtype = exact_backend.adtype
    once, twice = ad.derivative(np.sin, adtype), ad.second_derivative(np.sin, adtype)
    np.testing.assert_allclose([once(0.5), twice(0.5)], [np.cos(0.5), -np.sin(0.5)])
    np.testing.assert_allclose(ad.derivative(ad.derivative(np.sin))(0.5), -np.sin(0.5))
    assert ad.derivative(np.sin)(0.5) == np.cos(0.5)
    assert pickle.loads(pickle.dumps(once))(0.5) == once(0.5)
