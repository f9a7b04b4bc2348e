"""The HIPS autograd backend: f runs once on autograd's Boxes, behind the NumPy face, and is pulled back by its vjps.

Every NumPy function becomes one autograd primitive. Where autograd's own derivative is right it is used (``OWN``);
elsewhere — functions it lacks, kinks where it gives NaN — the primitive's vjp is the shared rule of
``adselect.rules``, run over the face, so that it is recorded again when an outer derivative looks on. What has no rule
here and a derivative there (decompositions, FFTs, special functions) goes to autograd as it is. Nothing is ever left
to NumPy's object arrays.

Around autograd's core this module keeps three promises that it does not make: the stack of traces is restored after an
exception, several outputs and leaves are pulled back in one pass, and "does not depend on" is told from "has slope 0",
by looking whether a leaf's node can be reached. autograd's complex convention is the conjugate of ours:
``pullback(y_bar) = conj(vjp(conj(y_bar)))``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from autograd.tracer import getval, isbox

from ...adtypes import AutoAutograd
from ...calls.in_progress import blind
from ...errors import TracedValueError
from ...face.array import Array
from ...primitives.invocation import FirstOrderError
from ...primitives.leaves import is_cut_off
from ..backend import Backend, Call
from ..faces import NUMPY_CURE, check_face
from . import table as _table  # noqa: F401  (the face looks functions up there)
from .call import Leaf, inner_value, leave, output, seed
from .face import AutogradArray
from .modes import MODE, settle
from .traces import Recording, number_of, pull_carefully_if_needed

__all__ = ["AutogradBackend"]


class AutogradBackend(Backend):
    """Reverse mode by HIPS autograd; forward mode by transposing the pullback once more.

    f gets arrays that speak NumPy's protocols, also for Boxes of the user's own ``autograd.grad``; ``autograd.numpy``
    functions take them, too. With ``face="native"`` it gets autograd's own Boxes.
    """

    reverse = True
    forward = False

    def __init__(self, adtype: AutoAutograd):
        super().__init__(adtype)
        self.face = check_face(adtype.face)

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        """``(outputs, aux, back)``, as in :meth:`Backend.pullback`."""
        taken, recording, outputs, nodes, aux, nested = self._record(call, leaves)

        def back(y_bars: list) -> list:
            stays_face = nested or any(isinstance(g, Array) for g in y_bars)
            seeds = [seed(g, y) for g, y in zip(y_bars, outputs, strict=True)]
            x_bars = pull_carefully_if_needed(recording, nodes, seeds, outputs)
            return [leaf.cotangent(x_bar, stays_face) for leaf, x_bar in zip(taken, x_bars, strict=True)]

        return [leave(y, nested) for y in outputs], [leave(a, nested) for a in aux], back

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """Through the transposed pullback, f evaluated once; row by row where f holds a rule of first order only."""
        try:
            return self._pushforwards(call, leaves, directions)
        except (FirstOrderError, TracedValueError, ValueError) as error:
            if not isinstance(error, FirstOrderError) and not is_cut_off(error):
                raise
            return super().pushforwards(call, leaves, directions)

    def _pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """The pullback is linear in its cotangent; its own pullback is the pushforward."""
        with blind(call):
            _, recording, outputs, nodes, aux, nested = self._record(call, leaves)
        dependent = [k for k, node in enumerate(nodes) if node is not None]
        stays_face = nested or any(isinstance(d, Array) for tangents in directions for d in tangents)
        ones = [np.ones(np.shape(getval(outputs[k])), np.result_type(getval(outputs[k])))[()] for k in dependent]
        again = Recording(ones)
        # The derivative of a value that is not finite is not repaired into numbers.
        values = [number_of(outputs[k]) for k in dependent]
        again.enclosing = recording.enclosing or any([np.any(np.isnan(y)) for y in values])
        again.undefined = not all([np.all(np.isfinite(y)) for y in values])
        again.constants = False
        dots: list[list] = []

        def products(cotangents: list) -> list:
            MODE.shared = True
            try:
                x_bars = recording.pull([nodes[k] for k in dependent], cotangents)
            finally:
                MODE.shared = False
            return [inner_value(x_bars, tangents) for tangents in directions]

        for total in again.run(products, ones) if dependent else directions:
            node = again.split(total)[1]
            y_dots: list = [None] * len(outputs)
            for k, y_dot in zip(dependent, pull_carefully_if_needed(again, [node], [np.float64(1.0)]), strict=True):
                y_dots[k] = self._tangent(y_dot, outputs[k], stays_face)
            dots.append(y_dots)
        return [leave(y, nested) for y in outputs], dots, [leave(a, nested) for a in aux]

    @staticmethod
    def _tangent(y_dot: Any, y: Any, stays_face: bool) -> Any:
        # The cotangents were fed in autograd's convention, so one conjugation of the result is spent on them.
        if y_dot is None:
            return None
        y_dot = settle(y_dot)
        if isbox(y_dot):
            return AutogradArray(y_dot) if stays_face else y_dot
        return np.array(y_dot, np.result_type(getval(y)))[()]

    def _record(self, call: Call, leaves: list) -> tuple[list[Leaf], Recording, list, list, list, bool]:
        """Run f once: the leaves, the recording, outputs and their nodes, aux, and whether results stay Arrays."""
        taken = [Leaf(leaf) for leaf in leaves]
        nested = MODE.depth > 0 or any(leaf.is_array for leaf in taken)
        values = [leaf.value for leaf in taken]
        recording = Recording(values)

        def lifted_call(boxes: list) -> tuple[list, list]:
            if self.face == "native":
                return call(boxes)
            return call(
                [
                    AutogradArray(b, integer=leaf.integer)._given_as(given)
                    for b, leaf, given in zip(boxes, taken, leaves, strict=True)
                ]
            )

        MODE.depth += 1
        before = MODE.strong, MODE.shared
        MODE.strong = MODE.shared = MODE.encloses = False
        try:
            outputs, aux = recording.run(lifted_call, values)
        finally:
            MODE.depth -= 1
            MODE.strong, MODE.shared = before
            recording.enclosing, MODE.encloses = MODE.encloses, MODE.depth > 0
        split = [recording.split(output(y)) for y in outputs]
        extras = [recording.split(output(a))[0] for a in aux]
        return taken, recording, [y for y, _ in split], [node for _, node in split], extras, nested

    def explain(self, error: Exception) -> str | None:
        """A hint for errors that the other face would not have caused."""
        if self.face == "native" and "ArrayBox" in str(error) and isinstance(error, TypeError):
            return NUMPY_CURE.format("AutoAutograd")
        if isinstance(error, (TypeError, AttributeError)) and "AutogradArray" in str(error):
            return (
                "adselect: f was given the NumPy face of autograd's arrays (AutogradArray). If f calls autograd.numpy "
                "throughout, AutoAutograd(face='native') gives it autograd's own."
            )
        return None
