"""What carries no label: normal variants that look like findings, pacing, flutter, misplaced electrodes."""

import numpy as np

from ecgutils.hearts.form import pick
from ecgutils.hearts.heart import Heart
from ecgutils.hearts.infarct import TERRITORIES


def add_variants(rng: np.random.Generator, heart: Heart) -> None:
    """Hard negatives: small Q, late forces, low voltage or T, early repolarisation, each without its finding."""
    beat, findings = heart.beat, heart.findings
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
    elif not findings and heart.age < 50 and not heart.female and rng.random() < 0.10:
        beat.st_vector = beat.st_vector + rng.uniform(0.05, 0.16) * np.array([0.5, 0.3, -0.8])
        beat.st_start = rng.uniform(0.5, 0.9)
        heart.benign.append("early_repolarisation")
        heart.explained.add("early repolarisation")


def add_other_rhythm(rng: np.random.Generator, heart: Heart) -> None:
    """In 4 % of hearts a rhythm that carries none of the five labels: ventricular pacing or atrial flutter."""
    draw = rng.random()
    if draw < 0.03:
        _pace(rng, heart)
    elif draw < 0.04:
        heart.rhythm = "flutter"
        heart.benign.append("flutter")
        heart.explained.add("atrial flutter")


def _pace(rng: np.random.Generator, heart: Heart) -> None:
    """Ventricular pacing from the apex: the usual false alarm for a bundle branch block."""
    beat, spike = heart.beat, rng.uniform(0.2, 1.5) * rng.choice([-1.0, 1.0]) * np.array([0.5, 0.8, 0.2])
    size = rng.uniform(0.8, 1.4)
    vectors = size * np.array([[0.20, -0.25, 0.25], [0.30, -0.75, 0.65], [0.15, -0.60, 0.50]])
    vectors = vectors + 0.1 * rng.standard_normal(vectors.shape)
    beat.centres, beat.sigmas = np.array([-0.004, 0.035, 0.080, 0.125]), np.array([0.0012, 0.016, 0.018, 0.017])
    beat.vectors = np.vstack([spike, vectors])
    beat.t_vector = -rng.uniform(0.25, 0.5) * vectors[1]
    beat.st_vector = -0.08 * vectors[1]
    beat.qt_add = 0.05
    heart.rhythm, heart.rate = "paced", float(rng.uniform(58, 82))
    heart.benign.append("paced")
    heart.explained.add("not read in a paced beat")


def misplace(rng: np.random.Generator, heart: Heart) -> None:
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
