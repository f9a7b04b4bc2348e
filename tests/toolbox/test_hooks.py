"""hook and showgrad: what happens to cotangents, on every backend that has some."""

from __future__ import annotations

import dataclasses
import operator
import warnings

import numpy as np
import pytest
from conftest import BACKENDS, numeric_jacobian, present

import adselect as ad
from adselect.calls.effects import has_effects

SEEING = [b for b in BACKENDS if b.name not in ("forward", "finitedifferences")]
BLIND = [b for b in BACKENDS if b.name in ("forward", "finitedifferences")]
X = np.array([0.5, 2.0])


@pytest.fixture(params=SEEING, ids=lambda b: b.name)
def seeing(request):
    """Every backend on which f's values meet their cotangents."""
    return present(request.param).adtype


@pytest.fixture(params=BLIND, ids=lambda b: b.name)
def unseeing(request):
    """Every backend without cotangents."""
    return present(request.param).adtype


def test_the_cotangent_becomes_what_the_function_returns(seeing):
    assert ad.gradient(lambda a, b: ad.hook(lambda g: -g, a) * b, seeing, 2, 3) == (-3.0, 2.0)
    assert ad.gradient(lambda x: ad.hook(lambda g: np.clip(g, -1, 1), x) ** 2, seeing, 10.0) == (1.0,)
    got = ad.gradient(lambda x: np.sum(ad.hook(lambda g: g / np.linalg.norm(g), x) ** 2), seeing, X)[0]
    np.testing.assert_allclose(got, X / np.linalg.norm(X))


def test_the_function_gets_numbers_once(seeing):
    seen = []

    def keep(g):
        seen.append(g)
        g *= 2  # memory of its own
        return g

    grads = ad.gradient(lambda a, b: np.sum(ad.hook(keep, a) * b), seeing, X, np.array([3.0, 5.0]))
    np.testing.assert_allclose(grads[0], [6.0, 10.0])
    np.testing.assert_allclose(grads[1], X)
    assert len(seen) == 1
    assert type(seen[0]) is np.ndarray


def test_a_structure_has_one_cotangent(seeing):
    @dataclasses.dataclass
    class Layer:
        w: np.ndarray
        b: float
        name: str = "layer"

    def shrink(g):
        total = np.sqrt(np.sum(g.w**2) + g.b**2)
        return {"w": g.w / total, "b": g.b / total}

    def loss(layer):
        layer = ad.hook(shrink, layer)
        return np.sum(layer.w**2) * layer.b

    w, b = np.array([1.0, 2.0]), 3.0
    plain = np.array([6.0, 12.0, 5.0])
    found = ad.gradient(loss, seeing, Layer(w, b))[0]
    np.testing.assert_allclose([*found.w, found.b], plain / np.linalg.norm(plain))
    assert found.name is None


def test_second_derivatives_are_those_of_the_hooked_gradient(seeing):
    def f(x):
        return np.sum(ad.hook(lambda g: np.sin(g) * g, x) ** 3)

    def hooked(x):  # the gradient by hand
        return np.sin(3 * x**2) * 3 * x**2

    np.testing.assert_allclose(ad.gradient(f, seeing, X)[0], hooked(X))
    wanted = numeric_jacobian(hooked, X)
    np.testing.assert_allclose(ad.hessian(f, seeing, X), wanted, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(ad.hessian_reverse(f, seeing, X), wanted, rtol=1e-7, atol=1e-7)


def test_rows_of_a_jacobian_go_through_a_hook_whatever_its_shape(seeing):
    for index in ([0, 1, 0], [0]):
        J = ad.jacobian(lambda x, index=index: ad.hook(np.negative, x)[index], seeing, X)[0]
        np.testing.assert_allclose(J, -np.eye(2)[index])


def test_a_pullback_may_be_called_again(seeing):
    _, back = ad.pullback(lambda x: ad.hook(lambda g: g + 1, x) * 2, seeing, X)
    np.testing.assert_allclose(back(np.ones(2))[0], [3.0, 3.0])
    np.testing.assert_allclose(back(np.zeros(2))[0], [1.0, 1.0])


def test_complex_and_single_precision(seeing):
    z = ad.gradient(lambda z: np.abs(ad.hook(lambda g: g * 1j, z)) ** 2, seeing, 1 + 2j)[0]
    np.testing.assert_allclose(z, 1j * (2 + 4j))
    x = ad.gradient(lambda x: np.sum(ad.hook(lambda g: g * 2.0, x) ** 2), seeing, np.ones(2, np.float32))[0]
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, 4.0)


def test_where_nothing_is_differentiated_a_hook_is_the_identity(backend):
    called = []
    x = {"a": X}
    assert ad.hook(called.append, x) is x
    assert ad.hook(called.append, X) is X
    value = ad.gradient(lambda a: a * ad.ignore_derivatives(2.0), backend.adtype, 3.0)[0]
    np.testing.assert_allclose(value, 2.0)
    assert called == []


