"""gradient and withgradient into the memory of Duplicated arguments; Cache; what is allocated for it."""

from __future__ import annotations

import functools
import pickle
import threading
import tracemalloc
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from samples.functions import Counted

import adselect as ad
from adselect import AutoTape, Cache, Const, Duplicated
from adselect.errors import ADSelectTypeError, ADSelectValueError

X = np.array([0.5, -1.0, 2.0])
NEAR = {"rtol": 1e-6, "atol": 1e-8}


def model():
    return {"W": np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]), "b": [np.array([0.1, 0.2]), 2.0], "name": "m"}


def loss(m, x):
    return np.sum((m["W"] @ x + m["b"][0]) ** 2) * m["b"][1]


def same(found, wanted, times=1.0):
    np.testing.assert_allclose(found["W"], times * wanted["W"], **NEAR)
    np.testing.assert_allclose(found["b"][0], times * wanted["b"][0], **NEAR)
    np.testing.assert_allclose(found["b"][1], times * wanted["b"][1], **NEAR)
    assert found["name"] is None


WANTED = ad.gradient(loss, model(), Const(X))[0]


def calls(backend, d):
    """The gradient, as it is and prepared."""
    adtype = backend.adtype
    yield lambda *args, **options: ad.gradient(loss, adtype, *args, **options)
    yield ad.prepare(ad.gradient, loss, adtype, d, Const(X))


def test_the_gradient_is_returned_and_stays(backend):
    d = Duplicated(model())
    arrays = [d.grad["W"], d.grad["b"][0]]
    for gradient in calls(backend, d):
        for x in (Const(X), X, Const(X)):
            g, none = gradient(d, x)
            assert none is None
            same(g, WANTED)
            assert g["W"] is d.grad["W"] is arrays[0]
            assert g["b"][0] is d.grad["b"][0] is arrays[1]
            assert type(g["b"][1]) is float
            assert d.grad["b"][1] == g["b"][1]


def test_adding_up(backend):
    d = Duplicated(model())
    for gradient in calls(backend, d):
        gradient(d, X)
        same(gradient(d, X, zero=False)[0], WANTED, 2.0)
        same(gradient(d, X, zero=False)[0], WANTED, 3.0)
        same(gradient(d, X)[0], WANTED)
        d.zero()
        same(gradient(d, X, zero=False)[0], WANTED)


def test_zero_is_an_argument_of_f_where_nothing_is_duplicated():
    f = lambda x, zero: x * zero
    assert ad.gradient(f, 2.0, zero=3.0) == (3.0,)
    with pytest.raises(ADSelectTypeError, match="zero= is True or False"):
        ad.gradient(lambda x: x, Duplicated(2.0), zero=3.0)


def test_with_a_value(backend):
    d = Duplicated(model())
    f = lambda m, x: (loss(m, x), {"scores": m["W"] @ x})
    plain = f(model(), X)
    for call in (
        lambda *a: ad.withgradient(f, backend.adtype, *a),
        ad.prepare(ad.withgradient, f, backend.adtype, d, X),
    ):
        kept = []
        for _ in range(4):
            value, (g, none) = call(d, X)
            np.testing.assert_allclose(value[0], plain[0])
            np.testing.assert_allclose(value[1]["scores"], plain[1]["scores"])
            same(g, WANTED)
            assert none is None
            kept.append(value[1]["scores"])
        assert not np.shares_memory(kept[-1], kept[-2])
    assert ad.withgradient(lambda m: m**2, Duplicated(3.0)) == (9.0, (6.0,))


def test_several_of_them_in_any_order(exact_backend):
    a, b = Duplicated(np.array([1.0, 2.0])), Duplicated((3.0, np.array([4.0])))
    f = lambda x, y, c, z: np.sum(y) * x * (z[0] + np.sum(z[1])) * c
    for gradient in (
        lambda *args: ad.gradient(f, exact_backend.adtype, *args),
        ad.prepare(ad.gradient, f, exact_backend.adtype, Const(2.0), a, 5.0, b),
    ):
        g = gradient(Const(2.0), a, 5.0, b)
        assert g[0] is None
        assert g[2] is None
        np.testing.assert_allclose(g[1], 70.0)
        np.testing.assert_allclose(g[3][0], 30.0)
        np.testing.assert_allclose(g[3][1], [30.0])
        assert g[1] is a.grad


