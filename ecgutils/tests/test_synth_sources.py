"""Scan-like and photo-like sources: size, truth, severity."""

import cv2
import numpy as np
import pytest

from ecgutils.synth import EFFECTS, SCAN_SOURCES, Lens, Projection, Surface, render_photo, render_scan
from ecgutils.synth.effects import add_noise, blur, motion_blur, multiply_field, sense
from ecgutils.synth.page import draw_layers
from ecgutils.synth.photo import draw_severity
from ecgutils.synth.scene import scuff
from ecgutils.tests.test_synth_page import make_record

SMALL = (640, 352)


def flat_line_record():
    return make_record(np.zeros((12, 5000)))


def ink_distance(rendered):
    """Distance in px from where zero-mV traces should be to the ink's centre, for every point inside the image."""
    distances = []
    h, w = rendered.trace_mask.shape
    for x0, y0, x1, y1 in rendered.lead_boxes.values():
        along = np.linspace(x0 + 8, x1 - 8, 40)
        points = rendered.projection.to_image(np.stack([along, np.full(40, (y0 + y1) / 2)], -1))
        for x, y in points:
            if 6 < x < w - 7 and 6 < y < h - 7:
                px, py = round(x), round(y)
                patch = rendered.trace_mask[py - 4 : py + 5, px - 4 : px + 5].astype(float)
                assert patch.sum() > 0, "no ink where a trace should be"
                dy, dx = np.mgrid[-4:5, -4:5]
                cx, cy = (patch * dx).sum() / patch.sum() + px - x, (patch * dy).sum() / patch.sum() + py - y
                direction = points[-1] - points[0]
                normal = np.array([-direction[1], direction[0]]) / np.hypot(*direction)
                distances.append(abs(normal @ (cx, cy)))
    return np.array(distances)


@pytest.mark.parametrize("source", SCAN_SOURCES)
@pytest.mark.parametrize("size", [(550, 425), (400, 620)])
def test_a_scan_has_the_size_asked_for_and_its_traces_are_where_the_truth_says(source, size):
    for seed in range(3):
        scan = render_scan(flat_line_record(), np.random.default_rng(seed), source, size)
        assert scan.image.shape == (size[1], size[0], 3)
        assert scan.image.dtype == np.uint8
        assert scan.trace_mask.shape == size[::-1]
        assert scan.style["source"] == source
        assert np.percentile(ink_distance(scan), 95) < 0.5


@pytest.mark.parametrize("seed", range(8))
def test_a_photo_s_traces_are_where_the_truth_says_bent_paper_included(seed):
    strong = dict.fromkeys(("framing", "perspective", "lens", "bend", "crease", "crumple", "rotation"), 1.0)
    photo = render_photo(flat_line_record(), np.random.default_rng(seed), strong, (960, 528))
    distances = ink_distance(photo)
    assert len(distances) > 100
    assert np.percentile(distances, 95) < 0.5
    assert sorted(photo.image.shape[:2]) == [528, 960]


def test_flat_paper_gives_a_homography_that_maps_the_corners():
    photo = render_photo(make_record(), np.random.default_rng(0), {"perspective": 1, "framing": 1}, SMALL)
    w, h = photo.page_size
    corners = np.array([[(0, 0), (w - 1, 0), (w - 1, h - 1), (0, h - 1)]], np.float64)
    mapped = cv2.perspectiveTransform(corners, photo.projection.homography)[0]
    assert photo.quad_xy.dtype == np.float32
    np.testing.assert_allclose(mapped, photo.quad_xy, atol=1e-3)


def bumpy_projection():
    y, x = np.mgrid[:90, :90].astype(np.float32)
    heights = 20 * np.sin(0.1 * x + 0.04 * y) + 3 * np.exp(-(((x - 30) / 0.8) ** 2))
    matrix = np.array([[1, 0.1, 5], [0.05, 0.9, 3], [1e-5, 2e-5, 1]])
    return Projection(matrix, Surface(heights, 10.0), (400.0, 250.0, 1500.0), Lens(-0.03, (400.0, 300.0), 500.0))


def test_projection_goes_there_and_back():
    there = bumpy_projection()
    page = np.random.default_rng(0).uniform(0, 800, (500, 2))
    np.testing.assert_allclose(there.to_page(there.to_image(page)), page, atol=0.05)


def test_a_lens_leaves_its_centre_and_pulls_the_rim_by_k():
    lens = Lens(-0.02, (50.0, 40.0), 100.0)
    np.testing.assert_allclose(lens.distort(np.array([(50.0, 40.0), (150.0, 40.0)])), [(50, 40), (148, 40)])
    points = np.random.default_rng(0).uniform(-50, 150, (100, 2))
    np.testing.assert_allclose(lens.undistort(lens.distort(points)), points, atol=1e-6)


