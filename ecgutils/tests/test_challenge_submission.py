"""Writing a submission: sample order and IDs, prevalence for the unreadable, the note beside it, the round trip."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecgutils.challenge import submission, submission_name, submissions_dir, validate_submission, write_submission
from ecgutils.evaluate import blend, fill_unreadable, fit_calibration, fit_weights
from ecgutils.findings import FINDINGS
from ecgutils.manifest import read_manifest, write_manifest
from ecgutils.tests.test_evaluate_blend import members_of_known_worth

HEADER = "ID,STTC,HYP,MI,CD,AF"
PREVALENCE = {"STTC": 0.242, "HYP": 0.123, "MI": 0.254, "CD": 0.209, "AF": 0.069}


def sample_of(folder, ids):
    """A sample submission on disk."""
    path = folder / "sample_submission.csv"
    pd.DataFrame({"ID": ids} | dict.fromkeys(FINDINGS, 0.5)).to_csv(path, index=False)
    return path


def predictions(n, seed=0, unreadable=()):
    values = np.random.default_rng(seed).random((n, 5))
    values[list(unreadable)] = np.nan
    table = pd.DataFrame(values, columns=list(FINDINGS))
    table.insert(0, "ID", [str(i + 1) for i in range(n)])
    return table


def test_an_unreadable_row_gets_the_training_prevalence_and_is_named(tmp_path):
    filled = write_submission(predictions(4, unreadable=[2]), tmp_path / "s.csv", PREVALENCE)
    written = pd.read_csv(tmp_path / "s.csv", dtype={"ID": str})
    assert filled == ["3"]
    assert written.columns.tolist() == ["ID", *FINDINGS]
    assert written.loc[2, list(FINDINGS)].to_dict() == PREVALENCE
    assert validate_submission(tmp_path / "s.csv", ["1", "2", "3", "4"]) == []


def test_one_missing_value_fills_that_value_only(tmp_path):
    table = predictions(2)
    table.loc[1, "AF"] = np.nan
    assert write_submission(table, tmp_path / "s.csv", PREVALENCE) == ["2"]
    written = pd.read_csv(tmp_path / "s.csv")
    assert written.loc[1, "AF"] == PREVALENCE["AF"]
    assert written.loc[1, "MI"] == pytest.approx(table.loc[1, "MI"], abs=1e-8)
    assert json.loads((tmp_path / "s.json").read_text())["filled_with_training_prevalence"] == {"2": ["AF"]}


def test_the_note_says_what_made_the_file(tmp_path):
    write_submission(predictions(3), tmp_path / "s.csv", PREVALENCE, provenance={"profile": "demo", "models": ["a"]})
    note = json.loads((tmp_path / "s.json").read_text())
    assert note["provenance"] == {"profile": "demo", "models": ["a"]}
    assert note["sha256"] == hashlib.sha256((tmp_path / "s.csv").read_bytes()).hexdigest()
    assert note["rows"] == 3
    assert note["training_prevalence"] == PREVALENCE


def test_the_note_says_what_the_probabilities_were_calibrated_on(tmp_path):
    write_submission(predictions(3), tmp_path / "raw.csv", PREVALENCE)
    write_submission(predictions(3).assign(calibrated_on="simulated hearts"), tmp_path / "cal.csv", PREVALENCE)
    raw, calibrated = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("raw", "cal"))
    assert (raw["calibrated_on"], calibrated["calibrated_on"]) == (None, ["simulated hearts"])
    assert raw["versions"]["ecgutils"]


@pytest.mark.parametrize("spell", [int, float, "{:06d}".format, "test_{:06d}.png".format, "{}.png".format])
def test_predicted_ids_are_recognised_in_every_spelling(tmp_path, spell):
    table = predictions(12)
    table["ID"] = [spell(int(i)) for i in table["ID"]]
    ids = [f"{i:05d}" for i in range(1, 13)]
    write_submission(table, tmp_path / "s.csv", PREVALENCE, sample=sample_of(tmp_path, ids))
    back = pd.read_csv(tmp_path / "s.csv", dtype={"ID": str})
    assert back["ID"].tolist() == ids
    np.testing.assert_allclose(back[list(FINDINGS)], predictions(12)[list(FINDINGS)], rtol=1e-8)


def road(folder, seed):
    """Members, truth and sample through CSVs, each with its rows in another order for each seed, to a submission."""

    def through_csv(frame, name):
        mixed = frame.sample(frac=1, random_state=seed) if seed else frame
        mixed.to_csv(folder / f"{name}.csv", index=False)
        return folder / f"{name}.csv"

    folder.mkdir()
    members, truth = members_of_known_worth(200)
    members = [through_csv(member, f"member{i}") for i, member in enumerate(members)]
    members = [pd.read_csv(path, dtype={"ID": str}) for path in members]
    write_manifest(truth, folder / "truth0.csv")
    truth = read_manifest(through_csv(pd.read_csv(folder / "truth0.csv"), "truth"))
    blended = blend(members, weights=fit_weights(members, truth))
    blended = pd.read_csv(through_csv(blended, "blended"), dtype={"ID": str})
    table = fit_calibration(blended, truth, "made up").apply(blended)
    table = pd.read_csv(through_csv(table, "calibrated"), dtype={"ID": str})
    out = folder / submission_name("demo", ["a", "b"], table)
    write_submission(table, out, PREVALENCE)
    return out


def test_shuffled_rows_of_every_file_on_the_way_change_nothing(tmp_path):
    plain, mixed = road(tmp_path / "plain", 0), road(tmp_path / "mixed", 5)
    assert (tmp_path / "plain/blended.csv").read_bytes() != (tmp_path / "mixed/blended.csv").read_bytes()
    assert plain.name == mixed.name
    assert plain.read_bytes() == mixed.read_bytes()
    assert plain.with_suffix(".json").read_bytes() == mixed.with_suffix(".json").read_bytes()


def test_a_dry_run_of_the_real_size(tmp_path):
    ids = [f"test_{i:06d}.png" for i in range(12000, 15200)]
    sample = pd.DataFrame({"ID": ids} | dict.fromkeys(FINDINGS, 0.5)).sample(frac=1, random_state=1)
    sample.to_csv(tmp_path / "sample_submission.csv", index=False)
    table = predictions(3200, unreadable=[8, 1500]).assign(ID=[str(i) for i in range(12000, 15200)])
    out = tmp_path / submission_name("full", ["a", "b", "c", "d"], table)
    filled = write_submission(table, out, PREVALENCE, sample=tmp_path / "sample_submission.csv")
    assert sorted(filled) == ["test_012008.png", "test_013500.png"]
    assert validate_submission(out, sample["ID"]) == []
    assert len(pd.read_csv(out)) == 3200


def test_the_sample_gives_columns_ids_and_order(tmp_path):
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("ID,AF,CD,MI,HYP,STTC\ntest_000003.png,0,0,0,0,0\ntest_000001.png,0,0,0,0,0\n")
    with pytest.warns(UserWarning, match=r"1 predicted ID\(s\) not asked for: 2"):
        write_submission(predictions(3), tmp_path / "s.csv", PREVALENCE, sample=sample)
    written = pd.read_csv(tmp_path / "s.csv")
    assert written.columns.tolist() == ["ID", "AF", "CD", "MI", "HYP", "STTC"]
    assert written["ID"].tolist() == ["test_000003.png", "test_000001.png"]
    assert written["MI"].tolist() == pytest.approx(predictions(3)["MI"][[2, 0]].tolist(), abs=1e-8)
    assert json.loads((tmp_path / "s.json").read_text())["left_out"] == ["2"]
    assert validate_submission(tmp_path / "s.csv", ["test_000003.png", "test_000001.png"]) == []


def test_ids_are_kept_as_the_sample_writes_them(tmp_path):
    sample = sample_of(tmp_path, ["003", "001", "2"])
    write_submission(predictions(3), tmp_path / "s.csv", PREVALENCE, sample)
    assert [line.split(",")[0] for line in (tmp_path / "s.csv").read_text().splitlines()] == ["ID", "003", "001", "2"]


def test_a_further_finding_does_not_change_the_challenge_s_file(tmp_path):
    code = """
