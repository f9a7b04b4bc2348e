"""jax.numpy for the products of matrices and what is solved with them: NumPy refuses what JAX answers with NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...face.atoms import contract
from .operands import TABLE, concrete, implements, like_numpy, promoting, same_name

same_name("matmul", promoting)
same_name("linalg.slogdet")


@implements(contract)
def _contract(*arrays: Any, terms: tuple, output: str, optimize: Any = False) -> Any:
    return jnp.einsum(",".join(terms) + "->" + output, *like_numpy([jnp.asarray(a) for a in arrays]))


def _or_error(function: Callable, message: str) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        y = function(*args, **kwargs)
        value = concrete(y)
        if value is not None and not np.isfinite(value).all():
            inputs = [concrete(a) for a in args]
            if all(a is None or a.dtype.kind not in "fc" or np.isfinite(a).all() for a in inputs):
                raise np.linalg.LinAlgError(message)
        return y

    return call


def need_numbers(a: Any) -> None:
    """Refuse a matrix with NaN, from which JAX makes NaN where LAPACK finds no singular values."""
    known = concrete(a)
    if known is not None and known.dtype.kind in "fc" and np.isnan(known).any():
        raise np.linalg.LinAlgError("SVD did not converge")


@implements(np.linalg.pinv)
def _pinv(a: Any, *args: Any, **kwargs: Any) -> Any:
    need_numbers(a)
    return jnp.linalg.pinv(a, *args, **kwargs)


TABLE[np.linalg.solve] = _or_error(promoting(jnp.linalg.solve), "Singular matrix")
TABLE[np.linalg.inv] = _or_error(jnp.linalg.inv, "Singular matrix")


@implements(np.linalg.det)
def _det(a: Any) -> Any:
    a = jnp.asarray(a)
    return jnp.linalg.det(a) if a.ndim < 2 or a.shape[-1] or a.shape[-2] else jnp.ones(a.shape[:-2], a.dtype)


def from_triangle(a: Any, upper: bool) -> Any:
    """The Hermitian matrix that NumPy reads from one triangle, with the slope of the Hermitian part."""
    a = jnp.asarray(a)
    a = a if a.dtype.kind in "fc" else a.astype(float)
    adjoint = jnp.conj(jnp.swapaxes(a, -1, -2))
    one, other = (jnp.triu(a), jnp.tril(adjoint, -1)) if upper else (jnp.tril(a), jnp.triu(adjoint, 1))
    half = (a + adjoint) / 2
    read = one + other
    if a.dtype.kind == "c":  # the diagonal is real, whatever is stored
        read = read - 1j * jnp.imag(read) * jnp.eye(a.shape[-1], dtype=bool)
    return half + lax.stop_gradient(read - half)


def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return jnp.linalg.cholesky(from_triangle(a, upper), upper=upper)


TABLE[np.linalg.cholesky] = _or_error(_cholesky, "Matrix is not positive definite")


@implements(np.linalg.matrix_rank)
def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    need_numbers(A)
    A = jnp.asarray(A)
    if not A.size:
        return jnp.zeros(A.shape[:-2], int)
    if A.ndim < 2:
        return jnp.any(A != 0).astype(int)
    s = jnp.abs(jnp.linalg.eigvalsh(A)) if hermitian else jnp.linalg.svdvals(A)
    if tol is None:
        rtol = max(A.shape[-2:]) * jnp.finfo(s.dtype).eps if rtol is None else jnp.asarray(rtol)[..., None]
        tol = jnp.max(s, -1, keepdims=True) * rtol
    else:
        tol = jnp.asarray(tol)[..., None]
    return jnp.sum(s > tol, -1)
