"""Calibrate and test networks on PTB-XL's real hearts; ship them: python benchmarks/real_hearts_test.py FOLDER

    python benchmarks/real_hearts_test.py FOLDER --ship small=FOLDER/small default=FOLDER/more+FOLDER/fine

FOLDER holds the pages of hearts_pages.py ("val" of fold 8, "test" of fold 9), each record once as a photo and once as a
scan. The networks that ship are calibrated on the photos of fold 8 and tested on fold 9, which nothing was chosen on,
as `predict` reads pages: the mean of five slightly moved views; beside them those of simulated hearts alone, whose
probabilities stay calibrated on simulated ones. A refused page counts with each finding's share of
fold 8. `--ship NAME=CHECKPOINT` first makes a training's result, or the mean of several, one of the
networks that ship.
`--only` keeps what real_hearts.json says of the others. Writes ecgutils/weights/ and benchmarks/real_hearts.json.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from common import options, prevalence, ship, write
from hearts_pages import CANVASES, load_part

from ecgutils import FINDINGS
from ecgutils.evaluate import (
    Calibration,
    blend,
    bootstrap_auroc,
    calibration_error,
    fill_unreadable,
    fit_calibration,
    join_truth,
)
from ecgutils.export import export
from ecgutils.files import write_bytes
from ecgutils.learn import REAL, SIMULATED, ExportedModel, FlatSet, find_calibration, load_exported, predict_set
from ecgutils.learn.checkpoint import SHIPPED_FOLDER, read_params
from ecgutils.manifest import make_manifest
from ecgutils.preprocess.pipeline import VERSION
from ecgutils.synth import PHOTO_SOURCE

DOMAIN = "photo-like renders of PTB-XL's fold 8"
PTBXL = "PTB-XL (Wagner et al., Scientific Data 2020, doi:10.1038/s41597-020-0495-6; CC BY 4.0)"
CARD = """# {name}

{backbone}, input {width} x {height} px at {px_per_mm} px/mm, half precision.
Learned from {trained_on}: {ptbxl}.
Training: `python benchmarks/real_hearts.py` at commit {commit}, {views} pages shown, {seconds:.0f} s on {device},
beginning with {pretrained_status}. sha256 of `model.safetensors`: `{sha256}`.
Scores are in [the card of all](../README.md).
"""

ALL_CARD = """# Shipped weights

`python -m ecgutils predict` uses `default`, which learned from **real patients**: {ptbxl}, folds 1 to 7.
`small` learned from them, too, reads pages of about half as many pixels, and is what a notebook trains further.
`--model simulated` uses the pair in [simulated](simulated/README.md), which no patient's signal was in: for whoever
wants that, and for competitions whose test set may be drawn from PTB-XL's records, which these weights have seen.

AUROC on PTB-XL's fold 9, which nothing was chosen on, with 95 % intervals, by patient: each record once as a photo and
once as a scan, both drawn by our renderer (`python benchmarks/real_hearts_test.py`, pre-processing version {version});
unreadable ones count with the prevalence. ECE is the expected calibration error, the largest of the five. Rows of fewer
records were kept from an earlier run, of an older version.

{table}

