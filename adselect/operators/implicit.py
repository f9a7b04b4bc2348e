"""Operators with Params: f without arguments, differentiated with respect to arrays that it reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calls.operator_facts import facts_of
from ..calls.results import write_out
from ..errors import ADSelectTypeError, ADSelectValueError, user_line
from ..structure.grads import Grads
from ..structure.params import Params, array_in_words
from ..values.identity import IdDict
from ..values.kinds import isa

if TYPE_CHECKING:
    from ..calls.implicit import ImplicitFunction

__all__ = ["finished", "implicit_function", "implicitly", "is_implicit"]


def is_implicit(args: tuple) -> bool:
    """Whether an operator was called with Params."""
    return Params in map(type, args)


def implicit_function(operator: str, f: Callable, args: tuple, kwargs: dict) -> ImplicitFunction:
    """f as a function of the parameters. Raises where Params are not all that was given."""
    if len(args) != 1:
        others = ", ".join([array_in_words(a) for a in args if type(a) is not Params])
        raise ADSelectTypeError(
            f"{operator} at {user_line()} was given Params and {others or 'more Params'}: with Params f takes no "
            f"arguments. Write {operator}(lambda: f(x), ps), the x that f needs in a closure, and ps.union(…) for more "
            "parameters"
        )
    params = args[0].copy()  # the set as it is now
    if not len(params):
        raise ADSelectTypeError(
            f"{operator} at {user_line()}: the Params are empty, so there is nothing to differentiate with respect to: "
            "write Params([W, b])"
        )
    from ..calls.implicit import ImplicitFunction  # for who has Params: a call without does not wait for it

    return ImplicitFunction(operator, f, params, kwargs)


def implicitly(
    operator: Callable, f: Callable, adtype: Any, args: tuple, missing: Any, out: Any, checks: tuple, kwargs: dict
) -> Any:
    """The operator's result at Params: Grads where there would be a tuple."""
    function = implicit_function(operator.__name__, f, args, kwargs)
    params = function.params
    by_name = missing == "error"
    try:
        result = operator(
            function, adtype, *params, missing="none" if by_name else missing, check=checks[0], check_finite=checks[1]
        )
    finally:
        function.settle()
    return finished(operator, params, result, missing, out)


def finished(operator: Callable, params: Params, result: Any, missing: Any, out: Any) -> Any:
    """The result of an operator at the parameters, with Grads in it."""
    facts = facts_of(operator)
    if facts is not None and facts.returns_function:
        value, back = result
        return value, lambda seed: by_parameter(operator, params, back(seed), missing, None)
    return by_parameter(operator, params, result, missing, out)


def by_parameter(operator: Callable, params: Params, result: Any, missing: Any, out: Any) -> Any:
    """An operator's tuple of results as Grads, also behind the value; written into out."""
    if getattr(type(result), "_fields", ()) == ("val", "grad"):
        return result._replace(grad=by_parameter(operator, params, result.grad, missing, out))
    name = operator.__name__
    if missing == "error" and any(g is None for g in result):
        i = next(i for i, g in enumerate(result) if g is None)
        raise ADSelectValueError(
            f"{name}: the result of f does not depend on Params[{i}] ({array_in_words(params[i])}), though f reaches "
            "it; pass missing='none' or missing='zeros' to allow that"
        )
    if out is None:
        return Grads(zip(params, _apart(result), strict=True))
    if not isinstance(out, (Grads, IdDict)):
        raise ADSelectTypeError(
            f"{name}: out= with Params is a Grads or an IdDict with an array for each parameter, not "
            f"{type(out).__name__}; a result of an earlier call will do"
        )
    lacking = [array_in_words(p) for p in params if p not in out]
    if lacking:
        raise ADSelectValueError(f"{name}: out has no entry for the parameters {', '.join(lacking)}")
    targets = [out[p] for p in params]
    write_out(name, targets, tuple(result))
    for p, target in zip(params, targets, strict=True):
        out[p] = target
    return out


def _apart(grads: tuple) -> list:
    """The gradients as arrays of their own, which can be written to one by one."""
    found, memories = [], set()
    for g in grads:
        if isa(g, np.ndarray):
            memory = g
            while isa(memory.base, np.ndarray):
                memory = memory.base
            if id(memory) in memories or not g.flags.writeable:
                memory = g = g.copy()
            memories.add(id(memory))
        found.append(g)
    return found
