"""Small folders in the layout of real data sets, filled with simulated records."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import wfdb

from ecgutils.findings import FINDINGS, LEADS
from ecgutils.hearts import simulate, simulate_cohort
from ecgutils.signals import Record
from ecgutils.synth import Rendered, render_photo, render_scan
from ecgutils.targets.ecg_image_kit import GRID_MM

_CODES = {"STTC": "NDT", "HYP": "LVH", "MI": "IMI", "CD": "CLBBB", "AF": "AFIB"}
_SNOMED = {"STTC": 164934002, "HYP": 164873001, "MI": 164865005, "CD": 59118001, "AF": 164889003}
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
        rows.append({**_ptbxl_row(i, 1000 + i, record, record.fold), "filename_hr": f"records500/{name}"})
    _write_ptbxl_tables(root, rows)


def _ptbxl_row(ecg_id: int, patient: int, record: Record, fold: int) -> dict[str, object]:
    codes = {_CODES[finding]: 100.0 for finding in sorted(record.findings)} or {"NORM": 100.0}
    return {"ecg_id": ecg_id, "patient_id": patient, "scp_codes": str(codes), "strat_fold": fold}


def _write_ptbxl_tables(root: Path, rows: list[dict[str, object]]) -> None:
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


def _cohort(n: int) -> list[tuple[np.random.Generator, Record]]:
    """`n` hearts, in turn with MI, no finding, MI and STTC, CD; each with a generator to draw its pages by."""
    rngs = [np.random.default_rng([11, i]) for i in range(n)]
    wanted = ({"MI"}, frozenset(), {"STTC", "MI"}, {"CD"})
    return [(rng, simulate(rng, wanted[i % len(wanted)])) for i, rng in enumerate(rngs)]


def _write(path: Path, page: Rendered) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), page.image[..., ::-1])


def write_genecg_folder(root: Path, n: int) -> pd.DataFrame:
    """`n` records as GenECG has them, a clean page in A and a photo in B, with PTB-XL's two tables above.

    Two records a patient, two patients a fold, from 6 to 10 in turn.
    Returns a row per image: name, patient, fold, findings as 0 and 1.
    """
    rows, images = [], []
    for i, (rng, record) in enumerate(_cohort(n), start=1):
        patient, fold = (i + 1) // 2, 6 + (i - 1) // 4 % 5
        rows.append(_ptbxl_row(i, patient, record, fold))
        for part, draw in (("A", render_scan), ("B", render_photo)):
            own = (rng, "office", (770, 595)) if part == "A" else (rng, None, (960, 528))
            _write(root / part / f"{i:05d}_hr_1R.png", draw(record, *own))
            known = {"name": f"{part}-{i:05d}_hr_1R", "patient": f"ptbxl-{patient}", "fold": fold}
            images.append(known | _labels(record))
    _write_ptbxl_tables(root, rows)
    return pd.DataFrame(images)


def write_kit_folder(root: Path, n: int, pages: int = 2) -> pd.DataFrame:
    """`n` records as ECG-Image-Kit has them: pages, each with its JSON, beside a header with SNOMED codes.

    Returns a row per page: name, record, findings as 0 and 1.
    """
    rows = []
    for i, (rng, record) in enumerate(_cohort(n), start=1):
        name = f"{i:05d}_hr"
        for k in range(pages):
            page = render_scan(record, rng, "vector", (770, 595))
            height, width = page.image.shape[:2]
            about = {"width": width, "height": height, "x_grid": GRID_MM * page.px_per_mm, "rotate": 0, "crop": 0.0}
            _write(root / f"{name}-{k}.png", page)
            (root / f"{name}-{k}.json").write_text(json.dumps(about))
            rows.append({"name": f"{name}-{k}", "record": name, **_labels(record)})
        codes = ",".join(str(_SNOMED[finding]) for finding in sorted(record.findings)) or "426783006"
        (root / f"{name}.hea").write_text(f"{name} 12 500 5000\n# Dx: {codes}\n")
    return pd.DataFrame(rows)


def _labels(record: Record) -> dict[str, int]:
    return {finding: int(finding in record.findings) for finding in FINDINGS}
