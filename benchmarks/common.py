"""What the benchmarks share: options, images, models, scores, and the one way to write what was found."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecgutils import FINDINGS
from ecgutils.evaluate import bootstrap_auroc, fill_unreadable, macro_auroc, paired_difference
from ecgutils.files import jsonable, write_json
from ecgutils.manifest import read_manifest
from ecgutils.preprocess import PreprocessSettings
from ecgutils.provenance import git_describe
from ecgutils.signals import Record
from ecgutils.synth import generate_images

if TYPE_CHECKING:  # torch takes seconds, and half of the benchmarks do without
    from ecgutils.learn import FlatSet
    from ecgutils.learn.model import ECGModel
    from ecgutils.profiles import Profile

COMMIT = git_describe()  # at the start: what is written afterwards would make the checkout "dirty"
OPTIONS: dict[str, dict[str, Any]] = {
    "profile": {"default": "demo", "help": "whose settings count"},
    "workers": {"type": int, "default": 2, "help": "processes that draw and flatten"},
    "jobs": {"type": int, "default": 2, "help": "trainings at once, one thread each"},
    "out": {"type": Path, "help": "JSON to be written; default: beside the script"},
    "data": {"default": os.environ.get("ECG_PTBXL"), "help": "PTB-XL folder; default: $ECG_PTBXL"},
}


def options(description: str | None, *shared: str) -> argparse.ArgumentParser:
    """A parser with those of OPTIONS that are named."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in shared:
        parser.add_argument(f"--{name}", **OPTIONS[name])
    return parser


def ptbxl(args: argparse.Namespace) -> str:
    """The PTB-XL folder of the option `data`; ends the program with a sentence where there is none."""
    if not args.data:
        sys.exit("Name a folder in PTB-XL's layout: --data FOLDER, or set ECG_PTBXL.")
    return args.data


@contextmanager
def main_process_first() -> Iterator[None]:
    """Of the processes that torchrun starts the main one does what is inside, then the others, which find its files."""
    from ecgutils.learn.processes import gather, is_main_process

    if not is_main_process():
        gather()
    yield
    if is_main_process():
        gather()


def write(found: dict[str, Any], path: Path | None = None) -> None:
    """Write `found` with command, commit and device to `path`, or to the JSON beside the script that runs."""
    script = Path(sys.argv[0])
    about = {
        "command": shlex.join(["python", f"benchmarks/{script.name}", *sys.argv[1:]]),
        "commit": COMMIT or "not recorded",
        "device": device(),
    }
    write_json(path or Path(__file__).with_name(f"{script.stem}.json"), jsonable(about | found))


def device() -> str:
    """The GPU that trainings run on; "cpu" where there is none, or where nothing was trained."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "cpu"


def draw(
    records: list[Record], folder: Path, sources: Sequence[str], seed: int, workers: int, name: str = "images.csv",
    size: tuple[int, int] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Manifest of the images of records in each source; what is there already isn't drawn again."""
    generate_images(records, folder, sources, seed=seed, workers=workers, size=size, name=name)
    return read_manifest(folder / name)


def flat_settings(profile: Profile) -> PreprocessSettings:
    """How a profile flattens."""
    return PreprocessSettings(size=profile.flat_size, px_per_mm=profile.px_per_mm)


def new_model(profile: Profile, flat: FlatSet, seed: int, **how: Any) -> ECGModel:
    """A network of the profile's kind, from scratch, for the pages of a set."""
    from ecgutils.learn import build_model

    return build_model(settings=PreprocessSettings.from_dict(flat.preprocess), seed=seed,
                       **{"backbone": profile.backbone} | how)  # fmt: skip


def average(model: ECGModel, others: Sequence[str | Path]) -> None:
    """Make a network's weights the mean of its own and those of other checkpoints; `pretrained_status` says so."""
    import torch

    from ecgutils.learn import load_model

    for k, other in enumerate(map(load_model, others), start=2):
        with torch.no_grad():
            torch._foreach_lerp_(list(model.parameters()), list(other.parameters()), 1 / k)
        path, sha256 = other.checkpoint
        model.pretrained_status += f"; averaged with {path.name} (sha256 {sha256[:12]})"


def ship(checkpoint: Path, folder: Path, others: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Write a checkpoint's weights, or their mean with others', in half precision; returns what a card says of them."""
    from ecgutils.learn import load_model, save_model
    from ecgutils.learn.checkpoint import read_params

    params = read_params(checkpoint)[1]
    own = ("model", "findings", "preprocess", "pretrained_status", "sha256", "versions", "git", "fingerprint")
    kept = {key: value for key, value in params.items() if key not in own} | {"trained_at": params["git"]}
    model = load_model(checkpoint)
    average(model, others)
    shipped = read_params(save_model(model, folder, kept, half=True))[1]
    (height, width), px_per_mm = model.input_size, model.settings.px_per_mm
    about = {"backbone": model.spec["backbone"], "width": width, "height": height, "px_per_mm": px_per_mm}
    about |= {key: shipped[key] for key in ("views", "seconds", "device", "sha256", "pretrained_status")}
    return about | {"trained_on": shipped["run"]["trained_on"], "commit": shipped["trained_at"]}


def prevalence(labels: np.ndarray) -> dict[str, float]:
    """Share of each finding in labels (N, 5), of which NaN don't count."""
    return dict(zip(FINDINGS, np.nanmean(labels, axis=0).tolist(), strict=True))


def scores(table: pd.DataFrame, ids: Sequence[str] | np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities (N, 5) of a table of predictions, in the order of `ids`; a refused one counts as `labels`' mean.

    labels : (M, 5), of the images that were learned from.
    """
    return fill_unreadable(table, prevalence(labels)).set_index("ID").loc[ids, list(FINDINGS)].to_numpy()


def sampling(profile: Profile, flat: FlatSet) -> dict[str, Any]:
    """How intervals over the patients of a set are drawn, as `bootstrap_auroc` and `paired_difference` take it."""
    return {"clusters": flat.cluster_ids, "rounds": profile.bootstrap_rounds, "seed": profile.seed}


def arm_row(name: str, labels: np.ndarray, members: Sequence[np.ndarray], how: dict[str, Any]) -> dict[str, Any]:
    """Row of an arm: AUROC, the mean over the scores (N, 5) of its seeds, macro with its interval, and by seed."""
    found = bootstrap_auroc(labels, np.stack(members), **how).set_index("finding")
    macro = {f"macro_{key}": found.at["macro", key] for key in ("value", "low", "high")}
    by_seed = [macro_auroc(labels, one) for one in members]
    return {"arm": name, "seeds": len(members), **macro, "by_seed": by_seed, **found["value"].drop("macro")}


def gain(labels: np.ndarray, a: Sequence[np.ndarray], b: Sequence[np.ndarray], how: dict[str, Any]) -> dict[str, float]:
    """Macro-AUROC of the seeds of `a` less that of `b`, paired: value, low, high."""
    table = paired_difference(labels, np.stack(a), np.stack(b), **how).set_index("finding")
    return table.loc["macro", ["value", "low", "high"]].to_dict()
