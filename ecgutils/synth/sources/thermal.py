"""Narrow thermal roll: faded in patches, yellowed or heat-stained, dead dots of the print head."""

import cv2
import numpy as np

from ecgutils.synth.effects import add_noise, blur, jpeg, multiply_field, smooth_field
from ecgutils.synth.sources.base import Source, coarse_size, scan_scale


def _scan(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    w, h = coarse_size(image)
    scale = scan_scale(image)
    for _ in range(int(rng.integers(0, 5))):  # a dead dot of the print head leaves a pale line along the roll
        y, thick = int(rng.integers(len(image))), max(1, round(0.8 * scale))
        image[y : y + thick] = image[y : y + thick] // 3 + 160
    fading = float(rng.uniform(0.15, 0.6))
    fade = np.clip(fading * (0.75 + 0.45 * smooth_field(rng, (w, h), 3)), 0, 0.72)
    image = cv2.bitwise_not(multiply_field(cv2.bitwise_not(image), np.dstack([1 - fade] * 3)))  # ink fades to white
    tone = rng.uniform((0.9, 0.87, 0.74), (0.99, 0.97, 0.92)).astype(np.float32)
    warmth = 0.7 * smooth_field(rng, (w, h), 5) + 0.5 * smooth_field(rng, (w, h), 13)  # heat darkens the paper
    stain = np.maximum(warmth - 0.9, 0) * rng.uniform(0, 0.12)
    roll = 1 - 0.10 * np.abs(np.linspace(-1, 1, h, dtype=np.float32)) ** 6  # edges darken where the roll was open
    image = multiply_field(image, (roll[:, None] * (1 - stain))[..., None] * tone)
    image = blur(image, rng.uniform(0.4, 0.8) * scale)
    return jpeg(add_noise(image, rng, rng.uniform(2, 5), 0.6), int(rng.integers(55, 90))), {"fading": fading}


SOURCE = Source(
    name="thermal",
    layout={"3x4+1": 8, "3x4": 6, "6x2": 3, "12x1": 1, "6x2+1": 1},
    palette={"orange": 3, "green": 2, "faint": 3, "brick": 3},
    grid={"lines": 5, "dots": 3, "coarse": 2, "none": 1},
    separator={"none": 2, "dotted": 3, "line": 2},
    font={"mono": 5, "sans": 2},
    paper={"strip": 1},
    trace_mm=0.36,
    trace_rgb=(62, 54, 84),
    noted=0.25,
    scan=_scan,
)
