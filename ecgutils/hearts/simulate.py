"""Labelled 12-lead ECGs from nothing but a seed: hearts, rhythm, leads, noise; and the records of a run."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy.signal import resample_poly
from tqdm import tqdm

from ecgutils.findings import FINDINGS
from ecgutils.hearts.draw import draw_heart
from ecgutils.hearts.heart import Heart, pick, premature_beat, twelve_leads
from ecgutils.hearts.noise import lead_noise
from ecgutils.hearts.rhythm import DURATION_S, Rhythm, atrial_waves, draw_rhythm
from ecgutils.parallel import for_each
from ecgutils.signals.ptbxl import check_ptbxl, read_ptbxl
from ecgutils.signals.record import Record
from ecgutils.signals.wfdb_folder import check_wfdb_folder, read_wfdb_folder

Folder = str | Path
_RENDER_HZ = 500
_STAGE = 1  # second entry of every seed, so that no other stage draws the same numbers

NORMAL_SHARE = 0.42
# Shares among records with a finding; strain adds STTC to 42 % of HYP on top.
FINDING_SHARE = {"STTC": 0.33, "HYP": 0.24, "MI": 0.36, "CD": 0.34, "AF": 0.13}
STRAIN_SHARE = 0.42
# How much more often than by chance two findings meet, about as in PTB-XL.
_TOGETHER = {
    ("STTC", "HYP"): 1.3, ("STTC", "MI"): 0.75, ("STTC", "CD"): 0.65, ("STTC", "AF"): 1.5,
    ("HYP", "CD"): 0.8, ("HYP", "AF"): 1.3, ("MI", "CD"): 0.9,
}  # fmt: skip


def simulate(rng: Generator, findings: Iterable[str] | None = None, fs: float = 500, noise: bool = True) -> Record:
    """Simulate one ten-second 12-lead ECG.

    rng : source of all randomness; the same state gives the same bytes, and the same heart at any `fs` and `noise`.
    findings : exactly these findings; an empty set means none of the five; None draws from a mix like that of a
        hospital (42 % without finding, the others with realistic co-occurrence).
    fs : sampling rate in Hz, a whole number from 50 to 2000. noise : False leaves the noise out.

    Returns a Record, signal float32 (12, 10 * fs) in mV. Its `details`: `forms` (finding -> list of forms), `territory`
    of an infarct, `criteria` (finding -> criteria met without noise, see `criteria_met`), `not_labelled` (finding ->
    why its criterion, though met, gives no label), `benign` (hard negatives, misplaced electrodes), `sex`, `age`,
    `rhythm`, `rate_bpm`, `qrs_ms`, `st_mv` (largest shift, up or down), `pr_ms` (None where not fixed), `qt_ms`.

    Raises ValueError for an unknown finding or a rate out of range.
    """
    if not 50 <= fs <= 2000 or fs != int(fs):
        raise ValueError(f"simulate: fs must be a whole number of Hz from 50 to 2000, got {fs!r}.")
    wanted = draw_findings(rng) if findings is None else frozenset(findings)
    if unknown := wanted - set(FINDINGS):
        raise ValueError(f"simulate: unknown finding(s) {sorted(map(str, unknown))}; known are {', '.join(FINDINGS)}.")
    heart = draw_heart(rng, wanted)
    rhythm = draw_rhythm(rng, heart.rhythm, heart.rate, heart.pr, heart.age, heart.wide_escape)
    eight = _render(rng, heart, rhythm)
    if noise:
        eight += lead_noise(rng, DURATION_S * _RENDER_HZ, _RENDER_HZ)
    if fs != _RENDER_HZ:
        eight = resample_poly(eight, int(fs), _RENDER_HZ, axis=1)
    return Record(twelve_leads(eight), fs, wanted, record_id="sim", source="simulated", details=_details(heart, rhythm))


def simulate_cohort(
    n: int, seed: int, fs: float = 500, workers: int = 1, prefix: str = "sim", shard: tuple[int, int] = (1, 1)
) -> Iterator[Record]:
    """Yield `n` simulated Records, each of another patient, or a `shard` of them.

    Record i depends on `seed` and i alone: not on `n`, nor on the number of `workers` (processes). Its ids are
    "sim-000000" and "sim-p000000" for i = 0 with the prefix "sim", its fold is i % 10 + 1.
    Raises ValueError for a negative n or seed, and for 0 workers: at the call.
    """
    if n < 0 or seed < 0:
        raise ValueError(f"simulate_cohort: n and seed must not be negative, got n={n}, seed={seed}.")
    numbers = range(shard[0] - 1, n, shard[1])
    records = for_each(_row, ((seed, i, fs, prefix) for i in numbers), workers)
    return iter(tqdm(records, total=len(numbers), desc="simulate", unit="ECG", disable=None))


def _row(seed: int, i: int, fs: float, prefix: str) -> Record:
    record = simulate(np.random.default_rng([seed, _STAGE, i]), fs=fs)
    return replace(record, record_id=f"{prefix}-{i:06d}", patient_id=f"{prefix}-p{i:06d}", fold=i % 10 + 1)


def load_records(
    n: int,
    seed: int,
    ptbxl: Folder | None = None,
    prefix: str = "sim",
    workers: int = 1,
    wfdb: Folder | None = None,
    shard: tuple[int, int] = (1, 1),
) -> Iterator[Record]:
    """Yield `n` simulated records, or at most `n` of a PTB-XL folder, or of one of WFDB records with SNOMED codes.

    n : number of records; of a folder, 0 means all. A part is drawn with `seed` and kept in the table's order; signals
        are those of 500 Hz, or where PTB-XL's folder has only these, of 100 Hz.
    prefix : first part of simulated record and patient ids, so that two cohorts stay apart.
    shard : (k, n), only part k of n: of all these records those numbered k - 1, k - 1 + n, ...

    A WFDB folder names no patient: a record's fold, 1 to 10, is a hash of its id, the same in any part of the folder.
    Raises ValueError for a negative n, and what `read_ptbxl` or `read_wfdb_folder` raises.
    """
    if not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"Shard {shard[0]} of {shard[1]} does not exist: give one from 1 to the number of shards.")
    if ptbxl is None and wfdb is None:
        return simulate_cohort(n, seed, workers=workers, prefix=prefix, shard=shard)
    there = check_wfdb_folder(wfdb) if ptbxl is None else check_ptbxl(ptbxl)
    total = sum(there.get(key, 0) for key in ("records", "unreadable", "without_codes"))
    rows = np.random.default_rng(seed).choice(total, min(n, total), replace=False) if n else np.arange(total)
    rows = np.sort(rows)[shard[0] - 1 :: shard[1]]
    if ptbxl is None:
        found = read_wfdb_folder(wfdb, rows=rows)
        return (replace(record, fold=zlib.crc32(record.record_id.encode()) % 10 + 1) for record in found)
    return read_ptbxl(ptbxl, rate=100 if there["rates"] == [100] else 500, rows=rows)


def draw_findings(rng: Generator) -> frozenset[str]:
    """Draw a set of findings from the mix."""
    if rng.random() < NORMAL_SHARE:
        return frozenset()
    drawn = pick(rng, *_mix())
    return drawn | {"STTC"} if "HYP" in drawn and rng.random() < STRAIN_SHARE else drawn


@cache
def _mix() -> tuple[list[frozenset[str]], np.ndarray]:
    """All 31 non-empty sets and their weights, fitted so that every finding has its FINDING_SHARE."""
    sets = [frozenset(c) for size in range(1, 6) for c in combinations(FINDINGS, size)]
    weight = np.array([np.prod([r for pair, r in _TOGETHER.items() if s.issuperset(pair)]) for s in sets])
    member = np.array([[f in s for s in sets] for f in FINDING_SHARE])
    for _ in range(200):  # iterative proportional fitting of the five margins
        for inside, share in zip(member, FINDING_SHARE.values(), strict=True):
            weight[inside] *= share / weight[inside].sum()
            weight[~inside] *= (1 - share) / weight[~inside].sum()
    return sets, weight


def _render(rng: Generator, heart: Heart, rhythm: Rhythm) -> np.ndarray:
    """The eight independent leads without noise, float64 (8, 5000) mV."""
    n = DURATION_S * _RENDER_HZ
    ventricles, recovery, atria = np.zeros((3, 3, n))
    breath_hz, breath = rng.uniform(0.2, 0.33), rng.uniform(0, 0.06)
    size = 1 + breath * np.sin(2 * np.pi * breath_hz * rhythm.beats + rng.uniform(0, 6.3))
    size *= 1 + 0.015 * rng.standard_normal(len(size))
    # QT follows the rate of the last beats rather than one interval: irregular rhythms keep a nearly steady T.
    rr = 0.4 * rhythm.rr + 0.6 * rhythm.rr.mean()
    qt = heart.qtc * np.clip(rr, 0.35, 1.8) ** (1 / 3)
    for kind, beat in ((False, heart.beat), (True, premature_beat(rng))):
        chosen = (rhythm.ectopic == kind) & (rhythm.beats > -1.0) & (rhythm.beats < DURATION_S + 0.2)
        onset, scale = rhythm.beats[chosen], size[chosen, None, None]
        _add(ventricles, onset, -0.05, 0.26, beat.qrs, scale)
        _add(recovery, onset, -0.02, 0.90, partial(beat.recovery, qt=qt[chosen]), scale)
    _add(atria, rhythm.p_waves[(rhythm.p_waves > -0.3) & (rhythm.p_waves < DURATION_S)], -0.04, 0.22, heart.atria.wave)
    from_qrs, from_recovery, from_p = heart.matrices
    eight = from_qrs @ ventricles + from_recovery @ recovery + from_p @ atria
    if heart.rhythm in ("AF", "flutter"):
        eight += atrial_waves(rng, np.arange(n) / _RENDER_HZ, rhythm)
    return heart.wiring @ eight


def _add(
    dipole: np.ndarray, onset: np.ndarray, start: float, stop: float, wave: Callable, scale: np.ndarray | float = 1.0
) -> None:
    """Add `scale` times `wave` from `start` to `stop` seconds around each onset (B,) into `dipole` (3, N)."""
    first = np.ceil((onset + start) * _RENDER_HZ).astype(int)
    samples = first[:, None] + np.arange(int((stop - start) * _RENDER_HZ))
    waves = scale * wave(samples / _RENDER_HZ - onset[:, None])  # (B, 3, W)
    for begin, one in zip(first, waves, strict=True):
        low, high = max(begin, 0), min(begin + one.shape[1], dipole.shape[1])
        if low < high:
            dipole[:, low:high] += one[:, low - begin : high - begin]


def _details(heart: Heart, rhythm: Rhythm) -> dict:
    mean_rr = float(rhythm.rr[(rhythm.beats > 0) & (rhythm.beats < DURATION_S)].mean())
    qt = heart.qtc * min(max(mean_rr, 0.35), 1.8) ** (1 / 3) + heart.beat.qt_add
    return {
        "forms": heart.forms,
        "territory": heart.territory,
        "criteria": heart.met,
        "not_labelled": heart.dropped,
        "benign": [*heart.benign, *rhythm.notes],
        "sex": "female" if heart.female else "male",
        "age": heart.age,
        "rhythm": heart.rhythm,
        "rate_bpm": round(60 / mean_rr, 1),
        "qrs_ms": round(heart.measured.qrs_ms),
        "st_mv": round(float(np.abs(heart.measured.st).max()), 2),
        "pr_ms": round(1000 * heart.pr) if heart.rhythm in ("sinus", "two_to_one") else None,
        "qt_ms": round(1000 * qt),
    }
