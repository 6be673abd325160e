"""A CSV with a row per photo: its path and its findings, and whatever else of ROLES it has."""

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ecgutils.challenge.bhf import read_text_csv
from ecgutils.files import page_of
from ecgutils.findings import FINDINGS
from ecgutils.manifest import image_ids, make_manifest
from ecgutils.targets.base import Labelled, Target

ROLES = {  # names of columns, best first, in small letters and digits alone: "Image path" is "imagepath"
    "path": ("path", "imagepath", "filename", "file", "image"),
    "id": ("id", "imageid"),
    "record": ("recordid", "ecgid"),
    "patient": ("patientid", "subjectid", "patient", "subject"),
    "split": ("split",),
    "fold": ("fold",),
    **{finding: (finding.lower(),) for finding in FINDINGS},
}
_LABELS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0, "": np.nan}


def read_table(path: Path, may_lack_labels: bool = False) -> Labelled:
    """Photos listed in a CSV, or in the one CSV of a folder that lists photos.

    Paths are relative to the CSV's folder. IDs are its ID column, else `image_ids`. Labels are 0, 1, true, false or
    empty (unknown); split and fold are train, test or 1..10, where "test" sets a photo apart.

    Raises ValueError for a column that is missing or there twice, a value that is none of these, a photo listed twice,
    an ID that is empty or there twice, or when none of the photos is there.
    """
    path = _csvs(path, "path")[0] if path.is_dir() else path
    sheet, others = read_sheet(path)
    if "path" not in sheet:
        raise ValueError(f"{path}: no column says where the photos are; name it one of {', '.join(ROLES['path'])}.")
    if not (may_lack_labels or {*FINDINGS} & {*sheet}):
        raise ValueError(f"{path}: no column of findings; name at least one of {', '.join(FINDINGS)}, with 0 and 1.")
    known: dict[str, object] = {finding: sheet[finding].tolist() for finding in FINDINGS if finding in sheet}
    names = {"patient": "patient_id", "record": "record_id"}
    known |= {names[role]: sheet[role].tolist() for role in names if role in sheet}
    where = _located(sheet["path"], path, needed="id" not in sheet)
    ids = sheet["id"].tolist() if "id" in sheet else image_ids([Path(place) for place in where])
    there = [place if _is_there(place) else "" for place in where]
    if not any(there):
        raise ValueError(f"{path}: none of its {len(there)} photos is there, e.g. {where[0]}; correct the paths.")
    tests, folds = _parts(sheet, path)
    table = make_manifest(ids, str(path), path=there, image_source="photo files", fold=folds, **known)
    train, test = (table[rows].reset_index(drop=True) for rows in (~tests, tests))
    return Labelled(train, test, (f"{path}: column(s) left aside: {', '.join(others)}.",) if others else ())


