"""What is not replayed says so, and why; what can be replayed is not lost to a mistake of the library's."""

import logging
import operator

import numpy as np
import pytest

import adselect as ad
from adselect import AutoTape, NotReplayedWarning
from adselect.replay import facts, variant
from adselect.replay import prepared as room
from adselect.replay.instructions import Ref
from adselect.replay.simplify.draft import Term, same
from adselect.replay.simplify.factors import argument
from adselect.replay.simplify.table import ARRAY, REWRITES, Rows

X = np.array([0.5, 2.0, -3.0, 1.5])
Y = np.array([1.0, 0.0, 1.0, 0.0])


def replayed(operator, f, *args, points=(), adtype=None, **options):
    """The prepared operator, replayed and equal to the eager one at all points."""
    prepared = ad.prepare(operator, f, adtype or AutoTape(), *args, check="never", **options)
    assert not prepared.reason
    for point in (args, *[(p,) for p in points]):
        np.testing.assert_allclose(
            np.asarray(prepared(*point)[0]), np.asarray(operator(f, *point, **options)[0]), rtol=1e-10, atol=1e-12
        )
    return prepared


# -- saying so ---------------------------------------------------------------------------------------------------------


def test_the_category_is_exported_and_a_runtime_warning():
    assert issubclass(ad.NotReplayedWarning, RuntimeWarning)
    assert "NotReplayedWarning" in ad.__all__


def writes_a_mask(x):
    inside = x > 0
    inside[0] = False
    return np.sum(np.where(inside, x, 2 * x))


def test_the_warning_names_the_line_and_comes_once(recwarn):
    prepared = ad.prepare(ad.gradient, writes_a_mask, X)
    for _ in range(3):
        np.testing.assert_array_equal(prepared(X)[0], [2.0, 1.0, 2.0, 1.0])
    (warning,) = recwarn.list
    assert warning.category is NotReplayedWarning
    assert warning.filename == __file__
    for text in (str(warning.message), repr(prepared)):
        assert "written to in place" in text
        assert f"{__file__}:" in text
        assert "inside[0] = False" in text
    with pytest.raises(ad.ADSelectError, match="written to in place"):
        ad.source(prepared)


def test_more_branches_than_are_kept():
    def f(x):
        for k in range(9):
            if x[0] < k:
                return k * np.sum(x)
        return np.sum(x)

    prepared = ad.prepare(ad.gradient, f, np.array([0.5]), check="never")
    with pytest.warns(NotReplayedWarning, match=r"more than 4 different branches.*test_not_replayed.py:\d+") as caught:
        results = [prepared(np.array([k + 0.5]))[0] for k in range(8)]
    assert results == [k + 1 for k in range(8)]
    assert len(caught) == 1
    assert "branches" in repr(prepared)


def test_a_long_program_names_the_line_of_most_operations(monkeypatch):
    monkeypatch.setattr(room, "LIMIT", 50)

    def f(x):
        for _ in range(40):
            x = np.sin(x)
        return np.sum(x)

    with pytest.warns(NotReplayedWarning, match=r"more than 50 operations, \d+ of them from .*test_not_replayed"):
        prepared = ad.prepare(ad.gradient, f, X)
    np.testing.assert_array_equal(prepared(X)[0], ad.gradient(f, X)[0])


def test_what_was_never_to_be_replayed_says_so_without_a_warning():
    for prepared in (ad.prepare(ad.pullback, np.sin, X), ad.prepare(ad.gradient, np.sum, AutoTape(replay=False), X)):
        assert "not replayed" in repr(prepared)
        with pytest.raises(ad.ADSelectError, match="replays nothing"):
            ad.source(prepared)
    assert "not replayed" not in repr(ad.prepare(ad.gradient, np.sum, X))
    assert "not replayed" not in repr(ad.prepare(ad.gradient, np.sum, ad.AutoForward(), X))


# -- writing in place --------------------------------------------------------------------------------------------------


def write_at(index):
    def f(x):
        y = x * 1.0
        y[index(x)] = 2.0 * x[0]
        return np.sum(y**2)

    return f


INDICES = {
    "mask": lambda x: x > 0,
    "negated mask": lambda x: ~(x > 0) & (x < 1),
    "argmax": np.argmax,
    "argsort": lambda x: np.argsort(x)[:2],
    "nonzero": lambda x: np.nonzero(x > 0),
    "repeated": lambda x: np.argsort(x)[:2] // 2,
}


