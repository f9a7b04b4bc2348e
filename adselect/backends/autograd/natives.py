"""HIPS autograd's boxes, as the rest of the library asks about them: it has no arrays of its own but NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..framework_natives import FrameworkNatives

__all__ = ["AutogradNatives"]


class AutogradNatives(FrameworkNatives):
    """The boxes around arrays and numbers that autograd traces."""

    framework = "autograd"
    module = "autograd.tracer"
    by_class = False  # there are boxes around lists and dicts, too

    def classes(self) -> tuple[type, ...]:
        from autograd.tracer import Box

        return (Box,)

    def is_array(self, value: Any) -> bool:
        return hasattr(value, "dtype")

    def is_tracer(self, value: Any) -> bool:
        return True

    def to_numpy(self, value: Any) -> Any:
        return value

    def numbers(self, value: Any) -> Any:
        while hasattr(value, "_value"):
            value = value._value
        return np.asarray(value)

    def like(self, array: Any, value: Any) -> Any:
        return array

    def project(self, grad: Any, leaf: Any) -> Any:
        return grad

    def stack(self, columns: list) -> Any:
        import autograd.numpy as anp

        return anp.stack(columns, axis=1)  # type: ignore[attr-defined]

    def joined(self, parts: list) -> Any:
        import autograd.numpy as anp

        return anp.concatenate([anp.reshape(part, (-1,)) for part in parts])  # type: ignore[attr-defined]

    def of_shape(self, value: Any, like: Any) -> Any:
        return value

    def without_history(self, value: Any) -> Any:
        from autograd.tracer import getval

        return getval(value)

    def face(self, value: Any) -> Any:
        from .face import AutogradArray

        return AutogradArray(value)
