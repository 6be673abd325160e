"""Scan-like sources. Each is a page style (style.py) plus what scanning, copying or age did to the paper.

vector   export of a viewing program: nothing happened to it
office   flatbed scan of a cart printout: slight skew, paper tone, lid shadow, dust, JPEG
fax      photocopy or fax: grey or black-and-white, threshold speckle, dropped lines, smudges
thermal  thermal roll: faded in patches, yellowed or heat-stained, dead print-head dots
archive  years in a hospital's folder (archive.py): yellowed, stamped, punched, written on, then scanned
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ecgutils.signals.record import Record
from ecgutils.synth.archive import keep_in_folder
from ecgutils.synth.effects import add_noise, blur, jpeg, multiply_field, smooth_field, specks
from ecgutils.synth.page import draw_layers, split_layers
from ecgutils.synth.rendered import Projection, Rendered
from ecgutils.synth.style import RGB, SCAN_SOURCES, draw_style

DEFAULT_SCAN_SIZE = (1100, 850)  # letter paper at 100 dpi
_FIELD = 8  # low-resolution fields are drawn at 1/8 of the image


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return `size` as two ints (W, H); ValueError unless both are 200..10000 px."""
    if len(size) != 2 or not all(200 <= int(s) <= 10000 for s in size):
        raise ValueError(f"Image size must be (W, H) with 200 to 10000 px each, got {size}.")
    return int(size[0]), int(size[1])


def render_scan(
    record: Record, rng: np.random.Generator, source: str | None = None, size: tuple[int, int] | None = None
) -> Rendered:
    """Draw a record as one of SCAN_SOURCES (None: drawn at random), in `size` (W, H), default 1100 x 850 px.

    The page is drawn at its final scale and fills the image as far as its shape allows.
    """
    size = check_size(DEFAULT_SCAN_SIZE if size is None else size)
    source = SCAN_SOURCES[int(rng.integers(len(SCAN_SOURCES)))] if source is None else source
    if source not in SCAN_SOURCES:
        raise ValueError(f"Unknown scan source {source!r}; choose from {', '.join(SCAN_SOURCES)}.")
    style = draw_style(rng, source, size[0] / size[1])
    ppm = min(size[0] / style.width_mm, size[1] / style.height_mm)
    layers, boxes, drawn = draw_layers(record, rng, style, ppm)
    page_size = layers.shape[1::-1]
    if source == "archive":
        keep_in_folder(layers, rng, ppm)

    lid: RGB = (255, 255, 255) if source == "vector" or rng.random() < 0.7 else (70, 70, 72)
    skew = 0.0 if source == "vector" else float(np.radians(np.clip(rng.normal(0, 0.7), -2.5, 2.5)))
    homography = _placement(page_size, size, skew)
    if skew:
        layers = cv2.warpAffine(layers, homography[:2], size, flags=cv2.INTER_LINEAR, borderValue=(*lid, 0))
    elif page_size != size:
        dx, dy = (int(v) for v in homography[:2, 2])
        sides = {"top": dy, "bottom": size[1] - page_size[1] - dy, "left": dx, "right": size[0] - page_size[0] - dx}
        layers = cv2.copyMakeBorder(layers, **sides, borderType=cv2.BORDER_CONSTANT, value=(*lid, 0))
    scan = split_layers(layers, page_size, ppm, Projection(homography), boxes, drawn)
    image, more = _EFFECTS[source](scan.image, rng)
    return replace(scan, image=image, style={**drawn, "skew_degrees": float(np.degrees(skew)), **more})


def _placement(page_size: tuple[int, int], size: tuple[int, int], skew: float) -> np.ndarray:
    """Homography that centres the page in the image (whole px) and turns it by `skew` radians about its centre."""
    cx, cy = ((page_size[i] - 1) / 2 for i in (0, 1))
    dx, dy = ((size[i] - page_size[i]) // 2 for i in (0, 1))
    c, s = np.cos(skew), np.sin(skew)
    return np.array([[c, -s, cx - c * cx + s * cy + dx], [s, c, cy - s * cx - c * cy + dy], [0, 0, 1]])


def _field_size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1] // _FIELD, image.shape[0] // _FIELD