import sys, pandas as pd
from ecgutils import findings
findings.FINDINGS = (*findings.FINDINGS, "QT")
from ecgutils.challenge import COLUMNS, validate_submission, write_submission
table = pd.DataFrame({"ID": ["1"]} | dict.fromkeys(findings.FINDINGS, .25))
write_submission(table, sys.argv[1], dict.fromkeys(COLUMNS[1:], .5))
assert validate_submission(sys.argv[1], ["1"]) == []
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "s.csv")], check=True)
    assert (tmp_path / "s.csv").read_text() == "ID,STTC,HYP,MI,CD,AF\n1,0.25,0.25,0.25,0.25,0.25\n"


def test_shuffled_predictions_give_the_same_bytes(tmp_path):
    table = predictions(15, unreadable=[4])
    for name, frame in (("a", table), ("b", table.sample(frac=1, random_state=3))):
        write_submission(frame, tmp_path / f"{name}.csv", PREVALENCE)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert pd.read_csv(tmp_path / "a.csv")["ID"].tolist() == list(range(1, 16))


def test_kaggle_gets_its_copy(tmp_path, monkeypatch):
    (tmp_path / "working").mkdir()
    monkeypatch.setattr(submission, "KAGGLE_WORKING", tmp_path / "working")
    write_submission(predictions(2), tmp_path / "s.csv", PREVALENCE)
    assert (tmp_path / "working/submission.csv").read_bytes() == (tmp_path / "s.csv").read_bytes()


