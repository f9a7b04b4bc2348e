"""Where a prepared function finds what it captures: every place is watched, by the tape and by JAX."""

from __future__ import annotations

import contextvars
import os
import types
from typing import ClassVar

import numpy as np
import pytest
import settings_of_a_program as s
from settings_of_a_program import Model, helper

import adselect as ad
from adselect import AutoJax, AutoTape, Const
from adselect.errors import ADSelectValueError

pytestmark = pytest.mark.filterwarnings("ignore::adselect.NotReplayedWarning")

X = np.array([1.0, 2.0, 3.0, -1.0])
EAGER = AutoTape(replay=False)

switch = contextvars.ContextVar("switch", default=2.0)
memory = memoryview(bytearray(b"\x02\x03"))
nodes = [types.SimpleNamespace(v=1.0) for _ in range(100)]
numbers = [1.0] * 3000
arrays = [np.ones(4) for _ in range(80)]
big = np.arange(100_000.0)
LOCAL = 2.0


def imports(x):
    from settings_of_a_program import RATE

    return RATE * np.sum(x**2)


def imports_the_module(x):
    import settings_of_a_program

    return settings_of_a_program.helper(x)


def with_default(x, scale=2.0):
    return scale * np.sum(x**2)


def new_defaults():
    with_default.__defaults__ = (with_default.__defaults__[0] + 1.0,)


def count(name, owner=s):
    return lambda: setattr(owner, name, getattr(owner, name) + 1.0)


# f and what changes behind its back.
PLACES = {
    "a class attribute": (lambda x: Model.gain * np.sum(x**2), count("gain", Model)),
    "a class attribute through a module": (lambda x: s.Model.gain * np.sum(x**2), count("gain", Model)),
    "a class attribute of a new instance": (lambda x: Model().run(x), count("gain", Model)),
    "a class's dict": (lambda x: Model().run(x), lambda: Model.table.update(a=Model.table["a"] + 1)),
    "a class method": (lambda x: Model.make(x), count("gain", Model)),
    "a global of a static method": (lambda x: Model.still(x), count("RATE")),
    "a global of a property": (lambda x: Model().rate * np.sum(x**2), count("RATE")),
    "a global of a descriptor": (lambda x: Model().live * np.sum(x**2), count("RATE")),
    "a metaclass": (lambda x: Model.unit * np.sum(x**2), count("unit", s.Meta)),
    "a module's constant": (lambda x: s.RATE * np.sum(x**2), count("RATE")),
    "a module's object": (lambda x: s.model.run(x), count("RATE")),
    "an imported function": (lambda x: helper(x), count("RATE")),
    "an import in f": (imports, count("RATE")),
    "a module imported in f": (imports_the_module, count("RATE")),
    "getattr": (lambda x: getattr(s, "RATE") * np.sum(x**2), count("RATE")),  # noqa: B009
    "eval": (lambda x: eval("2 * LOCAL") * np.sum(x**2), lambda: globals().update(LOCAL=LOCAL + 1.0)),
    "globals": (lambda x: globals()["LOCAL"] * np.sum(x**2), lambda: globals().update(LOCAL=LOCAL + 1.0)),
    "defaults": (with_default, new_defaults),
    "a context variable": (lambda x: switch.get() * np.sum(x**2), lambda: switch.set(switch.get() + 1.0)),
    "an environment variable": (
        lambda x: float(os.environ.get("ADSELECT_RATE", "2")) * np.sum(x**2),
        lambda: os.environ.update(ADSELECT_RATE="7"),
    ),
    "one of many objects": (
        lambda x: sum([n.v for n in nodes]) * np.sum(x**2),
        lambda: setattr(nodes[90], "v", nodes[90].v + 1.0),
    ),
    "an entry of a long list": (lambda x: numbers[2000] * np.sum(x**2), lambda: numbers.__setitem__(2000, 5.0)),
}
# Contents of arrays, which both trace anew for.
CONTENTS = {
    "a memoryview": (lambda x: memory[0] * np.sum(x**2), lambda: memory.__setitem__(0, memory[0] + 1)),
    "one of many arrays": (lambda x: np.sum(sum([x * a for a in arrays]) ** 2), lambda: arrays[75].__imul__(2.0)),
    "an entry of an array": (lambda x: big[777] * np.sum(x**2), lambda: big.__setitem__(777, big[777] + 1.0)),
    "a part of an array": (lambda x: np.sum(big[776:780] * x**2), lambda: big.__setitem__(777, big[777] + 1.0)),
    "a sum of an array": (lambda x: np.sum(big) * np.sum(x**2), lambda: big.__setitem__(777, 1e9)),
}


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("ADSELECT_RATE", "2")


