"""How `TrainingArguments` and the DeepSpeed configuration that they name come to one set of values.

As transformers (`HfTrainerDeepSpeedConfig`), accelerate (`_prepare_deepspeed`) and DeepSpeed settle
it: `auto` takes the argument, a number must equal the argument, its default included, and a key
that is absent takes DeepSpeed's own default, whatever the argument says. `tests/reference` builds
the libraries' own objects and compares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ablation.dialects.deepspeed import (
    LIBRARY,
    OWN_OPTIMIZERS,
    algorithm_of,
    refuse_strange_parameters,
)
from ablation.dialects.defaults import (
    DEEPSPEED,
    DEEPSPEED_OPTIMIZERS,
    OPTIMIZER_DEFAULTS,
    OPTIMIZER_PARAMETERS,
    SCHEDULER_DEFAULTS,
    SCHEDULER_REQUIRED,
    TORCH_OPTIMIZERS,
    ZERO_OPTIMIZERS,
)
from ablation.dialects.reader import DEFAULT, EXPLICIT, Engine, Reader, StepsTold, Value
from ablation.documents.entries import Entry
from ablation.documents.scalars import is_number

Settings = dict[str, Value]

ACCELERATE = "accelerate"
TRANSFORMERS = "transformers"
_ZERO = "zero_optimization"
_OFFLOAD = f"deepspeed.{_ZERO}.offload_optimizer.device"
# What transformers fills where it is `auto`, and compares with its argument where it is not.
_MATCHED = {
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
    "optimizer.params.lr": "learning_rate",
    "optimizer.params.eps": "adam_epsilon",
    "optimizer.params.weight_decay": "weight_decay",
}
_BETAS = "optimizer.params.betas"
# What else transformers and accelerate fill: any other `auto` accelerate refuses.
_FILLED = {
    *_MATCHED,
    _BETAS,
    "train_batch_size",
    "steps_per_print",
    "fp16.enabled",
    "bf16.enabled",
    "scheduler.params.warmup_min_lr",
    "scheduler.params.warmup_max_lr",
    "scheduler.params.warmup_num_steps",
    "scheduler.params.total_num_steps",
    *(
        f"{_ZERO}.{name}"
        for name in (
            "stage",
            "reduce_bucket_size",
            "stage3_prefetch_bucket_size",
            "stage3_param_persistence_threshold",
            "stage3_gather_16bit_weights_on_model_save",
            "offload_optimizer.device",
            "offload_optimizer.nvme_path",
            "offload_param.device",
            "offload_param.nvme_path",
        )
    ),
}
_AUTO_STAGE = 2  # accelerate's, where `zero_optimization.stage` is auto


def settle(reader: Reader, settings: Settings) -> None:
    """Bring the arguments and the embedded DeepSpeed configuration together, in place.

    Args:
        reader: What was read of the file; what the libraries refuse is noted there.
        settings: The file's settings, the defaults of its dialect included.
    """
    if reader.engine is not None:
        _Settling(reader, reader.engine, settings, dict(settings)).run()


@dataclass(frozen=True)
class _Settling:
    """One file's arguments and DeepSpeed block on their way to one set of values."""

    reader: Reader
    engine: Engine
    settings: Settings
    arguments: Mapping[str, Value]

    def run(self) -> None:
        for part in (
            self._batch,
            self._clipping,
            self._zero,
            self._optimizer,
            self._scheduler,
            self._precision,
            self._strays,
        ):
            part()

    # --- What is written ------------------------------------------------------------------

    def at(self, name: str) -> Entry | None:
        """The entry at a dotted key of the DeepSpeed configuration."""
        return self.engine.entry.at(name)

    def plain(self, name: str) -> object:
        """Its plain value, None where it is absent; the key counts as read."""
        return self.reader.raw(self.key(name))

    def key(self, name: str) -> str:
        """The key as the user's file has it."""
        return f"{self.engine.key}.{name}"

    def refuse(self, name: str, setting: str, library: str, reason: str) -> None:
        self.reader.refuse(self.key(name), setting, library, reason)

    def own(self, setting: str, value: object, why: str) -> None:
        """DeepSpeed's own value for a setting, whatever the argument says."""
        argument = self.settings.get(setting)
        note = f"DeepSpeed's own: {why}"
        overruled: tuple[tuple[str, int], ...] = ()
        if argument is not None and argument.origin == EXPLICIT and argument.value != value:
            overruled = self._overruled(setting)
            note += f"; {argument.key} in line {argument.line} is not used"
        self.settings[setting] = Value(
            value, DEFAULT, key=DEEPSPEED, note=note, overrules=overruled
        )

    def _overruled(self, setting: str) -> tuple[tuple[str, int], ...]:
        """The place of an argument that the file gives and that DeepSpeed's block overrules."""
        argument = self.settings[setting]
        if argument.origin != EXPLICIT:
            return ()
        return ((str(argument.key), argument.line or 0),)

    def told(
        self,
        name: str,
        setting: str,
        value: object,
        *,
        note: str | None = None,
        overrules: tuple[tuple[str, int], ...] = (),
    ) -> None:
        """A value that the DeepSpeed configuration itself gives."""
        entry = self.at(name)
        assert entry is not None
        self.settings[setting] = Value(
            value,
            EXPLICIT,
            entry.file,
            entry.line,
            self.key(name),
            note,
            overrules=overrules,
        )

    # --- Matching -------------------------------------------------------------------------

    def match(self, name: str, setting: str, hf: str | None = None) -> None:
        """Fill `auto`, or compare a number with the argument, as `fill_match` does."""
        plain, argument = self.plain(name), self.settings[setting]
        if plain is None or plain == "auto":
            return
        entry = self.at(name)
        assert entry is not None
        place = (self.key(name), entry.line, entry.file)
        if plain == argument.value:
            if argument.origin == EXPLICIT:
                self.settings[setting] = replace(argument, also=(*argument.also, place))
            else:
                self.told(name, setting, argument.value)
            return
        self._mismatch(name, setting, plain, hf or setting, argument.value)
        if argument.origin != EXPLICIT and isinstance(plain, (bool, int, float)):
            kind = type(argument.value)
            self.told(name, setting, kind(plain))

    def _mismatch(self, name: str, setting: str, plain: object, hf: str, value: object) -> None:
        reason = (
            "Please correct the following DeepSpeed config values that mismatch "
            f"TrainingArguments values: ds {name}={plain} vs hf {hf}={value}"
        )
        self.refuse(name, setting, TRANSFORMERS, reason)

    # --- Parts ----------------------------------------------------------------------------

    def _batch(self) -> None:
        """The argument counts, also where the DeepSpeed configuration has no such key.

        Without `gradient_accumulation_steps` the engine is told 1; Trainer still accumulates as its
        argument says, and accelerate steps the engine when it does.
        """
        micro, total = "train_micro_batch_size_per_gpu", "train_batch_size"
        for name in (micro, "gradient_accumulation_steps"):
            self.match(name, _MATCHED[name])
        if self.plain(micro) is None and self.plain(total) is None:
            reason = (
                "Either train_batch_size or train_micro_batch_size_per_gpu needs to be provided"
            )
            self.reader.refuse(self.engine.key, _MATCHED[micro], LIBRARY, reason)
        self._check_accumulation("gradient_accumulation_steps", micro, total)

    def _check_accumulation(self, name: str, micro: str, total: str) -> None:
        """Where it is absent accelerate writes 1, which the other two numbers may contradict."""
        steps = self.at(name)
        if steps is not None and steps.value is None:
            self.refuse(name, name, ACCELERATE, "null: a number or auto is needed")
        asked = self.settings[name].value
        if steps is None and asked != 1 and None not in (self.plain(micro), self.plain(total)):
            reason = (
                "Check batch related parameters. train_batch_size is not equal to "
                "micro_batch_per_gpu * gradient_acc_step * world_size "
                f"(gradient_accumulation_steps is absent there, so 1, and {asked} in the arguments)"
            )
            self.refuse(total, name, LIBRARY, reason)

    def _clipping(self) -> None:
        name, setting = "gradient_clipping", "max_grad_norm"
        entry = self.at(name)
        if entry is None:
            self.own(setting, 1.0, "the DeepSpeed configuration has no gradient_clipping")
        elif entry.value is None:
            reason = "gradient_clipping is null: '>' not supported between NoneType and float"
            self.refuse(name, setting, LIBRARY, reason)
        else:
            self.match(name, setting)

    def _zero(self) -> None:
        entry = self.at(_ZERO)
        if entry is None or entry.value is None:
            reason = "Please specify the ZeRO optimization config in the DeepSpeed config."
            self.reader.refuse(self.engine.key, f"deepspeed.{_ZERO}.stage", ACCELERATE, reason)
        elif self.plain(f"{_ZERO}.stage") == "auto":
            note = "auto: accelerate's own"
            self.told(f"{_ZERO}.stage", f"deepspeed.{_ZERO}.stage", _AUTO_STAGE, note=note)

    def _stage(self) -> int:
        stage = self.settings[f"deepspeed.{_ZERO}.stage"].value
        return stage if isinstance(stage, int) else 0

    def _offloads(self) -> bool:
        return self.settings[_OFFLOAD].value not in (None, "none")

    # --- Optimizer ------------------------------------------------------------------------

    def _optimizer(self) -> None:
        if self.at("optimizer") is None:
            self._trainers_optimizer()
            return
        name = self.plain("optimizer.type")
        if name is None:
            reason = f"zero stage {self._stage()} requires an optimizer"
            self.reader.refuse(self.key("optimizer"), "optim", LIBRARY, reason)
            return
        algorithm = algorithm_of(name, self.plain("optimizer.params.adam_w_mode"))
        torch = self.plain("optimizer.params.torch_adam") is True
        implementation = LIBRARY if algorithm in OWN_OPTIMIZERS and not torch else "torch"
        note = None
        if str(name).lower() == "adam" and algorithm == "adamw":
            note = "DeepSpeed's Adam has adam_w_mode on by default: it is AdamW"
        overruled = self._overruled("optim")
        self.told("optimizer.type", "optim", algorithm, note=note, overrules=overruled)
        self.told("optimizer.type", "optim_implementation", implementation)
        self._check_optimizer(str(name), algorithm)
        self._optimizer_parameters(f"torch.{algorithm}" if torch else algorithm, str(name))

    def _check_optimizer(self, name: str, algorithm: str) -> None:
        """What DeepSpeed makes of an optimizer's name."""
        if name.lower() not in DEEPSPEED_OPTIMIZERS and name not in TORCH_OPTIMIZERS:
            reason = f"{name} is not a supported DeepSpeed Optimizer"
            self.refuse("optimizer.type", "optim", LIBRARY, reason)
            return
        allowed = self.plain("zero_allow_untested_optimizer") is True
        if algorithm not in ZERO_OPTIMIZERS and self._stage() > 0 and not allowed:
            reason = (
                "You are using an untested ZeRO Optimizer. Please add "
                '<"zero_allow_untested_optimizer": true> in the configuration file to use it.'
            )
            self.refuse("optimizer.type", "optim", LIBRARY, reason)

    def _optimizer_parameters(self, algorithm: str, name: str) -> None:
        """The parameters that are there match the arguments; the others are the optimizer's."""
        block = self.at("optimizer.params")
        written = block.value if block is not None and isinstance(block.value, dict) else {}
        known = OPTIMIZER_PARAMETERS.get(algorithm, tuple(written))
        for parameter in written:
            if parameter not in known or parameter == "max_grad_norm":  # of no optimizer here
                reason = f"{name} got an unexpected keyword argument '{parameter}'"
                if parameter == "max_grad_norm":
                    reason = "'max_grad_norm' is not supported as an optimizer parameter"
                self.refuse(f"optimizer.params.{parameter}", "optim", LIBRARY, reason)
        own = OPTIMIZER_DEFAULTS.get(algorithm, OPTIMIZER_DEFAULTS["adamw"])
        for parameter in ("lr", "eps", "weight_decay"):
            path = f"optimizer.params.{parameter}"
            if parameter in written:
                self.match(path, _MATCHED[path])
            elif parameter in own:
                self._own_parameter(path, _MATCHED[path], own[parameter])
        self._betas("betas" in written, own)

    def _own_parameter(self, path: str, setting: str, value: object) -> None:
        name = path.rsplit(".", 1)[-1]
        self.own(setting, value, f"its optimizer block has no {name}")

    def _betas(self, written: bool, own: Mapping[str, object]) -> None:
        if not written:
            betas = own.get("betas", ())
            assert isinstance(betas, tuple)
            for number, value in enumerate(betas, start=1):
                self._own_parameter(_BETAS, f"adam_beta{number}", value)
            return
        plain = self.plain(_BETAS)
        if plain is None or plain == "auto":
            return
        arguments = [self.settings[f"adam_beta{n}"] for n in (1, 2)]
        values = [argument.value for argument in arguments]
        if plain != values:
            self._mismatch(_BETAS, "adam_beta1", plain, "adam_beta1+adam_beta2", values)
        if not isinstance(plain, list) or len(plain) != 2 or not all(map(is_number, plain)):
            return
        for number, argument in enumerate(arguments, start=1):
            if argument.origin != EXPLICIT:
                self.told(_BETAS, f"adam_beta{number}", float(plain[number - 1]))

    def _trainers_optimizer(self) -> None:
        """Trainer's optimizer; accelerate swaps it where its state is offloaded."""
        if not self._offloads() or self.plain("zero_force_ds_cpu_optimizer") is False:
            return
        if self.at(f"{_ZERO}.offload_optimizer") is None:  # the old switch: no one swaps
            reason = (
                "You are using ZeRO-Offload with a client provided optimizer which in most cases "
                "will yield poor performance. Please either use deepspeed.ops.adam."
                "DeepSpeedCPUAdam or set an optimizer in your ds-config"
            )
            self.refuse(f"{_ZERO}.cpu_offload", "optim_implementation", LIBRARY, reason)
            return
        before = self.settings["optim"]
        note = "accelerate swaps Trainer's optimizer for DeepSpeedCPUAdam where it is offloaded"
        name = f"{_ZERO}.offload_optimizer.device"
        if before.value == "adagrad":
            note = note.replace("Adam", "Adagrad")
        elif before.value != "adamw":
            self.told(name, "optim", "adam", note=f"{note}: without decoupled decay")
        self.told(name, "optim_implementation", LIBRARY, note=note)

    # --- Scheduler ------------------------------------------------------------------------

    def _scheduler(self) -> None:
        if self.at("scheduler") is None:
            return
        kind = self.plain("scheduler.type")
        refuse_strange_parameters(self.reader, self.key("scheduler"), str(kind))
        if kind is None:
            return
        overruled = self._overruled("lr_scheduler_type")
        self.told("scheduler.type", "lr_scheduler_type", str(kind), overrules=overruled)
        block = self.at("scheduler.params")
        if block is None or not isinstance(block.value, dict):
            reason = f"{kind}() argument after ** must be a mapping, not NoneType"
            self.refuse("scheduler.type", "lr_scheduler_kwargs", LIBRARY, reason)
            return
        written = {name: self.plain(f"scheduler.params.{name}") for name in block.value}
        self._check_scheduler(str(kind), written)
        kept = self._scheduler_kwargs(str(kind), written)
        self.told("scheduler.params", "lr_scheduler_kwargs", dict(sorted(kept.items())))

    def _check_scheduler(self, kind: str, written: Mapping[str, object]) -> None:
        """What the scheduler's class, and transformers before it, refuse."""
        setting = "lr_scheduler_kwargs"
        for name in SCHEDULER_REQUIRED.get(kind, ()):
            if name not in written:
                reason = f"{kind}.__init__() missing 1 required positional argument: '{name}'"
                self.refuse("scheduler.params", setting, LIBRARY, reason)
        peak, asked = written.get("warmup_max_lr"), self.arguments["learning_rate"].value
        if peak not in (None, "auto") and peak != asked:
            self._mismatch("scheduler.params.warmup_max_lr", setting, peak, "learning_rate", asked)
        for name in ("warmup_num_steps", "total_num_steps"):
            if written.get(name) not in (None, "auto"):
                self._check_steps(name, written[name])

    def _check_steps(self, name: str, steps: object) -> None:
        """A number of steps must be the run's: at once where it is known, else once it is."""
        path, setting = f"scheduler.params.{name}", "lr_scheduler_kwargs"
        if isinstance(steps, bool) or not isinstance(steps, int) or steps <= 0:
            self.refuse(path, setting, LIBRARY, f"{name} must be a positive integer, got {steps}")
            return
        entry = self.at(path)
        assert entry is not None
        told = StepsTold(
            name=name, steps=steps, file=entry.file, line=entry.line, key=self.key(path)
        )
        warmup = self.settings["warmup_steps"].value
        limit = self.settings["max_steps"].value
        if limit <= 0 and (name == "total_num_steps" or 0 < float(warmup) < 1):
            self.engine.told.append(told)
            return
        planned = planned_steps(told, warmup, limit)
        if steps != planned:
            hf = {"total_num_steps": "num_training_steps (calculated)"}.get(name, "warmup_steps")
            self._mismatch(path, setting, steps, hf, planned)

    def _scheduler_kwargs(self, kind: str, written: Mapping[str, object]) -> dict[str, object]:
        """The scheduler's parameters: `auto` ones follow the arguments, absent ones do not."""
        kept = dict(SCHEDULER_DEFAULTS.get(kind, {}))
        kept |= {name: value for name, value in written.items() if value is not None}
        rate = self.arguments["learning_rate"].value
        if kept.get("warmup_max_lr") == "auto" and self.settings["learning_rate"].value != rate:
            kept["warmup_max_lr"] = rate
        return {name: value for name, value in kept.items() if value != "auto"}

    # --- Precision ------------------------------------------------------------------------

    def _precision(self) -> None:
        """`enabled` matches the argument; a block without it is off, whatever the argument says."""
        for name in ("bf16", "fp16"):
            path = f"{name}.enabled"
            block = self.at(name)
            if block is None or not isinstance(block.value, dict):
                continue
            enabled = self.at(path)
            if enabled is None:
                self.own(name, False, f"its {name} block has no `enabled`")
            elif enabled.value is None:
                self.refuse(path, name, LIBRARY, "enabled: Input should be a valid boolean")
            else:
                self.match(path, name, f"{name}|{name}_full_eval")
        self._states_in_half()
        self._dynamic_scale()

    def _states_in_half(self) -> None:
        """What weights and optimizer states in bf16 need of each other and of ZeRO."""
        states, master = "bf16.bf16_optimizer_states", "bf16.bf16_master_weights_and_grads"
        halved = self.plain(master) is True
        if self.plain(states) is True and not halved:
            reason = "bf16_optimizer_states requires bf16_master_weights_and_grads"
            self.refuse(states, f"deepspeed.{states}", LIBRARY, reason)
        if halved and self._stage() == 0:
            reason = "Bf16_master_weights_and_grads is only supported with ZeRO Stage 1, 2, or 3."
            self.refuse(master, f"deepspeed.{master}", LIBRARY, reason)

    def _dynamic_scale(self) -> None:
        """A loss scale that follows the gradients needs a window and a floor above 0."""
        if self.settings["fp16"].value is not True or self.plain("fp16.loss_scale"):
            return
        for name in ("fp16.loss_scale_window", "fp16.min_loss_scale"):
            value = self.plain(name)
            if isinstance(value, (int, float)) and value <= 0:
                reason = f"{name} must be > 0 when dynamic loss scaling is enabled (loss_scale=0)"
                self.refuse(name, f"deepspeed.{name}", LIBRARY, reason)

    # --- `auto` where no one fills it -----------------------------------------------------

    def _strays(self) -> None:
        for name in self._autos():
            if name not in _FILLED:
                reason = (
                    f"`{name}` not found in kwargs. Please specify `{name}` without `auto` (set to "
                    "correct value) in the DeepSpeed config file or pass it in kwargs."
                )
                self.refuse(name, f"deepspeed.{name}", ACCELERATE, reason)

    def _autos(self) -> Iterator[str]:
        for name, entry in self.engine.entry.leaves():
            if entry.value == "auto":
                yield name


def planned_steps(told: StepsTold, warmup: float, total: int) -> int:
    """The number that transformers expects there in a run of so many steps.

    Args:
        told: The number that is written.
        warmup: `warmup_steps`: steps, or a share of them below 1.
        total: Steps of the whole run.
    """
    if told.name == "total_num_steps":
        return total
    return max(1, int(warmup) if warmup >= 1 else math.ceil(total * warmup))