def test_zeros_where_nothing_depends_on_it(backend):
    d = Duplicated({"used": np.ones(2), "unused": np.ones(3)})
    d.grad["unused"][:] = 7.0
    for gradient in (
        lambda *args: ad.gradient(lambda m: np.sum(m["used"] ** 2), backend.adtype, *args),
        ad.prepare(ad.gradient, lambda m: np.sum(m["used"] ** 2), backend.adtype, d),
    ):
        (g,) = gradient(d)
        np.testing.assert_allclose(g["used"], 2.0, **NEAR)
        np.testing.assert_array_equal(g["unused"], np.zeros(3))


def test_f_is_evaluated_once(exact_backend):
    f = Counted(loss)
    ad.gradient(f, exact_backend.adtype, Duplicated(model()), X)
    # Forward mode takes a pass for each chunk of directions.
    assert f.calls == 1 or exact_backend.name == "forward"


def test_objects_and_what_is_reached_twice(exact_backend):
    layer = SimpleNamespace(W=np.array([1.0, 2.0]))
    d = Duplicated(SimpleNamespace(first=layer, second=layer))
    f = lambda m, x: np.sum(m.first.W * x) + np.sum(m.second.W * 10 * x)
    for _ in range(2):
        (g, _) = ad.gradient(f, exact_backend.adtype, d, np.ones(2))
        np.testing.assert_allclose(g.first.W, 11.0)
        assert g.first is g.second


def test_single_precision_stays(exact_backend):
    d = Duplicated(np.ones((3, 2), np.float32))
    f = lambda W, x: np.sum((W @ x) ** 2)
    (g, _) = ad.gradient(f, exact_backend.adtype, d, np.ones(2, np.float32))
    assert g is d.grad
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, 4.0)
    # Double precision met on the way does not change that.
    (g, _) = ad.gradient(f, exact_backend.adtype, d, np.ones(2))
    assert g is d.grad


def test_products_of_all_shapes():
    """Large factors of a product have their cotangent added some rows at a time."""
    random = np.random.default_rng(0)
    for a, b in (((300, 400), (400,)), ((300,), (300, 500)), ((300, 400), (400, 300)), ((2, 150, 200), (200, 80))):
        m = (random.normal(size=a), random.normal(size=b))
        for f in (
            lambda m: np.sum(np.sin(m[0] @ m[1])),
            lambda m: np.sum(np.sin(m[0] @ m[1])) + np.sum((m[0] @ m[1]) ** 2) + np.sum(m[0] ** 2) + m[1].T.flat[0],
            lambda m: np.sum(np.sin(m[0].T.T @ m[1])),
        ):
            d = Duplicated(m)
            (wanted,), (found,) = ad.gradient(f, m), ad.gradient(f, d)
            for k in range(2):
                np.testing.assert_allclose(found[k], wanted[k], rtol=1e-12, atol=1e-12)
                assert found[k] is d.grad[k]


def test_a_random_f_into_buffers():
    """Every way in which a cotangent reaches an argument: sums, parts, products, shapes, the argument itself."""
    random = np.random.default_rng(1)
    pieces = [
        lambda x: np.sum(x),
        lambda x: np.sum(x[2:5] * 3),
        lambda x: x[1, 2],
        lambda x: np.sum(x[[0, 0, 3]] ** 2),
        lambda x: np.sum(np.sin(x.T @ x)),
        lambda x: np.mean(x.reshape(-1)[::2]),
        lambda x: np.sum(np.maximum(x, 0.0)),
        lambda x: np.sum(x + np.ones((3, 1, 1))),
        lambda x: np.sum(np.concatenate([x, x]) ** 3),
        lambda x: np.linalg.norm(x),
        lambda x: np.sum(-x),
    ]
    x = random.normal(size=(6, 5))
    d = Duplicated(x)
    for _ in range(60):
        chosen = random.choice(len(pieces), size=random.integers(1, 5))
        f = lambda x, chosen=chosen: sum([pieces[k](x) * (k + 1.0) for k in chosen])
        np.testing.assert_allclose(ad.gradient(f, d)[0], ad.gradient(f, x)[0], rtol=1e-12, atol=1e-12)
    for f in (lambda t: t, lambda t: 2.0 * t):
        assert ad.gradient(f, Duplicated(3.0)) == ad.gradient(f, 3.0)


