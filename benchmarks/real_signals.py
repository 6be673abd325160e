"""Learning from real patients: cross-fitted over four patient-grouped folds of a PTB-XL folder.

    ECG_PTBXL=path/to/ptb-xl python benchmarks/real_signals.py

Needs the checkpoints of `benchmarks/ship_weights.py --profile weights`. Every record is photographed three times;
models learn from all three of the other folds' patients and are tested on one of their own fold's. Arms, the scores of
all four folds pooled:
shipped       the weights as they are, which never saw a patient
scratch       real photos only
two_stage     stage 1 on scans of simulated signals, then the real photos
fine_tuned    the shipped weights, then the real photos
mean          the mean of two_stage and fine_tuned
Each fold's own calibration is fitted on the other folds' test rows. Finished trainings are kept below the run folder.
Writes benchmarks/real_signals.json.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecgutils import FINDINGS
from ecgutils.challenge import blend, fill_unreadable
from ecgutils.files import jsonable, write_json
from ecgutils.learn import (
    FlatSet,
    arm_settings,
    bootstrap_auroc,
    build_model,
    build_sets,
    calibration_error,
    cross_calibrate,
    fit,
    grouped_folds,
    load_model,
    load_sets,
    paired_difference,
    predict_set,
)
from ecgutils.learn.params import git_describe
from ecgutils.manifest import read_manifest
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import Profile, load_profile
from ecgutils.signals import beat_targets, load_records
from ecgutils.synth import PHOTO_SOURCE, generate_images

FOLDS, PHOTOS = 4, 3
STARTS = {"scratch": None, "two_stage": "stage1", "fine_tuned": "two_stage"}  # arm -> checkpoint it starts from
PAIRS = (("fine_tuned", "scratch"), ("fine_tuned", "shipped"), ("two_stage", "scratch"), ("mean", "fine_tuned"))


def photograph(folder: str, out: Path, settings: PreprocessSettings, workers: int) -> tuple[pd.DataFrame, FlatSet]:
    """Every record PHOTOS times: the manifest with `photo` (0..PHOTOS-1), and the flat photos in its order."""
    records = load_records(0, 0, ptbxl=folder)
    tables = []
    for photo in range(PHOTOS):
        name, place = f"photo-{photo}", out / f"photo-{photo}"
        generate_images(records, place, [PHOTO_SOURCE], seed=300 + photo, workers=workers, name=f"{name}.csv")
        table = read_manifest(place / f"{name}.csv")
        tables.append(table.assign(image_id=table["image_id"] + f"-{photo}", photo=photo))
    table = pd.concat(tables, ignore_index=True)
    build_sets(out / "sets", {"train": table}, settings, workers=workers, targets=beat_targets(records))
    flat = load_sets(out / "sets")["train"]
    return table.set_index("image_id").loc[flat.image_ids].reset_index(), flat


def train(profile: Profile, arm: str, out: Path, known: FlatSet, views: int) -> Path:
    """Train one arm on `known`, of whose patients a tenth choose the checkpoint."""
    held_out = grouped_folds(known.labels, known.cluster_ids, np.array([0.9, 0.1]), profile.seed) == 1
    kind = "single_source" if STARTS[arm] is None else "two_stage"
    settings = replace(arm_settings(profile)[kind], stage=arm, views=views, eval_every=max(1, views // 4))
    if STARTS[arm] is None:
        model = build_model(profile.backbone, PreprocessSettings.from_dict(known.preprocess), seed=profile.seed)
    else:
        model = load_model(profile.run_dir / "checkpoints" / STARTS[arm])
    fit(model, known.subset(~held_out), known.subset(held_out), settings, out, resume=True)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="weights")
    parser.add_argument(
        "--views", type=int, default=3000, help="of two_stage and fine_tuned; scratch sees twice as many"
    )
    args = parser.parse_args()
    if not os.environ.get("ECG_PTBXL"):
        raise SystemExit("Set ECG_PTBXL to a PTB-XL folder.")
    profile = load_profile(args.profile)
    out = profile.run_dir / "real_signals"
    settings = load_model(profile.run_dir / "checkpoints/two_stage").settings
    table, flat = photograph(os.environ["ECG_PTBXL"], out, settings, profile.n_workers)
    fold = grouped_folds(flat.labels, flat.cluster_ids, np.full(FOLDS, 1 / FOLDS), profile.seed)
    first = (table["photo"] == 0).to_numpy()
    test = flat.subset(first)
    truth = table[first].reset_index(drop=True)
    tables = {"shipped": predict_set("default", test)}
    for arm in STARTS:
        parts = []
        for k in range(FOLDS):
            views = args.views if STARTS[arm] else 2 * args.views
            folder = train(profile, arm, out / f"{arm}-{k}", flat.subset(fold != k), views)
            parts.append(predict_set(folder, flat.subset(first & (fold == k))))
        tables[arm] = pd.concat(parts, ignore_index=True)
    tables["mean"] = blend([tables["two_stage"], tables["fine_tuned"]])
    prevalence = dict(zip(FINDINGS, np.nanmean(flat.labels, axis=0), strict=True))

    def scores(name: str) -> np.ndarray:
        filled = fill_unreadable(tables[name], prevalence).set_index("ID")
        return filled.loc[test.image_ids, list(FINDINGS)].to_numpy()

    how = {"clusters": test.cluster_ids, "rounds": profile.bootstrap_rounds, "seed": profile.seed}
    arms, differences = [], []
    for name, predictions in tables.items():
        auroc = bootstrap_auroc(test.labels, scores(name), **how).set_index("finding")
        curved = cross_calibrate(predictions, truth, "photos of these records").set_index("ID")
        calibrated = curved.loc[test.image_ids, list(FINDINGS)].to_numpy()
        seen = ~np.isnan(calibrated).any(axis=1)
        ece = {
            "raw_ece": calibration_error(test.labels[seen], scores(name)[seen])["ece"].iloc[0],
            "calibrated_ece": calibration_error(test.labels[seen], calibrated[seen])["ece"].iloc[0],
        }
        macro = {f"macro_{key}": auroc.at["macro", key] for key in ("value", "low", "high")}
        arms.append({"arm": name, **macro, **auroc["value"].drop("macro"), **ece})
    for a, b in PAIRS:
        gain = paired_difference(test.labels, scores(a), scores(b), **how).set_index("finding").loc["macro"]
        differences.append({"arm": a, "against": b, **gain[["value", "low", "high"]]})
    print(pd.DataFrame(arms).round(3).to_string(index=False), pd.DataFrame(differences).round(3), sep="\n\n")
    about = {
        "command": f"python benchmarks/real_signals.py --profile {args.profile} --views {args.views}",
        "commit": git_describe(),
        "test": f"{len(test)} photos of {len(set(test.cluster_ids))} patients, {FOLDS} folds pooled",
    }
    write_json(Path(__file__).with_suffix(".json"), jsonable(about | {"arms": arms, "differences": differences}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
