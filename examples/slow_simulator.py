"""How the temperature at the end of a rod depends on what its parts are made of, from a simulator seen from outside.

    python examples/slow_simulator.py

The simulator counts in plain Python floats, so no backend can follow its operations: finite differences evaluate it,
and a pool of processes does that on all cores. The gradient is the one that a single process finds, in every digit.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from adselect import AutoFiniteDifferences, gradient

PARTS, STEPS = 6, 400


def temperature(conductivity: np.ndarray) -> float:
    """Of the far end, when the near end has been kept at 100 degrees for a while."""
    k = [float(c) for c in conductivity]
    rod = [100.0] + [0.0] * PARTS
    for _ in range(STEPS):
        flow = [k[i] * (rod[i] - rod[i + 1]) for i in range(PARTS)] + [0.0]
        rod[1:] = [rod[i] + 0.1 * (flow[i - 1] - flow[i]) for i in range(1, PARTS + 1)]
    return rod[-1]


def sensitivities(workers: int | None = None) -> np.ndarray:
    """Degrees for one more unit of conductivity of each part; evaluated by a pool, one worker a core by default."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        (slopes,) = gradient(temperature, AutoFiniteDifferences(executor=pool), point())
    return slopes


def point() -> np.ndarray:
    """The conductivities of the parts: the third one insulates."""
    return np.array([1.0, 0.8, 0.3, 0.9, 1.0, 0.7])


def main(argv: list[str] | None = None) -> int:
    """Print the sensitivities; 0 if a pool and a single process agree in every digit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=None, help="processes of the pool; default: one a core")
    slopes = sensitivities(parser.parse_args(argv).workers)
    print(f"temperature {temperature(point()):.4f}")
    print("sensitivities", *[f"{slope:.4f}" for slope in slopes])
    (alone,) = gradient(temperature, AutoFiniteDifferences(), point())
    same = np.array_equal(slopes, alone)
    print("as in a single process" if same else "not as in a single process")
    return 0 if same else 1


if __name__ == "__main__":  # every worker imports this file
    raise SystemExit(main())
