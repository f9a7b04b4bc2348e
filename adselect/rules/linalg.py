"""Products and numpy.linalg: dot, matmul, einsum, tensordot; solve, inv, det, slogdet, norm, cholesky.

Matrix rules follow M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008), written for stacks of matrices and complex entries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..face.atoms import contract
from ..face.dispatch import dispatch
from ..values.kinds import isa
from .registry import composite, define, no_derivative
from .rule import unbroadcast


def adjoint(a: Any) -> Any:
    """Conjugate transpose of the last two axes."""
    if type(a) is np.ndarray and a.ndim == 2:
        return a.T if a.dtype.kind != "c" else a.T.conj()
    t = np.swapaxes(a, -1, -2)
    return np.conj(t) if np.iscomplexobj(a) else t


def conjugated(a: Any) -> Any:
    return np.conj(a) if np.iscomplexobj(a) else a


def like_argument(x_bar: Any, x: Any) -> Any:
    """Project onto x's shape and reality."""
    shape = np.shape(x)
    if np.shape(x_bar) != shape:
        x_bar = np.broadcast_to(unbroadcast(x_bar, np.shape(x_bar), shape), shape)
    return np.real(x_bar) if np.iscomplexobj(x_bar) and not np.iscomplexobj(x) else x_bar


_FLOAT64 = np.dtype(np.float64)

# -- matmul ------------------------------------------------------------------------------------------------------------


def _matmul_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    if type(a) is type(b) is np.ndarray and a.ndim == 2 and a.dtype is b.dtype is _FLOAT64:
        return g @ b.T if b.ndim == 2 else g[:, None] * b if b.ndim == 1 else like_argument(g @ adjoint(b), a)
    na, nb = np.ndim(a), np.ndim(b)
    if nb == 2:
        x_bar = g @ adjoint(b)
    elif nb == 1:
        x_bar = g * conjugated(b) if na == 1 else np.expand_dims(g, -1) * conjugated(b)
    else:
        g = np.expand_dims(g, -2) if na == 1 else g
        x_bar = g @ adjoint(b)
        if na == 1:
            x_bar = x_bar[..., 0, :]
    return x_bar if np.shape(x_bar) == np.shape(a) and not np.iscomplexobj(x_bar) else like_argument(x_bar, a)


def _matmul_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    if type(a) is type(b) is np.ndarray and a.ndim == 2 and b.ndim <= 2 and a.dtype is b.dtype is _FLOAT64:
        return a.T @ g
    na, nb = np.ndim(a), np.ndim(b)
    if na == 2 and nb == 2:
        x_bar = adjoint(a) @ g
    elif na == 1:
        if nb == 1:
            x_bar = g * conjugated(a)
        else:
            x_bar = np.expand_dims(conjugated(a), -1) * np.expand_dims(g, -2)
    elif nb == 1:
        x_bar = adjoint(a) @ g if na == 2 else np.sum(conjugated(a) * np.expand_dims(g, -1), axis=tuple(range(na - 1)))
    else:
        x_bar = adjoint(a) @ g
    return x_bar if np.shape(x_bar) == np.shape(b) and not np.iscomplexobj(x_bar) else like_argument(x_bar, b)


define(
    np.matmul,
    (_matmul_left, _matmul_right),
    (lambda d, y, a, b: d @ b, lambda d, y, a, b: a @ d),
    multilinear=True,
)


