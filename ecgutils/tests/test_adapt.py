"""Fine-tuning on photos of one's own: kept where it is better, else nothing is written."""

import json
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from ecgutils.__main__ import main
from ecgutils.adapt import adapt
from ecgutils.hearts import simulate
from ecgutils.learn import build_model, find_calibration, load_model, predict, save_model
from ecgutils.learn.train import Run
from ecgutils.preprocess import PreprocessSettings, build_cache
from ecgutils.profiles import arm_settings, load_profile
from ecgutils.synth import render_scan
from ecgutils.targets import read_target

SMALL = PreprocessSettings(size=(96, 48), px_per_mm=0.35)
QUICK = replace(
    arm_settings(load_profile("demo"))["from_shipped"], batch_size=8, lr=4e-3, eval_every=32,
    checkpoint_every=32, ema_decay=0.9, threads=1, device="cpu",
)  # fmt: skip
N = 32  # photos
PATIENT = np.arange(N) // 2
KIND = PATIENT % 2  # which of two pages a photo shows
NOISE = PATIENT // 2 % 2  # as often 0 as 1 on either page


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Folder of N photos of one of two pages each, no two with the same noise, and their flat pages."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(3)
    pages = [render_scan(simulate(rng, {finding}), rng, "vector", (800, 600)).image for finding in ("AF", "CD")]
    for i, kind in enumerate(KIND):
        noise = rng.integers(225, 256, pages[kind].shape, np.uint8)
        cv2.imwrite(str(folder / f"{i:02d}.png"), np.minimum(pages[kind], noise))
    build_cache(labelled(folder, MI=KIND).train, folder / "flat", SMALL)
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A checkpoint that says the same of every page."""
    model = build_model("convnext_zepto_rms", SMALL)
    torch.nn.init.zeros_(model.head.classify.weight)
    return str(save_model(model, tmp_path_factory.mktemp("start"), {"run": {"trained_on": "nothing"}}))


@pytest.fixture(scope="module")
def better(photos, start, tmp_path_factory):
    """Where a network was adapted to what can be seen, and what was returned."""
    out = tmp_path_factory.mktemp("better")
    return out, run(photos, out, start, labelled(photos, MI=KIND, AF=0))


def labelled(folder, **columns):
    """The photos as `read_target` reads them, from a CSV."""
    rows = {"path": [f"{i:02d}.png" for i in range(N)], "patient": PATIENT, **columns}
    pd.DataFrame(rows).to_csv(folder / "photos.csv", index=False)
    return read_target(folder / "photos.csv")


def run(photos, out, start, found, folds=3, views=64):
    shutil.copytree(photos / "flat", out / "flat", dirs_exist_ok=True)  # so that no test flattens them again
    return adapt(found, out, start, replace(QUICK, views=views), folds, "two pages")


def test_what_can_be_seen_is_learned(better):
    out, facts = better
    scores = pd.DataFrame(facts["scores"]).set_index("finding")
    assert scores.loc["macro", ["start", "adapted", "n"]].tolist() == [0.5, 1, N]
    assert scores.loc["macro", "low"] > 0
    assert facts["verdict"].startswith("Better")
    assert json.loads((out / "adapt.json").read_text())["verdict"] == facts["verdict"]


def test_predict_takes_what_was_kept_with_its_calibration(better, photos):
    out, _ = better
    table = predict(out, [photos / "00.png", photos / "02.png"], progress=False)
    assert table["MI"][0] < 0.3 < 0.7 < table["MI"][1]
    assert "two pages, cross-fitted" in table["calibrated_on"][0]
    assert "(32 images, by patient; STTC, HYP, CD, AF left raw)" in table["calibrated_on"][0]


def test_a_finding_without_both_classes_is_neither_learned_nor_scored(better):
    out, facts = better
    assert "STTC, HYP, CD, AF: not labelled 0 and 1" in facts["notes"][0]
    scores = pd.DataFrame(facts["scores"]).set_index("finding")
    assert scores["adapted"].dropna().index.tolist() == ["macro", "MI"]
    head = load_model(out).head.classify.weight
    assert [bool(row.any()) for row in head] == [False, False, True, False, False]


def test_labels_that_no_page_shows_leave_nothing_behind(photos, start, tmp_path):
    facts = run(photos, tmp_path, start, labelled(photos, MI=NOISE))
    assert facts["verdict"].startswith("Not better")
    assert "keep" in facts["verdict"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapt.json", "flat", "folds"]


@pytest.mark.parametrize("stage", ["fold 2 of 3", "all folds"])
def test_a_killed_call_goes_on_and_ends_the_same(stage, better, photos, start, tmp_path, monkeypatch):
    honest, trained = Run.batch, []

    def batch(run, at):
        trained.append(run.settings.stage)
        if (run.settings.stage, at) == (stage, 6):
            raise KeyboardInterrupt
        return honest(run, at)

    found = labelled(photos, MI=KIND, AF=0)
    shutil.copytree(better[0] / "folds", tmp_path / "folds")
    if stage != "all folds":
        shutil.rmtree(tmp_path / "folds" / "2")
    with monkeypatch.context() as patch:
        patch.setattr(Run, "batch", batch)
        with pytest.raises(KeyboardInterrupt):
            run(photos, tmp_path, start, found)
    assert set(trained) == {stage}
    assert run(photos, tmp_path, start, found)["scores"][0] == better[1]["scores"][0]
    assert (tmp_path / "model.safetensors").read_bytes() == (better[0] / "model.safetensors").read_bytes()
    assert find_calibration(tmp_path)[0] == find_calibration(better[0])[0]


def test_refused_photos_and_copies_take_no_part_and_the_test_is_left_alone(photos, start, tmp_path):
    for name in photos.glob("*.png"):
        shutil.copy(name, tmp_path)
    shutil.copy(tmp_path / "00.png", tmp_path / "copy.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "00.png").read_bytes()[:2000])
    rows = pd.DataFrame({"path": [f"{i:02d}.png" for i in range(N)], "patient": PATIENT, "MI": NOISE, "split": "train"})
    rows.loc[N - 1, "split"] = "test"
    more = pd.DataFrame({"path": ["copy.png", "torn.png"], "patient": ["a", "b"], "MI": 0, "split": "train"})
    pd.concat([rows[:-2], more, rows[-1:]]).to_csv(tmp_path / "photos.csv", index=False)
    facts = run(photos, tmp_path / "out", start, read_target(tmp_path / "photos.csv"), views=8)
    assert facts["photos"] == 30
    apart = ("1 photo(s) are set apart", "1 photo(s) are refused", "1 photo(s) are copies")
    for said in (*apart, "MI: on fewer than 30 photos, so their scores say little"):
        assert any(said in note for note in facts["notes"])


def test_what_flatters_a_side_is_said(better, photos, tmp_path, monkeypatch):
    start = str(better[0])
    monkeypatch.setattr("ecgutils.learn.checkpoint.REAL", (start,))
    found = labelled(photos, MI=KIND, AF=0)
    found.train["signal_source"], found.train["fold"] = "ptbxl", np.repeat([1, 8], N // 2)
    notes = run(photos, tmp_path, start, found, views=8)["notes"]
    assert any(f"learned from patients of {N // 2} of these photos" in note for note in notes)
    assert any("is adapted already" in note for note in notes)


@pytest.mark.parametrize(
    ("columns", "folds", "words"),
    [
        ({"MI": [0, 1] * 14 + [""] * 4}, 3, "Only 28 of 32 photo(s) have a label: give 30 or more"),
        ({"MI": 1, "AF": 0}, 3, "Only 0 of 32 photo(s) have a label of a finding that is 0 in some photos"),
        ({"MI": KIND}, 2, "2 fold(s) are too few"),
        ({"MI": KIND, "patient": PATIENT % 4}, 5, "4 patient(s) are too few for 5 folds"),
    ],
)
def test_what_cannot_be_compared_is_refused(columns, folds, words, photos, start, tmp_path):
    with pytest.raises(ValueError, match=re.escape(words)):
        run(photos, tmp_path, start, labelled(photos, **columns), folds)
    assert not (tmp_path / "folds").exists()


def test_another_checkpoint_is_never_written_over(photos, start, tmp_path):
    shutil.copytree(start, tmp_path, dirs_exist_ok=True)
    with pytest.raises(ValueError, match="holds another checkpoint"):
        run(photos, tmp_path, start, labelled(photos, MI=KIND))


def test_other_labels_in_the_same_folder_are_refused(better, photos, start):
    before = (better[0] / "adapt.json").read_bytes()
    with pytest.raises(ValueError, match="with other settings: training data"):
        run(photos, better[0], start, labelled(photos, MI=NOISE))
    assert (better[0] / "adapt.json").read_bytes() == before


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("simulated", "give simulated/default or simulated/fine, for which it stands"),
        ("simulated/default", "2 fold(s) are too few"),  # so far its weights are read
    ],
)
def test_of_the_simulated_pair_one_can_be_the_start(start, words, photos, tmp_path, capsys):
    labelled(photos, MI=KIND)
    command = ["adapt", str(photos / "photos.csv"), "--out", str(tmp_path / "out"), "--folds", "2", "--start", start]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_command_prints_what_was_measured(photos, start, tmp_path, capsys):
    labelled(photos, MI=NOISE)
    shutil.copytree(photos / "flat", tmp_path / "flat")
    options = ["--out", str(tmp_path), "--start", start, "--folds", "3", "--views", "16"]
    assert main(["adapt", str(photos / "photos.csv"), *options]) == 0
    printed = capsys.readouterr().out
    assert "In train: no label of AF is known: it can be neither learnt nor scored." in printed
    assert "Not better: adapted, the macro AUROC changes by" in printed
    assert main(["adapt", str(photos / "photos.csv"), *options[:-1], "0"]) == 2
    assert "views" in capsys.readouterr().err
