"""AUROC and AUPRC with patient-clustered bootstrap intervals.

A row counts for a finding when its label there is known and its prediction is not NaN; the column `n` says how
many did. So an unreadable image (NaN prediction) is left out, which flatters: to have it count, fill it first,
as the submission writer does. A finding without both classes has neither: it is NaN, and the macro average is
over the findings that have one (NaN when none has).

Every table has a column `intervals`: "by patient", or "ungrouped" where a cluster is an image or a record because its
patient is unknown (`ecgutils.manifest.clusters`); then patients may be shared and intervals are too narrow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from ecgutils.findings import FINDINGS

STAGE_BOOTSTRAP = 51
_CHUNK = 32  # resamples at a time: keeps the working set in cache
Metric = Literal["auroc", "auprc"]


class _Ranked:
    """One finding's usable rows sorted by prediction; gives AUROC and AUPRC for any integer weights of the rows."""

    def __init__(self, y: np.ndarray, p: np.ndarray, usable: np.ndarray) -> None:
        rows = np.flatnonzero(usable)
        self.order = rows[np.argsort(p[rows], kind="stable")]
        scores = p[self.order]
        self.positive = y[self.order] > 0
        self.ties = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]]) if len(rows) else np.zeros(0, int)
        self.tied = len(self.ties) < len(rows)
        self.n, self.positives = len(rows), int(self.positive.sum())
        self.defined = 0 < self.positives < self.n

    def auroc(self, weights: np.ndarray) -> np.ndarray:
        """AUROC (R,) for weights (R, n) of the rows in `order`; half a point for a tie; NaN without both classes."""
        positive, negative = self._split(weights)
        below = np.cumsum(negative, axis=1)
        n_positive, n_negative = positive.sum(axis=1), below[:, -1]
        wins = np.einsum("rn,rn->r", positive, below) - 0.5 * np.einsum("rn,rn->r", positive, negative)
        return _divide(wins, n_positive * n_negative)

    def auprc(self, weights: np.ndarray) -> np.ndarray:
        """AUPRC (R,) as average precision, tied rows counted together; NaN without both classes."""
        positive, negative = (part[:, ::-1] for part in self._split(weights))  # from the highest score down
        found, wrong = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
        precision = found / np.maximum(found + wrong, 1)  # 0 / 1 where nothing is drawn yet
        value = _divide(np.einsum("rn,rn->r", positive, precision), found[:, -1])
        return np.where(wrong[:, -1] > 0, value, np.nan)

    def _split(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of positives and of negatives at each distinct score, the lowest first."""
        positive = weights * self.positive
        negative = weights - positive
        if self.tied:
            positive = np.add.reduceat(positive, self.ties, axis=1)
            negative = np.add.reduceat(negative, self.ties, axis=1)
        return positive, negative


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)


def _checked(y: np.ndarray, *predictions: np.ndarray) -> tuple[np.ndarray, ...]:
    arrays = tuple(np.asarray(a, dtype=np.float64) for a in (y, *predictions))
    for i, array in enumerate(arrays):
        name = "p" if i else "y"
        if array.ndim != 2 or array.shape[1] != len(FINDINGS) or array.shape != arrays[0].shape:
            raise ValueError(
                f"{name} has shape {array.shape}; labels and predictions must both be (N, {len(FINDINGS)}) "
                f"in the order {', '.join(FINDINGS)}."
            )
    if not (np.isnan(arrays[0]) | np.isin(arrays[0], (0, 1))).all():
        raise ValueError("y must hold 0, 1 or NaN (unknown) only.")
    return arrays


def _ranked(y: np.ndarray, predictions: Sequence[np.ndarray]) -> list[list[_Ranked]]:
    """One _Ranked per prediction and finding; only rows usable in all predictions count."""
    usable = ~np.isnan(y) & ~np.isnan(np.stack(predictions)).any(axis=0)
    return [[_Ranked(y[:, k], p[:, k], usable[:, k]) for k in range(y.shape[1])] for p in predictions]


def _macro(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Mean over the findings that have an AUROC; values (..., 5) -> (...); NaN when none has."""
    return values[..., defined].mean(axis=-1) if defined.any() else np.full(values.shape[:-1], np.nan)


def auroc_by_finding(y: np.ndarray, p: np.ndarray, metric: Metric = "auroc") -> pd.Series:
    """AUROC (or AUPRC) of each finding, indexed by its name; NaN where it has not both classes. y, p : (N, 5)."""
    y, p = _checked(y, p)
    (ranked,) = _ranked(y, [p])
    return pd.Series([_value([r], [1.0], metric) if r.defined else np.nan for r in ranked], index=FINDINGS)


def macro_auroc(y: np.ndarray, p: np.ndarray, metric: Metric = "auroc") -> float:
    """Mean AUROC (or AUPRC) over the findings that have both classes; NaN when none has. y, p : (N, 5)."""
    values = auroc_by_finding(y, p, metric).to_numpy()
    return float(_macro(values, ~np.isnan(values)))


def difference_error(y: np.ndarray, p_a: np.ndarray, p_b: np.ndarray, clusters: np.ndarray) -> float:
    """Standard error of macro_auroc(y, p_a) - macro_auroc(y, p_b); NaN when there is none.

    By what each row adds to either AUROC (DeLong et al. 1988), summed over findings and over the rows of a patient.
    y, p : (N, 5). clusters : (N,) patient of each row.
    """
    y, p_a, p_b = _checked(y, p_a, p_b)
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

    Parameters
    ----------
    y, p : (N, 5) labels 0, 1, NaN and predictions (any monotone score), NaN allowed. p : (S, N, 5) are those of S
        models (seeds, say): the mean of their AUROCs is given, not the AUROC of their mean.
    clusters : (N,) patient of each row; images of one patient are not independent.
    metric : "auprc" gives the area under the precision-recall curve instead (`sklearn`'s average precision); chance
        is then the share of positives, not .5.

    Returns
    -------
    Frame with columns finding ("macro" first), value, low, high, n, positives, intervals. Resamples in which a
    finding lost a class are left out of its interval; a warning says so when they are more than 5 %.
    """
    members = _members(p)
    y, *members = _checked(y, *members)
    return _bootstrap(y, members, [1 / len(members)] * len(members), clusters, rounds, seed, metric)


def paired_difference(
    y: np.ndarray,
    p_a: np.ndarray,
    p_b: np.ndarray,
    clusters: np.ndarray,
    rounds: int = 2000,
    seed: int = 0,
    metric: Metric = "auroc",
) -> pd.DataFrame:
    """AUROC (or AUPRC) of `p_a` minus that of `p_b` on the same rows and resamples; frame as `bootstrap_auroc`.

    A row counts for a finding when all predictions are there. p_a, p_b : (N, 5), or (S, N, 5) as `bootstrap_auroc` has
    them, S not necessarily the same.
    """
    a, b = _members(p_a), _members(p_b)
    y, *members = _checked(y, *a, *b)
    shares = [1 / len(a)] * len(a) + [-1 / len(b)] * len(b)
    return _bootstrap(y, members, shares, clusters, rounds, seed, metric)


def _members(p: np.ndarray) -> list[np.ndarray]:
    """Predictions (S, N, 5) as S arrays (N, 5); (N, 5) is one."""
    return list(p) if np.ndim(p) == 3 else [p]


def auroc_by_group(
    y: np.ndarray,
    p: np.ndarray,
    clusters: np.ndarray,
    groups: pd.DataFrame,
    rounds: int = 2000,
    seed: int = 0,
    metric: Metric = "auroc",
) -> pd.DataFrame:
    """Macro-AUROC (or AUPRC) within each value of each column of `groups`, one row each; "all" comes first.

    groups : (N rows) e.g. layout, image source, `quality_band`; a row counts nowhere for a column it has no value in.

    Returns columns by, group, images, findings (how many have both classes), then those of `bootstrap_auroc` but for
    finding. Small groups have wide intervals, or none.
    """
    rows = []
    parts = [("all", "all", np.ones(len(y), bool))]
    for by in groups:
        names = groups[by].where(groups[by].notna(), "").astype(str).to_numpy()
        parts += [(by, name, names == name) for name in sorted(set(names) - {""})]
    for by, name, inside in parts:
        with warnings.catch_warnings():  # too few patients show in the interval
            warnings.simplefilter("ignore", UserWarning)
            table = bootstrap_auroc(y[inside], p[inside], clusters[inside], rounds, seed, metric)
        findings = int(table["value"][1:].notna().sum())
        rows.append({"by": by, "group": name, "images": int(inside.sum()), "findings": findings, **table.iloc[0, 1:]})
    return pd.DataFrame(rows)


def quality_band(quality: np.ndarray) -> np.ndarray:
    """Third of the quality each image lies in, text (N,): "low", "middle", "high" (equals upwards), or "unreadable"."""
    q = np.nan_to_num(np.asarray(quality, dtype=float))
    cuts = np.quantile(q[q > 0], [1 / 3, 2 / 3]) if (q > 0).any() else np.zeros(2)
    return np.where(q > 0, np.array(["low", "middle", "high"])[np.searchsorted(cuts, q, side="right")], "unreadable")


def resamples(clusters: np.ndarray, rounds: int, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """How often each row is drawn when whole clusters are, with replacement: (rounds of this part, counts (R, N))."""
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}.")
    names, member = np.unique(np.asarray(clusters).astype(str), return_inverse=True)
    rng = np.random.default_rng([seed, STAGE_BOOTSTRAP])
    for start in range(0, rounds, _CHUNK):
        size = min(_CHUNK, rounds - start)
        picks = rng.integers(0, len(names), (size, len(names))) + len(names) * np.arange(size)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * len(names)).reshape(size, -1).astype(np.float64)
        yield slice(start, start + size), counts[:, member]


def intervals_by(clusters: np.ndarray) -> str:
    """Say "by patient", or "ungrouped" when one of the clusters is an image or a record of an unknown patient."""
    unknown = any(name.startswith(("image:", "record:")) for name in np.asarray(clusters).astype(str).tolist())
    return "ungrouped" if unknown else "by patient"


def _value(
    arms: Sequence[_Ranked], shares: Sequence[float], metric: Metric, rows: np.ndarray | None = None
) -> np.ndarray | float:
    """Sum of the arms' metrics, each times its share; of all rows, or of drawn counts (R, N)."""
    weights = [np.ones((1, arm.n)) if rows is None else rows[:, arm.order] for arm in arms]
    value = sum(s * getattr(arm, metric)(w) for arm, s, w in zip(arms, shares, weights, strict=True))
    return float(value[0]) if rows is None else value


def _bootstrap(
    y: np.ndarray,
    predictions: list[np.ndarray],
    shares: list[float],
    clusters: np.ndarray,
    rounds: int,
    seed: int,
    metric: Metric,
) -> pd.DataFrame:
    """Intervals of the sum of the predictions' metrics, each times its share."""
    if len(clusters) != len(y):
        raise ValueError(f"clusters has {len(clusters)} entries for {len(y)} rows.")
    if metric not in ("auroc", "auprc"):
        raise ValueError(f'metric must be "auroc" or "auprc", got {metric!r}.')
    arms = list(zip(*_ranked(y, predictions), strict=True))  # per finding
    defined = np.array([first.defined for first, *_ in arms])
    value = np.array([_value(some, shares, metric) if some[0].defined else np.nan for some in arms])
    draws = np.full((rounds, len(FINDINGS)), np.nan)
    for part, counts in resamples(clusters, rounds, seed):
        for k in np.flatnonzero(defined):
            draws[part, k] = _value(arms[k], shares, metric, counts)
    lost = np.isnan(draws[:, defined]).mean(axis=0)
    if (lost > 0.05).any():
        few = ", ".join(np.array(FINDINGS)[defined][lost > 0.05])
        warnings.warn(f"More than 5 % of the resamples lack a class of {few}: too few patients.", stacklevel=3)
    low, high = percentiles(np.column_stack([_macro(draws, defined), draws]))
    first = [some[0] for some in arms]
    columns = {
        "value": np.r_[_macro(value, defined), value],
        "low": low,
        "high": high,
        "n": [len(np.unique(np.concatenate([r.order for r in first]))), *(r.n for r in first)],
        "positives": [sum(r.positives for r in first), *(r.positives for r in first)],
        "intervals": intervals_by(clusters),
    }
    return pd.DataFrame({"finding": ["macro", *FINDINGS], **columns})


def percentiles(draws: np.ndarray) -> np.ndarray:
    """2.5th and 97.5th percentile (2, K) of draws (R, K) without their NaN; NaN where a column has nothing else."""
    bounds = np.full((2, draws.shape[1]), np.nan)
    some = ~np.isnan(draws).all(axis=0)
    bounds[:, some] = np.nanquantile(draws[:, some], [0.025, 0.975], axis=0)
    return bounds
