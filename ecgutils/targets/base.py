"""What a reader of labelled photos gives, and what is checked of it, whichever reader it was."""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecgutils.evaluate.labelled import FEWEST
from ecgutils.files import content_hash, page_of
from ecgutils.findings import FINDINGS
from ecgutils.manifest import check_roles, label_array
from ecgutils.preprocess.decode import SUFFIXES
from ecgutils.preprocess.pages import pages_of, walk


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labelled photos: manifests to train and to test on (may be empty), and `notes`, plain sentences.

    Paths are absolute, "" where a listed file is not there; labels are NaN where unknown.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A reader: its name, whether a place has its layout (a look, no error), and what reads it."""

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Path], Labelled]


def images(folder: Path) -> list[Path]:
    """Image files in a folder and below, page by page, sorted, without hidden ones; warns of a closed folder."""
    found = [path for paths in walk(folder, recursive=True) for path in paths if path.suffix.lower() in SUFFIXES]
    paged = (".pdf", ".tif", ".tiff")  # others need not be opened to know that they are one page
    return [page for path in found for page in (pages_of(path) if path.suffix.lower() in paged else [path])]


def label_columns(findings: Sequence[Collection[str] | None]) -> dict[str, list[float]]:
    """Columns of 0 and 1 from the findings of each photo; None = unknown."""
    return {f: [np.nan if has is None else float(f in has) for has in findings] for f in FINDINGS}


def all_to_train(table: pd.DataFrame, *notes: str) -> Labelled:
    """`Labelled` photos of which none is set apart to test; an empty note is none."""
    return Labelled(table, table.iloc[:0], tuple(filter(None, notes)))


def left_out(found: Sequence[Path], taken: Sequence[Path], why: str) -> str:
    """A note on photos that were found and not taken; "" for none."""
    rest = sorted(set(found) - set(taken))
    return f"{len(rest)} photo(s) left out, {why}, e.g. {rest[0]}." if rest else ""


def put_apart(train: Labelled, test: Labelled, names: str) -> Labelled:
    """Two places, read alone, as one. Photos that name neither patient nor record may have the same ID in both."""
    if len(train.test) or len(test.test):
        raise ValueError(f"{names} already sets photos apart to test on; give no second place to test on.")
    alone = test.train["patient_id"].eq("") & test.train["record_id"].eq("")
    records = test.train["record_id"].mask(alone, "test-" + test.train["image_id"])
    notes = (*train.notes, *(f"Of the test: {note}" for note in test.notes))
    return Labelled(train.train, test.train.assign(record_id=records), notes)


def checked(found: Labelled) -> Labelled:
    """The same with notes on what is missing, unlabelled, ungrouped, rare or there twice.

    ValueError for no photo, a patient in both parts, or a photo in both of which the test has labels: without labels
    nothing is measured, as in a challenge, and a note is enough.
    """
    if found.train.empty:
        raise ValueError("No photo to train on: every one is set apart to test, or none is there.")
    notes = list(found.notes)
    if check_roles(train=found.train, test=found.test) == "ungrouped":
        everyone = pd.concat([found.train["patient_id"], found.test["patient_id"]])
        named = f"{everyone.eq('').sum()} of {len(everyone)} photo(s) name no patient"
        notes.append(f"{named}: results are ungrouped, one patient may be on both sides of a split.")
    for name, table in (("train", found.train), ("test", found.test)):
        notes += [f"In {name}: {note}" for note in _label_notes(table)]
    return Labelled(found.train, found.test, (*notes, *_twice(found)))


def _label_notes(table: pd.DataFrame) -> list[str]:
    notes, labels = [], label_array(table)
    if absent := table["path"].eq("").sum():
        first = table.loc[table["path"].eq(""), "image_id"].iloc[0]
        notes.append(f"{absent} of {len(table)} listed photo(s) are not there, kept as unreadable, e.g. {first}.")
    known = ~np.isnan(labels)
    if bare := (~known.any(axis=1)).sum():
        notes.append(f"{bare} of {len(table)} photo(s) have no label.")
    for finding, column in zip(FINDINGS, labels.T, strict=True):
        values = column[~np.isnan(column)]
        if known.any() and not len(values):
            notes.append(f"no label of {finding} is known: it can be neither learnt nor scored.")
        elif len(values) and values.min() == values.max():
            notes.append(f"every known label of {finding} is {values[0]:.0f}: it can be neither learnt nor scored.")
        elif 0 < values.sum() < FEWEST:
            notes.append(f"{finding} has only {values.sum():.0f} positive(s), its scores will say next to nothing.")
    return notes


def _twice(found: Labelled) -> list[str]:
    """A note on photos of the same bytes; only files of one size are read. ValueError as `checked` says."""
    sizes, groups = defaultdict(list), defaultdict(list)
    for part, table in (("train", found.train), ("test", found.test)):
        for path, labels in zip(table["path"], label_array(table), strict=True):
            size = os.path.getsize(page_of(path)[0]) if path else 0  # an empty file is no photo
            sizes[size].append((part, path, labels))
    for row in (row for size, rows in sizes.items() if size and len(rows) > 1 for row in rows):
        if os.access(page_of(row[1])[0], os.R_OK):
            groups[content_hash(row[1])].append(row)
    same = [rows for rows in groups.values() if len(rows) > 1]
    both = [rows for rows in same if len({part for part, _, _ in rows}) > 1]
    if both and found.test[list(FINDINGS)].notna().any(axis=None):
        names = f"{both[0][0][1]} and {both[0][-1][1]}"
        raise ValueError(f"Leakage: {len(both)} photo(s) are in both train and test, e.g. {names}; keep one of each.")
    notes = [f"{len(both)} photo(s) are in both train and test, e.g. {both[0][-1][1]}."] if both else []
    if same:
        names = f"e.g. {same[0][0][1]} and {same[0][1][1]}"
        unlike = sum(any(not np.array_equal(rows[0][2], row[2], equal_nan=True) for row in rows) for rows in same)
        notes.append(f"{len(same)} photo(s) are there more than once, {unlike} of them labelled differently, {names}.")
    return notes
