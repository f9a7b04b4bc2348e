"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

TEST = """
import numpy as np
import adselect as ad

def test_square(adtype):
    (grad,) = ad.gradient(lambda x: np.sum(x**2), adtype, np.array([1.0, 2.0]))
    np.testing.assert_allclose(grad, [2.0, 4.0], rtol=1e-6)

def test_without():
    pass
"""
OWN = """
import pytest

@pytest.fixture
def adtype():
    return "mine"

def test_own(adtype):
    assert adtype == "mine"

@pytest.mark.parametrize("adtype", [1, 2])
def test_parametrised(adtype):
    assert adtype in (1, 2)
"""


def run(folder, text, *arguments):
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    registered = any(e.value == "adselect.testing.plugin" for e in metadata.entry_points(group="pytest11"))
    load = [] if registered else ["-p", "adselect.testing.plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *load, *arguments, "test_it.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout + done.stderr


def test_a_stranger_gets_the_chosen_backends(tmp_path):
    status, out = run(tmp_path, TEST, "--adtypes", "tape,AutoForward()", "-vv")
    assert status == 0, out
    assert "test_square[tape]" in out
    assert "test_square[forward]" in out
    assert "3 passed" in out


def test_every_installed_backend_by_default(tmp_path):
    status, out = run(tmp_path, TEST, "--collect-only")
    assert status == 0, out
    from adselect import available_backends

    for backend in available_backends():
        assert (f"test_square[{backend.name}]" in out) == backend.installed


def test_any_spelling_and_options(tmp_path):
    status, out = run(tmp_path, TEST, "--adtypes", "Auto_Tape, AutoForward(chunk_size=2)", "--collect-only")
    assert status == 0, out
    assert "test_square[tape]" in out
    assert "test_square[AutoForward(chunk_size=2)]" in out


def test_an_unknown_name_is_a_usage_error(tmp_path):
    status, out = run(tmp_path, TEST, "--adtypes", "theano")
    assert status != 0
    assert "no backend named 'theano'; known are tape" in out


def test_a_fixture_of_the_same_name_wins(tmp_path):
    status, out = run(tmp_path, OWN)
    assert status == 0, out
    assert "3 passed" in out


def test_the_plugin_is_registered():
    if not metadata.entry_points(group="pytest11", name="adselect"):
        pytest.skip("adselect is not installed with its entry points")
    (entry,) = set(metadata.entry_points(group="pytest11", name="adselect"))
    assert entry.value == "adselect.testing.plugin"


def test_in_this_run(adtype):
    """The suite itself uses the fixture."""
    from adselect import derivative

    assert derivative(lambda t: t**3, adtype, 2.0) == pytest.approx(12.0, rel=1e-8)
