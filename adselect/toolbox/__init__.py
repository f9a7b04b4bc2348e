"""What f may use."""
