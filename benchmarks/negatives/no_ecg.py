"""What a camera may be held at that is no ECG at all: forms, tables, texts, charts, papers, textures."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from negatives.sheet import Sheet, tint, wander, words


def clouds(rng: Generator, w: int, h: int, x: int, y: int) -> np.ndarray:
    """Smooth noise 0..1, float32 (h, w), of about x by y clouds."""
    noise = cv2.resize(rng.random((y + 2, x + 2)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise, 0, 1)


def stuff(rng: Generator) -> np.ndarray:
    """A colour, RGB, of stone, wood or cloth: rarely a loud one."""
    return tint(rng) if rng.random() < 0.2 else np.clip(rng.uniform(20, 235) + rng.normal(0, 20, 3), 0, 255)


def _form(s: Sheet, rng: Generator) -> None:
    s.say(words(rng, 3).upper(), 5, 6, rng.uniform(1.2, 2.5))
    y, pitch = 9.0, rng.uniform(3, 7)
    while y < s.h - pitch:
        cuts = np.sort(np.r_[5, rng.uniform(12, s.w - 12, rng.integers(0, 4)), s.w - 5])
        for a, b in pairwise(cuts):
            s.box(a, y, b - a, pitch)
            s.say(words(rng, 2), a + 0.5, y + pitch * 0.35, pitch * 0.2)
            if rng.random() < 0.4 and b - a > 15:
                s.write(a + 2, y + 0.8 * pitch, 8, pitch * 0.2, (30, 40, 140))
        y += pitch * rng.choice([1, 1, 1.5])


def _table(s: Sheet, rng: Generator) -> None:
    pitch = rng.uniform(1.6, 4)
    s.table(4, 5, s.w - 8, int((s.h - 10) / pitch), int(rng.integers(4, 14)), pitch, rng.random() < 0.7)


def _text(s: Sheet, rng: Generator) -> None:
    columns, pitch = int(rng.integers(1, 4)), rng.uniform(1.5, 3.5)
    s.say(words(rng, 4).title(), 6, 6, 2)
    for c in range(columns):
        y, wide = 10.0, (s.w - 10) / columns
        while y < s.h - 5 * pitch:
            n = int(min(rng.integers(3, 14), (s.h - y) / pitch - 1))
            s.lines(5 + c * wide, y, wide - 2, n, pitch)
            y += (n + 0.8) * pitch


def _handwriting(s: Sheet, rng: Generator) -> None:
    size, rgb = rng.uniform(0.8, 2.2), tint(rng, 0, 130)
    s.graph(100 / rng.uniform(100, 300) * (1 if rng.random() < 0.5 else 4))
    for y in np.arange(8, s.h - 3, size * rng.uniform(2.5, 4.5)):
        s.write(rng.uniform(4, 8), y, int(rng.uniform(0.3, 0.85) * s.w / size), size, rgb)


def _millimetre_paper(s: Sheet, rng: Generator) -> None:
    s.graph()


def _notebook(s: Sheet, rng: Generator) -> None:
    pitch = rng.uniform(2.5, 5)
    s.ruled(0, pitch, s.shade(rng.uniform(0.2, 0.9), tint(rng, 60, 170)))
    s.draw([[(12, 0), (12, s.h)]], (220, 90, 90))
    for y in np.arange(2 * pitch, s.h - pitch, pitch):
        if rng.random() < 0.7:
            s.write(14, y - 0.3, int((s.w - 22) / pitch * 3 * rng.uniform(0.3, 0.8)), pitch * 0.3, (25, 35, 110))


def _axes(s: Sheet, grid: bool = True) -> tuple[float, float, float, float]:
    rng, at = s.rng, (10.0, 8.0, s.w - 15, s.h - 18)
    if grid:
        step = rng.uniform(3, 12)
        s.ruled(step, step, s.shade(rng.uniform(0.1, 0.8)), at=at)
    s.box(*at)
    for k in np.linspace(0, 1, 6):
        s.say(f"{k * rng.choice([1, 10, 50]):.3g}", 5, at[1] + at[3] * (1 - k), 1.1)
        s.say(f"{2000 + 4 * int(5 * k)}", at[0] + at[2] * 0.93 * k, s.h - 7.5, 1.1)
    s.say(words(rng, 4).capitalize(), 12, 5, 1.7)
    s.say(words(rng, 3), s.w / 2 - 8, s.h - 3, 1.3)
    return at


def _line_chart(s: Sheet, rng: Generator) -> None:
    (x, y, w, h), n = _axes(s, rng.random() < 0.7), int(rng.integers(20, 400))
    for _ in range(rng.integers(1, 7)):
        level = np.clip(0.5 + wander(rng, n, 0.4) + rng.normal(0, 0.05, n) * rng.choice([0, 1]), 0, 1)
        s.draw([np.column_stack([np.linspace(x, x + w, n), y + h * level])], tint(rng, 0, 220), rng.uniform(0.1, 0.5))


def _stock_chart(s: Sheet, rng: Generator) -> None:
    (x, y, w, h), n = _axes(s), int(rng.integers(30, 120))
    walk = y + h * (0.45 + wander(rng, n + 1, 0.3))
    for i in range(n):
        rgb, at = ((40, 160, 90), (210, 60, 60))[int(walk[i + 1] > walk[i])], x + w * (i + 0.2) / n
        s.draw([[(at + w * 0.3 / n, walk[i] - 2), (at + w * 0.3 / n, walk[i + 1] + 2)]], rgb)
        s.box(at, min(walk[i : i + 2]), 0.6 * w / n, abs(walk[i + 1] - walk[i]) + 0.2, rgb, True)
        s.box(at, y + h * (1 - (d := rng.uniform(0.02, 0.15))), 0.6 * w / n, h * d, s.shade(0.4), True)


def _function_plot(s: Sheet, rng: Generator) -> None:
    t = np.linspace(-1, 1, 800)
    s.graph()
    s.draw([[(s.w / 2, 2), (s.w / 2, s.h - 2)], [(2, s.h / 2), (s.w - 2, s.h / 2)]])
    for _ in range(rng.integers(1, 4)):
        f = rng.uniform(2, 25)
        forms = (np.sin(f * t), np.exp(-3 * (t + 1)) * np.sin(2 * f * t), np.exp(2 * t) / 8, np.tanh(f * t),
                 t**3 - 0.5 * t, np.sinc(f * t), np.sign(np.sin(f * t)), np.abs((f * t) % 2 - 1))  # fmt: skip
        form = forms[int(rng.integers(len(forms)))] * rng.uniform(0.2, 0.9)
        s.draw(
            [np.column_stack([s.w / 2 * (1 + 0.95 * t), s.h / 2 * (1 - form)])],
            tint(rng, 0, 150),
            rng.uniform(0.15, 0.6),
        )


def _bar_chart(s: Sheet, rng: Generator) -> None:
    (x, y, w, h), n, rgb = _axes(s, rng.random() < 0.5), int(rng.integers(4, 30)), tint(rng, 20, 200)
    for i, high in enumerate(rng.uniform(0.05, 0.95, n)):
        s.box(x + w * (i + 0.15) / n, y + h * (1 - high), 0.7 * w / n, h * high, rgb, True)


def _sheet_music(s: Sheet, rng: Generator) -> None:
    gap = rng.uniform(0.7, 1.4)
    for y in np.arange(9, s.h - 6 * gap, 10 * gap):
        s.ruled(0, gap, s.ink, at=(5, y, s.w - 10, 4 * gap))
        for x in np.arange(12, s.w - 7, gap * rng.uniform(2, 4)):
            at, up = y + gap / 2 * rng.integers(-1, 10), rng.choice([-1, 1])
            head = 0.55 * gap * np.column_stack([np.cos(a := np.linspace(0, 7, 20)), 0.7 * np.sin(a)])
            s.draw([np.add(head, [x, at])], width=0.5 * gap)
            s.draw([[(x - up * 0.7 * gap, at), (x - up * 0.7 * gap, at + up * 3.3 * gap)]])
        s.draw([[(x, y), (x, y + 4 * gap)] for x in np.linspace(5, s.w - 5, 5)])


def _puzzle(s: Sheet, rng: Generator) -> None:
    n = int(rng.choice([9, 9, 13, 17, 21]))
    side = 0.85 * min(s.w, s.h)
    x, y, c = (s.w - side) / 2, (s.h - side) / 2, side / n
    s.ruled(c, c, s.ink, at=(x, y, side, side))
    for i, j in np.ndindex(n, n):
        if n > 9 and rng.random() < 0.2:
            s.box(x + i * c, y + j * c, c, c, full=True)
        elif rng.random() < 0.35:
            s.say(
                str(rng.integers(1, 10)),
                x + (i + 0.1 + 0.2 * (n == 9)) * c,
                y + (j + 0.7) * c,
                c * (0.5 if n == 9 else 0.25),
            )
    if n == 9:
        s.ruled(3 * c, 3 * c, s.ink, 0.5, (x, y, side, side))


def _label(s: Sheet, rng: Generator) -> None:
    x = 8.0
    while x < s.w - 8:
        s.box(x, 8, wide := rng.choice([0.4, 0.8, 1.2]), s.h * 0.3, full=True)
        x += wide + rng.choice([0.4, 0.8, 1.2])
    c, n = s.h * 0.4 / 25, 25
    for i, j in np.argwhere(rng.random((n, n)) < 0.5):
        s.box(8 + i * c, s.h * 0.45 + 4 + j * c, c, c, full=True)
    s.lines(14 + n * c, s.h * 0.5 + 4, s.w - 20 - n * c, 6, s.h * 0.07)


def _receipt(s: Sheet, rng: Generator) -> None:
    pitch = rng.uniform(2, 3)
    s.say(words(rng, 2).upper(), s.w * 0.2, 5, 2)
    for y in np.arange(10, 95, pitch):
        s.say(words(rng, 2)[:16], 2, y, 0.9)
        s.say(f"{rng.uniform(0, 99):6.2f}", s.w * 0.75, y, 0.9)


def _map(s: Sheet, rng: Generator) -> None:
    n = 300 * np.array([s.h, s.w]) / 100
    land = clouds(rng, int(n[1]), int(n[0]), int(rng.integers(3, 7)), int(rng.integers(3, 7)))
    for level in np.linspace(0.05, 0.95, rng.integers(6, 20)):
        found = cv2.findContours((land > level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        s.draw([line[:, 0] / 3 for line in found], s.shade(0.7, (150, 90, 40)), close=True)
    for _ in range(rng.integers(3, 9)):
        road = np.column_stack([np.linspace(0, s.w, 60), rng.uniform(0, s.h) + wander(rng, 60, 20)])
        s.draw([road[:, :: rng.choice([-1, 1])]], tint(rng, 0, 200), 0.5)
        s.say(words(rng, 1).title(), rng.uniform(5, s.w - 15), rng.uniform(5, s.h - 5), 1.2)


def _floor_plan(s: Sheet, rng: Generator) -> None:
    if rng.random() < 0.6:
        s.graph()
    for _ in range(rng.integers(6, 16)):
        x, y, w, h = np.round(rng.uniform([4, 4, 8, 8], [s.w * 0.7, s.h * 0.7, 35, 25]) / 2) * 2
        s.draw([[(x, y), (x + w, y), (x + w, y + h), (x, y + h)]], width=rng.choice([0.2, 0.6]), close=True)
        s.draw([np.add([x, y], 4 * np.column_stack([np.cos(a := np.linspace(0, 1.57, 20)), np.sin(a)]))])
        s.draw(
            [[(x, y - 1.5), (x + w, y - 1.5)], [(x, y - 2), (x, y - 1)], [(x + w, y - 2), (x + w, y - 1)]], width=0.12
        )
        s.say(f"{w:.2f}", x + w / 2, y - 1.8, 0.8)


def _doodle(s: Sheet, rng: Generator) -> None:
    for _ in range(rng.integers(4, 25)):
        t, (a, b) = np.linspace(0, rng.uniform(2, 30), 200), rng.uniform(1, 15, 2)
        loop = np.column_stack([a * np.cos(t) + t * rng.normal(0, 0.5), b * np.sin(t * rng.choice([1, 1, 2]))])
        s.draw([loop + rng.uniform(5, [s.w - 5, s.h - 5])], tint(rng, 0, 160), rng.uniform(0.15, 0.5))


def _calendar(s: Sheet, rng: Generator) -> None:
    s.say(f"{rng.choice(['January', 'MAY', 'Juli', 'October'])} {rng.integers(1990, 2031)}", 6, 8, 3)
    c, r = (s.w - 10) / 7, (s.h - 18) / 6
    s.ruled(c, r, s.shade(rng.uniform(0.3, 1)), at=(5, 13, 7 * c, 6 * r))
    for day in range(31):
        s.say(str(day + 1), 5.5 + c * ((day + 2) % 7), 13 + r * ((day + 2) // 7 + 0.4), 1.3)


def _tiles(s: Sheet, rng: Generator) -> None:
    w, h, shift, rgb = *rng.uniform(3, 14, 2), rng.choice([0, 0.5, 0.3]), stuff(rng)
    for i, j in np.ndindex(int(s.h / h) + 1, int(s.w / w) + 2):
        x, y = (j - 1 + shift * (i % 3)) * w, i * h
        s.box(x, y, 0.93 * w, 0.9 * h, np.clip(rgb + rng.normal(0, 10, 3), 0, 255), True)
        if shift == 0.3:  # keys
            s.say(str(rng.choice(list("QWERTYUIOPASDF1234"))), x + 0.3 * w, y + 0.6 * h, 0.3 * h, 255 - rgb)


def _texture(s: Sheet, rng: Generator) -> None:
    h, w = s.image.shape[:2]
    x, y = rng.choice([(4, 4), (3, 200), (300, 300), (60, 4), (12, 9)])
    field, (rgb, other) = clouds(rng, w, h, int(x), int(y)), (stuff(rng), stuff(rng))
    if rng.random() < 0.5:  # rings of wood, or the weave of cloth
        field = (field * rng.uniform(3, 15)) % 1
        field = (
            0.7 * field + 0.3 * (np.sin(np.arange(w) * rng.uniform(0.1, 1)) * np.sin(np.arange(h) * 0.7)[:, None]) ** 2
        )
    s.image[:] = np.clip(rgb + (other - rgb) * field[..., None] + rng.normal(0, 5, (h, w, 1)), 0, 255)


def _growth_curves(s: Sheet, rng: Generator) -> None:
    x, y, w, h = at = _axes(s, False)
    s.graph(at=at)
    t, loop, power = np.linspace(0, 1, 200), rng.random() < 0.4, rng.uniform(0.3, 0.8)
    for k in np.linspace(0.4, 0.95, rng.integers(1, 9)):
        up = np.r_[t**0.2 * (1 - t) * 1.5, -0.5 * np.sin(np.pi * t)] * 0.6 + 0.35 if loop else t**power
        across = np.r_[t, t[::-1]] if loop else t
        s.draw(
            [np.column_stack([x + w * across * (k if loop else 1), y + h * (1 - k * up)])], width=rng.uniform(0.1, 0.4)
        )


def _spreadsheet(s: Sheet, rng: Generator) -> None:
    pitch, columns = rng.uniform(1.8, 3), int(rng.integers(6, 16))
    s.box(0, 0, s.w, 6, (33, 115, 70), True)
    s.box(0, 6, s.w, pitch, s.shade(0.15), True)
    s.table(0, 6, s.w, int((s.h - 6) / pitch), columns, pitch)


def _code(s: Sheet, rng: Generator) -> None:
    for i, y in enumerate(np.arange(4, s.h - 2, rng.uniform(1.8, 3))):
        x = 6.0 + 3 * rng.integers(0, 4)
        s.say(str(i + 1), 1, y, 0.9, s.shade(0.4))
        for word in words(rng, int(rng.integers(0, 7))).split():
            s.say(
                word + rng.choice(["", "(", " =", ":"]),
                x,
                y,
                0.9,
                rng.choice([[220, 120, 170], [120, 190, 250], [150, 210, 120]]),
            )
            x += 1 + len(word)


def _lab_report(s: Sheet, rng: Generator) -> None:
    s.say(words(rng, 3).upper(), 6, 6, 2)
    s.lines(6, 10, s.w * 0.7, 4, 2)
    pitch = rng.uniform(1.8, 2.6)
    s.table(6, 19, s.w - 12, int((s.h - 32) / pitch), 4, pitch, rng.random() < 0.4)
    s.lines(6, s.h - 8, s.w * 0.6, 3, 2)


NO_ECG = (_form, _table, _text, _handwriting, _millimetre_paper, _notebook, _line_chart, _stock_chart,
          _function_plot, _bar_chart, _sheet_music, _puzzle, _label, _receipt, _map, _floor_plan,
          _doodle, _calendar, _tiles, _texture, _growth_curves, _spreadsheet, _code, _lab_report)  # fmt: skip
