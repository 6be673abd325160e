"""Where the phone is and how the paper bends: page px -> image px."""

import cv2
import numpy as np
from numpy.random import Generator
from scipy.spatial import cKDTree

from ecgutils.geometry import affine, apply_homography
from ecgutils.synth.rendered import Projection, Size, Surface
from ecgutils.synth.style import LAYOUTS, PageStyle

_SURFACE_MM = 1.25  # grid of the paper's height; the sharpest folds are 1.6 mm wide
_NODES = 320  # maps are evaluated on about this many nodes per row and enlarged


def aim(
    rng: Generator, style: PageStyle, size: Size, framing: float, perspective: float
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Choose camera and crop by severities 0..1; at 0 the whole page fills the frame, seen from straight above.

    Returns the homography (3, 3) from page mm to image px, the camera centre (x, y, z) in page mm, and whether the shot
    is a close-up: these (72 %) zoom in on the traces until hardly any paper edge is left, the others zoom out.
    """
    # held in front of the reader: the far edge of the page is mostly its upper one
    tilt = np.array([rng.normal(-9, 10), rng.normal(0, 7)]).clip(-28, 26) * np.radians(1) * perspective
    roll = float(np.clip(rng.normal(0, 2.2), -7, 7)) * perspective
    distance = float(rng.uniform(260, 650))
    close = bool(rng.random() < 0.72)
    zoom_out, shift = rng.uniform(0.02, 0.3), rng.uniform(-1, 1, 2)

    w_mm, h_mm = style.width_mm, style.height_mm
    turns = [cv2.Rodrigues(np.array(turn))[0] for turn in ((tilt[0], 0, 0), (0, tilt[1], 0), (0, 0, np.radians(roll)))]
    rotation = turns[2] @ (turns[0] @ turns[1])
    centred = np.array([[1, 0, -w_mm / 2], [0, 1, -h_mm / 2], [0, 0, 1.0]])
    plane = np.diag([distance, distance, 1]) @ np.column_stack([rotation[:, :2], (0, 0, distance)]) @ centred
    camera = -rotation.T @ np.array([0, 0, distance])  # its z points into the table: turn it up
    camera_mm = np.array([camera[0] + w_mm / 2, camera[1] + h_mm / 2, -camera[2]])
    corners = apply_homography(plane, _box(w_mm, 0, h_mm))
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = np.zeros(2)
    if close:
        low, high, scale = _zoom_in(style, size, plane, corners, min(1.0, 3 * framing))
    else:
        scale = float(min(np.array(size) / (high - low))) * (1 - zoom_out * framing)
        room = (np.array(size) - scale * (high - low)) / 2
    offset = np.array(size) / 2 - scale * (low + high) / 2 + shift * framing * room
    homography = affine(scale, offset) @ plane
    homography /= homography[2, 2]
    if perspective == 0:  # whole px, so that a page seen from straight above is not resampled
        homography[:2, 2] = np.round(homography[:2, 2])
    return homography, camera_mm, close


def _box(width: float, top: float, bottom: float) -> np.ndarray:
    """Corners (4, 2), clockwise from the top left, of what lies between two heights of a page."""
    return np.array([(0, top), (width, top), (width, bottom), (0, bottom)], dtype=np.float64)


def _zoom_in(
    style: PageStyle, size: Size, plane: np.ndarray, corners: np.ndarray, grow: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """What a close-up frames, as its lowest and highest (x, y) on `plane`, and the scale. It is the part with the
    traces, shown whole, or nearly so: enlarged until no paper edge is left in the frame or 22 % of the traces' size are
    lost. `grow` 0..1 leads there from the whole page; `corners` are the page's."""
    columns, rhythm = LAYOUTS[style.layout]
    top, bottom = style.top_mm + style.header_mm, style.height_mm - style.top_mm - style.footer_mm
    spare = max(0.0, bottom - top - style.pitch_mm * (len(columns[0]) + len(rhythm)))
    body = apply_homography(plane, _box(style.width_mm, top + 0.4 * spare, bottom - 0.6 * spare))
    low = (1 - grow) * corners.min(axis=0) + grow * body.min(axis=0)
    high = (1 - grow) * corners.max(axis=0) + grow * body.max(axis=0)
    scale = float(min(np.array(size) / (high - low)))
    largest = scale * (1 + 0.22 * grow)
    frame = _box(size[0], 0, size[1]) - np.array(size) / 2
    side = np.roll(corners, -1, axis=0) - corners
    while scale < largest:
        to = (frame / scale + (low + high) / 2)[:, None] - corners
        if (side[:, 0] * to[..., 1] - side[:, 1] * to[..., 0] >= 0).all():  # the page is convex
            break
        scale *= 1.02
    return low, high, scale


def draw_surface(streams: dict[str, Generator], style: PageStyle, strength: dict[str, float], ppm: float) -> Surface:
    """Bent paper: curl and ripple ("bend"), folds and dents ("crease"), a net of ridges ("crumple")."""
    nx, ny = (int(np.ceil(side / _SURFACE_MM)) + 1 for side in (style.width_mm, style.height_mm))
    x, y = np.meshgrid(*(np.arange(n, dtype=np.float32) * _SURFACE_MM for n in (nx, ny)))
    heights, size = np.zeros((ny, nx), np.float32), np.array([style.width_mm, style.height_mm])

    rng, s = streams["bend"], strength["bend"]  # waves across the page, and the curl that roll paper keeps at one end
    for longest, height in ((1.0, 14.0), (0.45, 3.0)):
        k = 2 * np.pi / (longest * style.width_mm * rng.uniform(1.0, 2.2))
        angle = rng.normal(0, 0.5) + (np.pi / 2 if rng.random() < 0.3 else 0)
        a, phase = height * rng.uniform(0.2, 1) * s, rng.uniform(0, 2 * np.pi)
        heights += a * np.sin(np.float32(k * np.cos(angle)) * x + np.float32(k * np.sin(angle)) * y + np.float32(phase))
    edge = rng.uniform(20, 70)
    lift = np.clip(1 - (x if rng.random() < 0.5 else style.width_mm - x) / edge, 0, None) ** 2
    heights += np.float32(s * rng.uniform(0, 0.25) * edge * (rng.random() < 0.4)) * lift

    rng, s = streams["crease"], strength["crease"]
    for i in range(int(rng.integers(1, 8))):
        sharp, length = rng.uniform(1.6, 5), np.inf
        if i == 0:  # a fold in half or in three, then creases right across and dents of some cm
            angle = float(rng.choice([0, np.pi / 2])) + rng.normal(0, 0.01)
            at = float(rng.choice([1 / 3, 1 / 2, 2 / 3])) * size
        else:
            angle, at = rng.uniform(0, np.pi), rng.uniform(0.1, 0.9, 2) * size
            length = np.inf if rng.random() < 0.35 else rng.uniform(6, 30)
        a = sharp * rng.uniform(0.05, 0.24) * rng.choice([-1, 1]) * s
        along = np.float32(np.cos(angle)) * (y - at[1]) - np.float32(np.sin(angle)) * (x - at[0])
        across = np.float32(np.cos(angle)) * (x - at[0]) + np.float32(np.sin(angle)) * (y - at[1])
        # a hand's crease runs unevenly: it wavers and fades in places
        across += rng.uniform(0, 0.9) * np.sin(along / rng.uniform(5, 14) + rng.uniform(0, 6))
        fade = rng.uniform(0, 0.6) * (1 + np.sin(along / rng.uniform(6, 20) + rng.uniform(0, 6)))
        heights += a * (1 - 0.8 * fade) * np.exp(-((across / sharp) ** 2) - (along / length) ** 2)

    rng, s = streams["crumple"], strength["crumple"]
    if s:  # facets between straight ridges: the squared distance to the nearest of random points
        cell_mm = rng.uniform(16, 40)
        middles = rng.uniform(-0.1, 1.1, (int(1.4 * size.prod() / cell_mm**2) + 4, 2)) * size
        nearest = cKDTree(middles).query(np.stack([x, y], -1))[0].astype(np.float32)
        facets = cv2.GaussianBlur(nearest**2 / np.float32(cell_mm), (0, 0), 0.8)
        swell = cv2.resize(rng.standard_normal((5, 7), dtype=np.float32), (nx, ny), interpolation=cv2.INTER_CUBIC)
        depth = s * rng.uniform(0.1, 0.28)
        heights += np.float32(depth) * (facets * np.clip(0.7 + 0.5 * swell, 0, 2) + np.float32(0.15 * cell_mm) * swell)
    return Surface(heights * np.float32(ppm), _SURFACE_MM * ppm)


class NodeGrid:
    """Page position of every image px, evaluated on nodes `step` px apart and enlarged when asked for.

    Nodes reach one step beyond the image so that enlarging never extrapolates. `page_xy` is float32 (ny, nx, 2);
    `on_page` bool (ny, nx) tells the nodes on the paper; `cover` float32 is how much of an inner node's cell is paper.
    """

    def __init__(self, projection: Projection, size: Size, page_size: Size) -> None:
        self.projection, self.size = projection, size
        self.step = max(4, round(max(size) / _NODES))
        # cv2.resize puts node j at px j * step + (step - 1) / 2
        x, y = (np.arange(-1, -(-side // self.step) + 1) * self.step + (self.step - 1) / 2 for side in size)
        # float64: a page far out of frame costs digits; 60,000 nodes are cheap
        self.page_xy = projection.to_page(np.stack(np.meshgrid(x, y), axis=-1)).astype(np.float32)
        self.on_page = ((self.page_xy > -0.5) & (self.page_xy < np.array(page_size) - 0.5)).all(-1)
        inside = np.minimum(self.page_xy, np.array(page_size, np.float32) - 1 - self.page_xy)[1:-1, 1:-1].min(axis=-1)
        self.cover = np.clip(inside / self.step + 0.5, 0, 1)

    def enlarge(self, field: np.ndarray) -> np.ndarray:
        """Field on the nodes (ny, nx), float32 or uint8 with any channels -> (H, W), linearly."""
        k, (w, h) = self.step, self.size
        full = cv2.resize(field, (field.shape[1] * k, field.shape[0] * k), interpolation=cv2.INTER_LINEAR)
        return full[k : k + h, k : k + w]
