"""The command line: bad input is one sentence on stderr and exit code 2."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgutils import FINDINGS
from ecgutils.__main__ import main
from ecgutils.evaluate import Calibration
from ecgutils.hearts import simulate
from ecgutils.learn import SHIPPED, predict
from ecgutils.learn.checkpoint import SHIPPED_FOLDER
from ecgutils.manifest import read_manifest
from ecgutils.preprocess import REASONS
from ecgutils.run import find_notebooks
from ecgutils.synth import render_scan


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
        (["predict", "*.jpg"], "No file matches '*.jpg'"),
        (["predict", "."], "No files in ."),
        (["predict", "a.jpg", "--corners", "1,2,3"], "eight numbers"),
        (["predict", "a.jpg", "--corners", "0,0,0,9,9,9,9,0"], "clockwise"),
        (["predict", "a.jpg", "b.jpg", "--corners", "0,0,9,0,9,9,0,9"], "of one photo"),
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


def test_predict_takes_folders_and_patterns_and_explains_its_reasons(tmp_path, capsys):
    photo = Path(__file__).parents[2] / "docs" / "photo.jpg"
    (tmp_path / "in").mkdir()
    shutil.copy(photo, tmp_path / "in" / "b.jpg")
    (tmp_path / "in" / "a.txt").write_text("no image")
    given = [str(tmp_path / part) for part in ("in", "*/*.jpg", "gone.png")]  # the pattern adds nothing
    out = ["--out", str(tmp_path / "x.csv"), "--model", "default"]
    assert main(["predict", *given, *out]) == 1  # two can't be read
    printed = capsys.readouterr().out
    for reason in ("cannot_decode", "missing"):
        assert f"  {reason}: {REASONS[reason]}\n" in printed
    assert pd.read_csv(tmp_path / "x.csv")["ID"].tolist() == ["a", "b", "gone"]


def test_what_lies_beside_an_image_under_its_name_is_no_photo(tmp_path, capsys):
    photo = Path(__file__).parents[2] / "docs" / "photo.jpg"
    shutil.copy(photo, tmp_path / "IMG_1.JPG")
    (tmp_path / "IMG_1.AAE").write_text("a phone's edits")
    assert main(["preprocess", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "1 of 1 images readable" in capsys.readouterr().out
    shutil.copy(photo, tmp_path / "IMG_1.jpeg")
    assert main(["preprocess", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "IMG_1.JPG" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_costs_nothing_but_its_letter(tmp_path):
    photo = Path(__file__).parents[2] / "docs" / "photo.jpg"
    shutil.copy(photo, os.path.join(os.fsencode(tmp_path), b"foto_\xe9.jpg"))
    out = ["--out", str(tmp_path / "x.csv"), "--overlay", str(tmp_path / "overlay"), "--model", "default"]
    assert main(["predict", str(tmp_path / "foto*"), *out]) == 0
    assert pd.read_csv(tmp_path / "x.csv")["ID"].tolist() == ["foto_\ufffd"]
    assert len(list((tmp_path / "overlay").iterdir())) == 1
    (tmp_path / "in").mkdir()
    shutil.copy(photo, os.path.join(os.fsencode(tmp_path / "in"), b"foto_\xe9.jpg"))
    command = ["preprocess", str(tmp_path / "in"), "--out", str(tmp_path / "flat")]
    assert main([*command, "--report", str(tmp_path / "review.html")]) == 0
    assert "foto_\ufffd.jpg" in (tmp_path / "review.html").read_text(encoding="utf-8")


def test_relative_folders_of_a_run_mean_the_same_to_the_notebooks(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr("ecgutils.run.run_notebooks", lambda profile, changes, *_: given.update(changes) or tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECG_RUNS", "out")
    (tmp_path / "bhf").mkdir()
    assert main(["run", "--profile", "smoke", "--set", "bhf=bhf", "--set", "pretrained=w.safetensors"]) == 0
    assert given == {"bhf": str(tmp_path / "bhf"), "pretrained": str(tmp_path / "w.safetensors")}
    assert os.environ["ECG_RUNS"] == str(tmp_path / "out")


def test_predict_reads_the_page_within_given_corners(tmp_path):
    rng = np.random.default_rng(5)
    pages = [render_scan(simulate(rng, findings), rng, "vector", (880, 620)).image for findings in ({"AF"}, {"HYP"})]
    for name, page in zip(("left", "right"), pages, strict=True):
        Image.fromarray(page).save(tmp_path / f"{name}.png")
    Image.fromarray(np.hstack(pages)).save(tmp_path / "both.png")
    whole, rows = "0,0,879,0,879,619,0,619", {}
    for name, corners in (("left", whole), ("right", whole), ("both", "880,0,1759,0,1759,619,880,619")):
        out, overlay = tmp_path / f"{name}.csv", tmp_path / "overlay"
        photo = ["predict", str(tmp_path / f"{name}.png"), "--corners", corners, "--model", "default"]
        assert main([*photo, "--out", str(out), "--overlay", str(overlay)]) == 0
        rows[name] = pd.read_csv(out)[list(FINDINGS)].to_numpy()
        assert (overlay / f"{name}.png").stat().st_size > 10_000
    np.testing.assert_allclose(rows["both"], rows["right"], atol=2e-3)
    assert np.abs(rows["both"] - rows["left"]).max() > 0.1


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
