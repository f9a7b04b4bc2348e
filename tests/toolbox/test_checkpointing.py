"""checkpointed: the derivative without it, from less memory, on every backend."""

from __future__ import annotations

import random
import threading
import tracemalloc

import numpy as np
import pytest
from conftest import numeric_jacobian
from samples.functions import Counted, rosenbrock

import adselect as ad

X = np.array([0.1, 0.7, 1.3])
# Where f is run again by Python itself, so that its runs can be counted and its results compared.
RUN_AGAIN = ("tape", "torch")


def wave(x):
    return np.sin(x) * x[::-1]


def test_derivatives_are_those_without_it(backend):
    adtype = backend.adtype
    J = ad.jacobian(lambda x: ad.checkpointed(wave, x), adtype, X)[0]
    np.testing.assert_allclose(J, numeric_jacobian(wave, X), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(J, ad.jacobian(wave, ad.AutoTape(), X)[0], rtol=1e-7, atol=1e-9)
    H = ad.hessian(lambda x: ad.checkpointed(rosenbrock, x), adtype, X)
    wanted = ad.hessian(rosenbrock, ad.AutoTape(), X)
    np.testing.assert_allclose(H, wanted, rtol=1e-5, atol=1e-4)
    reverse = ad.hessian_reverse(lambda x: ad.checkpointed(rosenbrock, x), adtype, X)
    np.testing.assert_allclose(reverse, wanted, rtol=1e-5, atol=1e-4)


def test_what_f_closes_over_is_differentiated(backend):
    def f(a, b, table):
        return np.sum(ad.checkpointed(lambda v: np.sin(v) * b * a + table["c"][0], a)) + ad.checkpointed(lambda: b**2)

    args = (X, 2.0, {"c": [3.0]})
    got = ad.gradient(f, backend.adtype, *args)
    np.testing.assert_allclose(got[0], 2 * (np.cos(X) * X + np.sin(X)), rtol=1e-7)
    np.testing.assert_allclose(got[1], np.sum(np.sin(X) * X) + 4, rtol=1e-7)
    np.testing.assert_allclose(got[2]["c"][0], 3.0, rtol=1e-7)


def test_structures_go_in_and_come_out(exact_backend):
    def part(p, s=1.0, *, kind="sum"):
        assert kind == "mean"
        return {"a": p["w"] * s, "b": (np.sum(p["w"] * p["b"]), p["b"], "text")}

    def f(p, s):
        r = ad.checkpointed(part, p, s=s, kind="mean")
        assert r["b"][2] == "text"
        return np.sum(r["a"]) + r["b"][0] * r["b"][1]

    got = ad.gradient(f, exact_backend.adtype, {"w": np.array([1.0, 2.0]), "b": 3.0}, 2.0)
    np.testing.assert_allclose(got[0]["w"], [11.0, 11.0])
    np.testing.assert_allclose([got[0]["b"], got[1]], [18.0, 3.0])


def test_none_and_constants(exact_backend):
    adtype = exact_backend.adtype
    assert ad.gradient(lambda x, y: ad.checkpointed(lambda x, y: x * 2, x, y), adtype, 1.0, 2.0) == (2.0, None)
    assert ad.gradient(lambda x: x * ad.checkpointed(lambda x: 3.0, x), adtype, 2.0) == (3.0,)
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(ad.checkpointed(lambda x: x, x) ** 2), adtype, X)[0], 2 * X)


def test_values_decide_inside(exact_backend):
    f = lambda x: np.sum(x**2) if float(np.sum(x > 0.5)) > 1 else np.sum(x)
    np.testing.assert_allclose(ad.gradient(lambda x: ad.checkpointed(f, x), exact_backend.adtype, X)[0], 2 * X)


def test_strong_zeros_hold_inside(exact_backend):
    with np.errstate(all="ignore"):
        f = lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0))
        x = np.array([0.0, 4.0])
        got = ad.gradient(lambda x: ad.checkpointed(f, x), exact_backend.adtype, x)[0]
    np.testing.assert_allclose(got, [0.0, 0.25])


@pytest.mark.parametrize("x", [3, 1 + 2j, np.ones(2, np.float32)], ids=["int", "complex", "float32"])
def test_kinds_of_numbers(exact_backend, x):
    f = lambda x: np.sum(np.abs(x * x) ** 2)
    got = ad.gradient(lambda x: ad.checkpointed(f, x), exact_backend.adtype, x)[0]
    wanted = ad.gradient(f, exact_backend.adtype, x)[0]
    np.testing.assert_allclose(got, wanted)
    assert type(got) is type(wanted)
    assert np.result_type(got) == np.result_type(wanted)


