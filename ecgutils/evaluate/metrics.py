"""AUROC and AUPRC with patient-clustered bootstrap intervals.

A row counts for a finding when its label there is known and its prediction is not NaN; the column `n` says how
many did. So an unreadable image (NaN prediction) is left out, which flatters: to have it count, fill it first,
as the submission writer does. A finding without both classes has neither: it is NaN, and the macro average is
over the findings that have one (NaN when none has).

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
        self.ties = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]]) if len(rows) else np.zeros(0, int)
        self.n, self.positives = len(rows), int(self.positive.sum())
        self.defined = 0 < self.positives < self.n

    def score(self, metric: Metric, counts: np.ndarray) -> np.ndarray:
        """The metric (R,) where each of all rows counts so often, (R, N); NaN without both classes."""
        return getattr(self, metric)(counts[:, self.order]) if self.defined else np.full(len(counts), np.nan)

    def auroc(self, weights: np.ndarray) -> np.ndarray:
        """AUROC (R,) for weights (R, n) of the rows in `order`; half a point for a tie; NaN without both classes."""
        positive, negative = self._split(weights)
        below = np.cumsum(negative, axis=1)
        n_positive, n_negative = positive.sum(axis=1), below[:, -1]
        wins = np.einsum("rn,rn->r", positive, below) - 0.5 * np.einsum("rn,rn->r", positive, negative)
        return divide(wins, n_positive * n_negative)

    def auprc(self, weights: np.ndarray) -> np.ndarray:
        """AUPRC (R,) as average precision, tied rows counted together; NaN without both classes."""
        positive, negative = (part[:, ::-1] for part in self._split(weights))  # from the highest score down
        found, wrong = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
        precision = found / np.maximum(found + wrong, 1)  # 0 / 1 where nothing is drawn yet
        value = divide(np.einsum("rn,rn->r", positive, precision), found[:, -1])
        return np.where(wrong[:, -1] > 0, value, np.nan)

    def _split(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of positives and of negatives at each distinct score, the lowest first."""
        positive = weights * self.positive
        return tuple(np.add.reduceat(part, self.ties, axis=1) for part in (positive, weights - positive))


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
    if not defined:
        return np.nan
    _, patient = np.unique(clusters, return_inverse=True)
    return float(np.linalg.norm(np.bincount(patient, share)) / defined)


def bootstrap_auroc(
    y: np.ndarray, p: np.ndarray, clusters: np.ndarray, rounds: int = 2000, seed: int = 0, metric: Metric = "auroc"
) -> pd.DataFrame:
    """AUROC with 95 % percentile intervals; whole clusters (patients) are drawn with replacement.

    y, p : (N, 5) labels 0, 1, NaN and predictions (any monotone score), NaN allowed. p : (S, N, 5) are those of S
    models (seeds, say): the mean of their AUROCs is given, not the AUROC of their mean.
    clusters : (N,) patient of each row; images of one patient are not independent.
    metric : "auprc" gives the area under the precision-recall curve instead (`sklearn`'s average precision); chance
    is then the share of positives, not .5.

    Returns columns finding ("macro" first), value, low, high, n, positives, intervals. Resamples in which a finding
    lost a class are left out of its interval; a warning says so when they are more than 5 %.
    """
    return _bootstrap(y, [p], clusters, rounds, seed, metric)


def paired_difference(
    y: np.ndarray, p_a: np.ndarray, p_b: np.ndarray, clusters: np.ndarray, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """AUROC of `p_a` minus that of `p_b` on the same rows and resamples; frame as `bootstrap_auroc`.

    A row counts for a finding when all predictions are there. p_a, p_b : (N, 5), or (S, N, 5) as `bootstrap_auroc` has
    them, S not necessarily the same.
    """
    return _bootstrap(y, [p_a, p_b], clusters, rounds, seed, "auroc")


def auroc_by_group(
    y: np.ndarray, p: np.ndarray, clusters: np.ndarray, groups: pd.DataFrame, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Macro-AUROC within each value of each column of `groups`, one row each; "all" comes first.

    groups : (N rows) e.g. layout, image source, `quality_band`; a row counts nowhere for a column it has no value in.

    Returns columns by, group, images, findings (how many have both classes), then those of `bootstrap_auroc` but for
    finding. Small groups have wide intervals, or none.
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
    several = [list(p) if np.ndim(p) == 3 else [p] for p in predictions]
    shares = [sign / len(some) for sign, some in zip((1, -1), several, strict=False) for _ in some]
    arms = list(zip(*_ranked(y, [one for some in several for one in some]), strict=True))  # per finding
    if len(clusters) != len(y):
        raise ValueError(f"clusters has {len(clusters)} entries for {len(y)} rows.")
    first = [some[0] for some in arms]
    defined = np.array([ranked.defined for ranked in first])

    def scores(counts: np.ndarray) -> np.ndarray:  # macro first, over the findings that have both classes
        found = [sum(s * arm.score(metric, counts) for arm, s in zip(some, shares, strict=True)) for some in arms]
        macro = np.stack(found, axis=1)[:, defined].mean(axis=1) if defined.any() else np.full(len(counts), np.nan)
        return np.column_stack([macro, *found])

    value, low, high, missing = bootstrap(scores, clusters, rounds, seed)
    lost = defined & (missing[1:] > 0.05)
    if lost.any():
        few = ", ".join(np.array(FINDINGS)[lost])
        warnings.warn(f"More than 5 % of the resamples lack a class of {few}: too few patients.", stacklevel=3)
    table = pd.DataFrame({"finding": ["macro", *FINDINGS], "value": value, "low": low, "high": high})
    table["n"] = [len(np.unique(np.concatenate([r.order for r in first]))), *(r.n for r in first)]
    table["positives"] = [sum(r.positives for r in first), *(r.positives for r in first)]
    return table.assign(intervals=intervals_by(clusters))
