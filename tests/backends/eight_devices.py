"""JAX arrays on eight devices: where the results of every operator lie, and that they are those of one device.

A program of its own: how many devices a CPU counts as is settled before JAX starts.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

import adselect as ad

MESH = Mesh(np.array(jax.devices()).reshape(4, 2), ("a", "b"))
PLACES = {
    "rows": NamedSharding(MESH, PartitionSpec("a", None)),
    "blocks": NamedSharding(MESH, PartitionSpec("a", "b")),
    "everywhere": NamedSharding(MESH, PartitionSpec()),
    "the fourth device": SingleDeviceSharding(jax.devices()[3]),
}
FUNCTIONS = {
    "its own": lambda x: jnp.sum(jnp.sin(x) * x),
    "of NumPy": lambda x: np.sum(np.sin(x) * x),
    "linear": lambda x: np.sum(x),
    "a part": lambda x: np.sum(x[0] ** 2),
    "a product": lambda x: np.sum((x @ np.ones((8, 3))) ** 2),
    "turned": lambda x: np.sum(x.T.reshape(-1) ** 3),
    "not at all": lambda x: 1.0,
}
ALL = (*FUNCTIONS,)
SOME = ("of NumPy", "linear", "not at all")  # for backends whose results are NumPy's until they are put back
CHOICES = {
    ad.AutoJax(): ALL,
    ad.AutoJax(face="numpy"): SOME,
    ad.AutoTape(): SOME,
    ad.AutoForward(): SOME,
}
DATA = np.arange(64.0, dtype=np.float32).reshape(8, 8) / 10


def prepared(operator):
    """Prepared for an array that lies elsewhere, and called twice."""

    def way(f, adtype, x):
        call = ad.prepare(operator, f, adtype, jnp.asarray(np.ones_like(DATA)), missing="zeros")
        call(x)
        return call(x)

    return way


FIRST = {
    "gradient": lambda f, adtype, x: ad.gradient(f, adtype, x, missing="zeros")[0],
    "withgradient": lambda f, adtype, x: ad.withgradient(f, adtype, x, missing="zeros").grad[0],
    "pullback": lambda f, adtype, x: ad.pullback(f, adtype, x, missing="zeros")[1](1.0)[0],
    "prepared gradient": lambda f, adtype, x: prepared(ad.gradient)(f, adtype, x)[0],
    "prepared withgradient": lambda f, adtype, x: prepared(ad.withgradient)(f, adtype, x).grad[0],
    "prepared pullback": lambda f, adtype, x: prepared(ad.pullback)(f, adtype, x)[1](1.0)[0],
    "in a dict": lambda f, adtype, x: ad.gradient(lambda d: f(d["w"]), adtype, {"w": x}, missing="zeros")[0]["w"],
}


def arrays_stay_where_they_are() -> int:
    checked = 0
    for place, sharding in PLACES.items():
        x = jax.device_put(DATA, sharding)
        for name, f in FUNCTIONS.items():
            expected = ad.gradient(f, ad.AutoJax(), jnp.asarray(DATA), missing="zeros")[0]
            for adtype in (choice for choice, names in CHOICES.items() if name in names):
                for operator, way in FIRST.items():
                    got = way(f, adtype, x)
                    what = f"{operator} {adtype} of {name}, {place}: {got.sharding}"
                    assert got.sharding == x.sharding, what
                    assert got.committed, what
                    np.testing.assert_allclose(got, expected, rtol=2e-5, err_msg=what)
                    checked += 1
    return checked


def a_part_is_on_each_device() -> None:
    x = jax.device_put(DATA, PLACES["blocks"])
    (g,) = ad.gradient(lambda x: np.sum(x), ad.AutoJax(), x)
    assert {shard.device for shard in g.addressable_shards} == set(jax.devices())
    assert {shard.data.shape for shard in g.addressable_shards} == {(2, 4)}


def what_is_nowhere_in_particular_stays_so() -> None:
    for f in FUNCTIONS.values():
        g = ad.gradient(f, ad.AutoJax(), jnp.asarray(DATA), missing="zeros")[0]
        assert not g.committed
        assert not prepared(ad.gradient)(f, ad.AutoJax(), jnp.asarray(DATA))[0].committed


def matrices_can_be_used_with_what_is_split() -> None:
    """A matrix has another shape than the argument: JAX moves it to where the argument is."""
    x = jax.device_put(DATA[:, 0], NamedSharding(MESH, PartitionSpec(("a", "b"))))
    for adtype in (ad.AutoJax(), ad.AutoTape()):
        (J,) = ad.jacobian(lambda x: np.sin(x) * x, adtype, x)
        H = ad.hessian(lambda x: np.sum(x**3), adtype, x)
        np.testing.assert_allclose(J, np.diag(np.cos(DATA[:, 0]) * DATA[:, 0] + np.sin(DATA[:, 0])), rtol=1e-5)
        np.testing.assert_allclose(J @ x, np.diag(np.asarray(J)) * DATA[:, 0], rtol=1e-5)
        np.testing.assert_allclose(H @ x, 6 * DATA[:, 0] ** 2, rtol=1e-5)
        assert ad.hvp(lambda x: np.sum(x**3), adtype, x, x).sharding == x.sharding
        assert ad.diaghessian(lambda x: np.sum(x**3), adtype, x)[0].sharding == x.sharding


def inside_the_users_own_jit() -> None:
    x = jax.device_put(DATA, PLACES["blocks"])
    g = jax.jit(lambda x: ad.gradient(FUNCTIONS["of NumPy"], ad.AutoJax(), x)[0])(x)
    assert g.sharding == x.sharding
    np.testing.assert_allclose(g, np.cos(DATA) * DATA + np.sin(DATA), rtol=1e-5)


def finite_differences() -> None:
    x = jax.device_put(DATA[0], NamedSharding(MESH, PartitionSpec(("a", "b"))))

    def f(y):
        assert y.sharding == x.sharding
        return jnp.sum(y**2)

    (g,) = ad.gradient(f, ad.AutoFiniteDifferences(step=0.1), x)
    assert g.sharding == x.sharding
    np.testing.assert_allclose(g, 2 * DATA[0], atol=1e-5)


if __name__ == "__main__":
    assert len(jax.devices()) == 8
    count = arrays_stay_where_they_are()
    a_part_is_on_each_device()
    what_is_nowhere_in_particular_stays_so()
    matrices_can_be_used_with_what_is_split()
    inside_the_users_own_jit()
    finite_differences()
    print(count, "results")
