"""gradient, withgradient, pullback: derivatives by one reverse pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..adtypes import ADType, AutoTape
from ..backends.choice import backend_of
from ..calls.flat import FlatCall, LossCall, StructuredCall, check_scalar
from ..calls.operator_facts import OperatorFacts, operator
from ..calls.results import WithGradient, check_missing_option, shape_result
from ..calls.seeds import plain_number, plain_seed, seed_for
from ..calls.settling import settle_captured
from ..errors import ADSelectTypeError, ADSelectValueError, RuleError, user_line
from ..face.array import Array
from ..primitives.structured import spread
from ..rules.undetermined import ChoiceError, choosing
from ..structure.duplicated import Duplicated
from ..structure.flattening import flatten
from ..structure.params import Params
from ..structure.projection import project
from ..values.natives import is_native
from .choosing import refuse_out, resolve
from .duplicating import Duplicates
from .finiteness import by_argument, require_finite
from .implicit import implicitly
from .plain_run import plain_run

__all__ = ["gradient", "pullback", "withgradient"]

_COPY = "copy what back returns, or use gradient(…, out=…)"


@operator(OperatorFacts(projected=True, gradient=True))
def gradient(
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
    """``gradient(f, [adtype,] *args)``: ∂f/∂args, a tuple with one entry per argument.

    Each entry mirrors its argument: numbers and arrays of the same shape, dtype and kind; tuples, lists and dicts of
    them; ``Tangent[type](field=…)`` for objects. None where no derivative is defined: not numeric, or f does not
    depend on it. ints count as float64. For complex z = x + iy the entry is ∂f/∂x + i ∂f/∂y.

    f returns a real number. ``Const(x)`` opts an argument out; one ``Params`` in their place stands for arrays
    that f reaches by itself, and gives ``Grads``. Keyword arguments go to f undifferentiated. adtype: the
    same as in second place; missing: ``"none"``, ``"zeros"`` or ``"error"`` for entries without a derivative; out:
    arrays to write into; check: evaluate f once more, on plain values, and hold the value it gives there against the
    one under the derivative; check_finite: an error where the value or the gradient has a NaN or an infinity. A
    ``Duplicated`` argument has memory for its gradient, which is written there; ``zero=False`` adds to it.

    Raises NotScalarError when f returns anything else; MissingRuleError for a function without a rule;
    BackendNotInstalledError; ADSelectValueError when check finds another value, NonFiniteError when check_finite finds
    one. Cost: f is evaluated exactly once (finite differences: at least eight times per entry).

    >>> import numpy as np
    >>> gradient(lambda a, b: np.sum(a * b), np.array([1.0, 2.0]), 3.0)
    (array([3., 3.]), 3.0)

    Source: Zygote.jl's ``gradient``; reverse accumulation as in Griewank & Walther, Evaluating Derivatives (2008).
    """
    backend, args = resolve("gradient", f, args, adtype)
    if Params in map(type, args):
        return implicitly(gradient, f, backend.adtype, args, missing, out, (check, check_finite), kwargs)
    duplicates = Duplicates("gradient", args, kwargs, missing, out) if Duplicated in map(type, args) else None
    args = args if duplicates is None else duplicates.args
    plainly = plain_run(check, "gradient", f, args, kwargs, backend.adtype) if check is not False else None
    leaves, skeleton = flatten(args)
    try:
        call = FlatCall(f, skeleton, kwargs, backend)
        call.given = args
        outputs, _, back = backend.pullback(call, leaves)
        settle_captured(f)
        y = outputs[0]
        check_scalar(y, "gradient")
        if duplicates is None:
            grads = backend.pull_once(back, [seed_for(y)])
            grads = call.passed(grads) if call.notices else grads
        else:
            grads, result = duplicates.pulled(backend, call, back, [seed_for(y)])
    except ChoiceError as error:
        y, _, grads = by_two_choices(error, FlatCall(f, skeleton, kwargs, backend), leaves)
        result = () if duplicates is None else duplicates.received(grads)
    if plainly is not None:
        plainly.compare(y)
    if check_finite is not False:
        found = zip(skeleton.paths, grads, strict=True) if duplicates is None else by_argument(result)
        require_finite(check_finite, "gradient", f, args, kwargs, y, found)
    if duplicates is not None:
        return result
    return shape_result("gradient", grads, leaves, skeleton, args, missing, out)


@operator(OperatorFacts(with_value=True, projected=True, gradient=True))
def withgradient(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> WithGradient:
    """``withgradient(f, [adtype,] *args)``: ``(val, grad)``, the value of f and its gradient from one evaluation.

    f may return a tuple, named tuple or dict whose first entry is the loss: the whole of it comes back as ``val``,
    everything but the first entry is auxiliary. Options, errors and cost as for :func:`gradient`.

    >>> withgradient(lambda a, b: a / b, 1.0, 2.0)
    WithGradient(val=0.5, grad=(0.5, -0.25))
    >>> withgradient(lambda x: {"loss": x**2, "note": "aux"}, 3.0)
    WithGradient(val={'loss': 9.0, 'note': 'aux'}, grad=(6.0,))
    """
    backend, args = resolve("withgradient", f, args, adtype)
    if Params in map(type, args):
        return implicitly(withgradient, f, backend.adtype, args, missing, out, (check, check_finite), kwargs)
    duplicates = Duplicates("withgradient", args, kwargs, missing, out) if Duplicated in map(type, args) else None
    args = args if duplicates is None else duplicates.args
    plainly = plain_run(check, "withgradient", f, args, kwargs, backend.adtype) if check is not False else None
    leaves, skeleton = flatten(args)
    call = LossCall(f, skeleton, kwargs, backend)
    call.given = args
    try:
        outputs, aux, back = backend.pullback(call, leaves)
        settle_captured(f)
        y = outputs[0]
        check_scalar(y, "withgradient", "f (or as the first entry of what it returns)")
        if duplicates is None:
            grads = backend.pull_once(back, [seed_for(y)])
            grads = call.passed(grads) if call.notices else grads
        else:
            grads, result = duplicates.pulled(backend, call, back, [seed_for(y)])
    except ChoiceError as error:
        call = LossCall(f, skeleton, kwargs, backend)
        y, aux, grads = by_two_choices(error, call, leaves)
        result = () if duplicates is None else duplicates.received(grads)
    if call.structure is None:
        value = plain_number(y, leaves)
    else:
        value = call.structure.rebuild([plain_number(a, leaves) for a in aux])[0]
    if plainly is not None:
        plainly.compare(value)
    if check_finite is not False:
        found = zip(skeleton.paths, grads, strict=True) if duplicates is None else by_argument(result)
        require_finite(check_finite, "withgradient", f, args, kwargs, y, found)
    if duplicates is not None:
        return WithGradient(value, result)
    return WithGradient(value, shape_result("withgradient", grads, leaves, skeleton, args, missing, out))


def by_two_choices(error: ChoiceError, call: FlatCall, leaves: list) -> tuple[Any, list, list]:
    """``(value, aux, gradient)`` of an f that uses vectors of a repeated value but does not depend on their choice.

    The built-in engine evaluates f for two choices of the vectors; value and gradient have to be the same. Else error.
    """
    if any(isinstance(leaf, Array) or is_native(leaf) for leaf in leaves):
        raise error
    backend, found = backend_of(AutoTape()), []
    for turned in (True, False):
        with choosing(turned):
            outputs, aux, back = backend.pullback(call, leaves)
            settle_captured(call.f)
            found.append((outputs[0], aux, back([seed_for(outputs[0])])))
    (y_turned, _, grads_turned), (y, aux, grads) = found
    for a, b in [(y, y_turned), *zip(grads, grads_turned, strict=True)]:
        if a is not b and not np.allclose(a, b, 1e-7, 1e-7 * np.max(np.abs(a), initial=0.0)):
            raise error
    return y, aux, grads


@operator(
    OperatorFacts(
        with_value=True,
        projected=True,
        returns_function=True,
        without_out=_COPY,
    )
)
def pullback(
    f: Callable,
    /,
    *args: Any,
    adtype: ADType | None = None,
    missing: str = "none",
    out: Any = None,
    check: bool = False,
    check_finite: bool = False,
    **kwargs: Any,
) -> tuple[Any, Callable[[Any], tuple]]:
    """``pullback(f, [adtype,] *args)``: ``(y, back)`` with ``back(y_bar) = (∂y/∂args)ᵀ y_bar``, a tuple.

    y may be a number, an array or any structure of them; the seed has the same structure, None inside it means zero.
    For complex values back(1) is ∂f/∂x + i ∂f/∂y. ``back`` may be called any number of times.

    adtype, missing, check and check_finite as for :func:`gradient`; there is no out.

    Raises ADSelectValueError when a seed does not fit its output, ADSelectTypeError when it is not numeric. Cost: f is
    evaluated once; each call of ``back`` costs a small multiple of it.

    >>> import numpy as np
    >>> y, back = pullback(lambda x: x**2, np.array([1.0, 2.0]))
    >>> y, back(np.array([1.0, 10.0]))
    (array([1., 4.]), (array([ 2., 40.]),))
    """
    backend, args = resolve("pullback", f, args, adtype)
    refuse_out(pullback, out)
    check_missing_option(missing)
    if Params in map(type, args):
        return implicitly(pullback, f, backend.adtype, args, missing, None, (check, check_finite), kwargs)
    plainly = plain_run(check, "pullback", f, args, kwargs, backend.adtype) if check is not False else None
    leaves, skeleton = flatten(args)
    call = StructuredCall(f, skeleton, kwargs, backend)
    call.given = args
    outputs, _, back = backend.pullback(call, leaves)
    settle_captured(f)
    structure = call.structure
    if plainly is not None:
        plainly.compare(structure.rebuild(list(outputs))[0])
    if check_finite is not False:
        require_finite(check_finite, "pullback", f, args, kwargs, outputs)

    def pull(seed: Any) -> tuple:
        """The cotangents of the arguments for the cotangent ``seed`` of the result."""
        if seed is None:
            grads: list = [None] * len(leaves)
        else:
            seeds = split_seed(seed, structure, outputs)
            grads = back(seeds) if any(s is not None for s in seeds) else [None] * len(leaves)
        grads = call.passed(grads) if call.notices else grads
        if check_finite is not False:
            require_finite(True, "pullback", f, args, kwargs, None, zip(skeleton.paths, grads, strict=True))
        return shape_result("pullback", grads, leaves, skeleton, args, missing, None)

    return structure.rebuild(list(outputs))[0], pull


def split_seed(seed: Any, structure: Any, outputs: list) -> list:
    """One cotangent per output leaf from a seed that mirrors the output's structure."""
    paths = [path.replace("f(…)[0]", "f(…)", 1) for path in structure.paths]
    seeds: list = [None] * len(outputs)
    try:
        if len(outputs) == 1 and _is_one_leaf(structure):
            seeds = [seed]
        else:
            spread(structure.nodes[0], seed, seeds, "f(…)")
        return [None if s is None else plain_seed(s, y, path) for s, y, path in zip(seeds, outputs, paths, strict=True)]
    except RuleError as error:
        said = str(error).replace("tangent of", "seed for", 1).replace("whose tangent", "whose seed")
        raise ADSelectValueError(f"{said} ({user_line()})") from None
    except (ADSelectTypeError, ADSelectValueError) as error:
        raise type(error)(f"{error} ({user_line()})") from None


def _is_one_leaf(structure: Any) -> bool:
    return structure.simple or hasattr(structure.nodes[0], "index")


def leaf_gradients(
    backend: Any, f: Callable, skeleton: Any, lifted: list, kwargs: dict, operator: str
) -> tuple[Any, list]:
    """``(value, projected gradient per leaf)`` of f at traced leaves: the inner derivative of second order."""
    call = FlatCall(f, skeleton, kwargs, backend)
    outputs, _, back = backend.pullback(call, lifted)
    check_scalar(outputs[0], operator)
    grads = call.passed(back([seed_for(outputs[0])]))
    return outputs[0], [None if g is None else project(g, leaf) for g, leaf in zip(grads, lifted, strict=True)]
