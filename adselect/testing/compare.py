"""compare: differentiate one function with every backend and say whether, and how far apart, they are.

f is evaluated plainly, too: backends that agree with each other on another function than f are not right.
"""

from __future__ import annotations

import html
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..adtypes import ADType, AutoTape
from ..backends.registry import BackendInfo, available_backends, class_named, name_of
from ..errors import ADSelectTypeError, BackendNotInstalledError
from ..operators.gradient import withgradient
from ..operators.plain_run import PlainRun
from ..values.kinds import isa
from .checks import is_exact, tolerance
from .results import difference, entries, has_nan, magnitude, short

__all__ = ["Report", "Row", "compare", "comparison", "measure", "whole"]

_BAD = ("differs", "nan", "error")


@dataclass
class Row:
    """One backend in a comparison.

    status: ``"ok"``, ``"differs"``, ``"nan"`` (the value or the gradient has a NaN), ``"error"`` or ``"skipped"``;
    value: of f; gradient: its entries by path; distance: per entry the difference to the reference row; seconds: of one
    call of ``withgradient``, the first one not counted; peak: bytes allocated at most during a call, None unless asked
    for; reason: the whole error, why it was skipped, or what its value should be.
    """

    adtype: ADType
    status: str = "ok"
    value: Any = None
    gradient: dict[str, Any] = field(default_factory=dict)
    distance: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    peak: int | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The choice as it is written."""
        return repr(self.adtype)

    def to_dict(self) -> dict[str, Any]:
        """The row as plain data."""
        return {
            "adtype": self.name,
            "status": self.status,
            "value": _plain(self.value),
            "gradient": {k: _plain(v) for k, v in self.gradient.items()},
            "distance": {k: _finite(d) for k, d in self.distance.items()},
            "seconds": self.seconds,
            "peak": self.peak,
            "reason": self.reason,
        }


class Report:
    """What ``compare`` found: ``agree``, ``rows``, ``differences``; prints as a table.

    agree: whether at least two backends gave a gradient, all of them the same within the tolerances and without a NaN,
    the value of each that of f on plain values, and none raised. differences: for every pair of backends the largest
    difference per argument (and of the value). reference: the name of the row that is closest to the others. plain: the
    row of f alone, on plain values: its value, or its error; None where it was not evaluated.

    >>> import adselect as ad
    >>> report = compare(lambda x: x**2, 3.0, adtypes=[ad.AutoTape(), ad.AutoForward()])
    >>> report.agree, report.differences["AutoTape()", "AutoForward()"]
    (True, {'value': 0.0, 'args[0]': 0.0})
    """

    def __init__(self, rows: list[Row], rtol: float | None = None, plain: Row | None = None):
        self.rows = rows
        self.rtol = rtol
        self.plain = plain
        ran = [r for r in rows if r.status in ("ok", "differs")]
        self.differences: dict[tuple[str, str], dict[str, float]] = {}
        clashes: dict[int, int] = {id(r): 0 for r in ran}
        distances: dict[int, float] = {id(r): 0.0 for r in ran}
        for a, b in itertools.combinations(ran, 2):
            apart = _apart(a, b)
            self.differences[a.name, b.name] = apart
            clash = any(d > self._allowed(a, b, path) for path, d in apart.items())
            for row in (a, b):
                clashes[id(row)] += clash
                distances[id(row)] += max(apart.values(), default=0.0)
        # The reference is the row that clashes least; an exact backend before an approximate one.
        ranking = sorted(ran, key=lambda r: (clashes[id(r)], not is_exact(r.adtype), distances[id(r)]))
        self.reference = ranking[0].name if ranking else ""
        for row in ran:
            best = ranking[0]
            row.distance = _apart(row, best)
            near = all(d <= self._allowed(row, best, path) for path, d in row.distance.items())
            row.status = "ok" if near else "differs"
        for row in ran:
            self._hold_to_plain(row)
        self.agree = len(ran) > 1 and not any(clashes.values()) and not any(r.status in _BAD for r in rows)

    def _hold_to_plain(self, row: Row) -> None:
        """Mark a row whose value is not that of f on plain values, and one that has a NaN."""
        plain, places = self.plain, _nans(row)
        if plain is not None and plain.status == "error":
            row.status, row.reason = "differs", f"gives a value where f, called plainly, raises {plain.reason}"
        elif plain is not None and not difference(row.value, plain.value) <= self._allowed(row, plain, "value"):
            row.status = "differs"
            row.reason = (
                f"its value of f is {short(row.value)}; f is {short(plain.value)} when called plainly: it branches on "
                "the type of its argument, is random or keeps state, or the backend computes another function"
            )
        elif places:
            row.status = "nan" if row.status == "ok" else row.status
            row.reason = f"NaN in {', '.join(places)}"

    def _allowed(self, a: Row, b: Row, path: str) -> float:
        """The largest difference of two rows at a path that counts as agreement."""
        x, y = (a.value, b.value) if path == "value" else (a.gradient.get(path), b.gradient.get(path))
        size = max(magnitude(x), magnitude(y)) or max(map(magnitude, a.gradient.values()), default=1.0) or 1.0
        if self.rtol is not None:
            return self.rtol * size
        dtypes = [getattr(v, "dtype", np.dtype(float)) for v in (x, y, a.value)]
        single = any("float32" in str(d) or "complex64" in str(d) for d in dtypes)
        dtype = np.float32 if single else float
        if path == "value":
            # What is left of larger numbers is held to their rounding; how large they were the gradient tells.
            steep = max(map(magnitude, (*a.gradient.values(), *b.gradient.values())), default=0.0)
            return max((1e-5 if single else 1e-10) * size, (1e-6 if single else 1e-13) * steep)
        return max(tolerance(a.adtype, dtype=dtype), tolerance(b.adtype, dtype=dtype)) * size

    # -- the report as a table ------------------------------------------------------------------------------------

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of the table that is printed, as text."""
        paths = list(dict.fromkeys(p for r in self.rows for p in r.distance))
        timed, weighed = (any(getattr(r, a) is not None for r in self.rows) for a in ("seconds", "peak"))
        header = ["adtype", "value", *[f"Δ {p}" for p in paths if p != "value"]]
        header += ["time"] * timed + ["memory"] * weighed + ["verdict"]
        body = []
        for row in self.rows:
            cells = [row.name, "" if row.value is None else _value(row.value)]
            for path in paths:
                if path != "value":
                    cells.append("reference" if row.name == self.reference else _scientific(row.distance.get(path)))
            if timed:
                cells.append("" if row.seconds is None else seconds_of(row.seconds))
            if weighed:
                cells.append("" if row.peak is None else f"{row.peak / 1e6:.3g} MB")
            cells.append(verdict(row.status, row.reason))
            body.append(cells)
        return header, body

    def notes(self) -> list[str]:
        """What there is to say about single backends, in full: errors, missing packages, values that are not f's.

        >>> import math, adselect as ad
        >>> compare(lambda x: math.sin(x), 1.0, adtypes=[ad.AutoTape()]).notes()[0].split(" of ")[0]
        'AutoTape(): TracedValueError: float()'
        """
        return [f"{row.name}: {row.reason}" for row in self.rows if is_long(row.reason)]

    def summary(self) -> str:
        """The verdict in one sentence."""
        ran = [r for r in self.rows if r.status in ("ok", "differs", "nan")]
        if self.plain is not None and self.plain.status == "error":
            return f"f itself, called plainly, raises {self.plain.reason}"
        if len(ran) < 2:
            return f"nothing to compare: {len(ran)} backend{'s' * (len(ran) != 1)} gave a gradient"
        worst = max(self.differences, key=lambda pair: max(self.differences[pair].values(), default=0.0))
        apart = self.differences[worst]
        path = max(apart, key=lambda p: apart[p])
        statuses = {r.status for r in self.rows}
        if self.agree:
            said = "agree"
        elif "differs" in statuses:
            said = "do NOT agree"
        else:
            said = "give NaN" if "nan" in statuses else "agree, others raised"
        where = f"at {path}, {worst[0]} and {worst[1]}"
        return f"{len(ran)} backends {said}; largest difference {_scientific(apart[path])} {where}"

    def __repr__(self) -> str:
        header, body = self.table()
        widths = [max(len(r[i]) for r in [header, *body]) for i in range(len(header))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in [header, *body]]
        rule = "  ".join("─" * w for w in widths)
        return "\n".join([lines[0], rule[: max(map(len, lines))], *lines[1:], "", *self.notes(), self.summary()])

    def _repr_html_(self) -> str:
        header, body = self.table()
        head = "".join(f"<th>{html.escape(c)}</th>" for c in header)
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in r) + "</tr>" for r in body)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in [*self.notes(), self.summary()])
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"

    def to_dict(self) -> dict[str, Any]:
        """The whole report as plain data, ready for ``json.dumps``.

        >>> import adselect as ad
        >>> report = compare(lambda x: x**2, 3.0, adtypes=[ad.AutoTape(), ad.AutoForward()])
        >>> report.to_dict()["agree"]
        True
        """
        return {
            "agree": self.agree,
            "reference": self.reference,
            "plain": None if self.plain is None else {"value": _plain(self.plain.value), "error": self.plain.reason},
            "rows": [r.to_dict() for r in self.rows],
            "differences": [
                {"pair": list(pair), **{p: _finite(d) for p, d in apart.items()}}
                for pair, apart in self.differences.items()
            ],
        }


