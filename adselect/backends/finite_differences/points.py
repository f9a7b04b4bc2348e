"""Where finite differences evaluate f: its arguments as numbers to move, and lines through the point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from ...errors import ADSelectTypeError
from ...face.array import Array
from ...values.kinds import isa
from ...values.natives import natives_of

__all__ = ["Leaf", "Line", "PerturbedInt", "coordinates", "direction", "numbers"]

FIRST_STEP = np.sqrt(2) / 6  # of the scale of x; irrational, so that no period of f can be a multiple of all steps
RATIO = 4.0


class PerturbedInt(float):
    """An integer argument moved off its value: a float in arithmetic, the original integer as an index or a size."""

    __slots__ = ("original",)

    original: int

    def __new__(cls, value: Any, original: int) -> Self:
        self = super().__new__(cls, value)
        self.original = original
        return self

    def __reduce__(self) -> tuple:
        return PerturbedInt, (float(self), self.original)

    def __index__(self) -> int:
        return self.original

    __int__ = __index__
    __trunc__ = __index__


class Leaf:
    """One argument: its numbers as an array to perturb, and how such an array is turned back into what f expects."""

    __slots__ = ("base", "frozen", "original")

    def __init__(self, original: Any):
        self.original = original.copy("K") if isa(original, np.ndarray) else original
        self.frozen = False  # handed to f as it is, in every call
        values = numbers(float(original) if is_fraction(original) else original)
        if values is None:
            raise ADSelectTypeError(f"finite differences cannot perturb a {type(original).__name__}")
        if self._is_native():
            self.base = values if values.dtype.kind in "fc" else values.astype(float)
        else:  # float32 is perturbed in double precision: its own leaves no digits for a difference
            self.base = values.astype(np.result_type(values, np.float64))

    def _is_native(self) -> bool:
        return not isa(self.original, (np.ndarray, np.generic, int, float, complex)) and not is_fraction(self.original)

    @property
    def narrow(self) -> bool:
        """Whether f sees more digits than the argument has."""
        dtype = getattr(self.original, "dtype", None)
        return not self._is_native() and dtype is not None and dtype.kind in "fc" and dtype != self.base.dtype

    def keep_precision(self) -> None:
        """Perturb in the argument's own precision (f does not take the wider one)."""
        self.base = self.base.astype(self.original.dtype)

    def unperturbed(self) -> Any:
        if self.narrow and self.base.ndim:
            return self.original.copy("K")
        return self.original if self.narrow else self.build(self.base)

    def plain(self) -> Any:
        """What a plain call hands to f; integer arrays count as their float64 values."""
        if isa(self.original, (int, float, complex, np.generic)) or is_fraction(self.original):
            return self.original
        return self.unperturbed()

    def build(self, values: np.ndarray) -> Any:
        """What f receives for these numbers: the argument's own kind."""
        original = self.original
        if self.frozen:
            return original.copy("K") if isa(original, np.ndarray) else original
        if isa(original, np.ndarray):
            return values.copy("K")
        if values.dtype.kind != "c" and isa(original, (int, np.integer)):
            return PerturbedInt(values[()], int(original))
        if isa(original, np.generic):
            return values[()]
        if isa(original, (int, float, complex)) or is_fraction(original):
            return values[()]  # a NumPy scalar: 1/x and x**0.5 mean what they mean in NumPy, and math.* takes it
        natives = natives_of(original)
        if natives is not None:
            return natives.like(values, original)
        if hasattr(original, "__array_namespace__"):
            return original.__array_namespace__().asarray(values)
        return values.copy()

    def cotangent(self, flat: Any) -> Any:
        """Flat derivatives as a cotangent of this leaf."""
        shape = self.base.shape
        if isinstance(flat, Array):
            return np.reshape(flat, shape) if shape else flat[0]
        dtype = getattr(self.original, "dtype", None)
        if isinstance(dtype, np.dtype) and dtype.kind in "fc":
            flat = flat.astype(dtype)
        return flat.reshape(shape) if shape else flat[0]


def is_fraction(value: Any) -> bool:
    return hasattr(value, "numerator") and hasattr(value, "limit_denominator")


