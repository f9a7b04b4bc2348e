"""Arrays that frameworks bring: one row a framework; what it can be asked is answered in the framework's own package.

A value is recognised by its class, which is remembered: the question costs one look into a dict. Nothing is imported
for it; that there is a value of a framework's shows that the framework has been.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError
from ..frameworks import FRAMEWORKS, PACKAGES

__all__ = [
    "Natives",
    "framework_of",
    "graph_writers",
    "is_native",
    "is_of_framework",
    "loaded",
    "module_of_layers",
    "natives_named",
    "natives_of",
    "register_natives",
    "to_numpy",
    "tree_of",
    "unregister_natives",
]


class Natives:
    """What the library asks a framework about its own arrays. Subclass it, and say so with :func:`register_natives`.

    ``framework`` is the name in messages, ``module`` the module that is loaded where there are such arrays.
    """

    framework = ""
    module = ""
    by_class = True  # whether every instance of the classes is an array
    # What the framework says, in errors of any kind, where its arrays are taken for NumPy's; and what it calls them in
    # the text of an AttributeError.
    refusals: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def classes(self) -> tuple[type, ...]:
        """The classes of the framework's arrays, tracers included; asked once ``module`` is loaded."""
        raise NotImplementedError

    def is_array(self, value: Any) -> bool:
        """Whether an instance of the classes is an array, where its class does not tell (``by_class = False``)."""
        return True

    def is_numeric(self, value: Any) -> bool:
        """Whether value holds numbers, so that it can have a derivative."""
        name = str(value.dtype)
        return "float" in name or "int" in name or "complex" in name

    def is_tracer(self, value: Any) -> bool:
        """Whether the numbers of value are not there to look at."""
        return False

    def is_watched(self, value: Any) -> bool:
        """Whether the framework is differentiating with respect to value, tracer or not."""
        return self.is_tracer(value)

    def to_numpy(self, value: Any) -> Any:
        """A concrete array as a NumPy array; a tracer as it is."""
        return np.asarray(value)

    def numbers(self, value: Any) -> Any:
        """The numbers of value as a NumPy array, of a tracer too where it knows them."""
        return self.to_numpy(value)

    def dtype(self, value: Any) -> np.dtype | None:
        """The NumPy dtype of value, None for one that NumPy does not have."""
        return np.dtype(str(value.dtype))

    def like(self, array: Any, value: Any) -> Any:
        """A NumPy array as the framework's, where value is and in its precision (double, if value holds integers)."""
        raise NotImplementedError

    def project(self, grad: Any, leaf: Any) -> Any:
        """A gradient as one of leaf's shape, dtype and place; of an integer leaf one in double precision."""
        raise NotImplementedError

    def stack(self, columns: list) -> Any:
        """The framework's arrays as the columns of one."""
        raise NotImplementedError

    def is_writable(self, value: Any) -> bool:
        """Whether ``value[...] = other`` and ``value += other`` write into the memory of a concrete array."""
        return False

    def overwrite(self, value: Any, other: Any) -> Any:
        """Write other into the memory of a concrete array that ``is_writable``, outside of any derivative; gives it."""
        raise NotImplementedError

    def steps_of(self, optimiser: Any, leaves: list) -> Any:
        """``steps(leaves, gradients) -> new leaves`` of an optimiser of the framework's, None for anything else.

        A gradient may be None: the leaf in its place stays as it is, whatever is returned there.
        """
        return None

    optimisers = ""  # what steps_of takes, in words
    has_gradients = False  # whether an array has a place for its gradient, that put_gradient fills

    def put_gradient(self, value: Any, grad: Any, zero: bool) -> None:
        """Put a gradient (None for none) into the place that value has for it; without zero, add it."""
        raise NotImplementedError

    def joined(self, parts: list) -> Any:
        """The entries of the framework's arrays, row by row, as one vector of their common dtype."""
        raise NotImplementedError

    def of_shape(self, value: Any, like: Any) -> Any:
        """One of the framework's arrays in the dtype and place of another, real for real."""
        raise NotImplementedError

    def without_history(self, value: Any) -> Any:
        """The same numbers as a constant: no derivative of the framework's flows through."""
        return value

    def is_module(self, value: Any) -> bool:
        """Whether value is the framework's container of parameters (layers of a network), which is entered."""
        return False

    def children(self, value: Any) -> dict[str, Any]:
        """Parameters and parts of such a container, by name."""
        raise NotImplementedError

    def tree(self, value: Any) -> tuple[list[str], list, Any] | None:
        """``(names, children, definition)`` of an object that the framework takes apart itself, None for any other.

        ``definition.unflatten(children)`` is such an object around other children; two of them are equal where
        everything but the children is.
        """
        return None

    def other_names(self, value: Any) -> tuple[str, ...]:
        """Names of such a container's further fields, which stay as they are."""
        return ()

    def with_children(self, value: Any, new: Any, children: dict[str, Any]) -> None:
        """Make ``new``, a blank instance, the same container with other parameters and parts."""
        raise NotImplementedError

    def carry_out(self, invocation: Any, leaves: list) -> Any:
        """A user's primitive, called on arrays of the framework, by its rule."""
        raise NotImplementedError

    def carry_out_behind_face(self, invocation: Any, array: Any, leaves: tuple) -> Any:
        """The same on values behind the NumPy face, ``array`` the one of the highest level among them."""
        raise NotImplementedError

    def hooked(self, hook: Any, values: list) -> list:
        """The framework's own arrays, whose cotangents go through ``hook.pull`` on their way back."""
        raise hook.unseen(f"{self.framework} has no hooks")

    def hooked_behind_face(self, hook: Any, values: list) -> list:
        """The same for values behind the NumPy face."""
        raise hook.unseen(f"{self.framework} has no hooks")

    def checkpointed(self, call: Any, leaves: list) -> tuple[list, Any]:
        """``call(leaves)``, ``(results, structure)``, with intermediate values computed again for the reverse pass.

        leaves may be the framework's own arrays, or behind the NumPy face. Without more memory saved: the plain call.
        """
        return call(leaves)

    def face(self, value: Any) -> Any:
        """The value the built-in engine computes with: a NumPy array, or a tracer behind its NumPy face."""
        return self.to_numpy(value)