def read_sheet(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Columns of a CSV by their ROLES, findings float and the rest text, indexed by line; and names of the others.

    Raises ValueError as `read_table` does.
    """
    if ";" in (first := "".join(_header(path))) or "\t" in first:
        raise ValueError(f"{path}: its columns are parted by semicolons or tabs; save it with commas.")
    cells = read_text_csv(path)
    if cells.empty:
        raise ValueError(f"{path} has no row below its header; list a photo a row.")
    columns = _roles(cells.columns, path)
    sheet = pd.DataFrame({role: cells[column].str.strip() for role, column in columns.items()}, index=cells.index)
    for finding in [role for role in sheet if role in FINDINGS]:
        words = sheet[finding].str.lower()
        _refuse(sheet[finding], ~words.isin(list(_LABELS)), path, "use 0, 1, true, false or nothing (unknown)")
        sheet[finding] = words.map(_LABELS).astype(float)
    return sheet, [column for column in cells if column not in columns.values()]


def sheet_by_id(folder: Path) -> pd.DataFrame:
    """`read_sheet` of a folder's CSV with IDs and findings, by ID (else record, else stem of the path); empty if none.

    ValueError for two such CSVs or an ID that is there twice.
    """
    found = [path for role in ("id", "record", "path") for path in _csvs(folder, role) if _has_findings(path)]
    if len(set(found)) > 1:
        raise ValueError(f"{folder}: both {found[0].name} and {found[-1].name} have findings; keep one of them.")
    if not found:
        return pd.DataFrame()
    sheet, _ = read_sheet(found[0])
    role = next(role for role in ("id", "record", "path") if role in sheet)
    ids = sheet[role].map(lambda text: Path(text).stem) if role == "path" else sheet[role]
    _refuse(ids, ids.duplicated(), found[0], "each ID needs one row")
    return sheet.set_index(ids)


def sheet_rows(sheet: pd.DataFrame, ids: list[str], folder: Path) -> pd.DataFrame:
    """Rows of `sheet_by_id` for these IDs, the findings and "patient", unknown where it has none.

    ValueError when it has rows, and none for any of the IDs.
    """
    if len(sheet) and not sheet.index.isin(ids).any():
        raise ValueError(f"{folder}: its CSV of findings has none of the photos' IDs, such as {ids[0]}; write them so.")
    rows = sheet.reindex(index=ids, columns=["patient", *FINDINGS])
    return rows.assign(patient=rows["patient"].astype(object).where(rows["patient"].notna(), ""))


def _csvs(folder: Path, role: str) -> list[Path]:
    """CSVs right in a folder that have a column of this role."""
    found = (path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".csv" and path.is_file())
    return [path for path in found if role in _roles(_header(path))]


def _has_findings(path: Path) -> bool:
    return bool({*FINDINGS} & {*_roles(_header(path))})


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return next(csv.reader(file), [])
    except csv.Error:  # no text; who reads all of it says so
        return []


def _roles(columns: Iterable[str], path: Path | None = None) -> dict[str, str]:
    """Column of each role that is there. With a path: ValueError for two columns of one name."""
    plain: dict[str, str] = {}
    wanted = {name for names in ROLES.values() for name in names}
    for column in columns:
        name = re.sub("[^a-z0-9]", "", column.lower())
        if path and name in wanted and name in plain:
            raise ValueError(f"{path}: columns {plain[name]!r} and {column!r} have one meaning; keep one of them.")
        plain.setdefault(name, column)
    best = {role: next((name for name in names if name in plain), None) for role, names in ROLES.items()}
    return {role: plain[name] for role, name in best.items() if name}


def _located(texts: pd.Series, path: Path, needed: bool) -> list[str]:
    """Absolute path of each photo, there or not; ValueError for one listed twice, or empty where one is needed."""
    _refuse(texts, texts.eq("") & needed, path, "give the photo's path, or an ID column")
    places = [_located_one(path.absolute().parent, text) for text in texts]
    found = pd.Series(places, index=texts.index)
    _refuse(texts, found.duplicated() & found.ne(""), path, "that photo is listed above; keep one row")
    return places


def _is_there(place: str | Path) -> bool:
    return bool(place) and os.path.isfile(page_of(place)[0])


def _located_one(folder: Path, text: str) -> str:
    place = folder / text
    if not _is_there(place):
        place = folder / text.replace("\\", "/")  # as Windows writes it
    return os.path.abspath(place) if text else ""


def _parts(sheet: pd.DataFrame, path: Path) -> tuple[np.ndarray, list[float]]:
    """Which rows are to test on, bool (N,), and the fold of each, NaN where none is named."""
    tests, folds = np.zeros(len(sheet), bool), pd.Series(np.nan, index=sheet.index)
    for role in [role for role in ("split", "fold") if role in sheet]:
        words = sheet[role].str.lower()
        numbers = pd.to_numeric(words, errors="coerce")
        fits = words.isin(["train", "test"]) | numbers.isin(range(1, 11))
        _refuse(sheet[role], ~fits, path, "use train, test, or a fold from 1 to 10")
        tests |= words.eq("test").to_numpy()
        folds = folds.fillna(numbers)
    return tests, folds.tolist()


def _refuse(cells: pd.Series, bad: pd.Series, path: Path, what_to_do: str) -> None:
    if bad.any():
        raise ValueError(f"{path}: {cells.name} is {cells[bad.idxmax()]!r} in line {bad.idxmax()}; {what_to_do}.")


def _matches(path: Path) -> bool:
    return path.suffix.lower() == ".csv" if path.is_file() else len(_csvs(path, "path")) == 1


TARGET = Target("table", _matches, read_table)
