"""The library of staged-ablation: which hyperparameter difference is responsible for the gap."""
