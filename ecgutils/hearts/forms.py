"""The forms of CD, AF, MI, HYP and STTC: one function, which changes a heart, and one record each."""

from collections.abc import Callable
from functools import partial

import numpy as np

from ecgutils.hearts.heart import ANY, LEFT, NOT_LEFT, RIGHT, Beat, Form, Heart, pick, rotation, shake, twelve_leads
from ecgutils.signals.measure import LEAD

# Keys of CONVENTIONS
_BELONGS = "ST, T and axis shifts belong to the infarct"
_BESIDE_BLOCK = "secondary to the conduction disturbance"
_BROAD = "not read through a broad QRS"
_BESIDE_HYP = "secondary to hypertrophy"

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
_RAISED = {"old": (0.0, 0.0), "subacute": (0.0, 0.12), "acute": (0.0, 0.0), "aneurysm": (0.1, 0.3)}  # ST, mV
_ACUTE_MV = (0.1, 1.0)  # ST in the lead of an acute infarct where it is largest
# Direction of an ischaemic region, and how often it is drawn.
_ISCHAEMIA = {
    "anterolateral": ((0.75, -0.1, -0.65), 0.34),
    "anteroseptal": ((0.0, 0.0, -1.0), 0.20),
    "inferior": ((0.1, 0.98, 0.1), 0.16),
    "lateral": ((0.97, -0.1, 0.2), 0.15),
    "diffuse": ((0.75, 0.5, -0.4), 0.15),
}


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


def _infarct(rng: np.random.Generator, heart: Heart, territory: str) -> str:
    """Lost forces early in QRS, inverted T, raised ST in a territory; old, sub-acute, acute or aneurysm, graded."""
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
    if stage == "acute":
        inverted = 0.0
        _injure(rng, heart, vector / np.linalg.norm(vector))
    if raised := rng.uniform(*_RAISED[stage]):
        beat.st_start = rng.uniform(0.5, 1.0)
    beat.t_vector = beat.t_vector - inverted * vector
    beat.st_vector = beat.st_vector + raised * vector
    heart.territory = territory
    if territory in ("inferior", "inferolateral", "lateral"):
        heart.axis = max(heart.axis, ANY)
    return f"{stage}_{territory}"


def _injure(rng: np.random.Generator, heart: Heart, towards: np.ndarray) -> None:
    """Transmural injury of a wall: at first a broad tall T, then ST that swallows S, R and T the more the higher it is.

    The depression in leads that look from the other side, and V1 to V3 of a posterior infarct, follow from the vector.
    """
    beat = heart.beat
    seen = np.abs(twelve_leads(heart.matrices[1] @ towards[:, None])).max()
    height = np.exp(rng.uniform(*np.log(_ACUTE_MV))) / seen
    swallowed = min(1.0, height * seen / 0.5)
    if rng.random() < 0.2:  # hyperacute: ST is still low
        beat.t_vector = 0.5 * beat.t_vector + rng.uniform(0.5, 1.2) / seen * towards
        beat.t_before, beat.t_after = 1.3 * beat.t_before, 1.3 * beat.t_after
        height = min(height, rng.uniform(0.1, 0.2) / seen)
    else:
        beat.t_vector = rng.uniform(0.3, 1) * beat.t_vector + rng.uniform(0.1, 1.0) * height * towards
    late = beat.centres > 0.04
    along = np.minimum(beat.vectors[late] @ towards, 0)  # what points away: S where ST rises
    beat.vectors[late] -= swallowed * along[:, None] * towards
    beat.st_vector = beat.st_vector + height * towards
    beat.st_start = rng.uniform(0.5, 0.9) + 0.3 * swallowed
    beat.st_early = 0.022 * swallowed * rng.uniform(0, 1)


def _left_main(rng: np.random.Generator, heart: Heart) -> None:
    """Subendocardial injury all around: ST low in many leads, raised in aVR and V1."""
    heart.beat.st_vector = heart.beat.st_vector - rng.uniform(0.15, 0.45) * shake(rng, (0.75, 0.5, -0.25))
    heart.beat.t_vector = heart.beat.t_vector * rng.uniform(0.2, 0.8)
    heart.beat.st_start = rng.uniform(0.7, 1.2)


def _de_winter(rng: np.random.Generator, heart: Heart) -> None:
    """ST low at the J point of the chest leads, from where it rises into tall symmetric T: de Winter, NEJM 2008."""
    beat, front = heart.beat, shake(rng, (0.45, 0.05, -0.9))
    beat.st_vector = beat.st_vector - rng.uniform(0.08, 0.25) * front
    beat.st_start = rng.uniform(1.5, 2.2)
    beat.t_vector = 0.3 * beat.t_vector + rng.uniform(0.7, 1.4) * front
    beat.t_after = beat.t_before


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
        if (v1 := heart.qrs_in_leads()[LEAD["V1"]]).max() >= max(0.6, -v1.min()):
            break
        beat.vectors[-1] *= 1.2
    heart.axis = max(heart.axis, RIGHT)


def _left_atrium(rng: np.random.Generator, heart: Heart) -> None:
    heart.atria.left *= rng.uniform(1.5, 2.3)
    heart.atria.delay = rng.uniform(0.048, 0.070)
    heart.pr = max(heart.pr, 4 * heart.atria.sigma + heart.atria.delay + 0.02)  # no shorter than P


