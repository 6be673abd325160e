"""Every benchmark can be started, and what each has written says how and of which code."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from ecgutils.plots import read_benchmark

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("common", "reader_pages"))
RESULTS = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_answers_help(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    main = runpy.run_path(str(FOLDER / f"{name}.py"), run_name=name)["main"]
    with pytest.raises(SystemExit, match="0"):
        main()
    assert f"usage: {name}.py" in capsys.readouterr().out


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_says_its_command_and_commit(name, capsys):
    found = read_benchmark(name)
    assert found["command"].startswith("python benchmarks/")
    assert found["commit"]
    assert found["commit"] in capsys.readouterr().out


def test_the_page_of_all_results_is_of_these_files(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    page = runpy.run_path(str(FOLDER / "results.py"), run_name="results")["table"]()
    assert (FOLDER / "RESULTS.md").read_text() == page, "run python benchmarks/results.py"


def in_words(row):
    """.918 [.910, .925]: as tables of prose have it."""
    value, low, high = (f"{row[key]:.3f}".lstrip("0") for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


@pytest.mark.parametrize("kind", ["photos", "scans"])
@pytest.mark.parametrize("page", ["README.md", "benchmarks/README.md", "docs/comparison.md"])
def test_pages_say_of_what_ships_what_was_measured(kind, page):
    found = read_benchmark("real_hearts")["results"][f"{kind}, default"]
    macro, *each = found["auroc"]
    text = (FOLDER.parent / page).read_text()
    if kind == "photos" or page != "docs/comparison.md":
        assert in_words(macro) in text
    if page == "README.md":
        shown = " | ".join(f"{row['value']:.3f}".lstrip("0") for row in each)
        assert f"| {found['n']:,} {kind}" in text
        assert f"**{in_words(macro)}** | {shown} |" in text


def test_pages_say_how_many_acute_infarcts_are_missed():
    found = read_benchmark("acute")
    for page in ("README.md", "benchmarks/README.md"):
        text = " ".join((FOLDER.parent / page).read_text().split())
        assert f"{found['high']} " in text
        assert f" {found['high_missed']} " in text.split(f"{found['high']} ", 1)[1][:100]


def test_what_a_benchmark_writes_names_command_commit_and_device(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", ["benchmarks/simulate.py", "--out", "a b.json"])
    common = runpy.run_path(str(FOLDER / "common.py"))
    common["write"]({"rate": float("nan")}, tmp_path / "a b.json")
    found = json.loads((tmp_path / "a b.json").read_text())
    assert found["command"] == "python benchmarks/simulate.py --out 'a b.json'"
    assert found.keys() == {"command", "commit", "device", "rate"}
    assert found["commit"] == (common["COMMIT"] or "not recorded")
