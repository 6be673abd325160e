"""Which lead is where on a flat upright page: its rows of trace, their layout, and a box around each lead."""

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ecgutils.findings import LEADS
from ecgutils.reader.layouts import Fit, Words, find_words, fit_layout, split_pages, standard, strips_alone

MARKS = (*LEADS, "pulse", "25 mm/s", "50 mm/s", "5 mm/mV", "10 mm/mV", "20 mm/mV", "print")
LEGENDS = MARKS[13:18]  # speeds, then gains
_ALIGNED = 0.75  # from which rows count as simultaneous where names do not tell
_STEP = 1.6  # from which waves count as other beyond a column's border, against within columns
_NEAR = 0.75  # of the usual distance of rows; such two may be one
_TRACED = 0.3  # of a box's width; with less the lead is hidden
_STANDARD = {3: [(3, 4)], 4: [(3, 4)], 5: [(3, 4)], 6: [(6, 2), (3, 4)], 7: [(6, 2)], 12: [(12, 1)]}  # by all rows


@dataclass(frozen=True)
class Leads:
    """Where the leads are on a page.

    boxes: lead -> float32 (4,) x0, y0, x1, y1 px of the trace map; rhythm strips are "II_rhythm", more of one lead
        "II_rhythm2" and so on.
    layout: "3x4", "3x4+1", "6x2", "12x1" or another "RxC+n" of the rows that are seen.
    assumed: the order was assumed, not read.
    missing: leads of the 12 without a box, or with hardly any trace in it, as under a note.
    groups: number of 12-lead pages seen side by side or stacked; `boxes` are those of the larger one.
    """

    boxes: dict[str, np.ndarray]
    layout: str
    assumed: bool
    missing: tuple[str, ...]
    groups: int = 1


def find_leads(trace: np.ndarray, marks: np.ndarray, px_per_mm: float = 4) -> Leads | None:
    """Find the leads of an upright page; None where no row of trace is found.

    trace : uint8 (h, w), 255 times the probability of ECG trace, `px_per_mm` px per mm.
    marks : (19, h / px_per_mm, w / px_per_mm), 0..255 times the probability that the word MARKS[k] is printed here.
    """
    words = find_words(marks)
    steep = cv2.morphologyEx(trace, cv2.MORPH_OPEN, np.ones((round(1.5 * px_per_mm) | 1, 1), np.uint8))
    width, height = (max(1, round(n / px_per_mm)) for n in trace.shape[::-1])
    ink, steep = (cv2.resize(m, (width, height), interpolation=cv2.INTER_AREA) for m in (trace, steep))
    ink, steep = ink.astype(np.float32) / 255, steep.astype(np.float32) / 255
    pages = [
        (page, ink[y0:y1, x0:x1].sum())
        for x0, y0, x1, y1 in split_pages(words, width, height)
        if (page := _read(ink, steep, words, (x0, y0, x1, y1)))
    ]
    if not pages:
        return None
    best, _ = max(pages, key=lambda page: (-len(page[0].missing), page[1]))
    boxes = {name: (box * px_per_mm).astype(np.float32) for name, box in best.boxes.items()}
    return replace(best, boxes=boxes, groups=len(pages))


