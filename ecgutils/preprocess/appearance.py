"""Light and colour: from a photo to evenly lit paper."""

import cv2
import numpy as np
from scipy import ndimage

UNEVEN = 0.06  # (95th - 5th percentile) / median of the paper's brightness above which light is divided out


def paper_colour(rgb: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Colour of the bare paper, uint8 (H // 8, W // 8, 3): the image reduced, without lines, letters and marks. Where
    `paper` bool (H, W) is false (the scene around it) the nearest paper's colour is continued."""
    height, width = (n // 8 for n in paper.shape)
    small = cv2.resize(rgb[: 8 * height, : 8 * width], (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.dilate(small, np.ones((3, 3), np.uint8))
    inside = cv2.erode(paper[4::8, 4::8][:height, :width].astype(np.uint8), np.ones((5, 5), np.uint8))
    if 0 < inside.sum() < inside.size:
        nearest = ndimage.distance_transform_edt(inside == 0, return_distances=False, return_indices=True)
        small = small[nearest[0], nearest[1]]
    small = cv2.medianBlur(small, 15 if min(height, width) > 30 else 5)
    return cv2.blur(small, (5, 5))


def even_light(rgb: np.ndarray, paper: np.ndarray, divide: bool = True) -> np.ndarray:
    """Divide by the paper's colour: uint8 (H, W, 3) with white paper. `paper` bool (H, W) is where paper is. Where
    light is even already (see UNEVEN), or `divide` is off, one colour serves for the whole image."""
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
    if np.median(grey := cv2.cvtColor(rgb[::2, ::2], cv2.COLOR_RGB2GRAY)) > 90:
        return False
    darker, lighter = np.percentile(grey.astype(np.int16) - cv2.medianBlur(grey, 21), [0.3, 99.7])
    return bool(lighter > max(-1.5 * darker, 25))


def darkness(even: np.ndarray) -> np.ndarray:
    """Darkness against white paper, uint8 (H, W), of the grey image, in which every line shows."""
    return 255 - cv2.cvtColor(even, cv2.COLOR_RGB2GRAY)