def test_checkpoints_in_checkpoints_and_derivatives_in_them(exact_backend):
    adtype = exact_backend.adtype

    def outer(x):
        return np.sum(ad.checkpointed(np.sin, x) ** 2 * ad.checkpointed(lambda v: v * x, x))

    got = ad.gradient(lambda x: ad.checkpointed(outer, x), adtype, X)[0]
    np.testing.assert_allclose(got, 2 * np.sin(X) * np.cos(X) * X**2 + 2 * np.sin(X) ** 2 * X)
    cubes = lambda x: ad.gradient(lambda v: np.sum(v**3 * x), adtype, x)[0]
    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(ad.checkpointed(cubes, x)), adtype, X)[0], 9 * X**2)


def test_buffers_are_filled_inside(exact_backend):
    def part(x):
        b = ad.Buffer(np.zeros(4))
        b[0:3] += x
        b[1:] *= b[0:3]
        b.append(x[0])
        return np.sum(b.copy() ** 2)

    got = ad.gradient(lambda x: ad.checkpointed(part, x), exact_backend.adtype, X)[0]
    np.testing.assert_allclose(got, numeric_jacobian(part, X)[0], rtol=1e-7)


def test_hooks_act_inside(exact_backend):
    if exact_backend.name == "forward":
        pytest.skip("forward mode has no cotangents")
    part = lambda x: np.sum(ad.hook(lambda g: np.clip(g, -1, 1), x) ** 2)
    got = ad.gradient(lambda x: ad.checkpointed(part, x), exact_backend.adtype, X)[0]
    np.testing.assert_allclose(got, np.clip(2 * X, -1, 1))


def test_prepared(backend):
    prepared = ad.prepare(ad.gradient, lambda x: ad.checkpointed(rosenbrock, x), backend.adtype, X)
    for x in (X, X + 1, X - 0.3):
        np.testing.assert_allclose(prepared(x)[0], ad.gradient(rosenbrock, x)[0], rtol=1e-6)


# -- run again ---------------------------------------------------------------------------------------------------------


def test_f_runs_once_forwards_and_once_in_each_reverse_pass(exact_backend):
    f = Counted(lambda x: x**2)
    _, back = ad.pullback(lambda x: ad.checkpointed(f, x), exact_backend.adtype, 4.0)
    found = [f.calls]
    for _ in range(2):
        assert back(1.0) == (8.0,)
        found.append(f.calls)
    # JAX keeps f as a program; elsewhere it is f that is called, and what it computes is kept.
    assert found == ([1, 2, 3] if exact_backend.name in RUN_AGAIN else [1, 1, 1])


def draws_globally(x):
    return np.sum(np.random.rand(3) * x**2) * random.random()


GENERATOR = np.random.default_rng(3)


def draws_from_a_global(x):
    return np.sum(GENERATOR.random(3) * x**2)


def test_random_numbers_are_the_same(exact_backend):
    held = np.random.default_rng(5)
    parts = {
        "shared": (draws_globally, ()),
        "global": (draws_from_a_global, ()),
        "closure": (lambda x: np.sum(held.random(3) * x**2), ()),
        "argument": (lambda x, rng: np.sum(rng.standard_normal(3) * x**2), (np.random.RandomState(0),)),
    }
    state = np.random.get_state(), random.getstate()
    try:
        for name, (part, more) in parts.items():
            value, grad = ad.withgradient(
                lambda x, part=part, more=more: ad.checkpointed(part, x, *more), exact_backend.adtype, X
            )
            np.testing.assert_allclose(np.sum(grad[0] * X), 2 * value, err_msg=name)  # homogeneous of degree 2
        assert held.random() != np.random.default_rng(5).random()  # it has gone on
    finally:
        np.random.set_state(state[0])
        random.setstate(state[1])


def run_again(exact_backend):
    if exact_backend.name not in RUN_AGAIN:
        pytest.skip("f is run once here")
    return exact_backend.adtype


def test_another_result_in_the_second_run_is_an_error(exact_backend):
    numbers = iter(range(2, 100))
    with pytest.raises(ad.ADSelectError, match=r"checkpointed at .*test_checkpointing.py:\d+ computed something else"):
        ad.gradient(lambda x: ad.checkpointed(lambda x: np.sum(x**2) * next(numbers), x), run_again(exact_backend), X)


def test_what_f_read_and_somebody_wrote_to(exact_backend):
    adtype = run_again(exact_backend)

    def overwritten(x):
        weights = np.ones(3)
        y = ad.checkpointed(lambda x: np.sum(weights * x**2), x)
        weights[0] = 5.0
        return y

    with pytest.raises(ad.ADSelectError, match="computed something else"):
        ad.gradient(overwritten, adtype, X)

    def rebound(x):  # traced values are what they were
        y = x * 1.0
        z = ad.checkpointed(lambda: np.sum(y**2))
        y[0] = 7.0
        return z + np.sum(y)

    np.testing.assert_allclose(ad.gradient(rebound, adtype, X)[0], [0.2, 2.4, 3.6])


