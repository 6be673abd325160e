"""The photo reduced, the page resampled once onto a plane of fixed px/mm, and from there to a canvas of the wanted size
and scale: the last step, so that several networks can share the steps before it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ecgutils.geometry import affine, apply_homography, frame_corners, smooth_map
from ecgutils.preprocess.appearance import is_inverted
from ecgutils.preprocess.grid import Grid
from ecgutils.preprocess.page import Page, visible_box
from ecgutils.preprocess.phase import Flattening, local_px_per_unit
from ecgutils.reader.arrange import HEIGHT_MM, TALL_MM, WIDTH_MM, Piece, arrange, frame_of, image_map, lay
from ecgutils.reader.leads import Leads
from ecgutils.reader.units import Units

PLANE_PX_PER_MM = 4  # of the flattened page; the photo has 4.5 where it fills a 1280 px frame
WORK_SIDE = 1200  # px of the longer side of the copy that is measured: 4 px/mm on a page that fills the frame
RIM_MM = 4  # from a paper edge: what runs along within is its shadow, not a trace
MARGIN_MM = 8  # beyond the grid in which traces may still run
WIDEST_MM = 450.0  # more than any ECG paper
ASSUMED_WIDTH_MM = 280.0  # of the visible page when no grid tells


@dataclass(frozen=True)
class Copy:
    """`photo`, whose pixels are used: the image reduced by the whole number `whole`; and `work`, in which things are
    looked for: `photo` reduced by `shrink`; uint8 (h, w, 3)."""

    photo: np.ndarray
    work: np.ndarray
    whole: int
    shrink: float
    inverted: bool


@dataclass(frozen=True)
class Plane:
    """The page on a plane of PLANE_PX_PER_MM: uint8 (h, w, 3), and bool (h, w) where paper is, and the photo's edge
    (`ends`). `to_photo`: points (N, 2) of the plane -> the photo. `quad_xy`: the page's corners in the working copy."""

    rgb: np.ndarray
    paper: np.ndarray
    ends: np.ndarray
    to_photo: Callable[[np.ndarray], np.ndarray]
    quad_xy: np.ndarray


