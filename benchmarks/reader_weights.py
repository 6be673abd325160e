"""Train the reader of flat pages: python benchmarks/reader_weights.py FOLDER [--pages 3000] [--minutes 60]

Pages of every source, layout and severity, and pictures of other things (negatives.py), are drawn, rectified by our own
pipeline, and kept in FOLDER with the truth about each pixel, carried through the same maps. Page i comes from
default_rng([SEED, i]). The network learns from crops of them, turned, mirrored, scaled and recoloured. `--fonts` names
a folder with more font files for the words. FOLDER also keeps the training's state: a second call goes on. Writes
ecgutils/weights/reader/reader.safetensors.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from common import options
from conditions import photograph
from negatives import KINDS, draw_negative
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file
from torch.nn import functional
from tqdm import tqdm

from ecgutils.findings import LEADS
from ecgutils.geometry import apply_homography, smooth_map
from ecgutils.hearts import simulate
from ecgutils.parallel import for_each
from ecgutils.preprocess import PreprocessSettings
from ecgutils.preprocess.pipeline import rectify
from ecgutils.reader.leads import MARKS
from ecgutils.reader.network import ReaderNet, as_input
from ecgutils.signals import Record
from ecgutils.synth import SCAN_SOURCES, PageStyle, Rendered, draw_style, render_page, render_photo, render_scan
from ecgutils.synth.style import LAYOUTS

OUT = Path(__file__).parents[1] / "ecgutils" / "weights" / "reader" / "reader.safetensors"
SEED = 20262
MISLED = 0.15  # of the pages: their beats are those of a page that is upside down, their letters are not
CROP, BATCH = 320, 12  # px: 80 mm
UNKNOWN = 255  # in a map of marks: no label
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
FONTS = ("DejaVu*.ttf", "STIXGeneral*.ttf", "cmr10.ttf", "cmss10.ttf", "cmtt10.ttf", "cmb10.ttf")
LEGEND = re.compile(r"(?<![\d./])(25|50|5|10|20) ?(mm/s|mm/mV)")
WORDS = (
    *LEADS, "-aVR", "25 mm/s", "25mm/sec", "Speed: 25mm/s", "50 mm/s", "50mm/s", "12.5 mm/s", "10 mm/mV", "10mm/mV",
    "Limb: 10 mm/mV", "Chest: 10 mm/mV", "Gain 5 mm/mV", "20mm/mV", "5mm/mV", "150 Hz", "Vent. rate 67 BPM", "V4R",
    "AVR", "AVL", "AVF", "PR interval 188 ms", "QT/QTc 386/407", "Normal ECG", "Sinus rhythm", "Unconfirmed", "Female",
    "Age 54", "Referred by", "Loc: 3", "Lead", "P-R-T axes 54 12 33", "ID: 4711", "12:31:05", "Technician",
    "V", "VI", "IV",
)  # fmt: skip


def odd_style(rng: np.random.Generator, style: PageStyle, layout: str | None = None) -> PageStyle:
    """A page style further out than any source draws: dark dense grids, coloured traces, frames, other scales."""
    new: dict = {"layout": layout or str(rng.choice(list(LAYOUTS)))}
    if rng.random() < 0.45:  # printed in black and white: the grid may be as dark as the trace
        grey = np.clip(rng.uniform(15, 150) + rng.normal(0, 3, 3), 0, 255).astype(int)
        new |= {
            "minor_rgb": tuple((grey + rng.integers(0, 60)).clip(0, 255).tolist()),
            "major_rgb": tuple(grey.tolist()),
        }
        new |= {"minor_mm": rng.uniform(0.06, 0.16), "major_mm": rng.uniform(0.1, 0.28), "paper_rgb": (250, 250, 248)}
        new |= {"grid": str(rng.choice(["lines", "lines", "dots", "coarse", "millimetre", "none"]))}
    if rng.random() < 0.35:
        hues = (
            (20, 60, 170),
            (160, 20, 30),
            (20, 110, 50),
            (110, 30, 130),
            (90, 90, 95),
            (30, 30, 200),
            (200, 40, 120),
        )
        new["trace_rgb"] = hues[int(rng.integers(len(hues)))]
    if rng.random() < 0.15:
        new["chest_rgb"] = [(15, 15, 20), (170, 20, 30), (20, 40, 160), (90, 90, 90)][int(rng.integers(4))]
    if rng.random() < 0.3:
        new |= {"speed": float(rng.choice([50, 25])), "gain": float(rng.choice([5, 10, 20]))}
    new |= {"frame": bool(rng.random() < 0.25), "name_mm": float(rng.uniform(1.7, 4.8))}
    if rng.random() < 0.5:
        new["separator"] = str(rng.choice(["line", "line", "dotted", "cross", "ticks"]))
    new |= {"trace_mm": float(rng.uniform(0.15, 0.75)), "pitch_mm": float(rng.uniform(18, 40))}
    if rng.random() < 0.3:
        new["border_mm"] = float(rng.uniform(2, 15))
    return replace(style, **new)


def fonts(more: Path | None) -> list[Path]:
    """All font files that may be used."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = [path for pattern in FONTS for path in folder.glob(pattern) if "Display" not in path.name]
    return sorted(found) + (sorted(more.rglob("*.[to]tf")) if more else [])


