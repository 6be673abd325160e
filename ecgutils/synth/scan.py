"""Scan-like sources: a page, worn, laid on a scanner's glass, and scanned; what each does is told in `sources/`."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator

from ecgutils.signals.record import Record
from ecgutils.synth.page import draw_layers, split_layers
from ecgutils.synth.rendered import Projection, Rendered, Size
from ecgutils.synth.sources import DEFAULT_SCAN_SIZE, SCAN_SOURCES, SCANS
from ecgutils.synth.style import draw_style


def check_size(size: Size) -> Size:
    """Return `size` as two ints (W, H); ValueError unless both are 200..10000 px."""
    if len(size) != 2 or not all(200 <= int(s) <= 10000 for s in size):
        raise ValueError(f"Image size must be (W, H) with 200 to 10000 px each, got {size}.")
    return int(size[0]), int(size[1])


def render_scan(record: Record, rng: Generator, source: str | None = None, size: Size | None = None) -> Rendered:
    """Draw a record as one of SCAN_SOURCES (None: drawn at random), in `size` (W, H), default 1100 x 850 px.

    The page is drawn at its final scale and fills the image as far as its shape allows.
    """
    size = check_size(DEFAULT_SCAN_SIZE if size is None else size)
    source = SCAN_SOURCES[int(rng.integers(len(SCAN_SOURCES)))] if source is None else source
    if source not in SCANS:
        raise ValueError(f"Unknown scan source {source!r}; choose from {', '.join(SCANS)}.")
    how = SCANS[source]
    style = draw_style(rng, source, size[0] / size[1])
    ppm = min(size[0] / style.width_mm, size[1] / style.height_mm)
    layers, boxes, drawn = draw_layers(record, rng, style, ppm)
    page_size = layers.shape[1::-1]
    if how.wear:
        how.wear(layers, rng, ppm)

    lid = (70, 70, 72) if how.on_glass and rng.random() >= 0.7 else (255, 255, 255)
    skew = 0.0 if not how.on_glass else float(np.radians(np.clip(rng.normal(0, 0.7), -2.5, 2.5)))
    # the page in the middle (whole px), turned about its centre
    cx, cy, dx, dy = *((side - 1) / 2 for side in page_size), *((size[i] - page_size[i]) // 2 for i in (0, 1))
    c, s = np.cos(skew), np.sin(skew)
    homography = np.array([[c, -s, cx - c * cx + s * cy + dx], [s, c, cy - s * cx - c * cy + dy], [0, 0, 1]])
    layers = cv2.warpAffine(layers, homography[:2], size, flags=cv2.INTER_LINEAR, borderValue=(*lid, 0))
    scan = split_layers(layers, page_size, ppm, Projection(homography), boxes, drawn)
    image, more = how.scan(scan.image, rng) if how.scan else (scan.image, {})
    return replace(scan, image=image, style={**drawn, "skew_degrees": float(np.degrees(skew)), **more})
