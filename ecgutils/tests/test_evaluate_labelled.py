"""Photos and labels of one's own: known scores, honest thresholds, the worst errors."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgutils.__main__ import main
from ecgutils.evaluate import (
    Calibration,
    bootstrap_auroc,
    fit_calibration,
    join_truth,
    match_truth,
    read_predictions,
    read_thresholds,
    reliability,
    score_table,
    worst_errors,
)
from ecgutils.findings import FINDINGS
from ecgutils.learn.checkpoint import SHIPPED, read_params
from ecgutils.manifest import clusters, make_manifest
from ecgutils.plots.scores import _pictures, plot_scores, write_errors
from ecgutils.targets import read_truth

COLUMNS = list(FINDINGS)
PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"


def made_up(n, seed=0, images=1):
    """Predictions, which say something, and truth of `n` photos; every `images` of them are of one patient."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 5)) < 0.4).astype(float)
    y[:2] = [[0] * 5, [1] * 5]
    ids, patients = [f"i{k:03d}" for k in range(n)], [f"p{k // images}" for k in range(n)]
    predictions = pd.DataFrame(expit(2 * y - 1 + rng.standard_normal((n, 5))), columns=COLUMNS)
    predictions.insert(0, "ID", ids)
    truth = make_manifest(ids, "made up", patient_id=patients, **dict(zip(FINDINGS, y.T, strict=True)))
    return predictions.assign(quality=0.5, readable=True, reasons=""), truth


def written(tmp_path, predictions, truth):
    """Both as CSV, the truth as a person would keep it; returns their paths as text."""
    own = truth.rename(columns={"image_id": "File Name", "patient_id": "Patient"})
    predictions.to_csv(tmp_path / "p.csv", index=False)
    own[["File Name", "Patient", *COLUMNS]].to_csv(tmp_path / "t.csv", index=False)
    return [str(tmp_path / name) for name in ("p.csv", "t.csv")]


