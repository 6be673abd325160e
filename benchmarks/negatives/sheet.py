"""A canvas for negatives.py: papers, text, tables, ECG traces; lengths in hundredths of its longer side."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import get_data_path
from PIL import ImageFont

from ecgutils.synth.lettering import scrawl

RGB = Sequence[float]
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "STIXGeneralBol",
         "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10")  # fmt: skip
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_PLAIN)
WORDS = """patient name date of birth ward heart rate lead normal sinus rhythm and the with in to for report result
sodium blood pressure dose daily total amount invoice page signed by doctor clinic time unit reference range value from
axis QRS QT PR mmHg bpm I II III aVR V1 V2 V6 see above table 12 25 10 mm/s mV no yes left right because which were"""
VOCABULARY = WORDS.split()


def tint(rng: np.random.Generator, low: float = 0, high: float = 255) -> np.ndarray:
    """A colour, RGB."""
    return rng.uniform(low, high, 3)


def words(rng: np.random.Generator, n: int) -> str:
    """`n` words, some of no language."""
    made = ("".join(rng.choice(list("aeioubdklmnrst"), rng.integers(2, 10))) for _ in range(n))
    return " ".join(str(rng.choice(VOCABULARY)) if rng.random() < 0.6 else word for word in made)


class Sheet:
    """A canvas `w` x `h` units of `u` px: uint8 RGB `image`, and the `cover` of ECG traces once there is one."""

    def __init__(self, rng: np.random.Generator, aspect: float | None = None, paper: RGB | None = None) -> None:
        aspect = float(aspect or rng.choice([0.65, 0.71, 0.77, 1, 1.3, 1.41, 1.6]))
        self.rng, self.u = rng, 6.0 * 5 ** (rng.random() ** 1.6)
        self.w, self.h = 100 * min(aspect, 1), 100 / max(aspect, 1)
        light = rng.uniform(215, 255)
        self.paper = np.clip(light + rng.normal(0, 5, 3) - [0, 0, 12 * (rng.random() < 0.3)], 0, 255)
        self.paper = self.paper if paper is None else np.array(paper, float)
        self.dark = self.paper.mean() < 110
        self.ink = tint(rng, 190, 255) if self.dark else tint(rng, 0, 70)
        self.pen = max(1 / self.u, float(rng.uniform(0.1, 0.35)))
        size = (round(self.h * self.u), round(self.w * self.u), 3)
        self.image, self.cover = np.full(size, self.paper, np.uint8), None
        name = str(rng.choice(FONTS))
        self.font = f"{get_data_path()}/fonts/ttf/{name}.ttf" if rng.random() < 0.75 else int(rng.choice(HERSHEY))

    def shade(self, t: float, rgb: RGB | None = None) -> np.ndarray:
        """A colour `t` of the way from the paper's to another, by default the ink's."""
        return self.paper + t * (np.array(self.ink if rgb is None else rgb) - self.paper)

    def draw(
        self, lines: list, rgb: RGB | None = None, width: float = 0, close: bool = False, ecg: bool = False
    ) -> None:
        """Lines, each (n, 2), `width` units wide; ECG traces go to the cover as well."""
        rgb, px = self.ink if rgb is None else rgb, max(1, round((width or self.pen) * self.u))
        fixed = [np.rint(np.asarray(line, float) * self.u * 16).astype(np.int32) for line in lines]
        cv2.polylines(self.image, fixed, close, [float(c) for c in rgb], px, cv2.LINE_AA, 4)
        if ecg:
            self.cover = np.zeros(self.image.shape[:2], np.uint8) if self.cover is None else self.cover
            cv2.polylines(self.cover, fixed, close, 255, px, cv2.LINE_AA, 4)

    def box(self, x: float, y: float, w: float, h: float, rgb: RGB | None = None, full: bool = False) -> None:
        """A rectangle, filled or its edge."""
        corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
        if full:
            colour = [float(c) for c in (self.ink if rgb is None else rgb)]
            cv2.fillPoly(self.image, [np.rint(corners * self.u).astype(np.int32)], colour)
        else:
            self.draw([corners], rgb, close=True)

    def say(self, text: str, x: float, y: float, size: float, rgb: RGB | None = None) -> None:
        """Text whose baseline begins at (x, y), capitals `size` high."""
        rgb, px = np.array(self.ink if rgb is None else rgb, float), max(5.0, size * self.u)
        at = np.rint(np.array([x, y]) * self.u).astype(int)
        if isinstance(self.font, int):
            scale = px / cv2.getTextSize("H", self.font, 1, 1)[0][1]
            plain, thick = text.replace("—", "-"), max(1, round(px / 12))
            cv2.putText(self.image, plain, at.tolist(), self.font, scale, rgb.tolist(), thick, cv2.LINE_AA)
            return
        plain = text if "DejaVu" in self.font else text.replace("—", "-")
        glyphs, offset = ImageFont.truetype(self.font, round(px / 0.7)).getmask2(plain, mode="L", anchor="ls")
        (left, top), size_px = at + offset, glyphs.size
        cover = np.frombuffer(bytes(glyphs), np.uint8).reshape(size_px[::-1])[max(0, -top) :, max(0, -left) :, None]
        there = self.image[max(0, top) : max(0, top + size_px[1]), max(0, left) : max(0, left + size_px[0])]
        cover = cover[: there.shape[0], : there.shape[1]] / 255
        there[:] = there + (rgb - there) * cover

    def ruled(self, dx: float, dy: float, rgb: RGB, width: float = 0, at: Sequence[float] | None = None) -> None:
        """Lines every `dx`, `dy` units (0: none), all over or in the box (x, y, w, h)."""
        x, y, w, h = at or (0, 0, self.w, self.h)
        across = [[(x + d, y), (x + d, y + h)] for d in np.arange(0, w + 1e-6, dx)] if dx else []
        down = [[(x, y + d), (x + w, y + d)] for d in np.arange(0, h + 1e-6, dy)] if dy else []
        self.draw(across + down, rgb, width or 1 / self.u)

    def graph(self, mm: float | None = None, at: Sequence[float] | None = None) -> float:
        """Squared or millimetre paper, from a hint to as dark as a trace; returns the millimetre."""
        rng = self.rng
        mm = mm or 100 / rng.uniform(70, 290)
        ends = tint(rng, 0, 90) if rng.random() < 0.25 else np.roll([rng.uniform(160, 240), *rng.uniform(40, 130, 2)],
                                                                    rng.integers(3))  # fmt: skip
        strong, how = rng.uniform(0.15, 1), rng.choice(["mm", "mm", "mm", "dots", "5 mm", "even"])
        fine, x, y, w, h = self.shade(strong * rng.uniform(0.25, 0.8), ends), *(at or (0, 0, self.w, self.h))
        if how in ("mm", "even") and mm * self.u > 2.5:
            self.ruled(mm, mm, fine, at=at)
        if how == "dots":
            xy = np.stack(np.meshgrid(np.arange(x, x + w, mm), np.arange(y, y + h, mm)), -1).reshape(-1, 2) * self.u
            for d in (0, 1) if mm * self.u > 5 else (0,):
                i, j = (np.minimum(xy.astype(int) + d, np.array(self.image.shape[1::-1]) - 1)).T
                self.image[j, i] = self.image[j, i - d] = fine
        if how != "even":
            self.ruled(5 * mm, 5 * mm, self.shade(strong, ends), rng.uniform(0.08, 0.3) * mm, at)
        return mm

    def ecg(self, signal: np.ndarray, x: float, y: float, mm: float, speed: float = 25, gain: float = 10,
            rgb: RGB | None = None, width: float = 0.35) -> None:  # fmt: skip
        """A trace of `signal` (n,) in mV at 500 Hz from x on, its zero at y."""
        self.draw([np.column_stack([x + np.arange(len(signal)) * speed * mm / 500, y - signal * gain * mm])], rgb,
                  width * mm, ecg=True)  # fmt: skip

    def table(self, x: float, y: float, w: float, rows: int, columns: int, pitch: float, lines: bool = True) -> None:
        """Rows of a name and numbers."""
        rng, step = self.rng, w / columns
        if lines:
            self.ruled(step, pitch, self.shade(rng.uniform(0.3, 1)), at=(x, y, w, rows * pitch))
        numbers = rng.normal(0, 10 ** rng.uniform(0, 3), (rows, columns)).round(int(rng.integers(0, 3)))
        for i in range(rows):
            for j in range(columns):
                text = words(rng, 1) if j == 0 or i == 0 else f"{numbers[i, j]:g}"
                self.say(
                    text[: max(2, int(step / pitch * 1.6))], x + step * (j + 0.08), y + pitch * (i + 0.75), pitch * 0.42
                )

    def lines(self, x: float, y: float, w: float, n: int, pitch: float) -> None:
        """A paragraph of `n` lines."""
        for i in range(n):
            self.say(words(self.rng, 40)[: int(w / pitch * 2.1)], x, y + i * pitch, pitch * 0.45)

    def write(self, x: float, y: float, letters: int, size: float, rgb: RGB) -> None:
        """Handwriting."""
        self.draw([line * size + [x, y] for line in scrawl(self.rng, letters)], rgb, size * 0.15)


def wander(rng: np.random.Generator, n: int, step: float = 1) -> np.ndarray:
    """A random walk (n,), within +-`step` or so."""
    walk = np.cumsum(rng.normal(0, 1, n))
    return step * (walk - walk.mean()) / max(1e-9, np.abs(walk - walk.mean()).max())
