"""The training loop: resumable to the bit, its batches a function of (seed, stage, step) alone."""

import copy
import math
import shutil
import time
import warnings
import zipfile
import zlib
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from ecgutils.evaluate.metrics import auroc_by_finding, difference_error
from ecgutils.files import atomic_path, check_time, out_of_time, write_bytes
from ecgutils.findings import FINDINGS
from ecgutils.learn import processes
from ecgutils.learn.augmentation import augment
from ecgutils.learn.checkpoint import PARAMS_NAME, RESUME_NAME, WEIGHTS_NAME, read_params, save_model, take_weights
from ecgutils.learn.dataset import FlatSet, draw_rows, sampling_probabilities
from ecgutils.learn.inference import check_settings, predict_set
from ecgutils.learn.model import ECGModel, to_ink
from ecgutils.learn.optimizer import make_optimizer
from ecgutils.learn.redraw import redraw
from ecgutils.learn.settings import FitSettings

HISTORY_NAME, OOF_NAME = "history.csv", "oof.csv"
# What may differ when a run is resumed: it changes speed or where files are cut, not what is computed.
_FREE = ("checkpoint_every", "threads", "device")
_COUNTED = ("step", "seconds", "loss_sum", "loss_steps", "history", "best", "top")  # of a run, kept in resume.pt


@dataclass(frozen=True, eq=False)
class History:
    """What a run did.

    table : one row per evaluation: step, views, lr, loss (mean BCE since the row before), val_loss,
        val_macro_auroc, val_<finding>, seconds.
    best_step : step of the kept weights; best_macro_auroc : theirs on validation (NaN when it has none).
    """

    table: pd.DataFrame
    best_step: int
    best_macro_auroc: float


