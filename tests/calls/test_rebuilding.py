"""A function made anew around other arrays changes nothing of the user's, and what f itself writes is written."""

from __future__ import annotations

import contextvars
import enum
import functools
import sys
import threading
import types
import weakref

import numpy as np
import pytest

import adselect as ad

TAPE = ad.AutoTape()
G = np.array([1.0, 2.0, 3.0])
COUNT = 0
LAST = None


def gradient(f, *arrays):
    return ad.gradient(f, TAPE, ad.Params(arrays))


def close(grad, wanted):
    np.testing.assert_allclose(grad, wanted, rtol=1e-6)


class Model:
    """Holds a parameter, a state beside it and a list."""

    def __init__(self):
        self.W, self.calls, self.mean, self.log = np.array([1.0, 2.0]), 0, np.zeros(2), []

    def loss(self):
        self.calls += 1
        self.log.append(self.calls)
        h = self.W * 3.0
        self.mean = 0.5 * self.mean + 0.5 * h
        return np.sum(h)


# -- what f writes -----------------------------------------------------------------------------------------------------


def test_state_beside_a_parameter(backend):
    """Finite differences call f many times, the last of them at the point itself."""
    m = Model()
    W, log = m.W, m.log
    close(ad.gradient(m.loss, backend.adtype, ad.Params([m.W]))[m.W], [3.0, 3.0])
    assert m.calls == len(m.log) >= 1
    assert (m.W is W, m.log is log, type(m.mean), type(m.calls)) == (True, True, np.ndarray, int)
    if backend.adtype == ad.AutoTape():
        assert m.calls == 1
        assert m.mean.tolist() == [1.5, 3.0]
        close(gradient(m.loss, m.W)[m.W], [3.0, 3.0])
        assert m.mean.tolist() == [2.25, 4.5]


def test_containers_that_hold_a_parameter():
    W = np.ones(2)
    d, items, both = {"W": W, "old": 1}, [W], {"seen", W.sum}

    def f():
        d["h"] = np.tanh(d["W"])
        del d["old"]
        items.append(5)
        items.append(items[0])
        both.discard("seen")
        both.add("new")
        return np.sum(d["h"])

    close(gradient(f, W)[W], 1 - np.tanh(1.0) ** 2)
    assert list(d) == ["W", "h"]
    assert d["W"] is W
    assert type(d["h"]) is np.ndarray
    assert items[1] == 5
    assert items[0] is items[2] is W
    assert "new" in both
    assert len(both) == 2
    items.append("last")
    gradient(lambda: items.remove("last") or items.insert(0, "first") or np.sum(items[1]), W)
    assert items[0] == "first"
    assert items[1] is W
    assert len(items) == 4


def test_globals(backend):
    def bump():
        global COUNT
        COUNT += 1
        return COUNT

    def f():
        global COUNT, LAST
        COUNT += 1
        assert bump() == COUNT
        assert sys.modules[__name__] is not None
        LAST = G * 2.0
        return np.sum(LAST) * (1.0 + 0.0 * COUNT)

    before = COUNT
    close(ad.gradient(f, backend.adtype, ad.Params([G]))[G], 2.0)
    assert before < COUNT
    assert (COUNT - before) % 2 == 0
    assert type(LAST) is np.ndarray


def test_variables_of_closures():
    W, n, last = np.ones(2), 0, None

    def f():
        nonlocal n, last
        n += 1
        last = W * 2.0
        return np.sum(last**2)

    close(gradient(f, W)[W], 8.0)
    assert n == 1
    assert type(last) is np.ndarray


def test_a_variable_bound_anew_is_bound_anew():
    W = first = np.ones(2)

    def f():
        nonlocal W
        W = W * 2.0
        return np.sum(W)

    close(gradient(f, W)[first], 2.0)
    assert W.tolist() == [2.0, 2.0]
    assert type(W) is np.ndarray
    with pytest.raises(ValueError, match="bound anew"):
        gradient(f, first)


def test_attributes_of_functions_and_classes():
    class M:
        W, n = np.ones(2), 0

        def go(self):
            M.n += 1
            step.calls += 1
            return np.sum(self.W)

    def step():
        return M().go()

    step.calls = 0
    close(gradient(lambda: step(), M.W)[M.W], 1.0)
    assert (M.n, step.calls) == (1, 1)


