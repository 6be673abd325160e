"""Do the shipped weights read pages that other programs drew? AUROC on real signals, on scans and plain photos of them.

    ECG_PTBXL=path/to/ptb-xl python benchmarks/foreign_pages.py

Every record is drawn by a plain matplotlib page and, when installed, by `pmecg` (GPL, not a dependency), as an image
and as a photo of it: perspective, a table, uneven light, blur, noise, JPEG, none of it drawn by the package. Each
network that ships is scored, and the mean of both, as `predict` reads them, over five slightly moved views of a page.
Unreadable images count with the mean of the others. Writes benchmarks/foreign_pages.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from conditions import photograph
from joblib import Parallel, delayed
from render import with_matplotlib, with_pmecg
from tqdm import tqdm

from ecgutils import FINDINGS
from ecgutils.evaluate import blend, bootstrap_auroc, fill_unreadable
from ecgutils.files import jsonable, write_json
from ecgutils.hearts import load_records
from ecgutils.learn import SHIPPED, predict
from ecgutils.provenance import git_describe
from ecgutils.signals import Record

SIZE = (1730, 950)
DRAWN_BY: dict[str, Callable[[], Callable[[Record, int], np.ndarray]]] = {
    "matplotlib": with_matplotlib,
}
if importlib.util.find_spec("pmecg"):
    DRAWN_BY["pmecg"] = with_pmecg


def draw(record: Record, i: int, program: str, folder: Path) -> None:
    """Write the page and the photo of one record."""
    cv2.setNumThreads(1)
    page, rng = DRAWN_BY[program]()(record, i), np.random.default_rng([7, i])
    blur, noise = rng.uniform((0.4, 1), (1.2, 6))
    photo, _ = photograph(page, rng, SIZE, steep=0.06, cover=0.95, blur=blur, noise=noise, jpeg=88)
    for kind, image in (("scan", page), ("photo", photo)):
        path = folder / program / kind / f"{record.record_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the images go; default: a temporary folder")
    args = parser.parse_args()
    if not os.environ.get("ECG_PTBXL"):
        parser.error("set ECG_PTBXL to a folder in PTB-XL's layout")
    records, rows = load_records(0, 0, ptbxl=os.environ["ECG_PTBXL"]), []
    labels = np.array([[finding in record.findings for finding in FINDINGS] for record in records], np.float32)
    patients = np.array([record.patient_id for record in records])
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        for program in DRAWN_BY:
            jobs = [delayed(draw)(record, i, program, folder) for i, record in enumerate(records)]
            list(tqdm(Parallel(n_jobs=2, return_as="generator")(jobs), total=len(jobs), desc=program))
            for kind in ("scan", "photo"):
                paths = [folder / program / kind / f"{record.record_id}.jpg" for record in records]
                tables = {name: predict(name, paths, workers=2, raw=True) for name in SHIPPED}
                tables["both"] = blend(list(tables.values()))
                for name, table in tables.items():
                    refused = table[list(FINDINGS)].isna().any(axis=1)
                    mean = table[list(FINDINGS)].mean().to_dict()
                    p = fill_unreadable(table, mean)[list(FINDINGS)].to_numpy()
                    found = bootstrap_auroc(labels, p, patients, rounds=2000, seed=0)
                    about = {"drawn_by": program, "kind": kind, "network": name, "refused": int(refused.sum())}
                    rows += [about | row for row in found.to_dict("records")]
    shown = pd.DataFrame(rows).pivot(
        index=["drawn_by", "kind", "network", "refused"], columns="finding", values="value"
    )
    print(shown[["macro", *FINDINGS]].round(3).to_string())
    command = " ".join(["python benchmarks/foreign_pages.py", *sys.argv[1:]])
    write_json(
        Path(__file__).with_suffix(".json"), {"command": command, "commit": git_describe(), "rows": jsonable(rows)}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
