"""Draw a heart without findings, give it forms of those wanted, and check it against the criteria.

The label follows the criterion. A record beyond a diagnostic threshold but without the label teaches a model to ignore
the threshold, so a heart is drawn again until each of its labelled forms meets its criterion and (in all but a few hard
negatives) no other finding's criterion is met, unless convention says that it isn't read there.
"""

import numpy as np

from ecgutils.hearts.forms import FORMS, TERRITORIES
from ecgutils.hearts.heart import CONVENTIONS, Heart, lead_matrices, normal_atria, normal_beat, pick, rotation
from ecgutils.hearts.rhythm import AV_BLOCKS
from ecgutils.signals.measure import criteria_met, frontal_axis, lvh_ratio

MAX_DRAWS = 200
NEAR_MISSES = 0.10  # chance to keep a heart that meets the criterion of a finding it isn't labelled with
MAX_MV = 5.0  # taller beats are not drawn


def draw_heart(rng: np.random.Generator, findings: frozenset[str]) -> Heart:
    """Draw a heart that has exactly `findings`; RuntimeError when MAX_DRAWS draws never meet their criteria."""
    for _ in range(MAX_DRAWS):
        heart = _normal_heart(rng, findings)
        for finding in ("AF", "CD", "MI", "HYP"):
            if finding in findings:
                _add_form(rng, heart, finding)
        _bound_axis(rng, heart)
        _bound_voltage(rng, heart)
        if "STTC" in findings:
            heart.beat.st_start = rng.uniform(0.5, 1.2)  # horizontal or downsloping
            _add_form(rng, heart, "STTC")
        if not findings:  # 4 % have a rhythm that carries none of the five labels
            if (other := rng.random()) < 0.03:
                _pace(rng, heart)
            elif other < 0.04:
                heart.rhythm = "flutter"
                heart.benign.append("flutter")
                heart.explained.add("atrial flutter")
        heart.measured = heart.measure()
        heart.met = criteria_met(heart.measured, heart.female)
        if heart.rhythm in AV_BLOCKS:
            heart.met.setdefault("CD", []).append("blocked_P_waves")
        unread = {f: why for why, explained in CONVENTIONS.items() if why in heart.explained for f in explained}
        heart.dropped = {f: why for f, why in unread.items() if f in heart.met and f not in findings}
        # each form shows one of its criteria, or where it names none, any of its finding's
        shown = [(set(heart.met.get(finding, ())), criteria) for finding, criteria in heart.needs]
        seen = all(criteria is None or met & set(criteria or met) for met, criteria in shown)
        if not seen or np.abs(heart.measured.beat).max() > MAX_MV:
            continue
        if not set(heart.met) - findings - set(heart.dropped) or rng.random() < NEAR_MISSES:
            _misplace(rng, heart)
            return heart
    raise RuntimeError(f"draw_heart: no heart with exactly {sorted(findings)} in {MAX_DRAWS} draws.")


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
    _add_variants(rng, heart)
    return heart


def _add_form(rng: np.random.Generator, heart: Heart, finding: str) -> None:
    """Draw a form of `finding`, and what may come with it, and change the heart by it."""
    there = heart.findings.union(*heart.forms.values())
    forms = [form for form in FORMS if form.finding == finding]
    able = [form for form in forms if not there & form.unless]
    form = next((f for f in able if there & f.beside and rng.random() < f.weight), None)
    if form is None:
        free = [f for f in able if not f.beside]
        weights = [f.weight * (0.2 if there & f.seldom else 1) for f in free]
        form = pick(rng, free, weights) if len(forms) > 1 else free[0]  # a finding's only form takes no draw
    drawn = [form]
    for name, chance in form.also:
        with_it = [f for f in able if f.name == name]
        if with_it and rng.random() < chance:
            drawn += with_it
            break
    named = {f.name: f.apply(rng, heart) or f.name for f in sorted(drawn, key=lambda f: not f.early)}
    heart.forms[finding] = [named[f.name] for f in drawn]
    heart.needs += [(finding, f.criteria) for f in drawn]
    heart.explained |= {f.explains for f in drawn if f.explains}


def _bound_axis(rng: np.random.Generator, heart: Heart) -> None:
    """Turn QRS to where its forms point, or where it has none, into the normal range."""
    axis, bounds = frontal_axis(heart.qrs_in_leads()), heart.axis
    if bounds.low <= axis <= bounds.high:
        return
    target = rng.uniform(*(bounds.below if axis < bounds.low else bounds.above))
    for _ in range(5):
        off = (target - frontal_axis(heart.qrs_in_leads()) + 180) % 360 - 180
        heart.beat.vectors = heart.beat.vectors @ rotation(z=0.8 * np.radians(off)).T


def _bound_voltage(rng: np.random.Generator, heart: Heart) -> None:
    """Scale QRS until LVH meets its voltage criterion and, in most hearts, until one without it does not."""
    qrs = heart.qrs_in_leads()
    ratio = lvh_ratio(qrs.max(axis=1), -qrs.min(axis=1), heart.female)
    if heart.tall:
        heart.beat.vectors *= max(rng.uniform(1.02, 1.35) / ratio, 1.0)
    elif heart.tall is False and ratio >= 1 and rng.random() < 0.85:
        heart.beat.vectors *= rng.uniform(0.72, 0.98) / ratio


def _add_variants(rng: np.random.Generator, heart: Heart) -> None:
    """Hard negatives: small Q, late forces, low voltage or T, early repolarisation, each without its finding."""
    beat, findings = heart.beat, heart.findings
    if rng.random() < 0.15 and "MI" not in findings:
        vector = -rng.uniform(0.02, 0.10) * np.array(TERRITORIES[pick(rng, tuple(TERRITORIES))][0])
        beat.add_lobe(rng.uniform(0.014, 0.022), 0.007, vector)
        heart.benign.append("small_q")
    if rng.random() < 0.20 and "CD" not in findings:
        # to the right, up or forward, as fascicular and right bundle branch blocks have more of
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


def _pace(rng: np.random.Generator, heart: Heart) -> None:
    """Ventricular pacing from the apex: the usual false alarm for a bundle branch block."""
    beat, spike = heart.beat, rng.uniform(0.2, 1.5) * rng.choice([-1.0, 1.0]) * np.array([0.5, 0.8, 0.2])
    vectors = rng.uniform(0.8, 1.4) * np.array([[0.20, -0.25, 0.25], [0.30, -0.75, 0.65], [0.15, -0.60, 0.50]])
    vectors = vectors + 0.1 * rng.standard_normal(vectors.shape)
    beat.centres, beat.sigmas = np.array([-0.004, 0.035, 0.080, 0.125]), np.array([0.0012, 0.016, 0.018, 0.017])
    beat.vectors = np.vstack([spike, vectors])
    beat.t_vector = -rng.uniform(0.25, 0.5) * vectors[1]
    beat.st_vector = -0.08 * vectors[1]
    beat.qt_add = 0.05
    heart.rhythm, heart.rate = "paced", float(rng.uniform(58, 82))
    heart.benign.append("paced")
    heart.explained.add("not read in a paced beat")


def _misplace(rng: np.random.Generator, heart: Heart) -> None:
    """In 4 % of records swap two limb electrodes or two chest electrodes, or put V1 and V2 too high."""
    if rng.random() >= 0.04:
        return
    wiring = heart.wiring
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
    heart.benign.append(kind)
