"""A table of predictions: in a file, checked, joined with its truth by ID; splits that keep a patient on one side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecgutils.files import jsonable, write_bytes
from ecgutils.findings import FINDINGS
from ecgutils.manifest import clusters, label_array, read_text_csv
from ecgutils.optional import optional

STAGE_FOLDS = 50  # separates this random stream from those of other steps with the same seed
FOLDS = 5  # of a cross-fit
ENDINGS = (".csv", ".jsonl", ".parquet")  # of a file of predictions


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write a table of predictions as its ending says, one of ENDINGS, atomically; Parquet needs pyarrow."""
    if path.suffix.lower() == ".parquet":
        content = table.to_parquet(index=False)
    elif path.suffix.lower() == ".jsonl":
        content = "".join(json.dumps(jsonable(row)) + "\n" for row in table.to_dict("records")).encode()
    else:
        content = table.to_csv(index=False).encode()
    write_bytes(path, content)


def read_predictions(path: str | Path) -> pd.DataFrame:
    """What `write_predictions` wrote: text ID, float probabilities in [0, 1] (NaN = refused) and quality.

    A file of another ending is read as a CSV. A column `calibrated_on` tells that the probabilities are calibrated;
    without it they are raw. FileNotFoundError; ValueError where the file is not what its ending says, or as
    `prediction_table` says; ModuleNotFoundError for Parquet without pyarrow.
    """
    if not (path := Path(path)).is_file():
        raise FileNotFoundError(f"No predictions at {path}: check the path.")
    if path.suffix.lower() == ".parquet":
        pa = optional("pyarrow")

        try:
            table = pd.read_parquet(path)
        except pa.ArrowException as error:
            raise ValueError(f"{path} is not a Parquet file ({str(error).splitlines()[0]}); predict anew.") from None
    elif path.suffix.lower() == ".jsonl":
        try:
            how = {"parse_int": lambda digits: int(digits) if len(digits) < 18 else digits}  # no float holds any
            table = pd.DataFrame([dict(json.loads(line, **how)) for line in path.read_text("utf-8").splitlines()])
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} is not a JSON object a line ({error}); predict anew.") from None
    else:
        table = read_text_csv(path).apply(lambda column: column.str.strip())
        table = table.mask(table.eq("") & (table.columns != "ID"))
    if "quality" in table:
        table["quality"] = pd.to_numeric(table["quality"], errors="coerce")
    return prediction_table(table, str(path))


def prediction_table(table: pd.DataFrame, name: str, findings: Sequence[str] = FINDINGS) -> pd.DataFrame:
    """Check a predictions table and return it with text IDs and float probabilities; NaN = no answer. ValueError for a
    missing column, a repeated ID, or a value that is no number in [0, 1], with its ID."""
    if missing := [column for column in ("ID", *findings) if column not in table.columns]:
        raise ValueError(f"{name}: missing column(s) {', '.join(missing)}; predictions need ID and {tuple(findings)}.")
    table = table.reset_index(drop=True)
    table["ID"] = table["ID"].astype(str)
    if repeated := table.loc[table["ID"].duplicated(), "ID"].tolist():
        raise ValueError(f"{name}: ID {repeated[0]} occurs more than once; keep one row per ID.")
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
    """Predictions beside their truth, sorted by ID: `p` and `y` float64 (N, 5), `clusters` str (N,). NaN in `p` is no
    answer, in `y` an unknown label; clusters are patients where they are known."""

    p: np.ndarray
    y: np.ndarray
    clusters: np.ndarray

    def subset(self, rows: np.ndarray) -> "Scored":
        """Those of a bool mask."""
        return Scored(self.p[rows], self.y[rows], self.clusters[rows])

    def folds(self, seed: int) -> list[np.ndarray]:
        """Bool masks (N,) of the fifth of patients left out in turn, or of one; ValueError with fewer than two."""
        if (folds := min(FOLDS, len(set(self.clusters)))) < 2:
            raise ValueError(f"Cross-fitting needs images of two patients or more, got {folds}.")
        fold = grouped_folds(self.y, self.clusters, folds, seed)
        return [fold == k for k in range(folds)]


def join_truth(predictions: pd.DataFrame, truth: pd.DataFrame) -> Scored:
    """Predictions and a manifest joined by ID, in any order; ValueError, naming IDs, when either lacks an image."""
    table = prediction_table(predictions, "predictions").set_index("ID").sort_index()
    truth = truth.set_index("image_id", drop=False).sort_index()
    if lost := sorted(set(table.index) ^ set(truth.index)):
        raise ValueError(f"Predictions and truth differ in {len(lost)} image(s): {', '.join(lost[:5])}.")
    return Scored(table[list(FINDINGS)].to_numpy(np.float64), label_array(truth).astype(np.float64), clusters(truth))


def fill_unreadable(predictions: pd.DataFrame, prevalence: Mapping[str, float]) -> pd.DataFrame:
    """The table with each NaN probability replaced by its finding's training prevalence, to score as the challenge."""
    return predictions.fillna(check_prevalence(prevalence))


def quality_band(quality: np.ndarray) -> np.ndarray:
    """Third of the quality each image lies in, text (N,): "low", "middle", "high" (equals upwards), or "unreadable"."""
    q = np.nan_to_num(np.asarray(quality, dtype=float))
    cuts = np.quantile(q[q > 0], [1 / 3, 2 / 3]) if (q > 0).any() else np.zeros(2)
    return np.where(q > 0, np.array(["low", "middle", "high"])[np.searchsorted(cuts, q, side="right")], "unreadable")


def check_prevalence(prevalence: Mapping[str, float], findings: Sequence[str] = FINDINGS) -> dict[str, float]:
    """`prevalence` as floats of `findings`; ValueError where one is missing or no share."""
    fill = {f: float(prevalence.get(f, np.nan)) for f in findings}
    if bad := [f"{f}: {share}" for f, share in fill.items() if not 0 <= share <= 1]:
        raise ValueError(f"The prevalence has {', '.join(bad)}; give the training share in [0, 1] of each finding.")
    return fill


def scores_by_id(predictions: pd.DataFrame, ids: Sequence[str], prevalence: Mapping[str, float]) -> np.ndarray:
    """Probabilities float64 (N, 5) in the order of `ids`, NaN filled; KeyError for an id without a prediction."""
    return fill_unreadable(predictions, prevalence).set_index("ID").loc[list(ids), list(FINDINGS)].to_numpy(np.float64)


def grouped_folds(labels: np.ndarray, clusters: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold 0..folds-1 of each row, int (N,): whole clusters are dealt, each fold gets as much of every label.

    Multi-label stratified (Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10) over clusters: the labels of one
    patient are pooled. An unknown label counts as absent. Depends on the set of rows and the seed, not on their order.
    """
    deal = optional("iterstrat.ml_stratifiers").IterativeStratification
    names, cluster_of_row = np.unique(clusters, return_inverse=True)
    pooled = np.zeros((len(names), labels.shape[1]), bool)  # (clusters, 5)
    np.logical_or.at(pooled, cluster_of_row, np.nan_to_num(labels) == 1)
    rng = np.random.default_rng([seed, STAGE_FOLDS])
    order, fold = rng.permutation(len(names)), np.zeros(len(names), int)
    if len(names):
        fold[order] = deal(pooled[order], np.full(folds, 1 / folds), rng)
    return fold[cluster_of_row]
