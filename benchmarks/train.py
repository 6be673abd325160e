"""Does the training loop keep the processor as busy as bare arithmetic does? python benchmarks/train.py

Images/s of the loader alone (drawing rows, reading, augmenting), of a bare forward, backward and step on random
tensors, and of the real loop on the images of a profile. The three take turns in short rounds, so that a busy machine
slows all alike. Writes benchmarks/train.json.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from common import flat_settings, options, write
from torch import nn

from ecgutils.findings import FINDINGS
from ecgutils.learn import FlatSet, build_model
from ecgutils.learn.train import Run, masked_bce
from ecgutils.profiles import arm_settings, load_profile

N_IMAGES, N_TARGETS = 4096, 428
ROUND_STEPS = 8


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


def main() -> int:
    parser = options(__doc__, "profile", "out")
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    profile = load_profile(args.profile)
    settings = replace(arm_settings(profile)["stage1"], checkpoint_every=10**9, eval_every=10**9)
    preprocess = flat_settings(profile)
    sets = random_set(profile.flat_size, N_IMAGES, 0), random_set(profile.flat_size, 64, N_IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(build_model(profile.backbone, preprocess), *sets, settings, Path(folder), {})
        bare = Run(build_model(profile.backbone, preprocess), *sets, settings, Path(folder), {})
        ink, labels, _ = bare.batch(0)
        step = 0

        def load() -> None:
            nonlocal step
            run.batch(step)
            step += 1

        def forward_backward() -> None:
            bare.model.train()
            loss = masked_bce(bare.model(ink), labels)
            bare.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(bare.model.parameters(), settings.clip_norm)
            bare.optimizer.step()

        arms: dict[str, Callable[[], object]] = {"loader": load, "bare": forward_backward, "loop": run.one_step}
        rates: dict[str, list[float]] = {name: [] for name in arms}
        for turn in range(args.rounds + 1):
            for name, work in arms.items():
                started = time.perf_counter()
                for _ in range(ROUND_STEPS):
                    work()
                if turn:  # the first round warms up
                    rates[name].append(ROUND_STEPS * settings.batch_size / (time.perf_counter() - started))
    found = {name: float(np.median(values)) for name, values in rates.items()}
    ratio = float(np.median(np.array(rates["loop"]) / np.array(rates["bare"])))
    print(", ".join(f"{name} {value:.1f} images/s" for name, value in found.items()), f"loop / bare {ratio:.3f}")
    write({"threads": torch.get_num_threads(), "images_per_s": found, "loop_by_bare": ratio}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
