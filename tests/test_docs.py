"""Runs every ``python`` block of the README and of docs/: in order, one namespace per file, in this process.

Blocks written as doctests (``>>>``) are run as doctests; lines of others that start with ``# > `` are what they print.
A block that cannot run is fenced as ``text`` or marked ``python no-run``.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from adselect.engine import quick

ROOT = Path(__file__).parent.parent
FILES = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if p.exists()]
FENCE = re.compile(r"^```python[ \t]*([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PACKAGES = {
    "jax": "jax",
    "torch": "torch",
    "autograd": "autograd",
    "findiff": "findiff",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "pandas": "pandas",
    "xarray": "xarray",
    "optax": "optax",
    "sklearn": "sklearn",
    "dask": "dask",
}


def blocks(text):
    """Line number, info string and source of every python block."""
    for match in FENCE.finditer(text):
        yield text[: match.start(2)].count("\n") + 1, match.group(1).strip(), match.group(2)


def needed(text):
    """Packages that the code of a file imports or reaches by an adtype."""
    found = {p for p in PACKAGES if re.search(rf"^\s*(>>> )?(import|from) {p}\b", text, re.MULTILINE)}
    found |= {
        p
        for p, name in (("jax", "AutoJax"), ("torch", "AutoTorch"), ("autograd", "AutoAutograd"))
        if f"{name}(" in text
    }
    return found | ({"findiff"} if "AutoFiniteDifferences(" in text else set())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_run(path, tmp_path, monkeypatch):
    text = path.read_text(encoding="utf-8")
    code = "\n".join(source for _, _, source in blocks(text))
    for package in sorted(needed(code)):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)  # what an example writes goes nowhere
    if "matplotlib" in code:
        monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace = {"__name__": "__docs__"}
    state = np.random.get_state()
    options = np.get_printoptions()
    jax = sys.modules.get("jax")
    precise = jax.config.jax_enable_x64 if jax is not None else False
    try:
        for line, info, source in blocks(text):
            if "no-run" in info:
                continue
            run_block(source, namespace, path, line)
    finally:
        quick.install()  # the page that reads the engine switches the short paths off
        np.random.set_state(state)
        np.set_printoptions(**options)
        if (jax := sys.modules.get("jax")) is not None:  # a page may choose it for a whole program
            jax.config.update("jax_enable_x64", precise)


def run_block(source, namespace, path, line):
    name = f"{path.relative_to(ROOT)}"
    if ">>>" in source:
        flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        example = doctest.DocTestParser().get_doctest(source, namespace, name, str(path), line - 1)
        report = []
        runner = doctest.DocTestRunner(optionflags=flags)
        runner.run(example, out=report.append, clear_globs=False)
        namespace.update(example.globs)
        assert not report, f"{name}, block at line {line}:\n{''.join(report)}"
        return
    padded = "\n" * (line - 1) + source  # line numbers of the file in tracebacks
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("error")
        exec(compile(padded, str(path), "exec", dont_inherit=True), namespace)
    shown = [row[4:] for row in source.splitlines() if row.startswith("# > ")]
    assert [row.rstrip() for row in printed.getvalue().splitlines()] == shown, f"{name}:{line}"


def stale_quotations(text):
    """Quotations, ``python no-run FILE``, that are not word for word in their file, line breaks apart."""
    for line, info, source in blocks(text):
        file = info.partition("no-run ")[2]
        if file:
            kept = (ROOT / file).read_text(encoding="utf-8")
            if "".join(source.split()) not in "".join(kept.split()):
                yield f"line {line}: {file}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_quoted_code_is_that_of_the_file(path):
    text = path.read_text(encoding="utf-8")
    assert not list(stale_quotations(text))
    if path.stem == "reading-the-engine":
        assert sum(info.startswith("no-run ") for _, info, _ in blocks(text)) > 8
        assert list(stale_quotations(text.replace("bars[place] = None", "bars[place] = 0")))


def test_fences_are_closed():
    for path in FILES:
        fences = re.findall(r"^```", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) % 2 == 0, path


def test_links_inside_the_repository_lead_somewhere():
    broken = []
    for path in FILES:
        text = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S))
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken


def linked(page):
    """The files of the repository that a page links to."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return {(page.parent / target).resolve() for target in found if "://" not in target}


def test_every_page_is_in_the_list_of_the_readme():
    listed = linked(ROOT / "README.md")
    assert [str(p.relative_to(ROOT)) for p in FILES[1:] if p.resolve() not in listed] == []


def test_every_room_is_on_the_plan():
    """Each file and folder of the package, and each file of the operators, has its line among the rooms."""
    text = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    table = text.partition("## The rooms")[2].partition("\n## ")[0]
    package = ROOT / "adselect"
    files = [*package.glob("*.py"), *(package / "operators").glob("*.py")]
    rooms = [p.name for p in files if not p.name.startswith("__")]
    rooms += [f"{p.name}/" for p in package.iterdir() if (p / "__init__.py").exists()]
    assert [room for room in sorted(rooms) if f"`{room}`" not in table] == []


def test_the_runner_can_fail(tmp_path):
    page = ROOT / "README.md"
    with pytest.raises(AssertionError, match="Expected"):
        run_block(">>> 1 + 1\n3\n", {}, page, 1)
    with pytest.raises(AssertionError):
        run_block("assert 1 + 1 == 3\n", {}, page, 1)
    assert [b[2] for b in blocks("```python\nx = 1\n```\ntext\n```python no-run\ny\n```\n")] == ["x = 1\n", "y\n"]
