"""A folder per finding: MI/, cd/, "MI+CD" or MI_CD, normal/ for none; train/ and test/ may be around them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecgutils.findings import FINDINGS
from ecgutils.manifest import manifest_from_paths
from ecgutils.targets.base import Labelled, Target, images, label_columns, left_out

NONE = ("NORMAL", "NORM", "NONE")
_PARTS = ("train", "test")


def read_folders(path: Path) -> Labelled:
    """Photos labelled by the name of their folder, which tells all of the five that they show: the rest is 0.

    ValueError for a folder whose name is no finding. Photos beside the folders are left out, as a note says.
    """
    found = images(path)
    places = {photo: _place(photo.parent.relative_to(path).parts) for photo in found}
    photos = [photo for photo in found if places[photo][1]]
    findings = [_findings(places[photo][1], photo.parent) for photo in photos]
    table = manifest_from_paths(photos, str(path), **label_columns(findings))
    tests = np.array([places[photo][0] == "test" for photo in photos], bool)
    train, test = (table[rows].reset_index(drop=True) for rows in (~tests, tests))
    return Labelled(train, test, tuple(filter(None, [left_out(found, photos, "in no folder of a finding")])))


def _place(names: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Part of the set and names of the folders below it."""
    return (names[0].lower(), names[1:]) if names and names[0].lower() in _PARTS else ("train", names)


def _words(name: str) -> set[str]:
    return set(re.split(r"[+_&, -]+", name.upper()))


def _findings(names: Sequence[str], folder: Path) -> set[str]:
    words = _words(names[0])
    found = words & set(FINDINGS)
    if len(names) > 1 or not words <= {*FINDINGS, *NONE} or (found and words != found):
        known = f"one of {', '.join(FINDINGS)}, several as in MI+CD, or normal, with photos right in it"
        raise ValueError(f"{folder} is not named after a finding; name it {known}, or move it away.")
    return found


def _matches(path: Path) -> bool:
    if not path.is_dir():
        return False
    places = {_place(photo.parent.relative_to(path).parts)[1] for photo in images(path)}
    return any(_words(names[0]) <= {*FINDINGS, *NONE} for names in places if names)


TARGET = Target("folders", _matches, read_folders)
