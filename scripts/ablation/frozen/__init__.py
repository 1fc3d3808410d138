"""States of frozen layers, computed once: which runs can read them, how they are kept."""
