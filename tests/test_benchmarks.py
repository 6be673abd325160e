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


def test_what_a_benchmark_writes_names_command_commit_and_device(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", ["benchmarks/simulate.py", "--out", "a b.json"])
    common = runpy.run_path(str(FOLDER / "common.py"))
    common["write"]({"rate": float("nan")}, tmp_path / "a b.json")
    found = json.loads((tmp_path / "a b.json").read_text())
    assert found["command"] == "python benchmarks/simulate.py --out 'a b.json'"
    assert found.keys() == {"command", "commit", "device", "rate"}
    assert found["commit"] == (common["COMMIT"] or "not recorded")