def test_what_would_be_left_out_is_refused(unseeing):
    said = r"hook was called at .*test_hooks.py:\d+ .*AutoTape\(\), AutoJax\(\), AutoTorch\(\) or AutoAutograd\(\)"
    with pytest.raises(ad.UnsupportedError, match=said):
        ad.gradient(lambda x: np.sum(ad.hook(np.negative, x)), unseeing, X)


def test_a_strangers_backend_without_cotangents_refuses():
    from adselect.backends import Backend, register_backend
    from adselect.backends.choice import unregister_backend

    @dataclasses.dataclass(frozen=True)
    class AutoStranger(ad.ADType):
        pass

    class Stranger(Backend):  # derives its pullback from pushforwards, and does not say so
        def pushforwards(self, call, leaves, directions):
            outputs, aux = call(list(leaves))
            return outputs, [[0.0 for _ in outputs] for _ in directions], aux

    register_backend(AutoStranger, Stranger)
    try:
        with pytest.raises(ad.UnsupportedError, match="without cotangents"):
            ad.gradient(lambda x: ad.hook(np.negative, x) * 2, AutoStranger(), 3.0)
    finally:
        unregister_backend(AutoStranger)


def test_pushforwards_are_refused(seeing):
    with pytest.raises(ad.UnsupportedError, match="without cotangents"):
        ad.pushforward(lambda x: ad.hook(np.negative, x) * 2, seeing, (X,), (X,))


def test_a_gradient_inside_forward_mode_has_its_hooks():
    f = lambda x: ad.gradient(lambda y: np.sum(ad.hook(np.negative, y) ** 2), ad.AutoTape(), x)[0]
    np.testing.assert_allclose(ad.jacobian(f, ad.AutoForward(), X)[0], -2 * np.eye(2))

    def outer(x):  # the variable of forward mode itself
        return ad.gradient(lambda y: np.sum(ad.hook(np.negative, x) * y), ad.AutoTape(), X)[0]

    with pytest.raises(ad.UnsupportedError):
        ad.jacobian(outer, ad.AutoForward(), X)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda g: None, "returned None .is a return statement missing"),
        (lambda g: g[0], r"has shape \(\), the value has shape \(2,\)"),
        (lambda g: "text", "no number and no numeric array"),
    ],
)
def test_results_that_do_not_fit(seeing, function, said):
    with pytest.raises(ad.RuleError, match=said):
        ad.gradient(lambda x: np.sum(ad.hook(function, x) ** 2), seeing, X)
    with pytest.raises(TypeError, match="function first"):
        ad.hook(1.0, function)


def test_values_of_f_are_constants_for_the_function(seeing):
    f = lambda x, c: np.sum(ad.hook(lambda g: c * g * np.abs(c) + c - c, x) ** 2) + 0 * c
    grads = ad.gradient(f, seeing, X, 3.0)
    np.testing.assert_allclose(grads[0], 18 * X)
    assert grads[1] == 0.0


def test_no_tangent_ends_the_way_back(seeing):
    grads = ad.gradient(lambda x, y: ad.hook(lambda g: ad.NoTangent(), x) * y, seeing, 2.0, 3.0)
    assert not grads[0]
    assert grads[1] == 2.0


# -- prepared ----------------------------------------------------------------------------------------------------------


def test_a_function_without_effects_is_part_of_a_prepared_call(seeing):
    limit = 3.0

    def clip(g):
        size = np.linalg.norm(g)
        return g * (limit / size) if size > limit else g

    f = lambda x: np.sum(ad.hook(lambda g: np.clip(g, -3, 3), x) ** 3)
    prepared = ad.prepare(ad.gradient, f, seeing, X)
    for x in (X, X / 3, X * 2):
        np.testing.assert_allclose(prepared(x)[0], np.clip(3 * x**2, -3, 3))
    assert not has_effects(clip)


def test_a_function_with_effects_is_called_each_time(seeing):
    seen = []

    def watch(g):
        seen.append(float(g))
        return g if g < 5 else 0 * g + 5

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ad.NotReplayedWarning)
        prepared = ad.prepare(ad.gradient, lambda x: ad.hook(watch, x) ** 2, seeing, 1.0)
        seen.clear()
        assert [prepared(x)[0] for x in (1.5, 2.0, 3.0)] == [3.0, 4.0, 5.0]
    assert seen == [3.0, 4.0, 6.0]