def fit(
    model: ECGModel,
    train: FlatSet,
    val: FlatSet,
    settings: FitSettings,
    out_dir: str | Path,
    resume: bool = False,
    params: dict[str, Any] | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place and leave it with its best averaged weights, in eval mode.

    Weights are chosen by macro-AUROC on `val` (never test): the last ones within a standard error of the best (the rule
    of Breiman et al. 1984), for on few patients the best are so by luck. Where `val` has no finding with both classes,
    the last ones are kept. Writes to `out_dir`: model.safetensors, params.json, history.csv, oof.csv (ID and
    probabilities of `val`); `resume.pt` is there until the run is done. What another run left there goes as this one
    starts: until it is done, `load_model` refuses the folder.

    Processes that torchrun starts share each batch of one run, in one `out_dir`; another number of them may resume it.
    The weights are those of one process but for rounding; with dropout or drop path they are as likely, not the same.

    Parameters
    ----------
    resume : go on from `resume.pt`; the end is the same, bit for bit on a CPU, as without the interruption. A
        finished run with the same settings and data is loaded and returned. Nothing there: start.
    params : what the caller wants recorded, put under "run" in params.json.

    Raises ValueError when train and val share a patient, no training image is usable, images do not fit the model, or
    what is in `out_dir` or in another process is of other settings, data or first weights; OutOfTime, with `resume.pt`
    written, when $ECG_DEADLINE passes for a process; RuntimeError when another process has ended.
    """
    out_dir = Path(out_dir)
    check_settings(model, train)
    check_settings(model, val)
    if shared := sorted({*train.cluster_ids.tolist()} & {*val.cluster_ids.tolist()}):
        some = f"{len(shared)} patient(s), e.g. {', '.join(shared[:5])}"
        raise ValueError(f"Leakage: {some}, are in both training and validation data; split by patient.")
    if processes.rank_and_size()[1] > 1 and any("BatchNorm" in type(layer).__name__ for layer in model.modules()):
        raise ValueError("This backbone's BatchNorm needs whole batches: train it in one process, or choose another.")
    fingerprint = _fingerprint(model, train, val, settings)
    known = fingerprint | {RESUME_NAME: (out_dir / RESUME_NAME).exists()}
    for theirs in processes.gather(known):
        _same_run(theirs, known, "Another process")
    if resume and not (out_dir / RESUME_NAME).exists() and (out_dir / PARAMS_NAME).exists():
        return _finished(model, out_dir, fingerprint)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or threads)
    try:
        with torch.random.fork_rng():  # the caller's random state stays what it was
            run = Run(model, train, val, settings, out_dir, fingerprint)
            if resume and (out_dir / RESUME_NAME).exists():
                run.load()
            return run.go(params or {}, progress)
    finally:
        torch.set_num_threads(threads)


class Run:
    """State of one training run between steps; `fit` makes one and lets it `go`."""

    def __init__(
        self, model: ECGModel, train: FlatSet, val: FlatSet, settings: FitSettings, out_dir: Path, fingerprint: dict
    ) -> None:
        self.device, self.mine = processes.own_device(settings.device), processes.own_part(settings.batch_size)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer, self.targets = make_optimizer(self.model, settings), None
        if settings.target_weight and train.targets is not None and np.isfinite(train.targets).any():
            self.targets = _Targets(self.model, train.targets, train.target_names, settings.seed).to(self.device)
            self.targets.mine = self.mine
            own = {"params": list(self.targets.parameters()), "lr_scale": 1.0, "use_fallback": True}
            self.optimizer.add_param_group(own)
        self.amp_type, self.images, self.read_every = None, train.images, 1
        if self.device.type == "cuda":
            self.read_every = 16  # steps: before a loss can be read, a GPU has to finish all that it was given
            if train.signals is None and 2 * train.images.nbytes < torch.cuda.mem_get_info(self.device)[0]:
                self.images = torch.from_numpy(np.ascontiguousarray(train.images)).to(self.device)
            self.amp_type = torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.amp_type == torch.float16)
        self.train, self.val, self.settings = train, val, settings
        self.out_dir, self.fingerprint = out_dir, fingerprint
        self.p = sampling_probabilities(train)
        self.unread: list[torch.Tensor] = []  # losses of the last steps
        self.loss, self.time_is_up = math.nan, False  # as they were read last
        self.step, self.seconds, self.loss_sum, self.loss_steps = 0, 0.0, 0.0, 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"step": 0, "score": math.nan, "weights": None}  # that are kept
        self.top: dict[str, Any] = {"score": math.nan, "logits": None}  # of the highest score, early or late

    def go(self, params: dict[str, Any], progress: bool) -> History:
        s, started = self.settings, time.perf_counter() - self.seconds
        if self.step == 0:
            self.save()  # from now on the folder is an unfinished run; nothing of a finished one may be taken for its
            for name in (WEIGHTS_NAME, PARAMS_NAME, HISTORY_NAME, OOF_NAME) if processes.is_main_process() else ():
                (self.out_dir / name).unlink(missing_ok=True)
        done, of, shown = self.step * s.batch_size, s.steps * s.batch_size, progress and processes.is_main_process()
        with tqdm(total=of, initial=done, desc=s.stage, unit="view", disable=not shown) as bar:
            while self.step < s.steps:
                self.one_step()
                bar.update(s.batch_size)
                bar.set_postfix(loss=f"{self.loss:.3f}", refresh=False)
                self.seconds = time.perf_counter() - started
                if self.due(s.eval_every) or self.step == s.steps:
                    self.evaluate()
                if self.step < s.steps and (self.due(s.checkpoint_every) or self.time_is_up):
                    self.save()
                    check_time(f"the last {of - self.step * s.batch_size} of {of} views of {s.stage}", self.time_is_up)
        return self.finish(params)

    def due(self, every_views: int) -> bool:
        """Whether the last step passed a multiple of so many views."""
        batch = self.settings.batch_size
        return self.step * batch // every_views > (self.step - 1) * batch // every_views

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        """Ink (B, 1, H, W), labels (B, 5) and rows (B,) of a step, all processes'; (seed, stage, step) decides them."""
        s = self.settings
        rng = np.random.default_rng([s.seed, zlib.crc32(s.stage.encode()), step])
        rows = draw_rows(self.p, s.batch_size, rng)
        torch.manual_seed(int(rng.integers(2**62)) + processes.rank_and_size()[0])  # dropout and drop path of this step
        images = self.images[rows]
        if self.train.signals is not None:
            images = redraw(images, self.train.signals[rows], rng, self.model.settings)
        ink = augment(to_ink(images, self.device), rng, s.geometry, s.appearance)
        return ink, torch.from_numpy(self.train.labels[rows]).to(self.device, non_blocking=True), rows

    def one_step(self) -> None:
        """Take a gradient step; its losses wait for `read`."""
        s = self.settings
        self.model.train()
        ink, labels, rows = self.batch(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = s.lr * s.lr_factor(self.step) * group["lr_scale"]
        with torch.autocast("cuda", self.amp_type) if self.amp_type else nullcontext():
            summary = self.model.embed(ink[self.mine])
            logits = self.model.head.classify(self.model.head.dropout(summary))
            losses = [masked_bce(logits.float(), labels, self.mine)]
            if self.targets is not None:
                known = torch.from_numpy(self.train.targets[rows]).to(self.device, non_blocking=True)
                losses.append(s.target_weight * self.targets(summary, known))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(sum(losses)).backward()
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        processes.all_reduce([weight.grad for weight in weights if weight.grad is not None])
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), s.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.average()
        self.unread.append(torch.stack(losses).detach())
        due = self.due(s.eval_every) or self.due(s.checkpoint_every) or self.step == s.steps
        if due or len(self.unread) == self.read_every:  # nothing is kept before its loss was read
            self.read()

    def read(self) -> None:
        """Count the losses since the last reading, and ask the time; FloatingPointError names one that isn't finite."""
        s, found = self.settings, torch.stack(self.unread)
        up = torch.full_like(found[0], out_of_time())
        processes.all_reduce([found, up])
        self.time_is_up, self.unread = bool(up.any()), []
        for step, values in enumerate(found.tolist(), self.step - len(found) + 1):
            for name, value in zip(("labels", "signal targets"), values, strict=False):
                if not math.isfinite(value):
                    where = f"{s.stage}: the loss of the {name} is {value} at step {step}"
                    raise FloatingPointError(f"{where}; lower lr (now {s.lr:g}).")
            self.loss = values[0]
            self.loss_sum, self.loss_steps = self.loss_sum + self.loss, self.loss_steps + 1

    @torch.no_grad()
    def average(self) -> None:
        """Move the averaged weights; a short memory at first, or they would stay near the random start."""
        decay = min(self.settings.ema_decay, self.step / (self.step + 9))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - decay)
        for mine, theirs in zip(self.ema.buffers(), self.model.buffers(), strict=True):
            mine.copy_(theirs)

    def evaluate(self) -> None:
        s, rows = self.settings, slice(None) if self.val.readable.all() else self.val.readable
        y, logits = self.val.labels[rows], np.zeros((self.val.readable.sum(), len(FINDINGS)), np.float32)
        mine = processes.own_part(len(y))
        logits[mine] = self.ema.logits(self.val.images[rows][mine])
        processes.all_reduce([torch.from_numpy(logits)])
        by_finding = auroc_by_finding(y, logits)
        macro = float(by_finding.mean()) if by_finding.notna().any() else math.nan
        if math.isnan(macro) and not self.history and processes.is_main_process():
            why = f"no finding has both classes among {len(y)} readable validation images"
            warnings.warn(f"{s.stage}: {why}, so the last weights are kept instead of the best.", stacklevel=4)
        val_loss = float(masked_bce(torch.from_numpy(logits), torch.from_numpy(y))) if len(y) else math.nan
        row = {"step": self.step, "views": self.step * s.batch_size, "lr": s.lr * s.lr_factor(self.step - 1)}
        row |= {"loss": self.loss_sum / max(1, self.loss_steps), "val_loss": val_loss, "val_macro_auroc": macro}
        row |= {f"val_{finding}": float(by_finding[finding]) for finding in FINDINGS}
        self.history.append(row | {"seconds": round(self.seconds, 1)})
        self.loss_sum, self.loss_steps = 0.0, 0
        luck = 0.0
        if macro < self.top["score"]:
            luck = difference_error(y, logits, self.top["logits"].numpy(), self.val.cluster_ids[rows])
        else:  # better, or either is NaN
            self.top = {"score": macro, "logits": torch.from_numpy(logits)}
        if not macro < self.top["score"] - luck:
            weights = {key: value.detach().cpu().clone() for key, value in self.ema.state_dict().items()}
            self.best = {"step": self.step, "score": macro, "weights": weights}

    def save(self) -> None:
        """Write resume.pt. No random state is needed: every step starts its own from (seed, stage, step)."""
        state = {name: getattr(self, name) for name in ("fingerprint", *_COUNTED)}
        state |= {name: part.state_dict() for name, part in self.learning().items()}
        path = self.out_dir / RESUME_NAME
        try:
            if processes.is_main_process():
                with atomic_path(path) as temporary:
                    torch.save(state, temporary)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError about positions
            free = shutil.disk_usage(self.out_dir).free / 1e9
            what = f"{path} could not be written; {free:.1f} GB are free there, twice its size is needed"
            raise OSError(f"{what}. Make room, then resume: any checkpoint before it is whole.") from error
        processes.gather()  # all wait

    def learning(self) -> dict[str, Any]:
        """What has a state_dict of its own."""
        parts = {name: getattr(self, name) for name in ("model", "ema", "optimizer", "scaler", "targets")}
        return {name: part for name, part in parts.items() if part is not None}

    def load(self) -> None:
        path = self.out_dir / RESUME_NAME
        try:
            if zipfile.ZipFile(path).testzip():  # PyTorch checks no checksum, and would go on with bits that flipped
                raise ValueError("a checksum differs")
            # on the CPU, where logits and step counters belong; what belongs on the device is copied there below
            state = torch.load(path, map_location="cpu", weights_only=True)
            theirs = state["fingerprint"]
        except Exception as error:  # torch.load raises whatever the bytes lead it to
            kind = type(error).__name__
            raise ValueError(f"{path} cannot be read ({kind}): delete it and start this run anew.") from error
        _same_run(theirs, self.fingerprint, path)
        for name, part in self.learning().items():
            part.load_state_dict(state[name])
        for name in _COUNTED:
            setattr(self, name, state[name])

    def finish(self, params: dict[str, Any]) -> History:
        s = self.settings
        self.model.load_state_dict(self.best["weights"])
        self.model.eval()
        table = pd.DataFrame(self.history)
        if processes.is_main_process():
            write_bytes(self.out_dir / HISTORY_NAME, table.to_csv(index=False, lineterminator="\n").encode())
            oof = predict_set(self.model, self.val)[["ID", *FINDINGS]]
            write_bytes(self.out_dir / OOF_NAME, oof.to_csv(index=False, lineterminator="\n").encode())
            record = {
                "stage": s.stage, "seed": s.seed, "settings": asdict(s), "views": self.step * s.batch_size,
                "steps": self.step, "seconds": round(self.seconds, 1), "device": str(self.device),
                "threads": torch.get_num_threads(), "sources": sorted(set(self.train.sources.tolist())),
                "n_train": int((self.p > 0).sum()), "n_val": int(self.val.readable.sum()),
                "grouped": self.train.grouped, "best_step": self.best["step"],
                "best_val_macro_auroc": self.best["score"], "fingerprint": self.fingerprint, "run": params,
            }  # fmt: skip
            save_model(self.model, self.out_dir, record)
            (self.out_dir / RESUME_NAME).unlink(missing_ok=True)
        processes.gather()  # all wait
        return History(table, self.best["step"], self.best["score"])


