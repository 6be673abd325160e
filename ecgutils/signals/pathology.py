"""Hearts with and without findings: every finding in several forms, graded, with the label following the criterion.

A record with a voltage or an axis beyond a diagnostic threshold but without the label teaches a model to ignore the
threshold, so voltages, axes and Q waves of unlabelled hearts are kept just below it; what lies near is a hard negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ecgutils.findings import LEADS
from ecgutils.signals.beats import (
    Atria,
    Beat,
    LeadMatrices,
    lead_matrices,
    normal_atria,
    normal_beat,
    rotation,
    twelve_leads,
)

_T = TypeVar("_T")
_LEAD = {name: row for row, name in enumerate(LEADS)}

# Direction of the lost forces of an infarct, and how often each territory is drawn (about as in PTB-XL).
TERRITORIES: dict[str, tuple[tuple[float, float, float], float]] = {
    "inferior": ((-0.2, 0.9, 0.15), 0.35),
    "anteroseptal": ((0.1, -0.1, -1.0), 0.33),
    "anterior": ((0.4, -0.1, -0.9), 0.12),
    "anterolateral": ((0.75, -0.25, -0.6), 0.09),
    "lateral": ((0.95, -0.2, 0.3), 0.05),
    "inferolateral": ((0.6, 0.75, 0.25), 0.05),
    "posterior": ((0.1, 0.2, 1.0), 0.03),
}
ISCHAEMIA = {
    "anterolateral": (0.75, -0.1, -0.65),
    "anteroseptal": (0.0, 0.0, -1.0),
    "inferior": (0.1, 0.98, 0.1),
    "lateral": (0.97, -0.1, 0.2),
    "diffuse": (0.75, 0.5, -0.4),
}
CD_FORMS = {
    "LAFB": 0.28, "IRBBB": 0.19, "first_degree_AVB": 0.14, "IVCD": 0.13, "RBBB": 0.11, "LBBB": 0.09, "LPFB": 0.025,
    "WPW": 0.02, "wenckebach": 0.006, "two_to_one": 0.004, "complete_block": 0.005,
}  # fmt: skip
_NEEDS_SINUS = ("first_degree_AVB", "WPW", "wenckebach", "two_to_one", "complete_block")
_AV_BLOCKS = ("wenckebach", "two_to_one", "complete_block")
STTC_FORMS = {
    "unspecific_T": 0.37, "ST_depression": 0.15, "ischaemic_T": 0.33, "digitalis": 0.05, "long_QT": 0.06,
    "hyperkalaemia": 0.015, "hypokalaemia": 0.025,
}  # fmt: skip
HYP_FORMS = {"LVH": 0.78, "LAE": 0.11, "RVH": 0.07, "RAE": 0.04}


@dataclass
class Heart:
    """Everything about one person that does not change from beat to beat. Times in seconds, rate in beats/min."""

    findings: frozenset[str]
    female: bool
    age: int
    rate: float
    pr: float
    qtc: float
    beat: Beat
    atria: Atria
    matrices: LeadMatrices
    rhythm: str = "sinus"
    wide_escape: bool = False
    territory: str | None = None
    severity: float | None = None
    forms: dict[str, list[str]] = field(default_factory=dict)
    benign: list[str] = field(default_factory=list)

    def qrs_in_leads(self) -> np.ndarray:
        """QRS of the dominant beat without noise, (12, 120) mV at 2 ms from 20 ms before to 220 ms after onset."""
        return twelve_leads(self.matrices.qrs @ self.beat.qrs(np.arange(-0.02, 0.2199, 0.002)))


def draw_heart(rng: np.random.Generator, findings: frozenset[str]) -> Heart:
    """Draw a heart that has exactly `findings`; drawn again (up to 8 times) while it shows unlabelled Q waves."""
    for _ in range(8):
        heart = _normal_heart(rng, findings)
        paced = findings <= {"AF"} and rng.random() < 0.03
        if "AF" in findings:
            heart.rhythm = "AF"
            heart.forms["AF"] = ["fibrillation"]
        if "CD" in findings:
            _add_conduction(rng, heart)
        if "MI" in findings:
            _add_infarct(rng, heart)
        if "HYP" in findings:
            _add_hypertrophy(rng, heart)
        _bound_axis(rng, heart)
        _bound_voltage(rng, heart)
        if "STTC" in findings:
            _add_repolarisation(rng, heart)
        if paced:
            _pace(rng, heart)
        if "MI" in findings or _wide(heart) or not has_pathological_q(heart.qrs_in_leads()):
            break
    return heart


# ---- criteria ---------------------------------------------------------------------------------------------------


def lvh_ratio(qrs: np.ndarray, female: bool) -> float:
    """How far a QRS (12, T) in mV meets the voltage criteria of LVH; 1 = just met.

    Sokolow-Lyon: S(V1) + max R(V5, V6) >= 3.5 mV. Cornell: R(aVL) + S(V3) >= 2.8 mV in men, 2.0 in women.
    """
    r, s = qrs.max(axis=1), -qrs.min(axis=1)
    sokolow = s[_LEAD["V1"]] + max(r[_LEAD["V5"]], r[_LEAD["V6"]])
    return float(max(sokolow / 3.5, (r[_LEAD["aVL"]] + s[_LEAD["V3"]]) / (2.0 if female else 2.8)))


def frontal_axis(qrs: np.ndarray) -> float:
    """Frontal QRS axis in degrees from the net amplitudes of I and aVF; 0 = left, 90 = feet."""
    net = qrs.max(axis=1) + qrs.min(axis=1)
    return float(np.degrees(np.arctan2(net[_LEAD["aVF"]] * 2 / np.sqrt(3), net[_LEAD["I"]])))


def has_pathological_q(qrs: np.ndarray) -> bool:
    """True when two inferior or lateral leads, or one of V2..V4, begin with a Q of 30 ms and .1 mV (QRS at 2 ms)."""
    upward = qrs > 0.03
    first_up = np.where(upward.any(axis=1), upward.argmax(axis=1), qrs.shape[1])
    before_r = np.arange(qrs.shape[1]) < first_up[:, None]
    long = ((qrs < -0.02) & before_r).sum(axis=1) >= 15
    q = long & (np.where(before_r, qrs, 0).min(axis=1) <= -0.1)
    inferior, lateral = q[[_LEAD[n] for n in ("II", "III", "aVF")]], q[[_LEAD[n] for n in ("I", "aVL", "V5", "V6")]]
    return bool(inferior.sum() >= 2 or lateral.sum() >= 2 or q[[_LEAD[n] for n in ("V2", "V3", "V4")]].any())


# ---- the heart without findings and its bounds ------------------------------------------------------------------


def _normal_heart(rng: np.random.Generator, findings: frozenset[str]) -> Heart:
    female = bool(rng.random() < 0.48)
    age = int(np.clip(rng.normal(66, 13) if findings else rng.normal(46, 18), 18, 95))
    middle, spread = (85, 0.25) if "AF" in findings else (71, 0.21) if findings else (67, 0.17)
    heart = Heart(
        findings=findings,
        female=female,
        age=age,
        rate=float(np.clip(middle * rng.lognormal(0, spread), 40, 160)),
        pr=float(np.clip(rng.normal(0.157, 0.019), 0.115, 0.200)),
        qtc=float(np.clip(rng.normal(0.405, 0.017) + 0.010 * female + (0.005 if findings else 0), 0.35, 0.455)),
        beat=normal_beat(rng, age, female),
        atria=normal_atria(rng),
        matrices=lead_matrices(rng),
    )
    beat = heart.beat
    if rng.random() < 0.15 and "MI" not in findings:
        vector = -rng.uniform(0.02, 0.10) * np.array(TERRITORIES[_pick(rng, tuple(TERRITORIES))][0])
        beat.add_lobe(rng.uniform(0.014, 0.022), 0.007, vector)
        heart.benign.append("small_q")
    if rng.random() < 0.04 and "HYP" not in findings:
        beat.vectors *= rng.uniform(0.45, 0.65)
        heart.benign.append("low_voltage")
    if "STTC" not in findings and rng.random() < 0.05:
        beat.t_vector *= rng.uniform(0.65, 0.8)
        heart.benign.append("low_T")
    elif not findings and age < 50 and not female and rng.random() < 0.10:
        beat.st_vector = beat.st_vector + rng.uniform(0.05, 0.16) * np.array([0.5, 0.3, -0.8])
        heart.benign.append("early_repolarisation")
    return heart


def _wide(heart: Heart) -> bool:
    """Activation is so changed that neither voltage, axis nor Q criteria apply."""
    return bool({"LBBB", "WPW"} & set(heart.forms.get("CD", ()))) or heart.wide_escape or "paced" in heart.benign


def _bound_axis(rng: np.random.Generator, heart: Heart) -> None:
    """Turn QRS until a fascicular block has its axis and until an axis without one is within bounds.

    Bounds as labelled in PTB-XL (5-95 % of 353 records): LAFB -83 to -27 degrees, normal -20 to 87.
    """
    cd, hyp = heart.forms.get("CD", []), heart.forms.get("HYP", [])
    axis = frontal_axis(heart.qrs_in_leads())
    if "LAFB" in cd:
        target = axis if -82 < axis < -34 else rng.uniform(-78, -35)
    elif "LPFB" in cd or "RVH" in hyp:
        target = axis if 95 < axis < 150 else rng.uniform(96, 125)
    elif _wide(heart) or heart.territory in ("inferior", "inferolateral", "lateral"):
        return
    elif axis < -30:
        target = rng.uniform(-30, -5)
    elif axis > 95 and "RBBB" not in cd:
        target = rng.uniform(65, 93)
    else:
        return
    for _ in range(5):
        off = (target - frontal_axis(heart.qrs_in_leads()) + 180) % 360 - 180
        heart.beat.vectors = heart.beat.vectors @ rotation(z=0.8 * np.radians(off)).T


def _bound_voltage(rng: np.random.Generator, heart: Heart) -> None:
    """Scale QRS until LVH meets its voltage criterion and, in 85 %, until a heart without it does not."""
    ratio = lvh_ratio(heart.qrs_in_leads(), heart.female)
    if "LVH" in heart.forms.get("HYP", ()):
        heart.beat.vectors *= max(rng.uniform(1.02, 1.35) / ratio, 1.0)
    elif ratio >= 1 and not _wide(heart) and rng.random() < 0.85:
        heart.beat.vectors *= rng.uniform(0.72, 0.98) / ratio


def _pace(rng: np.random.Generator, heart: Heart) -> None:
    """Ventricular pacing from the apex: no label of its own, and the usual false alarm for a bundle branch block."""
    spike = rng.uniform(0.2, 1.5) * rng.choice([-1.0, 1.0]) * np.array([0.5, 0.8, 0.2])
    size = rng.uniform(0.8, 1.4)
    centres = np.array([-0.004, 0.035, 0.080, 0.125])
    vectors = size * np.array([[0.20, -0.25, 0.25], [0.30, -0.75, 0.65], [0.15, -0.60, 0.50]])
    vectors = vectors + 0.1 * rng.standard_normal(vectors.shape)
    heart.beat.centres, heart.beat.sigmas = centres, np.array([0.0012, 0.016, 0.018, 0.017])
    heart.beat.vectors = np.vstack([spike, vectors])
    heart.beat.t_vector = -rng.uniform(0.25, 0.5) * vectors[1]
    heart.beat.st_vector = -0.08 * vectors[1]
    heart.beat.qt_add = 0.05
    heart.rate = float(rng.uniform(58, 82))
    heart.rhythm = "paced"
    heart.benign.append("paced")


# ---- findings ---------------------------------------------------------------------------------------------------


def _add_conduction(rng: np.random.Generator, heart: Heart) -> None:
    """CD: bundle branch and fascicular blocks, unspecific delay, AV blocks, pre-excitation."""
    weights = {k: w for k, w in CD_FORMS.items() if not ("AF" in heart.findings and k in _NEEDS_SINUS)}
    if {"HYP", "MI"} & heart.findings:
        weights["LBBB"] *= 0.2  # hypertrophy and infarction are rarely read through a left bundle branch block
        weights.pop("WPW", None)
    forms = [_pick(rng, tuple(weights), tuple(weights.values()))]
    if forms[0] == "RBBB" and rng.random() < 0.35:
        forms.append("LAFB")
    elif forms[0] in ("LAFB", "IRBBB", "RBBB", "LBBB") and "AF" not in heart.findings and rng.random() < 0.15:
        forms.append("first_degree_AVB")
    heart.forms["CD"] = forms
    beat = heart.beat
    if "LBBB" in forms:
        _left_bundle(rng, beat, rng.uniform(0.7, 1.3))
    if "IVCD" in forms:
        stretch = rng.uniform(1.25, 1.6)
        beat.centres, beat.sigmas = beat.centres * stretch, beat.sigmas * stretch
        beat.vectors[:, 2] *= rng.uniform(1.0, 1.5)
        beat.qt_add = 0.5 * (stretch - 1) * 0.075
    if "LAFB" in forms:
        beat.vectors[0] = np.array([-0.06, 0.14, -0.12]) * rng.lognormal(0, 0.4)
        beat.centres[0] = 0.012
        beat.vectors[1:3] *= [0.80, 0.15, 0.85]
        # the late forces point up and back, the last ones also to the right: S in II, III, aVF and in V5, V6
        beat.add_lobe(0.050, rng.uniform(0.009, 0.012), rng.lognormal(0, 0.25) * _shake(rng, (0.30, -0.50, 0.35)))
        beat.add_lobe(0.068, rng.uniform(0.009, 0.012), rng.lognormal(0, 0.35) * _shake(rng, (-0.38, -0.35, 0.15)))
    if "LPFB" in forms:
        beat.vectors[0] = np.array([0.10, -0.25, -0.10]) * rng.lognormal(0, 0.3)
    if "RBBB" in forms:
        size = rng.uniform(0.6, 1.3)
        beat.vectors[2:4, 2] *= rng.uniform(0.1, 0.8)  # the right ventricle's late forces meet the posterior ones
        beat.add_lobe(0.098, rng.uniform(0.012, 0.017), size * _shake(rng, (-0.6, -0.1, -0.7)))
        beat.t_vector = beat.t_vector + size * np.array([0.12, 0, 0.42])
        beat.qt_add = 0.02
    if "IRBBB" in forms:
        size = 0.1 + 0.55 * rng.beta(1.2, 1.8)
        beat.add_lobe(rng.normal(0.078, 0.004), 0.008, size * _shake(rng, (-0.6, -0.15, -0.6)))
        beat.vectors[3] *= rng.uniform(0.5, 1.0)
        beat.t_vector = beat.t_vector + rng.uniform(0, 0.8) * size * np.array([0.05, 0, 0.35])
    if "first_degree_AVB" in forms:
        heart.pr = 0.204 + rng.gamma(2, 0.022)
    if "WPW" in forms:
        delta = 0.4 * np.array([0.7, rng.choice([-0.7, 0.5]), rng.choice([-0.7, 0.2])]) * rng.lognormal(0, 0.25)
        beat.centres = beat.centres + rng.uniform(0.022, 0.040)
        beat.add_lobe(0.024, 0.013, delta)
        beat.t_vector = beat.t_vector - rng.uniform(0.2, 0.8) * delta
        heart.pr = rng.uniform(0.080, 0.115)
    for form in _AV_BLOCKS:
        if form in forms:
            heart.rhythm = form
    if heart.rhythm in ("two_to_one", "complete_block"):
        heart.rate = float(rng.uniform(70, 105))
    if heart.rhythm == "complete_block" and rng.random() < 0.4:
        heart.wide_escape = True
        _left_bundle(rng, beat, rng.uniform(0.7, 1.2))


def _left_bundle(rng: np.random.Generator, beat: Beat, size: float) -> None:
    """Replace QRS by that of a left bundle branch block; ST and T turn against it."""
    vectors = size * np.array([[0.35, 0.10, 0.45], [0.75, -0.12, 1.25], [0.80, -0.25, 0.95]])
    vectors = vectors + 0.10 * size * rng.standard_normal((3, 3))
    turn = rotation(rng.normal(0, 0.12), rng.normal(0, 0.15), rng.normal(0, 0.25))
    against = turn @ (size * np.array([0.55, -0.05, 1.05]))
    beat.centres = np.array([0.025, 0.060, 0.098]) * rng.lognormal(0, 0.06)
    beat.sigmas = rng.uniform(0.012, 0.017, 3)
    beat.vectors = vectors @ turn.T
    beat.t_vector = 0.4 * beat.t_vector - rng.uniform(0.25, 0.6) * against
    beat.st_vector = beat.st_vector - rng.uniform(0.05, 0.15) * against
    beat.qt_add = 0.035


def _add_infarct(rng: np.random.Generator, heart: Heart) -> None:
    """MI: lost forces early in QRS, inverted T, raised ST in a territory; old, sub-acute or acute, graded."""
    name = _pick(rng, tuple(TERRITORIES), tuple(weight for _, weight in TERRITORIES.values()))
    stage = _pick(rng, ("old", "subacute", "acute"), (0.66, 0.22, 0.12))
    vector = _shake(rng, TERRITORIES[name][0])
    lost = {
        "old": 0.12 + 0.68 * rng.beta(1.3, 1.7),
        "subacute": rng.uniform(0.1, 0.6),
        "acute": rng.uniform(0.0, 0.4),
    }[stage]
    beat = heart.beat
    centre, width = rng.uniform(0.017, 0.027), rng.uniform(0.006, 0.010)
    beat.add_lobe(centre, width, -lost * vector)
    beat.add_lobe(centre + rng.uniform(0.010, 0.018), width, -lost * rng.uniform(0.6, 1.4) * vector)
    inverted = rng.uniform(0.15, 0.6) if stage == "subacute" else 0.35 * rng.beta(0.8, 1.6)
    beat.t_vector = beat.t_vector * rng.uniform(0.4, 1.0)
    raised = {"old": 0.0, "subacute": rng.uniform(0.0, 0.12), "acute": rng.uniform(0.1, 0.45)}[stage]
    if stage == "acute":
        inverted = -0.5 * raised  # hyperacute T
    beat.t_vector = beat.t_vector - inverted * vector
    beat.st_vector = beat.st_vector + raised * vector
    heart.territory, heart.severity = name, round(float(max(lost, raised)), 3)
    heart.forms["MI"] = [f"{stage}_{name}"]


def _add_hypertrophy(rng: np.random.Generator, heart: Heart) -> None:
    """HYP: left and right ventricular hypertrophy, left and right atrial enlargement (no atrial form in AF)."""
    weights = dict(HYP_FORMS)
    if heart.rhythm == "AF":
        weights = {form: weights[form] for form in ("LVH", "RVH")}
    if {"RBBB", "LAFB", "LBBB"} & set(heart.forms.get("CD", ())):
        weights.pop("RVH")
    form = _pick(rng, tuple(weights), tuple(weights.values()))
    forms = [form]
    if form == "LVH" and "LAE" in weights and rng.random() < 0.2:
        forms.append("LAE")
    heart.forms["HYP"] = forms
    beat = heart.beat
    if "LVH" in forms:
        stretch = rng.uniform(1.0, 1.15)
        beat.centres, beat.sigmas = beat.centres * stretch, beat.sigmas * stretch
        beat.vectors = (beat.vectors @ rotation(z=rng.uniform(-0.2, 0.1)).T) * rng.uniform(1.0, 1.4)
        beat.vectors *= [0.9, 0.9, 1.15]
        beat.t_vector = beat.t_vector * rng.uniform(0.5, 1.0)
    if "RVH" in forms:
        beat.vectors *= rng.uniform(0.65, 0.9)
        lobe = rng.uniform(0.4, 0.8) * np.array([-0.45, 0.15, -0.75])
        beat.add_lobe(rng.uniform(0.046, 0.056), rng.uniform(0.009, 0.012), lobe)
        for _ in range(10):
            v1 = heart.qrs_in_leads()[_LEAD["V1"]]
            if v1.max() >= max(0.6, -v1.min()):
                break
            beat.vectors[-1] *= 1.2
    if "LAE" in forms:
        heart.atria.left *= rng.uniform(1.5, 2.3)
        heart.atria.delay = rng.uniform(0.048, 0.070)
        heart.pr = max(heart.pr, heart.atria.p_s + 0.02)
    if "RAE" in forms:
        heart.atria.right = max(heart.atria.right, 0.085) * rng.uniform(2.0, 3.0)


def _add_repolarisation(rng: np.random.Generator, heart: Heart) -> None:
    """STTC: strain with ventricular hypertrophy, else unspecific, ischaemic, drug, electrolyte and long-QT forms."""
    beat, hyp = heart.beat, heart.forms.get("HYP", [])
    beat.st_start = rng.uniform(0.5, 1.2)  # horizontal or downsloping
    strain = bool({"LVH", "RVH"} & set(hyp)) and rng.random() < 0.75
    form = "strain" if strain else _pick(rng, tuple(STTC_FORMS), tuple(STTC_FORMS.values()))
    heart.forms["STTC"] = [form]
    lateral = _shake(rng, (0.9, 0.3, -0.1))
    if form == "strain":
        against = _shake(rng, (0.9, 0.3, 0.1)) if "LVH" in hyp else np.array([-0.1, 0.2, -0.9])
        beat.st_vector = beat.st_vector - rng.uniform(0.06, 0.30) * against
        beat.t_vector = beat.t_vector - (max(beat.t_vector @ against, 0) + rng.uniform(0.0, 0.45)) * against
    elif form == "unspecific_T":
        beat.t_vector = beat.t_vector * (rng.uniform(0.2, 0.6) if rng.random() < 0.75 else rng.uniform(-0.25, 0.25))
    elif form == "ST_depression":
        beat.st_vector = beat.st_vector - rng.uniform(0.07, 0.25) * lateral
        beat.t_vector = beat.t_vector * rng.uniform(0.4, 1.0)
    elif form == "ischaemic_T":
        region = _pick(rng, tuple(ISCHAEMIA), (0.34, 0.2, 0.16, 0.15, 0.15))
        vector = _shake(rng, ISCHAEMIA[region])
        vector /= np.linalg.norm(vector)
        beat.t_vector = beat.t_vector - (beat.t_vector @ vector + rng.uniform(0.1, 0.6)) * vector
        beat.st_vector = beat.st_vector - rng.uniform(0.04, 0.20) * rng.uniform(0, 1) * vector
        heart.forms["STTC"] = [f"ischaemic_T_{region}"]
    elif form == "digitalis":
        beat.st_vector = beat.st_vector - rng.uniform(0.05, 0.13) * lateral
        beat.t_vector = beat.t_vector * rng.uniform(0.1, 0.6)
        beat.t_before, heart.qtc = 0.075, rng.uniform(0.34, 0.385)
    elif form == "long_QT":
        heart.qtc = rng.uniform(0.47, 0.56)
        beat.t_before *= rng.uniform(1.0, 1.5)
    elif form == "hyperkalaemia":
        beat.t_vector = beat.t_vector * rng.uniform(1.9, 2.7)
        beat.t_before, beat.t_after = 0.6 * beat.t_before, 0.75 * beat.t_after
        heart.atria.right, heart.atria.left = 0.5 * heart.atria.right, 0.5 * heart.atria.left
    else:  # hypokalaemia
        beat.t_vector = beat.t_vector * rng.uniform(0.1, 0.4)
        beat.st_vector = beat.st_vector - rng.uniform(0.03, 0.10) * lateral
        beat.u_gain = rng.uniform(0.12, 0.25)


def _shake(rng: np.random.Generator, vector: Sequence[float]) -> np.ndarray:
    """`vector` with every component moved by SD .12."""
    return np.asarray(vector) + 0.12 * rng.standard_normal(3)


def _pick(rng: np.random.Generator, options: Sequence[_T], weights: Sequence[float] | None = None) -> _T:
    """One option, drawn with the given relative weights."""
    edges = np.cumsum(np.ones(len(options)) if weights is None else weights)
    return options[int(np.searchsorted(edges, rng.uniform(0, edges[-1]), side="right"))]
