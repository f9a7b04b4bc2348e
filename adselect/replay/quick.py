"""The shortest way through a prepared call, written as source."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calls.captured import FAILURES
from ..primitives.define import REGISTRATIONS
from ..structure.leaves import is_leaf
from .instructions import GuardFailed

if TYPE_CHECKING:
    from .prepared import ReplayedOperator
    from .variant import Variant


def write_quick(run: ReplayedOperator) -> Callable[[tuple], Any] | None:
    """``quick(args)``, which gives NotImplemented where it cannot answer; None for unusual arguments."""
    variant = run.variants[0]
    scope: dict[str, Any] = {
        "float64": np.float64,
        "registrations": REGISTRATIONS,
        "run": run,
        "ndarray": np.ndarray,
        "dot": np.dot,
        "isfinite": math.isfinite,
        "inf": math.inf,
        "function": variant.function,
        **run.watch.names,
        "pool": variant.replay.buffers,
        "GuardFailed": GuardFailed,
    }
    names = [f"x{k}" for k in range(len(variant.leaves))]
    checks = [f"len(args) != {len(names)}", f"registrations[0] != {REGISTRATIONS[0]}"]
    if run.check != "never":
        checks.append("run.calls + 1 >= run.next_check")
    kinds, results = _other_kinds(variant, names, scope), _results(variant)
    everything = None if results is None else _everything(variant, results[0], scope)
    if kinds is None or results is None or everything is None:
        return None
    returned = ", ".join(f"r{k}" for k in range(len(results[0])))
    lines = [
        "def quick(args):",
        f"    if {' or '.join(checks)}: return NotImplemented",
        f"    {', '.join(names)}, = args",
        f"    if {' or '.join(kinds)}: return NotImplemented",
        "    try:",
        f"        if not ({run.watch.test or True}): return NotImplemented",
        f"    except {FAILURES}: return NotImplemented",
        "    try: buffers = pool.pop()",
        "    except IndexError: return NotImplemented",
        f"    try: {returned}, = function(args, buffers)",
        "    except Exception: return NotImplemented",
        "    finally: pool.append(buffers)",
        *(["    run.calls += 1"] if run.check != "never" else []),
        f"    if not ({' and '.join(results[1])}): return NotImplemented",
        f"    return {everything}",
    ]
    exec(compile("\n".join(lines), "<adselect quick>", "exec"), scope)
    return scope["quick"]


def _other_kinds(variant: Variant, names: list[str], scope: dict[str, Any]) -> list[str] | None:
    """Tests whether an argument is of another kind than that prepared for."""
    kinds = []
    for name, leaf in zip(names, variant.leaves, strict=True):
        if type(leaf) is np.ndarray and leaf.dtype.isnative:
            scope[f"{name}_shape"], scope[f"{name}_dtype"] = leaf.shape, leaf.dtype
            kinds.append(f"type({name}) is not ndarray or {name}.shape != {name}_shape")
            kinds.append(f"{name}.dtype is not {name}_dtype")
        elif type(leaf) is float:
            kinds.append(f"type({name}) is not float")
        else:
            return None
    return kinds


def _results(variant: Variant) -> tuple[list[str], list[str]] | None:
    """The results in the kind that the eager ones have, and the tests whether they are finite."""
    results, finite = [], []
    for k, (expected, given) in enumerate(zip(variant.expected, variant.replay.results, strict=True)):
        name = f"r{k}"
        if type(expected) is np.ndarray and expected.dtype == np.float64 and given == (expected.shape, expected.dtype):
            flat = name if expected.ndim == 1 else f"{name}.ravel('K')"
            # Overflow or not a number: the ordinary way looks closer.
            finite.append(f"dot({flat}, {flat}) < inf")
        elif type(expected) in (float, np.float64):
            finite.append(f"isfinite({name})")
            name = f"{'float' if type(expected) is float else 'float64'}({name})"
        else:
            return None
        results.append(name)
    return results, finite


def _everything(variant: Variant, results: list[str], scope: dict[str, Any]) -> str | None:
    """The operator's result, of its parts."""
    if type(variant.reference) is not tuple or len(variant.reference) != len(results):
        if not variant.is_pair:
            return None
        scope["cls"] = type(variant.reference)
        return f"cls({results[0]}, ({', '.join(results[1:])},))"
    return f"({', '.join(results)},)" if all(is_leaf(r) for r in variant.reference) else None
