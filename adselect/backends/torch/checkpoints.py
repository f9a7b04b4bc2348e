"""Checkpoints in torch: ``torch.utils.checkpoint`` around a function behind the NumPy face, or of torch's own code."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import ADSelectValueError, user_line
from ...structure.flattening import Skeleton
from .compiled import is_staged
from .face import TorchArray
from .progress import blocks_in_progress, reopened
from .recording import is_in_transform

__all__ = ["checkpointed"]


def checkpointed(call: Any, leaves: list) -> tuple[list, Skeleton]:
    """``call(leaves)`` by ``torch.utils.checkpoint``; as it is inside of torch.func's transformations."""
    from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (TorchArray, Tensor))]
    natives = [leaves[i]._primal if isinstance(leaves[i], TorchArray) else leaves[i] for i in places]
    if is_in_transform() or is_staged(natives) or not torch.is_grad_enabled():
        return call(leaves)
    line, blocks = user_line(), blocks_in_progress()
    first: list = []

    def run(*values: Any) -> tuple:
        full = list(leaves)
        for i, v in zip(places, values, strict=True):
            full[i] = TorchArray(v, leaves[i]._deps, leaves[i]._integer) if isinstance(leaves[i], TorchArray) else v
        with reopened(blocks if first else []):
            results, structure = call(full)
        tensors = tuple([_tensor(r) for r in results])
        if not first:
            first.extend([results, structure, [None if t is None else t.detach() for t in tensors]])
        elif not _are_equal(tensors, first[2]):
            raise ADSelectValueError(
                f"the function given to checkpointed at {line} computed something else when it was run again in the "
                "reverse pass: it draws random numbers from a generator that is out of sight, or it reads something "
                "that has changed. Pass generators and values as arguments, or call the function without checkpointed."
            )
        return tuple([t for t in tensors if t is not None])

    with set_checkpoint_early_stop(False):
        found = iter(checkpoint(run, *natives, use_reentrant=False))
    results, structure = first[:2]
    taken = []
    for result in results:
        value = next(found) if _tensor(result) is not None else result
        taken.append(TorchArray(value, result._deps, result._integer) if isinstance(result, TorchArray) else value)
    first[0] = None
    return taken, structure


def _tensor(result: Any) -> Tensor | None:
    result = result._primal if isinstance(result, TorchArray) else result
    return result if isinstance(result, Tensor) else None


def _are_equal(now: tuple, before: list) -> bool:
    """Whether results are what they were, not a number where they were none."""
    for a, b in zip(now, before, strict=True):
        if (a is None) != (b is None):
            return False
        if a is not None and not np.array_equal(_numbers(a), _numbers(b), equal_nan=a.dtype.is_floating_point):
            return False
    return True


def _numbers(tensor: Tensor) -> Any:
    return tensor.detach().cpu().resolve_conj().numpy()
