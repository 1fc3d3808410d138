"""What people read, in each language: one catalogue, and tables for a terminal."""
