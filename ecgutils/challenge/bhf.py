"""Find and read the folder of the BHF Data Science Centre ECG Challenge (Kaggle, 2024).

    train_final.csv                                        ID,STTC,HYP,MI,CD,AF
    train_<k>/train_encoded_relabelled/train_000142.png    ID 142
    test_<k>/test_003079.png                               ID 3079

Train and test are numbered separately: ID 7 exists in both and names two different ECGs, so the two manifests
must not be concatenated or share a cache. `record_id` ("bhf-train-7", "bhf-test-7") tells them apart.
"""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgutils.findings import FINDINGS
from ecgutils.manifest import MANIFEST_COLUMNS, check_manifest

LABELS_NAME = "train_final.csv"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
SEARCH_DEPTH = 4  # /kaggle/input/datasets/<owner>/<slug> is 3 below /kaggle/input; one more for an unpacked archive
_IMAGE_FOLDER = re.compile(r"(train|test)(_\d+)?", re.ASCII)
_ID = re.compile(r"(?:(?:train|test)_)?(\d+)(?:\.0+|\.png|\.jpe?g)?", re.ASCII | re.IGNORECASE)
_MISFITS = {
    "missing_train": "labelled training ID(s) without an image, kept as unreadable",
    "unlabelled_train": "training image(s) without a label, left out",
    "missing_test": "ID(s) of the sample submission without an image, kept as unreadable",
    "unnamed": "image file(s) without an ID in the name, left out",
}


def plain_id(text: object) -> str:
    """An ID without prefix, zeros and suffix: 5, "005", "5.0" and "test_000005.png" are all "5"; other text stays."""
    stripped = str(text).strip()
    match = _ID.fullmatch(stripped)
    return str(int(match[1])) if match else stripped


def find_bhf(start: str | Path) -> Path:
    """Return the folder in the BHF layout at or below `start`, at most SEARCH_DEPTH levels down.

    It is known by its structure (train_final.csv beside train_<k>/ or test_<k>/), because Kaggle mounts the same
    data at several paths. The shallowest match wins; a tie is resolved by name, with a warning.

    Raises
    ------
    FileNotFoundError : no such folder, or nothing in that layout in it.
    """
    start = Path(start)
    what_to_do = "download the challenge files as data/README.md says and give their folder"
    if not start.is_dir():
        raise FileNotFoundError(f"No folder {start} to look for the BHF challenge files in: {what_to_do}.")
    level, labels_alone = [start], ""
    for _ in range(SEARCH_DEPTH + 1):
        labelled = [folder for folder in level if (folder / LABELS_NAME).is_file()]
        found = [folder for folder in labelled if _image_folders(folder, "train") or _image_folders(folder, "test")]
        if len(found) > 1:
            others = ", ".join(map(str, found[1:]))
            warnings.warn(f"Several BHF folders under {start}: using {found[0]}, not {others}.", stacklevel=2)
        if found:
            return Path(os.path.abspath(found[0]))
        if labelled:
            labels_alone = f" ({labelled[0]} has {LABELS_NAME} but no train_<k>/ or test_<k>/ folder beside it)"
        level = sorted(child for folder in level for child in _subfolders(folder))
    raise FileNotFoundError(
        f"No BHF challenge files within {SEARCH_DEPTH} levels of {start}{labels_alone}: expected {LABELS_NAME} beside "
        f"train_<k>/train_encoded_relabelled/ and test_<k>/; {what_to_do}."
    )


