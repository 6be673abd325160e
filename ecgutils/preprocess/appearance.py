"""Light, colour and contrast: from a photo to a map of ink, with the grid kept or suppressed."""

import cv2
import numpy as np
from scipy import ndimage

UNEVEN = 0.06  # (95th - 5th percentile) / median of the paper's brightness above which light is divided out


def paper_colour(rgb: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Colour of the bare paper, uint8 (H // 8, W // 8, 3): the image reduced, without lines, letters and marks.

    Where `paper` bool (H, W) is false (the scene around it) the nearest paper's colour is continued.
    """
    height, width = (n // 8 for n in paper.shape)
    whole = np.s_[: 8 * height, : 8 * width]
    small = cv2.resize(rgb[whole], (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.dilate(small, np.ones((3, 3), np.uint8))
    inside = cv2.erode(paper[4::8, 4::8][:height, :width].astype(np.uint8), np.ones((5, 5), np.uint8))
    if 0 < inside.sum() < inside.size:
        nearest = ndimage.distance_transform_edt(inside == 0, return_distances=False, return_indices=True)
        small = small[nearest[0], nearest[1]]
    small = cv2.medianBlur(small, 15 if min(height, width) > 30 else 5)
    return cv2.blur(small, (5, 5))


def even_light(rgb: np.ndarray, paper: np.ndarray, divide: bool = True) -> np.ndarray:
    """Divide by the paper's colour: uint8 (H, W, 3) with white paper. `paper` bool (H, W) is where paper is.

    Where light is even already (see UNEVEN), or `divide` is off, one colour serves for the whole image.
    """
    colour = paper_colour(rgb, paper)
    low, middle, high = np.percentile(colour.mean(2), [5, 50, 95])
    if not divide or (high - low) / max(middle, 1) <= UNEVEN:
        typical = np.median(colour.reshape(-1, 3), axis=0)
        table = [np.clip(np.arange(256) * 250 / max(t, 16), 0, 255).astype(np.uint8) for t in typical]
        return cv2.LUT(rgb, np.stack(table, axis=-1)[None])
    colour = cv2.resize(np.maximum(colour, 16), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.divide(rgb, colour, scale=250)


def is_inverted(rgb: np.ndarray) -> bool:
    """Light traces on a dark ground, as on a screen: a dark image, further from its ground upwards than downwards.

    The furthest 0.3 % are traces and letters, not the grid, which is light or dark between its lines alike. Against
    what is darker, photos of paper reach 0.7, also badly lit or as a small sheet on a dark table.
    """
    grey = cv2.cvtColor(rgb[::2, ::2], cv2.COLOR_RGB2GRAY)
    if np.median(grey) > 90:
        return False
    detail = grey.astype(np.int16) - cv2.medianBlur(grey, 21)
    darker, lighter = np.percentile(detail, [0.3, 99.7])
    return bool(lighter > max(-1.5 * darker, 25))


def darkness(even: np.ndarray, colour_blind: bool) -> np.ndarray:
    """Darkness against white paper, uint8 (H, W); with `colour_blind` of the grey image, in which every line shows."""
    if colour_blind:
        return 255 - cv2.cvtColor(even, cv2.COLOR_RGB2GRAY)
    red, green, blue = cv2.split(even)  # a grid line is bright in at least one, a trace in none: this hides most grids
    return 255 - cv2.max(cv2.max(red, green), blue)


def printed_lines(dark: np.ndarray, px_per_mm: int) -> np.ndarray:
    """Darkness of the grid that is left in a flattened uint8 darkness map, float32 (H, W).

    A grid line is where most of a 24 mm stretch is dark, and so it is 5 and 10 mm further. The median over the stretch
    passes over traces that cross the line; the median over the neighbours 5 mm apart spares a flat baseline.
    """
    upright_share, upright = _lines_along_columns(dark, px_per_mm)
    level_share, level = _lines_along_columns(np.ascontiguousarray(dark.T), px_per_mm)
    found = upright_share @ upright
    return cv2.max(found, level.T @ level_share.T, dst=found)


def _lines_along_columns(dark: np.ndarray, px_per_mm: int) -> tuple[np.ndarray, np.ndarray]:
    """How much each row takes of each band, float32 (H, bands), and the lines' darkness there, float32 (bands, W)."""
    height, width = dark.shape
    half = 12 * px_per_mm
    middles = np.linspace(min(half, height / 2), max(height - half, height / 2), max(1, round(height / half) - 1))
    # means of 1 mm, so that dotted lines count, too
    whole = height // px_per_mm
    coarse = cv2.resize(dark[: whole * px_per_mm], (width, whole), interpolation=cv2.INTER_AREA)
    starts = [max(0, int((m - half) / px_per_mm)) for m in middles]
    bands = _medians(np.stack([coarse[start : start + 24] for start in starts]))
    box = 5 * px_per_mm
    padded = np.pad(bands, ((0, 0), (2 * box, 2 * box)), mode="reflect" if width > 2 * box else "edge")
    repeated = _medians(np.stack([padded[:, k * box : k * box + width] for k in range(5)], axis=1))
    repeated = cv2.dilate(repeated, np.ones((1, 3), np.uint8)).astype(np.float32)  # half a pixel of bending either way
    # rows belong to `middles`, not to the edges of equal bands
    share = np.stack([np.interp(np.arange(height), middles, each) for each in np.eye(len(middles))], axis=1)
    return share.astype(np.float32), repeated


def _medians(values: np.ndarray) -> np.ndarray:
    """Median of uint8 (n, k, W) over its second axis, the upper one where k is even; by bisection, bit by bit."""
    median = np.zeros(values[:, 0].shape, np.uint8)
    for bit in 1 << np.arange(7, -1, -1, dtype=np.uint8):
        higher = median | bit
        enough = (values >= higher[:, None]).sum(axis=1, dtype=np.uint8) > (values.shape[1] - 1) // 2
        median = np.where(enough, higher, median)
    return median


def ink(dark: np.ndarray, px_per_mm: int, lines: np.ndarray | None, where: np.ndarray) -> tuple[np.ndarray, float]:
    """How much ink there is, uint8 (H, W) with 255 = about as dark as the traces; and their darkness, 0..1.

    `lines` is subtracted first. What then fills a good part of a 12 mm block is texture, not a trace: its level is
    subtracted too, up to a third of the traces' darkness. `where` bool (H, W) is the paper.
    """
    left = dark if lines is None else cv2.addWeighted(dark, 1, lines, -1.15, 0, dtype=cv2.CV_8U)
    sampled = where[::2, ::2]
    sample = left[::2, ::2][sampled if sampled.any() else ~sampled]
    left = cv2.copyTo(left, where.view(np.uint8))
    share = np.cumsum(np.bincount(sample, minlength=256)) / len(sample)
    # traces and letters cover a few percent of a page
    trace = max(float(np.interp(0.992, share, np.arange(256) + 0.5)), 24.0)
    level = np.minimum(_block_level(left, 12 * px_per_mm, 0.85) * 1.2 + 2, 0.33 * trace)
    gain = 255 / (0.8 * trace - level)
    gain, offset = (cv2.resize(part, dark.shape[::-1], interpolation=cv2.INTER_LINEAR) for part in (gain, gain * level))
    scaled = cv2.multiply(left, gain, dst=gain, dtype=cv2.CV_32F)
    inked = cv2.subtract(scaled, offset, dtype=cv2.CV_8U)
    if lines is not None:
        inked = _bridged(inked, (lines > 0.6 * trace).view(np.uint8), round(1.5 * px_per_mm) | 1)
    return inked, trace / 255


def _bridged(inked: np.ndarray, lines: np.ndarray, width: int) -> np.ndarray:
    """Ink on both sides of a grid line as dark as a trace, which was taken away where they cross, is joined over it."""
    if not 0 < lines.mean() < 0.5:  # of 5 mm lines alone; rests of 1 mm lines would join, too
        return inked
    over = inked.copy()
    for short, long in zip(_bars(width - 2), _bars(width), strict=True):
        strokes = cv2.morphologyEx(inked, cv2.MORPH_OPEN, short)  # no specks
        cv2.max(over, cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, long), dst=over)
    return cv2.copyTo(over, lines, inked)


def _bars(length: int) -> list[np.ndarray]:
    """Level, upright and the two diagonal lines of pixels."""
    level, slant = np.ones((1, length), np.uint8), np.eye(length, dtype=np.uint8)
    return [level, level.T.copy(), slant, slant[::-1].copy()]


def _block_level(values: np.ndarray, block: int, share: float) -> np.ndarray:
    """The value that `share` of each block stays below, smoothed; float32 (rows, cols) of blocks."""
    rows, cols = (max(1, n // block) for n in values.shape)
    side = max(1, block // 3)  # samples of a block: every third pixel tells it as well
    sampled = cv2.resize(values, (cols * side, rows * side), interpolation=cv2.INTER_NEAREST)
    blocks = sampled.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(rows, cols, -1)
    at = int(share * side * side)
    level = np.partition(blocks, at, axis=2)[..., at].astype(np.float32)
    return cv2.medianBlur(level, 3) if min(level.shape) >= 3 else level
