"""Products, einsum, solvers, determinants and norms: real and complex, stacks, vectors, broadcasting."""

import numpy as np
import pytest
from witnesses import witness

import adselect as ad


def some(*shape, kind="f"):
    rng = np.random.default_rng([10, *shape])
    x = rng.standard_normal(shape)
    return x if kind == "f" else x + 1j * rng.standard_normal(shape)


def apart(*shape, kind):
    """Entries whose moduli are well apart."""
    rng = np.random.default_rng(4)
    x = np.sqrt(rng.permutation(np.arange(1.0, np.prod(shape) + 1))).reshape(shape) * rng.choice([-1, 1], shape)
    return x if kind == "f" else x * np.exp(1j * rng.standard_normal(shape))


PRODUCTS = {
    "matmul": [
        *[((3, 4), (4, 2)), ((4,), (4, 2)), ((3, 4), (4,)), ((4,), (4,)), ((5, 3, 4), (4, 2)), ((3, 4), (5, 4, 2))],
        *[((5, 3, 4), (5, 4, 2)), ((5, 1, 3, 4), (2, 4, 2)), ((4,), (5, 4, 2)), ((5, 3, 4), (4,))],
        ((1, 3, 4), (5, 4, 2)),
    ],
    "dot": [
        *[((3, 4), (4, 2)), ((4,), (4,)), ((), (3,)), ((2, 3), ()), ((5, 3, 4), (4,)), ((5, 3, 4), (2, 4, 6))],
        ((4,), (2, 4, 3)),
    ],
    "inner": [((4,), (4,)), ((3, 4), (2, 4)), ((), (3,)), ((5, 3, 4), (4,))],
    "outer": [((3,), (4,)), ((2, 3), (4,))],
    "vdot": [((4,), (4,)), ((2, 3), (3, 2))],
    "vecdot": [((3, 4), (4,)), ((2, 1, 4), (3, 4))],
    "matvec": [((2, 3, 4), (4,)), ((3, 4), (5, 4))],
    "vecmat": [((3,), (2, 3, 4)), ((5, 3), (3, 4))],
    "kron": [((2, 3), (3, 2)), ((3,), (2,)), ((2, 2), (3,)), ((), (2, 2))],
    "cross": [((3,), (3,)), ((4, 3), (3,)), ((2, 4, 3), (4, 3))],
    "tensordot": [((2, 3, 4), (3, 4, 5)), ((3, 4), (3, 4))],
}  # fmt: skip
PRODUCT_ROWS = [(name, a, b) for name, shapes in PRODUCTS.items() for a, b in shapes]


@pytest.mark.parametrize(("name", "a", "b"), PRODUCT_ROWS)
def test_products(name, a, b):
    if not hasattr(np, name):
        pytest.skip("this NumPy has no such function")
    function = getattr(np, name)
    witness(lambda x, y: function(x, y), some(*a), some(*b))
    witness(lambda x, y: function(x, y), some(*a, kind="c"), some(*b, kind="c"))
    witness(lambda x, y: function(x, y), some(*a), some(*b, kind="c"), order=1)
    witness(lambda x, y: function(x, y), some(*a, kind="c"), some(*b), order=1)
    witness(lambda x: function(x, x * 2), some(*a)) if a == b else None


