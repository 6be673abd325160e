"""What a renderer returns: an image and the truth about every pixel of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgutils.geometry import apply_homography, frame_corners, sample_field

Boxes = dict[str, np.ndarray]
Size = tuple[int, int]


def check_size(size: Size) -> Size:
    """Return `size` as two ints (W, H); ValueError unless both are 200..10000 px."""
    if len(size) != 2 or not all(200 <= int(s) <= 10000 for s in size):
        raise ValueError(f"Image size must be (W, H) with 200 to 10000 px each, got {size}.")
    return int(size[0]), int(size[1])


@dataclass(frozen=True, eq=False)
class Surface:
    """Height of bent paper above its plane, in page px towards the camera, interpolated linearly between grid points.

    `heights` is float32 (gh, gw); grid point (j, i) lies at page px (i * step, j * step); the outermost heights go on.
    """

    heights: np.ndarray = field(default_factory=lambda: np.zeros((2, 2), np.float32))
    step: float = 1.0

    @property
    def is_flat(self) -> bool:
        return not self.heights.any()

    def height(self, page_xy: np.ndarray) -> np.ndarray:
        """Height (..., 1) at page px (..., 2)."""
        return sample_field(self.heights, *np.moveaxis(page_xy / self.step, -1, 0))[..., None]

    def slope(self, page_xy: np.ndarray, angle: float) -> np.ndarray:
        """Slope (no unit) of the paper at page px (..., 2) in the direction `angle` (radians)."""
        dy, dx = np.gradient(self.heights, self.step)
        slope = (dx * float(np.cos(angle)) + dy * float(np.sin(angle))).astype(np.float32)
        return sample_field(slope, *np.moveaxis(page_xy / self.step, -1, 0))


@dataclass(frozen=True)
class Lens:
    """Radial distortion: a point at distance r from `centre` is seen at r * (1 + k * (r / radius)^2); k = 0 is none."""

    k: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)
    radius: float = 1.0

    def distort(self, xy: np.ndarray) -> np.ndarray:
        """Ideal image px (..., 2) -> seen image px."""
        if not self.k:
            return xy
        d = xy - np.array(self.centre)
        return np.array(self.centre) + d * (1 + self.k * (d**2).sum(-1, keepdims=True) / self.radius**2)

    def undistort(self, xy: np.ndarray) -> np.ndarray:
        """Seen image px (..., 2) -> ideal image px, by fixed-point iteration (|k| is at most some hundredths)."""
        if not self.k:
            return xy
        seen = xy - np.array(self.centre)
        bend = self.k * (seen[..., 0] ** 2 + seen[..., 1] ** 2) / self.radius**2
        shrink = np.ones_like(bend)  # ideal = seen * shrink
        for _ in range(8):
            shrink = 1 / (1 + bend * shrink**2)
        return np.array(self.centre) + seen * shrink[..., None]


@dataclass(frozen=True)
class Projection:
    """Pinhole projection of a page: a homography for its plane, exact parallax for paper above the plane, and a lens.

    A point at height z is seen where the ray through it meets the plane, so bent paper needs only the camera centre.

    homography : float64 (3, 3), page px -> image px of a perfect lens.
    surface : height of the paper.
    camera : (x, y, z) of the camera centre in page px; z > 0 above the page.
    lens : distortion, applied last.
    """

    homography: np.ndarray
    surface: Surface = field(default_factory=Surface)
    camera: tuple[float, ...] = (0.0, 0.0, 1.0)
    lens: Lens = field(default_factory=Lens)

    def to_image(self, page_xy: np.ndarray) -> np.ndarray:
        """Page px (..., 2) -> image px (..., 2), float64."""
        xy = np.asarray(page_xy, dtype=np.float64)
        if not self.surface.is_flat:
            lift = self.surface.height(xy) / self.camera[2]
            xy = (xy - np.array(self.camera[:2]) * lift) / (1 - lift)
        return self.lens.distort(apply_homography(self.homography, xy))

    def to_page(self, image_xy: np.ndarray) -> np.ndarray:
        """Image px (..., 2) -> page px (..., 2): the ray is followed to the paper by fixed-point iteration."""
        ideal = self.lens.undistort(np.asarray(image_xy, dtype=np.float64))
        plane = apply_homography(np.linalg.inv(self.homography), ideal)
        if self.surface.is_flat:
            return plane
        xy, away = plane, (np.array(self.camera[:2]) - plane) / self.camera[2]
        for _ in range(40):  # slopes times the ray's tilt are below 0.3, but for corners of bent pages
            before, xy = xy, plane + away * self.surface.height(xy)
            if np.abs(xy - before).max(initial=0) < 1e-3:  # page px
                break
        return xy


@dataclass(frozen=True, eq=False)
class Rendered:
    """One drawn ECG and its truth.

    image : uint8 (H, W, 3) RGB.
    px_per_mm : of the flat page; page px = page mm * px_per_mm from the top left corner of the paper.
    page_size : (W, H) of the flat page in page px.
    projection : page px -> image px, exactly.
    trace_mask : uint8 (H, W), how much of each pixel the ECG trace covers (0 none, 255 all); no calibration, no text.
    lead_boxes : lead name -> float32 (4,) x0, y0, x1, y1 of its trace in page px, inside the paper;
        rhythm strips are named like "II_rhythm".
    style : JSON-able; everything drawn at random that describes the page, with "source", "layout" and "header", the
        lines of text above the traces; "rotation" is the clockwise turn in degrees that makes the image upright.
    """

    image: np.ndarray
    px_per_mm: float
    page_size: Size
    projection: Projection
    trace_mask: np.ndarray
    lead_boxes: Boxes
    style: dict[str, Any]

    @property
    def quad_xy(self) -> np.ndarray:
        """float32 (4, 2): paper corners TL, TR, BR, BL in reading orientation, in image px. They may lie outside: in a
        scan by 2.5 % of its longer side, in a photo by its width and height."""
        return self.projection.to_image(frame_corners(self.page_size)).astype(np.float32)
