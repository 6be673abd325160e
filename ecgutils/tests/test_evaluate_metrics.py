import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgutils.evaluate import auroc_by_finding, bootstrap_auroc, macro_auroc, paired_difference, quality_band
from ecgutils.evaluate.metrics import _Ranked, auroc_by_group, difference_error, intervals_by
from ecgutils.findings import FINDINGS


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def made_up(rng, n, signal=1.0):
    y = (rng.random((n, 5)) < 0.3).astype(float)
    return y, y * signal + rng.standard_normal((n, 5))


def test_a_hand_counted_auroc():
    y = np.array([[0, 0, 1, 1]] * 5, float).T
    p = np.array([[0.1, 0.4, 0.35, 0.8]] * 5).T
    assert macro_auroc(y, p) == 0.75
    assert macro_auroc(y, np.zeros((4, 5))) == 0.5
    assert macro_auroc(y, y) == 1.0


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(12, 200), levels=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_agrees_with_scikit_learn_with_and_without_ties(seed, n, levels):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, (n, 5)).astype(float)
    y[:2] = [[0] * 5, [1] * 5]
    p = rng.standard_normal((n, 5))
    p[:, ::2] = rng.integers(0, levels, (n, 3))
    for metric, reference in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        expected = [reference(y[:, k], p[:, k]) for k in range(5)]
        np.testing.assert_allclose(auroc_by_finding(y, p, metric), expected, rtol=0, atol=1e-12)
        assert macro_auroc(y, p, metric) == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize(("metric", "reference"), [("auroc", roc_auc_score), ("auprc", average_precision_score)])
def test_weights_are_repeated_rows(rng, metric, reference):
    y, p = rng.integers(0, 2, 60), rng.integers(0, 9, 60).astype(float)
    ranked = _Ranked(y, p, np.ones(60, bool))
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    for drawn, value in zip(weights, ranked.score(metric, weights), strict=True):
        rows = np.repeat(np.arange(60), drawn.astype(int))
        assert value == pytest.approx(reference(y[rows], p[rows]), abs=1e-12)


def test_a_resample_without_both_classes_has_no_value():
    ranked = _Ranked(np.array([0, 1, 1]), np.array([0.2, 0.4, 0.6]), np.ones(3, bool))
    weights = np.array([[2.0, 0, 0], [0, 1, 2], [1, 1, 1]])
    for metric in ("auroc", "auprc"):
        np.testing.assert_array_equal(ranked.score(metric, weights), [np.nan, np.nan, 1])


def test_unknown_labels_and_missing_predictions_do_not_count(rng):
    y, p = made_up(rng, 100)
    y[:10, 0], p[90:] = np.nan, np.nan
    expected = [roc_auc_score(y[10:90, 0], p[10:90, 0])]
    expected += [roc_auc_score(y[:90, k], p[:90, k]) for k in range(1, 5)]
    np.testing.assert_allclose(auroc_by_finding(y, p), expected, atol=1e-12)
    table = bootstrap_auroc(y, p, np.arange(100), rounds=20).set_index("finding")
    assert table.n.to_dict() == {"macro": 90, "STTC": 80, "HYP": 90, "MI": 90, "CD": 90, "AF": 90}


def test_a_finding_without_both_classes_is_nan_and_not_in_the_macro(rng):
    y, p = made_up(rng, 50)
    y[:, 2] = 0
    values = auroc_by_finding(y, p)
    assert np.isnan(values["MI"])
    assert macro_auroc(y, p) == pytest.approx(values.drop("MI").mean())
    assert np.isnan(macro_auroc(np.zeros((50, 5)), p))
    assert np.isnan(macro_auroc(np.full((0, 5), np.nan), np.zeros((0, 5))))


