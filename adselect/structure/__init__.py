"""Any Python value as leaves and a skeleton, and results put back into its structure."""
