"""Scalar programs compiled with numba: loops over Python floats, ODE steps, particles.

The source that replay writes for a program without arrays is plain arithmetic on floats; numba turns it into machine
code. Programs with arrays stay with NumPy, whose loops are compiled already.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import BackendNotInstalledError
from .replay import Replay

__all__ = ["compile_natively", "is_scalar_program"]


def is_scalar_program(replay: Replay, leaves: list) -> bool:
    """Whether the program is arithmetic on floats only: every input a float, no array result, no call of NumPy."""
    scope = replay.function.__globals__
    arrays = any(
        isinstance(v, (np.ndarray, np.ufunc)) or getattr(v, "__module__", "") == "numpy" for v in scope.values()
    )
    return not arrays and not replay.shapes and all(type(leaf) is float for leaf in leaves)


def compile_natively(replay: Replay, arguments: list[str]) -> Callable[[list], tuple]:
    """The program as machine code: takes the flat inputs, returns the flat outputs.

    Raises BackendNotInstalledError with the line to type when numba is missing. Compiles on first use: about a second
    for a thousand operations.
    """
    if importlib.util.find_spec("numba") is None:
        raise BackendNotInstalledError(
            "AutoTape(native=True) needs the package numba, which is not installed. Type: "
            'pip install "adselect[numba]", or use AutoTape() for the replay without it.'
        )
    import numba

    lines = [line.partition("  # ")[0] for line in replay.source.splitlines()[1:]]
    body = [line for line in lines if not line.endswith(("= inputs", "= buffers"))]
    scope: dict[str, Any] = dict(replay.function.__globals__)
    source = "\n".join([f"def native({', '.join(arguments)}):", *body])
    exec(compile(source, "<adselect native>", "exec"), scope)
    compiled: Any = numba.njit(scope["native"], error_model="python")
    return lambda inputs: compiled(*inputs)