`calibration.json` (Platt's, per finding) was fitted on {calibrated}; what belongs to `simulated`, on simulated
hearts. Neither says anything about a hospital.

What they can't do: they are small networks, patients of one German centre taught and tested them, and five findings are
not all of cardiology. PTB-XL has few **acute infarcts**: simulated ones were added, whose ST elevation is MI, as PTB-XL
codes it, and neither taught as STTC nor as its absence.
Research software, not a medical device. *If none of the five findings is reported, the ECG may still be abnormal.*
"""


def truth_of(flat: FlatSet) -> pd.DataFrame:
    """A manifest of the labels and patients of a set."""
    labels = dict(zip(FINDINGS, flat.labels.T, strict=True))
    return make_manifest(flat.image_ids, "pages", patient_id=flat.cluster_ids, **labels)


@cache
def quick(name: str) -> ExportedModel:
    """A network in ONNX Runtime, which takes half of PyTorch's time on a CPU; `export` checks that it answers alike."""
    with tempfile.TemporaryDirectory() as folder:
        export([name], Path(folder, "onnx"))
        return load_exported(Path(folder, "onnx"))[0]


class Pages:
    """The pages of a part, of one kind, at every size."""

    def __init__(self, part: str, folder: Path, photos: bool) -> None:
        sets = {canvas: load_part(part, folder, canvas)[0] for canvas in CANVASES}
        self.sets = {
            tuple(flat.preprocess["size"]): flat.subset((flat.sources == PHOTO_SOURCE) == photos)
            for flat in sets.values()
        }
        self.truth, self.answers = truth_of(next(iter(self.sets.values()))), {}

    def read(self, names: tuple[str, ...]) -> pd.DataFrame:
        """Raw predictions, the mean of the networks."""
        for name in set(names) - set(self.answers):
            model = quick(name)
            self.answers[name] = predict_set(model, self.sets[model.settings.size], views=True)
        tables = [self.answers[name] for name in names]
        return blend(tables) if len(tables) > 1 else tables[0]


def calibrate(names: tuple[str, ...], pages: Pages) -> Calibration:
    """Fit the probabilities of the mean of some networks."""
    return fit_calibration(pages.read(names), pages.truth, DOMAIN, [read_params(name)[1]["sha256"] for name in names])


def score(table: pd.DataFrame, truth: pd.DataFrame, share: dict[str, float]) -> dict[str, Any]:
    """AUROC with intervals, and the calibration error, of calibrated predictions."""
    refused = int(table[FINDINGS[0]].isna().sum())
    scored = join_truth(fill_unreadable(table, share), truth)
    rows = bootstrap_auroc(scored.y, scored.p, scored.clusters, rounds=2000, seed=0)
    errors = calibration_error(scored.y, scored.p)
    return {
        "n": len(table),
        "refused": refused,
        "auroc": rows.to_dict("records"),
        "calibration": errors.to_dict("records"),
    }


def main() -> None:
    """Ship, calibrate, test, write."""
    parser = options(__doc__, "out")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ship", nargs="+", default=[], metavar="NAME=CHECKPOINT")
    parser.add_argument("--only", nargs="+", metavar="NAME", help='such as "default"; without it all')
    args = parser.parse_args()
    for pair in args.ship:
        name, _, checkpoint = pair.partition("=")
        first, *others = checkpoint.split("+")
        about = ship(Path(first), SHIPPED_FOLDER / name, others)
        write_bytes(SHIPPED_FOLDER / name / "README.md", CARD.format(name=name, ptbxl=PTBXL, **about).encode())
    fold8 = Pages("val", args.folder, photos=True)
    share = prevalence(fold8.truth[list(FINDINGS)].to_numpy(float))
    own = ("simulated", *SIMULATED)  # calibrated on simulated hearts, and left so
    groups = {name: (name,) for name in REAL} | {"simulated": SIMULATED} | {name: (name,) for name in SIMULATED}
    tested = args.only or list(groups)
    curves = {name: find_calibration(members)[0] for name, members in groups.items() if name in own}
    curves |= {name: calibrate((name,), fold8) for name in REAL if name in tested}
    columns = ["pages of fold 9", "networks", "n (refused)", "macro", *FINDINGS, "largest ECE"]
    path = args.out or Path(__file__).with_name("real_hearts.json")
    results = json.loads(path.read_text())["results"] if args.only else {}
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for kind, photos in (("photos", True), ("scans", False)):
        pages = Pages("test", args.folder, photos)
        for name, members in groups.items():
            if name in tested:
                results[f"{kind}, {name}"] = score(curves[name].apply(pages.read(members)), pages.truth, share)
            found = results[f"{kind}, {name}"]
            values = [f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for row in found["auroc"]]
            worst = max(row["ece"] for row in found["calibration"][1:])
            about = [kind, name, f"{found['n']} ({found['refused']})", *values, f"{worst:.3f}"]
            lines.append("| " + " | ".join(about) + " |")
            print(lines[-1], flush=True)
    write({"domain": DOMAIN, "share": share, "results": results}, path)
    for name in set(REAL) & set(tested):
        curves[name].save(SHIPPED_FOLDER / name / "calibration.json")
    words = {"ptbxl": PTBXL, "version": VERSION, "calibrated": find_calibration("default")[0].describe()}
    card = ALL_CARD.format(**words, table="\n".join(lines))
    write_bytes(SHIPPED_FOLDER / "README.md", card.encode())


if __name__ == "__main__":
    main()
