"""What a study asks, and which runs answer it: study.yaml, its grid, its forecast."""
