"""The manifest: one CSV row per image, the only thing that links images to labels and patients."""

import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgutils.files import atomic_path, page_of, printable, write_bytes
from ecgutils.findings import FINDINGS

CORNER_COLUMNS = tuple(f"{corner}_{axis}" for corner in ("tl", "tr", "br", "bl") for axis in "xy")
MANIFEST_COLUMNS = (
    "image_id", "path", "image_source", "signal_source", "record_id", "patient_id", "fold",
    *FINDINGS, "layout", "px_per_mm", "width", "height",
)  # fmt: skip
_TEXT = ("image_id", "path", "image_source", "signal_source", "record_id", "patient_id", "layout")


def read_manifest(path: str | Path) -> pd.DataFrame:
    """A manifest CSV as a frame with at least MANIFEST_COLUMNS; `path` becomes absolute.

    Text columns are strings ("" = unknown), the five findings float (0, 1, NaN = unknown), `fold` a nullable integer.
    Raises FileNotFoundError; ValueError for a missing column, a repeated or empty image_id, a label not 0, 1 or empty.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No manifest at {path}: run the notebook that writes it, or check the path.")
    how = {"keep_default_na": False, "na_values": [""], "index_col": False}  # only "" is unknown: "NA" may be a name
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), **how)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV file ({error}); a manifest is one row per image.") from None
    table = check_manifest(table, str(path))
    return table.assign(path=[str(path.absolute().parent / p) if p else "" for p in table["path"]])


def check_manifest(table: pd.DataFrame, name: str = "manifest") -> pd.DataFrame:
    """Check and normalise a manifest frame as `read_manifest` describes, but for its paths."""
    if missing := [column for column in MANIFEST_COLUMNS if column not in table.columns]:
        raise ValueError(f"{name}: missing column(s) {', '.join(missing)}; a manifest needs {MANIFEST_COLUMNS}.")
    table = table.copy()
    for column in _TEXT:
        table[column] = table[column].astype(object).where(table[column].notna(), "").astype(str)
    bad_id = table["image_id"].eq("") | table["image_id"].duplicated()
    _refuse(table, "image_id", bad_id, name, "each image needs its own, not empty")
    for column in (*FINDINGS, "fold"):
        values = pd.to_numeric(table[column], errors="coerce")
        empty = table[column].isna() | table[column].eq("").fillna(True)
        fits, what = (values % 1 == 0, "a whole number") if column == "fold" else (values.isin([0, 1]), "0, 1")
        _refuse(table, column, ~(fits | empty), name, f"use {what} or empty")
        table[column] = values.astype("Int64" if column == "fold" else float)
    return table.reset_index(drop=True)


def make_manifest(ids: Sequence[str], name: str, **known: Any) -> pd.DataFrame:
    """A manifest of these image_ids, of which the columns `known` are; `name` is what a complaint calls it."""
    table = dict.fromkeys(MANIFEST_COLUMNS, np.nan) | {"image_id": ids} | known
    return check_manifest(pd.DataFrame(table, index=range(len(ids))), name)


def _refuse(table: pd.DataFrame, column: str, bad: pd.Series, name: str, what_to_do: str) -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ValueError(f"{name}: {column} is {table[column].iloc[row]} in data row {row + 1}; {what_to_do}.")


def write_manifest(table: pd.DataFrame, path: str | Path) -> None:
    """Write a manifest atomically; the bytes depend only on the table. Labels are written as 0/1/empty."""
    table = check_manifest(table, str(path))
    for column in (*FINDINGS, "fold"):
        table[column] = table[column].astype("Int64")
    ordered = [*MANIFEST_COLUMNS, *(c for c in table.columns if c not in MANIFEST_COLUMNS)]
    write_bytes(path, table[ordered].to_csv(index=False, lineterminator="\n").encode())


def label_array(table: pd.DataFrame) -> np.ndarray:
    """Labels of a manifest as float32 (N, 5) in FINDINGS order; NaN = unknown."""
    return table[list(FINDINGS)].to_numpy(dtype=np.float32)


def clusters(table: pd.DataFrame) -> np.ndarray:
    """Cluster of each image for bootstrap and splitting: its patient, else its record, else the image itself."""
    own = np.where(table["record_id"].eq(""), "image:" + table["image_id"], "record:" + table["record_id"])
    return np.where(table["patient_id"].eq(""), own, table["patient_id"]).astype(str)


def is_grouped(table: pd.DataFrame) -> bool:
    """True when every image names its patient; otherwise results must be marked *ungrouped*."""
    return bool(table["patient_id"].ne("").all())


def assert_disjoint(**tables: pd.DataFrame) -> None:
    """Raise ValueError, naming patients, when two of the named manifests share a patient (or an image)."""
    for a, b in combinations(tables, 2):
        if shared := sorted(set(clusters(tables[a])) & set(clusters(tables[b]))):
            both = f"{len(shared)} patient(s) are in both {a} and {b}, e.g. {', '.join(shared[:5])}"
            raise ValueError(f"Leakage: {both}; split by patient.")


def check_roles(**manifests: pd.DataFrame) -> str:
    """Refuse, as `assert_disjoint` does, a run in which two roles share a patient; say what to call its numbers.

    Returns "disjoint by patient"; or "ungrouped" where an image names no patient: then only shared records and images
    can be found, a patient may stand on both sides, and numbers flatter (as in the challenge itself).
    """
    assert_disjoint(**manifests)
    return "disjoint by patient" if all(map(is_grouped, manifests.values())) else "ungrouped"


def image_ids(paths: Sequence[Path]) -> list[str]:
    """An ID for each image file: its stem, in which bytes that are not UTF-8 are replaced, since IDs go into CSVs.

    A page of a file (`files.page_of`) has its number behind: "report-p2".
    IDs are unique. Files of one stem in several folders have the folder's name before it, those that are still the same
    (a file that is named twice, two formats of a photo) a number behind it: one warning says so.
    """
    paths = [path.absolute() if path.stem.strip(".") else path.resolve() for path in paths]  # "." and ".." have no name
    pages = [page_of(path) for path in paths]
    stems = [(printable(file.stem) or "root") + f"-p{number}" * (number is not None) for file, number in pages]
    places = Counter(stem for stem, _ in set(zip(stems, (path.parent for path in paths), strict=True)))
    folders = [printable(path.parent.name) for path in paths]
    ids = [stem if places[stem] == 1 else f"{folder}-{stem}" for folder, stem in zip(folders, stems, strict=True)]
    taken = set(ids)
    for i in np.flatnonzero(pd.Series(ids, dtype=object).duplicated()):
        ids[i] = next(own for n in count(2) if (own := f"{ids[i]}-{n}") not in taken)
        taken.add(ids[i])
    if changed := [i for i, stem in enumerate(stems) if ids[i] != stem]:
        example = f"{printable(str(paths[changed[0]]))} is {ids[changed[0]]!r}"
        what = "have the name of another one; their IDs have the folder or a number added"
        warnings.warn(f"{len(changed)} image(s) {what}, e.g. {example}.", stacklevel=2)
    return ids


def manifest_from_paths(paths: Sequence[Path]) -> pd.DataFrame:
    """A manifest of plain image files: `image_ids` are the image_id, everything else is unknown."""
    absolute = [str(path.absolute()) for path in paths]
    return make_manifest(image_ids(paths), "list of images", path=absolute, image_source="photo files")


def write_targets(table: pd.DataFrame, path: str | Path) -> None:
    """Write what is known of signals (`record_id` and numeric columns, see `signals.beat_targets`) to one .npz file."""
    values = table.drop(columns="record_id")
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        ids, columns = table["record_id"].to_numpy(str), values.columns.to_numpy(str)
        np.savez_compressed(stream, record_id=ids, columns=columns, values=values.to_numpy(np.float32))


def read_targets(path: str | Path) -> pd.DataFrame:
    """Read what `write_targets` wrote; FileNotFoundError when it isn't there."""
    with np.load(Path(path)) as stored:
        table = pd.DataFrame(stored["values"], columns=stored["columns"])
        table.insert(0, "record_id", stored["record_id"])
    return table
