"""The leads of a page in one order, whatever its layout: 2.5 s of each in 3x4, ten seconds of one below.

What a network has to know then is where a lead is, not how pages are printed. benchmarks/flat_forms.py measured it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ecgutils.findings import LEADS
from ecgutils.geometry import affine, apply_homography, smooth_map
from ecgutils.reader.leads import Leads

COLUMN_MM, ROW_MM = 62.5, 30.0  # of a normal page
WIDTH_MM, HEIGHT_MM = 4 * COLUMN_MM, 4 * ROW_MM + 4
FIRST_MM = 19.0  # from the top to the first row's baseline
LONG = 1.5  # columns that a strip must have to stand below
TALL_MM = 45.0  # above and below all rows in which strokes may run; more is cut


@dataclass(frozen=True)
class Piece:
    """Where a lead goes: its box on the page, x0, y0, x1, y1 px; its cell, the same, among all leads; and a homography
    from the page to there."""

    box: np.ndarray
    cell: np.ndarray
    arranged_from_page: np.ndarray


def arrange(ink: np.ndarray, leads: Leads, stretch: np.ndarray, scaled: bool, px_per_mm: float) -> dict[str, Piece]:
    """Place the leads of an upright page; by name, a strip of ten seconds as in `leads.boxes`.

    ink : uint8 (h, w), the traces. stretch : (2,) by which x and y become those of 25 mm/s and 10 mm/mV. scaled :
    whether px_per_mm is known; if not, the columns are taken for as long as they usually are.
    """
    wide = {name: box[2] - box[0] for name, box in leads.boxes.items()}
    if not scaled and (seen := [wide[lead] for lead in LEADS if lead in wide]):
        columns = int(leads.layout.split("x")[1].split("+")[0])
        stretch = np.full(2, WIDTH_MM / columns * px_per_mm / np.median(seen))
    places = {lead: (i % 3, i // 3, 1) for i, lead in enumerate(LEADS) if lead in wide}
    long = [name for name, mm in wide.items() if mm * stretch[0] > LONG * COLUMN_MM * px_per_mm]
    if long:  # II before others, a strip before a lead's own row
        strip = max(long, key=lambda name: (name.split("_")[0] == "II", "_" in name, wide[name]))
        places[strip if "_" in strip else f"{strip}_rhythm"] = 3, 0, 4
    pieces = {}
    for name, (row, column, span) in places.items():
        box = leads.boxes[name if name in leads.boxes else name.removesuffix("_rhythm")]
        x0, y0, x1, y1 = np.maximum(np.rint(box), 0).astype(int)
        rows = ink[y0:y1, x0:x1].sum(1, dtype=np.float64)
        if not rows.any():
            continue
        base = y0 + np.interp(0.5, np.cumsum(rows) / rows.sum(), np.arange(len(rows)))  # half of the ink is above it
        zero = TALL_MM + FIRST_MM + row * ROW_MM
        cell = np.array([column * COLUMN_MM, zero - ROW_MM / 2, (column + span) * COLUMN_MM, zero + ROW_MM / 2])
        shift = np.array([column * COLUMN_MM, zero]) * px_per_mm - np.array([np.rint(box[0]), base]) * stretch
        to = np.array([[stretch[0], 0, shift[0]], [0, stretch[1], shift[1]], [0, 0, 1]])
        pieces[name] = Piece(np.array([x0, y0, x1, y1]), cell * px_per_mm, to)
    return pieces


def lay(values: np.ndarray, pieces: dict[str, Piece], px_per_mm: float) -> np.ndarray:
    """uint8 (h, w) of the page -> the same of the leads in order, the darker where two meet."""
    size = tuple(round(side * px_per_mm) for side in (WIDTH_MM, HEIGHT_MM + 2 * TALL_MM))
    laid = np.zeros(size[::-1], np.uint8)
    for piece in pieces.values():
        x0, y0, x1, y1 = piece.box
        to = piece.arranged_from_page @ affine(1.0, (x0, y0))
        left, _, right, _ = np.rint(piece.cell).astype(int)
        one = cv2.warpPerspective(values[y0:y1, x0:x1], to, size)
        laid[:, left:right] = np.maximum(laid[:, left:right], one[:, left:right])
    return laid


def frame_of(laid: np.ndarray, px_per_mm: float) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 px in which the leads in order are shown: a normal page, and what ink goes beyond."""
    rows = np.flatnonzero(laid.any(1)) if laid.any() else np.array([TALL_MM * px_per_mm])
    top, bottom = TALL_MM * px_per_mm, (TALL_MM + HEIGHT_MM) * px_per_mm - 1
    return 0.0, min(top, float(rows[0])), WIDTH_MM * px_per_mm - 1, max(bottom, float(rows[-1]))


def image_map(
    pieces: dict[str, Piece],
    arranged_from_flat: np.ndarray,
    to_image: Callable[[np.ndarray], np.ndarray],
    size: tuple[int, int],
) -> np.ndarray:
    """float32 (H, W, 2): where each px of a canvas of `size` (W, H) comes from, cell by cell; -1 where no lead is."""
    found = np.full((*size[::-1], 2), -1, np.float32)
    flat_from_arranged = np.linalg.inv(arranged_from_flat)
    for piece in pieces.values():
        page_from_flat = np.linalg.inv(piece.arranged_from_page) @ arranged_from_flat
        corners = apply_homography(flat_from_arranged, piece.cell.reshape(2, 2))
        (x0, y0), (x1, y1) = np.clip(np.rint(corners).astype(int), 0, size)
        if x1 > x0 and y1 > y0:
            here = affine(1.0, (x0, y0))
            found[y0:y1, x0:x1] = smooth_map(
                lambda xy, m=page_from_flat @ here: to_image(apply_homography(m, xy)), (x1 - x0, y1 - y0), 4
            )
    return found
