"""The table of limits is strict, and a missing framework is skipped or fails as asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from limits import LIMITS, judge
from samples.habits import HABITS

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


@pytest.mark.parametrize("case", HABITS)
def test_limits(case, backend):
    judge(backend.name, case, HABITS[case](backend.adtype))
