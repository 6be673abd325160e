"""Operating points and their rates on other patients; refusing poor photos; what only rendered images can tell."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecgutils.evaluate.metrics import bootstrap, bootstrap_auroc, divide, intervals_by
from ecgutils.findings import FINDINGS, LEADS
from ecgutils.manifest import CORNER_COLUMNS


def choose_thresholds(
    y: np.ndarray, p: np.ndarray, clusters: np.ndarray, sensitivity: float = 0.9, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """The highest threshold of each finding at which at least `sensitivity` of its positives are flagged (p >= it).

    y, p : (N, 5), NaN left out; clusters : (N,) patients, drawn whole for the 95 % interval of the threshold.
    Choose on one set of patients and measure on another with `rates_at`.

    Returns columns finding, threshold, low, high, sensitivity (reached), positives, intervals; NaN without positives.
    Raises ValueError when sensitivity is not in (0, 1].
    """
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity must be above 0 and at most 1, got {sensitivity}.")
    ordered = []  # of each finding: the positives' rows, from the highest probability down
    for k in range(len(FINDINGS)):
        rows = np.flatnonzero((y[:, k] == 1) & ~np.isnan(p[:, k]))
        ordered.append(rows[np.argsort(-p[rows, k], kind="stable")])

    def thresholds(counts: np.ndarray) -> np.ndarray:
        found = np.full((len(counts), len(FINDINGS)), np.nan)
        for k, rows in enumerate(ordered):
            if len(rows):
                flagged = np.cumsum(counts[:, rows], axis=1)
                enough = flagged >= sensitivity * flagged[:, -1:] - 1e-9
                found[:, k] = np.where(flagged[:, -1] > 0, p[rows[enough.argmax(axis=1)], k], np.nan)
        return found

    value, low, high, _ = bootstrap(thresholds, clusters, rounds, seed)
    reached = [np.mean(p[rows, k] >= value[k]) if len(rows) else np.nan for k, rows in enumerate(ordered)]
    table = pd.DataFrame({"finding": FINDINGS, "threshold": value, "low": low, "high": high, "sensitivity": reached})
    return table.assign(positives=[len(rows) for rows in ordered], intervals=intervals_by(clusters))


def rates_at(
    limits: Mapping[str, float], y: np.ndarray, p: np.ndarray, clusters: np.ndarray, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Sensitivity and specificity of `p >= limit` of each finding, with 95 % intervals from drawing whole patients.

    Returns columns finding, rate ("sensitivity" or "specificity"), threshold, value, low, high, n (positives, or
    negatives), intervals. A rate without images to count, or without a threshold (NaN), is NaN.
    """
    threshold = np.array([limits[finding] for finding in FINDINGS])
    known = ~np.isnan(y) & ~np.isnan(p) & ~np.isnan(threshold)
    flagged = p >= threshold  # NaN: not flagged, not counted
    counted = np.concatenate([known & (y == 1), known & (y == 0)], axis=1).astype(np.float64)  # (N, 10)
    right = counted * np.concatenate([flagged, ~flagged], axis=1)

    def rates(counts: np.ndarray) -> np.ndarray:
        return divide(counts @ right, counts @ counted)

    value, low, high, _ = bootstrap(rates, clusters, rounds, seed)
    table = pd.DataFrame({"finding": FINDINGS * 2, "rate": np.repeat(["sensitivity", "specificity"], 5)})
    table = table.assign(threshold=np.tile(threshold, 2), value=value, low=low, high=high)
    table = table.assign(n=counted.sum(axis=0).astype(int), intervals=intervals_by(clusters))
    return table.sort_values("finding", key=lambda f: f.map(FINDINGS.index), kind="stable", ignore_index=True)


def abstention_curve(
    y: np.ndarray, p: np.ndarray, quality: np.ndarray, clusters: np.ndarray, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Macro-AUROC when only a share of images of the best quality, 1 down to .5, is answered and the rest refused.

    quality : (N,), unreadable 0 or NaN; images of equal quality are kept or refused together. Give `p` filled for
    unreadable images, so that they count at coverage 1.

    Returns columns coverage (as it came out), lowest_quality, then those of `bootstrap_auroc` but for finding.
    """
    q = np.nan_to_num(np.asarray(quality, dtype=np.float64))
    rows = []
    for coverage in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        limit = np.quantile(q, 1 - coverage, method="higher")
        kept = q >= limit
        macro = bootstrap_auroc(y[kept], p[kept], clusters[kept], rounds, seed).iloc[0, 1:]
        rows.append({"coverage": kept.mean(), "lowest_quality": limit, **macro})
    return pd.DataFrame(rows)


def outline_errors(truth: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """What pre-processing found in each readable image whose truth is known, joined by image_id.

    truth : manifest of rendered images, with rotation. found : index of a flat cache. Both have CORNER_COLUMNS.

    Returns image_id; corner_error, mean distance of the four corners in percent of the image's diagonal; in_view,
    whether all true corners lie in the image; level, whether rows of traces run across; upright, whether they read.
    """
    both = truth.merge(found, on="image_id", suffixes=("_true", ""), validate="one_to_one")
    both = both[both["readable"]]
    true = both[[f"{name}_true" for name in CORNER_COLUMNS]].to_numpy(float).reshape(-1, 4, 2)
    seen = both[list(CORNER_COLUMNS)].to_numpy(float).reshape(-1, 4, 2)
    size = both[["width", "height"]].to_numpy(float)
    turn = (both["rotation_true"] - both["rotation"]) % 360
    return both[["image_id"]].assign(
        corner_error=100 * np.linalg.norm(true - seen, axis=2).mean(axis=1) / np.hypot(*size.T),
        in_view=((true > -2) & (true < size[:, None] + 2)).all(axis=(1, 2)),
        level=turn % 180 == 0,
        upright=turn == 0,
    )


def heat_by_lead(heat: np.ndarray, lead_boxes: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Share of the heat that lies in each lead's box, beside the share that even heat would have there.

    heat : (H, W) of the flat page.
    lead_boxes : x0, y0, x1, y1 px of each lead there, as `FlatECG` has them. Rhythm strips are left out: they show one
    lead again, four times as long, and would drown it. Where boxes overlap, heat and area are divided.

    Returns a row per lead: lead, heat, area, each of sum 1, and ratio = heat / area (1 = chance); NaN without any heat.
    """
    y, x = np.indices(heat.shape)
    inside = {lead: np.zeros(heat.shape, bool) for lead in LEADS}
    for lead in set(LEADS) & set(lead_boxes):
        x0, y0, x1, y1 = lead_boxes[lead]
        inside[lead] = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    shared = np.maximum(sum(mask.astype(np.float32) for mask in inside.values()), 1)
    table = pd.DataFrame({"lead": LEADS})
    for column, amount in (("heat", heat / shared), ("area", 1 / shared)):
        table[column] = [float(amount[inside[lead]].sum()) for lead in LEADS]
        table[column] /= table[column].sum() or np.nan
    return table.assign(ratio=table["heat"] / table["area"].replace(0, np.nan))
