"""ECGs that are no 12-lead page: strips, reports of one lead, screens, Holter pages, cut pages, figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from ecgutils import LEADS
from ecgutils.hearts import simulate
from ecgutils.signals import Record
from ecgutils.signals.measure import find_beats
from ecgutils.synth import draw_style, render_page
from ecgutils.synth.sources import SCAN_SOURCES
from negatives.sheet import Sheet, tint, wander, words

MONTAGE = ("Fp1-F7", "F7-T3", "T3-T5", "T5-O1", "Fp2-F8", "F8-T4", "T4-T6", "T6-O2",
           "Fp1-F3", "F3-C3", "C3-P3", "P3-O1", "Fp2-F4", "F4-C4", "C4-P4", "P4-O2")  # fmt: skip
CATHETERS = ("HRA", "HIS-p", "HIS-d", "CS-9,10", "CS-7,8", "CS-5,6",
             "CS-3,4", "CS-1,2", "RVA", "MAP", "ABL-d", "ABL-p")  # fmt: skip


def lead_of(record: Record, lead: int, seconds: float) -> np.ndarray:
    """A lead's signal in mV, (n,) at 500 Hz: beyond its ten seconds its beats come again."""
    signal, beats = np.nan_to_num(record.signal_mv[lead]), find_beats(record.signal_mv, record.fs)
    cuts = np.r_[0, 2500] if len(beats) < 4 else beats[1:] - int(0.4 * np.median(np.diff(beats)))
    parts, rng, n = [signal], np.random.default_rng(len(beats)), round(500 * seconds)
    while sum(map(len, parts)) < n:
        k = int(rng.integers(len(cuts) - 1))
        part = signal[max(0, cuts[k]) : cuts[k + 1]]
        parts.append(part - np.linspace(part[0], part[-1], len(part)))
    return np.concatenate(parts)[:n]


def ecg_ink(rng: Generator) -> np.ndarray:
    """Colour of a trace on paper."""
    return tint(rng, 0, 50) if rng.random() < 0.75 else np.array([[200, 30, 40], [20, 40, 150]])[rng.integers(2)]


def rows_of(
    s: Sheet, lead: np.ndarray, rows: int, top: float, below: float, gain: float = 10, graph: bool = True
) -> None:
    """A signal (n,) on `rows` rows, one after the other in time."""
    n, rgb = len(lead) // rows, ecg_ink(s.rng)
    mm, pitch = (s.w - 8) / (n / 500 * 25), (s.h - top - below) / rows
    if graph:
        s.graph(mm, (4, top, s.w - 8, s.h - top - below))
    for i in range(rows):
        s.ecg(
            lead[i * n : (i + 1) * n],
            4,
            top + (i + 0.6) * pitch,
            mm,
            25,
            min(gain, pitch / mm / 2.2),
            rgb,
            max(0.3, 0.1 / mm),
        )


def _strip(s: Sheet, rng: Generator) -> None:
    lead, seconds = int(rng.integers(12)), rng.uniform(3, 12)
    mm, x = 100 / 25 / seconds, rng.choice([0, 4])
    s.graph(mm)
    n = 500 * (seconds - 2 * x / 25 / mm)
    s.ecg(
        lead_of(simulate(rng), lead, n / 500),
        x,
        s.h * rng.uniform(0.45, 0.65),
        mm,
        25,
        10,
        ecg_ink(rng),
        rng.uniform(0.25, 0.6),
    )
    if rng.random() < 0.7:
        s.say(f"{LEADS[lead]}   25 mm/s  10 mm/mV", 5, s.h - 2, 1.2)


