"""Checkpoints in JAX: ``jax.checkpoint`` around a function behind the NumPy face, or of JAX's own code."""

from __future__ import annotations

from typing import Any

import jax

from ...structure.flattening import Skeleton
from .conversions import described_outputs
from .face import JaxArray

__all__ = ["checkpointed"]


def checkpointed(call: Any, leaves: list) -> tuple[list, Skeleton]:
    """``call(leaves)`` by ``jax.checkpoint``; as it is where it cannot be traced without values."""
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (JaxArray, jax.Array))]
    natives = [leaves[i]._primal if isinstance(leaves[i], JaxArray) else leaves[i] for i in places]
    seen: list = []

    def run(*values: Any) -> list:
        full = list(leaves)
        for i, v in zip(places, values, strict=True):
            full[i] = JaxArray(v, leaves[i]._deps, leaves[i]._integer) if isinstance(leaves[i], JaxArray) else v
        results, structure = call(full)
        described, found = described_outputs(results)
        seen[:] = [described, results, structure]
        return found

    try:
        found = iter(jax.checkpoint(run)(*natives))
    except Exception:  # it looks at values, which are there outside; what is its own mistake is one there, too
        return call(leaves)
    described, results, structure = seen
    taken = []
    for output, result in zip(described, results, strict=True):
        if output.kind == "plain":
            taken.append(output.value)
            continue
        value = next(found)
        taken.append(JaxArray(value, result._deps, result._integer) if isinstance(result, JaxArray) else value)
    return taken, structure
