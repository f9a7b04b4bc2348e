"""Grads: gradients by parameter and their algebra."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad

W, B = np.array([0.1, 0.2]), np.array([0.7, 0.8])
X1, X2 = np.array([0.3, 0.4]), np.array([0.5, 0.6])
PS = ad.Params([W, B])


def grads(x):
    return ad.gradient(lambda: np.sum(np.tanh(W * x + B)), PS)


def test_reading():
    g = grads(X1)
    assert (len(g), W in g, X1 in g, g.get(X1), g.params == PS) == (2, True, False, None, True)
    assert [k is p for k, p in zip(g.keys(), PS, strict=True)] == [True, True]
    assert [(k is p, v is g[p]) for (k, v), p in zip(g.items(), PS, strict=True)] == [(True, True)] * 2
    assert [v is g[p] for v, p in zip(g, PS, strict=True)] == [True, True]
    assert g.values()[0] is g[W]
    one = "float64 array of shape (2,): float64 array of shape (2,)"
    assert repr(g) == f"Grads({{{one}, {one}}})"
    with pytest.raises(KeyError, match=r"this float64 array of shape \(2,\) is no parameter.*bound anew"):
        g[X1]
    with pytest.raises(KeyError, match="asked for by parameter"):
        g[0]
    with pytest.raises(KeyError, match="merge adds"):
        g[X1] = X1
    g[W] = X1
    assert g[W] is X1


def test_algebra():
    g1, g2 = grads(X1), grads(X2)
    for name, value in {
        "a + b": g1 + g2,
        "a - b": g1 - g2,
        "a * b": g1 * g2,
        "a / b": g1 / g2,
        "2 * a": np.float64(2.0) * g1,
        "a * 2": g1 * np.array(2.0),
        "a / 2": g1 / 2,
        "-a": -g1,
        "+a": +g1,
        "0 + a + b": sum([g1, g2]),
        "b - a": ad.IdDict(g2) - g1,
        "b + a ": ad.IdDict(g2) + g1,
    }.items():
        assert type(value) is ad.Grads
        for p in PS:
            np.testing.assert_allclose(value[p], eval(name.strip(), {"a": g1[p], "b": g2[p]}))
            assert value[p] is not g1[p]
    for operation in (lambda: g1 + 1, lambda: 1 - g1, lambda: 1 / g1, lambda: g1 * [1.0, 2.0], lambda: g1 + "x"):
        with pytest.raises(TypeError):
            operation()


def test_in_place():
    g1, g2 = grads(X1), grads(X2)
    g, first = g1.copy(), g1[W].copy()
    same = g
    g += ad.IdDict((p, np.ones(p.shape)) for p in g.keys())  # noqa: SIM118 - iterating Grads gives gradients
    g -= g2
    g *= 2
    g /= 4.0
    assert g is same
    np.testing.assert_allclose(g[B], (g1[B] + 1 - g2[B]) / 2)
    np.testing.assert_array_equal(g1[W], first)
    for x in g:
        np.clip(x, -0.1, 0.1, out=x)
    assert np.all(np.abs(g[W]) <= 0.1)


def test_none_counts_as_zero():
    a = ad.Grads([(W, np.array([1.0, 2.0])), (B, None)])
    b = ad.Grads([(W, None), (B, np.array([3.0, 4.0]))])
    none = ad.Grads([(W, None), (B, None)])
    assert ((a + b)[B].tolist(), (a - b)[B].tolist(), (a + b)[W].tolist()) == ([3.0, 4.0], [-3.0, -4.0], [1.0, 2.0])
    assert (a + b)[B] is not b[B]
    assert [(-none)[p] for p in PS] == [(none + none)[p] for p in PS] == [(2 * none)[p] for p in PS] == [None, None]
    assert (a * b)[W] is None
    with pytest.raises(ValueError, match="division by a gradient that is None"):
        a / b
    a += b
    assert a[B].tolist() == [3.0, 4.0]
    assert a.copy_to(np.empty(4)).tolist() == [1.0, 2.0, 3.0, 4.0]
    assert none.copy_to(np.ones(4)).tolist() == [0.0] * 4
    assert none.copy_from([1, 2, 3, 4])[B].tolist() == [3.0, 4.0]


def test_other_parameters():
    g1, g3 = grads(X1), ad.gradient(lambda: np.sum(W), ad.Params([W]))
    with pytest.raises(ValueError, match=r"the right has none for float64 array of shape \(2,\)"):
        g1 + g3
    with pytest.raises(ValueError, match="the left has none for"):
        g3 + g1
    with pytest.raises(ValueError, match="different parameters"):
        g3 += g1
    with pytest.raises(ValueError, match="different parameters"):
        g3.map(np.add, g1)
    merged = g3.copy().merge(ad.Grads([(B, X1)]), ad.IdDict([(W, X2)]))
    assert (len(merged), len(g3)) == (2, 1)
    assert merged[W] is X2
    assert merged[B] is X1
    with pytest.raises(TypeError, match="merge takes Grads"):
        g3.merge([(B, X1)])


def test_map_and_vectors():
    g1, g2 = grads(X1), grads(X2)
    np.testing.assert_allclose(g1.map(lambda a, b: a + 2 * b, g2)[W], g1[W] + 2 * g2[W])
    assert g1.map(np.sum)[W] == np.sum(g1[W])
    assert ad.Grads([(W, None)]).map(np.sum)[W] is None
    flat = g1.copy_to(np.empty(4))
    np.testing.assert_array_equal(flat, [*g1[W], *g1[B]])
    array = g1[W]
    assert g1.copy_from(np.arange(4.0)) is g1
    assert array.tolist() == [0.0, 1.0]  # in place
    with pytest.raises(ValueError, match="4 entries"):
        g1.copy_from(np.arange(3.0))
