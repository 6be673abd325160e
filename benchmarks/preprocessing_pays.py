"""Does pre-processing pay? The same small model and budget on flat pages, and on whole photos scaled to the same size.

    python benchmarks/preprocessing_pays.py --profile weights --views 10000 4000

Needs the images of that profile (`python -m ecgutils run --profile weights --only 01 --only 02`). Both arms learn from
the scans, then from the photos, of the same patients (first and second number of views), and are tested on the photos
of the same test patients; photos that pre-processing refuses count, with the training prevalence. What is finished is
kept below the run folder, so an interrupted benchmark goes on. Writes benchmarks/preprocessing_pays.json.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from ecgutils import FINDINGS
from ecgutils.challenge import fill_unreadable
from ecgutils.files import jsonable, write_json
from ecgutils.learn import (
    FlatSet,
    arm_settings,
    bootstrap_auroc,
    build_model,
    build_sets,
    fit,
    load_model,
    load_sets,
    paired_difference,
    predict_set,
)
from ecgutils.learn.params import git_describe
from ecgutils.manifest import read_manifest, read_targets
from ecgutils.preprocess import PreprocessSettings
from ecgutils.preprocess.decode import read_image
from ecgutils.profiles import Profile, load_profile


def whole(path: str, size: tuple[int, int]) -> np.ndarray:
    """The photo as it is: grey, its aspect kept, scaled to fit into width x height and padded with white."""
    cv2.setNumThreads(1)
    grey = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY)
    scale = min(size[0] / grey.shape[1], size[1] / grey.shape[0])
    width, height = (max(1, round(n * scale)) for n in grey.shape[1::-1])
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    canvas = np.full(size[::-1], 255, np.uint8)
    canvas[top : top + height, left : left + width] = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


def whole_sets(flat: dict[str, FlatSet], tables: dict[str, pd.DataFrame], workers: int) -> dict[str, FlatSet]:
    """The same rows with the whole photo in place of the flat page; all of them count as readable."""
    sets = {}
    for part, rows in flat.items():
        jobs = [delayed(whole)(path, rows.images.shape[:0:-1]) for path in tables[part]["path"]]
        images = list(tqdm(Parallel(n_jobs=workers, return_as="generator")(jobs), total=len(jobs), desc=part))
        sets[part] = replace(rows, images=np.stack(images), readable=np.ones(len(rows), bool))
    return sets


def load(profile: Profile, out: Path) -> dict[str, dict[str, dict[str, FlatSet]]]:
    """Scans and photos (train, val and, of photos, test) of each arm."""
    run, workers = profile.run_dir, profile.n_workers
    targets = read_targets(run / "stage1/targets.npz")
    tables = {part: read_manifest(run / f"target/{part}.csv") for part in ("train", "val", "test")}
    scans = {part: read_manifest(run / f"stage1/{part}.csv") for part in ("train", "val")}
    scans = {part: scan[scan["patient_id"].isin(tables[part]["patient_id"])] for part, scan in scans.items()}
    settings = PreprocessSettings(size=profile.flat_size, px_per_mm=profile.px_per_mm)
    arms: dict[str, dict[str, dict[str, FlatSet]]] = {"pre-processed": {}, "whole photo": {}}
    for name, parts in (("scans", scans), ("photos", tables)):
        build_sets(out / name, parts, settings, workers=workers, targets=targets)
        arms["pre-processed"][name] = load_sets(out / name)
        arms["whole photo"][name] = whole_sets(arms["pre-processed"][name], parts, workers)
    return arms


def train(profile: Profile, sets: dict[str, dict[str, FlatSet]], views: list[int], out: Path) -> Path:
    """Scans, then photos, from scratch, on one thread; returns the checkpoint's folder."""
    settings = arm_settings(profile)
    preprocess = PreprocessSettings.from_dict(sets["scans"]["train"].preprocess)
    model = build_model(profile.backbone, preprocess, seed=profile.seed)
    for stage, arm, name, n in (("scans", "stage1", "scans", views[0]), ("photos", "two_stage", "photos", views[1])):
        how = replace(settings[arm], views=n, eval_every=n, checkpoint_every=n, threads=1)  # last weights, no choice
        fit(model, sets[name]["train"], sets[name]["val"], how, out / stage, resume=True)
        model = load_model(out / stage)
    return out / "photos"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="weights")
    parser.add_argument("--views", type=int, nargs=2, default=(10_000, 4000))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    args = parser.parse_args()
    profile, commit = load_profile(args.profile), git_describe()
    out = profile.run_dir / "preprocessing_pays"
    arms, p = load(profile, out), {}
    jobs = [delayed(train)(profile, sets, list(args.views), out / arm) for arm, sets in arms.items()]
    for (arm, sets), folder in zip(arms.items(), Parallel(n_jobs=args.jobs)(jobs), strict=True):
        test = sets["photos"]["test"]
        prevalence = dict(zip(FINDINGS, np.nanmean(sets["photos"]["train"].labels, axis=0), strict=True))
        table = fill_unreadable(predict_set(folder, test), prevalence).set_index("ID")
        p[arm] = table.loc[test.image_ids, list(FINDINGS)].to_numpy()
    how = {"clusters": test.cluster_ids, "rounds": profile.bootstrap_rounds, "seed": profile.seed}
    rows = [
        {"arm": arm, **row}
        for arm, scores in p.items()
        for row in bootstrap_auroc(test.labels, scores, **how).to_dict("records")
    ]
    gain = paired_difference(test.labels, p["pre-processed"], p["whole photo"], **how)
    rows += [{"arm": "difference", **row} for row in gain.to_dict("records")]
    print(pd.DataFrame(rows)[["arm", "finding", "value", "low", "high"]].round(3).to_string(index=False))
    command = " ".join(["python benchmarks/preprocessing_pays.py", *sys.argv[1:]])
    refused = int((~arms["pre-processed"]["photos"]["test"].readable).sum())
    about = {"command": command, "commit": commit, "test": len(test), "refused": refused}
    write_json(Path(__file__).with_suffix(".json"), about | {"rows": jsonable(rows)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
