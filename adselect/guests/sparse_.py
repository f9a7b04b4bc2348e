"""SciPy's sparse arrays and matrices as arguments: the same pattern around traced numbers.

SciPy's compiled code computes with the numbers, so that f gets a stand-in that has what is linear algebra: products,
sums, scaling, conversions. Everything else of SciPy's is refused by name. The gradient has the pattern of the argument.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..errors import TracedValueError, UnsupportedError, user_line
from ..face.array import Array
from ..face.atoms import scatter
from ..face.foreign import foreign_of
from ..structure.nodes import Container
from ..values.kinds import isa
from .refused import refused_argument

__all__ = ["TracedSparse", "product", "sparse_node"]

_FORMATS = ("csr", "csc", "coo")
_OPERATORS = {
    np.matmul: operator.matmul,
    np.multiply: operator.mul,
    np.add: operator.add,
    np.subtract: operator.sub,
    np.divide: operator.truediv,
    np.negative: operator.neg,
    np.absolute: abs,
    np.power: operator.pow,
}
# Attributes that are about the pattern, and are the template's.
_PATTERN = frozenset({"shape", "ndim", "nnz", "size", "format", "indices", "indptr", "row", "col", "coords", "getnnz"})
# Methods named like functions that keep zeros.
_ELEMENTWISE = frozenset(
    {
        *("sqrt", "sin", "tan", "arcsin", "arctan", "sinh", "tanh", "arcsinh", "arctanh"),
        *("expm1", "log1p", "deg2rad", "rad2deg"),
    }
)


class TracedSparse:
    """A sparse array of traced numbers, for code that computes with products, sums and the numbers themselves.

    It answers ``isinstance`` as the sparse array it stands for.
    """

    __slots__ = ("_template", "data")
    __array_priority__ = 2000.0

    def __init__(self, template: Any, data: Any):
        self._template, self.data = template, data

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride]
        return type(self._template)

    def __getattr__(self, name: str) -> Any:
        if name in _PATTERN:
            return getattr(self._template, name)
        if name in _ELEMENTWISE:
            return lambda: self._elementwise(getattr(np, name))
        if not hasattr(self._template, name):
            raise AttributeError(f"'{type(self._template).__name__}' object has no attribute {name!r}")
        raise _refused(f".{name}")

    @property
    def dtype(self) -> Any:
        """The dtype of the numbers."""
        return self.data.dtype

    @property
    def T(self) -> Any:
        """The transposed array."""
        return self.transpose()

    def __len__(self) -> int:
        raise TypeError("sparse array length is ambiguous; use getnnz()")

    def __repr__(self) -> str:
        return f"TracedSparse({self._template!r})"

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise _refused(" as an array", "A.toarray()")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operate = _OPERATORS.get(ufunc) if method == "__call__" and not kwargs else None
        if operate is None:
            raise _refused(f" in np.{ufunc.__name__}")
        if len(inputs) == 1 or isa(inputs[0], TracedSparse):
            return operate(*inputs)
        return getattr(self, f"__r{operate.__name__}__")(inputs[0])

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in (np.shape, np.ndim, np.size):
            return function(self._template)
        if function is np.sum or function is np.mean:
            return getattr(self, function.__name__)(*args[1:], **kwargs)
        raise _refused(f" in np.{function.__name__}")

    def _with(self, data: Any) -> TracedSparse:
        return TracedSparse(self._template, data)

    def _places(self) -> tuple:
        """The row and the column of each number."""
        template = self._template
        if template.format == "coo":
            return template.row, template.col
        major = np.repeat(np.arange(len(template.indptr) - 1), np.diff(template.indptr))
        return (major, template.indices) if template.format == "csr" else (template.indices, major)

    @property
    def _is_matrix(self) -> bool:
        """Whether * is a product of matrices."""
        return not type(self._template).__name__.endswith("_array")

    def _elementwise(self, function: Any) -> TracedSparse:
        """function of each number; several numbers at one place are added up first, as SciPy does it."""
        template, (rows, columns) = self._template, self._places()
        places = rows.astype(np.intp) * template.shape[1] + columns
        if len(np.unique(places)) == len(places):
            return self._with(function(self.data))
        single = _like(template, np.ones(len(places))).copy()
        single.sum_duplicates()
        rows, columns = TracedSparse(single, None)._places()
        kept = rows.astype(np.intp) * template.shape[1] + columns
        order = np.argsort(kept)
        added = scatter([self.data], [order[np.searchsorted(kept[order], places)]], (len(kept),), self.dtype)
        return TracedSparse(single, function(added))

    # -- conversions ---------------------------------------------------------------------------------------------

    def toarray(self, order: Any = None, out: Any = None) -> Any:
        """The dense array."""
        if out is not None:
            raise _refused(".toarray(out=)")
        dense = scatter([self.data], [self._places()], self._template.shape, self.dtype)
        return dense.copy(order) if order == "F" else dense

    def todense(self, order: Any = None, out: Any = None) -> Any:
        """The dense array; of a sparse matrix it would be an np.matrix."""
        if self._is_matrix:
            raise _refused(".todense(), an np.matrix", "A.toarray()")
        return self.toarray(order, out)

    def _as(self, format: str) -> TracedSparse:
        template = self._template
        if template.format == format:
            return self
        numbered = _like(template, np.arange(1.0, template.nnz + 1)).asformat(format)
        if numbered.nnz != template.nnz:
            raise _refused(f".to{format}() of an array with several numbers at one place", "A.toarray()")
        return TracedSparse(numbered, self.data[numbered.data.astype(np.intp) - 1])

    def tocsr(self, copy: bool = False) -> TracedSparse:
        """The same by rows."""
        return self._as("csr")

    def tocsc(self, copy: bool = False) -> TracedSparse:
        """The same by columns."""
        return self._as("csc")

    def tocoo(self, copy: bool = False) -> TracedSparse:
        """The same by places."""
        return self._as("coo")

    def copy(self) -> TracedSparse:
        """A copy."""
        return self._with(self.data.copy())

    def transpose(self, axes: Any = None, copy: bool = False) -> TracedSparse:
        """The transposed array."""
        return TracedSparse(self._template.transpose(), self.data)

    # -- products ------------------------------------------------------------------------------------------------

    def dot(self, other: Any) -> Any:
        """The product with a dense vector or matrix, or a number."""
        return self * other if _ndim(other) == 0 and not _is_sparse(other) else self @ other

    def __matmul__(self, other: Any) -> Any:
        if _is_sparse(other):
            raise _refused(" @ a sparse array", "A.toarray() @ B.toarray()")
        other = _dense(other)
        rows, columns = self._places()
        n, m = self._template.shape
        if not other.ndim or other.shape[0] != m:
            raise ValueError(f"matmul: dimension mismatch with signature (n,k={m}),(k={np.shape(other)},m?)->(n,m?)")
        data = self.data if other.ndim == 1 else np.reshape(self.data, (-1, *[1] * (other.ndim - 1)))
        products = data * other[columns]
        return scatter([products], [rows], (n, *other.shape[1:]), products.dtype)

    def __rmatmul__(self, other: Any) -> Any:
        if _is_sparse(other):
            raise _refused(" on the right of @ with a sparse array", "B.toarray() @ A.toarray()")
        return np.transpose(self.T @ np.transpose(_dense(other)))

    def multiply(self, other: Any) -> Any:
        """The product entry by entry, with a number or a dense array that broadcasts to this one's shape."""
        if _is_sparse(other):
            raise _refused(".multiply(sparse)", "A.multiply(B.toarray())")
        if _ndim(other) == 0:
            return self._with(self.data * other)
        other = np.broadcast_to(_dense(other), self._template.shape)
        return self.tocoo()._times(other)

    def _times(self, other: Any) -> TracedSparse:
        return self._with(self.data * other[self._places()])

    def __mul__(self, other: Any) -> Any:
        if self._is_matrix and (_ndim(other) or _is_sparse(other)):
            return self @ other
        return self.multiply(other)

    def __rmul__(self, other: Any) -> Any:
        if self._is_matrix and _ndim(other):
            return self.__rmatmul__(other)
        return self.multiply(other)

    def __truediv__(self, other: Any) -> Any:
        if _ndim(other) or _is_sparse(other):
            raise _refused(" / an array", "A.multiply(1 / B)")
        return self._with(self.data / other)

    def __neg__(self) -> TracedSparse:
        return self._with(-self.data)

    def __pos__(self) -> TracedSparse:
        return self

    def __abs__(self) -> TracedSparse:
        return self._elementwise(np.abs)

    def power(self, n: Any) -> TracedSparse:
        """Each number to the power of n."""
        return self._elementwise(lambda data: data**n)

    def __pow__(self, n: Any) -> Any:
        if self._is_matrix:
            raise _refused(" ** n, a power of matrices", "A @ (A @ x), or A.power(n) for powers of the numbers")
        return self.power(n)

    def conj(self, copy: bool = True) -> TracedSparse:
        """The complex conjugate."""
        return self._with(np.conj(self.data))

    # -- sums ----------------------------------------------------------------------------------------------------

    def _sum_of(self, other: Any, sign: int) -> Any:
        if _ndim(other) and not _is_sparse(other) and not self._is_matrix:
            return self.toarray() + sign * _dense(other)
        if _is_sparse(other) and self._has_places_of(other):
            return self._with(self.data + sign * other.data)
        raise _refused(" + something of another pattern", "A.toarray() + B.toarray()")

    def __add__(self, other: Any) -> Any:
        return self if isa(other, int) and other == 0 else self._sum_of(other, 1)

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __sub__(self, other: Any) -> Any:
        return self._sum_of(other, -1)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def _has_places_of(self, other: Any) -> bool:
        if other.format != self._template.format or other.shape != self._template.shape:
            return False
        places = zip(self._places(), _held(other)._places(), strict=True)
        return all([np.array_equal(a, b) for a, b in places])

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """The sum of all numbers, or along an axis."""
        if dtype is not None or out is not None:
            raise _refused(".sum(dtype=, out=)", "A.toarray().sum(…)")
        if axis is None or axis == (0, 1):
            return np.sum(self.data)
        if self._is_matrix:
            raise _refused(".sum(axis), an np.matrix", "A.toarray().sum(axis)")
        k = axis % 2
        return scatter([self.data], [self._places()[1 - k]], (self._template.shape[1 - k],), self.dtype)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        """The mean over all places, or along an axis."""
        n = np.prod(self._template.shape) if axis is None else self._template.shape[axis]
        return self.sum(axis, dtype, out) / n

    def trace(self, offset: int = 0) -> Any:
        """The sum along a diagonal."""
        rows, columns = self._places()
        return np.sum(self.data[np.flatnonzero(columns - rows == offset)])

    def diagonal(self, k: int = 0) -> Any:
        """A diagonal as a dense vector."""
        rows, columns = self._places()
        chosen = np.flatnonzero(columns - rows == k)
        n = len(np.diagonal(np.broadcast_to(0, self._template.shape), k))
        return scatter([self.data[chosen]], [np.minimum(rows, columns)[chosen]], (n,), self.dtype)

    # -- entries -------------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        if type(index) is tuple and len(index) == 2 and all([hasattr(i, "__index__") for i in index]):
            n, m = self._template.shape
            i, j = [int(np.arange(k)[int(p)]) for k, p in zip((n, m), index, strict=True)]
            rows, columns = self._places()
            return np.sum(self.data[np.flatnonzero((rows == i) & (columns == j))])
        raise _refused("[…]", "A.toarray()[…]")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise _refused("[…] = x", "A.data[k] = x for the k-th number of the pattern")

    def __iter__(self) -> Any:
        raise _refused(" row by row", "A.toarray()")

    def __bool__(self) -> bool:
        raise ValueError("The truth value of an array with more than one element is ambiguous.")

    def __eq__(self, other: object) -> Any:
        raise _refused(" == something", "A.toarray() == …")

    __hash__ = None  # type: ignore[assignment]
    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__


