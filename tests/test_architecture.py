"""The house rules that a machine can hold: imports go downwards, importing is cheap, frameworks load on first use."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import adselect

PACKAGE = Path(adselect.__file__).parent
MODULES = {
    ".".join(("adselect", *p.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): p
    for p in PACKAGE.rglob("*.py")
}

# Public doors: they hand out names of any floor, when asked; nothing of the package imports them.
DOORS = ("adselect", "adselect.backends", "adselect.rules")


def rooms_on_the_plan():
    """The floors of docs/explanation/architecture.md, from the ground up: lists of modules and packages."""
    text = (PACKAGE.parent / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## The rooms")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [
        ["adselect." + room.removesuffix(".py").removesuffix("/") for room in re.findall(r"`([^`]+)`", row)]
        for row in rows
    ]


*FLOORS, TOP = rooms_on_the_plan()
FLOORS += [[*DOORS], [*TOP, "adselect.__main__"]]
FRAMEWORKS = {
    "jax": "jax",
    "jaxlib": "jax",
    "torch": "torch",
    "autograd": "autograd",
    "findiff": "finite_differences",
    "scipy": "",
    "rich": "",
    "matplotlib": "",
    "pandas": "",
    "xarray": "",
}


def floor_of(module):
    """The floor that a module stands on; a package's own file stands where the package does."""
    if module in DOORS:
        return len(FLOORS) - 2
    for level, rooms in enumerate(FLOORS):
        if any(room != "adselect" and (module == room or module.startswith(room + ".")) for room in rooms):
            return level
    return None


def imports_of(module, path, everywhere=False):
    """Modules imported at the top level of a file (everywhere: also inside functions)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def nodes(parent):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not everywhere:
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            yield node
            yield from nodes(node)

    for node in nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_downwards(module):
    """All imports, those inside functions too."""
    height = floor_of(module)
    if height is None:
        pytest.fail(f"{module} is on no floor: add its room to FLOORS")
    upwards = set()
    for imported in imports_of(module, MODULES[module], everywhere=True):
        if imported.startswith("adselect") and imported != module:
            below = floor_of(imported)
            assert below is not None, imported
            if below > height:
                upwards.add((module, imported))
    assert not upwards, f"{module} (floor {height}) imports upwards: {sorted(upwards)}"


def circles(graph):
    """The sets of modules that import each other, found by Tarjan's algorithm."""
    import networkx

    return sorted(sorted(found) for found in networkx.strongly_connected_components(graph) if len(found) > 1)


def imports_between_files():
    import networkx

    graph = networkx.DiGraph()
    for module, path in MODULES.items():
        if module not in DOORS:
            for imported in imports_of(module, path, everywhere=True):
                if imported in MODULES and imported not in DOORS and imported != module:
                    graph.add_edge(module, imported)
    return graph


def test_no_files_import_each_other():
    """Imports inside functions count."""
    graph = imports_between_files()
    assert graph.number_of_edges() > 500
    assert circles(graph) == []
    graph.add_edge("adselect.errors", "adselect.operators.gradient")
    assert circles(graph) != []  # it would be seen


# -- sizes -------------------------------------------------------------------------------------------------------------

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 499, 69
# Longer functions, each with what is lost by cutting it. One that has become shorter is a failure: the list shrinks.
LONGER = {
    ("adselect.engine.quick_reverse", "walk"): "the loop over all records; a call per step is what it saves",
    ("adselect.backends.torch.face", "_install_operators"): "one closure per kind of operator, alike and read together",
    ("adselect.backends.jax.face", "_install"): "one closure per kind of operator, alike and read together",
    ("adselect.backends.autograd.face", "_install"): "one closure per kind of operator, alike and read together",
    (
        "adselect.guests.pandas_",
        "classes",
    ): "the classes it makes derive from pandas', which is not imported before",
    ("adselect.testing.argument_scenarios", "arguments"): "a list of scenarios",
    ("adselect.testing.argument_scenarios", "complex_numbers"): "a list of scenarios",
    ("adselect.testing.array_scenarios", "broadcasting"): "a list of scenarios",
}


def functions_of(module):
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def test_files_and_functions_can_be_overlooked():
    long_files = {m: len(p.read_text(encoding="utf-8").splitlines()) for m, p in MODULES.items()}
    assert {m: n for m, n in long_files.items() if n > MOST_LINES} == {}
    found = {(m, name) for m in MODULES for name, lines in functions_of(m) if lines > MOST_LINES_OF_A_FUNCTION}
    assert found - set(LONGER) == set()
    assert set(LONGER) - found == set(), "no longer long: take these out of the list"


# -- frameworks --------------------------------------------------------------------------------------------------------