def read_bhf(root: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a BHF folder (or a folder above it) as two manifests, both sorted by ID.

    Returns
    -------
    train, test : manifest frames as `ecgutils.manifest.check_manifest` makes them. `image_id` is the plain ID,
        `path` absolute, `image_source` "bhf"; patient, fold, layout, px/mm and size are unknown, so every result is
        *ungrouped*. Test labels are NaN.

    Nothing listed is lost: a labelled ID (or an ID of the sample submission) without a file stays, with path "",
    and becomes an unreadable row later. A training image without a label is left out. Both are warned of.

    Raises
    ------
    FileNotFoundError : no BHF folder there.
    ValueError : missing column, ID that is no integer, ID named twice (in a CSV or by two files), bad label.
    """
    folder = _scan(root)
    for kind, names in folder.misfits.items():
        if names:
            warnings.warn(f"{folder.root}: {len(names)} {_MISFITS[kind]}: {first_few(names)}.", stacklevel=2)
    return folder.train, folder.test


def check_bhf(root: str | Path) -> dict[str, Any]:
    """Summary of a BHF folder, JSON-able: is it in place, what is missing? Raises as `read_bhf` does.

    Keys: root, n_train, n_test, prevalence (finding -> share of labelled training images), sample (path or None),
    counts of what does not fit (missing_train, unlabelled_train, missing_test, unnamed; see `read_bhf`), and
    examples: the first few of each.
    """
    folder = _scan(root)
    labels = folder.train[list(FINDINGS)]
    return {
        "root": str(folder.root),
        "n_train": len(folder.train),
        "n_test": len(folder.test),
        "prevalence": {f: round(float(labels[f].mean()), 4) if labels[f].notna().any() else None for f in FINDINGS},
        "sample": str(folder.sample) if folder.sample else None,
        **{kind: len(names) for kind, names in folder.misfits.items()},
        "examples": {kind: names[:5] for kind, names in folder.misfits.items() if names},
    }


def find_sample(root: str | Path) -> Path | None:
    """The sample submission of a BHF folder (`sample_submission*.csv`, any case), or None."""
    names = sorted(p for p in find_bhf(root).iterdir() if re.fullmatch(r"(?i)sample_?submission.*\.csv", p.name))
    return names[0] if names else None


def read_ids(path: str | Path) -> list[str]:
    """The ID column of a CSV, as written and in order. ValueError when it is missing or repeats an ID."""
    table = read_text_csv(Path(path))
    if "ID" not in table.columns:
        raise ValueError(f"{path}: no ID column (has {', '.join(table.columns)}); is it the sample submission?")
    _unique(map(plain_id, table["ID"]), str(path))
    return table["ID"].tolist()


@dataclass(frozen=True)
class _Folder:
    """What lies in a BHF folder; `misfits` by the keys of _MISFITS."""

    root: Path
    train: pd.DataFrame
    test: pd.DataFrame
    sample: Path | None
    misfits: dict[str, list[str]]


def _scan(root: str | Path) -> _Folder:
    root = find_bhf(root)
    labels = _labels(root / LABELS_NAME)
    train_files, unnamed_train = _images(root, "train")
    test_files, unnamed_test = _images(root, "test")
    sample = find_sample(root)
    sample_ids = [plain_id(i) for i in read_ids(sample)] if sample else []
    train = _manifest(labels["ID"].tolist(), train_files, "train", labels.index)
    train[list(FINDINGS)] = labels[list(FINDINGS)].replace("", np.nan)
    test_ids = list(dict.fromkeys([*test_files, *sample_ids]))
    test = _manifest(test_ids, test_files, "test", pd.RangeIndex(len(test_ids)))
    train, test = (
        check_manifest(table, name).sort_values("image_id", key=id_order, ignore_index=True)
        for table, name in ((train, str(root / LABELS_NAME)), (test, f"{root} test images"))
    )
    misfits = {
        "missing_train": [i for i in labels["ID"] if i not in train_files],
        "unlabelled_train": sorted(set(train_files) - set(labels["ID"]), key=int),
        "missing_test": [i for i in sample_ids if i not in test_files],
        "unnamed": unnamed_train + unnamed_test,
    }
    return _Folder(root, train, test, sample, misfits)


def _labels(path: Path) -> pd.DataFrame:
    """train_final.csv with plain IDs, labels still as text, indexed by line (1-based)."""
    labels = read_text_csv(path)
    missing = [column for column in ("ID", *FINDINGS) if column not in labels.columns]
    if missing:
        raise ValueError(f"{path}: missing column(s) {', '.join(missing)}; expected ID,{','.join(FINDINGS)}.")
    labels["ID"] = [plain_id(i) for i in labels["ID"]]
    for line, ident in labels["ID"].items():
        if not _is_number(ident):
            raise ValueError(f"{path}: ID {ident!r} in line {line} is not an integer; restore the original file.")
    _unique(labels["ID"], str(path))
    return labels


def _manifest(ids: list[str], files: dict[str, str], split: str, index: pd.Index) -> pd.DataFrame:
    known = {
        "image_id": ids,
        "path": [files.get(i, "") for i in ids],
        "image_source": "bhf",
        "record_id": [f"bhf-{split}-{i}" for i in ids],
    }
    text = dict.fromkeys(("signal_source", "patient_id", "layout"), "")
    return pd.DataFrame(dict.fromkeys(MANIFEST_COLUMNS, np.nan) | text | known, index=index)


def _images(root: Path, split: str) -> tuple[dict[str, str], list[str]]:
    """Image files below <split>_<k>/ by plain ID, and those whose name holds no ID of that split."""
    files: dict[str, str] = {}
    unnamed = []
    for top in _image_folders(root, split):
        for folder, subfolders, names in os.walk(top):
            subfolders.sort()
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if name.startswith(".") or suffix.lower() not in IMAGE_SUFFIXES:
                    continue
                match = re.fullmatch(rf"(?:{split}_)?(\d+)", stem, re.ASCII)
                path = os.path.join(folder, name)
                if match is None:
                    unnamed.append(os.path.relpath(path, root))
                elif files.setdefault(str(int(match[1])), path) != path:
                    raise ValueError(f"Two {split} images have ID {int(match[1])}: {files[str(int(match[1]))]} and "
                                     f"{path}; remove one.")  # fmt: skip
    return files, unnamed


def _image_folders(folder: Path, split: str) -> list[Path]:
    """train, train_1, train_2, ... (or test...) in numeric order."""
    matches = [(m, p) for p in folder.iterdir() if (m := _IMAGE_FOLDER.fullmatch(p.name)) and m[1] == split]
    return [p for m, p in sorted(matches, key=lambda mp: int((mp[0][2] or "_0")[1:])) if p.is_dir()]


def _subfolders(folder: Path) -> list[Path]:
    try:
        children = list(folder.iterdir())
    except OSError:  # no permission, or gone meanwhile: nothing to find there
        return []
    return [p for p in children if not p.name.startswith(".") and not _IMAGE_FOLDER.fullmatch(p.name) and p.is_dir()]


def read_text_csv(path: Path) -> pd.DataFrame:
    """A CSV with all cells as text, indexed by line (1-based); the header loses blanks and a byte-order mark.

    Blank lines are left out, and empty cells beyond the header (a spreadsheet's commas at the end of each line).
    ValueError when it is no CSV, or a line has more or fewer cells than the header.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No CSV at {path}: check the path.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (csv.Error, UnicodeError) as error:
        raise ValueError(f"{path} is not a readable CSV ({error}); restore the original file.") from error
    if not lines:
        raise ValueError(f"{path} is not a readable CSV (it has no line); restore the original file.")
    header = [name.strip() for name in lines[0][1]]
    while not header[-1]:
        header.pop()
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"{path}: column {repeated[0]!r} is there more than once; restore the original file.")
    for line, cells in lines[1:]:
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            raise ValueError(f"{path}: line {line} has {len(cells)} cells, the header {len(header)}; restore the file.")
    rows = [cells[: len(header)] for _, cells in lines[1:]]
    return pd.DataFrame(rows, columns=header, index=[line for line, _ in lines[1:]], dtype=object)


def _unique(ids: Iterable[str], where: str) -> None:
    counts = pd.Series(list(ids), dtype=object).value_counts()
    repeated = sorted(counts.index[counts > 1])
    if repeated:
        raise ValueError(
            f"{where}: {len(repeated)} ID(s) occur more than once: {first_few(repeated)}; each must be one row."
        )


def id_order(ids: pd.Series) -> pd.Series:
    """Sort key: integers by value, other text after them (a sample submission may hold any text)."""
    return ids.map(lambda i: (0, int(i), "") if _is_number(i) else (1, 0, i))


def _is_number(ident: str) -> bool:
    return ident.isascii() and ident.isdigit()


def first_few(names: list[str], n: int = 5) -> str:
    """The first names, for a message."""
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")
