"""Times the problems with every contestant, prints ratios: ``python benchmarks/run.py --quick``.

Everybody computes with one thread (the script starts itself again with the environment for that), takes NumPy arrays
and returns NumPy arrays. All gradients are compared with each other before anything is timed; one that is wrong gets no
time and the exit status is 1. Absolute times belong to a machine: what is printed first are ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from contestants import CONTESTANTS, DeclinedError
from problems import CLASSES, QUICK, Problem, problems, rosenbrock

from adselect.testing.benchmark import is_single_threaded, machine, single_threaded, time_calls

RTOL = 1e-9  # of gradients, relative to the largest entry of each

# Who is compared with whom, by class: (slower, faster) so that a ratio above 1 speaks for the second.
PAIRS = (
    ("autograd", "tape"),
    ("autograd", "replay"),
    ("torch", "tape"),
    ("torch", "replay"),
    ("jax", "replay"),
    ("scan", "replay"),
    ("replay", "native"),
    ("tape", "primal"),
    ("replay", "primal"),
    ("replay", "hand"),
    ("autojax", "jax"),
    ("autotorch", "torch"),
)
SOMETIMES = ("hand", "forward", "scan", "native")  # take part where they can, which needs no remark

# How curves are drawn: what goes through adselect is red or dashed in the colour of its framework.
STYLES = {
    "primal": ("black", ":"),
    "hand": ("black", "--"),
    "tape": ("tab:pink", "-"),
    "replay": ("tab:red", "-"),
    "native": ("tab:red", ":"),
    "autograd": ("tab:green", "-"),
    "torch": ("tab:orange", "-"),
    "autotorch": ("tab:orange", "--"),
    "jax": ("tab:blue", "-"),
    "scan": ("tab:blue", ":"),
    "autojax": ("tab:blue", "--"),
}


# -- measuring -------------------------------------------------------------------------------------------------------


def measure(problem: Problem, names: Iterable[str], rounds: int, round_seconds: float) -> list[dict[str, Any]]:
    """One row per contestant: status, seconds, seconds to the first gradient."""
    rows, calls, results = [], {}, {}
    for name in names:
        row: dict[str, Any] = {
            "problem": problem.name,
            "family": problem.family,
            "size": problem.size,
            "class": problem.kind,
            "contestant": name,
            "status": "ok",
            "seconds": None,
            "first": None,
            "reason": "",
        }
        rows.append(row)
        try:
            if name in problem.absent:
                raise DeclinedError(problem.absent[name])
            start = time.perf_counter()
            call = CONTESTANTS[name][1](problem)
            results[name] = call()
            row["first"] = time.perf_counter() - start
            calls[name] = call
        except DeclinedError as reason:
            row["status"], row["reason"] = "declined", str(reason)
        except Exception as error:
            row["status"], row["reason"] = "error", f"{type(error).__name__}: {error}".splitlines()[0]
    for name, wrong in disagreements(results).items():
        row = next(r for r in rows if r["contestant"] == name)
        row["status"], row["reason"], row["first"] = "differs", wrong, None
        del calls[name]
    results.clear()
    for name, taken in time_calls(calls, rounds, round_seconds).items():
        row = next(r for r in rows if r["contestant"] == name)
        row["seconds"] = statistics.median(taken)
    return rows


def disagreements(results: dict[str, tuple]) -> dict[str, str]:
    """Contestants whose value or gradients differ from those of most others, and how."""
    apart: dict[str, dict[str, str]] = {name: {} for name in results}
    for a in results:
        for b in results:
            if a < b:
                difference = _difference(results[a], results[b])
                if difference:
                    apart[a][b] = apart[b][a] = difference
    wrong = {}
    while any(apart.values()):
        worst = max(apart, key=lambda name: (len(apart[name]), name != "hand"))
        wrong[worst] = next(iter(apart.pop(worst).values()))
        for others in apart.values():
            others.pop(worst, None)
    return wrong


def _difference(a: tuple, b: tuple) -> str:
    if not _near(a[0], b[0]):
        return f"value {float(a[0])!r} against {float(b[0])!r}"
    if a[1] is None or b[1] is None:  # f alone has no gradients
        return ""
    for i, (x, y) in enumerate(zip(a[1], b[1], strict=True)):
        if np.shape(x) != np.shape(y) or not _near(x, y):
            return f"gradient {i} is off by {np.max(np.abs(np.subtract(x, y))):.2g} of {np.max(np.abs(y)):.2g}"
    return ""


def _near(x: Any, y: Any) -> bool:
    scale = np.max(np.abs(x))
    return bool(np.isfinite(scale) and np.max(np.abs(np.subtract(x, y))) <= RTOL * scale)


def warm_up(names: Iterable[str]) -> None:
    """Load every framework, so that the time to the first gradient is not the time of an import."""
    trivial = Problem("warm-up", 3, "small", rosenbrock, (np.ones(3),))
    for name in names:
        try:
            CONTESTANTS[name][1](trivial)()
        except Exception:
            continue  # it will say so at the first problem


# -- memory ----------------------------------------------------------------------------------------------------------


def weigh(chosen: list[Problem], name: str) -> list[dict[str, Any]]:
    """Bytes by which a process grows at most by a gradient, what is kept between calls (buffers, programs) included.

    Every contestant is weighed in a process of its own.
    """
    command = [sys.executable, __file__, "--weigh", name, "--problems", *[p.name for p in chosen]]
    # Arrays come from the system and go back to it at once, so that the peak is theirs.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        return []
    return json.loads(done.stdout.splitlines()[-1])


def weigh_here(chosen: list[Problem], name: str) -> list[dict[str, Any]]:
    """The rows of :func:`weigh`, measured in this process."""
    warm_up([name])
    rows = []
    for problem in chosen:
        if name in problem.absent:
            continue
        _give_back()
        before = _resident("VmRSS")
        try:
            call = CONTESTANTS[name][1](problem)
            call()  # traces and compiles
        except Exception:
            continue
        _give_back()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts again from here
        kept = call()
        rows.append({"problem": problem.name, "contestant": name, "bytes": max(0, _resident("VmHWM") - before)})
        del call, kept
    return rows


def _give_back() -> None:
    """Return unused memory to the system, so that what is weighed afterwards is in use."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise OSError(f"this system does not tell {key}")


