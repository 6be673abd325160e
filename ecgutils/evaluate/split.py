"""Splits that keep a patient on one side: folds, a hold-out split, and the guard against leakage."""

import numpy as np
import pandas as pd

from ecgutils.manifest import assert_disjoint, clusters, is_grouped, label_array

STAGE_FOLDS = 50  # separates this random stream from those of other steps with the same seed


def grouped_folds(labels: np.ndarray, clusters: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Fold 0..len(shares)-1 of each row, int (N,): whole clusters are dealt, each fold gets its share of every label.

    Multi-label stratified (Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10) over clusters: the labels of one
    patient are pooled. An unknown label counts as absent. Depends on the set of rows and the seed, not on their order.
    """
    from iterstrat.ml_stratifiers import IterativeStratification  # a second to import, and reading a photo deals none

    names, cluster_of_row = np.unique(clusters, return_inverse=True)
    pooled = np.zeros((len(names), labels.shape[1]), bool)  # (clusters, 5)
    np.logical_or.at(pooled, cluster_of_row, np.nan_to_num(labels) == 1)
    rng = np.random.default_rng([seed, STAGE_FOLDS])
    order, fold = rng.permutation(len(names)), np.zeros(len(names), int)
    if len(names):
        fold[order] = IterativeStratification(pooled[order], shares, rng)
    return fold[cluster_of_row]


def split_bhf(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the manifest with `fold` filled: tenths, 1-8 to train, 9 to validate, 10 to test, as PTB-XL's.

    Stratified by `grouped_folds`: one patient stays in one fold. BHF names no patient, so there each image is its own
    cluster, one patient's ECGs may fall on both sides, and numbers from this split have to be called *ungrouped*.
    Raises ValueError when there are too few clusters for the three parts.
    """
    fold = 1 + grouped_folds(label_array(train), clusters(train), np.full(10, 0.1), seed)
    if not all(np.isin(part, fold).any() for part in (range(1, 9), 9, 10)):
        raise ValueError(f"split_bhf: {len(train)} image(s) are too few patients to train, validate and test on.")
    return train.assign(fold=pd.array(fold, dtype="Int64"))


def check_roles(**manifests: pd.DataFrame) -> str:
    """Refuse a run in which two roles share a patient; say what its numbers have to be called.

    manifests : by role, e.g. `check_roles(training=..., ensembling=..., calibration=..., test=...)`.

    Returns "disjoint by patient"; or "ungrouped" where an image names no patient: then only shared records and images
    can be found, a patient may stand on both sides, and numbers flatter (as in the challenge itself). Raises ValueError
    with the roles and the patients that two of them share.
    """
    assert_disjoint(**manifests)
    return "disjoint by patient" if all(map(is_grouped, manifests.values())) else "ungrouped"
