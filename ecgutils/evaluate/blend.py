"""Blend the predictions of several models, joined by ID, never by row position."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from ecgutils.evaluate.calibration import fit_logistic, log_odds
from ecgutils.evaluate.predictions import Scored, join_truth, prediction_table
from ecgutils.findings import FINDINGS

_RIDGE = 1e-4  # lets equal members share, and keeps weights finite on separable data


def _mean(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over axis 0 of the members that answered; sorted first, so that their order cannot change a bit."""
    weights = np.where(np.isfinite(members), weights[:, None, None], 0.0)
    total = np.sort(np.where(weights > 0, members, 0.0) * weights, axis=0).sum(axis=0)
    said = np.sort(weights, axis=0).sum(axis=0)
    return np.divide(total, said, out=np.full(total.shape, np.nan), where=said > 0)


def _logit_mean(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return expit(_mean(log_odds(members), weights))


def _rank_mean(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of (rank - 0.5) / n within each member and finding: keeps order only, it is not a probability."""
    ranks = np.stack([pd.DataFrame(member).rank().to_numpy() for member in members])  # (M, N, 5), NaN without answer
    return _mean((ranks - 0.5) / np.maximum(np.isfinite(members).sum(axis=1, keepdims=True), 1), weights)


BLENDS: dict[str, Callable[..., np.ndarray]] = {"mean": _mean, "logit_mean": _logit_mean, "rank_mean": _rank_mean}


def blend(frames: Sequence[pd.DataFrame], how: str = "mean", weights: Sequence[float] | None = None) -> pd.DataFrame:
    """Blend prediction tables of the same images.

    frames : tables with ID and the five probabilities in [0, 1]; NaN = this member has no answer.
    how : "mean", "logit_mean" (mean of log-odds), or "rank_mean" (mean rank in 0..1: for AUROC only).
    weights : one per table, none negative, as `fit_weights` finds them; None = all alike.

    Returns the first table, in its row order, with the probabilities replaced: a member's NaN is left out of the mean,
    and the result is NaN only where that of every member with a weight is. Other columns (quality, readable, reasons)
    are the first table's, but for `calibrated_on`: a blend of calibrated probabilities is not calibrated.
    Raises ValueError for no table, unknown `how`, weights that don't fit, a bad table, or tables of different IDs.
    """
    if how not in BLENDS:
        raise ValueError(f"blend: unknown how={how!r}; use one of {', '.join(BLENDS)}.")
    if not len(frames):
        raise ValueError("blend: no prediction table given; pass at least one.")
    w = np.ones(len(frames)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (len(frames),) or not (np.isfinite(w) & (w >= 0)).all() or not w.any():
        raise ValueError(f"blend: weights are {weights}; give {len(frames)}, none negative and not all 0.")
    tables = [prediction_table(frame, f"blend: table {i}") for i, frame in enumerate(frames)]
    ids = tables[0]["ID"]
    for i, table in enumerate(tables[1:], 1):
        if lost := sorted(set(ids) ^ set(table["ID"])):
            few = ", ".join(lost[:5])
            raise ValueError(f"blend: tables 0 and {i} differ in {len(lost)} ID(s): {few}; predict the same images.")
    members = np.stack([t.set_index("ID").loc[ids, list(FINDINGS)].to_numpy() for t in tables])  # (M, N, 5)
    blended = tables[0].drop(columns="calibrated_on", errors="ignore")
    blended[list(FINDINGS)] = BLENDS[how](members, w)
    return blended


def fit_weights(frames: Sequence[pd.DataFrame], truth: pd.DataFrame) -> np.ndarray:
    """Weights (M,), none negative, of sum 1, by logistic regression on the members' log-odds (stacking).

    Each finding has an intercept of its own and the weights' sum is free while they are fitted, so that they tell which
    member knows more, not which one is better calibrated. Equal members share; if none knows anything, all are alike.

    frames : predictions for images that no member was trained on: validation or out-of-fold, never the test set.
    truth : manifest with their labels, joined by ID. Images that a member did not answer take no part.
    """
    return _fit([join_truth(frame, truth) for frame in frames])


def cross_blend(frames: Sequence[pd.DataFrame], truth: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Mean of every patient, weighted as fitted on the other folds' patients: what fitted weights really bring.
    Arguments as `fit_weights`. Returns what `blend` would, sorted by ID. ValueError with fewer than two patients."""
    scored = [join_truth(frame, truth) for frame in frames]
    blended = blend(frames).sort_values("ID", ignore_index=True)
    members, out = np.stack([member.p for member in scored]), np.empty_like(scored[0].p)
    for left_out in scored[0].folds(seed):
        out[left_out] = _mean(members[:, left_out], _fit([member.subset(~left_out) for member in scored]))
    blended[list(FINDINGS)] = out
    return blended


def _fit(scored: list[Scored]) -> np.ndarray:
    members = np.stack([member.p for member in scored])
    known = ~np.isnan(scored[0].y) & ~np.isnan(members).any(axis=0)
    if not known.any():
        raise ValueError("No image has a label and an answer of every member: nothing to fit weights on.")
    finding = np.eye(len(FINDINGS))[np.nonzero(known)[1]]  # (n, 5): an intercept for each
    x = np.column_stack([log_odds(members[:, known]).T, finding])  # (n, M + 5), findings below each other
    prior, least = np.zeros(x.shape[1]), np.where(np.arange(x.shape[1]) < len(members), 0, -np.inf)
    weights = fit_logistic(x, scored[0].y[known], prior, prior + _RIDGE, least)[: len(members)]
    return weights / weights.sum() if weights.any() else np.full(len(members), 1 / len(members))
