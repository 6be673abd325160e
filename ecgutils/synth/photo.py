"""The photo-like source: a printed page, lit and photographed with a phone."""

from dataclasses import replace
from math import cos, sin

import cv2
import numpy as np
from numpy.random import Generator

from ecgutils.geometry import apply_homography, quarter_turns
from ecgutils.signals.record import Record
from ecgutils.synth.camera import NodeGrid, aim, draw_surface
from ecgutils.synth.effects import add_noise, blur, jpeg, motion_blur, sense
from ecgutils.synth.page import draw_layers, split_layers
from ecgutils.synth.rendered import Lens, Projection, Rendered, Size, check_size
from ecgutils.synth.scene import draw_desk, lay_clutter, scuff
from ecgutils.synth.sources import PHOTO_SOURCE
from ecgutils.synth.style import PageStyle, draw_style

DEFAULT_PHOTO_SIZE = (1280, 704)  # the shape of a challenge photo (3460 x 1900)
EFFECTS = (
    "framing", "perspective", "lens", "bend", "crease", "crumple", "stain", "clutter", "light", "colour", "shadow",
    "glare", "moire", "blur", "noise", "sharpen", "jpeg", "rotation",
)  # fmt: skip
# share of photos without the effect; the others are absent from a fifth
_ABSENT = {"framing": 0.1, "crumple": 0.85, "stain": 0.8, "clutter": 0.6, "glare": 0.5}
_ABSENT |= {"blur": 0.35, "moire": 0.93, "sharpen": 0.15, "jpeg": 0.4}
# Phones meter, balance, focus and clean so well that strong effects are rare: the square of a uniform number
_MOSTLY_MILD = ("light", "colour", "shadow", "blur", "noise")
_FINE_PPM = 5.0  # px/mm below which a page is softened before it is resampled, lest its grid beats with the pixels
Severity = float | dict[str, float] | None
Streams = dict[str, Generator]


def draw_severity(rng: Generator, severity: Severity) -> dict[str, float]:
    """Severity of each of EFFECTS.

    None draws each one (0 in a tenth of photos or more, else in 0..1, mostly mild where phones help; quarter turns are
    always possible); a float sets all; a dict sets the effects it names and leaves the others at 0. A value outside
    0..1 or an unknown effect raises ValueError.
    """
    absent = np.array([_ABSENT.get(name, 0.2) for name in EFFECTS])
    power = np.array([2 if name in _MOSTLY_MILD else 1 for name in EFFECTS])
    drawn = np.where(rng.random(len(EFFECTS)) < absent, 0.0, rng.random(len(EFFECTS)) ** power)
    if severity is None:
        return {**dict(zip(EFFECTS, map(float, drawn), strict=True)), "rotation": 1.0}
    given = severity if isinstance(severity, dict) else dict.fromkeys(EFFECTS, severity)
    for name, value in given.items():
        if name not in EFFECTS:
            raise ValueError(f"Unknown photo effect {name!r}; choose from {', '.join(EFFECTS)}.")
        if not 0 <= value <= 1:
            raise ValueError(f"Severity of {name} must be between 0 and 1, got {value}.")
    return {name: float(given.get(name, 0.0)) for name in EFFECTS}


