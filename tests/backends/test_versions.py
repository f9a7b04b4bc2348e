"""Versions of frameworks: the newest known to work is the one that is tested; another that fails is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from adselect.frameworks import FRAMEWORKS

CONSTRAINTS = dict(
    line.split("==")
    for line in (Path(__file__).parents[2] / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line and not line.startswith("#")
)


@pytest.mark.parametrize("row", FRAMEWORKS, ids=lambda row: row.name)
def test_the_newest_version_known_is_the_one_that_is_tested(row):
    assert row.known.rpartition(" ")[2] == CONSTRAINTS[row.packages[0]]


BROKEN = """
import sys, types
from importlib import metadata
import adselect as ad

class Moved(types.ModuleType):  # what we import of it has no such name any more
    __path__ = []

sys.modules["adselect.backends.{name}.face"] = Moved("adselect.backends.{name}.face")
metadata.version = lambda package: "99.0"
try:
    ad.gradient(lambda x: x**2, ad.{adtype}(), 1.0)
except ad.BackendNotInstalledError as error:
    print(error)
print(ad.gradient(lambda x: x**2, ad.AutoTape(), 1.0))
"""


@pytest.mark.parametrize(("name", "adtype"), [("jax", "AutoJax"), ("torch", "AutoTorch"), ("autograd", "AutoAutograd")])
def test_a_version_we_cannot_work_with_is_named(name, adtype):
    pytest.importorskip(name)
    code = BROKEN.format(name=name, adtype=adtype)
    said, result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert f"{adtype}() cannot work with {name} 99.0, which is installed (ImportError: cannot import name '" in said
    known = next(row.known for row in FRAMEWORKS if row.name == name)
    assert f"Known to work: {name} {known}" in said
    assert f'Type: pip install "{name}=={CONSTRAINTS[name]}"' in said
    assert result == "(2.0,)"
