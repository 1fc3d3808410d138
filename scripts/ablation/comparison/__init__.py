"""What two configurations do, where they differ, and what follows from it without training."""
