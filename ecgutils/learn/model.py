"""The classifier: a timm backbone, with or without ImageNet weights, and a head that keeps the places on the page."""

import difflib
import math
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import timm
import torch
import torch.nn.functional as F
from timm.models import group_parameters
from torch import nn

from ecgutils.files import content_hash
from ecgutils.findings import FINDINGS
from ecgutils.learn.exported import CPU_PIXELS
from ecgutils.preprocess import PreprocessSettings

HUB_TIMEOUT_S = 6.0  # left alone, huggingface_hub retries an unreachable hub for minutes
PLACES_GRID = 4  # rows and columns of places; a 3x4 page with a rhythm strip has about this many cells
PLACE_WIDTH = 96  # channels kept for each place
GPU_PAGES = 64  # of a batch that a GPU answers
NEARNESS = 40.0  # how sharply a place begins around its point: a neighbour, 1/4 of the page away, has exp(-2.5)


class PlacesHead(nn.Module):
    """Last feature map -> 16 places that find themselves -> 96 channels each -> all of them side by side -> 5 logits.

    A flat page has its leads in places and a finding is a finding *in a lead*, which an average over the page cannot
    tell. Each place is an attention over the map: it starts as a blot around one of 4x4 points, and what it sees
    moves it (pages of six rows have their leads elsewhere than pages of three).
    """

    def __init__(self, channels: int, size: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.size = size
        self.norm = nn.LayerNorm(channels)
        self.key = nn.Linear(channels, PLACE_WIDTH)
        self.query = nn.Parameter(0.02 * torch.randn(PLACES_GRID**2, PLACE_WIDTH))
        y, x, point = ((torch.arange(n) + 0.5) / n for n in (*size, PLACES_GRID))
        far = (y - point[:, None]).square()[:, None, :, None] + (x - point[:, None]).square()[None, :, None, :]
        self.near = nn.Parameter(-NEARNESS * far.reshape(PLACES_GRID**2, -1))
        self.project = nn.Linear(channels, PLACE_WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(PLACES_GRID**2 * PLACE_WIDTH, len(FINDINGS))

    def embed(self, feature_map: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, 16 * 96): what is said of each place, side by side."""
        points = self.norm(feature_map.flatten(2).transpose(1, 2))  # (B, h * w, C)
        attention = (self.key(points) @ self.query.T).transpose(1, 2) + self.near  # (B, 16, h * w)
        return F.gelu(self.project(attention.softmax(-1) @ points)).flatten(1)

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        return self.classify(self.dropout(self.embed(feature_map)))

    def rescaled_near(self, near: torch.Tensor, aspect: float) -> torch.Tensor:
        """`near` (16, h * w) of maps of another size with h / w about `aspect`, interpolated to this head's size."""
        height = max(1, round((near.shape[1] * aspect) ** 0.5))
        if near.shape[1] == self.near.shape[1] or near.shape[1] % height:
            return near
        maps = near.view(1, len(near), height, -1)
        return F.interpolate(maps, self.size, mode="bilinear").view(len(near), -1)


class ECGModel(nn.Module):
    """Flat ECG image -> one logit per finding, in FINDINGS order. Make it with `build_model`.

    Input is *ink*: float (B, 1, H, W), 1 = black, 0 = white paper and padding, as `to_ink` makes it from uint8.
    ImageNet statistics are applied only where the backbone began with ImageNet weights.

    Attributes
    ----------
    spec : what `build_model` needs to build it again, and its head and input statistics (JSON-able).
    settings : the PreprocessSettings its images must be made with.
    pretrained_status : a sentence, where its first weights came from.
    checkpoint : folder and sha256 of the weights that `load_model` read, None from the moment it is trained on.
    exported : None, its pages are read by PyTorch too.
    """

    checkpoint: tuple[Path, str] | None = None
    exported: None = None

    def __init__(
        self, backbone: nn.Module, spec: dict[str, Any], settings: PreprocessSettings, pretrained_status: str
    ) -> None:
        super().__init__()
        self.spec, self.settings, self.pretrained_status = spec, settings, pretrained_status
        self.backbone = backbone
        probe = torch.zeros(1, 1, *self.input_size)
        with torch.no_grad():
            shape = backbone.eval().forward_features(probe).shape
            backbone.train()
        if len(shape) != 4 or getattr(backbone, "output_fmt", "NCHW") != "NCHW":
            what = f"Backbone {spec['backbone']} gives features of shape {tuple(shape)}, not a map (B, C, h, w)"
            raise ValueError(f"{what}: choose a convolutional one, for example convnext_atto_ols.")
        self.head = PlacesHead(shape[1], tuple(shape[2:]), spec["dropout"])
        # Not saved with the weights: they are part of the spec.
        self.register_buffer("mean", torch.tensor(spec["mean"]).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec["std"]).view(1, -1, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> "ECGModel":
        """As any module's; what is trained is not the checkpoint's any more."""
        if mode:
            self.checkpoint = None
        return super().train(mode)

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) of its images in pixels."""
        width, height = self.settings.size
        return height, width

    def features(self, ink: torch.Tensor) -> torch.Tensor:
        """Last feature map (B, C, h, w) of ink images; ValueError for ink of another size."""
        if tuple(ink.shape[1:]) != (1, *self.input_size):
            height, width = self.input_size
            raise ValueError(f"ECGModel: input must be (B, 1, {height}, {width}), got {tuple(ink.shape)}.")
        return self.backbone.forward_features((ink - self.mean) / self.std)

    def embed(self, ink: torch.Tensor) -> torch.Tensor:
        """(B, E) summary of ink images, from which `head.classify` gives the logits."""
        return self.head.embed(self.features(ink))

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(ink))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits float32 (N, 5) of flat pages uint8 (N, H, W); ValueError for another type or size than the model's."""
        device, was_training = self.mean.device, self.training
        self.eval()
        step = max(1, CPU_PIXELS // math.prod(self.input_size)) if device.type == "cpu" else GPU_PAGES
        logits = np.empty((len(images), len(FINDINGS)), np.float32)
        with torch.inference_mode():
            for i in range(0, len(images), step):
                logits[i : i + step] = self(to_ink(images[i : i + step], device)).float().cpu().numpy()
        self.train(was_training)
        return logits

    def parameter_layers(self) -> dict[str, int]:
        """Layer number of each parameter, 0 = stem ... last = head: what layer-wise lr decay counts in."""
        names = [name for name, _ in self.backbone.named_parameters()]
        layers = dict.fromkeys(names, 0)
        if hasattr(self.backbone, "group_matcher"):
            layers = group_parameters(self.backbone, self.backbone.group_matcher(coarse=False), reverse=True)
        rank = {layer: i for i, layer in enumerate(sorted(set(layers.values())))}
        numbered = {f"backbone.{name}": rank[layers[name]] for name in names}
        return numbered | {f"head.{name}": len(rank) for name, _ in self.head.named_parameters()}


def build_model(
    backbone: str = "convnext_atto_ols",
    settings: PreprocessSettings | None = None,
    pretrained: bool | str | Path = False,
    drop_path: float = 0.0,
    dropout: float = 0.1,
    seed: int = 0,
) -> ECGModel:
    """Build a classifier; the same seed gives the same random weights.

    Parameters
    ----------
    backbone : any convolutional timm model by name.
    settings : how its images are made; None = PreprocessSettings().
    pretrained : False; True, ImageNet weights from the timm hub; or a local file of ImageNet weights of this
        backbone. When they cannot be had: a warning, random weights, and `model.pretrained_status` says so.
    drop_path, dropout : probabilities in 0..1 (not 1).

    Raises ValueError for an unknown backbone, a number out of range, or weights that do not fit.
    """
    for name, value in (("drop_path", drop_path), ("dropout", dropout)):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}.")
    settings = PreprocessSettings() if settings is None else settings
    module, status, is_pretrained = make_backbone(backbone, drop_path, pretrained, seed)
    mean, std = [0.0], [1.0]
    if is_pretrained:  # timm sums the three colour kernels; the one grey channel gets the average statistics
        mean, std = ([float(np.mean(module.pretrained_cfg[key]))] for key in ("mean", "std"))
    spec = {"backbone": backbone, "head": "places", "drop_path": drop_path, "dropout": dropout}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ECGModel(module, spec | {"mean": mean, "std": std}, settings, status)
    return model.to(memory_format=torch.channels_last)  # faster on a CPU


def make_backbone(name: str, drop_path: float, pretrained: bool | str | Path, seed: int) -> tuple[nn.Module, str, bool]:
    """A timm backbone for one grey channel, without its classifier; arguments as `build_model`'s.

    Returns (module, a sentence on where its weights come from, whether they are pretrained). Raises FileNotFoundError
    for a missing file, ValueError for an unknown backbone, one without drop path, or tensors that do not fit.
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


def torch_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is CUDA when there is one, else the CPU."""
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def to_ink(images: np.ndarray | torch.Tensor, device: str | torch.device = "cpu") -> torch.Tensor:
    """uint8 (B, H, W), dark trace on white -> float32 (B, 1, H, W) in 0..1, inverted: ink 1, white and padding 0."""
    if images.ndim != 3 or images.dtype not in (np.uint8, torch.uint8):
        raise ValueError(f"Flat images must be uint8 (B, H, W), got {images.dtype} {tuple(images.shape)}.")
    images = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(images))
    grey = images.to(device, non_blocking=True).unsqueeze(1)
    return (255 - grey).float().div_(255).contiguous(memory_format=torch.channels_last)
