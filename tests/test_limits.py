"""The table of limits is strict, and a missing framework is skipped or fails as asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from limits import LIMITS, judge

import adselect as ad

ENTRY = ("tape", "a case that exists nowhere")


@pytest.fixture
def entry(monkeypatch):
    monkeypatch.setitem(LIMITS, ENTRY, "for a reason")


def test_a_problem_outside_the_table_fails():
    with pytest.raises(AssertionError, match="wrong number"):
        judge(*ENTRY, ["wrong number"])
    judge(*ENTRY, [])


def test_an_entry_that_still_fails_is_expected(entry):
    with pytest.raises(pytest.xfail.Exception, match="for a reason"):
        judge(*ENTRY, ["wrong number"])


def test_an_entry_that_no_longer_fails_is_a_failure(entry):
    with pytest.raises(pytest.fail.Exception, match="remove the entry"):
        judge(*ENTRY, [])


# Runs one test of a backend whose package cannot be found.
WITHOUT = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "autograd" else find(name, *rest)
import pytest
sys.exit(pytest.main(["-q", "-rs", "-p", "no:cacheprovider", "-k", "exact and autograd-num_to_num_der", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("required", "status", "says"), [("", 0, "autograd is not installed"), ("autograd", 1, "is not installed")]
)
def test_missing_frameworks(required, status, says):
    root = Path(__file__).parent
    command = [sys.executable, "-c", WITHOUT, str(root / "testing" / "test_consistency.py")]
    environment = {**os.environ, "ADSELECT_REQUIRE": required}
    done = subprocess.run(command, capture_output=True, text=True, cwd=root.parent, env=environment, timeout=240)
    assert done.returncode == status, done.stdout + done.stderr
    assert says in done.stdout


def test_an_unknown_requirement_is_an_error():
    root = Path(__file__).parent
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--collect-only",
        "-p",
        "no:cacheprovider",
        str(root / "test_limits.py"),
    ]
    environment = {**os.environ, "ADSELECT_REQUIRE": "theano"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=root.parent, env=environment, timeout=240)
    assert done.returncode != 0
    assert "theano" in done.stdout + done.stderr


# -- what a backend may be known not to do: one suite over all of them -------------------------------------------------


def unused_argument(adtype):
    return [] if ad.gradient(lambda x, y: x * x, adtype, 2.0, 3.0)[1] is None else ["a cotangent for y"]


def unused_part(adtype):
    grad = ad.gradient(lambda m: np.sum(m["w"] ** 2), adtype, {"w": np.ones(2), "b": 1.0})[0]
    return [] if grad["b"] is None else ["a cotangent for b"]


def only_the_shape(adtype):
    return [] if ad.gradient(lambda x: np.sum(np.ones_like(x)), adtype, np.ones(2))[0] is None else ["a cotangent"]


def integer_index(adtype):
    grads = ad.gradient(lambda x, i: np.sum(x[i]), adtype, np.ones(3), np.array([0, 2, 2]))
    return [] if grads[1] is None else ["a cotangent for the index"]


def comparison(adtype):
    return [] if ad.gradient(lambda x: np.sum(x == 0.0), adtype, np.ones(3))[0] is None else ["a cotangent"]


def runs_once(adtype):
    calls = []
    ad.withgradient(lambda x: calls.append(1) or x * x, adtype, 1.5)
    return [] if len(calls) == 1 else [f"{len(calls)} runs"]


def written_elsewhere(adtype):
    notes = {}

    def f(x):
        notes["x"] = x * 1.0
        return x * x

    ad.gradient(f, adtype, 1.5)
    return [] if float(notes["x"]) == 1.5 else [f"{notes['x']} was written"]


def rule_used(adtype):
    @ad.primitive
    def marked(x):
        return x * x

    @ad.define_rrule(marked)
    def marked_rrule(x):
        return x * x, lambda y_bar: (ad.NoTangent(), 100.0 * y_bar)

    return [] if ad.gradient(lambda x: marked(x), adtype, 1.5) == (100.0,) else ["the rule was not used"]


HABITS = {
    "None for an unused argument": unused_argument,
    "None for an unused part of a structure": unused_part,
    "None where only the shape is read": only_the_shape,
    "None for an integer index": integer_index,
    "None behind a comparison": comparison,
    "f runs once": runs_once,
    "what f writes elsewhere is the value": written_elsewhere,
    "a primitive's rule is used": rule_used,
}


@pytest.mark.parametrize("case", HABITS)
def test_limits(case, backend):
    judge(backend.name, case, HABITS[case](backend.adtype))
