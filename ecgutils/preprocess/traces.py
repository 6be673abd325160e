"""Tell traces from letters, frames and noise on the flattened ink map: where they are and which way they run."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WORD_MM = 30.0  # longer strokes are traces or rulings, not printed words
RULING_MM = 2.5  # a ruling or paper edge reaches less far to its sides, a trace further
LETTER_MM = 8.0  # printed letters and most short words are smaller; a single beat with its baseline is longer
RULED_MM = 40.0  # a beat interrupts the straightest baseline sooner, at 38 a minute and 25 mm/s
THICK_MM = 4.0  # no line on an ECG is that thick: shadows, fingers, the table


@dataclass(frozen=True)
class Traces:
    """What is a trace on an ink map.

    keep : bool (h, w), ink that is not noise (traces, letters, pulses).
    box : x0, y0, x1, y1 in px of the ink map; None when no trace was found.
    length_mm : summed along the traces' direction.
    sideways : they run along y.
    thickness_mm : median ink of a trace across its direction.
    inked : share of the map with ink.
    unbroken : 0..1, how much of its length each row is there.
    ruled : 0..1, the share of the ink that is straight lines crossed by others, as in a table.
    """

    keep: np.ndarray
    box: tuple[float, float, float, float] | None
    length_mm: float
    sideways: bool
    thickness_mm: float
    inked: float
    unbroken: float
    ruled: float


def find_traces(ink: np.ndarray, px_per_mm: float, rim: np.ndarray | None = None) -> Traces:
    """Classify the connected strokes of a float32 (h, w) ink map in 0..1 with square millimetres.

    `rim` bool (h, w) is where the paper's edge is: strokes that stay within are its shadow.
    """
    low = (ink > 0.22).astype(np.uint8)
    inked = float((ink > 0.3).mean())
    thick = cv2.morphologyEx(low, cv2.MORPH_OPEN, _disc(THICK_MM * px_per_mm))
    if thick.any():
        low &= 1 - cv2.dilate(thick, _disc(2 * px_per_mm))
    joined = cv2.morphologyEx(low, cv2.MORPH_CLOSE, _disc(0.8 * px_per_mm))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    if count < 2:
        return Traces(np.zeros(ink.shape, bool), None, 0.0, False, 0.0, inked, 0.0, 0.0)
    width, height, area = (stats[:, i] / px_per_mm for i in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    area = area / px_per_mm
    inside = np.flatnonzero(labels)  # a few percent of the pixels
    stroke, darkness = labels.ravel()[inside], ink.ravel()[inside]
    peak, mean = _largest(darkness, stroke, count), np.bincount(stroke, darkness, count)
    mean /= np.maximum(np.bincount(stroke, minlength=count), 1)
    small = np.maximum(width, height) < LETTER_MM
    # letters are as dark as traces; a rest of grid is fainter
    real = (peak > np.where(small, 0.8, 0.6)) & (np.maximum(width, height) > 1.2) & (~small | (mean > 0.38))
    if rim is not None:
        real &= np.bincount(stroke, rim.ravel()[inside], count) < 0.7 * np.bincount(stroke, minlength=count)
    real[0] = False
    # a letter box or page frame is straight; a trace is not, or is accompanied by ink across its line
    straight = (np.minimum(width, height) < 1.2) & (np.maximum(width, height) > 15)
    long_x = real & (width > LETTER_MM) & (height < 200) & ~(straight & (height > width))
    long_y = real & (height > LETTER_MM) & (width < 200) & ~(straight & (width > height))
    sideways = _run_down(low & (real & (long_x | long_y))[labels], width[long_x].sum(), height[long_y].sum())
    is_trace = long_y if sideways else long_x
    is_trace &= area / (width + height) < 20  # mm of ink per mm of extent; six rows joined by tall beats have 8
    # a thin stroke away from every trace is a rest of the grid or the paper's edge; near one, the tip of a beat
    thin = real & ~is_trace & (np.minimum(width, height) < 1.2)
    around = cv2.dilate((is_trace & real)[labels].astype(np.uint8), _disc(5 * px_per_mm))
    near = _largest(around.ravel()[inside], stroke, count) > 0
    real &= ~thin | near
    keep = cv2.dilate(real[labels].astype(np.uint8), _disc(1.0 * px_per_mm)) > 0
    trace_mask = is_trace[labels]
    thickness = _median_run(trace_mask & (ink > 0.3), sideways) / px_per_mm
    extent, across = (height, width) if sideways else (width, height)
    rows = is_trace & (extent > WORD_MM) & (across > RULING_MM)
    # a tall beat may hang on its row by ink too faint to join it
    tips = real & near & ~is_trace & (across < WORD_MM)
    box = _box(stats, trace_mask, is_trace, rows, tips, sideways)
    bold = cv2.dilate((trace_mask & (ink > 0.3)).astype(np.uint8), np.ones((3, 3), np.uint8))
    length = float(extent[is_trace].sum())
    every = cv2.dilate((ink > 0.3).astype(np.uint8), np.ones((3, 3), np.uint8))
    ruled = _ruled(every, round(RULED_MM * px_per_mm))
    return Traces(keep, box, length, sideways, thickness, inked, _unbroken(bold, box, sideways), ruled)


def _unbroken(bold: np.ndarray, box: tuple[float, float, float, float] | None, sideways: bool) -> float:
    """Mean over the traces' length of how many rows are there, of those that usually are."""
    if box is None:
        return 0.0
    x0, y0, x1, y1 = (round(v) for v in box)
    part = bold[y0 : y1 + 1, x0 : x1 + 1]
    lines = part.T if sideways else part
    rows = (np.diff(lines, axis=0, prepend=0) == 1).sum(0)
    usual = max(1.0, float(np.median(rows)))
    return float(np.minimum(rows / usual, 1).mean())