OPTIONS = {
    "tensordot 1": (lambda a, b: np.tensordot(a, b, 1), some(2, 3), some(3, 4)),
    "tensordot 0": (lambda a, b: np.tensordot(a, b, 0), some(2), some(3)),
    "tensordot axes": (lambda a, b: np.tensordot(a, b, axes=((0, -1), (1, 0))), some(2, 3, 4), some(4, 2, 5)),
    "tensordot one axis": (lambda a, b: np.tensordot(a, b, axes=(1, 0)), some(2, 3), some(3, 4)),
    "cross axes": (lambda a, b: np.cross(a, b, axisa=0, axisb=-1, axisc=0), some(3, 4), some(4, 3)),
    "cross axis": (lambda a, b: np.cross(a, b, axis=0), some(3, 4), some(3, 4)),
    "vecdot axis": (lambda a, b: np.vecdot(a, b, axis=0), some(3, 4), some(3, 4)),
    "matmul axes": (lambda a, b: a @ b + np.dot(a, b) + a.dot(b), some(3, 3), some(3, 3)),
    "linalg.outer": (lambda a, b: np.linalg.outer(a, b), some(3), some(4)),
    "linalg.matmul": (lambda a, b: np.linalg.matmul(a, b), some(3, 4), some(4, 3)),
    "linalg.tensordot": (lambda a, b: np.linalg.tensordot(a, b, axes=1), some(3, 4), some(4, 3)),
    "linalg.vecdot": (lambda a, b: np.linalg.vecdot(a, b), some(3, 4), some(3, 4)),
    "linalg.cross": (lambda a, b: np.linalg.cross(a, b), some(4, 3), some(4, 3)),
    "linalg.diagonal": (
        lambda a: np.linalg.diagonal(a, offset=1) * np.linalg.trace(a, offset=-1)[:, None],
        some(2, 3, 3),
    ),
    "linalg.matrix_transpose": (lambda a: np.linalg.matrix_transpose(a) ** 2, some(2, 3, 4)),
    "multi_dot": (lambda a, b, c: np.linalg.multi_dot([a, b, c]), some(3), some(3, 4), some(4, 2)),
    "multi_dot vectors": (lambda a, b, c: np.linalg.multi_dot((a, b, c)), some(3), some(3, 4), some(4)),
    "matrix_power 3": (lambda a: np.linalg.matrix_power(a, 3), some(2, 3, 3)),
    "matrix_power 0": (lambda a: np.linalg.matrix_power(a, 0) * a, some(3, 3)),
    "matrix_power -2": (lambda a: np.linalg.matrix_power(a, -2), some(3, 3) + 3 * np.eye(3)),
    "matmul out": (lambda a, b: np.matmul(a, b, out=np.zeros((3, 3), like=a)) * a, some(3, 3), some(3, 3)),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name):
    f, *args = OPTIONS[name]
    witness(f, *args, tol=1e-6)
    if "axes" not in name and "out" not in name:
        witness(f, *[a * (1 - 0.5j) for a in args], order=1, tol=1e-6)


EINSUM = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("i,i", (3,), (3,)),
    ("i,j->ji", (3,), (2,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    ("...ij,...jk->...ik", (2, 3, 4), (4, 2)),
    ("...i->...", (2, 3)),
    ("ij...,jk...->ik...", (2, 3, 2), (3, 4, 2)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("ijk,jil->kl", (2, 3, 4), (3, 2, 5)),
    ("iij,jk->ik", (2, 2, 3), (3, 4)),
    ("iijj->ij", (2, 2, 3, 3)),
    ("ij,j", (2, 3), (3,)),
    ("i,", (3,), ()),
    ("ij,kj->ik", (1, 3), (4, 3)),
]


@pytest.mark.parametrize("row", EINSUM, ids=[r[0] for r in EINSUM])
def test_einsum(row):
    subscripts, *shapes = row
    for optimize in (False, True):
        witness(lambda *xs, o=optimize: np.einsum(subscripts, *xs, optimize=o), *[some(*s) for s in shapes], order=1)
    witness(lambda *xs: np.einsum(subscripts, *xs), *[some(*s, kind="c") for s in shapes])


def test_einsum_forms():
    a, b = some(2, 3), some(3, 4)
    witness(lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), a, b)
    witness(lambda a, b: np.einsum(a, [0, 1], b, [1, 2]), a, b)
    witness(lambda a: np.einsum("ij,ij->i", a, a), a)
    witness(lambda a: np.einsum("ij,jk,k->i", a, b, np.arange(4.0)), a)
    witness(lambda a: np.einsum("ij->ij", a) ** 2, a)
    witness(lambda a: np.einsum(a, [Ellipsis, 0], [0, Ellipsis]) ** 2, a)
    path = ad.withgradient(lambda a: (np.sum(a), np.einsum_path("ij,jk->ik", a, b)[0]), a).val[1]
    assert path == ["einsum_path", (0, 1)]


@pytest.mark.parametrize("kind", ["f", "c"])
class TestSolvers:
    def test_solve(self, kind):
        a = some(3, 3, kind=kind) + 3 * np.eye(3)
        for b in ((3,), (3, 2)):
            witness(lambda a, b: np.linalg.solve(a, b), a, some(*b, kind=kind))
        stack = some(2, 3, 3, kind=kind) + 3 * np.eye(3)
        witness(lambda a, b: np.linalg.solve(a, b), stack, some(2, 3, 2, kind=kind))
        witness(lambda a, b: np.linalg.solve(a, b), stack, some(3, kind=kind))
        witness(lambda a, b: np.linalg.solve(a, b), stack, some(3, 2, kind=kind))
        witness(lambda a, b: np.linalg.solve(a, b), a, some(2, 3, 2, kind=kind))

    def test_inverse_and_determinant(self, kind):
        for shape in ((3, 3), (2, 3, 3), (1, 1)):
            a = some(*shape, kind=kind) + 2 * np.eye(shape[-1])
            witness(lambda a: np.linalg.inv(a), a, tol=1e-6)
            witness(lambda a: np.linalg.det(a), a)
            witness(lambda a: np.linalg.slogdet(a)[1], a)
            witness(lambda a: np.linalg.slogdet(a).sign, a)
            witness(lambda a: (lambda s, d: s * np.exp(d))(*np.linalg.slogdet(a)), a)

    def test_cholesky(self, kind):
        for shape in ((3, 3), (2, 3, 3)):
            a = some(*shape, kind=kind)

            def f(a, **options):
                return np.linalg.cholesky(a @ np.conj(np.swapaxes(a, -1, -2)) + np.eye(3), **options)

            witness(lambda a, f=f: f(a), a)
            witness(lambda a, f=f: f(a, upper=True), a)

    def test_norms(self, kind):
        x = apart(2, 3, 4, kind=kind)
        for order in (None, 1, 2, 3, 0.5, np.inf, -np.inf, -1, -2):
            witness(lambda x, o=order: np.linalg.norm(x, o, axis=1), x, tol=1e-6)
            witness(lambda x, o=order: np.linalg.norm(x[0, 0], o), x, order=1, tol=1e-6)
        for order in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
            witness(lambda x, o=order: np.linalg.norm(x, o, axis=(0, 2)), x, tol=1e-6)
            witness(lambda x, o=order: np.linalg.norm(x[0], o, keepdims=True), x, order=1, tol=1e-6)
            witness(lambda x, o=order: np.linalg.norm(x, o, axis=(2, 0), keepdims=True), x, order=1, tol=1e-6)
        for order in (1, 2, 3, np.inf):
            witness(lambda x, o=order: np.linalg.vector_norm(x, axis=(0, 1), ord=o), x)
            witness(lambda x, o=order: np.linalg.vector_norm(x, ord=o, keepdims=True), x, order=1)
        witness(lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True), x, tol=1e-6)
        witness(lambda x: np.linalg.norm(x), x)
        witness(lambda x: np.linalg.norm(x[0], axis=-1, keepdims=True), x)


