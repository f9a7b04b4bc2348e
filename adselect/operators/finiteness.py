"""``check_finite=True``: an error where a value or a derivative is NaN or infinite, at the place where that is born."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..calls.operator_facts import OPERATORS
from ..errors import ADSelectTypeError, NonFiniteError, user_line
from ..face.dispatch import is_traced
from ..structure.flattening import flatten
from ..structure.leaves import is_tracer
from ..values.natives import to_numpy

__all__ = ["by_argument", "require_finite"]


def require_finite(
    check_finite: Any,
    operator: str,
    f: Callable,
    args: tuple,
    kwargs: dict,
    value: Any,
    derivatives: Iterable[tuple[str, Any]] = (),
) -> None:
    """Raise NonFiniteError where the value of f, or a derivative, has a NaN or an infinity.

    derivatives: pairs of what one is taken of and its numbers. args and kwargs are those of the operator's call, with
    which the birth of such a number is looked for. What an outer derivative or a framework traces has no numbers to
    look at.
    """
    if check_finite is not True:
        raise ADSelectTypeError(
            f"{operator}: check_finite= is True or False, not {check_finite!r}; it is no argument of f"
        )
    for words, part in [("the value of f", value), *[(f"the derivative of {p}", d) for p, d in derivatives]]:
        leaves, skeleton = flatten((part,))
        for leaf, place in zip(leaves, skeleton.paths, strict=True):
            if is_traced(leaf) or is_tracer(leaf):
                continue
            array = np.asarray(to_numpy(leaf))
            if array.dtype.kind in "fc" and not np.all(np.isfinite(array)):
                path = words if len(leaves) == 1 and place in ("args[0]", "args[0][0]") else words + place[7:]
                raise _error(operator, f, args, kwargs, path, array)


def by_argument(derivative: Any) -> list[tuple[str, Any]]:
    """The derivatives in a result by the arguments that they are taken of."""
    parts = derivative if type(derivative) is tuple else (derivative,)
    return [(f"args[{i}]", part) for i, part in enumerate(parts) if part is not None]


def _error(operator: str, f: Callable, args: tuple, kwargs: dict, path: str, array: np.ndarray) -> NonFiniteError:
    bad = np.argwhere(~np.isfinite(array))
    what = f"{path} is {array[()]}"
    if array.shape:
        first = tuple(bad[0].tolist())
        at = f"[{', '.join(map(str, first))}]"
        what = f"{path} has {len(bad)} of {array.size} entries that are not finite, the first, {at}, is {array[first]}"
    from ..replay.births import birth_of  # a room that a call without a fault does not enter

    birth = birth_of(OPERATORS[operator], f, args, kwargs, ~np.isfinite(array)) if operator in OPERATORS else None
    where = " check_finite=True looks at values and derivatives; locating the operation was not possible for this f."
    if birth is not None:
        born = f"np.{birth.operation}" if hasattr(np, birth.operation) else birth.operation
        born = born if birth.phase == "value" else f"the derivative of {born}"
        where = f" The first operation that makes such a number of finite ones is {born} at {birth.file}:{birth.line}"
        where += f", `{birth.source}`." if birth.source else "."
        if birth.phase == "cotangent":
            where += " The value there is finite, its slope is not: stay away from that point, or add a small number."
    return NonFiniteError(f"{operator}(…, check_finite=True) at {user_line()}: {what}.{where}", path, birth)
