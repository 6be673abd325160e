"""The two networks of the reader, in PyTorch: one sees what is on a page, a smaller one reads its legends.

Weights and what they learned from are in ecgutils/weights/reader (made by benchmarks/reader_weights.py and
legend_weights.py). What they answer is made sense of without PyTorch, in network.py and legend.py.
"""

from importlib.resources import as_file, files

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ecgutils.reader.leads import LEGENDS, MARKS

TURNS = 8  # clockwise quarter turns that make a page upright; then the same of a mirror image
WIDTHS = (16, 32, 64, 96)  # channels at 2, 1, 1/2 and 1/4 px/mm


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layers = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    return nn.Sequential(*layers)


class ReaderNet(nn.Module):
    """float32 (B, 3, h, w), sides multiples of CELL -> logits of traces (B, 1, h, w), of nothing and each mark
    (B, 1 + len(MARKS), h / 4, w / 4), and of ways to lie (B, TURNS, h / 16, w / 16).

    A U-Net whose finest level has half of the plane's scale: the picture comes in as 2x2 pixels a cell, and the traces
    go out so.
    """

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


class LegendNet(nn.Module):
    """float32 (B, 1, h, w) of CROP -> logits (B, 6): no legend, then LEGENDS."""

    def __init__(self) -> None:
        super().__init__()
        widths, strides = (1, 16, 24, 32, 48, 64, 64), (2, 1, 2, 1, 2, 1)
        layers = [_conv(a, b, stride) for a, b, stride in zip(widths, widths[1:], strides, strict=False)]
        self.features = nn.Sequential(*layers, nn.AdaptiveMaxPool2d((4, 7)), nn.Flatten(), nn.Dropout(0.2))
        self.head = nn.Linear(widths[-1] * 4 * 7, 1 + len(LEGENDS))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(crops))


def page_input(even: torch.Tensor) -> torch.Tensor:
    """uint8 (B, h, w, 3) evenly lit pages -> float32 (B, 3, h, w): 0 is white paper, of unit spread."""
    values = even.permute(0, 3, 1, 2).float().mul_(-1 / 255).add_(1)
    spread = values.std(dim=(1, 2, 3), keepdim=True)
    return values.div_(spread + 0.02).contiguous(memory_format=torch.channels_last)


def legend_input(crops: torch.Tensor) -> torch.Tensor:
    """uint8 (n, h, w) -> float32 (n, 1, h, w): paper is 0, ink positive, of about unit spread."""
    values = crops.float()[:, None]
    middle = values.flatten(1).sort(1).values[:, (values[0].numel() - 1) // 2]  # `median`, which ONNX lacks
    values = values - middle.view(-1, 1, 1, 1)
    return values / (values.std(dim=(1, 2, 3), keepdim=True) + 8)


class PageReader(nn.Module):
    """uint8 (batch, h, w, 3), evenly lit RGB pages of 4 px/mm, paper about 250, sides multiples of 16 -> traces uint8
    (batch, h, w), marks uint8 (batch, 19, h / 4, w / 4) and turns float32 (batch, 8), as Reading has them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ReaderNet()

    def forward(self, even: torch.Tensor) -> tuple[torch.Tensor, ...]:
        trace, marks, turned = self.net(page_input(even))
        shares = trace[:, 0].sigmoid(), marks.softmax(1)[:, 1:]
        return *(share.mul(255).round().to(torch.uint8) for share in shares), turned.sum((2, 3))


class LegendReader(nn.Module):
    """uint8 (batch, 32, 112), darkness at 4 px/mm, a legend's digits begin 12 px from the left -> probabilities float32
    (batch, 6) of no legend, 25 and 50 mm/s, 5, 10 and 20 mm/mV."""

    def __init__(self) -> None:
        super().__init__()
        self.net = LegendNet()

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.net(legend_input(crops)).softmax(1),)


def shipped(name: str) -> nn.Module:
    """The shipped "reader" or "legend"; the reader's normalisations are folded into its convolutions."""
    module = {"reader": PageReader, "legend": LegendReader}[name]()
    with as_file(files("ecgutils") / "weights" / "reader" / f"{name}.safetensors") as path:
        module.net.load_state_dict({key: tensor.float() for key, tensor in load_file(path).items()}, strict=False)
    module.eval()
    if name == "legend":
        return module
    for part in list(module.modules()):
        if isinstance(part, nn.Sequential) and isinstance(part[1 if len(part) > 1 else 0], nn.BatchNorm2d):
            part[0], part[1] = fuse_conv_bn_eval(part[0], part[1]), nn.Identity()
    return module.to(memory_format=torch.channels_last)


def run(module: nn.Module, array: np.ndarray) -> list[np.ndarray]:
    """What a module makes of an array, at one thread: their number changes PyTorch's rounding, and several processes
    would fight."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return [found.numpy() for found in module(torch.from_numpy(array))]
    finally:
        torch.set_num_threads(before)
