"""Duplicated: a model with memory for its gradient. How gradient fills it: tests/operators/test_duplicating.py."""

from __future__ import annotations

import copy
import pickle
from collections import namedtuple
from fractions import Fraction

import numpy as np
import pytest

import adselect as ad
from adselect import Cache, Const, Duplicated
from adselect.errors import ADSelectTypeError, ADSelectValueError

Pair = namedtuple("Pair", "a b")


class Dense:
    def __init__(self, weight, bias):
        self.W, self.b, self.name = weight, bias, "dense"

    def __call__(self, x):
        return self.W @ x + self.b


class Chain:
    def __init__(self, *layers):
        self.layers = layers

    def __call__(self, x):
        for layer in self.layers:
            x = np.tanh(layer(x))
        return x


def chain():
    return Chain(Dense(np.full((2, 3), 0.5), np.zeros(2)), Dense(np.full((1, 2), 0.25), np.ones(1)))


def test_the_memory_has_the_structure_of_the_gradient():
    model = chain()
    d = Duplicated(model)
    assert d.value is model
    (g,) = ad.gradient(lambda m: np.sum(m(np.ones(3))), model)
    assert type(d.grad) is type(g)
    assert d.grad.layers[0].W.shape == (2, 3)
    assert d.grad.layers[1].name is None
    assert d.norm() == 0.0
    assert d.grad is d.grad


def test_kinds_and_dtypes():
    value = {
        "single": np.ones(2, np.float32),
        "whole": np.array([1, 2]),
        "complex": np.ones(2, complex),
        "number": 2.0,
        "pair": Pair(np.ones(1), [np.float64(3.0), "text"]),
        "exact": Fraction(1, 2),
        "zero-d": np.array(1.0),
    }
    g = Duplicated(value).grad
    assert g["single"].dtype == np.float32
    assert g["whole"].dtype == np.float64
    assert g["complex"].dtype == np.complex128
    assert type(g["number"]) is float
    assert type(g["pair"]) is Pair
    assert type(g["pair"].b[0]) is np.float64
    assert g["pair"].b[1] is None
    assert isinstance(g["exact"], Fraction)
    assert g["zero-d"].shape == ()


def test_zero_and_norm():
    d = Duplicated({"a": np.ones(2), "b": 3.0})
    ad.gradient(lambda m: 3 * m["a"][0] + 4 * m["b"], d)
    assert d.norm() == 5.0
    array = d.grad["a"]
    d.zero()
    assert d.norm() == 0.0
    assert d.grad["a"] is array
    assert d.grad["b"] == 0.0


def test_text():
    d = Duplicated(chain())
    lines = repr(d).splitlines()
    assert lines[:3] == ["Duplicated(", "  Chain", "  .layers[0].W: float64[2, 3]"]
    assert lines[-2:] == ["  # norm(grad) = 0", ")  # 4 arrays, 11 parameters, 88 bytes"]
    many = repr(Duplicated([np.ones(1000, np.float32)] * 40))
    assert "… and 28 more" in many
    assert "40_000 parameters, 156.2 KiB" in many
    assert repr(Duplicated(np.ones((2, 3)))).endswith("1 array, 6 parameters, 48 bytes")
    assert repr(Cache(1.0)) == "Cache(1.0)"


def test_copies_and_pickles_have_memory_of_their_own():
    d = Duplicated({"a": np.ones(2), "b": 3.0})
    ad.gradient(lambda m: 3 * m["a"][0] + 4 * m["b"], d)
    for other in (copy.copy(d), copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert repr(other) == repr(d)
        np.testing.assert_array_equal(other.grad["a"], [3.0, 0.0])
        assert not np.shares_memory(other.grad["a"], d.grad["a"])
        other.zero()
        assert d.norm() == 5.0
    assert copy.copy(d).value is d.value
    assert copy.deepcopy(d).value is not d.value


def test_mistakes():
    for value in ("text", None, {}, [True], np.sum):
        with pytest.raises(ADSelectTypeError, match=r"holds no numbers.*test_duplicated.py"):
            Duplicated(value)
    for value in (Const(1.0), Duplicated(1.0), Cache(np.ones(2))):
        with pytest.raises(ADSelectTypeError, match="goes around a model"):
            Duplicated(value)
    with pytest.raises(ADSelectTypeError, match=r"args\[0\]\['a'\] is a Duplicated, which goes around a whole"):
        ad.gradient(lambda m: 1.0, {"a": Duplicated(1.0)})
    with pytest.raises(ADSelectTypeError, match="outer derivative"):
        ad.gradient(lambda x: ad.gradient(np.sum, Duplicated(x))[0][0], np.ones(2))


def test_a_model_that_has_changed():
    model = {"a": np.ones(2), "b": 3.0}
    d = Duplicated(model)
    loss = lambda m: np.sum(m["a"]) * m["b"]
    model["a"] = np.full(2, 5.0)  # other numbers are no other model
    assert ad.gradient(loss, d)[0]["b"] == 10.0
    model["a"] = np.ones(3)
    with pytest.raises(ADSelectValueError, match=r"the model\['a'\] is not what it was.*shape \(3,\).*it was ndarray"):
        ad.gradient(loss, d)
    model["a"] = np.ones(2, np.float32)
    with pytest.raises(ADSelectValueError, match="float32"):
        ad.gradient(loss, d)
    del model["a"]
    with pytest.raises(ADSelectValueError, match="it is not there"):
        ad.gradient(loss, d)