def render_photo(
    record: Record, rng: Generator, severity: Severity = None, size: Size | None = None, style: PageStyle | None = None
) -> Rendered:
    """Draw a record as a phone photo.

    severity : how strong each effect is, see `draw_severity`. Every effect has its own random stream, so changing one
        severity leaves all else as it was; at 0 the result is the flat page.
    size : (W, H) of the upright photo, default 1280 x 704. A photo turned by 90 or 270 degrees is (H, W).
    style : the page; None draws one, which takes random numbers in either case.
    """
    size = check_size(DEFAULT_PHOTO_SIZE if size is None else size)
    strength = draw_severity(rng, severity)
    streams = {name: np.random.default_rng(int(rng.integers(2**63))) for name in EFFECTS}
    drawn_style = draw_style(rng, PHOTO_SOURCE, size[0] / size[1])
    style = drawn_style if style is None else style

    to_image_mm, camera_mm, close = aim(streams["framing"], style, size, strength["framing"], strength["perspective"])
    x, y = style.width_mm / 2, style.height_mm / 2
    at = apply_homography(to_image_mm, np.array([(x, y), (x + 1, y), (x, y + 1)]))
    (ax, ay), (bx, by) = at[1:] - at[0]
    ppm = float(np.clip(np.sqrt(abs(ax * by - ay * bx)), 0.3, 40))  # the scale at its centre: none larger than needed
    k = float(np.clip(streams["lens"].normal(-0.008, 0.012), -0.035, 0.025)) * strength["lens"]
    layers, boxes, drawn = draw_layers(record, rng, style, ppm)
    scuff(layers, streams["crease"].spawn(1)[0], strength["crease"], ppm)
    page_size = layers.shape[1::-1]
    lens = Lens(k, ((size[0] - 1) / 2, (size[1] - 1) / 2), float(np.hypot(*size) / 2))
    surface, camera = draw_surface(streams, style, strength, ppm), tuple((camera_mm * ppm).tolist())
    projection = Projection(to_image_mm @ np.diag([1 / ppm, 1 / ppm, 1]), surface, camera, lens)

    nodes = NodeGrid(projection, size, page_size)
    layers = _photograph(layers, ppm, nodes, draw_desk(rng, size, nodes.cover))
    if strength["clutter"]:
        lay_clutter(layers, streams["clutter"], strength["clutter"])
    turned = streams["rotation"].random() < 0.12 * strength["rotation"]
    turn = int(streams["rotation"].integers(1, 4)) if turned else 0  # clockwise quarter turns
    drawn |= {"severity": strength, "close_up": close, "rotation": (-turn % 4) * 90, "lens_k": k}
    photo = split_layers(layers, page_size, ppm, projection, boxes, drawn)
    if strength["stain"]:
        _stain(photo.image, nodes, streams["stain"], strength["stain"], ppm)
    _light(photo.image, nodes, streams, strength)
    image = _capture(photo.image, streams, strength)
    image, mask = (np.ascontiguousarray(np.rot90(a, -turn)) for a in (image, photo.trace_mask))
    lens = replace(lens, centre=((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2))  # turned about its axis
    projection = replace(projection, homography=quarter_turns(turn, size) @ projection.homography, lens=lens)
    return replace(photo, image=image, trace_mask=mask, projection=projection)


def _photograph(layers: np.ndarray, ppm: float, nodes: NodeGrid, scene: np.ndarray) -> np.ndarray:
    """The page's layers, resampled once, over the scene, in place; all uint8 (H, W, 4)."""
    projection = nodes.projection
    if ppm < _FINE_PPM and np.abs(projection.homography[:2, :2] - np.eye(2)).max() > 1e-6:
        layers = blur(layers, 0.45)
    if projection.surface.is_flat and not projection.lens.k:
        warp = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_TRANSPARENT}
        return cv2.warpPerspective(layers, projection.homography, nodes.size, dst=scene, **warp)
    x, y = (nodes.enlarge(np.ascontiguousarray(nodes.page_xy[..., i])) for i in (0, 1))
    return cv2.remap(layers, x, y, cv2.INTER_LINEAR, dst=scene, borderMode=cv2.BORDER_TRANSPARENT)


def _apply(image: np.ndarray, nodes: NodeGrid, gain: np.ndarray) -> None:
    """Multiply the image by `gain` (ny, nx, 3) in 0..1.5 on the nodes, in place."""
    coded = np.clip(np.round(gain * 170), 0, 255).astype(np.uint8)  # steps of 0.6 % lie below a sensor's noise
    cv2.multiply(image, nodes.enlarge(coded), dst=image, scale=1 / 170)


