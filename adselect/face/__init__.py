"""NumPy's protocols, without any derivative: an Array hands every operation to an engine."""
