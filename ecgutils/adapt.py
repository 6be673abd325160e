"""Fine-tuning on a few hundred labelled photos of one's own, of which only what is measured to be better is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgutils.evaluate import auroc_by_finding, fit_calibration, grouped_folds, join_truth, paired_difference
from ecgutils.evaluate.labelled import FEWEST
from ecgutils.files import jsonable, write_json
from ecgutils.findings import FINDINGS
from ecgutils.learn import FitSettings, FlatSet, fit, load_model, predict_set, seen_before, start_from
from ecgutils.learn.checkpoint import PARAMS_NAME, read_params, trained_on
from ecgutils.preprocess import PreprocessSettings, build_cache
from ecgutils.targets import Labelled

FEWEST_PHOTOS = 30  # our own choice: the interval of fewer says next to nothing; of a finding's positives, too
NAME = "adapt.json"


def adapt(
    found: Labelled, out: str | Path, start: str, settings: FitSettings, folds: int, domain: str, workers: int = 1
) -> dict[str, Any]:
    """Train a checkpoint further on labelled photos, and keep the outcome only where it is better on other patients.

    Patients (photos, where they are unknown) are dealt into `folds`. In turn one tests, the next chooses the weights,
    the others are learned from: each photo is predicted by a network that learned from other patients, and by `start`.
    If the macro AUROC is better, the 95 % interval of the paired difference above zero, a last network learns from all
    folds but the first, which chooses.

    found : its `train` takes part, as far as a photo has a label; `test` is left alone.
    out : folder of `adapt.json`, which is what is returned, and of the flat pages and the folds' networks, by which a
        repeated call goes on. If better, it is also a checkpoint, with a `calibration.json` fitted on what the folds'
        networks predicted, if a finding has FEWEST positives and negatives.
    start : as `load_model` takes it. domain : what the photos are, in words. workers : processes that flatten.

    Returns better (bool), verdict (a sentence), notes (sentences), scores (rows "macro" and findings: AUROC adapted and
    start, and `paired_difference`), start (sha256), photos, folds, views, domain.

    Raises ValueError for fewer than FEWEST_PHOTOS readable photos, findings of one class only, fewer than three folds
    or fewer patients than folds, an `out` with another checkpoint or another call's trainings; and as `load_model`.
    """
    out, base, origin = Path(out), load_model(start, device="auto"), read_params(start)[1].get("run", {})
    if folds < 3:
        raise ValueError(f"{folds} fold(s) are too few to learn from, choose and test on: give 3 or more.")
    if (out / PARAMS_NAME).exists() and not (out / NAME).exists():
        raise ValueError(f"{out} holds another checkpoint: give a folder of its own.")
    table, flat, notes = _usable(found, out / "flat", base.settings, workers)
    fold = _dealt(flat, folds, settings.seed)
    if seen := seen_before([start], table).sum():
        notes.append(f"{start} learned from patients of {seen} of these photos: the comparison flatters it.")
    if "adapted_to" in origin:
        notes.append(f"{start} is adapted already: of photos that it learned from then, all scores here are too good.")

    def train(name: str, folder: Path, choosing: int, testing: int, **params: Any) -> None:
        sets = flat.subset(~np.isin(fold, (choosing, testing))), flat.subset(fold == choosing)
        own = replace(settings, stage=name)
        fit(start_from(start, base.settings), *sets, own, folder, resume=True, params=params)

    answers = []
    for k in range(folds):
        folder = out / "folds" / str(k + 1)
        train(f"fold {k + 1} of {folds}", folder, (k + 1) % folds, k)
        answers.append(predict_set(folder, flat.subset(fold == k), views=True))
    adapted = pd.concat(answers, ignore_index=True)
    facts = _compared(adapted, predict_set(base, flat, views=True), table, start, out)
    facts |= {"notes": notes, "start": base.checkpoint[1], "photos": len(table), "folds": folds}
    facts |= {"views": settings.views, "domain": domain}
    write_json(out / NAME, jsonable(facts))
    if facts["better"]:
        train("all folds", out, 0, 0, trained_on=f"{trained_on(start)}, then {domain}", adapted_to=domain)
        positives, negatives = ((flat.labels == label).sum(axis=0) for label in (1, 0))
        if np.minimum(positives, negatives).max() >= FEWEST:
            where = f"{domain}, cross-fitted: by {folds} networks adapted as this one, each to other patients"
            weights = read_params(out)[1]["sha256"]
            fit_calibration(adapted, table, where, [weights], FEWEST).save(out / "calibration.json")
    return facts


def _usable(
    found: Labelled, folder: Path, settings: PreprocessSettings, workers: int
) -> tuple[pd.DataFrame, FlatSet, list[str]]:
    """Manifest and flat pages of what can be learned from and scored, and sentences about what can't."""

    def check(photos: pd.DataFrame, what: str) -> None:
        if len(photos) < FEWEST_PHOTOS:
            said = f"Only {len(photos)} of {len(found.train)} photo(s) {what}"
            raise ValueError(f"{said}: give {FEWEST_PHOTOS} or more, some hundreds if you can.")

    table = found.train[found.train[list(FINDINGS)].notna().any(axis=1)].reset_index(drop=True)
    check(table, "have a label")
    cache = build_cache(table, folder, settings, workers)
    readable = cache.index["readable"]
    twice = readable & cache.index["content_sha256"].duplicated()  # else one copy may be learned and the other tested
    table = table[readable & ~twice]
    check(table, "have a label, can be read and are there once")
    lacking = [finding for finding in FINDINGS if table[finding].nunique() < 2]
    table = table.assign(**dict.fromkeys(lacking, np.nan))
    table = table[table[list(FINDINGS)].notna().any(axis=1)].reset_index(drop=True)
    check(table, "have a label of a finding that is 0 in some photos and 1 in others")
    missing = f"{', '.join(lacking)}: not labelled 0 and 1, so neither learned nor scored"
    few = [finding for finding in FINDINGS if 0 < (table[finding] == 1).sum() < FEWEST_PHOTOS]
    told = {
        f"{len(found.test)} photo(s) are set apart to test on and left alone.": len(found.test),
        f"{(~readable).sum()} photo(s) are refused and take no part.": not readable.all(),
        f"{twice.sum()} photo(s) are copies of others and take no part.": twice.any(),
        f"{missing}; an adapted network may be worse at it.": lacking,
        f"{', '.join(few)}: on fewer than {FEWEST_PHOTOS} photos, so their scores say little.": few,
    }
    return table, FlatSet.from_cache(cache, table), [note for note, is_so in told.items() if is_so]


