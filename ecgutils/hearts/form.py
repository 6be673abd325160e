"""What a form of a finding is: one record, and the small tools its function needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ecgutils.findings import FINDINGS
from ecgutils.hearts.heart import Heart

_T = TypeVar("_T")

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
    also : (name, probability) of forms that come with it, at most one of them. early : that this one is then applied
        first.

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
