"""How much does each photo effect cost? Macro-AUROC by effect and severity, on the same simulated records.

    python benchmarks/robustness.py --model default

Every effect of `ecgutils.synth.EFFECTS` alone, at each severity, on an otherwise clean photo of the same page; then
all of them together. Only the effect differs from the clean photo, so the change is paired. Layout and grid colour of
the page vary over the records: the second table is over all photos, by these. Sized for ten minutes on two cores.
Writes benchmarks/robustness.json, .csv, _groups.csv and .png.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from common import options, scores, write

from ecgutils import FINDINGS
from ecgutils.evaluate import auroc_by_group, bootstrap_auroc, paired_difference
from ecgutils.files import write_bytes
from ecgutils.hearts import simulate_cohort
from ecgutils.learn import FlatSet, load_model, predict_set
from ecgutils.learn.checkpoint import read_params
from ecgutils.parallel import for_each
from ecgutils.plots import plot_robustness, show
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.signals import Record
from ecgutils.synth import EFFECTS, render_photo

STAGE = 60  # separates this random stream from those of other steps with the same seed
Condition = tuple[str, float]  # effect ("clean", one of EFFECTS, or "all together") and severity


def flatten_all(
    record: Record, row: int, seed: int, conditions: list[Condition], settings: PreprocessSettings
) -> list[dict]:
    """One record under every condition: the same page, the same random stream of each effect."""
    preprocess = Preprocessor(settings)
    rows = []
    for effect, severity in conditions:
        strength = severity if effect == "all together" else {effect: severity} if severity else 0.0
        photo = render_photo(record, np.random.default_rng([seed, STAGE, row]), strength)
        flat = preprocess(photo.image)
        known = {"layout": photo.style["layout"], "grid colour": grid_colour(photo.style)}
        seen = {"image": flat.image, "readable": flat.readable, "quality": flat.quality}
        rows.append({"row": row, "effect": effect, "severity": severity, **known, **seen})
    return rows


def grid_colour(style: dict) -> str:
    """Name of the printed grid's hue."""
    r, g, b = (int(v) for v in style["major_rgb"])
    if max(r, g, b) - min(r, g, b) < 25:
        return "grey"
    return ("red or orange", "green", "blue")[int(np.argmax([r, g, b]))]


def main() -> int:
    parser = options(__doc__, "workers", "out")
    parser.add_argument("--model", default="default", help="checkpoint folder")
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--severities", type=float, nargs="+", default=[0.5, 1.0])
    parser.add_argument("--seed", type=int, default=1234, help="of records and photos; none of the profiles uses it")
    parser.add_argument("--rounds", type=int, default=1000)
    args = parser.parse_args()
    out, start = args.out or Path(__file__).with_suffix(".json"), time.perf_counter()
    model = load_model(args.model)
    conditions = [("clean", 0.0), *((e, s) for e in (*EFFECTS, "all together") for s in args.severities)]
    records = list(simulate_cohort(args.records, args.seed))
    tasks = [(record, i, args.seed, conditions, model.settings) for i, record in enumerate(records)]
    photos = pd.DataFrame([row for rows in for_each(flatten_all, tasks, args.workers) for row in rows])
    labels = np.array([[f in r.findings for f in FINDINGS] for r in records], np.float32)
    flat = FlatSet(
        images=np.stack(photos.pop("image")),
        labels=labels[photos["row"]],
        image_ids=np.array([f"{r.row}-{r.effect}-{r.severity}" for r in photos.itertuples()]),
        cluster_ids=photos["row"].to_numpy().astype(str),
        sources=photos["effect"].to_numpy(str),
        readable=photos["readable"].to_numpy(bool),
        grouped=True,
        preprocess=model.settings.to_dict(),
    )
    p = scores(predict_set(model, flat), flat.image_ids, labels)  # a refused photo counts, as in a submission

    how = {"rounds": args.rounds, "seed": args.seed}
    by_condition = photos.groupby(["effect", "severity"], sort=False).indices
    clean = by_condition["clean", 0.0]
    rows = []
    for (effect, severity), here in by_condition.items():
        macro = bootstrap_auroc(labels, p[here], flat.cluster_ids[clean], **how).iloc[0]
        loss = paired_difference(labels, p[here], p[clean], flat.cluster_ids[clean], **how).iloc[0]
        quality = {"readable": flat.readable[here].mean(), "quality": photos["quality"].iloc[here].mean()}
        change = {f"change_{name}": loss[name] for name in ("value", "low", "high")}
        rows.append({"effect": effect, "severity": severity, **macro[["value", "low", "high"]], **change, **quality})
    effects = pd.DataFrame(rows)
    groups = auroc_by_group(flat.labels, p, flat.cluster_ids, photos[["layout", "grid colour"]], **how)
    seconds = time.perf_counter() - start

    _, params = read_params(args.model)
    about = {
        "weights_sha256": params["sha256"],
        "records": f"{args.records} simulated records, {len(photos)} photos, {args.rounds} rounds, by record",
        "seconds": round(seconds),
    }
    tables = {"effects": effects.to_dict("records"), "groups": groups.to_dict("records")}
    write(about | tables, out)
    write_bytes(out.with_suffix(".csv"), effects.round(4).to_csv(index=False).encode())
    write_bytes(out.with_name(f"{out.stem}_groups.csv"), groups.round(4).to_csv(index=False).encode())
    show(plot_robustness(effects, f"{args.records} simulated records; grey: clean"), out.with_suffix(".png"), 110)
    print(effects.round(3).to_string(index=False), groups.round(3).to_string(index=False), sep="\n\n")
    print(f"{len(photos)} photos in {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
