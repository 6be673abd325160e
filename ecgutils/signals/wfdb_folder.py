"""Folders of WFDB records with SNOMED CT codes in their headers, as in the PhysioNet/CinC Challenges 2020 and 2021.
Such sets are CPSC 2018, Georgia, Chapman-Shaoxing, Ningbo and PTB; a header's comments say `Age`, `Sex` and `Dx`."""

import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ecgutils.findings import FINDINGS
from ecgutils.optional import optional
from ecgutils.signals.readers import record_from_array, wfdb_samples
from ecgutils.signals.record import Record
from ecgutils.signals.snomed import SNOMED, findings_from_snomed

MIN_SECONDS, MAX_SECONDS = 2.5, 10.0  # what a lead of a printed 3x4 page shows, and the whole page


def read_wfdb_folder(root: str | Path, rows: Collection[int] | None = None) -> Iterator[Record]:
    """Yield the Records of all WFDB headers in a folder and its sub-folders, in the order of their paths, at 500 Hz.

    rows : only these headers (0-based); None = all.

    A Record is the first ten seconds, or all of a shorter one. It has `record_id` = the file's name, with its folders
    where that occurs twice; no `patient_id` and no `fold`; findings by `findings_from_snomed`; and in its `details`
    `snomed_codes`, `unscored` (tuples), `age` (None = unknown, 90 = over 89), `sex`, `missing_samples`, `flat_leads`.

    A record that can't be read, lasts under 2.5 s, or has no `Dx` of codes (nothing would be known of its findings) is
    left out: one warning at the end counts them and names the first. Raises FileNotFoundError at the call for a folder
    that is not there or has no header, and ValueError at the end when every record was left out.
    """
    root = Path(root)
    headers = _headers(root)
    often = Counter(path.stem for path in headers)
    named = [(path, path.stem if often[path.stem] == 1 else _inside(root, path)) for path in headers]
    if rows is not None:
        named = [named[row] for row in sorted(rows)]
    return _records(root, named)


def check_wfdb_folder(root: str | Path) -> dict[str, Any]:
    """Say what a folder of WFDB records holds without reading signals; errors as for `read_wfdb_folder` at the call.

    Returns `records` (with a readable header, signal files and codes), `unreadable`, `without_codes`, `rates` (Hz),
    `findings`, `unscored` ("code (name)") and `unknown_codes`. The last four are dicts: value -> number of records.
    """
    wfdb = optional("wfdb")
    counts, rates, found, unscored = Counter(), Counter(), Counter(), Counter()
    for path in _headers(Path(root)):
        try:
            header = wfdb.rdheader(str(path.with_suffix("")))
            whole = all((path.parent / name).is_file() for name in header.file_name)
        except Exception:  # as in `_records`
            whole = False
        codes = _about(header.comments)["snomed_codes"] if whole else ()
        counts["records" if codes else "without_codes" if whole else "unreadable"] += 1
        if codes:
            rates[header.fs] += 1
            findings, rest = findings_from_snomed(codes)
            found.update(findings)
            unscored.update(rest)
    said = {True: {}, False: {}}
    for code, count in unscored.most_common():
        said[code in SNOMED][f"{code} ({SNOMED[code].name})" if code in SNOMED else code] = count
    return {
        **{key: counts[key] for key in ("records", "unreadable", "without_codes")},
        "rates": dict(sorted(rates.items())),
        "findings": {finding: found[finding] for finding in FINDINGS},
        "unscored": said[True],
        "unknown_codes": said[False],
    }


def _headers(root: Path) -> list[Path]:
    if not root.is_dir():
        raise FileNotFoundError(f"No folder {root}: give the one that holds the WFDB records (.hea and .mat or .dat).")
    if not (headers := sorted(path for path in root.rglob("*.hea") if not path.name.startswith("."))):
        raise FileNotFoundError(f"No WFDB header (.hea) in {root} or its sub-folders; unpack the records there.")
    return headers


def _inside(root: Path, path: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _records(root: Path, named: list[tuple[Path, str]]) -> Iterator[Record]:
    lost = []
    for path, record_id in named:
        try:
            record = _read(path, record_id)
        except ImportError:
            raise
        except Exception as error:  # a damaged header breaks wfdb in many ways, and none may cost the other records
            lost.append(f"{_inside(root, path)}: {str(error) or type(error).__name__}")
        else:
            yield record
    if lost:
        message = f"{root}: {len(lost)} of {len(named)} records are left out. The first is {lost[0]}"
        if len(lost) == len(named):
            raise ValueError(message)
        warnings.warn(message, stacklevel=2)


def _read(path: Path, record_id: str) -> Record:
    values, fields = wfdb_samples(path.with_suffix(""))
    if not (about := _about(fields["comments"]))["snomed_codes"]:
        raise ValueError("its header has no line like '# Dx: 426783006,164889003', so its findings are not known.")
    fs, n = fields["fs"], values.shape[1]
    if n < int(MIN_SECONDS * fs):
        raise ValueError(f"lasts {n / fs:.3g} s where {MIN_SECONDS} s are needed.")
    findings, about["unscored"] = findings_from_snomed(about["snomed_codes"])
    seconds = MAX_SECONDS if n >= 0.99 * MAX_SECONDS * fs else None
    values = values[:, : int(MAX_SECONDS * fs) + 1]  # half an hour need not be resampled
    kept = {"leads": fields["sig_name"], "unit": fields["units"], "seconds": seconds, "findings": findings}
    record = record_from_array(values, fs, record_id, **kept, source="wfdb")
    record.details.update(about)
    return record


def _about(comments: list[str]) -> dict[str, Any]:
    """`age`, `sex` and `snomed_codes` of a header's comments; no codes when one of them is a word."""
    entries = [(key.strip().lower(), value.strip()) for key, _, value in (line.partition(":") for line in comments)]
    age = pd.to_numeric(dict(entries).get("age", ""), errors="coerce")
    listed = [code.strip() for key, value in entries if key == "dx" for code in value.split(",")]
    codes = tuple(dict.fromkeys(code for code in listed if code))
    return {
        "age": int(min(age, 90)) if age >= 0 else None,
        "sex": {"m": "male", "f": "female"}.get(dict(entries).get("sex", "")[:1].lower()),
        # a set of before SNOMED writes "AFIB": that is not known here, and not the absence of AF
        "snomed_codes": codes if all(code.removeprefix("-").isdecimal() for code in codes) else (),
    }
