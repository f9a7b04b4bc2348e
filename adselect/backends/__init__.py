"""One package per backend, all alike; what a backend is (``backend``), how a choice finds its own (``choice``).

>>> from adselect.backends import Backend, register_backend
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend import Backend
    from .choice import register_backend, unregister_backend

__all__ = ["Backend", "register_backend", "unregister_backend"]

_HOME_OF = {"Backend": "backend", "register_backend": "choice", "unregister_backend": "choice"}


def __getattr__(name: str) -> object:
    import importlib

    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
