"""What else is in the picture: the desk under the page, papers beside it, scratches, labels and fingers on it."""

import cv2
import numpy as np

from ecgutils.synth.effects import smooth_field
from ecgutils.synth.ink import ink, paleness, stroke

_DESK_PX = 900  # the desk, out of focus mostly, is drawn about this wide, at a third of the picture's size at most
_DESKS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "wood": ((150, 105, 65), (96, 64, 42), (188, 158, 120), (120, 110, 100), (206, 178, 140), (70, 46, 34)),
    "cloth": ((58, 96, 130), (40, 52, 80), (120, 140, 142), (205, 205, 200), (96, 30, 40), (50, 110, 96)),
    "laminate": ((225, 224, 218), (62, 62, 66), (150, 168, 165), (172, 150, 132), (84, 112, 150), (200, 206, 210)),
    "steel": ((150, 154, 158), (186, 188, 190)),
    "board": ((126, 88, 56), (36, 38, 44), (90, 120, 160)),  # a clipboard on something darker
    "screen": ((14, 15, 18),),
}
_SKIN = ((232, 190, 164), (205, 152, 120), (160, 108, 78), (104, 68, 50))
_PAPER = ((246, 246, 242), (238, 240, 244), (250, 240, 205), (222, 232, 244), (236, 214, 214))


