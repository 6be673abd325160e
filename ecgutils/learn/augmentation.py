"""Ink varied in training, whole batches at once. Never mirrored: another ECG."""

import numpy as np
import torch
import torch.nn.functional as F

# Ranges at strength 1, our own choice, looked at on flat pages (no published values for this input).
SHIFT = 0.03  # of the width or height
SCALE = 0.06  # sd of the log of the size, and SCALE / 2 of the aspect
ROTATION = 0.026  # sd, radians (1.5 degrees)
SHEAR = 0.02  # sd
PERSPECTIVE = 0.02  # sd of the two perspective terms at the edge of the page
GAIN, GAMMA = 0.3, 0.35  # sd of the logs
PAPER, NOISE = 0.12, 0.06  # highest grey of the paper; highest sd of the noise (ink units, 0..1)
ERASE_CHANCE, ERASE_SIZE = 0.3, 0.25  # chance of a blank rectangle; its highest share of each side


def augment(ink: torch.Tensor, rng: np.random.Generator, geometry: float, appearance: float) -> torch.Tensor:
    """Vary a batch of ink images (1 = black, 0 = paper); parameters are drawn per image, work is done per batch.

    ink : float (B, 1, H, W) in 0..1, any device; what comes back is alike, the input itself when both strengths are 0.
    geometry : strength of the shift, scale, rotation, shear and perspective of a slightly wrong rectification; 0 = off.
    appearance : strength of gamma, contrast, paper tone, noise and erasing; 0 = off.
    """
    if geometry > 0:
        ink = _warp(ink, _homographies(len(ink), ink.shape[2] / ink.shape[3], rng, geometry))
    return _repaint(ink, rng, appearance) if appearance > 0 else ink


def _homographies(n: int, height_by_width: float, rng: np.random.Generator, strength: float) -> np.ndarray:
    """float32 (n, 3, 3) source-from-target maps in grid_sample's coordinates (-1..1 on each axis)."""
    draw = rng.standard_normal((n, 6)).clip(-2.5, 2.5) * strength
    shift = rng.uniform(-2 * SHIFT, 2 * SHIFT, (n, 2)) * strength
    size, aspect = np.exp(draw[:, 0] * SCALE), np.exp(draw[:, 1] * SCALE / 2)
    angle, shear = draw[:, 2] * ROTATION, draw[:, 3] * SHEAR
    maps = np.zeros((n, 3, 3))
    # A rotation in pixels; on the -1..1 axes its off-diagonal terms carry the aspect of the page.
    maps[:, 0, 0], maps[:, 0, 1] = size * aspect * np.cos(angle), (shear - np.sin(angle)) * height_by_width
    maps[:, 1, 0], maps[:, 1, 1] = np.sin(angle) / height_by_width, size / aspect * np.cos(angle)
    maps[:, :2, 2], maps[:, 2, :2], maps[:, 2, 2] = shift, draw[:, 4:] * PERSPECTIVE, 1
    return maps.astype(np.float32)


def _warp(ink: torch.Tensor, maps: np.ndarray) -> torch.Tensor:
    _, _, height, width = ink.shape
    x = (torch.arange(width, device=ink.device) * 2 + 1) / width - 1  # pixel centres
    y = (torch.arange(height, device=ink.device) * 2 + 1) / height - 1
    m = torch.from_numpy(maps).to(ink.device, non_blocking=True)[:, :, :, None, None]  # (B, 3, 3, 1, 1)
    u, v, w = (m[:, i, 0] * x + m[:, i, 1] * y[:, None] + m[:, i, 2] for i in range(3))  # each (B, H, W)
    grid = torch.stack((u / w, v / w), dim=-1)
    return F.grid_sample(ink, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _repaint(ink: torch.Tensor, rng: np.random.Generator, strength: float) -> torch.Tensor:
    n, _, height, width = ink.shape

    def column(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(ink.device, non_blocking=True).view(n, 1, 1, 1)

    gamma = column(np.exp(rng.normal(0, GAMMA * strength, n)))
    gain = column(np.exp(rng.normal(0, GAIN * strength, n)))
    paper = column(rng.uniform(0, PAPER * strength, n))
    sd = column(rng.uniform(0, NOISE * strength, n))
    noise = torch.Generator(ink.device).manual_seed(int(rng.integers(2**62)))
    out = ink.clamp(0, 1).pow(gamma).mul(gain)
    out.mul_(1 - paper).add_(paper)
    out.add_(torch.randn(out.shape, generator=noise, device=ink.device).mul_(sd))
    has = rng.random(n) < ERASE_CHANCE * strength
    size = rng.uniform(0.05, ERASE_SIZE, (n, 2)) * has[:, None]
    start = rng.uniform(0, 1, (n, 2)) * (1 - size)
    y, x = np.arange(height)[None] / height, np.arange(width)[None] / width
    rows = (y >= start[:, :1]) & (y < start[:, :1] + size[:, :1])
    columns = (x >= start[:, 1:]) & (x < start[:, 1:] + size[:, 1:])
    keep = ~(rows[:, :, None] & columns[:, None, :])  # (n, H, W): outside the image's rectangle, if it has one
    return out.clamp_(0, 1).mul_(torch.from_numpy(keep).to(ink.device, non_blocking=True)[:, None])
