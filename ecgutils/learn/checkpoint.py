"""Checkpoint folders: `model.safetensors` and the `params.json` that says what it is."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch

import ecgutils
from ecgutils.files import content_hash, jsonable, read_json, write_bytes, write_json
from ecgutils.findings import FINDINGS
from ecgutils.learn.model import ECGModel, build_model, torch_device
from ecgutils.preprocess import PreprocessSettings
from ecgutils.provenance import git_describe, versions

WEIGHTS_NAME, PARAMS_NAME = "model.safetensors", "params.json"
RESUME_NAME = "resume.pt"  # beside them as long as a training is not finished
SHIPPED = ("default",)  # what `predict` on the command line takes, where no checkpoint is named
SIMULATED = ("simulated/default", "simulated/fine")  # a pair that no patient's signal was in; "simulated" names both
REAL = (*SHIPPED, "small")  # learned from real hearts; "small" reads smaller pages, and is quicker to train further
NAMED = REAL + SIMULATED  # all checkpoints in the package
SEEN_FOLDS = range(1, 8)  # of PTB-XL: the patients that REAL learned from
SHIPPED_FOLDER = Path(ecgutils.__file__).parent / "weights"


def save_model(model: ECGModel, folder: str | Path, params: dict[str, Any] | None = None, half: bool = False) -> Path:
    """Write `folder/model.safetensors` and `folder/params.json`, each atomically; returns the folder.

    params : JSON-able facts about the run, kept under their own names beside model, findings, preprocess,
        pretrained_status, sha256, versions and git.
    half : store weights as float16 (half the size).
    """
    folder = Path(folder)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    state = {key: value.half() if half and value.is_floating_point() else value for key, value in state.items()}
    content = safetensors.torch.save(state)
    own = {"model": model.spec, "findings": FINDINGS, "preprocess": model.settings.to_dict()}
    own |= {"pretrained_status": model.pretrained_status, "sha256": hashlib.sha256(content).hexdigest()}
    own |= {"versions": versions(), "git": git_describe()}
    if clash := set(own) & set(params or {}):
        raise ValueError(f"save_model: params may not contain {', '.join(sorted(clash))}; the model says these itself.")
    write_bytes(folder / WEIGHTS_NAME, content)
    write_json(folder / PARAMS_NAME, jsonable(own | (params or {})))
    return folder


def expanded(names: Iterable[str | Path]) -> list[str | Path]:
    """Checkpoints by name, "simulated" as the two that it stands for."""
    return [one for name in names for one in (SIMULATED if str(name) == "simulated" else (name,))]


def load_model(name_or_path: str | Path = "default", device: str = "cpu") -> ECGModel:
    """Load a checkpoint folder, or one of NAMED by its name.

    device : where it answers: "cpu", "cuda", "cuda:1", or "auto" (CUDA when there is one). `fit` moves it by itself.

    Raises
    ------
    FileNotFoundError : no such folder, or it lacks model.safetensors or params.json.
    ValueError : an unfinished training, files that do not belong together (sha256), other findings, unknown backbone or
        preprocessing settings, tensors that do not fit, or numbers that are not finite.
    """
    folder, params = read_params(name_or_path)
    try:
        settings = PreprocessSettings.from_dict(params["preprocess"])
        model = build_model(settings=settings, **_spec(params))
    except Exception as error:  # timm's builders raise whatever the values lead them to
        raise ValueError(f"{folder / PARAMS_NAME} does not describe a model of this version: {error}") from error
    _fill(model, folder, params)
    model.pretrained_status = params.get("pretrained_status", "not recorded")
    model.eval().checkpoint = folder.resolve(), params["sha256"]
    return model.to(torch_device(device))


def start_from(name_or_path: str | Path, settings: PreprocessSettings) -> ECGModel:
    """A checkpoint's network with its weights, for pages of other settings: to be trained further (`take_weights`)."""
    model = build_model(settings=settings, **_spec(read_params(name_or_path)[1]))
    take_weights(model, name_or_path)
    return model


def take_weights(model: ECGModel, name_or_path: str | Path) -> None:
    """Fill `model`, in place, with a checkpoint's weights, to train on; ValueError for another backbone or head.

    The checkpoint's images may have another size: its places on the page are interpolated.
    """
    folder, params = read_params(name_or_path)
    theirs = params.get("model", {})
    for key in ("backbone", "head"):
        if theirs.get(key) != model.spec[key]:
            what = f"Checkpoint {folder} has {key} {theirs.get(key)!r}, the model {model.spec[key]!r}"
            raise ValueError(f"{what}: build the model as the checkpoint was built.")
    _fill(model, folder, params, rescale=True)
    model.checkpoint = None
    origin = params.get("pretrained_status", "not recorded")
    model.pretrained_status = f"checkpoint {folder.name} (sha256 {params['sha256'][:12]}), which began with: {origin}"


