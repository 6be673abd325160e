"""One simulated person's heart: its beat, the matrices that carry it to the leads, and what a form of a finding is.

Axes of the dipole: x to the patient's left, y to the feet, z to the back; mV. Times are seconds from QRS onset.
Eight leads are independent (I, II, V1..V6); the other four follow from I and II. The lobe positions, widths and
vectors were set so that simulated normal ECGs have the median R, S and T amplitudes of real normal ECGs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from ecgutils.findings import FINDINGS
from ecgutils.signals.measure import HZ, Measurements, measure_beat

_T = TypeVar("_T")
_CENTRE = 140  # sample of QRS onset in the template beat

# Dipole -> leads: Dower, Machado, Osborne, Clin Cardiol 1980;3:87.
DOWER = np.array([
    [0.632, -0.235, 0.059], [0.235, 1.066, -0.132],  # I, II
    [-0.515, 0.157, -0.917], [0.044, 0.164, -1.387], [0.882, 0.098, -1.277],  # V1, V2, V3
    [1.213, 0.127, -0.601], [1.125, 0.127, -0.086], [0.831, 0.076, 0.230],  # V4, V5, V6
])  # fmt: skip
# Dower's torso exaggerates V2 and V4..V5 against printed ECGs of today; these gains restore the medians.
LEAD_GAIN = np.array([1.0, 1.0, 0.95, 1.25, 0.78, 0.83, 0.91, 1.0])
# Repolarisation reaches V2..V5 less than this matrix says: with these gains T has its medians in all leads.
_T_GAIN = np.array([1.0, 1.0, 1.0, 0.82, 0.82, 0.70, 0.70, 0.90])
# The atria lie close to V1 and far from V4..V6, so P waves have a matrix of their own.
_P_GAIN = np.array([1.0, 1.0, 1.0, 0.60, 0.38, 0.37, 0.37, 0.42])
_P_V1 = np.array([-0.20, 0.10, -1.20])


@dataclass
class Beat:
    """One kind of ventricular beat: K Gaussian QRS lobes, an ST plateau, a T wave and a U wave.

    `centres`, `sigmas`: float (K,) seconds. `vectors`: float (K, 3) mV. `t_vector`, `st_vector`: float (3,) mV.
    `t_before`, `t_after`: widths (seconds) of the two sides of T. `t_end`: seconds from T peak to the end of T.
    `u_gain`: U wave as a share of the T direction, in mV. `qt_add`: seconds by which a wide QRS lengthens QT.
    `st_start`: share of the ST shift that is there at the J point; from there it grows linearly to the T peak.
    `st_early`: seconds before the J point at which ST leaves QRS, whose last part is then swallowed.
    """

    centres: np.ndarray
    sigmas: np.ndarray
    vectors: np.ndarray
    t_vector: np.ndarray
    st_vector: np.ndarray
    t_before: float = 0.055
    t_after: float = 0.034
    t_end: float = 0.103
    u_gain: float = 0.0
    qt_add: float = 0.0
    st_start: float = 0.4
    st_early: float = 0.0

    def add_lobe(self, centre: float, sigma: float, vector: np.ndarray) -> None:
        """Append one QRS lobe."""
        self.centres = np.append(self.centres, centre)
        self.sigmas = np.append(self.sigmas, sigma)
        self.vectors = np.vstack([self.vectors, vector])

    def qrs(self, times: np.ndarray) -> np.ndarray:
        """QRS dipole at `times` (..., W) -> (..., 3, W)."""
        lobes = np.exp(-0.5 * ((times[..., None, :] - self.centres[:, None]) / self.sigmas[:, None]) ** 2)
        return np.einsum("kc,...kw->...cw", self.vectors, lobes)

    def recovery(self, times: np.ndarray, qt: np.ndarray) -> np.ndarray:
        """ST, T and U dipole at `times` (B, W), for QT intervals `qt` (B,) seconds -> (B, 3, W)."""
        size = np.linalg.norm(self.vectors, axis=1)
        # two widths beyond the last lobe that can be seen on paper
        j_point = float((self.centres + 2 * self.sigmas)[size > 0.12 * size.max()].max())
        peak = np.maximum(qt - self.t_end + self.qt_add, j_point + 1.6 * self.t_before)[:, None]
        side = np.clip(qt / 0.39, 0.75, 1.3)[:, None] * np.where(times < peak, self.t_before, self.t_after)
        # An eighth of T rises twice as slowly, so that ST merges with it instead of meeting it at a corner.
        slow = np.where(times < peak, 2, 1) * side
        t_wave = 0.88 * np.exp(-0.5 * ((times - peak) / side) ** 2) + 0.12 * np.exp(-0.5 * ((times - peak) / slow) ** 2)
        t_wave /= 1 + np.exp(-(times - j_point) / 0.008)
        grown = self.st_start + (1 - self.st_start) * np.clip((times - j_point) / (peak - j_point), 0, 1)
        rise, fall = 1 + np.exp(-(times - j_point + self.st_early) / 0.004), 1 + np.exp((times - peak) / 0.018)
        plateau = grown / (rise * fall)
        wave = self.t_vector[:, None] * t_wave[:, None, :] + self.st_vector[:, None] * plateau[:, None, :]
        u_wave = np.exp(-0.5 * ((times - peak - 0.16) / 0.035) ** 2)
        return wave + self.u_gain * np.array([[0.55], [0.35], [-0.75]]) * u_wave[:, None, :]


@dataclass
class Atria:
    """P wave: atrial dipole sizes in mV, width of each, delay of the left in seconds, (3, 3) rotation of directions."""

    right: float
    left: float
    sigma: float
    delay: float
    turn: np.ndarray

    def wave(self, times: np.ndarray) -> np.ndarray:
        """P dipole at `times` (B, W) seconds from P onset -> (B, 3, W)."""
        vectors = np.array([[0.95, 0.85, -0.55], [1.35, 0.45, 0.22]]) * [[self.right], [self.left]] @ self.turn.T
        centres = np.array([2 * self.sigma, 2 * self.sigma + self.delay])
        lobes = np.exp(-0.5 * ((times[:, None, :] - centres[:, None]) / self.sigma) ** 2)
        return np.einsum("kc,bkw->bcw", vectors, lobes)


def rotation(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """(3, 3) rotation by radians about the x, y and z axes; positive z turns the frontal axis clockwise (rightward)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def lead_matrices(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a torso: its (8, 3) matrices from dipole to the independent leads for QRS, for ST, T and U, and for P."""
    gain = LEAD_GAIN.copy()
    gain[2:] *= rng.lognormal(0, 0.23, 6)
    jitter = 1 + 0.07 * rng.standard_normal((8, 3))
    qrs = gain[:, None] * (DOWER * jitter + 0.05 * rng.standard_normal((8, 3)))
    recovery = qrs * (_T_GAIN * rng.lognormal(0, 0.15, 8))[:, None]
    p = np.where(np.arange(8)[:, None] == 2, _P_V1, DOWER) * jitter * _P_GAIN[:, None]
    p[2:] *= rng.lognormal(0, 0.25, (6, 1))
    return qrs, recovery, p


def twelve_leads(independent: np.ndarray) -> np.ndarray:
    """(8, N) I, II, V1..V6 -> (12, N) float32 in LEADS order."""
    eight = independent.astype(np.float32)
    one, two = eight[:2].astype(float)  # rounded: I + III = II and aVR + aVL + aVF = 0 hold to float32 rounding
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    return np.concatenate([limb.astype(np.float32), eight[2:]])


def normal_beat(rng: np.random.Generator, age: float, female: bool) -> Beat:
    """Draw the beat of a heart without findings."""
    centres = np.array([0.0128, 0.0332, 0.0436, 0.0617])
    sigmas = np.array([0.0066, 0.0087, 0.0088, 0.0075]) * rng.lognormal(0, 0.14, 4)
    vectors = np.array([[-0.08, -0.01, -0.18], [0.82, 0.48, -0.40], [0.97, 0.28, 0.56], [-0.16, -0.03, 0.70]])
    vectors = vectors + 0.15 * np.linalg.norm(vectors, axis=1, keepdims=True) * rng.standard_normal((4, 3))
    vectors[0] = (vectors[0] + [0.03, 0.06, 0.0] * rng.standard_normal(3)) * rng.lognormal(0, 0.45)
    vectors[3] *= rng.lognormal(0, 0.25)
    stretch = 0.91 * rng.lognormal(0, 0.10)
    size = rng.lognormal(-0.05 if female else 0.05, 0.21)
    azimuth, elevation = np.radians([rng.normal(34, 14), rng.normal(14, 8)])
    direction = np.array([np.cos(elevation) * np.cos(azimuth), np.sin(elevation), -np.cos(elevation) * np.sin(azimuth)])
    beat = Beat(
        centres=centres * stretch,
        sigmas=sigmas * stretch,
        vectors=vectors * size,
        t_vector=0.56 * rng.lognormal(-0.12 if female else 0.12, 0.30) * direction,
        st_vector=([0.0, 0.0, -0.08] + [0.025, 0.03, 0.06] * rng.standard_normal(3)) * (0.6 if female else 1.2),
        t_before=rng.uniform(0.045, 0.065),
        t_after=rng.uniform(0.028, 0.040),
        t_end=rng.normal(0.103, 0.013),
        u_gain=rng.uniform(0.01, 0.05) if rng.random() < 0.25 else 0.0,
    )
    # The frontal axis turns leftward with age, about .1 rad in 20 years. T keeps its own direction: turned
    # with QRS it was negative in I and in II in over 5 % of simulated normals, where real normals have .09 mV or more.
    turn = rotation(rng.normal(0, 0.15), rng.normal(0, 0.22), rng.normal(0.0, 0.27) - 0.1 * (age - 50) / 20)
    beat.vectors = beat.vectors @ turn.T
    return beat


def normal_atria(rng: np.random.Generator) -> Atria:
    """Draw the P wave of a heart without findings."""
    right, left = 0.085 * rng.lognormal(0, 0.4), 0.075 * rng.lognormal(0, 0.35)
    sigma, delay = rng.uniform(0.015, 0.020), rng.uniform(0.028, 0.042)
    return Atria(right, left, sigma, delay, turn=rotation(z=rng.normal(-0.08, 0.22)))


def premature_beat(rng: np.random.Generator) -> Beat:
    """Draw a ventricular premature beat: wide, of any direction, with ST and T opposite to QRS."""
    direction = rng.standard_normal(3)
    direction *= rng.uniform(0.9, 1.9) / np.linalg.norm(direction)
    width = rng.uniform(0.85, 1.2)
    turned = direction + 0.5 * rng.standard_normal(3)
    return Beat(
        centres=np.array([0.040, 0.075, 0.120]) * width,
        sigmas=np.array([0.016, 0.020, 0.019]) * width,
        vectors=np.stack([0.7 * direction, turned, -0.25 * direction]),
        t_vector=-rng.uniform(0.25, 0.45) * turned,
        st_vector=-0.08 * turned,
        t_before=0.07,
        t_after=0.045,
        qt_add=0.05,
    )


# Why criteria are not read in a heart, and which findings'. Of two reasons that apply the later one is given.
CONVENTIONS: dict[str, tuple[str, ...]] = {
    "ST, T and axis shifts belong to the infarct": ("STTC", "CD"),
    "secondary to hypertrophy": ("STTC", "MI", "CD"),
    "secondary to the conduction disturbance": ("STTC", "MI", "HYP"),
    "ST and T shifts without infarction": ("MI",),
    "not read through a broad QRS": ("STTC", "MI", "HYP"),
    "not read in a paced beat": ("STTC", "MI", "HYP", "CD"),
    "atrial flutter": ("STTC", "AF"),
    "early repolarisation": ("MI",),
}


class Axis(NamedTuple):
    """Degrees between which QRS may point; `below`, `above`: where to turn it to from there. The highest rank holds."""

    rank: int
    low: float
    high: float
    below: tuple[float, float] = (0, 0)
    above: tuple[float, float] = (0, 0)


# As labelled in PTB-XL (5-95 % of 353 records): LAFB -83 to -27 degrees, normal -20 to 87.
NORMAL = Axis(0, -28, 88, (-27, -5), (60, 87))
NOT_LEFT = Axis(1, -28, 181, (-27, -5))
ANY = Axis(2, -181, 181)
RIGHT = Axis(3, 95, 150, (96, 125), (96, 125))
LEFT = Axis(4, -82, -33, (-78, -34), (-78, -34))


@dataclass
class Heart:
    """Everything about one person that does not change from beat to beat. Times in seconds, rate in beats/min.

    `forms`: finding -> names; `needs`: each form's finding and criteria, one of which it has to meet. `explained`: keys
    of `CONVENTIONS`. `axis`: where QRS may point. `tall`: whether R and S have to meet the voltage criteria of
    left ventricular hypertrophy, or (False) rather not; None: no matter. `wiring` (8, 8) maps the eight independent
    leads as they should be to those recorded (misplaced or reversed electrodes). `measured`, `met`: measurements of the
    finished heart and the criteria they meet, labelled or not. `dropped`: finding -> why its criterion gives no label.
    """

    findings: frozenset[str]
    female: bool
    age: int
    rate: float
    pr: float
    qtc: float
    beat: Beat
    atria: Atria
    matrices: tuple[np.ndarray, np.ndarray, np.ndarray]
    rhythm: str = "sinus"
    wide_escape: bool = False
    territory: str | None = None
    forms: dict[str, list[str]] = field(default_factory=dict)
    needs: list[tuple[str, tuple[str, ...] | None]] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)
    axis: Axis = NORMAL
    tall: bool | None = False
    benign: list[str] = field(default_factory=list)
    wiring: np.ndarray = field(default_factory=lambda: np.eye(8))
    measured: Measurements | None = None
    met: dict[str, list[str]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    def measure(self) -> Measurements:
        """Measure the dominant beat without noise and before any misplacement of electrodes."""
        rate = self.rate / 2 if self.rhythm == "two_to_one" else 45.0 if self.rhythm == "complete_block" else self.rate
        times = (np.arange(460) - _CENTRE)[None] / HZ
        qt = np.array([self.qtc * (60 / rate) ** (1 / 3)])
        from_qrs, from_recovery, from_p = self.matrices
        eight = from_qrs @ self.beat.qrs(times)[0] + from_recovery @ self.beat.recovery(times, qt)[0]
        has_p_waves = self.rhythm in ("sinus", "two_to_one", "wenckebach")  # at a fixed place before each QRS
        if has_p_waves:
            eight += from_p @ self.atria.wave(times + self.pr)[0]
        rr_cv = 0.2 if self.rhythm == "AF" else 0.02
        return measure_beat(twelve_leads(eight).astype(float), _CENTRE + 20, rate, rr_cv, has_p_waves)

    def qrs_in_leads(self) -> np.ndarray:
        """QRS of the dominant beat without noise, (12, 120) mV at 2 ms from 20 ms before to 220 ms after onset."""
        return twelve_leads(self.matrices[0] @ self.beat.qrs(np.arange(-0.02, 0.2199, 0.002)))


@dataclass(frozen=True)
class Form:
    """One form of a finding.

    finding, name : what the heart is labelled with, and what `details["forms"]` calls it.
    weight : how often it is drawn, relative to the other forms of its finding.
    apply : changes the heart in place; may return a fuller name ("old_inferior").
    criteria : names of `criteria_met`, one of which each heart meets; (): any of the finding's will do; None: it has
        none of them.
    explains : key of CONVENTIONS: criteria of other findings that are not read beside it.
    unless, seldom : findings and forms beside which it is not drawn, or only a fifth as often.
    beside : drawn in hearts with one of these forms alone, before all others, with the probability `weight`.
    also : (name, probability) of forms that come with it, at most one. early : this one is then applied first.

    Raises ValueError for an unknown finding or convention.
    """

    finding: str
    name: str
    weight: float
    apply: Callable[[np.random.Generator, Heart], str | None]
    criteria: tuple[str, ...] | None = ()
    explains: str | None = None
    unless: frozenset[str] = frozenset()
    seldom: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    also: tuple[tuple[str, float], ...] = ()
    early: bool = False

    def __post_init__(self) -> None:
        if self.finding not in FINDINGS:
            raise ValueError(f"Form {self.name}: finding {self.finding!r} is not one of {', '.join(FINDINGS)}.")
        if self.explains is not None and self.explains not in CONVENTIONS:
            raise ValueError(f"Form {self.name}: explains {self.explains!r} is not one of {list(CONVENTIONS)}.")


def shake(rng: np.random.Generator, vector: Sequence[float]) -> np.ndarray:
    """`vector` with every component moved by SD .12."""
    return np.asarray(vector) + 0.12 * rng.standard_normal(3)


def pick(rng: np.random.Generator, options: Sequence[_T], weights: Sequence[float] | None = None) -> _T:
    """One option, drawn with the given relative weights."""
    edges = np.cumsum(np.ones(len(options)) if weights is None else weights)
    return options[int(np.searchsorted(edges, rng.uniform(0, edges[-1]), side="right"))]
