"""Settings of a training run, and the three kinds of run the project compares."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

OPTIMIZERS = ("muon", "adamw")


@dataclass(frozen=True)
class FitSettings:
    """How `fit` trains. Defaults are those of stage 1 from scratch on a small backbone.

    Attributes
    ----------
    stage : name of the run; salts its random numbers and shows in the log and `params.json`.
    views : training images seen in all, repeats counted; batch_size : images per gradient step.
    optimizer : "muon" learns from scratch in fewer views, "adamw" suits weights that AdamW made; see `make_optimizer`.
    lr, weight_decay : of the optimizer (no decay of biases and norms).
    warmup : share of the steps with rising rate; a cosine to `final_lr` x lr follows.
    layer_decay : learning rate of each layer over that of the one above it; 1 = off.
    ema_decay : of the averaged weights that are evaluated and kept (shorter memory in the first steps); 0 = off.
    label_smoothing : 0 = plain BCE. clip_norm : longest gradient.
    balanced : draw sources alike and findings by the root of their number (see `sampling_probabilities`).
    target_weight : weight of the second loss, that of drawing each lead's average beat (FlatSet.targets), beside the
        labels'; 0 = off. It has no effect on sets without targets.
    geometry, appearance : augmentation strengths (see `augment`); 0 = off.
    seed : the sampler's, the augmentation's, dropout's.
    checkpoint_every, eval_every : in views. A run can be resumed from its last checkpoint.
    max_steps : stop the plan after so many gradient steps, None = as many as `views` need.
    threads : of torch, None = as it is. Results are bit-identical for the same number of threads.
    device : "auto" (CUDA when there is one), "cpu", "cuda", "cuda:1". amp : mixed precision, on CUDA only.
    """

    stage: str = "stage1"
    views: int = 24_000
    batch_size: int = 16
    optimizer: str = "muon"
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    final_lr: float = 0.01
    layer_decay: float = 1.0
    ema_decay: float = 0.998
    label_smoothing: float = 0.0
    clip_norm: float = 1.0
    balanced: bool = True
    target_weight: float = 1.0
    geometry: float = 1.0
    appearance: float = 1.0
    seed: int = 0
    checkpoint_every: int = 2_000
    eval_every: int = 4_000
    max_steps: int | None = None
    threads: int | None = None
    device: str = "auto"
    amp: bool = True

    def __post_init__(self) -> None:
        for name in ("views", "batch_size", "checkpoint_every", "eval_every", "max_steps", "threads"):
            value = getattr(self, name)
            optional = name in ("max_steps", "threads") and value is None
            if not optional and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"FitSettings.{name} must be a whole number of at least 1, got {value!r}.")
        for name, low, high in (
            ("lr", 0, 1), ("weight_decay", -1e-12, 1), ("warmup", -1e-12, 1), ("final_lr", -1e-12, 1 + 1e-12),
            ("layer_decay", 0, 1 + 1e-12), ("ema_decay", -1e-12, 1), ("label_smoothing", -1e-12, 1),
            ("clip_norm", 0, math.inf), ("target_weight", -1e-12, 100), ("geometry", -1e-12, 10),
            ("appearance", -1e-12, 10),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low < value < high:  # NaN fails too
                raise ValueError(
                    f"FitSettings.{name} must be between {max(low, 0):g} and {min(high, 1e9):g}, got {value!r}."
                )
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"FitSettings.optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}.")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"FitSettings.seed must be a whole number of at least 0, got {self.seed!r}.")
        if not self.stage:
            raise ValueError("FitSettings.stage must be a name, got an empty string.")

    @property
    def steps(self) -> int:
        """Gradient steps of the whole run."""
        steps = math.ceil(self.views / self.batch_size)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def lr_factor(self, step: int) -> float:
        """Share of `lr` used in 0-based `step`: linear warm-up, then half a cosine down to `final_lr`."""
        warm = round(self.warmup * self.steps)
        if step < warm:
            return (step + 1) / warm
        progress = (step - warm) / max(1, self.steps - 1 - warm)
        return self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def stage1_settings(**changes: Any) -> FitSettings:
    """Morphology learning on scan-like sources: the full learning rate, every layer."""
    return FitSettings(**{"stage": "stage1"} | changes)


def stage2_settings(**changes: Any) -> FitSettings:
    """Adaptation to the target from a stage-1 checkpoint: a lower rate, lower still in early layers.

    The numbers are our own choice; stage 1 here is a small network, whose early layers still have to move.
    """
    own = {"stage": "stage2", "views": 8_000, "lr": 3e-4, "layer_decay": 0.9, "ema_decay": 0.99}
    return FitSettings(**own | changes)


def baseline_settings(stage1: FitSettings, stage2: FitSettings) -> FitSettings:
    """Single-source training for as many gradient steps, of the same batch, as the two stages together have."""
    if stage1.batch_size != stage2.batch_size:
        raise ValueError(
            f"The baseline is only comparable when both stages have one batch size, got {stage1.batch_size} "
            f"and {stage2.batch_size}."
        )
    steps = stage1.steps + stage2.steps
    return replace(stage1, stage="baseline", views=steps * stage1.batch_size, max_steps=None)
