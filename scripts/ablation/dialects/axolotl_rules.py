"""What axolotl's schema refuses of several keys together (utils/schemas/, 0.19.0).

The rules are read by `ablation.dialects.rules`. Those whose breach depends on more than a term can
say are told in `ablation.dialects.axolotl`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations

from ablation.dialects import vocabulary
from ablation.dialects.reader import Reader
from ablation.dialects.rules import Rule, read_rules, refuse_broken
from ablation.documents.entries import Entry
from ablation.settings.catalogue import words

# Attention by the old switches, in the order in which axolotl asks them.
ATTENTION = {
    "xformers_attention": "xformers",
    "sage_attention": "sage",
    "flex_attention": "flex_attention",
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "eager_attention": "eager",
}
_ATTENTIONS = words(
    "eager sdpa flash_attention_2 flash_attention_3 flash_attention_4 flash_attention_torch "
    "flex_attention xformers sage fp8"
)
_HEADS = words(
    "cut_cross_entropy chunked_cross_entropy liger_cross_entropy liger_fused_linear_cross_entropy"
)
_TABLE = """
push_dataset_to_hub hf_use_auth_token!=true: push_dataset_to_hub requires hf_use_auth_token
eval_table_size sample_packing eval_sample_packing!=false: eval_table_size and \
eval_sample_packing are not supported together with sample_packing
streaming/pretraining_dataset !max_steps: max_steps must be set with {}: its length is not known
val_set_size streaming/pretraining_dataset: val_set_size is not supported with {}
dataset_exact_deduplication streaming/pretraining_dataset/skip_prepare_dataset: \
dataset_exact_deduplication is not available with {}
include_tokens_per_second pretraining_dataset: include_tokens_per_second cannot be used with \
pretraining_dataset
chat_template=jinja !chat_template_jinja: chat_template_jinja is required for this template
added_tokens_overrides/special_tokens/tokens/chat_template/processor_kwargs \
tokenizer_use_mistral_common: {} is not supported with the mistral-common tokenizer

!base_model: base_model: field required
!datasets !pretraining_dataset: either datasets or pretraining_dataset is required

batch_size !micro_batch_size !gradient_accumulation_steps: at least two of micro_batch_size, \
gradient_accumulation_steps, batch_size must be set
eval_strategy evals_per_epoch eval_strategy!=steps: eval_strategy must be empty or `steps` when \
used with evals_per_epoch
do_bench_eval !evals_per_epoch !eval_steps: do_bench_eval requires evals_per_epoch or eval_steps
do_causal_lm_eval eval_sample_packing: with do_causal_lm_eval eval_sample_packing must be false
save_strategy=best !metric_for_best_model: save_strategy: best requires metric_for_best_model
early_stopping_patience !save_steps/!eval_steps: early_stopping_patience requires {} to be set

noisy_embedding_alpha neftune_noise_alpha: noisy_embedding_alpha is deprecated; \
neftune_noise_alpha is set too
neftune_noise_alpha<=0: neftune_noise_alpha must be > 0.0
pretrain_multipack_buffer_size streaming_multipack_buffer_size: pretrain_multipack_buffer_size is \
deprecated; streaming_multipack_buffer_size is set too
fp8_config? !fp8: `fp8_config` requires `fp8: true`
fp8_enable_fsdp_float8_all_gather fsdp_version!=2: fp8_enable_fsdp_float8_all_gather requires FSDP2
max_memory? gpu_memory_limit?: max_memory and gpu_memory_limit are mutually exclusive
load_in_8bit/load_in_4bit model_quantization_config: {} cannot be used with \
model_quantization_config
torch_compile_options? !torch_compile: torch_compile_options needs torch_compile
activation_offloading/selective_checkpointing !gradient_checkpointing: {} requires \
gradient_checkpointing
selective_checkpointing gradient_checkpointing_kwargs.use_reentrant: selective_checkpointing \
requires non-reentrant checkpointing
selective_checkpointing activation_offloading activation_offloading!=hidden_states: \
selective_checkpointing is only compatible with activation_offloading: hidden_states
gradient_checkpointing_kwargs.use_reentrant=true unfrozen_parameters: `use_reentrant` must be \
false when used with partially frozen model
gradient_checkpointing base_model~mpt: gradient_checkpointing is not supported for MPT models
flash_optimum bf16/fp16: AMP is not supported with BetterTransformer