# What each framework's package has, whose files are then known to whoever knows one of them.
EVERY_FRAMEWORK = {"backend", "call", "face", "natives", "rules", "table"}
SOME_FRAMEWORKS = {"checkpoints", "hooks", "kinks", "operands", "prepared", "shortcuts", "steps", "zeros"}
OWN_FILES = {
    "jax": {
        *("axes", "callbacks", "primitives"),  # shard_map's meshes, calls out of compiled code, JAX's primitives
        *("conversions", "nesting", "prepared_inputs", "prepared_results"),  # parts of call, face and prepared
    },
    "torch": {
        *("compiled", "graph", "gradients", "guard", "progress", "recording"),  # torch.compile; torch's own graph
        *("host_rules", "rule_calls"),  # parts of rules
    },
    "autograd": {"modes", "traces"},  # autograd's traces under our numbering
}


@pytest.mark.parametrize("framework", OWN_FILES)
def test_the_packages_of_the_frameworks_are_alike(framework):
    prefix = f"adselect.backends.{framework}."
    files = {m.removeprefix(prefix) for m in MODULES if m.startswith(prefix)}
    assert files >= EVERY_FRAMEWORK
    others = {f for f in files if not f.startswith("table_")} - EVERY_FRAMEWORK - SOME_FRAMEWORKS
    assert others <= OWN_FILES[framework]


# Where a framework is named outside its own package: the choices, and texts for users of the command line.
NAMED_ELSEWHERE = {
    "adselect": "the names of the choices",
    "adselect.adtypes": "the choices",
    "adselect.cli": "examples in the help text",
    "adselect.frameworks": "the rows",
    "adselect.testing.benchmark": "an environment variable that decides what is timed",
}


