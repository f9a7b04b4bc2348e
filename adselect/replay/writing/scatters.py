"""Scatters as assignments and additions in place: what falls where nothing is yet is assigned."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...rules.indexing import scatter_parts
from ..indices import is_basic
from ..instructions import Instruction, Ref, uses_of
from .page import Page, writes

__all__ = ["write_onto"]


@writes(scatter_parts)
def _scatter(page: Page, i: Instruction) -> bool:
    """Parts added into zeros."""
    if not i.shape:
        return page.line(i, " + ".join(page.value(part) for part in i.args))
    v = page.fresh(i)
    covered, zero = np.zeros(i.shape, bool), np.zeros(i.shape, bool)
    steps = _steps(page, i, covered, zero)
    if all(map(is_basic, i.kwargs["indices"])):
        page.lines.extend(_zeros(v, covered & ~zero))
    else:
        page.lines.append(f"{v}.fill(0.0)")
    _write_steps(page, v, steps)
    return True


def write_onto(page: Page, i: Instruction, dense: Any, source: Instruction) -> None:
    """Parts added onto an array, in its own memory where it dies here."""
    plan, buffers, v = page.plan, page.buffers, f"v{i.number}"
    owner = dense.number if type(dense) is Ref else None
    if (
        owner is not None
        and plan.root.get(owner) == owner
        and owner in buffers.holds
        and plan.last[owner] == page.position
        and plan.dies(i.number)
        and not any(plan.root.get(m) == owner for m in uses_of(source))
    ):
        page.line(i, buffers.hand_on(owner, i.number))
    else:
        page.fresh(i)
        page.lines.append(f"{v}[...] = {page.value(dense)}")
    covered, zero = np.ones(i.shape, bool), np.zeros(i.shape, bool)
    _write_steps(page, v, _steps(page, source, covered, zero))


def _steps(page: Page, source: Instruction, covered: np.ndarray, zero: np.ndarray) -> list[tuple]:
    """(index, how, parts) in order: what falls where nothing is yet is assigned, two parts of one index at once.

    covered: where something is; zero is set where a part is added to what no earlier part has written.
    """
    steps: list[tuple[str, str, list[str]]] = []
    for part, index in zip(source.args, source.kwargs["indices"], strict=True):
        where, value = page.index(index), page.value(part)
        if not is_basic(index):
            mask = type(index) is np.ndarray and index.dtype == bool
            steps.append((where, "one by one", [value]) if mask else (page.value(index), "at", [value]))
            covered[...] = True  # the array is filled with zeros first
            continue
        whole = page.plan.shape(part) == covered[index].shape
        bare = ~covered[index]
        covered[index] = True
        if bare.all() and bare.size:
            steps.append((where, "assign", [value]))
            continue
        zero[index] |= bare
        if not whole or not covered[index].ndim:
            steps.append((where, "one by one", [value]))
        else:
            first = [s for s in steps if s[0] == where and s[1] == "assign" and len(s[2]) == 1]
            if first and steps.index(first[0]) == len(steps) - 1:
                first[0][2].append(value)
            else:
                steps.append((where, "add", [value]))
    return steps


def _write_steps(page: Page, v: str, steps: list[tuple]) -> None:
    views: dict[str, str] = {}
    page.use("add", np.add)
    for k, (where, how, values) in enumerate(steps):
        text = f"{v}[{where}]"
        if how == "at":
            page.use("add_at", np.add.at)
            page.lines.append(f"add_at({v}, {where}, {values[0]})")
            continue
        if how == "one by one":
            page.lines.append(f"{text} += {values[0]}")
            continue
        if where in views or sum(w == where for w, _, _ in steps[k:]) > 1 or len(values) > 1:
            if where not in views:
                views[where] = f"{v}_{len(views)}"
                page.lines.append(f"{views[where]} = {text}")
            text = views[where]
        if how == "assign" and len(values) == 1:
            page.lines.append(f"{v}[{where}] = {values[0]}")
        elif how == "assign":
            page.lines.append(f"add({values[0]}, {values[1]}, {text})")
        elif where in views:
            page.lines.append(f"add({text}, {values[0]}, {text})")
        else:
            page.lines.append(f"{text} += {values[0]}")


def _zeros(v: str, covered: np.ndarray) -> list[str]:
    """Lines that write zeros where no part falls."""
    if covered.all():
        return []
    rows = covered.reshape(len(covered), -1)
    if np.array_equal(rows.all(axis=1), rows.any(axis=1)):
        empty = np.flatnonzero(~rows.all(axis=1))
        runs = np.split(empty, np.flatnonzero(np.diff(empty) != 1) + 1)
        if len(runs) <= 2 and 2 * len(empty) <= len(covered):
            return [f"{v}[{run[0]}:{run[-1] + 1}] = 0.0" for run in runs]
    return [f"{v}.fill(0.0)"]