def _refused(what: str, instead: str = "A.toarray()") -> TracedValueError:
    return TracedValueError(
        f"A{what} of a sparse array of traced numbers was asked for at {user_line()}: SciPy's compiled code cannot "
        f"follow a derivative. Write {instead}; A @ x, x @ A, A.T, A.multiply, A.sum, A.diagonal, A.toarray, A[i, j] "
        "and A.data can be followed."
    )


def product(other: Any, matrix: Any) -> Any:
    """``other @ matrix`` of a traced array and a plain sparse one, whose operator leaves its work to the left side."""
    if matrix.format not in _FORMATS:
        matrix = matrix.tocsr()
    return TracedSparse(matrix, matrix.data).__rmatmul__(other)


def _is_sparse(value: Any) -> bool:
    return isa(value, TracedSparse) or hasattr(type(value), "toarray")


def _ndim(value: Any) -> int:
    return 2 if _is_sparse(value) else np.ndim(value)


def _held(value: Any) -> Any:
    return value if isa(value, TracedSparse) else TracedSparse(value, value.data)


def _dense(value: Any) -> Any:
    return value if isinstance(value, Array) else np.asarray(value)


def _like(template: Any, data: Any) -> Any:
    """A sparse array of SciPy's with the pattern of template."""
    if template.format == "coo":
        return type(template)((data, (template.row, template.col)), shape=template.shape)
    new = type(template)((data, template.indices, template.indptr), shape=template.shape, copy=False)
    new.has_sorted_indices = template.has_sorted_indices
    return new


