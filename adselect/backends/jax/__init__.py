"""JAX: f runs once under ``jax.vjp`` or ``jax.linearize``; NumPy calls become ``jnp`` calls behind a traced face.

What is peculiar: 64-bit mode is entered for a call and its thread (``call``), tracers know which transformation they
belong to and that it is over (``nesting``), rules are JAX primitives with a derivative, a transpose and a batching of
their own (``primitives``), compiled code calls back into Python (``callbacks``), values inside ``shard_map`` vary over
the axes of a mesh (``axes``).
"""
