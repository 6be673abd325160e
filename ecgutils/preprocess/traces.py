"""Where the traces are on an upright page, and the ink that stays on it."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

SURE = 128  # of a map of 0..255, from which a px is a trace
SPECK_MM = 3.0  # a piece that is smaller and stands alone is none
EDGE_MM, ASLANT = 25, 0.025  # rows are level, and have beats
BESIDE_MM = 3  # around the leads' boxes, for rows that begin earlier than most
THICK_MM = 4  # no line on an ECG is that thick: shadows, a table, a black picture
SOFT_MM, FULL_ROW = 9.0, 0.3  # a row has this share of the fullest one's ink, smoothed over as much


@dataclass(frozen=True)
class Traces:
    """Traces of a page.

    mask : bool (h, w), where they surely are. length_mm : their extent along the rows, summed over these.
    box : x0, y0, x1, y1 in px; None without any.
    middle_xy : (x, y) in px, in the middle of most rows; one faint stroke moves it little, unlike the box.
    """

    mask: np.ndarray
    length_mm: float
    box: tuple[float, float, float, float] | None = None
    middle_xy: tuple[float, float] | None = None


def find_traces(trace: np.ndarray, px_per_mm: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The traces' strength, uint8 (h, w), where they surely are, uint8 0 or 1, and their extent in mm along x, summed
    over the pieces; from the reader's map uint8 (h, w)."""
    mask = cv2.threshold(trace, SURE - 1, 1, cv2.THRESH_BINARY)[1]
    cells = cv2.resize(mask * np.uint8(255), None, fx=1 / px_per_mm, fy=1 / px_per_mm, interpolation=cv2.INTER_AREA)
    thick = cv2.erode((cells > 250).view(np.uint8), np.ones((THICK_MM, THICK_MM), np.uint8))
    cells[cv2.dilate(thick, np.ones((2 * THICK_MM, 2 * THICK_MM), np.uint8)) > 0] = 0
    joined = cv2.dilate((cells > 20).view(np.uint8), np.ones((3, 3), np.uint8))
    _, pieces, boxes, _ = cv2.connectedComponentsWithStats(joined)
    kept = np.maximum(boxes[:, 2], boxes[:, 3]) > SPECK_MM + 2
    kept[0] = False
    for i in np.flatnonzero(kept & (boxes[:, 2] > EDGE_MM)):  # a fold, the edge of a shadow: long, straight, aslant
        y, x = np.nonzero((pieces == i) & (cells > 20))
        slope, start = np.polyfit(x, y, 1)
        kept[i] = abs(slope) < ASLANT or np.abs(y - slope * x - start).max() > 1.5
    mask &= cv2.resize(kept[pieces].view(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
    near = cv2.dilate(mask, np.ones((5, 5), np.uint8))  # where the map is less sure, it goes on around what is sure
    return cv2.copyTo(trace, near), mask, float((boxes[kept, 2] - 2).sum())


def place_traces(mask: np.ndarray, lead_boxes: Iterable[np.ndarray], length_mm: float, px_per_mm: int) -> Traces:
    """The traces in and between the leads' boxes, x0, y0, x1, y1 px each: what lies elsewhere does not count."""
    inside, beside = np.zeros_like(mask), BESIDE_MM * px_per_mm
    if len(boxes := np.array(list(lead_boxes)).reshape(-1, 4)):
        left, top = np.maximum(boxes[:, :2].min(0).astype(int) - beside, 0)
        right, bottom = boxes[:, 2:].max(0).astype(int) + beside
        inside[top:bottom, left:right] = mask[top:bottom, left:right]
    if not inside.any():
        return Traces(inside.view(bool), length_mm)
    x0, y0, width, height = cv2.boundingRect(inside)
    box = float(x0), float(y0), float(x0 + width - 1), float(y0 + height - 1)
    return Traces(inside.view(bool), length_mm, box, _middle(inside, box, px_per_mm))


def _middle(mask: np.ndarray, box: tuple[float, float, float, float], px_per_mm: float) -> tuple[float, float]:
    """The middle (x, y), to a fraction of a px, of where half of the rows run, and of the first and last row."""
    x0, y0, x1, y1 = (round(v) for v in box)
    lines = np.pad(mask[y0 : y1 + 1, x0 : x1 + 1], round(SOFT_MM * px_per_mm))
    rows, filled = (lines[1:] > lines[:-1]).sum(0), lines.sum(1)
    middle = []
    for profile, level in ((rows, 0.5 * rows[rows > 0].mean()), (filled, None)):
        smooth = gaussian_filter1d(profile.astype(float), SOFT_MM / 3 * px_per_mm)
        over = smooth / min(level or FULL_ROW * smooth.max(), 0.9 * smooth.max()) - 1
        first, last = np.flatnonzero(over >= 0)[[0, -1]]
        ends = first - over[first] / (over[first] - over[first - 1]), last + over[last] / (over[last] - over[last + 1])
        middle.append(sum(ends) / 2 - round(SOFT_MM * px_per_mm))
    return x0 + middle[0], y0 + middle[1]
