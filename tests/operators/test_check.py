"""check=True: f once more on plain values, and what it must find, let pass, and leave behind."""

from __future__ import annotations

import random

import numpy as np
import pytest

import adselect as ad
from adselect.errors import ADSelectValueError

X = np.array([1.0, 2.0])
GENERATOR = np.random.default_rng(0)


def branches(x):
    return np.sum(x * x) if type(x) is np.ndarray else np.sum(x)


def another_dtype(x):
    return np.sum(x) if type(x) is not np.ndarray else np.sum(x).astype(np.float32)


def another_shape(x):
    return x * 2 if type(x) is np.ndarray else (x * 2)[:1]


def another_structure(x):
    return (np.sum(x), "a" if type(x) is np.ndarray else "b")


def only_traced(x):
    if type(x) is np.ndarray:
        raise KeyError("not for plain arrays")
    return np.sum(x)


def captured_generator(x):
    return np.sum(x * GENERATOR.normal(size=2))


FOUND = {
    branches: "is 5.0 when called plainly and 3.0 when traced by",
    another_dtype: "has dtype float32 when called plainly and float64 when traced",
    only_traced: "raises KeyError: 'not for plain arrays' when called plainly and gives 3.0",
    captured_generator: "np.random.default_rng",
}


@pytest.mark.parametrize("f", FOUND, ids=lambda f: f.__name__)
def test_what_is_found(f, exact_backend):
    assert ad.gradient(f, exact_backend.adtype, X)[0].shape == (2,)
    with pytest.raises(ADSelectValueError, match=FOUND[f]) as caught:
        ad.gradient(f, exact_backend.adtype, X, check=True)
    said = str(caught.value)
    assert "branches on the type of its argument, is random or keeps state" in said
    assert said.count("test_check.py") == 2  # the call and f


def test_shapes_and_structures():
    with pytest.raises(ADSelectValueError, match=r"has shape \(2,\) when called plainly and \(1,\) when traced"):
        ad.pullback(another_shape, X, check=True)
    with pytest.raises(ADSelectValueError, match=r"'a'\) when called plainly and .*'b'\) when traced"):
        ad.withgradient(another_structure, X, check=True)


OPERATORS = {
    "withgradient": lambda a: ad.withgradient(branches, a, X, check=True),
    "pullback": lambda a: ad.pullback(branches, a, X, check=True),
    "pushforward": lambda a: ad.pushforward(branches, a, (X,), (X,), check=True),
    "jacobian": lambda a: ad.jacobian(branches, a, X, check=True),
    "withjacobian": lambda a: ad.withjacobian(branches, a, X, check=True),
    "hessian": lambda a: ad.hessian(branches, a, X, check=True),
    "withhessian": lambda a: ad.withhessian(branches, a, X, check=True),
    "hessian_reverse": lambda a: ad.hessian_reverse(branches, a, X, check=True),
    "diaghessian": lambda a: ad.diaghessian(branches, a, X, check=True),
    "hvp": lambda a: ad.hvp(branches, a, X, X, check=True),
    "derivative": lambda a: ad.derivative(lambda t: t * t if type(t) is float else 3.0 * t, a, 2.0, check=True),
    "second_derivative": lambda a: ad.second_derivative(
        lambda t: t * t if type(t) is float else 3.0 * t, a, 2.0, check=True
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()], ids=repr)
def test_every_operator(name, adtype):
    with pytest.raises(ADSelectValueError, match=rf"^{name}\(…, check=True\) at .*test_check.py.*when called plainly"):
        OPERATORS[name](adtype)


def writes(x):
    x[0] = 2 * x[0]
    return np.sum(x * x)


def draws(x):
    return np.sum(x * np.random.rand(2)) * random.random()


def with_auxiliary(x):
    return np.sum(x), {"mask": x > 1, "text": "a", "none": None, "list": [x[0]]}


