"""What a page's legends say ("25 mm/s", "10 mm/mV"): the reader finds where one may stand, a smaller network reads it.

At 1 px/mm the reader cannot tell digits; here each place is looked at once more, at the plane's own scale.
"""

from pathlib import Path

import cv2
import numpy as np

from ecgutils.reader.leads import LEGENDS
from ecgutils.reader.network import network

SPEED_MARKS, GAIN_MARKS = slice(13, 15), slice(15, 18)
CROP = 112, 32  # (w, h) px at PLANE_PX_PER_MM, 28 x 8 mm
LEAST = 0.10  # of a map, averaged over 5 x 3 mm, where something may be printed
MOST = 32  # places on a page; the rest is a page full of text


def places(marks: np.ndarray) -> np.ndarray:
    """Where legends may stand: float32 (n, 2) x, y px of the left end of their digits, as one reads.

    marks : uint8 (19, h/4, w/4), as `read_page` gives them, of an upright page.
    """
    found = []
    for kind in (SPEED_MARKS, GAIN_MARKS):
        likely = cv2.blur(marks[kind].sum(0, dtype=np.float32) / 255, (5, 3)) > LEAST
        _, _, boxes, _ = cv2.connectedComponentsWithStats(likely.astype(np.uint8))
        found += [(4 * (x + 1) + 2, 4 * (y + h / 2)) for x, y, _, h, _ in boxes[1:].tolist()]
    return np.array(sorted(found, key=lambda place: place[::-1])[:MOST], np.float32).reshape(-1, 2)


def crops_at(dark: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """uint8 (n, h, w) of CROP, one for each (x, y) px of `xy` (n, 2); dark : uint8 (H, W), ink is bright."""
    width, height = CROP
    wide = cv2.copyMakeBorder(dark, height, height, width, width, cv2.BORDER_REPLICATE)
    corners = np.rint(xy + np.array([width - 12, height / 2])).astype(int)
    found = [wide[y : y + height, x : x + width] for x, y in corners]
    return np.stack(found) if found else np.zeros((0, height, width), np.uint8)


def read_legends(dark: np.ndarray, marks: np.ndarray, exported: Path | None = None) -> np.ndarray:
    """What may be legends on an upright page, as one reads: probabilities float32 (n, 6) of none and each of LEGENDS.

    dark : uint8 (h, w) darkness at PLANE_PX_PER_MM; marks : uint8 (19, h/4, w/4), as `read_page` gives them.
    exported : as in `network`.
    """
    crops = crops_at(dark, places(marks))
    if not len(crops):
        return np.zeros((0, 1 + len(LEGENDS)), np.float32)
    return network("legend", exported)(crops)[0]
