"""Run the notebooks in order with papermill, and say how long each took and where the results are."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ecgutils.files import OutOfTime, Progress, check_time, repository_root, settings_key, write_bytes
from ecgutils.optional import optional
from ecgutils.profiles import Profile

SHARES = {"01": 9, "02": 34, "03": 15, "04": 37, "05": 5}  # percent of the demo's time that each notebook takes
BAR = "{desc}: {percentage:3.0f}% |{bar}| {elapsed} gone, about {remaining} left"


def find_notebooks() -> list[Path]:
    """The numbered notebooks in order. Raises FileNotFoundError when the checkout's folder is not there."""
    folder = (repository_root() or Path.cwd()) / "notebooks"
    if notebooks := sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        return notebooks
    raise FileNotFoundError(f"No numbered notebooks in {folder}: run this from a checkout of the repository.")


def run_notebooks(profile: Profile, changes: dict[str, Any], only: list[str], resume: bool) -> Path:
    """Execute the notebooks into `<run_dir>/notebooks/`; returns the run folder.

    `changes` are the profile keys that differ from the named profile; `only` lists numbers ("03"), empty = all.
    With `resume`, notebooks that finished with the same settings are skipped, and trainings go on where they stopped.
    Raises ValueError for an unknown number, RuntimeError (one sentence, naming the notebook) when a notebook fails,
    OutOfTime when $ECG_DEADLINE passes, OSError when another process runs there.
    """
    papermill = optional("papermill")
    notebooks = find_notebooks()
    numbers = [path.name[:2] for path in notebooks]
    if unknown := sorted(set(only) - set(numbers)):
        raise ValueError(f"No notebook {', '.join(unknown)}; known numbers are {', '.join(numbers)}.")
    out = profile.run_dir / "notebooks"
    progress, profile_key = Progress(out / "progress.jsonl"), settings_key(asdict(profile))
    skipping, chosen = resume, [number for number in numbers if not only or number in only]
    bar = tqdm(total=sum(SHARES.get(number, 1) for number in chosen), desc="all notebooks", bar_format=BAR, smoothing=0)
    with progress.alone():
        for i, path in enumerate(notebooks):
            if numbers[i] not in chosen:
                continue
            cells = [cell["source"] for cell in json.loads(path.read_text())["cells"]]
            key = settings_key({"profile": profile_key, "cells": cells})
            skipping = skipping and progress.done.get(path.name, {}).get("key") == key
            if skipping:
                bar.total -= SHARES.get(numbers[i], 1)
                print(f"{path.name}: finished before, skipped", flush=True)
                continue
            check_time(f"{path.name} and what follows")
            for later in notebooks[i:]:  # they read what this one writes
                progress.add({"name": later.name})
            print(f"{path.name}: running ...", flush=True)
            start = time.perf_counter()
            given = {"PROFILE": profile.name, "CHANGES": changes, "RESUME": resume}
            try:
                papermill.execute_notebook(path, out / path.name, given, kernel_name="python3", cwd=path.parent)
            except papermill.PapermillExecutionError as error:
                if error.ename == OutOfTime.__name__:
                    raise OutOfTime(f"{path.name} stopped: {error.evalue}") from None
                advice = f"(traceback in {out / path.name}; mend the cause, then repeat the command with --resume)"
                raise RuntimeError(f"{path.name} stopped: {error.ename}: {error.evalue} {advice}") from None
            seconds = time.perf_counter() - start
            progress.add({"name": path.name, "key": key, "profile": profile_key, "seconds": round(seconds, 1)})
            print(f"{path.name}: {seconds:.0f} s", flush=True)
            bar.update(SHARES.get(numbers[i], 1))
    bar.close()
    known = {path.stem: progress.done.get(path.name, {}) for path in notebooks}
    taken = {name: entry["seconds"] for name, entry in known.items() if "key" in entry}
    for name, seconds in {**taken, "all": sum(taken.values())}.items():
        print(f"{name:28s}{seconds / 60:6.1f} min")
    return profile.run_dir


def publish_notebooks(run_dir: Path) -> list[Path]:
    """Copy a run's executed notebooks over those in `notebooks/`, with what differs between machines left out.

    Left out: execution counts and times, injected parameters, metadata, stderr, and widgets (their text stays). Raises
    FileNotFoundError when the run has not executed all of them, ValueError when not all with the same settings.
    """
    paths, out = find_notebooks(), run_dir / "notebooks"
    done = Progress(out / "progress.jsonl").done
    for path in paths:
        if "key" not in done.get(path.name, {}):
            raise FileNotFoundError(f"{out / path.name} is missing or unfinished: run all of this profile first.")
    if len({done[path.name]["profile"] for path in paths}) > 1:
        raise ValueError(f"The notebooks in {run_dir} were run with different settings: run all of them with the same.")
    for path in paths:
        notebook = json.loads((out / path.name).read_text())
        kept = [cell for cell in notebook["cells"] if "injected-parameters" not in cell["metadata"].get("tags", [])]
        for cell in kept:
            tags = cell["metadata"].get("tags")
            cell["metadata"] = {"tags": tags} if tags else {}
            if cell["cell_type"] == "code":
                cell["outputs"] = [output for output in cell["outputs"] if output.get("name") != "stderr"]
                for part in (cell, *cell["outputs"]):
                    part.update({"execution_count": None} if "execution_count" in part else {})
                    part.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        metadata = {"kernelspec": notebook["metadata"]["kernelspec"], "language_info": {"name": "python"}}
        text = json.dumps({**notebook, "cells": kept, "metadata": metadata}, indent=1, ensure_ascii=False)
        write_bytes(path, (text + "\n").encode())
    return paths
