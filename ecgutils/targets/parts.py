"""Labelled photos as the parts of a run: what is learned from, chosen on, tested on, and predicted."""

import numpy as np
import pandas as pd

from ecgutils.evaluate.predictions import grouped_folds
from ecgutils.findings import FINDINGS
from ecgutils.manifest import clusters, label_array
from ecgutils.targets.base import Labelled


def run_parts(found: Labelled, seed: int) -> dict[str, pd.DataFrame]:
    """Manifests "train", "val", "test", apart in patients where they are known, and "submit", what is predicted.

    A test with labels is both "test" and "submit"; one without is "submit". Where no test has labels, the last fold
    tests (and is "submit" if there is no other); the last fold that is left validates. Folds are those that the photos
    name, else tenths of the patients, alike in findings, dealt with `seed`, whatever the order of the rows.
    A photo without any label is in "submit" alone. Where a part would have an ID twice, the training photo's gets
    "train-" in front. A finding that is not 0 and 1 in "train" has no label there and in "val": else a constant would
    be learned in place of what a network knew.

    Raises ValueError where only some photos name a fold, folds are too few, or nothing can be learned.
    """
    train, test = found.train, found.test
    known, scored = (table[list(FINDINGS)].notna().any(axis=1) for table in (train, test))
    twice = train["image_id"].isin(test["image_id"]) & (scored.any() | ~known)
    train = train.assign(image_id=train["image_id"].mask(twice, "train-" + train["image_id"]))
    bare, train = train[~known], train[known]
    if train["fold"].isna().all():
        fold = 1 + grouped_folds(label_array(train), clusters(train), 10, seed)
        train = train.assign(fold=pd.array(fold, dtype="Int64"))
    elif absent := train["fold"].isna().sum():
        raise ValueError(f"{absent} of {len(train)} labelled photo(s) have no fold; give all of them one, or none.")
    held = ("val",) if scored.any() else ("val", "test")
    folds = sorted(set(train["fold"]))
    if len(folds) <= len(held):
        what = f"{len(train)} labelled photo(s) are in {len(folds)} fold(s)"
        raise ValueError(f"{what}, too few to train, validate and test on; give photos of more patients.")
    parts = {"train": train[train["fold"].isin(folds[: -len(held)])]}
    parts |= {name: train[train["fold"].eq(fold)] for name, fold in zip(held, folds[-len(held) :], strict=True)}
    lacking = [finding for finding in FINDINGS if parts["train"][finding].nunique() < 2]
    if len(lacking) == len(FINDINGS):
        raise ValueError("No finding is 0 in some photos to learn from and 1 in others: label photos of both kinds.")
    parts |= {name: parts[name].assign(**dict.fromkeys(lacking, np.nan)) for name in ("train", "val")}
    parts["test"] = test if scored.any() else parts["test"]
    parts["submit"] = pd.concat([table for table in (test if len(test) else parts["test"], bare) if len(table)])
    return {name: table.reset_index(drop=True) for name, table in parts.items()}