def test_strong_zeros(exact_backend):
    x = np.array([0.0, 4.0])
    f = lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0))
    d = Duplicated(x)
    with np.errstate(all="ignore"):
        for zero, times in ((True, 1), (False, 2)):
            (g,) = ad.gradient(f, exact_backend.adtype, d, zero=zero)
            np.testing.assert_allclose(g, times * np.array([0.0, 0.25]))
            assert g is d.grad


def test_an_error_in_f_leaves_no_half_gradient(exact_backend):
    d = Duplicated(model())
    ad.gradient(loss, d, X)

    def broken(m, x):
        np.sum(m["W"])
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        ad.gradient(broken, exact_backend.adtype, d, X)
    same(d.grad, WANTED)  # f failed before anything was written

    @ad.primitive
    def wrong(x):
        return np.sum(x)

    ad.define_rrule(wrong)(lambda x: (np.sum(x), lambda y_bar: 1 / 0))
    d = Duplicated({"a": np.ones(2), "b": np.ones(2)})
    f = lambda m: wrong(m["a"]) + np.sum(m["b"] ** 2)
    with pytest.raises((ZeroDivisionError, RuntimeError, ad.RuleError)):
        ad.gradient(f, AutoTape(), d)
    assert d.norm() == 0.0


def test_several_threads():
    d, errors = Duplicated(np.ones(1000)), []
    f = lambda x, k: np.sum(x) * k

    def work(k):
        try:
            for _ in range(50):
                (g, _) = ad.gradient(f, d, float(k))
                assert g is d.grad
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(set(d.grad)) == 1  # the gradient of one call, not a mixture


def test_what_is_refused():
    d = Duplicated(X.copy())
    for operator in (ad.pullback, ad.jacobian, ad.hessian, ad.diaghessian, ad.withjacobian):
        with pytest.raises(ADSelectTypeError, match=rf"{operator.__name__} was given a Duplicated.*\.value"):
            operator(np.sum, d)
        with pytest.raises(ADSelectTypeError, match="was given a Duplicated"):
            ad.prepare(operator, np.sum, AutoTape(), d)
    with pytest.raises(ADSelectTypeError, match="no out="):
        ad.gradient(np.sum, d, out=np.zeros(3))
    with pytest.raises(ADSelectValueError, match="missing='error'"):
        ad.gradient(np.sum, d, missing="error")
    with pytest.raises(ADSelectValueError, match="the same Duplicated twice"):
        ad.gradient(lambda a, b: np.sum(a * b), d, d)
    ready = ad.prepare(ad.gradient, lambda a, b: np.sum(a * b), AutoTape(), d, X)
    for args in ((X, X), (d, d), (d,)):
        with pytest.raises(ad.PreparationMismatchError, match=r"Duplicated arguments at args\[0\] of 2"):
            ready(*args)
    with pytest.raises(ADSelectTypeError, match="it takes zero="):
        ready(d, X, scale=True)
    with pytest.raises(ad.PreparationMismatchError, match="shape"):
        ready(Duplicated(np.ones(4)), X)
    (traced,) = ad.gradient(lambda t: ad.gradient(lambda a: np.sum(a**2), t * X)[0][0], 1.0)
    assert traced == 1.0
    with pytest.raises(ADSelectTypeError, match="traced by an outer derivative"):
        ad.gradient(lambda t: ad.gradient(lambda a, s: s * np.sum(a**2), d, t)[0][0], 1.0)


