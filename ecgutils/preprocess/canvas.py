"""From the flat page to a canvas of the wanted size and scale: the last step, so that several networks can share the
steps before it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from ecgutils.geometry import affine, apply_homography, quarter_turns, smooth_map

Canvas = tuple[tuple[int, int], float]  # size (W, H) and px/mm
PLANE_PX_PER_MM = 4  # of the flattened page; the photo has 4.5 where it fills a 1280 px frame


@dataclass(frozen=True)
class FlatECG:
    """What `Preprocessor` gives; coordinates are in EXIF-oriented input pixels.

    image : uint8 (H, W), dark trace on white, grid suppressed, padding 255; the traces' bounding box is centred.
    image_grid : uint8 (H, W), the same with the grid kept.
    rectified : uint8 RGB (h, w, 3), the page (or visible area), upright; None when not readable.
    quad_xy : float32 (4, 2) TL, TR, BR, BL in reading orientation: the paper's corners, or where its outline is not
        seen, the corners of `rectified`, which may lie outside the image. None only when no ECG was found.
    rotation : clockwise degrees applied to make it upright: 0, 90, 180 or 270.
    px_per_mm : of `rectified`; None without a grid, or where its lines do not tell how far apart they are.
    flat_px_per_mm : of `image`; smaller than asked where the ECG would not fit, None where `px_per_mm` is; then the ECG
        fills the canvas.
    image_from_flat : float32 (H, W, 2), where each flat pixel comes from; may lie outside.
    readable : decides; `quality` 0..1 and `reasons` explain.
    steps : intermediate images by name, when asked for.
    """

    image: np.ndarray
    image_grid: np.ndarray
    rectified: np.ndarray | None
    quad_xy: np.ndarray | None
    rotation: int
    px_per_mm: float | None
    flat_px_per_mm: float | None
    image_from_flat: np.ndarray
    readable: bool
    quality: float
    reasons: tuple[str, ...]
    steps: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class RefusedPage:
    """An image without an ECG that could be read."""

    reasons: tuple[str, ...]
    steps: dict[str, np.ndarray] = field(default_factory=dict)

    def on_canvas(self, size: tuple[int, int], px_per_mm: float) -> FlatECG:
        """A blank canvas of `size` (W, H), not readable."""
        width, height = size
        blank = np.full((height, width), 255, np.uint8)
        nowhere = np.full((height, width, 2), -1, np.float32)
        return FlatECG(blank, blank.copy(), None, None, 0, None, None, nowhere, False, 0.0, self.reasons, self.steps)


@dataclass(frozen=True)
class FlatPage:
    """A page on a plane of PLANE_PX_PER_MM, lying as it was photographed; FlatECG explains what has the same name.

    ink : uint8 (h, w), the traces' strength, 0 elsewhere.
    grey : uint8 (h, w), the strength of all that is printed.
    rgb : uint8 (h, w, 3), white where there is no paper.
    box : x0, y0, x1, y1 of the traces, px of the plane.
    middle_xy : (x, y) between most of their rows, px of the plane; comes to the canvas' middle as far as the box fits.
    quarters : clockwise quarter turns that make it upright.
    scaled : whether a mm of the plane is one of the page.
    to_image : points (N, 2) of the plane -> (N, 2) of the image.
    """

    ink: np.ndarray
    grey: np.ndarray
    rgb: np.ndarray
    box: tuple[float, float, float, float]
    middle_xy: tuple[float, float]
    quarters: int
    scaled: bool
    to_image: Callable[[np.ndarray], np.ndarray]
    quad_xy: np.ndarray
    rotation: int
    quality: float
    reasons: tuple[str, ...]
    steps: dict[str, np.ndarray]

    def on_canvas(self, size: tuple[int, int], px_per_mm: float) -> FlatECG:
        """The traces upright and centred on a canvas of `size` (W, H), at `px_per_mm` or as large as they fit."""
        upright_from_plane = quarter_turns(self.quarters, self.ink.shape[::-1])
        x0, y0, x1, y1 = _turned_box(np.array(self.box), upright_from_plane)
        canvas = np.array(size)
        fitting = float(((canvas - 4) / np.maximum([x1 - x0, y1 - y0], 20)).min())  # canvas px per plane px
        reduction = min(px_per_mm / PLANE_PX_PER_MM, fitting) if self.scaled else fitting
        spare = np.maximum((canvas - 4) / reduction - [x1 - x0, y1 - y0], 0) / 2  # by which the box may be off
        boxed = np.array([x0 + x1, y0 + y1]) / 2
        middle = np.clip(apply_homography(upright_from_plane, np.array(self.middle_xy)), boxed - spare, boxed + spare)
        corner = middle - (canvas - 1) / 2 / reduction
        plane_from_flat = np.linalg.inv(upright_from_plane) @ affine(1 / reduction, corner)
        # a pen line 0.3 mm wide would fade when reduced: thicken it to about 0.5 mm, on every source alike
        bold = cv2.dilate(self.ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
        ink = _sample(bold, plane_from_flat, size, 1 / reduction)
        darkest = max(np.percentile(ink[ink > 25], 90), 51)
        return FlatECG(
            image=255 - np.rint(np.minimum(ink / darkest, 1) * 255).astype(np.uint8),
            image_grid=255 - _sample(self.grey, plane_from_flat, size, 1 / reduction),
            rectified=np.ascontiguousarray(np.rot90(self.rgb, -self.quarters)),
            quad_xy=self.quad_xy,
            rotation=self.rotation,
            px_per_mm=float(PLANE_PX_PER_MM) if self.scaled else None,
            flat_px_per_mm=reduction * PLANE_PX_PER_MM if self.scaled else None,
            image_from_flat=smooth_map(lambda xy: self.to_image(apply_homography(plane_from_flat, xy)), size, 4),
            readable=True,
            quality=self.quality,
            reasons=self.reasons,
            steps=self.steps,
        )


def _sample(values: np.ndarray, source_from_target: np.ndarray, size: tuple[int, int], minified: float) -> np.ndarray:
    """Resample; blurred first where it is minified, because linear sampling alone would alias."""
    if minified > 1.2:
        values = cv2.GaussianBlur(values, (0, 0), 0.4 * minified)
    flags = (cv2.INTER_CUBIC if minified < 1 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(values, source_from_target, size, flags=flags)


def _turned_box(box: np.ndarray, turned_from_box: np.ndarray) -> np.ndarray:
    """The box x0, y0, x1, y1 (4,) around a turned one; the homography makes quarter turns only."""
    corners = apply_homography(turned_from_box, np.array([[box[0], box[1]], [box[2], box[3]]]))
    return np.concatenate([corners.min(0), corners.max(0)])
