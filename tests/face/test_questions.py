"""What code asks of a value before it branches: traced values answer as the plain values they stand for."""

from __future__ import annotations

import collections.abc
import functools
import numbers
import operator

import numpy as np
import pytest

import adselect as ad

X = np.array([1.0, 2.0, 3.0])

QUESTIONS = {
    "isscalar of an entry": lambda x: np.isscalar(x[0]),
    "isscalar of an array": lambda x: np.isscalar(x),
    "entry is float": lambda x: isinstance(x[0], float),
    "entry is np.floating": lambda x: isinstance(x[0], np.floating),
    "entry is np.generic": lambda x: isinstance(x[0], np.generic),
    "entry is Real": lambda x: isinstance(x[0], numbers.Real),
    "entry is Number": lambda x: isinstance(x[0], numbers.Number),
    "entry is int": lambda x: isinstance(x[0], int),
    "entry is complex": lambda x: isinstance(x[0] + 0j, complex),
    "array is float": lambda x: isinstance(x, float),
    "array is ndarray": lambda x: isinstance(x, np.ndarray),
    "entry is ndarray": lambda x: isinstance(x[0], np.ndarray),
    "0-d view is ndarray": lambda x: isinstance(x[0, ...], np.ndarray),
    "sum is ndarray": lambda x: isinstance(np.sum(x), np.ndarray),
    "copy of an entry is ndarray": lambda x: isinstance(np.copy(x[0]), np.ndarray),
    "where is ndarray": lambda x: isinstance(np.where(x[0] > 0, x[0], 0.0), np.ndarray),
    "std is scalar": lambda x: np.isscalar(np.std(x)),
    "norm is scalar": lambda x: np.isscalar(np.linalg.norm(x)),
    "float32 entry is float": lambda x: isinstance(x.astype(np.float32)[0], float),
    "array is Sized": lambda x: isinstance(x, collections.abc.Sized),
    "entry is Sized": lambda x: isinstance(x[0], collections.abc.Sized),
    "array is Iterable": lambda x: isinstance(x, collections.abc.Iterable),
    "entry is Iterable": lambda x: isinstance(x[0], collections.abc.Iterable),
    "entry is Container": lambda x: isinstance(x[0], collections.abc.Container),
    "array is Sequence": lambda x: isinstance(x, collections.abc.Sequence),
    "array has len": lambda x: hasattr(x, "__len__"),
    "entry has len": lambda x: hasattr(x[0], "__len__"),
    "array has iter": lambda x: hasattr(x, "__iter__"),
    "entry has iter": lambda x: hasattr(x[0], "__iter__"),
    "entry has setitem": lambda x: hasattr(x[0], "__setitem__"),
    "entry has contains": lambda x: hasattr(x[0], "__contains__"),
    "entry has shape": lambda x: hasattr(x[0], "shape"),
    "entry is iterable": lambda x: np.iterable(x[0]),
    "array is iterable": lambda x: np.iterable(x),
    "getattr with a default": lambda x: getattr(x[0], "__len__", None) is None,
    "name of the class": lambda x: (x.__class__.__name__, x[0].__class__.__name__),
    "singledispatch": lambda x: (_named(x), _named(x[0])),
    "match": lambda x: (_matched(x), _matched(x[0])),
    "class pattern": lambda x: issubclass(x.__class__, np.ndarray),
    "is_integer": lambda x: (x[0].is_integer(), x[0] + 0.5 == 1.5, (x[0] + 0.5).is_integer()),
    "flags": lambda x: (x.flags.c_contiguous, np.stack([x, x]).T.flags.f_contiguous),
    "base": lambda x: (x[1:].base is not None, (x + 1).base is None),
    "ndim and size": lambda x: (np.ndim(x[0]), np.size(x), np.shape(x[0]), x.ndim, x[0].ndim),
    "issubdtype": lambda x: np.issubdtype(x.dtype, np.floating),
    "isrealobj": lambda x: (np.isrealobj(x), np.iscomplexobj(x + 0j)),
}


@functools.singledispatch
def _named(value):
    return "object"


@_named.register
def _(value: np.ndarray):
    return "array"


@_named.register
def _(value: float):
    return "float"


def _matched(value):
    match value:
        case float():
            return "float"
        case np.ndarray():
            return "array"
        case _:
            return "other"


