"""jacobian, withjacobian: all derivatives of all entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..adtypes import ADType
from ..backends.matrices import is_complex
from ..calls.flat import ArrayCall
from ..calls.operator_facts import OperatorFacts, operator
from ..calls.results import write_out
from ..calls.settling import settle_captured
from ..errors import ADSelectTypeError
from ..face.array import Array
from ..face.dispatch import is_traced
from ..face.foreign import advice, foreign_of
from ..structure.flattening import flatten
from ..structure.leaves import Const, is_leaf, leaf_dtype
from ..values.kinds import isa
from ..values.natives import is_native, natives_of, to_numpy
from .choosing import check_missing, resolve
from .complex_parts import CallOfParts, matrices_of_parts, parts_of
from .finiteness import require_finite
from .implicit import implicitly, is_implicit
from .plain_run import plain_run

__all__ = ["WithJacobian", "jacobian", "withjacobian"]


class WithJacobian(NamedTuple):
    """``(val, grad)``: the value of f and its Jacobians, one per argument."""

    val: Any
    grad: Any


@operator(OperatorFacts())
def jacobian(
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
    """``jacobian(f, [adtype,] *args)``: a tuple of matrices ``J[k, i] = ∂y[k]/∂x[i]``, one per argument.

    Arrays of higher dimension are flattened row by row; a scalar y has one row, a scalar x gives a vector; an argument
    that is neither number nor array gives None. Forward or reverse mode is chosen from the sizes. For a complex
    argument the row of a real result is its gradient, ∂y/∂a + i ∂y/∂b for x = a + ib; the row of a complex one is
    ∂y/∂x, for which f has to be holomorphic: the Cauchy-Riemann equations are checked at x.

    Options as for :func:`gradient`. Where f does not depend on an argument its matrix is zeros.

    Raises ADSelectTypeError when f does not return a number or an array, ADSelectValueError when it is complex and not
    holomorphic in a complex argument. Cost: one evaluation of f and min(m, n)
    pushforwards or pullbacks on the built-in engine.

    >>> import numpy as np
    >>> jacobian(lambda x, s: s * x**2, np.array([1.0, 2.0]), 3.0)
    (array([[ 6.,  0.],
           [ 0., 12.]]), array([1., 4.]))
    """
    return _withjacobian(jacobian, f, args, adtype, (missing, out, check, check_finite), kwargs).grad


@operator(OperatorFacts(with_value=True))
def withjacobian(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> WithJacobian:
    """``withjacobian(f, [adtype,] *args)``: ``(val, grad)``, the value of f and the tuple of its Jacobians.

    Conventions, errors and cost as for :func:`jacobian`; the value comes from the same evaluation of f.

    >>> import numpy as np
    >>> withjacobian(np.cumsum, np.array([1.0, 2.0])).val
    array([1., 3.])
    """
    return _withjacobian(withjacobian, f, args, adtype, (missing, out, check, check_finite), kwargs)


def _withjacobian(of: Callable, f: Callable, args: tuple, adtype: Any, options: tuple, kwargs: dict) -> WithJacobian:
    operator = of.__name__
    missing, out, check, check_finite = options
    backend, args = resolve(operator, f, args, adtype)
    check_missing(operator, missing)
    if is_implicit(args):
        return implicitly(withjacobian, f, backend.adtype, args, missing, out, (check, check_finite), kwargs)
    plainly = plain_run(check, operator, f, args, kwargs, backend.adtype) if check is not False else None
    places = [not isinstance(a, Const) and is_leaf(a) for a in args]
    fixed = tuple(
        [a if numeric else a if isinstance(a, Const) else Const(a) for a, numeric in zip(args, places, strict=True)]
    )
    for i, a in enumerate(args):
        if not places[i] and (found := foreign_of(a)) is not None and flatten((a,))[0]:
            raise ADSelectTypeError(
                f"args[{i}] is {found.name}: the matrices of {operator} belong to numbers and arrays. Pass the array, "
                f"{advice(found, f'args[{i}]')}, or adselect.Const(args[{i}]) where it needs no derivative."
            )
    leaves, skeleton = flatten(fixed)
    if any(map(is_complex, leaves)):
        real, places_of_parts = parts_of(leaves)
        call = CallOfParts(f, skeleton, kwargs, backend)
        call.places = places_of_parts
        outputs, blocks = backend.linearized_matrix(call, real)
        exact = backend.detects_independence
        matrix = matrices_of_parts(blocks, places_of_parts, outputs[0], operator, skeleton.paths, exact)
    else:
        outputs, matrix = backend.linearized_matrix(ArrayCall(f, skeleton, kwargs, backend), leaves)
    settle_captured(f)
    if plainly is not None:
        plainly.compare(outputs[0])
    columns = iter([_shaped(block, leaf) for block, leaf in zip(matrix, leaves, strict=True)])
    matrices = tuple([next(columns) if numeric else None for numeric in places])
    if check_finite is not False:
        found = [(f"args[{i}]", m) for i, m in enumerate(matrices) if m is not None]
        require_finite(check_finite, operator, f, args, kwargs, outputs, found)
    return WithJacobian(outputs[0], matrices if out is None else write_out(operator, out, matrices))


def _shaped(block: Any, leaf: Any) -> Any:
    """(m, n) for an array argument, (m,) for a scalar; in the argument's precision and kind."""
    scalar = not hasattr(leaf, "shape") or (
        tuple(leaf.shape) == () and not isa(leaf, np.ndarray) and not is_native(leaf) and not isinstance(leaf, Array)
    )
    if isinstance(leaf, Array) and leaf.ndim == 0 and leaf._is_scalar():
        scalar = True
    block = in_kind_of(block[:, 0] if scalar else block, leaf)
    if is_traced(block) or is_native(leaf):
        return block
    block = np.asarray(to_numpy(block))
    dtype = leaf_dtype(leaf)
    if dtype in (np.float32, np.complex64) and block.dtype in (np.float64, np.complex128):
        block = block.astype(np.complex64 if block.dtype.kind == "c" else np.float32)
    return block


def in_kind_of(block: Any, leaf: Any) -> Any:
    """A matrix as an array of the leaf's framework, where the leaf is one."""
    natives = natives_of(leaf)
    if natives is None or is_traced(block) or natives_of(block) is natives:
        return block
    return natives.like(block, leaf)
