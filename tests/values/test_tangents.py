"""NoTangent, ZeroTangent and Tangent: their algebra, access, copying."""

from __future__ import annotations

import copy
import operator
import pickle
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from adselect import NoTangent, Tangent, ZeroTangent, canonicalize
from adselect.values.tangents import add, field_names, scale


@dataclass
class Point:
    x: object
    y: object


@dataclass
class Other:
    x: float


ZERO, NONE = ZeroTangent(), NoTangent()
A = np.array([1.0, 2.0])
P = Tangent[Point](x=1.0, y=A)


@pytest.mark.parametrize("cls", [ZeroTangent, NoTangent])
def test_one_instance_each(cls):
    value = cls()
    assert cls() is value
    assert copy.copy(value) is value
    assert copy.deepcopy(value) is value
    assert pickle.loads(pickle.dumps(value)) is value
    assert repr(value) == f"{cls.__name__}()"
    assert not value
    with pytest.raises(AttributeError):
        value.anything = 1


@pytest.mark.parametrize("value", [ZERO, NONE], ids=repr)
def test_absorbing(value):
    for other in (2, 2.5, 1j, A, np.float64(3.0), P):
        assert value + other is other
        assert other + value is other
        assert value * other is value
        assert other * value is value
        assert other - value is other
        assert value / 2 is value
    assert (value - 2.0) == -2.0
    assert value @ A is value
    assert A @ value is value
    assert -value is value
    assert +value is value
    assert abs(value) is value
    assert value.conj() is value
    assert value.real is value
    assert value.imag is value
    assert value.T is value
    assert value[0] is value
    assert value["key"] is value
    assert value(3) is value
    assert float(value) == 0.0
    assert complex(value) == 0j
    assert int(value) == 0


def test_zero_and_no_tangent_together():
    assert ZERO + ZERO is ZERO
    assert NONE + NONE is NONE
    assert ZERO + NONE is NONE
    assert NONE + ZERO is NONE
    assert ZERO - NONE is NONE
    assert NONE * ZERO is ZERO
    assert ZERO * NONE is ZERO


def test_access():
    assert P.x == 1.0
    assert P["y"] is A
    assert list(P) == ["x", "y"]
    assert dict(P.items())["x"] == 1.0
    assert list(P.keys()) == ["x", "y"]
    assert next(iter(P.values())) == 1.0
    assert len(P) == 2
    assert P._asdict() == {"x": 1.0, "y": A}
    assert Tangent[Point](x=1.0).y is ZERO
    with pytest.raises(AttributeError, match="no field 'z'; fields: x, y"):
        P.z  # noqa: B018
    with pytest.raises(AttributeError, match="immutable"):
        P.x = 2.0
    with pytest.raises(KeyError):
        P["z"]
    assert not hasattr(P, "__array__")


def test_dotted_paths():
    g = Tangent[Point](x=Tangent[Point](x=1.0, y=[2.0, {"k": 3.0}]), y={"a": Tangent[Other](x=4.0)})
    assert g["x.x"] == 1.0
    assert g["x.y.0"] == 2.0
    assert g["x.y.1.k"] == 3.0
    assert g["y.a.x"] == 4.0
    with pytest.raises(KeyError):
        g["x.x.x"]


def test_addition():
    total = P + Tangent[Point](x=2.0, y=A)
    assert total.x == 3.0
    assert total.y.tolist() == [2, 4]
    assert (Tangent[Point](x=1.0) + Tangent[Point](y=2.0))._asdict() == {"x": 1.0, "y": 2.0}
    assert P + ZERO is P
    assert ZERO + P is P
    assert (Tangent[Point](x=None) + Tangent[Point](x=1.0)).x == 1.0
    assert (Tangent[Point](x={"a": 1.0}) + Tangent[Point](x={"a": 2.0, "b": 1.0})).x == {"a": 3.0, "b": 1.0}
    assert (Tangent[Point](x=(1.0, None)) + Tangent[Point](x=(2.0, 3.0))).x == (3.0, 3.0)
    with pytest.raises(TypeError):
        P + Tangent[Other](x=1.0)
    with pytest.raises(TypeError):
        P + 1.0


def test_scaling():
    for product in (P * 2, 2 * P, np.float64(2.0) * P, P / 0.5):
        assert product.x == 2.0
        assert product.y.tolist() == [2, 4]
    assert (-P).x == -1.0
    assert (P - P).y.tolist() == [0, 0]
    Pair = namedtuple("Pair", "a b")
    scaled = 3 * Tangent[Point](x=Pair(1.0, None), y={"k": [1.0, ZERO]})
    assert scaled.x == Pair(3.0, None)
    assert scaled.y == {"k": [3.0, ZERO]}


def test_equality():
    assert Tangent[Point](x=1.0, y=A) == Tangent[Point](y=A.copy(), x=1.0)
    assert Tangent[Point](x=1.0) == Tangent[Point](x=1.0, y=ZERO)
    assert Tangent[Point](x=1.0) != Tangent[Point](x=2.0)
    assert Tangent[Point](x=1.0) != Tangent[Other](x=1.0)
    assert Tangent[Point](x=None) != Tangent[Point](x=0.0)
    assert P != 1.0
    with pytest.raises(TypeError, match="unhashable"):
        hash(P)


def test_the_type_itself():
    assert repr(Tangent[Point]) == "Tangent[Point]"
    assert Tangent[Point] == Tangent[Point]
    assert len({Tangent[Point], Tangent[Point], Tangent[Other]}) == 2
    assert isinstance(P, Tangent)
    assert repr(Tangent[Point](x=1.0)) == "Tangent[Point](x=1.0)"


def test_copies():
    for twin in (copy.copy(P), copy.deepcopy(P), pickle.loads(pickle.dumps(P))):
        assert twin == P
        assert type(twin) is Tangent


def test_canonicalize():
    full = canonicalize(Tangent[Point](y=2.0), Point(1.0, 2.0))
    assert list(full) == ["x", "y"]
    assert full.x is ZERO
    with pytest.raises(ValueError, match=r"fields .'z'."):
        canonicalize(Tangent[Point](z=1.0), Point(1.0, 2.0))


def test_field_names():
    class Base:
        __slots__ = ("a",)

    class Child(Base):
        __slots__ = ("__private", "b")

        def __init__(self):
            self.a, self.b, self.__private = 1, 2, 3

    assert field_names(Child()) == ["a", "_Child__private", "b"]
    assert field_names(Point(1, 2)) == ["x", "y"]
    assert field_names(object()) == []


def test_add_and_scale_of_any_tree():
    assert add(None, 2.0) == 2.0
    assert add(2.0, None) == 2.0
    assert add([1.0, None], [2.0, 3.0]) == [3.0, 3.0]
    assert scale(None, 2) is None
    assert scale((1.0, [2.0]), 2) == (2.0, [4.0])
    assert scale(ZERO, 2) is ZERO
    with pytest.raises((ValueError, TypeError)):
        add([1.0], [1.0, 2.0])


@pytest.mark.parametrize("op", [operator.add, operator.sub])
def test_numpy_arrays_leave_the_operation_to_tangents(op):
    with pytest.raises(TypeError):
        op(A, P)
