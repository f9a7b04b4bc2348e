"""Functions for other processes to evaluate: at the top level of a module that is quick to import."""

import os
import time
from pathlib import Path

import numpy as np


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def vector(x):
    return np.stack([np.sin(x[0]) * x[1], x[1] ** 2, np.exp(x[0] - x[2])])


def leaving_a_trace(folder, f, x):
    """``f(x)``, and a line in the file of this process."""
    with (Path(folder) / str(os.getpid())).open("a") as file:
        file.write(f"{x!r}\n".replace("\n", " ") + "\n")
    return f(x)


def slow(x):
    time.sleep(0.03)
    return np.sum(x**2)


class PeculiarError(Exception):
    """Cannot be made anew from its own arguments, so it cannot be sent as it is."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")


def diverging(parameters):
    if parameters["w"][1] != 2.0:
        raise RuntimeError(f"the solver diverged at {parameters['w'][1]:.3g}")
    return np.sum(parameters["w"] ** 2)


def diverging_peculiarly(x):
    if x != 1.0:
        raise PeculiarError(7, "diverged")
    return x


def dying(x):
    if x != 1.0:
        os._exit(3)
    return x


def edged(x):
    if x[0] < 1.0:
        raise ValueError("outside")
    return np.sum(x**2)


def of_torch(x):
    import torch

    return torch.sum(x**3)


def of_jax(x):
    import jax.numpy as jnp

    return jnp.sum(x**3)