def draw_desk(rng: np.random.Generator, size: tuple[int, int], page: np.ndarray) -> np.ndarray:
    """What the paper lies on and what lies beside it, with the paper's contact shadow: uint8 (H, W, 4) RGB and 0.
    `page` is the paper's coverage, float32 0..1 of any size; where it fills the picture, nothing is drawn."""
    rng = np.random.default_rng(rng.integers(2**63))  # the same draws from `rng` whether or not any desk is seen
    if page.min() >= 1:
        return np.zeros((size[1], size[0], 4), np.uint8)
    coarse = max(3, round(max(size) / _DESK_PX))
    w, h = (-(-side // coarse) for side in size)
    kind = list(_DESKS)[int(rng.choice(len(_DESKS), p=[0.28, 0.16, 0.28, 0.08, 0.12, 0.08]))]
    colour = np.array(_DESKS[kind][int(rng.integers(len(_DESKS[kind])))], np.float32) + rng.normal(0, 8, 3)
    desk = colour.astype(np.float32) * (1 + _texture(rng, kind, (w, h)))[..., None]
    desk = np.clip(desk, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 4)) if kind != "screen" else 0):
        _lay_paper(desk, rng)
    small = cv2.resize(page, (w // 4, h // 4), interpolation=cv2.INTER_AREA)  # shadows are soft
    shift = np.float32([[1, 0, rng.normal(0, 0.006) * w / 4], [0, 1, rng.normal(0, 0.006) * w / 4]])
    near, far = float(rng.uniform(0.002, 0.005)) * w / 4, float(rng.uniform(0.01, 0.03)) * w / 4
    dark = 0.35 * cv2.GaussianBlur(small, (0, 0), near)
    dark += 0.4 * cv2.GaussianBlur(cv2.warpAffine(small, shift, small.shape[::-1]), (0, 0), far)
    dark = cv2.resize(dark, (w, h))
    desk = np.dstack([desk * (1 - dark)[..., None], np.zeros((h, w))]).astype(np.uint8)
    return cv2.resize(desk, size, interpolation=cv2.INTER_LINEAR)


def _texture(rng: np.random.Generator, kind: str, size: tuple[int, int]) -> np.ndarray:
    """Relative brightness of a desk, float32 (H, W), mean about 0."""
    w, h = size
    fine = rng.standard_normal((h, w), dtype=np.float32)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    if kind in ("wood", "steel"):  # fibres: noise drawn out along one direction, rings bent by a slow field
        side = int(np.hypot(w, h)) + 2
        fibres = cv2.resize(rng.standard_normal((side, 12), np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        angle = float(rng.choice([0, 90])) + float(rng.normal(0, 12))
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1)
        turn[:, 2] -= ((side - w) / 2, (side - h) / 2)
        grain = cv2.warpAffine(fibres, turn, size)
        if kind == "steel":
            return 0.03 * grain + 0.02 * fine
        across = x / w * np.float32(np.sin(np.radians(angle))) + y / w * np.float32(np.cos(np.radians(angle)))
        rings = np.sin(across * rng.uniform(40, 160) + rng.uniform(2, 7) * smooth_field(rng, size, 2.5))
        planks = rng.uniform(1.5, 5)
        off_gap = np.abs(np.mod(across * planks, 1) - 0.5)
        gaps = -0.5 * np.clip((0.006 - off_gap) * w / planks + 0.5, 0, 1)
        return (0.07 * grain + 0.06 * rings + 0.02 * fine + gaps).astype(np.float32)
    if kind == "cloth":
        weave = np.sin(x * rng.uniform(1.2, 2.2)) * np.sin(y * rng.uniform(1.2, 2.2))
        return 0.14 * smooth_field(rng, size, 4) + 0.07 * weave + 0.06 * fine
    if kind == "board":  # its edge crosses the picture somewhere
        level = 0.03 * smooth_field(rng, size, 60) + 0.03 * fine
        angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.48) * w
        beyond = np.clip((x - w / 2) * np.cos(angle) + (y - h / 2) * np.sin(angle) - at + 0.5, 0, 1)
        return (level * (1 - 0.9 * beyond) - 0.55 * beyond).astype(np.float32)
    return 0.04 * smooth_field(rng, size, 3) + rng.uniform(0.005, 0.08) * cv2.GaussianBlur(fine, (0, 0), 0.8)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * 16).astype(np.int32)


def _lay_paper(image: np.ndarray, rng: np.random.Generator, s: float = 0.0) -> None:
    """A sheet with lines of text, partly in the picture; with `s` > 0 it is a label that juts in from above."""
    h, w = image.shape[:2]
    side = rng.uniform((0.12, 0.05), (0.45, 0.12)) * w if s else rng.uniform(0.5, 1.0, 2) * w
    angle = rng.normal(0, 0.06) if s else rng.uniform(0, np.pi)
    if s:
        centre = np.array([rng.uniform(0, 1) * w, side[1] * (s * rng.uniform(0.15, 0.85) - 0.5)])
    else:
        out = rng.uniform(0, 2 * np.pi)
        centre = np.array([w, h]) / 2 + np.array([np.cos(out), np.sin(out)]) * rng.uniform(0.6, 0.85) * w
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = centre + np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * side / 2 @ turn
    black = (0,) * (image.shape[2] - 3)
    low = np.clip(corners.min(0) - 0.02 * w, 0, (w, h)).astype(int)
    high = np.clip(corners.max(0) + 0.02 * w, 0, (w, h)).astype(int)
    if (high <= low).any():
        return
    part = image[low[1] : high[1], low[0] : high[0]]
    light = np.full(part.shape[:2], 255, np.uint8)  # the sheet's soft shadow, at a quarter of the size
    cv2.fillConvexPoly(light, _fixed(corners + 0.003 * w - low), 150, cv2.LINE_8, 4)
    soft = cv2.resize(light, [-(-side // 4) for side in part.shape[1::-1]], interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(soft, (0, 0), max(0.5, 0.0012 * w)), part.shape[1::-1])
    for channel in range(3):
        part[..., channel] = cv2.multiply(np.ascontiguousarray(part[..., channel]), soft, scale=1 / 255)
    rgb = np.array(_PAPER[int(rng.integers(len(_PAPER)))]) * rng.uniform(0.85, 1)
    cv2.fillConvexPoly(image, _fixed(corners), (*(int(v) for v in rgb), *black), cv2.LINE_AA, 4)
    step = rng.uniform(0.007, 0.013) * w
    rows, words = np.arange(1.5, side[1] / step - 1), 24
    ends = np.cumsum(rng.uniform((0.25, 0.8), (0.4, 3.0), (len(rows), words, 2)).reshape(len(rows), -1), axis=1)
    ends = 0.06 * side[0] + step * ends
    keep = ends[:, 1::2] < side[0] * rng.uniform(0.2, 0.94, (len(rows), 1))
    starts, stops = ends[:, 0::2, None], ends[:, 1::2, None]
    x = starts + (stops - starts) * np.linspace(0, 1, 15)  # a word is a zigzag as high as its letters
    y = rows[:, None, None] * step - rng.uniform(0, 0.4, x.shape) * step
    turned = _fixed(centre + (np.stack([x, y], -1)[keep] - side / 2) @ turn)
    grey = int(rng.integers(60, 170))
    cv2.polylines(image, list(turned), False, (grey, grey, grey + 6, *black), max(1, round(0.1 * step)), cv2.LINE_AA, 4)


def scuff(layers: np.ndarray, rng: np.random.Generator, s: float, ppm: float) -> None:
    """Scratches and hairlines of crumpled paper on `layers`, in place: thin bent dark lines, each with a pale one."""
    t, lines = np.linspace(0, 1, 12), []
    for _ in range(int(rng.integers(2, 14))):
        at = rng.uniform(0, 1, 2) * layers.shape[1::-1]
        turn = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.4) * t + np.cumsum(rng.normal(0, 0.2, 12))
        step = rng.lognormal(2.4, 0.6) / 12 * ppm
        lines.append(at + step * np.cumsum(np.stack([np.cos(turn), np.sin(turn)], -1), axis=0))
    width = rng.uniform(0.12, 0.3) * ppm
    mask = np.zeros(layers.shape[:2], np.uint8)
    for rgb, shift, opacity in (((96, 88, 80), 0.0, 0.5), ((255, 254, 250), 1.2 * width, 0.6)):
        mask[:] = 0
        stroke(mask, [line + shift for line in lines], width)
        ink(layers, mask, rgb, s * opacity * paleness(width))


def lay_clutter(layers: np.ndarray, rng: np.random.Generator, s: float) -> None:
    """Labels, fingers and whited-out names on the page, in place; uint8 (H, W, 4), coverage is 0 below them."""
    h, w = layers.shape[:2]
    for kind in rng.permutation(["label", "finger", "white"])[: 1 + int(rng.random() < 0.35)]:
        if kind == "label":
            _lay_paper(layers, rng, s)
        elif kind == "finger":
            _lay_finger(layers, rng, s)
        else:  # painted over by hand in a picture editor
            at = np.array([rng.uniform(0, 1) * w, rng.choice([0.02, 0.98]) * h])
            if rng.random() < 0.3:
                at = np.array([rng.choice([0.01, 0.99]) * w, rng.uniform(0, 1) * h])
            n = int(rng.integers(2, 6))
            points = at + np.cumsum(rng.normal(0, 1, (n, 2)) * ((0.02 + 0.05 * s) * w, 0.008 * w), axis=0)
            level = int(rng.choice([255, 255, 0]))
            thick = max(2, round(s * rng.uniform(0.015, 0.05) * w))
            cv2.polylines(layers, [_fixed(points)], False, (level, level, level, 0), thick, cv2.LINE_AA, 4)


def _lay_finger(layers: np.ndarray, rng: np.random.Generator, s: float) -> None:
    """A fingertip or thumb that holds the page at the edge of the picture."""
    h, w = layers.shape[:2]
    edge, along = int(rng.integers(3)), rng.uniform(0.2, 0.9)  # left, right, below
    base = np.array([(-0.02 * w, along * h), (1.02 * w, along * h), (along * w, 1.03 * h)][edge])
    inward = np.array([(1, 0), (-1, 0), (0, -1)][edge], np.float64)
    turn = rng.normal(0, 0.4)
    inward = inward @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    radius = rng.uniform(0.025, 0.045) * w
    tip = base + inward * rng.uniform(0.01, 0.10) * s * w
    root = base - inward * 4 * radius
    low = np.clip(np.floor(np.minimum(tip, root) - 1.6 * radius), 0, (w, h)).astype(int)
    high = np.clip(np.ceil(np.maximum(tip, root) + 1.6 * radius), 0, (w, h)).astype(int)
    if (high <= low).any():
        return
    part = layers[low[1] : high[1], low[0] : high[0]]
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    dx, dy = x - np.float32(tip[0]), y - np.float32(tip[1])
    behind = np.minimum(dx * np.float32(inward[0]) + dy * np.float32(inward[1]), 0)  # <= 0 along the finger
    off = np.hypot(dx - behind * np.float32(inward[0]), dy - behind * np.float32(inward[1])) / np.float32(radius)
    skin = np.array(_SKIN[int(rng.integers(len(_SKIN)))], np.float32)
    round_ = np.sqrt(np.clip(1 - off**2, 0, 1))
    coarse = rng.standard_normal((40, 40), dtype=np.float32)
    wrinkles = 0.03 * cv2.resize(coarse, part.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    colour = skin * (0.62 + 0.38 * round_ + wrinkles)[..., None] + (1 - round_)[..., None] * np.float32([18, -4, -8])
    nail = ((dx * inward[0] + dy * inward[1]) / (0.75 * radius)) ** 4  # longer than wide, its free edge near the tip
    nail += ((-dx * inward[1] + dy * inward[0]) / (0.6 * radius)) ** 4
    if rng.random() < 0.7:
        soft = 1 / (1 + np.exp(np.clip((nail - 1) * 8, -30, 30)))[..., None].astype(np.float32)
        colour = colour * (1 - 0.4 * soft) + 0.4 * soft * (skin * 0.7 + np.float32([82, 66, 64]))
    shadow = 1 - 0.4 * np.exp(-((np.clip(off - 1, 0, None) / 0.25) ** 2))
    cover = np.clip((1 - off) * radius / (0.003 * w), 0, 1)[..., None]
    part[..., :3] = np.clip(part[..., :3] * shadow[..., None] * (1 - cover) + colour * cover, 0, 255).astype(np.uint8)
    part[..., 3] = (part[..., 3] * (1 - cover[..., 0])).astype(np.uint8)
