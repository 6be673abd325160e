"""Find and read the folder and the tables of the BHF Data Science Centre ECG Challenge (Kaggle, 2024).

    train_final.csv                                        ID,STTC,HYP,MI,CD,AF
    train_<k>/train_encoded_relabelled/train_000142.png    ID 142
    test_<k>/test_003079.png                               ID 3079

Train and test are numbered separately: ID 7 exists in both and names two different ECGs, so the two manifests
must not be concatenated or share a cache. `record_id` ("bhf-train-7", "bhf-test-7") tells them apart.
"""

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecgutils.manifest import make_manifest, read_text_csv

COLUMNS = ("ID", "STTC", "HYP", "MI", "CD", "AF")  # the challenge's own, whatever else this package may learn to find
_ID = re.compile(r"(?:(?:train|test)_)?(\d+)(?:\.0+|\.png|\.jpe?g)?", re.ASCII | re.IGNORECASE)
LABELS_NAME = "train_final.csv"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
SEARCH_DEPTH = 4  # /kaggle/input/datasets/<owner>/<slug> is 3 below /kaggle/input; one more for an unpacked archive
LABELS = list(COLUMNS[1:])
_IMAGE_FOLDER = re.compile(r"(train|test)(_\d+)?", re.ASCII)
_MISFITS = {
    "missing_train": "labelled training ID(s) without an image, kept as unreadable",
    "unlabelled_train": "training image(s) without a label, left out",
    "missing_test": "ID(s) of the sample submission without an image, kept as unreadable",
    "unnamed": "image file(s) without an ID in the name, left out",
}


def find_bhf(start: str | Path) -> Path:
    """The folder in the BHF layout at or below `start`, at most SEARCH_DEPTH levels down; FileNotFoundError if none is.

    It is known by its structure (train_final.csv beside train_<k>/ or test_<k>/), because Kaggle mounts the same
    data at several paths. The shallowest match wins; a tie is resolved by name, with a warning.
    """
    start = Path(start)
    what_to_do = "download the challenge files as data/README.md says and give their folder"
    if not start.is_dir():
        raise FileNotFoundError(f"No folder {start} with the BHF challenge files: {what_to_do}.")
    for depth in range(SEARCH_DEPTH + 1):
        folders = [path.parent for path in sorted(start.glob("*/" * depth + LABELS_NAME))]
        found = [folder for folder in folders if any(_IMAGE_FOLDER.fullmatch(path.name) for path in folder.iterdir())]
        if found[1:]:
            others = ", ".join(map(str, found[1:]))
            warnings.warn(f"Several BHF folders under {start}: using {found[0]}, not {others}.", stacklevel=2)
        if found:
            return Path(os.path.abspath(found[0]))
    where = f"within {SEARCH_DEPTH} levels of {start} ({LABELS_NAME} beside a folder train_<k>/ or test_<k>/)"
    raise FileNotFoundError(f"No BHF challenge files {where}: {what_to_do}.")


