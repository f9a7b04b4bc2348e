"""Jacobians of complex arguments: the gradient of a real result, ∂y/∂z where f is holomorphic, an error elsewhere."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import adselect as ad
from adselect.calls.flat import call_user
from adselect.errors import ADSelectValueError
from adselect.operators.complex_parts import CallOfParts
from adselect.structure.flattening import flatten

Z = np.array([1.0 + 2.0j, 3.0 - 1.0j])
NEAR = {"rtol": 1e-7, "atol": 1e-9}

# f and its Jacobian at z.
HOLOMORPHIC = {
    "square": (lambda z: z**2, lambda z: np.diag(2 * z)),
    "products": (
        lambda z: np.stack([z[0] * z[1], np.exp(z[0])]),
        lambda z: np.array([[z[1], z[0]], [np.exp(z[0]), 0]]),
    ),
    "a number": (lambda z: np.sum(z**3), lambda z: 3 * z[None] ** 2),
    "a branch": (lambda z: np.where(np.real(z) > 0, z**2, z), lambda z: np.diag(2 * z)),
    "more rows": (
        lambda z: np.concatenate([z, z**2, 1j * z]),
        lambda z: np.vstack([np.eye(2), np.diag(2 * z), 1j * np.eye(2)]),
    ),
}
REAL = {
    "modulus": lambda z: np.abs(z) ** 2,
    "real part": lambda z: np.real(z) * np.imag(z),
    "a number": lambda z: np.sum(np.abs(z) ** 2 * np.real(z)),
}
NOT = {
    "conj": lambda z: np.conj(z),
    "a product": lambda z: z * np.real(z),
    "one entry": lambda z: np.stack([z[0] ** 2, z[1] * np.abs(z[0])]),
    "small": lambda z: z**2 + 1e-3 * np.conj(z),
}


def both(backend, f, z):
    """The Jacobian as it is and prepared elsewhere."""
    yield lambda: ad.jacobian(f, backend.adtype, z)[0]
    yield lambda: ad.prepare(ad.jacobian, f, backend.adtype, z * 0 + 0.5)(z)[0]


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_holomorphic(name, backend):
    f, formula = HOLOMORPHIC[name]
    for call in both(backend, f, Z):
        np.testing.assert_allclose(call(), formula(Z), **NEAR)


@pytest.mark.parametrize("name", REAL)
def test_a_row_of_a_real_result_is_its_gradient(name, backend):
    f = REAL[name]
    rows = np.atleast_1d(f(Z)).size
    wanted = [ad.gradient(lambda z, k=k: np.reshape(f(z), -1)[k], Z)[0] for k in range(rows)]
    for call in both(backend, f, Z):
        np.testing.assert_allclose(call(), np.stack(wanted), **NEAR)


@pytest.mark.parametrize("name", NOT)
def test_others_are_refused(name, backend):
    f = NOT[name]
    for call in both(backend, f, Z):
        if (name, backend.name) == ("small", "finitedifferences"):
            continue  # a thousandth is what differences may be wrong by
        with pytest.raises(ADSelectValueError, match=r"not holomorphic in args\[0\].*test_complex_parts.*pullback"):
            call()
    with pytest.raises(ADSelectValueError, match="withjacobian: f is not holomorphic"):
        ad.withjacobian(NOT["conj"], backend.adtype, Z)


def test_holomorphic_where_it_was_prepared_only(exact_backend):
    f = lambda z: np.where(np.real(z) > 0, z**2, np.conj(z))
    ready = ad.prepare(ad.jacobian, f, exact_backend.adtype, Z)
    np.testing.assert_allclose(ready(Z + 1)[0], np.diag(2 * (Z + 1)))
    with pytest.raises(ADSelectValueError, match="not holomorphic"):
        ready(-Z)


def test_complex_and_real_arguments_together(exact_backend):
    f = lambda x, z, t: t * x * z**2
    x, t = np.array([2.0, 5.0]), 3.0
    found = ad.jacobian(f, exact_backend.adtype, x, Z, t)
    np.testing.assert_allclose(found[0], np.diag(t * Z**2), **NEAR)
    np.testing.assert_allclose(found[1], np.diag(2 * t * x * Z), **NEAR)
    np.testing.assert_allclose(found[2], x * Z**2, **NEAR)
    # Real arguments only: nothing has to be holomorphic.
    found = ad.jacobian(lambda x: np.conj(x * (1 + 2j)), exact_backend.adtype, x)[0]
    np.testing.assert_allclose(found, np.eye(2) * (1 - 2j), **NEAR)


def test_precision_and_numbers(exact_backend):
    single = ad.jacobian(lambda z: z**2, exact_backend.adtype, Z.astype(np.complex64))[0]
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, np.diag(2 * Z), rtol=1e-5)
    np.testing.assert_allclose(ad.jacobian(lambda z: z * z, exact_backend.adtype, 1 + 2j)[0], [2 + 4j])
    value, (matrix,) = ad.withjacobian(lambda z: z**2, exact_backend.adtype, Z)
    np.testing.assert_allclose(value, Z**2)
    np.testing.assert_allclose(matrix, np.diag(2 * Z))


def test_derivatives(backend):
    adtype = backend.adtype
    np.testing.assert_allclose(ad.derivative(lambda z: z**3, adtype, 1 + 2j), 3 * (1 + 2j) ** 2, **NEAR)
    np.testing.assert_allclose(ad.second_derivative(lambda z: z**3, adtype, 1 + 2j), 6 * (1 + 2j), rtol=1e-5)
    for f in (np.conj, lambda z: np.abs(z) ** 2, lambda z: np.array([z, np.real(z)])):
        with pytest.raises(ADSelectValueError, match="derivative: f is not holomorphic in x"):
            ad.derivative(f, adtype, 1 + 2j)
    assert ad.derivative(lambda z: 2.0, adtype, 1 + 2j) == 0.0


def test_inside_another_derivative(exact_backend):
    f = lambda t: np.sum(np.abs(ad.jacobian(lambda z: t * z**2, exact_backend.adtype, Z)[0]) ** 2)
    np.testing.assert_allclose(ad.derivative(f, exact_backend.adtype, 2.0), 4 * np.sum(np.abs(2 * Z) ** 2))


def test_frameworks_own_arrays():
    torch = pytest.importorskip("torch")
    z = torch.tensor(Z)
    (found,) = ad.jacobian(lambda z: z**2, ad.AutoTorch(), z)
    assert torch.allclose(found, torch.diag(2 * z))
    (found,) = ad.jacobian(lambda z: torch.abs(z) ** 2, ad.AutoTorch(), z)
    assert torch.allclose(found, torch.diag(2 * z))
    with pytest.raises(ADSelectValueError, match="not holomorphic"):
        ad.jacobian(lambda z: z.conj(), ad.AutoTorch(), z)


def test_the_call_travels():
    leaves, skeleton = flatten((1.0 + 2.0j,))
    call = CallOfParts(call_user, skeleton, {}, None)
    call.places = [(0, 1)]
    again = pickle.loads(pickle.dumps(call))
    assert again.places == [(0, 1)]
    assert len(leaves) == 1
