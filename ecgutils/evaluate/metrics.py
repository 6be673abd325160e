"""AUROC and AUPRC with patient-clustered bootstrap intervals.

A row counts for a finding when its label there is known and its prediction is not NaN; the column `n` says how many
did. So an unreadable image (NaN) is left out, which flatters: to have it count, fill it first, as the submission writer
does. A finding without both classes is NaN, and the macro average is over the others (NaN when there are none).

Every table has a column `intervals`: "by patient", or "ungrouped" where a cluster is an image or a record because its
patient is unknown (`ecgutils.manifest.clusters`); then patients may be shared and intervals are too narrow.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from ecgutils.findings import FINDINGS

STAGE_BOOTSTRAP = 51
_CHUNK = 32  # resamples at a time: keeps the working set in cache
Metric = Literal["auroc", "auprc"]


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], clusters: np.ndarray, rounds: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `statistic` gives for all rows, the ends of its 95 % interval, and how often it was NaN, each (K,).

    statistic : takes how often each row counts, float64 (R, N), and gives (R, K). clusters : (N,), the patients: drawn
    whole, with replacement, `rounds` (at least 1) times. An end leaves out NaN draws; it is NaN where all are.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}.")
    names, member = np.unique(np.asarray(clusters).astype(str), return_inverse=True)
    rng, draws = np.random.default_rng([seed, STAGE_BOOTSTRAP]), []
    for start in range(0, rounds, _CHUNK):
        size = min(_CHUNK, rounds - start)
        picks = rng.integers(0, len(names), (size, len(names))) + len(names) * np.arange(size)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * len(names)).reshape(size, -1).astype(np.float64)
        draws.append(statistic(counts[:, member]))
    missing = np.isnan(draws := np.concatenate(draws))
    some, bounds = ~missing.all(axis=0), np.full((2, draws.shape[1]), np.nan)
    bounds[:, some] = np.nanquantile(draws[:, some], [0.025, 0.975], axis=0)
    return statistic(np.ones((1, len(member))))[0], *bounds, missing.mean(axis=0)


def intervals_by(clusters: np.ndarray) -> str:
    """Say "by patient", or "ungrouped" when one of the clusters is an image or a record of an unknown patient."""
    unknown = any(name.startswith(("image:", "record:")) for name in np.asarray(clusters).astype(str).tolist())
    return "ungrouped" if unknown else "by patient"


class _Ranked:
    """One finding's usable rows sorted by prediction; gives AUROC and AUPRC for any integer weights of the rows."""

    def __init__(self, y: np.ndarray, p: np.ndarray, usable: np.ndarray) -> None:
        rows = np.flatnonzero(usable)
        self.order = rows[np.argsort(p[rows], kind="stable")]
        scores = p[self.order]
        self.positive = y[self.order] > 0
        self.ties = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
        self.n, self.positives = len(rows), int(self.positive.sum())
        self.defined = 0 < self.positives < self.n

    def score(self, metric: Metric, counts: np.ndarray) -> np.ndarray:
        """The metric (R,) where each of all rows counts so often, (R, N); NaN without both classes. AUROC gives half a
        point for a tie; AUPRC is average precision, tied rows counted together."""
        if not self.defined:
            return np.full(len(counts), np.nan)
        weights = counts[:, self.order]
        parts = weights * self.positive, weights * ~self.positive
        positive, negative = (np.add.reduceat(part, self.ties, axis=1) for part in parts)  # at each distinct score
        if metric == "auroc":
            below = np.cumsum(negative, axis=1)
            wins = np.einsum("rn,rn->r", positive, below) - 0.5 * np.einsum("rn,rn->r", positive, negative)
            return divide(wins, positive.sum(axis=1) * below[:, -1])
        positive = positive[:, ::-1]  # from the highest score down
        found, wrong = np.cumsum(positive, axis=1), np.cumsum(negative[:, ::-1], axis=1)
        precision = found / np.maximum(found + wrong, 1)  # 0 / 1 where nothing is drawn yet
        value = divide(np.einsum("rn,rn->r", positive, precision), found[:, -1])
        return np.where(wrong[:, -1] > 0, value, np.nan)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """NaN where b is 0."""
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0)