def test_writing_into_arguments_is_an_error(exact_backend):
    if exact_backend.name in ("forward", "autograd"):
        pytest.skip("it is f itself that is called")

    def writes(x):
        x[0] = 5.0
        return np.sum(x**2)

    with pytest.raises(ad.TracedValueError, match="writes into an array of shape"):
        ad.gradient(lambda x: ad.checkpointed(writes, x * 1.0), exact_backend.adtype, X)


def test_a_value_that_gets_out_is_an_error_on_the_tape():
    kept = []

    def leaks(x):
        y = np.sin(x)
        kept.append(y)
        return np.sum(y * x)

    with pytest.raises(ad.TracedValueError, match=r"checkpointed at .*test_checkpointing.py:\d+ was used outside"):
        ad.gradient(lambda x: ad.checkpointed(leaks, x) + np.sum(kept[-1]), X)
    with pytest.raises(ad.TracedValueError, match="used outside"):
        ad.pullback(lambda x: (ad.checkpointed(leaks, x), kept[-1]), X)[1]((1.0, np.ones(3)))
    ad.gradient(lambda x: ad.checkpointed(leaks, x), X)  # nobody uses it


def test_threads_record_beside_a_checkpoint():
    def f(x):
        found, inside, outside = [], threading.Event(), threading.Event()

        def beside():
            inside.wait(10)
            found.append(np.sum(np.cos(x)))
            outside.set()

        def part(x):
            inside.set()
            outside.wait(10)
            return np.sum(np.sin(x))

        thread = threading.Thread(target=beside)
        thread.start()
        y = ad.checkpointed(part, x)
        thread.join()
        return y + found[0]

    np.testing.assert_allclose(ad.gradient(f, X)[0], np.cos(X) - np.sin(X))


def test_without_short_paths():
    from adselect.engine.quick import without_short_paths

    with without_short_paths():
        got = ad.gradient(lambda x: np.sum(ad.checkpointed(np.sin, x) ** 2 * ad.checkpointed(lambda v: v * x, x)), X)[0]
    np.testing.assert_allclose(got, 2 * np.sin(X) * np.cos(X) * X**2 + 2 * np.sin(X) ** 2 * X)


def test_an_object_that_counts_keeps_its_count(exact_backend):
    class Model:
        def __init__(self, w):
            self.w, self.calls = w, []

        def __call__(self, x):
            self.calls.append(len(self.calls))
            return np.sum(self.w * x)

    model = Model(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(ad.gradient(lambda x: ad.checkpointed(model, x), exact_backend.adtype, X)[0], model.w)
    assert model.calls


# -- memory ------------------------------------------------------------------------------------------------------------


def peak(f, x):
    tracemalloc.start()
    try:
        grad = ad.gradient(f, x)[0]
        return grad, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_chain_needs_memory_for_the_root_of_its_length():
    steps = [lambda x: np.tanh(x * 1.01 + 0.1) * np.cos(x)] * 144
    x = np.linspace(-1, 1, 20_000)

    def plain(x):
        for step in steps:
            x = step(x)
        return np.sum(x)

    wanted, most = peak(plain, x)
    grad, least = peak(lambda x: np.sum(ad.checkpointed_chain(steps, x)), x)
    np.testing.assert_array_equal(grad, wanted)
    assert least < most / 6  # 2 · 12 states of 144, and some arrays more for each
    _, one = peak(lambda x: np.sum(ad.checkpointed_chain(steps, x, segments=1)), x)
    assert one > 0.9 * most  # no stretch, no saving: it is the segments that make it


def test_chains(exact_backend):
    steps = [lambda x, k=k: x + 0.1 * np.sin(k * x) for k in range(10)]
    wanted = numeric_jacobian(lambda x: ad.checkpointed_chain(steps, x), X)
    for segments in (None, 1, 3, 10, 50):
        got = ad.jacobian(lambda x, s=segments: ad.checkpointed_chain(steps, x, s), exact_backend.adtype, X)[0]
        np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-9)
    assert ad.checkpointed_chain([], 2.0) == 2.0
    with pytest.raises(ad.ADSelectError, match="at least one segment"):
        ad.checkpointed_chain(steps, 2.0, segments=0)
    with pytest.raises(TypeError, match="function first"):
        ad.checkpointed(2.0, np.sin)


def test_the_frameworks_own_code():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    x = jax.numpy.array([0.1, 3.0])
    f = lambda x: jax.numpy.sum(ad.checkpointed(lambda x: jax.numpy.sin(x) * x, x))
    wanted = np.cos(x) * x + np.sin(x)
    np.testing.assert_allclose(jax.jit(jax.grad(f))(x), wanted, rtol=1e-6)
    np.testing.assert_allclose(ad.gradient(f, ad.AutoJax(), x)[0], wanted, rtol=1e-6)
    part = Counted(lambda x: torch.sin(x) * x)
    t = torch.tensor([0.1, 3.0], requires_grad=True)
    torch.sum(ad.checkpointed(part, t)).backward()
    np.testing.assert_allclose(t.grad, wanted, rtol=1e-6)
    assert part.calls == 2
