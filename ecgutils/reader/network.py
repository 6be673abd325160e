"""A small network that sees what is on a flattened page: traces, lead names, pulses and other print, which way is up.

A U-Net whose finest level has half of the plane's scale: the picture comes in as 2x2 pixels a cell, and the traces go
out so. Weights and what they learned from are in ecgutils/weights/reader (made by benchmarks/reader_weights.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ecgutils.reader.leads import MARKS

TURNS = 8  # clockwise quarter turns that make a page upright; then the same of a mirror image
CELL = 16  # px: sides of what goes in are multiples
WIDTHS = (16, 32, 64, 96)  # channels at 2, 1, 1/2 and 1/4 px/mm


@dataclass(frozen=True)
class Reading:
    """What is on a page of PLANE_PX_PER_MM, as it lies.

    trace : uint8 (h, w), 255 = surely a trace. marks : uint8 (len(MARKS), h // 4, w // 4), 255 = surely that word.
    turned : float32 (TURNS,), log odds of each way to lie, summed over the page; the largest counts.
    """

    trace: np.ndarray
    marks: np.ndarray
    turned: np.ndarray


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layers = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    return nn.Sequential(*layers)


class ReaderNet(nn.Module):
    """float32 (B, 3, h, w), sides multiples of CELL -> logits of traces (B, 1, h, w), of nothing and each mark
    (B, 1 + len(MARKS), h / 4, w / 4), and of ways to lie (B, TURNS, h / 16, w / 16)."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.first = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, a), _conv(a, a))
        self.down = nn.ModuleList(
            [
                nn.Sequential(_conv(a, b, 2), _conv(b, b)),
                nn.Sequential(_conv(b, c, 2), _conv(c, c)),
                nn.Sequential(_conv(c, d, 2), _conv(d, d), _conv(d, d)),
            ]
        )
        self.narrow = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)])
        self.up = nn.ModuleList([_conv(c, c), _conv(b, b), _conv(a, a)])
        self.trace = nn.Sequential(nn.Conv2d(a, 4, 1), nn.PixelShuffle(2))
        self.marks = nn.Conv2d(b, 1 + len(MARKS), 1)
        self.turned = nn.Conv2d(d, TURNS, 1)

    def forward(self, page: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        levels = [self.first(page)]
        for down in self.down:
            levels.append(down(levels[-1]))
        turned = self.turned(levels[-1])
        x = levels.pop()
        for narrow, up in zip(self.narrow, self.up, strict=True):
            x = up(levels.pop() + nn.functional.interpolate(narrow(x), scale_factor=2, mode="nearest"))
            if x.shape[1] == WIDTHS[1]:
                marks = self.marks(x)
        return self.trace(x), marks, turned


def as_input(even: np.ndarray) -> torch.Tensor:
    """uint8 (B, h, w, 3) evenly lit pages -> float32 (B, 3, h, w): 0 is white paper, of unit spread."""
    values = torch.from_numpy(even).permute(0, 3, 1, 2).float().mul_(-1 / 255).add_(1)
    spread = values.std(dim=(1, 2, 3), keepdim=True)
    return values.div_(spread + 0.02).contiguous(memory_format=torch.channels_last)


def read_page(even: np.ndarray) -> Reading:
    """Read a uint8 (h, w, 3) evenly lit page of PLANE_PX_PER_MM, bare paper about 250."""
    height, width = even.shape[:2]
    below, right = -height % CELL, -width % CELL
    padded = cv2.copyMakeBorder(even, 0, below, 0, right, cv2.BORDER_REPLICATE)
    with one_torch_thread(), torch.inference_mode():
        trace, marks, turned = _network()(as_input(padded[None]))
        trace = trace[0, 0, :height, :width].sigmoid_().mul_(255).round_().to(torch.uint8)
        marks = marks[0].softmax(0)[1:, : height // 4, : width // 4].mul_(255).round_().to(torch.uint8)
        return Reading(trace.numpy(), marks.numpy(), turned[0].sum((1, 2)).numpy())


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """PyTorch at one thread inside: the number changes its rounding, and several processes would fight."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _network() -> ReaderNet:
    """The shipped network, its normalisations folded into its convolutions."""
    net = ReaderNet()
    with as_file(files("ecgutils") / "weights" / "reader" / "reader.safetensors") as path:
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, strict=False)
    net.eval()
    for part in list(net.modules()):
        if isinstance(part, nn.Sequential) and isinstance(part[1 if len(part) > 1 else 0], nn.BatchNorm2d):
            part[0], part[1] = fuse_conv_bn_eval(part[0], part[1]), nn.Identity()
    return net.to(memory_format=torch.channels_last)
