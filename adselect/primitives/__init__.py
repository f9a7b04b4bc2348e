"""The user's rules: what a primitive is, how one is defined, one call of it."""
