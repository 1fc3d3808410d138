"""A finished study told to experiment trackers: MLflow, TensorBoard, Weights & Biases.

One experiment a study, arms as groups, seeds as runs. `tracked` reads what is told, without any
tracker; a module a tracker tells it; `send` sees to it that a tracker that hangs holds up nothing.
"""

TRACKERS = ("mlflow", "tensorboard", "wandb")
