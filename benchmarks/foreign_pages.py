"""Do the shipped weights read pages that other programs drew? AUROC on real signals, on scans and plain photos of them.

    ECG_PTBXL=path/to/ptb-xl python benchmarks/foreign_pages.py

Every record is drawn by a plain matplotlib page and, when installed, by `pmecg` (GPL, not a dependency), as an image
and as a photo of it: perspective, a table, uneven light, blur, noise, JPEG, none of it drawn by the package. Each
network that ships is scored, and the mean of both, one view of each page. Unreadable images count with the mean of the
others. Writes benchmarks/foreign_pages.json.
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
from joblib import Parallel, delayed
from render import with_matplotlib, with_pmecg
from tqdm import tqdm

from ecgutils import FINDINGS
from ecgutils.challenge import blend, fill_unreadable
from ecgutils.files import jsonable, write_json
from ecgutils.learn import SHIPPED, bootstrap_auroc, predict
from ecgutils.learn.params import git_describe
from ecgutils.signals import Record, load_records

SIZE = (1730, 950)
DRAWN_BY: dict[str, Callable[[], Callable[[Record, int], np.ndarray]]] = {
    "matplotlib": with_matplotlib,
}
if importlib.util.find_spec("pmecg"):
    DRAWN_BY["pmecg"] = with_pmecg


def photograph(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A plain photo (H, W, 3) of a page: no bend and no fold, corners up to 8 % of the frame away from its own."""
    width, height = SIZE
    frame = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (width - 1, height - 1)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (width, height)
    fit = 0.5 * (1 - min(1, page.shape[1] / page.shape[0] * height / width))  # table to the page's left and right
    corners = frame + inwards * (rng.uniform(0.01, 0.08, (4, 2)) + np.array([fit, 0]))
    own = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * (page.shape[1] - 1, page.shape[0] - 1)
    homography = cv2.getPerspectiveTransform(own.astype(np.float32), corners.astype(np.float32))
    table = np.full((height, width, 3), rng.uniform(40, 130, 3), np.float32)
    table += cv2.resize(rng.normal(0, 12, (height // 8, width // 2)), (width, height))[..., None]
    soft = cv2.GaussianBlur(page, (0, 0), 0.4 * page.shape[0] / height)
    table = np.clip(table, 0, 255).astype(np.uint8)
    photo = cv2.warpPerspective(soft, homography, SIZE, table, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    light = cv2.resize(rng.uniform(0.55, 1.0, (2, 3)), SIZE, interpolation=cv2.INTER_LINEAR)[..., None]
    photo = photo * light * rng.uniform(0.85, 1.0, 3)
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.4, 1.2)) + rng.normal(0, rng.uniform(1, 6), photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8)


def draw(record: Record, i: int, program: str, folder: Path) -> None:
    """Write the page and the photo of one record."""
    cv2.setNumThreads(1)
    page = DRAWN_BY[program]()(record, i)
    for kind, image in (("scan", page), ("photo", photograph(page, np.random.default_rng([7, i])))):
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
                tables = {name: predict(name, paths, workers=2) for name in SHIPPED}
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