def add_words(rendered: Rendered, rng: np.random.Generator, faces: list[Path]) -> Rendered:
    """Words, rulings and boxes all over a flat page; `style["words"]` tells where the words are."""
    page, words, ppm = Image.fromarray(rendered.image), list(rendered.style["words"]), rendered.px_per_mm
    drawing = ImageDraw.Draw(page)
    ink = tuple(int(v) for v in rng.integers(0, 110) + rng.integers(-10, 40, 3).clip(0))
    for _ in range(int(rng.integers(0, 4))):  # a header line, a frame, a table's rule
        (x0, y0), (x1, y1) = np.sort(rng.uniform(0, 1, (2, 2)) * page.size, axis=0).astype(int).tolist()
        thick = max(1, round(rng.uniform(0.15, 0.5) * ppm))
        shape = int(rng.integers(4))
        if shape == 0:
            drawing.rectangle([x0, y0, x1, y1], outline=ink, width=thick)
        else:
            drawing.line([(x0, y0), (x1, y0) if shape < 3 else (x0, y1)], fill=ink, width=thick)
    face = ImageFont.truetype(str(faces[int(rng.integers(len(faces)))]), round(rng.uniform(1.9, 6.5) * ppm))
    plotter = int(rng.choice(HERSHEY)) if rng.random() < 0.25 else None
    scale, thick = rng.uniform(1.6, 4) * ppm / 21, max(1, round(rng.uniform(0.15, 0.45) * ppm))
    boxes: list[list[float]] = [list(word[1:]) for word in words]
    lines: list[tuple[str, tuple[int, int]]] = []
    for _ in range(int(rng.integers(4, 50))):
        text, at = str(rng.choice(WORDS)), tuple(rng.uniform(0, 0.97, 2) * page.size)
        box = drawing.textbbox(at, text, font=face)
        if plotter is not None:
            (wide, high), _ = cv2.getTextSize(text, plotter, scale, thick)
            box = (at[0], at[1], at[0] + wide, at[1] + high)
        if not any(box[0] < b[2] and box[2] > b[0] and box[1] < b[3] and box[3] > b[1] for b in boxes):
            if plotter is None:
                drawing.text(at, text, fill=ink, font=face)
            else:
                lines.append((text, (round(box[0]), round(box[3]))))
            words.append((text, *box))
            boxes.append(list(box))
    image = np.array(page)
    for text, at in lines:
        cv2.putText(image, text, at, plotter, scale, ink, thick, cv2.LINE_AA)
    return replace(rendered, image=image, style={**rendered.style, "words": words})


