"""Learning from real patients: cross-fitted over four patient-grouped folds of a PTB-XL folder.

    ECG_PTBXL=path/to/ptb-xl python benchmarks/real_signals.py --views 4000 1000 --views 16000 4000 --seeds 4

Every record is photographed twice, and scanned once in every scan-like source; models learn from the other folds'
patients and are tested on the photos of their own fold's. Arms, the scores of all four folds pooled:
shipped         the weights as they are, which never saw a patient
scratch         real photos only
two_stage       stage 1 on scans of the *same* real records, then their photos; as many views as scratch
two_stage_more  the run's own stage 1 on scans of simulated signals (`python -m ecgutils run --profile demo` has to be
                run before), then the real photos
fine_tuned      the shipped weights, then the real photos
mean            the mean of shipped and fine_tuned
weighted        all five, blended with weights fitted on the other patients' rows
Only scratch and two_stage take more than one seed and one budget of views: what so few patients teach differs more from
seed to seed than from arm to arm. The other arms have the first budget; blends and calibration are of the first seed.
Each fold's own calibration is fitted on the other folds' test rows. Finished trainings are kept below the run folder.
Writes benchmarks/real_signals.json.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from common import arm_row, draw, flat_settings, gain, new_model, options, ptbxl, sampling, scores, write

from ecgutils import FINDINGS
from ecgutils.evaluate import blend, calibration_error, cross_blend, cross_calibrate, grouped_folds
from ecgutils.hearts import load_records
from ecgutils.learn import FlatSet, build_sets, fit, load_model, load_sets, predict_set
from ecgutils.parallel import for_each
from ecgutils.profiles import Profile, arm_settings, load_profile
from ecgutils.signals import Record, beat_targets
from ecgutils.synth import PHOTO_SOURCE

FOLDS, PHOTOS = 4, 2
SEEDED = ("scratch", "two_stage")
TRAINED = (*SEEDED, "two_stage_more", "fine_tuned")
PAIRS = (("two_stage", "scratch"), ("two_stage_more", "scratch"), ("fine_tuned", "scratch"), ("fine_tuned", "shipped"),
         ("mean", "shipped"), ("mean", "fine_tuned"), ("weighted", "shipped"), ("weighted", "fine_tuned"))  # fmt: skip


def make_sets(records: list[Record], out: Path, profile: Profile) -> tuple[dict[str, pd.DataFrame], dict[str, FlatSet]]:
    """Manifests and flat pages: "photos", those same "large", as the shipped weights read them, and "scans"."""
    workers, tables = profile.n_workers, []
    for photo in range(PHOTOS):
        name = f"photo-{photo}"
        table = draw(records, out / name, [PHOTO_SOURCE], 300 + photo, workers, f"{name}.csv")
        tables.append(table.assign(image_id=table["image_id"] + f"-{photo}"))
    table = pd.concat(tables, ignore_index=True)
    small = flat_settings(profile)
    wanted = {
        "photos": (table, small),
        "large": (table, load_model().settings),
        "scans": (draw(records, out / "scans", profile.scan_sources, 300, workers, "scans.csv"), small),
    }
    ordered, sets = {}, {}
    for name, (rows, settings) in wanted.items():
        build_sets(out / "sets" / name, {"train": rows}, settings, workers=workers, targets=beat_targets(records))
        sets[name] = load_sets(out / "sets" / name)["train"]
        ordered[name] = rows.set_index("image_id").loc[sets[name].image_ids].reset_index()
    return ordered, sets


def train(profile: Profile, arm: str, seed: int, known: dict[str, FlatSet], stage1: Path, out: Path) -> Path:
    """Train one arm, on one thread, on `known`, of whose patients a tenth choose the checkpoint."""
    photos = known["large" if arm == "fine_tuned" else "photos"]
    held_out = grouped_folds(photos.labels, photos.cluster_ids, np.array([0.9, 0.1]), profile.seed) == 1
    chosen_on = set(photos.cluster_ids[held_out])
    settings = {name: replace(how, threads=1, seed=seed) for name, how in arm_settings(profile).items()}
    how = {"resume": True, "progress": False}
    model, last = None, settings["two_stage"]
    if arm in ("scratch", "two_stage"):
        model = new_model(profile, photos, seed)
    if arm == "scratch":
        last = settings["single_source"]
    elif arm == "two_stage":
        kept = np.array([patient in chosen_on for patient in known["scans"].cluster_ids])
        scans = known["scans"].subset(~kept), known["scans"].subset(kept)
        fit(model, *scans, settings["stage1"], out / "stage1", **how)
    else:
        model = load_model("default" if arm == "fine_tuned" else stage1)
    fit(model, photos.subset(~held_out), photos.subset(held_out), last, out / "photos", **how)
    return out / "photos"


def cross_fit(
    profile: Profile, arm: str, seed: int, k: int, fold: np.ndarray, sets: dict[str, FlatSet], out: Path
) -> pd.DataFrame:
    """Predictions for the photos of fold `k` by the model of an arm that did not see that fold."""
    tested = set(sets["photos"].cluster_ids[fold == k])
    known = {
        name: flat.subset(np.array([patient not in tested for patient in flat.cluster_ids]))
        for name, flat in sets.items()
    }
    views = profile.stage1_views + profile.stage2_views
    folder = train(profile, arm, seed, known, profile.run_dir / "checkpoints/stage1", out / f"{arm}-{views}-{seed}-{k}")
    own = sets["large" if arm == "fine_tuned" else "photos"]
    print(f"done: {out.name}, {arm}, {views} views, seed {seed}, fold {k}", flush=True)
    return predict_set(folder, own.subset(fold == k))


def main() -> int:
    parser = options(__doc__, "profile", "jobs", "data")
    parser.add_argument(
        "--views", type=int, nargs=2, action="append", help="of stage 1 and of the real photos; repeat for more budgets"
    )
    parser.add_argument("--seeds", type=int, default=1, help=f"of {' and '.join(SEEDED)}")
    args = parser.parse_args()
    budgets = [tuple(pair) for pair in args.views or [(4000, 1000)]]
    profile = load_profile(args.profile)
    out = profile.run_dir / "real_signals"
    tables_of, sets = make_sets(load_records(0, 0, ptbxl=ptbxl(args)), out, profile)
    table, flat = tables_of["photos"], sets["photos"]
    fold = grouped_folds(flat.labels, flat.cluster_ids, np.full(FOLDS, 1 / FOLDS), profile.seed)
    wanted = [(arm, seed, views) for views in budgets for seed in range(args.seeds) for arm in SEEDED]
    wanted += [(arm, 0, budgets[0]) for arm in TRAINED if arm not in SEEDED]
    runs = [
        (replace(profile, stage1_views=views[0], stage2_views=views[1]), arm, seed, k, fold, sets, out)
        for arm, seed, views in wanted
        for k in range(FOLDS)
    ]
    parts = list(for_each(cross_fit, runs, args.jobs))
    tables: dict[str, list[pd.DataFrame]] = {"shipped": [predict_set("default", sets["large"])]}
    for i, (arm, _, views) in enumerate(wanted):
        name = arm if views == budgets[0] else f"{arm}, {sum(views)} views"
        tables.setdefault(name, []).append(pd.concat(parts[i * FOLDS : (i + 1) * FOLDS], ignore_index=True))
    firsts = {name: tables[name][0] for name in ("shipped", *TRAINED)}
    tables["mean"] = [blend([firsts["shipped"], firsts["fine_tuned"]])]
    tables["weighted"] = [cross_blend(list(firsts.values()), table)]
    p = {name: [scores(one, flat.image_ids, flat.labels) for one in seeds] for name, seeds in tables.items()}
    how, arms, differences = sampling(profile, flat), [], []
    for name, seeds in tables.items():
        curved = cross_calibrate(seeds[0], table, "photos of these records").set_index("ID")
        calibrated = curved.loc[flat.image_ids, list(FINDINGS)].to_numpy()
        seen = ~np.isnan(calibrated).any(axis=1)
        ece = {
            "raw_ece": calibration_error(flat.labels[seen], p[name][0][seen])["ece"].iloc[0],
            "calibrated_ece": calibration_error(flat.labels[seen], calibrated[seen])["ece"].iloc[0],
        }
        arms.append(arm_row(name, flat.labels, p[name], how) | ece)
    longer = [tuple(f"{arm}, {sum(views)} views" for arm in reversed(SEEDED)) for views in budgets[1:]]
    for a, b in (*PAIRS, *longer):
        n = min(len(p[a]), len(p[b]))
        differences.append({"arm": a, "against": b, "seeds": n, **gain(flat.labels, p[a][:n], p[b][:n], how)})
    print(pd.DataFrame(arms).round(3).to_string(index=False), pd.DataFrame(differences).round(3), sep="\n\n")
    test = f"{len(flat)} photos of {len(set(flat.cluster_ids))} patients, {FOLDS} folds pooled"
    write({"views": budgets, "test": test, "arms": arms, "differences": differences})
    return 0


if __name__ == "__main__":
    sys.exit(main())
