"""Train the reader of flat pages: python benchmarks/reader_weights.py FOLDER [--pages 3000] [--minutes 60]

The pages of reader_pages.py are drawn and kept in FOLDER; the network learns from crops of them, turned, mirrored,
scaled and recoloured. `--fonts` names a folder with more font files for the words, `--start` weights to go on from.
FOLDER also keeps the training's state: a second call goes on. Writes ecgutils/weights/reader/reader.safetensors.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import torch
from common import options
from reader_pages import SEED, UNKNOWN, make_page
from safetensors.torch import load_file, save_file
from torch.nn import functional
from tqdm import tqdm

from ecgutils.findings import LEADS
from ecgutils.parallel import for_each
from ecgutils.reader.leads import MARKS
from ecgutils.reader.nets import ReaderNet, page_input

OUT = Path(__file__).parents[1] / "ecgutils" / "weights" / "reader" / "reader.safetensors"
CROP, BATCH = 320, 12  # px: 80 mm


class Pages:
    """Pages on disk; gives crops. All are held in memory, about 4 MB each."""

    def __init__(self, paths: list[Path]) -> None:
        parts = [dict(np.load(path)) for path in tqdm(paths, desc="pages")]
        self.even, self.trace, self.marks = ([part[name] for part in parts] for name in ("even", "trace", "marks"))
        self.turn = [int(part["turn"]) for part in parts]

    def crop(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """even (CROP, CROP, 3), trace (CROP, CROP), marks (CROP / 4, CROP / 4), which of TURNS, or -1."""
        i = int(rng.integers(len(self.even)))
        height, width = self.trace[i].shape
        scale = float(np.exp(rng.normal(0, 0.12))) if rng.random() < 0.6 else 1.0
        turn = int(rng.choice([0, 0, 1, 2, 3]))
        mirror = rng.random() < 0.12
        angle = np.radians(90 * turn + rng.normal(0, 0.8))
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.diag([-1, 1]) @ matrix if mirror else matrix
        middle = rng.uniform(0.08, 0.92, 2) * (width, height)
        present = np.unique(self.marks[i])
        present = present[(present > 0) & (present < len(MARKS))]
        if len(present) and rng.random() < 0.5:  # rare words are looked at as often as usual ones
            y, x = np.nonzero(self.marks[i] == rng.choice(present))
            at = int(rng.integers(len(x)))
            middle = 4.0 * np.array([x[at], y[at]]) + rng.uniform(-0.4, 0.4, 2) * CROP
        affine = np.column_stack([matrix, (CROP - 1) / 2 - matrix @ middle])
        even = cv2.warpAffine(self.even[i], affine, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        trace = cv2.warpAffine(
            self.trace[i], affine, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        small = affine.copy()  # a cell's middle lies at 4 x + 1.5
        small[:, 2] = (affine[:, :2] @ (1.5, 1.5) + affine[:, 2] - 1.5) / 4
        marks = cv2.warpAffine(
            self.marks[i], small, (CROP // 4, CROP // 4), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT
        )
        before = self.turn[i]  # the picture was turned by `turn` clockwise, and then mirrored
        left = -1 if before < 0 else (before - turn) % 4
        if mirror:
            marks[(marks > 0) & (marks <= len(LEADS))] = UNKNOWN
            left = left if left < 0 else 4 + (-left) % 4
        return recolour(even, rng), trace, marks, left


def recolour(even: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other colours, contrast, blur, noise, uneven light."""
    out = even
    if rng.random() < 0.3:
        out = out[..., rng.permutation(3)]
    if rng.random() < 0.15:
        out = np.repeat(cv2.cvtColor(np.ascontiguousarray(out), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(np.ascontiguousarray(out), (0, 0), float(rng.uniform(0.3, 1.3)))
    values = out.astype(np.float32)
    if rng.random() < 0.5:
        values = 250 - (250 - values) * rng.uniform(0.5, 1.3) - rng.uniform(-6, 40) * (rng.random() < 0.4)
    if rng.random() < 0.3:
        light = cv2.resize(
            rng.uniform(0.7, 1.05, (3, 3)).astype(np.float32), (CROP, CROP), interpolation=cv2.INTER_CUBIC
        )
        values = values * light[..., None]
    if rng.random() < 0.4:
        values = values + rng.normal(0, rng.uniform(1, 14), values.shape[:2]).astype(np.float32)[..., None]
    return np.clip(values, 0, 255).astype(np.uint8)


def loss_of(
    net: ReaderNet, crops: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]
) -> tuple[torch.Tensor, list[float]]:
    """Traces by cross entropy and overlap, marks and ways to lie by cross entropy."""
    even, trace, marks, turn = (np.stack(part) for part in zip(*crops, strict=True))
    with torch.autocast("cpu", torch.bfloat16):  # half the time where the processor has it
        outputs = net(page_input(torch.from_numpy(even)))
    logit, named, turned = (output.float() for output in outputs)
    wanted = torch.from_numpy(trace).float().div_(255)[:, None]
    p = logit.sigmoid()
    traced = functional.binary_cross_entropy_with_logits(logit, wanted, pos_weight=torch.tensor(3.0))
    overlap = 1 - (2 * (p * wanted).sum() + 1) / (p.sum() + wanted.sum() + 1)
    right = torch.from_numpy(marks).long()
    each = functional.cross_entropy(named, right, ignore_index=UNKNOWN, reduction="none")
    sums = torch.zeros(UNKNOWN + 1).index_add(0, right.ravel(), each.ravel())
    counts = torch.bincount(right.ravel(), minlength=UNKNOWN + 1)
    mean = (sums / (counts + 20))[1 : len(MARKS)]  # names, pulses, legends: one cell in two hundred; all kinds alike
    words = each[right != UNKNOWN].mean() + 0.3 * mean[counts[1 : len(MARKS)] > 0].mean().nan_to_num()
    known = torch.from_numpy(turn)
    ways = (
        functional.cross_entropy(turned.mean((2, 3)) * 20, known, ignore_index=-1) if (turn >= 0).any() else 0 * overlap
    )
    parts = [traced * 4, overlap, words * 2, ways * 0.3]
    return sum(parts), [float(part.detach()) for part in parts]


def train(pages: Pages, minutes: float, folder: Path, lr: float, start: Path | None) -> ReaderNet:
    """Train for so long; the learning rate follows the share of time that is over. State is kept every five minutes."""
    torch.manual_seed(SEED)
    net = ReaderNet().to(memory_format=torch.channels_last).train()
    if start:
        net.load_state_dict({name: part.float() for name, part in load_file(start).items()}, strict=False)
    optimizer = torch.optim.AdamW(net.parameters(), lr, weight_decay=1e-3)
    state_path, step, spent, sums = folder / "state.pt", 0, 0.0, np.zeros(4)
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = int(state["step"]), float(state["spent"])
    began, saved = time.perf_counter() - spent, spent
    while spent < 60 * minutes:
        done = spent / (60 * minutes)
        for group in optimizer.param_groups:
            group["lr"] = float(lr * min(1, (step + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-6)
        rng = np.random.default_rng([SEED, 1, step])
        loss, parts = loss_of(net, [pages.crop(rng) for _ in range(BATCH)])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 3.0)
        optimizer.step()
        sums += parts
        step, spent = step + 1, time.perf_counter() - began
        if step % 100 == 0:
            print(f"{spent / 60:.1f} min, step {step}: " + " ".join(f"{part:.4f}" for part in sums / 100), flush=True)
            sums[:] = 0
        if spent - saved > 300 or spent >= 60 * minutes:
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent": spent}
            torch.save(state, state_path)
            saved = spent
    return net


def main() -> None:
    """Draw, train, write."""
    parser = options(__doc__, "workers")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--fonts", type=Path)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = [(i, args.folder, args.fonts) for i in range(args.pages)]
    list(tqdm(for_each(make_page, rows, args.workers), total=args.pages, desc="drawing"))
    net = train(Pages(sorted(args.folder.glob("*.npz"))), args.minutes, args.folder, args.lr, args.start)
    write_weights(net, f"seed {SEED}, {args.pages} pages, {args.minutes:g} minutes on two cores")


def write_weights(net: ReaderNet, note: str) -> None:
    """Half precision, 0.7 MB."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.half().contiguous() for k, v in net.state_dict().items() if v.is_floating_point()}
    save_file(tensors, OUT, metadata={"note": f"Trained by benchmarks/reader_weights.py: {note}."})


if __name__ == "__main__":
    main()
