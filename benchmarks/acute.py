"""Are acute infarcts seen? python benchmarks/acute.py --data PTBXL [--model FOLDER ...]

300 simulated acute infarcts, of seeds that no training has, and 300 real ECGs of PTB-XL's fold 9 without a finding,
drawn by a program that is not ours (pmecg where it is installed, else matplotlib), read as `predict` reads them. The
threshold of MI is where 95 % of the real ones are below it. Sensitivity by territory and by the largest shift of ST;
misses are infarcts of more than 0.3 mV with a probability of MI below 0.5. Writes benchmarks/acute.json.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import options, ptbxl, write
from foreign_pages import DRAWN_BY
from real_hearts import acute
from tqdm import tqdm

from ecgutils.learn import SHIPPED, predict
from ecgutils.parallel import for_each
from ecgutils.signals import Record, read_ptbxl

N, SEED, FOLD = 300, 909, 9
SPECIFICITY, HIGH_MV, LIKELY = 0.95, 0.3, 0.5
HEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 9.0)  # mV


def draw(record: Record, i: int, program: str, path: Path) -> None:
    """Write one page."""
    cv2.imwrite(str(path), DRAWN_BY[program]()(record, i)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


def main() -> None:
    """Draw, read, count, write."""
    parser = options(__doc__, "data", "workers", "out")
    parser.add_argument("--model", nargs="+", default=list(SHIPPED), help="checkpoint folders; default: those shipped")
    parser.add_argument("--n", type=int, default=N)
    args = parser.parse_args()
    program = "pmecg" if "pmecg" in DRAWN_BY else "matplotlib"
    healthy = [record for record in read_ptbxl(ptbxl(args), 100, folds=[FOLD]) if not record.findings]
    chosen = np.random.default_rng(SEED).permutation(len(healthy))[: args.n]
    records = [*for_each(acute, [(i, SEED) for i in range(args.n)], args.workers), *(healthy[i] for i in chosen)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.jpg" for i in range(len(records))]
        pages = [(record, i, program, path) for i, (record, path) in enumerate(zip(records, paths, strict=True))]
        list(tqdm(for_each(draw, pages, args.workers), total=len(pages), desc=program))
        table = predict(args.model, paths, workers=args.workers)
    sick, well = table[: args.n], table[args.n :]
    threshold = float(well["MI"].quantile(SPECIFICITY))
    infarcts = pd.DataFrame({
        "form": [record.details["forms"]["MI"][0].removeprefix("acute_") for record in records[: args.n]],
        "st_mv": [record.details["st_mv"] for record in records[: args.n]],
        "mi": sick["MI"].to_numpy(), "sttc": sick["STTC"].to_numpy(),
    })  # fmt: skip
    infarcts["seen"] = np.where(infarcts["mi"].isna(), np.nan, infarcts["mi"] > threshold)
    infarcts["height"] = pd.cut(infarcts["st_mv"], HEIGHTS).astype(str)
    high = infarcts[(infarcts["st_mv"] > HIGH_MV) & infarcts["mi"].notna()]
    found = {"drawn_by": program, "models": list(args.model), "refused": int(sick["MI"].isna().sum()),
             "healthy_refused": int(well["MI"].isna().sum()), "threshold": threshold,
             "sensitivity": float(infarcts["seen"].mean()), "high": len(high),
             "high_missed": int((high["mi"] < LIKELY).sum())}  # fmt: skip
    for by in ("form", "height"):
        groups = infarcts.groupby(by).agg(n=("mi", "size"), sensitivity=("seen", "mean"), median_mi=("mi", "median"),
                                          lowest_mi=("mi", "min"), median_sttc=("sttc", "median"))  # fmt: skip
        print(groups.round(3).to_string())
        found[by] = groups.reset_index().to_dict("records")
    print(found)
    write(found, args.out)


if __name__ == "__main__":
    main()
