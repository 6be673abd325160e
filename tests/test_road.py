"""The whole road in the smoke profile: images -> flat pages -> three arms -> submission."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from ecgutils import FINDINGS
from ecgutils.challenge import validate_submission
from ecgutils.evaluate import Calibration
from ecgutils.learn.checkpoint import read_params
from ecgutils.manifest import read_manifest
from ecgutils.tests.stand_ins import write_bhf_folder, write_genecg_folder, write_kit_folder, write_ptbxl_folder

from .conftest import ROOT


def submission_of(run: Path) -> pd.DataFrame:
    return pd.read_csv(Path((run / "submission.txt").read_text().strip()), dtype={"ID": str})


def write_challenge(folder: Path, run: Path, test_folds: tuple[int, ...]) -> None:
    """The photos of a run as a challenge's folder."""
    photos = read_manifest(run / "images" / "photo.csv")
    test = photos["fold"].isin(test_folds)
    write_bhf_folder(folder, photos[~test], photos[test])


def test_five_notebooks_are_executed_without_errors(smoke_run):
    notebooks = sorted((smoke_run / "notebooks").glob("*.ipynb"))
    assert [path.name[:2] for path in notebooks] == ["01", "02", "03", "04", "05"]
    for path in notebooks:
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert not [out for cell in cells for out in cell.outputs if out.output_type == "error"]


def test_submission_has_every_test_id_once_and_validates(smoke_run):
    path = Path((smoke_run / "submission.txt").read_text().strip())
    expected = read_manifest(smoke_run / "target" / "submit.csv")["image_id"]
    assert validate_submission(path, list(expected)) == []
    table = submission_of(smoke_run)
    assert sorted(table["ID"]) == sorted(expected)
    assert table[list(FINDINGS)].to_numpy().min() >= 0
    assert table[list(FINDINGS)].to_numpy().max() <= 1


def test_arms_saw_the_same_number_of_views(smoke_run):
    views = {
        arm: json.loads((smoke_run / "checkpoints" / arm / "params.json").read_text())["views"]
        for arm in ("stage1", "two_stage", "single_source", "from_shipped")
    }
    assert views["stage1"] + views["two_stage"] == views["single_source"]
    assert views["from_shipped"] == views["two_stage"]


def test_weights_say_what_each_stage_learned_from(smoke_run):
    told = {
        arm: json.loads((smoke_run / "checkpoints" / arm / "params.json").read_text())["run"]["trained_on"]
        for arm in ("stage1", "two_stage", "single_source", "from_shipped")
    }
    assert told["stage1"] == "rendered scans of 38 simulated hearts"  # of three folds of the 60, and of 20 more
    assert told["single_source"] == "rendered photos of 18 simulated hearts"
    assert told["two_stage"] == f"{told['stage1']}, then {told['single_source']}"
    shipped = read_params("small")[1]["run"]["trained_on"]
    assert told["from_shipped"] == f"{shipped}, then {told['single_source']}"


def test_the_calibration_names_the_networks_of_the_ensemble(smoke_run):
    networks = (smoke_run / "checkpoints/from_shipped", "small")
    known = tuple(read_params(network)[1]["sha256"] for network in networks)
    assert Calibration.load(smoke_run / "checkpoints/calibration.json").models == known


def test_what_was_shipped_is_far_better_than_what_a_minute_teaches(smoke_run):
    arms = json.loads((smoke_run / "results_04.json").read_text())
    macro = {arm: arms[arm][0]["value"] for arm in ("single_source", "from_shipped", "small")}
    assert min(macro["from_shipped"], macro["small"]) > macro["single_source"] + 0.1


def test_no_patient_is_both_learned_from_and_tested_on(smoke_run):
    learned = pd.concat([read_manifest(smoke_run / folder / "train.csv") for folder in ("stage1", "target")])
    tested = read_manifest(smoke_run / "target" / "test.csv")
    assert not set(learned["patient_id"]) & set(tested["patient_id"])


