"""What a renderer returns: an image and the truth about every pixel of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Surface:
    """Height of bent paper above its plane, in page px towards the camera: waves plus straight folds.

    Attributes
    ----------
    waves : (n, 4) float rows (amplitude, kx, ky, phase): a * sin(kx * x + ky * y + phase).
    folds : (m, 5) float rows (amplitude, nx, ny, offset, width): a * exp(-((nx * x + ny * y - offset) / width)^2).
    """

    waves: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    folds: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))

    @property
    def is_flat(self) -> bool:
        return not (np.any(self.waves[:, 0]) or np.any(self.folds[:, 0]))

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Height at page px (x, y), arrays of one shape."""
        z = np.zeros_like(x)
        for a, kx, ky, phase in self.waves.astype(x.dtype):
            z += a * np.sin(kx * x + ky * y + phase)
        for a, nx, ny, offset, width in self.folds.astype(x.dtype):
            z += a * np.exp(-(((nx * x + ny * y - offset) / width) ** 2))
        return z

    def slope(self, x: np.ndarray, y: np.ndarray, direction: tuple[float, float]) -> np.ndarray:
        """Slope (no unit) of the paper at page px (x, y) along the unit vector `direction`."""
        dx, dy = direction
        slope = np.zeros_like(x)
        for a, kx, ky, phase in self.waves.astype(x.dtype):
            slope += a * (kx * dx + ky * dy) * np.cos(kx * x + ky * y + phase)
        for a, nx, ny, offset, width in self.folds.astype(x.dtype):
            u = (nx * x + ny * y - offset) / width
            slope += a * (nx * dx + ny * dy) / width * (-2 * u) * np.exp(-(u**2))
        return slope


@dataclass(frozen=True)
class Projection:
    """Pinhole projection of a page: a homography for its plane, and exact parallax for paper above the plane.

    A point at height z is seen where the ray through it meets the plane, so bent paper needs only the camera centre.

    Attributes
    ----------
    homography : float64 (3, 3), page px -> image px.
    surface : height of the paper.
    camera : (x, y, z) of the camera centre in page px; z > 0 above the page.
    """

    homography: np.ndarray
    surface: Surface = field(default_factory=Surface)
    camera: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def to_image(self, page_xy: np.ndarray) -> np.ndarray:
        """Page px (..., 2) -> image px (..., 2), float64."""
        xy = np.asarray(page_xy, dtype=np.float64)
        if not self.surface.is_flat:
            lift = self.surface.height(xy[..., 0], xy[..., 1])[..., None] / self.camera[2]
            xy = (xy - np.array(self.camera[:2]) * lift) / (1 - lift)
        return apply_homography(self.homography, xy)

    def to_page(self, image_xy: np.ndarray) -> np.ndarray:
        """Image px (..., 2) -> page px (..., 2): the ray is followed to the paper by fixed-point iteration."""
        plane = apply_homography(np.linalg.inv(self.homography), np.asarray(image_xy))
        page = plane
        if not self.surface.is_flat:
            camera = np.array(self.camera[:2], dtype=plane.dtype)
            for _ in range(5):  # slopes are below 0.5, so each step at least halves the error
                lift = self.surface.height(page[..., 0], page[..., 1])[..., None] / plane.dtype.type(self.camera[2])
                page = plane + (camera - plane) * lift
        return page


def apply_homography(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Apply a (3, 3) homography to points (..., 2); keeps the floating dtype of the points."""
    m = np.asarray(matrix, dtype=xy.dtype if xy.dtype.kind == "f" else np.float64)
    x, y = xy[..., 0], xy[..., 1]
    w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    return np.stack([(m[0, 0] * x + m[0, 1] * y + m[0, 2]) / w, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / w], axis=-1)


@dataclass(frozen=True, eq=False)
class Rendered:
    """One drawn ECG and its truth.

    Attributes
    ----------
    image : uint8 (H, W, 3) RGB.
    px_per_mm : of the flat page; page px = page mm * px_per_mm from the top left corner of the paper.
    page_size : (W, H) of the flat page in page px.
    projection : page px -> image px, exactly.
    trace_mask : uint8 (H, W), how much of each pixel the ECG trace covers (0 none, 255 all); no calibration, no text.
    lead_boxes : lead name -> float32 (4,) x0, y0, x1, y1 of its trace in page px, inside the paper;
        rhythm strips are named like "II_rhythm".
    style : JSON-able; everything drawn at random that describes the page, with "source" and "layout";
        "rotation" is the clockwise turn in degrees that makes the image upright.
    """

    image: np.ndarray
    px_per_mm: float
    page_size: tuple[int, int]
    projection: Projection
    trace_mask: np.ndarray
    lead_boxes: dict[str, np.ndarray]
    style: dict[str, Any]

    @property
    def quad_xy(self) -> np.ndarray:
        """float32 (4, 2): paper corners TL, TR, BR, BL in reading orientation, in image px; may lie outside."""
        w, h = self.page_size
        corners = np.array([(0, 0), (w - 1, 0), (w - 1, h - 1), (0, h - 1)], dtype=np.float64)
        return self.projection.to_image(corners).astype(np.float32)

    @cached_property
    def image_from_page(self) -> np.ndarray:
        """Flat paper: float64 (3, 3) homography. Bent paper: float32 (h, w, 2), image (x, y) of every page px."""
        if self.projection.surface.is_flat:
            return self.projection.homography
        w, h = self.page_size
        rows = [self.projection.to_image(np.stack([np.arange(w), np.full(w, y)], -1)) for y in range(h)]
        return np.stack(rows).astype(np.float32)