class _Sparse(Container):
    """A sparse array: one leaf, its numbers."""

    __slots__ = ()

    def _of(self, data: Any) -> Any:
        template = _pattern(self.value)
        return TracedSparse(template, data) if isinstance(data, Array) else _like(template, data)

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = memo[id(self)] = self._of(self.children[0].rebuild(leaves, memo))
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        grad = self.children[0].result(grads, memo)
        if grad is not None and tuple(np.shape(grad)) == tuple(np.shape(self.value.data)):
            grad = self._of(grad)
        memo[id(self)] = grad
        return grad

    def labels(self) -> Any:
        """What a program that was prepared for this array relies on."""
        template = _pattern(self.value)
        places = template.coords if template.format == "coo" else (template.indices, template.indptr)
        return template.format, template.shape, tuple([p.tobytes() for p in places])

    def parts(self, bar: Any) -> list | None:
        """The numbers of a seed with the same pattern, or a vector of them."""
        return [bar.data if _is_sparse(bar) else bar]


def _pattern(value: Any) -> Any:
    return value._template if isa(value, TracedSparse) else value


def sparse_node(value: Any, path: str, flattener: Any) -> Any:
    """The node of a sparse array or matrix."""
    template = _pattern(value)
    if value.dtype.kind not in "fiuc":
        return flattener.opaque(value)
    if template.format not in _FORMATS or template.ndim != 2:
        found = foreign_of(template)
        assert found is not None
        raise refused_argument(
            found._replace(
                name=f"a SciPy sparse array in format {template.format!r}",
                why="only csr, csc and coo of two dimensions are followed",
                instead="{}.tocsr()",
            ),
            path,
        )
    if not hasattr(template, "data"):
        raise UnsupportedError(f"{path} has no numbers")
    return flattener.fill(_Sparse(value), [(path, value.data)], ["data"])