def _ranked(y: np.ndarray, predictions: Sequence[np.ndarray]) -> list[list[_Ranked]]:
    """One _Ranked per prediction and finding; only rows usable in all predictions count."""
    y, *predictions = (np.asarray(array, dtype=np.float64) for array in (y, *predictions))
    for array in (y, *predictions):
        if array.shape != (len(y), len(FINDINGS)):
            raise ValueError(f"Labels and predictions must both be (N, 5), got {array.shape} for {len(y)} labels.")
    if not (np.isnan(y) | np.isin(y, (0, 1))).all():
        raise ValueError("y must hold 0, 1 or NaN (unknown) only.")
    usable = ~np.isnan(y) & ~np.isnan(predictions).any(axis=0)
    return [[_Ranked(y[:, k], p[:, k], usable[:, k]) for k in range(y.shape[1])] for p in predictions]


def auroc_by_finding(y: np.ndarray, p: np.ndarray, metric: Metric = "auroc") -> pd.Series:
    """AUROC (or AUPRC) of each finding, indexed by its name; NaN where it has not both classes. y, p : (N, 5)."""
    (ranked,) = _ranked(y, [p])
    return pd.Series([r.score(metric, np.ones((1, len(y))))[0] for r in ranked], index=FINDINGS)


def macro_auroc(y: np.ndarray, p: np.ndarray, metric: Metric = "auroc") -> float:
    """Mean AUROC (or AUPRC) over the findings that have both classes; NaN when none has. y, p : (N, 5)."""
    return float(auroc_by_finding(y, p, metric).mean())


def difference_error(y: np.ndarray, p_a: np.ndarray, p_b: np.ndarray, clusters: np.ndarray) -> float:
    """Standard error of macro_auroc(y, p_a) - macro_auroc(y, p_b); NaN when there is none.

    By what each row adds to either AUROC (DeLong et al. 1988), summed over findings and over the rows of a patient.
    y, p : (N, 5). clusters : (N,) patient of each row.
    """
    usable = ~np.isnan(y + p_a + p_b)
    share, defined = np.zeros(len(y)), 0
    for k in range(y.shape[1]):
        rows = np.flatnonzero(usable[:, k])
        classes = rows[y[rows, k] > 0], rows[y[rows, k] == 0]
        if not all(map(len, classes)):
            continue
        defined += 1
        for sign, p in ((1, p_a[:, k]), (-1, p_b[:, k])):
            for way, (own, others) in ((1, classes), (-1, classes[::-1])):
                below, above = (np.searchsorted(np.sort(p[others]), p[own], side) for side in ("left", "right"))
                won = way * sign * (below + above) / (2 * len(others))  # share of the others below, ties by half
                share[own] += (won - won.mean()) / len(own)
    _, patient = np.unique(clusters, return_inverse=True)
    return float(np.linalg.norm(np.bincount(patient, share)) / defined) if defined else np.nan


def bootstrap_auroc(
    y: np.ndarray, p: np.ndarray, clusters: np.ndarray, rounds: int = 2000, seed: int = 0, metric: Metric = "auroc"
) -> pd.DataFrame:
    """AUROC with 95 % percentile intervals; whole clusters (patients) are drawn with replacement.

    y, p : (N, 5) labels 0, 1, NaN and predictions (any monotone score), NaN allowed. p : (S, N, 5) are those of S
    models (seeds, say): the mean of their AUROCs is given, not the AUROC of their mean.
    clusters : (N,) patient of each row; images of one patient are not independent.
    metric : "auprc" gives average precision (as `sklearn`) instead; chance is then the share of positives, not .5.

    Returns columns finding ("macro" first), value, low, high, n, positives, intervals. Resamples in which a finding
    lost a class are left out of its interval; a warning says so when they are more than 5 %.
    """
    return _bootstrap(y, [p], clusters, rounds, seed, metric)


