"""Params: an ordered set of arrays, by identity."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import adselect as ad


def test_a_set_by_identity():
    x, y, z = np.ones(2), np.ones(2), np.ones(1)
    ps = ad.Params([x, y, x])
    assert len(ps) == 2
    assert [p is q for p, q in zip(ps, (x, y), strict=True)] == [True, True]
    assert (x in ps, z in ps, x.copy() in ps) == (True, False, False)
    assert ps[0] is x
    assert ps[-1] is y
    assert len(ps[:1]) == 1
    assert ps.index(y) == 1
    with pytest.raises(ValueError, match="none of the 2 parameters"):
        ps.index(z)
    assert len(ad.Params()) == 0
    x += 1.0
    assert x in ps
    assert ad.Params(p for p in (x, y)) == ps


def test_sets_of_two():
    x, y, z = np.ones(2), np.ones(2), np.ones(1)
    xy, yz = ad.Params([x, y]), ad.Params([y, z])
    assert xy.union(yz) == xy | yz == ad.Params([x, y, z])
    assert xy.intersection(yz) == xy & [y] == ad.Params([y])
    assert xy == ad.Params([x, y])
    assert xy != ad.Params([y, x])
    assert xy != [x, y]
    assert len(xy) == 2
    twin = xy.copy()
    assert twin.add(z).discard(x).discard(x).delete(z) == ad.Params([y])
    assert xy == ad.Params([x, y])
    assert xy == copy.copy(xy)


def test_all_numbers_in_one_vector():
    x, y = np.zeros((2, 2)), np.zeros((), np.float32)
    ps = ad.Params([x, y])
    assert ps.copy_from([1, 2, 3, 4, 5]) is ps
    assert x.tolist() == [[1, 2], [3, 4]]
    assert y == 5
    flat = np.zeros(5)
    assert ps.copy_to(flat) is flat
    assert flat.tolist() == [1, 2, 3, 4, 5]
    part = np.asfortranarray(np.zeros((2, 3)))[:, 1]
    ad.Params([part]).copy_from(np.array([7.0, 8.0]))
    assert part.tolist() == [7.0, 8.0]


def test_vectors_that_do_not_fit():
    x, n, fixed = np.zeros(2), np.zeros(2, int), np.zeros(2)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match=r"got an array of shape \(3,\); 2 entries"):
        ad.Params([x]).copy_from([1, 2, 3])
    with pytest.raises(ValueError, match="4 entries"):
        ad.Params([x, n]).copy_to(np.zeros(2))
    with pytest.raises(TypeError, match="float64 does not go into int64"):
        ad.Params([x, n]).copy_from([1.5, 2.0, 3.0, 4.0])
    assert x.tolist() == [0.0, 0.0]  # everything is looked at before anything is written
    with pytest.raises(TypeError, match="read-only"):
        ad.Params([fixed]).copy_from([1.0, 2.0])
    with pytest.raises(TypeError, match="complex128 does not go into float64"):
        ad.Params([np.ones(2, complex)]).copy_to(np.zeros(2))
    with pytest.raises(TypeError, match="not into a list"):
        ad.Params([x]).copy_to([0.0, 0.0])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1.0, r"Params\[1\] is 1.0 \(float\): Python numbers are no parameters"),
        (np.float64(2.0), "Python numbers are no parameters"),
        ("W", r"\(str\): a parameter is an array"),
        ([1.0], "of a list or an object pass the arrays"),
        (np.array([True]), "bool array"),
        (np.array(["a"]), "array of shape"),
        (np.ma.ones(2), "masked array"),
    ],
)
def test_what_is_no_parameter(value, why):
    with pytest.raises(TypeError, match=why):
        ad.Params([np.ones(2), value])


def test_an_array_in_the_place_of_a_list():
    with pytest.raises(TypeError, match=r"write Params\(\[x\]\)"):
        ad.Params(np.ones((2, 2)))


def test_pickle_and_repr():
    ps = ad.Params([np.ones((2, 3)), np.zeros(1, np.float32)])
    assert repr(ps) == "Params([float64 array of shape (2, 3), float32 array of shape (1,)])"
    again = pickle.loads(pickle.dumps(ps))
    assert len(again) == 2
    assert again[0].shape == (2, 3)
    with pytest.raises(TypeError):
        hash(ps)
