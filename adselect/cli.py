"""The command line: ``adselect backends``, ``adselect compare`` and ``adselect bench``.

Functions are named as ``FILE_OR_MODULE:function``, their arguments written as ``--args EXPR…``, which is Python. Tables
are drawn with rich where it is installed and as plain text otherwise. What the user's code prints goes to standard
error: nothing but the result stands on standard output. Exit status: 0 if backends agree, 1 if they differ, 2 if the
command cannot be carried out.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
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
from .backends.registry import BackendInfo, available_backends, choices_from
from .errors import ADSelectError
from .values.kinds import isa

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


@contextlib.contextmanager
def _prints_to_stderr() -> Iterator[None]:
    """Within, standard output is standard error, also for what is not written by Python."""
    own = sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__
    sys.stdout.flush()
    kept = os.dup(1) if own else -1
    try:
        if own:
            os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if own:
            sys.stderr.flush()
            os.dup2(kept, 1)
            os.close(kept)


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
        description="Differentiate a function with several backends and hold their values against the function itself. "
        "Exit status: 0 they agree, 1 they differ, raise or give NaN, 2 it cannot be done. What the function prints "
        "goes to standard error.",
        epilog='Example: adselect compare model.py:loss --args "np.array([1., 2.])" 3.0 --adtypes tape jax',
    )
    compare.add_argument("function", help="path/to/file.py:function or package.module:function")
    compare.add_argument(
        "--args",
        nargs="+",
        default=[],
        metavar="EXPR",
        help="one Python expression per argument of the function, evaluated as it is; np is NumPy, e.g. "
        '"np.array([1., 2.])" or "dict(w=np.ones(3))"; one that begins with a minus goes into brackets',
    )
    compare.add_argument(
        "--adtypes",
        nargs="+",
        metavar="NAME",
        help="backends by name in any spelling (tape, jax, fd, AutoTorch, finite_differences, …), with options in "
        "brackets if wanted: 'AutoJax(face=\"native\")'; default: all",
    )
    compare.add_argument("--rtol", type=float, help="relative tolerance (default: what fits each pair of backends)")
    compare.add_argument("--memory", action="store_true", help="also measure the peak of NumPy's allocations")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(command=_compare)

    bench = commands.add_parser(
        "bench",
        help="time gradients with several backends",
        description="Time gradients with several backends, plain and prepared, one thread each, against one evaluation "
        "of the function. Exit status 1 if a backend gives a wrong gradient or none, 2 if it cannot be done.",
        epilog='Example: adselect bench model.py:loss --args "np.ones(1000)" --adtypes tape jax',
    )
    bench.add_argument("function", nargs="?", help="file.py:function or module:function; default: built-in problems")
    bench.add_argument("--args", nargs="+", default=[], metavar="EXPR", help="the function's arguments, as for compare")
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
    with _prints_to_stderr():
        rows = [_row_of(b) for b in _with_progress(found, lambda b: f"loading {b.name}", options.json)]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    header = ["adtype", "version", "reverse", "forward", "sees None"]
    body = []
    for row in rows:
        marks = [_mark(row[c]) for c in ("reverse", "forward", "detects_independence")]
        version = (row["version"] or "?") if row["installed"] else f"missing: {row['install']}"
        version = f"cannot be loaded: {row['error']}" if row["error"] else version
        body.append([row["adtype"], version, *marks])
    _print_table(header, body, [not row["installed"] for row in rows])
    return 0


def _row_of(backend: BackendInfo) -> dict[str, Any]:
    """A backend as plain data; where its package is installed and cannot be loaded, the error."""
    try:
        return {**backend.to_dict(), "error": ""}
    except Exception as error:  # whatever goes wrong while a framework is being imported
        missing = dataclasses.replace(backend, installed=False).to_dict()
        return {**missing, "installed": True, "error": f"{type(error).__name__}: {error}"}


def _mark(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]


# -- compare ---------------------------------------------------------------------------------------------------------


def _compare(options: argparse.Namespace) -> int:
    from .testing.compare import Report, comparison

    with _prints_to_stderr():
        adtypes = _choose(options.adtypes)
        function = _load(options.function)
        args = _arguments("compare", options.args)
        steps = _with_progress(adtypes, lambda a: f"differentiating with {a!r}", options.json)
        *rows, plain = _carried_out(lambda: list(comparison(function, steps, args, {}, options.memory)))
        report = Report(rows, options.rtol, plain)
    if options.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        header, body = report.table()
        _print_table(header, body, [row.status in ("differs", "nan", "error") for row in rows])
        for line in [*report.notes(), report.summary()]:
            print(line)
    if report.agree:
        return 0
    ran = sum(row.status in ("ok", "differs", "nan") for row in rows)
    impossible = plain.status == "error" or (
        ran < 2 and not any(row.status in ("nan", "differs", "error") for row in rows)
    )
    return 2 if impossible else 1


# -- bench -----------------------------------------------------------------------------------------------------------


def _bench(options: argparse.Namespace) -> int:
    from .testing.benchmark import is_single_threaded, notes, table

    if options.threads or is_single_threaded():
        with _prints_to_stderr():
            result: Any = _timed(options)
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
        for line in [*notes(rows), ", ".join(f"{name} {version}" for name, version in result["machine"].items())]:
            print(line)
    return int(any(row["status"] in ("differs", "error") for row in rows))


def _timed(options: argparse.Namespace) -> dict[str, Any]:
    """Machine and rows, measured in this process."""
    from .testing.benchmark import benchmark, benchmark_scenarios, machine, scenario_of
    from .testing.compare import whole

    adtypes = None if options.adtypes is None else _choose(options.adtypes)
    if options.function:
        function, args = _load(options.function), _arguments("bench", options.args)
        try:
            scenarios = [scenario_of(function, args, options.function.rpartition(":")[2])]
        except (Exception, SystemExit) as error:
            raise UsageError(f"{options.function} has no gradient to time: {whole(error)}") from error
    else:
        scenarios = benchmark_scenarios()
        if options.args:
            raise UsageError("--args are a function's: write adselect bench model.py:loss --args …")
        if options.problems:
            chosen = [s for s in scenarios if any(s.name.startswith(name) for name in options.problems)]
            if not chosen:
                raise UsageError(f"--problems: there are {', '.join(s.name for s in scenarios)}")
            scenarios = chosen
    effort = {"rounds": 3, "round_seconds": 0.005} if options.quick else {}
    steps = _with_progress(scenarios, lambda s: f"timing {s.name}", False)
    rows = _carried_out(
        lambda: [row for s in steps for row in benchmark(adtypes, [s], memory=options.memory, **effort)]
    )
    return {"machine": machine(), "rows": rows}


def _carried_out(work: Callable[[], Any]) -> Any:
    """What the work gives; what the user's function does to the process on the way is an error of the command."""
    try:
        return work()
    except SystemExit as stop:
        raise UsageError(f"the function ended the program: SystemExit({stop.code!r})") from stop
    except Exception as error:
        raise UsageError(f"the function could not be called: {type(error).__name__}: {error}") from error


