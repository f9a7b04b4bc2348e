"""Calls from compiled JAX code back into Python, and what they raise.

``jax.pure_callback`` puts the arguments of a callback back onto the device, and the callback waits for that. Where all
threads of the device are busy with callbacks, nobody is left to do it, and the program stands still: on a machine with
one core from arrays of some thousand numbers on. Here a callback is a primitive of its own, which hands over the arrays
that it was given.

JAX turns an exception of a callback into one of its own, with the original as text. Where the call is ours the
original is raised in its place.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from .axes import alike, result_avals
from .zeros import batch_size, in_front

__all__ = ["call_back", "original_error", "original_errors"]

# The newest exceptions of callbacks, on any thread: JAX runs them on its own.
_raised: collections.deque = collections.deque(maxlen=4)


def call_back(host: Callable, shapes: list, *operands: Any, batched: bool = False) -> list:
    """``host(*operands)`` on NumPy arrays when the compiled code runs, like ``jax.pure_callback``.

    The arrays are read-only and live until host returns. batched: host maps over leading axes itself (``vmap`` calls
    it once, with axes of length 1 where an operand has no batch axis); otherwise ``vmap`` calls it per example.
    """

    def remembering(*arrays: Any) -> Any:
        try:
            return host(*arrays)
        except Exception as error:
            _raised.append(error)
            raise

    kinds = tuple([(tuple(s.shape), jax.dtypes.canonicalize_dtype(s.dtype)) for s in shapes])
    return call_back_p.bind(*alike(operands), host=remembering, kinds=kinds, batched=batched)


def _at_once(*operands: Any, host: Callable, kinds: tuple, batched: bool) -> list:
    outputs = host(*[np.asarray(v) for v in operands])
    return [jnp.asarray(y, dtype) for y, (_, dtype) in zip(outputs, kinds, strict=True)]


def _batch(operands: Any, axes: Any, *, host: Callable, kinds: tuple, batched: bool) -> tuple[list, list]:
    size = batch_size(operands, axes)
    if batched:
        moved = [
            jnp.expand_dims(v, 0) if axis is None else jnp.moveaxis(v, axis, 0)
            for v, axis in zip(operands, axes, strict=True)
        ]
        more = tuple([((size, *shape), dtype) for shape, dtype in kinds])
        ys = call_back_p.bind(*moved, host=host, kinds=more, batched=True)
    else:
        each = [i for i, axis in enumerate(axes) if axis is not None]

        def example(moving: list) -> list:
            full = list(operands)
            for i, v in zip(each, moving, strict=True):
                full[i] = v
            return call_back_p.bind(*full, host=host, kinds=kinds, batched=False)

        ys = jax.lax.map(example, in_front([operands[i] for i in each], [axes[i] for i in each], size))
    return ys, [0] * len(ys)


def _through_jax(*operands: Any, host: Callable, kinds: tuple, batched: bool) -> list:
    return jax.pure_callback(host, [jax.ShapeDtypeStruct(*kind) for kind in kinds], *operands)


_lowered_by_jax = mlir.lower_fun(_through_jax, multiple_results=True)


def _lowered(context: Any, *operands: Any, host: Callable, kinds: tuple, batched: bool) -> Any:
    # JAX itself knows on which of several devices a callback runs.
    if getattr(context.module_context.axis_context, "num_devices", None) != 1:
        return _lowered_by_jax(context, *operands, host=host, kinds=kinds, batched=batched)
    results, _, _ = mlir.emit_python_callback(
        context,
        lambda *arrays: tuple(host(*arrays)),
        None,
        list(operands),
        context.avals_in,
        context.avals_out,
        has_side_effect=False,
    )
    return results


call_back_p = Primitive("call_back")
call_back_p.multiple_results = True
call_back_p.def_impl(_at_once)
call_back_p.def_abstract_eval(lambda *avals, kinds, **_: result_avals(kinds, avals))
batching.primitive_batchers[call_back_p] = _batch
mlir.register_lowering(call_back_p, _lowered_by_jax)
mlir.register_lowering(call_back_p, _lowered, platform="cpu")


def original_error(error: Exception) -> Exception | None:
    """The exception of a callback that this one of JAX's stands for."""
    text = str(error)
    for k, candidate in enumerate(_raised):
        if candidate is error:  # it came through as it was
            del _raised[k]
            return None
        if text.rstrip().endswith(f"{type(candidate).__name__}: {candidate}".rstrip()):
            del _raised[k]
            return candidate
    return None


@contextmanager
def original_errors() -> Iterator[None]:
    """Within, exceptions of callbacks are what they were when they were raised."""
    try:
        yield
    except Exception as error:
        original = original_error(error) if _raised else None
        if original is None:
            raise
        raise original from None
