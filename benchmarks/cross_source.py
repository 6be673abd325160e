"""Does what is learned from some sources of images hold for a source that was never seen?

    python benchmarks/cross_source.py --views 3000

Draws its own simulated patients: 2,400 to learn from, each in one of the six sources in turn, and 300 to test on, each
in all of them. For each source trainings of the same number of views are compared on its test images: on all sources,
on all *but* this one, and on this one *alone* (which is tested on the images of all others too). Finished trainings are
kept below the run folder, so an interrupted benchmark goes on. Writes benchmarks/cross_source.json.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from common import draw, flat_settings, new_model, options, sampling, scores, write

from ecgutils import FINDINGS
from ecgutils.evaluate import bootstrap_auroc
from ecgutils.hearts import load_records
from ecgutils.learn import build_sets, fit, load_sets, predict_set
from ecgutils.parallel import for_each
from ecgutils.profiles import Profile, arm_settings, load_profile
from ecgutils.signals import beat_targets
from ecgutils.synth import PHOTO_SOURCE, SOURCES

PATIENTS = {"train": 2400, "val": 120, "test": 300}
SEED = 3030  # of records and images; no profile uses it


def make_sets(profile: Profile, out: Path) -> None:
    """Draw and flatten what isn't there yet."""
    workers = profile.n_workers
    first = np.cumsum([0, *PATIENTS.values()])
    hearts = list(load_records(int(first[-1]), SEED, prefix="cross", workers=workers))
    tables = {}
    for part, a, b in zip(PATIENTS, first[:-1], first[1:], strict=True):
        drawn = []
        for i, source in enumerate(SOURCES):
            size = profile.photo_size if source == PHOTO_SOURCE else profile.scan_size
            people, name = hearts[a:b] if part == "test" else hearts[a + i : b : len(SOURCES)], f"{part}-{source}.csv"
            drawn.append(draw(people, out / "images" / part, [source], SEED, workers, name, size))
        tables[part] = pd.concat(drawn, ignore_index=True)
    build_sets(out / "sets", tables, flat_settings(profile), workers=workers, targets=beat_targets(hearts))


def train(profile: Profile, name: str, sources: list[str], views: int) -> Path:
    """Train from scratch on these sources, on one thread; returns the checkpoint's folder."""
    sets = load_sets(profile.run_dir / "cross_source/sets")
    some = [sets[part].subset(np.isin(sets[part].sources, sources)) for part in ("train", "val")]
    model = new_model(profile, some[0], profile.seed)
    settings = arm_settings(profile)["stage1"]
    settings = replace(settings, stage="cross", views=views, eval_every=views, checkpoint_every=views, threads=1)
    out = profile.run_dir / "cross_source/checkpoints" / name
    fit(model, *some, settings, out, resume=True, progress=False)
    print(f"done: {name}", flush=True)
    return out


def main() -> int:
    parser = options(__doc__, "profile", "jobs")
    parser.add_argument("--views", type=int, default=3000)
    parser.add_argument("--skip-alone", action="store_true", help="leave out the trainings on one source alone")
    args = parser.parse_args()
    profile, sources = load_profile(args.profile), list(SOURCES)
    make_sets(profile, profile.run_dir / "cross_source")
    test = load_sets(profile.run_dir / "cross_source/sets")["test"]
    chosen = {"all": sources}
    chosen |= {f"without {s}": [other for other in sources if other != s] for s in sources}
    chosen |= {} if args.skip_alone else {f"{s} alone": [s] for s in sources}
    folders = list(for_each(train, [(profile, name, some, args.views) for name, some in chosen.items()], args.jobs))
    rows = []
    for name, folder in zip(chosen, folders, strict=True):
        for source in [name.removeprefix("without ")] if name.startswith("without") else sources:
            seen = test.subset(test.sources == source)
            p = scores(predict_set(folder, seen), seen.image_ids, test.labels)
            auroc = bootstrap_auroc(seen.labels, p, **sampling(profile, seen)).set_index("finding")
            shown = {key: float(auroc.loc["macro", key]) for key in ("value", "low", "high")}
            each = {finding: float(auroc.loc[finding, "value"]) for finding in FINDINGS}
            rows.append({"trained_on": name, "tested_on": source, "n": len(seen), **shown, **each})
    score = {(row["trained_on"], row["tested_on"]): row["value"] for row in rows}
    print(f"{'source':10s}{'all':>8s}{'without':>9s}{'alone':>8s}{'without/own':>13s}{'alone on others':>17s}")
    for s in sources:
        every, without, alone = (score.get((name, s), np.nan) for name in ("all", f"without {s}", f"{s} alone"))
        others = np.mean([score.get((f"{s} alone", other), np.nan) for other in sources if other != s])
        print(f"{s:10s}{every:8.3f}{without:9.3f}{alone:8.3f}{without / np.fmax(every, alone):13.3f}{others:17.3f}")
    write({"sources": sources, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
