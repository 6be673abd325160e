"""From a photo of a printed ECG to one flat, upright, evenly lit image of fixed scale, with a judgement.

Every stage works on one reduced copy and hands on a homography; they are composed, and the flat image is sampled once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ecgutils.files import settings_key
from ecgutils.geometry import apply_homography, check_outline, frame_corners, smooth_map
from ecgutils.parallel import one_thread
from ecgutils.preprocess.appearance import as_paper, darkness, even_light, ink, is_inverted, printed_lines
from ecgutils.preprocess.canvas import PLANE_PX_PER_MM, Canvas, FlatECG, FlatPage, RefusedPage
from ecgutils.preprocess.decode import MAX_PIXELS, UnreadableImage, read_image
from ecgutils.preprocess.grid import SURE_SCALE, Grid, measure_grid
from ecgutils.preprocess.judge import CUT_OFF, GLARE, glare_share, quality, sharpness, strokes, weigh
from ecgutils.preprocess.page import Page, find_page, part_to_look_at, visible_box
from ecgutils.preprocess.phase import Flattening, local_px_per_unit, unit_ratio
from ecgutils.preprocess.traces import BOLD, find_traces
from ecgutils.preprocess.upright import runs_down, upright_input, upside_down

VERSION = 10  # raise when the same settings would give other pixels: caches are then redone
WORK_SIDE = 1200  # px of the longer side of the copy that is measured: 4 px/mm on a page that fills the frame
FINER, COARSE_PX_PER_MM = 1.25, 3.0  # a page coarser than this on a copy reduced by more than that is cut out first
RIM_MM = 4  # from a paper edge: what runs along within is its shadow, not a trace
MARGIN_MM = 8  # beyond the grid in which traces may still run
DOUBT = 2.2  # strokes of one direction this much stronger than of the other leave open which way the rows run
LONGEST = 30  # times as long as wide; a strip of 1 m of 40 mm paper has 25
ASSUMED_WIDTH_MM = 280.0  # of the visible page when no grid tells


@dataclass(frozen=True)
class PreprocessSettings:
    """Flat canvas `size` (W, H) px at `px_per_mm`; the six switches leave a stage out, for ablations."""

    size: tuple[int, int] = (384, 192)
    px_per_mm: float = 1.4
    find_page: bool = True
    rectify: bool = True
    unbend: bool = True
    illumination: bool = True
    suppress_grid: bool = True
    upright: bool = True
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        if len(self.size) != 2 or min(self.size) < 32 or max(self.size) > 8192:
            raise ValueError(f"size is {self.size}; give (width, height) of 32 to 8192 px.")
        if not 0.2 <= self.px_per_mm <= 50:
            raise ValueError(f"px_per_mm is {self.px_per_mm}; give 0.2 to 50.")
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels is {self.max_pixels}; give a positive number.")

    @property
    def canvas(self) -> Canvas:
        """Size (W, H) and px/mm: what the steps before the last do not depend on."""
        return self.size, self.px_per_mm

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-able values."""
        return {**asdict(self), "size": list(self.size)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreprocessSettings:
        """Inverse of `to_dict`; raises ValueError for an unknown name."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"Unknown preprocess setting(s) {', '.join(unknown)}; known: {', '.join(sorted(known))}.")
        return cls(**values)

    def key(self) -> str:
        """12 hex digits that change with any setting and with VERSION."""
        return settings_key({**self.to_dict(), "version": VERSION})


class Preprocessor:
    """Callable that flattens one image; `Preprocessor(settings)(image_or_path, steps=False) -> FlatECG`."""

    def __init__(self, settings: PreprocessSettings | None = None) -> None:
        self.settings = settings or PreprocessSettings()

    def __call__(
        self, source: str | Path | np.ndarray, steps: bool = False, quad_xy: np.ndarray | None = None
    ) -> FlatECG:
        """Flatten a path or an array. A bad image does not raise: it comes back not readable, with reasons.

        quad_xy (4, 2), TL, TR, BR, BL in reading orientation: the page's outline when it is known, e.g. corrected by
        hand; then only this part of the image is used, and it is taken to be upright.
        """
        return self.on_canvases(source, [self.settings.canvas], steps, quad_xy)[0]

    def on_canvases(
        self,
        source: str | Path | np.ndarray,
        canvases: Sequence[Canvas],
        steps: bool = False,
        quad_xy: np.ndarray | None = None,
    ) -> list[FlatECG]:
        """The same for canvases of several sizes (W, H) and px/mm instead of the settings' own, flattened once."""
        with one_thread():
            page = self._find(source, steps, quad_xy)
            return [page.on_canvas(*canvas) for canvas in canvases]

    def _find(self, source: str | Path | np.ndarray, steps: bool, quad_xy: np.ndarray | None) -> FlatPage | RefusedPage:
        try:
            rgb = read_image(source, self.settings.max_pixels)
        except UnreadableImage as error:
            return RefusedPage((error.reason,))
        if min(rgb.shape[:2]) < 64:
            return RefusedPage(("too_small",))
        if quad_xy is None:
            return _flatten(rgb, self.settings, steps)
        try:
            quad_xy = check_outline(quad_xy).astype(np.float32)
        except ValueError:
            return RefusedPage(("bad_outline",))
        if np.prod(np.ptp(quad_xy, axis=0)) > self.settings.max_pixels:  # a slip of the pen: it would be cut out whole
            return RefusedPage(("bad_outline",))
        return _flatten_outline(rgb, self.settings, steps, quad_xy)


def _cut(rgb: np.ndarray, quad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of an image inside four corners as a rectangle of about its size, and the homography back (3, 3)."""
    top, right, bottom, left = (np.linalg.norm(quad[i] - quad[(i + 1) % 4]) for i in range(4))
    width, height = max(64, top, bottom), max(64, left, right)
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    ratio = unit_ratio(cv2.getPerspectiveTransform(unit, quad.astype(np.float32)), rgb.shape)
    shorter = np.clip(ratio * height / width, 1 / 3, 3)  # what is foreshortened is stretched
    width, height = round(width * max(1, shorter)), round(height * max(1, 1 / shorter))
    corners = frame_corners((width, height)).astype(np.float32)
    input_from_cut = cv2.getPerspectiveTransform(corners, quad.astype(np.float32))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpPerspective(rgb, input_from_cut, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cut, input_from_cut


def _uncut(page: FlatPage, input_from_cut: np.ndarray) -> FlatPage:
    """`page`, made of a part of an image, in pixels of the whole."""
    quad = apply_homography(input_from_cut, page.quad_xy).astype(np.float32)
    return replace(
        page, quad_xy=quad, to_image=lambda points_xy: apply_homography(input_from_cut, page.to_image(points_xy))
    )


def _flatten_outline(
    rgb: np.ndarray, settings: PreprocessSettings, want_steps: bool, quad: np.ndarray
) -> FlatPage | RefusedPage:
    """Cut the outlined page out, upright, and flatten it as an image of its own."""
    cut, input_from_cut = _cut(rgb, quad)
    page = _flatten(cut, replace(settings, find_page=False, upright=False), want_steps)
    if isinstance(page, RefusedPage):
        return page
    turn = round(np.degrees(np.arctan2(*(quad[1] - quad[0])[::-1])) / 90)  # how the outline's top edge runs
    return replace(_uncut(page, input_from_cut), quad_xy=quad, rotation=-90 * turn % 360)


def _look_closer(
    rgb: np.ndarray, work: np.ndarray, grid: Grid | None, settings: PreprocessSettings, want_steps: bool
) -> FlatPage | None:
    """Flatten a page that is small in the photo, or seen askew, from a picture of its own; None without a grid there.

    `work` is the reduced copy in which `grid` was looked for.
    """
    quad = part_to_look_at(work, grid)
    if quad is None:
        return None
    cut, input_from_cut = _cut(rgb, _unreduced(quad, max(rgb.shape) / max(work.shape)))
    page = _flatten(cut, settings, want_steps, closer=False)
    return _uncut(page, input_from_cut) if isinstance(page, FlatPage) and page.scaled else None


def _flatten(
    rgb: np.ndarray, settings: PreprocessSettings, want_steps: bool, closer: bool = True
) -> FlatPage | RefusedPage:
    if max(rgb.shape[:2]) > LONGEST * min(rgb.shape[:2]):
        return RefusedPage(("too_narrow",))
    # 1. measure: grid and paper, on a reduced copy; the photo itself is reduced by whole numbers only
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
    inverted = is_inverted(work)
    if inverted:
        work, photo = as_paper(work), as_paper(photo)
    grid = measure_grid(work, settings.rectify and settings.unbend)
    coarse = shrink * whole > FINER and grid is not None and grid.px_per_mm < COARSE_PX_PER_MM
    if closer and settings.find_page and settings.rectify and (grid is None or coarse):
        close_up = _look_closer(rgb, work, grid, settings, want_steps)
        if close_up is not None:
            return close_up
    page = find_page(work, grid) if settings.find_page else None

    # 2. flatten: the one resampling of photo pixels, onto a plane of fixed px/mm
    flattening, box = plane(work.shape[:2], grid, page, settings.rectify)
    middle_xy = np.median(grid.support_xy[grid.support], axis=0) if grid else np.array(work.shape[1::-1]) / 2
    minified = shrink * local_px_per_unit(flattening.mm_from_image, middle_xy) / PLANE_PX_PER_MM
    width, height = (int(n) for n in np.maximum(16, np.rint((box[2:] - box[:2]) * PLANE_PX_PER_MM)))

    def photo_from_plane(points_xy: np.ndarray) -> np.ndarray:
        return _unreduced(flattening.to_image(points_xy / PLANE_PX_PER_MM + box[:2]), shrink)

    photo_xy = smooth_map(photo_from_plane, (width, height), 8)  # 2 mm: perspective and bending are smoother than that
    soft = cv2.GaussianBlur(photo, (0, 0), 0.4 * minified) if minified > 1.2 else photo
    method = cv2.INTER_CUBIC if minified < 1 else cv2.INTER_LINEAR
    flat_rgb = cv2.remap(soft, photo_xy, None, method, borderMode=cv2.BORDER_REPLICATE)
    paper, rim, ends = _paper_on_plane(page, photo.shape[:2], flattening, box[:2], photo_xy)

    # 3. light, grid, ink
    even = even_light(flat_rgb, paper, settings.illumination)
    dark = darkness(even, colour_blind=not settings.suppress_grid)
    lines = printed_lines(dark, PLANE_PX_PER_MM) if grid is not None and settings.suppress_grid else None
    ink_map, contrast = ink(dark, PLANE_PX_PER_MM, lines, paper)
    traces = find_traces(ink_map, PLANE_PX_PER_MM, rim)
    if settings.upright and traces.box is not None and 1 / DOUBT < traces.down < DOUBT:
        kept = cv2.copyTo(ink_map, traces.keep.view(np.uint8))
        down = runs_down(upright_input(kept, PLANE_PX_PER_MM), traces.sideways)
        traces = traces if down == traces.sideways else find_traces(ink_map, PLANE_PX_PER_MM, rim, down)
    steps = {}
    if want_steps:
        steps = {"photo": work, "flattened": flat_rgb, "even_light": even, "ink": ink_map}
    inked = traces.keep & (ink_map > BOLD * 255)
    sharp = sharpness(dark, inked, contrast)
    reasons = weigh(work, grid, page, traces, sharp)
    if traces.box is not None and strokes(traces.rows & ends, PLANE_PX_PER_MM) >= CUT_OFF:
        reasons += ("cut_off",)
    if traces.box is not None and glare_share(flat_rgb, paper, traces.box, PLANE_PX_PER_MM) > GLARE:
        reasons += ("glare",)
    if "not_an_ecg" in reasons:
        return RefusedPage(reasons, steps)

    # 4. upright: traces that run down the page need a quarter turn, clockwise; then a half turn, or none
    kept = cv2.copyTo(ink_map, traces.keep.view(np.uint8))
    quarters = 0
    if settings.upright:
        quarters = 1 if traces.sideways else 0
        quarters += 2 if upside_down(upright_input(np.rot90(kept, -quarters), PLANE_PX_PER_MM)) else 0

    # 5. what is put on the canvas, and the way back to the photo
    grey = cv2.copyTo(darkness(even, colour_blind=True), paper.view(np.uint8))
    stretched = np.clip((np.arange(256) - 5) / (255 * contrast), 0, 1)
    seen = flat_rgb | cv2.cvtColor((~paper).view(np.uint8) * 255, cv2.COLOR_GRAY2RGB)
    if page is not None:
        quad = page.quad_xy
    else:
        corners = frame_corners((width, height))
        quad = flattening.to_image(corners / PLANE_PX_PER_MM + box[:2])
    return FlatPage(
        ink=kept,
        grey=cv2.LUT(grey, np.rint(stretched * 255).astype(np.uint8)),
        rgb=255 - seen if inverted else seen,
        box=traces.box,
        middle_xy=traces.middle_xy,
        quarters=quarters,
        scaled=grid is not None and grid.scale_confidence >= SURE_SCALE,
        to_image=lambda points_xy: _unreduced(photo_from_plane(points_xy), whole),
        quad_xy=_unreduced(np.roll(quad, quarters, axis=0), shrink * whole).astype(np.float32),
        rotation=90 * quarters,
        quality=quality(grid, traces, contrast, sharp) * (0.8 if "glare" in reasons else 1.0),
        reasons=reasons,
        steps=steps,
    )


def plane(
    shape: tuple[int, int], grid: Grid | None, page: Page | None, rectify: bool = True
) -> tuple[Flattening, np.ndarray]:
    """How the page is flattened, and the box x0, y0, x1, y1 in mm of the page or visible area.

    The grid decides where it is seen; else the page's corners, else the frame, at ASSUMED_WIDTH_MM.
    """
    height, width = shape
    frame = frame_corners((width, height))
    quad = None if page is None else page.quad_xy
    flattening = None
    if grid is not None and rectify:
        flattening, plane_from_image = grid.flattening, grid.mm_from_image
    elif grid is not None:
        plane_from_image = np.diag([1 / grid.px_per_mm, 1 / grid.px_per_mm, 1])
    elif quad is not None and rectify:
        top, right, bottom, left = (np.linalg.norm(quad[i] - quad[(i + 1) % 4]) for i in range(4))
        w, h = ASSUMED_WIDTH_MM, ASSUMED_WIDTH_MM * (left + right) / (top + bottom)
        if h > w:
            w, h = w * w / h, w
        square = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
        plane_from_image = cv2.getPerspectiveTransform(quad.astype(np.float32), square).astype(float)
    else:
        plane_from_image = np.diag([ASSUMED_WIDTH_MM / max(shape)] * 2 + [1.0])
    flattening = flattening or Flattening(plane_from_image)
    mapped = flattening.to_mm(frame if quad is None else quad)
    box = np.concatenate([mapped.min(0), mapped.max(0)])
    if page is not None:
        top, right, bottom, left = MARGIN_MM * page.light
        box += [-left, -top, right, bottom]
    if grid is not None:  # far corners of a steep view would blow the box up
        near = visible_box(shape, plane_from_image, grid)
        box = np.concatenate([np.maximum(box[:2], near[:2]), np.minimum(box[2:], near[2:])])
    limit = 450.0  # mm; more than any ECG paper
    middle, half = (box[:2] + box[2:]) / 2, np.minimum((box[2:] - box[:2]) / 2, limit / 2)
    return flattening, np.concatenate([middle - half, middle + half])


def _paper_on_plane(
    page: Page | None, shape: tuple[int, int], flattening: Flattening, corner_mm: np.ndarray, photo_xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the plane shows paper and not the scene around it or nothing; the paper's edge; the photo's; bool (h, w).

    A side that is lighter beyond may be the end of the grid only: there the paper goes on for MARGIN_MM.
    """
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
            if light:
                cv2.line(paper, start, stop, 255, 2 * MARGIN_MM * PLANE_PX_PER_MM)
    ends = cv2.dilate(np.pad((~seen).astype(np.uint8), 1, constant_values=1), np.ones((9, 9), np.uint8))  # 1 mm
    return seen & (paper > 0), rim > 0, ends[1:-1, 1:-1] > 0


def _unreduced(points_xy: np.ndarray, shrink: float) -> np.ndarray:
    """Pixel coordinates in the image that was reduced by `shrink`."""
    return (points_xy + 0.5) * shrink - 0.5
