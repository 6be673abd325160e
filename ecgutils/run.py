"""Run the notebooks in order with papermill, and say how long each took and where the results are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ecgutils.files import repository_root, settings_key, write_bytes, write_json
from ecgutils.profiles import Profile


def find_notebooks(folder: Path | None = None) -> list[Path]:
    """The numbered notebooks in order. Raises FileNotFoundError when the checkout's folder is not there."""
    folder = folder or (repository_root() or Path.cwd()) / "notebooks"
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise FileNotFoundError(f"No numbered notebooks in {folder}: run this from a checkout of the repository.")
    return notebooks


def run_notebooks(profile: Profile, changes: dict[str, Any], only: list[str], resume: bool) -> Path:
    """Execute the notebooks into `<run_dir>/notebooks/`; returns the run folder.

    `changes` are the profile keys that differ from the named profile; `only` lists numbers ("03"), empty = all.
    With `resume`, notebooks that finished with the same settings are skipped and an interrupted training goes on
    from its last checkpoint; once one notebook had to run, those after it are not finished any more and run too.

    Raises ValueError for an unknown number, RuntimeError (one sentence, naming the notebook) when a notebook fails.
    """
    notebooks = find_notebooks()
    unknown = sorted(set(only) - {path.name[:2] for path in notebooks})
    if unknown:
        numbers = ", ".join(path.name[:2] for path in notebooks)
        raise ValueError(f"No notebook {', '.join(unknown)}; known numbers are {numbers}.")
    chosen = [path for path in notebooks if not only or path.name[:2] in only]
    out = profile.run_dir / "notebooks"
    out.mkdir(parents=True, exist_ok=True)
    skipping = resume
    for path in chosen:
        mark = _mark(out, path)
        cells = [cell["source"] for cell in json.loads(path.read_text())["cells"]]
        key = settings_key({"profile": profile.to_dict(), "cells": cells})
        skipping = skipping and _read_mark(mark).get("key") == key
        if skipping:
            print(f"{path.name}: finished before, skipped", flush=True)
            continue
        for later in notebooks[notebooks.index(path) :]:  # they read what this one writes
            _mark(out, later).unlink(missing_ok=True)
        print(f"{path.name}: running ...", flush=True)
        start = time.perf_counter()
        _execute(path, out / path.name, {"PROFILE": profile.name, "CHANGES": changes, "RESUME": resume})
        seconds = time.perf_counter() - start
        profile_key = settings_key(profile.to_dict())
        write_json(mark, {"key": key, "profile": profile_key, "seconds": round(seconds, 1)})
        print(f"{path.name}: {seconds:.0f} s", flush=True)
    return profile.run_dir


def publish_notebooks(run_dir: Path) -> list[Path]:
    """Copy a run's executed notebooks over those in `notebooks/`, with what differs between machines left out.

    Left out: execution counts and times, the parameters a run injected, papermill's and the kernel's metadata,
    stderr (progress bars), and widgets, which are dead without their kernel (their text stays). Raises
    FileNotFoundError when the run has not executed all of them, ValueError when not all with the same settings.
    """
    published, marks = [], {}
    for path in find_notebooks():
        executed = run_dir / "notebooks" / path.name
        marks[path] = _read_mark(_mark(executed.parent, path))
        if "key" not in marks[path]:
            raise FileNotFoundError(f"{executed} is missing or unfinished: run all notebooks of this profile first.")
    if len({mark.get("profile") for mark in marks.values()}) > 1:
        raise ValueError(f"The notebooks in {run_dir} were run with different settings: run all of them with the same.")
    for path in marks:
        executed = run_dir / "notebooks" / path.name
        notebook = json.loads(executed.read_text())
        kept = [cell for cell in notebook["cells"] if "injected-parameters" not in cell["metadata"].get("tags", [])]
        for cell in kept:
            tags = cell["metadata"].get("tags")
            cell["metadata"] = {"tags": tags} if tags else {}
            if cell["cell_type"] == "code":
                cell["execution_count"] = None
                cell["outputs"] = [output for output in cell["outputs"] if output.get("name") != "stderr"]
                for output in cell["outputs"]:
                    output.update({"execution_count": None} if "execution_count" in output else {})
                    output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        metadata = {"kernelspec": notebook["metadata"]["kernelspec"], "language_info": {"name": "python"}}
        text = json.dumps({**notebook, "cells": kept, "metadata": metadata}, indent=1, ensure_ascii=False)
        write_bytes(path, (text + "\n").encode())
        published.append(path)
    return published


def _execute(path: Path, out: Path, parameters: dict[str, Any]) -> None:
    import papermill  # slow to import; the other commands don't need it

    try:
        papermill.execute_notebook(
            str(path), str(out), parameters=parameters, kernel_name="python3", cwd=str(path.parent), progress_bar=True
        )
    except papermill.PapermillExecutionError as error:
        raise RuntimeError(
            f"{path.name} stopped: {error.ename}: {error.evalue} "
            f"(traceback in {out}; mend the cause, then repeat the command with --resume)"
        ) from None


def _mark(out: Path, notebook: Path) -> Path:
    """The file that says that a notebook has finished, and with which settings."""
    return out / f".{notebook.stem}.done.json"


def _read_mark(mark: Path) -> dict[str, Any]:
    try:
        return json.loads(mark.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
