"""Figures: each function returns a Figure with the right things on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ecgutils import FINDINGS, LEADS
from ecgutils.evaluate import reliability
from ecgutils.hearts import simulate
from ecgutils.plots import (
    plot_abstention,
    plot_auroc,
    plot_class_balance,
    plot_contact_sheet,
    plot_heat,
    plot_history,
    plot_intervals,
    plot_lead_heat,
    plot_outlines,
    plot_reading,
    plot_record,
    plot_reliability,
    plot_robustness,
    plot_steps,
    read_benchmark,
    show,
)
from ecgutils.preprocess import Preprocessor
from ecgutils.synth import render_scan


@pytest.fixture(scope="module")
def record():
    return simulate(np.random.default_rng(3), {"MI"})


@pytest.fixture(scope="module")
def scan(record):
    return render_scan(record, np.random.default_rng(4), size=(700, 540))


def table(names):
    return pd.DataFrame({"finding": names, "value": 0.7, "low": 0.6, "high": 0.8, "intervals": "ungrouped"})


def test_a_record_is_drawn_with_twelve_leads_and_a_strip(record):
    axes = plot_record(record, marked={"V1"}).axes[0]
    assert len(axes.lines) == 13
    assert {text.get_text() for text in axes.texts} >= {"I", "aVR", "V6"}


def test_a_short_record_is_drawn_whole(record):
    axes = plot_record(replace(record, signal_mv=record.signal_mv[:, :1500])).axes[0]
    assert max(line.get_xdata()[-1] for line in axes.lines) == pytest.approx(3, abs=0.01)


def test_marking_an_unknown_lead_is_an_error(record):
    with pytest.raises(ValueError, match="V9"):
        plot_record(record, marked={"V9"})


def test_a_contact_sheet_needs_a_title_for_each_image(scan):
    assert len(plot_contact_sheet([scan.image] * 4, list("abcd")).axes) == 6
    with pytest.raises(ValueError, match="1 images but 2 titles"):
        plot_contact_sheet([scan.image], ["a", "b"])


def test_outlines_are_drawn_where_known(scan):
    figure = plot_outlines([scan.image, scan.image], [scan.quad_xy, None], ["a", "b"])
    assert len(figure.axes[0].lines) == 2
    assert not figure.axes[1].lines


def test_steps_are_shown_before_the_flat_page(scan):
    figure = plot_steps(Preprocessor()(scan.image, steps=True))
    assert len(figure.axes) >= 3
    assert [ax.get_title() for ax in figure.axes if ax.get_title()][-1].startswith("flat")


@pytest.mark.parametrize("readable", [True, False])
def test_a_reading_shows_bars_only_when_there_is_something_to_show(scan, readable):
    row = {**dict.fromkeys(FINDINGS, 0.4), "readable": readable, "reasons": "too_dark"}
    figure = plot_reading(scan.image, Preprocessor()(scan.image), row)
    assert len(figure.axes[2].patches) == (5 if readable else 0)


def test_a_reading_says_what_its_probabilities_were_calibrated_on(scan):
    row = {**dict.fromkeys(FINDINGS, 0.4), "readable": True, "reasons": ""}
    flat = Preprocessor()(scan.image)
    assert plot_reading(scan.image, flat, row).axes[2].get_xlabel() == "not calibrated"
    assert "hearts" in plot_reading(scan.image, flat, {**row, "calibrated_on": "hearts"}).axes[2].get_xlabel()


def test_reliability_has_a_panel_per_finding_and_names_its_domain():
    p = np.random.default_rng(0).random((60, 5))
    tables = {"raw": reliability((p > 0.5) * 1.0, p, bins=4), "calibrated": reliability((p > 0.5) * 1.0, p**2, bins=4)}
    figure = plot_reliability(tables, "simulated hearts")
    assert [len(ax.lines) for ax in figure.axes] == [3] * 5
    assert "simulated hearts" in figure.get_suptitle()
    unlabelled = reliability(np.where(np.arange(5) == 1, np.nan, p > 0.5), p)
    assert [len(ax.lines[0].get_xdata()) > 0 for ax in plot_reliability({"raw": unlabelled}, "x").axes] == [
        True, False, True, True, True,
    ]  # fmt: skip


def test_abstention_is_drawn_with_its_interval():
    curve = pd.DataFrame(
        {"coverage": [1, 0.5], "value": 0.7, "low": 0.6, "high": 0.8, "n": 9, "intervals": "ungrouped"}
    )
    figure = plot_abstention(curve)
    assert "ungrouped" in figure.axes[0].get_title()
    assert len(figure.axes[0].collections) == 1


def test_robustness_has_a_marker_for_every_effect_and_severity():
    rows = table(["clean", "blur", "blur", "noise", "noise"]).rename(columns={"finding": "effect"})
    ax = plot_robustness(rows.assign(severity=[0, 0.5, 1, 0.5, 1]), "made up").axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["blur", "noise"]
    assert len(ax.containers) == 2


def test_heat_is_drawn_over_each_photo_and_beside_each_lead(scan):
    heat = np.zeros(scan.image.shape[:2], np.float32)
    assert [len(ax.images) for ax in plot_heat([scan.image] * 2, [heat, heat + 1], ["a", "b"]).axes] == [2, 2]
    leads = pd.DataFrame({"lead": LEADS, "heat": 1 / 12, "area": 1 / 12})
    assert len(plot_lead_heat(leads, "even").axes[0].patches) == 12


def test_a_reading_of_a_missing_file_says_so(tmp_path):
    path = tmp_path / "missing.jpg"
    row = {**dict.fromkeys(FINDINGS, np.nan), "readable": False, "reasons": "missing"}
    figure = plot_reading(path, Preprocessor()(path), row)
    assert "missing.jpg" in figure.axes[0].texts[0].get_text()


def test_results_are_drawn_for_every_model_and_finding():
    tables = {"a": table(["macro", *FINDINGS]), "b": table(["macro", *FINDINGS])}
    assert len(plot_auroc(tables).axes[0].containers) == 2
    assert plot_intervals(tables["a"], "finding", "a minus b").axes[0].get_title() == "a minus b, intervals ungrouped"
    assert "ungrouped" in plot_auroc(tables).axes[0].get_title()


def test_more_arms_than_colours_are_all_drawn_and_look_different():
    many = {f"arm {i}": table(["macro", *FINDINGS]) for i in range(9)}
    arms = plot_auroc(many).axes[0].containers
    assert len(arms) == 9
    assert len({(arm.lines[0].get_color(), arm.lines[0].get_marker()) for arm in arms}) == 9
    history = pd.DataFrame({"views": [1, 2], "loss": [0.5, 0.4], "val_macro_auroc": [0.5, 0.6]})
    assert len(plot_history(dict.fromkeys(many, history)).axes[1].lines) == 9 + 1  # and that of chance
    said = pd.DataFrame({"finding": FINDINGS, "said": 0.2, "observed": 0.3, "n": 9})
    assert [len(ax.lines) for ax in plot_reliability(dict.fromkeys(many, said), "x").axes] == [9 + 1] * 5
    rows = table(["clean", *["blur"] * 9]).rename(columns={"finding": "effect"}).assign(severity=np.arange(10) / 9)
    assert len(plot_robustness(rows, "x").axes[0].containers) == 9
    bars = plot_class_balance(dict.fromkeys(many, pd.DataFrame(np.eye(5), columns=FINDINGS))).axes[0].containers
    assert len({(bar[0].get_facecolor(), bar[0].get_hatch()) for bar in bars}) == 9


def test_balance_and_history_have_a_line_or_bars_per_name():
    labels = pd.DataFrame(np.eye(5), columns=FINDINGS)
    assert len(plot_class_balance({"x": labels, "y": labels}).axes[0].containers) == 2
    history = pd.DataFrame({"views": [1, 2], "loss": [0.5, 0.4], "val_macro_auroc": [0.5, 0.6]})
    assert len(plot_history({"one": history}).axes[0].lines) == 1


def test_show_writes_the_file_it_displays(tmp_path, record):
    shown = show(plot_record(record), tmp_path / "figures" / "a.png", dpi=30)
    assert shown.data == (tmp_path / "figures" / "a.png").read_bytes()


def test_intervals_are_rows_with_a_dot_for_each_seed():
    table = pd.DataFrame({"arm": ["a", "b"], "value": [0.6, 0.7], "low": [0.5, 0.6], "high": [0.7, 0.8]})
    table["by_seed"] = [[0.6], [0.65, 0.75]]
    ax = plot_intervals(table, "arm", "two arms", against=0.5).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    (bars,) = ax.containers
    np.testing.assert_allclose([segment[:, 0] for segment in bars[2][0].get_segments()], [[0.5, 0.7], [0.6, 0.8]])
    dots = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "."]
    assert dots == [[0.65, 0.75]]  # one seed alone is the value itself


def test_a_benchmark_is_shown_with_its_command_or_said_to_be_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("ecgutils.plots.figures.repository_root", lambda: tmp_path)
    assert read_benchmark("speed") is None
    assert "speed.json is not here" in capsys.readouterr().out
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/speed.json").write_text('{"command": "python speed.py", "commit": "abc", "rows": [1]}')
    assert read_benchmark("speed")["rows"] == [1]
    assert capsys.readouterr().out == "python speed.py  (commit abc)\n"
    (tmp_path / "benchmarks/speed.json").write_text("{}")
    read_benchmark("speed")
    assert capsys.readouterr().out == "speed.json  (commit not recorded)\n"