def compare(
    f: Callable,
    *args: Any,
    adtypes: Iterable[ADType] | None = None,
    rtol: float | None = None,
    memory: bool = False,
    **kwargs: Any,
) -> Report:
    """Differentiate ``f(*args, **kwargs)`` with several backends and report whether they agree, with f and each other.

    adtypes: which (default: every backend, those without their package being skipped rows); rtol: relative tolerance of
    every comparison instead of the one that fits each pair (1e-10 for exact float64, 1e-5 for float32 and finite
    differences); memory: also measure the peak of Python's and NumPy's allocations, which slows the calls down. The
    other keyword arguments go to f.

    f is also evaluated plainly, after the backends, and every backend's value is held against that: a function that
    tells traced values from plain ones is found out. A NaN, be it on all backends, is no agreement. All draw the same
    numbers from NumPy's global random generator.

    Raises nothing for a backend that fails: its row holds the error, and ``report.agree`` is False. Cost: two calls of
    withgradient per backend (three with memory), and one of f.

    >>> import numpy as np, adselect as ad
    >>> report = compare(lambda x: np.sum(x**3), np.array([1.0, 2.0]), adtypes=[ad.AutoTape(), ad.AutoForward()])
    >>> report.agree
    True
    >>> [row.status for row in report.rows]
    ['ok', 'ok']
    """
    if adtypes is None:
        adtypes = [b.adtype for b in available_backends()]
    *rows, plain = comparison(f, checked(adtypes), args, kwargs, memory)
    return Report(rows, rtol, plain)


