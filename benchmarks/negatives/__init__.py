"""Images that are no readable 12-lead ECG, to train and to test a reader

Two families: no ECG at all (forms, tables, charts, papers, textures), and ECGs that are no 12-lead page (single-lead
strips and reports, monitors, Holter pages, cut pages, figures). The cover holds ECG leads and electrograms, but not
what else looks like them: pulse waves, EEG, loops, charts.
`python benchmarks/negatives OUT.png [SEED]` draws all kinds.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from conditions import photograph
from numpy.random import Generator

from negatives.ecg import ECG
from negatives.no_ecg import NO_ECG
from negatives.sheet import Sheet, tint

KINDS: dict[str, Callable[[Sheet, Generator], None]] = {
    drawer.__name__.strip("_").replace("_", " "): drawer for drawer in NO_ECG + ECG
}
# width / height of a sheet, and how often it is dark, where not as others
SHAPES = {"receipt": (0.3, 0.5), "label": (0.8, 2), "stock chart": (1.2, 2), "strip": (2, 5), "monitor": (1.2, 1.8),
          "electrophysiology": (1.2, 1.9), "eeg": (1.1, 1.8), "vector loops": (1.2, 1.9), "ladder diagram": (1.3, 2),
          "spreadsheet": (1.2, 1.8), "holter strip": (1.3, 2.5)}  # fmt: skip
DARK = {"monitor": 1.0, "electrophysiology": 0.7, "code": 0.9, "stock chart": 0.5, "line chart": 0.2, "floor plan": 0.2}


def shoot(image: np.ndarray, cover: np.ndarray | None, rng: Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """A photo of a sheet, and the cover in it."""
    long = 600 * 5 ** (rng.random() ** 1.8)
    narrow = min(image.shape[:2]) / max(image.shape[:2])  # a strip keeps its corners apart
    grey = rng.uniform(10, 235)
    table = tint(rng) if rng.random() < 0.1 else np.clip(grey * rng.uniform(0.75, 1.1) + rng.normal(0, 12, 3), 0, 255)
    size = (round(long), round(long * rng.uniform(0.56, 0.8)))
    size = size if image.shape[1] > image.shape[0] else size[::-1]
    angle = rng.normal(0, 5) if rng.random() < 0.75 else rng.choice([90, -90, 180])
    how = {"steep": rng.uniform(0, 0.12) * narrow, "cover": rng.uniform(0.6, 1.25), "table": tuple(table),
           "texture": rng.uniform(2, 15), "light": rng.uniform(0.3, 1), "gamma": rng.uniform(0.8, 1.6),
           "blur": rng.uniform(0.3, 1.6), "noise": rng.uniform(0.5, 8), "jpeg": int(rng.integers(25, 95)),
           "invert": rng.random() < 0.04}  # fmt: skip
    photo, homography = photograph(image, rng, size, float(angle), **how)
    return photo, None if cover is None else cv2.warpPerspective(cover, homography, photo.shape[1::-1])


def crease(image: np.ndarray, rng: Generator) -> None:
    """Folds across the paper, in place."""
    for _ in range(rng.integers(1, 4)):
        axis = int(rng.integers(2))
        n, at = image.shape[axis], rng.uniform(0.1, 0.9)
        off = (np.arange(n) / n - at) / rng.uniform(0.004, 0.1)
        light = 1 + rng.uniform(-0.3, 0.1) * np.exp(-np.abs(off)) * np.where(off > 0, 1, rng.uniform(-0.2, 1))
        for channel in range(3):
            image[..., channel] = np.clip(image[..., channel] * (light[:, None] if axis == 0 else light), 0, 255)


def draw_negative(kind: str, rng: Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 RGB (H, W, 3) as a scan, export or photo, and uint8 (H, W) how much of each pixel an ECG trace covers.

    The cover is None where no ECG is. Raises KeyError for a name that is not in KINDS."""
    drawer = KINDS[kind]
    dark = tint(rng, 0, 35) if rng.random() < DARK.get(kind, 0) else None
    sheet = Sheet(rng, rng.uniform(*SHAPES[kind]) if kind in SHAPES else None, dark)
    drawer(sheet, rng)
    image, cover = sheet.image, sheet.cover
    if rng.random() < 0.2 and not sheet.dark:
        crease(image, rng)
    if rng.random() < 0.6:
        image, cover = shoot(image, cover, rng)
    else:
        turns = int(rng.choice([0, 0, 0, 0, 1, 2, 3]))
        image, cover = np.rot90(image, turns), None if cover is None else np.rot90(cover, turns)
        if rng.random() < 0.2:
            image = np.repeat(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 100))])[1]
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)  # the order of colours stays
    return image, np.ascontiguousarray(cover) if cover is not None and cover.any() else None
