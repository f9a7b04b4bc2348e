"""torch for the products of matrices and what is solved with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UnsupportedError, user_line
from ...face.atoms import contract
from .operands import TABLE, implements, inexact, promoted, tensor_of


@implements(np.matmul)
def matrix_product(a: Any, b: Any) -> Tensor:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype is b.dtype):
        a, b = promoted(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul: a scalar operand does not have enough dimensions")
    try:
        return torch.matmul(a, b)
    except RuntimeError as error:
        raise ValueError(f"matmul: operands of shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit") from error


# Its annotation knows a number of axes only.
native_tensordot: Any = torch.tensordot
SLOGDET_RESULT = type(np.linalg.slogdet(np.eye(1)))


def implements_linalg(*functions: Any, into: dict = TABLE) -> Callable:
    """Like ``implements``, for what raises NumPy's LinAlgError where torch raises its own."""

    def enter(implementation: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return implementation(*args, **kwargs)
            except torch.linalg.LinAlgError as error:  # pyright: ignore[reportPrivateImportUsage]
                raise np.linalg.LinAlgError(str(error)) from error

        for function in functions:
            into[function] = call
        return call

    return enter


def square_matrix(a: Any) -> Tensor:
    a = inexact(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    return a


@implements_linalg(np.linalg.solve)
def _solve(a: Any, b: Any) -> Tensor:
    a, b = promoted(a, b)
    a, b = square_matrix(a), inexact(b)
    if b.ndim == 1:
        return torch.linalg.solve(a, b.unsqueeze(-1)).squeeze(-1)
    return torch.linalg.solve(a, b.expand(*a.shape[:-2], *b.shape[-2:]) if b.ndim < a.ndim else b)


@implements_linalg(np.linalg.inv)
def _inv(a: Any) -> Tensor:
    return torch.linalg.inv(square_matrix(a))


class _Determinant(torch.autograd.Function):
    """det with the cofactor matrix for derivative: exact for singular matrices, to any order."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> Tensor:
        return torch.linalg.det(a)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (a,) = ctx.saved_tensors
        return g[..., None, None] * torch.conj(_cofactors(a))


def _cofactors(a: Tensor) -> Tensor:
    """∂det/∂a: every minor with its sign."""
    n = a.shape[-1]
    if n == 1:
        return torch.ones_like(a)
    if n == 2:
        rows = [torch.stack([a[..., 1, 1], -a[..., 1, 0]], -1), torch.stack([-a[..., 0, 1], a[..., 0, 0]], -1)]
        return torch.stack(rows, -2)
    others = torch.tensor([[j for j in range(n) if j != i] for i in range(n)], device=a.device)
    # minors[..., i, j] is a without row i and column j.
    minors = a[..., others, :][..., others].movedim(-2, -3)
    signs = (-1.0) ** (torch.arange(n, device=a.device)[:, None] + torch.arange(n, device=a.device))
    return _determinant(minors) * signs.to(a.dtype)


# Up to this size minors are cheap enough to be the derivative of every singular matrix.
_LARGEST_MINORS = 40


def _determinant(a: Tensor) -> Tensor:
    d = torch.linalg.det(a)
    if not a.requires_grad or a.shape[-1] <= 1:
        return d if a.shape[-1] != 1 else a[..., 0, 0]
    if a.shape[-1] <= 3:
        return _Determinant.apply(a)
    # Far from singular, det·inv is exact and cheap; the test compares det with the product of the row lengths.
    size = torch.linalg.vector_norm(a.detach(), dim=-1).prod(-1)
    if bool((torch.abs(d.detach()) > 1e-8 * size).all()):
        return d
    if a.shape[-1] > _LARGEST_MINORS:
        raise UnsupportedError(
            f"np.linalg.det of a (nearly) singular {a.shape[-1]}×{a.shape[-1]} matrix at {user_line()}: its derivative "
            "would lose all digits. Use np.linalg.slogdet, or a smaller matrix."
        )
    return _Determinant.apply(a)


@implements_linalg(np.linalg.det)
def _det(a: Any) -> Tensor:
    return _determinant(square_matrix(a))


@implements_linalg(np.linalg.slogdet)
def _slogdet(a: Any) -> Any:
    return SLOGDET_RESULT(*torch.linalg.slogdet(square_matrix(a)))


@implements_linalg(np.linalg.cholesky)
def _cholesky(a: Any, /, *, upper: bool = False) -> Tensor:
    a = square_matrix(a)
    if a.is_complex():  # torch's own cotangent is not Hermitian: the slope is that of the Hermitian part
        half = (a + conjugate_transpose(a)) / 2
        a = half + (a - half).detach()
    return _upper(a) if upper else torch.linalg.cholesky(a)


def _upper(a: Tensor) -> Tensor:
    return conjugate_transpose(torch.linalg.cholesky(conjugate_transpose(a)))


def conjugate_transpose(a: Tensor) -> Tensor:
    return torch.conj(a).swapaxes(-1, -2)


@implements(contract)
def _contract(*arrays: Any, terms: tuple, output: str, optimize: Any = False) -> Tensor:
    return torch.einsum(",".join(terms) + "->" + output, *promoted(*[tensor_of(a) for a in arrays]))