def test_a_module_and_its_functions_see_the_same_globals():
    module = types.ModuleType("a_module")
    source = (
        "import numpy as np\nW = np.ones(2)\nn = 0\ndef loss():\n    global n\n    n += 1\n    return np.sum(W) * k()\n"
    )
    exec(source + "def k():\n    return n * scale\nscale = 1", vars(module))

    def f():
        module.scale = 5
        y = module.loss() * module.n
        module.extra = "new"
        return y

    close(gradient(f, module.W)[module.W], 5.0)
    assert (module.n, module.scale, module.extra) == (1, 5, "new")
    close(gradient(f, module.W)[module.W], 20.0)  # k and module.n are both 2 now


def test_what_f_stores_elsewhere_is_the_users_own():
    registry, cache, seen = [], {}, set()

    class Layer:
        def __init__(self):
            self.W = np.ones(2)

        def __call__(self):
            registry.append({"who": self, "W": self.W, "value": self.W * 3})
            cache[self] = self.W * 2
            seen.add(self)
            self.last, self.nested = (self, [self.W]), {"a": [self]}
            return np.sum(cache[self])

    layer = Layer()
    for _ in range(2):
        close(gradient(lambda: layer(), layer.W)[layer.W], 2.0)
        assert (list(cache), seen, layer.last[0], layer.nested["a"][0]) == ([layer], {layer}, layer, layer)
        assert layer.last[1][0] is layer.W is registry[-1]["W"]
        assert registry[-1]["who"] is layer
        assert type(cache[layer]) is type(registry[-1]["value"]) is np.ndarray


def test_an_exception_leaves_nothing_behind():
    W, log = np.ones(2), []
    d = {"W": W}

    def f():
        log.append(1)
        d["x"] = d["W"] * 2.0
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gradient(f, W)
    assert log == [1]
    assert d["W"] is W
    assert type(d["x"]) is np.ndarray  # as after a plain call
    assert d["x"].tolist() == [2.0, 2.0]


def test_writing_into_a_parameter_is_refused(backend):
    W = np.ones(2)
    row = W[:1]

    def whole():
        nonlocal W
        W *= 2.0
        return np.sum(W)

    def one():
        W[0] = 3.0
        return np.sum(W)

    def through_a_view():
        row[0] = 3.0
        return np.sum(W)

    for f in (whole, one, through_a_view):
        with pytest.raises(ad.UnsupportedError, match=r"f writes into Params\[0\] .* W = W.copy\(\)"):
            ad.gradient(f, backend.adtype, ad.Params([W]))
        assert W.tolist() == [1.0, 1.0]

    def copied():
        v = W.copy()
        v *= 2.0
        return np.sum(v)

    close(ad.gradient(copied, backend.adtype, ad.Params([W]))[W], 2.0)


# -- nothing is changed ------------------------------------------------------------------------------------------------


def test_functions_and_classes_stay_what_they_are():
    class Meta(type):
        made = []  # noqa: RUF012

        def __init__(cls, *args):
            Meta.made.append(cls)
            super().__init__(*args)

    class Base(metaclass=Meta):
        def value(self):
            return np.sum(G)

    class Derived(Base):
        def value(self):
            assert type(self) is Derived
            assert isinstance(self, Base)
            assert isinstance(Derived(), Derived)
            return super().value() + Base.value(self)

    d = Derived()
    function, cells = Derived.value, Derived.value.__closure__
    close(gradient(lambda: d.value(), G)[G], 2.0)
    assert Derived.value is function
    assert function.__closure__ is cells
    assert Meta.made == [Base, Derived]
    assert (Derived.__subclasses__(), Base.__subclasses__(), Derived.__mro__) == (
        [],
        [Derived],
        (Derived, Base, object),
    )
    assert type(d) is Derived


def test_another_thread_sees_plain_arrays():
    m, seen, go, done = Model(), [], threading.Event(), threading.Event()

    def look():
        go.wait(10)
        seen.append((type(m.W), m.loss.__func__.__globals__["G"] is G, float(Model.loss(m))))
        done.set()

    thread = threading.Thread(target=look)
    thread.start()

    def f():
        go.set()
        assert done.wait(10)
        return np.sum(m.W * G[:2])

    close(gradient(f, m.W)[m.W], G[:2])
    thread.join()
    assert seen == [(np.ndarray, True, 9.0)]


# -- what cannot be made anew ------------------------------------------------------------------------------------------


def _of_generator(W):
    held = (w for w in [W])
    return lambda: sum(np.sum(w) for w in held)


def _of_iterator(W):
    held = iter([W])
    return lambda: np.sum(next(held))


def _of_weak_reference(W):
    m = Model()
    m.W = W
    held = weakref.ref(m)
    f = lambda: np.sum(held().W)
    f.keep = lambda: None
    _KEPT.append(m)
    return f