def comparison(
    f: Callable, adtypes: Iterable[ADType], args: tuple, kwargs: dict, memory: bool = False
) -> Iterator[Row]:
    """The rows of a comparison as they are ready: one per backend, and last that of f alone.

    >>> from adselect import AutoTape
    >>> [row.value for row in comparison(lambda x: x**2, [AutoTape()], (3.0,), {})]
    [9.0, 9.0]
    """
    plainly = PlainRun("compare", f, args, kwargs, None)
    for adtype in adtypes:
        plainly.rewind()
        yield measure(f, adtype, args, kwargs, memory=memory)
    row = Row(AutoTape())
    try:
        row.value = _loss(plainly.value())
    except Exception as error:
        row.status, row.reason = "error", whole(error)
    yield row


def checked(adtypes: Iterable[ADType]) -> list[ADType]:
    """The adtypes as a list; anything but adtype objects is refused."""
    several: list[Any] = [adtypes] if isinstance(adtypes, (ADType, str, type)) else list(adtypes)
    for a in several:
        if not isinstance(a, ADType):
            cls = a if isinstance(a, type) else class_named(a) if isinstance(a, str) else None
            written = f"{cls.__name__}()" if cls is not None else "AutoTape()"
            raise ADSelectTypeError(f"adtypes are objects such as {written}, got {a!r}")
    return several


