"""Measure an ECG as a reader does, on its average beat, lead by lead, and read the criteria that labels follow.

Q waves, ST elevation and depression, T inversion: Thygesen et al., Fourth Universal Definition of Myocardial
Infarction, Circulation 2018;138:e618. Minor Q: after Minnesota code 1-2 and 1-3. Poor R progression: Zema and
Kligfield, J Electrocardiol 1979;12:3.
Intervals, axis, blocks, low T, QTc, hypertrophy: AHA/ACCF/HRS recommendations, Circulation 2009;119:e235, e241, e251.
A LAFB is taken from -30 degrees on, as PTB-XL's readers do, not from -45.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, find_peaks, resample_poly, sosfiltfilt

from ecgutils.findings import LEADS
from ecgutils.signals.record import Record, rate_ratio

LEAD = {name: row for row, name in enumerate(LEADS)}
HZ = 500
MAX_QRS = 110  # samples: a QRS that seems longer has run into T, and is cut here
_BEFORE, _AFTER = 160, 300  # samples of the average beat around the QRS
# Neighbours on the heart: a sign counts when two leads of one group show it.
_GROUPS = [np.array([LEAD[name] for name in group.split()]) for group in ("I aVL", "II III aVF", "V1 V2 V3 V4 V5 V6")]
_V1, _V2, _V3, _V4, _V5, _V6 = (LEAD[f"V{k}"] for k in range(1, 7))


@dataclass(frozen=True)
class Measurements:
    """One ECG's average beat and what is read from it.

    `beat` float (12, 460) mV at 500 Hz, zero at the PR segment. `rate_bpm`; `rr_cv` coefficient of variation of the RR
    intervals; `qrs_ms`; `axis` frontal degrees (0 = left, 90 = feet). Per lead (12,): `q`, `r`, `s`, `r2` (R' after S)
    >= 0, `j` and `st` (6 and 60 ms after the end of QRS), `t` (largest deflection, signed), `p` (largest upward
    deflection before QRS) mV; `q_ms`. `qtc_ms`: QT / RR^(1/3), Fridericia. `p_ms`, `pr_ms`: NaN without a P wave.
    """

    beat: np.ndarray
    rate_bpm: float
    rr_cv: float
    qrs_ms: float
    axis: float
    q: np.ndarray
    q_ms: np.ndarray
    r: np.ndarray
    s: np.ndarray
    r2: np.ndarray
    j: np.ndarray
    st: np.ndarray
    t: np.ndarray
    p: np.ndarray
    p_ms: float
    pr_ms: float
    qtc_ms: float


def find_beats(signal_mv: np.ndarray, fs: float) -> np.ndarray:
    """Sample indices (B,) of the QRS complexes of a (12, N) mV signal, from the energy of all leads' slopes."""
    slope = np.gradient(signal_mv.astype(float), axis=1) * fs
    energy = np.sqrt(np.maximum(uniform_filter1d((slope**2).sum(axis=0), max(int(0.08 * fs), 1)), 0))  # -1e-17 is 0
    # The height is relative to a typical beat, so that one artefact doesn't hide all others.
    typical = np.median([part.max() for part in np.array_split(energy, max(int(len(energy) / fs / 1.5), 1))])
    peaks, _ = find_peaks(energy, distance=int(0.26 * fs), height=0.45 * typical)
    return peaks


def measure(signal_mv: np.ndarray, fs: float) -> Measurements | None:
    """Measure a (12, N) mV signal; None when fewer than three similar beats lie wholly inside it."""
    if fs != HZ:
        signal_mv = resample_poly(signal_mv.astype(float), *rate_ratio(fs, HZ), axis=1)
    signal = sosfiltfilt(butter(2, 0.4, "high", fs=HZ, output="sos"), signal_mv.astype(float), axis=1)
    found = find_beats(signal, HZ)
    if len(inside := found[(found >= _BEFORE) & (found < signal.shape[1] - _AFTER)]) < 3:
        return None
    beats = np.stack([signal[:, peak - _BEFORE : peak + _AFTER] for peak in inside])
    beats -= beats.mean(axis=2, keepdims=True)
    middle = np.median(beats, axis=0)
    window = np.s_[:, _BEFORE - 60 : _BEFORE + 60]
    like = [np.corrcoef(b[window].ravel(), middle[window].ravel())[0, 1] > 0.8 for b in beats]
    if sum(like) >= 3:
        beats = beats[like]
        middle = np.median(beats, axis=0)
    rr = np.diff(found) / HZ
    # A P wave comes at the same place before each beat: the average keeps its power, but not that of f waves.
    atrial = beats[:, :, _BEFORE - 100 : _BEFORE - 25]
    atrial = atrial - atrial.mean(axis=2, keepdims=True)
    steady = (atrial.mean(axis=0) ** 2).sum() > 0.5 * (atrial**2).sum() / len(atrial)
    return measure_beat(middle, _BEFORE, 60 / np.median(rr), float(rr.std() / rr.mean()), steady)


def measure_beat(beat: np.ndarray, centre: int, rate: float, rr_cv: float, has_p_wave: bool) -> Measurements:
    """Measure one beat (12, W) mV at 500 Hz whose QRS lies around sample `centre`, with or without its P wave."""
    onset, offset = _find_qrs(beat, centre)
    beat = beat - np.median(beat[:, max(onset - 20, 0) : max(onset - 4, 1)], axis=1, keepdims=True)
    stop = min(beat.shape[1], centre + int(0.65 * 60 / rate * HZ))
    wave = beat[:, min(offset + 30, stop - 2) : stop]
    size = np.sqrt((wave**2).sum(axis=0))
    end = int(np.flatnonzero(size > 0.08 * size.max())[-1]) + offset + 30
    first = max(onset - int(min(0.28, 0.38 * 60 / rate) * HZ), 0)
    j, st = (beat[:, min(offset + late, beat.shape[1] - 1)] for late in (3, 30))
    return Measurements(
        beat=beat,
        rate_bpm=rate,
        rr_cv=rr_cv,
        qrs_ms=(offset - onset) * 1000 / HZ,
        axis=frontal_axis(beat[:, onset:offset]),
        **_read_qrs(beat[:, onset:offset]),
        j=j,
        st=st,
        t=np.take_along_axis(wave, np.abs(wave).argmax(axis=1)[:, None], axis=1)[:, 0],
        **_read_p(beat[:, first : max(onset - 4, first + 1)], onset - first, has_p_wave),
        qtc_ms=(end - onset) * 1000 / HZ * (rate / 60) ** (1 / 3),
    )


def _find_qrs(beat: np.ndarray, centre: int) -> tuple[int, int]:
    """First sample of QRS and the one after its last."""
    speed = np.sqrt((np.gradient(uniform_filter1d(beat, 3, axis=1), axis=1) ** 2).sum(axis=0))
    search = slice(centre - 60, centre + 90)
    # QRS reaches from its steepest place to where all leads have been slow for 12 ms
    quiet = uniform_filter1d((speed > max(0.08 * speed[search].max(), 0.006)).astype(float), 7) < 0.1
    middle = search.start + int(speed[search].argmax())
    before, after = np.flatnonzero(quiet[:middle]), np.flatnonzero(quiet[middle:])
    onset = int(before[-1]) + 4 if len(before) else 0
    return onset, min(middle + int(after[0]) - 3 if len(after) else beat.shape[1], onset + MAX_QRS)


def _read_qrs(qrs: np.ndarray) -> dict[str, np.ndarray]:
    """Q, its duration, R, S and R' of a QRS (12, T) mV, as in Measurements."""
    r, s = np.maximum(qrs.max(axis=1), 0), np.maximum(-qrs.min(axis=1), 0)
    place = np.arange(qrs.shape[1])
    early = place < qrs.argmax(axis=1)[:, None]
    q = np.maximum(-np.where(early, qrs, 0).min(axis=1), 0)
    # a QS complex has no R worth the name: all of it counts as Q
    qs = r < 0.04
    q_ms = ((qrs < -0.02) & (early | qs[:, None])).sum(axis=1) * 1000 / HZ
    r2 = np.maximum(np.where(place > qrs.argmin(axis=1)[:, None], qrs, 0).max(axis=1), 0)
    return {"q": np.where(qs, s, q), "q_ms": q_ms, "r": r, "s": s, "r2": r2}


def frontal_axis(qrs: np.ndarray) -> float:
    """Frontal axis in degrees of a QRS (12, T) mV, from the net amplitudes of I and aVF; 0 = left, 90 = feet."""
    net = qrs.max(axis=1) + qrs.min(axis=1)
    return float(np.degrees(np.arctan2(net[LEAD["aVF"]] * 2 / np.sqrt(3), net[LEAD["I"]])))


def beat_targets(records: Iterable[Record]) -> pd.DataFrame:
    """What a reader of the page could measure or draw from memory: a dense target for learning from images.

    One row per record: record_id, then float32 columns `rr_mean` (the median, robust to a missed beat) and `rr_sd`
    (that times the coefficient of variation) in seconds, `qrs_ms`, `pr_ms`, `p_ms`, `qtc_ms`, `axis_cos`, `axis_sin`,
    and `<lead>_<ms>` (mV, the average beat every 20 ms from -240 to 440 ms around the QRS). What cannot be
    measured (PR without a P wave, beats that cannot be averaged) is NaN.
    """
    steps = np.arange(-12, 23)
    numbers = ["rr_mean", "rr_sd", "qrs_ms", "pr_ms", "p_ms", "qtc_ms", "axis_cos", "axis_sin"]
    columns = [*numbers, *(f"{lead}_{20 * step}" for lead in LEADS for step in steps)]
    ids, rows = [], []
    for record in records:
        m = measure(record.signal_mv, record.fs)
        values = np.full(len(columns), np.nan)
        if m is not None:
            rr, axis = 60 / m.rate_bpm, np.radians(m.axis)
            read = [rr, rr * m.rr_cv, m.qrs_ms, m.pr_ms, m.p_ms, m.qtc_ms, np.cos(axis), np.sin(axis)]
            values = np.r_[read, m.beat[:, _BEFORE + 10 * steps].ravel()]
        ids.append(record.record_id)
        rows.append(values.astype(np.float32))
    values = np.reshape(rows, (-1, len(columns)))
    return pd.DataFrame(values, pd.Index(ids, name="record_id"), columns, np.float32).reset_index()


def _read_p(before: np.ndarray, onset: int, there: bool) -> dict[str, Any]:
    """`p`, `p_ms` and `pr_ms` as in Measurements; the last two NaN unless a P is `there` and of .06 mV in all leads."""
    base = np.median(before, axis=1, keepdims=True)
    size = np.sqrt(((before - base) ** 2).sum(axis=0))
    p = np.maximum((before - base).max(axis=1), 0)
    peak = int(size.argmax())
    if size[peak] < 0.06 or not there:
        return {"p": p, "p_ms": np.nan, "pr_ms": np.nan}
    small = np.flatnonzero(np.r_[True, size <= 0.2 * size[peak], True]) - 1
    after = int(np.searchsorted(small, peak))
    start, stop = small[after - 1] + 1, small[after] - 1
    return {"p": p, "p_ms": float(stop - start) * 1000 / HZ, "pr_ms": float(onset - start) * 1000 / HZ}


def lvh_ratio(r: np.ndarray, s: np.ndarray, female: bool) -> float:
    """How far R and S (12,) in mV meet the voltage criteria of left ventricular hypertrophy; 1 = just met.
    Sokolow-Lyon: S(V1) + max R(V5, V6) >= 3.5 mV. Cornell: R(aVL) + S(V3) >= 2.8 mV in men, 2.0 in women."""
    sokolow, cornell = s[_V1] + max(r[_V5], r[_V6]), r[LEAD["aVL"]] + s[_V3]
    return float(max(sokolow / 3.5, cornell / (2.0 if female else 2.8)))


def criteria_met(m: Measurements, female: bool) -> dict[str, list[str]]:
    """Which criteria of each finding the measurements meet: finding -> names; findings without any are absent."""
    signs = {
        "STTC": _repolarisation(m, female),
        "HYP": {
            "left_ventricular_voltage": lvh_ratio(m.r, m.s, female) >= 1,
            "right_ventricular_R_in_V1": m.r[_V1] >= max(0.5, m.s[_V1]),
            "long_P": m.p_ms >= 120,
            "tall_P_in_II": m.p[LEAD["II"]] >= 0.25,
        },
        "MI": _infarct(m, female),
        "CD": {
            "QRS_110_ms": m.qrs_ms >= 110,
            "PR_over_200_ms": m.pr_ms > 200,
            "PR_under_120_ms": m.pr_ms < 120,
            "axis_beyond_-30": -120 <= m.axis <= -30,
            "axis_beyond_90": m.axis > 90,
            "R_prime_in_V1_V2": m.r2[_V1] >= 0.08 or m.r2[_V2] >= 0.20,
        },
        "AF": {"irregular_without_P": m.rr_cv >= 0.08 and np.isnan(m.p_ms)},
    }
    met = {finding: [name for name, holds in named.items() if holds] for finding, named in signs.items()}
    return {finding: names for finding, names in met.items() if names}


def _two_neighbours(sign: np.ndarray) -> bool:
    """True when two leads of one group show `sign` (12,) bool."""
    return any(sign[group].sum() >= 2 for group in _GROUPS)


def _infarct(m: Measurements, female: bool) -> dict[str, bool]:
    elevated = m.j >= np.where(np.isin(np.arange(12), (_V2, _V3)), 0.15 if female else 0.2, 0.1)
    q = (m.q_ms >= 30) & (m.q >= 0.1)
    minor = (m.q_ms >= 20) & (m.q >= 0.05) & (m.q >= 0.25 * m.r)
    falling = m.r[_V2] < m.r[_V1] or m.r[_V3] < m.r[_V2] or m.r[_V4] < m.r[_V3]
    return {
        "Q_wave": _two_neighbours(q) or bool(((m.q_ms >= 20) & (m.q >= 0.05))[[_V2, _V3]].any()),
        "minor_Q_wave": _two_neighbours(minor),
        "lateral_Q_wave": bool(any((q | minor)[list(pair)].all() for pair in ((LEAD["I"], LEAD["aVL"]), (_V5, _V6)))),
        "poor_R_progression": m.r[_V3] <= 0.3 or (falling and m.r[_V3] <= 0.5),
        "ST_elevation": _two_neighbours(elevated),
        "posterior_R": m.r[_V2] >= 1.2 * m.s[_V2] and m.r[_V1] >= 0.6 * m.s[_V1] and m.t[_V2] > 0,
    }


def _repolarisation(m: Measurements, female: bool) -> dict[str, bool]:
    watched = np.isin(np.arange(12), [LEAD[name] for name in ("I", "II", "V3", "V4", "V5", "V6")])
    low = watched & (m.r >= 0.3) & (np.abs(m.t) < 0.1 * m.r)
    # III, aVR and V1 may have a negative T in health; aVL and aVF where QRS is small
    inverted = ((m.r > m.s) | (np.arange(12) >= _V2)) & ~np.isin(np.arange(12), [LEAD["III"], LEAD["aVR"], _V1])
    inverted &= m.t <= -0.1
    return {
        "ST_depression": _two_neighbours(m.st <= -0.05),
        "T_inverted": bool(inverted.sum() >= 2),
        "T_low": bool(low.sum() >= 2),
        "T_tall": _two_neighbours(m.t >= np.where(np.arange(12) >= _V1, 1.2, 0.6)),
        "QTc_long": m.qtc_ms >= (460 if female else 450),
    }
