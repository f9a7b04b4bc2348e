"""What a newcomer meets: the examples reach what they promise, and the documents say only what is true."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import adselect as ad
from adselect.calls.operator_facts import OPERATORS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
TRACING = ["AutoTape", "AutoForward", "AutoJax", "AutoTorch", "AutoAutograd"]


def needs_all_frameworks() -> None:
    for package in ("jax", "torch", "autograd", "findiff", "sklearn", "scipy", "optax"):
        pytest.importorskip(package)


@pytest.fixture
def example(monkeypatch):
    """Imports an example by name, as ``python examples/name.py`` would find it."""
    needs_all_frameworks()
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if (ROOT / "examples" / f"{name}.py").exists():
            del sys.modules[name]


# -- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adtype", [*TRACING, "AutoFiniteDifferences"])
def test_logistic_regression_reaches_the_optimum_of_scikit_learn(example, adtype, capsys):
    module = example("logistic_regression")
    objective, start = module.problem()
    weights = module.fit(objective, getattr(ad, adtype)(), np.zeros_like(start))
    assert np.max(np.abs(weights - module.reference(*module.load()))) < 1e-6


def test_logistic_regression_runs(example, capsys):
    assert example("logistic_regression").main(["--adtype", "AutoJax"]) == 0
    printed = capsys.readouterr().out
    assert "fitted with AutoJax()" in printed
    assert "accuracy 0.988" in printed


def test_a_slow_simulator_is_spread_over_processes(example, capsys):
    module = example("slow_simulator")
    assert module.main(["--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed in (ROOT / "docs" / "how-to" / "spread-finite-differences.md").read_text()
    rows = module.point()
    step = np.eye(len(rows)) * 1e-6
    plain = [(module.temperature(rows + h) - module.temperature(rows - h)) / 2e-6 for h in step]
    np.testing.assert_allclose(plain, [float(s) for s in printed.splitlines()[1].split()[1:]], atol=1e-3)


def test_digits_network_runs(example, capsys):
    assert example("digits_network").main(["--adtype", "AutoTorch", "--steps", "60"]) == 0
    accuracies = [float(a) for a in re.findall(r"test images ([\d.]+)", capsys.readouterr().out)]
    assert len(accuracies) == 3
    assert min(accuracies) > 0.9


@pytest.mark.parametrize("adtype", TRACING[2:])
def test_every_optimiser_takes_the_same_path_with_every_backend(example, adtype):
    module = example("digits_network")
    objective, parameters = module.problem()
    for train in module.TRAINERS.values():
        expected = train(objective, ad.AutoTape(), parameters, 5)
        trained = train(objective, getattr(ad, adtype)(), parameters, 5)
        for name in parameters:
            np.testing.assert_allclose(trained[name], expected[name], rtol=1e-7, atol=1e-9)


def test_optax_and_torch_agree_and_leave_the_start_alone(example):
    module = example("digits_network")
    objective, parameters = module.problem()
    before = {name: array.copy() for name, array in parameters.items()}
    by_optax = module.train_optax(objective, ad.AutoTape(), parameters, 20)
    by_torch = module.train_torch(objective, ad.AutoTape(), parameters, 20)
    for name in parameters:
        assert by_optax[name].dtype == np.float64
        np.testing.assert_allclose(by_optax[name], by_torch[name], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(parameters[name], before[name])


def test_compare_backends_agrees(example, capsys):
    assert example("compare_backends").main([]) == 0
    printed = capsys.readouterr().out
    for adtype in [*TRACING, "AutoFiniteDifferences"]:
        assert f"{adtype}()" in printed


def test_compare_backends_fails_when_a_gradient_is_wrong(example, monkeypatch, capsys):
    module = example("compare_backends")
    from adselect.backends.tape.backend import TapeBackend

    right = TapeBackend.pullback

    def slightly_wrong(self, call, leaves):
        outputs, aux, back = right(self, call, leaves)
        return outputs, aux, lambda bars: [None if g is None else g * (1 + 1e-5) for g in back(bars)]

    monkeypatch.setattr(TapeBackend, "pullback", slightly_wrong)
    assert module.main([]) == 1


# -- documents --------------------------------------------------------------------------------------------------------


def prose(path: Path) -> str:
    """A document without its code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)", prose(path)):
        assert (path.parent / target).exists(), f"{path} links to {target}"


def test_reference_lists_every_operator():
    text = (ROOT / "docs/reference/operators.md").read_text(encoding="utf-8")
    operators = [name for name in OPERATORS if name in ad.__all__]
    assert operators
    assert [name for name in operators if f"`{name}(" not in text] == []


def test_readme_lists_every_backend():
    from adselect.backends.registry import available_backends

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for backend in available_backends():
        if type(backend.adtype).__module__.startswith("adselect."):
            assert f"| `{backend.adtype!r}` |" in text
            if backend.adtype.extra:
                assert f"adselect[{backend.adtype.extra}]" in text


# -- the commands of the README ---------------------------------------------------------------------------------------


def command(name: str) -> str:
    """The sh block that follows a marker in README.md: the same that .ci/run takes."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- command: {name} -->\n```sh\n(.*?)\n```", text, re.DOTALL)
    assert found, f"README.md has no sh block after <!-- command: {name} -->"
    return found[1]


def test_readme_commands_are_one_line_each_and_use_the_constraints():
    for name, last in (("compare", "python examples/compare_backends.py"), ("test", "python -m pytest -n 2")):
        line = command(name)
        assert "\n" not in line
        assert "pip install -c constraints.txt" in line
        assert line.endswith(last)


def test_constraints_cover_what_the_tests_import():
    """Every installed distribution of the development environment that the extras name has an exact version."""
    lines = [
        row for row in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if row and row[0] != "#"
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^=]+", row) for row in lines)
    pinned = {re.sub(r"[-_.]+", "-", row.split("==")[0]).lower() for row in lines}
    tomllib = importlib.import_module("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    names = {re.match(r"[A-Za-z0-9_.-]+", r)[0].lower() for r in wanted} - {"adselect"}  # type: ignore[index]
    assert names - pinned == set()
