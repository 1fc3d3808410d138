"""Files that are no training configuration of a dialect, told by their keys."""

from __future__ import annotations

from ablation.documents.entries import Entry

# What it is, and keys of which all are there, some with one of some words. The first that fits
# names the file. These keys no dialect has, whatever else the file holds.
_CERTAIN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ms-swift", ("tuner_type",)),
    ("ms-swift", ("train_type", "model")),
    ("ms-swift", ("sft_type", "dataset")),
    ("ms-swift", ("args.tuner_type",)),
    ("ms-swift", ("args.train_type",)),
    ("mlx-lm", ("lora_parameters", "iters")),
    ("mlx-lm", ("fine_tune_type", "iters")),
    ("torchtune", ("tokenizer._component_",)),
    ("torchtune", ("model._component_",)),
    ("torchtune", ("optimizer._component_",)),
    ("AutoTrain", ("task", "base_model", "params")),
    ("open-instruct", ("dataset_mixer_list",)),
    ("open-instruct", ("with_tracking", "use_slow_tokenizer")),
    ("open-instruct", ("with_tracking", "use_flash_attn")),
    ("NeMo", ("trainer.num_nodes", "exp_manager")),
    ("NeMo RL", ("policy.train_global_batch_size",)),
    ("PyTorch Lightning", ("trainer.accelerator", "trainer.max_epochs")),
    ("verl", ("actor_rollout_ref",)),
    ("OpenRLHF", ("actor_num_nodes",)),
    ("LitGPT", ("checkpoint_dir", "train.global_batch_size")),
    ("Oumi", ("model.model_name", "training.trainer_type")),
    ("LLM Foundry", ("train_loader", "max_duration")),
    ("Ludwig", ("input_features", "output_features")),
    ("kohya's sd-scripts", ("network_module",)),
    ("ai-toolkit", ("job", "config.process")),
)
_FORMATS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("a launch file of accelerate, which says where a training runs", ("distributed_type",)),
    ("a launch file of accelerate, which says where a training runs", ("compute_environment",)),
    (
        "a sweep of Weights & Biases, which tries many values",
        ("method=grid|random|bayes", "parameters"),
    ),
    ("a state that Trainer saved (trainer_state.json)", ("log_history", "global_step")),
    ("a saved adapter's adapter_config.json", ("peft_type", "base_model_name_or_path")),
    ("a model's config.json", ("model_type", "architectures")),
    ("a model's generation_config.json", ("bos_token_id", "transformers_version")),
    ("a tokenizer's configuration", ("tokenizer_class",)),
    ("a model card's metadata", ("library_name", "tags")),
    ("a model card's metadata", ("license", "pipeline_tag")),
    ("a configuration of LLaMA-Factory's v1 format", ("model", "global_batch_size")),
    ("a configuration of LLaMA-Factory's v1 format", ("model_class",)),
    ("a configuration of LLaMA-Factory's v1 format", ("dist_config",)),
    ("a configuration of H2O LLM Studio", ("architecture", "tokenizer", "prediction")),
    ("a configuration of H2O LLM Studio", ("llm_backbone",)),
    ("a dataset list of LLaMA-Factory (dataset_info.json)", ("alpaca_en_demo",)),
    ("a launch file for a cloud, which says where a training runs", ("provider", "gpu_count")),
    ("a launch file for a cloud, which says where a training runs", ("dockerfile_commands",)),
    ("a workflow of GitHub Actions", ("jobs", "on")),
    ("a compose file of Docker", ("services",)),
    ("a conda environment", ("dependencies", "channels")),
    ("a package's description", ("scripts", "dependencies")),
)


def name_of(root: Entry, *, few: bool) -> str | None:
    """What a file is instead of a configuration of the dialect; None where it may be one.

    Args:
        root: The file.
        few: Whether the dialect that knows its keys best knows few of them.
    """
    for name, keys in _CERTAIN:
        if all(_has(root, key) for key in keys):
            return f"a configuration of {name}"
    if not few:
        return None
    for name, keys in _FORMATS:
        if all(_has(root, key) for key in keys):
            return name
    return None


def _has(root: Entry, key: str) -> bool:
    name, _, words = key.partition("=")
    entry = root.at(name)
    return entry is not None and (not words or entry.value in words.split("|"))
