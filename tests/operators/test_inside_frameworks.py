"""The built-in engine inside a framework's own transformations, and a framework's functions inside the engine."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect.errors import TracedValueError

X = np.arange(3.0) + 1
ADTYPES = [ad.AutoTape(), ad.AutoForward(), ad.AutoForward(chunk_size=2)]
every_adtype = pytest.mark.parametrize("adtype", ADTYPES, ids=repr)


def f(x):
    return np.sum(np.sin(x) * x)


SLOPE = np.sin(X) + X * np.cos(X)
BEND = 2 * np.cos(X) - X * np.sin(X)


@every_adtype
def test_inside_jax(adtype):
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(X)
    gradient = lambda x: ad.gradient(f, adtype, x)[0]
    results = {
        "jit": (jax.jit(gradient)(x), SLOPE),
        "vmap": (jax.vmap(gradient)(jax.numpy.stack([x, x]))[1], SLOPE),
        "grad": (jax.grad(lambda x: gradient(x).sum())(x), BEND),
        "jvp": (jax.jvp(gradient, (x,), (x,))[1], BEND * X),
        "hessian": (jax.jit(lambda x: ad.hessian(f, adtype, x))(x), np.diag(BEND)),
        "jacobian": (jax.jit(lambda x: ad.jacobian(f, adtype, x)[0])(x), SLOPE[None]),
        "hvp": (jax.jit(lambda x: ad.hvp(f, adtype, x, x))(x), BEND * X),
        "derivative": (jax.vmap(lambda t: ad.derivative(lambda u: u**3, adtype, t))(x), 3 * X**2),
    }
    for name, (got, wanted) in results.items():
        assert isinstance(got, jax.Array), name
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@every_adtype
def test_inside_torch(adtype):
    torch = pytest.importorskip("torch")
    func, x = torch.func, torch.from_numpy(X)
    gradient = lambda x: ad.gradient(f, adtype, x)[0]
    both = torch.stack([x, x])
    recorded = x.clone().requires_grad_()
    gradient(recorded).sum().backward()
    results = {
        "plain": (gradient(x), SLOPE),
        "backward": (recorded.grad, BEND),
        "grad": (func.grad(lambda x: gradient(x).sum())(x), BEND),
        "vmap": (func.vmap(gradient)(both)[1], SLOPE),
        "jvp": (func.jvp(gradient, (x,), (x,))[1], BEND * X),
        "jacrev": (func.jacrev(gradient)(x), np.diag(BEND)),
        "hessian": (func.vmap(lambda x: ad.hessian(f, adtype, x))(both)[0], np.diag(BEND)),
        "derivative": (func.vmap(lambda t: ad.derivative(lambda u: u**3, adtype, t))(x), 3 * X**2),
    }
    for name, (got, wanted) in results.items():
        assert isinstance(got, torch.Tensor), name
        np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-8, atol=1e-10, err_msg=name)


@every_adtype
@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_a_frameworks_function_on_a_traced_value(adtype, framework):
    pytest.importorskip(framework)
    if framework == "jax":
        import jax.numpy as jnp

        programs = [lambda x: jnp.sum(jnp.sin(x)), lambda x: np.sum(jnp.ones(3) * x)]
    else:
        import torch

        programs = [lambda x: torch.sin(x).sum(), lambda x: (torch.ones(3) * x).sum()]
    for program in programs:
        says = r"not NumPy's was called at .*test_inside_frameworks.py:\d+ on a value that Auto.*AutoJax\(\)"
        with pytest.raises(TracedValueError, match=says):
            ad.gradient(program, adtype, X)


def test_errors_of_f_stay_what_they_are():
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        ad.gradient(lambda x: x + "a", X)
    assert not isinstance(caught.value, ad.ADSelectError)
