"""New bindings of what f captures are told by name; f's own counters and buffers do no harm."""

from __future__ import annotations

import collections
import contextlib
import copy
import functools
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import adselect as ad
from adselect import AutoJax, AutoTape

# Right answers count here, replayed or not; what is not replayed has its own tests.
pytestmark = pytest.mark.filterwarnings("ignore::adselect.NotReplayedWarning")

X = np.array([1.0, 2.0, 3.0, 4.5])
A = np.array([1.0, 2.0, 3.0, 4.0])
EAGER = AutoTape(replay=False)


def same(got, want):
    np.testing.assert_allclose(np.asarray(got[0], float), np.asarray(want[0], float), rtol=1e-10, atol=1e-12)


# -- names -------------------------------------------------------------------------------------------------------------

FACTOR = 2.0


def through_a_global(x):
    return np.sum(x**2) * FACTOR


def helper(v):
    return v * FACTOR


def through_a_helper(x):
    return np.sum(helper(x))


SETTINGS = SimpleNamespace(k=2.0)


def with_a_default(x, settings=SETTINGS):
    return np.sum(x) * settings.k


class Model:
    gain = 2.0

    def __init__(self):
        self.training = True
        self.inner = SimpleNamespace(rate=0.5, names=["a"])
        self.w = np.ones(4)

    def __call__(self, x):
        return np.sum(self.w * x) * (self.inner.rate if self.training else 5.0) * self.gain * len(self.inner.names)

    loss = __call__


def rebindings():
    def closure():
        k = 2.0

        def f(x):
            return np.sum(x) * k

        def rebind():
            nonlocal k
            k = 3.0

        return f, rebind

    def captured(change):
        def both():
            container = {"lr": 1.0}
            return lambda x: np.sum(x) * sum(container.values(), 0.0), lambda: change(container)

        return both

    def of(make, change):
        def both():
            m = Model()
            return make(m), lambda: change(m)

        return both

    return {
        "closure": (closure, "k was rebound"),
        "dict": (captured(lambda d: d.update(lr=2.0)), "container"),
        "new key": (captured(lambda d: d.update(more=2.0)), "more"),
        "attribute": (of(lambda m: lambda x: m(x), lambda m: setattr(m, "training", False)), "m.training was rebound"),
        "callable": (of(lambda m: m, lambda m: setattr(m, "training", False)), "Model.training was rebound"),
        "method": (of(lambda m: m.loss, lambda m: setattr(m, "training", False)), "self.training was rebound"),
        "nested": (of(lambda m: lambda x: m(x), lambda m: setattr(m.inner, "rate", 7.0)), "m.inner.rate was rebound"),
        "list": (of(lambda m: lambda x: m(x), lambda m: m.inner.names.append("b")), "names"),
        "array": (of(lambda m: lambda x: m(x), lambda m: setattr(m, "w", 2 * m.w)), "m.w was rebound"),
        "partial": (
            of(lambda m: functools.partial(Model.loss, m), lambda m: setattr(m, "training", False)),
            "training was rebound",
        ),
    }


REBINDINGS = rebindings()
CONTAINERS = {
    "list": ([1.0, 2.0], lambda c: c.__setitem__(0, 5.0), sum),
    "long list": ([1.0] * 100, lambda c: c.__setitem__(70, 5.0), sum),
    "long dict": (dict.fromkeys(range(100), 1.0), lambda c: c.update({70: 5.0}), lambda c: sum(c.values())),
    "set": ({1.0, 2.0}, lambda c: c.add(3.0), sum),
    "deque": (collections.deque([1.0]), lambda c: c.append(3.0), sum),
    "bytearray": (bytearray(b"a"), lambda c: c.__setitem__(0, 50), sum),
    "list of arrays": ([A.copy()], lambda c: c.__setitem__(0, 2 * A), lambda c: np.sum(c[0])),
    "arrays in a long list": ([A.copy()] * 100, lambda c: c.__setitem__(70, 2 * A), lambda c: np.sum(c)),
    "array of objects": (np.array([1.0, "a"], object), lambda c: c.__setitem__(0, 5.0), lambda c: c[0]),
    "array of str": (np.array(["a", "b"]), lambda c: c.__setitem__(0, "z"), lambda c: 2.0 if c[0] == "a" else 3.0),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name):
    container, change, read = CONTAINERS[name]
    container = copy.copy(container)
    f = lambda x: np.sum(x) * read(container)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    for _ in range(3):
        same(prepared(X), ad.gradient(f, X))
    assert ad.source(prepared)
    change(container)
    if name == "array of str":  # contents of an array are seen
        same(prepared(X), ad.gradient(f, X))
        return
    with pytest.raises(ValueError, match="rebound") if name != "array of objects" else contextlib.nullcontext():
        same(prepared(X), ad.gradient(f, X))