@pytest.mark.parametrize("name", INDICES)
def test_a_write_at_a_computed_index_is_replayed(name):
    f = write_at(INDICES[name])
    replayed(ad.gradient, f, X, points=(-X, X[::-1].copy(), np.abs(X)))
    replayed(ad.jacobian, lambda x: f(x) * x, X, points=(-X, X[::-1].copy()))


@pytest.mark.parametrize(
    "write",
    [
        lambda x, y: y.__setitem__(x > 0, np.sin(y[x > 0])),
        lambda x, y: y.__setitem__(y > 0, y[y > 0] * 3),
        lambda x, y: y.__setitem__(x > 1, x[:1]),
        lambda x, y: np.copyto(y, 2 * x, where=x > 0),
        lambda x, y: np.putmask(y, x > 0, x[1]),
        lambda x, y: y.reshape(2, 2)[0].__setitem__(x[:2] > 0, x[1]),
    ],
)
def test_values_written_at_a_mask(write):
    def f(x):
        y = x * x
        write(x, y)
        return np.sum(y**2)

    replayed(ad.gradient, f, X, points=(-X, X[::-1].copy(), np.abs(X)))


def test_a_mask_beside_other_indices():
    def f(x):
        y = np.outer(x, x)
        y[x > 0, 1] = 2 * x[0]
        y[np.argmax(x), 1:] = np.sin(x[1:])
        return np.sum(y[x < 1, 0] ** 2) + np.sum(y**2)

    replayed(ad.gradient, f, X, points=(-X, X[::-1].copy(), np.abs(X)))


# -- the algebra -------------------------------------------------------------------------------------------------------


def test_operands_are_compared_by_kind_first():
    a = np.ones(3)
    assert same(a, a)
    assert not same(a, np.ones(3))
    assert same(Ref(2), Ref(2))
    assert not same(Ref(2), a)
    assert same(1.0, 1.0)
    assert not same(1.0, 1)
    assert not same(a, 1.0)
    assert not same(1.0, a)


@pytest.mark.parametrize(
    "f",
    [
        lambda h: -np.sum(Y * np.log(np.clip(h, 1e-3, 0.9))),
        lambda h: -3.0 * np.sum(Y / h),
        lambda h: np.sum(-(Y / h) * 2.0 - h / Y.sum()),
        lambda h: np.sum((h * Y) / np.sum(h * Y)),
        lambda h: np.sum(Y * h - Y * h * h) - np.sum(Y * h),
        lambda h: np.sum(np.subtract(Y, h * 2.0) / (Y + 1.0) / 2.0),
        lambda h: np.sum(Y @ np.outer(h, Y)) - np.sum(np.outer(Y, h) @ Y),
    ],
)
def test_arrays_among_the_constants(f):
    prepared = replayed(ad.gradient, f, np.array([0.2, 0.5, 0.95, 0.4]), points=(np.array([0.1, 0.3, 0.2, 0.7]),))
    assert "gradient" in ad.source(prepared)


@pytest.mark.parametrize("function", [np.multiply, operator.getitem])
def test_a_failing_simplification_does_not_lose_the_replay(monkeypatch, caplog, function):
    def broken(draft, i):
        raise RuntimeError("a mistake of ours")

    rows = Rows(0)
    rows.by_kinds[0].append(broken)
    monkeypatch.setitem(REWRITES.rows, function, rows)
    with caplog.at_level(logging.WARNING, logger="adselect"):
        replayed(ad.gradient, lambda x: np.sum(x[1:] * x[:-1] * 3.0), X, points=(2 * X,))
    assert "simplifying the program of gradient failed" in caplog.text
    assert "a mistake of ours" in caplog.text


def test_a_wrong_simplification_does_not_lose_the_replay(monkeypatch, caplog):
    wrong = lambda draft, i, a: Term(2.0, argument(draft, i.args[0]))
    rows = Rows(1)
    rows.by_kinds[ARRAY].append(wrong)
    monkeypatch.setitem(REWRITES.rows, np.square, rows)
    with caplog.at_level(logging.WARNING, logger="adselect"):
        replayed(ad.gradient, lambda x: np.sum(np.sin(x) ** 2 * np.square(x)), X, points=(2 * X,))
    assert "simplifying" in caplog.text


