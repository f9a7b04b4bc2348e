"""hessian and its relatives: second derivatives, forward over reverse unless asked otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..adtypes import ADType
from ..calls.flat import FlatCall, check_scalar
from ..calls.operator_facts import OperatorFacts, operator
from ..calls.results import shape_result, write_out
from ..calls.seeds import plain_number
from ..calls.settling import settle_captured
from ..errors import ADSelectTypeError
from ..face.dispatch import is_traced
from ..structure.flattening import flatten
from ..structure.leaves import Const, is_leaf
from ..structure.projection import project
from ..values.kinds import isa
from ..values.natives import is_native, natives_of
from .choosing import check_missing, refuse_out, resolve, take_adtype
from .finiteness import require_finite
from .gradient import leaf_gradients
from .jacobian import in_kind_of
from .plain_run import plain_run
from .pushforward import tangent_leaves

__all__ = ["WithHessian", "diaghessian", "hessian", "hessian_reverse", "hvp", "withhessian"]


class WithHessian(NamedTuple):
    """``(val, grad, hess)``: value, gradient and Hessian of f."""

    val: Any
    grad: Any
    hess: Any


def _one_leaf(operator: str, args: tuple) -> tuple[list, Any]:
    differentiated = [a for a in args if not isinstance(a, Const)]
    if len(differentiated) != 1 or not is_leaf(differentiated[0]):
        got = ", ".join(type(a).__name__ for a in args) or "nothing"
        raise ADSelectTypeError(
            f"{operator} takes one argument, a number or an array, got {got}. Wrap the others in Const where they need "
            "no derivative; for several arguments use diaghessian or join them into one vector; for structured "
            "arguments use hvp."
        )
    return flatten(args)


def _basis(leaf: Any) -> list:
    """The unit tangents of a leaf."""
    shape = tuple(leaf.shape) if hasattr(leaf, "shape") else ()
    n = int(np.prod(shape))
    dtype = leaf.dtype if isa(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind == "f" else float
    if not shape:
        return [np.dtype(dtype).type(1)]
    eye = np.eye(n, dtype=dtype)
    return [eye[i].reshape(shape) for i in range(n)]


@operator(OperatorFacts(order=2))
def hessian(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> Any:
    """``hessian(f, [adtype,] x)``: the matrix ``H[i, j] = ∂²f/∂x[i]∂x[j]`` of a real-valued f; a number for scalar x.

    Arrays of higher dimension are flattened row by row. Further arguments of f are given as ``Const(a)``, in their
    places. Forward mode over reverse mode where the backend has both. Options as for :func:`gradient`. Raises
    ADSelectTypeError for several or structured arguments, NotScalarError when f is not real-valued. Cost: n
    pushforwards of the gradient, all of them over one evaluation of f on the built-in engine (in chunks of 64). Finite
    differences take second differences of f, 8 evaluations for each of the n (n + 1) / 2 entries, and give an
    InaccurateDerivativeWarning where the noise of f decides an entry.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] * x[1] ** 2, np.array([1.0, 3.0]))
    array([[0., 6.],
           [6., 2.]])
    """
    options = (missing, check, check_finite)
    matrix = _withhessian("hessian", f, args, adtype, options, kwargs, gradient=False).hess
    return matrix if out is None else write_out("hessian", out, matrix)


@operator(OperatorFacts(order=2, with_value=True, without_out="use hessian(…, out=…) and gradient(…, out=…)"))
def withhessian(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> WithHessian:
    """``withhessian(f, [adtype,] x)``: ``(val, grad, hess)`` from the same evaluations of f.

    Conventions, options, errors and cost as for :func:`hessian`; grad is shaped like x; there is no out.

    >>> withhessian(lambda x: x**3, 2.0)
    WithHessian(val=8.0, grad=12.0, hess=12.0)
    """
    refuse_out(withhessian, out)
    return _withhessian("withhessian", f, args, adtype, (missing, check, check_finite), kwargs, gradient=True)


def _withhessian(
    operator: str, f: Callable, args: tuple, adtype: Any, options: tuple, kwargs: dict, gradient: bool
) -> WithHessian:
    """gradient: whether it is wanted; where it costs nothing it comes anyway."""
    missing, check, check_finite = options
    found = _value_gradient_hessian(operator, f, args, adtype, missing, check, kwargs, gradient)
    if check_finite is not False:
        given = take_adtype(operator, args, adtype)[1]
        parts = [("args[0]", found.grad if gradient else None), ("args[0], of second order,", found.hess)]
        require_finite(check_finite, operator, f, given, kwargs, found.val, parts)
    return found


def _value_gradient_hessian(
    operator: str, f: Callable, args: tuple, adtype: Any, missing: Any, check: Any, kwargs: dict, gradient: bool
) -> WithHessian:
    backend, args = resolve(operator, f, args, adtype)
    check_missing(operator, missing)
    leaves, skeleton = _one_leaf(operator, args)
    plainly = plain_run(check, operator, f, args, kwargs, backend.adtype) if check is not False else None
    found = _second_order("matrix", backend, operator, FlatCall(f, skeleton, kwargs, backend), leaves[0], gradient)
    if found is not None:
        value, grad, matrix = found
        if plainly is not None:
            plainly.compare(value)
        grad = None if grad is None else project(grad, leaves[0])
        return WithHessian(plain_number(value, leaves), grad, _square(in_kind_of(matrix, leaves[0]), leaves[0]))

    def call(lifted: list) -> tuple[list, list]:
        value, grads = leaf_gradients(backend.inner_for(lifted), f, skeleton, lifted, kwargs, operator)
        return [g for g in grads if g is not None], [value]

    outputs, dots, aux = backend.outer.pushforwards(call, leaves, [[e] for e in _basis(leaves[0])])
    settle_captured(f)
    if plainly is not None:
        plainly.compare(aux[0])
    leaf = leaves[0]
    shape = tuple(leaf.shape) if hasattr(leaf, "shape") else ()
    n = int(np.prod(shape))
    grad = project(outputs[0] if outputs else np.zeros(shape), leaf)
    columns = [_flat(d[0] if d else None, n) for d in dots]
    return WithHessian(plain_number(aux[0], leaves), grad, _square(_matrix(columns), leaf))


def _second_order(what: str, backend: Any, operator: str, call: FlatCall, *operands: Any) -> Any:
    """What a backend finds by other means than derivatives of a gradient; None where it does not."""
    if backend.second_order is None:
        return None
    return getattr(backend.second_order, what)(call, lambda y: check_scalar(y, operator), *operands)


def _flat(column: Any, n: int) -> Any:
    if column is None:
        return np.zeros(n)
    return column.reshape(-1) if hasattr(column, "reshape") else np.reshape(column, -1)


def _matrix(columns: list) -> Any:
    natives = natives_of(columns[0]) if columns else None
    if natives is not None:
        return natives.stack(columns)
    if any(is_traced(c) for c in columns):
        return np.stack(columns, axis=1)
    return np.stack(columns, axis=1) if columns else np.zeros((0, 0))


def _square(matrix: Any, leaf: Any) -> Any:
    """The Hessian in the form that fits x: a number for a scalar x."""
    if hasattr(leaf, "shape") and (tuple(leaf.shape) != () or isa(leaf, np.ndarray)):
        if isa(leaf, np.ndarray) and leaf.shape == ():
            return np.reshape(matrix, (1, 1))[0, 0]
        if isa(leaf, np.ndarray) and not is_traced(matrix):
            return np.asarray(matrix, dtype=leaf.dtype if leaf.dtype.kind in "fc" else float)
        return matrix
    entry = matrix[0, 0]
    return project(entry, leaf) if not is_native(leaf) else entry


@operator(OperatorFacts(order=2))
def hessian_reverse(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> Any:
    """``hessian_reverse(f, [adtype,] x)``: the same as :func:`hessian`, by reverse mode over reverse mode.

    Slower, and a different way through the rules: the two check each other. Raises as hessian does. Cost: one
    evaluation of f and n pullbacks of the gradient. Options as for hessian.

    >>> import numpy as np
    >>> hessian_reverse(lambda x: np.sum(x**3), np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    backend, args = resolve("hessian_reverse", f, args, adtype)
    check_missing("hessian_reverse", missing)
    leaves, skeleton = _one_leaf("hessian_reverse", args)
    plainly = plain_run(check, "hessian_reverse", f, args, kwargs, backend.adtype) if check is not False else None
    flat = FlatCall(f, skeleton, kwargs, backend)
    found = _second_order("matrix", backend, "hessian_reverse", flat, leaves[0], False)
    if found is not None:
        if plainly is not None:
            plainly.compare(found[0])
        matrix = _square(in_kind_of(found[2], leaves[0]), leaves[0])
        if check_finite is not False:
            require_finite(check_finite, "hessian_reverse", f, args, kwargs, found[0], [("args[0]", matrix)])
        return matrix if out is None else write_out("hessian_reverse", out, matrix)

    def call(lifted: list) -> tuple[list, list]:
        value, grads = leaf_gradients(backend.inner_for(lifted), f, skeleton, lifted, kwargs, "hessian_reverse")
        return [g for g in grads if g is not None], [value]

    outputs, aux, back = backend.outer.pullback(call, leaves)
    settle_captured(f)
    if plainly is not None:
        plainly.compare(aux[0])
    n = int(np.prod(tuple(leaves[0].shape))) if hasattr(leaves[0], "shape") else 1
    rows = [back([e])[0] if outputs else None for e in _basis(leaves[0])]
    matrix = _square(_matrix([_flat(r, n) for r in rows]), leaves[0])
    if check_finite is not False:
        require_finite(check_finite, "hessian_reverse", f, args, kwargs, aux[0], [("args[0]", matrix)])
    return matrix if out is None else write_out("hessian_reverse", out, matrix)


@operator(OperatorFacts(order=2, projected=True))
def diaghessian(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> tuple:
    """``diaghessian(f, [adtype,] *args)``: for each argument the array ``h[i] = ∂²f/∂x[i]²``, shaped like it.

    None for an argument that is neither number nor array. Options as for :func:`gradient`. Raises
    NotScalarError when f is not real-valued. Cost: n pushforwards of the gradient (finite differences: 8 evaluations of
    f per entry).

    >>> diaghessian(lambda a, b: a**2 * b**3, 2.0, 3.0)
    (54.0, 72.0)
    """
    backend, args = resolve("diaghessian", f, args, adtype)
    check_missing("diaghessian", missing)
    plainly = plain_run(check, "diaghessian", f, args, kwargs, backend.adtype) if check is not False else None
    results: list = []
    value: Any = None
    for i, x in enumerate(args):
        if isinstance(x, Const) or not is_leaf(x):
            results.append(None)
            continue
        fixed = tuple([a if k == i or isinstance(a, Const) else Const(a) for k, a in enumerate(args)])
        leaves, skeleton = flatten(fixed)
        flat = FlatCall(f, skeleton, kwargs, backend)
        found = _second_order("diagonal", backend, "diaghessian", flat, leaves[0])
        if found is not None:
            results.append(project(found, leaves[0]))
            continue

        value, _, full = withhessian(f, backend.adtype, *fixed, **kwargs)
        if plainly is not None:
            plainly.compare(value)
            plainly = None
        if not hasattr(x, "shape") or tuple(x.shape) == ():
            results.append(full)
        else:
            diagonal = full.diagonal() if hasattr(full, "diagonal") else np.diagonal(full)
            results.append(project(diagonal.reshape(tuple(x.shape)) + 0.0, x))
    if check_finite is not False:
        found = [(f"args[{i}]", r) for i, r in enumerate(results) if r is not None]
        require_finite(check_finite, "diaghessian", f, args, kwargs, value, found)
    return tuple(results) if out is None else write_out("diaghessian", out, tuple(results))


@operator(OperatorFacts(order=2, takes="point, direction", projected=True))
def hvp(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> Any:
    """``hvp(f, [adtype,] x, v)``: the Hessian-vector product ``H v``, structured like x.

    x may have any structure; v has the same. Further arguments of f, which are not differentiated, follow as
    ``Const(a)``: ``hvp(f, x, v, Const(a))``. Zeros where f does not depend on x or depends on it linearly. Options as
    for :func:`gradient`. Raises ADSelectTypeError for a wrong number of arguments,
    ADSelectValueError when v does not fit x. Cost: one pushforward of the gradient (finite differences: 16 evaluations
    of f per entry).

    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    backend, args = resolve("hvp", f, args, adtype)
    check_missing("hvp", missing)
    if len(args) < 2 or not all([isinstance(a, Const) for a in args[2:]]):
        raise ADSelectTypeError(
            f"hvp takes x and v, got {len(args)} arguments: write hvp(f, adtype, x, v); further arguments of f are "
            "Const(a) behind them"
        )
    given, args, v = args, (args[0], *args[2:]), args[1]
    leaves, skeleton = flatten(args)
    direction = tangent_leaves(args, (v, *[None] * (len(args) - 1)), leaves, skeleton)
    plainly = plain_run(check, "hvp", f, args, kwargs, backend.adtype) if check is not False else None
    found = _second_order("product", backend, "hvp", FlatCall(f, skeleton, kwargs, backend), leaves, direction)
    if found is not None:  # of plain evaluations of f: there is nothing to check
        product = shape_result("hvp", found, leaves, skeleton, args, "zeros", None)[0]
        if check_finite is not False:
            require_finite(check_finite, "hvp", f, given, kwargs, None, [("args[0]", product)])
        return product if out is None else write_out("hvp", out, product)
    where: list = []

    def call(lifted: list) -> tuple[list, list]:
        value, grads = leaf_gradients(backend.inner_for(lifted), f, skeleton, lifted, kwargs, "hvp")
        where[:] = [i for i, g in enumerate(grads) if g is not None]
        return [grads[i] for i in where], [] if plainly is None and check_finite is False else [value]

    outputs, dots, aux = backend.outer.pushforwards(call, leaves, [direction])
    settle_captured(f)
    if plainly is not None:
        plainly.compare(aux[0])
    products: list = [None] * len(leaves)
    for i, tangent, output in zip(where, dots[0], outputs, strict=True):
        products[i] = output * 0 if tangent is None else tangent
    product = shape_result("hvp", products, leaves, skeleton, args, "zeros", None)[0]
    if check_finite is not False:
        require_finite(check_finite, "hvp", f, given, kwargs, aux, [("args[0]", product)])
    return product if out is None else write_out("hvp", out, product)
