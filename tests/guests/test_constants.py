"""Foreign containers that f meets as constants: right, or refused by name; never another number than in plain code."""

from __future__ import annotations

import array
import collections
import copy
import re
import warnings

import numpy as np
import pytest
from conftest import guest, numeric_jacobian

import adselect as ad

A = np.array([[1.0, 2.0, -1.0], [0.5, 3.0, 2.0], [-2.0, 1.5, 0.25]])
V = np.array([2.0, -1.0, 0.5])
X = np.array([0.3, 0.7, 1.1])
RECORDS = np.array([(1.0, 2.0), (0.0, 1.0), (3.0, 1.0)], dtype=[("a", float), ("b", float)])


def matrix(values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(values)


class Doubled(np.ndarray):
    """An array whose product is its own."""

    def __mul__(self, other):
        return 2 * np.asarray(self) * other


# How it is made, what the refusal calls it, what the refusal says to write.
KINDS = {
    "matrix": (lambda: matrix(A), "np.matrix", r"np\.asarray\(A\)"),
    "row matrix": (lambda: matrix(V), "np.matrix", r"np\.asarray\(A\)"),
    "masked": (lambda: np.ma.array(V, mask=[False, True, False]), "masked array", r"np\.ma\.filled\(A, 0\.0\)"),
    "masked square": (lambda: np.ma.array(A, mask=np.eye(3) > 0), "masked array", r"np\.ma\.filled\(A, 0\.0\)"),
    "masked constant": (lambda: np.ma.masked, "masked array", r"np\.ma\.filled"),
    "structured": (lambda: RECORDS.copy(), "structured array", r"A\['a'\]"),
    "records": (lambda: RECORDS.copy().view(np.recarray), "record array", r"A\['a'\]"),
    "own algebra": (lambda: V.copy().view(Doubled), "Doubled", r"np\.asarray\(A\)"),
    "deque": (lambda: collections.deque(V.tolist()), "", ""),
    "UserList": (lambda: collections.UserList(V.tolist()), "", ""),
    "array.array": (lambda: array.array("d", V), "", ""),
    "memoryview": (lambda: memoryview(V.copy()), "", ""),
    "Series": (lambda: guest("pandas").Series(V.copy(), index=list("abc")), "pandas", r"to_numpy\(\)"),
    "DataFrame": (lambda: guest("pandas").DataFrame(A.copy(), columns=list("abc")), "pandas", r"to_numpy\(\)"),
    "Index": (lambda: guest("pandas").Index(V.copy()), "pandas", r"to_numpy\(\)"),
    "DataArray": (lambda: guest("xarray").DataArray(V.copy(), dims="t"), "xarray", r"\.data|to_numpy\(\)"),
    "square DataArray": (
        lambda: guest("xarray").DataArray(A.copy(), dims=("s", "t")),
        "xarray",
        r"\.data|to_numpy\(\)",
    ),
    "Variable": (lambda: guest("xarray").Variable("t", V.copy()), "xarray", r"\.data|to_numpy\(\)"),
    "csr_array": (lambda: guest("scipy.sparse").csr_array(A), "sparse", r"A\.toarray\(\)"),
    "csr_matrix": (lambda: guest("scipy.sparse").csr_matrix(A), "sparse|np.matrix", r"A\.toarray\(\)|np\.asarray"),
    "coo_array": (lambda: guest("scipy.sparse").coo_array(A), "sparse", r"A\.toarray\(\)"),
    "dia_array": (lambda: guest("scipy.sparse").diags_array(V), "sparse", r"A\.toarray\(\)"),
    "lil_array": (lambda: guest("scipy.sparse").lil_array(A), "sparse", r"A\.toarray\(\)"),
}


def _added(x, A):
    y = 1.0 * x
    y += A
    return y


def _assigned(x, A):
    y = 1.0 * x
    y[:] = A
    return y * x


def _multiplied(A, x):
    A *= x
    return A


def _filled(A, x):
    A[0] = x[0]
    return A * 1.0


OPERATIONS = {
    "A * x": lambda A, x: A * x,
    "x * A": lambda A, x: x * A,
    "A + x": lambda A, x: A + x,
    "x - A": lambda A, x: x - A,
    "x / A": lambda A, x: x / A,
    "x ** A": lambda A, x: x**A,
    "A @ x": lambda A, x: A @ x,
    "x @ A": lambda A, x: x @ A,
    "A.T @ x": lambda A, x: A.T @ x,
    "x[0] * A": lambda A, x: x[0] * A,
    "A * x[0]": lambda A, x: A * x[0],
    "np.sum(A * x)": lambda A, x: np.sum(A * x),
    "(A * x).sum()": lambda A, x: (A * x).sum(),
    "np.multiply(x, A)": lambda A, x: np.multiply(x, A),
    "np.multiply(A, x)": lambda A, x: np.multiply(A, x),
    "np.dot(A, x)": lambda A, x: np.dot(A, x),
    "np.dot(x, A)": lambda A, x: np.dot(x, A),
    "A.dot(x)": lambda A, x: A.dot(x),
    "x.dot(A)": lambda A, x: x.dot(A),
    "np.matmul(A, x)": lambda A, x: np.matmul(A, x),
    "np.concatenate": lambda A, x: np.concatenate([x, A]),
    "np.stack": lambda A, x: np.stack([x, A]),
    "np.append": lambda A, x: np.append(x, A),
    "np.where(A > 0, x, 0)": lambda A, x: np.where(A > 0, x, 0.0),
    "np.where(x > 0.5, A, x)": lambda A, x: np.where(x > 0.5, A, x),
    "x[A > 0]": lambda A, x: x[A > 0],
    "x += A": lambda A, x: _added(x, A),
    "y[:] = A": lambda A, x: _assigned(x, A),
    "(A < x) * x": lambda A, x: np.sum((x > A) * x),
    "(x < A) * x": lambda A, x: np.sum((x < A) * x),
    "np.inner": lambda A, x: np.inner(A, x),
    "np.einsum": lambda A, x: np.einsum("i,i->", A, x),
    "np.outer": lambda A, x: np.outer(A, x),
    "np.maximum": lambda A, x: np.maximum(A, x),
    "np.clip": lambda A, x: np.clip(x, A, 5.0),
    "np.linspace": lambda A, x: np.linspace(x, A, 3),
    "np.average": lambda A, x: np.average(x, weights=A),
    "np.sum(where=A)": lambda A, x: np.sum(x, where=A > 0),
    "out=A": lambda A, x: np.multiply(x, x, out=A),
    "A *= x": _multiplied,
    "A[0] = x[0]": _filled,
    "np.asarray(A) * x": lambda A, x: np.asarray(A) * x,
}


def total(operation, constant):
    """A number that depends on every entry of what an operation gives, whatever container that is."""

    def f(x):
        own = memoryview(np.array(constant)) if isinstance(constant, memoryview) else copy.deepcopy(constant)
        y = operation(own, x)
        if isinstance(y, np.ma.MaskedArray):
            y = y.filled(0)
        if hasattr(type(y), "multiply"):
            return y.multiply(y).sum()
        y = getattr(y, "data", y) if hasattr(y, "dims") else y
        y = y.to_numpy() if hasattr(y, "to_numpy") else y
        return np.sum(y * y)

    return f


def outcome(f, adtype):
    """``"right"``, the text of the refusal, or ``"as plain"`` where plain code fails too; fails for anything else."""
    try:
        plain = float(f(X))
        slopes = numeric_jacobian(lambda x: float(f(x)), X)[0]
    except Exception:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - what plain code cannot do is an error here, too
            ad.gradient(f, adtype, X)
        return f"as plain: {caught.value}"
    try:
        value, (grad,) = ad.withgradient(f, adtype, X)
    except ad.ADSelectError as refused:
        return str(refused)
    np.testing.assert_allclose(float(value), plain, rtol=1e-9)
    np.testing.assert_allclose(0.0 if grad is None else grad, slopes, rtol=1e-6, atol=1e-6)
    return "right"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_is_right_or_refused_by_name(exact_backend, kind):
    make, name, advice = KINDS[kind]
    found = {}
    for operation, operate in OPERATIONS.items():
        try:
            found[operation] = outcome(total(operate, make()), exact_backend.adtype)
        except AssertionError as error:
            raise AssertionError(f"{operation} with {kind}: {error}") from None
        except Exception as error:
            raise AssertionError(f"{operation} with {kind} ends in {error!r}") from error
    assert found["np.asarray(A) * x"] == "right" or "as plain" in found["np.asarray(A) * x"] or name == "sparse"
    refused = {k: text for k, text in found.items() if text != "right"}
    for operation, text in refused.items():
        assert text.startswith("as plain") or "test_constants.py:" in text, (operation, text)
    if name:
        told = [text for text in refused.values() if re.search(name, text) and re.search(advice, text)]
        assert told, refused


def test_the_check_can_fail(exact_backend):
    def ignoring_the_mask(x):
        values = np.ma.array(V, mask=[False, True, False])
        return np.sum((values.data if ad.is_traced(x) else values) * x)

    with pytest.raises(AssertionError):
        outcome(ignoring_the_mask, exact_backend.adtype)


REFUSED = {
    "np.matrix(A) * x": lambda x: np.sum(matrix(A) * x),
    "x * np.matrix(A)": lambda x: np.sum(x * matrix(V)),
    "np.asmatrix(x)": lambda x: np.asmatrix(x).sum(),
    "np.ma.array(x)": lambda x: np.ma.array(x, mask=[0, 1, 0]).sum(),
    "mask * x": lambda x: np.sum(np.ma.array(V, mask=[0, 1, 0]) * x),
    "x * mask": lambda x: np.sum(x * np.ma.array(V, mask=[0, 1, 0])),
    "mask[0] = x[0]": lambda x: _filled(np.ma.array(V, mask=[0, 1, 0]), x),
    "matrix as result": lambda x: matrix([[np.sum(x)]]),
    "masked as result": lambda x: np.ma.array(np.sum(x)),
    "masked, the constant": lambda x: np.ma.masked,
    "array.array of traced": lambda x: sum(array.array("d", x)),
    "array.array written": lambda x: sum(_filled(array.array("d", V), x)),
    "records written": lambda x: np.sum(_filled(np.zeros(3, RECORDS.dtype)["a"], x)),
}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_another_number_is_refused(exact_backend, case):
    with pytest.raises(ad.ADSelectError) as refused:
        ad.gradient(REFUSED[case], exact_backend.adtype, X)
    assert any(word in str(refused.value) for word in ("Write", "Return", "Collect"))


def test_a_mask_in_an_index_is_refused(exact_backend):
    for index in (np.ma.array([True, False, True], mask=[True, False, False]), matrix([0, 1])):
        with pytest.raises(ad.ADSelectError, match="an index"):
            ad.gradient(lambda x, index=index: np.sum(x[index]), exact_backend.adtype, X)


def test_indices_from_elsewhere(exact_backend):
    pandas = guest("pandas")
    for index in (
        pandas.Series([True, False, True]),
        pandas.Index([0, 2]),
        collections.deque([0, 2]),
        array.array("i", [0, 2]),
    ):
        (grad,) = ad.gradient(lambda x, index=index: np.sum(x[index] ** 2), exact_backend.adtype, X)
        np.testing.assert_allclose(grad, [0.6, 0.0, 2.2])


@pytest.mark.parametrize("format", ["csr_array", "csc_matrix", "coo_array", "dia_array", "lil_array"])
def test_products_with_sparse_constants_on_the_right(exact_backend, format):
    sparse = getattr(guest("scipy.sparse"), format)(A)
    (grad,) = ad.gradient(lambda x: np.sum((x @ sparse) ** 2), exact_backend.adtype, X)
    np.testing.assert_allclose(grad, 2 * A @ (A.T @ X))
    (grad,) = ad.gradient(lambda x: np.sum(x @ sparse.T), exact_backend.adtype, np.stack([X, X]))
    np.testing.assert_allclose(grad, np.tile(A.sum(axis=0), (2, 1)))


def test_a_deque_that_f_fills(exact_backend):
    def f(x):
        last = collections.deque(maxlen=2)
        for v in x:
            last.append(v * v)
        return np.sum(last) + last[0]

    (grad,) = ad.gradient(f, exact_backend.adtype, X)
    np.testing.assert_allclose(grad, [0.0, 2.8, 2.2])


def test_a_captured_deque_holds_plain_values_afterwards(exact_backend):
    seen = collections.deque()

    def f(x):
        seen.append(x[0] * 2)
        return np.sum(x)

    ad.gradient(f, exact_backend.adtype, X)
    assert not ad.is_traced(seen[0])
    assert float(seen[0]) == pytest.approx(0.6)
