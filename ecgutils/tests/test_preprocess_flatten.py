import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgutils.geometry import apply_homography
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.preprocess.grid import measure_grid
from ecgutils.preprocess.phase import SURE_SCALE, pitch_in_mm, unit_ratio
from ecgutils.synth.ink import write

NAMES = ("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",)

PLAIN = Preprocessor(PreprocessSettings(arrange=False))  # what is measured here is the page, not its leads


def draw_page(px_per_mm=5.0, size_mm=(280, 160), grid=True, seed=0, label=True):
    """A 3x4+1 page with 1 and 5 mm lines and four rows of beats 37 mm apart, from x = 15 to 265 mm; uint8 RGB."""
    width, height = (round(mm * px_per_mm) for mm in size_mm)
    page = np.full((height, width, 3), 255, np.uint8)
    for mm in range(max(size_mm) + 1) if grid else ():
        colour, at = ((235, 150, 150) if mm % 5 == 0 else (250, 215, 215)), round(mm * px_per_mm)
        page[at : at + 1] = np.minimum(page[at : at + 1], colour)
        page[:, at : at + 1] = np.minimum(page[:, at : at + 1], colour)
    t = np.arange(15, 265, 0.2)
    beat = np.random.default_rng(seed).uniform(18, 24)
    phase = t % beat
    wave = 12 * np.exp(-(((phase - 8) / 0.5) ** 2)) + 3 * np.exp(-(((phase - 14) / 2) ** 2))
    column = np.minimum((t - 15) // 62.5, 3).astype(int)
    letters = np.zeros(page.shape[:2], np.uint8)
    for row, heights in enumerate(((1, -0.8, -0.6, 0.7), (1, 0.4, 0.5, 0.9), (0.6, 1, 0.3, 0.8), (1, 1, 1, 1))):
        points = np.column_stack([t, 25 + 37 * row - wave * np.array(heights)[column]]) * px_per_mm
        cv2.polylines(page, [np.rint(points * 16).astype(np.int32)], False, (20, 20, 20), 2, cv2.LINE_AA, 4)
        for name, at in zip(NAMES[row], (16, 78.5, 141, 203.5), strict=False) if label else ():
            write(letters, name, at * px_per_mm, (30 + 37 * row) * px_per_mm, "sans", 2.8 * px_per_mm)
    page[letters > 120] = 20
    return page


def photograph(page, quad_xy, size=(1280, 704), ground=(95, 75, 60)):
    height, width = page.shape[:2]
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    homography = cv2.getPerspectiveTransform(corners, np.asarray(quad_xy, np.float32))
    photo = np.full((size[1], size[0], 3), ground, np.uint8)
    small = cv2.GaussianBlur(page, (0, 0), 0.5)
    return cv2.warpPerspective(small, homography, size, photo, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT), homography


QUADS = [
    [[120, 60], [1150, 90], [1180, 640], [90, 610]],
    [[150, 40], [1100, 60], [1240, 660], [60, 640]],
    [[200, 120], [1160, 50], [1120, 620], [240, 600]],
]


STEEP = [
    [[380, 71], [1644, 87], [1435, 893], [203, 1049]],
]


@pytest.mark.parametrize("px_per_mm", [2.5, 4.0, 5.0, 7.3])
def test_flat_grid_gives_its_scale(px_per_mm):
    grid = measure_grid(draw_page(px_per_mm))
    assert grid.px_per_mm == pytest.approx(px_per_mm, rel=0.02)
    assert grid.support.mean() > 0.8


def test_grid_of_a_flat_page_is_axis_parallel():
    grid = measure_grid(draw_page(5.0))
    corners = apply_homography(
        grid.flattening.mm_from_image, np.array([[0, 0], [1399, 0], [1399, 799], [0, 799]], float)
    )
    sides = np.diff(corners[[0, 1, 2, 3, 0]], axis=0)
    np.testing.assert_allclose(np.abs(sides), np.array([[280, 0], [0, 160]] * 2), atol=1.5)


@pytest.mark.parametrize("quad", QUADS)
def test_warped_page_comes_back(quad):
    photo, homography = photograph(draw_page(), quad)
    flat = PLAIN(photo)
    diagonal = np.linalg.norm(np.subtract(quad[0], quad[2]))
    assert flat.readable
    assert np.linalg.norm(flat.quad_xy - quad, axis=1).max() < 0.01 * diagonal
    assert flat.rotation == 0
    check_scale(flat, homography)


def check_scale(flat, homography):
    """The flat image of `draw_page` is level, upright and as large as it says."""
    points = np.array([[60, 96], [324, 96], [192, 20], [192, 170]])
    sampled = flat.image_from_flat[points[:, 1], points[:, 0]]
    page_mm = apply_homography(np.linalg.inv(homography), sampled) / 5
    across, down = page_mm[1] - page_mm[0], page_mm[3] - page_mm[2]
    assert 264 / np.linalg.norm(across) == pytest.approx(flat.flat_px_per_mm, rel=0.03)
    assert 150 / np.linalg.norm(down) == pytest.approx(flat.flat_px_per_mm, rel=0.03)
    assert abs(np.degrees(np.arctan2(across[1], across[0]))) < 0.5
    assert abs(np.degrees(np.arctan2(down[0], down[1]))) < 0.5


def test_page_that_is_small_in_a_large_photo_is_looked_at_closer():
    quad = np.array([[2260, 330], [3370, 300], [3390, 960], [2230, 930]])
    photo, homography = photograph(draw_page(), quad, (4000, 3000))
    flat = PLAIN(photo)
    assert flat.reasons == ()
    assert np.linalg.norm(flat.quad_xy - quad, axis=1).max() < 13
    check_scale(flat, homography)


def test_page_that_lies_askew_and_small_is_set_straight():
    turn = np.radians(44)
    along, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    quad = [(860, 560) + a * 240 * along + d * 138 * down for a, d in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    photo, homography = photograph(draw_page(label=False), quad, (1730, 1100))
    flat = PLAIN(photo)
    assert flat.readable
    assert "grid_not_found" not in flat.reasons
    check_scale(flat, homography)


@pytest.mark.parametrize("quad", STEEP)
def test_scale_is_right_in_a_steep_view(quad):
    photo, homography = photograph(draw_page(), quad, (1730, 1100))
    flat = PLAIN(photo)
    assert flat.readable
    check_scale(flat, homography)


def test_flat_page_stays_and_is_centred():
    flat = PLAIN(draw_page())
    np.testing.assert_allclose(flat.quad_xy, [[0, 0], [1399, 0], [1399, 799], [0, 799]], atol=8)
    assert flat.flat_px_per_mm == pytest.approx(1.4, rel=0.001)
    columns = np.flatnonzero((flat.image < 128).any(0))
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(191.5, abs=4)
    assert columns[-1] - columns[0] == pytest.approx(250 * 1.4, abs=6)


def test_grid_is_gone_and_the_trace_is_not():
    flat = PLAIN(draw_page())
    page = draw_page(grid=False, label=False)
    dark = cv2.remap(255 - page[..., 0], flat.image_from_flat, None, cv2.INTER_LINEAR) > 60
    assert (flat.image[dark] < 160).mean() > 0.95
    far = cv2.dilate(dark.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert (flat.image[far] > 230).mean() > 0.995
    assert flat.image_grid[far].mean() < flat.image[far].mean() - 5  # with the grid kept, it shows


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_turned_photo_gets_the_very_page_of_an_upright_one(turns):
    photo, _ = photograph(draw_page(), QUADS[0])
    turned = np.rot90(photo, turns)
    upright, flat = PLAIN(photo), PLAIN(turned)
    assert (upright.rotation, flat.rotation) == (0, 90 * turns)
    np.testing.assert_array_equal(flat.image, upright.image)
    assert flat.reasons == upright.reasons
    assert flat.quality == upright.quality
    back = {
        0: (0, 0),
        1: (0, photo.shape[1] - 1),
        2: (photo.shape[1] - 1, photo.shape[0] - 1),
        3: (photo.shape[0] - 1, 0),
    }
    turn = np.linalg.matrix_power([[0, 1], [-1, 0]], turns)  # of points (x, y), as `rot90` turns pixels
    there = upright.image_from_flat != -1
    for ours, theirs in ((flat.quad_xy, upright.quad_xy), (flat.image_from_flat, upright.image_from_flat)):
        known = there.all(axis=2) if theirs.ndim == 3 else slice(None)
        np.testing.assert_allclose(ours[known], theirs[known] @ turn.T + back[turns], atol=0.01)


def bent(page, rise_mm=0.8, px_per_mm=5.0):
    """The page with its rows shifted up and down along a slow wave, as by a curled sheet."""
    rows, cols = np.mgrid[: page.shape[0], : page.shape[1]].astype(np.float32)
    return cv2.remap(
        page, cols, rows + rise_mm * px_per_mm * np.sin(cols / 170), cv2.INTER_LINEAR, borderValue=(255,) * 3
    )


def test_bent_paper_is_straightened():
    photo = bent(draw_page())
    straight = Preprocessor(PreprocessSettings(upright=False, arrange=False))(photo)
    curved = Preprocessor(PreprocessSettings(unbend=False, upright=False, arrange=False))(photo)

    def off_mm(flat):  # where level flat lines really are on the page, against level
        source = flat.image_from_flat[60:140:20, 80:300:10]
        page_y = source[..., 1] + 4 * np.sin(source[..., 0] / 170)
        return np.std(page_y, axis=1).max() / 5

    assert off_mm(straight) < 0.25
    assert off_mm(curved) > 3 * off_mm(straight)


def test_tall_first_row_keeps_its_tips():
    page = draw_page()
    cv2.line(page, (700, 40), (700, 120), (20, 20, 20), 2)  # up from the first row, to 8 mm from the edge
    flat = PLAIN(page)
    dark = cv2.remap((page < 60).all(2).astype(np.uint8) * 255, flat.image_from_flat, None, cv2.INTER_LINEAR) > 100
    assert dark[:, 150:240].any()
    top_of_line = flat.image_from_flat[:, :, 1].min()
    assert top_of_line < 40


def test_quad_is_in_reading_order_after_a_turn():
    flat = PLAIN(np.rot90(draw_page(4.0), 1))  # a clockwise turn makes it upright again
    np.testing.assert_allclose(flat.quad_xy, [[0, 1119], [0, 0], [639, 0], [639, 1119]], atol=8)


def test_shadow_does_not_change_the_flat_image_much():
    page = draw_page()
    light = np.linspace(1.0, 0.45, page.shape[1])[None, :, None]
    plain, shaded = PLAIN(page), PLAIN((page * light).astype(np.uint8))
    assert np.abs(plain.image.astype(int) - shaded.image).mean() < 3


@pytest.mark.parametrize(
    ("trace", "lines", "ground"),
    [
        ((240, 240, 240), None, (0, 0, 0)),
        ((60, 230, 60), None, (0, 0, 0)),
        ((240, 240, 240), (90, 90, 90), (10, 10, 14)),
        ((240, 220, 40), (60, 80, 130), (0, 10, 60)),
        ((60, 230, 60), (20, 70, 20), (0, 0, 0)),
    ],
)
def test_screen_with_light_traces_is_read_like_paper(trace, lines, ground):
    page, bare = draw_page(), draw_page(grid=False)
    inked = (255 - bare[..., :1]) / 235.0
    screen = np.where(page.min(axis=2, keepdims=True) < 250, lines or ground, ground)
    screen = (screen * (1 - inked) + np.array(trace) * inked).clip(0, 255).astype(np.uint8)
    on_paper, flat = PLAIN(page), PLAIN(screen)
    assert flat.readable
    assert ("grid_not_found" in flat.reasons) == (lines is None)
    if lines is not None:
        assert np.abs(flat.image.astype(int) - on_paper.image).mean() < 3


def test_page_without_grid_fits_the_canvas_and_says_so():
    flat = PLAIN(draw_page(grid=False))
    assert flat.readable
    assert "grid_not_found" in flat.reasons
    assert flat.px_per_mm is None
    assert flat.flat_px_per_mm is None
    columns = np.flatnonzero((flat.image < 128).any(0))
    assert columns[-1] - columns[0] > 330


def test_grid_whose_lines_are_all_alike_may_leave_the_scale_open_and_says_so():
    page, bare = draw_page(4.0), draw_page(4.0, grid=False)
    alike = np.minimum(np.where(page.min(axis=2, keepdims=True) < 250, (235, 150, 150), 255), bare).astype(np.uint8)
    assert measure_grid(page).scale_confidence > 0.6  # every fifth line is darker
    flat = PLAIN(alike)
    assert flat.readable
    assert flat.reasons == ("scale_unsure",)
    assert flat.px_per_mm is None
    assert flat.flat_px_per_mm is None
    columns = np.flatnonzero((flat.image < 128).any(0))
    assert columns[-1] - columns[0] > 330


def lines(px_per_mm, across=True):
    """Contrast of upright lines, 1 mm apart and stronger every 5 mm, and of level ones unless not `across`."""
    fine = np.zeros((1600, 2500), np.float32)
    for mm in range(250):
        stripes = [fine[:, 10 * mm : 10 * mm + 3]] + [fine[10 * mm : 10 * mm + 3]] * across
        for stripe in stripes:
            np.maximum(stripe, 20 if mm % 5 else 60, out=stripe)
    size = tuple(round(n * px) for n, px in zip((250, 160), px_per_mm, strict=True))
    noise = np.random.default_rng(0).normal(0, 2, size[::-1])
    return (cv2.resize(fine, size, interpolation=cv2.INTER_AREA) + noise).astype(np.float32)


def pitch_of(contrast, px_per_mm, tracked_mm):
    height, width = contrast.shape
    seen = np.stack(np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 7)), axis=-1).reshape(-1, 2)
    return pitch_in_mm(contrast, np.diag([*(1 / np.multiply(px_per_mm, tracked_mm)), 1.0]), seen)


@pytest.mark.parametrize("tracked_mm", [(1.0, 1.0), (2.5, 5 / 3), (5 / 3, 2.5), (1.0, 1.25), (5.0, 2.5)])
@pytest.mark.parametrize("px_per_mm", [(4.0, 4.0), (4.4, 3.5), (3.5, 4.4)])
def test_whatever_waves_are_tracked_a_foreshortened_axis_keeps_its_scale(px_per_mm, tracked_mm):
    found, confidence = pitch_of(lines(px_per_mm), px_per_mm, tracked_mm)
    np.testing.assert_allclose(found, tracked_mm)
    assert confidence > SURE_SCALE


@pytest.mark.parametrize(("tracked_mm", "sure"), [((5.0, 5.0), True), ((2.5, 5.0), False), ((5.0, 2.5), False)])
def test_axis_without_lines_has_the_scale_of_the_other_only_where_waves_are_alike(tracked_mm, sure):
    px_per_mm = (4.4, 3.9)
    found, confidence = pitch_of(lines(px_per_mm, across=False), px_per_mm, tracked_mm)
    assert (confidence > SURE_SCALE) == sure
    if sure:
        np.testing.assert_allclose(found, tracked_mm)


def seen_tilted(page, tilt, way, distance, size=(1600, 1300)):
    """Corners of a page in a photo of `size`, leaning `tilt` degrees, by a camera `distance` page widths away."""
    height, width = page.shape[:2]
    lean, _ = cv2.Rodrigues(np.radians(tilt) * np.array([np.cos(way), np.sin(way), 0]))
    corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5) * (width, height)
    quad = corners @ lean[:2, :2].T / (1 + corners @ lean[2, :2] / (distance * width))[:, None]
    quad -= (quad.min(0) + quad.max(0)) / 2
    return quad * 0.9 * (np.array(size) / np.ptp(quad, axis=0)).min() + np.array(size) / 2


