"""Every kind of rule on a mesh of two devices: what a function of jax.numpy gives there, the primitive gives.

A program of its own: how many devices a CPU counts as is settled before JAX starts. Arguments: the kinds to run.
"""

import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

sys.path.insert(0, str(Path(__file__).parents[1]))
from samples.kinds import KINDS, is_first_order

jax.config.update("jax_enable_x64", True)
WHOLE, SPLIT = PartitionSpec(), PartitionSpec("d")
W, DATA = np.array([0.5, -0.3]), np.arange(8.0).reshape(4, 2) / 5
MESH = Mesh(np.array(jax.devices()), ("d",))


def mapped(f, in_specs, out_specs, **options):
    return jax.shard_map(f, mesh=MESH, in_specs=in_specs, out_specs=out_specs, **options)


def loss(f, inner=lambda f: f, **options):
    """Weights that every device has, data of which each has a part, and one sum."""
    total = lambda w, x: lax.psum(jnp.sum(inner(f)(w * x) ** 2), "d")
    return mapped(total, (WHOLE, SPLIT), WHOLE, **options)


def over_rows(f):
    def total(w, x):
        start = lax.pcast(0.0, "d", to="varying")
        return lax.psum(lax.scan(lambda c, row: (c + jnp.sum(f(w * row)), None), start, x)[0], "d")

    return mapped(total, (WHOLE, SPLIT), WHOLE)


def of_weights(f):
    return mapped(lambda w, x: lax.psum(jnp.sum(f(w) * x), "d"), (WHOLE, SPLIT), WHOLE)


def inside(f):
    return mapped(lambda w, x: jax.grad(lambda w: jnp.sum(f(w * x) ** 2))(w), (WHOLE, SPLIT), WHOLE)


FIRST = {
    "grad": lambda f: jax.grad(loss(f), (0, 1))(W, DATA),
    "jit of grad": lambda f: jax.jit(jax.grad(loss(f), (0, 1)))(W, DATA),
    "axes not checked": lambda f: jax.jit(jax.grad(loss(f, check_vma=False), (0, 1)))(W, DATA),
    "grad inside": lambda f: jax.jit(inside(f))(W, DATA),
    "jvp": lambda f: jax.jit(lambda w: jax.jvp(lambda w: loss(f)(w, DATA), (w,), (w,)))(W),
    "vmap": lambda f: jax.jit(jax.vmap(jax.grad(loss(f)), (0, None)))(np.stack([W, 2 * W]), DATA),
    "scan": lambda f: jax.jit(jax.grad(over_rows(f)))(W, DATA),
    "checkpoint": lambda f: jax.jit(jax.grad(loss(f, jax.checkpoint)))(W, DATA),
    "of what all have": lambda f: jax.jit(jax.grad(of_weights(f), (0, 1)))(W, DATA),
    "pmap": lambda f: jax.pmap(jax.grad(lambda x: jnp.sum(f(x) ** 2)))(DATA[:2]),
    "sharded argument": lambda f: jax.jit(jax.grad(lambda x: jnp.sum(f(x) ** 2)))(
        jax.device_put(DATA, NamedSharding(MESH, SPLIT))
    ),
}
SECOND = {
    "hessian": lambda f: jax.jit(jax.hessian(loss(f)))(W, DATA),
    "reverse over reverse": lambda f: jax.jit(jax.jacrev(jax.grad(loss(f))))(W, DATA),
}


def main(kinds):
    assert len(jax.devices()) == 2
    checked = 0
    for name, way in (FIRST | SECOND).items():
        expected = jax.tree.leaves(way(lambda x: jnp.sin(x) * x))
        for kind in kinds:
            if name in SECOND and is_first_order(kind):
                continue
            got = jax.tree.leaves(way(KINDS[kind]))
            for mine, theirs in zip(got, expected, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12, err_msg=f"{kind}: {name}")
                checked += 1
    print(checked, "results")


if __name__ == "__main__":
    main(sys.argv[1:] or list(KINDS))
