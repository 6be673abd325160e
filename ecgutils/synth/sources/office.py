"""Cart printout on a flatbed scanner: slight skew, paper tone, shadow of the lid, dust, JPEG."""

import cv2
import numpy as np

from ecgutils.synth.effects import add_noise, blur, jpeg, multiply_field, smooth_field
from ecgutils.synth.sources.base import Source, coarse_size, scan_scale


def _scan(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    w, h = coarse_size(image)
    scale = scan_scale(image)
    tone = rng.uniform((0.93, 0.92, 0.87), (1.0, 0.99, 0.98)).astype(np.float32)
    lit = 1 + 0.015 * smooth_field(rng, (w, h), 4)
    if rng.random() < 0.4:  # the lid does not close over a thick file: one edge is darker
        edge = np.linspace(0, 1, w, dtype=np.float32) if rng.random() < 0.5 else np.linspace(1, 0, w, dtype=np.float32)
        lit = lit * (1 - rng.uniform(0.1, 0.4) * np.exp(-edge / rng.uniform(0.03, 0.1)))
    image = multiply_field(image, lit[..., None] * tone)
    count, (height, width) = int(rng.integers(0, 60)), image.shape[:2]
    dust = rng.uniform([[0], [0], [0.27 * scale]], [[width], [height], [0.9 * scale]], (3, count))  # x, y, radius
    for x, y, r in (16 * dust.T).astype(int).tolist():
        cv2.circle(image, (x, y), r, (90, 85, 80), -1, cv2.LINE_AA, 4)
    image = blur(image, rng.uniform(0.35, 0.75) * scale)
    if grey := bool(rng.random() < 0.12):
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    quality = int(rng.integers(45, 92))
    return jpeg(add_noise(image, rng, rng.uniform(1, 4)), quality), {"grey": grey, "jpeg_quality": quality}


SOURCE = Source(
    name="office",
    layout={"3x4+1": 10, "3x4": 4, "3x4+3": 3, "6x2": 1, "6x2+1": 1},
    palette={"red": 4, "pink": 4, "orange": 3, "brick": 2, "green": 1, "crimson": 1},
    grid={"lines": 6, "stipple": 3, "dots": 2, "millimetre": 0.5},
    separator={"none": 2, "ticks": 3, "cross": 1, "dotted": 2},
    font={"sans": 2, "serif": 3, "mono": 3, "serif-bold": 1, "sans-oblique": 1},
    paper={"letter": 4, "a4": 4, "strip": 1},
    trace_mm=0.3,
    noted=0.25,
    scan=_scan,
)
