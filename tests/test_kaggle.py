"""The folder for Kaggle: its notebooks run there, without internet, each from the output of the one before."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from ecgutils.files import content_hash

from .conftest import ROOT
from .test_road import submission_of

NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
BUILD = [sys.executable, str(ROOT / "kaggle/build.py")]
NO_NETWORK = """
import socket

def refuse(self, address, connect=socket.socket.connect):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network here: {address}")
    return connect(self, address)

socket.socket.connect = socket.socket.connect_ex = refuse
"""


def metadata(dataset: Path, name: str) -> dict:
    return json.loads((dataset / "notebooks" / name / "kernel-metadata.json").read_text())


def hashes(folder: Path) -> dict[str, str]:
    return {str(path): content_hash(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """What `make kaggle USER=jane PROFILE=smoke` writes."""
    out = tmp_path_factory.mktemp("built") / "kaggle-dataset"
    command = [*BUILD, "--user", "jane", "--profile", "smoke", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "pip download failed" in done.stderr:
        pytest.skip(f"the wheels can't be downloaded: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return out


class Kaggle:
    """A folder that stands in for /kaggle: `input` is only read, `working` becomes a notebook's output."""

    def __init__(self, place: Path, dataset: Path) -> None:
        self.place, self.dataset, self.outputs = place / "kaggle", dataset, place / "outputs"
        installed, self.offline = place / "installed", place / "offline"
        for folder in (installed, self.offline, self.outputs, self.place):
            folder.mkdir()
        (self.offline / "sitecustomize.py").write_text(NO_NETWORK)
        path = os.pathsep.join(map(str, (self.offline, installed)))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ECG_")}
        self.environment = {**kept, "PIP_TARGET": str(installed), "PIP_UPGRADE": "1", "PYTHONPATH": path}

    def python(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.place / "working", env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1500,
        )  # fmt: skip

    def attach(self, source: Path, name: str) -> None:
        shutil.copytree(source, self.place / "input" / name, copy_function=os.link)

    def run(self, name: str, hours: float | None = None, own: bool = False) -> nbformat.NotebookNode:
        """Run a notebook with what its metadata attaches (and its own output): its cells, executed."""
        for folder in ("input", "working"):
            shutil.rmtree(self.place / folder, ignore_errors=True)
            (self.place / folder).mkdir()
        facts = metadata(self.dataset, name)
        self.attach(self.dataset, facts["dataset_sources"][0].split("/")[1])
        for slug in facts["kernel_sources"] + [facts["id"]] * own:
            self.attach(self.outputs / slug, f"notebooks/{slug}")
        text = (self.dataset / "notebooks" / name / facts["code_file"]).read_text()
        text = text.replace("/kaggle/", f"{self.place}/")
        if hours is not None:
            text = re.sub(r"/runs\\\", [\d.]+", rf'/runs\\", {hours}', text)
        (self.place / "working" / "__notebook__.ipynb").write_text(text)
        before = hashes(self.place / "input")
        # one worker here, several in the other smoke run: nothing may depend on their number
        done = self.python("-m", "papermill", "--no-progress-bar", "__notebook__.ipynb", "__notebook__.ipynb",
                           "-y", "CHANGES: {workers: 1}")  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:]
        assert hashes(self.place / "input") == before
        shutil.rmtree(self.outputs / facts["id"], ignore_errors=True)
        shutil.copytree(self.place / "working", self.outputs / facts["id"], copy_function=os.link)
        return nbformat.read(self.place / "working" / "__notebook__.ipynb", 4)


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.fixture(scope="session")
def kaggle(dataset, tmp_path_factory):
    """All five notebooks run in order, the third stopped by its time and run again; what each of the six printed."""
    there = Kaggle(tmp_path_factory.mktemp("there"), dataset)
    there.told = [printed(there.run(name)) for name in NAMES[:2]]
    there.told.append(printed(there.run(NAMES[2], hours=0)))
    there.stopped = {path.name for path in (there.place / "working/runs/smoke/checkpoints/stage1").iterdir()}
    there.told += [printed(there.run(NAMES[2], own=True)), *(printed(there.run(name)) for name in NAMES[3:])]
    return there