class _Targets(nn.Module):
    """Draws what is known of the signal from the model's summary of the page; gone when training is over."""

    def __init__(self, model: ECGModel, targets: np.ndarray, names: tuple[str, ...] | None, seed: int) -> None:
        super().__init__()
        self.mine = slice(None)  # rows of a batch, as `masked_bce` takes them
        mean, std = np.nanmean(targets, axis=0), np.nanstd(targets, axis=0)
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float32)))
        # Samples that hardly vary (a flat PR segment) must not count as much as a QRS: .05 mV is their unit.
        self.register_buffer("std", torch.from_numpy(np.maximum(std, 0.05).astype(np.float32)))
        first_words = [name.split("_")[0] for name in names or map(str, range(targets.shape[1]))]
        weight = torch.tensor([1 / first_words.count(word) for word in first_words])
        self.register_buffer("weight", weight / weight.mean())
        torch.manual_seed(seed)
        self.draw = nn.Linear(model.head.classify.in_features, targets.shape[1])

    def forward(self, summary: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Weighted mean smooth L1 distance in standard deviations over what is known (not NaN); 0 when nothing is."""
        there = ~torch.isnan(known)
        wanted = torch.where(there, (known - self.mean) / self.std, 0.0)
        loss = F.smooth_l1_loss(self.draw(summary).float(), wanted[self.mine], reduction="none")
        weight = self.weight * there
        return (loss * weight[self.mine]).sum() / weight.sum().clamp(min=1)


def masked_bce(logits: torch.Tensor, labels: torch.Tensor, mine: slice = slice(None)) -> torch.Tensor:
    """Mean binary cross-entropy over known labels (0 to 1; NaN is unknown), 0 when there are none.

    mine : rows of `labels` that `logits` are of; the losses of all parts add up to the whole's.
    """
    known = ~torch.isnan(labels)
    loss = F.binary_cross_entropy_with_logits(logits, torch.where(known, labels, 0.0)[mine], reduction="none")
    return (loss * known[mine]).sum() / known.sum().clamp(min=1)


def _fingerprint(model: ECGModel, train: FlatSet, val: FlatSet, settings: FitSettings) -> dict[str, Any]:
    """What a resumed run must have in common with the run it goes on with."""
    weights = 0
    for value in model.state_dict().values():
        weights = zlib.crc32(value.detach().cpu().contiguous().numpy(), weights)
    computed = {key: value for key, value in asdict(settings).items() if key not in _FREE}
    computed |= {f"model {key}": value for key, value in model.spec.items()}
    computed |= {"preprocessing": str(model.settings.to_dict()), "first weights": weights}
    return computed | {"training data": train.digest(), "validation data": val.digest()}


def _same_run(theirs: dict[str, Any], ours: dict[str, Any], path: Path | str) -> None:
    if other := [key for key in ours | theirs if theirs.get(key) != ours.get(key)]:
        listed = ", ".join(f"{key} ({theirs.get(key)} there, {ours.get(key)} now)" for key in other[:4])
        what = f"{path} is of a run with other settings: {listed}"
        raise ValueError(f"{what}; use the same ones, another folder, or resume=False.")


def _finished(model: ECGModel, out_dir: Path, fingerprint: dict[str, Any]) -> History:
    """Load a finished run of the same settings into `model`."""
    _, params = read_params(out_dir)
    _same_run(params.get("fingerprint", {}), fingerprint, out_dir / WEIGHTS_NAME)
    take_weights(model, out_dir)
    model.pretrained_status = params["pretrained_status"]
    model.eval()
    score = params["best_val_macro_auroc"]  # None where it was NaN
    return History(pd.read_csv(out_dir / HISTORY_NAME), params["best_step"], math.nan if score is None else score)
