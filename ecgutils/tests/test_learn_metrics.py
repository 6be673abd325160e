import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ecgutils.findings import FINDINGS
from ecgutils.learn import auroc_by_finding, bootstrap_auroc, macro_auroc, paired_difference
from ecgutils.learn.metrics import _Ranked


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
    expected = [roc_auc_score(y[:, k], p[:, k]) for k in range(5)]
    np.testing.assert_allclose(auroc_by_finding(y, p), expected, rtol=0, atol=1e-12)
    assert macro_auroc(y, p) == pytest.approx(np.mean(expected), abs=1e-12)


def test_weighted_auroc_is_that_of_repeated_rows(rng):
    y, p = rng.integers(0, 2, 60), rng.integers(0, 9, 60).astype(float)
    ranked = _Ranked(y, p, np.ones(60, bool))
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    for drawn, value in zip(weights, ranked.auroc(weights[:, ranked.order]), strict=True):
        rows = np.repeat(np.arange(60), drawn.astype(int))
        assert value == pytest.approx(roc_auc_score(y[rows], p[rows]), abs=1e-12)


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
    assert list(table) == ["finding", "value", "low", "high", "n", "positives"]
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
    np.testing.assert_allclose(table.iloc[:, 1:].astype(float), again.iloc[:, 1:].astype(float), atol=1e-12)


@pytest.mark.slow
def test_intervals_cover_the_truth_about_95_times_in_100():
    truth = 0.7602  # AUROC of two unit normals one apart: Phi(1 / sqrt(2))
    hits = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        patient = rng.standard_normal((150, 5))  # two images of a patient share most of what is random
        y = np.repeat((rng.random((150, 5)) < 0.4).astype(float), 2, axis=0)
        noise = 0.8 * np.repeat(patient, 2, axis=0) + 0.6 * rng.standard_normal((300, 5))
        row = bootstrap_auroc(y, y + noise, np.arange(300) // 2, rounds=400, seed=seed).iloc[1]
        hits += row.low <= truth <= row.high
    assert 0.91 <= hits / 300 <= 0.98


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