def test_the_tape_says_that_it_does_not_replay_effects():
    seen = []
    with pytest.warns(ad.NotReplayedWarning, match=r"hook calls a function that may have effects \(.*test_hooks.py"):
        ad.prepare(ad.gradient, lambda x: ad.hook(lambda g: (seen.append(g), g)[1], x) ** 2, ad.AutoTape(), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ad.prepare(ad.gradient, lambda x: ad.hook(np.negative, x) ** 2, ad.AutoTape(), 1.0)


def test_effects_are_seen():
    kept, seen = np.ones(2), []

    def writes(g):
        g[0] = 1.0
        return g

    def draws(g):
        return g + np.random.randn()

    def counts(g):
        nonlocal seen
        seen = [g]
        return g

    with_effects = [
        *(writes, draws, counts, print, seen.append, operator.iadd, lambda g: np.clip(g, -1, 1, out=kept)),
        *(lambda g: (seen.append(g), g)[1], lambda g: g * kept, lambda g: [2 * v for v in g], lambda g: print(g)),
    ]
    assert [f for f in with_effects if not has_effects(f)] == []
    without = [np.negative, operator.neg, lambda g: -g, lambda g: np.clip(g, -1, 1), lambda g: g.clip(-1, 1)]
    assert [f for f in without if has_effects(f)] == []


# -- the frameworks' own code ------------------------------------------------------------------------------------------


def test_in_jax_own_code():
    jax = pytest.importorskip("jax")
    jnp, x = jax.numpy, jax.numpy.array([0.1, 3.0])
    f = lambda x: jnp.sum(ad.hook(lambda g: jnp.clip(g, -1, 1), x) ** 2)
    for differentiated in (jax.grad(f), jax.jit(jax.grad(f)), lambda x: ad.gradient(f, ad.AutoJax(), x)[0]):
        np.testing.assert_allclose(differentiated(x), [0.2, 1.0], rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(f))(jnp.stack([x, x]))[1], [0.2, 1.0], rtol=1e-6)
    np.testing.assert_allclose(jax.jacrev(jax.grad(f))(x), np.diag([2.0, 0.0]))
    seen = []
    g = jax.jit(lambda x: ad.gradient(lambda x: np.sum(ad.hook(lambda g: (seen.append(g), g)[1], x) ** 2), x)[0])
    h = jax.jit(
        lambda x: ad.gradient(lambda x: np.sum(ad.hook(lambda g: (seen.append(g), g)[1], x) ** 2), ad.AutoJax(), x)[0]
    )
    np.testing.assert_allclose(g(x), 2 * x)
    seen.clear()
    np.testing.assert_allclose(h(x) + h(x), 4 * x)
    assert [type(s) for s in seen] == [np.ndarray] * 2


def test_in_torch_own_code():
    torch = pytest.importorskip("torch")
    f = lambda x: torch.sum(ad.hook(lambda g: torch.clip(g, -1, 1), x) ** 2)
    x = torch.tensor([0.1, 3.0], requires_grad=True)
    f(x).backward()
    np.testing.assert_allclose(x.grad, [0.2, 1.0], rtol=1e-6)
    x = x.detach()
    for found in (
        torch.func.grad(f)(x),
        ad.gradient(f, ad.AutoTorch(), x)[0],
        torch.func.vmap(torch.func.grad(f))(x[None])[0],
    ):
        np.testing.assert_allclose(found, [0.2, 1.0], rtol=1e-6)


# -- showgrad ----------------------------------------------------------------------------------------------------------


def test_showgrad_prints_the_cotangent(seeing, capsys):
    assert ad.gradient(lambda a, b: ad.showgrad(a, "a") * b, seeing, 2, 3) == (3.0, 2.0)
    out = capsys.readouterr().out
    assert out.startswith("d(a) = 3.0  (")
    assert "test_hooks.py:" in out
    assert ad.gradient(lambda a: ad.showgrad(a, "a") * a, seeing, 2) == (4.0,)
    assert capsys.readouterr().out.startswith("d(a) = 2.0")


def test_showgrad_prints_none_where_nothing_arrives(seeing, capsys):
    def f(a, b):
        ad.showgrad(a, "a")
        return a * b

    assert ad.gradient(f, seeing, 2, 3) == (3.0, 2.0)
    assert capsys.readouterr().out.startswith("d(a) = None")


def test_showgrad_of_a_structure_changes_nothing(seeing, capsys):
    grads = ad.gradient(lambda p: np.sum(ad.showgrad(p, "p")["w"] ** 2), seeing, {"w": X, "b": 1.0, "s": "text"})[0]
    np.testing.assert_allclose(grads["w"], 2 * X)
    assert grads["b"] is None
    lines = sorted(line.partition("  (")[0] for line in capsys.readouterr().out.splitlines())
    assert lines == ["d(p['b']) = None", "d(p['w']) = [1. 4.]"]


def test_showgrad_without_cotangents(unseeing, capsys):
    np.testing.assert_allclose(ad.gradient(lambda a: ad.showgrad(a, "a") ** 2, unseeing, 2.0)[0], 4.0)
    assert ad.showgrad(3.0, "a") == 3.0
    assert capsys.readouterr().out == ""


def test_showgrad_in_a_prepared_call(seeing, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ad.NotReplayedWarning)
        prepared = ad.prepare(ad.gradient, lambda x: ad.showgrad(x, "x") ** 2, seeing, 1.0)
        capsys.readouterr()
        assert [prepared(x) for x in (2.0, 3.0)] == [(4.0,), (6.0,)]
    assert [line[:10] for line in capsys.readouterr().out.splitlines()] == ["d(x) = 4.0", "d(x) = 6.0"]
