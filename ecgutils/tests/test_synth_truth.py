"""The truth is exact: grid crossings lie where the map says, in memory and read back from disk."""

import cv2
import numpy as np
import pytest

from ecgutils.files import write_bytes
from ecgutils.synth import PageStyle, generate_images, read_truth, render_photo, render_scan
from ecgutils.synth.truth import truth_bytes, truth_path
from ecgutils.tests.test_synth_page import make_record

GEOMETRY = dict.fromkeys(("framing", "perspective", "lens", "bend", "crease", "crumple", "rotation"), 1.0)
BARE = PageStyle(grid="coarse", major_rgb=(0, 0, 0), major_mm=0.4, calibration="none", paper_rgb=(255, 255, 255))


def blank_record():
    return make_record(np.full((12, 5000), np.nan))


def distance_to_seen_lines(rendered, to_image):
    """For each grid crossing in the image: px between where `to_image` puts it and where its two lines are seen.

    Each line's centre is the centroid of darkness across it, beside the crossing, in a window of 1 mm to each side.
    """
    (w, h), ppm, phase = rendered.page_size, rendered.px_per_mm, rendered.style["grid_phase_mm"]
    x, y = ((phase[i] + 5 * np.arange(100)) * ppm for i in (0, 1))
    crossings = np.stack(np.meshgrid(x[(x > 3 * ppm) & (x < w - 3 * ppm)], y[(y > 3 * ppm) & (y < h - 3 * ppm)]), -1)
    crossings = crossings.reshape(-1, 2)
    at = to_image(crossings)
    height, width = rendered.image.shape[:2]
    crossings = crossings[(at > 3 * ppm).all(1) & (at < np.array([width, height]) - 3 * ppm).all(1)]
    dark = 255 - cv2.cvtColor(rendered.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    u = np.linspace(-1, 1, 41)
    offsets = []
    for axis in (0, 1):
        centres = []
        for beside in (-1.5, 1.5):
            points = np.zeros((len(crossings), len(u), 2)) + crossings[:, None]
            points[..., axis] += u * ppm
            points[..., 1 - axis] += beside * ppm
            seen = to_image(points).astype(np.float32)
            profile = cv2.remap(dark, seen[..., 0], seen[..., 1], cv2.INTER_LINEAR)
            ink = np.clip(profile - np.median(profile, axis=1, keepdims=True) - 10, 0, None)
            scale = np.hypot(*(seen[:, -1] - seen[:, 0]).T) / 2
            centres.append((ink * u).sum(1) / ink.sum(1) * scale)
        offsets.append(np.mean(centres, axis=0))
    return np.hypot(*offsets)


@pytest.fixture
def bare(monkeypatch):
    """Pages with nothing on them but a grid of black lines; no shading, which would move the lines' centroids."""
    for module in ("photo", "page"):
        monkeypatch.setattr(f"ecgutils.synth.{module}.draw_style", lambda *_: BARE)
    monkeypatch.setattr("ecgutils.synth.page.print_text", lambda *_: ([], []))
    for shading in ("scuff", "_light"):
        monkeypatch.setattr(f"ecgutils.synth.photo.{shading}", lambda *_: None)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("size", [(1280, 900), (3460, 1900)])
@pytest.mark.parametrize("seed", range(3))
def test_grid_crossings_of_a_bent_page_are_where_the_map_says(seed, size, tmp_path):
    photo = render_photo(blank_record(), np.random.default_rng(seed), GEOMETRY, size)
    assert photo.projection.lens.k != 0
    assert not photo.projection.surface.is_flat
    write_bytes(truth_path(tmp_path / "a.jpg"), truth_bytes(photo))
    distance = distance_to_seen_lines(photo, photo.projection.to_image)
    assert len(distance) > 300
    assert distance.max() < 0.5
    stored = distance_to_seen_lines(photo, read_truth(tmp_path / "a.jpg").to_image)
    assert np.percentile(stored, 99) < 0.5  # beside a sharp fold its points lie too far apart


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("seed", range(3))
def test_grid_crossings_of_a_scan_are_where_the_map_says(seed):
    scan = render_scan(blank_record(), np.random.default_rng(seed), "office", (1100, 850))
    distance = distance_to_seen_lines(scan, scan.projection.to_image)
    assert len(distance) > 1000
    assert np.percentile(distance, 99) < 0.5


def test_what_is_read_back_is_what_was_written(tmp_path):
    photo = render_photo(make_record(), np.random.default_rng(2), GEOMETRY, (960, 528))
    write_bytes(truth_path(tmp_path / "a.jpg"), truth_bytes(photo))
    read = read_truth(tmp_path / "a.jpg")
    assert read.page_size == photo.page_size
    assert read.px_per_mm == photo.px_per_mm
    assert read.style["grid_phase_mm"] == photo.style["grid_phase_mm"]
    assert read.style["severity"] == photo.style["severity"]
    np.testing.assert_array_equal(read.quad_xy, photo.quad_xy)
    np.testing.assert_allclose(read.map_xy[0, 0], photo.quad_xy[0], atol=0.05)
    assert list(read.lead_boxes) == sorted(photo.lead_boxes)
    np.testing.assert_array_equal(read.lead_boxes["V5"], photo.lead_boxes["V5"])
    assert np.abs(read.trace_mask.astype(int) - photo.trace_mask).max() <= 43
    points = np.random.default_rng(0).uniform(0, 1, (2000, 2)) * (np.array(photo.page_size) - 1)
    assert np.abs(read.to_image(points) - photo.projection.to_image(points)).max() < 0.5


def test_each_image_has_its_truth_which_is_drawn_again_when_torn(tmp_path):
    table = generate_images([make_record()], tmp_path, ("vector", "photo"), size=(400, 220))
    paths = [tmp_path / p for p in table["path"]]
    before = [truth_path(p).read_bytes() for p in paths]
    assert max(map(len, before)) < 40_000
    truth_path(paths[1]).write_bytes(before[1][:100])
    with pytest.raises(ValueError, match=r"is not a whole \.npz file"):
        read_truth(paths[1])
    generate_images([make_record()], tmp_path, ("vector", "photo"), size=(400, 220))
    assert [truth_path(p).read_bytes() for p in paths] == before
    corners = table.loc[1, ["tl_x", "tl_y"]].to_numpy(float)
    np.testing.assert_allclose(read_truth(paths[1]).quad_xy[0], corners, atol=0.01)


def test_an_image_without_truth_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="No truth"):
        read_truth(tmp_path / "holiday.jpg")
