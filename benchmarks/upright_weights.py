"""Train the network that tells an upright page from one upside down: python benchmarks/upright_weights.py

Learns from flat pages of simulated records in the styles of every source, with words in many typefaces added; on some
of them the signals run upside down and backwards, so that letters come to weigh more than beats. Pages that lie on
their side are shown, too: they have no way up, and `runs_down` counts on hearing so. Writes
ecgutils/weights/upright/upright.safetensors, whose metadata says the same. `--more` goes on from the weights that are
there. What ships took both, 95 minutes beside other trainings on two cores.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from common import options
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file, save_file

from ecgutils.hearts import simulate
from ecgutils.parallel import for_each
from ecgutils.preprocess import appearance
from ecgutils.preprocess.traces import PX_PER_MM, STRIDES, find_traces, upright_input
from ecgutils.synth import SOURCES, draw_style, render_page

OUT = Path(__file__).parents[1] / "ecgutils" / "weights" / "upright" / "upright.safetensors"
SEED = 20261
PAGES = 2400
STEPS = 4000
MISLED = 0.2  # of the pages: their beats are those of a page that is upside down, their letters are not
BATCH = 24
SIDEWAYS = 1 / 3  # of the crops
CROP = (264, 408)  # (H, W) px: 88 x 136 mm, a part of a page
SIZES, CHANNELS = (5, 3, 3, 3, 1), (1, 12, 24, 32, 32, 1)
FONTS = ("DejaVu*.ttf", "STIXGeneral*.ttf", "cmr10.ttf", "cmss10.ttf", "cmtt10.ttf", "cmb10.ttf")
WORDS = (
    "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6", "V4R", "25 mm/s", "10 mm/mV", "150 Hz",
    "Vent. rate 67 BPM", "PR interval 188 ms", "QT/QTc 386/407", "Normal ECG", "Sinus rhythm", "Speed: 25mm/sec",
    "Limb: 10", "Chest: 10", "Unconfirmed", "Female", "Age 54", "Referred by", "Loc: 3",
)  # fmt: skip


def draw_input(i: int) -> np.ndarray:
    """Training page i, upright: uint8 (h, w) ink at PX_PER_MM, as the pipeline hands it to the network."""
    rng = np.random.default_rng([SEED, i])
    px_per_mm = 4
    style = draw_style(rng, SOURCES[i % len(SOURCES)], float(rng.uniform(1.3, 1.9)))
    record = simulate(rng)
    if rng.random() < MISLED:
        record = replace(record, signal_mv=np.ascontiguousarray(-record.signal_mv[:, ::-1]))
    image = render_page(record, rng, style, px_per_mm).image
    if rng.random() < 0.6:
        image = _add_words(image, rng, px_per_mm)
    blur = rng.uniform(0, 0.45) * px_per_mm * (rng.random() < 0.8)
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    noise = rng.normal(0, rng.uniform(0, 14), image.shape[:2])[..., None]
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    paper = np.ones(image.shape[:2], bool)
    dark = appearance.darkness(appearance.even_light(image, paper), colour_blind=False)
    ink, _ = appearance.ink(dark, px_per_mm, appearance.printed_lines(dark, px_per_mm), paper)
    kept = np.where(find_traces(ink, px_per_mm, ~paper).keep, ink, 0)
    return upright_input(kept, px_per_mm)


def _add_words(image: np.ndarray, rng: np.random.Generator, px_per_mm: float) -> np.ndarray:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = sorted(path for pattern in FONTS for path in folder.glob(pattern) if "Display" not in path.name)
    page = Image.fromarray(image)
    drawing = ImageDraw.Draw(page)
    font = ImageFont.truetype(str(rng.choice(fonts)), round(rng.uniform(2.0, 4.6) * px_per_mm))
    for _ in range(int(rng.integers(6, 40))):
        at = tuple(rng.uniform(0, 0.97, 2) * page.size)
        drawing.text(at, str(rng.choice(WORDS)), fill=tuple(int(v) for v in rng.integers(0, 90, 3)), font=font)
    return np.asarray(page)


def distort(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop of a page, slightly turned, stretched and torn, float32 CROP."""
    height, width = CROP
    matrix = np.diag([*rng.uniform(0.8, 1.25, 2)]) @ cv2.getRotationMatrix2D((0, 0), rng.normal(0, 1.2), 1)[:, :2]
    middle = rng.uniform(0.1, 0.9, 2) * page.shape[::-1]
    shift = np.array([width, height]) / 2 - matrix @ middle
    crop = cv2.warpAffine(page, np.column_stack([matrix, shift]), (width, height), flags=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.3))
    if rng.random() < 0.3:
        crop = cv2.dilate(crop, np.ones((2, 2), np.uint8))
    if rng.random() < 0.3:  # traces that the grid's removal broke
        crop = np.where(cv2.resize(rng.random((height // 3, width // 3)), (width, height)) < 0.2, 0, crop)
    return np.clip(crop * np.float32(rng.uniform(0.7, 1.8) / 255), 0, 1).astype(np.float32)


def build(more: bool) -> torch.nn.Sequential:
    """The network, new or with the weights that are there."""
    torch.manual_seed(SEED)
    layers: list[torch.nn.Module] = []
    for size, stride, inputs, outputs in zip(SIZES, STRIDES, CHANNELS[:-1], CHANNELS[1:], strict=True):
        layers += [torch.nn.Conv2d(inputs, outputs, size, stride, size // 2), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    torch.nn.init.zeros_(model[-1].bias)
    model[-1].weight.data *= 0.1
    if more:
        tensors = load_file(OUT)
        for i, layer in enumerate(m for m in model if isinstance(m, torch.nn.Conv2d)):
            layer.weight.data = torch.from_numpy(tensors[f"{i}.weight"].transpose(3, 2, 0, 1).copy())
            layer.bias.data = torch.from_numpy(tensors[f"{i}.bias"])
    return model


def train(model: torch.nn.Sequential, pages: list[np.ndarray], steps: int, lr: float) -> None:
    """Each crop is shown both ways up; log odds are summed over it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    rng = np.random.default_rng([SEED, PAGES])
    for step in range(steps):
        sideways = rng.random(BATCH) < SIDEWAYS
        chosen = [pages[j] for j in rng.integers(len(pages), size=BATCH)]
        crops = [distort(np.rot90(page) if lies else page, rng) for page, lies in zip(chosen, sideways, strict=True)]
        crops = np.stack(crops)[:, None]
        both = torch.from_numpy(np.concatenate([crops, crops[:, :, ::-1, ::-1]]))
        odds = model(both).sum((1, 2, 3))
        up = torch.from_numpy(np.where(sideways, 0.5, 1.0).astype(np.float32))
        target = torch.cat([up, 1 - up])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(odds, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            right = ((odds > 0) == (target > 0.5))[target != 0.5].float().mean()
            lying = odds[target == 0.5].abs().mean()
            print(f"step {step}: loss {loss.item():.3f}, right {right:.2f}, on its side {lying:.2f}", flush=True)


def main() -> None:
    """Draw, train, write."""
    parser = options(__doc__, "workers")
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--more", action="store_true", help="go on from the weights that are there")
    args = parser.parse_args()
    start = time.perf_counter()
    pages = list(for_each(draw_input, [(i,) for i in range(args.pages)], args.workers))
    print(f"{args.pages} pages in {time.perf_counter() - start:.0f} s", flush=True)
    model = build(args.more)
    train(model, pages, args.steps, args.lr)
    tensors = {}
    for i, layer in enumerate(m for m in model if isinstance(m, torch.nn.Conv2d)):
        tensors[f"{i}.weight"] = np.ascontiguousarray(layer.weight.detach().numpy().transpose(2, 3, 1, 0))
        tensors[f"{i}.bias"] = layer.bias.detach().numpy()
    note = (
        f"Upright or upside down, from ink maps at {PX_PER_MM} px/mm. Trained by benchmarks/upright_weights.py (seed "
        f"{SEED}) on {args.pages} rendered pages of simulated records, {args.steps} steps of {BATCH} crops, each both "
        f"ways up{', going on from earlier weights' * args.more}."
    )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT, metadata={"note": note})
    print(f"{OUT.stat().st_size} bytes in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
