"""torch for the decompositions of numpy.linalg."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import user_line
from ...primitives.own_rules import within_a_rule
from ...rules.least_squares import least_squares, orthonormal
from ...rules.singular_values import singular
from ...rules.undetermined import SINGULAR, in_blocks, noise, refusal
from ..framework_array import OwnRuleError
from .operands import implements, inexact, promoted
from .table_linalg import conjugate_transpose, implements_linalg, square_matrix

EIGH_RESULT = type(np.linalg.eigh(np.eye(1)))
EIG_RESULT = type(np.linalg.eig(np.eye(1)))
SVD_RESULT: Any = type(np.linalg.svd(np.eye(1)))
QR_RESULT = type(np.linalg.qr(np.eye(1)))


class _Undetermined(torch.autograd.Function):
    """Vectors, one a column, some of which have no derivative; ``columns`` says which."""

    generate_vmap_rule = True

    @staticmethod
    def forward(vectors: Tensor, columns: Tensor) -> Tensor:
        return vectors.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.columns, ctx.line = inputs[1], user_line()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        if bool(((g != 0) & ctx.columns[..., None, :]).any()):
            raise refusal(SINGULAR, ctx.line)
        return g, None


def determined(values: Tensor, *vectors: Tensor) -> list:
    """Vectors, one a column, whose derivative is refused where their values are equal up to rounding."""
    if not vectors[0].requires_grad:
        return list(vectors)
    try:
        blocks = in_blocks(values.detach().cpu().numpy())
    except RuntimeError:  # under torch.func.vmap values cannot be looked at
        return list(vectors)
    if not blocks.any():
        return list(vectors)
    if not (blocks.all() or within_a_rule()):  # of those whose values stand alone, torch's derivative is NaN as well
        raise OwnRuleError
    return [undetermined(v, torch.from_numpy(blocks).to(v.device)) for v in vectors]


def undetermined(vectors: Tensor, columns: Tensor) -> Tensor:
    result: Any = _Undetermined.apply(vectors, columns)
    return result


@implements_linalg(np.linalg.eigh)
def _eigh(a: Any, UPLO: str = "L") -> Any:
    w, v = torch.linalg.eigh(square_matrix(a), UPLO=UPLO.upper())
    return EIGH_RESULT(w, *determined(w, v))


def real_if_real(a: Tensor, *results: Tensor) -> list:
    """torch's general eigenvalues are complex; NumPy's are real when all imaginary parts vanish."""
    if a.is_complex() or not bool((results[0].detach().imag == 0).all()):
        return list(results)
    return [torch.real(r) for r in results]


@implements_linalg(np.linalg.eig)
def _eig(a: Any) -> Any:
    a = square_matrix(a)
    w, v = torch.linalg.eig(a)
    return EIG_RESULT(*real_if_real(a, w, *determined(w, v)))


def complement(basis: Tensor, rest: Tensor) -> Tensor:
    """The columns ``rest``, orthonormal to the columns of ``basis`` wherever those move."""
    x = rest - basis @ (conjugate_transpose(basis) @ rest)
    factor = torch.linalg.cholesky(conjugate_transpose(x) @ x)
    return conjugate_transpose(torch.linalg.solve(factor, conjugate_transpose(x)))


@implements_linalg(np.linalg.pinv)
def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, **given: Any) -> Tensor:
    a = inexact(a)
    rtol = rcond if rcond is not None else given.get("rtol", 1e-15)
    if rtol is None:
        rtol = max(a.shape[-2:]) * torch.finfo(a.dtype).eps
    return torch.linalg.pinv(a, rtol=rtol, hermitian=hermitian)


@implements_linalg(singular)
def _singular(a: Any, full: bool) -> tuple:
    a = inexact(a)
    k = min(a.shape[-2:])
    # torch differentiates the thin factors only. The rest is fixed up to a rotation by being orthonormal to them.
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    u, v = determined(s, u, conjugate_transpose(vh))
    if full and a.shape[-1] != a.shape[-2]:
        full_u, _, full_vh = torch.linalg.svd(a.detach(), full_matrices=True)
        if a.shape[-2] > k:
            u = torch.cat([u, complement(u, full_u[..., :, k:])], -1)
        else:
            v = torch.cat([v, complement(v, conjugate_transpose(full_vh)[..., :, k:])], -1)
    return u, s, conjugate_transpose(v)


@implements_linalg(orthonormal)
def _orthonormal(a: Any, mode: Any) -> tuple:
    a = inexact(a)
    q, r = torch.linalg.qr(a, mode="reduced")  # torch's other modes have no derivative
    if r.requires_grad:
        with contextlib.suppress(RuntimeError):  # under torch.func.vmap values cannot be looked at
            sizes = torch.diagonal(r.detach(), 0, -2, -1).abs().cpu().numpy()
            lost = (sizes <= noise(sizes)).any(-1, keepdims=True)
            if lost.any():
                columns = torch.from_numpy(lost).to(q.device)
                q, r = [undetermined(x, columns.expand(x[..., 0, :].shape)) for x in (q, r)]
    m, n = a.shape[-2:]
    if mode == "complete" and m > n:
        q = torch.cat([q, complement(q, torch.linalg.qr(a.detach(), mode="complete").Q[..., n:])], -1)
        r = torch.cat([r, r.new_zeros(*r.shape[:-2], m - n, n)], -2)
    return q, r


@implements(least_squares)
def _least_squares(a: Any, b: Any, rcond: Any) -> Tensor:
    a, b = promoted(inexact(a), inexact(b))
    if rcond is None or rcond < 0:  # what LAPACK takes for its own precision is half of eps
        rcond = torch.finfo(a.dtype).eps * (max(a.shape) if rcond is None else 0.5)
    if not bool(torch.isfinite(a).all()):
        raise np.linalg.LinAlgError("SVD did not converge in Linear Least Squares")
    return torch.linalg.pinv(a, rtol=rcond) @ b