@pytest.mark.parametrize("f", [writes, draws, lambda x: np.sum(np.sin(x) * x), lambda x: 3.0])
def test_what_passes(f, backend):
    x = X.copy()
    ad.gradient(f, backend.adtype, x, check=True)
    np.testing.assert_array_equal(x, X)


def test_what_passes_besides(exact_backend):
    adtype = exact_backend.adtype
    value = ad.withgradient(with_auxiliary, adtype, X, check=True).val
    assert type(value[1]["mask"]) is np.ndarray  # masks leave the derivative as plain arrays
    assert ad.gradient(lambda n: np.sum(n * n), adtype, np.array([1, 2]), check=True)[0].tolist() == [2.0, 4.0]
    assert ad.gradient(lambda c, x: np.sum(c * x), adtype, ad.Const(X), X, check=True)[1].tolist() == [1.0, 2.0]
    assert ad.gradient(lambda x: np.sum(x) * np.nan, adtype, X, check=True)[0].shape == (2,)
    inner = lambda x: ad.gradient(lambda y: np.sum(y**3), adtype, x, check=True)[0][0]
    np.testing.assert_allclose(ad.gradient(inner, adtype, X)[0], [6.0, 0.0])
    with pytest.raises(ADSelectValueError, match=r"is 1\.0 when called plainly"):
        ad.gradient(lambda x: ad.gradient(lambda y: y[0] if type(y) is np.ndarray else y[1], x, check=True)[0][0], X)


def test_random_numbers_go_on_as_if_f_had_run_once():
    def after(**options):
        np.random.seed(3)
        random.seed(3)
        first = ad.gradient(draws, X, **options)[0]
        return [*first, np.random.rand(), random.random()]

    assert after(check=True) == after()


def test_the_traced_run_comes_first():
    """A cache that a plain run had filled would answer the traced one with numbers."""
    order = []

    def f(x):
        order.append(ad.is_traced(x))
        return np.sum(x)

    ad.gradient(f, X, check=True)
    assert order == [True, False]


def test_no_plain_run_without_it():
    calls = []
    ad.gradient(lambda x: calls.append(1) or np.sum(x), X)
    assert len(calls) == 1


def test_arguments_that_cannot_be_copied():
    import threading

    class Model:
        def __init__(self):
            self.w, self.lock = X.copy(), threading.Lock()

    assert ad.gradient(lambda m: np.sum(m.w**2), Model(), check=True)[0].w.tolist() == [2.0, 4.0]


def test_none_to_compare_while_jax_compiles():
    jax = pytest.importorskip("jax")
    with pytest.raises(ad.UnsupportedError, match="check=True compares numbers"):
        jax.jit(lambda x: ad.gradient(lambda y: np.sum(y * y), ad.AutoJax(), x, check=True)[0])(X)


# -- is_traced -------------------------------------------------------------------------------------------------------


def test_is_traced(exact_backend):
    kept, seen = [], []

    def f(x):
        kept.append(x)
        seen.append([x, x[0], [{"a": (x,)}], np.array([x[0], 1.0], dtype=object), x + 1.0])
        assert all(map(ad.is_traced, seen[0]))
        assert not any(map(ad.is_traced, [X, 1.0, x > 0, np.argmax(x), x.shape, "x", None, [X, {"a": 1.0}]]))
        return np.sum(x * x)

    ad.gradient(f, exact_backend.adtype, X)
    assert not ad.is_traced(kept[0])


def test_is_traced_with_finite_differences():
    pytest.importorskip("findiff")
    ad.gradient(lambda x: float(ad.is_traced(x)) + np.sum(x), ad.AutoFiniteDifferences(), X)
    loop = [1.0]
    loop.append(loop)
    assert not ad.is_traced(loop)


def test_is_traced_of_native_values():
    torch = pytest.importorskip("torch")
    seen = []
    ad.gradient(lambda t: seen.append(ad.is_traced(t)) or t.sum(), ad.AutoTorch(), torch.ones(2))
    assert seen == [True]
    assert not ad.is_traced(torch.ones(2))
