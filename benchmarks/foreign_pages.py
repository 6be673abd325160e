"""Do the shipped weights read pages that other programs drew as well as ours? AUROC on PTB-XL's fold 9.

    python benchmarks/foreign_pages.py --data PTBXL

The first --n records are drawn by our scan sources in turn, by a plain matplotlib page and, where it is installed, by
`pmecg` (GPL, not a dependency), each as an image and as a photo of it: perspective, a table, uneven light, blur, noise,
JPEG, none of it drawn by the package. What ships is scored as `predict` reads pages, and each program against ours, on
the same records. Unreadable images count as if they had each finding's share of the records. Writes
benchmarks/foreign_pages.json.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import gain, options, ptbxl, scores, write
from conditions import photograph
from render import with_matplotlib, with_pmecg
from tqdm import tqdm

from ecgutils import FINDINGS
from ecgutils.evaluate import bootstrap_auroc
from ecgutils.learn import SHIPPED, predict
from ecgutils.parallel import for_each
from ecgutils.signals import Record, read_ptbxl
from ecgutils.synth import SCAN_SOURCES, render_scan

SIZE, FOLD = (1730, 950), 9


def with_ours() -> Callable[[Record, int], np.ndarray]:
    """Our scan sources in turn, at their own sizes."""
    return lambda record, i: (
        render_scan(record, np.random.default_rng([8, i]), source=SCAN_SOURCES[i % len(SCAN_SOURCES)]).image
    )


DRAWN_BY: dict[str, Callable[[], Callable[[Record, int], np.ndarray]]] = {
    "ours": with_ours,
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


def main() -> None:
    """Draw, read, compare, write."""
    parser = options(__doc__, "workers", "data", "out")
    parser.add_argument("--n", type=int, default=500, help="records")
    parser.add_argument("--folder", type=Path, help="where the images go; default: a temporary folder")
    args = parser.parse_args()
    records = list(read_ptbxl(ptbxl(args), 100, folds=[FOLD]))[: args.n]
    labels = np.array([[finding in record.findings for finding in FINDINGS] for record in records], np.float32)
    how = {"clusters": np.array([record.patient_id for record in records]), "rounds": 2000, "seed": 0}
    rows, against = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder, p = args.folder or Path(temporary), {}
        for program in DRAWN_BY:
            pages = [(record, i, program, folder) for i, record in enumerate(records)]
            list(tqdm(for_each(draw, pages, args.workers), total=len(pages), desc=program))
            for kind in ("scan", "photo"):
                paths = [folder / program / kind / f"{record.record_id}.jpg" for record in records]
                table = predict(SHIPPED, paths, args.workers, raw=True)
                p[program, kind] = scores(table, table["ID"], labels)
                about = {"drawn_by": program, "kind": kind, "refused": int((~table["readable"]).sum())}
                found = bootstrap_auroc(labels, p[program, kind], **how)
                rows += [about | row for row in found.to_dict("records")]
                against += [about | gain(labels, [p[program, kind]], [p["ours", kind]], how)]
    shown = pd.DataFrame(rows).pivot(index=["drawn_by", "kind", "refused"], columns="finding", values="value")
    print(shown[["macro", *FINDINGS]].round(3).to_string(), pd.DataFrame(against).round(3).to_string(), sep="\n")
    write({"rows": rows, "against_ours": against}, args.out)


if __name__ == "__main__":
    main()