scaling_softmax attn_implementation!=flex_attention: scaling_softmax requires flex attention
batch_flattening=true sample_packing: batch_flattening is not compatible with sample_packing
batch_flattening=true attn_implementation=none|eager|sdpa|fp8: batch_flattening requires a \
varlen-capable attention backend
gemma4_hybrid_attn_impl attn_implementation!=none|flash_attention_2: gemma4_hybrid_attn_impl \
requires attn_implementation: flash_attention_2
context_parallel_size>1 attn_implementation!=flash_attention_2: context_parallel_size > 1 requires \
attn_implementation: flash_attention_2

loraplus_lr_ratio lr_groups: lr_groups and loraplus_lr_ratio cannot be used together
unfrozen_parameters adapter peft_layers_to_transform: `unfrozen_parameters` used with \
`peft_layers_to_transform` can have unexpected behavior
peft_layers_pattern !peft_layers_to_transform: peft_layers_pattern requires \
peft_layers_to_transform to be set
flash_attn_fuse_mlp/use_onebitllms adapter=lora|qlora: {} is not supported with LoRA/QLoRA
lora_mlp_kernel/lora_qkv_kernel/lora_o_kernel adapter=lora load_in_8bit: {} is not compatible \
with 8-bit LoRA
lora_mlp_kernel/lora_qkv_kernel/lora_o_kernel trust_remote_code: {} is not compatible with \
trust_remote_code
lora_dropout lora_target_parameters: lora_dropout must be 0 when lora_target_parameters is set
adapter adapter!=lora|qlora|llama-adapter !plugins: this adapter is not built in: the plugin that \
brings it is to be added to `plugins:`
lora_target_linear quantize_moe_experts: lora_target_linear is not compatible with \
quantize_moe_experts
quantize_moe_experts adapter!=lora|qlora: quantize_moe_experts requires adapter: lora or qlora
quantize_moe_experts !load_in_4bit !load_in_8bit: quantize_moe_experts requires load_in_4bit or \
load_in_8bit
qat peft/load_in_8bit/load_in_4bit: QAT and {} cannot be used together
relora !jagged_restart_steps: jagged_restart_steps must be set to use ReLoRA
relora adapter!=lora|qlora: ReLoRA needs an adapter
relora fsdp/fsdp_config/deepspeed/flash_attn_fuse_mlp: {} is not supported with ReLoRA
relora lr_scheduler=one_cycle: ReLoRA is not compatible with the one_cycle scheduler
revision_of_model gptq: revision_of_model is not supported for GPTQ models

sample_packing/eval_sample_packing rl=kto: {} is not supported with kto
rl=kto remove_unused_columns!=false: set `remove_unused_columns: false` when using kto
warmup_ratio rl=simpo: warmup_ratio is not supported with the simpo trainer
dpo_loss_type?/dpo_loss_weights? rl!=dpo: {} is for DPO only
dpo_loss_weights? rl=dpo !dpo_loss_type?: `dpo_loss_weights` requires `dpo_loss_type` to be set
dpo_use_liger_kernel rl=ipo: `dpo_use_liger_kernel` does not support the `ipo` loss type
rl=ebft !ebft: `ebft` config section is required when `rl: ebft` is set
trl.num_generations<=1 rl=grpo: GRPO requires `trl.num_generations >= 2`
rl=gdpo trl.multi_objective_aggregation=sum_then_normalize: sum_then_normalize is GRPO, but GDPO \
was selected

optimizer=muon|polora|q_galore_adamw8bit deepspeed: this optimizer is incompatible with DeepSpeed
optimizer~flash_ deepspeed: a flash optimizer is incompatible with DeepSpeed
optimizer=muon|polora|q_galore_adamw8bit fsdp_config fsdp_version!=2: this optimizer needs FSDP2
optimizer~flash_ fsdp_config fsdp_version!=2: a flash optimizer is only compatible with FSDP2
optimizer=polora adapter!=lora|qlora: polora only updates LoRA (A, B) factors and requires \
adapter: lora or qlora
lora_modules_to_save/unfrozen_parameters/peft_use_dora/peft_trainable_token_indices/\
lisa_step_interval/reward_model/process_reward_model optimizer=polora: polora has no fallback \
optimizer: what {} adds would never be trained
loraplus_lr_ratio/lr_groups/embedding_lr/embedding_lr_scale optimizer=polora: polora sets its own \
step size: {} would be ignored
adapter optimizer=q_galore_adamw8bit: q_galore_adamw8bit is incompatible with an adapter
optimizer=adamw_8bit|adamw_bnb_8bit fsdp_config fsdp_version=2: FSDP2 is not compatible with this \
optimizer, use `adamw_torch_8bit` instead
optimizer~8bit fsdp_config.offload_params fsdp_version!=2: FSDP offload is not compatible with an \
8-bit optimizer
load_in_8bit/load_in_4bit rl=dpo|kto|orpo|ipo fsdp_version=2: FSDP2 does not support {} with this \
training
fsdp_config.cpu_ram_efficient_loading load_in_4bit fsdp_version=2: FSDP2 does not support \
`cpu_ram_efficient_loading` with load_in_4bit
deepspeed fsdp: deepspeed and fsdp cannot be used together
deepcompile !deepspeed: DeepCompile is only supported with DeepSpeed
fsdp base_model~falcon: FSDP is not supported for falcon models
fp32_norms !fsdp_config: fp32_norms requires FSDP to be enabled
fp32_norms fsdp_config fsdp_version!=2: fp32_norms requires fsdp_version: 2

