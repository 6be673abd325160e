"""One 12-lead ECG with what is known about it, and its readers: arrays, CSV, WFDB, PTB-XL.

PTB-XL: Wagner et al., Scientific Data 2020, doi:10.1038/s41597-020-0495-6; CC BY 4.0.
"""

import ast
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import resample_poly

from ecgutils.findings import FINDINGS, LEADS, findings_from_scp

MAX_MISSING = 0.10  # share of missing samples in any lead above which a signal is refused
MAX_RANGE_MV = 50.0  # no lead's 1-99 % range is wider: a wider one is in another unit
_MILLIVOLTS = {"v": 1000.0, "mv": 1.0, "uv": 0.001, "µv": 0.001, "μv": 0.001}
_RATES = {100: "filename_lr", 500: "filename_hr"}


@dataclass(frozen=True, eq=False)
class Record:
    """A 12-lead recording.

    signal_mv : float32 (12, N) in LEADS order, millivolts. fs : samples per second.
    findings : subset of FINDINGS; empty = none of the five.
    patient_id : "" when unknown. fold : 1-based `strat_fold`, None when unknown.
    source : where the signal comes from, e.g. "simulated" or "ptbxl".
    details : whatever else is known (form, territory, measured intervals, demographics).
    """

    signal_mv: np.ndarray
    fs: float
    findings: frozenset[str]
    record_id: str
    patient_id: str = ""
    fold: int | None = None
    source: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.signal_mv.shape[:-1] != (len(LEADS),) or self.signal_mv.dtype != np.float32:
            got = f"got {self.signal_mv.dtype} {self.signal_mv.shape}"
            raise ValueError(f"Record {self.record_id!r}: signal_mv must be float32 of shape (12, N), {got}.")
        if not self.fs > 0:
            raise ValueError(f"Record {self.record_id!r}: fs must be a positive sampling rate in Hz, got {self.fs}.")
        if unknown := set(self.findings) - set(FINDINGS):
            raise ValueError(f"Record {self.record_id!r}: unknown finding(s) {sorted(unknown)}; known are {FINDINGS}.")


def rate_ratio(fs: float, to_fs: float) -> tuple[int, int]:
    """How many times to up- and to downsample from `fs` to `to_fs` Hz; fractions of a Hz count."""
    return Fraction(to_fs / fs).limit_denominator(10_000).as_integer_ratio()


