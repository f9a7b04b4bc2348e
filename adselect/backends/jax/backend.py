"""The JAX backend: f is run once under ``jax.vjp`` or ``jax.linearize``, with NumPy arguments behind the NumPy face.

Unprepared calls run eagerly, so Python branches on values work; the same flat call may be wrapped in ``jax.jit``.
JAX's 64-bit mode is entered (for this thread, never globally) around everything that touches a 64-bit value. JAX's
complex convention is the conjugate of ours: ``pullback(y_bar) = conj(vjp(conj(y_bar)))``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ...adtypes import ADType
from ...calls.in_progress import blind
from ...errors import UnsupportedError
from ...face.array import Array
from ...primitives.own_rules import pushing
from ...primitives.words import rule_in_words
from ..backend import Backend, Call
from ..faces import NUMPY_CURE, check_face, is_numpy_code
from .call import FlatCall
from .callbacks import original_errors
from .conversions import conj, directional, seed_in_jax, transposed, with_float0, without_float0
from .nesting import NO_VALUE, under_jit
from .zeros import dependencies, evaluate_strongly

__all__ = ["JaxBackend"]


class JaxBackend(Backend):
    """Reverse and forward mode by JAX.

    Independence is read off the face's dependency masks; where f left the face (``jax.numpy`` calls, native
    arguments) it is read off the linear program JAX has made, with dead code removed.
    """

    reverse = True
    forward = True

    def __init__(self, adtype: ADType):
        super().__init__(adtype)
        self.face = check_face(getattr(adtype, "face", "auto"))

    def pullback(self, call: Call, leaves: list) -> tuple[list, list, Callable[[list], list]]:
        """``(outputs, aux, back)``, as in :meth:`Backend.pullback`."""
        flat = FlatCall(call, leaves, self.face)
        with flat.precision(), pushing(False):
            natives, vjp, aux = flat.under(jax.vjp)
            outputs, aux = flat.lowered(flat.outputs, natives), flat.lowered(flat.aux, aux)
        described, avals = list(flat.outputs), [(y.shape, y.dtype) for y in natives]
        used: list[int] = []

        def program(seeds: list) -> Any:
            return jax.make_jaxpr(lambda *s: vjp(with_float0(list(s), avals)))(*seeds)

        def leaf_mask() -> int:
            """Which leaves some output depends on."""
            if not used:
                total = flat.selecting
                for mask in flat.masks(detected):
                    total |= mask
                used.append(total)
            return used[0]

        def detected() -> list[int]:
            seeds = [jnp.zeros(shape, dtype) for shape, dtype in avals]
            return transposed(dependencies(program(seeds)), len(seeds))

        def back(y_bars: list) -> list:
            nested = any(isinstance(s, Array) for s in y_bars)
            with flat.precision(), original_errors():
                mask = leaf_mask()
                if not mask:
                    return [None] * len(flat.kinds)
                given = [s for s, o in zip(y_bars, described, strict=True) if o.kind != "plain"]
                seeds = [conj(seed_in_jax(s, *aval)) for s, aval in zip(given, avals, strict=True)]
                x_bars = None if flat.is_traced(seeds) else list(vjp(with_float0(seeds, avals)))
                if x_bars is None or flat.is_singular([x for i, x in enumerate(x_bars) if mask >> i & 1]):
                    undefined = _undefined(natives, seeds)
                    if undefined is not True or x_bars is None:
                        forbidden = flat.enclosing or undefined
                        x_bars = evaluate_strongly(program(seeds), seeds, forbidden, exempt=flat.enclosing)
                flat.check_choice([x for i, x in enumerate(x_bars) if mask >> i & 1])
                return [
                    flat.lowered_bar(i, conj(x_bar), nested) if mask >> i & 1 else None
                    for i, x_bar in enumerate(x_bars)
                ]

        return outputs, aux, back

    def pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        """``(outputs, [output_tangents per direction], aux)``; several directions go through one vmap."""
        try:
            return self._pushforwards(call, leaves, directions)
        except (TypeError, NotImplementedError) as error:
            if not any(name in str(error) for name in ("custom_vjp", "custom_lin")):
                raise
            # A function with a reverse rule only, such as a host primitive: the Jacobian's rows by pullbacks.
            return super().pushforwards(call, leaves, directions)

    def _pushforwards(self, call: Call, leaves: list, directions: list[list]) -> tuple[list, list[list], list]:
        flat = FlatCall(call, leaves, self.face)
        with flat.precision(), original_errors():
            with pushing(True), blind(call):
                natives, linear, aux = flat.under(jax.linearize)
            outputs, aux = flat.lowered(flat.outputs, natives), flat.lowered(flat.aux, aux)
            tangents = [
                [seed_in_jax(t, v.shape, v.dtype) for t, v in zip(d, flat.values, strict=True)] for d in directions
            ]
            if not tangents:
                return outputs, [], aux
            nested = any(isinstance(t, Array) for d in directions for t in d)

            def program(at: list) -> Any:
                return jax.make_jaxpr(lambda *t: without_float0(linear(*t)))(*at)

            masks = flat.masks(lambda: dependencies(program(tangents[0])))
            y_dots = None
            if not flat.is_traced([t for d in tangents for t in d]):
                y_dots = directional(lambda *at: without_float0(linear(*at)), tangents)
            if y_dots is None or flat.is_singular([y_dot for row in y_dots for y_dot in row]):
                strong = program(tangents[0])
                forbidden = flat.enclosing or _undefined(natives)
                y_dots = [evaluate_strongly(strong, at, forbidden) for at in tangents]
            flat.check_choice([y_dot for row in y_dots for y_dot in row])
            dots = []
            for row, direction in zip(y_dots, directions, strict=True):
                provided = sum(1 << i for i, t in enumerate(direction) if t is not None)
                remaining = iter([y_dot if m & provided else None for y_dot, m in zip(row, masks, strict=True)])
                dots.append(
                    [None if o.kind == "plain" else flat.lowered_dot(o, next(remaining), nested) for o in flat.outputs]
                )
        return outputs, dots, aux

    def rule_for(self, f: Any) -> str:
        """Which rule the backend uses for f, in words: an frule first, but that of a black box on the host."""
        words = rule_in_words(f, self.adtype, forward_first=not getattr(f, "host", False))
        return words if words.startswith(("frule", "rrule", "none")) else super().rule_for(f)

    def prepare(self, operator: Callable, f: Callable, args: tuple, options: dict, check: str) -> Callable | None:
        """The operator compiled by ``jax.jit``, or None where it stays a plain call."""
        from .prepared import compile_operator

        return compile_operator(operator, f, self.adtype, args, options)  # type: ignore[arg-type]

    def explain(self, exception: BaseException) -> str | None:
        """A sentence to add to an exception that came out of f, or None when there is nothing to say."""
        if isinstance(exception, UnsupportedError):
            return None
        if self.face == "native" and is_numpy_code(exception):
            return NUMPY_CURE.format("AutoJax")
        if isinstance(exception, jax.errors.TracerArrayConversionError):
            return (
                "A NumPy function, or np.asarray, was called on a jax array that is being differentiated. jax.numpy "
                "results stay jax arrays: go on with jax.numpy there, or use NumPy functions on the argument itself."
            )
        if isinstance(exception, jax.errors.UnexpectedTracerError):
            return (
                "A traced value was used where JAX cannot follow it: in a derivative taken in another thread than the"
                " one it belongs to, or after its own derivative was over. Take the inner derivative in f's own thread."
            )
        if isinstance(exception, NO_VALUE):
            return under_jit("A Python branch, size or index")
        if self.face != "native" and any(name in str(exception) for name in ("JaxArray", "__jax_array__")):
            return (
                "f's NumPy arguments arrive as arrays that speak NumPy's protocols, and this JAX function takes only "
                'jax arrays. Choose AutoJax(face="native") to hand f jax arrays (results still come back as NumPy), or '
                "write jnp.asarray(x) first."
            )
        return None


def _undefined(outputs: list, seeds: list | None = None) -> Any:
    """Whether the value of f is not finite (where a seed is not 0): its derivative is not repaired into numbers."""
    found: Any = False
    for k, y in enumerate(outputs):
        if not jnp.issubdtype(y.dtype, jnp.inexact):
            continue
        bad = ~jnp.isfinite(y) if seeds is None else ~jnp.isfinite(y) & (seeds[k] != 0)
        found = found | jnp.any(bad)
    return found if type(found) is bool or isinstance(found, Tracer) else bool(found)
