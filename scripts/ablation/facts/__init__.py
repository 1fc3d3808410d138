"""What follows from settings without training: rates, steps, weights, compute."""
