"""How much of a result is rounding: a traced program run again with every number moved by a few last digits.

A replay adds and multiplies in another order than the eager pass, so that both round differently. Where large numbers
cancel (``(x + 1e12) - 1e12``) the little that is left differs by much of its own size, and no tolerance that knows only
the result can tell that from a mistake. Moving every input, constant and intermediate value at random by as much as it
may have been rounded shows it: an entry that does not move then has no business to differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..values.kinds import isa
from .facts import EXACT
from .instructions import Instruction, Ref

__all__ = ["rounding_noise"]

_RUNS = 3
_UNITS = 4.0  # in the last place, by which each number is moved
_ALLOWED = 16.0  # times the largest movement seen


def rounding_noise(instructions: list[Instruction], inputs: list[int], outputs: list, leaves: list) -> list | None:
    """For each output how far rounding can move its entries; None where the program cannot be run this way."""
    rng = np.random.default_rng(0)
    try:
        with np.errstate(all="ignore"):
            exact = _run(instructions, inputs, outputs, leaves, None)
            runs = [_run(instructions, inputs, outputs, leaves, rng) for _ in range(_RUNS)]
            return [_ALLOWED * np.max([np.abs(run[k] - y) for run in runs], axis=0) for k, y in enumerate(exact)]
    except Exception:  # an index or a shape that followed a moved number; then the numbers themselves decide
        return None


def _run(instructions: list, inputs: list, outputs: list, leaves: list, rng: Any) -> list:
    """The outputs of a program, its numbers moved where rng is given."""
    values: dict[int, Any] = {n: _moved(leaf, rng) for n, leaf in zip(inputs, leaves, strict=True)}

    constants: dict[int, Any] = {}

    def value_of(spec: Any) -> Any:
        kind = type(spec)
        if kind is Ref:
            return values[spec.number]
        if kind is tuple or kind is list:
            return kind([value_of(s) for s in spec])
        if kind is np.ndarray:
            if id(spec) not in constants:
                constants[id(spec)] = _moved(spec, rng)
            return constants[id(spec)]
        return spec

    for i in instructions:
        if i.function is not None:
            options = {k: value_of(v) for k, v in i.kwargs.items()}
            result = i.function(*map(value_of, i.args), **options)
            exact = i.function in EXACT or isinstance(result, (tuple, list))
            values[i.number] = result if exact else _moved(result, rng)
    return [np.asarray(value_of(r)) for r in outputs]


def _moved(value: Any, rng: Any) -> Any:
    dtype: Any = getattr(value, "dtype", np.dtype(float) if type(value) is float else None)
    if rng is None or dtype is None or dtype.kind not in "fc":
        return value
    by = _UNITS * np.finfo(dtype).eps * rng.uniform(-1.0, 1.0, np.shape(value))
    moved = np.asarray(value * (1.0 + by), dtype)
    return moved if isa(value, np.ndarray) else moved[()]
