"""torch for the decompositions of numpy.linalg."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import user_line
from ...primitives.own_rules import within_a_rule
from ...rules.undetermined import SINGULAR, in_blocks, refusal
from ..framework_array import OwnRuleError
from .operands import NOT_GIVEN, inexact
from .table_linalg import conjugate_transpose, implements_linalg, square_matrix

# -- linear algebra ----------------------------------------------------------------------------------------------------

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
def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = NOT_GIVEN) -> Tensor:
    a = inexact(a)
    rtol = rcond if rcond is not None else rtol
    if rtol is NOT_GIVEN or rtol is None:
        rtol = 1e-15 if rtol is NOT_GIVEN else max(a.shape[-2:]) * torch.finfo(a.dtype).eps
    return torch.linalg.pinv(a, rtol=rtol, hermitian=hermitian)