def _of_weak_proxy(W):
    m = Model()
    m.W = W
    held = weakref.proxy(m)
    _KEPT.append(m)
    return lambda: np.sum(held.W)


def _of_context_variable(W):
    held = contextvars.ContextVar("held")
    held.set(W)
    return lambda: np.sum(held.get())


def _of_memory(W):
    held = memoryview(W)
    return lambda: np.sum(np.asarray(held))


def _of_vectorize(W):
    held = np.vectorize(lambda k: W[k])
    return lambda: np.sum(held([0, 1]))


def _of_thread_local(W):
    held = threading.local()
    held.W = W
    return lambda: np.sum(held.W)


def _of_primitive(W):
    held = ad.primitive(lambda x: np.sum(W) * x)
    return lambda: held(2.0)


def _of_enumeration(W):
    class E(enum.Enum):
        A = 1

        def total(self):
            return np.sum(W)

    return lambda: E.A.total()


def _of_diagonal(W):
    held = np.lib.stride_tricks.as_strided(W, (2,), (0,))
    return lambda: np.sum(held)


_KEPT: list = []
SEALED = [value for name, value in sorted(globals().items()) if name.startswith("_of_")]


@pytest.mark.parametrize("make", SEALED, ids=lambda make: make.__name__.removeprefix("_of_"))
def test_it_is_an_error_where_it_is_the_only_way(make):
    W = np.array([1.0, 2.0])
    with pytest.raises(
        ad.UnsupportedError, match=r"f reaches Params\[0\] .* through f → .*the derivative would be lost"
    ):
        gradient(make(W), W)


@pytest.mark.parametrize("make", SEALED, ids=lambda make: make.__name__.removeprefix("_of_"))
def test_it_is_an_error_at_the_line_that_uses_it(make):
    W = np.array([1.0, 2.0])
    inner = make(W)
    with pytest.raises(ad.UnsupportedError, match=r"through f → .*test_rebuilding\.py:"):
        gradient(lambda: np.sum(W) + inner(), W)
    close(gradient(lambda: np.sum(W) + (0.0 if W.size else inner()), W)[W], 1.0)  # not used: no error


def test_a_parameter_that_is_a_part_of_an_array():
    flat = np.arange(6.0)
    W, b = flat[:4].reshape(2, 2), flat[4:]
    m = types.SimpleNamespace(flat=flat, W=W, b=b)
    close(gradient(lambda: np.sum(m.W**2) + np.sum(m.b), W, b)[W], 2 * W)
    with pytest.raises(ad.UnsupportedError, match=r"f\.?.*m\.flat, an array of shape \(6,\) over the same memory"):
        gradient(lambda: np.sum(m.W**2) + np.sum(m.flat), W, b)


def test_logs_generators_and_locks_are_passed_on():
    import logging

    m = Model()
    m.logger, m.rng, m.lock = logging.getLogger("adselect tests"), np.random.default_rng(0), threading.Lock()

    def f():
        with m.lock:
            m.logger.debug("W is %s", m.W)
        return np.sum(m.W) * m.rng.normal()

    wanted = np.random.default_rng(0).normal()
    close(gradient(f, m.W)[m.W], wanted)


def test_a_dispatcher_keeps_nothing():
    """It caches the function that it has found, which is the user's own afterwards."""
    W = np.ones(2)

    @functools.singledispatch
    def scaled(x):
        return np.sum(W) * x

    for adtype in (TAPE, ad.AutoForward(), TAPE):
        close(ad.gradient(lambda: scaled(2), adtype, ad.Params([W]))[W], 2.0)
    W *= 2.0
    assert scaled(2) == 8.0
    assert type(scaled(2)) is np.float64


def test_a_function_of_compiled_code_around_one_of_python():
    W = np.array([1.0, 2.0])
    held = np.frompyfunc(lambda x: x * W[0], 1, 1)
    with pytest.raises(ad.UnsupportedError, match=r"numpy\.ufunc"):
        gradient(lambda: np.sum(W) + held(3.0), W)


def test_a_tensor_over_the_same_memory():
    torch = pytest.importorskip("torch")
    W = np.ones(2)
    alias, other = torch.from_numpy(W), torch.ones(2)
    with pytest.raises(ad.UnsupportedError, match="a Tensor over the same memory"):
        gradient(lambda: np.sum(W) + float(alias[0]), W)
    close(gradient(lambda: np.sum(W) * float(other[0]), W)[W], 1.0)
