"""Two stages against one, on PTB-XL's patients: python benchmarks/two_stage_hearts.py FOLDER --data PTBXL

After hearts_pages.py drew "train", "val" and "test" in FOLDER (each record once as a scan, once as a photo). Small
pages, networks from scratch, as many views in each arm; tested on the photos of fold 9, where refused ones count with
the prevalence.
photos  photos of N patients' records alone
same    the scans of *the same* records first, then their photos
all     the scans of *all* records that were drawn first, then the photos of the N
sources the last again, N = 1,000, with scans of one, two or five sources: as many scans, of as many records
Finished trainings are kept in FOLDER/two_stage, so that a stopped run goes on. Writes two_stage_hearts.json.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from common import arm_row, gain, options, scores, write
from hearts_pages import load_part
from real_hearts import hearts

from ecgutils.learn import FitSettings, FlatSet, build_model, fit, load_model, predict_set
from ecgutils.preprocess import PreprocessSettings
from ecgutils.synth import PHOTO_SOURCE, SCAN_SOURCES

SMALL, BACKBONE = PreprocessSettings().reduced((256, 128)), "convnext_atto_ols"
COUNTS, MIDDLE, SOURCES = (300, 1000, 3000, 0), 1000, (1, 2, 5)  # patients' records; 0 = all that were drawn
RATES = {"photos": 2e-3, "scans": 2e-3, "adapted": 1e-3}


def load_small(part: str, folder: Path) -> tuple[FlatSet, np.ndarray]:
    """The images of a part, 384 px wide, made two thirds as large; and their record_id, str (N,)."""
    flat, record = load_part(part, folder, "384")
    return flat.reduced(SMALL), record


class Pages:
    """Scans and photos of the training records, in the order in which they were drawn."""

    def __init__(self, folder: Path, args) -> None:  # noqa: ANN001
        known = hearts(folder, args)
        row_of = {name: i for i, name in enumerate(known["record"].tolist())}
        flat, record = load_small("train", folder)
        targets = known["targets"][[row_of[name] for name in record.tolist()]]
        flat = replace(flat, targets=targets, target_names=tuple(known["names"].tolist()))
        self.number = np.unique(record, return_inverse=True)[1]
        first = np.unique(self.number, return_index=True)[1]
        self.number = np.argsort(np.argsort(first))[self.number]  # 0 = the record that was drawn first
        self.flat, self.photo = flat, flat.sources == PHOTO_SOURCE
        val, test = (load_small(part, folder)[0] for part in ("val", "test"))
        self.val, self.test = (part.subset(part.sources == PHOTO_SOURCE) for part in (val, test))
        self.val_scans = val.subset(val.sources != PHOTO_SOURCE)

    def photos(self, n: int) -> FlatSet:
        """The photos of the first n records; 0 = of all."""
        return self.flat.subset(self.photo & (self.number < (n or len(self.number))))

    def scans(self, n: int, sources: int) -> FlatSet:
        """The scans of the first n records; with fewer `sources` than five always as many, a fifth of all."""
        rows = np.flatnonzero(~self.photo & (self.number < (n or len(self.number))))
        if sources:
            of = [rows[self.flat.sources[rows] == source] for source in SCAN_SOURCES[:sources]]
            each = min(map(len, of)) // sources
            rows = np.concatenate([some[:each] for some in of])
        return self.flat.subset(rows)


def train(pages: Pages, arm: tuple[str, int, int], seed: int, views: list[int], folder: Path) -> np.ndarray:
    """An arm ("photos", "same" or "all", N, sources): its probabilities (n, 5) of the test photos."""
    kind, n, sources = arm
    photos = pages.photos(n)
    stages = [("photos", photos, pages.val, sum(views), f"photos-{n}")]
    if kind != "photos":
        scanned = n if kind == "same" else 0
        name = f"scans-{scanned}-{sources}"
        stages = [("scans", pages.scans(scanned, sources), pages.val_scans, views[0], name)]
        stages += [("adapted", photos, pages.val, views[1], f"{name}-photos-{n}")]
    model = build_model(BACKBONE, SMALL, drop_path=0.1, dropout=0.2, seed=seed)
    for stage, known, val, shown, name in stages:
        how = FitSettings(
            stage=stage, views=shown, batch_size=32, optimizer="muon", lr=RATES[stage], target_weight=1.0, seed=seed,
            layer_decay=0.95 if stage == "adapted" else 1.0, geometry=0.4, appearance=0.3, ema_decay=0.995,
            checkpoint_every=6000, eval_every=6000,
        )  # fmt: skip
        place = folder / "two_stage" / f"{name}-seed-{seed}"
        fit(model, known, val, how, place, resume=True)
        model = load_model(place)
    return scores(predict_set(model, pages.test), pages.test.image_ids, photos.labels)


def main() -> None:
    """Train what isn't there, compare, write."""
    parser = options(__doc__, "data", "workers", "out")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--views", type=int, nargs=2, default=[36_000, 12_000], help="of stage 1, of the adaptation")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="N, with 1000 among them; 0 = all")
    parser.add_argument("--sources", type=int, nargs="*", default=SOURCES, help="how many sources, beside all; or none")
    parser.add_argument("--seeds", type=int, default=1, help="at N = 1,000; the others have one")
    args = parser.parse_args()
    pages = Pages(args.folder, args)
    how = {"clusters": pages.test.cluster_ids, "rounds": 2000, "seed": 0}
    arms = [(kind, n, 0) for n in args.counts for kind in ("photos", "same", "all") if n or kind != "same"]
    arms += [("all", MIDDLE, sources) for sources in args.sources]
    p: dict[tuple[str, int, int], list[np.ndarray]] = {}
    for arm in sorted(arms, key=lambda arm: (arm[2] > 0, arm[1] != MIDDLE)):  # the question itself first
        seeds = range(args.seeds if arm[1:] == (MIDDLE, 0) else 1)
        p[arm] = [train(pages, arm, seed, args.views, args.folder) for seed in seeds]
        row = arm_row(f"{arm[0]}, {arm[1] or 'all'}", pages.test.labels, p[arm], how)
        print(pd.DataFrame([row]).round(3).to_string(index=False, header=False), flush=True)
    rows, differences = [], []
    for (kind, n, sources), found in p.items():
        drawn = n or int(pages.number.max()) + 1
        about = {
            "n": drawn,
            "sources": sources or len(SCAN_SOURCES),
            "scans": 0 if kind == "photos" else len(pages.scans(n * (kind == "same"), sources)),
        }
        rows.append(arm_row(kind, pages.test.labels, found, how) | about)
        against = [("photos", n, 0)] if kind != "photos" else []
        against += [("same", n, 0)] * (kind == "all" and n > 0 and not sources)
        against += [("all", MIDDLE, 1)] * (sources > 1)
        for other in against:
            both = min(len(found), len(p[other]))
            pair = {"arm": kind, "against": other[0], **about, "against_sources": other[2], "seeds": both}
            differences.append(pair | gain(pages.test.labels, found[:both], p[other][:both], how))
    print(pd.DataFrame(differences).round(3).to_string(index=False))
    about = {"views": args.views, "test": len(pages.test), "refused": int((~pages.test.readable).sum())}
    write(about | {"rows": rows, "differences": differences}, args.out)


if __name__ == "__main__":
    main()
