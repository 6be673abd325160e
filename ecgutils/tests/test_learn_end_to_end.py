"""Learning on what the real renderer, preprocessor and cache give; the other tests stand alone."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ecgutils.findings import FINDINGS
from ecgutils.hearts import simulate_cohort
from ecgutils.learn import FlatSet, build_model, fit, load_model, predict, predict_set
from ecgutils.manifest import read_manifest
from ecgutils.preprocess import PreprocessSettings, build_cache
from ecgutils.profiles import arm_settings, load_profile
from ecgutils.synth import SCAN_SOURCES, generate_images

SMALL = PreprocessSettings(size=(192, 96), px_per_mm=0.7)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Manifest of six rendered scans and the flat set of them."""
    folder = tmp_path_factory.mktemp("scans")
    generate_images(simulate_cohort(6, seed=2), folder, SCAN_SOURCES[:1], seed=2, size=(1280, 900))
    table = read_manifest(folder / "manifest.csv")
    return table, FlatSet.from_cache(build_cache(table, folder / "flat", SMALL), table)


@pytest.fixture
def model():
    return build_model("convnext_zepto_rms", SMALL)


@pytest.mark.filterwarnings("ignore:.*no finding has both classes")
def test_a_cached_set_fits_and_its_model_reads_the_files(rendered, model, tmp_path):
    table, flat = rendered
    assert flat.readable.all()
    settings = replace(arm_settings(load_profile("smoke"))["stage1"], views=8, batch_size=4, device="cpu")
    fit(model, flat.subset(np.arange(4)), flat.subset(np.arange(4, 6)), settings, tmp_path, progress=False)
    cached = predict_set(load_model(tmp_path), flat, views=True)
    direct = predict(tmp_path, table["path"], progress=False)
    assert direct.ID.tolist() == cached.ID.tolist()
    np.testing.assert_allclose(direct[list(FINDINGS)], cached[list(FINDINGS)], atol=1e-5)
    np.testing.assert_allclose(direct.quality, cached.quality, atol=1e-3)


def test_hostile_files_are_rows_with_reasons(model, rendered, tmp_path):
    good = Path(rendered[0]["path"][0])
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:3000])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.jpg").touch()
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((300, 400, 3), 255, np.uint8))
    names = ["cut.jpg", "text.png", "empty.jpg", "blank.png", "absent.jpg"]
    table = predict(model, [*(tmp_path / name for name in names), good], progress=False)
    assert table.readable.tolist() == [False] * 5 + [True]
    assert table[list(FINDINGS)].isna().all(axis=1).tolist() == [True] * 5 + [False]
    assert table.reasons[:5].ne("").all()


@pytest.mark.slow  # starting workers takes seconds
def test_workers_change_nothing(model, rendered):
    paths = rendered[0]["path"][:3]
    pd.testing.assert_frame_equal(
        predict(model, paths, progress=False), predict(model, paths, workers=2, progress=False)
    )


@pytest.mark.skipif("ECG_PHOTOS" not in os.environ, reason="ECG_PHOTOS names no folder of photos")
def test_real_photos_each_get_a_row(model):
    paths = sorted(path for path in Path(os.environ["ECG_PHOTOS"]).rglob("*") if path.suffix in (".jpg", ".png"))
    table = predict(model, paths, progress=False)
    assert len(table) == len(paths) > 0
    assert table[list(FINDINGS)].notna().all(axis=1).equals(table.readable)
