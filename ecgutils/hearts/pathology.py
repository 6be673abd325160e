"""The findings: what each does to a heart, in several forms and grades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ecgutils.hearts.beats import Beat, rotation
from ecgutils.signals.measure import LEAD

if TYPE_CHECKING:
    from ecgutils.hearts.heart import Heart

_T = TypeVar("_T")

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
STAGES = {"old": 0.63, "subacute": 0.21, "acute": 0.11, "aneurysm": 0.05}
CD_FORMS = {
    "LAFB": 0.28, "IRBBB": 0.19, "first_degree_AVB": 0.14, "IVCD": 0.13, "RBBB": 0.11, "LBBB": 0.09, "LPFB": 0.025,
    "WPW": 0.02, "wenckebach": 0.006, "two_to_one": 0.004, "complete_block": 0.005,
}  # fmt: skip
_NEEDS_SINUS = ("first_degree_AVB", "WPW", "wenckebach", "two_to_one", "complete_block")
AV_BLOCKS = ("wenckebach", "two_to_one", "complete_block")
STTC_FORMS = {
    "unspecific_T": 0.37, "ST_depression": 0.15, "ischaemic_T": 0.33, "digitalis": 0.05, "long_QT": 0.06,
    "hyperkalaemia": 0.015, "hypokalaemia": 0.025,
}  # fmt: skip
HYP_FORMS = {"LVH": 0.78, "LAE": 0.11, "RVH": 0.07, "RAE": 0.04}
# Form -> criteria of `criteria.criteria_met`, one of which a record of that form meets. Forms not named here meet any
# criterion of their finding.
FORM_CRITERIA: dict[str, tuple[str, ...]] = {
    "LAFB": ("axis_beyond_-30",), "LPFB": ("axis_beyond_90",), "IRBBB": ("R_prime_in_V1_V2",), "RBBB": ("QRS_110_ms",),
    "LBBB": ("QRS_110_ms",), "IVCD": ("QRS_110_ms",), "first_degree_AVB": ("PR_over_200_ms",),
    "WPW": ("PR_under_120_ms",), **{form: ("blocked_P_waves",) for form in AV_BLOCKS},
    "LVH": ("left_ventricular_voltage",), "RVH": ("right_ventricular_R_in_V1",), "LAE": ("long_P",),
    "RAE": ("tall_P_in_II",), "ST_depression": ("ST_depression",), "long_QT": ("QTc_long",), "fibrillation":
    ("irregular_without_P",), "unspecific_T": ("T_low", "T_inverted"), "strain": ("ST_depression", "T_inverted"),
    "digitalis": ("ST_depression",), "hyperkalaemia": ("T_tall",),
}  # fmt: skip


def criteria_of(form: str) -> tuple[str, ...]:
    """The criteria, one of which a record of this form meets; () where any of its finding's will do."""
    stage, _, territory = form.partition("_")
    if territory not in TERRITORIES or stage not in STAGES:
        return FORM_CRITERIA.get(form, ())
    if territory == "posterior":
        return ("posterior_R",)
    if territory == "lateral":
        return ("lateral_Q_wave", "ST_elevation")
    return ("Q_wave", "minor_Q_wave", "ST_elevation", *(["poor_R_progression"] if territory.startswith("ant") else []))


def add_pacing(rng: np.random.Generator, heart: Heart) -> None:
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


def add_conduction(rng: np.random.Generator, heart: Heart) -> None:
    """CD: bundle branch and fascicular blocks, unspecific delay, AV blocks, pre-excitation."""
    weights = {k: w for k, w in CD_FORMS.items() if not ("AF" in heart.findings and k in _NEEDS_SINUS)}
    if {"HYP", "MI"} & heart.findings:
        weights["LBBB"] *= 0.2  # hypertrophy and infarction are rarely read through a left bundle branch block
        weights.pop("WPW", None)
    forms = [pick(rng, tuple(weights), tuple(weights.values()))]
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
        beat.vectors[2:4, 2] *= rng.uniform(0.3, 0.9)  # the right ventricle's late forces meet the posterior ones
        beat.add_lobe(0.098, rng.uniform(0.013, 0.019), size * _shake(rng, (-0.6, -0.1, -0.7)))
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
        shift = rng.uniform(0.018, 0.034)
        beat.centres = beat.centres + shift
        beat.add_lobe(0.010 + 0.7 * shift, 0.008 + 0.25 * shift, delta)  # a slur that runs into the main upstroke
        beat.t_vector = beat.t_vector - rng.uniform(0.2, 0.8) * delta
        heart.pr = rng.uniform(0.080, 0.115)
    for form in AV_BLOCKS:
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
    beat.sigmas = rng.uniform(0.014, 0.021, 3)
    beat.vectors = vectors @ turn.T
    beat.t_vector = 0.4 * beat.t_vector - rng.uniform(0.25, 0.6) * against
    beat.st_vector = beat.st_vector - rng.uniform(0.05, 0.15) * against
    beat.qt_add = 0.035