@pytest.mark.parametrize("place", PLACES)
def test_a_new_binding_is_an_error_that_names_it(place, environment):
    f, change = PLACES[place]
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    np.testing.assert_allclose(prepared(X)[0], ad.gradient(f, EAGER, X)[0])
    change()
    with pytest.raises(ADSelectValueError, match="was rebound"):
        prepared(X)


@pytest.mark.parametrize("place", CONTENTS)
def test_new_contents_are_seen(place):
    f, change = CONTENTS[place]
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    change()
    np.testing.assert_allclose(prepared(X)[0], ad.gradient(f, EAGER, X)[0])
    assert not prepared.reason


@pytest.mark.parametrize("place", [*PLACES, *CONTENTS])
def test_jax_compiles_anew(place, environment):
    pytest.importorskip("jax")
    f, change = (PLACES | CONTENTS)[place]
    prepared = ad.prepare(ad.gradient, f, AutoJax(), X)
    change()
    np.testing.assert_allclose(prepared(X)[0], ad.gradient(f, EAGER, X)[0])


def test_jax_sees_what_happens_to_a_cache_of_f():
    pytest.importorskip("jax")
    cache = {}

    def f(x):
        if "w" not in cache:
            cache["w"] = np.arange(4.0)
        return np.sum(cache["w"] * x**2)

    prepared = ad.prepare(ad.gradient, f, AutoJax(), X)
    for change in (lambda: cache["w"].__setitem__(1, 7.0), lambda: cache.update(w=np.ones(4))):
        change()
        np.testing.assert_allclose(prepared(X)[0], ad.gradient(f, EAGER, X)[0])


def test_a_counter_hides_nothing_beside_it():
    state = {"calls": 0, "history": [], "scale": 2.0, "best": None}

    def f(x):
        state["calls"] += 1
        state["history"].append(state["calls"])
        if state["calls"] > 20:
            state["best"] = 1.0
        return state["scale"] * np.sum(x**2)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    for _ in range(30):
        f(X)
        np.testing.assert_array_equal(prepared(X)[0], 4 * X)
    assert not prepared.reason
    state["scale"] = 3.0
    f(X)
    with pytest.raises(ADSelectValueError, match="scale"):
        prepared(X)


# -- the classes of arguments ------------------------------------------------------------------------------------------


def of_arguments(adtype, wrap):
    class Layer:
        bias = np.ones(4)
        table: ClassVar = {"a": 2.0}
        every: ClassVar = []

        def __init__(self):
            self.w = np.arange(4.0)
            self.every.append(self)

        def __call__(self, x):
            return np.sum(self.act(x * self.w + self.bias)) * self.table["a"]

        def act(self, v):
            return v**2

    layer = Layer()
    f = lambda x, layer: layer(x)
    prepared = ad.prepare(
        ad.gradient, f, adtype, X, wrap(layer), **({"check": "never"} if adtype == AutoTape() else {})
    )
    changes = (
        lambda: Layer.bias.__setitem__(0, 5.0),
        lambda: setattr(Layer, "bias", np.full(4, 3.0)),
        lambda: Layer.table.update(a=7.0),
        lambda: setattr(Layer, "act", lambda self, v: v**3),
    )
    for change in changes:
        change()
        np.testing.assert_allclose(prepared(X, layer)[0], ad.gradient(f, EAGER, X, wrap(layer))[0])


@pytest.mark.parametrize("wrap", [Const, lambda v: v], ids=["Const", "bare"])
def test_what_an_argument_finds_in_its_class(wrap):
    of_arguments(AutoTape(), wrap)


def test_what_an_argument_finds_in_its_class_under_jax():
    pytest.importorskip("jax")
    of_arguments(AutoJax(), Const)


@pytest.mark.parametrize("wrap", [Const, lambda v: v], ids=["Const", "bare"])
def test_a_global_of_an_arguments_method(wrap):
    f = lambda x, model: model.run(x)
    model = Model()
    model.w = np.ones(2)
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, wrap(model), check="never")
    prepared(X, model)
    count("RATE")()
    with pytest.raises(ADSelectValueError, match="RATE was rebound"):
        prepared(X, model)


def test_text_of_a_traced_value_ends_the_replay_with_a_reason():
    def f(x):
        _ = f"{x[0]!r} {x}"
        return np.sum(x**2)

    with pytest.warns(ad.NotReplayedWarning, match="turned a value into text"):
        prepared = ad.prepare(ad.gradient, f, ad.AutoTape(), np.ones(3))
    np.testing.assert_array_equal(prepared(2 * np.ones(3))[0], [4, 4, 4])