def _right_atrium(rng: np.random.Generator, heart: Heart) -> None:
    heart.atria.right = max(heart.atria.right, 0.085) * rng.uniform(2.0, 3.0)


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


def _wellens(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    """T deep, symmetric or first up then down, in V2 to V4, without Q or ST: a narrow left anterior descending artery.
    Labelled as PTB-XL codes it, as ischaemia."""
    front = shake(rng, (0.35, 0.05, -0.95))
    heart.beat.t_vector = heart.beat.t_vector - (heart.beat.t_vector @ front + rng.uniform(0.3, 0.9)) * front
    heart.beat.st_vector = heart.beat.st_vector + rng.uniform(0, 0.1) * front
    heart.beat.t_after = heart.beat.t_before


def _digitalis(rng: np.random.Generator, heart: Heart, lateral: np.ndarray) -> None:
    heart.beat.st_vector = heart.beat.st_vector - rng.uniform(0.05, 0.13) * lateral
    heart.beat.t_vector = heart.beat.t_vector * rng.uniform(0.1, 0.6)
    heart.beat.t_before, heart.qtc = 0.075, rng.uniform(0.34, 0.385)


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


def _sttc(name: str, weight: float, change: Callable[..., str | None], *criteria: str, **more: frozenset[str]) -> Form:
    """A form of STTC; `change` gets a direction, too: that of the lateral wall."""

    def apply(rng: np.random.Generator, heart: Heart) -> str | None:
        return change(rng, heart, shake(rng, (0.9, 0.3, -0.1)))

    return Form("STTC", name, weight, apply, criteria, "ST and T shifts without infarction", **more)


_AF, _LATE = frozenset({"AF"}), ("first_degree_AVB", 0.15)
_WIDE = ("QRS_110_ms",)
_OTHER = frozenset({"HYP", "MI"})  # rarely read through a left bundle branch block
_BLOCKS = frozenset({"RBBB", "LAFB", "LBBB"})
FORMS: list[Form] = [
    Form("AF", "fibrillation", 1, _fibrillation, ("irregular_without_P",)),
    Form("CD", "LAFB", 0.28, _left_anterior, ("axis_beyond_-30",), _BESIDE_BLOCK, also=(_LATE,), early=True),
    Form("CD", "IRBBB", 0.19, _incomplete_right_bundle, ("R_prime_in_V1_V2",), _BESIDE_BLOCK, also=(_LATE,)),
    Form("CD", "first_degree_AVB", 0.14, _first_degree, ("PR_over_200_ms",), unless=_AF),
    Form("CD", "IVCD", 0.13, _unspecific_delay, _WIDE, _BESIDE_BLOCK),
    Form("CD", "RBBB", 0.11, _right_bundle, _WIDE, _BESIDE_BLOCK, also=(("LAFB", 0.35), _LATE)),
    Form("CD", "LBBB", 0.09, _left_bundle, _WIDE, _BROAD, seldom=_OTHER, also=(_LATE,)),
    Form("CD", "LPFB", 0.025, _left_posterior, ("axis_beyond_90",), _BESIDE_BLOCK),
    Form("CD", "WPW", 0.02, _pre_excitation, ("PR_under_120_ms",), _BROAD, unless=_AF | _OTHER),
    *(
        Form("CD", kind, weight, partial(_av_block, kind=kind), ("blocked_P_waves",), unless=_AF)
        for kind, weight in (("wenckebach", 0.006), ("two_to_one", 0.004), ("complete_block", 0.005))
    ),
    *(
        Form("MI", name, weight, partial(_infarct, territory=name), criteria, _BELONGS)
        for name, (_, weight, criteria) in TERRITORIES.items()
    ),
    Form("MI", "acute_left_main", 0.015, _left_main, None, _BELONGS),
    Form("MI", "acute_de_Winter", 0.015, _de_winter, None, _BELONGS),
    Form("HYP", "LVH", 0.78, _left_ventricle, ("left_ventricular_voltage",), _BESIDE_HYP, also=(("LAE", 0.2),)),
    Form("HYP", "LAE", 0.11, _left_atrium, ("long_P",), unless=_AF),
    Form("HYP", "RVH", 0.07, _right_ventricle, ("right_ventricular_R_in_V1",), _BESIDE_HYP, unless=_BLOCKS),
    Form("HYP", "RAE", 0.04, _right_atrium, ("tall_P_in_II",), unless=_AF),
    _sttc("strain", 0.75, _strain, "ST_depression", "T_inverted", beside=frozenset({"LVH", "RVH"})),
    _sttc("unspecific_T", 0.37, _unspecific, "T_low", "T_inverted"),
    _sttc("ST_depression", 0.15, _st_depression, "ST_depression"),
    _sttc("ischaemic_T", 0.33, _ischaemic),
    _sttc("Wellens", 0.03, _wellens),
    _sttc("digitalis", 0.05, _digitalis, "ST_depression"),
    _sttc("long_QT", 0.06, _long_qt, "QTc_long"),
    _sttc("hyperkalaemia", 0.015, _hyperkalaemia, "T_tall"),
    _sttc("hypokalaemia", 0.025, _hypokalaemia),
]
