"""Every row of the conventions on every backend, forwards and backwards, and the document that shows them."""

import pathlib

import numpy as np
import pytest
from limits import judge
from samples.conventions import GROUPS, LIMITS, NONE, REFUSED, document, expected

import adselect as ad

ROWS = [row for rows in GROUPS.values() for row in rows]
DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "conventions.md"


def limited(backend, name, problems):
    judge(backend.name, name, problems, LIMITS)


def differs(got, want):
    if want is None:
        return got is not None
    return got is None or not np.allclose(got, want, rtol=1e-7, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_gradients(exact_backend, row):
    problems = []
    with np.errstate(all="ignore"):
        grads = ad.gradient(row.f, exact_backend.adtype, *row.args)
        for i, (got, want) in enumerate(zip(grads, expected(row), strict=True)):
            if differs(got, want):
                problems.append(f"argument {i}: {got}, not {want}")
    limited(exact_backend, f"gradient: {row.name}", problems)


def second_derivative(row, operator, adtype):
    """The Hessian of a row, of several numbers as that of one vector; None where there is an error instead."""
    x = np.array(row.args) if len(row.args) > 1 else row.args[0]
    count = len(row.args)

    def f(v):
        return np.sum(row.f(*[v[i] for i in range(count)])) if count > 1 else np.sum(row.f(v))

    try:
        return operator(f, adtype, x)
    except ad.UnsupportedError:
        return None


@pytest.mark.parametrize("operator", [ad.hessian, ad.hessian_reverse])
@pytest.mark.parametrize("row", [r for r in ROWS if r.second is not None], ids=lambda r: r.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_second_derivatives(exact_backend, row, operator):
    if np.iscomplexobj(row.args[0]):
        pytest.skip("a complex argument has no Hessian")
    if operator is ad.hessian_reverse:
        if exact_backend.name == "jax" or (row.second is not NONE and not np.isfinite(row.second).all()):
            pytest.skip("JAX takes its time, and an infinity may come out as NaN")
    with np.errstate(all="ignore"):
        second = second_derivative(row, operator, exact_backend.adtype)
    if row.second is NONE:
        problems = [f"{second}"] if second is not None and np.isfinite(second).any() else []
    else:
        problems = [f"{second}"] if second is None or differs(second, row.second + np.zeros(np.shape(second))) else []
    limited(exact_backend, f"{'second' if operator is ad.hessian else 'reverse'}: {row.name}", problems)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_tangents(exact_backend, row):
    """Forward mode gives the same numbers: one pushforward per entry of a real argument."""
    problems = []
    for i, (x, want) in enumerate(zip(row.args, expected(row), strict=True)):
        if want is None or np.iscomplexobj(x) or not isinstance(x, (float, np.ndarray)):
            continue
        for j in np.ndindex(np.shape(x)):
            tangents = [np.zeros_like(a) if isinstance(a, np.ndarray) else 0.0 for a in row.args]
            if j:
                tangents[i][j] = 1.0
            else:
                tangents[i] = 1.0
            with np.errstate(all="ignore"):
                _, y_dot = ad.pushforward(row.f, exact_backend.adtype, row.args, tuple(tangents))
            if differs(y_dot, np.asarray(want)[j]):
                problems.append(f"argument {i}{list(j)}: {y_dot}, not {np.asarray(want)[j]}")
    limited(exact_backend, f"tangent: {row.name}", problems)


@pytest.mark.parametrize(("name", "f", "args", "why"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_refusals(exact_backend, name, f, args, why):
    """An error, or at least no number."""
    try:
        (grad,) = ad.gradient(f, exact_backend.adtype, *args)
    except ad.UnsupportedError:
        return
    assert not np.isfinite(grad).all()


def test_the_document_shows_the_table():
    assert document() in DOCUMENT.read_text(encoding="utf-8"), "paste what tests/samples/conventions.py prints"


def test_limits_name_rows():
    names = {f"{test}: {row.name}" for row in ROWS for test in ("gradient", "second", "reverse", "tangent")}
    assert {name for _, name in LIMITS} <= names
