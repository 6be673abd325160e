"""AUROC with patient-clustered bootstrap intervals.

A row counts for a finding when its label there is known and its prediction is not NaN; the column `n` says how
many did. So an unreadable image (NaN prediction) is left out, which flatters: to have it count, fill it first,
as the submission writer does. A finding without both classes has no AUROC: it is NaN, and the macro average is
over the findings that have one (NaN when none has).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecgutils.findings import FINDINGS

STAGE_BOOTSTRAP = 51
_CHUNK = 32  # resamples at a time: keeps the working set in cache


class _Ranked:
    """One finding's usable rows sorted by prediction; gives the AUROC for any integer weights of the rows."""

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
        positive = weights * self.positive
        negative = weights - positive
        if self.tied:
            positive = np.add.reduceat(positive, self.ties, axis=1)
            negative = np.add.reduceat(negative, self.ties, axis=1)
        below = np.cumsum(negative, axis=1)
        n_positive, n_negative = positive.sum(axis=1), below[:, -1]
        wins = np.einsum("rn,rn->r", positive, below) - 0.5 * np.einsum("rn,rn->r", positive, negative)
        pairs = n_positive * n_negative
        return np.divide(wins, pairs, out=np.full(len(wins), np.nan), where=pairs > 0)


def _checked(y: np.ndarray, *predictions: np.ndarray) -> tuple[np.ndarray, ...]:
    arrays = tuple(np.asarray(a, dtype=np.float64) for a in (y, *predictions))
    for name, array in zip(("y", "p", "p_b"), arrays, strict=False):
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


def auroc_by_finding(y: np.ndarray, p: np.ndarray) -> pd.Series:
    """AUROC of each finding, indexed by its name; NaN where it has not both classes. y, p : (N, 5)."""
    y, p = _checked(y, p)
    (ranked,) = _ranked(y, [p])
    return pd.Series([float(r.auroc(np.ones((1, r.n)))[0]) if r.defined else np.nan for r in ranked], index=FINDINGS)


def macro_auroc(y: np.ndarray, p: np.ndarray) -> float:
    """Mean AUROC over the findings that have both classes; NaN when none has. y, p : (N, 5), NaN as above."""
    values = auroc_by_finding(y, p).to_numpy()
    return float(_macro(values, ~np.isnan(values)))


def bootstrap_auroc(
    y: np.ndarray, p: np.ndarray, clusters: np.ndarray, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """AUROC with 95 % percentile intervals; whole clusters (patients) are drawn with replacement.

    Parameters
    ----------
    y, p : (N, 5) labels 0, 1, NaN and predictions (any monotone score), NaN allowed.
    clusters : (N,) patient of each row; images of one patient are not independent.

    Returns
    -------
    Frame with columns finding ("macro" first), value, low, high, n, positives. Resamples in which a finding
    lost a class are left out of its interval; a warning says so when they are more than 5 %.
    """
    y, p = _checked(y, p)
    return _bootstrap(y, [p], clusters, rounds, seed)


def paired_difference(
    y: np.ndarray, p_a: np.ndarray, p_b: np.ndarray, clusters: np.ndarray, rounds: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """AUROC of `p_a` minus that of `p_b` on the same rows and the same resamples; frame as `bootstrap_auroc`.

    A row counts for a finding when both predictions are there.
    """
    y, p_a, p_b = _checked(y, p_a, p_b)
    return _bootstrap(y, [p_a, p_b], clusters, rounds, seed)


def _bootstrap(
    y: np.ndarray, predictions: list[np.ndarray], clusters: np.ndarray, rounds: int, seed: int
) -> pd.DataFrame:
    """Intervals of the AUROC of the first prediction, minus that of the second where there are two."""
    if len(clusters) != len(y):
        raise ValueError(f"clusters has {len(clusters)} entries for {len(y)} rows.")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}.")
    names, member = np.unique(np.asarray(clusters).astype(str), return_inverse=True)
    ranked = _ranked(y, predictions)
    defined = np.array([r.defined for r in ranked[0]])
    value = np.full(len(FINDINGS), np.nan)
    draws = np.full((rounds, len(FINDINGS)), np.nan)
    rng = np.random.default_rng([seed, STAGE_BOOTSTRAP])
    for k in np.flatnonzero(defined):
        value[k] = _minus([arm[k].auroc(np.ones((1, arm[k].n)))[0] for arm in ranked])
    for start in range(0, rounds, _CHUNK):
        size = min(_CHUNK, rounds - start)
        picks = rng.integers(0, len(names), (size, len(names))) + len(names) * np.arange(size)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * len(names)).reshape(size, -1).astype(np.float64)
        for k in np.flatnonzero(defined):
            draws[start : start + size, k] = _minus([arm[k].auroc(counts[:, member[arm[k].order]]) for arm in ranked])
    values = np.r_[_macro(value, defined), value]
    samples = np.column_stack([_macro(draws, defined), draws])
    lost = np.isnan(draws[:, defined]).mean(axis=0)
    if (lost > 0.05).any():
        few = ", ".join(np.array(FINDINGS)[defined][lost > 0.05])
        warnings.warn(f"More than 5 % of the resamples lack a class of {few}: too few patients.", stacklevel=3)
    low, high = np.full((2, len(values)), np.nan)
    for j, column in enumerate(samples.T):
        if not np.isnan(column).all():
            low[j], high[j] = np.nanquantile(column, [0.025, 0.975])
    n = [len(np.unique(np.concatenate([r.order for r in ranked[0]]))), *(r.n for r in ranked[0])]
    positives = [sum(r.positives for r in ranked[0]), *(r.positives for r in ranked[0])]
    columns = {"value": values, "low": low, "high": high, "n": n, "positives": positives}
    return pd.DataFrame({"finding": ["macro", *FINDINGS], **columns})


def _minus(values: list) -> np.ndarray | float:
    return values[0] if len(values) == 1 else values[0] - values[1]
