from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ecgutils.evaluate import Calibration
from ecgutils.findings import FINDINGS
from ecgutils.learn import (
    NAMED,
    PREDICTION_COLUMNS,
    SHIPPED,
    VIEWS,
    build_model,
    find_calibration,
    load_model,
    predict,
    predict_set,
    read_photos,
    save_model,
    take_weights,
)
from ecgutils.preprocess import FlatECG, PreprocessSettings
from ecgutils.tests.test_learn_train import ecg_like

SMALL = PreprocessSettings(size=(64, 32))


class Reader:
    """Stand-in for the Preprocessor: an image made from the file's name; "bad" ones are unreadable."""

    seen: list = []  # noqa: RUF012
    quads: dict = {}  # noqa: RUF012

    def __init__(self, settings, exported):
        assert exported is None
        self.settings = settings

    def on_canvases(self, path, canvases, quad_xy=None):
        grid, bad = not self.settings.suppress_grid, path.stem.startswith("bad")
        Reader.seen.append((path.stem, grid))
        Reader.quads[path.stem] = quad_xy
        flats = []
        for (width, height), px_per_mm in canvases:
            image = np.full((height, width), 255, np.uint8)
            if not bad:
                image[:, : int(px_per_mm) + 5 + 2 * int(path.stem[1:])] = 40 + 80 * grid
            reasons = ("cannot_decode",) if bad else ("grid_not_found",) * grid
            quality = 0.0 if bad else 0.4 if grid else 0.6
            where, page = np.zeros((height, width, 2), np.float32), np.zeros((999, 999, 3), np.uint8)
            flats.append(FlatECG(image, image, page, None, 0, None, None, where, not bad, quality, reasons))
        return flats


@pytest.fixture(autouse=True)
def reader(monkeypatch):
    monkeypatch.setattr("ecgutils.learn.inference.Preprocessor", Reader)
    Reader.seen = []


@pytest.fixture
def model():
    return build_model("convnext_zepto_rms", SMALL)


def probabilities(model, table_or_images):
    logits = model.logits(table_or_images).astype(float)
    return 1 / (1 + np.exp(-logits))


def read(model, *names, **options):
    return predict(model, [f"{name}.png" for name in names], progress=False, **options)


def test_one_row_per_path_in_the_order_given(model):
    table = read(model, "a3", "a1", "bad", "a2")
    assert tuple(table) == PREDICTION_COLUMNS
    assert table.ID.tolist() == ["a3", "a1", "bad", "a2"]
    swapped = read(model, "a2", "bad", "a1", "a3").iloc[::-1].reset_index(drop=True)
    assert swapped.ID.tolist() == table.ID.tolist()
    np.testing.assert_allclose(swapped[list(FINDINGS)], table[list(FINDINGS)], atol=1e-6)


def test_an_unreadable_image_is_nan_with_a_reason(model):
    table = read(model, "a1", "bad").set_index("ID")
    assert table.loc["bad", list(FINDINGS)].isna().all()
    assert table.loc["bad", "reasons"] == "cannot_decode"
    assert table.readable.tolist() == [True, False]
    assert table.loc["a1", list(FINDINGS)].astype(float).between(0, 1).all()


def test_files_of_one_name_are_a_row_each(model):
    with pytest.warns(UserWarning, match=r"3 image\(s\) have the name of another"):
        table = predict(model, ["x/a1.png", "y/a1.jpg", "a2.png", "a2.png"], progress=False)
    assert table.ID.tolist() == ["x-a1", "y-a1", "a2", "a2-2"]
    assert table[list(FINDINGS)].notna().all(axis=None)


def test_no_models_are_refused():
    with pytest.raises(ValueError, match="at least one model"):
        predict([], ["a1.png"])


def test_the_mean_over_the_views_is_what_predict_gives(model):
    (_, flat), *_ = read_photos(model, ["a1.png"], progress=False)
    expected = np.mean([probabilities(model, view(flat.image[None])) for view in VIEWS], axis=0)
    np.testing.assert_allclose(read(model, "a1")[list(FINDINGS)], expected, atol=1e-6)


