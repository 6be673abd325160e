"""Records from arrays, CSV files and WFDB records: leads named and ordered, millivolts, one sampling rate."""

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import resample_poly

from ecgutils.findings import LEADS
from ecgutils.optional import optional
from ecgutils.signals.record import Record, rate_ratio

MAX_MISSING = 0.10  # share of missing samples in any lead above which a signal is refused
MAX_RANGE_MV = 50.0  # no lead's 1-99 % range is wider: a wider one is in another unit
_MILLIVOLTS = {"v": 1000.0, "mv": 1.0, "uv": 0.001, "µv": 0.001, "μv": 0.001}


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
    if (spread := np.ptp(np.percentile(signal, [1, 99], axis=1), axis=0).max()) > MAX_RANGE_MV:
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

    `details` has `missing_samples` (NaN, set to 0 mV) and `flat_leads`, which never change. Raises ValueError for wrong
    shapes, rates, leads or units, a signal shorter than `seconds` or with over 10 % of a lead's samples missing.
    """
    values = np.asarray(signal, dtype=np.float64)
    where = f"record {record_id!r}"
    if values.ndim != 2 or len(leads) not in values.shape:
        raise ValueError(f"{where}: shape {values.shape} has no side of {len(leads)} channels; give (C, N) or (N, C).")
    if values.shape[0] != len(leads):
        values = values.T
    fs, to_fs = _rate(fs, f"{where}: fs"), _rate(to_fs, f"{where}: to_fs")
    if not (lasting := values.shape[1] / fs):
        raise ValueError(f"{where}: has no samples.")
    if seconds is not None and lasting < 0.99 * seconds:
        raise ValueError(f"{where}: lasts {lasting:.3g} s where {seconds:g} s are needed; pass a smaller `seconds`.")
    ordered, details = to_leads(values, leads, [unit] * len(leads) if isinstance(unit, str) else unit, where)
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
    if not (path := Path(path)).is_file():
        raise FileNotFoundError(f"No file {path}: give a CSV with a column for each lead.")
    try:
        with open(path, encoding="utf-8-sig") as file:
            separator = max(",;\t", key=file.readline().count)
        cells = pd.read_csv(path, sep=separator, header=None, dtype=str, skipinitialspace=True, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable CSV ({error}); export it with a line of lead names.") from error
    if _is_lead(cells[0]).sum() > _is_lead(cells.iloc[0]).sum():
        cells = cells.T
    if not (leads := _is_lead(cells.iloc[0])).any():
        begins = f"begins with {cells.iat[0, 0]!r}"
        raise ValueError(f"{path}: no lead names in its first line or column ({begins}); name the columns I, II, ...")
    names, table = list(cells.iloc[0][leads]), cells.iloc[1:].loc[:, leads]
    if separator == ";":
        table = table.apply(lambda column: column.str.replace(",", "."))
    numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if len(words := np.argwhere(np.isnan(numbers) & table.notna().to_numpy())):
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
    """Samples (C, N) and header fields of a WFDB record."""
    wfdb = optional("wfdb")
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
