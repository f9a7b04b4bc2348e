"""HIPS autograd: f runs once on autograd's Boxes, and its vjps pull back.

What is peculiar: it has no arrays of its own but NumPy's, its trace stack is not restored after an error (``modes``),
and its graph is made into records of our engine where strong zeros are needed (``traces``). The library's rules become
autograd primitives (``table``).
"""