def test_a_reading_comes_with_its_flat_page_and_no_more(model):
    readings = list(read_photos(model, ["a1.png", "bad.png"], progress=False))
    assert [row["ID"] for row, _ in readings] == ["a1", "bad"]
    assert [flat.readable for _, flat in readings] == [True, False]
    assert readings[0][1].image.shape == model.input_size
    assert readings[0][1].rectified is None  # megabytes each
    assert Reader.seen == [("a1", False), ("bad", False)]  # flattened once


def test_a_long_list_is_worked_through_batch_by_batch(model):
    readings = read_photos(model, [f"a{k}.png" for k in range(200)], progress=False)
    next(readings)
    assert len(Reader.seen) == 64


def test_opencv_keeps_the_callers_threads(model):
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        read(model, "a1")
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_no_paths_give_an_empty_table(model):
    table = read(model)
    assert len(table) == 0
    assert tuple(table) == PREDICTION_COLUMNS


def test_several_models_are_averaged(model):
    other = build_model("convnext_zepto_rms", SMALL, seed=9)
    mean = (read(model, "a1")[list(FINDINGS)] + read(other, "a1")[list(FINDINGS)]) / 2
    np.testing.assert_allclose(read([model, other], "a1")[list(FINDINGS)], mean, atol=1e-9)
    assert len(Reader.seen) == 3  # the two models share a pass


def test_models_with_different_settings_get_images_of_their_own(model):
    other = build_model("convnext_zepto_rms", replace(SMALL, suppress_grid=False), seed=9)
    table = read([model, other], "a1", "bad")
    assert sorted(Reader.seen) == [("a1", False), ("a1", True), ("bad", False), ("bad", True)]
    mean = (read(model, "a1")[list(FINDINGS)] + read(other, "a1")[list(FINDINGS)]) / 2
    np.testing.assert_allclose(table.loc[[0], list(FINDINGS)], mean, atol=1e-9)
    assert table.quality.tolist() == pytest.approx([0.4, 0])
    assert table.reasons.tolist() == ["grid_not_found", "cannot_decode"]


def test_models_that_differ_in_size_and_scale_share_the_flat_page(model):
    sizes = replace(SMALL, size=(96, 64)), replace(SMALL, px_per_mm=9)
    others = [build_model("convnext_zepto_rms", settings, seed=9) for settings in sizes]
    table = read([model, *others], "a1", "bad")
    assert Reader.seen == [("a1", False), ("bad", False)]
    alone = np.mean([read(one, "a1")[list(FINDINGS)].to_numpy() for one in (model, *others)], axis=0)
    np.testing.assert_allclose(table.loc[[0], list(FINDINGS)], alone, atol=1e-9)


def test_models_can_be_checkpoint_folders(model, tmp_path):
    save_model(model, tmp_path / "m")
    np.testing.assert_allclose(read(tmp_path / "m", "a1")[list(FINDINGS)], read(model, "a1")[list(FINDINGS)], atol=1e-9)


def test_more_images_than_one_batch(model):
    names = [f"a{k % 20}" if k < 20 else f"bad{k}" for k in range(70)]
    names = [*names[20:], *names[:20]]  # the first batch has both, the second only readable ones
    table = read(model, *names)
    assert table.ID.tolist() == names
    assert table.readable.sum() == 20
    np.testing.assert_allclose(table[list(FINDINGS)].iloc[-1], read(model, "a19")[list(FINDINGS)].iloc[0], atol=1e-6)


def test_a_flat_set_is_predicted_by_id(model):
    flat = ecg_like(6, 2, readable=np.array([True, False, True, True, True, True]))
    table = predict_set(model, flat)
    assert tuple(table) == PREDICTION_COLUMNS
    assert table.ID.tolist() == flat.image_ids.tolist()
    assert table.reasons.tolist() == ["", "unreadable", "", "", "", ""]
    assert table.loc[1, list(FINDINGS)].isna().all()
    expected = probabilities(model, flat.images[[0, 2, 3, 4, 5]])
    np.testing.assert_allclose(table.drop(index=1)[list(FINDINGS)].astype(float), expected, atol=1e-6)


