"""Files as values that know their place, values changed in place, and the canonical settings."""
