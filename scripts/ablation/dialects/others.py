"""Files that are no training configuration of a dialect, told by their keys."""

from __future__ import annotations

from ablation.documents.entries import Entry

# What it is, and keys of which all are there. The first that fits names the file.
_FORMATS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("a launch file of accelerate, which says where a training runs", ("distributed_type",)),
    ("a launch file of accelerate, which says where a training runs", ("compute_environment",)),
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
    ("a configuration of torchtune", ("tokenizer._component_",)),
    ("a configuration of torchtune", ("model._component_",)),
    ("a configuration of NeMo", ("trainer.num_nodes", "exp_manager")),
    ("a configuration of verl", ("actor_rollout_ref",)),
    ("a configuration of OpenRLHF", ("actor_num_nodes",)),
    ("a configuration of LitGPT", ("checkpoint_dir", "train.global_batch_size")),
    ("a configuration of Oumi", ("model.model_name", "training.trainer_type")),
    ("a dataset list of LLaMA-Factory (dataset_info.json)", ("alpaca_en_demo",)),
    ("a workflow of GitHub Actions", ("jobs", "on")),
    ("a compose file of Docker", ("services",)),
    ("a conda environment", ("dependencies", "channels")),
    ("a package's description", ("scripts", "dependencies")),
)
# Blocks in which scripts of people's own nest their arguments.
_NESTED = ("training", "train", "trainer", "training_args", "training_arguments", "hyperparameters")


_NESTING = ("kedro", "deepspeed_native")  # dialects that have such blocks themselves


def name_of(root: Entry, dialect: str) -> str | None:
    """What a file is instead of a configuration of the dialect; None where it may be one."""
    for name, keys in _FORMATS:
        if all(root.at(key) is not None for key in keys):
            return name
    for key in () if dialect in _NESTING else _NESTED:
        entry = root.at(key)
        if entry is not None and isinstance(entry.value, dict) and entry.value:
            return f"a configuration of a script of its own, with its arguments below '{key}:'"
    return None
