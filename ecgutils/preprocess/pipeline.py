"""From a photo of a printed ECG to one flat, upright, evenly lit image of fixed scale, with a judgement.

Every stage works on one reduced copy and hands on a homography; they are composed, and the flat image is sampled once.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ecgutils.files import settings_key
from ecgutils.geometry import apply_homography, check_outline, frame_corners
from ecgutils.parallel import one_thread
from ecgutils.preprocess.appearance import darkness, even_light, ink, printed_lines
from ecgutils.preprocess.decode import MAX_PIXELS, UnreadableImage, read_image
from ecgutils.preprocess.grid import measure_grid
from ecgutils.preprocess.judge import CUT_OFF, GLARE, glare_share, quality, sharpness, strokes, weigh
from ecgutils.preprocess.page import find_page, part_to_look_at
from ecgutils.preprocess.phase import INVERSE, SURE_SCALE, unit_ratio
from ecgutils.preprocess.plane import PLANE_PX_PER_MM, FlatECG, FlatPage, RefusedPage, onto_plane, reduced, unreduced
from ecgutils.preprocess.traces import BOLD, Traces, find_traces, runs_down, upright_input, upside_down

Source = str | Path | np.ndarray
Canvas = tuple[tuple[int, int], float]  # size (W, H) and px/mm
VERSION = 10  # raise when the same settings would give other pixels: caches are then redone
FINER, COARSE_PX_PER_MM = 1.25, 3.0  # a page coarser than this on a copy reduced by more than that is cut out first
DOUBT = 2.2  # strokes of one direction this much stronger than of the other leave open which way the rows run
LONGEST = 30  # times as long as wide; a strip of 1 m of 40 mm paper has 25


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
        unknown = sorted(set(values).difference(f.name for f in fields(cls)))
        if unknown:
            raise ValueError(f"Unknown preprocess setting(s) {', '.join(unknown)}: this version has no such stage.")
        return cls(**values)

    def key(self) -> str:
        """12 hex digits that change with any setting and with VERSION."""
        return settings_key({**self.to_dict(), "version": VERSION})


class Preprocessor:
    """Callable that flattens one image; `Preprocessor(settings)(image_or_path, steps=False) -> FlatECG`."""

    def __init__(self, settings: PreprocessSettings | None = None) -> None:
        self.settings = settings or PreprocessSettings()

    def __call__(self, source: Source, steps: bool = False, quad_xy: np.ndarray | None = None) -> FlatECG:
        """Flatten a path or an array. A bad image does not raise: it comes back not readable, with reasons.

        quad_xy (4, 2), TL, TR, BR, BL in reading orientation: the page's outline when it is known, e.g. corrected by
        hand; then only this part of the image is used, and it is taken to be upright.
        """
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
        if quad_xy is None:
            return _flatten(rgb, self.settings)
        try:
            quad_xy = check_outline(quad_xy).astype(np.float32)
        except ValueError:
            return RefusedPage(("bad_outline",))
        if np.prod(np.ptp(quad_xy, axis=0)) > self.settings.max_pixels:  # a slip of the pen: it would be cut out whole
            return RefusedPage(("bad_outline",))
        page = _flatten_part(rgb, quad_xy, replace(self.settings, find_page=False, upright=False))
        if isinstance(page, RefusedPage):
            return page
        turn = round(np.degrees(np.arctan2(*(quad_xy[1] - quad_xy[0])[::-1])) / 90)  # how the outline's top edge runs
        return replace(page, quad_xy=quad_xy, rotation=-90 * turn % 360)


def _flatten_part(rgb: np.ndarray, quad: np.ndarray, settings: PreprocessSettings) -> FlatPage | RefusedPage:
    """Flatten what lies inside four corners as an image of its own, a rectangle of about its size."""
    top, right, bottom, left = (np.linalg.norm(quad[i] - quad[(i + 1) % 4]) for i in range(4))
    width, height = max(64, top, bottom), max(64, left, right)
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    ratio = unit_ratio(cv2.getPerspectiveTransform(unit, quad.astype(np.float32)), rgb.shape)
    shorter = np.clip(ratio * height / width, 1 / 3, 3)  # what is foreshortened is stretched
    width, height = round(width * max(1, shorter)), round(height * max(1, 1 / shorter))
    corners = frame_corners((width, height)).astype(np.float32)
    rgb_from_cut = cv2.getPerspectiveTransform(corners, quad.astype(np.float32))
    cut = cv2.warpPerspective(rgb, rgb_from_cut, (width, height), flags=INVERSE, borderMode=cv2.BORDER_REPLICATE)
    page = _flatten(cut, settings, closer=False)
    if isinstance(page, RefusedPage):
        return page
    quad_xy = apply_homography(rgb_from_cut, page.quad_xy).astype(np.float32)
    return replace(page, quad_xy=quad_xy, to_image=lambda xy: apply_homography(rgb_from_cut, page.to_image(xy)))


def _flatten(rgb: np.ndarray, settings: PreprocessSettings, closer: bool = True) -> FlatPage | RefusedPage:
    if max(rgb.shape[:2]) > LONGEST * min(rgb.shape[:2]):
        return RefusedPage(("too_narrow",))
    # 1. reduce, and measure grid and paper on the smaller copy
    copy = reduced(rgb)
    grid = measure_grid(copy.work, settings.rectify and settings.unbend)
    coarse = copy.shrink * copy.whole > FINER and grid is not None and grid.px_per_mm < COARSE_PX_PER_MM
    if closer and settings.find_page and settings.rectify and (grid is None or coarse):
        # a page that is small in the photo, or seen askew, is flattened from a picture of its own if its grid is seen
        part = part_to_look_at(copy.work, grid)
        if part is not None:
            near = _flatten_part(rgb, unreduced(part, max(rgb.shape) / max(copy.work.shape)), settings)
            if isinstance(near, FlatPage) and near.scaled:
                return near
    page = find_page(copy.work, grid) if settings.find_page else None
    # 2. flatten: the one resampling of photo pixels, onto a plane of fixed px/mm
    flat = onto_plane(copy, grid, page, settings.rectify)
    # 3. light, grid, ink, traces
    even = even_light(flat.rgb, flat.paper, settings.illumination)
    dark = darkness(even, colour_blind=not settings.suppress_grid)
    lines = printed_lines(dark, PLANE_PX_PER_MM) if grid is not None and settings.suppress_grid else None
    inked, contrast = ink(dark, PLANE_PX_PER_MM, lines, flat.paper)
    traces = _traces(inked, flat.rim, settings.upright)
    kept = cv2.copyTo(inked, traces.keep.view(np.uint8))
    # 4. judge
    sharp = sharpness(dark, traces.keep & (inked > BOLD * 255), contrast)
    reasons = weigh(copy.work, grid, page, traces, sharp)
    if traces.box is not None and strokes(traces.rows & flat.ends, PLANE_PX_PER_MM) >= CUT_OFF:
        reasons += ("cut_off",)
    if traces.box is not None and glare_share(flat.rgb, flat.paper, traces.box, PLANE_PX_PER_MM) > GLARE:
        reasons += ("glare",)
    steps = {"photo": copy.work, "flattened": flat.rgb, "even_light": even, "ink": inked}
    if "not_an_ecg" in reasons:
        return RefusedPage(reasons, steps)
    # 5. upright, by quarter turns clockwise, and the way back to the image
    quarters = 0
    if settings.upright:
        quarters = int(traces.sideways)
        quarters += 2 * upside_down(upright_input(np.rot90(kept, -quarters), PLANE_PX_PER_MM))
    grey = cv2.copyTo(darkness(even, colour_blind=True), flat.paper.view(np.uint8))
    stretched = np.clip((np.arange(256) - 5) / (255 * contrast), 0, 1)
    seen = flat.rgb | cv2.cvtColor((~flat.paper).view(np.uint8) * 255, cv2.COLOR_GRAY2RGB)
    return FlatPage(
        ink=kept,
        grey=cv2.LUT(grey, np.rint(stretched * 255).astype(np.uint8)),
        rgb=255 - seen if copy.inverted else seen,
        box=traces.box,
        middle_xy=traces.middle_xy,
        quarters=quarters,
        scaled=grid is not None and grid.scale_confidence >= SURE_SCALE,
        to_image=lambda points_xy: unreduced(flat.to_photo(points_xy), copy.whole),
        quad_xy=unreduced(np.roll(flat.quad_xy, quarters, axis=0), copy.shrink * copy.whole).astype(np.float32),
        rotation=90 * quarters,
        quality=quality(grid, traces, contrast, sharp) * (0.8 if "glare" in reasons else 1.0),
        reasons=reasons,
        steps=steps,
    )


def _traces(inked: np.ndarray, rim: np.ndarray, upright: bool) -> Traces:
    """Traces among the ink uint8 (h, w); which way they run is asked where in doubt."""
    traces = find_traces(inked, PLANE_PX_PER_MM, rim)
    if upright and traces.box is not None and 1 / DOUBT < traces.down < DOUBT:
        kept = cv2.copyTo(inked, traces.keep.view(np.uint8))
        down = runs_down(upright_input(kept, PLANE_PX_PER_MM), traces.sideways)
        if down != traces.sideways:
            return find_traces(inked, PLANE_PX_PER_MM, rim, down)
    return traces
