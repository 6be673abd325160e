"""Do the shipped weights read pages that other programs drew? AUROC on real signals, on scans and plain photos of them.

    ECG_PTBXL=path/to/ptb-xl python benchmarks/foreign_pages.py

Every record is drawn by a plain matplotlib page and, when installed, by `pmecg` (GPL, not a dependency), as an image
and as a photo of it: perspective, a table, uneven light, blur, noise, JPEG, none of it drawn by the package. What
ships is scored, and the pair of simulated hearts alone, as `predict` reads pages, over five slightly moved views each.
Unreadable images count as if they had each finding's share of the records. Writes benchmarks/foreign_pages.json.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import options, ptbxl, scores, write
from conditions import photograph
from render import with_matplotlib, with_pmecg
from tqdm import tqdm

from ecgutils import FINDINGS
from ecgutils.evaluate import bootstrap_auroc
from ecgutils.hearts import load_records
from ecgutils.learn import SHIPPED, SIMULATED, predict
from ecgutils.parallel import for_each
from ecgutils.signals import Record

SIZE = (1730, 950)
DRAWN_BY: dict[str, Callable[[], Callable[[Record, int], np.ndarray]]] = {
    "matplotlib": with_matplotlib,
}
if importlib.util.find_spec("pmecg"):
    DRAWN_BY["pmecg"] = with_pmecg


def draw(record: Record, i: int, program: str, folder: Path) -> None:
    """Write the page and the photo of one record."""
    page, rng = DRAWN_BY[program]()(record, i), np.random.default_rng([7, i])
    blur, noise = rng.uniform((0.4, 1), (1.2, 6))
    photo, _ = photograph(page, rng, SIZE, steep=0.06, cover=0.95, blur=blur, noise=noise, jpeg=88)
    for kind, image in (("scan", page), ("photo", photo)):
        path = folder / program / kind / f"{record.record_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> int:
    parser = options(__doc__, "workers", "data")
    parser.add_argument("--folder", type=Path, help="where the images go; default: a temporary folder")
    args = parser.parse_args()
    records, rows = load_records(0, 0, ptbxl=ptbxl(args)), []
    labels = np.array([[finding in record.findings for finding in FINDINGS] for record in records], np.float32)
    patients = np.array([record.patient_id for record in records])
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        for program in DRAWN_BY:
            pages = [(record, i, program, folder) for i, record in enumerate(records)]
            list(tqdm(for_each(draw, pages, args.workers), total=len(pages), desc=program))
            for kind in ("scan", "photo"):
                paths = [folder / program / kind / f"{record.record_id}.jpg" for record in records]
                networks = {"shipped": SHIPPED, "simulated": SIMULATED}
                tables = {name: predict(members, paths, args.workers, raw=True) for name, members in networks.items()}
                for name, table in tables.items():
                    refused = table[list(FINDINGS)].isna().any(axis=1)
                    p = scores(table, table["ID"], labels)
                    found = bootstrap_auroc(labels, p, patients, rounds=2000, seed=0)
                    about = {"drawn_by": program, "kind": kind, "network": name, "refused": int(refused.sum())}
                    rows += [about | row for row in found.to_dict("records")]
    shown = pd.DataFrame(rows).pivot(
        index=["drawn_by", "kind", "network", "refused"], columns="finding", values="value"
    )
    print(shown[["macro", *FINDINGS]].round(3).to_string())
    write({"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