def test_each_notebook_is_attached_to_the_wheels_and_to_the_one_before(dataset):
    facts = [metadata(dataset, name) for name in NAMES]
    assert [fact["kernel_sources"] for fact in facts] == [[], *([fact["id"]] for fact in facts[:-1])]
    owner = json.loads((dataset / "dataset-metadata.json").read_text())["id"]
    for fact in facts:
        assert fact["dataset_sources"] == [owner] == ["jane/ecgutils-wheels"]
        assert fact["id"] == "jane/" + fact["title"].lower().replace(" ", "-")  # as Kaggle makes it of the title
        assert (fact["enable_internet"], fact["is_private"], fact["competition_sources"]) == (False, True, [])
    assert [fact["enable_gpu"] for fact in facts] == [False, False, True, True, False]


def test_a_competition_is_attached_and_its_photos_are_the_target(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "kaggle")
    import build

    build.write_notebooks(tmp_path, "jane", "full", "bhf-challenge")
    for name in NAMES:
        assert metadata(tmp_path, name)["competition_sources"] == ["bhf-challenge"]
        given, start = [cell.source for cell in nbformat.read(tmp_path / f"notebooks/{name}/{name}.ipynb", 4).cells
                        if cell.cell_type == "code"][:2]  # fmt: skip
        assert given == "PROFILE = 'full'\nCHANGES = {'photos': '/kaggle/input'}\nRESUME = True"
        assert start.startswith("# On Kaggle")


def test_a_name_that_kaggle_cannot_have_is_one_sentence(tmp_path):
    done = subprocess.run([*BUILD, "--user", "Jane Doe", "--out", tmp_path / "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "error: 'Jane Doe' can't be part of an address of Kaggle" in done.stderr
    assert not (tmp_path / "x").exists()


def test_wheels_that_cannot_be_fetched_are_one_sentence_and_old_ones_stay(tmp_path):
    (tmp_path / "wfdb-1-py3-none-any.whl").write_text("old")
    command, offline = [*BUILD, "--user", "jane", "--out", str(tmp_path)], {**os.environ, "PIP_NO_INDEX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=offline)
    assert done.returncode == 2
    assert done.stderr.endswith("error: pip download failed, for the reason above: mend it, then repeat\n")
    assert [path.name for path in tmp_path.iterdir()] == ["wfdb-1-py3-none-any.whl"]


def test_wheels_that_the_image_lacks_are_pure_python(dataset):
    wheels = sorted(path.name for path in dataset.glob("*.whl"))
    assert [name.split("-")[0] for name in wheels] == ["ecgutils", "iterative_stratification", "timm", "wfdb"]
    assert all(name.endswith("none-any.whl") for name in wheels)


def test_the_stand_in_has_no_network_and_the_package_is_the_wheels(kaggle):
    asked = kaggle.python("-c", "import socket; socket.create_connection(('192.0.2.1', 80), 5)")
    assert "no network here" in asked.stdout
    where = kaggle.python("-c", "import ecgutils, timm, wfdb; print(ecgutils.__file__, timm.__file__, wfdb.__file__)")
    installed = kaggle.environment["PIP_TARGET"]
    assert [place.startswith(installed) for place in where.stdout.split()] == [True] * 3, where.stdout


def test_a_notebook_whose_time_is_up_keeps_its_state_and_goes_on(kaggle, smoke_run):
    assert "The time is up before the last 240 of 256 views of stage1" in kaggle.told[2]
    assert "add this notebook's output to its inputs" in kaggle.told[2]
    assert kaggle.stopped == {"resume.pt"}
    last = kaggle.told[3]
    assert (
        f"going on from {kaggle.place}/input/notebooks/jane/ecg-photos-03" in last
    )  # not from 02, which is there, too
    runs = (smoke_run, kaggle.place / "working/runs/smoke")
    tables = [pd.read_csv(run / "checkpoints/stage1/history.csv") for run in runs]
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables), rtol=0, atol=1e-9)


def test_what_runs_on_kaggle_with_one_worker_ends_as_here_with_several(kaggle, smoke_run):
    there = kaggle.place / "working/runs/smoke"
    for pattern in ("images/**/*.jpg", "images/*.csv", "**/pages/*.png"):
        files = sorted(path.relative_to(smoke_run) for path in smoke_run.glob(pattern))
        assert files
        assert all(content_hash(smoke_run / path) == content_hash(there / path) for path in files)
    a, b = (submission_of(run).set_index("ID").sort_index() for run in (smoke_run, there))
    np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=0, atol=1e-6)
