"""What a value is, below every protocol: its real kind, the framework it is of, tangents that are no arrays."""
