"""Calibration: known curves come back, patients stay apart, the domain travels; row order changes nothing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from ecgutils.evaluate import (
    Calibration,
    calibration_error,
    cross_calibrate,
    fit_calibration,
    join_truth,
    macro_auroc,
    reliability,
)
from ecgutils.findings import FINDINGS
from ecgutils.learn import NAMED, SIMULATED
from ecgutils.manifest import MANIFEST_COLUMNS, check_manifest

COLUMNS = list(FINDINGS)


def made_up(n, seed=0, slope=2.0, shift=1.0, patients=True):
    """Labels drawn from true probabilities, and predictions that overstate their logit: slope * z + shift."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 1.2, (n, 5))
    truth = pd.DataFrame({c: [np.nan] * n for c in MANIFEST_COLUMNS}, dtype=object)
    truth["image_id"] = [f"i{k}" for k in range(n)]
    truth["patient_id"] = [f"p{k // 2}" if patients else "" for k in range(n)]
    truth[COLUMNS] = (rng.random((n, 5)) < expit(z)).astype(float)
    predictions = pd.DataFrame(expit(slope * z + shift), columns=COLUMNS)
    predictions.insert(0, "ID", truth["image_id"])
    return predictions, check_manifest(truth), expit(z)


def shuffled(table, seed):
    return table.sample(frac=1, random_state=seed)


def test_a_known_distortion_is_undone():
    predictions, truth, real = made_up(8000)
    calibration = fit_calibration(predictions, truth, "made up")
    fresh, _, real = made_up(2000, seed=1)
    error = np.abs(calibration.apply(fresh)[COLUMNS].to_numpy() - real).mean()
    assert error < 0.02
    assert np.abs(fresh[COLUMNS].to_numpy() - real).mean() > 0.1
    assert [calibration.curves[f]["slope"] for f in FINDINGS] == pytest.approx([0.5] * 5, abs=0.06)
    assert [calibration.curves[f]["intercept"] for f in FINDINGS] == pytest.approx([-0.5] * 5, abs=0.1)


def test_the_error_of_overconfident_predictions_halves_out_of_fold():
    predictions, truth, _ = made_up(600)
    raw = join_truth(predictions, truth)
    after = join_truth(cross_calibrate(predictions, truth, "made up"), truth)
    before, now = (calibration_error(s.y, s.p).iloc[0] for s in (raw, after))
    assert now.ece < before.ece / 2
    assert now.brier < before.brier
    assert now.ece < 2 * now.ece_if_perfect


def test_calibration_never_changes_an_order_even_of_a_model_that_is_wrong():
    predictions, truth, _ = made_up(300, slope=-1.0)
    scored = join_truth(fit_calibration(predictions, truth, "made up").apply(predictions), truth)
    raw = join_truth(predictions, truth)
    assert macro_auroc(scored.y, scored.p) == pytest.approx(macro_auroc(raw.y, raw.p), abs=1e-12)
    assert macro_auroc(raw.y, raw.p) < 0.4


def test_out_of_fold_means_that_a_patient_never_shapes_his_own_curve(monkeypatch):
    predictions, truth, _ = made_up(120)
    fixed = {f"p{k}": k % 5 for k in range(60)}
    monkeypatch.setattr(
        "ecgutils.evaluate.predictions.grouped_folds",
        lambda y, names, folds, seed: np.array([fixed[n] for n in names]),
    )
    own = truth["patient_id"] == "p7"
    changed = truth.copy()
    changed.loc[own, COLUMNS] = 1 - truth.loc[own, COLUMNS]
    a, b = (cross_calibrate(predictions, t, "made up").set_index("ID") for t in (truth, changed))
    same = (a[COLUMNS] == b[COLUMNS]).all(axis=1)
    assert set(a.index[same]) == {f"i{k}" for k in range(120) if k // 2 % 5 == 2}  # his fold, and no other


def test_folds_keep_patients_together_and_need_two_of_them():
    predictions, truth, _ = made_up(6)
    scored = join_truth(predictions, truth)
    masks = scored.folds(seed=0)
    assert np.sum(masks, axis=0).tolist() == [1] * 6
    assert sorted(tuple(scored.clusters[mask]) for mask in masks) == [(f"p{k}", f"p{k}") for k in range(3)]
    with pytest.raises(ValueError, match="two patients or more"):
        cross_calibrate(predictions[:2], truth[:2], "made up")


def test_few_or_no_positives_still_give_a_sober_probability():
    predictions, truth, _ = made_up(20)
    truth["AF"] = 0.0
    calibration = fit_calibration(predictions, truth, "made up")
    assert calibration.positives["AF"] == 0
    assert calibration.apply(predictions)["AF"].between(0.01, 0.1).all()


def test_a_handful_of_images_cannot_make_a_steep_curve():
    predictions, truth, _ = made_up(6, slope=1, shift=0)
    for finding in FINDINGS:  # separable: the highest is the one positive
        truth[finding] = (predictions[finding] == predictions[finding].max()).astype(float)
    curves = fit_calibration(predictions, truth, "made up").curves
    assert all(0.5 < curve["slope"] < 3 for curve in curves.values())


def test_the_domain_and_what_it_rests_on_travel_with_the_probabilities(tmp_path):
    predictions, truth, _ = made_up(80, patients=False)
    calibration = fit_calibration(predictions, truth, "photos of simulated hearts", models=["aef7", "f94a"])
    calibration.save(tmp_path / "calibration.json")
    again = Calibration.load(tmp_path / "calibration.json")
    assert again == calibration
    assert again.models == ("aef7", "f94a")
    table = again.apply(predictions)
    assert set(table["calibrated_on"]) == {"photos of simulated hearts (80 images, ungrouped)"}
    with pytest.raises(ValueError, match="calibrated already"):
        again.apply(table)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"findings": ["AF"]}', '{"models": [], "findings": 3}'])
