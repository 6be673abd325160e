"""Labelled photos as the target of a run, whatever layout they come in; a reader is one record, listed here.

bhf.py      the BHF challenge        ecg_image_kit.py   the generator's folders     genecg.py   images of PTB-XL records
table.py    a CSV of paths           image_database.py  <id>/<id>-0001.png          folders.py  a folder per finding
base.py     what a reader gives, and what is checked of all
parts.py    what of it a run learns from and what it tests on
"""

import warnings
from pathlib import Path

import pandas as pd

from ecgutils.findings import FINDINGS
from ecgutils.targets import bhf, ecg_image_kit, folders, genecg, image_database, table
from ecgutils.targets.base import Labelled, Target, checked, put_apart
from ecgutils.targets.parts import run_parts

TARGETS = [
    bhf.TARGET, ecg_image_kit.TARGET, image_database.TARGET, table.TARGET, folders.TARGET, genecg.TARGET,
]  # fmt: skip


def read_target(path: str | Path, test: str | Path | None = None, ptbxl: str | Path | None = None) -> Labelled:
    """Read labelled photos with the first of TARGETS that knows the layout of `path`, and check them.

    test : labelled photos in a place of their own, to test on; a CSV may lack labels there.
    ptbxl : folder with PTB-XL's two tables, for images that have an ecg_id in their names.

    What has to be known but stops nothing is in the notes, warnings of the readers included. `image_id` is unique in
    each part only.
    Raises FileNotFoundError for a place that isn't there; ValueError, in one sentence, for a layout that is not known,
    a label or a split that can't be read, a photo listed twice, a patient or a labelled photo in both parts.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = _read(Path(path), ptbxl)
        if test is not None:
            found = put_apart(found, _read(Path(test), ptbxl, may_lack_labels=True), f"{path} or {test}")
        found = checked(found)
    for warning in told:
        if not issubclass(warning.category, UserWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    said = (str(warning.message) for warning in told if issubclass(warning.category, UserWarning))
    return Labelled(found.train, found.test, tuple(dict.fromkeys((*said, *found.notes))))


def find_target(path: str | Path) -> Target:
    """The first of TARGETS that knows the layout of `path`, by a look; FileNotFoundError, ValueError if none is."""
    if not (path := Path(path)).exists():
        raise FileNotFoundError(f"No labelled photos at {path}: correct the path.")
    if target := next((target for target in TARGETS if target.matches(path)), None):
        return target
    known = f"sub-folders named {', '.join(FINDINGS)} or normal, or a layout of data/README.md"
    raise ValueError(f"{path}: no labelled photos are known there; give a CSV with paths and findings, {known}.")


def read_truth(path: str | Path) -> pd.DataFrame:
    """Labels to score by, as one manifest: of a CSV, where an ID may stand for the photo, or of any other of TARGETS.

    A CSV's `image_id` is its ID, else its path as written. Photos need not be there, nor patients: without them results
    are *ungrouped*. Warns of the readers' notes. Raises as `read_target`, but for photos or patients in two parts.
    """
    target = find_target(path := Path(path))
    if target is table.TARGET:
        return table.read_labels(path)
    found = target.read(path)
    for note in found.notes:
        warnings.warn(note, stacklevel=2)
    parts = [part for part in (found.train, found.test) if part[list(FINDINGS)].notna().any(axis=None)]
    if not parts:
        raise ValueError(f"{path}: none of its photos has a label; give photos that have.")
    truth = pd.concat(parts, ignore_index=True)
    # an ID made of a path depends on the photos beside it; the challenge's are its own
    own = truth["path"].eq("") | (target is bhf.TARGET)
    return truth.assign(image_id=truth["image_id"].where(own, truth["path"]))


def _read(path: Path, ptbxl: str | Path | None, may_lack_labels: bool = False) -> Labelled:
    if path.exists() and ptbxl is not None:
        return genecg.read_genecg(path, ptbxl)
    target = find_target(path)
    return table.read_table(path, may_lack_labels) if target is table.TARGET else target.read(path)