def to_leads(
    values: np.ndarray, leads: Sequence[str], units: Sequence[str], where: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Order and scale channels (C, N), NaN = missing, of C `leads` (any case, order, others beside) in C `units`.

    Returns float64 (12, N) mV in LEADS order with missing samples as 0, and details: their number `missing_samples`,
    and `flat_leads`, which never change (an electrode was off): warned of, as one must not end the reading of a set.
    Raises ValueError for a missing or repeated lead, an unknown or impossible unit, over 10 % of a lead's samples lost.
    """
    names = [str(name).strip().upper() for name in leads]
    if wrong := [lead for lead in LEADS if names.count(lead.upper()) != 1]:
        raise ValueError(f"{where}: needs each of the twelve leads once; missing or repeated: {', '.join(wrong)}.")
    order = [names.index(lead.upper()) for lead in LEADS]
    chosen = [str(units[row]).strip() for row in order]
    if unknown := sorted({unit for unit in chosen if unit.lower() not in _MILLIVOLTS}):
        raise ValueError(f"{where}: unit {', '.join(unknown)} is not known; give V, mV or uV.")
    signal = values[order] * np.array([_MILLIVOLTS[unit.lower()] for unit in chosen])[:, None]
    lost = ~np.isfinite(signal)
    worst = int(lost.mean(axis=1).argmax())
    if (share := lost[worst].mean()) > MAX_MISSING:  # a lead without a signal would be drawn as a flat line
        raise ValueError(f"{where}: {share:.0%} of the samples of {LEADS[worst]} are missing; leave the record out.")
    signal = np.where(lost, 0.0, signal)
    spread = np.ptp(np.percentile(signal, [1, 99], axis=1), axis=0).max()
    if spread > MAX_RANGE_MV:
        raise ValueError(f"{where}: a lead ranges over {spread:.0f} mV, which no ECG does; check the unit.")
    if flat := [lead for lead, still in zip(LEADS, np.ptp(signal, axis=1) == 0, strict=True) if still]:
        warnings.warn(f"{where}: {', '.join(flat)} never changes, as if its electrode had been off.", stacklevel=3)
    return signal, {"missing_samples": int(lost.sum()), "flat_leads": flat}


def record_from_array(
    signal: np.ndarray,
    fs: float,
    record_id: str,
    leads: Sequence[str] = LEADS,
    unit: str | Sequence[str] = "mV",
    to_fs: float = 500,
    seconds: float | None = 10,
    findings: Collection[str] = (),
    source: str = "array",
) -> Record:
    """Make a Record of a signal (C, N) or (N, C) with C channels named by `leads`.

    fs : its sampling rate in Hz. to_fs : the Record's, by a polyphase filter.
    unit : V, mV or uV, of all channels or of each. findings : known findings, if any.
    seconds : length to keep, from the start; None keeps all. A signal up to 1 % shorter is filled with its last sample.

    `details` has `missing_samples` (NaN, set to 0 mV) and `flat_leads`, which never change.
    Raises ValueError for wrong shapes, rates, leads or units (V, mV, uV), a signal shorter than `seconds` or with over
    10 % of a lead's samples missing.
    """
    values = np.asarray(signal, dtype=np.float64)
    where = f"record {record_id!r}"
    if values.ndim != 2 or len(leads) not in values.shape:
        raise ValueError(f"{where}: shape {values.shape} has no side of {len(leads)} channels; give (C, N) or (N, C).")
    if values.shape[0] != len(leads):
        values = values.T
    fs, to_fs = _rate(fs, f"{where}: fs"), _rate(to_fs, f"{where}: to_fs")
    lasting = values.shape[1] / fs
    if not lasting:
        raise ValueError(f"{where}: has no samples.")
    if seconds is not None and lasting < 0.99 * seconds:
        raise ValueError(f"{where}: lasts {lasting:.3g} s where {seconds:g} s are needed; pass a smaller `seconds`.")
    units = [unit] * len(leads) if isinstance(unit, str) else unit
    ordered, details = to_leads(values, leads, units, where)
    if to_fs != fs:  # point reflection at both ends: a signal goes on as it came
        ordered = resample_poly(ordered, *rate_ratio(fs, to_fs), axis=1, padtype="antireflect")
    if seconds is not None:
        ordered = ordered[:, : round(seconds * to_fs)]
        ordered = np.pad(ordered, ((0, 0), (0, round(seconds * to_fs) - ordered.shape[1])), mode="edge")
    return Record(ordered.astype(np.float32), to_fs, frozenset(findings), record_id, source=source, details=details)


def _rate(value: Any, name: str) -> float:
    """A sampling rate in Hz, a number or one written out ("500")."""
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = np.nan
    if not 20 <= rate <= 100_000:
        raise ValueError(f"{name} is {value!r}; a sampling rate from 20 to 100,000 Hz is needed.")
    return rate


def read_csv(path: str | Path, fs: float, unit: str = "mV", **how: Any) -> Record:
    """Read a CSV with one column per lead, named in the first line, or one line per lead, named in the first column.

    Fields are parted by commas, semicolons (then numbers may have decimal commas) or tabs; columns of no lead (time,
    say) are left out. fs : sampling rate in Hz, which a CSV doesn't say. how : arguments of `record_from_array`.

    Raises FileNotFoundError, and ValueError for a file without numbers or as `record_from_array`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file {path}: give a CSV with a column for each lead.")
    try:
        with open(path, encoding="utf-8-sig") as file:
            separator = max(",;\t", key=file.readline().count)
        cells = pd.read_csv(path, sep=separator, header=None, dtype=str, skipinitialspace=True, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable CSV ({error}); export it with a line of lead names.") from error
    if _is_lead(cells[0]).sum() > _is_lead(cells.iloc[0]).sum():
        cells = cells.T
    leads = _is_lead(cells.iloc[0])
    if not leads.any():
        begins = f"begins with {cells.iat[0, 0]!r}"
        raise ValueError(f"{path}: no lead names in its first line or column ({begins}); name the columns I, II, ...")
    names, table = list(cells.iloc[0][leads]), cells.iloc[1:].loc[:, leads]
    if separator == ";":
        table = table.apply(lambda column: column.str.replace(",", "."))
    numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    words = np.argwhere(np.isnan(numbers) & table.notna().to_numpy())
    if len(words):
        row, column = words[0]
        where = f"data row {row + 1}, lead {names[column]}"
        raise ValueError(f"{path}: {table.iat[row, column]!r} in {where}, is no number.")
    return record_from_array(numbers.T, fs, path.stem, names, unit, **{"source": "csv", **how})


def _is_lead(cells: pd.Series) -> pd.Series:
    return cells.str.strip().str.upper().isin({lead.upper() for lead in LEADS})


def read_wfdb(path: str | Path, to_fs: float = 500, seconds: float | None = 10) -> Record:
    """Read a WFDB record (`path` with or without .hea); rate, leads and units come from its header."""
    path = Path(path).with_suffix("") if str(path).endswith((".hea", ".dat")) else Path(path)
    values, fields = wfdb_samples(path)
    leads, units = fields["sig_name"], fields["units"]
    return record_from_array(values, fields["fs"], path.name, leads, units, to_fs, seconds, source="wfdb")


def wfdb_samples(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Samples (C, N) and header fields of a WFDB record; nothing else needs wfdb to be installed."""
    try:
        import wfdb
    except ModuleNotFoundError as error:
        message = f"{path}: reading WFDB records and PTB-XL needs a package that is not installed: pip install wfdb."
        raise ModuleNotFoundError(message, name=error.name) from None
    header = path.with_name(path.name + ".hea")
    try:
        values, fields = wfdb.rdsamp(str(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"No {error.filename}: it belongs to the files of {header}; get them all.") from None
    except (ValueError, IndexError, TypeError, OSError) as error:
        if str(error).startswith("time data"):  # of the date and the time of recording
            lines = header.read_text(errors="replace").splitlines()
            first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
            message = f"the line {first!r} may only end in a time and date like 14:30:00 12/05/2020; change it."
            raise ValueError(f"{header}: {message}") from error
        raise ValueError(f"{path}: not a readable WFDB record ({error}); get the file again.") from error
    return values.T, fields


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
    missing = {
        rate: sum(not (root / f"{name}.hea").is_file() for name in table[column])
        for rate, column in _RATES.items()
        if column in table.columns
    }
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
        if numbers.isna().any():
            row = int(numbers.isna().to_numpy().argmax())
            raise ValueError(f"{where}: {column} is {table[column].iloc[row]!r} in data row {row + 1}, not a number.")
        table[column] = numbers.astype(int)
    if (twice := table["ecg_id"].duplicated()).any():
        raise ValueError(f"{where}: ecg_id {table.loc[twice, 'ecg_id'].iloc[0]} occurs twice; remove one of the rows.")
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