@composite(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    na, nb = np.ndim(a), np.ndim(b)
    if na == 0 or nb == 0:
        return np.multiply(a, b)
    if na <= 2 and nb <= 2:
        return np.matmul(a, b)
    return np.tensordot(a, b, axes=((na - 1,), (max(nb - 2, 0),)))


@composite(np.inner)
def _inner(a: Any, b: Any, /) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return np.tensordot(a, b, axes=((-1,), (-1,)))


@composite(np.vdot)
def _vdot(a: Any, b: Any, /) -> Any:
    a = np.reshape(a, -1)
    return np.matmul(np.conj(a) if np.iscomplexobj(a) else a, np.reshape(b, -1))


@composite(np.vecdot)
def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return np.sum((np.conj(x1) if np.iscomplexobj(x1) else x1) * x2, axis=axis)


def _matvec(x1: Any, x2: Any, /) -> Any:
    return np.matmul(x1, np.expand_dims(x2, -1))[..., 0]


def _vecmat(x1: Any, x2: Any, /) -> Any:
    return np.matmul(np.expand_dims(np.conj(x1) if np.iscomplexobj(x1) else x1, -2), x2)[..., 0, :]


if hasattr(np, "matvec"):  # NumPy 2.2
    composite(np.matvec)(_matvec)
    composite(np.vecmat)(_vecmat)


@composite(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Any:
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


no_derivative(np.einsum_path)


@composite(np.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    na, nb = np.ndim(a), np.ndim(b)
    if isa(axes, (int, np.integer)):
        left, right = tuple(range(na - axes, na)), tuple(range(axes))
    else:
        left, right = [tuple(s) if hasattr(s, "__len__") else (s,) for s in axes]
    left, right = tuple(i % na for i in left), tuple(i % nb for i in right)
    keep_a = tuple(i for i in range(na) if i not in left)
    keep_b = tuple(i for i in range(nb) if i not in right)
    shape_a, shape_b = np.shape(a), np.shape(b)
    inner = int(np.prod([shape_a[i] for i in left]))
    matrix_a = np.reshape(np.transpose(a, keep_a + left), (int(np.prod([shape_a[i] for i in keep_a])), inner))
    matrix_b = np.reshape(np.transpose(b, right + keep_b), (inner, int(np.prod([shape_b[i] for i in keep_b]))))
    shape = tuple([shape_a[i] for i in keep_a] + [shape_b[i] for i in keep_b])
    product = np.reshape(matrix_a @ matrix_b, shape)
    return product if shape else product[()]


@composite(np.kron)
def _kron(a: Any, b: Any) -> Any:
    na, nb = np.ndim(a), np.ndim(b)
    n = max(na, nb)
    shape_a, shape_b = (1,) * (n - na) + np.shape(a), (1,) * (n - nb) + np.shape(b)
    wide_a = np.reshape(a, [m for s in shape_a for m in (s, 1)])
    wide_b = np.reshape(b, [m for s in shape_b for m in (1, s)])
    return np.reshape(wide_a * wide_b, [s * t for s, t in zip(shape_a, shape_b, strict=True)])


@composite(np.trace)
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


@composite(np.cross)
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    a0, a1, b0, b1 = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    a2 = a[..., 2] if np.shape(a)[-1] == 3 else 0.0
    b2 = b[..., 2] if np.shape(b)[-1] == 3 else 0.0
    if np.shape(a)[-1] == 2 and np.shape(b)[-1] == 2:
        return a0 * b1 - a1 * b0
    parts = np.broadcast_arrays(a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0)
    return np.moveaxis(np.stack(parts, axis=-1), -1, axisc)


# -- einsum ------------------------------------------------------------------------------------------------------------

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _explicit(subscripts: str, operands: Any) -> tuple[list[str], str]:
    """Input and output letters with ellipses and the implicit output written out."""
    subscripts = subscripts.replace(" ", "")
    inputs, arrow, output = subscripts.partition("->")
    terms = inputs.split(",")
    free = [c for c in _LETTERS if c not in subscripts]
    rank = max(
        (np.ndim(x) - len(t.replace("...", "")) for t, x in zip(terms, operands, strict=True) if "..." in t), default=0
    )
    broadcast = "".join(free[:rank])
    filled = []
    for term, x in zip(terms, operands, strict=True):
        n = np.ndim(x) - len(term.replace("...", ""))
        filled.append(term.replace("...", broadcast[rank - n :] if n else ""))
    if arrow:
        output = output.replace("...", broadcast)
    else:
        joined = "".join(terms).replace("...", "")
        output = broadcast + "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    return filled, output


@composite(np.einsum)
def _einsum(*operands: Any, out: Any = None, optimize: Any = False, dtype: Any = None, **options: Any) -> Any:
    if not isinstance(operands[0], str):
        subscripts, operands = _from_lists(operands)
    else:
        subscripts, operands = operands[0], operands[1:]
    terms, output = _explicit(subscripts, operands)
    arrays = []
    for k, (term, x) in enumerate(zip(terms, operands, strict=True)):
        x = np.asarray(x) if type(x) in (list, tuple) else x
        while len(set(term)) < len(term):  # a repeated letter reads a diagonal
            letter = next(c for c in term if term.count(c) > 1)
            i = term.index(letter)
            j = term.index(letter, i + 1)
            x = np.diagonal(x, 0, i, j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + letter
        terms[k] = term
        arrays.append(x)
    return dispatch(contract, tuple(arrays), {"terms": tuple(terms), "output": output, "optimize": optimize})


def _from_lists(operands: tuple) -> tuple[str, tuple]:
    """The form ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` as subscripts."""

    def letters(sublist: Any) -> str:
        if any([s is not Ellipsis and not 0 <= s < len(_LETTERS) for s in sublist]):
            raise ValueError(f"subscript is not within the valid range [0, {len(_LETTERS)})")
        return "".join("..." if s is Ellipsis else _LETTERS[s] for s in sublist)

    pairs, last = list(operands), None
    if len(pairs) % 2:
        last = pairs.pop()
    subscripts = ",".join(letters(s) for s in pairs[1::2])
    return (subscripts if last is None else f"{subscripts}->{letters(last)}"), tuple(pairs[::2])


def _contract_vjp(i: int, g: Any, y: Any, *arrays: Any, terms: tuple, output: str, optimize: Any = False) -> Any:
    others = [k for k in range(len(arrays)) if k != i]
    shape = np.shape(arrays[i])
    present = set(output).union(*[terms[k] for k in others])
    target = "".join(c for c in terms[i] if c in present)
    operands = [g] + [conjugated(arrays[k]) for k in others]
    x_bar = dispatch(
        contract,
        tuple(operands),
        {"terms": (output, *[terms[k] for k in others]), "output": target, "optimize": optimize},
    )
    # Letters of this operand alone were summed over: the cotangent is the same along them.
    x_bar = np.reshape(x_bar, [np.shape(x_bar)[target.index(c)] if c in present else 1 for c in terms[i]])
    # A size-1 axis that broadcast against a longer one collects all of it.
    for axis, n in enumerate(shape):
        if n == 1 and np.shape(x_bar)[axis] != 1:
            x_bar = np.sum(x_bar, axis=axis, keepdims=True)
    x_bar = np.broadcast_to(x_bar, shape)
    return np.real(x_bar) if np.iscomplexobj(x_bar) and not np.iscomplexobj(arrays[i]) else x_bar


def _contract_jvp(i: int, d: Any, y: Any, *arrays: Any, **options: Any) -> Any:
    return dispatch(contract, tuple([d if k == i else a for k, a in enumerate(arrays)]), options)


define(contract, _contract_vjp, _contract_jvp, variadic=True, multilinear=True)


@composite(np.linalg.matrix_power)
def _matrix_power(a: Any, n: int) -> Any:
    if n < 0:
        return _matrix_power(np.linalg.inv(a), -n)
    result, square = None, a
    while n:
        if n & 1:
            result = square if result is None else result @ square
        n >>= 1
        if n:
            square = square @ square
    if result is None:  # the identity, also where an entry is not finite
        return np.where(np.zeros(np.shape(a), bool), a, np.eye(np.shape(a)[-1], dtype=a.dtype))
    return result


@composite(np.linalg.multi_dot)
def _multi_dot(arrays: Any, *, out: Any = None) -> Any:
    result = arrays[0]
    for a in arrays[1:]:
        result = np.dot(result, a)
    return result


for _name in ("outer", "matmul", "tensordot", "vecdot", "cross", "matrix_transpose"):
    _function, _namesake = getattr(np.linalg, _name), getattr(np, _name)
    if _function is not _namesake:
        composite(_function)(lambda *args, _same=_namesake, **kwargs: _same(*args, **kwargs))


@composite(np.linalg.diagonal)
def _linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return np.diagonal(x, offset, -2, -1)


@composite(np.linalg.trace)
def _linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return np.trace(x, offset, -2, -1)
