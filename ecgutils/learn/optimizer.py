"""Which weights learn how fast, and by which rule."""

from __future__ import annotations

from typing import Any

import timm.optim.muon
import torch
from timm.optim import Muon

from ecgutils.learn.model import ECGModel
from ecgutils.learn.settings import FitSettings

_timm_orthogonalise = timm.optim.muon.zeropower_via_newtonschulz


def _orthogonalise(
    update: torch.Tensor,
    steps: int,
    coefficients: list[tuple[float, float, float]],
    eps: float = timm.optim.muon.MUON_EPS,
    safety_factor: float = 1.0,
    scale_eps: bool = False,
) -> torch.Tensor:
    """timm's, but on a CPU in float32: most CPUs only emulate its bfloat16, which makes a step 40 times as long.

    There each Newton-Schulz step is taken on X X^T (m, m) instead of X (m, n), and X multiplied once, at the end, by
    what they come to: the same polynomial with half of the arithmetic where n = 4 m, as between a block's layers.
    """
    if update.device.type != "cpu" or scale_eps:
        return _timm_orthogonalise(update, steps, coefficients, eps, safety_factor, scale_eps=scale_eps)
    tall = update.shape[-2] > update.shape[-1]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * safety_factor).clamp(min=eps)
    gram, product = x @ x.mT, None
    for step in range(steps):
        a, b, c = coefficients[min(step, len(coefficients) - 1)]
        factor = b * gram + c * (gram @ gram)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor if step < steps - 1 else gram
    x = product @ x
    return x.mT if tall else x


timm.optim.muon.zeropower_via_newtonschulz = _orthogonalise  # Muon has no argument for it


def make_optimizer(model: ECGModel, settings: FitSettings) -> torch.optim.Optimizer:
    """Muon or AdamW with layer-wise rates (`lr_scale` of each group) and no decay of biases, norms and other vectors.

    Muon (Jordan et al. 2024; timm's, its steps scaled to AdamW's) takes the matrices between layers; the first and last
    layer, depthwise kernels and vectors stay with AdamW.
    """
    layers = model.parameter_layers()
    top = max(layers.values())
    groups: dict[tuple[int, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        between = 0 < layers[name] < top or name.endswith(("head.project.weight", "head.key.weight"))
        matrix = between and parameter.ndim > 1 and parameter.shape[1] > 1
        decays = parameter.ndim > 1 and name not in ("head.near", "head.query")
        key = (layers[name] if settings.layer_decay < 1 else top, decays, matrix)
        decay = settings.weight_decay if key[1] else 0.0
        scale = settings.layer_decay ** (top - key[0])
        about = {"params": [], "weight_decay": decay, "lr_scale": scale, "use_fallback": not matrix}
        groups.setdefault(key, about)["params"].append(parameter)
    kind = Muon if settings.optimizer == "muon" else torch.optim.AdamW
    return kind(groups.values(), lr=settings.lr)