def _ruled(bold: np.ndarray, length: int) -> float:
    """Share of a uint8 mask on level lines of at least `length` px, if there are upright ones too, as in a table."""
    level, upright = (
        cv2.morphologyEx(bold, cv2.MORPH_OPEN, np.ones(shape, np.uint8)).sum() / max(bold.sum(), 1)
        for shape in ((1, length), (length, 1))
    )
    return float(min(level, 3 * upright))


def _run_down(traces: np.ndarray, along_x: float, along_y: float) -> bool:
    """Whether the traces of a uint8 (h, w) mask run along y; `along_x`, `along_y` are their summed extents.

    Rows that tall beats join to one stroke are told by where ink gathers: at their baselines, across their direction.
    """
    if not traces.any():
        return False
    over_x, over_y = (traces.sum(axis, dtype=np.float64) for axis in (0, 1))
    peaked_x, peaked_y = ((p**2).mean() / max(p.mean() ** 2, 1e-9) for p in (over_x[over_x > 0], over_y[over_y > 0]))
    return bool((along_y + 1) / (along_x + 1) * np.sqrt(peaked_x / peaked_y) > 1.35)  # most photos are level


def _largest(values: np.ndarray, stroke: np.ndarray, count: int) -> np.ndarray:
    """Largest of `values` (N,), at least 0, in each of `count` strokes; `stroke` (N,) says whose a value is."""
    largest = np.zeros(count, values.dtype)
    np.maximum.at(largest, stroke, values)
    return largest


def _median_run(mask: np.ndarray, sideways: bool) -> float:
    """Median length in px of the runs across the traces' direction; beats are steep, but most of a trace is not."""
    lines = np.pad(mask if sideways else mask.T, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(lines.ravel())
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    return float(np.median(stops - starts)) if len(starts) else 0.0


def _disc(diameter: float) -> np.ndarray:
    size = max(1, round(diameter)) | 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _box(
    stats: np.ndarray, trace_mask: np.ndarray, is_trace: np.ndarray, rows: np.ndarray, tips: np.ndarray, sideways: bool
) -> tuple[float, float, float, float] | None:
    """Bounding box of all traces, in px.

    The rows are the strokes too long to be a word: a printed header or footer may not push them aside. They count to
    their very ends, as do the `tips` of beats between them; shorter strokes count along the rows unless far out.
    """
    if not is_trace.any():
        return None
    left, top, width, height = stats[:, :4].T
    spans = [(left, left + width - 1), (top, top + height - 1)]
    along, across = (spans[1], spans[0]) if sideways else spans
    rows = rows if rows.any() else is_trace
    low, high = across[0][rows].min(), across[1][rows].max()
    tips = tips & (across[1] >= low) & (across[0] <= high)
    low, high = min([low, *across[0][tips]]), max([high, *across[1][tips]])
    lengthwise = trace_mask.T if sideways else trace_mask
    total = np.cumsum(lengthwise[low : high + 1].sum(0))
    start, stop = np.searchsorted(total, (0.003 * total[-1], 0.997 * total[-1]))
    start, stop = min(start, along[0][rows].min()), max(stop, along[1][rows].max())
    return tuple(map(float, (low, start, high, stop) if sideways else (start, low, stop, high)))
