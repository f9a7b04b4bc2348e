"""The conventions at kinks and singular points: one table, run by the tests and written into ``docs/conventions.md``.

``python tests/conventions.py`` prints the document's table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

INF, NAN = np.inf, np.nan
V = np.array


class Row(NamedTuple):
    """What is differentiated, where, and what the gradient is; ``second`` is the Hessian, where it is part of it."""

    name: str
    f: Callable
    args: tuple
    gradient: tuple
    why: str
    second: object = None


SHARE = "ties share equally"
ZERO = "0 lies between the slopes on both sides"
EXACT = "exact: a polynomial"
FLAT = "slope 0, not None"
TRUE = "the derivative there"
INFINITE = "no finite slope exists"
UNTAKEN = "what is 0 on one side of a product stays 0"
ORDER = "the entry that is selected"
UNDEFINED = "f itself is not a number there"

GROUPS: dict[str, list[Row]] = {
    "Absolute values, signs and steps": [
        Row("abs(x) at 0", np.abs, (0.0,), (0.0,), ZERO),
        Row("abs(x) at -0.0", np.abs, (-0.0,), (0.0,), ZERO),
        Row("abs(z) at complex 0", np.abs, (0j,), (0j,), ZERO),
        Row("sign(x) at 0", np.sign, (0.0,), (0.0,), FLAT),
        Row("floor(x) at 1", np.floor, (1.0,), (0.0,), FLAT),
        Row("ceil(x) at 1", np.ceil, (1.0,), (0.0,), FLAT),
        Row("trunc(x) at 1", np.trunc, (1.0,), (0.0,), FLAT),
        Row("round(0.5)", np.round, (0.5,), (0.0,), FLAT),
        Row("(x > 0) * x at 0", lambda x: (x > 0) * x, (0.0,), (0.0,), "the mask is a constant"),
        Row("heaviside(x, 0.5) at 0", lambda x: np.heaviside(x, 0.5), (0.0,), (0.0,), FLAT),
        Row("angle(-1.0)", np.angle, (-1.0,), (0.0,), FLAT),
        Row("copysign(x, 1) at 0", lambda x: np.copysign(x, 1.0), (0.0,), (1.0,), "the sign bit of 0 counts"),
        Row("nan_to_num(nan)", np.nan_to_num, (NAN,), (0.0,), "the constant 0 is put there"),
    ],
    "Choosing the larger": [
        Row("maximum(x, y) at a tie", np.maximum, (1.0, 1.0), (0.5, 0.5), SHARE),
        Row("minimum(x, y) at a tie", np.minimum, (1.0, 1.0), (0.5, 0.5), SHARE),
        Row("fmax(x, y) at a tie", np.fmax, (1.0, 1.0), (0.5, 0.5), SHARE),
        Row("fmin(x, y) at a tie", np.fmin, (1.0, 1.0), (0.5, 0.5), SHARE),
        Row("fmax(x, nan)", lambda x: np.fmax(x, NAN), (1.0,), (1.0,), ORDER),
        Row("maximum(x, 0) at 0", lambda x: np.maximum(x, 0.0), (0.0,), (0.5,), SHARE),
        Row("where(x > 0, x, 0) at 0", lambda x: np.where(x > 0, x, 0.0), (0.0,), (0.0,), "the branch that is taken"),
        Row(
            "clip(x, 0, 1) at 0", lambda x: np.clip(x, 0.0, 1.0), (0.0,), (1.0,), "a bound still belongs to the inside"
        ),
        Row(
            "clip(x, 0, 1) at 1", lambda x: np.clip(x, 0.0, 1.0), (1.0,), (1.0,), "a bound still belongs to the inside"
        ),
        Row("max([1, 1, 0])", np.max, (V([1.0, 1.0, 0.0]),), (V([0.5, 0.5, 0.0]),), SHARE),
        Row("min([0, 0, 1])", np.min, (V([0.0, 0.0, 1.0]),), (V([0.5, 0.5, 0.0]),), SHARE),
        Row(
            "max([1, 1, 1, 0], axis=0)",
            lambda x: np.max(x, axis=0),
            (V([1.0, 1.0, 1.0, 0.0]),),
            (V([1.0, 1.0, 1.0, 0.0]) / 3,),
            SHARE,
        ),
        Row(
            "sort([1, 1, 0]) weighted 1, 2, 0",
            lambda x: np.sum(np.sort(x)[::-1][:2] * V([2.0, 1.0])),
            (V([1.0, 1.0, 0.0]),),
            (V([1.0, 2.0, 0.0]),),
            "equal entries keep their order",
        ),
        Row("median([1, 2, 3, 4])", np.median, (V([1.0, 2.0, 3.0, 4.0]),), (V([0.0, 0.5, 0.5, 0.0]),), TRUE),
        Row("median([1, 1, 2])", np.median, (V([1.0, 1.0, 2.0]),), (V([0.5, 0.5, 0.0]),), SHARE),
        Row(
            "percentile([1, 1, 2], 50)",
            lambda x: np.percentile(x, 50),
            (V([1.0, 1.0, 2.0]),),
            (V([0.5, 0.5, 0.0]),),
            SHARE,
        ),
    ],
    "Roots, norms and spreads": [
        Row("sqrt(x) at 0", np.sqrt, (0.0,), (INF,), INFINITE),
        Row("linalg.norm of 0", np.linalg.norm, (np.zeros(2),), (np.zeros(2),), ZERO),
        Row("linalg.norm(ord=1) of 0", lambda x: np.linalg.norm(x, 1), (np.zeros(2),), (np.zeros(2),), ZERO),
        Row(
            "linalg.norm(ord=inf) at a tie",
            lambda x: np.linalg.norm(x, np.inf),
            (V([1.0, -1.0]),),
            (V([0.5, -0.5]),),
            SHARE,
        ),
        Row("Frobenius norm of 0", np.linalg.norm, (np.zeros((2, 2)),), (np.zeros((2, 2)),), ZERO),
        Row("sqrt(sum(x**2)) at 0", lambda x: np.sqrt(np.sum(x**2)), (np.zeros(2),), (np.zeros(2),), UNTAKEN),
        Row("std of a constant", np.std, (np.ones(3),), (np.zeros(3),), ZERO),
        Row("std of one element", np.std, (np.ones(1),), (np.zeros(1),), ZERO),
        Row("var of a constant", np.var, (np.ones(3),), (np.zeros(3),), TRUE, (np.eye(3) - 1 / 3) * 2 / 3),
        Row("hypot(0, 0)", np.hypot, (0.0, 0.0), (0.0, 0.0), ZERO),
        Row("arctan2(0, 0)", np.arctan2, (0.0, 0.0), (0.0, 0.0), "finite; no limit exists"),
        Row("sinc(0)", np.sinc, (0.0,), (0.0,), TRUE, -(np.pi**2) / 3),
    ],
    "Powers, logarithms and inverse functions": [
        Row("x**0.0 at 0, in both", np.power, (0.0, 0.0), (0.0, 0.0), FLAT),
        Row("x**0 at 0", lambda x: x**0, (0.0,), (0.0,), FLAT),
        Row("x**1 at 0, in both", np.power, (0.0, 1.0), (1.0, 0.0), TRUE),
        Row("x**2 at 0, in both", np.power, (0.0, 2.0), (0.0, 0.0), TRUE),
        Row("0**y at 2", lambda y: 0.0**y, (2.0,), (0.0,), TRUE),
        Row("0**y at 0", lambda y: 0.0**y, (0.0,), (0.0,), "0 wherever y > 0"),
        Row("x**0.5 at 0", lambda x: x**0.5, (0.0,), (INF,), INFINITE),
        Row("x**-1 at 0", lambda x: x**-1.0, (0.0,), (-INF,), INFINITE),
        Row("(-2)**y at 3, in both", np.power, (-2.0, 3.0), (12.0, NAN), "no real power beside an integer one"),
        Row("(-2)**0.5", lambda x: np.power(x, 0.5), (-2.0,), (NAN,), UNDEFINED),
        Row("log(x) at 0", np.log, (0.0,), (INF,), INFINITE),
        Row("log1p(x) at -1", np.log1p, (-1.0,), (INF,), INFINITE),
        Row("x * log(x) at 0", lambda x: x * np.log(x), (0.0,), (-INF,), INFINITE),
        Row("arcsin(1)", np.arcsin, (1.0,), (INF,), INFINITE),
        Row("arccos(1)", np.arccos, (1.0,), (-INF,), INFINITE),
        Row("arctanh(1)", np.arctanh, (1.0,), (INF,), INFINITE),
        Row("tanh(1000)", np.tanh, (1000.0,), (0.0,), TRUE, 0.0),
        Row("fmod(-3, 2), in both", np.fmod, (-3.0, 2.0), (1.0, 1.0), TRUE),
        Row("mod(4, 2), in both", np.mod, (4.0, 2.0), (1.0, -2.0), "from the right"),
        Row("x % 1 at 1", lambda x: x % 1, (1.0,), (1.0,), "from the right"),
        Row("x**2 at the integer 2", lambda x: x**2, (2,), (4.0,), "an int counts as a float64"),
    ],
    "Branches and what is not taken": [
        Row("where(x > 0, log(x), 0) at -1", lambda x: np.where(x > 0, np.log(x), 0.0), (-1.0,), (0.0,), UNTAKEN),
        Row("where(x > 0, sqrt(x), 0) at 0", lambda x: np.where(x > 0, np.sqrt(x), 0.0), (0.0,), (0.0,), UNTAKEN),
        Row("where(x != 0, sin(x)/x, 1) at 0", lambda x: np.where(x != 0, np.sin(x) / x, 1.0), (0.0,), (0.0,), UNTAKEN),
        Row(
            "1 / (1 + exp(-x)) at -1000",
            lambda x: 1 / (1 + np.exp(-x)),
            (-1000.0,),
            (0.0,),
            TRUE,
        ),
        Row("logaddexp(-inf, -inf)", np.logaddexp, (-INF, -INF), (0.5, 0.5), SHARE),
        Row(
            "log(sum(exp(x))) of -inf, -inf",
            lambda x: np.log(np.sum(np.exp(x))),
            (V([-INF, -INF]),),
            (np.zeros(2),),
            "0/0; logaddexp shares",
        ),
        Row("an argument that is not used", lambda x, y: 1.0 * x, (1.0, 2.0), (1.0, None), "None: no dependence"),
        Row("sum of nothing", lambda x: np.sum(x[2:]), (np.zeros(2),), (np.zeros(2),), "an empty sum of x"),
        Row(
            "x[[0, 0]]", lambda x: np.sum(x[[0, 0]]), (np.ones(2),), (V([2.0, 0.0]),), "what is read twice counts twice"
        ),
        Row("nansum([1, nan])", np.nansum, (V([1.0, NAN]),), (V([1.0, 0.0]),), "NaN is left out"),
        Row(
            "interp(1, [0, 1, 2], [0, 1, 4])",
            lambda x: np.interp(x, V([0.0, 1.0, 2.0]), V([0.0, 1.0, 4.0])),
            (1.0,),
            (3.0,),
            "from the right",
        ),
    ],
    "Products and matrices": [
        Row("prod([2, 0, 3])", np.prod, (V([2.0, 0.0, 3.0]),), (V([0.0, 6.0, 0.0]),), EXACT),
        Row(
            "prod([0, 0, 3])",
            np.prod,
            (V([0.0, 0.0, 3.0]),),
            (np.zeros(3),),
            EXACT,
            V([[0.0, 3, 0], [3, 0, 0], [0, 0, 0]]),
        ),
        Row("cumprod([2, 0, 3])", lambda x: np.sum(np.cumprod(x)), (V([2.0, 0.0, 3.0]),), (V([1.0, 8.0, 0.0]),), EXACT),
        Row("det of a singular matrix", np.linalg.det, (np.ones((2, 2)),), (V([[1.0, -1.0], [-1.0, 1.0]]),), EXACT),
        Row("det of the zero matrix", np.linalg.det, (np.zeros((3, 3)),), (np.zeros((3, 3)),), EXACT),
        Row(
            "slogdet of a singular matrix",
            lambda a: np.linalg.slogdet(a)[1],
            (np.ones((2, 2)),),
            (V([[INF, -INF], [-INF, INF]]),),
            INFINITE,
        ),
        Row(
            "eigvalsh of I, weighted 1, 2",
            lambda a: np.sum(np.linalg.eigvalsh(a) * V([1.0, 2.0])),
            (np.eye(2),),
            (np.diag([1.0, 2.0]),),
            "a valid choice of eigenvectors",
        ),
        Row(
            "singular values of [[0, 1], [1, 0]], summed",
            lambda a: np.sum(np.linalg.svd(a, compute_uv=False)),
            (V([[0.0, 1.0], [1.0, 0.0]]),),
            (V([[0.0, 1.0], [1.0, 0.0]]),),
            TRUE,
        ),
        Row(
            "sum of cholesky(a)",
            lambda a: np.sum(np.linalg.cholesky(a)),
            (V([[4.0, 1.0], [1.0, 3.0]]),),
            None,  # type: ignore[arg-type]
            "symmetric, as the argument is",
        ),
    ],
}

# Points where there is an error instead of a number.
REFUSED = [
    (
        "eigenvectors of a repeated eigenvalue",
        lambda a: np.sum(np.linalg.eigh(a)[1] * V([[1.0, 2.0], [3.0, 4.0]])),
        (np.eye(2),),
        "they do not depend on the matrix in any continuous way: UnsupportedError",
    ),
]

# Where a framework's own derivative stands: (backend, test: row) → reason. Strict: an entry that holds is a failure.
_OWN = "inside the framework's own derivative of a composition 0 · ∞ is NaN; the NumPy face is not asked again"
LIMITS = {
    ("jax", "gradient: sqrt(sum(x**2)) at 0"): _OWN,
    ("jax", "gradient: log(sum(exp(x))) of -inf, -inf"): _OWN,
    ("torch", "gradient: sqrt(sum(x**2)) at 0"): _OWN,
    ("torch", "gradient: log(sum(exp(x))) of -inf, -inf"): _OWN,
    ("jax", "tangent: x * log(x) at 0"): _OWN,
    ("jax", "tangent: 1 / (1 + exp(-x)) at -1000"): _OWN,
    ("torch", "tangent: slogdet of a singular matrix"): _OWN,
}


def cell(value: object) -> str:
    """A gradient as the document shows it."""
    if value is None:
        return "`None`"
    array = np.asarray(value)
    text = np.array2string(array, precision=4, separator=", ", suppress_small=True).replace("\n", "")
    return f"`{' '.join(text.split())}`"


def document() -> str:
    """The table as Markdown."""
    lines = []
    for title, rows in GROUPS.items():
        lines += [f"## {title}", "", "| at | gradient | why |", "| --- | --- | --- |"]
        for row in rows:
            grads = ", ".join(cell(g) for g in expected(row))
            second = f"; second derivative {cell(row.second)}" if row.second is not None else ""
            lines.append(f"| {row.name.replace('|', chr(92) + '|')} | {grads}{second} | {row.why} |")
        lines.append("")
    lines += ["## Refused", "", "| at | why |", "| --- | --- |"]
    lines += [f"| {name} | {why} |" for name, _, _, why in REFUSED]
    lines += ["", "## Where a backend differs", "", "| backend | row | why |", "| --- | --- | --- |"]
    lines += [f"| {backend} | {row} | {why} |" for (backend, row), why in sorted(LIMITS.items())]
    return "\n".join(lines) + "\n"


def expected(row: Row) -> tuple:
    """The row's gradient; for the Cholesky factor from the formula, symmetrised."""
    if row.gradient is not None:
        return row.gradient
    (a,) = row.args
    factor = np.linalg.cholesky(a)
    phi = np.tril(factor.T @ np.ones_like(factor))
    phi[np.diag_indices_from(phi)] /= 2
    inverse = np.linalg.inv(factor)
    s = inverse.T @ phi @ inverse
    return ((s + s.T) / 2,)


if __name__ == "__main__":
    print(document())
