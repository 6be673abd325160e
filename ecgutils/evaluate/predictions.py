"""A table of predictions: checked, filled, and joined with its truth by ID."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecgutils.evaluate.split import grouped_folds
from ecgutils.findings import FINDINGS
from ecgutils.manifest import clusters, label_array


def prediction_table(table: pd.DataFrame, name: str, findings: Sequence[str] = FINDINGS) -> pd.DataFrame:
    """Check a predictions table and return it with text IDs and float probabilities; NaN = no answer.

    Raises
    ------
    ValueError : missing column, repeated ID, value that is no number or lies outside [0, 1]; names the ID.
    """
    missing = [column for column in ("ID", *findings) if column not in table.columns]
    if missing:
        raise ValueError(f"{name}: missing column(s) {', '.join(missing)}; predictions need ID and {tuple(findings)}.")
    table = table.reset_index(drop=True)
    table["ID"] = table["ID"].astype(str)
    repeated = table["ID"].duplicated()
    if repeated.any():
        raise ValueError(f"{name}: ID {table.loc[repeated, 'ID'].iloc[0]} occurs more than once; keep one row per ID.")
    for finding in findings:
        values = pd.to_numeric(table[finding], errors="coerce").astype(float)
        bad = (values.isna() & table[finding].notna()) | (values < 0) | (values > 1)
        if bad.any():
            row = table.loc[bad].iloc[0]
            raise ValueError(f"{name}: {finding} of ID {row['ID']} is {row[finding]}, not a probability in [0, 1].")
        table[finding] = values
    return table


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions beside their truth, sorted by ID: `ids` str (N,), `p` and `y` float64 (N, 5), `clusters` str (N,).

    NaN in `p` is no answer, in `y` an unknown label; clusters are patients where they are known.
    """

    ids: np.ndarray
    p: np.ndarray
    y: np.ndarray
    clusters: np.ndarray

    def subset(self, rows: np.ndarray) -> "Scored":
        """Those of a bool mask."""
        return Scored(self.ids[rows], self.p[rows], self.y[rows], self.clusters[rows])

    def folds(self, folds: int, seed: int) -> list[np.ndarray]:
        """Bool masks (N,) of the patients left out in turn; of fewer patients than `folds`, one each.

        Raises ValueError when there are fewer than two.
        """
        folds = min(folds, len(set(self.clusters)))
        if folds < 2:
            raise ValueError(f"Cross-fitting needs images of two patients or more and two folds, got {folds}.")
        fold = grouped_folds(self.y, self.clusters, np.full(folds, 1 / folds), seed)
        return [fold == k for k in range(folds)]


def join_truth(predictions: pd.DataFrame, truth: pd.DataFrame) -> Scored:
    """Join a predictions table with a manifest by ID, whatever the order of their rows.

    Raises ValueError, naming IDs, when one of the two has an image that the other lacks.
    """
    table = prediction_table(predictions, "predictions").set_index("ID").sort_index()
    truth = truth.set_index("image_id", drop=False).sort_index()
    lost = sorted(set(table.index) ^ set(truth.index))
    if lost:
        raise ValueError(f"Predictions and truth differ in {len(lost)} image(s): {', '.join(lost[:5])}.")
    values = table[list(FINDINGS)].to_numpy(np.float64)
    return Scored(table.index.to_numpy(str), values, label_array(truth).astype(np.float64), clusters(truth))


def fill_unreadable(predictions: pd.DataFrame, prevalence: Mapping[str, float]) -> pd.DataFrame:
    """The table with every NaN probability replaced by the training prevalence of its finding.

    For scoring as the challenge does; the submission writer does the same. Elsewhere an unreadable row stays NaN.
    """
    return predictions.fillna(check_prevalence(prevalence))


def check_prevalence(prevalence: Mapping[str, float], findings: Sequence[str] = FINDINGS) -> dict[str, float]:
    """`prevalence` as floats of `findings`; ValueError where one is missing or no share."""
    missing = [f for f in findings if f not in prevalence]
    if missing:
        raise ValueError(f"The prevalence lacks {', '.join(missing)}; give the training share of each.")
    fill = {f: float(prevalence[f]) for f in findings}
    bad = [f for f, share in fill.items() if not 0 <= share <= 1]
    if bad:
        raise ValueError(f"The prevalence of {bad[0]} is {fill[bad[0]]}, not a share in [0, 1].")
    return fill


def scores_by_id(predictions: pd.DataFrame, ids: Sequence[str], prevalence: Mapping[str, float]) -> np.ndarray:
    """Probabilities float64 (N, 5) in the order of `ids`, an image's NaN filled by `fill_unreadable`.

    Raises KeyError for an id without a prediction.
    """
    table = fill_unreadable(predictions, prevalence).set_index("ID")
    return table.loc[list(ids), list(FINDINGS)].to_numpy(np.float64)
