"""Why do scans of the same few real patients teach nothing that their photos don't? One change at a time.

    ECG_PTBXL=path/to/ptb-xl python benchmarks/real_signals_why.py --seeds 1

The arms `scratch` and `two_stage` of real_signals.py, cross-fitted over the same folds with the same views, as they are
and with one thing changed:
simulated_twins     every record replaced by a simulated one with the same findings: as few patients, textbook findings
simulated_mix       every record replaced by a simulated one with findings as `simulate` mixes them: more of the rare
one_source          scans of the first source only
low_rate            a third of both learning rates
no_preprocessing    whole photos and scans, only scaled
one_photo           one photo of each record, not two, as in two_stage.py
simulated_one_photo simulated_mix with one photo of each record
twins_one_photo     simulated_twins with one photo of each record
Finished trainings are kept below the run folder. Writes benchmarks/real_signals_why.json after every change, where the
rows of other changes and of other views stay; each row says its views, seeds, commit and device.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from common import COMMIT, device, options, ptbxl, sampling, scores, write
from real_signals import FOLDS, SEEDED, cross_fit, make_sets
from two_stage import whole_sets

from ecgutils import FINDINGS
from ecgutils.evaluate import grouped_folds, macro_auroc, paired_difference
from ecgutils.hearts import load_records, simulate
from ecgutils.learn import FlatSet
from ecgutils.parallel import for_each
from ecgutils.profiles import Profile, load_profile
from ecgutils.signals import Record

SIMULATED = ("simulated_twins", "simulated_mix", "twins_one_photo", "simulated_one_photo")
ONE_PHOTO = ("one_photo", "twins_one_photo", "simulated_one_photo")
CHANGES = ("none", *SIMULATED, "one_source", "low_rate", "no_preprocessing", "one_photo")
TWIN_SEED = 400  # of signals; no profile and no other benchmark uses it


def twin(record: Record, i: int, same: bool) -> Record:
    """A simulated record with the ids and, with `same`, the findings of a real one."""
    simulated = simulate(np.random.default_rng([TWIN_SEED, i]), record.findings if same else None)
    return replace(simulated, record_id=record.record_id, patient_id=record.patient_id, fold=record.fold)


def changed(change: str, records: list[Record], out: Path, profile: Profile) -> tuple[Profile, dict[str, FlatSet]]:
    """Profile and image sets of a change; the sets of real records are made once."""
    same = "twins" in change
    if change in SIMULATED:
        records = [twin(record, i, same) for i, record in enumerate(records)]
        out = out / ("simulated_twins" if same else "simulated_mix")
    tables, sets = make_sets(records, out, profile)
    if change == "one_source":
        return profile, sets | {"scans": sets["scans"].subset(sets["scans"].sources == profile.scan_sources[0])}
    if change == "low_rate":
        return replace(profile, stage1_lr=profile.stage1_lr / 3, stage2_lr=profile.stage2_lr / 3), sets
    if change == "no_preprocessing":
        return profile, sets | whole_sets({n: sets[n] for n in ("photos", "scans")}, tables, profile.n_workers)
    if change in ONE_PHOTO:
        first = np.array([image_id.endswith("-0") for image_id in sets["photos"].image_ids])
        return profile, sets | {"photos": sets["photos"].subset(first)}
    return profile, sets


def main() -> int:
    parser = options(__doc__, "profile", "jobs", "data")
    parser.add_argument("--views", type=int, nargs=2, default=(4000, 1000), help="of stage 1 and of the photos")
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=CHANGES)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    profile = load_profile(args.profile, stage1_views=args.views[0], stage2_views=args.views[1])
    records, out = load_records(0, 0, ptbxl=ptbxl(args)), profile.run_dir / "real_signals"
    path, views = Path(__file__).with_suffix(".json"), sum(args.views)
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known = before["rows"] if before.get("folds") == FOLDS else []
    rows = {(row["views"], row["change"]): row for row in known}
    for change in args.changes:
        how, sets = changed(change, records, out, profile)
        flat = sets["photos"]
        fold = grouped_folds(flat.labels, flat.cluster_ids, np.full(FOLDS, 1 / FOLDS), profile.seed)
        # one source changes nothing for the arm that sees none
        place = {arm: out / ("none" if change == "one_source" and arm == "scratch" else change) for arm in SEEDED}
        wanted = [(arm, seed) for seed in range(args.seeds) for arm in SEEDED]
        runs = [(how, arm, seed, k, fold, sets, place[arm]) for arm, seed in wanted for k in range(FOLDS)]
        parts = list(for_each(cross_fit, runs, args.jobs))
        p: dict[str, list[np.ndarray]] = {arm: [] for arm in SEEDED}
        for i, (arm, _) in enumerate(wanted):
            p[arm].append(scores(pd.concat(parts[i * FOLDS : (i + 1) * FOLDS]), flat.image_ids, flat.labels))
        a, b = np.stack(p["two_stage"]), np.stack(p["scratch"])
        gain = paired_difference(flat.labels, a, b, **sampling(profile, flat)).set_index("finding")
        means = {arm: float(np.mean([macro_auroc(flat.labels, one) for one in p[arm]])) for arm in SEEDED}
        differences = {**gain.loc["macro", ["value", "low", "high"]], **gain["value"][list(FINDINGS)]}
        how_run = {"views": views, "seeds": args.seeds, "commit": COMMIT, "device": device()}
        row = {"change": change, **how_run, **means, **differences}
        rows[views, change] = row
        print(pd.DataFrame([row]).round(3).to_string(index=False), flush=True)
        ordered = sorted(rows, key=lambda key: (key[0], CHANGES.index(key[1])))
        write({"folds": FOLDS, "rows": [rows[key] for key in ordered]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
