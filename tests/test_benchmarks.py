"""Benchmarks: that gradients agree before they are timed, and what rows look like. Times themselves are not tested."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import adselect as ad
from adselect import cli
from adselect.testing import Scenario, benchmark, benchmark_scenarios
from adselect.testing.benchmark import is_single_threaded, machine, single_threaded, table, time_calls

FOLDER = Path(__file__).parent.parent / "benchmarks"
KEYS = ["scenario", "operator", "adtype", "prepared", "status", "seconds", "primal", "ratio", "first", "peak", "reason"]
FAST = {"rounds": 1, "round_seconds": 1e-4}
PACKAGES = {
    "autograd": "autograd",
    "torch": "torch",
    "jax": "jax",
    "scan": "jax",
    "native": "numba",
    "autojax": "jax",
    "autotorch": "torch",
}


@pytest.fixture(scope="module")
def script():
    """The modules of benchmarks/, as the script finds them."""
    if not FOLDER.exists():
        pytest.skip("benchmarks/ is not part of this copy")
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("run")
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("run", "contestants", "problems"):
            sys.modules.pop(name, None)


def present(name):
    package = PACKAGES.get(name)
    return package is None or importlib.util.find_spec(package) is not None


# -- the public function ---------------------------------------------------------------------------------------------


def cube(expected=12.0):
    return Scenario("cube", "gradient", lambda t: t**3, (2.0,), (expected,))


def test_rows():
    rows = benchmark([ad.AutoTape(), ad.AutoForward()], [cube()], memory=True, **FAST)
    assert [list(row) for row in rows] == [KEYS] * 4
    assert [(row["adtype"], row["prepared"]) for row in rows] == [
        ("AutoTape()", False),
        ("AutoTape()", True),
        ("AutoForward()", False),
        ("AutoForward()", True),
    ]
    for row in rows:
        assert row["status"] == "ok"
        assert row["reason"] == ""
        assert row["seconds"] > 0
        assert row["first"] > 0
        assert row["peak"] > 0
        assert row["ratio"] == row["seconds"] / row["primal"]
    json.dumps(rows)


def test_a_wrong_gradient_gets_no_time():
    (row,) = benchmark([ad.AutoTape()], [cube(13.0)], prepared=False, **FAST)
    assert row["status"] == "differs"
    assert "expected 13.0" in row["reason"]
    assert row["seconds"] is row["ratio"] is row["first"] is None


def test_a_backend_that_raises_has_a_row():
    def f(x):
        raise ValueError("no")

    scenario = Scenario("raises", "gradient", lambda x: x if type(x) is float else f(x), (1.0,), (1.0,))
    (row,) = benchmark([ad.AutoTape()], [scenario], prepared=False, **FAST)
    assert row["status"] == "error"
    assert row["reason"] == "ValueError: no"


def test_strings_are_refused():
    with pytest.raises(TypeError, match="AutoTape"):
        benchmark("tape", [cube()])


@pytest.mark.parametrize("scenario", benchmark_scenarios(), ids=lambda s: s.name)
def test_built_in_problems_are_right(scenario):
    (row,) = benchmark([ad.AutoTape()], [scenario], prepared=False, **FAST)
    assert row["status"] == "ok", row["reason"]


def test_forward_mode_is_left_out_of_long_gradients():
    rows = benchmark(None, [s for s in benchmark_scenarios() if s.name == "waves 1,000"], prepared=False, **FAST)
    assert "AutoTape()" in [row["adtype"] for row in rows]
    assert "AutoForward()" not in [row["adtype"] for row in rows]


def test_the_first_call_is_not_counted():
    calls = []
    times = time_calls({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, round_seconds=0.0)
    assert {name: len(taken) for name, taken in times.items()} == {"a": 3, "b": 3}
    assert "".join(calls)[-6:] == "abbaab"


def test_table():
    header, body = table(benchmark([ad.AutoTape()], [cube(), cube(13.0)], prepared=False, **FAST))
    assert header == ["scenario", "adtype", "time", "ratio", "first", "verdict"]
    assert body[0][:2] == ["cube", "f alone"]
    assert all(len(cells) == len(header) for cells in body)
    assert body[-1][-1].startswith("differs: ")


def test_machine():
    assert machine()["numpy"] == np.__version__
    assert machine()["adselect"] == ad.__version__


def test_one_thread():
    code = "from adselect.testing.benchmark import is_single_threaded; print(is_single_threaded())"
    environment = single_threaded()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert environment is not os.environ
    assert is_single_threaded() == all(os.environ.get(k) == v for k, v in environment.items())


# -- adselect bench --------------------------------------------------------------------------------------------------


def test_command(capsys):
    assert cli.main(["bench", "--quick", "--problems", "growth", "--adtypes", "tape"]) == 0
    out = capsys.readouterr().out
    for word in ("growth", "f alone", "AutoTape()", "prepared", "numpy"):
        assert word in out


def test_command_json(capsys, tmp_path):
    (tmp_path / "timed_model.py").write_text("def loss(x):\n    return (x * x).sum()\n")
    place = f"{tmp_path / 'timed_model.py'}:loss"
    arguments = ["bench", place, "--args", "np.ones(3)", "--adtypes", "tape", "forward", "--quick", "--json"]
    assert cli.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found) == ["machine", "rows"]
    assert {row["status"] for row in found["rows"]} == {"ok"}
    assert {row["scenario"] for row in found["rows"]} == {"loss"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--problems", "nothing"], "rosenbrock 100"),
        (["math:sin"], "bench needs arguments"),
        (["math:nothing", "--args", "1.0"], "has no 'nothing'"),
    ],
)
def test_command_used_wrongly(capsys, arguments, sentence):
    assert cli.main(["bench", "--threads", *arguments]) == 2
    assert sentence in capsys.readouterr().err


# -- benchmarks/ -----------------------------------------------------------------------------------------------------


def small(script):
    """The smallest problem of every family."""
    found = {}
    for problem in script.problems():
        found.setdefault(problem.family, problem)
    return list(found.values())


def test_every_contestant_agrees(script):
    names = [n for n in script.CONTESTANTS if present(n)]
    # One problem for those that compile; the others take part in all of them.
    slow = {"jax", "scan", "native", "autojax"}
    for problem in small(script):
        chosen = [n for n in names if n not in slow or problem.family == "rosenbrock"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = script.measure(problem, chosen, 1, 1e-4)
        assert [r["contestant"] for r in rows] == chosen
        wrong = [(r["contestant"], r["reason"]) for r in rows if r["status"] not in ("ok", "declined")]
        assert not wrong, f"{problem.name}: {wrong}"
        for row in rows:
            assert (row["seconds"] is not None) == (row["status"] == "ok")
            assert (row["reason"] != "") == (row["status"] == "declined")
        assert {"primal", "tape"} <= {r["contestant"] for r in rows if r["status"] == "ok"}


def test_adjoints_by_hand_are_right(script):
    for problem in script.problems():
        if problem.hand is not None and problem.numbers <= 10_000 and problem.kind != "large":
            value, gradient = ad.withgradient(problem.make(np), *problem.args)
            assert not script.disagreements({"hand": problem.hand(*problem.args), "tape": (value, gradient)}), problem


def test_a_wrong_contestant_is_found(script):
    right = (1.0, (np.ones(3),))
    assert script.disagreements({"a": right, "b": right, "c": (1.0, None)}) == {}
    wrong = script.disagreements({"a": right, "b": (1.0, (np.array([1.0, 1.0, 1.0 + 1e-8]),)), "c": right})
    assert list(wrong) == ["b"]
    assert "off by 1e-08" in wrong["b"]
    assert list(script.disagreements({"a": right, "b": (np.nan, None), "c": right})) == ["b"]
    assert list(script.disagreements({"a": right, "b": (1.0, (np.ones((3, 1)),)), "c": right})) == ["b"]


def test_report_and_means(script, tmp_path):
    row = {"family": "f", "class": "small", "status": "ok", "reason": "", "first": 1.0}
    seconds = {("f 1", 1): (1.0, 2.0, 8.0), ("f 10", 10): (1.0, 5.0, 10.0)}
    rows = [
        {**row, "problem": problem, "size": size, "contestant": name, "seconds": taken}
        for (problem, size), times in seconds.items()
        for name, taken in zip(("primal", "tape", "autograd"), times, strict=True)
    ]
    (first, second) = script.means(rows)
    assert (first["slower"], first["faster"]) == ("autograd", "tape")
    assert first["small"] == pytest.approx({"mean": 8**0.5, "least": 2.0, "most": 4.0, "problems": 2})
    assert (second["slower"], second["faster"]) == ("tape", "primal")
    text = script.report({"machine": {"processor": "p"}, "rows": rows, "memory": []})
    assert "| autograd / AutoTape | **2.83** (2.00–4.00) |" in " ".join(text.split())
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: start -->\nold\n<!-- measured: stop -->\nafter\n")
    script.write_between_marks(page, "new")
    assert page.read_text() == "before\n<!-- measured: start -->\n\nnew\n\n<!-- measured: stop -->\nafter\n"


def test_numbers_of_an_earlier_run(script, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script, "is_single_threaded", lambda: True)
    row = {"problem": "p", "family": "f", "size": 1, "class": "small", "reason": "", "first": 1.0, "seconds": 1.0}
    rows = [{**row, "contestant": c, "status": "ok"} for c in ("primal", "tape")]
    numbers, page = tmp_path / "numbers.json", tmp_path / "page.md"
    for status, exit_status in (("ok", 0), ("differs", 1)):
        rows[1]["status"] = status
        numbers.write_text(json.dumps({"machine": {}, "rows": rows, "memory": []}))
        with warnings.catch_warnings():
            assert script.main(["--read", str(numbers), "--markdown", str(page)]) == exit_status
        assert "AutoTape" in capsys.readouterr().out
        assert page.exists() == (status == "ok")  # a page is not written with a wrong gradient in it
        page.unlink(missing_ok=True)


def test_plots(script, tmp_path):
    pytest.importorskip("matplotlib")
    row = {"family": "f", "class": "small"}
    rows = [{**row, "contestant": c, "size": n, "seconds": 1e-6 * n} for n in (1, 10) for c in script.CONTESTANTS]
    (path,) = script.plot(rows, tmp_path / "plots")
    assert path.stat().st_size > 1000


def test_unknown_problems_are_refused(script):
    with pytest.raises(SystemExit, match="rosenbrock 10"):
        script.choose(["nothing"], False)
    assert {p.name for p in script.choose(None, True)} == set(script.QUICK)
