"""JAX's own arrays and tracers, as the rest of the library asks about them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...values.natives import to_numpy
from ..framework_natives import FrameworkNatives

__all__ = ["JaxNatives", "placed"]


_TREES: dict[type, bool] = {}  # classes that were met, and whether JAX knows them as containers
_MOST = 4096


class JaxNatives(FrameworkNatives):
    """``jax.Array``, tracers among them."""

    framework = "jax"
    module = "jax"
    refusals = (
        *("__array__() was called on traced array", "JAX arrays are immutable", "Tracer.__format__"),
        *("problem arose with the `float` function", "problem arose with the `complex` function"),
        "'NotImplementedType'>' is not a valid JAX type",
    )
    words = ("Tracer", "'ArrayImpl' object")
    by_class = False  # some tracers stand for references and tokens

    def classes(self) -> tuple[type, ...]:
        import jax

        return jax.Array, jax.core.Tracer

    def is_array(self, value: Any) -> bool:
        import jax

        return isinstance(value, jax.Array)

    def is_tracer(self, value: Any) -> bool:
        import jax

        return isinstance(value, jax.core.Tracer)

    def dtype(self, value: Any) -> np.dtype | None:
        name = str(value.dtype)
        return None if "bfloat16" in name else np.dtype(name)

    def like(self, array: Any, value: Any) -> Any:
        import jax
        import jax.numpy as jnp

        with jax.enable_x64(True):
            array = np.asarray(array)
            dtype = value.dtype if jnp.issubdtype(value.dtype, jnp.inexact) else jnp.dtype(float)
            like = jnp.asarray(array).astype(
                jnp.result_type(dtype, jnp.complex64) if array.dtype.kind == "c" else dtype
            )
            return placed(like, value)

    def project(self, grad: Any, leaf: Any) -> Any:
        import jax
        import jax.numpy as jnp

        dtype = leaf.dtype if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.result_type(float)
        if isinstance(grad, jax.Array):
            grad = grad.real if jnp.iscomplexobj(grad) and not jnp.iscomplexobj(leaf) else grad
            return placed(jnp.broadcast_to(grad, leaf.shape).astype(dtype), leaf)
        with jax.enable_x64(True):  # a float64 array keeps its precision when it is put back
            return placed(jnp.broadcast_to(jnp.asarray(np.asarray(to_numpy(grad))), leaf.shape).astype(dtype), leaf)

    def stack(self, columns: list) -> Any:
        import jax.numpy as jnp

        return jnp.stack(columns, axis=1)

    def tree(self, value: Any) -> tuple[list[str], list, Any] | None:
        kind = type(value)
        if _TREES.get(kind) is False:
            return None
        import jax

        try:
            children, definition = jax.tree_util.tree_flatten_with_path(value, is_leaf=lambda v: v is not value)
        except AttributeError:  # JAX is just being imported
            return None
        if len(_TREES) > _MOST:
            _TREES.clear()
        _TREES[kind] = known = not (len(children) == 1 and not children[0][0])
        if not known:
            return None
        return [jax.tree_util.keystr(path) for path, _ in children], [child for _, child in children], definition

    optimisers = "a transformation of optax"

    def steps_of(self, optimiser: Any, leaves: list) -> Any:
        # A named tuple of two functions, of optax or of a library that follows it.
        if not isinstance(optimiser, tuple) or not callable(getattr(optimiser, "init", None)):
            return None
        if not callable(getattr(optimiser, "update", None)):
            return None
        from .steps import Steps

        return Steps(optimiser, leaves)

    def joined(self, parts: list) -> Any:
        import jax.numpy as jnp

        return jnp.concatenate([part.reshape(-1) for part in parts])

    def of_shape(self, value: Any, like: Any) -> Any:
        import jax.numpy as jnp

        value = value.real if jnp.iscomplexobj(value) and not jnp.iscomplexobj(like) else value
        return value.astype(like.dtype)

    def without_history(self, value: Any) -> Any:
        import jax

        return jax.lax.stop_gradient(value)

    def checkpointed(self, call: Any, leaves: list) -> tuple[list, Any]:
        from .checkpoints import checkpointed

        return checkpointed(call, leaves)

    def face(self, value: Any) -> Any:
        if not self.is_tracer(value):
            return np.asarray(value)
        from .face import JaxArray

        return JaxArray(value)


def placed(array: Any, like: Any) -> Any:
    """A JAX array with the sharding of another of its shape, if that was put somewhere on purpose.

    The derivative of a linear f is made of its shape alone, and JAX has no reason to split it.
    """
    import jax

    if isinstance(array, jax.core.Tracer) or isinstance(like, jax.core.Tracer) or not like.committed:
        return array
    if array.shape != like.shape or (array.committed and array.sharding == like.sharding):
        return array
    return jax.device_put(array, like.sharding)