@pytest.mark.parametrize("check", ["never", "sometimes", "always"])
@pytest.mark.parametrize("name", REBINDINGS)
def test_a_new_binding_is_told_by_name(name, check):
    make, message = REBINDINGS[name]
    f, change = make()
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check=check)
    for _ in range(5):
        same(prepared(X), ad.gradient(f, X))
    change()
    for _ in range(2):
        with pytest.raises(ValueError, match="rebound") as error:
            prepared(X)
        assert message in str(error.value)


@pytest.mark.parametrize("f", [through_a_global, through_a_helper], ids=lambda f: f.__name__)
def test_a_global(f, monkeypatch):
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3.0)
    with pytest.raises(ValueError, match=r"FACTOR was rebound \(from 2\.0 to 3\.0\)"):
        prepared(X)


def test_a_default_and_a_class_attribute(monkeypatch):
    prepared = ad.prepare(ad.gradient, with_a_default, AutoTape(), X, check="never")
    monkeypatch.setattr(SETTINGS, "k", 3.0)
    with pytest.raises(ValueError, match="k was rebound"):
        prepared(X)
    model = Model()
    prepared = ad.prepare(ad.gradient, model, AutoTape(), X, check="never")
    monkeypatch.setattr(Model, "gain", 3.0)
    with pytest.raises(ValueError, match=r"Model\.gain was rebound"):
        prepared(X)


def test_keyword_arguments_are_captured():
    options = {"w": A.copy(), "flags": [True]}

    def f(x, w, flags):
        return np.sum(x * np.sum(w)) * (2 if flags[0] else 3)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never", **options)
    options["w"][:] = 5.0
    same(prepared(X), ad.gradient(f, X, **options))
    options["flags"][0] = False
    with pytest.raises(ValueError, match="flags"):
        prepared(X)


def test_a_binding_that_makes_no_difference_is_no_error():
    state = SimpleNamespace(k=2.0, unused="a")
    f = lambda x: np.sum(x) * state.k
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    state.unused = "b"
    same(prepared(X), (np.full(4, 2.0),))
    state.k = 4.0 / 2.0  # the same number, another object
    same(prepared(X), (np.full(4, 2.0),))
    assert ad.source(prepared)


def test_binding_back_and_forth():
    state = SimpleNamespace(k=2.0)
    f = lambda x: np.sum(x) * state.k
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    state.k = 3.0
    with pytest.raises(ValueError, match="rebound"):
        prepared(X)
    state.k = 2.0
    same(prepared(X), (np.full(4, 2.0),))


def test_jax_compiles_anew():
    pytest.importorskip("jax")
    state, w = SimpleNamespace(k=2.0), A.copy()
    f = lambda x: np.sum(x * w) * state.k
    prepared = ad.prepare(ad.gradient, f, AutoJax(), X)
    for change in (lambda: None, lambda: setattr(state, "k", 3.0), lambda: w.fill(2.0)):
        change()
        same(prepared(X), ad.gradient(f, X))


