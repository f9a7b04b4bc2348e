"""AutoTape: the built-in engine in reverse mode."""
