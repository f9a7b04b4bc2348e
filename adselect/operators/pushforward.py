"""pushforward, derivative, second_derivative: derivatives along a direction."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..backends.choice import backend_of
from ..backends.matrices import is_complex
from ..calls.flat import StructuredCall
from ..calls.operator_facts import OperatorFacts, operator
from ..calls.results import write_out
from ..calls.settling import settle_captured
from ..errors import ADSelectTypeError, ADSelectValueError, RuleError, user_line
from ..face.array import Array
from ..face.dispatch import absorb, is_traced
from ..primitives.structured import describe, spread
from ..primitives.thunks import unthunk
from ..structure.flattening import flatten
from ..structure.leaves import Const, is_leaf
from ..structure.projection import project
from ..values.kinds import isa
from ..values.natives import is_native
from ..values.tangents import NoTangent, ZeroTangent
from .choosing import check_function, check_missing, refuse_out, resolve, take_adtype
from .complex_parts import cauchy_riemann
from .finiteness import require_finite
from .plain_run import plain_run

__all__ = ["derivative", "pushforward", "second_derivative"]


@operator(OperatorFacts(takes="points, directions", with_value=True, without_out="copy what it returns"))
def pushforward(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """``pushforward(f, [adtype,] args, tangents)``: ``(y, y_dot)`` with ``y_dot = (∂y/∂args) tangents``.

    args and tangents are tuples with one entry per argument, the tangents structured like the arguments (None: zero).
    y_dot has the structure of y.

    adtype, check and check_finite as for :func:`gradient`; y_dot is zero where y does not depend on the arguments;
    there is no out.

    Raises ADSelectValueError when a tangent does not fit its argument. Cost: one evaluation of f with tangents; a
    backend with reverse mode only needs one pullback per entry of y.

    >>> import numpy as np
    >>> pushforward(lambda x, a: a * x**2, (np.array([1.0, 2.0]), 3.0), (np.array([1.0, 0.0]), 0.0))
    (array([ 3., 12.]), array([6., 0.]))
    """
    backend, rest = resolve("pushforward", f, args, adtype)
    refuse_out(pushforward, out)
    check_missing("pushforward", missing)
    if len(rest) != 2:
        raise ADSelectTypeError(
            f"pushforward takes the arguments and their tangents as two tuples, got {len(rest)} values: write "
            "pushforward(f, adtype, (x,), (x_dot,))"
        )
    primals, tangents = [tuple(v) if isinstance(v, (tuple, list)) else (v,) for v in rest]
    if len(primals) != len(tangents):
        raise ADSelectValueError(f"pushforward got {len(primals)} arguments and {len(tangents)} tangents")
    leaves, skeleton = flatten(primals)
    directions = tangent_leaves(primals, tangents, leaves, skeleton)
    plainly = plain_run(check, "pushforward", f, primals, kwargs, backend.adtype) if check is not False else None
    outputs, dots, structure = push(backend, f, leaves, skeleton, [directions], kwargs)
    y = structure.rebuild(list(outputs))[0]
    if plainly is not None:
        plainly.compare(y)
    tangents = [_zero_if_none(d, o) for d, o in zip(dots[0], outputs, strict=True)]
    if check_finite is not False:
        require_finite(check_finite, "pushforward", f, rest, kwargs, outputs, [("tangent of f", tangents)])
    return y, structure.result(tangents)[0]


def push(
    backend: Any, f: Callable, leaves: list, skeleton: Any, directions: list, kwargs: dict
) -> tuple[list, list, Any]:
    """``(output leaves, [their tangents per direction], output skeleton)``."""
    call = StructuredCall(f, skeleton, kwargs, backend)
    outputs, dots, _ = backend.pushforwards(call, leaves, directions)
    settle_captured(f)
    return outputs, dots, call.structure


def tangent_leaves(primals: tuple, tangents: tuple, leaves: list, skeleton: Any) -> list:
    """One tangent per leaf from tangents structured like the arguments; None where there is none."""
    found: list = [None] * len(leaves)
    if skeleton.simple:
        found = list(tangents)
    else:
        for i, (node, tangent) in enumerate(zip(skeleton.nodes, tangents, strict=True)):
            if not node.numeric and not isinstance(primals[i], Const) and _is_moving(tangent):
                raise ADSelectValueError(
                    f"args[{i}] ({type(primals[i]).__name__}) holds no numbers that could be differentiated and was "
                    f"given a tangent, {describe(tangent)}; its tangent is None. Globals of a function are not part of "
                    "it: make them arguments."
                )
            try:
                spread(node, tangent, found, f"args[{i}]")
            except RuleError as error:
                raise ADSelectValueError(f"{error} ({user_line()})") from None
    try:
        return [_taken(t, leaf, path) for t, leaf, path in zip(found, leaves, skeleton.paths, strict=True)]
    except ADSelectValueError as error:
        raise ADSelectValueError(f"{error} ({user_line()})") from None


def _is_moving(tangent: Any) -> bool:
    """Whether a tangent is other than zero anywhere."""
    return any([is_traced(leaf) or is_native(leaf) or np.any(leaf) for leaf in flatten((unthunk(tangent),))[0]])


def _taken(tangent: Any, leaf: Any, path: str) -> Any:
    """A tangent as an array of the leaf's shape and dtype."""
    tangent = unthunk(tangent)
    if tangent is None or isinstance(tangent, (NoTangent, ZeroTangent)):
        return None
    shape = tuple(leaf.shape) if hasattr(leaf, "shape") else ()
    if not isinstance(tangent, Array) and not is_native(tangent):
        tangent = _numeric(tangent, path)
        real = "complex" not in str(getattr(leaf, "dtype", type(leaf).__name__))
        if tangent.dtype.kind == "c" and real:
            raise ADSelectValueError(f"the tangent of {path} is complex, the argument is real")
        if isa(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "fc":
            tangent = tangent.astype(leaf.dtype)
    if tuple(tangent.shape) != shape:
        raise ADSelectValueError(
            f"the tangent of {path} has shape {tuple(tangent.shape)}, the argument has shape {shape}"
        )
    return tangent if shape or not isa(tangent, np.ndarray) else tangent[()]


def _numeric(tangent: Any, path: str) -> Any:
    """A tangent that is no traced or native array as a NumPy array of floating-point numbers."""
    if isa(tangent, (list, tuple)) or (type(tangent) is np.ndarray and tangent.dtype == object):
        tangent = absorb(tangent)
        if isinstance(tangent, Array):
            return tangent
    try:
        array = np.asarray(tangent)
    except ValueError as error:
        raise ADSelectValueError(f"the tangent of {path} is no array of numbers: {error}") from None
    if array.dtype == object and array.shape == () and isa(tangent, Fraction):
        array = np.asarray(float(tangent))
    if array.dtype.kind not in "fiucb":
        got = describe(tangent) if isa(tangent, np.ndarray) else type(tangent).__name__
        raise ADSelectValueError(f"the tangent of {path} is {got}; it must be numeric, like the argument, or None")
    return array if array.dtype.kind == "c" else array.astype(float)


def _zero_if_none(tangent: Any, output: Any) -> Any:
    if tangent is not None:
        return tangent
    if is_native(output):
        return output * 0
    zeros = np.zeros(np.shape(output), dtype=np.result_type(output) if np.result_type(output).kind in "fc" else float)
    return zeros if zeros.shape else float(zeros)


@operator(OperatorFacts())
def derivative(
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
    """``derivative(f, [adtype,] x)``: df/dx at a scalar x, shaped like f(x). ``derivative(f)`` is the function f′.

    For complex x f has to be holomorphic: the Cauchy-Riemann equations are checked. adtype, out, check and check_finite
    as for :func:`gradient`. Raises ADSelectTypeError when x is not a scalar, ADSelectValueError when f is not
    holomorphic. Cost: one pushforward, two for complex x.

    >>> import numpy as np
    >>> derivative(lambda t: np.array([t**2, t**3]), 2.0)
    array([ 4., 12.])
    >>> derivative(derivative(np.sin))(0.5) == -np.sin(0.5)
    np.True_
    """
    options = {"missing": missing, "out": out, "check": check, "check_finite": check_finite}
    return _along_scalar("derivative", f, args, adtype, options, kwargs, derivative, _derivative_at)


def _along_scalar(
    operator: str, f: Callable, args: tuple, adtype: Any, options: dict, kwargs: dict, again: Callable, at: Callable
) -> Any:
    check_function(operator, f)
    adtype, rest = take_adtype(operator, args, adtype)
    check_missing(operator, options["missing"])
    if not rest:
        return functools.partial(again, f, adtype, **options, **kwargs)
    if len(rest) != 1:
        raise ADSelectTypeError(f"{operator} takes one scalar argument, got {len(rest)}; use gradient for several")
    x = rest[0]
    shape = tuple(x.shape) if hasattr(x, "shape") else ()
    if not is_leaf(x) or shape != ():
        raise ADSelectTypeError(
            f"{operator} needs a scalar x, got {type(x).__name__}{f' of shape {shape}' if shape else ''}; use gradient "
            "or jacobian for arrays"
        )
    backend, check, out = backend_of(adtype), options["check"], options["out"]
    plainly = plain_run(check, operator, f, rest, kwargs, backend.adtype) if check is not False else None
    result, y = at(backend, f, x, kwargs)
    if plainly is not None:
        # Two derivatives deep there is no value of f at hand: it is traced once more.
        plainly.compare(_derivative_at(backend, f, x, kwargs)[1] if y is None else y)
    if options["check_finite"] is not False:
        require_finite(options["check_finite"], operator, f, rest, kwargs, y, [("args[0]", result)])
    return result if out is None else write_out(operator, out, result)


def _derivative_at(backend: Any, f: Callable, x: Any, kwargs: dict) -> tuple[Any, Any]:
    """The derivative at x and the value of f there."""
    leaves, skeleton = flatten((x,))
    one = 1.0 + 0j if not is_native(x) and np.iscomplexobj(x) else _one_like(x)
    directions = [[one], [1j * one]] if is_complex(x) else [[one]]
    outputs, dots, structure = push(backend, f, leaves, skeleton, directions, kwargs)
    filled = [[_zero_if_none(d, o) for d, o in zip(row, outputs, strict=True)] for row in dots]
    if len(filled) == 2:  # one derivative for both directions, where there is one
        exact = backend.detects_independence
        filled[0] = [cauchy_riemann(a, b, "derivative", "x", exact) for a, b in zip(*filled, strict=True)]
    tangents = [_as_scalar(d, x) for d in filled[0]]
    return structure.result(tangents)[0], structure.rebuild(list(outputs))[0]


def _one_like(x: Any) -> Any:
    if isa(x, np.generic) and x.dtype.kind == "f":
        return x.dtype.type(1)
    return 1.0


def _as_scalar(tangent: Any, x: Any) -> Any:
    """A Python number for a Python number."""
    if isa(tangent, np.ndarray) and tangent.shape == () and not is_traced(tangent):
        tangent = tangent[()]
    if type(x) in (float, int) and isa(tangent, np.floating):
        return project(tangent, x)
    return tangent


@operator(OperatorFacts(order=2))
def second_derivative(
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
    """``second_derivative(f, [adtype,] x)``: d²f/dx² at a scalar x, shaped like f(x).

    adtype, out, check and check_finite as for :func:`gradient`. Raises ADSelectTypeError when x is not a scalar. Cost:
    one pushforward of a pushforward.

    >>> second_derivative(lambda t: t**3, 2.0)
    12.0
    """
    options = {"missing": missing, "out": out, "check": check, "check_finite": check_finite}
    return _along_scalar(
        "second_derivative", f, args, adtype, options, kwargs, second_derivative, _second_derivative_at
    )


def _second_derivative_at(backend: Any, f: Callable, x: Any, kwargs: dict) -> tuple[Any, Any]:
    """The second derivative at x; no value of f."""
    if backend.second_order is not None:
        leaves, skeleton = flatten((x,))
        call = StructuredCall(f, skeleton, kwargs, backend)
        one = 1.0 + 0j if np.iscomplexobj(x) and not is_native(x) else _one_like(x)
        found = backend.second_order.along(call, leaves[0], one)
        if found is not None:
            outputs, dots = found
            tangents = [_as_scalar(_zero_if_none(d, o), x) for d, o in zip(dots, outputs, strict=True)]
            return call.structure.result(tangents)[0], None
    first = lambda t: _derivative_at(backend.inner_for([t]), f, t, kwargs)[0]
    return _derivative_at(backend.outer, first, x, {})[0], None