def test_an_all_unreadable_set_is_all_nan(model):
    assert predict_set(model, ecg_like(3, 2, readable=np.zeros(3, bool)))[list(FINDINGS)].isna().all(axis=None)


def test_what_the_cache_knows_is_passed_on(model):
    flat = ecg_like(2, 2, quality=np.array([0.4, 0.9], np.float32), reasons=np.array(["glare", ""]))
    table = predict_set(model, flat)
    assert table.quality.tolist() == pytest.approx([0.4, 0.9])
    assert table.reasons.tolist() == ["glare", ""]


def test_the_table_survives_a_csv(model, tmp_path):
    table = read(model, "a1", "bad")
    table.to_csv(tmp_path / "p.csv", index=False)
    assert pd.read_csv(Path(tmp_path / "p.csv"), keep_default_na=False).reasons.tolist() == ["", "cannot_decode"]


def test_corners_that_are_known_go_with_their_image_alone(model):
    quad = np.array([[0, 0], [9, 0], [9, 9], [0, 9]])
    read(model, "a1", "a2", quads={"a2": quad})
    assert Reader.quads["a1"] is None
    np.testing.assert_array_equal(Reader.quads["a2"], quad)
    with pytest.raises(ValueError, match="'a3'"):
        read(model, "a1", quads={"a3": quad})


HALF = {finding: {"slope": 0.5, "intercept": -0.1} for finding in FINDINGS}


@pytest.fixture
def pair(tmp_path):
    """Folders of two checkpoints that lie side by side, and a calibration of their mean."""
    folders = [tmp_path / "run" / name for name in ("one", "two")]
    for seed, folder in enumerate(folders):
        save_model(build_model("convnext_zepto_rms", SMALL, seed=seed), folder)
    weights = tuple(load_model(folder).checkpoint[1] for folder in folders)
    calibration = Calibration("made-up hearts", "by patient", 9, dict.fromkeys(FINDINGS, 3), HALF, weights)
    calibration.save(tmp_path / "run" / "calibration.json")
    return folders, calibration


def test_an_ensemble_is_calibrated_by_the_curves_beside_its_members(pair):
    folders, calibration = pair
    table = read(folders, "a1", "bad")
    assert set(table.calibrated_on) == {"made-up hearts (9 images, by patient)"}
    expected = calibration.transform(read(folders, "a1", "bad", raw=True)[list(FINDINGS)].to_numpy())
    np.testing.assert_allclose(table[list(FINDINGS)], expected, atol=1e-12)
    loaded = [load_model(folder) for folder in reversed(folders)]
    np.testing.assert_allclose(read(loaded, "a1", "bad")[list(FINDINGS)], expected, atol=1e-7)


def test_curves_of_other_weights_are_left_alone(pair, tmp_path):
    (one, two), _ = pair
    assert "there is no" in find_calibration(one)[1]  # the mean's curves are not one member's
    assert "other weights" in find_calibration([one, one])[1]
    save_model(build_model("convnext_zepto_rms", SMALL, seed=7), two)
    assert "calibrated_on" not in read([one, two], "a1")
    assert "other weights" in find_calibration([one, two])[1]
    save_model(build_model("convnext_zepto_rms", SMALL), tmp_path / "far")
    assert "one folder" in find_calibration([one, tmp_path / "far"])[1]


def test_a_model_is_no_checkpoint_once_it_is_changed(pair, model):
    (one, two), _ = pair
    assert "not all models are checkpoints" in find_calibration(model)[1]
    trained, overwritten = load_model(one), load_model(two)
    trained.train()
    take_weights(overwritten, one)
    for changed in (trained.eval(), overwritten):
        assert find_calibration([changed, load_model(two)])[0] is None


def test_what_ships_is_calibrated_alone_and_together():
    for models in (SHIPPED, *NAMED, "simulated"):
        calibration, words = find_calibration(models)
        assert words == f"calibrated on {calibration.describe()}"