def _stain(image: np.ndarray, nodes: NodeGrid, rng: Generator, s: float, ppm: float) -> None:
    """Rings of a cup and dried spills on the paper: brown, with a darker rim."""
    gain = np.ones((*nodes.on_page.shape, 3), np.float32)
    tint = np.array([0.25, 0.5, 0.85]) * rng.uniform(0.6, 1.2)
    for _ in range(int(rng.integers(1, 4))):
        middle = nodes.page_xy[int(rng.integers(len(gain))), int(rng.integers(gain.shape[1]))]
        d = (nodes.page_xy - middle) / ppm
        angle, radius = np.arctan2(d[..., 1], d[..., 0]), rng.uniform(8, 42)
        wobble = sum(rng.normal(0, 0.1) / n * np.cos(n * angle + rng.uniform(0, 6)) for n in (2, 3, 5, 7, 11))
        r = np.hypot(d[..., 0], d[..., 1]) / (radius * (1 + wobble))
        inside = rng.uniform(0, 0.5) / (1 + np.exp(np.clip((r - 1) * 40, -30, 30)))
        dark = s * rng.uniform(0.2, 0.6) * (inside + np.exp(-(((r - 1) * radius / 1.5) ** 2)))
        gain *= 1 - np.clip(np.where(nodes.on_page, dark, 0)[..., None] * tint, 0, 0.8).astype(np.float32)
    _apply(image, nodes, gain)


def _light(image: np.ndarray, nodes: NodeGrid, streams: Streams, strength: dict[str, float]) -> None:
    """Everything that changes brightness or colour slowly, gathered in one gain and one veil and applied once."""
    ny, nx = nodes.on_page.shape
    u, v = np.meshgrid(np.linspace(-1, 1, nx, dtype=np.float32), np.linspace(-ny / nx, ny / nx, ny, dtype=np.float32))
    gain = np.ones((ny, nx, 3), np.float32)
    gain *= _lamp(streams["light"], strength["light"], u, v)[..., None]
    gain *= _cast(streams["colour"], strength["colour"], u, v)
    gain *= _shadow(streams["shadow"], strength["shadow"], u, v)[..., None]
    gain *= _moire(streams["moire"], strength["moire"], u, v)

    if not nodes.projection.surface.is_flat:  # paper turned to the lamp is brighter, turned away darker
        angle, steep = streams["crease"].uniform(0, 2 * np.pi), streams["crease"].uniform(0.4, 1)
        slope = nodes.projection.surface.slope(nodes.page_xy, angle)
        gain *= np.where(nodes.on_page, np.clip(1 + steep * slope, 0.55, 1.15), 1)[..., None]
    stray = strength["light"] * streams["light"].uniform(0.0, 0.14)  # stray light lifts the blacks
    glare = np.clip(_glare(streams["glare"], strength["glare"], u, v), 0, 0.8)[..., None]
    tint = gain / np.maximum(gain.max(axis=-1, keepdims=True), 1e-3)  # the veil has the light's hue
    _apply(image, nodes, gain * (1 - (stray + glare)))
    veil = np.clip((170 * stray + 252 * glare) * tint, 0, 255).astype(np.uint8)
    cv2.add(image, nodes.enlarge(veil), dst=image)


