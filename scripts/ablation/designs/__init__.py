"""Which arms a design asks for, and which contrasts it answers."""
