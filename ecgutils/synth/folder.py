"""What happens to a page in a pocket or a hospital's folder: scuffs, stamps, punch holes, staples, worn folds."""

import cv2
import numpy as np

from ecgutils.synth.ink import ink, paleness, stroke, write

_STAMPS = ("RECEIVED", "CARDIOLOGY", "ECG DEPT", "COPY", "FILED", "SEEN", "MED. RECORDS", "CHECKED")
_STAMP_RGB = ((70, 40, 140), (30, 50, 150), (180, 40, 50), (40, 40, 46), (30, 110, 80))


def keep_in_folder(layers: np.ndarray, rng: np.random.Generator, ppm: float) -> None:
    """Wear a page (uint8 (H, W, 4): RGB, trace coverage) in place; nothing here depends on the record."""
    for _ in range(int(rng.integers(0, 4))):
        _stamp(layers, rng, ppm)
    if rng.random() < 0.6:
        _fold(layers, rng)
    if rng.random() < 0.4:
        _staple(layers, rng, ppm)
    if rng.random() < 0.75:
        _punch(layers, rng, ppm)


def scuff(layers: np.ndarray, rng: np.random.Generator, s: float, ppm: float) -> None:
    """Hairlines of crumpled and scratched paper in place: thin bent dark lines, each with a pale one beside it.

    `s` in 0..1 is their strength; layers as in `keep_in_folder`.
    """
    t, lines = np.linspace(0, 1, 12), []
    for _ in range(int(rng.integers(2, 14))):
        at = rng.uniform(0, 1, 2) * layers.shape[1::-1]
        turn = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.4) * t + np.cumsum(rng.normal(0, 0.2, 12))
        step = rng.lognormal(2.4, 0.6) / 12 * ppm
        lines.append(at + step * np.cumsum(np.stack([np.cos(turn), np.sin(turn)], -1), axis=0))
    width = rng.uniform(0.12, 0.3) * ppm
    mask = np.zeros(layers.shape[:2], np.uint8)
    for rgb, shift, opacity in (((96, 88, 80), 0.0, 0.5), ((255, 254, 250), 1.2 * width, 0.6)):
        mask[:] = 0
        stroke(mask, [line + shift for line in lines], width)
        ink(layers, mask, rgb, s * opacity * paleness(width))


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
    turn = cv2.getRotationMatrix2D((w / 2, w / 2), float(rng.normal(0, 12)), 1)
    patch = cv2.warpAffine(patch, turn, (w, w))
    worn = cv2.resize(rng.standard_normal((24, 24), dtype=np.float32), (w, w), interpolation=cv2.INTER_CUBIC)
    patch = (patch * np.clip(0.75 + 0.4 * worn, 0, 1)).astype(np.uint8)
    x, y = (int(rng.integers(-w // 4, n - w // 2)) for n in (layers.shape[1], layers.shape[0]))
    mask = cv2.warpAffine(patch, np.array([[1.0, 0, x], [0, 1, y]]), layers.shape[1::-1])
    ink(layers, mask, _STAMP_RGB[int(rng.integers(len(_STAMP_RGB)))], float(rng.uniform(0.5, 0.85)))


def _fold(layers: np.ndarray, rng: np.random.Generator) -> None:
    """A fold across the page that has lost some print and gathered some dirt."""
    h, w = layers.shape[:2]
    t = np.linspace(0, 1, 24)
    at = rng.choice([1 / 3, 1 / 2, 2 / 3]) + rng.normal(0, 0.02) + 0.002 * np.cumsum(rng.normal(0, 1, 24))
    line = np.stack([t * w, at * h] if rng.random() < 0.4 else [at * w, t * h], -1)
    for rgb, shift, opacity in (((250, 248, 240), 0.0, 0.6), ((120, 105, 90), 1.5, 0.35)):
        mask = np.zeros((h, w), np.uint8)
        stroke(mask, [line + shift], rng.uniform(0.5, 1.5) * w / 1100)
        ink(layers, mask, rgb, opacity)


def _staple(layers: np.ndarray, rng: np.random.Generator, ppm: float) -> None:
    """A staple, or the two rust spots it left, in a top corner."""
    h, w = layers.shape[:2]
    x, y, angle = rng.uniform(5, 12) * ppm, rng.uniform(4, 10) * ppm, rng.normal(0.6, 0.4)
    ends = np.array([(x, y), (x + 11 * ppm * np.cos(angle), y - 5 * ppm * np.sin(angle))])
    ends[:, 0] = ends[:, 0] if rng.random() < 0.7 else w - ends[:, 0]
    mask = np.zeros((h, w), np.uint8)
    spots = [end + np.array([(0, 0), (0.4, 0.3)]) * ppm for end in ends]
    stroke(mask, [ends] if rng.random() < 0.5 else spots, 0.7 * ppm)
    ink(layers, mask, (110, 90, 70), 0.85)


def _punch(layers: np.ndarray, rng: np.random.Generator, ppm: float) -> None:
    """Two holes 80 mm apart (ISO 838), or four, near the left or the top edge; what lies behind them shows."""
    h, w = layers.shape[:2]
    left = rng.random() < 0.6
    length, edge = (h, rng.uniform(8, 13) * ppm) if left else (w, rng.uniform(7, 11) * ppm)
    behind = int(rng.choice([255, 235, 60]))
    for offset in (-40, 40) if rng.random() < 0.7 else (-120, -40, 40, 120):
        along = length / 2 + (offset + rng.normal(0, 0.3)) * ppm
        x, y = (edge, along) if left else (along, edge)
        centre, radius = (round(16 * x), round(16 * y)), 3 * ppm
        cv2.circle(layers, centre, round(16 * (radius + 0.2 * ppm)), (120, 112, 100, 0), -1, cv2.LINE_AA, 4)
        cv2.circle(layers, centre, round(16 * radius), (behind, behind, behind, 0), -1, cv2.LINE_AA, 4)