def test_a_file_that_is_no_calibration_is_refused_by_name(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(ValueError, match=r"c\.json"):
        Calibration.load(tmp_path / "c.json")


def test_unreadable_rows_stay_nan_and_take_no_part():
    predictions, truth, _ = made_up(200)
    predictions.loc[:9, COLUMNS] = np.nan
    calibration = fit_calibration(predictions, truth, "made up")
    assert calibration.images == 190
    rest = fit_calibration(predictions[10:], truth[10:], "made up")
    assert calibration.curves == rest.curves
    assert calibration.apply(predictions).loc[:9, COLUMNS].isna().all(axis=None)


def test_the_order_of_rows_changes_nothing():
    predictions, truth, _ = made_up(150)
    mixed = (shuffled(predictions, 1), shuffled(truth, 2), "made up")
    assert fit_calibration(*mixed) == fit_calibration(predictions, truth, "made up")
    pd.testing.assert_frame_equal(cross_calibrate(*mixed), cross_calibrate(predictions, truth, "made up"))


@pytest.mark.parametrize("members", [SIMULATED, *((name,) for name in NAMED)])
def test_what_ships_names_the_weights_it_was_fitted_for(members):
    weights = Path(__file__).parents[1] / "weights"
    folder = weights / members[0] if len(members) == 1 else (weights / members[0]).parent
    cards = [json.loads((weights / name / "params.json").read_text()) for name in members]
    assert Calibration.load(folder / "calibration.json").models == tuple(card["sha256"] for card in cards)


def test_images_of_one_table_only_are_named():
    predictions, truth, _ = made_up(20)
    with pytest.raises(ValueError, match=r"differ in 1 image\(s\): i3"):
        fit_calibration(predictions.drop(index=3), truth, "made up")


def test_a_finding_without_any_label_is_left_raw_and_named():
    predictions, truth, _ = made_up(20)
    calibration = fit_calibration(predictions, truth.assign(HYP=np.nan), "made up")
    np.testing.assert_allclose(calibration.apply(predictions)["HYP"], predictions["HYP"], atol=1e-6)
    assert "HYP left raw" in calibration.describe()
    with pytest.raises(ValueError, match="No finding has 0 answered"):
        fit_calibration(predictions, truth.assign(**dict.fromkeys(FINDINGS, np.nan)), "made up")


def test_brier_agrees_with_scikit_learn_and_ece_is_counted_by_hand():
    predictions, truth, _ = made_up(300)
    scored = join_truth(predictions, truth)
    table = calibration_error(scored.y, scored.p).set_index("finding")
    for k, finding in enumerate(FINDINGS):
        assert table.brier[finding] == pytest.approx(brier_score_loss(scored.y[:, k], scored.p[:, k]), abs=1e-12)
    p = np.repeat([[0.2], [0.6]], [5, 5], axis=0) * np.ones(5)
    y = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 1, 1.0]] * 5).T
    assert calibration_error(y, p, bins=2).ece.tolist() == pytest.approx([0.2] * 6)  # .5 * 0 + .5 * .4
    rows = reliability(y, p, bins=2)
    assert rows[["said", "observed", "n"]][:2].to_numpy().tolist() == [[pytest.approx(0.2), pytest.approx(0.2), 5],
                                                                       [pytest.approx(0.6), 1, 5]]  # fmt: skip


def test_perfect_probabilities_have_about_the_error_that_chance_gives():
    _, truth, real = made_up(1000)
    table = calibration_error(truth[COLUMNS].to_numpy(), real)
    assert table.ece[0] == pytest.approx(table.ece_if_perfect[0], rel=0.3)
    assert logit(real).std() > 1


def test_a_finding_without_labels_has_no_error():
    y, p = np.full((9, 5), np.nan), np.full((9, 5), 0.5)
    y[:, 1:] = 1
    table = calibration_error(y, p)
    assert np.isnan(table.ece[1])
    assert table.ece[0] == pytest.approx(0.5)
