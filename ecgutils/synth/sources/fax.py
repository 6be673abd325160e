"""Photocopy or fax: grey or black-and-white, threshold speckle, dropped lines, smudges."""

import cv2
import numpy as np

from ecgutils.synth.effects import add_noise, blur, jpeg, smooth_field
from ecgutils.synth.sources.base import Source, coarse_size, scan_scale


def _scan(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    scale, size = scan_scale(image), coarse_size(image)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grey = blur(grey, rng.uniform(0.4, 0.8) * scale)
    grey = add_noise(grey, rng, rng.uniform(6, 18), 0.7 * scale)
    toner = np.clip(smooth_field(rng, size, 6), -2, 2)
    dirt = cv2.GaussianBlur(rng.standard_normal((2 * size[1], 2 * size[0]), dtype=np.float32), (0, 0), 0.8)
    dirt = np.clip((dirt - rng.uniform(1.1, 1.6)) * 900, 0, 255).astype(np.uint8)  # crumbs of any shape
    grey = cv2.subtract(grey, cv2.resize(dirt, grey.shape[::-1]), dst=grey)
    if rng.random() < 0.3:  # a fax in standard mode has half as many lines as columns
        half = cv2.resize(grey, (grey.shape[1], grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
        grey = cv2.resize(half, grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
    two_level = bool(rng.random() < 0.6)
    small = grey[::3, ::3]
    bright = (small > 0.6 * np.percentile(small, 95)).astype(np.uint8)  # a dark surround is no ink
    page = cv2.erode(cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((7, 7))), np.ones((7, 7)))
    ink, paper = np.percentile(small[page > 0], (2.5, 75)).astype(int).tolist()
    # the tone that turns white lies between ink and paper and wanders with the toner; most of a pale grid gets lost
    middle = ink + (paper - ink) * rng.uniform(0.45, 0.76)
    if two_level:
        level = np.clip(middle + 0.05 * (paper - ink) * toner, 0, 250)
        grey = cv2.compare(grey, cv2.resize(level.astype(np.uint8), grey.shape[::-1]), cv2.CMP_GT)
    else:  # steep copier curve
        curve = 255 / (1 + np.exp(-(np.arange(256) - middle) / rng.uniform(10, 24)))
        grey = cv2.LUT(grey, curve.astype(np.uint8))
    for _ in range(int(rng.integers(0, 6))):  # lines lost in transmission, or streaks of a dirty drum
        y, thick = int(rng.integers(len(grey))), max(1, round(rng.uniform(0.5, 1.5) * scale))
        grey[y : y + thick] = 255 if rng.random() < 0.7 else grey[y : y + thick] // 3
    image = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    return (image if two_level else jpeg(image, int(rng.integers(40, 80)))), {"two_level": two_level}


SOURCE = Source(
    name="fax",
    layout={"3x4+1": 10, "3x4": 5, "6x2": 2, "12x1": 1},
    palette={"grey": 5, "brick": 3, "faint": 2},
    grid={"lines": 5, "coarse": 3, "dots": 2},
    separator={"none": 3, "ticks": 3, "cross": 2, "line": 2},
    font={"mono": 4, "serif-bold": 2, "sans-bold": 2, "mono-bold": 2},
    paper={"letter": 4, "a4": 4, "strip": 1},
    trace_mm=0.42,
    scan=_scan,
)