def read_bhf(root: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a BHF folder (or a folder above it) as two manifests, both sorted by ID.

    `image_id` is the plain ID, `path` absolute, `image_source` "bhf"; patient, fold, layout and size are unknown, so
    every result is *ungrouped*. Test labels are NaN.

    Nothing listed is lost: a labelled ID (or an ID of the sample submission) without a file stays, with path "",
    and becomes an unreadable row later. A training image without a label is left out. Both are warned of.
    Raises FileNotFoundError where no BHF folder is; ValueError for a missing column, an ID that is no integer or named
    twice (in a CSV or by two files), a bad label.
    """
    root = find_bhf(root)
    train, test, misfits = _scan(root)
    for kind, names in misfits.items():
        if names:
            warnings.warn(f"{root}: {len(names)} {_MISFITS[kind]}: {first_few(names)}.", stacklevel=2)
    return train, test


def check_bhf(root: str | Path) -> dict[str, Any]:
    """Summary of a BHF folder, JSON-able: is it in place, what is missing? Raises as `read_bhf` does.

    Keys: root, n_train, n_test, prevalence (finding -> share of labelled training images), sample (path or None),
    counts of what does not fit (missing_train, unlabelled_train, missing_test, unnamed), and examples of each.
    """
    root = find_bhf(root)
    train, test, misfits = _scan(root)
    sample = find_sample(root)
    return {
        "root": str(root),
        "n_train": len(train),
        "n_test": len(test),
        "prevalence": {f: round(float(train[f].mean()), 4) if train[f].notna().any() else None for f in LABELS},
        "sample": str(sample) if sample else None,
        **{kind: len(names) for kind, names in misfits.items()},
        "examples": {kind: names[:5] for kind, names in misfits.items() if names},
    }


def find_sample(root: str | Path) -> Path | None:
    """The sample submission of a BHF folder (`sample_submission*.csv`, any case), or None."""
    names = sorted(p for p in find_bhf(root).iterdir() if re.fullmatch(r"(?i)sample_?submission.*\.csv", p.name))
    return names[0] if names else None


def _scan(root: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, list[str]]]:
    """Train and test manifests, and what does not fit, by the keys of _MISFITS."""
    name = str(root / LABELS_NAME)
    labels = check_ids(read_text_csv(root / LABELS_NAME), name, COLUMNS)
    labels["ID"] = labels["ID"].map(plain_id)
    for line, ident in labels.loc[~labels["ID"].str.fullmatch("[0-9]+"), "ID"].items():
        raise ValueError(f"{name}: ID {ident!r} in line {line} is not an integer; restore the file.")
    train_files, unnamed_train = _images(root, "train")
    test_files, unnamed_test = _images(root, "test")
    sample_ids = [plain_id(i) for i in read_ids(sample)] if (sample := find_sample(root)) else []
    test_ids = list(dict.fromkeys([*test_files, *sample_ids]))
    misfits = {
        "missing_train": [i for i in labels["ID"] if i not in train_files],
        "unlabelled_train": sorted(set(train_files) - set(labels["ID"]), key=int),
        "missing_test": [i for i in sample_ids if i not in test_files],
        "unnamed": unnamed_train + unnamed_test,
    }
    train = _manifest(labels["ID"].tolist(), train_files, "train", name, **labels[LABELS].to_dict("list"))
    return train, _manifest(test_ids, test_files, "test", f"{root} test images"), misfits


def _manifest(ids: list[str], files: dict[str, str], split: str, name: str, **labels: list[str]) -> pd.DataFrame:
    paths, records = [files.get(i, "") for i in ids], [f"bhf-{split}-{i}" for i in ids]
    table = make_manifest(ids, name, path=paths, image_source="bhf", record_id=records, **labels)
    return table.sort_values("image_id", key=id_order, ignore_index=True)


def _images(root: Path, split: str) -> tuple[dict[str, str], list[str]]:
    """Image files below <split>_<k>/ by plain ID, and those whose name holds no ID of that split."""
    files: dict[str, str] = {}
    unnamed = []
    tops = [folder for folder in root.iterdir() if (m := _IMAGE_FOLDER.fullmatch(folder.name)) and m[1] == split]
    for path in sorted(path for top in tops for path in top.rglob("*")):
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if (match := re.fullmatch(rf"(?:{split}_)?(\d+)", path.stem, re.ASCII)) is None:
            unnamed.append(str(path.relative_to(root)))
        elif (first := files.setdefault(str(int(match[1])), str(path))) != str(path):
            raise ValueError(f"Two {split} images have ID {int(match[1])}: {first} and {path}; remove one.")
    return files, unnamed


def plain_id(text: object) -> str:
    """An ID without prefix, zeros and suffix: 5, "005", "5.0" and "test_000005.png" are all "5"; other text stays."""
    stripped = str(text).strip()
    match = _ID.fullmatch(stripped)
    return str(int(match[1])) if match else stripped


def id_order(ids: pd.Series) -> pd.Series:
    """Sort key: integers by value, other text after them (a sample submission may hold any text)."""
    return ids.map(lambda i: (0, int(i), "") if i.isascii() and i.isdigit() else (1, 0, i))


def first_few(names: Sequence[str]) -> str:
    """The first names, for a message."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def read_ids(path: str | Path) -> list[str]:
    """The ID column of a CSV, as written and in order. ValueError when it is missing or repeats an ID."""
    return check_ids(read_text_csv(Path(path)), path)["ID"].tolist()


def check_ids(table: pd.DataFrame, path: str | Path, columns: Sequence[str] = COLUMNS[:1]) -> pd.DataFrame:
    """The table; ValueError when it lacks one of `columns` or has an ID twice, in whatever spelling."""
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{path}: missing column(s) {', '.join(missing)}; it has {', '.join(table.columns)}.")
    ids = table["ID"].map(plain_id)
    if twice := sorted(set(ids[ids.duplicated()])):
        raise ValueError(f"{path}: {len(twice)} ID(s) occur more than once: {first_few(twice)}; each must be one row.")
    return table
