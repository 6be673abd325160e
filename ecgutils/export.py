"""Classifiers and the reader's networks as ONNX files, compared with PyTorch before they are said to be there."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime  # noqa: F401  extras: what isn't installed is said before anything is made
import onnxscript  # noqa: F401
import torch
from torch import nn

from ecgutils.files import content_hash, write_json
from ecgutils.findings import FINDINGS
from ecgutils.hearts import simulate
from ecgutils.learn import ECGModel, find_calibration, load_exported, load_model, predict
from ecgutils.learn.checkpoint import NAMED, SHIPPED_FOLDER, expanded, trained_on
from ecgutils.learn.exported import ONNX_NAME, READER_NAME
from ecgutils.onnx import OnnxNetwork
from ecgutils.preprocess import Preprocessor
from ecgutils.preprocess.pipeline import rectify
from ecgutils.reader.legend import CROP, crops_at
from ecgutils.reader.nets import run, shipped
from ecgutils.reader.network import CELL
from ecgutils.synth import render_photo, render_scan

NEAR = 1e-5  # of the largest number of an output; of logits up to 40 this is below 1e-4 of a probability
NEAR_OF_PHOTOS = 1e-3  # of a probability: each engine flattens photos itself


class PagesModel(nn.Module):
    """uint8 (batch, H, W), flat pages as `preprocess` writes them, dark trace on white, 255 around it -> logits float32
    (batch, 5) in the order of findings; a probability, not calibrated, is 1 / (1 + exp(-logit))."""

    def __init__(self, model: ECGModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pages: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.model((255 - pages.unsqueeze(1)).float() / 255),)


def export(names: Sequence[str | Path], out: str | Path) -> list[str]:
    """Write classifiers, the reader's networks and the calibrations that fit as the folder `out`; says what was done.

    names : as `load_model` takes them, and "simulated". `out`, which `load_exported` reads, holds NAME/model.onnx, its
    model.json (input and output in words, findings, preprocess, sha256 of the weights and of the .onnx file,
    trained_on), calibration.json in NAME of this network alone and beside NAME of all, and reader/. It is written whole
    or not at all.

    Raises ValueError for checkpoints of one name, an `out` that isn't empty, a network that ONNX can't express, or
    answers that are not PyTorch's; and as `load_model` does.
    """
    out, wanted = Path(out).absolute(), expanded(names)
    named = {str(one) if str(one) in NAMED else Path(one).resolve().name: one for one in wanted}
    if len(named) < len(wanted):
        raise ValueError(f"Two of {', '.join(map(str, wanted))} have one name: export them into folders of their own.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} is there already: give an --out that is not, or an empty folder.")
    members = {name: load_model(one) for name, one in named.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        folder, photos, rng = Path(temporary) / "export", _photos(Path(temporary)), np.random.default_rng(0)
        _export_reader(folder / READER_NAME, photos, rng)
        for name, model in members.items():
            flats = [Preprocessor(model.settings)(photo).image for photo in photos]
            pages = np.stack([*rng.integers(0, 256, (2, *model.input_size), np.uint8), *flats])
            facts = {"findings": FINDINGS, "preprocess": model.settings.to_dict(), "sha256": model.checkpoint[1]}
            facts["trained_on"] = trained_on(named[name])
            _write(PagesModel(model).eval(), [pages[:2], pages, pages[2:3]], {0: 1}, folder / name / ONNX_NAME, facts)
        for group in {*((name,) for name in members), tuple(members)}:
            if calibration := find_calibration([members[name] for name in group])[0]:
                where = folder / group[0]
                calibration.save((where if len(group) == 1 else where.parent) / "calibration.json")
        apart = _compare_photos(list(members.values()), folder, photos)
        os.replace(folder, out)
    said = f"{len(members)} classifier(s) and the reader in {out}, for predict --onnx; each answers as PyTorch does"
    return [said, f"probabilities of {len(photos)} rendered photos are within {apart:.0e} of PyTorch's"]


def _photos(folder: Path) -> list[Path]:
    """Two photos and a scan, rendered."""
    paths = []
    for seed, render in enumerate((render_photo, render_photo, render_scan)):
        image = render(simulate(np.random.default_rng(seed)), np.random.default_rng([seed, 1])).image
        paths.append(folder / f"page{seed}.png")
        cv2.imwrite(str(paths[-1]), image[..., ::-1])
    return paths


def _export_reader(folder: Path, photos: list[Path], rng: np.random.Generator) -> None:
    """The reader's networks; what they read are noise and a photo, evenly lit, that was rendered."""
    even = rectify(cv2.imread(str(photos[0]))[..., ::-1], Preprocessor().settings).even
    height, width = (side // CELL * CELL for side in even.shape[:2])
    crops = crops_at(255 - even.min(axis=2), rng.uniform(0, even.shape[1::-1], (5, 2)))
    pages = [rng.integers(0, 256, (2, 7 * CELL, 9 * CELL, 3), np.uint8), even[None, :height, :width]]
    legends = [rng.integers(0, 256, (2, *CROP[::-1]), np.uint8), crops, crops[:1]]
    for name, batches, steps in (("legend", legends, {0: 1}), ("reader", pages, {0: 1, 1: CELL, 2: CELL})):
        weights = content_hash(SHIPPED_FOLDER / "reader" / f"{name}.safetensors")
        _write(shipped(name), batches, steps, folder / f"{name}.onnx", {"sha256": weights})


def _write(
    module: nn.Module, batches: list[np.ndarray], steps: dict[int, int], path: Path, facts: dict[str, Any]
) -> None:
    """One network as ONNX, and what there is to know of it; ValueError where it answers one of the batches otherwise.

    steps : axes of any length, and what divides that.
    """
    free = {axis: step * torch.export.Dim(f"axis{axis}") if step > 1 else "batch" for axis, step in steps.items()}
    try:
        sample = (torch.from_numpy(batches[0]),)
        program = torch.onnx.export(module, sample, dynamic_shapes=(free,), input_names=["pages"], verbose=False)
    except Exception as error:  # of many kinds
        raise ValueError(f"{path.parent.name} can't be expressed as ONNX: {str(error).splitlines()[0]}") from error
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces, with the paths of this machine
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path)
    meaning = " ".join(type(module).__doc__.split())
    write_json(path.with_suffix(".json"), {"meaning": meaning, **facts, "onnx_sha256": content_hash(path)})
    network = OnnxNetwork(path, threads=1)
    for batch in batches:
        for wanted, found in zip(run(module, np.ascontiguousarray(batch)), network(batch), strict=True):
            rounded = wanted.dtype == np.uint8  # by either engine
            most = 1 if rounded else NEAR * max(1, np.abs(wanted).max())
            apart = np.abs(wanted.astype(float) - found).max() if wanted.shape == found.shape else np.inf
            if not apart <= most:
                what = f"{path.parent.name}/{path.name} answers {apart:.2g} away from PyTorch, more than {most:.2g}"
                raise ValueError(f"{what}: nothing is written.")


def _compare_photos(members: list[ECGModel], folder: Path, photos: list[Path]) -> float:
    """How far apart probabilities are after all of the way: pages, views, blending and calibration."""
    wanted, found = (predict(by, photos, progress=False) for by in (members, load_exported(folder)))
    numbers = [*FINDINGS, "quality"]
    apart = (wanted[list(FINDINGS)] - found[list(FINDINGS)]).abs().max(axis=None)
    if not (wanted.drop(columns=numbers).equals(found.drop(columns=numbers)) and apart <= NEAR_OF_PHOTOS):
        raise ValueError(f"Photos are read otherwise by ONNX than by PyTorch ({apart:.2g}): nothing is written.")
    return apart
