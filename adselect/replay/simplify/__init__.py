"""The same numbers from fewer operations and fewer passes over memory.

One walk over the instructions that are needed writes them anew (``walk.py``). Values are carried as :class:`Term`, a
number times an instruction, so that factors and signs travel along products, sums and views to where they cost least
(a factor leaves a sum as one multiplication of numbers, two factors become one, a sign turns an addition into a
subtraction). Sums look at what they add: a total that is known already, a factor that does not vary, a product that
one NumPy call adds up. So the derivative of a shift that cancels (``x - max(x)`` in a stable softmax) is found to be
zero.

The identities stand in tables, one subject a file: ``products.py``, ``sums.py``, ``totals.py``, ``views.py``,
``scatters.py``. A row names the function, what its operands must be (a number, zero, an array), and the rewrite; its
docstring is the identity. The walk asks the table; what no row rewrites stays as it is. To teach it another identity,
write one more row. What a jump depends on (``jumps.py``) is rewritten only by rows that leave every digit as it is.

Only what holds for every finite value is used: where an intermediate value is not finite, the result is not either, and
the caller then turns to the eager tape.
"""
