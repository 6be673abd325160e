"""One simulated person's heart, what is measured of it, and what a form of a finding is: a record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from ecgutils.findings import FINDINGS
from ecgutils.hearts.beats import Atria, Beat, LeadMatrices, twelve_leads
from ecgutils.signals.measure import HZ, Measurements, measure_beat

_T = TypeVar("_T")
_CENTRE = 140  # sample of QRS onset in the template beat

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
    """Degrees between which QRS may point, and where it is turned to from `below` and `above` them.

    Of several that a heart's forms ask for, that of the highest rank holds.
    """

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
    matrices: LeadMatrices
    rhythm: str = "sinus"
    wide_escape: bool = False
    territory: str | None = None
    forms: dict[str, list[str]] = field(default_factory=dict)
    needs: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
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
        eight = self.matrices.qrs @ self.beat.qrs(times)[0] + self.matrices.recovery @ self.beat.recovery(times, qt)[0]
        has_p_waves = self.rhythm in ("sinus", "two_to_one", "wenckebach")  # at a fixed place before each QRS
        if has_p_waves:
            eight += self.matrices.p @ self.atria.wave(times + self.pr)[0]
        rr_cv = 0.2 if self.rhythm == "AF" else 0.02
        return measure_beat(twelve_leads(eight).astype(float), _CENTRE + 20, rate, rr_cv, has_p_waves)

    def qrs_in_leads(self) -> np.ndarray:
        """QRS of the dominant beat without noise, (12, 120) mV at 2 ms from 20 ms before to 220 ms after onset."""
        return twelve_leads(self.matrices.qrs @ self.beat.qrs(np.arange(-0.02, 0.2199, 0.002)))


@dataclass(frozen=True)
class Form:
    """One form of a finding.

    finding, name : what the heart is labelled with, and what `details["forms"]` calls it.
    weight : how often it is drawn, relative to the other forms of its finding.
    apply : changes the heart in place; may return a fuller name ("old_inferior").
    criteria : names of `criteria_met`, one of which each heart meets; (): any of the finding's will do.
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
    criteria: tuple[str, ...] = ()
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
