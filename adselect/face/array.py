"""Array: a value that speaks NumPy's protocols and hands every operation to an engine.

``Array`` knows nothing about derivatives. A subclass (an *engine*) implements ``_apply`` for any NumPy function; the
built-in tape records, the framework faces translate to ``jnp``, ``torch`` or ``autograd.numpy``. Python operators,
NumPy's functions, ufuncs, methods and attributes all arrive there. Writing in place (``y[i] = …``, ``y += …``) is
functional underneath with NumPy's semantics on top: a view writes through to its base, which refreshes its views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .attributes import Attributes
from .creating import CREATORS, created
from .functions import function_call
from .likeness import OF_MEMORY, OF_NUMBERS, refused_attribute
from .meeting import Meeting
from .methods import Methods
from .numbers import Numbers
from .operators import install
from .ufuncs import ufunc_call
from .writing import Writing

__all__ = ["Array"]


class Array(Methods, Writing, Attributes, Numbers, Meeting):
    """A traced value. Behaves like the ``numpy.ndarray`` (or scalar) it stands for."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ufunc_call(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in CREATORS:  # called with like=self
            return created(self, function, args, kwargs)
        if function is np.shape and args and args[0] is self:  # which rules ask for all the time
            return self.shape
        return function_call(function, args, kwargs)

    if not TYPE_CHECKING:  # a method to type checkers, as in NumPy's stubs
        __array__ = property(Meeting._conversion)


for _name in (*OF_MEMORY, *OF_NUMBERS):
    setattr(Array, _name, refused_attribute(_name))


install(Array)