def names_in(module):
    """Identifiers and texts of a file, docstrings and comments left out."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    documented = (ast.Module, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    texts = {
        id(n.body[0].value)
        for n in ast.walk(tree)
        if isinstance(n, documented) and n.body and isinstance(n.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            yield node.value


def test_frameworks_are_named_in_their_own_packages_only():
    words = re.compile(r"jax|torch|(?<!\w)autograd|findiff", re.I)
    packages = ("jax", "torch", "autograd", "finite_differences")
    own = tuple(f"adselect.backends.{name}" for name in packages)
    found = {m for m in MODULES if not m.startswith(own) and any(words.search(name) for name in names_in(m))}
    assert found == set(NAMED_ELSEWHERE)


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("adselect.backends.")))
def test_a_backend_names_one_framework(module):
    """A backend's file imports its own framework only, and no other framework's file."""
    mine = module.split(".")[2]
    for imported in imports_of(module, MODULES[module], everywhere=True):
        framework = FRAMEWORKS.get(imported.partition(".")[0])
        assert not framework or mine == framework, f"{module} imports {imported}"
    for imported in imports_of(module, MODULES[module]):
        root = imported.partition(".")[0]
        if root in FRAMEWORKS:
            assert mine == FRAMEWORKS[root], f"{module} imports {imported} when it is itself imported"
        if imported.startswith("adselect.backends."):
            other = imported.split(".")[2]
            neutral = {
                "backend",
                "choice",
                "engine_backend",
                "matrices",
                "faces",
                "framework_array",
                "framework_call",
                "framework_natives",
                "registry",
                "tape",
                "forward",
            }
            assert other == mine or other in neutral, f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(m for m in MODULES if not m.startswith("adselect.backends.")))
def test_frameworks_are_imported_inside_functions_only(module):
    if module == "adselect.testing.plugin" or module.startswith("adselect.rules.special"):
        pytest.skip("loaded by pytest, respectively by SciPy's users")
    for imported in imports_of(module, MODULES[module]):
        assert imported.partition(".")[0] not in FRAMEWORKS, f"{module} imports {imported}"


def test_no_room_without_a_name():
    for path in PACKAGE.rglob("*.py"):
        assert path.stem not in ("utils", "helpers", "core", "common", "misc")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_says_what_it_is_for(module):
    text = MODULES[module].read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{module} has no docstring"


# -- importing -------------------------------------------------------------------------------------------------------


def run(code, **environment):
    command = [sys.executable, "-c", code]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environment).stdout


def test_importing_loads_no_framework():
    loaded = run("import sys, adselect; print(*sorted({m.partition('.')[0] for m in sys.modules}))").split()
    heavy = {
        "jax",
        "jaxlib",
        "torch",
        "autograd",
        "scipy",
        "findiff",
        "rich",
        "matplotlib",
        "sympy",
        "numba",
        "pandas",
        "xarray",
        "networkx",
        "pytest",
    }
    assert not heavy & set(loaded)


def test_importing_does_not_load_testing_or_the_command_line():
    loaded = run("import sys, adselect; print(*[m for m in sys.modules if m.startswith('adselect.')])").split()
    assert not {m for m in loaded if m.startswith(("adselect.testing", "adselect.cli"))}
    assert run("import adselect; print(adselect.testing.compare.__name__)").strip() == "compare"


def test_asking_which_backends_there_are_loads_no_framework():
    loaded = run(
        "import sys, adselect; adselect.available_backends(); print(*{m.partition('.')[0] for m in sys.modules})"
    ).split()
    assert not {"jax", "torch", "autograd", "findiff"} & set(loaded)


def test_importing_loads_nothing_that_is_rarely_needed():
    """What costs milliseconds and serves errors, check=True or a value of its own type is imported by them."""
    added = run(
        "import sys, numpy, numpy.fft, numpy.linalg; before = set(sys.modules)\n"
        "from adselect import *; print(*set(sys.modules) - before)"
    ).split()
    rare = {"datetime", "hashlib", "ipaddress", "numpy.random", "pathlib", "random", "urllib.parse", "uuid"}
    assert "adselect.face.array" in added
    assert not rare & set(added)


def test_rarely_used_rules_wait_for_their_functions():
    """Importing does not load them; whoever meets one of their functions has them, in every way of asking."""
    start = "import sys, numpy as np, adselect as ad; x = np.arange(4.0); rare = 'adselect.rules.fft'\n"
    assert run(start + "ad.gradient(lambda x: np.sum(np.sin(x)), x); print(rare in sys.modules)").strip() == "False"
    for asked in (
        "print(ad.gradient(lambda x: np.linalg.norm(x), x))",
        "print(ad.gradient(lambda x: np.sum(np.argsort(x) * x) + np.sum(np.unique(x)), x))",
        "print(ad.pushforward(lambda x: np.quantile(x, 0.3), (x,), (x,)))",
        "print(ad.rrule(np.fft.fft, x)[0], ad.frule((None, x), np.fft.fft, x)[1])",
        "print(ad.rules_for(np.linalg.svd), ad.rules_for(np.searchsorted), ad.rules_for(np.trapezoid))",
        "print(ad.prepare(ad.gradient, lambda x: np.median(x) + np.var(x), ad.AutoTape(), x)(x))",
    ):
        later = run(f"{start}{asked}; assert rare in sys.modules")
        assert later == run(f"{start}from adselect.rules.registration import load_all; load_all()\n{asked}")


def test_importing_loads_what_is_used():
    """Also where no bytecode can be cached, importing is a few milliseconds: the rest comes with the first name."""
    loaded = "print(*[m for m in sys.modules if m.startswith('adselect')])"
    assert run(f"import sys, adselect; {loaded}").split() == ["adselect"]
    assert "adselect.face.array" not in run(f"import sys; from adselect import AutoJax; AutoJax(); {loaded}").split()
    assert "adselect.engine.trace" in run(f"import sys; from adselect import *; {loaded}").split()


def test_names_have_one_home():
    """What a type checker reads, what is loaded on first use and what ``import *`` gives are the same names."""

    tree = ast.parse(Path(adselect.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    read = {(name.name, imported.module) for imported in block.body for name in imported.names}
    for name, module in read:
        assert getattr(adselect, name) is getattr(importlib.import_module(f"adselect.{module}"), name)
    assert {name for name, _ in read} == set(adselect.__all__)
    assert set(adselect.__all__) <= set(dir(adselect))
    with pytest.raises(AttributeError, match="no attribute 'gradeint'"):
        _ = adselect.gradeint


def test_the_rules_room_has_what_its_reference_says():
    """ "Everything here is also in adselect.rules"."""
    import re

    text = (Path(adselect.__file__).parent.parent / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    homes = (
        "adselect.primitives",
        "adselect.operators.ask",
        "adselect.operators.rule_config",
        "adselect.structure",
        "adselect.backends.registry",
        "adselect.values.tangents",
    )
    names = {
        n
        for n in re.findall(r"\w+", text)
        if n in adselect.__all__ and getattr(adselect, n).__module__.startswith(homes)
    }
    assert {"rules_for", "rrule", "define_rrule", "Thunk"} <= names
    rules = importlib.import_module("adselect.rules")
    assert not {name for name in names if not hasattr(rules, name)}


def test_importing_is_cheap(tmp_path):
    """``import adselect`` is next to nothing; every public name together is at most 45 ms over NumPy, bytecode cached.

    In processor time of the thread: that of the process counts the threads of NumPy's BLAS, which spin for a while
    after a start. The measure is a machine that imports some of Python's own modules in 45 ms; a slower one is given
    more.
    """
    code = (
        "import time, numpy, numpy.fft, numpy.linalg\n"
        "t = time.thread_time(); import adselect; print(time.thread_time() - t)\n"
        "t = time.thread_time(); from adselect import *; print(time.thread_time() - t)\n"
        "t = time.thread_time(); import asyncio, email.mime.text, http.client, unittest.mock, xml.dom.minidom\n"
        "print(time.thread_time() - t)"
    )
    # The cache of its own is written even where the environment forbids to write bytecode or the package is read-only.
    cache = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    run("from adselect import *", **cache)
    assert any(tmp_path.rglob("adselect/face/array.*.pyc")), "no bytecode was cached: this would time the compiler"
    # The least of several: other processes can only add to it.
    runs = [[float(line) for line in run(code, **cache).split()] for _ in range(7)]
    package, names, others = (min(times) for times in zip(*runs, strict=True))
    slower = max(1.0, others / 0.045)
    assert package < 0.005 * slower, f"import adselect takes {1e3 * package:.1f} ms over NumPy"
    assert names < 0.045 * slower, (
        f"from adselect import * takes {1e3 * names:.0f} ms over NumPy; {45 * slower:.0f} are allowed"
    )


def test_choices_are_data():
    import pickle

    for backend in adselect.available_backends():
        adtype = backend.adtype
        assert pickle.loads(pickle.dumps(adtype)) == adtype
        assert hash(adtype) == hash(type(adtype)())
        assert repr(adtype) == f"{type(adtype).__name__}()"
        with pytest.raises(AttributeError):
            adtype.backend_of = 1
        assert eval(repr(adtype), vars(adselect) | {type(adtype).__name__: type(adtype)}) == adtype


def test_public_names_are_documented():
    missing = []
    for name in dir(adselect):
        value = getattr(adselect, name)
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("adselect") and callable(value):
            if not (value.__doc__ or "").strip():
                missing.append(name)
    assert not missing


@pytest.mark.parametrize("module", sorted(MODULES))
def test_all_lists_what_exists(module):
    text = MODULES[module].read_text(encoding="utf-8")
    if "__all__" not in text or module == "adselect.__main__":
        pytest.skip("no __all__")
    tree = ast.parse(text)
    names = next(
        (
            ast.literal_eval(n.value)
            for n in tree.body
            if isinstance(n, ast.Assign)
            and getattr(n.targets[0], "id", "") == "__all__"
            and isinstance(n.value, (ast.List, ast.Tuple))
        ),
        [],
    )
    defined = {getattr(n, "name", None) for n in tree.body}
    defined |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
    defined |= {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    defined |= {a.asname or a.name for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}
    if "__getattr__" not in defined:
        assert set(names) <= defined, set(names) - defined


# A traced value answers isinstance as the NumPy value it stands for; what it really is says adselect.values.kinds.isa.
ANSWERED_AS_NUMPY = {
    *("np.ndarray", "np.generic", "np.number", "np.inexact", "np.floating", "np.integer", "np.bool_"),
    *("float", "int", "complex", "bool", "Number", "numbers.Number", "numbers.Real", "Fraction"),
}


@pytest.mark.parametrize("module", MODULES)
def test_types_of_numbers_are_asked_for_by_the_real_type(module):
    found = []
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            classes = node.args[1]
            names = {ast.unparse(c) for c in (classes.elts if isinstance(classes, ast.Tuple) else [classes])}
            if names & ANSWERED_AS_NUMPY:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    assert not found, f"write isa(value, classes), from adselect.values.kinds: {found}"


def test_the_citation_names_this_version():
    text = (PACKAGE.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {adselect.__version__}\n" in text


def test_extras_install_what_is_imported():
    """Each package of an extra that users install is imported somewhere, by its extra's own purpose."""
    import tomllib

    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    imported = {name.partition(".")[0] for m, p in MODULES.items() for name in imports_of(m, p, everywhere=True)}
    for extra in ("jax", "torch", "autograd", "findiff", "cli", "numba"):
        for requirement in project["optional-dependencies"][extra]:
            assert re.match(r"[\w-]+", requirement)[0] in imported, requirement
    unknown = set(project["optional-dependencies"]) - {"all", "test", "docs", "examples"}
    assert unknown == {"jax", "torch", "autograd", "findiff", "cli", "numba"}


def test_the_tests_mirror_the_package():
    """Each folder of tests is a room, each room has tests; what several suites read stands in samples."""
    tests = Path(__file__).parent
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    files = [path.relative_to(tests).parts for path in tests.rglob("*.py")]
    folders = {parts[0] for parts in files if len(parts) > 1}
    assert folders - {"samples", "sweeps"} <= rooms
    tested = {parts[0] for parts in files if len(parts) > 1 and parts[-1].startswith("test_")}
    assert rooms - tested == {"sparse"}  # an empty room
    assert "samples" not in tested
    names = [path.name for path in tests.rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names), "pytest takes files of one name for the same module"