def _read(ink: np.ndarray, steep: np.ndarray, words: Words, part: tuple[int, int, int, int]) -> Leads | None:
    """The leads of one page, in mm; `part` is its region."""
    x0, y0, x1, y1 = part
    ink, steep = ink[y0:y1, x0:x1], steep[y0:y1, x0:x1]
    slope, rows = _find_rows(ink, steep)
    if not len(rows):
        return None
    if slope:
        turn = np.array([[1, 0, 0], [-slope, 1, slope * ink.shape[1] / 2]])
        ink, steep = (cv2.warpAffine(m, turn, m.shape[::-1]) for m in (ink, steep))
    inside = (words.x >= x0 - 2) & (words.x < x1) & (words.y >= y0) & (words.y < y1)
    x, y = words.x[inside] - x0, words.y[inside] - y0
    words = Words(x, y - slope * (x - ink.shape[1] / 2), words.odds[inside])
    left, right = _extent(ink, rows)
    aligned = _alignment(steep, rows)
    fits = [(fit_layout(words, tried, left, right), tried) for tried in (rows, *_merged(rows))]
    fit, rows = max(fits, key=lambda tried: tried[0].score)
    reach = _reach(ink, rows)
    fit, assumed = _decide(fit, rows, reach, left, right, aligned)
    boxes: dict[str, np.ndarray] = {}
    traced = set()
    ends = np.append(fit.columns[1:], right)
    for row, column, lead, span in fit.cells:
        start, end = (fit.columns[0], right) if span else (fit.columns[column], ends[column])
        cell = reach[row][:, max(0, round(start)) : max(0, round(end))]
        seen = cell[0] < cell[1]
        top, bottom = (cell[0][seen].min(), cell[1][seen].max()) if seen.any() else (rows[row] - 1, rows[row] + 1)
        tilt = slope * ((start + end - ink.shape[1]) / 2)
        name = LEADS[lead] + ("_rhythm" if span else "")
        number = 1 + sum(other.rstrip("0123456789") == name for other in boxes) if span else 1
        boxes[name + (str(number) if number > 1 else "")] = np.array(
            [start + x0, top + y0 + tilt, end + x0, bottom + y0 + tilt]
        )
        if seen.size and seen.mean() > _TRACED:
            traced.add(LEADS[lead])
    missing = tuple(lead for lead in LEADS if lead not in traced)
    return Leads(boxes, fit.layout, assumed, missing)


