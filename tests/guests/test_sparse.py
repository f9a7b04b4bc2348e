"""SciPy's sparse arrays and matrices as arguments of f: followed where it is linear algebra, refused elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import guest, held_against_plain

import adselect as ad
from adselect import AutoTape, gradient, jacobian, prepare, pullback

sparse = guest("scipy.sparse")

DENSE = np.array([[1.0, 0, 2.0], [0, 3.0, 0], [0.5, 0, 0], [0, -1.0, 4.0]])
W = np.array([1.0, -2.0, 0.5])
U = np.arange(4.0) + 1
PAIR = np.arange(6.0).reshape(3, 2)
FORMATS = ["csr_array", "csc_array", "coo_array", "csr_matrix", "csc_matrix"]


def _written(A):
    A.data[0] = 7.0
    return (A.data**2).sum()


FOLLOWED = {
    "A @ w": lambda A: (A @ W).sum() + U @ (A @ W),
    "u @ A": lambda A: (U @ A) @ W + U @ A @ W + W @ A.T @ U,
    "A @ B": lambda A: (A @ PAIR).sum() + (A.T @ U) @ W + A.dot(W).sum(),
    "sums": lambda A: A.sum() + np.sum(A) + A.mean() + A.trace() + A.diagonal() @ W,
    "scaled": lambda A: (A * 2.0).sum() + (2.0 * A).sum() + (A / 3).sum() + (-A).sum() + abs(A).sum(),
    "powers": lambda A: A.power(2).sum() + A.multiply(A.toarray()).sum() + A.multiply(W).sum(),
    "functions that keep zeros": lambda A: A.tanh().sum() + A.sin().sum() + A.expm1().sum(),
    "dense": lambda A: A.toarray()[0, 2] ** 2 + np.linalg.norm(A.toarray()),
    "formats": lambda A: (A.tocsc() @ W).sum() + A.tocoo().sum() + A.tocsr() @ W @ U,
    "entries": lambda A: A[0, 2] * A[1, 1] + A[-1, -1] + A[2, 2],
    "data": lambda A: A.data @ A.data + len(A.data) * A.nnz * A.shape[0],
    "same pattern": lambda A: (A + A).sum() + (A - A * 0.5).sum(),
    "what it is": lambda A: A.sum() if sparse.issparse(A) and A.ndim == 2 and A.dtype == float else 0.0,
    "twice": lambda A: (A @ (A.T @ U)).sum(),
    "written": _written,
}


def like(kind):
    base = getattr(sparse, kind)(DENSE)

    def make(numbers):
        made = base.copy()
        made.data[:] = numbers
        return made

    return base, make


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("case", FOLLOWED)
def test_followed(exact_backend, kind, case):
    base, make = like(kind)
    grad = held_against_plain(FOLLOWED[case], exact_backend.adtype, make, base.data.copy(), lambda g: g.data)
    assert type(grad) is type(base)
    np.testing.assert_array_equal(grad.toarray() != 0, (grad.toarray() != 0) & (DENSE != 0))
    for name in ("row", "col", "indices", "indptr"):
        if hasattr(base, name):
            np.testing.assert_array_equal(getattr(grad, name), getattr(base, name))


def test_sums_along_an_axis(exact_backend):
    base, make = like("csr_array")
    for f in (
        lambda A: A.sum(axis=0) @ W + A.sum(axis=1) @ U,
        lambda A: (A * DENSE).sum() + (A + DENSE).sum() + (DENSE - A).sum(),
        lambda A: (A**2).sum() + A.todense()[0, 0],
    ):
        held_against_plain(f, exact_backend.adtype, make, base.data.copy(), lambda g: g.data)


REFUSED = {
    "A @ sparse": lambda A: (A @ A.T).sum(),
    "sparse @ A": lambda A: (sparse.csr_array(DENSE.T) @ A).sum(),
    "another pattern": lambda A: (A + sparse.csr_array(np.ones((4, 3)))).sum(),
    "max": lambda A: A.max(),
    "norm": lambda A: sparse.linalg.norm(A),
    "vstack": lambda A: sparse.vstack([A, A]).sum(),
    "rows": lambda A: sum(r.sum() for r in A),
    "a slice": lambda A: A[:, 0].sum(),
    "reshape": lambda A: A.reshape((3, 4)).sum(),
    "compared": lambda A: (A != 0).sum() * A.sum(),
    "tolil": lambda A: A.tolil().sum(),
    "np.dot": lambda A: np.dot(A, W).sum(),
    "np.asarray": lambda A: np.asarray(A).sum(),
    "written": lambda A: _entry(A),
}


def _entry(A):
    A[0, 0] = 1.0
    return A.sum()


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix"])
@pytest.mark.parametrize("case", REFUSED)
def test_refused(exact_backend, kind, case):
    guest("scipy.sparse.linalg")
    with pytest.raises(ad.ADSelectError, match=r"test_sparse\.py:\d+.*toarray"):
        gradient(REFUSED[case], exact_backend.adtype, like(kind)[0])


def test_a_matrix_gives_no_np_matrix(exact_backend):
    for f in (lambda A: A.todense().sum(), lambda A: A.sum(axis=0).sum(), lambda A: (A**2).sum()):
        with pytest.raises(ad.ADSelectError, match=r"np\.matrix|power of matrices"):
            gradient(f, exact_backend.adtype, like("csr_matrix")[0][:3])


def test_other_formats_are_refused(backend):
    for value in (sparse.dia_array(DENSE), sparse.lil_array(DENSE), sparse.dok_array(DENSE)):
        with pytest.raises(ad.ADSelectError, match=r"args\[0\].*Pass args\[0\]\.tocsr\(\)"):
            gradient(lambda A: A.sum(), backend.adtype, value)


def test_results_and_seeds(exact_backend):
    base, _ = like("csr_array")
    y, back = pullback(lambda A: A * 2, exact_backend.adtype, base)
    assert type(y) is type(base)
    np.testing.assert_allclose(y.toarray(), 2 * DENSE)
    np.testing.assert_allclose(back(y)[0].toarray(), 4 * DENSE)
    np.testing.assert_allclose(back(base.data)[0].toarray(), 2 * DENSE)


def test_booleans_and_what_is_not_used_have_none(exact_backend):
    for value in (sparse.csr_array(DENSE > 0), sparse.csr_array(DENSE)):
        assert gradient(lambda x, A: x * 2, exact_backend.adtype, 1.0, value) == (2.0, None)


def test_jacobian_names_it(exact_backend):
    with pytest.raises(ad.ADSelectError, match=r"args\[0\] is a SciPy sparse array"):
        jacobian(lambda A: A @ W, exact_backend.adtype, like("csr_array")[0])


def test_a_prepared_call_keeps_to_its_pattern():
    base, make = like("csr_array")
    prepared = prepare(gradient, lambda A: ((A @ W) ** 2).sum(), AutoTape(), base, check="always")
    found = prepared(make(base.data + 1))[0]
    wanted = gradient(lambda A: ((A @ W) ** 2).sum(), make(base.data + 1))[0]
    np.testing.assert_allclose(found.toarray(), wanted.toarray())
    with pytest.raises(ad.ADSelectError, match="prepared for"):
        prepared(sparse.csr_array(np.roll(DENSE, 1, axis=0)))


@pytest.mark.parametrize("kind", ["coo", "csr", "csc"])
def test_several_numbers_at_one_place_are_added_up_first(exact_backend, kind):
    def make(numbers):
        if kind == "coo":
            return sparse.coo_array((numbers.copy(), ([0, 1, 1, 2], [0, 2, 2, 1])), shape=(3, 3))
        return getattr(sparse, f"{kind}_array")((numbers.copy(), [0, 2, 2, 1], [0, 1, 3, 4]), shape=(3, 3))

    weights = np.cos(np.arange(9.0)).reshape(3, 3)
    for f in (
        lambda A: A.power(2).sum(),
        lambda A: abs(A).sum(),
        lambda A: (A.sin() @ np.arange(3.0)).sum(),
        lambda A: np.sum(A.sinh().tocsr().toarray() * weights),
    ):
        held_against_plain(f, exact_backend.adtype, make, np.array([1.3, 2.1, -0.7, 3.2]), lambda g: g.data)
