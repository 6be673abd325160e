"""Train the network that reads legends: python benchmarks/legend_weights.py FOLDER, after reader_weights.py in FOLDER.

It learns from what the shipped reader takes for a legend on the pages kept there, from the legends that really are
there, and from some other words. An eighth of the pages is kept apart and scored. Writes
ecgutils/weights/reader/legend.safetensors.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from common import options
from reader_weights import OUT
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from ecgutils.parallel import for_each
from ecgutils.preprocess.appearance import darkness
from ecgutils.reader.leads import MARKS
from ecgutils.reader.legend import CROP, LEGENDS, crops_at, places
from ecgutils.reader.nets import LegendNet, legend_input
from ecgutils.reader.network import read_page

SEED, EPOCHS, BATCH, LR, SMOOTHING = 20268, 5, 64, 3e-3, 0.02
FIRST, PRINT = 1 + MARKS.index(LEGENDS[0]), 1 + MARKS.index("print")  # as a page's truth numbers them
SHIFT = 10, 4  # px, at most, that a crop lies off


def boxes_of(mask: np.ndarray) -> list[list[int]]:
    """x, y, w, h, area of each connected part of a mask."""
    return cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2][1:].tolist()


def examples(i: int, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops of a page, which legend each shows (0 = none), and whether the reader proposed it."""
    page = np.load(path)
    quarters = max(int(page["turn"]), 0)  # clockwise, that make it upright; one that has no way up stays
    even, truth = (np.ascontiguousarray(np.rot90(page[name], -quarters)) for name in ("even", "marks"))
    number = np.where((truth >= FIRST) & (truth < FIRST + len(LEGENDS)), truth - FIRST + 1, 0)
    xy, labels, proposed = [], [], []
    for k in range(1, 1 + len(LEGENDS)):
        for x, y, _, h, area in boxes_of(number == k):
            if area > 1:
                xy, labels, proposed = [*xy, (4 * x + 2, 4 * (y + h / 2))], [*labels, k], [*proposed, False]
    for x, y in places(read_page(even).marks):
        column, row = int(x) // 4 - 1, int(y) // 4
        near = number[max(0, row - 4) : row + 5, max(0, column - 1) : column + 12]
        counts = np.bincount(near[near > 0], minlength=1 + len(LEGENDS))
        label = int(counts.argmax()) if counts.sum() > 1 else 0
        xy, labels, proposed = [*xy, (x, y)], [*labels, label], [*proposed, True]
    words = boxes_of(truth == PRINT)
    for j in np.random.default_rng([SEED, i]).permutation(len(words))[:2]:
        x, y, w, h, _ = words[j]
        if not number[max(0, y - 2) : y + h + 2, max(0, x - 3) : x + w + 8].any():
            xy, labels, proposed = [*xy, (4 * x + 2, 4 * (y + h / 2))], [*labels, 0], [*proposed, False]
    crops = crops_at(darkness(even), np.array(xy, np.float32).reshape(-1, 2))
    return crops, np.array(labels, int), np.array(proposed, bool)


def train(crops: np.ndarray, labels: np.ndarray) -> LegendNet:
    """Half of each batch are legends; crops are shifted, of other contrast, noisy."""
    torch.manual_seed(SEED)
    rng, net, (right, down) = np.random.default_rng(SEED), LegendNet().train(), SHIFT
    legend, other = np.flatnonzero(labels > 0), np.flatnonzero(labels == 0)
    steps = EPOCHS * len(labels) // BATCH
    optimizer = torch.optim.AdamW(net.parameters(), LR, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    for _ in tqdm(range(steps), desc="training"):
        rows = np.r_[rng.choice(legend, BATCH // 2), rng.choice(other, BATCH // 2)]
        wide = np.pad(crops[rows], ((0, 0), (down, down), (right, right)), mode="edge")
        dx, dy = rng.integers(0, 2 * right + 1), rng.integers(0, 2 * down + 1)
        x = legend_input(torch.from_numpy(wide[:, dy : dy + CROP[1], dx : dx + CROP[0]]))
        x = x * torch.empty(BATCH, 1, 1, 1).uniform_(0.7, 1.4)
        x = x + torch.randn_like(x) * torch.empty(BATCH, 1, 1, 1).uniform_(0, 0.4)
        loss = cross_entropy(net(x), torch.from_numpy(labels[rows]), label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def main() -> None:
    """Cut, train, score, write."""
    parser = options(__doc__, "workers")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    pages = list(enumerate(sorted(args.folder.glob("*.npz"))))
    found = list(tqdm(for_each(examples, pages, args.workers), total=len(pages), desc="crops"))
    page = np.repeat(np.arange(len(pages)), [len(labels) for _, labels, _ in found])
    crops, labels, proposed = map(np.concatenate, zip(*found, strict=True))
    apart = page % 8 == 0
    net = train(crops[~apart], labels[~apart])
    with torch.inference_mode():
        parts = torch.from_numpy(np.flatnonzero(apart)).split(256)
        p = torch.cat([net(legend_input(torch.from_numpy(crops[part]))).softmax(1) for part in parts]).numpy()
    right, proposed = labels[apart], proposed[apart]
    for least in (0.8, 0.95):
        said = np.where(p[:, 1:].max(1) > least, p[:, 1:].argmax(1) + 1, 0)[proposed]
        is_legend = right[proposed] > 0
        print(f"{least}: of {is_legend.sum()} legends {(said == right[proposed])[is_legend].sum()} read, "
              f"{((said > 0) & (said != right[proposed]))[is_legend].sum()} wrongly; of {(~is_legend).sum()} others "
              f"{(said > 0)[~is_legend].sum()} taken for one")  # fmt: skip
    tensors = {k: v.half().contiguous() for k, v in net.state_dict().items() if v.is_floating_point()}
    save_file(tensors, OUT.with_name("legend.safetensors"), metadata={"note": f"Trained by {Path(__file__).name}."})


if __name__ == "__main__":
    main()