def measure(f: Callable, adtype: ADType, args: tuple, kwargs: dict, memory: bool = False) -> Row:
    """One backend's row: value, gradient, time; its error where it raises.

    >>> from adselect import AutoTape
    >>> measure(lambda x: x**2, AutoTape(), (3.0,), {}).gradient
    {'args[0]': 6.0}
    """
    row = Row(adtype)
    try:
        value, gradient = withgradient(f, adtype, *args, **kwargs)
        start = time.perf_counter()
        withgradient(f, adtype, *args, **kwargs)
        row.seconds = time.perf_counter() - start
        if memory:
            row.peak = peak_of(lambda: withgradient(f, adtype, *args, **kwargs))
        row.value = _loss(value)
        row.gradient = entries(gradient, "args")
    except BackendNotInstalledError:
        info = next((b for b in available_backends() if name_of(b.adtype) == name_of(adtype)), None)
        row.status, row.reason = "skipped", _missing(adtype, info)
    except Exception as error:
        row.status = "error"
        row.reason = whole(error)
    return row


def whole(error: BaseException) -> str:
    """An error with everything it says, notes included: the cure stands at the end.

    >>> whole(ValueError("too small; take more"))
    'ValueError: too small; take more'
    """
    return "\n".join([f"{type(error).__name__}: {str(error).strip()}", *getattr(error, "__notes__", [])])


def is_long(reason: str) -> bool:
    """Whether a reason stands below a table instead of in it.

    >>> is_long("ValueError: no")
    False
    """
    return len(reason) > 60 or "\n" in reason


def verdict(status: str, reason: str) -> str:
    """The cell of a table for a row's status and reason.

    >>> verdict("ok", ""), verdict("error", "ValueError: no")
    ('ok', 'error: ValueError: no')
    """
    return f"{status}: {'see below' if is_long(reason) else reason}" if reason else status


def _nans(row: Row) -> list[str]:
    """Where a row has a NaN."""
    return [path for path, v in (("value", row.value), *row.gradient.items()) if has_nan(v)]


def _missing(adtype: ADType, info: BackendInfo | None) -> str:
    install = f"; {info.install}" if info is not None and info.install else ""
    return f"{adtype.requires} is not installed{install}"


def _loss(value: Any) -> Any:
    """The number in what f returned, without auxiliary output."""
    if isinstance(value, dict):
        return next(iter(value.values()))
    return value[0] if isinstance(value, tuple) else value


def peak_of(call: Callable) -> int:
    import tracemalloc

    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not running:
            tracemalloc.stop()


def _apart(a: Row, b: Row) -> dict[str, float]:
    """The difference of two rows: of the value, and per entry of the gradient."""
    found = {"value": difference(a.value, b.value)}
    for path in dict.fromkeys([*a.gradient, *b.gradient]):
        if path not in a.gradient or path not in b.gradient:
            found[path] = math.inf
            continue
        x, y = a.gradient[path], b.gradient[path]
        if (x is None) != (y is None):
            # Zeros of a backend that cannot see independence are no disagreement with None.
            blind = b if x is None else a
            found[path] = magnitude(y if x is None else x) if not is_exact(blind.adtype) else math.inf
        else:
            found[path] = difference(x, y)
    return found


def _scientific(number: float | None) -> str:
    if number is None:
        return ""
    return "0" if number == 0 else "inf" if math.isinf(number) else f"{number:.1e}"


def _value(value: Any) -> str:
    return f"{float(value):.10g}" if isa(value, (float, np.floating)) else short(value)


def seconds_of(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _finite(number: float) -> float | str:
    return number if math.isfinite(number) else repr(number)


def _plain(value: Any) -> Any:
    """Arrays as lists, complex numbers as pairs, what is not finite as text."""
    if value is None or isa(value, (str, bool, int)):
        return value
    array = np.asarray(value) if not hasattr(value, "detach") else value.detach().cpu().numpy()
    if array.dtype.kind == "c":
        return {"real": _plain(array.real), "imag": _plain(array.imag)}
    if array.dtype.kind not in "fiub":
        return repr(value)
    listed = array.tolist()
    return _finite_list(listed)


def _finite_list(listed: Any) -> Any:
    if isinstance(listed, list):
        return [_finite_list(v) for v in listed]
    return _finite(listed) if isa(listed, float) else listed
