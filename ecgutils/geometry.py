"""Points (x, y) in px (pixel centres are integers), corners TL, TR, BR, BL, homographies, maps, thumbnails."""

from collections.abc import Callable

import cv2
import numpy as np


def apply_homography(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Apply a (3, 3) homography to points (..., 2); float64, whatever the points are."""
    flat = np.reshape(xy, (-1, 2))
    mapped = np.column_stack([flat, np.ones(len(flat))]) @ np.transpose(matrix)
    return (mapped[:, :2] / mapped[:, 2:]).reshape(np.shape(xy))


def frame_corners(size: tuple[float, float]) -> np.ndarray:
    """Corners TL, TR, BR, BL of an image of `size` (W, H), at the centres of its outermost px; float64 (4, 2)."""
    return np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (np.array(size, float) - 1)


def check_outline(quad_xy: np.ndarray) -> np.ndarray:
    """Corners given by hand as float64 (4, 2); ValueError unless they run clockwise around a convex area."""
    quad = np.asarray(quad_xy, float)
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise ValueError(f"quad_xy has shape {quad.shape}; give four finite corners (x, y): TL, TR, BR, BL.")
    sides = np.roll(quad, -1, axis=0) - quad
    ahead = np.roll(sides, -1, axis=0)
    if (sides[:, 0] * ahead[:, 1] - sides[:, 1] * ahead[:, 0]).min() <= 0:
        raise ValueError(f"Corners {quad.tolist()} don't run clockwise: give TL, TR, BR, BL, as one reads the page.")
    return quad


def read_corners(text: str) -> np.ndarray:
    """Eight numbers "x,y,..." of TL, TR, BR, BL as `check_outline` gives them; ValueError where they are no outline."""
    try:
        corners = np.array([float(part) for part in text.split(",")]).reshape(4, 2)
    except ValueError:
        raise ValueError(f"Corners are eight numbers, x,y of TL, TR, BR, BL; got {text!r}.") from None
    return check_outline(corners)


def order_corners(corners_xy: np.ndarray) -> np.ndarray:
    """Four corners in the order TL, TR, BR, BL as seen in the image: clockwise, from the one nearest the top left."""
    angle = np.arctan2(*(corners_xy - corners_xy.mean(0)).T[::-1])
    clockwise = corners_xy[np.argsort(angle)]
    return np.roll(clockwise, -int(clockwise.sum(1).argmin()), axis=0)


def quarter_turns(quarters: int, size: tuple[int, int]) -> np.ndarray:
    """Pixel map of `np.rot90(image, -quarters)`: clockwise quarter turns of an image of `size` (W, H)."""
    width, height = size
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters % 4]
    shift = [(0, 0), (height - 1, 0), (width - 1, height - 1), (0, width - 1)][quarters % 4]
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]], float)


def affine(scale: float, shift: np.ndarray) -> np.ndarray:
    """Scale, then shift (2,) as a homography (3, 3)."""
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]], float)


def sample_field(field: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`field`, float32 (h, w), at (x, y), arrays of one shape: linear between its pixels, constant beyond them."""
    rows = -(-x.size // 1024)  # OpenCV's maps are limited to 32767 rows and columns
    maps = (np.resize(values, (rows, 1024)).astype(np.float32) for values in (x, y))
    found = cv2.remap(field, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.ravel()[: x.size].reshape(x.shape).astype(x.dtype)


def smooth_map(place: Callable[[np.ndarray], np.ndarray], size: tuple[int, int], step: int) -> np.ndarray:
    """`place` (points (N, 2) -> (N, 2)) for each px of an image of `size` (W, H), float32 (H, W, 2), from every `step`
    px by linear interpolation."""
    # cv2.resize puts node i at px (i + 0.5) * step - 0.5; one node more on either side, so that nothing is extrapolated
    cols, rows = (np.arange(-1, -(-n // step) + 1) * step + (step - 1) / 2 for n in size)
    nodes = np.stack(np.meshgrid(cols, rows), axis=-1)
    xy = place(nodes.reshape(-1, 2)).reshape(nodes.shape).astype(np.float32)
    full = cv2.resize(xy, (len(cols) * step, len(rows) * step), interpolation=cv2.INTER_LINEAR)
    return full[step : step + size[1], step : step + size[0]]


def thumbnail(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """A copy whose longer side has at most `side` px, and its scale; area averaging keeps lines thinner than a px."""
    scale = min(1.0, side / max(image.shape[:2]))
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale
