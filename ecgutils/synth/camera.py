"""Where the phone is and how the paper bends: page px -> image px."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ecgutils.geometry import apply_homography
from ecgutils.synth.rendered import Lens, Projection, Surface
from ecgutils.synth.style import LAYOUTS, PageStyle

_SURFACE_MM = 1.25  # grid of the paper's height; the sharpest folds are 1.6 mm wide
_NODES = 320  # maps are evaluated on about this many nodes per row and enlarged


def aim(
    rng: np.random.Generator, style: PageStyle, size: tuple[int, int], framing: float, perspective: float
) -> tuple[np.ndarray, tuple[float, float, float], bool]:
    """Choose camera and crop.

    `framing` and `perspective` are severities 0..1; at 0 the whole page fills the frame, seen from straight above.

    Returns
    -------
    homography (3, 3) from page mm to image px, the camera centre (x, y, z) in page mm, and whether the shot is a
    close-up: these (72 %) zoom in on the traces until hardly any paper edge is left in the frame, the others zoom out.
    """
    w_mm, h_mm = style.width_mm, style.height_mm
    # held in front of the reader: the far edge of the page is mostly its upper one
    tilt_x, tilt_y = np.array([rng.normal(-9, 10), rng.normal(0, 7)]).clip(-28, 26) * np.radians(1) * perspective
    roll = float(np.clip(rng.normal(0, 2.2), -7, 7)) * perspective
    distance = float(rng.uniform(260, 650))
    close = bool(rng.random() < 0.72)
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
        columns, rhythm = LAYOUTS[style.layout]
        rows_mm = style.pitch_mm * (len(columns[0]) + len(rhythm))
        top, bottom = style.top_mm + style.header_mm, h_mm - style.top_mm - style.footer_mm
        spare = max(0.0, bottom - top - rows_mm)
        top, bottom = top + 0.4 * spare, bottom - 0.6 * spare
        body = apply_homography(plane, np.array([(0, top), (w_mm, top), (w_mm, bottom), (0, bottom)]))
        grow = min(1.0, 3 * framing)
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


def draw_surface(streams: dict[str, np.random.Generator], style: PageStyle, strength: dict[str, float]) -> Surface:
    """Bent paper in mm: curl and ripple ("bend"), folds and dents ("crease"), a net of ridges ("crumple")."""
    size = np.array([style.width_mm, style.height_mm])
    nx, ny = np.ceil(size / _SURFACE_MM).astype(int) + 1
    x, y = np.meshgrid(*(np.arange(n, dtype=np.float32) * _SURFACE_MM for n in (nx, ny)))
    heights = np.zeros((ny, nx), np.float32)

    rng = streams["bend"]
    for longest, height in ((1.0, 14.0), (0.45, 3.0)):
        k = 2 * np.pi / (longest * style.width_mm * rng.uniform(1.0, 2.2))
        angle = rng.normal(0, 0.5) + (np.pi / 2 if rng.random() < 0.3 else 0)
        a, phase = height * rng.uniform(0.2, 1) * strength["bend"], rng.uniform(0, 2 * np.pi)
        heights += a * np.sin(np.float32(k * np.cos(angle)) * x + np.float32(k * np.sin(angle)) * y + np.float32(phase))
    edge = rng.uniform(20, 70)  # roll paper keeps its curl at one end
    lift = np.clip(1 - (x if rng.random() < 0.5 else style.width_mm - x) / edge, 0, None) ** 2
    heights += np.float32(strength["bend"] * rng.uniform(0, 0.25) * edge * (rng.random() < 0.4)) * lift

    rng = streams["crease"]
    for i in range(int(rng.integers(1, 8))):
        sharp, length = rng.uniform(1.6, 5), np.inf
        if i == 0:  # folded in half, or in three
            angle = float(rng.choice([0, np.pi / 2])) + rng.normal(0, 0.01)
            at = float(rng.choice([1 / 3, 1 / 2, 2 / 3])) * size
        else:  # a crease right across, or a dent of some cm
            angle, at = rng.uniform(0, np.pi), rng.uniform(0.1, 0.9, 2) * size
            length = np.inf if rng.random() < 0.35 else rng.uniform(6, 30)
        a = sharp * rng.uniform(0.05, 0.24) * rng.choice([-1, 1]) * strength["crease"]
        along = np.float32(np.cos(angle)) * (y - at[1]) - np.float32(np.sin(angle)) * (x - at[0])
        across = np.float32(np.cos(angle)) * (x - at[0]) + np.float32(np.sin(angle)) * (y - at[1])
        # a hand's crease runs unevenly: it wavers and fades in places
        across += rng.uniform(0, 0.9) * np.sin(along / rng.uniform(5, 14) + rng.uniform(0, 6))
        fade = rng.uniform(0, 0.6) * (1 + np.sin(along / rng.uniform(6, 20) + rng.uniform(0, 6)))
        heights += a * (1 - 0.8 * fade) * np.exp(-((across / sharp) ** 2) - (along / length) ** 2)

    if strength["crumple"]:
        rng = streams["crumple"]
        cell_mm = rng.uniform(
            16, 40
        )  # facets between straight ridges: squared distance to the nearest of random points
        middles = rng.uniform(-0.1, 1.1, (int(1.4 * size.prod() / cell_mm**2) + 4, 2)) * size
        nearest = cKDTree(middles).query(np.stack([x, y], -1))[0].astype(np.float32)
        facets = cv2.GaussianBlur(nearest**2 / np.float32(cell_mm), (0, 0), 0.8)
        swell = cv2.resize(rng.standard_normal((5, 7), dtype=np.float32), (nx, ny), interpolation=cv2.INTER_CUBIC)
        depth = strength["crumple"] * rng.uniform(0.1, 0.28)
        heights += np.float32(depth) * (facets * np.clip(0.7 + 0.5 * swell, 0, 2) + np.float32(0.15 * cell_mm) * swell)
    return Surface(heights, _SURFACE_MM) if heights.any() else Surface()


def scaled_projection(
    homography_mm: np.ndarray, surface_mm: Surface, camera_mm: tuple[float, float, float], ppm: float, lens: Lens
) -> Projection:
    """The projection in page px, from lengths in mm."""
    x, y, z = (float(v) * ppm for v in camera_mm)
    surface = Surface(surface_mm.heights * np.float32(ppm), surface_mm.step * ppm)
    return Projection(homography_mm @ np.diag([1 / ppm, 1 / ppm, 1]), surface, (x, y, z), lens)


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

    def enlarge(self, field: np.ndarray, rows: slice) -> np.ndarray:
        """Field on the nodes (ny, nx), float32 or uint8 with any channels -> `rows` of (H, W), linearly."""
        k, first = self.step, rows.start // self.step
        part = field[first : -(-rows.stop // k) + 2]
        full = cv2.resize(part, (part.shape[1] * k, part.shape[0] * k), interpolation=cv2.INTER_LINEAR)
        top = k + rows.start - first * k
        return full[top : top + rows.stop - rows.start, k : k + self.size[0]]
