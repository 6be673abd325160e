"""Blend the predictions of several models, joined by ID, never by row position."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import rankdata

from ecgutils.findings import FINDINGS
from ecgutils.learn.predictions import prediction_table

_EPSILON = 1e-7  # keeps the logit of a probability of exactly 0 or 1 finite


def _mean(members: np.ndarray) -> np.ndarray:
    """Mean over axis 0 of the members that answered; sorted first, so that their order cannot change a bit of it."""
    answered = np.isfinite(members).sum(axis=0)
    total = np.nansum(np.sort(members, axis=0), axis=0)
    return np.divide(total, answered, out=np.full(total.shape, np.nan), where=answered > 0)


def _logit_mean(members: np.ndarray) -> np.ndarray:
    return expit(_mean(logit(np.clip(members, _EPSILON, 1 - _EPSILON))))


def _rank_mean(members: np.ndarray) -> np.ndarray:
    """Mean of (rank - 0.5) / n within each member and finding: keeps order only, it is not a probability."""
    answered = np.isfinite(members).sum(axis=1, keepdims=True)
    ranks = rankdata(members, axis=1, nan_policy="omit")
    return _mean((ranks - 0.5) / np.maximum(answered, 1))


BLENDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": _mean,
    "logit_mean": _logit_mean,
    "rank_mean": _rank_mean,
}


def blend(frames: Sequence[pd.DataFrame], how: str = "mean") -> pd.DataFrame:
    """Blend prediction tables of the same images.

    Parameters
    ----------
    frames : tables with ID and the five probabilities in [0, 1]; NaN = this member has no answer.
    how : "mean", "logit_mean" (mean of log-odds), or "rank_mean" (mean rank in 0..1: for AUROC only).

    Returns
    -------
    The first table, in its row order, with the probabilities replaced: a member's NaN is left out of the mean, and
    the result is NaN only where every member's is. Other columns (quality, readable, reasons) are the first table's.

    Raises
    ------
    ValueError : no table, unknown `how`, bad table, or tables with different IDs (the first few are named).
    """
    if how not in BLENDS:
        raise ValueError(f"blend: unknown how={how!r}; use one of {', '.join(BLENDS)}.")
    if not len(frames):
        raise ValueError("blend: no prediction table given; pass at least one.")
    tables = [prediction_table(frame, f"blend: table {i}") for i, frame in enumerate(frames)]
    ids = tables[0]["ID"]
    for i, table in enumerate(tables[1:], 1):
        for lacking, having, numbers in ((table["ID"], ids, (i, 0)), (ids, table["ID"], (0, i))):
            lost = having[~having.isin(lacking)].tolist()
            if lost:
                raise ValueError(
                    f"blend: table {numbers[0]} lacks {len(lost)} ID(s) that table {numbers[1]} has: "
                    f"{', '.join(lost[:5])}; predict the same images with every model."
                )
    members = np.stack([t.set_index("ID").loc[ids, list(FINDINGS)].to_numpy() for t in tables])  # (M, N, 5)
    blended = tables[0].copy()
    blended[list(FINDINGS)] = BLENDS[how](members)
    return blended
