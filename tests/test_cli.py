"""The command line, called in this process; once as a module in another."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from adselect import cli

MODEL = """
import numpy as np

def loss(x, s=2.0):
    return np.sum(np.sin(x) * s)

def kinked(x):
    return x * x if type(x) in (float, np.float64) else 3.0 * x * x

def vector(x):
    return x * 2

class Model:
    @staticmethod
    def energy(x):
        return x**2

number = 3.0
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    (tmp_path / "a_model_of_mine.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_model_of_mine.py"
    sys.modules.pop("a_model_of_mine", None)


@pytest.fixture(params=["rich", "plain"])
def drawing(request, monkeypatch):
    """With rich, and as if it were not installed."""
    if request.param == "plain":
        monkeypatch.setattr(cli, "_rich", lambda: False)
    elif importlib.util.find_spec("rich") is None:
        pytest.skip("rich is not installed")
    return request.param


def run(capsys, *arguments):
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def test_backends(capsys, drawing):
    status, out, _ = run(capsys, "backends")
    assert status == 0
    for word in ("AutoTape()", "AutoForward()", "reverse", "version"):
        assert word in out


def test_backends_json(capsys):
    status, out, _ = run(capsys, "backends", "--json")
    assert status == 0
    rows = {r["name"]: r for r in json.loads(out)}
    assert rows["tape"]["reverse"] is True
    assert rows["tape"]["installed"] is True
    assert rows["jax"]["install"] == 'pip install "adselect[jax]"'


def test_compare(capsys, model, drawing):
    status, out, _ = run(
        capsys, "compare", f"{model}:loss", "--args", "np.array([1., 2.])", "2.0", "--adtypes", "tape", "forward"
    )
    assert status == 0
    assert "2 backends agree" in out
    assert "AutoForward()" in out


def test_compare_a_module_and_an_attribute(capsys, model):
    status, out, _ = run(
        capsys, "compare", "a_model_of_mine:Model.energy", "--args", "3.0", "--adtypes", "tape,forward"
    )
    assert status == 0
    assert "2 backends agree" in out


def test_compare_json(capsys, model):
    status, out, _ = run(
        capsys, "compare", f"{model}:loss", "--args", "1.0", "3", "--adtypes", "AutoTape", "auto-forward", "--json"
    )
    assert status == 0
    report = json.loads(out)
    assert report["agree"] is True
    assert [r["adtype"] for r in report["rows"]] == ["AutoTape()", "AutoForward()"]
    assert report["rows"][0]["gradient"]["args[0]"] == pytest.approx(3 * 0.5403023058681398)


def test_adtypes_as_expressions(capsys, model):
    status, out, _ = run(
        capsys, "compare", f"{model}:loss", "--args", "1.0", "--adtypes", "AutoForward(chunk_size=3)", "tape", "--json"
    )
    assert status == 0
    assert json.loads(out)["rows"][0]["adtype"] == "AutoForward(chunk_size=3)"


def test_status_1_on_disagreement(capsys, model, drawing):
    pytest.importorskip("findiff")
    # Finite differences hand f plain numbers, the tape traced ones: this function tells them apart.
    status, out, _ = run(
        capsys,
        "compare",
        f"{model}:kinked",
        "--args",
        "2.0",
        "--adtypes",
        "tape",
        "forward",
        "finitedifferences",
        "--rtol",
        "1e-6",
    )
    assert status == 1
    assert "NOT agree" in out


def test_status_1_on_errors_of_f(capsys, model):
    status, out, _ = run(
        capsys, "compare", f"{model}:vector", "--args", "np.ones(2)", "--adtypes", "tape", "forward", "--json"
    )
    assert status == 1
    assert [r["status"] for r in json.loads(out)["rows"]] == ["error", "error"]


USAGE = {
    "no function": (["compare", "a_model_of_mine.py", "--args", "1.0"], "names no function"),
    "no file": (["compare", "nowhere.py:f", "--args", "1.0"], "no file nowhere.py"),
    "no module": (["compare", "no_such_module_here:f", "--args", "1.0"], "cannot be loaded"),
    "no such name": (["compare", "a_model_of_mine.py:nothing", "--args", "1.0"], "has no 'nothing'"),
    "not callable": (["compare", "a_model_of_mine.py:number", "--args", "1.0"], "float, not a function"),
    "no arguments": (["compare", "a_model_of_mine.py:loss"], "--args"),
    "bad expression": (["compare", "a_model_of_mine.py:loss", "--args", "1 +"], "no expression"),
    "raising expression": (["compare", "a_model_of_mine.py:loss", "--args", "nothing(1)"], "NameError"),
    "ending expression": (["compare", "a_model_of_mine.py:loss", "--args", "exit(3)"], "SystemExit"),
    "unknown backend": (
        ["compare", "a_model_of_mine.py:loss", "--args", "1.0", "--adtypes", "theano"],
        "no backend named 'theano'; known are tape",
    ),
    "bad backend expression": (
        ["compare", "a_model_of_mine.py:loss", "--args", "1.0", "--adtypes", "AutoTape(foo=1)"],
        "foo",
    ),
    "unknown command": (["divide"], "invalid choice"),
    "no command": ([], "required"),
    "unknown option": (["backends", "--yaml"], "unrecognized"),
    "bad number": (["compare", "a_model_of_mine.py:loss", "--args", "1.0", "--rtol", "small"], "invalid float"),
}


@pytest.mark.parametrize("name", USAGE)
def test_status_2_on_usage_errors(capsys, model, name):
    arguments, says = USAGE[name]
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert says in err
    assert not out
    assert "Traceback" not in err


def test_help_and_version(capsys):
    for arguments in (["--help"], ["compare", "--help"], ["--version"]):
        status, out, _ = run(capsys, *arguments)
        assert status == 0
        assert "adselect" in out


def test_progress_is_shown_on_terminals_only(capsys, model, monkeypatch, drawing):
    arguments = ["compare", f"{model}:loss", "--args", "1.0", "--adtypes", "tape", "forward"]
    _, _, err = run(capsys, *arguments)
    assert err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    _, _, err = run(capsys, *arguments)
    if drawing == "plain":
        assert "[1/2] differentiating with AutoTape()" in err


def on_a_terminal(*arguments):
    """Standard output, and what a terminal shows of standard error."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "adselect", *arguments]
    shown = b""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 4096):
                shown += part
        out = process.stdout.read().decode()
    os.close(ours)
    return out, shown.decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals to be had")
def test_a_terminal_shows_a_bar_and_json_stays_json(model):
    pytest.importorskip("rich")
    arguments = [f"{model}:loss", "--args", "1.0", "--adtypes", "tape", "forward"]
    out, shown = on_a_terminal("compare", *arguments)
    assert "differentiating with AutoForward()" in shown
    assert "100%" in shown
    assert "differentiating" not in out
    out, shown = on_a_terminal("compare", *arguments, "--json")
    assert json.loads(out)["agree"]
    assert not shown
    out, shown = on_a_terminal("bench", *arguments, "--quick", "--json")
    assert len(json.loads(out)["rows"]) == 4
    assert "timing loss" in shown


def test_as_a_module(model):
    command = [
        sys.executable,
        "-m",
        "adselect",
        "compare",
        f"{model}:loss",
        "--args",
        "1.0",
        "--adtypes",
        "tape",
        "forward",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2 backends agree" in done.stdout
    assert subprocess.run([sys.executable, "-m", "adselect"], capture_output=True, timeout=120).returncode == 2
