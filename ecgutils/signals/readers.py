"""Records from arrays, CSV files and WFDB records: leads named and ordered, millivolts, one sampling rate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import wfdb
from scipy.signal import resample_poly

from ecgutils.findings import LEADS
from ecgutils.signals.record import Record

MAX_MISSING = 0.10  # share of missing samples in any lead above which a signal is refused
MAX_RANGE_MV = 50.0  # no lead's 1-99 % range is wider: a wider one is in another unit
_MILLIVOLTS = {"v": 1000.0, "mv": 1.0, "uv": 0.001, "µv": 0.001, "μv": 0.001}


def to_leads(values: np.ndarray, leads: Sequence[str], units: Sequence[str], where: str) -> tuple[np.ndarray, int]:
    """Order and scale channels.

    values : (C, N), one row per channel, NaN = missing. leads : C names, in any case and order; channels beyond the
    twelve leads are left out. units : C of V, mV, uV. where : what errors call the signal.

    Returns float64 (12, N) mV in LEADS order with missing samples as 0, and their number.

    Raises ValueError for a missing or repeated lead, an unknown or impossible unit, a lead with more than 10 % of its
    samples missing.
    """
    names = [str(name).strip().upper() for name in leads]
    if len(names) != len(values):
        raise ValueError(f"{where}: {len(names)} lead names for {len(values)} channels; name each channel once.")
    wrong = [lead for lead in LEADS if names.count(lead.upper()) != 1]
    if wrong:
        raise ValueError(
            f"{where}: needs each of the twelve leads {', '.join(LEADS)} once; missing or repeated: {', '.join(wrong)}."
        )
    order = [names.index(lead.upper()) for lead in LEADS]
    unknown = sorted({str(units[row]) for row in order if str(units[row]).strip().lower() not in _MILLIVOLTS})
    if unknown:
        raise ValueError(f"{where}: unit {', '.join(unknown)} is not known; give V, mV or uV.")
    signal = values[order] * np.array([_MILLIVOLTS[str(units[row]).strip().lower()] for row in order])[:, None]
    lost = ~np.isfinite(signal)
    worst = int(lost.mean(axis=1).argmax())
    if (share := lost[worst].mean()) > MAX_MISSING:  # a lead without a signal would be drawn as a flat line
        raise ValueError(
            f"{where}: {share:.0%} of the samples of {LEADS[worst]} are missing, over {MAX_MISSING:.0%}; leave it out."
        )
    signal = np.where(lost, 0.0, signal)
    spread = float(np.ptp(np.percentile(signal, [1, 99], axis=1), axis=0).max())
    if spread > MAX_RANGE_MV:
        raise ValueError(f"{where}: a lead ranges over {spread:.0f} mV, which no ECG does; check the unit.")
    return signal, int(lost.sum())


def record_from_array(
    signal: np.ndarray,
    fs: float,
    record_id: str,
    leads: Sequence[str] = LEADS,
    unit: str = "mV",
    to_fs: float = 500,
    seconds: float | None = 10,
    findings: Collection[str] = (),
    source: str = "array",
) -> Record:
    """Make a Record of a signal (C, N) or (N, C) with C channels named by `leads`.

    Parameters
    ----------
    fs : its sampling rate in Hz. to_fs : the Record's, by a polyphase filter.
    unit : V, mV or uV. seconds : length to keep, from the start; None keeps all.
    findings : known findings, if any.

    `details` has `missing_samples` (NaN, set to 0 mV) and `left_out_s` (seconds beyond `seconds`).

    Raises ValueError for wrong shapes, rates, leads or units (see `to_leads`) and for a signal shorter than `seconds`.
    """
    values = np.asarray(signal, dtype=np.float64)
    where = f"record {record_id!r}"
    if values.ndim != 2 or len(leads) not in values.shape:
        raise ValueError(f"{where}: shape {values.shape} has no side of {len(leads)} channels; give (C, N) or (N, C).")
    if values.shape[0] != len(leads):
        values = values.T
    for name, rate in (("fs", fs), ("to_fs", to_fs)):
        if not 20 <= rate <= 100_000:
            raise ValueError(f"{where}: {name} is {rate!r}; a sampling rate from 20 to 100,000 Hz is needed.")
    lasting = values.shape[1] / fs
    if seconds is not None and lasting < seconds - 0.5 / fs:
        raise ValueError(f"{where}: lasts {lasting:.3g} s where {seconds:g} s are needed; pass a smaller `seconds`.")
    ordered, missing = to_leads(values, leads, [unit] * len(leads), where)
    if to_fs != fs:
        ratio = Fraction(to_fs / fs).limit_denominator(10_000)
        ordered = resample_poly(ordered, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    keep = ordered.shape[1] if seconds is None else round(seconds * to_fs)
    return Record(
        signal_mv=ordered[:, :keep].astype(np.float32),
        fs=to_fs,
        findings=frozenset(findings),
        record_id=record_id,
        source=source,
        details={"missing_samples": missing, "left_out_s": max(round(lasting - keep / to_fs, 3), 0.0)},
    )


def read_csv(path: str | Path, fs: float, unit: str = "mV", **how: Any) -> Record:
    """Read a CSV with one column per lead, named in the first line; other columns (time, say) are left out.

    fs : sampling rate in Hz, which a CSV doesn't say. how : further arguments of `record_from_array`.

    Raises FileNotFoundError, and ValueError for a file without numbers or as `record_from_array`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file {path}: give a CSV with a column for each lead.")
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: not a readable CSV ({error}); export it with a header line of lead names."
        ) from error
    known = {lead.upper() for lead in LEADS}
    table = table[[column for column in table.columns if str(column).strip().upper() in known]]
    numbers = table.apply(pd.to_numeric, errors="coerce")
    words = numbers.isna() & table.notna()
    if words.to_numpy().any():
        row, column = np.argwhere(words.to_numpy())[0]
        raise ValueError(
            f"{path}: {table.iat[row, column]!r} in data row {row + 1}, lead {table.columns[column]}, is not a number."
        )
    return record_from_array(
        numbers.to_numpy().T, fs, path.stem, leads=list(table.columns), unit=unit, **{"source": "csv", **how}
    )


def read_wfdb(path: str | Path, to_fs: float = 500, seconds: float | None = 10) -> Record:
    """Read a WFDB record (`path` with or without .hea); rate, leads and units come from its header."""
    path = Path(path).with_suffix("") if str(path).endswith((".hea", ".dat")) else Path(path)
    values, fields = wfdb_samples(path)
    ordered, missing = to_leads(values, fields["sig_name"], fields["units"], str(path))
    record = record_from_array(ordered, fields["fs"], path.name, to_fs=to_fs, seconds=seconds, source="wfdb")
    return replace(record, details=record.details | {"missing_samples": missing})


def wfdb_samples(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Samples (C, N) and header fields of a WFDB record; FileNotFoundError or ValueError say what is wrong."""
    if not path.with_name(path.name + ".hea").is_file():
        raise FileNotFoundError(f"No {path}.hea: a WFDB record is a .hea file and the .dat or .mat that it names.")
    try:
        values, fields = wfdb.rdsamp(str(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}.hea names a file that is not there, {error.filename}: get it, too.") from None
    except (ValueError, IndexError, TypeError, OSError) as error:
        raise ValueError(f"{path}: not a readable WFDB record ({error}); get the file again.") from error
    return values.T, fields
