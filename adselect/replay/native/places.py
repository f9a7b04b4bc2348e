"""Where the entries of an array lie in memory."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where the entries of an array lie: ``base[offset + Σ index · stride]``."""

    base: str
    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]

    def at(self, names: list[str]) -> str:
        """The entry at an index, given by the names of the loop variables (aligned at the last axis)."""
        used = names[len(names) - len(self.strides) :]
        terms = [
            name if stride == 1 else f"{stride} * {name}"
            for name, stride, n in zip(used, self.strides, self.shape, strict=True)
            if stride and n != 1
        ]
        return f"{self.base}[{' + '.join(([str(self.offset)] if self.offset or not terms else []) + terms)}]"

    @property
    def contiguous(self) -> bool:
        """Whether the entries follow each other in order."""
        return all(s == t or n == 1 for s, t, n in zip(self.strides, steps_of(self.shape), self.shape, strict=True))


def steps_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps, step = [], 1
    for n in reversed(shape):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))
