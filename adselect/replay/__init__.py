"""The speed: an operator is traced once and written down as a program, which later calls replay."""

from . import replayed_primitives as _replayed_primitives  # noqa: F401  (what a program does with users' primitives)
