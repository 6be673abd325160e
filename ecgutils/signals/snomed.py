"""SNOMED CT codes of ECG headers and the findings that they stand for, by PTB-XL's convention: snomed.csv.

The codes, abbreviations and names are those of the PhysioNet/CinC Challenge 2021 (Reyna et al. 2021,
doi:10.23919/CinC53138.2021.9662687; dx_mapping_scored.csv and dx_mapping_unscored.csv of its evaluation code), and the
four more of Zheng et al. 2022, doi:10.13026/wgex-er52.

The rule: a code stands for a finding when PTB-XL's statement of the same meaning is diagnostic of that class. A form
statement of PTB-XL is none, but for those of ST and T.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Snomed(NamedTuple):
    """What a SNOMED CT code says: abbreviation and name in its data sets, and the finding; None = none of the five."""

    abbreviation: str
    name: str
    finding: str | None = None


with open(Path(__file__).with_suffix(".csv"), encoding="utf-8", newline="") as _file:
    SNOMED = {r["code"]: Snomed(r["abbreviation"], r["name"], r["finding"] or None) for r in csv.DictReader(_file)}


def findings_from_snomed(codes: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Map the SNOMED CT codes of one record to findings.

    codes : digits, as in a WFDB header. Returns the findings, and in their order the codes that say nothing about them:
    those whose finding is None, and those that are not in SNOMED (which may hide a finding).
    """
    listed = list(codes)
    findings = {code: SNOMED[code].finding if code in SNOMED else None for code in listed}
    return frozenset(filter(None, findings.values())), tuple(code for code in listed if not findings[code])
