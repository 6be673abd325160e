"""PTB-XL's folder as Records: Wagner et al., Scientific Data 2020, doi:10.1038/s41597-020-0495-6; CC BY 4.0."""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgutils.findings import FINDINGS, findings_from_scp
from ecgutils.manifest import refuse
from ecgutils.signals.readers import to_leads, wfdb_samples
from ecgutils.signals.record import Record

_RATES = {100: "filename_lr", 500: "filename_hr"}


def read_ptbxl(
    root: str | Path, rate: int = 500, folds: Collection[int] | None = None, rows: Collection[int] | None = None
) -> Iterator[Record]:
    """Yield the Records of a PTB-XL folder in the order of `ptbxl_database.csv`.

    root : folder with `ptbxl_database.csv`, `scp_statements.csv` and `records100/` or `records500/`.
    rate : 100 or 500 Hz. folds, rows : only these folds (1..10, apart in patients) and 0-based rows; None = all.

    Each Record has `record_id` = ecg_id, `patient_id` = "ptbxl-<number>", findings by `findings_from_scp`, and in its
    `details` `scp_codes`, `age`, `sex`, `missing_samples` and `flat_leads`.

    Raises FileNotFoundError for a folder, table or signal file that is not there, ValueError for an unknown rate or
    fold, a missing column, a wrong sampling rate, or as `record_from_array`. The tables are checked at the call.
    """
    if rate not in _RATES:
        raise ValueError(f"read_ptbxl: rate must be 100 or 500 Hz, got {rate!r}.")
    root = Path(root)
    table, statements = _tables(root)
    if _RATES[rate] not in table.columns:
        raise ValueError(f"{root / 'ptbxl_database.csv'}: no column {_RATES[rate]}, needed to read {rate} Hz.")
    if rows is not None:
        table = table.iloc[sorted(rows)]
    if folds is not None:
        if unknown := set(folds) - set(range(1, 11)):
            raise ValueError(f"read_ptbxl: fold(s) {sorted(unknown)} do not exist; PTB-XL has folds 1 to 10.")
        table = table[table["strat_fold"].isin(list(folds))]
    return (_read_row(root, row, statements, rate) for row in table.to_dict("records"))


def check_ptbxl(root: str | Path) -> dict[str, Any]:
    """Say what a PTB-XL folder holds without reading signals; errors as for `read_ptbxl`.

    Returns `records`, `patients`, `rates` (those whose every header file is there), `missing_files` (rate -> how
    many), `folds` and `findings` (name -> number of records).
    """
    root = Path(root)
    table, statements = _tables(root)
    labels = [findings_from_scp(_codes(root, row), statements) for row in table.to_dict("records")]
    named = {rate: table[column] for rate, column in _RATES.items() if column in table.columns}
    missing = {rate: sum(not (root / f"{name}.hea").is_file() for name in names) for rate, names in named.items()}
    return {
        "records": len(table),
        "patients": int(table["patient_id"].nunique()),
        "rates": [rate for rate, count in missing.items() if count == 0],
        "missing_files": {rate: count for rate, count in missing.items() if count},
        "folds": sorted(int(fold) for fold in table["strat_fold"].unique()),
        "findings": {finding: sum(finding in found for found in labels) for finding in FINDINGS},
    }


def _tables(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and check the two tables of a PTB-XL folder."""
    if not root.is_dir():
        raise FileNotFoundError(f"No PTB-XL folder at {root}: download PTB-XL from PhysioNet, or correct the path.")
    where = root / "ptbxl_database.csv"
    table = _table(where, ("ecg_id", "patient_id", "scp_codes", "strat_fold"))
    statements = _table(root / "scp_statements.csv", ("diagnostic", "diagnostic_class"), index_col=0)
    for column in ("ecg_id", "patient_id", "strat_fold"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        refuse(table[column], numbers.isna(), str(where), "it has to be a number")
        table[column] = numbers.astype(int)
    refuse(table["ecg_id"], table["ecg_id"].duplicated(), str(where), "it is there already; remove one of the rows")
    return table, statements


def _table(path: Path, needed: Collection[str], **how: Any) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"No {path.name} in {path.parent}: give the folder that holds PTB-XL's two tables.")
    table = pd.read_csv(path, **how)
    if absent := [column for column in needed if column not in table.columns]:
        raise ValueError(f"{path}: missing column(s) {', '.join(absent)}; use the file as published.")
    return table


def _codes(root: Path, row: dict[str, Any]) -> dict[str, float]:
    """SCP codes of one row, written in the table as a dict literal."""
    try:
        codes = ast.literal_eval(row["scp_codes"])
    except (ValueError, SyntaxError, TypeError):
        codes = None
    if not isinstance(codes, dict):
        what = f"scp_codes of ecg_id {row['ecg_id']} is {row['scp_codes']!r}"
        raise ValueError(f"{root / 'ptbxl_database.csv'}: {what}, not a dict such as {{'NORM': 100.0}}.")
    return codes


def _read_row(root: Path, row: dict[str, Any], statements: pd.DataFrame, rate: int) -> Record:
    path = root / str(row[_RATES[rate]])
    try:
        values, fields = wfdb_samples(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error} ecg_id {row['ecg_id']} is listed but not there: download it.") from error
    if fields["fs"] != rate:
        raise ValueError(f"{path}: sampled at {fields['fs']} Hz where {rate} Hz was expected; choose the other rate.")
    signal, details = to_leads(values, fields["sig_name"], fields["units"], str(path))
    details["scp_codes"] = _codes(root, row)
    details["age"] = None if pd.isna(row.get("age")) else min(int(row["age"]), 90)  # 300 stands for over 89
    details["sex"] = {0: "male", 1: "female"}.get(row.get("sex"))
    findings = findings_from_scp(details["scp_codes"], statements)
    record_id, patient_id, fold = str(row["ecg_id"]), f"ptbxl-{row['patient_id']}", row["strat_fold"]
    return Record(signal.astype(np.float32), rate, findings, record_id, patient_id, fold, "ptbxl", details)
