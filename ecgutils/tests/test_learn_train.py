import json
import math
import resource
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from ecgutils.files import OutOfTime
from ecgutils.findings import FINDINGS
from ecgutils.learn import FlatSet, build_model, fit, load_model, predict_set, take_weights, train
from ecgutils.learn.train import Run, masked_bce
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import arm_settings, load_profile

SMALL = PreprocessSettings(size=(64, 32))
QUICK = replace(
    arm_settings(load_profile("demo"))["stage1"], views=48, batch_size=4, geometry=1.0, appearance=1.0, eval_every=16,
    checkpoint_every=8, ema_decay=0.9, seed=1, threads=1, device="cpu",
)  # fmt: skip
LEARN = replace(QUICK, views=400, batch_size=8, lr=4e-3, eval_every=100, geometry=0.3, appearance=0.3)


def ecg_like(n, seed, **changes):
    """Images in which each finding darkens a place of its own: learnable in a few steps."""
    rng = np.random.default_rng([seed, 77])
    labels = (rng.random((n, 5)) < 0.4).astype(np.float32)
    images = rng.integers(200, 256, (n, 32, 64), dtype=np.uint8)
    for k in range(5):
        images[labels[:, k] > 0, 4 + 4 * k : 8 + 4 * k, 10 * k : 10 * k + 12] = 30
    values = {
        "images": images,
        "labels": labels,
        "image_ids": np.array([f"s{seed}-{k}" for k in range(n)]),
        "cluster_ids": np.array([f"s{seed}-p{k // 2}" for k in range(n)]),
        "sources": np.array(["red" if k % 3 else "green" for k in range(n)]),
        "readable": np.ones(n, bool),
        "grouped": True,
    }
    return FlatSet(**(values | changes))


@pytest.fixture
def sets():
    return ecg_like(48, 0), ecg_like(24, 1)


def tiny(seed=0):
    return build_model("convnext_zepto_rms", SMALL, drop_path=0.1, dropout=0.2, seed=seed)


def run(sets, out_dir, settings=QUICK, model=None, **options):
    return fit(model or tiny(), *sets, settings, out_dir, progress=False, **options)


def same_weights(a, b):
    a, b = load_model(a).state_dict(), load_model(b).state_dict()
    return all(torch.equal(a[key], b[key]) for key in a)


def kill_at(monkeypatch, step):
    """Make the run die as its `step`-th step begins."""
    honest = Run.batch

    def dies(self, at):
        if at == step:
            raise KeyboardInterrupt
        return honest(self, at)

    monkeypatch.setattr(Run, "batch", dies)


def test_a_run_leaves_its_files(sets, tmp_path):
    history = run(sets, tmp_path, params={"profile": "smoke"})
    assert {p.name for p in tmp_path.iterdir()} == {"model.safetensors", "params.json", "history.csv", "oof.csv"}
    params = json.loads((tmp_path / "params.json").read_text())
    assert params["run"] == {"profile": "smoke"}
    assert (params["views"], params["steps"], params["seed"]) == (48, 12, 1)
    assert params["sources"] == ["green", "red"]
    assert params["pretrained_status"] == "random initialisation, as asked"
    assert history.table.step.tolist() == [4, 8, 12]
    oof = pd.read_csv(tmp_path / "oof.csv")
    assert list(oof) == ["ID", *FINDINGS]
    assert oof.ID.tolist() == sets[1].image_ids.tolist()


def test_something_learnable_is_learned(sets, tmp_path):
    history = run(sets, tmp_path, LEARN)
    assert history.table.loss.iloc[-1] < 0.8 * history.table.loss.iloc[0]
    assert history.best_macro_auroc > 0.9


@pytest.mark.parametrize(("luck", "kept"), [(0.1, (8, 0.9)), (0.3, (12, 0.7))])
def test_the_last_weights_within_a_standard_error_of_the_best_are_kept(sets, tmp_path, monkeypatch, luck, kept):
    scores = iter([0.6, 0.9, 0.7])
    monkeypatch.setattr(train, "auroc_by_finding", lambda y, p: pd.Series([next(scores)] * 5, index=FINDINGS))
    monkeypatch.setattr(train, "difference_error", lambda *_: luck)
    model = tiny()
    history = run(sets, tmp_path / "a", model=model)
    assert (history.best_step, history.best_macro_auroc) == kept
    assert torch.equal(load_model(tmp_path / "a").head.classify.weight, model.head.classify.weight)
    assert not model.training


