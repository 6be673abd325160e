"""Settings of a training run, and its optimizer; a profile's come from `ecgutils.profiles.arm_settings`."""

import math
from dataclasses import dataclass

OPTIMIZERS = ("muon", "adamw")
_LEAST = {
    "views": 1, "batch_size": 1, "checkpoint_every": 1, "eval_every": 1, "max_steps": 1, "threads": 1, "seed": 0,
}  # fmt: skip
# Numbers between two others, which they may not be.
_RANGES = {
    "lr": (0, 1), "weight_decay": (-1e-12, 1), "warmup": (-1e-12, 1), "final_lr": (-1e-12, 1 + 1e-12),
    "layer_decay": (0, 1 + 1e-12), "ema_decay": (-1e-12, 1), "clip_norm": (0, math.inf),
    "target_weight": (-1e-12, 100), "geometry": (-1e-12, 10), "appearance": (-1e-12, 10),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How `fit` trains. What a profile decides has no default here.

    Attributes
    ----------
    stage : name of the run; salts its random numbers and shows in the log and `params.json`.
    views : training images seen in all, repeats counted; batch_size : images per gradient step, of all processes.
    optimizer : "muon" learns from scratch in fewer views, "adamw" suits weights that AdamW made; see `make_optimizer`.
    lr, weight_decay : of the optimizer (no decay of biases and norms).
    warmup : share of the steps with rising rate; a cosine to `final_lr` x lr follows.
    layer_decay : learning rate of each layer over that of the one above it; 1 = off.
    ema_decay : of the averaged weights that are evaluated and kept (shorter memory in the first steps); 0 = off.
    clip_norm : longest gradient.
    target_weight : of the second loss, that of drawing each lead's average beat (FlatSet.targets, if any); 0 = off.
    geometry, appearance : augmentation strengths (see `augment`); 0 = off.
    seed : the sampler's, the augmentation's, dropout's.
    checkpoint_every, eval_every : in views. A run can be resumed from its last checkpoint.
    max_steps : stop the plan after so many gradient steps, None = as many as `views` need.
    threads : of torch, None = as it is. Results are bit-identical for the same number of threads.
    device : "auto" (CUDA when there is one), "cpu", "cuda", "cuda:1"; of several processes each has a GPU of its own.

    Raises ValueError, by the setting's name, for one that is out of range.
    """

    stage: str
    views: int
    batch_size: int
    optimizer: str
    lr: float
    layer_decay: float
    target_weight: float
    geometry: float
    appearance: float
    seed: int
    checkpoint_every: int
    eval_every: int
    weight_decay: float = 0.05
    warmup: float = 0.1
    final_lr: float = 0.01
    ema_decay: float = 0.998
    clip_norm: float = 1.0
    max_steps: int | None = None
    threads: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        def refuse(name: str, wanted: str) -> None:
            raise ValueError(f"FitSettings.{name} must be {wanted}, got {getattr(self, name)!r}.")

        for name, least in _LEAST.items():
            value = getattr(self, name)
            optional = name in ("max_steps", "threads") and value is None
            if not optional and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                refuse(name, f"a whole number of at least {least}")
        for name, (low, high) in _RANGES.items():
            if not low < getattr(self, name) < high:  # NaN fails too
                refuse(name, f"between {max(low, 0):g} and {min(high, 1e9):g}")
        if self.optimizer not in OPTIMIZERS:
            refuse("optimizer", f"one of {', '.join(OPTIMIZERS)}")
        if not self.stage:
            refuse("stage", "a name")

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