def add_infarct(rng: np.random.Generator, heart: Heart) -> None:
    """MI: lost forces early in QRS, inverted T, raised ST in a territory; old, sub-acute, acute or aneurysm, graded."""
    name = pick(rng, tuple(TERRITORIES), tuple(weight for _, weight in TERRITORIES.values()))
    stage = pick(rng, tuple(STAGES), tuple(STAGES.values()))
    if stage == "aneurysm" and not name.startswith("ant"):
        stage = "old"
    vector = _shake(rng, TERRITORIES[name][0])
    lost = {
        "old": 0.12 + 0.68 * rng.beta(1.3, 1.7),
        "subacute": rng.uniform(0.1, 0.6),
        "acute": rng.uniform(0.0, 0.4),
        "aneurysm": rng.uniform(0.6, 0.9),
    }[stage]
    beat = heart.beat
    centre, width = rng.uniform(0.017, 0.028), rng.uniform(0.007, 0.012)
    beat.add_lobe(centre, width, -lost * vector)
    beat.add_lobe(centre + rng.uniform(0.010, 0.018), width, -lost * rng.uniform(0.6, 1.4) * vector)
    inverted = rng.uniform(0.15, 0.6) if stage == "subacute" else 0.35 * rng.beta(0.8, 1.6)
    beat.t_vector = beat.t_vector * rng.uniform(0.4, 1.0)
    low, high = {"old": (0.0, 0.0), "subacute": (0.0, 0.12), "acute": (0.1, 0.45), "aneurysm": (0.1, 0.3)}[stage]
    raised = rng.uniform(low, high)
    if stage == "acute":
        inverted = -0.5 * raised  # hyperacute T
    beat.st_start = rng.uniform(0.5, 1.0) if raised else beat.st_start
    beat.t_vector = beat.t_vector - inverted * vector
    beat.st_vector = beat.st_vector + raised * vector
    heart.territory, heart.severity = name, round(float(max(lost, raised)), 3)
    heart.forms["MI"] = [f"{stage}_{name}"]


def add_hypertrophy(rng: np.random.Generator, heart: Heart) -> None:
    """HYP: left and right ventricular hypertrophy, left and right atrial enlargement (no atrial form in AF)."""
    weights = dict(HYP_FORMS)
    if heart.rhythm == "AF":
        weights = {form: weights[form] for form in ("LVH", "RVH")}
    if {"RBBB", "LAFB", "LBBB"} & set(heart.forms.get("CD", ())):
        weights.pop("RVH")
    form = pick(rng, tuple(weights), tuple(weights.values()))
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
            v1 = heart.qrs_in_leads()[LEAD["V1"]]
            if v1.max() >= max(0.6, -v1.min()):
                break
            beat.vectors[-1] *= 1.2
    if "LAE" in forms:
        heart.atria.left *= rng.uniform(1.5, 2.3)
        heart.atria.delay = rng.uniform(0.048, 0.070)
        heart.pr = max(heart.pr, heart.atria.p_s + 0.02)
    if "RAE" in forms:
        heart.atria.right = max(heart.atria.right, 0.085) * rng.uniform(2.0, 3.0)


def add_repolarisation(rng: np.random.Generator, heart: Heart) -> None:
    """STTC: strain with ventricular hypertrophy, else unspecific, ischaemic, drug, electrolyte and long-QT forms."""
    beat, hyp = heart.beat, heart.forms.get("HYP", [])
    beat.st_start = rng.uniform(0.5, 1.2)  # horizontal or downsloping
    strain = bool({"LVH", "RVH"} & set(hyp)) and rng.random() < 0.75
    form = "strain" if strain else pick(rng, tuple(STTC_FORMS), tuple(STTC_FORMS.values()))
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
        region = pick(rng, tuple(ISCHAEMIA), (0.34, 0.2, 0.16, 0.15, 0.15))
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


def pick(rng: np.random.Generator, options: Sequence[_T], weights: Sequence[float] | None = None) -> _T:
    """One option, drawn with the given relative weights."""
    edges = np.cumsum(np.ones(len(options)) if weights is None else weights)
    return options[int(np.searchsorted(edges, rng.uniform(0, edges[-1]), side="right"))]
