"""The conventions at kinks and singular points: one table, run by the tests and written into ``docs/conventions.md``.

``python tests/samples/conventions.py`` prints the document's table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

INF, NAN = np.inf, np.nan
V = np.array


class Row(NamedTuple):
    """What is differentiated, where, and what gradient and Hessian are.

    ``second`` is the Hessian of the sum of f, a number for 0 everywhere, of several numbers as one vector; NONE where
    there is no second derivative: no backend gives a finite number then. None: not part of the convention.
    """

    name: str
    f: Callable
    args: tuple
    gradient: tuple
    why: str
    second: object = 0.0


class _None:
    """There is no second derivative: NaN, an infinity or an error, never a number."""

    def __repr__(self) -> str:
        return "none"


NONE = _None()


SHARE = "ties share equally"
ZERO = "0 lies between the slopes on both sides"
EXACT = "exact: a polynomial"
FLAT = "slope 0, not None"
TRUE = "the derivative there"
INFINITE = "no finite slope exists"
UNTAKEN = "what is 0 on one side of a product stays 0"
ORDER = "the entry that is selected"
UNDEFINED = "f itself is not a number there"
SMOOTH = "smooth, but by way of a kink"
Q = V([[2.0, 1.0], [1.0, 3.0]])
POINTS = V([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])


def distances(x: object) -> object:
    """The sum of all distances between three points in the plane; a point has distance 0 from itself."""
    x = np.reshape(x, (3, 2))
    return np.sum(np.sqrt(np.sum((x[:, None] - x[None]) ** 2, axis=-1)))


def kernel(x: object) -> object:
    """The sum of a Gaussian kernel; rounding may leave a squared distance a little below 0."""
    x = np.reshape(x, (3, 2))
    squares = np.sum(x * x, axis=1)
    return np.sum(np.exp(-np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0.0)))


def cross_entropy(x: object) -> object:
    """The naive one; exp(800) overflows."""
    e = np.exp(x)
    return -np.log((e / np.sum(e))[0])


GROUPS: dict[str, list[Row]] = {
    "Absolute values, signs and steps": [
        Row("abs(x) at 0", np.abs, (0.0,), (0.0,), ZERO),
        Row("abs(x) at -0.0", np.abs, (-0.0,), (0.0,), ZERO),
        Row("abs(z) at complex 0", np.abs, (0j,), (0j,), ZERO, NONE),
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
        Row("sqrt(x) at 0", np.sqrt, (0.0,), (INF,), INFINITE, -INF),
        Row("linalg.norm of 0", np.linalg.norm, (np.zeros(2),), (np.zeros(2),), ZERO, NONE),
        Row("linalg.norm(ord=1) of 0", lambda x: np.linalg.norm(x, 1), (np.zeros(2),), (np.zeros(2),), ZERO),
        Row(
            "linalg.norm(ord=inf) at a tie",
            lambda x: np.linalg.norm(x, np.inf),
            (V([1.0, -1.0]),),
            (V([0.5, -0.5]),),
            SHARE,
        ),
        Row("Frobenius norm of 0", np.linalg.norm, (np.zeros((2, 2)),), (np.zeros((2, 2)),), ZERO, NONE),
        Row("sqrt(sum(x**2)) at 0", lambda x: np.sqrt(np.sum(x**2)), (np.zeros(2),), (np.zeros(2),), UNTAKEN, NONE),
        Row("std of a constant", np.std, (np.ones(3),), (np.zeros(3),), ZERO, NONE),
        Row("std of one element", np.std, (np.ones(1),), (np.zeros(1),), ZERO, NONE),
        Row("var of a constant", np.var, (np.ones(3),), (np.zeros(3),), TRUE, (np.eye(3) - 1 / 3) * 2 / 3),
        Row("hypot(0, 0)", np.hypot, (0.0, 0.0), (0.0, 0.0), ZERO, NONE),
        Row("arctan2(0, 0)", np.arctan2, (0.0, 0.0), (0.0, 0.0), "finite; no limit exists", NONE),
        Row("linalg.norm(x)**2 at 0", lambda x: np.linalg.norm(x) ** 2, (np.zeros(2),), (np.zeros(2),), SMOOTH, NONE),
        Row(
            "exp(-linalg.norm(x)**2) at 0",
            lambda x: np.exp(-(np.linalg.norm(x) ** 2)),
            (np.zeros(2),),
            (np.zeros(2),),
            SMOOTH,
            NONE,
        ),
        Row("linalg.norm(ord=0.5) of 0", lambda x: np.linalg.norm(x, 0.5), (np.zeros(2),), (np.zeros(2),), ZERO, NONE),
        Row(
            "linalg.norm(ord=3)**2 of 0",
            lambda x: np.linalg.norm(x, 3) ** 2,
            (np.zeros(2),),
            (np.zeros(2),),
            SMOOTH,
            NONE,
        ),
        Row("std(x)**2 of a constant", lambda x: np.std(x) ** 2, (np.ones(3),), (np.zeros(3),), SMOOTH, NONE),
        Row("hypot(x, y)**2 at 0, 0", lambda x, y: np.hypot(x, y) ** 2, (0.0, 0.0), (0.0, 0.0), SMOOTH, NONE),
        Row("abs(x + 1j*y)**2 at 0, 0", lambda x, y: np.abs(x + 1j * y) ** 2, (0.0, 0.0), (0.0, 0.0), SMOOTH, NONE),
        Row("abs(x)**2 at 0", lambda x: np.abs(x) ** 2, (0.0,), (0.0,), ZERO),
        Row("abs(x)**0.5 at 0", lambda x: np.abs(x) ** 0.5, (0.0,), (0.0,), UNTAKEN, NONE),
        Row("sqrt(x**2) at 0", lambda x: np.sqrt(x**2), (0.0,), (0.0,), UNTAKEN, NONE),
        Row("sqrt(x @ x) at 0", lambda x: np.sqrt(x @ x), (np.zeros(2),), (np.zeros(2),), UNTAKEN, NONE),
        Row("sqrt(x @ q @ x) at 0", lambda x: np.sqrt(x @ Q @ x), (np.zeros(2),), (np.zeros(2),), UNTAKEN, NONE),
        Row(
            "sqrt(einsum('i,ij,j', x, q, x)) at 0",
            lambda x: np.sqrt(np.einsum("i,ij,j", x, Q, x)),
            (np.zeros(2),),
            (np.zeros(2),),
            UNTAKEN,
            NONE,
        ),
        Row("sqrt(maximum(x, 0)) at -1", lambda x: np.sqrt(np.maximum(x, 0.0)), (-1.0,), (0.0,), UNTAKEN),
        Row("sqrt(max([0, -1]))", lambda x: np.sqrt(np.max(x)), (V([0.0, -1.0]),), (V([INF, 0.0]),), INFINITE, None),
        Row(
            "distances, two points equal",
            distances,
            (POINTS,),
            (V([[-1.0, -1.0], [2.0, 2.0], [-1.0, -1.0]]) * np.sqrt(2),),
            UNTAKEN,
            None,
        ),
        Row(
            "kernel, two points equal",
            kernel,
            (POINTS,),
            (V([[4.0, 4.0], [-8.0, -8.0], [4.0, 4.0]]) * np.exp(-2),),
            TRUE,
            None,
        ),
        Row("sinc(0)", np.sinc, (0.0,), (0.0,), TRUE, -(np.pi**2) / 3),
    ],
    "Powers, logarithms and inverse functions": [
        Row("x**0.0 at 0, in both", np.power, (0.0, 0.0), (0.0, 0.0), FLAT, None),
        Row("x**0 at 0", lambda x: x**0, (0.0,), (0.0,), FLAT),
        Row("x**1 at 0, in both", np.power, (0.0, 1.0), (1.0, 0.0), TRUE, None),
        Row("x**2 at 0, in both", np.power, (0.0, 2.0), (0.0, 0.0), TRUE, V([[2.0, 0.0], [0.0, 0.0]])),
        Row("0**y at 2", lambda y: 0.0**y, (2.0,), (0.0,), TRUE),
        Row("0**y at 0", lambda y: 0.0**y, (0.0,), (0.0,), "0 wherever y > 0"),
        Row("x**0.5 at 0", lambda x: x**0.5, (0.0,), (INF,), INFINITE, -INF),
        Row("x**-1 at 0", lambda x: x**-1.0, (0.0,), (-INF,), INFINITE, INF),
        Row("(-2)**y at 3, in both", np.power, (-2.0, 3.0), (12.0, NAN), "no real power beside an integer one", None),
        Row("(-2)**0.5", lambda x: np.power(x, 0.5), (-2.0,), (NAN,), UNDEFINED, NAN),
        Row("log(x) at 0", np.log, (0.0,), (INF,), INFINITE, -INF),
        Row("log1p(x) at -1", np.log1p, (-1.0,), (INF,), INFINITE, -INF),
        Row("x * log(x) at 0", lambda x: x * np.log(x), (0.0,), (NAN,), UNDEFINED, NONE),
        Row("arcsin(1)", np.arcsin, (1.0,), (INF,), INFINITE, INF),
        Row("arccos(1)", np.arccos, (1.0,), (-INF,), INFINITE, -INF),
        Row("arctanh(1)", np.arctanh, (1.0,), (INF,), INFINITE, INF),
        Row("tanh(1000)", np.tanh, (1000.0,), (0.0,), TRUE, 0.0),
        Row("fmod(-3, 2), in both", np.fmod, (-3.0, 2.0), (1.0, 1.0), TRUE),
        Row("mod(4, 2), in both", np.mod, (4.0, 2.0), (1.0, -2.0), "from the right"),
        Row("x % 1 at 1", lambda x: x % 1, (1.0,), (1.0,), "from the right"),
        Row("x**2 at the integer 2", lambda x: x**2, (2,), (4.0,), "an int counts as a float64", None),
    ],
    "Branches and what is not taken": [
        Row("where(x > 0, log(x), 0) at -1", lambda x: np.where(x > 0, np.log(x), 0.0), (-1.0,), (0.0,), UNTAKEN),
        Row("where(x > 0, sqrt(x), 0) at 0", lambda x: np.where(x > 0, np.sqrt(x), 0.0), (0.0,), (0.0,), UNTAKEN),
        Row("where(x != 0, sin(x)/x, 1) at 0", lambda x: np.where(x != 0, np.sin(x) / x, 1.0), (0.0,), (0.0,), UNTAKEN),
        Row("1 / (1 + exp(-x)) at -1000", lambda x: 1 / (1 + np.exp(-x)), (-1000.0,), (0.0,), TRUE, NONE),
        Row("logaddexp(-inf, -inf)", np.logaddexp, (-INF, -INF), (0.5, 0.5), SHARE),
        Row("logaddexp(inf, 0)", np.logaddexp, (INF, 0.0), (1.0, 0.0), TRUE),
        Row(
            "log(sum(exp(x))) of -inf, -inf",
            lambda x: np.log(np.sum(np.exp(x))),
            (V([-INF, -INF]),),
            (V([NAN, NAN]),),
            "f is infinite; logaddexp shares",
            NONE,
        ),
        Row(
            "naive cross-entropy at [1, 800, 2]",
            cross_entropy,
            (V([1.0, 800.0, 2.0]),),
            (V([NAN] * 3),),
            "f is infinite",
            NONE,
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
        Row(
            "prod([2, 0, 3])",
            np.prod,
            (V([2.0, 0.0, 3.0]),),
            (V([0.0, 6.0, 0.0]),),
            EXACT,
            V([[0.0, 3.0, 0.0], [3.0, 0.0, 2.0], [0.0, 2.0, 0.0]]),
        ),
        Row(
            "prod([0, 0, 3])",
            np.prod,
            (V([0.0, 0.0, 3.0]),),
            (np.zeros(3),),
            EXACT,
            V([[0.0, 3, 0], [3, 0, 0], [0, 0, 0]]),
        ),
        Row(
            "cumprod([2, 0, 3])",
            lambda x: np.sum(np.cumprod(x)),
            (V([2.0, 0.0, 3.0]),),
            (V([1.0, 8.0, 0.0]),),
            EXACT,
            V([[0.0, 4.0, 0.0], [4.0, 0.0, 2.0], [0.0, 2.0, 0.0]]),
        ),
        Row(
            "prod([0, 1e200, 1e200, 1e200])",
            np.prod,
            (V([0.0, 1e200, 1e200, 1e200]),),
            (V([INF, 0.0, 0.0, 0.0]),),
            "a polynomial that overflows",
            None,
        ),
        Row(
            "det of a singular matrix",
            np.linalg.det,
            (np.ones((2, 2)),),
            (V([[1.0, -1.0], [-1.0, 1.0]]),),
            EXACT,
            np.eye(4)[::-1] * V([1.0, -1.0, -1.0, 1.0]) + 0.0,
        ),
        Row("det of the zero matrix", np.linalg.det, (np.zeros((3, 3)),), (np.zeros((3, 3)),), EXACT),
        Row(
            "slogdet of a singular matrix",
            lambda a: np.linalg.slogdet(a)[1],
            (np.ones((2, 2)),),
            (V([[INF, -INF], [-INF, INF]]),),
            INFINITE,
            None,
        ),
        Row(
            "linalg.cond of the zero matrix",
            np.linalg.cond,
            (np.zeros((2, 2)),),
            (np.full((2, 2), NAN),),
            INFINITE,
            NONE,
        ),
        Row(
            "eigvalsh of I, weighted 1, 2",
            lambda a: np.sum(np.linalg.eigvalsh(a) * V([1.0, 2.0])),
            (np.eye(2),),
            (np.diag([1.0, 2.0]),),
            "a valid choice of eigenvectors",
            NONE,
        ),
        Row(
            "singular values of [[0, 1], [1, 0]], summed",
            lambda a: np.sum(np.linalg.svd(a, compute_uv=False)),
            (V([[0.0, 1.0], [1.0, 0.0]]),),
            (V([[0.0, 1.0], [1.0, 0.0]]),),
            TRUE,
            NONE,
        ),
        Row(
            "sum of cholesky(a)",
            lambda a: np.sum(np.linalg.cholesky(a)),
            (V([[4.0, 1.0], [1.0, 3.0]]),),
            None,  # type: ignore[arg-type]
            "symmetric, as the argument is",
            None,
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

# Where a backend differs: (backend, test: row) → reason. Strict: an entry that holds is a failure.
_OFF_DIAGONAL = "torch's graph does not tell what an infinite cotangent was made from: off the diagonal there is a 0"
_PARTS = "torch's own derivative of the factorisation inside is NaN there"
LIMITS = {
    ("torch", "second: sqrt(sum(x**2)) at 0"): _OFF_DIAGONAL,
    ("jax", "second: arctanh(1)"): "JAX's slope of 1/(1 - x²) is an infinity less an infinity there: NaN",
    ("torch", "tangent: slogdet of a singular matrix"): _PARTS,
    ("autograd", "tangent: linalg.cond of the zero matrix"): "0 along what leaves the singular values alone",
    ("autograd", "reverse: tanh(1000)"): "autograd's slope of tanh divides by a cosh that overflows",
}


def cell(value: object) -> str:
    """A gradient as the document shows it."""
    if value is None:
        return "`None`"
    array = np.asarray(value)
    if array.size > 4 and np.array_equal(array, np.full(array.shape, array.flat[0]), equal_nan=True):
        array = array.flat[0]
    text = np.array2string(array, precision=4, separator=", ", suppress_small=True).replace("\n", "")
    return f"`{' '.join(text.split())}`"


def document() -> str:
    """The table as Markdown."""
    lines = []
    for title, rows in GROUPS.items():
        lines += [f"## {title}", "", "| at | gradient | second derivative | why |", "| --- | --- | --- | --- |"]
        for row in rows:
            grads = ", ".join(cell(g) for g in expected(row))
            second = "" if row.second is None else "none" if row.second is NONE else cell(row.second)
            lines.append(f"| {row.name.replace('|', chr(92) + '|')} | {grads} | {second} | {row.why} |")
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
