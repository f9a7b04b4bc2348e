"""Which backends there are: every ADType subclass that has a backend, third-party ones included."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..errors import ADSelectError, ADSelectValueError
from .backend import Backend
from .choice import CLASSES, backend_of, version_of

__all__ = ["BackendInfo", "available_backends", "choices_from", "class_named", "classes", "rules_for"]


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
        has_backend = cls in CLASSES or bool(cls.backend)
        if has_backend and dataclasses.is_dataclass(cls) and not any(map(_needed, dataclasses.fields(cls))):
            yield cls()
        yield from _choices(cls)


def _needed(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.init and field.default is missing and field.default_factory is missing


def _describe(adtype: ADType) -> BackendInfo:
    from importlib.util import find_spec

    package = adtype.requires
    present = not package or find_spec(package) is not None
    if not present:
        version = None
    elif package:
        version = version_of(package)
    else:
        version = version_of(type(adtype).__module__.partition(".")[0])
    return BackendInfo(name_of(adtype), adtype, present, version, install_line(adtype))


def install_line(adtype: ADType) -> str:
    """What to type to install the package behind a choice; "" where it needs none.

    >>> from adselect import AutoJax
    >>> install_line(AutoJax())
    'pip install "adselect[jax]"'
    """
    if adtype.extra:
        return f'pip install "adselect[{adtype.extra}]"'
    return f"pip install {adtype.requires}" if adtype.requires else ""


def name_of(adtype: ADType | type) -> str:
    """The short name of a choice: ``AutoJax()`` is ``"jax"``.

    >>> from adselect import AutoFiniteDifferences
    >>> name_of(AutoFiniteDifferences())
    'finitedifferences'
    """
    cls = adtype if isinstance(adtype, type) else type(adtype)
    return cls.__name__.removeprefix("Auto").lower()


def classes(base: type = ADType) -> Iterator[type[ADType]]:
    """Every kind of choice, also those that need arguments.

    >>> next(classes()).__name__
    'AutoTape'
    """
    for cls in base.__subclasses__():
        if cls in CLASSES or cls.backend:
            yield cls
        yield from classes(cls)


def class_named(text: str) -> type[ADType] | None:
    """The class of choices that a text names in any spelling, None if it names none.

    ``"jax"``, ``"AutoJax"``, ``"auto-jax"``, ``"AutoJax(jit=False)"``, ``"adselect.AutoJax()"`` and what the class
    calls its ``aliases``: case, blanks, hyphens, underscores, a module in front and arguments behind do not count.

    >>> class_named("finite differences").__name__, class_named("fd").__name__, class_named("mode")
    ('AutoFiniteDifferences', 'AutoFiniteDifferences', None)
    """
    written = text.partition("(")[0].strip().lower()
    found: dict[str, type[ADType]] = {}
    for cls in classes():
        own = cls.__name__.lower()
        for name in (own, own.removeprefix("auto"), cls.requires, *cls.aliases):
            found.setdefault(name, cls)
    found.pop("", None)
    for whole in (written, written.rpartition(".")[2]):
        name = re.sub(r"[\W_]", "", whole)
        for candidate in (name, name.removeprefix("auto")):
            if candidate in found:
                return found[candidate]
    return None


def choices_from(texts: Iterable[str]) -> list[ADType]:
    """Choices from texts: what a command line's ``--adtypes`` and the pytest plugin's understand.

    A text holds one name or several with commas between them, in any spelling that :func:`class_named` knows, options
    in brackets behind it if wanted. Raises ADSelectValueError for a text that names no backend and for options that the
    choice does not have.

    >>> choices_from(["tape, jax", "auto_forward(chunk_size=3)", "fd"])
    [AutoTape(), AutoJax(), AutoForward(chunk_size=3), AutoFiniteDifferences()]
    """
    return [_choice(part) for text in texts for part in _parts(text)]


def _parts(text: str) -> Iterator[str]:
    """What stands between the commas outside of brackets."""
    depth, start = 0, 0
    for i, character in enumerate([*text, ","]):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and (depth <= 0 or i == len(text)):
            if part := text[start:i].strip():
                yield part
            start = i + 1


def _choice(text: str) -> ADType:
    cls = class_named(text)
    if cls is None:
        raise ADSelectValueError(
            f"no backend named {text!r}; known are {', '.join(dict.fromkeys(map(name_of, classes())))}"
        )
    _, bracket, options = text.partition("(")
    try:
        if not bracket:
            return cls()
        names = {"np": np, "numpy": np, "cls": cls, **{c.__name__: c for c in classes()}}
        return eval(f"cls({options}", names)  # Python written by whoever started the process
    except ADSelectError:
        raise
    except Exception as error:
        raise ADSelectValueError(
            f"{text!r} is not how {cls.__name__} is made: {type(error).__name__}: {error}"
        ) from error


def rules_for(f: Any) -> dict[str, str]:
    """Which rule each backend uses for f, in words, by the name of the adtype.

    Cost: the frameworks are loaded, as each backend is asked.

    >>> import numpy as np
    >>> rules_for(np.sin)["AutoTape"]
    "adselect's rule of sin"
    """
    found: dict[str, str] = {}
    for info in available_backends():
        name = type(info.adtype).__name__
        found[name] = info._backend().rule_for(f) if info.installed else f"none: {info.install}"
    return found
