"""What a page's legends say ("25 mm/s", "10 mm/mV"): the reader finds where one may stand, a smaller network reads it.

At 1 px/mm the reader cannot tell digits; here each place is looked at once more, at the plane's own scale. Its weights
are in ecgutils/weights/reader (made by benchmarks/legend_weights.py).
"""

from functools import cache
from importlib.resources import as_file, files

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from ecgutils.reader.leads import MARKS
from ecgutils.reader.network import one_torch_thread

LEGENDS = MARKS[13:18]  # speeds, then gains
SPEED_MARKS, GAIN_MARKS = slice(13, 15), slice(15, 18)
CROP = 112, 32  # (w, h) px at PLANE_PX_PER_MM, 28 x 8 mm
LEAST = 0.10  # of a map, averaged over 5 x 3 mm, where something may be printed
MOST = 32  # places on a page; the rest is a page full of text


class LegendNet(nn.Module):
    """float32 (B, 1, h, w) of CROP -> logits (B, 6): no legend, then LEGENDS."""

    def __init__(self) -> None:
        super().__init__()
        widths, strides = (1, 16, 24, 32, 48, 64, 64), (2, 1, 2, 1, 2, 1)
        layers = [
            nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b, stride in zip(widths, widths[1:], strides, strict=False)
        ]
        self.features = nn.Sequential(*layers, nn.AdaptiveMaxPool2d((4, 7)), nn.Flatten(), nn.Dropout(0.2))
        self.head = nn.Linear(widths[-1] * 4 * 7, 1 + len(LEGENDS))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(crops))


def places(marks: np.ndarray) -> np.ndarray:
    """Where legends may stand: float32 (n, 2) x, y px of the left end of their digits, as one reads.

    marks : uint8 (19, h/4, w/4), as `read_page` gives them, of an upright page.
    """
    found = []
    for kind in (SPEED_MARKS, GAIN_MARKS):
        likely = cv2.blur(marks[kind].sum(0, dtype=np.float32) / 255, (5, 3)) > LEAST
        _, _, boxes, _ = cv2.connectedComponentsWithStats(likely.astype(np.uint8))
        found += [(4 * (x + 1) + 2, 4 * (y + h / 2)) for x, y, _, h, _ in boxes[1:].tolist()]
    return np.array(sorted(found, key=lambda place: place[::-1])[:MOST], np.float32).reshape(-1, 2)


def crops_at(dark: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """uint8 (n, h, w) of CROP, one for each (x, y) px of `xy` (n, 2); dark : uint8 (H, W), ink is bright."""
    width, height = CROP
    wide = cv2.copyMakeBorder(dark, height, height, width, width, cv2.BORDER_REPLICATE)
    corners = np.rint(xy + np.array([width - 12, height / 2])).astype(int)
    found = [wide[y : y + height, x : x + width] for x, y in corners]
    return np.stack(found) if found else np.zeros((0, height, width), np.uint8)


def as_input(crops: np.ndarray) -> torch.Tensor:
    """uint8 (n, h, w) -> float32 (n, 1, h, w): paper is 0, ink positive, of about unit spread."""
    values = torch.from_numpy(crops).float()[:, None]
    values -= values.flatten(1).median(1).values.view(-1, 1, 1, 1)
    return values / (values.std(dim=(1, 2, 3), keepdim=True) + 8)


def read_legends(dark: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """What may be legends on an upright page, as one reads: probabilities float32 (n, 6) of none and each of LEGENDS.

    dark : uint8 (h, w) darkness at PLANE_PX_PER_MM; marks : uint8 (19, h/4, w/4), as `read_page` gives them.
    """
    crops = crops_at(dark, places(marks))
    if not len(crops):
        return np.zeros((0, 1 + len(LEGENDS)), np.float32)
    with one_torch_thread(), torch.inference_mode():
        return _network()(as_input(crops)).softmax(1).numpy()


@cache
def _network() -> LegendNet:
    net = LegendNet()
    with as_file(files("ecgutils") / "weights" / "reader" / "legend.safetensors") as path:
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, strict=False)
    return net.eval()
