"""Other code that meets a traced value and would make plain numbers of it: refused, or answered."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import TracedValueError, user_line
from .dispatch import plain
from .foreign import is_pandas, refused_class, refused_foreign
from .indices import looked_at
from .integers import check_index, is_index
from .object_arrays import carried, is_joining
from .refusals import refused_array, refused_length
from .traced import Traced

# The windows, which are not told of arrays of other libraries: NumPy joins their arguments in an array.
_WINDOWS = frozenset(
    [inspect.unwrap(f).__code__ for f in (np.bartlett, np.blackman, np.hamming, np.hanning, np.kaiser)]
)


class Meeting(Traced):
    """What other code is told that meets a traced value and would turn it into plain numbers."""

    __slots__ = ()

    def _conversion(self) -> Callable:
        # NumPy asks the instance: a scalar without __array__ becomes an element of an object array, which goes on
        # working; an array must not be converted silently, so the hook exists and raises.
        known = self._known()
        if known is not NotImplemented:
            return lambda dtype=None, copy=None: np.array(known, dtype=dtype)
        if (integers := self._integers()) is not None and is_index(self, sys._getframe(1)):
            return lambda dtype=None, copy=None: np.array(looked_at(integers), dtype=dtype)  # plain[x]
        if self.ndim == 0:
            if (known := self._in_window(sys._getframe(1))) is not None:
                return lambda dtype=None, copy=None: np.array(known, dtype=dtype)
            raise AttributeError("__array__")
        return self._refuse_conversion

    def _in_window(self, frame: Any) -> Any:
        """The plain number that one of NumPy's windows reads in place of this, for its length above all; else None."""
        if frame.f_code not in _WINDOWS:
            return None
        length = frame.f_locals["M"]
        if length is self and (self._integers() is not None or self.dtype.kind in "iub"):
            return int(self)
        if isinstance(length, Traced):  # beside a traced parameter, the length would be followed as well
            raise refused_length(frame.f_code.co_name)
        return 1.0 if length == 1 else None  # a parameter that a window of one point does not depend on

    @property
    def __pandas_priority__(self) -> int:
        # The operators of pandas leave their work to ours; but where they write in place, they do not ask whether they
        # have a result.
        frame = sys._getframe(1)
        guest = frame.f_locals.get("self")
        if hasattr(guest, "plainly"):
            return 0  # it holds traced numbers itself
        if frame.f_back is not None and frame.f_back.f_code.co_name == "_inplace_method":
            raise refused_foreign(guest)
        return 10000

    @property
    def _data(self) -> Any:
        # np.ma asks every operand for this, and would compute with objects where a number has none.
        if sys._getframe(1).f_globals.get("__name__") == "numpy.ma.core":
            raise refused_class(np.ma.MaskedArray)  # type: ignore[misc]
        raise AttributeError(f"'{self.__class__.__name__}' object has no attribute '_data'")

    def _refuse_conversion(self, dtype: Any = None, copy: Any = None) -> Any:
        if is_joining(sys._getframe(1)):
            return carried(self, dtype)
        if is_pandas(sys._getframe(1)):
            raise refused_array(self.shape)
        if self.dtype.kind in "fc":
            check_index(self, sys._getframe(1))
        if dtype is not None and np.dtype(dtype) == object:  # asked for one object per entry, as np.vectorize does
            entries = np.empty(self.shape, object)
            for index in np.ndindex(self.shape):
                entries[index] = self[index]
            return entries
        raise refused_array(self.shape)

    def __array_namespace__(self, *, api_version: Any = None) -> Any:
        """The array-API standard's functions for this array; ValueError for a version that NumPy does not have."""
        from .namespace import Namespace

        np.empty(0).__array_namespace__(api_version=api_version)
        return Namespace(self)

    def __dlpack__(self, **options: Any) -> Any:
        """The memory behind the array, for other libraries: refused while a derivative is being computed."""
        if self._closed:
            return np.asarray(plain(self)).__dlpack__(**options)
        raise TracedValueError(
            f"__dlpack__ of a traced array of shape {self.shape} was called at {user_line()} (from_dlpack); the other "
            "library's array would be cut off from the derivative. Compute with the array as it is, or choose the "
            "backend of that library."
        )

    def __dlpack_device__(self) -> tuple:
        """Where the memory is."""
        return np.empty(0).__dlpack_device__()
