"""The same road on real signals and real photos; skipped where the environment names none."""

from __future__ import annotations

import json

import pandas as pd

from ecgutils import FINDINGS
from ecgutils.manifest import read_manifest

from .conftest import needs_folder


def test_ptbxl_signals_go_through_the_notebooks(command, tmp_path):
    folder = needs_folder("ECG_PTBXL")
    small = ("--set", "n_records=48", "--set", "stage1_views=64", "--set", "stage2_views=64")
    command("run", "--profile", "smoke", "--signals", "ptbxl", "--data", str(folder), *small, runs=tmp_path)
    run = tmp_path / "smoke-ptbxl"
    assert (run / "submission.txt").is_file()
    assert set(read_manifest(run / "target" / "test.csv")["signal_source"]) == {"ptbxl"}
    learned = json.loads((run / "checkpoints/two_stage/params.json").read_text())["run"]["trained_on"]
    assert learned.count("PTB-XL hearts") == 2
    assert "simulated" not in learned


def test_every_real_photo_gets_a_row(command, tmp_path):
    photos = sorted(path for path in needs_folder("ECG_PHOTOS").iterdir() if path.is_file())
    out = tmp_path / "predictions.csv"
    to = ("--out", str(out), "--overlay", str(tmp_path / "overlay"))
    told = command("predict", *map(str, photos), *to, runs=tmp_path, expect=1)  # some are no 12-lead ECG
    table = pd.read_csv(out, dtype={"ID": str})
    assert table["readable"].mean() >= 0.9
    reasons = table["reasons"].dropna().str.split(";").explode().str.split(" ").str[0].unique()
    assert all(f"  {reason}: " in told for reason in reasons)
    assert list(table["ID"]) == [path.stem for path in photos]
    assert table.loc[table["readable"], list(FINDINGS)].notna().all(axis=None)
    assert len(list((tmp_path / "overlay").glob("*.png"))) == len(photos)
