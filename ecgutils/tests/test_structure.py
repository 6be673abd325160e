"""The house: packages import downwards only, no circle, and nothing grows past what a reader can hold."""

import ast
from pathlib import Path

import pytest

import ecgutils

ROOT = Path(ecgutils.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "tests" not in path.relative_to(ROOT).parts)
ANYWHERE = {"findings", "manifest", "files", "geometry", "optional", "onnx", "parallel", "provenance"}
BELOW = {  # what each package may import, besides itself and ANYWHERE
    "signals": set(),
    "hearts": {"signals"},
    "synth": {"signals"},
    "reader": set(),
    "preprocess": {"reader"},
    "evaluate": set(),
    "challenge": {"evaluate"},
    "learn": {"synth", "reader", "preprocess", "evaluate"},
    "targets": {"signals", "preprocess", "evaluate", "challenge"},
    "answers": {"preprocess", "evaluate", "learn", "plots"},
    "app": {"preprocess", "evaluate", "learn", "plots", "answers"},
    "profiles": {"synth", "preprocess", "learn", "targets"},
    "adapt": {"preprocess", "evaluate", "learn", "targets"},
    "export": {"hearts", "synth", "reader", "preprocess", "learn"},
    "run": {"profiles"},
    "plots": {"signals", "hearts", "synth", "preprocess", "evaluate", "learn", "challenge", "profiles"},
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("ecgutils", *(part for part in parts if part != "__init__")))


def imported(path: Path) -> set[str]:
    """Modules of the package that a module imports, wherever in its text, but for type checking alone."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.dump(test.test)
        for node in ast.walk(test)
    }
    known = {name_of(module) for module in MODULES}
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ecgutils":
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & known or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "ecgutils"}
    return found


def package(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downwards_only(path):
    own = package(name_of(path))
    if own in ("", "__main__"):
        return
    above = {package(name) for name in imported(path)} - {own, "", *ANYWHERE} - BELOW.get(own, set())
    assert not above, f"{name_of(path)} imports {', '.join(sorted(above))}"


def test_modules_that_all_may_see_see_only_each_other():
    seen = {name: {package(found) for found in imported(ROOT / f"{name}.py")} - {""} for name in ANYWHERE}
    assert all(names <= ANYWHERE for names in seen.values()), seen


def test_no_circle_of_imports():
    left = {name_of(path): imported(path) - {name_of(path)} for path in MODULES}
    while left:
        free = [name for name, needs in left.items() if not needs & left.keys()]
        assert free, f"a circle among {', '.join(sorted(left))}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_has_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_function_has_at_most_60_lines(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    long = [f"{node.name}: {size}" for node in functions if (size := node.end_lineno - node.lineno + 1) > 60]
    assert not long


def test_the_package_stays_small():
    assert sum(len(path.read_text().splitlines()) for path in MODULES) <= 14_285
