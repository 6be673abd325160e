"""Flat pages drawn straight from a signal: what the page reader makes of a good print, in milliseconds.

A heart can so be drawn anew each time it is shown to a network. Paper, light and camera are skipped; what they leave
behind (scales and places that are a little off, broken or pale strokes, stray ink, missing leads) is drawn instead.
The chances are our own choice, set by looking at flat pages of photos and scans side by side with these.
"""

import cv2
import numpy as np

from ecgutils.findings import LEADS
from ecgutils.preprocess import PreprocessSettings
from ecgutils.preprocess.plane import PLANE_PX_PER_MM, place
from ecgutils.reader.arrange import COLUMN_MM, FIRST_MM, HEIGHT_MM, ROW_MM, TALL_MM, WIDTH_MM, frame_of
from ecgutils.synth.ink import stroke

_MM_S, _MM_MV, _PAGE_MM = 25.0, 10.0, 250.0
_STARTS = {  # when each column of leads begins, seconds: one after the other, all at once, as 6x2 and 12x1 give them
    "sequential": (0.0, 2.5, 5.0, 7.5), "one time": (0.0,) * 4, "halves": (0.0, 0.0, 5.0, 5.0), "any": (),
}  # fmt: skip
_SHARES = (0.6, 0.1, 0.15, 0.15)
_STEEP_MM = 1.5  # per mm; strokes above it are the first to break


def redraw(
    images: np.ndarray, signals: np.ndarray, rng: np.random.Generator, settings: PreprocessSettings
) -> np.ndarray:
    """uint8 (B, H, W): `images`, in place of those whose `signals` (B, 12, T) mV are known a page drawn from these."""
    out = images.copy()
    for i in np.flatnonzero(np.isfinite(signals).any(axis=(1, 2))):
        out[i] = draw_flat(signals[i].astype(np.float32), rng, settings)
    return out


def draw_flat(signal_mv: np.ndarray, rng: np.random.Generator, settings: PreprocessSettings) -> np.ndarray:
    """A flat page as `Preprocessor(settings)` might leave it; uint8 (H, W), dark on white, leads in order.

    signal_mv : (12, T) in LEADS order, ten seconds; what is not known (NaN) is left out.
    """
    ppm = PLANE_PX_PER_MM
    size = round(WIDTH_MM * ppm), round((HEIGHT_MM + 2 * TALL_MM) * ppm)
    ink = np.zeros(size[::-1], np.uint8)
    pen = rng.uniform(1.2, 2.4)
    pale = rng.uniform(0.2, 0.8) if rng.random() < 0.2 else 1.0
    x_mm = np.linspace(0, _PAGE_MM, signal_mv.shape[1], endpoint=False) * np.exp(rng.normal(0, 0.012))
    gain = _MM_MV * np.exp(rng.normal(0, 0.025))
    for lead, row, column, span, start_s, length_s in _layout(rng):
        first, last = np.searchsorted(x_mm, np.array([start_s, start_s + length_s]) * _MM_S)
        xy = np.column_stack([x_mm[first:last], -gain * signal_mv[lead, first:last]])
        xy = xy[np.isfinite(xy[:, 1])]
        if len(xy) < 2:
            continue
        xy[:, 0] += column * COLUMN_MM - xy[0, 0] + rng.normal(0, 0.4)
        bend = np.array([rng.normal(0, 0.004), rng.normal(0, 0.15)])
        xy[:, 1] += bend[0] * (xy[:, 0] - xy[0, 0]) + bend[1] * np.sin(xy[:, 0] / rng.uniform(8, 40))
        xy[:, 1] += rng.normal(0, 0.08) * rng.standard_normal(len(xy))
        steps = np.diff(xy, axis=0)
        order = np.argsort(xy[:-1, 1])
        weight = np.cumsum(np.hypot(*steps[order].T))
        half = order[np.searchsorted(weight, weight[-1] / 2)]  # half of the ink is above it, as arrange.py has it
        xy[:, 1] += TALL_MM + FIRST_MM + row * ROW_MM - xy[half, 1] + rng.normal(0, 0.15)
        left, right = round(column * COLUMN_MM * ppm), round((column + span) * COLUMN_MM * ppm)
        strip = np.zeros((size[1], right - left), np.uint8)
        line = (xy - [column * COLUMN_MM, 0]) * ppm
        stroke(strip, [line], pen)
        if pale < 1:
            breaks = np.flatnonzero(np.abs(steps[:, 1]) < _STEEP_MM * steps[:, 0])
            level = np.zeros_like(strip)
            stroke(level, [line[i : i + 2] for i in breaks], pen)
            strip = np.maximum(level, cv2.convertScaleAbs(strip, alpha=pale))
        ink[:, left:right] = np.maximum(ink[:, left:right], strip)
    ink = _worn(ink, rng)
    box, middle_xy = frame_of(ink, ppm), (WIDTH_MM / 2 * ppm, (TALL_MM + HEIGHT_MM / 2) * ppm)
    scaled = rng.random() > 0.03
    return place(ink, box, middle_xy, scaled, np.ones(2), *settings.canvas)[0]


def _layout(rng: np.random.Generator) -> list[tuple[int, int, int, int, float, float]]:
    """Lead, row, column and columns of each trace that is shown, when it begins and how long it is, in seconds."""
    starts = _STARTS[list(_STARTS)[int(rng.choice(4, p=_SHARES))]] or tuple(rng.uniform(0, 7.5, 4))
    length = COLUMN_MM / _MM_S
    if rng.random() < 0.15:  # narrow paper
        length *= rng.uniform(0.75, 1)
        starts = tuple(start * length * _MM_S / COLUMN_MM for start in starts)
    gap = rng.uniform(0.3, 2) / _MM_S if rng.random() < 0.4 else 0.0
    kept = np.ones(len(LEADS), bool)
    if rng.random() < 0.03:
        kept[rng.choice(len(LEADS), int(rng.integers(1, 4)), replace=False)] = False
    traces = [(i, i % 3, i // 3, 1, starts[i // 3], length - gap) for i in range(len(LEADS)) if kept[i]]
    strip = rng.choice(4, p=(0.15, 0.7, 0.1, 0.05))
    if strip:
        traces.append((LEADS.index(("II", "V1", "V5")[strip - 1]), 3, 0, 4, 0.0, 4 * length))
    return traces


def _worn(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Holes, pale regions, stray strokes, soft edges."""
    ppm, (height, width) = PLANE_PX_PER_MM, ink.shape
    for _ in range(rng.poisson(1.5)):
        x, y = int(rng.integers(width)), int(rng.integers(TALL_MM * ppm, height - TALL_MM * ppm))
        cv2.rectangle(ink, (x, y), (x + int(rng.integers(2, 14)), y + int(rng.integers(2, 20))), 0, -1)
    for _ in range(rng.poisson(0.7)):
        start = rng.integers([0, TALL_MM * ppm], [width, height - TALL_MM * ppm])
        stop = start + rng.integers(-3 * ppm, 3 * ppm, 2)
        cv2.line(ink, start.tolist(), stop.tolist(), 255, 1, cv2.LINE_AA)
    if rng.random() < 0.3:
        field = rng.uniform(rng.uniform(0.2, 0.9), 1, (4, 6)).astype(np.float32)
        cv2.multiply(ink, cv2.resize(field, (width, height)), dst=ink, dtype=cv2.CV_8U)
    blur = rng.uniform(0, 0.9)
    return cv2.GaussianBlur(ink, (0, 0), blur) if blur > 0.3 else ink
