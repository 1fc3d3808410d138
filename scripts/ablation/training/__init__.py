"""Training of one run: the only place that knows torch, transformers, peft and DeepSpeed."""
