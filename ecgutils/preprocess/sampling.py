"""Resample an image once, through maps that are composed first."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ecgutils.preprocess.phase import transform


def smooth_map(place: Callable[[np.ndarray], np.ndarray], size: tuple[int, int], step: int) -> np.ndarray:
    """`place` (points (N, 2) -> (N, 2)) for each px of an image of `size` (W, H), float32 (H, W, 2), from every `step`
    px by linear interpolation."""
    # cv2.resize puts node i at px (i + 0.5) * step - 0.5; one node more on either side, so that nothing is extrapolated
    cols, rows = (np.arange(-1, -(-n // step) + 1) * step + (step - 1) / 2 for n in size)
    nodes = np.stack(np.meshgrid(cols, rows), axis=-1)
    xy = place(nodes.reshape(-1, 2)).reshape(nodes.shape).astype(np.float32)
    full = cv2.resize(xy, (len(cols) * step, len(rows) * step), interpolation=cv2.INTER_LINEAR)
    return full[step : step + size[1], step : step + size[0]]


def sample(values: np.ndarray, source_from_target: np.ndarray, size: tuple[int, int], minified: float) -> np.ndarray:
    """Resample; blurred first where it is minified, because linear sampling alone would alias."""
    if minified > 1.2:
        values = cv2.GaussianBlur(values, (0, 0), 0.4 * minified)
    flags = (cv2.INTER_CUBIC if minified < 1 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(values, source_from_target, size, flags=flags)


def affine(scale: float, shift: np.ndarray) -> np.ndarray:
    """Scale, then shift (2,) as a homography (3, 3)."""
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]], float)


def quarter_turns(quarters: int, size: tuple[int, int]) -> np.ndarray:
    """Pixel map of `np.rot90(image, -quarters)`: clockwise quarter turns of an image of `size` (W, H)."""
    width, height = size
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters % 4]
    shift = [(0, 0), (height - 1, 0), (width - 1, height - 1), (0, width - 1)][quarters % 4]
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]], float)


def turned_box(box: np.ndarray, turned_from_box: np.ndarray) -> np.ndarray:
    """The box x0, y0, x1, y1 (4,) around a turned one; the homography makes quarter turns only."""
    corners = transform(turned_from_box, np.array([[box[0], box[1]], [box[2], box[3]]]))
    return np.concatenate([corners.min(0), corners.max(0)])