def test_prepared_objects_travel():
    d = Duplicated(model())
    ready = ad.prepare(ad.gradient, loss, AutoTape(), d, X)
    assert "into Duplicated" in repr(ready)
    assert ready.reason == ""
    assert "def gradient" in ad.source(ready)
    other = pickle.loads(pickle.dumps(ready))
    same(other(d, X)[0], WANTED)
    another = Duplicated({**model(), "W": np.zeros((2, 3))})  # a model of the same kind
    same(ready(another, X)[0], ad.gradient(loss, another.value, Const(X))[0])


# -- memory ----------------------------------------------------------------------------------------------------------


def network():
    random = np.random.default_rng(0)
    sizes = {"E": (4000, 64), "W1": (1000, 600), "b1": (600,), "W2": (600, 300)}
    return {name: random.normal(size=size) / 30 for name, size in sizes.items()}


def network_loss(m, x, words):
    h = np.tanh(x @ m["W1"] + m["b1"])
    return np.mean((h @ m["W2"]) ** 2) + np.sum(m["E"][words] ** 2)


def peak(call):
    """The most memory that a call holds beyond what there was, and what it leaves behind, in bytes."""
    for _ in range(3):
        call()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return most - before, after - before


def test_nothing_of_the_size_of_the_model_is_allocated():
    m, x, words = network(), np.random.default_rng(1).normal(size=(4, 1000)), np.array([1, 5, 5])
    size = sum(a.nbytes for a in m.values())
    d = Duplicated(m)
    plain = lambda: ad.gradient(network_loss, m, Const(x), Const(words))
    assert peak(plain)[0] > 0.9 * size  # this measure can fail
    ready = ad.prepare(ad.gradient, network_loss, AutoTape(), d, x, words, check="never")
    wanted = plain()[0]
    for gradient in (lambda *a, **o: ad.gradient(network_loss, *a, **o), ready):
        for zero in (True, False):
            most, left = peak(functools.partial(gradient, d, x, words, zero=zero))
            assert most < 0.15 * size, (most, size, gradient, zero)
            assert left < 10_000
        found = gradient(d, x, words)[0]
        for name in m:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, atol=1e-14)


def test_it_does_not_grow_with_the_model():
    """Twice the model, the same memory: what is left are blocks of one size."""
    found = []
    for n in (1000, 2000):
        d = Duplicated(np.full((n, 1000), 1e-3))
        x = np.ones(1000)
        found.append(peak(lambda d=d, x=x: ad.gradient(lambda W, x: np.sum(np.sin(W @ x)), d, x))[0])
    assert found[1] < 1.1 * found[0] + 100_000


# -- Cache -----------------------------------------------------------------------------------------------------------


def with_scratch(x, scratch):
    scratch[:] = x**2
    scratch[0] += 1.0
    return np.sum(scratch * x)


def test_scratch_memory(backend):
    wanted = 3 * X**2 + np.array([1.0, 0.0, 0.0])
    prepared = ad.prepare(ad.gradient, with_scratch, backend.adtype, X, Cache(np.empty(3)))
    for gradient in (lambda *args: ad.gradient(with_scratch, backend.adtype, *args), prepared):
        for _ in range(2):
            g, none = gradient(X, Cache(np.empty(3)))
            np.testing.assert_allclose(g, wanted, **NEAR)
            assert none is None
    _, back = ad.pullback(with_scratch, backend.adtype, X, Cache(np.empty(3)))
    np.testing.assert_allclose(back(2.0)[0], 2 * wanted, **NEAR)
    np.testing.assert_allclose(
        ad.jacobian(with_scratch, backend.adtype, X, Cache(np.empty(3)))[0], wanted[None], **NEAR
    )
    second = np.diag(6 * X)
    near = {"rtol": 1e-3, "atol": 1e-5} if backend.name == "finitedifferences" else NEAR
    np.testing.assert_allclose(ad.hessian(with_scratch, backend.adtype, X, Cache(np.empty(3))), second, **near)
    np.testing.assert_allclose(ad.hvp(with_scratch, backend.adtype, X, X, Cache(np.empty(3))), second @ X, **near)
    found = ad.diaghessian(with_scratch, backend.adtype, X, Cache(np.empty(3)))
    np.testing.assert_allclose(found[0], 6 * X, **near)
    assert found[1] is None