def test_severity_zero_is_the_flat_page_letterboxed(monkeypatch):
    drawn = []

    def remember(*arguments):
        drawn.append(draw_layers(*arguments))
        return drawn[-1]

    monkeypatch.setattr("ecgutils.synth.photo.draw_layers", remember)
    for seed in range(5):
        photo = render_photo(make_record(), np.random.default_rng(seed), 0, SMALL)
        layers = drawn[-1][0]
        x0, y0 = np.round(photo.quad_xy[0]).astype(int)
        w, h = photo.page_size
        assert photo.style["rotation"] == 0
        shown, page = photo.image[y0 : y0 + h, x0 : x0 + w], layers[: SMALL[1] - y0, : SMALL[0] - x0, :3]
        assert np.array_equal(shown, page)
        assert photo.trace_mask.sum() == layers[..., 3].sum()
        np.testing.assert_allclose(photo.projection.homography[:2, :2], np.eye(2), atol=1e-9)


@pytest.mark.parametrize("effect", [e for e in EFFECTS if e != "rotation"])
def test_one_effect_at_a_time_changes_the_picture_and_more_with_severity(effect):
    def mean_change(severity):
        changes = []
        for seed in range(4):
            flat = render_photo(make_record(), np.random.default_rng(seed), 0, SMALL).image.astype(float)
            one = render_photo(make_record(), np.random.default_rng(seed), {effect: severity}, SMALL).image
            changes.append(np.abs(one - flat).mean())
        return np.mean(changes)

    weak, strong = mean_change(0.6), mean_change(1.0)
    assert 0 < weak < strong


def test_slow_light_leaves_geometry_alone():
    a = render_photo(make_record(), np.random.default_rng(5), {"perspective": 0.5, "bend": 0.5}, SMALL)
    b = render_photo(make_record(), np.random.default_rng(5), {"perspective": 0.5, "bend": 0.5, "light": 1}, SMALL)
    assert np.array_equal(a.quad_xy, b.quad_xy)
    assert np.array_equal(a.trace_mask, b.trace_mask)


def test_quarter_turns_happen_in_a_minority_and_the_truth_turns_along():
    turned = [render_photo(make_record(), np.random.default_rng(s), {"rotation": 1}, (400, 220)) for s in range(150)]
    rotations = np.array([p.style["rotation"] for p in turned])
    assert set(rotations) == {0, 90, 180, 270}
    assert 0.75 < (rotations == 0).mean() < 0.98
    for photo in turned:
        upright = np.rot90(photo.image, -photo.style["rotation"] // 90)  # clockwise
        assert upright.shape == (220, 400, 3)
        assert photo.trace_mask.shape == photo.image.shape[:2]
        top, right = photo.quad_xy[1] - photo.quad_xy[0], photo.quad_xy[2] - photo.quad_xy[1]
        clockwise_turn = np.degrees(np.arctan2(top[1], top[0])) % 360
        assert clockwise_turn == pytest.approx(-photo.style["rotation"] % 360, abs=1)
        assert top[0] * right[1] - top[1] * right[0] > 0  # never mirrored


def test_most_photos_are_lit_and_focused_well_but_not_all():
    drawn = [draw_severity(np.random.default_rng(seed), None) for seed in range(400)]
    for mild, any_strength in (("light", "perspective"), ("noise", "bend")):
        assert np.mean([d[mild] > 0.5 for d in drawn]) < 0.75 * np.mean([d[any_strength] > 0.5 for d in drawn])
        assert max(d[mild] for d in drawn) > 0.9


def test_scuffed_paper_keeps_its_trace():
    rng = np.random.default_rng(0)
    layers = np.full((400, 600, 4), 200, np.uint8)
    before = layers.copy()
    scuff(layers, rng, 1.0, 4.0)
    assert np.array_equal(layers[..., 3], before[..., 3])
    assert 0 < (layers != before).any(2).mean() < 0.1


@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan"), {"glare": 2}, {"fog": 0.5}])
def test_impossible_severity_is_refused(severity):
    with pytest.raises(ValueError, match=r"between 0 and 1|choose from"):
        render_photo(make_record(), np.random.default_rng(0), severity, SMALL)


def test_impossible_size_or_source_is_refused():
    with pytest.raises(ValueError, match="size"):
        render_photo(make_record(), np.random.default_rng(0), size=(10, 10))
    with pytest.raises(ValueError, match="choose from"):
        render_scan(make_record(), np.random.default_rng(0), "photo")


def test_effects_of_zero_strength_are_the_identity():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    assert np.array_equal(multiply_field(image.copy(), np.ones((6, 8, 3))), image)
    assert np.array_equal(add_noise(image.copy(), rng, 0.0), image)
    assert np.array_equal(blur(image, 0), image)
    assert np.array_equal(motion_blur(image, 0, 1.0), image)


def test_a_sensor_keeps_plain_colours_in_their_channels():
    plain = np.full((40, 60, 3), (200, 90, 30), np.uint8)
    assert np.array_equal(sense(plain.copy(), np.random.default_rng(0), 0.0), plain)


def test_noise_has_the_strength_asked_for():
    grey = np.full((200, 200, 3), 128, np.uint8)
    for grain in (0.0, 0.7):
        assert add_noise(grey.copy(), np.random.default_rng(0), 6.0, grain).std() == pytest.approx(6, rel=0.1)