def test_bootstrap_table_is_tidy_and_seeded(rng):
    y, p = made_up(rng, 120)
    table = bootstrap_auroc(y, p, np.arange(120) // 3, rounds=100, seed=1)
    assert list(table) == ["finding", "value", "low", "high", "n", "positives", "intervals"]
    assert list(table.finding) == ["macro", *FINDINGS]
    assert table.value[0] == pytest.approx(macro_auroc(y, p))
    assert (table.low < table.value).all()
    assert (table.value < table.high).all()
    assert table.equals(bootstrap_auroc(y, p, np.arange(120) // 3, rounds=100, seed=1))
    assert not table.equals(bootstrap_auroc(y, p, np.arange(120) // 3, rounds=100, seed=2))


def test_copies_of_a_patient_do_not_narrow_the_interval(rng):
    y, p = made_up(rng, 100)
    once = bootstrap_auroc(y, p, np.arange(100), rounds=400).iloc[0]
    rows = np.repeat(np.arange(100), 9)
    clustered = bootstrap_auroc(y[rows], p[rows], rows, rounds=400).iloc[0]
    naive = bootstrap_auroc(y[rows], p[rows], np.arange(900), rounds=400).iloc[0]
    assert clustered.high - clustered.low == pytest.approx(once.high - once.low, rel=1e-9)
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_the_order_of_rows_does_not_matter(rng):
    y, p = made_up(rng, 80)
    clusters, shuffled = np.arange(80) // 2, rng.permutation(80)
    table = bootstrap_auroc(y, p, clusters, rounds=50)
    again = bootstrap_auroc(y[shuffled], p[shuffled], clusters[shuffled], rounds=50)
    np.testing.assert_allclose(table.iloc[:, 1:6].astype(float), again.iloc[:, 1:6].astype(float), atol=1e-12)


TRUTH = 0.7602499389  # AUROC of two unit normals one apart: Phi(1 / sqrt(2))


def coverage(studies, naive=False):
    """Share of intervals that hold the truth; five independent findings a study, three images a patient."""
    hits = []
    for seed in range(studies):
        rng = np.random.default_rng([31, seed])
        shared = rng.standard_normal((120, 5))  # images of a patient share label and most of what is random
        y = np.repeat((rng.random((120, 5)) < 0.4).astype(float), 3, axis=0)
        noise = 0.8 * np.repeat(shared, 3, axis=0) + 0.6 * rng.standard_normal((360, 5))
        rows = np.arange(360) if naive else np.arange(360) // 3
        table = bootstrap_auroc(y, y + noise, rows, rounds=300, seed=seed)[1:]
        hits.append((table.low <= TRUTH) & (table.high >= TRUTH))
    return np.mean(hits)


def test_clustered_intervals_cover_and_naive_ones_do_not():
    assert 0.90 <= coverage(40) <= 0.99  # 200 intervals: one SD is .015
    assert coverage(40, naive=True) < 0.85


@pytest.mark.slow
def test_intervals_cover_the_truth_93_to_97_times_in_100():
    assert 0.93 <= coverage(600) <= 0.97  # 3,000 intervals: one SD is .004


def test_two_thousand_rounds_on_fifteen_thousand_images_take_no_minutes(rng):
    y, p = made_up(rng, 15000)
    for metric in ("auroc", "auprc"):
        start = time.process_time()
        bootstrap_auroc(y, p, np.arange(15000) // 2, rounds=200, metric=metric)
        assert time.process_time() - start < 5.0  # a tenth of the rounds takes about 1


def test_numbers_of_unknown_patients_are_called_ungrouped(rng):
    y, p = made_up(rng, 60)
    patients = np.array([f"p{i}" for i in range(60)], dtype=object)
    assert set(bootstrap_auroc(y, p, patients, rounds=5).intervals) == {"by patient"}
    patients[7] = "image:x"
    assert set(bootstrap_auroc(y, p, patients, rounds=5).intervals) == {"ungrouped"}
    assert set(paired_difference(y, p, p, patients, rounds=5).intervals) == {"ungrouped"}
    assert intervals_by(np.array(["record:bhf-train-7"])) == "ungrouped"


def test_groups_are_scored_each_on_its_own_images(rng):
    y, p = made_up(rng, 200)
    groups = pd.DataFrame({"layout": ["3x4", "6x2"] * 99 + ["", ""], "style": ["a"] * 200})
    table = auroc_by_group(y, p, np.arange(200), groups, rounds=20).set_index(["by", "group"])
    assert list(table.index) == [("all", "all"), ("layout", "3x4"), ("layout", "6x2"), ("style", "a")]
    assert table.images.tolist() == [200, 99, 99, 200]
    assert table.value["layout", "6x2"] == pytest.approx(macro_auroc(y[1:198:2], p[1:198:2]))
    assert (table.low < table.value).all()


def test_a_group_without_both_classes_is_listed_without_a_number(rng):
    y, p = made_up(rng, 40)
    y[:3] = 0
    table = auroc_by_group(y, p, np.arange(40), pd.DataFrame({"source": ["x"] * 3 + ["y"] * 37}), rounds=20)
    assert table.loc[1, ["group", "images", "findings"]].tolist() == ["x", 3, 0]
    assert table.loc[1, ["value", "low", "high"]].isna().all()


def test_quality_bands_are_thirds_of_what_is_readable():
    bands = quality_band(np.array([0.0, np.nan, *np.linspace(0.1, 0.9, 9)]))
    assert bands.tolist() == ["unreadable"] * 2 + ["low"] * 3 + ["middle"] * 3 + ["high"] * 3
    assert quality_band(np.zeros(2)).tolist() == ["unreadable"] * 2
    assert quality_band(np.ones(2)).tolist() == ["high"] * 2


def test_paired_difference_of_a_score_with_itself_is_zero(rng):
    y, p = made_up(rng, 100)
    table = paired_difference(y, p, 2 * p + 1, np.arange(100), rounds=50)
    assert (table[["value", "low", "high"]] == 0).all(axis=None)


def test_paired_difference_is_first_minus_second_on_rows_that_both_have(rng):
    y, p = made_up(rng, 300, signal=1.5)
    worse = p + 2 * rng.standard_normal(p.shape)
    worse[:30] = np.nan
    table = paired_difference(y, p, worse, np.arange(300), rounds=200)
    assert table.value[0] == pytest.approx(macro_auroc(y[30:], p[30:]) - macro_auroc(y[30:], worse[30:]))
    assert table.low[0] > 0
    assert (table.n == 270).all()


def test_pairing_narrows_the_interval_of_the_difference(rng):
    y, p = made_up(rng, 200)
    near = p + 0.1 * rng.standard_normal(p.shape)
    paired = paired_difference(y, p, near, np.arange(200), rounds=200).iloc[0]
    single = bootstrap_auroc(y, p, np.arange(200), rounds=200).iloc[0]
    assert paired.high - paired.low < 0.5 * (single.high - single.low)


def test_standard_error_of_a_difference_is_that_of_the_bootstrap(rng):
    y, p = made_up(rng, 400)
    y[:40, 1], y[:, 4] = np.nan, 0
    other = p + rng.standard_normal(p.shape)
    twice = np.repeat(np.arange(400), 2)
    for patients, rows in ((np.arange(400), np.arange(400)), (twice, twice)):
        known = y[rows], p[rows], other[rows], patients
        resampled = paired_difference(*known, rounds=1000).iloc[0]
        assert difference_error(*known) == pytest.approx((resampled.high - resampled.low) / 3.92, rel=0.12)
    assert difference_error(y, p, 2 * p + 1, np.arange(400)) < 1e-12
    assert np.isnan(difference_error(np.zeros_like(y), p, other, np.arange(400)))


def test_too_few_patients_are_named(rng):
    y, p = made_up(rng, 40)
    y[:, 4] = 0
    y[0, 4] = 1
    with pytest.warns(UserWarning, match=r"5 % of the resamples lack a class of AF"):
        bootstrap_auroc(y, p, np.arange(40), rounds=100)


@pytest.mark.parametrize(
    ("y", "p", "clusters", "message"),
    [
        (np.zeros((4, 5)), np.zeros((4, 4)), np.arange(4), "must both be"),
        (np.zeros((4, 5)), np.zeros((3, 5)), np.arange(4), "must both be"),
        (np.zeros(4), np.zeros(4), np.arange(4), "must both be"),
        (np.full((4, 5), 2), np.zeros((4, 5)), np.arange(4), "0, 1 or NaN"),
        (np.zeros((4, 5)), np.zeros((4, 5)), np.arange(3), "3 entries for 4 rows"),
    ],
)
def test_wrong_shapes_and_labels_are_refused(y, p, clusters, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_auroc(y, p, clusters, rounds=5)


def test_an_unknown_metric_is_refused(rng):
    with pytest.raises(ValueError, match="auprc"):
        bootstrap_auroc(*made_up(rng, 9), np.arange(9), metric="f1")


def test_several_models_give_the_mean_of_their_aurocs(rng):
    y, p = made_up(rng, 120)
    members = np.stack([p, rng.standard_normal((120, 5)), p + rng.standard_normal((120, 5))])
    how = {"clusters": np.arange(120), "rounds": 200, "seed": 3}
    several = bootstrap_auroc(y, members, **how)
    alone = [bootstrap_auroc(y, one, **how)["value"] for one in members]
    np.testing.assert_allclose(several["value"], np.mean(alone, axis=0), atol=1e-12)
    difference = paired_difference(y, members, p, **how)
    np.testing.assert_allclose(difference["value"], several["value"] - alone[0], atol=1e-12)
    assert (paired_difference(y, members[:1], p, **how)[["low", "high"]] == 0).all(axis=None)


def test_evaluating_needs_no_torch():
    code = "import sys, ecgutils.evaluate, ecgutils.challenge; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
