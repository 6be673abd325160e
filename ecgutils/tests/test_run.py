"""Running and publishing notebooks, on two tiny ones."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ecgutils import run
from ecgutils.files import OutOfTime
from ecgutils.profiles import load_profile

PARAMETERS = "PROFILE = 'demo'\nCHANGES = {}\nRESUME = True"


@pytest.fixture
def profile(tmp_path, monkeypatch):
    monkeypatch.setenv("ECG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(run, "repository_root", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    return load_profile("smoke")


def write(tmp_path, name, *sources):
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), tmp_path / "notebooks" / name)


def test_parameters_reach_the_notebook_and_finished_ones_are_skipped(profile, tmp_path, capsys):
    write(tmp_path, "01_a.ipynb", "print(PROFILE, CHANGES, RESUME)")
    run.run_notebooks(profile, {"seed": "7"}, [], resume=False)
    executed = nbformat.read(profile.run_dir / "notebooks" / "01_a.ipynb", 4)
    assert executed.cells[-1].outputs[0].text == "smoke {'seed': '7'} False\n"
    run.run_notebooks(profile, {"seed": "7"}, [], resume=True)
    assert "skipped" in capsys.readouterr().out


def test_a_failing_notebook_is_named_and_what_follows_is_not_run(profile, tmp_path):
    write(tmp_path, "01_a.ipynb", "raise ValueError('the label column is missing')")
    write(tmp_path, "02_b.ipynb", "1")
    with pytest.raises(RuntimeError, match=r"01_a\.ipynb stopped: ValueError: the label column is missing"):
        run.run_notebooks(profile, {}, [], resume=False)
    assert not (profile.run_dir / "notebooks" / "02_b.ipynb").exists()
    with pytest.raises(FileNotFoundError, match="unfinished"):
        run.publish_notebooks(profile.run_dir)


def test_published_notebooks_keep_outputs_and_lose_what_differs_between_machines(profile, tmp_path):
    write(
        tmp_path,
        "01_a.ipynb",
        "import sys\nprint('kept')\nprint('bar', file=sys.stderr)\nimport ipywidgets\nipywidgets.Label('live')",
    )
    run.run_notebooks(profile, {}, [], resume=False)
    run.publish_notebooks(profile.run_dir)
    notebook = nbformat.read(tmp_path / "notebooks" / "01_a.ipynb", 4)
    assert len(notebook.cells) == 2
    assert [output.get("name", "result") for output in notebook.cells[1].outputs] == ["stdout", "result"]
    assert list(notebook.cells[1].outputs[1].data) == ["text/plain"]  # a widget is dead without its kernel
    assert all(cell.execution_count is None for cell in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_what_comes_after_a_notebook_that_ran_is_not_finished_any_more(profile, tmp_path, capsys):
    for name in ("01_a.ipynb", "02_b.ipynb", "03_c.ipynb"):
        write(tmp_path, name, f"print({name!r})")
    run.run_notebooks(profile, {}, [], resume=False)
    run.run_notebooks(profile, {}, ["02"], resume=False)
    with pytest.raises(FileNotFoundError, match=r"03_c\.ipynb is missing or unfinished"):
        run.publish_notebooks(profile.run_dir)
    capsys.readouterr()
    run.run_notebooks(profile, {}, [], resume=True)
    assert [line for line in capsys.readouterr().out.splitlines() if "skipped" in line or "running" in line] == [
        "01_a.ipynb: finished before, skipped",
        "02_b.ipynb: finished before, skipped",
        "03_c.ipynb: running ...",
    ]
    assert len(run.publish_notebooks(profile.run_dir)) == 3


def test_notebooks_of_different_settings_are_not_published_together(profile, tmp_path):
    for name in ("01_a.ipynb", "02_b.ipynb"):
        write(tmp_path, name, "1")
    run.run_notebooks(profile, {}, [], resume=False)
    run.run_notebooks(load_profile("smoke", seed=9), {"seed": 9}, ["02"], resume=False)
    with pytest.raises(ValueError, match="run with different settings"):
        run.publish_notebooks(profile.run_dir)


LATE = "import os\nos.environ['ECG_DEADLINE'] = '1'\nfrom ecgutils.files import check_time\ncheck_time('9 of 9 views')"


def test_a_notebook_whose_time_is_up_is_a_stop_and_no_mistake(profile, tmp_path):
    write(tmp_path, "01_a.ipynb", LATE)
    with pytest.raises(OutOfTime, match=r"^01_a\.ipynb stopped: The time is up before 9 of 9 views; .* --resume\.$"):
        run.run_notebooks(profile, {}, [], resume=False)


def test_no_notebook_is_begun_when_the_time_is_up(profile, tmp_path, monkeypatch):
    for name in ("01_a.ipynb", "02_b.ipynb"):
        write(tmp_path, name, "1")
    run.run_notebooks(profile, {}, ["01"], resume=False)
    monkeypatch.setenv("ECG_DEADLINE", "1")
    with pytest.raises(OutOfTime, match=r"^The time is up before 02_b\.ipynb and what follows"):
        run.run_notebooks(profile, {}, [], resume=True)
    monkeypatch.delenv("ECG_DEADLINE")
    run.run_notebooks(profile, {}, [], resume=True)
