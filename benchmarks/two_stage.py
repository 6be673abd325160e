"""Does morphology learning on scans help on photos? Arms on the same target photos, views and test patients.

    python benchmarks/two_stage.py --profile demo --seeds 3

Needs the image sets of that profile (`python -m ecgutils run --profile demo --only 01 --only 02`). Arms:
single_source  target photos only
two_stage      stage 1 on the scans of the *same* patients, then adaptation to the target photos
pooled         scans of the same patients and target photos together
two_stage_more as two_stage, with the scans of additional patients in stage 1
Finished trainings are kept below the run folder, so an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgutils import FINDINGS
from ecgutils.challenge import fill_unreadable
from ecgutils.files import jsonable, write_json
from ecgutils.learn import (
    FitSettings,
    FlatSet,
    arm_settings,
    bootstrap_auroc,
    build_model,
    fit,
    join_sets,
    load_model,
    load_sets,
    paired_difference,
    predict_set,
)
from ecgutils.learn.params import git_describe
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import Profile, load_profile


def train(profile: Profile, folder: Path, stages: list[tuple[FlatSet, FlatSet, FitSettings]], seed: int) -> Path:
    """Run the stages one after another from one random start; returns the folder of the last."""
    model = None
    for number, (train_set, val_set, settings) in enumerate(stages, start=1):
        out = folder / f"stage{number}"
        if model is None:
            preprocess = PreprocessSettings.from_dict(train_set.preprocess)
            model = build_model(profile.backbone, preprocess, pretrained=profile.imagenet, seed=seed)
        else:
            model = load_model(folder / f"stage{number - 1}")
        fit(model, train_set, val_set, replace(settings, seed=seed), out, resume=True)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    profile = load_profile(args.profile)
    run = profile.run_dir
    scans, target, settings = load_sets(run / "stage1"), load_sets(run / "target"), arm_settings(profile)
    same = {part: s.subset(np.isin(s.cluster_ids, target[part].cluster_ids)) for part, s in scans.items()}
    photos = (target["train"], target["val"])
    arms = {
        "single_source": [(*photos, settings["single_source"])],
        "two_stage": [(same["train"], same["val"], settings["stage1"]), (*photos, settings["two_stage"])],
        "pooled": [
            (join_sets(same["train"], photos[0]), photos[1], replace(settings["single_source"], stage="pooled"))
        ],
        "two_stage_more": [(scans["train"], scans["val"], settings["stage1"]), (*photos, settings["two_stage"])],
    }
    test = target["test"]
    prevalence = dict(zip(FINDINGS, np.nanmean(target["train"].labels, axis=0), strict=True))
    how = {"clusters": test.cluster_ids, "rounds": profile.bootstrap_rounds, "seed": profile.seed}
    p: dict[str, list[np.ndarray]] = {arm: [] for arm in arms}
    for seed in range(args.seeds):
        for arm, stages in arms.items():
            folder = train(profile, run / "benchmark" / f"{arm}-{seed}", stages, seed)
            table = fill_unreadable(predict_set(folder, test), prevalence).set_index("ID")
            p[arm].append(table.loc[test.image_ids, list(FINDINGS)].to_numpy())
    rows = []
    for arm, members in p.items():
        for seed, scores in enumerate(members):
            value = bootstrap_auroc(test.labels, scores, **how).set_index("finding")
            gain = paired_difference(test.labels, scores, p["single_source"][seed], **how).set_index("finding")
            rows.append(
                {
                    "arm": arm,
                    "seed": seed,
                    **{f"macro_{k}": float(value.loc["macro", k]) for k in ("value", "low", "high")},
                    **{f"gain_{k}": float(gain.loc["macro", k]) for k in ("value", "low", "high")},
                    **{finding: float(value.loc[finding, "value"]) for finding in FINDINGS},
                }
            )
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()})
    write_json(
        args.out,
        {
            "command": f"python benchmarks/two_stage.py --profile {args.profile} --seeds {args.seeds}",
            "commit": git_describe(),
            "test": f"{len(test)} photos of {len(set(test.cluster_ids))} patients, 95 % intervals over patients",
            "rows": jsonable(rows),
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
