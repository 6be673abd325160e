"""What should stand on the flat page? Trainings on real hearts: python benchmarks/flat_forms.py FOLDER --data PTBXL

Photos and scans of records of folds 1 to 7 are flattened once, and shown in several forms:
printed     the traces where they are printed, about 0.5 mm thick
thick       the same, thickened once more
words       with the words and pulses that the reader finds
arranged    as `predict` shows them: the leads in one order, whatever the page's layout (reader/arrange.py)

`simulated/default`, at 384 x 192, learns from each form for the same number of views, in the same order, and is
tested on photos of patients of fold 8, half of them in layouts other than 3x4. Differences are paired, by patient.
Drawn pages and finished trainings are kept in FOLDER. Writes benchmarks/flat_forms.json.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from common import arm_row, gain, options, ptbxl, write
from tqdm import tqdm

from ecgutils import FINDINGS
from ecgutils.learn import FitSettings, FlatSet, build_model, fit, predict_set, take_weights
from ecgutils.parallel import for_each
from ecgutils.preprocess import PreprocessSettings
from ecgutils.preprocess.pipeline import _read, look
from ecgutils.preprocess.plane import RefusedPage
from ecgutils.signals import Record, read_ptbxl
from ecgutils.synth import SCAN_SOURCES, draw_style, render_page, render_photo, render_scan
from ecgutils.synth.style import LAYOUTS

SEED = 20265
SETTINGS = PreprocessSettings(size=(384, 192), px_per_mm=1.4, arrange=False)
FORMS = ("printed", "thick", "words", "arranged")
USUAL = ("3x4", "3x4+1", "3x4+2", "3x4+3")


def forms(image: np.ndarray) -> tuple[dict[str, np.ndarray], str, str]:
    """uint8 (192, 384) of each form, the layout found, and reasons; empty when refused."""
    _, seen, reading = look(image, SETTINGS)
    page = _read(seen, reading, SETTINGS, None)
    if isinstance(page, RefusedPage):
        return {}, "", ";".join(page.reasons)
    marks = cv2.resize(reading.marks.max(0), page.ink.shape[::-1], interpolation=cv2.INTER_NEAREST)
    words = cv2.copyTo(page.grey, (cv2.dilate(marks, np.ones((5, 5), np.uint8)) > 100).astype(np.uint8))
    bold = cv2.dilate(page.ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    shown = {
        "printed": page,
        "thick": replace(page, ink=bold),
        "words": replace(page, ink=np.maximum(page.ink, words)),
        "arranged": page.arranged(),
    }
    flat = {name: one.on_canvas(*SETTINGS.canvas).image for name, one in shown.items()}
    return flat, page.leads.layout, ";".join(page.reasons)


def draw(record: Record, i: int, part: str) -> dict:
    """Image i of a part, half of them in the layouts of their source; test images are photos."""
    rng = np.random.default_rng([SEED, part == "test", i])
    source = "photo" if part == "test" or i % 2 else SCAN_SOURCES[i // 2 % len(SCAN_SOURCES)]
    aspect = 1280 / 704 if source == "photo" else 1100 / 850
    style = draw_style(rng, source, aspect)
    if i // 2 % 2:
        style = replace(style, layout=str(rng.choice([name for name in LAYOUTS if name not in USUAL])))
    if source == "photo":
        image = render_photo(record, rng, size=(1280, 704), style=style).image
    elif i // 2 % 2:
        image = render_page(record, rng, style, 1100 / style.width_mm).image
    else:
        image = render_scan(record, rng, source).image
    flat, found, why = forms(image)
    labels = [float(finding in record.findings) for finding in FINDINGS]
    about = {"id": f"{part}-{i}", "patient": record.patient_id, "source": source, "layout": style.layout}
    return about | {"labels": labels, "found": found, "why": why, "flat": flat}


def part_of(name: str, n: int, args) -> dict:  # noqa: ANN001
    """Arrays of a part, by form and column; drawn in pieces of 400, which are kept."""
    records = list(read_ptbxl(ptbxl(args), 100, folds=range(1, 8) if name == "train" else [8]))
    order = np.random.default_rng([SEED, 9]).permutation(len(records))
    pieces = []
    for start in tqdm(range(0, n, 400), desc=name):
        path = args.folder / f"{name}-{start}.npz"
        if not path.exists():
            rows = [(records[order[i % len(order)]], i, name) for i in range(start, min(start + 400, n))]
            drawn = [row for row in for_each(draw, rows, args.workers) if row["flat"]]
            columns = {key: np.array([row[key] for row in drawn]) for key in drawn[0] if key != "flat"}
            np.savez(path, **columns, **{form: np.stack([row["flat"][form] for row in drawn]) for form in FORMS})
        pieces.append(dict(np.load(path)))
    return {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}


def as_set(part: dict, form: str) -> FlatSet:
    """One form of a part."""
    readable = np.ones(len(part["id"]), bool)
    return FlatSet(part[form], part["labels"].astype(np.float32), part["id"], part["patient"], part["source"], readable,
                   grouped=True, preprocess=SETTINGS.to_dict())  # fmt: skip


def main() -> None:
    """Draw, train, test, write."""
    parser = options(__doc__, "data", "workers", "out")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--views", type=int, default=8000)
    parser.add_argument("--forms", nargs="+", default=list(FORMS))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    train, test = part_of("train", args.images, args), part_of("test", args.test, args)
    if not args.views:
        return
    usual = np.isin(test["layout"], USUAL)
    groups = {"all": usual | ~usual, "3x4": usual, "other layouts": ~usual}
    settings = FitSettings(
        stage="forms", views=args.views, batch_size=24, optimizer="muon", lr=8e-4, layer_decay=0.95, target_weight=0,
        geometry=0.3, appearance=0, seed=1, checkpoint_every=10**6, eval_every=args.views, ema_decay=0.99,
    )  # fmt: skip
    scores, report = {}, []
    for form in args.forms:
        data, tested = as_set(train, form), as_set(test, form)
        holdout = np.arange(len(data)) % 20 == 0
        lone = ~np.isin(data.cluster_ids, data.cluster_ids[holdout])
        model = build_model("convnext_atto_ols", SETTINGS, seed=1)
        take_weights(model, "simulated/default")
        before = predict_set(model, tested)[list(FINDINGS)].to_numpy()
        fit(model, data.subset(lone), data.subset(holdout), settings, args.folder / form, resume=True)
        scores[form] = predict_set(model, tested)[list(FINDINGS)].to_numpy()
        for name, rows in groups.items():
            how = {"clusters": test["patient"][rows], "rounds": 1000, "seed": 1}
            y = test["labels"][rows]
            row = {"form": form, "images": name, "n": int(rows.sum()), **arm_row(form, y, [scores[form][rows]], how)}
            row["before"] = arm_row(form, y, [before[rows]], how)["macro_value"]
            if form != args.forms[0]:
                row["gain"] = gain(y, [scores[form][rows]], [scores[args.forms[0]][rows]], how)
            report.append(row)
            print({key: value for key, value in row.items() if key not in ("arm", "by_seed", "seeds")}, flush=True)
    write({"views": args.views, "images": len(train["id"]), "rows": report}, args.out)


if __name__ == "__main__":
    main()
