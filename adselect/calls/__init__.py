"""What surrounds a backend: f as a flat function, seeds, results, what f captured, the facts of an operator."""
