"""A simplified program as straight-line NumPy source with reused buffers.

``function.py`` is the door: :func:`~adselect.replay.writing.function.compile_program` makes one Python function of a
program. Dead code is dropped and pairs that one call does are joined (``liveness.py``), views and scalars become plain
expressions, every array result gets a buffer from a pool by liveness (``buffers.py``), ``out`` is passed by position,
results that the caller keeps are always fresh. How a call of one function is written stands in a table by the function
(``calls.py``, ``reductions.py``, ``scatters.py``); what has no row is written as a call of itself. Long elementwise
runs on large arrays go through the cache in blocks (``blocks.py``). Guards sit where the traced code looked at a value
(``guards.py``); a failed one raises :class:`GuardFailed`, and the caller traces again.
"""
