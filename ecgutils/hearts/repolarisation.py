"""STTC: strain beside ventricular hypertrophy; unspecific, ischaemic, drug, electrolyte and long-QT forms."""

from collections.abc import Callable

import numpy as np

from ecgutils.hearts.form import Form, pick, shake
from ecgutils.hearts.heart import Heart

# Direction of an ischaemic region, and how often it is drawn.
_ISCHAEMIA = {
    "anterolateral": ((0.75, -0.1, -0.65), 0.34),
    "anteroseptal": ((0.0, 0.0, -1.0), 0.20),
    "inferior": ((0.1, 0.98, 0.1), 0.16),
    "lateral": ((0.97, -0.1, 0.2), 0.15),
    "diffuse": ((0.75, 0.5, -0.4), 0.15),
}
# Here a form's function gets a direction, too: that of the lateral wall.
_Function = Callable[[np.random.Generator, Heart, np.ndarray], str | None]


def _strain(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    beat = heart.beat
    against = shake(rng, (0.9, 0.3, 0.1)) if "LVH" in heart.forms["HYP"] else np.array([-0.1, 0.2, -0.9])
    beat.st_vector = beat.st_vector - rng.uniform(0.06, 0.30) * against
    beat.t_vector = beat.t_vector - (max(beat.t_vector @ against, 0) + rng.uniform(0.0, 0.45)) * against


def _unspecific(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    low = rng.random() < 0.75
    heart.beat.t_vector = heart.beat.t_vector * (rng.uniform(0.2, 0.6) if low else rng.uniform(-0.25, 0.25))


def _st_depression(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    heart.beat.st_vector = heart.beat.st_vector - rng.uniform(0.07, 0.25) * lateral
    heart.beat.t_vector = heart.beat.t_vector * rng.uniform(0.4, 1.0)


def _ischaemic(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> str:
    beat = heart.beat
    region = pick(rng, tuple(_ISCHAEMIA), tuple(weight for _, weight in _ISCHAEMIA.values()))
    vector = shake(rng, _ISCHAEMIA[region][0])
    vector /= np.linalg.norm(vector)
    beat.t_vector = beat.t_vector - (beat.t_vector @ vector + rng.uniform(0.1, 0.6)) * vector
    beat.st_vector = beat.st_vector - rng.uniform(0.04, 0.20) * rng.uniform(0, 1) * vector
    return f"ischaemic_T_{region}"


def _digitalis(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    beat = heart.beat
    beat.st_vector = beat.st_vector - rng.uniform(0.05, 0.13) * lateral
    beat.t_vector = beat.t_vector * rng.uniform(0.1, 0.6)
    beat.t_before, heart.qtc = 0.075, rng.uniform(0.34, 0.385)


def _long_qt(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    heart.qtc = rng.uniform(0.47, 0.56)
    heart.beat.t_before *= rng.uniform(1.0, 1.5)


def _hyperkalaemia(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    beat = heart.beat
    beat.t_vector = beat.t_vector * rng.uniform(1.9, 2.7)
    beat.t_before, beat.t_after = 0.6 * beat.t_before, 0.75 * beat.t_after
    heart.atria.right, heart.atria.left = 0.5 * heart.atria.right, 0.5 * heart.atria.left


def _hypokalaemia(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    beat = heart.beat
    beat.t_vector = beat.t_vector * rng.uniform(0.1, 0.4)
    beat.st_vector = beat.st_vector - rng.uniform(0.03, 0.10) * lateral
    beat.u_gain = rng.uniform(0.12, 0.25)


def _form(name: str, weight: float, function: _Function, *criteria: str, beside: frozenset[str] = frozenset()) -> Form:
    def apply(rng: np.random.Generator, heart: Heart) -> str | None:
        return function(rng, heart, shake(rng, (0.9, 0.3, -0.1)))

    return Form("STTC", name, weight, apply, criteria, "ST and T shifts without infarction", beside=beside)


FORMS = (
    _form("strain", 0.75, _strain, "ST_depression", "T_inverted", beside=frozenset({"LVH", "RVH"})),
    _form("unspecific_T", 0.37, _unspecific, "T_low", "T_inverted"),
    _form("ST_depression", 0.15, _st_depression, "ST_depression"),
    _form("ischaemic_T", 0.33, _ischaemic),
    _form("digitalis", 0.05, _digitalis, "ST_depression"),
    _form("long_QT", 0.06, _long_qt, "QTc_long"),
    _form("hyperkalaemia", 0.015, _hyperkalaemia, "T_tall"),
    _form("hypokalaemia", 0.025, _hypokalaemia),
)
