"""One simulated person's heart: drawn without findings, given them, and checked against the criteria.

The label follows the criterion. A record beyond a diagnostic threshold but without the label teaches a model to ignore
the threshold, so a heart is drawn again until each of its labelled forms meets its criterion and (in all but a few hard
negatives) no other finding's criterion is met, unless convention says that it isn't read there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ecgutils.hearts.beats import (
    Atria,
    Beat,
    LeadMatrices,
    lead_matrices,
    normal_atria,
    normal_beat,
    rotation,
    twelve_leads,
)
from ecgutils.hearts.pathology import (
    AV_BLOCKS,
    TERRITORIES,
    add_conduction,
    add_hypertrophy,
    add_infarct,
    add_pacing,
    add_repolarisation,
    criteria_of,
    pick,
)
from ecgutils.signals.criteria import criteria_met, lvh_ratio
from ecgutils.signals.measure import HZ, Measurements, frontal_axis, measure_beat

MAX_DRAWS = 200
NEAR_MISSES = 0.10  # chance to keep a heart that meets the criterion of a finding it isn't labelled with
MAX_MV = 5.0  # taller beats are not drawn
_CENTRE = 140  # sample of QRS onset in the template beat


@dataclass
class Heart:
    """Everything about one person that does not change from beat to beat. Times in seconds, rate in beats/min.

    `wiring` (8, 8) maps the eight independent leads as they should be to those recorded (misplaced or reversed
    electrodes). `measured`, `met`: measurements of the finished heart and the criteria they meet, labelled or not.
    `dropped`: finding -> why its criterion, though met, gives no label.
    """

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
    wiring: np.ndarray = field(default_factory=lambda: np.eye(8))
    measured: Measurements | None = None
    met: dict[str, list[str]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def has_p_waves(self) -> bool:
        """A P wave at a fixed place before each QRS."""
        return self.rhythm in ("sinus", "two_to_one", "wenckebach")

    def measure(self) -> Measurements:
        """Measure the dominant beat without noise and before any misplacement of electrodes."""
        rate = self.rate / 2 if self.rhythm == "two_to_one" else 45.0 if self.rhythm == "complete_block" else self.rate
        times = (np.arange(460) - _CENTRE)[None] / HZ
        qt = np.array([self.qtc * (60 / rate) ** (1 / 3)])
        eight = self.matrices.qrs @ self.beat.qrs(times)[0] + self.matrices.recovery @ self.beat.recovery(times, qt)[0]
        if self.has_p_waves:
            eight += self.matrices.p @ self.atria.wave(times + self.pr)[0]
        peak = _CENTRE + int(0.04 * HZ)
        rr_cv = 0.2 if self.rhythm == "AF" else 0.02
        return measure_beat(twelve_leads(eight).astype(float), peak, rate, rr_cv, self.has_p_waves)

    def qrs_in_leads(self) -> np.ndarray:
        """QRS of the dominant beat without noise, (12, 120) mV at 2 ms from 20 ms before to 220 ms after onset."""
        return twelve_leads(self.matrices.qrs @ self.beat.qrs(np.arange(-0.02, 0.2199, 0.002)))


def draw_heart(rng: np.random.Generator, findings: frozenset[str]) -> Heart:
    """Draw a heart that has exactly `findings`.

    Raises RuntimeError when 200 draws meet the labelled criteria never, which no set of findings has been seen to do.
    """
    for _ in range(MAX_DRAWS):
        heart = _normal_heart(rng, findings)
        if "AF" in findings:
            heart.rhythm = "AF"
            heart.forms["AF"] = ["fibrillation"]
        if "CD" in findings:
            add_conduction(rng, heart)
        if "MI" in findings:
            add_infarct(rng, heart)
        if "HYP" in findings:
            add_hypertrophy(rng, heart)
        _bound_axis(rng, heart)
        _bound_voltage(rng, heart)
        if "STTC" in findings:
            add_repolarisation(rng, heart)
        if not findings:
            _add_other_rhythm(rng, heart)
        heart.measured = heart.measure()
        heart.met = criteria_met(heart.measured, heart.female)
        if heart.rhythm in AV_BLOCKS:
            heart.met.setdefault("CD", []).append("blocked_P_waves")
        heart.dropped = {k: why for k, why in _conventions(heart).items() if k in heart.met and k not in findings}
        if not _meets_its_forms(heart) or np.abs(heart.measured.beat).max() > MAX_MV:
            continue
        if not set(heart.met) - findings - set(heart.dropped) or rng.random() < NEAR_MISSES:
            _misplace(rng, heart)
            return heart
    raise RuntimeError(f"draw_heart: no heart with exactly {sorted(findings)} in {MAX_DRAWS} draws.")


def _meets_its_forms(heart: Heart) -> bool:
    """Every form shows one of the criteria it stands for, and every finding at least some criterion."""
    for finding, forms in heart.forms.items():
        met = set(heart.met.get(finding, ()))
        if not met or any(criteria_of(form) and not met & set(criteria_of(form)) for form in forms):
            return False
    return True


def _conventions(heart: Heart) -> dict[str, str]:
    """Findings whose criteria are not read in this heart, and why."""
    cd, hyp = heart.forms.get("CD", []), heart.forms.get("HYP", [])
    reasons = {}
    if "MI" in heart.findings:
        reasons |= dict.fromkeys(("STTC", "CD"), "ST, T and axis shifts belong to the infarct")
    if {"LVH", "RVH"} & set(hyp):
        reasons |= dict.fromkeys(("STTC", "MI", "CD"), "secondary to hypertrophy")
    if {"LAFB", "LPFB", "IRBBB", "RBBB", "IVCD"} & set(cd):
        reasons |= dict.fromkeys(("STTC", "MI", "HYP"), "secondary to the conduction disturbance")
    if "STTC" in heart.findings:
        reasons["MI"] = "ST and T shifts without infarction"
    if {"LBBB", "WPW"} & set(cd) or heart.wide_escape:
        reasons |= dict.fromkeys(("STTC", "MI", "HYP"), "not read through a broad QRS")
    if heart.rhythm == "paced":
        reasons |= dict.fromkeys(("STTC", "MI", "HYP", "CD"), "not read in a paced beat")
    if heart.rhythm == "flutter":
        reasons |= dict.fromkeys(("STTC", "AF"), "atrial flutter")
    if "early_repolarisation" in heart.benign:
        reasons["MI"] = "early repolarisation"
    return reasons


def _normal_heart(rng: np.random.Generator, findings: frozenset[str]) -> Heart:
    female = bool(rng.random() < 0.48)
    age = int(np.clip(rng.normal(66, 13) if findings else rng.normal(46, 18), 18, 95))
    middle, spread = (85, 0.25) if "AF" in findings else (71, 0.21) if findings else (67, 0.17)
    heart = Heart(
        findings=findings,
        female=female,
        age=age,
        rate=float(np.clip(middle * rng.lognormal(0, spread), 40, 160)),
        pr=float(np.clip(rng.normal(0.157, 0.019), 0.122, 0.200)),
        qtc=float(np.clip(rng.normal(0.405, 0.017) + 0.010 * female + (0.005 if findings else 0), 0.35, 0.455)),
        beat=normal_beat(rng, age, female),
        atria=normal_atria(rng),
        matrices=lead_matrices(rng),
    )
    beat = heart.beat
    if rng.random() < 0.15 and "MI" not in findings:
        vector = -rng.uniform(0.02, 0.10) * np.array(TERRITORIES[pick(rng, tuple(TERRITORIES))][0])
        beat.add_lobe(rng.uniform(0.014, 0.022), 0.007, vector)
        heart.benign.append("small_q")
    if rng.random() < 0.20 and "CD" not in findings:
        # Late forces to the right, up or forward: S in I, II, V5, V6 or a small r' in V1, as fascicular and right
        # bundle branch blocks have more of.
        beat.add_lobe(rng.uniform(0.056, 0.070), 0.008, rng.uniform(0.05, 0.45) * rng.normal([-0.5, -0.3, -0.1], 0.3))
        heart.benign.append("late_forces")
    if rng.random() < 0.04 and "HYP" not in findings:
        beat.vectors *= rng.uniform(0.45, 0.65)
        heart.benign.append("low_voltage")
    if "STTC" not in findings and rng.random() < 0.05:
        beat.t_vector *= rng.uniform(0.65, 0.8)
        heart.benign.append("low_T")
    elif not findings and age < 50 and not female and rng.random() < 0.10:
        beat.st_vector = beat.st_vector + rng.uniform(0.05, 0.16) * np.array([0.5, 0.3, -0.8])
        beat.st_start = rng.uniform(0.5, 0.9)
        heart.benign.append("early_repolarisation")
    return heart


def _add_other_rhythm(rng: np.random.Generator, heart: Heart) -> None:
    """Rhythms that carry none of the five labels: ventricular pacing and atrial flutter."""
    draw = rng.random()
    if draw < 0.03:
        add_pacing(rng, heart)
    elif draw < 0.04:
        heart.rhythm = "flutter"
        heart.benign.append("flutter")


def _bound_axis(rng: np.random.Generator, heart: Heart) -> None:
    """Turn QRS until a fascicular block has its axis and until an axis without one is within bounds.

    Bounds as labelled in PTB-XL (5-95 % of 353 records): LAFB -83 to -27 degrees, normal -20 to 87.
    """
    cd, hyp = heart.forms.get("CD", []), heart.forms.get("HYP", [])
    axis = frontal_axis(heart.qrs_in_leads())
    if "LAFB" in cd:
        target = axis if -82 < axis < -33 else rng.uniform(-78, -34)
    elif "LPFB" in cd or "RVH" in hyp:
        target = axis if 95 < axis < 150 else rng.uniform(96, 125)
    elif {"LBBB", "WPW"} & set(cd) or heart.wide_escape or heart.territory in ("inferior", "inferolateral", "lateral"):
        return
    elif axis < -28:
        target = rng.uniform(-27, -5)
    elif axis > 88 and "RBBB" not in cd:
        target = rng.uniform(60, 87)
    else:
        return
    for _ in range(5):
        off = (target - frontal_axis(heart.qrs_in_leads()) + 180) % 360 - 180
        heart.beat.vectors = heart.beat.vectors @ rotation(z=0.8 * np.radians(off)).T


def _bound_voltage(rng: np.random.Generator, heart: Heart) -> None:
    """Scale QRS until LVH meets its voltage criterion and, in most hearts, until one without it does not."""
    qrs = heart.qrs_in_leads()
    ratio = lvh_ratio(qrs.max(axis=1), -qrs.min(axis=1), heart.female)
    if "LVH" in heart.forms.get("HYP", ()):
        heart.beat.vectors *= max(rng.uniform(1.02, 1.35) / ratio, 1.0)
    elif ratio >= 1 and not {"LBBB", "WPW"} & set(heart.forms.get("CD", ())) and rng.random() < 0.85:
        heart.beat.vectors *= rng.uniform(0.72, 0.98) / ratio


def _misplace(rng: np.random.Generator, heart: Heart) -> None:
    """In 4 % of records swap two limb electrodes or two chest electrodes, or put V1 and V2 too high."""
    if rng.random() >= 0.04:
        return
    wiring = np.eye(8)
    kind = pick(rng, ("arms_reversed", "left_arm_leg_reversed", "chest_leads_swapped", "V1_V2_high"), (2, 1, 2, 5))
    if kind == "arms_reversed":
        wiring[:2, :2] = [[-1, 0], [-1, 1]]  # I becomes -I, II becomes III
    elif kind == "left_arm_leg_reversed":
        wiring[:2, :2] = [[0, 1], [1, 0]]
    elif kind == "chest_leads_swapped":
        first = int(rng.integers(2, 7))
        wiring[[first, first + 1]] = wiring[[first + 1, first]]
    else:  # an interspace higher sees the heart more from above: less of aVF = II - I / 2
        share = rng.uniform(0.15, 0.4, 2)
        wiring[2:4, 0], wiring[2:4, 1] = share / 2, -share
    heart.wiring = wiring
    heart.benign.append(kind)