@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(12, 60), unknown=st.integers(0, 5), digits=st.sampled_from([1, 16])
)
@settings(max_examples=16, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scores_are_those_of_scikit_learn(seed, n, unknown, digits):
    predictions, truth = made_up(n, seed)
    predictions[COLUMNS] = predictions[COLUMNS].round(digits)  # to one: many are equal
    truth.loc[2 : 1 + unknown, "STTC"] = np.nan
    table = score_table(predictions, truth, rounds=5).set_index("finding")
    for name, reference in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        known = [truth[finding].notna() for finding in FINDINGS]
        expected = [reference(truth.loc[k, f], predictions.loc[k, f]) for f, k in zip(FINDINGS, known, strict=True)]
        np.testing.assert_allclose(table.loc[COLUMNS, name], expected, rtol=0, atol=1e-12)
        assert table.loc["macro", name] == pytest.approx(np.mean(expected), abs=1e-12)
    assert table.loc["STTC", "n"] == n - unknown


def test_a_refused_photo_counts_with_the_prevalence_and_is_said():
    predictions, truth = made_up(60, images=2)
    predictions.loc[:5, COLUMNS] = np.nan
    table = score_table(predictions, truth, rounds=50)
    filled = predictions[COLUMNS].fillna(truth[COLUMNS].mean())
    expected = bootstrap_auroc(truth[COLUMNS].to_numpy(), filled.to_numpy(), clusters(truth), rounds=50)
    shared = ["n", "positives", "intervals"]
    assert table[["auroc", "auroc_low", "auroc_high"]].to_numpy() == pytest.approx(
        expected[["value", "low", "high"]].to_numpy(), abs=1e-12
    )
    pd.testing.assert_frame_equal(table[shared], expected[shared])
    assert table["refused"].tolist() == [0.1] * 6


def test_one_class_is_nan_and_few_positives_are_a_warning():
    predictions, truth = made_up(30)
    truth["HYP"], truth["AF"], truth["MI"], truth["CD"] = np.nan, 0.0, 1.0, [1.0, 1.0, *[0.0] * 28]
    with pytest.warns(UserWarning, match=r"\.") as told:
        table = score_table(predictions, truth, rounds=20).set_index("finding")
    said = " ".join(str(warning.message) for warning in told)
    for words in ("HYP has no label", "AF is absent in all 30", "MI is present in all 30", "CD has 2 positive and 28"):
        assert words in said
    assert "STTC" not in said
    assert table.loc[["HYP", "AF", "MI"], ["auroc", "auprc"]].isna().all(axis=None)
    assert table.loc["macro", "auroc"] == pytest.approx(table.loc[["STTC", "CD"], "auroc"].mean())
    assert table.loc[["HYP", "AF"], ["threshold", "sensitivity"]].isna().all(axis=None)  # nothing to choose by
    assert table.loc["MI", "sensitivity"] > 0.5


def test_rates_at_given_thresholds_are_counted():
    predictions, truth = made_up(80)
    predictions.loc[0, COLUMNS] = 0.3  # at the threshold is flagged
    limits = dict.fromkeys(FINDINGS, 0.3) | {"AF": np.nan}
    table = score_table(predictions, truth, limits, rounds=10).set_index("finding")
    flagged, y = predictions["MI"] >= 0.3, truth["MI"] == 1
    assert table.loc["MI", ["sensitivity", "specificity"]].tolist() == [flagged[y].mean(), (~flagged[~y]).mean()]
    assert table.loc["AF", ["threshold", "sensitivity"]].isna().all()


def test_a_threshold_chosen_here_is_measured_on_other_patients():
    predictions, truth = made_up(40, images=2)
    rng = np.random.default_rng(1)
    predictions[COLUMNS] = rng.random((40, 5))  # knows nothing
    chosen = score_table(predictions, truth, rounds=20).set_index("finding").loc[COLUMNS]
    same = score_table(predictions, truth, chosen["threshold"], rounds=20).set_index("finding").loc[COLUMNS]
    assert (same["sensitivity"] >= 0.9).all()
    assert chosen["sensitivity"].mean() < same["sensitivity"].mean()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_photo_is_scored_as_far_as_it_goes():
    predictions, truth = made_up(2)
    one = score_table(predictions[1:], truth[1:], rounds=5)
    assert one["auroc"].isna().all()
    assert one["sensitivity"].isna().all()
    assert one["n"].eq(1).all()


def test_without_patients_the_scores_are_ungrouped():
    predictions, truth = made_up(30)
    assert set(score_table(predictions, truth, rounds=5)["intervals"]) == {"by patient"}
    assert set(score_table(predictions, truth.assign(patient_id=""), rounds=5)["intervals"]) == {"ungrouped"}


def test_thresholds_come_from_words_or_a_file(tmp_path):
    assert read_thresholds("STTC=.3, af=1")[["STTC", "AF"]].tolist() == [0.3, 1.0]
    assert read_thresholds("STTC=.3").isna().sum() == 4
    for content in ({"MI": 0.2, "CD": None}, {"thresholds": {"MI": 0.2}, "scores": []}):
        (tmp_path / "a=b.json").write_text(json.dumps(content))
        limits = read_thresholds(str(tmp_path / "a=b.json"))
        assert list(limits.index) == COLUMNS
        assert limits["MI"] == 0.2
        assert limits.isna().sum() == 4


@pytest.mark.parametrize("given", ["XY=.3", "AF=1.5", "AF=", "AF=.1=.2", "AF=-1", "{bad}", "[list]"])
def test_thresholds_that_are_none_are_one_sentence(tmp_path, given):
    if given[0] in "{[":
        (tmp_path / "t.json").write_text(given.replace("list", "1"))
        given = str(tmp_path / "t.json")
    with pytest.raises(ValueError, match="Threshold") as raised:
        read_thresholds(given)
    assert len(str(raised.value).splitlines()) == 1


def errors_of_three():
    predictions, truth = made_up(6)
    truth[COLUMNS], predictions[COLUMNS] = 0.0, 0.1
    truth.loc[:2, "AF"], predictions.loc[:2, "AF"] = 1.0, [0.01, 0.9, 0.2]
    predictions.loc[3:, "MI"] = [0.6, np.nan, 0.8]
    return predictions, truth


def test_the_worst_errors_come_first_and_the_rest_is_left_out():
    predictions, truth = errors_of_three()
    limits = dict.fromkeys(FINDINGS, 0.5)
    found = worst_errors(predictions, truth, limits)
    assert found[["finding", "error", "ID", "probability", "label"]].to_numpy().tolist() == [
        ["MI", "false alarm", "i005", 0.8, 0], ["MI", "false alarm", "i003", 0.6, 0],
        ["AF", "miss", "i000", 0.01, 1], ["AF", "miss", "i002", 0.2, 1],
    ]  # fmt: skip
    assert worst_errors(predictions, truth, limits, most=1)["ID"].tolist() == ["i005", "i000"]
    assert worst_errors(predictions, truth, dict.fromkeys(FINDINGS, np.nan)).empty


def test_the_page_of_errors_is_escaped_and_shows_what_there_is(tmp_path):
    predictions, truth = errors_of_three()
    (tmp_path / "bad.jpg").write_text("no image")
    shutil.copy(PHOTO, tmp_path / "good.jpg")
    found = worst_errors(predictions, truth, dict.fromkeys(FINDINGS, 0.5))
    found["path"] = [str(tmp_path / name) for name in ("good.jpg", "bad.jpg", "<gone>.jpg", "good.jpg")]
    found["reasons"] = ["<i>;glare", "", "", ""]
    write_errors(found, tmp_path / "errors.html", "wards <3>")
    page = (tmp_path / "errors.html").read_text()
    assert page.count("data:image/") == 4  # photo and flat page of each showing
    assert "cannot_decode" in page
    assert "no photo at hand" in page
    assert not re.search(r"<gone>|<i>|<3>|https?://|src=\"(?!data:)", page)
    assert page.index("i005") < page.index("i003") < page.index("i000")
    write_errors(found[:0], tmp_path / "none.html", "")
    assert "No answer is wrong" in (tmp_path / "none.html").read_text()


def test_the_errors_of_fifteen_thousand_photos_are_one_small_page(tmp_path, monkeypatch):
    predictions, truth = made_up(15_000)
    predictions["quality"] = 0.5
    truth["path"] = str(PHOTO) + "#page=" + (truth.index + 1).astype(str)  # each another name for a photo that is there
    small, large = _pictures(str(PHOTO))[0]
    each = lambda path: ((small + path.encode(), large + path.encode()), "")  # noqa: E731
    monkeypatch.setattr("ecgutils.plots.scores._pictures", each)
    found = worst_errors(predictions, truth, dict.fromkeys(FINDINGS, 0.5))
    assert found.groupby(["finding", "error"]).size().tolist() == [20] * 10
    write_errors(found, tmp_path / "errors.html", "15,000 photos")
    page = (tmp_path / "errors.html").read_bytes()
    assert page.count(b"data:image/") == 2 * len(found)  # all in the file
    assert [path.name for path in tmp_path.iterdir()] == ["errors.html"]
    assert len(page) < 25e6


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_figure_draws_what_there_is():
    predictions, truth = made_up(40)
    truth["AF"] = np.nan
    scored = join_truth(predictions, truth)
    figure = plot_scores(score_table(predictions, truth, rounds=5), reliability(scored.y, scored.p))
    figure.draw_without_rendering()
    assert len(figure.axes) == 3
    assert [text.get_text() for text in figure.axes[2].get_legend().get_texts()] == COLUMNS[:4]


def test_evaluate_writes_all_that_it_says(tmp_path, capsys):
    predictions, truth = made_up(60, images=2)
    predictions.loc[3, COLUMNS] = np.nan
    files = written(tmp_path, predictions.assign(calibrated_on="toys"), truth)
    out = {name: str(tmp_path / f"out.{name}") for name in ("json", "png", "html")}
    assert main(["evaluate", *files, "--json", out["json"], "--figure", out["png"], "--report", out["html"]]) == 0
    said = capsys.readouterr().out
    assert "60 photos, 1 of them refused; probabilities calibrated on toys; 95 % intervals by patient" in said
    content = json.loads(Path(out["json"]).read_text())
    table = score_table(*match_truth(read_predictions(files[0]), read_truth(files[1])))
    assert [row["auroc"] for row in content["scores"]] == table["auroc"].tolist()
    assert content["refused"] == 1
    assert Path(out["png"]).read_bytes().startswith(b"\x89PNG")
    assert "miss" in Path(out["html"]).read_text()
    assert main(["evaluate", *files, "--thresholds", out["json"]]) == 0
    assert "Thresholds are given" in capsys.readouterr().out


def test_calibrate_fits_what_has_enough_and_leaves_the_rest_raw(tmp_path, capsys):
    predictions, truth = made_up(60, images=2)
    truth["AF"], truth["CD"] = np.nan, [*[1.0] * 4, *[0.0] * 56]
    files, out = written(tmp_path, predictions, truth), tmp_path / "c.json"
    assert main(["calibrate", *files, "--domain", "photos of ward 3", "--out", str(out)]) == 0
    assert "photos of ward 3 (60 images, by patient; CD, AF left raw)" in capsys.readouterr().out
    calibration = Calibration.load(out)
    assert calibration.models == tuple(read_params(name)[1]["sha256"] for name in SHIPPED)
    assert calibration.positives["CD"] == 4
    after = calibration.apply(predictions)
    np.testing.assert_allclose(after[["CD", "AF"]], predictions[["CD", "AF"]], atol=1e-12)
    alone = fit_calibration(predictions, truth.assign(CD=truth["STTC"], AF=truth["STTC"]), "other")
    np.testing.assert_allclose(after["MI"], alone.apply(predictions)["MI"], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "domain", "words"),
    [
        ({"calibrated_on": "toys"}, "ward 3", "predict --raw"),
        ({}, " ", "--domain is empty"),
        (dict.fromkeys(FINDINGS, np.nan), "ward 3", "No finding has 5 answered positives and negatives"),
        ({"AF": 1.5}, "ward 3", "not a probability"),
    ],
)
def test_calibrate_refuses_what_it_cannot_use(tmp_path, capsys, change, domain, words):
    predictions, truth = made_up(20)
    files = written(tmp_path, predictions.assign(**change), truth)
    assert main(["calibrate", *files, "--domain", domain, "--out", str(tmp_path / "c.json")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "c.json").exists()
