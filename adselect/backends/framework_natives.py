"""What the built-in frameworks answer alike about their arrays: calls, hooks and checkpoints are files of their own."""

from __future__ import annotations

import importlib
from typing import Any

from ..values.natives import Natives

__all__ = ["FrameworkNatives"]


class FrameworkNatives(Natives):
    """The framework of the package that a subclass stands in; nothing of it is imported before it is asked for."""

    def _own(self, file: str) -> Any:
        return importlib.import_module(f"{type(self).__module__.rpartition('.')[0]}.{file}")

    def carry_out(self, invocation: Any, leaves: list) -> Any:
        return self._own("rules").apply_native(invocation, leaves)

    def carry_out_behind_face(self, invocation: Any, array: Any, leaves: tuple) -> Any:
        return self._own("rules").apply(invocation, array, leaves)

    def hooked(self, hook: Any, values: list) -> list:
        return self._own("hooks").hooked(hook, values)

    def hooked_behind_face(self, hook: Any, values: list) -> list:
        return self._own("hooks").hooked_behind_face(hook, values)
