"""A training in two processes, which share each batch, is the training of one."""

import multiprocessing
import os
import socket
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from ecgutils.learn import build_model, fit, is_main_process, load_model
from ecgutils.learn.processes import gather, own_part
from ecgutils.learn.train import Run
from ecgutils.tests.test_learn_train import QUICK, SMALL, ecg_like, kill_at, targets

HOW = replace(QUICK, views=30, batch_size=5, eval_every=15, checkpoint_every=10)  # parts of 2 and 3 images
FILES = ["history.csv", "model.safetensors", "oof.csv", "params.json"]


def sets():
    """Sets whose later images, the second process's share of each batch, know one label, and most no targets."""
    train = ecg_like(48, 0, sources=np.full(48, "red"))
    train.labels[24:, 1:] = np.nan
    return replace(train, targets=targets(train, 0.2)), ecg_like(25, 1)


def plain(seed=0):
    """A network whose random numbers are all in its first weights."""
    return build_model("convnext_zepto_rms", SMALL, dropout=0.0, seed=seed)


def trained(folder, seed=0):
    model = plain(seed)
    history = fit(model, *sets(), HOW, folder, resume=True, progress=False)
    return model.state_dict(), history.table


def alike(a, b):
    """Largest difference between two results of `trained`; but for seconds, their tables are alike."""
    pd.testing.assert_frame_equal(a[1].drop(columns="seconds"), b[1].drop(columns="seconds"), atol=1e-5)
    return max(float((a[0][key] - b[0][key]).abs().max()) for key in a[0])


def _process(work, rank, port, folder):
    """Do `work` as torchrun would have it done; its result, or its error's words, are left in `folder`."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", **where}
    torch.set_num_threads(1)
    try:
        torch.save(work(folder), folder / f"{rank}.pt")
    except BaseException as error:
        (folder / f"{rank}.txt").write_text(f"{type(error).__name__}: {error}")
        os._exit(1)


@pytest.fixture(scope="module")
def context():
    """Processes that begin with everything imported, and no state of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.fixture
def in_two(context, tmp_path):
    """Results, or words of errors, by rank, of a function of a folder that two processes call."""

    def run(work):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        found = tmp_path / "found"
        found.mkdir()
        jobs = [(work, rank, port, found) for rank in (0, 1)]
        both = [context.Process(target=_process, args=job, daemon=True) for job in jobs]
        for one in both:
            one.start()
        for one in both:
            one.join(300)
            assert one.exitcode is not None
        texts = [found / f"{rank}.txt" for rank in (0, 1)]
        return [
            text.read_text() if text.exists() else torch.load(text.with_suffix(".pt"), weights_only=False)
            for text in texts
        ]

    return run


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process learns."""
    return trained(tmp_path_factory.mktemp("alone"))


def _train(folder):
    return trained(folder.parent / "run")


def _stop(folder):
    os.environ["ECG_DEADLINE"] = "1" if is_main_process() else ""  # one clock is ahead
    return trained(folder.parent / "run")


def _die(folder):
    honest = Run.batch

    def batch(run, step):
        if step == 3 and not is_main_process():
            (folder / "died").write_text(str(time.time()))
            raise ZeroDivisionError("the second process's own mistake")
        return honest(run, step)

    Run.batch = batch
    try:
        trained(folder.parent / "run")
    finally:
        (folder / f"ended {is_main_process()}").write_text(str(time.time()))


def _differ(folder):
    return trained(folder.parent / "run", seed=int(not is_main_process()))


def test_two_processes_learn_what_one_learns_and_leave_its_files(in_two, alone, tmp_path):
    both = in_two(_train)
    assert alike(both[0], alone) < 1e-5
    assert all(torch.equal(both[0][0][key], both[1][0][key]) for key in both[0][0])
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    assert torch.equal(load_model(tmp_path / "run").head.classify.weight, both[1][0]["head.classify.weight"])


def test_what_two_processes_began_one_can_end(in_two, alone, tmp_path):
    words = in_two(_stop)
    assert words == ["OutOfTime: The time is up before the last 25 of 30 views of stage1; what is done is kept: "
                     "go on with --resume."] * 2  # fmt: skip
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["resume.pt"]
    assert alike(trained(tmp_path / "run"), alone) < 1e-5


def test_what_one_process_began_two_can_end(in_two, alone, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "run")
    assert alike(in_two(_train)[0], alone) < 1e-5


def test_a_process_that_fails_ends_the_other_in_seconds(in_two, tmp_path):
    words = in_two(_die)
    assert words[1] == "ZeroDivisionError: the second process's own mistake"
    assert words[0].startswith("RuntimeError: Another process of this training has ended")
    assert words[0].endswith("start all of them again; `resume` goes on from the last checkpoint.")
    found = tmp_path / "found"
    assert float((found / "ended True").read_text()) - float((found / "died").read_text()) < 20


def test_processes_with_other_weights_are_refused_before_anything_is_written(in_two, tmp_path):
    for words in in_two(_differ):
        assert words.startswith("ValueError: Another process is of a run with other settings: first weights (")
    assert not (tmp_path / "run").exists()


def test_the_parts_of_a_batch_are_the_batch_and_one_process_has_all_of_it(monkeypatch):
    assert (own_part(5), gather("one")) == (slice(0, 5), ["one"])
    monkeypatch.setenv("WORLD_SIZE", "3")
    parts = []
    for rank in "012":
        monkeypatch.setenv("RANK", rank)
        parts += range(7)[own_part(7)]
    assert parts == list(range(7))


def test_processes_see_the_same_batch_and_drop_other_things(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    seen = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        ink, labels, _ = Run(plain(), *sets(), HOW, tmp_path, {}).batch(2)
        seen.append((ink, labels.nan_to_num(), torch.rand(9)))
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])
    assert not torch.equal(seen[0][2], seen[1][2])


def test_batch_norm_is_refused_in_several_processes(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"BatchNorm needs whole batches: train it in one process"):
        fit(build_model("resnet10t", SMALL), *sets(), HOW, tmp_path / "run")
    assert not (tmp_path / "run").exists()