def test_programs_that_are_not_simplified_are_right(monkeypatch):
    simplified = variant.compile_program
    monkeypatch.setattr(variant, "compile_program", lambda *args: simplified(*args[:4], True))

    def f(x):
        y = np.sin(x) * x[0] - np.mean(x)
        y[1:] += y[:-1] / (1 + x[1:] ** 2)
        y[x > 0] = 0.5
        return np.sum(np.outer(y, x)[::2] @ x) + np.sum(np.where(y > 0, y, -y)) + np.max(x)

    for operator_ in (ad.gradient, ad.hessian, ad.jacobian):
        replayed(operator_, f, X, points=(2 * X, -X))
    replayed(ad.gradient, lambda t: t**2 * np.sin(t) if t > 0 else -t, 0.5, points=(0.7, -0.2))


# -- points without a finite result ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "at", "point"),
    [
        (lambda x: np.sum(np.sqrt(x)), np.zeros(3), np.array([1.0, 2.0, 3.0])),
        (lambda t: 1 / t, 0.0, 2.0),
        (lambda t: 1 / (1 + np.exp(t)), 1000.0, 2.0),
        (lambda x: np.sum(np.where(x > 0, np.sqrt(x), x)), np.zeros(2), np.array([1.0, 4.0])),
    ],
)
def test_preparation_at_a_singular_point(f, at, point):
    with np.errstate(all="ignore"):
        prepared = ad.prepare(ad.gradient, f, at)
        assert not prepared.reason
        for _ in range(6):  # such a point is no branch: nothing is traced again
            np.testing.assert_array_equal(prepared(at)[0], ad.gradient(f, at)[0])
        assert ad.source(prepared).count("def ") == 1  # one branch
        assert not prepared.reason
    np.testing.assert_allclose(prepared(point)[0], ad.gradient(f, point)[0])


# -- native code -------------------------------------------------------------------------------------------------------


def test_truth_values_are_compiled():
    pytest.importorskip("numba")

    def f(x):
        y = np.where((x > 0) & ~(x > 1) | (x < -2) ^ (x == 2), x**2, np.sign(x) * x)
        return np.sum(np.where(np.isfinite(y), y, 0.0)) + (x[0] > 0) * x[1] + np.sum(y * (x != 1.5))

    prepared = replayed(ad.gradient, f, X, points=(2 * X, -X), adtype=AutoTape(native=True))
    assert "not compiled" not in repr(prepared)


def test_what_is_left_to_numpy_is_said():
    pytest.importorskip("numba")
    prepared = replayed(ad.gradient, lambda x: np.sum(np.sort(x) ** 2), X, adtype=AutoTape(native=True))
    assert "not compiled" in repr(prepared)
    assert ad.source(prepared).startswith("# not compiled: ")


@pytest.mark.parametrize("way", ["the compiler fails", "the result is wrong"])
def test_a_failing_compiler_keeps_the_replay(monkeypatch, caplog, way):
    pytest.importorskip("numba")
    text = "undefined({0})" if way == "the compiler fails" else "{0} * 1.5"
    monkeypatch.setitem(facts.LOOP, np.sin, text)
    f = lambda x: np.sum(np.sin(x) * x)
    with (
        caplog.at_level(logging.ERROR, logger="adselect"),
        pytest.warns(NotReplayedWarning, match="compiling it failed"),
    ):
        prepared = ad.prepare(ad.gradient, f, AutoTape(native=True), X)
    np.testing.assert_allclose(prepared(2 * X)[0], ad.gradient(f, 2 * X)[0])
    assert not prepared.reason
    assert "not compiled" in repr(prepared)
    assert "sin" in ad.source(prepared)


# -- looks at whole arrays of integers, and at numbers without a derivative --------------------------------------------

TABLE = np.linspace(-4.0, 4.0, 9)


def put(x):
    y = x * 1.0
    np.put(y, np.argsort(x)[:2], [7.0, 8.0])
    return np.sum(y * x)


def add_at(x):
    y = x * 0.0
    np.add.at(y, np.argsort(x)[:2], x[:2] ** 2)
    return np.sum(y * np.arange(4.0))


def maximum_at(x):
    y = x * 0.0
    np.maximum.at(y, np.argsort(x)[:2], x[:2] ** 2)
    return np.sum(y * np.arange(4.0))