# -- summaries -------------------------------------------------------------------------------------------------------


def ratios(rows: list[dict[str, Any]], slower: str, faster: str, key: str = "seconds") -> dict[str, dict[str, float]]:
    """Class → problem → how many times longer the first takes than the second."""
    known = {(r["problem"], r["contestant"]): r[key] for r in rows if r[key]}
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        top, bottom = known.get((row["problem"], slower)), known.get((row["problem"], faster))
        if row["contestant"] == slower and top and bottom:
            found.setdefault(row["class"], {})[row["problem"]] = top / bottom
    return found


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Geometric means, and the extremes, of every pair of PAIRS per class."""
    found = []
    pairs = [(*pair, "seconds") for pair in PAIRS] + [("jax", "replay", "first"), ("scan", "replay", "first")]
    for slower, faster, key in pairs:
        row: dict[str, Any] = {"slower": slower, "faster": faster, "key": key}
        for kind, by_problem in ratios(rows, slower, faster, key).items():
            values = sorted(by_problem.values())
            mean = math.exp(statistics.fmean(map(math.log, values)))
            row[kind] = {"mean": mean, "least": values[0], "most": values[-1], "problems": len(values)}
        if any(kind in row for kind in CLASSES):
            found.append(row)
    return found


def growth(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Family → contestant → exponent of the time between the two largest sizes (1: proportional to the size)."""
    found: dict[str, dict[str, float]] = {}
    for family in dict.fromkeys(r["family"] for r in rows):
        for name in dict.fromkeys(r["contestant"] for r in rows):
            points = sorted(
                (r["size"], r["seconds"])
                for r in rows
                if r["family"] == family and r["contestant"] == name and r["seconds"]
            )
            if len(points) > 1:
                (n, s), (m, t) = points[-2:]
                found.setdefault(family, {})[name] = math.log(t / s) / math.log(m / n)
    return found


# -- printing --------------------------------------------------------------------------------------------------------


