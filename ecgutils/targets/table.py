"""A CSV with a row per photo: its path and its findings, and whatever else of ROLES it has."""

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ecgutils.files import page_of
from ecgutils.findings import FINDINGS
from ecgutils.manifest import SEPARATORS, image_ids, label_values, make_manifest, read_text_csv, refuse
from ecgutils.targets.base import Labelled, Target

ROLES = {  # names of columns, best first, in small letters and digits alone: "Image path" is "imagepath"
    "path": ("path", "filepath", "imagepath", "filename", "file", "image"),
    "id": ("id", "imageid"),
    "record": ("recordid", "ecgid"),
    "patient": ("patientid", "subjectid", "patient", "subject"),
    "split": ("split",),
    "fold": ("fold",),
    **{finding: (finding.lower(),) for finding in FINDINGS},
}


def read_table(path: Path, may_lack_labels: bool = False) -> Labelled:
    """Photos listed in a CSV, or in the one CSV of a folder that lists photos.

    Paths are relative to the CSV's folder, else to the working folder. IDs are its ID column, else `image_ids`. Labels
    are `label_values`; split and fold are train, test or 1..10, where "test" sets a photo apart.

    Raises ValueError for a column that is missing or there twice, a value that is none of these, a photo listed twice,
    an ID that is empty or there twice, or when none of the photos is there.
    """
    path = _csvs(path, "path")[0] if path.is_dir() else path
    sheet, others = read_sheet(path)
    if "path" not in sheet:
        raise ValueError(f"{path}: no column says where the photos are; name it one of {', '.join(ROLES['path'])}.")
    known = _known(sheet, path, may_lack_labels)
    nameless = sheet["path"].eq("") & ("id" not in sheet)
    refuse(sheet["path"], nameless, str(path), "give the photo's path, or an ID column")
    where = _located(sheet["path"], path)
    ids = sheet["id"].tolist() if "id" in sheet else image_ids([Path(place) for place in where])
    there = [place if _is_there(place) else "" for place in where]
    if not any(there):
        raise ValueError(f"{path}: none of its {len(there)} photos is there, e.g. {where[0]}; correct the paths.")
    tests, folds = _parts(sheet, path)
    table = make_manifest(ids, str(path), path=there, fold=folds, **known)
    train, test = (table[rows].reset_index(drop=True) for rows in (~tests, tests))
    return Labelled(train, test, (f"{path}: column(s) left aside: {', '.join(others)}.",) if others else ())


def read_labels(path: Path) -> pd.DataFrame:
    """Labels in a CSV as a manifest, whose photos need not be there: an ID is enough, a path alone is the ID as well.

    `path` is absolute, "" where an ID is no file. Split and fold are left aside. Raises ValueError as `read_table`.
    """
    path = _csvs(path, "path")[0] if path.is_dir() else path
    sheet, _ = read_sheet(path)
    role = next((role for role in ("path", "id") if role in sheet), None)
    if role is None:
        raise ValueError(f"{path}: no column names the image; call it path, filename or ID.")
    known = _known(sheet, path)
    places = _located(sheet[role], path)
    if role == "id":
        places = [place if _is_there(place) else "" for place in places]
    return make_manifest(sheet.get("id", sheet[role]).tolist(), str(path), path=places, **known)


def _known(sheet: pd.DataFrame, path: Path, may_lack_labels: bool = False) -> dict[str, object]:
    """Columns of a manifest that a sheet tells; ValueError where it needs labels and has none."""
    if not (may_lack_labels or {*FINDINGS} & {*sheet}):
        raise ValueError(f"{path}: no column of findings; name at least one of {', '.join(FINDINGS)}, with 0 and 1.")
    names = {"patient": "patient_id", "record": "record_id"} | {finding: finding for finding in FINDINGS}
    known = {own: sheet[role].tolist() for role, own in names.items() if role in sheet}
    return {"image_source": "photo files", **known}


def read_sheet(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Columns of a CSV by their ROLES, findings float and the rest text, indexed by line; and names of the others.

    Raises ValueError as `read_table` does.
    """
    cells = read_text_csv(path)
    if cells.empty:
        raise ValueError(f"{path} has no row below its header; list a photo a row.")
    columns = _roles(cells.columns, path)
    sheet = pd.DataFrame({role: cells[column].str.strip() for role, column in columns.items()}, index=cells.index)
    for finding in [role for role in sheet if role in FINDINGS]:
        sheet[finding] = label_values(sheet[finding], str(path))
    return sheet, [column for column in cells if column and column not in columns.values()]


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
    refuse(ids, ids.duplicated(), str(found[0]), "each ID needs one row")
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
            line = file.readline()
            return next(csv.reader([line], delimiter=max(SEPARATORS, key=line.count)), [])
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


def _located(texts: pd.Series, path: Path) -> list[str]:
    """Absolute path of each photo, there or not, "" for none; ValueError for one listed twice."""
    places = [_located_one(path.absolute().parent, text) for text in texts]
    found = pd.Series(places, index=texts.index)
    refuse(texts, found.duplicated() & found.ne(""), str(path), "that photo is listed above; keep one row")
    return places


def _is_there(place: str | Path) -> bool:
    return bool(place) and os.path.isfile(page_of(place)[0])


def _located_one(folder: Path, text: str) -> str:
    slashed = text.replace("\\", "/")  # Windows writes the other
    places = (folder / slashed, folder / text, Path(slashed))
    return os.path.abspath(next(filter(_is_there, places), places[0])) if text else ""


def _parts(sheet: pd.DataFrame, path: Path) -> tuple[np.ndarray, list[float]]:
    """Which rows are to test on, bool (N,), and the fold of each, NaN where none is named."""
    tests, folds = np.zeros(len(sheet), bool), pd.Series(np.nan, index=sheet.index)
    for role in [role for role in ("split", "fold") if role in sheet]:
        words = sheet[role].str.lower()
        numbers = pd.to_numeric(words, errors="coerce")
        fits = words.isin(["train", "test"]) | numbers.isin(range(1, 11))
        refuse(sheet[role], ~fits, str(path), "use train, test, or a fold from 1 to 10")
        tests |= words.eq("test").to_numpy()
        folds = folds.fillna(numbers)
    return tests, folds.tolist()


def _matches(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv") if path.is_file() else len(_csvs(path, "path")) == 1


TARGET = Target("table", _matches, read_table)
