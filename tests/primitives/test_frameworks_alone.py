"""A primitive in a framework's own derivative, in a process where no operator of the library has been called."""

import subprocess
import sys

import pytest

START = """
import numpy as np
import adselect as ad

body = ad.primitive(lambda x: np.sin(x) * np.linalg.norm(x))
ruled = ad.primitive(lambda x: np.sin(x) * x)
ad.define_rrule(ruled)(lambda x: (ruled(x), lambda y_bar: (ad.NoTangent(), y_bar * (np.cos(x) * x + np.sin(x)))))
x = np.array([3.0, 4.0])
wanted = {
    body: np.cos(x) * 5 + np.sum(np.sin(x)) * x / 5,
    ruled: np.cos(x) * x + np.sin(x),
}
"""
GRADIENTS = {
    "jax": """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
gradient = lambda f: jax.grad(lambda x: jnp.sum(f(x)))(jnp.array(x))
""",
    "torch": """
import torch
gradient = lambda f: torch.func.grad(lambda x: f(x).sum())(torch.tensor(x)).numpy()
""",
    "autograd": """
import autograd, autograd.numpy as anp
gradient = lambda f: autograd.grad(lambda x: anp.sum(f(x)))(x)
""",
}
END = """
for f, g in wanted.items():
    np.testing.assert_allclose(gradient(f), g, rtol=1e-12)
"""


@pytest.mark.parametrize("framework", GRADIENTS)
def test_a_primitive_needs_no_operator_before_it(framework):
    pytest.importorskip(framework)
    code = START + GRADIENTS[framework] + END
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
