"""The criteria that labels follow, read from an ECG's measurements.

Q waves, ST elevation and depression, T inversion: Thygesen et al., Fourth Universal Definition of Myocardial
Infarction, Circulation 2018;138:e618. Minor Q: after Minnesota code 1-2 and 1-3. Poor R progression: Zema and
Kligfield, J Electrocardiol 1979;12:3.
Intervals, axis, blocks, low T, QTc, hypertrophy: AHA/ACCF/HRS recommendations, Circulation 2009;119:e235, e241, e251.
A LAFB is taken from -30 degrees on, as PTB-XL's readers do, not from -45.
"""

import numpy as np

from ecgutils.signals.measure import LEAD, Measurements

# Neighbours on the heart: a sign counts when two leads of one group show it.
_GROUPS = [np.array([LEAD[name] for name in group.split()]) for group in ("I aVL", "II III aVF", "V1 V2 V3 V4 V5 V6")]
_V1, _V2, _V3, _V4, _V5, _V6 = (LEAD[f"V{k}"] for k in range(1, 7))


def lvh_ratio(r: np.ndarray, s: np.ndarray, female: bool) -> float:
    """How far R and S (12,) in mV meet the voltage criteria of left ventricular hypertrophy; 1 = just met.

    Sokolow-Lyon: S(V1) + max R(V5, V6) >= 3.5 mV. Cornell: R(aVL) + S(V3) >= 2.8 mV in men, 2.0 in women.
    """
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
    upright = m.r > m.s
    watched = np.isin(np.arange(12), [LEAD[name] for name in ("I", "II", "V3", "V4", "V5", "V6")])
    low = watched & (m.r >= 0.3) & (np.abs(m.t) < 0.1 * m.r)
    # III, aVR and V1 may have a negative T in health; aVL and aVF where QRS is small
    inverted = (upright | (np.arange(12) >= _V2)) & ~np.isin(np.arange(12), [LEAD["III"], LEAD["aVR"], _V1])
    inverted &= m.t <= -0.1
    return {
        "ST_depression": _two_neighbours(m.st <= -0.05),
        "T_inverted": bool(inverted.sum() >= 2),
        "T_low": bool(low.sum() >= 2),
        "T_tall": _two_neighbours(m.t >= np.where(np.arange(12) >= _V1, 1.2, 0.6)),
        "QTc_long": m.qtc_ms >= (460 if female else 450),
    }