@pytest.mark.parametrize("way", [0.3, 1.7, 4.0])
@pytest.mark.parametrize(
    ("tilt", "focal", "error"), [(0, 1600, 1e-9), (55, 1600, 1e-9), (0, 1100, 1e-9), (35, 1200, 0.15), (35, 2400, 0.15)]
)
def test_camera_tells_the_sides_of_a_tilted_sheet(tilt, way, focal, error):
    lean, _ = cv2.Rodrigues(np.radians(tilt) * np.array([np.cos(way), np.sin(way), 0]))
    camera = np.array([[focal, 0, 799.5], [0, focal, 649.5], [0, 0, 1]])
    image_from_sheet = camera @ np.column_stack([1.5 * lean[:, 0], lean[:, 1], [0.2, -0.1, 3]])
    assert unit_ratio(image_from_sheet, (1300, 1600)) == pytest.approx(1.5, rel=error)


@pytest.mark.parametrize("way", [0.3, 1.7, 4.0])
def test_page_seen_steeply_keeps_its_shape_and_scale(way):
    page = draw_page(seed=1)
    quad = seen_tilted(page, 50, way, 1.3)
    photo, homography = photograph(page, quad, (1600, 1300))
    flat = PLAIN(photo)
    assert flat.reasons == ()
    check_scale(flat, homography)


