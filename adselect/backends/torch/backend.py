"""The PyTorch backend: f runs on torch tensors, torch's autograd graph is the tape.

NumPy leaves reach f as :class:`TorchArray`, torch's own tensors as tensors. Three decisions shape this file:

* The graph is kept (``retain_graph``), so a pullback can be called any number of times, and it is itself recorded
  (``create_graph``) only where an outer derivative is watching: a leaf, a seed or a captured value that belongs to it.
* The pushforward is the transpose of the pullback (reverse over reverse). torch's forward mode neither nests nor takes
  user-written ``autograd.Function`` classes safely; the transposed pullback does both and needs f only once.
* A zero must contribute 0 through a singular derivative. That is bought only when a NaN shows up: the graph is walked
  again, node by node (``zeros.py``).

Inside ``torch.func`` transforms the same steps are taken with ``torch.func.vjp``, as torch demands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...calls.in_progress import blind
from ...errors import ADSelectValueError, TracedValueError
from ...face.likeness import AbsentAttributeError
from ..backend import Backend
from ..faces import NUMPY_CURE, check_face, is_numpy_code
from .call import Call
from .face import SAME

__all__ = ["TorchBackend"]


class TorchBackend(Backend):
    """Reverse mode by torch's autograd, forward mode as the transpose of it.

    Whether a result depends on a leaf is read off the autograd graph, for native torch code too. Results of native
    leaves that require grad stay differentiable in the caller's own torch code; a module's parameters are leaves
    whose results do not.
    """

    reverse = True
    forward = True
    detects_independence = True

    def __init__(self, adtype: Any):
        super().__init__(adtype)
        check_face(adtype.face)
        if adtype.device is not None:
            try:
                torch.empty(0, device=adtype.device)
            except (RuntimeError, AssertionError, NotImplementedError) as error:
                said = str(error).strip().partition("\n")[0]
                raise ADSelectValueError(
                    f"{adtype!r}: torch cannot compute on device={str(adtype.device)!r} here ({said}). Leave device= "
                    "out for the processor, or take a device that torch finds on this machine"
                ) from error

    def pullback(self, call: Callable, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        recorded = Call(self, call, leaves)
        outputs, aux = recorded.results()
        return outputs, aux, recorded.back

    def pushforwards(self, call: Callable, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        with blind(call):
            recorded = Call(self, call, leaves)
        outputs, aux = recorded.results()
        return outputs, recorded.pushforwards(directions), aux

    def is_ordinary(self, leaves: list) -> bool:
        """Whether leaves are floats and arrays of floats, to be computed with in main memory."""
        return (
            self.adtype.device is None
            and all([type(x) is float or (type(x) is np.ndarray and x.dtype in SAME) for x in leaves])
            and not torch.is_inference_mode_enabled()
        )

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        """A shorter way for many calls, or None where there is none."""
        from .prepared import prepare_gradient

        return prepare_gradient(self, operator, f, args, options)

    def explain(self, exception: BaseException) -> str | None:
        """The sentence to add to an error that another face would cure, else None.

        >>> from adselect import AutoTorch
        >>> error = AttributeError("'TorchArray' object has no attribute 'unsqueeze'")
        >>> TorchBackend(AutoTorch()).explain(error)[:51]
        'f uses torch itself: AutoTorch(face="native") hands'
        """
        if self.adtype.face == "native":
            return NUMPY_CURE.format("AutoTorch") if is_numpy_code(exception) else None
        if not isinstance(exception, (AttributeError, TypeError, RuntimeError)):
            return None
        text = str(exception)
        if isinstance(exception, AbsentAttributeError):
            cured = True  # torch.tensor([x[0]]) asks for the length of a traced number
        elif isinstance(exception, AttributeError):
            name = exception.name or text.rpartition("attribute '")[2].rstrip("'")
            cured = "TorchArray" in text and hasattr(Tensor, name)
        elif isinstance(exception, TracedValueError):
            cured = _passed_through_torch(exception) or text.startswith("__dlpack__")
        else:
            cured = "TorchArray" in text
        return _CURE if cured else None


_CURE = 'f uses torch itself: AutoTorch(face="native") hands it torch tensors, and results still come back as NumPy.'


def _passed_through_torch(exception: BaseException) -> bool:
    """Whether a refused conversion was asked for by torch's own Python code."""
    traceback = exception.__traceback__ if isinstance(exception, TracedValueError) else None
    while traceback is not None:
        if (traceback.tb_frame.f_globals.get("__name__") or "").partition(".")[0] == "torch":
            return True
        traceback = traceback.tb_next
    return False
