"""Tangents: names they do not have, objects that lead back to themselves."""

from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest

import adselect as ad
from adselect import Tangent, ZeroTangent


class Layer:
    scale = 2.0

    def __init__(self, w):
        self.w, self.name, self.back, self.parts = w, "a layer", self, [self, w]
        setattr(self, "late", 1)  # noqa: B010 - as frameworks do

    def forward(self):
        self.seen = True

    @property
    def size(self):
        return 1


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a


def gradient_of_a_layer():
    return ad.gradient(lambda m: np.sum(m.w**2) * m.scale, Layer(np.ones(2)))[0]


def test_names_of_a_gradient():
    g = gradient_of_a_layer()
    assert g.w.tolist() == [4.0, 4.0]
    assert g.name is None
    assert g.scale is ZeroTangent()
    for name in ("W", "weight", "forward", "size", "_repr_html_", "shape", "seen_by"):
        with pytest.raises(AttributeError, match=rf"Tangent\[Layer\] has no field '{name}'; fields: w, name, back"):
            getattr(g, name)
        assert not hasattr(g, name)
    with pytest.raises(KeyError):
        g["weight"]


def test_names_of_a_tangent_made_by_hand():
    made = Tangent[Layer](w=1.0)
    for name in ("name", "late", "seen", "scale"):
        assert getattr(made, name) is ZeroTangent()
    for name in ("wieght", "forward", "size"):
        with pytest.raises(AttributeError, match=r"Tangent\[Layer\] has no field"):
            getattr(made, name)
    assert Tangent[Slotted](a=1.0).b is ZeroTangent()
    with pytest.raises(AttributeError, match="no field 'c'; fields: a"):
        Tangent[Slotted](a=1.0).c  # noqa: B018
    with pytest.raises(AttributeError, match="no field 'a'"):
        Tangent(None).a  # noqa: B018


def test_names_of_sums_and_multiples():
    g = gradient_of_a_layer()
    for other in (g + g, 2 * g, -g, g - g, copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        assert other.scale is ZeroTangent()
        with pytest.raises(AttributeError, match="no field 'wieght'"):
            other.wieght  # noqa: B018


def test_functions_and_partials():
    def scaled(a):
        return lambda x: a * x

    (g,) = ad.gradient(lambda f: f(2.0), scaled(3.0))
    assert g.a == 2.0
    with pytest.raises(AttributeError, match="no field 'b'; fields: a"):
        g.b  # noqa: B018
    (g,) = ad.gradient(lambda f: f(2.0), functools.partial(lambda a, x: a * x, 3.0))
    assert g.args == (2.0,)
    with pytest.raises(AttributeError, match="no field 'arguments'"):
        g.arguments  # noqa: B018


def test_torch_modules():
    torch = pytest.importorskip("torch")
    m = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.BatchNorm1d(2))
    (g,) = ad.gradient(lambda m: m(torch.ones(3, 2)).sum(), ad.AutoTorch(), m)
    linear, norm = g["0"], g["1"]
    assert linear.weight.shape == (2, 2)
    for real in (linear.bias, linear.in_features, linear.training, norm.running_mean):
        assert real is ZeroTangent()
    for part, name in ((g, "weight"), (linear, "wieght"), (linear, "running_mean"), (norm, "forward")):
        with pytest.raises(AttributeError, match=f"has no field '{name}'"):
            getattr(part, name)


# -- cycles ----------------------------------------------------------------------------------------------------------


def test_cyclic_gradients():
    g = gradient_of_a_layer()
    assert g.back is g
    assert repr(g) == "Tangent[Layer](w=array([4., 4.]), name=None, back=…, parts=[…, None], late=None)"
    total = g + g
    assert total.back is total
    assert total.parts[0] is total
    assert total.w.tolist() == [8.0, 8.0]
    half = g / 2
    assert half.back.back.w.tolist() == [2.0, 2.0]
    assert (-g).back.w.tolist() == [-4.0, -4.0]
    assert total == 2 * g
    assert total != g
    assert g == copy.deepcopy(g)
    again = pickle.loads(pickle.dumps(g))
    assert again.back is again
    assert again == g


@pytest.mark.parametrize("make", [dict, list])
def test_cyclic_containers(make):
    value = {"x": 2.0} if make is dict else [2.0]
    value.update(me=value) if make is dict else value.append(value)
    key = "x" if make is dict else 0
    (g,) = ad.gradient(lambda v: v[key] ** 2, value)
    assert g[key] == 4.0
    assert "..." in repr(g)


def test_two_that_lead_to_each_other():
    class Node:
        pass

    a, b = Node(), Node()
    a.x, b.x, a.other, b.other = 1.0, 2.0, b, a
    (g,) = ad.gradient(lambda n: n.x * n.other.x, a)
    assert repr(g) == "Tangent[Node](x=2.0, other=Tangent[Node](x=1.0, other=…))"
    assert (g + g).other.other.other.x == 2.0
    assert g == copy.deepcopy(g)
