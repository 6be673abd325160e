"""What is printed or written on the page besides grid and traces: lead names, header, footer, a pen's notes."""

import numpy as np
from numpy.random import Generator

from ecgutils.files import jsonable
from ecgutils.signals import Record, measure
from ecgutils.signals.measure import find_beats
from ecgutils.synth.ink import stroke, write
from ecgutils.synth.style import PRINTED_S, PageStyle, Plan

Word = tuple[str, int, int, int, int]  # text and box x0, y0, x1, y1 in page px
NUMBERS = ("rate_bpm", "pr_ms", "qrs_ms", "qt_ms")  # what `Record.details` calls the numbers a header tells


def print_text(
    mask: np.ndarray, style: PageStyle, plan: Plan, record: Record, rng: Generator, ppm: float
) -> tuple[list[str], list[Word]]:
    """Print lead names, footer and header; returns the header's lines, and all words with their boxes. But for
    `cart_numbers` no text depends on the record: labels must not leak."""
    above = {"above": -3.0, "on": -0.6, "below": 3 + style.name_mm}[style.names]
    words: list[Word] = []
    for strip in plan.strips:
        x, y, name = strip.left_mm + 1, strip.zero_mm + above, strip.name.removesuffix("_rhythm")
        box = write(mask, "-" * (strip.sign < 0) + name, x * ppm, y * ppm, style.font, style.name_mm * ppm)
        words.append((name, *box))
    if style.footer_mm:
        gains = f"{style.gain:g}" if style.chest_gain is None else f"{style.gain:g}/{style.chest_gain:g}"
        footer = [
            f"{style.speed:g} mm/s",
            f"{gains} mm/mV",
            f"{rng.choice(['0.05', '0.15', '0.67'])}-{rng.choice([40, 100, 150])} Hz",
            f"AC {rng.choice([50, 60])} Hz",
            f"CART-{rng.integers(2, 90)} v{rng.integers(1, 9)}.{rng.integers(10)}",
        ]
        columns = [["   ".join(footer)]] if rng.random() < 0.5 else [[text] for text in footer]  # in one run, or spread
        words += _print_columns(mask, style, columns, style.height_mm - style.top_mm - 1.5, ppm)
    if not style.header_mm:
        return [], words
    columns = _header(record, rng)
    words += _print_columns(mask, style, columns, style.top_mm, ppm)
    return [text for column in columns for text in column], words


def _print_columns(mask: np.ndarray, style: PageStyle, columns: list[list[str]], y_mm: float, ppm: float) -> list[Word]:
    """Print columns of text; the first line of the footer stands at `y_mm`, of the header a line below."""
    size_mm = 0.85 * style.name_mm
    line_mm = min(1.8 * size_mm, (style.header_mm - 2) / 3)
    left, words = style.side_mm + style.border_mm + 2, []
    for x, lines in zip(np.linspace(left, 0.8 * style.width_mm, len(columns)), columns, strict=True):
        for i, text in enumerate(lines, start=int(len(columns[0]) > 1)):
            at, font = (x * ppm, (y_mm + i * line_mm) * ppm), style.font.removesuffix("-bold")
            words.append((text, *write(mask, text, *at, font, size_mm * ppm)))
    return words


def _header(record: Record, rng: Generator) -> list[list[str]]:
    """Four columns: an invented patient and visit, the cart's numbers, who has seen it."""
    sex, age = rng.choice(["F", "M"]), rng.integers(18, 95)
    date = f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.{rng.integers(1998, 2030)}"
    patient = [f"Name: SPECIMEN {chr(65 + rng.integers(26))}.", f"ID: {rng.integers(10**6, 10**8)}", f"{age} y  {sex}"]
    visit = [f"{date}  {rng.integers(24):02d}:{rng.integers(60):02d}", f"Ward {rng.integers(1, 40)}", "Dr. ________"]
    for low, high in ((45, 130), (120, 215), (70, 150), (340, 470), (380, 480)):
        rng.integers(low, high)  # numbers were once invented: what a seed draws after them stays the same
    seen = ["Unconfirmed", "Reviewed by: ________", f"Page {rng.integers(1, 4)}"]
    return [patient, visit, cart_numbers(record), seen]


