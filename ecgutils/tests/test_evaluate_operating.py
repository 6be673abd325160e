"""Operating points and refusal: counted by hand, covered by their intervals, useless quality shown as such."""

import numpy as np
import pytest
from scipy.stats import norm

from ecgutils.evaluate import abstention_curve, choose_thresholds, macro_auroc, rates_at
from ecgutils.findings import FINDINGS


def made_up(n, seed=0, images=1):
    rng = np.random.default_rng(seed)
    y = np.repeat((rng.random((n, 5)) < 0.4).astype(float), images, axis=0)
    return y, y + rng.standard_normal((n * images, 5)), np.repeat(np.arange(n), images)


def test_a_threshold_counted_by_hand():
    y = np.array([[1, 1, 1, 1, 0, 0]] * 5, float).T
    p = np.array([[0.9, 0.8, 0.6, 0.3, 0.7, 0.1]] * 5).T
    table = choose_thresholds(y, p, np.arange(6), sensitivity=0.75, rounds=50)
    assert table.threshold.tolist() == [0.6] * 5
    assert table.sensitivity.tolist() == [0.75] * 5
    assert choose_thresholds(y, p, np.arange(6), sensitivity=1.0, rounds=5).threshold[0] == 0.3
    rates = rates_at(dict.fromkeys(FINDINGS, 0.6), y, p, np.arange(6), rounds=50)
    assert rates.value[:2].tolist() == [0.75, 0.5]
    assert rates.n[:2].tolist() == [4, 2]
    assert rates.finding.tolist() == [f for f in FINDINGS for _ in "ab"]


def test_the_reached_sensitivity_is_never_below_the_wanted_one():
    y, p, clusters = made_up(70)
    for wanted in (0.5, 0.8, 0.95, 1.0):
        table = choose_thresholds(y, p, clusters, wanted, rounds=20)
        assert (table.sensitivity >= wanted).all()
        assert ((table.low <= table.threshold) & (table.threshold <= table.high)).all()


def test_intervals_hold_the_true_threshold_and_rates():
    limit = 1 + norm.ppf(0.1)  # of positives ~ N(1, 1), 90 % lie above
    hits = []
    for seed in range(40):
        y, p, clusters = made_up(150, seed, images=2)
        chosen = choose_thresholds(y, p, clusters, 0.9, rounds=200)
        rates = rates_at(dict.fromkeys(FINDINGS, limit), y, p, clusters, rounds=200)
        truth = np.where(rates.rate == "sensitivity", 0.9, norm.cdf(limit))
        hits.append([((chosen.low <= limit) & (limit <= chosen.high)).mean(),
                     ((rates.low <= truth) & (truth <= rates.high)).mean()])  # fmt: skip
    assert (np.abs(np.mean(hits, axis=0) - 0.94) < 0.05).all(), np.mean(hits, axis=0)


def test_without_positives_there_is_no_threshold_and_no_rate():
    y, p, clusters = made_up(30)
    y[:, 4] = 0
    table = choose_thresholds(y, p, clusters, rounds=10)
    assert np.isnan(table.threshold[4])
    nowhere = rates_at(table.set_index("finding").threshold, 1 - y, p, clusters, rounds=10)
    assert nowhere[nowhere.finding == "AF"].value.isna().all()
    rates = rates_at(dict.fromkeys(FINDINGS, 0.5), y, p, clusters, rounds=10).set_index(["finding", "rate"])
    assert np.isnan(rates.value["AF", "sensitivity"])
    assert rates.value["AF", "specificity"] == pytest.approx(np.mean(p[:, 4] < 0.5))


def test_a_missing_answer_counts_nowhere():
    y, p, clusters = made_up(50)
    p[:10] = np.nan
    rates = rates_at(dict.fromkeys(FINDINGS, 0.5), y, p, clusters, rounds=10)
    assert rates.n[:2].sum() == 40
    known = choose_thresholds(y[10:], p[10:], clusters[10:], rounds=10)
    assert choose_thresholds(y, p, clusters, rounds=10).threshold.tolist() == known.threshold.tolist()


def test_an_impossible_sensitivity_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        choose_thresholds(*made_up(10), sensitivity=0)


def test_refusing_by_a_good_quality_helps_and_by_chance_does_not():
    y, p, clusters = made_up(900)
    rng = np.random.default_rng(5)
    poor = np.arange(900) % 10 < 3
    p[poor] = rng.standard_normal((270, 5))
    good = abstention_curve(y, p, np.where(poor, 0.2, 0.8) + 0.1 * rng.random(900), clusters, rounds=50)
    chance = abstention_curve(y, p, rng.random(900), clusters, rounds=50)
    assert good.value[3] > good.high[0]
    assert chance.low[0] < chance.value[3] < chance.high[0]
    assert good.value[3] == pytest.approx(macro_auroc(y[~poor], p[~poor]))
    assert good.coverage.tolist() == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5], abs=2e-3)


def test_photos_of_equal_quality_are_kept_or_refused_together():
    y, p, clusters = made_up(100)
    quality = np.repeat([np.nan, 0.5, 0.9], [10, 60, 30])
    table = abstention_curve(y, p, quality, clusters, rounds=10)
    assert table.coverage.tolist() == [1.0] + [0.9] * 5
    assert table.lowest_quality.tolist() == [0.0] + [0.5] * 5
