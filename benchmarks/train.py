"""Does the training loop keep the processor as busy as bare arithmetic does? python benchmarks/train.py

    python benchmarks/train.py --networks convnext_atto_ols convnext_tiny --sizes 384x192 768x384 --out gpu.json

Images/s of the loader alone (drawing rows, reading, augmenting), of a bare forward, backward and step on random
tensors in the loop's own precision, and of the real loop, for each network and size (W x H px). On a GPU also of the
bare step compiled, and with AdamW as it is and fused. All take turns in short rounds, so that a busy machine slows all
alike, and a round ends when the GPU has done what it was given. Writes benchmarks/train.json.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from common import options, write
from torch import nn

from ecgutils.findings import FINDINGS
from ecgutils.learn import FitSettings, FlatSet, build_model
from ecgutils.learn.train import Run, masked_bce
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import arm_settings, load_profile

N_IMAGES, N_TARGETS = 4096, 428
CUDA_ONLY = ("compiled", "adamw", "adamw fused")


def random_set(size: tuple[int, int], n: int, first: int) -> FlatSet:
    """Pages of random ink; what they show doesn't matter to speed."""
    rng = np.random.default_rng(first)
    ids = np.array([f"i{first + k}" for k in range(n)])
    return FlatSet(
        images=rng.integers(0, 256, (n, size[1], size[0]), dtype=np.uint8),
        labels=(rng.random((n, len(FINDINGS))) < 0.3).astype(np.float32),
        image_ids=ids, cluster_ids=ids, sources=np.array(["random"] * n), readable=np.ones(n, bool), grouped=True,
        targets=rng.normal(size=(n, N_TARGETS)).astype(np.float32),
    )  # fmt: skip


def page_size(text: str) -> tuple[int, int]:
    """ "768x384" as (768, 384)."""
    width, height = map(int, text.split("x"))
    return width, height


def loader(run: Run) -> Callable[[], object]:
    """Makes one batch after the other."""
    steps = itertools.count()
    return lambda: run.batch(next(steps))


def bare(run: Run, model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """A step of `model`, the run's own or that compiled, on one batch again and again, as precise as the run's."""
    ink, labels, _ = run.batch(0)

    def step() -> None:
        run.model.train()
        with torch.autocast("cuda", run.amp_type) if run.amp_type else nullcontext():
            loss = masked_bce(model(ink).float(), labels)
        optimizer.zero_grad(set_to_none=True)
        run.scaler.scale(loss).backward()
        run.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(run.model.parameters(), run.settings.clip_norm)
        run.scaler.step(optimizer)
        run.scaler.update()

    return step


def arms(network: str, size: tuple[int, int], settings: FitSettings, folder: Path) -> dict[str, Callable[[], object]]:
    """What is timed; every arm has a network of its own."""
    sets = random_set(size, N_IMAGES, 0), random_set(size, 64, N_IMAGES)

    def new() -> Run:
        return Run(build_model(network, PreprocessSettings(size=size)), *sets, settings, folder, {})

    run, one = new(), new()
    found = {"loader": loader(run), "bare": bare(one, one.model, one.optimizer), "loop": run.one_step}
    if run.device.type == "cuda":
        for name in CUDA_ONLY:
            one = new()
            model = torch.compile(one.model) if name == "compiled" else one.model
            optimizer = one.optimizer
            if name != "compiled":
                optimizer = torch.optim.AdamW(one.model.parameters(), settings.lr, fused=name == "adamw fused")
            found[name] = bare(one, model, optimizer)
    return found


def rates(work: dict[str, Callable[[], object]], rounds: int, steps: int, images: int) -> dict[str, list[float]]:
    """Images/s of each arm in each round; the first round, which warms up and compiles, isn't counted."""

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    found: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, one in work.items():
            started = now()
            for _ in range(steps):
                one()
            if turn:
                found[name].append(steps * images / (now() - started))
    return found


def main() -> int:
    parser = options(__doc__, "profile", "out")
    parser.add_argument("--networks", nargs="+", help="timm models; default: the profile's")
    parser.add_argument("--sizes", nargs="+", type=page_size, help="W x H of pages, px; default: the profile's")
    parser.add_argument("--batch", type=int, help="images per step; default: the profile's")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8, help="in each round")
    args = parser.parse_args()
    profile = load_profile(args.profile)
    settings = arm_settings(profile)["stage1"]
    settings = replace(settings, checkpoint_every=10**9, eval_every=10**9, views=10**9)
    settings = replace(settings, batch_size=args.batch or settings.batch_size)
    results = []
    for network, size in itertools.product(args.networks or [profile.backbone], args.sizes or [profile.flat_size]):
        with tempfile.TemporaryDirectory() as folder:
            measured = rates(arms(network, size, settings, Path(folder)), args.rounds, args.steps, settings.batch_size)
        speeds = {name: float(np.median(values)) for name, values in measured.items()}
        ratio = float(np.median(np.array(measured["loop"]) / np.array(measured["bare"])))
        missing = dict.fromkeys([name for name in CUDA_ONLY if name not in speeds], "no CUDA device")
        shown = [f"{name} {value:.1f} images/s" for name, value in speeds.items()]
        shown += [f"{name}: {why}" for name, why in missing.items()]
        print(f"{network}, {size[0]} x {size[1]}:", ", ".join([*shown, f"loop / bare {ratio:.3f}"]), flush=True)
        results.append({"network": network, "size": size, "images_per_s": speeds | missing, "loop_by_bare": ratio})
    threads, batch = torch.get_num_threads(), settings.batch_size
    write({"threads": threads, "batch_size": batch, "results": results}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
