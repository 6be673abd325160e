"""The manifest, one CSV row per image, the only thing that links images to labels and patients; and CSVs as text."""

import csv
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgutils.files import atomic_path, page_of, printable, read_arrays, write_bytes
from ecgutils.findings import FINDINGS

pd.options.mode.string_storage = "python"  # pyarrow's, where it is installed, refuse a file name that is not UTF-8
CORNER_COLUMNS = tuple(f"{corner}_{axis}" for corner in ("tl", "tr", "br", "bl") for axis in "xy")
MANIFEST_COLUMNS = (
    "image_id", "path", "image_source", "signal_source", "record_id", "patient_id", "fold",
    *FINDINGS, "layout", "px_per_mm", "width", "height",
)  # fmt: skip
_TEXT = ("image_id", "path", "image_source", "signal_source", "record_id", "patient_id", "layout")
SEPARATORS = ",;\t"
_LABELS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0, "": np.nan}


def read_rows(path: Path, separators: str = SEPARATORS) -> list[tuple[int, list[str]]]:
    """Line (1-based) and cells of each row of a CSV, blank ones too; ValueError when it is no CSV in UTF-8 text.

    Its separator is the one of `separators` that its first line has most of.
    """
    try:
        with path.open(newline="\n", encoding="utf-8-sig") as file:  # a lone "\r" is damage, not the end of a line
            separator = max(separators, key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, strict=True, delimiter=separator)
            return [(reader.line_num, cells) for cells in reader]
    except (csv.Error, UnicodeError) as error:
        raise ValueError(f"{path} is not a CSV in UTF-8 text ({error}); save it so, or restore the original.") from None


def read_text_csv(path: Path) -> pd.DataFrame:
    """A CSV with all cells as text, indexed by line (1-based), without blank lines and a spreadsheet's commas at ends.

    FileNotFoundError; ValueError when it is no CSV, or a line has more or fewer cells than the header.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No CSV at {path}: check the path.")
    lines = [(line, cells) for line, cells in read_rows(path) if any(cell.strip() for cell in cells)]
    if not lines:
        raise ValueError(f"{path} is not a readable CSV (it has no line); restore the original file.")
    header = [name.strip() for name in lines.pop(0)[1]]
    while not header[-1]:
        header.pop()
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: a column is there more than once ({', '.join(header)}); keep one of them.")
    for line, cells in lines:
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            raise ValueError(f"{path}: line {line} has {len(cells)} cells, the header {len(header)}; correct the file.")
    rows = [cells[: len(header)] for _, cells in lines]
    return pd.DataFrame(rows, columns=header, index=pd.Index([line for line, _ in lines], name="line"), dtype=object)


def label_values(cells: pd.Series, name: str) -> pd.Series:
    """Labels as float, NaN = unknown, of numbers, truth values or text: 0, 1, 0.0, 1.0, true, false or empty.

    ValueError, as `refuse` says it of the table called `name`, for anything else.
    """
    words = cells.astype(object).where(cells.notna(), "").astype(str).str.strip().str.lower()
    refuse(cells, ~words.isin(list(_LABELS)), name, "use 0, 1, true, false or empty (unknown)")
    return words.map(_LABELS).astype(float)


def refuse(cells: pd.Series, bad: pd.Series, name: str, what_to_do: str) -> None:
    """ValueError for the first cell that is `bad` (bool) in a column of the table called `name`.

    It tells the line where the index is that of `read_text_csv`, else the row.
    """
    if bad.any():
        row = int(bad.to_numpy().argmax())
        where = f"line {cells.index[row]}" if cells.index.name == "line" else f"data row {row + 1}"
        value = cells.iloc[row]
        raise ValueError(
            f"{name}: {cells.name} is {repr(value) if isinstance(value, str) else value} in {where}; {what_to_do}."
        )


def read_manifest(path: str | Path) -> pd.DataFrame:
    """A manifest CSV as a frame with at least MANIFEST_COLUMNS; `path` becomes absolute.

    Text columns are strings ("" = unknown), the five findings float (0, 1, NaN = unknown), `fold` a nullable integer.
    Raises FileNotFoundError; ValueError for a missing column, a repeated or empty image_id, or as `label_values`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No manifest at {path}: run the notebook that writes it, or check the path.")
    read_text_csv(path)  # pandas would take a line that was cut off for a row of unknown labels
    how = {"keep_default_na": False, "na_values": [""], "index_col": False}  # only "" is unknown: "NA" may be a name
    table = check_manifest(pd.read_csv(path, dtype=dict.fromkeys((*_TEXT, "fold"), str), **how), str(path))
    return table.assign(path=[str(path.absolute().parent / p) if p else "" for p in table["path"]])


def check_manifest(table: pd.DataFrame, name: str = "manifest") -> pd.DataFrame:
    """Check and normalise a manifest frame as `read_manifest` describes, but for its paths."""
    if missing := [column for column in MANIFEST_COLUMNS if column not in table.columns]:
        raise ValueError(f"{name}: missing column(s) {', '.join(missing)}; a manifest needs {MANIFEST_COLUMNS}.")
    table = table.copy()
    for column in _TEXT:
        table[column] = table[column].astype(object).where(table[column].notna(), "").astype(str)
    bad_id = table["image_id"].eq("") | table["image_id"].duplicated()
    refuse(table["image_id"], bad_id, name, "each image needs its own, not empty")
    for finding in FINDINGS:
        table[finding] = label_values(table[finding], name)
    folds = pd.to_numeric(table["fold"], errors="coerce")
    empty = table["fold"].isna() | table["fold"].eq("").fillna(True)
    refuse(table["fold"], ~((folds % 1 == 0) & (folds.abs() < 1e9) | empty), name, "use a whole number or empty")
    table["fold"] = folds.astype("Int64")
    return table.reset_index(drop=True)


def make_manifest(ids: Sequence[str], name: str, **known: Any) -> pd.DataFrame:
    """A manifest of these image_ids, of which the columns `known` are; `name` is what a complaint calls it."""
    table = dict.fromkeys(MANIFEST_COLUMNS, np.nan) | {"image_id": ids} | known
    return check_manifest(pd.DataFrame(table, index=range(len(ids))), name)


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


def manifest_from_paths(paths: Sequence[Path], name: str = "list of images", **known: Any) -> pd.DataFrame:
    """A manifest of image files: `image_ids` are the image_id, all else but `known` (as `make_manifest`) is unknown."""
    known = {"image_source": "photo files", **known}
    return make_manifest(image_ids(paths), name, path=[str(path.absolute()) for path in paths], **known)


def write_targets(table: pd.DataFrame, path: str | Path) -> None:
    """Write what is known of signals (`record_id` and numeric columns, see `signals.beat_targets`) to one .npz file."""
    values = table.drop(columns="record_id")
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        ids, columns = table["record_id"].to_numpy(str), values.columns.to_numpy(str)
        np.savez_compressed(stream, record_id=ids, columns=columns, values=values.to_numpy(np.float32))


def read_targets(path: str | Path) -> pd.DataFrame:
    """Read what `write_targets` wrote; FileNotFoundError when it isn't there, ValueError when it is torn."""
    stored = read_arrays(Path(path), "run notebook 01 again, which writes it")
    table = pd.DataFrame(stored["values"], columns=stored["columns"])
    table.insert(0, "record_id", stored["record_id"])
    return table
