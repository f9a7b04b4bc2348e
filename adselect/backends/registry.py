"""Which backends there are: every ADType subclass that has a backend, third-party ones included."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterator
from typing import Any

from ..adtypes import ADType
from .base import _CLASSES, Backend, backend_of

__all__ = ["BackendInfo", "available_backends"]


@dataclasses.dataclass(frozen=True)
class BackendInfo:
    """What is known about one backend.

    name: short name of the choice; adtype: the choice with its defaults; installed: whether its package can be
    imported; version: of that package, None if unknown; install: the line to type when it is missing. The capabilities
    ``reverse``, ``forward`` and ``detects_independence`` load the backend, and with it its framework, when asked for.

    >>> from adselect import available_backends
    >>> available_backends()[0].name
    'tape'
    """

    name: str
    adtype: ADType
    installed: bool
    version: str | None
    install: str

    def _backend(self) -> Backend:
        return backend_of(self.adtype)

    @property
    def reverse(self) -> bool:
        """Whether the backend has reverse mode of its own."""
        return self._backend().reverse

    @property
    def forward(self) -> bool:
        """Whether the backend has forward mode of its own."""
        return self._backend().forward

    @property
    def detects_independence(self) -> bool:
        """Whether the backend can tell "does not depend on" (None) from "has slope zero" (0)."""
        return self._backend().detects_independence

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data; capabilities are None where the package is missing."""
        capabilities = ("reverse", "forward", "detects_independence")
        return {
            "name": self.name,
            "adtype": repr(self.adtype),
            "installed": self.installed,
            "version": self.version,
            **{c: getattr(self, c) if self.installed else None for c in capabilities},
            "install": self.install,
        }


def available_backends() -> list[BackendInfo]:
    """Every backend known to this process: adselect's own and those of third-party packages imported so far.

    Derived from the subclasses of ADType that name or registered a backend and need no arguments. Imports no framework.

    >>> [b.name for b in available_backends() if not b.adtype.requires]
    ['tape', 'forward']
    """
    return [_describe(adtype) for adtype in _choices(ADType)]


def _choices(base: type) -> Iterator[Any]:
    """Subclasses, depth first in order of definition, that can be made without arguments and have a backend."""
    for cls in base.__subclasses__():
        has_backend = cls in _CLASSES or bool(cls.backend)
        if has_backend and dataclasses.is_dataclass(cls) and not any(map(_needed, dataclasses.fields(cls))):
            yield cls()
        yield from _choices(cls)


def _needed(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.init and field.default is missing and field.default_factory is missing


def _describe(adtype: ADType) -> BackendInfo:
    package = adtype.requires
    present = not package or importlib.util.find_spec(package) is not None
    if not present:
        version = None
    elif package:
        version = _version(package)
    else:
        version = _version(type(adtype).__module__.partition(".")[0])
    install = f'pip install "adselect[{adtype.extra}]"' if adtype.extra else f"pip install {package}" if package else ""
    return BackendInfo(name_of(adtype), adtype, present, version, install)


def name_of(adtype: ADType | type) -> str:
    """The short name of a choice: ``AutoJax()`` is ``"jax"``.

    >>> from adselect import AutoFiniteDifferences
    >>> name_of(AutoFiniteDifferences())
    'finitedifferences'
    """
    cls = adtype if isinstance(adtype, type) else type(adtype)
    return cls.__name__.removeprefix("Auto").lower()


def _version(package: str) -> str | None:
    """The version of an importable package; the distribution may have another name."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(package)
        return metadata.version(names[0]) if names else None
