"""The stages together: switches, several canvases, what is said of a page, and a photo that was saved again."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgutils.preprocess import Preprocessor, PreprocessSettings, pipeline, read_image
from ecgutils.tests.test_preprocess_flatten import QUADS, draw_page, photograph


def test_switches_leave_their_stage_out():
    photo, _ = photograph(draw_page(), QUADS[0])
    crop_only = Preprocessor(PreprocessSettings(rectify=False))(photo)
    plain = Preprocessor()(photo)
    assert np.abs(plain.image.astype(int) - crop_only.image).mean() > 2
    sideways = np.rot90(draw_page(4.0))
    assert Preprocessor(PreprocessSettings(upright=False))(sideways).rotation == 0
    kept = Preprocessor(PreprocessSettings(suppress_grid=False))(draw_page())
    assert kept.readable


def test_same_image_same_bytes_and_array_untouched():
    page = draw_page()
    before = page.copy()
    first, second = Preprocessor()(page, steps=True), Preprocessor()(page)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(page, before)
    assert first.steps
    assert not second.steps


def test_one_photo_on_several_canvases_is_as_if_flattened_for_each():
    photo, _ = photograph(draw_page(), QUADS[0])
    several = [PreprocessSettings(), PreprocessSettings(size=(300, 200), px_per_mm=1.0)]
    flats = Preprocessor().on_canvases(photo, [settings.canvas for settings in several])
    for settings, flat in zip(several, flats, strict=True):
        alone = Preprocessor(settings)(photo)
        for name in ("image", "image_grid", "rectified", "quad_xy", "image_from_flat"):
            np.testing.assert_array_equal(getattr(flat, name), getattr(alone, name))
        assert flat.flat_px_per_mm == alone.flat_px_per_mm == pytest.approx(settings.px_per_mm)
    refused = Preprocessor().on_canvases("no/such/file.png", [settings.canvas for settings in several])
    assert [flat.image.shape[::-1] for flat in refused] == [settings.size for settings in several]
    assert {flat.reasons for flat in refused} == {("missing",)}


@pytest.mark.parametrize("quality", [75, 90])
def test_photo_saved_again_lies_where_it_lay(quality):
    photo = read_image(Path(__file__).parents[2] / "docs" / "photo.jpg")
    encoded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    again = np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
    measured = Preprocessor(PreprocessSettings(arrange=False))
    maps = [measured(image).image_from_flat for image in (photo, again)]
    assert np.linalg.norm(maps[1] - maps[0], axis=-1).mean() < 1.0  # px of the photo, of which a mm has 4.2


def test_shadow_of_an_edge_below_the_traces_does_not_push_them_aside():
    page = draw_page()
    measured = Preprocessor(PreprocessSettings(arrange=False))
    plain = measured(page)
    cv2.line(page, (300, 765), (700, 785), (20, 20, 20), 3)  # 80 mm
    moved = measured(page).image_from_flat - plain.image_from_flat
    assert np.abs(np.median(moved, axis=(0, 1))).max() < 1


def test_only_a_trace_at_the_photos_edge_is_cut_off():
    page = draw_page()
    for y in range(100, 800, 60):
        cv2.putText(page, "rate", (1370, y), 0, 1, (20, 20, 20), 2)  # letters that are cut
    assert "cut_off" not in Preprocessor()(page).reasons
    assert "cut_off" in Preprocessor()(page[:, :1200]).reasons


def test_white_header_of_a_digital_page_is_no_glare():
    header = np.full((120, 840, 3), 255, np.uint8)
    cv2.line(header, (45, 30), (645, 42), (20, 20, 20), 2)
    flat = Preprocessor()(np.concatenate([header, draw_page(3.0)]))
    assert flat.readable
    assert "glare" not in flat.reasons


def test_traces_washed_out_by_a_reflection_are_glare():
    page = (draw_page() * 0.8).astype(np.uint8)
    cv2.circle(page, (700, 400), 150, (255, 255, 255), -1)
    assert "glare" in Preprocessor()(page).reasons


def test_bug_is_not_blamed_on_the_image(monkeypatch):
    def buggy(*_):
        raise IndexError("ours")

    monkeypatch.setattr(pipeline, "measure_grid", buggy)
    with pytest.raises(IndexError, match="ours"):
        Preprocessor()(draw_page(2.0))


def test_opencv_has_one_thread_inside_and_as_many_as_before_after(monkeypatch):
    inside, before = [], cv2.getNumThreads()
    monkeypatch.setattr(pipeline, "measure_grid", lambda *_: inside.append(cv2.getNumThreads()))
    cv2.setNumThreads(2)
    Preprocessor()(draw_page(2.0))
    assert (set(inside), cv2.getNumThreads()) == ({1}, 2)
    cv2.setNumThreads(before)


def test_settings_round_trip_and_reject_unknown_names():
    settings = PreprocessSettings(size=(512, 256), px_per_mm=1.8)
    assert PreprocessSettings.from_dict(settings.to_dict()) == settings
    assert settings.key() != PreprocessSettings().key()
    with pytest.raises(ValueError, match="sharpen"):
        PreprocessSettings.from_dict({"sharpen": True})
    with pytest.raises(ValueError, match="px_per_mm"):
        PreprocessSettings(px_per_mm=0)
