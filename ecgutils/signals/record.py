"""One 12-lead ECG with what is known about it."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from ecgutils.findings import FINDINGS, LEADS


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
