"""Ink on paper: lines of any width, letters, and the colour they leave on the page."""

import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageFont

RGB = tuple[int, int, int]
_SHIFT = 4  # OpenCV draws at 1/16 px
_THINNEST = 1.24  # px, width of OpenCV's anti-aliased line of thickness 1 (measured: area / length)
# Font files that come with matplotlib (a dependency), read without importing it: the same letters everywhere.
FONT_FILES = {
    "sans": "DejaVuSans.ttf", "sans-bold": "DejaVuSans-Bold.ttf", "sans-oblique": "DejaVuSans-Oblique.ttf",
    "serif": "STIXGeneral.ttf", "serif-bold": "STIXGeneralBol.ttf", "roman": "DejaVuSerif.ttf",
    "mono": "DejaVuSansMono.ttf", "mono-bold": "DejaVuSansMono-Bold.ttf",
}  # fmt: skip


def stroke(mask: np.ndarray, lines_xy: list[np.ndarray], width: float) -> None:
    """Draw lines of any width (px), each float (n, 2), into a coverage mask.

    OpenCV's thicker lines are 2 px too wide when their segments are short, so a thin line is drawn at several offsets:
    two or four for a width below 2.6 px, else rings. The widths that result (area / length) are right to 0.2 px.
    """
    offsets = [(0.0, 0.0)]
    if _THINNEST < width < 2.6:
        d = (width - _THINNEST) / 2
        offsets = [(d, d), (-d, -d)] if width < 1.9 else [(d, 0.0), (-d, 0.0), (0.0, d), (0.0, -d)]
    radius = (width - 2.2) / 1.5 if width >= 2.6 else 0.0
    while radius > 0:
        angles = np.arange(8) * np.pi / 4
        offsets += [(float(x), float(y)) for x, y in zip(np.cos(angles) * radius, np.sin(angles) * radius, strict=True)]
        radius -= 1.0
    for offset in offsets:
        shifted = [np.round((line + offset) * 2**_SHIFT).astype(np.int32) for line in lines_xy]
        cv2.polylines(mask, shifted, False, 255, 1, cv2.LINE_AA, _SHIFT)


def paleness(width: float) -> float:
    """Opacity 0.5..1 of a line `width` px wide: one thinner than OpenCV draws is drawn paler instead."""
    return float(np.clip(width / _THINNEST, 0.5, 1.0))


@lru_cache(maxsize=64)
def _font(name: str, px: int) -> ImageFont.FreeTypeFont:
    package = importlib.util.find_spec("matplotlib")
    folder = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"  # type: ignore[union-attr, arg-type]
    return ImageFont.truetype(str(folder / FONT_FILES[name]), px)


def write(mask: np.ndarray, text: str, x: float, y: float, font: str, px: float) -> list[int]:
    """Write `text` with its baseline's left end at (x, y) px and capitals `px` high; its box x0, y0, x1, y1 px."""
    face = _font(font, max(5, round(px / 0.68)))  # capitals of these fonts are about 0.68 em
    glyphs, offset = face.getmask2(text, mode="L", anchor="ls")
    w, h = glyphs.size
    x0, y0 = round(x) + offset[0], round(y) + offset[1]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + w, mask.shape[1]), min(y0 + h, mask.shape[0])
    if right > left and bottom > top:
        drawn = np.frombuffer(bytes(glyphs), np.uint8).reshape(h, w)[top - y0 : bottom - y0, left - x0 : right - x0]
        np.maximum(mask[top:bottom, left:right], drawn, out=mask[top:bottom, left:right])
    return [left, top, right, bottom]


def ink(layers: np.ndarray, mask: np.ndarray, rgb: RGB, opacity: float) -> None:
    """Print `rgb` on `layers` (H, W, 4), but for the fourth channel, in place where `mask` (uint8 coverage) says so."""
    weights = np.round(np.arange(256) * (opacity * 128 / 255)).astype(np.int16)  # in steps of 1/128
    pixels, cover = layers.reshape(-1, 4)[:, :3], mask.ravel()
    whole = len(cover) // 8 * 8  # eight pixels at once are looked through for any ink
    eights = np.flatnonzero(cover[:whole].view(np.uint64))[:, None] * 8 + np.arange(8)
    at = np.append(eights, np.arange(whole, len(cover)))
    at = at[cover[at] > 0]
    below = pixels[at]
    pixels[at] = below + ((np.array(rgb, np.int16) - below) * weights[cover[at], None] >> 7)
