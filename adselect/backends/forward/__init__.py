"""AutoForward: the built-in engine in forward mode."""
