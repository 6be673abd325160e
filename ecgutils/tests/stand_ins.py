"""Small folders in the layout of real data sets, filled with simulated records."""

from __future__ import annotations

from pathlib import Path

import cv2
import pandas as pd
import wfdb

from ecgutils.findings import FINDINGS, LEADS
from ecgutils.hearts import simulate_cohort

_CODES = {"STTC": "NDT", "HYP": "LVH", "MI": "IMI", "CD": "CLBBB", "AF": "AFIB"}
_STATEMENTS = "code,diagnostic,diagnostic_class\nNDT,1,STTC\nLVH,1,HYP\nIMI,1,MI\nCLBBB,1,CD\nNORM,1,NORM\nAFIB,,\n"


def write_ptbxl_folder(root: Path, n: int, seed: int = 5) -> None:
    """`n` simulated records at 500 Hz as a PTB-XL folder; folds 1..10 in turn, one patient each."""
    (root / "records500").mkdir(parents=True)
    rows = []
    for i, record in enumerate(simulate_cohort(n, seed), start=1):
        name = f"{i:05d}_hr"
        wfdb.wrsamp(
            name, fs=500, units=["mV"] * 12, sig_name=list(LEADS), p_signal=record.signal_mv.T.astype(float),
            fmt=["16"] * 12, write_dir=str(root / "records500"),
        )  # fmt: skip
        codes = {_CODES[finding]: 100.0 for finding in sorted(record.findings)} or {"NORM": 100.0}
        rows.append({"ecg_id": i, "patient_id": 1000 + i, "scp_codes": str(codes), "strat_fold": record.fold,
                     "filename_hr": f"records500/{name}"})  # fmt: skip
    pd.DataFrame(rows).to_csv(root / "ptbxl_database.csv", index=False)
    (root / "scp_statements.csv").write_text(_STATEMENTS)


def write_bhf_folder(root: Path, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Images of two manifests in the challenge's layout, numbered from 1 each; the first of either is cut off."""
    for split, table in (("train", train), ("test", test)):
        for i, source in enumerate(table["path"], start=1):
            inner = f"train_{1 + (2 * i > len(table) + 1)}/train_encoded_relabelled" if split == "train" else "test_1"
            path = root / inner / f"{split}_{i:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            png = cv2.imencode(".png", cv2.imread(source))[1].tobytes()
            path.write_bytes(png[: len(png) * 2 // 5] if i == 1 else png)
    labels = train[list(FINDINGS)].astype(int)
    labels.insert(0, "ID", range(1, len(labels) + 1))
    labels.to_csv(root / "train_final.csv", index=False)
