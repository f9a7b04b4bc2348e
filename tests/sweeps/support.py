"""The support table: which function works on which backend, in reverse mode, forward mode and to second order.

``python tests/sweeps/support.py`` runs every sample on every backend and writes ``docs/reference/numpy-support.md``.
"""

from __future__ import annotations

import pathlib
import sys
import warnings

import numpy as np

import adselect as ad

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from samples.numpy_functions import samples

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "reference" / "numpy-support.md"
BACKENDS = {
    "AutoTape": ad.AutoTape(),
    "AutoForward": ad.AutoForward(),
    "AutoJax": ad.AutoJax(),
    "AutoTorch": ad.AutoTorch(),
    "AutoAutograd": ad.AutoAutograd(),
}
WRONG = "WRONG"
INTRODUCTION = """\
What the tests found, function by function: each is run with several options on every backend, in reverse mode,
in forward mode and to second order, against finite differences. `yes` stands for all three; otherwise the
three are listed, with the error one gets. Functions of integers, booleans and shapes pass through as in NumPy
and are not listed. Everything else raises `MissingRuleError`."""


def loss(f, args):
    """A scalar, curved function of the results of f, so that a linear f has a second derivative too."""
    rng = np.random.default_rng(5)
    w = rng.normal(size=np.shape(f(*args)))

    def scalar(*xs):
        y = f(*xs)
        size = np.real(y) ** 2 + np.imag(y) ** 2 if np.iscomplexobj(y) else y * y
        return np.sum(w * size)

    return scalar


def directions(args):
    rng = np.random.default_rng(6)
    found = []
    for a in args:
        d = rng.normal(size=np.shape(a))
        found.append((d + 1j * rng.normal(size=np.shape(a)) if np.iscomplexobj(a) else d) if np.ndim(a) else float(d))
    return tuple(found)


def along(function, args, ds, h):
    """The derivative of function along ds by central differences of fourth order."""
    at = lambda t: function(*[a + t * d for a, d in zip(args, ds, strict=True)])
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def dot(bars, ds):
    return sum(np.vdot(b, d).real for b, d in zip(bars, ds, strict=True) if b is not None)


def agree(got, want, tolerance):
    return np.all(np.isfinite(got)) and abs(got - want) <= tolerance * (1 + abs(want))


def outcome(adtype, f, args) -> tuple[str, str, str]:
    """``(reverse, forward, second)``: empty where it is right, else the error's name, or WRONG."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        scalar, ds = loss(f, args), directions(args)
        want = along(scalar, args, ds, 1e-3)

        def attempt(check):
            try:
                return "" if check() else WRONG
            except Exception as error:
                return type(error).__name__

        def reverse():
            return agree(dot(ad.gradient(scalar, adtype, *args, missing="zeros"), ds), want, 1e-6)

        def forward():
            return agree(ad.pushforward(scalar, adtype, args, ds)[1], want, 1e-6)

        def second():
            slope = lambda *xs: dot(ad.gradient(scalar, ad.AutoTape(), *xs, missing="zeros"), ds)
            curvature = along(slope, args, ds, 1e-3)

            def line(t):
                return scalar(*[a + t * d for a, d in zip(args, ds, strict=True)])

            return agree(ad.second_derivative(line, adtype, 0.0), curvature, 1e-5)

        return attempt(reverse), attempt(forward), attempt(second)


def row(name: str, cases: list, backends: dict) -> list[str]:
    """One cell per backend: the marks of reverse, forward and second order, over all samples of the function."""
    cells = []
    for adtype in backends.values():
        parts = [outcome(adtype, f, args) for f, args in cases]
        marks = []
        for k in range(3):
            bad = sorted({p[k] for p in parts if p[k]})
            marks.append("yes" if not bad else "/".join(bad))
        cells.append("yes" if set(marks) == {"yes"} else ", ".join(marks))
    return cells


def document(rows: dict[str, list[str]]) -> str:
    lines = [
        "# Support table",
        "",
        *INTRODUCTION.splitlines(),
        "",
        f"| function | {' | '.join(BACKENDS)} |",
        "| --- |" + " --- |" * len(BACKENDS),
    ]
    for name, cells in rows.items():
        prefix = "scipy." if name.startswith("special.") else "np."
        lines.append(f"| `{prefix}{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def recorded() -> dict[str, list[str]]:
    """The rows of the document."""
    rows = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            name, *cells = [c.strip() for c in line.strip("|").split("|")]
            rows[name.strip("`").removeprefix("np.").removeprefix("scipy.")] = cells
    return rows


def main() -> None:
    from concurrent.futures import ProcessPoolExecutor

    table = samples()
    with ProcessPoolExecutor(2) as pool:
        rows = dict(zip(table, pool.map(_row, table, chunksize=8), strict=True))
    DOCUMENT.write_text(document(rows), encoding="utf-8")


def _row(name: str) -> list[str]:
    cells = row(name, samples()[name], BACKENDS)
    print(name, cells, flush=True)
    return cells


if __name__ == "__main__":
    main()
