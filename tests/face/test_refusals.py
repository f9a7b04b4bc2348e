"""Refusals name the user's line, the library between it and us, and something to write instead that works."""

from __future__ import annotations

import contextlib
import math
import statistics
import sys

import numpy as np
import pytest

import adselect as ad
from adselect.places import user_place

optimize = pytest.importorskip("scipy.optimize")
integrate = pytest.importorskip("scipy.integrate")
linalg = pytest.importorskip("scipy.linalg")
special = pytest.importorskip("scipy.special")
stats = pytest.importorskip("scipy.stats")
ndimage = pytest.importorskip("scipy.ndimage")

X = np.array([1.5, 0.3, 2.5])
HERE = r"test_refusals\.py:\d+"


def refusal(f, adtype=None, x=X):
    with pytest.raises(ad.TracedValueError) as caught:
        ad.gradient(f, ad.AutoTape() if adtype is None else adtype, x)
    return str(caught.value)


# -- through libraries, and through compiled code that drops errors ----------------------------------------------------

LIBRARIES = {
    "scipy.optimize.brentq": lambda x: optimize.brentq(lambda t: t**3 - x[0], 0, 5),
    "scipy.optimize.bisect": lambda x: optimize.bisect(lambda t: t - x[0], 0, 5),
    "scipy.optimize.fsolve": lambda x: optimize.fsolve(lambda t: t**3 - x[0], 1.0)[0],
    "scipy.optimize.leastsq": lambda x: optimize.leastsq(lambda t: t - x[0], 1.0)[0][0],
    "scipy.optimize.minimize": lambda x: optimize.minimize(lambda t: np.sum((t - x) ** 2), np.zeros(3)).fun,
    "scipy.integrate.quad": lambda x: integrate.quad(lambda t: t * x[0], 0, 1)[0],
    "scipy.integrate.odeint": lambda x: integrate.odeint(lambda y, t: -x[0] * y, [1.0], [0, 1.0])[-1, 0],
    "scipy.integrate.solve_ivp": lambda x: integrate.solve_ivp(lambda t, y: -x[0] * y, (0, 1), [1.0]).y[0, -1],
    "scipy.linalg.solve": lambda x: linalg.solve(np.diag(x), np.ones(3))[0],
    "scipy.stats.rv_continuous.cdf": lambda x: stats.norm.cdf(x[0]),
    "scipy.ndimage.generic_filter": lambda x: ndimage.generic_filter(np.ones(3), lambda w: w[0] * x[0], 3).sum(),
    "statistics.mean": lambda x: statistics.mean([x[0], x[1]]),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_library_function_and_the_users_line_are_named(exact_backend, name):
    text = refusal(LIBRARIES[name], exact_backend.adtype)
    assert name in text
    assert text.count("test_refusals.py:") == 1
    assert "site-packages" not in text


def test_other_libraries():
    pandas = pytest.importorskip("pandas")
    text = refusal(lambda x: pandas.Series([x[0], 1.0]).rolling(1).mean().sum())
    assert "pandas.Series was given a traced value to hold at" in text
    assert ".to_numpy()" in text
    text = refusal(lambda x: pandas.Series(x).rolling(1).mean().sum())
    assert "Rolling.mean, called at" in text
    assert ".to_numpy()" in text


def test_a_refusal_that_f_has_dealt_with_leaves_other_errors_alone(exact_backend):
    def f(x):
        with contextlib.suppress(TypeError):
            float(x[0])
        return {}["missing"]

    with pytest.raises(KeyError) as caught:
        ad.gradient(f, exact_backend.adtype, X)
    assert "float(x[0])" in "".join(caught.value.__notes__)

    def g(x):
        try:
            float(x[0])
        except TypeError:
            return x[1] * 2.0

    np.testing.assert_allclose(ad.gradient(g, exact_backend.adtype, X)[0], [0, 2, 0])


def test_a_refusal_of_an_earlier_call_is_not_brought_up():
    refusal(lambda x: float(x[0]))
    with pytest.raises(ValueError, match="different signs"):
        ad.gradient(lambda x: optimize.brentq(lambda t: t + 1, 0, 5) * x[0], X)


def test_an_inner_derivative_reports_for_itself():
    def f(x):
        with pytest.raises(ad.TracedValueError):
            ad.gradient(lambda y: optimize.brentq(lambda t: t - y, 0, 5), x[0])
        return x[0] ** 2

    np.testing.assert_allclose(ad.gradient(f, X)[0], [3, 0, 0])


# -- writes into plain arrays ------------------------------------------------------------------------------------------

PLAIN = np.zeros(3)


def an_element(x):
    A = np.zeros(3)
    A[0] = x[0]
    return A.sum()


def a_slice(x):
    A = np.zeros(3)
    A[0:2] = x[0:2]
    return A.sum()


def a_row(x):
    A = np.zeros((3, 3))
    A[1, :] = x
    return A.sum()


def added(x):
    A = np.zeros(3)
    A += x
    return A.sum()


def added_to_an_element(x):
    A = np.zeros(3)
    A[0] += x[0]
    return A.sum()


WRITES = {
    "A[0] = x": an_element,
    "A[0:2] = x": a_slice,
    "A[1, :] = x": a_row,
    "A += x": added,
    "A[0] ": added_to_an_element,
    "PLAIN.fill(x[0])": lambda x: PLAIN.fill(x[0]),
    "PLAIN.put([0], x[0])": lambda x: PLAIN.put([0], x[0]),
    "np.copyto": lambda x: np.copyto(PLAIN, x),
    "np.add(…, out=…)": lambda x: np.add(x, 1, out=PLAIN),
    "np.add.at": lambda x: np.add.at(PLAIN, [0], x[0]),
    "np.put": lambda x: np.put(PLAIN, [0], x[0]),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_into_a_plain_array_is_named(exact_backend, what):
    text = refusal(WRITES[what], exact_backend.adtype)
    assert text.startswith(what)
    assert "would write a traced value into a plain ndarray at" in text
    assert "np.stack(entries)" in text
    assert "test_refusals.py:" in text
    assert "np.zeros_like(x, shape=(n, m), dtype=float)" in text


# -- object arrays and lists -------------------------------------------------------------------------------------------

LISTS = {
    "np.exp": lambda x: np.sum(np.exp(np.array([1.0, x[0]]))),
    "np.sqrt": lambda x: np.sum(np.sqrt([x[0], 1.0])),
    "np.arctan2": lambda x: np.sum(np.arctan2(np.array([x[0], 1.0]), 1.0)),
    "np.round": lambda x: np.sum(np.round(np.array([x[0], 1.5]))),
    "np.mean": lambda x: np.mean([x[0], x[1]]),
    "np.std": lambda x: np.std([x[0], x[1]]),
    "np.median": lambda x: np.median([x[0], x[1]]),
    "np.average": lambda x: np.average([x[0], 1.0]),
    "np.interp": lambda x: np.sum(np.interp([x[0]], [0.0, 1.0], [0.0, 1.0])),
    "np.isnan": lambda x: x[0] * np.any(np.isnan([x[0], 1.0])),
    "np.linalg.det": lambda x: np.linalg.det([[x[0], 1.0], [0.0, x[1]]]),
    "np.linalg.solve": lambda x: np.sum(np.linalg.solve(np.array([[x[0], 0.0], [0.0, 1.0]]), [1.0, 2.0])),
    "np.fft.fft": lambda x: np.sum(np.abs(np.fft.fft([x[0], x[1]]))),
    "scipy.special.erf": lambda x: np.sum(special.erf(np.array([x[0], 1.0]))),
    "scipy.linalg.det": lambda x: linalg.det(np.array([[x[0], 1.0], [0.0, x[1]]])),
    "np.array": lambda x: np.sum(np.array([x[0], 1.0], dtype=float)),
    "np.array of arrays": lambda x: np.sum(np.array([x, x])),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_traced_numbers_say_what_to_build(exact_backend, name):
    text = refusal(LISTS[name], exact_backend.adtype)
    assert name.partition(" ")[0] in text
    assert "np.stack([a, b])" in text
    assert text.count("test_refusals.py:") == 1


def test_object_arrays_that_have_nothing_to_do_with_it_keep_numpys_error():
    with pytest.raises(TypeError) as caught:
        ad.gradient(lambda x: x[0] + "a", X)
    assert "object array" not in str(caught.value)
    with pytest.raises(ValueError, match="core dimension"):
        ad.gradient(lambda x: np.sum(np.array([x[0], 1.0]) @ np.ones(3)), X)


# -- the advice --------------------------------------------------------------------------------------------------------


def filled(x):
    A = np.zeros_like(x, shape=(2, 3), dtype=float)
    A[0] = np.sum(x) * 2
    A[:, 1] += np.sum(x)
    return np.sum(np.exp(A))


def collected(x):
    entries = []
    for i in range(3):
        entries.append(np.sum(x) * i)
    return np.sum(np.exp(np.stack(entries)))


def root(a):
    return optimize.brentq(lambda t: t**3 - a, 0, 5)


solved = ad.primitive(root, host=True)


@ad.define_rrule(solved)
def _(a):
    t = root(a)
    return t, lambda t_bar: (ad.NoTangent(), t_bar / (3 * t**2))


# What a message suggests -> the program that follows it, for a number and for an array.
ADVICE = {
    "np.zeros_like(x, shape=(n, m), dtype=float)": filled,
    "np.stack(entries)": collected,
    "np.stack([a, b])": lambda x: np.sum(np.exp(np.stack([np.sum(x), 1.0]))) + np.std(np.stack([2.0, np.sum(x)])),
    "np.block([[a, b], [c, d]])": lambda x: np.linalg.det(np.block([[np.sum(x), 1.0], [0.5, np.sum(x) ** 2]])),
    "np.sin": lambda x: np.sum(np.sin(x)),
    "scipy.special.gamma": lambda x: np.sum(special.gamma(x)),
    "scipy.special.gammaln": lambda x: np.sum(special.gammaln(x)),
    "np.linalg.norm(p - q)": lambda x: np.linalg.norm(np.ravel(x) - np.ravel([0.25])),
    "np.power": lambda x: np.sum(np.power(x, 3.0)),
    "np.copy(x)": lambda x: np.sum(np.copy(x) ** 2),
    "Write y = y + x": lambda x: np.sum(np.exp(np.zeros(1) + x)),
    "start + step * np.arange(n)": lambda x: np.sum((0.5 + np.sum(x) * np.arange(4)) ** 2),
    "float(adselect.ignore_derivatives(x))": lambda x: np.sum(x) * float(ad.ignore_derivatives(np.sum(x))),
    "int(adselect.ignore_derivatives(x))": lambda x: np.sum(x) * int(ad.ignore_derivatives(np.sum(x))),
    "np.linalg.solve": lambda x: np.sum(np.linalg.solve(np.eye(2) * np.sum(x) + 1, np.ones(2))),
    "adselect.primitive(g, host=True)": lambda x: solved(np.sum(x)),
    'np.meshgrid(np.linspace(a, b, n), np.linspace(c, d, m), indexing="ij")': lambda x: np.sum(
        np.meshgrid(np.linspace(0.0, np.sum(x), 3), np.linspace(0.0, 1.0, 2), indexing="ij")[0] ** 2
    ),
    "np.stack([g(v) for v in np.ravel(x)])": lambda x: np.sum(np.stack([np.sin(v) for v in np.ravel(x)])),
}
ASKING = [
    *WRITES.values(),
    *LISTS.values(),
    *LIBRARIES.values(),
    lambda x: math.sin(x[0]),
    lambda x: math.gamma(x[0]),
    lambda x: math.lgamma(x[0]),
    lambda x: math.dist([x[0]], [0.25]),
    lambda x: math.pow(x[0], 3),
    lambda x: np.array(x),
    lambda x: np.sum(np.arange(0.5, x[0])),
    lambda x: float(x[0]),
    lambda x: int(x[0]),
    lambda x: np.sum(np.mgrid[0 : x[0] : 3j, 0:1:2j]),
    lambda x: np.vectorize(math.sin)(x),
]


def test_every_suggestion_is_made_somewhere():
    texts = " ".join([refusal(f) for f in ASKING])
    for suggestion in ADVICE:
        assert suggestion in texts, suggestion


@pytest.mark.parametrize("suggestion", ADVICE)
@pytest.mark.parametrize("x", [1.7, np.array([1.2, 0.9])], ids=["number", "array"])
def test_suggestions_work_plainly_and_traced(exact_backend, suggestion, x):
    f = ADVICE[suggestion]
    value, (g,) = ad.withgradient(f, exact_backend.adtype, x)
    assert np.isclose(value, f(x))
    if "ignore" in suggestion:
        expected = np.full(np.shape(x), float(f(x) / np.sum(x)))
    else:
        step, basis = 1e-6, np.eye(np.size(x)).reshape(-1, *np.shape(x))
        expected = np.reshape([(f(x + step * e) - f(x - step * e)) / (2 * step) for e in basis], np.shape(x))
    np.testing.assert_allclose(g, expected, rtol=1e-5)


# -- places ------------------------------------------------------------------------------------------------------------


def test_a_place_is_the_innermost_line_of_the_users():
    place = user_place()
    assert place is not None
    assert place.file == __file__
    assert place.library == ""
    found = []

    def f(x):
        found.append(optimize.brentq(lambda t: [t, inner(t)][0], -1.0, 2.0))
        return x

    places = []

    def inner(t):
        places.append(user_place())

    ad.gradient(f, 1.0)
    assert places[0].line == inner.__code__.co_firstlineno + 1
    assert str(places[0]).startswith(__file__)


def test_code_without_a_source_has_a_line_all_the_same():
    f = eval("lambda x: float(x[0])", {"__name__": "somebodys"})
    assert "<string>:1" in refusal(f)


def test_code_installed_as_a_library_is_the_users_where_f_is_its(monkeypatch):
    code = compile("def f(x):\n    return float(x[0])", f"{sys.prefix}/lib/site-packages/theirs/model.py", "exec")
    names = {"__name__": "theirs.model"}
    exec(code, names)
    assert "theirs/model.py:2" in refusal(names["f"])
    text = refusal(lambda x: names["f"](x))
    assert "theirs.model.f, called at" in text
    assert "test_refusals.py:" in text


def test_a_library_that_calls_again_after_a_refusal_does_not_have_the_last_word():
    lines = "def twice(f):\n    try:\n        float(f(1))\n    except TypeError:\n        pass\n    return f(2)"
    names = {"__name__": "theirs.loops"}
    exec(compile(lines, f"{sys.prefix}/lib/site-packages/theirs/loops.py", "exec"), names)

    def f(x):
        def callback(i):
            if i == 2:
                raise AttributeError("what compiled code may say with an error pending")
            return x[0]

        return names["twice"](callback)

    text = refusal(f)
    assert text.startswith("theirs.loops.twice, called at")
