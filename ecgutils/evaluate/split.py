"""A hold-out split for images whose patients are unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecgutils.evaluate.predictions import grouped_folds
from ecgutils.manifest import clusters, label_array

TRAIN_FOLDS, VAL_FOLD, TEST_FOLD = tuple(range(1, 9)), 9, 10  # as PTB-XL's authors advise for their folds


def split_bhf(train: pd.DataFrame, seed: int, val: float = 0.1, test: float = 0.1) -> pd.DataFrame:
    """Return the manifest with `fold` filled: 1-8 train (equal shares), 9 validation, 10 test.

    Stratified by `grouped_folds`: one patient stays in one fold. BHF names no patient, so there each image is its own
    cluster, one patient's ECGs may fall on both sides, and numbers from this split have to be called *ungrouped*.
    The result depends on the set of rows and the seed, not on row order.

    Raises
    ------
    ValueError : a share is not positive, nothing is left for training, or too few clusters to fill both folds.
    """
    if not (val > 0 and test > 0 and val + test < 1):
        raise ValueError(f"split_bhf: val={val} and test={test} must be positive and leave something for training.")
    shares = np.array([(1 - val - test) / len(TRAIN_FOLDS)] * len(TRAIN_FOLDS) + [val, test])
    fold = 1 + grouped_folds(label_array(train), clusters(train), shares, seed)
    if not all(np.isin(part, fold).any() for part in (TRAIN_FOLDS, VAL_FOLD, TEST_FOLD)):
        raise ValueError(f"split_bhf: {len(train)} image(s) are too few patients to train, validate and test on.")
    return train.assign(fold=pd.array(fold, dtype="Int64"))
