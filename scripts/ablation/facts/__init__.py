"""What two configurations do, before any training: effective values, and what follows from them."""
