"""The simulator: exact labels, lead identities, reproducibility, and hearts that meet their criteria."""

import json
from itertools import combinations, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgutils import FINDINGS, LEADS
from ecgutils.hearts import simulate, simulate_cohort
from ecgutils.hearts.draw import draw_heart
from ecgutils.hearts.simulate import FINDING_SHARE, NORMAL_SHARE, STRAIN_SHARE, _mix, draw_findings
from ecgutils.signals import measure


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


def test_noise_can_be_left_out_and_the_heart_stays():
    noisy, clean = (simulate(np.random.default_rng(4), {"MI"}, noise=noise) for noise in (True, False))
    assert noisy.details == clean.details
    difference = noisy.signal_mv - clean.signal_mv
    assert 0.001 < np.median(difference.std(axis=1)) < 0.3


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
    sets, weight = _mix()
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


def test_conduction_forms_show_in_the_intervals():
    found = {form: h for h in hearts(200, "CD") for form in h.forms["CD"]}
    assert found["first_degree_AVB"].pr > 0.2
    assert found["LBBB"].measured.qrs_ms >= 110
    assert found["RBBB"].measured.qrs_ms >= 110
    assert found["WPW"].pr < 0.12


def forms(finding, *others, count=150):
    return [tuple(heart.forms[finding]) for heart in hearts(count, finding, *others)]


def test_forms_that_exclude_each_other_are_not_drawn_together():
    assert not {"first_degree_AVB", "WPW", "wenckebach"} & {name for drawn in forms("CD", "AF") for name in drawn}
    assert {drawn[0] for drawn in forms("HYP", "AF")} == {"LVH", "RVH"}
    for heart in hearts(150, "HYP", "CD"):
        assert "RVH" not in heart.forms["HYP"] or not {"RBBB", "LAFB", "LBBB"} & set(heart.forms["CD"])


def test_some_forms_come_along_with_others():
    assert {("RBBB", "LAFB"), ("RBBB",), ("LAFB",)} <= set(forms("CD"))
    assert {("LVH", "LAE"), ("LVH",)} <= set(forms("HYP"))


def test_strain_is_drawn_beside_ventricular_hypertrophy_alone():
    assert ("strain",) not in forms("STTC")
    beside = {
        bool({"LVH", "RVH"} & set(h.forms["HYP"])) for h in hearts(150, "STTC", "HYP") if "strain" in h.forms["STTC"]
    }
    assert beside == {True}


def acute_infarcts(n=40):
    """Simulated hearts with MI alone of an acute form."""
    found = (simulate(np.random.default_rng([8, i]), {"MI"}, noise=False) for i in range(100 * n))
    return list(islice((r for r in found if r.details["forms"]["MI"][0].startswith("acute")), n))


def test_acute_infarcts_raise_st_where_they_lie_up_to_a_millivolt():
    facing = {"inferior": "III", "anterior": "V3", "anteroseptal": "V2", "lateral": "aVL"}
    heights = []
    for record in acute_infarcts():
        lead = facing.get(record.details["territory"])
        if lead is None:
            continue
        m = measure(record.signal_mv, record.fs)
        heights.append(record.details["st_mv"])
        opposite = "III" if lead == "aVL" else "aVL"
        if m is not None and heights[-1] > 0.3:
            assert m.st[LEADS.index(lead)] > 0.1
            if lead in ("III", "aVL"):
                assert m.st[LEADS.index(opposite)] < 0  # reciprocal
    assert min(heights) < 0.2
    assert max(heights) > 0.6
