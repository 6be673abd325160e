"""MI: lost forces early in QRS, inverted T, raised ST in a territory; old, sub-acute, acute or aneurysm, graded."""

from functools import partial

import numpy as np

from ecgutils.hearts.form import Form, pick, shake
from ecgutils.hearts.heart import ANY, Heart

_Q = ("Q_wave", "minor_Q_wave", "ST_elevation")
_ANTERIOR = (*_Q, "poor_R_progression")
# Direction of the lost forces, weight (about as in PTB-XL), criteria.
TERRITORIES = {
    "inferior": ((-0.2, 0.9, 0.15), 0.35, _Q),
    "anteroseptal": ((0.1, -0.1, -1.0), 0.33, _ANTERIOR),
    "anterior": ((0.4, -0.1, -0.9), 0.12, _ANTERIOR),
    "anterolateral": ((0.75, -0.25, -0.6), 0.09, _ANTERIOR),
    "lateral": ((0.95, -0.2, 0.3), 0.05, ("lateral_Q_wave", "ST_elevation")),
    "inferolateral": ((0.6, 0.75, 0.25), 0.05, _Q),
    "posterior": ((0.1, 0.2, 1.0), 0.03, ("posterior_R",)),
}
_STAGES = {"old": 0.63, "subacute": 0.21, "acute": 0.11, "aneurysm": 0.05}
_RAISED = {"old": (0.0, 0.0), "subacute": (0.0, 0.12), "acute": (0.1, 0.45), "aneurysm": (0.1, 0.3)}  # ST, mV


def _infarct(rng: np.random.Generator, heart: Heart, territory: str) -> str:
    stage = pick(rng, tuple(_STAGES), tuple(_STAGES.values()))
    if stage == "aneurysm" and not territory.startswith("ant"):
        stage = "old"
    vector = shake(rng, TERRITORIES[territory][0])
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
    raised = rng.uniform(*_RAISED[stage])
    if stage == "acute":
        inverted = -0.5 * raised  # hyperacute T
    if raised:
        beat.st_start = rng.uniform(0.5, 1.0)
    beat.t_vector = beat.t_vector - inverted * vector
    beat.st_vector = beat.st_vector + raised * vector
    heart.territory, heart.severity = territory, round(float(max(lost, raised)), 3)
    if territory in ("inferior", "inferolateral", "lateral"):
        heart.axis = max(heart.axis, ANY)
    return f"{stage}_{territory}"


_BELONGS = "ST, T and axis shifts belong to the infarct"
FORMS = tuple(
    Form("MI", name, weight, partial(_infarct, territory=name), criteria, _BELONGS)
    for name, (_, weight, criteria) in TERRITORIES.items()
)