def read_params(name_or_path: str | Path) -> tuple[Path, dict[str, Any]]:
    """A checkpoint's folder and its params.json; raises as `load_model` does, for everything but the tensors."""
    folder = Path(name_or_path)
    if str(name_or_path) in NAMED:
        folder = SHIPPED_FOLDER / name_or_path
    if folder.is_file():  # a pickle (.pt, .pth, .bin) can run code as it is read
        what = f"a checkpoint is a folder with {WEIGHTS_NAME} and {PARAMS_NAME}, and no other weights are read"
        raise ValueError(f"{folder} is a file: {what}.")
    if not folder.is_dir():
        pair = f"give {' or '.join(SIMULATED)}, for which it stands" if folder.name == "simulated" else ""
        what_to_do = pair or "train one, or give the folder of an existing one"
        raise FileNotFoundError(f"No checkpoint folder at {folder}: {what_to_do}.")
    if (folder / RESUME_NAME).exists():
        raise ValueError(f"The training of checkpoint {folder} is not finished ({RESUME_NAME} is there): resume it.")
    for name in (WEIGHTS_NAME, PARAMS_NAME):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"Checkpoint {folder} has no {name}: train it, or copy the whole folder again.")
    try:
        params = read_json(folder / PARAMS_NAME, "copy it")
        findings, sha256, params["run"] = tuple(params["findings"]), params["sha256"], dict(params.get("run", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / PARAMS_NAME} does not describe a checkpoint ({error!r}): copy it.") from error
    if findings != FINDINGS:
        raise ValueError(f"Checkpoint {folder} gives findings {findings}, this version reads {FINDINGS}: retrain it.")
    if content_hash(folder / WEIGHTS_NAME) != sha256:
        raise ValueError(f"{folder / WEIGHTS_NAME} is not what {PARAMS_NAME} describes (sha256 differs): copy both.")
    return folder, params


def trained_on(name_or_path: str | Path) -> str:
    """What a checkpoint learned from, in words."""
    return str(read_params(name_or_path)[1]["run"].get("trained_on", "data its card does not name"))


def seen_before(names: Iterable[str], table: pd.DataFrame) -> pd.Series:
    """Which images of a manifest, bool, are of hearts that one of REAL learned from, if it is among `names`."""
    folds = SEEN_FOLDS if set(names) & set(REAL) else ()
    return table["signal_source"].eq("ptbxl") & table["fold"].isin(folds)


def _spec(params: dict[str, Any]) -> dict[str, Any]:
    """What `build_model` takes; the input statistics are filled in with the weights."""
    return {key: value for key, value in params["model"].items() if key not in ("mean", "std", "head", "in_chans")}


def _fill(model: ECGModel, folder: Path, params: dict[str, Any], rescale: bool = False) -> None:
    """Load the tensors strictly (float16 is widened to the model's float32) and the input statistics."""
    path = folder / WEIGHTS_NAME
    try:
        state = safetensors.torch.load_file(path)
    except Exception as error:
        raise ValueError(f"{path} is not a safetensors file: {error}.") from error
    own = model.state_dict()
    if rescale and "head.near" in state:
        width, height = params["preprocess"]["size"]
        state["head.near"] = model.head.rescaled_near(state["head.near"].float(), height / width)
    for key in sorted(set(own) | set(state)):
        if key not in state or key not in own or state[key].shape != own[key].shape:
            have = tuple(state[key].shape) if key in state else "absent"
            want = tuple(own[key].shape) if key in own else "not expected"
            raise ValueError(f"{path}: tensor {key} is {have}, but {params['model']['backbone']} needs {want}.")
        if not state[key].isfinite().all():
            raise ValueError(f"{path}: tensor {key} holds numbers that are not finite: train it anew.")
    model.load_state_dict(state)
    for key, low in (("mean", -1e30), ("std", 0)):
        match params["model"].get(key):
            case [int() | float() as value] if low < value < 1e30:  # float32 holds more
                model.spec[key] = [value]
                getattr(model, key).fill_(value)
            case other:
                wanted = "one finite number" + " above 0" * (low == 0)
                raise ValueError(f"{folder / PARAMS_NAME}: {key} is {other}, not a list of {wanted}: copy it again.")
