"""The operators: validation and derivation from a backend's pullback and pushforward; no framework is named here."""