@pytest.mark.parametrize(
    ("change", "sample", "message"),
    [
        (lambda t: t.assign(AF=1.5), None, "AF of ID 1 is .*1.5"),
        (lambda t: t.assign(AF=-0.1), None, "not a probability"),
        (lambda t: t, f"{HEADER}\n1,0,0,0,0,0\n9,0,0,0,0,0", r"1 ID\(s\) to be submitted have no prediction: 9"),
        (lambda t: t[:1], HEADER + "\n1,0,0,0,0,0" * 2, "would not be valid: Line 3: ID 1 is a duplicate"),
        (lambda t: t.assign(ID=["1", "001", "2"]), None, "ID 1 is predicted twice"),
        (lambda t: t, "ID,AF\n1,0", r"sample\.csv has columns ID, AF; expected ID, STTC"),
        (lambda t: t.drop(columns="ID"), None, r"missing column\(s\) ID"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(tmp_path, change, sample, message):
    if sample:
        (tmp_path / "sample.csv").write_text(sample)
    with pytest.raises(ValueError, match=message):
        write_submission(change(predictions(3)), tmp_path / "s.csv", PREVALENCE, sample and tmp_path / "sample.csv")
    assert not list(tmp_path.glob("s.*"))


def test_a_sample_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No CSV at .*nowhere\.csv"):
        write_submission(predictions(3), tmp_path / "s.csv", PREVALENCE, tmp_path / "nowhere.csv")


@pytest.mark.parametrize("prevalence", [{}, PREVALENCE | {"AF": 6.9}, PREVALENCE | {"AF": float("nan")}])
def test_a_bad_prevalence_is_refused(tmp_path, prevalence):
    with pytest.raises(ValueError, match="prevalence"):
        write_submission(predictions(2), tmp_path / "s.csv", prevalence)


def test_only_the_missing_values_are_filled():
    table = predictions(3, unreadable=[1]).assign(quality=[1.0, np.nan, 0.5])
    filled = fill_unreadable(table, PREVALENCE)
    assert filled.loc[1, list(FINDINGS)].to_dict() == PREVALENCE
    assert filled.drop(index=1).equals(table.drop(index=1))
    assert np.isnan(filled.loc[1, "quality"])
    assert table.loc[1, "AF"] != table.loc[1, "AF"]


def test_submissions_follow_the_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("ECG_RUNS", str(tmp_path))
    assert submissions_dir() == tmp_path / "submissions"
    monkeypatch.delenv("ECG_RUNS")
    assert submissions_dir().name == "submissions"


def test_a_series_serves_as_prevalence(tmp_path):
    assert write_submission(predictions(2, unreadable=[0]), tmp_path / "s.csv", pd.Series(PREVALENCE)) == ["1"]


def test_the_name_follows_the_content_and_is_safe(tmp_path):
    table = predictions(5)
    name = submission_name("demo", ["two stage/0", "baseline"], table)
    assert name.startswith("submission_demo_two-stage-0+baseline_")
    assert name == submission_name("demo", ["two stage/0", "baseline"], table[::-1])
    assert name != submission_name("demo", ["two stage/0", "baseline"], table.assign(AF=0.5))
    assert "12-models" in submission_name("full", ["m"] * 12, table)


@settings(max_examples=40, deadline=None)
@given(
    values=arrays(float, (6, 5), elements=st.one_of(st.floats(0, 1), st.just(float("nan")))),
    order=st.permutations(range(6)),
)
def test_round_trip_of_anything_is_valid_and_keeps_the_values(tmp_path_factory, values, order):
    path = tmp_path_factory.mktemp("s") / "s.csv"
    table = pd.DataFrame(values, columns=list(FINDINGS))
    table.insert(0, "ID", names := [f"test_{i:06d}.png" for i in range(6)])
    filled = write_submission(table.iloc[order], path, PREVALENCE)
    assert validate_submission(path, names) == []
    back = pd.read_csv(path).set_index("ID")[list(FINDINGS)].to_numpy()
    expected = np.where(np.isnan(values), [PREVALENCE[f] for f in FINDINGS], values)
    assert np.allclose(back, expected, rtol=1e-8, atol=0)
    assert filled == [names[i] for i in range(6) if np.isnan(values[i]).any()]