def test_scratch_memory_in_structures(exact_backend):
    Scratch = namedtuple("Scratch", "a b")

    def f(x, s):
        s["rows"][0][:] = x
        s["pair"].a[...] = np.sum(s["rows"][0] ** 2)
        return s["pair"].a * s["factor"] + s["pair"].b[0]

    scratch = {"rows": [np.zeros(3)], "pair": Scratch(np.zeros(()), np.array([7.0])), "factor": 2.0}
    g, none = ad.gradient(f, exact_backend.adtype, X, Cache(scratch))
    np.testing.assert_allclose(g, 4 * X)
    assert none is None


def test_what_is_in_scratch_memory_is_a_constant(exact_backend):
    f = lambda x, s: np.sum(x * s)
    np.testing.assert_allclose(ad.gradient(f, exact_backend.adtype, X, Cache(X + 1))[0], X + 1)


def test_scratch_memory_is_that_of_a_plain_call():
    buffer = np.zeros(3)
    ad.gradient(with_scratch, ad.AutoFiniteDifferences(), X, Cache(buffer))
    np.testing.assert_array_equal(buffer, X**2 + [1.0, 0.0, 0.0])
    assert ad.gradient(with_scratch, X, Cache(buffer), check=True)[1] is None


def test_scratch_memory_is_a_whole_argument():
    with pytest.raises(ADSelectTypeError, match=r"args\[0\]\['s'\] is a Cache, which goes around a whole argument"):
        ad.gradient(lambda m: np.sum(m["x"]), {"x": X, "s": Cache(np.empty(3))})


def test_scratch_memory_of_a_framework():
    torch = pytest.importorskip("torch")
    x, buffer = torch.tensor([1.0, 2.0]), torch.zeros(2)

    def f(x, s):
        s[:] = x**2
        return torch.sum(s)

    assert torch.equal(ad.gradient(f, ad.AutoTorch(), x, Cache(buffer))[0], 2 * x)
    assert not buffer.requires_grad


# -- frameworks' own models ------------------------------------------------------------------------------------------


def test_tensors_are_written_in_place():
    torch = pytest.importorskip("torch")
    d = Duplicated({"W": torch.tensor([[3.0]]), "b": torch.zeros(1)})
    held = d.grad["W"]
    f = lambda m, x: torch.sum((m["W"] @ x + m["b"]) ** 2)
    for _ in range(2):
        (g, _) = ad.gradient(f, ad.AutoTorch(), d, torch.ones(1))
        assert g["W"] is held
        assert held.item() == 6.0
    ad.gradient(f, ad.AutoTorch(), d, torch.ones(1), zero=False)
    assert held.item() == 12.0
    linear = Duplicated(torch.nn.Linear(2, 1))
    (g, _) = ad.gradient(lambda m, x: m(x).sum(), ad.AutoTorch(), linear, torch.ones(3, 2))
    assert torch.equal(g.weight, torch.full((1, 2), 3.0))
    assert linear.grad.weight is g.weight


def test_jax_arrays_are_replaced():
    jnp = pytest.importorskip("jax.numpy")
    d = Duplicated({"W": jnp.ones((1, 1)) * 3})
    f = lambda m, x: jnp.sum((m["W"] @ x) ** 2)
    (g, _) = ad.gradient(f, ad.AutoJax(), d, jnp.ones(1))
    assert float(g["W"][0, 0]) == float(d.grad["W"][0, 0]) == 6.0
    ad.gradient(f, ad.AutoJax(), d, jnp.ones(1), zero=False)
    assert float(d.grad["W"][0, 0]) == 12.0