def test_stage_1_killed_and_resumed_ends_as_if_never_interrupted(smoke_run, command, tmp_path):
    run = tmp_path / "smoke"
    shutil.copytree(smoke_run, run, ignore=shutil.ignore_patterns("checkpoints", "notebooks"))
    arguments = [sys.executable, "-m", "ecgutils", "run", "--profile", "smoke", "--only", "03"]
    process = subprocess.Popen(
        arguments, cwd=ROOT, env={**os.environ, "ECG_RUNS": str(tmp_path)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    checkpoint = run / "checkpoints" / "stage1" / "resume.pt"
    deadline, written = time.monotonic() + 240, set()
    while len(written) < 3:  # the first is written before the first step
        if checkpoint.exists():
            written.add(checkpoint.stat().st_mtime_ns)
        assert process.poll() is None, "stage 1 finished before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (run / "checkpoints" / "stage1" / "model.safetensors").exists()
    time.sleep(3)  # the orphaned kernel notices within a second or two and exits
    command("run", "--profile", "smoke", "--only", "03", "--resume", runs=tmp_path)
    assert not checkpoint.exists()
    histories = [
        pd.read_csv(folder / "checkpoints" / "stage1" / "history.csv").drop(columns="seconds", errors="ignore")
        for folder in (smoke_run, run)
    ]
    pd.testing.assert_frame_equal(*histories, rtol=0, atol=1e-9)


def test_resume_skips_finished_notebooks(smoke_run, command):
    output = command("run", "--profile", "smoke", "--resume", runs=smoke_run.parent)
    assert output.count("finished before, skipped") == 5


def test_a_folder_in_the_bhf_layout_goes_through(smoke_run, command, tmp_path):
    folder = tmp_path / "bhf"
    write_challenge(folder, smoke_run, test_folds=(9, 10))
    views = ("--set", "stage1_views=64", "--set", "stage2_views=64")
    command("run", "--profile", "smoke", "--bhf", str(folder), *views, runs=tmp_path)
    run = tmp_path / "smoke-photos"
    table = submission_of(run)
    numbers = [int(path.stem.split("_")[-1]) for path in folder.glob("test_*/**/*.png")]
    assert sorted(table["ID"].astype(int)) == sorted(numbers)
    made = json.loads(Path((run / "submission.txt").read_text().strip()).with_suffix(".json").read_text())
    assert len(made["filled_with_training_prevalence"]) >= 1  # the damaged test image is named, not lost


@pytest.fixture
def run_photos(smoke_run, command, tmp_path):
    """Takes labelled photos through the smoke profile; returns what was printed and the run's folder.

    Notebooks 01 and 03 do the same whatever the photos are, so they are not run again.
    """

    def run(photos: Path) -> tuple[str, Path]:
        folder = tmp_path / "smoke-photos"
        left = shutil.ignore_patterns("target", "notebooks", "t*_stage", "single*", "from_*", "figures", "results*")
        shutil.copytree(smoke_run, folder, ignore=left)
        views = ("--set", "stage1_views=16", "--set", "stage2_views=16", "--set", "bootstrap_rounds=20")
        only = [argument for number in ("02", "04", "05") for argument in ("--only", number)]
        return command("run", "--profile", "smoke", "--photos", str(photos), *views, *only, runs=tmp_path), folder

    return run


def check_a_set(written: pd.DataFrame, counts: dict[str, int], run: Path) -> dict[str, pd.DataFrame]:
    """A set of photos came out as it was written: IDs, labels and counts; submission, scores and report are there."""
    parts = {part: read_manifest(run / "target" / f"{part}.csv").set_index("image_id") for part in counts}
    assert {part: len(table) for part, table in parts.items()} == counts
    known = written.set_index("name")
    read = pd.concat([parts[part] for part in ("train", "val", "test")])
    assert sorted(read.index) == sorted(known.index)
    for part, table in parts.items():
        seen = table[list(FINDINGS)].notna().all() if part in ("train", "val") else np.full(len(FINDINGS), True)
        shown = np.array(FINDINGS)[seen]
        np.testing.assert_array_equal(table[shown], known.loc[table.index, shown])
    path = Path((run / "submission.txt").read_text().strip())
    assert validate_submission(path, list(parts["submit"].index)) == []
    assert list(submission_of(run)["ID"]) == sorted(parts["test"].index)
    scores = {row["finding"]: row for row in json.loads((run / "results_05.json").read_text())["auroc mean"]}
    assert 0 <= scores["MI"]["value"] <= 1
    assert scores["MI"]["n"] == counts["test"]
    report = (run / "figures" / "02_review_test.html").read_text()
    assert all(f"<b>{name}</b>" in report for name in parts["test"].index)
    return parts


def test_images_of_ptbxl_records_go_through(run_photos, tmp_path):
    written = write_genecg_folder(tmp_path / "genecg", 20)
    told, run = run_photos(tmp_path / "genecg")
    parts = check_a_set(written, {"train": 24, "val": 8, "test": 8, "submit": 8}, run)
    for part, folds in (("train", {6, 7, 8}), ("val", {9}), ("test", {10})):
        own = written.set_index("name").loc[parts[part].index]
        assert set(parts[part]["fold"]) == set(own["fold"]) == folds
        assert parts[part]["patient_id"].tolist() == own["patient"].tolist()
    assert "ungrouped" not in told
    assert json.loads((run / "results_05.json").read_text())["protocol"] == "disjoint by patient"


def test_pages_of_the_kit_go_through(run_photos, tmp_path):
    written = write_kit_folder(tmp_path / "kit", 20)
    told, run = run_photos(tmp_path / "kit")
    parts = check_a_set(written, {"train": 32, "val": 4, "test": 4, "submit": 4}, run)
    records = [set(parts[part]["record_id"]) for part in ("train", "val", "test")]
    assert len(set.union(*records)) == sum(map(len, records)) == 20  # both pages of a record are in one part
    assert "SNOMED codes that are none of the five findings: 426783006." in told
    assert "results are ungrouped" in told
    assert json.loads((run / "results_05.json").read_text())["protocol"] == "ungrouped"


def test_a_table_of_photos_with_three_findings_goes_through(smoke_run, run_photos, tmp_path):
    photos = read_manifest(smoke_run / "images" / "photo.csv").head(30)[["path", "MI", "CD", "AF"]]
    photos["MI"] = [i % 2 for i in range(30)]  # so few photos need labels that every part has
    photos.loc[28, "path"] = "lost.jpg"
    photos.loc[29, ["MI", "CD", "AF"]] = np.nan
    photos.to_csv(tmp_path / "photos.csv", index=False)
    told, run = run_photos(tmp_path / "photos.csv")
    assert "results are ungrouped" in told
    assert told.partition("submission:")[2].count("no label of HYP is known") == 1  # said again beside the answer
    table, learned = submission_of(run).set_index("ID"), read_manifest(run / "target" / "train.csv")
    unlabelled = Path(photos["path"][29]).stem
    assert unlabelled in table.index
    assert unlabelled not in set(learned["image_id"])
    files = [run / f"predictions/{name}-submit.csv" for name in ("from_shipped", "small")]
    networks = [pd.read_csv(file, dtype={"ID": str}).set_index("ID") for file in files]
    known_before = np.mean([answers.loc[table.index, "HYP"] for answers in networks], axis=0)
    readable = networks[0].loc[table.index, "readable"].to_numpy()
    assert readable.any()
    np.testing.assert_allclose(table["HYP"][readable], known_before[readable], atol=1e-6)  # no constant, left raw
    said = nbformat.read(run / "notebooks" / "05_ensemble_submission.ipynb", 4)
    outputs = " ".join(str(out.get("text", "")) for cell in said.cells for out in cell.get("outputs", []))
    assert "HYP: 0 of 0 labelled photos have it: not learned from them" in outputs
    made = json.loads(Path((run / "submission.txt").read_text().strip()).with_suffix(".json").read_text())
    assert made["provenance"]["labels"]["HYP"] == 0 < made["provenance"]["positives"]["MI"]
    results = json.loads((run / "results_05.json").read_text())
    assert results["protocol"] == "ungrouped"
    scores = {row["finding"]: row["value"] for row in results["auroc mean"]}
    assert scores["HYP"] is None
    assert 0 <= scores["MI"] <= 1


def test_full_profile_takes_two_steps_on_stand_in_folders(smoke_run, command, tmp_path):
    ptbxl, bhf = tmp_path / "ptbxl", tmp_path / "bhf"
    write_ptbxl_folder(ptbxl, n=10)
    write_challenge(bhf, smoke_run, test_folds=(10,))
    # the profile's own backbone would write checkpoints of gigabytes
    small = ("--set", "backbone=convnext_atto", "--set", "max_steps=2", "--set", "batch_size=2",
             "--set", "bootstrap_rounds=20")  # fmt: skip
    command("run", "--profile", "full", "--data", str(ptbxl), "--bhf", str(bhf), *small, runs=tmp_path)
    params = json.loads((tmp_path / "full" / "checkpoints" / "two_stage" / "params.json").read_text())
    assert params["views"] == 4
    assert len(submission_of(tmp_path / "full")) > 0