def _dealt(flat: FlatSet, folds: int, seed: int) -> np.ndarray:
    """Fold of each photo, int (N,) from 0, whole patients; ValueError where a fold would be empty."""
    fold = grouped_folds(flat.labels, flat.cluster_ids, folds, seed)
    if len(set(fold)) < folds:
        patients = len(set(flat.cluster_ids))
        raise ValueError(f"{patients} patient(s) are too few for {folds} folds: give photos of more, or fewer folds.")
    return fold


def _compared(
    adapted: pd.DataFrame, started: pd.DataFrame, table: pd.DataFrame, start: str, out: Path
) -> dict[str, Any]:
    """Better, verdict and scores, as `adapt` returns them."""
    # answers of several networks are ranked together: where their levels differ, that counts against adapting
    new, old = (join_truth(answers, table) for answers in (adapted, started))
    scores = paired_difference(new.y, new.p, old.p, new.clusters)
    for name, of in (("start", old), ("adapted", new)):
        aurocs = auroc_by_finding(of.y, of.p)
        scores.insert(1, name, [aurocs.mean(), *aurocs])
    macro = scores.iloc[0]
    better = bool(macro["low"] > 0)
    by = f"adapted, the macro AUROC changes by {macro['value']:+.3f}, 95 % interval {macro['low']:+.3f} to"
    by += f" {macro['high']:+.3f}, {macro['intervals']}"
    verdict = f"Not better: {by}; no checkpoint is written, keep {start}."
    if better:
        worse = ", ".join(scores["finding"][scores["high"] < 0])
        verdict = f"Better: {by}{f', but {worse} gets worse' if worse else ''}; use it with predict --model {out}"
    return {"better": better, "verdict": verdict, "scores": scores.to_dict("records")}
