"""PyTorch: f runs on tensors, and torch's autograd graph is the tape.

What is peculiar: torch has two ways to record (``recording``: its graph, and ``torch.func``), several derivatives may
be in progress at once (``progress``), a graph can be searched (``graph``) and walked with strong zeros (``gradients``,
``zeros``), torch's own code may cut it (``guard``), and ``torch.compile`` writes the Python down (``compiled``).
"""
