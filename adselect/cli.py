"""The command line: ``adselect backends``, ``adselect compare`` and ``adselect bench``.

Functions are named as ``FILE_OR_MODULE:function``, their arguments written as ``--args EXPR…``. Tables are drawn with
rich where it is installed and as plain text otherwise. Exit status: 0 if all is well, 1 if backends disagree, 2 if the
command itself cannot be carried out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from . import __version__
from .adtypes import ADType
from .backends.registry import available_backends
from .errors import ADSelectError
from .kinds import isa

__all__ = ["main"]


class UsageError(Exception):
    """The command cannot be carried out as written; the message says what to write."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; ``arguments`` default to those of the process.

    >>> main(["compare", "math:sin"])
    2
    """
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return options.command(options)
    except UsageError as error:
        print(f"adselect: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="adselect", description="Differentiate NumPy code with any backend.")
    parser.add_argument("--version", action="version", version=f"adselect {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)

    backends = commands.add_parser("backends", help="which backends there are, their versions and capabilities")
    backends.add_argument("--json", action="store_true", help="print JSON")
    backends.set_defaults(command=_backends)

    compare = commands.add_parser(
        "compare",
        help="differentiate a function with several backends and say whether they agree",
        description="Differentiate a function with several backends. Exit status 1 if they do not agree.",
        epilog='Example: adselect compare model.py:loss --args "np.array([1., 2.])" 3.0 --adtypes tape jax',
    )
    compare.add_argument("function", help="path/to/file.py:function or package.module:function")
    compare.add_argument(
        "--args",
        nargs="+",
        default=[],
        metavar="EXPR",
        help='one Python expression per argument of the function; np is NumPy, e.g. "np.array([1., 2.])"',
    )
    compare.add_argument(
        "--adtypes",
        nargs="+",
        metavar="NAME",
        help="backends by name (tape, jax, …) or as expressions such as 'AutoJax(face=\"native\")'; default: all",
    )
    compare.add_argument("--rtol", type=float, help="relative tolerance (default: what fits each pair of backends)")
    compare.add_argument("--memory", action="store_true", help="also measure the peak of NumPy's allocations")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(command=_compare)

    bench = commands.add_parser(
        "bench",
        help="time gradients with several backends",
        description="Time gradients with several backends, plain and prepared, one thread each, against one evaluation "
        "of the function. Exit status 1 if a backend gives a wrong gradient or none.",
        epilog='Example: adselect bench model.py:loss --args "np.ones(1000)" --adtypes tape jax',
    )
    bench.add_argument("function", nargs="?", help="file.py:function or module:function; default: built-in problems")
    bench.add_argument("--args", nargs="+", default=[], metavar="EXPR", help="the function's arguments")
    bench.add_argument("--adtypes", nargs="+", metavar="NAME", help="as for compare; default: all exact ones installed")
    bench.add_argument("--problems", nargs="+", metavar="NAME", help="built-in problems whose names begin like this")
    bench.add_argument("--quick", action="store_true", help="fewer rounds")
    bench.add_argument("--memory", action="store_true", help="also measure the peak of NumPy's allocations")
    bench.add_argument("--threads", action="store_true", help="leave the backends' threads as they are")
    bench.add_argument("--json", action="store_true", help="print JSON")
    bench.set_defaults(command=_bench)
    return parser


# -- backends --------------------------------------------------------------------------------------------------------


def _backends(options: argparse.Namespace) -> int:
    found = available_backends()
    rows = [b.to_dict() for b in _with_progress(found, lambda b: f"loading {b.name}", options.json)]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    header = ["adtype", "version", "reverse", "forward", "sees None"]
    body = []
    for row in rows:
        marks = [_mark(row[c]) for c in ("reverse", "forward", "detects_independence")]
        version = (row["version"] or "?") if row["installed"] else f"missing: {row['install']}"
        body.append([row["adtype"], version, *marks])
    _print_table(header, body, [not row["installed"] for row in rows])
    return 0


def _mark(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]


# -- compare ---------------------------------------------------------------------------------------------------------


def _compare(options: argparse.Namespace) -> int:
    function = _load(options.function)
    args = tuple([_evaluate(text) for text in options.args])
    if not args:
        raise UsageError('compare needs arguments for the function: --args "np.array([1., 2.])" 3.0')
    adtypes = _choose(options.adtypes)

    from .testing.compare import Report, measure

    rows = [
        measure(function, adtype, args, {}, memory=options.memory)
        for adtype in _with_progress(adtypes, lambda a: f"differentiating with {a!r}", options.json)
    ]
    report = Report(rows, options.rtol)
    if options.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        header, body = report.table()
        _print_table(header, body, [row.status in ("differs", "error") for row in rows])
        print(report.summary())
    return 0 if report.agree else 1


# -- bench -----------------------------------------------------------------------------------------------------------


def _bench(options: argparse.Namespace) -> int:
    from .testing.benchmark import is_single_threaded, table

    if options.threads or is_single_threaded():
        result = _timed(options)
    else:
        # How many threads a library uses is settled when it is loaded, so the timing is done by another process.
        result = _timed_elsewhere(options)
        if isa(result, int):
            return result
    rows = result["rows"]
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        header, body = table(rows)
        _print_table(header, body, [bool(cells[-1]) and "verdict" in header for cells in body])
        print(", ".join(f"{name} {version}" for name, version in result["machine"].items()))
    return int(any(row["status"] in ("differs", "error") for row in rows))


def _timed(options: argparse.Namespace) -> dict[str, Any]:
    """Machine and rows, measured in this process."""
    from .testing.benchmark import benchmark, benchmark_scenarios, machine, scenario_of

    if options.function:
        args = tuple([_evaluate(text) for text in options.args])
        if not args:
            raise UsageError('bench needs arguments for the function: --args "np.array([1., 2.])" 3.0')
        try:
            scenarios = [scenario_of(_load(options.function), args, options.function.rpartition(":")[2])]
        except ADSelectError as error:
            raise UsageError(f"{options.function} has no gradient to time: {error}") from error
    else:
        scenarios = benchmark_scenarios()
        if options.problems:
            chosen = [s for s in scenarios if any(s.name.startswith(name) for name in options.problems)]
            if not chosen:
                raise UsageError(f"--problems: there are {', '.join(s.name for s in scenarios)}")
            scenarios = chosen
    adtypes = None if options.adtypes is None else _choose(options.adtypes)
    effort = {"rounds": 3, "round_seconds": 0.005} if options.quick else {}
    rows = [
        row
        for scenario in _with_progress(scenarios, lambda s: f"timing {s.name}", False)
        for row in benchmark(adtypes, [scenario], memory=options.memory, **effort)
    ]
    return {"machine": machine(), "rows": rows}


def _timed_elsewhere(options: argparse.Namespace) -> dict[str, Any] | int:
    """What another process with one thread measured, or its exit status where it measured nothing."""
    from .testing.benchmark import single_threaded

    command = [sys.executable, "-m", "adselect", "bench", *([options.function] if options.function else []), "--json"]
    for name in ("args", "adtypes", "problems"):
        command += [f"--{name}", *getattr(options, name)] if getattr(options, name) else []
    command += [f"--{name}" for name in ("quick", "memory") if getattr(options, name)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=single_threaded(), check=False)
    return json.loads(done.stdout) if done.stdout else done.returncode


# -- reading the command line ----------------------------------------------------------------------------------------


def _load(target: str) -> Callable:
    """The function named by ``file.py:function`` or ``module:function``."""
    place, separator, name = target.rpartition(":")
    if not separator or not place or not name:
        raise UsageError(f"{target!r} names no function: write path/to/file.py:function or package.module:function")
    folder = os.getcwd()
    try:
        if place.endswith(".py") or os.sep in place:
            if not os.path.isfile(place):
                raise UsageError(f"there is no file {place}")
            folder = os.path.dirname(os.path.abspath(place))
            sys.path.insert(0, folder)
            spec = importlib.util.spec_from_file_location(os.path.basename(place).removesuffix(".py"), place)
            module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
            sys.modules[module.__name__] = module
            spec.loader.exec_module(module)  # type: ignore[union-attr]
        else:
            sys.path.insert(0, folder)
            module = importlib.import_module(place)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{place} cannot be loaded: {type(error).__name__}: {error}") from error
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise UsageError(f"{place} has no {name!r}")
        value = getattr(value, part)
    if not callable(value):
        raise UsageError(f"{target} is {type(value).__name__}, not a function")
    return value


def _evaluate(text: str) -> Any:
    """The value of an expression over numbers and NumPy."""
    try:
        return eval(text, {"np": np, "numpy": np, "range": range, "__builtins__": {}})  # the user's own command line
    except Exception as error:
        raise UsageError(
            f"--args {text!r} is no expression over numbers and np: {type(error).__name__}: {error}"
        ) from error


def _choose(names: list[str] | None) -> list[ADType]:
    """Adtypes from their names; all backends without names."""
    found = available_backends()
    if names is None:
        return [b.adtype for b in found]
    known = {b.name: b.adtype for b in found}
    classes = {type(b.adtype).__name__: type(b.adtype) for b in found}
    chosen = []
    for name in [part for n in names for part in ([n] if "(" in n else n.split(","))]:
        short = name.strip().lower().replace("_", "").replace("-", "").removeprefix("auto").removesuffix("()")
        if short in known:
            chosen.append(known[short])
            continue
        try:
            adtype = eval(name, {**classes, "__builtins__": {}}) if "(" in name else None
        except Exception as error:
            raise UsageError(f"--adtypes {name!r}: {type(error).__name__}: {error}") from error
        if not isinstance(adtype, ADType):
            raise UsageError(f"--adtypes: no backend named {name!r}; known are {', '.join(known)}")
        chosen.append(adtype)
    return chosen


# -- printing --------------------------------------------------------------------------------------------------------


def _rich() -> bool:
    return importlib.util.find_spec("rich") is not None


def _with_progress(items: list, describe: Callable[[Any], str], quiet: bool) -> Iterator[Any]:
    """The items, telling on a terminal's standard error which one is being worked on."""
    if quiet or not sys.stderr.isatty():
        yield from items
    elif _rich():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=len(items))
            for item in items:
                progress.update(task, description=describe(item))
                yield item
                progress.advance(task)
    else:
        for i, item in enumerate(items):
            print(f"[{i + 1}/{len(items)}] {describe(item)}", file=sys.stderr)
            yield item


def _print_table(header: list[str], body: list[list[str]], marked: list[bool]) -> None:
    """A table on standard output; marked rows are red where there is colour."""
    if _rich():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(header_style="bold")
        for name in header:
            table.add_column(name, overflow="fold", no_wrap=name in ("scenario", "adtype", "time", "ratio", "first"))
        for row, red in zip(body, marked, strict=True):
            table.add_row(*[Text(cell) for cell in row], style="red" if red else None)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    for row in [header, ["─" * w for w in widths], *body]:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