def _moire(rng: Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Coloured bands where the pixels of a photographed screen beat with the sensor's."""
    kx, ky = (rng.uniform(15, 90, 2) * rng.choice([-1, 1], 2)).tolist()
    bent = kx * u + ky * v + rng.uniform(3, 15) * u * v + rng.uniform(2, 8) * (u**2 - v**2)
    bands = np.stack([np.sin(bent + shift) for shift in rng.uniform(0, 1.6, 3).tolist()], -1)
    return 1 + np.float32(s * rng.uniform(0.02, 0.08)) * bands


def _lamp(rng: Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Exposure, falloff from a lamp, and vignetting."""
    x, y = rng.uniform(-1.2, 1.2, 2).tolist()  # numbers of Python's keep float32 fields float32
    height = rng.uniform(0.8, 2.0)
    falloff = (1 + ((u - x) ** 2 + (v - y) ** 2) / height**2) ** (-rng.uniform(0.2, 1.0) * s)
    vignette = 1 - s * rng.uniform(0, 0.25) * (u**2 + v**2) / 1.3
    light = falloff * vignette
    exposure = 1 - s * rng.uniform(0.05, 0.4)  # phones meter white paper as grey: its mean ends well below white
    return np.minimum(light / light.mean() * exposure, 1.08)


def _cast(rng: Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colour of the light, which may change over the picture (lamp on one side, window on the other)."""
    tints = np.array([(1, 0.88, 0.68), (1, 0.94, 0.84), (0.86, 0.94, 1), (0.9, 1, 0.94), (1, 0.9, 0.94)], np.float32)
    first, second = tints[rng.integers(len(tints), size=2)]
    second = first + (second - first) * max(0.0, rng.uniform(-1.5, 0.6))  # a second light is mostly absent or faint
    angle = rng.uniform(0, 2 * np.pi)
    mix = np.clip(0.5 + 0.5 * (u * cos(angle) + v * sin(angle)), 0, 1)[..., None].astype(np.float32)
    return 1 - s * (1 - (first * mix + second * (1 - mix)))


def _shadow(rng: Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Soft shadow of a head, arm or phone: the dark side of a wavy line, or a blob."""
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.8)
    along = -u * sin(angle) + v * cos(angle)
    across = u * cos(angle) + v * sin(angle) - at + 0.12 * np.sin(rng.uniform(1, 4) * along + rng.uniform(0, 6))
    if rng.random() < 0.4:  # limited in width: an arm
        across = rng.uniform(0.15, 0.4) - np.abs(across)
    dark = 1 / (1 + np.exp(np.clip(-across / rng.uniform(0.04, 0.3), -30, 30)))
    return 1 - s * rng.uniform(0.15, 0.55) * dark


def _glare(rng: Generator, s: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Specular patches of lamp or window on glossy paper."""
    glare = np.zeros_like(u)
    for _ in range(int(rng.integers(1, 3))):
        angle, x, y = rng.uniform(0, np.pi), rng.uniform(-1, 1), rng.uniform(-0.6, 0.6)
        a = ((u - x) * cos(angle) + (v - y) * sin(angle)) / rng.uniform(0.15, 0.7)
        b = (-(u - x) * sin(angle) + (v - y) * cos(angle)) / rng.uniform(0.08, 0.3)
        glare += s * rng.uniform(0.15, 0.75) * np.exp(-((a**2 + b**2) ** 0.8)).astype(np.float32)
    return glare


def _capture(image: np.ndarray, streams: Streams, strength: dict[str, float]) -> np.ndarray:
    """Lens, shake, sensor, phone and file: blur, noise, sharpening, JPEG. Lengths scale with the image."""
    scale = max(image.shape) / DEFAULT_PHOTO_SIZE[0]
    rng, s = streams["blur"], strength["blur"]
    image = blur(image, scale * s * rng.uniform(0.3, 1.4))
    if rng.random() < 0.25:
        image = motion_blur(image, scale * s * rng.uniform(1, 7), rng.uniform(0, np.pi))
    rng, s = streams["noise"], strength["noise"]
    if s:
        sigma = s * rng.uniform(2, 14)
        raw = rng.random() < 0.5  # else the phone has scaled the picture down since: finer, without colour fringes
        image = sense(image, rng, sigma) if raw else add_noise(image, rng, sigma, grain_px=0.6 * scale)
    rng, s = streams["sharpen"], strength["sharpen"]
    if s:  # unsharp mask, as phones apply it: light and dark rims along edges
        soft, amount = blur(image, rng.uniform(0.7, 1.6) * scale), s * rng.uniform(0.5, 1.8)
        image = cv2.addWeighted(image, 1 + amount, soft, -amount, 0, dst=image)
    rng, s = streams["jpeg"], strength["jpeg"]
    if s:
        image = jpeg(image, round(96 - s * rng.uniform(15, 65)))
    return image
