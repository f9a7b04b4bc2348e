"""What NumPy refuses and a rule or a framework would take: looked at before a call is handed on.

A row says what makes NumPy raise; where that is more than a line, NumPy is asked with ones in the place of the data.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .kinds import isa

__all__ = ["VERDICTS"]


def _real(a: Any, *args: Any, **options: Any) -> None:
    if np.iscomplexobj(a):
        raise TypeError("a must be an array of real numbers")


def _several(arrays: Any, **options: Any) -> None:
    if len(arrays) < 2:
        raise ValueError("Expecting at least two arrays.")


def _splits(a: Any, ind: int = 2) -> None:
    if ind <= 0:
        raise ValueError("Invalid ind argument.")


def _square(a: Any, n: int) -> None:
    shape = np.shape(a)
    if len(shape) < 2:
        raise np.linalg.LinAlgError(f"{len(shape)}-dimensional array given. Array must be at least two-dimensional")
    if shape[-1] != shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")


def _weights(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    **options: Any,
) -> None:
    if ddof is None and fweights is None and aweights is None:
        return
    # Of weights that are traced the shape is judged.
    weights = [
        w if w is None or isa(w, (np.ndarray, list, tuple)) else np.ones(np.shape(w)) for w in (fweights, aweights)
    ]
    data = [None if v is None else np.ones(np.shape(v)) for v in (m, y)]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.cov(*data, rowvar=rowvar, ddof=ddof, fweights=weights[0], aweights=weights[1])


VERDICTS: dict[Any, Callable] = {
    np.quantile: _real,
    np.percentile: _real,
    np.nanquantile: _real,
    np.nanpercentile: _real,
    np.linalg.multi_dot: _several,
    np.linalg.tensorinv: _splits,
    np.linalg.matrix_power: _square,
    np.cov: _weights,
}