def paired_difference(
    y: np.ndarray, p_a: np.ndarray, p_b: np.ndarray, clusters: np.ndarray, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """AUROC of `p_a` minus that of `p_b` on the same rows and resamples; frame as `bootstrap_auroc`. A row counts for a
    finding when all predictions are there. p_a, p_b : (N, 5), or (S, N, 5) as in `bootstrap_auroc`."""
    return _bootstrap(y, [p_a, p_b], clusters, rounds, seed, "auroc")


def auroc_by_group(
    y: np.ndarray, p: np.ndarray, clusters: np.ndarray, groups: pd.DataFrame, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Macro-AUROC within each value of each column of `groups`, one row each; "all" comes first.

    groups : (N rows) e.g. layout, image source, `quality_band`; a row counts nowhere for a column it has no value in.

    Returns columns by, group, images, findings (having both classes), then those of `bootstrap_auroc` but for finding.
    """
    rows, parts = [], [("all", "all", np.ones(len(y), bool))]
    for by in groups:
        names = groups[by].where(groups[by].notna(), "").astype(str).to_numpy()
        parts += [(by, name, names == name) for name in sorted(set(names) - {""})]
    for by, name, inside in parts:
        with warnings.catch_warnings():  # too few patients show in the interval
            warnings.simplefilter("ignore", UserWarning)
            table = bootstrap_auroc(y[inside], p[inside], clusters[inside], rounds, seed)
        findings = int(table["value"][1:].notna().sum())
        rows.append({"by": by, "group": name, "images": int(inside.sum()), "findings": findings, **table.iloc[0, 1:]})
    return pd.DataFrame(rows)


def _bootstrap(
    y: np.ndarray, predictions: list[np.ndarray], clusters: np.ndarray, rounds: int, seed: int, metric: Metric
) -> pd.DataFrame:
    """Intervals of the first prediction's metric, less that of the second where there is one."""
    if metric not in ("auroc", "auprc"):
        raise ValueError(f'metric must be "auroc" or "auprc", got {metric!r}.')
    several = [p if np.ndim(p) == 3 else [p] for p in predictions]
    shares = [sign / len(some) for sign, some in zip((1, -1), several, strict=False) for _ in some]
    arms = list(zip(*_ranked(y, [one for some in several for one in some]), strict=True))  # per finding
    if len(clusters) != len(y):
        raise ValueError(f"clusters has {len(clusters)} entries for {len(y)} rows.")
    first = [some[0] for some in arms]
    defined = np.array([r.defined for r in first])

    def scores(counts: np.ndarray) -> np.ndarray:  # macro first, over the findings that have both classes
        found = [sum(s * arm.score(metric, counts) for arm, s in zip(some, shares, strict=True)) for some in arms]
        macro = np.stack(found, axis=1)[:, defined].mean(axis=1) if defined.any() else np.full(len(counts), np.nan)
        return np.column_stack([macro, *found])

    value, low, high, missing = bootstrap(scores, clusters, rounds, seed)
    if (lost := defined & (missing[1:] > 0.05)).any():
        few = ", ".join(np.array(FINDINGS)[lost])
        warnings.warn(f"More than 5 % of the resamples lack a class of {few}: too few patients.", stacklevel=3)
    table = pd.DataFrame({"finding": ["macro", *FINDINGS], "value": value, "low": low, "high": high})
    table["n"] = [len(np.unique(np.concatenate([r.order for r in first]))), *(r.n for r in first)]
    table["positives"] = [sum(r.positives for r in first), *(r.positives for r in first)]
    return table.assign(intervals=intervals_by(clusters))