def _watch_report(s: Sheet, rng: Generator) -> None:
    record, top = simulate(rng), rng.uniform(14, 22)
    rate = record.details["rate_bpm"]
    s.say(words(rng, 2).title(), 5, 5, 1.6)
    s.say(
        f"ECG — {rng.choice(['Sinus Rhythm', 'Atrial Fibrillation', 'Inconclusive', 'High Heart Rate'])}", 5, 8.5, 1.5
    )
    s.say(f"{rate:.0f} BPM average    {words(rng, 5)}", 5, 11.5, 0.9, s.shade(0.6))
    rows_of(s, lead_of(record, 0, 30), 3, top, s.h * rng.uniform(0.08, 0.5) if s.h > 80 else 8)
    s.say("25 mm/s, 10 mm/mV, Lead I, 512 Hz", 5, s.h - 3, 0.9)


def _home_report(s: Sheet, rng: Generator) -> None:
    s.lines(5, 4, s.w * 0.6, 4, 2)
    rows = int(rng.integers(4, 7))
    rows_of(s, lead_of(simulate(rng), int(rng.integers(2)), rows * rng.uniform(5, 10)), rows, 14, 6)
    s.say(f"Lead I   {rng.integers(50, 110)} bpm   25 mm/s", 5, s.h - 2.5, 1)


def _cut(s: Sheet, rng: Generator, leads: tuple[str, ...]) -> None:
    style = replace(draw_style(rng, str(rng.choice(SCAN_SOURCES))), layout="3x4+1")
    page = render_page(simulate(rng), rng, style, rng.uniform(3, 9))
    boxes = np.array([page.lead_boxes[name] for name in leads])
    pad, (height, width) = page.px_per_mm * rng.uniform(3, 10, 2), page.image.shape[:2]
    y0, y1 = max(0, int(boxes[:, 1].min() - pad[0])), min(height, int(boxes[:, 3].max() + pad[1]))
    x0, x1 = max(0, int(boxes[:, 0].min() - 2 * pad[1])), min(width, int(boxes[:, 2].max() + 2 * pad[0]))
    s.image, s.cover = page.image[y0:y1, x0:x1].copy(), page.trace_mask[y0:y1, x0:x1].copy()


def _top_row(s: Sheet, rng: Generator) -> None:
    _cut(s, rng, ("I", "aVR", "V1", "V4"))


def _rhythm_strip(s: Sheet, rng: Generator) -> None:
    _cut(s, rng, ("II_rhythm",))


def _monitor(s: Sheet, rng: Generator) -> None:
    rows, t, wide = int(rng.integers(3, 6)), np.arange(4000) / 500, s.w * 0.74
    record, colours = simulate(rng), ((60, 240, 90), (60, 220, 240), (250, 230, 70), (250, 90, 80), (240, 240, 240))
    beats, leads = 2 * np.pi * record.details["rate_bpm"] / 60 * t, int(rng.integers(1, rows - 1))
    names = (*("II", "V", "V5")[:leads], "Pleth", "Resp", "CO2", "Temp")
    pulse = np.exp(np.sin(beats - 0.5 * np.sin(beats))) / 2 + 0.15 * np.sin(2 * beats)
    for i in range(rows):
        y, rgb, mm = s.h * (i + 0.65) / rows, colours[i % 5 if leads == 1 or i else 0], wide / 200
        if i < leads:
            s.ecg(lead_of(record, (1, 6, 10)[i % 3], 8), 1, y, mm, 25, 0.3 * s.h / rows / mm, rgb, 0.3 / mm)
        else:
            other = pulse if i == leads else np.sin(t * rng.uniform(1, 2.5))
            s.draw([np.column_stack([1 + wide * t / 8, y - 0.2 * s.h / rows * other])], rgb, 0.3)
        s.say(names[i], 2, s.h * (i + 0.2) / rows, 1.2, rgb)
        s.say(str(rng.integers(12, 140)), wide + 5, y, min(6, s.h / rows * 0.35), rgb)


