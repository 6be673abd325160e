"""A hold-out split for images whose patients are unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import IterativeStratification

from ecgutils.manifest import clusters, label_array

STAGE = 50  # separates this random stream from those of other steps with the same seed
TRAIN_FOLDS, VAL_FOLD, TEST_FOLD = tuple(range(1, 9)), 9, 10  # as PTB-XL's authors advise for their folds


def split_bhf(train: pd.DataFrame, seed: int, val: float = 0.1, test: float = 0.1) -> pd.DataFrame:
    """Return the manifest with `fold` filled: 1-8 train (equal shares), 9 validation, 10 test.

    Multi-label stratified (Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10) over clusters: the labels of
    one patient are pooled and stay in one fold. BHF names no patient, so there each image is its own cluster, one
    patient's ECGs may fall on both sides, and numbers from this split have to be called *ungrouped*.
    An unknown label counts as absent. The result depends on the set of rows and the seed, not on row order.

    Raises
    ------
    ValueError : a share is not positive, nothing is left for training, or too few clusters to fill both folds.
    """
    if not (val > 0 and test > 0 and val + test < 1):
        raise ValueError(f"split_bhf: val={val} and test={test} must be positive and leave something for training.")
    names, cluster_of_row = np.unique(clusters(train), return_inverse=True)
    pooled = np.zeros((len(names), label_array(train).shape[1]), bool)  # (clusters, 5)
    np.logical_or.at(pooled, cluster_of_row, np.nan_to_num(label_array(train)) == 1)
    rng = np.random.default_rng([seed, STAGE])
    order = rng.permutation(len(names))
    shares = np.array([(1 - val - test) / len(TRAIN_FOLDS)] * len(TRAIN_FOLDS) + [val, test])
    fold = np.zeros(len(names), int)
    if len(names):
        fold[order] = 1 + IterativeStratification(pooled[order], shares, rng)
    if not all(np.isin(part, fold).any() for part in (TRAIN_FOLDS, VAL_FOLD, TEST_FOLD)):
        raise ValueError(f"split_bhf: {len(names)} image(s) or patients are too few to train, validate and test on.")
    return train.assign(fold=pd.array(fold[cluster_of_row], dtype="Int64"))
