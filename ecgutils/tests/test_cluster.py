"""Work on a cluster: a scheduler and workers of this machine, of which some are killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ecgutils.__main__ import main
from ecgutils.files import Progress, content_hash
from ecgutils.parallel import _workers, for_each, join_cluster

PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"
pytest.importorskip("distributed", reason="distributed, of requirements-cluster.txt, is not there")


class Cluster:
    """A Dask scheduler with three workers, a process each, that were started in another folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, {}
        address = folder / "scheduler.json"
        self.start("scheduler", "--port", "0", "--scheduler-file", address)
        for name in "abc":
            self.start("worker", "--scheduler-file", address, "--no-nanny", "--nthreads", "1", "--name", name)
        deadline = time.monotonic() + 120
        while not address.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.client = sys.modules["distributed"].Client(scheduler_file=str(address), timeout=60)
        self.client.wait_for_workers(3, timeout=120)
        self.address = self.client.scheduler.address

    def start(self, part: str, *options: object) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{part}", "--host", "127.0.0.1", "--no-dashboard"]
        environment = {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(self.folder)}
        with open(self.folder / "log.txt", "a") as log:
            how = {"cwd": self.folder, "env": environment, "stdout": log, "stderr": log}
            run = subprocess.Popen([*command, *map(str, options)], **how)
        self.processes[options[options.index("--name") + 1] if "--name" in options else part] = run

    def kill_a_busy_worker(self) -> None:
        """SIGKILL to the one with the most calls under way."""
        busy = self.client.processing()
        worker = max(busy, key=lambda one: len(busy[one]))
        assert busy[worker]
        self.processes[self.client.scheduler_info(n_workers=-1)["workers"][worker]["name"]].kill()

    def close(self) -> None:
        for client in (self.client, join_cluster(self.address)):
            client.close()
        join_cluster.cache_clear()
        for run in self.processes.values():
            run.kill()
            run.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("elsewhere"))
    yield made
    made.close()


@pytest.fixture
def killing(cluster, monkeypatch):
    """Once switched on, a worker is killed when the fourth result has come."""
    add, came = Progress.add, []

    def add_and_kill(progress, entry):
        came.append(entry["name"])
        if len(came) == 4:
            cluster.kill_a_busy_worker()
        add(progress, entry)

    def switch():
        monkeypatch.setattr(Progress, "add", add_and_kill)
        return came

    monkeypatch.setenv("ECG_CLUSTER", "")  # which `main` sets, and this puts back
    return switch


def files(folder):
    """Of whole files: a write that was cut short leaves a hidden one, which no table names."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): content_hash(path) for path in found}


def test_a_worker_killed_amid_a_generation_costs_no_image(cluster, killing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["generate", "-n", "40", "--sources", "vector", "--size", "400x220", "--seed", "4", "--out"]
    assert main([*command, "one"]) == 0
    came, before = killing(), len(cluster.client.nthreads())
    assert main([*command, "many", "--cluster", cluster.address]) == 0
    assert len(cluster.client.nthreads()) == before - 1
    assert len(came) == len(set(came)) == 40
    assert files(tmp_path / "many") == files(tmp_path / "one")
    assert len(files(tmp_path / "one")) == 2 * 40 + 2


def test_a_worker_killed_amid_flattening_costs_no_page(cluster, killing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "-n", "10", "--sources", "vector", "--size", "400x220", "--out", "images"]) == 0
    command = ["preprocess", "images/manifest.csv", "--out"]
    assert main([*command, "one"]) == 0
    came, before = killing(), len(cluster.client.nthreads())
    assert main([*command, "many", "--cluster", cluster.address]) == 0
    assert len(cluster.client.nthreads()) == before - 1
    assert len(came) == len(set(came)) == 10
    assert files(tmp_path / "many") == files(tmp_path / "one")
    assert len(files(tmp_path / "one")) == 10 + 3


def test_photos_read_on_a_cluster_get_the_same_answers(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("ECG_CLUSTER", "")
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    shutil.copy(PHOTO, "photos/photo.jpg")
    shutil.copy(PHOTO, "photos/again.jpg")
    Path("photos/torn.jpg").write_bytes(PHOTO.read_bytes()[:200])
    assert main(["predict", "photos", "--model", "small", "--out", "one.csv"]) == 1
    assert main(["predict", "photos", "--model", "small", "--out", "many.csv", "--cluster", cluster.address]) == 1
    assert Path("many.csv").read_bytes() == Path("one.csv").read_bytes()


def test_a_mistake_of_a_row_comes_back_as_it_is(cluster, monkeypatch):
    monkeypatch.setenv("ECG_CLUSTER", cluster.address)
    with pytest.raises(ZeroDivisionError):
        list(for_each(divmod, [(7, 2), (1, 0)]))


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:1"])
def test_an_address_without_a_scheduler_is_one_sentence(address, capsys, monkeypatch):
    monkeypatch.setenv("ECG_CLUSTER", "")
    start = time.monotonic()
    assert main(["generate", "--out", "x", "--cluster", address]) == 2
    assert time.monotonic() - start < 20
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith(f"error: No Dask scheduler is at '{address}': start it, or correct this")


@pytest.mark.parametrize("threads", [{}, {"a": 2}, {"a": 1, "b": 4}])
def test_workers_of_several_threads_or_none_are_refused(threads):
    def wait(_, timeout):
        if not threads:
            raise TimeoutError(timeout)

    scheduler = SimpleNamespace(address="tcp://10.0.0.5:8786")
    client = SimpleNamespace(wait_for_workers=wait, nthreads=lambda: threads, scheduler=scheduler)
    with pytest.raises(ConnectionError, match=r"`dask worker tcp://10.0.0.5:8786 --nthreads 1`"):
        _workers(client)
    threads.clear()
    threads.update(a=1, b=1)
    assert _workers(client) == 2
