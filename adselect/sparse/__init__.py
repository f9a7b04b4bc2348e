"""The place of sparse derivatives."""
