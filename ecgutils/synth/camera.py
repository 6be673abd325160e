"""Where the phone is and how the paper bends: page px -> image px."""

from __future__ import annotations

import cv2
import numpy as np

from ecgutils.synth.rendered import Projection, Surface, apply_homography
from ecgutils.synth.style import PageStyle

_NODES = 320  # maps are evaluated on about this many nodes per row and enlarged


def aim(
    rng: np.random.Generator, style: PageStyle, size: tuple[int, int], framing: float, perspective: float
) -> tuple[np.ndarray, tuple[float, float, float], bool]:
    """Choose camera and crop.

    `framing` and `perspective` are severities 0..1; at 0 the whole page fills the frame, seen from straight above.

    Returns
    -------
    homography (3, 3) from page mm to image px, the camera centre (x, y, z) in page mm, and whether the shot is a
    close-up: these (60 %) zoom in on the traces until hardly any paper edge is left in the frame, the others zoom out.
    """
    w_mm, h_mm = style.width_mm, style.height_mm
    tilt_x, tilt_y = rng.uniform(-1, 1, 2) * np.radians((24, 16)) * perspective
    roll = float(np.clip(rng.normal(0, 2.2), -7, 7)) * perspective
    distance = float(rng.uniform(260, 650))
    close = bool(rng.random() < 0.6)
    zoom_out, shift = rng.uniform(0.02, 0.3), rng.uniform(-1, 1, 2)

    rotation = cv2.Rodrigues(np.array([tilt_x, 0, 0]))[0] @ cv2.Rodrigues(np.array([0, tilt_y, 0]))[0]
    rotation = cv2.Rodrigues(np.array([0, 0, np.radians(roll)]))[0] @ rotation
    centred = np.array([[1, 0, -w_mm / 2], [0, 1, -h_mm / 2], [0, 0, 1.0]])
    plane = np.diag([distance, distance, 1]) @ np.column_stack([rotation[:, :2], (0, 0, distance)]) @ centred
    camera = -rotation.T @ np.array([0, 0, distance])  # its z points into the table: turn it up
    camera_mm = (float(camera[0] + w_mm / 2), float(camera[1] + h_mm / 2), float(-camera[2]))

    corners = apply_homography(plane, np.array([(0, 0), (w_mm, 0), (w_mm, h_mm), (0, h_mm)]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    fit = float(min(np.array(size) / (high - low)))
    room = np.zeros(2)
    if close:
        # the part with the traces, which a close-up shows whole, or nearly so
        top, bottom = style.top_mm + style.header_mm, h_mm - style.top_mm - style.footer_mm
        body = apply_homography(plane, np.array([(0, top), (w_mm, top), (w_mm, bottom), (0, bottom)]))
        grow = min(1.0, 1.6 * framing)
        low, high = (
            (1 - grow) * whole + grow * part for whole, part in ((low, body.min(axis=0)), (high, body.max(axis=0)))
        )
        scale = float(min(np.array(size) / (high - low)))
        largest = scale * (1 + 0.22 * grow)
        frame = np.array([(0, 0), (size[0], 0), size, (0, size[1])], dtype=np.float64) - np.array(size) / 2
        while scale < largest and not _inside(frame / scale + (low + high) / 2, corners):
            scale *= 1.02
    else:
        scale = fit * (1 - zoom_out * framing)
        room = (np.array(size) - scale * (high - low)) / 2
    offset = np.array(size) / 2 - scale * (low + high) / 2 + shift * framing * (room if not close else 0.0)
    place = np.array([[scale, 0, offset[0]], [0, scale, offset[1]], [0, 0, 1]])
    homography = place @ plane
    homography /= homography[2, 2]
    if perspective == 0:  # whole px, so that a page seen from straight above is not resampled
        homography[:2, 2] = np.round(homography[:2, 2])
    return homography, camera_mm, close


def _inside(points: np.ndarray, quad: np.ndarray) -> bool:
    """All points (n, 2) inside the convex quad (4, 2) given clockwise on screen."""
    side = np.roll(quad, -1, axis=0) - quad
    rel = points[:, None] - quad
    return bool(np.all(side[:, 0] * rel[..., 1] - side[:, 1] * rel[..., 0] >= 0))


def draw_surface(
    rng_bend: np.random.Generator, rng_crease: np.random.Generator, style: PageStyle, bend: float, crease: float
) -> Surface:
    """Bent paper in mm: one slow curl and a gentle ripple scaled by `bend`, folds and creases by `crease`."""
    waves = []
    for longest, height in ((1.0, 14.0), (0.45, 3.0)):
        wavelength = longest * style.width_mm * rng_bend.uniform(1.0, 2.2)
        angle = rng_bend.normal(0, 0.5) + (np.pi / 2 if rng_bend.random() < 0.3 else 0)
        k = 2 * np.pi / wavelength
        a = height * rng_bend.uniform(0.2, 1) * bend
        waves.append((a, k * np.cos(angle), k * np.sin(angle), rng_bend.uniform(0, 2 * np.pi)))
    folds = []
    for i in range(int(rng_crease.integers(1, 6))):
        sharp = rng_crease.uniform(1.6, 5)
        if i == 0:  # folded in half, or in three
            angle = float(rng_crease.choice([0, np.pi / 2])) + rng_crease.normal(0, 0.01)
            at = float(rng_crease.choice([1 / 3, 1 / 2, 2 / 3]))
        else:
            angle, at = rng_crease.uniform(0, np.pi), rng_crease.uniform(0.1, 0.9)
        n = np.array([np.cos(angle), np.sin(angle)])
        offset = float(n @ (np.array([style.width_mm, style.height_mm]) * at))
        a = sharp * rng_crease.uniform(0.05, 0.24) * rng_crease.choice([-1, 1]) * crease
        folds.append((a, *n, offset, sharp))
    return Surface(np.array(waves), np.array(folds))


def scaled_projection(
    homography_mm: np.ndarray, surface_mm: Surface, camera_mm: tuple[float, float, float], ppm: float
) -> Projection:
    """The projection in page px, from lengths in mm."""
    waves, folds = surface_mm.waves.copy(), surface_mm.folds.copy()
    waves[:, 0] *= ppm
    waves[:, 1:3] /= ppm
    folds[:, [0, 3, 4]] *= ppm
    x, y, z = (float(v) * ppm for v in camera_mm)
    return Projection(homography_mm @ np.diag([1 / ppm, 1 / ppm, 1]), Surface(waves, folds), (x, y, z))


class NodeGrid:
    """Page position of every image px, evaluated on nodes `step` px apart and enlarged when asked for.

    Nodes reach one step beyond the image so that enlarging never extrapolates. `page_xy` is float32 (ny, nx, 2).
    """

    def __init__(self, projection: Projection, size: tuple[int, int]) -> None:
        self.size = size
        self.step = max(4, round(max(size) / _NODES))
        # cv2.resize puts node j at px j * step + (step - 1) / 2
        x, y = (np.arange(-1, -(-side // self.step) + 1) * self.step + (self.step - 1) / 2 for side in size)
        self.image_xy = np.stack(np.meshgrid(x, y), axis=-1)
        # float64: a page far out of frame costs digits; 60,000 nodes are cheap
        self.page_xy = projection.to_page(self.image_xy).astype(np.float32)

    def enlarge(self, field: np.ndarray) -> np.ndarray:
        """Field on the nodes (ny, nx), float32 or uint8 with any channels -> (H, W), linearly."""
        w, h = self.size
        k = self.step
        full = cv2.resize(field, (field.shape[1] * k, field.shape[0] * k), interpolation=cv2.INTER_LINEAR)
        return full[k : k + h, k : k + w]

    def maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Page x and y of every image px, float32 (H, W) each, for cv2.remap."""
        return tuple(self.enlarge(np.ascontiguousarray(self.page_xy[..., i])) for i in (0, 1))  # type: ignore[return-value]
