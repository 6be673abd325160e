"""The widgets of notebook 02, worked without a browser: values are set, pictures and calls are looked at."""

import io

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgutils.plots.widgets import ZOOM, before_after, browse, wipe
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.tests.test_preprocess_flatten import QUADS, draw_page, photograph

PREPROCESS = Preprocessor(PreprocessSettings(size=(256, 128), px_per_mm=0.9))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "train_7.png").write_bytes(b"no image")
    Image.fromarray(photograph(draw_page(), QUADS[0])[0]).save(folder / "test_7.png")
    rows = pd.DataFrame({"part": ["train", "test"], "image_id": "7", "quality": [0.0, 0.9]})
    rows["path"] = [str(folder / f"{part}_7.png") for part in rows["part"]]
    return rows


def parts(panel, kind):
    children = getattr(panel, "children", ())
    return [panel] * isinstance(panel, kind) + [found for child in children for found in parts(child, kind)]


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.value)).convert("RGB"))


def test_before_and_after_show_the_same_ink_at_the_same_place():
    photo, _ = photograph(draw_page(), QUADS[0])
    before, after = before_after(photo, PREPROCESS(photo))
    assert before.shape == after.shape == (ZOOM * 128, ZOOM * 256, 3)
    dark, shifted = before.max(axis=2) < 110, np.roll(before, 8 * ZOOM, axis=0).max(axis=2) < 110
    assert after[..., 0][dark].mean() < 120  # black ink of the photo lies on ink of the flat page
    assert after[..., 0][shifted].mean() > 200


def test_a_photo_that_was_not_flattened_is_shown_whole():
    photo = np.full((300, 500, 3), (10, 120, 30), np.uint8)
    before, after = before_after(photo, PREPROCESS(photo))
    assert before[64 * ZOOM, 128 * ZOOM].tolist() == [10, 120, 30]
    assert (before == (10, 120, 30)).all(axis=2).mean() == pytest.approx(5 / 6, abs=0.03)  # 5:3 in a canvas of 2:1
    assert after.min() == 255


def test_wiping_goes_from_one_picture_to_the_other():
    before, after = np.zeros((4, 100, 3), np.uint8), np.full((4, 100, 3), 255, np.uint8)
    np.testing.assert_array_equal(wipe(before, after, 0), after)
    np.testing.assert_array_equal(wipe(before, after, 1), before)
    half = wipe(before, after, 0.5)
    assert half[0, 48].max() == 0
    assert half[0, 49].tolist() == half[0, 50].tolist() == [220, 0, 0]
    assert half[0, 51].min() == 255


def test_browsing_shows_the_chosen_image_and_the_wiped_share(table):
    panel = browse(table, PREPROCESS)
    (chosen,), (slider,), (verdict,), (picture,) = (
        parts(panel, kind) for kind in (ipywidgets.Dropdown, ipywidgets.FloatSlider, ipywidgets.Label, ipywidgets.Image)
    )
    assert [name for name, _ in chosen.options] == ["0.00  train 7", "0.90  test 7"]
    assert "cannot_decode" in verdict.value
    chosen.value = 1
    assert "cannot_decode" not in verdict.value
    slider.value = 0
    before, after = before_after(np.array(Image.open(table["path"][1])), PREPROCESS(table["path"][1]))
    assert np.abs(pixels(picture).astype(int) - after).mean() < 6
    slider.value = 1
    assert np.abs(pixels(picture).astype(int) - before).mean() < 6


def test_without_a_kernel_a_panel_is_one_line_of_text(table):
    text = browse(table, PREPROCESS)._repr_mimebundle_()["text/plain"]
    assert text == "[choose an image, wipe from photo to flat page: live in a running notebook]"