def cart_numbers(record: Record) -> list[str]:
    """The lines a cart prints of a record's numbers; what is not known is left out.

    They are those of `record.details` (`rate_bpm`, `qrs_ms`, `pr_ms`, `qt_ms`) where it tells the rate, as it does of a
    simulated heart, else measured. The rate is the mean one; QTc is Fridericia's.
    """
    known = record.details if "rate_bpm" in record.details else _measured(record)
    rate, pr, qrs, qt = (jsonable(known.get(name)) for name in NUMBERS)  # None where it is not finite
    lines = [] if rate is None else [f"Vent. rate {rate:6.0f} bpm"]
    if qrs is not None:
        lines.append(f"PR / QRS {'*' if pr is None else f'{pr:.0f}':>6} / {qrs:.0f} ms")
    if qt is not None and rate is not None:
        lines.append(f"QT / QTc {qt:6.0f} / {qt * (rate / 60) ** (1 / 3):.0f} ms")
    return lines


def _measured(record: Record) -> dict[str, float]:
    """NUMBERS of the ten seconds that are printed; empty where they cannot be measured."""
    shown = record.signal_mv[:, : round(PRINTED_S * record.fs)]
    if shown.shape[1] < 3 * record.fs or not (np.abs(shown) < 50).all():  # NaN, or no ECG's millivolts
        return {}
    if (m := measure(shown, record.fs)) is None:
        return {}
    rr = np.diff(find_beats(shown, record.fs)) / record.fs
    typical = float(np.median(rr))  # of a steady rhythm, whose odd beats may be missed; of fibrillation the mean counts
    steady = (np.abs(rr / typical - 1) < 0.1).mean() > 0.7
    rate = 60 / (typical if steady else float(rr.mean()))
    return dict(zip(NUMBERS, (rate, m.pr_ms, m.qrs_ms, m.qtc_ms * (60 / m.rate_bpm) ** (1 / 3)), strict=True))


def scrawl(rng: Generator, letters: int) -> list[np.ndarray]:
    """Illegible handwriting of `letters` letters as strokes (n, 2) in units of a small letter's height, from (0, 0)."""
    strokes, x = [], 0.0
    while letters > 0:
        n = min(letters, int(rng.integers(2, 8)))
        t = np.linspace(0, n, 14 * n)
        letter = np.minimum(t.astype(int), n - 1)
        tall = np.where(rng.random(n) < 0.2, rng.uniform(1.6, 2.4, n), rng.uniform(0.6, 1.1, n))[letter]
        low = np.where(rng.random(n) < 0.15, 1.0, 0.0)[letter]
        phase = 2 * np.pi * t * rng.uniform(0.7, 1.1)
        up = 0.5 - 0.5 * np.cos(phase)
        y = -tall * up + low * (1 - up) + 0.1 * np.sin(0.7 * t)
        strokes.append(np.stack([x + 0.95 * t - rng.uniform(0.0, 0.22) * np.sin(phase) - 0.25 * y, y], -1))
        x += 0.95 * n + rng.uniform(0.5, 1.2)
        letters -= n
    return strokes


def pen_marks(mask: np.ndarray, rng: Generator, style: PageStyle, ppm: float) -> None:
    """Notes of a pen: words, rings, underlines, arrows and ticks anywhere on the page."""
    width = float(rng.uniform(0.3, 0.7)) * ppm
    t = np.linspace(0, 1, 40)
    for _ in range(style.notes):
        at = np.array([rng.uniform(0.03, 0.85) * style.width_mm, rng.uniform(0.05, 0.95) * style.height_mm])
        kind = str(rng.choice(["words", "words", "ring", "underline", "arrow", "tick"]))
        if kind == "words":
            turn, scale = rng.normal(0, 0.06), rng.uniform(2, 5)
            matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            lines = [line @ matrix for line in scrawl(rng, int(rng.integers(3, 16)))]
        elif kind == "ring":
            angle = rng.uniform(0, 2 * np.pi) + 2 * np.pi * 1.1 * t
            radius = 1 + 0.06 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.08 * t
            wide, high = rng.uniform(5, 16), rng.uniform(4, 11)
            lines = [np.stack([wide * radius * np.cos(angle), high * radius * np.sin(angle)], -1)]
        elif kind == "underline":
            lines = [np.stack([rng.uniform(8, 30) * t, rng.normal(0, 1) * t**2 + 0.4 * np.sin(5 * t)], -1)]
        elif kind == "arrow":
            tip = np.array([rng.uniform(-12, 12), rng.uniform(6, 14)])
            back = -tip / np.hypot(*tip) * 2.5
            side = np.array([-back[1], back[0]]) * 0.6
            shaft = tip * t[:, None] + side * np.sin(3 * t)[:, None] * 0.5
            lines = [shaft, tip + np.stack([back + side, 0 * side, back - side])]
        else:
            lines = [np.array([(0, 0), (1.5, 2.5), (6, -5.0)])]
        stroke(mask, [(at + line) * ppm for line in lines], width)
