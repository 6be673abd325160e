"""The command line: bad input is one sentence on stderr and exit code 2."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ecgutils import FINDINGS
from ecgutils.__main__ import main
from ecgutils.learn import SHIPPED, Calibration, predict
from ecgutils.learn.checkpoint import SHIPPED_FOLDER
from ecgutils.manifest import read_manifest
from ecgutils.run import find_notebooks


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--profile", "huge"], "Unknown profile 'huge'"),
        (["run", "--set", "batchsize=3"], "did you mean batch_size"),
        (["run", "--set", "batch_size"], "KEY=VALUE"),
        (["run", "--signals", "ptbxl"], "needs data"),
        (["run", "--signals", "ptbxl", "--data", "nowhere"], "does not exist"),
        (["run", "--bhf", "nowhere"], "does not exist"),
        (["run", "--only", "07"], "No notebook 07"),
        (["check", "ptbxl", "nowhere"], "No PTB-XL folder"),
        (["check", "bhf", "nowhere"], "nowhere"),
        (["generate", "--out", "x", "--size", "big"], "WIDTHxHEIGHT"),
        (["generate", "--out", "x", "--data", "nowhere"], "No PTB-XL folder"),
        (["preprocess", "nowhere", "--out", "x"], "No folder or manifest"),
        (["predict", "photo.jpg", "--model", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1


def test_mistyped_options_are_refused():
    with pytest.raises(SystemExit):
        main(["run", "--profil", "smoke"])


def test_generate_preprocess_and_bhf_work_on_what_the_one_before_wrote(tmp_path, capsys):
    assert main(["generate", "--out", str(tmp_path / "images"), "-n", "3", "--size", "640x480"]) == 0
    table = read_manifest(tmp_path / "images" / "manifest.csv")
    assert set(table["width"]) == {640}
    assert main(["preprocess", str(tmp_path / "images" / "manifest.csv"), "--out", str(tmp_path / "flat")]) == 0
    flat = sorted((tmp_path / "flat" / "png").glob("*.png"))
    assert len(flat) == len(table)
    assert cv2.imread(str(flat[0]), cv2.IMREAD_UNCHANGED).shape == (192, 384)
    bhf = ["bhf", str(tmp_path / "images" / "manifest.csv"), "--out", str(tmp_path / "bhf"), "--test-folds", "3"]
    assert main(bhf) == 0
    assert main(["check", "bhf", str(tmp_path / "bhf")]) == 0
    assert "train" in capsys.readouterr().out


def test_predict_without_a_model_is_the_calibrated_mean_of_what_ships(tmp_path, capsys):
    photo = str(Path(__file__).parents[2] / "docs" / "photo.jpg")
    assert main(["predict", photo, "--out", str(tmp_path / "both.csv")]) == 0
    assert "calibrated on photo-like renders" in capsys.readouterr().out
    named = [argument for name in SHIPPED for argument in ("--model", name)]
    assert main(["predict", photo, *named, "--out", str(tmp_path / "raw.csv")]) == 0
    assert "not calibrated" in capsys.readouterr().out  # a pair that was named is any pair
    both, raw = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("both", "raw"))
    calibration = Calibration.load(SHIPPED_FOLDER / "calibration.json")
    expected = calibration.transform(raw[list(FINDINGS)].to_numpy())
    np.testing.assert_allclose(both[list(FINDINGS)].to_numpy(), expected, atol=1e-6)
    alone = predict(SHIPPED[0], [photo], views=True, progress=False)[list(FINDINGS)].to_numpy()
    assert np.abs(alone - raw[list(FINDINGS)].to_numpy()).max() > 1e-3


def test_validate_prints_every_problem_and_fails(tmp_path, capsys):
    path = tmp_path / "submission.csv"
    pd.DataFrame({"ID": [1, 1], "STTC": [0.5, 2], "HYP": 0, "MI": 0, "CD": 0, "AF": 0}).to_csv(path, index=False)
    assert main(["validate", str(path)]) == 1
    assert "2 problem(s)" in capsys.readouterr().out


def test_there_are_five_notebooks_in_order():
    assert [path.name[:2] for path in find_notebooks()] == ["01", "02", "03", "04", "05"]


def test_find_notebooks_says_where_it_looked(tmp_path):
    with pytest.raises(FileNotFoundError, match="No numbered notebooks"):
        find_notebooks(tmp_path)