# -- what f changes itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", ["always", "sometimes", "never"])
def test_counters_and_histories_are_f_s_own(check):
    counts, history, rate = {"n": 0, "rate": 2.0}, [], [0]

    def f(x):
        counts["n"] += 1
        history.append(counts["n"])
        rate[0] += 1
        return np.sum(x**2) * counts["rate"]

    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check=check)
    for _ in range(9):
        same(prepared(X), (4 * X,))
    assert ad.source(prepared)
    counts["rate"] = 3.0  # beside the counter: still watched
    with pytest.raises(ValueError, match="rate"):
        prepared(X)


def refilled(buffer):
    def f(x):
        for i in range(4):
            buffer[i] = 2.0 if x[i] > 2 else 1.0
        return np.sum(buffer[:4] * x)

    return f


def marked(buffer):
    def f(x):
        buffer[:] = 0.0
        buffer[int(np.argmax(x))] = 1.0
        return np.sum(buffer[:4] * x**2)

    return f


def staged(buffer):
    def f(x):
        buffer[:] = 1.0
        y = buffer[:4] * x
        buffer[:] = 2.0
        return np.sum(buffer[:4] * y)

    return f


def sorted_into(buffer):
    def f(x):
        buffer[:4] = np.argsort(x)
        return np.sum(buffer[:4] * x)

    return f


@pytest.mark.parametrize("check", ["always", "sometimes", "never"])
@pytest.mark.parametrize("length", [4, 5000])
@pytest.mark.parametrize("make", [refilled, marked, staged, sorted_into], ids=lambda f: f.__name__)
def test_a_buffer_of_f_s_own(make, length, check):
    f = make(np.zeros(length))
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check=check)
    points = [X, X[::-1].copy(), X, np.array([5.0, 1.0, 1.0, 3.0]), X[::-1].copy(), X]
    wanted = [ad.gradient(make(np.zeros(length)), EAGER, x) for x in points]
    for _ in range(2):
        for x, want in zip(points, wanted, strict=True):
            same(prepared(x), want)


def test_a_buffer_that_carries_over_is_no_function():
    buffer = np.zeros(4)

    def f(x):
        buffer[:] = buffer + 1.0
        return np.sum(buffer * x)

    with pytest.raises(ValueError, match="different results for the same arguments"):
        ad.prepare(ad.gradient, f, AutoTape(), X)


def test_f_is_called_by_others_as_well():
    """A line search calls f itself: what that does to f's own buffers and counters is nothing to be told."""
    buffer, calls = np.zeros(4), [0]
    inner = refilled(buffer)

    def f(x):
        calls[0] += 1
        return inner(x)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    for k in range(12):
        f(X[::-1] if k % 2 else X + k)
        same(prepared(X), ad.gradient(refilled(np.zeros(4)), EAGER, X))
    assert ad.source(prepared)


def test_an_attribute_called_like_a_global(monkeypatch):
    """f reads p.FACTOR, which is not the global of that name."""
    f = lambda x, p: np.sum(x) * p.FACTOR
    p = SimpleNamespace(FACTOR=5.0)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, p, check="never")
    for k in range(7):
        monkeypatch.setattr(sys.modules[__name__], "FACTOR", float(k))
        same(prepared(X, p), (np.full(4, 5.0),))
    assert ad.source(prepared)


def test_a_cache_that_fills_once():
    cache = {}

    def f(x):
        if "w" not in cache:
            cache["w"] = np.arange(4.0)
        return np.sum(cache["w"] * x**2)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), X)
    for _ in range(4):
        same(prepared(X), (2 * np.arange(4.0) * X,))
    assert ad.source(prepared)


def test_threads_while_contents_change():
    w = np.ones(4)
    f = lambda x: np.sum(np.sum(w) * x)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="sometimes")
    failures = []

    def work():
        for _ in range(50):
            g = prepared(X)[0][0]
            if g not in (4.0, 8.0):
                failures.append(g)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    w[:] = 2.0
    for t in threads:
        t.join()
    assert not [g for g in failures if g not in (5.0, 6.0, 7.0)]  # the change itself, halfway through
    same(prepared(X), (np.full(4, 8.0),))