def _decide(
    fit: Fit, rows: np.ndarray, reach: np.ndarray, left: float, right: float, aligned: float
) -> tuple[Fit, bool]:
    """The fit where enough names speak for it; else the standard order, a single lead, or no lead at all; assumed?"""
    found = sum(fit.odds[row, column, lead] > 0.5 for row, column, lead, _ in fit.cells)
    several = len({lead for _, _, lead, _ in fit.cells}) > 1
    if found >= (max(2, 0.3 * len(fit.cells)) if several else 1):
        return fit, False
    n = len(rows)
    if n == 1 or aligned < _ALIGNED:
        return strips_alone(fit.odds, left), bool(fit.odds[:, 0, :12].max() <= 0.5)
    even = np.diff(rows).max() < 1.4 * np.diff(rows).min()
    for grid, columns in _STANDARD.get(n, ()) if even else ():
        if columns == 1 or _steps(reach[grid // 2 if n == 6 else 0 : grid], columns, left, right) > _STEP:
            return standard(n, grid, columns, left, right), True
    return Fit(0.0, np.array([left]), [], f"{n}x1", fit.odds), False


def _steps(reach: np.ndarray, columns: int, left: float, right: float) -> float:
    """How much more the waves' height changes across the borders of columns than within columns."""
    edges = np.linspace(max(left, 0), right, 2 * columns + 1).astype(int)
    pieces = [reach[..., a + 1 : b - 1] for a, b in pairwise(edges)]
    size = np.stack([np.stack([p[:, 0].min(-1), p[:, 1].max(-1)]) for p in pieces])  # (2 columns, up and down, rows)
    change = np.abs(np.diff(size, axis=0))
    return float(change[1::2].mean() / (change[::2].mean() + 0.5))


def _find_rows(ink: np.ndarray, steep: np.ndarray) -> tuple[float, np.ndarray]:
    """Slope of the rows (dy / dx) and y in mm of each baseline, in the middle of the page's width."""
    flat = gaussian_filter1d(np.maximum(ink - steep, 0), 1.2, axis=0)
    edges = np.linspace(0, flat.shape[1], 17).astype(int)
    chunks = np.stack([flat[:, a:b].sum(1) for a, b in pairwise(edges)])
    y = np.arange(flat.shape[0])
    off = (edges[:-1] + edges[1:] - flat.shape[1]) / 2
    best = (-1.0, 0.0, chunks.sum(0))
    for slope in np.linspace(-0.03, 0.03, 13):
        profile = sum(np.interp(y + slope * d, y, chunk) for d, chunk in zip(off, chunks, strict=True))
        sharp = float((profile**2).sum()) * (1.02 if slope == 0 else 1)
        best = max(best, (sharp, float(slope), profile), key=lambda b: b[0])
    profile = np.pad(best[2], 1)
    smooth = gaussian_filter1d(profile, 1.5)
    peaks, _ = find_peaks(smooth, height=max(3.0, 0.2 * smooth.max()), distance=8, prominence=0.1 * smooth.max())
    return best[1], peaks - 1.0


def _extent(ink: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Left and right end of the rows, mm."""
    pitch = _pitch(rows)
    ends = []
    for row in rows:
        band = ink[max(0, round(row - pitch / 3)) : round(row + pitch / 3) + 1].sum(0) > 0.2
        at = np.flatnonzero(np.convolve(band, np.ones(5), "same") >= 4)
        if len(at):
            ends.append((at[0] - 1, at[-1] + 2))
    if not ends:
        return 0.0, float(ink.shape[1])
    starts, stops = np.transpose(ends)  # half of the rows may end early, under a note
    return float(np.percentile(starts, 30)), float(np.percentile(stops, 70))


def _alignment(steep: np.ndarray, rows: np.ndarray) -> float:
    """0..1: how near to no delay the beats of different rows fit best."""
    reach = max(3, round(min(_pitch(rows), 24) / 2))
    beats = np.stack([steep[max(0, round(r) - reach) : round(r) + reach].sum(0) for r in rows])
    beats = gaussian_filter1d(np.sqrt(beats), 1.0, axis=1)
    beats -= gaussian_filter1d(beats, 12.0, axis=1)
    beats /= np.linalg.norm(beats, axis=1, keepdims=True) + 1e-6
    lags = np.arange(-15, 16)
    total, weight = 0.0, 0.0
    for i in range(len(rows) - 1):
        rest = beats[i + 1 :]
        c = np.stack([(np.roll(beats[i], lag) * rest).sum(1) for lag in lags])
        low, top = np.median(c, 0), c.max(0)
        near = c[14:17].max(0)
        total += float(np.maximum(near - low, 0).sum())
        weight += float((top - low).sum())
    return total / max(weight, 1e-6)


def _merged(rows: np.ndarray) -> list[np.ndarray]:
    """The rows with two near ones as one, where the leads of a row may lie at two heights."""
    near = np.flatnonzero(np.diff(rows) < _NEAR * _pitch(rows))
    return [np.concatenate([rows[:i], [rows[i : i + 2].mean()], rows[i + 2 :]]) for i in near]


def _pitch(rows: np.ndarray) -> float:
    return float(np.median(np.diff(rows))) if len(rows) > 1 else 30.0


def _reach(ink: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Top and bottom y in mm of each row's trace at each x, (rows, 2, w); top is below bottom where there is none.

    Ink belongs to the nearest row, and with it what hangs together with the row's baseline. Where that is another row
    too, either may have drawn it: both get three quarters of the way.
    """
    inked = ink > 0.1
    up, down = np.zeros(ink.shape, np.int16), np.zeros(ink.shape, np.int16)
    for y in range(1, len(ink)):
        up[y] = (up[y - 1] + 1) * inked[y]
        down[-1 - y] = (down[-y] + 1) * inked[-1 - y]
    pitch, y = _pitch(rows), np.arange(len(ink))[:, None]
    around = np.concatenate([[rows[0] - 1.5 * pitch], rows, [rows[-1] + 1.5 * pitch]])
    result = np.empty((len(rows), 2, ink.shape[1]))
    for i, row in enumerate(rows):
        above, below = row - around[i], around[i + 2] - row
        near = inked & (y > row - above / 2) & (y < row + below / 2)
        base = inked & (np.abs(y - row) <= 2)
        top = np.where(base, y - up + 1, len(ink)).min(0)
        bottom = np.where(base, y + down, 0).max(0)
        top = np.where(top <= around[i] + 2, row - 0.75 * above if i else top, top)
        bottom = np.where(bottom >= around[i + 2] - 2, row + 0.75 * below if i + 1 < len(rows) else bottom, bottom)
        result[i, 0] = np.minimum(top, np.where(near, y, len(ink)).min(0))
        result[i, 1] = np.maximum(bottom, np.where(near, y + 1, 0).max(0))
    return result