def reduced(rgb: np.ndarray) -> Copy:
    """The photo is reduced by whole numbers only, the copy that is measured to WORK_SIDE."""
    whole = max(1, max(rgb.shape[:2]) // WORK_SIDE)
    height, width = (n // whole for n in rgb.shape[:2])
    photo = rgb[: height * whole, : width * whole]
    if whole > 1:
        photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    shrink = max(1.0, max(photo.shape[:2]) / WORK_SIDE)
    work = photo
    if shrink > 1:
        soft = cv2.GaussianBlur(photo, (0, 0), 0.4 * shrink) if shrink > 1.3 else photo
        work = cv2.resize(soft, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_LINEAR)
    if inverted := is_inverted(work):  # as dark traces on white; grey, for they may have any colour
        photo, work = (cv2.cvtColor(255 - image.max(axis=2), cv2.COLOR_GRAY2RGB) for image in (photo, work))
    return Copy(photo, work, whole, shrink, inverted)


def onto_plane(copy: Copy, grid: Grid | None, page: Page | None, rectify: bool) -> Plane:
    """Resample the photo as grid and page say."""
    flattening, box = _placed(copy.work.shape[:2], grid, page, rectify)
    middle_xy = np.median(grid.support_xy[grid.support], axis=0) if grid else np.array(copy.work.shape[1::-1]) / 2
    minified = copy.shrink * local_px_per_unit(flattening.mm_from_image, middle_xy) / PLANE_PX_PER_MM
    width, height = (int(n) for n in np.maximum(16, np.rint((box[2:] - box[:2]) * PLANE_PX_PER_MM)))

    def photo_from_plane(points_xy: np.ndarray) -> np.ndarray:
        return unreduced(flattening.to_image(points_xy / PLANE_PX_PER_MM + box[:2]), copy.shrink)

    photo_xy = smooth_map(photo_from_plane, (width, height), 8)  # 2 mm: perspective and bending are smoother than that
    soft = cv2.GaussianBlur(copy.photo, (0, 0), 0.4 * minified) if minified > 1.2 else copy.photo
    method = cv2.INTER_CUBIC if minified < 1 else cv2.INTER_LINEAR
    flat_rgb = cv2.remap(soft, photo_xy, None, method, borderMode=cv2.BORDER_REPLICATE)
    paper, ends = _paper_on_plane(page, copy.photo.shape[:2], flattening, box[:2], photo_xy)
    corners = flattening.to_image(frame_corners((width, height)) / PLANE_PX_PER_MM + box[:2])
    return Plane(flat_rgb, paper, ends, photo_from_plane, corners if page is None else page.quad_xy)


def _placed(
    shape: tuple[int, int], grid: Grid | None, page: Page | None, rectify: bool
) -> tuple[Flattening, np.ndarray]:
    """How the page is flattened, by grid, else corners, else the frame, and its (or what is visible's) box in mm."""
    quad = None if page is None else page.quad_xy
    if grid is not None:
        flattening = grid.flattening if rectify else Flattening(np.diag([1 / grid.px_per_mm, 1 / grid.px_per_mm, 1]))
    elif quad is not None and rectify:
        top, right, bottom, left = (np.linalg.norm(quad[i] - quad[(i + 1) % 4]) for i in range(4))
        w, h = ASSUMED_WIDTH_MM, ASSUMED_WIDTH_MM * (left + right) / (top + bottom)
        if h > w:
            w, h = w * w / h, w
        square = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
        flattening = Flattening(cv2.getPerspectiveTransform(quad.astype(np.float32), square).astype(float))
    else:
        flattening = Flattening(np.diag([ASSUMED_WIDTH_MM / max(shape)] * 2 + [1.0]))
    mapped = flattening.to_mm(frame_corners(shape[::-1]) if quad is None else quad)
    box = np.concatenate([mapped.min(0), mapped.max(0)])
    if page is not None:
        top, right, bottom, left = MARGIN_MM * page.light
        box += [-left, -top, right, bottom]
    if grid is not None:  # far corners of a steep view would blow the box up
        near = visible_box(shape, flattening.mm_from_image, grid)
        box = np.concatenate([np.maximum(box[:2], near[:2]), np.minimum(box[2:], near[2:])])
    middle, half = (box[:2] + box[2:]) / 2, np.minimum((box[2:] - box[:2]) / 2, WIDEST_MM / 2)
    return flattening, np.concatenate([middle - half, middle + half])


def _paper_on_plane(
    page: Page | None, shape: tuple[int, int], flattening: Flattening, corner_mm: np.ndarray, photo_xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where the plane shows paper, not the scene around it or nothing; and the photo's edge; bool (h, w)."""
    height, width = photo_xy.shape[:2]
    seen = cv2.inRange(photo_xy, (1, 1), (shape[1] - 2, shape[0] - 2)) > 0
    paper, rim = np.full((height, width), 255, np.uint8), np.zeros((height, width), np.uint8)
    if page is not None:
        quad = np.rint((flattening.to_mm(page.quad_xy) - corner_mm) * PLANE_PX_PER_MM).astype(np.int32)
        paper[:] = 0
        cv2.fillConvexPoly(paper, quad, 255)
        sides = list(zip(page.edges, page.light, quad.tolist(), np.roll(quad, -1, axis=0).tolist(), strict=True))
        thickness = 2 * RIM_MM * PLANE_PX_PER_MM
        for edge, light, start, stop in sides:
            if edge and not light:
                cv2.line(rim, start, stop, 255, thickness)
        paper[cv2.erode(rim, np.ones((thickness - 3,) * 2, np.uint8)) > 0] = 0  # about 2 mm either side of the edge
        for _, light, start, stop in sides:
            if light:  # the end of the grid only: the paper goes on
                cv2.line(paper, start, stop, 255, 2 * MARGIN_MM * PLANE_PX_PER_MM)
    ends = cv2.dilate(np.pad((~seen).astype(np.uint8), 1, constant_values=1), np.ones((9, 9), np.uint8))  # 1 mm
    return seen & (paper > 0), ends[1:-1, 1:-1] > 0


def unreduced(points_xy: np.ndarray, shrink: float) -> np.ndarray:
    """Pixel coordinates in the image that was reduced by `shrink`."""
    return (points_xy + 0.5) * shrink - 0.5


@dataclass(frozen=True)
class FlatECG:
    """What `Preprocessor` gives; coordinates are in EXIF-oriented input pixels.

    image : uint8 (H, W), dark trace on white, grid and other print gone, padding 255; the leads in one order (see
        arrange.py), or as they are printed. It has 25 mm/s and 10 mm/mV, whatever the paper's, where that is sure.
    image_grid : uint8 (H, W), the same with all that is printed.
    rectified : uint8 RGB (h, w, 3), the page (or visible area), upright; None when not readable.
    quad_xy : float32 (4, 2) TL, TR, BR, BL in reading orientation: the paper's corners, or where its outline is not
        seen, the corners of `rectified`, which may lie outside the image. None only when no ECG was found.
    rotation : clockwise degrees applied to make it upright: 0, 90, 180 or 270.
    px_per_mm : of `rectified`; None without a grid, or where its lines do not tell how far apart they are.
    flat_px_per_mm : of `image`; smaller than asked where the ECG would not fit, None where `px_per_mm` is; then the ECG
        fills the canvas.
    image_from_flat : float32 (H, W, 2), where each flat pixel comes from; may lie outside. It jumps from lead to lead
        where these are in order, and is -1 where there is none.
    readable : decides; `quality` 0..1 and `reasons` (codes of REASONS, some followed by a space and what) explain.
    lead_boxes : lead -> float32 (4,) x0, y0, x1, y1 of its trace on `image`; rhythm strips are named "II_rhythm".
    layout : such as "3x4+1"; None where no rows were found.
    units : the paper's speed and gain, and how surely; None where no rows were found.
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
    lead_boxes: dict[str, np.ndarray] = field(default_factory=dict)
    layout: str | None = None
    units: Units | None = None
    steps: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class RefusedPage:
    """An image without an ECG that could be read."""

    reasons: tuple[str, ...]
    steps: dict[str, np.ndarray] = field(default_factory=dict)

    def on_canvas(self, size: tuple[int, int], px_per_mm: float) -> FlatECG:
        """A blank canvas of `size` (W, H), not readable."""
        blank = np.full(size[::-1], 255, np.uint8)
        nowhere = np.full((*size[::-1], 2), -1, np.float32)
        refused = blank, blank.copy(), None, None, 0, None, None, nowhere, False, 0.0, self.reasons
        return FlatECG(*refused, steps=self.steps)


@dataclass(frozen=True)
class FlatPage:
    """An upright page on a plane of PLANE_PX_PER_MM; FlatECG explains what has the same name.

    ink : uint8 (h, w), the traces' strength, 0 elsewhere.
    grey : uint8 (h, w), the strength of all that is printed.
    rgb : uint8 (h, w, 3), white where there is no paper.
    box : x0, y0, x1, y1 of the traces, px of the plane.
    middle_xy : (x, y) between most of their rows, px of the plane; comes to the canvas' middle as far as the box fits.
    scaled : whether a mm of the plane is one of the page.
    stretch : by which x and y become those of 25 mm/s and 10 mm/mV.
    to_image : points (N, 2) of the plane -> (N, 2) of the image.
    leads, units : what is where, px of the plane, and how long a second and a millivolt are.
    pieces : how the leads were brought in order (`arranged`); then `ink`, `grey`, `box`, `middle_xy` and `leads` are of
        the leads in order; None as they are printed.
    """

    ink: np.ndarray
    grey: np.ndarray
    rgb: np.ndarray
    box: tuple[float, float, float, float]
    middle_xy: tuple[float, float]
    scaled: bool
    stretch: np.ndarray
    to_image: Callable[[np.ndarray], np.ndarray]
    quad_xy: np.ndarray
    rotation: int
    quality: float
    reasons: tuple[str, ...]
    leads: Leads
    units: Units
    steps: dict[str, np.ndarray]
    pieces: dict[str, Piece] | None = None

    def arranged(self) -> "FlatPage":
        """The page with its leads in one order; see arrange.py."""
        ppm = PLANE_PX_PER_MM
        pieces = arrange(self.ink, self.leads, self.stretch, self.scaled, ppm)
        ink = lay(self.ink, pieces, ppm)
        boxes = {}
        for name, piece in pieces.items():
            low, high = apply_homography(piece.arranged_from_page, piece.box.reshape(2, 2).astype(float))
            cell = np.tile(piece.cell[:2], 2), np.tile(piece.cell[2:], 2) - 1
            boxes[name] = np.clip(np.r_[low, high], *cell)
        return replace(
            self,
            ink=ink,
            grey=lay(self.grey, pieces, ppm),
            box=frame_of(ink, ppm),
            middle_xy=(WIDTH_MM / 2 * ppm, (TALL_MM + HEIGHT_MM / 2) * ppm),
            stretch=np.ones(2),
            leads=replace(self.leads, boxes=boxes),
            pieces=pieces,
        )

    def on_canvas(self, size: tuple[int, int], px_per_mm: float) -> FlatECG:
        """The traces centred on a canvas of `size` (W, H), at `px_per_mm` or as large as they fit."""
        flat, plane_from_flat, reduction = place(
            self.ink, self.box, self.middle_xy, self.scaled, self.stretch, size, px_per_mm
        )
        flat_from_plane = np.linalg.inv(plane_from_flat)
        minified = 1 / reduction / np.sqrt(self.stretch.prod())
        if self.pieces is None:
            image_from_flat = smooth_map(lambda xy: self.to_image(apply_homography(plane_from_flat, xy)), size, 4)
        else:
            image_from_flat = image_map(self.pieces, plane_from_flat, self.to_image, size)
        corners = {name: box.reshape(2, 2) for name, box in self.leads.boxes.items()}
        return FlatECG(
            image=flat,
            image_grid=255 - _sample(self.grey, plane_from_flat, size, minified),
            rectified=self.rgb,
            quad_xy=self.quad_xy,
            rotation=self.rotation,
            px_per_mm=float(PLANE_PX_PER_MM) if self.scaled else None,
            flat_px_per_mm=reduction * PLANE_PX_PER_MM if self.scaled else None,
            image_from_flat=image_from_flat,
            readable=True,
            quality=self.quality,
            reasons=self.reasons,
            lead_boxes={k: apply_homography(flat_from_plane, v).ravel().astype(np.float32) for k, v in corners.items()},
            layout=self.leads.layout,
            units=self.units,
            steps=self.steps,
        )


def place(
    ink: np.ndarray,
    box: tuple[float, float, float, float],
    middle_xy: tuple[float, float],
    scaled: bool,
    stretch: np.ndarray,
    size: tuple[int, int],
    px_per_mm: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Traces brought to a canvas of `size` (W, H), arguments as FlatPage's. Returns the flat image, uint8 (H, W), dark
    on white; a homography from it to the plane; its px per (stretched) px."""
    low, high = np.reshape(box, (2, 2)) * stretch
    canvas = np.array(size)
    fitting = float(((canvas - 4) / np.maximum(high - low, 20)).min())  # canvas px per stretched plane px
    reduction = min(px_per_mm / PLANE_PX_PER_MM, fitting) if scaled else fitting
    spare = np.maximum((canvas - 4) / reduction - (high - low), 0) / 2  # by which the box may be off
    boxed = (low + high) / 2
    middle = np.clip(np.array(middle_xy) * stretch, boxed - spare, boxed + spare)
    plane_from_flat = np.diag([*(1 / stretch), 1]) @ affine(1 / reduction, middle - (canvas - 1) / 2 / reduction)
    # a pen line 0.3 mm wide would fade when reduced: thicken it to about 0.5 mm, on every source alike
    bold = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    shown = _sample(bold, plane_from_flat, size, 1 / reduction / np.sqrt(stretch.prod()))
    darkest = max(np.percentile(shown[shown > 25], 90) if (shown > 25).any() else 0, 51)
    return 255 - np.rint(np.minimum(shown / darkest, 1) * 255).astype(np.uint8), plane_from_flat, reduction


def _sample(values: np.ndarray, source_from_target: np.ndarray, size: tuple[int, int], minified: float) -> np.ndarray:
    if minified > 1.2:  # linear sampling alone would alias
        values = cv2.GaussianBlur(values, (0, 0), 0.4 * minified)
    flags = (cv2.INTER_CUBIC if minified < 1 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(values, source_from_target, size, flags=flags)