def numbers(value: Any) -> np.ndarray | None:
    """The numbers in a value as an array, None if it holds none."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().resolve_conj().numpy()
    try:
        array = np.asarray(value)
    except Exception:
        return None
    return array if array.dtype.kind in "fciub" else None


class Line:
    """The points x + t·v: along one coordinate, or along one direction through all leaves."""

    __slots__ = ("moves", "reference", "scale", "unit")

    def __init__(self, leaves: list[Leaf], moves: list[tuple[int, Any, Any]]):
        """moves: (number of the leaf, flat index, or ``...`` for all of it, velocity)."""
        self.moves = moves
        size = speed = 0.0
        for k, i, velocity in moves:
            x = leaves[k].base.reshape(-1)[i]
            part = np.imag(x) if np.iscomplexobj(velocity) and i is not ... else np.real(x) if i is not ... else x
            size = max(size, float(np.max(np.abs(part), initial=0.0)))
            speed = max(speed, float(np.max(np.abs(velocity), initial=0.0)))
        self.reference = leaves[moves[0][0]].base.real.dtype.type(size / speed if speed else 0.0)
        if not np.isfinite(self.reference):
            self.reference = type(self.reference)(0)
        self.scale = float(self.reference)
        largest = max(float(np.max(np.abs(leaves[k].base), initial=0.0)) for k, _, _ in moves)
        self.unit = largest if 0.0 < largest < 1.0 else 1.0
        if self.scale == 0.0:  # nothing to go by but the neighbours
            self.scale = self.unit

    def step(self, h: float) -> float:
        """The step nearest to h that x + h and x − h realise exactly; 0 if x is too coarse for it."""
        kind = type(self.reference)
        return float((self.reference + kind(h)) - self.reference)

    def steps(self, levels: Iterable[int]) -> dict[int, float]:
        """The steps of these levels of a ladder that x can realise."""
        found = {}
        for level in levels:
            h = self.step(self.scale * FIRST_STEP * RATIO**-level)
            if h > 0.0 and np.isfinite(h):
                found[level] = h
        return found

    def plus(self, other: Line, a: float, b: float) -> Line:
        """The line x + t·(a·v + b·w), with v and w those of the two lines; it is given its steps and chooses none."""
        line = object.__new__(Line)
        line.moves = [(k, i, a * v) for k, i, v in self.moves] + [(k, i, b * w) for k, i, w in other.moves]
        line.reference, line.scale, line.unit = type(self.reference)(0), 1.0, 1.0
        return line

    def moved_by(self, leaves: list[Leaf], t: complex, paths: Sequence[str]) -> str:
        """What distinguishes x + t·v from x, in words; paths: what the leaves are called."""
        said = []
        for k, i, velocity in self.moves:
            name = paths[k] if k < len(paths) else f"args[{k}]"
            if i is ...:
                said.append(f"{name} was moved along the direction by {t:.3g} times it")
                continue
            entry = ", ".join(str(int(n)) for n in np.unravel_index(i, leaves[k].base.shape))
            said.append(f"{name}{f'[{entry}]' if entry else ''} was moved by {t * velocity:.3g}")
        return " and ".join(said)

    def point(self, leaves: list[Leaf], t: complex) -> list:
        """What f receives at x + t·v."""
        values = [leaf.base for leaf in leaves]
        for k, i, velocity in self.moves:
            amount = t * velocity
            if np.iscomplexobj(amount) and values[k].dtype.kind != "c":
                moved = values[k].astype(complex)
            else:
                moved = values[k].copy("K") if values[k] is leaves[k].base else values[k]
            if i is ...:
                moved[...] = moved + np.reshape(amount, moved.shape)
            else:  # counted row by row, whatever the memory order
                moved.flat[i] = moved.flat[i] + amount
            values[k] = moved
        return [leaf.build(v) for leaf, v in zip(leaves, values, strict=True)]


def coordinates(leaves: list[Leaf], k: int) -> Iterator[Line]:
    """The lines along the coordinates of leaf k: real ones first, then imaginary ones."""
    leaf = leaves[k]
    if leaf.frozen:
        return
    for unit in (1.0, 1j) if leaf.base.dtype.kind == "c" else (1.0,):
        for i in range(leaf.base.size):
            yield Line(leaves, [(k, i, unit)])


def direction(leaves: list[Leaf], tangents: list) -> Line | None:
    """The line along the tangents; a unit direction is the line along its coordinate."""
    moves: list[tuple[int, Any, Any]] = []
    for k, x_dot in enumerate(tangents):
        velocity = None if x_dot is None or leaves[k].frozen else numbers(x_dot)
        if velocity is not None and np.any(velocity):
            moves.append((k, ..., np.broadcast_to(velocity, leaves[k].base.shape)))
    if not moves:
        return None
    if len(moves) == 1:
        k, _, velocity = moves[0]
        places = np.flatnonzero(velocity)
        if places.size == 1 and (np.isrealobj(velocity) or not np.real(velocity).any()):
            i = int(places[0])
            return Line(leaves, [(k, i, velocity.reshape(-1)[i].item())])
    return Line(leaves, moves)
