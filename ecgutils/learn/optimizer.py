"""Which weights learn how fast, and by which rule."""

from typing import Any

import timm.optim
import torch

from ecgutils.learn.model import ECGModel
from ecgutils.learn.settings import FitSettings

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
