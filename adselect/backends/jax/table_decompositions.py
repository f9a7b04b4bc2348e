"""jax.numpy for the decompositions of numpy.linalg."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...errors import user_line
from ...rules.least_squares import least_squares, orthonormal
from ...rules.singular_values import singular
from ...rules.undetermined import CHOICE, in_blocks
from .operands import concrete, implements
from .table_linalg import from_triangle, need_numbers

_EigResult: Any = type(np.linalg.eig(np.eye(1)))
# JAX differentiates eigenvectors on demand only: of multiplicity 1 and unit length they are what NumPy returns.
_EIGENVECTORS: dict[str, Any] = {
    name: value
    for name, value in {"compute_left_eigenvectors": False, "enable_eigvec_derivs": True}.items()
    if name in inspect.signature(lax.linalg.eig).parameters
}


@jax.custom_jvp
def fixed(vectors: Any, columns: Any) -> Any:
    """The vectors, whose tangents are NaN in some columns: those of repeated values have no derivative."""
    return vectors


@fixed.defjvp
def _fixed_jvp(primals: tuple, tangents: tuple) -> tuple:
    vectors, columns = primals
    return vectors, tangents[0] * jnp.where(columns[..., None, :], jnp.nan, 1).astype(vectors.real.dtype)


def determined(values: Any, *vectors: Any) -> list:
    """Vectors, one a column, without derivative where their values are equal up to rounding."""
    values = lax.stop_gradient(values)
    known = concrete(values)
    if known is not None:
        blocks = in_blocks(known)
        if not blocks.any():
            return list(vectors)
        CHOICE.met = user_line()
        columns = jnp.asarray(blocks)
    else:
        n = values.shape[-1]
        apart = jnp.abs(values[..., None, :] - values[..., None])
        noise = 4 * n * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values), -1, keepdims=True, initial=0)
        columns = jnp.any((apart <= noise[..., None]) & ~jnp.eye(n, dtype=bool), -1)
    return [fixed(v, columns) for v in vectors]


def eigenpairs(a: Any) -> tuple:
    """Eigenvalues and eigenvectors, real where NumPy's are."""
    a = jnp.asarray(a)
    given = concrete(a)
    if given is not None and given.dtype.kind in "fc" and not np.isfinite(given).all():
        raise np.linalg.LinAlgError("Array must not contain infs or NaNs")
    if not a.size and a.shape[-1] == a.shape[-2]:
        return (jnp.zeros(a.shape[:-1], a.dtype), a)
    values, vectors = lax.linalg.eig(a if a.dtype.kind in "fc" else a.astype(float), **_EIGENVECTORS)
    known = concrete(values.imag)
    if a.dtype.kind != "c" and known is not None and not known.any():
        values, vectors = values.real, vectors.real
    return values, vectors


@implements(np.linalg.eig)
def _eig(a: Any) -> Any:
    values, vectors = eigenpairs(a)
    return _EigResult(values, *determined(values, vectors))


@implements(np.linalg.eigh)
def _eigh(a: Any, UPLO: str = "L") -> Any:
    values, vectors = result = jnp.linalg.eigh(from_triangle(a, UPLO.upper() == "U"))
    return type(result)(values, *determined(values, vectors))


@implements(orthonormal)
def _orthonormal(a: Any, mode: str) -> tuple:
    q, r = jnp.linalg.qr(a, mode)
    sizes = jnp.abs(jnp.diagonal(lax.stop_gradient(r), 0, -2, -1))
    small = 4 * max(sizes.shape[-1], 1) * jnp.finfo(sizes.dtype).eps * jnp.max(sizes, -1, keepdims=True, initial=0)
    lost = jnp.any(sizes <= small, -1, keepdims=True)
    known = concrete(lost)
    if known is not None and not known.any():
        return q, r
    if known is not None:
        CHOICE.met = user_line()
    return tuple([fixed(x, jnp.broadcast_to(lost, (*x.shape[:-2], x.shape[-1]))) for x in (q, r)])


@implements(singular)
def _singular(a: Any, full: bool) -> tuple:
    need_numbers(a)
    rows, columns = jnp.shape(a)[-2:]
    # JAX differentiates the thin factors only. The rest is fixed up to a rotation by being orthonormal to them.
    u, s, vh = jnp.linalg.svd(a, False)
    u, v = determined(s, u, adjoint(vh))
    if not full or rows == columns:
        return u, s, adjoint(v)
    full_u, _, full_vh = jnp.linalg.svd(lax.stop_gradient(a), full_matrices=True)
    k = min(rows, columns)
    if rows > columns:
        u = jnp.concatenate([u, complement(u, full_u[..., :, k:])], -1)
    else:
        v = jnp.concatenate([v, complement(v, adjoint(full_vh)[..., :, k:])], -1)
    return u, s, adjoint(v)


def adjoint(x: Any) -> Any:
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def complement(basis: Any, rest: Any) -> Any:
    """The columns ``rest``, orthonormal to the columns of ``basis`` wherever those move."""
    x = rest - basis @ (adjoint(basis) @ rest)
    factor = jnp.linalg.cholesky(adjoint(x) @ x)
    return adjoint(jnp.linalg.solve(factor, adjoint(x)))


@implements(least_squares)
def _least_squares(a: Any, b: Any, rcond: Any) -> Any:
    return solutions(a, b, rcond)[0]


def solutions(a: Any, b: Any, rcond: Any) -> tuple:
    """``jnp.linalg.lstsq`` of two arrays of one floating dtype."""
    # What LAPACK takes for its own precision, where rcond is negative, is half of eps.
    found = jnp.linalg.lstsq(a, b, rcond if rcond is None or rcond >= 0 else 0.5 * np.finfo(a.dtype).eps)
    known = concrete(found[3])
    if known is not None and not np.isfinite(known).all():
        raise np.linalg.LinAlgError("SVD did not converge in Linear Least Squares")
    return found