def crease(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Folds: a soft bright and dark line pair across the picture, straight or nearly."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    gain = np.ones((height, width), np.float32)
    for _ in range(int(rng.integers(1, 6))):
        angle, at = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1), rng.uniform(0.1, 0.9, 2) * (width, height)
        off = (x - at[0]) * np.cos(angle) + (y - at[1]) * np.sin(angle) + 4 * np.sin(x * 0.01 + y * 0.013)
        wide = rng.uniform(0.002, 0.012) * width
        gain += rng.uniform(-0.3, 0.15) * np.exp(-((off / wide) ** 2)) + rng.uniform(-0.15, 0.2) * np.tanh(
            off / wide
        ) * np.exp(-np.abs(off) / (8 * wide))
    return np.clip(image * gain[..., None], 0, 255).astype(np.uint8)


Drawn = tuple[np.ndarray, np.ndarray, Callable | None, list]


def draw(rng: np.random.Generator, faces: list[Path]) -> Drawn:
    """An image, where its traces are (H, W), image px -> page px, and the words of the page; no page: None and none."""
    record = simulate(rng)
    if rng.random() < MISLED:
        record = replace(record, signal_mv=np.ascontiguousarray(-record.signal_mv[:, ::-1]))
    kind = rng.random()
    if kind < 0.2:
        image, trace = draw_negative(str(rng.choice(list(KINDS))), rng)
        return image, np.zeros(image.shape[:2], np.uint8) if trace is None else trace, None, []
    odd = rng.random() < 0.6
    if kind < 0.38:
        size = (1100, 850) if rng.random() < 0.5 else (int(rng.integers(900, 1800)), int(rng.integers(700, 1300)))
        rendered = render_scan(record, rng, str(rng.choice(SCAN_SOURCES)), size)
    elif kind < 0.65:
        width = int(rng.integers(1200, 2600))
        size = (width, round(width * rng.uniform(0.52, 0.75)))
        style = draw_style(rng, "photo", size[0] / size[1])
        rendered = render_photo(record, rng, size=size, style=odd_style(rng, style) if odd else style)
    else:
        return draw_hard(rng, faces, odd, record)
    return rendered.image, rendered.trace_mask, rendered.projection.to_page, rendered.style["words"]


def draw_hard(rng: np.random.Generator, faces: list[Path], odd: bool, record: Record | None = None) -> Drawn:
    """The same of a page with words all over, where there are `faces`, creased, photographed or in two levels."""
    style = draw_style(rng, str(rng.choice([*SCAN_SOURCES, "photo"])), float(rng.uniform(1.2, 1.9)))
    ppm = float(rng.uniform(4, 9))
    page = render_page(record or simulate(rng), rng, odd_style(rng, style) if odd else style, ppm)
    page = add_words(page, rng, faces) if faces and rng.random() < 0.8 else page
    image, trace, back = page.image, page.trace_mask, np.eye(3)
    if rng.random() < 0.5:
        image = crease(image, rng)
    if rng.random() < 0.6:
        longer = int(rng.integers(1000, 2600))
        how = {"size": (longer, round(longer * rng.uniform(0.56, 0.78))), "steep": rng.uniform(0, 0.08)}
        how |= {"cover": rng.uniform(0.35, 1.1), "blur": rng.uniform(0, 1.4), "noise": rng.uniform(0, 9)}
        how |= {"angle": float(rng.choice([0, 0, 0, 0, 90, 180, -90]) + rng.normal(0, 3)), "light": rng.uniform(0.3, 1)}
        how |= {"table": tuple(rng.integers(10, 235, 3).tolist()), "texture": rng.uniform(2, 30)}
        image, homography = photograph(np.ascontiguousarray(image), rng, jpeg=int(rng.integers(45, 95)), **how)
        trace = cv2.warpPerspective(blurred(trace, homography), homography, image.shape[1::-1])
        back = np.linalg.inv(homography)
    elif rng.random() < 0.3:
        level = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > rng.uniform(150, 215)
        image = np.repeat(level[..., None] * np.uint8(255), 3, axis=2)
    return image, trace, lambda xy: apply_homography(back, xy), page.style["words"]


