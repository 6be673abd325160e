"""What the README tells a reader to type works, and the files it names exist."""

from __future__ import annotations

import re

import nbformat
import pytest

from .conftest import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^python -m ecgutils (.+?)\s*(?:#.*)?$", README, flags=re.MULTILINE)


def test_linked_files_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_run_in_the_order_they_are_given(command, tmp_path):
    lines = [line for line in COMMANDS if not line.startswith("run")]  # `run` has tests of its own
    assert len(lines) >= 4
    for line in lines:
        command(*line.replace("out/", f"{tmp_path}/").split(), runs=tmp_path)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem[:2])
def test_committed_notebooks_are_executed_small_and_clean(path):
    assert path.stat().st_size < 2 * 2**20
    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in code) >= 5
    assert all(cell.execution_count is None for cell in code)
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    assert [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