def _electrophysiology(s: Sheet, rng: Generator) -> None:
    rows, record, speed = int(rng.integers(8, 17)), simulate(rng), rng.choice([100, 200])
    mm, beats = s.w / 250, np.arange(0.2, 4, 60 / record.details["rate_bpm"])
    n = int(500 * (s.w - 8) / speed / mm)
    for i, (name, lead) in enumerate(
        [("I", 0), ("aVF", 5), ("V1", 6), *((c, None) for c in rng.permutation(CATHETERS))][:rows]
    ):
        y, t = s.h * (i + 0.6) / rows, np.arange(n)[:, None] / 500 - beats
        signal, rgb = rng.normal(0, 0.01, n), tint(rng, 120, 255) if s.dark else tint(rng, 0, 150)
        for late, size in ((rng.uniform(-0.12, -0.05), rng.random()), (rng.uniform(0, 0.08), rng.random())):
            signal += size * (np.sin((t - late) * rng.uniform(400, 900)) * np.exp(-(((t - late) / 0.012) ** 2))).sum(1)
        signal = signal if lead is None else np.nan_to_num(record.signal_mv[lead, :n])
        s.ecg(signal, 8, y, mm, speed, 0.45 * s.h / rows / mm, rgb, 0.14 / mm)
        s.say(name, 1, y, 1, rgb)


def _holter_page(s: Sheet, rng: Generator) -> None:
    rows = int(rng.integers(12, 21))
    s.say(words(rng, 6), 5, 4, 1.3)
    rows_of(
        s, lead_of(simulate(rng), int(rng.integers(12)), rows * rng.uniform(8, 40)), rows, 6, 3, 8, rng.random() < 0.3
    )
    for i in range(rows):
        s.say(f"{8 + i // 2:02d}:{30 * (i % 2):02d}", 0.3, 6 + (s.h - 9) * (i + 0.6) / rows, 0.8)


def _holter_strip(s: Sheet, rng: Generator) -> None:
    record, seconds = simulate(rng), rng.uniform(5, 10)
    mm, rgb = s.graph(s.w / 25 / seconds), ecg_ink(rng)
    for i, lead in enumerate(rng.choice(12, 3, replace=False)):
        s.ecg(lead_of(record, lead, seconds), 0, s.h * (i + 0.7) / 3.3, mm, 25, min(10, 0.15 * s.h / mm), rgb)
        s.say(f"CH{i + 1}", 1, s.h * (i + 0.3) / 3.3, 1.1)
    s.say(
        f"{rng.integers(24)}:{rng.integers(10, 60)}:07  HR {rng.integers(40, 150)}  {words(rng, 3)}", 3, s.h - 1.5, 1.1
    )


def _eeg(s: Sheet, rng: Generator) -> None:
    rows, n, alpha = int(rng.integers(16, 21)), 2000, np.hanning(int(rng.integers(10, 40)))
    s.ruled(s.w / 10, 0, s.shade(0.3))
    for i in range(rows - 1):
        y = s.h * (i + 0.6) / rows
        wave = np.convolve(rng.normal(0, 1, n), alpha / alpha.sum() * 3, "same") + wander(rng, n)
        s.draw([np.column_stack([np.linspace(7, s.w - 1, n), y - wave * s.h / rows * 0.3])], width=0.12)
        s.say(MONTAGE[i % 16], 1, y, 0.9)
    s.ecg(lead_of(simulate(rng), 0, 10), 7, s.h * (rows - 0.4) / rows, (s.w - 8) / 250, 25, 5, width=0.3)
    s.say("ECG", 1, s.h - 0.5 * s.h / rows, 0.9)