def test_strokes_are_joined_over_grid_lines_as_dark_as_they_are():
    page = draw_page(5.0, grid=False)
    for mm in range(0, 281, 5):
        page[:, 5 * mm : 5 * mm + 2] = 0
        page[5 * mm : 5 * mm + 2] = 0
    flat = PLAIN(page)
    assert flat.readable
    columns = (flat.image[:, 20:364] < 128).any(0)
    assert columns.mean() > 0.97


@pytest.mark.slow
@pytest.mark.skipif("ECG_PHOTOS" not in os.environ, reason="set ECG_PHOTOS to a folder of real ECG photos")
def test_real_photos_are_readable_with_a_scale_and_their_leads():
    paths = sorted(Path(os.environ["ECG_PHOTOS"]).iterdir())
    assert paths, "ECG_PHOTOS is an empty folder"
    flats = {path: PLAIN(path) for path in paths}
    refused = {path.name: flat.reasons for path, flat in flats.items() if not flat.readable}
    assert len(refused) <= 0.1 * len(paths), refused  # one of two leads, one with its first row cut
    for path, flat in flats.items():
        if path.name in refused:
            continue
        assert len(flat.lead_boxes) >= 12 or any(r.startswith("leads_missing") for r in flat.reasons), path.name
        assert flat.px_per_mm is not None, path.name
        assert flat.rotation == 0, path.name
        assert 0.005 < (flat.image < 128).mean() < 0.15, path.name
