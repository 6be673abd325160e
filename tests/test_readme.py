"""What the README tells a reader to type works, and the files it names exist."""

from __future__ import annotations

import re
import subprocess
import symtable
import sys

import nbformat
import pytest

from .conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^python -m ecgutils (.+?)\s*(?:#.*)?$", README, flags=re.MULTILINE)


def test_linked_files_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_run_in_the_order_they_are_given(command, tmp_path):
    own = ("run", "adapt")  # have tests of their own, and so does what they lead to
    lines = [line for line in COMMANDS if not line.startswith(own) and "adapted" not in line]
    assert len(lines) >= 4
    for line in lines:
        command(*line.replace("out/", f"{tmp_path}/").split(), runs=tmp_path)


def sources(path):
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_committed_notebooks_are_executed_small_and_clean(path):
    assert path.stat().st_size < 2 * 2**20
    cells = nbformat.read(path, 4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in code) >= 5
    assert all(cell.execution_count is None for cell in code)
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    assert len(cells) - len(code) >= 0.75 * (len(code) - 2)  # prose; parameters and start need none
    assert [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]


def scopes(table):
    return [table, *(scope for child in table.get_children() for scope in scopes(child))]


def bound_and_read(source):
    """Names a cell leaves behind, but for imports, and those that it takes from other cells."""
    cell = symtable.symtable(source, "cell", "exec")
    bound = {name.get_name() for name in cell.get_symbols() if name.is_assigned()}
    imported = {name.get_name() for name in cell.get_symbols() if name.is_imported()}
    used = [name for scope in scopes(cell) for name in scope.get_symbols() if scope is cell or name.is_global()]
    return bound - imported, {name.get_name() for name in used if name.is_referenced()} - bound - imported


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_a_name_that_other_cells_read_has_one_meaning(path):
    cells = [bound_and_read(source) for source in sources(path)]
    read = set().union(*(taken for _, taken in cells))
    assert not [name for name in read if sum(name in bound for bound, _ in cells) > 1]


def test_notebooks_find_the_package_without_installing_it(tmp_path):
    (start,) = {sources(path)[1] for path in NOTEBOOKS}
    assert len([line for line in start.splitlines() if line]) == 2
    (tmp_path / "ecgutils").mkdir()
    (tmp_path / "ecgutils/__init__.py").write_text("print('found')")
    (tmp_path / "notebooks").mkdir()
    command = [sys.executable, "-c", start + "\nsys.path.insert(0, sys.path.pop(-1))\nimport ecgutils"]
    done = subprocess.run(command, cwd=tmp_path / "notebooks", capture_output=True, text=True, check=True)
    assert done.stdout == "found\n"
