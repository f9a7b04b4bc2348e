"""From a choice to its backend: loaded on first use, registered by third parties."""

from __future__ import annotations

import importlib

from ..adtypes import ADType
from ..errors import ADSelectTypeError, BackendNotInstalledError
from ..frameworks import FRAMEWORKS
from ..primitives.own_rules import check_own_rules
from .backend import Backend

__all__ = ["backend_of", "installed", "register_backend", "unregister_backend"]


CLASSES: dict[type, type[Backend]] = {}


def register_backend(adtype: type[ADType], backend: type[Backend]) -> None:
    """Say which Backend class implements an adtype class: how a third-party package plugs in its own.

    >>> from adselect.backends.tape.backend import TapeBackend
    >>> from adselect import AutoTape
    >>> register_backend(AutoTape, TapeBackend)

    An instance that has been used already keeps the backend it was used with. Raises ADSelectTypeError for a class
    that defines neither ``pullback`` nor ``pushforwards``: each has its default in terms of the other.
    """
    if backend.pullback is Backend.pullback and backend.pushforwards is Backend.pushforwards:
        raise ADSelectTypeError(
            f"{backend.__name__} defines neither pullback nor pushforwards; write one of them, the other is derived"
        )
    CLASSES[adtype] = backend


def unregister_backend(adtype: type[ADType]) -> None:
    """Forget what :func:`register_backend` said about an adtype class. Raises KeyError where it said nothing."""
    del CLASSES[adtype]


def installed(adtype: type[ADType] | ADType) -> bool:
    """Whether the package behind an adtype can be imported; imports nothing."""
    from importlib.util import find_spec

    return not adtype.requires or find_spec(adtype.requires) is not None


def backend_of(adtype: ADType) -> Backend:
    """The backend that implements a choice; loads its framework on first use.

    Raises BackendNotInstalledError with the line to type when the package is missing.
    """
    try:
        return adtype.__dict__["_backend"]  # remembered on the choice: hashing a dataclass costs a microsecond
    except KeyError:
        backend = adtype.__dict__["_backend"] = _load(adtype)
        return backend


def _load(adtype: ADType) -> Backend:
    cls = CLASSES.get(type(adtype))
    if cls is None:
        if not adtype.backend:
            raise ADSelectTypeError(
                f"{type(adtype).__name__} names no backend: set its class attribute backend = 'module:Class' or call "
                "adselect.backends.choice.register_backend"
            )
        if not installed(adtype):
            raise BackendNotInstalledError(
                f"{adtype!r} needs the package {adtype.requires!r}, which is not installed. "
                f'Type: pip install "adselect[{adtype.extra}]"'
            )
        cls = CLASSES[type(adtype)] = _imported(adtype)
    check_own_rules(adtype)
    return cls(adtype)


def _imported(adtype: ADType) -> type[Backend]:
    module, _, name = adtype.backend.partition(":")
    row = next((row for row in FRAMEWORKS if adtype.requires in row.packages), None)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        if row is None:
            raise
        # Our package for a framework uses parts of it that have no public name, and may meet a version without them.
        raise BackendNotInstalledError(
            f"{adtype!r} cannot work with {row.name} {version_of(row.packages[0])}, which is installed "
            f"({type(error).__name__}: {error}). Known to work: {row.name} {row.known}. Type: pip install "
            f'"{row.packages[0]}=={row.known.rpartition(" ")[2]}"'
        ) from error


def version_of(package: str) -> str | None:
    """The version of an importable package; the distribution may have another name."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(package)
        return metadata.version(names[0]) if names else None
