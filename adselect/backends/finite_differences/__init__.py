"""Finite differences: derivatives from values of f alone, with findiff's coefficients.

``points`` says where f is evaluated, ``evaluation`` evaluates it (``probing`` once, ``spreading`` over an executor),
``stencils`` has the coefficients, ``ladder`` makes the best derivative of several steps, ``curvature`` and ``second``
do the same for second derivatives, ``nested`` is the stencil as arithmetic that an outer derivative sees through.
"""
