"""compare holds every backend's value against f itself, calls no NaN agreement, and cuts no message short."""

from __future__ import annotations

import json

import numpy as np
import pytest

import adselect as ad
from adselect.backends.registry import available_backends
from adselect.testing import compare

X = np.array([1.0, 2.0])
BUILT_IN = [ad.AutoTape(), ad.AutoForward()]


def branches(x):
    return np.sum(x * x) if type(x) is np.ndarray else np.sum(x)


def test_the_value_is_held_against_f_itself():
    report = compare(branches, X, adtypes=BUILT_IN)
    assert not report.agree
    assert [row.status for row in report.rows] == ["differs", "differs"]
    assert report.plain.value == 5.0
    for row in report.rows:
        assert "its value of f is" in row.reason
        assert "f is" in row.reason
        assert "when called plainly" in row.reason
    assert "do NOT agree" in repr(report)
    assert json.loads(json.dumps(report.to_dict()))["plain"] == {"value": 5.0, "error": ""}


def test_all_installed_backends_agree_with_f():
    adtypes = [b.adtype for b in available_backends() if b.installed]
    report = compare(lambda x: np.sum(np.sin(x) * x), X, adtypes=adtypes)
    assert report.agree, report
    assert report.plain.value == pytest.approx(np.sum(np.sin(X) * X))


@pytest.mark.parametrize(
    ("f", "places"),
    [
        (lambda x: np.sum(x) * np.nan, "value, args[0]"),
        (lambda x: np.sum(x) + np.nan, "value"),
        (lambda x: (np.sum(x), np.nan), ""),
    ],
    ids=["everywhere", "in the value", "in the auxiliary output"],
)
def test_nan_is_no_agreement(f, places):
    report = compare(f, X, adtypes=BUILT_IN)
    if not places:
        assert report.agree
        return
    assert not report.agree
    assert {row.status for row in report.rows} == {"nan"}
    assert all(row.reason == f"NaN in {places}" for row in report.rows)
    assert "2 backends give NaN" in report.summary()


def test_infinities_of_one_sign_agree():
    with np.errstate(all="ignore"):
        assert compare(lambda x: np.sum(np.sqrt(x)), np.array([0.0, 1.0]), adtypes=BUILT_IN).agree


def test_what_is_left_of_larger_numbers():
    big = lambda x: np.sum(x * 1e8) - np.sum(x[::-1] * 1e8)
    assert compare(big, np.array([0.1, 0.2, 0.3]), adtypes=BUILT_IN).agree


def test_random_numbers_are_the_same_for_all():
    f = lambda x: np.sum(x * np.random.rand(2))
    np.random.seed(0)
    assert compare(f, X, adtypes=BUILT_IN).agree


def test_f_that_writes_into_its_argument():
    def f(x):
        x[0] = 2 * x[0]
        return np.sum(x * x)

    x = X.copy()
    assert compare(f, x, adtypes=BUILT_IN).agree
    np.testing.assert_array_equal(x, X)


def test_f_that_fails_plainly():
    def f(x):
        if type(x) is np.ndarray:
            raise ValueError("no plain arrays\nuse something else")
        return np.sum(x)

    report = compare(f, X, adtypes=BUILT_IN)
    assert not report.agree
    assert {row.status for row in report.rows} == {"differs"}
    assert report.summary() == "f itself, called plainly, raises ValueError: no plain arrays\nuse something else"


def test_whole_messages():
    def f(x):
        error = ValueError("what happened, " * 20 + "\nand the cure")
        error.add_note("a note")
        raise error

    report = compare(f, X, adtypes=BUILT_IN)
    for text in (repr(report), report._repr_html_(), report.rows[0].reason):
        assert "and the cure" in text
        assert "a note" in text
        assert "what happened, " * 20 in text
    assert "error: see below" in repr(report)


def test_a_text_for_an_adtype():
    with pytest.raises(TypeError, match=r"objects such as AutoJax\(\), got 'jax'"):
        compare(branches, X, adtypes=["jax"])
