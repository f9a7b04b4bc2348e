"""Containers of numbers from elsewhere, as arguments and results of f: one file per library.

Each gives the skeleton's node for a value: what its leaves are, what f receives in its place, and the gradient of the
same kind. A library is never imported for it; that there is a value of it shows that it has been.
"""

from __future__ import annotations

from typing import Any

from ..face.foreign import GUESTS, HOLDER, LABELLED, REFUSED, foreign_of
from .refused import refused_argument

__all__ = ["node_of"]


def node_of(value: Any, path: str, flattener: Any) -> Any:
    """The node of a foreign value or container at path, None for a value that is neither.

    Raises ADSelectTypeError for one that cannot be entered, with what to pass instead.
    """
    found = foreign_of(value)
    if found is None:
        from .containers import container_node

        return container_node(value, path, flattener)
    if found.name == "a SciPy sparse array":
        from .sparse_ import sparse_node

        return sparse_node(value, path, flattener)
    if found.way == LABELLED or hasattr(value, "plainly"):
        from .pandas_ import pandas_node

        return pandas_node(value, path, flattener)
    if found.way == HOLDER:
        from .xarray_ import xarray_node

        return xarray_node(value, path, flattener)
    if found.way == REFUSED:
        raise refused_argument(found, path, value)
    from .containers import sequence_node

    return sequence_node(value, path, flattener, found)


def _lifted(value: Any) -> Any:
    from .pandas_ import lifted

    return lifted(value)


def _product(other: Any, matrix: Any) -> Any:
    from .sparse_ import product

    return product(other, matrix)


GUESTS.update(node=node_of, lifted=_lifted, product=_product)
