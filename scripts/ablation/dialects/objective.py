"""To what end a file trains, where no key of its trainer says it: told by what one method has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ablation.dialects.deepspeed import join
from ablation.dialects.reader import Reader
from ablation.dialects.vocabulary import spell
from ablation.settings.catalogue import words

# Keys that only one method's trainer has, or that the scripts of its users give to it.
_KEYS = {
    "gkd": words(
        "lmbda seq_kd teacher_model_name_or_path teacher_model teacher_model_init_kwargs "
        "distillation kd_alpha kd_temperature kd_ce_alpha kd_trainer"
    ),
    "rloo": words("rloo_k rloo_beta"),
    "ppo": words(
        "num_ppo_epochs ppo_epochs cliprange cliprange_value vf_coef whiten_rewards sft_model_path "
        "init_kl_coef"
    ),
    "grpo": words(
        "num_generations max_completion_length reward_funcs reward_weights num_iterations "
        "scale_rewards use_vllm epsilon_high steps_per_generation generation_batch_size"
    ),
    "kto": words("desirable_weight undesirable_weight"),
    "process_reward": words("train_on_last_step_only step_separator"),
    "reward": words("center_rewards_coefficient"),
    "simpo": words("simpo_gamma gamma_beta_ratio"),
    "cpo": words("cpo_alpha"),
    "orpo": words("orpo_alpha orpo_beta orpo_lambda"),
    "dpo": words(
        "f_divergence_type ld_alpha discopop_tau rpo_alpha loss_weights use_weighting "
        "precompute_ref_log_probs dpo_alpha dpo_beta reference_free ref_model"
    ),
    "sft": words(
        "dataset_text_field packing completion_only_loss assistant_only_loss packing_strategy "
        "eval_packing padding_free"
    ),
    "embeddings": words("multi_dataset_batch_sampler batch_sampler matryoshka_dims"),
    "token_classification": words("label_all_tokens return_entity_level_metrics"),
    "mlm": words("mlm_probability mlm"),
}
# Keys of all methods that learn from preferences: of which, a name must tell.
_PREFERENCES = words("max_prompt_length beta label_smoothing")
# What a value of `trainer:`, `rl:` and the like, or a part of a run's name, says.
_CALLED = {
    **{name: name for name in words("sft dpo ipo kto orpo cpo simpo grpo rloo ppo gkd bco")},
    "prm": "process_reward",
    **dict.fromkeys(words("reward rm reward_modeling reward_model"), "reward"),
    **dict.fromkeys(words("pt pretrain pretraining clm"), "pt"),
    **dict.fromkeys(words("distill distillation kd"), "gkd"),
    **dict.fromkeys(words("embedding embeddings feature_extraction"), "embeddings"),
    **dict.fromkeys(words("ner token_cls token_classification"), "token_classification"),
    **dict.fromkeys(
        words("seq_cls sequence_classification text_classification classification"),
        "classification",
    ),
}
_SAID = words(
    "trainer trainer_type trainer_class rl rl_method algorithm algo method training_method "
    "training_type train_type objective training_objective task task_type preference_loss stage"
)
_LOSSES = words("orpo simpo ipo kto cpo")
_NAMED = words("run_name output_dir hub_model_id project experiment_name")


def tell_objective(
    reader: Reader, blocks: tuple[str, ...] = ("",), *, preferences: bool = False
) -> tuple[str, str, str] | None:
    """The objective, the key that tells it and why; None where nothing does.

    Args:
        reader: The file.
        blocks: Where its arguments stand.
        preferences: Whether its trainers have keys such as `beta` for preferences alone.
    """
    keys = [join(block, name) for block in blocks for name in _SAID]
    for key in keys:
        if name := _CALLED.get(spell(_text(reader, key)).removesuffix("_trainer")):
            return name, key, "the file names it"
    for key in (join(block, "loss_type") for block in blocks):
        if (loss := spell(_text(reader, key)).split("_")[0]) in _LOSSES:
            return loss, key, "its loss"
    preferred = _first(reader, blocks, _PREFERENCES) if preferences else None
    for name, own in _KEYS.items():
        if (found := _first(reader, blocks, own)) and not (name == "sft" and preferred):
            return name, found, "no key says it: by keys of one trainer"
    if preferred is None:
        return None
    if _first(reader, blocks, ("loss_type",)):
        return "dpo", preferred, "learns from preferences, with a loss of DPO's"
    named = next((one for one in _named(reader, blocks) if one[0] not in ("sft", "pt")), None)
    if named is not None:
        return *named, "learns from preferences; by what the run is called"
    note = "learns from preferences; several methods have this key, and nothing names one"
    return "preferences", preferred, note


def _first(reader: Reader, blocks: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    keys = (join(block, name) for block in blocks for name in names)
    return next(
        (k for k in keys if (e := reader.root.at(k)) and e.value not in (None, False)), None
    )


def _text(reader: Reader, key: str) -> str:
    entry = reader.root.at(key)
    plain = entry.plain() if entry is not None else None
    if isinstance(plain, list) and len(plain) == 1:
        plain = plain[0]
    return plain if isinstance(plain, str) else ""


def _named(reader: Reader, blocks: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Methods that are part of a name in the file."""
    for key in (join(block, name) for block in blocks for name in _NAMED):
        for part in re.split(r"[^a-z0-9]+", spell(_text(reader, key)).replace("_", "-")):
            if part in _CALLED:
                yield _CALLED[part], key
    path = Path(reader.file.lower())
    for part in (*re.split(r"[^a-z0-9]+", path.stem), path.parent.name):
        if part in _CALLED:
            yield _CALLED[part], "the file's name"