def test_two_runs_with_one_seed_are_the_same_and_with_two_are_not(sets, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(sets, tmp_path / name, replace(QUICK, seed=seed))
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_a_killed_and_resumed_run_ends_bit_for_bit_the_same(sets, tmp_path, monkeypatch):
    whole = run(sets, tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(patch, 7)  # the last checkpoint is of step 6
        with pytest.raises(KeyboardInterrupt):
            run(sets, tmp_path / "cut")
    assert (tmp_path / "cut" / "resume.pt").exists()
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    torch.rand(17)  # whatever happened meanwhile to the global state
    resumed = run(sets, tmp_path / "cut", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")
    pd.testing.assert_frame_equal(whole.table.drop(columns="seconds"), resumed.table.drop(columns="seconds"))
    assert (tmp_path / "whole" / "oof.csv").read_bytes() == (tmp_path / "cut" / "oof.csv").read_bytes()


def test_a_run_whose_time_is_up_saves_first_and_ends_as_if_it_had_more(sets, tmp_path, monkeypatch):
    run(sets, tmp_path / "whole")
    monkeypatch.setenv("ECG_DEADLINE", "1")
    with pytest.raises(OutOfTime, match=r"^The time is up before the last 44 of 48 views of stage1; .* --resume\.$"):
        run(sets, tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["resume.pt"]
    monkeypatch.delenv("ECG_DEADLINE")
    run(sets, tmp_path / "cut", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")
    monkeypatch.setenv("ECG_DEADLINE", "1")
    run(sets, tmp_path / "cut", resume=True)  # what is finished is only read


def targets(flat, known=1.0):
    """What the images show: the labels, as signal targets; unknown for part of them."""
    values = np.column_stack([flat.labels * 2, flat.labels.sum(axis=1)]).astype(np.float32)
    values[int(known * len(values)) :] = np.nan
    return values


def test_signal_targets_are_learned_beside_the_labels(sets, tmp_path):
    with_targets = replace(sets[0], targets=targets(sets[0], 0.5))
    losses = []
    honest = train._Targets.forward

    def watched(self, summary, known):
        loss = honest(self, summary, known)
        losses.append(float(loss.detach()))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train._Targets, "forward", watched)
        run((with_targets, sets[1]), tmp_path / "a", LEARN)
    assert len(losses) == LEARN.steps
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    run((with_targets, sets[1]), tmp_path / "off", replace(QUICK, target_weight=0.0))
    run(sets, tmp_path / "none", replace(QUICK, target_weight=0.0))
    assert same_weights(tmp_path / "off", tmp_path / "none")
    assert not any("draw" in name for name in load_model(tmp_path / "a").state_dict())


def test_targets_of_one_first_word_share_one_weight(sets):
    values = np.random.default_rng(0).normal(size=(len(sets[0]), 4)).astype(np.float32)
    model = build_model("convnext_zepto_rms", SMALL)
    named = train._Targets(model, values, ("rr_mean", "II_0", "II_20", "II_40"), 0)
    assert named.weight[0] == pytest.approx(3 * float(named.weight[1]))
    assert float(named.weight.mean()) == pytest.approx(1)
    assert train._Targets(model, values, None, 0).weight.tolist() == [1] * 4


def test_a_run_with_signal_targets_resumes_bit_for_bit(sets, tmp_path, monkeypatch):
    pair = (replace(sets[0], targets=targets(sets[0])), sets[1])
    run(pair, tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            run(pair, tmp_path / "cut")
    run(pair, tmp_path / "cut", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")
    run(sets, tmp_path / "without")
    assert not same_weights(tmp_path / "whole", tmp_path / "without")


def test_a_run_killed_before_its_first_checkpoint_starts_over(sets, tmp_path, monkeypatch):
    run(sets, tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            run(sets, tmp_path / "cut")
    run(sets, tmp_path / "cut", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


def test_a_finished_run_is_returned_at_once(sets, tmp_path, monkeypatch):
    model = tiny()
    first = run(sets, tmp_path, model=model)
    kill_at(monkeypatch, 0)
    again = tiny()
    second = run(sets, tmp_path, model=again, resume=True)
    assert second.best_macro_auroc == first.best_macro_auroc
    assert torch.equal(again.head.classify.weight, model.head.classify.weight)
    assert again.pretrained_status == model.pretrained_status


def test_a_retraining_that_was_interrupted_is_not_taken_for_the_finished_run(sets, tmp_path, monkeypatch):
    anew = replace(QUICK, lr=4e-3)
    run(sets, tmp_path / "whole", anew)
    run(sets, tmp_path / "again")
    with monkeypatch.context() as patch:
        kill_at(patch, 0)
        with pytest.raises(KeyboardInterrupt):
            run(sets, tmp_path / "again", anew)
    for reader in (load_model, partial(take_weights, tiny())):
        with pytest.raises(ValueError, match=r"again is not finished \(resume\.pt is there\): resume it\.$"):
            reader(tmp_path / "again")
    assert [p.name for p in (tmp_path / "again").iterdir()] == ["resume.pt"]
    run(sets, tmp_path / "again", anew, resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "again")


@pytest.mark.parametrize("finished", [True, False])
def test_resuming_with_other_settings_or_data_is_refused(sets, tmp_path, monkeypatch, finished):
    if finished:
        run(sets, tmp_path)
    else:
        kill_at(monkeypatch, 5)
        with pytest.raises(KeyboardInterrupt):
            run(sets, tmp_path)
    with pytest.raises(ValueError, match=r"other settings: lr \(0.002 there, 0.01 now\)"):
        run(sets, tmp_path, replace(QUICK, lr=0.01), resume=True)
    with pytest.raises(ValueError, match="other settings: training data"):
        run((ecg_like(48, 5), sets[1]), tmp_path, resume=True)
    with pytest.raises(ValueError, match="other settings: first weights"):
        run(sets, tmp_path, model=tiny(seed=3), resume=True)


def test_a_damaged_resume_file_is_one_sentence(sets, tmp_path):
    (tmp_path / "resume.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"resume\.pt cannot be read .* delete it"):
        run(sets, tmp_path, resume=True)


def test_a_full_disk_is_one_sentence(sets, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # no file can grow larger, as on a full disk
    try:
        with pytest.raises(OSError, match=r"resume.pt could not be written; .* GB are free"):
            run(sets, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_threads_and_checkpoint_spacing_may_change_on_resume(sets, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            run(sets, tmp_path)
    run(sets, tmp_path, replace(QUICK, checkpoint_every=40, threads=2), resume=True)
    assert not (tmp_path / "resume.pt").exists()


def test_the_callers_random_state_and_threads_are_left_alone(sets, tmp_path):
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    run(sets, tmp_path, replace(QUICK, max_steps=2))
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()


def test_max_steps_ends_a_long_plan(sets, tmp_path):
    assert run(sets, tmp_path, replace(QUICK, views=10**9, max_steps=2)).table.step.tolist() == [2]


def test_a_patient_in_both_sets_is_refused(sets, tmp_path):
    with pytest.raises(ValueError, match=r"Leakage: 24 patient.*s0-p0"):
        run((sets[0], sets[0]), tmp_path)


def test_images_flattened_otherwise_are_refused(sets, tmp_path):
    other = SMALL.to_dict() | {"px_per_mm": 9.0}
    with pytest.raises(ValueError, match=r"flattened with px_per_mm = 9\.0, the model expects"):
        run((ecg_like(48, 0, preprocess=other), sets[1]), tmp_path)
    with pytest.raises(ValueError, match=r"Images are \(16, 64\)"):
        run((ecg_like(8, 0, images=np.zeros((8, 16, 64), np.uint8)), sets[1]), tmp_path)


def test_a_validation_set_with_one_class_keeps_the_last_weights_and_says_so(sets, tmp_path):
    val = ecg_like(24, 1, labels=np.zeros((24, 5), np.float32))
    with pytest.warns(UserWarning, match="no finding has both classes among 24"):
        history = run((sets[0], val), tmp_path)
    assert math.isnan(history.best_macro_auroc)
    assert history.best_step == 12
    assert json.loads((tmp_path / "params.json").read_text())["best_val_macro_auroc"] is None
    assert math.isnan(run((sets[0], val), tmp_path, resume=True).best_macro_auroc)


def test_unreadable_validation_images_do_not_count_and_are_nan(sets, tmp_path):
    readable = np.arange(24) != 3
    run((sets[0], ecg_like(24, 1, readable=readable)), tmp_path)
    oof = pd.read_csv(tmp_path / "oof.csv")
    assert oof[list(FINDINGS)].isna().all(axis=1).tolist() == (~readable).tolist()


def test_a_diverging_loss_stops_the_run(sets, tmp_path):
    model = tiny()
    with torch.no_grad():
        model.head.classify.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="the loss of the labels is nan at step 1; lower lr"):
        run(sets, tmp_path, model=model)


def test_the_loss_that_diverges_is_named(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(train._Targets, "forward", lambda self, summary, known: summary.sum() * torch.inf)
    with pytest.raises(FloatingPointError, match=r"the loss of the signal targets is -?inf at step 1; lower lr"):
        run((replace(sets[0], targets=targets(sets[0])), sets[1]), tmp_path)


def test_a_loss_that_is_read_late_is_named_by_its_step_before_anything_is_kept(sets, tmp_path, monkeypatch):
    honest, losses = train.masked_bce, iter(range(9))
    monkeypatch.setattr(train, "masked_bce", lambda *a: honest(*a) / (torch.nan if next(losses) == 1 else 1))
    late = Run(tiny(), *sets, replace(QUICK, checkpoint_every=16), tmp_path, {})
    late.read_every = 16  # as on a GPU
    with pytest.raises(FloatingPointError, match="the loss of the labels is nan at step 2; lower lr"):
        late.go({}, progress=False)
    assert late.step == 4  # an evaluation and a checkpoint were due
    assert not late.history
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 0


def test_images_that_lie_on_the_device_and_losses_read_late_change_nothing(sets, tmp_path):
    run(sets, tmp_path / "a")
    gpu_like = Run(tiny(), *sets, QUICK, tmp_path / "b", {})
    gpu_like.images, gpu_like.read_every = torch.from_numpy(sets[0].images), 16
    threads = torch.get_num_threads()
    torch.set_num_threads(QUICK.threads)  # as `fit` does
    table = gpu_like.go({}, progress=False).table
    torch.set_num_threads(threads)
    assert same_weights(tmp_path / "a", tmp_path / "b")
    np.testing.assert_array_equal(table.loss, pd.read_csv(tmp_path / "a/history.csv").loss)


def test_parts_of_a_batch_have_losses_that_add_up_to_its_own():
    rng = np.random.default_rng(0)
    logits, labels = (torch.from_numpy(rng.random((5, 5), np.float32)) for _ in range(2))
    labels[1:4, 2:] = torch.nan
    parts = [masked_bce(logits[part], labels, part) for part in (slice(0, 2), slice(2, 5))]
    assert float(sum(parts)) == pytest.approx(float(masked_bce(logits, labels)))


def test_unknown_labels_take_no_part_in_the_loss():
    logits = torch.tensor([[0.0, 3.0], [1.0, -2.0]])
    labels = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])
    assert masked_bce(logits, labels).item() == pytest.approx(math.log(2))
    assert masked_bce(logits, torch.full((2, 2), torch.nan)).item() == 0
    logits.requires_grad_()
    masked_bce(logits, labels).backward()
    assert logits.grad.ne(0).sum() == 1


def test_stage_two_starts_where_stage_one_ended(sets, tmp_path):
    run(sets, tmp_path / "one")
    start = build_model("convnext_zepto_rms", SMALL)
    take_weights(start, tmp_path / "one")
    before = predict_set(start, sets[1])
    run(sets, tmp_path / "two", replace(QUICK, stage="stage2", layer_decay=0.7, lr=1e-9, max_steps=2), start)
    after = predict_set(load_model(tmp_path / "two"), sets[1])
    np.testing.assert_allclose(after[list(FINDINGS)], before[list(FINDINGS)], atol=1e-4)
    assert "checkpoint one" in json.loads((tmp_path / "two" / "params.json").read_text())["pretrained_status"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_loop_runs_on_cuda_with_mixed_precision(sets, tmp_path):
    history = run(sets, tmp_path, replace(LEARN, device="cuda"))
    assert history.best_macro_auroc > 0.9
    cpu = predict_set(load_model(tmp_path, device="cpu"), sets[1])
    np.testing.assert_allclose(cpu[list(FINDINGS)], pd.read_csv(tmp_path / "oof.csv")[list(FINDINGS)], atol=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_training_on_cuda_goes_on_after_an_interruption(sets, tmp_path, monkeypatch):
    how = replace(LEARN, device="cuda")
    with monkeypatch.context() as patch:
        kill_at(patch, 40)
        with pytest.raises(KeyboardInterrupt):
            run(sets, tmp_path, how)
    assert run(sets, tmp_path, how, resume=True).best_macro_auroc > 0.9
