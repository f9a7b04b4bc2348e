"""The command line: what it understands, where its output goes, and the statuses it ends with."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from adselect import cli

MODEL = """
import os, sys
import numpy as np
print("printed on import")

def loss(p, s=1.0):
    print("printed by f")
    return np.sum(p["w"] ** 2) * s

def square(x):
    print("printed by f")
    return np.sum(x * x)

def loud(x):
    os.system("echo printed by another program")
    return np.sum(x)

def fails(x):
    raise ValueError("first line, " * 20 + "\\nthe cure")

def leaves(x):
    sys.exit(3)

def nan(x):
    return np.sum(x) * np.nan

def told_apart(x):
    return np.sum(x * x) if type(x) is np.ndarray else np.sum(x)

def without_rule(x):
    return np.sum(np.histogram2d(x, x)[0])

def vector(x):
    return x
"""


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    (tmp_path / "a_quiet_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("a_quiet_model", None)


def run(capsys, *arguments):
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    "names",
    [
        ["tape", "AutoForward()"],
        ["AutoTape,forward"],
        ["Auto_Tape", "FORWARD"],
        ["tape, AutoForward(chunk_size=2)"],
        ["autotape()", "adselect.AutoForward()"],
    ],
)
def test_spellings(capsys, names):
    status, out, _ = run(
        capsys, "compare", "a_quiet_model.py:square", "--args", "np.ones(2)", "--adtypes", *names, "--json"
    )
    assert status == 0
    found = [row["adtype"] for row in json.loads(out)["rows"]]
    assert found[0] == "AutoTape()"
    assert found[1].startswith("AutoForward(")


@pytest.mark.parametrize("name", ["autograd", "AutoAutograd", "hips", "fd", "finite_differences", "jax", "pytorch"])
def test_every_framework_is_understood(capsys, name):
    """Also where its package is missing, which is a skipped row."""
    status, out, _ = run(
        capsys, "compare", "a_quiet_model.py:square", "--args", "1.0", "--adtypes", "tape", name, "--json"
    )
    assert status in (0, 2)
    assert len(json.loads(out)["rows"]) == 2


def test_arguments_are_python(capsys):
    for text in ("dict(w=np.ones(2))", "{'w': np.array([float(i) for i in range(2)])}", "dict(zip('w', [np.ones(2)]))"):
        status, out, _ = run(
            capsys, "compare", "a_quiet_model.py:loss", "--args", text, "(-2.0)", "--adtypes", "tape,forward"
        )
        assert status == 0, out


@pytest.mark.parametrize("command", ["compare", "bench"])
def test_prints_go_to_standard_error(capsys, command):
    more = ["--quick", "--threads"] if command == "bench" else []
    arguments = [f"{command}", "a_quiet_model.py:square", "--args", "np.ones(2)", "--adtypes", "tape,forward", *more]
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0
    json.loads(out)
    assert "printed on import" in err
    assert "printed by f" in err
    status, out, err = run(capsys, *arguments)
    assert "printed" not in out


@pytest.mark.skipif(os.name != "posix", reason="echo is a program")
def test_prints_of_other_programs_too():
    command = [sys.executable, "-m", "adselect", "compare", "a_quiet_model.py:loud", "--args", "1.0", "--json"]
    done = subprocess.run([*command, "--adtypes", "tape,forward"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agree"] is True
    assert "printed by another program" in done.stderr


STATUS = {
    "nan": (["compare", "nan", "--args", "1.0"], 1, "give NaN"),
    "told apart": (["compare", "told_apart", "--args", "np.array([1., 2.])"], 1, "do NOT agree"),
    "a backend fails": (["compare", "without_rule", "--args", "np.ones(2)"], 1, "histogram2d"),
    "f fails": (["compare", "fails", "--args", "1.0"], 2, "the cure"),
    "f leaves": (["compare", "leaves", "--args", "1.0"], 2, "ended the program"),
    "no arguments": (["compare", "square"], 2, "--args"),
    "not enough backends": (["compare", "square", "--args", "1.0", "--adtypes", "tape"], 2, "nothing to compare"),
    "bench: f fails": (["bench", "fails", "--args", "1.0"], 2, "the cure"),
    "bench: f leaves": (["bench", "leaves", "--args", "1.0"], 2, "SystemExit"),
    "bench: no scalar": (["bench", "vector", "--args", "np.ones(2)"], 2, "Reduce it"),
    "bench: no rule": (["bench", "without_rule", "--args", "np.ones(2)"], 2, "histogram2d"),
    "bench: too many arguments": (["bench", "square", "--args", "1.0", "2.0"], 2, "TypeError"),
    "bench: no arguments": (["bench", "square"], 2, "--args"),
    "bench: bad expression": (["bench", "square", "--args", "1 +"], 2, "no expression"),
    "bench: no backend": (["bench", "square", "--args", "1.0", "--adtypes", "theano"], 2, "no backend named 'theano'"),
}


@pytest.mark.parametrize("name", STATUS)
@pytest.mark.parametrize("drawing", ["rich", "plain"])
def test_statuses(capsys, monkeypatch, name, drawing):
    if drawing == "plain":
        monkeypatch.setattr(cli, "_rich", lambda: False)
    elif importlib.util.find_spec("rich") is None:
        pytest.skip("rich is not installed")
    (command, function, *rest), status, says = STATUS[name]
    if "--adtypes" not in rest:
        rest = [*rest, "--adtypes", "tape", "forward"]
    more = ["--quick", "--threads"] if command == "bench" else []
    found, out, err = run(capsys, command, f"a_quiet_model.py:{function}", *rest, *more)
    assert found == status, out + err
    assert says in out + err
    assert "Traceback" not in out + err


def test_bench_in_its_own_process(capsys):
    arguments = ["bench", "a_quiet_model.py:square", "--args", "np.ones(2)", "--adtypes", "AutoTape", "--quick"]
    status, out, _ = run(capsys, *arguments, "--json")
    assert status == 0
    assert {row["adtype"] for row in json.loads(out)["rows"]} == {"AutoTape()"}
    status, out, _ = run(capsys, *[a.replace(":square", ":fails") for a in arguments])
    assert status == 2
    assert not out


def test_bench_with_a_package_that_is_missing(capsys, monkeypatch):
    from adselect.backends import choice

    monkeypatch.setattr(choice, "installed", lambda adtype: not adtype.requires)
    monkeypatch.setattr(choice, "CLASSES", {})
    arguments = ["bench", "a_quiet_model.py:square", "--args", "1.0", "--adtypes", "tape,fd(order=4)", "--quick"]
    status, out, _ = run(capsys, *arguments, "--threads", "--json")
    assert status == 0
    rows = [row for row in json.loads(out)["rows"] if "order" in row["adtype"]]
    assert {row["status"] for row in rows} == {"skipped"}
    assert all('pip install "adselect[findiff]"' in row["reason"] for row in rows)


def test_a_framework_that_cannot_be_loaded(capsys, monkeypatch):
    from adselect.backends.registry import BackendInfo

    def broken(self):
        raise OSError("libsomething.so: not found") if self.name == "torch" else AssertionError

    original = BackendInfo.to_dict
    monkeypatch.setattr(
        BackendInfo, "to_dict", lambda self: broken(self) if self.name == "torch" and self.installed else original(self)
    )
    status, out, _ = run(capsys, "backends", "--json")
    assert status == 0
    row = next(r for r in json.loads(out) if r["name"] == "torch")
    if row["installed"]:
        assert row["error"] == "OSError: libsomething.so: not found"