# f, x, gradient
POINTS = [
    (np.linalg.norm, np.zeros(2), np.zeros(2)),
    (lambda x: np.linalg.norm(x, 1), np.array([0.0, 2.0]), [0.0, 1.0]),
    (lambda x: np.linalg.norm(x, 3), np.zeros(2), np.zeros(2)),
    (lambda x: np.linalg.norm(x, np.inf), np.array([1.0, -1.0]), [0.5, -0.5]),
    (np.linalg.norm, np.zeros((2, 2)), np.zeros((2, 2))),
    (np.linalg.det, np.ones((2, 2)), [[1.0, -1.0], [-1.0, 1.0]]),
    (np.linalg.det, np.zeros((2, 2)), np.zeros((2, 2))),
    (np.linalg.det, np.zeros((3, 3)), np.zeros((3, 3))),
    (np.linalg.det, np.diag([2.0, 0.0, 3.0]), np.diag([0.0, 6.0, 0.0])),
    (lambda x: np.sum(np.linalg.eigvalsh(x) * np.array([1.0, 2.0])), np.eye(2), [[1.0, 0.0], [0.0, 2.0]]),
]


@pytest.mark.parametrize(("f", "x", "expected"), POINTS)
@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()])
def test_points(f, x, expected, adtype):
    np.testing.assert_allclose(ad.gradient(f, adtype, x)[0], expected, atol=1e-14)


def test_second_derivative_of_a_singular_determinant():
    for x in (np.zeros((2, 2)), np.ones((2, 2)), np.eye(2)):
        h = ad.hessian(np.linalg.det, x)
        np.testing.assert_allclose(h, [[0, 0, 0, 1], [0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0]], atol=1e-14)


@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()])
def test_single_precision(adtype):
    a, b = (some(3, 3) + 3 * np.eye(3)).astype("f4"), some(3, 3).astype("f4")
    functions = ["matmul", "dot", "inner", "outer", "vdot", "kron", "tensordot", "cross", "linalg.solve"]
    for name in functions:
        function = getattr(np.linalg, name[7:]) if "." in name else getattr(np, name)
        value, grads = ad.withgradient(lambda a, b, f=function: np.sum(f(a, b)), adtype, a, b)
        assert value.dtype == np.float32, name
        assert all(g.dtype == np.float32 for g in grads), name
    for f in (np.linalg.det, np.linalg.norm, lambda x: np.sum(np.linalg.inv(x)), lambda x: np.linalg.slogdet(x)[1]):
        value, (g,) = ad.withgradient(f, adtype, a)
        assert (value.dtype, g.dtype) == (np.float32, np.float32)