def _timed_elsewhere(options: argparse.Namespace) -> dict[str, Any] | int:
    """What another process with one thread measured, or its exit status where it measured nothing."""
    from .testing.benchmark import single_threaded

    command = [sys.executable, "-m", "adselect", "bench", *([options.function] if options.function else []), "--json"]
    for name in ("args", "adtypes", "problems"):
        command += [f"--{name}", *getattr(options, name)] if getattr(options, name) else []
    command += [f"--{name}" for name in ("quick", "memory") if getattr(options, name)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=single_threaded(), check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        if done.returncode == 2:
            return 2  # and it has said why
        raise UsageError(f"the process that does the timing ended with status {done.returncode}") from None


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
    except (Exception, SystemExit) as error:
        raise UsageError(f"{place} cannot be loaded: {type(error).__name__}: {error}") from error
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise UsageError(f"{place} has no {name!r}")
        value = getattr(value, part)
    if not callable(value):
        raise UsageError(f"{target} is {type(value).__name__}, not a function")
    return value


def _arguments(command: str, texts: list[str]) -> tuple:
    """The function's arguments; at least one."""
    if not texts:
        raise UsageError(f'{command} needs arguments for the function: --args "np.array([1., 2.])" 3.0')
    return tuple([_evaluate(text) for text in texts])


def _evaluate(text: str) -> Any:
    """The value of a Python expression; it is the user's own command line."""
    try:
        return eval(text, {"np": np, "numpy": np})
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"--args {text!r} is no expression in Python and np: {type(error).__name__}: {error}"
        ) from error


def _choose(names: list[str] | None) -> list[ADType]:
    """Adtypes from their names; all backends without names."""
    if names is None:
        return [b.adtype for b in available_backends()]
    try:
        return choices_from(names)
    except ADSelectError as error:
        raise UsageError(f"--adtypes: {error}") from error


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
