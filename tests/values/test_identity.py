"""IdDict: keys by identity."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad


def test_arrays_are_keys():
    a, b = np.ones(2), np.ones(2)
    d = ad.IdDict([(a, 1), (b, 2)])
    assert (d[a], d[b], len(d), a in d, np.ones(2) in d) == (1, 2, 2, True, False)
    a[0] = 5.0
    assert d[a] == 1
    assert [k is x for k, x in zip(d, (a, b), strict=True)] == [True, True]
    assert [k is x for k, x in zip(d.keys(), (a, b), strict=True)] == [True, True]
    assert a in d.keys()  # noqa: SIM118 - the view itself
    assert d.values() == [1, 2]
    assert [(k is a, v) for k, v in d.items()] == [(True, 1), (False, 2)]
    assert d.get(a) == 1
    assert d.get(np.ones(2), "none") == "none"
    d[a] = 3
    assert d.pop(a) == 3
    assert len(d) == 1
    assert d.setdefault(a, 4) == 4


def test_missing_keys():
    d = ad.IdDict([(np.ones(2), 1)])
    with pytest.raises(KeyError, match=r"this float64 array of shape \(3,\) is not a key of this IdDict of 1"):
        d[np.ones(3)]
    with pytest.raises(KeyError, match="this str is not a key"):
        del d["x"]
    with pytest.raises(KeyError) as caught:
        d["x"]
    assert str(caught.value).startswith("this str")  # not in quotes, as KeyError has it


def test_equality_and_copies():
    a = np.ones(2)
    d = ad.IdDict([(a, 1)])
    twin = d.copy()
    assert d == twin == ad.IdDict((p, 1) for p in [a])
    assert d != ad.IdDict([(a, 2)])
    assert d != ad.IdDict([(a.copy(), 1)])
    assert d != {}
    twin[a] = 2
    assert d[a] == 1
    assert repr(d) == "IdDict([(this float64 array of shape (2,), 1)])"
    with pytest.raises(TypeError):
        hash(d)