def _vector(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    return image, {}


def _office(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    w, h = _field_size(image)
    scale = image.shape[1] / DEFAULT_SCAN_SIZE[0]
    tone = rng.uniform((0.93, 0.92, 0.87), (1.0, 0.99, 0.98)).astype(np.float32)
    lit = 1 + 0.015 * smooth_field(rng, (w, h), 4)
    if rng.random() < 0.4:  # the lid does not close over a thick file: one edge is darker
        edge = np.linspace(0, 1, w, dtype=np.float32) if rng.random() < 0.5 else np.linspace(1, 0, w, dtype=np.float32)
        lit = lit * (1 - rng.uniform(0.1, 0.4) * np.exp(-edge / rng.uniform(0.03, 0.1)))
    image = multiply_field(image, lit[..., None] * tone)
    specks(image, rng, int(rng.integers(0, 60)), 0.9 * scale, (90, 85, 80))
    image = blur(image, rng.uniform(0.35, 0.75) * scale)
    grey = bool(rng.random() < 0.12)
    if grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    quality = int(rng.integers(45, 92))
    return jpeg(add_noise(image, rng, rng.uniform(1, 4)), quality), {"grey": grey, "jpeg_quality": quality}


def _fax(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    scale = image.shape[1] / DEFAULT_SCAN_SIZE[0]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grey = blur(grey, rng.uniform(0.4, 0.8) * scale)
    grey = add_noise(grey, rng, rng.uniform(6, 18), 0.7 * scale)
    w, h = _field_size(image)
    toner = np.clip(smooth_field(rng, (w, h), 6), -2, 2)
    dirt = cv2.GaussianBlur(rng.standard_normal((2 * h, 2 * w), dtype=np.float32), (0, 0), 0.8)  # crumbs of any shape
    dirt = np.clip((dirt - rng.uniform(1.1, 1.6)) * 900, 0, 255).astype(np.uint8)
    grey = cv2.subtract(grey, cv2.resize(dirt, grey.shape[::-1]), dst=grey)
    if rng.random() < 0.3:  # a fax in standard mode has half as many lines as columns
        half = cv2.resize(grey, (grey.shape[1], grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
        grey = cv2.resize(half, grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
    two_level = bool(rng.random() < 0.6)
    # the tone that turns white lies between ink and paper and wanders with the toner; most of a pale grid gets lost
    small = grey[::3, ::3]
    bright = (small > 0.6 * np.percentile(small, 95)).astype(np.uint8)
    page = cv2.erode(cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((7, 7))), np.ones((7, 7)))
    ink, paper = (int(v) for v in np.percentile(small[page > 0], (2.5, 75)))  # a dark surround is no ink
    middle = ink + (paper - ink) * rng.uniform(0.45, 0.76)
    if two_level:
        level = np.clip(middle + 0.05 * (paper - ink) * toner, 0, 250)
        grey = cv2.compare(grey, cv2.resize(level.astype(np.uint8), grey.shape[::-1]), cv2.CMP_GT)
    else:  # steep copier curve
        curve = 255 / (1 + np.exp(-(np.arange(256) - middle) / rng.uniform(10, 24)))
        grey = cv2.LUT(grey, curve.astype(np.uint8))
    height = len(grey)
    for _ in range(int(rng.integers(0, 6))):  # lines lost in transmission, or streaks of a dirty drum
        y, thick = int(rng.integers(height)), max(1, round(rng.uniform(0.5, 1.5) * scale))
        grey[y : y + thick] = 255 if rng.random() < 0.7 else grey[y : y + thick] // 3
    image = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    return (image if two_level else jpeg(image, int(rng.integers(40, 80)))), {"two_level": two_level}


def _thermal(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    w, h = _field_size(image)
    scale = image.shape[1] / DEFAULT_SCAN_SIZE[0]
    height = image.shape[0]
    for _ in range(int(rng.integers(0, 5))):  # a dead dot of the print head leaves a pale line along the roll
        y = int(rng.integers(height))
        thick = max(1, round(0.8 * scale))
        image[y : y + thick] = image[y : y + thick] // 3 + 160
    fading = float(rng.uniform(0.15, 0.6))
    fade = np.clip(fading * (0.75 + 0.45 * smooth_field(rng, (w, h), 3)), 0, 0.72)
    image = cv2.bitwise_not(multiply_field(cv2.bitwise_not(image), 1 - fade))  # fading moves ink towards white
    tone = rng.uniform((0.9, 0.87, 0.74), (0.99, 0.97, 0.92)).astype(np.float32)
    warmth = 0.7 * smooth_field(rng, (w, h), 5) + 0.5 * smooth_field(rng, (w, h), 13)  # heat darkens the paper
    stain = np.maximum(warmth - 0.9, 0) * rng.uniform(0, 0.12)
    roll = 1 - 0.10 * np.abs(np.linspace(-1, 1, h, dtype=np.float32)) ** 6  # edges darken where the roll was open
    image = multiply_field(image, (roll[:, None] * (1 - stain))[..., None] * tone)
    image = blur(image, rng.uniform(0.4, 0.8) * scale)
    return jpeg(add_noise(image, rng, rng.uniform(2, 5), 0.6), int(rng.integers(55, 90))), {"fading": fading}


def _archive(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    w, h = _field_size(image)
    scale = image.shape[1] / DEFAULT_SCAN_SIZE[0]
    yellow = float(rng.uniform(0.2, 1))
    tone = 1 - yellow * np.array([0.07, 0.14, 0.34], np.float32) * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    x, y = np.meshgrid(np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32))
    rim = np.maximum(np.abs(x), np.abs(y)) ** 12 + 0.25 * np.maximum(smooth_field(rng, (w, h), 4), 0)  # air and light
    spots = cv2.GaussianBlur(rng.standard_normal((h, w), dtype=np.float32), (0, 0), w / 140)
    foxing = np.clip(spots / spots.std() - rng.uniform(2.4, 3.4), 0, 0.5) * rng.uniform(0.3, 1)
    aged = 1 - (0.16 * yellow * rim + foxing)[..., None] * np.array([0.5, 0.75, 1.1], np.float32)
    image = multiply_field(image, aged * tone)
    image = blur(image, rng.uniform(0.35, 0.8) * scale)
    quality = int(rng.integers(40, 88))
    return jpeg(add_noise(image, rng, rng.uniform(1.5, 5), 0.6), quality), {
        "yellowing": yellow,
        "jpeg_quality": quality,
    }


_EFFECTS = {"vector": _vector, "office": _office, "fax": _fax, "thermal": _thermal, "archive": _archive}
