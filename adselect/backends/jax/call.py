"""One call of f under JAX: leaves become tracers or arrays behind the NumPy face, results come back plain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from ...face.traced import UNKNOWN
from ...rules.undetermined import CHOICE, SINGULAR, refusal
from ..backend import Call
from ..faces import NUMPY_CODE, call_again, is_numpy_code, wants_numpy
from ..framework_array import memory_of
from .conversions import Output, described_outputs, integers, is_conversion, is_wide, kind_of_number, native_value
from .face import JaxArray, to_numpy
from .nesting import COVERING, NESTING, SELECTIONS, close, opened

__all__ = ["FlatCall", "precise"]


class _Zeros(threading.local):
    """Whether derivatives that an outer transformation is tracing take strong zeros, as nobody can look at them."""

    strong = True


_zeros = _Zeros()


@contextmanager
def precise(strong: bool) -> Iterator[None]:
    """Within, traced derivatives take strong zeros, or do not: for a caller that looks at the results itself."""
    before, _zeros.strong = _zeros.strong, strong
    try:
        yield
    finally:
        _zeros.strong = before


class FlatCall:
    """The user's call as JAX sees it: native arrays in, native arrays out.

    ``values`` are the leaves as native arrays; calling the object runs f on any native arrays in their place, tracers
    of ``jax.jit`` included, and notes in ``outputs`` and ``aux`` what f returned.
    """

    def __init__(self, call: Call, leaves: list, face: str):
        self.call, self.face = call, face
        self.kinds = [kind_of_number(leaf) for leaf in leaves]
        foreign = [leaf for leaf, kind in zip(leaves, self.kinds, strict=True) if kind != "native"]
        self.wide = any(face != "native" or is_wide(leaf) for leaf in foreign)
        self.outer_deps = [x._deps if isinstance(x, JaxArray) else 0 for x in leaves]
        self.memory = [memory_of(leaf) for leaf in leaves]
        self.offset = 0
        self.face_used = face != "native" and bool(foreign)
        self.covers = False  # whether native leaves are put behind the face, too
        self.integers = [integers(x) for x in leaves]
        if (
            (face == "numpy" or NUMPY_CODE)
            and wants_numpy(face, call)
            and (face == "auto" or len(foreign) < len(leaves))
        ):
            self.cover_natives()
        with self.precision():
            self.values = [native_value(x, k) for x, k in zip(leaves, self.kinds, strict=True)]
        self.selecting = 0  # the leaves compared with one another
        self.enclosing = False  # whether f took a derivative at values of this call
        self.met = ""  # where f took vectors of a repeated value
        self.traces: set = set()
        self.outputs: list[Output] = []
        self.aux: list[Output] = []

    @property
    def nested(self) -> bool:
        """Whether this runs inside another derivative: what is still traced then stays an Array."""
        return "array" in self.kinds or (self.offset > 0 and self.face != "native")

    def cover_natives(self) -> None:
        """Put native leaves behind the NumPy face, too, and let captured native arrays not undo it: f is NumPy code."""
        self.covers = self.face_used = self.wide = True

    def precision(self) -> Any:
        """64-bit mode where a leaf needs it; native arrays keep the precision the user chose."""
        return jax.enable_x64(True) if self.wide else nullcontext()

    def __call__(self, *values: Any) -> tuple[list, list]:
        self.offset = offset = NESTING.bits
        lifted = []
        for i, (v, k, memory) in enumerate(zip(values, self.kinds, self.memory, strict=True)):
            if self.face != "native" and (k != "native" or self.covers):
                v = JaxArray(v, 1 << (offset + i), self.integers[i])
                v = v if memory is None else v._laid_out(memory)
            lifted.append(v)
        self.traces = opened(values, offset)
        NESTING.bits = offset + len(values)
        before, covering, met = SELECTIONS.enter(offset), COVERING.on, CHOICE.met
        COVERING.on, CHOICE.met = self.covers, ""
        if self.nested:
            NESTING.enclose()
        NESTING.calls.append(self)
        try:
            outputs, aux = self.call(lifted)
        finally:
            NESTING.calls.pop()
            COVERING.on = covering
            NESTING.bits = offset
            self.selecting = SELECTIONS.leave(before)
            self.met, CHOICE.met = CHOICE.met, met
        self.outputs, outputs = described_outputs(outputs)
        self.aux, aux = described_outputs(aux)
        return outputs, aux

    def under(self, transformation: Callable) -> tuple[list, Any, list]:
        """``jax.vjp`` or ``jax.linearize`` of this call: outputs, the linear function, aux."""
        try:
            return transformation(self, *self.values, has_aux=True)
        except Exception as error:
            # Without native leaves there may be native arrays all the same, which f has captured.
            recognise = is_numpy_code if "native" in self.kinds else is_conversion
            if self.face != "auto" or self.covers or not recognise(error):
                raise
            first = error
        finally:
            close(self.traces)

        def behind() -> tuple[list, Any, list]:
            self.cover_natives()
            with self.precision():
                return self.under(transformation)

        return call_again(self.call, first, behind, ("JaxArray", "__jax_array__"))

    # -- dependencies --------------------------------------------------------------------------------------------

    def masks(self, detect: Callable[[], list[int]]) -> list[int]:
        """For each native output the mask of the leaves it depends on; ``detect`` is asked where f's face was left."""
        outputs = [o for o in self.outputs if o.kind != "plain"]
        everything = (1 << len(self.kinds)) - 1
        if all(o.deps >= 0 for o in outputs):
            return [o.deps >> self.offset & everything | self.selecting for o in outputs]
        detected = detect()
        return [
            (o.deps >> self.offset & everything if o.deps >= 0 else mask) | self.selecting
            for o, mask in zip(outputs, detected, strict=True)
        ]

    def _outer(self, deps: int) -> int:
        """The mask, in the bits of the enclosing calls, of a value that depends on ``deps`` here."""
        if deps < 0:
            return UNKNOWN
        mask = deps & ((1 << self.offset) - 1)
        for i, outer in enumerate(self.outer_deps):
            if deps >> (self.offset + i) & 1:
                mask |= outer
        return mask

    # -- native results back to what the caller gave ---------------------------------------------------------------

    def lowered(self, outputs: list[Output], natives: list) -> list:
        """Outputs as plain values: NumPy for NumPy, native for native, and still traced inside another derivative."""
        remaining = iter(natives)
        return [o.value if o.kind == "plain" else self._lower(o, next(remaining)) for o in outputs]

    def _lower(self, output: Output, value: Any) -> Any:
        if isinstance(value, Tracer):
            keeps_face = "array" in self.kinds or (output.kind == "face" and self.nested and not self.covers)
            return JaxArray(value, self._outer(output.deps)) if keeps_face else value
        return value if self._stays_native(output) else to_numpy(value)

    def _stays_native(self, output: Output) -> bool:
        """Whether an output is the caller's kind of array: native arguments give native results."""
        return "native" in self.kinds and (output.kind == "native" or self.covers)

    def lowered_bar(self, i: int, x_bar: Any, nested: bool) -> Any:
        """The cotangent of leaf i as the caller gave the leaf."""
        if self.kinds[i] == "native":
            return x_bar
        if isinstance(x_bar, Tracer):
            return JaxArray(x_bar, UNKNOWN) if self.nested or nested else x_bar
        return to_numpy(x_bar)

    def lowered_dot(self, output: Output, y_dot: Any, nested: bool) -> Any:
        """The tangent of one output as the caller gave the leaves."""
        if y_dot is None:
            return None
        if isinstance(y_dot, Tracer):
            keeps_face = nested or "array" in self.kinds or (output.kind == "face" and self.nested and not self.covers)
            return JaxArray(y_dot, UNKNOWN) if keeps_face else y_dot
        return y_dot if self._stays_native(output) else to_numpy(y_dot)

    def check_choice(self, derivatives: list) -> None:
        """Raise where derivatives are NaN because f's result depends on vectors that are not determined."""
        if self.met and any(not isinstance(d, Tracer) and np.isnan(d).any() for d in derivatives):
            raise refusal(SINGULAR, self.met)

    # Native arguments keep JAX's own convention; behind the face a derivative is evaluated with strong zeros when it
    # came out non-finite, or when nobody can look because an outer transformation is still tracing it.

    def is_traced(self, tangents: list) -> bool:
        """Whether derivatives will be tracers of an outer transformation, to be evaluated with strong zeros."""
        return _zeros.strong and self.face_used and any(isinstance(v, Tracer) for v in (*self.values, *tangents))

    def is_singular(self, derivatives: list) -> bool:
        """Whether derivatives must be evaluated again, with strong zeros."""
        if not self.face_used:
            return False
        return any(_zeros.strong if isinstance(d, Tracer) else not np.isfinite(d).all() for d in derivatives)
