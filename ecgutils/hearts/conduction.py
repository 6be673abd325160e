"""CD: bundle branch and fascicular blocks, unspecific delay, AV blocks, pre-excitation; and the rhythm of AF."""

from functools import partial

import numpy as np

from ecgutils.hearts.beats import Beat, rotation
from ecgutils.hearts.form import Form, shake
from ecgutils.hearts.heart import ANY, LEFT, NOT_LEFT, RIGHT, Heart

_SECONDARY = "secondary to the conduction disturbance"
_BROAD = "not read through a broad QRS"


def _left_anterior(rng: np.random.Generator, heart: Heart) -> None:
    beat = heart.beat
    beat.vectors[0] = np.array([-0.06, 0.14, -0.12]) * rng.lognormal(0, 0.4)
    beat.centres[0] = 0.012
    beat.vectors[1:3] *= [0.80, 0.15, 0.85]
    # the late forces point up and back, the last ones also to the right: S in II, III, aVF and in V5, V6
    beat.add_lobe(0.050, rng.uniform(0.009, 0.012), rng.lognormal(0, 0.25) * shake(rng, (0.30, -0.50, 0.35)))
    beat.add_lobe(0.068, rng.uniform(0.009, 0.012), rng.lognormal(0, 0.35) * shake(rng, (-0.38, -0.35, 0.15)))
    heart.axis = LEFT


def _left_posterior(rng: np.random.Generator, heart: Heart) -> None:
    heart.beat.vectors[0] = np.array([0.10, -0.25, -0.10]) * rng.lognormal(0, 0.3)
    heart.axis = RIGHT


def _incomplete_right_bundle(rng: np.random.Generator, heart: Heart) -> None:
    beat, size = heart.beat, 0.1 + 0.55 * rng.beta(1.2, 1.8)
    beat.add_lobe(rng.normal(0.078, 0.004), 0.008, size * shake(rng, (-0.6, -0.15, -0.6)))
    beat.vectors[3] *= rng.uniform(0.5, 1.0)
    beat.t_vector = beat.t_vector + rng.uniform(0, 0.8) * size * np.array([0.05, 0, 0.35])


def _right_bundle(rng: np.random.Generator, heart: Heart) -> None:
    beat, size = heart.beat, rng.uniform(0.6, 1.3)
    beat.vectors[2:4, 2] *= rng.uniform(0.3, 0.9)  # the right ventricle's late forces meet the posterior ones
    beat.add_lobe(0.098, rng.uniform(0.013, 0.019), size * shake(rng, (-0.6, -0.1, -0.7)))
    beat.t_vector = beat.t_vector + size * np.array([0.12, 0, 0.42])
    beat.qt_add = 0.02
    heart.axis = max(heart.axis, NOT_LEFT)


def _left_bundle(rng: np.random.Generator, heart: Heart) -> None:
    _left_bundle_beat(rng, heart.beat, rng.uniform(0.7, 1.3))
    heart.axis, heart.tall = ANY, None


def _left_bundle_beat(rng: np.random.Generator, beat: Beat, size: float) -> None:
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


def _unspecific_delay(rng: np.random.Generator, heart: Heart) -> None:
    beat, stretch = heart.beat, rng.uniform(1.25, 1.6)
    beat.centres, beat.sigmas = beat.centres * stretch, beat.sigmas * stretch
    beat.vectors[:, 2] *= rng.uniform(1.0, 1.5)
    beat.qt_add = 0.5 * (stretch - 1) * 0.075


def _pre_excitation(rng: np.random.Generator, heart: Heart) -> None:
    beat = heart.beat
    delta = 0.4 * np.array([0.7, rng.choice([-0.7, 0.5]), rng.choice([-0.7, 0.2])]) * rng.lognormal(0, 0.25)
    shift = rng.uniform(0.018, 0.034)
    beat.centres = beat.centres + shift
    beat.add_lobe(0.010 + 0.7 * shift, 0.008 + 0.25 * shift, delta)  # a slur that runs into the main upstroke
    beat.t_vector = beat.t_vector - rng.uniform(0.2, 0.8) * delta
    heart.pr = rng.uniform(0.080, 0.115)
    heart.axis, heart.tall = ANY, None


def _first_degree(rng: np.random.Generator, heart: Heart) -> None:
    heart.pr = 0.204 + rng.gamma(2, 0.022)


def _av_block(rng: np.random.Generator, heart: Heart, kind: str) -> None:
    heart.rhythm = kind
    if kind != "wenckebach":
        heart.rate = float(rng.uniform(70, 105))
    if kind == "complete_block" and rng.random() < 0.4:
        _left_bundle_beat(rng, heart.beat, rng.uniform(0.7, 1.2))
        heart.wide_escape, heart.axis = True, ANY
        heart.explained.add(_BROAD)


def _fibrillation(rng: np.random.Generator, heart: Heart) -> None:
    heart.rhythm = "AF"


_AF, _LATE = frozenset({"AF"}), ("first_degree_AVB", 0.15)
_WIDE = ("QRS_110_ms",)
_OTHER = frozenset({"HYP", "MI"})  # rarely read through a left bundle branch block
FORMS = (
    Form("AF", "fibrillation", 1, _fibrillation, ("irregular_without_P",)),
    Form("CD", "LAFB", 0.28, _left_anterior, ("axis_beyond_-30",), _SECONDARY, also=(_LATE,), early=True),
    Form("CD", "IRBBB", 0.19, _incomplete_right_bundle, ("R_prime_in_V1_V2",), _SECONDARY, also=(_LATE,)),
    Form("CD", "first_degree_AVB", 0.14, _first_degree, ("PR_over_200_ms",), unless=_AF),
    Form("CD", "IVCD", 0.13, _unspecific_delay, _WIDE, _SECONDARY),
    Form("CD", "RBBB", 0.11, _right_bundle, _WIDE, _SECONDARY, also=(("LAFB", 0.35), _LATE)),
    Form("CD", "LBBB", 0.09, _left_bundle, _WIDE, _BROAD, seldom=_OTHER, also=(_LATE,)),
    Form("CD", "LPFB", 0.025, _left_posterior, ("axis_beyond_90",), _SECONDARY),
    Form("CD", "WPW", 0.02, _pre_excitation, ("PR_under_120_ms",), _BROAD, unless=_AF | _OTHER),
    *(
        Form("CD", kind, weight, partial(_av_block, kind=kind), ("blocked_P_waves",), unless=_AF)
        for kind, weight in (("wenckebach", 0.006), ("two_to_one", 0.004), ("complete_block", 0.005))
    ),
)
