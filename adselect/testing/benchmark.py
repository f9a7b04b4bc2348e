"""benchmark: how long operators take with each backend; the timing code that ``benchmarks/run.py`` uses too.

Calls are timed in rounds, one after the other within a round, so that whatever else the machine does meets all of them
alike; the median over the rounds counts. Results are compared with the exact ones: a wrong gradient gets no time.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..backends.registry import BackendInfo, available_backends
from ..errors import BackendNotInstalledError
from ..operators.gradient import withgradient
from ..operators.prepare import source
from .checks import tolerance
from .compare import checked, is_long, peak_of, seconds_of, verdict, whole
from .results import mismatches
from .scenario import Scenario

__all__ = ["benchmark", "benchmark_scenarios", "is_single_threaded", "machine", "single_threaded", "time_calls"]

# Thread pools of several libraries in one process fight for the cores: a comparison needs one thread for everybody.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NPROC": "1",  # XLA's pool
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}


def single_threaded() -> dict[str, str]:
    """An environment for a subprocess in which every backend computes with one thread, on the processor.

    >>> single_threaded()["OMP_NUM_THREADS"]
    '1'
    """
    flags = " ".join(f for f in (os.environ.get("XLA_FLAGS", ""), _ONE_THREAD["XLA_FLAGS"]) if f)
    return {**os.environ, **_ONE_THREAD, "XLA_FLAGS": flags}


def is_single_threaded() -> bool:
    """Whether this process was started in the environment of :func:`single_threaded`.

    >>> is_single_threaded() in (True, False)
    True
    """
    return all(value in os.environ.get(name, "") for name, value in _ONE_THREAD.items())


def machine() -> dict[str, str]:
    """Processor, system, Python and the versions of what is installed of the backends.

    >>> machine()["numpy"] == np.__version__
    True
    """
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    found |= {b.adtype.requires or "adselect": b.version or "?" for b in available_backends() if b.installed}
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as text:
            return next(line.partition(":")[2].strip() for line in text if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def time_calls(
    calls: Mapping[str, Callable[[], Any]], rounds: int = 7, round_seconds: float = 0.02
) -> dict[str, list[float]]:
    """Seconds of one call of each function, one number per round, the functions taking turns within a round.

    In a round a function is called as often as fits into round_seconds, at least once. The first call of each function
    (tracing, compiling) is not counted. The order is reversed in every other round.

    >>> sorted(time_calls({"fast": lambda: 1, "slow": lambda: sum(range(1000))}, rounds=3, round_seconds=1e-4))
    ['fast', 'slow']
    """
    clock = time.perf_counter
    repeats = {}
    for name, call in calls.items():
        call()
        start = clock()
        call()
        once = clock() - start
        if once < round_seconds / 20:  # too short to be told from one call
            start = clock()
            for _ in range(10):
                call()
            once = (clock() - start) / 10
        repeats[name] = max(1, int(round_seconds / max(once, 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls.items())
    for _ in range(rounds):
        for name, call in order:
            turns = range(repeats[name])
            start = clock()
            for _ in turns:
                call()
            times[name].append((clock() - start) / len(turns))
        order.reverse()
    return times


def benchmark(
    adtypes: Iterable[ADType] | None = None,
    scenarios: Iterable[Scenario] | None = None,
    *,
    prepared: bool | None = None,
    rounds: int = 7,
    round_seconds: float = 0.02,
    memory: bool = False,
) -> list[dict[str, Any]]:
    """Time scenarios with several backends; rows for a table (``pandas.DataFrame(rows)``).

    adtypes: which backends (default: every installed exact one, forward mode only up to 200 numbers); scenarios: what
    to time (default: :func:`benchmark_scenarios`); prepared: True for prepared operators, False for plain ones, None
    for both; rounds and round_seconds: see :func:`time_calls`; memory: also measure the peak of Python's and NumPy's
    allocations in a call.

    Every row has the keys ``scenario``, ``operator``, ``adtype``, ``prepared``, ``status`` (``"ok"``, ``"differs"``,
    ``"error"``, ``"skipped"``), ``seconds`` (of one call, median of the rounds), ``primal`` (seconds of one plain
    evaluation of f), ``ratio`` (seconds / primal), ``first`` (seconds of preparation and first call), ``peak`` (bytes,
    None unless asked for) and ``reason`` (what is wrong). A result that is
    not the scenario's exact one has no time. Threads are left as they are: several libraries with thread pools in one
    process disturb each other; run in a process with the environment of :func:`single_threaded`.

    >>> import adselect as ad
    >>> cube = Scenario("cube", "gradient", lambda t: t**3, (2.0,), (12.0,))
    >>> rows = benchmark([ad.AutoTape(), ad.AutoForward()], [cube], prepared=False, rounds=1, round_seconds=1e-4)
    >>> [(row["adtype"], row["status"], row["ratio"] > 1) for row in rows]
    [('AutoTape()', 'ok', True), ('AutoForward()', 'ok', True)]
    """
    return list(benchmark_rows(adtypes, scenarios, prepared, rounds, round_seconds, memory))


def benchmark_rows(
    adtypes: Iterable[ADType] | None,
    scenarios: Iterable[Scenario] | None,
    prepared: bool | None,
    rounds: int,
    round_seconds: float,
    memory: bool,
) -> Iterator[dict[str, Any]]:
    """The rows of :func:`benchmark` as they are ready, scenario by scenario.

    >>> next(benchmark_rows([], [], None, 1, 1e-4, False), "no rows")
    'no rows'
    """
    chosen = [b.adtype for b in _installed()] if adtypes is None else checked(adtypes)
    forward_only = {b.adtype for b in _installed() if not b.reverse} if adtypes is None else set()
    ways = (False, True) if prepared is None else (prepared,)
    for scenario in benchmark_scenarios() if scenarios is None else scenarios:
        rows = []
        calls: dict[str, Callable[[], Any]] = {"primal": lambda s=scenario: s.f(*s.args, **s.kwargs)}
        many = sum(np.size(a) for a in scenario.args) > 200
        for adtype in chosen:
            if many and adtype in forward_only:
                continue
            for way in ways:
                row = dict.fromkeys(("seconds", "primal", "ratio", "first", "peak"))
                row = {
                    "scenario": scenario.name,
                    "operator": scenario.operator,
                    "adtype": repr(adtype),
                    "prepared": way,
                    "status": "ok",
                    **row,
                    "reason": "",
                }
                call = _ready(row, scenario, adtype, way)
                if call is not None:
                    calls[f"{adtype!r} {way}"] = call
                    if memory:
                        row["peak"] = peak_of(call)
                rows.append(row)
        times = time_calls(calls, rounds, round_seconds)
        primal = statistics.median(times["primal"])
        for row in rows:
            taken = times.get(f"{row['adtype']} {row['prepared']}")
            if taken is not None:
                row["seconds"], row["primal"] = statistics.median(taken), primal
                row["ratio"] = row["seconds"] / primal
        yield from rows


def _installed() -> list[BackendInfo]:
    """The backends to time when none are named: those that are installed, finite differences left out."""
    return [b for b in available_backends() if b.installed and b.detects_independence]


def _ready(row: dict[str, Any], scenario: Scenario, adtype: ADType, prepared: bool) -> Callable[[], Any] | None:
    """The call to time; None, and the row saying why, where the first result is missing or wrong."""
    start = time.perf_counter()
    try:
        call = scenario.prepare(adtype) if prepared else lambda: scenario.run(adtype)
        result = call()
    except BackendNotInstalledError as error:
        row["status"], row["reason"] = "skipped", whole(error)
        return None
    except Exception as error:
        row["status"], row["reason"] = "error", whole(error)
        return None
    row["first"] = time.perf_counter() - start
    allowed = scenario.rtol or max(tolerance(adtype, scenario.order), 1e-10)
    wrong = mismatches(result, scenario.expected, allowed, zero_for_none=True, kinds=False)
    if wrong:
        row["status"], row["reason"], row["first"] = "differs", wrong[0], None
        return None
    return call


def why_not_replayed(prepared: Any) -> str:
    """Why a prepared operator on the tape runs eagerly; "" if it is replayed.

    >>> import adselect as ad
    >>> why_not_replayed(ad.prepare(ad.gradient, lambda x: x * x, ad.AutoTape(), 1.0))
    ''
    """
    try:
        source(prepared)
    except Exception as error:
        return whole(error)
    return ""


# -- built-in problems -----------------------------------------------------------------------------------------------


def _rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def _rosenbrock_gradient(x: np.ndarray) -> np.ndarray:
    bend, gradient = x[1:] - x[:-1] ** 2, np.zeros_like(x)
    gradient[1:] += 200.0 * bend
    gradient[:-1] -= 400.0 * bend * x[:-1] + 2.0 * (1.0 - x[:-1])
    return gradient


def _logsumexp(x: Any) -> Any:
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def _waves(x: Any) -> Any:
    return np.sum(np.sin(x) ** 2 * np.exp(-0.5 * x))


def _growth(rate: Any) -> Any:
    """Fifty explicit steps of logistic growth, on numbers."""
    u = 0.1
    for _ in range(50):
        u = u + 0.1 * rate * u * (1.0 - u)
    return u


def _growth_slope(rate: float) -> float:
    u, slope = 0.1, 0.0
    for _ in range(50):
        u, slope = u + 0.1 * rate * u * (1.0 - u), slope + 0.1 * (u * (1.0 - u) + rate * (1.0 - 2.0 * u) * slope)
    return slope


def benchmark_scenarios() -> list[Scenario]:
    """A few problems with exact gradients, small and middle-sized: what ``adselect bench`` times by default.

    >>> [s.name for s in benchmark_scenarios()][:2]
    ['rosenbrock 100', 'rosenbrock 10,000']
    """
    rng = np.random.default_rng(0)
    found = []
    for n in (100, 10_000):
        x = rng.normal(size=n)
        found.append(Scenario(f"rosenbrock {n:,}", "gradient", _rosenbrock, (x,), (_rosenbrock_gradient(x),)))
    for n in (1_000, 100_000):
        x = rng.normal(size=n)
        softmax = np.exp(x - x.max())
        softmax /= softmax.sum()
        found.append(Scenario(f"logsumexp {n:,}", "gradient", _logsumexp, (x,), (softmax,)))
    for n in (1_000, 100_000):
        x = rng.normal(size=n)
        slope = np.exp(-0.5 * x) * (np.sin(2 * x) - 0.5 * np.sin(x) ** 2)
        found.append(Scenario(f"waves {n:,}", "gradient", _waves, (x,), (slope,)))
    A, b, x = rng.normal(size=(200, 50)), rng.normal(size=200), rng.normal(size=50)
    found.append(
        Scenario(
            "least squares 200×50",
            "gradient",
            lambda x: 0.5 * np.sum((A @ x - b) ** 2),
            (x,),
            (A.T @ (A @ x - b),),
        )
    )
    found.append(Scenario("growth, 50 steps", "gradient", _growth, (1.7,), (_growth_slope(1.7),)))
    return found


def scenario_of(f: Callable, args: tuple, name: str = "") -> Scenario:
    """A function as a scenario: its gradient by the built-in tape stands for the exact one.

    >>> scenario_of(lambda x: x**2, (3.0,)).expected
    (6.0,)
    """
    expected = withgradient(f, *args).grad
    return Scenario(name or getattr(f, "__name__", "f"), "gradient", f, args, expected)


def table(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a printed benchmark, as text; a scenario's first row is f alone.

    >>> table([])[0]
    ['scenario', 'adtype', 'time', 'ratio', 'first']
    """
    weighed, noted = any(row["peak"] is not None for row in rows), any(row["status"] != "ok" for row in rows)
    header = ["scenario", "adtype", "time", "ratio", "first"] + ["memory"] * weighed + ["verdict"] * noted
    body: list[list[str]] = []
    for i, row in enumerate(rows):
        if i == 0 or rows[i - 1]["scenario"] != row["scenario"]:
            alone = next((r["primal"] for r in rows[i:] if r["scenario"] == row["scenario"] and r["primal"]), None)
            cells = [row["scenario"], "f alone", "" if alone is None else seconds_of(alone), "1"]
            body.append(cells + [""] * (len(header) - len(cells)))
        known = lambda key, show, row=row: "" if row[key] is None else show(row[key])
        said = "" if row["status"] == "ok" else verdict(row["status"], row["reason"])
        body.append(
            [
                "",
                row["adtype"] + (" prepared" if row["prepared"] else ""),
                known("seconds", seconds_of),
                known("ratio", lambda r: f"{r:.1f}" if r < 99.95 else f"{r:.0f}"),
                known("first", seconds_of),
                *([known("peak", lambda n: f"{n / 1e6:.3g} MB")] if weighed else []),
                *([said] if noted else []),
            ]
        )
    return header, body


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """What is wrong with single rows, in full, for below the table.

    >>> notes([])
    []
    """
    long = [row for row in rows if is_long(row["reason"])]
    return list(dict.fromkeys([f"{r['adtype']}{' prepared' if r['prepared'] else ''}: {r['reason']}" for r in long]))