def answer(f, adtype, x):
    """What f returns inside a derivative; it carries no derivative itself."""
    kept = []

    def asked(x):
        kept.append(f(x))
        return 0.0 * np.sum(x)

    ad.pullback(asked, adtype, x)
    return kept[0]


@pytest.mark.parametrize("name", QUESTIONS)
def test_answers(exact_backend, name):
    question = QUESTIONS[name]
    assert answer(question, exact_backend.adtype, X) == question(X)


@pytest.mark.parametrize(
    "use",
    [
        len,
        lambda s: next(iter(s)),
        list,
        sum,
        min,
        lambda s: [v + 1 for v in s],
        lambda s: (lambda a: a)(*s),
        lambda s: 1.0 in s,
    ],
    ids=["len", "list", "sum", "min", "iter", "comprehension", "unpacking", "in"],
)
def test_scalars_have_no_entries(exact_backend, use):
    def f(x):
        assert not hasattr(x[0], "__iter__")  # asks by name in the code that also iterates
        with pytest.raises(TypeError):
            use(x[0])
        return np.sum(x)

    ad.gradient(f, exact_backend.adtype, X)


def test_scalars_do_not_take_writing(exact_backend):
    def f(x):
        with pytest.raises(TypeError):
            operator.setitem(x[0], (), 1.0)
        with pytest.raises(IndexError):
            x[0][0]
        return np.sum(x)

    ad.gradient(f, exact_backend.adtype, X)


def test_a_branch_on_the_type_goes_the_plain_way(exact_backend):
    def covariance(noise):
        return np.eye(2) * noise if np.isscalar(noise) else noise

    def f(x):
        return np.linalg.det(covariance(x[0]) + 0.1) + np.sum(covariance(np.outer(x, x)))

    value, (g,) = ad.withgradient(f, exact_backend.adtype, X)
    assert value == pytest.approx(f(X), rel=1e-12)
    assert g == pytest.approx(ad.gradient(f, ad.AutoFiniteDifferences(), X)[0], rel=1e-6)


@pytest.mark.parametrize("name", ["polyval", "polyvalfromroots"])
def test_numpys_own_polynomials(name):
    function = getattr(np.polynomial.polynomial, name)
    c = np.arange(6.0).reshape(3, 2) + 1.0
    f = lambda x: np.sum(function(x, c) ** 2)
    for adtype in (ad.AutoTape(), ad.AutoForward()):
        value, (g,) = ad.withgradient(f, adtype, 0.7)
        assert value == pytest.approx(f(0.7), rel=1e-12)
        assert g == pytest.approx((f(0.7 + 1e-6) - f(0.7 - 1e-6)) / 2e-6, rel=1e-6)


def test_zero_dimensional_arrays(exact_backend):
    def f(x):
        a = np.copy(x[0])
        b = a
        b += x[1]  # through the alias
        c = np.zeros_like(np.sqrt(x[2]))
        c[...] = x[0]
        c[()] = c + 1.0
        d = x[0]
        d += 5.0  # a scalar: the name is bound anew
        return a * 2.0 + c + x[0], a.shape, c.ndim

    (value, shape, ndim), back = ad.pullback(f, exact_backend.adtype, X)
    assert (float(value), shape, ndim) == (9.0, (), 0)
    assert back((1.0, None, None))[0] == pytest.approx([4.0, 2.0, 0.0])


def test_zero_dimensional_masks(exact_backend):
    def f(x):
        r = x[0] * 2.0
        kept = r[~np.isclose(r, 0)]
        b = np.copy(x[1])
        b[True] = x[2]
        b[b > 10.0] = 0.0
        c = np.zeros_like(x[1])
        c[np.bool_(True)] = x[1]
        return np.sum(kept) + 3.0 * b + 5.0 * c

    assert ad.gradient(f, exact_backend.adtype, X)[0] == pytest.approx([2.0, 5.0, 3.0])
    assert ad.withgradient(f, exact_backend.adtype, X).val == f(X)


def test_zero_dimensional_arguments(exact_backend):
    def f(x):
        assert isinstance(x, np.ndarray)
        y = x * 1.0
        assert np.isscalar(y)
        z = np.copy(x)
        z[...] = z * x
        return z[()] * 1.0

    g = ad.gradient(f, exact_backend.adtype, np.array(3.0))[0]
    assert g.shape == ()
    assert g == 6.0
