"""Years in a hospital's folder: typed, yellowed, stamped, punched, written on, then scanned."""

import cv2
import numpy as np

from ecgutils.synth.effects import add_noise, blur, jpeg, multiply_field, smooth_field
from ecgutils.synth.ink import ink, stroke, write
from ecgutils.synth.sources.base import Source, coarse_size, scan_scale

_STAMPS = ("RECEIVED", "CARDIOLOGY", "ECG DEPT", "COPY", "FILED", "SEEN", "MED. RECORDS", "CHECKED")
_STAMP_RGB = ((70, 40, 140), (30, 50, 150), (180, 40, 50), (40, 40, 46), (30, 110, 80))


def _keep_in_folder(layers: np.ndarray, rng: np.random.Generator, ppm: float) -> None:
    """Stamps, a worn fold, a staple and punch holes; nothing here depends on the record."""
    h, w = layers.shape[:2]
    for _ in range(int(rng.integers(0, 4))):
        _stamp(layers, rng, ppm)
    if rng.random() < 0.6:  # a fold across the page that has lost some print and gathered some dirt
        t = np.linspace(0, 1, 24)
        at = rng.choice([1 / 3, 1 / 2, 2 / 3]) + rng.normal(0, 0.02) + 0.002 * np.cumsum(rng.normal(0, 1, 24))
        line = np.stack([t * w, at * h] if rng.random() < 0.4 else [at * w, t * h], -1)
        for rgb, shift, opacity in (((250, 248, 240), 0.0, 0.6), ((120, 105, 90), 1.5, 0.35)):
            mask = np.zeros((h, w), np.uint8)
            stroke(mask, [line + shift], rng.uniform(0.5, 1.5) * w / 1100)
            ink(layers, mask, rgb, opacity)
    if rng.random() < 0.4:  # a staple, or the two rust spots it left, in a top corner
        x, y, angle = rng.uniform(5, 12) * ppm, rng.uniform(4, 10) * ppm, rng.normal(0.6, 0.4)
        ends = np.array([(x, y), (x + 11 * ppm * np.cos(angle), y - 5 * ppm * np.sin(angle))])
        ends[:, 0] = ends[:, 0] if rng.random() < 0.7 else w - ends[:, 0]
        mask = np.zeros((h, w), np.uint8)
        spots = [end + np.array([(0, 0), (0.4, 0.3)]) * ppm for end in ends]
        stroke(mask, [ends] if rng.random() < 0.5 else spots, 0.7 * ppm)
        ink(layers, mask, (110, 90, 70), 0.85)
    if rng.random() < 0.75:  # two holes 80 mm apart (ISO 838), or four, near the left or the top edge
        left = rng.random() < 0.6
        length, edge = (h, rng.uniform(8, 13) * ppm) if left else (w, rng.uniform(7, 11) * ppm)
        behind = int(rng.choice([255, 235, 60]))
        for offset in (-40, 40) if rng.random() < 0.7 else (-120, -40, 40, 120):
            along = length / 2 + (offset + rng.normal(0, 0.3)) * ppm
            centre = tuple(round(16 * v) for v in ((edge, along) if left else (along, edge)))
            cv2.circle(layers, centre, round(16 * (3 * ppm + 0.2 * ppm)), (120, 112, 100, 0), -1, cv2.LINE_AA, 4)
            cv2.circle(layers, centre, round(16 * 3 * ppm), (behind, behind, behind, 0), -1, cv2.LINE_AA, 4)


def _stamp(layers: np.ndarray, rng: np.random.Generator, ppm: float) -> None:
    """A rubber stamp: framed words and an invented date, turned a little, unevenly inked."""
    w, h = (round(v * ppm) for v in (rng.uniform(32, 50), rng.uniform(13, 24)))
    patch = np.zeros((w, w), np.uint8)  # square, so that it can be turned
    top, width = (w - h) // 2, 0.7 * ppm
    if rng.random() < 0.35:  # oval
        t = np.linspace(0, 2 * np.pi, 60)
        rings = [np.stack([w / 2 + r * w * np.cos(t), w / 2 + r * h * np.sin(t)], -1) for r in (0.48, 0.41)]
        stroke(patch, rings, width)
    else:
        frame = np.array([(2, top), (w - 3, top), (w - 3, top + h), (2, top + h), (2, top)], np.float64)
        stroke(patch, [frame], width)
    size = min(0.2 * h, 0.085 * w)
    date = f"{rng.integers(1, 29):02d} {rng.choice(['JAN', 'MAR', 'JUN', 'SEP', 'NOV'])} {rng.integers(1985, 2012)}"
    write(patch, str(rng.choice(_STAMPS)), 0.17 * w, w / 2 - 0.06 * h, "sans-bold", size)
    write(patch, date, 0.2 * w, w / 2 + 0.28 * h, "mono-bold", 0.9 * size)
    patch = cv2.warpAffine(patch, cv2.getRotationMatrix2D((w / 2, w / 2), float(rng.normal(0, 12)), 1), (w, w))
    worn = cv2.resize(rng.standard_normal((24, 24), dtype=np.float32), (w, w), interpolation=cv2.INTER_CUBIC)
    patch = (patch * np.clip(0.75 + 0.4 * worn, 0, 1)).astype(np.uint8)
    x, y = (int(rng.integers(-w // 4, n - w // 2)) for n in (layers.shape[1], layers.shape[0]))
    mask = cv2.warpAffine(patch, np.array([[1.0, 0, x], [0, 1, y]]), layers.shape[1::-1])
    ink(layers, mask, _STAMP_RGB[int(rng.integers(len(_STAMP_RGB)))], float(rng.uniform(0.5, 0.85)))


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
    wear=_keep_in_folder,
    scan=_scan,
)