def one_beat(record: Record, rng: Generator) -> np.ndarray:
    """The middle beat of all leads, (12, n), 0.25 s before and 0.45 s behind its R."""
    beats = find_beats(record.signal_mv, record.fs)
    at = int(beats[len(beats) // 2]) if len(beats) > 2 else 1200
    return np.nan_to_num(record.signal_mv[:, max(0, at - 125) : at + 225])


def _exercise_complexes(s: Sheet, rng: Generator) -> None:
    beat, columns, rgb = one_beat(simulate(rng, noise=False), rng), int(rng.choice([3, 4, 6])), ecg_ink(rng)
    w, h = (s.w - 8) / columns, (s.h - 12) / (12 // columns)
    s.say(f"Stage {rng.integers(1, 6)}   {words(rng, 4)}   {rng.integers(80, 180)} bpm", 5, 4, 1.4)
    for k in range(12):
        x, y, mm = 4 + k % columns * w, 8 + k // columns * h, w / 40
        if rng.random() < 0.9:
            s.box(x, y, w - 1, h - 1, s.shade(0.5))
        s.ecg(beat[k], x + 2, y + 0.55 * h, mm, 45, min(15, 0.2 * h / mm), rgb, 0.2 / mm)
        s.say(LEADS[k], x + 0.5, y + 2, 1)
        s.say(f"ST {rng.normal(0, 1):.1f}  {rng.normal(0, 1):.2f}", x + 0.5, y + h - 2, 0.8)


def _ladder_diagram(s: Sheet, rng: Generator) -> None:
    record, seconds = simulate(rng), rng.uniform(3, 8)
    mm = s.graph((s.w - 10) / 25 / seconds) if rng.random() < 0.6 else (s.w - 10) / 25 / seconds
    s.ecg(lead_of(record, int(rng.choice([1, 6])), seconds), 8, s.h * 0.3, mm, 25, min(10, s.h / mm / 10), ecg_ink(rng))
    y, step = s.h * 0.5, s.h * 0.13
    s.ruled(0, step, s.ink, at=(6, y, s.w - 8, 3 * step))
    for i, name in enumerate(("A", "AV", "V")):
        s.say(name, 2, y + (i + 0.6) * step, 1.4)
    for beat in find_beats(record.signal_mv, record.fs) / 500:
        if 0.3 < beat < seconds:
            x, d = 8 + beat * 25 * mm, mm * rng.uniform(2, 6)
            s.draw([[(x - 1.2 * d, y), (x - d, y + step), (x, y + 2 * step), (x + 0.2 * d, y + 3 * step)]], width=0.3)


def _textbook_beat(s: Sheet, rng: Generator) -> None:
    beat = one_beat(simulate(rng, set(), noise=False), rng)[int(rng.choice([0, 1, 10]))]
    mm = s.w / rng.uniform(25, 45)
    if rng.random() < 0.6:
        s.graph(mm, (5, 4, s.w - 10, s.h * 0.65))
    x, y = 0.3 * s.w, s.h * 0.5
    s.ecg(beat, x, y, mm, 25, 0.3 * s.h / mm / max(0.3, np.ptp(beat)), ecg_ink(rng), 0.5 / mm)
    for name, at in (("P", 70), ("QRS", 118), ("T", 260)):
        s.say(name, x + at * 25 * mm / 500, y - s.h * rng.uniform(0.08, 0.12) - 20 * (name == "QRS") * s.h / 100, 2)
    s.lines(6, s.h * 0.78, s.w - 12, int(s.h * 0.2 / 3), 3)


def _vector_loops(s: Sheet, rng: Generator) -> None:
    record = simulate(rng, noise=False)
    beat, size = one_beat(record, rng)[[0, 5, 7]], s.w / 3
    gain = size * 0.4 / max(0.3, np.abs(beat).max())
    for k, (a, b) in enumerate(((0, 1), (0, 2), (2, 1))):
        x, y = size * (k + 0.5), 4 + size / 2
        s.draw(
            [[(x - size * 0.45, y), (x + size * 0.45, y)], [(x, y - size * 0.45), (x, y + size * 0.45)]], s.shade(0.5)
        )
        s.draw([np.column_stack([x + gain * beat[a], y + gain * beat[b]])], width=0.25)
        s.say(("Frontal", "Horizontal", "Sagittal")[k], x - 5, 3, 1.3)
    s.ecg(lead_of(record, 0, 6), 4, s.h - 8, (s.w - 8) / 150, 25, 6)
    s.say("X", 1, s.h - 8, 1.2)


ECG = (_strip, _watch_report, _home_report, _top_row, _rhythm_strip, _monitor, _electrophysiology,
       _holter_page, _holter_strip, _eeg, _exercise_complexes, _ladder_diagram, _textbook_beat,
       _vector_loops)  # fmt: skip
