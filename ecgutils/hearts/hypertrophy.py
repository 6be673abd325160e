"""HYP: left and right ventricular hypertrophy, left and right atrial enlargement."""

import numpy as np

from ecgutils.hearts.beats import rotation
from ecgutils.hearts.form import Form
from ecgutils.hearts.heart import RIGHT, Heart
from ecgutils.signals.measure import LEAD

_SECONDARY = "secondary to hypertrophy"


def _left_ventricle(rng: np.random.Generator, heart: Heart) -> None:
    beat, stretch = heart.beat, rng.uniform(1.0, 1.15)
    beat.centres, beat.sigmas = beat.centres * stretch, beat.sigmas * stretch
    beat.vectors = (beat.vectors @ rotation(z=rng.uniform(-0.2, 0.1)).T) * rng.uniform(1.0, 1.4)
    beat.vectors *= [0.9, 0.9, 1.15]
    beat.t_vector = beat.t_vector * rng.uniform(0.5, 1.0)
    heart.tall = True


def _right_ventricle(rng: np.random.Generator, heart: Heart) -> None:
    beat = heart.beat
    beat.vectors *= rng.uniform(0.65, 0.9)
    lobe = rng.uniform(0.4, 0.8) * np.array([-0.45, 0.15, -0.75])
    beat.add_lobe(rng.uniform(0.046, 0.056), rng.uniform(0.009, 0.012), lobe)
    for _ in range(10):
        v1 = heart.qrs_in_leads()[LEAD["V1"]]
        if v1.max() >= max(0.6, -v1.min()):
            break
        beat.vectors[-1] *= 1.2
    heart.axis = max(heart.axis, RIGHT)


def _left_atrium(rng: np.random.Generator, heart: Heart) -> None:
    heart.atria.left *= rng.uniform(1.5, 2.3)
    heart.atria.delay = rng.uniform(0.048, 0.070)
    heart.pr = max(heart.pr, heart.atria.p_s + 0.02)


def _right_atrium(rng: np.random.Generator, heart: Heart) -> None:
    heart.atria.right = max(heart.atria.right, 0.085) * rng.uniform(2.0, 3.0)


_AF, _BLOCKS = frozenset({"AF"}), frozenset({"RBBB", "LAFB", "LBBB"})
FORMS = (
    Form("HYP", "LVH", 0.78, _left_ventricle, ("left_ventricular_voltage",), _SECONDARY, also=(("LAE", 0.2),)),
    Form("HYP", "LAE", 0.11, _left_atrium, ("long_P",), unless=_AF),
    Form("HYP", "RVH", 0.07, _right_ventricle, ("right_ventricular_R_in_V1",), _SECONDARY, unless=_BLOCKS),
    Form("HYP", "RAE", 0.04, _right_atrium, ("tall_P_in_II",), unless=_AF),
)
