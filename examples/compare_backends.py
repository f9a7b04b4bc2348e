"""Do all installed backends give the same gradients? Two models on real data, one table.

    python examples/compare_backends.py

The models are those of ``logistic_regression.py`` (31 parameters in one vector) and ``digits_network.py`` (310
parameters in a dict of four arrays). The exit status is 0 if all backends agree and 1 if they do not.
"""

from __future__ import annotations

import argparse

import digits_network
import logistic_regression

from adselect.testing import Report, Row, compare

PROBLEMS = {"logistic regression": logistic_regression, "digits network": digits_network}


def line(problem: str, row: Row, report: Report) -> list[str]:
    """One backend on one problem: how far its gradient is from the reference's, its time, the verdict."""
    distances = [distance for path, distance in row.distance.items() if path != "value"]
    difference = "reference" if row.name == report.reference else f"{max(distances):.1e}" if distances else ""
    time = "" if row.seconds is None else f"{1000 * row.seconds:.1f} ms"
    return [problem, row.name, difference, time, f"{row.status}: {row.reason}" if row.reason else row.status]


def main(argv: list[str] | None = None) -> int:
    """Compare, print the table; 0 if all backends agree on both problems, else 1."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    agree = True
    lines = [["gradient of", "backend", "difference", "time", "verdict"]]
    for problem, example in PROBLEMS.items():
        loss, point = example.problem()
        report = compare(loss, point)
        agree = agree and report.agree
        lines += [line(problem, row, report) for row in report.rows]

    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    print("\nall backends agree" if agree else "\nthe backends do NOT agree")
    return 0 if agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
