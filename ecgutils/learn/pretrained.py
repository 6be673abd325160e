"""Backbones from timm, with or without ImageNet weights, and a plain word on what was really loaded."""

from __future__ import annotations

import difflib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from torch import nn

from ecgutils.files import content_hash

HUB_TIMEOUT_S = 6.0  # left alone, huggingface_hub retries an unreachable hub for 46 s to several minutes


def make_backbone(
    name: str, in_chans: int, drop_path: float, pretrained: bool | str | Path, seed: int
) -> tuple[nn.Module, str, bool]:
    """A timm backbone without its classifier.

    pretrained : False; True, from the timm hub; or the path of a local file of timm weights for this backbone.

    Returns (module, a sentence on where its weights come from, whether they are pretrained). An unreachable hub is a
    warning, and the weights are random. Raises FileNotFoundError for a missing file, ValueError for an unknown
    backbone, one without drop path, or a file whose tensors do not fit.
    """
    if not timm.is_model(name):
        close = ", ".join(difflib.get_close_matches(name, timm.list_models(), 3)) or "convnext_atto_ols"
        raise ValueError(f"Unknown backbone {name!r}; timm {timm.__version__} has, for example, {close}.")
    options: dict[str, Any] = {"num_classes": 0, "in_chans": in_chans}
    if drop_path > 0:
        options["drop_path_rate"] = drop_path
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            backbone = timm.create_model(name, pretrained=False, **options)
        except TypeError as error:
            raise ValueError(f"Backbone {name} cannot be built with {options}: {error}.") from error
    if pretrained is False:
        return backbone, "random initialisation, as asked", False
    random = {key: value.clone() for key, value in backbone.named_parameters() if value.ndim > 1}
    try:
        loaded, where = _load(name, options, pretrained, seed)
    except _NotThere as error:
        status = f"random initialisation: {error}"
        warnings.warn(f"{name} (pretrained={pretrained}) starts from a {status}.", stacklevel=3)
        return backbone, status, False
    # timm does not insist that every tensor is found in a file: count those that differ from the same random start.
    changed = sum(not torch.equal(value, random[key]) for key, value in loaded.named_parameters() if key in random)
    if changed < len(random):
        raise ValueError(f"{where} fits only {changed} of {len(random)} tensors of {name}: weights of another model?")
    return loaded, f"ImageNet weights from {where}", True


class _NotThere(Exception):
    """Pretrained weights that cannot be had here; the message says why."""


def _load(name: str, options: dict[str, Any], pretrained: bool | str | Path, seed: int) -> tuple[nn.Module, str]:
    """Build the backbone with pretrained weights; returns it and where they are from."""
    if pretrained is not True:
        path = Path(pretrained)
        if not path.is_file():
            raise FileNotFoundError(f"There is no weights file {path}: correct the path, or train from scratch.")
        where = f"file {path.name} (sha256 {content_hash(path)[:12]})"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                backbone = timm.create_model(
                    name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **options
                )
            except Exception as error:  # every reader of weights files has errors of its own
                raise ValueError(f"{where} does not hold weights for {name}: {_first_line(error)}.") from error
        return backbone, where
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise _NotThere(f"timm has no pretrained weights for {name}")
    try:
        with torch.random.fork_rng(devices=[]), _hub_offline(not hub_answers(config.hf_hub_id)):
            torch.manual_seed(seed)
            backbone = timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # no route, no such host, refused, offline and nothing cached, ...
        raise _NotThere(
            f"the model hub could not be reached ({type(error).__name__}); give a local file, or pretrained=False"
        ) from error
    return backbone, f"the timm hub ({config.hf_hub_id or config.url})"


def hub_answers(repo_id: str | None, timeout_s: float = HUB_TIMEOUT_S) -> bool:
    """Whether the hub answers for this repository within `timeout_s` seconds, without retries."""
    answers = []

    def ask() -> None:
        url = huggingface_hub.hf_hub_url(repo_id or "timm/convnext_atto_ols.a2_in1k", "model.safetensors")
        try:
            huggingface_hub.get_hf_file_metadata(url, timeout=timeout_s)
        except huggingface_hub.errors.EntryNotFoundError:
            pass  # it answered: this repository only has another file name
        except Exception:  # whatever went wrong, the answer is no
            return
        answers.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)  # from outside, as a name look-up ignores socket timeouts
    return bool(answers)


@contextmanager
def _hub_offline(offline: bool) -> Iterator[None]:
    """Make huggingface_hub use its local cache only: found there or failed at once, instead of retrying."""
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".:")
