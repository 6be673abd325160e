"""From a photo of a printed ECG to one flat, upright, evenly lit image of fixed scale, with a judgement. Every stage
works on one reduced copy and hands on a homography; they are composed, and the flat image is sampled once."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ecgutils.files import settings_key
from ecgutils.geometry import apply_homography, check_outline, frame_corners, quarter_turns
from ecgutils.parallel import one_thread
from ecgutils.preprocess import judge
from ecgutils.preprocess.appearance import darkness, even_light
from ecgutils.preprocess.decode import MAX_PIXELS, UnreadableImage, read_image
from ecgutils.preprocess.grid import Grid, measure_grid
from ecgutils.preprocess.page import Page, find_page, part_to_look_at
from ecgutils.preprocess.phase import INVERSE, SURE_SCALE, unit_ratio
from ecgutils.preprocess.plane import (
    PLANE_PX_PER_MM,
    Copy,
    FlatECG,
    FlatPage,
    Plane,
    RefusedPage,
    onto_plane,
    reduced,
    unreduced,
)
from ecgutils.preprocess.traces import find_traces, place_traces
from ecgutils.reader.leads import find_leads
from ecgutils.reader.legend import read_legends
from ecgutils.reader.network import Reading, read_page
from ecgutils.reader.units import measure_units

Source = str | Path | np.ndarray
Canvas = tuple[tuple[int, int], float]  # size (W, H) and px/mm
VERSION = 15  # raise when the same settings would give other pixels: caches are then redone
FINER, COARSE_PX_PER_MM = 1.25, 3.0  # a page coarser than this on a copy reduced by more than that is cut out first
LONGEST = 30  # times as long as wide; a strip of 1 m of 40 mm paper has 25


@dataclass(frozen=True)
class PreprocessSettings:
    """Flat canvas `size` (W, H) px at `px_per_mm`; the seven switches leave a stage out, for ablations."""

    size: tuple[int, int] = (384, 192)
    px_per_mm: float = 1.4
    find_page: bool = True
    rectify: bool = True
    unbend: bool = True
    illumination: bool = True
    suppress_grid: bool = True
    upright: bool = True
    arrange: bool = True
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        if len(self.size) != 2 or min(self.size) < 32 or max(self.size) > 8192:
            raise ValueError(f"size is {self.size}; give (width, height) of 32 to 8192 px.")
        if not 0.2 <= self.px_per_mm <= 50:
            raise ValueError(f"px_per_mm is {self.px_per_mm}; give 0.2 to 50.")

    @property
    def canvas(self) -> Canvas:
        """Size (W, H) and px/mm: what the steps before the last do not depend on."""
        return self.size, self.px_per_mm

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-able values."""
        return {**asdict(self), "size": list(self.size)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PreprocessSettings":
        """Inverse of `to_dict`; raises ValueError for an unknown name."""
        if unknown := sorted(set(values).difference(f.name for f in fields(cls))):
            raise ValueError(f"Unknown preprocess setting(s) {', '.join(unknown)}: this version has no such stage.")
        return cls(**values)

    def reduced(self, size: tuple[int, int]) -> "PreprocessSettings":
        """The same part of the page on fewer pixels; raises ValueError for more, or for another shape."""
        (width, height), shape = self.size, tuple(size)
        if len(shape) != 2 or shape[0] > width or shape[0] * height != width * shape[1]:
            raise ValueError(f"{shape} is not (width, height) of {width}x{height} px reduced.")
        return replace(self, size=shape, px_per_mm=self.px_per_mm * (shape[0] / width))

    def key(self) -> str:
        """12 hex digits that change with any setting and with VERSION."""
        return settings_key({**self.to_dict(), "version": VERSION})


class Preprocessor:
    """Callable that flattens one image: `Preprocessor(settings)(image_or_path, steps, quad_xy) -> FlatECG`.

    exported : folder of the reader's networks that `export` wrote, to be run without PyTorch; None = those that ship.
    """

    def __init__(self, settings: PreprocessSettings | None = None, exported: Path | None = None) -> None:
        self.settings, self.exported = settings or PreprocessSettings(), exported

    def __call__(self, source: Source, steps: bool = False, quad_xy: np.ndarray | None = None) -> FlatECG:
        """Flatten a path or an array. A bad image does not raise: it comes back not readable, with reasons. quad_xy (4,
        2), TL, TR, BR, BL in reading orientation: the page's outline when it is known, e.g. corrected by hand; then
        only this part of the image is used, and it is taken to be upright."""
        return self.on_canvases(source, [self.settings.canvas], steps, quad_xy)[0]

    def on_canvases(
        self, source: Source, canvases: Sequence[Canvas], steps: bool = False, quad_xy: np.ndarray | None = None
    ) -> list[FlatECG]:
        """The same for canvases of several sizes (W, H) and px/mm instead of the settings' own, flattened once."""
        with one_thread():
            page = self._find(source, quad_xy)
            page = page if steps else replace(page, steps={})
            return [page.on_canvas(*canvas) for canvas in canvases]

    def _find(self, source: Source, quad_xy: np.ndarray | None) -> FlatPage | RefusedPage:
        try:
            rgb = read_image(source, self.settings.max_pixels)
        except UnreadableImage as error:
            return RefusedPage((error.reason,))
        if min(rgb.shape[:2]) < 64:
            return RefusedPage(("too_small",))
        if max(rgb.shape[:2]) > LONGEST * min(rgb.shape[:2]) and quad_xy is None:
            return RefusedPage(("too_narrow",))
        if quad_xy is None:
            quarters, seen, reading = look(rgb, self.settings, self.exported)
            page = _read(seen, reading, self.settings, self.exported)
            if isinstance(page, RefusedPage) or not quarters:
                return page
            back = np.linalg.inv(quarter_turns(quarters, rgb.shape[1::-1]))
            turned = {"quad_xy": apply_homography(back, page.quad_xy).astype(np.float32), "rotation": 90 * quarters}
            return replace(page, **turned, to_image=lambda xy: apply_homography(back, page.to_image(xy)))
        try:
            quad_xy = check_outline(quad_xy).astype(np.float32)
        except ValueError:
            return RefusedPage(("bad_outline",))
        if np.prod(np.ptp(quad_xy, axis=0)) > self.settings.max_pixels:  # a slip of the pen: it would be cut out whole
            return RefusedPage(("bad_outline",))
        sides = np.linalg.norm(np.roll(quad_xy, -1, axis=0) - quad_xy, axis=1)
        if max(sides) > LONGEST * max(64, min(sides)):
            return RefusedPage(("too_narrow",))
        settings = replace(self.settings, find_page=False, upright=False)
        seen = rectify_part(rgb, quad_xy, settings)
        page = _read(seen, read_page(seen.even, self.exported), settings, self.exported)
        if isinstance(page, RefusedPage):
            return page
        turn = round(np.degrees(np.arctan2(*(quad_xy[1] - quad_xy[0])[::-1])) / 90)  # how the outline's top edge runs
        return replace(page, quad_xy=quad_xy, rotation=-90 * turn % 360)


@dataclass(frozen=True)
class Rectified:
    """The page on a plane of PLANE_PX_PER_MM, as it lies in the photo.

    even : uint8 (h, w, 3), evenly lit, bare paper about 250. to_image : points (N, 2) of the plane -> px of the image.
    quad_xy : the page's corners in the image, TL, TR, BR, BL as seen.
    """

    copy: Copy
    grid: Grid | None
    page: Page | None
    flat: Plane
    even: np.ndarray
    to_image: Callable[[np.ndarray], np.ndarray]
    quad_xy: np.ndarray

    @property
    def scaled(self) -> bool:
        """Whether a mm of the plane is one of the page."""
        return self.grid is not None and self.grid.scale_confidence >= SURE_SCALE

    @property
    def px_per_mm(self) -> float | None:
        """Of the image, in the middle of its grid; None without one."""
        return self.grid and self.grid.px_per_mm * self.copy.shrink * self.copy.whole


def rectify(rgb: np.ndarray, settings: PreprocessSettings, closer: bool = True) -> Rectified:
    """Find the page in a uint8 (H, W, 3) image, flatten it, divide its light out; without `closer` no second look."""
    copy = reduced(rgb)
    grid = measure_grid(copy.work, settings.rectify and settings.unbend)
    coarse = copy.shrink * copy.whole > FINER and grid is not None and grid.px_per_mm < COARSE_PX_PER_MM
    if closer and settings.find_page and settings.rectify and (grid is None or coarse):
        # a page that is small in the photo, or seen askew, is flattened from a picture of its own if its grid is seen
        part = part_to_look_at(copy.work, grid)
        if part is not None:
            near = rectify_part(rgb, unreduced(part, max(rgb.shape) / max(copy.work.shape)), settings)
            if near.scaled:
                return near
    page = find_page(copy.work, grid) if settings.find_page else None
    # the one resampling of photo pixels, onto a plane of fixed px/mm
    flat = onto_plane(copy, grid, page, settings.rectify)
    even = even_light(flat.rgb, flat.paper, settings.illumination)
    quad_xy = unreduced(flat.quad_xy, copy.shrink * copy.whole).astype(np.float32)
    return Rectified(copy, grid, page, flat, even, lambda xy: unreduced(flat.to_photo(xy), copy.whole), quad_xy)


def rectify_part(rgb: np.ndarray, quad: np.ndarray, settings: PreprocessSettings) -> Rectified:
    """`rectify` what lies inside four corners as an image of its own, a rectangle of about its size."""
    top, right, bottom, left = (np.linalg.norm(quad[i] - quad[(i + 1) % 4]) for i in range(4))
    width, height = max(64, top, bottom), max(64, left, right)
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    ratio = unit_ratio(cv2.getPerspectiveTransform(unit, quad.astype(np.float32)), rgb.shape)
    shorter = np.clip(ratio * height / width, 1 / 3, 3)  # what is foreshortened is stretched
    width, height = round(width * max(1, shorter)), round(height * max(1, 1 / shorter))
    corners = frame_corners((width, height)).astype(np.float32)
    rgb_from_cut = cv2.getPerspectiveTransform(corners, quad.astype(np.float32))
    cut = cv2.warpPerspective(rgb, rgb_from_cut, (width, height), flags=INVERSE, borderMode=cv2.BORDER_REPLICATE)
    near = rectify(cut, settings, closer=False)
    quad_xy = apply_homography(rgb_from_cut, near.quad_xy).astype(np.float32)
    return replace(near, quad_xy=quad_xy, to_image=lambda xy: apply_homography(rgb_from_cut, near.to_image(xy)))


def look(rgb: np.ndarray, settings: PreprocessSettings, exported: Path | None = None) -> tuple[int, Rectified, Reading]:
    """Clockwise quarter turns that make a photo upright, and the page and what is on it in the photo so turned.

    A photo that lies turned is begun again turned back: so it gets the very answer of one that was not.
    """
    seen = rectify(rgb, settings)
    reading = read_page(seen.even, exported)
    quarters = int(reading.turned[:4].argmax()) if settings.upright else 0
    if quarters:
        seen = rectify(np.ascontiguousarray(np.rot90(rgb, -quarters)), settings)
        reading = read_page(seen.even, exported)
    return quarters, seen, reading


def _read(
    seen: Rectified, reading: Reading, settings: PreprocessSettings, exported: Path | None
) -> FlatPage | RefusedPage:
    """What is on the page, upright, and whether it may be read."""
    # 1. where each lead is, how long a second and a millivolt are
    rgb, paper, marks, dark = seen.flat.rgb, seen.flat.paper, reading.marks, darkness(seen.even)
    trace, mask, length_mm = find_traces(cv2.copyTo(reading.trace, paper.view(np.uint8)), PLANE_PX_PER_MM)
    leads = find_leads(trace, marks, PLANE_PX_PER_MM) if mask.any() else None
    traces = place_traces(mask, leads.boxes.values() if leads else (), length_mm, PLANE_PX_PER_MM)
    trace = cv2.copyTo(trace, cv2.dilate(traces.mask.view(np.uint8), np.ones((5, 5), np.uint8)))
    steps = {"photo": seen.copy.work, "flattened": seen.flat.rgb, "even_light": seen.even, "traces": trace}
    if traces.box is None:
        few = ("not_an_ecg",) if length_mm < judge.LEAST_MM else ("not_12_leads 0",)
        return RefusedPage(judge.weigh_page(seen.grid, seen.page, seen.copy.work, few), steps)
    units = measure_units(dark, trace, marks, read_legends(dark, marks, exported))
    # 2. judge
    contrast = judge.contrast_of(dark, traces.mask)
    sharp = judge.sharpness(dark, traces.mask, contrast)
    reasons, refused = judge.weigh(traces, leads, units, reading.turned, seen.px_per_mm)
    reasons = judge.weigh_page(seen.grid, seen.page, seen.copy.work, reasons)
    if sharp < judge.BLURRED:
        reasons += ("blurred",)
    if judge.strokes(traces.mask & seen.flat.ends, PLANE_PX_PER_MM) >= judge.CUT_OFF:
        reasons += ("cut_off",)
    if judge.glare_share(rgb, paper, traces.box, PLANE_PX_PER_MM) > judge.GLARE:
        reasons += ("glare",)
    if refused:
        return RefusedPage(reasons, steps)
    grey = cv2.copyTo(dark, paper.view(np.uint8))
    stretched = np.rint(np.clip((np.arange(256) - 5) / (255 * contrast), 0, 1) * 255).astype(np.uint8)
    shown = rgb | cv2.cvtColor((~paper).view(np.uint8) * 255, cv2.COLOR_GRAY2RGB)
    grey = cv2.LUT(grey, stretched)
    page = FlatPage(
        ink=trace if settings.suppress_grid else grey,
        grey=grey,
        rgb=255 - shown if seen.copy.inverted else shown,
        box=traces.box,
        middle_xy=traces.middle_xy,
        scaled=seen.scaled,
        stretch=judge.to_normal(units),
        to_image=seen.to_image,
        quad_xy=seen.quad_xy,
        rotation=0,
        quality=judge.quality(seen.grid, traces, leads, contrast, sharp) * (0.8 if "glare" in reasons else 1.0),
        reasons=reasons,
        leads=leads,
        units=units,
        steps=steps,
    )
    return page.arranged() if settings.arrange else page
