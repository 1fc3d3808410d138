"""What a study asks and which runs answer it: designs, arms, costs, power, explanation."""
