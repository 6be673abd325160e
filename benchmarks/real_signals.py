"""Learning from real patients: cross-fitted over four patient-grouped folds of a PTB-XL folder.

    ECG_PTBXL=path/to/ptb-xl python benchmarks/real_signals.py --seeds 3

Every record is photographed twice, and scanned once in every scan-like source; models learn from the other folds'
patients and are tested on one photo of each of their own fold's. Arms, the scores of all four folds pooled:
shipped     the weights as they are, which never saw a patient
scratch     real photos only
two_stage   stage 1 on scans of the *same* real records, then their photos; as many views as scratch
fine_tuned  the shipped weights, then the real photos
mean        the mean of shipped and fine_tuned (first seed)
weighted    all four, blended with weights fitted on the other patients' rows (first seed)
Both scratch and two_stage also, one seed each, with a quarter of the views and with a third of the learning rate, and
two_stage with scans of one source only. Each fold's own calibration is fitted on the other folds' test rows. Finished
trainings are kept below the run folder. Wants a GPU, or hours. Writes benchmarks/real_signals.json.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from ecgutils import FINDINGS
from ecgutils.challenge import blend, cross_blend, fill_unreadable
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

FOLDS, PHOTOS = 4, 2


@dataclass(frozen=True)
class Arm:
    """How an arm is trained: what it starts from ("", "scans" of the same records, or the "shipped" weights), from how
    many scan-like sources (None: all), with which shares of the views and of the learning rate."""

    start: str
    sources: int | None = None
    views: float = 1.0
    lr: float = 1.0


ARMS = {"scratch": Arm(""), "two_stage": Arm("scans"), "fine_tuned": Arm("shipped")}
ABLATED = {
    "scratch, fewer views": Arm("", views=1 / 4),
    "two_stage, fewer views": Arm("scans", views=1 / 4),
    "scratch, lower rate": Arm("", lr=1 / 3),
    "two_stage, lower rate": Arm("scans", lr=1 / 3),
    "two_stage, one source": Arm("scans", sources=1),
}
PAIRS = (("two_stage", "scratch"), ("fine_tuned", "scratch"), ("fine_tuned", "shipped"), ("mean", "shipped"),
         ("mean", "fine_tuned"), ("weighted", "shipped"), ("weighted", "fine_tuned"),
         ("two_stage, fewer views", "scratch, fewer views"), ("two_stage, lower rate", "scratch, lower rate"),
         ("two_stage, one source", "scratch"))  # fmt: skip


def make_sets(folder: str, out: Path, profile: Profile) -> tuple[pd.DataFrame, dict[str, FlatSet]]:
    """The photos' manifest with `photo` (0..PHOTOS-1), and flat pages: "photos" in its order, those same "large", as
    the shipped weights read them, and "scans"."""
    records, workers = load_records(0, 0, ptbxl=folder), profile.n_workers
    tables = []
    for photo in range(PHOTOS):
        name, place = f"photo-{photo}", out / f"photo-{photo}"
        generate_images(records, place, [PHOTO_SOURCE], seed=300 + photo, workers=workers, name=f"{name}.csv")
        table = read_manifest(place / f"{name}.csv")
        tables.append(table.assign(image_id=table["image_id"] + f"-{photo}", photo=photo))
    table = pd.concat(tables, ignore_index=True)
    generate_images(records, out / "scans", profile.scan_sources, seed=300, workers=workers, name="scans.csv")
    small = PreprocessSettings(size=profile.flat_size, px_per_mm=profile.px_per_mm)
    wanted = {
        "photos": (table, small),
        "large": (table, load_model().settings),
        "scans": (read_manifest(out / "scans/scans.csv"), small),
    }
    sets = {}
    for name, (rows, settings) in wanted.items():
        build_sets(out / "sets" / name, {"train": rows}, settings, workers=workers, targets=beat_targets(records))
        sets[name] = load_sets(out / "sets" / name)["train"]
    return table.set_index("image_id").loc[sets["photos"].image_ids].reset_index(), sets


def train(profile: Profile, arm: Arm, known: dict[str, FlatSet], seed: int, out: Path) -> Path:
    """Train one arm, on one thread, on `known`, of whose patients a tenth choose the checkpoint."""
    photos = known["large" if arm.start == "shipped" else "photos"]
    held_out = grouped_folds(photos.labels, photos.cluster_ids, np.array([0.9, 0.1]), profile.seed) == 1
    chosen_on = set(photos.cluster_ids[held_out])
    changes = {"stage1_lr": profile.stage1_lr * arm.lr, "stage2_lr": profile.stage2_lr * arm.lr}
    changes |= {key: round(getattr(profile, key) * arm.views) for key in ("stage1_views", "stage2_views")}
    settings = arm_settings(replace(profile, **changes))
    settings = {name: replace(how, threads=1, seed=seed) for name, how in settings.items()}
    how = {"resume": True, "progress": False}
    if arm.start == "shipped":
        model = load_model()
    else:
        model = build_model(profile.backbone, PreprocessSettings.from_dict(photos.preprocess), seed=seed)
    if arm.start == "scans":
        scans = known["scans"]
        scans = scans.subset(np.isin(scans.sources, profile.scan_sources[: arm.sources]))
        kept = np.array([patient in chosen_on for patient in scans.cluster_ids])
        fit(model, scans.subset(~kept), scans.subset(kept), settings["stage1"], out / "stage1", **how)
    last = settings["two_stage" if arm.start else "single_source"]
    fit(model, photos.subset(~held_out), photos.subset(held_out), last, out / "photos", **how)
    return out / "photos"


def cross_fit(
    arm: Arm, k: int, fold: np.ndarray, first: np.ndarray, sets: dict[str, FlatSet], profile: Profile, seed: int,
    out: Path,
) -> pd.DataFrame:  # fmt: skip
    """Predictions of the model of `arm` that did not see fold `k`, for the first photos of that fold."""
    tested = set(sets["photos"].cluster_ids[fold == k])
    known = {
        name: flat.subset(np.array([patient not in tested for patient in flat.cluster_ids]))
        for name, flat in sets.items()
    }
    folder = train(profile, arm, known, seed, out)
    own = sets["large" if arm.start == "shipped" else "photos"]
    print(f"done: {out.name}", flush=True)
    return predict_set(folder, own.subset(first & (fold == k)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--views", type=int, nargs=2, default=(24_000, 6000), help="of stage 1 and of the real photos")
    parser.add_argument("--batch", type=int, default=32, help="images per gradient step")
    parser.add_argument("--seeds", type=int, default=1, help="of scratch, two_stage and fine_tuned")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    args = parser.parse_args()
    if not os.environ.get("ECG_PTBXL"):
        parser.error("set ECG_PTBXL to a folder in PTB-XL's layout")
    views = {"stage1_views": args.views[0], "stage2_views": args.views[1], "batch_size": args.batch}
    profile, commit = load_profile(args.profile, **views), git_describe()
    out = profile.run_dir / "real_signals"
    table, sets = make_sets(os.environ["ECG_PTBXL"], out, profile)
    flat = sets["photos"]
    fold = grouped_folds(flat.labels, flat.cluster_ids, np.full(FOLDS, 1 / FOLDS), profile.seed)
    first = (table["photo"] == 0).to_numpy()
    test = flat.subset(first)
    truth = table[first].reset_index(drop=True)
    wanted = [(name, arm, seed) for name, arm in ARMS.items() for seed in range(args.seeds)]
    wanted += [(name, arm, 0) for name, arm in ABLATED.items()]
    parts = Parallel(n_jobs=args.jobs)(
        delayed(cross_fit)(arm, k, fold, first, sets, profile, seed, out / f"{name}-{seed}-{k}".replace(", ", "-"))
        for name, arm, seed in wanted
        for k in range(FOLDS)
    )
    tables: dict[str, list[pd.DataFrame]] = {"shipped": [predict_set("default", sets["large"].subset(first))]}
    for i, (name, _, _) in enumerate(wanted):
        tables.setdefault(name, []).append(pd.concat(parts[i * FOLDS : (i + 1) * FOLDS], ignore_index=True))
    members = [tables[name][0] for name in ("shipped", *ARMS)]
    tables |= {"mean": [blend([members[0], members[-1]])], "weighted": [cross_blend(members, truth)]}
    prevalence = dict(zip(FINDINGS, np.nanmean(flat.labels, axis=0), strict=True))
    scores = {}
    for name, seeds in tables.items():
        filled = [fill_unreadable(one, prevalence).set_index("ID") for one in seeds]
        scores[name] = np.stack([one.loc[test.image_ids, list(FINDINGS)].to_numpy() for one in filled])

    how = {"clusters": test.cluster_ids, "rounds": profile.bootstrap_rounds, "seed": profile.seed}
    arms, differences = [], []
    for name, seeds in tables.items():
        auroc = bootstrap_auroc(test.labels, scores[name], **how).set_index("finding")
        curved = cross_calibrate(seeds[0], truth, "photos of these records").set_index("ID")
        calibrated = curved.loc[test.image_ids, list(FINDINGS)].to_numpy()
        seen = ~np.isnan(calibrated).any(axis=1)
        ece = {
            "raw_ece": calibration_error(test.labels[seen], scores[name][0][seen])["ece"].iloc[0],
            "calibrated_ece": calibration_error(test.labels[seen], calibrated[seen])["ece"].iloc[0],
        }
        macro = {f"macro_{key}": auroc.at["macro", key] for key in ("value", "low", "high")}
        arms.append({"arm": name, "seeds": len(seeds), **macro, **auroc["value"].drop("macro"), **ece})
    for a, b in PAIRS:
        n = min(len(scores[a]), len(scores[b]))
        gain = paired_difference(test.labels, scores[a][:n], scores[b][:n], **how).set_index("finding").loc["macro"]
        differences.append({"arm": a, "against": b, "seeds": n, **gain[["value", "low", "high"]]})
    print(pd.DataFrame(arms).round(3).to_string(index=False), pd.DataFrame(differences).round(3), sep="\n\n")
    about = {
        "command": " ".join(["python benchmarks/real_signals.py", *sys.argv[1:]]),
        "commit": commit,
        "views": args.views,
        "batch": args.batch,
        "test": f"{len(test)} photos of {len(set(test.cluster_ids))} patients, {FOLDS} folds pooled",
    }
    write_json(Path(__file__).with_suffix(".json"), jsonable(about | {"arms": arms, "differences": differences}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
