"""What a source of images is: what it prints, and for a scan, what happens to the paper and in the scanner."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgutils.synth.ink import RGB

DEFAULT_SCAN_SIZE = (1100, 850)  # letter paper at 100 dpi
Weights = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a source prints, and what happens then.

    `layout`, `palette`, `grid`, `separator`, `font` and `paper` are choices with their weights: those of `PageStyle`
    and PALETTES; paper is "letter", "a4" or "strip" (cut off a roll). `trace_mm` is the middle of the trace's width,
    `trace_rgb` its ink; `plotted` is the share of pages as plotting scripts draw them, `noted` with a pen's marks.
    Of a scan-like source also: `wear(layers, rng, ppm)`, px per mm, changes the printed page in place, uint8 (H, W, 4):
    RGB and trace coverage; `on_glass` pages lie askew on a scanner's glass, sometimes with its dark lid around;
    `scan(image, rng)` returns the image, uint8 (H, W, 3), as it comes out, and what to tell of it in `Rendered.style`.
    """

    name: str
    layout: Weights
    palette: Weights
    grid: Weights
    separator: Weights
    font: Weights
    paper: Weights
    trace_mm: float
    trace_rgb: RGB = (22, 22, 28)
    plotted: float = 0.0
    noted: float = 0.0
    wear: Callable[[np.ndarray, np.random.Generator, float], None] | None = None
    scan: Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, dict[str, Any]]] | None = None
    on_glass: bool = True


def coarse_size(image: np.ndarray) -> tuple[int, int]:
    """(W, H) of low-resolution fields: 1/8 of the image."""
    return image.shape[1] // 8, image.shape[0] // 8


def scan_scale(image: np.ndarray) -> float:
    """Width of the image in units of the default scan's: lengths in px are given for that."""
    return image.shape[1] / DEFAULT_SCAN_SIZE[0]
