"""Replay of prepared operators: the same numbers as eager, and every known trap of traced programs."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from samples.functions import rosenbrock

import adselect as ad
from adselect import AutoForward, AutoTape

RNG = np.random.default_rng(0)
X = RNG.normal(size=6)
A = RNG.normal(size=(6, 6)) + 6 * np.eye(6)


def softmax_loss(x):
    shifted = x - np.max(x)
    return np.log(np.sum(np.exp(shifted))) - shifted[0]


def quadratic(x):
    return 0.5 * x @ A @ x + np.sum(np.linalg.solve(A, x))


def scattered(x):
    y = np.zeros_like(x)
    y[::2] = x[1::2] * x[0]
    y[1] += x[2]
    return np.sum(y**3 + np.where(x > 0, x, 0.1 * x)) + x[[0, 0, 3]].sum()


def reshaped(x):
    m = np.stack([x, 2 * x]).reshape(3, 4).T
    return np.sum(np.tanh(m) * np.arange(12.0).reshape(4, 3)) + np.mean(np.sort(x)[2:])


def scalars(x):
    s = 0.0
    for i in range(5):
        s = s + np.sin(x[i]) * x[i + 1] / (1.0 + x[i] ** 2)
    return np.exp(-s) + s**3


FUNCTIONS = [rosenbrock, softmax_loss, quadratic, scattered, reshaped, scalars]


def equal(a, b, rtol=1e-12):
    if isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            equal(x, y, rtol)
    else:
        assert type(a) is type(b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13 * np.max(np.abs(b), initial=1.0))


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "operator", [ad.gradient, ad.withgradient, ad.hessian, ad.jacobian, ad.withhessian, ad.diaghessian]
)
def test_replay_equals_eager(f, operator):
    prepared = ad.prepare(operator, f, AutoTape(), X, check="never")
    assert ad.source(prepared)  # it is replayed, not quietly eager
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=6)
        equal(prepared(x), operator(f, AutoTape(), x))


def test_other_operators():
    v = RNG.normal(size=6)
    prepared = ad.prepare(ad.hvp, rosenbrock, AutoTape(), X, v)
    equal(prepared(v, X), ad.hvp(rosenbrock, v, X))
    prepared = ad.prepare(ad.derivative, lambda t: np.array([t**2, np.sin(t)]), AutoTape(), 1.0)
    equal(prepared(2.0), np.array([4.0, np.cos(2.0)]))
    prepared = ad.prepare(ad.pushforward, rosenbrock, AutoTape(), (X,), (v,))
    equal(prepared((v,), (X,))[1], ad.pushforward(rosenbrock, (v,), (X,))[1])


def test_structured_arguments_and_constants():
    def loss(p, scale, data, *, power):
        return np.sum((p["w"] @ data + p["b"]) ** power) * scale

    p = {"w": RNG.normal(size=(2, 3)), "b": 0.5, "name": "layer"}
    args = (p, 2.0, ad.Const(RNG.normal(size=3)))
    prepared = ad.prepare(ad.gradient, loss, AutoTape(), *args, power=2)
    other = ({"w": RNG.normal(size=(2, 3)), "b": -0.5, "name": "layer"}, 3.0, RNG.normal(size=3))
    got = prepared(*other)
    want = ad.gradient(loss, other[0], other[1], ad.Const(other[2]), power=2)
    np.testing.assert_allclose(got[0]["w"], want[0]["w"], rtol=1e-12)
    assert got[0]["b"] == pytest.approx(want[0]["b"])
    assert got[0]["name"] is None
    assert got[2] is None


def test_source_of_a_line():
    text = ad.source(ad.prepare(ad.gradient, lambda x: 5 * x + 3, AutoTape(), 1.0))
    assert "return 5.0" in text


def test_forward_and_replay_false_stay_plain():
    for adtype in (AutoForward(), AutoTape(replay=False)):
        prepared = ad.prepare(ad.gradient, rosenbrock, adtype, X)
        equal(prepared(2 * X), ad.gradient(rosenbrock, adtype, 2 * X))
        with pytest.raises(ad.ADSelectError, match="replay"):
            ad.source(prepared)


# -- traps -----------------------------------------------------------------------------------------------------------


def test_branches_are_guards():
    calls = []

    def f(x):
        calls.append(1)
        return np.sum(x**2) if np.sum(x) > 0 else np.sum(3 * x)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), np.ones(2), check="never")
    for sign in (1.0, -1.0, 2.0, -2.0):
        x = sign * np.ones(2)
        equal(prepared(x)[0], 2 * x if sign > 0 else np.full(2, 3.0))
    seen = len(calls)
    prepared(np.ones(2))
    prepared(-np.ones(2))
    assert len(calls) == seen  # both branches are known by now


def test_many_branches_end_in_eager():
    def f(x):
        n = int(np.floor(x[0]).astype(int))
        return np.sum(x) * n

    def run():
        prepared = ad.prepare(ad.gradient, f, AutoTape(), np.array([1.5, 2.0]), check="never")
        return [prepared(np.array([k + 0.5, 1.0]))[0] for k in range(8)]

    with pytest.warns(ad.NotReplayedWarning):
        results = run()
    for k, result in enumerate(results):
        equal(result, np.full(2, float(k)))


def test_a_rebound_attribute_is_noticed():
    state = SimpleNamespace(k=1.0)
    prepared = ad.prepare(ad.gradient, lambda x: np.sum(x**2) * state.k, AutoTape(), X)
    prepared(X)
    state.k = 10.0
    with pytest.raises(ValueError, match="rebound"):
        prepared(X)


def test_random_numbers_are_noticed():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="random"):
        ad.prepare(ad.gradient, lambda x: np.sum(x * rng.normal(size=6)), AutoTape(), X)


def test_new_contents_of_captured_arrays_are_seen():
    w = np.ones(6)
    prepared = ad.prepare(ad.gradient, lambda x: np.sum(w * x), AutoTape(), X, check="always")
    w[:] = 3.0
    equal(prepared(X)[0], np.full(6, 3.0))


def test_a_constant_derived_from_a_captured_array_is_made_anew():
    w = np.ones(6)
    prepared = ad.prepare(ad.gradient, lambda x: np.sum(np.sum(w) * x), AutoTape(), X, check="always")
    w[:] = 3.0
    equal(prepared(X)[0], np.full(6, 18.0))


def test_scalar_division_by_zero_and_powers_follow_numpy():
    with np.errstate(all="ignore"):
        prepared = ad.prepare(ad.gradient, lambda x: 1.0 / x, AutoTape(), 2.0)
        assert prepared(0.0) == (-np.inf,)
        prepared = ad.prepare(ad.gradient, lambda x: x**0.5, AutoTape(), 2.0)
        assert np.isnan(prepared(-1.0)[0])
        prepared = ad.prepare(ad.gradient, lambda x: np.log(x), AutoTape(), 2.0)
        assert np.isnan(prepared(-1.0)[0]) or prepared(-1.0)[0] == -1.0
        prepared = ad.prepare(ad.gradient, lambda x: np.exp(x), AutoTape(), 2.0)
        assert prepared(1000.0) == (np.inf,)


def test_strong_zeros_hold_in_a_replay():
    prepared = ad.prepare(
        ad.gradient, lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0)), AutoTape(), np.ones(2)
    )
    with np.errstate(all="ignore"):
        equal(prepared(np.array([4.0, 0.0]))[0], np.array([0.25, 0.0]))


def test_float32_stays():
    x = X.astype(np.float32)
    prepared = ad.prepare(ad.withgradient, rosenbrock, AutoTape(), x)
    result = prepared(2 * x)
    assert result.grad[0].dtype == np.float32
    assert np.asarray(result.val).dtype == np.float32
    np.testing.assert_allclose(result.grad[0], ad.gradient(rosenbrock, 2 * x)[0], rtol=1e-5)


def test_results_never_alias_a_buffer():
    prepared = ad.prepare(ad.gradient, lambda x, y: np.sum((x + y) ** 2), AutoTape(), X, X, check="never")
    first = prepared(X, X)
    kept = [g.copy() for g in first]
    prepared(2 * X, X)
    equal(tuple(first), tuple(kept))
    first[0][:] = 0.0
    equal(first[1], kept[1])
    constant = ad.prepare(ad.gradient, lambda x: np.sum(x * np.arange(6.0)), AutoTape(), X, check="never")
    g = constant(X)[0]
    g[:] = 7.0
    equal(constant(X)[0], np.arange(6.0))


def test_the_same_array_twice_and_other_layouts():
    prepared = ad.prepare(ad.gradient, lambda x, y: np.sum(x * y**2), AutoTape(), X, X)
    equal(prepared(X, X), ad.gradient(lambda x, y: np.sum(x * y**2), X, X))
    matrix = RNG.normal(size=(3, 4))
    prepared = ad.prepare(ad.gradient, lambda m: np.sum(np.sin(m) * m[0]), AutoTape(), matrix)
    for m in (np.asfortranarray(matrix), RNG.normal(size=(6, 8))[::2, ::2], matrix[::-1]):
        equal(prepared(m)[0], ad.gradient(lambda m: np.sum(np.sin(m) * m[0]), m)[0])


def test_inputs_are_untouched():
    x = X.copy()
    x.flags.writeable = False
    prepared = ad.prepare(ad.gradient, rosenbrock, AutoTape(), x)
    prepared(x)
    prepared(x)
    equal(x, X)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_unusual_shapes(shape):
    x = np.full(shape, 2.0)
    prepared = ad.prepare(ad.gradient, lambda x: np.sum(x**3), AutoTape(), x)
    equal(prepared(x)[0], ad.gradient(lambda x: np.sum(x**3), x)[0])


def test_threads_share_one_prepared_operator():
    prepared = ad.prepare(ad.gradient, rosenbrock, AutoTape(), X, check="never")
    inputs = [RNG.normal(size=6) for _ in range(8)]
    wanted = [ad.gradient(rosenbrock, x)[0] for x in inputs]
    wrong = []

    def work(k):
        for _ in range(200):
            if not np.allclose(prepared(inputs[k])[0], wanted[k], rtol=1e-10):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_f_may_call_the_prepared_operator():
    inner = ad.prepare(ad.gradient, lambda x: np.sum(x**3), AutoTape(), X)

    def outer(x):
        return np.sum(inner(x)[0])  # traced arguments: the eager way, differentiable

    equal(ad.gradient(outer, X)[0], 6 * X)


# -- what is checked on each call --------------------------------------------------------------------------------------


def test_mismatches():
    prepared = ad.prepare(ad.gradient, rosenbrock, AutoTape(), X)
    with pytest.raises(ad.PreparationMismatchError, match=r"args\[0\] is float64 of shape \(3,\)"):
        prepared(np.ones(3))
    with pytest.raises(ad.PreparationMismatchError, match="float32"):
        prepared(X.astype(np.float32))
    with pytest.raises(ad.PreparationMismatchError):
        prepared([1.0, 2.0])
    converting = ad.prepare(ad.gradient, rosenbrock, AutoTape(), X, strict="convert")
    np.testing.assert_allclose(converting(X.astype(np.float32))[0], ad.gradient(rosenbrock, X)[0], rtol=1e-5)
    with pytest.raises(ad.PreparationMismatchError):
        converting(np.ones(3))
    again = ad.prepare(ad.gradient, rosenbrock, AutoTape(), X, strict="retrace")
    equal(again(np.ones(3))[0], ad.gradient(rosenbrock, np.ones(3))[0])
    equal(again(X)[0], ad.gradient(rosenbrock, X)[0])


def test_bad_options():
    with pytest.raises(ValueError, match="strict"):
        ad.prepare(ad.gradient, rosenbrock, X, strict="maybe")
    with pytest.raises(ValueError, match="check"):
        ad.prepare(ad.gradient, rosenbrock, X, check="daily")
    with pytest.raises(TypeError, match="prepare takes"):
        ad.prepare(rosenbrock, X)


def test_a_wrong_program_is_found(monkeypatch):
    """The comparison with eager can fail: a program that computes something else is reported."""
    prepared = ad.prepare(ad.gradient, rosenbrock, AutoTape(), X, check="always")
    variant = prepared._run.variants[0]  # private: nobody can have a wrong program otherwise
    right = variant.replay
    monkeypatch.setattr(variant, "run", lambda inputs: tuple(1.001 * np.asarray(v) for v in right(inputs)))
    with pytest.raises(ValueError, match="differs from the eager result"):
        prepared(X)


def test_long_programs_stay_eager(monkeypatch):
    from adselect.replay import prepared as room

    monkeypatch.setattr(room, "LIMIT", 5)
    with pytest.warns(ad.NotReplayedWarning, match="more than 5 operations"):
        prepared = ad.prepare(ad.gradient, rosenbrock, AutoTape(), X)
    with pytest.raises(ad.ADSelectError, match="more than 5 operations"):
        ad.source(prepared)
    equal(prepared(X), ad.gradient(rosenbrock, X))


# -- blocks and native code --------------------------------------------------------------------------------------------


def elementwise_chain(x):
    y = x
    for _ in range(3):
        y = np.sin(y) * 1.1 + 0.3
        y = y * y / (1.0 + y)
    return np.sum(y) + np.sum(np.maximum(x, 0.5) * y)


@pytest.mark.parametrize("shape", [(131_072,), (200_001,), (700, 301)])
def test_blocked_groups_equal_eager(shape):
    x = np.random.default_rng(0).uniform(0.4, 1.0, size=shape)
    prepared = ad.prepare(ad.withgradient, elementwise_chain, AutoTape(), x, check="never")
    assert "a block that fits the cache" in ad.source(prepared)
    for factor in (1.0, 1.1):
        got, want = prepared(factor * x), ad.withgradient(elementwise_chain, factor * x)
        np.testing.assert_allclose(got.val, want.val, rtol=1e-12)
        np.testing.assert_allclose(got.grad[0], want.grad[0], rtol=1e-12)


def test_blocked_rosenbrock_equals_eager():
    x = np.random.default_rng(0).normal(size=150_001)
    prepared = ad.prepare(ad.gradient, rosenbrock, AutoTape(), x, check="never")
    np.testing.assert_allclose(prepared(2 * x)[0], ad.gradient(rosenbrock, 2 * x)[0], rtol=1e-10, atol=1e-8)


def oscillator(a, b):
    x, v, h = 1.0 * a, 0.0 * a, 0.05
    for _ in range(20):
        x, v = x + h * v, v - h * (a * x + b * np.sin(v))
    return x * x + np.exp(-v * v) / a


def test_native_scalar_programs():
    pytest.importorskip("numba")
    native = ad.prepare(ad.withgradient, oscillator, AutoTape(native=True), 1.3, 0.2)
    assert not native.reason
    assert "not compiled" not in repr(native)
    for a, b in ((1.3, 0.2), (0.7, 0.5)):
        got, want = native(a, b), ad.withgradient(oscillator, a, b)
        assert got.val == pytest.approx(want.val, rel=1e-12)
        assert got.grad == pytest.approx(want.grad, rel=1e-11)


def test_native_without_numba_says_what_to_type(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "adselect\[numba\]"'):
        ad.prepare(ad.gradient, oscillator, AutoTape(native=True), 1.3, 0.2)


# -- primitives: a rule is a step of the program -----------------------------------------------------------------------


def counted_primitive(host):
    calls = []

    @ad.primitive(host=host)
    def pair(x, y, power=2):
        calls.append("function")
        return {"product": x * y, "sum": np.sum(x) ** power}

    @ad.define_rrule(pair)
    def pair_rrule(x, y, power=2):
        calls.append("rule")
        assert type(x) is np.ndarray

        def pair_pullback(bar):
            calls.append("pullback")
            x_bar = bar["product"] * y + power * np.sum(x) ** (power - 1) * bar["sum"]
            return ad.NoTangent(), x_bar, bar["product"] * x

        return {"product": x * y, "sum": np.sum(x) ** power}, pair_pullback

    return pair, calls


@pytest.mark.parametrize("host", [False, True])
def test_a_primitive_is_a_step(host):
    pair, calls = counted_primitive(host)

    def f(x, y):
        result = pair(np.sin(x), y)
        return np.sum(np.cos(result["product"])) * result["sum"]

    prepared = ad.prepare(ad.withgradient, f, AutoTape(), X, X + 1, check="never")
    assert "pair_rrule(" in ad.source(prepared)
    assert "pair_pullback(" in ad.source(prepared)
    calls.clear()
    for x in (X, 2 * X):
        got, want = prepared(x, X), ad.withgradient(f, x, X)
        equal(got.grad, want.grad)
        equal(got.val, want.val)
    assert calls == ["rule", "pullback"] * 4  # once per gradient, replayed or not


def test_a_rule_keeps_its_arguments():
    """A pullback may hold on to what its rule was given, and give back what it was given: no buffer leaks into it."""
    scaled = ad.primitive(lambda x: 2.0 * x)
    kept = []

    @ad.define_rrule(scaled)
    def scaled_rrule(x):
        kept.append(x)
        return x, lambda bar: (ad.NoTangent(), bar)

    def f(x):
        y = scaled(np.sin(x) + 1.0)
        return np.sum(np.exp(np.cos(x)) * y * y)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    kept.clear()
    first = prepared(X)[0]
    second = prepared(3 * X)[0]
    equal(kept[0], np.sin(X) + 1.0)
    equal(first, ad.gradient(f, X)[0])
    equal(second, ad.gradient(f, 3 * X)[0])


def test_primitives_without_a_derivative_and_with_numbers():
    rounded = ad.primitive(np.round, host=True)
    ad.non_differentiable(rounded)
    prepared = ad.prepare(ad.gradient, lambda x: np.sum(rounded(2 * x) * x), AutoTape(), X)
    equal(prepared(3 * X)[0], np.round(6 * X))
    cube = ad.primitive(lambda t: t**3)
    ad.scalar_rule(cube, lambda y, t: (3 * t**2,))
    f = lambda t: np.sin(cube(t))
    prepared = ad.prepare(ad.gradient, f, AutoTape(), 0.5)
    assert "_rrule(" in ad.source(prepared)
    equal(prepared(0.7)[0], ad.gradient(f, 0.7)[0])
    with pytest.warns(ad.NotReplayedWarning, match="forward mode"):  # asks the rule eagerly
        prepared = ad.prepare(ad.derivative, f, AutoTape(), 0.5)
    equal(prepared(0.7), ad.derivative(f, 0.7))


def test_a_rule_that_changes_its_result_is_asked_eagerly():
    part = ad.primitive(lambda x: x[x > 0])

    @ad.define_rrule(part)
    def part_rrule(x):
        chosen = x > 0

        def part_pullback(bar):
            x_bar = np.zeros_like(x)
            x_bar[chosen] = bar
            return ad.NoTangent(), x_bar

        return x[chosen], part_pullback

    f = lambda x: np.sum(part(x) ** 2)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    for x in (X, -X, np.abs(X) + 1):
        equal(prepared(x)[0], np.where(x > 0, 2 * x, 0.0))


def test_second_order_through_a_rule_stays_eager():
    cube = ad.primitive(lambda x: x**3)
    ad.define_rrule(cube)(lambda x: (cube(x), lambda bar: (ad.NoTangent(), 3 * x**2 * bar)))
    f = lambda x: np.sum(cube(x))
    with pytest.warns(ad.NotReplayedWarning, match="differentiated itself"):
        prepared = ad.prepare(ad.hessian, f, AutoTape(), X)
    np.testing.assert_allclose(prepared(2 * X), np.diag(12 * X), rtol=1e-12)


@pytest.mark.parametrize("f", [lambda x: np.sum(np.sqrt(x)), lambda x: np.sum(np.cbrt(x)), lambda x: np.sum(x**0.5)])
def test_slopes_that_are_infinite_come_without_a_warning(f):
    """As from the eager tape: only f itself warns."""
    prepared = ad.prepare(ad.gradient, f, AutoTape(), np.ones(3), check="never")
    np.testing.assert_array_equal(prepared(np.zeros(3))[0], [np.inf] * 3)


def test_f_itself_still_warns():
    prepared = ad.prepare(ad.gradient, lambda x: np.sum(np.log(x)), AutoTape(), np.ones(3), check="never")
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        prepared(np.zeros(3))
