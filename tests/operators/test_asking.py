"""rrule and frule of functions that have no rule of their own; what rule errors say."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import adselect as ad
from adselect import NoTangent, ZeroTangent

A = np.arange(4.0).reshape(2, 2) + 1
S = np.array([[2.0, 1.0], [1.0, 3.0]])
CASES = {
    "dot": (np.dot, (A, S), {}),
    "einsum": (np.einsum, ("ij,jk->ik", A, S), {}),
    "norm": (np.linalg.norm, (A,), {}),
    "where": (np.where, (A > 2, A, 0.5), {}),
    "clip": (np.clip, (A, 1.5, 3.0), {}),
    "var": (np.var, (A,), {"axis": 0}),
    "add.reduce": (np.add.reduce, (A,), {}),
    "multiply.outer": (np.multiply.outer, (A[0], A[1]), {}),
    "operator.matmul": (operator.matmul, (A, S), {}),
    "polyval": (np.polyval, (A[0], 2.0), {}),
    "ravel": (np.ravel, (A,), {}),
    "sort": (np.sort, (A,), {}),
    "take": (np.take, (A, [0, 3]), {}),
    "interp": (np.interp, (1.5, A[0], A[1]), {}),
    "fft": (np.fft.fft, (A,), {}),
    "sin": (np.sin, (0.5,), {}),  # one that has a rule
    "solve": (np.linalg.solve, (S, A), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_rrule_and_frule_of_compositions(name):
    f, args, kwargs = CASES[name]
    y, pullback = ad.rrule(f, *args, **kwargs)
    np.testing.assert_allclose(y, f(*args, **kwargs))
    places = [i for i, a in enumerate(args) if isinstance(a, float) or (isinstance(a, np.ndarray) and a.dtype == float)]
    rng = np.random.default_rng(0)
    y_bar = rng.normal(size=np.shape(y)) + (1j * rng.normal(size=np.shape(y)) if np.iscomplexobj(y) else 0.0)
    bars = pullback(y_bar)
    assert len(bars) == len(args) + 1
    assert bars[0] is NoTangent()
    dots = [rng.normal(size=np.shape(a)) if i in places else NoTangent() for i, a in enumerate(args)]
    value, y_dot = ad.frule((NoTangent(), *dots), f, *args, **kwargs)
    np.testing.assert_allclose(value, y)
    forward = np.real(np.sum(np.conj(y_bar) * y_dot))
    backward = sum(np.sum(bars[i + 1] * dots[i]) for i in places if not isinstance(bars[i + 1], NoTangent))
    assert forward == pytest.approx(backward, rel=1e-10)
    for i in range(len(args)):
        if i not in places:
            assert isinstance(bars[i + 1], NoTangent)


def test_structures():
    y, pullback = ad.rrule(np.concatenate, [A, 2 * A])
    _, (first, second) = pullback(np.ones(y.shape))
    assert first.tolist() == second.tolist() == np.ones((2, 2)).tolist()
    y, pullback = ad.rrule(np.split, A, 2)
    assert pullback([np.ones((1, 2)), None])[1].tolist() == [[1, 1], [0, 0]]
    q, pullback = ad.rrule(np.linalg.qr, S)
    assert type(q).__name__ == "QRResult"
    assert pullback(type(q)(np.ones((2, 2)), np.ones((2, 2))))[1].shape == (2, 2)
    assert ad.rrule(np.dot, A, S)[1](ZeroTangent()) == (NoTangent(), ZeroTangent(), ZeroTangent())
    with pytest.raises(ad.RuleError, match="the result of dot"):
        ad.rrule(np.dot, A, S)[1](np.ones(3))
    with pytest.raises(ad.RuleError, match="of dot has shape"):
        ad.frule((NoTangent(), np.ones(3), NoTangent()), np.dot, A, S)


def test_within_another_derivative():
    slope = lambda x: ad.rrule(np.dot, x, x)[1](1.0)[1]  # x, once per factor
    np.testing.assert_allclose(ad.jacobian(slope, A[0])[0], np.eye(2))


def test_none_where_there_is_no_rule():
    for f in (lambda x: x, np.histogram2d, np.ndarray.sum):
        args = (A[0], A[1]) if f is np.histogram2d else (A,)
        assert ad.rrule(f, *args) is None
        assert ad.frule((NoTangent(), *args), f, *args) is None
    assert ad.rrule(np.shape, A)[1](1) == (NoTangent(), NoTangent())


def test_errors_name_the_primitive_and_the_rule():
    def thing(x):
        return 2 * x

    wrong = ad.primitive(thing)

    @ad.define_rrule(wrong)
    def its_rule(x):
        return wrong(x), lambda y_bar: (NoTangent(), np.ones(5))

    with pytest.raises(ad.RuleError, match=r"its_rule of thing \(.*test_asking.py:\d+\) has shape \(5,\)"):
        ad.gradient(wrong, 1.0)
    with pytest.raises(ad.RuleError, match="thing has an rrule already: its_rule of thing"):
        ad.define_rrule(wrong)(its_rule)
    scaled = ad.primitive(lambda a: a)
    scaled.__name__ = "scaled"
    ad.scalar_rule(scaled, lambda y, a: (1.0, 2.0))
    with pytest.raises(ad.RuleError, match="scalar_rule of scaled"):
        ad.gradient(scaled, 1.0)
