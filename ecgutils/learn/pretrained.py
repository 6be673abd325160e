"""Backbones from timm, with or without ImageNet weights, and a plain word on what was really loaded."""

import difflib
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from torch import nn

from ecgutils.files import content_hash

HUB_TIMEOUT_S = 6.0  # left alone, huggingface_hub retries an unreachable hub for minutes


def make_backbone(name: str, drop_path: float, pretrained: bool | str | Path, seed: int) -> tuple[nn.Module, str, bool]:
    """A timm backbone for one grey channel, without its classifier.

    pretrained : False; True, from the timm hub; or the path of a local file of timm weights for this backbone.

    Returns (module, a sentence on where its weights come from, whether they are pretrained). An unreachable hub is a
    warning, and the weights are random. Raises FileNotFoundError for a missing file, ValueError for an unknown
    backbone, one without drop path, or a file whose tensors do not fit.
    """
    if not timm.is_model(name):
        close = ", ".join(difflib.get_close_matches(name, timm.list_models(), 3)) or "convnext_atto_ols"
        raise ValueError(f"Unknown backbone {name!r}; timm {timm.__version__} has, for example, {close}.")
    options = {"num_classes": 0, "in_chans": 1} | ({"drop_path_rate": drop_path} if drop_path > 0 else {})
    try:
        backbone = _create(name, seed, options)
    except TypeError as error:
        raise ValueError(f"Backbone {name} cannot be built with {options}: {error}.") from error
    if pretrained is False:
        return backbone, "random initialisation, as asked", False
    if pretrained is True:
        path, where = _from_hub(name)
    elif (path := Path(pretrained)).is_file():
        where = f"file {path.name} (sha256 {content_hash(path)[:12]})"
    else:
        raise FileNotFoundError(f"There is no weights file {path}: correct the path, or train from scratch.")
    if path is None:
        status = f"random initialisation: {where}"
        warnings.warn(f"{name} (pretrained={pretrained}) starts from a {status}.", stacklevel=3)
        return backbone, status, False
    try:
        loaded = _create(name, seed, options, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    except Exception as error:  # every reader of weights files has errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".:")
        raise ValueError(f"{where} does not hold weights for {name}: {reason}.") from error
    # timm does not insist that every tensor is found in a file: count those that differ from the same random start.
    random = {key: value for key, value in backbone.named_parameters() if value.ndim > 1}
    changed = sum(not torch.equal(value, random[key]) for key, value in loaded.named_parameters() if key in random)
    if changed < len(random):
        raise ValueError(f"{where} fits only {changed} of {len(random)} tensors of {name}: weights of another model?")
    return loaded, f"ImageNet weights from {where}", True


def _create(name: str, seed: int, options: dict[str, Any], **weights: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(name, **options, **weights)


def _from_hub(name: str) -> tuple[str | None, str]:
    """The weights' file in the hub's cache, downloaded if need be, and its origin; None, and why, where it can't be."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return None, f"timm's hub has no pretrained weights for {name}"
    file = (config.hf_hub_id, "model.safetensors")
    path = huggingface_hub.try_to_load_from_cache(*file)
    try:
        if not isinstance(path, str):
            path = huggingface_hub.hf_hub_download(*file, local_files_only=not hub_answers(config.hf_hub_id))
    except Exception as error:  # no route, no such host, refused, offline and nothing cached, ...
        kind = type(error).__name__
        return None, f"the model hub could not be reached ({kind}); give a local file, or pretrained=False"
    return path, f"the timm hub ({config.hf_hub_id})"


def hub_answers(repo_id: str, timeout_s: float = HUB_TIMEOUT_S) -> bool:
    """Whether the hub answers for this repository within `timeout_s` seconds, without retries."""
    answers = []

    def ask() -> None:
        with suppress(Exception):  # whatever went wrong, the answer is no
            answers.append(huggingface_hub.model_info(repo_id, timeout=timeout_s))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)  # from outside, as a name look-up ignores socket timeouts
    return bool(answers)
