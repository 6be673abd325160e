"""Blending: by ID, never by position; a member's NaN is left out; the order of rows and members changes nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecgutils.evaluate import BLENDS, blend, cross_blend, fit_weights, join_truth, macro_auroc
from ecgutils.findings import FINDINGS
from ecgutils.tests.test_evaluate_calibration import made_up, shuffled

COLUMNS = list(FINDINGS)


def table(values, ids=None):
    values = np.asarray(values, float)
    frame = pd.DataFrame(np.broadcast_to(values.reshape(-1, 1) if values.ndim == 1 else values, (len(values), 5)))
    frame.columns = COLUMNS
    frame.insert(0, "ID", ids or [str(i) for i in range(len(values))])
    return frame


probabilities = st.one_of(st.floats(0, 1), st.just(float("nan")))
members = st.integers(1, 4).flatmap(
    lambda m: st.integers(1, 6).flatmap(lambda n: arrays(float, (m, n, 5), elements=probabilities))
)


def test_known_means():
    a, b = table([0.1, 0.9]), table([0.3, 0.5])
    assert blend([a, b])["AF"].tolist() == pytest.approx([0.2, 0.7])
    logit = blend([table([0.5]), table([0.9])], "logit_mean")["MI"][0]
    assert logit == pytest.approx(1 / (1 + np.exp(-np.log(9) / 2)))
    assert blend([table([0.2, 0.8, 0.5]), table([0.1, 0.2, 0.9])], "rank_mean")["CD"].tolist() == pytest.approx(
        [1 / 6, 2 / 3, 2 / 3]
    )


def test_a_missing_answer_is_left_out_and_no_answer_stays_nan():
    result = blend([table([np.nan, np.nan]), table([0.4, np.nan])])["AF"]
    assert result[0] == 0.4
    assert np.isnan(result[1])


def test_rows_are_joined_by_id_and_other_columns_come_from_the_first():
    a = table([0.0, 1.0], ids=["x", "y"]).assign(quality=[0.3, 0.6], readable=True, reasons=["", "blurred"])
    b = table([1.0, 0.5], ids=["y", "x"]).assign(quality=0.0)
    result = blend([a, b])
    assert result["AF"].tolist() == [0.25, 1.0]
    assert result[["ID", "quality", "readable", "reasons"]].equals(a[["ID", "quality", "readable", "reasons"]])


def test_inputs_are_not_changed():
    a = table([0.2, 0.4])
    before = a.copy()
    blend([a, a])
    assert a.equals(before)


@pytest.mark.parametrize(
    ("frames", "how", "message"),
    [
        ([], "mean", "no prediction table"),
        ([table([0.1])], "median", "unknown how='median'; use one of mean, logit_mean, rank_mean"),
        ([table([0.1, 0.2]), table([0.1])], "mean", r"tables 0 and 1 differ in 1 ID\(s\): 1;"),
        ([table([0.1]), table([0.1, 0.2])], "mean", r"tables 0 and 1 differ in 1 ID\(s\): 1;"),
        ([table([0.1, 0.2], ids=["a", "a"])], "mean", "ID a occurs more than once"),
        ([table([0.1]).drop(columns="HYP")], "mean", r"missing column\(s\) HYP"),
        ([table([1.1])], "mean", "STTC of ID 0 is 1.1, not a probability"),
        ([table([np.inf])], "mean", "not a probability"),
        ([table([0.1]).assign(AF="high")], "mean", "AF of ID 0 is high, not"),
    ],
)
def test_bad_input_is_refused_with_the_ids(frames, how, message):
    with pytest.raises(ValueError, match=message):
        blend(frames, how)


@settings(max_examples=60, deadline=None)
@given(values=members, how=st.sampled_from(sorted(BLENDS)), seed=st.integers(0, 99))
def test_shuffling_rows_and_members_changes_nothing(values, how, seed):
    rng = np.random.default_rng(seed)
    plain = blend([table(v) for v in values], how).set_index("ID")
    mixed = [table(v).iloc[rng.permutation(len(v))] for v in values[rng.permutation(len(values))]]
    pd.testing.assert_frame_equal(plain, blend(mixed, how).set_index("ID").loc[plain.index], check_exact=True)


@settings(max_examples=60, deadline=None)
@given(values=members, how=st.sampled_from(sorted(BLENDS)))
def test_a_blend_is_a_probability_between_its_members(values, how):
    result = blend([table(v) for v in values], how)[COLUMNS].to_numpy()
    everyone_nan = np.isnan(values).all(axis=0)
    assert np.array_equal(np.isnan(result), everyone_nan)
    assert ((result >= 0) & (result <= 1))[~everyone_nan].all()
    if how != "rank_mean":
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        assert ((result >= low - 1e-6) & (result <= high + 1e-6))[~everyone_nan].all()


@pytest.mark.parametrize("how", sorted(BLENDS))
def test_blending_a_model_with_itself_keeps_its_order(how):
    values = np.random.default_rng(0).random((20, 5))
    result = blend([table(values)] * 3, how)[COLUMNS].to_numpy()
    assert np.array_equal(result.argsort(axis=0), values.argsort(axis=0))


def members_of_known_worth(n=400, seed=0):
    """A good, a fair and a useless member, and their truth."""
    good, truth, _ = made_up(n, seed, slope=1, shift=0)
    rng = np.random.default_rng([seed, 1])
    fair = good.copy()
    fair[COLUMNS] = np.clip(good[COLUMNS] + 0.25 * rng.standard_normal((n, 5)), 0.01, 0.99)
    useless = good.copy()
    useless[COLUMNS] = rng.random((n, 5))
    return [good, fair, useless], truth


def test_weights_count_as_many_copies():
    a, b = table([0.1, 0.9]), table([0.4, 0.3])
    for how in ("mean", "logit_mean"):
        np.testing.assert_allclose(blend([a, b], how, [2, 1])[COLUMNS], blend([a, a, b], how)[COLUMNS], atol=1e-12)
    assert blend([a, b], "rank_mean", [0, 1])[COLUMNS].equals(blend([b], "rank_mean")[COLUMNS])


@pytest.mark.parametrize("weights", [[1], [1, -0.1], [0, 0], [1, np.nan]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="weights are"):
        blend([table([0.1]), table([0.2])], "mean", weights)


def test_a_blend_of_calibrated_tables_no_longer_claims_to_be_calibrated():
    a = table([0.1]).assign(calibrated_on="hearts", quality=0.5)
    assert list(blend([a, a])) == ["ID", *COLUMNS, "quality"]


def test_fitted_weights_favour_the_better_member():
    members, truth = members_of_known_worth()
    weights = fit_weights(members, truth)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[0] > 0.8
    assert weights[2] < 0.05
    assert fit_weights([members[0]] * 3, truth) == pytest.approx([1 / 3] * 3)


def test_weights_tell_knowledge_from_calibration():
    (good, _, useless), truth = members_of_known_worth()
    good[COLUMNS] = 1 / (1 + np.exp(-(np.log(good[COLUMNS] / (1 - good[COLUMNS])) + 3)))  # far too high, order kept
    assert fit_weights([good, useless], truth)[0] > 0.9


def test_members_that_know_nothing_or_the_opposite_get_no_weight_or_equal_ones():
    (good, _, _), truth = members_of_known_worth()
    wrong = good.copy()
    wrong[COLUMNS] = 1 - good[COLUMNS]
    assert fit_weights([good, wrong], truth)[1] == 0
    assert fit_weights([wrong, wrong], truth).tolist() == [0.5, 0.5]


def test_cross_fitted_weights_bring_no_more_than_the_best_member_truly_has():
    members, truth = members_of_known_worth()
    scored = [join_truth(m, truth) for m in (*members, cross_blend(members, truth))]
    best, _, worst, crossed = (macro_auroc(s.y, s.p) for s in scored)
    assert worst < crossed
    assert crossed > best - 0.005


def test_weights_of_a_patient_come_from_the_others(monkeypatch):
    members, truth = members_of_known_worth(80)
    dealt = lambda y, names, folds, seed: np.array([int(n[1:]) % 5 for n in names])  # noqa: E731
    monkeypatch.setattr("ecgutils.evaluate.predictions.grouped_folds", dealt)
    own = truth["patient_id"] == "p7"
    changed = truth.copy()
    changed.loc[own, COLUMNS] = 1 - truth.loc[own, COLUMNS]
    a, b = (cross_blend(members[1:], t).set_index("ID")[COLUMNS] for t in (truth, changed))
    same = (a == b).all(axis=1)
    assert set(a.index[same]) == {f"i{k}" for k in range(80) if k // 2 % 5 == 2}


def test_the_order_of_rows_changes_no_weight():
    members, truth = members_of_known_worth(120)
    mixed = [shuffled(m, i) for i, m in enumerate(members)], shuffled(truth, 9)
    assert fit_weights(*mixed).tolist() == fit_weights(members, truth).tolist()
    pd.testing.assert_frame_equal(cross_blend(*mixed), cross_blend(members, truth), check_exact=True)


def test_weights_need_labels_and_enough_patients():
    members, truth = members_of_known_worth(2)
    with pytest.raises(ValueError, match="two patients or more"):
        cross_blend(members, truth)
    with pytest.raises(ValueError, match="nothing to fit"):
        fit_weights(members, truth.assign(**dict.fromkeys(COLUMNS, np.nan)))


def test_cross_fitted_weights_of_one_member_twice_change_no_order():
    members, truth = members_of_known_worth(100)
    same = [members[0], members[0]]
    once, crossed = (join_truth(t, truth) for t in (blend(same), cross_blend(same, truth)))
    assert macro_auroc(crossed.y, crossed.p) == pytest.approx(macro_auroc(once.y, once.p), abs=1e-12)
