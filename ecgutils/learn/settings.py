"""Settings of a training run, and its optimizer; a profile's come from `ecgutils.profiles.arm_settings`."""

import math
from dataclasses import dataclass
from typing import Any

import timm.optim
import torch

from ecgutils.learn.model import ECGModel

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
    views : training images seen in all, repeats counted; batch_size : images per gradient step.
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
    device : "auto" (CUDA when there is one), "cpu", "cuda", "cuda:1".

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


# a, b, c of each Newton-Schulz step (https://leloykun.github.io/ponder/muon-opt-coeffs), as timm's preset "quintic"
STEPS = (
    (4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037), (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)  # fmt: skip


def orthogonalise(update: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrix, roughly: singular values of `update` (m, n), not 0, come to about 1; its dtype.

    Each step takes x to (a + b x x^T + c (x x^T)^2) x. It is calculated on x x^T alone and x multiplied once, at the
    end, by what the steps come to: half of the arithmetic where n = 4 m, as between the layers of a block.
    """
    tall = update.shape[0] > update.shape[1]
    x = update.mT if tall else update
    x = x / x.norm().clamp(min=1e-7)
    gram, product = x @ x.mT, None
    for i, (a, b, c) in enumerate(STEPS):
        factor = b * gram + c * (gram @ gram)
        factor.diagonal().add_(a)
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor if i < len(STEPS) - 1 else gram
    x = product @ x
    return x.mT if tall else x


class Muon(timm.optim.Muon):
    """timm's, but on a CPU float32: most only emulate its bfloat16, which makes a training step 40 times as long."""

    @torch.no_grad()
    def step(self) -> None:
        """One step. Gradients of matrices on a CPU are None after it: used up, which is why timm's step skips them."""
        for group in self.param_groups:
            for p in [] if group["use_fallback"] else group["params"]:
                if p.grad is None or p.device.type != "cpu":
                    continue
                momentum = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                update = orthogonalise(momentum.lerp_(p.grad, 1 - group["momentum"]).flatten(1))
                scale = 0.2 * max(update.shape) ** 0.5  # steps as long as AdamW's (Liu et al. 2025, arXiv 2502.16982)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.reshape(p.shape), alpha=-group["lr"] * scale)
                p.grad = None
        super().step()


def make_optimizer(model: ECGModel, settings: FitSettings) -> torch.optim.Optimizer:
    """Muon or AdamW with layer-wise rates (`lr_scale` of each group) and no decay of biases, norms and other vectors.

    Muon (Jordan et al. 2024) takes the matrices between layers; the first and last layer, depthwise kernels and vectors
    stay with AdamW.
    """
    layers = model.parameter_layers()
    top = max(layers.values())
    groups: dict[tuple[int, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        between = 0 < layers[name] < top or name.endswith(("head.project.weight", "head.key.weight"))
        matrix = between and parameter.ndim > 1 and parameter.shape[1] > 1
        decays = parameter.ndim > 1 and name not in ("head.near", "head.query")
        key = (layers[name] if settings.layer_decay < 1 else top, decays, matrix)
        scale = settings.layer_decay ** (top - key[0])
        about = {"weight_decay": settings.weight_decay * decays, "lr_scale": scale, "use_fallback": not matrix}
        groups.setdefault(key, {"params": [], **about})["params"].append(parameter)
    if settings.optimizer == "muon":
        return Muon(groups.values(), lr=settings.lr, ns_coefficients=STEPS)
    return torch.optim.AdamW(groups.values(), lr=settings.lr)
