"""The simulator: exact labels, lead identities, reproducibility, and hearts that meet their criteria."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgutils import FINDINGS, LEADS
from ecgutils.signals import simulate, simulate_cohort
from ecgutils.signals.pathology import draw_heart, frontal_axis, has_pathological_q, lvh_ratio
from ecgutils.signals.simulate import FINDING_SHARE, NORMAL_SHARE, STRAIN_SHARE, _mix, draw_findings


def lead(record, name):
    return record.signal_mv[LEADS.index(name)]


def hearts(count, *findings):
    return [draw_heart(np.random.default_rng([5, i]), frozenset(findings)) for i in range(count)]


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(FINDINGS)), st.integers(0, 2**32), st.sampled_from([100, 250, 360, 500, 1000]))
def test_any_set_at_any_rate_is_a_sound_record(findings, seed, fs):
    record = simulate(np.random.default_rng(seed), findings, fs)
    assert record.findings == findings
    assert set(record.details["forms"]) == findings
    assert record.signal_mv.shape == (12, 10 * fs)
    assert record.signal_mv.dtype == np.float32
    assert np.isfinite(record.signal_mv).all()
    assert np.ptp(record.signal_mv, axis=1).max() < 25
    json.dumps(record.details)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([100, 500]))
def test_limb_leads_obey_einthoven_and_goldberger(seed, fs):
    record = simulate(np.random.default_rng(seed), fs=fs)
    one, two, three = (lead(record, name).astype(float) for name in ("I", "II", "III"))
    np.testing.assert_allclose(one + three, two, atol=2e-6)
    np.testing.assert_allclose(sum(lead(record, a).astype(float) for a in ("aVR", "aVL", "aVF")), 0, atol=2e-6)
    np.testing.assert_allclose(lead(record, "aVR"), -(one + two) / 2, atol=2e-6)


def test_the_same_rng_state_gives_the_same_bytes():
    a, b = (simulate(np.random.default_rng(3)) for _ in range(2))
    assert a.signal_mv.tobytes() == b.signal_mv.tobytes()
    assert a.details == b.details


def test_rate_changes_the_sampling_and_not_the_heart():
    fine, coarse = (simulate(np.random.default_rng(4), {"CD"}, fs) for fs in (500, 100))
    assert fine.details == coarse.details
    # LBBB or not, a 10 ms grid sees P and T waves as the 2 ms grid does
    difference = fine.signal_mv[:, ::5] - coarse.signal_mv
    assert np.median(np.abs(difference)) < 0.01


@pytest.mark.parametrize("bad", [{"NORM"}, {"MI", "mi"}, {"AFIB"}, "normal", {None}])
def test_unknown_findings_are_named(bad):
    with pytest.raises(ValueError, match="unknown finding"):
        simulate(np.random.default_rng(0), bad)


@pytest.mark.parametrize("fs", [0, -500, 20, 499.5, 5000, float("nan")])
def test_impossible_rates_are_refused(fs):
    with pytest.raises(ValueError, match="fs must be"):
        simulate(np.random.default_rng(0), fs=fs)


def test_a_single_name_is_a_set_of_one():
    assert simulate(np.random.default_rng(0), "MI").findings == {"MI"}


def test_cohort_rows_depend_on_seed_and_index_alone():
    three, five = list(simulate_cohort(3, seed=1, fs=100)), list(simulate_cohort(5, seed=1, fs=100))
    parallel = list(simulate_cohort(5, seed=1, fs=100, workers=2))
    for a, b, c in zip(three, five[:3], parallel[:3], strict=True):
        assert a.signal_mv.tobytes() == b.signal_mv.tobytes() == c.signal_mv.tobytes()
    assert [r.record_id for r in parallel] == [f"sim-{i:06d}" for i in range(5)]
    assert [(r.patient_id, r.fold, r.source) for r in five[:2]] == [
        ("sim-p000000", 1, "simulated"), ("sim-p000001", 2, "simulated"),
    ]  # fmt: skip
    other = next(iter(simulate_cohort(1, seed=2, fs=100)))
    assert other.signal_mv.tobytes() != three[0].signal_mv.tobytes()


def test_an_empty_cohort_is_empty_and_a_negative_one_an_error():
    assert list(simulate_cohort(0, seed=1)) == []
    with pytest.raises(ValueError, match="negative"):
        simulate_cohort(-1, seed=1)


def test_mix_has_the_stated_margins():
    sets, edges = _mix()
    weight = np.diff(edges, prepend=0)
    assert len(sets) == sum(1 for size in range(1, 6) for _ in combinations(FINDINGS, size))
    for finding, share in FINDING_SHARE.items():
        assert weight[[finding in s for s in sets]].sum() == pytest.approx(share, abs=1e-3)


def test_drawn_mix_follows_the_shares():
    rng = np.random.default_rng(0)
    drawn = [draw_findings(rng) for _ in range(4000)]
    assert np.mean([not d for d in drawn]) == pytest.approx(NORMAL_SHARE, abs=0.03)
    abnormal = [d for d in drawn if d]
    assert np.mean(["MI" in d for d in abnormal]) == pytest.approx(FINDING_SHARE["MI"], abs=0.03)
    assert np.mean(["STTC" in d for d in abnormal if "HYP" in d]) > STRAIN_SHARE


def test_lvh_meets_a_voltage_criterion_and_others_mostly_do_not():
    with_lvh = [h for h in hearts(60, "HYP") if "LVH" in h.forms["HYP"]]
    assert min(lvh_ratio(h.qrs_in_leads(), h.female) for h in with_lvh) > 0.99
    without = [lvh_ratio(h.qrs_in_leads(), h.female) for h in hearts(150)]
    assert np.mean(np.array(without) < 1) > 0.9


def test_left_anterior_block_has_its_axis_and_normals_do_not():
    blocked = [h for h in hearts(120, "CD") if "LAFB" in h.forms["CD"]]
    assert blocked
    assert all(-85 < frontal_axis(h.qrs_in_leads()) < -31 for h in blocked)
    normal = [frontal_axis(h.qrs_in_leads()) for h in hearts(100) if "paced" not in h.benign]
    assert min(normal) > -33
    assert max(normal) < 102


def test_q_waves_come_with_infarcts_and_not_without():
    old = [h for h in hearts(60, "MI") if h.forms["MI"][0].startswith("old") and h.severity > 0.4]
    assert np.mean([has_pathological_q(h.qrs_in_leads()) for h in old]) > 0.45
    assert not any(has_pathological_q(h.qrs_in_leads()) for h in hearts(150) if "paced" not in h.benign)


def test_known_shapes_of_the_criteria():
    qrs = np.zeros((12, 120), dtype=np.float32)
    qrs[LEADS.index("V1"), 30] = -1.5
    qrs[LEADS.index("V5"), 30] = 2.0
    assert lvh_ratio(qrs, female=False) == pytest.approx(1.0)  # Sokolow-Lyon 3.5 mV
    qrs[LEADS.index("aVL"), 30], qrs[LEADS.index("V3"), 30] = 1.0, -1.2
    assert lvh_ratio(qrs, female=True) == pytest.approx(1.1)  # Cornell 2.2 of 2.0 mV
    axis = np.zeros((12, 120), dtype=np.float32)
    axis[LEADS.index("aVF"), 30] = 1.0
    assert frontal_axis(axis) == pytest.approx(90)
    axis[LEADS.index("I"), 30] = 2 / np.sqrt(3)
    assert frontal_axis(axis) == pytest.approx(45)


def test_conduction_forms_show_in_the_intervals():
    found = {form: h for h in hearts(200, "CD") for form in h.forms["CD"]}
    assert found["first_degree_AVB"].pr > 0.2
    assert found["LBBB"].beat.qrs_s > 0.11
    assert found["RBBB"].beat.qrs_s > 0.11
    assert found["WPW"].pr < 0.12


def test_normal_medians_are_those_of_real_normals():
    sample = hearts(250)
    qrs = np.stack([h.qrs_in_leads() for h in sample])
    r, s = np.median(qrs.max(axis=2), axis=0), np.median(-qrs.min(axis=2), axis=0)
    expected_r = {"I": 0.72, "II": 0.95, "V1": 0.19, "V2": 0.51, "V3": 0.87, "V4": 1.33, "V5": 1.39, "V6": 1.17}
    for name, value in expected_r.items():
        assert r[LEADS.index(name)] == pytest.approx(value, rel=0.2), name
    for name, value in {"V1": 0.87, "V2": 1.29, "V3": 0.78}.items():
        assert s[LEADS.index(name)] == pytest.approx(value, rel=0.2), name
