"""The JAX backend: f is run once under ``jax.vjp`` or ``jax.linearize``, with NumPy arguments behind the NumPy face.

Unprepared calls run eagerly, so Python branches on values work; the same flat call may be wrapped in ``jax.jit``.
JAX's 64-bit mode is entered (for this thread, never globally) around everything that touches a 64-bit value. JAX's
complex convention is the conjugate of ours: ``pullback(y_bar) = conj(vjp(conj(y_bar)))``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from numbers import Number
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ...adtypes import ADType
from ...errors import ADSelectTypeError, ADSelectValueError, UnsupportedError, user_line
from ...face.array import Array
from ...primitives.own_rules import pushing
from ...primitives.words import rule_in_words
from ...rules.decompositions import CHOICE, SINGULAR, refusal
from ...values.kinds import isa
from ..backend import Backend, Call
from ..faces import NUMPY_CODE, NUMPY_CURE, call_again, check_face, is_numpy_code, wants_numpy
from ..framework_array import UNKNOWN, memory_of
from .callbacks import original_errors
from .face import COVERING, NESTING, NO_VALUE, SELECTIONS, JaxArray, close, opened, to_numpy, under_jit
from .zeros import dependencies, evaluate_strongly

__all__ = ["FlatCall", "JaxArray", "JaxBackend", "precise"]


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


class _Output(NamedTuple):
    """What one output of f was: ``kind`` is "face", "native" or "plain"; ``value`` only for plain ones."""

    kind: str
    deps: int
    value: Any


class FlatCall:
    """The user's call as JAX sees it: native arrays in, native arrays out.

    ``values`` are the leaves as native arrays; calling the object runs f on any native arrays in their place, tracers
    of ``jax.jit`` included, and notes in ``outputs`` and ``aux`` what f returned.
    """

    def __init__(self, call: Call, leaves: list, face: str):
        self.call, self.face = call, face
        self.kinds = [_kind(leaf) for leaf in leaves]
        foreign = [leaf for leaf, kind in zip(leaves, self.kinds, strict=True) if kind != "native"]
        self.wide = any(face != "native" or _is_wide(leaf) for leaf in foreign)
        self.outer_deps = [x.deps if isinstance(x, JaxArray) else 0 for x in leaves]
        self.memory = [memory_of(leaf) for leaf in leaves]
        self.offset = 0
        self.face_used = face != "native" and bool(foreign)
        self.covers = False  # whether native leaves are put behind the face, too
        self.integers = [_integers(x) for x in leaves]
        if (
            (face == "numpy" or NUMPY_CODE)
            and wants_numpy(face, call)
            and (face == "auto" or len(foreign) < len(leaves))
        ):
            self.cover_natives()
        with self.precision():
            self.values = [_native_value(x, k) for x, k in zip(leaves, self.kinds, strict=True)]
        self.selecting = 0  # the leaves compared with one another
        self.enclosing = False  # whether f took a derivative at values of this call
        self.met = ""  # where f took vectors of a repeated value
        self.traces: set = set()
        self.outputs: list[_Output] = []
        self.aux: list[_Output] = []

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
        self.outputs, outputs = _described(outputs)
        self.aux, aux = _described(aux)
        return outputs, aux

    def under(self, transformation: Callable) -> tuple[list, Any, list]:
        """``jax.vjp`` or ``jax.linearize`` of this call: outputs, the linear function, aux."""
        try:
            return transformation(self, *self.values, has_aux=True)
        except Exception as error:
            # Without native leaves there may be native arrays all the same, which f has captured.
            recognise = is_numpy_code if "native" in self.kinds else _is_conversion
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

    def lowered(self, outputs: list[_Output], natives: list) -> list:
        """Outputs as plain values: NumPy for NumPy, native for native, and still traced inside another derivative."""
        remaining = iter(natives)
        return [o.value if o.kind == "plain" else self._lower(o, next(remaining)) for o in outputs]

    def _lower(self, output: _Output, value: Any) -> Any:
        if isinstance(value, Tracer):
            keeps_face = "array" in self.kinds or (output.kind == "face" and self.nested and not self.covers)
            return JaxArray(value, self._outer(output.deps)) if keeps_face else value
        return value if self._stays_native(output) else to_numpy(value)

    def _stays_native(self, output: _Output) -> bool:
        """Whether an output is the caller's kind of array: native arguments give native results."""
        return "native" in self.kinds and (output.kind == "native" or self.covers)

    def lowered_bar(self, i: int, x_bar: Any, nested: bool) -> Any:
        """The cotangent of leaf i as the caller gave the leaf."""
        if self.kinds[i] == "native":
            return x_bar
        if isinstance(x_bar, Tracer):
            return JaxArray(x_bar, UNKNOWN) if self.nested or nested else x_bar
        return to_numpy(x_bar)

    def lowered_dot(self, output: _Output, y_dot: Any, nested: bool) -> Any:
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
            return jax.make_jaxpr(lambda *s: vjp(_with_float0(list(s), avals)))(*seeds)

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
            return _transposed(dependencies(program(seeds)), len(seeds))

        def back(y_bars: list) -> list:
            nested = any(isinstance(s, Array) for s in y_bars)
            with flat.precision(), original_errors():
                mask = leaf_mask()
                if not mask:
                    return [None] * len(flat.kinds)
                given = [s for s, o in zip(y_bars, described, strict=True) if o.kind != "plain"]
                seeds = [_conj(_seed(s, *aval)) for s, aval in zip(given, avals, strict=True)]
                x_bars = None if flat.is_traced(seeds) else list(vjp(_with_float0(seeds, avals)))
                if x_bars is None or flat.is_singular([x for i, x in enumerate(x_bars) if mask >> i & 1]):
                    undefined = _undefined(natives, seeds)
                    if undefined is not True or x_bars is None:
                        forbidden = flat.enclosing or undefined
                        x_bars = evaluate_strongly(program(seeds), seeds, forbidden, exempt=flat.enclosing)
                flat.check_choice([x for i, x in enumerate(x_bars) if mask >> i & 1])
                return [
                    flat.lowered_bar(i, _conj(x_bar), nested) if mask >> i & 1 else None
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
            with pushing(True):
                natives, linear, aux = flat.under(jax.linearize)
            outputs, aux = flat.lowered(flat.outputs, natives), flat.lowered(flat.aux, aux)
            tangents = [[_seed(t, v.shape, v.dtype) for t, v in zip(d, flat.values, strict=True)] for d in directions]
            if not tangents:
                return outputs, [], aux
            nested = any(isinstance(t, Array) for d in directions for t in d)

            def program(at: list) -> Any:
                return jax.make_jaxpr(lambda *t: _without_float0(linear(*t)))(*at)

            masks = flat.masks(lambda: dependencies(program(tangents[0])))
            y_dots = None
            if not flat.is_traced([t for d in tangents for t in d]):
                y_dots = _directional(lambda *at: _without_float0(linear(*at)), tangents)
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


# -- one value at a time ----------------------------------------------------------------------------------------------


def _is_conversion(error: Exception) -> bool:
    return isinstance(error, jax.errors.TracerArrayConversionError)


def _kind(leaf: Any) -> str:
    return "array" if isinstance(leaf, Array) else "native" if isinstance(leaf, jax.Array) else "numpy"


def _native_value(leaf: Any, kind: str) -> Any:
    if kind == "array":
        if not isinstance(leaf, JaxArray):
            raise UnsupportedError(
                f"AutoJax was called at {user_line()} on a {type(leaf).__name__}, a traced value of another backend. "
                "Derivatives of different frameworks do not nest this way: use the same choice inside and outside, or "
                "SecondOrder(outer, inner)."
            )
        leaf = leaf._primal
    if isinstance(leaf, jax.Array):
        return leaf.astype(float) if leaf.dtype.kind in "iub" else leaf
    if isa(leaf, (np.ndarray, np.generic)):
        dtype = leaf.dtype
        if dtype.kind in "iub":
            dtype = np.dtype(float)
        if dtype.kind not in "fc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
            raise ADSelectTypeError(f"JAX has no arrays of dtype {dtype}; convert the argument, as in x.astype(float)")
        # A copy: JAX may read the buffer later than the caller writes into it again.
        return jnp.asarray(np.array(leaf, dtype=dtype.newbyteorder("="), order="C"))
    if isa(leaf, (int, Fraction)):
        leaf = float(leaf)
    if isa(leaf, (float, complex)):
        return jnp.asarray(leaf)  # weak, as Python numbers are in NumPy: float32 arrays stay float32
    if isa(leaf, Number):
        return jnp.asarray(float(leaf))  # type: ignore[arg-type]
    raise ADSelectTypeError(f"AutoJax cannot differentiate with respect to a {type(leaf).__name__}")


def _integers(leaf: Any) -> Any:
    """The integers behind a leaf that counts as float in arithmetic and still works as an index."""
    if isinstance(leaf, JaxArray):
        return leaf.integer
    if isinstance(leaf, jax.Array):
        return None if leaf.dtype.kind not in "iu" or isinstance(leaf, Tracer) else np.asarray(leaf)[()]
    if isa(leaf, np.ndarray):
        # A copy, in which nothing wraps either.
        return leaf.astype(np.int64) if leaf.dtype.kind in "iu" else leaf if leaf.dtype.kind == "b" else None
    if isa(leaf, (int, np.integer)):
        return int(leaf) if type(leaf) is not bool else leaf
    return None


def _is_wide(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is None or dtype.kind in "iub" or dtype.itemsize >= (16 if dtype.kind == "c" else 8)


def _described(outputs: list) -> tuple[list[_Output], list]:
    """What each output is, and the native arrays among them."""
    described, natives = [], []
    for value in outputs:
        if isinstance(value, JaxArray):
            described.append(_Output("face", value.deps, None))
            natives.append(value._primal)
        elif isinstance(value, Array):
            raise UnsupportedError(
                f"f returned a {type(value).__name__}, a traced value of another backend that it captured; pass that "
                "value to the inner function as an argument"
            )
        elif isinstance(value, jax.Array):
            described.append(_Output("native", UNKNOWN, None))
            natives.append(value)
        else:
            described.append(_Output("plain", 0, value))
    return described, natives


def _conj(value: Any) -> Any:
    return jnp.conj(value) if value.dtype.kind == "c" else value


def _seed(seed: Any, shape: tuple, dtype: Any) -> Any:
    """A cotangent or tangent as a native array of the given shape and dtype."""
    if dtype.kind not in "fcV":  # V: bfloat16 and friends
        return jnp.zeros(shape, dtype)
    if seed is None:
        return jnp.zeros(shape, dtype)
    if isinstance(seed, JaxArray):
        seed = seed._primal
    elif not isinstance(seed, jax.Array):
        seed = np.array(seed)  # a copy; NumPy converts it at a tenth of what JAX takes
    if seed.shape != tuple(shape):
        raise ADSelectValueError(f"a seed of shape {seed.shape} does not fit a value of shape {tuple(shape)}")
    if seed.dtype.kind == "c" and dtype.kind != "c":
        seed = seed.real
    return jnp.asarray(seed.astype(dtype))


def _with_float0(seeds: list, avals: list) -> list:
    """Seeds as jax.vjp wants them: integer outputs take the empty type float0."""
    return [
        seed if dtype.kind in "fcV" else np.zeros(shape, jax.dtypes.float0)
        for seed, (shape, dtype) in zip(seeds, avals, strict=True)
    ]


def _without_float0(tangents: list) -> list:
    """Tangents with plain zeros for integer outputs, which have none."""
    return [jnp.zeros(t.shape) if t.dtype == jax.dtypes.float0 else t for t in tangents]


def _directional(linear: Callable, tangents: list[list]) -> list[list]:
    """``linear`` along each direction: called once, over all of them at a time."""
    if len(tangents) == 1:
        return [linear(*tangents[0])]
    stacked = jax.vmap(linear)(*[jnp.stack(column) for column in zip(*tangents, strict=True)])
    return [[y_dot[d] for y_dot in stacked] for d in range(len(tangents))]


def _transposed(masks: list[int], count: int) -> list[int]:
    """From "outputs each leaf receives from" to "leaves each output depends on"."""
    return [sum(1 << i for i, mask in enumerate(masks) if mask >> k & 1) for k in range(count)]