max_packed_sequence_len/rope_scaling/s2_attention/flash_attn_rms_norm/unsloth_cross_entropy_loss/\
unsloth_lora_mlp/unsloth_lora_qkv/unsloth_lora_o/unsloth_rms_norm/unsloth_rope/\
dpo_use_logits_to_keep?/dpo_generate_during_eval?/dpo_norm_loss?/rpo_alpha?: {} is no longer \
supported
save_safetensors=false: save_safetensors: false is no longer supported
"""


def rules() -> list[Rule]:
    """Each rule's terms and its reason."""
    reason = "only one cross entropy optimization can be enabled at a time"
    return read_rules(_TABLE) + [(list(pair), reason) for pair in combinations(_HEADS, 2)]


def refuse_together(reader: Reader, library: str) -> None:
    """Note each rule that the file breaks."""
    refuse_broken(reader, library, rules(), _settled)
    for key, test, reason in VALUES:
        value = _settled(reader.root, key)
        if value is not None and test(value):
            reader.refuse(key, None, library, reason)


def refuse_values(reader: Reader, library: str) -> None:
    """Note each value that is of no kind that the schema has for its key."""
    said = {refusal.key for refusal in reader.refusals}
    for key, entry in reader.root.value.items():
        value = entry.text if entry.read_as_number else entry.plain()
        if key not in said and (allowed := vocabulary.allowed("axolotl", key, value)):
            reason = "the schema takes no such value here"
            reader.refuse(key, None, library, reason, " or ".join(allowed))


def _settled(root: Entry, key: str) -> object:
    """A key's plain value, as axolotl settles it before it asks; None where it is absent."""
    entry = root.at(key)
    found = None if entry is None else entry.plain()
    block, _, name = key.partition(".")
    if key == "fsdp_version":
        others = (_settled(root, f"fsdp_config.{other}") for other in (key, "version"))
        return str(found or next((other for other in others if other), 1))
    if key == "attn_implementation" and not found:
        return next((value for flag, value in ATTENTION.items() if _settled(root, flag)), None)
    if block == "fsdp_config" and name and found is None and not name.startswith("fsdp_"):
        return _settled(root, f"{block}.fsdp_{name}")  # the prefix of old
    return found


def _is_sharegpt(value: object) -> bool:
    rows = value if isinstance(value, list) else []
    return any(
        isinstance(row, dict) and str(row.get("type")).startswith("sharegpt") for row in rows
    )


def _no_pattern(value: object) -> bool:
    """Whether one of some patterns cannot be compiled."""
    try:
        for pattern in value if isinstance(value, list) else []:
            re.compile(str(pattern))
    except re.error:
        return True
    return False


_OF_ROWS = words("datasets test_datasets pretraining_dataset")
# A key, what of its values is refused, and the schema's words.
VALUES: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    *((name, lambda value: value == [], f"{name}: an empty list") for name in _OF_ROWS),
    ("datasets", _is_sharegpt, "`type: sharegpt` is deprecated; use `type: chat_template`"),
    (
        "tokens",
        lambda value: not isinstance(value, list),
        "tokens: input should be a valid list; special tokens stand in special_tokens",
    ),
    (
        "attn_implementation",
        lambda value: value not in _ATTENTIONS and "/" not in str(value),
        "attn_implementation is not a recognized backend",
    ),
    ("lora_target_modules", _no_pattern, "lora_target_modules: an invalid pattern"),
)
