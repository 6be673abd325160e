"""Blending: by ID, never by position; a member's NaN is left out; the order of rows and members changes nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecgutils.challenge import BLENDS, blend
from ecgutils.findings import FINDINGS

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
        ([table([0.1, 0.2]), table([0.1])], "mean", r"table 1 lacks 1 ID\(s\) that table 0 has: 1;"),
        ([table([0.1]), table([0.1, 0.2])], "mean", r"table 0 lacks 1 ID\(s\) that table 1 has: 1;"),
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
