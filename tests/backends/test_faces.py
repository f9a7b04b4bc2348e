"""``face="auto"``: native arrays reach f as they are, until f turns out to be NumPy code."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect.face.array import Array

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
torch = pytest.importorskip("torch")

KINDS = {
    "jax": (ad.AutoJax(), lambda v: jnp.asarray(v, jnp.float32), jax.Array),
    "torch": (ad.AutoTorch(), lambda v: torch.tensor(v, dtype=torch.float32), torch.Tensor),
}
X = [0.5, 1.5, 2.5]


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def filled(x):
    """What only NumPy's arrays do: writing in place, x.size as a number, NumPy's own functions."""
    y = np.zeros_like(x)
    y[0] = 2 * x[0]
    y += np.exp(x)
    return np.linalg.norm(y) + y.size * np.sum(x.astype(float))


def filled_2d(x):
    return np.sum(np.sort(x) * np.outer(x, x)[1])


PROGRAMS = {
    "elementwise": lambda x: np.sum(np.sin(x)),
    "a reduction alone": lambda x: np.sum(x) * np.mean(x),
    "along an axis": lambda x: np.max(np.reshape(x, (1, 3)), axis=0)[1],
    "std": lambda x: np.std(x),
    "filled": filled,
    "sorted": filled_2d,
    "a constant met": lambda x: np.sum(np.ones(3) + x) * np.sum(np.arange(3.0) @ x),
    "selected": lambda x: np.sum(np.where(x > 1, x**2, 0.0)),
    "size": lambda x: x.sum() / x.size,
    "methods that only NumPy has": lambda x: x.copy().sum() * x.astype(float).sum(),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_numpy_code_works_on_native_arrays(kind, name):
    adtype, native, is_a = kind
    f = PROGRAMS[name]
    (g,) = ad.gradient(f, adtype, native(X))
    (expected,) = ad.gradient(f, ad.AutoTape(), np.array(X))
    assert isinstance(g, is_a)
    assert "float32" in str(g.dtype)
    np.testing.assert_allclose(np.asarray(g), expected, rtol=1e-5)
    again = ad.gradient(f, adtype, native(X))[0]
    np.testing.assert_array_equal(np.asarray(again), np.asarray(g))


def loss(x):
    return np.sum(np.exp(x) * np.arange(1.0, 4.0))


OPERATORS = {
    "withgradient": lambda b, x: [*ad.withgradient(loss, b, x)],
    "pullback": lambda b, x: (lambda y, back: [y, back(y)])(*ad.pullback(lambda x: np.exp(x), b, x)),
    "pushforward": lambda b, x: [*ad.pushforward(lambda x: np.exp(x), b, (x,), (x,))],
    "jacobian": lambda b, x: ad.jacobian(lambda x: np.cumsum(np.exp(x)), b, x),
    "hessian": lambda b, x: ad.hessian(loss, b, x),
    "hvp": lambda b, x: ad.hvp(loss, b, x, x),
    "diaghessian": lambda b, x: ad.diaghessian(loss, b, x),
    "prepared": lambda b, x: ad.prepare(ad.gradient, loss, b, x)(x),
}


def leaves(value):
    return [v for part in value for v in leaves(part)] if isinstance(value, (tuple, list)) else [value]


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator(kind, name):
    adtype, native, is_a = kind
    expected = leaves(OPERATORS[name](ad.AutoTape(), np.array(X)))
    found = leaves(OPERATORS[name](adtype, native(X)))
    assert len(found) == len(expected)
    for g, e in zip(found, expected, strict=True):
        assert isinstance(g, is_a)
        np.testing.assert_allclose(np.asarray(g), e, rtol=1e-4)


def test_structures_and_numpy_arguments_beside_native_ones(kind):
    adtype, native, is_a = kind
    tree = {"a": native(X), "b": [np.array(X), 2.0]}
    (g,) = ad.gradient(lambda t: np.sum(np.tanh(t["a"]) * t["b"][0]) * t["b"][1], adtype, tree)
    assert isinstance(g["a"], is_a)
    assert type(g["b"][0]) is np.ndarray
    assert type(g["b"][1]) is float
    np.testing.assert_allclose(np.asarray(g["a"]), 2 * np.array(X) / np.cosh(X) ** 2, rtol=1e-5)


def test_integers_are_indices_and_count_as_floats(kind):
    adtype, native, _ = kind
    n = jnp.asarray([2, 0]) if adtype == ad.AutoJax() else torch.tensor([2, 0])
    g, x_bar = ad.gradient(lambda n, x: np.sum(np.exp(x)[n]) * np.sum(n), adtype, n, native(X))
    value = np.exp(2.5) + np.exp(0.5)
    np.testing.assert_allclose(np.asarray(g), [value, value], rtol=1e-5)
    np.testing.assert_allclose(np.asarray(x_bar), [2 * np.exp(0.5), 0, 2 * np.exp(2.5)], rtol=1e-5)


def test_native_arrays_that_numpy_code_has_captured(kind):
    adtype, native, _ = kind
    data = native([[1.0, 2.0, 0.5], [0.1, 0.2, 0.3]])

    def f(w):
        return np.sum(np.exp(data @ w)) + np.sum(np.tanh(w * data) - np.log(data + w)) + np.sum(np.sin(2 - data / w))

    plain = np.asarray(data, dtype=float)

    def reference(w):
        return (
            np.sum(np.exp(plain @ w)) + np.sum(np.tanh(w * plain) - np.log(plain + w)) + np.sum(np.sin(2 - plain / w))
        )

    expected = ad.gradient(reference, np.array(X))[0]
    np.testing.assert_allclose(np.asarray(ad.gradient(f, adtype, native(X))[0]), expected, rtol=1e-4)
    (g,) = ad.gradient(f, adtype, np.array(X, np.float32))
    assert type(g) is np.ndarray
    np.testing.assert_allclose(g, expected, rtol=1e-4)


def test_bfloat16_is_a_number_with_a_derivative():
    for adtype, x in ((ad.AutoJax(), jnp.ones(2, jnp.bfloat16)), (ad.AutoTorch(), torch.ones(2, dtype=torch.bfloat16))):
        (g,) = ad.gradient(lambda x: np.sum(np.exp(x)), adtype, x)
        assert g.dtype == x.dtype
        assert [round(float(v), 2) for v in g] == [2.72, 2.72]


# -- which face, and how often -----------------------------------------------------------------------------------------


def test_f_is_run_again_once_and_remembered(kind):
    adtype, native, is_a = kind
    seen = []

    def f(x):
        seen.append(isinstance(x, is_a))
        return np.sum(np.cos(x))

    ad.gradient(f, adtype, native(X))
    assert seen == [True, False]
    ad.gradient(f, adtype, native(X))
    assert seen == [True, False, False]
    for _ in range(2):  # also a function made anew, around the same one
        ad.gradient(lambda x: f(x) * 2, adtype, native(X))
    assert seen[3:] == [True, False, False]


def test_native_code_gets_native_arrays_and_runs_once():
    seen = []

    def in_jax(x):
        seen.append(isinstance(x, jax.Array))
        return jnp.sum(jnp.sin(x)) * np.pi + np.float32(0)

    def in_torch(x):
        seen.append(isinstance(x, torch.Tensor))
        return torch.max(x, dim=0).values * np.pi + torch.sum(x)

    ad.gradient(in_jax, ad.AutoJax(), jnp.asarray(X))
    ad.gradient(in_torch, ad.AutoTorch(), torch.tensor(X))
    assert seen == [True, True]


def test_the_numpy_face_is_always_in_front_where_it_is_asked_for(kind):
    adtype, native, is_a = kind
    seen = []

    def f(x):
        seen.append(isinstance(x, Array))
        return x.sum()

    (g,) = ad.gradient(f, type(adtype)(face="numpy"), native(X))
    assert isinstance(g, is_a)
    assert seen == [True]


def test_the_native_face_stays_and_says_what_would_help(kind):
    adtype, native, _ = kind
    choice = type(adtype)(face="native")
    with pytest.raises((TypeError, RuntimeError)) as caught:
        ad.gradient(lambda x: np.sum(np.sin(x)), choice, native(X))
    assert 'face="auto"' in "".join(caught.value.__notes__)


def test_an_unknown_face_is_refused():
    for adtype in (ad.AutoJax, ad.AutoTorch, ad.AutoAutograd):
        with pytest.raises(ValueError, match=r"\(face='box'\): face= takes 'auto' or 'numpy' or 'native'"):
            adtype(face="box")


def test_errors_of_f_itself_come_out_as_they_are(kind):
    adtype, native, _ = kind
    runs = []

    def f(x):
        runs.append(1)
        raise KeyError("of the user's own")

    with pytest.raises(KeyError, match="own"):
        ad.gradient(f, adtype, native(X))
    assert len(runs) == 1
    with pytest.raises(ad.TracedValueError, match="drop the call"):
        ad.gradient(lambda x: np.sum(np.asarray(x)), adtype, native(X))
    with pytest.raises(ad.TracedValueError, match=r"(float|complex)\(\)"):
        ad.gradient(lambda x: complex(x[0]).real, adtype, native(X))


def test_code_of_both_kinds_gives_the_frameworks_error():
    def f(x):
        return jnp.sum(x.at[0].set(np.sin(x)[0]))

    with pytest.raises(jax.errors.TracerArrayConversionError):
        ad.gradient(f, ad.AutoJax(), jnp.asarray(X))


# -- inside the user's own transformations -----------------------------------------------------------------------------


def test_inside_jit_vmap_and_grad():
    def g(x):
        return ad.gradient(loss, ad.AutoJax(), x)[0]

    x = jnp.asarray(X)
    expected = np.exp(X) * np.arange(1.0, 4.0)
    for value in (jax.jit(g)(x), jax.vmap(g)(x[None])[0], jax.grad(lambda x: jnp.sum(g(x)))(x)):
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert value.dtype == x.dtype


def test_inside_torch_func():
    def g(x):
        return ad.gradient(loss, ad.AutoTorch(), x)[0]

    x = torch.tensor(X)
    expected = np.exp(X) * np.arange(1.0, 4.0)
    for value in (torch.func.vmap(g)(x[None])[0], torch.func.grad(lambda x: torch.sum(g(x)))(x)):
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    w = torch.tensor(X, requires_grad=True)
    torch.sum(g(1 * w)).backward()
    assert w.grad is not None
    np.testing.assert_allclose(w.grad, expected, rtol=1e-5)


def test_inside_autograds_own_derivative():
    autograd = pytest.importorskip("autograd")
    found = autograd.grad(lambda x: autograd.numpy.sum(ad.gradient(loss, ad.AutoAutograd(), x)[0]))(np.array(X))
    np.testing.assert_allclose(found, np.exp(X) * np.arange(1.0, 4.0))