def report(result: dict[str, Any]) -> str:
    """Everything measured, as Markdown."""
    rows = result["rows"]
    names = list(dict.fromkeys(r["contestant"] for r in rows))
    parts = [
        "Machine: " + ", ".join(f"{k} {v}" for k, v in result["machine"].items()) + ".",
        "### Value and gradient, in times of f alone\n\n"
        + _table(rows, names, lambda row, alone: _ratio(row["seconds"] / alone), "seconds"),
    ]
    body = [
        [
            f"{_label(m['slower'])} / {_label(m['faster'])}" + (", first gradient" if m["key"] == "first" else ""),
            *[
                f"**{_ratio(m[k]['mean'])}** ({_ratio(m[k]['least'])}–{_ratio(m[k]['most'])})" if k in m else ""
                for k in CLASSES
            ],
        ]
        for m in means(rows)
    ]
    if body:
        title = "### Ratios: geometric mean (least–most) per class\n\n"
        parts.append(title + _markdown(["ratio of times", *CLASSES], body))
    # Who was timed nowhere needs no column.
    names = [n for n in names if any(r["contestant"] == n and r["seconds"] for r in rows)]
    first = [n for n in names if n not in ("primal", "hand", "forward")]
    parts.append(
        "### Time to the first gradient, in ms (frameworks loaded; tracing and compiling included)\n\n"
        + _table(rows, first, lambda row, _: f"{1e3 * row['first']:.3g}", "first")
    )
    if result["memory"]:
        weighed = [n for n in names if any(r["contestant"] == n for r in result["memory"])]
        amounts = {(r["problem"], r["contestant"]): r["bytes"] for r in result["memory"]}
        body = [
            [p, *[f"{amounts[p, n] / 2**20:.0f}" if (p, n) in amounts else "" for n in weighed]]
            for p in dict.fromkeys(r["problem"] for r in result["memory"])
        ]
        title = (
            "### Memory: growth of the process by value and gradient, what is kept between calls included, in MiB\n\n"
        )
        parts.append(title + _markdown(["problem", *map(_label, weighed)], body))
    exponents = growth(rows)
    if exponents:
        body = [[f, *[f"{e[n]:.2f}" if n in e else "" for n in names]] for f, e in exponents.items()]
        title = "### Growth: exponent of the time between the two largest sizes\n\n"
        parts.append(title + _markdown(["family", *map(_label, names)], body))
    noted: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] != "ok" and row["contestant"] not in SOMETIMES:
            reason = f"{_label(row['contestant'])}, {row['status']}: {row['reason']}"
            noted.setdefault(reason, []).append(row["problem"])
    if noted:
        lines = [f"* {reason} ({', '.join(where)})" for reason, where in noted.items()]
        parts.append("### Who is missing where\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _table(rows: list[dict[str, Any]], names: list[str], show: Callable, key: str) -> str:
    body = []
    for problem in dict.fromkeys(r["problem"] for r in rows):
        mine = {r["contestant"]: r for r in rows if r["problem"] == problem}
        alone = (mine.get("primal") or {}).get("seconds")
        cells = [problem, next(iter(mine.values()))["class"]]
        if key == "seconds":
            cells.append(_time(alone) if alone else "")
        for name in names:
            if name != "primal":
                row = mine.get(name)
                cells.append(show(row, alone) if row and row[key] and (alone or key == "first") else "")
        body.append(cells)
    header = ["problem", "class", *(["f alone"] if key == "seconds" else [])]
    return _markdown([*header, *[_label(n) for n in names if n != "primal"]], body)


def _markdown(header: list[str], body: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    lines = [header, ["-" * w for w in widths], *body]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _label(name: str) -> str:
    return CONTESTANTS[name][0]


def _ratio(number: float) -> str:
    return f"{number:.2f}" if number < 9.95 else f"{number:.0f}"


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:.3g} µs" if seconds < 1e-3 else f"{1e3 * seconds:.3g} ms"


def plot(rows: list[dict[str, Any]], folder: Path) -> list[Path]:
    """One picture per family with several sizes: time over size, both axes logarithmic."""
    import matplotlib
    from matplotlib.figure import Figure

    families = [f for f in dict.fromkeys(r["family"] for r in rows) if len(_sizes(rows, f)) > 1]
    names = [n for n in dict.fromkeys(r["contestant"] for r in rows) if n != "forward"]
    if not families:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    columns = min(3, len(families))
    lines = -(-len(families) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.3 * lines))
    axes = figure.subplots(lines, columns, squeeze=False)
    for family, axis in zip(families, axes.flat, strict=False):
        for name in names:
            points = sorted(
                (r["size"], r["seconds"])
                for r in rows
                if r["family"] == family and r["contestant"] == name and r["seconds"]
            )
            if points:
                color, line = STYLES[name]
                axis.loglog(*zip(*points, strict=True), line, color=color, marker=".", lw=1.2, label=_label(name))
        axis.set_title(family, fontsize=10)
        axis.set_xlabel("steps" if family in ("lstm", "runge-kutta") else "size", fontsize=8)
        axis.set_ylabel("seconds, value and gradient", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(families) :]:
        axis.set_visible(False)
    handles = {}
    for axis in axes.flat:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    path = folder / "growth.svg"
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "adselect"}):  # text stays text
        figure.savefig(path, metadata={"Date": None})
    return [path]


