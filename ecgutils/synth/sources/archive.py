"""Years in a hospital's folder: typed, yellowed, stamped, punched, written on, then scanned."""

import cv2
import numpy as np

from ecgutils.synth.effects import add_noise, blur, jpeg, multiply_field, smooth_field
from ecgutils.synth.folder import keep_in_folder
from ecgutils.synth.sources.base import Source, coarse_size, scan_scale


def _scan(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    w, h = coarse_size(image)
    scale = scan_scale(image)
    yellow = float(rng.uniform(0.2, 1))
    tone = 1 - yellow * np.array([0.07, 0.14, 0.34], np.float32) * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    x, y = np.meshgrid(np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32))
    rim = np.maximum(np.abs(x), np.abs(y)) ** 12 + 0.25 * np.maximum(smooth_field(rng, (w, h), 4), 0)  # air and light
    spots = cv2.GaussianBlur(rng.standard_normal((h, w), dtype=np.float32), (0, 0), w / 140)
    foxing = np.clip(spots / spots.std() - rng.uniform(2.4, 3.4), 0, 0.5) * rng.uniform(0.3, 1)
    aged = 1 - (0.16 * yellow * rim + foxing)[..., None] * np.array([0.5, 0.75, 1.1], np.float32)
    image = multiply_field(image, aged * tone)
    image = blur(image, rng.uniform(0.35, 0.8) * scale)
    quality = int(rng.integers(40, 88))
    image = jpeg(add_noise(image, rng, rng.uniform(1.5, 5), 0.6), quality)
    return image, {"yellowing": yellow, "jpeg_quality": quality}


SOURCE = Source(
    name="archive",
    layout={"3x4+1": 6, "3x4": 6, "6x2": 4, "6x2+1": 2, "12x1": 1},
    palette={"brick": 4, "orange": 3, "green": 3, "blue": 1, "faint": 1, "crimson": 1},
    grid={"lines": 7, "coarse": 1, "dots": 1},
    separator={"none": 3, "cross": 3, "line": 2},
    font={"mono": 3, "mono-bold": 2, "roman": 2, "serif": 1},
    paper={"letter": 2, "a4": 4},
    trace_mm=0.4,
    trace_rgb=(44, 40, 52),
    noted=0.8,
    wear=keep_in_folder,
    scan=_scan,
)
