"""The command line: bad input is one sentence on stderr and exit code 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
from ecgutils.learn.checkpoint import read_params
from ecgutils.manifest import manifest_from_paths, read_manifest, write_manifest
from ecgutils.preprocess import REASONS, FlatCache, Preprocessor
from ecgutils.run import find_notebooks
from ecgutils.synth import render_scan
from ecgutils.tests.stand_ins import write_bhf_folder, write_ptbxl_folder

PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--profile", "huge"], "Unknown profile 'huge'"),
        (["run", "--set", "batchsize=3"], "did you mean batch_size"),
        (["run", "--set", "batch_size"], "KEY=VALUE"),
        (["run", "--hours", "0"], "--hours must be above 0, got 0"),
        (["run", "--hours", "nan"], "--hours must be above 0, got nan"),
        (["run", "--signals", "ptbxl"], "needs data"),
        (["run", "--signals", "ptbxl", "--data", "nowhere"], "does not exist"),
        (["run", "--photos", "nowhere"], "does not exist"),
        (["run", "--only", "07"], "No notebook 07"),
        (["check", "ptbxl", "nowhere"], "No PTB-XL folder"),
        (["check", "bhf", "nowhere"], "nowhere"),
        (["generate", "--out", "x", "--size", "big"], "WIDTHxHEIGHT"),
        (["generate", "--out", "x", "--shard", "4", "3"], "Shard 4 of 3 does not exist"),
        (["generate", "--out", "x", "--shard", "0", "0"], "Shard 0 of 0 does not exist"),
        (["generate", "--out", "x", "--data", "nowhere"], "No PTB-XL folder"),
        (["preprocess", "nowhere", "--out", "x"], "No folder or manifest"),
        (["predict", "photo.jpg", "--model", "nowhere"], "nowhere"),
        (["preprocess", ".", "--out", "x"], "No files in ."),
        (["preprocess", ".", "--out", "x", "--size", "640"], "--size is WIDTHxHEIGHT"),
        (["preprocess", ".", "--out", "x", "--size=-5x9"], "--size is WIDTHxHEIGHT"),
        (["preprocess", ".", "--out", "x", "--size", "9x9"], "32 to 8192 px"),
        (["preprocess", ".", "--out", "x", "--px-per-mm", "nan"], "px_per_mm is nan"),
        (["preprocess", ".", "--out", "x", "--px-per-mm", "0"], "px_per_mm is 0.0"),
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


def test_preprocess_works_on_what_generate_wrote(tmp_path):
    assert main(["generate", "--out", str(tmp_path / "images"), "-n", "3", "--size", "640x480"]) == 0
    table = read_manifest(tmp_path / "images" / "manifest.csv")
    assert set(table["width"]) == {640}
    assert main(["preprocess", str(tmp_path / "images" / "manifest.csv"), "--out", str(tmp_path / "flat")]) == 0
    flat = sorted((tmp_path / "flat" / "pages").glob("*.png"))
    assert len(flat) == len(table)
    assert cv2.imread(str(flat[0]), cv2.IMREAD_UNCHANGED).shape == (192, 384)


def test_a_challenge_folder_in_place_is_summed_up(tmp_path, capsys):
    photos = pd.DataFrame({"path": [str(PHOTO)] * 2, **{finding: [0, 1] for finding in FINDINGS}})
    write_bhf_folder(tmp_path, photos, photos[:1])
    assert main(["check", "bhf", str(tmp_path)]) == 0
    assert "n_train: 2\nn_test: 1" in capsys.readouterr().out


def test_preprocess_makes_pages_of_the_size_and_scale_asked_for(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(PHOTO, tmp_path / "in" / "a.jpg")
    command = ["preprocess", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--size", "768x384"]
    assert main(command) == 0
    settings = FlatCache.open(tmp_path / "out").settings
    assert (settings.size, settings.px_per_mm) == ((768, 384), 2.8)  # of the same page, twice as fine
    (page,) = (tmp_path / "out" / "pages").glob("*.png")
    assert cv2.imread(str(page), cv2.IMREAD_UNCHANGED).shape == (384, 768)
    assert main([*command, "--px-per-mm", "2"]) == 0
    assert FlatCache.open(tmp_path / "out").settings.px_per_mm == 2


def test_an_id_that_climbs_writes_nothing_outside(tmp_path):
    table = manifest_from_paths([PHOTO]).assign(image_id="../../climbed")
    write_manifest(table, tmp_path / "in" / "m.csv")
    assert main(["preprocess", str(tmp_path / "in" / "m.csv"), "--out", str(tmp_path / "deep" / "out")]) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("in", "deep")] == []
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert len(list((tmp_path / "deep" / "out" / "pages").glob("*.png"))) == 1


def test_the_command_line_and_python_give_the_same(tmp_path, capsys):
    overlay = ["--overlay", str(tmp_path / "overlay")]
    assert main(["predict", str(PHOTO), "--out", str(tmp_path / "shell.csv"), *overlay]) == 0
    printed = capsys.readouterr().out
    assert "calibrated on photo-like renders" in printed
    assert "Learned from PTB-XL's folds 1 to 7 and simulated hearts" in printed
    assert (tmp_path / "overlay" / "photo.png").stat().st_size > 10_000
    table = predict(SHIPPED, [PHOTO], progress=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "shell.csv", keep_default_na=False), table, atol=1e-12)


def test_an_overlay_flattens_no_photo_twice(tmp_path, monkeypatch):
    flattened = []
    find = Preprocessor._find
    monkeypatch.setattr(Preprocessor, "_find", lambda self, *how: flattened.append(how[0]) or find(self, *how))
    assert main(["predict", str(PHOTO), "--overlay", str(tmp_path), "--model", "default"]) == 0
    assert flattened == [PHOTO]


def test_predict_takes_folders_and_patterns_and_explains_its_reasons(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    shutil.copy(PHOTO, tmp_path / "in" / "b.jpg")
    (tmp_path / "in" / "a.txt").write_text("no image")
    given = [str(tmp_path / part) for part in ("in", "*/*.jpg", "gone.png")]  # the pattern adds nothing
    out = ["--out", str(tmp_path / "x.csv"), "--model", "default"]
    assert main(["predict", *given, *out]) == 1  # two can't be read
    printed = capsys.readouterr().out
    for reason in ("cannot_decode", "missing"):
        assert f"  {reason}: {REASONS[reason]}\n" in printed
    assert pd.read_csv(tmp_path / "x.csv")["ID"].tolist() == ["a", "b", "gone"]


def test_what_lies_beside_an_image_under_its_name_is_no_photo(tmp_path, capsys):
    shutil.copy(PHOTO, tmp_path / "IMG_1.JPG")
    (tmp_path / "IMG_1.AAE").write_text("a phone's edits")
    assert main(["preprocess", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "1 of 1 images readable" in capsys.readouterr().out
    shutil.copy(PHOTO, tmp_path / "IMG_1.jpeg")
    assert main(["preprocess", str(tmp_path), "--out", str(tmp_path / "again")]) == 0
    told = capsys.readouterr()
    assert "2 of 2 images readable" in told.out
    assert "is 'IMG_1-2'" in told.err


def test_each_thing_that_is_named_is_a_row(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b/deep", "empty"):
        Path(folder).mkdir(parents=True)
    for place in ("a", "b", "b/deep"):
        Path(place, "x.txt").write_text("no image")
    given = ["a", "a/x.txt", "empty", "b", "*.jpg", "n" * 300 + ".jpg"]
    assert main(["predict", *given, "--out", "table.csv", "--model", "default"]) == 1
    told = capsys.readouterr().err
    assert "warning: empty gives no file." in told
    assert "warning: *.jpg gives no file." in told
    assert "1 sub-folder(s) of b are not read" in told
    table = pd.read_csv("table.csv").fillna("")
    assert table["ID"].tolist() == ["a-x", "a-x-2", "empty", "b-x", "*", "n" * 300]
    assert table["reasons"].ne("").all()
    assert main(["predict", "b", "--recursive", "--out", "table.csv", "--model", "default"]) == 1
    assert pd.read_csv("table.csv")["ID"].tolist() == ["b-x", "deep-x"]


def test_a_folder_that_may_not_be_looked_into_takes_nothing_along(tmp_path, capsys, monkeypatch):
    (tmp_path / "closed").mkdir()

    def refuse(folder):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr("os.scandir", refuse)
    assert (
        main(["predict", str(tmp_path / "closed"), str(PHOTO), "--model", "default", "--out", str(tmp_path / "x.csv")])
        == 1
    )
    assert "closed can't be looked into: Permission denied" in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "x.csv")["readable"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("library", "command"),
    [
        ("papermill", ["run", "--profile", "smoke", "--only", "01"]),
        ("wfdb", ["generate", "--out", "x", "--data", "ptbxl"]),
        ("timm", ["predict", str(PHOTO)]),
        ("nicegui", ["app"]),
        ("distributed", ["generate", "--out", "x", "--cluster", "10.0.0.5:8786"]),
    ],
)
def test_a_library_that_is_missing_is_one_sentence(tmp_path, library, command):
    write_ptbxl_folder(tmp_path / "ptbxl", n=1)
    hidden = (
        f"import sys; sys.modules[{library!r}] = None; from ecgutils.__main__ import main; sys.exit(main({command}))"
    )
    environment = {**os.environ, "ECG_RUNS": str(tmp_path), "PYTHONPATH": str(PHOTO.parents[1])}
    done = subprocess.run([sys.executable, "-c", hidden], cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if line and not line.startswith("rendering: 0")]
    assert error.startswith("error: ")
    assert f"pip install {library}" in error or f"{command[0]} needs {library}" in error


def test_a_check_of_the_challenge_folder_needs_no_wfdb(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ecgutils.signals", None)
    assert main(["check", "bhf", str(tmp_path)]) == 2
    assert "train" in capsys.readouterr().err


def test_a_name_with_signs_of_mathematics_can_be_drawn(tmp_path):
    names = [os.path.join(os.fsencode(tmp_path), name) for name in (b"a$x_$.jpg", b"b$\\x{\xe9$.jpg")]
    for name in names:
        Path(os.fsdecode(name)).write_text("no image")
    overlay = ["--overlay", str(tmp_path / "overlay"), "--model", "default"]
    assert main(["predict", *map(os.fsdecode, names), *overlay]) == 1
    assert len(list((tmp_path / "overlay").glob("*.png"))) == 2


def test_a_name_that_is_not_utf8_costs_nothing_but_its_letter(tmp_path):
    shutil.copy(PHOTO, os.path.join(os.fsencode(tmp_path), b"foto_\xe9.jpg"))
    out = ["--out", str(tmp_path / "x.csv"), "--overlay", str(tmp_path / "overlay"), "--model", "default"]
    assert main(["predict", str(tmp_path / "foto*"), *out]) == 0
    assert pd.read_csv(tmp_path / "x.csv")["ID"].tolist() == ["foto_\ufffd"]
    assert len(list((tmp_path / "overlay").iterdir())) == 1
    (tmp_path / "in").mkdir()
    shutil.copy(PHOTO, os.path.join(os.fsencode(tmp_path / "in"), b"foto_\xe9.jpg"))
    command = ["preprocess", str(tmp_path / "in"), "--out", str(tmp_path / "flat")]
    assert main([*command, "--report", str(tmp_path / "review.html")]) == 0
    assert "foto_\ufffd.jpg" in (tmp_path / "review.html").read_text(encoding="utf-8")


def test_places_of_a_run_mean_the_same_to_the_notebooks_and_are_read_first(tmp_path, monkeypatch, capsys):
    given = {}
    monkeypatch.setattr("ecgutils.run.run_notebooks", lambda profile, changes, *_: given.update(changes) or tmp_path)
    joined = []
    monkeypatch.setattr("ecgutils.parallel.join_cluster", joined.append)
    monkeypatch.setenv("ECG_CLUSTER", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECG_RUNS", "out")
    (tmp_path / "w.safetensors").touch()
    photos = [f"{name}/{i}.png" for i in range(6) for name in ("MI", "normal")]
    for photo in map(Path, photos):
        photo.parent.mkdir(exist_ok=True)
        photo.write_text(f"photo {photo}")
    Path("photos.csv").write_text("path,MI\n" + "".join(f"{photo},{int('MI' in photo)}\n" for photo in photos))
    options = ["--set", "pretrained=w.safetensors", "--photos-test", "photos.csv"]
    assert main(["run", "--profile", "smoke", "--bhf", "photos.csv", *options]) == 2  # each photo is in both
    assert not given
    assert "Leakage" in capsys.readouterr().err
    command = ["run", "--profile", "smoke", "--bhf", "photos.csv", *options[:2], "--cluster", "10.0.0.5:8786"]
    assert main(command) == 0
    assert joined == ["10.0.0.5:8786"] == [os.environ["ECG_CLUSTER"]]
    assert given == {"photos": str(tmp_path / "photos.csv"), "pretrained": str(tmp_path / "w.safetensors")}
    assert "results are ungrouped" in capsys.readouterr().out
    assert os.environ["ECG_RUNS"] == str(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({3: "3.png,maybe,p3"}, "photos.csv: MI is 'maybe' in line 5; use 0, 1, true, false or empty (unknown)."),
        ({3: "2.png,1,p2"}, "path is '2.png' in line 5; that photo is listed above; keep one row."),
        ({3: "3.png,1,p3,test", 4: "4.png,0,p0,test"}, "1 patient(s) are in both train and test, e.g. p0"),
        ({i: f"{i}.png,1,p{i}" for i in range(30)}, "No finding is 0 in some photos to learn from and 1 in others"),
        ({i: f"{i}.jpg,1,p{i}" for i in range(30)}, "none of its 30 photos is there"),
    ],
    ids=["label", "listed twice", "patient", "one class", "paths"],
)
def test_labels_that_stop_a_run_are_one_sentence_before_it_begins(tmp_path, monkeypatch, capsys, changes, words):
    monkeypatch.setattr("ecgutils.run.run_notebooks", lambda *_: pytest.fail("the run has begun"))
    rows = {i: f"{i}.png,{i % 2},p{i}" for i in range(30)} | changes
    for i in rows:
        (tmp_path / f"{i}.png").write_text(f"photo {i}")
    text = "path,MI,patient,split\n" + "".join(f"{row}{',train' * (row.count(',') == 2)}\n" for row in rows.values())
    (tmp_path / "photos.csv").write_text(text)
    assert main(["run", "--profile", "smoke", "--photos", str(tmp_path / "photos.csv")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1


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


def test_each_page_of_a_pdf_is_a_row_with_its_picture(tmp_path):
    pages = [Image.open(PHOTO), Image.new("RGB", (400, 300), "white")]
    pages[0].save(tmp_path / "report.pdf", save_all=True, append_images=pages[1:], resolution=150)
    out = ["--out", str(tmp_path / "x.csv"), "--overlay", str(tmp_path / "overlay"), "--model", "default"]
    assert main(["predict", str(tmp_path), *out]) == 1
    table = pd.read_csv(tmp_path / "x.csv")
    assert table["ID"].tolist() == ["report-p1", "report-p2"]
    assert table["readable"].tolist() == [True, False]
    assert sorted(path.name for path in (tmp_path / "overlay").iterdir()) == ["report-p1.png", "report-p2.png"]
    python = predict("default", [tmp_path / "report.pdf"], progress=False)
    np.testing.assert_allclose(python.loc[0, list(FINDINGS)].astype(float), table.loc[0, list(FINDINGS)].astype(float))


def test_probabilities_are_raw_or_of_a_calibration_of_these_weights(tmp_path, capsys):
    def answers(*options):
        assert (
            main(["predict", str(PHOTO), "--model", "default", *options, "--out", str(tmp_path / f"{len(seen)}.csv")])
            == 0
        )
        seen.append(pd.read_csv(tmp_path / f"{len(seen)}.csv"))
        return capsys.readouterr().out

    seen = []
    assert "probabilities are raw" in answers("--raw")
    curves = {finding: {"slope": 0.5, "intercept": 1.0} for finding in FINDINGS}
    weights = (read_params("default")[1]["sha256"],)
    own = Calibration("photos of ward 3", "by patient", 80, dict.fromkeys(FINDINGS, 9), curves, weights)
    own.save(tmp_path / "own.json")
    assert "calibrated on photos of ward 3" in answers("--calibration", str(tmp_path / "own.json"))
    raw, calibrated = (table[list(FINDINGS)].to_numpy() for table in seen)
    np.testing.assert_allclose(calibrated, own.transform(raw))
    assert "calibrated_on" not in seen[0]
    assert seen[1]["calibrated_on"].tolist() == ["photos of ward 3 (80 images, by patient)"]


@pytest.mark.parametrize(("name", "words"), [("other.json", "other weights"), ("none.json", "No calibration at")])
def test_a_calibration_that_does_not_fit_is_one_sentence(tmp_path, capsys, name, words):
    curves = {finding: {"slope": 0.5, "intercept": 1.0} for finding in FINDINGS}
    Calibration("elsewhere", "by patient", 80, dict.fromkeys(FINDINGS, 9), curves, ("0" * 64,)).save(
        tmp_path / "other.json"
    )
    out = tmp_path / "x.csv"
    assert main(["predict", str(PHOTO), "--calibration", str(tmp_path / name), "--out", str(out)]) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ")
    assert words in error
    assert not out.exists()


def test_validate_prints_every_problem_and_fails(tmp_path, capsys):
    path = tmp_path / "submission.csv"
    pd.DataFrame({"ID": [1, 1], "STTC": [0.5, 2], "HYP": 0, "MI": 0, "CD": 0, "AF": 0}).to_csv(path, index=False)
    assert main(["validate", str(path)]) == 1
    assert "2 problem(s)" in capsys.readouterr().out


def test_there_are_five_notebooks_in_order():
    assert [path.name[:2] for path in find_notebooks()] == ["01", "02", "03", "04", "05"]


def test_find_notebooks_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setattr("ecgutils.run.repository_root", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="No numbered notebooks"):
        find_notebooks()