def _sizes(rows: list[dict[str, Any]], family: str) -> set[int]:
    return {r["size"] for r in rows if r["family"] == family}


# -- the command -----------------------------------------------------------------------------------------------------


def choose(names: list[str] | None, quick: bool) -> list[Problem]:
    """Problems by name or family; all without names."""
    found = problems()
    if names is None:
        return [p for p in found if not quick or p.name in QUICK]
    chosen = [p for p in found if p.name in names or p.family in names]
    unknown = [n for n in names if not any(n in (p.name, p.family) for p in found)]
    if unknown:
        raise SystemExit(f"no problem {unknown[0]!r}; there are " + ", ".join(p.name for p in found))
    return chosen


def run(
    chosen: list[Problem], names: list[str], rounds: int = 7, round_seconds: float = 0.02, memory: bool = False
) -> dict[str, Any]:
    """Measure; the result is plain data: ``machine``, ``rows``, ``memory``, ``means``."""
    warm_up(names)
    rows = []
    for problem in chosen:
        if sys.stderr.isatty():
            print(f"… {problem.name}", file=sys.stderr)
        rows += measure(problem, names, rounds, round_seconds)
    heavy = [p for p in chosen if p.kind == "large"]
    weighed = [row for name in names for row in weigh(heavy, name)] if memory and heavy else []
    return {"machine": machine(), "rows": rows, "memory": weighed, "means": means(rows)}


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if a gradient is wrong or a contestant failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the smallest problems, few rounds")
    parser.add_argument("--problems", nargs="+", metavar="NAME", help="problems or families by name")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, metavar="NAME", help=", ".join(CONTESTANTS))
    parser.add_argument("--rounds", type=int, help="rounds per problem (default 7)")
    parser.add_argument("--memory", action="store_true", help="also weigh the large problems (Linux)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables, between marks if it has them")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw time over size (matplotlib)")
    parser.add_argument("--read", type=Path, metavar="FILE", help="tables and plots of numbers written with --json")
    parser.add_argument("--weigh", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not is_single_threaded():
        command = [sys.executable, __file__, *(sys.argv[1:] if arguments is None else arguments)]
        return subprocess.run(command, env=single_threaded(), check=False).returncode
    warnings.simplefilter("ignore")
    chosen = choose(options.problems, options.quick)
    if options.weigh:
        print(json.dumps(weigh_here(chosen, options.weigh)))
        return 0
    if options.read:
        result = json.loads(options.read.read_text(encoding="utf-8"))
    else:
        names = options.contestants or list(CONTESTANTS)
        rounds = options.rounds or (3 if options.quick else 7)
        result = run(chosen, names, rounds, 0.005 if options.quick else 0.02, options.memory)
    text = report(result)
    print(text)
    wrong = any(r["status"] in ("differs", "error") for r in result["rows"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if options.markdown and wrong:
        print(f"{options.markdown} is left as it is: not every contestant gave the right gradient", file=sys.stderr)
    elif options.markdown:
        write_between_marks(options.markdown, text)
    if options.plots:
        for path in plot(result["rows"], options.plots):
            print(f"wrote {path}", file=sys.stderr)
    return int(wrong)


def write_between_marks(path: Path, text: str) -> None:
    """Put the tables into a page between its marks, or make the page of them."""
    start, stop = "<!-- measured: start -->", "<!-- measured: stop -->"
    page = path.read_text(encoding="utf-8") if path.exists() else f"{start}\n{stop}\n"
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(stop)
    path.write_text(f"{before}{start}\n\n{text}\n\n{stop}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
