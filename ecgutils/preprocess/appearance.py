"""Light, colour and contrast: from a photo to a map of ink, with the grid kept or suppressed."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

UNEVEN = 0.06  # (95th - 5th percentile) / median of the paper's brightness above which light is divided out


def paper_colour(rgb: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Colour of the bare paper at each pixel, uint8 (H, W, 3): the image without lines, letters and marks.

    Where `paper` bool (H, W) is false (the scene around it) the nearest paper's colour is continued.
    """
    height, width = rgb.shape[:2]
    size = (max(2, width // 8), max(2, height // 8))
    small = cv2.dilate(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.ones((3, 3), np.uint8))
    inside = cv2.erode(
        cv2.resize(paper.astype(np.uint8), size, interpolation=cv2.INTER_AREA), np.ones((3, 3), np.uint8)
    )
    if 0 < inside.sum() < inside.size:
        nearest = ndimage.distance_transform_edt(inside == 0, return_distances=False, return_indices=True)
        small = small[nearest[0], nearest[1]]
    small = cv2.medianBlur(small, 15 if min(size) > 30 else 5)
    return cv2.resize(cv2.blur(small, (5, 5)), (width, height), interpolation=cv2.INTER_LINEAR)


def unevenness(colour: np.ndarray) -> float:
    """(95th - 5th percentile) / median of the paper's brightness."""
    low, middle, high = np.percentile(colour[::8, ::8].mean(2), [5, 50, 95])
    return float((high - low) / max(middle, 1))


def even_light(rgb: np.ndarray, paper: np.ndarray, divide: bool = True) -> np.ndarray:
    """Divide by the paper's colour: uint8 (H, W, 3) with white paper. `paper` bool (H, W) is where paper is.

    Where light is even already (see UNEVEN), or `divide` is off, one colour serves for the whole image.
    """
    colour = paper_colour(rgb, paper)
    if not divide or unevenness(colour) <= UNEVEN:
        typical = np.median(colour[::8, ::8].reshape(-1, 3), axis=0)
        table = [np.clip(np.arange(256) * 250 / max(t, 16), 0, 255).astype(np.uint8) for t in typical]
        return cv2.LUT(rgb, np.stack(table, axis=-1)[None])
    return cv2.divide(rgb, np.maximum(colour, 16), scale=250)


def is_inverted(rgb: np.ndarray) -> bool:
    """Light traces on a dark ground, as on a screen: a dark image whose thin detail is brighter than its ground."""
    grey = cv2.cvtColor(rgb[::2, ::2], cv2.COLOR_RGB2GRAY)
    if np.median(grey) > 90:
        return False
    kernel = np.ones((9, 9), np.uint8)
    bright = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel).mean()
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel).mean()
    return bool(bright > 2 * dark and bright > 2)


def darkness(even: np.ndarray, colour_blind: bool) -> np.ndarray:
    """Darkness against white paper, uint8 (H, W).

    A coloured grid line is bright in at least one channel, a trace in none: the brightest channel alone hides most
    grids. With `colour_blind` the grey image is used, in which every line shows.
    """
    if colour_blind:
        return 255 - cv2.cvtColor(even, cv2.COLOR_RGB2GRAY)
    return 255 - cv2.max(cv2.max(even[..., 0], even[..., 1]), even[..., 2])


def printed_lines(dark: np.ndarray, px_per_mm: int) -> np.ndarray:
    """Darkness of the grid that is left in a flattened uint8 darkness map, float32 (H, W).

    A grid line is where most of a 24 mm stretch is dark, and so it is 5 and 10 mm further. The median over the stretch
    passes over traces that cross the line; the median over the neighbours 5 mm apart spares a flat baseline.
    """
    upright = _lines_along_columns(dark, px_per_mm)
    level = _lines_along_columns(dark.T, px_per_mm).T
    return cv2.max(upright, np.ascontiguousarray(level))


def _lines_along_columns(dark: np.ndarray, px_per_mm: int) -> np.ndarray:
    height, width = dark.shape
    half = 12 * px_per_mm
    middles = np.linspace(min(half, height / 2), max(height - half, height / 2), max(1, round(height / half) - 1))
    bands = np.stack([np.median(dark[max(0, int(m - half)) : int(m + half) : 2], axis=0) for m in middles])
    box = 5 * px_per_mm
    padded = np.pad(bands, ((0, 0), (2 * box, 2 * box)), mode="reflect" if width > 2 * box else "edge")
    repeated = np.median([padded[:, k * box : k * box + width] for k in range(5)], axis=0).astype(np.float32)
    repeated = cv2.dilate(repeated, np.ones((1, 3), np.uint8))  # half a pixel of bending either way
    if len(middles) == 1:
        return np.repeat(repeated, height, axis=0)
    # rows of `repeated` belong to `middles`, not to the edges of equal bands
    rows = np.interp(np.arange(height), middles, np.arange(len(middles)))
    below = np.minimum(rows.astype(int), len(middles) - 2)
    share = (rows - below).astype(np.float32)[:, None]
    return repeated[below] * (1 - share) + repeated[below + 1] * share


def ink(
    dark: np.ndarray, px_per_mm: int, lines: np.ndarray | None = None, where: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """How much ink there is, float32 (H, W) in 0..1 with 1 = about as dark as the traces; and their darkness, 0..1.

    `lines` is subtracted first. What then fills a good part of a 12 mm block is texture, not a trace: its level is
    subtracted too, up to a third of the traces' darkness. `where` bool (H, W) is the paper.
    """
    left = dark.astype(np.float32)
    if lines is not None:
        left = np.maximum(left - 1.15 * lines, 0)
    if where is not None:
        left[~where] = 0
    sample = left[where][::3] if where is not None and where.any() else left.ravel()[::3]
    trace = max(float(np.percentile(sample, 99.2)), 24.0)  # traces and letters cover a few percent of a page
    level = np.minimum(_block_level(left, 12 * px_per_mm, 85) * 1.2 + 2, 0.33 * trace)
    return np.clip((left - level) / (0.8 * trace - level), 0, 1), trace / 255


def _block_level(values: np.ndarray, block: int, percentile: float) -> np.ndarray:
    """Percentile of each block, smoothed and brought back to full size; float32 (H, W)."""
    height, width = values.shape
    rows, cols = max(1, height // block), max(1, width // block)
    side = max(1, block // 2)  # samples of a block: every second pixel tells the percentile as well
    sampled = cv2.resize(values, (cols * side, rows * side), interpolation=cv2.INTER_NEAREST)
    blocks = sampled.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(rows, cols, -1)
    level = np.percentile(blocks, percentile, axis=2).astype(np.float32)
    if min(level.shape) >= 3:
        level = cv2.medianBlur(level, 3)
    return cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR)
