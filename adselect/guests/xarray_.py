"""xarray's objects can hold any array that speaks NumPy's protocols: f gets one with traced data, labels and all.

Coordinates are labels and are not differentiated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ADSelectTypeError
from ..structure.nodes import Container

__all__ = ["xarray_node"]


class _Labelled(Container):
    """A DataArray or a Variable: one leaf, its data."""

    __slots__ = ()

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = memo[id(self)] = self.value.copy(data=self.children[0].rebuild(leaves, memo))
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        grad = self.children[0].result(grads, memo)
        if grad is not None and tuple(np.shape(grad)) == self.value.shape:  # not a matrix of derivatives
            grad = self.value.copy(data=grad)
        memo[id(self)] = grad
        return grad

    def labels(self) -> Any:
        """What a program that was prepared for this array relies on."""
        return self.value.dims, getattr(self.value, "name", None), _coordinates(self.value)

    def parts(self, bar: Any) -> list | None:
        """The data of a seed: of the same kind, or an array."""
        if hasattr(bar, "dims"):
            if bar.dims != self.value.dims:
                return None
            bar = bar.data
        return [bar]


class _Dataset(Container):
    """A Dataset: a leaf for each variable of numbers."""

    __slots__ = ()

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        data = {k: c.rebuild(leaves, memo) for k, c in zip(self.keys, self.children, strict=True)}
        new = memo[id(self)] = self.value.copy(data=data)
        return new

    def _result(self, grads: list, memo: dict) -> Any:
        found = {k: c.result(grads, memo) for k, c in zip(self.keys, self.children, strict=True)}
        memo[id(self)] = self._of(found) if any([g is not None for g in found.values()]) else None
        return memo[id(self)]

    def _of(self, grads: dict) -> Any:
        value = self.value
        if any([g is not None and tuple(np.shape(g)) != value[k].shape for k, g in grads.items()]):
            return grads  # matrices of derivatives
        for k, child in zip(self.keys, self.children, strict=True):
            if grads[k] is None:  # no number, or nothing depends on it: 0 where other variables have a gradient
                grads[k] = np.zeros(value[k].shape) if child.numeric else np.full(value[k].shape, None, object)
        return value.copy(data=grads)

    def labels(self) -> Any:
        """What a program that was prepared for this Dataset relies on, variables that are no numbers included."""
        variables = zip(self.keys, self.children, strict=True)
        others = tuple([(k, repr(self.value[k].values.tolist())) for k, child in variables if not child.numeric])
        return tuple([(k, self.value[k].dims) for k in self.keys]), others, _coordinates(self.value)

    def parts(self, bar: Any) -> list | None:
        """The data of a seed by variable."""
        if not hasattr(bar, "keys") or set(bar.keys()) - set(self.keys):
            return None
        return [getattr(bar[k], "data", bar[k]) if k in bar else None for k in self.keys]


def _coordinates(value: Any) -> tuple:
    coordinates = getattr(value, "coords", {})
    return tuple([(k, coordinates[k].dims, repr(coordinates[k].values.tolist())) for k in coordinates])


def xarray_node(value: Any, path: str, flattener: Any) -> Any:
    """The node of an xarray object."""
    if hasattr(value, "data_vars"):
        names = list(value.data_vars)
        items = [(f"{path}[{k!r}]", value[k].data) for k in names]
        return flattener.fill(_Dataset(value), items, names)
    if not hasattr(value, "data"):
        raise ADSelectTypeError(f"{path} is a {type(value).__name__} of xarray's. Pass its variables one by one.")
    return flattener.fill(_Labelled(value), [(path, value.data)], ["data"])