_REGISTERED: dict[str, Natives] = {}
_MET: dict[type, Natives | None] = {}
_MOST = 4096  # classes remembered; programs that make classes as they go are not to keep them all alive


def register_natives(natives: type[Natives]) -> None:
    """Make the arrays of a framework known: leaves of arguments, results and gradients of their own kind.

    Raises ADSelectTypeError for a class that does not say what its framework and module are. Cost: none.
    """
    row = natives()
    if not row.framework or not row.module:
        raise ADSelectTypeError(f"{natives.__name__} has to name its framework and the module that is loaded for it")
    _REGISTERED[row.framework] = row
    _MET.clear()


def unregister_natives(framework: str) -> None:
    """Forget what :func:`register_natives` made known. Raises KeyError for a framework that is not registered."""
    del _REGISTERED[framework]
    _MET.clear()


def natives_of(value: Any) -> Natives | None:
    """What is known of the framework whose own array value is, None for all other values."""
    try:
        found = _MET[type(value)]
    except KeyError:
        found = _find(type(value))
    return found if found is None or found.by_class or found.is_array(value) else None


def _find(kind: type) -> Natives | None:
    found, sure = None, True
    for natives in loaded():
        if natives.module in sys.modules:
            try:
                if issubclass(kind, natives.classes()):
                    found = natives
            except AttributeError:  # the framework is just being imported
                sure = False
    if len(_MET) > _MOST:
        _MET.clear()
    if sure:
        _MET[kind] = found
    return found


def loaded() -> list[Natives]:
    """What is known of each framework that is loaded."""
    for row in FRAMEWORKS:
        if row.name not in _REGISTERED and row.module in sys.modules:
            place, _, name = row.natives.partition(":")
            _REGISTERED[row.name] = getattr(importlib.import_module(place), name)()
    return list(_REGISTERED.values())


def natives_named(framework: str) -> Natives:
    """What is known of the framework of this name, in any case of letters. ADSelectTypeError for an unknown one."""
    for natives in loaded():
        if natives.framework == framework.lower():
            return natives
    raise ADSelectTypeError(
        f"nothing is known of {framework}'s arrays: say it in a subclass of adselect.values.natives.Natives, and "
        "register_natives it"
    )


def graph_writers() -> list[Any]:
    """What has ``call_while_writing(primitive, args, kwargs)``, for each framework that may be writing a graph down."""
    homes = [row.natives.partition(":")[0] for row in FRAMEWORKS if row.graphs and row.module in sys.modules]
    return [sys.modules.get(home) or importlib.import_module(home) for home in homes]


def module_of_layers(value: Any) -> Natives | None:
    """The framework of which value is a container of parameters, None for anything else."""
    return next((natives for natives in loaded() if natives.is_module(value)), None)


def tree_of(value: Any) -> tuple[list[str], list, Any] | None:
    """What a framework that takes value apart itself says of it, see :meth:`Natives.tree`."""
    for natives in loaded():
        found = natives.tree(value)
        if found is not None:
            return found
    return None


def is_of_framework(kind: type) -> bool:
    """Whether a class comes from a framework, as its arrays do and what it wraps NumPy's in."""
    package = kind.__module__.partition(".")[0]
    return package in PACKAGES or any([package == natives.module.partition(".")[0] for natives in _REGISTERED.values()])


def framework_of(value: Any) -> str:
    """``"jax"``, ``"torch"``, ``"autograd"`` … for their own arrays and tracers, else ``""``; imports no framework."""
    natives = natives_of(value)
    return "" if natives is None else natives.framework


def is_native(value: Any) -> bool:
    """Whether value is a framework's own array."""
    return natives_of(value) is not None


def to_numpy(value: Any) -> Any:
    """A concrete native array as a NumPy array; anything else as it is."""
    natives = natives_of(value)
    return value if natives is None else natives.to_numpy(value)