def blurred(trace: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Softened as far as the map makes it smaller."""
    scale = np.sqrt(abs(np.linalg.det(homography[:2, :2])))
    return cv2.GaussianBlur(trace, (0, 0), 0.45 / scale) if scale < 1 else trace


def labels(words: list) -> list[tuple[int, np.ndarray]]:
    """Number of a mark (1 + its place in MARKS) and box (4,) of each word; legends within longer lines, too."""
    found = []
    for text, *box in words:
        name = str(text).lstrip("-")
        name = {"AVR": "aVR", "AVL": "aVL", "AVF": "aVF"}.get(name, name)
        box = np.array(box, float)
        found.append((1 + MARKS.index(name if name in MARKS else "print"), box))
        for match in LEGEND.finditer(str(text)):
            start, stop = (box[0] + (box[2] - box[0]) * at / len(text) for at in match.span())
            found.append((1 + MARKS.index(f"{match[1]} {match[2]}"), np.array([start, box[1], stop, box[3]])))
    return sorted(found, key=lambda mark: mark[0] == 1 + len(MARKS) - 1, reverse=True)  # the others over "print"


def make_page(i: int, folder: Path, more_fonts: Path | None) -> int:
    """Draw and rectify page i into FOLDER: even (h, w, 3), trace (h, w), marks (h/4, w/4), the turn to be upright."""
    path = folder / f"{i:05d}.npz"
    if path.exists():
        return i
    rng = np.random.default_rng([SEED, i])
    image, trace, to_page, words = draw(rng, fonts(more_fonts))
    seen = rectify(np.ascontiguousarray(image), PreprocessSettings())
    height, width = (n // 16 * 16 for n in seen.even.shape[:2])
    xy = smooth_map(seen.to_image, (width, height), 8)
    step = np.linalg.norm(np.diff(xy[height // 2, width // 2 - 8 : width // 2 + 8], axis=0), axis=1).mean()
    soft = cv2.GaussianBlur(trace, (0, 0), 0.4 * step) if step > 1.2 else trace
    on_plane = cv2.remap(soft, xy, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    on_plane = np.clip(on_plane * 1.5, 0, 255).astype(np.uint8)
    marks, turn = np.zeros((height // 4, width // 4), np.uint8), -1
    if to_page is None:
        marks[:] = UNKNOWN if (trace > 0).any() else 0
    else:
        cells = xy[2::4, 2::4].astype(float)
        page = to_page(cells.reshape(-1, 2)).reshape(cells.shape)
        middle = np.array(page.shape[:2]) // 2
        right = page[middle[0], middle[1] + 1] - page[middle[0], middle[1]]
        turn = round(np.degrees(np.arctan2(right[1], right[0])) / 90) % 4  # clockwise quarter turns to upright
        pad = 0.15 * np.linalg.norm(right)
        for number, (x0, y0, x1, y1) in labels(words):
            inside = (page[..., 0] > x0 - pad) & (page[..., 0] < x1 + pad) & (page[..., 1] > y0 - pad)
            marks[inside & (page[..., 1] < y1 + pad)] = number
    np.savez(path, even=seen.even[:height, :width], trace=on_plane, marks=marks, turn=turn)
    return i


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
        outputs = net(as_input(even))
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


def train(pages: Pages, minutes: float, folder: Path, lr: float = 3e-3) -> ReaderNet:
    """Train for so long; the learning rate follows the share of time that is over. State is kept every five minutes."""
    torch.manual_seed(SEED)
    net = ReaderNet().to(memory_format=torch.channels_last).train()
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
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = [(i, args.folder, args.fonts) for i in range(args.pages)]
    list(tqdm(for_each(make_page, rows, args.workers), total=args.pages, desc="drawing"))
    net = train(Pages(sorted(args.folder.glob("*.npz"))), args.minutes, args.folder)
    write_weights(net, f"seed {SEED}, {args.pages} pages, {args.minutes:g} minutes on two cores")


def write_weights(net: ReaderNet, note: str) -> None:
    """Half precision, 0.7 MB."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.half().contiguous() for k, v in net.state_dict().items() if v.is_floating_point()}
    save_file(tensors, OUT, metadata={"note": f"Trained by benchmarks/reader_weights.py: {note}."})


if __name__ == "__main__":
    main()
