"""How good predictions are on photos with labels of one's own: matched by name, scores, worst errors."""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

import numpy as np
import pandas as pd

from ecgutils.evaluate.calibration import calibration_error
from ecgutils.evaluate.metrics import bootstrap_auroc
from ecgutils.evaluate.operating import choose_thresholds, rates_at
from ecgutils.evaluate.predictions import Scored, fill_unreadable, join_truth, prediction_table
from ecgutils.files import page_of
from ecgutils.findings import FINDINGS

FEWEST = 5  # positives, and negatives, of a finding that a number or a curve can rest on


def _stem(name: str) -> str:
    file, number = page_of(PureWindowsPath(name).name)  # both / and \ part folders
    return file.stem + ("" if number is None else f"-p{number}")


def match_truth(predictions: pd.DataFrame, truth: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of both that are about the same images; of the manifest, image_id is now the prediction's ID.

    An image is known by its ID, else by its file's folder and stem ("in-a" is in/a.jpg, see `manifest.image_ids`), else
    by the stem. Warns, with their number and first names, of images that only one of them has. ValueError where
    there is no common image, or an ID could be two.
    """
    table = prediction_table(predictions, "predictions")
    stems = [truth[column].map(_stem) for column in ("image_id", "path")]
    folder = truth["path"].map(lambda path: PureWindowsPath(path).parent.name) + "-" + stems[1]
    found = pd.Series("", index=truth.index, dtype=object)
    for names in (truth["image_id"], folder, *stems):
        free = names[found.eq("") & names.isin(set(table["ID"]) - set(found))]
        if (twice := free[free.duplicated(keep=False)]).any():
            both = " and ".join(truth.loc[twice.index[twice.eq(twice.iloc[0])][:2], "image_id"])
            raise ValueError(f"The prediction {twice.iloc[0]!r} could be {both}: give the truth an ID column.")
        found[free.index] = free
    if found.eq("").all():
        examples = f"{table['ID'].iloc[0]!r} and {truth['image_id'].iloc[0]!r}" if len(table) else "there are none"
        raise ValueError(f"No prediction is of an image in the truth; compare their names, e.g. {examples}.")
    alone = {"prediction(s) have no row in the truth": table.loc[~table["ID"].isin(found), "ID"]}
    alone["row(s) of the truth have no prediction"] = truth.loc[found.eq(""), "image_id"]
    for what, lost in alone.items():
        if len(lost):
            warnings.warn(f"{len(lost)} {what} and don't count: {', '.join(lost[:5])}.", stacklevel=2)
    matched = truth.assign(image_id=found)[found.ne("")]
    return table[table["ID"].isin(found)].reset_index(drop=True), matched.reset_index(drop=True)


def read_thresholds(given: str) -> pd.Series:
    """Thresholds by finding, NaN where there is none: of "STTC=.3,AF=.2", or of the JSON that `evaluate --json` wrote.
    The JSON may also be just {"STTC": 0.3, ...}. ValueError for an unknown finding or a number outside [0, 1]."""
    try:
        if "=" in given and not os.path.exists(given):
            limits = dict(part.split("=") for part in given.split(","))
        else:
            content = json.loads(Path(given).read_text())
            limits = content.get("thresholds", content)
        limits = {name.strip().upper(): np.nan if value is None else float(value) for name, value in limits.items()}
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"Thresholds are STTC=.3,AF=.2 or a JSON file of them; got {given!r}.") from None
    if wrong := [finding for finding, of_it in limits.items() if finding not in FINDINGS or of_it < 0 or of_it > 1]:
        raise ValueError(f"Threshold {wrong[0]}={limits[wrong[0]]}: give {', '.join(FINDINGS)} one of 0 to 1.")
    return pd.Series(limits, dtype=float).reindex(list(FINDINGS))


def score_table(
    predictions: pd.DataFrame, truth: pd.DataFrame, limits: Mapping[str, float] | None = None, rounds: int = 2000
) -> pd.DataFrame:
    """All that is said of predictions on labelled images: a row for "macro" (first) and for each finding.

    predictions, truth : of the same images, see `match_truth`. ValueError where they differ.
    limits : thresholds by finding, chosen on *other* patients; NaN = none. None chooses them here, so that nine of ten
        positives are flagged: `threshold` is then the one that these images give, while the rates are cross-fitted,
        each patient's by a threshold from other patients.
    rounds : of the bootstrap, which draws whole patients.

    Returns columns finding; auroc, auprc, sensitivity and specificity, each with the ends `_low` and `_high` of its
    95 % interval; n and positives (labels), refused (share of n); ece and ece_if_perfect (`calibration_error`);
    threshold; intervals ("by patient" or "ungrouped"). In `auroc` and `auprc` a refused image has the share of
    positives; calibration and rates are those of answered images alone. What there are no images for is NaN. Warns
    where a finding has one class, or fewer than FEWEST images of one.
    """
    answered = join_truth(predictions, truth)
    prevalence = truth[list(FINDINGS)].mean().fillna(0)  # without any label nothing is counted, so that any number does
    filled = join_truth(fill_unreadable(predictions, prevalence), truth)
    how = {"clusters": answered.clusters, "rounds": rounds}
    curves = [bootstrap_auroc(filled.y, filled.p, **how, metric=metric) for metric in ("auroc", "auprc")]
    table, auprc = (_named(curve, metric) for curve, metric in zip(curves, ("auroc", "auprc"), strict=True))
    refused = np.isnan(answered.p)
    shares = [refused[~np.isnan(answered.y[:, k]), k] for k in range(len(FINDINGS))]
    table["refused"] = [refused.all(axis=1).mean(), *(share.mean() if len(share) else np.nan for share in shares)]
    table = table.join(auprc[["auprc", "auprc_low", "auprc_high"]])
    errors = calibration_error(answered.y, answered.p).set_index("finding")
    own, thresholds = _thresholds(answered, limits)
    # which side of a threshold that is not one number: their difference's sign, which rounding never changes
    rates = rates_at(dict.fromkeys(FINDINGS, 0.0), answered.y, answered.p - thresholds, **how)
    parts = [_named(rates[rates["rate"] == rate], rate)[_ends(rate)] for rate in ("sensitivity", "specificity")]
    table = table.join([errors[["ece", "ece_if_perfect"]], own, *parts])
    _warn_of_few(table)
    return table.reset_index()


def _ends(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def _named(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """By finding, value, low and high as columns of that name."""
    return table.rename(columns=dict(zip(("value", "low", "high"), _ends(name), strict=True))).set_index("finding")


def _thresholds(scored: Scored, limits: Mapping[str, float] | None) -> tuple[pd.Series, np.ndarray]:
    """The threshold of each finding, and (N, 5) those that each image is judged by."""
    if limits is not None:
        given = pd.Series(limits, dtype=float, name="threshold").reindex(list(FINDINGS))
        return given, np.tile(given.to_numpy(), (len(scored.p), 1))

    def chosen(part: Scored) -> pd.Series:
        return choose_thresholds(part.y, part.p, part.clusters, rounds=1).set_index("finding")["threshold"]

    each = np.full(scored.p.shape, np.nan)
    for left_out in scored.folds(seed=0) if len(set(scored.clusters)) > 1 else []:
        each[left_out] = chosen(scored.subset(~left_out))
    return chosen(scored), each


def _warn_of_few(table: pd.DataFrame) -> None:
    for finding, n, positives in table.loc[list(FINDINGS), ["n", "positives"]].itertuples():
        if not n:
            said = "has no label"
        elif positives in (0, n):
            said = f"is {'present' if positives else 'absent'} in all {n} labelled images, so it has no AUROC or AUPRC"
        elif min(positives, n - positives) < FEWEST:
            said = f"has {positives} positive and {n - positives} negative image(s): too few to say much"
        else:
            continue
        warnings.warn(f"{finding} {said}.", stacklevel=3)


def in_cells(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `score_table` as text to print: each value and its interval in one cell, "" for NaN."""
    shown = table[["finding", "n", "positives"]].copy()
    for name in ("auroc", "auprc", "sensitivity", "specificity"):
        cells = table[_ends(name)].to_numpy(float)
        shown[name] = ["" if np.isnan(a) else f"{a:.3f} [{low:.3f}, {high:.3f}]" for a, low, high in cells]
    for name in ("threshold", "ece", "ece_if_perfect", "refused"):
        shown[name] = ["" if np.isnan(a) else f"{a:.3f}" for a in table[name]]
    return shown


def worst_errors(
    predictions: pd.DataFrame, truth: pd.DataFrame, limits: Mapping[str, float], most: int = 20
) -> pd.DataFrame:
    """The answered images that were wrong most confidently: of each finding at most `most` misses and false alarms.

    predictions, truth : of the same images, see `match_truth`. limits : threshold of each finding, NaN = none: then
        nothing is wrong.
    Returns columns finding, error ("false alarm" or "miss"), ID, probability, label, quality (NaN where it isn't in the
    predictions), reasons (text) and path (the truth's); by finding, false alarms first, the worst first.
    """
    said = predictions.reindex(columns=["ID", *FINDINGS, "quality", "reasons"]).fillna({"reasons": ""})
    labels = truth[["image_id", "path", *FINDINGS]].rename(columns={"image_id": "ID"})
    both = said.merge(labels, on="ID", suffixes=("", "_true"), validate="one_to_one")
    parts = []
    for finding in FINDINGS:
        p, label = both[finding], both[f"{finding}_true"]
        errors = {"false alarm": (label == 0) & (p >= limits[finding]), "miss": (label == 1) & (p < limits[finding])}
        for error, wrong in errors.items():
            rows = both[wrong].sort_values([finding, "ID"], ascending=[error == "miss", True]).head(most)
            rows = rows.assign(finding=finding, error=error, probability=rows[finding], label=rows[f"{finding}_true"])
            parts.append(rows[["finding", "error", "ID", "probability", "label", "quality", "reasons", "path"]])
    return pd.concat(parts, ignore_index=True)