LOOKS = {
    "a plain table at an order": lambda x: np.sum(x * TABLE[:4][np.argsort(x)]),
    "a plain table at a mask": lambda x: np.sum(TABLE[:4][x > 1]) * x[0],
    "np.asarray of an order": lambda x: np.sum(x[np.asarray(np.argsort(x))] * np.arange(4.0)),
    "repeat": lambda x: np.sum(np.repeat(x, np.round(np.abs(x)).astype(int)) ** 2),
    "choose": lambda x: np.sum(np.choose((x > 0).astype(int), [x, x**2])),
    "put": put,
    "add.at": add_at,
    "maximum.at": maximum_at,
    "delete": lambda x: np.sum(np.delete(x, np.argmax(x)) ** 2),
    "insert": lambda x: np.sum(np.insert(x, np.argmax(x), x[0]) * np.arange(5)),
    "arange": lambda x: np.sum(np.arange(np.argmax(x) + 1) * x[0]),
    "bincount": lambda x: np.sum(np.bincount(np.abs(x).astype(int), minlength=5) * x[0]),
    "bincount with weights": lambda x: np.sum(np.bincount(np.abs(x).astype(int), x, minlength=5) ** 2),
    "histogram": lambda x: np.sum(np.histogram(x, bins=3)[0] * x[:3]),
    "interp": lambda x: np.sum(np.interp(x, TABLE, TABLE**2) * x),
    "a branch on an order": lambda x: np.sum(x**2) * (1 if (x == np.sort(x)).all() else 2),
    "a float": lambda x: x[0] * float(ad.ignore_derivatives(np.floor(x[1]))),
    "an int": lambda x: x[0] * int(ad.ignore_derivatives(x[1])),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_at_integers_is_a_guard(name):
    replayed(ad.gradient, LOOKS[name], X, points=(-X, X[::-1].copy()))


OF_INTEGERS = {
    "x[n]": (lambda x, n: x[n] ** 2, 2, 3),
    "x[:n]": (lambda x, n: np.sum(x[:n] ** 2), 2, 3),
    "x[[n, m]]": (lambda x, p: np.sum(x[p] ** 2), [1, 2], [3, 0]),
    "x[i, …]": (lambda x, p: np.sum(x.reshape(2, 2)[p] ** 2), (0, Ellipsis), (1, Ellipsis)),
    "add.at": (lambda x, i: np.sum(np.add.at(y := x * 0.0, i, x[:2] ** 2) or y**3), np.array([1, 2]), np.array([3, 3])),
}


@pytest.mark.parametrize("name", OF_INTEGERS)
def test_a_differentiated_integer_may_be_an_index(name):
    f, first, second = OF_INTEGERS[name]
    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, first, check="never")
    for n in (first, second, first):
        np.testing.assert_allclose(prepared(X, n)[0], ad.gradient(f, X, n)[0])
    assert not prepared.reason


def test_a_truth_value_beside_the_result():
    f = lambda x: (np.sum(x**2), x[0] > 1.0, "high" if x[0] > 1.0 else "low")
    prepared = ad.prepare(ad.withgradient, f, AutoTape(), X, check="never")
    for x in (X, X + 1.0, X):
        assert prepared(x).val == ad.withgradient(f, AutoTape(replay=False), x).val
    assert not prepared.reason


def test_an_error_of_the_program_is_f_s_to_answer():
    def f(x):
        try:
            return x[np.argmax(x) + 1] ** 2
        except IndexError:
            return np.sum(x**3)

    prepared = ad.prepare(ad.gradient, f, AutoTape(), X, check="never")
    for x in (X, np.sort(X), -X, np.sort(X)):
        np.testing.assert_array_equal(prepared(x)[0], ad.gradient(f, x)[0])


def test_a_number_outside_of_a_functions_domain_does_not_end_the_replay():
    prepared = ad.prepare(ad.gradient, np.log, AutoTape(), 1.5, check="never")
    with np.errstate(all="ignore"):
        for x in (0.0, -1.0, 2.0) * 5:
            np.testing.assert_equal(prepared(x), ad.gradient(np.log, AutoTape(replay=False), x))
    assert not prepared.reason


@pytest.mark.filterwarnings("ignore::adselect.NotReplayedWarning")
def test_reasons_are_sentences():
    from fractions import Fraction

    class Own(np.ndarray):
        pass

    prepared = ad.prepare(ad.gradient, lambda x, q: np.sum(x**2) * float(q), X, ad.Const(Fraction(1, 2)))
    assert "holds a Fraction" in prepared.reason
    assert "class of its own" in ad.prepare(ad.withgradient, lambda x: np.sum(x**3), X.view(Own)).reason
