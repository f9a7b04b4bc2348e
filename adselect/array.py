"""The traced array as other people's tools need it: ``Array``, to recognise one, and ``plain``, the value behind it.

>>> import numpy as np, adselect as ad
>>> from adselect.array import Array, plain
>>> seen = []
>>> def f(x):
...     seen.append((type(x).__name__, issubclass(type(x), Array), plain(x)))
...     return np.sum(x)
>>> _ = ad.gradient(f, np.array([1.0, 2.0]))
>>> seen
[('TapeArray', True, array([1., 2.]))]
"""

from __future__ import annotations

from .face.array import Array
from .face.dispatch import plain

__all__ = ["Array", "plain"]
