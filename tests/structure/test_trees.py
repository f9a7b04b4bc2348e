"""Objects that JAX takes apart itself: their gradient, on every backend, is an object of the same class."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import adselect as ad

jax = pytest.importorskip("jax")


@functools.partial(jax.tree_util.register_dataclass, data_fields=["W", "inner"], meta_fields=["name"])
@dataclass(frozen=True)
class Layer:
    W: Any
    inner: Any
    name: str = "layer"

    def __call__(self, x):
        return np.sum((self.W * x) ** 2) * (2.0 if self.name == "twice" else 1.0) + np.sum(self.inner["b"])


@jax.tree_util.register_pytree_node_class
class Pair:
    """A class with a flattening of its own, which does not follow its attributes."""

    def __init__(self, a, b):
        self.hidden = (a, b)

    def tree_flatten(self):
        return self.hidden, None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def layer(name="layer"):
    return Layer(np.array([1.0, 2.0]), {"b": np.ones(3)}, name)


def test_the_gradient_is_of_the_class(backend):
    f = lambda m, x: m(x)
    for call in (
        lambda m, x: ad.gradient(f, backend.adtype, m, ad.Const(x)),
        ad.prepare(ad.gradient, f, backend.adtype, layer(), ad.Const(np.ones(2))),
    ):
        for _ in range(2):
            g, none = call(layer(), np.ones(2))
            assert none is None
            assert type(g) is Layer
            assert g.name == "layer"
            np.testing.assert_allclose(g.W, [2.0, 4.0], rtol=1e-7)
            np.testing.assert_allclose(g.inner["b"], 1.0, rtol=1e-7)


def test_a_setting_is_part_of_what_is_prepared(exact_backend):
    ready = ad.prepare(ad.gradient, lambda m: m(1.0), exact_backend.adtype, layer(), strict="retrace")
    for name, times in (("layer", 1.0), ("twice", 2.0), ("layer", 1.0)):
        np.testing.assert_allclose(ready(layer(name))[0].W, times * np.array([2.0, 4.0]))


def test_a_flattening_of_ones_own(exact_backend):
    f = lambda p: np.sum(p.hidden[0] ** 2) * p.hidden[1]
    (g,) = ad.gradient(f, exact_backend.adtype, Pair(np.ones(2), 3.0))
    assert type(g) is Pair
    np.testing.assert_allclose(g.hidden[0], 6.0)
    assert g.hidden[1] == 2.0
    with pytest.raises(ad.ADSelectError, match=r"args\[0\]\[<flat index 0>\]"):
        ad.gradient(lambda p: p.hidden[1], Pair(np.ones(2), 3.0), missing="error")


def test_tangents_of_them(exact_backend):
    f = lambda m: m(1.0)
    for tangent in (Layer(np.ones(2), {"b": np.zeros(3)}), {"W": np.ones(2)}, ad.Tangent(Layer, W=np.ones(2))):
        np.testing.assert_allclose(ad.pushforward(f, exact_backend.adtype, (layer(),), (tangent,))[1], 6.0)
        np.testing.assert_allclose(ad.hvp(f, exact_backend.adtype, layer(), tangent).W, 2.0)
    with pytest.raises(ad.ADSelectError):
        ad.pushforward(f, exact_backend.adtype, (layer(),), ({"V": np.ones(2)},))


def test_what_is_reached_twice_has_one_gradient(exact_backend):
    one = layer()
    (g,) = ad.gradient(lambda m: m[0](1.0) + m[1](1.0), exact_backend.adtype, [one, one])
    assert g[0] is g[1]
    np.testing.assert_allclose(g[0].W, [4.0, 8.0])


def test_optax_takes_it_as_it_is():
    optax = pytest.importorskip("optax")
    model = layer()
    optimiser = optax.sgd(0.1)
    state = optimiser.init(model)
    (g,) = ad.gradient(lambda m: m(1.0), model)
    updates, state = optimiser.update(g, state, model)
    new = optax.apply_updates(model, updates)
    assert type(new) is Layer
    np.testing.assert_allclose(new.W, [0.8, 1.6], rtol=1e-6)
    new = ad.update(ad.setup(optax.sgd(0.1), model), model, g)
    assert new is model
    np.testing.assert_allclose(new.W, [0.8, 1.6], rtol=1e-12)


def test_duplicated():
    d = ad.Duplicated(layer())
    (g,) = ad.gradient(lambda m: m(1.0), d)
    assert type(g) is Layer
    assert g is d.grad
